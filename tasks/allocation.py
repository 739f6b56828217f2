"""Allocation: ask every chain, rank in words, hold, ask the fund, order; a no moves on to the next."""

import asyncio
import hashlib
import json
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from domain.audit import selfpay_lines
from domain.benefit import forecast, restricted
from domain.claims import Claim, ClaimLine, Identity, Settlement, differences
from domain.errors import NeedsOperator, Refused, RxError, StaleStatus, Transient
from domain.events import Event, Wait
from domain.instructions import instructions
from domain.lifecycle import ALIVE, GONE, Status
from domain.orders import LeftOut, Offers, OrderLine, OrderStatus, PharmacyOrder, Quote, Receipt
from domain.prescription import Handover, Prescription
from domain.ranking import Ranked, rank
from infra import metrics
from infra.db import Session, audits, claims, history, orders, prescriptions
from infra.db.discrepancies import disagree
from infra.db.effects import Effect, Intent
from infra.db.history import Head
from infra.db.notices import NoticeKind, note
from infra.db.orders import OrderTerms, Placed
from infra.db.prescriptions import Loaded, canonical
from infra.db.stored import RECEIPT
from infra.log import get_logger
from tasks import ends, reports
from tasks.audit import open_entitlement, open_patient
from tasks.city import City
from tasks.effect import intend, once

log = get_logger(__name__)
CODE_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""None that looks like another. Ten of them: the counter has the digest, and must not be able to guess the code."""
MOST_NAMED = 20
"""Stores that a history row names when none can fill it; it counts all."""
MOST_LEFT_OUT = 20
"""Stores of one round of quotes that are written down as differences; the metric counts all."""


async def start_allocation(city: City, prescription_id: str) -> Head:
    """reviewed → allocating: from here on a pharmacy is looked for (A-30: only after the pharmacist's pass)."""
    with city.db.transaction("allocation.started") as session:
        loaded = prescriptions.load(session, prescription_id, expected=Status.REVIEWED)
        return history.append(session, loaded.head, to=Status.ALLOCATING, actor="platform",
                              event=Event.SEARCH_STARTED, at=city.now(), wake_at=city.now(), waiting_for=Wait.QUOTES)


async def allocate(city: City, prescription_id: str) -> Head:
    """allocating → fulfilling: the best store that says yes has the order.

    Nobody can fill it: it waits, asks again, and expires with its validity. An order that a crash left
    half-made is taken up again, never made twice.
    """
    with city.db.reading() as session:
        loaded = prescriptions.load(session, prescription_id, expected=Status.ALLOCATING)
        attempts = orders.of(session, prescription_id)
    # Also one the patient has by now, if a crash kept us from writing down the chain's yes.
    open_order = next((placed for placed in attempts if placed.status not in GONE), None)
    if loaded.cancel_reason and await _let_go(city, loaded, open_order, "cancelled"):
        with city.db.transaction("allocation.cancelled") as session:
            ends.cancel(session, city, loaded.head, loaded.prescription, loaded.cancel_reason)
            return prescriptions.load(session, loaded.id).head
    if city.now() >= loaded.prescription.valid_until and await _let_go(city, loaded, open_order, "expired"):
        return ends.expire(city, loaded)
    hold = None
    if open_order is None:
        entitlement = open_entitlement(city, loaded)
        if entitlement is None or not entitlement.active:
            # The audit sends such a person's prescription back; those from before it did are sent back here.
            return ends.send_back(city, loaded)
        made = await _choose(city, loaded, attempts)
        if isinstance(made, _NoStore):
            return _ask_again(city, loaded, made)
        open_order, hold = made
    try:
        return await _order(city, loaded, open_order, hold)
    except Refused as no:
        return _declined(city, loaded.id, open_order.id, no.code)


@dataclass(frozen=True)
class _NoStore:
    """Why nobody can fill it."""

    stores: Sequence[Ranked]
    """Each with its reason."""
    silent: Sequence[str]
    """Chains that did not answer."""


async def _choose(city: City, loaded: Loaded, attempts: Sequence[Placed]) -> tuple[Placed, Intent] | _NoStore:
    """Quotes from all chains in parallel, ranked; an order for the best store, about to be held. Or why there is none."""
    rx = loaded.prescription
    wanted = [OrderLine(i.line, i.drug, i.quantity, i.unit) for i in rx.items]
    quotes, left_out, silent = await quotes_for(city, rx, wanted)
    _note_left_out(city, left_out)
    start_of_today = datetime.combine(city.today(), datetime.min.time(), ZoneInfo(city.policy.timezone))
    with city.db.reading() as session:
        shares = orders.shares(session, start_of_today - timedelta(days=30), start_of_today)

    def ranked(excluded: frozenset[tuple[str, str]]) -> tuple[list[Ranked], Ranked | None]:
        ranking = rank(quotes, wanted, city.policy, city.knowledge.ceilings, shares, excluded, key=rx.id)
        return ranking, next((one for one in ranking if one.eligible), None)

    # Who said no is asked again only when nobody else is left and the city's pause is over.
    ended = {(placed.order.chain, placed.order.store): placed.ended_at for placed in attempts if placed.ended_at}
    ranking, best = ranked(frozenset(ended))
    if best is None:
        recently = city.now() - city.policy.ask_again_after
        ranking, best = ranked(frozenset(store for store, at in ended.items() if at > recently))
    if best is None:
        return _NoStore(ranking, silent)
    return _make_order(city, loaded, best, ranking, attempt=len(attempts) + 1)


async def quotes_for(city: City, rx: Prescription, wanted: Sequence[OrderLine]
                     ) -> tuple[list[Quote], list[tuple[str, LeftOut]], list[str]]:
    """Every chain's quotes within the deadline, the stores that were left out, and the chains that gave none.

    One chain's trouble is only its own, and one store's too.
    """

    async def ask(slug: str) -> Offers:
        async with asyncio.timeout(city.policy.quote_deadline.total_seconds()):
            return await city.chains[slug].quote(wanted, rx.handover, rx.place)

    slugs = sorted(city.chains)
    answers = await asyncio.gather(*(ask(slug) for slug in slugs), return_exceptions=True)
    quotes: list[Quote] = []
    left_out: list[tuple[str, LeftOut]] = []
    silent: list[str] = []
    for slug, answer in zip(slugs, answers, strict=True):
        if isinstance(answer, RxError | TimeoutError):
            log.warning("quote.missing", chain=slug, prescription=rx.id, error=type(answer).__name__)
            silent.append(slug)
        elif isinstance(answer, BaseException):
            raise answer
        else:
            quotes += answer.quotes
            left_out += [(slug, row) for row in answer.left_out]
            for row in answer.left_out:
                metrics.quote_left_out(slug)
                log.warning("quote.left_out", chain=slug, store=row.store, rules=sorted({it.rule for it in row.findings}))
    if len(silent) == len(slugs):
        raise Transient("no chain answered a request for quotes", code="no_chain_answers")
    return quotes, left_out, silent


def _note_left_out(city: City, left_out: Sequence[tuple[str, LeftOut]]) -> None:
    """A store whose quotes break the contract is a notice for a person, once a day and rule."""
    if not left_out:
        return
    with city.db.transaction("quotes.left_out") as session:
        for slug, row in left_out[:MOST_LEFT_OUT]:
            for fault in {it.rule: it for it in row.findings}.values():
                note(session, kind=NoticeKind.QUOTE_LEFT_OUT, partner=slug,
                     subject=f"{city.today()}:{fault.rule}:{row.store or '?'}", detail=fault.path, at=city.now())


def _make_order(city: City, loaded: Loaded, best: Ranked, ranking: Sequence[Ranked], attempt: int
                ) -> tuple[Placed, Intent]:
    """The order, its secrets and the intent to hold it exist before its chain hears of it."""
    rx = loaded.prescription
    order_id = f"ord_{loaded.id.removeprefix('rx_')}_{attempt}"
    code = "".join(secrets.choice(CODE_LETTERS) for _ in range(10)) if rx.handover is Handover.PICKUP else ""
    order = PharmacyOrder(
        id=order_id, prescription_id=rx.id, chain=best.quote.chain, store=best.quote.store, lines=best.quote.lines,
        handover=rx.handover, place=rx.place,
        pickup_code_sha256=hashlib.sha256(f"{order_id}:{code}".encode()).hexdigest() if code else "")
    sealed = city.cipher.seal(json.dumps({"claim_secret": secrets.token_hex(16), "pickup_code": code}),
                              f"order/{order_id}")
    words = [{"chain": one.quote.chain, "store": one.quote.store, "score": str(one.score), "eligible": one.eligible,
              "reason": one.reason, "why": one.why, "why_en": one.why_en, "total_fen": one.quote.total}
             for one in ranking]
    with city.db.transaction("order.made") as session:
        # The event first: whoever moved the prescription meanwhile stops us before anything is made.
        history.append(session, loaded.head, actor="platform",
                       event=Event.STORE_CHOSEN, at=city.now(),
                       wake_at=city.now(), waiting_for=f"{Wait.HOLD}:{best.quote.chain}",
                       detail={"order": order_id, "chain": best.quote.chain, "store": best.quote.store,
                               "score": str(best.score), "candidates": len(ranking)},
                       also={"lane": f"{rx.hospital}/{best.quote.chain}"})
        placed = orders.make(session, order, attempt=attempt, sealed=sealed, ranking=words, at=city.now())
        hold = intend(city, session, _hold(order), partner=order.chain, request=_spelling(order))
    return placed, hold


async def _order(city: City, loaded: Loaded, placed: Placed, hold: Intent | None) -> Head:
    """Hold, pre-settle, place, and hand the prescription to the pharmacy. Raises `Refused` when the chain says no.

    `hold` is the intent to hold it, if it was recorded just now.
    """
    rx, chain = loaded.prescription, city.chains[placed.order.chain]
    patient, secret = open_patient(city, loaded), open_secrets(city, placed)
    order = replace(placed.order, claim_secret=secret["claim_secret"])

    def held(session: Session, _: Receipt) -> claims.Claimed:
        newest = claims.newest(session, rx.id)
        if newest and newest.order_id == order.id:
            return newest
        return make_claim(city, session, loaded, placed, lines=[line.line for line in order.lines], after=newest)

    claimed = await once(city, _hold(order), partner=chain.slug, request=_spelling(order), answer=RECEIPT,
                         send=lambda: chain.hold(order), ask=lambda: chain.find(order.id), then=held, intent=hold)
    answer, place = await _pre_settle(city, loaded, order, claimed, Identity(patient["name"], patient["id_number"]))
    recipient = ({"name": patient["name"], "phone": patient["phone"], "address": patient["address"]}
                 if order.handover is Handover.HOME else {})
    order = replace(order, patient_due=answer.cash, recipient=recipient,
                    instructions=instructions(rx, city.knowledge.frequencies))

    async def ordered() -> Receipt | None:
        receipt = await chain.find(order.id)
        if receipt and receipt.status in (OrderStatus.CANCELLED, OrderStatus.DECLINED):
            raise Refused(f"{order.id} is {receipt.status} at {chain.slug}", code="hold_expired")
        return None if receipt is None or receipt.status is OrderStatus.HELD else receipt

    return await once(
        city, _place(order), partner=chain.slug, request=_spelling(order), answer=RECEIPT,
        send=lambda: chain.place(order), ask=ordered, intent=place,
        then=lambda session, receipt: _ordered(city, session, loaded, order, receipt, answer, secret["pickup_code"]))


def _ordered(city: City, session: Session, loaded: Loaded, order: PharmacyOrder, receipt: Receipt, answer: Settlement,
             pickup_code: str) -> Head:
    """The chain has the order, and by now may have said more about it."""
    rx, now = loaded.prescription, city.now()
    terms = OrderTerms(answer.cash, receipt.reference, accept_by=now + city.policy.accept_within,
                  fulfil_by=min(now + city.policy.fulfil_within, rx.issued_at + timedelta(hours=72)))
    fresh, placed = prescriptions.load(session, loaded.id), orders.get(session, order.id)
    if fresh.status is not Status.ALLOCATING or placed is None:
        raise StaleStatus(f"{loaded.id} is no longer allocating")
    moved = orders.advance(session, placed, receipt.status, at=now, terms=terms)
    it_is = receipt.status if moved else placed.status
    until, waiting_for = next_look(it_is, terms.accept_by, terms.fulfil_by)
    head = history.append(
        session, fresh.head, to=Status.FULFILLING, actor=f"chain:{order.chain}",
        event=Event.ORDER_PLACED, at=now,
        wake_at=now if fresh.cancel_reason or it_is not in ALIVE else until, waiting_for=waiting_for,
        detail={"order": order.id, "chain": order.chain, "store": order.store, "reference": receipt.reference,
                "total_fen": answer.total, "fund_fen": answer.fund, "patient_due_fen": answer.cash})
    reports.report(session, city, rx, Status.FULFILLING, reason=Event.ORDER_PLACED, order=placed.order,
                   pickup_code=pickup_code, again=str(placed.attempt))
    return head


def next_look(status: OrderStatus, accept_by: datetime | None, fulfil_by: datetime | None) -> tuple[datetime | None, Wait]:
    """When an order under way must be looked at again, and what it waits for until then (D-12, A-02)."""
    if status is OrderStatus.ORDERED:
        return accept_by, Wait.ACCEPTANCE
    return fulfil_by, Wait.RECEIPT


async def _pre_settle(city: City, loaded: Loaded, order: PharmacyOrder, claimed: claims.Claimed, identity: Identity
                      ) -> tuple[Settlement, Intent | None]:
    """2101 before the order (F-18), beside our own forecast; a difference of a fen is a finding.

    With the answer goes the intent to place the order, unless both were recorded before.
    """
    if claimed.pre_settled:
        return claimed.pre_settled, None
    try:
        answer = await city.payer.pre_settle(with_person(city, loaded, claimed.claim, identity))
    except Refused as no:
        # Not the chain's no: the hold stays, and the next pharmacy's claim would fare no better.
        raise NeedsOperator(f"{claimed.claim.reference}: the fund refuses to pre-settle", code=no.code) from no
    with city.db.transaction("claim.pre_settled") as session:
        claims.pre_settled(session, loaded.id, claimed.version, answer)
        for name, ours, theirs in differences(claimed.forecast, answer):
            disagree(session, kind="forecast_vs_pre_settlement", subject=f"{claimed.claim.reference}:{name}",
                     expected=ours, actual=theirs, at=city.now(), prescription_id=loaded.id)
        place = intend(city, session, _place(order), partner=order.chain,
                       request=_spelling(replace(order, patient_due=answer.cash)))
    return answer, place


def make_claim(city: City, session: Session, loaded: Loaded, placed: Placed, *, lines: Sequence[int],
               after: claims.Claimed | None) -> claims.Claimed:
    """The claim that comes `after` the newest one, for these lines of an order, with our forecast.

    A re-settlement of the same order keeps its service time (F-20). Raises `StaleStatus` if another worker made
    it meanwhile.
    """
    rx = loaded.prescription
    entitlement = open_entitlement(city, loaded)
    if entitlement is None:
        raise NeedsOperator(f"{rx.id}: no claim for somebody who is not insured", code="not_insured")
    selfpay = selfpay_lines(audits.findings(session, rx.id))
    kept = [line for line in placed.order.lines if line.line in lines]
    at = after.claim.at if after and after.order_id == placed.id else city.now()
    version = after.version + 1 if after else 1
    chronic = rx.coverage.disease_code in entitlement.diseases
    items = {item.line: item for item in rx.items}
    claim = Claim(
        reference=claims.free_reference(session, city.payer.new_reference, city.now(), f"{rx.id}:{version}"),
        prescription_id=rx.id, rxno=rx.id, psn_no="", insutype=entitlement.insutype,
        insured_place=entitlement.insured_place, disease_code=rx.coverage.disease_code if chronic else "",
        med_type="14" if chronic else "41", at=at, prescriber=rx.prescriber.id,
        lines=tuple(ClaimLine(line.line, line.drug, line.quantity, line.unit_price, line.amount,
                              items[line.line].days_supply, items[line.line].frequency, line.line in selfpay,
                              items[line.line].approval, restricted(line.drug, city.knowledge))
                    for line in kept),
        identity=claims.NOBODY)
    expected = forecast(rx, kept, entitlement, city.policy, city.knowledge, selfpay)
    return claims.make(session, claim, version=version, order_id=placed.id, forecast=expected)


def with_person(city: City, loaded: Loaded, claim: Claim, identity: Identity) -> Claim:
    """The claim as it is sent: the person is put in for the call only."""
    entitlement = open_entitlement(city, loaded)
    assert entitlement is not None
    return replace(claim, psn_no=entitlement.psn_no, identity=identity)


def open_secrets(city: City, placed: Placed) -> dict[str, str]:
    """Claim secret and pickup code of an order."""
    opened: dict[str, str] = json.loads(city.cipher.open(placed.sealed, f"order/{placed.id}"))
    return opened


def _hold(order: PharmacyOrder) -> Effect:
    return Effect(order.prescription_id, "hold", order.id)


def _place(order: PharmacyOrder) -> Effect:
    return Effect(order.prescription_id, "place", order.id)


def withdrawal(rx_id: str, order_id: str, reason: str) -> Effect:
    """Taking an order back, once per reason."""
    return Effect(rx_id, "cancel", f"{order_id}:{reason}"[:40])


async def withdraw(city: City, placed: Placed, reason: str) -> OrderStatus:
    """Take an order back from its chain; returns what it is now: CANCELLED, or where the chain says it is.

    The chain's no is final for this reason only: a later withdrawal asks anew. Raises `NeedsOperator` (code
    `order_unknown`) when the chain no longer knows an order it had confirmed: medicine may lie packed for it.
    """
    chain = city.chains[placed.order.chain]

    async def cancelled() -> Receipt | None:
        receipt = await chain.find(placed.id)
        if receipt and receipt.status in GONE:
            return Receipt(receipt.reference, OrderStatus.CANCELLED)
        return None

    async def cancel() -> Receipt:
        try:
            return await chain.cancel(placed.id, reason)
        except Refused as no:
            if no.code != "unknown_order":
                raise
            if placed.status is not OrderStatus.HELD:
                raise NeedsOperator(f"{chain.slug} confirmed {placed.id} and no longer knows it; call the pharmacy",
                                    code="order_unknown") from no
            return Receipt("", OrderStatus.CANCELLED)  # It never heard of it, so it holds nothing for it.

    def withdrawn(session: Session, _: Receipt) -> OrderStatus:
        _move_on(session, placed.id, OrderStatus.CANCELLED, at=city.now(), reason=reason)
        return OrderStatus.CANCELLED

    try:
        return await once(city, withdrawal(placed.order.prescription_id, placed.id, reason), partner=chain.slug,
                          request=canonical([placed.id, reason]), answer=RECEIPT, send=cancel, ask=cancelled,
                          then=withdrawn)
    except Refused:
        found = await chain.find(placed.id)
        with city.db.transaction("order.not_withdrawn") as session:
            if found:
                _move_on(session, placed.id, OrderStatus.HANDED_OVER if found.status is OrderStatus.RETURNED
                         else found.status, at=city.now())
        now_it_is = found.status if found else placed.status
        return OrderStatus.CANCELLED if now_it_is in GONE else now_it_is


def _move_on(session: Session, order_id: str, to: OrderStatus, *, at: datetime, reason: str = "") -> Placed:
    """Move an order that we made forward from wherever it is by now."""
    placed = orders.get(session, order_id)
    assert placed is not None
    orders.advance(session, placed, to, at=at, reason=reason)
    return placed


async def _let_go(city: City, loaded: Loaded, open_order: Placed | None, reason: str) -> bool:
    """Take back what is held. False when the chain has gone too far with it: then the order goes on."""
    if open_order is None:
        return True
    if open_order.status not in ALIVE:
        return False
    return await withdraw(city, open_order, reason) is OrderStatus.CANCELLED


def _declined(city: City, rx_id: str, order_id: str, code: str) -> Head:
    """The chain refused to hold or to take it: the next candidate is asked at once."""
    with city.db.transaction("order.declined") as session:
        loaded = prescriptions.load(session, rx_id)
        if loaded.status is not Status.ALLOCATING:
            raise StaleStatus(f"{rx_id} is no longer allocating")
        placed = _move_on(session, order_id, OrderStatus.DECLINED, at=city.now(), reason=code)
        return history.append(session, loaded.head, actor=f"chain:{placed.order.chain}", event=Event.ORDER_DECLINED,
                              at=city.now(), wake_at=city.now(), waiting_for=Wait.CANDIDATE,
                              detail={"order": order_id, "chain": placed.order.chain, "store": placed.order.store, "cause": code})


def _ask_again(city: City, loaded: Loaded, why: _NoStore) -> Head:
    """Nobody can fill it now: wait, and let operations see it."""
    refused = Counter(one.reason for one in why.stores)
    stores = sorted({f"{one.quote.chain}/{one.quote.store}:{one.reason}" for one in why.stores})
    until = min(city.now() + city.policy.ask_again_after, loaded.prescription.valid_until)
    with city.db.transaction("allocation.awaited") as session:
        if loaded.waiting_for != Wait.FILLER:
            return history.append(
                session, loaded.head, actor="platform", event=Event.NO_STORE, at=city.now(), wake_at=until,
                waiting_for=Wait.FILLER,
                detail={"refused": dict(refused), "stores": stores[:MOST_NAMED], "silent": list(why.silent)})
        return history.wait(session, loaded.head, until=until, waiting_for=Wait.FILLER)


def _spelling(order: PharmacyOrder) -> bytes:
    """What the intent's digest covers: everything of an order but the person."""
    return canonical([order.id, order.chain, order.store, [(li.line, li.drug, str(li.quantity), str(li.unit_price),
                      li.amount) for li in order.lines], order.handover, order.pickup_code_sha256, order.patient_due])



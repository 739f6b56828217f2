"""Placing an order: hold the goods, ask the fund what it would pay, and have the chain take it."""

from dataclasses import replace
from datetime import timedelta

from domain.chains import ChainWord, PharmacyOrder, Receipt
from domain.claims import Claimed, Identity, Settlement, differences
from domain.errors import NeedsOperator, Refused, StaleStatus
from domain.events import Event, Wait
from domain.fulfilment.orders import ALIVE, GONE, MEANINGS, Placed
from domain.fulfilment.plan import next_look
from domain.fulfilment.wishes import STANDING, WishKind
from domain.instructions import instructions
from domain.lifecycle import Status
from domain.prescription import Handover
from domain.webhooks import WebhookType
from infra.db import Session, claims, history, orders, prescriptions, wishes
from infra.db.discrepancies import disagree
from infra.db.effects import Effect, Intent
from infra.db.history import Head
from infra.db.orders import OrderTerms
from infra.db.prescriptions import Loaded, canonical
from infra.db.stored import RECEIPT
from tasks import reports, webhooks
from tasks.city import City
from tasks.effect import intend, once
from tasks.fulfilment.sealed import open_secrets
from tasks.fulfilment.withdraw import move_on
from tasks.patients import open_patient, with_person
from tasks.settlement.claims import make_claim

FILL_WITHIN = timedelta(hours=72)
"""From the prescription's issue on (A-02)."""


async def place(city: City, loaded: Loaded, placed: Placed, hold: Intent | None = None, *, alone: bool) -> Head:
    """Have an order's chain take it, or take up what a crash left half-made; its no moves on to the next candidate.

    `hold` is the intent to hold it, if it was recorded just now. Unless it is `alone`, the plan is asked again at once: it knows
    which of several orders must be looked at first.
    """
    try:
        return await _order(city, loaded, placed, hold, alone)
    except Refused as no:
        return _declined(city, loaded, placed.id, no.code)


async def _order(city: City, loaded: Loaded, placed: Placed, hold: Intent | None, alone: bool) -> Head:
    """Hold, pre-settle, place, and hand the prescription to the pharmacy. Raises `Refused` when the chain says no."""
    rx, chain = loaded.prescription, city.chains[placed.order.chain]
    patient, secret = open_patient(city, loaded), open_secrets(city, placed)
    order = replace(placed.order, claim_secret=secret["claim_secret"])

    def held(session: Session, _: Receipt) -> Claimed:
        return claims.newest(session, order.id) or make_claim(city, session, loaded, placed, portions=placed.portions, after=None)

    claimed = await once(city, hold_of(order), partner=chain.slug, request=spelling(order), answer=RECEIPT,
                         send=lambda: chain.hold(order), ask=lambda: chain.find(order.id), then=held, intent=hold)
    answer, place = await _pre_settle(city, loaded, order, claimed, Identity(patient["name"], patient["id_number"]))
    recipient = ({"name": patient["name"], "phone": patient["phone"], "address": patient["address"]}
                 if order.handover is Handover.HOME else {})
    order = replace(order, patient_due=answer.cash, recipient=recipient,
                    instructions=instructions(rx, city.knowledge, order.lines))

    async def ordered() -> Receipt | None:
        receipt = await chain.find(order.id)
        if receipt and MEANINGS[receipt.status].order in GONE:
            raise Refused(f"{order.id} is {receipt.status} at {chain.slug}", code="hold_expired")
        return None if receipt is None or receipt.status is ChainWord.HELD else receipt

    return await once(
        city, place_of(order), partner=chain.slug, request=spelling(order), answer=RECEIPT,
        send=lambda: chain.place(order), ask=ordered, intent=place,
        then=lambda session, receipt: _ordered(city, session, loaded, order, receipt, answer, secret["pickup_code"], alone))


def _ordered(city: City, session: Session, loaded: Loaded, order: PharmacyOrder, receipt: Receipt, answer: Settlement,
             pickup_code: str, alone: bool) -> Head:
    """The chain has the order, and by now may have said more about it."""
    rx, now = loaded.prescription, city.now()
    terms = OrderTerms(answer.cash, receipt.reference, accept_by=now + city.policy.accept_within,
                       fulfil_by=min(now + city.policy.fulfil_within, rx.issued_at + FILL_WITHIN))
    fresh, placed = prescriptions.load(session, loaded.id), orders.get(session, order.id)
    if fresh.status not in (Status.ALLOCATING, Status.FULFILLING) or placed is None:
        raise StaleStatus(f"{loaded.id} is {fresh.status}")
    moved = orders.advance(session, placed, receipt.status, at=now, terms=terms)
    order_now = replace(placed, status=MEANINGS[receipt.status].order if moved else placed.status, accept_by=terms.accept_by,
                        fulfil_by=terms.fulfil_by)
    until, waiting_for = next_look(order_now) or (now, Wait.RECEIPT)
    head = history.append(
        session, fresh.head, to=Status.FULFILLING if fresh.status is Status.ALLOCATING else None,
        actor=f"chain:{order.chain}", event=Event.ORDER_PLACED, at=now,
        wake_at=until if alone and order_now.status in ALIVE and not _wants_cancel(session, fresh) else now,
        waiting_for=waiting_for,
        detail={"order": order.id, "chain": order.chain, "store": order.store, "reference": receipt.reference,
                "total_fen": answer.total, "fund_fen": answer.fund, "patient_due_fen": answer.cash})
    reports.report(session, city, rx, Status.FULFILLING, reason=Event.ORDER_PLACED, order=placed.order,
                   pickup_code=pickup_code, again=str(placed.attempt))
    webhooks.tell_of_order(session, city, order.chain, WebhookType.ORDER_PLACED, order_id=order.id, rx_id=rx.id, store=order.store)
    return head


def _wants_cancel(session: Session, loaded: Loaded) -> bool:
    return loaded.wished and any(wish.kind is WishKind.CANCEL and wish.answer in STANDING
                                 for wish in wishes.of(session, loaded.id))


async def _pre_settle(city: City, loaded: Loaded, order: PharmacyOrder, claimed: Claimed, identity: Identity
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
        claims.pre_settled(session, claimed, answer)
        for name, ours, theirs in differences(claimed.forecast, answer):
            disagree(session, kind="forecast_vs_pre_settlement", subject=f"{claimed.claim.reference}:{name}",
                     expected=ours, actual=theirs, at=city.now(), prescription_id=loaded.id)
        place = intend(city, session, place_of(order), partner=order.chain,
                       request=spelling(replace(order, patient_due=answer.cash)))
    return answer, place


def _declined(city: City, loaded: Loaded, order_id: str, code: str) -> Head:
    """The chain refused to hold or to take it: the next candidate is asked at once."""
    with city.db.transaction("order.declined") as session:
        fresh = prescriptions.load(session, loaded.id)
        if fresh.status not in (Status.ALLOCATING, Status.FULFILLING):
            raise StaleStatus(f"{loaded.id} is {fresh.status}")
        placed = move_on(session, order_id, ChainWord.DECLINED, city, reason=code)
        return history.append(session, fresh.head, actor=f"chain:{placed.order.chain}", event=Event.ORDER_DECLINED,
                              at=city.now(), wake_at=city.now(), waiting_for=Wait.CANDIDATE,
                              detail={"order": order_id, "chain": placed.order.chain, "store": placed.order.store, "cause": code})


def hold_of(order: PharmacyOrder) -> Effect:
    return Effect(order.prescription_id, "hold", order.id)


def place_of(order: PharmacyOrder) -> Effect:
    return Effect(order.prescription_id, "place", order.id)


def spelling(order: PharmacyOrder) -> bytes:
    """What the intent's digest covers: everything of an order but the person."""
    return canonical([order.id, order.chain, order.store, [(li.line, li.drug, str(li.quantity), str(li.unit_price),
                      li.amount) for li in order.lines], order.handover, order.pickup_code_sha256, order.patient_due])

"""Settle and reverse: make the fund's claim for an order match what the patient has of it, and the ledger match the fund."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from domain.claims import Claim, Claimed, Reversal, Settlement, differences
from domain.errors import NeedsOperator
from domain.events import Event, Wait
from domain.fulfilment.orders import Placed
from domain.fulfilment.plan import window_over
from domain.ledger import templates
from domain.lifecycle import Money, Status
from domain.money import Fen
from domain.trace import codes_by_line, uncovered
from infra.db import Session, claims, history, ledger, orders, prescriptions, traces
from infra.db.discrepancies import disagree
from infra.db.effects import Effect
from infra.db.history import Head
from infra.db.prescriptions import Loaded
from infra.db.stored import REVERSAL, SETTLEMENT
from tasks import payments, reports
from tasks.city import City
from tasks.effect import once
from tasks.patients import open_entitlement, open_identity, with_person
from tasks.settlement.claims import make_claim

ZERO = Settlement(Fen(0), Fen(0), Fen(0), Fen(0), Fen(0), Fen(0), Fen(0))


async def settle(city: City, loaded: Loaded, placed: Placed, claimed: Claimed | None, *, last: bool) -> Head:
    """2102: the fund pays for what was handed over of an order; after a return, for the rest of it by a new claim.

    `last`: the fund then pays for all that was handed over. The fund's answer is what counts: a difference of a fen from its own
    pre-settlement is a finding (F-18). Raises `NeedsOperator` (code `no_claim`) for an order without a claim.
    """
    if claimed is None:
        raise NeedsOperator(f"{loaded.id}: handed over without a claim", code="no_claim")
    if claimed.reversed:
        with city.db.transaction("claim.made") as session:
            claimed = make_claim(city, session, loaded, placed, portions=placed.kept, after=claimed)
    return await _settle(city, loaded, placed, claimed, last)


async def _settle(city: City, loaded: Loaded, placed: Placed, claimed: Claimed, last: bool) -> Head:
    claim = with_person(city, loaded, _with_packs(city, placed, claimed.claim), open_identity(city, loaded))

    async def again() -> Settlement | None:
        # The fund is asked by saying the same again: the same msgid settles once (contract 3).
        return await city.payer.settle(claim)

    def settled(session: Session, answer: Settlement) -> Head:
        fresh = prescriptions.load(session, loaded.id)
        if claimed.status is Money.QUOTED:
            # A re-settlement is not pre-settled: what it settles was handed over long ago.
            claims.pre_settled(session, claimed, answer)
        claims.settled(session, claimed, answer)
        ledger.post(session, templates.settled(loaded.id, placed.order.chain, claim.insutype, answer), at=city.now(),
                    day=answer.day)
        for name, ours, theirs in differences(claimed.pre_settled or claimed.forecast, answer):
            disagree(session, kind="expected_vs_settlement", subject=f"{claim.reference}:{name}", expected=ours,
                     actual=theirs, at=city.now(), prescription_id=loaded.id)
        seen_all = fresh.head == loaded.head and claimed.portions == placed.kept
        if seen_all:
            orders.refunded(session, placed, city.now())
        reports.notify_chain(session, city, loaded.id, placed.order.chain, placed.id, answer)
        # What came back before this claim was settled is told with its reversal: beside this money it would contradict it.
        kept = placed if placed.returns and claimed.portions == placed.kept else None
        reports.report(session, city, loaded.prescription, Status.SETTLED, reason=Event.SETTLED, money=answer, settled=claimed,
                       handed_over=kept, again=_again(placed, claimed))
        head = payments.correct(city, session, fresh.head, placed, answer.cash, actor=f"payer:{city.payer.slug}",
                                wake_at=city.now())
        # A wish or an update that came during the call to the fund is looked at now.
        until = window_over([placed], city.policy) if seen_all and last else city.now()
        return history.append(session, head, to=Status.SETTLED if last else None, actor=f"payer:{city.payer.slug}",
                              event=Event.SETTLED, at=city.now(), wake_at=until,
                              waiting_for=Wait.RETURN_WINDOW if last else Wait.SETTLEMENT,
                              detail={"settlement": answer.settlement_id, "reference": claim.reference,
                                      "total_fen": answer.total, "fund_fen": answer.fund,
                                      "account_fen": answer.account, "cash_fen": answer.cash})

    return await once(city, Effect(loaded.id, "settle", claim.reference), partner=city.payer.slug,
                      request=city.payer.request_bytes(claim), answer=SETTLEMENT,
                      send=lambda: city.payer.settle(claim), ask=again, then=settled)


def _with_packs(city: City, placed: Placed, claim: Claim) -> Claim:
    """The claim with the trace codes of what was handed over.

    Raises `NeedsOperator` (code `no_trace_code`) where a chain that scans has sent no valid codes for a line that the fund is to
    pay. The claim waits for them, and the patient pays nothing more (B-55, E-07).
    """
    with city.db.reading() as session:
        uses = traces.uses_of(session, placed.id)
    packs = codes_by_line({line.line: line.quantity for line in claim.lines}, uses)
    payable = {line.line: line.drug for line in claim.lines if not line.selfpay}
    missing = uncovered(payable, packs, city.knowledge.uncoded)
    if missing and claim.coded and placed.order.chain in city.policy.coded_chains:
        raise NeedsOperator(f"{placed.id}: no valid trace codes for lines {missing}", code="no_trace_code")
    return replace(claim, lines=tuple(replace(line, packs=packs.get(line.line, ())) for line in claim.lines))


async def reverse(city: City, loaded: Loaded, placed: Placed, claimed: Claimed) -> Head:
    """2103: the whole settlement of an order, also where only a part came back (F-20)."""
    settlement = claimed.settled
    entitlement = open_entitlement(city, loaded)
    if settlement is None or entitlement is None:
        raise NeedsOperator(f"{loaded.id}: nothing to reverse", code="nothing_to_reverse")
    with city.db.transaction("reversal.numbered") as session:
        reference = claims.intend_reversal(session, claimed, city.payer.new_reference, city.now())
    sent_at = claimed.claim.at

    async def send() -> Reversal:
        return await city.payer.reverse(reference, settlement.settlement_id, settlement.visit_id, entitlement.psn_no,
                                        entitlement.insured_place, sent_at)

    def reversed_(session: Session, reversal: Reversal) -> Head:
        fresh = prescriptions.load(session, loaded.id)
        claims.reversed_(session, claimed, reversal)
        ledger.post(session, templates.reversed_(loaded.id, placed.order.chain, claimed.claim.insutype, settlement),
                    at=city.now(), day=reversal.day)
        return history.append(session, fresh.head, actor=f"payer:{city.payer.slug}", event=Event.REVERSED,
                              at=city.now(), wake_at=city.now(), waiting_for=Wait.RESETTLEMENT,
                              detail={"settlement": settlement.settlement_id, "reversal": reversal.settlement_id,
                                      "reference": reference})

    request = hashlib.sha256(f"{reference}\n{settlement.settlement_id}".encode()).digest()
    return await once(city, Effect(loaded.id, "reverse", reference), partner=city.payer.slug, request=request,
                      answer=REVERSAL, send=send, ask=send, then=reversed_)


def agreed(city: City, loaded: Loaded, handed_over: Sequence[Placed], claimed: Mapping[str, Claimed]) -> Head:
    """Claims and goods agree without another settlement: of what came back whole, both are empty."""
    with city.db.transaction("settlement.agreed") as session:
        head = loaded.head
        for placed in handed_over:
            claim = claimed[placed.id]
            if claim.reversed:
                head = payments.correct(city, session, head, placed, Fen(0), actor="platform", wake_at=city.now())
                orders.refunded(session, placed, city.now())
                reports.notify_chain(session, city, loaded.id, placed.order.chain, placed.id, None)
                reports.report(session, city, loaded.prescription, Status.SETTLED, reason=Event.REVERSED, money=ZERO,
                               settled=claim, handed_over=placed, again=f"{_again(placed, claim)}r")
        return history.append(session, head, to=Status.SETTLED, actor="platform", event=Event.CLAIM_AGREES,
                              at=city.now(), wake_at=window_over(handed_over, city.policy), waiting_for=Wait.RETURN_WINDOW)


def _again(placed: Placed, claimed: Claimed) -> str:
    """Which report of a settlement this is: one of each claim of each order."""
    return f"{placed.attempt}.{claimed.version}"

"""Settlement: make the fund's claim match what the patient has, and the ledger match the fund."""

import asyncio
import hashlib
from datetime import date, datetime

from domain.claims import DayTotals, Reconciled, Reversal, Settlement, differences
from domain.errors import NeedsOperator, Transient
from domain.events import Event, Wait
from domain.ledger import templates
from domain.lifecycle import Money, Status
from domain.money import Fen
from infra.db import Session, claims, history, ledger, orders, prescriptions, reconciliations
from infra.db.claims import Claimed
from infra.db.discrepancies import disagree
from infra.db.effects import Effect
from infra.db.history import Head
from infra.db.orders import Placed
from infra.db.prescriptions import Loaded
from infra.db.stored import REVERSAL, SETTLEMENT
from tasks import reports
from tasks.allocation import make_claim, with_person
from tasks.audit import open_entitlement, open_identity
from tasks.city import City
from tasks.effect import once


async def settle(city: City, prescription_id: str) -> Head:
    """fulfilled → settled: settle what was handed over; after a return reverse the whole claim and settle the rest.

    Reads what the patient has kept and what the newest claim says, and does the next thing that is missing,
    so it may be called at any time, twice, or after a crash. The fund's answer is what counts: a difference
    of a fen from its own pre-settlement is a finding (F-18).
    """
    with city.db.reading() as session:
        loaded = prescriptions.load(session, prescription_id, expected=Status.FULFILLED)
        placed = _handed_over(orders.of(session, prescription_id))
        claimed = claims.newest(session, prescription_id)
    if claimed is None:
        raise NeedsOperator(f"{prescription_id}: handed over without a claim", code="no_claim")
    if claimed.status in (Money.QUOTED, Money.PRE_SETTLED):
        return await _settle(city, loaded, placed, claimed)
    if not claimed.reversed and claimed.lines == placed.kept_lines:
        return _settled(city, loaded, placed, claimed)
    if not claimed.reversed:
        return await _reverse(city, loaded, placed, claimed)
    if placed.kept_lines:
        with city.db.transaction("claim.made") as session:
            claimed = make_claim(city, session, loaded, placed, lines=placed.kept_lines, after=claimed)
        return await _settle(city, loaded, placed, claimed)
    return _settled(city, loaded, placed, claimed)


async def await_return(city: City, prescription_id: str) -> Head:
    """settled and awake: something came back, or the return window is over and the day is reconciled."""
    with city.db.transaction("return.awaited") as session:
        loaded = prescriptions.load(session, prescription_id, expected=Status.SETTLED)
        placed = _handed_over(orders.of(session, prescription_id))
        claimed = claims.newest(session, prescription_id)
        assert claimed is not None
        over = _window(city, placed)
        held = () if claimed.reversed else claimed.lines
        if held != placed.kept_lines:
            return history.append(session, loaded.head, to=Status.FULFILLED, actor=f"chain:{placed.order.chain}",
                                  event=Event.BROUGHT_BACK, at=city.now(), wake_at=city.now(),
                                  waiting_for=Wait.REVERSAL, detail={"order": placed.id, "kept": list(placed.kept_lines)})
        if city.now() >= over and claimed.status is Money.RECONCILED:
            return history.append(session, loaded.head, to=Status.CLOSED, actor="clock",
                                  event=Event.CLOSED, at=city.now(), wake_at=None)
        until, waiting_for = over, Wait.RETURN_WINDOW
        if city.now() >= over:
            # The reconciliation wakes it; a clock runs all the same, so that a lost nudge only costs hours.
            until, waiting_for = city.after(hours=6), Wait.RECONCILIATION
        return history.wait(session, loaded.head, until=until, waiting_for=waiting_for)


async def _settle(city: City, loaded: Loaded, placed: Placed, claimed: Claimed) -> Head:
    """2102 at the handover."""
    claim = with_person(city, loaded, claimed.claim, open_identity(city, loaded))

    async def again() -> Settlement | None:
        # The fund is asked by saying the same again: the same msgid settles once (contract 3).
        return await city.payer.settle(claim)

    def settled(session: Session, answer: Settlement) -> Head:
        fresh = prescriptions.load(session, loaded.id)
        if claimed.status is Money.QUOTED:
            # A re-settlement has no pre-settlement of its own: what it settles was handed over long ago.
            claims.pre_settled(session, loaded.id, claimed.version, answer)
        claims.settled(session, loaded.id, claimed.version, answer)
        ledger.post(session, templates.settled(loaded.id, placed.order.chain, claim.insutype, answer), at=city.now(),
                    day=answer.day)
        for name, ours, theirs in differences(claimed.pre_settled or claimed.forecast, answer):
            disagree(session, kind="expected_vs_settlement", subject=f"{claim.reference}:{name}", expected=ours,
                     actual=theirs, at=city.now(), prescription_id=loaded.id)
        reports.notify_chain(session, city, loaded.id, placed.order.chain, placed.id, answer)
        reports.report(session, city, loaded.prescription, Status.SETTLED, reason=Event.SETTLED, money=answer, settled=claimed,
                       handed_over=placed if placed.returned_lines else None, again=str(claimed.version))
        # Whatever was said while the fund thought is looked at now.
        seen_all = fresh.head == loaded.head and claimed.lines == placed.kept_lines
        until = _window(city, placed) if seen_all else city.now()
        return history.append(session, fresh.head, to=Status.SETTLED, actor=f"payer:{city.payer.slug}",
                              event=Event.SETTLED, at=city.now(), wake_at=until,
                              waiting_for=Wait.RETURN_WINDOW,
                              detail={"settlement": answer.settlement_id, "reference": claim.reference,
                                      "total_fen": answer.total, "fund_fen": answer.fund,
                                      "account_fen": answer.account, "cash_fen": answer.cash})

    return await once(city, Effect(loaded.id, "settle", claim.reference), partner=city.payer.slug,
                      request=city.payer.request_bytes(claim), answer=SETTLEMENT,
                      send=lambda: city.payer.settle(claim), ask=again, then=settled)


async def _reverse(city: City, loaded: Loaded, placed: Placed, claimed: Claimed) -> Head:
    """2103: the whole settlement, whatever came back (F-20)."""
    settled = claimed.settled
    entitlement = open_entitlement(city, loaded)
    if settled is None or entitlement is None:
        raise NeedsOperator(f"{loaded.id}: nothing to reverse", code="nothing_to_reverse")
    with city.db.transaction("reversal.numbered") as session:
        reference = claims.intend_reversal(session, claimed, city.payer.new_reference, city.now())
    sent_at = claimed.claim.at

    async def reverse() -> Reversal:
        return await city.payer.reverse(reference, settled.settlement_id, settled.visit_id, entitlement.psn_no,
                                        entitlement.insured_place, sent_at)

    def reversed_(session: Session, reversal: Reversal) -> None:
        fresh = prescriptions.load(session, loaded.id)
        claims.reversed_(session, loaded.id, claimed.version, reversal)
        ledger.post(session, templates.reversed_(loaded.id, placed.order.chain, claimed.claim.insutype, settled), at=city.now(),
                    day=reversal.day)
        history.append(session, fresh.head, actor=f"payer:{city.payer.slug}", event=Event.REVERSED,
                       at=city.now(), wake_at=city.now(), waiting_for=Wait.RESETTLEMENT,
                       detail={"settlement": settled.settlement_id, "reversal": reversal.settlement_id,
                               "reference": reference})

    request = hashlib.sha256(f"{reference}\n{settled.settlement_id}".encode()).digest()
    await once(city, Effect(loaded.id, "reverse", reference), partner=city.payer.slug, request=request,
               answer=REVERSAL, send=reverse, ask=reverse, then=reversed_)
    return await settle(city, loaded.id)


def _settled(city: City, loaded: Loaded, placed: Placed, claimed: Claimed) -> Head:
    """Claim and goods agree; after a whole return both are empty."""
    with city.db.transaction("settlement.agreed") as session:
        if claimed.reversed:
            reports.notify_chain(session, city, loaded.id, placed.order.chain, placed.id, None)
            reports.report(session, city, loaded.prescription, Status.SETTLED, reason=Event.REVERSED,
                           money=ZERO, settled=claimed, handed_over=placed, again=f"{claimed.version}r")
        return history.append(session, loaded.head, to=Status.SETTLED, actor="platform",
                              event=Event.CLAIM_AGREES, at=city.now(),
                              wake_at=_window(city, placed), waiting_for=Wait.RETURN_WINDOW)


def _window(city: City, placed: Placed) -> datetime:
    """When the patient may bring nothing back any more."""
    assert placed.handed_over_at is not None
    return placed.handed_over_at + city.policy.return_window


def _handed_over(attempts: list[Placed]) -> Placed:
    return next(placed for placed in reversed(attempts) if placed.handed_over_at)


ZERO = Settlement(Fen(0), Fen(0), Fen(0), Fen(0), Fen(0), Fen(0), Fen(0))


async def reconcile_day(city: City, day: date | None = None) -> bool:
    """3201 for one of the city's calendar days (default today), per insurance type (F-29).

    True when the fund agrees with every total; a total it does not agree with is a discrepancy. Raises
    `Transient` when the fund stays busy.
    """
    day = day or city.today()
    with city.db.reading() as session:
        rows = ledger.totals_of(session, day, city.policy.clr_optins)
    agreed = True
    for totals in rows:
        answer = await _ask_fund(city, totals)
        agreed = agreed and answer.matched
        with city.db.transaction("day.reconciled") as session:
            for rx_id in reconciliations.record(session, totals, matched=answer.matched, text=answer.text, at=city.now()):
                prescriptions.wake(session, rx_id, city.now())
            if not answer.matched:
                disagree(session, kind="day_total", subject=f"{day}:{totals.insutype}",
                         expected=f"{totals.total}/{totals.fund}/{totals.account}/{totals.count}",
                         actual=answer.text, at=city.now())
    return agreed


def unreconciled_days(city: City) -> list[date]:
    """The days before today with claims the fund has not agreed to yet, oldest first: a failed night is made up."""
    with city.db.reading() as session:
        return reconciliations.unreconciled_days(session, city.today())


async def _ask_fund(city: City, totals: DayTotals) -> Reconciled:
    for pause in (1, 2, 4):
        try:
            return await city.payer.reconcile(totals)
        except Transient:
            await asyncio.sleep(pause)
    return await city.payer.reconcile(totals)

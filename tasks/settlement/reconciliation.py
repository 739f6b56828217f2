"""Reconciliation: the fund agrees with the ledger's totals of each day (3201)."""

import asyncio
from datetime import date

from domain.claims import DayTotals, Reconciled
from domain.errors import Transient
from infra.db import ledger, prescriptions, reconciliations
from infra.db.discrepancies import disagree
from tasks.city import City


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

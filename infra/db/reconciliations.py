"""Days of the fund: what it has answered to our totals of a day, and which claims that reconciles."""

from datetime import date, datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from domain.claims import DayTotals
from domain.lifecycle import Money
from infra.db import ledger
from infra.db.rows import UNRECONCILED, ClaimRow, ReconciliationRow


def unreconciled_days(session: Session, before: date) -> list[date]:
    """Days before that with settlements or reversals the fund has not agreed to, oldest first."""
    open_ = sa.text(f"({UNRECONCILED})")
    settled = sa.select(ClaimRow.settled_on.label("day")).where(open_, ClaimRow.status == Money.SETTLED)
    reversed_ = sa.select(ClaimRow.reversed_on.label("day")).where(open_, ClaimRow.status == Money.REVERSED)
    days = sa.union(settled, reversed_).subquery()
    return list(session.scalars(sa.select(days.c.day).where(days.c.day < before).order_by(days.c.day)))


def record(session: Session, totals: DayTotals, *, matched: bool, text: str, at: datetime) -> list[str]:
    """Record the answer to a 3201; where it matched, the day's claims are reconciled. Returns their prescriptions.

    None of them if the ledger has other totals by now: the answer was about less than the day holds.
    """
    session.add(ReconciliationRow(day=totals.begin, insutype=totals.insutype, total_fen=totals.total,
                                  fund_fen=totals.fund, account_fen=totals.account, count=totals.count,
                                  matched=matched, text=text[:200], at=at))
    if not matched:
        return []
    # A reversed claim is done once the day of its reversal matched; a settled one with its own day.
    of_the_day = sa.and_(
        ClaimRow.insutype == totals.insutype,
        sa.or_(sa.and_(ClaimRow.status == Money.SETTLED, ClaimRow.settled_on == totals.begin),
               sa.and_(ClaimRow.status == Money.REVERSED, ClaimRow.reversed_on == totals.begin)))
    # The claims before the totals: a claim that settles in between changes the totals, and none is reconciled.
    covered = session.execute(sa.select(ClaimRow.prescription_id, ClaimRow.order_id, ClaimRow.version).where(of_the_day)).all()
    if totals not in ledger.totals_of(session, totals.begin, totals.setl_optins):
        return []
    for _, order_id, version in covered:
        session.execute(sa.update(ClaimRow)
                        .where(of_the_day, ClaimRow.order_id == order_id, ClaimRow.version == version)
                        .values(status=Money.RECONCILED).execution_options(synchronize_session=False))
    return sorted({prescription_id for prescription_id, _, _ in covered})

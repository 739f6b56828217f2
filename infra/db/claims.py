"""Claims on the fund, the ledger they post to, and the days they are reconciled by."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cache

import sqlalchemy as sa
from sqlalchemy.orm import Session

from domain.claims import Claim, DayTotals, Identity, Reversal, Settlement
from domain.errors import StaleStatus
from domain.lifecycle import MONEY_TRANSITIONS, Money
from domain.money import Entry, Fen, Posting
from infra.db.engine import Row, insert_new, run, table
from infra.db.rows import UNRECONCILED, ClaimRow, DiscrepancyRow, EntryRow, PostingRow, ReconciliationRow
from infra.db.stored import CLAIM, SETTLEMENT

NOBODY = Identity("", "")


@dataclass(frozen=True)
class Claimed:
    """A claim and how far its money is. `claim` lacks psn_no and identity: those are opened for a call."""

    claim: Claim
    version: int
    order_id: str
    status: Money
    forecast: Settlement
    pre_settled: Settlement | None
    settled: Settlement | None
    reversed: bool = False
    """Taken back by the fund, whether or not that day is reconciled yet."""

    @property
    def lines(self) -> tuple[int, ...]:
        return tuple(line.line for line in self.claim.lines)


_CLAIM = table(ClaimRow)
_ROW = _CLAIM.c
_NEWEST = (
    sa.select(_ROW.content, _ROW.version, _ROW.order_id, _ROW.status, _ROW.forecast, _ROW.pre_settled, _ROW.settled,
              _ROW.reversal_id)
    .where(_ROW.prescription_id == sa.bindparam("of")).order_by(_ROW.version.desc()).limit(1)
)
_TAKEN_BACK = _NEWEST.where(_ROW.reversal_id.is_not(None))
_REFERENCE_TAKEN = sa.select(_ROW.version).where(
    sa.or_(_ROW.reference == sa.bindparam("wanted"), _ROW.reversal_reference == sa.bindparam("wanted"))).limit(1)
_POST = sa.insert(table(PostingRow))
_ENTRIES = sa.insert(table(EntryRow))


@cache
def _move(to: Money, *columns: str) -> sa.Update:
    """Check that the claim may become that, and set these columns."""
    starts = [start for start, ends in MONEY_TRANSITIONS.items() if to in ends]
    return (sa.update(_CLAIM).where(_ROW.prescription_id == sa.bindparam("of"), _ROW.version == sa.bindparam("this"),
                                    _ROW.status.in_(starts))
            .values(status=to, **{column: sa.bindparam(f"new_{column}") for column in columns}))


def make(session: Session, claim: Claim, *, version: int, order_id: str, forecast: Settlement) -> Claimed:
    """Raises `StaleStatus` if another worker has made this version meanwhile."""
    public = replace(claim, psn_no="", identity=NOBODY)
    if not insert_new(session, ClaimRow, prescription_id=claim.prescription_id, version=version, order_id=order_id,
                      status=Money.QUOTED, reference=claim.reference, content=CLAIM.write(public),
                      insutype=claim.insutype, total_fen=claim.total, forecast=SETTLEMENT.write(forecast)):
        raise StaleStatus(f"{claim.prescription_id}: another worker has made claim {version}")
    return Claimed(public, version, order_id, Money.QUOTED, forecast, None, None)


def free_reference(session: Session, new: Callable[[datetime, int], str], at: datetime, key: str) -> str:
    """A msgid nobody has used: four digits a second are few, so a taken one moves on to the next."""
    sequence = zlib.crc32(key.encode())
    for step in range(10_000):
        reference = new(at, (sequence + step) % 10_000)
        if run(session, _REFERENCE_TAKEN, {"wanted": reference}).first() is None:
            return reference
    raise StaleStatus("every reference of this second is taken")


def renew_reference(session: Session, prescription_id: str, reference: str, new: Callable[[datetime, int], str],
                    at: datetime) -> None:
    """Give a refused request another msgid: under the old one the fund would repeat its no for ever."""
    for row in session.scalars(sa.select(ClaimRow).where(ClaimRow.prescription_id == prescription_id)):
        fresh = free_reference(session, new, at, f"{prescription_id}:{row.version}:{reference}")
        if row.reference == reference:
            row.reference, row.content = fresh, row.content | {"reference": fresh}
        elif row.reversal_reference == reference:
            row.reversal_reference = fresh
        session.flush()


def newest(session: Session, prescription_id: str) -> Claimed | None:
    row = run(session, _NEWEST, {"of": prescription_id}).one_or_none()
    return _claimed(row) if row else None


def taken_back(session: Session, prescription_id: str) -> Claimed | None:
    """The newest claim whose settlement was reversed; None if none was."""
    row = run(session, _TAKEN_BACK, {"of": prescription_id}).one_or_none()
    return _claimed(row) if row else None


def pre_settled(session: Session, prescription_id: str, version: int, answer: Settlement) -> None:
    _advance(session, prescription_id, version, Money.PRE_SETTLED, pre_settled=SETTLEMENT.write(answer))


def settled(session: Session, claim: Claim, version: int, answer: Settlement, *, chain: str, at: datetime) -> None:
    """The fund has paid: the claim moves and the ledger gets its posting. It counts for the fund's calendar day."""
    _advance(session, claim.prescription_id, version, Money.SETTLED, settled=SETTLEMENT.write(answer),
             settlement_id=answer.settlement_id, settled_on=answer.day)
    post(session, posting(claim.prescription_id, "settled", answer, chain, claim.insutype), at, answer.day)


def intend_reversal(session: Session, claimed: Claimed, new: Callable[[datetime, int], str], at: datetime) -> str:
    """The reversal's own reference, fixed before the first call."""
    row = session.get_one(ClaimRow, (claimed.claim.prescription_id, claimed.version))
    if row.reversal_reference is None:
        row.reversal_reference = free_reference(session, new, at, f"{row.prescription_id}:{row.version}:reversal")
        session.flush()
    return row.reversal_reference


def reversed_(session: Session, claimed: Claimed, reversal: Reversal, *, chain: str, at: datetime) -> None:
    """The fund has taken the settlement back: the same posting, signs turned."""
    assert claimed.settled is not None
    _advance(session, claimed.claim.prescription_id, claimed.version, Money.REVERSED,
             reversal_id=reversal.settlement_id, reversed_on=reversal.day)
    forward = posting(claimed.claim.prescription_id, "reversed", claimed.settled, chain, claimed.claim.insutype)
    post(session, replace(forward, entries=tuple(Entry(e.account, Fen(-e.amount)) for e in forward.entries)), at,
         reversal.day)


def posting(prescription_id: str, kind: str, answer: Settlement, chain: str, insutype: str) -> Posting:
    """Who pays the pharmacy: the fund, the personal accounts and the patient's purse. Sums to zero (F-17)."""
    entries = (
        Entry(f"chain:{chain}", answer.total),
        Entry(f"fund:{insutype}", Fen(-answer.fund)),
        Entry(f"account:{insutype}", Fen(-answer.account - answer.family)),
        Entry("patient", Fen(-answer.cash)),
    )
    return Posting(prescription_id, kind, answer.settlement_id, entries)


def post(session: Session, movement: Posting, at: datetime, day: date | None) -> None:
    """Write a movement down. `day` is the fund's calendar day it counts for."""
    posted = run(session, _POST, {"prescription_id": movement.prescription_id, "kind": movement.kind,
                                  "reference": movement.reference, "at": at, "day": day}).inserted_primary_key
    assert posted
    run(session, _ENTRIES, [
        {"posting_id": posted[0], "seq": seq, "account": entry.account, "amount_fen": entry.amount}
        for seq, entry in enumerate(movement.entries, 1)])


def _advance(session: Session, prescription_id: str, version: int, to: Money, **values: object) -> None:
    moved = run(session, _move(to, *values), {"of": prescription_id, "this": version,
                                              **{f"new_{column}": value for column, value in values.items()}})
    if moved.rowcount != 1:
        raise StaleStatus(f"{prescription_id} claim {version} cannot become {to}")


def day_totals(session: Session, day: date, clr_optins: str) -> list[DayTotals]:
    """The day's totals per insurance type; a reversal counts minus one, in amounts and in number (3201, F-29)."""
    sums: dict[str, list[int]] = {}
    for row in session.scalars(sa.select(ClaimRow).where(
            sa.or_(ClaimRow.settled_on == day, ClaimRow.reversed_on == day))):
        assert row.settled is not None
        answer = SETTLEMENT.read(row.settled)
        for sign, happened in ((1, row.settled_on == day), (-1, row.reversed_on == day)):
            if happened:
                total = sums.setdefault(row.insutype, [0, 0, 0, 0])
                total[0] += sign * answer.total
                total[1] += sign * answer.fund
                total[2] += sign * answer.account
                total[3] += sign
    return [DayTotals(insutype, "41", clr_optins, day, day, Fen(t[0]), Fen(t[1]), Fen(t[2]), t[3])
            for insutype, t in sorted(sums.items())]


def unreconciled_days(session: Session, before: date) -> list[date]:
    """Days before that with settlements or reversals the fund has not agreed to."""
    open_ = sa.text(f"({UNRECONCILED})")
    settled = sa.select(ClaimRow.settled_on.label("day")).where(open_, ClaimRow.status == Money.SETTLED)
    reversed_ = sa.select(ClaimRow.reversed_on.label("day")).where(open_, ClaimRow.status == Money.REVERSED)
    days = sa.union(settled, reversed_).subquery()
    return list(session.scalars(sa.select(days.c.day).where(days.c.day < before).order_by(days.c.day)))


def reconciled(session: Session, totals: DayTotals, *, matched: bool, text: str, at: datetime) -> list[str]:
    """Record the answer to a 3201; where it matched, the day's claims are reconciled. Returns their prescriptions.

    None of them if the day has moved on since its totals were taken: the answer was about less than it holds now.
    """
    session.add(ReconciliationRow(day=totals.begin, insutype=totals.insutype, total_fen=totals.total,
                                  fund_fen=totals.fund, account_fen=totals.account, count=totals.count,
                                  matched=matched, text=text[:200], at=at))
    if not matched:
        return []
    # A reversed claim is done once the day of its reversal matched; a settled one with its own day.
    mine = sa.and_(
        ClaimRow.insutype == totals.insutype,
        sa.or_(sa.and_(ClaimRow.status == Money.SETTLED, ClaimRow.settled_on == totals.begin),
               sa.and_(ClaimRow.status == Money.REVERSED, ClaimRow.reversed_on == totals.begin)))
    covered = session.execute(sa.select(ClaimRow.prescription_id, ClaimRow.version).where(mine)).all()
    if totals not in day_totals(session, totals.begin, totals.setl_optins):
        return []
    for prescription_id, version in covered:
        session.execute(sa.update(ClaimRow)
                        .where(mine, ClaimRow.prescription_id == prescription_id, ClaimRow.version == version)
                        .values(status=Money.RECONCILED).execution_options(synchronize_session=False))
    return sorted({prescription_id for prescription_id, _ in covered})


def disagree(session: Session, *, kind: str, subject: str, expected: object, actual: object, at: datetime,
             prescription_id: str = "") -> None:
    """A difference is a finding for a person, once per subject."""
    insert_new(session, DiscrepancyRow, prescription_id=prescription_id, kind=kind, subject=subject[:80],
               expected=str(expected)[:80], actual=str(actual)[:80], found_at=at)


def differences(ours: Settlement, theirs: Settlement) -> Sequence[tuple[str, int, int]]:
    """Amounts in which two settlements differ, as (name, ours, theirs) in fen."""
    names = ("total", "own", "over", "first_pay", "eligible", "deductible", "pool", "fund", "account", "family", "cash")
    return [(name, getattr(ours, name), getattr(theirs, name)) for name in names
            if getattr(ours, name) != getattr(theirs, name)]


def _claimed(row: Row) -> Claimed:
    content, version, order_id, status, forecast, pre_settled, settled, reversal_id = row
    return Claimed(
        CLAIM.read(content), version, order_id, Money(status), SETTLEMENT.read(forecast),
        SETTLEMENT.read(pre_settled) if pre_settled else None,
        SETTLEMENT.read(settled) if settled else None, reversal_id is not None)

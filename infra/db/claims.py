"""Claims on the fund and how far their money is. What moves in the books for them is the caller's, in the same transaction."""

import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import cache

import sqlalchemy as sa
from sqlalchemy.orm import Session

from domain.claims import Claim, Claimed, Identity, Reversal, Settlement
from domain.errors import StaleStatus
from domain.lifecycle import MONEY_TRANSITIONS, Money
from infra.db.engine import Row, insert_new, run, table
from infra.db.precompiled import Precompiled
from infra.db.rows import ClaimRow, TraceUploadRow
from infra.db.stored import CLAIM, SETTLEMENT

NOBODY = Identity("", "")


_CLAIM = table(ClaimRow)
_ROW = _CLAIM.c
_SELECT = sa.select(_ROW.content, _ROW.version, _ROW.order_id, _ROW.status, _ROW.forecast, _ROW.pre_settled, _ROW.settled,
                    _ROW.reversal_id, _ROW.reversal_reference)
_OF_ORDER = _SELECT.where(_ROW.order_id == sa.bindparam("order")).order_by(_ROW.version.desc()).limit(1)
_NEWEST, _TAKEN_BACK = Precompiled(_OF_ORDER), Precompiled(_OF_ORDER.where(_ROW.reversal_id.is_not(None)))
_OF = Precompiled(_SELECT.where(_ROW.prescription_id == sa.bindparam("of")).order_by(_ROW.order_id, _ROW.version))
_REFERENCE_TAKEN = Precompiled(sa.select(sa.literal(1, literal_execute=False).label("taken")).where(sa.or_(
    sa.exists().where(_ROW.reference == sa.bindparam("wanted")),
    sa.exists().where(_ROW.reversal_reference == sa.bindparam("wanted")),
    sa.exists().where(table(TraceUploadRow).c.reference == sa.bindparam("wanted")))))


@cache
def _move(to: Money, *columns: str) -> sa.Update:
    """Check that the claim may become that, and set these columns."""
    starts = [start for start, ends in MONEY_TRANSITIONS.items() if to in ends]
    return (sa.update(_CLAIM).where(_ROW.order_id == sa.bindparam("order"), _ROW.version == sa.bindparam("this"),
                                    _ROW.status.in_(starts))
            .values(status=to, **{column: sa.bindparam(f"new_{column}") for column in columns}))


def make(session: Session, claim: Claim, *, version: int, order_id: str, forecast: Settlement) -> Claimed:
    """Raises `StaleStatus` if another worker has made this version meanwhile."""
    public = replace(claim, psn_no="", identity=NOBODY)
    if not insert_new(session, ClaimRow, prescription_id=claim.prescription_id, version=version, order_id=order_id,
                      status=Money.QUOTED, reference=claim.reference, content=CLAIM.write(public),
                      insutype=claim.insutype, total_fen=claim.total, forecast=SETTLEMENT.write(forecast)):
        raise StaleStatus(f"{order_id}: another worker has made claim {version}")
    return Claimed(public, version, order_id, Money.QUOTED, forecast, None, None)


def free_reference(session: Session, new: Callable[[datetime, int], str], at: datetime, key: str) -> str:
    """A msgid that is not used yet: four digits a second are few, so a taken one moves on to the next."""
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
        fresh = free_reference(session, new, at, f"{row.order_id}:{row.version}:{reference}")
        if row.reference == reference:
            row.reference, row.content = fresh, row.content | {"reference": fresh}
        elif row.reversal_reference == reference:
            row.reversal_reference = fresh
        session.flush()


def newest(session: Session, order_id: str) -> Claimed | None:
    """The newest claim for an order."""
    row = run(session, _NEWEST, {"order": order_id}).one_or_none()
    return _claimed(row) if row else None


def newest_of(session: Session, prescription_id: str) -> dict[str, Claimed]:
    """The newest claim of each order of a prescription that has one, by the order's id."""
    return {claimed.order_id: claimed for claimed in map(_claimed, run(session, _OF, {"of": prescription_id}))}


def taken_back(session: Session, order_id: str) -> Claimed | None:
    """The newest claim for an order whose settlement was reversed; None if none was."""
    row = run(session, _TAKEN_BACK, {"order": order_id}).one_or_none()
    return _claimed(row) if row else None


def pre_settled(session: Session, claimed: Claimed, answer: Settlement) -> None:
    _advance(session, claimed, Money.PRE_SETTLED, pre_settled=SETTLEMENT.write(answer))


def settled(session: Session, claimed: Claimed, answer: Settlement) -> None:
    """The fund has paid. It counts for the fund's calendar day."""
    _advance(session, claimed, Money.SETTLED, settled=SETTLEMENT.write(answer), settlement_id=answer.settlement_id,
             settled_on=answer.day)


def intend_reversal(session: Session, claimed: Claimed, new: Callable[[datetime, int], str], at: datetime) -> str:
    """The reversal's own reference, fixed before the first call."""
    row = session.get_one(ClaimRow, (claimed.order_id, claimed.version))
    if row.reversal_reference is None:
        row.reversal_reference = free_reference(session, new, at, f"{row.order_id}:{row.version}:reversal")
        session.flush()
    return row.reversal_reference


def reversed_(session: Session, claimed: Claimed, reversal: Reversal) -> None:
    """The fund has taken the settlement back."""
    _advance(session, claimed, Money.REVERSED, reversal_id=reversal.settlement_id, reversed_on=reversal.day)


def _advance(session: Session, claimed: Claimed, to: Money, **values: object) -> None:
    moved = run(session, _move(to, *values), {"order": claimed.order_id, "this": claimed.version,
                                              **{f"new_{column}": value for column, value in values.items()}})
    if moved.rowcount != 1:
        raise StaleStatus(f"{claimed.order_id} claim {claimed.version} cannot become {to}")


def _claimed(row: Row) -> Claimed:
    content, version, order_id, status, forecast, pre_settled, settled, reversal_id, reversal_reference = row
    return Claimed(
        CLAIM.read(content), version, order_id, Money(status), SETTLEMENT.read(forecast),
        SETTLEMENT.read(pre_settled) if pre_settled else None,
        SETTLEMENT.read(settled) if settled else None, reversal_id is not None, reversal_reference)

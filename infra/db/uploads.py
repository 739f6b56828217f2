"""What the fund is told of packs sold and brought back: rows that are claimed, sent and answered."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.orm import Session

from domain.trace import UploadKind, UploadLine
from infra.db import claims
from infra.db.engine import run, table
from infra.db.precompiled import Precompiled
from infra.db.rows import ClaimRow, OrderRow, PackRow, PackUseRow, PrescriptionRow, ReviewRow, TraceUploadRow
from infra.db.stored import ORDER, PRESCRIPTION
from infra.db.traces import upload_number

MOST = 40
"""Packs in one call: the interface takes 40,000 characters of input."""


@dataclass(frozen=True)
class Batch:
    """Rows that go in one call."""

    kind: UploadKind
    reference: str
    """msgid of the call; the same rows under the same one however often it is made."""
    doubtful: bool
    """It was begun before, and what came of it is not known."""
    attempts: int
    lines: tuple[UploadLine, ...]

    @property
    def numbers(self) -> list[str]:
        return [line.number for line in self.lines]


_UPLOAD = table(TraceUploadRow)
_ROW = _UPLOAD.c
_SALE = _UPLOAD.alias()
_DUE = sa.and_(_ROW.due_at.is_not(None), _ROW.due_at <= sa.bindparam("at"))
_SALE_IS_KNOWN = sa.or_(_ROW.kind == UploadKind.SALE, sa.exists().where(
    _SALE.c.kind == UploadKind.SALE, _SALE.c.order_id == _ROW.order_id, _SALE.c.line == _ROW.line, _SALE.c.code == _ROW.code,
    _SALE.c.sent_at.is_not(None)))
"""A return goes after its sale."""
_ANY_DUE = Precompiled(sa.select(_ROW.number).where(_DUE, _SALE_IS_KNOWN).limit(1))
_NEXT = (sa.select(_ROW.number, _ROW.kind, _ROW.reference, _ROW.alone, _ROW.attempts).where(_DUE, _SALE_IS_KNOWN)
         .order_by(_ROW.reference.desc(), _ROW.alone.desc(), _ROW.kind.desc(), _ROW.made_at, _ROW.number)
         .limit(sa.bindparam("most"))
         .with_for_update(skip_locked=True))
"""What was begun before goes first; sales before returns."""


def any_due(session: Session, at: datetime) -> bool:
    return run(session, _ANY_DUE, {"at": at}).first() is not None


def claim(session: Session, *, at: datetime, lease: timedelta, new: Callable[[datetime, int], str]) -> Batch | None:
    """The next rows to send, ours for the length of the lease; None where nothing may go. The msgid is fixed with them."""
    rows = session.execute(_NEXT, {"at": at, "most": MOST}).all()
    if not rows:
        return None
    first = rows[0]
    if first.reference:
        # The rows of one call stay together: the fund knows the call by its msgid and its content.
        picked = list(session.scalars(sa.select(TraceUploadRow.number).where(
            TraceUploadRow.reference == first.reference, TraceUploadRow.due_at.is_not(None))))
        reference = first.reference
    else:
        alike = [row for row in rows if (row.kind, row.reference, row.alone) == (first.kind, "", first.alone)]
        picked = [row.number for row in (alike[:1] if first.alone else alike)]
        reference = claims.free_reference(session, new, at, f"upload:{first.number}:{first.attempts}")
    settlements = _settlements(session, picked)
    for number in picked:
        values = {"due_at": at + lease} | ({} if first.reference else {
            "reference": reference, "settlement_id": settlements.get(number, "")})
        session.execute(sa.update(TraceUploadRow).where(TraceUploadRow.number == number).values(values))
    return Batch(UploadKind(first.kind), reference, bool(first.reference), first.attempts, _lines(session, picked))


def taken(session: Session, numbers: Sequence[str], at: datetime) -> None:
    """The fund has them."""
    session.execute(_these(numbers).values(due_at=None, sent_at=at, trouble=""))


def refused(session: Session, numbers: Sequence[str], code: str, at: datetime) -> None:
    """The fund's no: of several rows each is tried alone, of one it is final."""
    if len(numbers) > 1:
        session.execute(_these(numbers).values(due_at=at, reference="", alone=True))
        return
    session.execute(_these(numbers).values(due_at=None, trouble=code[:80]))
    # What was never sold, in the fund's book, does not come back there.
    of = session.execute(sa.select(_ROW.order_id, _ROW.line, _ROW.code).where(_ROW.number.in_(numbers))).one()
    session.execute(sa.update(TraceUploadRow).where(
        TraceUploadRow.order_id == of.order_id, TraceUploadRow.line == of.line, TraceUploadRow.code == of.code,
        TraceUploadRow.kind == UploadKind.RETURN, TraceUploadRow.due_at.is_not(None)).values(due_at=None, trouble="sale_refused"))


def failed(session: Session, numbers: Sequence[str], *, trouble: str, again_at: datetime) -> None:
    """They go again then, under the same msgid."""
    session.execute(_these(numbers).values(due_at=again_at, attempts=TraceUploadRow.attempts + 1, trouble=trouble[:80]))


def _these(numbers: Sequence[str]) -> sa.Update:
    return sa.update(TraceUploadRow).where(TraceUploadRow.number.in_(numbers), TraceUploadRow.due_at.is_not(None))


def _settlements(session: Session, numbers: Sequence[str]) -> dict[str, str]:
    """setl_id of the settlement of each row's order that counts now, by the row's number."""
    rows = session.execute(
        sa.select(TraceUploadRow.number, ClaimRow.settlement_id).join(ClaimRow, ClaimRow.order_id == TraceUploadRow.order_id)
        .where(TraceUploadRow.number.in_(numbers), ClaimRow.settlement_id.is_not(None)).order_by(ClaimRow.version))
    return {number: settlement or "" for number, settlement in rows}


def _lines(session: Session, numbers: Sequence[str]) -> tuple[UploadLine, ...]:
    rows = session.execute(
        sa.select(TraceUploadRow, PackUseRow, PackRow, OrderRow.content, OrderRow.prescription_id, PrescriptionRow.content,
                  ReviewRow.pharmacist, sa.exists().where(ClaimRow.order_id == TraceUploadRow.order_id))
        .join(PackUseRow, sa.and_(PackUseRow.order_id == TraceUploadRow.order_id, PackUseRow.line == TraceUploadRow.line,
                                  PackUseRow.code == TraceUploadRow.code))
        .join(PackRow, PackRow.code == TraceUploadRow.code).join(OrderRow, OrderRow.id == TraceUploadRow.order_id)
        .join(PrescriptionRow, PrescriptionRow.id == OrderRow.prescription_id)
        .outerjoin(ReviewRow, ReviewRow.prescription_id == OrderRow.prescription_id)
        .where(TraceUploadRow.number.in_(numbers)).order_by(TraceUploadRow.made_at, TraceUploadRow.number)
        .execution_options(populate_existing=True))
    return tuple(_line(*row) for row in rows)


def _line(upload: TraceUploadRow, use: PackUseRow, pack: PackRow, order: dict[str, object], prescription_id: str,
          prescription: dict[str, object], pharmacist: str | None, insured: bool) -> UploadLine:
    line = next(line for line in ORDER.upgraded(order)["lines"] if line["line"] == upload.line)
    rx = PRESCRIPTION.upgraded(prescription)
    name = next(item["name"] for item in rx["items"] if item["line"] == upload.line)
    at = use.ended_at if upload.kind == UploadKind.RETURN else use.handed_over_at
    assert at is not None
    return UploadLine(
        number=upload.number, order_id=upload.order_id, prescription_id=prescription_id, drug=pack.drug, name=name,
        code=upload.code, lot=pack.lot, made_on=use.made_on, expires_on=use.expires_on, units=use.units, opened=use.opened,
        unit_price=Decimal(line["unit_price"]), prescriber=rx["prescriber"]["id"], pharmacist=pharmacist or "", insured=insured,
        settlement_id=upload.settlement_id, at=at,
        sale_number=upload_number(UploadKind.SALE, upload.order_id, upload.line, upload.code)
        if upload.kind == UploadKind.RETURN else "")

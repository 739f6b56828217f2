"""Packs by their trace codes, and what they were used for."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from domain.errors import StaleStatus
from domain.knowledge.rows import TraceProduct
from domain.trace import Facts, Pack, Recall, Scan, UploadKind, Use, UseStatus
from infra.db.engine import insert_new, run, table
from infra.db.rows import OrderRow, PackRow, PackUseRow, RecallRow, TraceUploadRow

_PACK, _USE, _UPLOAD, _RECALL = (table(row) for row in (PackRow, PackUseRow, TraceUploadRow, RecallRow))
_NOTHING = sa.literal("")
_LOOK = sa.union_all(
    sa.select(sa.literal("pack").label("kind"), _PACK.c.code, _PACK.c.place.label("text"), _PACK.c.units.label("units"),
              _PACK.c.units_left.label("number"), (_PACK.c.quarantined_at.is_not(None)).label("flag"), _NOTHING.label("status"))
    .where(_PACK.c.code.in_(sa.bindparam("codes", expanding=True))),
    sa.select(sa.literal("use"), _USE.c.code, _NOTHING, _USE.c.units, _USE.c.line, _USE.c.opened, _USE.c.status)
    .where(_USE.c.order_id == sa.bindparam("order"), _USE.c.status != UseStatus.RELEASED),
    sa.select(sa.literal("recall"), _RECALL.c.code, _RECALL.c.lot, sa.literal(0), sa.literal(0), sa.false(), _RECALL.c.drug)
    .where(sa.or_(_RECALL.c.lot.in_(sa.bindparam("lots", expanding=True)),
                  _RECALL.c.code.in_(sa.bindparam("codes", expanding=True)))),
)
"""What scans are judged by, in one statement."""
_USES = sa.select(_USE.c.line, _USE.c.code, _USE.c.units, _USE.c.opened, _USE.c.status).where(
    _USE.c.order_id == sa.bindparam("order"), _USE.c.status != UseStatus.RELEASED).order_by(_USE.c.line, _USE.c.code)
_OF_PACK = _PACK.c.code == sa.bindparam("pack")
_TAKE = (sa.update(_PACK).where(_OF_PACK, _PACK.c.quarantined_at.is_(None), _PACK.c.units_left >= sa.bindparam("taken"))
         .values(units_left=_PACK.c.units_left - sa.bindparam("taken")))
_GIVE_BACK = sa.update(_PACK).where(_OF_PACK).values(units_left=_PACK.c.units_left + sa.bindparam("taken"))
_THIS_USE = sa.and_(_USE.c.order_id == sa.bindparam("order"), _USE.c.line == sa.bindparam("at_line"),
                    _USE.c.code == sa.bindparam("pack"), _USE.c.status == sa.bindparam("was"))
_MOVE_USE = sa.update(_USE).where(_THIS_USE).values(
    status=sa.bindparam("to"), handed_over_at=sa.func.coalesce(sa.bindparam("handed", type_=_USE.c.handed_over_at.type),
                                                               _USE.c.handed_over_at),
    ended_at=sa.bindparam("ended", type_=_USE.c.ended_at.type))
_BIND_AGAIN = sa.update(_USE).where(_THIS_USE).values(
    status=sa.bindparam("to"), units=sa.bindparam("taken"), opened=sa.bindparam("part"), handed_over_at=sa.bindparam("handed"),
    ended_at=None)


def look(session: Session, order_id: str, scans: Sequence[Scan], products: Mapping[str, TraceProduct]) -> tuple[Facts, list[Use]]:
    """What scans are judged by, and the packs bound to the lines of an order."""
    rows = run(session, _LOOK, {"order": order_id, "codes": sorted({scan.code for scan in scans}) or ["-"],
                                "lots": sorted({scan.lot for scan in scans} - {""}) or ["-"]})
    packs: dict[str, Pack] = {}
    uses: list[Use] = []
    recalls: list[Recall] = []
    for kind, code, text, units, number, flag, status in rows:
        if kind == "pack":
            packs[code] = Pack(code, text, units, number, bool(flag))
        elif kind == "use":
            uses.append(Use(number, code, units, bool(flag), UseStatus(status)))
        else:
            recalls.append(Recall(status, text, code))
    return Facts(products, packs, recalls), uses


def uses_of(session: Session, order_id: str) -> list[Use]:
    """The packs of an order, by line; without those that went back on the shelf."""
    return [Use(line, code, units, opened, UseStatus(status))
            for line, code, units, opened, status in run(session, _USES, {"order": order_id})]


def bind(session: Session, order_id: str, place: str, scans: Sequence[Scan], facts: Facts, to: UseStatus, at: datetime) -> None:
    """Take the units of packs for lines of an order. Raises `StaleStatus` where another process has taken them meanwhile."""
    scans = sorted(scans, key=lambda scan: scan.code)  # Two who take the same packs wait for each other, and not in a circle.
    fresh = [scan for scan in scans if scan.code not in facts.packs]
    products = {scan.code: facts.products[scan.code[:7]] for scan in scans}
    if fresh:
        _insert(session, PackRow, [
            {"code": scan.code, "drug": products[scan.code].drug, "lot": scan.lot, "place": place,
             "units": products[scan.code].units, "units_left": products[scan.code].units - scan.units, "quarantined_at": None}
            for scan in fresh])
    for scan in scans:
        if scan.code in facts.packs and run(session, _TAKE, {"pack": scan.code, "taken": scan.units}).rowcount != 1:
            raise StaleStatus(f"a pack of {order_id} was sold meanwhile")
    handed = at if to is UseStatus.HANDED_OVER else None
    rows = [{"order_id": order_id, "line": scan.line, "code": scan.code, "status": to, "units": scan.units,
             "opened": scan.units < products[scan.code].units, "made_on": scan.made_on, "expires_on": scan.expires_on,
             "prepared_at": at, "handed_over_at": handed, "ended_at": None} for scan in scans]
    if rows and run(session, _upsert(PackUseRow), rows).rowcount != len(rows):
        # Bound to the same line before, and put back on the shelf since.
        for row in rows:
            run(session, _BIND_AGAIN, {"order": order_id, "at_line": row["line"], "pack": row["code"], "was": UseStatus.RELEASED,
                                       "to": to, "taken": row["units"], "part": row["opened"], "handed": handed})


def hand_over(session: Session, order_id: str, uses: Sequence[Use], at: datetime) -> None:
    """The patient has these packs, which lay prepared."""
    _move(session, order_id, uses, UseStatus.HANDED_OVER, handed=at, ended=None)


def release(session: Session, order_id: str, uses: Sequence[Use], at: datetime) -> None:
    """These packs are back on the shelf."""
    _move(session, order_id, uses, UseStatus.RELEASED, handed=None, ended=at)
    if uses:
        run(session, _GIVE_BACK, [{"pack": use.code, "taken": use.units} for use in uses])


def release_prepared(session: Session, order_id: str, at: datetime) -> None:
    """An order ended without medicine: what lay prepared for it is back on the shelf."""
    release(session, order_id, [use for use in uses_of(session, order_id) if use.status is UseStatus.PREPARED], at)


def lose_prepared(session: Session, order_id: str, at: datetime) -> None:
    """The parcel of an order was lost, and its packs with it: their units do not come back (E-16)."""
    lost = [use for use in uses_of(session, order_id) if use.status is UseStatus.PREPARED]
    _move(session, order_id, lost, UseStatus.LOST, handed=None, ended=at)


def take_back(session: Session, order_id: str, uses: Sequence[Use], at: datetime) -> None:
    """The patient brought these packs back: they are in quarantine (E-12)."""
    _move(session, order_id, uses, UseStatus.RETURNED, handed=None, ended=at)
    session.execute(sa.update(PackRow).where(PackRow.code.in_([use.code for use in uses])).values(quarantined_at=at))


def owe_upload(session: Session, kind: UploadKind, order_id: str, uses: Sequence[tuple[int, str]], *, at: datetime, due: datetime
               ) -> None:
    """The fund is to be told of packs, each (line, code) once."""
    if uses:
        run(session, _upsert(TraceUploadRow), [
            {"kind": kind, "order_id": order_id, "line": line, "code": code, "number": upload_number(kind, order_id, line, code),
             "reference": "", "settlement_id": "", "made_at": at, "due_at": due, "sent_at": None,
             "alone": False, "attempts": 0, "trouble": ""}
            for line, code in uses])


def upload_number(kind: UploadKind, order_id: str, line: int, code: str) -> str:
    """30 characters that are the same however often they are made."""
    return {"sale": "S", "return": "R"}[kind] + hashlib.sha256(f"{order_id}\n{line}\n{code}".encode()).hexdigest()[:29].upper()


def uploaded_sales(session: Session, order_id: str) -> Collection[tuple[int, str]]:
    """The (line, code) of an order whose sale the fund was told of, or is to be."""
    return {(line, code) for line, code in session.execute(sa.select(TraceUploadRow.line, TraceUploadRow.code).where(
        TraceUploadRow.order_id == order_id, TraceUploadRow.kind == UploadKind.SALE,
        sa.or_(TraceUploadRow.due_at.is_not(None), TraceUploadRow.sent_at.is_not(None))))}


@dataclass(frozen=True)
class Concerned:
    """A pack that a recall is about, and whose it is."""

    prescription_id: str
    order_id: str
    place: str
    """chain/store."""
    line: int
    code: str
    status: UseStatus


def recall(session: Session, what: Recall, *, reason: str, by: str, at: datetime) -> None:
    """From now on what it names is not sold. Made once."""
    insert_new(session, RecallRow, drug=what.drug, lot=what.lot, code=what.code, reason=reason, by=by, at=at)


def concerned(session: Session, what: Recall) -> list[Concerned]:
    """The packs of a recall that are bound to an order, by prescription."""
    which = PackRow.code == what.code if what.code else sa.and_(PackRow.drug == what.drug, PackRow.lot == what.lot)
    return [Concerned(rx_id, order_id, f"{chain}/{store}", line, code, UseStatus(status))
            for rx_id, order_id, chain, store, line, code, status in session.execute(
                sa.select(OrderRow.prescription_id, OrderRow.id, OrderRow.chain, OrderRow.store, PackUseRow.line, PackUseRow.code,
                          PackUseRow.status)
                .join(PackUseRow, PackUseRow.order_id == OrderRow.id).join(PackRow, PackRow.code == PackUseRow.code)
                .where(which, PackUseRow.status.in_([UseStatus.PREPARED, UseStatus.HANDED_OVER]))
                .order_by(OrderRow.prescription_id, PackUseRow.line, PackUseRow.code))]


def _move(session: Session, order_id: str, uses: Sequence[Use], to: UseStatus, *, handed: datetime | None, ended: datetime | None
          ) -> None:
    rows = [{"order": order_id, "at_line": use.line, "pack": use.code, "was": use.status, "to": to, "handed": handed,
             "ended": ended} for use in uses]
    if rows and run(session, _MOVE_USE, rows).rowcount != len(rows):
        raise StaleStatus(f"a pack of {order_id} has moved meanwhile")


def _insert(session: Session, row: type[PackRow], rows: list[dict[str, object]]) -> None:
    if run(session, _upsert(row), rows).rowcount != len(rows):
        raise StaleStatus("a pack was sold meanwhile")


def _upsert(row: type[PackRow] | type[PackUseRow] | type[TraceUploadRow]) -> sa.TextClause:
    return _INSERTS[row]


def _insert_of(row: type[PackRow] | type[PackUseRow] | type[TraceUploadRow]) -> sa.TextClause:
    of = table(row)
    names, values = (", ".join(form.format(column.name) for column in of.c) for form in ('"{}"', ":{}"))
    return sa.text(f'INSERT INTO "{of.name}" ({names}) VALUES ({values}) ON CONFLICT DO NOTHING').bindparams(  # noqa: S608
        *(sa.bindparam(column.name, type_=column.type) for column in of.c))


_INSERTS = {row: _insert_of(row) for row in (PackRow, PackUseRow, TraceUploadRow)}
"""Rows that are there already stay as they are; many at once."""

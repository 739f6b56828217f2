"""The access log: what people saw and did, and what they were refused; a hash chain per person that only grows.

One chain per person and not one for all: two people never wait for one another.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from domain.people import Capability
from infra.db.engine import insert_new, run, table
from infra.db.rows import AccessHeadRow, AccessRow

GENESIS = "0" * 64
HASHED = ("person", "seq", "at", "kind", "capability", "prescription_id", "detail")
DETAIL = 80


class Kind(StrEnum):
    VIEW = "view"
    ACT = "act"
    REFUSED = "refused"


@dataclass(frozen=True)
class Entry:
    """One line of the log."""

    person: str
    seq: int
    at: datetime
    kind: str
    capability: str
    prescription_id: str
    detail: str


@dataclass(frozen=True)
class Broken:
    """The first row of a person's chain that does not fit."""

    person: str
    seq: int
    what: str

    def __str__(self) -> str:
        return f"{self.person}/{self.seq}: {self.what}"


_LOG, _HEADS = table(AccessRow), table(AccessHeadRow)
_HEAD = sa.select(_HEADS.c.seq, _HEADS.c.hash).where(_HEADS.c.person == sa.bindparam("whose")).with_for_update()
_MOVE = sa.update(_HEADS).where(_HEADS.c.person == sa.bindparam("whose")).values(
    seq=sa.bindparam("number"), hash=sa.bindparam("mark"))
_INSERT = sa.insert(_LOG)


def append(session: Session, person: str, kind: Kind, capability: Capability, *, at: datetime, prescription_id: str = "",
           detail: str = "") -> None:
    """Write down what a person sees or does, in the caller's transaction; that person's next entry waits for its end.

    `detail` is a code of ours, or the id of whom or what an act is about: nothing about a patient, ever.
    """
    head = run(session, _HEAD, {"whose": person}).one_or_none()
    if head is None:
        insert_new(session, AccessHeadRow, person=person, seq=0, hash=GENESIS)
        head = run(session, _HEAD, {"whose": person}).one()
    row = {"person": person, "seq": head.seq + 1, "at": at.astimezone(UTC).isoformat(timespec="milliseconds"), "kind": str(kind),
           "capability": str(capability), "prescription_id": prescription_id, "detail": detail[:DETAIL]}
    mark = _digest(head.hash, [row[name] for name in HASHED])
    run(session, _MOVE, {"whose": person, "number": row["seq"], "mark": mark})
    run(session, _INSERT, row | {"hash": mark})


def verify(session: Session) -> list[Broken]:
    """Walk every chain to the head it should end in; the first row of each that does not fit.

    People may go on meanwhile: a chain must pass through the head it had before the walk, and not go beyond the one after.
    """
    before = _heads(session)
    ends: dict[str, tuple[int, str]] = {}
    broken: dict[str, Broken] = {}
    for row in _in_order(session):
        if row.person in broken:
            continue
        seq, previous = ends.get(row.person, (0, GENESIS))
        head = before.get(row.person)
        if row.seq != seq + 1:
            broken[row.person] = Broken(row.person, seq + 1, "row is missing")
        elif row.hash != _digest(previous, [getattr(row, name) for name in HASHED]):
            broken[row.person] = Broken(row.person, row.seq, "content does not match its hash")
        elif head and head[0] == row.seq and head[1] != row.hash:
            broken[row.person] = Broken(row.person, row.seq, "is not what its head says")
        else:
            ends[row.person] = (row.seq, row.hash)
    after = _heads(session)
    for person in (before.keys() | after.keys() | ends.keys()) - broken.keys():
        first, end, last = (known.get(person, (0, GENESIS))[0] for known in (before, ends, after))
        if not first <= end <= last:
            broken[person] = Broken(person, end, "chain ends before or after its head")
    return [broken[person] for person in sorted(broken)]


def _heads(session: Session) -> dict[str, tuple[int, str]]:
    return {row.person: (row.seq, row.hash) for row in session.execute(sa.select(_HEADS))}


def _in_order(session: Session) -> Iterator[Any]:
    """All rows by person and number, some at a time."""
    person, seq, more = "", 0, True
    while more:
        rows = run(session, _NEXT, {"whose": person, "number": seq}).all()
        yield from rows
        more = len(rows) == AT_A_TIME
        person, seq = (rows[-1].person, rows[-1].seq) if rows else ("", 0)


AT_A_TIME = 1000
_NEXT = sa.select(_LOG).where(sa.or_(
    _LOG.c.person > sa.bindparam("whose"), sa.and_(_LOG.c.person == sa.bindparam("whose"), _LOG.c.seq > sa.bindparam("number"))
)).order_by(_LOG.c.person, _LOG.c.seq).limit(AT_A_TIME)


def search(session: Session, *, person: str = "", prescription_id: str = "", since: datetime | None = None,
           until: datetime | None = None, before: tuple[str, str, int] | None = None, limit: int = 100) -> list[Entry]:
    """Entries of a person, about a prescription, of a period (`since` to before `until`), the newest first.

    `before` is `mark` of the last entry of the page before.
    """
    columns = _LOG.c
    query = sa.select(_LOG).order_by(columns.at.desc(), columns.person.desc(), columns.seq.desc()).limit(limit)
    if person:
        query = query.where(columns.person == person)
    if prescription_id:
        query = query.where(columns.prescription_id == prescription_id)
    if since:
        query = query.where(columns.at >= _text(since))
    if until:
        query = query.where(columns.at < _text(until))
    if before:
        at, who, seq = before
        query = query.where(sa.or_(columns.at < at, sa.and_(columns.at == at, sa.or_(
            columns.person < who, sa.and_(columns.person == who, columns.seq < seq)))))
    return [Entry(row.person, row.seq, datetime.fromisoformat(row.at), row.kind, row.capability, row.prescription_id, row.detail)
            for row in session.execute(query)]


def mark(entry: Entry) -> tuple[str, str, int]:
    """Where a search goes on."""
    return _text(entry.at), entry.person, entry.seq


def count(session: Session) -> int:
    return session.scalar(sa.select(sa.func.count()).select_from(_LOG)) or 0


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def _digest(previous: str, hashed: Sequence[Any]) -> str:
    content = json.dumps(hashed, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(f"{previous}\n{content}".encode()).hexdigest()

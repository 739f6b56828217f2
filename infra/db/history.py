"""The one writer of a prescription's status, and the hash chain that says why it is where it is."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from domain.errors import StaleStatus
from domain.events import ARGUMENTS, Event
from domain.former_words import event_of
from domain.lifecycle import Status, may_move
from infra.db.engine import run, table
from infra.db.precompiled import Precompiled
from infra.db.rows import HistoryRow, PrescriptionRow
from infra.log import current_run

GENESIS = "0" * 64
HASHED = ("prescription_id", "seq", "at", "from_status", "to_status", "actor", "reason", "detail", "run_id")


@dataclass(frozen=True)
class Head:
    """A prescription as its writer has read it: what a write compares itself with."""

    id: str
    status: Status
    version: int
    hash: str
    wake_at: datetime | None = field(default=None, compare=False)
    """When the platform must look at it again; None: nothing is owed."""


_PRESCRIPTION = table(PrescriptionRow)
_ROW = _PRESCRIPTION.c
_INSERT = Precompiled(sa.insert(table(HistoryRow)))


@cache
def _move(*also: str) -> Precompiled:
    """Compare the head and set the next one, and the columns `also` given."""
    return Precompiled(sa.update(_PRESCRIPTION).where(
        _ROW.id == sa.bindparam("head"), _ROW.version == sa.bindparam("version_was"),
        _ROW.status == sa.bindparam("status_was"),
    ).values(
        status=sa.bindparam("to"), version=sa.bindparam("seq"), head_hash=sa.bindparam("hash"),
        wake_at=sa.bindparam("wake"), waiting_for=sa.bindparam("waits"), attempts=sa.bindparam("failed"),
        trouble=sa.bindparam("why"), **{column: sa.bindparam(f"new_{column}") for column in also}))


def append(
    session: Session,
    head: Head,
    *,
    to: Status | None = None,
    actor: str,
    event: Event,
    at: datetime,
    wake_at: datetime | None,
    waiting_for: str = "",
    detail: Mapping[str, Any] | None = None,
    attempts: int = 0,
    trouble: str = "",
    also: Mapping[str, Any] | None = None,
) -> Head:
    """Write down what happened to a prescription and, with `to`, move it. In the caller's transaction.

    Two writers racing for one prescription both get here; the comparison lets exactly one of them through and the other
    gets `StaleStatus`. An illegal move is our bug (`ValueError`). So is a `detail` without an argument of the event, which
    `domain.events.ARGUMENTS` lists: codes, ids, counts, moments and amounts only.

    `wake_at` is when the platform must look again (None: nothing is owed). `waiting_for` is a `domain.events.Wait`, with
    its argument after a colon where it has one. `also` names further columns of the prescription that change with it.
    """
    after = to or head.status
    if to and not may_move(head.status, to):
        raise ValueError(f"{head.status} -> {to} is not in the lifecycle")
    if missing := set(ARGUMENTS[event]) - set(detail or ()):
        raise ValueError(f"{event} without {', '.join(sorted(missing))}")
    row = {
        "prescription_id": head.id, "seq": head.version + 1, "at": at.astimezone(UTC).isoformat(),
        "from_status": head.status, "to_status": after, "actor": actor, "reason": str(event),
        "detail": json.dumps(detail or {}, ensure_ascii=False, sort_keys=True, separators=(",", ":")),
        "run_id": current_run(),
    }
    moved = Head(head.id, after, head.version + 1, _digest(head.hash, [row[name] for name in HASHED]), wake_at)
    changed = dict(also or {})
    written = run(session, _move(*changed), {
        "to": after, "seq": moved.version, "hash": moved.hash, "wake": wake_at, "waits": waiting_for,
        "failed": attempts, "why": trouble, "head": head.id, "version_was": head.version, "status_was": head.status,
        **{f"new_{column}": value for column, value in changed.items()}})
    if written.rowcount != 1:
        raise StaleStatus(f"{head.id} is no longer {head.status} at {head.version}")
    run(session, _INSERT, row | {"hash": moved.hash})
    return moved


def begin(session: Session, row: PrescriptionRow, *, actor: str, event: Event, at: datetime,
          detail: Mapping[str, Any]) -> Head:
    """The first row of a new prescription's chain; adds the prescription itself."""
    row.status, row.version, row.head_hash = Status.RECEIVED, 0, GENESIS
    session.add(row)
    session.flush()
    return append(session, Head(row.id, Status.RECEIVED, 0, GENESIS), actor=actor, event=event, at=at,
                  wake_at=row.wake_at, detail=detail)


_WAIT = Precompiled(
    sa.update(_PRESCRIPTION).where(_ROW.id == sa.bindparam("head"), _ROW.version == sa.bindparam("version_was"))
    .values(wake_at=sa.bindparam("wake"), waiting_for=sa.bindparam("waits"), attempts=sa.bindparam("failed"),
            trouble=sa.bindparam("why"))
)


def wait(session: Session, head: Head, *, until: datetime | None, waiting_for: str, attempts: int = 0, trouble: str = "") -> Head:
    """Sleep until then without an event, unless something happened meanwhile (`StaleStatus`).

    `attempts` and `trouble` are those of an effect that is tried again later, where there is one.
    """
    written = run(session, _WAIT, {"head": head.id, "version_was": head.version, "wake": until, "waits": waiting_for,
                                   "failed": attempts, "why": trouble})
    if written.rowcount != 1:
        raise StaleStatus(f"{head.id} is no longer at {head.version}")
    return replace(head, wake_at=until)


_DETAILS = Precompiled(sa.select(HistoryRow.reason, HistoryRow.detail).where(
    HistoryRow.prescription_id == sa.bindparam("of")).order_by(HistoryRow.seq))


def details(session: Session, prescription_id: str, event: Event) -> list[Mapping[str, Any]]:
    """The arguments of every such event of a prescription, the oldest first; also those written before events had codes."""
    rows = [event_of(reason, opened(detail)) for reason, detail in run(session, _DETAILS, {"of": prescription_id})]
    return [known[1] for known in rows if known is not None and known[0] is event]


def last_at(session: Session, prescription_id: str, event: Event) -> datetime | None:
    """When such an event last happened to a prescription."""
    at = session.scalar(sa.select(sa.func.max(HistoryRow.at)).where(
        HistoryRow.prescription_id == prescription_id, HistoryRow.reason == event))
    return datetime.fromisoformat(at) if at else None


def opened(detail: str) -> object:
    """A row's detail; as it is where it was tampered with."""
    try:
        return json.loads(detail)
    except ValueError:
        return detail


@dataclass(frozen=True)
class Broken:
    """The first row of a chain that does not fit."""

    prescription_id: str
    seq: int
    what: str


def verify(rows: Iterable[HistoryRow], prescription: PrescriptionRow) -> Broken | None:
    """Walk one chain, oldest first, up to the head the prescription names. None when it holds."""
    previous, count, status = GENESIS, 0, str(Status.RECEIVED)
    for row in rows:
        count += 1
        if row.seq != count:
            return Broken(prescription.id, count, "row is missing")
        if row.hash != _digest(previous, [getattr(row, name) for name in HASHED]):
            return Broken(prescription.id, row.seq, "content does not match its hash")
        if row.from_status != status:
            return Broken(prescription.id, row.seq, "does not start where the row before ended")
        previous, status = row.hash, row.to_status
    if count != prescription.version or previous != prescription.head_hash:
        return Broken(prescription.id, count, "chain ends before or after the prescription's head")
    if status != prescription.status:
        return Broken(prescription.id, count, "history does not end in the prescription's status")
    return None


def _digest(previous: str, hashed: Sequence[Any]) -> str:
    content = json.dumps(hashed, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(f"{previous}\n{content}".encode()).hexdigest()

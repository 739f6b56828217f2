"""The one writer of a prescription's status, and the hash chain that says why it is where it is."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from domain.errors import StaleStatus
from domain.lifecycle import Status, may_move
from infra.db.rows import HistoryRow, PrescriptionRow
from infra.log import current_run

GENESIS = "0" * 64
HASHED = ("prescription_id", "seq", "at", "from_status", "to_status", "actor", "reason", "detail", "run_id")


_MOVE = (
    sa.update(PrescriptionRow.__table__)  # type: ignore[arg-type]
    .where(PrescriptionRow.id == sa.bindparam("head"), PrescriptionRow.version == sa.bindparam("version_was"),
           PrescriptionRow.status == sa.bindparam("status_was"))
    .values(status=sa.bindparam("to"), version=sa.bindparam("seq"), head_hash=sa.bindparam("hash"),
            wake_at=sa.bindparam("wake"), waiting_for=sa.bindparam("waits"), attempts=sa.bindparam("failed"),
            trouble=sa.bindparam("why"))
)
_MOVE_AND_CANCEL = _MOVE.values(cancel_reason=sa.bindparam("cancels"))
# Made once: building them anew for each event costs more than running them.
_INSERT = sa.insert(HistoryRow.__table__)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Head:
    """A prescription as somebody saw it: what a write compares itself with."""

    id: str
    status: Status
    version: int
    hash: str


def head_of(row: PrescriptionRow) -> Head:
    return Head(row.id, Status(row.status), row.version, row.head_hash)


def append(
    session: Session,
    head: Head,
    *,
    to: Status | None = None,
    actor: str,
    reason: str,
    at: datetime,
    wake_at: datetime | None,
    waiting_for: str = "",
    detail: Mapping[str, Any] | None = None,
    attempts: int = 0,
    trouble: str = "",
    cancel_reason: str | None = None,
    keep_cancel: bool = True,
) -> Head:
    """Write down what happened to a prescription and, with `to`, move it. In the caller's transaction.

    Two writers racing for one prescription both get here; the comparison lets exactly one of them
    through and the other gets `StaleStatus`. An illegal move is our bug (`ValueError`).

    `wake_at` is when the platform must look again (None: nothing is owed). Texts hold codes and ids only.
    """
    after = to or head.status
    if to and not may_move(head.status, to):
        raise ValueError(f"{head.status} -> {to} is not in the lifecycle")
    event = HistoryRow(
        prescription_id=head.id, seq=head.version + 1, at=at.astimezone(UTC).isoformat(),
        from_status=head.status, to_status=after, actor=actor, reason=reason,
        detail=json.dumps(detail or {}, ensure_ascii=False, sort_keys=True, separators=(",", ":")),
        run_id=current_run(),
    )
    event.hash = _digest(head.hash, event)
    change = {"to": after, "seq": event.seq, "hash": event.hash, "wake": wake_at, "waits": waiting_for,
              "failed": attempts, "why": trouble, "head": head.id, "version_was": head.version,
              "status_was": head.status}
    if not keep_cancel or cancel_reason is not None:
        written = session.execute(_MOVE_AND_CANCEL, change | {"cancels": cancel_reason})
    else:
        written = session.execute(_MOVE, change)
    if written.rowcount != 1:  # type: ignore[attr-defined]
        raise StaleStatus(f"{head.id} is no longer {head.status} at {head.version}")
    session.execute(_INSERT, {column: getattr(event, column) for column in (*HASHED, "hash")})
    return Head(head.id, after, event.seq, event.hash)


def begin(session: Session, row: PrescriptionRow, *, actor: str, reason: str, at: datetime,
          detail: Mapping[str, Any]) -> Head:
    """The first row of a new prescription's chain; adds the prescription itself."""
    row.status, row.version, row.head_hash = Status.RECEIVED, 0, GENESIS
    session.add(row)
    session.flush()
    return append(session, Head(row.id, Status.RECEIVED, 0, GENESIS), actor=actor, reason=reason, at=at,
                  wake_at=row.wake_at, detail=detail)


def wait(session: Session, head: Head, *, until: datetime | None, waiting_for: str) -> None:
    """Sleep until then without an event, unless something happened meanwhile (`StaleStatus`)."""
    written = session.execute(
        sa.update(PrescriptionRow)
        .where(PrescriptionRow.id == head.id, PrescriptionRow.version == head.version)
        .values(wake_at=until, waiting_for=waiting_for, attempts=0, trouble="")
        .execution_options(synchronize_session=False)
    )
    if written.rowcount != 1:  # type: ignore[attr-defined]
        raise StaleStatus(f"{head.id} is no longer at {head.version}")


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
        if row.hash != _digest(previous, row):
            return Broken(prescription.id, row.seq, "content does not match its hash")
        if row.from_status != status:
            return Broken(prescription.id, row.seq, "does not start where the row before ended")
        previous, status = row.hash, row.to_status
    if count != prescription.version or previous != prescription.head_hash:
        return Broken(prescription.id, count, "chain ends before or after the prescription's head")
    if status != prescription.status:
        return Broken(prescription.id, count, "history does not end in the prescription's status")
    return None


def _digest(previous: str, row: HistoryRow) -> str:
    content = json.dumps([getattr(row, name) for name in HASHED], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(f"{previous}\n{content}".encode()).hexdigest()

"""Which processes of ours are alive. Each writes itself down at its start and says every few seconds that it is there."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra.db.rows import ProcessRow

BEAT_SECONDS = 10.0
"""How often a process says that it is there."""
GONE = timedelta(seconds=3 * BEAT_SECONDS)
"""Silent for this long, a process is taken for dead."""


@dataclass(frozen=True)
class Process:
    """One process; `kind` and `name` together are unique among the living."""

    kind: str
    """`gateway`, `worker` or `operations`."""
    name: str
    host: str
    pid: int
    version: str
    """Release of Sanyi it runs."""
    started_at: datetime
    seen_at: datetime


def lock(session: Session) -> None:
    """Lock joining, beating and leaving until the end of the transaction.

    SQLite has one writer anyway, from the first use of the connection on.
    """
    if session.connection().dialect.name == "postgresql":
        session.execute(sa.text("SELECT pg_advisory_xact_lock(7320032)"))


def alive(session: Session, at: datetime) -> list[Process]:
    """Those heard of lately, by kind and name."""
    rows = session.scalars(sa.select(ProcessRow).where(ProcessRow.seen_at > at - GONE)
                           .order_by(ProcessRow.kind, ProcessRow.name))
    return [Process(row.kind, row.name, row.host, row.pid, row.version, row.started_at, row.seen_at) for row in rows]


def enter(session: Session, process: Process) -> None:
    """Write a process down, in place of an earlier life of the same name, and forget those of its kind long dead."""
    session.execute(sa.delete(ProcessRow).where(
        ProcessRow.kind == process.kind,
        (ProcessRow.seen_at <= process.seen_at - GONE) | (ProcessRow.name == process.name)))
    session.add(ProcessRow(kind=process.kind, name=process.name, host=process.host, pid=process.pid,
                           version=process.version, started_at=process.started_at, seen_at=process.seen_at))


def beat(session: Session, process: Process, at: datetime) -> None:
    """It is still there; if it was taken for dead and forgotten, it is written down again."""
    row = session.get(ProcessRow, (process.kind, process.name))
    if row is None:
        enter(session, replace(process, seen_at=at))
    elif (row.host, row.pid) == (process.host, process.pid):
        row.seen_at = at


def leave(session: Session, process: Process) -> None:
    """It ends as it should; its name is free at once."""
    session.execute(sa.delete(ProcessRow).where(
        ProcessRow.kind == process.kind, ProcessRow.name == process.name,
        # The host and the number tell two lives of one name apart.
        ProcessRow.host == process.host, ProcessRow.pid == process.pid))

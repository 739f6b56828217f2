"""The state of the database and of the queue in figures, each from one query that does not grow with history."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from domain.lifecycle import FINAL, Status
from infra.db import canary, mapping, processes
from infra.db.rows import DiscrepancyRow, IntentRow, NoticeRow, OutboxRow, PrescriptionRow, ReviewRow

OPEN = tuple(status for status in Status if status not in FINAL)
UNKNOWN_AFTER = timedelta(seconds=60)
"""An effect may be under way for so long before its outcome counts as unknown."""
RECENT = timedelta(days=7)


@dataclass(frozen=True)
class Figures:
    """The city in figures. Ages are seconds; a pair is a count and the age of the oldest."""

    prescriptions: dict[str, int]
    """By status, those that have not ended."""
    troubles: dict[str, int]
    """By trouble code."""
    due: dict[str, tuple[int, float]]
    """By lane, what is due and not leased."""
    leases: int
    reviews: tuple[int, float]
    outbox: dict[str, tuple[int, float]]
    """By partner, messages not delivered yet."""
    unknown_effects: dict[str, int]
    """By partner, effects whose outcome has been unknown for over a minute."""
    discrepancies: dict[str, int]
    """By kind, found in the last seven days."""
    notices: dict[str, int]
    """By kind, noted in the last seven days."""
    processes: dict[str, int]
    """By kind, processes of ours heard of lately."""
    canary: float | None
    """Seconds since a canary came through; None if that is not recorded."""
    unmapped: dict[str, tuple[int, float]] = field(default_factory=dict)
    """By hospital, messages that wait for a person to map a code."""


def figures(session: Session, now: datetime) -> Figures:
    """All of them as of now. Nothing here looks at a prescription that has ended."""
    rx, count = PrescriptionRow, sa.func.count()
    is_open = rx.status.in_(OPEN)
    free = sa.or_(rx.lease_until.is_(None), rx.lease_until < now)

    def age(since: datetime | None) -> float:
        return max(0.0, (now - since).total_seconds()) if since else 0.0

    by_status = _counted(session, sa.select(rx.status, count).where(is_open).group_by(rx.status))
    reviewing = session.scalar(
        sa.select(sa.func.min(ReviewRow.opened_at)).join(rx, rx.id == ReviewRow.prescription_id)
        .where(rx.status == Status.IN_REVIEW, ReviewRow.decision.is_(None)))
    return Figures(
        prescriptions={status: by_status.get(status, 0) for status in OPEN},
        troubles=_counted(session, sa.select(rx.trouble, count).where(is_open, rx.trouble != "").group_by(rx.trouble)),
        due={lane: (n, age(since)) for lane, n, since in session.execute(
            sa.select(rx.lane, count, sa.func.min(rx.wake_at)).where(rx.wake_at <= now, free).group_by(rx.lane))},
        # A prescription that is worked on is due or has a deadline; there is an index of those.
        leases=session.scalar(sa.select(count).where(rx.wake_at.is_not(None), rx.lease_until >= now)) or 0,
        reviews=(by_status.get(Status.IN_REVIEW, 0), age(reviewing)),
        outbox={partner: (n, age(since)) for partner, n, since in session.execute(
            sa.select(OutboxRow.partner, count, sa.func.min(OutboxRow.made_at))
            .where(OutboxRow.due_at.is_not(None)).group_by(OutboxRow.partner))},
        unknown_effects=_counted(session, sa.select(IntentRow.partner, count).where(
            IntentRow.answered_at.is_(None), IntentRow.made_at < now - UNKNOWN_AFTER).group_by(IntentRow.partner)),
        discrepancies=_counted(session, sa.select(DiscrepancyRow.kind, count).where(
            DiscrepancyRow.found_at > now - RECENT).group_by(DiscrepancyRow.kind)),
        notices=_counted(session, sa.select(NoticeRow.kind, count).where(
            NoticeRow.noted_at > now - RECENT, NoticeRow.closed_at.is_(None)).group_by(NoticeRow.kind)),
        processes=_alive(session, now),
        canary=age(sang) if (sang := canary.last(session)) else None,
        unmapped={hospital: (n, age(since)) for hospital, (n, since) in mapping.count_waiting(session).items()},
    )


def _alive(session: Session, now: datetime) -> dict[str, int]:
    alive = Counter(process.kind for process in processes.alive(session, now))
    # A kind of which there is none must show as none, or no alert could say so.
    return {kind: alive[kind] for kind in ("gateway", "worker", "operations")}


def _counted(session: Session, query: sa.Select[str, int]) -> dict[str, int]:
    return {word: number for word, number in session.execute(query).tuples()}  # noqa: C416


@dataclass(frozen=True)
class Server:
    """What a PostgreSQL server says of itself."""

    version: int
    """Major version."""
    at: datetime
    """Its clock."""
    unsafe: tuple[str, ...]
    """Settings with which a commit may be lost."""
    connections: int
    connections_limit: int
    megabytes: int
    """Size of our database."""


def server(session: Session) -> Server:
    """For PostgreSQL only: what an installation must not get wrong."""
    def shown(name: str) -> str:
        return str(session.scalar(sa.text("SELECT current_setting(:name)"), {"name": name}))

    at, connections, size = session.execute(sa.text(
        "SELECT clock_timestamp(), (SELECT count(*) FROM pg_stat_activity), "
        "pg_database_size(current_database())")).one()
    unsafe = ("fsync", "full_page_writes", "synchronous_commit")
    return Server(int(shown("server_version_num")) // 10000, at,
                  tuple(name for name in unsafe if shown(name) == "off"), int(connections),
                  int(shown("max_connections")), int(size) // 1_000_000)


def newest_sealed(session: Session) -> tuple[str, bytes] | None:
    """Id and sealed identity of the newest prescription under way: what the keys of this installation must open."""
    row = session.execute(
        sa.select(PrescriptionRow.id, PrescriptionRow.patient_sealed).where(PrescriptionRow.status.in_(OPEN))
        .order_by(PrescriptionRow.received_at.desc()).limit(1)).one_or_none()
    return (row[0], row[1]) if row else None

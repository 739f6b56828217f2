"""The inbox: inbound messages, their stored answers, and callbacks' nonces."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra.db.engine import insert_new, run, table
from infra.db.precompiled import Precompiled
from infra.db.rows import MessageRow, NonceRow

FHIR_JSON = "application/fhir+json"


@dataclass(frozen=True)
class Earlier:
    """An earlier message under the same key."""

    sha256: str
    archive_key: str
    answer_status: int
    answer: bytes
    media: str
    refused: bool = False
    """The message broke the contract: other bytes under its key are its correction."""


def take_turns(session: Session, key: str) -> None:
    """Let only one transaction at a time work on this key; the others wait for its end.

    On SQLite every writing transaction waits for the one before anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(key, 0))))


_ROW = table(MessageRow).c
_EARLIER = Precompiled(sa.select(_ROW.sha256, _ROW.archive_key, _ROW.answer_status, _ROW.answer, _ROW.media, _ROW.refused).where(
    _ROW.source == sa.bindparam("source"), _ROW.event_id == sa.bindparam("event_id")))


def earlier(session: Session, source: str, event_id: str, sha256: str = "") -> Earlier | None:
    """The message under a key; with `sha256`, rather one of those bytes that was set aside for its correction."""
    row = run(session, _EARLIER, {"source": source, "event_id": event_id}).one_or_none()
    if row is not None and sha256 and row.sha256 != sha256:
        row = run(session, _EARLIER, {"source": source, "event_id": _aside(event_id, sha256)}).one_or_none() or row
    return None if row is None else Earlier(*row)


def remember(session: Session, *, source: str, event_id: str, sha256: str, archive_key: str, at: datetime,
             prescription_id: str | None, answer_status: int, answer: bytes, media: str = FHIR_JSON,
             refused: bool = False) -> bool:
    """Store a message with its answer; False if another process stored the key first."""
    return insert_new(session, MessageRow, source=source, event_id=event_id, sha256=sha256, archive_key=archive_key,
                      received_at=at, prescription_id=prescription_id, answer_status=answer_status, answer=answer,
                      media=media, refused=refused)


def refuse(session: Session, source: str, event_id: str) -> None:
    """What was kept for a person turned out to break the contract; the answer given at first stays."""
    session.execute(sa.update(MessageRow).where(MessageRow.source == source, MessageRow.event_id == event_id)
                    .values(refused=True).execution_options(synchronize_session=False))


def set_aside(session: Session, source: str, event_id: str, sha256: str) -> None:
    """Make room under a key for the correction of a refused message; its own bytes still find their answer."""
    session.execute(sa.update(MessageRow).where(MessageRow.source == source, MessageRow.event_id == event_id)
                    .values(event_id=_aside(event_id, sha256)).execution_options(synchronize_session=False))


def _aside(event_id: str, sha256: str) -> str:
    # No key of a message holds a tilde.
    return f"{event_id}~{sha256[:16]}"


def spend_nonce(session: Session, partner: str, nonce: str, at: datetime) -> bool:
    """True the first time. Call it only after the signature was checked."""
    return insert_new(session, NonceRow, partner=partner, nonce=nonce, at=at)


def forget_nonces(session: Session, before: datetime) -> int:
    """Nonces older than the accepted age of a callback can no longer be replayed."""
    result = session.execute(sa.delete(NonceRow).where(NonceRow.at < before - timedelta(hours=1)))
    return int(result.rowcount)  # type: ignore[attr-defined]

"""Notices: what a partner sends or leaves that a person should look at and that no book is wrong about."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra.db.engine import insert_new
from infra.db.rows import NoticeRow


class NoticeKind(StrEnum):
    """What a notice is about, and what its `subject` and `detail` hold."""

    FILE_PARKED = "file_parked"
    """A file in a hospital's box that could not be taken: its mark, and why (a code of `domain.words.PARKED`)."""
    MESSAGE_SHAPE = "message_shape"
    """A hospital's messages have changed their shape: an element, and `new` or `gone`."""
    QUOTE_LEFT_OUT = "quote_left_out"
    """A store's quotes broke the contract: day, rule and store, and the place in the chain's answer."""
    UPDATE_REFUSED = "update_refused"
    """What a chain sent of its orders is not as agreed: the start of the file's SHA-256, and the first fault's rule and place."""
    TRACE_CODE = "trace_code"
    """Something is wrong with trace codes of what was handed over: order, line and fault, and the fault (`domain.trace.FAULTS`)."""
    TRACE_REFUSED = "trace_refused"
    """The fund does not take the sale or return of a pack: order and code, and the fund's own code."""
    WEBHOOK_STOPPED = "webhook_stopped"
    """A chain does not get its webhooks any more: when, and why (`gone` or `given_up`)."""


@dataclass(frozen=True)
class Notice:
    """One notice, and who has dealt with it and when; None while it is open."""

    id: int
    kind: NoticeKind
    partner: str
    subject: str
    detail: str
    noted_at: datetime
    closed_by: str | None
    closed_at: datetime | None


def note(session: Session, *, kind: NoticeKind, partner: str, subject: str, detail: str, at: datetime) -> None:
    """Write a notice down, once per kind, partner and subject. Texts are cut at 80 characters."""
    insert_new(session, NoticeRow, kind=kind, partner=partner, subject=subject[:80], detail=detail[:80], noted_at=at)


def close(session: Session, number: int, *, by: str, at: datetime) -> None:
    """Mark a notice as dealt with. The first person's word is kept. Raises `KeyError` for an unknown number."""
    row = NoticeRow
    if session.get(row, number) is None:
        raise KeyError(number)
    session.execute(sa.update(row).where(row.id == number, row.closed_at.is_(None)).values(closed_by=by, closed_at=at))


def open_since(session: Session, kind: NoticeKind, since: datetime, most: int) -> list[Notice]:
    """Open notices of a kind, the oldest first."""
    row = NoticeRow
    return _notices(session.scalars(sa.select(row).where(
        row.kind == kind, row.noted_at > since, row.closed_at.is_(None)).order_by(row.noted_at, row.id).limit(most)))


def closed_since(session: Session, since: datetime, most: int) -> list[Notice]:
    """Notices noted since then that were dealt with, the one closed last first."""
    row = NoticeRow
    return _notices(session.scalars(sa.select(row).where(
        row.noted_at > since, row.closed_at.is_not(None)).order_by(row.closed_at.desc(), row.id.desc()).limit(most)))


def _notices(rows: Iterable[NoticeRow]) -> list[Notice]:
    return [Notice(row.id, NoticeKind(row.kind), row.partner, row.subject, row.detail, row.noted_at, row.closed_by, row.closed_at)
            for row in rows]

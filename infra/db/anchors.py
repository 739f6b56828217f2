"""The heads of a day's histories and of its access log, and where the day's root is kept."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra.db.engine import insert_new, table
from infra.db.rows import AccessRow, AnchorRow, HistoryRow

Head = tuple[str, int, str]
"""A prescription or a person, the number of the last row of its chain within the day, and that row's hash. The hash covers
all rows before it."""

_ROW, _ACCESS = table(HistoryRow).c, table(AccessRow).c


def heads(session: Session, start: datetime, end: datetime) -> Sequence[Head]:
    """The head of every prescription with history from `start` to before `end`, by id."""
    return _last(session, _ROW, _ROW.prescription_id, start, end)


def access_heads(session: Session, start: datetime, end: datetime) -> Sequence[Head]:
    """The head of every person with an entry in the access log from `start` to before `end`, by id."""
    return _last(session, _ACCESS, _ACCESS.person, start, end)


def _last(session: Session, rows: Any, subject: sa.ColumnElement[str], start: datetime, end: datetime) -> Sequence[Head]:
    last = (sa.select(subject.label("subject"), sa.func.max(rows.seq).label("seq"))
            .where(rows.at >= _bound(start), rows.at < _bound(end)).group_by(subject).subquery())
    heads = session.execute(sa.select(subject, rows.seq, rows.hash).join(
        last, (subject == last.c.subject) & (rows.seq == last.c.seq)))
    # Sorted here: databases differ in how they order text.
    return sorted((str(head[0]), int(head[1]), str(head[2])) for head in heads)


def first(session: Session) -> datetime | None:
    """When the oldest history row was written."""
    at = session.scalar(sa.select(sa.func.min(_ROW.at)))
    return datetime.fromisoformat(at) if at else None


def kept(session: Session, since: date | None = None) -> list[AnchorRow]:
    """Anchored days, the earliest first."""
    query = sa.select(AnchorRow).order_by(AnchorRow.day)
    return list(session.scalars(query.where(AnchorRow.day >= since) if since else query))


def latest(session: Session) -> AnchorRow | None:
    """The last anchored day."""
    return session.scalar(sa.select(AnchorRow).order_by(AnchorRow.day.desc()).limit(1))


def keep(session: Session, day: date, archive_key: str, at: datetime) -> bool:
    """Write down where a day's root is; whether it is the first one of that day. There is never a second."""
    return insert_new(session, AnchorRow, day=day, archive_key=archive_key, at=at)


def _bound(moment: datetime) -> str:
    """A moment as rows begin that were written then or later, in any order of text: digits of one width, nothing after them."""
    text = moment.isoformat(timespec="seconds")
    return text[:19]

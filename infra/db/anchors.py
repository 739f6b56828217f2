"""The heads of a day's histories, and where the day's root is kept."""

from collections.abc import Sequence
from datetime import date, datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra.db.engine import insert_new, table
from infra.db.rows import AnchorRow, HistoryRow

Head = tuple[str, int, str]
"""A prescription, the number of its last history row within the day, and that row's hash, which covers all before it."""

_ROW = table(HistoryRow).c


def heads(session: Session, start: datetime, end: datetime) -> Sequence[Head]:
    """The head of every prescription with history from `start` to before `end`, by id."""
    last = (sa.select(_ROW.prescription_id, sa.func.max(_ROW.seq).label("seq"))
            .where(_ROW.at >= _bound(start), _ROW.at < _bound(end)).group_by(_ROW.prescription_id).subquery())
    rows = session.execute(sa.select(_ROW.prescription_id, _ROW.seq, _ROW.hash).join(
        last, (_ROW.prescription_id == last.c.prescription_id) & (_ROW.seq == last.c.seq)))
    # Sorted here: databases differ in how they order text.
    return sorted((str(row[0]), int(row[1]), str(row[2])) for row in rows)


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

"""Messages committed with a change of state and delivered after it, until the partner has them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from infra.db.engine import insert_new
from infra.db.rows import OutboxRow


@dataclass(frozen=True)
class Parcel:
    key: str
    kind: str
    partner: str
    prescription_id: str
    sealed: bytes = field(repr=False)
    attempts: int


def enqueue(session: Session, *, key: str, kind: str, partner: str, prescription_id: str, sealed: bytes,
            at: datetime) -> None:
    """Once per key: a step that runs twice does not speak twice."""
    insert_new(session, OutboxRow, key=key, kind=kind, partner=partner, prescription_id=prescription_id,
               sealed=sealed, made_at=at, due_at=at)


def waited_for(session: Session, at: datetime) -> list[str]:
    """Partners with a parcel that is due."""
    return list(session.scalars(sa.select(OutboxRow.partner).where(OutboxRow.due_at <= at).distinct()))


def take(session: Session, partner: str, *, at: datetime, lease: timedelta, limit: int) -> list[Parcel]:
    """Parcels to a partner that are due, oldest first; they are due again after `lease` unless delivered by then.

    Of those about one prescription only the oldest undelivered one goes: a newer word must not be overtaken by an
    older one, whoever else is delivering.
    """
    earlier = aliased(OutboxRow)
    held_back = sa.exists().where(
        earlier.partner == OutboxRow.partner, earlier.prescription_id == OutboxRow.prescription_id,
        earlier.id < OutboxRow.id, earlier.due_at.is_not(None))
    rows = list(session.scalars(
        sa.select(OutboxRow).where(OutboxRow.partner == partner, OutboxRow.due_at <= at, ~held_back)
        .order_by(OutboxRow.id).limit(limit).with_for_update(skip_locked=True)))
    for row in rows:
        row.due_at = at + lease
    return [Parcel(row.key, row.kind, row.partner, row.prescription_id, row.sealed, row.attempts) for row in rows]


def delivered(session: Session, keys: Sequence[str], at: datetime) -> None:
    session.execute(sa.update(OutboxRow).where(OutboxRow.key.in_(keys))
                    .values(due_at=None, sent_at=at, last_error="").execution_options(synchronize_session=False))


def failed(session: Session, key: str, *, error: str, again_at: datetime) -> None:
    session.execute(sa.update(OutboxRow).where(OutboxRow.key == key)
                    .values(due_at=again_at, attempts=OutboxRow.attempts + 1, last_error=error)
                    .execution_options(synchronize_session=False))

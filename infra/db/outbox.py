"""Messages committed with a change of state and delivered after it, until the partner has them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra.db.engine import insert_new, run, table
from infra.db.precompiled import Precompiled
from infra.db.rows import OutboxRow


@dataclass(frozen=True)
class Parcel:
    key: str
    kind: str
    partner: str
    prescription_id: str | None
    sealed: bytes = field(repr=False)
    attempts: int


def enqueue(session: Session, *, key: str, kind: str, partner: str, prescription_id: str | None, sealed: bytes,
            at: datetime) -> None:
    """Once per key: a step that runs twice does not speak twice."""
    insert_new(session, OutboxRow, key=key, kind=kind, partner=partner, prescription_id=prescription_id,
               sealed=sealed, made_at=at, due_at=at)


_OUTBOX = table(OutboxRow)
_ROW = _OUTBOX.c
_earlier = _OUTBOX.alias().c
_MAY_GO = sa.and_(_ROW.due_at <= sa.bindparam("at"), ~sa.exists().where(
    _earlier.partner == _ROW.partner, _earlier.prescription_id == _ROW.prescription_id,
    _earlier.id < _ROW.id, _earlier.due_at.is_not(None)))
_WAITED_FOR = Precompiled(sa.select(_ROW.partner).where(_MAY_GO).distinct())
_DUE = Precompiled(
    sa.select(_ROW.id, _ROW.key, _ROW.kind, _ROW.partner, _ROW.prescription_id, _ROW.sealed, _ROW.attempts)
    .where(_ROW.partner == sa.bindparam("to"), _MAY_GO)
    .order_by(_ROW.id).limit(sa.bindparam("most")).with_for_update(skip_locked=True)
)
_LEASE = (sa.update(_OUTBOX).where(_ROW.id.in_(sa.bindparam("ids", expanding=True)))
          .values(due_at=sa.bindparam("until")))
_DELIVERED = (sa.update(_OUTBOX).where(_ROW.key.in_(sa.bindparam("keys", expanding=True)))
              .values(due_at=None, sent_at=sa.bindparam("at"), last_error=""))


def waited_for(session: Session, at: datetime) -> list[str]:
    """Partners with a parcel that may go: it is due, and none before it about the same prescription is still on its way."""
    return list(run(session, _WAITED_FOR, {"at": at}).scalars())


def take(session: Session, partner: str, *, at: datetime, lease: timedelta, limit: int) -> list[Parcel]:
    """Parcels to a partner that are due, oldest first; they are due again after `lease` unless delivered by then.

    Of the parcels about one prescription only the oldest undelivered one goes. A newer report must not overtake an older one
    that another worker delivers.
    """
    rows = run(session, _DUE, {"to": partner, "at": at, "most": limit}).all()
    if rows:
        run(session, _LEASE, {"ids": [row.id for row in rows], "until": at + lease})
    return [Parcel(*columns) for _, *columns in rows]


def delivered(session: Session, keys: Sequence[str], at: datetime) -> None:
    run(session, _DELIVERED, {"keys": keys, "at": at})


def failed(session: Session, key: str, *, error: str, again_at: datetime) -> None:
    session.execute(sa.update(OutboxRow).where(OutboxRow.key == key)
                    .values(due_at=again_at, attempts=OutboxRow.attempts + 1, last_error=error)
                    .execution_options(synchronize_session=False))

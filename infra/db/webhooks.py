"""Webhooks: rows of the outbox that go to the address a chain has for them, and that the chain can read again by a cursor.

The outbox keeps them, takes them in turn and has their next attempt. What is here is what only webhooks have: an address
that is out of use, the cursor, and the list that people see.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from domain.webhooks import GONE, STOPPED
from infra.db import inbox
from infra.db.engine import insert_new
from infra.db.rows import OutboxRow, StoppedWebhookRow

KIND = "webhook"
_WEBHOOK = sa.text("kind = 'webhook'")
_ROW = OutboxRow


@dataclass(frozen=True)
class Stored:
    """A message as it was written."""

    position: int
    key: str
    sealed: bytes = field(repr=False)


@dataclass(frozen=True)
class Delivery:
    """A message and what became of it."""

    id: int
    key: str
    chain: str
    prescription_id: str | None
    made_at: datetime
    due_at: datetime | None
    """When it is tried next; None when it is not sent by itself any more."""
    sent_at: datetime | None
    failed: int
    """Attempts that failed."""
    outcome: str
    """Of the last failed attempt, in the words of `domain.webhooks.OUTCOMES`; empty after a success."""
    sealed: bytes = field(repr=False)

    @property
    def attempts(self) -> int:
        """Attempts whose outcome is known."""
        return self.failed + (self.sent_at is not None)


def lane(chain: str) -> str:
    """What the outbox calls a chain's address for webhooks."""
    return f"{KIND}:{chain}"


def chain_of(partner: str) -> str:
    """The chain of a lane."""
    return partner.removeprefix(f"{KIND}:")


def enqueue(session: Session, chain: str, *, key: str, prescription_id: str | None, sealed: bytes, at: datetime) -> None:
    """Keep a message, once for each key; it is due unless the chain's address is out of use."""
    stopped = session.get(StoppedWebhookRow, chain) is not None
    insert_new(session, OutboxRow, key=key, kind=KIND, partner=lane(chain), prescription_id=prescription_id, sealed=sealed,
               made_at=at, due_at=None if stopped else at, last_error=STOPPED if stopped else "")


def give_up(session: Session, key: str, outcome: str) -> None:
    """It is not sent by itself any more."""
    session.execute(_one(key).values(due_at=None, attempts=_ROW.attempts + 1, last_error=outcome))


def stop(session: Session, chain: str, key: str, at: datetime) -> None:
    """The chain has answered this message with 410: what waits for the address is not sent."""
    insert_new(session, StoppedWebhookRow, chain=chain, at=at, key=key)
    give_up(session, key, GONE)
    session.execute(_written(sa.update(_ROW).where(
        _ROW.partner == lane(chain), _WEBHOOK, _ROW.due_at.is_not(None)).values(due_at=None, last_error=STOPPED)))


def resume(session: Session, chain: str, at: datetime) -> bool:
    """The address is in use again: what was not sent for that reason is due. Whether it was out of use."""
    row = session.get(StoppedWebhookRow, chain)
    if row is None:
        return False
    session.delete(row)
    session.execute(_written(sa.update(_ROW).where(
        _ROW.partner == lane(chain), _WEBHOOK, _ROW.due_at.is_(None), _ROW.sent_at.is_(None),
        _ROW.last_error.in_((GONE, STOPPED))).values(due_at=at)))
    return True


def send_again(session: Session, chain: str, key: str, at: datetime) -> bool:
    """Have one message sent now, delivered before or not; False if the chain has none of that key."""
    sent = session.execute(_one(key).where(_ROW.partner == lane(chain)).values(due_at=at))
    return bool(sent.rowcount)  # type: ignore[attr-defined]


def stopped(session: Session) -> dict[str, datetime]:
    """The chains whose address is out of use, and since when."""
    return {row.chain: row.at for row in session.scalars(sa.select(StoppedWebhookRow))}


def deliveries(session: Session, chains: Sequence[str], before: int | None, most: int, *, open_only: bool = False
               ) -> list[Delivery]:
    """Messages to these chains, the newest first; `before` is the id of the last one of the page before.

    `open_only`: those that the chain does not have.
    """
    rows = session.scalars(sa.select(_ROW).where(
        _ROW.partner.in_([lane(chain) for chain in chains]), _WEBHOOK, *([_ROW.id < before] if before is not None else ()),
        *([_ROW.sent_at.is_(None)] if open_only else ())).order_by(_ROW.id.desc()).limit(most))
    return [Delivery(row.id, row.key, chain_of(row.partner), row.prescription_id, row.made_at, row.due_at, row.sent_at,
                     row.attempts, row.last_error, row.sealed) for row in rows]


def page(session: Session, chain: str, after: int, most: int) -> list[Stored]:
    """The chain's messages after a position, the oldest first.

    Positions are given here and not when a message is written. A transaction that commits late would otherwise put its
    message before a cursor that has passed. Readers of one chain take turns, so each position is given once.
    """
    inbox.take_turns(session, lane(chain))
    _number(session, chain, most)
    rows = session.execute(sa.select(_ROW.position, _ROW.key, _ROW.sealed).where(
        _ROW.partner == lane(chain), _ROW.position > after).order_by(_ROW.position).limit(most))
    return [Stored(position or 0, key, sealed) for position, key, sealed in rows]


def _number(session: Session, chain: str, most: int) -> None:
    last = session.scalar(sa.select(sa.func.max(_ROW.position)).where(_ROW.partner == lane(chain), _ROW.position.is_not(None))) or 0
    fresh = session.scalars(sa.select(_ROW.id).where(
        _ROW.partner == lane(chain), _WEBHOOK, _ROW.position.is_(None)).order_by(_ROW.id).limit(most)).all()
    if fresh:
        session.execute(sa.update(_ROW), [{"id": id, "position": position} for position, id in enumerate(fresh, last + 1)])


def _one(key: str) -> sa.Update:
    return _written(sa.update(_ROW).where(_ROW.key == key, _WEBHOOK))


def _written(update: sa.Update) -> sa.Update:
    return update.execution_options(synchronize_session=False)

"""Deliveries by the city's courier."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from domain.errors import StaleStatus
from domain.fulfilment.deliveries import Delivery, DeliveryStatus
from infra.db.engine import Row, insert_new, run, table
from infra.db.rows import DeliveryRow

_TABLE = table(DeliveryRow)
_ROW = _TABLE.c
_SELECT = sa.select(_ROW.order_id, _ROW.number, _ROW.courier, _ROW.status, _ROW.attempt, _ROW.reference, _ROW.reason, _ROW.said_at,
                    _ROW.heard_at, _ROW.called_off, _ROW.metres, _ROW.signature_key)
_OF = _SELECT.where(_ROW.order_id.in_(sa.bindparam("ids", expanding=True))).order_by(_ROW.order_id, _ROW.number)
_TIMES = sa.select(_ROW.made_at, _ROW.arrived_at).where(_ROW.order_id == sa.bindparam("of"), _ROW.number == sa.bindparam("this"))
_THIS = sa.and_(_ROW.order_id == sa.bindparam("of"), _ROW.number == sa.bindparam("this"))
_MOVE = sa.update(_TABLE).where(_THIS, _ROW.status == sa.bindparam("was"), _ROW.attempt == sa.bindparam("attempt_was")).values(
    status=sa.bindparam("to"), attempt=sa.bindparam("attempt_to"), reference=sa.bindparam("new_reference"),
    reason=sa.bindparam("new_reason"), said_at=sa.bindparam("said"), heard_at=sa.bindparam("now"),
    called_off=sa.bindparam("stopped"), metres=sa.bindparam("away"), signature_key=sa.bindparam("picture"))
_ARRIVED = sa.update(_TABLE).where(_THIS).values(arrived_at=sa.bindparam("at"))
_NOTHING_NEW = sa.update(_TABLE).where(_THIS).values(heard_at=sa.bindparam("at"))


@dataclass(frozen=True)
class Times:
    """When a delivery was asked for, and when the courier was last at the door, by its own word."""

    made_at: datetime
    arrived_at: datetime | None


def make(session: Session, order_id: str, number: int, courier: str, *, at: datetime) -> Delivery:
    """It exists from here on, before any courier has heard of it. Raises `StaleStatus` where it is there already."""
    if not insert_new(session, DeliveryRow, order_id=order_id, number=number, courier=courier, status=DeliveryStatus.REQUESTED,
                      made_at=at, heard_at=at):
        raise StaleStatus(f"{order_id} has a delivery {number} already")
    return Delivery(number, courier, DeliveryStatus.REQUESTED, heard_at=at)


def of(session: Session, order_ids: Sequence[str]) -> dict[str, tuple[Delivery, ...]]:
    """Those of each order that has some, by number."""
    deliveries: dict[str, list[Delivery]] = defaultdict(list)
    for row in run(session, _OF, {"ids": list(order_ids)}) if order_ids else ():
        deliveries[row[0]].append(_delivery(row))
    return {order_id: tuple(several) for order_id, several in deliveries.items()}


def times(session: Session, order_id: str, number: int) -> Times:
    """Raises `KeyError` for one that is not here."""
    row = run(session, _TIMES, {"of": order_id, "this": number}).one_or_none()
    if row is None:
        raise KeyError(order_id)
    return Times(*row)


def move(session: Session, order_id: str, seen: Delivery, to: Delivery) -> None:
    """Write how far it is. Raises `StaleStatus` if it is no longer where it was `seen`."""
    assert to.heard_at is not None
    moved = run(session, _MOVE, {
        "of": order_id, "this": seen.number, "was": seen.status, "attempt_was": seen.attempt, "to": to.status,
        "attempt_to": to.attempt, "new_reference": to.reference, "new_reason": to.reason, "said": to.said_at, "now": to.heard_at,
        "stopped": to.called_off, "away": to.metres, "picture": to.signature_key})
    if moved.rowcount != 1:
        raise StaleStatus(f"delivery {seen.number} of {order_id} is no longer {seen.status}")
    if to.status is DeliveryStatus.ARRIVED:
        run(session, _ARRIVED, {"of": order_id, "this": seen.number, "at": to.said_at})


def nothing_new(session: Session, order_id: str, number: int, at: datetime) -> None:
    """The courier says that it is where it was."""
    run(session, _NOTHING_NEW, {"of": order_id, "this": number, "at": at})


def _delivery(row: Row) -> Delivery:
    _, number, courier, status, attempt, reference, reason, said_at, heard_at, called_off, metres, signature_key = row
    return Delivery(number, courier, DeliveryStatus(status), attempt, reference, reason, said_at, heard_at, called_off, metres,
                    signature_key)

"""Pharmacy orders and the items they carry. One order of a prescription is alive at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from pydantic import TypeAdapter
from sqlalchemy.orm import Session

from domain.errors import StaleStatus
from domain.lifecycle import GONE, ORDER_TRANSITIONS
from domain.money import Fen
from domain.orders import OrderStatus, PharmacyOrder
from infra.db import effects
from infra.db.rows import ItemRow, OrderRow, PrescriptionRow

ORDER = TypeAdapter(PharmacyOrder)


@dataclass(frozen=True)
class Placed:
    """An order and what became of it."""

    order: PharmacyOrder
    """Without its secrets; those are in `sealed`."""
    attempt: int
    status: OrderStatus
    sealed: bytes = field(repr=False)
    reason: str
    made_at: datetime
    accept_by: datetime | None
    fulfil_by: datetime | None
    handed_over_at: datetime | None
    ended_at: datetime | None
    returned_lines: frozenset[int]

    @property
    def id(self) -> str:
        return self.order.id

    @property
    def kept_lines(self) -> tuple[int, ...]:
        """What the patient has: handed over and not returned."""
        return tuple(line.line for line in self.order.lines if line.line not in self.returned_lines)


def make(session: Session, order: PharmacyOrder, *, attempt: int, sealed: bytes, ranking: Sequence[dict[str, Any]],
         at: datetime) -> None:
    """The order exists from here on, before any chain has heard of it."""
    public = replace(order, claim_secret="", recipient={})
    session.add(OrderRow(
        id=order.id, prescription_id=order.prescription_id, attempt=attempt, chain=order.chain, store=order.store,
        status=OrderStatus.HELD, content=ORDER.dump_python(public, mode="json"), sealed=sealed,
        ranking=list(ranking), total_fen=order.total, made_at=at, returned_lines=[]))
    session.execute(sa.update(PrescriptionRow).where(PrescriptionRow.id == order.prescription_id)
                    .values(lane=PrescriptionRow.hospital + "/" + order.chain)
                    .execution_options(synchronize_session=False))
    session.flush()
    _items(session, order.id, [line.line for line in order.lines], OrderStatus.HELD, order.prescription_id)


def get(session: Session, order_id: str) -> Placed | None:
    row = session.get(OrderRow, order_id)
    return _placed(row) if row else None


def of(session: Session, prescription_id: str) -> list[Placed]:
    """All attempts, the newest last."""
    rows = session.scalars(sa.select(OrderRow).where(OrderRow.prescription_id == prescription_id)
                           .order_by(OrderRow.attempt))
    return [_placed(row) for row in rows]


def set_terms(session: Session, order_id: str, *, patient_due: Fen | None = None, reference: str | None = None,
              accept_by: datetime | None = None, fulfil_by: datetime | None = None) -> None:
    """What became known after the order was made; None leaves a field as it is."""
    row = session.get_one(OrderRow, order_id)
    if patient_due is not None:
        row.patient_due_fen = patient_due
        row.content = row.content | {"patient_due": patient_due}
    row.reference = reference or row.reference
    row.accept_by = accept_by or row.accept_by
    row.fulfil_by = fulfil_by or row.fulfil_by
    session.flush()


def advance(session: Session, order_id: str, to: OrderStatus, *, at: datetime, reason: str = "",
            returned: Sequence[int] = ()) -> bool:
    """Move an order and its items forward; False when that is no step forward (a late or repeated word).

    Raises `StaleStatus` if somebody moved it meanwhile.
    """
    row = session.get_one(OrderRow, order_id)
    start = OrderStatus(row.status)
    if to not in ORDER_TRANSITIONS[start]:
        return False
    values: dict[str, Any] = {"status": to}
    lines = [line["line"] for line in row.content["lines"]]
    if to is OrderStatus.RETURNED:
        back = sorted(set(row.returned_lines) | (set(returned or lines) & set(lines)))
        if back == row.returned_lines:
            return False
        values["returned_lines"], lines = back, back
    if to is OrderStatus.HANDED_OVER:
        values["handed_over_at"] = at
    if to in GONE:
        values["ended_at"] = at
    if reason:
        values["reason"] = reason
    moved = session.execute(sa.update(OrderRow).where(OrderRow.id == order_id, OrderRow.status == start)
                            .values(**values).execution_options(synchronize_session=False))
    if moved.rowcount != 1:  # type: ignore[attr-defined]
        raise StaleStatus(f"{order_id} is no longer {start}")
    prescription_id = row.prescription_id
    session.expire(row)  # whoever asks for it again in this transaction sees it moved
    if to in GONE:
        effects.overtaken(session, prescription_id, order_id, at=at)
    elif to is OrderStatus.HANDED_OVER:
        effects.overtaken(session, prescription_id, order_id, step="cancel", at=at)
    _items(session, order_id, lines, to, prescription_id)
    return True


def _items(session: Session, order_id: str, lines: Sequence[int], status: OrderStatus, prescription_id: str) -> None:
    session.execute(
        sa.update(ItemRow).where(ItemRow.prescription_id == prescription_id, ItemRow.line.in_(lines))
        .values(order_id=order_id, status=status).execution_options(synchronize_session=False))


def shares(session: Session, since: datetime, until: datetime) -> dict[str, Decimal]:
    """Each `chain/store`'s share of the orders handed over in that time: the fairness term (D-16).

    Every allocation asks, and a month of orders is long to count: the answer is kept until another time is asked for.
    """
    kept = _SHARES.get(session.get_bind())
    if kept and kept[:2] == (since, until):
        return kept[2]
    counts = {f"{chain}/{store}": count for chain, store, count in session.execute(
        sa.select(OrderRow.chain, OrderRow.store, sa.func.count())
        .where(OrderRow.handed_over_at >= since, OrderRow.handed_over_at < until)
        .group_by(OrderRow.chain, OrderRow.store))}
    total = sum(counts.values())
    found = {store: Decimal(count) / total for store, count in counts.items()}
    # Once something was handed over after that time, nothing more is handed over within it.
    if session.scalar(sa.select(OrderRow.handed_over_at).where(OrderRow.handed_over_at >= until).limit(1)):
        _SHARES[session.get_bind()] = since, until, found
    return found


_SHARES: WeakKeyDictionary[sa.Engine | sa.Connection, tuple[datetime, datetime, dict[str, Decimal]]] = WeakKeyDictionary()
"""The last answer of `shares`, by database."""


def orphan_holds(session: Session, before: datetime, statuses: Sequence[str]) -> list[Placed]:
    """Holds older than that whose prescription is in one of these statuses: nobody will use them."""
    rows = session.scalars(
        sa.select(OrderRow).join(PrescriptionRow, PrescriptionRow.id == OrderRow.prescription_id)
        .where(OrderRow.status == sa.literal(OrderStatus.HELD.value, literal_execute=True), OrderRow.made_at < before,
               PrescriptionRow.status.in_(statuses)))
    return [_placed(row) for row in rows]


def _placed(row: OrderRow) -> Placed:
    return Placed(ORDER.validate_python(row.content), row.attempt, OrderStatus(row.status), row.sealed, row.reason,
                  row.made_at, row.accept_by, row.fulfil_by, row.handed_over_at, row.ended_at,
                  frozenset(row.returned_lines))

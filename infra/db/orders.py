"""Pharmacy orders and the items they carry. One order of a prescription is alive at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from sqlalchemy.orm import Session

from domain.errors import StaleStatus
from domain.lifecycle import GONE, ORDER_TRANSITIONS
from domain.money import Fen
from domain.orders import Dispensed, Instructions, OrderStatus, PharmacyOrder
from infra.db import effects
from infra.db.engine import Row, run, table
from infra.db.precompiled import Precompiled
from infra.db.rows import ItemRow, OrderRow, PrescriptionRow
from infra.db.stored import ORDER, PRESCRIPTION


@dataclass(frozen=True)
class Placed:
    """An order and what became of it."""

    order: PharmacyOrder
    """Without its secrets; those are in `sealed`."""
    attempt: int
    status: OrderStatus
    sealed: bytes = field(repr=False)
    reason: str = ""
    accept_by: datetime | None = None
    fulfil_by: datetime | None = None
    handed_over_at: datetime | None = None
    ended_at: datetime | None = None
    returned_lines: frozenset[int] = frozenset()

    @property
    def id(self) -> str:
        return self.order.id

    @property
    def kept_lines(self) -> tuple[int, ...]:
        """What the patient has: handed over and not returned."""
        return tuple(line.line for line in self.order.lines if line.line not in self.returned_lines)


@dataclass(frozen=True)
class OrderTerms:
    """What is known once the chain has taken the order."""

    patient_due: Fen
    reference: str
    accept_by: datetime
    fulfil_by: datetime


_ORDER = table(OrderRow)
_ROW = _ORDER.c
_PRESCRIPTION = table(PrescriptionRow)
_RX = _PRESCRIPTION.c
_INSERT = Precompiled(sa.insert(_ORDER))
_SELECT = sa.select(_ROW.content, _ROW.attempt, _ROW.status, _ROW.sealed, _ROW.reason, _ROW.accept_by, _ROW.fulfil_by,
                    _ROW.handed_over_at, _ROW.ended_at, _ROW.returned_lines)
_GET = Precompiled(_SELECT.where(_ROW.id == sa.bindparam("id")))
_OF = Precompiled(_SELECT.where(_ROW.prescription_id == sa.bindparam("of")).order_by(_ROW.attempt))
_ITEMS = (
    sa.update(table(ItemRow))
    .where(ItemRow.prescription_id == sa.bindparam("of"), ItemRow.line.in_(sa.bindparam("lines", expanding=True)))
    .values(order_id=sa.bindparam("by"), status=sa.bindparam("to"))
)


@cache
def _advance(*columns: str) -> Precompiled:
    """Compare the status and set these columns."""
    return Precompiled(sa.update(_ORDER).where(_ROW.id == sa.bindparam("order"), _ROW.status == sa.bindparam("was"))
                       .values({column: sa.bindparam(f"new_{column}") for column in columns}))


def make(session: Session, order: PharmacyOrder, *, attempt: int, sealed: bytes, ranking: Sequence[dict[str, Any]],
         at: datetime) -> Placed:
    """The order exists from here on, before any chain has heard of it."""
    public = replace(order, claim_secret="", recipient={}, instructions=Instructions())
    run(session, _INSERT, {
        "id": order.id, "prescription_id": order.prescription_id, "attempt": attempt, "chain": order.chain,
        "store": order.store, "status": OrderStatus.HELD, "content": ORDER.write(public),
        "sealed": sealed, "ranking": list(ranking), "total_fen": order.total, "made_at": at, "returned_lines": []})
    _items(session, order, [line.line for line in order.lines], OrderStatus.HELD)
    return Placed(public, attempt, OrderStatus.HELD, sealed)


def get(session: Session, order_id: str) -> Placed | None:
    row = run(session, _GET, {"id": order_id}).one_or_none()
    return _placed(row) if row else None


def of(session: Session, prescription_id: str) -> list[Placed]:
    """All attempts, the newest last."""
    return [_placed(row) for row in run(session, _OF, {"of": prescription_id})]


def advance(session: Session, seen: Placed, to: OrderStatus, *, at: datetime, reason: str = "",
            returned: Sequence[int] = (), terms: OrderTerms | None = None) -> bool:
    """Move an order and its items forward; False when that is no step forward (a late or repeated word).

    `terms` are kept either way. Raises `StaleStatus` if it is no longer in the status it was `seen` in.
    """
    change: dict[str, Any] = {}
    if terms:
        agreed = replace(seen.order, patient_due=terms.patient_due)
        change = {"content": ORDER.write(agreed), "patient_due_fen": terms.patient_due,
                  "reference": terms.reference, "accept_by": terms.accept_by, "fulfil_by": terms.fulfil_by}
    lines = [line.line for line in seen.order.lines]
    forward = to in ORDER_TRANSITIONS[seen.status]
    if forward and to is OrderStatus.RETURNED:
        lines = sorted(seen.returned_lines | (set(returned) & set(lines)))
        forward = lines != sorted(seen.returned_lines)
        change["returned_lines"] = lines
    if not forward and not terms:
        return False
    if forward:
        change["status"] = to
        if to is OrderStatus.HANDED_OVER:
            change["handed_over_at"] = at
        if to in GONE:
            change["ended_at"] = at
        if reason:
            change["reason"] = reason
    moved = run(session, _advance(*change), {"order": seen.id, "was": seen.status,
                                             **{f"new_{column}": value for column, value in change.items()}})
    if moved.rowcount != 1:
        raise StaleStatus(f"{seen.id} is no longer {seen.status}")
    if not forward:
        return False
    if to in GONE:
        effects.overtaken(session, seen.order.prescription_id, seen.id, at=at)
    elif to is OrderStatus.HANDED_OVER:
        effects.overtaken(session, seen.order.prescription_id, seen.id, step="cancel", at=at)
    _items(session, seen.order, lines, to)
    return True


def _items(session: Session, order: PharmacyOrder, lines: Sequence[int], status: OrderStatus) -> None:
    run(session, _ITEMS, {"of": order.prescription_id, "lines": lines, "by": order.id, "to": status})


def shares(session: Session, since: datetime, until: datetime) -> dict[str, Decimal]:
    """Each `chain/store`'s share of the orders handed over in that time: the fairness term (D-16).

    Every allocation asks, and a month of orders is long to count: the answer is kept until another time is asked for.
    """
    engine = session.info["connection"].engine
    kept = _SHARES.get(engine)
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
        _SHARES[engine] = since, until, found
    return found


_SHARES: WeakKeyDictionary[sa.Engine, tuple[datetime, datetime, dict[str, Decimal]]] = WeakKeyDictionary()
"""The last answer of `shares`, by database."""


_HANDED_OVER = (
    sa.select(_RX.content, _ROW.content, _ROW.handed_over_at, _ROW.returned_lines)
    .join(_PRESCRIPTION, _RX.id == _ROW.prescription_id)
    .where(_RX.patient_id == sa.bindparam("patient"), _RX.id != sa.bindparam("besides"),
           _ROW.handed_over_at >= sa.bindparam("since"))
    .order_by(_ROW.handed_over_at, _RX.id)
)


def dispensed(session: Session, patient_id: str, *, since: datetime, besides: str) -> tuple[Dispensed, ...]:
    """What a person was handed over since then and has kept, oldest first, without one prescription (`besides`).

    Whoever prescribed it and whichever chain filled it. Goes by the person's opaque id, of which there is an index.
    """
    medicines = []
    rows = run(session, _HANDED_OVER, {"patient": patient_id, "besides": besides, "since": since})
    for prescription, order, at, returned_lines in rows:
        # A few fields of many documents: to read them whole would cost more than the rest of the audit.
        kept = {line["line"] for line in ORDER.upgraded(order)["lines"]} - set(returned_lines)
        medicines += [Dispensed(item["drug"], at, item["days_supply"])
                      for item in PRESCRIPTION.upgraded(prescription)["items"] if item["line"] in kept]
    return tuple(medicines)


def orphan_holds(session: Session, before: datetime, statuses: Sequence[str]) -> list[Placed]:
    """Holds older than that whose prescription is in one of these statuses: nobody will use them."""
    rows = run(
        session, _SELECT.join(PrescriptionRow, PrescriptionRow.id == OrderRow.prescription_id)
        .where(OrderRow.status == sa.literal(OrderStatus.HELD.value, literal_execute=True), OrderRow.made_at < before,
               PrescriptionRow.status.in_(statuses)))
    return [_placed(row) for row in rows]


def _placed(row: Row) -> Placed:
    content, attempt, status, sealed, reason, accept_by, fulfil_by, handed_over_at, ended_at, returned_lines = row
    return Placed(ORDER.read(content), attempt, OrderStatus(status), sealed, reason, accept_by, fulfil_by,
                  handed_over_at, ended_at, frozenset(returned_lines))

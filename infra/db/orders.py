"""Pharmacy orders with their parcels and returns."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from sqlalchemy.orm import Session

from domain.chains import ChainWord, Dispensed, Instructions, PharmacyOrder
from domain.errors import StaleStatus
from domain.fulfilment.orders import GONE, OrderStatus, Placed, advanced, word_of
from domain.fulfilment.parcels import Parcel, ParcelStatus
from domain.fulfilment.portions import Portion, Scope, by_line
from domain.fulfilment.returns import Return, ReturnStatus
from domain.money import Fen
from infra.db import deliveries, effects, traces
from infra.db.engine import Row, insert_new, run, table
from infra.db.precompiled import Precompiled
from infra.db.rows import OrderRow, ParcelRow, PrescriptionRow, ReturnRow
from infra.db.stored import ORDER, PRESCRIPTION, SCOPE, Document


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
_PARCEL = table(ParcelRow)
_RETURN = table(ReturnRow)
_INSERT = Precompiled(sa.insert(_ORDER))
_SELECT = sa.select(_ROW.content, _ROW.attempt, _ROW.status, _ROW.sealed, _ROW.reason, _ROW.accept_by, _ROW.fulfil_by,
                    _ROW.handed_over_at, _ROW.ended_at, _ROW.courier)
_GET = Precompiled(_SELECT.where(_ROW.id == sa.bindparam("id")))
_OF = Precompiled(_SELECT.where(_ROW.prescription_id == sa.bindparam("of")).order_by(_ROW.attempt))
_AT_POINT = _SELECT.where(
    _ROW.point == sa.bindparam("here"), _ROW.point != "",
    sa.or_(sa.and_(_ROW.handed_over_at.is_(None), _ROW.ended_at.is_(None)), _ROW.handed_over_at >= sa.bindparam("since"),
           _ROW.ended_at >= sa.bindparam("since"))).order_by(_ROW.made_at.desc(), _ROW.id)
_GOODS = sa.union_all(
    sa.select(sa.literal("parcel").label("kind"), _PARCEL.c.order_id, _PARCEL.c.number, _PARCEL.c.portions, _PARCEL.c.status,
              _PARCEL.c.handed_over_at.label("moment"), sa.literal("").label("reason"))
    .where(_PARCEL.c.order_id.in_(sa.bindparam("ids", expanding=True))),
    sa.select(sa.literal("return"), _RETURN.c.order_id, _RETURN.c.number, _RETURN.c.portions, _RETURN.c.status, _RETURN.c.at,
              _RETURN.c.reason)
    .where(_RETURN.c.order_id.in_(sa.bindparam("ids", expanding=True))),
).order_by("kind", "order_id", "number")
"""Parcels and returns of orders, by one query."""
_MOVE_PARCEL = (
    sa.update(_PARCEL)
    .where(_PARCEL.c.order_id == sa.bindparam("of"), _PARCEL.c.number == sa.bindparam("this"),
           _PARCEL.c.status == sa.bindparam("was"))
    .values(status=sa.bindparam("to"), handed_over_at=sa.bindparam("at"))
)
_REFUND = (
    sa.update(_RETURN)
    .where(_RETURN.c.order_id == sa.bindparam("of"), _RETURN.c.status == ReturnStatus.BROUGHT_BACK)
    .values(status=ReturnStatus.REFUNDED, refunded_at=sa.bindparam("moment"))
)


@cache
def _advance(*columns: str) -> Precompiled:
    """Compare the status and set these columns."""
    return Precompiled(sa.update(_ORDER).where(_ROW.id == sa.bindparam("order"), _ROW.status == sa.bindparam("was"))
                       .values({column: sa.bindparam(f"new_{column}") for column in columns}))


def make(session: Session, order: PharmacyOrder, *, attempt: int, sealed: bytes, ranking: Sequence[dict[str, Any]],
         at: datetime, courier: str = "") -> Placed:
    """The order exists from here on, before any chain has heard of it."""
    public = replace(order, claim_secret="", recipient={}, instructions=Instructions())
    run(session, _INSERT, {
        "id": order.id, "prescription_id": order.prescription_id, "attempt": attempt, "chain": order.chain,
        "store": order.store, "status": OrderStatus.HELD, "content": ORDER.write(public),
        "sealed": sealed, "ranking": list(ranking), "total_fen": order.total, "made_at": at, "courier": courier,
        "point": order.point})
    return Placed(public, attempt, OrderStatus.HELD, sealed, courier=courier)


def get(session: Session, order_id: str) -> Placed | None:
    row = run(session, _GET, {"id": order_id}).one_or_none()
    return _placed(session, [row])[0] if row else None


def of(session: Session, prescription_id: str) -> list[Placed]:
    """All orders of a prescription, the newest last."""
    return _placed(session, run(session, _OF, {"of": prescription_id}).all())


def at_point(session: Session, place: str, since: datetime) -> list[Placed]:
    """Orders that patients collect at a point: those under way, and those that ended since then; the newest first."""
    return _placed(session, run(session, _AT_POINT, {"here": place, "since": since}).all())


def advance(session: Session, seen: Placed, word: ChainWord, *, at: datetime, reason: str = "",
            returned: Sequence[int] = (), terms: OrderTerms | None = None) -> bool:
    """Move an order, its parcel and what came back by a chain's word; False when that is no step forward.

    `returned` are the lines that came back. `terms` are kept either way. Raises `StaleStatus` if order or parcel are no longer
    where they were `seen`.
    """
    change = advanced(seen, word, at=at, returned=returned, reason=reason)
    values = _terms(seen.order, terms) if terms else {}
    if change and change.order:
        values |= _moved_to(change.order, at, reason)
    if values:
        moved = run(session, _advance(*values), {"order": seen.id, "was": seen.status,
                                                 **{f"new_{column}": value for column, value in values.items()}})
        if moved.rowcount != 1:
            raise StaleStatus(f"{seen.id} is no longer {seen.status}")
    if change is None:
        return False
    if change.order:
        _overtake(session, seen, change.order, at)
    if change.parcel:
        _write_parcel(session, seen, change.parcel, at)
    if change.back and not insert_new(session, ReturnRow, order_id=seen.id, number=change.back.number, status=change.back.status,
                                      portions=SCOPE.write(Scope(change.back.portions)), reason=change.back.reason, at=at):
        raise StaleStatus(f"{seen.id} has a return {change.back.number} already")
    return True


def refunded(session: Session, order: Placed, at: datetime) -> None:
    """The fund no longer pays for what came back of an order."""
    if any(back.status is ReturnStatus.BROUGHT_BACK for back in order.returns):
        run(session, _REFUND, {"of": order.id, "moment": at})


def _terms(order: PharmacyOrder, terms: OrderTerms) -> dict[str, Any]:
    agreed = replace(order, patient_due=terms.patient_due)
    return {"content": ORDER.write(agreed), "patient_due_fen": terms.patient_due, "reference": terms.reference,
            "accept_by": terms.accept_by, "fulfil_by": terms.fulfil_by}


def _moved_to(status: OrderStatus, at: datetime, reason: str) -> dict[str, Any]:
    values: dict[str, Any] = {"status": status}
    if status is OrderStatus.COMPLETED:
        values["handed_over_at"] = at
    if status in GONE:
        values["ended_at"] = at
    if reason:
        values["reason"] = reason
    return values


def _overtake(session: Session, seen: Placed, to: OrderStatus, at: datetime) -> None:
    """An order's own end answers what we did not hear of effects on it, and puts back what lay packed for it."""
    if to in GONE:
        effects.overtaken(session, seen.order.prescription_id, seen.id, at=at)
        if seen.parcels:
            traces.release_prepared(session, seen.id, at)
    elif to is OrderStatus.COMPLETED:
        effects.overtaken(session, seen.order.prescription_id, seen.id, step="cancel", at=at)


def _write_parcel(session: Session, seen: Placed, parcel: Parcel, at: datetime) -> None:
    before = next((known for known in seen.parcels if known.number == parcel.number), None)
    if before is None:
        if not insert_new(session, ParcelRow, order_id=seen.id, number=parcel.number, status=parcel.status,
                          portions=SCOPE.write(Scope(parcel.portions)), made_at=at, handed_over_at=parcel.handed_over_at):
            raise StaleStatus(f"{seen.id} has a parcel {parcel.number} already")
        return
    moved = run(session, _MOVE_PARCEL, {"of": seen.id, "this": parcel.number, "was": before.status, "to": parcel.status,
                                        "at": parcel.handed_over_at})
    if moved.rowcount != 1:
        raise StaleStatus(f"parcel {parcel.number} of {seen.id} is no longer {before.status}")


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
    shares = {store: Decimal(count) / total for store, count in counts.items()}
    # Once something was handed over after that time, nothing more is handed over within it.
    if session.scalar(sa.select(OrderRow.handed_over_at).where(OrderRow.handed_over_at >= until).limit(1)):
        _SHARES[engine] = since, until, shares
    return shares


_SHARES: WeakKeyDictionary[sa.Engine, tuple[datetime, datetime, dict[str, Decimal]]] = WeakKeyDictionary()
"""The last answer of `shares`, by database."""


_HANDED_OVER = (
    sa.select(_RX.content, _ROW.id, _ROW.content, _ROW.handed_over_at, _RETURN.c.portions)
    .join(_PRESCRIPTION, _RX.id == _ROW.prescription_id)
    .outerjoin(_RETURN, _RETURN.c.order_id == _ROW.id)
    .where(_RX.patient_id == sa.bindparam("patient"), _RX.id != sa.bindparam("besides"),
           _ROW.handed_over_at >= sa.bindparam("since"))
    .order_by(_ROW.handed_over_at, _RX.id, _ROW.attempt)
)


def dispensed(session: Session, patient_id: str, *, since: datetime, besides: str) -> tuple[Dispensed, ...]:
    """What a person was handed over since then and has kept, oldest first, without one prescription (`besides`).

    From all prescribers and all chains. Goes by the person's opaque id, of which there is an index. Of a line of
    which some came back, the days that the rest is for.
    """
    handed_over: dict[str, tuple[Document, Document, datetime]] = {}
    returned: dict[str, list[Portion]] = defaultdict(list)
    rows = run(session, _HANDED_OVER, {"patient": patient_id, "besides": besides, "since": since})
    for prescription, order_id, order, at, portions in rows:
        handed_over[order_id] = prescription, order, at
        if portions:
            returned[order_id] += SCOPE.read(portions).portions
    medicines = []
    for order_id, (prescription, order, at) in handed_over.items():
        # A few fields of many documents: to read them whole would cost more than the rest of the audit.
        lines = {line["line"]: line for line in ORDER.upgraded(order)["lines"]}
        back = by_line(returned[order_id])
        for item in PRESCRIPTION.upgraded(prescription)["items"]:
            line = lines.get(item["line"])
            quantity = Decimal(line["quantity"]) if line else Decimal(0)
            kept = quantity - back.get(item["line"], Decimal(0))
            if kept > 0:
                days = item["days_supply"] if kept == Decimal(item["quantity"]) else int(
                    item["days_supply"] * kept / Decimal(item["quantity"]))
                medicines.append(Dispensed(line["drug"] if line and line["instead_of"] else item["drug"], at, days))
    return tuple(medicines)


def orphan_holds(session: Session, before: datetime, statuses: Sequence[str]) -> list[Placed]:
    """Holds older than that whose prescription is in one of these statuses, so that they are of no use any more."""
    rows = run(
        session, _SELECT.join(PrescriptionRow, PrescriptionRow.id == OrderRow.prescription_id)
        .where(OrderRow.status == sa.literal(OrderStatus.HELD.value, literal_execute=True), OrderRow.made_at < before,
               PrescriptionRow.status.in_(statuses)))
    return _placed(session, rows.all())


_CARRIED = frozenset({OrderStatus.PREPARED, OrderStatus.COMPLETED, *GONE})
"""An order in these may have parcels."""


@dataclass(frozen=True)
class Whereabouts:
    """Where an order is, for people."""

    word: ChainWord
    parcels: tuple[dict[str, Any], ...]
    """Number, status and when it was handed over."""
    returned: tuple[dict[str, Any], ...]
    """Line, quantity, when and why."""
    deliveries: tuple[dict[str, Any], ...]
    """By the city's courier: number, courier, status, attempt, its own number, why, when it said so, how far from the patient."""


_SHOWN = ("number", "courier", "status", "attempt", "reference", "reason", "said_at", "metres")


def whereabouts(session: Session, statuses: Mapping[str, OrderStatus]) -> dict[str, Whereabouts]:
    """Where orders are, by their ids, without reading what they are about."""
    goods, carried = _goods(session, list(statuses)), deliveries.of(session, list(statuses))
    return {order_id: Whereabouts(
        word_of(status, [parcel.status for parcel in parcels], bool(returns)),
        tuple({"number": parcel.number, "status": parcel.status, "handed_over_at": parcel.handed_over_at} for parcel in parcels),
        tuple({"line": portion.line, "quantity": portion.quantity, "status": back.status, "at": back.at, "reason": back.reason}
              for back in returns for portion in back.portions),
        tuple({name: getattr(delivery, name) for name in _SHOWN} for delivery in carried.get(order_id, ())))
        for order_id, status in statuses.items() for parcels, returns in [goods.get(order_id, ((), ()))]}


Goods = tuple[tuple[Parcel, ...], tuple[Return, ...]]


def _goods(session: Session, ids: Sequence[str]) -> dict[str, Goods]:
    """The parcels and the returns of each order that has some."""
    parcels: dict[str, list[Parcel]] = defaultdict(list)
    returns: dict[str, list[Return]] = defaultdict(list)
    for kind, order_id, number, content, status, moment, reason in run(session, _GOODS, {"ids": ids}) if ids else ():
        portions = SCOPE.read(content).portions
        if kind == "parcel":
            parcels[order_id].append(Parcel(number, portions, ParcelStatus(status), moment))
        else:
            returns[order_id].append(Return(number, portions, ReturnStatus(status), moment, reason))
    return {order_id: (tuple(carried), tuple(returns[order_id])) for order_id, carried in parcels.items()}


def _placed(session: Session, rows: Sequence[Row]) -> list[Placed]:
    """Orders with their parcels and returns, which are only asked for where there may be some."""
    orders = [replace(Placed(ORDER.read(content), attempt, OrderStatus(status), *rest), courier=courier) if courier else
              Placed(ORDER.read(content), attempt, OrderStatus(status), *rest)
              for content, attempt, status, *rest, courier in rows]
    goods = _goods(session, [order.id for order in orders if order.status in _CARRIED])
    carried = deliveries.of(session, [order.id for order in orders if order.courier and order.status in _CARRIED])
    orders = [replace(order, deliveries=carried[order.id]) if order.id in carried else order for order in orders]
    return [replace(order, parcels=goods[order.id][0], returns=goods[order.id][1]) if order.id in goods else order
            for order in orders]

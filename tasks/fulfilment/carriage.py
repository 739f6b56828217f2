"""Parcels with the city's courier: who carries an order, having it brought, calling it off, and asking where it is."""

from dataclasses import replace

from adapters.protocols import Courier, WorksFromPages
from domain.couriers import Consignment, CourierUpdate, Stop, Waybill, masked_name, masked_phone
from domain.errors import NeedsOperator, Refused, StaleStatus
from domain.events import Event
from domain.fulfilment.carriage import NO_COURIER
from domain.fulfilment.deliveries import (
    MOST_ATTEMPTS,
    Delivery,
    DeliveryStatus,
    Standing,
    delivery_id,
    standing,
)
from domain.fulfilment.orders import Placed
from domain.fulfilment.points import NOT_COLLECTED
from domain.money import Fen
from domain.prescription import Handover, Place
from infra.db import Session, deliveries, history, orders, prescriptions
from infra.db.discrepancies import disagree
from infra.db.effects import Effect
from infra.db.history import Head
from infra.db.prescriptions import Loaded, canonical
from infra.db.stored import WAYBILL
from tasks import payments
from tasks.city import City
from tasks.counter import workplaces
from tasks.effect import once
from tasks.fulfilment.arrivals import tell
from tasks.patients import open_patient


def courier_for(city: City, chain: str, store: str, handover: Handover) -> str:
    """Slug of the courier who brings an order of this store; empty: the chain does, or the patient collects it."""
    shops = city.chains[chain]
    if handover is not Handover.HOME or not isinstance(shops, WorksFromPages) or shops.shops()[store].delivers:
        return ""
    return next(iter(city.couriers), "")


async def dispatch(city: City, loaded: Loaded, placed: Placed) -> Head:
    """Have the courier bring a parcel, or take up what a crash left half-made; its no is written down, and the plan goes on."""
    delivery = _requested(city, loaded, placed)
    courier, key = _courier(city, delivery), delivery_id(placed.id, delivery.number)
    consignment = _consignment(city, loaded, placed, delivery, key)
    effect = Effect(loaded.id, "dispatch", key)
    try:
        return await once(city, effect, partner=courier.slug, request=canonical([key, placed.order.store]), answer=WAYBILL,
                          send=lambda: courier.assign(consignment), ask=lambda: courier.find(key),
                          then=lambda session, waybill: _assigned(city, session, loaded, placed.id, delivery.number, waybill))
    except Refused:
        with city.db.transaction("delivery.refused") as session:
            return _ended(city, session, loaded, placed.id, delivery.number, DeliveryStatus.CANCELLED, NO_COURIER)


async def call_off(city: City, loaded: Loaded, placed: Placed) -> Head:
    """The order ended without medicine, or its patient has not collected it in time: the courier stops, or takes it back.

    If the patient has the parcel a person must look.
    """
    delivery = placed.delivery
    assert delivery is not None
    courier, key = _courier(city, delivery), delivery_id(placed.id, delivery.number)

    async def stop() -> Waybill:
        try:
            return await courier.cancel(key, placed.reason or NOT_COLLECTED)
        except Refused as no:
            if no.code != "unknown_delivery":
                raise
            return Waybill("", DeliveryStatus.CANCELLED)  # It never heard of it, so it will not come.

    async def stopped() -> Waybill | None:
        waybill = await courier.find(key)
        return waybill if waybill and waybill.status in (DeliveryStatus.CANCELLED, DeliveryStatus.RETURNING) else None

    effect = Effect(loaded.id, "revoke", key)
    try:
        return await once(city, effect, partner=courier.slug, request=canonical([key]), answer=WAYBILL, send=stop, ask=stopped,
                          then=lambda session, waybill: _ended(city, session, loaded, placed.id, delivery.number, waybill.status,
                                                               delivery.reason if placed.reason else NOT_COLLECTED))
    except Refused:
        with city.db.transaction("delivery.kept") as session:
            disagree(session, kind="delivery_not_stopped", subject=key, expected="cancelled", actual=delivery.status,
                     at=city.now(), prescription_id=loaded.id)
            return _ended(city, session, loaded, placed.id, delivery.number, delivery.status, delivery.reason)


async def inquire(city: City, loaded: Loaded, placed: Placed) -> Head:
    """The courier has said nothing for too long (E-16): its word counts as if it had come; without a newer one the parcel is lost.

    Raises `NeedsOperator` (code `delivery_unknown`) where it no longer knows a parcel, or one that cannot be lost where it is.
    """
    delivery = placed.delivery
    assert delivery is not None
    key = delivery_id(placed.id, delivery.number)
    waybill = await _courier(city, delivery).find(key)
    if waybill is None:
        raise NeedsOperator(f"{delivery.courier} no longer knows {key}; call it", code="delivery_unknown")
    newer = standing(delivery, waybill.status, waybill.attempt, city.now()) is Standing.FORWARD
    status = waybill.status if newer else DeliveryStatus.LOST
    if standing(delivery, status, waybill.attempt, city.now()) is not Standing.FORWARD:
        raise NeedsOperator(f"{delivery.courier} has nothing new of {key}, which is {delivery.status}; call it",
                            code="delivery_unknown")
    answer = tell(city, delivery.courier, CourierUpdate(
        f"{key}.{status}.{waybill.attempt}.asked", key, status, city.now(), waybill.attempt, "" if newer else "lost"), checked=True)
    if answer.status >= 300:
        raise NeedsOperator(f"{key}: {answer.status} to {status}", code="delivery_unknown")
    with city.db.reading() as session:
        return replace(prescriptions.load(session, loaded.id).head, wake_at=city.now())


def _courier(city: City, delivery: Delivery) -> Courier:
    if delivery.courier not in city.couriers:
        raise NeedsOperator(f"the city has no courier {delivery.courier} any more, and it has a parcel", code="no_address")
    return city.couriers[delivery.courier]


def _requested(city: City, loaded: Loaded, placed: Placed) -> Delivery:
    """The delivery that is to be assigned; it exists before the courier hears of it."""
    if placed.delivery and placed.delivery.status is not DeliveryStatus.CANCELLED:
        return placed.delivery
    with city.db.transaction("delivery.requested") as session:
        return deliveries.make(session, placed.id, len(placed.deliveries) + 1, placed.courier, at=city.now())


def _consignment(city: City, loaded: Loaded, placed: Placed, delivery: Delivery, key: str) -> Consignment:
    """No medicine, no disease, no name and no phone in full (E-14)."""
    patient, place = open_patient(city, loaded), placed.order.place
    shops = city.chains[placed.order.chain]
    assert isinstance(shops, WorksFromPages)
    shop, ways = shops.shops()[placed.order.store], payments.methods(city.policy, placed)
    if point := workplaces(city).get(placed.order.point):
        # What is due is paid at the point, where the patient comes for it.
        ways, place = (), Place(point.shop.district, point.shop.latitude, point.shop.longitude)
    address = point.shop.name if point else patient["address"]
    with city.db.reading() as session:
        made_at = deliveries.times(session, placed.id, delivery.number).made_at
    return Consignment(
        key, Stop(shop.name, latitude=shop.latitude, longitude=shop.longitude),
        Stop(masked_name(patient["name"]), masked_phone(patient["phone"]), address, place.latitude, place.longitude),
        made_at + city.policy.deliver_within, MOST_ATTEMPTS, placed.order.patient_due if ways else Fen(0), ways)


def _assigned(city: City, session: Session, loaded: Loaded, order_id: str, number: int, waybill: Waybill) -> Head:
    """The courier has it; by now it may have said more."""
    fresh, seen = _fresh(session, loaded, order_id, number)
    status = seen.status
    if seen.status is DeliveryStatus.REQUESTED:
        status = DeliveryStatus.CANCELLED if waybill.status is DeliveryStatus.CANCELLED else DeliveryStatus.ASSIGNED
    deliveries.move(session, order_id, seen, replace(seen, status=status, reference=waybill.reference, heard_at=city.now()))
    return history.append(session, fresh.head, actor="platform", event=Event.COURIER_ASSIGNED, at=city.now(), wake_at=city.now(),
                          waiting_for=fresh.waiting_for,
                          detail={"order": order_id, "courier": seen.courier, "reference": waybill.reference})


def _ended(city: City, session: Session, loaded: Loaded, order_id: str, number: int, status: DeliveryStatus, reason: str) -> Head:
    """The courier has answered that it stops, or will not come, or cannot stop."""
    fresh, seen = _fresh(session, loaded, order_id, number)
    word = standing(seen, status, 0, city.now())
    if word is Standing.BAD:
        # It says it never collected a parcel that is under way or at a point. It will not bring it back: a person must ask.
        disagree(session, kind="delivery_contradicts", subject=delivery_id(order_id, number), expected=seen.status, actual=status,
                 at=city.now(), prescription_id=loaded.id)
    if word is not Standing.FORWARD:
        status = seen.status
    deliveries.move(session, order_id, seen, replace(seen, status=status, called_off=True, reason=reason, heard_at=city.now()))
    return history.append(session, fresh.head, actor=f"courier:{seen.courier}", event=Event.COURIER_STOPPED, at=city.now(),
                          wake_at=city.now(), waiting_for=fresh.waiting_for,
                          detail={"order": order_id, "courier": seen.courier, "delivery": status, "cause": reason})


def _fresh(session: Session, loaded: Loaded, order_id: str, number: int) -> tuple[Loaded, Delivery]:
    fresh, placed = prescriptions.load(session, loaded.id), orders.get(session, order_id)
    if placed is None or len(placed.deliveries) < number:
        raise StaleStatus(f"{order_id} has no delivery {number}")
    return fresh, placed.deliveries[number - 1]

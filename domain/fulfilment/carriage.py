"""What an order that the city's courier brings needs of that courier now: a pure decision."""

from dataclasses import dataclass
from datetime import datetime

from domain.fulfilment.deliveries import CALLABLE, DeliveryStatus
from domain.fulfilment.orders import GONE, OrderStatus, Placed
from domain.fulfilment.points import held_until
from domain.policy import CityPolicy

NO_COURIER = "no_courier"
"""Why an order is taken back that no courier brings; a code of `domain.words.ENDINGS`."""
MOST_DELIVERIES = 3
"""Of one order, after couriers have given it up before they collected it."""


@dataclass(frozen=True)
class Dispatch:
    """Have the courier bring an order that is packed."""

    order_id: str


@dataclass(frozen=True)
class CallOff:
    """Have the courier stop: the order ended without medicine, or the patient has not collected it at its point."""

    order_id: str


@dataclass(frozen=True)
class Inquire:
    """Ask a courier that has said nothing for too long where the parcel is (E-16)."""

    order_id: str


@dataclass(frozen=True)
class Uncarried:
    """No courier brings it."""


def owed(order: Placed, now: datetime, policy: CityPolicy) -> Dispatch | CallOff | Inquire | Uncarried | None:
    """What is owed now; None where the courier, or the pharmacy has the next word, and after an end."""
    delivery = order.delivery
    if delivery and delivery.status not in (DeliveryStatus.REQUESTED, DeliveryStatus.CANCELLED) and not delivery.reference:
        return Dispatch(order.id)  # Its words came and the answer to our call did not: the courier is asked for its number.
    if order.status in GONE:
        return CallOff(order.id) if delivery and delivery.status in CALLABLE and not delivery.called_off else None
    if not order.courier or order.status is not OrderStatus.PREPARED:
        return None
    if delivery is None or delivery.status is DeliveryStatus.REQUESTED:
        return Dispatch(order.id)
    if delivery.status is DeliveryStatus.CANCELLED:
        given_up = delivery.reason == NO_COURIER or len(order.deliveries) >= MOST_DELIVERIES
        return Uncarried() if given_up else Dispatch(order.id)
    if held := held_until(order, policy):
        return CallOff(order.id) if now >= held and not delivery.called_off else None
    until = silent_until(order, policy)
    return Inquire(order.id) if until and now >= until else None


def silent_until(order: Placed, policy: CityPolicy) -> datetime | None:
    """Until when a courier may say nothing of the parcel that it has, or a point keeps it."""
    delivery = order.delivery
    if delivery is None or not delivery.live or delivery.heard_at is None:
        return None
    return held_until(order, policy) or delivery.heard_at + policy.courier_silence

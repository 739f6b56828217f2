"""What the people of a pick-up point do with parcels that wait there for their patients: receive them, and hand them over."""

import json
import secrets
from dataclasses import dataclass
from datetime import datetime

from domain.couriers import CourierUpdate, DoorProof
from domain.door import digest
from domain.errors import Transient
from domain.fulfilment.deliveries import REACHABLE, Delivery, DeliveryStatus, delivery_id
from domain.fulfilment.orders import GONE, Placed
from domain.fulfilment.points import held_until
from domain.money import Fen
from domain.payments import Flaw, Payment, Tendered, paid
from domain.people import Capability, Denied, Person
from domain.prescription import Place
from domain.words import PAYMENT_FLAWS, Two
from infra.db import Session, orders, payments
from infra.db.prescriptions import canonical
from tasks.city import City
from tasks.counter import Workplace, start_of_day, workplaces
from tasks.fulfilment import arrivals
from tasks.fulfilment.updates import keep
from tasks.payments import methods

REFUSALS = {
    "ended": Two("订单已结束，请等配送员取回", "the order has ended: the courier comes for the parcel"),
    "not received": Two("包裹还没有登记收下", "the parcel has not been received here yet"),
    "held too long": Two("存放期已满，包裹将退回药店", "its time here is over: it goes back to the pharmacy"),
    "not the receiver": Two("取药码或身份证末四位不符，请核对", "neither the code nor the last four characters of the id card"),
    "too many wrong tries": Two("核验失败次数过多，请 10 分钟后再试", "too many wrong tries; wait ten minutes"),
}
CODES = {"ended": "ended", "not received": "not_received", "held too long": "held_too_long", "not the receiver": "wrong_proof",
         "too many wrong tries": "too_many_tries"}
NO_PROOF = DoorProof()
NOT_NOW = Two("现在不能这样做", "not possible now")


@dataclass(frozen=True)
class Parcel:
    """A parcel of a point, without its medicine: only what its label says."""

    at: Workplace
    placed: Placed
    delivery: Delivery | None
    """None: the pharmacy has not packed it yet."""
    until: datetime | None
    """While it waits there: when it goes back."""
    may_receive: bool
    may_hand_over: bool
    due: Fen
    """What the patient pays there first."""
    paid: Payment | None


def parcels_at(city: City, at: Workplace) -> list[Parcel]:
    """Parcels for a point that are under way or wait there, and those that ended today; the newest first."""
    with city.db.reading() as session:
        return [_parcel(city, session, at, placed) for placed in orders.at_point(session, at.place, start_of_day(city))
                if placed.confirmed]


def parcel_of(city: City, who: Person, capability: Capability, rx_id: str, attempt: int) -> Parcel:
    """A parcel for a point where the person has the capability. Raises `KeyError` for any other."""
    with city.db.reading() as session:
        placed = next((placed for placed in orders.of(session, rx_id) if placed.attempt == attempt), None)
        at = workplaces(city).get(placed.order.point) if placed else None
        if placed is None or at is None or not placed.confirmed or at.place not in who.places(capability):
            raise KeyError(rx_id)
        return _parcel(city, session, at, placed)


def receive(city: City, who: Person, rx_id: str, attempt: int) -> Parcel:
    """The sealed parcel is on the point's shelf, and its clock begins; twice is once.

    Raises `KeyError` for a parcel that is not for the person's point, `Denied` (`ended`, `not_now`).
    """
    return _say(city, who, rx_id, attempt, DeliveryStatus.HELD_AT_POINT)


def hand_over(city: City, who: Person, rx_id: str, attempt: int, *, proof: str, method: str = "", reference: str = "",
              amount: Fen | None = None) -> Parcel:
    """The patient shows the code or the end of the id number, pays what is due, and has the parcel; twice is once.

    Raises `KeyError` for a parcel that is not for the person's point. Raises `Denied`: `not_received`, `held_too_long`, `ended`,
    `wrong_proof`, `too_many_tries`, `not_now`, or a `domain.payments.Flaw`.
    """
    seen = parcel_of(city, who, Capability.HAND_OVER, rx_id, attempt)
    if seen.delivery is None:
        raise Denied("not_received", REFUSALS["not received"])
    due = seen.due if amount is None else amount
    tendered = Tendered(due, method, reference) if due and (method or amount is not None) else None
    shown = digest(delivery_id(seen.placed.id, seen.delivery.number), proof)
    return _say(city, who, rx_id, attempt, DeliveryStatus.SIGNED, DoorProof(shown, _here(seen.at)), tendered)


def _say(city: City, who: Person, rx_id: str, attempt: int, status: DeliveryStatus, proof: DoorProof = NO_PROOF,
         tendered: Tendered | None = None) -> Parcel:
    """What a person of the point says of a parcel goes the way of a courier's word, and is judged there."""
    seen = parcel_of(city, who, Capability.HAND_OVER, rx_id, attempt)
    delivery = seen.delivery
    if delivery is None or not delivery.reference:
        raise Denied("not_now", NOT_NOW)
    if delivery.status is status:
        return seen
    key = delivery_id(seen.placed.id, delivery.number)
    update = CourierUpdate(f"{key}.{status}.{secrets.token_hex(6)}", key, status, city.now(), proof=proof, paid=tendered)
    evidence = keep(city, canonical([update.event_id, who.id, tendered and [tendered.amount, tendered.method, tendered.reference]]))
    answer = arrivals.accept(city, delivery.courier, update, evidence, point=seen.at.place)
    after = parcel_of(city, who, Capability.HAND_OVER, rx_id, attempt)
    if answer.status < 300 and after.delivery and after.delivery.status is status:
        return after
    if answer.status >= 500:
        raise Transient(f"{seen.placed.id}: {status}", code="busy")
    why = json.loads(answer.body).get("why", "")
    if why in set(Flaw):
        raise Denied(why, PAYMENT_FLAWS[Flaw(why)])
    raise Denied(CODES.get(why, "not_now"), REFUSALS.get(why, NOT_NOW))


def _here(at: Workplace) -> Place:
    return Place(at.shop.district, at.shop.latitude, at.shop.longitude)


def _parcel(city: City, session: Session, at: Workplace, placed: Placed) -> Parcel:
    delivery = placed.delivery
    alive = delivery is not None and placed.status not in GONE and not delivery.called_off
    until = held_until(placed, city.policy)
    return Parcel(
        at, placed, delivery, until,
        may_receive=alive and delivery is not None and bool(delivery.reference)
        and DeliveryStatus.HELD_AT_POINT in REACHABLE[delivery.status],
        may_hand_over=alive and until is not None and city.now() < until,
        due=placed.order.patient_due if methods(city.policy, placed) else Fen(0),
        paid=paid(payments.of(session, placed.id).payments))

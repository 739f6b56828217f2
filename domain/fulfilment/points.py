"""Pick-up points: where a parcel of another pharmacy may wait for its patient, and how long it waits there (D-09)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from decimal import Decimal
from enum import StrEnum

from domain.door import metres
from domain.fulfilment.deliveries import DeliveryStatus
from domain.fulfilment.orders import Placed
from domain.knowledge.tables import Knowledge
from domain.money import Fen, fen
from domain.policy import CityPolicy
from domain.premises import Handling, Premises
from domain.prescription import Place

NEAR_METRES = 5000
"""A quarter of an hour at twenty kilometres an hour: the circle of D-09."""
MOST_POINTS = 2
"""Points that are offered for one pharmacy, the nearest first."""
NOT_COLLECTED = "not_collected"
"""Why a parcel goes back from a point; a code of `domain.words.ENDINGS`."""


class NotThere(StrEnum):
    """Why a parcel may not wait at a place for its patient."""

    NOT_ENABLED = "PICKUP_NOT_ENABLED"
    """It is no contracted point, or has no custody shelf, or no hours (D-09)."""
    SAME_PLACE = "POINT_IS_PHARMACY"
    NOT_CARRIED = "POINT_NOT_CARRIED"
    """The city's courier does not bring what this pharmacy sends."""
    OTHER_CHAIN = "POINT_TAKES_NO_PAYMENT"
    """It cannot take the patient's share for a pharmacy of another chain."""
    COLD = "POINT_NO_COLD"
    """What is kept at 2 to 8 °C is not left there (D-07)."""
    CONTROLLED = "POINT_NO_CONTROLLED"
    """Nor is a drug under special control."""
    HIGH_VALUE = "POINT_NO_HIGH_VALUE"
    """Nor is a line of high value (E-05)."""
    SHUT = "POINT_SHUT"
    FAR = "POINT_FAR"


@dataclass(frozen=True)
class Candidate:
    """A place that may be a point, as it is now."""

    chain: str
    number: str
    name: str
    name_en: str
    here: Place
    premises: Premises
    shut: bool
    """Until further notice."""
    opens: time
    closes: time
    """In the city's time."""

    @property
    def place(self) -> str:
        return f"{self.chain}/{self.number}"


@dataclass(frozen=True)
class Sending:
    """What a pharmacy would send to a point."""

    chain: str
    store: str
    carried: bool
    """Whether the city's courier brings it."""
    collects: bool
    """Whether points take what patients pay."""
    left_out: NotThere | None
    """Why what is in the parcel is not left anywhere."""


@dataclass(frozen=True)
class PickupPoint:
    """A point as the patient is shown it."""

    place: str
    """`chain/number`."""
    name: str
    name_en: str
    opens: time
    closes: time
    """In the city's time; the same: round the clock."""
    metres: int
    """From the patient."""


def not_left(drugs: Mapping[str, Fen], handling: Handling, knowledge: Knowledge, policy: CityPolicy) -> NotThere | None:
    """Why goods are not left at any point. `drugs`: code and amount in fen of each line. What is decocted is kept cold."""
    if handling.decoct or handling.cold & drugs.keys():
        return NotThere.COLD
    if any((row := knowledge.drug(code)) is not None and row.special_control != "NONE" for code in drugs):
        return NotThere.CONTROLLED
    return NotThere.HIGH_VALUE if any(amount >= fen(Decimal(policy.high_value_yuan)) for amount in drugs.values()) else None


def why_not(point: Candidate, sending: Sending, patient: Place) -> NotThere | None:
    """The first condition of D-09 that fails; None where the parcel may wait there."""
    premises = point.premises
    if not (premises.contracted and premises.custody):
        return NotThere.NOT_ENABLED
    if (point.chain, point.number) == (sending.chain, sending.store):
        return NotThere.SAME_PLACE
    if not sending.carried:
        return NotThere.NOT_CARRIED
    if sending.collects and point.chain != sending.chain:
        return NotThere.OTHER_CHAIN
    if sending.left_out:
        return sending.left_out
    if point.shut:
        return NotThere.SHUT
    return NotThere.FAR if metres(patient, point.here) > NEAR_METRES else None


def nearest(candidates: Sequence[Candidate], sending: Sending, patient: Place) -> list[PickupPoint]:
    """The points for a parcel, the nearest first, `MOST_POINTS` at most."""
    near = sorted((metres(patient, point.here), point.place, point) for point in candidates
                  if why_not(point, sending, patient) is None)
    return [PickupPoint(place, point.name, point.name_en, point.opens, point.closes, away)
            for away, place, point in near[:MOST_POINTS]]


def held_until(order: Placed, policy: CityPolicy) -> datetime | None:
    """Until when a point keeps the parcel of an order that it has; None where it has none. Then it goes back (E-10)."""
    delivery = order.delivery
    if not order.order.point or delivery is None or delivery.status is not DeliveryStatus.HELD_AT_POINT:
        return None
    return delivery.said_at + policy.hold_at_point if delivery.said_at else None

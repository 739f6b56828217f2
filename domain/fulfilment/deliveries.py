"""Deliveries: how far a courier is with a parcel, and what a courier's word changes in that (E-01, E-02, E-10, E-16)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from domain.chains import ChainWord


class DeliveryStatus(StrEnum):
    """Where a parcel is with its courier. What happens before, in the pharmacy, is its order's."""

    REQUESTED = "requested"
    """The courier is being asked; its yes is not recorded."""
    ASSIGNED = "assigned"
    COLLECTED = "collected"
    """From the pharmacy."""
    IN_TRANSIT = "in_transit"
    EXCEPTION = "exception"
    """Something is wrong on the way."""
    ARRIVED = "arrived"
    """At the door, or at the pick-up point."""
    ATTEMPT_FAILED = "attempt_failed"
    HELD_AT_POINT = "held_at_point"
    """The patient may collect it there."""
    SIGNED = "signed"
    """The patient has it."""
    RETURNING = "returning"
    RETURNED = "returned"
    """The pharmacy has it back."""
    LOST = "lost"
    CANCELLED = "cancelled"
    """Called off, or not taken, before it was collected."""


DELIVERY_TRANSITIONS: Mapping[DeliveryStatus, frozenset[DeliveryStatus]] = {
    DeliveryStatus.REQUESTED: frozenset({DeliveryStatus.ASSIGNED, DeliveryStatus.CANCELLED}),
    DeliveryStatus.ASSIGNED: frozenset({DeliveryStatus.COLLECTED, DeliveryStatus.CANCELLED}),
    DeliveryStatus.COLLECTED: frozenset({DeliveryStatus.IN_TRANSIT, DeliveryStatus.EXCEPTION}),
    DeliveryStatus.IN_TRANSIT: frozenset({DeliveryStatus.ARRIVED, DeliveryStatus.EXCEPTION, DeliveryStatus.LOST}),
    DeliveryStatus.EXCEPTION: frozenset({DeliveryStatus.IN_TRANSIT, DeliveryStatus.RETURNING, DeliveryStatus.LOST}),
    DeliveryStatus.ARRIVED: frozenset({DeliveryStatus.SIGNED, DeliveryStatus.ATTEMPT_FAILED, DeliveryStatus.HELD_AT_POINT}),
    DeliveryStatus.ATTEMPT_FAILED: frozenset({DeliveryStatus.IN_TRANSIT, DeliveryStatus.HELD_AT_POINT, DeliveryStatus.RETURNING}),
    DeliveryStatus.HELD_AT_POINT: frozenset({DeliveryStatus.SIGNED, DeliveryStatus.RETURNING}),
    DeliveryStatus.SIGNED: frozenset(),
    DeliveryStatus.RETURNING: frozenset({DeliveryStatus.RETURNED}),
    DeliveryStatus.RETURNED: frozenset(),
    DeliveryStatus.LOST: frozenset(),
    DeliveryStatus.CANCELLED: frozenset(),
}
"""The table E.x from the pharmacy's door on. A courier's words may skip some, because a later one may come first."""

ENDED = frozenset(status for status, after in DELIVERY_TRANSITIONS.items() if not after)
CALLABLE = frozenset(set(DeliveryStatus) - ENDED - {DeliveryStatus.RETURNING})
"""Where a delivery can still be called off: before it is collected it is cancelled, afterwards the courier turns round."""
MOST_ATTEMPTS = 2
"""At the door; then it is held at a point, and after that it goes back (E-10)."""


def _reachable(status: DeliveryStatus) -> frozenset[DeliveryStatus]:
    reached: set[DeliveryStatus] = set()
    edge = set(DELIVERY_TRANSITIONS[status])
    while edge:
        reached |= edge
        edge = {after for before in edge for after in DELIVERY_TRANSITIONS[before]} - reached
    return frozenset(reached)


REACHABLE: Mapping[DeliveryStatus, frozenset[DeliveryStatus]] = {status: _reachable(status) for status in DeliveryStatus}
"""What may come after a status, the steps between left out."""

OUTCOMES: Mapping[DeliveryStatus, ChainWord | None] = {
    DeliveryStatus.REQUESTED: None,
    DeliveryStatus.ASSIGNED: None,
    DeliveryStatus.COLLECTED: ChainWord.IN_DELIVERY,
    DeliveryStatus.IN_TRANSIT: ChainWord.IN_DELIVERY,
    DeliveryStatus.EXCEPTION: ChainWord.IN_DELIVERY,
    DeliveryStatus.ARRIVED: ChainWord.IN_DELIVERY,
    DeliveryStatus.ATTEMPT_FAILED: ChainWord.IN_DELIVERY,
    DeliveryStatus.HELD_AT_POINT: ChainWord.IN_DELIVERY,
    DeliveryStatus.SIGNED: ChainWord.HANDED_OVER,
    DeliveryStatus.RETURNING: ChainWord.IN_DELIVERY,
    DeliveryStatus.RETURNED: ChainWord.DECLINED,
    DeliveryStatus.LOST: ChainWord.DECLINED,
    DeliveryStatus.CANCELLED: None,
}
"""What the status of a delivery says of its order; None: nothing."""


@dataclass(frozen=True)
class Delivery:
    """One parcel of an order with one courier."""

    number: int
    """Within its order, from 1 on: another one follows where the courier gives it up before it is collected."""
    courier: str
    """Slug."""
    status: DeliveryStatus
    attempt: int = 0
    """Of what its status is about, from 1 on; 0: nothing at the door yet."""
    reference: str = ""
    """The courier's own number."""
    reason: str = ""
    """Why an attempt failed, or why it ended without a signature: a code of `domain.words.ENDINGS`."""
    said_at: datetime | None = None
    """When its status came about, as the courier says."""
    heard_at: datetime | None = None
    """When we last heard of it."""
    called_off: bool = False
    """Whether the courier was asked to stop, and has answered."""
    metres: int | None = None
    """How far from the patient's place it was signed for."""
    signature_key: str = ""
    """Archive key of the picture of the signature."""

    @property
    def live(self) -> bool:
        return self.status not in ENDED


class Standing(StrEnum):
    """What a courier's word is."""

    FORWARD = "forward"
    LATE = "late"
    """Repeated, or overtaken by a later one."""
    BAD = "bad"
    """No way leads there (BAD_TRANSITION): the courier's book and ours differ."""


_RANK = (
    DeliveryStatus.REQUESTED, DeliveryStatus.ASSIGNED, DeliveryStatus.COLLECTED, DeliveryStatus.IN_TRANSIT,
    DeliveryStatus.EXCEPTION, DeliveryStatus.ARRIVED, DeliveryStatus.ATTEMPT_FAILED, DeliveryStatus.HELD_AT_POINT,
    DeliveryStatus.RETURNING)
"""Within one attempt. An end ranks after all of them."""
_AT_DOOR = frozenset({DeliveryStatus.IN_TRANSIT, DeliveryStatus.EXCEPTION, DeliveryStatus.ARRIVED, DeliveryStatus.ATTEMPT_FAILED})
_LAST = MOST_ATTEMPTS + 1


def rank(status: DeliveryStatus, attempt: int) -> tuple[int, int]:
    """How far a delivery is in a status of an attempt: the second way to the door comes after the first attempt there."""
    if status in ENDED:
        return _LAST, len(_RANK)
    turn = max(attempt, 1) if status in _AT_DOOR else 0 if status in _RANK[:3] else _LAST
    return turn, _RANK.index(status)


def standing(seen: Delivery, status: DeliveryStatus, attempt: int, at: datetime) -> Standing:
    """Whether a courier's word moves a delivery.

    A word that ranks lower is late, not wrong. From an exception a courier goes on to the same door; only the time of the word
    tells that from a late one.
    """
    if (status, rank(status, attempt)) == (seen.status, rank(seen.status, seen.attempt)):
        return Standing.LATE
    if status in _AT_DOOR and attempt > MOST_ATTEMPTS:
        return Standing.BAD
    if not seen.live:
        return Standing.BAD if status in ENDED else Standing.LATE
    if (seen.status, status) == (DeliveryStatus.EXCEPTION, DeliveryStatus.IN_TRANSIT) and max(attempt, 1) == max(seen.attempt, 1):
        return Standing.FORWARD if seen.said_at is None or at > seen.said_at else Standing.LATE
    if rank(status, attempt) < rank(seen.status, seen.attempt):
        return Standing.LATE
    return Standing.FORWARD if status in REACHABLE[seen.status] else Standing.BAD


def moved(seen: Delivery, status: DeliveryStatus, attempt: int, at: datetime, *, heard_at: datetime, reason: str = "") -> Delivery:
    """The delivery after a word that is a step forward."""
    return replace(seen, status=status, attempt=attempt or seen.attempt, said_at=at, heard_at=heard_at,
                   reason=reason or seen.reason)


def delivery_id(order_id: str, number: int) -> str:
    """The courier's key of a delivery."""
    return f"{order_id}:{number}"


def order_and_number(key: str) -> tuple[str, int] | None:
    """The order's id and the number in a delivery's key; None for a text that is none."""
    order_id, colon, number = key.rpartition(":")
    return (order_id, int(number)) if colon and number.isascii() and number.isdecimal() and len(number) < 4 else None

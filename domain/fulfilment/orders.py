"""Orders: what a pharmacy owes us, and what its chain's words change in that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from domain.chains import ChainWord, PharmacyOrder
from domain.fulfilment.deliveries import Delivery
from domain.fulfilment.parcels import PARCEL_TRANSITIONS, Parcel, ParcelStatus
from domain.fulfilment.portions import Portions, added, of_lines, without
from domain.fulfilment.returns import Return, ReturnStatus


class OrderStatus(StrEnum):
    """What a pharmacy owes us for an order. Who carries it is its parcel's, what came back a return's."""

    HELD = "held"
    """Stock is reserved; nothing ordered yet."""
    ORDERED = "ordered"
    """The chain has the order and has not yet said yes."""
    ACCEPTED = "accepted"
    PREPARED = "prepared"
    """Packed: its parcel says where it is."""
    COMPLETED = "completed"
    """The patient has all of it."""
    DECLINED = "declined"
    CANCELLED = "cancelled"


ORDER_TRANSITIONS: Mapping[OrderStatus, frozenset[OrderStatus]] = {
    OrderStatus.HELD: frozenset(set(OrderStatus) - {OrderStatus.HELD}),
    OrderStatus.ORDERED: frozenset({
        OrderStatus.ACCEPTED, OrderStatus.PREPARED, OrderStatus.COMPLETED, OrderStatus.DECLINED, OrderStatus.CANCELLED}),
    OrderStatus.ACCEPTED: frozenset({
        OrderStatus.PREPARED, OrderStatus.COMPLETED, OrderStatus.DECLINED, OrderStatus.CANCELLED}),
    OrderStatus.PREPARED: frozenset({OrderStatus.COMPLETED, OrderStatus.DECLINED, OrderStatus.CANCELLED}),
    OrderStatus.COMPLETED: frozenset(),
    OrderStatus.DECLINED: frozenset(),
    OrderStatus.CANCELLED: frozenset(),
}
"""A chain's words may skip some (a late one may arrive first), but an order never goes back."""

ALIVE = frozenset({OrderStatus.HELD, OrderStatus.ORDERED, OrderStatus.ACCEPTED, OrderStatus.PREPARED})
"""An order that may still bring the medicine."""
GONE = frozenset({OrderStatus.DECLINED, OrderStatus.CANCELLED})
"""An order that has ended without medicine."""


@dataclass(frozen=True)
class Meaning:
    """Where an order and its parcel are when a chain says a word."""

    order: OrderStatus
    parcel: ParcelStatus | None = None
    """None: the word says nothing of a parcel, and nothing is packed."""


MEANINGS: Mapping[ChainWord, Meaning] = {
    ChainWord.HELD: Meaning(OrderStatus.HELD),
    ChainWord.ORDERED: Meaning(OrderStatus.ORDERED),
    ChainWord.ACCEPTED: Meaning(OrderStatus.ACCEPTED),
    ChainWord.PREPARED: Meaning(OrderStatus.PREPARED, ParcelStatus.PACKED),
    ChainWord.IN_DELIVERY: Meaning(OrderStatus.PREPARED, ParcelStatus.ON_THE_WAY),
    ChainWord.HANDED_OVER: Meaning(OrderStatus.COMPLETED, ParcelStatus.HANDED_OVER),
    ChainWord.DECLINED: Meaning(OrderStatus.DECLINED, ParcelStatus.UNPACKED),
    ChainWord.CANCELLED: Meaning(OrderStatus.CANCELLED, ParcelStatus.UNPACKED),
    ChainWord.RETURNED: Meaning(OrderStatus.COMPLETED, ParcelStatus.HANDED_OVER),
}


@dataclass(frozen=True)
class Placed:
    """An order of ours and what became of it."""

    order: PharmacyOrder
    """Without its secrets; those are in `sealed`."""
    attempt: int
    """Its number within the prescription, from 1 on."""
    status: OrderStatus
    sealed: bytes = field(repr=False)
    """Claim secret and pickup code, encrypted."""
    reason: str = ""
    """Why it ended: a code of `domain.words.ENDINGS`."""
    accept_by: datetime | None = None
    """Empty until the chain's yes to the order is recorded."""
    fulfil_by: datetime | None = None
    handed_over_at: datetime | None = None
    ended_at: datetime | None = None
    """When it was declined or cancelled."""
    parcels: tuple[Parcel, ...] = ()
    returns: tuple[Return, ...] = ()
    courier: str = ""
    """Slug of the city's courier who brings it; empty: its pharmacy does, or the patient collects it."""
    deliveries: tuple[Delivery, ...] = ()
    """By that courier, by number."""

    @property
    def id(self) -> str:
        return self.order.id

    @property
    def portions(self) -> Portions:
        """What it is for."""
        return self.order.portions

    @property
    def confirmed(self) -> bool:
        """Whether the chain's yes to the order is recorded. A hold is none, and its handover may overtake it."""
        return self.accept_by is not None

    @property
    def handed_over(self) -> Portions:
        """What the patient was given, whether or not some came back."""
        return added(*(parcel.portions for parcel in self.parcels if parcel.status is ParcelStatus.HANDED_OVER))

    @property
    def returned(self) -> Portions:
        return added(*(back.portions for back in self.returns))

    @property
    def kept(self) -> Portions:
        """What the patient has: handed over and not brought back."""
        return without(self.handed_over, self.returned)

    @property
    def delivery(self) -> Delivery | None:
        """The newest; those before it were given up before they were collected."""
        return self.deliveries[-1] if self.deliveries else None

    @property
    def word(self) -> ChainWord:
        """The furthest word that its chain has said of it."""
        return word_of(self.status, [parcel.status for parcel in self.parcels], bool(self.returns))


def word_of(status: OrderStatus, parcels: Sequence[ParcelStatus], came_back: bool) -> ChainWord:
    """The furthest word that a chain has said of an order in this status, with parcels in those."""
    if came_back:
        return ChainWord.RETURNED
    if status is OrderStatus.PREPARED and ParcelStatus.ON_THE_WAY in parcels:
        return ChainWord.IN_DELIVERY
    return _WORDS[status]


_WORDS: Mapping[OrderStatus, ChainWord] = {
    OrderStatus.HELD: ChainWord.HELD,
    OrderStatus.ORDERED: ChainWord.ORDERED,
    OrderStatus.ACCEPTED: ChainWord.ACCEPTED,
    OrderStatus.PREPARED: ChainWord.PREPARED,
    OrderStatus.COMPLETED: ChainWord.HANDED_OVER,
    OrderStatus.DECLINED: ChainWord.DECLINED,
    OrderStatus.CANCELLED: ChainWord.CANCELLED,
}


@dataclass(frozen=True)
class Advance:
    """What a chain's word changes in an order. Nothing at all is not made: see `advanced`."""

    order: OrderStatus | None = None
    """Its new status; None: it stays."""
    parcel: Parcel | None = None
    """A parcel that is new or has moved."""
    back: Return | None = None
    """A return that is new."""


def advanced(placed: Placed, word: ChainWord, *, at: datetime, returned: Sequence[int] = (), reason: str = "") -> Advance | None:
    """What a word changes; None for one that is no step forward (late or repeated).

    `returned` are the lines that came back, whole: a chain names lines. What of them came back before is left out.
    An order travels in one parcel, which exists from the first word about it on.
    """
    meaning = MEANINGS[word]
    parcel = placed.parcels[-1] if placed.parcels else None
    if word is ChainWord.RETURNED:
        came_back = of_lines(placed.kept, returned)
        if placed.status is not OrderStatus.COMPLETED or not came_back:
            return None
        return Advance(back=Return(len(placed.returns) + 1, came_back, ReturnStatus.BROUGHT_BACK, at, reason))
    order = meaning.order if meaning.order in ORDER_TRANSITIONS[placed.status] else None
    if order is None and (meaning.order is not placed.status or placed.status not in ALIVE):
        return None
    moved = _moved(placed, parcel, meaning.parcel, at)
    return Advance(order, moved) if order or moved else None


def _moved(placed: Placed, parcel: Parcel | None, to: ParcelStatus | None, at: datetime) -> Parcel | None:
    handed_over_at = at if to is ParcelStatus.HANDED_OVER else None
    if to is None or (parcel is None and to is ParcelStatus.UNPACKED):
        return None
    if parcel is None:
        return Parcel(1, placed.portions, to, handed_over_at)
    return replace(parcel, status=to, handed_over_at=handed_over_at) if to in PARCEL_TRANSITIONS[parcel.status] else None

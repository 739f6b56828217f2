"""What passes between the platform and a courier who brings a parcel from a pharmacy to its patient."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from domain.fulfilment.deliveries import DeliveryStatus
from domain.money import Fen
from domain.payments import Method, Tendered
from domain.prescription import Place


@dataclass(frozen=True)
class Stop:
    """Where a courier goes."""

    name: str = field(repr=False)
    phone: str = field(repr=False, default="")
    address: str = field(repr=False, default="")
    latitude: Decimal = Decimal(0)
    longitude: Decimal = Decimal(0)


@dataclass(frozen=True)
class Consignment:
    """One parcel to bring. It says neither what is in it nor for what disease, and no name or phone in full (E-14)."""

    id: str
    """Ours, `<order>:<number>`, made before the courier is called; the courier's key for everything that follows."""
    shop: Stop
    recipient: Stop
    reach_by: datetime
    """When the patient should have it (E-13)."""
    most_attempts: int
    collect: Fen = Fen(0)
    """What the patient pays at the door; 0: nothing. The courier cannot change it (E-08)."""
    methods: tuple[Method, ...] = ()
    """By which the patient may pay it."""


@dataclass(frozen=True)
class Waybill:
    """A courier's own number of a delivery, and where it is."""

    reference: str
    status: DeliveryStatus
    attempt: int = 0


@dataclass(frozen=True)
class DoorProof:
    """What a courier brings from the door (E-05, E-06)."""

    digest: str = field(repr=False, default="")
    """`domain.door.digest` of what the receiver showed: the pickup code, or the end of the id number. Neither comes to us."""
    place: Place | None = None
    signature: bytes = field(repr=False, default=b"")
    """The picture of the receiver's signature, as it came."""


@dataclass(frozen=True)
class CourierUpdate:
    """A courier's word on one delivery, translated."""

    event_id: str
    delivery_id: str
    status: DeliveryStatus
    at: datetime
    """When it happened, as the courier says: words come late and out of order (E-02)."""
    attempt: int = 0
    """Which attempt at the door it is about, from 1 on; 0 where it is about none."""
    reason: str = ""
    """Why an attempt failed or the parcel comes back: a code of `domain.words.CAUSES`; another word counts as `other`."""
    proof: DoorProof = DoorProof()
    paid: Tendered | None = None
    """What the receiver paid."""


def masked_name(name: str) -> str:
    """`张**` (E-14)."""
    return f"{name[:1]}**"


def masked_phone(phone: str) -> str:
    """`138****5678` (E-14)."""
    return f"{phone[:3]}****{phone[-4:]}" if len(phone) > 7 else "****"

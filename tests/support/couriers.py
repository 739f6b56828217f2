"""A courier in memory that keeps its promises, and breaks them on request; and the city of shops that it serves."""

import json
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from itertools import count
from typing import Any

from adapters import registry
from adapters.chains import wire
from domain.couriers import Consignment, CourierUpdate, DoorProof, Waybill
from domain.door import digest
from domain.errors import InvalidPayload, Refused
from domain.findings import Finding, Severity
from domain.fulfilment.deliveries import DeliveryStatus, delivery_id
from domain.money import Fen
from domain.payments import Method, Tendered
from domain.people import Grant, Person, Role
from domain.prescription import Place
from tasks import shelves
from tasks.callbacks import receive_delivery
from tasks.city import City
from tasks.fulfilment.sealed import open_secrets
from tests.support.fakes import _Line
from tests.support.line import Line

COURIER, SHOP_PLACE = "jisong", "linli/LL02"
"""A shop whose people do not bring anything home themselves."""
SHOPKEEPER = Person("S002", frozenset({Grant(Role.SHOP, SHOP_PLACE)}))
PICTURE = b"\x89PNG\r\n\x1a\nsigned"
S = DeliveryStatus


@dataclass
class FakeCourier(_Line):
    """Keeps `adapters.protocols.Courier` and `TellsDeliveries`."""

    slug: str = COURIER
    secret: str = "fake-courier-secret"
    refuses: dict[str, str] = field(default_factory=dict)
    """Call -> the code it is refused with, until further notice."""
    book: dict[str, Waybill] = field(default_factory=dict)
    consignments: dict[str, Consignment] = field(default_factory=dict)
    arrived: list[str] = field(default_factory=list)
    """Every assignment that reached it, repeats too."""
    _events: "count[int]" = field(default_factory=lambda: count(1))

    async def assign(self, consignment: Consignment) -> Waybill:
        self.calls.append("assign")
        self._ask()
        self.arrived.append(consignment.id)
        self.consignments[consignment.id] = consignment
        waybill = self.book.setdefault(consignment.id, Waybill(f"JS-{consignment.id[-6:]}", S.ASSIGNED))
        self._answer()
        return waybill

    async def find(self, delivery_id: str) -> Waybill | None:
        self.calls.append("find")
        self._ask()
        self._answer()
        return self.book.get(delivery_id)

    async def cancel(self, delivery_id: str, reason: str) -> Waybill:
        self.calls.append("cancel")
        self._ask()
        waybill = self.book.get(delivery_id)
        if waybill is None:
            raise Refused("fake: unknown_delivery", code="unknown_delivery")
        if waybill.status in (S.SIGNED, S.RETURNED, S.LOST):
            raise Refused("fake: over", code="over")
        if waybill.status not in (S.CANCELLED, S.RETURNING):
            before = waybill.status is S.ASSIGNED
            self.book[delivery_id] = replace(waybill, status=S.CANCELLED if before else S.RETURNING)
        self._answer()
        return self.book[delivery_id]

    def verify(self, timestamp: str, nonce: str, body: bytes, signature: str, now: datetime) -> None:
        wire.verify(self.secret, timestamp, nonce, body, signature, now)

    def parse_delivery(self, body: bytes) -> CourierUpdate:
        try:
            row = json.loads(body)
            proof = DoorProof(row["digest"], _place(row), row["picture"].encode("latin-1"))
            paid = Tendered(Fen(row["paid"]["fen"]), row["paid"]["way"], row["paid"]["ref"]) if row["paid"] else None
            return CourierUpdate(row["event_id"], row["delivery_id"], S(row["status"]), datetime.fromisoformat(row["at"]),
                                 row["attempt"], row["reason"], proof, paid)
        except (ValueError, KeyError, TypeError):
            broken = Finding("CHAIN_CONTRACT", Severity.BLOCK, "CHN-03", "$", "报文不符约定", "not as agreed")
        raise InvalidPayload([broken])

    def body(self, key: str, status: DeliveryStatus, at: datetime, *, attempt: int = 0, reason: str = "", digest: str = "",
             event_id: str = "", near: Place | None = None, picture: bytes = PICTURE, paid: Tendered | bool | None = True) -> bytes:
        """The parcel moves on in the courier's book; the callback about it. The receiver pays what is due, in cash, unless told."""
        if key in self.book:
            self.book[key] = replace(self.book[key], status=status, attempt=attempt)
        place = {"latitude": str(near.latitude), "longitude": str(near.longitude)} if near else {}
        due = self.consignments[key].collect if key in self.consignments else Fen(0)
        if paid is True:
            paid = Tendered(due, Method.CASH) if due and status is S.SIGNED else None
        money = {"fen": paid.amount, "way": paid.method, "ref": paid.reference} if isinstance(paid, Tendered) else None
        return json.dumps({"paid": money, "event_id": event_id or f"ev_{next(self._events)}", "delivery_id": key, "status": status,
                           "at": at.isoformat(), "attempt": attempt, "reason": reason, "digest": digest,
                           "picture": picture.decode("latin-1") if status is S.SIGNED else ""} | place).encode()

    def headers(self, body: bytes, now: datetime, nonce: str = "") -> dict[str, str]:
        timestamp, nonce = str(int(now.timestamp())), nonce or f"nonce-{next(self._events):016d}"
        return {"timestamp": timestamp, "nonce": nonce, "signature": wire.sign(self.secret, timestamp, nonce, body)}

    def _ask(self) -> None:
        super()._ask()
        if code := self.refuses.get(self.calls[-1]):
            raise Refused(f"fake: {code}", code=code)


def _place(row: dict[str, Any]) -> Place | None:
    return Place("", Decimal(row["latitude"]), Decimal(row["longitude"])) if "latitude" in row else None


def with_courier(city: City, quantity: str = "500", *, alone: bool = True) -> City:
    """The same city with shops on our pages, one of which has everything, and a courier who brings what they do not."""
    chain = registry.counter("linli", city.db, city.now, city.policy.timezone, courier=True)
    made = replace(city, chains={"linli": chain} if alone else {**city.chains, "linli": chain}, couriers={COURIER: FakeCourier()})
    for code, entry in sorted(city.knowledge.catalogue.items()):
        shelves.change(made, SHOPKEEPER, SHOP_PLACE, code, counted=quantity, price=str(entry.ceiling))
    return made


def courier_of(city: City) -> FakeCourier:
    courier = city.couriers[COURIER]
    assert isinstance(courier, FakeCourier)
    return courier


def tell(line: Line, rx_id: str, status: DeliveryStatus, *, attempt: int = 0, shown: str | None = None, number: int = 1, **more: Any
         ) -> tuple[int, dict[str, Any]]:
    """The courier says where the parcel of the newest order is; at the door the patient shows the code, or what a test says."""
    city, placed = line.city, line.order(rx_id)
    key, courier = delivery_id(placed.id, number), courier_of(line.city)
    if status is S.SIGNED:
        more.setdefault("near", placed.order.place)
        more["digest"] = digest(key, open_secrets(city, placed)["pickup_code"] if shown is None else shown)
    body = courier.body(key, status, more.pop("at", city.now()), attempt=attempt, **more)
    answer = receive_delivery(city, COURIER, body=body, **courier.headers(body, city.now()))
    return answer.status, json.loads(answer.body)

"""A shop's inbox as an API: the same facts and acts as on its pages, which are in `gateway.inbox.pages`."""

from datetime import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field

from domain.money import Fen
from domain.people import Capability, Person
from domain.shops import Act, Opening
from gateway.inbox.facts import day, order_facts, unknown_order, whole_order, workplace
from gateway.web.access import Desk, read_json, small
from gateway.web.errors import json_answer
from gateway.web.threads import PeoplesRoute
from tasks import counter, shelves
from tasks.city import City
from tasks.shelves import Shelf

Number = int
FILLING = Literal["accept", "decline", "soak", "decoct", "pack_liquid", "cool", "prepare", "send_out", "take_back"]
"""Acts of those who fill orders; to hand over is another capability."""


class Sent(BaseModel):
    """A body that says nothing beyond its fields."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class ActBody(Sent):
    """What an act needs."""

    reason: str = Field(default="", max_length=40)
    lines: list[int] = Field(default=[], max_length=100)
    proof: str = Field(default="", max_length=40)
    """Pickup code, or at the door the last four characters of the id number."""
    method: str = Field(default="", max_length=8)
    """How the patient pays what is due: `domain.payments.Method`."""
    reference: str = Field(default="", max_length=64, pattern="^[0-9A-Za-z_-]*$")
    """Number of the payment, unless it is cash."""
    amount_fen: int | None = Field(default=None, ge=0, strict=True)
    """What the patient pays; another amount than what is due is refused. It may be left out."""


class ShelfBody(Sent):
    """A count, a delivery or a price; what is empty stays as it is."""

    shop: str = Field(default="", max_length=40)
    drug: str = Field(max_length=40)
    counted: str = Field(default="", max_length=20)
    received: str = Field(default="", max_length=20)
    price: str = Field(default="", max_length=20)
    key: str = Field(default="", max_length=40)
    """Names a delivery: the same key again is the same one."""


class HoursBody(Sent):
    """Hours in the city's time."""

    shop: str = Field(default="", max_length=40)
    opens: time
    closes: time
    on_duty: bool = True
    shut: bool = False




def inbox_api(city: City, desk: Desk) -> APIRouter:
    """`/api/inbox/…`."""
    door = APIRouter(prefix="/api/inbox", route_class=PeoplesRoute)
    MaySeeInbox = Annotated[Person, Depends(desk.may(Capability.SEE_INBOX, somewhere=True))]
    MaySee = Annotated[Person, Depends(desk.may(Capability.SEE_ORDER, somewhere=True))]
    MayFill = Annotated[Person, Depends(desk.may(Capability.FILL_ORDERS, somewhere=True))]
    MayHandOver = Annotated[Person, Depends(desk.may(Capability.HAND_OVER, somewhere=True))]
    MayKeep = Annotated[Person, Depends(desk.may(Capability.KEEP_SHOP, somewhere=True))]
    Body = Annotated[bytes, Depends(small)]

    @door.get("/orders")
    def orders(who: MaySeeInbox, shop: str = "") -> Response:
        at = workplace(city, who, Capability.SEE_INBOX, shop)
        listed = counter.orders_at(city, at, counter.start_of_day(city))
        return json_answer({"shop": at.place, "orders": [order_facts(city, order) for order in listed]})

    @door.get("/orders/{rx_id}/{attempt}")
    def order(rx_id: str, attempt: Number, who: MaySee) -> Response:
        try:
            return json_answer(whole_order(city, counter.order_of(city, who, Capability.SEE_ORDER, rx_id, attempt)))
        except KeyError:
            raise unknown_order() from None

    @door.post("/orders/{rx_id}/{attempt}/hand_over")
    def hand_over(rx_id: str, attempt: Number, who: MayHandOver, body: Body) -> Response:
        return done(who, rx_id, attempt, Act.HAND_OVER, body)

    @door.post("/orders/{rx_id}/{attempt}/cash")
    def cash(rx_id: str, attempt: Number, who: MayFill) -> Response:
        try:
            with desk.noting(who, Capability.FILL_ORDERS, rx_id):
                return json_answer(order_facts(city, counter.receive_cash(city, who, rx_id, attempt)))
        except KeyError:
            raise unknown_order() from None

    @door.post("/orders/{rx_id}/{attempt}/{act}")
    def fill(rx_id: str, attempt: Number, act: FILLING, who: MayFill, body: Body) -> Response:
        return done(who, rx_id, attempt, Act(act), body)

    def done(who: Person, rx_id: str, attempt: int, act: Act, body: bytes) -> Response:
        sent = read_json(ActBody, body or b"{}")
        try:
            with desk.noting(who, counter.capability_of(act), rx_id):
                after = counter.act_on(city, who, rx_id, attempt, act, reason=sent.reason, lines=sent.lines, proof=sent.proof,
                                        method=sent.method, reference=sent.reference,
                                        amount=None if sent.amount_fen is None else Fen(sent.amount_fen))
        except KeyError:
            raise unknown_order() from None
        return json_answer(order_facts(city, after))

    @door.get("/stock")
    def stock(who: MayKeep, shop: str = "") -> Response:
        at = workplace(city, who, Capability.KEEP_SHOP, shop)
        return json_answer({"shop": at.place, "shelves": [shelf_facts(shelf) for shelf in shelves.shelves(city, at)]})

    @door.post("/stock")
    def change_stock(who: MayKeep, body: Body) -> Response:
        sent = read_json(ShelfBody, body)
        at = workplace(city, who, Capability.KEEP_SHOP, sent.shop)
        with desk.noting(who, Capability.KEEP_SHOP):
            shelves.change(city, who, at.place, sent.drug, counted=sent.counted, received=sent.received, price=sent.price,
                           key=sent.key)
        return stock(who, at.place)

    @door.get("/hours")
    def hours(who: MayKeep, shop: str = "") -> Response:
        at = workplace(city, who, Capability.KEEP_SHOP, shop)
        opening = shelves.hours(city, at)
        return json_answer({"shop": at.place, "opens": f"{opening.opens:%H:%M}", "closes": f"{opening.closes:%H:%M}",
                            "on_duty": opening.on_duty, "shut": opening.shut})

    @door.post("/hours")
    def change_hours(who: MayKeep, body: Body) -> Response:
        sent = read_json(HoursBody, body)
        at = workplace(city, who, Capability.KEEP_SHOP, sent.shop)
        shelves.set_hours(city, who, at.place, Opening(sent.opens, sent.closes, sent.on_duty, sent.shut))
        return hours(who, at.place)

    @door.get("/day")
    def days_work(who: MaySeeInbox, shop: str = "") -> Response:
        return json_answer(day(city, workplace(city, who, Capability.SEE_INBOX, shop)))

    return door


def shelf_facts(shelf: Shelf) -> dict[str, Any]:
    return {name: getattr(shelf, name) for name in ("drug", "name", "unit", "quantity", "needed", "available", "price", "ceiling")}

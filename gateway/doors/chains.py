"""The door of chains and couriers: signed callbacks (contract 2.1, 2.4, 2.7)."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import asdict, dataclass, field
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Response

from adapters.messages import Reply
from domain.words import Two
from gateway.web.access import callback, denied
from tasks.callbacks import (
    callers,
    carriers,
    receive_callback,
    receive_delivery,
    receive_reading,
    receive_stock,
    tellers,
)
from tasks.city import City

Text = Annotated[str, Header()]


@dataclass(frozen=True)
class Signed:
    """What a chain or a courier sent: the body as it came, and the headers that prove who sent it (contract 2.1)."""

    timestamp: str
    nonce: str
    signature: str
    body: bytes = field(repr=False)


async def _signed(body: Annotated[bytes, Depends(callback)], sanyi_timestamp: Text = "", sanyi_nonce: Text = "",
                  sanyi_signature: Text = "") -> Signed:
    return Signed(sanyi_timestamp, sanyi_nonce, sanyi_signature, body)


Sent = Annotated[Signed, Depends(_signed)]


def chain_door(city: City) -> APIRouter:
    """POST what became of an order or of a parcel, or what a store has again; or have webhooks read again.

    Only who calls back has an address here.
    """
    door = APIRouter(prefix="/callbacks")

    @door.post("/couriers/{courier}")
    def delivery(courier: str, sent: Sent) -> Response:
        if courier not in carriers(city):
            raise denied(404, "unknown_courier", Two("没有这家配送", "no such courier"))
        return _answered(receive_delivery(city, courier, **asdict(sent)))

    @door.post("/{chain}")
    def update(chain: Annotated[str, Depends(_one_of(callers(city)))], sent: Sent) -> Response:
        return _answered(receive_callback(city, chain, **asdict(sent)))

    @door.post("/{chain}/stock")
    def stock(chain: Annotated[str, Depends(_one_of(tellers(city)))], sent: Sent) -> Response:
        return _answered(receive_stock(city, chain, **asdict(sent)))

    @door.post("/{chain}/webhooks")
    def webhooks(chain: Annotated[str, Depends(_one_of(city.webhooks.keys() & callers(city).keys()))], sent: Sent) -> Response:
        return _answered(receive_reading(city, chain, **asdict(sent)))

    return door


def _one_of(chains: Collection[str]) -> Callable[[str], Awaitable[str]]:
    """A dependency: the chain of the address, if it is one of these."""
    async def slug(chain: str) -> str:
        if chain not in chains:
            raise denied(404, "unknown_chain", Two("没有这家连锁", "no such chain"))
        return chain

    return slug


def _answered(answer: Reply) -> Response:
    return Response(answer.body, answer.status, media_type="application/json")

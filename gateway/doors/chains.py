"""The chains' door: signed callbacks (contract 2.1, 2.4)."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Response

from domain.words import Two
from gateway.web.access import callback, denied
from tasks.callbacks import callers, receive_callback, receive_stock, tellers
from tasks.city import City

Text = Annotated[str, Header()]


def chain_door(city: City) -> APIRouter:
    """POST what became of an order, or what a store has again. Only chains that call back have an address here."""
    door = APIRouter(prefix="/callbacks")
    calling_back, telling_stock = callers(city), tellers(city)

    async def caller(chain: str) -> str:
        if chain not in calling_back:
            raise denied(404, "unknown_chain", Two("没有这家连锁", "no such chain"))
        return chain

    @door.post("/{chain}")
    def update(
        chain: Annotated[str, Depends(caller)],
        body: Annotated[bytes, Depends(callback)],
        sanyi_timestamp: Text = "",
        sanyi_nonce: Text = "",
        sanyi_signature: Text = "",
    ) -> Response:
        answer = receive_callback(
            city, chain, timestamp=sanyi_timestamp, nonce=sanyi_nonce, signature=sanyi_signature, body=body)
        return Response(answer.body, answer.status, media_type="application/json")

    async def telling(chain: str) -> str:
        if chain not in telling_stock:
            raise denied(404, "unknown_chain", Two("没有这家连锁", "no such chain"))
        return chain

    @door.post("/{chain}/stock")
    def stock(
        chain: Annotated[str, Depends(telling)],
        body: Annotated[bytes, Depends(callback)],
        sanyi_timestamp: Text = "",
        sanyi_nonce: Text = "",
        sanyi_signature: Text = "",
    ) -> Response:
        answer = receive_stock(
            city, chain, timestamp=sanyi_timestamp, nonce=sanyi_nonce, signature=sanyi_signature, body=body)
        return Response(answer.body, answer.status, media_type="application/json")

    return door

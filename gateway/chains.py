"""The chains' door: signed callbacks (contract 2.1)."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Response

from gateway.access import callback, denied
from tasks import delivery
from tasks.city import City

Said = Annotated[str, Header()]


def chain_door(city: City) -> APIRouter:
    """POST what became of an order."""
    door = APIRouter(prefix="/callbacks")

    async def known(chain: str) -> str:
        if chain not in city.chains:
            raise denied(404, "unknown_chain", "没有这家连锁", "no such chain")
        return chain

    @door.post("/{chain}")
    def update(
        chain: Annotated[str, Depends(known)],
        body: Annotated[bytes, Depends(callback)],
        sanyi_timestamp: Said = "",
        sanyi_nonce: Said = "",
        sanyi_signature: Said = "",
    ) -> Response:
        answer = delivery.receive_update(
            city, chain, timestamp=sanyi_timestamp, nonce=sanyi_nonce, signature=sanyi_signature, body=body)
        return Response(answer.body, answer.status, media_type="application/json")

    return door

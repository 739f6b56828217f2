"""The door of the national 电子处方 interface: one address for all its hospitals, told apart by appId and signature."""

import asyncio

from fastapi import APIRouter, Request, Response

from adapters.dialects.erx import MEDIA, PATHS, SIGNATURE
from domain.words import Two
from gateway.doors.bodies import STRANGERS_BYTES, Bodies
from gateway.web.access import MESSAGE_BYTES, denied, spend
from gateway.web.errors import json_answer
from infra.limits import network
from infra.settings import Settings
from tasks import erx
from tasks.city import City

PREFIX = "/epc/api/fixmedins"


def erx_door(city: City, settings: Settings, bodies: Bodies) -> APIRouter:
    """POST uploadChk, rxFixmedinsSign, rxFileUpld, rxUndo, hospRxDetlQuery, rxChkInfoQuery, rxSetlInfoQuery, circDrugQuery.

    Raises `NeedsOperator` where two hospitals have one appId.
    """
    senders = erx.senders(city)
    door = APIRouter(prefix=PREFIX)

    @door.post("/{name}")
    async def transaction(name: str, request: Request) -> Response:
        if name not in PATHS:
            raise denied(404, "unknown_transaction", Two("没有这个交易", "no such transaction"))
        address = network(request.client.host if request.client else "")
        async with bodies.body(request, "strangers", MESSAGE_BYTES, STRANGERS_BYTES) as body:
            async with bodies.turn(address, len(body)):
                sender = await asyncio.to_thread(erx.sender, senders, body)
            if sender is None:
                return json_answer({"code": SIGNATURE, "message": "appId 未登记"}, 401)
            hospital, envelope = sender
            # An appId is no secret. A request counts towards its hospital's share only once its signature was checked. Each
            # address waits in a line apart, so that forged requests keep no genuine one waiting.
            reply = await erx.take(city, hospital, PATHS[name], envelope,
                                   lambda: spend(request, len(body), f"hospital:{hospital.slug}"),
                                   lambda: bodies.turn(f"{hospital.slug} {address}", len(body)))
            return Response(reply.body, reply.status, media_type=MEDIA)

    return door

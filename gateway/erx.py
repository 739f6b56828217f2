"""The door of the national 电子处方 interface: one address for all its hospitals, told apart by appId and signature."""

import asyncio

from fastapi import APIRouter, Request, Response

from adapters.dialects.erx import MEDIA, PATHS, SIGNATURE
from gateway.access import denied, message
from gateway.trouble import json_answer
from infra.settings import Settings
from tasks import erx
from tasks.city import City

PREFIX = "/epc/api/fixmedins"


def erx_door(city: City, settings: Settings) -> APIRouter:
    """POST uploadChk, rxFixmedinsSign, rxFileUpld, rxUndo, hospRxDetlQuery, rxChkInfoQuery, rxSetlInfoQuery, circDrugQuery.

    Raises `NeedsOperator` where two hospitals have one appId.
    """
    known = erx.senders(city)
    door = APIRouter(prefix=PREFIX)

    @door.post("/{name}")
    async def transaction(name: str, request: Request) -> Response:
        if name not in PATHS:
            raise denied(404, "unknown_transaction", "没有这个交易", "no such transaction")
        sender = await asyncio.to_thread(erx.sender, known, await message(request))
        if sender is None:
            return json_answer({"code": SIGNATURE, "message": "appId 未登记"}, 401)
        hospital, envelope = sender
        reply = await erx.take(city, hospital, PATHS[name], envelope)
        return Response(reply.body, reply.status, media_type=MEDIA)

    return door

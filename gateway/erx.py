"""The door of the national 电子处方 interface: one address for all its hospitals, told apart by appId and signature."""

import asyncio

from fastapi import APIRouter, Request, Response

from adapters.dialects.erx import MEDIA, PATHS, SIGNATURE
from adapters.dialects.erx_json import MAX_BYTES
from gateway.access import denied
from gateway.trouble import json_answer
from infra.settings import Settings
from tasks import erx
from tasks.city import City

PREFIX = "/epc/api/fixmedins"


def erx_door(city: City, settings: Settings) -> APIRouter:
    """POST uploadChk, rxFixmedinsSign, rxFileUpld, rxUndo, hospRxDetlQuery, rxChkInfoQuery, rxSetlInfoQuery, circDrugQuery."""
    door = APIRouter(prefix=PREFIX)

    @door.post("/{name}")
    async def transaction(name: str, request: Request) -> Response:
        if name not in PATHS:
            raise denied(404, "unknown_transaction", "没有这个交易", "no such transaction")
        raw = await _body(request)
        hospital = await asyncio.to_thread(erx.sender, city, raw)
        if hospital is None:
            return json_answer({"code": SIGNATURE, "message": "appId 未登记"}, 401)
        reply = await erx.take(city, hospital, PATHS[name], raw)
        return Response(reply.body, reply.status, media_type=MEDIA)

    return door


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            raise denied(413, "MSG_TOO_LARGE", f"报文超过 {MAX_BYTES} 字节", f"more than {MAX_BYTES} bytes")
    return bytes(body)

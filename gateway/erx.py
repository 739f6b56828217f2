"""The door of the national 电子处方 interface: one address for all its hospitals, told apart by appId and signature."""

import asyncio

from fastapi import APIRouter, Request, Response

from adapters.dialects.erx import MEDIA, PATHS, SIGNATURE
from gateway.access import MESSAGE_BYTES, denied, spend
from gateway.trouble import json_answer
from infra.settings import Settings
from tasks import erx
from tasks.city import City

PREFIX = "/epc/api/fixmedins"
SMALL_BYTES = 64_000
"""A body up to this size is always taken: every transaction without a file is."""
ROOM_BYTES = 64 << 20
"""What all larger bodies may hold while they arrive. Who sends is known only when one is complete: beyond this, they wait."""


class Bodies:
    """Reads bodies of senders nobody knows yet, in bounded memory."""

    def __init__(self) -> None:
        self._held = 0

    async def read(self, request: Request) -> bytes:
        """The body as it came. 413 for one beyond `MESSAGE_BYTES`, 503 where there is no room."""
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and len(declared) < 20 and int(declared) > MESSAGE_BYTES:
            raise _TOO_LARGE
        body = bytearray()
        held = 0
        try:
            async for chunk in request.stream():
                body += chunk
                if len(body) > MESSAGE_BYTES:
                    raise _TOO_LARGE
                if len(body) > SMALL_BYTES:
                    self._held += len(body) - held
                    held = len(body)
                if held and self._held > ROOM_BYTES:
                    raise denied(503, "busy", "大报文过多，请稍后重发", "too many large bodies; send it again later")
        finally:
            self._held -= held  # also of one that did not end in time
        return bytes(body)


_TOO_LARGE = denied(413, "MSG_TOO_LARGE", f"消息超过 {MESSAGE_BYTES} 字节", f"more than {MESSAGE_BYTES} bytes")


def erx_door(city: City, settings: Settings) -> APIRouter:
    """POST uploadChk, rxFixmedinsSign, rxFileUpld, rxUndo, hospRxDetlQuery, rxChkInfoQuery, rxSetlInfoQuery, circDrugQuery.

    Raises `NeedsOperator` where two hospitals have one appId.
    """
    known = erx.senders(city)
    bodies = Bodies()
    door = APIRouter(prefix=PREFIX)

    @door.post("/{name}")
    async def transaction(name: str, request: Request) -> Response:
        if name not in PATHS:
            raise denied(404, "unknown_transaction", "没有这个交易", "no such transaction")
        body = await bodies.read(request)
        sender = await asyncio.to_thread(erx.sender, known, body)
        if sender is None:
            return json_answer({"code": SIGNATURE, "message": "appId 未登记"}, 401)
        hospital, envelope = sender
        # An appId is no secret: what its hospital has not signed uses up nothing of its share.
        reply = await erx.take(city, hospital, PATHS[name], envelope,
                               lambda: spend(request, len(body), f"hospital:{hospital.slug}"))
        return Response(reply.body, reply.status, media_type=MEDIA)

    return door

"""Talks to Jisong: plain REST with signed callbacks."""

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import quote as quoted

from adapters.chains import wire
from adapters.couriers.jisong import translation
from adapters.registry import CourierManifest
from domain.couriers import Consignment, CourierUpdate, Waybill
from domain.errors import InvalidPayload, NeedsOperator
from infra.http import Request, Response, Transport


class Adapter:
    """See `adapters.protocols.Courier` and `TellsDeliveries`."""

    SECRETS = ("token", "callback")

    def __init__(self, manifest: CourierManifest, transport: Transport, secrets: Mapping[str, str]) -> None:
        self.slug = manifest.slug
        self._manifest = manifest
        self._transport = transport
        self._headers = {"authorization": f"Bearer {secrets['token']}", "content-type": "application/json"}
        self._callback_secret = secrets["callback"]

    async def assign(self, consignment: Consignment) -> Waybill:
        return self._waybill(await self._send("POST", "/v2/parcels", translation.parcel_body(consignment)))

    async def find(self, delivery_id: str) -> Waybill | None:
        answer = await self._send("GET", _path(delivery_id), repeatable=True)
        return None if answer.status == 404 else self._waybill(answer)

    async def cancel(self, delivery_id: str, reason: str) -> Waybill:
        # Stopping twice does no harm, but a lost answer is the caller's to resolve: it asks `find`.
        answer = await self._send("POST", f"{_path(delivery_id)}/stop", translation.stop_body(reason))
        return translation.parse_stopped(self._accepted(answer).body, self._manifest.status_words)

    def verify(self, timestamp: str, nonce: str, body: bytes, signature: str, now: datetime) -> None:
        wire.verify(self._callback_secret, timestamp, nonce, body, signature, now)

    def parse_delivery(self, body: bytes) -> CourierUpdate:
        return translation.parse_event(body, self._manifest.status_words, self._manifest.causes)

    async def _send(self, method: str, path: str, body: bytes = b"", *, repeatable: bool = False) -> Response:
        return await self._transport.send(Request(method, path, body, self._headers, repeatable))

    def _waybill(self, answer: Response) -> Waybill:
        return translation.parse_waybill(self._accepted(answer).body, self._manifest.status_words)

    def _accepted(self, answer: Response) -> Response:
        """The answer, if it is one. Raises what the status says: a business no, our broken request, a wrong door."""
        if 200 <= answer.status < 300:
            return answer
        if answer.status in (404, 409):
            raise wire.refusal(translation.parse_error(answer.body), self._manifest.refusals, "error.code", self.slug)
        if answer.status in (400, 422):
            raise InvalidPayload([wire.finding("CHN-07", "$")])
        raise NeedsOperator(f"{self.slug}: HTTP {answer.status}; check the courier's address and version")


def _path(delivery_id: str) -> str:
    return f"/v2/parcels/{quoted(delivery_id, safe='')}"

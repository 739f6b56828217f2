"""Talks to Ankang: plain REST, whole fen, and a yes that comes later by callback."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from urllib.parse import quote as quoted

from adapters.chains import wire
from adapters.chains.ankang import translation
from adapters.registry import ChainManifest
from domain.chains import Offers, OrderLine, OrderUpdate, PharmacyOrder, Receipt, SettlementNotice, StockNotice
from domain.errors import InvalidPayload, NeedsOperator
from domain.prescription import Handover, Place
from infra.http import Request, Response, Transport


class Adapter:
    """See `adapters.protocols.Chain` and `CallsBack`."""

    SECRETS = ("token", "callback")

    def __init__(self, manifest: ChainManifest, transport: Transport, secrets: Mapping[str, str]) -> None:
        self.slug = manifest.slug
        self._manifest = manifest
        self._transport = transport
        self._headers = {"authorization": f"Bearer {secrets['token']}", "content-type": "application/json"}
        self._callback_secret = secrets["callback"]

    async def quote(self, lines: Sequence[OrderLine], handover: Handover, place: Place) -> Offers:
        body = translation.quote_body(lines, handover, place)
        answer = self._accepted(await self._send("POST", "/v1/quotes", body, repeatable=True))
        return translation.parse_quotes(self.slug, answer.body, lines, handover)

    async def hold(self, order: PharmacyOrder) -> Receipt:
        answer = self._accepted(await self._send("POST", "/v1/holds", translation.hold_body(order)))
        return translation.parse_receipt(answer.body, self._manifest.status_words)

    async def place(self, order: PharmacyOrder) -> Receipt:
        answer = self._accepted(await self._send("POST", "/v1/orders", translation.order_body(order)))
        return translation.parse_receipt(answer.body, self._manifest.status_words)

    async def find(self, order_id: str) -> Receipt | None:
        answer = await self._send("GET", _path(order_id), repeatable=True)
        if answer.status == 404:
            return None
        return translation.parse_receipt(self._accepted(answer).body, self._manifest.status_words)

    async def cancel(self, order_id: str, reason: str) -> Receipt:
        # Cancelling twice does no harm, but a lost answer is the caller's to resolve: it asks `find`.
        answer = self._accepted(await self._send("POST", _path(order_id) + "/cancel", translation.cancel_body(reason)))
        return translation.parse_cancel(answer.body, self._manifest.status_words)

    async def notify_settled(self, notice: SettlementNotice) -> None:
        body = translation.settlement_body(notice)
        path = _path(notice.order_id) + "/settlement"
        self._accepted(await self._send("POST", path, body, repeatable=True))

    def verify(self, timestamp: str, nonce: str, body: bytes, signature: str, now: datetime) -> None:
        wire.verify(self._callback_secret, timestamp, nonce, body, signature, now)

    def parse_update(self, body: bytes) -> OrderUpdate:
        return translation.parse_update(body, self._manifest.status_words)

    def parse_stock(self, body: bytes) -> StockNotice:
        return translation.parse_stock(body)

    async def _send(self, method: str, path: str, body: bytes = b"", *, repeatable: bool = False) -> Response:
        return await self._transport.send(Request(method, path, body, self._headers, repeatable))

    def _accepted(self, answer: Response) -> Response:
        """The answer, if it is one. Raises what the status says: a business no, our broken request, a wrong door."""
        if 200 <= answer.status < 300:
            return answer
        if answer.status == 409:
            raise wire.refusal(translation.parse_error(answer.body), self._manifest.refusals, "error.code", self.slug)
        if answer.status in (400, 422):
            raise InvalidPayload([wire.finding("CHN-07", "$")])
        raise NeedsOperator(f"{self.slug}: HTTP {answer.status}; check the chain's address and version")


def _path(order_id: str) -> str:
    return f"/v1/orders/{quoted(order_id, safe='')}"

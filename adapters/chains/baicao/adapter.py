"""Talks to Baicao: every answer is HTTP 200 in one envelope, amounts are yuan, words are Chinese."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from adapters.chains import wire
from adapters.chains.baicao import translation
from adapters.registry import ChainManifest
from domain.chains import Offers, OrderLine, OrderUpdate, PharmacyOrder, Receipt, SettlementNotice, StockNotice
from domain.errors import InvalidPayload, NeedsOperator, Refused, Transient
from domain.prescription import Handover, Place
from infra.http import Request, Transport

_OK, _BAD_REQUEST, _BUSY = 0, 4000, 5000


class Adapter:
    """See `adapters.protocols.Chain` and `CallsBack`."""

    SECRETS = ("token", "callback")

    def __init__(self, manifest: ChainManifest, transport: Transport, secrets: Mapping[str, str]) -> None:
        self.slug = manifest.slug
        self._manifest = manifest
        self._transport = transport
        self._headers = {"x-api-key": secrets["token"], "content-type": "application/json"}
        self._callback_secret = secrets["callback"]

    async def quote(self, lines: Sequence[OrderLine], handover: Handover, place: Place) -> Offers:
        body = translation.quote_body(lines, handover, place)
        data = await self._ask("/api/quote", body, repeatable=True)
        return translation.parse_quotes(self.slug, data, lines, handover)

    async def hold(self, order: PharmacyOrder) -> Receipt:
        data = await self._ask("/api/reserve", translation.reserve_body(order))
        return translation.parse_receipt(data, self._manifest.status_words)

    async def place(self, order: PharmacyOrder) -> Receipt:
        data = await self._ask("/api/order", translation.order_body(order))
        return translation.parse_receipt(data, self._manifest.status_words)

    async def find(self, order_id: str) -> Receipt | None:
        try:
            data = await self._ask("/api/order/query", translation.query_body(order_id), repeatable=True)
        except Refused as refused:
            if refused.code == "unknown_order":
                return None
            raise
        return translation.parse_receipt(data, self._manifest.status_words)

    async def cancel(self, order_id: str, reason: str) -> Receipt:
        # Cancelling twice does no harm, but a lost answer is the caller's to resolve: it asks `find`.
        data = await self._ask("/api/order/cancel", translation.cancel_body(order_id, reason))
        return translation.parse_cancel(data, self._manifest.status_words)

    async def notify_settled(self, notice: SettlementNotice) -> None:
        await self._ask("/api/order/settle", translation.settle_body(notice), repeatable=True)

    def verify(self, timestamp: str, nonce: str, body: bytes, signature: str, now: datetime) -> None:
        wire.verify(self._callback_secret, timestamp, nonce, body, signature, now)

    def parse_stock(self, body: bytes) -> StockNotice:
        return translation.parse_stock(body)

    def parse_update(self, body: bytes) -> OrderUpdate:
        return translation.parse_update(body, self._manifest.status_words, self._manifest.causes)

    async def _ask(self, path: str, body: bytes, *, repeatable: bool = False) -> bytes:
        """The data of a successful answer. Raises what the envelope's code says."""
        answer = await self._transport.send(Request("POST", path, body, self._headers, repeatable))
        if answer.status != 200:
            raise NeedsOperator(f"{self.slug}: HTTP {answer.status}; check the chain's address and version")
        code, data = translation.parse_envelope(answer.body)
        if code == _OK:
            return data
        if code == _BUSY:
            raise Transient(f"{self.slug}: POST {path}: busy", code="busy")
        if code == _BAD_REQUEST:
            raise InvalidPayload([wire.finding("CHN-07", "$")])
        raise wire.refusal(str(code), self._manifest.refusals, "code", self.slug)

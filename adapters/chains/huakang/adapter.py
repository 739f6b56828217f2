"""Talks to Huakang by files: each request is one that is answered by another; stock and updates are looked for."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from time import monotonic

from adapters.chains import tables
from adapters.chains.box import CURRENT, ChainBox
from adapters.chains.huakang import translation
from adapters.chains.huakang.translation import Answer, Stock
from adapters.chains.wire import finding
from adapters.dialects.dropbox_box import FileLine
from adapters.messages import Fetched, Parked, Reply
from adapters.registry import ChainManifest
from domain.chains import LeftOut, Offers, OrderLine, OrderUpdate, PharmacyOrder, Receipt, SettlementNotice
from domain.errors import NeedsOperator, OutcomeUnknown, Transient
from domain.prescription import Handover, Place
from infra.http import UNANSWERED, Request, Response, Transport

SAME_FOR = 2.0
"""Seconds for which a stock that was read is not read again."""
KINDS = ("hold", "order", "cancel")
"""Requests of which an unanswered one leaves it open where an order is."""


class Adapter:
    """See `adapters.protocols.Chain` and `Boxed`."""

    SECRETS = ()
    """A box in a bucket needs `access_key` and `secret_key` as well; a folder has none."""

    def __init__(self, manifest: ChainManifest, transport: Transport, secrets: Mapping[str, str]) -> None:
        self.slug = manifest.slug
        self._manifest = manifest
        self._transport = transport
        if isinstance(transport, FileLine):
            transport.files(secrets)
        self._stock_table = tables.layout(manifest, translation.STOCK)
        self._update_table = tables.layout(manifest, translation.UPDATE)
        self._answer_table = tables.layout(manifest, translation.ANSWER)
        self._box = ChainBox(manifest, transport, secrets, self._update_table)
        self._last: tuple[float, bytes, Stock] | None = None
        self._now: Callable[[], datetime] = lambda: datetime.now(UTC)

    async def quote(self, lines: Sequence[OrderLine], handover: Handover, place: Place) -> Offers:
        stock = await self._stock()
        if stock is None:
            return Offers(left_out=(LeftOut("", (finding("CHN-19", "stock"),)),))
        oldest = timedelta(minutes=float(self._manifest.facts["stock_minutes"]))
        return translation.parse_quotes(self.slug, stock, lines, handover, self._now(), oldest)

    async def hold(self, order: PharmacyOrder) -> Receipt:
        return self._receipt(await self._ask("hold", order.id, translation.hold_rows(order, self._manifest)))

    async def place(self, order: PharmacyOrder) -> Receipt:
        return self._receipt(await self._ask("order", order.id, translation.order_rows(order, self._manifest)))

    async def find(self, order_id: str) -> Receipt | None:
        """What the answers say. Raises `OutcomeUnknown` while a request lies there unanswered: it may be taken any moment."""
        response = await self._send(Request("GET", _answers(order_id), headers={
            "awaits": " ".join(_request(order_id, kind) for kind in KINDS)}, repeatable=True, operation="GET answers"))
        if response.status == 404:
            return None
        return translation.parse_found(response.body, self._answer_table, self._manifest.status_words)

    async def cancel(self, order_id: str, reason: str) -> Receipt:
        answer = await self._ask("cancel", order_id, translation.cancel_rows(order_id, reason, self._manifest))
        return translation.parse_cancel(answer, self._manifest.status_words)

    async def notify_settled(self, notice: SettlementNotice) -> None:
        try:
            await self._ask("settle", notice.order_id, translation.settle_rows(notice, self._manifest), repeatable=True)
        except OutcomeUnknown as unknown:
            raise Transient(f"{self.slug}: the settlement is not acknowledged yet", code=UNANSWERED) from unknown

    def parse_update(self, body: bytes) -> OrderUpdate:
        return translation.parse_update(body, self._update_table, self._manifest)

    async def poll(self, limit: int) -> Sequence[Fetched]:
        await self._box.take_stock(self._read_stock, lambda stock: stock.at, lambda stock: stock.faults, self._now())
        return await self._box.poll(limit)

    async def hand_back(self, ref: str, reply: Reply) -> None:
        await self._box.answered(ref, reply)

    async def parked(self) -> Sequence[Parked]:
        return await self._box.parked()

    async def _stock(self) -> Stock | None:
        """The newest stock that counts; None where none came yet. Raises `InvalidPayload`."""
        if self._last and monotonic() - self._last[0] < SAME_FOR:
            return self._last[2]
        response = await self._send(Request("GET", CURRENT, repeatable=True, operation="GET stock"))
        if response.status == 404:
            return None
        unchanged = self._last[2] if self._last and self._last[1] == response.body else None
        stock = unchanged or self._read_stock(response.body)
        self._last = monotonic(), response.body, stock
        return stock

    def _read_stock(self, raw: bytes) -> Stock:
        return translation.parse_stock(raw, self._stock_table)

    async def _ask(self, kind: str, order_id: str, rows: Sequence[Mapping[str, str]], *, repeatable: bool = False) -> Answer:
        """The answer to a request. Raises what the answer says, and `OutcomeUnknown` while there is none."""
        request = translation.written(kind, rows, self._manifest)
        response = await self._send(Request("PUT", _request(order_id, kind), request.body, {"answered-in": _answers(order_id)},
                                            repeatable, f"PUT {kind}"))
        return translation.parse_answer(response.body, request.number, self._answer_table, self._manifest)

    async def _send(self, request: Request) -> Response:
        response = await self._transport.send(request)
        if response.status not in (200, 404) or (response.status == 404 and request.method == "PUT"):
            raise NeedsOperator(f"{self.slug}: status {response.status} of a file; check the address of its box")
        return response

    def _receipt(self, answer: Answer) -> Receipt:
        return translation.parse_receipt(answer, self._manifest.status_words)


def _request(order_id: str, kind: str) -> str:
    return f"requests/{order_id}.{kind}.csv"


def _answers(order_id: str) -> str:
    return f"answers/{order_id}.csv"

"""Talks to Jishi: SOAP 1.1 at one address; its updates are asked for, and its cursor moves when they are in."""

import base64
import json
from collections.abc import Mapping, Sequence

from adapters.chains import soap, wire
from adapters.chains.cursor import Cursor
from adapters.chains.jishi import translation
from adapters.chains.soap import Value
from adapters.messages import Fetched, Reply
from adapters.registry import ChainManifest
from adapters.xml import Element
from domain.chains import Offers, OrderLine, OrderUpdate, PharmacyOrder, Receipt, SettlementNotice
from domain.errors import InvalidPayload, NeedsOperator, OutcomeUnknown, Refused, Transient
from domain.prescription import Handover, Place
from infra.http import UNANSWERED, Request, Response, Transport

PATH = "/services/PharmacyService"
PAGE = 100
"""Updates asked for at a time."""


class Adapter:
    """See `adapters.protocols.Chain` and `Polled`."""

    SECRETS = ("token",)

    def __init__(self, manifest: ChainManifest, transport: Transport, secrets: Mapping[str, str]) -> None:
        self.slug = manifest.slug
        self._manifest = manifest
        self._transport = transport
        credentials = base64.b64encode(f"sanyi:{secrets['token']}".encode()).decode()
        self._headers = {"authorization": f"Basic {credentials}", "content-type": soap.MEDIA}
        self._cursor = Cursor()

    async def quote(self, lines: Sequence[OrderLine], handover: Handover, place: Place) -> Offers:
        answer = await self._ask("QuoteStock", translation.quote_fields(lines, handover, place), repeatable=True)
        return translation.parse_quotes(self.slug, answer, lines, handover)

    async def hold(self, order: PharmacyOrder) -> Receipt:
        return self._receipt(await self._ask("LockStock", translation.lock_fields(order)))

    async def place(self, order: PharmacyOrder) -> Receipt:
        return self._receipt(await self._ask("PlaceOrder", translation.order_fields(order)))

    async def find(self, order_id: str) -> Receipt | None:
        try:
            return self._receipt(await self._ask("QueryOrder", {"OrderNo": order_id}, repeatable=True))
        except Refused as refused:
            if refused.code == "unknown_order":
                return None
            raise

    async def cancel(self, order_id: str, reason: str) -> Receipt:
        # Cancelling twice does no harm, but a lost answer is the caller's to resolve: it asks `find`.
        answer = await self._ask("CancelOrder", {"OrderNo": order_id, "Reason": reason})
        return translation.parse_cancel(answer, self._manifest.status_words)

    async def notify_settled(self, notice: SettlementNotice) -> None:
        await self._ask("SettleOrder", translation.settle_fields(notice), repeatable=True)

    def parse_update(self, body: bytes) -> OrderUpdate:
        return translation.parse_update(body, self._manifest.status_words, self._manifest.causes)

    async def poll(self, limit: int) -> Sequence[Fetched]:
        await self._move_cursor()
        fresh: list[Fetched] = []
        positions: list[int] = []
        while len(fresh) < limit:
            answer, whole = await self._exchange("PullUpdates", translation.pull_fields(positions, PAGE), repeatable=True)
            entries = translation.parse_entries(answer)
            positions += [position for position, _ in entries]
            if positions != sorted(set(positions)):
                raise InvalidPayload([wire.finding("CHN-03", "Entry.Position")])
            fresh += [Fetched(str(position), raw, whole) for position, raw in entries if not self._cursor.is_in(position)]
            if len(entries) < PAGE:
                break
        self._cursor.offered(positions)
        return fresh[:limit]

    async def hand_back(self, ref: str, reply: Reply) -> None:
        """The chain hears of it with the next poll, when the cursor moves."""
        self._cursor.answered(int(ref), reply)

    async def _move_cursor(self) -> None:
        if passable := self._cursor.passable():
            place = max(passable)
            refused = [(position, _why(reply)) for position, reply in passable.items() if reply.status >= 400]
            await self._ask("ConfirmUpdates", translation.confirm_fields(place, refused), repeatable=True)
            self._cursor.passed(place)

    def _receipt(self, answer: Element) -> Receipt:
        return translation.parse_receipt(answer, self._manifest.status_words)

    async def _ask(self, operation: str, fields: Mapping[str, Value], *, repeatable: bool = False) -> Element:
        answer, _ = await self._exchange(operation, fields, repeatable=repeatable)
        return answer

    async def _exchange(self, operation: str, fields: Mapping[str, Value], *, repeatable: bool = False) -> tuple[Element, bytes]:
        """The response element of a yes, and the bytes it came in. Raises what the answer says."""
        response = await self._transport.send(Request(
            "POST", PATH, soap.envelope(translation.NAMESPACE, operation, fields),
            {**self._headers, "soapaction": f'"{translation.NAMESPACE}#{operation}"'}, repeatable, f"POST {operation}",
            considered=_says_why))
        if response.status not in (200, 500):
            raise NeedsOperator(f"{self.slug}: HTTP {response.status}; check the chain's address and version")
        try:
            answer = soap.answer(response.body, translation.NAMESPACE, operation)
        except soap.Fault as fault:
            if fault.code in soap.OUR_FAULTS:
                raise InvalidPayload([wire.finding("CHN-07", "Fault")]) from None
            trouble = Transient if repeatable else OutcomeUnknown
            raise trouble(f"{self.slug}: {operation}: a fault of the server", code=UNANSWERED) from None
        if code := translation.parse_refusal(answer):
            raise wire.refusal(code, self._manifest.refusals, "Code", self.slug)
        return answer, response.body


def _says_why(response: Response) -> bool:
    """SOAP 1.1 sends every fault as HTTP 500; one that our request caused is an answer, and not to be asked for again."""
    return soap.refused_by(response.body) in soap.OUR_FAULTS


def _why(reply: Reply) -> Mapping[str, object]:
    """What was wrong with an update that we refuse: the first finding, or our word for it."""
    answer = json.loads(reply.body)
    why = answer.get("why")
    return dict(why[0]) if isinstance(why, list) and why else {"rule": answer.get("result"), "cure": why or ""}

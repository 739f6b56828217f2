"""Partners that keep their promises, and break them on request."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from itertools import count
from types import SimpleNamespace
from typing import Any, Literal
from uuid import UUID

from adapters.chains import wire
from adapters.messages import Fetched, Reply
from domain.chains import (
    ChainWord,
    Offers,
    OrderLine,
    OrderUpdate,
    PharmacyOrder,
    Quote,
    Receipt,
    SettlementNotice,
    StockNotice,
)
from domain.claims import Accumulators, Claim, DayTotals, Entitlement, Identity, Reconciled, Reversal, Settlement
from domain.errors import InvalidPayload, OutcomeUnknown, Refused
from domain.findings import Finding, Severity
from domain.money import Fen, line_amount, share
from domain.prescription import Handover, Place
from domain.trace import Scan, UploadKind, UploadLine
from infra.http import Request, Response
from tests.support import trace_codes


class Replay:
    """A transport that answers from a recording, or fails the way we tell it to."""

    def __init__(self, *answers: Response | bytes | Exception) -> None:
        self._answers = list(answers)
        self.sent: list[Request] = []

    def then(self, *answers: Response | bytes | Exception) -> None:
        self._answers += answers

    async def send(self, request: Request) -> Response:
        self.sent.append(request)
        answer = self._answers.pop(0)
        await asyncio.sleep(0)  # as on a real line, others get a turn before the answer is there
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Response) else Response(200, answer)


@dataclass
class _Line:
    """What may go wrong with the next exchange."""

    lose_next_request: bool = False
    """The next request never arrives; the caller cannot tell."""
    lose_next_answer: bool = False
    """The next request is acted on, and the answer is lost."""
    silent: bool = False
    """Nothing arrives until further notice."""
    only: frozenset[str] = frozenset()
    """Calls that may be lost; empty means all."""
    calls: list[str] = field(default_factory=list)
    """The names of what was asked, in order."""
    _refuse: list[tuple[str, str]] = field(default_factory=list)

    def refuse_next(self, code: str, call: str = "") -> None:
        """The next request, or the next of that name, is understood and refused."""
        self._refuse.append((code, call))

    def heal(self) -> None:
        """Nothing is lost or refused from here on."""
        self.lose_next_request = self.lose_next_answer = self.silent = False
        self._refuse.clear()

    def _ask(self) -> None:
        fragile = not self.only or self.calls[-1] in self.only
        if fragile and (self.silent or self.lose_next_request):
            self.lose_next_request = False
            raise OutcomeUnknown("fake: line broke on the way there")
        if self._refuse and self._refuse[0][1] in ("", self.calls[-1]):
            code, _ = self._refuse.pop(0)
            raise Refused(f"fake: {code}", code=code)

    def _answer(self) -> None:
        if self.lose_next_answer and (not self.only or self.calls[-1] in self.only):
            self.lose_next_answer = False
            raise OutcomeUnknown("fake: line broke on the way back")


@dataclass
class _Held:
    order: PharmacyOrder
    status: ChainWord


_SCANNED = (ChainWord.PREPARED, ChainWord.HANDED_OVER)
_GONE = (ChainWord.CANCELLED, ChainWord.DECLINED)
_TOO_LATE = {
    ChainWord.IN_DELIVERY: "in_delivery",
    ChainWord.HANDED_OVER: "handed_over",
    ChainWord.RETURNED: "handed_over",
}


@dataclass
class FakePageChain(_Line):
    """A chain with one store, in memory, whose people enter their updates on a page of ours; keeps `adapters.protocols.Chain`."""

    slug: str = "fake"
    store: str = "F01"
    stock: dict[str, Decimal] = field(default_factory=dict)
    """Counted units of a drug; a drug that is not named is never short."""
    prices: dict[str, Decimal] = field(default_factory=dict)
    """Yuan per counted unit; 0.30 for a drug that is not named."""
    instead: dict[str, str] = field(default_factory=dict)
    """Drug -> another product of it, which is offered where there is none of the drug."""
    minutes: int = 20
    says_yes_at_once: bool = False
    """Placing answers `accepted` instead of `ordered`."""
    book: dict[str, _Held] = field(default_factory=dict)
    """By order id: what the chain has. One entry per order, however often it was asked."""
    arrived: list[tuple[str, str]] = field(default_factory=list)
    """Every hold and every order that reached the chain, as (call, order id), repeats too."""
    notices: dict[str, SettlementNotice] = field(default_factory=dict)
    """By order id: the last word about money."""
    _events: "count[int]" = field(default_factory=lambda: count(1))

    async def quote(self, lines: Sequence[OrderLine], handover: Handover, place: Place) -> Offers:
        self.calls.append("quote")
        self._ask()
        asked = [replace(it, drug=self.instead[it.drug], instead_of=it.drug)
                 if it.drug in self.instead and self._left(it.drug) <= 0 else it for it in lines]
        offered = tuple(self._priced(replace(it, quantity=min(self._left(it.drug), it.quantity)))
                        for it in asked if self._left(it.drug) > 0)
        self._answer()
        ratings = Decimal("0.20"), Decimal("0.95"), Decimal("0.97")
        return Offers((Quote(self.slug, self.store, offered, self.minutes, *ratings, True),) if offered else ())

    async def hold(self, order: PharmacyOrder) -> Receipt:
        self.calls.append("hold")
        self._ask()
        self.arrived.append(("hold", order.id))
        if order.id not in self.book:
            self._take(order)
            self.book[order.id] = _Held(order, ChainWord.HELD)
        self._answer()
        return self._receipt(order.id)

    async def place(self, order: PharmacyOrder) -> Receipt:
        self.calls.append("place")
        self._ask()
        self.arrived.append(("place", order.id))
        held = self.book.get(order.id)
        if held is None or held.status in _GONE:
            raise Refused("fake: hold_expired", code="hold_expired")
        if held.status is ChainWord.HELD:
            status = ChainWord.ACCEPTED if self.says_yes_at_once else ChainWord.ORDERED
            self.book[order.id] = _Held(order, status)
        self._answer()
        return self._receipt(order.id)

    async def find(self, order_id: str) -> Receipt | None:
        self.calls.append("find")
        self._ask()
        self._answer()
        return self._receipt(order_id) if order_id in self.book else None

    async def cancel(self, order_id: str, reason: str) -> Receipt:
        self.calls.append("cancel")
        self._ask()
        held = self.book.get(order_id)
        if held is None:
            raise Refused("fake: unknown_order", code="unknown_order")
        if held.status in _TOO_LATE:
            raise Refused(f"fake: {_TOO_LATE[held.status]}", code=_TOO_LATE[held.status])
        if held.status not in _GONE:
            self._give_back(held.order)
        held.status = ChainWord.CANCELLED
        self._answer()
        return self._receipt(order_id)

    async def notify_settled(self, notice: SettlementNotice) -> None:
        self.calls.append("notify_settled")
        self._ask()
        self.notices[notice.order_id] = notice
        self._answer()

    def update(
        self,
        order_id: str,
        status: ChainWord,
        *,
        reason: str = "",
        lines: tuple[int, ...] = (),
        pickup_code: str = "",
        claim_secret: str | None = None,
        event_id: str = "",
        at: datetime | None = None,
        traces: tuple[Scan, ...] | Literal["true"] | None = "true",
    ) -> OrderUpdate:
        """The order moves on in the chain's book; the callback about it, in our words.

        With the order's true claim secret, a fresh event id and true trace codes, unless told otherwise. A decline puts
        the stock back on the shelf; a return brings every line back unless told otherwise.
        """
        held = self.book[order_id]
        if status is ChainWord.DECLINED and held.status not in _GONE:
            self._give_back(held.order)
        held.status = status
        if status is ChainWord.RETURNED and not lines:
            lines = tuple(it.line for it in held.order.lines)
        return OrderUpdate(
            event_id=event_id or f"ev_{next(self._events)}",
            order_id=order_id,
            status=status,
            claim_secret=held.order.claim_secret if claim_secret is None else claim_secret,
            at=at or datetime.now(UTC),
            reason=reason,
            lines=lines,
            pickup_code=pickup_code,
            traces=self.packs(held.order) if traces == "true" and status in _SCANNED else None if traces == "true" else traces,
        )

    def packs(self, order: PharmacyOrder) -> tuple[Scan, ...]:
        """Packs of an order's lines, the same each time: whole ones, and a part of one opened for it."""
        return tuple(scan for line in order.lines for scan in trace_codes.packs(order.id, line))

    def _left(self, drug: str) -> Decimal:
        return self.stock.get(drug, Decimal("Infinity"))

    def _priced(self, line: OrderLine) -> OrderLine:
        price = self.prices.get(line.drug, Decimal("0.30"))
        return replace(line, unit_price=price, amount=line_amount(price, line.quantity))

    def _take(self, order: PharmacyOrder) -> None:
        if any(self._left(it.drug) < it.quantity for it in order.lines):
            raise Refused("fake: out_of_stock", code="out_of_stock")
        for it in order.lines:
            if it.drug in self.stock:
                self.stock[it.drug] -= it.quantity

    def _give_back(self, order: PharmacyOrder) -> None:
        for it in order.lines:
            if it.drug in self.stock:
                self.stock[it.drug] += it.quantity

    def _receipt(self, order_id: str) -> Receipt:
        return Receipt(f"REF-{order_id}", self.book[order_id].status)


@dataclass
class _WritingChain(FakePageChain):
    """A chain that puts its updates into bytes of its own; keeps `adapters.protocols.WritesUpdates`."""

    def parse_update(self, body: bytes) -> OrderUpdate:
        try:
            given = json.loads(body)
            return OrderUpdate(
                event_id=given["event_id"],
                order_id=given["order_id"],
                status=ChainWord(given["status"]),
                claim_secret=given["claim_secret"],
                at=datetime.fromisoformat(given["at"]),
                reason=given["reason"],
                lines=tuple(given["lines"]),
                pickup_code=given["pickup_code"],
                traces=trace_codes.read(given.get("traces")),
            )
        except (ValueError, KeyError, TypeError):
            broken = Finding("CHAIN_CONTRACT", Severity.BLOCK, "CHN-03", "$", "报文不符约定", "not as agreed")
        raise InvalidPayload([broken])

    def body(self, update: OrderUpdate) -> bytes:
        """The update as the bytes `parse_update` understands."""
        return json.dumps(
            {
                "event_id": update.event_id,
                "order_id": update.order_id,
                "status": update.status.value,
                "claim_secret": update.claim_secret,
                "at": update.at.isoformat(),
                "reason": update.reason,
                "lines": list(update.lines),
                "pickup_code": update.pickup_code,
            } | ({} if update.traces is None else {"traces": trace_codes.written(update.traces)})
        ).encode()


@dataclass
class FakeChain(_WritingChain):
    """A chain that calls back, also about its stock; keeps `adapters.protocols.TellsStock`."""

    secret: str = "fake-callback-secret"

    def verify(self, timestamp: str, nonce: str, body: bytes, signature: str, now: datetime) -> None:
        wire.verify(self.secret, timestamp, nonce, body, signature, now)

    def parse_stock(self, body: bytes) -> StockNotice:
        notice = json.loads(body)
        return StockNotice(notice["event_id"], notice["store"], tuple(notice["drugs"]))

    def headers(self, body: bytes, now: datetime, nonce: str = "") -> dict[str, str]:
        """The headers of a signed callback; a fresh nonce unless told otherwise."""
        timestamp, nonce = str(int(now.timestamp())), nonce or f"nonce-{next(self._events):016d}"
        signature = wire.sign(self.secret, timestamp, nonce, body)
        return {"Sanyi-Timestamp": timestamp, "Sanyi-Nonce": nonce, "Sanyi-Signature": signature}


@dataclass
class FakeEndpoint:
    """A chain's address for webhooks; keeps `adapters.protocols.TakesWebhooks`."""

    status: int = 200
    """How it answers, until further notice."""
    trouble: Exception | None = None
    """Raised instead of an answer, until further notice."""
    asked: list[str] = field(default_factory=list)
    """The ids it was sent, each time."""
    taken: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Messages by id, in the order in which each came first."""
    by_id: dict[str, int] = field(default_factory=dict)
    """How it answers a certain message."""

    async def send(self, id: str, body: bytes, now: datetime) -> int:
        self.asked.append(id)
        if self.trouble:
            raise self.trouble
        status = self.by_id.get(id, self.status)
        if 200 <= status < 300:
            self.taken.setdefault(id, json.loads(body))
        return status


@dataclass
class FakePolledChain(_WritingChain):
    """A chain that never calls: it is asked for its updates; keeps `adapters.protocols.Polled`."""

    waiting: dict[str, bytes] = field(default_factory=dict)
    """Updates that were not answered yet, by the chain's own name for them, oldest first."""
    answers: list[Reply] = field(default_factory=list)
    """What was handed back, in order."""

    def offer(self, update: OrderUpdate) -> None:
        """Have an update ready for the next poll."""
        self.waiting[f"{update.event_id}.{len(self.waiting)}"] = self.body(update)

    async def poll(self, limit: int) -> Sequence[Fetched]:
        self.calls.append("poll")
        self._ask()
        self._answer()
        return [Fetched(ref, raw) for ref, raw in self.waiting.items()][:limit]

    async def hand_back(self, ref: str, reply: Reply) -> None:
        self.calls.append("hand_back")
        self._ask()
        self.answers.append(reply)
        self.waiting.pop(ref, None)
        self._answer()


@dataclass(frozen=True)
class PayerRow:
    """One line in the fund's book; a reversal is a row of its own with negative amounts."""

    reference: str
    settlement_id: str
    psn_no: str
    total: int
    fund: int
    account: int
    prescription_id: str
    insutype: str
    day: date
    reverses: str = ""


@dataclass
class FakePayer(_Line):
    """A fund that pays 80 % of what is not own expense, in memory; keeps `adapters.protocols.Payer`."""

    slug: str = "fake_centre"
    book: list[PayerRow] = field(default_factory=list)
    """Settlements and reversals, in the order in which they happened."""
    entitlement_answer: Entitlement = field(
        default_factory=lambda: Entitlement("P0001", "310", "370100", False, False, True, ("M01600",), Accumulators())
    )
    """What everybody is told who asks about himself; the type of insurance is the one asked for."""
    ratio: Decimal = Decimal("0.80")
    day: date = date(2026, 11, 22)
    """The fund's calendar day."""
    uploads: dict[str, list[tuple[UploadKind, UploadLine]]] = field(default_factory=dict)
    """By msgid: packs sold or brought back."""
    _answers: dict[str, tuple[bytes, Settlement | str]] = field(default_factory=dict)
    """By msgid: the request and its answer. Same msgid, same bytes, same answer."""

    def request_bytes(self, claim: Claim) -> bytes:
        lines = [[it.line, it.drug, str(it.quantity), str(it.unit_price), it.amount, it.selfpay,
                  *([[pack.code for pack in it.packs]] if it.packs else [])] for it in claim.lines]
        given = [claim.psn_no, claim.insutype, claim.disease_code, claim.med_type, claim.at.isoformat(), lines]
        return json.dumps(given, sort_keys=True).encode()

    def new_reference(self, at: datetime, sequence: int) -> str:
        return f"P37010000001{at.astimezone(UTC) + timedelta(hours=8):%Y%m%d%H%M%S}{sequence:04d}"

    async def upload(self, kind: UploadKind, reference: str, lines: Sequence[UploadLine]) -> None:
        self.calls.append("upload")
        self._ask()
        known = self.uploads.get(reference)
        if known is None:
            self.uploads[reference] = [(kind, line) for line in lines]
        elif known != [(kind, line) for line in lines]:
            raise AssertionError(f"{reference} with other lines")
        self._answer()

    async def uploaded(self, kind: UploadKind, line: UploadLine) -> bool:
        self.calls.append("uploaded")
        self._ask()
        self._answer()
        return any((kind, line.number) == (taken, each.number) for rows in self.uploads.values() for taken, each in rows)

    async def entitlement(self, identity: Identity, insutype: str, at: datetime) -> Entitlement:
        self.calls.append("entitlement")
        self._ask()
        self._answer()
        return replace(self.entitlement_answer, insutype=insutype)

    async def pre_settle(self, claim: Claim) -> Settlement:
        self.calls.append("pre_settle")
        self._ask()
        self._answer()
        return self._split(claim)

    async def settle(self, claim: Claim) -> Settlement:
        self.calls.append("settle")
        self._ask()
        answer = self._known(claim.reference, self.request_bytes(claim))
        if answer is None:
            number = _digest(claim.reference)
            answer = replace(self._split(claim), settlement_id=f"S{number}", visit_id=f"V{number}")
            self._answers[claim.reference] = (self.request_bytes(claim), answer)
            self.book.append(
                PayerRow(claim.reference, f"S{number}", claim.psn_no, answer.total, answer.fund, answer.account,
                         claim.prescription_id, claim.insutype, self.day)
            )
        self._answer()
        assert isinstance(answer, Settlement)
        return answer

    async def reverse(
        self, reference: str, settlement_id: str, visit_id: str, psn_no: str, insured_place: str, at: datetime
    ) -> Reversal:
        self.calls.append("reverse")
        self._ask()
        request = json.dumps([settlement_id, visit_id, psn_no]).encode()
        answer = self._known(reference, request)
        if answer is None:
            answer = f"R{_digest(reference)}"
            self.book.append(self._reversal(reference, answer, settlement_id))
            self._answers[reference] = (request, answer)
        self._answer()
        assert isinstance(answer, str)
        return Reversal(answer, self.day)

    async def reconcile(self, totals: DayTotals) -> Reconciled:
        """Compares with the rows of those days and that type."""
        self.calls.append("reconcile")
        self._ask()
        self._answer()
        rows = [it for it in self.book if totals.begin <= it.day <= totals.end and it.insutype == totals.insutype]
        ours = (sum(it.total for it in rows), sum(it.fund for it in rows), sum(it.account for it in rows),
                sum(-1 if it.reverses else 1 for it in rows))
        matched = ours == (totals.total, totals.fund, totals.account, totals.count)
        return Reconciled(matched, "" if matched else "totals differ")

    def _known(self, reference: str, request: bytes) -> Settlement | str | None:
        if reference not in self._answers:
            return None
        before, answer = self._answers[reference]
        assert before == request, "the same reference was used for another request"
        return answer

    def _reversal(self, reference: str, number: str, settlement_id: str) -> PayerRow:
        row = next((it for it in self.book if it.settlement_id == settlement_id and not it.reverses), None)
        if row is None:
            raise Refused("fake: unknown_settlement", code="unknown_settlement")
        if any(it.reverses == settlement_id for it in self.book):
            raise Refused("fake: already_reversed", code="already_reversed")
        return PayerRow(reference, number, row.psn_no, -row.total, -row.fund, -row.account, row.prescription_id,
                        row.insutype, self.day, settlement_id)

    def _split(self, claim: Claim) -> Settlement:
        eligible = Fen(sum(it.amount for it in claim.lines if not it.selfpay))
        fund = share(eligible, self.ratio)
        return Settlement(
            total=claim.total,
            own=Fen(claim.total - eligible),
            over=Fen(0),
            first_pay=Fen(0),
            eligible=eligible,
            deductible=Fen(0),
            pool=fund,
            day=self.day,
            fund=fund,
            cash=Fen(claim.total - fund),
        )


def _digest(reference: str) -> str:
    return sha256(reference.encode()).hexdigest()[:12]


class FakePrefect:
    """What `flows.window` asks of Prefect: runs by their keys, their states, and the task runs it is told of."""

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        """By key: id, name, tags, state."""
        self.stages: dict[str, dict[str, str]] = {}
        """By a run's id: state type by the name of the task run."""
        self.logs: list[tuple[str, str]] = []
        """A run's id, and what its log was told."""

    async def read_deployment_by_name(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(id="deployment", flow_id="flow", name=name)

    async def request(self, method: str, path: str, json: Any) -> SimpleNamespace:
        answer = self._answer(method, path, json)
        return SimpleNamespace(content=b"{}", json=lambda: answer)

    def _answer(self, method: str, path: str, body: Any) -> Any:
        by_id = {run["id"]: run for run in self.runs.values()}
        if path.endswith("/create_flow_run/bulk"):
            for one in body:
                self.runs.setdefault(one["idempotency_key"], {"id": str(UUID(int=len(self.runs) + 1)), **one})
            return {"results": [{"flow_run_id": self.runs[one["idempotency_key"]]["id"], "status": "CREATED"} for one in body]}
        if path == "/flow_runs/bulk_set_state":
            moved = [by_id[run] for run in body["flow_runs"]["id"]["any_"] if run in by_id]
            for run in moved:
                run["state"] = body["state"]
            return {"results": [{"flow_run_id": run["id"], "status": "ACCEPT"} for run in moved]}
        if path == "/flow_runs/filter" and "state" in body["flow_runs"]:
            kinds, names = (body["flow_runs"]["state"][one]["any_"] for one in ("type", "name"))
            return [run for run in by_id.values() if run["state"]["type"] in kinds or run["state"]["name"] in names]
        if path == "/flow_runs/filter":
            return [by_id[run] for run in body["flow_runs"].get("id", {}).get("any_", []) if run in by_id]
        if path == "/events":
            for event in body:
                run = event["related"][0]["prefect.resource.id"].removeprefix("prefect.flow-run.")
                self.stages.setdefault(run, {})[event["resource"]["prefect.resource.name"]] = (
                    event["payload"]["validated_state"]["type"])
            return None
        if path == "/logs/":
            self.logs += [(one["flow_run_id"], one["message"]) for one in body]
            return None
        if method == "PATCH":
            by_id[path.rpartition("/")[2]].update(body)
            return None
        raise AssertionError(f"{method} {path}")

    def picture(self) -> dict[str, object]:
        """What people see: each run's state, tags and stages."""
        return {key: (run["state"]["type"], run["state"]["name"], run["tags"], self.stages.get(run["id"], {}))
                for key, run in self.runs.items()}

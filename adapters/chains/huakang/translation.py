"""Between our words and the rows of Huakang's files. Pure: facts in, a table out, and back."""

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from adapters.chains import tables
from adapters.chains.tables import Fields
from adapters.chains.wire import ILLEGIBLE, cancelled, checked, finding, receipt, refusal, status_of
from adapters.dialects.dropbox import plain
from adapters.dialects.dropbox_tables import Layout, read_slice
from adapters.registry import ChainManifest
from domain.chains import (
    ChainWord,
    LeftOut,
    Offers,
    OrderLine,
    OrderUpdate,
    PharmacyOrder,
    Quote,
    Receipt,
    SettlementNotice,
)
from domain.errors import InvalidPayload, OutcomeUnknown, RxError
from domain.findings import Finding
from domain.money import line_amount, yuan
from domain.prescription import Handover
from domain.privacy import WITHHELD, shown
from domain.trace import Scan

STOCK: Final = ("store", "drug", "time", "quantity", "unit", "price", "pickup_minutes", "delivery_minutes", "load", "on_time",
                "quality", "open", "rows")
UPDATE: Final = ("event", "order", "status", "claim_secret", "time", "reason", "pickup_code", "packs", "line", "trace", "lot",
                 "made_on", "expires_on", "units", "returned")
ANSWER: Final = ("request", "order", "result", "reference", "status", "time")
"""Columns of each table, the one that names its rows first. All of them must be there; which cells may be empty is said below."""
_PACK: Final = frozenset({"line", "trace", "lot", "made_on", "expires_on", "units"})
_OF_STORE: Final = ("pickup_minutes", "delivery_minutes", "load", "on_time", "quality", "open")
"""What every row of a store repeats."""
_OF_EVENT: Final = ("order", "status", "claim_secret", "time", "reason", "pickup_code", "packs")
_FLAG: Final = {"是": True, "否": False}


# What we write.

class Written(NamedTuple):
    """A request as a file, and the number that its answer repeats."""

    number: str
    body: bytes


def hold_rows(order: PharmacyOrder, manifest: ChainManifest) -> list[dict[str, str]]:
    """One row for each line of the order."""
    return [{
        "action": manifest.facts["hold"], "order": order.id, "store": order.store, "rows": str(len(order.lines)),
        "line": str(it.line), "drug": it.drug, "quantity": _decimal(it.quantity), "unit": it.unit,
        "price": _decimal(it.unit_price), "amount": yuan(it.amount),
    } for it in order.lines]


def order_rows(order: PharmacyOrder, manifest: ChainManifest) -> list[dict[str, str]]:
    """As the hold, with what the package must say. The receiver goes along for home delivery only."""
    usage, home = order.instructions, order.handover is Handover.HOME
    labels = {it.line: it for it in usage.labels}
    who = order.recipient if home else {}
    shared = {
        "action": manifest.facts["order"], "prescription": order.prescription_id,
        "handover": manifest.facts["home" if home else "pickup"], "claim_secret": order.claim_secret,
        "pickup_digest": order.pickup_code_sha256, "patient_due": yuan(order.patient_due), "total": yuan(order.total),
        "note": usage.note, "decoction": usage.decoction,
        "receiver": who.get("name", ""), "phone": who.get("phone", ""), "address": who.get("address", ""),
    }
    return [row | shared | ({
        "name": label.name, "usage": label.usage, "directions": label.directions, "line_note": label.note,
        "line_decoction": label.decoction} if (label := labels.get(it.line)) else {})
        for row, it in zip(hold_rows(order, manifest), order.lines, strict=True)]


def cancel_rows(order_id: str, reason: str, manifest: ChainManifest) -> list[dict[str, str]]:
    return [{"action": manifest.facts["cancel"], "order": order_id, "rows": "1", "reason": reason}]


def settle_rows(notice: SettlementNotice, manifest: ChainManifest) -> list[dict[str, str]]:
    return [{"action": manifest.facts["settle"], "order": notice.order_id, "rows": "1", "settlement": notice.settlement_id,
             "total": yuan(notice.total), "fund": yuan(notice.fund), "account": yuan(notice.account), "cash": yuan(notice.cash)}]


_HOLD: Final = ("action", "order", "rows", "store", "line", "drug", "quantity", "unit", "price", "amount")
_WRITTEN: Final[Mapping[str, tuple[str, ...]]] = {
    "hold": _HOLD,
    "order": (*_HOLD, "prescription", "handover", "claim_secret", "pickup_digest", "patient_due", "total", "note", "decoction",
              "name", "usage", "directions", "line_note", "line_decoction", "receiver", "phone", "address"),
    "cancel": ("action", "order", "rows", "reason"),
    "settle": ("action", "order", "rows", "settlement", "total", "fund", "account", "cash"),
}
"""Fields of each request in their order, behind its number."""


def written(kind: str, rows: Sequence[Mapping[str, str]], manifest: ChainManifest) -> Written:
    """The file of a request. The same request has the same bytes, and another content another number.

    A text that a spreadsheet would calculate has a `'` before it. Characters that the chain's encoding lacks cannot occur:
    GB18030 has all of Unicode.
    """
    fields = _WRITTEN[kind]
    headings = {name: heading for heading, name in reversed(list(manifest.columns.items()))}
    content = [[row.get(name, "") for name in fields] for row in rows]
    number = "rq_" + hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()[:16]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\r\n", quoting=csv.QUOTE_ALL)
    table.writerow([headings["request"], *(headings[name] for name in fields)])
    table.writerows([[number, *(plain(cell) for cell in row)] for row in content])
    encoding = "utf-8-sig" if manifest.facts["encoding"] == "utf-8" else manifest.facts["encoding"]
    return Written(number, text.getvalue().encode(encoding))


# What answers us.

@dataclass(frozen=True)
class Answer:
    """The chain's answer to one request."""

    number: str
    result: str
    reference: str
    status: str
    """The chain's word for where the order is now; empty where it has none."""
    at: str


def parse_answers(body: bytes, table: Layout) -> list[Answer]:
    """The answers about one order, oldest first. Raises `InvalidPayload`."""
    findings: list[Finding] = []
    answers = []
    for row in tables.read(body, table):
        cells = Fields(row, table, findings)
        answers.append(Answer(cells.required("request"), cells.required("result"), cells.text("reference"), cells.text("status"),
                              cells.moment("time")))
    if findings:
        raise InvalidPayload(findings)
    return sorted(answers, key=lambda answer: datetime.fromisoformat(answer.at))


def parse_answer(body: bytes, number: str, table: Layout, manifest: ChainManifest) -> Answer:
    """The answer to this request. Raises `InvalidPayload` and `Refused` as it says, `OutcomeUnknown` where there is none yet."""
    answers = [answer for answer in parse_answers(body, table) if answer.number == number]
    if not answers:
        raise OutcomeUnknown(f"{manifest.slug}: the answers do not have this request yet", code="unanswered")
    if trouble := parse_refusal(answers[-1], manifest):
        raise trouble
    return answers[-1]


def parse_refusal(answer: Answer, manifest: ChainManifest) -> RxError | None:
    """What a no is; None for a yes."""
    if answer.result == manifest.facts["done"]:
        return None
    if answer.result == manifest.facts["refused"]:
        return InvalidPayload([finding("CHN-07", "request")])
    return refusal(answer.result, manifest.refusals, "result", manifest.slug)


def parse_receipt(answer: Answer, words: Mapping[str, ChainWord]) -> Receipt:
    """Raises `InvalidPayload`."""
    if not answer.reference:
        raise InvalidPayload([finding("CHN-02", "reference")])
    return receipt(answer.reference, status_of(answer.status, words, "status"))


def parse_cancel(answer: Answer, words: Mapping[str, ChainWord]) -> Receipt:
    """Raises `InvalidPayload`."""
    return cancelled(parse_receipt(answer, words), "status")


def parse_found(body: bytes, table: Layout, words: Mapping[str, ChainWord]) -> Receipt | None:
    """Where the order was at the newest answer that says it; None where no answer does. Raises `InvalidPayload`."""
    placed = [answer for answer in parse_answers(body, table) if answer.status]
    return parse_receipt(placed[-1], words) if placed else None


# Stock and prices.

class Shelf(NamedTuple):
    quantity: Decimal
    unit: str
    price: Decimal
    """Yuan per counted unit."""
    row: Fields


@dataclass
class Store:
    """What a stock file says of one store."""

    first: Fields
    pickup_minutes: int | None
    delivery_minutes: int | None
    """None: it does not deliver."""
    load: Decimal | None
    on_time: Decimal | None
    quality: Decimal | None
    open: bool | None
    shelves: dict[str, Shelf] = field(default_factory=dict)
    faults: dict[str, list[Finding]] = field(default_factory=dict)
    """Drug -> why its row does not count; under the empty text what leaves out the whole store."""


@dataclass(frozen=True)
class Stock:
    """A stock file: everything that a chain has, at one time."""

    at: datetime
    stores: Mapping[str, Store]
    nameless: tuple[Finding, ...]
    """Of rows that do not say which store or which drug they are about."""

    @property
    def faults(self) -> list[Finding]:
        return [*self.nameless, *(it for store in self.stores.values() for faults in store.faults.values() for it in faults)]


def parse_stock(raw: bytes, table: Layout) -> Stock:
    """Raises `InvalidPayload` for a file that cannot be read, is not whole, or whose time is not certain.

    A faulty row costs only itself.
    """
    rows = tables.read(raw, table)
    for row in rows:
        counted = Fields(row, table, [], ())
        number = counted.text("rows")
        # Of a file that was cut off the last row is short, or the number is another one.
        if number != str(len(rows)) and (number or row is rows[-1]):
            raise InvalidPayload([finding("CHN-18", "rows", counted.spot("rows"))])
    untimed: list[Finding] = []
    times = [Fields(row, table, untimed, ("time",)).moment("time") for row in rows]
    if untimed:
        raise InvalidPayload(untimed)
    if other := next((row for row, at in zip(rows, times, strict=True) if at != times[0]), None):
        raise InvalidPayload([finding("CHN-18", "time", Fields(other, table, [], ()).spot("time"))])
    stores: dict[str, Store] = {}
    nameless: list[Finding] = []
    for row in rows:
        faults: list[Finding] = []
        cells = Fields(row, table, faults)
        name, drug = cells.required("store"), cells.required("drug")
        number = "" if shown(name) == WITHHELD else shown(name)
        if name and not number:
            cells.refuse("CHN-11", "store")
        if not number or not drug:
            nameless += faults
            continue
        store = stores.get(number) or stores.setdefault(number, _store(cells))
        _compare(store, cells, _OF_STORE)
        amount, price, unit = cells.number("quantity"), cells.number("price"), cells.required("unit")
        if price == 0:
            cells.refuse("CHN-03", "price")
        if drug in store.shelves or drug in store.faults:
            store.shelves.pop(drug, None)
            cells.refuse("CHN-20", "drug")
        own = [it for it in faults if it.path not in _OF_STORE]
        store.faults.setdefault("", []).extend(it for it in faults if it.path in _OF_STORE and it not in store.faults.get("", []))
        if own:
            store.faults.setdefault(drug, []).extend(own)
        elif amount is not None and price is not None:
            store.shelves[drug] = Shelf(amount, unit, price, cells)
    for store in stores.values():
        if not store.faults[""]:
            del store.faults[""]
    return Stock(datetime.fromisoformat(times[0]), stores, tuple(nameless))


def _store(cells: Fields) -> Store:
    minutes = cells.count("pickup_minutes")
    delivery = cells.count("delivery_minutes") if cells.text("delivery_minutes") else None
    load, on_time, quality = cells.number("load"), cells.number("on_time", most=1), cells.number("quality", most=1)
    if (word := cells.required("open")) and word not in _FLAG:
        cells.refuse("CHN-04", "open")
    return Store(cells, minutes, delivery, load, on_time, quality, _FLAG.get(word))


def _compare(store: Store, cells: Fields, names: Sequence[str]) -> None:
    for name in names:
        if cells.text(name) != store.first.text(name):
            cells.refuse("CHN-18", name)


def parse_quotes(chain: str, stock: Stock, order_lines: Sequence[OrderLine], handover: Handover, now: datetime,
                 most: timedelta) -> Offers:
    """What the stores have of the lines by the stock file, and what cannot count. A file older than `most` gives no offers."""
    if now - stock.at > most:
        return Offers(left_out=(LeftOut("", (finding("CHN-19", "time"),)),))
    quotes, left_out = [], []
    if stock.nameless:
        left_out.append(LeftOut("", stock.nameless[:tables.MAX_FINDINGS]))
    for number, store in stock.stores.items():
        faults = [it for drug in ("", *dict.fromkeys(line.drug for line in order_lines)) for it in store.faults.get(drug, ())]
        lines, foreign = _offered(store, order_lines)
        if faults or foreign:
            left_out.append(LeftOut(number, (*faults, *foreign)))
        if "" in store.faults or not lines:
            continue
        minutes = store.pickup_minutes if handover is Handover.PICKUP else store.delivery_minutes
        assert store.pickup_minutes is not None
        assert store.load is not None
        assert store.on_time is not None
        assert store.quality is not None
        quotes.append(Quote(
            chain=chain, store=number, lines=tuple(lines), minutes=store.pickup_minutes if minutes is None else minutes,
            load=min(store.load, Decimal(1)), on_time=store.on_time, quality=store.quality, delivers=minutes is not None,
            open=bool(store.open)))
    return Offers(tuple(quotes), tuple(left_out))


def _offered(store: Store, order_lines: Sequence[OrderLine]) -> tuple[list[OrderLine], list[Finding]]:
    """What the store has of each line, all of it or less; two lines of one drug share what is there."""
    left = {drug: shelf.quantity for drug, shelf in store.shelves.items()}
    lines, findings = [], []
    for line in order_lines:
        shelf = store.shelves.get(line.drug)
        if shelf is None or left[line.drug] <= 0:
            continue
        if shelf.unit != line.unit:
            findings.append(finding("CHN-20", "unit", shelf.row.spot("unit")))
            continue
        has = min(line.quantity, left[line.drug])
        left[line.drug] -= has
        lines.append(OrderLine(line.line, line.drug, has, line.unit, shelf.price, line_amount(shelf.price, has)))
    return lines, findings


# Its word about an order.

def parse_update(body: bytes, table: Layout, manifest: ChainManifest) -> OrderUpdate:
    """An event in our words, from its rows or from a file with this one event. Raises `InvalidPayload`.

    A pack that cannot be read is a scan without a code, as with every chain: it never costs the word itself.
    """
    rows = read_slice(body, frozenset(tables.RULE_OF))
    rows = tables.read(body, table) if rows is None else rows
    if not rows:
        raise InvalidPayload([finding("CHN-14", "file")])
    findings: list[Finding] = []
    read = [Fields(row, table, findings, {*UPDATE} - _PACK) for row in rows]
    first = read[0]
    event, order, status, secret = (first.required(name) for name in ("event", "order", "status", "claim_secret"))
    at = first.moment("time")
    word = manifest.status_words.get(status)
    if status and word is None:
        first.refuse("CHN-04", "status")
    for cells in read[1:]:
        if cells.text("event") != event:
            cells.refuse("CHN-18", "event")
        _differ(first, cells)
    packs = [(cells, scan) for cells in read if (scan := _scan(cells, table))]
    counted = first.count("packs") if first.text("packs") else None
    if counted is not None and counted != len(packs):
        first.refuse("CHN-18", "packs")
    returned = [line for cells in read if cells.text("returned") and (line := cells.count("returned")) is not None]
    if findings or word is None:
        raise InvalidPayload(findings or [finding("CHN-02", "status")])
    reason = first.text("reason")
    return checked(OrderUpdate(
        event_id=event, order_id=order, status=word, claim_secret=secret, at=datetime.fromisoformat(at),
        reason=manifest.causes.get(reason, "other") if reason else "", lines=tuple(dict.fromkeys(returned)),
        pickup_code=first.text("pickup_code"), traces=None if counted is None else tuple(scan for _, scan in packs),
    ), "event", "returned")


def _differ(first: Fields, cells: Fields) -> None:
    for name in _OF_EVENT:
        if cells.text(name) != first.text(name):
            cells.refuse("CHN-18", name)


def _scan(cells: Fields, table: Layout) -> Scan | None:
    """The pack of a row; None for a row without one, and a scan without a code for one that cannot be read."""
    if not any(cells.text(name) or cells.is_faulty(name) for name in _PACK):
        return None
    unread: list[Finding] = []
    pack = Fields(cells.row, table, unread, _PACK)
    line, units = pack.count("line"), pack.count("units")
    code, lot = pack.required("trace"), pack.text("lot")
    made_on, expires_on = pack.day("made_on"), pack.day("expires_on")
    if unread or line is None or units is None:
        return ILLEGIBLE if line is None else Scan(line, "", "", None, None, 0)
    return Scan(line, code[:64], lot[:40], _day(made_on), _day(expires_on), units)


def _day(text: str) -> date | None:
    return date.fromisoformat(text) if text else None


def _decimal(value: Decimal) -> str:
    return format(value, "f")


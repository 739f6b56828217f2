"""济世示范大药房: SOAP 1.1, yuan, words in capitals, asked for its updates (contracts 2.6). SOAP by hand."""

import hmac
from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from hashlib import sha256
from typing import Annotated, Any, Literal
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from domain.chains import ChainWord
from sandbox.ankang import PickupRequest
from sandbox.book import Book, Document
from sandbox.chain import Broken, Chain, Line, No, Package, Slip, Store
from sandbox.partner import Background, Setting, partner_app, run
from sandbox.pharmacy import Pharmacy, scanned
from sandbox.updates import Updates

BEIJING = timezone(timedelta(hours=8))
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
SERVICE = "urn:jishi:pharmacy:1"
PATH = "/services/PharmacyService"
XML = "text/xml; charset=utf-8"

SHELF = dict.fromkeys(("D001", "D010", "D018", "D032", "D048", "D065", "D081", "D187"), 200_000)

CHAIN = Chain(
    slug="jishi",
    prefix="JS",
    stores=(
        Store("JS01", "济世示范大药房泺源店", 36.64, 117.04, SHELF, on_time="0.96", quality="0.98"),
        Store("JS02", "济世示范大药房西市店", 36.65, 117.00, SHELF, on_time="0.95", quality="0.97"),
    ),
    prices={drug: Decimal(price) for drug, price in {
        "D001": "0.3050", "D010": "0.2990", "D018": "4.0800", "D032": "0.7850", "D048": "1.9600", "D065": "1.3100",
        "D081": "0.3233", "D187": "26.6000"}.items()},
    accepts_later=True,
)
WORDS = {
    ChainWord.HELD: "LOCKED", ChainWord.ORDERED: "PLACED", ChainWord.ACCEPTED: "CONFIRMED", ChainWord.PREPARED: "PACKED",
    ChainWord.IN_DELIVERY: "SHIPPED", ChainWord.DECLINED: "REJECTED", ChainWord.CANCELLED: "REVOKED",
    ChainWord.RETURNED: "REFUNDED",
}
CAUSES = {"out_of_stock": "NO_STOCK", "closed": "SHUT", "quality": "DEFECT"}
CODES = {
    "out_of_stock": ("N101", "无库存"), "closed": ("N102", "已打烊"), "hold_expired": ("N103", "锁定已过期"),
    "handed_over": ("N104", "已取药"), "in_delivery": ("N105", "配送中"), "unknown_order": ("N404", "无此订单"),
}

Text = Annotated[str, StringConstraints(min_length=1)]
Page = dict[str, Any]


class Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Wanted(Wire):
    DrugCode: str
    Quantity: Decimal
    Unit: str


class QuoteStock(Wire):
    TakeWay: Literal["SELF", "HOME"]
    District: str
    Latitude: float
    Longitude: float
    Line: list[Wanted] = Field(min_length=1)


class LockedLine(Wire):
    LineNo: int
    DrugCode: str
    Quantity: Decimal
    Price: Decimal
    Amount: Decimal = Field(decimal_places=2)

    def line_(self) -> Line:
        return Line(self.LineNo, self.DrugCode, self.Quantity, self.Price, int(self.Amount * 100))


class LockStock(Wire):
    OrderNo: Text
    StoreNo: str
    Line: list[LockedLine] = Field(min_length=1)


class LabelRow(Wire):
    LineNo: int
    DrugName: Text
    Usage: Text
    Directions: str
    Note: str
    Decoction: str


class ReceiverRow(Wire):
    Name: Text
    Phone: Text
    Address: Text


class PlaceOrder(LockStock):
    PrescriptionNo: str
    TakeWay: Literal["SELF", "HOME"]
    ClaimKey: str
    CodeDigest: str = ""
    PatientAmount: Decimal = Field(ge=0, decimal_places=2)
    TotalAmount: Decimal = Field(ge=0, decimal_places=2)
    Note: str
    Decoction: str
    Label: list[LabelRow] = Field(min_length=1)
    Receiver: ReceiverRow | None = None


class QueryOrder(Wire):
    OrderNo: Text


class CancelOrder(Wire):
    OrderNo: Text
    Reason: str


class SettleOrder(Wire):
    OrderNo: Text
    SettlementNo: str
    TotalAmount: Decimal = Field(decimal_places=2)
    FundAmount: Decimal = Field(decimal_places=2)
    AccountAmount: Decimal = Field(decimal_places=2)
    CashAmount: Decimal = Field(decimal_places=2)


class PullUpdates(Wire):
    After: int | None = Field(default=None, ge=0)
    Max: int = Field(ge=1, le=500)


class RefusedRow(Wire):
    Position: int
    Rule: str
    Place: str
    Cure: str


class ConfirmUpdates(Wire):
    Position: int = Field(ge=0)
    Refused: list[RefusedRow] = []


OPERATIONS: Mapping[str, type[Wire]] = {shape.__name__: shape for shape in (
    QuoteStock, LockStock, PlaceOrder, QueryOrder, CancelOrder, SettleOrder, PullUpdates, ConfirmUpdates)}
"""Name of the element -> what is in it."""
LISTS = frozenset({"Line", "Label", "Refused"})


def word(order: Document, status: ChainWord, event_id: str, at: datetime) -> Document:
    """The fields of an update, in the chain's own words."""
    collected = "SIGNED" if order.get("delivery") else "COLLECTED"
    reason = order["reason"]
    packs = scanned(order, status)
    return {
        "EventNo": event_id, "OrderNo": order["order_id"], "Status": WORDS.get(status, collected),
        "ClaimKey": order["claim_secret"], "Time": at.astimezone(BEIJING).isoformat(timespec="seconds"),
        **({"Cause": CAUSES.get(reason, reason)} if reason else {}), "ReturnedLine": order["returned_lines"],
        "TakeCode": order.get("pickup_code", "") if status is ChainWord.HANDED_OVER else "",
        **({} if packs is None else {"Packs": {"Pack": [{
            "LineNo": pack["line"], "TraceCode": pack["code"], "LotNo": pack["lot"], "MadeOn": pack["made_on"],
            "ExpiresOn": pack["expires_on"], "Units": pack["units"]} for pack in packs]}}),
    }


def written(name: str, value: Any) -> str:
    """An element, or several of the name; `None` is none."""
    if isinstance(value, list):
        return "".join(written(name, each) for each in value)
    inner = "".join(written(*child) for child in value.items()) if isinstance(value, dict) else escape(str(value))
    return f"<j:{name}>{inner}</j:{name}>"


def enveloped(inner: str, status: int = 200) -> Response:
    return Response(f'<?xml version="1.0" encoding="UTF-8"?>\n<soapenv:Envelope xmlns:soapenv="{SOAP}" xmlns:j="{SERVICE}">'
                    f"<soapenv:Body>{inner}</soapenv:Body></soapenv:Envelope>", status, media_type=XML)


def fault(code: str, why: str) -> Response:
    """SOAP 1.1 sends every fault as HTTP 500."""
    return enveloped(f"<soapenv:Fault><faultcode>soapenv:{code}</faultcode><faultstring>{escape(why)}</faultstring>"
                     "</soapenv:Fault>", 500)


def fields(parent: ElementTree.Element) -> Page:
    """What is in an element, by local names."""
    read: Page = {}
    for child in parent:
        name = child.tag.rpartition("}")[2]
        value = fields(child) if len(child) else (child.text or "").strip()
        if name in LISTS:
            read.setdefault(name, []).append(value)
        elif name in read:
            raise Broken(name)
        else:
            read[name] = value
    return read


def called(raw: bytes) -> Wire:
    """The call in an envelope. Raises `Broken` for what is none."""
    try:
        root = ElementTree.fromstring(raw)  # noqa: S314  the platform's own words; expat bounds its entities
    except ElementTree.ParseError:
        raise Broken("Envelope") from None
    body = root.find(f"{{{SOAP}}}Body")
    call = body[0] if body is not None and len(body) == 1 else None
    shape = OPERATIONS.get(call.tag.rpartition("}")[2]) if call is not None else None
    if call is None or shape is None or not call.tag.startswith(f"{{{SERVICE}}}"):
        raise Broken("Body")
    try:
        return shape.model_validate(fields(call))
    except ValidationError as error:
        # Where it is broken, never with what: a value may be a name.
        raise Broken(", ".join("/".join(map(str, problem["loc"])) for problem in error.errors())) from None


class Counter:
    """The operations of the service, over the chain's pharmacy."""

    def __init__(self, pharmacy: Pharmacy, updates: Updates) -> None:
        self.pharmacy = pharmacy
        self.updates = updates

    def answer(self, call: Any) -> Page:
        operations: Mapping[type, Callable[[Any], Page]] = {
            QuoteStock: self.quote_stock, LockStock: self.lock_stock, PlaceOrder: self.place_order, QueryOrder: self.query_order,
            CancelOrder: self.cancel_order, SettleOrder: self.settle_order, PullUpdates: self.pull_updates,
            ConfirmUpdates: self.confirm_updates}
        return operations[type(call)](call)

    def quote_stock(self, call: QuoteStock) -> Page:
        offers = self.pharmacy.quote([(line.DrugCode, line.Quantity) for line in call.Line], call.TakeWay == "HOME",
                                     call.Latitude, call.Longitude)
        return {"Store": [{
            "StoreNo": offer.store.id, "StoreName": offer.store.name,
            "Line": [{"DrugCode": line.drug, "Quantity": line.quantity, "Price": line.unit_price,
                      "Amount": _yuan(line.amount_fen)} for line in offer.lines],
            "Minutes": offer.minutes, "Load": offer.load, "OnTime": offer.store.on_time, "Quality": offer.store.quality,
            "Delivers": str(offer.delivers).lower(), "Open": "true"} for offer in offers]}

    def lock_stock(self, call: LockStock) -> Page:
        order = self.pharmacy.hold(call.OrderNo, call.StoreNo, [line.line_() for line in call.Line])
        return _order(order) | {"ExpireTime": order["expires_at"]}

    def place_order(self, call: PlaceOrder) -> Page:
        return _order(self.pharmacy.order(
            call.OrderNo, call.StoreNo, [line.line_() for line in call.Line], prescription_id=call.PrescriptionNo,
            delivery=call.TakeWay == "HOME", claim_secret=call.ClaimKey, pickup_code_sha256=call.CodeDigest,
            patient_due_fen=int(call.PatientAmount * 100), total_fen=int(call.TotalAmount * 100),
            has_recipient=call.Receiver is not None, package=Package(call.Note, call.Decoction, tuple(
                Slip(label.LineNo, label.DrugName, label.Usage, label.Directions, label.Note, label.Decoction)
                for label in call.Label))))

    def query_order(self, call: QueryOrder) -> Page:
        return _order(self.pharmacy.find(call.OrderNo))

    def cancel_order(self, call: CancelOrder) -> Page:
        return {"BillNo": self.pharmacy.cancel(call.OrderNo, call.Reason)["reference"], "Status": "REVOKED"}

    def settle_order(self, call: SettleOrder) -> Page:
        self.pharmacy.settlement(call.OrderNo, call.SettlementNo, *(
            int(amount * 100) for amount in (call.TotalAmount, call.FundAmount, call.AccountAmount, call.CashAmount)))
        return {}

    def pull_updates(self, call: PullUpdates) -> Page:
        return {"Entry": [{"Position": position, "Update": body} for position, body in self.updates.pull(call.After, call.Max)]}

    def confirm_updates(self, call: ConfirmUpdates) -> Page:
        try:
            self.updates.confirm(call.Position, {each.Position: each.Rule for each in call.Refused})
        except ValueError as error:
            raise Broken(str(error)) from None
        return {}


def make_app(setting: Setting) -> FastAPI:
    book, background = Book(setting.state / "jishi.sqlite"), Background()
    updates = Updates(setting, book, background)
    pharmacy = Pharmacy(CHAIN, setting, book, background, updates, word)
    counter = Counter(pharmacy, updates)

    def key_of(method: str, path: str, body: bytes) -> tuple[str, str]:
        """By operation; a pull is another request when there is something new."""
        operation = next((name for name in OPERATIONS if f":{name}".encode() in body), path)
        news = updates.last if operation == "PullUpdates" else 0
        return operation, f"{operation} {news} {sha256(body).hexdigest()}"

    app = partner_app("jishi", setting, book, pharmacy.show_book, background, pharmacy.resume, key_of)
    credentials = b"Basic " + b64encode(f"sanyi:{setting.secrets['SANDBOX_JISHI_TOKEN']}".encode())

    @app.post(PATH)
    async def service(request: Request) -> Response:
        if not hmac.compare_digest(request.headers.get("authorization", "").encode(), credentials):
            return Response(status_code=401)
        try:
            call = called(await request.body())
            page = {"Code": "0", "Message": "成功"} | counter.answer(call)
        except Broken as broken:
            return fault("Client", broken.path)
        except No as no:
            code, words = CODES[no.code]
            page = {"Code": code, "Message": words}
        return enveloped(written(f"{type(call).__name__}Response", page))

    @app.post("/counter/pickup")
    async def pickup(request: PickupRequest) -> Response:
        try:
            pharmacy.pick_up(request.order_id, request.code)
        except No as no:
            return Response(f'{{"error": {{"code": "{no.code}"}}}}', 409, media_type="application/json")
        return Response('{"status": "handed_over"}', media_type="application/json")

    return app


def _order(order: Document) -> Page:
    return {"BillNo": order["reference"], "Status": WORDS.get(order["status"], "COLLECTED")}


def _yuan(amount_fen: int) -> str:
    return f"{Decimal(amount_fen) / 100:.2f}"


if __name__ == "__main__":
    run("jishi", make_app, urls={"gateway": "not used: the platform asks"}, secrets={
        "SANDBOX_JISHI_TOKEN": "password of the account `sanyi`, which the platform calls us with",
    })

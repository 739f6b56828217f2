"""百草示范药房: camelCase, yuan text, Chinese words, one envelope, says yes at once (contracts 2.3)."""

import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from domain.chains import ChainWord
from sandbox.ankang import PickupRequest
from sandbox.book import Book, Document
from sandbox.callbacks import Callbacks
from sandbox.chain import Broken, Chain, Line, No, Package, Slip, Store
from sandbox.partner import Background, Setting, partner_app, run
from sandbox.pharmacy import Pharmacy, scanned
from sandbox.plan import RECALLED

BEIJING = timezone(timedelta(hours=8))

SHELF = dict.fromkeys(("D001", "D010", "D018", "D032", "D048", "D065", "D072", "D081", "D082", "D086", "D106",
                       "D187"), 200_000)

CHAIN = Chain(
    slug="baicao",
    prefix="BC",
    stores=(
        Store("BC07", "百草示范药房七里店", 36.68, 117.06, SHELF | {"D074": 50_000, RECALLED: 50_000}, on_time="0.93"),
        Store("BC12", "百草示范药房长清店", 36.56, 116.75, SHELF, on_time="0.95", quality="0.98"),
    ),
    prices={drug: Decimal(price) for drug, price in {
        "D001": "0.30", RECALLED: "0.44", "D010": "0.31", "D018": "4.05", "D032": "0.80", "D048": "1.98", "D065": "1.30",
        "D072": "1.48", "D074": "0.54",
        "D081": "0.32", "D082": "2.60", "D086": "3.10", "D106": "0.30", "D187": "26.80"}.items()},
    accepts_later=False,
    habits={"D106": "return", "D072": "return", RECALLED: "recall"},
    detour_minutes={"D082": 25, "D086": 25},
)

WORDS = {
    ChainWord.HELD: "已预占", ChainWord.ORDERED: "已下单", ChainWord.ACCEPTED: "已接单",
    ChainWord.PREPARED: "已备药", ChainWord.IN_DELIVERY: "配送中", ChainWord.DECLINED: "拒单",
    ChainWord.CANCELLED: "已取消", ChainWord.RETURNED: "已退药",
}
CAUSES = {"out_of_stock": "无库存", "closed": "已打烊", "quality": "质量问题", "": ""}
CODES = {
    "out_of_stock": (4001, "无库存"), "closed": (4002, "已打烊"), "hold_expired": (4003, "预占过期"),
    "handed_over": (4004, "已取药"), "in_delivery": (4005, "配送中"), "unknown_order": (4040, "无此订单"),
}


class Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Wanted(Wire):
    drugCode: str
    qty: Decimal
    unit: str


class RecalledLot(Wire):
    drug: str
    lot: str


class QuoteRequest(Wire):
    items: list[Wanted] = Field(min_length=1)
    takeWay: Literal["自提", "配送"]
    area: str
    lat: float
    lng: float


class ReservedItem(Wire):
    lineNo: int
    drugCode: str
    qty: Decimal
    price: Decimal
    amt: Decimal

    def line_(self) -> Line:
        return Line(self.lineNo, self.drugCode, self.qty, self.price, fen(self.amt))


class ReserveRequest(Wire):
    orderNo: str = Field(min_length=1)
    shopNo: str
    items: list[ReservedItem] = Field(min_length=1)


class Receiver(Wire):
    name: str = Field(min_length=1)
    mobile: str = Field(min_length=1)
    addr: str = Field(min_length=1)


class Label(Wire):
    lineNo: int
    drugName: str = Field(min_length=1)
    usage: str = Field(min_length=1)
    directions: str
    note: str
    decoctMark: str

    def slip(self) -> Slip:
        return Slip(self.lineNo, self.drugName, self.usage, self.directions, self.note, self.decoctMark)


class Usage(Wire):
    rxNote: str
    decoctWay: str
    labels: list[Label] = Field(min_length=1)


class OrderRequest(ReserveRequest):
    rxNo: str
    takeWay: Literal["自提", "配送"]
    claimKey: str
    codeDigest: str = ""
    selfPayAmt: Decimal = Field(ge=0)
    totalAmt: Decimal = Field(ge=0)
    usage: Usage
    receiver: Receiver | None = None


class QueryRequest(Wire):
    orderNo: str


class CancelRequest(Wire):
    orderNo: str
    cause: str


class SettleRequest(Wire):
    orderNo: str
    setlId: str
    totalAmt: Decimal
    fundAmt: Decimal
    acctAmt: Decimal
    cashAmt: Decimal


def fen(amount: Decimal) -> int:
    """Yuan as fen. Raises `Broken` for a fraction of a fen."""
    if amount * 100 != (amount * 100).to_integral_value():
        raise Broken("amt")
    return int(amount * 100)


def good(data: dict[str, Any]) -> dict[str, Any]:
    return {"code": 0, "msg": "成功", "data": data}


def state(order: Document) -> str:
    """Where an order is, in the chain's words: picked up at the counter and received at the door differ."""
    status = ChainWord(order["status"])
    if status is ChainWord.HANDED_OVER:
        return "已签收" if order["delivery"] else "已取药"
    return WORDS[status]


def word(order: Document, status: ChainWord, event_id: str, at: datetime) -> Document:
    """A callback body in the chain's own words."""
    return {
        "eventNo": event_id, "orderNo": order["order_id"], "state": state(order | {"status": status}),
        "claimKey": order["claim_secret"], "time": f"{at.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}",
        "cause": CAUSES.get(order["reason"], order["reason"]),
        "lineNos": order["returned_lines"],
        "takeCode": order.get("pickup_code", "") if status is ChainWord.HANDED_OVER else "",
    } | ({} if (packs := scanned(order, status)) is None else {"traceCodes": [
        {"lineNo": pack["line"], "traceCode": pack["code"], "batchNo": pack["lot"], "prodDate": pack["made_on"],
         "validTo": pack["expires_on"], "qty": pack["units"]} for pack in packs]})


def news(store: str, drugs: Sequence[str], event_id: str, at: datetime) -> Document:
    """A callback about a shelf that was filled."""
    return {"eventNo": event_id, "shopNo": store, "drugCodes": list(drugs), "time": f"{at.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}"}


def make_app(setting: Setting) -> FastAPI:
    book, background = Book(setting.state / "baicao.sqlite"), Background()
    callbacks = Callbacks(f"{setting.urls['gateway']}/callbacks/baicao", setting.secrets["SANDBOX_BAICAO_SECRET"],
                          setting, book, background)
    pharmacy = Pharmacy(CHAIN, setting, book, background, callbacks, word, news)
    app = partner_app("baicao", setting, book, pharmacy.show_book, background, pharmacy.resume)
    key = setting.secrets["SANDBOX_BAICAO_KEY"]

    def signed_in(x_api_key: Annotated[str, Header()] = "") -> None:
        if not hmac.compare_digest(x_api_key.encode(), key.encode()):
            raise HTTPException(401, "unauthorized")

    @app.exception_handler(No)
    async def no(_: Request, error: No) -> JSONResponse:
        code, message = CODES.get(error.code, (4000, error.code))
        return JSONResponse({"code": code, "msg": message, "data": {}})

    @app.exception_handler(Broken)
    async def broken(_: Request, error: Broken) -> JSONResponse:
        return JSONResponse({"code": 4000, "msg": f"参数错误: {error.path}", "data": {}})

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        paths = ", ".join("/".join(map(str, problem["loc"])) for problem in error.errors())
        return JSONResponse({"code": 4000, "msg": f"参数错误: {paths}", "data": {}})

    guarded = [Depends(signed_in)]

    @app.post("/api/quote", dependencies=guarded)
    async def quote(request: QuoteRequest) -> dict[str, Any]:
        offers = pharmacy.quote([(item.drugCode, item.qty) for item in request.items], request.takeWay == "配送",
                                request.lat, request.lng)
        return good({"shops": [{
            "shopNo": offer.store.id, "shopName": offer.store.name,
            "items": [{"drugCode": line.drug, "qty": str(line.quantity), "price": str(line.unit_price),
                       "amt": f"{Decimal(line.amount_fen) / 100:.2f}"} for line in offer.lines],
            "etaMinutes": offer.minutes, "busyRate": offer.load, "punctualRate": offer.store.on_time,
            "scoreRate": offer.store.quality, "canDeliver": "是" if offer.store.delivers else "否",
            "businessFlag": "营业",
        } for offer in offers]})

    @app.post("/api/reserve", dependencies=guarded)
    async def reserve(request: ReserveRequest) -> dict[str, Any]:
        order = pharmacy.hold(request.orderNo, request.shopNo, [item.line_() for item in request.items])
        expires = datetime.fromisoformat(order["expires_at"]).astimezone(BEIJING)
        return good({"bizNo": order["reference"], "state": state(order), "expireTime": f"{expires:%Y-%m-%d %H:%M:%S}"})

    @app.post("/api/order", dependencies=guarded)
    async def place(request: OrderRequest) -> dict[str, Any]:
        order = pharmacy.order(
            request.orderNo, request.shopNo, [item.line_() for item in request.items], prescription_id=request.rxNo,
            delivery=request.takeWay == "配送", claim_secret=request.claimKey, pickup_code_sha256=request.codeDigest,
            patient_due_fen=fen(request.selfPayAmt), total_fen=fen(request.totalAmt),
            has_recipient=request.receiver is not None, package=Package(
                request.usage.rxNote, request.usage.decoctWay, tuple(label.slip() for label in request.usage.labels)))
        return good({"bizNo": order["reference"], "state": state(order)})

    @app.post("/api/order/query", dependencies=guarded)
    async def query(request: QueryRequest) -> dict[str, Any]:
        order = pharmacy.find(request.orderNo)
        return good({"bizNo": order["reference"], "state": state(order)})

    @app.post("/api/order/cancel", dependencies=guarded)
    async def cancel(request: CancelRequest) -> dict[str, Any]:
        return good({"bizNo": pharmacy.cancel(request.orderNo, request.cause)["reference"], "state": "已取消"})

    @app.post("/api/order/settle", dependencies=guarded)
    async def settle(request: SettleRequest) -> dict[str, Any]:
        pharmacy.settlement(request.orderNo, request.setlId, fen(request.totalAmt), fen(request.fundAmt), fen(request.acctAmt),
                            fen(request.cashAmt))
        return good({})

    @app.post("/sandbox/recall")
    async def recall(lot: RecalledLot) -> dict[str, list[str]]:
        # Not the platform's wire either: the operator calls the pharmacy.
        return {"orders": pharmacy.recall(lot.drug, lot.lot)}

    @app.post("/counter/pickup")
    async def counter(request: PickupRequest) -> JSONResponse:
        # Not the platform's wire: the same counter as everywhere in the sandbox.
        try:
            return JSONResponse({"status": pharmacy.pick_up(request.order_id, request.code)["status"]})
        except No as error:
            return JSONResponse({"error": {"code": error.code, "message": error.code}}, 409)

    return app


if __name__ == "__main__":
    run("baicao", make_app, urls={"gateway": "address of the platform's gateway"}, secrets={
        "SANDBOX_BAICAO_KEY": "key the platform calls us with",
        "SANDBOX_BAICAO_SECRET": "secret our callbacks are signed with",
    })

"""安康示范连锁: snake_case, whole fen, English words, says yes later (contracts 2.2)."""

import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from types import MappingProxyType
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from domain.chains import ChainWord
from sandbox.book import Book, Document
from sandbox.callbacks import Callbacks
from sandbox.chain import Broken, Chain, Line, No, Package, Slip, Store
from sandbox.partner import Background, Setting, partner_app, run
from sandbox.pharmacy import Pharmacy, scanned
from sandbox.plan import INSTEAD
from sandbox.webhooks import Webhooks

SHELF = dict.fromkeys(("D001", "D010", "D018", "D032", "D048", "D065", "D072", "D081", "D106", "D187"), 200_000)

CHAIN = Chain(
    slug="ankang",
    prefix="AK",
    stores=(
        Store("AK01", "安康示范药房一店", 36.67, 117.03,
              SHELF | {"D086": 50_000, "D082": 50_000, "D054": 50_000, "D041": 50_000, "D090": 14}, on_time="0.96", quality="0.98"),
        Store("AK02", "安康示范药房二店", 36.63, 117.10, SHELF, delivers=False, on_time="0.94"),
    ),
    prices={drug: Decimal(price) for drug, price in {
        "D001": "0.3100", "D010": "0.3000", "D018": "4.1133", "D032": "0.7900", "D041": "0.4100", "D048": "1.9500",
        "D054": "6.1000", "D090": "0.8800",
        "D065": "1.3200", "D072": "1.4500", "D081": "0.3267", "D082": "2.2000", "D086": "2.6000", "D106": "0.2900",
        "D187": "26.5000"}.items()},
    accepts_later=True,
    refills={"D090": 14},
    instead=INSTEAD,
    habits={"D086": "decline", "D082": "silent", "D054": "silent", "D106": "return", "D072": "return"},
)


class Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Wanted(Wire):
    drug: str
    quantity: Decimal
    unit: str


class Place(Wire):
    district: str
    latitude: float
    longitude: float


class QuoteRequest(Wire):
    lines: list[Wanted] = Field(min_length=1)
    handover: Literal["pickup", "home"]
    place: Place


class OrderedLine(Wire):
    line: int
    drug: str
    quantity: Decimal
    unit_price: Decimal
    amount_fen: int

    def line_(self) -> Line:
        return Line(self.line, self.drug, self.quantity, self.unit_price, self.amount_fen)


class HoldRequest(Wire):
    order_id: str = Field(min_length=1)
    store_id: str
    lines: list[OrderedLine] = Field(min_length=1)


class Recipient(Wire):
    name: str = Field(min_length=1)
    phone: str = Field(min_length=1)
    address: str = Field(min_length=1)


class Label(Wire):
    line: int
    name: str = Field(min_length=1)
    usage: str = Field(min_length=1)
    directions: str
    note: str
    decoction: str


class Instructions(Wire):
    note: str
    decoction: str
    labels: list[Label] = Field(min_length=1)


class OrderRequest(HoldRequest):
    prescription_id: str
    handover: Literal["pickup", "home"]
    claim_secret: str
    pickup_code_sha256: str = ""
    patient_due_fen: int = Field(ge=0)
    total_fen: int = Field(ge=0)
    instructions: Instructions
    recipient: Recipient | None = None


class CancelRequest(Wire):
    reason: str


class SettlementRequest(Wire):
    settlement_id: str
    total_fen: int
    fund_fen: int
    account_fen: int
    cash_fen: int


class PickupRequest(Wire):
    order_id: str
    code: str


def word(words: Mapping[ChainWord, str], order: Document, status: ChainWord, event_id: str, at: datetime) -> Document:
    """A callback body in the chain's own words."""
    return {
        "event_id": event_id, "order_id": order["order_id"], "status": words.get(status, status.value),
        "claim_secret": order["claim_secret"], "at": at.isoformat(timespec="seconds"),
        "reason": order["reason"], "lines": order["returned_lines"],
        "pickup_code": order.get("pickup_code", "") if status is ChainWord.HANDED_OVER else "",
    } | ({} if (packs := scanned(order, status)) is None else {"traces": packs})


def news(store: str, drugs: Sequence[str], event_id: str, at: datetime) -> Document:
    """A callback about a shelf that was filled."""
    return {"event_id": event_id, "store_id": store, "drugs": list(drugs), "at": at.isoformat(timespec="seconds")}


def make_app(setting: Setting, chain: Chain = CHAIN, words: Mapping[ChainWord, str] = MappingProxyType({})) -> FastAPI:
    """The chain, or another one on the same software: `words` are those of its status words that are not ours."""
    book, background = Book(setting.state / f"{chain.slug}.sqlite"), Background()
    name = f"SANDBOX_{chain.slug.upper()}"
    callbacks = Callbacks(f"{setting.urls['gateway']}/callbacks/{chain.slug}", setting.secrets[f"{name}_SECRET"],
                          setting, book, background)
    pharmacy = Pharmacy(chain, setting, book, background, callbacks, partial(word, words), news)
    webhooks = Webhooks(chain.slug, setting, book, background)

    def show_book() -> Document:
        return pharmacy.show_book() | ({"webhooks": webhooks.show()} if webhooks.wanted else {})

    def resume() -> None:
        pharmacy.resume()
        webhooks.resume()

    app = partner_app(chain.slug, setting, book, show_book, background, resume)
    token = f"Bearer {setting.secrets[f'{name}_TOKEN']}"

    def stands(order: Document) -> dict[str, Any]:
        return {"reference": order["reference"], "status": words.get(order["status"], order["status"])}

    def signed_in(authorization: Annotated[str, Header()] = "") -> None:
        if not hmac.compare_digest(authorization.encode(), token.encode()):
            raise HTTPException(401, "unauthorized")

    @app.exception_handler(No)
    async def no(_: Request, error: No) -> JSONResponse:
        return JSONResponse({"error": {"code": error.code, "message": error.code}}, 409)

    @app.exception_handler(Broken)
    async def broken(_: Request, error: Broken) -> JSONResponse:
        return JSONResponse({"error": {"code": "broken_request", "message": error.path}}, 400)

    guarded = [Depends(signed_in)]

    @app.post("/v1/quotes", dependencies=guarded)
    async def quotes(request: QuoteRequest) -> dict[str, Any]:
        offers = pharmacy.quote([(line.drug, line.quantity) for line in request.lines], request.handover == "home",
                                request.place.latitude, request.place.longitude)
        return {"quotes": [{
            "store_id": offer.store.id, "store_name": offer.store.name,
            "lines": [{"drug": line.drug, "quantity": str(line.quantity), "unit_price": str(line.unit_price),
                       "amount_fen": line.amount_fen} | ({"instead_of": line.instead_of} if line.instead_of else {})
                      for line in offer.lines],
            "minutes": offer.minutes, "load": offer.load, "on_time": offer.store.on_time,
            "quality": offer.store.quality, "delivers": offer.delivers, "open": True,
        } for offer in offers]}

    @app.post("/v1/holds", dependencies=guarded)
    async def holds(request: HoldRequest) -> dict[str, Any]:
        order = pharmacy.hold(request.order_id, request.store_id, [line.line_() for line in request.lines])
        return stands(order) | {"expires_at": order["expires_at"]}

    @app.post("/v1/orders", dependencies=guarded)
    async def orders(request: OrderRequest) -> dict[str, Any]:
        order = pharmacy.order(
            request.order_id, request.store_id, [line.line_() for line in request.lines],
            prescription_id=request.prescription_id, delivery=request.handover == "home", claim_secret=request.claim_secret,
            pickup_code_sha256=request.pickup_code_sha256, patient_due_fen=request.patient_due_fen,
            total_fen=request.total_fen, has_recipient=request.recipient is not None, package=Package(
                request.instructions.note, request.instructions.decoction,
                tuple(Slip(**label.model_dump()) for label in request.instructions.labels)))
        return stands(order)

    @app.get("/v1/orders/{order_id}", dependencies=guarded)
    async def find(order_id: str) -> JSONResponse:
        try:
            order = pharmacy.find(order_id)
        except No:
            return JSONResponse({"error": {"code": "unknown_order", "message": "unknown_order"}}, 404)
        return JSONResponse(stands(order))

    @app.post("/v1/orders/{order_id}/cancel", dependencies=guarded)
    async def cancel(order_id: str, request: CancelRequest) -> dict[str, Any]:
        return stands(pharmacy.cancel(order_id, request.reason) | {"status": ChainWord.CANCELLED})

    @app.post("/v1/orders/{order_id}/settlement", dependencies=guarded, status_code=204)
    async def settlement(order_id: str, request: SettlementRequest) -> Response:
        pharmacy.settlement(order_id, **request.model_dump())
        return Response(status_code=204)

    @app.post("/webhooks")
    async def take_webhook(request: Request) -> Response:
        return Response(status_code=await webhooks.receive(dict(request.headers), await request.body()))

    @app.post("/counter/pickup")
    async def counter(request: PickupRequest) -> dict[str, Any]:
        return {"status": pharmacy.pick_up(request.order_id, request.code)["status"]}

    return app


if __name__ == "__main__":
    run("ankang", make_app, urls={"gateway": "address of the platform's gateway"}, secrets={
        "SANDBOX_ANKANG_TOKEN": "bearer token the platform calls us with",
        "SANDBOX_ANKANG_SECRET": "secret our callbacks are signed with",
        "SANDBOX_ANKANG_WEBHOOK_": "keys of the platform's webhooks, NEW and OLD; without them we want none",
    })

"""Between our words and Baicao's. Pure: bytes and facts in, bytes and facts out."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from adapters.chains.wire import (
    MOST_DRUGS,
    Code,
    Day,
    Identifier,
    Lot,
    Number,
    Price,
    Wire,
    Word,
    Yuan,
    cancelled,
    checked,
    finding,
    offers,
    quoted_lines,
    read,
    receipt,
    scans,
    status_of,
)
from domain.chains import (
    ChainWord,
    Instructions,
    Offers,
    OrderLine,
    OrderUpdate,
    PharmacyOrder,
    Quote,
    Receipt,
    SettlementNotice,
    StockNotice,
)
from domain.findings import Finding
from domain.money import fen, yuan
from domain.prescription import Handover, Place
from domain.trace import Scan

BEIJING = timezone(timedelta(hours=8))

_TAKE_WAY = {Handover.PICKUP: "自提", Handover.HOME: "配送"}
_CAN_DELIVER = {"是": True, "否": False}
_IN_BUSINESS = {"营业": True, "打烊": False, "已打烊": False, "休息": False}


def quote_body(lines: Sequence[OrderLine], handover: Handover, place: Place) -> bytes:
    """`POST /api/quote`."""
    return _json(
        {
            "items": [{"drugCode": it.drug, "qty": _decimal(it.quantity), "unit": it.unit} for it in lines],
            "takeWay": _TAKE_WAY[handover],
            "area": place.district,
            "lat": _decimal(place.latitude),
            "lng": _decimal(place.longitude),
        }
    )


def reserve_body(order: PharmacyOrder) -> bytes:
    """`POST /api/reserve`."""
    return _json(_reserve(order))


def order_body(order: PharmacyOrder) -> bytes:
    """`POST /api/order`, with what the package must say. The receiver goes along for home delivery only."""
    body: dict[str, object] = {
        **_reserve(order),
        "rxNo": order.prescription_id,
        "takeWay": _TAKE_WAY[order.handover],
        "claimKey": order.claim_secret,
        "codeDigest": order.pickup_code_sha256,
        "selfPayAmt": yuan(order.patient_due),
        "totalAmt": yuan(order.total),
        "usage": _usage(order.instructions),
    }
    if order.handover is Handover.HOME:
        body["receiver"] = {
            "name": order.recipient.get("name", ""),
            "mobile": order.recipient.get("phone", ""),
            "addr": order.recipient.get("address", ""),
        }
    return _json(body)


def query_body(order_id: str) -> bytes:
    """`POST /api/order/query`."""
    return _json({"orderNo": order_id})


def cancel_body(order_id: str, reason: str) -> bytes:
    """`POST /api/order/cancel`."""
    return _json({"orderNo": order_id, "cause": reason})


def settle_body(notice: SettlementNotice) -> bytes:
    """`POST /api/order/settle`."""
    return _json(
        {
            "orderNo": notice.order_id,
            "setlId": notice.settlement_id,
            "totalAmt": yuan(notice.total),
            "fundAmt": yuan(notice.fund),
            "acctAmt": yuan(notice.account),
            "cashAmt": yuan(notice.cash),
        }
    )


def parse_envelope(body: bytes) -> tuple[int, bytes]:
    """Their code, and the data as JSON again. Raises `InvalidPayload`."""
    row = read(_Envelope, body)
    return row.code, _json(row.data)


def parse_quotes(chain: str, data: bytes, order_lines: Sequence[OrderLine], handover: Handover) -> Offers:
    """The shops' offers, and the rows that are none. Raises `InvalidPayload` for an answer without rows."""

    def offer(row: _Shop, where: str) -> tuple[Quote, list[Finding]]:
        lines, faults = quoted_lines(order_lines, row.items, f"{where}.items")
        if row.can_deliver not in _CAN_DELIVER:
            faults.append(finding("CHN-04", f"{where}.canDeliver"))
        if row.business_flag not in _IN_BUSINESS:
            faults.append(finding("CHN-04", f"{where}.businessFlag"))
        return Quote(
            chain=chain,
            store=row.shop_no,
            lines=tuple(lines),
            minutes=row.eta_minutes,
            load=min(row.busy_rate, Decimal(1)),
            on_time=row.punctual_rate,
            quality=row.score_rate,
            delivers=handover is Handover.PICKUP or _CAN_DELIVER.get(row.can_deliver, False),
            open=_IN_BUSINESS.get(row.business_flag, False),
        ), faults

    return offers(read(_Shops, data).shops, "data.shops", _Shop, "shopNo", offer)


def parse_receipt(data: bytes, words: Mapping[str, ChainWord]) -> Receipt:
    """Their number and where the order stands. Raises `InvalidPayload`."""
    row = read(_Receipt, data)
    return receipt(row.biz_no, status_of(row.state, words, "data.state"))


def parse_cancel(data: bytes, words: Mapping[str, ChainWord]) -> Receipt:
    """The answer to a cancel. Raises `InvalidPayload`."""
    return cancelled(parse_receipt(data, words), "data.state")


def parse_update(body: bytes, words: Mapping[str, ChainWord], causes: Mapping[str, str]) -> OrderUpdate:
    """A callback in our words; a cause that is not in the list is `other`. Raises `InvalidPayload`."""
    row = read(_Update, body)
    update = OrderUpdate(
        event_id=row.event_no,
        order_id=row.order_no,
        status=status_of(row.state, words, "state"),
        claim_secret=row.claim_key,
        at=row.time,
        reason=causes.get(row.cause, "other") if row.cause else "",
        lines=row.line_nos,
        pickup_code=row.take_code,
        traces=scans(row.traces, _Pack),
    )
    return checked(update, "eventNo", "lineNos")


def _beijing(value: object) -> datetime:
    if not isinstance(value, str):
        raise ValueError("a time travels as text")
    return datetime.strptime(value, "%Y-%m-%d %H:%M:%S").replace(tzinfo=BEIJING)


BeijingTime = Annotated[datetime, BeforeValidator(_beijing)]


def parse_stock(body: bytes) -> StockNotice:
    """A callback about a shop's shelf. Raises `InvalidPayload`."""
    row = read(_Stock, body)
    return StockNotice(row.event_no, row.shop_no, row.drug_codes)


class _Stock(Wire):
    event_no: Identifier = Field(alias="eventNo")
    shop_no: Identifier = Field(alias="shopNo")
    drug_codes: tuple[Word, ...] = Field(alias="drugCodes", min_length=1, max_length=MOST_DRUGS)
    time: BeijingTime


class _Envelope(Wire):
    code: int = Field(strict=True)
    data: Any = None


class _ShopItem(Wire):
    drug: Word = Field(alias="drugCode")
    quantity: Number = Field(alias="qty")
    price: Price
    amount: Yuan = Field(alias="amt")
    prescribed: Code = Field(alias="insteadOf", default="")

    @property
    def as_quoted(self) -> tuple[str, Decimal, Decimal, int]:
        return self.drug, self.quantity, self.price, fen(self.amount)


class _Shop(Wire):
    shop_no: Word = Field(alias="shopNo")
    items: list[_ShopItem]
    eta_minutes: int = Field(alias="etaMinutes", strict=True, ge=0)
    busy_rate: Number = Field(alias="busyRate")
    punctual_rate: Number = Field(alias="punctualRate", le=1)
    score_rate: Number = Field(alias="scoreRate", le=1)
    can_deliver: str = Field(alias="canDeliver")
    business_flag: str = Field(alias="businessFlag")


class _Shops(Wire):
    shops: list[Any]


class _Receipt(Wire):
    biz_no: Word = Field(alias="bizNo")
    state: Word


class _Update(Wire):
    event_no: Word = Field(alias="eventNo")
    order_no: Word = Field(alias="orderNo")
    state: Word
    claim_key: str = Field(alias="claimKey")
    time: BeijingTime
    cause: Code = ""
    line_nos: tuple[int, ...] = Field(alias="lineNos", default=())
    take_code: Code = Field(alias="takeCode", default="")
    traces: Any = Field(alias="traceCodes", default=None)


class _Pack(Wire):
    line: int = Field(alias="lineNo", strict=True)
    code: Code = Field(alias="traceCode")
    lot: Lot = Field(alias="batchNo")
    made_on: Day | None = Field(alias="prodDate", default=None)
    expires_on: Day | None = Field(alias="validTo", default=None)
    units: int = Field(alias="qty", strict=True)

    @property
    def as_scanned(self) -> Scan:
        return Scan(self.line, self.code, self.lot, self.made_on, self.expires_on, self.units)


def _reserve(order: PharmacyOrder) -> dict[str, object]:
    return {
        "orderNo": order.id,
        "shopNo": order.store,
        "items": [
            {
                "lineNo": it.line,
                "drugCode": it.drug,
                "qty": _decimal(it.quantity),
                "price": _decimal(it.unit_price),
                "amt": yuan(it.amount),
            }
            for it in order.lines
        ],
    }


def _usage(instructions: Instructions) -> dict[str, object]:
    return {
        "rxNote": instructions.note,
        "decoctWay": instructions.decoction,
        "labels": [
            {
                "lineNo": it.line,
                "drugName": it.name,
                "usage": it.usage,
                "directions": it.directions,
                "note": it.note,
                "decoctMark": it.decoction,
            }
            for it in instructions.labels
        ],
    }


def _decimal(value: Decimal) -> str:
    return format(value, "f")


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()

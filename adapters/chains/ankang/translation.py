"""Between our words and Ankang's. Pure: bytes and facts in, bytes and facts out."""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from pydantic import AwareDatetime, Field

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
    cancelled,
    checked,
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
from domain.prescription import Handover, Place
from domain.trace import Scan


def quote_body(lines: Sequence[OrderLine], handover: Handover, place: Place) -> bytes:
    """`POST /v1/quotes`."""
    return _json(
        {
            "lines": [{"drug": it.drug, "quantity": _decimal(it.quantity), "unit": it.unit} for it in lines],
            "handover": handover.value,
            "place": {
                "district": place.district,
                "latitude": _decimal(place.latitude),
                "longitude": _decimal(place.longitude),
            },
        }
    )


def hold_body(order: PharmacyOrder) -> bytes:
    """`POST /v1/holds`."""
    return _json(_hold(order))


def order_body(order: PharmacyOrder) -> bytes:
    """`POST /v1/orders`, with what the package must say. The recipient goes along for home delivery only."""
    body: dict[str, object] = {
        **_hold(order),
        "prescription_id": order.prescription_id,
        "handover": order.handover.value,
        "claim_secret": order.claim_secret,
        "pickup_code_sha256": order.pickup_code_sha256,
        "patient_due_fen": order.patient_due,
        "total_fen": order.total,
        "instructions": _instructions(order.instructions),
    }
    if order.handover is Handover.HOME:
        body["recipient"] = {key: order.recipient.get(key, "") for key in ("name", "phone", "address")}
    return _json(body)


def cancel_body(reason: str) -> bytes:
    """`POST /v1/orders/{order_id}/cancel`."""
    return _json({"reason": reason})


def settlement_body(notice: SettlementNotice) -> bytes:
    """`POST /v1/orders/{order_id}/settlement`."""
    return _json(
        {
            "settlement_id": notice.settlement_id,
            "total_fen": notice.total,
            "fund_fen": notice.fund,
            "account_fen": notice.account,
            "cash_fen": notice.cash,
        }
    )


def parse_quotes(chain: str, body: bytes, order_lines: Sequence[OrderLine], handover: Handover) -> Offers:
    """The stores' offers, and the rows that are none. Raises `InvalidPayload` for an answer without rows."""

    def offer(row: _Quote, where: str) -> tuple[Quote, list[Finding]]:
        lines, faults = quoted_lines(order_lines, row.lines, f"{where}.lines")
        return Quote(
            chain=chain,
            store=row.store_id,
            lines=tuple(lines),
            minutes=row.minutes,
            load=min(row.load, Decimal(1)),
            on_time=row.on_time,
            quality=row.quality,
            delivers=row.delivers or handover is Handover.PICKUP,
            open=row.open,
        ), faults

    return offers(read(_Quotes, body).quotes, "quotes", _Quote, "store_id", offer)


def parse_receipt(body: bytes, words: Mapping[str, ChainWord]) -> Receipt:
    """Their reference and where the order stands. Raises `InvalidPayload`."""
    row = read(_Receipt, body)
    return receipt(row.reference, status_of(row.status, words, "status"))


def parse_cancel(body: bytes, words: Mapping[str, ChainWord]) -> Receipt:
    """The answer to a cancel. Raises `InvalidPayload`."""
    return cancelled(parse_receipt(body, words), "status")


def parse_error(body: bytes) -> str:
    """Their code for a business no. Raises `InvalidPayload`."""
    return read(_Error, body).error.code


def parse_update(body: bytes, words: Mapping[str, ChainWord]) -> OrderUpdate:
    """A callback in our words. Raises `InvalidPayload`."""
    row = read(_Update, body)
    update = OrderUpdate(
        event_id=row.event_id,
        order_id=row.order_id,
        status=status_of(row.status, words, "status"),
        claim_secret=row.claim_secret,
        at=row.at,
        reason=row.reason,
        lines=row.lines,
        pickup_code=row.pickup_code,
        traces=scans(row.traces, _Pack),
    )
    return checked(update, "event_id", "lines")


def parse_stock(body: bytes) -> StockNotice:
    """A callback about a store's shelf. Raises `InvalidPayload`."""
    row = read(_Stock, body)
    return StockNotice(row.event_id, row.store_id, row.drugs)


class _QuoteLine(Wire):
    drug: Word
    quantity: Number
    unit_price: Price
    amount_fen: int = Field(strict=True, ge=0)
    prescribed: Code = Field(alias="instead_of", default="")

    @property
    def as_quoted(self) -> tuple[str, Decimal, Decimal, int]:
        return self.drug, self.quantity, self.unit_price, self.amount_fen


class _Quote(Wire):
    store_id: Word
    lines: list[_QuoteLine]
    minutes: int = Field(strict=True, ge=0)
    load: Number
    on_time: Number = Field(le=1)
    quality: Number = Field(le=1)
    delivers: bool = Field(strict=True)
    open: bool = Field(strict=True)


class _Quotes(Wire):
    quotes: list[Any]


class _Receipt(Wire):
    reference: Word
    status: Word


class _Refusal(Wire):
    code: Word


class _Error(Wire):
    error: _Refusal


class _Stock(Wire):
    event_id: Identifier
    store_id: Identifier
    drugs: tuple[Word, ...] = Field(min_length=1, max_length=MOST_DRUGS)
    at: AwareDatetime


class _Update(Wire):
    event_id: Word
    order_id: Word
    status: Word
    claim_secret: str
    at: AwareDatetime
    reason: Code = ""
    lines: tuple[int, ...] = ()
    pickup_code: Code = ""
    traces: Any = None


class _Pack(Wire):
    line: int = Field(strict=True)
    code: Code
    lot: Lot
    made_on: Day | None = None
    expires_on: Day | None = None
    units: int = Field(strict=True)

    @property
    def as_scanned(self) -> Scan:
        return Scan(self.line, self.code, self.lot, self.made_on, self.expires_on, self.units)


def _hold(order: PharmacyOrder) -> dict[str, object]:
    return {
        "order_id": order.id,
        "store_id": order.store,
        "lines": [
            {
                "line": it.line,
                "drug": it.drug,
                "quantity": _decimal(it.quantity),
                "unit_price": _decimal(it.unit_price),
                "amount_fen": it.amount,
            }
            for it in order.lines
        ],
    }


def _instructions(instructions: Instructions) -> dict[str, object]:
    return {
        "note": instructions.note,
        "decoction": instructions.decoction,
        "labels": [
            {
                "line": it.line,
                "name": it.name,
                "usage": it.usage,
                "directions": it.directions,
                "note": it.note,
                "decoction": it.decoction,
            }
            for it in instructions.labels
        ],
    }


def _decimal(value: Decimal) -> str:
    return format(value, "f")


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()

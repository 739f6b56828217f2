"""Between our words and Jishi's. Pure: facts in, fields of an envelope out, and back."""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AwareDatetime, BeforeValidator, Field

from adapters.chains import soap
from adapters.chains.soap import Value
from adapters.chains.wire import (
    Code,
    Count,
    Day,
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
    read_row,
    receipt,
    scans,
    status_of,
)
from adapters.xml import Element, local
from domain.chains import ChainWord, Offers, OrderLine, OrderUpdate, PharmacyOrder, Quote, Receipt, SettlementNotice
from domain.errors import InvalidPayload
from domain.findings import Finding
from domain.money import fen, yuan
from domain.prescription import Handover, Place
from domain.trace import Scan

NAMESPACE = "urn:jishi:pharmacy:1"
LISTS = frozenset({"Store", "Line", "Entry", "ReturnedLine", "Pack"})
"""Elements that may come several times."""

_TAKE_WAY = {Handover.PICKUP: "SELF", Handover.HOME: "HOME"}
_FLAG = {"true": True, "1": True, "false": False, "0": False}
"""The four writings of xsd:boolean."""
_DONE = "0"


def quote_fields(lines: Sequence[OrderLine], handover: Handover, place: Place) -> Mapping[str, Value]:
    """`QuoteStock`."""
    return {
        "TakeWay": _TAKE_WAY[handover],
        "District": place.district,
        "Latitude": _decimal(place.latitude),
        "Longitude": _decimal(place.longitude),
        "Line": [{"DrugCode": it.drug, "Quantity": _decimal(it.quantity), "Unit": it.unit} for it in lines],
    }


def lock_fields(order: PharmacyOrder) -> Mapping[str, Value]:
    """`LockStock`."""
    return {
        "OrderNo": order.id,
        "StoreNo": order.store,
        "Line": [
            {
                "LineNo": str(it.line),
                "DrugCode": it.drug,
                "Quantity": _decimal(it.quantity),
                "Price": _decimal(it.unit_price),
                "Amount": yuan(it.amount),
            }
            for it in order.lines
        ],
    }


def order_fields(order: PharmacyOrder) -> Mapping[str, Value]:
    """`PlaceOrder`, with what the package must say. The receiver goes along for home delivery only."""
    usage = order.instructions
    fields: dict[str, Value] = {
        **lock_fields(order),
        "PrescriptionNo": order.prescription_id,
        "TakeWay": _TAKE_WAY[order.handover],
        "ClaimKey": order.claim_secret,
        "CodeDigest": order.pickup_code_sha256,
        "PatientAmount": yuan(order.patient_due),
        "TotalAmount": yuan(order.total),
        "Note": usage.note,
        "Decoction": usage.decoction,
        "Label": [
            {
                "LineNo": str(it.line),
                "DrugName": it.name,
                "Usage": it.usage,
                "Directions": it.directions,
                "Note": it.note,
                "Decoction": it.decoction,
            }
            for it in usage.labels
        ],
    }
    if order.handover is Handover.HOME:
        fields["Receiver"] = {
            "Name": order.recipient.get("name", ""),
            "Phone": order.recipient.get("phone", ""),
            "Address": order.recipient.get("address", ""),
        }
    return fields


def settle_fields(notice: SettlementNotice) -> Mapping[str, Value]:
    """`SettleOrder`."""
    return {
        "OrderNo": notice.order_id,
        "SettlementNo": notice.settlement_id,
        "TotalAmount": yuan(notice.total),
        "FundAmount": yuan(notice.fund),
        "AccountAmount": yuan(notice.account),
        "CashAmount": yuan(notice.cash),
    }


def pull_fields(seen: Sequence[int], page: int) -> Mapping[str, Value]:
    """`PullUpdates`: from our cursor on, or from behind those seen already."""
    return {**({"After": str(seen[-1])} if seen else {}), "Max": str(page)}


def confirm_fields(place: int, refused: Sequence[tuple[int, Mapping[str, object]]]) -> Mapping[str, Value]:
    """`ConfirmUpdates`: all up to this position are in, except those named, which are refused for good."""
    return {"Position": str(place), "Refused": [
        {"Position": str(position), "Rule": str(why.get("rule", "")), "Place": str(why.get("path", "")),
         "Cure": str(why.get("cure", ""))} for position, why in refused]}


def parse_refusal(answer: Element) -> str:
    """Their code for a business no; empty for a yes. Raises `InvalidPayload`: of two codes neither counts."""
    codes = answer.findall(f"{{{NAMESPACE}}}Code")
    code = (codes[0].text or "").strip() if codes else ""
    if not code:
        raise InvalidPayload([finding("CHN-02", "Code")])
    if len(codes) > 1 or len(codes[0]):
        raise InvalidPayload([finding("CHN-03", "Code")])
    return "" if code == _DONE else code


def parse_quotes(chain: str, answer: Element, order_lines: Sequence[OrderLine], handover: Handover) -> Offers:
    """The stores' offers, and the rows that are none. Raises `InvalidPayload` for an answer without rows."""

    def offer(row: _Store, where: str) -> tuple[Quote, list[Finding]]:
        lines, faults = quoted_lines(order_lines, row.lines, f"{where}.Line")
        faults += [finding("CHN-04", f"{where}.{name}") for name, flag in (("Delivers", row.delivers), ("Open", row.open))
                   if flag not in _FLAG]
        return Quote(
            chain=chain,
            store=row.store_no,
            lines=tuple(lines),
            minutes=row.minutes,
            load=min(row.load, Decimal(1)),
            on_time=row.on_time,
            quality=row.quality,
            delivers=handover is Handover.PICKUP or _FLAG.get(row.delivers, False),
            open=_FLAG.get(row.open, False),
        ), faults

    return offers(soap.tree(answer, LISTS).get("Store", []), "Store", _Store, "StoreNo", offer)


def parse_receipt(answer: Element, words: Mapping[str, ChainWord]) -> Receipt:
    """Their number and where the order stands. Raises `InvalidPayload`."""
    row = read_row(_Receipt, soap.tree(answer, LISTS))
    return receipt(row.bill_no, status_of(row.status, words, "Status"))


def parse_cancel(answer: Element, words: Mapping[str, ChainWord]) -> Receipt:
    """The answer to a cancel. Raises `InvalidPayload`."""
    return cancelled(parse_receipt(answer, words), "Status")


def parse_entries(answer: Element) -> list[tuple[int, bytes]]:
    """The updates of a page by position, each as a separate message; what it says is read later.

    An entry with none or with several updates is the message itself, which is then refused: of several none is dropped in silence.
    Raises `InvalidPayload` for an entry without one position: the cursor could not move over it.
    """
    entries = []
    for index, entry in enumerate(child for child in answer if local(child) == "Entry"):
        positions = entry.findall(f"{{{NAMESPACE}}}Position")
        position = (positions[0].text or "").strip() if len(positions) == 1 else ""
        if not _POSITION.fullmatch(position):
            raise InvalidPayload([finding("CHN-03", f"Entry.{index}.Position")])
        updates = entry.findall(f"{{{NAMESPACE}}}Update")
        entries.append((int(position), soap.alone(updates[0] if len(updates) == 1 else entry)))
    return entries


def parse_update(body: bytes, words: Mapping[str, ChainWord], causes: Mapping[str, str]) -> OrderUpdate:
    """An update in our words; a cause that is not in the list is `other`. Raises `InvalidPayload`."""
    row = read_row(_Update, soap.tree(soap.element(body, NAMESPACE, "Update"), LISTS))
    update = OrderUpdate(
        event_id=row.event_no,
        order_id=row.order_no,
        status=status_of(row.status, words, "Status"),
        claim_secret=row.claim_key,
        at=row.time,
        reason=causes.get(row.cause, "other") if row.cause else "",
        lines=row.returned,
        pickup_code=row.take_code,
        traces=scans(_packs(row.packs), _Pack),
    )
    return checked(update, "EventNo", "ReturnedLine")


def _packs(packs: object) -> object:
    """The rows of `<Packs>`; an empty one says that there are none, and no such element says nothing of packs."""
    if packs == "":
        return []
    return packs.get("Pack", "illegible") if isinstance(packs, dict) else packs


_POSITION = re.compile(r"[0-9]{1,18}")


def _moment(value: object) -> object:
    if not isinstance(value, str) or not re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T", value):
        raise ValueError("a time is written 2026-11-22T09:20:00+08:00")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_moment)]


class _QuotedLine(Wire):
    drug: Word = Field(alias="DrugCode")
    quantity: Number = Field(alias="Quantity")
    price: Price = Field(alias="Price")
    amount: Yuan = Field(alias="Amount")
    prescribed: Code = Field(alias="InsteadOf", default="")

    @property
    def as_quoted(self) -> tuple[str, Decimal, Decimal, int]:
        return self.drug, self.quantity, self.price, fen(self.amount)


class _Store(Wire):
    store_no: Word = Field(alias="StoreNo")
    lines: list[_QuotedLine] = Field(alias="Line", default=[])
    minutes: Count = Field(alias="Minutes")
    load: Number = Field(alias="Load")
    on_time: Number = Field(alias="OnTime", le=1)
    quality: Number = Field(alias="Quality", le=1)
    delivers: str = Field(alias="Delivers")
    open: str = Field(alias="Open")


class _Receipt(Wire):
    bill_no: Word = Field(alias="BillNo")
    status: Word = Field(alias="Status")


class _Update(Wire):
    event_no: Word = Field(alias="EventNo")
    order_no: Word = Field(alias="OrderNo")
    status: Word = Field(alias="Status")
    claim_key: str = Field(alias="ClaimKey")
    time: Moment = Field(alias="Time")
    cause: Code = Field(alias="Cause", default="")
    returned: tuple[Count, ...] = Field(alias="ReturnedLine", default=())
    take_code: Code = Field(alias="TakeCode", default="")
    packs: Any = Field(alias="Packs", default=None)


class _Pack(Wire):
    line: Count = Field(alias="LineNo")
    code: Code = Field(alias="TraceCode")
    lot: Lot = Field(alias="LotNo")
    made_on: Day | None = Field(alias="MadeOn", default=None)
    expires_on: Day | None = Field(alias="ExpiresOn", default=None)
    units: Count = Field(alias="Units")

    @property
    def as_scanned(self) -> Scan:
        return Scan(self.line, self.code, self.lot, self.made_on, self.expires_on, self.units)


def _decimal(value: Decimal) -> str:
    return format(value, "f")

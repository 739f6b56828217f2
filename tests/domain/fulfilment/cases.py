"""Orders, claims and situations for tables of cases: ordinary unless told otherwise."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from domain.chains import ChainWord, OrderLine, PharmacyOrder
from domain.claims import Claim, Claimed, ClaimLine, Identity, Settlement
from domain.fulfilment.orders import OrderStatus, Placed, advanced
from domain.fulfilment.portions import Portion, Portions
from domain.lifecycle import Money
from domain.money import Fen
from domain.prescription import Handover
from tests.support.factories import PLACE

NOW = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def order(attempt: int, *portions: Portion) -> Placed:
    """An order for these portions, just made."""
    sheet = PharmacyOrder(f"ord_x_{attempt}", "rx_x", "ankang", f"AK0{attempt}", tuple(
        OrderLine(portion.line, f"D00{portion.line}", portion.quantity, "片", Decimal(1), Fen(int(portion.quantity * 100)))
        for portion in portions), Handover.PICKUP, PLACE)
    return Placed(sheet, attempt, OrderStatus.HELD, b"sealed")


def confirmed(placed: Placed) -> Placed:
    """Its chain's yes is recorded: the pharmacy has ten minutes to accept and a day to fill it."""
    status = OrderStatus.ORDERED if placed.status is OrderStatus.HELD else placed.status
    return replace(placed, status=status, accept_by=NOW + 10 * MINUTE, fulfil_by=NOW + timedelta(days=1))


def said(placed: Placed, *words: ChainWord, lines: Sequence[int] = (), at: datetime = NOW, reason: str = "") -> Placed:
    """The order after its chain has said these; `lines` are those a return is about."""
    for word in words:
        change = advanced(placed, word, at=at, returned=lines, reason=reason)
        if change is None:
            continue
        status = change.order or placed.status
        parcels = placed.parcels
        if change.parcel:
            parcels = (*(parcel for parcel in parcels if parcel.number != change.parcel.number), change.parcel)
        placed = replace(
            placed, status=status, parcels=parcels, returns=(*placed.returns, change.back) if change.back else placed.returns,
            reason=reason or placed.reason,
            handed_over_at=at if status is OrderStatus.COMPLETED and placed.handed_over_at is None else placed.handed_over_at,
            ended_at=at if status in (OrderStatus.DECLINED, OrderStatus.CANCELLED) else placed.ended_at)
    return placed


def claimed(placed: Placed, portions: Portions | None = None, status: Money = Money.PRE_SETTLED, version: int = 1) -> Claimed:
    """A claim for an order, or for some portions of it."""
    lines = tuple(ClaimLine(portion.line, "D001", portion.quantity, Decimal(1), Fen(100), 30, "bid")
                  for portion in (placed.portions if portions is None else portions))
    claim = Claim("P1", "rx_x", "rx_x", "", "310", "370100", "", "41", NOW, "D1", lines, Identity("", ""))
    money = Settlement(Fen(100), Fen(0), Fen(0), Fen(0), Fen(100), Fen(0), Fen(60), fund=Fen(60), cash=Fen(40))
    return Claimed(claim, version, placed.id, status, money, money, money if status is not Money.PRE_SETTLED else None)


def settled(placed: Placed, portions: Portions | None = None, status: Money = Money.SETTLED) -> Claimed:
    """The same, paid by the fund."""
    return claimed(placed, portions, status)

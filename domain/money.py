"""Amounts are whole fen. Unit prices and quantities are Decimal. Nothing is a float."""

from decimal import ROUND_HALF_UP, Decimal
from typing import NewType

Fen = NewType("Fen", int)


def fen(yuan: Decimal | str) -> Fen:
    """Yuan as whole fen, half up (F-01)."""
    return Fen(int((Decimal(yuan) * 100).quantize(Decimal(1), rounding=ROUND_HALF_UP)))


def yuan(amount: int) -> str:
    """Fen as a yuan text with two decimals, e.g. `-0.05`: what interfaces and people read."""
    sign, whole = ("-" if amount < 0 else ""), abs(amount)
    return f"{sign}{whole // 100}.{whole % 100:02d}"


def line_amount(unit_price_yuan: Decimal, quantity: Decimal) -> Fen:
    """Price times quantity; rounded once, at the end of the line, half up (F-01)."""
    return fen(unit_price_yuan * quantity)


def share(amount: int, ratio: Decimal) -> Fen:
    """That part of an amount, half up: how a fund's or a first-pay share becomes fen (F-01)."""
    return Fen(int((Decimal(amount) * ratio).quantize(Decimal(1), rounding=ROUND_HALF_UP)))

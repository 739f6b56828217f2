"""What a patient pays when medicine is handed over: how much, by which method, and what has become of it (E-08, E-09).

The amount is the personal cash share (psn_cash_pay) of the fund's pre-settlement, which the order carries. It cannot be typed in.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.money import Fen


class Method(StrEnum):
    """How a patient pays (E-08)."""

    CASH = "cash"
    CARD = "card"
    ALIPAY = "alipay"
    WECHAT = "wechat"


class PaymentStatus(StrEnum):
    """What became of an attempt to collect."""

    PAID = "paid"
    REFUSED = "refused"
    """The patient did not pay, and the medicine was not handed over (E-09)."""


class Flaw(StrEnum):
    """Why medicine is not handed over: what is wrong with the payment."""

    UNPAID = "unpaid"
    AMOUNT_EDIT = "amount_edit"
    """Another amount than the server's (E-08)."""
    METHOD = "method_not_taken"
    REFERENCE = "reference_missing"
    """A card, Alipay or WeChat payment without its number."""


@dataclass(frozen=True)
class Tendered:
    """What a person or a courier says was paid."""

    amount: Fen
    method: str
    """A `Method`, as it was said."""
    reference: str = ""
    """The number that the card terminal, Alipay or WeChat gave the payment; empty for cash."""


@dataclass(frozen=True)
class Payment:
    """One attempt to collect what is due for an order."""

    number: int
    """Within its order, from 1 on."""
    status: PaymentStatus
    amount: Fen
    method: str
    """A `Method`; empty where nothing was paid."""
    collector: str
    """`courier:<slug>` or `shop:<chain>/<store>`."""
    reference: str
    receipt: str | None
    """Number of the receipt; None where nothing was paid."""
    at: datetime
    hand_in_by: datetime | None = None
    """Until when a courier must hand in the cash; None for what needs no handing in."""
    handed_in_at: datetime | None = None


@dataclass(frozen=True)
class Refund:
    """What goes back to the patient, by the method of the payment."""

    number: int
    amount: Fen
    method: str
    at: datetime


def flaw(due: Fen, methods: Collection[Method], tendered: Tendered | None) -> Flaw | None:
    """What is wrong with a payment; None where the medicine may be handed over.

    Where nothing is due nothing may be taken. A city without methods for a place collects nothing there through us.
    """
    if not methods or (due <= 0 and tendered is None):
        return None
    if tendered is None:
        return Flaw.UNPAID
    if due <= 0 or tendered.amount != due:
        return Flaw.AMOUNT_EDIT
    if tendered.method not in methods:
        return Flaw.METHOD
    return Flaw.REFERENCE if tendered.method != Method.CASH and not tendered.reference else None


def paid(payments: Sequence[Payment]) -> Payment | None:
    """The one payment that was taken for an order."""
    return next((payment for payment in payments if payment.status is PaymentStatus.PAID), None)


def correction(payments: Sequence[Payment], refunds: Sequence[Refund], owed: Fen) -> Fen:
    """What must go back to the patient after the fund's final word, in fen; negative: so much less was collected than is owed.

    `owed`: the cash share of what is settled now; 0 once all of it came back. Nothing is corrected where we collected nothing.
    """
    payment = paid(payments)
    if payment is None:
        return Fen(0)
    return Fen(payment.amount - sum(refund.amount for refund in refunds) - owed)


def receipt_number(order_id: str) -> str:
    """One for each order: it is collected once. It tells nothing of order or patient."""
    return f"R{hashlib.sha256(order_id.encode()).hexdigest()[:14].upper()}"

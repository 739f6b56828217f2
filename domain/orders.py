"""What passes between the platform and a pharmacy chain."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from domain.money import Fen
from domain.prescription import Handover, Place


class OrderStatus(StrEnum):
    """Where an order is, in our words; each chain's manifest maps its own words to these."""

    HELD = "held"
    """Stock is reserved under our order id; nothing ordered yet."""
    ORDERED = "ordered"
    """The chain has the order and has not yet said yes."""
    ACCEPTED = "accepted"
    PREPARED = "prepared"
    """Packed and checked; waits for the patient or the courier."""
    IN_DELIVERY = "in_delivery"
    HANDED_OVER = "handed_over"
    """The patient has it, at the counter or at the door."""
    DECLINED = "declined"
    """The chain said no after all (out of stock, closed)."""
    CANCELLED = "cancelled"
    RETURNED = "returned"
    """Some or all lines came back after the handover."""


@dataclass(frozen=True)
class OrderLine:
    line: int
    """Line of the prescription."""
    drug: str
    quantity: Decimal
    unit: str
    unit_price: Decimal = Decimal(0)
    """Yuan per counted unit; zero while we only ask for a quote."""
    amount: Fen = Fen(0)
    """Fen, rounded once per line (F-01)."""


@dataclass(frozen=True)
class Quote:
    """One store's answer to "could you fill this, and for how much?"."""

    chain: str
    store: str
    lines: tuple[OrderLine, ...]
    """Only the lines the store can fill in full."""
    minutes: int
    """Minutes until the patient would have it."""
    load: Decimal
    """Orders in progress over capacity, 0 to 1."""
    on_time: Decimal
    """Share of promises kept over 30 days, 0 to 1."""
    quality: Decimal
    """1 minus the complaint and error rate over 90 days."""
    delivers: bool
    """Whether the store offers the handover that was asked for."""
    open: bool = True
    """Open, with a pharmacist on duty (D-18)."""

    @property
    def total(self) -> Fen:
        return Fen(sum(line.amount for line in self.lines))


@dataclass(frozen=True)
class PharmacyOrder:
    """One attempt to have a prescription filled. A prescription may have several, one alive."""

    id: str
    """Ours, made before the chain is called; the chain's key for everything that follows."""
    prescription_id: str
    chain: str
    store: str
    lines: tuple[OrderLine, ...]
    handover: Handover
    place: Place
    claim_secret: str = field(repr=False, default="")
    """The chain sends it back with every update; one of another order is refused."""
    pickup_code_sha256: str = ""
    """SHA-256 (hex) of `order id + ":" + code`: the counter can check the code the patient shows
    without having been told it. Empty for home delivery."""
    patient_due: Fen = Fen(0)
    """What the pharmacy collects from the patient in cash (psn_cash_pay of the pre-settlement)."""
    recipient: dict[str, str] = field(repr=False, default_factory=dict)
    """Name, phone and address for home delivery only; decrypted for the call, never stored here."""

    @property
    def total(self) -> Fen:
        return Fen(sum(line.amount for line in self.lines))


@dataclass(frozen=True)
class Receipt:
    """A chain's own reference for our order and where it stands."""

    reference: str
    status: OrderStatus


@dataclass(frozen=True)
class OrderUpdate:
    """A chain's word on one of our orders, translated."""

    event_id: str
    order_id: str
    status: OrderStatus
    claim_secret: str = field(repr=False)
    at: datetime
    reason: str = ""
    """Coded reason of a decline or a return, e.g. `out_of_stock`."""
    lines: tuple[int, ...] = ()
    """Lines concerned by a return; empty means all."""
    pickup_code: str = field(repr=False, default="")


@dataclass(frozen=True)
class SettlementNotice:
    """What the chain needs for its own book once the fund has answered."""

    order_id: str
    settlement_id: str
    """setl_id; empty when the claim was reversed and nothing was settled again."""
    total: Fen
    fund: Fen
    account: Fen
    cash: Fen
    """The patient's final cash part; the difference to what was collected is refunded."""

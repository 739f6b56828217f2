"""What passes between the platform and a pharmacy chain."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from domain.findings import Finding
from domain.fulfilment.portions import Portion, Portions, added
from domain.money import Fen
from domain.prescription import Handover, Place
from domain.trace import Scan


class ChainWord(StrEnum):
    """What a chain says of one of our orders, in our words; each chain's manifest maps its own words to these.

    What it means for the order, its parcel and what came back: `domain.fulfilment.orders.MEANINGS`.
    """

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
    instead_of: str = ""
    """The drug prescribed, where `drug` is another product of the same generic (D-13); empty where it is the one prescribed."""

    @property
    def prescribed(self) -> str:
        """Catalogue code on the prescription."""
        return self.instead_of or self.drug


@dataclass(frozen=True)
class Quote:
    """One store's answer to "could you fill this, and for how much?"."""

    chain: str
    store: str
    lines: tuple[OrderLine, ...]
    """What the store has of each line: all of the quantity that was asked for, or less; nothing of a line that it lacks."""
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
    decoct_left: int = 0
    """Doses that the store can still decoct today (D-14); a chain that says nothing of it decocts none."""

    @property
    def total(self) -> Fen:
        return Fen(sum(line.amount for line in self.lines))


@dataclass(frozen=True)
class LeftOut:
    """A store whose row in an answer breaks the contract: it is not asked, and the others are."""

    store: str
    """Empty if the row does not say it."""
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Offers:
    """A chain's answer to a request for quotes."""

    quotes: tuple[Quote, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True)
class Label:
    """What the pharmacy writes on the package of one line, in Chinese."""

    line: int
    name: str
    usage: str
    """Dose, frequency, route and days, from the codes: `每次 500 mg，每日二次，口服，共 30 天`."""
    directions: str = ""
    """How to take it, in the prescriber's words."""
    note: str = ""
    decoction: str = ""
    """How a piece is decocted: 先煎, 后下, …"""


@dataclass(frozen=True)
class Instructions:
    """What the prescriber tells the pharmacy and, through it, the patient."""

    labels: tuple[Label, ...] = ()
    note: str = ""
    """To the whole prescription."""
    decoction: str = ""
    """How all of its pieces are prepared and taken: `7 剂，水煎服，每日分 2 次`."""


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
    instructions: Instructions = field(repr=False, default=Instructions())
    """For the package; put in for the call, the prescription keeps them."""
    point: str = ""
    """Where the courier brings it instead of home, `chain/number`: the patient collects it at that pick-up point (D-09)."""

    @property
    def total(self) -> Fen:
        return Fen(sum(line.amount for line in self.lines))


    @property
    def portions(self) -> Portions:
        """What it is for."""
        return added(Portion(line.line, line.quantity) for line in self.lines)


@dataclass(frozen=True)
class Dispensed:
    """A medicine a person was handed over and has kept."""

    drug: str
    """Catalogue code."""
    at: datetime
    """When it was handed over."""
    days_supply: int
    """Days it was prescribed for."""


@dataclass(frozen=True)
class Receipt:
    """A chain's own reference for our order and where it stands."""

    reference: str
    status: ChainWord


@dataclass(frozen=True)
class OrderUpdate:
    """A chain's word on one of our orders, translated."""

    event_id: str
    order_id: str
    status: ChainWord
    claim_secret: str = field(repr=False)
    at: datetime
    reason: str = ""
    """Why an order was declined or came back: a code of `domain.words.CAUSES`; another word counts as `other`."""
    lines: tuple[int, ...] = ()
    """Lines that came back; a return names each of them, even if it is all."""
    pickup_code: str = field(repr=False, default="")
    traces: tuple[Scan, ...] | None = None
    """The packs of all lines that have codes; None where the word says nothing of them."""


@dataclass(frozen=True)
class StockNotice:
    """A chain's word that a store has drugs again which it lacked; how many it says when it is asked."""

    event_id: str
    store: str
    drugs: tuple[str, ...]


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

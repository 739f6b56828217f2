"""What a simulated chain sells and where, and what passes over its counter."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Protocol

from sandbox.book import Document


@dataclass(frozen=True)
class Program:
    """A simulated chain, as it is started."""

    speaks: str
    secrets: Mapping[str, str]
    """Variable of each of its secrets -> what the platform calls the secret."""
    box: bool = False
    """Whether the platform reaches it by a folder that both write to."""


CHAINS: Mapping[str, Program] = {
    "ankang": Program("REST (回调 callbacks)", {"SANDBOX_ANKANG_TOKEN": "token", "SANDBOX_ANKANG_SECRET": "callback"}),
    "baicao": Program("REST (回调 callbacks)", {"SANDBOX_BAICAO_KEY": "token", "SANDBOX_BAICAO_SECRET": "callback"}),
    "jishi": Program("SOAP (轮询 polled)", {"SANDBOX_JISHI_TOKEN": "token"}),
    "huakang": Program("文件 files (CSV, Excel)", {}, box=True),
}
"""The city's chains, each the module `sandbox.<name>`."""
SELLERS = (*CHAINS, "linli")
"""Whose books hold orders; the last is that of the people of shops without a system."""


class No(Exception):
    """A business no; `code` is one of the words of the contract."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Broken(Exception):
    """The request makes no sense; `path` says where."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


@dataclass(frozen=True)
class Line:
    line: int
    drug: str
    quantity: Decimal
    unit_price: Decimal
    """Yuan."""
    amount_fen: int
    instead_of: str = ""
    """In a quote: the drug that was asked for, where this is another product."""


@dataclass(frozen=True)
class Store:
    id: str
    name: str
    latitude: float
    longitude: float
    stock: Mapping[str, int]
    """Counted units on the shelf when the book is opened."""
    delivers: bool = True
    capacity: int = 50
    on_time: str = "0.95"
    quality: str = "0.97"


@dataclass(frozen=True)
class Chain:
    """What a chain sells, where, and how it behaves."""

    slug: str
    prefix: str
    stores: tuple[Store, ...]
    prices: Mapping[str, Decimal]
    """Yuan per counted unit."""
    accepts_later: bool
    """Says yes by callback some time after the order, or at once in its answer."""
    habits: Mapping[str, str] = field(default_factory=dict)
    """What always happens with a drug.

    `decline` (takes the order, then says out of stock), `silent` (takes the order and never reports), `return` (the patient
    brings it back). `recall`: what is to be delivered waits for the recall of its lot, where the day has one.
    """
    refills: Mapping[str, int] = field(default_factory=dict)
    """Drugs that are scarce: some time after a store has sold some, its shelf is filled up to this, and the platform is told."""
    detour_minutes: Mapping[str, int] = field(default_factory=dict)
    """Minutes more for drugs that come from the warehouse."""
    hold_minutes: int = 30
    instead: Mapping[str, str] = field(default_factory=dict)
    """Drug -> another product of its generic, which a store offers where it has none of the drug."""


@dataclass(frozen=True)
class Slip:
    """What is printed on the package of one line."""

    line: int
    name: str
    usage: str
    directions: str
    note: str
    decoction: str


@dataclass(frozen=True)
class Package:
    """What the prescriber tells us and the patient."""

    note: str
    decoction: str
    slips: tuple[Slip, ...]


@dataclass(frozen=True)
class Pack:
    """What the packs of a drug on our shelves are like."""

    digits: str
    """First seven digits of their trace codes."""
    units: int


@dataclass(frozen=True)
class Offer:
    """One store's answer to a quote."""

    store: Store
    lines: tuple[Line, ...]
    minutes: int
    load: str
    delivers: bool


class Outlet(Protocol):
    """How a chain tells the platform of an event; it keeps in its book what it has not told yet."""

    def send(self, event_id: str, body: Document, path: str = "") -> None:
        """Tell of an event; `path` is where the platform takes news that are about no order."""

    def resume(self) -> None:
        """Go on where the last process stopped."""


def packs(city: str) -> dict[str, Pack]:
    """What packs are like by drug; none of the city's uncoded stock, which we sell without scanning."""
    folder = Path(__file__).parents[1] / "cities" / city
    with (folder / "uncoded.csv").open(encoding="utf-8", newline="") as table:
        uncoded = {row["code"] for row in csv.DictReader(table)}
    with (folder / "trace_products.csv").open(encoding="utf-8", newline="") as table:
        return {row["code"]: Pack(row["digits"], int(row["units_per_pack"])) for row in csv.DictReader(table)
                if row["code"] not in uncoded}


def in_fen(unit_price: Decimal, quantity: Decimal) -> int:
    """Price times quantity in fen, rounded once, half up."""
    return int((unit_price * quantity * 100).quantize(Decimal(1), rounding=ROUND_HALF_UP))

"""The power supply of a world, which fails at one place, and partners that say the same however often they are asked."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from domain.chains import ChainWord, LeftOut, Offers, OrderLine, PharmacyOrder, Receipt
from domain.claims import Claim, Settlement
from domain.errors import Refused
from domain.prescription import Handover
from domain.prescription import Place as Where
from tests.laws.transactions import Place
from tests.support.city import SimulatedCrash
from tests.support.fakes import FakeChain, FakePayer

PATIENCE = 10.0
"""Seconds, for what takes hundredths."""


class Power:
    """A `boundary` of `Database` that fails at one passing of one place; from then on the process is dead."""

    def __init__(self, fails_at: Place | None = None, passing: int = 1) -> None:
        self.passed: list[Place] = []
        self.dead = False
        self.failed = 0
        self._fails_at, self._left = fails_at, passing

    def __call__(self, name: str, when: str) -> None:
        if not self.dead:
            self.passed.append((name, when))
            if (name, when) == self._fails_at:
                self._left -= 1
                self.dead = self._left == 0
        if self.dead:
            # Whatever still runs in the dead process commits nothing any more.
            raise SimulatedCrash(f"{when} {name}")

    def back(self) -> None:
        self.dead, self.failed = False, self.failed + 1


@dataclass
class Chain(FakeChain):
    """One that says the same however often it is asked: after a crash it is asked again."""

    refuses: dict[str, str] = field(default_factory=dict)
    """Call → the code it is refused with, until further notice."""
    holds_run_out: bool = False
    """Every hold has run out by the time the order comes."""
    shut: bool = False
    """No store offers anything."""
    left_out: tuple[LeftOut, ...] = ()
    """Stores whose rows break the contract, in every answer to a request for quotes."""

    async def quote(self, lines: Sequence[OrderLine], handover: Handover, place: Where) -> Offers:
        return Offers() if self.shut else replace(await super().quote(lines, handover, place), left_out=self.left_out)

    async def place(self, order: PharmacyOrder) -> Receipt:
        if self.holds_run_out and self.book[order.id].status is ChainWord.HELD:
            self.book[order.id].status = ChainWord.CANCELLED
        return await super().place(order)

    def _ask(self) -> None:
        super()._ask()
        if code := self.refuses.get(self.calls[-1]):
            raise Refused(f"fake: {code}", code=code)


@dataclass
class Payer(FakePayer):
    """The same for the fund; and it may think for a while."""

    refuses: dict[str, str] = field(default_factory=dict)
    answers: Callable[[], bool] = lambda: True

    async def pre_settle(self, claim: Claim) -> Settlement:
        deadline = time.monotonic() + PATIENCE
        while not self.answers() and time.monotonic() < deadline:
            await asyncio.sleep(0.002)
        return await super().pre_settle(claim)

    def _ask(self) -> None:
        super()._ask()
        if code := self.refuses.get(self.calls[-1]):
            raise Refused(f"fake: {code}", code=code)

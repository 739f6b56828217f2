"""A cancel at one point of the line: a walk that a seed decides, whose cancel arrives right after one of its commits."""

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from random import Random
from typing import Any

from domain.chains import ChainWord
from domain.fulfilment.wishes import WishAnswer, WishKind
from domain.lifecycle import FINAL, Status
from infra.db import orders, prescriptions, wishes
from tasks import tracking
from tasks.fulfilment.sealed import open_secrets
from tasks.intake import receive_cancel
from tests.laws.power import Chain, Power
from tests.laws.site import Site
from tests.laws.world import World
from tests.support.city import HOSPITAL, cancel

ANSWERED_WITHIN = 60
"""Seconds in which who cancels has a definite answer."""
STEPS = 12
"""Of a walk, at most."""
OVER = frozenset({ChainWord.CANCELLED, ChainWord.DECLINED})
HANDED_OVER = frozenset({ChainWord.HANDED_OVER, ChainWord.RETURNED})
MOVES = {
    ChainWord.HELD: (ChainWord.HELD,),
    ChainWord.ORDERED: (ChainWord.ACCEPTED, ChainWord.ACCEPTED, ChainWord.DECLINED, ChainWord.HANDED_OVER),
    ChainWord.ACCEPTED: (ChainWord.PREPARED, ChainWord.PREPARED, ChainWord.IN_DELIVERY, ChainWord.DECLINED),
    ChainWord.PREPARED: (ChainWord.HANDED_OVER, ChainWord.HANDED_OVER, ChainWord.IN_DELIVERY),
    ChainWord.IN_DELIVERY: (ChainWord.HANDED_OVER, ChainWord.HANDED_OVER, ChainWord.DECLINED),
    ChainWord.HANDED_OVER: (ChainWord.HANDED_OVER, ChainWord.RETURNED),
}
"""What a pharmacy may do next; the same again: nothing."""


class Arrival(Power):
    """A power supply that never fails: after one of its commits somebody else comes in."""

    def __init__(self, after: int | None, arrive: Callable[[], None]) -> None:
        super().__init__()
        self._left, self._arrive = after, arrive

    def __call__(self, name: str, when: str) -> None:
        self.passed.append((name, when))
        if when == "before" or self._left is None:
            return
        self._left -= 1
        if self._left == 0:
            self._left = None
            # Another process: it has a connection of its own, and nothing of the one that it interrupts.
            other = threading.Thread(target=self._arrive)
            other.start()
            other.join()


@dataclass
class Walk:
    """One prescription's way as a seed decides it, and what was wrong with the answer to its cancel."""

    site: Site
    seed: int
    after: int | None = None
    """Which commit the cancel follows, from 1 on; None: nobody cancels."""
    faults: list[str] = field(default_factory=list)
    answer: str = "never asked"
    """What became of the wish in the end."""

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.world: World = self.site.fresh()
        self.world.power = Arrival(self.after, self._cancel)
        self.by_patient = self.random.random() < 0.5
        self.asked_at: Any = None
        self.late: list[tuple[str, bytes]] = []
        """Callbacks of something that happened and was not told yet."""

    @property
    def commits(self) -> int:
        return sum(when == "after" for _, when in self.world.power.passed)

    def go(self) -> "Walk":
        world, random = self.world, self.random
        self._troubles()
        sample = random.choice(["long_term", "home_delivery"])
        world.prescribe(sample)
        for _ in range(STEPS):
            world.work()
            self._judge_in_time()
            if self._status() in FINAL:
                break
            self._people_move()
            if random.random() < 0.3:
                world.later(minutes=random.choice([1, 11]))
        for chain, body in self.late:
            world.call_back(chain, body)
        for _ in range(3):
            # The second minute after the last words: whoever asked has an answer by then, however silent a chain is.
            world.later(seconds=20)
            world.work()
        self._judge_in_time()
        world.rest()
        self._judge_at_rest()
        return self

    # --- what others do ---

    def _troubles(self) -> None:
        random, chains = self.random, (self.world.ankang, self.world.baicao)
        for chain in chains:
            trouble = random.choice(["", "", "", "cancel is silent", "answers get lost", "sold out", "short", "holds run out"])
            match trouble:
                case "cancel is silent":
                    chain.only, chain.silent = frozenset({"cancel", "find"}), True
                case "answers get lost":
                    chain.only = frozenset({random.choice(["hold", "place", "cancel"])})
                    chain.lose_next_answer = True
                case "sold out":
                    chain.refuses["hold"] = "out_of_stock"
                case "short":
                    chain.stock = {drug: Decimal(random.choice([0, 14, 30])) for drug in ("D001", "D010", "D032", "D048")}
                case "holds run out":
                    chain.holds_run_out = True
        if random.random() < 0.2:
            self.world.payer.only, self.world.payer.lose_next_answer = frozenset({"settle"}), True

    def _cancel(self) -> None:
        """The hospital or the patient, three times: the same cancel is one effect."""
        self.asked_at = self.world.clock()
        home = replace(self.world.city, db=self.site.watch)
        for _ in range(3):
            if self.by_patient:
                with suppress(KeyError):
                    tracking.cancel(home, self.world.rx)
            else:
                receive_cancel(home, HOSPITAL, cancel(1))

    def _people_move(self) -> None:
        if self._status() is Status.IN_REVIEW:
            # Refused where it was cancelled while the pharmacist looked at it.
            with suppress(AssertionError, KeyError):
                self.world.decide()
            return
        for slug, chain in self.world.chains.items():
            for order_id, held in list(chain.book.items()):
                word = self.random.choice(MOVES.get(held.status, (held.status,)))
                if word is not held.status and self._known(order_id):
                    self._does(slug, chain, order_id, word)

    def _does(self, slug: str, chain: Chain, order_id: str, word: ChainWord) -> None:
        """It happens, and is told at once or later."""
        granted = self._wish() is WishAnswer.GRANTED
        if word is ChainWord.HANDED_OVER and granted:
            self.faults.append(f"{order_id} was handed over after the cancel was granted")
        with self.site.watch.reading() as session:
            placed = orders.get(session, order_id)
        assert placed is not None
        secrets = open_secrets(self.world.city, placed)
        more: dict[str, Any] = {"reason": "quality"} if word in (ChainWord.RETURNED, ChainWord.DECLINED) else {}
        if word is ChainWord.HANDED_OVER:
            more = {"pickup_code": secrets["pickup_code"]}
        body = chain.body(chain.update(order_id, word, at=self.world.clock(), claim_secret=secrets["claim_secret"], **more))
        # Words about one order come in the order in which they were said.
        if self.random.random() < 0.25 or any(order_id.encode() in earlier for _, earlier in self.late):
            self.late.append((slug, body))
        else:
            self.world.call_back(slug, body)

    # --- what must be true ---

    def _known(self, order_id: str) -> bool:
        with self.site.watch.reading() as session:
            return orders.get(session, order_id) is not None

    def _status(self) -> Status | None:
        with self.site.watch.reading() as session:
            try:
                return prescriptions.load(session, self.world.rx).status
            except KeyError:
                return None

    def _wish(self) -> WishAnswer | None:
        with self.site.watch.reading() as session:
            made = [wish for wish in wishes.of(session, self.world.rx) if wish.kind is WishKind.CANCEL and wish.by != "clock"]
        if len(made) > 1 and not self.faults:
            self.faults.append(f"one cancel made {len(made)} wishes")
        return made[-1].answer if made else None

    def _judge_in_time(self) -> None:
        late = self.asked_at and (self.world.clock() - self.asked_at).total_seconds() >= ANSWERED_WITHIN
        if late and self._wish() is WishAnswer.OPEN:
            self.faults.append(f"no answer after {ANSWERED_WITHIN} s")

    def _judge_at_rest(self) -> None:
        world, wish = self.world, self._wish()
        self.answer = "never asked" if wish is None else str(wish)
        self.faults += world.faults()
        self.faults += [f"the wish is {wish} for good"] if wish in (WishAnswer.OPEN, WishAnswer.UNANSWERED) else []
        held = [(order_id, held.status) for chain in world.chains.values() for order_id, held in chain.book.items()]
        has_it = [order_id for order_id, word in held if word is ChainWord.HANDED_OVER]
        if wish is WishAnswer.GRANTED:
            self.faults += [f"{order_id} is {word} at its pharmacy although the cancel was granted" for order_id, word in held
                            if word not in OVER | HANDED_OVER]
        paid = sum(row.total for row in world.payer.book)
        if not has_it and paid:
            self.faults.append(f"the fund has paid {paid} fen for nothing")
        balance: dict[str, int] = {}
        for _, entries in world.outcome()["ledger"]:  # type: ignore[attr-defined]
            for account, amount in entries:
                balance[account] = balance.get(account, 0) + amount
        if not has_it and any(balance.values()):
            self.faults.append(f"the ledger is not zero although nothing was handed over: {balance}")
        told = [json.loads(json.dumps(report, default=str))["status"] for report in world.hospital.reports.values()]
        if self._status() is Status.CANCELLED and told.count("cancelled") > 1:
            self.faults.append("the hospital was told of the cancel twice")


def walk(site: Site, seed: int, after: int | None = None) -> Walk:
    """Walk once; `after`: the number of the commit that the cancel follows."""
    return Walk(site, seed, after).go()

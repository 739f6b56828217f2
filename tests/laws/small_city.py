"""A city of at most three prescriptions, whose hospitals, pharmacists, chains and clock a test moves one by one."""

import asyncio
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from adapters.messages import Reply
from domain.chains import ChainWord, PharmacyOrder
from domain.errors import RxError
from domain.findings import Severity
from domain.lifecycle import Status
from domain.people import Denied
from domain.prescription import prescription_id
from domain.review import Decision
from infra.db import Database, audits, orders, prescriptions
from infra.db.ledger import SIDES
from infra.db.rows import DiscrepancyRow, HistoryRow, IntentRow, MessageRow, OutboxRow, PostingRow, PrescriptionRow
from tasks import review
from tasks.callbacks import receive_callback
from tasks.city import City
from tasks.fulfilment.sealed import open_secrets
from tasks.line import hop
from tasks.settlement.reconciliation import reconcile_day
from tests.support.city import HOSPITAL, Clock, FakeHospital, Plug, SimulatedCrash
from tests.support.fakes import FakeChain, FakePayer

S, O = Status, ChainWord  # noqa: E741
T = TypeVar("T")

SAMPLES = {1: "long_term", 2: "home_delivery", 3: "home_delivery"}
"""Prescription number → what it is: one collected at the counter, two delivered with two lines each."""

CHAIN_MOVES = {
    O.HELD: (O.CANCELLED,),  # the hold ran out
    O.ORDERED: (O.ACCEPTED, O.DECLINED),
    O.ACCEPTED: (O.PREPARED, O.DECLINED),
    O.PREPARED: (O.HANDED_OVER, O.IN_DELIVERY, O.DECLINED),
    O.IN_DELIVERY: (O.HANDED_OVER, O.DECLINED),
    O.HANDED_OVER: (O.RETURNED,),
    O.RETURNED: (O.RETURNED,),
}
"""What is physically possible in a chain's own book. What it says of it, and when, is another matter."""

GONE = (O.CANCELLED, O.DECLINED)
PATIENT_HAS_IT = (O.HANDED_OVER, O.RETURNED)
NOTHING_HANDED_OVER = (S.REFUSED, S.RETURNED, S.CANCELLED, S.EXPIRED)
A_PERSONS = ("Refused:claim", "NeedsOperator:claim", "NeedsOperator:not_insured")
"""Troubles that rest with a person: the fund refused a claim, or does not know the patient."""
PASSING = ("Transient", "OutcomeUnknown")


class Ticking(Clock):
    """Moves a millisecond with every look at it, so that no two events are simultaneous."""

    def __call__(self) -> datetime:
        self.at += timedelta(milliseconds=1)
        return self.at


@dataclass
class Word:
    """A callback a chain has made of something that happened."""

    chain: str
    body: bytes
    said: ChainWord
    acknowledged: bool = False
    """Answered with anything but "send it again"."""


@dataclass(frozen=True)
class Seen:
    """Our database, read in one go."""

    rx: dict[str, PrescriptionRow]
    events: dict[str, list[HistoryRow]]
    intents: list[IntentRow]
    postings: dict[tuple[str, str], tuple[str | None, dict[str, int]]]
    """(kind, reference) → prescription and entries."""
    messages: dict[tuple[str, str], tuple[str, int, bytes]]
    waiting: list[str]
    """Kinds of undelivered parcels."""
    discrepancies: dict[str, set[str]]


def fast() -> str | None:
    """Where files cost nothing: a run writes thousands of transactions, and nobody tests the disk here."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() else None


class SmallCity:
    """One small city, copied from `built`."""

    built: City

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=fast()))
        shutil.copy(self.built.db.url.removeprefix("sqlite:///"), self.folder / "sanyi.db")
        self.plug = Plug()
        self.clock = Ticking()
        self.chain = {
            "ankang": FakeChain(slug="ankang", store="AK01", minutes=18),
            "baicao": FakeChain(slug="baicao", store="BC07", minutes=25, says_yes_at_once=True),
        }
        self.payer = FakePayer(slug=self.built.payer.slug)
        self.hospital = FakeHospital()
        self.city = replace(
            self.built, db=Database(f"sqlite:///{self.folder / 'sanyi.db'}", boundary=self.plug),
            chains=self.chain, payer=self.payer, hospitals={HOSPITAL: self.hospital}, now=self.clock)
        self.words: list[Word] = []
        self.brought_back: dict[str, set[int]] = defaultdict(set)
        """Order id → lines the patient brought back."""
        self.answers: dict[tuple[str, str], tuple[str, int, bytes]] = {}
        """Every stored answer as it was when first seen."""
        self.cancelling: set[str] = set()
        """Prescriptions the hospital was told would be cancelled if that was still possible."""
        self.workers = 0
        self.crash_at = 0
        self.sound = True

    def do(self, operation: Callable[[], T]) -> T | None:
        """One operation of one process; None if the plug was pulled in the middle of it."""
        self.sound = False
        self.plug.pull_at(self.crash_at)
        try:
            return operation()
        except SimulatedCrash:
            return None
        finally:
            self.plug.pull_at(0)
            self.crash_at = 0

    def hop(self, rx_id: str) -> None:
        done = self.do(lambda: asyncio.run(hop(self.city, rx_id)))
        assert done is None or not done.error or done.error.startswith((*PASSING, *A_PERSONS)), done

    def work(self) -> None:
        """A new process takes what is due, as the dispatcher does."""
        self.workers += 1
        owner, lease = f"worker-{self.workers}", timedelta(seconds=60)

        def claim() -> list[prescriptions.Due]:
            with self.city.db.transaction() as session:
                return prescriptions.lease_due(session, owner, at=self.clock(), lease=lease, limit=10)

        crash, self.crash_at = self.crash_at, 0
        due = claim()
        for one in due:
            self.crash_at = crash
            self.hop(one.id)
            crash = 0
        with self.city.db.transaction() as session:
            prescriptions.release(session, owner, [one.id for one in due])

    def advance(self, by: timedelta) -> None:
        self.clock.at += by
        self.payer.day = self.city.today()

    def send(self, word: Word) -> Reply | None:
        headers = self.chain[word.chain].headers(word.body, self.clock())
        answer = self.do(lambda: receive_callback(
            self.city, word.chain, timestamp=headers["Sanyi-Timestamp"], nonce=headers["Sanyi-Nonce"],
            signature=headers["Sanyi-Signature"], body=word.body))
        if answer and answer.status < 500:
            word.acknowledged = True
            again = receive_callback(
                self.city, word.chain, timestamp=headers["Sanyi-Timestamp"], nonce=headers["Sanyi-Nonce"],
                signature=headers["Sanyi-Signature"], body=word.body)
            assert again.status == 401, "a nonce is spent once"
        return answer

    def booked(self) -> list[tuple[str, str]]:
        """(chain, order id) of everything in the chains' books, in a fixed order."""
        return [(slug, order_id) for slug, chain in sorted(self.chain.items()) for order_id in sorted(chain.book)]

    def ids(self) -> list[str]:
        with self.city.db.reading() as session:
            return sorted(session.scalars(sa.select(PrescriptionRow.id)))

    def secret(self, order_id: str) -> dict[str, str]:
        with self.city.db.reading() as session:
            placed = orders.get(session, order_id)
        assert placed is not None
        return open_secrets(self.city, placed)

    # --- looking and doing ---

    def look(self) -> Seen:
        with self.city.db.reading() as session:
            events: dict[str, list[HistoryRow]] = defaultdict(list)
            for event in session.scalars(sa.select(HistoryRow).order_by(HistoryRow.prescription_id, HistoryRow.seq)):
                events[event.prescription_id].append(event)
            sides: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
            for posting_id, account, amount in session.execute(
                    sa.select(SIDES.c.posting_id, SIDES.c.account, SIDES.c.amount_fen)):
                sides[posting_id][account] += amount
            discrepancies: dict[str, set[str]] = defaultdict(set)
            for found in session.scalars(sa.select(DiscrepancyRow)):
                if found.kind == "late_word_from_chain":
                    discrepancies[found.prescription_id].add(found.subject)
            return Seen(
                rx={row.id: row for row in session.scalars(sa.select(PrescriptionRow))}, events=events,
                intents=list(session.scalars(sa.select(IntentRow))),
                postings={(row.kind, row.reference): (row.prescription_id, sides[row.id])
                          for row in session.scalars(sa.select(PostingRow))},
                messages={(row.source, row.event_id): (row.sha256, row.answer_status, row.answer)
                          for row in session.scalars(sa.select(MessageRow))},
                waiting=list(session.scalars(sa.select(OutboxRow.kind).where(OutboxRow.due_at.is_not(None)))),
                discrepancies=discrepancies)

    def held(self, rx_id: str) -> list[Any]:
        """What the chains have for a prescription."""
        return [self.chain[slug].book[order_id] for slug, order_id in self.booked()
                if self.order(slug, order_id).prescription_id == rx_id]

    def order(self, slug: str, order_id: str) -> PharmacyOrder:
        return self.chain[slug].book[order_id].order

    def pharmacist(self, rx_id: str, who: str, decision: str) -> None:
        def work() -> None:
            review.assign(self.city, rx_id, who)
            if decision:
                with self.city.db.reading() as session:
                    reasons = {found.code: "已与医师核对确认" for found in audits.findings(session, rx_id)
                               if found.severity is Severity.WARN}
                codes = [] if decision == "pass" else [sorted(self.city.knowledge.review_items)[0]]
                review.decide(self.city, rx_id, who, Decision(decision, codes, "请核对", reasons))

        try:
            self.do(work)
        except Denied:
            self.sound = False

    def _happens(self, slug: str, order_id: str, to: ChainWord, line: int = 0) -> None:
        order = self.order(slug, order_id)
        more: dict[str, Any] = {}
        if to is O.RETURNED:
            lines = [one.line for one in order.lines]
            back = lines if line == 0 else [lines[(line - 1) % len(lines)]]
            self.brought_back[order_id] |= set(back)
            more = {"lines": () if line == 0 else tuple(back), "reason": "quality"}
        if to is O.HANDED_OVER:
            more = {"pickup_code": self.secret(order_id)["pickup_code"]}
        chain = self.chain[slug]
        update = chain.update(order_id, to, at=self.clock(), claim_secret=self.secret(order_id)["claim_secret"], **more)
        self.words.append(Word(slug, chain.body(update), to))

    def _word(self, slug: str, order_id: str, says: ChainWord, **more: Any) -> Word:
        """A word nothing stands behind: the chain's book stays as it is."""
        chain = self.chain[slug]
        held = chain.book[order_id]
        before, stock = held.status, dict(chain.stock)
        update = chain.update(order_id, says, at=self.clock(), **more)
        held.status, chain.stock = before, stock
        return Word(slug, chain.body(update), says)

    def _id(self, number: int) -> str:
        return prescription_id(HOSPITAL, f"RX{number:04d}")

    def _reconcile(self, ago: int) -> None:
        try:
            asyncio.run(reconcile_day(self.city, self.city.today() - timedelta(days=ago)))
        except RxError:
            assert self.payer.calls[-1] == "reconcile"

"""One small city and any order of events: nothing is doubled, nothing is lost, and it comes to rest.

No examples here, only truths. Whatever hospitals, pharmacists, chains, the fund, the clock and a failing power
supply do, every truth in `truths` holds after every step and every one in `at_rest` once the partners are well.
"""

import asyncio
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from adapters.messages import Reply
from domain.chains import ChainWord, PharmacyOrder
from domain.errors import Refused, RxError, Transient
from domain.findings import Severity
from domain.fulfilment.lines import line_states, status_of
from domain.fulfilment.plan import PLANNED
from domain.lifecycle import FINAL, OWNERS, Owner, Status, may_move
from domain.people import Denied
from domain.prescription import Handover, prescription_id
from domain.review import Decision
from infra.db import Database, audits, claims, history, orders, prescriptions, wishes
from infra.db.ledger import SIDES
from infra.db.rows import (
    DiscrepancyRow,
    HistoryRow,
    IntentRow,
    MessageRow,
    OutboxRow,
    PostingRow,
    PrescriptionRow,
)
from tasks import review, upkeep
from tasks.callbacks import receive_callback
from tasks.city import City
from tasks.fulfilment.sealed import open_secrets
from tasks.intake import receive_cancel, receive_prescription
from tasks.line import hop
from tasks.reports import deliver_due
from tasks.settlement.reconciliation import reconcile_day
from tests.support.city import (
    COLLEAGUE,
    HOSPITAL,
    OPERATOR,
    PHARMACIST,
    STARTED,
    Clock,
    FakeHospital,
    Plug,
    SimulatedCrash,
    bundle,
    cancel,
    make_city,
)
from tests.support.fakes import FakeChain, FakePayer, PayerRow

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


@pytest.fixture(scope="module")
def _built() -> Iterator[None]:
    """The first city, which every other one is a copy of."""
    with tempfile.TemporaryDirectory(dir=_fast()) as folder:
        Anything.built = make_city(Path(folder))
        Anything.built.db.close()
        yield


def _fast() -> str | None:
    """Where files cost nothing: a run writes thousands of transactions, and nobody tests the disk here."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() else None


class Anything(RuleBasedStateMachine):
    built: City

    # --- the city ---

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=_fast()))
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

    # --- what may happen ---

    @initialize(starts=st.lists(st.sampled_from([S.RECEIVED, S.IN_REVIEW, S.FULFILLING, S.SETTLED]), max_size=3))
    def begin(self, starts: list[Status]) -> None:
        """Some prescriptions are already on their way, so that the interesting part comes soon."""
        for number, start in enumerate(starts, 1):
            self.admit(number, False)
            rx_id = self.ids()[-1] if len(self.ids()) == 1 else self._id(number)
            if start is S.RECEIVED:
                continue
            self.hop(rx_id)
            if number == 3 and S.SETTLED is starts[1] and start is not S.RECEIVED:
                # Its patient has just got the same medicine with the second: the rules refuse it.
                assert self.look().rx[rx_id].status == S.REFUSED
                continue
            if start is S.IN_REVIEW:
                continue
            self.pharmacist(rx_id, PHARMACIST, "pass")
            self.hop(rx_id)
            if start is S.SETTLED:
                slug, order_id = next((s, o) for s, o in self.booked() if self.order(s, o).prescription_id == rx_id)
                for status in (O.ACCEPTED, O.PREPARED, O.HANDED_OVER):
                    self._happens(slug, order_id, status)
                    self.send(self.words[-1])
                self.hop(rx_id)

    @rule(number=st.integers(1, 3), other=st.booleans())
    def admit(self, number: int, other: bool) -> None:
        """The hospital sends a prescription: again, or with other bytes under the same key."""
        raw = bundle(number, sample="child" if other else SAMPLES[number])
        answer = self.do(lambda: receive_prescription(self.city, HOSPITAL, raw))
        assert answer is None or answer.status in (201, 409)

    @rule(number=st.integers(1, 3), key=st.integers(1, 2))
    def cancels(self, number: int, key: int) -> None:
        answer = self.do(lambda: receive_cancel(self.city, HOSPITAL, cancel(number, key=f"C{number}-{key}")))
        if answer is None:
            return
        assert answer.status == 201
        if b'"too-late"' not in answer.body:
            self.cancelling.add(self._id(number))

    @precondition(lambda self: self.ids())
    @rule(which=st.integers(0, 2))
    def hops(self, which: int) -> None:
        """Anybody may set off a hop, due or not."""
        ids = self.ids()
        self.hop(ids[which % len(ids)])

    @rule()
    def works(self) -> None:
        self.work()

    @precondition(lambda self: self.ids())
    @rule(which=st.integers(0, 2), who=st.sampled_from([PHARMACIST, COLLEAGUE]),
          decision=st.sampled_from(["", "pass", "pass", "pass", "return", "reject"]))
    def reviews(self, which: int, who: str, decision: str) -> None:
        ids = self.ids()
        self.pharmacist(ids[which % len(ids)], who, decision)

    @precondition(lambda self: self.booked())
    @rule(which=st.integers(0, 9), move=st.integers(0, 2), line=st.integers(0, 2), tell=st.booleans())
    def happens(self, which: int, move: int, line: int, tell: bool) -> None:
        """Something possible happens to an order at its pharmacy, and the chain makes a callback of it."""
        booked = self.booked()
        slug, order_id = booked[which % len(booked)]
        held = self.chain[slug].book[order_id]
        moves = [to for to in CHAIN_MOVES.get(held.status, ())
                 if to is not O.IN_DELIVERY or held.order.handover is Handover.HOME]
        if moves:
            self._happens(slug, order_id, moves[move % len(moves)], line)
            if tell:
                self.send(self.words[-1])

    @precondition(lambda self: self.words)
    @rule(which=st.integers(0, 30))
    def tells(self, which: int) -> None:
        """A callback arrives: late, again, or before an earlier one."""
        self.send(self.words[which % len(self.words)])

    @precondition(lambda self: self.booked())
    @rule(which=st.integers(0, 9), says=st.sampled_from(list(O)))
    def lies(self, which: int, says: ChainWord) -> None:
        """Somebody who does not know the order's secret, or the patient's code, says a word about it."""
        booked = self.booked()
        slug, order_id = booked[which % len(booked)]
        word = self._word(slug, order_id, says, claim_secret="another order's")
        answer = self.send(word)
        assert answer is None or answer.status == 422
        if self.secret(order_id)["pickup_code"]:
            answer = self.send(self._word(slug, order_id, O.HANDED_OVER, pickup_code="guess"))
            assert answer is None or answer.status == 422

    @rule(who=st.sampled_from(["ankang", "baicao", "payer"]),
          what=st.sampled_from(["lose_next_request", "lose_next_answer", "silent", "heal"]))
    def breaks(self, who: str, what: str) -> None:
        partner = self.payer if who == "payer" else self.chain[who]
        if what == "heal":
            partner.heal()
        else:
            setattr(partner, what, True)

    @rule(no=st.sampled_from([("ankang", "out_of_stock", "hold"), ("baicao", "closed", "hold"),
                              ("payer", "not_insured", "entitlement"), ("payer", "claim", "pre_settle"),
                              ("payer", "claim", "settle")]))
    def refuses(self, no: tuple[str, str, str]) -> None:
        who, code, call = no
        (self.payer if who == "payer" else self.chain[who]).refuse_next(code, call)

    @rule(dead=st.booleans())
    def hospital_is(self, dead: bool) -> None:
        self.hospital.trouble = Transient("unreachable") if dead else None

    @rule(by=st.sampled_from([timedelta(seconds=15), timedelta(minutes=2), timedelta(minutes=11), timedelta(hours=1),
                              timedelta(hours=13), timedelta(hours=25), timedelta(days=3)]))
    def time_passes(self, by: timedelta) -> None:
        self.advance(by)

    @rule()
    def sweeps(self) -> None:
        self.do(lambda: asyncio.run(upkeep.sweep(self.city)))

    @rule()
    def delivers(self) -> None:
        self.do(lambda: asyncio.run(deliver_due(self.city)))

    @precondition(lambda self: self.ids())
    @rule(which=st.integers(0, 2))
    def an_operator_has_it_tried_again(self, which: int) -> None:
        ids = self.ids()

        def work() -> None:
            with suppress(Refused):  # It is over: nothing is owed any more.
                upkeep.redrive(self.city, ids[which % len(ids)], OPERATOR)

        self.do(work)

    @rule(ago=st.integers(0, 1))
    def reconciles(self, ago: int) -> None:
        self.do(lambda: self._reconcile(ago))

    @rule(boundary=st.integers(1, 14))
    def will_crash(self, boundary: int) -> None:
        """The power fails at that commit boundary of the next operation: before a commit or just after it."""
        self.crash_at = boundary

    # --- what is always true ---

    @invariant()
    def truths(self) -> None:
        seen = self.look()
        for rx_id, row in seen.rx.items():
            assert history.verify(seen.events[rx_id], row) is None
            for event in seen.events[rx_id]:
                start, end = S(event.from_status), S(event.to_status)
                assert start is end or may_move(start, end)
            self._lines_add_up(rx_id)
            self._one_order(rx_id, row, seen)
        for chain in self.chain.values():
            assert len(set(chain.arrived)) == len(chain.arrived), "sent again instead of asked about"
        self._the_funds_book()
        self._the_ledger(seen)
        for key, answer in self.answers.items():
            assert seen.messages[key] == answer, f"the stored answer to {key} changed"
        self.answers |= seen.messages
        self.sound = True

    def _lines_add_up(self, rx_id: str) -> None:
        """Of every line, whatever happened: open + in progress + handed over + returned + given up = prescribed."""
        with self.city.db.reading() as session:
            loaded = prescriptions.load(session, rx_id)
            placed, claimed = orders.of(session, rx_id), claims.newest_of(session, rx_id)
            asked_for = wishes.of(session, rx_id)
        lines = line_states(loaded.prescription.items, placed, asked_for, ended=loaded.status in FINAL)
        at_rest = loaded.wake_at is None or loaded.wake_at > self.city.now()
        if loaded.status in PLANNED and at_rest and not loaded.attempts:
            assert status_of(lines, placed, claimed) is loaded.status, f"{rx_id} is {loaded.status}: {lines}"

    def _one_order(self, rx_id: str, row: PrescriptionRow, seen: Seen) -> None:
        alive = [held for held in self.held(rx_id) if held.status not in GONE]
        assert len(alive) <= 1, f"{rx_id}: two pharmacies at work"
        handed_over = [held for held in alive if held.status in PATIENT_HAS_IT]
        if row.status in NOTHING_HANDED_OVER and handed_over:
            assert seen.discrepancies[rx_id], f"{rx_id} is {row.status}, the patient has it, and nobody is told"

    def _the_funds_book(self) -> None:
        references = [row.reference for row in self.payer.book]
        assert len(set(references)) == len(references)
        settled = [row.settlement_id for row in self.payer.book if not row.reverses]
        reversed_ = [row.reverses for row in self.payer.book if row.reverses]
        assert len(set(reversed_)) == len(reversed_)
        for rx_id in {row.prescription_id for row in self.payer.book}:
            mine = {row.settlement_id for row in self.payer.book if row.prescription_id == rx_id and not row.reverses}
            assert len(mine - set(reversed_)) <= 1, f"{rx_id}: paid for twice"
        assert set(reversed_) <= set(settled)

    def _the_ledger(self, seen: Seen) -> None:
        fund = {_movement(row): row for row in self.payer.book}
        for key, (rx_id, sides) in seen.postings.items():
            assert sum(sides.values()) == 0
            assert fund[key].prescription_id == rx_id
            assert _owed_to_chains(sides) == fund[key].total
        for key in fund.keys() - seen.postings.keys():
            row = seen.rx[fund[key].prescription_id]
            assert row.status == S.FULFILLED, f"{key} is in the fund's book only"
            assert row.wake_at is not None

    # --- what is true once everybody is well ---

    def teardown(self) -> None:
        try:
            if self.sound:
                self.come_to_rest()
        finally:
            self.city.db.close()
            shutil.rmtree(self.folder)

    def come_to_rest(self) -> None:
        self.plug.pull_at(0)
        self.crash_at = 0
        for partner in (*self.chain.values(), self.payer):
            partner.heal()
        self.hospital.trouble = None
        for _ in range(3):
            for word in self.words:
                if not word.acknowledged:
                    self.send(word)
            self.pass_time(timedelta(minutes=16), rounds=4)
        self.truths()
        self.at_rest()
        self.pass_time(timedelta(hours=13), rounds=8)
        self.pass_time(timedelta(minutes=16), rounds=2)
        self.pass_time(timedelta(minutes=16), rounds=2)
        self.truths()
        self.at_rest()
        self.at_the_end()

    def pass_time(self, step: timedelta, rounds: int) -> None:
        for _ in range(rounds):
            self.advance(step)
            asyncio.run(upkeep.sweep(self.city))
            self.work()
            for _ in range(3):
                asyncio.run(deliver_due(self.city))
        for ago in range((self.clock.at - STARTED).days + 2):
            self._reconcile(ago)

    def at_rest(self) -> None:
        seen = self.look()
        assert seen.waiting == []
        owed = {intent.prescription_id for intent in seen.intents if intent.answered_at is None}
        for rx_id, row in seen.rx.items():
            status, persons = S(row.status), row.trouble.startswith(A_PERSONS)
            where = f"{rx_id} {status} {row.trouble} {row.waiting_for}"
            assert persons or OWNERS[status] is not Owner.PLATFORM, f"nobody works on {where}"
            assert status not in FINAL or row.wake_at is None, f"never sleeps: {where}"
            assert rx_id not in owed, f"an outcome nobody learns: {where}"
            self._orders_agree(rx_id, status)
            if not persons:
                self._money_agrees(rx_id, status, seen)
            self._hospital_knows(rx_id, status)

    def at_the_end(self) -> None:
        """Days later: everything has ended, but for what a person must settle or is on its way to the door."""
        for rx_id, row in self.look().rx.items():
            on_its_way = any(held.status is O.IN_DELIVERY for held in self.held(rx_id))
            assert row.status in FINAL or row.trouble.startswith(A_PERSONS) or on_its_way, (
                f"{rx_id} {row.status} {row.waiting_for} {row.wake_at}")

    def _orders_agree(self, rx_id: str, status: Status) -> None:
        with self.city.db.reading() as session:
            ours = {placed.id: placed.word for placed in orders.of(session, rx_id)}
        for held in self.held(rx_id):
            said = ours[held.order.id]
            assert (said in GONE) == (held.status in GONE), f"{held.order.id} is {held.status}, we think {said}"
            if status not in FINAL:
                assert (said in PATIENT_HAS_IT) == (held.status in PATIENT_HAS_IT)
        if status in NOTHING_HANDED_OVER:
            assert all(held.status in GONE for held in self.held(rx_id)), f"{rx_id}: stock is held for nobody"

    def _money_agrees(self, rx_id: str, status: Status, seen: Seen) -> None:
        """The fund, the ledger, the chain and the hospital all know what the patient has kept."""
        kept = {held.order.id: sum(line.amount for line in held.order.lines
                                   if line.line not in self.brought_back[held.order.id])
                for held in self.held(rx_id) if held.status in PATIENT_HAS_IT}
        ledger = sum(_owed_to_chains(sides) for owner, sides in seen.postings.values() if owner == rx_id)
        fund = sum(row.total for row in self.payer.book if row.prescription_id == rx_id)
        assert ledger == fund
        if seen.discrepancies[rx_id]:
            return  # Something came back after the prescription was closed: with a person.
        assert fund == sum(kept.values())
        for order_id, total in kept.items():
            chain = next(chain for chain in self.chain.values() if order_id in chain.book)
            assert chain.notices[order_id].total == total, "the chain was told another amount last"

    def _hospital_knows(self, rx_id: str, status: Status) -> None:
        told = [report for report in self.hospital.reports.values() if report["id"] == rx_id]
        assert [report["at"] for report in told] == sorted(report["at"] for report in told)
        if status in (S.IN_REVIEW, S.FULFILLING, S.SETTLED, *NOTHING_HANDED_OVER):
            said = [report["status"] for report in told if report["status"] != "cancel_refused"]
            assert said[-1] == status
        if rx_id in self.cancelling and status not in NOTHING_HANDED_OVER:
            assert any(report["status"] == "cancel_refused" for report in told), f"{rx_id}: the cancel was forgotten"

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


def _owed_to_chains(sides: dict[str, int]) -> int:
    return sum(amount for account, amount in sides.items() if account.startswith("chain:"))


def _movement(row: PayerRow) -> tuple[str, str]:
    return ("reversed", row.reverses) if row.reverses else ("settled", row.settlement_id)


TestAnything = pytest.mark.usefixtures("_built")(Anything.TestCase)
TestAnything.settings = settings(
    max_examples=max(1, settings().max_examples * 2 // 5), stateful_step_count=40, deadline=None, derandomize=True,
    suppress_health_check=list(HealthCheck))

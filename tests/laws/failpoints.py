"""Fail points: the names of all transactions, and a city in which the power fails at one of them.

Gateway, dispatcher and steps are the product's own, on an SQLite file; partners are in memory and outlive every
crash. Prefect is left out: a run shows what happens and changes none of it.
"""

import ast
import asyncio
import base64
import json
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import httpx
import pytest
import sqlalchemy as sa
from fastapi import FastAPI

from adapters import registry
from domain.chains import ChainWord, LeftOut, Offers, OrderLine, PharmacyOrder, Receipt
from domain.claims import Claim, Settlement
from domain.errors import Refused
from domain.lifecycle import FINAL
from domain.people import Denied
from domain.prescription import Handover, prescription_id
from domain.prescription import Place as Where
from flows import canary, dispatcher, operations
from flows.dispatcher import Dispatcher
from flows.window import Window
from gateway.app import create_app
from gateway.web.access import COOKIE
from infra import topology
from infra.db import Database, Session, access_log, history, orders
from infra.db.ledger import SIDES
from infra.db.rows import (
    AnchorRow,
    ClaimRow,
    CounterOrderRow,
    DiscrepancyRow,
    HistoryRow,
    IntentRow,
    MessageRow,
    NoticeRow,
    OrderRow,
    OutboxRow,
    ParcelRow,
    PersonRow,
    PostingRow,
    PrescriptionRow,
    ReturnRow,
    ReviewRow,
    RoleGrantRow,
    ShelfRow,
    WishRow,
)
from infra.topology import Kind, joined
from tasks import polling, traffic, upkeep, window
from tasks.anchors import of_city
from tasks.city import City
from tasks.fulfilment.sealed import open_secrets
from tasks.line import hops
from tasks.settlement.reconciliation import reconcile_day
from tests.support import erx
from tests.support.city import (
    HOSPITAL,
    HOSPITAL_TOKEN,
    OPERATOR_TOKEN,
    PHARMACIST_TOKEN,
    Clock,
    FakeHospital,
    SimulatedCrash,
    bundle,
    cancel,
    make_city,
    make_settings,
    rxno,
)
from tests.support.fakes import FakeChain, FakePayer, FakePrefect, Replay
from tests.test_house_rules import PRODUCT, ROOT, sources

PATIENCE = 10.0
"""Seconds, for what takes hundredths."""
ANCHOR_KEY = base64.b64encode(bytes(range(32))).decode()
Place = tuple[str, str]
"""Name of a transaction, and "before" or "after" its commit."""
T = TypeVar("T")


# --- the names ---


def named() -> list[tuple[str, str]]:
    """(name, file:line) of every transaction of the product; the name is empty where it is not one we can read."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sources(*PRODUCT)}
    effects = sorted({step for path, tree in trees.items() if "tasks" in path.parts for step in _effects(tree)})
    return [(name, f"{path.relative_to(ROOT)}:{call.lineno}")
            for path, tree in trees.items() for call in ast.walk(tree)
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "transaction"
            for name in _names(call, effects)]


def _effects(tree: ast.AST) -> Iterator[str]:
    """Steps of the effects that are made: the second word of `Effect(prescription, "hold", order)`."""
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Effect":
            step = call.args[1]
            assert isinstance(step, ast.Constant), f"line {call.lineno}: the step of an effect is a word"
            yield str(step.value)


def _names(call: ast.Call, effects: Sequence[str]) -> list[str]:
    match call.args:
        case [ast.Constant(value=str(name))]:
            return [name]
        case [ast.JoinedStr(values=[ast.FormattedValue(value=value), ast.Constant(value=str(rest))])]:
            if ast.unparse(value) == "effect.step":
                return [f"{step}{rest}" for step in effects]
    return [""]


TRANSACTIONS = named()
NAMES = sorted({name for name, _ in TRANSACTIONS if name})


# --- the power supply and the partners ---


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


# --- the city ---


class World:
    """One prescription in a city whose power fails once, at a place that was chosen before.

    Every method is what somebody outside does until it is done: after a crash the processes are started again on
    the same files, leases run out, and whoever got no answer asks again.
    """

    def __init__(self, site: "Site", fails_at: Place | None = None, passing: int = 1) -> None:
        self._site = site
        self.power = Power(fails_at, passing)
        self.clock = Clock()
        self.ankang = Chain(slug="ankang", store="AK01", minutes=5)
        self.baicao = Chain(slug="baicao", store="BC07", minutes=40, says_yes_at_once=True)
        self.chains = {"ankang": self.ankang, "baicao": self.baicao}
        self.payer = Payer(slug=site.built.payer.slug)
        self.hospital = FakeHospital()
        self.prefect = FakePrefect()
        self.lease_seconds = 30.0
        self.rx = prescription_id(HOSPITAL, rxno(1))
        self._nonces = 0
        self._cookie = ""
        self._said = b""
        self._start()

    def _start(self) -> None:
        others = {erx.SLUG: registry.load("hospitals", erx.SLUG, Replay(), erx.SECRETS)}
        self.city = replace(self._site.built, db=self._site.db, chains=self.chains, payer=self.payer,
                            hospitals={HOSPITAL: self.hospital, **others}, now=self.clock)
        self._settings = make_settings(self._site.folder, worker=f"worker-{self.power.failed}", poll_seconds=0.004,
                                       lease_seconds=self.lease_seconds, anchor_key=ANCHOR_KEY)
        self._gateway: FastAPI | None = None

    def gateway(self) -> FastAPI:
        """Made when the first request comes: to make one is the dearest thing a world does."""
        if self._gateway is None:
            self._gateway = create_app(self.city, self._settings)
        return self._gateway

    def _until_done(self, do: Callable[[], T]) -> T:
        while True:
            try:
                answer = do()
                if not self.power.dead:
                    return answer
            except (SimulatedCrash, BaseExceptionGroup):
                if not self.power.dead:
                    raise
            self._site.db.close()
            self.power.back()
            self.later(seconds=31)
            self._start()

    # What people and partners do.

    def prescribe(self, sample: str = "long_term", key: str = "") -> httpx.Response:
        return self._hospital("Bundle", bundle(1, sample=sample, key=key))

    def cancel(self) -> httpx.Response:
        return self._hospital("Task", cancel(1))

    def ask_beforehand(self) -> None:
        """A hospital of the national interface has a prescription of its own checked, and does not send it."""
        self._until_done(lambda: asyncio.run(self._checked()))

    async def _checked(self) -> None:
        speech = erx.speaker()
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self.gateway()), base_url="http://testserver") as client:
            speech._client = client
            await speech.where(erx.facts())

    def decide(self, decision: str = "pass") -> None:
        """A pharmacist claims the prescription and decides."""
        claimed = self._post(f"/api/review/{self.rx}/claim", PHARMACIST_TOKEN).json()
        warned = {found["code"]: "已与医师核对确认" for found in claimed["findings"] if found["severity"] == "WARN"}
        no = {"codes": [sorted(self.city.knowledge.review_items)[0]], "text": "请核对"}
        self._said = json.dumps({"decision": decision} | ({"reasons": warned} if decision == "pass" else no)).encode()
        self.decide_again()

    def decide_again(self) -> None:
        """The same words once more."""
        answer = self._post(f"/api/review/{self.rx}/decision", PHARMACIST_TOKEN, self._said)
        assert answer.status_code == 200, answer.text

    def say(self, status: ChainWord, **more: Any) -> bytes:
        """The pharmacy of the newest order moves on and says so; the callback's bytes."""
        with self._site.watch.reading() as session:
            placed = orders.of(session, self.rx)[-1]
        secret = open_secrets(self.city, placed)
        if status is ChainWord.HANDED_OVER:
            more["pickup_code"] = secret["pickup_code"]
        chain = self.chains[placed.order.chain]
        body = chain.body(chain.update(placed.id, status, at=self.clock(), **more))
        assert self.call_back(chain.slug, body).status_code == 200
        return body

    def call_back(self, chain: str, body: bytes) -> httpx.Response:
        def post() -> httpx.Response:
            self._nonces += 1
            headers = self.chains[chain].headers(body, self.clock(), nonce=f"nonce-{self._nonces:020d}")
            return asyncio.run(self._request(f"/callbacks/{chain}", body, headers))

        return self._until_done(post)

    def wake(self) -> None:
        """An operator presses the button."""
        assert self._post(f"/api/ops/rx/{self.rx}/wake", OPERATOR_TOKEN).status_code == 200

    def close_notices(self) -> None:
        """An operator has dealt with all of them."""
        with self._site.watch.reading() as session:
            numbers = session.scalars(sa.select(NoticeRow.id)).all()
        for number in numbers:
            assert self._post(f"/api/ops/notices/{number}/closed", OPERATOR_TOKEN).status_code == 200

    def map_code(self, table: str, theirs: str, ours: str) -> None:
        """An operator says what a code of the hospital stands for."""
        said = f"hospital={HOSPITAL}&table={table}&theirs={theirs}&ours={ours}".encode()
        assert self._post("/api/ops/mapping", OPERATOR_TOKEN, said, "application/x-www-form-urlencoded").status_code == 200

    def compare_shapes(self) -> None:
        """The last message of the hospital against the one before it."""
        self._until_done(lambda: traffic.watch_shapes(self.city, recent=1, earlier=1, fewest=1))

    def poll(self) -> None:
        """The hospital's box is looked into."""
        self._until_done(lambda: asyncio.run(polling.poll_partner(self.city, HOSPITAL)))

    def redrive(self) -> None:
        """An operator presses Retry. A lease that it left behind lasts five minutes."""
        def run() -> None:
            if self.power.failed:
                self.later(minutes=5)
            asyncio.run(upkeep.driven(self.city, self.rx, "o001", "a-run"))

        self._until_done(run)

    def draw(self) -> None:
        """All that is to be drawn in Prefect. Whoever dies drawing keeps his turn for a minute."""
        def run() -> None:
            if self.power.failed:
                self.later(minutes=2)
            drawing = Window(self.city, self._settings)

            async def all_of_it() -> None:
                while await drawing.draw(self.prefect):  # type: ignore[arg-type]
                    pass

            asyncio.run(all_of_it())

        self._until_done(run)

    def draw_again(self) -> None:
        """Its run was moved by hand."""
        self._until_done(lambda: window.draw_again(self.city, [self.rx]))

    def stop_drawing(self) -> None:
        """The operations worker begins anew, and shall draw nothing."""
        self._until_done(lambda: window.rest(self.city))

    def anchor(self) -> None:
        """The night's deployment."""
        assert self._until_done(lambda: asyncio.run(operations.anchor.fn())).is_completed()

    def sign_in(self) -> None:
        """A pharmacist comes in by the page."""
        answer = self._form("/sign-in", f"code={PHARMACIST_TOKEN}".encode())
        assert answer.headers["location"] == "/review", answer.text
        self._cookie = answer.cookies[COOKIE]
        assert self._form("/review", method="GET").status_code == 200

    def sign_out(self) -> None:
        """And goes; the cookie opens nothing afterwards, whoever keeps a copy of it."""
        assert self._form("/sign-out").headers["location"].startswith("/sign-in")
        assert self._form("/review", method="GET").headers["location"].startswith("/sign-in")

    def staff(self, act: Callable[[City], T]) -> T | None:
        """An act of our own people, until it is done; None if it was done before a crash and so is refused now."""
        def once_more() -> T | None:
            try:
                return act(self.city)
            except Denied:
                if not self.power.failed:
                    raise
                return None

        return self._until_done(once_more)

    def sweep(self) -> None:
        self._until_done(lambda: asyncio.run(upkeep.sweep(self.city)))

    def reconcile(self) -> None:
        assert self._until_done(lambda: asyncio.run(reconcile_day(self.city)))

    def join(self) -> None:
        """A process starts, says that it is there, and ends."""
        def run() -> None:
            with joined(self.city.db, Kind.WORKER, "worker-1", local_archive=True, host="example", now=self.clock):
                seen, deadline = self.passes("process.seen"), time.monotonic() + PATIENCE
                while not seen() and time.monotonic() < deadline:
                    time.sleep(0.002)

        self._until_done(run)

    def passes(self, name: str) -> Callable[[], bool]:
        """Tells whether that transaction has been committed since now. A dead process has nothing to wait for."""
        place = name, "after"
        before = self.power.passed.count(place)
        return lambda: self.power.dead or self.power.passed.count(place) > before

    def sing(self) -> None:
        """The canary's minute."""
        self._until_done(lambda: asyncio.run(canary.canary.fn()))

    def later(self, **duration: float) -> None:
        self.clock.advance(**duration)
        self.payer.day = self.city.today()

    def hand_in_the_database(self, do: Callable[["World", Session], object]) -> None:
        """Something no door allows."""
        with self._site.watch.transaction() as session:
            do(self, session)

    def spoil(self, **values: Any) -> None:
        self.hand_in_the_database(lambda _, session: session.execute(sa.update(PrescriptionRow).values(**values)))

    def restart(self) -> None:
        """The processes end in order and start with other settings."""
        self._site.db.close()
        self._start()

    def work(self) -> None:
        """The worker does what is due, until nothing is."""
        for _ in range(20):
            if not self._busy():
                return
            self._until_done(lambda: asyncio.run(self._drive()))
        raise AssertionError("the worker never comes to rest")

    def rest(self) -> None:
        """Everybody is well, and time passes."""
        self.hospital.trouble = None
        for partner in (*self.chains.values(), self.payer):
            partner.heal()
        for _ in range(2):
            self.later(minutes=16)
            self.sweep()
            self.work()

    # Shorthand.

    def to_review(self, sample: str = "long_term") -> None:
        self.prescribe(sample)
        self.work()

    def to_fulfilling(self, sample: str = "long_term") -> None:
        self.to_review(sample)
        self.decide()
        self.work()

    def to_settled(self, sample: str = "long_term") -> None:
        self.to_fulfilling(sample)
        self.say(ChainWord.HANDED_OVER)
        self.work()

    def to_closed(self) -> None:
        self.reconcile()
        self.later(hours=2)
        self.work()

    # What came of it.

    def outcome(self) -> dict[str, object]:
        """Everything a crash must not change: where it ended, every book, what everybody was told. No times."""
        with self._site.watch.reading() as session:
            return {
                "prescriptions": _rows(session, PrescriptionRow, "id", "status", "wished"),
                "moves": [row for row in _rows(session, HistoryRow, "prescription_id", "from_status", "to_status")
                          if row[1] != row[2]],
                "reviews": _rows(session, ReviewRow, "prescription_id", "pharmacist", "decision"),
                "orders": _rows(session, OrderRow, "id", "chain", "status", "patient_due_fen"),
                "parcels": _rows(session, ParcelRow, "order_id", "number", "status", "portions"),
                "returns": _rows(session, ReturnRow, "order_id", "number", "status", "portions", "reason"),
                "wishes": _rows(session, WishRow, "prescription_id", "kind", "by", "reason", "answer"),
                "claims": _rows(session, ClaimRow, "prescription_id", "version", "order_id", "status", "total_fen"),
                "ledger": _ledger(session),
                "discrepancies": _rows(session, DiscrepancyRow, "prescription_id", "kind"),
                "noted": _rows(session, NoticeRow, "kind", "partner", "subject", "detail"),
                "answers": sorted(_rows(session, MessageRow, "source", "event_id", "answer_status")),
                "chains": {slug: {key: held.status for key, held in chain.book.items()}
                           for slug, chain in self.chains.items()},
                "arrived": {slug: chain.arrived for slug, chain in self.chains.items()},
                "fund": [(row.prescription_id, row.total, row.fund, bool(row.reverses)) for row in self.payer.book],
                "at shops": _rows(session, CounterOrderRow, "order_id", "word", "settlement_id", "cash_fen"),
                "shelves": _rows(session, ShelfRow, "store", "drug", "quantity", "price"),
                "anchored": _rows(session, AnchorRow, "day"),
                "prefect": self.prefect.picture(),
                "people": _rows(session, PersonRow, "id", "ended_by"),
                "roles": _rows(session, RoleGrantRow, "person", "role", "place", "ended_by"),
                "notices": {key: replace(one, settlement_id="") for chain in self.chains.values()
                            for key, one in chain.notices.items()},
                "reports": {key: (told["status"], told["reason"], told.get("money"))
                            for key, told in self.hospital.reports.items()},
            }

    def faults(self) -> list[str]:
        """What may be nowhere, whatever happened: half a posting, a torn history, an outcome nobody asks about."""
        with self._site.watch.reading() as session:
            found = [f"{row.id}: {broken}" for row in session.scalars(sa.select(PrescriptionRow))
                     if (broken := history.verify(session.scalars(
                         sa.select(HistoryRow).where(HistoryRow.prescription_id == row.id).order_by(HistoryRow.seq)), row))]
            found += [f"posting {key} does not balance" for key, entries in _ledger(session) if sum(
                amount for _, amount in entries)]
            found += [f"{row.step} {row.version} has no answer" for row in session.scalars(
                sa.select(IntentRow).where(IntentRow.answered_at.is_(None)))]
            found += [f"{row.key} was never delivered" for row in session.scalars(
                sa.select(OutboxRow).where(OutboxRow.due_at.is_not(None)))]
            found += [f"{row.id} is {row.status} and has {row.trouble}" for row in session.scalars(
                sa.select(PrescriptionRow).where(PrescriptionRow.trouble != ""))]
            anchored = session.scalar(sa.select(sa.func.count()).select_from(AnchorRow))
            found += [f"access log of {broken}" for broken in access_log.verify(session)]
        found += [str(wrong) for wrong in of_city(self.city, self._settings).verify()] if anchored else []
        for chain in self.chains.values():
            found += [f"{chain.slug} got {one} twice" for one in set(chain.arrived) if chain.arrived.count(one) > 1]
        return found

    # Inside.

    async def _drive(self) -> None:
        # What dies in a dead process has nobody to tell.
        asyncio.get_running_loop().set_exception_handler(lambda loop, what: None if self.power.failed or self.power.dead
                                                         else loop.default_exception_handler(what))
        stop = asyncio.Event()
        worker = asyncio.create_task(Dispatcher(self.city, self._settings).run(stop))
        while self._busy() and not (self.power.dead or worker.done()):
            await asyncio.sleep(0.002)
        stop.set()
        if not self.power.dead:
            # The last words may be the ones with which it dies.
            await asyncio.wait([worker], timeout=60)
        if self.power.dead:
            worker.cancel()
            await asyncio.wait([worker], timeout=60)
            return
        worker.result()

    def _busy(self) -> bool:
        now = self.clock()
        with self._site.watch.reading() as session:
            due = sa.or_(sa.and_(PrescriptionRow.wake_at <= now, PrescriptionRow.status.not_in(FINAL)),
                         PrescriptionRow.lease_until >= now)
            return bool(session.scalar(sa.select(sa.func.count()).select_from(PrescriptionRow).where(due))
                        or session.scalar(sa.select(sa.func.count()).select_from(OutboxRow)
                                          .where(OutboxRow.due_at <= now)))

    def _hospital(self, kind: str, body: bytes) -> httpx.Response:
        return self._post(f"/fhir/{HOSPITAL}/{kind}", HOSPITAL_TOKEN, body, "application/fhir+json")

    def _post(self, path: str, token: str, body: bytes = b"", kind: str = "application/json") -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": kind}
        return self._until_done(lambda: asyncio.run(self._request(path, body, headers)))

    def _form(self, path: str, body: bytes = b"", method: str = "POST") -> httpx.Response:
        """What a browser with our cookie sends from a page of ours."""
        headers = {"Origin": "http://testserver", "Content-Type": "application/x-www-form-urlencoded"}
        if self._cookie:
            headers["Cookie"] = f"{COOKIE}={self._cookie}"
        return self._until_done(lambda: asyncio.run(self._request(path, body, headers, method)))

    async def _request(self, path: str, body: bytes, headers: dict[str, str], method: str = "POST") -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self.gateway()), base_url="http://testserver") as client:
            return await client.request(method, path, content=body, headers=headers)


def _rows(session: Session, table: Any, *columns: str) -> list[tuple[Any, ...]]:
    order = table.__mapper__.primary_key
    return [tuple(row) for row in session.execute(sa.select(*(getattr(table, one) for one in columns)).order_by(*order))]


def _ledger(session: Session) -> list[tuple[tuple[str, str], list[tuple[str, int]]]]:
    entries: dict[int, list[tuple[str, int]]] = defaultdict(list)
    for posting_id, account, amount in session.execute(
            sa.select(SIDES.c.posting_id, SIDES.c.account, SIDES.c.amount_fen).order_by(*SIDES.c)):
        entries[posting_id].append((account, amount))
    return [((row.prescription_id, row.kind), entries[row.id])
            for row in session.scalars(sa.select(PostingRow).order_by(PostingRow.id))]


# --- where it stands ---


class _Batch:
    """Stands for `batch_of_prescriptions`: the same hops, and nobody to show them to."""

    def __init__(self, site: "Site") -> None:
        self._site = site

    def with_options(self, **_: object) -> Callable[..., Any]:
        async def run(ids: Sequence[str], **_: object) -> None:
            await hops(self._site.world.city, ids)

        return run


class _Silence:
    def info(self, *_: object) -> None: ...


def _tell(what: threading.ExceptHookArgs) -> None:
    """A thread that dies with its process says nothing."""
    if what.exc_type is not SimulatedCrash:
        threading.__excepthook__(what)


class _InARun:
    """Stands for `FlowRunContext`."""

    @staticmethod
    def get() -> SimpleNamespace:
        return SimpleNamespace(flow_run=SimpleNamespace(id="run"))


async def _nothing(*_: object) -> set[str]:
    return set()


class Site:
    """A place for one world after the other, each on a fresh copy of a migrated database.

    One engine serves them all: what costs most is spelling the same SQL again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.built = make_city(folder)
        self.built.db.close()
        url = f"sqlite:///{folder / 'world.db'}"
        self.db = Database(url, boundary=lambda name, when: self.world.power(name, when))
        self.watch = Database(url)

    @contextmanager
    def without_prefect(self) -> Iterator["Site"]:
        """The flows work for the present world, and tell nobody."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(dispatcher, "batch_of_prescriptions", _Batch(self))
            patch.setattr(operations, "get_settings", lambda: self.world._settings)
            for module in (operations, canary):
                patch.setattr(module, "city", lambda: self.world.city)
                patch.setattr(module, "get_run_logger", _Silence)
            patch.setattr(canary, "FlowRunContext", _InARun)
            patch.setattr(canary, "get_client", nullcontext)
            patch.setattr(canary, "round_trip", _nothing)
            patch.setattr(canary, "_unseen", _nothing)
            patch.setattr(canary, "emit_event", lambda *_, **__: None)
            patch.setattr(topology, "BEAT_SECONDS", 0.01)
            patch.setattr(threading, "excepthook", _tell)
            yield self

    def fresh(self, fails_at: Place | None = None, passing: int = 1) -> World:
        for database in (self.db, self.watch):
            database.close()
        for left in self.folder.glob("world.db*"):
            left.unlink()
        shutil.copy(self.folder / "sanyi.db", self.folder / "world.db")
        self.world = World(self, fails_at, passing)
        return self.world

"""A city in which the power fails at one fail point.

Gateway, dispatcher and steps are the product's own, on an SQLite file; partners are in memory and outlive every
crash. Prefect is left out: a run shows what happens and changes none of it.
"""

import asyncio
import base64
import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
import sqlalchemy as sa
from fastapi import FastAPI

from adapters import registry
from domain.chains import ChainWord
from domain.lifecycle import FINAL
from domain.people import Denied
from domain.prescription import prescription_id
from flows import canary, operations
from flows.dispatcher import Dispatcher
from flows.window import Window
from gateway.app import create_app
from gateway.web.access import COOKIE
from infra.db import Session, orders, uploads
from infra.db.rows import NoticeRow, OutboxRow, PrescriptionRow
from infra.topology import Kind, joined
from tasks import polling, traffic, upkeep, window
from tasks.city import City
from tasks.fulfilment.sealed import open_secrets
from tasks.settlement.reconciliation import reconcile_day
from tests.laws.outcome import faults, outcome
from tests.laws.power import PATIENCE, Chain, Payer, Power
from tests.laws.transactions import Place
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
    make_settings,
    rxno,
)
from tests.support.couriers import COURIER, FakeCourier
from tests.support.fakes import FakeEndpoint, FakePrefect, Replay

if TYPE_CHECKING:
    from tests.laws.site import Site

ANCHOR_KEY = base64.b64encode(bytes(range(32))).decode()
T = TypeVar("T")


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
        self.couriers: dict[str, FakeCourier] = {}
        self.webhooks: dict[str, FakeEndpoint] = {}
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
        self.city = replace(self._site.built, db=self._site.db, chains=self.chains, couriers=self.couriers, payer=self.payer,
                            webhooks=self.webhooks, hospitals={HOSPITAL: self.hospital, **others}, now=self.clock)
        self.settings = make_settings(self._site.folder, worker=f"worker-{self.power.failed}", poll_seconds=0.004,
                                       lease_seconds=self.lease_seconds, anchor_key=ANCHOR_KEY)
        self._gateway: FastAPI | None = None

    def gateway(self) -> FastAPI:
        """Made when the first request comes: to make one is the dearest thing a world does."""
        if self._gateway is None:
            self._gateway = create_app(self.city, self.settings)
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

    def call_back(self, chain: str, body: bytes, below: str = "") -> httpx.Response:
        """`below`: the rest of the path."""
        def post() -> httpx.Response:
            self._nonces += 1
            headers = self.chains[chain].headers(body, self.clock(), nonce=f"nonce-{self._nonces:020d}")
            return asyncio.run(self._request(f"/callbacks/{chain}{below}", body, headers))

        return self._until_done(post)

    def courier_calls_back(self, body: bytes) -> httpx.Response:
        def post() -> httpx.Response:
            self._nonces += 1
            signed = self.couriers[COURIER].headers(body, self.clock(), f"nonce-{self._nonces:020d}")
            return asyncio.run(self._request(f"/callbacks/couriers/{COURIER}", body,
                                             {f"Sanyi-{name.capitalize()}": value for name, value in signed.items()}))

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

    def poll(self, partner: str = HOSPITAL) -> None:
        """A partner's box is looked into."""
        self._until_done(lambda: asyncio.run(polling.poll_partner(self.city, partner)))

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
            drawing = Window(self.city, self.settings)

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
        for partner in (*self.chains.values(), *self.couriers.values(), self.payer):
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
        """Everything a crash must not change."""
        with self._site.watch.reading() as session:
            return outcome(session, self)

    def faults(self) -> list[str]:
        """What may be nowhere, whatever happened."""
        with self._site.watch.reading() as session:
            return faults(session, self)

    # Inside.

    async def _drive(self) -> None:
        # What dies in a dead process has nobody to tell.
        asyncio.get_running_loop().set_exception_handler(lambda loop, what: None if self.power.failed or self.power.dead
                                                         else loop.default_exception_handler(what))
        stop = asyncio.Event()
        worker = asyncio.create_task(Dispatcher(self.city, self.settings).run(stop))
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
                                          .where(OutboxRow.due_at <= now))
                        or uploads.any_due(session, now))

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

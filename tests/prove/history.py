"""A million closed prescriptions in the database change neither throughput nor any page: cost does not grow with history."""

import argparse
import asyncio
import json
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from itertools import count
from pathlib import Path
from uuid import uuid4

import psycopg
import sqlalchemy as sa
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.testclient import TestClient
from rich.console import Console
from rich.table import Table

from domain.chains import ChainWord
from domain.claims import DayTotals, Reconciled
from domain.lifecycle import FINAL, Status
from domain.prescription import prescription_id
from domain.review import Decision
from gateway.app import create_app
from infra import log
from infra.db import prescriptions
from infra.db.rows import HopRow, MessageRow, PostingRow, PrescriptionRow
from infra.db.views.books import verify_page
from sandbox.people import resident_id
from tasks import review
from tasks.audit import audit_prescription
from tasks.board import board_markdown
from tasks.city import City
from tasks.intake import receive_prescription
from tasks.line import hop
from tasks.patients import page_address
from tasks.reports import deliver_due
from tasks.settlement.reconciliation import reconcile_day, unreconciled_days
from tasks.upkeep import sweep
from tests.support import plans, services
from tests.support.city import (
    COLLEAGUE,
    HOSPITAL,
    HOSPITAL_TOKEN,
    OPERATOR_TOKEN,
    PHARMACIST_TOKEN,
    Clock,
    bundle,
    cancel_by_hospital,
    make_city,
    make_settings,
    pass_review,
    rxno,
    say,
)
from tests.support.fakes import FakeChain, FakePayer
from tests.support.past import bare_tables, multiply
from tests.support.plans import Statements, listening

SAMPLES = ("long_term", "home_delivery")
SHELVED = 20
"""Open prescriptions in each status, before and after."""
BATCH = 10
SLOWEST_MS = 100
"""What a page may take: the median of five."""
SLOWER = 0.10
"""By how much a prescription may cost more, CPU and time each, with a full database than with an empty one."""
FEW = 5_000
"""A table of fewer rows may be read whole."""


class Agreeing(FakePayer):
    """A fund that agrees with every day's total: it has not seen the copies."""

    async def reconcile(self, totals: DayTotals) -> Reconciled:
        return Reconciled(True, "")


def _of_somebody_else(raw: bytes, number: int) -> bytes:
    """The same prescription for a patient of its own: one person's second supply would come too early (B-26)."""
    message = json.loads(raw)
    patient = next(entry["resource"] for entry in message["entry"] if entry["resource"]["resourceType"] == "Patient")
    sequence, later = number % 400, number // 400
    born = date.fromisoformat(patient["birthDate"]) + timedelta(days=later % 3_000)
    odd = patient["gender"] == "male"
    patient["birthDate"] = born.isoformat()
    patient["identifier"][0]["value"] = resident_id("370102", born, 100 + 2 * sequence + odd)
    return json.dumps(message, ensure_ascii=False).encode()


@dataclass
class Town:
    """The demo city with partners in this process, and prescriptions that go where they are sent."""

    city: City
    clock: Clock
    runner: asyncio.Runner
    _numbers: "count[int]" = field(default_factory=lambda: count(1))

    def hop(self, *ids: str) -> None:
        """One run of this batch, as a worker does it."""
        with self.city.db.transaction() as session:
            prescriptions.lease_due(session, "worker", at=self.clock(), lease=timedelta(minutes=1), limit=BATCH)
        with log.bind(run=str(uuid4())):
            for rx_id in ids:
                done = self.runner.run(hop(self.city, rx_id), context=copy_context())
                assert not done.error, done
        with self.city.db.transaction() as session:
            prescriptions.release(session, "worker", ids)

    def admit(self, many: int, sample: str = "") -> list[str]:
        ids = []
        for number in (next(self._numbers) for _ in range(many)):
            raw = bundle(number, sample=sample or SAMPLES[number % len(SAMPLES)], at=self.clock())
            said = receive_prescription(self.city, HOSPITAL, _of_somebody_else(raw, number))
            assert said.status == 201, said.body.decode()
            ids.append(prescription_id(HOSPITAL, rxno(number)))
        return ids

    def deliver(self) -> None:
        while self.runner.run(deliver_due(self.city)):
            pass

    def to_fulfilling(self, many: int) -> list[str]:
        ids = self.admit(many)
        self.hop(*ids)
        for rx_id in ids:
            pass_review(self.city, rx_id)
        self.hop(*ids)
        return ids

    def to_fulfilled(self, many: int) -> list[str]:
        ids = self.to_fulfilling(many)
        for rx_id in ids:
            for word in (ChainWord.ACCEPTED, ChainWord.PREPARED, ChainWord.HANDED_OVER):
                say(self.city, rx_id, word)
        return ids

    def to_settled(self, many: int) -> list[str]:
        ids = self.to_fulfilled(many)
        self.hop(*ids)
        self.deliver()
        return ids

    def day_end(self) -> None:
        """The return windows are over and the day is reconciled."""
        self.clock.advance(minutes=70)
        self.runner.run(reconcile_day(self.city))

    def status(self, rx_id: str) -> Status:
        with self.city.db.reading() as session:
            return prescriptions.load(session, rx_id).status

    def shelve(self) -> None:
        """Some open prescriptions in every status: what operations look at all day."""
        chains = [chain for chain in self.city.chains.values() if isinstance(chain, FakeChain)]
        for start in range(0, SHELVED, BATCH):
            many = min(BATCH, SHELVED - start)
            for rx_id in self.admit(many):
                self.runner.run(audit_prescription(self.city, rx_id))
            reviewing = self.admit(2 * many)
            self.hop(*reviewing)
            for rx_id in reviewing[:many]:
                pass_review(self.city, rx_id)
            for chain in chains:
                chain.refuse_next("out_of_stock", "hold")
            self.to_fulfilling(many)
            for chain in chains:
                chain.heal()
            self.to_fulfilled(many)
            self.to_settled(many)
        self.admit(SHELVED)

    def originals(self) -> tuple[list[str], list[str]]:
        """Closed ones of every kind of story, and some that ended otherwise."""
        # Before anything is handed over: they are of one patient, whose second supply would come too early (B-26).
        refused = self.admit(2)
        self.hop(*refused)
        for rx_id in refused:
            review.assign(self.city, rx_id, COLLEAGUE)
            review.decide(self.city, rx_id, COLLEAGUE, Decision("return", ("2-5",), "请核对用量"))
        closed = self.to_settled(24)
        for rx_id in closed[:2]:
            say(self.city, rx_id, ChainWord.RETURNED, reason="quality")
        self.hop(*closed[:2])
        numbers = [next(self._numbers) for _ in range(2)]
        for number in numbers:
            receive_prescription(self.city, HOSPITAL, bundle(number, at=self.clock()))
            cancel_by_hospital(self.city, number)
        self.day_end()
        self.hop(*closed)
        self.deliver()
        others = [*refused, *(prescription_id(HOSPITAL, rxno(number)) for number in numbers)]
        assert {self.status(rx_id) for rx_id in closed} == {Status.CLOSED}
        assert all(self.status(rx_id) in FINAL for rx_id in others), [self.status(rx_id) for rx_id in others]
        return closed, others


@dataclass(frozen=True)
class Spent:
    """On one prescription from intake to closed, in seconds; without the day's end."""

    cpu: float
    """Ours and PostgreSQL's."""
    time: float
    """By the clock on the wall: one batch after the other, so prescriptions per second are one through it."""


def measure(town: Town, server_pid: int, many: int) -> Spent:
    """What so many prescriptions cost, each."""
    def now() -> tuple[float, float]:
        return time.process_time() + _cpu_of(server_pid), time.perf_counter()

    begun = now()
    settled = [rx_id for _ in range(0, many, BATCH) for rx_id in town.to_settled(BATCH)]
    paused = now()
    town.day_end()
    resumed = now()
    for start in range(0, len(settled), BATCH):
        town.hop(*settled[start:start + BATCH])
    ended = now()
    assert {town.status(rx_id) for rx_id in settled} == {Status.CLOSED}
    cpu, seconds = ((b - a) + (d - c) for a, b, c, d in zip(begun, paused, resumed, ended, strict=True))
    return Spent(cpu / len(settled), seconds / len(settled))


def _cpu_of(pid: int) -> float:
    """Seconds of CPU of a process, its children and those it has buried."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            numbers = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # It ended while we looked.
        if int(stat.parent.name) == pid:
            ticks += sum(map(int, numbers[11:15]))
        elif int(numbers[1]) == pid:
            ticks += sum(map(int, numbers[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


# --- Pages ---------------------------------------------------------------------------------------


OF_PEOPLE = ("/notices/", "/people", "/partner-tokens", "/account", "/enrol", "/access-log", "/roles", "/inbox",
             "/api/inbox")
"""Pages about people and their accounts, which do not grow with prescriptions, and those of a shop's own people. An operator may
not open most. And the address of a form, which only leads back to its page."""


def addresses(app: FastAPI, town: Town) -> list[str]:
    """Every GET route of the gateway, with something from the middle of the past in its path, and deep pages of lists."""
    with town.city.db.reading() as session:
        middle = sa.select(PrescriptionRow).where(PrescriptionRow.status == Status.CLOSED, PrescriptionRow.id > "rx_m",
                                                  PrescriptionRow.external_id.startswith("P"))
        row = session.scalars(middle.order_by(PrescriptionRow.id).limit(1)).one()
        hop_row = session.scalars(sa.select(HopRow).where(HopRow.prescription_id == row.id).limit(1)).one()
        posting = (session.scalar(sa.select(sa.func.max(PostingRow.id))) or 0) // 2
        reviewing = session.scalars(sa.select(PrescriptionRow.id).where(
            PrescriptionRow.status == Status.IN_REVIEW).limit(1)).one()
        key = session.scalars(sa.select(MessageRow.event_id).where(
            MessageRow.prescription_id == row.id, MessageRow.source.endswith(HOSPITAL)).limit(1)).one()
    known = {"rx_id": row.id, "key": key, "run_id": hop_row.run_id, "hospital": HOSPITAL, "slug": HOSPITAL,
             "external_id": row.external_id, "number": row.external_id, "form": "decision", "act": "again",
             "link": page_address(town.city, row.id).removeprefix("/p/")}
    found = []
    for path, methods in get_openapi(title="", version="", routes=app.routes)["paths"].items():
        if "get" in methods and not path.startswith(OF_PEOPLE):
            unknown = set(re.findall(r"{(\w+)", path)) - known.keys()
            assert not unknown, f"{path}: say here what {unknown} is to be"
            found.append(path.format(**known))
    assert {"/", "/api/ops/board"} < set(found)
    mark = f"{row.received_at.isoformat().replace('+', '%2B')}~{row.id}"
    return [*found, f"/review/{reviewing}", f"/rx?q={row.external_id}", f"/rx?q={row.id}", "/rx?status=closed",
            f"/rx?before={mark}", f"/rx?status=closed&status=cancelled&before={mark}",
            f"/api/ops/prescriptions?after={row.id}", f"/api/ops/ledger?posting={posting}&order=ord_{row.id[3:]}_1&version=1",
            f"/api/ops/verify?rx={row.id}&posting={posting}", f"/api/ops/discrepancies?before={posting}",
            f"/api/ops/notices?before={posting}"]


def timed(client: TestClient, paths: Sequence[str]) -> dict[str, tuple[float, int, int]]:
    """By path: milliseconds (median of five), bytes and status of the answer.

    Ten more come before those: what was sent five times the driver prepares, and five times later PostgreSQL may plan it
    for any parameters. Those are the plans a gateway lives with.
    This past's hospital speaks FHIR, so it has no other door, and none of its messages is put right.
    """
    found = {}
    for path in paths:
        taken = []
        for _ in range(15):
            began = time.perf_counter()
            answer = client.get(path, headers={"Authorization": f"Bearer {_token(path)}"})
            taken.append(1000 * (time.perf_counter() - began))
        elsewhere = path.startswith(("/soap/", "/messages/")) or path.endswith("/patched")
        expected = (404,) if elsewhere else (200, 201, 303)
        assert answer.status_code in expected, f"{path}: {answer.status_code}"
        # To be sent to the sign-in is not to see a page.
        assert not answer.headers.get("location", "").startswith("/sign-in"), path
        found[path] = statistics.median(taken[-5:]), len(answer.content), answer.status_code
    return found


def look_around(town: Town, client: TestClient, heard: Statements) -> dict[str, tuple[float, int, int]]:
    """Everything anybody asks of the database: the line, upkeep, the day's end, the board, every page."""
    app = client.app
    assert isinstance(app, FastAPI)
    paths = addresses(app, town)
    with listening(heard):
        settled = town.to_settled(BATCH)
        say(town.city, settled[0], ChainWord.RETURNED, reason="quality")
        town.hop(settled[0])
        town.day_end()
        town.hop(*settled)
        town.runner.run(sweep(town.city))
        unreconciled_days(town.city)
        board_markdown(town.city, "")
        return timed(client, paths)


def signed_in(town: Town, folder: Path) -> TestClient:
    """The gateway, in memory."""
    return TestClient(create_app(town.city, make_settings(folder)), follow_redirects=False)


def _token(path: str) -> str:
    """Of somebody who is let in there."""
    return HOSPITAL_TOKEN if path.startswith(("/fhir/", "/messages/")) else (
        PHARMACIST_TOKEN if path.startswith("/api/review") else OPERATOR_TOKEN)


# --- The proof -----------------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(prog="./go prove history", description=__doc__)
    parser.add_argument("--prescriptions", type=int, default=1_000_000, help="closed ones to fill the database with")
    parser.add_argument("--round", type=int, default=60, help="prescriptions of one measurement of throughput")
    parser.add_argument("--rounds", type=int, default=4, help="measurements of each, by turns; the least counts")
    given = parser.parse_args()
    console = Console(highlight=False, width=150)
    log.configure("ERROR")
    with tempfile.TemporaryDirectory() as folder, services.postgres() as server, asyncio.Runner() as runner:
        url, pid = server.fresh(), int((server.folder / "data" / "postmaster.pid").read_text().split()[0])
        libpq = url.replace("postgresql+psycopg", "postgresql")
        town, young = (_town(Path(folder) / name, of, runner) for name, of in (("full", url), ("empty", server.fresh())))
        city = town.city
        closed, others = town.originals()
        for each in (town, young):
            each.shelve()

        began, size = time.monotonic(), _size(city)
        with bare_tables(libpq, console.print):
            multiply(libpq, closed, given.prescriptions, console.print)
            multiply(libpq, others, given.prescriptions // 20, console.print, first=given.prescriptions)
        filled, grown = time.monotonic() - began, _size(city) - size
        per = given.prescriptions / 100_000
        console.print(f"filled with {given.prescriptions:,} closed and {given.prescriptions // 20:,} otherwise ended in "
                      f"{filled:.0f} s; {grown / 1e9:.2f} GB; per 100,000: {filled / per:.0f} s, {grown / per / 1e9:.2f} GB")
        broken = _sampled(city)
        console.print(f"2,000 copied chains walked, {broken} broken")

        _analyse(young.city.db.url.replace("postgresql+psycopg", "postgresql"))
        # By turns: whatever else this machine does meets both alike.
        spent = [[measure(each, pid, given.round) for each in (young, town)] for _ in range(given.rounds + 1)][1:]
        # The cheapest round of each: noise only ever adds.
        empty, full = (Spent(min(one[which].cpu for one in spent), min(one[which].time for one in spent)) for which in (0, 1))
        console.print(f"CPU-ms per prescription, worker and PostgreSQL: empty {1000 * empty.cpu:.1f}, full {1000 * full.cpu:.1f}; "
                      "rounds " + ", ".join(f"{1000 * a.cpu:.0f}/{1000 * b.cpu:.0f}" for a, b in spent))
        console.print(f"ms per prescription: empty {1000 * empty.time:.1f}, full {1000 * full.time:.1f}; "
                      "rounds " + ", ".join(f"{1000 * a.time:.0f}/{1000 * b.time:.0f}" for a, b in spent))
        heard: Statements = {}
        client = signed_in(town, Path(folder))
        pages = look_around(town, client, heard)
        reads = plans.whole_reads(url, heard, small=_small(city))
        for each in (town, young):
            each.city.db.close()

    console.print(_table(pages))
    for read in reads:
        console.print(f"  [red]{read[:400]}[/red]")
    console.print(f"{len(heard)} different statements; {len(reads)} read a table of more than {FEW:,} rows whole")
    slowest = max(pages, key=lambda path: pages[path][0])
    cpu, taken = full.cpu / empty.cpu, full.time / empty.time
    held = not broken and not reads and max(cpu, taken) <= 1 + SLOWER and pages[slowest][0] <= SLOWEST_MS
    console.print(f"history: {given.prescriptions} closed; CPU per prescription {cpu:.2f}, time {taken:.2f} of empty (least of "
                  f"{given.rounds} rounds); slowest page {pages[slowest][0]:.0f} ms, median of five ({slowest})")
    return 0 if held else 1


def _town(folder: Path, url: str, runner: asyncio.Runner) -> Town:
    folder.mkdir()
    clock = Clock()
    city = make_city(folder, url, now=clock)
    return Town(replace(city, payer=Agreeing(slug=city.policy.payer)), clock, runner)


def _analyse(libpq: str) -> None:
    with psycopg.connect(libpq, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE)")


def _size(city: City) -> int:
    with city.db.reading() as session:
        return int(session.scalar(sa.text("SELECT pg_database_size(current_database())")) or 0)


def _small(city: City) -> frozenset[str]:
    with city.db.reading() as session:
        rows = session.execute(sa.text("SELECT relname, reltuples FROM pg_class WHERE relkind = 'r'"))
        return frozenset(str(name) for name, tuples in rows if tuples < FEW)


def _sampled(city: City) -> int:
    """Walks some of the copied chains."""
    with city.db.reading() as session:
        page, _ = verify_page(session, "rx_f", 1000, 2000)
    return len(page["broken"]) + len(page["out_of_balance"]) + len(page["unlike_claim"])


def _table(pages: dict[str, tuple[float, int, int]]) -> Table:
    table = Table("page or query", "ms", "bytes", "answer")
    for path, (taken, size, status) in sorted(pages.items(), key=lambda one: -one[1][0]):
        table.add_row(path, f"{taken:.1f}", f"{size:,}", str(status), style="red" if taken > SLOWEST_MS else "")
    return table


if __name__ == "__main__":
    sys.exit(main())

"""Two workers share one PostgreSQL for a small day, and one of them is killed in the middle."""

from collections import defaultdict
from datetime import UTC, datetime
from itertools import pairwise

import pytest
import sqlalchemy as sa
from rich.console import Console

from infra.db import Database, processes
from infra.db.rows import HopRow
from sandbox.city import SandboxCity, Shape
from sandbox.day import run_day
from sandbox.plan import Plan
from sandbox.processes import Processes


class City(SandboxCity):
    """One whose hospital begins when both workers are there, and whose prescriptions expire a little sooner."""

    database: Database

    def send(self, prescriptions: int, expiring_seconds: int = 20) -> Plan:
        self.wait_until(self._both_are_there, "two workers", seconds=120)
        return super().send(prescriptions, expiring_seconds)

    def _both_are_there(self) -> bool:
        with self.database.reading() as session:
            return sum(one.kind == "worker" for one in processes.alive(session, datetime.now(UTC))) == 2


def worked(city: SandboxCity, worker: str = "worker-1") -> int:
    """Runs of a worker; the first one is killed when it has some."""
    return city.count_runs(f"worker:{worker}")


@pytest.fixture(scope="module")
def day(tmp_path_factory, postgres):
    """The day, the runs of each worker, and every prescription's hops in the order in which they began."""
    folder = tmp_path_factory.mktemp("two-workers")
    url, prefect = postgres.fresh(), postgres.fresh()
    database = Database(url)
    with Processes(folder / "logs") as children:
        # Prefect on PostgreSQL too: on SQLite the runs of two workers make each other wait for minutes.
        shape = Shape(workers=2, prefect_database_url=prefect.replace("psycopg", "asyncpg"))
        # Slow hospitals: there is work for both before all is done.
        city = City(folder, children, slug="jinan", seed=7, per_second=0.5, database_url=url, shape=shape)
        city.database = database
        lived = run_day(city, 12, Console(quiet=True), kills=[lambda _, received: received >= 1 / 3 and worked(city) > 0])
        runs = {name: worked(city, name) for name in city.members["worker"]}
        killed = city.killed("worker")
    hops = defaultdict(list)
    with database.reading() as session:
        for hop in session.scalars(sa.select(HopRow).order_by(HopRow.started_at, HopRow.id)):
            hops[hop.prescription_id].append((hop.started_at, hop.ended_at))
    database.close()
    for one in (url, prefect):
        postgres.drop(one)
    return lived, runs, killed, hops


def test_every_prescription_ends_as_planned_and_all_books_agree(day):
    lived, _, killed, _ = day
    assert killed == 1
    assert [one for one in lived.ended if not one.right] == []
    assert (len(lived.ended), lived.differences, lived.red_runs) == (12, [], [])


def test_both_workers_worked(day):
    _, runs, _, _ = day
    assert sorted(runs) == ["worker-1", "worker-2"]
    assert min(runs.values()) > 0, runs


def test_no_prescription_was_worked_on_by_two_at_a_time(day):
    _, _, _, hops = day
    assert len(hops) >= 10, "all but those that were cancelled before they came"
    overlapping = [(rx, first, second) for rx, spans in hops.items() for first, second in pairwise(spans)
                   if second[0] < first[1]]
    assert overlapping == []

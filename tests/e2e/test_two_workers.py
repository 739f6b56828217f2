"""Two workers share one PostgreSQL for a small day, and one of them is killed in the middle."""

from collections import defaultdict
from itertools import pairwise

import pytest
import sqlalchemy as sa
from rich.console import Console

from infra.db import Database
from infra.db.rows import HopRow
from sandbox.city import SandboxCity, Shape
from sandbox.day import run_day
from sandbox.processes import Processes


@pytest.fixture(scope="module")
def day(tmp_path_factory, postgres):
    """The day, the runs of each worker, and every prescription's hops in the order in which they began."""
    folder = tmp_path_factory.mktemp("two-workers")
    url, prefect = postgres.fresh(), postgres.fresh()
    with Processes(folder / "logs") as processes:
        # Prefect on PostgreSQL too: on SQLite the runs of two workers make each other wait for minutes.
        shape = Shape(workers=2, prefect_database_url=prefect.replace("psycopg", "asyncpg"))
        city = SandboxCity(folder, processes, slug="jinan", seed=7, per_second=2, database_url=url, shape=shape)
        lived = run_day(city, 12, Console(quiet=True))
        runs = {name: city.count_runs(f"worker:{name}") for name in city.members["worker"]}
        killed = city.killed("worker")
    database = Database(url)
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

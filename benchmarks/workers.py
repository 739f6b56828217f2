"""1, 2 and 4 worker processes on one PostgreSQL and one Prefect server share the queue: speed, CPU, nothing claimed twice.

Each worker has null partners and null people of its own; who delivers a report plays the people for it. Two claims of
one prescription at the same time would be two hops that overlap, so that is what is looked for.
"""

import argparse
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psycopg
from rich.console import Console
from rich.table import Table

from benchmarks.lifecycle import Rig, until_finished
from benchmarks.rig.cost import cpu_seconds, libpq, until_idle
from infra.log import configure
from sandbox.processes import Processes
from tests.services import postgres

CORES = len(os.sched_getaffinity(0))
"""Of this machine, for all of it: workers, Prefect, PostgreSQL."""
OVERLAPS = """SELECT count(*) FROM hop a JOIN hop b ON a.prescription_id = b.prescription_id AND a.ctid < b.ctid
              AND a.started_at < b.ended_at AND b.started_at < a.ended_at"""
DOUBLED = """SELECT (SELECT count(*) - count(DISTINCT prescription_id) FROM pharmacy_order)
                  + (SELECT count(*) - count(DISTINCT prescription_id) FROM claim)"""
"""More than one order or claim of a prescription, where nobody ever said no."""


@dataclass(frozen=True)
class Measured:
    """What so many workers did."""

    workers: int
    rate: float
    """Prescriptions/s, from all due to all settled and delivered."""
    worker: float
    """CPU-ms per prescription, all workers together; as are the next two."""
    server: float
    """With what Prefect's server had put off until after the last prescription."""
    postgres: float
    busy: float
    """Share of the machine's cores that all of these used until the last prescription was through."""
    size: float
    """Hops in a batch, on average: each batch is a flow run, whose cost they share."""
    double: int
    """Double claims."""


def measure(rig: Rig, workers: int, count: int) -> Measured:
    """So many workers, `count` prescriptions."""
    database = rig.database(count)
    with rig.prefect(f"workers-{workers}") as (api, prefects, server), ExitStack() as stack:
        names = [f"worker-{number}-of-{workers}" for number in range(1, workers + 1)]
        ours = [stack.enter_context(rig.contender("ours", name, database, api=api)).process.pid for name in names]
        beside = [server, rig.postmaster]
        until_idle(beside)

        def used() -> tuple[float, float, float]:
            return sum(map(cpu_seconds, ours)), cpu_seconds(server), cpu_seconds(rig.postmaster)

        before, begin = used(), time.monotonic()
        for name in names:
            rig.go(name)
        until_finished(rig, database)
        seconds, at_end = time.monotonic() - begin, used()
        # What is put off is part of the price; workers that look for more work are not.
        until_idle(beside)
        after = (at_end[0], *used()[1:])
        with psycopg.connect(libpq(prefects)) as connection:
            runs = connection.execute("SELECT count(*) FROM flow_run").fetchone()
    with psycopg.connect(libpq(database), autocommit=True) as connection:
        hops = connection.execute("SELECT count(*) FROM hop").fetchone()
        double = sum(found for statement in (OVERLAPS, DOUBLED) for found, in connection.execute(statement).fetchall())
    rig.server.drop(database)
    worker, prefect, database_server = (1000 * (b - a) / count for a, b in zip(before, after, strict=True))
    busy = (sum(at_end) - sum(before)) / seconds / CORES
    assert hops
    assert runs
    return Measured(workers, count / seconds, worker, prefect, database_server, busy, hops[0] / max(runs[0], 1), double)


def _table(measured: list[Measured]) -> Table:
    table = Table("workers", "rx/s", "CPU-ms/rx: workers", "Prefect", "PostgreSQL", f"of {CORES} cores used", "hops/batch",
                  "double claims")
    for one in measured:
        table.add_row(str(one.workers), f"{one.rate:.1f}", f"{one.worker:.1f}", f"{one.server:.1f}", f"{one.postgres:.1f}",
                      f"{one.busy:.0%}", f"{one.size:.0f}", str(one.double))
    return table


def main() -> int:
    parser = argparse.ArgumentParser(prog="./go bench workers", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prescriptions", type=int, default=1000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    given = parser.parse_args()
    configure("ERROR")
    console = Console(highlight=False, width=150)
    measured: list[Measured] = []
    with (tempfile.TemporaryDirectory(prefix="sybench") as name, Processes(Path(name) / "logs") as processes,
          postgres() as server):
        rig = Rig(Path(name), processes, server)
        for workers in given.workers:
            console.print(f"· {workers} workers: {given.prescriptions} prescriptions")
            measured.append(measure(rig, workers, given.prescriptions))
    console.print(_table(measured))
    first, double = measured[0].rate, sum(one.double for one in measured)
    scaling = ", ".join(f"{one.workers}: {one.rate:.1f}/s ({one.rate / first:.2f}, {one.busy:.0%} of {CORES} cores)"
                        for one in measured)
    console.print(f"workers: {scaling}; {double} double claims")
    return 0 if double == 0 else 1


if __name__ == "__main__":
    sys.exit(main())

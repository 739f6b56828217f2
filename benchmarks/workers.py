"""1, 2 and 4 worker processes on one PostgreSQL and one Prefect server share the queue: speed, and nothing claimed twice.

Each worker has null partners and null people of its own; who delivers a report plays the people for it. Two claims of
one prescription at the same time would be two hops that overlap, so that is what is looked for.
"""

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import psycopg
from rich.console import Console

from benchmarks.lifecycle import Rig, libpq, until_finished
from infra.log import configure
from sandbox.processes import Processes
from tests.services import postgres

OVERLAPS = """SELECT count(*) FROM hop a JOIN hop b ON a.prescription_id = b.prescription_id AND a.ctid < b.ctid
              AND a.started_at < b.ended_at AND b.started_at < a.ended_at"""
DOUBLED = """SELECT (SELECT count(*) - count(DISTINCT prescription_id) FROM pharmacy_order)
                  + (SELECT count(*) - count(DISTINCT prescription_id) FROM claim)"""
"""More than one order or claim of a prescription, where nobody ever said no."""


def measure(rig: Rig, workers: int, count: int) -> tuple[float, int]:
    """Prescriptions/s, and double claims found."""
    database = rig.database(count)
    with rig.prefect(f"workers-{workers}") as (api, _, _), ExitStack() as stack:
        names = [f"worker-{number}-of-{workers}" for number in range(1, workers + 1)]
        for name in names:
            stack.enter_context(rig.contender("ours", name, database, api=api))
        begin = time.monotonic()
        for name in names:
            rig.go(name)
        until_finished(rig, database)
        seconds = time.monotonic() - begin
    with psycopg.connect(libpq(database), autocommit=True) as connection:
        double = sum(found for statement in (OVERLAPS, DOUBLED) for found, in connection.execute(statement).fetchall())
    rig.server.drop(database)
    return count / seconds, double


def main() -> int:
    parser = argparse.ArgumentParser(prog="./go bench workers", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prescriptions", type=int, default=1000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    given = parser.parse_args()
    configure("ERROR")
    console = Console(highlight=False, width=150)
    rates: dict[int, float] = {}
    double = 0
    with (tempfile.TemporaryDirectory(prefix="sybench") as name, Processes(Path(name) / "logs") as processes,
          postgres() as server):
        rig = Rig(Path(name), processes, server)
        for workers in given.workers:
            rates[workers], found = measure(rig, workers, given.prescriptions)
            double += found
            console.print(f"{workers} workers: {rates[workers]:.1f} prescriptions/s, {found} double claims")
    first = rates[given.workers[0]]
    scaling = ", ".join(f"{workers}: {rate:.1f}/s ({rate / first:.2f})" for workers, rate in rates.items())
    console.print(f"workers: {scaling}; {double} double claims")
    return 0 if double == 0 else 1


if __name__ == "__main__":
    sys.exit(main())

"""1, 2 and 4 worker processes on one PostgreSQL and one Prefect server share the queue: speed, CPU, nothing claimed twice.

Beside each, as many processes do the same steps without an orchestrator (`plain`, the (a) of `./go bench lifecycle`). With
fewer cores than processes, or cores that sleep, the same instructions cost more. A fixed piece of work measures how much
(`benchmarks/rig/pace.py`), and CPU is compared in such pieces.

Each worker has its own null partners and null people; the worker that delivers a report plays the people for it. Two leases
of one prescription at the same time would be two hops that overlap, so the bench looks for overlapping hops.
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

from benchmarks.rig.cost import cpu_seconds, libpq, until_idle
from benchmarks.rig.pace import pace
from benchmarks.rig.servers import WARM, Rig, until_finished
from infra.log import configure
from sandbox.processes import Processes
from tests.support.services import postgres

CORES = len(os.sched_getaffinity(0))
"""Of this machine, for all of it: workers, Prefect, PostgreSQL."""
OVERLAPS = """SELECT count(*) FROM hop a JOIN hop b ON a.prescription_id = b.prescription_id AND a.ctid < b.ctid
              AND a.started_at < b.ended_at AND b.started_at < a.ended_at"""
DOUBLED = """SELECT (SELECT count(*) - count(DISTINCT prescription_id) FROM pharmacy_order)
                  + (SELECT count(*) - count(DISTINCT prescription_id) FROM claim)"""
"""More than one order or claim of a prescription, although no partner ever refused."""


@dataclass(frozen=True)
class Measured:
    """What so many workers did."""

    kind: str
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
    piece: float
    """CPU-ms of the fixed piece of work meanwhile."""
    commits: float
    """Transactions per prescription: what polling and claims add to the work."""
    double: int
    """Double claims."""

    @property
    def cpu(self) -> float:
        """CPU-ms per prescription of all together."""
        return self.worker + self.server + self.postgres

    @property
    def pieces(self) -> float:
        """That in pieces of work, which can be compared with another moment's."""
        return self.cpu / self.piece


def measure(rig: Rig, kind: str, workers: int, count: int) -> Measured:
    """So many processes of a kind, `ours` or `plain`; `count` prescriptions."""
    warm = WARM * workers
    database = rig.database(count + warm)
    with ExitStack() as stack:
        api, prefects, server = stack.enter_context(rig.prefect(f"workers-{workers}")) if kind == "ours" else ("", "", None)
        names = [f"{kind}-{number}-of-{workers}" for number in range(1, workers + 1)]
        pids = [stack.enter_context(rig.contender(kind, name, database, api=api)).process.pid for name in names]
        beside = [pid for pid in (server, rig.postmaster) if pid is not None]
        until_idle(beside)

        def used() -> tuple[float, float, float]:
            return sum(map(cpu_seconds, pids)), cpu_seconds(server) if server else 0.0, cpu_seconds(rig.postmaster)

        rig.warm_up(database, names, warm)
        until_idle(beside)
        before, commits, begin = used(), _commits(database), time.monotonic()
        with pace() as paced:
            rig.start(database, names)
            until_finished(rig, database)
        seconds, at_end = time.monotonic() - begin, used()
        commits = _commits(database) - commits
        # What is put off is part of the price; workers that look for more work are not.
        until_idle(beside)
        after = (at_end[0], *used()[1:])
        runs = _count(prefects, "SELECT count(*) FROM flow_run") if prefects else 0
    hops = _count(database, "SELECT count(*) FROM hop")
    double = _count(database, OVERLAPS) + _count(database, DOUBLED)
    rig.server.drop(database)
    worker, prefect, database_server = (1000 * (b - a) / count for a, b in zip(before, after, strict=True))
    busy = (sum(at_end) - sum(before)) / seconds / CORES
    return Measured(kind, workers, count / seconds, worker, prefect, database_server, busy,
                    hops / runs if runs else 0.0, paced.mean, commits / count, double)


def _count(database: str, statement: str) -> int:
    with psycopg.connect(libpq(database)) as connection:
        row = connection.execute(statement).fetchone()
    assert row
    return int(row[0])


def _commits(database: str) -> int:
    return _count(database, "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")


def _table(measured: list[Measured]) -> Table:
    table = Table("", "workers", "rx/s", "CPU-ms/rx: workers", "Prefect", "PostgreSQL", "all", "a piece", "pieces/rx",
                  f"of {CORES} cores used", "hops/batch", "commits/rx", "double claims")
    for row in measured:
        table.add_row(
            row.kind, str(row.workers), f"{row.rate:.1f}", f"{row.worker:.1f}", f"{row.server:.1f}", f"{row.postgres:.1f}",
            f"{row.cpu:.1f}", f"{row.piece:.1f}", f"{row.pieces:.1f}", f"{row.busy:.0%}",
            f"{row.size:.0f}" if row.size else "–", f"{row.commits:.1f}", str(row.double))
    return table


def main() -> int:
    parser = argparse.ArgumentParser(prog="./go bench workers", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prescriptions", type=int, default=1000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    options = parser.parse_args()
    configure("ERROR")
    console = Console(highlight=False, width=180)
    measured: list[Measured] = []
    with (tempfile.TemporaryDirectory(prefix="sybench") as name, Processes(Path(name) / "logs") as processes,
          postgres() as server):
        rig = Rig(Path(name), processes, server)
        for workers in options.workers:
            for kind in ("plain", "ours"):
                console.print(f"· {kind}, {workers} workers: {options.prescriptions} prescriptions")
                measured.append(measure(rig, kind, workers, options.prescriptions))
    console.print(_table(measured))
    double = 0
    for plain, ours in zip(measured[::2], measured[1::2], strict=True):
        double += ours.double
        console.print(f"{ours.workers} workers: {ours.rate:.1f}/s, {ours.rate / measured[1].rate:.2f} of {measured[1].workers}'s "
                      f"(plain {plain.rate / measured[0].rate:.2f}); {ours.pieces:.1f} pieces of CPU per prescription, "
                      f"{ours.pieces / measured[1].pieces:.2f} of {measured[1].workers}'s "
                      f"(plain {plain.pieces / measured[0].pieces:.2f}), {ours.pieces / plain.pieces:.2f} of plain's with as many")
    console.print(f"workers: {double} double claims")
    return 0 if double == 0 else 1


if __name__ == "__main__":
    sys.exit(main())

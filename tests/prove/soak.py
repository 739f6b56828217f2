"""A city under steady load: memory of worker and gateway stays flat, and Prefect's tables stop growing at their retention."""

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psycopg
from rich.console import Console

from sandbox.city import SandboxCity, Shape
from sandbox.processes import Processes
from tests.support.services import postgres

RETENTION = 60
"""Seconds that Prefect keeps things here, instead of days: days of an installation in minutes of a soak."""
LOOP = 10
"""Seconds between two vacuums, instead of an hour."""
OF_AN_HOUR = 3700
"""Prefect refuses to delete runs that ended less than an hour ago; the soak makes ended runs that much older."""

SHORT = {
    "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": f"PT{RETENTION}S",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": "3601",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_LOOP_SECONDS": str(LOOP),
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ORPHAN_CLEANUP_LOOP_SECONDS": "30",
}
"""On top of infra/deploy/prefect-server.env: how long, not what."""

TABLES = ("flow_run", "flow_run_state", "task_run", "task_run_state", "log", "artifact", "events", "event_resources")
WATCHED = ("worker", "gateway")
GROWS_AT_MOST = 3.0
"""MB per 1,000 prescriptions, by the slope of the last third: then caches are full, and what still grows is kept for good.
3 kB kept of each prescription would be seen. Less would not: this is the bound, not a proof of nothing."""
CARRIED = 0.8
"""Of the prescriptions that were due to be sent, at least so many must be settled or over: a city that stands still
keeps its memory too. The rest is what is on its way at the end, or waits for people."""
CALLED_DEAD = "its heartbeat stopped%"
"""What flows/automations.py says of a silent run when it makes it Crashed: on a healthy day there is none.

The automation may fire without doing so: the end of a run that Prefect planned just before waits in its order of
events for up to a quarter of an hour. Prefect refuses to crash what has ended.
"""
PLATEAU = 1.3
"""The most rows of the second half over the most of the first half, after the warm-up."""
SLACK = 15
"""Seconds in which a vacuum may do its work."""


@dataclass(frozen=True)
class Sample:
    """One look at everything."""

    at: float
    closed: int
    """Prescriptions that are settled or over."""
    rss: Mapping[str, float]
    """MB by process."""
    tables: Mapping[str, int]
    """Rows of Prefect's tables."""
    mb: float
    """The same, with their indexes."""
    oldest: float
    """Seconds since the oldest event. One that came after its retention, of a stage that is drawn late, is as old as its
    retention when it comes: the next vacuum must take it."""
    paused: int
    running_long: int
    fired: frozenset[tuple[str, str]]
    """Automations that fired in the time Prefect remembers: event and name. On a healthy day alerts do not."""
    dead: frozenset[str]
    """Runs that were called dead, of those Prefect remembers."""

    @property
    def rows(self) -> int:
        return sum(self.tables.values())


class ShortCity(SandboxCity):
    """A city whose Prefect server forgets within a minute."""

    def _prefect_environment(self, file: str) -> dict[str, str]:
        return super()._prefect_environment(file) | (SHORT if file == "prefect-server.env" else {})


def main() -> int:
    parser = argparse.ArgumentParser(prog="./go prove soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--per-second", type=float, default=3, help="prescriptions the hospital sends")
    parser.add_argument("--warm-up", type=float, default=0.4,
                        help="part of the time that does not count for Prefect's tables: longer than the retention")
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    console = Console(highlight=False, width=140)
    due = round(given.minutes * 60 * given.per_second)
    console.print(f"seed {given.seed}, {given.minutes:g} minutes, {given.per_second:g}/s: {due} prescriptions, "
                  f"the hour of a city of {24 * due:,} a day sent evenly")
    with ExitStack() as stack:
        server = stack.enter_context(postgres())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        processes = stack.enter_context(Processes(folder / "logs"))
        prefect, ours = server.fresh(), server.fresh()
        city = ShortCity(folder, processes, slug="jinan", seed=given.seed, per_second=given.per_second, database_url=ours,
                         shape=Shape(prefect_database_url=prefect.replace("+psycopg", "+asyncpg")))
        city.start_partners()
        city.start_product()
        city.wait_until(city.deployed, "deployments", 120)
        # Ten seconds more than the soak: the load must not end before it.
        city.send(int((given.minutes * 60 + 10) * given.per_second))
        book = stack.enter_context(psycopg.connect(prefect.replace("+psycopg", ""), autocommit=True))
        own = stack.enter_context(psycopg.connect(ours.replace("+psycopg", ""), autocommit=True))
        samples = _watch(city, processes, book, own, given.minutes * 60, console)
        sent = int(city.progress("hospital")["sent"])
    return _judge([one for one in samples if one.at >= given.warm_up * given.minutes * 60], samples, due, sent, console)


def _watch(city: SandboxCity, processes: Processes, book: psycopg.Connection, own: psycopg.Connection, seconds: float,
           console: Console) -> list[Sample]:
    samples: list[Sample] = []
    begun = time.monotonic()
    while (at := time.monotonic() - begun) < seconds:
        city.check()
        _age(book)
        samples.append(_look(processes, book, own, at))
        last = samples[-1]
        if len(samples) % 6 == 1:
            memory = ", ".join(f"{name} {mb:.0f} MB" for name, mb in last.rss.items())
            console.print(f"{at:5.0f} s  {last.closed} prescriptions  {memory}  {last.rows} rows {last.mb:.1f} MB  "
                          f"oldest event {last.oldest:.0f} s")
        time.sleep(5)
    return samples


def _age(book: psycopg.Connection) -> None:
    """Make runs that ended longer ago than the retention an hour older, so that Prefect may delete them."""
    book.execute("UPDATE flow_run SET end_time = end_time - make_interval(secs => %s) "
                 "WHERE end_time < now() - make_interval(secs => %s) AND end_time > now() - make_interval(secs => 3600)",
                 (OF_AN_HOUR, RETENTION))


def _look(processes: Processes, book: psycopg.Connection, own: psycopg.Connection, at: float) -> Sample:
    counts = ", ".join(f"(SELECT count(*) FROM {table})" for table in TABLES)
    sizes = " + ".join(f"pg_total_relation_size('{table}')" for table in TABLES)
    *rows, size, oldest, paused, running_long = _row(book, f"""
        SELECT {counts}, {sizes},
               extract(epoch FROM now() - (SELECT min(greatest(occurred, received - interval '{RETENTION} s')) FROM events)),
               (SELECT count(*) FROM flow_run WHERE state_type = 'PAUSED'),
               (SELECT count(*) FROM flow_run WHERE state_type = 'RUNNING' AND start_time < now() - interval '15 minutes')""")
    (closed,) = _row(own, "SELECT count(*) FROM prescription WHERE status IN "
                          "('settled', 'closed', 'refused', 'returned', 'cancelled', 'expired')")
    rss = {name: _rss(processes._children[name].process.pid) for name in (*WATCHED, "operations", "prefect")}
    fired = frozenset((str(event), str(name)) for event, name in book.execute(
        "SELECT id, resource->>'prefect.resource.name' FROM events WHERE event = 'prefect.automation.triggered'").fetchall())
    dead = frozenset(str(run) for (run,) in book.execute(
        "SELECT flow_run_id FROM flow_run_state WHERE type = 'CRASHED' AND message LIKE %s", (CALLED_DEAD,)).fetchall())
    tables = dict(zip(TABLES, rows, strict=True))
    return Sample(at, closed, rss, tables, size / 2**20, float(oldest or 0), paused, running_long, fired, dead)


def _row(connection: psycopg.Connection, query: str) -> tuple[int, ...]:
    row = connection.execute(query.encode()).fetchone()
    assert row
    return tuple(row)


def _rss(leader: int) -> float:
    """Resident memory in MB of the largest process of a group: Prefect's server runs below the command that starts it."""
    found = [0]
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            if os.getpgid(int(status.parent.name)) == leader:
                found += [int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmRSS")]
    return max(found) / 1024


def _judge(warm: Sequence[Sample], samples: Sequence[Sample], due: int, sent: int, console: Console) -> int:
    """`due`: prescriptions that were to be sent in this time; `sent`: those that were."""
    last = samples[-(len(samples) // 3):]
    if len(warm) < 8 or len(last) < 8 or last[-1].closed == last[0].closed:
        console.print("[red]soak: too short for a judgement, or nothing was closed[/red]")
        return 1
    half = len(warm) // 2
    growth = {name: 1000 * _slope([(one.closed, one.rss[name]) for one in last]) for name in last[0].rss}
    plateau = max(one.rows for one in warm[half:]) / max(one.rows for one in warm[:half])
    oldest = max(one.oldest for one in warm)
    paused, running_long = max(one.paused for one in samples), max(one.running_long for one in samples)
    fired = frozenset[tuple[str, str]]().union(*(one.fired for one in samples))
    zombies = len(frozenset[str]().union(*(one.dead for one in samples)))
    done = samples[-1].closed
    wrong = [*(f"{name} grows by {growth[name]:.1f} MB per 1,000 prescriptions" for name in WATCHED
               if growth[name] > GROWS_AT_MOST),
             *([f"Prefect's tables grow: {plateau:.2f}"] if plateau > PLATEAU else []),
             *([f"an event is {oldest:.0f} s old"] if oldest > RETENTION + LOOP + SLACK else []),
             *([f"{done} of {due} prescriptions are settled or over"] if done < CARRIED * due else []),
             *([f"{paused} runs are paused"] if paused else []),
             *([f"{running_long} runs are running for 15 minutes"] if running_long else []),
             *([f"{zombies} runs were called dead"] if zombies else [])]
    for name in TABLES:
        first, second = (max(one.tables[name] for one in some) for some in (warm[:half], warm[half:]))
        console.print(f"  {name}: at most {first} rows, then {second}")
    for one in wrong:
        console.print(f"  [red]✗[/red] {one}")
    memory = ", ".join(f"{name} {warm[-1].rss[name]:.0f} MB {growth[name]:+.1f} MB/1,000" for name in growth)
    figures = (f"{samples[-1].at:.0f} s, {done} of {sent} sent settled or over (an hour of a city of {24 * due:,} a day); "
               f"in the last third {memory}; Prefect {warm[-1].rows} rows {warm[-1].mb:.1f} MB, second half over first "
               f"{plateau:.2f}; oldest event {oldest:.0f} s of {RETENTION}; paused {paused}, long {running_long}, "
               f"runs called dead {zombies}, automations fired {len(fired)}")
    console.print(f"[red]soak: the promise does not hold[/red]: {figures}" if wrong else f"soak: {figures}")
    return 1 if wrong else 0


def _slope(points: Sequence[tuple[float, float]]) -> float:
    """Of the straight line through the points, by least squares."""
    return statistics.linear_regression([x for x, _ in points], [y for _, y in points]).slope


if __name__ == "__main__":
    sys.exit(main())

"""The whole line against null partners, beside four baselines and a floor: no orchestrator, stock Prefect, DBOS, Absurd.

Before the clock starts, every worker process of every contender takes a few prescriptions from first step to last. What a
process does once (first contact with Prefect, connections, prepared statements) is no part of what a prescription costs.

Timed: from the start, when every other prescription is due at once, until the last is settled and every message about it
is delivered. The same for all is inside: all steps of the line, our own database and the outbox. So is what people do
through the functions the gateway uses: a pharmacist's assignment and decision, three signed callbacks of a chain.
Not timed: the real FHIR intake, once, into a database of which each contender gets a copy.

Each contender has as many worker processes as the machine has cores (`--workers`). Ours and (a) share their queue, the
others get an equal part of the prescriptions each. PostgreSQL and the Prefect server are beside them. PostgreSQL runs
without fsync for all of them: CPU is compared, not a disk. Stock Prefect is stock on the client's side only: its
server is ours, tuned by infra/deploy/prefect-server.env, which is in its favour.

With the window and a lag of 10 s, prescriptions fall due one after the other, somewhat faster than half of what (a) did.
If all were due at once, the lag would only tell how many there were: each has changed in the first seconds.

The floor (e) is no way to do the work. PostgreSQL counts the commits and statements of ours, and raw prepared psycopg does
as many on the same schema. So it prints what the database and its driver alone would cost (`benchmarks/rig/floor.py`).

A shared machine may be twice as slow at one moment as at another. So a fixed piece of work is timed throughout
(`benchmarks/rig/pace.py`), and the ratio at equal pace is printed too. Targets are judged by the clock.
"""

import argparse
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from rich.console import Console
from rich.table import Table

from benchmarks.rig.city import message, null_city
from benchmarks.rig.contender import prepare_absurd
from benchmarks.rig.cost import cpu_seconds, libpq, percentile, rows_and_bytes, until_idle
from benchmarks.rig.floor import Load, counting, load_of
from benchmarks.rig.pace import pace
from benchmarks.rig.samples import summary
from benchmarks.rig.servers import STALLED, WARM, Rig, until_finished
from infra.log import configure
from sandbox.processes import Child, Processes
from tasks.intake import receive_prescription
from tests.support.city import HOSPITAL
from tests.support.services import postgres

NAMES = {"ours": "ours", "lagging": "ours with the window, work first", "prompt": "ours with the window, lag under 10 s",
         "plain": "(a) no orchestrator", "stock": "(b) stock Prefect on our tuned server", "dbos": "(c) DBOS",
         "absurd": "(d) Absurd", "floor": "(e) the floor: as many statements, raw"}
LIBRARIES = ("dbos", "absurd")
"""Orchestrators that are libraries on a separate PostgreSQL database."""
TARGETS = {"plain": 0.9, "stock": 10.0, "dbos": 1.2, "absurd": 0.0}
"""Our prescriptions/s without the window over theirs, at least; nothing was promised of (d)."""
WINDOWS = {"lagging": (3600.0, 0.8), "prompt": (10.0, 0.5)}
"""With the window: seconds it may lag behind, and our rate over that of (a), at least."""
ARRIVALS = 0.54
"""With a lag of 10 s, prescriptions due per second over what (a) did. More than half: the last one takes seconds to its end."""
ABOVE_FLOOR = 2.5
"""Our CPU per prescription over that of (e), at most."""
DRAWING = 150.0
"""CPU-ms of everything that the window costs per prescription, at most."""
CATCHING_UP = 8.0
"""Prescriptions/s drawn of a backlog, at least."""
IDLE_SECONDS = 1.5
"""From intake to the review queue with nothing else going on, 95th percentile, at most."""
BYTES = 5_000
"""Left in Prefect's database per prescription, in bulk, at most."""
OLDEST = ("SELECT /* bench */ min(h.at) FROM prescription p JOIN history h ON h.prescription_id = p.id AND h.seq = p.drawn + 1 "
          "WHERE p.drawn < p.version")
"""When the first of what is not drawn happened."""
CORES = len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Measured:
    """What one contender needed."""

    contender: str
    count: int
    seconds: float
    worker: float
    """CPU-ms per prescription, as are the next two."""
    server: float
    postgres: float
    piece: float
    """CPU-ms of a fixed piece of work while it went on: the pace of the machine."""
    p50: float
    """Seconds from the start, when all were due, to settled."""
    p95: float
    rows: float
    """Left in the orchestrator's own database, per prescription."""
    size: float
    """Bytes, likewise."""
    load: Load = field(default_factory=Load)
    """What our database was asked; in Prefect's there is more."""
    drawing: float = 0.0
    """CPU-ms per prescription of the process that draws; in `server` and `postgres` is what it makes them do."""
    catching_up: float = 0.0
    """Prescriptions/s drawn when the work was done."""
    lag: float = 0.0
    """Seconds that a change had waited to be drawn, at most, at any moment since the start."""

    @property
    def rate(self) -> float:
        return self.count / self.seconds

    @property
    def cpu(self) -> float:
        """CPU-ms per prescription, of all processes."""
        return self.worker + self.server + self.postgres + self.drawing

    def faster_than(self, other: "Measured") -> float:
        """This one's prescriptions/s over the other's, at equal pace of the machine."""
        return self.rate * self.piece / (other.rate * other.piece)

    def cpu_at(self, other: "Measured") -> float:
        """CPU-ms per prescription at the pace of the machine that the other one met."""
        return self.cpu / self.piece * other.piece


def measure(rig: Rig, kind: str, count: int, workers: int, samples: Path | None = None, due: float = 0.0) -> Measured:
    """One contender, `count` prescriptions, so many worker processes. `due`: how many fall due per second; 0: all at once.

    Raises `TimeoutError` when nothing moves any more.
    """
    database = rig.database(count + WARM * workers)
    if kind in LIBRARIES:
        theirs = rig.server.fresh()
        if kind == "absurd":
            prepare_absurd(theirs)
        return _drive(rig, kind, count, workers, database, theirs, None, "", samples)
    if kind in ("plain", "floor"):
        return _drive(rig, kind, count, workers, database, "", None, "", samples)
    with rig.prefect(kind) as (api, prefects, pid):
        return _drive(rig, kind, count, workers, database, prefects, pid, api, samples, due)


@contextmanager
def _drawer(rig: Rig, kind: str, database: str, api: str) -> Iterator[Child | None]:
    """The process that draws, if this is about the window."""
    if kind not in WINDOWS:
        yield None
        return
    with rig.contender("window", f"drawer-{kind}", database, api=api, SANYI_WINDOW_LAG_SECONDS=str(WINDOWS[kind][0])) as child:
        yield child


def _until_drawn(rig: Rig, database: str) -> None:
    """Until everything that happened is drawn. Raises `TimeoutError` when nothing is drawn any more."""
    left, changed = -1, time.monotonic()
    with psycopg.connect(libpq(database), autocommit=True) as connection:
        while waiting := _undrawn(connection):
            if waiting != left:
                left, changed = waiting, time.monotonic()
            if time.monotonic() - changed > STALLED:
                raise TimeoutError(f"nothing was drawn for {STALLED} s; {left} wait")
            rig.processes.check()
            time.sleep(0.2)


class Lags:
    """The longest that a change has waited to be drawn since the start, looked at twice a second while a block lasts."""

    def __init__(self, database: str, started: datetime) -> None:
        self.most = 0.0
        self._database = database
        self._started = started
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        with psycopg.connect(libpq(self._database), autocommit=True) as connection:
            while not self._over.wait(0.5):
                oldest = connection.execute(OLDEST).fetchone()
                if oldest and oldest[0]:
                    since = max(datetime.fromisoformat(oldest[0]), self._started)
                    self.most = max(self.most, (datetime.now(UTC) - since).total_seconds())

    def __enter__(self) -> "Lags":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def _undrawn(connection: "psycopg.Connection[tuple[int]]") -> int:
    row = connection.execute("SELECT count(*) FROM prescription WHERE drawn < version").fetchone()
    assert row
    return row[0]


def _never_drawn(database: str) -> None:
    """The prescriptions of the warm-up are over before anything is drawn, and no part of what drawing costs."""
    with psycopg.connect(libpq(database)) as connection:
        connection.execute("UPDATE prescription SET drawn = NULL WHERE status = 'settled'")


def _drive(rig: Rig, kind: str, count: int, workers: int, database: str, theirs: str, server: int | None, api: str,
           samples: Path | None, due: float = 0.0) -> Measured:
    """`theirs`: the orchestrator's own database; `server`: its own process, if it has one."""
    beside = [rig.postmaster, *([server] if server else [])]
    runs = "ours" if kind in WINDOWS else kind
    with ExitStack() as stack:
        drawer = stack.enter_context(_drawer(rig, kind, database, api))
        children = []
        for part in range(workers):
            options = ["--part", str(part), str(workers), "--warm", str(WARM * workers),
                       *(["--orchestrator-database", theirs] if kind in LIBRARIES else []),
                       *(["--load", str(rig.load)] if kind == "floor" else []),
                       *(["--samples", str(samples)] if samples and part == 0 else [])]
            children.append(stack.enter_context(
                rig.contender(runs, f"worker-{kind}-{part + 1}", database, *options, api=api)))
        names = [child.name for child in children]
        rig.warm_up(database, names, WARM * workers)
        if drawer:
            _never_drawn(database)
        if drawer and kind == "prompt":  # What was taken in before the clock starts is drawn by then, as on any day.
            rig.tell(drawer.name, "go")
            _until_drawn(rig, database)
        until_idle(beside)
        kept = rows_and_bytes(libpq(theirs)) if theirs else (0, 0)
        ours = [child.process.pid for child in children]
        draws = [drawer.process.pid] if drawer else []
        cpu = {pid: cpu_seconds(pid) for pid in (*ours, *draws, *beside)}
        counting(libpq(database))
        started = datetime.now(UTC)
        begin = time.monotonic()
        lags = stack.enter_context(Lags(database, started)) if drawer else None
        with pace() as paced:
            if drawer:
                rig.tell(drawer.name, "go")
            rig.start(database, names, due)
            until_finished(rig, database)
        seconds = time.monotonic() - begin
        worked = sum(cpu_seconds(pid) - cpu[pid] for pid in ours)
        load = load_of(libpq(database), count)
        if kind == "ours":
            load.save(rig.load)
        catching_up = _caught_up(rig, database) if drawer else 0.0
        # What the Prefect server has put off is part of the price.
        until_idle(beside)
        cpu |= {pid: cpu_seconds(pid) - cpu[pid] for pid in (*draws, *beside)}
    left = rows_and_bytes(libpq(theirs)) if theirs else (0, 0)
    settled = _settled_after(database, started)
    if len(settled) != count:
        raise AssertionError(f"{kind}: {len(settled)} of {count} were settled")
    rig.server.drop(database)
    return Measured(
        kind, count, seconds, 1000 * worked / count, 1000 * cpu[server] / count if server else 0.0,
        1000 * cpu[rig.postmaster] / count, paced.mean, percentile(settled, 0.5), percentile(settled, 0.95),
        (left[0] - kept[0]) / count, (left[1] - kept[1]) / count,
        load, 1000 * sum(cpu[pid] for pid in draws) / count, catching_up, lags.most if lags else 0.0)


def _caught_up(rig: Rig, database: str) -> float:
    """Prescriptions/s drawn of what was left when the work was done."""
    with psycopg.connect(libpq(database), autocommit=True) as connection:
        left = _undrawn(connection)
    begin = time.monotonic()
    _until_drawn(rig, database)
    return left / max(time.monotonic() - begin, 0.1)


def idle(rig: Rig, count: int) -> list[float]:
    """Seconds from intake to the review queue, one prescription at a time, the first one left out.

    The intake happens here, in another process than the worker, as at the gateway.
    """
    database, seconds = rig.database(0), []
    city = null_city(rig.folder, database, people=False)
    with (rig.prefect("idle") as (api, _, _), rig.contender("ours", "worker-idle", database, api=api) as child,
          psycopg.connect(libpq(database), autocommit=True) as connection):
        rig.tell(child.name, "go")
        for number in range(1, count + 2):
            time.sleep(random.uniform(0.3, 1.3))  # noqa: S311  # not to keep step with the worker's own clock
            raw = message(number, datetime.now(UTC))
            begin = time.monotonic()
            assert receive_prescription(city, HOSPITAL, raw).status == 201
            while not connection.execute("SELECT 1 FROM history WHERE to_status = 'in_review' AND prescription_id = "
                                         "(SELECT id FROM prescription WHERE external_id = %s)", [f"RX{number:04d}"]
                                         ).fetchone():
                rig.processes.check()
                time.sleep(0.005)
            seconds.append(time.monotonic() - begin)
            until_finished(rig, database)
    city.db.close()
    return seconds[1:]


def _settled_after(database: str, started: datetime) -> list[float]:
    """Seconds from the start to settled, of every prescription that was settled after it."""
    with psycopg.connect(libpq(database), autocommit=True) as connection:
        rows = connection.execute("SELECT min(at) FROM history WHERE to_status = 'settled' AND from_status <> 'settled' "
                                  "GROUP BY prescription_id").fetchall()
    after = [(datetime.fromisoformat(at) - started).total_seconds() for at, in rows]
    return [seconds for seconds in after if seconds >= 0]


def show(console: Console, measured: dict[str, Measured]) -> None:
    """The table."""
    table = Table("", "N", "rx/s", "CPU-ms/rx: worker", "drawing", "Prefect", "PostgreSQL", "a piece", "commits", "statements",
                  "s since all were due: p50", "p95", "rows left/rx", "bytes left/rx",
                  title="all due at once; rows and bytes: in the orchestrator's own database")
    for result in measured.values():
        table.add_row(NAMES[result.contender], str(result.count), f"{result.rate:.1f}", f"{result.worker:.1f}",
                      f"{result.drawing:.1f}",
                      f"{result.server:.1f}", f"{result.postgres:.1f}", f"{result.piece:.1f}",
                      f"{result.load.commits:.1f}", f"{result.load.statements:.0f}", f"{result.p50:.1f}", f"{result.p95:.1f}",
                      f"{result.rows:.1f}", f"{result.size:,.0f}")
    console.print(table)


def verdict(measured: dict[str, Measured], waits: list[float]) -> tuple[str, int]:
    """The last line, and the exit code: 0 when every target is met, 1 when one is missed, 2 when one was not measured."""
    us = measured.get("ours")
    held, words, missing = True, [], []
    for kind, unit in (("plain", "of (a)"), ("stock", "times (b)"), ("dbos", "times (c)"), ("absurd", "times (d)")):
        if us and kind in measured:
            them = measured[kind]
            ratio = us.rate / them.rate
            held &= ratio >= TARGETS[kind]
            words.append(f"{ratio:.2f} {unit} ({us.faster_than(them):.2f} at equal pace, {them.cpu_at(us) / us.cpu:.2f} in CPU)")
        elif kind not in measured:
            missing.append(NAMES[kind])
    if us and "floor" in measured:
        floor = measured["floor"]
        held &= us.cpu <= ABOVE_FLOOR * floor.cpu
        words.append(f"{us.cpu / floor.cpu:.2f} times (e) in CPU ({us.cpu_at(floor) / floor.cpu:.2f} at equal pace)")
    else:
        missing.append(NAMES["floor"])
    for kind, (allowed, least) in WINDOWS.items():
        if not us or kind not in measured or "plain" not in measured:
            missing.append(NAMES[kind])
            continue
        ours, plain = measured[kind], measured["plain"]
        costs = ours.cpu - us.cpu
        held &= ours.rate / plain.rate >= least and costs <= DRAWING and ours.lag <= allowed
        held &= kind != "lagging" or ours.catching_up >= CATCHING_UP
        words.append(f"{kind} window {ours.rate / plain.rate:.2f} of (a) ({ours.faster_than(plain):.2f} at equal pace), "
                     f"{costs:.0f} CPU-ms, {ours.lag:.0f} s behind at most, then {ours.catching_up:.1f}/s")
    if waits:
        worst = percentile(waits, 0.95)
        held &= worst <= IDLE_SECONDS
        words.append(f"idle p95 {worst:.2f} s")
    else:
        missing.append("idle")
    if us:
        held &= us.size <= BYTES
        words.append(f"{us.size:,.0f} bytes in Prefect per prescription")
    else:
        missing.insert(0, NAMES["ours"])
    sentence = f"lifecycle: {', '.join(words) or 'no target'}" + (f"; not measured: {', '.join(missing)}" if missing else "")
    return sentence, 1 if not held else 2 if missing else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="./go bench lifecycle", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prescriptions", type=int, default=1000, help="for all but stock Prefect")
    parser.add_argument("--stock", type=int, default=60, help="prescriptions for stock Prefect, which is slow")
    parser.add_argument("--idle", type=int, default=20, help="prescriptions one at a time; 0: leave it out")
    parser.add_argument("--workers", type=int, default=CORES, help="worker processes of each contender")
    parser.add_argument("--only", nargs="*", choices=list(NAMES), default=list(NAMES), help="contenders")
    parser.add_argument("--profile", action="store_true", help="where our worker spends its CPU")
    options = parser.parse_args()
    configure("ERROR")
    console = Console(highlight=False, width=180)
    measured: dict[str, Measured] = {}
    waits: list[float] = []
    with (tempfile.TemporaryDirectory(prefix="sybench") as name, Processes(Path(name) / "logs") as processes,
          postgres(shared_preload_libraries="pg_stat_statements") as server):
        rig = Rig(Path(name), processes, server)
        for kind in options.only:
            if kind == "floor" and "ours" not in measured:
                continue
            samples = Path(name) / "samples.json" if options.profile and kind == "ours" else None
            count = options.stock if kind == "stock" else options.prescriptions
            console.print(f"· {NAMES[kind]}: {count} prescriptions")
            due = ARRIVALS * measured["plain"].rate if kind == "prompt" and "plain" in measured else 0.0
            measured[kind] = measure(rig, kind, count, options.workers, samples, due)
            result = measured[kind]
            console.print(f"  {result.rate:.1f} rx/s, {result.cpu:.1f} CPU-ms/rx")
            if samples:
                console.print("\n".join(summary(samples)))
        if options.idle:
            console.print(f"· idle: {options.idle} prescriptions, one at a time")
            waits = idle(rig, options.idle)
            console.print(f"intake to review queue: p50 {percentile(waits, 0.5):.2f} s, p95 {percentile(waits, 0.95):.2f} s")
    if measured:
        show(console, measured)
    line, code = verdict(measured, waits)
    console.print(f"[red]{line}[/red]" if code else line)
    return code


if __name__ == "__main__":
    sys.exit(main())

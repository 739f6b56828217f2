"""A storm: bad lines to every partner and back, everything killed at random; nothing is lost, nothing doubled."""

import argparse
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import psycopg

from domain.lifecycle import FINAL, Status
from sandbox import day as a_day
from sandbox import tieout
from sandbox.chain import CHAINS, SELLERS
from sandbox.city import TROUBLED, SandboxCity, Shape
from sandbox.plan import Plan
from sandbox.processes import ChildDied, Processes, free_port
from tests.support.services import POSTGRES_BIN, missing

BAD_LINES = {"delay": 0.05, "reset_before": 0.01, "reset_after": 0.02, "cut_request": 0.005, "cut_answer": 0.01,
             "blackhole": 0.002}
"""Rates per exchange, on every line in both directions."""
BAD_CLOCKS = {"wrong_clock": 0.05, "wrong_time": 0.1}
"""Rates per callback of the chains."""
VICTIMS = ("worker-1", "worker-2", "gateway", "prefect", "postgres")
REVIVED = (*VICTIMS, "operations", "deploy")
"""What a service manager would start again when it ends by itself, as when the database is away at its start."""
PARTNERS = {**{chain: chain.upper() for chain, program in CHAINS.items() if not program.box}, "insurer": "JINAN_CENTRE"}
SENDERS = ("ankang", "baicao", "pharmacist")
ENOUGH = 0.85
"""The storm ends when this share has come to an end; what is left then shows that it can."""
OVERDUE = "interval '60 seconds'"
"""Longest a due row may wait once the storm is over."""


class Service(Processes):
    """Children under a service manager: who ends by himself is started again a second later."""

    def __init__(self, logs: Path) -> None:
        super().__init__(logs)
        self.revived: Counter[str] = Counter()
        self._since: dict[str, float] = {}

    def check(self) -> None:
        for name in REVIVED:
            child = self._children.get(name)
            if child is None or child.down or child.process.poll() is None or (
                    child.errand and child.process.returncode == 0):
                continue
            if time.monotonic() - self._since.setdefault(name, time.monotonic()) < 1:
                continue
            del self._since[name]
            self.revived[name] += 1
            if self.revived[name] > 60:
                raise ChildDied(f"{name} does not stay alive; see {child.log}")
            killed = child.killed
            self.start(name, *child.argv, env=child.env, errand=child.errand).killed = killed
        for name, child in self._children.items():
            if name not in REVIVED and not child.down and child.process.poll() is not None:
                raise ChildDied(f"{name} ended with code {child.process.returncode}; see {child.log}")

    def pid(self, name: str) -> int:
        return self._children[name].process.pid

    def down(self, name: str) -> bool:
        return self._children[name].down


class Postgres:
    """One server for our database and for Prefect's, that keeps what it was told: fsync is on."""

    def __init__(self, folder: Path, processes: Service) -> None:
        self.port = free_port()
        self._data = folder / "data"
        self._processes = processes
        root = os.geteuid() == 0
        if root:
            shutil.chown(folder, "postgres", "postgres")
        setpriv = shutil.which("setpriv") or "setpriv"
        become = [setpriv, "--reuid=postgres", "--regid=postgres", "--clear-groups"] if root else []
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"]
        subprocess.run([*become, str(POSTGRES_BIN / "initdb"), "-D", str(self._data), *options], check=True,
                       capture_output=True, cwd="/")
        settings = {"unix_socket_directories": folder, "listen_addresses": "127.0.0.1", "port": self.port,
                    "max_connections": 200, "timezone": "UTC", "fsync": "on", "synchronous_commit": "on"}
        arguments = [text for name, value in settings.items() for text in ("-c", f"{name}={value}")]
        processes.start("postgres", *become, setpriv, "--pdeathsig=INT", str(POSTGRES_BIN / "postgres"),
                        "-D", str(self._data), *arguments, env={})
        self.wait()
        for name in ("sanyi", "prefect"):
            self.run(f"CREATE DATABASE {name}")

    def url(self, database: str, driver: str = "postgresql+psycopg") -> str:
        return f"{driver}://postgres@127.0.0.1:{self.port}/{database}"

    def run(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Rows of a query, none of a command. Raises `psycopg.Error` while the server is away."""
        with psycopg.connect(self.url(database, "postgresql"), autocommit=True, connect_timeout=3) as connection:
            cursor = connection.execute(statement)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def wait(self, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.run("SELECT 1")
                return
            except psycopg.Error:
                if time.monotonic() > deadline:
                    raise TimeoutError("PostgreSQL did not come up") from None
                self._processes.check()
                time.sleep(0.1)

    def kill(self) -> None:
        """SIGKILL for the server and everyone who serves in it: the power is out."""
        backends = _children(self._processes.pid("postgres"))
        self._processes.kill("postgres")
        for backend in backends:
            with suppress(ProcessLookupError):
                os.kill(backend, signal.SIGKILL)


class StormCity(SandboxCity):
    """The city with two workers on PostgreSQL, and a bad line between the platform and each partner, both ways."""

    def __init__(self, folder: Path, processes: Service, postgres: Postgres, *, seed: int, per_second: float) -> None:
        self.control = free_port()
        self.postgres = postgres
        self.service = processes
        self.there = {name: free_port() for name in PARTNERS}
        self.back = {name: free_port() for name in SENDERS}
        self.behind: dict[int, int] = {}
        """Port of a bad line to or from a hospital -> the port behind it."""
        super().__init__(folder, processes, slug="jinan", seed=seed, per_second=per_second, tempo=TROUBLED,
                         database_url=postgres.url("sanyi"),
                         shape=Shape(workers=2, prefect_database_url=postgres.url("prefect", "postgresql+asyncpg")))
        for name, variable in PARTNERS.items():
            self._product[f"SANYI_PARTNER_URLS__{variable}"] = f"http://127.0.0.1:{self.there[name]}"
        for name, installed in self._installed.items():
            self._product |= {key: self._badly(value) for key, value in installed.settings.items() if "_URLS__" in key}
            options = {key: self._badly(value) if "://" in value else value for key, value in installed.options.items()}
            self._installed[name] = replace(installed, options=options)
        self._client = httpx.Client(timeout=300, trust_env=False)

    def _badly(self, url: str) -> str:
        """The same address behind a bad line; a folder stays where it is."""
        if not (port := re.search(r"(?<=127\.0\.0\.1:)\d+", url)):
            return url
        self.behind[bad := free_port()] = int(port[0])
        return url[:port.start()] + str(bad) + url[port.end():]

    def start_lines(self) -> None:
        """The bad lines, good until `weather` is called."""
        lines = [f"to {name}={port}:127.0.0.1:{self.ports[name]}" for name, port in self.there.items()]
        lines += [f"from {name}={port}:127.0.0.1:{self.ports['gateway']}" for name, port in self.back.items()]
        lines += [f"hospital {there}={bad}:127.0.0.1:{there}" for bad, there in self.behind.items()]
        self._processes.start("chaos", "-m", "sandbox.chaos", "--control", str(self.control), "--seed", str(self.seed),
                              *(word for line in lines for word in ("--line", line)), env={})
        self.wait_until(self._lines_are_up, "the bad lines", 30)

    def weather(self, faults: dict[str, float], clocks: dict[str, float]) -> None:
        """What every line and every chain's clock does wrong from now on."""
        if error := self._say({"faults": faults}).get("error"):
            raise ValueError(error)
        for chain in CHAINS:
            self._client.post(f"{self.urls[chain]}/sandbox/faults", json=clocks).raise_for_status()

    def injected(self) -> Counter[str]:
        """How often each fault has taken place on all lines together."""
        total: Counter[str] = Counter()
        for line in self._say({})["lines"].values():
            total.update(line["counts"])
        return total

    def drop_prefect(self) -> None:
        """Everything Prefect knows is gone; the server comes up on an empty database, and the operations worker sets it up."""
        self.kill("prefect")
        self.postgres.run("DROP DATABASE prefect WITH (FORCE)")
        self.postgres.run("CREATE DATABASE prefect")
        self.restart("prefect")
        self._processes.wait_for(f"{self.urls['prefect']}/api/health", name="prefect", seconds=150)

    def kill(self, name: str) -> None:
        if name == "postgres":
            self.postgres.kill()
        else:
            super().kill(name)

    def everything_is_up(self) -> bool:
        try:
            self.postgres.run("SELECT 1")
            return all(self._client.get(url, timeout=5).status_code == 200 for url in (
                f"{self.urls['gateway']}/ready", f"{self.urls['prefect']}/api/health"))
        except (psycopg.Error, httpx.HTTPError):
            return False

    def _partner(self, name: str, env: dict[str, str], *options: str, module: str = "") -> None:
        given = list(options)
        if name in self.hospitals:
            place = given.index("--gateway") + 1
            given[place] = self._badly(given[place])
        if name in self.back:
            given[given.index("--gateway") + 1] = f"http://127.0.0.1:{self.back[name]}"
        if name == "pharmacist":
            given += ["--pace", "0.1"]  # Two people for ten thousand prescriptions read fast.
        super()._partner(name, env, *given, module=module)

    def _lines_are_up(self) -> bool:
        try:
            return bool(self._say({}))
        except OSError:
            return False

    def _say(self, words: dict[str, Any]) -> dict[str, Any]:
        with socket.create_connection(("127.0.0.1", self.control), 10) as line, line.makefile("rwb") as wire:
            wire.write(json.dumps(words).encode() + b"\n")
            wire.flush()
            return dict(json.loads(wire.readline()))


@dataclass(frozen=True)
class Blow:
    """One kill."""

    after: float
    """Seconds after the one before."""
    into_another: bool
    """Whether it falls while what the one before has killed is still coming up."""
    victim: str
    """A process, or `prefect database`."""
    down: float
    """Seconds until it is started again."""


def blows(seed: int, calm: float) -> Iterator[Blow]:
    """Kills without end, the same for the same seed; each victim is met once before one is met twice.

    The pauses grow with `calm`, or a long storm would be nothing but starting things again.
    """
    luck = random.Random(seed)
    while True:
        for victim in luck.sample(VICTIMS, len(VICTIMS)):
            yield Blow(luck.uniform(2, 16) * calm, luck.random() < 0.25, victim, luck.uniform(0, 3))


def rage(city: StormCity, plan: Plan, seed: int, deadline: float, killed: Counter[str]) -> None:
    """Kill until most have come to their end, everything at least once; drop Prefect's database half-way."""
    for blow in blows(seed, calm=1 + len(plan.prescriptions) / 2500):
        if not blow.into_another:
            with suppress(TimeoutError):
                city.wait_until(city.everything_is_up, "everything", 60)
        _live_through(city, blow.after)
        received, ended = _how_far(city)
        if killed["prefect database"] == 0 and received >= len(plan.prescriptions) / 2:
            city.drop_prefect()
            killed["prefect database"] += 1
            continue
        enough = ended >= ENOUGH * len(plan.prescriptions) and len(killed) > len(VICTIMS)
        if enough or time.monotonic() > deadline:
            break
        city.kill(blow.victim)
        killed[blow.victim] += 1
        _live_through(city, blow.down)
        city.restart(blow.victim)
        if blow.victim == "postgres":
            city.postgres.wait()


def _live_through(city: StormCity, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        city.check()
        time.sleep(0.2)


def _how_far(city: StormCity) -> tuple[int, int]:
    """How many were received, and how many of them ended or were settled."""
    with suppress(psycopg.Error):
        counts = _statuses(city.postgres)
        done = {*FINAL, Status.SETTLED}
        return sum(counts.values()), sum(counts[status] for status in done)
    return 0, 0


def _statuses(postgres: Postgres) -> Counter[str]:
    return Counter(dict(postgres.run("SELECT status, count(*) FROM prescription GROUP BY status", "sanyi")))


@contextmanager
def progress(city: StormCity, plan: Plan, killed: Counter[str]) -> Iterator[None]:
    """A line every ten seconds, from the database: it is the one that knows."""
    over, began = threading.Event(), time.monotonic()

    def say() -> None:
        while not over.wait(10):
            try:
                counts = _statuses(city.postgres)
                there = ", ".join(f"{counts[status]} {status}" for status in Status if counts[status])
            except psycopg.Error:
                there = "the database is down"
            kills = " ".join(f"{name} {count}" for name, count in killed.items())
            faults = "?"
            with suppress(OSError, ValueError):
                faults = str(_faults(city.injected()))
            down = [name for name in VICTIMS if city.service.down(name)]
            print(f"{time.monotonic() - began:5.0f} s  {there or 'nothing'} of {len(plan.prescriptions)} | "
                  f"killed: {kills or 'none'} | {faults} faults" + (f" | down: {' '.join(down)}" if down else ""),
                  flush=True)

    teller = threading.Thread(target=say, daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()


def _faults(counts: Counter[str]) -> int:
    return sum(count for name, count in counts.items() if name != "exchanges")


LAST_WORDS = 180
"""Seconds after the last end in which what is not as planned may still become so."""


def come_to_rest(city: StormCity, plan: Plan, patience: float) -> bool:
    """After the storm: whether everything ends in time, with no message left; as planned or not is judged later."""
    deadline, ended_at = time.monotonic() + patience, None
    while time.monotonic() < deadline:
        city.check()
        with suppress(psycopg.Error, httpx.HTTPError):
            _, ended = _how_far(city)
            if ended == len(plan.prescriptions):
                ended_at = ended_at or time.monotonic()
                # Returns and their second settlement come after a first end; who will not end as planned has had its time.
                if a_day.at_rest(city, plan) or (
                        time.monotonic() - ended_at > LAST_WORDS and not city.ops("board")["outbox_waiting"]):
                    return True
        time.sleep(3 + len(plan.prescriptions) / 1000)
    return False


def sweep(city: StormCity) -> int:
    """Run the sweep as the schedule does until no hold is left at any chain that we do not stand by; how many stay."""
    for _ in range(4):
        run = city.run_deployment("sweep/upkeep")
        city.wait_until(lambda run=run: city.run_state(run)[0] in ("COMPLETED", "FAILED", "CRASHED"), "the sweep", 120)
        if not (left := orphan_holds(city)):
            return 0
        time.sleep(20)  # A hold younger than a minute is left alone by the sweep.
    return left


def orphan_holds(city: StormCity) -> int:
    """Stock a chain still holds for a prescription that nobody will fill from it."""
    open_orders = {order["id"] for row in city.prescriptions() for order in row["orders"]
                   if order["status"] in ("held", "ordered", "accepted", "prepared", "in_delivery")
                   and row["status"] not in FINAL}
    return sum(order["status"] == "held" and order["order_id"] not in open_orders
               for chain in SELLERS for order in city.book(chain)["orders"])


STUCK = {
    "prescription": f"""
        SELECT id || ' ' || status || ' waits for ' || waiting_for FROM prescription
        WHERE status NOT IN ({', '.join(f"'{status}'" for status in FINAL)}) AND trouble = ''
        AND (wake_at IS NULL OR wake_at < now() - {OVERDUE})""",
    "outbox": f"SELECT key || ' to ' || partner FROM outbox WHERE due_at < now() - {OVERDUE} AND last_error = ''",
    "effect": f"""
        SELECT step || ' ' || intent.version FROM intent JOIN prescription ON prescription.id = intent.prescription_id
        WHERE answered_at IS NULL AND intent.made_at < now() - {OVERDUE} AND intent.trouble = ''""",
}
"""Rows beyond their deadline that do not say why."""


def stuck(postgres: Postgres) -> list[str]:
    return [f"{kind} {text}" for kind, query in STUCK.items() for (text,) in postgres.run(query, "sanyi")]


def _children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
    return found


def _show(title: str, lines: Sequence[object]) -> None:
    for line in lines[:20]:
        print(f"  {title}: {line}")
    if len(lines) > 20:
        print(f"  {title}: and {len(lines) - 20} more")


def main() -> int:
    parser = argparse.ArgumentParser(prog="./go prove storm", description=__doc__)
    parser.add_argument("--prescriptions", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10_000))
    parser.add_argument("--per-second", type=float, default=8.0, help="prescriptions the hospital sends per second")
    parser.add_argument("--keep", type=Path, help="folder for logs and books that is left behind")
    given = parser.parse_args()
    if not (POSTGRES_BIN / "initdb").exists():
        missing(["postgresql-15"])
    print(f"seed {given.seed}", flush=True)
    count, seed = given.prescriptions, given.seed % 9_000
    with ExitStack() as stack:
        folder = given.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sypg", dir="/tmp",
                                                                        ignore_cleanup_errors=True)))
        service = stack.enter_context(Service(folder / "logs"))
        city = StormCity(folder, service, Postgres(database, service), seed=seed, per_second=given.per_second)
        began = time.monotonic()
        city.start_partners()
        city.start_lines()
        city.start_product()
        print(f"the city is up ({time.monotonic() - began:.0f} s)", flush=True)
        began = time.monotonic()
        plan = city.send(count, expiring_seconds=round(60 + 4 * 0.03 * count / given.per_second))
        killed: Counter[str] = Counter()
        with progress(city, plan, killed):
            city.weather(BAD_LINES, BAD_CLOCKS)
            rage(city, plan, seed, began + 300 + 1.5 * count, killed)
            stormed, (_, by_then) = time.monotonic() - began, _how_far(city)
            city.weather(dict.fromkeys(BAD_LINES, 0), dict.fromkeys(BAD_CLOCKS, 0))
            print(f"the storm is over ({stormed:.0f} s)", flush=True)
            city.wait_until(city.everything_is_up, "everything", 180)
            rested = come_to_rest(city, plan, patience=240 + 0.5 * count)
            print(f"{'all at rest' if rested else 'NOT at rest'} ({time.monotonic() - began:.0f} s)", flush=True)
        city.wait_until(city.deployed, "the deployments", seconds=180)
        orphans = sweep(city)
        a_day.reconcile(city)
        ended = a_day.assess(city, plan)
        late = stuck(city.postgres)
        doubled = tieout.doubled(a_day.whole(city, "ledger"), {name: city.book(name) for name in (*SELLERS, "insurer", "hospital")})
        injected = city.injected()
        stale = sum(event.get("stale", 0) for chain in CHAINS for event in city.book(chain)["callbacks"])
        broken = a_day.whole(city, "verify")["broken"]

    wrong = [one for one in ended.ended if not one.right]
    # Over, nothing owed by anybody, and not what the plan wanted: a patience that ran out in the storm.
    otherwise = [one for one in wrong if one.status in FINAL and one.money in ("none", "reversed", one.expected_money)]
    lost = [one for one in wrong if one not in otherwise]
    _show("lost", lost)
    _show("ended otherwise", otherwise)
    _show("stuck", late)
    _show("doubled", doubled)
    _show("difference", ended.differences)
    print("kills: " + ", ".join(f"{number} {name}" for name, number in killed.items())
          + f"; started again by the service manager: {dict(service.revived) or 'none'}")
    print("faults: " + ", ".join(f"{number} {name}" for name, number in injected.most_common())
          + f", {stale} callbacks under a wrong clock refused and sent again")
    print("the partners' own: " + ", ".join(f"{number} {name}" for name, number in ended.faults.items() if number))
    print(f"Prefect: {ended.runs} runs since its database was made again, {len(ended.red_runs)} red")
    print("seconds per stage (p50, p95): " + ", ".join(
        f"{status} {row['p50']:.1f} {row['p95']:.1f}" for status, row in ended.stages.items()))
    print(f"{by_then / stormed:.1f} prescriptions/s ended in the storm, {time.monotonic() - began:.0f} s in all")
    print(f"storm: {count} prescriptions, {sum(killed.values())} kills, {_faults(injected) + stale} faults injected, "
          f"{len(lost)} lost, {len(otherwise)} ended otherwise, {len(doubled)} doubled, {len(broken)} broken chains, "
          f"{orphans} orphan holds, "
          f"{len(late)} stuck, {len(ended.differences)} differences in {ended.compared} lines")
    every_fault = stale > 0 and all(injected[name] for name in BAD_LINES)
    held = (rested and every_fault and len(killed) > len(VICTIMS) and len(otherwise) <= count / 100
            and not (lost or doubled or broken or orphans or late or ended.differences))
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())

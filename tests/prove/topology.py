"""Killing one of each kind of process in a day on many processes (two Prefect APIs, three workers…) changes nothing.

The same processes and environment files as `infra/deploy/`, on loopback: PostgreSQL, Redis, two replicas of Prefect's API,
its services apart, two gateways, three workers, one operations worker. The operations worker dies too, though there is one
of it; PostgreSQL is not killed here but in the storm (`./go prove storm`).
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import httpx
import sqlalchemy as sa
from rich.console import Console

from infra.db import Database, processes
from infra.db.rows import HopRow
from sandbox.city import TROUBLED, SandboxCity, Shape
from sandbox.day import assess, at_rest, reconcile
from sandbox.plan import Plan
from sandbox.processes import Processes
from tests.support import services

DOWN_SECONDS = 2.0
"""How long a killed process is away before somebody starts it again."""
BACK_SECONDS = 12.0
"""How long it is left alone then, so that it takes part again before the next one goes."""

TAKEN_AGAIN = 330.0
"""Seconds: what a killed services process was doing at that moment, Prefect's queue gives to the next one after five minutes."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="./go prove topology", description=__doc__)
    parser.add_argument("--prescriptions", type=int, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10_000))
    parser.add_argument("--logs", type=Path, help="keep the logs of all processes here")
    given = parser.parse_args()
    console = Console(highlight=False, width=140)
    console.print(f"seed {given.seed}")
    with services.postgres() as postgres, tempfile.TemporaryDirectory() as folder, \
            Processes(given.logs or Path(folder) / "logs") as children:
        database = postgres.fresh()
        prefect = postgres.fresh().replace("postgresql+psycopg://", "postgresql+asyncpg://")
        shape = Shape(gateways=2, workers=3, prefect_apis=2, prefect_database_url=prefect,
                      redis_program=services.redis_program())
        # A slow hospital: the day must be long enough for six funerals.
        city = SandboxCity(Path(folder), children, slug="jinan", seed=given.seed % 9_000, shape=shape,
                           per_second=given.prescriptions / 75, database_url=database, tempo=TROUBLED)
        city.start_partners()
        city.start_product()
        city.wait_until(city.deployed, "the deployments", seconds=120)
        console.print(f"the city is up: {_alive(database)}")
        kinds = [*city.members, "operations"]
        _live(city, city.send(given.prescriptions), kinds, random.Random(given.seed), console)
        forgotten = city.forgotten_run()
        reconcile(city)
        city.wait_until(lambda: city.run_state(forgotten)[1] == "Late", "Prefect's services to see a late run", TAKEN_AGAIN)
        day = assess(city, Plan.load(Path(folder)))
        runs = {name: city.count_runs(f"worker:{name}") for name in city.members["worker"]}
        overlaps = _overlaps(database)
    wrong = [one for one in day.ended if not one.right]
    for line in [*day.differences[:20], *day.red_runs[:20], *(str(one) for one in wrong[:20])]:
        console.print(f"  [red]{line}[/red]")
    killed = [kind for kind in kinds if city.killed(kind)]
    for rx_id in overlaps[:20]:
        console.print(f"  [red]two workers at a time had {rx_id}[/red]")
    console.print(f"topology: {len(killed)} of {len(kinds)} kinds killed, {len(day.ended)} prescriptions, {len(wrong)} other "
                  f"outcomes, {len(day.differences)} differences in {day.compared} lines, {len(overlaps)} worked on by "
                  "two at a time; runs of each worker: "
                  + ", ".join(f"{name} {count}" for name, count in runs.items()))
    return 0 if day.good and not overlaps and len(killed) == len(kinds) and len(runs) == 3 and min(runs.values()) > 0 else 1


def _alive(url: str) -> str:
    """What the installation knows of its own processes."""
    database = Database(url)
    with database.reading() as session:
        kinds = Counter(one.kind for one in processes.alive(session, datetime.now(UTC)))
    database.close()
    return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))


def _overlaps(url: str) -> list[str]:
    """Prescriptions that two workers had at the same time."""
    spans = defaultdict(list)
    database = Database(url)
    with database.reading() as session:
        for hop in session.scalars(sa.select(HopRow).order_by(HopRow.started_at, HopRow.id)):
            spans[hop.prescription_id].append((hop.started_at, hop.ended_at))
    database.close()
    return [rx_id for rx_id, hops in spans.items() if any(after[0] < before[1] for before, after in pairwise(hops))]


def _live(city: SandboxCity, plan: Plan, kinds: Sequence[str], luck: random.Random, console: Console) -> None:
    """Let the day go by, killing one process of each kind, until everything is at rest; or patience ends."""
    began = time.monotonic()
    victims = [luck.choice(city.members.get(kind, [kind])) for kind in luck.sample(sorted(kinds), len(kinds))]
    next_at, quiet = luck.uniform(6, 10), 0
    while quiet < 2 and time.monotonic() - began < 240 + len(plan.prescriptions):
        if victims and time.monotonic() - began > next_at:
            name = victims.pop(0)
            city.kill(name)
            time.sleep(DOWN_SECONDS)
            city.restart(name)
            console.print(f"  {time.monotonic() - began:4.0f} s  killed and started again: {name}")
            next_at = time.monotonic() - began + luck.uniform(BACK_SECONDS, BACK_SECONDS + 4)
        time.sleep(0.5)
        city.check()
        with suppress(httpx.HTTPError):
            quiet = quiet + 1 if not victims and at_rest(city, plan) else 0
    if quiet < 2:
        console.print(f"  [red]not at rest; the hospital: {city.progress('hospital')}[/red]")


if __name__ == "__main__":
    sys.exit(main())

"""Killing the worker (SIGKILL) at ten random moments of a day changes no outcome and doubles no effect in any book."""

import argparse
import random
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from sandbox.city import SandboxCity
from sandbox.day import Moment, run_day
from sandbox.processes import Processes


def main() -> int:
    parser = argparse.ArgumentParser(prog="./go prove kill", description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--prescriptions", type=int, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10_000))
    given = parser.parse_args()
    console = Console(highlight=False, width=140)
    console.print(f"seed {given.seed}")
    with tempfile.TemporaryDirectory() as folder, Processes(Path(folder) / "logs") as processes:
        # A slow hospital: the day must be long enough for ten lives.
        city = SandboxCity(Path(folder), processes, slug="jinan", seed=given.seed % 9_000, per_second=0.5)
        day = run_day(city, given.prescriptions, console, kills=_moments(given.kills, given.seed))
        killed = city.killed("worker")
        doubled = [line for line in day.differences if "times" in line or "double" in line]
        wrong = [one for one in day.ended if not one.right]
    for line in day.differences[:20]:
        console.print(f"  [red]{line}[/red]")
    for one in wrong[:20]:
        console.print(f"  [red]{one}[/red]")
    held = day.good and killed >= given.kills
    console.print(f"kill: {killed} kills, {len(day.ended)} prescriptions, {len(wrong)} other outcomes, "
                  f"{len(doubled)} doubled effects, {len(day.differences)} differences in {day.compared} lines")
    return 0 if held else 1


def _moments(kills: int, seed: int) -> list[Moment]:
    """Random seconds, each long enough after the one before for the worker to have come back to life and work."""
    luck = random.Random(seed)
    at, moments = 0.0, []
    for _ in range(kills):
        at += luck.uniform(6.0, 14.0)
        moments.append(lambda seconds, _, at=at: seconds >= at)
    return moments


if __name__ == "__main__":
    sys.exit(main())

"""Killing the worker (SIGKILL) at ten random moments of a day changes no outcome and doubles no effect in any book."""

import argparse
import random
import sys
import tempfile
import threading
import time
from pathlib import Path

from rich.console import Console

from sandbox.city import SandboxCity
from sandbox.day import run_day
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
        killer = threading.Thread(target=_kill, args=(city, given.kills, given.seed), daemon=True)
        city.on_sending = killer.start
        day = run_day(city, given.prescriptions, console, kills=0)
        killer.join(timeout=5)
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


def _kill(city: SandboxCity, kills: int, seed: int) -> None:
    """Kill the worker at random moments while prescriptions are on their way, and start it again each time."""
    luck = random.Random(seed)
    for _ in range(kills):
        time.sleep(luck.uniform(5.0, 14.0))
        city.kill("worker")
        time.sleep(luck.uniform(0.0, 1.0))
        city.restart("worker")


if __name__ == "__main__":
    sys.exit(main())

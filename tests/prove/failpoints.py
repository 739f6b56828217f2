"""Failing at every commit of every scenario, one after the other, changes no outcome and no book."""

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from rich.console import Console

from infra import log
from tests.laws.scenarios import SCENARIOS
from tests.laws.site import Site
from tests.laws.transactions import NAMES, Place

HAPPENED = 0.95
"""Of the crashes tried, at least so many must happen, and one at every place. A worker that polls passes some places
once more or less each time, so the last passing of a calm run may never come."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="./go prove failpoints", description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="only every n-th passing (default 1: all)")
    given = parser.parse_args()
    log.configure("CRITICAL")
    console = Console(highlight=False, width=140)
    tried, crashed = Counter[Place](), Counter[Place]()
    wrong, missing, turn = 0, set(NAMES), 0
    with tempfile.TemporaryDirectory() as folder, Site(Path(folder)).without_prefect() as site:
        for scenario in SCENARIOS:
            calm = site.fresh()
            scenario(calm)
            calm.rest()
            # With faults of its own it would hide those of every crash.
            if faults := calm.faults():
                wrong += 1
                console.print(f"  [red]{scenario.__name__}: nothing failed, and yet {faults}[/red]")
            expected = calm.outcome()
            missing -= {name for name, _ in calm.power.passed}
            for place, passings in Counter(calm.power.passed).items():
                for passing in range(1, passings + 1):
                    turn += 1
                    if turn % given.every:
                        continue
                    world = site.fresh(place, passing)
                    scenario(world)
                    world.rest()
                    tried[place] += 1
                    crashed[place] += world.power.failed
                    if (faults := world.faults()) or world.outcome() != expected:
                        wrong += 1
                        console.print(f"  [red]{scenario.__name__}: {place[1]} {place[0]}, passing {passing} {faults}[/red]")
    for name in sorted(missing):
        console.print(f"  [red]no scenario passes {name}[/red]")
    never = [place for place in tried if not crashed[place]]
    for name, when in never:
        console.print(f"  [red]the power never failed {when} {name}[/red]")
    console.print(f"failpoints: {len(NAMES)} fail points, {len(missing)} not passed, {len(SCENARIOS)} scenarios, "
                  f"{crashed.total()} crashes of {tried.total()} tried, {wrong} with another outcome")
    held = tried and crashed.total() >= HAPPENED * tried.total() and not never and not wrong and not missing
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())

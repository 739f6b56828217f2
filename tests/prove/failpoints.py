"""Failing at every commit of every scenario, one after the other, changes no outcome and no book."""

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from rich.console import Console

from infra import log
from tests.tasks.failpoints import NAMES, Site
from tests.tasks.scenarios import SCENARIOS


def main() -> int:
    parser = argparse.ArgumentParser(prog="./go prove failpoints", description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="only every n-th passing (default 1: all)")
    given = parser.parse_args()
    log.configure("CRITICAL")
    console = Console(highlight=False, width=140)
    crashes, wrong, missing, turn = 0, 0, set(NAMES), 0
    with tempfile.TemporaryDirectory() as folder, Site(Path(folder)).without_prefect() as site:
        for scenario in SCENARIOS:
            calm = site.fresh()
            scenario(calm)
            calm.rest()
            expected = (calm.faults(), calm.outcome())
            missing -= {name for name, _ in calm.power.passed}
            for place, passings in Counter(calm.power.passed).items():
                for passing in range(1, passings + 1):
                    turn += 1
                    if turn % given.every:
                        continue
                    world = site.fresh(place, passing)
                    scenario(world)
                    world.rest()
                    crashes += world.power.failed
                    if (world.faults(), world.outcome()) != expected:
                        wrong += 1
                        console.print(f"  [red]{scenario.__name__}: {place[1]} {place[0]}, passing {passing}[/red]")
    for name in sorted(missing):
        console.print(f"  [red]no scenario passes {name}[/red]")
    console.print(f"failpoints: {len(NAMES)} fail points, {len(missing)} not passed, {len(SCENARIOS)} scenarios, "
                  f"{crashes} crashes, {wrong} with another outcome")
    return 0 if crashes and not wrong and not missing else 1


if __name__ == "__main__":
    sys.exit(main())

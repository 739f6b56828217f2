"""Three of ten lines turn out to be sold out after the pharmacy has the order: the prescriptions are filled all the same.

Each time the next candidate is asked; no person does anything but review. Sixty seconds after all have ended no chain holds
stock for anything.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from sandbox.chain import CHAINS, SELLERS
from sandbox.city import FAULTS, SandboxCity
from sandbox.day import run_day
from sandbox.processes import Processes

SOLD_OUT = 0.3
"""Rate of lines that fail after the hold."""
FILLED = 0.98
"""Share that must be filled without a person."""
QUIET_SECONDS = 60
FULL = ("settled_pickup", "settled_home", "split", "part", "declined")
"""Scenarios that end with the medicine in the patient's hand and have no other story to tell."""
FAULTS_OF_DAY: Mapping[str, Mapping[str, Any]] = FAULTS | {chain: {**FAULTS[chain], "sold_out": SOLD_OUT} for chain in CHAINS}


def main() -> int:
    parser = argparse.ArgumentParser(prog="./go prove stockout", description=__doc__)
    parser.add_argument("--prescriptions", type=int, default=120)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(9_000))
    options = parser.parse_args()
    console = Console(highlight=False, width=140)
    console.print(f"seed {options.seed}")
    with tempfile.TemporaryDirectory() as folder, Processes(Path(folder) / "logs") as processes:
        city = SandboxCity(Path(folder), processes, slug="jinan", seed=options.seed, faults=FAULTS_OF_DAY, per_second=2)
        day = run_day(city, options.prescriptions, console)
        time.sleep(QUIET_SECONDS)
        orders = [order for chain in SELLERS for order in city.book(chain)["orders"]]
    wanted = [rx for rx in day.ended if rx.scenario in FULL]
    filled = [rx for rx in wanted if rx.right]
    sold_out = sum(order["status"] == "declined" for order in orders)
    orphans = sum(order["status"] == "held" for order in orders)
    for rx in [rx for rx in wanted if rx not in filled][:10]:
        console.print(f"  [red]{rx.external_id} {rx.scenario}: {rx.status} {rx.money} {rx.why}[/red]")
    for line in day.differences[:20]:
        console.print(f"  [red]{line}[/red]")
    share = len(filled) / max(len(wanted), 1)
    console.print(f"stockout: {sold_out} orders fell through, {len(filled)} of {len(wanted)} filled without a person "
                  f"({share:.1%}), {orphans} orphan holds {QUIET_SECONDS} s after the end, {len(day.differences)} differences")
    return 0 if share >= FILLED and sold_out and not orphans and not day.differences else 1


if __name__ == "__main__":
    sys.exit(main())

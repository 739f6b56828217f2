"""Cancels at every point of the line: each has a definite answer within a minute, and what is granted is never handed over.

Each seed is a way through the line with its own pharmacies, troubles and people. It is walked once without a cancel. Then it is
walked with a cancel by the hospital or the patient right after one commit: every tenth, another tenth with each seed, or each.
The same cancel comes three times.
"""

import argparse
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

from rich.console import Console

from infra import log
from tests.laws.cancels import ANSWERED_WITHIN, walk
from tests.laws.site import Site


def main() -> int:
    parser = argparse.ArgumentParser(prog="./go prove cancel", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="ways through the line (default 200)")
    parser.add_argument("--first", type=int, default=random.SystemRandom().randrange(1_000_000), help="the first seed")
    parser.add_argument("--every", type=int, default=10,
                        help="a cancel after every n-th commit of a way, another n-th with each seed (default 10); 1: after each")
    options = parser.parse_args()
    log.configure("CRITICAL")
    console = Console(highlight=False, width=140)
    console.print(f"first seed {options.first}")
    answers, places, wrong = Counter[str](), set[str](), 0
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        with Site(Path(folder)).without_prefect() as site:
            for seed in range(options.first, options.first + options.seeds):
                calm = walk(site, seed)
                wrong += _tell(console, seed, None, calm.faults)
                passed = [name for name, when in calm.world.power.passed if when == "after"]
                for after in range(1 + seed % options.every, len(passed) + 1, options.every):
                    cancelled = walk(site, seed, after)
                    answers[cancelled.answer] += 1
                    places.add(passed[after - 1])
                    wrong += _tell(console, seed, after, cancelled.faults)
    counted = ", ".join(f"{count} {answer}" for answer, count in answers.most_common())
    console.print(f"cancel: {answers.total()} cancels after {len(places)} kinds of commits of {options.seeds} ways: {counted}; "
                  f"{wrong} with a fault: handed over after it was granted, no answer within {ANSWERED_WITHIN} s, or money left")
    return 0 if answers["granted"] and answers["refused"] and not wrong else 1


def _tell(console: Console, seed: int, after: int | None, faults: list[str]) -> int:
    for fault in faults:
        console.print(f"  [red]seed {seed}, {'no cancel' if after is None else f'cancel after commit {after}'}: {fault}[/red]")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())

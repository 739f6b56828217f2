"""CPU per prescription of this checkout beside that of an earlier commit, in turns on the same machine.

Each side measures itself with its checkout's harness: the whole line against null partners, ours alone, without the
window. It is measured with few and with many prescriptions. What a process costs once is in both figures, so the difference
between them is what each further prescription costs. The least of all rounds counts: noise only adds.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

HERE = Path(__file__).resolve().parents[1]
FEW = 100
"""Prescriptions of the smaller measurement."""
MOST = 1.1
"""Our CPU per prescription over that of the earlier commit, at most."""
MEASURE = """
import inspect, json, sys, tempfile
from pathlib import Path
from benchmarks import lifecycle as bench
bench.configure("ERROR")
counted = {"shared_preload_libraries": "pg_stat_statements"} if inspect.signature(bench.postgres).parameters else {}
with tempfile.TemporaryDirectory(prefix="sybench") as name, bench.Processes(Path(name) / "logs") as processes:
    with bench.postgres(**counted) as server:
        measured = bench.measure(bench.Rig(Path(name), processes, server), "ours", int(sys.argv[1]), bench.CORES)
print(json.dumps({"cpu": measured.cpu, "rate": measured.rate}))
"""
"""What each side runs in its own checkout; it prints CPU-ms per prescription and prescriptions/s."""


@contextmanager
def checkout(commit: str) -> Iterator[Path]:
    """That commit with its own environment."""
    with tempfile.TemporaryDirectory(prefix="sybefore") as name:
        folder = Path(name) / "checkout"
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", str(folder), commit], cwd=HERE, check=True)
        try:
            subprocess.run(["./go", "bench", "lifecycle", "--help"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
            yield folder
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(folder)], cwd=HERE, check=False)


def each_further(folder: Path, count: int) -> float:
    """CPU-ms of each prescription beyond the first few, all processes together."""
    few, many = (FEW * measured(folder, FEW), count * measured(folder, count))
    return (many - few) / (count - FEW)


def measured(folder: Path, count: int) -> float:
    """CPU-ms per prescription of a run with so many."""
    env = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    ran = subprocess.run([folder / ".venv/bin/python", "-c", MEASURE, str(count)], cwd=folder, env=env, check=True,
                         stdout=subprocess.PIPE, text=True)
    return float(json.loads(ran.stdout.splitlines()[-1])["cpu"])


def main() -> int:
    parser = argparse.ArgumentParser(prog="./go bench before", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit", help="the earlier one: a tag, a branch or a hash")
    parser.add_argument("--prescriptions", type=int, default=600, help="of the larger measurement")
    parser.add_argument("--rounds", type=int, default=2, help="measurements of each side")
    options = parser.parse_args()
    if options.prescriptions <= FEW:
        parser.error(f"--prescriptions must be more than {FEW}")
    console = Console(highlight=False, width=140)
    before, now = [], []
    with checkout(options.commit) as folder:
        for number in range(1, options.rounds + 1):
            before.append(each_further(folder, options.prescriptions))
            now.append(each_further(HERE, options.prescriptions))
            console.print(f"· round {number} of {options.rounds}: {before[-1]:.1f} CPU-ms before, {now[-1]:.1f} now")
    ratio = min(now) / min(before)
    line = (f"before: {ratio:.2f} of the CPU per prescription of {options.commit} "
            f"({min(now):.1f} and {min(before):.1f} CPU-ms, at most {MOST} of it)")
    console.print(line if ratio <= MOST else f"[red]{line}[/red]")
    return 0 if ratio <= MOST else 1


if __name__ == "__main__":
    sys.exit(main())

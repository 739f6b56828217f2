"""Every hospital of the demo city passes its certification, and each flaw put in on purpose is caught by its requirement.

One certification after another, each on a platform of its own: about a minute and a half apiece.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from sandbox.conformance.__main__ import main as certify
from sandbox.conformance.flaws import FLAWS
from sandbox.plan import HOSPITALS


def main() -> int:
    parser = argparse.ArgumentParser(prog="./go prove conformance", description=__doc__)
    parser.add_argument("hospital", nargs="*", default=list(HOSPITALS["jinan"]), help="which ones (default all)")
    parser.add_argument("--flawed", default="jinan_first", help="the hospital the flaws are put into")
    given = parser.parse_args()
    console = Console(highlight=False, width=140)
    rounds = [(hospital, "") for hospital in given.hospital] + [(given.flawed, flaw) for flaw in FLAWS]
    proven = True
    for hospital, flaw in rounds:
        failed = _failed(hospital, flaw)
        good = FLAWS[flaw][1] in failed if flaw else failed == []
        proven &= good
        expected = f"caught by {FLAWS[flaw][1]}" if flaw else "passes"
        console.print(f"{'[green]✓[/green]' if good else '[red]✗[/red]'} {hospital} {flaw} {expected}; "
                      f"failed: {', '.join(failed) or 'none'}")
    return 0 if proven else 1


def _failed(hospital: str, flaw: str) -> list[str]:
    """Ids of the requirements that were not met; `nothing judged` if it did not come to that."""
    with tempfile.TemporaryDirectory() as folder:
        certify([hospital, "--out", folder, *(["--flaw", flaw] if flaw else [])])
        report = Path(folder) / "report.json"
        if not report.exists():
            return ["nothing judged"]
        return [row["id"] for row in json.loads(report.read_text(encoding="utf-8"))["requirements"] if not row["passed"]]


if __name__ == "__main__":
    sys.exit(main())

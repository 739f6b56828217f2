"""After a day every posting sums to zero, every history chain verifies, and one flipped byte is named."""

import sqlite3
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from sandbox.city import SandboxCity
from sandbox.day import run_day
from sandbox.processes import Processes


def main() -> int:
    console = Console(highlight=False, width=140)
    with tempfile.TemporaryDirectory() as folder, Processes(Path(folder) / "logs") as processes:
        city = SandboxCity(Path(folder), processes, slug="jinan", seed=11)
        day = run_day(city, 30, console)
        verified = city.ops("verify")
        console.print(f"postings {verified['postings']}, out of balance {len(verified['out_of_balance'])}; "
                      f"chains {verified['chains']}, broken {len(verified['broken'])}; books differ {len(day.differences)}")
        for wrong in [*day.differences, *day.red_runs, *(str(one) for one in day.ended if not one.right)][:20]:
            console.print(f"  [red]✗[/red] {wrong}")
        honest = (day.good and not verified["broken"] and not verified["out_of_balance"] and verified["postings"] > 0)

        where = _flip_one_byte(Path(folder) / "sanyi.db")
        broken = city.ops("verify")["broken"]
        named = [(one["prescription_id"], one["seq"]) for one in broken]
        console.print(f"one byte flipped in {where}; named: {named}")
    held = honest and named == [where]
    console.print(f"books: {verified['postings']} postings sum to zero, {verified['chains']} chains verify, "
                  f"{len(named)} of 1 flipped byte named" if held else "[red]books: the promise does not hold[/red]")
    return 0 if held else 1


def _flip_one_byte(database: Path) -> tuple[str, int]:
    """Change one character of one reason, behind everybody's back."""
    with sqlite3.connect(database) as connection:
        prescription_id, seq, reason = connection.execute(
            "SELECT prescription_id, seq, reason FROM history WHERE seq = 3 ORDER BY prescription_id LIMIT 1").fetchone()
        changed = chr(ord(reason[0]) ^ 1) + reason[1:]
        connection.execute("UPDATE history SET reason = ? WHERE prescription_id = ? AND seq = ?",
                           (changed, prescription_id, seq))
    return str(prescription_id), int(seq)


if __name__ == "__main__":
    sys.exit(main())

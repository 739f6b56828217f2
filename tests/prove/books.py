"""After a day every posting sums to zero, every chain verifies, a flipped byte is named, and so is a rewritten history."""

import base64
import sqlite3
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from rich.console import Console

from infra.db import Database, history
from infra.db.rows import HistoryRow, PrescriptionRow
from infra.objects import LocalArchive
from sandbox.city import SandboxCity
from sandbox.day import run_day
from sandbox.processes import Processes
from tasks.anchors import Anchors


def main() -> int:
    console = Console(highlight=False, width=140)
    with tempfile.TemporaryDirectory() as folder, Processes(Path(folder) / "logs") as processes:
        city = SandboxCity(Path(folder), processes, slug="jinan", seed=11)
        day = run_day(city, 30, console)
        verified = city.ops("verify")
        console.print(f"postings {verified['postings']}, out of balance {len(verified['out_of_balance'])}, "
                      f"unlike their claim {len(verified['unlike_claim'])}; "
                      f"chains {verified['chains']}, broken {len(verified['broken'])}; books differ {len(day.differences)}")
        for wrong in [*day.differences, *day.red_runs, *(str(one) for one in day.ended if not one.right)][:20]:
            console.print(f"  [red]✗[/red] {wrong}")
        honest = (day.good and not verified["broken"] and not verified["out_of_balance"]
                  and not verified["unlike_claim"] and verified["postings"] > 0)

        where = _flip_one_byte(Path(folder) / "sanyi.db")
        broken = city.ops("verify")["broken"]
        named = [(one["prescription_id"], one["seq"]) for one in broken]
        console.print(f"one byte flipped in {where}; named: {named}")
        _flip_one_byte(Path(folder) / "sanyi.db")  # And back.
        rewritten = _rewrite(city, Path(folder))
        fooled = not city.ops("verify")["broken"]
        found = _anchors(city, Path(folder)).verify()
        console.print(f"history of {rewritten} rewritten with all its hashes; its chain verifies: {fooled}; "
                      f"its root says: {'; '.join(map(str, found)) or 'nothing'}")
        caught = fooled and [one.whose for one in found] == [(rewritten,)]
    held = honest and named == [where] and caught
    console.print(f"books: {verified['postings']} postings sum to zero, {verified['chains']} chains verify, "
                  f"{len(named)} of 1 flipped byte and 1 of 1 rewritten history named"
                  if held else "[red]books: the promise does not hold[/red]")
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


def _anchors(city: SandboxCity, folder: Path) -> Anchors:
    """The roots of the city's day, a day later."""
    key = base64.b64decode(city._product["SANYI_ANCHOR_KEY"])
    database = Database(f"sqlite:///{folder / 'sanyi.db'}")
    return Anchors(database, LocalArchive(folder / "archive", timedelta(days=1)), "jinan", ZoneInfo("Asia/Shanghai"), key,
                   lambda: datetime.now(UTC) + timedelta(days=1))


def _rewrite(city: SandboxCity, folder: Path) -> str:
    """Anchor the day; then change one reason and every hash after it, as somebody would who knows how. Whose it was."""
    ours = _anchors(city, folder)
    for day in ours.open_days():
        ours.anchor(day)
    with ours.db.transaction() as session:
        rx_id = session.scalars(sa.select(HistoryRow.prescription_id).where(HistoryRow.seq == 3)
                                .order_by(HistoryRow.prescription_id)).first()
        assert rx_id
        rows = list(session.scalars(sa.select(HistoryRow).where(HistoryRow.prescription_id == rx_id).order_by(HistoryRow.seq)))
        rows[2].reason += " and approved"
        before = history.GENESIS
        for row in rows:
            row.hash = before = history._digest(before, [getattr(row, name) for name in history.HASHED])
        session.get_one(PrescriptionRow, rx_id).head_hash = before
    return rx_id


if __name__ == "__main__":
    sys.exit(main())

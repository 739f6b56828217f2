"""Kills at every fail point around sale and upload: each pack's code reaches the fund once, and none is sold twice."""

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

import sqlalchemy as sa
from rich.console import Console

from domain.trace import UploadKind, UseStatus
from infra import log
from infra.db import Session
from infra.db.rows import NoticeRow, PackRow, PackUseRow
from tests.laws.power import Place
from tests.laws.scenarios import Scenario, cancels, fund, hospitals, pharmacies
from tests.laws.site import Site
from tests.laws.world import World

AROUND = ("update.", "upload.", "settle.", "reverse.", "cancel.", "order.not_withdrawn", "delivery.fulfilled")
"""Beginnings of the names of the transactions that sell a pack, put it back, claim it or tell the fund of it."""
SCENARIOS: tuple[Scenario, ...] = (
    pharmacies.collected, pharmacies.delivered_home, pharmacies.everything_returned, pharmacies.one_line_returned,
    cancels.cancelled_at_the_pharmacy, hospitals.everything_is_said_twice, fund.the_fund_loses_an_upload,
    fund.the_fund_does_not_take_some_packs, fund.everything_is_uploaded_and_comes_back)


def main() -> int:
    parser = argparse.ArgumentParser(prog="./go prove trace", description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="only every n-th crash (default 1: all)")
    options = parser.parse_args()
    log.configure("CRITICAL")
    console = Console(highlight=False, width=140)
    total, crashed, wrong, turn = Counter[str](), 0, 0, 0
    with tempfile.TemporaryDirectory() as folder, Site(Path(folder)).without_prefect() as site:
        for scenario in SCENARIOS:
            calm = _run(site, scenario)
            expected = calm.outcome()
            total += _figures(calm)
            wrong += _tell(console, scenario, None, calm, expected)
            for place, passings in Counter(calm.power.passed).items():
                if not place[0].startswith(AROUND):
                    continue
                for passing in range(1, passings + 1):
                    turn += 1
                    if turn % options.every:
                        continue
                    world = _run(site, scenario, place, passing)
                    crashed += world.power.failed
                    total += _figures(world)
                    wrong += _tell(console, scenario, place, world, expected)
    console.print(f"trace: {crashed} crashes around sale and upload in {len(SCENARIOS)} scenarios: {total['sold']} packs sold and "
                  f"{total['returned']} brought back, {total['told']} times told to the fund, {total['refused']} not taken by it; "
                  f"{total['twice sold']} sold twice, {total['twice told']} told twice, {total['never told']} never told, "
                  f"{wrong} runs with another outcome")
    bad = wrong or total["twice sold"] or total["twice told"] or total["never told"]
    return 0 if crashed and total["sold"] and total["told"] and not bad else 1


def _run(site: Site, scenario: Scenario, fails_at: Place | None = None, passing: int = 1) -> World:
    world = site.fresh(fails_at, passing)
    scenario(world)
    world.rest()
    return world


def _tell(console: Console, scenario: Scenario, place: Place | None, world: World, expected: dict[str, object]) -> int:
    """1 where a run came out otherwise than the calm one, or left something undone; it is printed."""
    faults, same = world.faults(), world.outcome() == expected
    if same and not faults:
        return 0
    console.print(f"  [red]{scenario.__name__} {place or 'undisturbed'}: {faults or 'another outcome'}[/red]")
    return 1


def _figures(world: World) -> Counter[str]:
    """What our tables and the fund's own book say of packs."""
    told = Counter((kind, line.code, line.order_id) for rows in world.payer.uploads.values() for kind, line in rows)
    figures = Counter[str]()

    def look(_: World, session: Session) -> None:
        uses = session.scalars(sa.select(PackUseRow).where(
            PackUseRow.status.in_([UseStatus.HANDED_OVER, UseStatus.RETURNED]))).all()
        refused = {subject.partition(":")[2] for subject in session.scalars(
            sa.select(NoticeRow.subject).where(NoticeRow.kind == "trace_refused"))}
        units = Counter[str]()
        for use in uses:
            units[use.code] += use.units
            came_back = use.status == UseStatus.RETURNED
            figures["sold"] += 1
            figures["returned"] += came_back
            owed = [UploadKind.SALE, *([UploadKind.RETURN] if came_back else [])]
            figures["never told"] += sum(not told[kind, use.code, use.order_id] for kind in owed if use.code not in refused)
        figures["twice sold"] += sum(units[pack.code] > pack.units or pack.units_left < 0
                                     for pack in session.scalars(sa.select(PackRow)))
        figures["refused"] += len(refused)

    world.hand_in_the_database(look)
    figures["told"] += told.total()
    figures["twice told"] += sum(number - 1 for number in told.values())
    return figures


if __name__ == "__main__":
    sys.exit(main())

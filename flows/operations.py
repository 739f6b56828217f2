"""What operations run by hand or on a schedule: sweep, reconcile a day, ask a partner, the board."""

import asyncio
from datetime import date

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from domain.errors import Refused, RxError
from flows.dead import tidy
from flows.home import NOWHERE, city
from infra.settings import get_settings
from tasks import upkeep
from tasks.anchors import of_city
from tasks.board import board_markdown
from tasks.polling import poll_partner, polled
from tasks.recall import markdown, recall
from tasks.settlement.reconciliation import reconcile_day, unreconciled_days
from tasks.traffic import watch_shapes


@flow(name="sweep", flow_run_name="sweep", persist_result=False, result_storage=NOWHERE)
async def sweep() -> State:
    """Re-drive what a dead worker left behind, release orphan holds, tidy stuck runs in Prefect."""
    swept = await upkeep.sweep(city())
    stuck = await tidy()
    get_run_logger().info("%s; %s", swept, stuck)
    total = swept.forgotten + swept.unknown_outcomes + swept.orphan_holds + swept.mapped + stuck.total
    return Completed(name="Found nothing" if not total else f"Set right: {total}")


@flow(name="reconcile-day", flow_run_name="reconcile {day}", persist_result=False, result_storage=NOWHERE)
async def reconcile(day: str = "open") -> State:
    """Total reconciliation (3201). `day` is `YYYY-MM-DD`, `today`, or `open`: every day before today that is not agreed.

    Red when the fund disagrees with a total, or cannot be asked.
    """
    home = city()
    try:
        days = (unreconciled_days(home) if day == "open" else
                [home.today() if day == "today" else date.fromisoformat(day)])
    except ValueError:
        return Failed(message="day: neither open, nor today, nor a date like 2026-11-22")
    try:
        differ = [str(day) for day in days if not await reconcile_day(home, day)]
    except RxError as error:
        return Failed(message=f"{type(error).__name__}:{error.code}; run it again, nothing is lost")
    if differ:
        return Failed(message=f"the fund's totals differ from ours on {', '.join(differ)}")
    return Completed(name="Agreed" if days else "Nothing open", message=", ".join(map(str, days)))


@flow(name="shapes", flow_run_name="shapes", persist_result=False, result_storage=NOWHERE)
async def shapes() -> State:
    """Whether what a hospital sends has changed its shape: a new version of its system shows before it hurts.

    Each change is a notice on the board, told once.
    """
    drifts = await asyncio.to_thread(watch_shapes, city())
    return Completed(name=f"Changed: {', '.join(drift.hospital for drift in drifts)}" if drifts else "As before")


@flow(name="anchor", flow_run_name="anchor", persist_result=False, result_storage=NOWHERE)
async def anchor() -> State:
    """Keep the root of every day that is over and has none. Harmless at any time; red when a root cannot be made or kept."""
    try:
        ours = of_city(city(), get_settings())
        days = await asyncio.to_thread(ours.open_days)
        for day in days:
            await asyncio.to_thread(ours.anchor, day)
    except RxError as error:
        return Failed(message=f"{type(error).__name__}:{error.code}; see ./go doctor, then run it again")
    return Completed(name=f"Anchored: {len(days)}" if days else "Nothing open")


@flow(name="poll", flow_run_name="poll {hospital}", persist_result=False, result_storage=NOWHERE)
async def poll(hospital: str = "all", limit: int = 500) -> State:
    """Ask a partner for its messages now: the slug of a hospital or of a chain, or `all` that are asked. Harmless at any time."""
    home = city()
    there = polled(home)
    if hospital != "all" and hospital not in there:
        return Failed(message=f"hospital: one of all, {', '.join(there)}")
    settled, failed = 0, []
    for slug in there if hospital == "all" else [hospital]:
        try:
            settled += await poll_partner(home, slug, limit)
        except RxError as error:
            failed.append(f"{slug} {type(error).__name__}:{error.code}")
    if failed:
        return Failed(message=f"{', '.join(failed)}; settled: {settled}; run it again, nothing is lost")
    return Completed(name=f"Settled: {settled}" if settled else "Nothing new")


@flow(name="recall", flow_run_name="recall {drug} {lot}{code}", persist_result=False, result_storage=NOWHERE)
async def recall_packs(reason: str, drug: str = "", lot: str = "", code: str = "") -> State:
    """Stop the sale of a lot of a drug, or of one pack (E-18), and list what left the shelf as the artifact `recall`.

    Run it again for the list as it is then.
    """
    try:
        result = await asyncio.to_thread(recall, city(), drug=drug, lot=lot, code=code, reason=reason, by="operations")
    except Refused as refusal:
        return Failed(message=str(refusal))
    await create_markdown_artifact(markdown(result), key="recall", description="召回 Recall")  # type: ignore[misc]
    return Completed(name=f"Stop {len(result.under_way)}, tell {len(result.handed_over)}")


@flow(name="board", flow_run_name="the city's day", persist_result=False, result_storage=NOWHERE)
async def board() -> None:
    """The city's day on one page: where prescriptions are, what is stuck, why, and what to do."""
    settings = get_settings()
    text = board_markdown(city(), settings.gateway_url)
    await create_markdown_artifact(text, key="city-day", description="The city's day / 全市处方流转")  # type: ignore[misc]

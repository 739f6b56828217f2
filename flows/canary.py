"""The canary: a run each minute that must be scheduled, taken up, run, recorded and visible. A pod that is alive proves less."""

import asyncio
import time
from uuid import UUID

from prefect import flow, get_client, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.events import emit_event
from prefect.states import Completed, Failed

from flows.home import NOWHERE, city
from infra.db import canary as records

PATIENCE = 45.0
"""Seconds until everything must be visible. Prefect writes events every five."""

SANG = "sanyi.canary.sang"
"""The event of a canary that came through. We emit our own event, because `Completed` may come late.

Prefect orders `Completed` after `Scheduled`, but sends no `Scheduled` for runs that a schedule planned. It then holds
`Completed` back for up to fifteen minutes.
"""


@flow(name="canary", flow_run_name="canary", persist_result=False, result_storage=NOWHERE)
async def canary() -> State:
    """Show that Prefect schedules, runs and records, and that our database keeps what it is given.

    Red, and silent in our database, when its own run, task run or event cannot be seen within `PATIENCE`.
    """
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    assert run, "a canary sings in a run"
    begun = time.monotonic()
    await round_trip()
    unseen = {"task run", "event"}
    async with get_client() as client:
        while unseen and time.monotonic() - begun < PATIENCE:
            unseen = await _unseen(client, run.id, unseen)
            if unseen:
                await asyncio.sleep(1)
    if unseen:
        return Failed(message=f"not visible in Prefect within {PATIENCE:.0f} s: {', '.join(sorted(unseen))}")
    home = city()
    with home.db.transaction("canary.sang") as session:
        records.sing(session, home.now())
    emit_event(SANG, resource={"prefect.resource.id": "sanyi.canary"})
    get_run_logger().info("visible after %.1f s", time.monotonic() - begun)
    return Completed()


@task(name="round_trip", task_run_name="round_trip", persist_result=False, cache_policy=NO_CACHE)
async def round_trip() -> None:
    """Read from our database, in a task run that Prefect has to record."""
    with city().db.reading() as session:
        records.last(session)


async def _unseen(client: PrefectClient, run: UUID, looking_for: set[str]) -> set[str]:
    """What Prefect's API still does not show of the run."""
    seen = set()
    if "task run" in looking_for:
        tasks = await client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run])))
        if any(task_run.state and task_run.state.is_completed() for task_run in tasks):
            seen.add("task run")
    if "event" in looking_for:
        answer = await client.request("POST", "/events/filter", json={"limit": 1, "filter": {
            "event": {"name": ["prefect.flow-run.Running"]}, "resource": {"id": [f"prefect.flow-run.{run}"]}}})
        if answer.json()["events"]:
            seen.add("event")
    return looking_for - seen

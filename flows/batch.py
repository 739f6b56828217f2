"""The flow that works: take a batch of prescriptions one hop further. What each prescription shows is `flows.window`."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextvars import ContextVar

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.states import Completed

from flows.home import NOWHERE, city
from infra.log import bind
from infra.settings import get_settings
from tasks.line import Hop, hops

SLOW: ContextVar[dict[str, asyncio.Task[Hop]] | None] = ContextVar("slow", default=None)
"""Where a run notes whose partner is slow, and where a batch leaves them. Without it a batch waits for the last."""


@flow(name="batch", persist_result=False, result_storage=NOWHERE, validate_parameters=False)
async def batch_of_prescriptions(prescriptions: list[str]) -> State:
    """Take each prescription as far as it can go without waiting for anyone.

    Safe to start at any time and as often as you like. One prescription's trouble is its own: a batch ends well, and
    what needs a person is red in the prescription's own run.
    """
    context = FlowRunContext.get()
    run_id = str(context.flow_run.id) if context and context.flow_run else ""
    get_run_logger().info("what became of each: %s/runs/%s", get_settings().gateway_url, run_id)
    with bind(run=run_id):
        ended = await hops(city(), prescriptions, slow=SLOW.get())
    return Completed(name=_summary(ended, len(prescriptions) - len(ended)))


def _summary(ended: Sequence[Hop], beside: int) -> str:
    ends = Counter("to retry" if ending.error else str(ending.end) for ending in ended)
    ends += Counter({"still waiting for a slow partner": beside})
    return ", ".join(f"{count} {end}" for end, count in ends.most_common())

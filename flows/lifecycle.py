"""The lifecycle flow: take a batch of prescriptions one hop further."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

from prefect import Task, flow, get_run_logger
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext, TagsContext
from prefect.states import Completed, Failed

from domain.errors import OutcomeUnknown, RxError, StaleStatus, Transient
from flows.home import NOWHERE, city
from infra.db.history import Head
from infra.log import bind
from infra.settings import get_settings
from tasks.city import City
from tasks.line import STEPS, Hop, Step, hops

SLOW: ContextVar[dict[str, asyncio.Task[Hop]] | None] = ContextVar("slow", default=None)
"""Where a run notes whose partner is slow, and where a batch leaves them. Without it a batch waits for the last."""


@flow(name="prescription-lifecycle", persist_result=False, result_storage=NOWHERE, validate_parameters=False)
async def prescription_lifecycle(prescriptions: list[str], fine: bool = True) -> State:
    """Take each prescription as far as it can go without waiting for anyone.

    Safe to start at any time and as often as you like. `fine` shows each step as a task run of its own.
    One prescription's trouble is its own: a batch ends well and the prescription comes back alone, where
    it is red only if a person has to look.
    """
    context = FlowRunContext.get()
    run_id = str(context.flow_run.id) if context and context.flow_run else ""
    get_run_logger().info("what became of each: %s/runs/%s", get_settings().gateway_url, run_id)
    with bind(run=run_id):
        if fine:
            ended = await hops(city(), prescriptions, as_tasks, slow=SLOW.get(), wait=True)
        else:
            ended = await hops(city(), prescriptions, slow=SLOW.get())
    if len(ended) == len(prescriptions) == 1:
        only = ended[0]
        return Failed(message=f"{only.prescription_id} {only.error}") if only.alarming else Completed(name=only.name)
    return Completed(name=_summary(ended, len(prescriptions) - len(ended)))


def _summary(ended: Sequence[Hop], beside: int) -> str:
    ends = Counter("to retry" if one.error else str(one.end) for one in ended)
    ends += Counter({"still waiting for a slow partner": beside})
    return ", ".join(f"{count} {end}" for end, count in ends.most_common())


async def as_tasks(step: Step, home: City, prescription_id: str) -> Head:
    """Run a step as a Prefect task run named after it and its prescription."""
    run = _TASKS[step].with_options(task_run_name=f"{step.__name__} {prescription_id}")
    # The flow run bears the tags. For every set of tags that tasks ever had, Prefect would keep a thread and a client.
    with TagsContext(current_tags=set()):
        outcome: Head | Exception = await run(prescription_id)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _as_task(step: Step) -> Task[[str], Any]:
    async def run(prescription_id: str) -> Head | Exception:
        try:
            return await step(city(), prescription_id)
        except (StaleStatus, Transient, OutcomeUnknown) as passing:
            return passing  # Nobody needs to act, so nothing is red.
        except RxError:
            raise
        except Exception as fault:
            # A foreign exception may quote a person; Prefect keeps what it is given.
            raise RuntimeError(type(fault).__name__).with_traceback(fault.__traceback__) from None

    return Task(run, name=step.__name__, persist_result=False, cache_policy=NO_CACHE)


_TASKS = {step: _as_task(step) for step in STEPS.values()}

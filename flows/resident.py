"""A Prefect worker that runs deployments in its own process: `python -m flows.resident`.

A stock process worker starts an interpreter per run, five to nine seconds of it. Sweeps, boards and what
operations start by hand are short and async: they run on this worker's event loop.
"""

import asyncio
import contextlib
import sys
from functools import cache
from pathlib import Path
from typing import Any

import anyio.abc
import yaml
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectAlreadyExists
from prefect.flow_engine import run_flow_async
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.states import Failed
from prefect.workers.base import BaseJobConfiguration, BaseVariables, BaseWorker, BaseWorkerResult

from domain.errors import NeedsOperator, RxError
from flows import automations, saved_filters
from flows.dead import tidy
from flows.home import city, prefect_clients, told_to_stop
from flows.prefect_server import part_of
from flows.window import Window
from infra import metrics
from infra.log import configure, get_logger
from infra.settings import get_settings
from infra.topology import Kind
from tasks.city import City
from tasks.polling import poll_partner, polled, seconds_between

log = get_logger(__name__)

POOL = "operations"
DECLARED = Path(__file__).parents[1] / "prefect.yaml"
"""The deployments of this release."""
AGAIN_SECONDS = 5.0
"""Pause before another try when Prefect is away."""
AUTOMATIONS_SECONDS = 15.0
"""Between two looks at whether Prefect still has our automations."""

HELPING = 50
"""Messages of one hospital in one poll."""
LEAST_PAUSE_SECONDS = 0.2
"""Between two polls, however much the city is in a hurry."""


REFUSED = "not run: this worker runs only the entry points of its own prefect.yaml; .venv/bin/prefect deploy --all sets them right"


def declared() -> list[dict[str, Any]]:
    """The deployments of prefect.yaml."""
    deployments: list[dict[str, Any]] = yaml.safe_load(DECLARED.read_text(encoding="utf-8"))["deployments"]
    return deployments


@cache
def entry_points() -> frozenset[str]:
    """What may be run, read once, as it was when the process began."""
    return frozenset(str(deployment["entrypoint"]) for deployment in declared())


def allowed(entry_point: str | None) -> bool:
    """Whether this is, letter for letter, an entry point of ours.

    Every client of Prefect's API can name any file of this host. To load a file is to run it, with all our secrets in the
    environment.
    """
    return entry_point in entry_points()


class ResidentWorker(BaseWorker[BaseJobConfiguration, BaseVariables, BaseWorkerResult]):
    """Runs what its pool schedules, one flow run per coroutine."""

    type = "resident"
    job_configuration = BaseJobConfiguration
    job_configuration_variables = BaseVariables
    _display_name = "Resident"
    _description = "Runs short async flows in the worker's own process."

    async def run(self, flow_run: FlowRun, configuration: BaseJobConfiguration,
                  task_status: anyio.abc.TaskStatus[Any] | None = None) -> BaseWorkerResult:
        assert flow_run.deployment_id is not None
        deployment = await self.client.read_deployment(flow_run.deployment_id)
        if task_status:
            task_status.started(str(flow_run.id))
        if not allowed(deployment.entrypoint):
            # The error's text comes from outside: neither the log nor the state repeats it.
            log.error("operations.refused", rule="only entry points of prefect.yaml", flow_run=str(flow_run.id),
                      deployment=str(deployment.id))
            await self.client.set_flow_run_state(flow_run.id, Failed(name="Refused", message=REFUSED), force=True)
            return BaseWorkerResult(status_code=0, identifier=str(flow_run.id))
        assert deployment.entrypoint is not None
        flow: Flow[..., Any] = load_flow_from_entrypoint(deployment.entrypoint, use_placeholder_flow=False)
        parameters = flow.validate_parameters({**(deployment.parameters or {}), **(flow_run.parameters or {})})
        await run_flow_async(flow, flow_run=flow_run, parameters=parameters, return_type="state")
        return BaseWorkerResult(status_code=0, identifier=str(flow_run.id))


async def serve() -> None:
    """Serve the pool until SIGTERM or SIGINT, through every absence of Prefect."""
    entry_points()
    stop = told_to_stop()
    async with prefect_clients(), part_of(city(), Kind.OPERATIONS):
        metrics.serve(get_settings().metrics_port, get_settings().metrics_host)
        going = asyncio.ensure_future(asyncio.gather(
            _keep_serving(), _keep_deployed(), _keep_automations(), _keep_drawing(),
            *(keep_polling(city(), slug) for slug in polled(city()))))
        stopping = asyncio.create_task(stop.wait())
        waits: list[asyncio.Future[Any]] = [going, stopping]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        going.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await going


async def _keep_serving() -> None:
    """Make the pool and work for it; when Prefect is away, wait and begin anew."""
    while True:
        try:
            await _make_pool()
            stuck = await tidy()
            log.info("operations.started", pool=POOL, stuck=stuck.total)
            await ResidentWorker(work_pool_name=POOL, name=get_settings().worker, limit=4).start()
            return
        except Exception as error:
            # Prefect's worker gives up after some minutes without a server; we do not.
            first = _first(error)
            log.warning("operations.waiting_for_prefect", error=f"{type(first).__name__}: {first}"[:200])
        await asyncio.sleep(AGAIN_SECONDS)


async def _make_pool() -> None:
    async with get_client() as client:
        with contextlib.suppress(ObjectAlreadyExists):
            await client.create_work_pool(WorkPoolCreate(
                name=POOL, type=ResidentWorker.type, description="Sweeps, boards, and what operations start by hand.",
                base_job_template=ResidentWorker.get_default_base_job_template()))


async def _keep_deployed() -> None:
    """Have Prefect know every deployment of prefect.yaml and our filters: from the start, and again when it has lost them."""
    while True:
        try:
            async with get_client() as client:
                deployed = {deployment.name for deployment in await client.read_deployments(limit=200)}
                if not {str(deployment["name"]) for deployment in declared()} <= deployed and await _deploy(client):
                    log.info("deployments.registered")
                await saved_filters.ensure(client)
        except Exception as error:
            log.warning("deployments.not_registered", error=type(error).__name__)
        await asyncio.sleep(AUTOMATIONS_SECONDS)


async def _deploy(client: PrefectClient) -> bool:
    """What an operator would do by hand. Prefect's command runs in a separate process, because it is no library."""
    await client.read_work_pool(POOL)  # Without it Prefect takes none.
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", cwd=DECLARED.parent,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL)
    return await running.wait() == 0


async def _keep_automations() -> None:
    """Have Prefect know our automations: from the start, and again when it has lost them with its database."""
    while True:
        try:
            await automations.ensure()
        except NeedsOperator as error:
            log.info("automations.waiting", code=error.code)
        except Exception as error:
            log.warning("automations.not_applied", error=type(error).__name__)
        await asyncio.sleep(AUTOMATIONS_SECONDS)


async def _keep_drawing() -> None:
    """Show every prescription as a run, as far as the settings want it."""
    await Window(city(), get_settings()).keep_drawing()


async def keep_polling(home: City, slug: str) -> None:
    """Ask one partner for its messages, again and again; Prefect is not needed for it, and no other partner waits."""
    pause = max(seconds_between(home, slug) / home.hurry, LEAST_PAUSE_SECONDS)
    kept: set[str] = set()
    while True:
        try:
            # A full helping means that there may be more.
            if await poll_partner(home, slug, HELPING, kept) >= HELPING:
                continue
        except RxError as error:
            log.warning("poll.waiting", partner=slug, error=type(error).__name__, code=error.code)
        except Exception as error:
            log.error("poll.broken", partner=slug, error=type(error).__name__)
        await asyncio.sleep(pause)


def _first(error: BaseException) -> BaseException:
    """What is at the bottom of a task group's error."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def main() -> None:
    configure(get_settings().log_level)
    asyncio.run(serve())


if __name__ == "__main__":
    main()

"""A Prefect worker that runs deployments in its own process: `python -m flows.resident`.

A stock process worker starts an interpreter per run, five to nine seconds of it. Sweeps, boards and what
operations start by hand are short and async: they run on this worker's event loop.
"""

import asyncio
import contextlib
import signal
from typing import Any

import anyio.abc
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectAlreadyExists
from prefect.flow_engine import run_flow_async
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.workers.base import BaseJobConfiguration, BaseVariables, BaseWorker, BaseWorkerResult

from flows.home import city
from infra.log import configure, get_logger
from infra.settings import get_settings

log = get_logger(__name__)

POOL = "operations"


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
        assert deployment.entrypoint is not None
        flow: Flow[..., Any] = load_flow_from_entrypoint(deployment.entrypoint, use_placeholder_flow=False)
        if task_status:
            task_status.started(str(flow_run.id))
        parameters = flow.validate_parameters({**(deployment.parameters or {}), **(flow_run.parameters or {})})
        await run_flow_async(flow, flow_run=flow_run, parameters=parameters, return_type="state")
        return BaseWorkerResult(status_code=0, identifier=str(flow_run.id))


async def serve() -> None:
    """Serve the pool until SIGTERM or SIGINT."""
    home = city()
    home.db.migrate()
    async with get_client() as client:
        with contextlib.suppress(ObjectAlreadyExists):
            await client.create_work_pool(WorkPoolCreate(
                name=POOL, type=ResidentWorker.type, description="Sweeps, boards, and what operations start by hand.",
                base_job_template=ResidentWorker.get_default_base_job_template()))
        serving = asyncio.create_task(ResidentWorker(work_pool_name=POOL, name=get_settings().worker, limit=4).start())
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(signal_number, serving.cancel)
        log.info("operations.started", pool=POOL)
        with contextlib.suppress(asyncio.CancelledError):
            await serving


def main() -> None:
    configure(get_settings().log_level)
    asyncio.run(serve())


if __name__ == "__main__":
    main()

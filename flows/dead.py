"""Runs whose process was killed: Prefect shows them Running for ever unless somebody says so."""

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import State, StateType
from prefect.states import Crashed

STILL_RUNNING = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING]))


async def bury(which: FlowRunFilter) -> int:
    """Mark lifecycle runs as crashed; returns how many. Says nothing of prescriptions: those are rows."""
    async with get_client() as client:
        runs = await client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=["prescription-lifecycle"])), flow_run_filter=which,
            limit=200)
        for run in runs:
            crashed: State = Crashed(message="its process is gone; its prescriptions were taken up again")
            await client.set_flow_run_state(run.id, crashed, force=True)
    return len(runs)


async def bury_own(worker: str) -> int:
    """The runs of an earlier life of this worker: at its start none can be alive."""
    return await bury(FlowRunFilter(state=STILL_RUNNING, tags=FlowRunFilterTags(all_=[f"worker:{worker}"])))

"""Runs whose state will never change again: report them to Prefect as crashed. No row of ours is touched."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateName,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Cancelled, Crashed

from tasks.window import FLOW, key_of

BATCH = "batch"
OURS = FlowFilter(name=FlowFilterName(
    any_=[BATCH, "sweep", "reconcile-day", "board", "canary", "alert", "poll", "shapes"]))
"""Other people's flows on the same server are their own business, and a prescription's own run lasts as long as it does.
Those made by hand are of the same flow; `tidy` knows them by their keys."""

PAGE = 200
"""As many runs as Prefect gives at once."""
AT_ONCE = 2000
"""Most runs one tidying looks at; the next one goes on."""


@dataclass(frozen=True)
class Stuck:
    """How many runs were found stuck, and moved, by the state they were in."""

    running: int = 0
    pending: int = 0
    cancelling: int = 0
    late: int = 0

    @property
    def total(self) -> int:
        return sum(getattr(self, count.name) for count in fields(self))


@dataclass(frozen=True)
class _Rule:
    """A state in which a run of ours stays for seconds; longer than `after`, and its process is gone."""

    state: StateType
    after: timedelta
    verdict: Callable[[], State]


RULES = {
    "running": _Rule(StateType.RUNNING, timedelta(minutes=15),
                     lambda: Crashed(message="its process is gone; what it worked on was taken up again")),
    "pending": _Rule(StateType.PENDING, timedelta(minutes=2),
                     lambda: Crashed(message="taken up and never begun: its process is gone")),
    "cancelling": _Rule(StateType.CANCELLING, timedelta(minutes=5),
                        lambda: Cancelled(message="its process is gone; there is nothing left to cancel")),
}
LATE_AFTER = timedelta(minutes=2)
"""A run that no worker took for so long is given up if a younger one of its schedule waits too."""


async def tidy(now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Stuck:
    """Move every stuck run of ours on; how many by state. `now` is Prefect's clock, not the city's."""
    async with get_client() as client:
        tidied = {}
        for name, rule in RULES.items():
            runs = await _runs(client, OURS, FlowRunFilterState(type=FlowRunFilterStateType(any_=[rule.state])))
            runs += await _made_by_hand(client, rule.state)
            tidied[name] = await _say(client, _older(runs, now() - rule.after), rule.verdict)
        late = await _runs(client, OURS, FlowRunFilterState(name=FlowRunFilterStateName(any_=["Late"])))
        tidied["late"] = await _say(client, _superseded(_older(late, now() - LATE_AFTER), late), lambda: Cancelled(
            message="nobody took it up; a younger run of the same schedule does its work"))
    return Stuck(**tidied)


async def bury_own(worker: str) -> int:
    """The batches of an earlier life of this worker: at its start none can be alive. How many there were."""
    async with get_client() as client:
        runs = await client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[BATCH])),
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING])),
                tags=FlowRunFilterTags(all_=[f"worker:{worker}"])),
            limit=PAGE)
        return await _say(client, runs, RULES["running"].verdict)


async def _made_by_hand(client: PrefectClient, state: StateType) -> list[FlowRun]:
    """Runs in that state that a person made to drive a prescription, oldest first; never a prescription's own."""
    # The own ones that wait are RUNNING too, a city of them, by names of ours: Prefect's own name tells those that are run.
    name = FlowRunFilterStateName(any_=["Running"]) if state is StateType.RUNNING else None
    runs = await _runs(client, FlowFilter(name=FlowFilterName(any_=[FLOW])),
                       FlowRunFilterState(type=FlowRunFilterStateType(any_=[state]), name=name))
    return [run for run in runs if not (run.idempotency_key or "").startswith(key_of(""))]


async def _runs(client: PrefectClient, flows: FlowFilter, state: FlowRunFilterState) -> list[FlowRun]:
    """Runs of those flows in that state, oldest first."""
    runs: list[FlowRun] = []
    while len(runs) < AT_ONCE:
        page = await client.read_flow_runs(
            flow_filter=flows, flow_run_filter=FlowRunFilter(state=state), limit=PAGE, offset=len(runs),
            sort=FlowRunSort.EXPECTED_START_TIME_ASC)
        runs += page
        if len(page) < PAGE:
            break
    return runs


def _older(runs: Iterable[FlowRun], moment: datetime) -> list[FlowRun]:
    """Those that have been in their state since before that moment."""
    return [run for run in runs if run.state and run.state.timestamp < moment]


def _superseded(late: Iterable[FlowRun], all_late: Iterable[FlowRun]) -> list[FlowRun]:
    """Scheduled runs that are not the youngest of their deployment. What a person started by hand is never given up."""
    youngest: dict[UUID | None, UUID] = {run.deployment_id: run.id for run in all_late if run.auto_scheduled}
    return [run for run in late if run.auto_scheduled and youngest[run.deployment_id] != run.id]


async def _say(client: PrefectClient, runs: Iterable[FlowRun], verdict: Callable[[], State]) -> int:
    count = 0
    for run in runs:
        # Forced: the rules of orchestration protect runs that are alive.
        await client.set_flow_run_state(run.id, verdict(), force=True)
        count += 1
    return count

"""Operations on a real Prefect server with a real operations worker: automations, alerts, the canary, stuck runs.

What takes minutes (dead runs, a dead worker, Prefect's absence) is proved by `./go prove alerts`.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from flows.automations import ALERTS, TAG
from flows.dead import BATCH, tidy
from infra.db import Database, canary
from sandbox.processes import Processes
from tasks.window import FLOW
from tests.support.operations import Operations


@pytest.fixture(scope="module")
def operations(tmp_path_factory, postgres) -> Iterator[Operations]:
    folder = tmp_path_factory.mktemp("operations")
    # Not SQLite: killed and started again it keeps its lock for half a minute, and events are lost to it.
    url = postgres.fresh()
    with Processes(folder / "logs") as processes:
        yield Operations(folder, processes, url)
    postgres.drop(url)


def test_the_operations_worker_gives_prefect_our_automations_and_applying_them_again_changes_nothing(operations):
    assert set(operations.automations()) == {"sanyi: zombie-runs", *(f"sanyi: {one.slug}" for one in ALERTS)}
    assert operations.apply() == "0 created, 0 updated, 0 deleted"


def test_an_automation_that_was_deleted_or_changed_by_hand_or_is_no_longer_declared_is_set_right(operations):
    there = operations.automations()
    api, change = operations.ask, operations.change
    change("PATCH", f"/automations/{there['sanyi: operations-late']}", {"enabled": False})
    gone = there["sanyi: upkeep-failing"]
    changed = api("GET", f"/automations/{there['sanyi: red-prescription']}")
    change("PUT", f"/automations/{changed['id']}", {key: changed[key] for key in ("name", "tags", "actions")} | {
        "trigger": changed["trigger"] | {"within": 5}})
    api("POST", "/automations/", {"name": "sanyi: of an older release", "tags": [TAG], "trigger": changed["trigger"],
                                  "actions": [{"type": "do-nothing"}]})
    change("DELETE", f"/automations/{gone}")
    operations.apply()
    assert operations.automations().keys() == there.keys()
    assert api("GET", f"/automations/{changed['id']}")["trigger"]["within"] == 300
    late = api("GET", f"/automations/{there['sanyi: operations-late']}")
    assert late["enabled"] is False, "an operator who pauses an alert knows why"
    change("PATCH", f"/automations/{late['id']}", {"enabled": True})


def test_the_canary_sees_its_run_its_task_run_and_its_event_and_our_database_remembers(operations):
    began = datetime.now(UTC)
    assert operations.completes("canary/liveness")
    with Database(f"sqlite:///{operations.city.folder / 'sanyi.db'}").reading() as session:
        at = canary.last(session)
    assert at
    assert at >= began


def test_what_an_operator_must_know_becomes_an_artifact_and_a_message(operations):
    red = operations.run(FLOW, "FAILED")
    operations.run("reconcile-day", "FAILED")
    operations.run("sweep", "FAILED")
    operations.run("board", "CRASHED")
    wanted = {"red-prescription", "reconciliation-red", "upkeep-failing"}
    assert operations.until(lambda: wanted <= operations.room.alerts()), operations.room.alerts()
    assert operations.until(lambda: {f"alert-{slug}" for slug in wanted} <= operations.artifacts()), operations.artifacts()
    (said,) = [one for one in operations.room.heard if one["alert"] == "red-prescription"]
    assert said["about"] == f"prefect.flow-run.{red}"


async def test_stuck_runs_are_moved_on_and_counted(operations):
    with operations.dead("operations"):
        pending, running, cancelling = (
            operations.run(BATCH, state) for state in ("PENDING", "RUNNING", "CANCELLING"))
        theirs = operations.run("somebody-else", "RUNNING")
        by_hand = {operations.city.run_deployment("sweep/upkeep") for _ in range(3)}
        by_schedule = _next_canaries(operations)
        for run in by_hand | by_schedule:
            operations.put(run, "SCHEDULED", "Late")
        with temporary_settings({PREFECT_API_URL: operations.api, PREFECT_API_AUTH_STRING: operations.city.prefect_password}):
            young = await tidy()
            before = _late(operations)
            stuck = await tidy(lambda: datetime.now(UTC) + timedelta(minutes=16))
            after = _late(operations)
        assert (young.running, young.pending, young.cancelling, young.late) == (0, 0, 0, 0)
        # The killed operations worker may have left runs of its own that it had taken up and not begun.
        assert stuck.running >= 1
        assert (stuck.cancelling, stuck.pending >= 1) == (1, True)
        state = operations.state
        assert (state(pending), state(running), state(cancelling)) == ("CRASHED", "CRASHED", "CANCELLED")
        assert state(theirs) == "RUNNING"
        # Prefect itself calls more runs late meanwhile.
        assert 0 < len(before - after) <= stuck.late
        assert len(by_schedule & after) <= 1, "the youngest does the work of them all"
        assert by_hand <= after, "what a person started by hand waits on"


def _next_canaries(operations: Operations) -> set[str]:
    """Two runs that Prefect has planned by the canary's schedule."""
    planned = {"flows": {"name": {"any_": ["canary"]}}, "flow_runs": {"state": {"name": {"any_": ["Scheduled"]}}}}
    assert operations.until(lambda: len(operations.runs(**planned)) >= 2)
    return {one["id"] for one in operations.runs(**planned, sort="EXPECTED_START_TIME_ASC")[:2]}


def _late(operations: Operations) -> set[str]:
    return {one["id"] for one in operations.runs(flow_runs={"state": {"name": {"any_": ["Late"]}}})}

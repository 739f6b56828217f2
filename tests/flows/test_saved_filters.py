"""The filters of Prefect's page of runs, on a real Prefect server: they are there, stay as declared, and show what they say."""

from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.states import Completed, Failed, State

from domain.lifecycle import Status
from domain.window import state
from domain.words import Two
from flows.dispatcher import Batch
from flows.resident import declared
from flows.saved_filters import FILTERS, HOUSE_KEEPING, ensure
from infra.db.prescriptions import Due
from tasks.window import tags


@flow
async def any_work() -> None:
    """Never run: its runs are made in the states they show."""


async def kept(client) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in (await client.request("POST", "/saved_searches/filter", json={})).json()}


async def test_our_filters_are_there_and_nothing_is_written_again_that_is_as_declared(prefect_server):
    async with get_client() as client:
        await ensure(client)
        before = await kept(client)
        assert await ensure(client) == 0
        assert await kept(client) == before
        assert {name: before[name]["filters"] for name in FILTERS} == FILTERS


async def test_a_filter_that_was_changed_or_deleted_is_set_right_and_other_peoples_are_left_alone(prefect_server):
    async with get_client() as client:
        await ensure(client)
        changed, gone, *_ = FILTERS
        theirs = [{"object": "flowRun", "property": "tag", "type": "", "operation": "", "value": ["mine"]}]
        for name in (changed, "theirs"):
            await client.request("PUT", "/saved_searches/", json={"name": name, "filters": theirs})
        await client.request("DELETE", f"/saved_searches/{(await kept(client))[gone]['id']}")
        assert await ensure(client) == 2
        there = await kept(client)
        assert {name: there[name]["filters"] for name in FILTERS} == FILTERS
        assert there["theirs"]["filters"] == theirs
        await client.request("DELETE", f"/saved_searches/{there['theirs']['id']}")


async def shown(client, name: str) -> set[str]:
    """Names of the runs that Prefect's page shows under a filter: it asks for tags and for names of states."""
    chosen = {one["property"]: one["value"] for one in FILTERS[name]}
    assert chosen.pop("range") == {"type": "span", "seconds": -604_800}
    asked = {"tags": {"any_": chosen.get("tag")}, "state": {"name": {"any_": chosen.get("state")}}}
    flow_runs = {part: value for part, value in asked.items() if part.removesuffix("s") in chosen}
    assert len(flow_runs) == len(chosen), "a choice this test does not know"
    answer = await client.request("POST", "/flow_runs/filter", json={
        "flow_runs": flow_runs, "flows": {"name": {"any_": ["any-work"]}}})
    return {run["name"] for run in answer.json()}


async def test_an_operator_sees_the_work_without_the_house_keeping_and_what_needs_a_person_alone(prefect_server):
    def drawn(status: Status, need: Two | None = None) -> State[Any]:
        there = state(status, need)
        return State(type=there.type, name=there.name)

    due = Due("rx_1", Status.RECEIVED, "jinan_first", 0, "jinan_first/ankang")
    runs: list[tuple[str, list[str], State[Any]]] = [
        ("rx_well", tags("jinan_first", "ankang"), drawn(Status.SETTLED)),
        ("rx_refused", tags("jinan_tcm", ""), drawn(Status.REFUSED)),
        ("rx_red", tags("jinan_tcm", ""), drawn(Status.IN_REVIEW, Two("身份密文损坏", "sealed identity is broken"))),
        ("batch", Batch((due,)).tags, Completed()), ("sweep", [HOUSE_KEEPING], Completed()),
        ("sweep that failed", [HOUSE_KEEPING], Failed()), ("reconcile", ["stage:settlement"], Failed()),
        ("by hand", ["by-hand"], Completed()),
    ]
    async with get_client() as client:
        for name, tagged, ended in runs:
            await client.create_flow_run(any_work, name=name, tags=tagged, state=ended)
        prescriptions, people, batches, house_keeping = [await shown(client, name) for name in FILTERS]
    assert prescriptions == {"rx_well", "rx_refused", "rx_red"}
    assert people == {"rx_red", "sweep that failed", "reconcile"}
    assert batches == {"batch"}
    assert house_keeping == {"sweep", "sweep that failed"}


@pytest.mark.parametrize("deployment", declared(), ids=lambda deployment: deployment["name"])
def test_what_runs_by_itself_every_minute_or_day_is_house_keeping_but_for_the_reconciliation(deployment):
    scheduled = bool(deployment.get("schedules")) and deployment["name"] != "day-end"
    assert (HOUSE_KEEPING in deployment["tags"]) == scheduled

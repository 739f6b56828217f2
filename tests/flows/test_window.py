"""Every prescription is one run in a real Prefect: drawn, drawn again, lost, moved by hand, retried."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    LogFilter,
    LogFilterFlowRunId,
    TaskRunFilter,
    TaskRunFilterFlowRunId,
)
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.flow_engine import run_flow_async
from prefect.states import AwaitingRetry, Cancelling, Pending, Running

from domain.errors import NeedsOperator
from domain.lifecycle import Status
from flows import prescription as prescription_flow
from flows.dead import tidy
from flows.prescription import prescription
from flows.window import DEPLOYMENT, Window
from tasks import window
from tasks.line import hop
from tasks.window import FLOW
from tests.support.city import admit, make_city, make_settings
from tests.support.line import Line

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture
async def line(tmp_path, monkeypatch):
    home = make_city(tmp_path)
    settings = make_settings(tmp_path, worker="test-worker")
    monkeypatch.setattr(prescription_flow, "city", lambda: home)
    monkeypatch.setattr(prescription_flow, "get_settings", lambda: settings)
    async with get_client() as client:
        # The runs of the test before go with their flow: every test's prescriptions have the same ids.
        with suppress(ObjectNotFound, PrefectHTTPStatusError):
            await client.delete_flow((await client.read_flow_by_name(FLOW)).id)
        flow = await client.create_flow_from_name(FLOW)
        await client.create_deployment(flow, DEPLOYMENT, enforce_parameter_schema=False)
    return Line(home)


def drawer(line, tmp_path, **given):
    return Window(line.city, make_settings(tmp_path, worker="test-worker", **given))


async def draw(drawing, client) -> int:
    """Draw until nothing is left; how many that were. Prefect's small database is locked at times, and refuses a state."""
    count = await drawing.draw(client)
    while window.to_draw(drawing._city, ""):
        count += await drawing.draw(client)
    return count


async def shown(*ids):
    """Each prescription's runs by name: state type, state name, tags, and its task runs with their states."""
    async with get_client() as client:
        runs = await client.read_flow_runs(flow_filter=FlowFilter(name=FlowFilterName(any_=[FLOW])), limit=200)
        return {one: [run for run in runs if run.name == one] for one in ids}


async def stages_of(run_id: UUID, count: int) -> dict[str, tuple[str, str]]:
    """The task runs of a run, when the recorder has written so many."""
    found: dict[str, tuple[str, str]] = {}
    async with get_client() as client:
        for _ in range(300):
            runs = await client.read_task_runs(task_run_filter=TaskRunFilter(flow_run_id=TaskRunFilterFlowRunId(any_=[run_id])))
            found = {run.name: (run.state_type.value, run.state_name) for run in sorted(runs, key=lambda run: run.start_time)}
            if len(found) >= count:
                return found
            await asyncio.sleep(0.1)
    return found


async def test_a_prescription_is_one_run_with_its_stages_and_is_drawn_on(line, tmp_path):
    (rx_id,) = admit(line.city)
    drawing = drawer(line, tmp_path)
    async with get_client() as client:
        assert await draw(drawing, client) == 1
        assert await drawing.draw(client) == 0
        (run,) = (await shown(rx_id))[rx_id]
        assert (run.state_type.value, run.state_name) == ("RUNNING", "In audit")
        assert set(run.tags) == {"hospital:jinan_first", "prescription"}
        await hop(line.city, rx_id)
        assert await draw(drawing, client) == 1
        (run,) = (await shown(rx_id))[rx_id]
        assert (run.state_type.value, run.state_name) == ("RUNNING", "In review")
        assert await stages_of(run.id, 3) == {
            "intake": ("COMPLETED", "Received"), "audit": ("COMPLETED", "Audited"), "review": ("RUNNING", "Running")}
        line.review(rx_id)
        await hop(line.city, rx_id)
        await draw(drawing, client)
        (run,) = (await shown(rx_id))[rx_id]
        assert (run.state_type.value, run.state_name) == ("RUNNING", "With the pharmacy")
        assert any(tag.startswith("chain:") for tag in run.tags)
        assert window.own_run(line.city, rx_id) == str(run.id)
        assert "马克儿" not in str(run)


async def test_drawing_after_a_lost_answer_makes_no_second_run_and_corrects_its_state(line, tmp_path, monkeypatch):
    (rx_id,) = admit(line.city)
    drawing = drawer(line, tmp_path)
    async with get_client() as client:
        with monkeypatch.context() as broken:
            broken.setattr(window, "save", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                await drawing.draw(client)
        await hop(line.city, rx_id)
        assert await draw(drawing, client) == 1
    (run,) = (await shown(rx_id))[rx_id]
    assert run.state_name == "In review"


async def test_a_run_that_somebody_deleted_is_made_anew(line, tmp_path):
    (rx_id,) = admit(line.city)
    drawing = drawer(line, tmp_path)
    async with get_client() as client:
        await draw(drawing, client)
        (run,) = (await shown(rx_id))[rx_id]
        await client.delete_flow_run(run.id)
        await hop(line.city, rx_id)
        await draw(drawing, client)
        (again,) = (await shown(rx_id))[rx_id]
        assert (again.state_name, again.id != run.id) == ("In review", True)
        assert set(await stages_of(again.id, 3)) == {"intake", "audit", "review"}


async def test_what_needs_a_person_is_red_with_the_reason_and_turns_back_when_it_is_cured(line, tmp_path):
    (rx_id,) = admit(line.city)
    sealed = _seal(line, rx_id, b"\0")
    drawing = drawer(line, tmp_path)
    await hop(line.city, rx_id)
    async with get_client() as client:
        await draw(drawing, client)
        (run,) = (await shown(rx_id))[rx_id]
        assert (run.state_type.value, run.state_name) == ("FAILED", "Needs a person")
        assert f"/rx/{rx_id}" in run.state.message
        (line_of_log,) = await client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id])))
        assert line_of_log.message == run.state.message
        assert "NeedsOperator" in run.state.message
        _seal(line, rx_id, sealed)
        # Retry, as Prefect's page does it: the run itself is scheduled again and run by the operations worker.
        await client.set_flow_run_state(run.id, AwaitingRetry())
        retried = await client.read_flow_run(run.id)
        await run_flow_async(prescription, flow_run=retried, parameters=retried.parameters, return_type="state")
        assert line.status(rx_id) is Status.IN_REVIEW
        await draw(drawing, client)
    (run,) = (await shown(rx_id))[rx_id]
    assert (run.state_type.value, run.state_name) == ("RUNNING", "In review")


async def test_a_review_that_is_late_turns_red_by_the_clock_alone_and_back_by_the_decision(line, tmp_path):
    (rx_id,) = admit(line.city)
    drawing = drawer(line, tmp_path)
    await hop(line.city, rx_id)
    async with get_client() as client:
        await draw(drawing, client)
        line.clock.advance(seconds=line.city.policy.review_target.total_seconds() + 1)
        assert await draw(drawing, client) == 1
        assert (await shown(rx_id))[rx_id][0].state_name == "Needs a person"
        line.review(rx_id)
        await draw(drawing, client)
        assert (await shown(rx_id))[rx_id][0].state_name == "Looking for a pharmacy"


async def test_a_partner_that_is_away_turns_no_prescription_red(line, tmp_path):
    ids = admit(line.city, 3)
    line.payer.silent = True
    for _ in range(7):
        for rx_id in ids:
            await hop(line.city, rx_id)
        line.clock.advance(seconds=1000)
    async with get_client() as client:
        await draw(drawer(line, tmp_path), client)
    assert {run.state_name for runs in (await shown(*ids)).values() for run in runs} == {"In audit"}


async def test_a_partner_that_does_not_know_us_is_one_red_run_and_none_is_red_when_it_does_again(line, tmp_path):
    async def unauthorized(*_: object) -> None:
        raise NeedsOperator("HTTP 401; check the partner's credentials")

    ids, known = admit(line.city, 3), line.payer.entitlement
    line.payer.entitlement = unauthorized
    drawing = drawer(line, tmp_path)

    async def seen(client) -> list[str]:
        for rx_id in ids:
            await hop(line.city, rx_id)
        await draw(drawing, client)
        return sorted(run.state_name for runs in (await shown(*ids)).values() for run in runs)

    async with get_client() as client:
        assert await seen(client) == ["In audit", "In audit", "Needs a person"]
        line.clock.advance(seconds=10_000)
        assert await seen(client) == ["In audit", "In audit", "Needs a person"]
        line.payer.entitlement = known
        line.clock.advance(seconds=10_000)
        assert await seen(client) == ["In review"] * 3


async def test_a_run_made_by_hand_drives_it_and_is_no_second_run_of_the_prescription(line, tmp_path):
    (rx_id,) = admit(line.city)
    drawing = drawer(line, tmp_path)
    async with get_client() as client:
        await draw(drawing, client)
        deployment = await client.read_deployment_by_name(f"{FLOW}/{DEPLOYMENT}")
        made = await client.create_flow_run_from_deployment(deployment.id, parameters={"prescription": rx_id})
        await run_flow_async(prescription, flow_run=made, parameters=made.parameters, return_type="state")
        by_hand = await client.read_flow_run(made.id)
        await draw(drawing, client)
    (run,) = (await shown(rx_id))[rx_id]
    assert (by_hand.name, by_hand.state_name) == (f"by hand: {rx_id}", "Waiting: in_review")
    assert str(run.id) in by_hand.state.message
    assert "by-hand" in by_hand.tags
    assert run.state_name == "In review"


async def test_a_run_made_by_hand_for_an_unknown_id_says_what_an_id_looks_like_and_rings_nobody(line):
    state = await prescription("rx_nothing", return_state=True)
    assert (state.type.value, state.name) == ("COMPLETED", "Unknown prescription")
    assert "rx_" in state.message


async def test_runs_made_by_hand_whose_process_is_gone_are_tidied_up_and_a_prescriptions_own_never(line, tmp_path):
    drawn, retried = admit(line.city, 2)
    async with get_client() as client:
        await draw(drawer(line, tmp_path), client)
        own = {one: runs[0].id for one, runs in (await shown(drawn, retried)).items()}
        await client.set_flow_run_state(own[retried], Running(), force=True)
        deployment = await client.read_deployment_by_name(f"{FLOW}/{DEPLOYMENT}")
        made = [(await client.create_flow_run_from_deployment(
            deployment.id, parameters={"prescription": drawn}, name=f"by hand: {drawn}")).id for _ in range(3)]
        # What nobody has begun is cancelled at once.
        for one, state in ((0, Running()), (1, Pending()), (2, Running()), (2, Cancelling())):
            await client.set_flow_run_state(made[one], state, force=True)
        young = await tidy()
        stuck = await tidy(lambda: datetime.now(UTC) + timedelta(minutes=16))
        states = [(await client.read_flow_run(run)).state_type.value for run in (*made, *own.values())]
    assert (young.total, stuck.total) == (0, 3)
    assert states == ["CRASHED", "CRASHED", "CANCELLED", "RUNNING", "RUNNING"]


async def test_a_run_cancelled_in_prefects_pages_shows_again_where_its_prescription_is(line, tmp_path):
    (rx_id,) = admit(line.city)
    async with get_client() as client:
        await draw(drawer(line, tmp_path), client)
        (run,) = (await shown(rx_id))[rx_id]
        await client.set_flow_run_state(run.id, Cancelling(), force=True)
        assert await draw(drawer(line, tmp_path), client) == 1
    assert (await shown(rx_id))[rx_id][0].state_name == "In audit"


async def test_a_prefect_with_an_empty_database_is_drawn_from_the_beginning(line, tmp_path):
    ids = admit(line.city, 3)
    drawing = drawer(line, tmp_path)
    async with get_client() as client:
        await draw(drawing, client)
        flow = await client.read_flow_by_name(FLOW)
        await client.delete_flow(flow.id)
        await client.create_deployment(await client.create_flow_from_name(FLOW), DEPLOYMENT, enforce_parameter_schema=False)
        assert await draw(drawer(line, tmp_path), client) == 3
    assert all(len(runs) == 1 for runs in (await shown(*ids)).values())


async def test_only_what_needs_a_person_is_drawn_where_the_settings_say_so(line, tmp_path):
    ids = admit(line.city, 2)
    drawing = drawer(line, tmp_path, window="people")
    async with get_client() as client:
        assert await draw(drawing, client) == 2
        assert not any((await shown(*ids)).values())
        for rx_id in ids:
            await hop(line.city, rx_id)
        line.clock.advance(seconds=line.city.policy.review_target.total_seconds() + 1)
        assert await draw(drawing, client) == 2
        line.review(ids[0])
        assert await draw(drawing, client) == 1
    runs = await shown(*ids)
    assert [runs[one][0].state_name for one in ids] == ["Looking for a pharmacy", "Needs a person"]


async def test_two_who_draw_take_turns(line, tmp_path):
    admit(line.city)
    async with get_client() as client:
        first, second = drawer(line, tmp_path), Window(line.city, make_settings(tmp_path, worker="another"))
        assert await first.draw(client) == 1
        admit(line.city)
        assert await second.draw(client) == 0
        line.clock.advance(seconds=61)
        # With the new one, what was drawn last is said again: it does not know what Prefect remembers.
        assert await second.draw(client) == 2


def _seal(line: Line, rx_id: str, sealed: bytes) -> bytes:
    with line.city.db.transaction() as session:
        before = session.scalar(sa.text("SELECT patient_sealed FROM prescription WHERE id = :id"), {"id": rx_id})
        session.execute(sa.text("UPDATE prescription SET patient_sealed = :sealed, wake_at = NULL WHERE id = :id"),
                        {"sealed": sealed, "id": rx_id})
    assert isinstance(before, bytes)
    return before

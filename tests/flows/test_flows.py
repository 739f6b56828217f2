"""The flows on a real Prefect server of their own: names, states, batches, and what the dispatcher does with due rows."""

import asyncio
import ssl
import threading
import time
import traceback
from collections.abc import Callable
from datetime import timedelta

import prefect
import pytest
import sqlalchemy as sa
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from domain.errors import NeedsOperator
from domain.lifecycle import Status
from flows import batch, operations
from flows.dispatcher import Batch, Dispatcher, batches
from flows.home import prefect_clients
from infra.db import prescriptions
from infra.db.prescriptions import Due
from infra.settings import get_settings
from sandbox.processes import free_port
from tasks import line as line_of_work
from tests.support.city import admit, make_city, make_settings
from tests.support.line import Line

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture
def line(tmp_path, monkeypatch):
    home = make_city(tmp_path)
    settings = make_settings(tmp_path, worker="test-worker", poll_seconds=0.05)
    for module in (batch, operations):
        monkeypatch.setattr(module, "city", lambda: home)
        monkeypatch.setattr(module, "get_settings", lambda: settings)
    get_settings.cache_clear()
    return Line(home)


def status(line, rx_id):
    with line.city.db.reading() as session:
        return prescriptions.load(session, rx_id).status


async def until(so: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until it is so; in vain if the time runs out, and what is asserted next says why."""
    deadline = time.monotonic() + seconds
    while not so() and time.monotonic() < deadline:
        await asyncio.sleep(0.05)


async def test_a_batch_says_where_its_prescriptions_are(line):
    first, second = admit(line.city, 2)
    state = await batch.batch_of_prescriptions([first, second], return_state=True)
    assert (state.name, state.is_completed()) == ("2 in_review", True)
    assert status(line, first) is status(line, second) is Status.IN_REVIEW


async def test_a_batch_has_no_task_runs_the_stages_are_in_the_prescriptions_own_runs(line):
    state = await batch.batch_of_prescriptions(admit(line.city), return_state=True)
    async with get_client() as client:
        assert not [run for run in await client.read_task_runs() if run.flow_run_id == state.state_details.flow_run_id]


async def test_the_tags_of_a_run_leave_no_thread_behind_for_each_set_of_them(line):
    for number, rx_id in enumerate(admit(line.city, 2)):
        with prefect.tags(f"hospital:{number}"):
            await batch.batch_of_prescriptions([rx_id])
    assert not [thread.name for thread in threading.enumerate() if "Concurrency" in thread.name]


async def test_a_run_opens_no_client_of_its_own(line, monkeypatch):
    """They would cost more than the hop."""
    first, second = admit(line.city, 2)
    opened, make = [], ssl.create_default_context

    def counted(*given, **named):
        opened.append("".join(traceback.format_stack(limit=20)))
        return make(*given, **named)

    async with prefect_clients():
        await batch.batch_of_prescriptions([first])  # opens what the process keeps
        monkeypatch.setattr(ssl, "create_default_context", counted)
        await batch.batch_of_prescriptions([second])
    assert not opened, opened[0]
    assert status(line, second) is Status.IN_REVIEW


async def test_the_clients_are_there_though_prefect_is_not():
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api"}):
        async with prefect_clients():
            assert get_client() is get_client()


async def test_a_batch_ends_well_though_one_of_its_prescriptions_is_in_trouble(line):
    good, bad = admit(line.city, 2)
    with line.city.db.transaction() as session:
        session.execute(sa.text("UPDATE prescription SET patient_sealed = x'00'"))
    state = await batch.batch_of_prescriptions([good, bad], return_state=True)
    assert state.is_completed()
    assert "to retry" in state.name


async def test_a_sweep_of_a_healthy_city_finds_nothing(line):
    admit(line.city)
    state = await operations.sweep(return_state=True)
    assert state.name == "Found nothing"


async def test_the_board_is_an_artifact_with_a_fixed_key(line):
    admit(line.city, 2)
    await operations.board()
    async with get_client() as client:
        artifacts = await client.read_artifacts()
    assert [artifact.key for artifact in artifacts][-1] == "city-day"
    assert "received" in str(artifacts[-1].data)


def due(number: int, **more: object) -> Due:
    given = {"status": Status.RECEIVED, "hospital": "h", "attempts": 0, "lane": "h/"} | more
    return Due(id=f"rx_{number}", **given)


def test_what_failed_before_goes_apart_from_the_rest():
    made = batches([due(1), due(2, attempts=1), due(3)], limit=50)
    assert [one.ids for one in made] == [["rx_2"], ["rx_1", "rx_3"]]
    assert made[0].tags == ["batch", "hospital:h", "retry", "stage:audit"]


def test_a_batch_is_never_larger_than_the_limit():
    assert [len(batch.due) for batch in batches([due(n) for n in range(120)], limit=50)] == [50, 50, 20]


def test_a_batch_is_named_after_its_work_and_bears_no_prescriptions_id():
    assert Batch((due(1),)).name == "batch of 1: audit"
    assert Batch((due(1, attempts=2),)).name == "batch of 1: audit (again)"
    assert Batch((due(1), due(2, status=Status.FULFILLED))).name == "batch of 2: audit, settlement"


def test_tags_name_stage_hospital_and_chain():
    assert Batch((due(1, lane="h/ankang"),)).tags == ["batch", "chain:ankang", "hospital:h", "stage:audit"]


async def test_the_dispatcher_drives_what_is_due_and_lets_go_of_its_leases(line, tmp_path):
    ids = admit(line.city, 5)
    stop = asyncio.Event()
    settings = make_settings(tmp_path, worker="test-worker", poll_seconds=0.05)
    running = asyncio.create_task(Dispatcher(line.city, settings).run(stop))
    await until(lambda: all(status(line, rx_id) is Status.IN_REVIEW for rx_id in ids))
    stop.set()
    await running
    assert {status(line, rx_id) for rx_id in ids} == {Status.IN_REVIEW}
    line.clock.advance(days=4)
    with line.city.db.transaction() as session:
        free = prescriptions.lease_due(session, "other", at=line.city.now(), lease=timedelta(seconds=1), limit=9)
    assert sorted(one.id for one in free) == sorted(ids)


async def test_a_slow_partner_holds_up_neither_its_batch_nor_the_queue(line, tmp_path, monkeypatch):
    slow, *others = admit(line.city, 6)
    answers = asyncio.Event()
    ask, asked = line.payer.entitlement, []

    async def waits_for_the_first(*given):
        asked.append(given)
        if len(asked) == 1:
            await answers.wait()
        return await ask(*given)

    monkeypatch.setattr(line.payer, "entitlement", waits_for_the_first)
    monkeypatch.setattr(line_of_work, "PATIENCE", 0.2)
    stop = asyncio.Event()
    settings = make_settings(tmp_path, worker="test-worker", poll_seconds=0.05, runs_at_once=1, lease_seconds=1)
    running = asyncio.create_task(Dispatcher(line.city, settings).run(stop))
    await until(lambda: all(status(line, rx_id) is Status.IN_REVIEW for rx_id in others))
    assert {status(line, rx_id) for rx_id in others} == {Status.IN_REVIEW}
    assert status(line, slow) is Status.RECEIVED
    # Another one comes in and is not kept waiting; the slow one's lease is kept, longer than a lease lasts.
    (late,) = admit(line.city)
    await until(lambda: status(line, late) is Status.IN_REVIEW)
    assert status(line, late) is Status.IN_REVIEW
    for _ in range(4):
        line.clock.advance(seconds=0.4)
        await asyncio.sleep(0.5)
    with line.city.db.transaction() as session:
        assert prescriptions.lease_due(session, "other", at=line.city.now(), lease=timedelta(seconds=1), limit=9) == []
    answers.set()
    stop.set()
    await running
    assert status(line, slow) is Status.IN_REVIEW
    assert len(asked) == 7


async def test_without_prefect_the_rows_stay_due_and_the_leases_are_given_back(line, tmp_path, monkeypatch):
    (rx_id,) = admit(line.city)
    tried = asyncio.Event()

    def down(*_: object, **__: object) -> None:
        tried.set()
        raise NeedsOperator("no Prefect")

    monkeypatch.setattr("flows.dispatcher.batch_of_prescriptions.with_options", down, raising=False)
    stop = asyncio.Event()
    settings = make_settings(tmp_path, worker="test-worker", poll_seconds=0.05)
    running = asyncio.create_task(Dispatcher(line.city, settings).run(stop))
    await asyncio.wait_for(tried.wait(), 60)
    stop.set()
    await running
    assert status(line, rx_id) is Status.RECEIVED
    with line.city.db.transaction() as session:
        assert prescriptions.lease_due(session, "other", at=line.city.now(), lease=timedelta(seconds=1), limit=9)

"""The operations worker runs what prefect.yaml lists, letter for letter, and nothing else that Prefect is told."""

import io
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.server.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.workers.base import BaseJobConfiguration

from flows.resident import ResidentWorker, allowed, declared
from infra import log


@flow
async def somebody_elses() -> None:
    """Never to be run by us."""


@pytest.mark.parametrize("deployment", declared(), ids=lambda deployment: deployment["name"])
def test_every_deployment_of_ours_may_run(deployment):
    assert allowed(deployment["entrypoint"])


@pytest.mark.parametrize("schedule", [
    pytest.param(schedule, id=deployment["name"]) for deployment in declared() for schedule in deployment.get("schedules", [])])
async def test_prefects_server_knows_when_a_scheduled_run_of_ours_is_due(schedule):
    planned: CronSchedule | IntervalSchedule = (
        CronSchedule.model_validate(schedule) if "cron" in schedule else IntervalSchedule.model_validate(schedule))
    now = datetime.now(UTC)
    first, second = await planned.get_dates(2, start=now)
    assert now <= first < second
    if isinstance(planned, CronSchedule):
        minute, hour, *_ = planned.cron.split()
        assert planned.timezone == "Asia/Shanghai"
        assert f"{first.astimezone(ZoneInfo(planned.timezone)):%-M %-H}" == f"{minute} {hour}"


@pytest.mark.parametrize("entry_point", [
    None, "", "/tmp/evil.py:main", "evil.py:main", "flows/operations.py:sweep", "flows.operations:sweep", " flows.operations.sweep",
    "flows.operations.sweep ", "flows.operations", "flows.operations.city", "FLOWS.OPERATIONS.SWEEP", "os.system",
    "flows.operations.sweep\n", "./flows.operations.sweep",
])
def test_nothing_that_only_looks_like_one_may(entry_point):
    assert not allowed(entry_point)


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What is logged during the test."""
    root, stream = logging.getLogger(), io.StringIO()
    before = root.handlers[:], root.level
    log.configure("INFO", stream)
    yield stream
    root.handlers[:], level = before
    root.setLevel(level)


async def test_a_deployment_somebody_made_up_is_never_loaded_and_its_run_is_red(prefect_server, tmp_path: Path, written):
    proof = tmp_path / "ran"
    evil = tmp_path / "evil.py"
    evil.write_text(f"open({str(proof)!r}, 'w').close()\nfrom prefect import flow\n@flow\ndef main(): pass\n")
    async with get_client() as client:
        flow_id = await client.create_flow(somebody_elses)
        deployment = await client.create_deployment(flow_id, "evil", entrypoint=f"{evil}:main")
        run = await client.create_flow_run_from_deployment(deployment)
        async with ResidentWorker(work_pool_name="operations-of-a-test") as worker:
            done = await worker.run(run, BaseJobConfiguration())
        told = (await client.read_flow_run(run.id)).state
    assert done.status_code == 0
    assert told is not None
    assert told.is_failed()
    assert "prefect.yaml" in str(told.message)
    assert str(evil) not in str(told.message)
    assert not proof.exists()
    assert "only entry points of prefect.yaml" in written.getvalue()
    assert str(evil) not in written.getvalue()

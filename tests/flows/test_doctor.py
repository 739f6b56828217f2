"""The doctor before a real Prefect server: what it lacks is named, and nothing is said of one that is set up."""

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import State, StateType
from rich.console import Console

from domain.errors import NeedsOperator
from domain.words import Two
from flows import automations, doctor
from flows.doctor import check_prefect, show
from flows.resident import POOL, ResidentWorker, declared
from infra.settings import get_settings
from tasks.checks import CheckResult, Grade, act, fine
from tests.support.city import make_settings

WANTED = declared()


@pytest.fixture
async def client(prefect_server) -> AsyncIterator[PrefectClient]:
    """To a server that others use too: what a test has set up is gone after it."""
    async with get_client() as made:
        yield made
        for deployment in await made.read_deployments():
            await made.delete_deployment(deployment.id)
        for automation in await made.read_automations():
            await made.delete_automation(automation.id)
        for pool in await made.read_work_pools():
            await made.delete_work_pool(pool.name)


async def verdicts(tmp_path: Path) -> list[CheckResult]:
    return await check_prefect(make_settings(tmp_path))


def said(found: list[CheckResult]) -> str:
    return "\n".join(f"{one.text.en} | {one.cure.en}" for one in found)


async def deploy(client: PrefectClient) -> dict[str, UUID]:
    """Everything as it should be; deployment ids by name."""

    @flow(name="whatever")
    def whatever() -> None: ...

    await client.create_work_pool(WorkPoolCreate(
        name=POOL, type=ResidentWorker.type, base_job_template=ResidentWorker.get_default_base_job_template()))
    flow_id = await client.create_flow(whatever)
    ids = {}
    for one in WANTED:
        schedules = [DeploymentScheduleCreate(schedule=IntervalSchedule(interval=60), active=True)]
        ids[one["name"]] = await client.create_deployment(
            flow_id, one["name"], entrypoint=one["entrypoint"], work_pool_name=POOL,
            schedules=schedules if one.get("schedules") else [])
    return ids


async def test_a_server_is_told_of_everything_it_lacks_and_then_left_in_peace(client, tmp_path):
    found = await verdicts(tmp_path)
    text = said(found)
    assert all(one.grade is Grade.ACT and one.page == "prefect-setup" for one in found)
    assert all(one["name"] in text for one in WANTED)
    assert "zombie-runs" in text
    assert "there is no work pool operations" in text

    ids = await deploy(client)
    await automations.apply(client, automations.declared(ids["operators"]))
    only = await verdicts(tmp_path)
    assert [one.text.en for one in only] == ["nobody serves work pool operations"]

    await client.send_worker_heartbeat(POOL, "operations-1")
    (sound,) = await verdicts(tmp_path)
    assert sound.grade is Grade.FINE

    # Broken again, one by one.
    schedule = (await client.read_deployment(ids["upkeep"])).schedules[0]
    await client.update_deployment_schedule(ids["upkeep"], schedule.id, active=False)
    assert "the schedule of upkeep is off" in said(await verdicts(tmp_path))
    await client.update_deployment_schedule(ids["upkeep"], schedule.id, active=True)

    zombies = await client.read_automations_by_name("sanyi: zombie-runs")
    await client.pause_automation(zombies[0].id)
    (off,) = await verdicts(tmp_path)
    assert (off.grade, "zombie-runs" in off.text.en) == (Grade.WATCH, True)
    await client.resume_automation(zombies[0].id)

    run = await client.create_flow_run_from_deployment(ids["lifecycle"], parameters={})
    await client.set_flow_run_state(run.id, State(type=StateType.SCHEDULED, name="Late"), force=True)
    assert "1 runs are late" in said(await verdicts(tmp_path))


async def test_a_deployment_of_another_release_is_found(client):
    await deploy(client)
    there = {one.name: one for one in await client.read_deployments()}
    changed = [one | {"entrypoint": "flows.operations.other"} if one["name"] == "upkeep" else one for one in WANTED]
    assert "deployment upkeep is of another release" in said(doctor.check_deployments(changed, there))


async def test_a_server_that_is_away_is_one_verdict(tmp_path):
    with temporary_settings({PREFECT_API_URL: "http://user:secret@127.0.0.1:1/api"}):
        (found,) = await verdicts(tmp_path)
    assert (found.grade, found.page) == (Grade.ACT, "prefect-down")
    assert "secret" not in str(found)


# --- the screen ---


def test_the_screen_shows_the_cure_and_the_page(capsys):
    show([act("database", "database-down", Two("坏", "broken"), Two("修", "mend it")), fine("keys", Two("好", "set"))],
         Console(width=120))
    shown = capsys.readouterr().out
    for word in ("×", "broken", "修  mend it", "docs/runbooks/database-down.md", "1 项需要处理", "✓"):
        assert word in shown


def test_a_misspelt_setting_ends_with_1_and_names_the_right_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["doctor", "--json"])
    monkeypatch.setenv("SANYI_METRIX_PORT", "1")
    monkeypatch.setenv("SANYI_BATCH_LIMIT", "many")
    get_settings.cache_clear()
    assert doctor.main() == 1
    found = json.loads(capsys.readouterr().out)
    assert len(found) == 2
    assert any("SANYI_METRICS_PORT" in one["text_en"] for one in found)
    assert all(one["page"] == "settings" and not one["fine"] for one in found)


def test_a_bad_setting_is_said_in_chinese_too():
    misspelt, wrong = doctor.bad_settings(NeedsOperator(
        "settings: SANYI_CITI: no such setting; did you mean SANYI_CITY?; SANYI_BATCH_LIMIT: Input should be a valid integer"))
    assert (misspelt.text.zh, misspelt.cure.zh) == ("SANYI_CITI：没有这个配置项", "是否应为 SANYI_CITY？改后重启")
    assert (wrong.text.zh, wrong.cure.zh) == ("SANYI_BATCH_LIMIT：取值有误", "对照 .env.example 修正后重启")
    assert "valid integer" in wrong.text.en
    assert misspelt.cure.en
    assert wrong.cure.en

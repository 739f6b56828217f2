"""Operations on a real Prefect server with a real operations worker: automations, alerts, canary, and Prefect's absence."""

import contextlib
import http.server
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.events.schemas.automations import EventTrigger
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.automations import ALERTS, TAG, declared
from flows.dead import tidy
from infra.db import Database, canary
from sandbox.city import SandboxCity, Shape
from sandbox.processes import ROOT, Processes
from tests.services import postgres

SLEEPER = """
import asyncio, time
from prefect import flow

@flow(name="prescription-lifecycle", flow_run_name="sleeper")
async def sleeper():
    await asyncio.sleep(120)

asyncio.run(sleeper())
"""


class ChatRoom:
    """Keeps what is posted to it."""

    def __init__(self) -> None:
        self.heard: list[dict[str, str]] = []
        room = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                room.heard.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/robot"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def alerts(self) -> set[str]:
        return {one["alert"] for one in self.heard}


class Operations:
    """The product without partners, and what an operator would do with it."""

    def __init__(self, folder: Path, processes: Processes, prefect: str) -> None:
        self.room = ChatRoom()
        self.city = SandboxCity(folder, processes, slug="jinan", seed=1, shape=Shape(prefect_database_url=prefect))
        self.city._product["SANYI_ALERT_WEBHOOK"] = self.room.url
        self.city.start_product()
        self.city.start_deployments()
        self.city.wait_until(self.city.deployed, "deployments", 120)
        self.city.wait_until(lambda: len(self.automations()) == len(ALERTS) + 1, "automations", 60)

    @property
    def api(self) -> str:
        return f"{self.city.urls['prefect']}/api"

    def change(self, method: str, path: str, body: object = None) -> None:
        """A request whose answer is empty."""
        self.city._client.request(method, self.api + path, json=body).raise_for_status()

    def automations(self) -> dict[str, str]:
        """Ours by name, with their ids."""
        found = self.city._prefect("POST", "/automations/filter", {"automations": {"tags": {"all_": [TAG]}}})
        return {one["name"]: one["id"] for one in found}

    @contextlib.contextmanager
    def impatient(self, slug: str, within: float) -> Iterator[None]:
        """For a while, a copy of an automation of ours with a shorter window, under a name that is not ours."""
        deployment = self.city._prefect("GET", "/deployments/name/alert/operators")["id"]
        block = self.city._prefect("GET", "/block_types/slug/webhook/block_documents/name/sanyi-alert")["id"]
        one = next(one for one in declared(UUID(deployment), UUID(block)) if one.name == f"sanyi: {slug}")
        assert isinstance(one.trigger, EventTrigger)
        trigger = one.trigger.model_copy(update={"within": timedelta(seconds=within)})
        copy = one.model_copy(update={"name": f"test: {slug}", "tags": [], "trigger": trigger})
        made = self.city._prefect("POST", "/automations/", copy.model_dump(mode="json"))
        yield
        self.change("DELETE", f"/automations/{made['id']}")

    def run(self, flow: str, state: str, name: str = "") -> str:
        """A run that is in that state, without anybody running it."""
        flow_id = self.city._prefect("POST", "/flows/", {"name": flow})["id"]
        run = self.city._prefect("POST", "/flow_runs/", {"flow_id": flow_id, "name": name or "by a test"})["id"]
        self.city._prefect("POST", f"/flow_runs/{run}/set_state", {"state": {"type": state}, "force": True})
        return str(run)

    def raised(self) -> set[str]:
        """Alerts that have a run, whether or not anybody took it up."""
        runs = self.city._prefect("POST", "/flow_runs/filter", {"flows": {"name": {"any_": ["alert"]}}})
        return {one["parameters"]["alert"] for one in runs}

    def artifacts(self) -> set[str]:
        return {one["key"] for one in self.city._prefect("POST", "/artifacts/filter", {})}

    def completes(self, deployment: str, seconds: float = 90) -> None:
        """A deployment that is started now ends well."""
        runs: list[str] = []

        def started() -> bool:
            # A server that has just come back on SQLite is slow to answer, for a moment.
            with contextlib.suppress(httpx.HTTPError):
                runs.append(self.city.run_deployment(deployment))
            return bool(runs)

        self.city.wait_until(started, deployment, seconds)
        run = runs[0]
        self.city.wait_until(lambda: self.city.run_state(run)[0] in ("COMPLETED", "FAILED", "CRASHED"), deployment, seconds)
        assert self.city.run_state(run)[0] == "COMPLETED"

    def apply(self) -> str:
        """`python -m flows.automations`, as an operator would."""
        env = self.city._product | self.city._client_environment() | {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
        done = subprocess.run([sys.executable, "-m", "flows.automations"], cwd=ROOT, env=env, capture_output=True, text=True)
        return done.stdout.strip()


@pytest.fixture(scope="module")
def operations(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operations]:
    folder = tmp_path_factory.mktemp("operations")
    # Not SQLite: killed and started again it keeps its lock for half a minute, and events are lost to it.
    with postgres() as server, Processes(folder / "logs") as processes:
        yield Operations(folder, processes, server.fresh().replace("+psycopg", "+asyncpg"))


def wait(what: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not what() and time.monotonic() < deadline:
        time.sleep(0.5)
    return what()


def test_the_operations_worker_gives_prefect_our_automations_and_applying_them_again_changes_nothing(operations):
    assert set(operations.automations()) == {"sanyi: zombie-runs", *(f"sanyi: {one.slug}" for one in ALERTS)}
    assert operations.apply() == "0 created, 0 updated, 0 deleted"


def test_an_automation_that_was_deleted_or_changed_by_hand_or_is_no_longer_declared_is_set_right(operations):
    there = operations.automations()
    api, change = operations.city._prefect, operations.change
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


def test_the_canary_sees_its_run_its_task_run_and_its_event_and_our_database_remembers(operations, tmp_path):
    operations.completes("canary/liveness")
    with Database(f"sqlite:///{operations.city.folder / 'sanyi.db'}").reading() as session:
        at = canary.last(session)
    assert at
    assert datetime.now(UTC) - at < timedelta(seconds=60)


def test_what_an_operator_must_know_becomes_an_artifact_and_a_message(operations):
    red = operations.run("prescription-lifecycle", "FAILED")
    operations.run("reconcile-day", "FAILED")
    operations.run("sweep", "FAILED")
    operations.run("board", "CRASHED")
    wanted = {"red-prescription", "reconciliation-red", "upkeep-failing"}
    assert wait(lambda: wanted <= operations.room.alerts(), 45), operations.room.alerts()
    assert wait(lambda: {f"alert-{slug}" for slug in wanted} <= operations.artifacts(), 45), operations.artifacts()
    (said,) = [one for one in operations.room.heard if one["alert"] == "red-prescription"]
    assert said["about"] == f"prefect.flow-run.{red}"


def test_a_run_whose_process_was_killed_crashes_when_its_heartbeat_stops_and_one_that_ended_is_left_alone(operations):
    env = operations.city._client_environment() | {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    ended = operations.run("prescription-lifecycle", "COMPLETED")

    def runs() -> list[dict[str, object]]:
        return operations.city._prefect("POST", "/flow_runs/filter", {"flow_runs": {"name": {"any_": ["sleeper"]}}})

    def heard() -> bool:
        return bool(operations.city._prefect("POST", "/events/filter", {"filter": {
            "event": {"name": ["prefect.flow-run.heartbeat"]},
            "resource": {"id": [f"prefect.flow-run.{runs()[0]['id']}"]}}})["events"])

    with operations.impatient("zombie-runs", 12):
        sleeper = subprocess.Popen([sys.executable, "-c", SLEEPER], env=env, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        try:
            assert wait(lambda: bool(runs()) and heard(), 40), "an in-process run without a deployment has a heartbeat"
            assert runs()[0]["deployment_id"] is None
        finally:
            sleeper.kill()
            sleeper.wait()
        assert wait(lambda: runs()[0]["state_type"] == "CRASHED", 40), runs()[0]["state_type"]
    assert operations.city.run_state(ended)[0] == "COMPLETED"


def test_a_dead_operations_worker_is_heard_of_though_nobody_can_run_the_alert(operations):
    operations.city.kill("operations")
    operations.room.heard.clear()
    wanted = {"canary-missing", "operations-late"}
    with operations.impatient("canary-missing", 10):
        for _ in range(3):
            operations.city.run_deployment("sweep/upkeep")
        assert wait(lambda: wanted <= operations.room.alerts(), 60), operations.room.alerts()
    assert wait(lambda: wanted <= operations.raised(), 20), operations.raised()


async def test_stuck_runs_are_moved_on_and_counted(operations):
    # Goes on from the test before: nobody takes anything up.
    pending, running, cancelling = (
        operations.run("prescription-lifecycle", state) for state in ("PENDING", "RUNNING", "CANCELLING"))
    theirs = operations.run("somebody-else", "RUNNING")
    with temporary_settings({PREFECT_API_URL: operations.api}):
        young = await tidy()
        late_before = await _late()
        stuck = await tidy(lambda: datetime.now(UTC) + timedelta(minutes=16))
        late_after = await _late()
    assert (young.running, young.pending, young.cancelling, young.late) == (0, 0, 0, 0)
    # The killed operations worker may have left runs of its own that it had taken up and not begun.
    assert (stuck.running, stuck.cancelling) == (1, 1)
    assert stuck.pending >= 1
    state = operations.city.run_state
    assert (state(pending)[0], state(running)[0], state(cancelling)[0]) == ("CRASHED", "CRASHED", "CANCELLED")
    assert state(theirs)[0] == "RUNNING"
    assert late_before - late_after == stuck.late
    assert late_after >= 3, "what a person started by hand waits on"


async def _late() -> int:
    async with get_client() as client:
        answer = await client.request("POST", "/flow_runs/count", json={"flow_runs": {"state": {"name": {"any_": ["Late"]}}}})
        return int(answer.json())


def test_an_operations_worker_that_starts_while_prefect_is_away_waits_and_then_works(operations):
    city = operations.city
    city.kill("prefect")
    city.restart("operations")
    time.sleep(12)
    city.check()
    city.restart("prefect")
    city._processes.wait_for(f"{operations.api}/health", name="prefect")
    operations.completes("board/city-day")
    assert wait(lambda: "alert-operations-late" in operations.artifacts(), 45), "what it missed is raised now"


def test_an_operations_worker_goes_on_when_prefect_comes_back(operations):
    city = operations.city
    city.kill("prefect")
    time.sleep(5)
    city.restart("prefect")
    city._processes.wait_for(f"{operations.api}/health", name="prefect")
    operations.completes("board/city-day", 120)

"""A real Prefect server with a real operations worker, without partners: what an operator would do with it."""

import contextlib
import http.server
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from prefect.events.schemas.automations import EventTrigger

from flows.automations import ALERTS, TAG, declared
from sandbox.city import SandboxCity, Shape
from sandbox.processes import ROOT, Processes

PATIENCE = 180.0
"""Seconds; far more than anything here takes on a machine that has nothing else to do."""


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
    """The product, its Prefect on that database, and a chat room that hears its alerts."""

    def __init__(self, folder: Path, processes: Processes, prefect_database_url: str) -> None:
        self.room = ChatRoom()
        self.city = SandboxCity(folder, processes, slug="jinan", seed=1,
                                shape=Shape(prefect_database_url=prefect_database_url.replace("+psycopg", "+asyncpg")))
        self.ask = self.city.prefect
        self._processes = processes
        self._dead: set[str] = set()
        self.city._product["SANYI_ALERT_WEBHOOK"] = self.room.url
        self.city.start_product()
        self.city.wait_until(self.city.deployed, "deployments", PATIENCE)
        self.city.wait_until(lambda: len(self.automations()) == len(ALERTS) + 1, "automations", PATIENCE)

    @property
    def api(self) -> str:
        return f"{self.city.urls['prefect']}/api"

    @property
    def client_environment(self) -> dict[str, str]:
        """What a process that talks to Prefect is started with."""
        return self.city._product | self.city._client_environment() | {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}

    def change(self, method: str, path: str, body: object = None) -> None:
        """A request whose answer is empty."""
        self.city._client.request(method, self.api + path, json=body, auth=self.city.prefect_auth).raise_for_status()

    def until(self, so: Callable[[], bool], seconds: float = PATIENCE) -> bool:
        """Whether that comes to be so in time. Raises `ChildDied`."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.city.check()
            # A server that has just come back is slow to answer, for a moment.
            with contextlib.suppress(httpx.HTTPError):
                if so():
                    return True
            time.sleep(0.5)
        return False

    # Life and death.

    def kill(self, name: str) -> None:
        """See that it is dead."""
        if name not in self._dead:
            self.city.kill(name)
            self._dead.add(name)

    def revive(self, name: str) -> None:
        """See that it is alive, or will be soon; Prefect answers when this returns."""
        if name in self._dead:
            self.city.restart(name)
            self._dead.remove(name)
            if name == "prefect":
                self._processes.wait_for(f"{self.api}/health", name=name, seconds=PATIENCE)

    @contextlib.contextmanager
    def dead(self, name: str) -> Iterator[None]:
        """For a while it is dead."""
        self.kill(name)
        try:
            yield
        finally:
            self.revive(name)

    # Automations.

    def automations(self) -> dict[str, str]:
        """Ours by name, with their ids."""
        found = self.ask("POST", "/automations/filter", {"automations": {"tags": {"all_": [TAG]}}})
        return {one["name"]: one["id"] for one in found}

    @contextlib.contextmanager
    def impatient(self, slug: str, within: float) -> Iterator[None]:
        """For a while, a copy of an automation of ours with a shorter window, under a name that is not ours."""
        deployment = self.ask("GET", "/deployments/name/alert/operators")["id"]
        block = self.ask("GET", "/block_types/slug/webhook/block_documents/name/sanyi-alert")["id"]
        one = next(one for one in declared(UUID(deployment), UUID(block)) if one.name == f"sanyi: {slug}")
        assert isinstance(one.trigger, EventTrigger)
        trigger = one.trigger.model_copy(update={"within": timedelta(seconds=within)})
        copy = one.model_copy(update={"name": f"impatient: {slug}", "tags": [], "trigger": trigger})
        made = self.ask("POST", "/automations/", copy.model_dump(mode="json"))
        yield
        self.change("DELETE", f"/automations/{made['id']}")

    def apply(self) -> str:
        """`python -m flows.automations`, as an operator would."""
        done = subprocess.run([sys.executable, "-m", "flows.automations"], cwd=ROOT, env=self.client_environment,
                              capture_output=True, text=True, check=False)
        return done.stdout.strip()

    # Runs, and what came of them.

    def run(self, flow: str, state: str, name: str = "") -> str:
        """A run that is in that state, without anybody running it."""
        flow_id = self.ask("POST", "/flows/", {"name": flow})["id"]
        run = self.ask("POST", "/flow_runs/", {"flow_id": flow_id, "name": name or "by hand"})["id"]
        self.put(run, state)
        return str(run)

    def put(self, run: str, state: str, name: str = "") -> None:
        """Force a run into a state."""
        self.ask("POST", f"/flow_runs/{run}/set_state", {"state": {"type": state, "name": name or None}, "force": True})

    def runs(self, **which: Any) -> list[dict[str, Any]]:
        """The runs of a filter."""
        return list(self.ask("POST", "/flow_runs/filter", which))

    def state(self, run: str) -> str:
        """Type of a run's state."""
        return self.city.run_state(run)[0]

    def completes(self, deployment: str) -> bool:
        """Whether a deployment that is started now ends well."""
        runs: list[str] = []

        def started() -> bool:
            runs.append(self.city.run_deployment(deployment))
            return True

        return (self.until(started) and self.until(lambda: self.state(runs[0]) in ("COMPLETED", "FAILED", "CRASHED"))
                and self.state(runs[0]) == "COMPLETED")

    def raised(self) -> set[str]:
        """Alerts that have a run, whether or not anybody took it up."""
        return {one["parameters"]["alert"] for one in self.runs(flows={"name": {"any_": ["alert"]}})}

    def artifacts(self) -> set[str]:
        return {one["key"] for one in self.ask("POST", "/artifacts/filter", {})}

"""Every automation fires, also for a dead operations worker and a dead run, and no living one is taken for dead.

On a real Prefect server on PostgreSQL, which goes away twice: before the operations worker starts, and beneath it.
"""

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from rich.console import Console

from flows.automations import ALERTS
from flows.dead import BATCH
from sandbox.processes import ROOT, Processes
from tasks.window import FLOW
from tests.support import services
from tests.support.operations import Operations

HEARTBEAT = 30
"""Seconds; the least Prefect allows."""
SILENT = 75
"""Seconds; as in production, more than two heartbeats."""
NO_CANARY = 180
"""Seconds, as in production; it sings each minute."""
SILENCE = 2 * NO_CANARY + 30
"""Seconds until a silence is heard of: Prefect looks at its windows one after the other, and the song may be in the last."""

SLEEPER = """
import asyncio, sys
from prefect import flow

@flow(name="batch", flow_run_name=sys.argv[1])
async def sleeper():
    await asyncio.sleep(900)

asyncio.run(sleeper())
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="./go prove alerts", description=__doc__)
    parser.add_argument("--logs", type=Path, help="keep the logs of all processes here")
    given = parser.parse_args()
    console = Console(highlight=False, width=140)
    began = time.monotonic()

    def say(what: str, held: bool) -> bool:
        console.print(f"  {time.monotonic() - began:4.0f} s  {what}: {'yes' if held else '[red]no[/red]'}")
        return held

    with services.postgres() as server, tempfile.TemporaryDirectory() as folder, \
            Processes(given.logs or Path(folder) / "logs") as processes:
        operations = Operations(Path(folder), processes, server.fresh())
        # Prefect plans the first one a minute or two after the deployment.
        say("the canary sings", operations.until(lambda: _has_sung(operations)))
        with operations.impatient("zombie-runs", SILENT), operations.impatient("canary-missing", NO_CANARY):
            watched = time.monotonic()
            _troubles(operations)
            with _sleeping(operations, "dying") as dying, _sleeping(operations, "living"):
                both = ("dying", "living")
                say("runs without a deployment have a heartbeat",
                    operations.until(lambda: all(_heard_of(operations, name) for name in both)))
                over = _ended_before_its_last_heartbeat(operations)
                dying.kill()
                crashed = operations.until(lambda: "its heartbeat stopped" in _state(operations, "dying")[1])
                crashed = say("a killed run crashes when its heartbeat stops", crashed)
                living = say("a living run of the same age stays Running", _state(operations, "living")[0] == "RUNNING")
            rest = watched + NO_CANARY + 15 - time.monotonic()
            quiet = say("with a living worker nobody misses the canary",
                        not operations.until(lambda: "canary-missing" in operations.room.alerts(), max(rest, 1)))
            over_is_over = say("a run whose end overtook its last heartbeat is not called dead", not _called_dead(operations, over))
            operations.kill("operations")
            for _ in range(3):
                operations.city.run_deployment("sweep/upkeep")
            slugs = {one.slug for one in ALERTS}
            say("a dead operations worker is heard of", operations.until(lambda: slugs <= operations.room.alerts(), SILENCE))
            operations.until(lambda: slugs <= operations.raised())
            fired = slugs & operations.room.alerts() & operations.raised()
        back = [say("the worker starts while Prefect is away, waits and then works", _starts_without(operations)),
                say("the worker goes on when Prefect comes back", _goes_on_after(operations))]
    for slug in sorted(slugs - fired):
        console.print(f"  [red]not fired: {slug}[/red]")
    total, all_fired = len(ALERTS) + 1, len(fired) + crashed
    console.print(f"alerts: {all_fired} of {total} automations fired, {3 - living - quiet - over_is_over} false alarms, "
                  f"the operations worker outlived Prefect {sum(back)} of {len(back)} times")
    return 0 if all_fired == total and living and quiet and over_is_over and all(back) else 1


def _has_sung(operations: Operations) -> bool:
    return bool(operations.runs(flows={"name": {"any_": ["canary"]}}, flow_runs={"state": {"type": {"any_": ["COMPLETED"]}}}))


def _troubles(operations: Operations) -> None:
    """What becomes an alert while everybody is alive."""
    for flow, state in ((FLOW, "FAILED"), ("reconcile-day", "FAILED"), ("sweep", "FAILED"),
                        ("board", "CRASHED")):
        operations.run(flow, state)


@contextlib.contextmanager
def _sleeping(operations: Operations, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """A run of that name in a process of its own."""
    env = operations.client_environment | {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT)}
    sleeper = subprocess.Popen([sys.executable, "-c", SLEEPER, name], cwd=ROOT, env=env, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    try:
        yield sleeper
    finally:
        sleeper.kill()
        sleeper.wait()


def _heard_of(operations: Operations, name: str) -> bool:
    found = operations.runs(flow_runs={"name": {"any_": [name]}})
    return bool(found) and found[0]["deployment_id"] is None and bool(
        _events(operations, found[0]["id"], name=["prefect.flow-run.heartbeat"]))


def _ended_before_its_last_heartbeat(operations: Operations) -> str:
    """A run of which Prefect hears that it is over, and then of a heartbeat before that."""
    run = operations.run(BATCH, "COMPLETED", "over")
    operations.until(lambda: bool(_events(operations, run, name=["prefect.flow-run.Completed"])))
    (found,) = operations.runs(flow_runs={"id": {"any_": [run]}})
    just_before = datetime.fromisoformat(found["end_time"]) - timedelta(milliseconds=1)
    operations.change("POST", "/events", [{
        "id": str(uuid4()), "occurred": just_before.isoformat(), "event": "prefect.flow-run.heartbeat",
        "resource": {"prefect.resource.id": f"prefect.flow-run.{run}"},
        "related": [{"prefect.resource.id": f"prefect.flow.{found['flow_id']}", "prefect.resource.role": "flow",
                     "prefect.resource.name": BATCH}]}])
    return run


def _called_dead(operations: Operations, run: str) -> bool:
    """Whether an automation did something about that run, or tried to."""
    return bool(_events(operations, run, prefix=["prefect.automation.action."]))


def _events(operations: Operations, run: str, **which: list[str]) -> list[Any]:
    return list(operations.ask("POST", "/events/filter", {"filter": {
        "event": which, "any_resource": {"id": [f"prefect.flow-run.{run}"]}}})["events"])


def _state(operations: Operations, name: str) -> tuple[str, str]:
    """Type and message of the state of the run of that name."""
    (found,) = operations.runs(flow_runs={"name": {"any_": [name]}})
    return str(found["state"]["type"]), str(found["state"]["message"])


def _starts_without(operations: Operations) -> bool:
    """The operations worker, dead until now, starts before Prefect does; what it missed is raised then."""
    operations.kill("prefect")
    operations.revive("operations")
    time.sleep(12)
    operations.city.check()
    operations.revive("prefect")
    return operations.completes("board/city-day") and operations.until(
        lambda: {"alert-operations-late", "alert-canary-missing"} <= operations.artifacts())


def _goes_on_after(operations: Operations) -> bool:
    operations.kill("prefect")
    time.sleep(5)
    operations.revive("prefect")
    return operations.completes("board/city-day")


if __name__ == "__main__":
    sys.exit(main())

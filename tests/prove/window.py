"""Each prescription is one run in Prefect, and that run says what its history says: after a day with faults, a killed worker and
the loss of Prefect's whole database.

What is expected is worked out here from each prescription's history as the gateway gives it, not by the product's own code. A red
one is made by spoiling its sealed data, cured, and retried from Prefect's own page in a browser.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from playwright.sync_api import Page, sync_playwright
from rich.console import Console

from sandbox.city import SandboxCity, Shape
from sandbox.day import at_rest, reconcile
from sandbox.plan import Plan
from sandbox.processes import Processes
from tests.support.services import Postgres, postgres

STATES = {
    "received": "RUNNING In audit", "audited": "RUNNING In review", "in_review": "RUNNING In review",
    "reviewed": "RUNNING Looking for a pharmacy", "allocating": "RUNNING Looking for a pharmacy",
    "fulfilling": "RUNNING With the pharmacy", "fulfilled": "RUNNING Being settled",
    "settled": "COMPLETED Settled", "closed": "COMPLETED Settled", "refused": "COMPLETED Refused",
    "returned": "COMPLETED Returned to the hospital", "cancelled": "CANCELLED Cancelled", "expired": "COMPLETED Expired",
}
"""What a run says, by the status of its prescription."""
STAGES = {"received": "audit", "audited": "review", "in_review": "review", "reviewed": "allocation", "allocating": "allocation",
          "fulfilling": "delivery", "fulfilled": "settlement"}
PATIENCE = 400
"""Seconds to wait for anything: the machine may be busy."""


@dataclass
class Verdict:
    """What was looked at, and what was wrong."""

    prescriptions: int = 0
    right: int = 0
    task_runs: int = 0
    faults: list[str] = field(default_factory=list)


def main() -> int:
    parser = argparse.ArgumentParser(prog="./go prove window", description=__doc__)
    parser.add_argument("--prescriptions", type=int, default=40)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(9_000))
    parser.add_argument("--screenshots", type=Path, help="a folder for pictures of Prefect's pages")
    given = parser.parse_args()
    console = Console(highlight=False, width=150)
    console.print(f"seed {given.seed}")
    with tempfile.TemporaryDirectory() as name, Processes(Path(name) / "logs") as processes, postgres() as server:
        ours, theirs = server.fresh(), server.fresh()
        city = SandboxCity(Path(name), processes, slug="jinan", seed=given.seed, database_url=ours,
                           shape=Shape(prefect_database_url=theirs.replace("+psycopg", "+asyncpg")))
        city.start_partners()
        city.start_product()
        city.wait_until(city.deployed, "the deployments", PATIENCE)
        console.print("· the city is up")
        city.kill("worker")
        plan = city.send(given.prescriptions)
        with _browser(city, given.screenshots) as browser:
            moved = _red_and_back(city, plan, ours, browser)
            console.print(f"· a red one, retried from Prefect's page, {'turned back' if moved else 'did NOT turn back'}")
            city.restart("worker")
            _live(city, plan, server, theirs, console)
            reconcile(city)
            city.wait_until(lambda: not city.ops("board")["undrawn"], "the window", PATIENCE)
            verdict = judge(city)
            browser.pictures_of_a_day()
        personal = _personal(city, plan, theirs)
    for fault in verdict.faults[:20]:
        console.print(f"  [red]{fault}[/red]")
    for word in personal[:10]:
        console.print(f"  [red]in Prefect's database: {word}[/red]")
    console.print(f"window: {verdict.right} of {verdict.prescriptions} prescriptions have exactly one run, which says what their "
                  f"history says, {verdict.task_runs} stages with their times, {len(personal)} personal words, "
                  f"a red one {'moved and turned back' if moved else 'did NOT turn back'} when retried from Prefect's page")
    held = verdict.prescriptions >= given.prescriptions and verdict.right == verdict.prescriptions and not personal and moved
    return 0 if held else 1


def _live(city: SandboxCity, plan: Plan, server: Postgres, theirs: str, console: Console) -> None:
    """The day, with Prefect's database dropped when half of it has ended."""
    deadline, dropped, quiet = time.monotonic() + 240 + 6 * len(plan.prescriptions), False, 0
    while quiet < 2:
        city.check()
        ended = sum(row["status"] in ("settled", "closed", "refused", "returned") for row in city.prescriptions())
        if ended > len(plan.prescriptions) / 2 and not dropped:
            city.kill("prefect")
            server.recreate(theirs)
            city.restart("prefect")
            dropped = True
            console.print("· Prefect's database was dropped")
        quiet = quiet + 1 if dropped and at_rest(city, plan) else 0
        if time.monotonic() > deadline:
            raise TimeoutError("the day does not come to rest")
        time.sleep(1)
    city.wait_until(city.deployed, "the deployments, anew", PATIENCE)


def judge(city: SandboxCity) -> Verdict:
    """Every prescription against its run, or its runs."""
    verdict = Verdict()
    runs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for run in _all(city, "/flow_runs/filter", {"flows": {"name": {"any_": ["prescription"]}}}):
        if not run["name"].startswith("by hand: "):
            runs[run["name"]].append(run)
    rows = city.prescriptions()
    verdict.faults += [f"{name}: a run of no prescription" for name in runs.keys() - {row["id"] for row in rows}]
    for row in rows:
        verdict.prescriptions += 1
        faults = _faults(city, row["id"], runs[row["id"]], verdict)
        verdict.faults += [f"{row['id']}: {fault}" for fault in faults]
        verdict.right += not faults
    return verdict


def _faults(city: SandboxCity, rx: str, runs: Sequence[dict[str, Any]], verdict: Verdict) -> list[str]:
    if len(runs) != 1:
        return [f"{len(runs)} runs"]
    (run,) = runs
    told = city.dossier(rx)
    state = f"{run['state']['type']} {run['state']['name']}"
    faults = [] if state == STATES[told["status"]] else [f"is {told['status']}, its run says {state}"]
    if f"hospital:{told['hospital']}" not in run["tags"]:
        faults.append(f"its tags are {run['tags']}")
    chains = {f"chain:{order['chain']}" for order in told["orders"][-1:]}
    if not chains <= set(run["tags"]):
        faults.append(f"{chains} is not among its tags")
    drawn = [(one["name"], _moment(one["start_time"]), _moment(one["end_time"]))
             for one in _all(city, "/task_runs/filter", {"task_runs": {"flow_run_id": {"any_": [run["id"]]}}})]
    drawn.sort(key=lambda one: (one[1], one[2] is None, one[2]))
    expected = list(_stages(told["history"]))
    verdict.task_runs += len(drawn)
    if [one[0] for one in drawn] != [one[0] for one in expected]:
        return [*faults, f"its stages are {[one[0] for one in drawn]}, not {[one[0] for one in expected]}"]
    for (name, begin, end), (_, began, ended) in zip(drawn, expected, strict=True):
        if abs((begin - began).total_seconds()) > 0.001 or (end is None) != (ended is None) or (
                end and ended and abs((end - ended).total_seconds()) > 0.001):
            faults.append(f"{name} was from {began} to {ended}, and is drawn from {begin} to {end}")
    found = _all(city, "/flow_runs/filter", {"flow_runs": {"name": {"like_": rx}}})
    if [one["name"] for one in found if not one["name"].startswith("by hand: ")] != [rx]:
        faults.append(f"a search for its id finds {len(found)} runs")
    return faults


def _stages(history: Sequence[dict[str, Any]]) -> Iterator[tuple[str, datetime, datetime | None]]:
    """Name, begin and end of each stage, from the history alone."""
    seen: dict[str, int] = defaultdict(int)

    def named(stage: str) -> str:
        seen[stage] += 1
        return stage if seen[stage] == 1 else f"{stage} {seen[stage]}"

    first = history[0]
    received = datetime.fromisoformat(first["at"])
    yield named("intake"), datetime.fromisoformat(first["detail"]["arrived"]), received
    stage, begun = "audit", received
    for row in history[1:]:
        at, after = datetime.fromisoformat(row["at"]), STAGES.get(row["to_status"], "")
        if row["from_status"] == row["to_status"]:
            continue
        if row["from_status"] == "settled" and after == "settlement":
            after = "reversal"
        if after == stage or (stage == "reversal" and after == "settlement"):
            continue
        if stage:
            yield named(stage), begun, at
        stage, begun = after, at
    if stage:
        yield named(stage), begun, None


def _red_and_back(city: SandboxCity, plan: Plan, ours: str, browser: "Browser") -> bool:
    """A prescription is spoilt before anybody works on it: red; mended; retried from its page; on its way again."""
    # Not one that expires or is taken back meanwhile.
    lasting = {one.external_id for one in plan.prescriptions if one.scenario.startswith("settled")}

    def first() -> str:
        return next((row["id"] for row in city.prescriptions() if row["external_id"] in lasting), "")

    city.wait_until(lambda: bool(first()), "a prescription", PATIENCE)
    rx = first()
    with psycopg.connect(ours.replace("+psycopg", ""), autocommit=True) as database:
        sealed = database.execute("SELECT patient_sealed FROM prescription WHERE id = %s", [rx]).fetchone()
        assert sealed
        database.execute("UPDATE prescription SET patient_sealed = '\\x00' WHERE id = %s", [rx])
        city.restart("worker")
        city.wait_until(lambda: bool(own(city, rx)["state"]["name"] == "Needs a person"), "red", PATIENCE)
        city.kill("worker")  # Nobody but Retry shall take it on.
        run = own(city, rx)
        if f"/rx/{rx}" not in run["state"]["message"]:
            return False
        database.execute("UPDATE prescription SET patient_sealed = %s, lease_until = NULL WHERE id = %s", [sealed[0], rx])
    browser.retry(run["id"], rx)
    city.wait_until(lambda: bool(city.dossier(rx)["status"] != "received"), "the retried one to move", PATIENCE)
    city.wait_until(lambda: bool(own(city, rx)["state"]["type"] == "RUNNING" and own(city, rx)["state"]["name"] in STATES[
        city.dossier(rx)["status"]]), "its run to turn back", PATIENCE)
    browser.picture(f"/runs/flow-run/{run['id']}", "retried")
    return len(_all(city, "/flow_runs/filter", {"flow_runs": {"name": {"any_": [rx]}}})) == 1


class Browser:
    """An operator at Prefect's own pages and at the gateway's, signed in at both."""

    def __init__(self, page: Page, desk: Page, city: SandboxCity, folder: Path | None) -> None:
        self._page, self._desk, self._city, self._folder = page, desk, city, folder
        page.goto(f"{city.urls['prefect']}/login")
        page.locator("input").first.fill(city.prefect_password)
        page.get_by_role("button", name="Login").click()
        page.wait_for_url("**/dashboard**", timeout=60_000)

    def retry(self, run: str, rx: str) -> None:
        """Press *Retry* on a run's page, and say yes."""
        self.picture(f"/runs/flow-run/{run}", "red")
        self.picture_at_the_gateway("/", "board")
        self.picture_at_the_gateway(f"/rx/{rx}", "red-at-the-gateway")
        self._page.get_by_role("button", name="Retry").first.click()
        self._page.get_by_role("dialog").get_by_role("button", name="Retry").click()
        self._page.wait_for_timeout(3000)
        self._page.goto("about:blank")  # The timeline of a run that goes on is drawn for ever, which takes a core.

    def picture(self, path: str, name: str) -> None:
        """Open a page; keep a picture of it if there is a folder for it."""
        self._page.goto(f"{self._city.urls['prefect']}{path}")
        self._page.wait_for_load_state("load", timeout=60_000)
        self._page.wait_for_timeout(15_000 if self._folder else 1000)  # The timeline is drawn in steps.
        self._keep(self._page, name)

    def picture_at_the_gateway(self, path: str, name: str) -> None:
        """The same of one of our own pages."""
        answer = self._desk.goto(f"{self._city.urls['gateway']}{path}")
        if answer is None or not answer.ok:
            raise AssertionError(f"{path} of the gateway: {answer and answer.status}")
        self._keep(self._desk, name)

    def _keep(self, page: Page, name: str) -> None:
        if self._folder:
            self._folder.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=self._folder / f"{name}.png")

    def pictures_of_a_day(self) -> None:
        """The pages an operator has open, and one prescription's timeline."""
        if self._folder:
            closed = next(row["id"] for row in self._city.prescriptions() if row["status"] == "closed")
            self.picture(f"/runs/flow-run/{own(self._city, closed)['id']}", "one-prescription")
            self.picture("/dashboard", "dashboard")
            self.picture("/runs", "runs")


@contextmanager
def _browser(city: SandboxCity, folder: Path | None) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("google-chrome"),
            args=["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"])
        window = chromium.new_page(viewport={"width": 1440, "height": 1000}, locale="en-GB")
        desk = chromium.new_page(viewport={"width": 1440, "height": 1000}, locale="en-GB", extra_http_headers={
            "Authorization": f"Bearer {city.keys['operator']}"})
        yield Browser(window, desk, city, folder)
        chromium.close()


def _personal(city: SandboxCity, plan: Plan, theirs: str) -> list[str]:
    """Names and numbers of the day's people that stand anywhere in Prefect's database."""
    people = {word for one in plan.prescriptions for word in (one.facts.name, one.facts.id_number, one.facts.phone) if word}
    found = []
    with psycopg.connect(theirs.replace("+psycopg", ""), autocommit=True) as database:
        tables = [name for name, in database.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        for table in tables:
            text = "\n".join(row for row, in database.execute(f'SELECT t::text FROM "{table}" t'))  # type: ignore[arg-type]
            found += [f"{table}: a person" for word in people if word in text]
    return found


def own(city: SandboxCity, rx: str) -> dict[str, Any]:
    """A prescription's own run; one without a state while there is none."""
    runs = _all(city, "/flow_runs/filter", {"flow_runs": {"name": {"any_": [rx]}}})
    return runs[0] if runs else {"id": "", "state": {"type": "", "name": "", "message": ""}}


def _all(city: SandboxCity, path: str, which: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while page := city.prefect("POST", path, which | {"limit": 200, "offset": len(found)}):
        found += page
        if len(page) < 200:
            break
    return found


def _moment(text: str | None) -> Any:
    return datetime.fromisoformat(text) if text else None


if __name__ == "__main__":
    sys.exit(main())

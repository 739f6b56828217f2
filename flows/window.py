"""The window: every prescription is one run in Prefect, drawn from our history after the commit, in bulk.

One worker draws at a time. Work never waits for it: drawing may lag, and catches up. No decision is read from Prefect.
Drawing twice gives the same result, because run keys and event ids are derived from the prescription's id.
"""

import asyncio
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from prefect.client.orchestration import PrefectClient, get_client
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from domain.window import RunState, Stage
from flows.dead import RULES
from flows.home import request
from infra import metrics
from infra.db.drawings import NOT_TAKEN, Drawing
from infra.log import get_logger
from infra.settings import Settings
from tasks import window
from tasks.city import City
from tasks.window import FLOW, Picture, key_of

log = get_logger(__name__)

DEPLOYMENT = "lifecycle"
STATES_AT_ONCE = 50
"""Runs whose states Prefect sets or tells in one call."""
EVENTS_AT_ONCE = 200
STRAYS_SECONDS = 60.0
"""Between two searches for runs that a person moved in Prefect's pages."""
RETRIED = "Running"
"""Prefect's name of the state of a run that is retried. No state of ours has it."""
STRAY_AFTER = {"CANCELLING": timedelta(), "CRASHED": timedelta(), "PAUSED": timedelta(minutes=2), "PENDING": timedelta(minutes=2),
               "RUNNING": RULES["running"].after}
"""How long a state that is not ours is left alone: a person may be at work."""
SHARE = 0.2
"""Of its time, that it draws while workers are at work and what is to be drawn can wait: they have the machine."""
REFUSALS = 5
"""Passes in turn in which Prefect makes no run of a prescription, before that counts as the prescription's own trouble."""
AGAIN_SECONDS = 5.0
"""Pause when Prefect is away."""


class Window:
    """Draws what has happened, again and again."""

    def __init__(self, city: City, settings: Settings) -> None:
        self._city = city
        self._settings = settings
        self._flow_id, self._deployment_id = "", ""
        self._strays_at = 0.0
        self._lag = timedelta(seconds=settings.window_lag_seconds)
        self._each = timedelta(seconds=0.1)
        """What drawing one prescription takes at present: the mean of the last passes."""
        self._look_again = min(settings.window_seconds, settings.window_lag_seconds / 10)
        """Seconds between two looks."""
        self._refusals: Counter[str] = Counter()
        """How often in turn Prefect has made no run of a prescription."""
        self._away_since: datetime | None = city.now()
        """When Prefect last answered, while it does not; at first, and after another's turn, we don't know what it remembers."""

    async def keep_drawing(self) -> None:
        """For ever, through every absence of Prefect and of our database; not at all where the settings want nothing drawn."""
        with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):  # or a restart of the server would go unnoticed
            while True:
                full, began = False, time.monotonic()
                try:
                    if self._settings.window == "none":
                        return await asyncio.to_thread(window.rest, self._city)
                    async with get_client() as client:
                        full = await self.draw(client) >= window.AT_ONCE
                    await self._leave_to_work(time.monotonic() - began)
                except Exception as error:
                    log.warning("window.waiting", error=type(error).__name__)
                    self._away_since = self._away_since or self._city.now()
                    self._deployment_id = ""
                    await asyncio.sleep(AGAIN_SECONDS)
                if not full:
                    await asyncio.sleep(self._look_again)

    async def _leave_to_work(self, drew_for: float) -> None:
        """While workers are at work, draw only a share of the time.

        Go on before our lease ends, or when no worker is busy, or when something has waited too long to be drawn.
        """
        most = window.TURN.total_seconds() / 2
        until = time.monotonic() + min(drew_for * (1 / SHARE - 1), most)
        while time.monotonic() < until and await asyncio.to_thread(  # noqa: ASYNC110  # other processes work
                window.work_goes_on, self._city, self._lag, self._each):
            await asyncio.sleep(min(self._look_again, until - time.monotonic()))

    async def draw(self, client: PrefectClient) -> int:
        """One pass: how many prescriptions were drawn or need no run. Raises what Prefect's client raises."""
        if not self._deployment_id:
            self._flow_id, self._deployment_id = await _home(client)
        if not await asyncio.to_thread(window.our_turn, self._city, self._settings.worker, self._flow_id):
            self._away_since = self._city.now()
            return 0
        if self._away_since:
            forgotten = await asyncio.to_thread(window.prefect_forgot, self._city, self._away_since)
            log.info("window.open", again=forgotten)
            self._away_since = None
        now = time.monotonic()
        if now - self._strays_at > STRAYS_SECONDS:
            await self._call_back_strays(client)
            self._strays_at = now
        if await asyncio.to_thread(window.work_goes_first, self._city, self._lag, self._each):
            return 0
        began = time.monotonic()
        pictures = await asyncio.to_thread(window.to_draw, self._city, self._settings.gateway_url)
        if over := {picture.id: picture.subject.version for picture in pictures if not self._wanted(picture)}:
            await asyncio.to_thread(window.save, self._city, [], over, {})
        wanted = [picture for picture in pictures if picture.id not in over]
        drawn = await self._draw(client, wanted) if wanted else 0
        if drawn >= window.AT_ONCE / 2:  # Of a few, the calls cost more than the prescriptions.
            self._each = (self._each * 2 + timedelta(seconds=time.monotonic() - began) / drawn) / 3
        return len(over) + drawn

    def _wanted(self, picture: Picture) -> bool:
        """Which prescriptions are not drawn: those the settings exclude, and those that ended before Prefect's retention.

        A prescription whose run was asked for already is drawn.
        """
        return bool(picture.need or picture.drawing or (
            self._settings.window == "all" and not picture.over_since(self._city.now() - window.RETENTION)))

    async def _draw(self, client: PrefectClient, pictures: Sequence[Picture]) -> int:
        """How many are drawn. What Prefect did not take, because its database was locked or the run is gone, is drawn next."""
        fresh = [picture for picture in pictures if not (picture.drawing and picture.drawing.run_id)]
        runs = {picture.id: picture.drawing.run_id for picture in pictures if picture.drawing and picture.drawing.run_id}
        if fresh:
            await asyncio.to_thread(window.intend, self._city, [picture.id for picture in fresh])
            runs |= await self._make(client, fresh)
            await self._pass_over_refused([picture for picture in fresh if picture.id not in runs])
        # An unknown state is asked for: a run made by an attempt whose answer was lost is not ours to guess.
        # So is one that stays while stages are added: events of a run that is gone would spoil others' in Prefect's recorder.
        unknown = [picture for picture in pictures if picture.drawing and picture.id in runs and (
            not picture.drawing.state or (picture.missing and picture.drawing.state == window.spelled(picture.state)))]
        unsure = {picture.id for picture in unknown}
        shown = {picture.id: picture.drawing.state for picture in pictures
                 if picture.drawing and picture.drawing.state and picture.id not in unsure}
        shown |= {picture.id: window.spelled(picture.state) for picture in fresh if picture.drawing is None}
        shown |= await _states(client, {runs[picture.id]: picture.id for picture in unknown})
        moved = [picture for picture in pictures if picture.id in runs and shown.get(picture.id) != window.spelled(picture.state)]
        lost = await self._set(client, moved, runs)
        lost |= {picture.id for picture in unknown if picture.id not in shown}
        drawn = [picture for picture in pictures if picture.id in runs and picture.id not in lost]
        # Also where no run was known: the one that was there already has the tags of then.
        rechained = [picture for picture in drawn if picture.drawing and picture.drawing.chain != picture.subject.chain]
        await self._tag(client, rechained, runs)
        await self._tell(client, [(runs[picture.id], stage, number) for picture in drawn
                                  for number, stage in enumerate(picture.stages) if stage in picture.missing])
        await self._explain(client, [picture for picture in drawn if picture.turns_red], runs)
        await self._write_down(drawn, runs, [picture for picture in pictures if picture.id in lost and picture.drawing])
        return len(drawn)

    async def _write_down(self, drawn: Sequence[Picture], runs: dict[str, str], lost: Sequence[Picture]) -> None:
        at = self._city.now()
        done: list[Drawing] = [picture.drawn(runs[picture.id], at) for picture in drawn]
        done += [window.gone(picture.drawing) for picture in lost if picture.drawing]
        lag = max((at - picture.subject.waiting_since for picture in drawn if picture.subject.drawn < picture.subject.version),
                  default=timedelta())
        await asyncio.to_thread(window.save, self._city, done, {picture.id: picture.subject.version for picture in drawn},
                                {picture.id: picture.drawing.state for picture in (*drawn, *lost) if picture.drawing})
        metrics.drawn(len(drawn), lag.total_seconds())
        log.debug("window.drawn", prescriptions=len(drawn), lag=round(lag.total_seconds(), 1))

    async def _make(self, client: PrefectClient, fresh: Sequence[Picture]) -> dict[str, str]:
        """A run for each that Prefect takes, in the state its prescription is in; the one that is there already if there is
        one."""
        answer = await request(client, "POST", f"/deployments/{self._deployment_id}/create_flow_run/bulk", [
            {"name": picture.id, "idempotency_key": key_of(picture.id), "parameters": {"prescription": picture.id},
             "tags": picture.tags,
             "state": picture.state._asdict()} for picture in fresh])
        results = answer["results"]
        return {picture.id: result["flow_run_id"] for picture, result in zip(fresh, results, strict=True) if result["flow_run_id"]}

    async def _pass_over_refused(self, refused: Sequence[Picture]) -> None:
        """Count the runs that Prefect refused; a prescription refused again and again is left out.

        A locked SQLite of Prefect's refuses every request for a while. So a few refusals are retried, and one bad run cannot
        hold up the others.
        """
        self._refusals = Counter({picture.id: self._refusals[picture.id] + 1 for picture in refused})
        if refused:
            log.warning("window.not_taken", prescriptions=len(refused))
        await asyncio.to_thread(window.pass_over, self._city, {
            picture.id: picture.subject.version for picture in refused if self._refusals[picture.id] >= REFUSALS}, NOT_TAKEN)

    async def _set(self, client: PrefectClient, pictures: Sequence[Picture], runs: dict[str, str]) -> set[str]:
        """Move runs to the states of their prescriptions; those whose run Prefect does not have any more."""
        groups: dict[RunState, list[str]] = defaultdict(list)
        for picture in pictures:
            groups[picture.state].append(picture.id)
        lost: set[str] = set()
        for state, members in groups.items():
            for i in range(0, len(members), STATES_AT_ONCE):
                part = members[i:i + STATES_AT_ONCE]
                # Forced: the rules of orchestration protect runs at work, and this one shows work.
                answer = await request(client, "POST", "/flow_runs/bulk_set_state", {
                    "flow_runs": {"id": {"any_": [runs[number] for number in part]}}, "state": state._asdict(),
                    "force": True, "limit": STATES_AT_ONCE})
                moved = {result["flow_run_id"] for result in answer["results"] if result["status"] == "ACCEPT"}
                lost |= {number for number in part if runs[number] not in moved}
        return lost

    async def _tag(self, client: PrefectClient, pictures: Sequence[Picture], runs: dict[str, str]) -> None:
        for picture in pictures:
            await request(client, "PATCH", f"/flow_runs/{runs[picture.id]}", {"tags": picture.tags})

    async def _tell(self, client: PrefectClient, moves: Sequence[tuple[str, Stage, int]]) -> None:
        events = [_event(UUID(run), stage, number, self._settings.gateway_url) for run, stage, number in moves]
        for i in range(0, len(events), EVENTS_AT_ONCE):
            await request(client, "POST", "/events", events[i:i + EVENTS_AT_ONCE])

    async def _explain(self, client: PrefectClient, pictures: Sequence[Picture], runs: dict[str, str]) -> None:
        """Why a run turns red, in its log too: that is what its page shows first, and a state's message behind a tab."""
        if pictures:
            entry = {"name": "sanyi", "level": logging.ERROR, "timestamp": self._city.now().isoformat()}
            await request(client, "POST", "/logs/", [
                entry | {"flow_run_id": runs[picture.id], "message": picture.state.message} for picture in pictures])

    async def _call_back_strays(self, client: PrefectClient) -> None:
        """Draw again the runs whose state a person or Prefect changed, and those that Prefect refused.

        A run that was cancelled in Prefect's pages, or begun there and never ended, shows again where its prescription is.
        A red run is red again if a person declared it over, or if Prefect deleted it as old.
        """
        answer = await request(client, "POST", "/flow_runs/filter", {
            "flow_runs": {"deployment_id": {"any_": [self._deployment_id]}, "tags": {"all_": [window.TAG]},
                          "state": {"operator": "or_", "type": {"any_": ["CANCELLING", "CRASHED", "PAUSED", "PENDING"]},
                                    "name": {"any_": [RETRIED]}}}, "limit": 200})
        now = datetime.now(UTC)
        strays = [run["name"] for run in answer if run["idempotency_key"] == key_of(run["name"])
                  and datetime.fromisoformat(run["state"]["timestamp"]) < now - STRAY_AFTER[run["state"]["type"]]]
        red = await asyncio.to_thread(window.red, self._city)
        shown = await _states(client, {picture.run_id: picture.prescription_id for picture in red})
        strays += [picture.prescription_id for picture in red if shown.get(picture.prescription_id, "") != picture.state
                   and not shown.get(picture.prescription_id, "").startswith(("SCHEDULED", "PENDING", "RUNNING"))]
        strays += await asyncio.to_thread(window.refused, self._city)
        if strays:
            log.info("window.strays", runs=len(strays))
            await asyncio.to_thread(window.draw_again, self._city, strays)


async def _home(client: PrefectClient) -> tuple[str, str]:
    """The flow and the deployment that the runs are of. Raises `ObjectNotFound` until it is registered."""
    deployment = await client.read_deployment_by_name(f"{FLOW}/{DEPLOYMENT}")
    if deployment.flow_id is None:
        raise ObjectNotFound(http_exc=ValueError("a deployment without a flow"))
    return str(deployment.flow_id), str(deployment.id)


async def _states(client: PrefectClient, runs: dict[str, str]) -> dict[str, str]:
    """What those runs show at present, by prescription; without those Prefect does not have."""
    states: dict[str, str] = {}
    ids = list(runs)
    for i in range(0, len(ids), STATES_AT_ONCE):
        answer = await request(client, "POST", "/flow_runs/filter", {
            "flow_runs": {"id": {"any_": ids[i:i + STATES_AT_ONCE]}}, "limit": STATES_AT_ONCE})
        states |= {runs[run["id"]]: f"{run['state']['type']} {run['state']['name']}: {run['state']['message']}"[:400]
                   for run in answer if run["state"]}
    return states


def _event(run: UUID, stage: Stage, number: int, gateway_url: str) -> dict[str, Any]:
    """A stage as Prefect's recorder makes a task run of it: ended, or begun and lasting. Its id is the same each time."""
    task = uuid5(run, stage.name)
    kind, name = ("COMPLETED", str(stage.after).replace("_", " ").capitalize()) if stage.end else ("RUNNING", "Running")
    address = f"{gateway_url}/runs/{stage.run_id}" if stage.run_id else ""
    # Two states of one run at the same moment are one to Prefect.
    moment = max(stage.end, stage.begin + timedelta(microseconds=1)) if stage.end else stage.begin
    return {
        "id": str(uuid5(task, kind)), "occurred": moment.isoformat(), "event": f"prefect.task-run.{kind.capitalize()}",
        "resource": {
            "prefect.resource.id": f"prefect.task-run.{task}", "prefect.resource.name": stage.name, "prefect.run-count": "1",
            "prefect.state-message": address, "prefect.state-name": name, "prefect.state-timestamp": moment.isoformat(),
            "prefect.state-type": kind, "prefect.orchestration": "client"},
        "related": [{"prefect.resource.id": f"prefect.flow-run.{run}", "prefect.resource.role": "flow-run"}],
        "payload": {
            "intended": {"from": "RUNNING" if stage.end else "PENDING", "to": kind},
            "initial_state": {"type": "RUNNING" if stage.end else "PENDING", "name": "Running" if stage.end else "Pending",
                              "message": "", "state_details": {}},
            "validated_state": {"type": kind, "name": name, "message": address, "state_details": {}, "data": None},
            "task_run": {
                "name": stage.name, "task_key": stage.kind, "dynamic_key": str(stage.number), "run_count": 1,
                "flow_run_run_count": 1, "start_time": stage.begin.isoformat(),
                "end_time": stage.end.isoformat() if stage.end else None,
                "total_run_time": (stage.end - stage.begin).total_seconds() if stage.end else 0.0,
                "expected_start_time": stage.begin.isoformat(), "tags": [], "labels": {}, "task_inputs": {},
                "empirical_policy": {"retries": 0}}},
    }

"""The dispatcher: due rows become flow runs, in this process, on one event loop."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import prefect

from domain.lifecycle import STAGES
from flows.lifecycle import prescription_lifecycle
from infra.db import prescriptions
from infra.db.prescriptions import Due
from infra.log import get_logger
from infra.settings import Settings
from tasks.city import City
from tasks.reports import deliver_due

log = get_logger(__name__)


@dataclass(frozen=True)
class Batch:
    """Prescriptions that go through one flow run."""

    due: tuple[Due, ...]

    @property
    def ids(self) -> list[str]:
        return [one.id for one in self.due]

    @property
    def name(self) -> str:
        """Green in bulk, red one by one: a run of one bears its prescription's id."""
        stages = sorted({STAGES[one.status] for one in self.due})
        if len(self.due) == 1:
            attempt = f" (attempt {self.due[0].attempts + 1})" if self.due[0].attempts else ""
            return f"{self.due[0].id} {stages[0]}{attempt}"
        return f"{len(self.due)} prescriptions: {', '.join(stages)}"

    @property
    def tags(self) -> list[str]:
        return sorted({f"stage:{STAGES[one.status]}" for one in self.due}
                      | {f"hospital:{one.hospital}" for one in self.due}
                      | {f"chain:{one.chain}" for one in self.due if one.chain}
                      | ({"retry"} if any(one.attempts for one in self.due) else set()))


def batches(due: Sequence[Due], limit: int) -> list[Batch]:
    """What failed before goes alone; the rest together, up to the limit."""
    alone = [Batch((one,)) for one in due if one.attempts]
    rest = [one for one in due if not one.attempts]
    return [Batch(tuple(rest[i:i + limit])) for i in range(0, len(rest), limit)] + alone


class Dispatcher:
    """Claims due prescriptions and runs them. Many of them, on many machines, share one queue."""

    def __init__(self, city: City, settings: Settings) -> None:
        self._city = city
        self._settings = settings
        self._lease = timedelta(seconds=settings.lease_seconds)
        self._running: dict[asyncio.Task[None], Batch] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop; then finishes what it has begun."""
        async with asyncio.TaskGroup() as helpers:
            relay = helpers.create_task(self._relay(stop))
            renewal = helpers.create_task(self._renew(stop))
            while not stop.is_set():
                if not self._dispatch():
                    await self._pause(stop)
                await asyncio.sleep(0)
            if self._running:
                await asyncio.wait(self._running)
            await relay
            await renewal

    def _dispatch(self) -> bool:
        """Start what is due as far as there is room; False when there is nothing to start."""
        if len(self._running) >= self._settings.runs_at_once:
            return False
        with self._city.db.transaction() as session:
            due = prescriptions.claim_due(session, self._settings.worker, at=self._city.now(), lease=self._lease,
                                          limit=self._settings.batch_limit)
        for batch in batches(due, self._settings.batch_limit):
            run = asyncio.create_task(self._run(batch))
            self._running[run] = batch
            run.add_done_callback(self._running.pop)
        return bool(due)

    async def _run(self, batch: Batch) -> None:
        started = time.monotonic()
        try:
            with prefect.tags(*batch.tags, f"worker:{self._settings.worker}"):
                await prescription_lifecycle.with_options(flow_run_name=batch.name)(
                    batch.ids, fine=len(batch.due) <= self._settings.fine_limit, return_state=True)
        except Exception as error:
            # Prefect is the window, not the engine room: without it we pause, and the rows stay due.
            log.error("run.not_started", batch=len(batch.due), error=type(error).__name__)
            await asyncio.sleep(2)
        finally:
            with self._city.db.transaction() as session:
                prescriptions.release(session, self._settings.worker, batch.ids)
        log.info("run.ended", run=batch.name, seconds=round(time.monotonic() - started, 2))

    async def _pause(self, stop: asyncio.Event) -> None:
        """Until the next look, a finished run, or the end."""
        waiting = [asyncio.create_task(stop.wait())]
        await asyncio.wait([*waiting, *self._running], timeout=self._settings.poll_seconds,
                           return_when=asyncio.FIRST_COMPLETED)
        for one in waiting:
            one.cancel()

    async def _relay(self, stop: asyncio.Event) -> None:
        """Deliver the outbox."""
        while not stop.is_set():
            delivered = 0
            try:
                delivered = await deliver_due(self._city)
            except Exception as error:
                log.error("outbox.stopped", error=type(error).__name__)
                await asyncio.sleep(2)
            if not delivered:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), self._settings.poll_seconds)

    async def _renew(self, stop: asyncio.Event) -> None:
        """Keep the leases of what is being worked on."""
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._settings.lease_seconds / 3)
            if ids := [one for batch in self._running.values() for one in batch.ids]:
                with self._city.db.transaction() as session:
                    prescriptions.renew(session, self._settings.worker, ids, until=self._city.now() + self._lease)

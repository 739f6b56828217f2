"""The dispatcher: due rows become flow runs, in this process, on one event loop."""

import asyncio
import contextlib
import secrets
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import prefect

from domain.lifecycle import STAGES
from flows.lifecycle import BESIDE, prescription_lifecycle
from infra.db import prescriptions
from infra.db.prescriptions import Due
from infra.log import get_logger
from infra.settings import Settings
from tasks.city import City
from tasks.line import PATIENCE, Hop
from tasks.reports import deliver_due

log = get_logger(__name__)

ALONE = 3
"""Failed prescriptions of one claim that come back each in a run of its own; a crowd of them has one cause."""
SLOW_RUNS = 10
"""Times `runs_at_once` that may be open when partners are slow: a run that waits for one costs Prefect nothing."""


@dataclass(frozen=True)
class Batch:
    """Prescriptions that go through one flow run."""

    due: tuple[Due, ...]
    token: str = ""
    """Whose lease it is."""

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


def batches(due: Sequence[Due], limit: int, token: str = "") -> list[Batch]:
    """What failed before goes alone, unless it is a crowd; the rest together, up to the limit."""
    failed = [one for one in due if one.attempts]
    rest = [one for one in due if not one.attempts]
    crowds = [group[i:i + limit] for group in (rest, failed[ALONE:]) for i in range(0, len(group), limit)]
    return [Batch((one,), token) for one in failed[:ALONE]] + [Batch(tuple(crowd), token) for crowd in crowds]


class Dispatcher:
    """Claims due prescriptions and runs them. Many of them, on many machines, share one queue."""

    def __init__(self, city: City, settings: Settings) -> None:
        self._city = city
        self._settings = settings
        self._lease = timedelta(seconds=settings.lease_seconds)
        self._runs: dict[asyncio.Task[None], float] = {}
        """Open runs and when they began (monotonic seconds)."""
        self._leased: dict[asyncio.Task[None] | asyncio.Task[Hop], Batch] = {}
        """What is being worked on: runs with their batches, and prescriptions that go on beside their run."""
        self._ready: deque[Batch] = deque()
        """Claimed, and waiting for room."""

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop; then finishes what it has begun."""
        done = asyncio.Event()
        async with asyncio.TaskGroup() as helpers:
            helpers.create_task(self._relay(done))
            helpers.create_task(self._renew(done))
            while not stop.is_set():
                if not await self._dispatch():
                    await self._pause(stop)
                await asyncio.sleep(0)
            for batch in self._ready:
                self._let_go(batch.token, batch.ids)
            while self._leased:
                await asyncio.wait(self._leased)
            done.set()

    async def _dispatch(self) -> bool:
        """Start what is due as far as there is room; False when there is nothing to start."""
        if not self._ready and self._room():
            try:
                self._ready.extend(self._claim())
            except Exception as error:
                # The database may be away for a moment; the rows stay due.
                log.error("claim.failed", error=type(error).__name__)
                await asyncio.sleep(2)
        started = False
        while self._ready and self._room():
            self._start(self._ready.popleft())
            started = True
        return started

    def _start(self, batch: Batch) -> None:
        run = asyncio.create_task(self._run(batch))
        self._runs[run], self._leased[run] = time.monotonic(), batch
        run.add_done_callback(self._runs.pop)
        run.add_done_callback(self._leased.pop)

    def _room(self) -> bool:
        """Whether one more run may start. A run that has lost patience with a partner takes no room."""
        at_once = self._settings.runs_at_once
        lately = time.monotonic() - PATIENCE
        return sum(began > lately for began in self._runs.values()) < at_once and len(self._runs) < SLOW_RUNS * at_once

    def _claim(self) -> list[Batch]:
        # A token per claim: a lease that ran out while we were busy is not given back by its former holder.
        token = f"{self._settings.worker[:40]}/{secrets.token_hex(6)}"
        working_on = [one for batch in self._leased.values() for one in batch.due]
        # A partner that keeps us waiting may hold so many, and no more: the room is for the others.
        full = [lane for lane, count in Counter(one.lane for one in working_on).items()
                if count >= 2 * self._settings.batch_limit]
        with self._city.db.transaction("lease.claimed") as session:
            due = prescriptions.claim_due(session, token, at=self._city.now(), lease=self._lease,
                                          limit=self._settings.batch_limit, without=full)
        # What is still running here has lost its lease to a stall of ours; it must not run twice at once.
        busy = {one.id for one in working_on}
        return batches([one for one in due if one.id not in busy], self._settings.batch_limit, token)

    async def _run(self, batch: Batch) -> None:
        started = time.monotonic()
        beside: dict[str, asyncio.Task[Hop]] = {}
        BESIDE.set(beside)  # this task's own, and its children's
        try:
            with prefect.tags(*batch.tags, f"worker:{self._settings.worker}"):
                await prescription_lifecycle.with_options(flow_run_name=batch.name)(
                    batch.ids, fine=len(batch.due) <= self._settings.fine_limit, return_state=True)
        except Exception as error:
            # Prefect is the window, not the engine room: without it we pause, and the rows stay due.
            log.error("run.not_started", batch=len(batch.due), error=type(error).__name__)
            await asyncio.sleep(2)
        finally:
            for one in (one for one in batch.due if one.id in beside):
                self._go_on_with(one, batch.token, beside[one.id])
            self._let_go(batch.token, [one for one in batch.ids if one not in beside])
        log.info("run.ended", run=batch.name, seconds=round(time.monotonic() - started, 2), beside=len(beside))

    def _go_on_with(self, one: Due, token: str, hop: asyncio.Task[Hop]) -> None:
        """Its run has ended without it; its lease is kept until it has."""
        self._leased[hop] = Batch((one,), token)

        def ended(hop: asyncio.Task[Hop]) -> None:
            del self._leased[hop]
            self._let_go(token, [one.id])

        hop.add_done_callback(ended)

    def _let_go(self, token: str, ids: Iterable[str]) -> None:
        """Give leases back; if even that fails, they run out."""
        with contextlib.suppress(Exception), self._city.db.transaction("lease.released") as session:
            prescriptions.release(session, token, list(ids))

    async def _pause(self, stop: asyncio.Event) -> None:
        """Until the next look, a finished run, or the end."""
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait([stopped, *self._runs], timeout=self._settings.poll_seconds,
                           return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()

    async def _relay(self, done: asyncio.Event) -> None:
        """Deliver the outbox."""
        while not done.is_set():
            delivered = 0
            try:
                delivered = await deliver_due(self._city, lease=self._lease)
            except Exception as error:
                log.error("outbox.stopped", error=type(error).__name__)
                await asyncio.sleep(2)
            if not delivered:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(done.wait(), self._settings.poll_seconds)

    async def _renew(self, done: asyncio.Event) -> None:
        """Keep the leases of what is being worked on, until the last of it is done."""
        while not done.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), self._settings.lease_seconds / 3)
            for batch in [*self._leased.values(), *self._ready]:
                try:
                    with self._city.db.transaction("lease.renewed") as session:
                        prescriptions.renew(session, batch.token, batch.ids, until=self._city.now() + self._lease)
                except Exception as error:
                    log.error("lease.not_renewed", error=type(error).__name__)

"""The dispatcher: due rows become flow runs, in this process, on one event loop."""

import asyncio
import contextlib
import secrets
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import prefect

from domain.lifecycle import STAGES
from flows.batch import SLOW, batch_of_prescriptions
from infra.db import prescriptions
from infra.db.prescriptions import Due
from infra.db.queue import look, portion
from infra.log import get_logger
from infra.settings import Settings
from infra.topology import Kind
from tasks.city import City
from tasks.line import Hop
from tasks.reports import deliver_to, waited_for
from tasks.uploads import upload_due

log = get_logger(__name__)

SLOW_RUNS = 10
"""Times `runs_at_once` that may be open when partners are slow: a run that waits for one costs Prefect nothing."""


@dataclass(frozen=True)
class Batch:
    """Prescriptions that go through one flow run."""

    due: tuple[Due, ...]

    @property
    def ids(self) -> list[str]:
        return [row.id for row in self.due]

    @property
    def name(self) -> str:
        """The stages, and how many prescriptions. No id: a search for an id must find only the prescription's own run."""
        stages = ", ".join(sorted({STAGES[row.status] for row in self.due}))
        return f"batch of {len(self.due)}: {stages}{' (again)' if all(row.attempts for row in self.due) else ''}"

    @property
    def tags(self) -> list[str]:
        return sorted({"batch"} | {f"stage:{STAGES[row.status]}" for row in self.due}
                      | {f"hospital:{row.hospital}" for row in self.due}
                      | {f"chain:{row.chain}" for row in self.due if row.chain}
                      | ({"retry"} if any(row.attempts for row in self.due) else set()))


def batches(due: Sequence[Due], limit: int) -> list[Batch]:
    """What failed before apart from the rest, each up to the limit: troubles of one cause come back together."""
    groups = [row for row in due if row.attempts], [row for row in due if not row.attempts]
    return [Batch(tuple(group[i:i + limit])) for group in groups for i in range(0, len(group), limit)]


class Dispatcher:
    """Claims due prescriptions and runs them. Many of them, on many machines, share one queue."""

    def __init__(self, city: City, settings: Settings) -> None:
        self._city = city
        self._settings = settings
        self._lease = timedelta(seconds=settings.lease_seconds)
        self._name = settings.worker[:40]
        self._held: dict[str, tuple[str, str]] = {}
        """Token and lane of every prescription we have a lease on."""
        self._ready: deque[Batch] = deque()
        """Claimed, and waiting for room."""
        self._runs: dict[asyncio.Task[None], dict[str, asyncio.Task[Hop]]] = {}
        """Open runs, each with those of its prescriptions whose partner is slow."""
        self._beside: set[asyncio.Task[Hop]] = set()
        """Hops whose run has ended without them."""

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop; then finishes what it has begun."""
        done = asyncio.Event()
        async with asyncio.TaskGroup() as helpers:
            helpers.create_task(self._relay(done))
            helpers.create_task(self._upload(done))
            helpers.create_task(self._renew(done))
            while not stop.is_set():
                if not await self._dispatch():
                    await self._pause(stop)
                await asyncio.sleep(0)
            for batch in self._ready:
                self._let_go(batch.ids)
            while self._runs or self._beside:
                await asyncio.wait([*self._runs, *self._beside])
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

    def _room(self) -> bool:
        """Whether one more run may start. A run that waits for a slow partner takes no room."""
        at_once = self._settings.runs_at_once
        return sum(not slow for slow in self._runs.values()) < at_once and len(self._runs) < SLOW_RUNS * at_once

    def _claim(self) -> list[Batch]:
        if not (count := self._portion()):
            return []
        # A token per claim: a lease that ran out while we were busy is not given back by its former holder.
        token = f"{self._name}/{secrets.token_hex(6)}"
        # A partner that keeps us waiting may hold so many, and no more: the room is for the others.
        full = [lane for lane, count in Counter(lane for _, lane in self._held.values()).items()
                if count >= 2 * self._settings.batch_limit]
        with self._city.db.transaction("lease.claimed") as session:
            due = prescriptions.lease_due(session, token, at=self._city.now(), lease=self._lease,
                                          limit=count, without=full)
        # What we still hold has lost its lease to a stall of ours: it keeps the new one, and does not run twice.
        fresh = [row for row in due if row.id not in self._held]
        self._held |= {row.id: (token, row.lane) for row in due}
        return batches(fresh, self._settings.batch_limit)

    def _portion(self) -> int:
        """How many of those due are ours to take; a look that finds nothing commits nothing."""
        slow = len(self._beside) + sum(not hop.done() for hops in self._runs.values() for hop in hops.values())
        with self._city.db.reading() as session:
            queue = look(session, self._name, kind=Kind.WORKER, at=self._city.now(), room=self._settings.batch_limit)
        return portion(queue, self._settings.batch_limit, slow)

    def _start(self, batch: Batch) -> None:
        slow: dict[str, asyncio.Task[Hop]] = {}
        run = asyncio.create_task(self._run(batch, slow))
        self._runs[run] = slow
        run.add_done_callback(self._runs.pop)

    async def _run(self, batch: Batch, slow: dict[str, asyncio.Task[Hop]]) -> None:
        started = time.monotonic()
        SLOW.set(slow)  # this task's own, and its children's
        try:
            with prefect.tags(*batch.tags, f"worker:{self._settings.worker}"):
                await batch_of_prescriptions.with_options(flow_run_name=batch.name)(batch.ids, return_state=True)
        except Exception as error:
            # Work needs Prefect only to be shown. If Prefect is down, pause; the rows stay due.
            log.error("run.not_started", batch=len(batch.due), error=type(error).__name__)
            await asyncio.sleep(2)
        finally:
            for prescription_id, hop in slow.items():
                self._go_on_with(prescription_id, hop)
            self._let_go([id for id in batch.ids if id not in slow])
        log.info("run.ended", run=batch.name, seconds=round(time.monotonic() - started, 2), beside=len(slow))

    def _go_on_with(self, prescription_id: str, hop: asyncio.Task[Hop]) -> None:
        """Its run has ended without it; its lease is kept until it has."""
        self._beside.add(hop)
        hop.add_done_callback(self._beside.discard)
        hop.add_done_callback(lambda _: self._let_go([prescription_id]))

    def _let_go(self, ids: Iterable[str]) -> None:
        """Give leases back; if even that fails, they run out."""
        held = {id: self._held.pop(id)[0] for id in ids}
        with contextlib.suppress(Exception), self._city.db.transaction("lease.released") as session:
            for token, of_it in _by_token(held).items():
                prescriptions.release(session, token, of_it)

    async def _pause(self, stop: asyncio.Event) -> None:
        """Until the next look, a finished run, or the end."""
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait([stopped, *self._runs], timeout=self._settings.poll_seconds,
                           return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()

    async def _relay(self, done: asyncio.Event) -> None:
        """Deliver the outbox, to each partner by itself: one that is slow keeps only its own messages waiting."""
        going: dict[str, asyncio.Task[int]] = {}
        while not done.is_set():
            going = {partner: task for partner, task in going.items() if not task.done()}
            try:
                for partner in waited_for(self._city):
                    if partner not in going:
                        going[partner] = asyncio.create_task(self._deliver(partner))
            except Exception as error:
                log.error("outbox.stopped", error=type(error).__name__)
                await asyncio.sleep(2)
            over = asyncio.create_task(done.wait())
            await asyncio.wait([over, *going.values()], timeout=self._settings.poll_seconds,
                               return_when=asyncio.FIRST_COMPLETED)
            over.cancel()
            await asyncio.sleep(0)
        if going:
            await asyncio.wait(going.values())

    async def _upload(self, done: asyncio.Event) -> None:
        """Tell the fund of packs, a call after the other; what fails has its own time to come again."""
        while not done.is_set():
            try:
                if await upload_due(self._city):
                    continue
            except Exception as error:
                log.error("uploads.stopped", error=type(error).__name__)
                await asyncio.sleep(2)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), self._settings.poll_seconds)

    async def _deliver(self, partner: str) -> int:
        try:
            return await deliver_to(self._city, partner, lease=self._lease)
        except Exception as error:
            log.error("outbox.stopped", partner=partner, error=type(error).__name__)
            await asyncio.sleep(2)
            return 0

    async def _renew(self, done: asyncio.Event) -> None:
        """Keep the leases of what is being worked on, until the last of it is done."""
        while not done.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), self._settings.lease_seconds / 3)
            try:
                with self._city.db.transaction("lease.renewed") as session:
                    for token, ids in _by_token({id: token for id, (token, _) in self._held.items()}).items():
                        prescriptions.renew(session, token, ids, until=self._city.now() + self._lease)
            except Exception as error:
                log.error("lease.not_renewed", error=type(error).__name__)


def _by_token(held: Mapping[str, str]) -> dict[str, list[str]]:
    by_token: dict[str, list[str]] = {}
    for prescription_id, token in held.items():
        by_token.setdefault(token, []).append(prescription_id)
    return by_token

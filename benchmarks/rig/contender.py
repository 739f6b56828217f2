"""One contender in a separate process: says when it is ready, waits for the start, works until it is stopped.

It watches its folder for the files `go`, `start` and `stop`, not for signals: a Prefect flow run takes SIGTERM for itself.
At `go` it warms up with a few prescriptions that are not counted, from their first step to the last. A contender with a
queue finds the others in it once they are due; one without waits for `start`.

All of them run the same steps on the same kind of city and deliver the same outbox. They differ in what decides the next
step. `ours` and `plain` meet pharmacists and chains as the product does, through the queue. `stock`, `dbos` and `absurd`
call them between two steps: they never wait for people and write no hops, which is in their favour.
"""

import argparse
import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from benchmarks.rig.city import Act, hand_over, null_city
from benchmarks.rig.cost import libpq
from benchmarks.rig.floor import Floor, Load
from benchmarks.rig.samples import sampling
from domain.lifecycle import Status
from infra.db import prescriptions
from infra.db.rows import PrescriptionRow
from infra.log import configure
from infra.settings import get_settings
from infra.topology import Kind
from tasks import line
from tasks.city import City
from tasks.reports import deliver_due
from tests.support.city import pass_review

AT_ONCE = 10
"""Prescriptions a baseline works on at the same time, as many as one of our batches."""

Advance = Callable[[line.Step, str], Awaitable[Any]]


@dataclass(frozen=True)
class Errand:
    """What one contender's process is to do, and the words it waits for."""

    folder: Path
    warm: list[str]
    """Prescriptions before the clock starts."""
    ids: list[str]
    """Those that count, if there is no queue to find them in."""
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def word(self, *words: str) -> None:
        """Until one of them has come."""
        while not any((self.folder / word).exists() for word in words):  # noqa: ASYNC110  # they come from another process
            await asyncio.sleep(0.05)

    async def at_start(self, then: Callable[[], None]) -> None:
        """Without a clock that starts, until it is to stop."""
        await self.word("start", "stop")
        then()

    async def ready(self) -> None:
        (self.folder / "ready").touch()
        await self.word("go")

    async def stopped(self) -> None:
        await self.word("stop")
        self.stop.set()

    async def each(self, run: Callable[[str], Awaitable[Any]]) -> None:
        """Warm up, wait for the start, do what counts; `AT_ONCE` at the same time."""
        await _all(self.warm, run)
        await self.word("start")
        await _all(self.ids, run)
        await self.stop.wait()


async def ours(city: City, errand: Errand) -> None:
    """The product: dispatcher, batches, flow runs."""
    from flows import home
    home.city = lambda: city  # type: ignore[assignment]  # before any flow asks for it
    from flows.dispatcher import Dispatcher
    from flows.prefect_server import part_of
    async with home.prefect_clients(), part_of(city, Kind.WORKER):
        await errand.ready()
        await Dispatcher(city, get_settings()).run(errand.stop)


async def window(city: City, errand: Errand) -> None:
    """Who draws each prescription in Prefect, beside our workers."""
    from prefect.client.orchestration import get_client

    from flows import home
    from flows.window import DEPLOYMENT, Window
    from tasks.window import FLOW
    async with home.prefect_clients():
        async with get_client() as client:
            await client.create_deployment(await client.create_flow_from_name(FLOW), DEPLOYMENT, enforce_parameter_schema=False)
        await errand.ready()
        drawing = asyncio.create_task(Window(city, get_settings()).keep_drawing())
        await errand.stop.wait()
        drawing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await drawing


async def plain(city: City, errand: Errand) -> None:
    """(a) No orchestrator: claim what is due, hop, let go."""
    settings = get_settings()
    lease = timedelta(seconds=settings.lease_seconds)
    turns = asyncio.Semaphore(AT_ONCE)

    async def run_one(rx_id: str) -> None:
        async with turns:
            await line.hop(city, rx_id)

    await errand.ready()
    async with _outbox_delivered(city, errand.stop):
        while not errand.stop.is_set():
            with city.db.transaction() as session:
                due = prescriptions.lease_due(session, settings.worker, at=city.now(), lease=lease,
                                              limit=settings.batch_limit)
            await asyncio.gather(*(run_one(claimed.id) for claimed in due))
            with city.db.transaction() as session:
                prescriptions.release(session, settings.worker, [claimed.id for claimed in due])
            await asyncio.sleep(0 if due else settings.poll_seconds)


async def floor(city: City, errand: Errand, *, load: Path) -> None:
    """(e) The same number of commits and statements with raw psycopg."""
    raw = Floor(libpq(get_settings().database_url), Load.read(load))

    async def settle(rx_id: str) -> None:
        raw.settle(rx_id)

    await errand.ready()
    await errand.each(settle)
    raw.close()


async def stock(city: City, errand: Errand) -> None:
    """(b) Prefect as it comes: a flow run per prescription, a task run per step, default settings."""
    from prefect import flow, task

    def as_task(step: line.Step) -> Callable[[str], Awaitable[Status]]:
        @task(name=step.__name__)
        async def run(rx_id: str) -> Status:
            return (await step(city, rx_id)).status

        return run

    tasks = {step: as_task(step) for step in line.STEPS.values()}

    @flow
    async def one_prescription(rx_id: str) -> None:
        await _to_settled(city, rx_id, lambda step, rx_id: tasks[step](rx_id))

    await errand.ready()
    async with _outbox_delivered(city, errand.stop):
        await errand.each(one_prescription)


async def dbos(city: City, errand: Errand, *, database: str) -> None:
    """(c) DBOS: a durable workflow per prescription, its id as the workflow's, a durable step per step.

    Started in this process without a queue, which saves it a write and a poll.
    """
    from dbos import DBOS, SetWorkflowID

    DBOS(config={"name": "bench", "system_database_url": database, "log_level": "WARNING"})

    def as_step(step: line.Step) -> Callable[[str], Awaitable[str]]:
        @DBOS.step(name=step.__name__)
        async def run(rx_id: str) -> str:
            return str((await step(city, rx_id)).status)

        return run

    steps = {step: as_step(step) for step in line.STEPS.values()}

    @DBOS.workflow()
    async def one_prescription(rx_id: str) -> None:
        await _to_settled(city, rx_id, lambda step, rx_id: steps[step](rx_id))

    async def start(rx_id: str) -> None:
        with SetWorkflowID(rx_id):
            handle = await DBOS.start_workflow_async(one_prescription, rx_id)
        await handle.get_result()

    DBOS.launch()
    await errand.ready()
    async with _outbox_delivered(city, errand.stop):
        await errand.each(start)
    DBOS.destroy()


async def absurd(city: City, errand: Errand, *, database: str) -> None:
    """(d) Absurd: a durable task per prescription in a queue that all its workers share, a checkpoint per step."""
    from absurd_sdk import AsyncAbsurd, AsyncTaskContext

    app = AsyncAbsurd(libpq(database), queue_name="bench")

    @app.register_task(name="one-prescription")
    async def one_prescription(params: Any, context: AsyncTaskContext) -> None:
        rx_id = params["prescription"]

        async def advance(step: line.Step, rx_id: str) -> None:
            async def run() -> str:
                return str((await step(city, rx_id)).status)

            await context.step(step.__name__, run)

        await _to_settled(city, rx_id, advance)

    await errand.ready()
    async with _outbox_delivered(city, errand.stop):
        working = asyncio.create_task(app.start_worker(concurrency=AT_ONCE, poll_interval=get_settings().poll_seconds))
        await errand.each(lambda rx_id: app.spawn("one-prescription", {"prescription": rx_id}, idempotency_key=rx_id))
        app.stop_worker()
        await working
    await app.close()


def prepare_absurd(database: str) -> None:
    """Its schema and its queue, once for all its workers."""
    import absurdctl
    import psycopg
    from absurd_sdk import Absurd

    with psycopg.connect(libpq(database), autocommit=True) as connection:
        connection.execute(absurdctl.BUNDLED_SCHEMA_SQL)
        Absurd(connection, queue_name="bench").create_queue()



ROUTE: Sequence[Status | Act] = (
    Status.RECEIVED, Status.AUDITED, pass_review, Status.REVIEWED, Status.ALLOCATING, hand_over, Status.FULFILLING,
    Status.FULFILLED)
"""What the line does with a prescription that meets no trouble: steps by status, and people between them."""


async def _to_settled(city: City, rx_id: str, advance: Advance) -> None:
    for stop in ROUTE:
        if isinstance(stop, Status):
            await advance(line.STEPS[stop], rx_id)
        else:
            stop(city, rx_id)


async def _all(ids: list[str], run: Callable[[str], Awaitable[Any]]) -> None:
    turns = asyncio.Semaphore(AT_ONCE)

    async def run_one(rx_id: str) -> None:
        async with turns:
            await run(rx_id)

    await asyncio.gather(*(run_one(rx_id) for rx_id in ids))


@contextlib.asynccontextmanager
async def _outbox_delivered(city: City, stop: asyncio.Event) -> Any:
    """Deliver the outbox beside the work, as our dispatcher does."""
    async def relay() -> None:
        while not stop.is_set():
            if not await deliver_due(city):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), get_settings().poll_seconds)

    async with asyncio.TaskGroup() as beside:
        beside.create_task(relay())
        yield


CONTENDERS: Mapping[str, Callable[..., Awaitable[None]]] = {
    "ours": ours, "window": window, "plain": plain, "floor": floor, "stock": stock, "dbos": dbos, "absurd": absurd}


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contender", choices=sorted(CONTENDERS))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--orchestrator-database", default="", help="of one that is a library on PostgreSQL")
    parser.add_argument("--samples", type=Path)
    parser.add_argument("--load", type=Path, help="what the floor does, as ours was counted")
    parser.add_argument("--warm", type=int, default=0, help="so many of all are for the warm-up")
    parser.add_argument("--part", type=int, nargs=2, default=(0, 1), help="which part of how many is its own, if there is no queue")
    options = parser.parse_args()
    settings = get_settings()
    configure(settings.log_level)
    city = null_city(options.folder, settings.database_url, people=options.contender in ("ours", "window", "plain"))
    with city.db.reading() as session:
        part, parts = options.part
        ids = list(session.scalars(sa.select(PrescriptionRow.id).order_by(PrescriptionRow.id)))
    errand = Errand(options.folder, ids[:options.warm][part::parts], ids[options.warm:][part::parts])
    run = CONTENDERS[options.contender]
    if options.orchestrator_database:
        run = partial(run, database=options.orchestrator_database)
    if options.load:
        run = partial(run, load=options.load)
    with sampling(options.samples) as sample:
        async with asyncio.TaskGroup() as beside:
            beside.create_task(errand.stopped())
            beside.create_task(errand.at_start(sample))
            await run(city, errand)
    city.db.close()


if __name__ == "__main__":
    asyncio.run(main())

"""The resident lifecycle worker: `python -m flows.worker`. Dispatcher and flows in one process."""

import asyncio
import signal
from threading import Thread

from prefect.client.orchestration import get_client

from flows.dead import bury_own
from flows.dispatcher import Dispatcher
from flows.home import city
from flows.prefect_server import part_of
from infra import metrics
from infra.log import configure, get_logger
from infra.settings import get_settings
from infra.topology import Kind

log = get_logger(__name__)


async def work() -> None:
    """Work until SIGTERM or SIGINT; then finish what was begun and leave."""
    settings = get_settings()
    stop = told_to_stop()
    home = city()
    # One client for the life of the process: each flow run would open its own, and that costs more than the hop.
    async with part_of(home, Kind.WORKER), get_client():
        metrics.serve(settings.metrics_port, settings.metrics_host)
        log.info("worker.started", worker=settings.worker, city=settings.city)
        try:
            await bury_own(settings.worker)
        except Exception as error:  # Prefect may be down; the outbox does not wait for it.
            log.warning("worker.dead_runs_not_buried", error=type(error).__name__)
        await Dispatcher(home, settings).run(stop)
    log.info("worker.stopped", worker=settings.worker)


def told_to_stop() -> asyncio.Event:
    """Set by SIGTERM or SIGINT. Call it before anything starts a thread.

    While a flow runs, Prefect has a SIGTERM handler of its own that crashes the run; so the signals are blocked, and
    a thread takes them.
    """
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)

    def wait() -> None:
        signal.sigwait(ends)
        loop.call_soon_threadsafe(stop.set)

    Thread(target=wait, name="signals", daemon=True).start()
    return stop


def main() -> None:
    configure(get_settings().log_level)
    asyncio.run(work())


if __name__ == "__main__":
    main()

"""The resident lifecycle worker: `python -m flows.worker`. Dispatcher and flows in one process."""

import asyncio

from flows.dead import bury_own
from flows.dispatcher import Dispatcher
from flows.home import city, prefect_clients, told_to_stop
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
    async with prefect_clients(), part_of(home, Kind.WORKER):
        metrics.serve(settings.metrics_port, settings.metrics_host)
        log.info("worker.started", worker=settings.worker, city=settings.city)
        try:
            async with asyncio.timeout(10):
                await bury_own(settings.worker)
        except Exception as error:  # Prefect may be down; the outbox does not wait for it.
            log.warning("worker.dead_runs_not_buried", error=type(error).__name__)
        await Dispatcher(home, settings).run(stop)
    log.info("worker.stopped", worker=settings.worker)


def main() -> None:
    configure(get_settings().log_level)
    asyncio.run(work())


if __name__ == "__main__":
    main()

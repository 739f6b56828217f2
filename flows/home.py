"""What a process of ours has once: the city it works for, its way to Prefect, and the word that it should stop."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from threading import Thread
from typing import Any, Literal, cast

from prefect.client.orchestration import PrefectClient
from prefect.context import AsyncClientContext, SyncClientContext
from prefect.settings import PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED, temporary_settings

from infra.settings import get_settings
from tasks.city import City, open_city

NOWHERE = Path(os.devnull)
"""Where our flows keep results: they have none. Without a named place, Prefect asks its server for one at every run.
The whole event loop would wait for the answer.
"""


@cache
def city() -> City:
    """The city of the settings. Raises `NeedsOperator` naming what is missing."""
    return open_city(get_settings())


@asynccontextmanager
async def prefect_clients() -> AsyncIterator[None]:
    """One client of each kind for everything inside the block, whether Prefect is up or not.

    Otherwise each flow run opens its own, and their TLS contexts cost more than a hop.
    """
    # `part_of` compares the versions, and can wait for it.
    with temporary_settings({PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED: False}), SyncClientContext.get_or_create():
        async with AsyncClientContext.get_or_create():
            yield


async def request(client: PrefectClient, method: Literal["POST", "PATCH", "PUT"], path: str, body: object) -> Any:
    """What Prefect answers; None for nothing. For paths that the client's own list lacks. Raises what the client raises."""
    answer = await client.request(method, cast("Any", path), json=body)
    return answer.json() if answer.content else None


def told_to_stop() -> asyncio.Event:
    """Set by SIGTERM or SIGINT; a second one ends the process at once. Call it before anything starts a thread.

    While a flow runs, Prefect's SIGTERM handler would crash the run. So the signals are blocked, and a thread takes them.
    """
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)

    def wait() -> None:
        signal.sigwait(ends)
        loop.call_soon_threadsafe(stop.set)
        signal.sigwait(ends)
        os._exit(1)

    Thread(target=wait, name="signals", daemon=True).start()
    return stop

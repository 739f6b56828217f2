"""What a process of ours has once: the city it works for, and the word that it should stop."""

import asyncio
import os
import signal
from functools import cache
from threading import Thread

from infra.settings import get_settings
from tasks.city import City, open_city


@cache
def city() -> City:
    """The city of the settings. Raises `NeedsOperator` naming what is missing."""
    return open_city(get_settings())


def told_to_stop() -> asyncio.Event:
    """Set by SIGTERM or SIGINT; a second one ends the process at once. Call it before anything starts a thread.

    While a flow runs, Prefect has a SIGTERM handler of its own that crashes the run; so the signals are blocked, and
    a thread takes them.
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

"""Prefect's server: started only in a shape that loses nothing, and asked by our workers what shape it has.

`python -m flows.prefect_server all` is one process; `api` (as many as you like) and `services` (one) are the two halves.
"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError as HTTPStatusError
from prefect.settings import get_current_settings

from domain.errors import NeedsOperator
from infra.log import configure, get_logger
from infra.settings import get_settings, weak
from infra.topology import ANY_PAGE, IN_MEMORY, Kind, Prefect, joined, judge_prefect, refuse
from tasks.city import City

log = get_logger(__name__)

PATIENCE_SECONDS = 10
"""How long a starting worker waits for the server's word on itself."""


@asynccontextmanager
async def part_of(home: City, kind: Kind) -> AsyncIterator[None]:
    """Be part of the installation until the block ends: migrated, checked (with Prefect, if it answers) and listed.

    Raises `NeedsOperator` if that would make a topology that loses work.
    """
    settings, prefect = get_settings(), await ask()
    with joined(home.db, kind, settings.worker, local_archive=settings.archive.kind == "local", prefect=prefect):
        later = asyncio.create_task(_check_later()) if prefect is None else None
        try:
            yield
        finally:
            if later:
                later.cancel()


async def _check_later() -> None:
    """Prefect was away when we started. If it turns out to be one we must not work with, we end as if told to."""
    try:
        prefect = None
        while not prefect:
            await asyncio.sleep(PATIENCE_SECONDS)
            prefect = await ask()
        refuse(judge_prefect(prefect))
    except NeedsOperator as error:
        log.error("prefect.refused", code=error.code)
        # Not `raise_signal`: that one goes to this thread, which has it blocked.
        os.kill(os.getpid(), signal.SIGTERM)


async def ask() -> Prefect | None:
    """What the server at `PREFECT_API_URL` says of itself; None if it does not answer: then hops wait for it anyway.

    Raises `NeedsOperator` (code `prefect_password`) if it does not know us.
    """
    try:
        async with asyncio.timeout(PATIENCE_SECONDS), get_client() as client:
            return described(await client.api_version(), (await client.request("GET", "/admin/settings")).json()["server"],
                             get_settings().prefect_servers)
    except Exception as error:
        if isinstance(error, HTTPStatusError) and error.response.status_code == 401:
            raise NeedsOperator("Prefect's server refuses our password: PREFECT_API_AUTH_STRING of this process must be "
                                "the server's PREFECT_SERVER_API_AUTH_STRING", code="prefect_password") from None
        log.warning("prefect.not_asked", error=type(error).__name__)
        return None


def described(server: str, settings: dict[str, Any], processes: int) -> Prefect:
    """A server from its version and its settings as it publishes them; there its database's address is masked."""
    return Prefect(version("prefect"), server, processes, _database(settings["database"]), _shared(settings),
                   # Masked, but empty where it is not set.
                   bool(settings.get("api", {}).get("auth_string")), _origins(settings))


def here(processes: int) -> Prefect:
    """The server this process would be, from the settings in its environment."""
    ours = version("prefect")
    settings = get_current_settings().server.model_dump()
    if url := get_current_settings().server.database.connection_url:
        settings["database"]["connection_url"] = url.get_secret_value()
    auth = get_current_settings().server.api.auth_string
    return Prefect(ours, ours, processes, _database(settings["database"]), _shared(settings),
                   auth is not None and not weak(auth.get_secret_value()), _origins(settings))


def _origins(settings: dict[str, Any]) -> str:
    return str(settings.get("api", {}).get("cors_allowed_origins") or ANY_PAGE)


def _shared(settings: dict[str, Any]) -> dict[str, str]:
    shared = {}
    for name in IN_MEMORY:
        path = name.removeprefix("PREFECT_SERVER_").lower()
        group = next(name for name in ("events", "concurrency", "worker_channel", "docket") if path.startswith(name))
        value = settings.get(group, {}).get(path.removeprefix(f"{group}_"))
        if value is not None:  # An older server does not know all of them.
            # An address may hold a password.
            shared[name] = str(value).partition("://")[0]
    return shared


def _database(settings: dict[str, Any]) -> str:
    address = str(settings.get("connection_url") or settings.get("driver") or "sqlite")
    return next((kind for kind in ("sqlite", "postgresql") if address.startswith(kind)), "")


def main() -> None:
    """Become the server. Raises `NeedsOperator` if more than one process would share what is in memory."""
    parser = argparse.ArgumentParser(prog="python -m flows.prefect_server", description=__doc__)
    parser.add_argument("part", choices=("all", "api", "services"))
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", default="4200")
    options = parser.parse_args()
    settings = get_settings()
    configure(settings.log_level)
    # Half a server is never alone.
    refuse(judge_prefect(here(settings.prefect_servers if options.part == "all" else max(2, settings.prefect_servers))))
    words = {"all": ["start", "--host", options.host, "--port", options.port],
             "api": ["start", "--no-services", "--host", options.host, "--port", options.port],
             "services": ["services", "start"]}[options.part]
    os.execv(sys.executable, [sys.executable, "-m", "prefect", "server", *words])  # noqa: S606


if __name__ == "__main__":
    main()

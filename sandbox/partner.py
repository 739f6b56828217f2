"""What every simulated partner has in common: a command line, a book, faults, and three open doors."""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from sandbox.book import Book
from sandbox.faults import KNOWN, Faults, FaultyLine, by_bytes
from sandbox.loopback import NO_CERTIFICATES


class Background:
    """Work that goes on between requests; all of it ends with the process."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()
        # One for all of it: to make a client costs more than the request.
        self.client = httpx.AsyncClient(timeout=10, trust_env=False, verify=NO_CERTIFICATES)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def stop(self) -> None:
        for task in list(self._running):
            task.cancel()
        for task in list(self._running):
            with suppress(asyncio.CancelledError):
                await task
        await self.client.aclose()


@dataclass
class Setting:
    """What a partner is started with."""

    state: Path
    seed: int = 1
    pace: float = 1.0
    """Every waiting time is multiplied by this; 0.1 is ten times as fast."""
    faults: Faults = field(default_factory=lambda: Faults(1))
    urls: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)


def partner_app(
    name: str,
    setting: Setting,
    book: Book,
    show_book: Callable[[], dict[str, Any]],
    background: Background,
    at_start: Callable[[], None] = lambda: None,
    key_of: Callable[[str, str, bytes], tuple[str, str]] = by_bytes,
) -> FastAPI:
    """An application with `GET /health`, `GET /book` and `POST /sandbox/faults`, behind a faulty line."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        at_start()
        yield
        await background.stop()
        book.close()

    app = FastAPI(title=name, lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(FaultyLine, faults=setting.faults, key_of=key_of)

    @app.exception_handler(RequestValidationError)
    async def broken_request(_: Request, error: RequestValidationError) -> JSONResponse:
        # Where it is broken, never with what: a value may be a name.
        paths = ["/".join(map(str, problem["loc"])) for problem in error.errors()]
        return JSONResponse({"error": {"code": "broken_request", "message": ", ".join(paths)}}, 400)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok", "partner": name}

    @app.get("/book")
    async def read_book() -> JSONResponse:
        # As it is: the framework would walk through every value of a large book first.
        return JSONResponse(show_book())

    @app.post("/sandbox/faults")
    async def set_faults(request: Request) -> dict[str, Any]:
        try:
            setting.faults.update(await request.json())
        except ValueError as error:
            raise HTTPException(422, str(error)) from None
        return setting.faults.settings

    return app


def run(
    name: str,
    make_app: Callable[[Setting], FastAPI],
    *,
    urls: dict[str, str],
    secrets: dict[str, str],
) -> None:
    """Start a partner from the command line and serve until SIGTERM.

    `urls` are further options (name: help); `secrets` are environment variables (name: help), one ending in `_` all
    that begin so.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m sandbox.{name}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="environment:\n"
        + "\n".join(f"  {key}: {text}" for key, text in secrets.items())
        + "\n\nfaults (JSON, also POST /sandbox/faults):\n"
        + "\n".join(f"  {key}: {text}" for key, text in KNOWN.items()),
    )
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--state", type=Path, required=True, help="folder of the partner's book")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pace", type=float, default=1.0, help="multiplies every waiting time")
    parser.add_argument("--faults", type=json.loads, default={}, help="JSON, see below")
    for url, text in urls.items():
        parser.add_argument(f"--{url}", default="", help=text)
    options = parser.parse_args()
    missing = [key for key in secrets if not key.endswith("_") and not os.environ.get(key)]
    if missing:
        sys.exit(f"set {', '.join(missing)}")
    setting = Setting(
        options.state,
        options.seed,
        options.pace,
        Faults(options.seed, options.faults),
        {url: str(getattr(options, url.replace("-", "_"))).rstrip("/") for url in urls},
        {key: value for key, value in os.environ.items()
         if key in secrets or any(key.startswith(group) for group in secrets if group.endswith("_"))},
    )
    # A lost answer looks to the server like our mistake; it is one we ask for, so it is not logged.
    uvicorn.run(
        make_app(setting), host=options.host, port=options.port, log_level="critical", access_log=False,
        timeout_graceful_shutdown=1,
    )

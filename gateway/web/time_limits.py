"""The HTTP line itself: how long a request may take to arrive, and how many may be arriving.

uvicorn has a time-out for silence between two requests and none for a request that never ends. Behind a proxy the proxy
has its own; these hold without one.
"""

import asyncio
from typing import Any, cast

import h11
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from domain.words import Two
from gateway.web.access import denied

HEADER_SECONDS = 10.0
"""From the first moment of a connection, or the first byte after a request, until all headers are there."""
BODY_SECONDS = 60.0
"""From the headers to the last byte of the body: 20 MB at 3 Mbit/s."""
CONNECTIONS = 1000
"""At once, of all senders together; what comes beyond them is closed unheard."""
HEADER_BYTES = 32_768


class Line(H11Protocol):
    """uvicorn's HTTP/1.1 with a time limit on headers and a limit of connections."""

    header_seconds = HEADER_SECONDS
    most = CONNECTIONS
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.abort()
            return
        self._wait()

    def data_received(self, data: bytes) -> None:
        if self._idle():
            if self.conn.their_state is h11.SEND_BODY:
                # Answered before its body was there, and the rest still trickles in.
                self.transport.close()
                return
            if self._late is None:
                self._wait()
        super().data_received(data)
        if not self._idle():
            self._forget()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def _idle(self) -> bool:
        """Whether no request is being worked on."""
        cycle = cast(Any, self.cycle)
        return cycle is None or bool(cycle.response_complete)

    def _wait(self) -> None:
        self._late = self.loop.call_later(self.header_seconds, self._too_late)

    def _forget(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _too_late(self) -> None:
        self._late = None
        if self._idle() and not self.transport.is_closing():
            self.transport.close()


class InTime:
    """Around everything: a body that is not complete in time is 408, at every door."""

    def __init__(self, app: ASGIApp, seconds: float = BODY_SECONDS) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        loop = asyncio.get_running_loop()
        until, arriving = loop.time() + self._seconds, True

        async def punctual() -> Message:
            nonlocal arriving
            if not arriving:
                return await receive()
            try:
                async with asyncio.timeout_at(until):
                    event = await receive()
            except TimeoutError:
                raise denied(408, "too_slow",
                             Two(f"请求未在 {self._seconds:.0f} 秒内传完",
                                 f"the request was not complete within {self._seconds:.0f} s")) from None
            arriving = bool(event.get("more_body", False))
            return event

        await self._app(scope, punctual, send)

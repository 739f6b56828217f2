"""How updates of a chain under examination reach us: at an address of ours, or by asking."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Protocol

from adapters.messages import Reply
from adapters.protocols import Boxed, CallsBack, Polled, WritesUpdates
from domain.chains import OrderUpdate
from domain.errors import InvalidPayload, Refused

LARGEST = 1 << 20
TAKEN = Reply(b'{"result": "applied"}', 200, "application/json")


@dataclass(frozen=True)
class Arrival:
    """An update, once for each time that it came."""

    at: datetime
    raw: bytes = field(repr=False)
    update: OrderUpdate | None
    fault: str = ""
    """Why it is none: rule and place."""
    unsigned: str = ""
    """Why its signature does not count; empty if it does, or if there is none."""
    nonce: str = field(repr=False, default="")
    accepted: bool = True
    """Whether we answered that we have it."""


class Ear(Protocol):
    """One way in which updates come. `close` ends it."""

    way: str
    arrivals: list[Arrival]

    async def listen(self) -> None:
        """Give the chain a chance to tell us something."""

    def close(self) -> None: ...


async def until(ear: Ear, true: Callable[[], object], seconds: float) -> bool:
    """Listen until something holds, or in vain."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not true():
        if asyncio.get_running_loop().time() > deadline:
            return False
        await ear.listen()
        await asyncio.sleep(0.1)
    return True


def by_event(ear: Ear) -> Mapping[str, list[Arrival]]:
    """Everything that came under one event id."""
    events: dict[str, list[Arrival]] = defaultdict(list)
    for arrival in ear.arrivals:
        if arrival.update:
            events[arrival.update.event_id].append(arrival)
    return events


def read(writer: WritesUpdates, raw: bytes, **more: Any) -> Arrival:
    try:
        return Arrival(datetime.now(UTC), raw, writer.parse_update(raw), **more)
    except InvalidPayload as invalid:
        faults = ", ".join(f"{fault.rule} {fault.path}" for fault in invalid.findings)
        return Arrival(datetime.now(UTC), raw, None, faults, **more)


class CallbackEar:
    """An address that takes callbacks; the first delivery of the first event is not taken, so that it must come again."""

    way = "callbacks"

    def __init__(self, chain: CallsBack, host: str = "127.0.0.1", port: int = 0) -> None:
        self.arrivals: list[Arrival] = []
        ear = self

        class Door(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(min(int(self.headers.get("content-length", 0)), LARGEST))
                self.send_response(ear.received(chain, self.path, self.headers, body))
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing on the screen."""

        self._server = ThreadingHTTPServer((host, port), Door)
        Thread(target=self._server.serve_forever, daemon=True).start()

    def received(self, chain: CallsBack, path: str, headers: Any, body: bytes) -> int:
        if path.endswith("/stock"):
            return 200
        timestamp, nonce, signature = (headers.get(f"Sanyi-{name}", "") for name in ("Timestamp", "Nonce", "Signature"))
        unsigned = ""
        try:
            chain.verify(timestamp, nonce, body, signature, datetime.now(UTC))
        except Refused as refused:
            unsigned = refused.code
        taken = bool(self.arrivals)
        self.arrivals.append(read(chain, body, unsigned=unsigned, nonce=nonce, accepted=taken))
        return 200 if taken else 503

    async def listen(self) -> None:
        """It comes by itself."""

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class PollingEar:
    """Asks, and confirms only what was offered twice, so that each must be offered again."""

    def __init__(self, chain: Any) -> None:
        self.way = "box" if isinstance(chain, Boxed) else "polled"
        self._chain: Polled = chain
        self._writer: WritesUpdates = chain
        self.arrivals: list[Arrival] = []
        self.again_after_yes = 0
        """Updates that were offered once more although we had confirmed them."""
        self._offered: dict[str, int] = defaultdict(int)

    def close(self) -> None:
        """Stop listening; no task is left waiting."""

    async def listen(self) -> None:
        for fetched in await self._chain.poll(50):
            self._offered[fetched.ref] += 1
            if self._offered[fetched.ref] > 2:
                self.again_after_yes += 1
                continue
            self.arrivals.append(read(self._writer, fetched.raw, accepted=self._offered[fetched.ref] > 1))
            if self._offered[fetched.ref] == 2:
                await self._chain.hand_back(fetched.ref, TAKEN)

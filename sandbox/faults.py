"""Faults on demand. The same seed gives the same request the same fault, in any order of requests."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

KNOWN = {
    "delay_ms": "[least, most] milliseconds before the partner starts to work on a request",
    "error_500": "rate: answer 500 and do nothing",
    "busy": "rate: the insurance centre answers [BUSY] and does nothing",
    "lose_answer": "rate: do it, then break the connection instead of answering",
    "timeout": "rate: do it, then answer only after timeout_seconds",
    "timeout_seconds": "seconds a timed out answer takes (default 15)",
    "out_of_stock": "rate: a chain refuses a hold",
    "closed": "rate: a chain refuses a hold, closed",
    "sold_out": "rate: a chain that has the order finds a line of it sold out, and declines",
    "duplicate_callback": "rate: an event is sent twice",
    "late_callback": "rate: an event is sent late, after the ones that follow it",
    "broken_file": "rate: a file of a chain's updates is cut off, or has a cell, an encoding or a heading that nobody can read",
    "wrong_clock": "rate: a callback is signed under a clock up to 25 minutes off; refused, it is signed again",
    "wrong_time": "rate: an event claims to have happened up to two days earlier or later",
    "tells": "list of texts that a chain puts where its codes go: its reference, the number of one more store, a cause",
    "awaits_recall": "seconds that a chain keeps a parcel of the drug that the day's operator recalls (default 0)",
    "webhook_down": "rate: a chain answers a webhook with 500 and does not keep it",
    "webhook_slow": "rate: a chain keeps a webhook that comes first, and answers after timeout_seconds",
    "webhook_key": "rate: a chain holds a key that is out of date when a webhook comes first, and refuses it",
    "abandon": "rate: a pharmacist claims a review and lets the claim expire",
    "only": "list of operations (part of the path, or infno) that may suffer; empty means all",
    "at_most": "a request suffers this often and then succeeds (default 3)",
}
"""What can be asked for. Any rate also as `<name>_next`: it happens to the next n requests, then no more."""

UNTOUCHED = ("/health", "/book", "/sandbox/", "/progress")


class Faults:
    """What goes wrong, decided by (seed, fault, request key, attempt)."""

    def __init__(self, seed: int, settings: Mapping[str, Any] | None = None) -> None:
        self.seed = seed
        self.settings: dict[str, Any] = {}
        self._attempts: Counter[str] = Counter()
        self.update(settings or {})

    def update(self, settings: Mapping[str, Any]) -> None:
        """Change some settings, keep the others. Raises `ValueError` for an unknown fault."""
        for name in settings:
            if name.removesuffix("_next") not in KNOWN:
                raise ValueError(f"unknown fault: {name}")
        self.settings |= settings

    def attempt(self, key: str) -> int:
        """How often this request has been seen, this time included."""
        self._attempts[key] += 1
        return self._attempts[key]

    def strikes(self, fault: str, key: str, attempt: int = 1, operation: str = "") -> bool:
        """Whether this fault happens to this attempt."""
        only = self.settings.get("only") or []
        if only and not any(part in operation for part in only):
            return False
        if (left := int(self.settings.get(f"{fault}_next", 0))) > 0:
            self.settings[f"{fault}_next"] = left - 1
            return True
        if attempt > int(self.settings.get("at_most", 3)):
            return False
        return self.draw(fault, key, attempt) < float(self.settings.get(fault, 0))

    def draw(self, *what: object) -> float:
        """A number from 0 to 1 that depends on the seed and on what is being decided, on nothing else."""
        text = "\n".join(str(part) for part in (self.seed, *what))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7]) / 2**56

    def between(self, least: float, most: float, *what: object) -> float:
        return least + (most - least) * self.draw(*what)


def by_bytes(method: str, path: str, body: bytes) -> tuple[str, str]:
    """The operation and the key of a request that is repeated with the same bytes."""
    return path, f"{method} {path} {hashlib.sha256(body).hexdigest()}"


class FaultyLine:
    """ASGI middleware: the line between a partner and its caller."""

    def __init__(self, app: ASGIApp, faults: Faults, key_of: Callable[[str, str, bytes], tuple[str, str]]) -> None:
        self.app = app
        self.faults = faults
        self.key_of = key_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(UNTOUCHED):
            await self.app(scope, receive, send)
            return
        body = await _read(receive)
        if body is None:
            return
        operation, key = self.key_of(scope["method"], scope["path"], body)
        attempt = self.faults.attempt(key)

        def strikes(fault: str) -> bool:
            return self.faults.strikes(fault, key, attempt, operation)

        least, most = self.faults.settings.get("delay_ms", (0, 0))
        await asyncio.sleep(self.faults.between(least, most, "delay_ms", key, attempt) / 1000)
        if strikes("error_500"):
            await send({"type": "http.response.start", "status": 500, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
            return
        answer: list[Message] = []

        async def keep(message: Message) -> None:
            answer.append(message)

        async def again() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, again, keep)
        if strikes("timeout"):
            await asyncio.sleep(float(self.faults.settings.get("timeout_seconds", 15)))
        if strikes("lose_answer"):
            # More bytes are promised than sent: the server then closes the connection, and the
            # client sees it break after the effect.
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})
            await send({"type": "http.response.body", "body": b"{", "more_body": True})
            return
        for message in answer:
            await send(message)


async def _read(receive: Receive) -> bytes | None:
    """The whole body; None if the line broke before its end: half a message must not pass for a message."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += bytes(message.get("body", b""))
        if not message.get("more_body"):
            return body

"""The only way out of the building: one call, one timeout, one set of errors.

Seconds-scale retries live here and nowhere else, and only for requests that say they may be sent twice.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol
from urllib.parse import unquote, urlsplit

import httpx
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from domain.errors import InvalidPayload, NeedsOperator, OutcomeUnknown, Transient
from domain.findings import Finding, Severity
from infra import metrics

Client = httpx.AsyncClient
"""A connection pool. Those who pass one on need not know whose it is."""

NOT_SENT: Final = "not_sent"
"""Code of a `Transient` whose request the partner certainly did not act on."""
UNANSWERED: Final = "unanswered"
"""Code of a `Transient` whose (repeatable) request may have arrived, and of every `OutcomeUnknown`."""

MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
MAX_WAIT_SECONDS: Final = 10.0
"""Longest pause between two attempts; a longer wait is a due time on the row, not a sleep."""

# Raised by httpx before a single byte of the request has left.
_BEFORE_SENDING = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_OUR_FAULT = (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.InvalidURL)


@dataclass(frozen=True)
class Request:
    """What an adapter wants to have sent."""

    method: str
    path: str
    """From the partner's base address on, e.g. `/v1/orders/ord_1`. Opaque ids only: it is logged."""
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    repeatable: bool = False
    """True when sending it twice does no harm. Only these are retried."""
    operation: str = ""
    """What to count it under; method and path without ids if not given."""
    considered: "Callable[[Response], bool]" = field(default=lambda _: False, repr=False)
    """Whether an answer from 500 on is the partner's word on this request all the same, as a SOAP fault is."""


@dataclass(frozen=True)
class Response:
    status: int
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    """Names in lower case."""


class Transport(Protocol):
    """How an adapter reaches its partner; it knows no more than this."""

    async def send(self, request: Request) -> Response:
        """The partner's answer with any content, unless its status says that it will not talk to us.

        Raises `Transient` (try later; code `not_sent` if the partner cannot have acted on it) and `NeedsOperator`
        (credentials, address). Raises `InvalidPayload` for an answer that is too large, and `OutcomeUnknown` only for a
        request that is not repeatable.
        """


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    """One request is let through to see whether the partner is back."""


@dataclass(frozen=True)
class Breaker:
    """When to stop asking a partner that does not answer."""

    failures: int = 5
    """In a row, before it opens."""
    seconds: float = 30.0
    """How long it stays open before one request may try."""


class HttpTransport:
    """One partner over HTTP, with its own rate limit and circuit breaker.

    `timeout` is seconds for each phase (pool, connect, write, read); `attempts` counts the first one.
    """

    def __init__(
        self,
        partner: str,
        base_url: str,
        *,
        timeout: float = 10.0,
        attempts: int = 3,
        per_second: float = 20.0,
        breaker: Breaker | None = None,
        client: Client | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.partner = partner
        self._base_url = base_url.rstrip("/")
        self._timeout = timeout
        self._attempts = attempts
        self._client = client or open_client()
        self._clock = clock
        self._sleep = sleep
        self._bucket = _Bucket(per_second, clock)
        circuit = self._circuit = _Circuit(breaker or Breaker(), clock)
        metrics.breaker_of(partner, list(BreakerState), lambda: circuit.state)

    @property
    def breaker_state(self) -> BreakerState:
        return self._circuit.state

    async def send(self, request: Request) -> Response:
        """See `Transport.send`."""
        arrived = False

        async def once() -> Response:
            nonlocal arrived
            try:
                return await self._attempt(request)
            except _Failed as failed:
                arrived = arrived or failed.arrived
                if failed.final:
                    metrics.partner_spared(self.partner, _operation(request))
                raise

        retrying = AsyncRetrying(
            sleep=self._sleep,
            stop=stop_after_attempt(self._attempts if request.repeatable else 1),
            wait=_pause,
            retry=retry_if_exception(lambda error: isinstance(error, _Failed) and not error.final),
            reraise=True,
        )
        try:
            return await retrying(once)
        except _Failed as failed:
            message = f"{self._where(request)}: {failed.cause}"
        # Raised out here so that no httpx exception, which holds the request, hangs on ours.
        if arrived and not request.repeatable:
            raise OutcomeUnknown(message, code=UNANSWERED)
        raise Transient(message, code=UNANSWERED if arrived else NOT_SENT)

    async def _attempt(self, request: Request) -> Response:
        """One exchange on the line, with what it means for the breaker."""
        wait = self._bucket.take(at_most=self._timeout)
        if wait is None:
            raise _Failed("rate limit: too many are waiting", arrived=False, final=True)
        if wait:
            await self._sleep(wait)
        probe = self._circuit.enter()
        alive: bool | None = None
        started, outcome = self._clock(), "broken_off"
        try:
            response = await self._exchange(request)
            # An answer of any kind but a server error shows that the partner is there.
            alive = response.status < 500 or request.considered(response)
            outcome = _outcome(response.status)
        except _Failed as failed:
            alive = False
            outcome = "unanswered" if failed.arrived else "unreachable"
            raise
        finally:
            self._circuit.leave(probe, alive)
            metrics.partner_called(self.partner, _operation(request), outcome, self._clock() - started)
        return self._judge(request, response, alive)

    async def _exchange(self, request: Request) -> Response:
        """Send and read to the end. Every httpx error becomes its name: httpx errors carry the request."""
        size = 0
        chunks: list[bytes] = []
        try:
            # httpx bounds each phase; the outer bound is for a partner that answers drop by drop.
            async with asyncio.timeout(4 * self._timeout):
                async with self._client.stream(
                    request.method,
                    self._base_url + request.path,
                    content=request.body or None,
                    headers={"accept-encoding": "identity", **request.headers},
                    timeout=self._timeout,
                    follow_redirects=False,
                ) as answer:
                    async for chunk in answer.aiter_bytes():
                        size += len(chunk)
                        if size > MAX_ANSWER_BYTES:
                            break
                        chunks.append(chunk)
                    status, headers = answer.status_code, dict(answer.headers)
        except _OUR_FAULT as error:
            operator: str | None = type(error).__name__
            failed = None
        except (httpx.RequestError, TimeoutError) as error:
            operator = None
            failed = _Failed(type(error).__name__, arrived=not isinstance(error, _BEFORE_SENDING))
        else:
            operator = failed = None
        if operator:
            raise NeedsOperator(f"{self._where(request)}: {operator}; check the partner's address and tokens")
        if failed:
            raise failed
        if size > MAX_ANSWER_BYTES:
            if not request.repeatable:
                raise _Failed("the answer is too large", arrived=True)
            raise InvalidPayload([_too_large(self._where(request))])
        return Response(status, b"".join(chunks), headers)

    def _judge(self, request: Request, response: Response, alive: bool) -> Response:
        status = response.status
        if status in (401, 403):
            raise NeedsOperator(f"{self._where(request)}: HTTP {status}; check the partner's credentials")
        retry_after = response.headers.get("retry-after", "")
        if status == 429 or (status == 503 and retry_after):
            # The partner says that it did nothing: not even a request that must not be repeated is in doubt.
            pause = float(retry_after) if retry_after.isdecimal() else 0.0
            raise _Failed(f"HTTP {status}", arrived=False, pause=pause)
        if not alive:
            raise _Failed(f"HTTP {status}", arrived=True)
        return response

    def _where(self, request: Request) -> str:
        return f"{self.partner}: {request.method} {request.path.partition('?')[0]}"


def open_client() -> Client:
    """A connection pool; one per process is enough for all partners. The caller that opens it closes it.

    Proxies are ours to configure, so the environment is not consulted.
    """
    return httpx.AsyncClient(trust_env=False, limits=httpx.Limits(max_connections=100, max_keepalive_connections=40))


@dataclass(frozen=True)
class Look:
    """How an address answered one plain GET."""

    status: int
    """HTTP status; 0 if nothing answered."""
    seconds: float
    date: datetime | None = None
    """The answering machine's clock."""
    body: bytes = field(default=b"", repr=False)
    error: str = ""
    """What happened instead of an answer, e.g. `ConnectError`."""


async def look(address: str, *, seconds: float = 5.0) -> Look:
    """Whether anything answers at an address, once and without credentials. Never raises for what it finds."""
    started = time.monotonic()
    try:
        async with asyncio.timeout(seconds), open_client() as client:
            answer = await client.get(address, timeout=seconds, follow_redirects=False)
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
        return Look(0, time.monotonic() - started, error=type(error).__name__)
    try:
        date = parsedate_to_datetime(answer.headers.get("date", ""))
    except ValueError:
        date = None
    return Look(answer.status_code, time.monotonic() - started, date, answer.content)


async def tell(address: str, body: bytes, *, seconds: float = 10.0) -> Look:
    """Post a JSON body once; how it was taken. Never raises for what it meets, and never names the address."""
    started = time.monotonic()
    try:
        async with asyncio.timeout(seconds), open_client() as client:
            answer = await client.post(address, content=body, timeout=seconds, headers={"content-type": "application/json"})
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
        return Look(0, time.monotonic() - started, error=type(error).__name__)
    return Look(answer.status_code, time.monotonic() - started)


async def reach(address: str, *, seconds: float = 5.0) -> Look:
    """`look`, also at what is not on the web: a port that takes a connection, or a folder, counts as status 200.

    A store of objects is not asked: without its keys it says no to everybody.
    """
    if address.startswith("s3:"):
        return Look(200, 0.0)
    if address.startswith("file:"):
        there = Path(unquote(urlsplit(address).path)).is_dir()
        return Look(200, 0.0) if there else Look(0, 0.0, error="no such folder")
    if not address.startswith("mllp:"):
        return await look(address, seconds=seconds)
    started, port = time.monotonic(), urlsplit(address)
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(port.hostname, port.port)
        writer.close()
    except (OSError, TimeoutError, ValueError) as error:
        return Look(0, time.monotonic() - started, error=type(error).__name__)
    return Look(200, time.monotonic() - started)


def _operation(request: Request) -> str:
    return request.operation or metrics.operation_of(request.method, request.path)


def _outcome(status: int) -> str:
    """What an answer means for the circuit breaker and metrics; the adapter judges the business."""
    if status in (401, 403):
        return "denied"
    if status == 429:
        return "busy"
    return "answered" if status < 500 else "server_error"


class _Failed(Exception):
    """One attempt brought no answer that counts."""

    def __init__(self, cause: str, *, arrived: bool, pause: float = 0.0, final: bool = False) -> None:
        super().__init__(cause)
        self.cause = cause
        self.arrived = arrived
        """Whether the partner may have acted on it."""
        self.pause = pause
        """Seconds the partner asked us to wait."""
        self.final = final
        """Another attempt now is pointless."""


def _too_large(where: str) -> Finding:
    return Finding(
        code="ANSWER_TOO_LARGE",
        severity=Severity.BLOCK,
        rule="C-HTTP",
        path=where,
        text=f"应答超过 {MAX_ANSWER_BYTES} 字节",
        text_en=f"the answer exceeds {MAX_ANSWER_BYTES} bytes",
    )


_jitter = wait_random_exponential(multiplier=0.5, max=MAX_WAIT_SECONDS)


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    pause_asked = error.pause if isinstance(error, _Failed) else 0.0
    return max(_jitter(state), min(pause_asked, MAX_WAIT_SECONDS))


class _Bucket:
    """A token bucket: `per_second` on average, one second's worth at once."""

    def __init__(self, per_second: float, clock: Callable[[], float]) -> None:
        self._rate = per_second
        self._burst = max(1.0, per_second)
        self._tokens = self._burst
        self._clock = clock
        self._filled = clock()

    def take(self, *, at_most: float) -> float | None:
        """Reserve a token; seconds until it is there, or None (and no token) if that is longer than `at_most`."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._rate)
        self._filled = now
        wait = max(0.0, (1 - self._tokens) / self._rate)
        if wait > at_most:
            return None
        self._tokens -= 1
        return wait


class _Circuit:
    """A circuit breaker: lets calls in, hears how they went, and shuts after too many failures in a row."""

    def __init__(self, rule: Breaker, clock: Callable[[], float]) -> None:
        self._rule = rule
        self._clock = clock
        self._failures = 0
        self._opened: float | None = None
        self._probing = False

    @property
    def state(self) -> BreakerState:
        if self._opened is None:
            return BreakerState.CLOSED
        rested = self._clock() - self._opened >= self._rule.seconds
        return BreakerState.HALF_OPEN if rested else BreakerState.OPEN

    def enter(self) -> bool:
        """Let a call in; True if it is the probe. Raises `_Failed` when the partner is to be left alone."""
        state = self.state
        if state is BreakerState.OPEN or (state is BreakerState.HALF_OPEN and self._probing):
            raise _Failed("circuit breaker is open", arrived=False, final=True)
        self._probing = state is BreakerState.HALF_OPEN
        return self._probing

    def leave(self, probe: bool, alive: bool | None) -> None:
        """A call is over. `alive` is None if it says nothing about the partner, as when it was cancelled."""
        if probe:
            self._probing = False
        if alive:
            self._failures, self._opened = 0, None
        elif alive is False:
            self._failures += 1
            if probe or (self._opened is None and self._failures >= self._rule.failures):
                self._opened = self._clock()

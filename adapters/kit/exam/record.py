"""What goes over the line between the platform and a chain under examination, and what may be done to it on purpose."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from time import monotonic
from typing import Any, TypeVar

from domain.errors import OutcomeUnknown, RxError
from infra.dropbox import BoxTransport, Files
from infra.http import UNANSWERED, HttpTransport, Request, Response, Transport

T = TypeVar("T")

LONGEST = 6000
"""Characters of a body that a report shows."""


@dataclass(frozen=True)
class Exchange:
    """One request and what came of it."""

    at: datetime
    operation: str
    sent: bytes = field(repr=False)
    status: str
    """HTTP status, or the name of the error instead of an answer."""
    answer: bytes = field(repr=False)
    seconds: float


class Recorder:
    """A transport that writes down what passes; see `infra.http.Transport`."""

    def __init__(self, line: Transport) -> None:
        self._line = line
        self.exchanges: list[Exchange] = []
        self._losing = False
        self._breaking = False

    @contextmanager
    def losing_answers(self) -> Iterator[None]:
        """What is sent arrives, and the answer is lost on its way."""
        self._losing = True
        try:
            yield
        finally:
            self._losing = False

    @contextmanager
    def breaking_requests(self) -> Iterator[None]:
        """Only the first half of each body is sent."""
        self._breaking = True
        try:
            yield
        finally:
            self._breaking = False

    async def send(self, request: Request) -> Response:
        if self._breaking:
            request = replace(request, body=request.body[:len(request.body) // 2])
        began, at = monotonic(), datetime.now(UTC)
        operation = request.operation or f"{request.method} {request.path}"
        try:
            answer = await self._line.send(request)
        except RxError as error:
            self.exchanges.append(Exchange(at, operation, request.body, type(error).__name__, b"", monotonic() - began))
            raise
        self.exchanges.append(Exchange(at, operation, request.body, str(answer.status), answer.body, monotonic() - began))
        if self._losing:
            raise OutcomeUnknown("examination: the answer is lost on purpose", code=UNANSWERED)
        return answer


class FileRecorder(Recorder):
    """A line of files that is written down; see `adapters.dialects.dropbox_box.FileLine`."""

    def __init__(self, line: BoxTransport) -> None:
        super().__init__(line)
        self._files = line

    def files(self, secrets: Mapping[str, str]) -> Files:
        return self._files.files(secrets)

    async def work(self, operation: str, step: Callable[[], T]) -> T:
        return await self._files.work(operation, step)

    def count(self, operation: str, outcome: str) -> None:
        self._files.count(operation, outcome)


def recorder_of(line: HttpTransport) -> Recorder:
    """What writes down what passes over a line."""
    return FileRecorder(line) if isinstance(line, BoxTransport) else Recorder(line)


def as_json(exchange: Exchange, secrets: list[str]) -> dict[str, Any]:
    """An exchange as a report has it; secrets and people are made out."""
    return {"at": exchange.at.isoformat(timespec="milliseconds"), "kind": exchange.operation, "key": "", "again": "",
            "bytes": len(exchange.sent), "sent": shown(exchange.sent, secrets), "outcome": "", "id": "",
            "status": f"{exchange.status} ({exchange.seconds * 1000:.0f} ms)", "answer": shown(exchange.answer, secrets)}


def shown(body: bytes, secrets: list[str]) -> str:
    text = body.decode("utf-8", "replace")
    if secrets:
        text = re.sub("|".join(re.escape(secret) for secret in sorted(secrets, key=len, reverse=True)), "***", text)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}\n… {len(text)} 字符 characters"

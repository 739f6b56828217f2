"""MLLP, the line HL7 v2 travels on: blocks between a VT and FS CR, on a connection that stays.

`Deframer` is the receiving half without any socket, for both ends; `MllpTransport` is the way out to one partner.
"""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlsplit

from domain.errors import NeedsOperator
from infra.http import MAX_ANSWER_BYTES, HttpTransport, Request, Response, _Failed

START: Final = b"\x0b"
END: Final = b"\x1c\r"
HEAD_BYTES: Final = 4096
"""What is kept of a block that is too large: enough to see whose it was."""
CHUNK: Final = 1 << 16


NOISE_BYTES: Final = 1 << 16
"""What is kept of bytes outside of blocks, until it is seen what they are."""


class Flaw(StrEnum):
    """What is wrong with a block."""

    NONE = ""
    TOO_LARGE = "too_large"
    """Larger than agreed; only its head is kept."""
    BROKEN_OFF = "broken_off"
    """The START of the next one came before its END."""
    NO_START = "no_start"
    """It has an END and no START."""
    UNFINISHED = "unfinished"
    """The line ended before it did."""


@dataclass(frozen=True)
class Block:
    """What stood between START and END, or what is left of it."""

    body: bytes = field(repr=False)
    flaw: Flaw = Flaw.NONE

    @property
    def whole(self) -> bool:
        return self.flaw is Flaw.NONE


def frame(body: bytes) -> bytes:
    """A block ready to be sent."""
    return START + body + END


class Deframer:
    """Bytes in, in pieces of any size; blocks out, broken ones too: each says what is wrong with it."""

    def __init__(self, limit: int) -> None:
        """`limit` is the largest block, in bytes; more than that is never kept."""
        self._limit = limit
        self._buffer = bytearray()
        self._head: bytes | None = None
        self._inside = False
        self._scanned = 0
        self._dropped = 0

    @property
    def inside(self) -> bool:
        """Whether a block has begun and not ended."""
        return self._inside

    @property
    def dropped(self) -> int:
        """Bytes outside of whole blocks since the last of them."""
        return self._dropped + (0 if self._inside else len(self._buffer))

    def feed(self, data: bytes) -> Iterator[Block]:
        """The blocks that are complete, or broken, with these bytes."""
        self._buffer += data
        while True:
            # One byte again: it may be the first half of an END.
            end = self._buffer.find(END, max(0, self._scanned - 1))
            start = self._buffer.find(START, self._scanned, len(self._buffer) if end < 0 else end)
            if start >= 0:
                broken = self._take(start, Flaw.BROKEN_OFF) if self._inside else None
                self._forget(start + len(START))
                self._dropped += start
                self._inside = True
                if broken:
                    yield broken
            elif end >= 0:
                block = self._take(end, Flaw.NONE if self._inside else Flaw.NO_START)
                self._dropped = 0 if block.whole else self._dropped + end + len(END) * (not self._inside)
                self._forget(end + len(END))
                self._inside = False
                if block.flaw is not Flaw.NO_START or block.body.strip():
                    yield block
            else:
                self._spare()
                return

    def rest(self) -> Block | None:
        """What there is of a block that has begun, once no more bytes can come."""
        return self._take(len(self._buffer), Flaw.UNFINISHED) if self._inside else None

    def _take(self, end: int, flaw: Flaw) -> Block:
        if self._head is not None or (self._inside and end > self._limit):
            return Block((self._head or bytes(self._buffer[:end]))[:HEAD_BYTES], Flaw.TOO_LARGE)
        return Block(bytes(self._buffer[:end]), flaw)

    def _forget(self, count: int) -> None:
        del self._buffer[:count]
        self._head, self._scanned = None, 0

    def _spare(self) -> None:
        """Of a block that is already too large, keep its head and what may be half of an END; of noise that alone."""
        if self._inside and (self._head is not None or len(self._buffer) > self._limit + len(END)):
            self._head = self._head or bytes(self._buffer[:HEAD_BYTES])
            del self._buffer[:-1]
        elif not self._inside and len(self._buffer) > NOISE_BYTES:
            self._dropped += len(self._buffer) - 1
            del self._buffer[:-1]
        self._scanned = len(self._buffer)


class MllpTransport(HttpTransport):
    """One partner over MLLP, one message at a time on one connection that is kept.

    Patience, rate limit and circuit breaker are those of `HttpTransport`. Of a `Request` only the body travels; an
    answer is status 200. A connection that failed is never used again, so no answer can be taken for another's.
    """

    def __init__(self, partner: str, base_url: str, **line: Any) -> None:
        """`base_url` is `mllp://host:port`. Raises `NeedsOperator` for any other."""
        super().__init__(partner, base_url, **line)
        address = urlsplit(base_url)
        try:
            self._host, self._port = address.hostname or "", address.port or 0
        except ValueError:
            self._host, self._port = "", 0
        if address.scheme != "mllp" or not self._host or not self._port:
            raise NeedsOperator(f"{partner}: its address must be mllp://host:port", code="bad_address")
        self._turn = asyncio.Lock()
        self._line: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def close(self) -> None:
        """Hang up; the next request calls again."""
        if self._line:
            writer, self._line = self._line[1], None
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _exchange(self, request: Request) -> Response:
        async with self._turn:
            reader, writer = await self._connected()
            done = False
            try:
                async with asyncio.timeout(self._timeout):
                    writer.write(frame(request.body))
                    await writer.drain()
                    answer = await _one_block(reader)
                done = answer is not None
            except (OSError, TimeoutError) as error:
                raise _Failed(type(error).__name__, arrived=True) from None
            finally:
                # Cancelled too: the answer may still come, and would be taken for that of the next message.
                if not done:
                    self._line = None
                    writer.close()
        if answer is None:
            raise _Failed("the connection was closed without an answer", arrived=True)
        if not answer.whole:
            raise _Failed("the answer is too large", arrived=True)
        return Response(200, answer.body)

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._line and (self._line[0].at_eof() or self._line[1].is_closing()):
            await self.close()
        if self._line is None:
            try:
                async with asyncio.timeout(self._timeout):
                    self._line = await asyncio.open_connection(self._host, self._port)
            except (OSError, TimeoutError) as error:
                raise _Failed(type(error).__name__, arrived=False) from None
        return self._line


async def _one_block(reader: asyncio.StreamReader) -> Block | None:
    """The next block, or None if the connection ends before."""
    deframer = Deframer(MAX_ANSWER_BYTES)
    while data := await reader.read(CHUNK):
        for block in deframer.feed(data):
            if block.flaw in (Flaw.NONE, Flaw.TOO_LARGE):
                return block
    return None

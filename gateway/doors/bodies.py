"""Messages at the doors: how much of the large ones is held at once, and which of them is read next.

Python computes in one thread at a time: of ten large messages that are read together each makes everybody else's wait longer.
So one is read at a time, the senders in turn, and small ones pass beside it.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from weakref import WeakValueDictionary

from fastapi import Request

from domain.words import Two
from gateway.web.access import MESSAGE_BYTES, denied, read_body

SMALL_BYTES = 32_000
"""A message up to this size is small: an ordinary prescription has 1 to 20 kB in any dialect."""
AT_ONCE = 4
"""Small messages of one sender that are worked on at once: they share the doors' threads with everybody else's."""
SENDER_BYTES = 2 * MESSAGE_BYTES
"""What the larger messages of one sender may hold, from their first byte to the answer."""
STRANGERS_BYTES = 64_000_000
"""The same of all senders together who are identified only once their message is there as a whole."""


class Bodies:
    """The messages that one gateway is receiving and reading, at all its doors."""

    def __init__(self) -> None:
        self._held: Counter[str] = Counter()
        self._reading = asyncio.Lock()
        self._own: WeakValueDictionary[tuple[str, bool], asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def body(self, request: Request, whose: str, limit: int, room: int = SENDER_BYTES) -> AsyncIterator[bytes]:
        """The body of a request, as long as it is needed. Raises 503 where the larger ones of the same sender
        would hold more than `room`; also what `read_body` raises."""
        with self._room(whose, room) as grown:
            yield await read_body(request, limit, grown)

    @asynccontextmanager
    async def turn(self, whose: str, size: int) -> AsyncIterator[None]:
        """Wait until a message of so many bytes may be read: of the large ones one at a time, of each sender in turn."""
        large = size > SMALL_BYTES
        # A sender of many large messages waits here for its earlier ones: in the line of all senders it has one at most.
        own = self._own.setdefault((whose, large), asyncio.Semaphore(1 if large else AT_ONCE))
        async with own:
            if not large:
                yield
                return
            async with self._reading:
                yield

    async def message(self, request: Request) -> AsyncIterator[bytes]:
        """A dependency: the message of a sender that has shown its token."""
        async with self.body(request, request.state.sender, MESSAGE_BYTES) as raw:
            yield raw

    async def message_in_turn(self, request: Request) -> AsyncIterator[bytes]:
        """A dependency: the same, once it may be read. With `scope="function"`, or a slow listener keeps the turn."""
        whose = request.state.sender
        async with self.body(request, whose, MESSAGE_BYTES) as raw, self.turn(whose, len(raw)):
            yield raw

    @contextmanager
    def _room(self, whose: str, most: int) -> Iterator[Callable[[int], None]]:
        """Whom to tell how large a body has grown."""
        held = 0

        def grown(size: int) -> None:
            nonlocal held
            if size <= SMALL_BYTES:
                return
            self._held[whose] += size - held
            held = size
            if self._held[whose] > most:
                raise denied(503, "busy", Two("大报文过多，请稍后重发", "too many large messages; send it again later"))

        try:
            yield grown
        finally:
            self._held[whose] -= held
            if not self._held[whose]:
                del self._held[whose]

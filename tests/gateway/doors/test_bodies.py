"""Large messages: how much of them is held at once, and that one of them at a time is read, the senders in turn."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, HTTPException, Request
from starlette.types import Message

from adapters.mapping import CodeMap
from adapters.messages import Message as Understood
from gateway.app import create_app
from gateway.doors.bodies import AT_ONCE, SMALL_BYTES, Bodies
from tasks.city import City
from tests.support.city import HOSPITAL, HOSPITAL_TOKEN, bundle, make_settings

LARGE = SMALL_BYTES + 1
LIMIT = 20_000_000


class Work:
    """Messages that are being read until somebody ends them, in the order they began."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self.reading: list[str] = []
        self._ended: dict[str, asyncio.Event] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def send(self, name: str, whose: str, size: int) -> None:
        self._ended[name] = asyncio.Event()
        self._tasks.append(asyncio.create_task(self._read(name, whose, size)))

    async def _read(self, name: str, whose: str, size: int) -> None:
        async with self._bodies.turn(whose, size):
            self.reading.append(name)
            await self._ended[name].wait()
            self.reading.remove(name)

    async def end(self, *names: str) -> list[str]:
        """End those; what is being read then."""
        for name in names:
            self._ended[name].set()
        for _ in range(10):
            await asyncio.sleep(0)
        return self.reading

    async def stop(self) -> None:
        await self.end(*self._ended)
        await asyncio.gather(*self._tasks)


@pytest.fixture
async def work() -> AsyncIterator[Work]:
    made = Work(Bodies())
    yield made
    await made.stop()


async def test_one_large_message_is_read_at_a_time_and_small_ones_pass(work: Work) -> None:
    work.send("a large one", "a", LARGE)
    work.send("another large one", "b", LARGE)
    work.send("small", "c", SMALL_BYTES)
    assert await work.end() == ["a large one", "small"]
    assert await work.end("a large one") == ["small", "another large one"]


async def test_who_sends_many_large_messages_is_one_of_those_who_wait(work: Work) -> None:
    for number in range(20):
        work.send(f"a {number}", "a", LARGE)
    work.send("b", "b", LARGE)
    assert await work.end() == ["a 0"]
    assert await work.end("a 0") == ["b"]
    assert await work.end("b") == ["a 1"]


async def test_no_sender_has_all_the_threads_for_its_small_messages(work: Work) -> None:
    for number in range(20):
        work.send(f"a {number}", "a", SMALL_BYTES)
    work.send("b", "b", SMALL_BYTES)
    reading = await work.end()
    assert (len(reading), "b" in reading) == (AT_ONCE + 1, True)


async def test_a_turn_passes_on_from_a_message_that_broke(work: Work) -> None:
    with suppress(ZeroDivisionError):
        async with work._bodies.turn("a", LARGE):
            raise ZeroDivisionError
    work.send("the next", "a", LARGE)
    assert await work.end() == ["the next"]


def sent(body: bytes, *, ends: bool = True) -> Request:
    """A request whose body comes in pieces, and may never end."""
    pieces = [body[at:at + 60_000] for at in range(0, len(body), 60_000)]

    async def receive() -> Message:
        if pieces:
            piece = pieces.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(pieces) or not ends}
        await asyncio.Event().wait()
        return {}

    return Request({"type": "http", "method": "POST", "headers": [], "app": FastAPI()}, receive)


async def test_bodies_of_one_sender_hold_no_more_than_its_room_until_they_are_answered() -> None:
    bodies = Bodies()

    async def unended() -> None:
        async with bodies.body(sent(b"x" * 300_000, ends=False), "a", LIMIT, 1_000_000):
            pytest.fail("it never ends")

    waiting = [asyncio.create_task(unended()) for _ in range(2)]
    await asyncio.sleep(0.05)
    async with AsyncExitStack() as unanswered:
        await unanswered.enter_async_context(bodies.body(sent(b"x" * 300_000), "a", LIMIT, 1_000_000))
        with pytest.raises(HTTPException) as full:
            await unanswered.enter_async_context(bodies.body(sent(b"x" * 300_000), "a", LIMIT, 1_000_000))
        small = await unanswered.enter_async_context(bodies.body(sent(b"x" * SMALL_BYTES), "a", LIMIT, 1_000_000))
        other = await unanswered.enter_async_context(bodies.body(sent(b"x" * 300_000), "b", LIMIT, 1_000_000))
    assert full.value.status_code == 503
    assert (len(small), len(other)) == (SMALL_BYTES, 300_000)

    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    async with bodies.body(sent(b"x" * 900_000), "a", LIMIT, 1_000_000) as raw:
        assert len(raw) == 900_000


class Counting:
    """A hospital whose large messages are counted while they are read; it understands none of them."""

    def __init__(self, city: City) -> None:
        self._there = city.hospitals[HOSPITAL]
        self.slug = HOSPITAL
        self.answer = self._there.answer
        self.at_once = self.most = 0

    def to_fhir(self, raw: bytes, codes: CodeMap) -> Understood:
        if len(raw) <= SMALL_BYTES:
            return self._there.to_fhir(raw, codes)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            time.sleep(0.01)  # others get a turn
            return self._there.to_fhir(raw, codes)
        finally:
            self.at_once -= 1


async def test_a_crowd_of_large_messages_is_read_one_by_one_and_all_are_answered(city: City, tmp_path: Path) -> None:
    hospital = Counting(city)
    app = create_app(replace(city, hospitals={**city.hospitals, HOSPITAL: hospital}), make_settings(tmp_path))  # type: ignore[dict-item]
    headers = {"Authorization": f"Bearer {HOSPITAL_TOKEN}", "Content-Type": "application/fhir+json"}
    junk = [b'{"resourceType":"Bundle","id":"%d","a":"%s"}' % (number, b"x" * 200_000) for number in range(8)]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway", headers=headers) as client:
        answers = await asyncio.gather(*(client.post(f"/fhir/{HOSPITAL}/Bundle", content=raw) for raw in (*junk, bundle(1))),
                                       *(client.post(f"/fhir/{HOSPITAL}/$validate", content=raw) for raw in junk))
    assert [answer.status_code for answer in answers] == [422] * 8 + [201] + [200] * 8
    assert hospital.most == 1

"""What never ends, ends: half-sent headers and bodies on a real socket, more connections than there is room for."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import uvicorn
from fastapi import FastAPI, Request

from gateway.web.errors import answer, install
from gateway.web.time_limits import InTime, Line


class Hasty(Line):
    header_seconds = 0.4
    most = 4


@asynccontextmanager
async def serving() -> AsyncIterator[int]:
    """A gateway's line, with short patience, in front of a door that reads bodies; its port."""
    app = FastAPI()

    @app.post("/api/door")
    async def door(request: Request) -> dict[str, int]:
        return {"bytes": len(await request.body())}

    app.add_middleware(InTime, seconds=0.6)
    install(app, lambda request, error: answer(request, error))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, http=Hasty, ws="none", lifespan="off"))
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await running


async def until_closed(port: int, *parts: bytes, pause: float = 0.05) -> tuple[bytes, float]:
    """Send the parts, the last of them again and again, until the other side closes; what it said, and after how long."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began, ended = time.monotonic(), False

    async def trickle() -> None:
        for part in parts:
            writer.write(part)
        while not ended:
            await asyncio.sleep(pause)
            writer.write(parts[-1][-1:])

    trickling = asyncio.create_task(trickle())
    try:
        heard = await asyncio.wait_for(reader.read(), 60)
    except ConnectionError:
        heard = b""
    ended = True
    trickling.cancel()
    writer.close()
    return heard, time.monotonic() - began


HEAD = b"POST /api/door HTTP/1.1\r\nHost: here\r\n"


async def test_headers_that_never_end_close_the_connection_however_slowly_they_trickle() -> None:
    async with serving() as port:
        heard, seconds = await until_closed(port, HEAD + b"X-Slow: a")
        assert heard == b""
        assert seconds >= 0.4


async def test_so_do_those_of_a_second_request_on_the_same_connection() -> None:
    async with serving() as port:
        heard, _ = await until_closed(port, HEAD + b"Content-Length: 2\r\n\r\nab", HEAD + b"X-Slow: a")
        assert heard.startswith(b"HTTP/1.1 200")
        assert heard.count(b"HTTP/1.1") == 1


async def test_a_body_that_never_ends_is_408_in_the_words_of_its_door_and_the_connection_closes() -> None:
    async with serving() as port:
        heard, _ = await until_closed(port, HEAD + b"Content-Length: 1000\r\n\r\na")
        assert heard.startswith(b"HTTP/1.1 408")
        assert b"too_slow" in heard
        assert b"content-security-policy" in heard


async def test_beyond_the_most_connections_nobody_is_heard_and_room_comes_back() -> None:
    async with serving() as port:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
        await asyncio.sleep(0.05)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 60) == b""
        writer.close()
        # The four said nothing, and their time is over.
        await asyncio.wait_for(asyncio.gather(*(reader.read() for reader, _ in held)), 60)
        heard, _ = await until_closed(port, HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\nab")
        assert heard.startswith(b"HTTP/1.1 200")

"""The balancer: connections take turns, and a backend that is away is passed over."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from sandbox import balancer
from sandbox.balancer import Balancer


async def backend(stack: AsyncExitStack, name: bytes) -> tuple[asyncio.Server, int]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(name + await reader.readline())
        writer.close()

    server = await stack.enter_async_context(await asyncio.start_server(answer, "127.0.0.1", 0))
    return server, server.sockets[0].getsockname()[1]


async def ask(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"?\n")
    answer = await reader.read()
    writer.close()
    return answer


async def test_connections_take_turns_and_a_backend_that_is_away_is_passed_over() -> None:
    async with AsyncExitStack() as stack:
        one, first = await backend(stack, b"1")
        _, second = await backend(stack, b"2")
        front = await stack.enter_async_context(await Balancer([first, second]).serve(0))
        port = front.sockets[0].getsockname()[1]
        assert sorted([await ask(port) for _ in range(4)]) == [b"1?\n", b"1?\n", b"2?\n", b"2?\n"]
        one.close()
        await one.wait_closed()
        assert [await ask(port) for _ in range(3)] == [b"2?\n"] * 3


async def test_a_caller_waits_for_the_first_that_comes_back_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(balancer, "PATIENCE_SECONDS", 0.3)
    async with AsyncExitStack() as stack:
        gone, away = await backend(stack, b"1")
        gone.close()
        await gone.wait_closed()
        front = await stack.enter_async_context(await Balancer([away]).serve(0))
        assert await asyncio.wait_for(ask(front.sockets[0].getsockname()[1]), 60) == b""

"""Each fault of the bad line, on real sockets: what the caller meets and what the partner has by then."""

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sandbox.chaos import Control, Line
from sandbox.faults import Faults, FaultyLine, by_bytes
from tests.support.sockets import free_port, until


class Partner:
    """Answers every request of one line with a line, and remembers the bytes."""

    def __init__(self) -> None:
        self.heard = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            self.heard += data
            for _ in range(data.count(b"\n")):
                writer.write(b"answer\n")
        writer.close()


@asynccontextmanager
async def line(**faults) -> AsyncIterator[tuple[Partner, Line, int]]:
    partner = Partner()
    behind = await asyncio.start_server(partner.serve, "127.0.0.1", 0)
    bad = Line("ankang", "127.0.0.1", behind.sockets[0].getsockname()[1], 1, faults)
    server = await bad.listen(0)
    try:
        yield partner, bad, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await bad.close()
        behind.close()


async def ask(port: int, text: bytes = b"request\n", seconds: float = 60) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(text)
        return await asyncio.wait_for(reader.readline(), seconds)
    finally:
        writer.close()


async def test_a_good_line_passes_everything_on():
    async with line() as (partner, bad, port):
        assert await ask(port, b"request\n" * 50_000) == b"answer\n"
        assert partner.heard == b"request\n" * 50_000
        assert bad.counts == {"exchanges": 1}


async def test_reset_before_the_request_keeps_it_from_the_partner():
    async with line(reset_before=1) as (partner, bad, port):
        with pytest.raises(ConnectionResetError):
            await ask(port)
        assert partner.heard == b""
        assert bad.counts["reset_before"] == 1


async def test_reset_after_the_request_loses_the_answer_and_not_the_effect():
    async with line(reset_after=1) as (partner, _, port):
        with pytest.raises(ConnectionResetError):
            await ask(port)
        assert partner.heard == b"request\n"


async def test_a_cut_request_arrives_in_part():
    async with line(cut_request=1, cut_bytes=[3, 3]) as (partner, _, port):
        assert await ask(port) == b""
        await until(lambda: partner.heard)
        assert partner.heard == b"req"


async def test_a_cut_answer_arrives_in_part_and_the_request_whole():
    async with line(cut_answer=1, cut_bytes=[3, 3]) as (partner, _, port):
        assert await ask(port) == b"ans"
        assert partner.heard == b"request\n"


async def test_a_blackhole_takes_the_call_and_never_answers():
    async with line(blackhole=1) as (partner, _, port):
        with pytest.raises(TimeoutError):
            await ask(port, seconds=0.3)
        assert partner.heard == b""


async def test_a_delay_holds_the_request_back():
    async with line(delay=1, delay_ms=[200, 200]) as (_, _, port):
        began = time.monotonic()
        assert await ask(port) == b"answer\n"
        assert time.monotonic() - began >= 0.19


async def test_a_partner_that_is_down_looks_down():
    async with line() as (_, bad, port):
        bad.port = free_port()
        with pytest.raises(ConnectionResetError):
            await ask(port)


async def test_each_exchange_of_a_kept_connection_has_its_own_luck():
    async with line(reset_before=0.5) as (_, bad, port):
        answered, reset = 0, 0
        while reset < 10:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                while True:
                    writer.write(b"request\n")
                    assert await reader.readline() == b"answer\n"
                    answered += 1
            except ConnectionResetError:
                reset += 1
            writer.close()
        assert answered > 0
        assert bad.counts["exchanges"] == answered + reset


def test_the_same_seed_brings_the_same_luck():
    def luck(seed):
        bad = Line("ankang", "127.0.0.1", 1, seed, {"reset_after": 0.2, "blackhole": 0.1, "delay": 0.3})
        return [bad.exchange() for _ in range(100)]

    assert luck(3) == luck(3)
    assert luck(3) != luck(4)


def test_an_exchange_suffers_one_fault_and_about_as_often_as_asked():
    bad = Line("ankang", "127.0.0.1", 1, 1, {"reset_before": 0.1, "reset_after": 0.1})
    faults = [bad.exchange().fault for _ in range(2000)]
    assert 250 < sum(fault != "" for fault in faults) < 500
    assert set(faults) == {"", "reset_before", "reset_after"}


def test_a_fault_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="unknown fault: rain"):
        Line("ankang", "127.0.0.1", 1, 1, {"rain": 1})
    assert "error" in Control([Line("ankang", "127.0.0.1", 1)]).answer(b'{"faults": {"rain": 1}}')


async def test_faults_change_while_it_runs_and_one_line_leaves_the_others_alone():
    async with line(reset_before=1) as (_, bad, port):
        other = Line("baicao", "127.0.0.1", 1, 1, {"blackhole": 1})
        control = await Control([bad, other]).listen(0)
        said = await ask(control.sockets[0].getsockname()[1], b'{"lines": ["ankang"], "faults": {"reset_before": 0}}\n')
        control.close()
        assert json.loads(said)["lines"]["baicao"] == {"faults": {"blackhole": 1}, "counts": {}}
        assert await ask(port) == b"answer\n"


def test_it_runs_as_a_process_and_ends_when_told():
    control, port, behind = free_port(), free_port(), socket.create_server(("127.0.0.1", 0))
    process = subprocess.Popen([sys.executable, "-m", "sandbox.chaos", "--control", str(control), "--line",
                                f"ankang={port}:127.0.0.1:{behind.getsockname()[1]}"])
    try:
        while process.poll() is None:
            try:
                caller = socket.create_connection(("127.0.0.1", port), 1)
                break
            except OSError:
                time.sleep(0.05)
        caller.sendall(b"request")
        assert behind.accept()[0].recv(100) == b"request"
        caller.close()
        process.terminate()
        assert process.wait(120) == 0
    finally:
        process.kill()
        process.wait()
        behind.close()


async def test_half_a_request_never_reaches_the_partner():
    heard = []

    async def partner(scope, receive, send):
        heard.append(await receive())

    words = [{"type": "http.request", "body": b'{"half": ', "more_body": True}, {"type": "http.disconnect"}]

    async def receive():
        return words.pop(0)

    async def send(message):
        raise AssertionError(message)

    scope = {"type": "http", "method": "POST", "path": "/reports", "headers": []}
    await FaultyLine(partner, Faults(1), by_bytes)(scope, receive, send)
    assert heard == []

"""The MLLP line: blocks out of any stream of bytes, and the way out to a partner."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import NeedsOperator, OutcomeUnknown, Transient
from infra.http import NOT_SENT, UNANSWERED, Breaker, Request
from infra.mllp import END, HEAD_BYTES, NOISE_BYTES, START, Block, Deframer, Flaw, MllpTransport, frame

ASK = Request("MLLP", "/", b"MSH|1", repeatable=True)
ONCE = Request("MLLP", "/", b"MSH|1")
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

bodies = st.lists(st.binary(max_size=40).map(lambda it: it.translate(None, b"\x0b\x1c")), max_size=5)


def blocks(pieces: list[bytes], limit: int = 1000) -> tuple[list[Block], Deframer]:
    deframer = Deframer(limit)
    return [block for piece in pieces for block in deframer.feed(piece)], deframer


@given(bodies, st.binary(max_size=20).map(lambda it: it.translate(None, b"\x0b\x1c")), st.data())
def test_the_same_blocks_come_out_whatever_the_pieces(sent: list[bytes], noise: bytes, data: st.DataObject) -> None:
    stream = noise + noise.join(frame(it) for it in sent) + noise
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    found, deframer = blocks(pieces)
    assert [it.body for it in found] == sent
    assert all(it.whole for it in found)
    assert deframer.dropped == len(noise) * (1 if sent else 2)
    assert not deframer.inside


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_message_broken_off_by_the_next_one_is_told_apart(size: int) -> None:
    stream = START + b"half of" + START + b"whole" + END
    found, deframer = blocks([stream[at:at + size] for at in range(0, len(stream), size)])
    assert found == [Block(b"half of", Flaw.BROKEN_OFF), Block(b"whole")]
    assert deframer.dropped == 0
    _, deframer = blocks([START + b"half of", START + b"whole"])
    assert deframer.dropped == len(b"half of")


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_message_that_never_began_is_told_apart(size: int) -> None:
    stream = b"MSH|1" + END + frame(b"next") + b"\r\n" + END + frame(b"last") + b"noise"
    found, deframer = blocks([stream[at:at + size] for at in range(0, len(stream), size)])
    assert found == [Block(b"MSH|1", Flaw.NO_START), Block(b"next"), Block(b"last")]
    assert deframer.dropped == len(b"noise")


def test_what_is_left_of_a_message_when_the_line_ends_is_kept() -> None:
    _, deframer = blocks([frame(b"whole") + START + b"MSH|", b"half"])
    assert deframer.rest() == Block(b"MSH|half", Flaw.UNFINISHED)
    assert blocks([frame(b"whole") + b"noise"])[1].rest() is None
    large, deframer = blocks([START + b"x" * 2000])
    assert deframer.rest() == Block(b"x" * 2000, Flaw.TOO_LARGE)
    assert large == []


def test_noise_without_an_end_is_never_kept_whole() -> None:
    deframer = Deframer(1000)
    for _ in range(100):
        assert list(deframer.feed(b"n" * 10_000)) == []
        assert len(deframer._buffer) <= NOISE_BYTES + 10_000
    assert deframer.dropped == 1_000_000
    assert list(deframer.feed(frame(b"next"))) == [Block(b"next")]


@pytest.mark.parametrize("size", [1, 7, 500, 100_000])
def test_a_block_beyond_the_limit_is_never_kept_and_the_next_one_is_read(size: int) -> None:
    stream = frame(b"x" * 50_000) + frame(b"next")
    deframer, found = Deframer(10_000), []
    for start in range(0, len(stream), size):
        found += deframer.feed(stream[start:start + size])
        assert len(deframer._buffer) <= 10_002 + size
    assert [it.whole for it in found] == [False, True]
    assert found[0].body == b"x" * HEAD_BYTES
    assert found[1].body == b"next"


@pytest.mark.parametrize(("length", "whole"), [(9, True), (10, True), (11, False), (12, False), (13, False)])
@pytest.mark.parametrize("size", [1, 100])
def test_the_limit_is_exact(length: int, whole: bool, size: int) -> None:
    stream = frame(b"x" * length)
    found, _ = blocks([stream[at:at + size] for at in range(0, len(stream), size)], 10)
    assert [it.whole for it in found] == [whole]


@asynccontextmanager
async def partner(talk: Talk) -> AsyncIterator[MllpTransport]:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await talk(reader, writer)
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    line = MllpTransport("jinan_central", f"mllp://127.0.0.1:{port}", timeout=0.3, attempts=2, sleep=_at_once,
                         breaker=Breaker(3, 30.0))
    async with server:
        yield line
        await line.close()


async def _at_once(_: float) -> None:
    pass


async def test_one_connection_carries_many_messages_one_at_a_time() -> None:
    connections = 0

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while block := await _read(reader):
            writer.write(b"noise" + frame(b"ACK " + block))
    async with partner(echo) as line:
        answers = await asyncio.gather(*(line.send(Request("MLLP", "/", b"%d" % it, repeatable=True)) for it in range(9)))
    assert [it.body for it in answers] == [b"ACK %d" % it for it in range(9)]
    assert connections == 1


async def test_a_connection_the_partner_has_closed_is_opened_again() -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(b"ACK " + await _read(reader)))
    async with partner(once) as line:
        for _ in range(3):
            assert (await line.send(ASK)).body == b"ACK MSH|1"
            await asyncio.sleep(0.02)


async def test_a_partner_that_says_nothing_is_unanswered_and_its_connection_is_not_used_again() -> None:
    heard = []

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await _read(reader))
        if len(heard) <= 2:
            await asyncio.sleep(0.5)
        writer.write(frame(b"answer to %d" % len(heard)))
    async with partner(late) as line:
        with pytest.raises(Transient) as caught:
            await line.send(ASK)
        assert caught.value.code == UNANSWERED
        assert len(heard) == 2  # tried again, as it is repeatable
        assert (await line.send(ASK)).body == b"answer to 3"


async def test_what_must_not_be_repeated_is_sent_once_and_its_outcome_is_unknown() -> None:
    heard = []

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        heard.append(await _read(reader))
    async with partner(silent) as line:
        with pytest.raises(OutcomeUnknown):
            await line.send(ONCE)
    assert len(heard) == 1


async def test_nobody_at_home_is_not_sent_and_opens_the_breaker() -> None:
    async with partner(_nothing) as line:
        pass
    for _ in range(3):
        with pytest.raises(Transient) as caught:
            await line.send(ONCE)
        assert caught.value.code == NOT_SENT
    assert line.breaker_state == "open"


async def _nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    pass


@pytest.mark.parametrize("address", ["http://a:1", "mllp://a", "mllp://:1", "mllp://a:x", "mllp:a"])
def test_an_address_that_is_none_is_found_at_once(address: str) -> None:
    with pytest.raises(NeedsOperator, match="mllp://host:port"):
        MllpTransport("jinan_central", address)


async def _read(reader: asyncio.StreamReader) -> bytes:
    """One block, read by other means than ours."""
    try:
        return (await reader.readuntil(b"\x1c\r"))[1:-2]
    except asyncio.IncompleteReadError:
        return b""

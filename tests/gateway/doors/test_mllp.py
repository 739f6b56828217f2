"""HL7 v2 at the gateway's own port: what is heard, what is answered, and who cannot keep others waiting."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from adapters import registry
from adapters.hospitals.jinan_central.adapter import Adapter
from domain.errors import NeedsOperator
from gateway.doors.mllp import Door, Patience, serve
from infra.db import prescriptions
from infra.limits import Measure
from infra.objects import key_of
from sandbox.dialects import Line
from sandbox.dialects.hl7v2 import Speaker
from tasks.city import City
from tests.sandbox.dialects.test_hl7v2 import AT, EVEN, FACTS
from tests.support.city import make_settings
from tests.support.fakes import Replay

SLUG = "jinan_central"
SAMPLES = registry.HERE / "hospitals" / SLUG / "samples"
RDE, OMP = ((SAMPLES / name).read_bytes() for name in ("rde_long_term.hl7", "omp_home_delivery.hl7"))
CANCEL = (SAMPLES / "rde_cancel.hl7").read_bytes()


@pytest.fixture
def central(city: City) -> City:
    hospital = Adapter(registry.manifest("hospitals", SLUG), Replay(), {"sources": "127.0.0.1"})
    return replace(city, hospitals={**city.hospitals, SLUG: hospital})


class Caller:
    """A hospital's interface engine, without any of our code."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def say(self, data: bytes) -> None:
        self.writer.write(data)

    async def hear(self) -> list[list[str]]:
        """The segments of the next answer; none if the line is closed."""
        body = await self.hear_bytes()
        text = body.decode("gb18030" if b"GB 18030" in body[:200] else "utf-8")
        return [line.split("|") for line in text.split("\r") if line]

    async def hear_bytes(self) -> bytes:
        async with asyncio.timeout(60):
            try:
                return (await self.reader.readuntil(b"\x1c\r")).removeprefix(b"\x0b").removesuffix(b"\x1c\r")
            except (asyncio.IncompleteReadError, ConnectionError):
                return b""

    async def ask(self, message: bytes) -> list[list[str]]:
        self.say(block(message))
        return await self.hear()


def block(message: bytes) -> bytes:
    return b"\x0b" + message + b"\x1c\r"


def numbered(message: bytes, number: int) -> bytes:
    """The same prescription under another number and key."""
    return message.replace(b"JZ20261122", b"JZ%08d" % number).replace(b"RXC000", b"RX%d-" % number)


@asynccontextmanager
async def port(city: City, *networks: str, **patience: Any) -> AsyncIterator[Callable[[], Any]]:
    """A port of that hospital; each call is one more connection."""
    allowed = tuple(ip_network(it) for it in networks or ("127.0.0.0/8",))
    door = Door(city, SLUG, allowed, Patience(**patience))
    callers = []

    async def call() -> Caller:
        callers.append(Caller(*await asyncio.open_connection(*server.sockets[0].getsockname(), limit=1 << 24)))
        return callers[-1]

    async with await asyncio.start_server(door.connection, "127.0.0.1", 0) as server:
        yield call
        for caller in callers:
            caller.writer.close()


async def test_a_prescription_is_answered_once_it_is_kept(central: City) -> None:
    async with port(central) as call:
        caller = await call()
        header, said, order = await caller.ask(RDE)
        assert header[8] == "RRE^O12^RRE_O12"
        assert said[1:] == ["AA", "JZ20261122000001"]
        assert order[25] == "received^^SANYI"
        question = RDE.split(b"\r")[0].replace(b"RDE^O11^RDE_O11", b"ORM^O01") + b"\rORC|SS|||RXC0001\r"
        assert (await caller.ask(question))[2][25] == "received^^SANYI"
        assert (await caller.ask(CANCEL))[-1][1] == "CR"
        assert (await caller.ask(question))[2][25] == "cancelled^^SANYI"
        unknown = await caller.ask(question.replace(b"RXC0001", b"RXC0009"))
        assert unknown[1][1] == "AE"


async def test_several_messages_on_one_connection_are_answered_in_order(central: City) -> None:
    async with port(central) as call:
        caller = await call()
        caller.say(b"\r\nnoise" + block(RDE) + b"\n" + block(OMP) + b"junk" + block(CANCEL))
        assert [(await caller.hear())[1][1:] for _ in range(3)] == [
            ["AA", "JZ20261122000001"], ["AA", "JZ20261122000002"], ["AA", "JZ20261122000004"]]


async def test_the_same_message_again_gets_the_same_answer_and_another_content_does_not(central: City) -> None:
    async with port(central) as call:
        caller, other = await call(), await call()
        caller.say(block(RDE))
        first = await caller.hear_bytes()
        other.say(block(RDE))
        assert await other.hear_bytes() == first
        rows = await caller.ask(RDE.replace(b"|500||MG", b"|250||MG"))
        assert rows[1][1:] == ["AR", "JZ20261122000001"]
        assert rows[2][3].startswith("205")


async def test_a_refusal_says_where(central: City) -> None:
    async with port(central) as call:
        rows = await (await call()).ask((SAMPLES / "invalid" / "no_dose.hl7").read_bytes())
    assert rows[1][1] == "AE"
    assert all(it[2].startswith("RXE^") for it in rows if it[0] == "ERR")
    assert all(it[5].startswith("DOSE") for it in rows if it[0] == "ERR")


async def test_what_is_no_message_is_answered_and_the_line_stays(central: City) -> None:
    async with port(central) as call:
        caller = await call()
        for raw in (b"", b"<rx/>", b"\xff" * 50, (SAMPLES / "invalid" / "another_hospital.hl7").read_bytes()):
            rows = await caller.ask(raw)
            assert rows[0][8] == "ACK"
            assert rows[1][1] in ("AE", "AR")
        assert (await caller.ask(RDE))[1][1] == "AA"


async def test_bytes_that_drip_in_are_one_message(central: City) -> None:
    async with port(central) as call:
        caller = await call()
        data = block(RDE)
        for at in range(0, len(data), 97):
            caller.say(data[at:at + 97])
            await asyncio.sleep(0)
        assert (await caller.hear())[1][1] == "AA"


def kept(city: City, data: bytes) -> bool:
    """Whether the archive has these bytes."""
    try:
        return city.archive.get(key_of(data)) == data
    except NeedsOperator:
        return False


async def test_a_message_broken_off_by_the_next_is_archived_and_logged_and_the_next_one_counts(
        central: City, caplog: pytest.LogCaptureFixture) -> None:
    async with port(central) as call:
        caller = await call()
        caller.say(block(RDE)[:300] + block(OMP))
        assert (await caller.hear())[1][1:] == ["AA", "JZ20261122000002"]
    assert kept(central, RDE[:299])
    assert "broken_off" in caplog.text
    assert "示范" not in caplog.text


async def test_a_message_without_its_start_is_archived_logged_and_answered_under_its_number(
        central: City, caplog: pytest.LogCaptureFixture) -> None:
    async with port(central) as call:
        caller = await call()
        caller.say(RDE + b"\x1c\r" + block(OMP))
        rows = await caller.hear()
        assert rows[1][1:] == ["AE", "JZ20261122000001"]
        assert rows[2][5].startswith("HL7_FRAME")
        assert (await caller.hear())[1][1:] == ["AA", "JZ20261122000002"]
    assert kept(central, RDE)
    assert "no_start" in caplog.text


@pytest.mark.parametrize("patience", [{}, {"message": 0.2}])
async def test_half_a_message_is_archived_and_logged_with_its_cause(
        central: City, caplog: pytest.LogCaptureFixture, patience: dict[str, float]) -> None:
    async with port(central, **patience) as call:
        caller = await call()
        caller.say(block(RDE)[:-1])
        if not patience:
            caller.writer.write_eof()
        assert await caller.hear() == []
        for _ in range(3000):
            if "broken_block" in caplog.text:
                break
            await asyncio.sleep(0.02)
    assert kept(central, RDE + b"\x1c")
    assert "unfinished" in caplog.text
    assert ("TimeoutError" if patience else "closed") in caplog.text


async def test_noise_is_not_archived(central: City) -> None:
    async with port(central) as call:
        caller = await call()
        caller.say(b"\x0bGET / HTTP/1.1" + block(OMP))
        await caller.hear()
    assert kept(central, OMP)
    assert not kept(central, b"GET / HTTP/1.1")


async def test_a_message_that_is_too_large_is_refused_under_its_number_and_the_line_stays(central: City) -> None:
    async with port(central, message_bytes=5000) as call:
        caller = await call()
        rows = await caller.ask(RDE + b"NTE|1||" + b"x" * 300_000)
        assert rows[1][1:] == ["AE", "JZ20261122000001"]
        assert rows[2][5].startswith("HL7_TOO_LARGE")
        assert (await caller.ask(RDE))[1][1] == "AA"


async def test_a_hospital_beyond_its_share_is_told_to_send_again_later_and_nothing_of_it_is_kept(central: City) -> None:
    quota = Measure(len(RDE) + 10, 3600)
    quota.take("hospital:elsewhere", len(RDE))
    async with port(replace(central, share=quota)) as call:
        caller = await call()
        assert (await caller.ask(RDE))[1][1] == "AA"
        more = numbered(RDE, 2)
        rows = await caller.ask(more)
        assert rows[1][1:] == ["AR", "JZ00000002000001"]
        assert rows[2][3].startswith("207")
    assert not kept(central, more)


async def test_half_a_message_is_not_waited_for(central: City) -> None:
    async with port(central, message=0.2) as call:
        caller = await call()
        caller.say(block(RDE)[:-1])
        assert await caller.hear() == []


async def test_a_line_nobody_uses_is_closed(central: City) -> None:
    async with port(central, idle=0.1) as call:
        assert await (await call()).hear() == []


async def test_dripping_does_not_buy_time(central: City) -> None:
    async with port(central, message=0.4) as call:
        caller = await call()
        for at in range(40):
            caller.say(block(RDE)[at:at + 1])
            await asyncio.sleep(0.02)
        assert await caller.hear() == []


async def test_endless_noise_is_hung_up_on(central: City) -> None:
    async with port(central, noise_bytes=1000) as call:
        caller = await call()
        caller.say(b"GET / HTTP/1.1\r\n" * 1000)
        assert await caller.hear() == []


async def test_noise_between_messages_does_not_add_up_over_the_life_of_a_line(central: City) -> None:
    async with port(central, noise_bytes=1000) as call:
        caller = await call()
        for number in range(4):
            caller.say(b"\r\n" * 200)
            assert (await caller.ask(numbered(RDE, number + 1)))[1][1] == "AA"


async def test_a_stranger_is_not_even_heard(central: City) -> None:
    async with port(central, "10.3.0.0/16") as call:
        caller = await call()
        caller.say(block(RDE))
        assert await caller.hear() == []
    with central.db.reading() as session:
        assert prescriptions.find(session, SLUG, "RXC0001") is None


async def test_connections_are_counted_and_given_back(central: City) -> None:
    async with port(central, connections=2) as call:
        first, second, third = await call(), await call(), await call()
        assert await third.hear() == []
        assert (await first.ask(RDE))[1][1] == "AA"
        second.writer.close()
        await asyncio.sleep(0.05)
        assert (await (await call()).ask(OMP))[1][1] == "AA"


async def test_an_idle_connection_makes_room_for_a_new_one(central: City) -> None:
    async with port(central, connections=2, gives_way=0.05) as call:
        first, second = await call(), await call()
        assert (await first.ask(RDE))[1][1] == "AA"
        await asyncio.sleep(0.1)
        third = await call()
        assert (await third.ask(OMP))[1][1] == "AA"
        assert await second.hear() == []
        assert (await first.ask(RDE))[1][1] == "AA"


async def test_one_sender_cannot_take_all_connections(central: City) -> None:
    async with port(central, connections=4, per_sender=2) as call:
        await call()
        await call()
        assert await (await call()).hear() == []


async def test_half_a_message_makes_room_once_no_more_of_it_comes(central: City) -> None:
    async with port(central, connections=1, gives_way=0.05) as call:
        (await call()).say(block(RDE)[:100])
        await asyncio.sleep(0.2)
        assert (await (await call()).ask(OMP))[1][1] == "AA"


async def test_who_is_in_the_middle_of_a_message_does_not_give_way(central: City) -> None:
    async with port(central, connections=1, gives_way=5.0) as call:
        first = await call()
        first.say(block(RDE)[:100])
        await asyncio.sleep(0.05)
        assert await (await call()).hear() == []
        first.say(block(RDE)[100:])
        assert (await first.hear())[1][1] == "AA"


async def test_one_who_does_not_read_does_not_keep_others_waiting(central: City) -> None:
    async with port(central, answer=0.5) as call:
        deaf, other = await call(), await call()
        deaf.reader._transport.pause_reading()  # type: ignore[attr-defined]
        # Answers to nonsense pile up until the line is full.
        deaf.say(block(b"x") * 20_000)
        assert (await other.ask(RDE))[1][1] == "AA"
        assert (await other.ask(OMP))[1][1] == "AA"


async def test_many_speak_at_once_and_everyone_is_heard(central: City) -> None:
    async with port(central) as call:
        async def one(number: int) -> str:
            return (await (await call()).ask(numbered(OMP, number)))[1][1]
        assert await asyncio.gather(*(one(number) for number in range(8))) == ["AA"] * 8


async def test_the_simulated_hospital_and_the_door_understand_each_other(central: City) -> None:
    async with port(central) as call:
        caller = await call()
        host, number = caller.writer.get_extra_info("peername")
        line = Speaker(Line(SLUG, "", {"mllp": f"tcp://{host}:{number}"}, {}, lambda *_: None))
        for facts in (FACTS, EVEN):
            first = await line.send(line.prescription(facts))
            assert first is not None
            assert (first.outcome, first.status) == ("accepted", "received")
            assert await line.send(line.prescription(facts)) == first
            assert await line.where(facts) == "received"
            assert await _outcome(line, line.changed(facts)) == "conflict"
            for number in (1, 2):
                broken = replace(facts, key=f"B{facts.key}{number}", external_id=f"B{number}{facts.external_id}")
                assert await _outcome(line, line.broken(broken, number)) == "refused"
            cancelled = await line.send(line.cancel(facts, f"C{facts.key}", AT))
            assert cancelled is not None
            assert (cancelled.outcome, cancelled.status, cancelled.id) == ("accepted", "cancelled", first.id)
            new = replace(facts.medicines[0], drug="D999")
            unheard = replace(facts, key=f"N{facts.key}", external_id=f"N{facts.external_id}", medicines=(new,))
            assert await _outcome(line, line.prescription(unheard)) == "waiting"
        for _, writer in line._idle:
            writer.close()


async def _outcome(line: Speaker, message: bytes) -> str:
    heard = await line.send(message)
    return heard.outcome if heard else ""


async def test_a_failure_of_ours_asks_for_the_same_again_and_keeps_nothing(central: City, monkeypatch: Any) -> None:
    async with port(central) as call:
        caller = await call()
        real = central.archive.put

        def broken(raw: bytes) -> str:
            raise OSError("no space")
        monkeypatch.setattr(central.archive, "put", broken)
        rows = await caller.ask(RDE)
        assert rows[1][1:] == ["AR", "JZ20261122000001"]
        assert rows[2][3].startswith("207")
        monkeypatch.setattr(central.archive, "put", real)
        assert (await caller.ask(RDE))[1][1] == "AA"


async def test_a_hospital_in_the_settings_gets_its_port(central: City, tmp_path: Path) -> None:
    settings = make_settings(tmp_path, mllp_ports={SLUG: 0}, partner_secrets={SLUG: {"sources": "127.0.0.0/8, ::1"}})
    (server,) = await serve(central, settings)
    async with server:
        caller = Caller(*await asyncio.open_connection(*server.sockets[0].getsockname()))
        assert (await caller.ask(RDE))[1][1] == "AA"
        caller.writer.close()


@pytest.mark.parametrize("sources", [{}, {"sources": ""}, {"sources": "everywhere"}])
async def test_a_port_for_everybody_is_not_opened(central: City, tmp_path: Path, sources: dict[str, str]) -> None:
    settings = make_settings(tmp_path, mllp_ports={SLUG: 0}, partner_secrets={SLUG: sources})
    with pytest.raises(NeedsOperator, match="SANYI_PARTNER_SECRETS__JINAN_CENTRAL__SOURCES"):
        await serve(central, settings)


async def test_a_port_of_a_hospital_that_speaks_something_else_is_named(central: City, tmp_path: Path) -> None:
    other = next(slug for slug in central.hospitals if slug != SLUG)
    settings = make_settings(tmp_path, mllp_ports={other: 0}, partner_secrets={other: {"sources": "127.0.0.1"}})
    with pytest.raises(NeedsOperator, match=other):
        await serve(central, settings)


async def test_a_port_that_is_taken_or_of_nobody_is_named(central: City, tmp_path: Path) -> None:
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as other:
        taken = other.sockets[0].getsockname()[1]
        settings = make_settings(tmp_path, mllp_ports={SLUG: taken}, partner_secrets={SLUG: {"sources": "127.0.0.1"}})
        with pytest.raises(NeedsOperator, match="set another"):
            await serve(central, settings)
    settings = make_settings(tmp_path, mllp_ports={"nobody": 0}, partner_secrets={"nobody": {"sources": "127.0.0.1"}})
    with pytest.raises(NeedsOperator, match="nobody"):
        await serve(central, settings)

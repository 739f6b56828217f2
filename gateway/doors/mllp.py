"""The door for HL7 v2 over MLLP: a port for each hospital that speaks it, and an answer for each block.

An answer goes out after what it says is committed. MLLP has no passwords: a hospital is known by its port, by the
network it calls from and by MSH-3 and MSH-4.
"""

import asyncio
import math
import socket
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from adapters.dialects import hl7v2
from adapters.dialects.hl7v2_segments import MAX_BYTES, finding
from adapters.messages import Outcome, Verdict
from domain.errors import InvalidPayload, NeedsOperator, RxError
from domain.findings import Spot
from gateway.doors.bodies import Bodies
from infra import metrics
from infra.log import get_logger
from infra.mllp import CHUNK, Block, Deframer, Flaw, frame
from infra.settings import Settings
from tasks import intake
from tasks.city import City

log = get_logger(__name__)

DOOR = "mllp"
SOURCES = "sources"
"""Secret of a hospital that lists the networks it calls from, e.g. `10.3.0.0/16,10.4.0.7`."""

Network = IPv4Network | IPv6Network


@dataclass(frozen=True)
class Patience:
    """How much one connection may ask of us. Times in seconds."""

    connections: int = 32
    """At once, on one port."""
    per_sender: int = 16
    """At once, from one address."""
    gives_way: float = 10.0
    """After so long without a byte a connection makes room for a new one, where there are too many."""
    message_bytes: int = MAX_BYTES
    noise_bytes: int = 1 << 16
    """Outside of blocks, since the last message, before we hang up."""
    idle: float = 900.0
    """Between two messages."""
    message: float = 60.0
    """From the first byte of a message to its last."""
    answer: float = 20.0
    """Until the other side has read an answer."""


@dataclass(eq=False)
class Caller:
    """One connection."""

    address: str
    writer: asyncio.StreamWriter = field(repr=False)
    idle_since: float | None
    """When it last said something, by the monotonic clock; None while a message is answered."""


async def serve(city: City, settings: Settings, host: str = "127.0.0.1", patience: Patience | None = None,
                bodies: Bodies | None = None) -> list[asyncio.Server]:
    """Listen on the port of each hospital in `settings.mllp_ports`, on a running loop; the caller closes the servers.

    `bodies` says who is read next, at all doors together. Several gateways of one machine share a port.
    Raises `NeedsOperator` for a port that is taken, and for a hospital that is unknown, has no networks or does not speak
    HL7 v2.
    """
    servers: list[asyncio.Server] = []
    try:
        for slug, port in settings.mllp_ports.items():
            door = Door(city, slug, _networks(settings, slug), patience or Patience(), bodies)
            servers.append(await asyncio.start_server(
                door.connection, host, port, reuse_port=hasattr(socket, "SO_REUSEPORT")))
            log.info("mllp.open", hospital=slug, port=servers[-1].sockets[0].getsockname()[1])
    except (OSError, NeedsOperator) as error:
        for server in servers:
            server.close()
        if isinstance(error, OSError):
            raise NeedsOperator(f"port {port} of {slug}: {error.strerror}; set another", code="port") from None
        raise
    return servers


class Door:
    """One hospital's port."""

    def __init__(self, city: City, slug: str, networks: tuple[Network, ...], patience: Patience,
                 bodies: Bodies | None = None) -> None:
        if slug not in city.hospitals:
            raise NeedsOperator(f"no hospital {slug} for its MLLP port", code="unknown_hospital")
        self._city = city
        self._slug = slug
        self._whose = f"hospital:{slug}"
        hospital = city.hospitals[slug]
        if not isinstance(hospital, hl7v2.Speaker):
            raise NeedsOperator(f"hospital {slug} does not speak HL7 v2; take its MLLP port away", code="not_hl7v2")
        self._ends = hospital.ends
        self._networks = networks
        self._patience = patience
        self._bodies = bodies or Bodies()
        self._callers: set[Caller] = set()

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from the first byte to the last; an error on it ends no other."""
        caller = self._welcome(writer)
        deframer = Deframer(self._patience.message_bytes)
        cause = "closed"
        try:
            if caller:
                await self._converse(reader, caller, deframer)
        except (OSError, TimeoutError) as error:
            cause = type(error).__name__
            log.info("mllp.lost", hospital=self._slug, error=cause)
        finally:
            if caller:
                self._callers.discard(caller)
            # An answer that is not read must not keep the connection open: a slow reader has had its time.
            writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()
            with suppress(OSError):
                await writer.wait_closed()
        if (rest := deframer.rest()) and not self._beyond_share(rest):
            await asyncio.to_thread(self._keep, rest, cause)

    def _welcome(self, writer: asyncio.StreamWriter) -> Caller | None:
        peer = writer.get_extra_info("peername")
        if not peer:
            return None  # gone already
        address = ip_address(peer[0])
        address = getattr(address, "ipv4_mapped", None) or address
        if not any(address in network for network in self._networks):
            log.warning("mllp.stranger", hospital=self._slug, address=str(address))
            return None
        caller = Caller(str(address), writer, time.monotonic())
        siblings = {it for it in self._callers if it.address == caller.address}
        for among, most in ((siblings, self._patience.per_sender), (self._callers, self._patience.connections)):
            if len(among) >= most and not self._makes_room(among):
                log.warning("mllp.too_many_connections", hospital=self._slug, address=caller.address, open=len(self._callers))
                return None
        self._callers.add(caller)
        return caller

    def _makes_room(self, among: Collection[Caller]) -> bool:
        """Close the connection that has said nothing for longest, if that is long enough. Its sender may call again."""
        idle = [(caller.idle_since, caller) for caller in among if caller.idle_since is not None]
        since, oldest = min(idle, key=lambda pair: pair[0], default=(0.0, None))
        if oldest is None or time.monotonic() - since < self._patience.gives_way:
            return False
        log.info("mllp.gives_way", hospital=self._slug, address=oldest.address, idle=round(time.monotonic() - since, 1))
        self._callers.discard(oldest)
        oldest.writer.transport.abort()
        return True

    async def _converse(self, reader: asyncio.StreamReader, caller: Caller, deframer: Deframer) -> None:
        begun = 0.0
        while True:
            left = self._patience.message - (time.monotonic() - begun) if deframer.inside else self._patience.idle
            async with asyncio.timeout(left):
                data = await reader.read(CHUNK)
            if not data:
                return
            was_inside = deframer.inside
            for block in deframer.feed(data):
                was_inside = False
                caller.idle_since = None
                answer = await self._answer(block)
                if answer is None:
                    continue
                caller.writer.write(frame(answer))
                async with asyncio.timeout(self._patience.answer):
                    await caller.writer.drain()
            if deframer.inside and not was_inside:
                begun = time.monotonic()
            caller.idle_since = time.monotonic()
            if deframer.dropped > self._patience.noise_bytes:
                log.warning("mllp.noise", hospital=self._slug, bytes=deframer.dropped)
                return

    def _keep(self, broken: Block, cause: str = "") -> None:
        """Log a block that broke on the way, and archive what there is of it if it is of a message."""
        key = ""
        if broken.body.lstrip().startswith(b"MSH") and broken.flaw is not Flaw.TOO_LARGE:
            try:
                key = self._city.archive.put(broken.body)
            except (OSError, RxError) as error:
                log.error("mllp.not_archived", hospital=self._slug, error=type(error).__name__)
        log.warning("mllp.broken_block", hospital=self._slug, flaw=str(broken.flaw), cause=cause, bytes=len(broken.body),
                    archived=key)

    async def _answer(self, block: Block) -> bytes | None:
        """The answer to one block: the stored one, or that we could not do our part; None to one that was broken off.

        Its sender has begun another already, and would take an answer for that of the other.
        """
        started, status = time.monotonic(), 500
        try:
            if self._beyond_share(block):
                status = 429
                return None if block.flaw is Flaw.BROKEN_OFF else hl7v2.unable(self._ends, block.body, self._city.now())
            if not block.whole:
                status = 413 if block.flaw is Flaw.TOO_LARGE else 400
                await asyncio.to_thread(self._keep, block)
                return None if block.flaw is Flaw.BROKEN_OFF else self._refused(block)
            async with self._bodies.turn(self._whose, len(block.body)):
                status, body = await asyncio.to_thread(self._say, block.body)
            return hl7v2.addressed(body, block.body)
        except Exception as error:
            # Not committed, so not answered with AA or AE: the sender keeps it and sends it again.
            log.error("mllp.failed", hospital=self._slug, error=type(error).__name__)
            return hl7v2.unable(self._ends, block.body, self._city.now())
        finally:
            metrics.answered(DOOR, status, time.monotonic() - started)

    def _beyond_share(self, block: Block) -> bool:
        """Whether the hospital has had its share of the hour; if not, the block is counted."""
        seconds = self._city.share.take(self._whose, len(block.body)) if self._city.share else 0.0
        if seconds:
            log.warning("door.quota", sender=self._whose, seconds=math.ceil(seconds))
        return seconds > 0

    def _say(self, raw: bytes) -> tuple[int, bytes]:
        try:
            question = hl7v2.status_question(raw, self._ends)
        except InvalidPayload:
            question = None  # intake keeps it and says why it is none
        if question is None:
            answer = intake.receive(self._city, self._slug, raw)
            return answer.status, answer.body
        prescription = intake.where_is(self._city, self._slug, question.first("ORC").datum(4).value)
        about = (prescription.id, str(prescription.status)) if prescription else ("", "")
        return 200 if prescription else 404, hl7v2.located(self._ends, question, *about, self._city.now())

    def _refused(self, block: Block) -> bytes:
        refusal = finding("HL7_TOO_LARGE" if block.flaw is Flaw.TOO_LARGE else "HL7_FRAME", Spot("MSH"))
        verdict = Verdict(Outcome.REFUSED, self._city.now(), self._slug, findings=[refusal])
        return hl7v2.addressed(hl7v2.acknowledge(self._ends, None, verdict).body, block.body)


def _networks(settings: Settings, slug: str) -> tuple[Network, ...]:
    secret = settings.partner_secrets.get(slug, {}).get(SOURCES)
    try:
        networks = tuple(ip_network(it.strip()) for it in secret.get_secret_value().split(",")) if secret else ()
    except ValueError:
        networks = ()
    if not networks:
        raise NeedsOperator(f"hospitals/{slug}: set SANYI_PARTNER_SECRETS__{slug.upper()}__{SOURCES.upper()} to the "
                            "networks it calls from, with commas between", code="no_sources")
    return networks

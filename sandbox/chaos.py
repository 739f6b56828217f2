"""A bad line on purpose: a TCP proxy between the platform and a partner that delays, resets, cuts and swallows.

It knows nothing of HTTP. An *exchange* begins with the first byte a caller sends after the other side spoke, and
each exchange suffers at most one fault. `python -m sandbox.chaos --control PORT --line NAME=PORT:HOST:PORT …`
"""

import argparse
import asyncio
import contextlib
import json
import signal
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.faults import Faults

CHUNK = 65_536
WHOLE = (
    "reset_before",
    "reset_after",
    "cut_request",
    "cut_answer",
    "blackhole",
)
"""What may befall an exchange, one at most, drawn in this order."""

KNOWN = {
    "reset_before": "rate: the connection is reset before a byte of the request is passed on",
    "reset_after": "rate: the request arrives; the connection is reset instead of passing the answer on",
    "cut_request": "rate: the connection ends after the first bytes of the request",
    "cut_answer": "rate: the request arrives; the connection ends after the first bytes of the answer",
    "cut_bytes": "[least, most] bytes that pass before a cut (default 1 to 120)",
    "blackhole": "rate: the request is swallowed and nothing ever answers",
    "delay": "rate: the request is passed on late",
    "delay_ms": "[least, most] milliseconds of a delay (default 20 to 400)",
}
"""What can be asked for on the command line and, while it runs, through the control port."""


class Line:
    """One way through the proxy, to one address, with its own faults. The n-th exchange of a seed has the same luck."""

    def __init__(self, name: str, host: str, port: int, seed: int = 1, faults: Mapping[str, Any] | None = None) -> None:
        self.name = name
        self.host = host
        self.port = port
        self.settings: dict[str, Any] = {}
        self.counts: Counter[str] = Counter()
        """Exchanges, and how often each fault took place."""
        self._luck = Faults(seed)
        self._open: set[asyncio.Task[None]] = set()
        self.update(faults or {})

    def update(self, settings: Mapping[str, Any]) -> None:
        """Change some settings, keep the others. Raises `ValueError` for an unknown fault."""
        if unknown := settings.keys() - KNOWN.keys():
            raise ValueError(f"unknown fault: {', '.join(sorted(unknown))}")
        self.settings |= settings

    async def listen(self, port: int) -> asyncio.Server:
        return await asyncio.start_server(self._accept, "127.0.0.1", port)

    async def close(self) -> None:
        """End every conversation that is still open."""
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    def exchange(self) -> "Exchange":
        """The next exchange and what befalls it."""
        number = self.counts["exchanges"]
        self.counts["exchanges"] += 1
        late = 0.0
        if self._strikes("delay", number):
            least, most = self.settings.get("delay_ms", (20, 400))
            late = self._luck.between(least, most, "ms", self.name, number) / 1000
        fault = next((name for name in WHOLE if self._strikes(name, number)), "")
        least, most = self.settings.get("cut_bytes", (1, 120))
        passed = int(self._luck.between(least, most + 1, "bytes", self.name, number))
        self.counts.update([*(["delay"] if late else []), *([fault] if fault else [])])
        return Exchange(fault, late, passed)

    def _strikes(self, fault: str, number: int) -> bool:
        return self._luck.draw(fault, self.name, number) < float(self.settings.get(fault, 0))

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            await Conversation(self, reader, writer).run()
        finally:
            self._open.discard(task)


@dataclass
class Exchange:
    """One request and its answer."""

    fault: str = ""
    late: float = 0.0
    """Seconds."""
    left: int = 0
    """Bytes that still pass before a cut."""
    answered: bool = False


class _Broken(Exception):
    """This conversation is over. `reset`: with an RST, as from a machine that forgot us; else with an ordinary end."""

    def __init__(self, *, reset: bool) -> None:
        super().__init__()
        self.reset = reset


class Conversation:
    """One connection from a caller and the one behind it."""

    def __init__(self, line: Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.line = line
        self.caller = reader, writer
        self.now = Exchange(answered=True)

    async def run(self) -> None:
        """Until either side ends it, or a fault does."""
        reader, writer = self.caller
        try:
            behind, ahead = await asyncio.open_connection(self.line.host, self.line.port)
        except OSError:
            _reset(writer)  # The partner is down; the caller sees the same as on a direct call, only a moment later.
            return
        pumps = {asyncio.create_task(_pump(reader, ahead, self._asked)),
                 asyncio.create_task(_pump(behind, writer, self._answered))}
        reset = False
        try:
            done, _ = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in done:
                error = pump.exception()
                reset = reset or isinstance(error, OSError) or (isinstance(error, _Broken) and error.reset)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for each in (ahead, writer):
                if reset:
                    _reset(each)
                else:
                    each.close()

    async def _asked(self, data: bytes, onward: asyncio.StreamWriter) -> None:
        """From the caller: the first bytes after an answer begin the next exchange."""
        if self.now.answered:
            self.now = self.line.exchange()
            if self.now.late:
                await asyncio.sleep(self.now.late)
        match self.now.fault:
            case "reset_before":
                raise _Broken(reset=True)
            case "blackhole":
                return  # Read on, so that the caller can send all of it and wait.
            case "cut_request":
                await self._cut(data, onward)
            case _:
                await _pass(data, onward)

    async def _answered(self, data: bytes, onward: asyncio.StreamWriter) -> None:
        """From behind: the effect has taken place by now, although the caller may see an error."""
        self.now.answered = True
        match self.now.fault:
            case "reset_after":
                raise _Broken(reset=True)
            case "cut_answer":
                await self._cut(data, onward)
            case _:
                await _pass(data, onward)

    async def _cut(self, data: bytes, onward: asyncio.StreamWriter) -> None:
        await _pass(data[:self.now.left], onward)
        self.now.left -= len(data)
        if self.now.left <= 0:
            raise _Broken(reset=False)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
                each: Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]) -> None:
    while data := await reader.read(CHUNK):
        await each(data, writer)


async def _pass(data: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(data)
    await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    # A socket closed without lingering sends RST instead of FIN.
    if (connection := writer.get_extra_info("socket")) is not None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Control:
    """One JSON object per line: `{"faults": {…}, "lines": ["ankang"]}` (no lines: all); the answer says what happened."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self.lines = {line.name: line for line in lines}

    async def listen(self, port: int) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                writer.write(json.dumps(self.answer(line)).encode() + b"\n")
                await writer.drain()
        writer.close()

    def answer(self, line: bytes) -> dict[str, Any]:
        """Change what was asked for, and say what every line does and has done."""
        try:
            order = json.loads(line)
            for name in order.get("lines") or self.lines:
                self.lines[name].update(order.get("faults", {}))
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            return {"error": f"{type(error).__name__}: {error}"}
        return {"lines": {line.name: {"faults": line.settings, "counts": line.counts} for line in self.lines.values()}}


async def serve(lines: Mapping[int, Line], control: int) -> None:
    """Serve lines by their listening port until SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    servers = [await line.listen(port) for port, line in lines.items()]
    servers.append(await Control(list(lines.values())).listen(control))
    await stop.wait()
    for server in servers:
        server.close()
    for line in lines.values():
        await line.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox.chaos", formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__,
        epilog="faults (JSON, also through the control port):\n" + "\n".join(f"  {k}: {v}" for k, v in KNOWN.items()))
    parser.add_argument("--control", type=int, required=True, help="port of the control")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", type=json.loads, default={}, help="JSON, see below")
    parser.add_argument("--line", action="append", required=True, metavar="NAME=PORT:HOST:PORT",
                        help="listen on the first port, lead to the address; repeat")
    options = parser.parse_args()
    lines = {}
    for text in options.line:
        name, _, way = text.partition("=")
        port, host, onward = way.split(":")
        lines[int(port)] = Line(name, host, int(onward), options.seed, options.faults)
    asyncio.run(serve(lines, options.control))


if __name__ == "__main__":
    main()

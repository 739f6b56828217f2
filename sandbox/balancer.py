"""A round-robin TCP balancer: what stands before several gateways, or several replicas of Prefect's API.

`python -m sandbox.balancer --port 8000 --to 8001 --to 8002`; all on loopback.
"""

import argparse
import asyncio
import contextlib
from collections.abc import Sequence

PATIENCE_SECONDS = 10
"""How long a caller waits for the first backend to come back when all are away."""


class Balancer:
    """Each new connection goes to the next backend that accepts it."""

    def __init__(self, backends: Sequence[int]) -> None:
        self._backends = list(backends)
        self._next = 0

    async def serve(self, port: int) -> asyncio.Server:
        """Listen on this port; 0 for any."""
        return await asyncio.start_server(self._connected, "127.0.0.1", port)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there_writer = await self._connect()
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pass_on(reader, there_writer), _pass_on(there_reader, writer))

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to a living backend. Raises `ConnectionError` if there is none for a while."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            for _ in self._backends:
                self._next = (self._next + 1) % len(self._backends)
                with contextlib.suppress(OSError):
                    return await asyncio.open_connection("127.0.0.1", self._backends[self._next])
            await asyncio.sleep(0.1)
        raise ConnectionError("no backend")


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError, RuntimeError):
        writer.close()


async def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sandbox.balancer", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--to", type=int, action="append", required=True)
    options = parser.parse_args()
    async with await Balancer(options.to).serve(options.port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main())

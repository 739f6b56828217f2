"""Partners on real sockets, in this process."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

SECRETS = {
    "SANDBOX_ANKANG_TOKEN": "ankang-token", "SANDBOX_ANKANG_SECRET": "ankang-secret",
    "SANDBOX_BAICAO_KEY": "baicao-key", "SANDBOX_BAICAO_SECRET": "baicao-secret",
    "SANDBOX_JISHI_TOKEN": "jishi-token",
    "SANDBOX_CENTRE_PAASID": "sanyi", "SANDBOX_CENTRE_SECRET": "centre-secret",
    "SANDBOX_HOSPITAL_TOKEN": "hospital-token", "SANDBOX_HOSPITAL_REPORT_TOKEN": "report-token",
    "SANDBOX_JISONG_TOKEN": "jisong-token", "SANDBOX_JISONG_SECRET": "jisong-secret",
    "SANDBOX_SHOP_LL01": "token-of-shopkeeper-1", "SANDBOX_SHOP_LL02": "token-of-shopkeeper-2",
    "SANDBOX_PHARMACIST_1_TOKEN": "one", "SANDBOX_PHARMACIST_2_TOKEN": "two",
}


@asynccontextmanager
async def serving(app: Any, port: int = 0) -> AsyncIterator[str]:
    """The address of an application that is being served on a loopback socket."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False, timeout_graceful_shutdown=1))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(true: Callable[[], Any], seconds: float = 60) -> None:
    """Wait until something holds, or fail."""
    for _ in range(int(seconds / 0.02)):
        if true():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not happen in time")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port

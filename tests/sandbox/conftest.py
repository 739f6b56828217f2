"""What a sandbox partner is started with, and a gateway that only writes down what it hears."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, Response

from sandbox.faults import Faults
from sandbox.loopback import NO_CERTIFICATES
from sandbox.partner import Setting
from tests.support.sockets import SECRETS, serving


@pytest.fixture
def setting(tmp_path: Path) -> Callable[..., Setting]:
    def make(urls: dict[str, str] | None = None, faults: dict[str, Any] | None = None, seed: int = 1) -> Setting:
        return Setting(tmp_path, seed, 0.1, Faults(seed, faults or {}), urls or {}, SECRETS)

    return make


class Listener:
    """A gateway that keeps every callback it gets and answers as it was told to."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, dict[str, str], bytes]] = []
        self.answers: list[int] = []
        self.app = FastAPI()

        @self.app.post("/callbacks/{chain}")
        async def callback(chain: str, request: Request) -> Response:
            self.heard.append((chain, dict(request.headers), await request.body()))
            return Response(status_code=self.answers.pop(0) if self.answers else 200)


@pytest.fixture
async def gateway() -> AsyncIterator[tuple[Listener, str]]:
    listener = Listener()
    async with serving(listener.app) as url:
        yield listener, url


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=60, verify=NO_CERTIFICATES) as client:
        yield client

"""With a hospital's real test address, only what was taken there counts as heard."""

import httpx
import pytest
from fastapi import FastAPI, Request, Response

from sandbox.conformance.relay import Relay


class Endpoint:
    """A hospital's test address: takes reports, until it does not."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, bytes, str]] = []
        self.status = 200
        self.app = FastAPI()

        @self.app.post("/{path:path}")
        async def take(path: str, request: Request) -> Response:
            self.taken.append((path, await request.body(), request.headers.get("sanyi-key", "")))
            return Response(b"theirs", self.status, {"x-own": "1"})


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


@pytest.fixture
def heard() -> list[bytes]:
    return []


@pytest.fixture
def line(endpoint: Endpoint, heard: list[bytes]) -> httpx.AsyncClient:
    """What the platform knocks at."""
    app = FastAPI()

    @app.post("/reports", status_code=204)
    async def reports(request: Request) -> Response:
        heard.append(await request.body())
        return Response(status_code=204)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    relay = Relay(app, "http://hospital.example", httpx.ASGITransport(endpoint.app))
    return httpx.AsyncClient(transport=httpx.ASGITransport(relay), base_url="http://testserver")


async def test_a_report_goes_on_as_it_is_and_the_answer_is_theirs(
    line: httpx.AsyncClient, endpoint: Endpoint, heard: list[bytes]
) -> None:
    answer = await line.post("/reports", content="报告".encode(), headers={"Sanyi-Key": "k1"})
    assert endpoint.taken == [("reports", "报告".encode(), "k1")]
    assert (answer.status_code, answer.content, answer.headers["x-own"]) == (200, b"theirs", "1")
    assert heard == ["报告".encode()]


async def test_a_report_they_did_not_take_was_not_heard(
    line: httpx.AsyncClient, endpoint: Endpoint, heard: list[bytes]
) -> None:
    endpoint.status = 500
    assert (await line.post("/reports", content=b"x")).status_code == 500
    assert heard == []


async def test_the_simulated_hospital_itself_is_not_asked_for_there(line: httpx.AsyncClient, endpoint: Endpoint) -> None:
    assert (await line.get("/health")).json() == {"status": "ok"}
    assert endpoint.taken == []

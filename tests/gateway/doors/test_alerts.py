"""The bell that Prefect's server rings: our words reach the operators' address, and nobody else's do."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from fastapi.testclient import TestClient

from gateway.app import create_app
from tasks.alerts import ALERTS, bell
from tasks.city import City
from tests.support.city import OPERATOR_TOKEN, make_settings

RUN = "prefect.flow-run.0199d3b4-0000-7000-8000-000000000001"


class Room:
    """Keeps what is posted to it, and answers as told."""

    def __init__(self) -> None:
        self.heard: list[dict[str, str]] = []
        self.status = 200
        room = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                room.heard.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(room.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing on the screen."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def room() -> Iterator[Room]:
    made = Room()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def client(city: City, tmp_path: Path, room: Room) -> TestClient:
    settings = make_settings(tmp_path, alert_webhook=f"http://127.0.0.1:{room.server.server_port}/robot?key=secret")
    return TestClient(create_app(city, settings), raise_server_exceptions=False)


def ring(client: TestClient, key: str, **said: Any) -> Any:
    return client.post("/api/alerts", json=said, headers={"Authorization": f"Bearer {key}"})


@pytest.mark.parametrize("slug", ALERTS)
def test_the_operators_hear_our_words(client: TestClient, city: City, room: Room, slug: str) -> None:
    assert ring(client, bell(city.cipher), alert=slug, about=RUN).status_code == 200
    assert room.heard == [{"text": f"{ALERTS[slug].what}\n{ALERTS[slug].cure}", "alert": slug, "about": RUN}]


def test_nobody_elses_words_get_through(client: TestClient, city: City, room: Room) -> None:
    key = bell(city.cipher)
    assert ring(client, key, alert="red-prescription", about="call 555-1234 now").status_code == 200
    assert room.heard[0]["about"] == ""
    assert ring(client, key, alert="come at once").status_code == 404
    assert ring(client, key, alert="red-prescription", text="come").status_code == 422
    assert len(room.heard) == 1


@pytest.mark.parametrize("key", ["", "guess", OPERATOR_TOKEN])
def test_only_prefect_rings(client: TestClient, room: Room, key: str) -> None:
    assert ring(client, key, alert="red-prescription").status_code == 401
    assert not room.heard


def test_an_address_that_does_not_take_it_is_said_and_logged_without_the_address(
        client: TestClient, city: City, room: Room, caplog: pytest.LogCaptureFixture) -> None:
    room.status = 500
    answer = ring(client, bell(city.cipher), alert="red-prescription")
    assert answer.status_code == 503
    assert "secret" not in answer.text + caplog.text

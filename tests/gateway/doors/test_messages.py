"""One door for every dialect that is one message per request."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from gateway.app import create_app
from gateway.doors import messages
from tasks.city import City
from tests.support.city import HOSPITAL, HOSPITAL_TOKEN, bundle, cancel, make_settings, rxno

ADDRESS = f"/messages/{HOSPITAL}"


@pytest.fixture
def client(city: City, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """As if our hospital spoke a dialect that has no door of its own."""
    monkeypatch.setattr(messages, "OWN_DOORS", frozenset({"erx"}))
    return TestClient(create_app(city, make_settings(tmp_path)), follow_redirects=False, raise_server_exceptions=False)


def test_a_hospital_whose_dialect_has_locks_of_its_own_does_not_come_in_here(city: City, tmp_path: Path) -> None:
    tokens = {slug: {"token": HOSPITAL_TOKEN} for slug in ("jinan_second", HOSPITAL)}
    gateway = TestClient(create_app(city, make_settings(tmp_path, partner_secrets=tokens)))
    for path in (f"/messages/{HOSPITAL}", "/messages/jinan_second", "/fhir/jinan_second/Bundle"):
        answer = gateway.post(path, content=bundle(1), headers={"Authorization": f"Bearer {HOSPITAL_TOKEN}"})
        assert answer.status_code == 404, path


def test_a_message_of_any_kind_is_taken_and_answered_by_its_own_adapter(client: TestClient, hospital: dict[str, str]) -> None:
    first = client.post(ADDRESS, content=bundle(1), headers=hospital)
    assert (first.status_code, first.headers["content-type"]) == (201, "application/fhir+json")
    assert client.post(ADDRESS, content=cancel(1), headers=hospital).status_code == 201


def test_the_same_bytes_get_the_same_answer_and_say_so(client: TestClient, hospital: dict[str, str]) -> None:
    first = client.post(ADDRESS, content=bundle(1), headers=hospital)
    again = client.post(ADDRESS, content=bundle(1), headers=hospital)
    asked = client.get(f"{ADDRESS}/M0001", headers=hospital)
    assert first.content == again.content == asked.content
    assert "sanyi-replayed" not in first.headers
    assert again.headers["sanyi-replayed"] == asked.headers["sanyi-replayed"] == "true"


def test_where_a_prescription_is(client: TestClient, hospital: dict[str, str]) -> None:
    client.post(ADDRESS, content=bundle(1), headers=hospital)
    told = client.get(f"{ADDRESS}/prescriptions/{rxno(1)}", headers=hospital).json()
    assert (told["prescription"], told["status"]) == (rxno(1), "received")
    assert told["id"].startswith("rx_")


def test_what_is_not_there_is_said_in_json(client: TestClient, hospital: dict[str, str]) -> None:
    for path, code in ((f"{ADDRESS}/M9", "unknown_key"), (f"{ADDRESS}/prescriptions/RX9", "unknown_prescription"),
                       ("/messages/nobody/M1", "unknown_hospital")):
        answer = client.get(path, headers=hospital)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, code)


def test_nobody_comes_in_without_the_hospitals_own_token(client: TestClient, pharmacist: dict[str, str]) -> None:
    for headers in ({}, pharmacist, {"Authorization": "Bearer "}):
        answer = client.post(ADDRESS, content=bundle(1), headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")


def test_a_message_that_is_too_large_is_not_even_read(client: TestClient, hospital: dict[str, str]) -> None:
    assert client.post(ADDRESS, content=b"x" * ((20 << 20) + 1), headers=hospital).status_code == 413

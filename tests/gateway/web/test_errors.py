"""What is malformed is our own 4xx; what passes is 503 and says when to come back; and every page of it is safe."""

import errno
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from domain.errors import NeedsOperator
from gateway.app import create_app
from gateway.web.errors import http_error
from infra.limits import Measure
from tasks.city import City
from tests.support.city import HOSPITAL_TOKEN, OPERATOR_TOKEN, bundle, make_settings

OURS = {"Origin": "http://testserver"}


def is_ours(answer: Any, *statuses: int) -> bool:
    return (answer.status_code in statuses and "default-src 'none'" in answer.headers["content-security-policy"]
            and answer.headers["cache-control"] == "no-store")


def signed_in(client: TestClient) -> TestClient:
    client.post("/sign-in", data={"code": OPERATOR_TOKEN}, headers=OURS)
    return client


@pytest.mark.parametrize("cookie", ["[" * 30_000, "{" * 30_000, "x" * 100_000, "\\", '"', "a.b.c", "%5B" * 9000])
def test_whatever_is_in_the_cookie_it_is_nobodys(client: TestClient, cookie: str) -> None:
    headers = {"Cookie": f"sanyi_session={cookie}"}
    for path in ("/", "/nowhere", "/rx/x"):
        assert is_ours(client.get(path, headers=headers), 303, 404)


@pytest.mark.parametrize("path", ["/sign-in", "/rx/rx_abc/wake", "/mapping", "/review/rx_abc/decision", "/sign-out"])
def test_a_form_of_too_many_fields_or_from_a_place_that_is_none_is_refused(client: TestClient, path: str) -> None:
    many = "&".join(f"a{number}=" for number in range(501))
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert is_ours(client.post("/sign-in", content=many, headers=OURS | form), 413)
    assert is_ours(client.post(path, content="a=%ff%00&b", headers={"Origin": "http://["} | form), 303, 403)
    signed_in(client)
    assert is_ours(client.post(path, content=many, headers={"Origin": "http://["} | form), 403, 413)


@pytest.mark.parametrize("path", [
    "/rx?before=9999-12-31T23:59:59-23:59~x", "/rx?before=0001-01-01T00:00:00%2B23:59~rx_aaaaaaaaaaaaaaaa", "/rx?before=x",
    "/rx?before=2026-11-22T00:00:00~rx_aaaaaaaaaaaaaaaa", "/rx/%00", "/rx?q=%00", "/runs/%00", "/review/%00",
    "/api/rx/%00/history", "/api/ops/prescriptions?after=%00", "/api/ops/prescriptions?limit=1e9",
])
def test_an_address_that_is_none_is_refused_and_not_our_fault(client: TestClient, path: str) -> None:
    assert is_ours(signed_in(client).get(path), 400, 401, 404, 422), path


@pytest.mark.parametrize("error", [
    OSError(errno.ENOSPC, "No space left on device"),
    NeedsOperator("sha256/ab: No space left on device", code="disk"),
    sa.exc.OperationalError("INSERT", {}, sqlite3.OperationalError("database is locked")),
    sa.exc.OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full")),
    sa.exc.OperationalError("SELECT", {}, psycopg.OperationalError("connection refused")),
    sa.exc.OperationalError("SELECT", {}, psycopg.errors.AdminShutdown("terminating")),
    sa.exc.OperationalError("INSERT", {}, psycopg.errors.DiskFull("no space")),
    sa.exc.TimeoutError("QueuePool limit"),
], ids=lambda error: f"{type(error).__name__} {error.args[0]}"[:60])
def test_what_passes_is_503_and_says_when_to_come_back(error: Exception) -> None:
    assert http_error(error).status_code == 503


@pytest.mark.parametrize("error", [
    sa.exc.IntegrityError("INSERT", {}, sqlite3.IntegrityError("UNIQUE constraint failed")),
    sa.exc.OperationalError("SELECT", {}, sqlite3.OperationalError("no such table: x")),
    sa.exc.ProgrammingError("SELECT", {}, psycopg.errors.UndefinedTable("x")),
    OSError(errno.EINVAL, "Invalid argument"), ValueError("x"),
], ids=lambda error: type(error).__name__)
def test_a_fault_of_ours_is_still_one(error: Exception) -> None:
    assert http_error(error).status_code == 500


class FullDisk:
    """An archive without room."""

    def __init__(self, there: Any) -> None:
        self._there = there

    def __getattr__(self, name: str) -> Any:
        return getattr(self._there, name)

    def put(self, data: bytes) -> str:
        raise NeedsOperator("archive: No space left on device", code="disk")


def test_a_hospital_hears_that_it_may_send_the_same_again_when_there_is_room(city: City, tmp_path: Path) -> None:
    client = TestClient(create_app(replace(city, archive=FullDisk(city.archive)), make_settings(tmp_path)),
                        raise_server_exceptions=False)
    answer = client.post("/fhir/jinan_first/Bundle", content=bundle(1), headers={"Authorization": f"Bearer {HOSPITAL_TOKEN}"})
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["issue"][0]["code"] == "transient"


def test_a_sender_beyond_its_share_waits_before_anything_is_read_or_kept_and_others_do_not(
        city: City, tmp_path: Path, operator: dict[str, str]) -> None:
    limited = replace(city, share=Measure(1_000_000, 3600))
    client = TestClient(create_app(limited, make_settings(tmp_path)), raise_server_exceptions=False)
    headers = {"Authorization": f"Bearer {HOSPITAL_TOKEN}"}
    junk = b"x" * 600_000
    assert client.post("/fhir/jinan_first/Bundle", content=junk, headers=headers).status_code == 400
    kept = sorted((tmp_path / "archive").rglob("*"))

    answer = client.post("/fhir/jinan_first/Bundle", content=junk + b"y", headers=headers)

    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["issue"][0]["code"] == "throttled"
    assert sorted((tmp_path / "archive").rglob("*")) == kept
    chunked = client.post("/fhir/jinan_first/Bundle", content=iter([junk, junk]), headers=headers)
    assert chunked.status_code == 429
    # What is small still fits, and so does everybody else.
    assert client.post("/fhir/jinan_first/Bundle", content=bundle(1), headers=headers).status_code == 201
    assert client.get("/api/ops/board", headers=operator).status_code == 200


def test_somebody_without_a_token_uses_up_nobodys_share(city: City, tmp_path: Path) -> None:
    limited = replace(city, share=Measure(1_000_000, 3600))
    client = TestClient(create_app(limited, make_settings(tmp_path)), raise_server_exceptions=False)
    for _ in range(3):
        assert client.post("/fhir/jinan_first/Bundle", content=b"x" * 900_000).status_code == 401
    answer = client.post("/fhir/jinan_first/Bundle", content=bundle(1), headers={"Authorization": f"Bearer {HOSPITAL_TOKEN}"})
    assert answer.status_code == 201

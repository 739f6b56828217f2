"""What the gateway says of itself: alive, able to work, and in figures; tried on things that are really broken."""

import dataclasses
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from gateway.app import create_app
from gateway.doors import health
from infra.objects import LocalArchive
from tasks.city import City
from tests.support import services
from tests.support.city import HOSPITAL, admit, make_city, make_settings

READ_ONLY = Path("/sys/kernel")
"""A folder not even root can write to."""


@pytest.fixture(autouse=True)
def nothing_is_kept(monkeypatch):
    monkeypatch.setattr(health, "KEPT_SECONDS", 0.0)


def gateway(city: City, tmp_path: Path, **changes) -> TestClient:
    # Nobody listens at port 1: Prefect is down in all of these.
    settings = make_settings(tmp_path, **({"prefect_ui_url": "http://127.0.0.1:1"} | changes))
    return TestClient(create_app(city, settings), follow_redirects=False, raise_server_exceptions=False)


def check(answer, name: str) -> dict[str, object]:
    return next(one for one in answer.json()["checks"] if one["check"] == name)


def test_alive_and_ready_need_no_token(city, tmp_path):
    client = gateway(city, tmp_path)
    assert client.get("/health").json() == {"up": True}
    answer = client.get("/ready")
    assert (answer.status_code, answer.json()["ready"], answer.json()["reasons"]) == (200, True, [])
    assert check(answer, "archive")["fine"] is True


def test_without_prefect_the_gateway_is_ready_and_says_so(city, tmp_path):
    answer = gateway(city, tmp_path).get("/ready")
    assert answer.status_code == 200
    said = check(answer, "prefect")
    assert (said["fine"], said["needed"], said["runbook"]) == (False, False, "docs/runbooks/prefect-down.md")
    assert "PREFECT" in str(said["cure_en"])


def test_a_database_that_a_newer_release_has_migrated_leaves_it_ready_and_asks_to_finish_the_upgrade(city, tmp_path):
    with city.db.transaction("test") as session:
        session.connection().exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    answer = gateway(city, tmp_path).get("/ready")
    assert (answer.status_code, answer.json()["reasons"]) == (200, [])
    said = check(answer, "database")
    assert "9999" in str(said)
    assert said["cure_en"] == "finish the upgrade: start the newer release"


def test_a_database_behind_this_release_asks_for_a_start_of_this_one(city, tmp_path):
    with city.db.transaction("test") as session:
        session.connection().exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    said = check(gateway(city, tmp_path).get("/ready"), "database")
    assert "migrates" in str(said["cure_en"])


@pytest.mark.skipif(not READ_ONLY.is_dir(), reason="needs Linux")
def test_an_archive_that_cannot_be_written_to_makes_it_unready(city, tmp_path):
    answer = gateway(dataclasses.replace(city, archive=LocalArchive(READ_ONLY, timedelta(days=1))), tmp_path).get("/ready")
    assert answer.status_code == 503
    assert answer.json()["reasons"] == ["archive: not writable: disk"]


@pytest.fixture
def mortal(tmp_path) -> Iterator[tuple[TestClient, object]]:
    """A gateway on a PostgreSQL of its own, and what stops that."""
    with ExitStack() as server:
        city = make_city(tmp_path, server.enter_context(services.postgres()).fresh())
        yield gateway(city, tmp_path, metrics_token="token-of-prometheus"), server.close
        city.db.close()


def test_when_postgresql_stops_the_gateway_is_alive_and_not_ready(mortal):
    client, stop = mortal
    scraper = {"Authorization": "Bearer token-of-prometheus"}
    assert client.get("/ready").status_code == 200
    assert "sanyi_database_up 1.0" in client.get("/metrics", headers=scraper).text
    stop()
    answer = client.get("/ready")
    assert answer.status_code == 503
    assert "unreachable" in answer.json()["reasons"][0]
    assert check(answer, "archive")["fine"] is True
    assert client.get("/health").status_code == 200


def test_when_postgresql_stops_the_figures_say_so(mortal, monkeypatch):
    monkeypatch.setattr(health.metrics, "FIGURES_SECONDS", 1.0)
    client, stop = mortal
    stop()
    page = client.get("/metrics", headers={"Authorization": "Bearer token-of-prometheus"}).text
    assert "sanyi_database_up 0.0" in page
    assert 'sanyi_check{check="database"} 0.0' in page
    assert "sanyi_prescriptions{" not in page


def test_a_hundred_probes_ask_once(city, tmp_path, monkeypatch):
    monkeypatch.setattr(health, "KEPT_SECONDS", 60.0)
    asked = []
    counting = dataclasses.replace(city, archive=LocalArchive(tmp_path / "a", timedelta(days=1)))
    probe = counting.archive.probe
    monkeypatch.setattr(counting.archive, "probe", lambda: (asked.append(1), probe())[1], raising=False)
    client = gateway(counting, tmp_path)
    for _ in range(100):
        assert client.get("/ready").status_code == 200
    assert len(asked) == 1


# --- figures ---


def test_figures_are_for_operators_and_for_prometheus(city, tmp_path, operator, pharmacist):
    client = gateway(city, tmp_path, metrics_token="token-of-prometheus")
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers=pharmacist).status_code == 401
    assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 401
    assert client.get("/metrics", headers=operator).status_code == 200
    assert client.get("/metrics", headers={"Authorization": "Bearer token-of-prometheus"}).status_code == 200
    assert client.get("/api/ops/board", headers={"Authorization": "Bearer token-of-prometheus"}).status_code == 401


def test_without_a_token_of_its_own_an_empty_one_opens_nothing(city, tmp_path):
    client = gateway(city, tmp_path)
    assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 401
    assert client.get("/metrics").status_code == 401


def test_answers_are_counted_by_door_and_status(city, tmp_path, operator):
    client = gateway(city, tmp_path)
    (rx_id,) = admit(city)
    client.post(f"/fhir/{HOSPITAL}/Bundle", content=b"{}")
    client.get("/api/rx/" + rx_id)
    page = client.get("/metrics", headers=operator).text
    assert 'sanyi_gateway_answers_total{door="hospital",status="401"}' in page
    assert 'sanyi_gateway_answers_total{door="api",status="401"}' in page
    assert 'sanyi_prescriptions{status="received"} 1.0' in page
    assert rx_id not in page

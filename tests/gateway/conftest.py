"""The gateway of the demo city, called in memory."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from gateway.app import create_app
from infra import log
from tasks.city import City
from tests.support.city import HOSPITAL_TOKEN, OPERATOR_TOKEN, PHARMACIST_TOKEN, Clock, make_city, make_settings

log.configure("INFO")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def city(tmp_path: Path, clock: Clock) -> Iterator[City]:
    made = make_city(tmp_path, now=clock)
    yield made
    made.db.close()


@pytest.fixture
def client(city: City, tmp_path: Path) -> TestClient:
    """Nobody has signed in; redirects are not followed and the app's own faults are answers, not exceptions."""
    return TestClient(create_app(city, make_settings(tmp_path)), follow_redirects=False, raise_server_exceptions=False)


@pytest.fixture
def hospital(client: TestClient) -> dict[str, str]:
    return {"Authorization": f"Bearer {HOSPITAL_TOKEN}", "Content-Type": "application/fhir+json"}


@pytest.fixture
def pharmacist() -> dict[str, str]:
    return {"Authorization": f"Bearer {PHARMACIST_TOKEN}"}


@pytest.fixture
def operator() -> dict[str, str]:
    return {"Authorization": f"Bearer {OPERATOR_TOKEN}"}

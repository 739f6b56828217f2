"""An administrator at a browser."""

import pytest
from fastapi.testclient import TestClient

from domain.people import Role
from tasks.city import City
from tests.support.city import Clock
from tests.support.people import enrolled

OURS = {"Origin": "http://testserver", "Accept-Language": "en"}


@pytest.fixture
def admin(client: TestClient, city: City, clock: Clock) -> TestClient:
    """Signed in, with pages in English."""
    made = enrolled(city, "A001", Role.ADMINISTRATOR)
    clock.advance(minutes=1)
    client.headers.update(OURS)
    answer = client.post("/sign-in", data={"id": "A001", "password": made.password, "otp": made.digits()})
    assert answer.headers["location"] == "/people"
    return client

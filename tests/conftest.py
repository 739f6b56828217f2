"""Fixtures every test may use. Real services start when the first test asks and end with the session."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests import services

# The same examples every time: what fails in one place fails in all. `deep` looks for new ones.
settings.register_profile("small", max_examples=50, deadline=None, derandomize=True)
settings.register_profile("deep", max_examples=2000, deadline=None)
settings.load_profile("small")  # `./go test --hypothesis-profile deep` for more


@pytest.fixture(scope="session")
def postgres() -> Iterator[services.Postgres]:
    """A real PostgreSQL server for this session."""
    with services.postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: services.Postgres) -> Iterator[str]:
    """An empty PostgreSQL database of this test's own, as a SQLAlchemy address."""
    url = postgres.fresh()
    yield url
    postgres.drop(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of this test's own, once per kind we support."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'sanyi.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture(scope="session")
def s3_store() -> Iterator[services.S3]:
    """A real S3 store (Ceph RGW) for this session, without a bucket."""
    with services.ceph_rgw() as store:
        yield store


@pytest.fixture
def s3(s3_store: services.S3) -> services.S3:
    """A bucket with Object Lock of this test's own."""
    return s3_store.fresh()

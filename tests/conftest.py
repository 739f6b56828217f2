"""Fixtures every test may use. Real services start when the first test asks and end with the session."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

from infra import passwords
from tests.support import services

# The same examples every time: what fails in one place fails in all. `deep` looks for new ones.
settings.register_profile("small", max_examples=50, deadline=None, derandomize=True)
settings.register_profile("deep", max_examples=2000, deadline=None)
settings.load_profile("small")  # `./go test --hypothesis-profile deep` for more


SHARED = {
    "tests/flows/test_": "a Prefect server", "tests/infra/test_objects.py": "Ceph", "tests/infra/test_dropbox.py": "Ceph",
    "tests/infra/test_probe.py": "Ceph", "tests/adapters/dialects/test_dropbox_box.py": "Ceph",
    "tests/sandbox/dialects/test_dropbox.py": "Ceph"}
"""Files -> what they ask for that takes many seconds to start: with `-n`, one process has all of these files."""


class ByFile(LoadFileScheduling):
    """The tests of a file in one process, and so the files that share a server."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return next((server for start, server in SHARED.items() if file.startswith(start)), file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    return ByFile(config, log)


@pytest.fixture(scope="session", autouse=True)
def quick_passwords() -> Iterator[PasswordHasher]:
    """Passwords are hashed at a thousandth of their cost: hundreds of tests sign in. Yields the true hasher."""
    true = passwords._HASHER
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_HASHER", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
        yield true


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

"""A migrated and empty database of each kind; the migration itself runs once per session."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.db import Database
from tests.support import services


def _migrate(url: str) -> None:
    database = Database(url)
    database.migrate()
    database.close()


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite database to copy."""
    file = tmp_path_factory.mktemp("migrated") / "sanyi.db"
    _migrate(f"sqlite:///{file}")
    return file


@pytest.fixture(params=["sqlite", "postgresql"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A migrated database of this test's own, once per kind we support."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_file"), tmp_path / "sanyi.db")
        database = Database(f"sqlite:///{tmp_path / 'sanyi.db'}")
        yield database
        database.close()
        return
    yield request.getfixturevalue("postgres_db")


@pytest.fixture
def postgres_db(postgres: services.Postgres) -> Iterator[Database]:
    """The kind that has several writers at a time."""
    url = postgres.fresh(postgres.template("migrated", _migrate))
    database = Database(url)
    yield database
    database.close()
    postgres.drop(url)

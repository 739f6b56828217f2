"""Connections and transactions, on SQLite (WAL) and on PostgreSQL alike."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy import event
from sqlalchemy.orm import Session


class UtcDateTime(sa.TypeDecorator[datetime]):
    """A moment, always in UTC and always aware; SQLite has no zone of its own."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without a zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=value.tzinfo or UTC).astimezone(UTC)


class Database:
    """One database. Functions take a `Session`; whoever opened it commits it.

    `boundary` is called with "before" and "after" around every commit: the place where a test can
    pull the plug.
    """

    def __init__(self, url: str, *, boundary: Callable[[str], None] | None = None) -> None:
        self.url = url
        self.sqlite = url.startswith("sqlite")
        self._boundary = boundary
        if self.sqlite:
            if (path := sa.make_url(url).database) and path != ":memory:":
                Path(path).parent.mkdir(parents=True, exist_ok=True)
            self._reading = sa.create_engine(url, connect_args={"timeout": 60}, hide_parameters=True)
            event.listen(self._reading, "connect", _sqlite_connect)
            event.listen(self._reading, "begin", _sqlite_begin)
        else:
            self._reading = sa.create_engine(url, pool_size=10, max_overflow=20, pool_pre_ping=True,
                                             hide_parameters=True)
        self._writing = self._reading.execution_options(writing=True)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Read and write; commits at the end, or rolls everything back."""
        with Session(self._writing, expire_on_commit=False) as session:
            yield session
            if self._boundary:
                self._boundary("before")
            session.commit()
        if self._boundary:
            self._boundary("after")

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Only look; nothing is written."""
        with Session(self._reading, expire_on_commit=False) as session:
            yield session

    def migrate(self) -> None:
        """Bring the schema up to date (Alembic). Safe to repeat, and to run from two processes at once."""
        with self._writing.connect() as connection:
            if not self.sqlite:
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(7320031)"))
            config = Config()
            config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()

    def close(self) -> None:
        self._reading.dispose()


def _sqlite_connect(connection: object, record: object) -> None:
    # The driver's own idea of when a transaction starts is too late for BEGIN IMMEDIATE.
    connection.isolation_level = None  # type: ignore[attr-defined]
    cursor = connection.cursor()  # type: ignore[attr-defined]
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _sqlite_begin(connection: sa.Connection) -> None:
    # A reader that turns writer half-way would fail with "locked"; a writer says so at once.
    writing = connection.get_execution_options().get("writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

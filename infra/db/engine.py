"""Connections and transactions, on SQLite (WAL) and on PostgreSQL alike."""

import os
import select
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, cast, overload

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy import event
from sqlalchemy.orm import Session

from infra.db.precompiled import Precompiled, Rows

Row = sa.Row[*tuple[Any, ...]]
"""A row of which only the statement knows the columns."""


class UtcDateTime(sa.TypeDecorator[datetime]):
    """A moment, always in UTC and always aware; SQLite has no time zones."""

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
    """One database. Functions take a `Session`; the caller that opened it commits it.

    `boundary` is called around every commit with the name of the transaction and "before" or "after".
    It is the fail point where a test can stop the process.
    """

    def __init__(self, url: str, *, boundary: Callable[[str, str], None] | None = None) -> None:
        self.url = url
        self.sqlite = url.startswith("sqlite")
        self._boundary = boundary
        if self.sqlite:
            self._reading: sa.Engine = sa.create_engine(url, connect_args={"timeout": 60}, hide_parameters=True)
            if (path := sa.make_url(url).database) and path != ":memory:":
                # With the first connection and not before: who only looks whether there is a database makes none.
                event.listen(self._reading, "do_connect", lambda *_: _private(Path(path)))
            event.listen(self._reading, "connect", _sqlite_connect)
            event.listen(self._reading, "begin", _sqlite_begin)
            self._writing: sa.Engine = self._reading.execution_options(writing=True)
        else:
            # The connection used last is used next: it has the statements prepared. No JIT: our queries are many and small.
            # Cheap random reads: an index is right where a spinning disk would read the table.
            options: dict[str, Any] = {
                "pool_size": 5, "max_overflow": 10, "pool_use_lifo": True, "hide_parameters": True,
                "connect_args": {"options": "-c jit=off -c random_page_cost=1.1"}}
            self._writing = sa.create_engine(url, **options)
            # Reads use AUTOCOMMIT: READ COMMITTED gives the same view per statement. They have a separate pool, because switching a
            # connection's isolation level costs more than a query.
            self._reading = sa.create_engine(url, isolation_level="AUTOCOMMIT", pool_reset_on_return=None, **options)
            for engine in (self._writing, self._reading):
                event.listen(engine, "checkout", _postgres_checkout)

    @contextmanager
    def transaction(self, name: str = "") -> Iterator[Session]:
        """Read and write; commits at the end, or rolls everything back.

        `name` says what has happened once it is committed, such as `order.made`. Each transaction of the product has its own
        name, and docs/explanation/failpoints.md says why a crash there is harmless.
        """
        with self._writing.begin() as connection, (lazy := _Lazy(connection)) as session:
            yield session
            if lazy.made is not None:
                lazy.made.flush()
            if self._boundary:
                self._boundary(name, "before")
        if self._boundary:
            self._boundary(name, "after")

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Only look; nothing is written."""
        with self._reading.connect() as connection, _Lazy(connection) as session:
            if self.sqlite:
                # All statements see the same, those too that SQLAlchemy does not begin a transaction for.
                connection.begin()
            yield session

    def as_owner(self) -> AbstractContextManager[sa.Connection]:
        """A transaction about the schema and who may do what in it. It lies beside the line, and repeating it is safe: so it
        has no name and is no fail point."""
        return self._writing.begin()

    def migrate(self, to: str = "head") -> None:
        """Bring the schema up to date (Alembic). Safe to repeat, and to run from two processes or threads at once."""
        # One transaction around all steps. By default Alembic commits each step on SQLite. A second process would then start
        # between two steps with a stale list of what is left to do.
        with _MIGRATING, self.as_owner() as connection:
            if not self.sqlite:
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(7320031)"))
            config = Config()
            config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
            config.attributes["connection"] = connection
            command.upgrade(config, to)

    def close(self) -> None:
        self._reading.dispose()
        self._writing.dispose()


def _private(file: Path) -> None:
    """Make the database's file for its owner alone, under any umask; SQLite gives its journals the same rights."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with suppress(PermissionError):  # Whose file it is decides; its owner has been here before.
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
        file.chmod(0o600)


class _Lazy:
    """A session that is made when something asks for more than `run` needs: to make one costs as much as a statement."""

    def __init__(self, connection: sa.Connection) -> None:
        self.info: dict[str, Any] = {"connection": connection}
        self.made: _OnConnection | None = None

    def __getattr__(self, name: str) -> Any:
        if self.made is None:
            self.made = _OnConnection(self.info["connection"])
        return getattr(self.made, name)

    def __enter__(self) -> Session:
        return cast(Session, self)

    def __exit__(self, *error: object) -> None:
        if self.made is not None:
            self.made.close()


class _OnConnection(Session):
    """What is written goes with the connection's own transaction: cheaper than a session that finds its connection."""

    def __init__(self, connection: sa.Connection) -> None:
        super().__init__(connection, info={"connection": connection})

    def rollback(self) -> None:
        """Of all that was done, also past the session (`run`)."""
        super().rollback()
        self.info["connection"].rollback()


_AWAY_SQLITE = ("locked", "busy", "disk is full", "full", "disk i/o error", "readonly", "unable to open")
_AWAY_POSTGRES = ("08", "53", "57P", "55P03")
"""SQLSTATEs: connection trouble, no room left, shutting down, lock not to be had."""


def unavailable(error: BaseException) -> bool:
    """Whether this is the database's trouble of the moment (away, locked, out of room), and not a fault of ours."""
    if isinstance(error, sa.exc.TimeoutError):  # Every connection of the pool is taken.
        return True
    if not isinstance(error, sa.exc.DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    state = str(getattr(error.orig, "sqlstate", None) or "")
    if state:
        return state.startswith(_AWAY_POSTGRES)
    words = str(error.orig).lower()
    if type(error.orig).__module__.startswith("sqlite3"):
        return isinstance(error, sa.exc.OperationalError) and any(word in words for word in _AWAY_SQLITE)
    # Without a state there was no server to give one.
    return isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError)


def table(row: Any) -> sa.Table:
    """The table of a row's class, for statements that are made once and `run` often."""
    return cast(sa.Table, row.__table__)


@overload
def run(session: Session, statement: Precompiled, values: Mapping[str, Any]) -> Rows: ...
@overload
def run(session: Session, statement: sa.Executable, values: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
        ) -> sa.CursorResult[*tuple[Any, ...]]: ...
def run(session: Session, statement: Any, values: Any = None) -> Any:
    """Run a statement about tables in the session's transaction, past the ORM, which costs more than the statement.

    Building one anew each time costs as much, so the modules here make theirs once, as constants, with `bindparam`. Those that
    the line runs again and again are `Precompiled`, past SQLAlchemy's execution too.
    The ORM knows nothing of it: what a session has loaded or added before is neither refreshed nor written first.
    """
    connection: sa.Connection = session.info["connection"]
    if not isinstance(statement, Precompiled):
        return connection.execute(statement, values)
    cursor = session.info.get("cursor")
    if cursor is None:
        cursor = session.info["cursor"] = statement.cursor(connection)
    return statement.run(connection, cursor, values)


def insert_new(session: Session, row: Any, **values: Any) -> bool:
    """Insert a row unless its key is there already; whether it was new. One statement, and no savepoint."""
    complete = {**_defaults(row), **values}
    return run(session, _insert_new(row, tuple(complete)), complete).rowcount == 1


@cache
def _defaults(row: Any) -> Mapping[str, Any]:
    return {column.name: column.default.arg for column in table(row).c if isinstance(column.default, sa.ColumnDefault)}


@cache
def _insert_new(row: Any, columns: Sequence[str]) -> Precompiled:
    # As text, because SQLAlchemy compiles its own ON CONFLICT anew each time, which takes longer than the insert.
    of = table(row)
    names, values = (", ".join(form.format(column) for column in columns) for form in ('"{}"', ":{}"))
    return Precompiled(sa.text(f'INSERT INTO "{of.name}" ({names}) VALUES ({values}) ON CONFLICT DO NOTHING').bindparams(  # noqa: S608
        *(sa.bindparam(column, type_=of.c[column].type) for column in columns)))


_MIGRATING = Lock()
"""Alembic keeps what it works on in the globals of a module: one at a time in each process."""


def _postgres_checkout(connection: Any, record: object, proxy: object) -> None:
    """Drop connections of a server that went away. Looking at the socket costs no round trip; a ping would."""
    if connection.closed:
        raise sa.exc.DisconnectionError
    readable = select.poll()
    readable.register(connection.fileno(), select.POLLIN)
    if readable.poll(0):
        # An idle server says nothing, except that it is going.
        raise sa.exc.InvalidatePoolError


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

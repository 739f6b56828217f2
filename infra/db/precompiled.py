"""Statements that never change their form, compiled once: between one and its rows there is only the driver.

SQLAlchemy looks for the compiled form at each execution and makes a context, a result and a cursor for it. On the line that
costs more than the statement. What it knows of types, of the dialect and of errors is used all the same.
"""

from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import psycopg
import sqlalchemy as sa

Processor = Callable[[Any], Any]


class Rows:
    """What a statement gave: tuples whose fields have the columns' names."""

    __slots__ = ("_rows", "rowcount")

    def __init__(self, rows: Sequence[Any], rowcount: int) -> None:
        self._rows = rows
        self.rowcount = rowcount
        """Rows that an insert, an update or a delete has touched."""

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)

    def all(self) -> Sequence[Any]:
        return self._rows

    def first(self) -> Any:
        """The first one, or None."""
        return self._rows[0] if self._rows else None

    def one_or_none(self) -> Any:
        """The only one, or None. Raises `MultipleResultsFound`."""
        if len(self._rows) > 1:
            raise sa.exc.MultipleResultsFound("several rows where at most one was expected")
        return self.first()

    def only(self) -> Any:
        """The only one, as SQLAlchemy's `one`. Raises `NoResultFound` and `MultipleResultsFound`."""
        if not self._rows:
            raise sa.exc.NoResultFound("no row where one was expected")
        return self.one_or_none()

    def scalars(self) -> list[Any]:
        """The first column."""
        return [row[0] for row in self._rows]

    def scalar_one_or_none(self) -> Any:
        row = self.one_or_none()
        return None if row is None else row[0]


class Precompiled:
    """A statement with `bindparam`s that is always run with the same parameters. Plain defaults of columns are filled in.
    Lists of values (`IN`), and what SQLAlchemy or the database would have to make up, are a `ValueError` at the first use."""

    def __init__(self, statement: sa.Executable) -> None:
        self._statement = statement
        self._forms: dict[str, _Form] = {}

    @staticmethod
    def cursor(connection: sa.Connection) -> Any:
        """On which statements are run in the connection's transaction: the driver's own, without a form of parameters to
        translate."""
        if connection.dialect.driver == "psycopg":
            return psycopg.RawCursor(cast(Any, connection.connection.driver_connection))
        return connection.connection.cursor()

    def run(self, connection: sa.Connection, cursor: Any, values: Mapping[str, Any]) -> Rows:
        """In the connection's transaction, on a `cursor` without unread rows. Raises what SQLAlchemy raises."""
        form = self._forms.get(connection.dialect.name)
        if form is None:
            form = self._forms[connection.dialect.name] = _Form(self._statement, connection.dialect, sorted(values))
        parameters = form.parameters(values)
        for hear in connection.engine.dispatch.before_cursor_execute:
            hear(connection, cursor, form.sql, parameters, None, False)
        try:
            cursor.execute(form.sql, parameters)
            return Rows(form.rows(cursor.fetchall()), -1) if form.reads else Rows((), cursor.rowcount)
        except Exception as error:
            # SQLAlchemy's own errors, and the connection is dropped where the server is gone.
            cast(Any, connection)._handle_dbapi_exception(error, form.sql, parameters, cursor, None)
            raise


class _Form:
    """One statement for one kind of database."""

    def __init__(self, statement: sa.Executable, dialect: sa.Dialect, keys: Sequence[str]) -> None:
        inserted = list(statement.table.c) if isinstance(statement, sa.Insert) else []
        defaults = {column.key: column.default.arg for column in inserted
                    if column.key not in keys and isinstance(column.default, sa.ColumnDefault) and column.default.is_scalar}
        # PostgreSQL's own $1 where the driver can: it need not look for the names of parameters.
        style: Any = type(dialect)(paramstyle="numeric_dollar") if dialect.driver == "psycopg" else dialect  # type: ignore[call-arg]
        compiled = cast(Any, statement).compile(dialect=style, column_keys=[*keys, *defaults] or None)
        made_up = (compiled.isinsert and (compiled.insert_prefetch or compiled.effective_returning)) or (
            compiled.isupdate and compiled.update_prefetch)
        if made_up or compiled.post_compile_params or compiled.literal_execute_params:
            raise ValueError(f"not of a fixed form: {compiled}")
        self.sql = str(compiled)
        self._places: list[tuple[str, Any, Processor | None]] = []
        """Of each place of a parameter: its key, or empty and the value it always has; and what makes the driver's value."""
        # A parameter that stands in several places has one name.
        binds = {name: bind for bind, name in compiled.bind_names.items()}
        for name in compiled.positiontup or ():
            bind = binds[name]
            process = bind.type.dialect_impl(dialect).bind_processor(dialect)
            if bind.key not in defaults and bind.required:
                self._places.append((bind.key, None, process))
            else:
                value = defaults.get(bind.key, bind.effective_value)
                self._places.append(("", process(value) if process else value, None))
        self.reads = isinstance(statement, sa.Select)
        columns = list(statement.selected_columns) if isinstance(statement, sa.Select) else []
        row: Any = namedtuple("row", [str(column.key) for column in columns], rename=True)  # type: ignore[misc]
        self._row = row._make
        processors = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns]
        self._processors = [(at, process) for at, process in enumerate(processors) if process]

    def parameters(self, values: Mapping[str, Any]) -> list[Any]:
        """In the order of their places. Raises `KeyError` for one that is not there."""
        return [(process(values[key]) if process else values[key]) if key else value for key, value, process in self._places]

    def rows(self, fetched: Sequence[Sequence[Any]]) -> list[Any]:
        if not self._processors:
            return [self._row(row) for row in fetched]
        rows = []
        for row in fetched:
            columns = list(row)
            for at, process in self._processors:
                columns[at] = process(columns[at])
            rows.append(self._row(columns))
        return rows

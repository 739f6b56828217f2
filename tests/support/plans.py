"""How PostgreSQL would run what we send it: which statements read a whole table."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from infra.db.precompiled import Precompiled

Statements = dict[str, Any]
"""Each different statement with the parameters it was first sent with."""


@contextmanager
def listening(heard: Statements) -> Iterator[None]:
    """Every statement SQLAlchemy sends inside the `with`, whoever sends it."""

    def hear(_connection: object, _cursor: object, statement: str, parameters: Any, _context: object, many: bool) -> None:
        heard.setdefault(statement, parameters[0] if many else parameters)

    event.listen(sa.Engine, "before_cursor_execute", hear)
    try:
        yield
    finally:
        event.remove(sa.Engine, "before_cursor_execute", hear)


def whole_reads(url: str, heard: Statements, *, small: frozenset[str] = frozenset(), strict: bool = False) -> list[str]:
    """What reads a table from end to end, or an index without a condition and without a limit; tables in `small` may be.

    `strict`: also where the table is so small that PostgreSQL would rather read it than use the index it has.
    """
    engine = sa.create_engine(url)
    found = []
    with engine.connect() as connection:
        if strict:
            connection.exec_driver_sql("SET enable_seqscan = off")
        partial = set(connection.scalars(sa.text("SELECT indexrelid::regclass::text FROM pg_index WHERE indpred IS NOT NULL")))
        for statement, parameters in heard.items():
            if statement.split(None, 1)[0].upper() not in ("SELECT", "UPDATE", "DELETE", "WITH") or "FROM pg_" in statement:
                continue
            explain = f"EXPLAIN (FORMAT JSON) {statement}"
            if isinstance(parameters, list):  # Precompiled: PostgreSQL's own $1.
                [plan] = Precompiled.cursor(connection).execute(explain, parameters).fetchone()
            else:
                plan = connection.exec_driver_sql(explain, parameters).scalar_one()
            found += [f"{what}: {' '.join(statement.split())}" for what in _whole(plan[0]["Plan"], partial, limited=False)
                      if what.split()[-1] not in small]
    engine.dispose()
    return found


def _whole(node: dict[str, Any], partial: set[str], *, limited: bool) -> Iterator[str]:
    kind, table = node["Node Type"], node.get("Relation Name", "")
    if kind == "Seq Scan":
        yield f"Seq Scan of {table}"
    elif kind in ("Index Scan", "Index Only Scan") and "Index Cond" not in node and not limited and (
            node["Index Name"] not in partial):
        yield f"{kind} without a condition of {table}"
    # A sort or an aggregate reads all of its input before a limit above it has a say.
    below = kind == "Limit" or (limited and kind not in ("Sort", "Aggregate", "HashAggregate", "Hash"))
    for child in node.get("Plans", []):
        yield from _whole(child, partial, limited=below)

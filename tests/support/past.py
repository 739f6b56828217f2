"""A long past for a PostgreSQL database: prescriptions that went through the line, multiplied in SQL.

Each copy has ids of its own, its own time and a hash chain that verifies. What is sealed for one row (identity,
secrets, parcels) is copied as it is and can't be opened under the new id; nothing opens it once a prescription ended.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import psycopg
import sqlalchemy as sa

from infra.db.engine import UtcDateTime
from infra.db.history import GENESIS
from infra.db.rows import Base

CHUNK = 20_000
DAYS = 365
"""The copies ended within so many days before the originals, evenly."""
POSTINGS = 8
"""More than one prescription ever has."""

TABLES = ("audit_run", "review", "pharmacy_order", "claim", "posting", "intent", "message", "outbox", "hop",
          "discrepancy")
"""What has a `prescription_id`; besides prescription and history, which go first, and what hangs on posting."""

OF_ORDERS = ("parcel", "goods_return")
"""What hangs on an order."""

OF_POSTINGS = {"transfer": "seq, source, destination, amount_fen", "entry": "seq, account, amount_fen"}
"""What hangs on a posting, and its other columns."""

NOTICES = """
    INSERT INTO notice (kind, partner, subject, detail, noted_at)
    SELECT 'quote_left_out', 'ankang', g.n || ':CHN-01:AK02', 'stores[1].minutes', t.received_at - g.past
    FROM g JOIN t_prescription t ON t.id = g.id WHERE g.n % 8 = 0"""
"""They belong to no prescription: one with every eighth copy."""

OTHERWISE = {
    ("pharmacy_order", "id"): "replace(t.id, g.stem, g.fresh)",
    ("pharmacy_order", "content"): "replace(t.content::text, g.stem, g.fresh)::json",
    ("parcel", "order_id"): "replace(t.order_id, g.stem, g.fresh)",
    ("goods_return", "order_id"): "replace(t.order_id, g.stem, g.fresh)",
    ("claim", "order_id"): "replace(t.order_id, g.stem, g.fresh)",
    ("claim", "content"): "replace(t.content::text, g.stem, g.fresh)::json",
    ("claim", "reference"): "'Q' || lpad(g.n::text, 20, '0') || lpad(t.version || right(t.order_id, 1), 9, '0')",
    ("claim", "settlement_id"): "left(g.n || '-' || t.settlement_id, 30)",
    ("claim", "reversal_reference"): "left('R' || g.n || '-' || t.version || t.reversal_reference, 30)",
    ("posting", "id"): f"%(first)s + g.n * {POSTINGS} + t.place",
    ("posting", "reference"): "left(g.n || '-' || t.reference, 30)",
    ("intent", "version"): "CASE WHEN t.step IN ('settle', 'reverse') THEN left(g.n || '-' || t.version, 40) "
                           "ELSE replace(t.version, g.stem, g.fresh) END",
    ("message", "event_id"): "t.event_id || '-' || g.n",
    ("outbox", "key"): "replace(t.key, g.stem, g.fresh)",
    ("discrepancy", "subject"): "left(g.n || '-' || t.subject, 80)",
}
"""How a copy's column is written where neither its type nor its name says it."""


def multiply(url: str, originals: Sequence[str], copies: int, say: Callable[[str], None], *, first: int = 0) -> None:
    """Add so many copies of ended prescriptions, in turns, numbered from `first`. `url` is a libpq address."""
    with psycopg.connect(url, autocommit=True) as connection:
        _templates(connection, originals)
        posting = _one(connection, "SELECT coalesce(max(id), 0) + 1 FROM posting")
        statements = [text.replace("%(first)s", str(posting)) for text in _statements()]
        began = time.monotonic()
        for start in range(first, first + copies, CHUNK):
            end = min(start + CHUNK, first + copies)
            with connection.transaction():
                _chosen(connection, start, end, first + copies)
                for statement in statements:
                    connection.execute(statement.encode())
            done = end - first
            say(f"  {done:>9,} of {copies:,}  {time.monotonic() - began:6.0f} s")
        connection.execute("SELECT setval(pg_get_serial_sequence('posting', 'id'), (SELECT max(id) FROM posting))")
        connection.execute("DROP TABLE one")
        for table in ("prescription", "history", *OF_POSTINGS, *OF_ORDERS, *TABLES):
            connection.execute(f"DROP TABLE t_{table}".encode())


@contextmanager
def bare_tables(url: str, say: Callable[[str], None]) -> Iterator[None]:
    """Without keys and indexes inside the `with`: so a table is filled fastest. All are back, and checked, after it."""
    with psycopg.connect(url, autocommit=True) as connection:
        constraints = connection.execute("""
            SELECT conrelid::regclass::text, conname, contype::text, pg_get_constraintdef(oid) FROM pg_constraint
            WHERE contype IN ('p', 'u', 'f') AND connamespace = 'public'::regnamespace
            AND conrelid::regclass::text <> 'alembic_version' ORDER BY contype = 'f', contype = 'u'""").fetchall()
        indexes = connection.execute("""
            SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND indexname NOT IN (
                SELECT conname FROM pg_constraint) AND tablename <> 'alembic_version'""").fetchall()
        # Foreign keys last made, first gone.
        for table, name, _, _ in reversed(constraints):
            connection.execute(f'ALTER TABLE "{table}" DROP CONSTRAINT "{name}"'.encode())
        for name, _ in indexes:
            connection.execute(f'DROP INDEX "{name}"'.encode())
        yield
        began = time.monotonic()
        connection.execute("SET maintenance_work_mem = '1GB'")
        for table, name, _, definition in constraints:
            connection.execute(f'ALTER TABLE "{table}" ADD CONSTRAINT "{name}" {definition}'.encode())
        for _, definition in indexes:
            connection.execute(definition.encode())
        say(f"  keys and indexes are back after {time.monotonic() - began:.0f} s")
        connection.execute("VACUUM (ANALYZE)")
        connection.execute("CHECKPOINT")
        say(f"  vacuumed and analysed after {time.monotonic() - began:.0f} s")


def _templates(connection: psycopg.Connection, originals: Sequence[str]) -> None:
    """The originals in tables of their own, small and numbered."""
    connection.execute("CREATE TABLE one AS SELECT place::int - 1 AS turn, id, substr(id, 4) AS stem "
                       "FROM unnest(%s::text[]) WITH ORDINALITY AS chosen (id, place)", (list(originals),))
    connection.execute("CREATE TABLE t_prescription AS SELECT * FROM prescription WHERE id IN (SELECT id FROM one)")
    for table in ("history", *TABLES):
        numbered = ", row_number() OVER (PARTITION BY prescription_id ORDER BY id) - 1 AS place" if table == "posting" else ""
        connection.execute(f"CREATE TABLE t_{table} AS SELECT *{numbered} FROM {table} "
                           "WHERE prescription_id IN (SELECT id FROM one)".encode())
    for table in OF_ORDERS:
        connection.execute(f"CREATE TABLE t_{table} AS SELECT * FROM {table} "
                           "WHERE order_id IN (SELECT id FROM t_pharmacy_order)".encode())
    for table in OF_POSTINGS:
        connection.execute(f"CREATE TABLE t_{table} AS SELECT * FROM {table} "
                           "WHERE posting_id IN (SELECT id FROM t_posting)".encode())
    # The chain of infra.db.history in SQL: hex SHA-256 of the hash before, a line feed and the row.
    connection.execute("""
        CREATE OR REPLACE FUNCTION linked(before text, content text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
        AS $$ SELECT encode(sha256(convert_to(before || E'\\n' || content, 'UTF8')), 'hex') $$""")
    connection.execute("DROP AGGREGATE IF EXISTS chained(text)")
    connection.execute(f"CREATE AGGREGATE chained(text) (SFUNC = linked, STYPE = text, INITCOND = '{GENESIS}')".encode())
    connection.execute("CREATE TEMP TABLE g (n int, id text, stem text, copy text, fresh text, run text, past interval, "
                       "days int)")


def _chosen(connection: psycopg.Connection, start: int, end: int, total: int) -> None:
    """The copies of one chunk: whose, under which id, how long ago."""
    connection.execute("TRUNCATE g")
    connection.execute("""
        INSERT INTO g SELECT n, one.id, one.stem, 'rx_' || fresh, fresh, md5('run' || n / 20)::uuid::text,
               days * interval '1 day' + (n::bigint * 7919 %% 28800) * interval '1 second', days
        FROM (SELECT n, translate(substr(md5('rx' || n), 1, 16), '0189', 'wxyz') AS fresh,
                     ((%(total)s - 1 - n)::bigint * %(days)s / %(total)s)::int AS days
              FROM generate_series(%(start)s, %(end)s - 1) AS n) AS numbered
        JOIN one ON one.turn = n %% (SELECT count(*) FROM one)""",
                       {"start": start, "end": end, "total": total, "days": DAYS})
    connection.execute("ANALYZE g")


def _statements() -> list[str]:
    at = """to_char((t.at::timestamptz - g.past) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')"""
    # A table of its own first: the window needs its rows sorted once, and the heads are looked up in it.
    history = f"""
        CREATE TEMP TABLE fresh_history ON COMMIT DROP AS
        SELECT copy AS prescription_id, seq, at, from_status, to_status, actor, reason, detail, run_id, chained(
            '[' || to_json(copy)::text || ',' || seq || ',' || to_json(at)::text || ',' || to_json(from_status)::text
            || ',' || to_json(to_status)::text || ',' || to_json(actor)::text || ',' || to_json(reason)::text || ','
            || to_json(detail)::text || ',' || to_json(run_id)::text || ']') OVER (PARTITION BY copy ORDER BY seq) AS hash
        FROM (SELECT g.copy, t.seq, {at} AS at, t.from_status, t.to_status, t.actor, t.reason,
                     replace(t.detail, g.stem, g.fresh) AS detail, CASE t.run_id WHEN '' THEN '' ELSE g.run END AS run_id
              FROM g JOIN t_history t ON t.prescription_id = g.id) AS copied"""
    columns = ("prescription_id", "seq", "at", "from_status", "to_status", "actor", "reason", "detail", "run_id", "hash")
    head = "JOIN fresh_history h ON h.prescription_id = g.copy AND h.seq = t.version"
    prescription = _copy("prescription", join="t.id = g.id", more=head,
                         otherwise={"id": "g.copy", "external_id": "'P' || g.n", "head_hash": "h.hash",
                                    "content": "replace(t.content::text, t.external_id, 'P' || g.n)::json",
                                    "patient_id": "left(md5('patient' || g.n / 3), 32)"})
    of_postings = [
        f"INSERT INTO {table} (posting_id, {columns}) SELECT %(first)s + g.n * {POSTINGS} + p.place, "
        f"{', '.join(f't.{column}' for column in columns.split(', '))} FROM g "
        f"JOIN t_posting p ON p.prescription_id = g.id JOIN t_{table} t ON t.posting_id = p.id"
        for table, columns in OF_POSTINGS.items()]
    return [history, f"INSERT INTO history ({', '.join(columns)}) SELECT {', '.join(columns)} FROM fresh_history",
            prescription, *(_copy(table) for table in TABLES),
            *(_copy(table, join="t.order_id IN (SELECT id FROM t_pharmacy_order o WHERE o.prescription_id = g.id)")
              for table in OF_ORDERS), *of_postings, NOTICES]


def _copy(table: str, *, join: str = "t.prescription_id = g.id", more: str = "",
          otherwise: dict[str, str] | None = None) -> str:
    given = {column: how for (of, column), how in OTHERWISE.items() if of == table} | (otherwise or {})
    columns = [column for column in Base.metadata.tables[table].columns
               if column.name in given or not (column.name == "id" and isinstance(column.type, sa.Integer))]
    written = ", ".join(given.get(column.name) or _by_type(column) for column in columns)
    named = ", ".join(f'"{column.name}"' for column in columns)
    return f"INSERT INTO {table} ({named}) SELECT {written} FROM g JOIN t_{table} t ON {join} {more}"


def _by_type(column: "sa.Column[object]") -> str:
    if column.name == "prescription_id":
        return "g.copy"
    if column.name == "run_id":
        return "CASE t.run_id WHEN '' THEN '' ELSE g.run END"
    if isinstance(column.type, UtcDateTime):
        return f't."{column.name}" - g.past'
    if isinstance(column.type, sa.Date):
        return f't."{column.name}" - g.days'
    return f't."{column.name}"'


def _one(connection: psycopg.Connection, query: str) -> int:
    row = connection.execute(query.encode()).fetchone()
    assert row
    return int(row[0])

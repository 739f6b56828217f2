"""(e) The floor: as many commits and statements per prescription as ours, with raw prepared psycopg and nothing else.

PostgreSQL counts what ours did (`pg_stat_statements`), by verb. The floor does as many on the same schema. Each select
reads a prescription by its key, with its content. Each insert adds a row of history. Each update moves a prescription from
one version to the next, clock and status included. They are spread over as many transactions as ours committed, each sent
as one pipeline. Nothing is decided, hashed, sealed, read or reported.
"""

import json
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import psycopg

VERBS = ("select", "insert", "update", "delete")
COUNTED = """SELECT s.query, s.calls FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
             WHERE d.datname = current_database() AND s.toplevel AND s.query NOT LIKE '%/* bench */%'"""
"""What a database was asked; the benchmark's own questions say that they are."""

_SELECT = ("SELECT id, status, version, head_hash, wake_at, content, patient_sealed, entitlement_sealed, wished, attempts, "
           "waiting_for FROM prescription WHERE id = %s")
_INSERT = ("INSERT INTO history (prescription_id, seq, at, from_status, to_status, actor, reason, detail, run_id, hash) "
           "VALUES (%s, %s, %s, %s, %s, 'platform', 'a_move', '{}', '', %s)")
_UPDATE = ("UPDATE prescription SET status = %s, version = version + 1, head_hash = %s, wake_at = %s, waiting_for = '', "
           "attempts = 0, trouble = '' WHERE id = %s")
_HASH = "0" * 64
_FIRST = 1000
"""Number of the floor's first row of history."""


@dataclass(frozen=True)
class Load:
    """What one prescription asks of the database, on average."""

    commits: float = 0.0
    select: float = 0.0
    insert: float = 0.0
    update: float = 0.0
    delete: float = 0.0

    @property
    def statements(self) -> float:
        return self.select + self.insert + self.update + self.delete

    def save(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, file: Path) -> Self:
        return cls(**json.loads(file.read_text()))


def counting(database: str) -> None:
    """Count what this database is asked from now on."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        connection.execute("SELECT pg_stat_statements_reset() /* bench */")


def load_of(database: str, prescriptions: int) -> Load:
    """What was asked since, per prescription."""
    with psycopg.connect(database, autocommit=True) as connection:
        rows: list[tuple[str, int]] = connection.execute(COUNTED).fetchall()
    calls = Counter[str]()
    for query, count in rows:
        calls[verb_of(query)] += count
    return Load(calls["commit"] / prescriptions, *(calls[verb] / prescriptions for verb in VERBS))


def verb_of(query: str) -> str:
    """`select` for a statement that only reads, also one that begins with `with`."""
    verb = query.split(None, 1)[0].lower()
    return "select" if verb == "with" else verb


def transactions(load: Load) -> list[list[str]]:
    """The verbs of each transaction: every kind is spread evenly, and the last one has an update."""
    count = max(1, round(load.commits))
    amounts = {"select": load.select, "insert": load.insert, "update": load.update + load.delete}
    verbs = [verb for verb, amount in amounts.items() for _ in range(round(amount))]
    return sorted((verbs[number::count] for number in range(count)), key=lambda spread: "update" in spread)


class Floor:
    """One connection that does the same to one prescription after the other."""

    def __init__(self, database: str, load: Load) -> None:
        self._connection = psycopg.connect(database, prepare_threshold=0)
        self._transactions = transactions(load)

    def settle(self, rx_id: str) -> None:
        """From its first transaction to the last, which leaves it settled."""
        seq, newest = _FIRST, _FIRST - 1 + sum(verbs.count("insert") for verbs in self._transactions)
        with self._connection.pipeline():
            for number, verbs in enumerate(self._transactions, 1):
                cursors, now = [], datetime.now(UTC)
                status, wake_at = ("settled", None) if number == len(self._transactions) else ("received", now)
                for verb in verbs:
                    if verb == "select":
                        cursors.append(self._connection.execute(_SELECT, [rx_id]))
                    elif verb == "insert":
                        to = "settled" if seq == newest else "received"
                        self._connection.execute(_INSERT, [rx_id, seq, now.isoformat(), "received", to, _HASH])
                        seq += 1
                    else:
                        self._connection.execute(_UPDATE, [status, _HASH, wake_at, rx_id])
                self._connection.commit()
                for cursor in cursors:
                    cursor.fetchall()

    def close(self) -> None:
        self._connection.close()

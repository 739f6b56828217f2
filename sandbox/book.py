"""A partner's own book: small documents in one SQLite file, written before anything is answered."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Document = dict[str, Any]


class Book:
    """Documents by kind and key, in the order they were first written.

    Survives the process, not a power cut: it is a sandbox.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS document (seq INTEGER PRIMARY KEY, kind TEXT NOT NULL,"
            " key TEXT NOT NULL, body TEXT NOT NULL, UNIQUE (kind, key))"
        )

    def get(self, kind: str, key: str) -> Document | None:
        row = self._db.execute("SELECT body FROM document WHERE kind = ? AND key = ?", (kind, key)).fetchone()
        return None if row is None else json.loads(row[0])

    def put(self, kind: str, key: str, body: Document) -> None:
        self._db.execute(
            "INSERT INTO document (kind, key, body) VALUES (?, ?, ?)"
            " ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body",
            (kind, key, json.dumps(body, ensure_ascii=False)),
        )

    def all(self, kind: str) -> list[Document]:
        rows = self._db.execute("SELECT body FROM document WHERE kind = ? ORDER BY seq", (kind,))
        return [json.loads(body) for (body,) in rows]

    def number(self, kind: str) -> int:
        """How many documents of a kind there are, without reading one."""
        return int(self._db.execute("SELECT count(*) FROM document WHERE kind = ?", (kind,)).fetchone()[0])

    def tally(self, kind: str, field: str) -> Counter[Any]:
        """How many documents of a kind have which value in a field, without reading one."""
        rows = self._db.execute(
            "SELECT json_extract(body, ?), count(*) FROM document WHERE kind = ? GROUP BY 1", (f"$.{field}", kind))
        return Counter(dict(rows.fetchall()))

    def count(self, kind: str, key: str) -> int:
        """One more of these; returns how many there are now."""
        number = int((self.get(kind, key) or {"count": 0})["count"]) + 1
        self.put(kind, key, {"key": key, "count": number})
        return number

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything put inside is written, or none of it. Never await inside."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def close(self) -> None:
        self._db.close()

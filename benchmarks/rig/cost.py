"""What running costs: CPU of process trees from /proc, rows and bytes of a PostgreSQL database."""

import os
import time
from collections import defaultdict
from pathlib import Path

import psycopg
from psycopg import sql

_TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(root: int) -> float:
    """CPU seconds a process and everything it ever started have used.

    A child that has ended counts in its parent, once the parent has waited for it. So the sum over the living processes is
    complete: PostgreSQL's short-lived backends are in its postmaster.
    """
    alive: dict[int, tuple[int, float]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # It ended while we looked.
            alive[int(entry.name)] = int(words[1]), sum(map(int, words[11:15])) / _TICK
    children: dict[int, list[int]] = defaultdict(list)
    for pid, (parent, _) in alive.items():
        children[parent].append(pid)
    total, waiting = 0.0, [root]
    while waiting:
        pid = waiting.pop()
        if pid in alive:
            total += alive[pid][1]
            waiting += children[pid]
    return total


def until_idle(roots: list[int], *, quiet: float = 2.0, below: float = 0.10, seconds: float = 60) -> None:
    """Wait until processes have used less than that share of a core for a while: what was put off is done."""
    deadline = time.monotonic() + seconds
    before = sum(map(cpu_seconds, roots))
    while time.monotonic() < deadline:
        time.sleep(quiet)
        now = sum(map(cpu_seconds, roots))
        if now - before < below * quiet:
            return
        before = now


def libpq(url: str) -> str:
    """An address as psycopg itself reads it."""
    return url.replace("+psycopg", "")


def rows_and_bytes(url: str) -> tuple[int, int]:
    """Rows in all tables of a database, and the bytes of its tables with their indexes (dead rows included)."""
    with psycopg.connect(url, autocommit=True) as connection:
        tables = connection.execute(
            "SELECT schemaname, relname, pg_total_relation_size(relid) FROM pg_stat_user_tables").fetchall()
        rows = 0
        for schema, table, _ in tables:
            counted = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, table)))
            rows += sum(count for count, in counted)
    return rows, sum(size for _, _, size in tables)


def percentile(values: list[float], share: float) -> float:
    """The value that share of them do not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0

"""Databases of earlier releases: dumps of both kinds under `released/`, what loads them, and what makes them.

`python -m tests.infra.db.releases 0.1` runs a small city with the code of this checkout and writes its two dumps. A dump is
written once, by the release it is named after, and never again: a later release is tested against what that one left.
The people in it are those of the samples, who are invented; what is sealed opens with the keys of `tests.support.city`.
"""

import argparse
import lzma
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import sqlalchemy as sa

from domain.fulfilment.orders import OrderStatus
from domain.fulfilment.parcels import ParcelStatus
from domain.fulfilment.returns import ReturnStatus
from domain.fulfilment.wishes import WishAnswer
from domain.lifecycle import Money, Status
from infra.db.rows import Base
from tests.infra.db.filled import fill
from tests.support import services

HERE = Path(__file__).parent / "released"
FORMER = frozenset({"entry"})
"""Tables that this release only reads: the dump of release 0.1 fills them."""


# --- loading ---


def restore_sqlite(name: str, file: Path) -> str:
    """The dump of a release in a new file; its address."""
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(_read(f"{name}.sqlite"))
    return f"sqlite:///{file}"


def restore_postgresql(name: str, url: str) -> str:
    """The dump of a release in an empty database; its address."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(_read(f"{name}.postgresql").encode())
    return url


def _read(name: str) -> str:
    return lzma.decompress((HERE / f"{name}.sql.xz").read_bytes()).decode()


# --- dumping ---


def complete(url: str) -> None:
    """Refuses a database without rows in a table, or without one of the statuses: it would go untested in later releases."""
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        empty = [table.name for table in Base.metadata.sorted_tables
                 if table.name not in FORMER and not connection.scalar(sa.select(sa.func.count()).select_from(table))]
        for column, enum in (("prescription.status", Status), ("pharmacy_order.status", OrderStatus),
                             ("claim.status", Money), ("parcel.status", ParcelStatus), ("goods_return.status", ReturnStatus),
                             ("wish.answer", WishAnswer)):
            table, _, name = column.partition(".")
            there = set(connection.scalars(sa.text(f"SELECT DISTINCT {name} FROM {table}")))
            empty += [f"{column} {value}" for value in enum if value not in there]
    engine.dispose()
    assert not empty, f"without {', '.join(empty)}"


def dump_sqlite(folder: Path, say: Callable[[str], None]) -> str:
    file = folder / "sanyi.db"
    fill(folder, f"sqlite:///{file}")
    complete(f"sqlite:///{file}")
    say(f"sqlite: {file.stat().st_size:,} bytes")
    with closing(sqlite3.connect(file)) as connection:
        return "\n".join(connection.iterdump())


def dump_postgresql(folder: Path, say: Callable[[str], None]) -> str:
    with services.postgres() as server:
        url = server.fresh()
        fill(folder, url)
        complete(url)
        done = subprocess.run(["pg_dump", "--no-owner", "--no-privileges", "--inserts", "--rows-per-insert=100",
                               url.replace("+psycopg", "")], capture_output=True, text=True, check=True)
    say(f"postgresql: {len(done.stdout):,} characters")
    # psql's own commands, which newer releases of pg_dump write, are no SQL.
    return "".join(line for line in done.stdout.splitlines(keepends=True) if not line.startswith("\\"))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.infra.db.releases", description=__doc__)
    parser.add_argument("release", help="the name of the release, such as 0.1")
    release = parser.parse_args().release
    for kind, dump in (("sqlite", dump_sqlite), ("postgresql", dump_postgresql)):
        target = HERE / f"{release}.{kind}.sql.xz"
        if target.exists():
            parser.error(f"{target} is there, and what a release has left does not change")
        with tempfile.TemporaryDirectory() as folder:
            raw = lzma.compress(dump(Path(folder), print).encode(), preset=9)
        target.write_bytes(raw)
        print(f"{target.name}: {len(raw):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())

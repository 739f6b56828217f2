"""What is there for every contender: PostgreSQL, a Prefect server, worker processes, and the words they wait for."""

import secrets
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from benchmarks.rig.city import message, null_city
from benchmarks.rig.cost import libpq
from sandbox.processes import ROOT, Child, Processes, free_port
from tasks.intake import receive_prescription
from tests.support.city import HOSPITAL
from tests.support.services import Postgres

PASSWORD = "bench:" + secrets.token_urlsafe(18)
"""Opens the Prefect server of this run."""
WARM = 20
"""Prescriptions of each worker process before the clock starts."""
STALLED = 60
"""Seconds without any progress after which a run is given up."""

UNFINISHED = """SELECT /* bench */ (SELECT count(*) FROM prescription WHERE status <> 'settled' OR wake_at <= now())
                     + (SELECT count(*) FROM outbox WHERE due_at IS NOT NULL)"""


@dataclass(frozen=True)
class Rig:
    """What is there for every contender."""

    folder: Path
    processes: Processes
    server: Postgres

    @property
    def load(self) -> Path:
        """Where what ours asks of the database is kept for the floor."""
        return self.folder / "load.json"

    @property
    def postmaster(self) -> int:
        return int((self.server.folder / "data" / "postmaster.pid").read_text().splitlines()[0])

    def database(self, prescriptions: int) -> str:
        """A fresh copy of a database with that many prescriptions taken in."""
        return self.server.fresh(self.server.template(f"city_{prescriptions}", lambda url: _take_in(url, prescriptions)))

    @contextmanager
    def prefect(self, name: str) -> Iterator[tuple[str, str, int]]:
        """A Prefect server with its own database: API address, database, process."""
        database, port = self.server.fresh(), free_port()
        child = self.processes.start(
            f"prefect-{name}", "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port),
            env={"PREFECT_HOME": str(self.folder / f"prefect-{name}"), **_environment("prefect-server.env"),
                 "PREFECT_SERVER_API_AUTH_STRING": PASSWORD,
                 "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"http://127.0.0.1:{port}",
                 "PREFECT_SERVER_DATABASE_CONNECTION_URL": database.replace("+psycopg", "+asyncpg")})
        self.processes.wait_for(f"http://127.0.0.1:{port}/api/health", name=child.name, seconds=150)
        yield f"http://127.0.0.1:{port}/api", database, child.process.pid
        self.processes.kill(child.name)

    @contextmanager
    def contender(self, kind: str, name: str, database: str, *options: str, api: str = "", **more: str) -> Iterator[Child]:
        """A contender, ready to go, a worker of that name; it is told to end after the block."""
        folder = self.folder / name
        folder.mkdir()
        env = {"SANYI_HOME": str(folder), "SANYI_DATABASE_URL": database, "SANYI_WORKER": name,
               "SANYI_LOG_LEVEL": "ERROR", "PREFECT_HOME": str(folder / "prefect"), "PREFECT_API_URL": api,
               "PREFECT_API_AUTH_STRING": PASSWORD, "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1", **more}
        if kind in ("ours", "window"):
            env |= _environment("prefect-client.env")
        child = self.processes.start(name, "-m", "benchmarks.rig.contender", kind, str(folder), *options, env=env,
                                     errand=True)
        while not (folder / "ready").exists():
            self.processes.check()
            time.sleep(0.05)
        yield child
        (folder / "stop").touch()
        child.process.wait(60)
        self.processes.check()

    def tell(self, name: str, word: str) -> None:
        """`go`: warm up; `start`: the clock runs."""
        (self.folder / name / word).touch()

    def warm_up(self, database: str, names: Sequence[str], warm: int) -> None:
        """Have contenders take the first `warm` prescriptions to their end; the others are not due meanwhile."""
        wake(database, "now() + interval '1 day'", f"id NOT IN (SELECT id FROM prescription ORDER BY id LIMIT {warm})")  # noqa: S608
        for name in names:
            self.tell(name, "go")
        while not _warm(database, warm):
            self.processes.check()
            time.sleep(0.1)

    def start(self, database: str, names: Sequence[str], due: float = 0.0) -> None:
        """Everything is due, or so many per second are, and every wait is over."""
        if due:
            with psycopg.connect(libpq(database)) as connection:
                connection.execute(
                    "UPDATE /* bench */ prescription p SET wake_at = now() + make_interval(secs => place / %s::float8) FROM "
                    "(SELECT id, row_number() OVER (ORDER BY id) AS place FROM prescription WHERE status = 'received') r "
                    "WHERE p.id = r.id", [due])
        else:
            wake(database, "now()", "status = 'received'")
        for name in names:
            self.tell(name, "start")


def _take_in(url: str, count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        city = null_city(Path(folder), url, people=False)
        now = datetime.now(UTC)
        for number in range(1, count + 1):
            answer = receive_prescription(city, HOSPITAL, message(number, now))
            assert answer.status == 201, answer.body.decode()
        city.db.close()
    with psycopg.connect(libpq(url), autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def until_finished(rig: Rig, database: str) -> None:
    """Until all is settled and delivered. Raises `TimeoutError`, saying where things are, when nothing moves any more."""
    left, changed = -1, time.monotonic()
    with psycopg.connect(libpq(database), autocommit=True) as connection:
        while True:
            row = connection.execute(UNFINISHED).fetchone()
            assert row
            if row[0] == 0:
                return
            if row[0] != left:
                left, changed = row[0], time.monotonic()
            if time.monotonic() - changed > STALLED:
                where = connection.execute("SELECT status, trouble, waiting_for, count(*) FROM prescription "
                                           "GROUP BY 1, 2, 3 ORDER BY 4 DESC LIMIT 5").fetchall()
                raise TimeoutError(f"nothing moved for {STALLED} s; {left} unfinished; most are {where}")
            rig.processes.check()
            time.sleep(0.1)


def wake(database: str, when: str, which: str) -> None:
    """Set when prescriptions are due; both are SQL."""
    with psycopg.connect(libpq(database)) as connection:
        connection.execute(f"UPDATE /* bench */ prescription SET wake_at = {when} WHERE {which}")  # noqa: S608


def _warm(database: str, count: int) -> bool:
    """Whether so many are settled and nothing waits to be delivered."""
    with psycopg.connect(libpq(database)) as connection:
        row = connection.execute("SELECT /* bench */ (SELECT count(*) FROM prescription WHERE status = 'settled') = %s "
                                 "AND NOT EXISTS (SELECT FROM outbox WHERE due_at IS NOT NULL)", [count]).fetchone()
    assert row
    return bool(row[0])


def _environment(file: str) -> dict[str, str]:
    lines = (ROOT / "infra" / "deploy" / file).read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))

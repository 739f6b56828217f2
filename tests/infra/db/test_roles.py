"""With the roles of infra/deploy/roles.sql the application works, and can't rewrite what happened; Prefect can't look."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from domain.errors import NeedsOperator
from domain.events import Event
from infra.db import Database, history
from infra.db.migrate import APPEND_ONLY, grant
from infra.db.rows import Base
from infra.topology import Kind, joined
from tests.support.records import NOW, admitted
from tests.support.services import Postgres

ROOT = Path(__file__).parents[3]
ROLES = ("sanyi_owner", "sanyi", "prefect")


def run(postgres: Postgres, statement: str) -> None:
    with psycopg.connect(postgres.url("postgres", "postgresql"), autocommit=True) as connection:
        connection.execute(statement)  # type: ignore[call-overload]


def address(postgres: Postgres, role: str, database: str = "sanyi") -> str:
    return postgres.url(database).replace("postgres@", f"{role}@")


@pytest.fixture(scope="module")
def installed(postgres: Postgres) -> Iterator[Postgres]:
    """A server with the roles and databases of the file, migrated by the owner."""
    words = [f"--set={role}_password=p-{role}" for role in ("owner", "application", "prefect")]
    subprocess.run(["psql", "-q", "-v", "ON_ERROR_STOP=1", *words, "-f", str(ROOT / "infra/deploy/roles.sql"),
                    postgres.url("postgres", "postgresql")], check=True, capture_output=True, timeout=60)
    settings = {"SANYI_MIGRATION_URL": address(postgres, "sanyi_owner"), "SANYI_DATABASE_URL": address(postgres, "sanyi")}
    subprocess.run([sys.executable, "-m", "infra.db.migrate"], cwd=ROOT, check=True, capture_output=True, timeout=120,
                   env=os.environ | settings)
    yield postgres
    for database in ("sanyi", "prefect"):
        run(postgres, f"DROP DATABASE {database} WITH (FORCE)")
    for role in ROLES:
        run(postgres, f"DROP ROLE {role}")


@pytest.fixture
def application(installed: Postgres) -> Iterator[Database]:
    database = Database(address(installed, "sanyi"))
    yield database
    database.close()


def test_the_application_joins_writes_and_moves_on_without_any_right_to_the_schema(application: Database) -> None:
    with joined(application, Kind.GATEWAY, "roles", local_archive=False):
        head = admitted(application)
        with application.transaction() as session:
            history.append(session, head, actor="worker", event=Event.SEARCH_STARTED, at=NOW, wake_at=None)


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize("crime", ["UPDATE {} SET {column} = {column}", "DELETE FROM {}", "TRUNCATE {}", "DROP TABLE {} CASCADE",
                                   "ALTER TABLE {} ADD COLUMN x int", "ALTER TABLE {} DISABLE TRIGGER ALL"])
def test_what_happened_stays_what_it_is_whatever_the_application_tries(application: Database, table: str, crime: str) -> None:
    column = Base.metadata.tables[table].primary_key.columns.keys()[0]
    with pytest.raises(sa.exc.ProgrammingError) as caught, application.transaction() as session:
        session.connection().exec_driver_sql(crime.format(table, column=column))
    assert isinstance(caught.value.orig, psycopg.errors.InsufficientPrivilege)


@pytest.mark.parametrize("crime", ["CREATE TABLE x (y int)", "UPDATE alembic_version SET version_num = '0001'",
                                   "GRANT UPDATE ON history TO sanyi", "SET ROLE sanyi_owner"])
def test_nor_can_it_give_itself_more(application: Database, crime: str) -> None:
    # A grant of what one has not is a warning, and does nothing.
    with suppress(sa.exc.ProgrammingError), application.transaction() as session:
        session.connection().exec_driver_sql(crime)
    with pytest.raises(sa.exc.ProgrammingError), application.transaction() as session:
        session.connection().exec_driver_sql("UPDATE history SET seq = seq")


@pytest.mark.parametrize(("role", "database"), [("prefect", "sanyi"), ("sanyi", "prefect")])
def test_neither_can_open_the_others_database(installed: Postgres, role: str, database: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(address(installed, role, database).replace("+psycopg", ""))


def test_an_older_schema_is_said_with_what_to_run(installed: Postgres) -> None:
    run(installed, "CREATE DATABASE older OWNER sanyi_owner")
    try:
        run_in = psycopg.connect(installed.url("older", "postgresql"), autocommit=True)
        run_in.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        run_in.execute("GRANT USAGE ON SCHEMA public TO sanyi")
        run_in.close()
        database = Database(address(installed, "sanyi", "older"))
        with pytest.raises(NeedsOperator, match=re.escape("python -m infra.db.migrate")), joined(
                database, Kind.GATEWAY, "roles", local_archive=False):
            pass
        database.close()
    finally:
        run(installed, "DROP DATABASE older WITH (FORCE)")


def test_an_owner_is_not_taken_for_the_application(installed: Postgres) -> None:
    database = Database(address(installed, "sanyi_owner"))
    with pytest.raises(NeedsOperator):
        grant(database, "sanyi_owner")
    database.close()

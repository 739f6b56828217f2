"""The migrations lead to the tables the code knows, however often and by however many they are run."""

import subprocess
import sys
from pathlib import Path

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from infra.db import Database
from infra.db.rows import Base
from tests.infra.db.records import admitted

ROOT = Path(__file__).parents[3]


def test_an_empty_database_is_brought_to_exactly_the_tables_of_the_code(database_url: str) -> None:
    database = Database(database_url)
    database.migrate()
    engine = sa.create_engine(database_url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}),
                                Base.metadata) == []
    engine.dispose()
    database.close()


def test_a_migrated_database_keeps_what_is_in_it_when_migrated_again(db: Database) -> None:
    head = admitted(db)
    db.migrate()
    with db.reading() as session:
        assert session.scalar(sa.text("SELECT id FROM prescription")) == head.id


def test_several_processes_may_migrate_at_once(database_url: str) -> None:
    program = "import sys; from infra.db import Database; Database(sys.argv[1]).migrate()"
    running = [subprocess.Popen([sys.executable, "-c", program, database_url], cwd=ROOT) for _ in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    database = Database(database_url)
    admitted(database)
    database.close()


def test_unique_keys_and_partial_indexes_are_there(db: Database) -> None:
    """Alembic does not compare what an index leaves out."""
    engine = sa.create_engine(db.url)
    look = sa.inspect(engine)
    assert {"hospital", "external_id"} in [set(one["column_names"]) for one in
                                           look.get_unique_constraints("prescription")]
    partial = {index["name"]: index["dialect_options"] for table in ("prescription", "intent", "outbox")
               for index in look.get_indexes(table) if index.get("dialect_options")}
    where = f"{engine.dialect.name}_where"
    assert {"ix_prescription_wake_at", "ix_intent_open", "ix_outbox_due_at"} <= {
        name for name, options in partial.items() if options.get(where) is not None}
    engine.dispose()

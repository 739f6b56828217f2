"""The migrations lead to the tables the code knows, however often and by however many they are run."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import event

from domain import former_words
from infra.db import Database
from infra.db.engine import UtcDateTime
from infra.db.rows import Base
from tests.support.records import NOW, admitted

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


def test_all_migrations_are_one_transaction(database_url: str) -> None:
    """So that nobody else gets in between two of them, and a crash leaves all of it or none."""
    ends: list[str] = []

    def committed(connection: sa.Connection) -> None:
        ends.append("commit")

    event.listen(sa.Engine, "commit", committed)
    try:
        database = Database(database_url)
        database.migrate()
        database.close()
    finally:
        event.remove(sa.Engine, "commit", committed)
    assert ends == ["commit"]


def test_several_processes_may_migrate_at_once(database_url: str) -> None:
    program = "import sys; from infra.db import Database; Database(sys.argv[1]).migrate()"
    running = [subprocess.Popen([sys.executable, "-c", program, database_url], cwd=ROOT) for _ in range(3)]
    assert [process.wait(120) for process in running] == [0, 0, 0]
    database = Database(database_url)
    admitted(database)
    database.close()


def test_unique_keys_and_partial_indexes_are_there(db: Database) -> None:
    """Alembic does not compare what an index leaves out."""
    engine = sa.create_engine(db.url)
    look = sa.inspect(engine)
    assert {"hospital", "external_id"} in [set(one["column_names"]) for one in
                                           look.get_unique_constraints("prescription")]
    partial = {index["name"]: index["dialect_options"] for table in ("prescription", "intent", "outbox", "message")
               for index in look.get_indexes(table) if index.get("dialect_options")}
    where = f"{engine.dialect.name}_where"
    assert {"ix_prescription_wake_at", "ix_intent_open", "ix_outbox_due_at", "ix_message_from_hospitals"} <= {
        name for name, options in partial.items() if options.get(where) is not None}
    engine.dispose()


def _insert_prescription(connection: sa.Connection, status: str, *, id: str = "rx_1", waits: str = "") -> None:
    """As the first release did: later columns have their defaults."""
    connection.execute(sa.text("""
        INSERT INTO prescription (id, hospital, external_id, patient_id, patient_sealed, status, version, head_hash,
            content, archive_key, received_at, valid_until, expedited, waiting_for, attempts, trouble)
        VALUES (:id, 'first', :id, 'p', :sealed, :status, 1, 'x', '{}', 'a', :at, :at, :no, :waits, 0, '')"""),
        {"id": id, "sealed": b"s", "status": status, "at": NOW, "no": False, "waits": waits})


def test_what_the_first_release_left_is_brought_up_to_date(database_url: str) -> None:
    """Lanes are filled in, though other rows point at the prescriptions."""
    database = Database(database_url)
    database.migrate("0001")
    engine = sa.create_engine(database_url)
    with engine.begin() as connection:
        _insert_prescription(connection, "received")
        connection.execute(sa.text("""
            INSERT INTO history (prescription_id, seq, at, from_status, to_status, actor, reason, detail, run_id, hash)
            VALUES ('rx_1', 1, 'then', 'received', 'received', 'a', 'r', '{}', '', 'x')"""))
    database.migrate()
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT lane FROM prescription")).scalars().all() == ["first/"]
    engine.dispose()
    database.close()


def test_waits_become_codes_and_the_history_stays_as_it_was_written(database_url: str) -> None:
    database = Database(database_url)
    database.migrate("0010")
    engine = sa.create_engine(database_url)
    former = [*former_words._WAITS, "hold at ankang", "hold at a hold at b", ""]
    sentence = "no pharmacy can fill it now"
    with engine.begin() as connection:
        for number, waits in enumerate(former):
            _insert_prescription(connection, "allocating", id=f"rx_{number}", waits=waits)
            connection.execute(sa.text("""
                INSERT INTO history (prescription_id, seq, at, from_status, to_status, actor, reason, detail, run_id, hash)
                VALUES (:id, 1, 'then', 'received', 'received', 'a', :reason, '{}', '', 'x')"""),
                {"id": f"rx_{number}", "reason": sentence})
    database.migrate()
    with engine.connect() as connection:
        stored = dict(connection.execute(sa.text("SELECT id, waiting_for FROM prescription")).tuples().all())
        reasons = set(connection.execute(sa.text("SELECT reason FROM history")).scalars())
    codes = [stored[f"rx_{number}"] for number in range(len(former))]
    assert codes == [*map(str, former_words._WAITS.values()), "hold:ankang", "hold:a hold at b", ""]
    assert reasons == {sentence}
    engine.dispose()
    database.close()


def test_what_is_alive_is_to_be_drawn_also_when_a_gateway_of_the_release_before_takes_it_in(database_url: str) -> None:
    database = Database(database_url)
    database.migrate("0011")
    engine = sa.create_engine(database_url)
    with engine.begin() as connection:
        _insert_prescription(connection, "settled", id="rx_alive")
        _insert_prescription(connection, "closed", id="rx_over")
    database.migrate()
    with engine.begin() as connection:
        _insert_prescription(connection, "received", id="rx_new")
        drawn = dict(connection.execute(sa.text("SELECT id, drawn FROM prescription")).tuples().all())
    assert drawn == {"rx_alive": 0, "rx_over": None, "rx_new": 0}
    engine.dispose()
    database.close()


def test_what_is_drawn_by_now_stays_drawn(database_url: str) -> None:
    database = Database(database_url)
    database.migrate("0012")
    engine = sa.create_engine(database_url)
    with engine.begin() as connection:
        for rx_id, drawn in (("rx_drawn", 3), ("rx_anew", 0), ("rx_over", None)):
            _insert_prescription(connection, "settled", id=rx_id)
            connection.execute(sa.text("UPDATE prescription SET drawn = :drawn WHERE id = :id"), {"drawn": drawn, "id": rx_id})
    database.migrate()
    with engine.begin() as connection:
        assert dict(connection.execute(sa.text("SELECT id, drawn FROM prescription")).tuples().all()) == {
            "rx_drawn": 3, "rx_anew": 0, "rx_over": None}
    engine.dispose()
    database.close()


def test_postings_of_the_last_two_days_get_the_day_they_count_for(database_url: str) -> None:
    now = datetime.now(UTC)
    database = Database(database_url)
    database.migrate("0006")
    engine = sa.create_engine(database_url)
    with engine.begin() as connection:
        _insert_prescription(connection, "closed")
        connection.execute(sa.text("""
            INSERT INTO pharmacy_order (id, prescription_id, attempt, chain, store, status, content, sealed, ranking,
                total_fen, patient_due_fen, reference, reason, made_at, returned_lines)
            VALUES ('ord_1', 'rx_1', 1, 'ankang', 's', 'handed_over', '{}', :sealed, '[]', 1, 1, '', '', :at, '[]')"""),
            {"sealed": b"s", "at": NOW})
        connection.execute(sa.text("""
            INSERT INTO claim (prescription_id, version, order_id, status, reference, content, insutype, total_fen,
                forecast, settlement_id, settled_on, reversed_on)
            VALUES ('rx_1', 1, 'ord_1', 'reversed', 'q', '{}', '310', 1, '{}', 'S1', '2026-11-01', '2026-11-03')"""))
        for kind in ("settled", "reversed"):
            connection.execute(sa.text("INSERT INTO posting (prescription_id, kind, reference, at) VALUES "
                                       "('rx_1', :kind, 'S1', :at)").bindparams(sa.bindparam("at", type_=UtcDateTime())),
                               {"kind": kind, "at": now - timedelta(hours=1)})
        connection.execute(sa.text("INSERT INTO posting (prescription_id, kind, reference, at) VALUES "
                                   "('rx_1', 'settled', 'S0', :at)").bindparams(sa.bindparam("at", type_=UtcDateTime())),
                           {"at": now - timedelta(days=3)})
    database.migrate()
    with engine.connect() as connection:
        assert [(kind, str(day)) for kind, day in connection.execute(sa.text("SELECT kind, day FROM posting ORDER BY id"))
                ] == [("settled", "2026-11-01"), ("reversed", "2026-11-03"), ("settled", "None")]
    engine.dispose()
    database.close()

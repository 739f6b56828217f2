"""Statements that are compiled once give what SQLAlchemy gives, on both databases."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa

from infra.db import Database
from infra.db.engine import insert_new, run, table, unavailable
from infra.db.precompiled import Precompiled
from infra.db.rows import NonceRow, PrescriptionRow, ReviewRow
from tests.support.records import NOW, admitted

_ROW = table(PrescriptionRow).c
STATEMENT = sa.select(_ROW.id, _ROW.status, _ROW.content, _ROW.patient_sealed, _ROW.wake_at, _ROW.expedited, _ROW.drawn,
                      (_ROW.version + 1).label("next"), sa.func.count().over()).where(
    _ROW.id == sa.bindparam("id"), _ROW.wake_at <= sa.bindparam("at")).limit(5)
COMPILED = Precompiled(STATEMENT)
NONCES = Precompiled(sa.select(table(NonceRow).c.nonce).order_by(table(NonceRow).c.nonce).where(
    table(NonceRow).c.partner == sa.bindparam("partner")))
_COUNTED = sa.Table("counted", sa.MetaData(), sa.Column("name", sa.Text), sa.Column("number", sa.Integer, default=lambda: 1))
REPEAT = Precompiled(sa.insert(table(NonceRow)))


def test_a_row_is_what_sqlalchemy_makes_of_it_with_its_fields_by_name(db: Database) -> None:
    rx_id = admitted(db).id
    values = {"id": rx_id, "at": NOW.astimezone(timezone(timedelta(hours=8)))}
    with db.reading() as session:
        plain, quick = run(session, STATEMENT, values).one(), run(session, COMPILED, values).only()
    assert tuple(quick) == tuple(plain)
    assert (quick.id, quick.wake_at, quick.wake_at.tzinfo, quick.next) == (rx_id, NOW, UTC, 2)


def test_none_one_and_several_are_told_apart(db: Database) -> None:
    with db.transaction() as session:
        rows = run(session, NONCES, {"partner": "ankang"})
        assert (rows.all(), rows.scalars()) == ([], [])
        assert (rows.first(), rows.one_or_none(), rows.scalar_one_or_none()) == (None, None, None)
        with pytest.raises(sa.exc.NoResultFound):
            rows.only()
        for nonce in "ab":
            assert insert_new(session, NonceRow, partner="ankang", nonce=nonce, at=NOW)
        rows = run(session, NONCES, {"partner": "ankang"})
        assert (rows.scalars(), [row.nonce for row in rows], rows.first().nonce) == (["a", "b"], ["a", "b"], "a")
        with pytest.raises(sa.exc.MultipleResultsFound):
            rows.only()


def test_a_constraint_raises_what_sqlalchemy_raises_and_all_is_rolled_back(db: Database) -> None:
    def twice() -> None:
        with db.transaction() as session:
            for _ in range(2):
                run(session, REPEAT, {"partner": "ankang", "nonce": "n", "at": NOW})

    with pytest.raises(sa.exc.IntegrityError) as caught:
        twice()
    assert not unavailable(caught.value)
    assert "parameters hidden" in str(caught.value)
    with db.reading() as session:
        assert run(session, NONCES, {"partner": "ankang"}).all() == []


def test_a_connection_that_the_server_ended_is_trouble_of_the_moment_and_the_next_one_works(postgres_db: Database) -> None:
    def with_its_backend_ended() -> None:
        with postgres_db.transaction() as session:
            run(session, NONCES, {"partner": "ankang"})
            pid = session.scalar(sa.text("SELECT pg_backend_pid()"))
            with postgres_db.as_owner() as other:
                other.execute(sa.text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
            run(session, NONCES, {"partner": "ankang"})

    with pytest.raises(sa.exc.OperationalError) as caught:
        with_its_backend_ended()
    assert unavailable(caught.value)
    with postgres_db.transaction() as session:
        assert run(session, NONCES, {"partner": "ankang"}).all() == []


def test_all_looks_of_one_reading_see_the_same_on_sqlite(tmp_path) -> None:
    db = Database(f"sqlite:///{tmp_path / 'sanyi.db'}")
    db.migrate()
    with db.reading() as session:
        assert run(session, NONCES, {"partner": "ankang"}).all() == []
        with db.transaction() as other:
            insert_new(other, NonceRow, partner="ankang", nonce="n", at=NOW)
        assert run(session, NONCES, {"partner": "ankang"}).all() == []
    with db.reading() as session:
        assert run(session, NONCES, {"partner": "ankang"}).scalars() == ["n"]
    db.close()


def test_who_listens_to_statements_hears_these_too(db: Database) -> None:
    heard: list[str] = []

    def hear(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        heard.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", hear)
    try:
        with db.reading() as session:
            run(session, NONCES, {"partner": "ankang"})
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", hear)
    assert [statement for statement in heard if "FROM nonce" in statement]


@pytest.mark.parametrize("statement", [
    pytest.param(sa.select(_ROW.id).where(_ROW.id.in_(sa.bindparam("ids", expanding=True))), id="a list of values"),
    pytest.param(sa.insert(_COUNTED), id="a value that a function makes")])
def test_a_statement_without_a_fixed_form_is_refused(db: Database, statement: sa.Executable) -> None:
    with pytest.raises(ValueError, match="fixed form"), db.reading() as session:
        run(session, Precompiled(statement), {"ids": ["a"]} if isinstance(statement, sa.Select) else {"name": "a"})


def test_plain_defaults_of_columns_are_filled_in(db: Database) -> None:
    rx_id = admitted(db).id
    with db.transaction() as session:
        run(session, Precompiled(sa.insert(table(ReviewRow))), {
            "prescription_id": rx_id, "prescriber": "p", "opened_at": NOW, "codes": [], "reasons": {}})
    with db.reading() as session:
        row = session.get_one(ReviewRow, rx_id)
    assert (row.lapses, row.text, row.codes, row.reasons) == (0, "", [], {})


def test_a_moment_without_a_zone_is_refused(db: Database) -> None:
    with pytest.raises(ValueError, match="without a zone"), db.reading() as session:
        run(session, COMPILED, {"id": "rx_1", "at": datetime(2026, 11, 30)})

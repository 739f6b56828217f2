"""Transactions are whole, moments have a zone."""

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa

from infra.db import Database
from infra.db.engine import UtcDateTime, insert_new
from infra.db.rows import NonceRow, PrescriptionRow
from tests.support.city import Plug, SimulatedCrash
from tests.support.records import NOW, admit, admitted


@pytest.mark.parametrize("before", [None, 0o644])
def test_a_database_file_is_its_owners_alone_whatever_the_umask(tmp_path, before):
    file = tmp_path / "sanyi.db"
    if before is not None:
        file.touch(before)
    umask = os.umask(0o000)
    try:
        database = Database(f"sqlite:///{file}")
        database.migrate()
    finally:
        os.umask(umask)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    database.close()


def nonces(db: Database) -> list[datetime]:
    with db.reading() as session:
        return list(session.scalars(sa.select(NonceRow.at)))


def test_a_moment_without_a_zone_is_refused(db: Database) -> None:
    with db.reading() as session:
        session.add(NonceRow(partner="ankang", nonce="n", at=datetime(2026, 11, 22)))
        with pytest.raises(sa.exc.StatementError, match="without a zone"):
            session.flush()
    assert nonces(db) == []
    assert UtcDateTime().process_bind_param(None, sa.create_engine("sqlite://").dialect) is None


@pytest.mark.parametrize("first", ["past the session", "through it"])
def test_a_rollback_takes_back_all_of_the_transaction_however_it_was_written(db: Database, first: str) -> None:
    with db.transaction() as session:
        if first == "through it":
            session.add(NonceRow(partner="ankang", nonce="a", at=NOW))
            session.flush()
        assert insert_new(session, NonceRow, partner="ankang", nonce="b", at=NOW)
        session.rollback()
    assert nonces(db) == []


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=8)), timezone(timedelta(hours=-9, minutes=-30))])
def test_a_moment_comes_back_as_it_was_to_the_microsecond_in_utc(db: Database, zone: timezone) -> None:
    at = datetime(2026, 11, 22, 23, 59, 59, 999_999, tzinfo=zone)
    with db.transaction() as session:
        session.add(NonceRow(partner="ankang", nonce="n", at=at))
    (back,) = nonces(db)
    assert (back, back.tzinfo) == (at, UTC)


def test_moments_of_different_zones_compare_as_moments(db: Database) -> None:
    with db.transaction() as session:
        session.add(NonceRow(partner="ankang", nonce="n", at=NOW))
    beijing = NOW.astimezone(timezone(timedelta(hours=8)))
    with db.reading() as session:
        count = sa.select(sa.func.count()).select_from(NonceRow)
        assert session.scalar(count.where(NonceRow.at <= beijing)) == 1
        assert session.scalar(count.where(NonceRow.at < beijing)) == 0


def test_what_raises_in_a_transaction_leaves_nothing_behind(db: Database) -> None:
    def work() -> None:
        with db.transaction() as session:
            admit(session)
            raise KeyError

    with pytest.raises(KeyError):
        work()
    with db.reading() as session:
        assert session.scalar(sa.select(PrescriptionRow.id)) is None


@pytest.mark.parametrize(("boundary", "kept"), [(1, False), (2, True)], ids=["before", "after"])
def test_a_crash_before_a_commit_undoes_it_and_one_after_does_not(db: Database, boundary: int, kept: bool) -> None:
    plug = Plug()
    plug.pull_at(boundary)
    crashing = Database(db.url, boundary=plug)
    with pytest.raises(SimulatedCrash), crashing.transaction() as session:
        admit(session)
    crashing.close()
    with db.reading() as session:
        assert (session.scalar(sa.select(PrescriptionRow.id)) is not None) is kept


def test_a_reader_is_not_held_up_by_a_writer_and_does_not_see_half(db: Database) -> None:
    admitted(db, 1)
    with db.transaction() as writing:
        admit(writing, 2)
        with db.reading() as session:
            assert session.scalar(sa.select(sa.func.count()).select_from(PrescriptionRow)) == 1


def test_a_fail_point_bears_the_name_of_its_transaction(db: Database) -> None:
    passed: list[tuple[str, str]] = []
    named = Database(db.url, boundary=lambda name, when: passed.append((name, when)))
    with named.transaction("message.received") as session:
        admit(session)
    named.close()
    assert passed == [("message.received", "before"), ("message.received", "after")]


def test_threads_of_one_process_may_migrate_at_the_same_moment(database_url: str) -> None:
    databases = [Database(database_url) for _ in range(4)]
    with ThreadPoolExecutor(len(databases)) as threads:
        done = [threads.submit(database.migrate) for database in databases]
    for one in done:
        one.result()
    admitted(databases[0], 1)
    for database in databases:
        database.close()

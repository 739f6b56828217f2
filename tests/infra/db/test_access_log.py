"""The access log grows, and shows whoever changes it."""

import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from domain.people import Capability
from infra.db import Database, Session, access_log
from infra.db.access_log import Broken, Kind
from infra.db.rows import AccessRow

NOON = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)


def see(db: Database, person: str, *, rx: str = "rx_1", at: datetime = NOON, kind: Kind = Kind.VIEW, detail: str = "") -> None:
    with db.transaction() as session:
        access_log.append(session, person, kind, Capability.SEE_PRESCRIPTION, at=at, prescription_id=rx, detail=detail)


def broken(db: Database) -> list[Broken]:
    with db.reading() as session:
        return access_log.verify(session)


def tamper(db: Database, statement: str) -> None:
    """What whoever owns the database can do: drop the triggers first."""
    with db.as_owner() as connection:
        drop = ("DROP TRIGGER access_log_no_update", "DROP TRIGGER access_log_no_delete") if db.sqlite else (
            "DROP TRIGGER access_log_append_only ON access_log",)
        for crime in (*drop, statement):
            connection.exec_driver_sql(crime)


@pytest.mark.parametrize("crime", ["UPDATE access_log SET detail = 'x'", "DELETE FROM access_log"])
def test_the_database_refuses_to_change_it(db: Database, crime: str) -> None:
    see(db, "P001")
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), db.as_owner() as connection:
        connection.exec_driver_sql(crime)
    assert broken(db) == []


@pytest.mark.parametrize("column", ["at", "kind", "capability", "prescription_id", "detail", "hash"])
def test_any_changed_value_is_named_with_its_row(db: Database, column: str) -> None:
    for number in range(4):
        see(db, "P001", rx=f"rx_{number}", detail="was")
        see(db, "P002")

    tamper(db, f"UPDATE access_log SET {column} = 'other' WHERE person = 'P001' AND seq = 3")

    assert broken(db) == [Broken("P001", 3, "content does not match its hash")]


def test_a_removed_row_is_named_wherever_it_was(db: Database) -> None:
    for person in ("first", "middle", "last", "whole"):
        for _ in range(3):
            see(db, person)
    tamper(db, "DELETE FROM access_log WHERE (person = 'first' AND seq = 1) OR (person = 'middle' AND seq = 2) "
               "OR (person = 'last' AND seq = 3) OR person = 'whole'")
    assert [(fault.person, fault.what) for fault in broken(db)] == [
        ("first", "row is missing"), ("last", "chain ends before or after its head"), ("middle", "row is missing"),
        ("whole", "chain ends before or after its head")]


def test_nothing_is_written_where_the_act_is_rolled_back(db: Database) -> None:
    see(db, "P001")
    with suppress(RuntimeError), db.transaction() as session:
        access_log.append(session, "P001", Kind.ACT, Capability.CLAIM_REVIEW, at=NOON)
        raise RuntimeError
    assert broken(db) == []
    with db.reading() as session:
        assert access_log.count(session) == 1


def test_one_persons_acts_at_the_same_time_become_one_chain(db: Database) -> None:
    together = threading.Barrier(8)

    def act() -> None:
        together.wait()
        see(db, "P001")

    threads = [threading.Thread(target=act) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert broken(db) == []
    with db.reading() as session:
        assert sorted(session.scalars(sa.select(AccessRow.seq))) == list(range(1, 9))


def test_it_is_searched_by_person_prescription_and_period_page_by_page(db: Database) -> None:
    for number in range(5):
        see(db, "P001", rx="rx_a", at=NOON + timedelta(minutes=number))
        see(db, "P002", rx="rx_b", at=NOON + timedelta(minutes=number))

    with db.reading() as session:
        assert {entry.person for entry in access_log.search(session, person="P001")} == {"P001"}
        assert {entry.prescription_id for entry in access_log.search(session, prescription_id="rx_b")} == {"rx_b"}
        period = access_log.search(session, since=NOON + timedelta(minutes=1), until=NOON + timedelta(minutes=3))
        assert [entry.at for entry in period] == [NOON + timedelta(minutes=2)] * 2 + [NOON + timedelta(minutes=1)] * 2
        assert pages(session) == access_log.search(session)


def pages(session: Session) -> list[access_log.Entry]:
    entries = page = access_log.search(session, limit=3)
    while page:
        page = access_log.search(session, before=access_log.mark(page[-1]), limit=3)
        entries = entries + page
    return entries

"""Every word gets there, and none overtakes an earlier one about the same prescription."""

from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from infra.db import Database, outbox
from infra.db.rows import OutboxRow
from tests.support.records import MINUTE, NOW, admitted


@pytest.fixture
def rx(db: Database) -> list[str]:
    return [admitted(db, number).id for number in (1, 2)]


def put(db: Database, key: str, rx_id: str, partner: str = "hospital", at: datetime = NOW) -> None:
    with db.transaction() as session:
        outbox.enqueue(session, key=key, kind="report", partner=partner, prescription_id=rx_id, sealed=key.encode(),
                       at=at)


def take(db: Database, at: datetime = NOW, limit: int = 10) -> list[str]:
    with db.transaction() as session:
        return [parcel.key for partner in sorted(outbox.waited_for(session, at))
                for parcel in outbox.take(session, partner, at=at, lease=MINUTE, limit=limit)]


def fail(db: Database, key: str, again_at: datetime) -> None:
    with db.transaction() as session:
        outbox.failed(session, key, error="Transient:x", again_at=again_at)


def deliver(db: Database, *keys: str) -> None:
    with db.transaction() as session:
        outbox.delivered(session, keys, NOW)


def test_a_key_is_queued_once_even_after_it_was_delivered(db: Database, rx: list[str]) -> None:
    put(db, "a", rx[0])
    deliver(db, *take(db))
    put(db, "a", rx[0])
    assert take(db, NOW + 2 * MINUTE) == []


def test_what_was_taken_and_not_delivered_comes_again_after_the_lease(db: Database, rx: list[str]) -> None:
    put(db, "a", rx[0])
    assert take(db) == ["a"]
    assert take(db, NOW + MINUTE - timedelta(seconds=1)) == []
    assert take(db, NOW + MINUTE) == ["a"]


def test_what_failed_comes_again_when_it_is_due_and_counts_its_attempts(db: Database, rx: list[str]) -> None:
    put(db, "a", rx[0])
    take(db)
    fail(db, "a", NOW + 5 * MINUTE)
    assert take(db, NOW + 4 * MINUTE) == []
    with db.transaction() as session:
        (parcel,) = outbox.take(session, "hospital", at=NOW + 5 * MINUTE, lease=MINUTE, limit=1)
    assert (parcel.attempts, parcel.sealed) == (1, b"a")
    deliver(db, "a")
    with db.reading() as session:
        row = session.scalars(sa.select(OutboxRow)).one()
    assert (row.due_at, row.sent_at, row.last_error) == (None, NOW, "")


def test_words_about_one_prescription_go_one_by_one_in_the_order_in_which_they_were_made(
        db: Database, rx: list[str]) -> None:
    """Neither by name nor by when they fall due: the clock of another machine may lag."""
    for key, at in (("c", NOW), ("a", NOW - MINUTE), ("b", NOW)):
        put(db, key, rx[0], at=at)
    for key in ("c", "a", "b"):
        assert take(db) == [key]
        assert take(db) == [], "the next waits until this one is there"
        deliver(db, key)


def test_what_failed_holds_back_what_comes_after_it(db: Database, rx: list[str]) -> None:
    put(db, "first", rx[0])
    take(db)
    fail(db, "first", NOW + 5 * MINUTE)
    put(db, "second", rx[0])
    assert take(db, NOW + 2 * MINUTE) == []
    with db.reading() as session:
        assert outbox.waited_for(session, NOW + 2 * MINUTE) == [], "the relay would look again and again, without a pause"
    assert take(db, NOW + 5 * MINUTE) == ["first"]
    deliver(db, "first")
    assert take(db, NOW + 5 * MINUTE) == ["second"]


def test_other_partners_and_other_prescriptions_are_not_held_back(db: Database, rx: list[str]) -> None:
    put(db, "first", rx[0])
    take(db)
    fail(db, "first", NOW + 5 * MINUTE)
    put(db, "another's", rx[1])
    put(db, "to the chain", rx[0], partner="ankang")
    assert take(db) == ["to the chain", "another's"]


def test_what_is_held_back_does_not_use_up_the_limit(db: Database, rx: list[str]) -> None:
    put(db, "first", rx[0])
    take(db)
    fail(db, "first", NOW + 5 * MINUTE)
    for n in range(5):
        put(db, f"held back {n}", rx[0])
    put(db, "free", rx[1])
    assert take(db, limit=3) == ["free"]


def test_the_limit_cuts_off_the_newest(db: Database, rx: list[str]) -> None:
    for key, rx_id in (("b", rx[0]), ("a", rx[1])):
        put(db, key, rx_id)
    assert take(db, limit=1) == ["b"]
    assert take(db, limit=1) == ["a"]


def test_two_workers_at_once_do_not_split_one_prescriptions_words(postgres_db: Database) -> None:
    one, other = (admitted(postgres_db, number).id for number in (1, 2))
    for key in ("first", "second"):
        put(postgres_db, key, one)
    put(postgres_db, "another's", other)
    with postgres_db.transaction() as session:
        assert [parcel.key for parcel in outbox.take(session, "hospital", at=NOW, lease=MINUTE, limit=1)] == ["first"]
        assert take(postgres_db) == ["another's"]

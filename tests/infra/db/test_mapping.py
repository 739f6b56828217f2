"""Codes that were mapped, and messages that wait for it."""

from dataclasses import dataclass
from datetime import timedelta

from infra.db import Database, mapping
from tests.support.records import NOW, at_once


@dataclass(frozen=True)
class Code:
    theirs: str
    table: str = "drug"
    name: str = ""


def park(db: Database, key: str, *theirs: str, hospital: str = "h", minutes: int = 0) -> None:
    with db.transaction() as session:
        mapping.park(session, hospital, key, archive_key=f"a-{key}", at=NOW + timedelta(minutes=minutes),
                     unmapped=[Code(one) for one in theirs])


def say(db: Database, theirs: str, ours: str) -> None:
    with db.transaction() as session:
        mapping.accept(session, mapping.Mapped("h", "drug", theirs, "", ours, "O001", NOW))


def test_the_newest_word_about_a_code_comes_last_and_the_older_one_stays(db: Database) -> None:
    say(db, "W1", "D001")
    say(db, "W1", "D002")
    with db.reading() as session:
        assert mapping.accepted(session, "h") == [("drug", "W1", "D001"), ("drug", "W1", "D002")]
        assert mapping.accepted(session, "other") == []
        assert [one.ours for one in mapping.decisions(session)] == ["D002", "D001"]


def test_a_code_wanted_says_how_many_wait_for_it_and_since_when(db: Database) -> None:
    park(db, "M1", "W1", "W1", "W2")
    park(db, "M2", "W1", minutes=5)
    park(db, "M3", "W1", hospital="other", minutes=9)
    with db.reading() as session:
        wanted = [(one.hospital, one.theirs, one.messages, one.since) for one in mapping.wanted(session)]
        assert wanted == [("h", "W1", 2, NOW), ("h", "W2", 1, NOW), ("other", "W1", 1, NOW + timedelta(minutes=9))]
        assert mapping.count_waiting(session) == {"h": (2, NOW), "other": (1, NOW + timedelta(minutes=9))}


def test_what_is_settled_waits_no_more_and_its_neighbours_do(db: Database) -> None:
    park(db, "M1", "W1")
    park(db, "M2", "W1")
    with db.transaction() as session:
        assert mapping.waiting(session, "h", "M1") == "a-M1"
        mapping.take(session, "h", "M1")
        assert mapping.waiting(session, "h", "M1") is None
    with db.reading() as session:
        assert [one.key for one in mapping.queue(session, "h")] == ["M2"]


def test_a_message_that_waits_again_waits_for_what_is_missing_now(db: Database) -> None:
    park(db, "M1", "W1", "W2")
    park(db, "M1", "W2", minutes=3)
    with db.reading() as session:
        assert [one.theirs for one in mapping.wanted(session)] == ["W2"]
        assert mapping.queue(session)[0].received_at == NOW


def test_two_that_park_one_message_at_once_park_it_once(db: Database) -> None:
    at_once(*(lambda: park(db, "M1", "W1"),) * 4)
    with db.reading() as session:
        assert len(mapping.queue(session)) == 1

"""The pharmacists' queue: one claims, a lapse is counted, the urgent come first."""

from datetime import datetime, timedelta

import pytest

from domain.errors import StaleStatus
from domain.events import Event
from domain.findings import Finding, Severity
from domain.lifecycle import Status
from domain.prescription import RxKind
from infra.db import Database, audits, history, reviews
from tests.support.records import MINUTE, NOW, admitted, at_once, audited


def queue_up(db: Database, number: int = 1, *, opened: datetime = NOW, valid: timedelta = timedelta(days=1),
             kind: RxKind = RxKind.LONG_TERM) -> str:
    head = admitted(db, number, valid_until=NOW + valid, kind=kind)
    with db.transaction() as session:
        reviews.open_review(session, head.id, "D370100000001", opened)
        head = history.append(session, head, to=Status.AUDITED, actor="audit", event=Event.SEARCH_STARTED, at=NOW, wake_at=None)
        history.append(session, head, to=Status.IN_REVIEW, actor="platform", event=Event.QUEUED, at=NOW, wake_at=None)
    return head.id


def claim(db: Database, rx_id: str, who: str, at: datetime = NOW) -> bool:
    with db.transaction() as session:
        return reviews.assign(session, rx_id, who, at=at, until=at + 10 * MINUTE)


def lapses(db: Database, rx_id: str) -> int:
    with db.reading() as session:
        row = reviews.get(session, rx_id)
    assert row is not None
    return row.lapses


def test_of_pharmacists_at_once_one_gets_it(db: Database) -> None:
    rx_id = queue_up(db)
    found = at_once(*(lambda who=who: claim(db, rx_id, who) for who in ("P001", "P002", "P003")))
    assert sorted(found, key=str) == [False, False, True]
    with db.reading() as session:
        (queued,) = reviews.queue(session, NOW, timedelta(0))
    assert queued.claimed_by == f"P00{found.index(True) + 1}"


def test_ones_own_claim_can_be_extended_and_is_no_lapse(db: Database) -> None:
    rx_id = queue_up(db)
    assert claim(db, rx_id, "P001")
    assert claim(db, rx_id, "P001", NOW + 9 * MINUTE)
    assert not claim(db, rx_id, "P002", NOW + 15 * MINUTE)
    assert lapses(db, rx_id) == 0


@pytest.mark.parametrize("next_", ["P001", "P002"])
def test_a_claim_that_ran_out_is_free_and_counted(db: Database, next_: str) -> None:
    rx_id = queue_up(db)
    claim(db, rx_id, "P001")
    assert not claim(db, rx_id, "P002", NOW + 10 * MINUTE - timedelta(seconds=1))
    assert claim(db, rx_id, next_, NOW + 10 * MINUTE)
    assert lapses(db, rx_id) == 1


def test_what_is_decided_cannot_be_claimed(db: Database) -> None:
    rx_id = queue_up(db)
    claim(db, rx_id, "P001")
    with db.transaction() as session:
        reviews.decide(session, rx_id, "P001", decision="pass", codes=[], text="", reasons={}, request_sha256="x",
                       at=NOW)
    assert not claim(db, rx_id, "P001", NOW + 60 * MINUTE)
    with pytest.raises(StaleStatus), db.transaction() as session:
        reviews.decide(session, rx_id, "P001", decision="reject", codes=[], text="", reasons={}, request_sha256="y",
                       at=NOW)


def test_who_does_not_hold_the_claim_cannot_decide(db: Database) -> None:
    rx_id = queue_up(db)
    claim(db, rx_id, "P001")
    with pytest.raises(StaleStatus), db.transaction() as session:
        reviews.decide(session, rx_id, "P002", decision="pass", codes=[], text="", reasons={}, request_sha256="x",
                       at=NOW)


def test_the_queue_has_the_urgent_first_then_what_expires_soon_then_the_oldest(db: Database) -> None:
    young = queue_up(db, 1, opened=NOW)
    old = queue_up(db, 2, opened=NOW - 5 * MINUTE)
    soon = queue_up(db, 3, valid=timedelta(hours=1))
    urgent = queue_up(db, 4, kind=RxKind.EMERGENCY)
    with db.reading() as session:
        assert [one.id for one in reviews.queue(session, NOW, timedelta(hours=2))] == [urgent, soon, old, young]


def test_the_queue_shows_live_claims_and_counts_warnings(db: Database) -> None:
    rx_id = queue_up(db)
    claim(db, rx_id, "P001")
    found = [Finding("A", Severity.WARN, "A-1", "", "", ""), Finding("B", Severity.INFO, "A-2", "", "", "")]
    with db.transaction() as session:
        audited(session, rx_id, *found)
    with db.reading() as session:
        assert [(one.claimed_by, one.warnings) for one in reviews.queue(session, NOW, timedelta(0))] == [("P001", 1)]
        assert [one.claimed_by for one in reviews.queue(session, NOW + 11 * MINUTE, timedelta(0))] == [""]
        assert audits.findings(session, rx_id) == found

"""One writer of the status, and a chain that gives away whoever touched it."""

from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa

from domain.errors import StaleStatus
from domain.events import Event
from domain.lifecycle import Status
from infra.db import Database, Session, history, prescriptions
from infra.db.history import HASHED, Head
from infra.db.rows import HistoryRow, PrescriptionRow
from tests.support.records import MINUTE, NOW, admitted, at_once

WAY = (Status.AUDITED, Status.IN_REVIEW, Status.REVIEWED, Status.ALLOCATING)


def move(db: Database, head: Head, to: Status | None = None, event: Event = Event.QUEUED) -> Head:
    with db.transaction() as session:
        return history.append(session, head, to=to, actor="platform", event=event, at=NOW, wake_at=NOW,
                              detail={"n": 1})


def go(db: Database) -> Head:
    """A chain of five rows."""
    head = admitted(db)
    for status in WAY:
        head = move(db, head, status)
    return head


def verdict(db: Database, rx_id: str) -> history.Broken | None:
    with db.reading() as session:
        rows = session.scalars(sa.select(HistoryRow).where(HistoryRow.prescription_id == rx_id)
                               .order_by(HistoryRow.seq)).all()
        return history.verify(rows, session.get_one(PrescriptionRow, rx_id))


def test_an_untouched_chain_holds_and_ends_where_the_prescription_is(db: Database) -> None:
    head = go(db)
    assert verdict(db, head.id) is None
    assert (head.version, head.status) == (5, Status.ALLOCATING)
    with db.reading() as session:
        assert prescriptions.load(session, head.id).head == head


def test_an_event_that_moves_nothing_is_part_of_the_chain(db: Database) -> None:
    head = move(db, admitted(db))
    assert (head.status, head.version, verdict(db, head.id)) == (Status.RECEIVED, 2, None)


def test_an_illegal_move_is_our_bug_and_leaves_no_trace(db: Database) -> None:
    head = admitted(db)
    with pytest.raises(ValueError, match="received -> settled"):
        move(db, head, Status.SETTLED)
    assert verdict(db, head.id) is None


def test_a_late_move_is_stale(db: Database) -> None:
    head = admitted(db)
    move(db, head, Status.AUDITED)
    with pytest.raises(StaleStatus):
        move(db, head, Status.CANCELLED)


def test_an_event_that_moved_nothing_makes_an_older_look_stale_as_well(db: Database) -> None:
    head = admitted(db)
    move(db, head)
    with pytest.raises(StaleStatus):
        move(db, head, Status.AUDITED)


def test_of_two_writers_at_once_one_wins(db: Database) -> None:
    head = admitted(db)
    found = at_once(*(lambda to=to: move(db, head, to) for to in (Status.AUDITED, Status.CANCELLED) * 2))
    winners = [one for one in found if isinstance(one, Head)]
    assert (len(winners), sum(isinstance(one, StaleStatus) for one in found)) == (1, 3)
    with db.reading() as session:
        assert prescriptions.load(session, head.id).status is winners[0].status
    assert verdict(db, head.id) is None


def test_a_wait_is_refused_when_something_happened_meanwhile(db: Database) -> None:
    seen = admitted(db)
    now = move(db, seen)
    with pytest.raises(StaleStatus), db.transaction() as session:
        history.wait(session, seen, until=None, waiting_for="nothing")
    with db.transaction() as session:
        history.wait(session, now, until=NOW + MINUTE, waiting_for="something")
    with db.reading() as session:
        loaded = prescriptions.load(session, seen.id)
    assert (loaded.wake_at, loaded.waiting_for, loaded.head) == (NOW + MINUTE, "something", now)


def test_a_wait_keeps_the_trouble_of_what_is_tried_again(db: Database) -> None:
    head = admitted(db)
    with db.transaction() as session:
        history.wait(session, head, until=NOW + MINUTE, waiting_for="retry", attempts=3, trouble="Transient:timeout")
    with db.reading() as session:
        row = session.get_one(PrescriptionRow, head.id)
        assert (row.attempts, row.trouble) == (3, "Transient:timeout")


# --- tampering ---

FALSE = {"prescription_id": "rx_another", "seq": 9, "at": "2026-11-22T02:00:00+00:00", "from_status": "closed",
         "to_status": "closed", "actor": "operator:O001", "reason": "becausf", "detail": '{"n":2}', "run_id": "x"}


@pytest.mark.parametrize("field", HASHED)
def test_a_change_of_any_hashed_field_is_named_with_its_row(db: Database, field: str) -> None:
    head = go(db)
    with db.reading() as session:
        rows = session.scalars(sa.select(HistoryRow).order_by(HistoryRow.seq)).all()
        prescription = session.get_one(PrescriptionRow, head.id)
    for seq in (1, 3, 5):
        true = getattr(rows[seq - 1], field)
        assert true != FALSE[field]
        setattr(rows[seq - 1], field, FALSE[field])
        broken = history.verify(rows, prescription)
        assert broken is not None
        assert (broken.prescription_id, broken.seq) == (head.id, seq)
        setattr(rows[seq - 1], field, true)
    assert history.verify(rows, prescription) is None


def edit(seq: int, **values: object) -> Callable[[Session], object]:
    return lambda session: session.execute(sa.update(HistoryRow).where(HistoryRow.seq == seq).values(**values))


def swap(session: Session) -> None:
    for start, end in ((3, 30), (4, 3), (30, 4)):
        session.execute(sa.update(HistoryRow).where(HistoryRow.seq == start).values(seq=end))


def rewrite(seq: int) -> Callable[[Session], None]:
    """Change a row and hash it anew, as somebody would who can read this repository."""
    def work(session: Session) -> None:
        before = session.scalars(sa.select(HistoryRow.hash).where(HistoryRow.seq == seq - 1)).one()
        row = session.scalars(sa.select(HistoryRow).where(HistoryRow.seq == seq)).one()
        row.reason = "nothing happened"
        row.hash = history._digest(before, [getattr(row, name) for name in HASHED])
    return work


def head(**values: object) -> Callable[[Session], object]:
    return lambda session: session.execute(sa.update(PrescriptionRow).values(**values))


@pytest.mark.parametrize(("tamper", "seq", "what"), [
    (edit(3, reason="becausf"), 3, "hash"),
    (edit(4, hash="0" * 64), 4, "hash"),
    (lambda session: session.execute(sa.delete(HistoryRow).where(HistoryRow.seq == 3)), 3, "missing"),
    (lambda session: session.execute(sa.delete(HistoryRow).where(HistoryRow.seq == 1)), 1, "missing"),
    (lambda session: session.execute(sa.delete(HistoryRow).where(HistoryRow.seq > 3)), 3, "ends before or after"),
    (lambda session: session.execute(sa.delete(HistoryRow)), 0, "ends before or after"),
    (swap, 3, "hash"),
    (rewrite(3), 4, "hash"),
    (rewrite(5), 5, "ends before or after"),
    (head(head_hash="f" * 64), 5, "ends before or after"),
    (head(version=6), 5, "ends before or after"),
    (head(status="closed"), 5, "does not end in"),
], ids=["content", "hash", "row gone", "first row gone", "tail gone", "all gone", "rows swapped", "row rehashed",
        "last row rehashed", "head hash", "head version", "status"])
def test_tampering_in_the_database_is_named_with_its_row(
        db: Database, tamper: Callable[[Session], object], seq: int, what: str) -> None:
    rx_id = go(db).id
    with db.transaction() as session:
        tamper(session)
    broken = verdict(db, rx_id)
    assert broken is not None
    assert (broken.seq, what in broken.what) == (seq, True), broken


def test_a_row_whose_hash_is_right_must_still_start_where_the_one_before_ended(db: Database) -> None:
    """A writer that got past the comparison would make such a row."""
    seen = admitted(db)
    forged = Head(seen.id, Status.IN_REVIEW, seen.version, seen.hash)
    with db.transaction() as session:
        session.execute(sa.update(PrescriptionRow).values(status="in_review"))
        history.append(session, forged, to=Status.REVIEWED, actor="platform", event=Event.QUEUED, at=NOW + timedelta(1),
                       wake_at=None)
    broken = verdict(db, seen.id)
    assert broken is not None
    assert (broken.seq, broken.what) == (2, "does not start where the row before ended")


def test_what_an_event_says_is_found_also_where_it_was_written_as_a_sentence(db: Database) -> None:
    head = admitted(db)
    with db.transaction() as session:
        for status in ("accepted", "handed_over"):
            head = history.append(
                session, head, actor="chain:ankang", event=Event.ORDER_UPDATE, at=NOW, wake_at=None,
                detail={"order": "ord_1", "event": "e", "status": status, "cause": "", "lines": [], "at": NOW.isoformat()})
    with db.transaction() as session:
        # The second as an older release wrote it; the first row of all, tampered with, is nobody's business here.
        former = '{"at":"then","event":"e","lines":[],"order":"ord_1","reason":"","said":"handed_over"}'
        for seq, change in ((3, {"reason": "order handed_over", "detail": former}), (1, {"detail": "{"})):
            session.execute(sa.update(HistoryRow).where(
                HistoryRow.prescription_id == head.id, HistoryRow.seq == seq).values(change))
    with db.reading() as session:
        told = history.details(session, head.id, Event.ORDER_UPDATE)
    assert [(one["order"], one["status"], one["cause"], one["at"]) for one in told] == [
        ("ord_1", "accepted", "", NOW.isoformat()), ("ord_1", "handed_over", "", "then")]

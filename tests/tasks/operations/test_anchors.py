"""A history or an access log that was rewritten with all its hashes is named by its day, and so is any change of the roots."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from domain.events import Event
from domain.people import Capability
from infra.db import Session, access_log, anchors, history
from infra.db.rows import AccessHeadRow, AccessRow, AnchorRow, HistoryRow, PrescriptionRow
from infra.objects import key_of
from tasks.anchors import Anchors
from tasks.city import City
from tests.support.city import Clock, admit, make_city

KEY = bytes(range(32))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def city(tmp_path: Path, clock: Clock) -> City:
    return make_city(tmp_path, now=clock)


@pytest.fixture
def ours(city: City, clock: Clock) -> Anchors:
    return Anchors(city.db, city.archive, "jinan", ZoneInfo("Asia/Shanghai"), KEY, clock)


def anchored(ours: Anchors) -> list[date]:
    days = ours.open_days()
    for day in days:
        ours.anchor(day)
    return days


def rewrite(session: Session, rx_id: str, seq: int, reason: str) -> None:
    """What somebody does who knows how: the row, every hash after it, and the head."""
    rows = [session.get_one(HistoryRow, (rx_id, number)) for number in range(1, 100) if session.get(HistoryRow, (rx_id, number))]
    rows[seq - 1].reason = reason
    before = history.GENESIS
    for row in rows:
        row.hash = before = history._digest(before, [getattr(row, name) for name in history.HASHED])
    session.get_one(PrescriptionRow, rx_id).head_hash = before
    session.flush()
    assert history.verify(rows, session.get_one(PrescriptionRow, rx_id)) is None


def test_a_day_has_its_root_half_an_hour_after_its_midnight_and_once(ours: Anchors, city: City, clock: Clock) -> None:
    admit(city, 2)
    today = clock().astimezone(ours.zone).date()
    assert ours.open_days() == []
    midnight = clock().astimezone(ours.zone).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    clock.advance(seconds=(midnight - clock()).total_seconds() + 60 * 29)
    assert ours.open_days() == []
    clock.advance(minutes=2)
    assert anchored(ours) == [today]
    assert anchored(ours) == []
    assert ours.verify() == []
    # The same root again is the same bytes under the same key.
    with city.db.reading() as session:
        key = session.get_one(AnchorRow, today).archive_key
    root = json.loads(city.archive.get(key))
    assert (root["day"], root["before"], len(root["books"]["history"])) == (str(today), "", 2)


def test_days_without_anything_have_roots_too_and_each_holds_the_one_before(ours: Anchors, city: City, clock: Clock) -> None:
    admit(city)
    clock.advance(hours=24 * 4)
    days = anchored(ours)
    assert len(days) == 4
    with city.db.reading() as session:
        roots = [json.loads(city.archive.get(session.get_one(AnchorRow, day).archive_key)) for day in days]
    assert [root["before"] for root in roots[1:]] == [root["mac"] for root in roots[:-1]]
    assert ours.verify() == ours.verify(days[2]) == []


def test_no_root_is_owed_before_anything_has_happened(ours: Anchors, clock: Clock) -> None:
    today = clock().astimezone(ours.zone).date()
    assert ours.open_days() == []
    assert ours.verify(today - timedelta(days=3)) == ours.verify() == []


def test_what_goes_on_after_its_day_is_no_rewriting(ours: Anchors, city: City, clock: Clock) -> None:
    first, _ = admit(city, 2)
    clock.advance(hours=25)
    anchored(ours)
    with city.db.transaction() as session:
        row = session.get_one(PrescriptionRow, first)
        head = history.Head(row.id, row.status, row.version, row.head_hash)  # type: ignore[arg-type]
        history.append(session, head, actor="worker", event=Event.SEARCH_STARTED, at=clock(), wake_at=None)
    clock.advance(hours=24)
    assert len(anchored(ours)) == 1
    assert ours.verify() == []


def removed(session: Session, rx_id: str) -> None:
    session.connection().exec_driver_sql("DELETE FROM history WHERE prescription_id = ?", (rx_id,))


def moved(session: Session, rx_id: str) -> None:
    session.connection().exec_driver_sql(
        "UPDATE history SET at = '2020-01-01T00:00:00+00:00' WHERE prescription_id = ?", (rx_id,))


@pytest.mark.parametrize(("crime", "what"), [
    (lambda session, rx_id: rewrite(session, rx_id, 1, "approved by P001"), "rewritten since"), (removed, "gone since"),
    (moved, "gone since"),
], ids=["rewritten", "removed", "moved to another day"])
def test_a_history_that_was_changed_with_all_its_hashes_is_named(
        ours: Anchors, city: City, clock: Clock, crime: Callable[[Session, str], None], what: str) -> None:
    victim, *_ = admit(city, 3)
    day = clock().astimezone(ours.zone).date()
    clock.advance(hours=25)
    anchored(ours)
    with city.db.transaction() as session:
        crime(session, victim)
    found = [one for one in ours.verify() if one.day == day]
    assert [(one.what, one.whose) for one in found] == [(what, (victim,))]


def test_a_prescription_that_is_dated_back_into_a_day_is_named(ours: Anchors, city: City, clock: Clock) -> None:
    admit(city)
    day = clock()
    clock.advance(hours=25)
    anchored(ours)
    forged = admit(city, 2, at=day)[1]
    with city.db.transaction() as session:
        session.connection().exec_driver_sql("UPDATE history SET at = ? WHERE prescription_id = ?", (day.isoformat(), forged))
    assert [(one.what, one.whose) for one in ours.verify()] == [("written into it since", (forged,))]


def look(city: City, person: str, times: int = 1) -> None:
    with city.db.transaction() as session:
        for _ in range(times):
            access_log.append(session, person, access_log.Kind.VIEW, Capability.SEE_PRESCRIPTION, at=city.now(),
                              prescription_id="rx_aaaaaaaaaaaaaaaa")


def another_view(session: Session, person: str) -> None:
    """The first entry is about another prescription, with every hash after it, and the head."""
    rows = session.scalars(sa.select(AccessRow).where(AccessRow.person == person).order_by(AccessRow.seq)).all()
    rows[0].prescription_id = "rx_bbbbbbbbbbbbbbbb"
    mark = access_log.GENESIS
    for row in rows:
        row.hash = mark = access_log._digest(mark, [getattr(row, name) for name in access_log.HASHED])
    session.get_one(AccessHeadRow, person).hash = mark
    session.flush()
    assert access_log.verify(session) == [], "the log by itself shows nothing"


def never_seen(session: Session, person: str) -> None:
    """No entry and no head."""
    for statement in ("DELETE FROM access_log WHERE person = ?", "DELETE FROM access_head WHERE person = ?"):
        session.connection().exec_driver_sql(statement, (person,))
    assert access_log.verify(session) == [], "the log by itself shows nothing"


@pytest.mark.parametrize(("crime", "what"), [(another_view, "rewritten since"), (never_seen, "gone since")],
                         ids=["rewritten", "removed"])
def test_an_access_log_that_was_changed_with_all_its_hashes_is_named(
        ours: Anchors, city: City, clock: Clock, crime: Callable[[Session, str], None], what: str) -> None:
    admit(city)
    look(city, "P001", 3)
    look(city, "P002")
    day = clock().astimezone(ours.zone).date()
    clock.advance(hours=25)
    anchored(ours)
    look(city, "P001")
    assert ours.verify() == [], "the log goes on after its day"
    with city.db.as_owner() as connection:
        for trigger in ("access_log_no_update", "access_log_no_delete"):
            connection.exec_driver_sql(f"DROP TRIGGER {trigger}")
    with city.db.transaction() as session:
        crime(session, "P001")
    wrong = ours.verify()
    assert [(one.day, one.what, one.whose) for one in wrong] == [(day, f"the access log: {what}", ("P001",))]
    assert str(wrong[0]) == f"{day}: the access log: {what}: P001"


def test_a_root_from_before_the_access_log_was_in_it_still_holds(ours: Anchors, city: City, clock: Clock) -> None:
    admit(city)
    look(city, "P001")
    day = clock().astimezone(ours.zone).date()
    with city.db.reading() as session:
        document = ours._document(day, {"history": anchors.heads(session, *ours._bounds(day))}, "")
    clock.advance(hours=25)
    with city.db.transaction() as session:
        anchors.keep(session, day, city.archive.put(json.dumps(document).encode()), clock())
    look(city, "P001")
    clock.advance(hours=24)
    assert anchored(ours) == [day + timedelta(days=1)]
    assert ours.verify() == []


@pytest.mark.parametrize("crime", ["forgotten", "of another key", "another day's", "out of the archive", "no root at all"])
def test_a_root_that_is_lost_forged_or_moved_is_named(ours: Anchors, city: City, clock: Clock, crime: str) -> None:
    admit(city)
    clock.advance(hours=24 * 3)
    days = anchored(ours)
    with city.db.transaction() as session:
        row, last = session.get_one(AnchorRow, days[1]), session.get_one(AnchorRow, days[2])
        if crime == "forgotten":
            session.delete(row)
        elif crime == "of another key":
            document = replace(ours, key=bytes(32))._document(days[1], {"history": []}, "")
            row.archive_key = city.archive.put(json.dumps(document).encode())
        elif crime == "another day's":
            row.archive_key = last.archive_key
        elif crime == "out of the archive":
            row.archive_key = key_of(b"never kept")
        else:
            row.archive_key = city.archive.put(b"[]")
    assert days[1] in {one.day for one in ours.verify()}


def test_a_lost_last_root_is_missed_on_the_day_after_the_next(ours: Anchors, city: City, clock: Clock) -> None:
    admit(city)
    clock.advance(hours=24 * 3)
    days = anchored(ours)
    with city.db.transaction() as session:
        session.delete(session.get_one(AnchorRow, days[-1]))
    clock.advance(hours=24)
    assert [(one.day, one.what) for one in ours.verify()] == [(days[-1], "has no root")]


def test_a_root_names_nobody(ours: Anchors, city: City, clock: Clock) -> None:
    rx_id = admit(city)[0]
    day = clock().astimezone(ours.zone).date()
    clock.advance(hours=25)
    anchored(ours)
    with city.db.reading() as session:
        root = city.archive.get(session.get_one(AnchorRow, day).archive_key).decode()
    assert rx_id in root
    assert set(json.loads(root)) == {"format", "city", "day", "before", "books", "mac"}

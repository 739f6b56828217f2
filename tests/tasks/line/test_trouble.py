"""What cannot be read, fails, or has moved meanwhile: its own hop notes it, and no other prescription waits for it."""


import pytest
import sqlalchemy as sa

from domain.chains import ChainWord
from domain.errors import Transient
from domain.events import Event
from domain.lifecycle import Status
from infra.db import prescriptions
from infra.db.rows import HistoryRow, PrescriptionRow
from tasks import line as work
from tests.support.city import admit, cancel_by_hospital, make_city
from tests.support.line import Line


def test_a_step_that_fails_after_its_prescription_ended_leaves_it_at_rest(line, monkeypatch):
    (rx_id,) = admit(line.city)

    async def cancelled_meanwhile(*_: object) -> None:
        cancel_by_hospital(line.city, 1)
        raise Transient("busy")

    monkeypatch.setattr(line.payer, "entitlement", cancelled_meanwhile)
    line.hop(rx_id)
    assert (line.row(rx_id).status, line.row(rx_id).wake_at) == ("cancelled", None)


def test_a_row_that_cannot_be_read_is_set_aside_and_the_others_go_on(line):
    good, bad = admit(line.city, 2)
    with line.city.db.transaction() as session:
        session.execute(sa.text("UPDATE prescription SET wake_at = '2000-01-01 马克儿' WHERE id = :bad"), {"bad": bad})
    only = line.hop(bad)
    assert (only.readable, only.alarming, "马克儿" in str(only)) == (False, True, False)
    with line.city.db.reading() as session:
        wake_at, attempts = session.execute(sa.select(PrescriptionRow.wake_at, PrescriptionRow.attempts)
                                            .where(PrescriptionRow.id == bad)).one()
    assert (wake_at > line.clock(), attempts) == (True, 1)
    assert line.hop(good).error == ""


def test_a_content_that_is_not_even_json_is_a_failed_attempt_with_its_place_in_the_history(line):
    good, bad = admit(line.city, 2)
    with line.city.db.transaction() as session:
        session.execute(sa.text("UPDATE prescription SET content = 'not JSON: 马克儿' WHERE id = :bad"), {"bad": bad})
    only = line.hop(bad)
    assert (only.error, only.alarming, "马克儿" in str(only)) == ("JSONDecodeError", True, False)
    with line.city.db.reading() as session:
        assert session.scalar(sa.select(PrescriptionRow.trouble).where(PrescriptionRow.id == bad)) == "JSONDecodeError"
    assert line.hop(good).error == ""


def test_a_content_that_is_no_prescription_stops_a_step_before_any_partner_hears_of_it(line):
    rx_id = line.unsettled()
    line.payer.silent = False
    with line.city.db.transaction() as session:
        kept = session.get_one(PrescriptionRow, rx_id).content
        session.get_one(PrescriptionRow, rx_id).content = {"nonsense": "马克儿"}
    line.clock.advance(minutes=20)
    only = line.hop(rx_id)
    assert (only.error, only.alarming, line.payer.book) == ("ValidationError", True, [])
    with line.city.db.transaction() as session:
        session.get_one(PrescriptionRow, rx_id).content = kept
    line.clock.advance(minutes=20)
    line.hop(rx_id)
    assert (line.status(rx_id), len(line.payer.book)) == (Status.SETTLED, 1)


def test_a_finished_prescription_is_never_due_again(line):
    (rx_id,) = admit(line.city)
    cancel_by_hospital(line.city, 1)
    with line.city.db.transaction() as session:
        prescriptions.wake(session, rx_id, line.city.now())
    assert line.due() == []


def test_a_trouble_somebody_else_overtook_is_not_raised(tmp_path, postgres_url):
    """A callback lands between the failure and writing it down."""
    line = Line(make_city(tmp_path, postgres_url))
    (rx_id,) = admit(line.city)
    line.to_fulfilling(rx_id)
    cancel_by_hospital(line.city, 1)
    chain = line.chain(line.order(rx_id).order.chain)
    chain.silent = True
    words = iter([ChainWord.ACCEPTED, ChainWord.PREPARED])
    after = line.city.after

    def overtaken(**duration):
        line.say(rx_id, next(words))
        return after(**duration)

    object.__setattr__(line.city, "after", overtaken)
    assert line.hop(rx_id).error == "OutcomeUnknown"
    with line.city.db.reading() as session:
        events = list(session.scalars(sa.select(HistoryRow.reason).where(HistoryRow.prescription_id == rx_id)))
    assert Event.ORDER_UPDATE in events
    line.city.db.close()


@pytest.mark.parametrize("way", ["reviewed", "settled"])
def test_what_moved_since_the_batch_was_looked_at_is_noticed_by_its_step(line, monkeypatch, way):
    """Steps say where they expect it; so it is read again, and is nobody's fault."""
    (rx_id,) = admit(line.city)
    if way == "reviewed":
        seen = line.status(rx_id)
        line.hop(rx_id)
        line.review(rx_id)
        after = Status.FULFILLING
    else:
        line.to_fulfilling(rx_id)
        seen = line.status(rx_id)
        line.say(rx_id, ChainWord.HANDED_OVER)
        line.hop(rx_id)
        after = Status.SETTLED
    monkeypatch.setattr(work, "_whereabouts", lambda _city, ids: dict.fromkeys(ids, seen))
    done = line.hop(rx_id)
    assert (done.error, line.status(rx_id)) == ("", after)

"""What a review of the line found, each as the sequence of events in which it hurt."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from domain.chains import ChainWord, LeftOut, Receipt
from domain.errors import Refused, StaleStatus, Transient
from domain.findings import Finding, Severity
from domain.lifecycle import Money, Status
from infra.db import claims, history, outbox, prescriptions, views
from infra.db.rows import DiscrepancyRow, HistoryRow, OutboxRow, PrescriptionRow
from tasks.intake import receive_prescription
from tasks.patients import open_patient
from tasks.settlement.claims import make_claim
from tasks.settlement.reconciliation import reconcile_day, unreconciled_days
from tasks.upkeep import sweep
from tests.support.city import HOSPITAL, admit, bundle, cancel_by_hospital, make_city
from tests.tasks.line import Line


@pytest.fixture
def line(tmp_path):
    return Line(make_city(tmp_path))


def row(line, rx_id):
    with line.city.db.reading() as session:
        return session.get_one(PrescriptionRow, rx_id)


def differences(line):
    with line.city.db.reading() as session:
        return [one.kind for one in session.scalars(sa.select(DiscrepancyRow))]


def test_a_step_that_fails_after_its_prescription_ended_leaves_it_at_rest(line, monkeypatch):
    (rx_id,) = admit(line.city)

    async def cancelled_meanwhile(*_: object) -> None:
        cancel_by_hospital(line.city, 1)
        raise Transient("busy")

    monkeypatch.setattr(line.payer, "entitlement", cancelled_meanwhile)
    line.hop(rx_id)
    assert (row(line, rx_id).status, row(line, rx_id).wake_at) == ("cancelled", None)


def test_two_workers_make_the_next_claim_only_once(line):
    (rx_id,) = admit(line.city, sample="home_delivery")
    placed = line.to_settled(rx_id)
    with line.city.db.reading() as session:
        loaded, first = prescriptions.load(session, rx_id), claims.newest(session, placed.id)
    with line.city.db.transaction() as session:
        make_claim(line.city, session, loaded, placed, portions=placed.portions[1:], after=first)
    with pytest.raises(StaleStatus), line.city.db.transaction() as session:
        make_claim(line.city, session, loaded, placed, portions=placed.portions[1:], after=first)


@pytest.mark.parametrize("step", ["settle", "reverse"])
def test_the_first_failure_of_a_claim_waits_for_its_next_attempt_and_not_for_the_next_look(line, step):
    (rx_id,) = admit(line.city)
    if step == "reverse":
        line.to_settled(rx_id)
        line.say(rx_id, ChainWord.RETURNED, lines=(1,), reason="quality")
    else:
        line.to_fulfilling(rx_id)
        line.say(rx_id, ChainWord.HANDED_OVER)
    line.payer.only = frozenset({step})
    line.payer.silent = True
    assert line.hop(rx_id).error
    first = row(line, rx_id)
    assert (first.attempts, first.wake_at) == (1, line.clock.at + timedelta(seconds=10))
    line.clock.advance(seconds=5)
    assert line.hop(rx_id).error == "", "woken too early: nothing is tried"
    assert (row(line, rx_id).attempts, row(line, rx_id).trouble, row(line, rx_id).wake_at) == (1, first.trouble, first.wake_at)
    line.payer.silent = False
    line.clock.advance(seconds=5)
    line.hop(rx_id)
    assert (row(line, rx_id).status, row(line, rx_id).attempts) == ("settled", 0)


def test_a_later_message_does_not_move_an_order_in_progress_to_another_door(line):
    first = admit(line.city, sample="home_delivery")[0]
    second = receive_prescription(line.city, HOSPITAL, bundle(7, sample="home_delivery").replace(
        "路".encode(), "街".encode()))
    assert second.status == 201
    with line.city.db.reading() as session:
        assert "路" in open_patient(line.city, prescriptions.load(session, first))["address"]


def test_a_store_whose_quote_breaks_the_contract_is_a_notice_once_a_day_and_no_discrepancy(line, monkeypatch):
    broken = Finding("CHAIN_CONTRACT", Severity.BLOCK, "CHN-01", "stores[1].minutes", "报文不符约定", "not as agreed")
    ankang = line.city.chains["ankang"]
    quote = ankang.quote

    async def with_nonsense(*asked):
        return replace(await quote(*asked), left_out=(LeftOut("AK02", (broken,)),))

    monkeypatch.setattr(ankang, "quote", with_nonsense)
    for rx_id in admit(line.city, 2):
        line.to_fulfilling(rx_id)

    with line.city.db.reading() as session:
        (notice,) = views.notices(session, None, 10)
        shown = {concern.kind: concern.examples for concern in views.board(session, line.city.now(), line.city.policy).concerns}
    assert (notice["kind"], notice["partner"], notice["subject"], notice["detail"]) == (
        "quote_left_out", "ankang", f"{line.city.today()}:CHN-01:AK02", "stores[1].minutes")
    assert [example.note for example in shown["notice:quote_left_out"]] == [
        f"ankang {line.city.today()}:CHN-01:AK02: stores[1].minutes"]
    assert "quote_left_out" not in differences(line)


def test_a_handover_of_an_order_we_took_back_is_for_a_person_to_settle(line):
    (rx_id,) = admit(line.city)
    first = line.to_fulfilling(rx_id)
    line.say(rx_id, ChainWord.DECLINED, reason="out_of_stock")
    line.hop(rx_id)
    answer = line.say(rx_id, ChainWord.HANDED_OVER, order=first)
    assert b"applied" in answer.body
    assert "late_word_from_chain" in differences(line)
    assert line.order(rx_id).id != first.id


def test_a_return_of_a_line_the_order_does_not_have_is_refused(line):
    (rx_id,) = admit(line.city)
    line.to_settled(rx_id)
    assert line.say(rx_id, ChainWord.RETURNED, lines=(9,)).status == 422


def test_free_text_of_a_chain_never_reaches_the_history(line):
    (rx_id,) = admit(line.city)
    line.to_fulfilling(rx_id)
    line.say(rx_id, ChainWord.DECLINED, reason="马克儿 13812345678 不接电话")
    line.hop(rx_id)
    with line.city.db.reading() as session:
        written = "".join(one.reason + one.detail for one in session.scalars(sa.select(HistoryRow)))
    assert "马克儿" not in written
    assert "other" in written


def test_a_hold_that_died_while_the_answer_was_lost_is_not_reported_as_an_order(line, monkeypatch):
    line.chain("ankang").minutes = 1
    (rx_id,) = admit(line.city)
    line.hop(rx_id)
    line.review(rx_id)
    chain = line.chain("ankang")

    async def dead(order_id: str) -> Receipt:
        return Receipt(f"REF-{order_id}", ChainWord.CANCELLED)

    monkeypatch.setattr(chain, "find", dead)
    chain.only, chain.lose_next_request = frozenset({"place"}), True
    line.hop(rx_id)
    assert line.order(rx_id).order.chain == "baicao"


def test_a_drug_the_doctor_took_back_is_not_ordered_again(line):
    (rx_id,) = admit(line.city, sample="home_delivery")
    placed = line.to_fulfilling(rx_id)
    line.say(rx_id, ChainWord.IN_DELIVERY)
    cancel_by_hospital(line.city, 1)
    line.hop(rx_id)
    assert line.status(rx_id) is Status.FULFILLING
    line.say(rx_id, ChainWord.DECLINED, order=placed, reason="out_of_stock")
    line.hop(rx_id)
    assert line.status(rx_id) is Status.CANCELLED


def test_a_silent_pharmacy_that_cannot_be_cancelled_is_waited_for_and_not_raced(line, monkeypatch):
    line.chain("ankang").minutes = 1
    (rx_id,) = admit(line.city)
    line.to_fulfilling(rx_id)

    async def too_late(*_: object) -> Receipt:
        raise Refused("too late", code="in_delivery")

    monkeypatch.setattr(line.chain("ankang"), "cancel", too_late)
    line.clock.advance(minutes=11)
    before = row(line, rx_id).version
    assert line.hop(rx_id).error == ""
    assert row(line, rx_id).version - before <= 1
    assert row(line, rx_id).wake_at > line.clock()


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


def unsettled(line):
    """The patient has the medicine, and the fund is silent about the settlement."""
    (rx_id,) = admit(line.city)
    line.to_fulfilling(rx_id)
    line.say(rx_id, ChainWord.HANDED_OVER)
    line.payer.silent = True
    line.payer.only = frozenset({"settle"})
    line.hop(rx_id)
    return rx_id


def test_a_content_that_is_no_prescription_stops_a_step_before_any_partner_hears_of_it(line):
    rx_id = unsettled(line)
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


def test_the_sweep_leaves_a_back_off_alone(line):
    rx_id = unsettled(line)
    line.clock.advance(seconds=70)
    line.hop(rx_id)
    due = row(line, rx_id).wake_at
    asyncio.run(sweep(line.city))
    assert row(line, rx_id).wake_at == due


def test_a_night_without_reconciliation_is_made_up(line):
    (rx_id,) = admit(line.city)
    line.to_settled(rx_id)
    settled_on = line.payer.day
    line.clock.advance(days=2)
    assert unreconciled_days(line.city) == [settled_on]
    assert asyncio.run(reconcile_day(line.city, settled_on))
    assert unreconciled_days(line.city) == []
    line.hop(rx_id)
    assert line.status(rx_id) is Status.CLOSED


def test_a_lost_nudge_of_the_reconciliation_only_costs_hours(line):
    (rx_id,) = admit(line.city)
    line.to_settled(rx_id)
    line.clock.advance(hours=2)
    line.hop(rx_id)
    assert row(line, rx_id).wake_at - line.clock() == timedelta(hours=6)


def test_an_operator_can_have_a_refused_settlement_tried_again(line):
    from tasks.upkeep import redrive

    (rx_id,) = admit(line.city)
    line.to_fulfilling(rx_id)
    line.say(rx_id, ChainWord.HANDED_OVER)
    line.payer.only = frozenset({"settle"})
    line.payer.refuse_next("claim_refused")
    assert line.hop(rx_id).error == "Refused:claim_refused"
    line.clock.advance(minutes=1)
    assert line.hop(rx_id).error == "Refused:claim_refused"
    redrive(line.city, rx_id, "o001")
    assert line.hop(rx_id).error == ""
    assert line.claim(rx_id).status is Money.SETTLED


def test_of_one_prescriptions_words_only_the_oldest_undelivered_one_goes(line):
    (rx_id,) = admit(line.city)
    line.city.hospitals[HOSPITAL].trouble = Transient("down")
    line.to_fulfilling(rx_id)
    line.deliver()
    line.city.hospitals[HOSPITAL].trouble = None
    line.deliver()
    assert line.city.hospitals[HOSPITAL].reports == {}
    line.clock.advance(minutes=1)
    line.deliver()
    assert [report["status"] for report in line.city.hospitals[HOSPITAL].reports.values()] == ["in_review", "fulfilling"]
    with line.city.db.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).where(OutboxRow.due_at.is_not(None))) == 0


def test_what_a_dead_worker_was_delivering_is_due_again_when_its_lease_ends(line):
    (rx_id,) = admit(line.city)
    line.hop(rx_id)
    with line.city.db.transaction() as session:
        assert outbox.take(session, HOSPITAL, at=line.city.now(), lease=timedelta(seconds=10), limit=9)
    assert line.deliver() == 0
    line.clock.advance(seconds=11)
    assert line.deliver() == 1


def test_every_chain_still_verifies_after_all_that(line):
    ids = admit(line.city, 3)
    for rx_id in ids:
        line.to_settled(rx_id)
    with line.city.db.reading() as session:
        for rx_id in ids:
            rows = session.scalars(sa.select(HistoryRow).where(HistoryRow.prescription_id == rx_id)
                                   .order_by(HistoryRow.seq)).all()
            assert history.verify(rows, session.get_one(PrescriptionRow, rx_id)) is None

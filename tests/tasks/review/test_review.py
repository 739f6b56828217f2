"""The review desk: one pharmacist at a time, never one's own, never without a reason."""

import pytest
import sqlalchemy as sa

from domain.findings import Finding, Severity
from domain.lifecycle import Status
from domain.people import Denied
from domain.review import DECISIONS, Decision
from gateway.web.errors import status_of
from infra.db import prescriptions, reviews
from infra.db.rows import HistoryRow
from tasks import review
from tests.support.city import COLLEAGUE, HOSPITAL, PHARMACIST, PRESCRIBER, admit, cancel_by_hospital, make_city
from tests.support.line import Line
from tests.support.records import at_once, audited

CODE = "1-1"
NO = {"return": Status.RETURNED, "reject": Status.REFUSED}


@pytest.fixture
def rx_id(line):
    """In the queue."""
    (admitted,) = admit(line.city)
    line.hop(admitted)
    assert line.status(admitted) is Status.IN_REVIEW
    return admitted


def warn(line, rx_id, *codes):
    with line.city.db.transaction() as session:
        audited(session, rx_id, *(Finding(code, Severity.WARN, "A-1", "", "警示", "warning") for code in codes))


def refusal(work, *args):
    with pytest.raises(Denied) as caught:
        work(*args)
    return status_of(caught.value), caught.value.code


def events(line, rx_id):
    with line.city.db.reading() as session:
        return list(session.scalars(sa.select(HistoryRow.actor).where(HistoryRow.prescription_id == rx_id)))


# --- claiming ---


def test_a_claim_lasts_ten_minutes_and_keeps_colleagues_away(line, rx_id):
    until = review.assign(line.city, rx_id, PHARMACIST)
    assert until == line.clock.at + line.city.policy.review_claim
    assert refusal(review.assign, line.city, rx_id, COLLEAGUE) == (409, "already_claimed")
    line.clock.advance(minutes=9, seconds=59)
    assert refusal(review.assign, line.city, rx_id, COLLEAGUE) == (409, "already_claimed")


def test_claiming_ones_own_again_extends_it(line, rx_id):
    review.assign(line.city, rx_id, PHARMACIST)
    line.clock.advance(minutes=9)
    assert review.assign(line.city, rx_id, PHARMACIST) == line.clock.at + line.city.policy.review_claim
    line.clock.advance(minutes=9)
    assert review.decide(line.city, rx_id, PHARMACIST, Decision("pass")) is Status.REVIEWED


def test_a_claim_that_ran_out_lets_a_colleague_in_and_its_holder_out(line, rx_id):
    review.assign(line.city, rx_id, PHARMACIST)
    line.clock.advance(minutes=10)
    assert refusal(review.decide, line.city, rx_id, PHARMACIST, Decision("pass")) == (409, "claim_expired")
    review.assign(line.city, rx_id, COLLEAGUE)
    assert refusal(review.decide, line.city, rx_id, PHARMACIST, Decision("pass")) == (409, "not_claimed")
    assert review.decide(line.city, rx_id, COLLEAGUE, Decision("pass")) is Status.REVIEWED
    with line.city.db.reading() as session:
        assert reviews.get(session, rx_id).lapses == 1


def test_nobody_reviews_an_own_prescription(line, rx_id):
    assert refusal(review.assign, line.city, rx_id, PRESCRIBER) == (409, "own_prescription")
    assert refusal(review.decide, line.city, rx_id, PRESCRIBER, Decision("pass")) == (409, "own_prescription")
    assert line.status(rx_id) is Status.IN_REVIEW


def test_an_unknown_id_is_a_key_error(line):
    for work in (lambda: review.assign(line.city, "rx_x", PHARMACIST),
                 lambda: review.decide(line.city, "rx_x", PHARMACIST, Decision("pass"))):
        with pytest.raises(KeyError):
            work()


def test_what_is_not_in_the_queue_cannot_be_claimed_or_decided(line):
    (early,) = admit(line.city)
    for _ in range(2):
        assert refusal(review.assign, line.city, early, PHARMACIST) == (409, "not_in_review")
        assert refusal(review.decide, line.city, early, PHARMACIST, Decision("pass")) == (409, "not_in_review")
        cancel_by_hospital(line.city, 1)


def test_a_cancel_while_a_pharmacist_reads_wins(line, rx_id):
    review.assign(line.city, rx_id, PHARMACIST)
    cancel_by_hospital(line.city, 1)
    assert refusal(review.decide, line.city, rx_id, PHARMACIST, Decision("pass")) == (409, "not_in_review")
    assert line.status(rx_id) is Status.CANCELLED


# --- deciding ---


def test_who_has_not_claimed_cannot_decide(line, rx_id):
    assert refusal(review.decide, line.city, rx_id, PHARMACIST, Decision("pass")) == (409, "not_claimed")
    review.assign(line.city, rx_id, COLLEAGUE)
    assert refusal(review.decide, line.city, rx_id, PHARMACIST, Decision("pass")) == (409, "not_claimed")


@pytest.mark.parametrize(("decision", "code"), [
    (Decision("perhaps"), "unknown_decision"),
    (Decision("reject", codes=["no such item"], text="请核对"), "unknown_code"),
    (Decision("pass", codes=["no such item"]), "unknown_code"),
    (Decision("reject", text="请核对"), "code_missing"),
    (Decision("return", text="请核对"), "code_missing"),
    (Decision("reject", codes=[CODE]), "text_missing"),
    (Decision("return", codes=[CODE], text="  \n"), "text_missing"),
    (Decision("pass"), "reason_missing"),
    (Decision("pass", reasons={"W1": "已与医师核对", "W2": "好的"}), "reason_missing"),
    (Decision("pass", reasons={"W1": "已与医师核对", "W2": "    好的    "}), "reason_missing"),
    (Decision("pass", reasons={"W1": "已与医师核对"}), "reason_missing"),
])
def test_a_decision_that_says_too_little_changes_nothing(line, rx_id, decision, code):
    warn(line, rx_id, "W1", "W2")
    review.assign(line.city, rx_id, PHARMACIST)
    before = events(line, rx_id)
    assert refusal(review.decide, line.city, rx_id, PHARMACIST, decision) == (422, code)
    assert (line.status(rx_id), events(line, rx_id)) == (Status.IN_REVIEW, before)


def test_a_pass_with_a_reason_for_every_warning_goes_on(line, rx_id):
    warn(line, rx_id, "W1", "W2")
    reasons = {"W1": "已与医师核对", "W2": "患者长期耐受"}
    assert line.review(rx_id, reasons=reasons) is Status.REVIEWED
    assert events(line, rx_id)[-1] == f"pharmacist:{PHARMACIST}"
    with line.city.db.reading() as session:
        assert reviews.get(session, rx_id).reasons == reasons
        loaded = prescriptions.load(session, rx_id)
    assert loaded.wake_at == line.clock.at, "the platform goes on at once"


@pytest.mark.parametrize("decision", ["return", "reject"])
def test_a_no_needs_no_reasons_for_warnings_ends_it_and_tells_the_hospital(line, rx_id, decision):
    warn(line, rx_id, "W1")
    assert line.review(rx_id, decision, codes=[CODE], text="请核对用量") is NO[decision]
    for _ in range(2):  # in review, then the end: one word about a prescription at a time
        line.deliver()
    told = list(line.city.hospitals[HOSPITAL].reports.values())[-1]
    assert (told["status"], told["reason"]) == (str(NO[decision]), CODE)


def test_the_same_decision_again_has_the_same_answer_and_no_effect(line, rx_id):
    review.assign(line.city, rx_id, PHARMACIST)
    given = Decision("return", codes=[CODE], text="请核对用量")
    assert review.decide(line.city, rx_id, PHARMACIST, given) is Status.RETURNED
    before = events(line, rx_id)
    line.clock.advance(hours=1)
    assert review.decide(line.city, rx_id, PHARMACIST, given) is Status.RETURNED
    assert events(line, rx_id) == before


@pytest.mark.parametrize(("who", "other"), [
    (PHARMACIST, Decision("reject", codes=[CODE], text="请核对用量")),
    (PHARMACIST, Decision("return", codes=["1-2"], text="请核对用量")),
    (PHARMACIST, Decision("return", codes=[CODE], text="请核对用法")),
    (COLLEAGUE, Decision("return", codes=[CODE], text="请核对用量")),
], ids=["decision", "code", "text", "pharmacist"])
def test_another_decision_afterwards_is_too_late(line, rx_id, who, other):
    line.review(rx_id, "return", codes=[CODE], text="请核对用量")
    assert refusal(review.decide, line.city, rx_id, who, other) == (409, "not_in_review")


def test_a_pass_keeps_its_answer_after_the_prescription_has_gone_on(line, rx_id):
    review.assign(line.city, rx_id, PHARMACIST)
    review.decide(line.city, rx_id, PHARMACIST, Decision("pass"))
    line.hop(rx_id)
    assert line.status(rx_id) is Status.FULFILLING
    assert review.decide(line.city, rx_id, PHARMACIST, Decision("pass")) is Status.REVIEWED
    assert line.status(rx_id) is Status.FULFILLING


# --- validity ---


def test_what_nobody_reviews_in_time_expires(line, rx_id):
    review.assign(line.city, rx_id, PHARMACIST)
    line.clock.advance(days=4)
    line.hop(rx_id)
    assert line.status(rx_id) is Status.EXPIRED
    assert refusal(review.decide, line.city, rx_id, PHARMACIST, Decision("pass")) == (409, "not_in_review")


def test_a_pass_after_the_validity_brings_no_medicine(line, rx_id):
    line.clock.advance(days=4)
    line.review(rx_id)
    line.hop(rx_id)
    assert line.status(rx_id) is Status.EXPIRED
    assert not any("hold" in line.chain(slug).calls for slug in ("ankang", "baicao"))


def test_a_look_too_early_only_sets_the_clock(line, rx_id):
    before = events(line, rx_id)
    assert line.hop(rx_id).error == ""
    with line.city.db.reading() as session:
        loaded = prescriptions.load(session, rx_id)
    assert (loaded.wake_at, events(line, rx_id)) == (loaded.prescription.valid_until, before)


# --- at the same moment ---


def test_two_pharmacists_at_once_one_gets_it(tmp_path, database_url):
    line = Line(make_city(tmp_path, database_url))
    (rx_id,) = admit(line.city)
    line.hop(rx_id)
    found = at_once(*(lambda who=who: review.assign(line.city, rx_id, who) for who in (PHARMACIST, COLLEAGUE)))
    assert sorted(getattr(one, "code", "claimed") for one in found) == ["already_claimed", "claimed"]
    line.city.db.close()


def test_one_pharmacist_in_two_windows_decides_once(tmp_path, database_url):
    line = Line(make_city(tmp_path, database_url))
    (rx_id,) = admit(line.city)
    line.hop(rx_id)
    review.assign(line.city, rx_id, PHARMACIST)
    no = Decision("reject", codes=[CODE], text="请核对")
    at_once(*(lambda given=given: review.decide(line.city, rx_id, PHARMACIST, given) for given in (Decision("pass"), no)))
    assert events(line, rx_id).count(f"pharmacist:{PHARMACIST}") == 1
    with line.city.db.reading() as session:
        decided = reviews.get(session, rx_id).decision
    assert line.status(rx_id) is DECISIONS[decided]
    line.city.db.close()


def test_a_return_tells_the_doctor_the_pharmacists_words_without_a_persons_number(line, rx_id):
    review.assign(line.city, rx_id, PHARMACIST)
    text = "二甲双胍剂量请核对,eGFR 未知;联系 138 1234 5678 或 ３70102199001011234"
    review.decide(line.city, rx_id, PHARMACIST, Decision("return", ("2-1",), text))
    line.deliver()
    told = line.city.hospitals[HOSPITAL].reports[f"{rx_id}:returned"]
    assert told["words"] == "二甲双胍剂量请核对,eGFR 未知;联系 *** 或 ***"
    assert told["reason"] == "2-1"
    item = line.city.knowledge.review_items["2-1"].text
    assert [one["text"] for one in told["findings"]] == [item, told["words"]]

"""What a hospital sends is answered once, kept for ever, and never doubled."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from threading import Barrier, BrokenBarrierError, Event, Thread

import pytest
import sqlalchemy as sa

from domain.chains import ChainWord
from domain.errors import Transient
from domain.fulfilment.wishes import WishAnswer
from domain.lifecycle import Status
from infra.db import Database, prescriptions, wishes
from infra.db.rows import MessageRow, PrescriptionRow, WishRow
from tasks.audit import audit_prescription
from tasks.fulfilment.step import fulfil, start_allocation
from tasks.intake import receive_cancel, receive_prescription, stored_answer
from tasks.patients import open_patient
from tasks.settlement.reconciliation import reconcile_day
from tests.support.city import (
    HOSPITAL,
    SAMPLES,
    Plug,
    SimulatedCrash,
    admit,
    bundle,
    cancel,
    cancel_by_hospital,
    make_city,
)
from tests.support.line import Line
from tests.support.records import at_once

INVALID = sorted((SAMPLES / "invalid").glob("*.json"))


def count(city, table):
    with city.db.reading() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(table))


def word(answer):
    return json.loads(answer.body)["businessStatus"]["coding"][0]["code"]


def altered(raw: bytes) -> bytes:
    """The same key, another quantity and another patient's name."""
    message = json.loads(raw)
    for entry in message["entry"]:
        resource = entry["resource"]
        if resource["resourceType"] == "Patient":
            resource["name"][0]["text"] = "另一位患者"
        if resource["resourceType"] == "MedicationRequest":
            resource["dispenseRequest"]["quantity"]["value"] = 4711
    return json.dumps(message, ensure_ascii=False).encode()


# --- keys ---


def test_a_prescription_is_admitted_archived_and_due(line):
    raw = bundle(1)
    answer = receive_prescription(line.city, HOSPITAL, raw)
    assert (answer.status, answer.replayed, word(answer)) == (201, False, "received")
    with line.city.db.reading() as session:
        row = session.scalars(sa.select(PrescriptionRow)).one()
        assert row.id in answer.body.decode()
        assert (row.wake_at, line.city.archive.get(row.archive_key)) == (line.clock.at, raw)


def test_the_same_bytes_again_are_given_the_stored_answer(line):
    first = receive_prescription(line.city, HOSPITAL, bundle(1))
    line.hop(admit_id(line))
    again = receive_prescription(line.city, HOSPITAL, bundle(1))
    assert (again.status, again.body, again.replayed) == (201, first.body, True)
    assert (count(line.city, PrescriptionRow), count(line.city, MessageRow)) == (1, 1)


def admit_id(line):
    with line.city.db.reading() as session:
        return session.scalars(sa.select(PrescriptionRow.id)).one()


def test_who_lost_the_answer_may_ask_for_it(line):
    first = receive_prescription(line.city, HOSPITAL, bundle(1))
    found = stored_answer(line.city, HOSPITAL, "M0001")
    assert found is not None
    assert (found.status, found.body, found.replayed) == (201, first.body, True)
    assert stored_answer(line.city, HOSPITAL, "M0002") is None
    assert stored_answer(line.city, "another_hospital", "M0001") is None


def test_other_bytes_under_the_same_key_are_a_conflict_that_names_paths_and_no_values(line):
    raw = bundle(1)
    receive_prescription(line.city, HOSPITAL, raw)
    answer = receive_prescription(line.city, HOSPITAL, altered(raw))
    assert answer.status == 409
    text = answer.body.decode()
    paths = [path for issue in json.loads(text)["issue"] for path in issue["expression"]]
    assert any(path.endswith("quantity.value") for path in paths)
    assert any("name" in path for path in paths)
    patient = next(entry["resource"] for entry in json.loads(raw)["entry"]
                   if entry["resource"]["resourceType"] == "Patient")
    for value in ("4711", "另一位患者", patient["name"][0]["text"], patient["identifier"][0]["value"]):
        assert value not in text
    again = receive_prescription(line.city, HOSPITAL, raw)
    assert (again.status, again.replayed) == (201, True), "the first answer still stands"


def test_one_prescription_under_two_keys_is_a_conflict(line):
    receive_prescription(line.city, HOSPITAL, bundle(1))
    answer = receive_prescription(line.city, HOSPITAL, bundle(1, key="M-other"))
    assert (answer.status, count(line.city, PrescriptionRow)) == (409, 1)
    assert b"groupIdentifier" in answer.body


# --- what is broken ---


def wrong(raw: bytes) -> bytes:
    """The same key, and a patient of the other sex than the number says."""
    return raw.replace(b'"gender": "female"', b'"gender": "X"').replace(b'"gender": "male"', b'"gender": "female"').replace(
        b'"gender": "X"', b'"gender": "male"')


def test_after_a_refusal_the_corrected_message_is_taken_under_the_same_key(line):
    raw = bundle(1)
    refused = receive_prescription(line.city, HOSPITAL, wrong(raw))
    assert refused.status == 422
    taken = receive_prescription(line.city, HOSPITAL, raw)
    assert (taken.status, taken.replayed, word(taken)) == (201, False, "received")
    assert receive_prescription(line.city, HOSPITAL, wrong(raw)).body == refused.body, "the refused bytes find their own answer"
    again = receive_prescription(line.city, HOSPITAL, raw)
    assert (again.body, again.replayed) == (taken.body, True)
    assert receive_prescription(line.city, HOSPITAL, altered(raw)).status == 409, "what was taken is not corrected"
    assert (count(line.city, PrescriptionRow), count(line.city, MessageRow)) == (1, 2)


def test_a_correction_may_be_wrong_again(line):
    raw = bundle(1)
    answers = [receive_prescription(line.city, HOSPITAL, sent).status
               for sent in (wrong(raw), wrong(raw).replace(b'"collection"', b'"batch"'), wrong(raw), raw)]
    assert answers == [422, 422, 422, 201]
    assert count(line.city, MessageRow) == 3


def test_a_slow_message_of_one_hospital_holds_up_no_other(line):
    begun, go_on = Event(), Event()
    slow = line.city.hospitals[HOSPITAL]

    class Slow(type(slow)):
        def to_fhir(self, raw, codes):
            begun.set()
            assert go_on.wait(120)
            return super().to_fhir(raw, codes)

    city = replace(line.city, hospitals={**line.city.hospitals, HOSPITAL: Slow()})
    thread = Thread(target=receive_prescription, args=(city, HOSPITAL, bundle(1)))
    thread.start()
    assert begun.wait(120)
    other = cancel(1).replace(b"urn:jinan_first:", b"urn:jinan_second:")
    assert receive_cancel(city, "jinan_second", other).status == 201
    go_on.set()
    thread.join(30)
    assert count(line.city, PrescriptionRow) == 1


@pytest.mark.parametrize("file", INVALID, ids=lambda file: file.stem)
def test_a_broken_message_is_answered_kept_and_archived(line, file: Path):
    raw = file.read_bytes()
    answer = receive_prescription(line.city, HOSPITAL, raw)
    assert answer.status in (400, 422)
    assert json.loads(answer.body)["issue"]
    with line.city.db.reading() as session:
        row = session.scalars(sa.select(MessageRow)).one()
    assert line.city.archive.get(row.archive_key) == raw
    assert (row.answer, row.prescription_id) == (answer.body, None)
    again = receive_prescription(line.city, HOSPITAL, raw)
    assert (again.status, again.body, again.replayed) == (answer.status, answer.body, True)
    assert count(line.city, PrescriptionRow) == 0


@pytest.mark.parametrize("number", ["370102195803029910", "19900000001", "M-19900000001-1"])
def test_a_persons_number_never_becomes_the_key_of_a_message(line, number, caplog):
    answer = receive_prescription(line.city, HOSPITAL, bundle(1, key=number))
    assert answer.status == 422
    assert stored_answer(line.city, HOSPITAL, number) is None
    assert number not in caplog.text


@pytest.mark.parametrize("raw", [b"", b"not json", b"[]", b'{"resourceType": "Bundle"}', b"\xff\xfe", b"null"])
@pytest.mark.parametrize("receive", [receive_prescription, receive_cancel])
def test_a_message_without_a_key_is_found_by_its_own_bytes(line, receive, raw):
    answer = receive(line.city, HOSPITAL, raw)
    assert answer.status in (400, 422)
    again = receive(line.city, HOSPITAL, raw)
    assert (again.body, again.replayed, count(line.city, MessageRow)) == (answer.body, True, 1)


def test_what_cannot_be_archived_leaves_nothing_in_the_database(line):
    class Full:
        def put(self, content: bytes) -> str:
            raise Transient("archive is full", code="archive")

    for receive, raw in ((receive_prescription, bundle(1)), (receive_cancel, cancel(1))):
        with pytest.raises(Transient):
            receive(replace(line.city, archive=Full()), HOSPITAL, raw)
    assert [count(line.city, table) for table in (MessageRow, PrescriptionRow, WishRow)] == [0, 0, 0]


@pytest.mark.parametrize(("boundary", "kept"), [(1, 0), (2, 1)], ids=["before the commit", "after it"])
def test_a_message_cut_off_by_a_crash_is_sent_again_without_harm(tmp_path, boundary, kept):
    plug = Plug()
    city = make_city(tmp_path, boundary=plug)
    plug.pull_at(boundary)
    with pytest.raises(SimulatedCrash):
        receive_prescription(city, HOSPITAL, bundle(1))
    assert [count(city, table) for table in (MessageRow, PrescriptionRow)] == [kept] * 2
    answer = receive_prescription(city, HOSPITAL, bundle(1))
    assert (answer.status, answer.replayed, count(city, PrescriptionRow)) == (201, bool(kept), 1)
    city.db.close()


# --- cancels ---


def to_status(line: Line, status: Status) -> str:
    """A prescription in that status, as it really gets there."""
    (rx_id,) = admit(line.city)
    if status is Status.AUDITED:
        asyncio.run(audit_prescription(line.city, rx_id))
    elif status in (Status.REVIEWED, Status.ALLOCATING, Status.IN_REVIEW, Status.REFUSED, Status.RETURNED):
        line.hop(rx_id)
        if status in (Status.REFUSED, Status.RETURNED):
            code = sorted(line.city.knowledge.review_items)[0]
            line.review(rx_id, "reject" if status is Status.REFUSED else "return", codes=[code], text="请核对")
        elif status is not Status.IN_REVIEW:
            line.review(rx_id)
        if status is Status.ALLOCATING:
            asyncio.run(start_allocation(line.city, rx_id))
    elif status is Status.CANCELLED:
        receive_cancel(line.city, HOSPITAL, cancel(1, key="C-first"))
    elif status is Status.EXPIRED:
        line.clock.advance(days=4)
        line.hop(rx_id)
    elif status is Status.FULFILLING:
        line.to_fulfilling(rx_id)
    elif status is Status.FULFILLED:
        line.to_fulfilling(rx_id)
        line.say(rx_id, ChainWord.HANDED_OVER)
        asyncio.run(fulfil(line.city, rx_id))
    elif status in (Status.SETTLED, Status.CLOSED):
        line.to_settled(rx_id)
        if status is Status.CLOSED:
            asyncio.run(reconcile_day(line.city, line.city.today()))
            line.clock.advance(hours=2)
            line.hop(rx_id)
    assert line.status(rx_id) is status
    return rx_id


AT_ONCE = {Status.RECEIVED, Status.AUDITED, Status.IN_REVIEW, Status.REVIEWED}
CHAIN_IS_ASKED = {Status.ALLOCATING, Status.FULFILLING}


@pytest.mark.parametrize("status", list(Status))
def test_a_cancel_in_any_status_is_answered_with_what_will_become_of_it(line, status):
    rx_id = to_status(line, status)
    answer = receive_cancel(line.city, HOSPITAL, cancel(1))
    expected = ("cancelled" if status in AT_ONCE | {Status.CANCELLED}
                else "cancelling" if status in CHAIN_IS_ASKED else "too-late")
    assert (answer.status, word(answer)) == (201, expected)
    line.hop(rx_id)
    if expected == "too-late":
        after = {Status.FULFILLED: Status.SETTLED}
        assert line.status(rx_id) is after.get(status, status)
    else:
        assert line.status(rx_id) is Status.CANCELLED
    again = receive_cancel(line.city, HOSPITAL, cancel(1))
    assert (again.body, again.replayed) == (answer.body, True), "the answer stays, whatever became of it"


def test_a_cancel_before_its_prescription_waits_for_it(line):
    answer = receive_cancel(line.city, HOSPITAL, cancel(1))
    assert (answer.status, word(answer)) == (201, "cancelling")
    assert word(receive_prescription(line.city, HOSPITAL, bundle(1))) == "cancelled"
    assert word(receive_prescription(line.city, HOSPITAL, bundle(2))) == "received"
    line.deliver()
    assert [report["status"] for report in line.city.hospitals[HOSPITAL].reports.values()] == ["cancelled"]


def test_another_hospitals_cancel_cancels_nothing(line):
    raw = cancel(1).replace(b"urn:jinan_first:", b"urn:jinan_second:")
    receive_cancel(line.city, "jinan_second", raw)
    assert word(receive_prescription(line.city, HOSPITAL, bundle(1))) == "received"


# --- at the same moment ---


class Meeting:
    """Lets two writers meet just before they commit, unless one has to wait for the other."""

    def __init__(self) -> None:
        self._both = Barrier(2)

    def __call__(self, name: str, when: str) -> None:
        if when == "before":
            try:
                self._both.wait(0.4)
            except BrokenBarrierError:
                self._both.reset()


@pytest.fixture
def city(tmp_path, database_url):
    made = make_city(tmp_path, database_url)
    meeting = replace(made, db=Database(database_url, boundary=Meeting()))
    yield meeting
    meeting.db.close()
    made.db.close()


def test_the_same_message_twice_at_once_is_one_prescription_and_one_answer(city):
    raw = bundle(1)
    answers = at_once(*(lambda: receive_prescription(city, HOSPITAL, raw),) * 2)
    assert {(answer.status, answer.body) for answer in answers} == {(201, answers[0].body)}, answers
    assert sorted(answer.replayed for answer in answers) == [False, True]
    assert (count(city, PrescriptionRow), count(city, MessageRow)) == (1, 1)


def test_one_prescription_under_two_keys_at_once_is_admitted_once(city):
    answers = at_once(*(lambda key=key: receive_prescription(city, HOSPITAL, bundle(1, key=key)) for key in "ab"))
    assert sorted(answer.status for answer in answers) == [201, 409]


def test_two_prescriptions_of_one_patient_at_once_are_both_admitted(city):
    answers = at_once(*(lambda n=n: receive_prescription(city, HOSPITAL, bundle(n)) for n in (1, 2)))
    assert [answer.status for answer in answers] == [201, 201]


def test_a_cancel_that_arrives_with_its_prescription_is_not_lost(city):
    answers = at_once(lambda: receive_prescription(city, HOSPITAL, bundle(1)),
                      lambda: receive_cancel(city, HOSPITAL, cancel(1)))
    assert [answer.status for answer in answers] == [201, 201], answers
    with city.db.reading() as session:
        assert session.scalars(sa.select(PrescriptionRow.status)).one() == Status.CANCELLED
        assert [wish.answer for wish in wishes.numbered(session, HOSPITAL, "RX0001")] == [WishAnswer.GRANTED]


def test_two_cancels_at_once_are_both_answered(city):
    (rx_id,) = admit(city)
    answers = at_once(*(lambda key=key: receive_cancel(city, HOSPITAL, cancel(1, key=key)) for key in "ab"))
    assert [word(answer) for answer in answers] == ["cancelled", "cancelled"], answers
    with city.db.reading() as session:
        assert prescriptions.load(session, rx_id).head.version == 2


def test_a_later_message_does_not_move_an_order_in_progress_to_another_door(line):
    first = admit(line.city, sample="home_delivery")[0]
    second = receive_prescription(line.city, HOSPITAL, bundle(7, sample="home_delivery").replace(
        "路".encode(), "街".encode()))
    assert second.status == 201
    with line.city.db.reading() as session:
        assert "路" in open_patient(line.city, prescriptions.load(session, first))["address"]


def test_a_cancel_before_its_prescription_is_kept(line):
    cancel_by_hospital(line.city, 1)
    (rx_id,) = admit(line.city)
    assert line.status(rx_id) is Status.CANCELLED

"""What we tell hospitals and chains arrives, in order, however long they were away."""

import asyncio
import json
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from domain.chains import ChainWord
from domain.claims import Settlement
from domain.errors import InvalidPayload, NeedsOperator, OutcomeUnknown, Transient
from domain.findings import Finding, Severity
from domain.lifecycle import Status
from domain.money import Fen
from fhir_profiles import reports
from fhir_profiles.structure import faults
from infra.db import outbox, prescriptions
from infra.db.rows import OutboxRow
from tasks.audit import audit_prescription
from tasks.fulfilment.sealed import open_secrets
from tasks.reports import REPORT, RETRY, deliver_due, report
from tests.support.city import HOSPITAL, FakeHospital, Plug, SimulatedCrash, admit, cancel_by_hospital, make_city
from tests.support.line import Line


@pytest.fixture
def plug():
    return Plug()


@pytest.fixture
def line(tmp_path, plug):
    made = Line(make_city(tmp_path, boundary=plug))
    yield made
    made.city.db.close()


@pytest.fixture
def hospital(line):
    return line.city.hospitals[HOSPITAL]


def deliver_all(line, limit=50):
    """Until a round delivers nothing; how many arrived."""
    total = 0
    while done := asyncio.run(deliver_due(line.city, limit)):
        total += done
    return total


def statuses(hospital):
    return [told["status"] for told in hospital.reports.values()]


def rows(line):
    with line.city.db.reading() as session:
        return list(session.scalars(sa.select(OutboxRow).order_by(OutboxRow.id)))


def tell(line, rx_id, status, again=""):
    with line.city.db.transaction() as session:
        rx = prescriptions.load(session, rx_id).prescription
        report(session, line.city, rx, status, reason="-", again=again)


# --- what is said ---


def test_a_hospital_hears_of_every_place_in_order(line, hospital):
    (rx_id,) = admit(line.city)
    line.to_settled(rx_id)
    assert deliver_all(line) == 5
    assert statuses(hospital) == ["in_review", "fulfilling", "fulfilled", "settled"]
    for key, told in hospital.reports.items():
        assert (told["key"], told["id"], told["prescription"]) == (key, rx_id, "RX0001")


def test_the_patients_pickup_code_is_the_orders_and_goes_to_the_hospital_only(line, hospital):
    (rx_id,) = admit(line.city)
    placed = line.to_fulfilling(rx_id)
    deliver_all(line)
    pickup = hospital.reports[f"{rx_id}:fulfilling:1"]["pickup"]
    assert pickup == {"order": placed.id, "chain": placed.order.chain, "store": placed.order.store,
                      "code": open_secrets(line.city, placed)["pickup_code"]}
    assert all(pickup["code"].encode() not in row.sealed for row in rows(line))


def test_nobody_is_told_a_code_for_what_comes_home(line, hospital):
    (rx_id,) = admit(line.city, sample="home_delivery")
    line.to_fulfilling(rx_id)
    deliver_all(line)
    assert "pickup" not in hospital.reports[f"{rx_id}:fulfilling:1"]


def test_after_a_return_hospital_and_chain_hear_the_new_amounts_last(line, hospital):
    (rx_id,) = admit(line.city, sample="home_delivery")
    placed = line.to_settled(rx_id)
    line.say(rx_id, ChainWord.RETURNED, lines=(1,), reason="quality")
    line.hop(rx_id)
    deliver_all(line)
    kept = placed.order.lines[1].amount
    assert list(hospital.reports.values())[-1]["money"]["total"] == f"{kept // 100}.{kept % 100:02d}"
    assert line.chain(placed.order.chain).notices[placed.id].total == kept


def test_every_report_has_a_code_and_says_it_in_both_languages(line, hospital):
    settled, expired, _, refused = admit(line.city, 4)
    line.to_settled(settled)
    line.say(settled, ChainWord.RETURNED, reason="quality")
    line.hop(settled)
    line.to_fulfilling(refused)
    line.say(refused, ChainWord.DECLINED, reason="closed")
    line.hop(refused)
    cancel_by_hospital(line.city, 3)
    line.clock.advance(days=8)
    line.hop(expired)
    deliver_all(line)
    told = {(it["status"], it["reason"]): (it["words"], it["words_en"]) for it in hospital.reports.values()}
    assert told == {
        ("in_review", "queued"): ("进入审方队列", "queued for a pharmacist"),
        ("fulfilling", "order_placed"): ("药店已接到订单", "a pharmacy has the order"),
        ("fulfilled", "handed_over"): ("患者已拿到药", "the patient has the medicine"),
        ("settled", "settled"): ("医保已结算", "the fund has settled"),
        ("settled", "reversed"): ("患者退药，医保结算已冲正", "reversed after a return"),
        ("allocating", "order_ended"): ("订单已终止，其取药码作废", "the order ended; its pickup code is void"),
        ("expired", "RX_EXPIRED"): ("处方已超过有效期 (A-01)", "validity is over (A-01)"),
        ("cancelled", "prescriber"): ("医院撤销：医师要求", "cancelled by the hospital: the prescriber wants it"),
    }


def fhir(hospital, key):
    """A report as a hospital that speaks FHIR gets it, by kind of resource; it keeps our profiles."""
    report = json.loads(reports.report(HOSPITAL, hospital.reports[key]), parse_float=Decimal)
    assert faults("report", report) == []
    kinds = {}
    for entry in report["entry"]:
        kinds.setdefault(entry["resource"]["resourceType"], []).append(entry["resource"])
    for kind, profile in (("MedicationDispense", "dispense"), ("ClaimResponse", "settlement"), ("Task", "status")):
        assert [faults(profile, one) for one in kinds.get(kind, ())] == [[]] * len(kinds.get(kind, ()))
    return kinds


def paid(response):
    return {part["category"]["coding"][0]["code"]: part["amount"]["value"] for part in response["total"]}


@pytest.mark.parametrize(("sample", "handover"), [("long_term", "pickup"), ("home_delivery", "home")])
def test_a_handover_tells_who_gave_what_how_much_when_and_how(line, hospital, sample, handover):
    (rx_id,) = admit(line.city, sample=sample)
    placed = line.to_fulfilling(rx_id)
    line.say(rx_id, ChainWord.HANDED_OVER)
    line.hop(rx_id)
    deliver_all(line)
    dispensed = fhir(hospital, f"{rx_id}:fulfilled")["MedicationDispense"]
    assert len(dispensed) == len(placed.order.lines)
    with line.city.db.reading() as session:
        items = prescriptions.load(session, rx_id).prescription.items
    for one, ordered, item in zip(dispensed, placed.order.lines, items, strict=True):
        assert one["status"] == "completed"
        assert one["quantity"] == {"value": ordered.quantity, "unit": ordered.unit}
        assert one["medicationCodeableConcept"]["coding"][0]["code"] == ordered.drug
        assert one["authorizingPrescription"][0]["identifier"]["value"] == item.number != ""
        assert one["location"]["identifier"]["value"] == f"{placed.order.chain}/{placed.order.store}"
        assert one["extension"][0]["valueCode"] == handover
        assert datetime.fromisoformat(one["whenHandedOver"]) == line.clock.at


@pytest.mark.parametrize(("minutes", "told"), [(-20, -20), (20, 0), (-2000, 0)])
def test_the_pharmacys_own_time_counts_unless_it_cannot_be(line, hospital, minutes, told):
    (rx_id,) = admit(line.city)
    line.clock.advance(minutes=30)
    placed = line.to_fulfilling(rx_id)
    chain, secret = line.chain(placed.order.chain), open_secrets(line.city, placed)
    line.send(placed.order.chain, chain.body(chain.update(
        placed.id, ChainWord.HANDED_OVER, at=line.clock.at + timedelta(minutes=minutes), pickup_code=secret["pickup_code"])))
    heard = line.clock.at
    line.clock.advance(minutes=1)
    line.hop(rx_id)
    deliver_all(line)
    (one, *_) = fhir(hospital, f"{rx_id}:fulfilled")["MedicationDispense"]
    assert datetime.fromisoformat(one["whenHandedOver"]) == heard + timedelta(minutes=told)


def test_what_the_fund_pays_is_told_to_the_fen_with_its_number(line, hospital):
    (rx_id,) = admit(line.city)
    line.to_settled(rx_id)
    deliver_all(line)
    claimed = line.claim(rx_id)
    (response,) = fhir(hospital, f"{rx_id}:settled:1.1")["ClaimResponse"]
    settled = claimed.settled
    assert paid(response) == {name: Decimal(fen) / 100 for name, fen in (
        ("total", settled.total), ("fund", settled.fund), ("account", settled.account), ("cash", settled.cash))}
    assert response["identifier"][0]["value"] == settled.settlement_id
    assert response["request"]["identifier"]["value"] == claimed.claim.reference
    assert "MedicationDispense" not in fhir(hospital, f"{rx_id}:settled:1.1")


def test_after_a_return_it_is_told_what_came_back_and_which_settlement_no_longer_counts(line, hospital):
    (rx_id,) = admit(line.city, sample="home_delivery")
    placed = line.to_settled(rx_id)
    line.say(rx_id, ChainWord.RETURNED, lines=(1,), reason="quality")
    line.hop(rx_id)
    deliver_all(line)
    (first,) = fhir(hospital, f"{rx_id}:settled:1.1")["ClaimResponse"]
    again = fhir(hospital, f"{rx_id}:settled:1.2")
    assert [one["status"] for one in again["MedicationDispense"]] == ["stopped"] + ["completed"] * (len(placed.order.lines) - 1)
    old, new = again["ClaimResponse"]
    assert (old["identifier"], old["status"], set(paid(old).values())) == (first["identifier"], "cancelled", {0})
    assert (new["status"], paid(new)["total"]) == ("active", Decimal(sum(one.amount for one in placed.order.lines[1:])) / 100)

    line.say(rx_id, ChainWord.RETURNED, lines=tuple(one.line for one in placed.order.lines), reason="quality")
    line.hop(rx_id)
    deliver_all(line)
    gone = fhir(hospital, f"{rx_id}:settled:1.2r")
    assert {one["status"] for one in gone["MedicationDispense"]} == {"stopped"}
    (last,) = gone["ClaimResponse"]
    assert (last["identifier"], last["status"], set(paid(last).values())) == (new["identifier"], "cancelled", {0})


def test_what_a_relatives_account_pays_is_paid_from_an_account(line, hospital):
    (rx_id,) = admit(line.city)
    money = Settlement(*map(Fen, (1000, 0, 0, 0, 1000, 0, 600)), fund=Fen(600), account=Fen(100), family=Fen(250), cash=Fen(50))
    with line.city.db.transaction() as session:
        report(session, line.city, prescriptions.load(session, rx_id).prescription, Status.SETTLED, reason="-", money=money)
    deliver_all(line)
    assert hospital.reports[f"{rx_id}:settled"]["money"] == {"total": "10.00", "fund": "6.00", "account": "3.50", "cash": "0.50"}


def test_findings_of_no_importance_are_not_reported(line, hospital):
    (rx_id,) = admit(line.city)
    found = [Finding(code, severity, "A-1", "", "文", "text", line=1)
             for code, severity in (("B", Severity.BLOCK), ("I", Severity.INFO), ("W", Severity.WARN))]
    with line.city.db.transaction() as session:
        rx = prescriptions.load(session, rx_id).prescription
        report(session, line.city, rx, Status.REFUSED, reason="-", findings=found)
    deliver_all(line)
    assert [one["code"] for one in hospital.reports[f"{rx_id}:refused"]["findings"]] == ["B", "W"]


def test_a_step_that_runs_twice_does_not_speak_twice(line, hospital):
    (rx_id,) = admit(line.city)
    for again in ("", "", "2", "2"):
        tell(line, rx_id, Status.FULFILLING, again)
    assert deliver_all(line) == 2
    assert list(hospital.reports) == [f"{rx_id}:fulfilling", f"{rx_id}:fulfilling:2"]


def test_a_report_is_not_sent_when_the_change_it_accompanies_is_undone(line, plug, hospital):
    (rx_id,) = admit(line.city)
    asyncio.run(audit_prescription(line.city, rx_id))
    plug.pull_at(1)
    with pytest.raises(SimulatedCrash):
        line.hop(rx_id)
    assert (line.status(rx_id), deliver_all(line)) == (Status.AUDITED, 0)


# --- when a partner is away ---


@pytest.mark.parametrize("trouble", [Transient("x", code="timeout"), OutcomeUnknown("x", code="timeout"),
                                     NeedsOperator("x", code="timeout"), InvalidPayload([]), KeyError("a bug")])
def test_what_fails_comes_again_with_longer_and_longer_pauses(line, hospital, trouble):
    (rx_id,) = admit(line.city)
    tell(line, rx_id, Status.IN_REVIEW)
    hospital.trouble = trouble
    for attempt, pause in enumerate([*RETRY, RETRY[-1]], 1):
        assert deliver_all(line) == 0
        (row,) = rows(line)
        assert (row.attempts, row.due_at) == (attempt, line.clock.at + timedelta(seconds=pause))
        assert row.last_error.startswith(type(trouble).__name__)
        line.clock.advance(seconds=pause - 1)
        assert deliver_all(line) == 0, "not before its time"
        assert rows(line)[0].attempts == attempt
        line.clock.advance(seconds=1)
    hospital.trouble = None
    assert deliver_all(line) == 1
    assert (rows(line)[0].due_at, rows(line)[0].last_error) == (None, "")


def test_an_earlier_word_that_failed_is_not_overtaken(line, hospital):
    (rx_id,) = admit(line.city)
    tell(line, rx_id, Status.IN_REVIEW)
    hospital.trouble = Transient("x")
    for _ in range(4):
        deliver_all(line)
        line.clock.advance(seconds=RETRY[3])
    deliver_all(line)
    hospital.trouble = None
    tell(line, rx_id, Status.FULFILLING)
    line.clock.advance(minutes=6)
    assert deliver_all(line) == 0, "the first is not due for another nine minutes"
    line.clock.advance(minutes=10)
    assert deliver_all(line) == 2
    assert statuses(hospital) == ["in_review", "fulfilling"]


def test_a_dead_hospital_does_not_stop_other_partners(line, hospital):
    """However much is waiting for it."""
    ids = admit(line.city, 4)
    line.city.hospitals["jinan_second"] = other = FakeHospital("jinan_second")
    hospital.trouble = Transient("down")
    for again in "1234":
        for rx_id in ids:
            tell(line, rx_id, Status.FULFILLING, again)
    with line.city.db.transaction() as session:
        sealed = line.city.cipher.seal('{"status": "fulfilling"}', "outbox/other")
        outbox.enqueue(session, key="other", kind=REPORT, partner="jinan_second", prescription_id=ids[0],
                       sealed=sealed, at=line.clock.at)
    for _ in range(4):
        asyncio.run(deliver_due(line.city, 2))
        line.clock.advance(seconds=1)
    assert list(other.reports) == ["other"]
    assert statuses(hospital) == []


def test_a_partner_nobody_knows_any_more_is_a_persons_business_and_stops_nobody(line, hospital):
    one, two = admit(line.city, 2)
    with line.city.db.transaction() as session:
        for kind, partner in ((REPORT, "closed_hospital"), ("settled", "closed_chain")):
            sealed = line.city.cipher.seal("{}", f"outbox/{partner}")
            outbox.enqueue(session, key=partner, kind=kind, partner=partner, prescription_id=one, sealed=sealed,
                           at=line.clock.at)
    tell(line, two, Status.IN_REVIEW)
    assert deliver_all(line) == 1
    assert {row.last_error for row in rows(line)} == {
        "NeedsOperator:unknown_hospital", "NeedsOperator:unknown_chain", ""}


def test_words_nobody_can_open_are_left_for_a_person(line):
    """The key was changed: nothing is sent, nothing is lost."""
    (rx_id,) = admit(line.city)
    tell(line, rx_id, Status.IN_REVIEW)
    with line.city.db.transaction() as session:
        session.execute(sa.update(OutboxRow).values(sealed=b"x" * 60))
    assert deliver_all(line) == 0
    assert rows(line)[0].last_error == "NeedsOperator:not_sealed"


def test_a_crash_after_the_delivery_delivers_it_again_under_the_same_key(line, plug, hospital):
    admit(line.city)
    cancel_by_hospital(line.city, 1)
    plug.pull_at(3)
    with pytest.raises(SimulatedCrash):
        line.deliver()
    assert deliver_all(line) == 0, "taken, and perhaps delivered"
    line.clock.advance(minutes=5)
    assert deliver_all(line) == 1
    assert (statuses(hospital), next(hospital.calls)) == (["cancelled"], 2)


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

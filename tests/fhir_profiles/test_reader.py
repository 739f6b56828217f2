"""A checked message becomes exactly the prescription the hospital meant."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from domain.prescription import (
    Approval,
    Channel,
    Decoction,
    Handover,
    Pack,
    Place,
    Renewal,
    RxKind,
    Sex,
    SkinTest,
    SkinTestResult,
    prescription_id,
)
from fhir_profiles.definitions import GENERATED
from fhir_profiles.reader import months_between
from tests.support.fhir_door import read_bundle, read_cancel
from tests.support.fhir_messages import (
    ADDRESS,
    DELETE,
    HOSPITAL,
    ID_NUMBER,
    ITEM,
    NAME,
    PATIENT,
    PHONE,
    SAMPLE,
    SAMPLES,
    cancel,
    changed,
    child,
    home_delivery,
    long_term,
    raw,
)


def read(source):
    return read_bundle(raw(source), HOSPITAL, lambda number: f"pt_{len(number)}")


def example(name):
    source = (GENERATED / f"Bundle-example-{name}.json").read_bytes()
    return read_bundle(source, "demo", lambda number: f"pt_{len(number)}")


def test_a_long_term_prescription_is_read_whole():
    admitted = read(long_term())
    rx = admitted.prescription
    assert admitted.key == "M0001"
    assert (rx.id, rx.external_id, rx.kind) == (prescription_id(HOSPITAL, "RX0001"), "RX0001", RxKind.LONG_TERM)
    assert (rx.patient.id, rx.patient.sex, rx.patient.age_years) == ("pt_18", Sex.MALE, 68)
    assert (rx.prescriber.id, rx.prescriber.independent_years) == ("D370100000001", 8)
    assert (rx.visit.channel, rx.visit.follow_up) == (Channel.INTERNET, True)
    assert (rx.visit.proof_codes, rx.visit.proof_date) == (("E11.900",), date(2026, 9, 20))
    assert (rx.coverage.insutype, rx.coverage.insured_place, rx.coverage.disease_code) == ("310", "370100", "M01600")
    assert [(d.code, d.name) for d in rx.diagnoses] == [("E11.900", "2型糖尿病")]
    line = rx.items[0]
    assert (line.line, line.drug, line.quantity, line.unit) == (1, "D001", Decimal(60), "片")
    assert (line.single_dose, line.dose_unit, line.frequency, line.route) == (Decimal(500), "mg", "bid", "PO")
    assert line.days_supply == 30
    assert rx.handover is Handover.PICKUP
    assert (rx.extend_reason, rx.long_term_assessed, rx.patient_acknowledged) == ("糖尿病病情稳定", True, True)


def test_a_prescription_for_home_is_read_with_every_item_and_allergy():
    rx = read(home_delivery()).prescription
    assert [item.line for item in rx.items] == [1, 2]
    assert rx.patient.allergies == ("AL01", "AL03")
    assert (rx.handover, rx.patient.sex) == (Handover.HOME, Sex.FEMALE)


def test_the_guardian_of_a_child_is_remembered():
    assert read(child()).prescription.patient.guardian_confirmed


@pytest.mark.parametrize("days", [1, 2, 3])
def test_a_prescription_is_valid_for_whole_days_from_the_moment_of_issue_art_18(days):
    source = changed(long_term(), ((*ITEM, "dispenseRequest", "validityPeriod", "end"),
                                   f"2026-11-{22 + days}T00:58:00Z"))
    rx = read(source).prescription
    assert rx.valid_days == days
    assert rx.valid_until == datetime(2026, 11, 22, 0, 58, tzinfo=UTC) + timedelta(days=days)


def test_the_place_is_coarse():
    assert read(long_term()).prescription.place == Place("370102", Decimal("36.67"), Decimal("117.03"))


def test_a_hospital_need_not_say_where_a_patient_who_collects_is():
    place = read(changed(long_term(), ((*PATIENT, "address"), DELETE))).prescription.place
    assert place == Place("", Decimal("0.00"), Decimal("0.00"))


def test_decimals_stay_exact():
    text = raw(long_term()).replace(b'"value": 500', b'"value": 0.10')
    rx = read_bundle(text, HOSPITAL, lambda _: "p").prescription
    assert str(rx.items[0].single_dose) == "0.10"


@pytest.mark.parametrize(("born", "on", "months"), [
    (date(2020, 1, 31), date(2020, 2, 29), 0), (date(2020, 1, 31), date(2020, 3, 31), 2),
    (date(2020, 2, 29), date(2021, 2, 28), 11), (date(2020, 2, 29), date(2021, 3, 1), 12)])
def test_age_is_in_completed_months(born, on, months):
    assert months_between(born, on) == months


def test_one_item_that_was_not_assessed_is_enough():
    source = home_delivery()
    source["entry"][6]["resource"]["extension"].append(
        {"url": "https://sanyi.example/fhir/StructureDefinition/long-term-assessed", "valueBoolean": True})
    assert not read(source).prescription.long_term_assessed


def test_the_person_is_kept_apart_and_never_shown():
    admitted = read(long_term())
    person = admitted.patient
    assert (person.name, person.id_number, person.phone, person.address) == (NAME, ID_NUMBER, PHONE, ADDRESS)
    for marker in (NAME, ID_NUMBER, PHONE, ADDRESS):
        assert marker not in repr(admitted)
        assert marker not in repr(admitted.prescription)


def test_what_a_prescriber_says_besides_is_read():
    rx = example("antibiotic").prescription
    item = rx.items[0]
    assert (rx.patient.allergies, rx.patient.allergy_words, rx.patient.no_known_allergies) == (
        ("AL03",), ("进食芒果后皮疹",), False)
    assert (rx.prescriber.department, rx.prescriber.department_name, rx.visit.number) == ("03.01", "呼吸内科", "V20261122-0017")
    assert (rx.valid_days, rx.valid_reason, rx.note) == (2, "患者居住较远，次日取药", "五日后复诊")
    assert (item.directions, item.note) == ("每次1粒，每日3次，饭后服", "出现皮疹立即停药并就诊")
    assert item.skin_test == SkinTest(SkinTestResult.NEGATIVE, datetime(2026, 11, 22, 0, 30, tzinfo=UTC))
    assert (item.approval, item.pack) == (Approval.COVERED, None)
    assert (rx.patient.age_months, rx.patient.age_days) == (824, 25102)


def test_what_the_contract_takes_is_carried_on():
    admitted = example("long-term")
    rx, person = admitted.prescription, admitted.patient
    assert rx.patient.no_known_allergies
    assert rx.prescriber.title == "233"
    assert rx.renewal == Renewal("RX0000", date(2026, 11, 15), date(2026, 12, 15))
    assert rx.items[0].pack == Pack(Decimal(500), "mg", 60)
    pressure, glucose = rx.readings
    assert (pressure.code, pressure.value, pressure.parts) == (
        "85354-9", None, (("8480-6", Decimal(132), "mm[Hg]"), ("8462-4", Decimal(84), "mm[Hg]")))
    assert (glucose.value, glucose.unit) == (Decimal("6.8"), "mmol/L")
    assert rx.signature is not None
    assert (rx.signature.at, len(rx.signature.sha256)) == (datetime(2026, 11, 22, 0, 59, tzinfo=UTC), 64)
    assert person.credential == "ecToken0000000000000000000001"
    assert person.credential not in repr(admitted)


def test_pieces_keep_how_they_are_prepared():
    rx = example("pieces").prescription
    assert rx.decoction == Decoction(doses=7, method="decoct", times=2)
    assert [item.decoction_mark for item in rx.items] == ["", "last", "first"]


def test_who_the_guardian_is_lies_in_the_record_and_how_near_in_the_facts():
    admitted = example("child")
    assert admitted.prescription.patient.guardian == "parent"
    assert (admitted.patient.guardian_name, admitted.patient.guardian_id_number) == ("示范监护人戊", "37010219900520994X")
    assert "示范监护人戊" not in repr(admitted)


def test_the_same_bytes_are_the_same_prescription():
    assert read(long_term()) == read(long_term())


def test_a_cancel_names_a_prescription():
    request = read_cancel(raw(cancel()), HOSPITAL)
    assert (request.key, request.external_id, request.reason) == ("C0001", "RX0001", "prescriber")
    assert request.at == datetime(2026, 11, 22, 1, 5, tzinfo=UTC)


@pytest.mark.parametrize("name", SAMPLE)
def test_the_samples_are_the_messages_of_these_tests(name):
    assert json.loads((SAMPLES / name).read_text(encoding="utf-8")) == SAMPLE[name]()

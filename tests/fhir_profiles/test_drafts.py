"""A draft becomes a Bundle that keeps the contract, and every finding about it is shown in the file as sent."""

import hashlib
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from domain.findings import Spot
from domain.prescription import Approval, Decoction, Pack, Reading, Renewal, SkinTest
from fhir_profiles.bundles import bundle, cancel, locate, number
from fhir_profiles.checker import check_data
from fhir_profiles.drafts import (
    CancelDraft,
    Datum,
    DecoctionDraft,
    DiagnosisDraft,
    Draft,
    GuardianDraft,
    ItemDraft,
    PatientDraft,
    ReadingDraft,
    SignatureDraft,
)
from fhir_profiles.reader import read_bundle_data, read_cancel_data

HOSPITAL = "jinan_any"


def said(value: str, place: str) -> Datum:
    return Datum(value, Spot(place, line=len(place)))


DRAFT = Draft(
    hospital=HOSPITAL, key=said("M-1", "A-1"), number=said("RX-1", "A-2"), sent=said("2026-11-22T09:00:00+08:00", "A-3"),
    issued=said("2026-11-22T08:58:00+08:00", "A-4"), valid_until=said("2026-11-23T08:58:00+08:00", "A-5"),
    rx_kind=said("long_term", "A-6"), handover=said("home", "A-7"),
    patient=PatientDraft(
        id_number=said("11010519491231002X", "P-1"), name=said("示范甲", "P-2"), gender=said("female", "P-3"),
        birth_date=said("1949-12-31", "P-4"), phone=said("10000000001", "P-5"), address=said("示范路1号", "P-6"),
        district=said("370102", "P-7"), latitude=said("36.67", "P-8"), longitude=said("117.03", "P-9"),
        allergies=[said("AG01", "P-10")]),
    physician=said("D370100000001", "D-1"), physician_name=said("示范医师", "D-2"),
    institution=said("H37010000001", "O-1"), institution_name=said("示范医院", "O-2"),
    visit_class=said("VR", "V-1"), visit_type=said("follow-up", "V-2"), insutype=said("310", "I-1"),
    insured_place=said("370100", "I-2"), chronic_disease=said("M03900", "I-3"),
    diagnoses=[DiagnosisDraft(said("I10.x00", "G-1"), said("特发性高血压", "G-2"))],
    items=[ItemDraft(
        number=said("RX-1-1", "L-1"), drug=said("D032", "L-2"), name=said("苯磺酸氨氯地平片", "L-3"),
        kind=said("western", "L-4"), dose=said("5", "L-5"), dose_unit=said("mg", "L-6"), frequency=said("qd", "L-7"),
        route=said("PO", "L-8"), quantity=said("28", "L-9"), unit=said("片", "L-10"), days=said("28", "L-11"))],
    proof_issued=said("2026-09-23", "V-3"), proof_diagnoses=[said("I10", "V-4")], independent_years=said("8", "D-3"),
    extend_reason=said("病情稳定", "L-12"), long_term_assessed=said("true", "L-13"), patient_acknowledged=said("true", "L-14"))


def item(**other: Datum) -> Draft:
    return replace(DRAFT, items=[replace(DRAFT.items[0], **other)])


def patient(**other: Datum) -> Draft:
    return replace(DRAFT, patient=replace(DRAFT.patient, **other))


AT = said("2026-11-22T08:30:00+08:00", "R-1")
WHOLE = replace(
    item(usage=said("每日1次", "L-15"), note=said("饭后", "L-16"), skin_test_exemption=said("连续用药", "L-17"),
         approval=said("1", "L-18"), strength=said("5", "L-19"), pack_size=said("28", "L-20")),
    patient=replace(
        DRAFT.patient, birth_date=said("2020-12-31", "P-3"), id_number=said("110105202012310021", "P-1"),
        allergy_words=[said("芒果", "P-11"), said("海鲜", "P-12")], credential=said("ecToken000001", "P-13"),
        guardian=GuardianDraft(said("示范监护人", "N-1"), said("11010519491231002X", "N-2"), said("parent", "N-3"))),
    department=said("07", "V-5"), department_name=said("儿科", "V-6"), title=said("233", "D-4"),
    visit_number=said("V1", "V-7"), valid_reason=said("路远", "A-8"), note=said("复诊", "A-9"),
    renewal_first=said("RX-0", "A-10"), renewal_start=said("2026-11-01", "A-11"), renewal_end=said("2026-12-01", "A-12"),
    readings=[ReadingDraft(said("15074-8", "R-1"), AT, said("6.8", "R-2"), said("mmol/L", "R-3")),
              ReadingDraft(said("85354-9", "R-4"), AT, parts=[
                  (said("8480-6", "R-5"), said("132", "R-6"), said("mm[Hg]", "R-7")),
                  (said("8462-4", "R-8"), said("84", "R-9"), said("mm[Hg]", "R-10"))])],
    signature=SignatureDraft(said("2026-11-22T08:59:00+08:00", "S-1"), said("c2lnbmF0dXJl", "S-2")))


def test_a_whole_draft_keeps_the_contract_and_reads_back() -> None:
    data, _ = bundle(DRAFT)
    assert check_data(data, HOSPITAL) == []
    admitted = read_bundle_data(data, HOSPITAL, lambda _: "pt_1")
    rx = admitted.prescription
    assert (admitted.key, rx.external_id, rx.handover, rx.patient.allergies) == ("M-1", "RX-1", "home", ("AG01",))
    assert (rx.items[0].drug, rx.items[0].single_dose, rx.items[0].days_supply) == ("D032", 5, 28)
    assert (rx.visit.proof_codes, rx.place.district, rx.coverage.disease_code) == (("I10",), "370102", "M03900")


def test_everything_a_draft_can_say_reads_back() -> None:
    drawn = bundle(WHOLE)[0]
    assert check_data(drawn, HOSPITAL) == []
    admitted = read_bundle_data(drawn, HOSPITAL, lambda _: "pt_1")
    rx, person, item = admitted.prescription, admitted.patient, admitted.prescription.items[0]
    assert (rx.patient.allergies, rx.patient.allergy_words) == (("AG01",), ("芒果", "海鲜"))
    assert (rx.patient.guardian, person.guardian_name, person.credential) == ("parent", "示范监护人", "ecToken000001")
    assert (rx.prescriber.department, rx.prescriber.department_name, rx.prescriber.title) == ("07", "儿科", "233")
    assert (rx.visit.number, rx.valid_reason, rx.note) == ("V1", "路远", "复诊")
    assert (item.directions, item.note, item.overdose_reason) == ("每日1次", "饭后", "")
    assert item.skin_test == SkinTest(exemption="连续用药")
    assert (item.approval, item.pack) == (Approval.COVERED, Pack(Decimal(5), "mg", 28))
    assert rx.renewal == Renewal("RX-0", date(2026, 11, 1), date(2026, 12, 1))
    assert rx.readings == (
        Reading("15074-8", Decimal("6.8"), "mmol/L", datetime(2026, 11, 22, 0, 30, tzinfo=UTC)),
        Reading("85354-9", None, "", datetime(2026, 11, 22, 0, 30, tzinfo=UTC),
                (("8480-6", Decimal(132), "mm[Hg]"), ("8462-4", Decimal(84), "mm[Hg]"))))
    assert rx.signature is not None
    assert rx.signature.sha256 == hashlib.sha256(b"signature").hexdigest()


def test_a_decoction_reads_back_from_every_piece() -> None:
    piece = replace(DRAFT.items[0], kind=said("tcm_piece", "L-4"), dose_unit=said("g", "L-6"), unit=said("g", "L-10"),
                    quantity=said("140", "L-9"), decoction_mark=said("first", "L-20"))
    draft = replace(DRAFT, items=[piece], decoction=DecoctionDraft(
        said("28", "L-21"), said("decoct", "L-22"), said("2", "L-23")))
    rx = read_bundle_data(bundle(draft)[0], HOSPITAL, lambda _: "pt_1").prescription
    assert rx.decoction == Decoction(28, "decoct", 2)
    assert rx.items[0].decoction_mark == "first"


@pytest.mark.parametrize(("draft", "code", "place"), [
    (item(approval=said("9", "L-15")), "HOSPITAL_APPROVAL", "L-15"),
    (item(skin_test=said("weak", "L-16")), "SKIN_TEST", "L-16"),
    (patient(no_known_allergies=said("true", "P-11")), "ALLERGIES_DISAGREE", "P-11"),
    (patient(id_number=said("", "P-1"), credential=said("ecToken000001", "P-12")), "ID_NUMBER", "P-1"),
    (replace(DRAFT, visit_number=said("a b", "V-5")), "VISIT_NUMBER", "V-5"),
    (replace(DRAFT, department=said("儿 科", "V-6")), "DEPARTMENT", "V-6"),
    (replace(DRAFT, signature=SignatureDraft(said("2026-11-22T08:59:00+08:00", "S-1"), said("签", "S-2"))),
     "SIGNATURE_DATA", "S-2"),
    (item(dose=said("five", "L-5")), "DOSE", "L-5"),
    (item(dose=said("-5", "L-5")), "DOSE", "L-5"),
    (item(frequency=said("often", "L-7")), "FREQUENCY", "L-7"),
    (item(unit=said("bucket", "L-10")), "QUANTITY_UNIT", "L-10"),
    (item(quantity=said("NaN", "L-9")), "QUANTITY", "L-9"),
    (patient(id_number=said("110105194912310021", "P-1")), "ID_NUMBER", "P-1"),
    (patient(birth_date=said("1949-12-30", "P-4")), "BIRTH_DATE_MISMATCH", "P-4"),
    (replace(DRAFT, handover=said("drone", "A-7")), "HANDOVER", "A-7"),
    (replace(DRAFT, insured_place=said("here", "I-2")), "INSURED_PLACE", "I-2"),
    (replace(DRAFT, physician=said("D1", "D-1")), "PHYSICIAN_CODE", "D-1"),
])
def test_a_finding_is_shown_where_the_hospital_wrote_it(draft: Draft, code: str, place: str) -> None:
    data, spots = bundle(draft)
    where = {finding.code: locate(spots)(finding.path) for finding in check_data(data, HOSPITAL)}
    assert code in where
    spot = where[code]
    assert spot is not None
    assert spot.name == place


@pytest.mark.parametrize(("field", "code", "place"), [
    ("dose", "DOSE", "L-5"), ("frequency", "FREQUENCY", "L-7"), ("drug", "DRUG_CODE", "L-2")])
def test_what_was_left_empty_is_shown_where_it_should_have_stood(field: str, code: str, place: str) -> None:
    data, spots = bundle(item(**{field: said("", place)}))
    shown = {finding.code: locate(spots)(finding.path) for finding in check_data(data, HOSPITAL)}[code]
    assert shown is not None
    assert shown.name == place


def test_what_was_not_said_is_left_out_and_its_finding_shown_nearby() -> None:
    data, spots = bundle(item(frequency=Datum("")))
    found = check_data(data, HOSPITAL)
    assert {finding.code for finding in found} >= {"FREQUENCY"}
    spot = locate(spots)(next(one.path for one in found if one.code == "FREQUENCY"))
    assert spot is not None
    assert spot.name.startswith("L-"), "somewhere in the same item"


@pytest.mark.parametrize("missing", ["diagnoses", "items"])
def test_what_is_missing_altogether_is_shown_somewhere_in_the_message(missing: str) -> None:
    data, spots = bundle(replace(DRAFT, **{missing: []}))
    found = check_data(data, HOSPITAL)
    assert found
    assert all(locate(spots)(one.path) for one in found)


@pytest.mark.parametrize("path", ["", "Bundle", "Task.x", "a(b", "Bundle.entry.resource.ofType(Condition)", "x.extension('y')"])
def test_any_path_is_looked_for_and_given_up(path: str) -> None:
    assert locate({})(path) is None


def test_a_cancel_reads_back_and_a_wrong_reason_is_shown_where_it_stood() -> None:
    draft = CancelDraft(HOSPITAL, said("C-1", "A-1"), said("RX-1", "A-2"), said("patient", "A-3"),
                        said("2026-11-22T09:00:00+08:00", "A-4"))
    data, _ = cancel(draft)
    assert check_data(data, HOSPITAL) == []
    assert read_cancel_data(data).external_id == "RX-1"
    broken, spots = cancel(replace(draft, reason=said("whim", "A-3")))
    (finding,) = check_data(broken, HOSPITAL)
    spot = locate(spots)(finding.path)
    assert spot is not None
    assert (finding.code, spot.name) == ("CANCEL_REASON", "A-3")


@pytest.mark.parametrize(("text", "value"), [
    ("5", 5), ("+5", 5), ("-1", -1), ("0.50", Decimal("0.50")), ("2.0", 2)])
def test_a_number_is_what_is_written_as_one(text: str, value: object) -> None:
    assert number(text) == value
    assert not isinstance(number(text), str)


@pytest.mark.parametrize("text", [
    "1e3", "1E2", "1_000", "１０", "٣", "1,000", " 5", "5 ", "5.", ".5", "5\n", "NaN", "Infinity", "0x10", ""])
def test_what_may_be_another_number_stays_a_text_and_is_refused_in_its_place(text: str) -> None:
    assert number(text) == text
    if text:
        data, spots = bundle(item(dose=said(text, "L-5")))
        where = {finding.code: locate(spots)(finding.path) for finding in check_data(data, HOSPITAL)}
        assert "L-5" in {spot.name for spot in where.values() if spot}

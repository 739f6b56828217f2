"""HL7 v2: what a prescriber says arrives, or is refused in its place; nothing is passed over, guessed or taken for none."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from adapters.dialects import hl7v2, hl7v2_segments
from adapters.hospitals.jinan_central.fields import ABSENT, LEFT_OUT
from domain.errors import InvalidPayload
from domain.prescription import Approval, Prescription, SkinTestResult
from fhir_profiles.reader import PatientRecord, read_bundle_data
from tests.support.effort import growth
from tests.support.hl7_messages import CODES, SLUG, UTF8, adapter, judged, refused, sample

CASES = Path(__file__).parent / "hl7_cases"
CHILD, RENEWAL, LONG, TWO = (
    sample(name).decode("gb18030" if b"GB 18030" in sample(name)[:200] else "utf-8")
    for name in ("rde_child.hl7", "omp_renewal.hl7", "rde_long_term.hl7", "omp_home_delivery.hl7"))

Told = list[tuple[str, str]]


def encoded(text: str) -> bytes:
    return text.encode("gb18030" if "GB 18030" in text[:200] else "utf-8")


def told(text: str) -> Told:
    """Code and place of every finding."""
    return [(it.code, it.spot.name if it.spot else it.path) for it in judged(encoded(text))]


def admitted(text: str) -> tuple[Prescription, PatientRecord]:
    assert told(text) == []
    message = adapter()[0].to_fhir(encoded(text), CODES)
    assert message.unmapped == ()
    read = read_bundle_data(message.resource, SLUG, lambda number: "p")
    return read.prescription, read.patient


def put(text: str, segment: str, number: int, value: str) -> str:
    """The message with a field of the first such segment replaced."""
    rows = text.split("\r")
    at = next(index for index, row in enumerate(rows) if row.startswith(f"{segment}|"))
    fields = rows[at].split("|")
    fields += [""] * (number + 1 - len(fields))
    fields[number] = value
    rows[at] = "|".join(fields)
    return "\r".join(rows)


def behind(text: str, segment: str, *rows: str) -> str:
    """The message with segments behind the first of a kind."""
    lines = text.split("\r")
    at = next(index for index, row in enumerate(lines) if row.startswith(f"{segment}|"))
    return "\r".join([*lines[:at + 1], *rows, *lines[at + 1:]])


# Inputs that were got wrong once.

@pytest.mark.parametrize(("name", "findings"), [
    ("22_hl7_patient_died", [("HL7_DECEASED", "PID-30.1")]),
    ("24_hl7_give_rate_site_method", [("HL7_NOT_SUPPORTED", place) for place in (
        "RXE-22", "RXE-23", "RXE-24", "RXR-2", "RXR-4")]),
    ("26_hl7_continued_in_the_next_message", [("HL7_FRAGMENT", "DSC-1.1")]),
    ("29_hl7_no_diagnosis_wrong_place", [("DIAGNOSIS_CODE", "RXE-27")]),
    ("30_hl7_two_faults_told_one_after_the_other", [("HL7_PROCESSING", "MSH-11.1"), ("ID_NUMBER", "PID-3.1")]),
    ("31_hl7_utf8_under_gb_header", [("HL7_CHARSET", "MSH-18")]),
    ("32_hl7_hopeless_but_waiting", [("ID_NUMBER", "PID-3.1"), ("PHYSICIAN_CODE", "ORC-12.1")]),
    ("lactating_N_then_Y", [("HL7_CONTRADICTION", "OBX[2]-5.1")]),
    ("name_with_X00", [("HL7_CHARACTER", "PID-5.1")]),
    ("address_bad_first", []), ("amoxicillin_allergy_as_text", []), ("amoxicillin_control_allergy_coded", []),
    ("name_alphabetic_before_ideographic", []),
])
def test_a_message_that_was_misread_is_refused_in_its_place_or_taken(name: str, findings: Told) -> None:
    raw = (CASES / f"{name}.hl7").read_bytes()
    assert [(it.code, it.spot.name if it.spot else it.path) for it in judged(raw)] == findings


def test_the_messages_that_are_taken_say_what_was_meant() -> None:
    def read(name: str) -> tuple[Prescription, PatientRecord]:
        raw = (CASES / f"{name}.hl7").read_bytes()
        return admitted(raw.decode())

    assert read("amoxicillin_allergy_as_text")[0].patient.allergy_words == ("青霉素过敏",)
    assert read("amoxicillin_control_allergy_coded")[0].patient.allergies == ("AL01",)
    rx, person = read("address_bad_first")
    assert (person.address, rx.place.district) == ("示范市示范区示范路2号3单元&4室", "370102")
    assert read("name_alphabetic_before_ideographic")[1].name == "示范乙"


# What is said arrives.

def test_what_is_said_of_a_child_and_its_medicine_arrives() -> None:
    rx, person = admitted(CHILD)
    assert (person.name, person.phone, person.address) == ("示范患儿丙", "19900000002", "示范市示范区示范路2号3单元&4室")
    assert (rx.prescriber.department, rx.prescriber.department_name, rx.prescriber.title) == ("07", "儿科", "232")
    assert (rx.visit.number, rx.valid_days, rx.valid_reason) == ("V20261122001", 2, "住处偏远，当日难以取药")
    assert rx.note == "请电话联系家属后再配送"
    assert (rx.patient.guardian, rx.patient.guardian_confirmed) == ("guardian", True)
    assert rx.patient.allergies == ("AL03",)
    assert rx.patient.allergy_words == (
        "磺胺类；程度：中度；反应：皮疹、瘙痒", "海鲜；类型：食物；程度：轻度", "某中药注射剂（Q77）；程度：程度不详；性质：不耐受")
    (item,) = rx.items
    assert (item.single_dose, item.dose_unit, item.days_supply) == (Decimal("0.5"), "g", 7)
    assert (item.directions, item.note) == ("餐后服用；多饮水；饭后半小时", "与上次同一厂家；症状加重请及时复诊")
    assert item.skin_test is not None
    assert (item.skin_test.result, item.approval) == (SkinTestResult.NEGATIVE, Approval.NOT_COVERED)
    assert item.pack is not None
    assert (item.pack.strength, item.pack.strength_unit, item.pack.size) == (Decimal("0.25"), "g", 24)
    assert rx.signature is not None


def test_what_is_said_in_a_renewal_arrives() -> None:
    rx, _ = admitted(RENEWAL)
    assert rx.patient.no_known_allergies
    assert rx.renewal is not None
    assert (rx.renewal.first, str(rx.renewal.start), str(rx.renewal.end)) == ("RXC0002", "2026-11-01", "2026-12-31")
    pressure, glucose = rx.readings
    assert (pressure.code, [(code, value) for code, value, _ in pressure.parts]) == (
        "85354-9", [("8480-6", Decimal(128)), ("8462-4", Decimal(82))])
    assert (glucose.code, glucose.value, glucose.unit) == ("15074-8", Decimal("6.1"), "mmol/L")
    (item,) = rx.items
    assert (item.note, item.directions, item.days_supply, item.approval) == (
        "请发与上次同一厂家", "早晨服用", 28, Approval.COVERED)


@pytest.mark.parametrize(("rows", "codes", "words", "none"), [
    ((), (), (), False),
    (("AL1|1|DA|^青霉素过敏",), (), ("青霉素过敏",), False),
    (("AL1|1||^青霉素过敏",), (), ("青霉素过敏",), False),
    (("AL1|1|DA|AL01",), ("AL01",), (), False),
    (("AL1|1|DA|AL01^青霉素类", "IAM|1|DA|AL01^青霉素类||||A".replace("||||", "|||")), ("AL01",), (), False),
    (("AL1|1|DA|AL01^青霉素过敏性休克",), ("AL01",), ("青霉素过敏性休克",), False),
    (("AL1|1|DA|AL77^某药",), (), ("某药（AL77）",), False),
    (("AL1|1|DA|AL77",), (), ("AL77",), False),
    (("AL1|1|DA|NKA^无已知过敏",), (), (), True),
    (("AL1|1|DA|^否认过敏史",), (), (), True),
    (('AL1|1|DA|""',), (), (), False),
    (("IAM|1|DA|AL01|||D",), (), (), False),
    (("IAM|1|DA|^花粉|||A", "IAM|2|DA|^海鲜|||D"), (), ("花粉",), False),
    (("IAM|1|DA|^花粉|||A|||||||||||S",), (), ("花粉；状态：可疑",), False),
    (("IAM|1|DA|^花粉|||A|||||||||||E",), (), (), False),
    (("AL1|1|DA|^花粉|||", "AL1|2|DA|^花粉"), (), ("花粉", "花粉"), False),
])
def test_an_allergy_is_coded_or_stands_in_words(
        rows: tuple[str, ...], codes: tuple[str, ...], words: tuple[str, ...], none: bool) -> None:
    patient = admitted(behind(LONG, "IN1", *rows))[0].patient
    assert (patient.allergies, tuple(dict.fromkeys(patient.allergy_words)), patient.no_known_allergies) == (
        codes, tuple(dict.fromkeys(words)), none)


@pytest.mark.parametrize(("rows", "findings"), [
    (("AL1|1|DA|NKA", "AL1|2|DA|AL01"), [("HL7_CONTRADICTION", "AL1-3.1")]),
    (("AL1|1|DA|NKA^青霉素过敏",), [("HL7_CONTRADICTION", "AL1-3.2")]),
    (("AL1|1|DA|NKA|SV",), [("HL7_CONTRADICTION", "AL1-3.2")]),
    (("IAM|1|DA|AL01|||D", "IAM|2|DA|AL01|||A"), [("HL7_CONTRADICTION", "IAM[2]-3.1")]),
    (("AL1|1|DA",), [("HL7_ALLERGEN", "AL1-3")]),
    (("AL1|1|DA||SV|皮疹",), [("HL7_ALLERGEN", "AL1-3")]),
    (("AL1|1|DA|AL01^青霉素类^SNOMED",), [("HL7_CODE_SYSTEM", "AL1-3.3")]),
    (("IAM|1|DA|AL01|||Z",), [("HL7_VALUE", "IAM-6.1")]),
    (("AL1|1|DA|AL01|||20260101",), [("HL7_NOT_READ", "AL1-6")]),
])
def test_a_contradicted_or_unclear_allergy_is_refused(rows: tuple[str, ...], findings: Told) -> None:
    assert told(behind(LONG, "IN1", *rows)) == findings


@pytest.mark.parametrize(("rows", "weeks", "lactating"), [
    (("OBX|1|NM|18185-9||12|wk^^UCUM|||||F",), 12, None),
    (("OBX|1|NM|18185-9||12||||||F",), 12, None),
    (("OBX|1|NM|18185-9||90|d|||||F",), 12, None),
    (("OBX|1|NM|18185-9||12|wk|||||F", "OBX|2|NM|18185-9||84|d|||||F"), 12, None),
    (("OBX|1|ST|LACT||Y||||||F",), None, True),
    (("OBX|1|ST|LACT||Y||||||F", "OBX|2|ST|LACT||N||||||C"), None, False),
    (("OBX|1|ST|LACT||Y||||||F", "OBX|2|ST|LACT||Y||||||D"), None, None),
    (("OBX|1|ST|LACT||Y||||||W", "OBX|2|ST|LACT||N||||||C"), None, False),
    (("OBX|1|ST|LACT||||||||X",), None, None),
])
def test_what_was_corrected_or_deleted_does_not_count(rows: tuple[str, ...], weeks: int | None,
                                                         lactating: bool | None) -> None:
    patient = admitted(behind(TWO, "RXR", *rows))[0].patient
    assert (patient.pregnancy_weeks, patient.lactating) == (weeks, lactating)


@pytest.mark.parametrize(("rows", "findings"), [
    (("OBX|1|NM|18185-9||3|mo|||||F",), [("HL7_UNIT", "OBX-6.1")]),
    (("OBX|1|NM|18185-9||12|wk|||||F", "OBX|2|NM|18185-9||13|wk|||||F"), [("HL7_CONTRADICTION", "OBX[2]-5.1")]),
    (("OBX|1|NM|18185-9||12|wk|||||F|||20260901",), [("HL7_NOT_SUPPORTED", "OBX-14.1")]),
    (("OBX|1|ST|LACT||Y||||||P",), [("HL7_NOT_FINAL", "OBX-11.1")]),
    (("OBX|1|ST|LACT||Y",), [("HL7_VALUE", "OBX-11.1")]),
    (("OBX|1|ST|LACT||||||||F",), [("HL7_VALUE", "OBX-5.1")]),
    (("OBX|1|ST|EGFR^肾小球滤过率||30|ml/min|||||F",), [("HL7_NOT_READ", "OBX-3.1")]),
    (("OBX|1|CE|LACT||N^是||||||F",), [("HL7_CONTRADICTION", "OBX-5.2")]),
    (("OBX|1|CE|LACT^皮试||N||||||F",), [("HL7_CONTRADICTION", "OBX-3.2")]),
    (("OBX|1|CE|LACT^^LN||N||||||F",), [("HL7_CODE_SYSTEM", "OBX-3.3")]),
    (("OBX|1|NM|18185-9^^99JZOBS||12|wk|||||F",), [("HL7_CODE_SYSTEM", "OBX-3.3")]),
    (("OBX|1|NM|18185-9||12|wk^天|||||F",), [("HL7_CONTRADICTION", "OBX-6.2")]),
])
def test_an_observation_that_is_unclear_is_refused(rows: tuple[str, ...], findings: Told) -> None:
    assert told(behind(TWO, "RXR", *rows)) == findings


@pytest.mark.parametrize(("number", "value", "name"), [
    (5, "示范^甲^^^^^L^I", "示范甲"), (5, "SHIFAN^JIA^^^^^L^A~示范^甲^^^^^L^I", "示范甲"),
    (5, "示范^乙^^^^^A~示范^甲^^^^^L", "示范甲"),
    (5, "示范^旧^^^^^L^^^^^20000101^20100101~示范^甲^^^^^L^^^^^20100101", "示范甲"), (5, "小甲^^^^^^N~示范甲", "示范甲"),
    (5, "SHIFAN^JIA^^^^^L^A", "SHIFANJIA"),
])
def test_the_legal_name_in_characters_counts(number: int, value: str, name: str) -> None:
    assert admitted(put(LONG, "PID", number, value))[1].name == name


HERE = "示范路1号^^示范区^示范市^^CHN^{}^^370102"


@pytest.mark.parametrize(("number", "value", "findings"), [
    (5, "示范^乙^^^^^A", [("HL7_NONE_CURRENT", "PID-5")]),
    (5, "示范^甲^^^^^L~示范^乙^^^^^L", [("HL7_SEVERAL", "PID-5[2].1")]),
    (5, "示范^甲^^^^^L^^^^^20000101^20100101", [("HL7_NONE_CURRENT", "PID-5")]),
    (5, "示范^甲^中", [("HL7_NOT_READ", "PID-5.3")]),
    (11, HERE.format("BA"), [("HL7_NONE_CURRENT", "PID-11")]),
    (11, HERE.format("H") + "^^^^20300101", [("HL7_NONE_CURRENT", "PID-11")]),
    (11, f"{HERE.format('H')}~{HERE.format('H').replace('1号', '2号')}", [("HL7_SEVERAL", "PID-11[2].4")]),
    (11, HERE.format("H").replace("CHN", "JPN"), [("HL7_VALUE", "PID-11.6")]),
    (13, "^EMR^CP^^^^^^^^^19900000001", [("HL7_NONE_CURRENT", "PID-13")]),
    (13, "19900000002^PRN^CP^^^^^^^^^19900000001", [("HL7_CONTRADICTION", "PID-13.1")]),
    (13, "^PRN^CP^^^^^^^^^19900000001~^PRN^CP^^^^^^^^^19900000002", [("HL7_SEVERAL", "PID-13[2].12")]),
    (3, "370102195803029910^^^GAB^NI~370102197108159923^^^GAB^NI", [("HL7_SEVERAL", "PID-3[2].1")]),
    (3, "370102195803029910", [("HL7_VALUE", "PID-3.5")]),
    (24, "Y", [("HL7_NOT_READ", "PID-24")]), (29, "20261101", [("HL7_DECEASED", "PID-29.1")]),
    (30, "Q", [("HL7_VALUE", "PID-30.1")]),
])
def test_a_patient_of_whom_nothing_counts_or_too_much_is_refused(number: int, value: str, findings: Told) -> None:
    found = told(put(LONG, "PID", number, value))
    assert findings[0] in found
    assert {code for code, _ in found} <= {findings[0][0], "ID_NUMBER", "ADDRESS"}


@pytest.mark.parametrize(("value", "phone"), [
    ("19900000001", "19900000001"), ("^WPN^PH^^^0531^88880001~^PRN^CP^^^^^^^^^19900000001", "19900000001"),
    ("^PRN^PH^^86^0531^88880001", "0531-88880001"), ("^EMR^CP^^^^^^^^^19900000009~^PRN^CP^^^^^^^^^19900000001", "19900000001"),
    ("^PRN^CP^^^^^^^^^19900000001~^PRN^CP^^^^^^^^^19900000001", "19900000001"),
])
def test_the_number_the_patient_answers_counts(value: str, phone: str) -> None:
    assert admitted(put(LONG, "PID", 13, value))[1].phone == phone


@pytest.mark.parametrize(("length", "days"), [("30^d", 30), ("4^wk", 28), ("2^周", 14), ("30^天", 30)])
def test_a_duration_is_days(length: str, days: int) -> None:
    quantity = str(days * 2)
    text = put(put(LONG, "TQ1", 6, length), "RXE", 10, quantity)
    message = adapter()[0].to_fhir(encoded(text), CODES)
    (item,) = [it["resource"] for it in message.resource["entry"] if it["resource"]["resourceType"] == "MedicationRequest"]
    assert item["dispenseRequest"]["expectedSupplyDuration"]["value"] == days


@pytest.mark.parametrize("length", ["1^mo", "30", "4周", "1.5^wk", "^d", "30^d^天"])
def test_what_is_no_number_of_days_is_refused(length: str) -> None:
    assert {code for code, _ in told(put(LONG, "TQ1", 6, length))} & {"DAYS_SUPPLY", "HL7_NOT_SUPPORTED"}


# Two statements of one fact.

@pytest.mark.parametrize(("change", "findings"), [
    (lambda it: put(it, "RXE", 15, "RXC9"), [("HL7_CONTRADICTION", "RXE-15.1")]),
    (lambda it: put(it, "RXR", 1, "PO^静脉注射"), [("HL7_CONTRADICTION", "RXR-1.2")]),
    (lambda it: put(it, "TQ1", 3, "BID&每日3次"), [("HL7_CONTRADICTION", "TQ1-3.1.2")]),
    (lambda it: put(it, "RXE", 5, "MG^克"), [("HL7_CONTRADICTION", "RXE-5.2")]),
    (lambda it: put(it, "RXE", 31, "01^中药饮片"), [("HL7_CONTRADICTION", "RXE-31.2")]),
    (lambda it: put(it, "RXE", 2, "W100001^盐酸二甲双胍片^NDC"), [("HL7_CODE_SYSTEM", "RXE-2.3")]),
    (lambda it: put(it, "PV1", 10, "07").replace("|||||||||示范市中心医院", "|||||03^内科||||示范市中心医院"),
     [("HL7_CONTRADICTION", "PV1-10.1")]),
    (lambda it: put(it, "ORC", 5, "CA"), [("HL7_ORDER_STATUS", "ORC-5.1")]),
    (lambda it: put(it, "ORC", 5, "DC"), [("HL7_ORDER_STATUS", "ORC-5.1")]),
    (lambda it: put(it, "MSH", 4, "SOMEBODY"), [("HL7_RECEIVER", "MSH-5.1")]),
    (lambda it: put(it, "MSH", 8, "RDE^O11^OMP_O09"), [("HL7_CONTRADICTION", "MSH-9.3")]),
    (lambda it: put(it, "MSH", 10, "P^A"), [("HL7_PROCESSING", "MSH-11.2")]),
    (lambda it: put(it, "MSH", 13, "0001"), [("HL7_FRAGMENT", "MSH-14.1")]),
    (lambda it: put(it, "MSH", 20, "X"), [("HL7_NOT_READ", "MSH-21")]),
    (lambda it: behind(it, "PV1", "DG1|1||I10.x00^特发性(原发性)高血压^99ICD10CN|||A"), [("HL7_CONTRADICTION", "RXE-27.1")]),
    (lambda it: behind(it, "PV1", "DG1|1||E11.900^2型糖尿病^99ICD10CN|||W"), [("HL7_NOT_FINAL", "DG1-6.1")]),
    (lambda it: behind(it, "PV1", "DG1|1||E11.900^2型糖尿病^99ICD10CN|||A" + "|" * 15 + "D",
                       "DG1|2||E11.900^2型糖尿病^99ICD10CN|||A"), [("HL7_CONTRADICTION", "DG1[2]-3.1")]),
    (lambda it: behind(it, "ORC", "TQ1|1||TID", "RXO|W100001^盐酸二甲双胍片|500||MG"), [("HL7_CONTRADICTION", "TQ1-3.1")]),
    (lambda it: behind(it, "ORC", "RXO|W100001^盐酸二甲双胍片|250||MG"), [("HL7_CONTRADICTION", "RXO-2.1")]),
    (lambda it: behind(it, "ORC", "RXO|W100002^盐酸二甲双胍缓释片|500||MG"), [("HL7_CONTRADICTION", "RXO-1.1"), (
        "HL7_CONTRADICTION", "RXO-1.2")]),
    (lambda it: behind(it, "ORC", "RXO|W100001||"), [("HL7_CONTRADICTION", "RXO-2.1"), ("HL7_CONTRADICTION", "RXO-4.1")]),
    (lambda it: behind(it, "ORC", "RXO|W100001|500||MG|||^空腹"), [("HL7_CONTRADICTION", "RXO-7.2")]),
    (lambda it: behind(it, "RXR", "RXD|1|W100001"), [("HL7_NOT_READ", "RXD")]),
    (lambda it: put(it, "ZRX", 14, "7^SJ^2"), [("HL7_CONTRADICTION", "ZRX-14.1")]),
])
def test_two_statements_that_differ_are_refused(change: Callable[[str], str], findings: Told) -> None:
    assert told(change(LONG)) == findings


def test_an_order_as_first_asked_for_that_says_the_same_is_taken() -> None:
    assert told(behind(LONG, "ORC", "TQ1|1||BID", "RXO|W100001^盐酸二甲双胍片|500||MG", "RXR|PO")) == []


def test_a_deleted_diagnosis_does_not_count() -> None:
    deleted = "DG1|1||I10.x00^特发性(原发性)高血压^99ICD10CN|||A" + "|" * 15 + "D"
    rx, _ = admitted(behind(LONG, "PV1", deleted))
    assert [it.code for it in rx.diagnoses] == ["E11.900"]


def test_the_diagnoses_of_all_the_drugs_count_and_each_drug_has_one() -> None:
    rows = TWO.split("\r")
    last = max(index for index, row in enumerate(rows) if row.startswith("RXO|"))
    other = rows[last].replace("I10.x00^特发性(原发性)高血压", "E11.900^2型糖尿病")
    rx, _ = admitted("\r".join([*rows[:last], other, *rows[last + 1:]]))
    assert [it.code for it in rx.diagnoses] == ["I10.x00", "E78.500", "E11.900"]
    silent = rows[last].replace("I10.x00^特发性(原发性)高血压^99ICD10CN", "")
    assert told("\r".join([*rows[:last], silent, *rows[last + 1:]])) == [("DIAGNOSIS_CODE", "RXO[2]-20")]


# Words.

@pytest.mark.parametrize(("note", "findings"), [
    ("NTE|1|L|药师注", [("HL7_VALUE", "NTE-2.1")]), ("NTE|1|P|注|ZZ", [("HL7_VALUE", "NTE-4.1")]),
    ("NTE|1|P|注|RE^备注^99JZNOTE^X", [("HL7_NOT_READ", "NTE-4.4")]),
])
def test_a_note_that_is_not_the_prescribers_is_refused(note: str, findings: Told) -> None:
    assert told(behind(LONG, "RXE", note)) == findings


def test_a_note_goes_where_it_stands() -> None:
    rx, _ = admitted(behind(behind(LONG, "RXE", "NTE|1|P|甲~乙", "NTE|2||丙|OD"), "PID", "NTE|1|P|丁"))
    assert (rx.note, rx.items[0].note, rx.items[0].overdose_reason) == ("丁", "甲；乙", "丙")


@pytest.mark.parametrize("escape", ["\\X00\\", "\\X07\\", "\\X1B\\", "\\XEE8080\\", "\\XEFBFBD\\", "\\XC285\\", "\ue000", "\ufffd",
                                    "\x85", "\u2028"])
def test_a_character_that_was_damaged_is_refused_where_it_stands(escape: str) -> None:
    assert told(put(TWO, "PID", 5, f"示范{escape}乙")) == [("HL7_CHARACTER", "PID-5.1")]


@pytest.mark.parametrize("escape", ["\\C2842\\", "\\M242142\\", "\\Z1\\", "\\.sp3\\", "\\X0\\", "\\XFF\\"])
def test_an_escape_nobody_knows_is_refused_where_it_stands(escape: str) -> None:
    assert told(put(TWO, "PID", 5, f"示范{escape}乙")) == [("HL7_ESCAPE", "PID-5.1")]


def test_text_longer_than_anybody_writes_is_refused_where_it_stands() -> None:
    assert ("HL7_TOO_LONG", "RXE-7.2") in told(put(LONG, "RXE", 7, "^" + "饭" * 2001))


@pytest.mark.parametrize(("name", "wrong", "header"), [
    ("rde_child.hl7", "utf-8", "GB 18030-2000"), ("rde_long_term.hl7", "gb18030", "UNICODE UTF-8"),
])
def test_bytes_in_another_character_set_than_the_header_says_are_refused(name: str, wrong: str, header: str) -> None:
    text = {"rde_child.hl7": CHILD, "rde_long_term.hl7": LONG}[name]
    text = text.replace("UNICODE UTF-8", header).replace("GB 18030-2000", header)
    assert [it.code for it in judged(text.encode(wrong))] == ["HL7_CHARSET"]


@pytest.mark.parametrize(("given", "through"), [("示范", ("utf-8", "gb18030")), ("示范患者", ("gb18030", "latin-1"))])
def test_text_that_was_converted_wrongly_on_the_way_is_refused(given: str, through: tuple[str, str]) -> None:
    mangled = given.encode(through[0]).decode(through[1])
    rows = TWO.split("\r")
    rows[1] = f"PID|1||370102197108159923^^^GAB^NI||{mangled}||19710815|F"
    assert [it.code for it in judged("\r".join(rows).encode())] == ["HL7_CHARSET"]


@pytest.mark.parametrize("text", ["5μg", "β受体阻滞剂", "αβγ", "买买提·吐尔逊", "José", "Müller"])
def test_honest_text_is_never_taken_for_a_wrong_character_set(text: str) -> None:
    for header, codec in (("UNICODE UTF-8", "utf-8"), ("GB 18030-2000", "gb18030")):
        raw = f"{UTF8.replace('UNICODE UTF-8', header)}\rNTE|1||{text}".encode(codec)
        assert hl7v2_segments.parse(raw, "UNICODE UTF-8").first("NTE").datum(3).value == text


# What is left out is listed, and costs nothing.

def test_each_place_that_is_left_out_has_a_reason_and_exists() -> None:
    for place, reason in (LEFT_OUT | ABSENT | hl7v2.LEFT_OUT_OF_CANCELS).items():
        assert hl7v2._PLACE.fullmatch(re.sub(r"\[[^]]*\]", "", place)), place
        assert len(reason) > 8


@pytest.mark.parametrize("segment", ["MSH", "PID", "PV1", "IN1", "ORC", "RXE", "TQ1", "RXR", "ZRX"])
def test_whatever_stands_in_a_field_nobody_reads_is_a_finding_there(segment: str) -> None:
    """Every field that is empty in the sample, filled with a word."""
    row = next(it for it in LONG.split("\r") if it.startswith(segment)).split("|")
    shift = segment == "MSH"
    before = adapter()[0].to_fhir(encoded(LONG), CODES)
    for number in range(3, 45):
        if number - shift < len(row) and row[number - shift]:
            continue
        text = put(LONG, segment, number - shift, "Zq9")
        place = f"{segment}-{number}"
        if place in LEFT_OUT:
            continue
        try:
            after = adapter()[0].to_fhir(encoded(text), CODES)
        except InvalidPayload:
            continue
        assert told(text) or after.unmapped or after.resource != before.resource, place


@pytest.mark.parametrize("row", [
    "PD1|||x", "PV2||x", "GT1|1|x", "IN2|x", "RXC|B|x", "FT1|1|x", "CTI|x", "ZZZ|x", "RXG|1", "CDO|1|x"])
def test_a_segment_nobody_reads_is_a_finding(row: str) -> None:
    assert [place for _, place in told(behind(LONG, "RXR", row))] == [row[:3]]


def test_all_that_is_wrong_is_told_at_once() -> None:
    text = put(put(put(put(LONG, "MSH", 10, "T"), "PID", 3, "370102195803029911^^^GAB^NI"), "RXE", 3, ""), "RXR", 2, "OS")
    text = behind(text, "PID", "NTE|1||\\X00\\", "一行不是段")
    assert sorted(told(text)) == sorted([
        ("HL7_PROCESSING", "MSH-11.1"), ("ID_NUMBER", "PID-3.1"), ("DOSE", "RXE-3.1"), ("HL7_NOT_SUPPORTED", "RXR-2"),
        ("HL7_CHARACTER", "NTE-3.1"), ("HL7_SEGMENT", "")])


HEAD = LONG.split("ORC|", 1)[0]
HOSTILE: Mapping[str, Callable[[int], str]] = {
    "many orders behind a long field": lambda part: HEAD + "ORC|NW|" + "字" * (200_000 // part) + "\r"
    + "ORC|NW|\r" * (1_900 // part),
    "many whole orders": lambda part: HEAD + LONG.removeprefix(HEAD).rsplit("ZRX", 1)[0] * (1_500 // part),
    "many fields": lambda part: LONG + "NTE" + "|x" * (400_000 // part),
    "many subcomponents": lambda part: LONG + "NTE|" + "&x" * (400_000 // part),
    "many allergies": lambda part: behind(LONG, "IN1", *(f"AL1|1|DA|^过敏{it}" for it in range(1_900 // part))),
    "many observations": lambda part: behind(LONG, "RXR", *("OBX|1|ST|LACT||Y||||||C",) * (1_900 // part)),
    "many diagnoses": lambda part: put(LONG, "RXE", 27, "~".join(f"I{it}^x" for it in range(9_000 // part))),
    "many names": lambda part: put(LONG, "PID", 5, "~".join(f"示{it}^^^^^^L" for it in range(2_500 // part))),
    "many notes": lambda part: behind(LONG, "RXE", *("NTE|1|P|" + "字" * 200,) * (1_900 // part)),
    "escapes": lambda part: behind(LONG, "RXE", "NTE|1|P|" + "\\" * (900_000 // part)),
    "one long name": lambda part: put(LONG, "PID", 5, "示" * (400_000 // part)),
    "lines of nothing": lambda part: LONG + "\r" * (900_000 // part),
}
"""Messages of about a megabyte, or of a part of it."""


@pytest.mark.parametrize("name", HOSTILE)
def test_the_cost_of_a_message_grows_with_its_size_alone(name: str) -> None:
    whole, eighth, sixteenth = (HOSTILE[name](part).encode("gb18030") for part in (1, 8, 16))
    assert len(judged(whole)) <= 600
    assert growth(judged, sixteenth, eighth) < 2.5


def test_a_finding_holds_nothing_of_the_message() -> None:
    text = put(put(LONG, "PID", 6, "示范^母亲姓名"), "PID", 19, "370102195803029910")
    said: Any = refused(encoded(text))
    assert said
    assert "示范" not in repr(said)
    assert "3701021958" not in repr(said)

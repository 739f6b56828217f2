"""What a message says twice is compared, of several the one in use counts, and nothing that is filled in is passed over."""

import copy
from datetime import date
from decimal import Decimal

import pytest

from fhir_profiles import closed
from fhir_profiles.closed import LEFT_OUT, left_out, unread
from fhir_profiles.current import counts, holds
from tests.support.fhir_door import check_bundle, read_bundle
from tests.support.fhir_messages import (
    ADDRESS,
    BASE,
    COVER,
    DELETE,
    DIAGNOSIS,
    DOCTOR,
    HOSPITAL,
    ITEM,
    NAME,
    PATIENT,
    PHONE,
    VISIT,
    changed,
    home_delivery,
    long_term,
    raw,
    url,
)

DOSE, GIVE = (*ITEM, "dosageInstruction", 0), (*ITEM, "dispenseRequest")
QUANTITY = (*DOSE, "doseAndRate", 0, "doseQuantity")
UCUM = "http://unitsofmeasure.org"
HOME, OLD = {"text": ADDRESS, "district": "370102"}, {"use": "old", "text": "旧地址", "district": "370103"}
IDE = [{"url": "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation", "valueCode": "IDE"}]
ABC = [{"url": "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation", "valueCode": "ABC"}]


def said(*changes, build=long_term):
    return [(finding.code, finding.path.partition(".resource.")[2]) for finding in check_bundle(
        raw(changed(build(), *changes)), HOSPITAL)]


def read(*changes, build=long_term):
    return read_bundle(raw(changed(build(), *changes)), HOSPITAL, lambda _: "pt_1")


# Of several, the one that counts.

@pytest.mark.parametrize("names", [
    [{"text": "SHIFAN", "extension": ABC}, {"text": NAME, "extension": IDE}],
    [{"text": "曾用名", "use": "old"}, {"text": NAME, "use": "official"}],
    [{"text": "小名", "use": "nickname"}, {"text": NAME}],
    [{"text": "常用", "use": "usual"}, {"text": NAME, "use": "official"}],
    [{"text": "曾用名", "period": {"end": "2020"}}, {"text": NAME, "period": {"start": "2020-02"}}],
    [{"text": NAME, "family": "示范", "given": ["患者", "甲"]}],
])
def test_the_name_in_use_is_read(names):
    assert read(((*PATIENT, "name"), names)).patient.name == NAME


@pytest.mark.parametrize("addresses", [
    [OLD, HOME], [HOME | {"period": {"end": "2020-01-01"}, "text": "旧"}, HOME],
    [HOME | {"use": "billing", "text": "单位"}, HOME],
    [HOME | {"type": "postal", "text": "信箱"}, HOME],
    [HOME | {"use": "work", "text": "单位"}, HOME | {"use": "home"}], [HOME, HOME],
    [HOME | {"period": {"start": "2027-01-01"}, "text": "新"}, HOME],
])
def test_the_address_in_use_is_read(addresses):
    admitted = read(((*PATIENT, "address"), addresses), build=home_delivery)
    assert (admitted.patient.address, admitted.prescription.place.district) == (ADDRESS, "370102")


@pytest.mark.parametrize("phones", [
    [{"value": "10000000009", "rank": 2}, {"value": PHONE, "rank": 1}], [{"value": "10000000009", "use": "old"}, {"value": PHONE}],
    [{"value": "10000000009", "use": "work"}, {"value": PHONE, "use": "mobile"}],
    [{"value": "10000000009", "period": {"end": "2026-11-21"}}, {"value": PHONE}],
])
def test_the_phone_in_use_is_read(phones):
    telecom = [{"system": "phone", **phone} for phone in phones]
    assert read(((*PATIENT, "telecom"), telecom), build=home_delivery).patient.phone == PHONE


@pytest.mark.parametrize(("name", "entries"), [
    ("name", [{"text": NAME, "use": "old"}]), ("name", [{"text": "甲甲"}, {"text": "乙乙"}]),
    ("name", [{"text": NAME, "use": "nickname"}]), ("name", [{"text": NAME, "period": {"start": "2026-11-23"}}]),
    ("address", [OLD]), ("address", [HOME, HOME | {"text": "别处"}]), ("address", [HOME | {"use": "billing"}]),
    ("telecom", [{"system": "phone", "value": PHONE, "use": "old"}]),
    ("telecom", [{"system": "phone", "value": PHONE}, {"system": "phone", "value": "10000000009"}]),
])
def test_where_none_counts_or_nobody_knows_which_it_is_said_once(name, entries):
    assert said(((*PATIENT, name), entries), build=home_delivery) == [("NOT_CURRENT", name)]


def test_an_id_number_that_is_over_is_no_id_number():
    assert said(((*PATIENT, "identifier", 0, "use"), "old")) == [("NOT_CURRENT", "identifier[0]")]


@pytest.mark.parametrize(("period", "held"), [
    ({}, True), (None, True), ({"start": "2026"}, True), ({"end": "2026"}, True), ({"end": "2026-10"}, False),
    ({"start": "2026-11-22T00:30:00+08:00"}, True), ({"start": "2026-11-23"}, False), ({"end": "2026-11-22"}, True),
    ({"start": "nonsense", "end": 7}, True), ({"end": "2026-13"}, True)])
def test_a_month_or_year_counts_whole(period, held):
    assert holds(period, date(2026, 11, 22)) is held
    assert not counts("text", None)


# Two statements.

@pytest.mark.parametrize(("code", "place", "where", "value"), [
    ("TEXT_DISAGREES", "name[0].text", (*PATIENT, "name", 0, "family"), "别姓"),
    ("TEXT_DISAGREES", "category[0].text", (*ITEM, "category", 0, "text"), "中药饮片"),
    ("TEXT_DISAGREES", "category[0].coding[0].display", (*ITEM, "category", 0, "coding", 0, "display"), "中成药"),
    ("TEXT_DISAGREES", "dosageInstruction[0].route.coding[0].display", (*DOSE, "route", "coding", 0, "display"), "皮下"),
    ("TEXT_DISAGREES", "dosageInstruction[0].timing.code.text", (*DOSE, "timing", "code", "text"), "每日3次"),
    ("TEXT_DISAGREES", "dosageInstruction[0].timing.code.text", (*DOSE, "timing", "code", "text"), "照旧"),
    ("TEXT_DISAGREES", "medication.text", (*ITEM, "medicationCodeableConcept", "text"), "格列齐特片"),
    ("TEXT_DISAGREES", "code.text", (*DIAGNOSIS, "code", "text"), "高血压"),
    ("TEXT_DISAGREES", "type[0].coding[0].display", (*VISIT, "type", 0, "coding", 0, "display"), "初诊"),
    ("TEXT_DISAGREES", "dosageInstruction[0].text", (*DOSE, "text"), "每日4次，每次4片，首剂加倍"),
    ("TEXT_DISAGREES", "dosageInstruction[0].patientInstruction", (*DOSE, "patientInstruction"), "每次1g"),
    ("TEXT_DISAGREES", "dosageInstruction[0].site.text", (*DOSE, "site"), {"text": "左眼"}),
    ("UNIT_DISAGREES", "dosageInstruction[0].doseAndRate[0].dose.code", QUANTITY, {
        "value": 500, "unit": "mg", "system": UCUM, "code": "g"}),
    ("UNIT_DISAGREES", "dosageInstruction[0].doseAndRate[0].dose.code", QUANTITY, {
        "value": 500, "unit": "mg", "system": "urn:theirs", "code": "mg"}),
    ("UNIT_DISAGREES", "dispenseRequest.quantity.code", (*GIVE, "quantity"), {
        "value": 60, "unit": "片", "system": UCUM, "code": "{粒}"}),
    ("UNIT_DISAGREES", "dispenseRequest.expectedSupplyDuration.code", (*GIVE, "expectedSupplyDuration", "code"), "wk"),
    ("REFERENCE_TYPE", "subject.type", (*ITEM, "subject", "type"), "Practitioner"),
    ("DAYS_SUPPLY", "dispenseRequest.expectedSupplyDuration.value", (*GIVE, "expectedSupplyDuration"), {
        "value": 53, "unit": "周", "system": UCUM, "code": "wk"}),
])
def test_two_statements_of_one_fact_are_compared(code, place, where, value):
    assert said((where, value)) == [(code, place)]


@pytest.mark.parametrize(("where", "value"), [
    ((*ITEM, "category", 0, "text"), "西药"), ((*ITEM, "category", 0, "coding", 0, "display"), "Western medicine"),
    ((*DOSE, "timing", "code", "text"), "每天两次"), ((*DOSE, "timing", "code", "coding", 0, "display"), "BID"),
    ((*ITEM, "medicationCodeableConcept", "text"), "盐酸二甲双胍片"), ((*DOSE, "text"), "每日2次，每次0.5g，饭后服"),
    (QUANTITY, {"value": 500, "unit": "mg", "system": UCUM, "code": "mg"}), ((*ITEM, "subject", "type"), "Patient"),
    ((*GIVE, "quantity"), {"value": 60, "unit": "片", "system": UCUM, "code": "{tbl}"}),
    ((*GIVE, "quantity"), {"value": 60, "unit": "片", "system": UCUM, "code": "{片}"}),
    ((*GIVE, "expectedSupplyDuration", "unit"), "天"),
])
def test_statements_that_agree_are_taken(where, value):
    assert said((where, value)) == []


def test_four_weeks_are_28_days():
    weeks = {"value": 4, "unit": "周", "system": UCUM, "code": "wk"}
    assert read(((*GIVE, "expectedSupplyDuration"), weeks)).prescription.items[0].days_supply == 28


def test_a_gram_is_a_thousand_milligrams_where_the_pack_is_counted():
    pack = {"url": f"{BASE}/StructureDefinition/pack", "extension": [
        {"url": "strength", "valueQuantity": {"value": 250, "unit": "mg"}}]}
    half = {"value": Decimal("0.5"), "unit": "g"}
    changes = [((*ITEM, "extension", 4), pack), (QUANTITY, half | {"value": 0.5})]
    assert said(*changes, ((*GIVE, "quantity", "value"), 120)) == []
    assert said(*changes) == [("QUANTITY_ARITHMETIC", "dispenseRequest.quantity.value")]


def test_all_the_words_of_a_prescriber_reach_the_item():
    item = read(
        ((*DOSE, "text"), "饭后服"), ((*DOSE, "patientInstruction"), "忌酒"), ((*DOSE, "method"), {"text": "嚼服"}),
        ((*DOSE, "additionalInstruction"), [{"text": "空腹"}, {"text": "饭后服"}]),
        ((*ITEM, "note"), [{"text": "甲"}, {"text": "乙"}]),
    ).prescription.items[0]
    assert item.directions == "饭后服；空腹；嚼服；忌酒"
    assert item.note == "甲；乙"
    assert (item.number, item.reasons) == ("RX0001-1", ("E11.900",))


@pytest.mark.parametrize("allowed", [True, False])
def test_whether_another_product_may_be_given_is_read(allowed):
    assert read(((*ITEM, "substitution"), {"allowedBoolean": allowed})).prescription.items[0].may_substitute is allowed
    assert read().prescription.items[0].may_substitute is None, "nothing was said"


@pytest.mark.parametrize("value", [
    {"allowedCodeableConcept": {"text": "no"}}, {"allowedBoolean": True, "allowedCodeableConcept": {"text": "no"}},
    {"reason": {"text": "x"}}, {"allowedBoolean": "false"}])
def test_what_is_no_plain_yes_or_no_to_another_product_is_refused(value):
    assert said(((*ITEM, "substitution"), value)) != []


def test_a_note_may_have_several_lines():
    assert said(((*ITEM, "note"), [{"text": "收缩压低于90停用\n心率低于50停用"}])) == []


# Nothing is passed over.

@pytest.mark.parametrize(("place", "where", "value"), [
    ("dispenseRequest.initialFill", (*GIVE, "initialFill"), {"quantity": {"value": 1}}),
    ("dispenseRequest.dispenseInterval", (*GIVE, "dispenseInterval"), {"value": 7}),
    ("dispenseRequest.performer", (*GIVE, "performer"), {"reference": url(3)}),
    ("dosageInstruction[0].sequence", (*DOSE, "sequence"), 2),
    ("dosageInstruction[0].timing.event", (*DOSE, "timing", "event"), ["2026-11-22T08:00:00+08:00"]),
    ("dosageInstruction[0].timing.repeat", (*DOSE, "timing", "repeat"), {"frequency": 3}),
    ("dosageInstruction[0].site.coding", (*DOSE, "site"), {"text": "口腔", "coding": [{"code": "1"}]}),
    ("dosageInstruction[0].doseAndRate[0].rate", (*DOSE, "doseAndRate", 0, "rateQuantity"), {"value": 5, "unit": "mL/h"}),
    ("dosageInstruction[0].doseAndRate[0].type", (*DOSE, "doseAndRate", 0, "type"), {"text": "calculated"}),
    ("dosageInstruction[0].maxDosePerPeriod", (*DOSE, "maxDosePerPeriod"), {"numerator": {"value": 1}}),
    ("implicitRules", (*PATIENT, "implicitRules"), "urn:rules"), ("implicitRules", (*ITEM, "implicitRules"), "urn:rules"),
    ("meta.tag", (*PATIENT, "meta"), {"tag": [{"code": "HTEST"}]}),
    ("meta.security", (*ITEM, "meta"), {"security": [{"code": "HTEST"}]}),
    ("priorPrescription", (*ITEM, "priorPrescription"), {"display": "RX0"}), ("priority", (*ITEM, "priority"), "stat"),
    ("substitution.reason", (*ITEM, "substitution"), {"allowedBoolean": False, "reason": {"text": "x"}}),
    ("statusReason", (*ITEM, "statusReason"), {"text": "x"}), ("reasonCode", (*ITEM, "reasonCode"), [{"text": "x"}]),
    ("reported", (*ITEM, "reportedBoolean"), True), ("detectedIssue", (*ITEM, "detectedIssue"), [{"display": "x"}]),
    ("performer", (*ITEM, "performer"), {"reference": url(2)}), ("subject.display", (*ITEM, "subject", "display"), "别人"),
    ("note[0].authorString", (*ITEM, "note"), [{"text": "x", "authorString": "y"}]),
    ("medication.coding[1]", (*ITEM, "medicationCodeableConcept", "coding", 1), {"system": "urn:ypid", "code": "1"}),
    ("dosageInstruction[0].timing.code.coding[1]", (*DOSE, "timing", "code", "coding", 1), {"system": "urn:x", "code": "tid"}),
    ("contact", (*PATIENT, "contact"), [{"name": {"text": "x"}}]), ("link", (*PATIENT, "link"), [{"type": "replaced-by"}]),
    ("maritalStatus", (*PATIENT, "maritalStatus"), {"text": "x"}), ("multipleBirth", (*PATIENT, "multipleBirthInteger"), 2),
    ("generalPractitioner", (*PATIENT, "generalPractitioner"), [{"reference": url(2)}]),
    ("telecom[0]", (*PATIENT, "telecom", 0, "system"), "email"), ("address[0].line", (*PATIENT, "address", 0, "line"), ["x"]),
    ("identifier[1]", (*PATIENT, "identifier", 1), {"system": "urn:mrn", "value": "1"}),
    ("name[0].prefix", (*PATIENT, "name", 0, "prefix"), ["Dr"]), ("text", (*PATIENT, "text"), {
        "status": "additional", "div": "<div xmlns='http://www.w3.org/1999/xhtml'>x</div>"}),
    ("abatement", (*DIAGNOSIS, "abatementString"), "x"), ("severity", (*DIAGNOSIS, "severity"), {"text": "x"}),
    ("note", (*DIAGNOSIS, "note"), [{"text": "x"}]), ("subscriberId", (*COVER, "subscriberId"), "x"),
    ("qualification", (*DOCTOR, "qualification"), [{"code": {"text": "x"}}]), ("hospitalization", (*VISIT, "hospitalization"), {}),
    ("reasonCode", (*VISIT, "reasonCode"), [{"text": "x"}]),
])
def test_what_nobody_would_read_is_refused_at_its_own_place(place, where, value):
    found = said((where, value if value != {} else {"id": "x"}))
    assert ("ELEMENT_NOT_READ", place) in found
    assert {code for code, _ in found} <= {"ELEMENT_NOT_READ", "INVARIANT", "STRUCTURE_MISSING"}


@pytest.mark.parametrize(("where", "value"), [
    ((*PATIENT, "id"), "p1"), ((*PATIENT, "language"), "zh-CN"), ((*DOCTOR, "name", 0, "use"), "official"),
    ((*PATIENT, "meta"), {"lastUpdated": "2026-11-22T08:00:00+08:00", "versionId": "3", "source": "urn:his"}),
    ((*PATIENT, "text"), {"status": "generated", "div": "<div xmlns='http://www.w3.org/1999/xhtml'>x</div>"}),
    ((*PATIENT, "active"), True), ((*PATIENT, "deceasedBoolean"), False),
    ((*DIAGNOSIS, "verificationStatus"), {"coding": [
        {"system": "http://terminology.hl7.org/CodeSystem/condition-ver-status", "code": "confirmed", "display": "Confirmed"}]}),
])
def test_what_is_knowingly_left_out_is_taken(where, value):
    assert said((where, value)) == []


def test_why_something_is_left_out_is_said_of_nothing_about_patient_drug_dose_or_order():
    assert all(len(why) > 15 for why in LEFT_OUT.values())
    own = [path for path in LEFT_OUT if path.startswith(("Patient.", "MedicationRequest."))]
    assert own == ["Patient.text", "MedicationRequest.text"]
    assert left_out("Patient.meta.source")
    assert not left_out("Patient.birthDate")


def test_the_list_of_what_is_read_names_elements_that_are_there():
    assert set(closed._TREES) >= {entry["resource"]["resourceType"] for entry in long_term()["entry"]} | {"Bundle", "Task"}
    for entry in long_term()["entry"]:
        assert list(unread(entry["resource"])) == []
        assert list(unread(copy.deepcopy(entry["resource"]) | {"nickname": "x"})) == [("nickname",)]


def test_a_second_paper_of_one_message_is_none():
    twice = changed(long_term(), (("entry", 6, "resource", "insurance"), DELETE))
    assert check_bundle(raw(twice), HOSPITAL) == []

"""Every rule of the catalogue is broken once, at a known place."""

import csv
import json
from collections import Counter
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidPayload
from domain.findings import Finding
from fhir_profiles import codes
from fhir_profiles.catalogue import CATALOGUE, RULES
from fhir_profiles.checker import VERSIONS, check_bundle_data, check_data
from fhir_profiles.checks.persons import valid_resident_id
from fhir_profiles.definitions import GENERATED
from fhir_profiles.message import Report
from fhir_profiles.rules import Version
from tests.fhir_profiles.defects import (
    BYTES,
    CANCEL_DEFECTS,
    DEFECTS,
    DOSE,
    EXAMPLE_DEFECTS,
    HOME_DEFECTS,
    ITEM2,
    PIECES,
    REQUEST,
    E,
    O,
    P,
)
from tests.support.fhir_door import check_bundle, check_cancel, read_bundle, read_cancel
from tests.support.fhir_messages import (
    BASE,
    COVER,
    DIAGNOSIS,
    DOCTOR,
    HOSPITAL,
    ITEM,
    PATIENT,
    ROOT,
    Json,
    cancel,
    changed,
    child,
    home_delivery,
    long_term,
    raw,
    resident_id,
    url,
)

ABOUT_BYTES = {rule.code for rule in CATALOGUE if "FHIR-001" <= rule.id <= "FHIR-009" or "FHIR-014" <= rule.id <= "FHIR-019"
               or "FHIR-037" <= rule.id <= "FHIR-039"} | {"CODE_UNUSABLE", "CODE_UNMAPPED"}
"""See also the tests of positions, XML and patches; of codes, those of the mapping queue."""


def findings(source: Any) -> list[Finding]:
    return check_bundle(source if isinstance(source, bytes) else raw(source), HOSPITAL)


def published(example: str) -> Json:
    """A Bundle of fhir_profiles/generated."""
    return json.loads((GENERATED / f"Bundle-example-{example}.json").read_text(encoding="utf-8"))


def places(found: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.code, finding.path) for finding in found]


@pytest.mark.parametrize("build", [long_term, home_delivery, child])
def test_a_good_message_has_no_findings(build):
    assert findings(build()) == []
    assert check_bundle(raw(build())) == []


@pytest.mark.parametrize(("code", "path", "where", "value"), DEFECTS)
def test_a_broken_rule_is_found_at_its_place(code, path, where, value):
    assert (code, path) in places(findings(changed(long_term(), (where, value))))


@pytest.mark.parametrize(("code", "path", "where", "value"), HOME_DEFECTS)
def test_items_of_one_prescription_belong_together_and_home_needs_a_door(code, path, where, value):
    assert (code, path) in places(findings(changed(home_delivery(), (where, value))))


@pytest.mark.parametrize(("code", "path", "where", "value"), CANCEL_DEFECTS)
def test_a_broken_cancel_is_found_at_its_place(code, path, where, value):
    broken = raw(changed(cancel(), (where, value)))
    assert (code, path) in places(check_cancel(broken, HOSPITAL))
    with pytest.raises(InvalidPayload):
        read_cancel(broken, HOSPITAL)


@pytest.mark.parametrize(("code", "path", "message"), BYTES, ids=[f"{c}-{n}" for n, (c, _, _) in enumerate(BYTES)])
def test_bytes_that_are_no_message_are_named_for_what_they_are(code, path, message):
    assert (code, path) in places(findings(message))


@pytest.mark.parametrize(("code", "path", "example", "entry", "where", "value"), EXAMPLE_DEFECTS)
def test_what_came_with_1_1_is_checked_too(code, path, example, entry, where, value):
    broken = changed(published(example), (("entry", entry, "resource", *where), value))
    place = E.format(entry) + (f".{path}" if path else "")
    assert (code, place) in places(check_bundle(raw(broken), "demo"))


def test_a_version_that_is_over_is_refused_by_the_day_of_the_message():
    old = Version("0.9", date(2026, 1, 1), date(2026, 11, 21))
    for versions, codes_ in (((*VERSIONS, old), ["PROFILE_EXPIRED"]), (VERSIONS, ["PROFILE_VERSION"])):
        for message in (long_term(), cancel()):
            name = "cancel" if message["resourceType"] == "Task" else "prescription-bundle"
            report = Report()
            named = message | {"meta": {"profile": [f"{BASE}/StructureDefinition/{name}|0.9"]}}
            check_bundle_data(json.loads(raw(named), parse_float=Decimal), HOSPITAL, report, versions)
            assert places(report.findings) == [(code, f"{message['resourceType']}.meta.profile[0]") for code in codes_]


@pytest.mark.parametrize("version", ["", "|1.0", "|1.1", "|1.2"])
def test_a_message_may_name_a_version_or_none(version):
    named = long_term() | {"meta": {"profile": [f"{BASE}/StructureDefinition/prescription-bundle{version}"]}}
    assert findings(named) == []


def test_a_rule_is_silent_about_messages_from_before_its_first_day(monkeypatch):
    broken = changed(long_term(), ((*PATIENT, "gender"), "female"))
    monkeypatch.setitem(RULES, "GENDER_MISMATCH", replace(RULES["GENDER_MISMATCH"], valid_from=date(2026, 11, 23)))
    assert findings(broken) == []


def test_pieces_may_be_many_and_other_medicines_ten():
    def many(message: Json, first: int, count: int) -> Json:
        entries = message["entry"][:first + 1]
        for number in range(2, count + 1):
            one = changed(entries[first], (("resource", "identifier", 0, "value"), f"X-{number}"),
                          (("fullUrl",), url(100 + number)))
            entries.append(one)
        return message | {"entry": entries}

    pieces = many(published(PIECES), 6, 30)
    assert check_bundle(raw(pieces), "demo") == []
    assert [f.code for f in findings(many(long_term(), 6, 11))] == ["ITEM_COUNT"]


def test_quantities_are_computed_only_where_the_message_says_what_a_unit_holds():
    assert findings(changed(long_term(), ((*REQUEST, "quantity", "value"), 59))) == []


def test_every_rule_has_a_message_that_breaks_it():
    broken = {d[0] for d in (*DEFECTS, *HOME_DEFECTS, *CANCEL_DEFECTS, *EXAMPLE_DEFECTS, *BYTES)}
    # A conflict is between two messages: see test_answers. Of the general rules, these two are broken in test_structure:
    # every fixed value and range of a message answers for a rule of its own. The rest is about XML and sizes.
    elsewhere = {"MESSAGE_CONFLICT", "PROFILE_EXPIRED", "VALUE_FIXED", "VALUE_RANGE"} | {
        "NOT_CURRENT", "TEXT_DISAGREES", "UNIT_DISAGREES",  # see test_statements
        "READINGS_DISAGREE", "INSTITUTION_OF_ANOTHER"}  # below
    assert broken | elsewhere | ABOUT_BYTES == set(RULES)


@pytest.mark.parametrize(("code", "path", "where", "value"), [
    d for d in DEFECTS if not d[0].startswith(("FULL_URL", "RESOURCE_", "CONDITION_", "ITEM_COUNT"))])
def test_a_single_defect_is_said_once(code, path, where, value):
    found = Counter(places(findings(changed(long_term(), (where, value)))))
    assert found[code, path] == 1
    assert [p for c, p in found if c.startswith("STRUCTURE") and p == path and c != code] == []


def test_five_defects_are_five_findings_in_one_answer():
    broken = changed(
        long_term(),
        ((*PATIENT, "gender"), "female"),
        ((*DOCTOR, "identifier", 0, "value"), "D1"),
        ((*COVER, "type", "coding", 0, "code"), "1"),
        ((*REQUEST, "quantity", "value"), 0),
        ((*PATIENT, "nickname"), "x"),
    )
    with pytest.raises(InvalidPayload) as caught:
        read_bundle(raw(broken), HOSPITAL, lambda _: "pt_1")
    assert sorted(f.code for f in caught.value.findings) == [
        "GENDER_MISMATCH", "INSUTYPE", "PHYSICIAN_CODE", "QUANTITY", "STRUCTURE_UNKNOWN"]


def test_an_unknown_resource_does_not_hide_the_other_findings():
    broken = changed(long_term(), (("entry", 7), {"resource": {"resourceType": "Nonsense"}}),
                     ((*PATIENT, "nickname"), "x"), ((*DIAGNOSIS, "code"), 5))
    assert {"RESOURCE_UNKNOWN", "STRUCTURE_UNKNOWN", "DIAGNOSIS_CODE"} <= {f.code for f in findings(broken)}


def test_two_medicines_in_one_item_are_found_whatever_else_is_wrong_with_it():
    broken = changed(long_term(), ((*ITEM, "medicationReference"), {"reference": url(1)}),
                     ((*REQUEST, "quantity", "value"), 0))
    assert [f.code for f in findings(broken)] == ["STRUCTURE_CHOICE", "QUANTITY"]


def test_a_finding_about_an_item_carries_its_line():
    found = findings(changed(home_delivery(), ((*ITEM2, "dispenseRequest", "quantity", "value"), 0)))
    assert [(f.code, f.line) for f in found] == [("QUANTITY", 2)]


@pytest.mark.parametrize("address", [
    "urn:theirs", f"{BASE}/StructureDefinition/allergy-group".replace("https", "http"),
    f"{BASE}/StructureDefinition/allergy-group/",
    f"{BASE}/StructureDefinition/Allergy-Group", f"{BASE}/StructureDefinition/allergy-group".upper()])
def test_an_extension_nobody_knows_is_refused_and_an_address_that_is_nearly_ours_too(address):
    broken = changed(long_term(), ((*PATIENT, "extension"), [{"url": address, "valueCode": "AL01"}]))
    assert places(findings(broken)) == [("EXTENSION_UNKNOWN", f"{P}.extension[0]")]


def test_both_micro_signs_are_one_unit():
    for sign in "\u00b5\u03bc":
        source = changed(long_term(), ((*DOSE, "doseAndRate", 0, "doseQuantity", "unit"), f"{sign}g"))
        assert read_bundle(raw(source), HOSPITAL, lambda _: "p").prescription.items[0].dose_unit == "\u03bcg"


def test_the_clock_of_a_hospital_may_be_ten_minutes_wrong():
    start, end = "2026-11-22T09:10:00+08:00", "2026-11-23T09:10:00+08:00"
    source = changed(long_term(), ((*ITEM, "authoredOn"), start),
                     ((*REQUEST, "validityPeriod"), {"start": start, "end": end}))
    assert findings(source) == []


@given(st.dates(min_value=date(1900, 1, 1), max_value=date(2099, 12, 31)), st.integers(0, 999), st.integers(0, 17))
def test_one_wrong_digit_of_a_resident_id_is_always_noticed(born, order, place):
    good = resident_id(born.isoformat(), order)
    assert valid_resident_id(good)
    for other in "0123456789":
        if other != good[place]:
            assert not valid_resident_id(good[:place] + other + good[place + 1:])


@pytest.mark.parametrize(("value", "at", "codes"), [
    (7.4, "2026-11-22T07:00:00+08:00", ["READINGS_DISAGREE"]), (6.8, "2026-11-22T07:00:00+08:00", []),
    (7.4, "2026-11-21T23:00:00Z", ["READINGS_DISAGREE"]), (7.4, "2026-11-22T07:30:00+08:00", [])])
def test_two_readings_of_one_kind_and_time_say_the_same(value: float, at: str, codes: list[str]) -> None:
    given = [reading(number, value, at) for number, value, at in ((60, 6.8, "2026-11-22T07:00:00+08:00"), (61, value, at))]
    message = long_term() | {"entry": [*long_term()["entry"], *given]}
    assert [finding.code for finding in findings(message)] == codes


def reading(number: int, value: float, at: str) -> Json:
    """A blood sugar."""
    return {"fullUrl": url(number), "resource": {
        "resourceType": "Observation", "status": "final", "subject": {"reference": url(1)},
        "code": {"coding": [{"system": "http://loinc.org", "code": "15074-8"}]}, "effectiveDateTime": at,
        "valueQuantity": {"value": value, "unit": "mmol/L", "system": "http://unitsofmeasure.org", "code": "mmol/L"}}}


@pytest.mark.parametrize(("institutions", "codes"), [
    ((), []), (("H37010000001",), []), (("H37010000002", "H37010000001"), []), (("H37010000002",), ["INSTITUTION_OF_ANOTHER"])])
def test_an_institution_is_one_of_its_hospital(institutions: tuple[str, ...], codes: list[str]) -> None:
    told = check_data(json.loads(raw(long_term()), parse_float=Decimal), HOSPITAL, institutions)
    assert [(finding.code, finding.path) for finding in told] == [(code, f"{O}.identifier") for code in codes]


def test_rule_ids_and_codes_are_used_once():
    assert max(Counter(rule.id for rule in CATALOGUE).values()) == 1
    assert len(RULES) == len(CATALOGUE)
    assert [rule.id for rule in CATALOGUE] == sorted(rule.id for rule in CATALOGUE)


def test_every_rule_says_what_is_wrong_and_what_to_do_in_both_languages():
    for rule in CATALOGUE:
        assert all((rule.text, rule.text_en, rule.cure, rule.cure_en, rule.source, rule.issue)), rule.id


def test_frequencies_are_those_of_the_demo_knowledge_base():
    table = ROOT / "cities" / "demo_knowledge" / "frequency_codes.csv"
    with table.open(encoding="utf-8", newline="") as file:
        assert {row["code"] for row in csv.DictReader(file)} == codes.FREQUENCIES

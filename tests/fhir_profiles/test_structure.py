"""The engine enforces all that is published, refuses what it cannot, and its shortcuts mean what FHIRPath means."""

import copy
import json
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_profiles import answers, invariants, structure
from fhir_profiles.catalogue import RULES
from fhir_profiles.definitions import BASE, GENERATED, Definitions, definitions
from fhir_profiles.primitives import PRIMITIVES
from fhir_profiles.shapes import Profiles, profiles
from fhir_profiles.structure import literal_type
from tests.support.fhir_messages import changed, resident_id
from tests.support.fhir_mutants import valid_cases

VALID = valid_cases()
EXPRESSIONS = sorted({(c["key"], c["expression"]) for one in definitions().structures.values()
                      for e in one["snapshot"]["element"] for c in e.get("constraint", ()) if c["severity"] == "error"})


def tampered(profile, element, **says):
    """The definitions with something else said of one element."""
    url = f"{BASE}/StructureDefinition/{profile}"
    structure = copy.deepcopy(definitions().structures[url])
    next(e for e in structure["snapshot"]["element"] if e["id"] == element).update(says)
    return Definitions({**definitions().structures, url: structure}, definitions().value_sets)


def faults(profile, resource, **other):
    return [(fault.code, fault.path) for fault in structure.faults(profile, resource, **other)]


def example(profile):
    return copy.deepcopy(next(case.resource for case in VALID if case.profile == profile))


def test_every_definition_compiles():
    for profile in profiles().ids():
        assert profiles().shape(profile).members


@pytest.mark.parametrize("case", VALID, ids=lambda case: case.profile)
def test_every_published_example_keeps_its_profile(case):
    assert faults(case.profile, case.resource) == []


def test_every_profile_has_an_example():
    given_ = {case.profile for case in VALID} | {"prescription-bundle", "medication-request", "report"}
    profiles_ = {url.rpartition("/")[2] for url, one in definitions().structures.items()
                 if url.startswith(BASE) and one["type"] != "Extension"}
    assert profiles_ == given_


@pytest.mark.parametrize(("says", "reason"), [
    ({"maxValueQuantity": {"value": 1}, "orderMeaning": "as told"}, "orderMeaning"),
    ({"binding": {"strength": "required", "valueSet": "https://elsewhere.example/ValueSet/x"}}, "elsewhere"),
    ({"constraint": [{"key": "FHIR-070", "severity": "error", "human": "x", "expression": "resolve().exists()"}]},
     "resolve"),
    ({"constraint": [{"key": "FHIR-070", "severity": "error", "human": "x", "expression": "%resource.id.exists()"}]},
     "%resource"),
    ({"type": [{"code": "Quantity", "profile": ["urn:a", "urn:b"]}]}, "choice of profiles"),
    ({"type": [{"code": "Reference", "aggregation": ["bundled"]}]}, "aggregation"),
    ({"type": []}, "types"),
    ({"maxLength": 20}, "maxLength"),
    ({"minValueDate": "2026-01-01"}, "minValueDate"),
    ({"slicing": {"discriminator": [{"type": "exists", "path": "value"}], "rules": "open"}}, "tell slices apart"),
    ({"mapping": [{"identity": "finding", "map": "FHIR-999"}]}, "FHIR-999"),
])
def test_what_cannot_be_enforced_is_refused_when_it_is_loaded(says, reason):
    element = "MedicationRequest.category" if "slicing" in says else "MedicationRequest.status"
    with pytest.raises(ValueError, match=reason) as refused:
        Profiles(tampered("medication-request", element, **says)).shape("medication-request")
    if "mapping" not in says:
        assert element in str(refused.value)


def test_an_extension_stands_only_where_its_definition_says():
    structure = copy.deepcopy(definitions().structures[f"{BASE}/StructureDefinition/handover"])
    structure["context"] = [{"type": "element", "expression": "Patient"}]
    moved = Definitions({**definitions().structures, structure["url"]: structure}, definitions().value_sets)
    with pytest.raises(ValueError, match="may stand in"):
        Profiles(moved).shape("medication-request")


def test_a_range_and_a_fixed_value_without_a_rule_of_their_own_are_said_in_general():
    claim = changed(example("claim"), (("total", "currency"), "USD"))
    assert faults("claim", claim) == [("VALUE_FIXED", "Claim.total.currency")]
    narrow = Profiles(tampered("claim", "Claim.total.value", maxValueDecimal=1))
    assert [(f.code, f.path) for f in structure.faults("claim", example("claim"), among=narrow)] == [
        ("VALUE_RANGE", "Claim.total.value")]


def test_a_fixed_value_is_the_whole_value_and_a_pattern_a_part_of_it():
    coding = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "VR", "display": "x"}
    visit = example("encounter") | {"class": coding}
    for key, expected in (("fixedCoding", ["VISIT_CLASS"]), ("patternCoding", [])):
        said = {n: v for n, v in coding.items() if n != "display"}
        engine = Profiles(tampered("encounter", "Encounter.class", **{key: said}))
        assert [f.code for f in structure.faults("encounter", visit, among=engine)] == expected


def test_a_reference_by_type_is_judged_without_its_message():
    item = example("western-medicine")
    assert literal_type("Patient/1") == "Patient"
    assert literal_type("urn:uuid:00000000-0000-4000-8000-000000000001") == ""
    for reference, expected in (("Patient/1", []), ("Group/1", [("REFERENCE_TYPE", "MedicationRequest.subject")])):
        assert faults("western-medicine", changed(item, (("subject", "reference"), reference))) == expected
    assert faults("western-medicine", item, resolve=lambda _: None)[0][0] == "REFERENCE_BROKEN"


def test_an_extension_beside_a_primitive_is_looked_into():
    person = example("patient")
    beside = {"extension": [{"url": "urn:theirs", "valueString": "x"}]}
    assert faults("patient", person | {"_birthDate": {"id": "x"}}) == []
    assert faults("patient", person | {"_birthDate": beside}) == [("EXTENSION_UNKNOWN", "Patient.birthDate.extension[0]")]
    assert faults("patient", person | {"_birthDate": {"colour": "red"}}) == [
        ("STRUCTURE_UNKNOWN", "Patient._birthDate.colour".replace("_", ""))]
    names = [{"text": "x", "given": ["a", None], "_given": [None, beside]}]
    assert faults("patient", person | {"name": names}) == [("EXTENSION_UNKNOWN", "Patient.name[0].given[1].extension[0]")]
    assert faults("patient", person | {"_name": [beside]}) == [("STRUCTURE_UNKNOWN", "Patient.name")]


def test_what_is_malformed_in_a_list_is_pointed_at():
    person = example("patient")
    assert faults("patient", person | {"name": [{"text": "x", "given": ["a", 5]}]}) == [
        ("STRUCTURE_VALUE", "Patient.name[0].given[1]")]
    # A rule about the whole list is said of the list.
    assert faults("patient", person | {"name": [{"text": "x"}, 5]}) == [("PATIENT_NAME", "Patient.name")]


def test_what_we_answer_keeps_the_profiles_we_publish():
    finding = RULES["ID_NUMBER"].finding("Bundle.entry[0].resource.identifier")
    said = [("findings", answers.operation_outcome([finding])), ("findings", answers.operation_outcome([])),
            ("findings", answers.conflict(["Bundle.timestamp"])),
            ("status", answers.accepted("rx_1", "RX0001", "demo", "received")),
            ("status", answers.status_task("rx_1", "RX0001", "demo", "in_review")),
            ("status", answers.cancel_answer("", "RX0001", "demo", "too-late"))]
    for profile, answer in said:
        assert faults(profile, json.loads(answer)) == []


@pytest.mark.parametrize(("kind", "good", "bad"), [
    ("boolean", [True, False], [1, "true", None]),
    ("integer", [0, -1], [True, "1", Decimal("1.5"), 1 << 31]),
    ("positiveInt", [1], [0, -1, True]),
    ("unsignedInt", [0], [-1]),
    ("decimal", [1, Decimal("1.50")], [True, "1.5", None]),
    ("string", ["x", " "], ["", 1, None]),
    ("code", ["a b", "a"], ["", " a", "a ", "a  b", 1]),
    ("id", ["a-1.B"], ["", "a_1", "x" * 65]),
    ("uri", ["urn:x"], ["", "a b"]),
    ("date", ["2026", "2026-02", "2024-02-29"], ["2026-02-30", "2026-13", "26-01-01", "2026-1-1", "2026-01-01\n", 2026]),
    ("dateTime", ["2026-02", "2026-02-28T08:00:00+08:00", "2016-12-31T23:59:60Z"],
     ["2026-02-28T08:00:00", "2026-02-28T08:00", "2026-02-30T08:00:00Z", "2026-02-28T24:00:00Z"]),
    ("instant", ["2026-02-28T08:00:00.123Z"], ["2026-02-28", "2026-02-28T08:00:00"]),
    ("time", ["08:00:00"], ["8:00", "24:00:00"]),
    ("base64Binary", ["QUJD", "QUI="], ["QUJ", "****", ""]),
    ("xhtml", ['<div xmlns="http://www.w3.org/1999/xhtml">x</div>'], ["x", "<p>x</p>", ""]),
])
def test_primitives_are_what_fhir_says(kind, good, bad):
    assert [value for value in good if not PRIMITIVES[kind](value)] == []
    assert [value for value in bad if PRIMITIVES[kind](value)] == []


# The twins.

def test_every_shortcut_is_the_twin_of_a_published_expression():
    published = {expression for _, expression in EXPRESSIONS}
    assert set(invariants.TWINS) <= published
    assert set(invariants.SKIPPED) <= {key for key, _ in EXPRESSIONS} | {"ele-1", "dom-r4b"}


RESOURCES = [case.resource for case in VALID]
BUNDLE = json.loads((GENERATED / "Bundle-example-pieces.json").read_text(encoding="utf-8"), parse_float=Decimal)
BUNDLES = st.sampled_from([BUNDLE, *BUNDLE["entry"], BUNDLE | {"total": 3}, BUNDLE | {"type": "searchset", "total": 3},
                           BUNDLE | {"type": "batch", "entry": [{"request": {"method": "GET", "url": "x"}}]},
                           BUNDLE | {"type": "document"}, {"fullUrl": "x/_history/1"}])
NODES = st.sampled_from([node for resource in RESOURCES for node in [resource, *(
    item for value in resource.values() for item in (value if isinstance(value, list) else [value])
    if isinstance(item, dict))]])
SCALARS = st.one_of(
    st.sampled_from(["", "x", " ", "E11.900", "D370100000001", "2026-11-22", "2026-11-22T08:58:00+08:00", "370102",
                     "urn:demo:item", "urn:demo:message", "..", "遵医嘱", "10X", "M01600", "AL01", "x\n", "\n",
                     "urn:uuid:00000000-0000-4000-8000-000000000001", "As Directed"]),
    st.text(max_size=12), st.integers(-1, 400), st.decimals(-1, 400, places=1))
# What these ask needs something around the value, or a function fhirpathpy does not have.
ALONE = [(key, expression) for key, expression in EXPRESSIONS
         if invariants.twin(expression) and "%" not in expression and "hasValue" not in expression]

OF_A_CHOICE = {"FHIR-046", "FHIR-135", "con-4", "ext-1"}
"""fhirpathpy finds `value[x]` in what has a resourceType only."""


@pytest.mark.parametrize(("key", "expression"), ALONE, ids=[key for key, _ in ALONE])
@given(value=st.one_of(NODES, SCALARS, BUNDLES), drop=st.integers(0, 5))
def test_a_shortcut_says_what_fhirpath_says(key, expression, value, drop):
    about_bundles = key.startswith("bdl") and isinstance(value, dict)
    if about_bundles and value.get("resourceType", "Bundle") != "Bundle":
        return
    if key in OF_A_CHOICE and isinstance(value, dict) and "resourceType" not in value:
        return
    about_scalars = "$this" in expression or ("matches(" in expression and "where" not in expression)
    if about_scalars == isinstance(value, dict):
        return
    if isinstance(value, dict) and not about_bundles and drop < len(value):
        value = {name: one for index, (name, one) in enumerate(value.items()) if index != drop}
    elif isinstance(value, str) == ("$this >" in expression) or value == "":
        return
    short = invariants.Invariant(key, expression, invariants.twin(expression))
    whole = invariants.Invariant(key, expression, invariants.by_fhirpath(expression))
    # FHIRPath's `$` lets a line feed pass at the end, and a Python regex its own blanks; we let neither.
    if isinstance(value, str) and (value.endswith("\n") or not value.isascii()) and not short.holds(value):
        return
    assert short.holds(value) == whole.holds(value)


@pytest.mark.parametrize(("extension", "holds"), [
    ({"url": "urn:x", "valueCode": "y"}, True), ({"url": "urn:x", "extension": [{}]}, True), ({"url": "urn:x"}, False),
    ({"url": "urn:x", "valueCode": "y", "extension": [{}]}, False)])
def test_an_extension_has_a_value_or_parts(extension, holds):
    assert invariants.TWINS["extension.exists() != value.exists()"](extension) == holds


@settings(max_examples=settings().max_examples // 4)  # the engine of FHIRPath takes its time
@given(st.dates(min_value=date(1900, 1, 1), max_value=date(2099, 12, 31)),
       st.integers(0, 999), st.integers(0, 17), st.sampled_from("0123456789X"))
def test_the_check_character_is_published_as_fhirpath_too(born, order, place, other):
    expression = next(expression for key, expression in EXPRESSIONS if key == "FHIR-040")
    good = resident_id(born.isoformat(), order)
    spoilt = good[:place] + other + good[place + 1:]
    published = invariants.Invariant("FHIR-040", expression, invariants.by_fhirpath(expression))
    assert published.holds(good)
    assert published.holds(spoilt) == invariants.resident_id(spoilt) == (spoilt == good)

"""What a hospital hears is valid FHIR, says everything, and repeats nothing about a person."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from fhir.resources.R4B import get_fhir_model_class
from fhir.resources.R4B.operationoutcome import OperationOutcome
from fhir.resources.R4B.task import Task
from pydantic import ValidationError

from domain.findings import Finding, Severity, Spot
from fhir_profiles import answers
from fhir_profiles.catalogue import CATALOGUE, RULES
from fhir_profiles.patches.cures import Change
from tests.support.fhir_door import check_bundle
from tests.support.fhir_messages import (
    DELETE,
    DOCTOR,
    HOSPITAL,
    ID_NUMBER,
    ITEM,
    NAME,
    PATIENT,
    cancel,
    changed,
    long_term,
    raw,
)


def outcome(answer: bytes) -> dict:
    data = json.loads(answer)
    assert OperationOutcome.model_validate(data).model_dump() == data
    return data


def task(answer: bytes) -> dict:
    data = json.loads(answer)
    assert Task.model_validate(data).model_dump() == data
    return data


def test_every_finding_is_an_issue_with_path_text_and_cure():
    broken = changed(long_term(), ((*PATIENT, "gender"), "female"), ((*DOCTOR, "identifier", 0, "value"), "D1"))
    found = check_bundle(raw(broken), HOSPITAL)
    issues = outcome(answers.operation_outcome(found))["issue"]
    assert [i["details"]["coding"][0]["code"] for i in issues] == ["GENDER_MISMATCH", "PHYSICIAN_CODE"]
    assert issues[0]["expression"] == ["Bundle.entry[0].resource.gender"]
    assert issues[0]["severity"] == "error"
    assert issues[0]["diagnostics"].startswith("FHIR-044: The gender")
    assert issues[0]["details"]["coding"][0]["system"] == "https://sanyi.example/fhir/CodeSystem/finding"


def test_an_issue_says_where_by_which_rule_who_acts_and_what_to_do():
    (found,) = check_bundle(raw(changed(long_term(), ((*PATIENT, "gender"), "female"))), HOSPITAL)
    found = replace(found, spot=Spot("", 27, 5, 811))
    issue = outcome(answers.operation_outcome([found]))["issue"][0]
    assert issue["location"] == ["line 27, column 5"]
    said = {e["url"].rpartition("/")[2]: e for e in issue["extension"]}
    assert said["operationoutcome-issue-line"]["valueInteger"] == 27
    assert said["operationoutcome-issue-col"]["valueInteger"] == 5
    assert said["offset"]["valueInteger"] == 811
    detail = {e["url"]: e.get("valueCode") or e["valueString"] for e in said["finding"]["extension"]}
    assert detail == {"rule": "FHIR-044", "source": "GB 11643", "actor": "registration", "cure": "核对两者",
                      "cure-en": "Check both."}


def test_every_rule_says_who_must_act():
    assert {rule.actor for rule in CATALOGUE} <= {"interface", "prescriber", "registration", "platform"}
    assert all(rule.finding("Bundle").actor == rule.actor for rule in CATALOGUE)


def test_an_outcome_says_where_a_patched_file_is_and_what_was_changed_in_it():
    answer = answers.operation_outcome([RULES["BUNDLE_TYPE"].finding("Bundle.type")], "requests/M0001/patched",
                                       [Change("Bundle.type", "改", "changed")])
    (offer,) = outcome(answer)["extension"]
    assert offer == {"url": "https://sanyi.example/fhir/StructureDefinition/patched-message", "extension": [
        {"url": "address", "valueUri": "requests/M0001/patched"},
        {"url": "change", "valueString": "Bundle.type: 改 / changed"}]}


def test_findings_of_the_audit_can_be_said_the_same_way():
    audit = Finding("QTY_EXTENDED", Severity.INFO, "A-03", "item[1].days_supply", "延长", "Extended.")
    assert outcome(answers.operation_outcome([audit]))["issue"][0]["severity"] == "information"


def test_an_outcome_without_findings_is_still_an_outcome():
    assert outcome(answers.operation_outcome([]))["issue"][0]["code"] == "informational"


def test_an_accepted_prescription_is_a_task_with_our_id_and_its_status():
    data = task(answers.accepted("rx_1", "RX0001", HOSPITAL, "received"))
    assert data["identifier"] == [{"system": "https://sanyi.example/fhir/sid/prescription", "value": "rx_1"}]
    assert data["businessStatus"]["coding"][0]["code"] == "received"
    assert data["focus"]["identifier"] == {"system": "urn:jinan_first:prescription", "value": "RX0001"}


@pytest.mark.parametrize(("status", "word"), [
    ("received", "accepted"), ("in_review", "in-progress"), ("settled", "completed"), ("expired", "failed"),
    ("returned", "rejected"), ("cancelled", "cancelled")])
def test_a_status_is_said_in_both_languages(status, word):
    data = task(answers.status_task("rx_1", "RX0001", HOSPITAL, status))
    assert (data["status"], data["businessStatus"]["coding"][0]["code"]) == (word, status)


@pytest.mark.parametrize("word", ["cancelled", "cancelling", "too-late"])
def test_a_cancel_is_answered_even_before_its_prescription(word):
    assert task(answers.cancel_answer("", "RX0001", HOSPITAL, word))["businessStatus"]["coding"][0]["code"] == word


def test_the_same_facts_are_the_same_bytes():
    assert answers.accepted("rx_1", "R", "h", "received") == answers.accepted("rx_1", "R", "h", "received")


@pytest.mark.parametrize(("change", "paths"), [
    (((*ITEM, "dispenseRequest", "quantity", "value"), 61),
     ["Bundle.entry[6].resource.dispenseRequest.quantity.value"]),
    (((*PATIENT, "name", 0, "text"), "示范患者戊"), ["Bundle.entry[0].resource.name[0].text"]),
    (((*PATIENT, "telecom"), DELETE), ["Bundle.entry[0].resource.telecom"]),
    (((*PATIENT, "active"), True), ["Bundle.entry[0].resource.active"]),
    ((("entry", 6), DELETE), ["Bundle.entry[6]"]),
    (((*PATIENT, NAME), ID_NUMBER), ["Bundle.entry[0].resource"]),
])
def test_a_conflict_names_where_two_messages_differ_and_never_how(change, paths):
    assert answers.differences(long_term(), changed(long_term(), change)) == paths
    data = outcome(answers.conflict(paths))
    assert data["issue"][0]["details"]["coding"][0]["code"] == "MESSAGE_CONFLICT"
    assert data["issue"][0]["expression"] == paths


def test_messages_that_differ_in_their_writing_only_differ_as_a_whole():
    assert answers.differences(long_term(), long_term()) == ["Bundle"]
    assert answers.differences(cancel(), changed(cancel(), (("intent",), "plan"))) == ["Task.intent"]


def test_a_conflict_does_not_list_without_end():
    new = long_term() | {f"x{chr(97 + a)}{chr(97 + b)}": 1 for a in range(26) for b in range(26)}
    assert len(answers.differences(long_term(), new)) == 200


EXAMPLES = sorted((Path(answers.__file__).parent / "generated").glob("*example*.json"))


@pytest.mark.parametrize("file", EXAMPLES, ids=[one.stem for one in EXAMPLES])
def test_every_example_we_publish_is_fhir(file):
    given = json.loads(file.read_text(encoding="utf-8"))
    get_fhir_model_class(given["resourceType"]).model_validate(given)


def test_every_kind_of_resource_we_publish_has_an_example():
    assert {one.name.partition("-")[0] for one in EXAMPLES} >= {
        "Bundle", "Task", "OperationOutcome", "MedicationDispense", "Claim", "ClaimResponse"}


@pytest.mark.parametrize("path", ["Bundle.entry[0].用\u3000量", "Bundle.a\u00a0b", "Bundle.x\x0cy", "Bundle.\u2028"])
def test_a_place_with_blanks_that_fhir_does_not_know_is_answered_all_the_same(path):
    found = replace(RULES["BUNDLE_TYPE"].finding(path), spot=Spot(name=path))
    assert outcome(answers.operation_outcome([found]))["issue"][0]["expression"] == [
        re.sub(r"[\u3000\u00a0\x0c\u2028]", " ", path)]


def test_what_is_no_fhir_is_never_sent():
    with pytest.raises(ValidationError):
        answers.status_task("", "", "", "received")
    with pytest.raises(ValueError, match="odd"):
        answers.status_task("rx_1", "RX0001", HOSPITAL, "odd")

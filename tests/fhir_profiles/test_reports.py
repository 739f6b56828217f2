"""What a hospital that speaks FHIR is told keeps the profile we publish, says everything, and names nobody."""

import json
from decimal import Decimal

import pytest
from fhir.resources.R4B.bundle import Bundle
from pydantic import ValidationError

from domain.lifecycle import Status
from fhir_profiles import reports
from fhir_profiles.definitions import GENERATED
from fhir_profiles.structure import faults

LINE = {"line": 1, "item": "RX0001-1", "drug": "D001", "name": "盐酸二甲双胍片", "quantity": "60", "unit": "片", "days": 30,
        "returned": False}
DISPENSE = {"order": "ord_lg5kyrtcilt4pl3h_1", "chain": "ankang", "store": "AK01", "handover": "pickup",
            "at": "2026-11-22T11:20:00+08:00", "lines": [LINE]}
HANDED_OVER = {"key": "rx_lg5kyrtcilt4pl3h:fulfilled", "prescription": "RX0001", "id": "rx_lg5kyrtcilt4pl3h",
               "status": "fulfilled", "at": "2026-11-22T11:20:03+08:00", "reason": "handed_over",
               "words": "患者已拿到药", "words_en": "the patient has the medicine", "dispense": DISPENSE}
SETTLED = {"key": "rx_lg5kyrtcilt4pl3h:settled:1", "prescription": "RX0001", "id": "rx_lg5kyrtcilt4pl3h", "status": "settled",
           "at": "2026-11-22T11:21:05+08:00", "reason": "settled",
           "words": "医保已结算", "words_en": "the fund has settled",
           "money": {"total": "46.50", "fund": "39.53", "account": "6.97", "cash": "0.00"},
           "settlement": {"payer": "jinan_centre",
                          "settled": {"id": "S3701000001", "reference": "H37010000001202611221121050001"}}}


def told(given: dict) -> dict:
    raw = reports.report("demo", given)
    report = json.loads(raw, parse_float=Decimal)
    assert faults("report", report) == []
    for entry in report["entry"]:
        profile = {"Task": "status", "MedicationDispense": "dispense", "ClaimResponse": "settlement",
                   "OperationOutcome": "findings"}[entry["resource"]["resourceType"]]
        assert faults(profile, entry["resource"]) == []
    dumped = Bundle.model_validate_json(raw).model_dump_json()
    assert json.loads(dumped.replace("Z\"", "+00:00\"")) == json.loads(raw)
    return report


def parts(given: dict, kind: str) -> list[dict]:
    return [entry["resource"] for entry in told(given)["entry"] if entry["resource"]["resourceType"] == kind]


def amounts(response: dict) -> dict[str, Decimal]:
    assert {part["amount"]["currency"] for part in response["total"]} == {"CNY"}
    return {part["category"]["coding"][0]["code"]: part["amount"]["value"] for part in response["total"]}


def bare(value: object) -> object:
    """Without what only a published example has."""
    if isinstance(value, dict):
        return {name: bare(inner) for name, inner in value.items() if name not in ("id", "meta", "fullUrl")}
    return [bare(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("given", "example"), [(HANDED_OVER, "fulfilled"), (SETTLED, "settled")])
def test_a_report_is_the_example_we_publish(given: dict, example: str) -> None:
    published = json.loads((GENERATED / f"Bundle-example-report-{example}.json").read_text(encoding="utf-8"))
    assert bare(json.loads(reports.report("demo", given))) == bare(published)
    assert faults("report", published) == []
    names = {"fulfilled": "MedicationDispense-example-dispense", "settled": "ClaimResponse-example-settlement"}
    alone = json.loads((GENERATED / f"{names[example]}.json").read_text(encoding="utf-8"))
    assert bare(published["entry"][1]["resource"]) == bare(alone)


def test_each_line_that_was_handed_over_says_who_what_how_much_when_and_how() -> None:
    second = LINE | {"line": 2, "item": "RX0001-2", "drug": "D910", "name": "示范饮片", "quantity": "62.5", "unit": "g"}
    lines = parts(HANDED_OVER | {"dispense": DISPENSE | {"lines": [LINE, second], "handover": "home"}}, "MedicationDispense")
    assert [one["quantity"] for one in lines] == [{"value": 60, "unit": "片"}, {"value": Decimal("62.5"), "unit": "g"}]
    assert [one["authorizingPrescription"][0]["identifier"]["value"] for one in lines] == ["RX0001-1", "RX0001-2"]
    assert {one["performer"][0]["actor"]["identifier"]["value"] for one in lines} == {"ankang"}
    assert {one["location"]["identifier"]["value"] for one in lines} == {"ankang/AK01"}
    assert {one["extension"][0]["valueCode"] for one in lines} == {"home"}
    assert {(one["status"], one["whenHandedOver"]) for one in lines} == {("completed", "2026-11-22T11:20:00+08:00")}


def test_what_came_back_is_told_again_as_stopped() -> None:
    back = SETTLED | {"dispense": DISPENSE | {"lines": [LINE | {"returned": True}]}}
    assert [one["status"] for one in parts(back, "MedicationDispense")] == ["stopped"]


def test_a_line_stored_before_numbers_were_kept_names_its_prescription() -> None:
    old = HANDED_OVER | {"dispense": DISPENSE | {"lines": [LINE | {"item": ""}]}}
    report = json.loads(reports.report("demo", old))
    assert report["entry"][1]["resource"]["authorizingPrescription"][0]["identifier"] == {
        "system": "urn:demo:prescription", "value": "RX0001"}


def test_the_fund_is_told_to_the_fen() -> None:
    money = {"total": "1234567.01", "fund": "1234566.90", "account": "0.10", "cash": "0.01"}
    (response,) = parts(SETTLED | {"money": money}, "ClaimResponse")
    assert {name: str(value) for name, value in amounts(response).items()} == money
    assert (response["status"], response["insurer"]["identifier"]["value"]) == ("active", "jinan_centre")
    assert b'"value":0.10' in reports.report("demo", SETTLED | {"money": money})


def test_a_settlement_that_takes_the_place_of_another_cancels_it() -> None:
    settlement = SETTLED["settlement"] | {"reverses": {"id": "S0", "reference": "H0"}}
    old, new = parts(SETTLED | {"settlement": settlement}, "ClaimResponse")
    assert [(one["identifier"][0]["value"], one["status"]) for one in (old, new)] == [
        ("S0", "cancelled"), ("S3701000001", "active")]
    assert set(amounts(old).values()) == {0}
    assert amounts(new)["total"] == Decimal("46.50")


def test_after_a_whole_return_only_the_cancelled_settlement_is_told() -> None:
    nothing = dict.fromkeys(("total", "fund", "account", "cash"), "0.00")
    (response,) = parts(SETTLED | {"money": nothing, "settlement": {
        "payer": "jinan_centre", "reverses": {"id": "S0", "reference": "H0"}}}, "ClaimResponse")
    assert (response["status"], set(amounts(response).values())) == ("cancelled", {0})


@pytest.mark.parametrize("status", [*Status, "cancel_refused", "invalid"])
def test_every_status_is_told_as_a_task(status: str) -> None:
    (task,) = parts({"key": "k", "prescription": "RX0001", "id": "rx_1", "status": str(status),
                     "at": "2026-11-22T01:00:00.123456+00:00", "reason": ""}, "Task")
    late = status == "cancel_refused"
    assert task["businessStatus"]["coding"][0]["code"] == ("too-late" if late else status)
    assert task["code"]["coding"][0]["code"] == ("cancel" if late else "fulfil")
    assert task["lastModified"] == "2026-11-22T01:00:00.123456+00:00"


def test_reasons_words_and_findings_are_told() -> None:
    given = {"key": "k", "prescription": "RX0001", "id": "rx_1", "status": "refused", "at": "2026-11-22T01:00:00+00:00",
             "reason": "2-5, 2-6", "words": "请核对剂量", "words_en": "Check the dose.", "findings": [
                 {"code": "DOSE_HIGH", "severity": "BLOCK", "rule": "A-22", "text": "超量", "text_en": "Too much.", "cure": "减量",
                  "path": "item[2].dose", "line": 2},
                 {"code": "WORDS", "severity": "BLOCK", "text": "请核对剂量", "line": None}]}
    (task,) = parts(given, "Task")
    assert [coding["code"] for coding in task["statusReason"]["coding"]] == ["2-5", "2-6"]
    assert [note["text"] for note in task["note"]] == ["请核对剂量", "Check the dose."]
    first, second = parts(given, "OperationOutcome")[0]["issue"]
    assert first["expression"] == ["Bundle.entry.resource.ofType(MedicationRequest)[1]"]
    assert (first["diagnostics"], first["details"]["text"]) == ("A-22: Too much.", "超量；减量")
    assert "expression" not in second
    assert (second["details"]["coding"][0]["code"], second["details"]["text"]) == ("WORDS", "请核对剂量")


def test_a_message_that_waited_for_a_code_is_named_with_its_places() -> None:
    given = {"key": "message:1:invalid", "message": "M0001", "prescription": "RX0001", "id": "", "status": "invalid",
             "at": "2026-11-22T01:00:00+00:00", "reason": "DOSE", "findings": [
                 {"code": "DOSE", "severity": "BLOCK", "rule": "FHIR-070", "text": "文", "path": "Bundle.entry[6]",
                  "spot": "line 3, column 4", "line": None}]}
    (task,) = parts(given, "Task")
    assert task["basedOn"] == [{"identifier": {"system": "urn:demo:message", "value": "M0001"}}]
    assert "identifier" not in task
    (issue,) = parts(given, "OperationOutcome")[0]["issue"]
    assert (issue["expression"], issue["location"]) == (["Bundle.entry[6]"], ["line 3, column 4"])


def test_the_pickup_code_goes_with_the_task() -> None:
    pickup = {"order": "ord_1", "chain": "ankang", "store": "AK01", "code": "7K3QX9MWTA"}
    (task,) = parts({"key": "k", "prescription": "RX0001", "id": "rx_1", "status": "fulfilling", "reason": "",
                     "at": "2026-11-22T01:00:00+00:00", "pickup": pickup}, "Task")
    assert {part["url"]: part["valueString"] for part in task["extension"][0]["extension"]} == pickup


def test_the_same_report_is_the_same_bytes_and_another_has_other_addresses() -> None:
    assert reports.report("demo", HANDED_OVER) == reports.report("demo", HANDED_OVER)
    urls = [entry["fullUrl"] for given in (HANDED_OVER, SETTLED) for entry in told(given)["entry"]]
    assert len(set(urls)) == len(urls)


def test_a_report_that_would_be_no_fhir_is_not_made() -> None:
    with pytest.raises(ValidationError):
        reports.report("demo", HANDED_OVER | {"at": "gestern"})

"""What a hospital hears from us, as canonical JSON bytes: the same facts always give the same bytes.

Every resource becomes a model of fhir.resources (R4B), which refuses what is no FHIR, before it is written. That costs some
0.3 ms for a Task, 0.5 ms for an issue of an OperationOutcome and 3 ms for a report.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.operationoutcome import OperationOutcome
from fhir.resources.R4B.task import Task

from domain.findings import Finding, Severity, Spot
from domain.lifecycle import Notice, Reported, Status, reported
from fhir_profiles import codes
from fhir_profiles.catalogue import RULES
from fhir_profiles.message import Json, exact_json, fhirpath
from fhir_profiles.patches.cures import Change

MAX_PATHS = 200

_ISSUE = "http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-"

_SEVERITY = {
    Severity.BLOCK: "error", Severity.SELFPAY: "warning", Severity.WARN: "warning", Severity.INFO: "information",
}
TASK_STATUS: Mapping[Reported, str] = {
    Status.RECEIVED: "accepted",
    Status.AUDITED: "in-progress",
    Status.IN_REVIEW: "in-progress",
    Status.REVIEWED: "in-progress",
    Status.ALLOCATING: "in-progress",
    Status.FULFILLING: "in-progress",
    Status.FULFILLED: "completed",
    Status.SETTLED: "completed",
    Status.CLOSED: "completed",
    Status.REFUSED: "rejected",
    Status.RETURNED: "rejected",
    Status.CANCELLED: "cancelled",
    Status.EXPIRED: "failed",
    Notice.INVALID: "rejected",
    Notice.CANCELLING: "in-progress",
    Notice.TOO_LATE: "in-progress",
    Notice.CANCEL_REFUSED: "in-progress",
}
"""Where a prescription is -> `status` of the Task about it."""
CANCEL_STATUS: Mapping[Reported, str] = {
    Status.CANCELLED: "completed", Notice.CANCELLING: "in-progress", Notice.TOO_LATE: "rejected",
}
"""What a cancel is answered with -> `status` of the Task about the cancel."""


def operation_outcome(findings: Sequence[Finding], patched: str = "", changes: Sequence[Change] = ()) -> bytes:
    """Every finding as one issue of an OperationOutcome (contracts.md 1).

    `patched` is the address, below the hospital's own, of a file in which every finding is put right.
    `changes` lists what was changed in that file.
    """
    outcome: Json = {"resourceType": "OperationOutcome", "issue": [issue(f, [f.path]) for f in findings] or [
        {"severity": "information", "code": "informational"}]}
    if patched:
        outcome["extension"] = [{"url": codes.extension("patched-message"), "extension": [
            {"url": "address", "valueUri": patched},
            *({"url": "change", "valueString": f"{change.path}: {change.text} / {change.text_en}"} for change in changes)]}]
    return canonical(outcome)


def accepted(prescription_id: str, external_id: str, hospital: str, status: str) -> bytes:
    """The answer to a prescription we took: a Task with our id, their number and where it is."""
    return status_task(prescription_id, external_id, hospital, status)


def status_task(prescription_id: str, external_id: str, hospital: str, status: str) -> bytes:
    """Where a prescription is, as a Task. `status` is one of `domain.lifecycle.REPORTED`; raises ValueError for another."""
    return canonical(task(prescription_id, external_id, hospital, status, "fulfil"))


def cancel_answer(prescription_id: str, external_id: str, hospital: str, outcome: str) -> bytes:
    """The answer to a cancel; `outcome` is `cancelled`, `cancelling` or `too-late`.

    `prescription_id` is empty if the cancel came before its prescription. Raises KeyError or ValueError for another outcome.
    """
    return canonical(task(prescription_id, external_id, hospital, outcome, "cancel"))


def conflict(paths: Sequence[str]) -> bytes:
    """The same key with other bytes: an OperationOutcome naming where they differ, never how."""
    finding = RULES["MESSAGE_CONFLICT"].finding("")
    return canonical({"resourceType": "OperationOutcome", "issue": [issue(finding, list(paths))]})


def differences(old: Json, new: Json) -> list[str]:
    """Where two resources of one kind differ, as FHIRPaths, 200 at most; the root alone if only their writing does."""
    root = str(new.get("resourceType"))
    paths: dict[str, None] = {}
    for path in _differences(old, new, root, ()):
        paths[path] = None
        if len(paths) == MAX_PATHS:
            break
    return list(paths) or [root]


def _differences(old: object, new: object, root: str, names: tuple[str | int, ...]) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *(n for n in new if n not in old)]:
            if name in old and name in new:
                yield from _differences(old[name], new[name], root, (*names, name))
            else:
                yield fhirpath(root, (*names, name))
    elif isinstance(old, list) and isinstance(new, list):
        for index, (earlier, other) in enumerate(zip(old, new, strict=False)):
            yield from _differences(earlier, other, root, (*names, index))
        for index in range(min(len(old), len(new)), max(len(old), len(new))):
            yield fhirpath(root, (*names, index))
    # True equals 1 and 1.0 equals 1.00 in Python; in a message they are different texts.
    elif type(old) is not type(new) or str(old) != str(new):
        yield fhirpath(root, names)


def issue(finding: Finding, paths: list[str]) -> Json:
    """A finding as an issue of an OperationOutcome."""
    rule = RULES.get(finding.code)
    issue_json: Json = {
        "severity": _SEVERITY[finding.severity],
        "code": rule.issue if rule else "business-rule",
        "details": {"coding": [{"system": codes.code_system("finding"), "code": finding.code}]},
    }
    if diagnostics := " ".join(part for part in (finding.rule and f"{finding.rule}:", finding.text_en, finding.cure_en) if part):
        issue_json["diagnostics"] = diagnostics
    if finding.text:
        issue_json["details"]["text"] = f"{finding.text}；{finding.cure}" if finding.cure else finding.text
    if any(paths):
        issue_json["expression"] = [path for path in paths if path]
    if finding.spot is not None and str(finding.spot):
        issue_json["location"] = [str(finding.spot)]
    extensions = _where(finding.spot)
    if finding.rule:
        extensions.append({"url": codes.extension("finding"), "extension": [
            {"url": name, "valueString" if name in _TEXTS else "valueCode": value} for name, value in (
                ("rule", finding.rule), ("source", finding.source), ("actor", finding.actor), ("cure", finding.cure),
                ("cure-en", finding.cure_en), ("patch", "mechanical" if rule and rule.patch else "")) if value]})
    if extensions:
        issue_json["extension"] = extensions
    return issue_json


_TEXTS = frozenset({"source", "cure", "cure-en"})


def _where(spot: Spot | None) -> list[Json]:
    """Line and column as HL7's own extensions have them, and the byte."""
    if spot is None:
        return []
    places = ((f"{_ISSUE}line", spot.line), (f"{_ISSUE}col", spot.column),
              (codes.extension("offset"), spot.offset if spot.offset >= 0 else None))
    return [{"url": url, "valueInteger": value} for url, value in places if value or (value == 0 and "offset" in url)]


def task(prescription_id: str, external_id: str, hospital: str, word: str, code: str) -> Json:
    """Where a prescription is (`code` is `fulfil`), or what became of its cancel (`cancel`), as a Task.

    Raises ValueError for a word that is not in `domain.lifecycle.REPORTED`, KeyError for one that no cancel is answered with.
    """
    where = reported(word)
    resource: Json = {
        "resourceType": "Task",
        "status": (CANCEL_STATUS if code == "cancel" else TASK_STATUS)[where],
        "intent": "order",
        "businessStatus": {"coding": [{"system": codes.code_system("status"), "code": word}]},
        "code": {"coding": [{"system": codes.code_system("task"), "code": code}]},
        "focus": {"identifier": {"system": codes.own_system(hospital, "prescription"), "value": external_id}},
    }
    if prescription_id:
        resource["identifier"] = [{"system": codes.sid("prescription"), "value": prescription_id}]
    return resource


_MODELS: Mapping[str, type[Bundle | OperationOutcome | Task]] = {
    "Bundle": Bundle, "OperationOutcome": OperationOutcome, "Task": Task}


def canonical(resource: Json) -> bytes:
    """A resource as it is sent. Raises `pydantic.ValidationError` for what is no FHIR."""
    resource = _json_value(resource)
    # The model's own dump says the same (tested), but with amounts as floats, and would cost as much again.
    _MODELS[resource["resourceType"]].model_validate(resource | _of_each_kind(resource))
    return exact_json(resource, sort_keys=True, separators=(",", ":"))


def _of_each_kind(resource: Json) -> Json:
    """One issue of each code: those of a code are made alike, and hundreds would cost a tenth of a second."""
    kinds = {issue.get("details", {}).get("coding", [{}])[0].get("code", ""): issue for issue in resource.get("issue", ())}
    return {"issue": list(kinds.values())} if kinds else {}


def _json_value(value: Any) -> Any:
    """Places are named in the sender's terms, whose blanks may be none of FHIR's (U+3000 in a key): here they are spaces."""
    if isinstance(value, str):
        return _BLANK.sub(" ", value)
    if isinstance(value, dict):
        return {name: _json_value(inner) for name, inner in value.items()}
    return [_json_value(inner) for inner in value] if isinstance(value, list) else value


_BLANK = re.compile(r"[^\S \r\n\t]")

"""What a hospital hears from us, as canonical JSON bytes: the same facts always give the same bytes."""

import json
from collections.abc import Iterator, Sequence

from domain.findings import Finding, Severity
from fhir_profiles import codes
from fhir_profiles.catalogue import RULES
from fhir_profiles.message import Json, Report, fhirpath, parse

MAX_PATHS = 200

_SEVERITY = {
    Severity.BLOCK: "error", Severity.SELFPAY: "warning", Severity.WARN: "warning", Severity.INFO: "information",
}
# Our status -> Task.status; every other status is on its way.
_TASK_STATUS = {
    "received": "accepted",
    "fulfilled": "completed", "settled": "completed", "closed": "completed",
    "refused": "rejected", "returned": "rejected",
    "cancelled": "cancelled", "expired": "failed",
}
_CANCEL_STATUS = {"cancelled": "completed", "cancelling": "in-progress", "too-late": "rejected"}


def operation_outcome(findings: Sequence[Finding]) -> bytes:
    """Every finding as one issue of an OperationOutcome (contracts.md 1)."""
    return _canonical({"resourceType": "OperationOutcome", "issue": [_issue(f, [f.path]) for f in findings] or [
        {"severity": "information", "code": "informational"}]})


def accepted(prescription_id: str, external_id: str, hospital: str, status: str) -> bytes:
    """The answer to a prescription we took: a Task with our id, their number and where it is."""
    return status_task(prescription_id, external_id, hospital, status)


def status_task(prescription_id: str, external_id: str, hospital: str, status: str) -> bytes:
    """Where a prescription is, as a Task. `status` is a word of the lifecycle."""
    return _task(prescription_id, external_id, hospital, status, _TASK_STATUS.get(status, "in-progress"), "fulfil")


def cancel_answer(prescription_id: str, external_id: str, hospital: str, outcome: str) -> bytes:
    """The answer to a cancel; `outcome` is `cancelled`, `cancelling` or `too-late`.

    `prescription_id` is empty if the cancel came before its prescription. Raises KeyError for another outcome.
    """
    return _task(prescription_id, external_id, hospital, outcome, _CANCEL_STATUS[outcome], "cancel")


def conflict(paths: Sequence[str]) -> bytes:
    """The same key with other bytes: an OperationOutcome naming where they differ, never how."""
    finding = RULES["MESSAGE_CONFLICT"].finding("")
    return _canonical({"resourceType": "OperationOutcome", "issue": [_issue(finding, list(paths))]})


def different_paths(old: bytes, new: bytes) -> list[str]:
    """Where two messages differ, as FHIRPaths: added, removed or changed elements, 200 at most.

    Empty only if the bytes are equal. The root alone means that one of them is no message, or that they differ
    in their writing only.
    """
    if old == new:
        return []
    for root in ("Bundle", "Task"):
        before, after = parse(old, root, Report()), parse(new, root, Report())
        if before is not None and after is not None:
            paths: dict[str, None] = {}
            for path in _differences(before, after, root, ()):
                paths[path] = None
                if len(paths) == MAX_PATHS:
                    break
            return list(paths) or [root]
    return ["Resource"]


def _differences(old: object, new: object, root: str, names: tuple[str | int, ...]) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *(n for n in new if n not in old)]:
            if name in old and name in new:
                yield from _differences(old[name], new[name], root, (*names, name))
            else:
                yield fhirpath(root, (*names, name))
    elif isinstance(old, list) and isinstance(new, list):
        for index, (one, other) in enumerate(zip(old, new, strict=False)):
            yield from _differences(one, other, root, (*names, index))
        for index in range(min(len(old), len(new)), max(len(old), len(new))):
            yield fhirpath(root, (*names, index))
    # True equals 1 and 1.0 equals 1.00 in Python; in a message they are different texts.
    elif type(old) is not type(new) or str(old) != str(new):
        yield fhirpath(root, names)


def _issue(finding: Finding, paths: list[str]) -> Json:
    rule = RULES.get(finding.code)
    issue: Json = {
        "severity": _SEVERITY[finding.severity],
        "code": rule.issue if rule else "business-rule",
        "details": {"coding": [{"system": codes.code_system("finding"), "code": finding.code}]},
        "diagnostics": " ".join(part for part in (f"{finding.rule}:", finding.text_en, finding.cure_en) if part),
    }
    if finding.text:
        issue["details"]["text"] = f"{finding.text}；{finding.cure}" if finding.cure else finding.text
    if any(paths):
        issue["expression"] = [path for path in paths if path]
    return issue


def _task(prescription_id: str, external_id: str, hospital: str, word: str, status: str, code: str) -> bytes:
    task: Json = {
        "resourceType": "Task",
        "status": status,
        "intent": "order",
        "businessStatus": {"coding": [{"system": codes.code_system("status"), "code": word}]},
        "code": {"coding": [{"system": codes.code_system("task"), "code": code}]},
        "focus": {"identifier": {"system": codes.own_system(hospital, "prescription"), "value": external_id}},
    }
    if prescription_id:
        task["identifier"] = [{"system": codes.sid("prescription"), "value": prescription_id}]
    return _canonical(task)


def _canonical(resource: Json) -> bytes:
    return json.dumps(resource, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()

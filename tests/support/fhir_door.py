"""A FHIR message in JSON through everything that looks at it, in one call: parsed, checked, read."""

from collections.abc import Callable

from domain.errors import InvalidPayload
from domain.findings import Finding
from fhir_profiles.checker import check_data
from fhir_profiles.message import Json, Report, parse
from fhir_profiles.reader import Admitted, CancelRequest, read_bundle_data, read_cancel_data


def check(raw: bytes, root: str, hospital: str = "") -> tuple[Json, list[Finding]]:
    """A message of that kind as JSON and everything wrong with it; an empty one if it is none."""
    report = Report()
    data = parse(raw, root, report)
    if data is None:
        return {}, report.findings
    told = {finding.path for finding in report.findings}
    return data, [*report.findings, *(finding for finding in check_data(data, hospital) if finding.path not in told)]


def check_bundle(raw: bytes, hospital: str = "") -> list[Finding]:
    return check(raw, "Bundle", hospital)[1]


def check_cancel(raw: bytes, hospital: str = "") -> list[Finding]:
    return check(raw, "Task", hospital)[1]


def read_bundle(raw: bytes, hospital: str, patient_id: Callable[[str], str]) -> Admitted:
    """Raises `InvalidPayload` with every finding."""
    data, findings = check(raw, "Bundle", hospital)
    if findings:
        raise InvalidPayload(findings)
    return read_bundle_data(data, hospital, patient_id)


def read_cancel(raw: bytes, hospital: str) -> CancelRequest:
    """Raises `InvalidPayload` with every finding."""
    data, findings = check(raw, "Task", hospital)
    if findings:
        raise InvalidPayload(findings)
    return read_cancel_data(data)

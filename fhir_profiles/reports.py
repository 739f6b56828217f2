"""What a hospital that speaks FHIR is told of its prescription: one Bundle for a report, valid by the profile `report`.

A Task says where it is, a MedicationDispense for each line what was handed over, a ClaimResponse what the fund answered, an
OperationOutcome why not. Nothing in it names a person.
"""

from collections.abc import Iterator
from decimal import Decimal
from uuid import NAMESPACE_URL, uuid5

from domain.findings import Finding, Severity
from domain.lifecycle import Notice
from fhir_profiles import codes
from fhir_profiles.answers import canonical, issue, task
from fhir_profiles.message import Json

PATIENT = {"display": "患者 / the patient"}
_CLAIM_TYPE = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/claim-type", "code": "pharmacy"}]}
_PARTS = ("total", "fund", "account", "cash")
_NOTHING = dict.fromkeys(_PARTS, "0.00")


def report(hospital: str, notice: Json) -> bytes:
    """A report in our words (`tasks.reports.report`) as canonical JSON: the same report gives the same bytes.

    Raises `pydantic.ValidationError` for what would be no FHIR.
    """
    key, at = notice["key"], notice["at"]
    resources = [_status(hospital, notice), *_dispenses(hospital, notice), *_settlements(notice), *_findings(notice)]
    return canonical({
        "resourceType": "Bundle", "type": "collection", "identifier": _identifier("report", key), "timestamp": at,
        "entry": [{"fullUrl": f"urn:uuid:{uuid5(NAMESPACE_URL, f'{key}/{number}')}", "resource": resource}
                  for number, resource in enumerate(resources)]})


def _status(hospital: str, notice: Json) -> Json:
    status = notice["status"]
    # A cancel that was refused is the status of the cancel, not of the prescription.
    resource = task(notice.get("id") or "", notice["prescription"], hospital, *(
        (Notice.TOO_LATE, "cancel") if status == Notice.CANCEL_REFUSED else (status, "fulfil")))
    resource["lastModified"] = notice["at"]
    if reasons := [code.strip() for code in notice.get("reason", "").split(",") if code.strip()]:
        resource["statusReason"] = {"coding": [{"system": codes.code_system("reason"), "code": code} for code in reasons]}
    if notes := [notice[name] for name in ("words", "words_en") if notice.get(name)]:
        resource["note"] = [{"text": note} for note in notes]
    if message := notice.get("message"):
        resource["basedOn"] = [{"identifier": {"system": codes.own_system(hospital, "message"), "value": message}}]
    if pickup := notice.get("pickup"):
        resource["extension"] = [{"url": codes.extension("pickup"), "extension": [
            {"url": name, "valueString": pickup[name]} for name in ("order", "chain", "store", "code")]}]
    if page := notice.get("patient_page"):
        resource["output"] = [{"type": {"coding": [{"system": codes.code_system("output"), "code": "patient-page"}]},
                               "valueUrl": page}]
    return resource


def _dispenses(hospital: str, notice: Json) -> Iterator[Json]:
    """One for each line of the order; what came back is told again, as stopped."""
    handed = notice.get("dispense") or {}
    for line in handed.get("lines", ()):
        # Of a prescription stored before the numbers of its lines were kept, only its own number is known.
        ordered = ("item", line["item"]) if line["item"] else ("prescription", notice["prescription"])
        yield {
            "resourceType": "MedicationDispense",
            "identifier": [_identifier("dispense", f"{handed['order']}-{line['line']}")],
            "status": "stopped" if line["returned"] else "completed",
            "medicationCodeableConcept": {"coding": [
                {"system": codes.code_system("drug"), "code": line["drug"], "display": line["name"]}]},
            "subject": PATIENT,
            "performer": [{"actor": {"identifier": _identifier("chain", handed["chain"])}}],
            "location": {"identifier": _identifier("store", f"{handed['chain']}/{handed['store']}")},
            "authorizingPrescription": [{"identifier": {"system": codes.own_system(hospital, ordered[0]), "value": ordered[1]}}],
            "quantity": {"value": _exact(line["quantity"]), "unit": line["unit"]},
            "daysSupply": {"value": line["days"], "unit": "d", "system": codes.UCUM, "code": "d"},
            "whenHandedOver": handed["at"],
            **({"substitution": {"wasSubstituted": True}} if line.get("instead_of") else {}),
            "extension": [{"url": codes.extension("handover"), "valueCode": handed["handover"]}],
        }


def _settlements(notice: Json) -> Iterator[Json]:
    """What the fund answered, and the settlement it takes the place of, as cancelled and with nothing left."""
    settlement = notice.get("settlement") or {}
    for status, part, money in (("cancelled", "reverses", _NOTHING), ("active", "settled", notice.get("money") or _NOTHING)):
        if settled := settlement.get(part):
            yield {
                "resourceType": "ClaimResponse", "identifier": [_identifier("settlement", settled["id"])],
                "status": status, "type": _CLAIM_TYPE, "use": "claim", "patient": PATIENT, "created": notice["at"],
                "insurer": {"identifier": _identifier("payer", settlement["payer"])},
                "request": {"identifier": _identifier("claim", settled["reference"])}, "outcome": "complete",
                "total": [{"category": {"coding": [{"system": codes.code_system("money-part"), "code": name}]},
                           "amount": {"value": _exact(money[name]), "currency": "CNY"}} for name in _PARTS],
            }


def _findings(notice: Json) -> Iterator[Json]:
    if findings := notice.get("findings"):
        yield {"resourceType": "OperationOutcome", "issue": [_issue(finding) for finding in findings]}


def _issue(finding: Json) -> Json:
    """A finding about an item says which one as the place of its MedicationRequest."""
    line, path = finding.get("line"), str(finding.get("path") or "")
    if line:
        path = f"Bundle.entry.resource.ofType(MedicationRequest)[{line - 1}]"
    elif not path.startswith(("Bundle", "Task")):
        path = ""
    entry = issue(Finding(finding["code"], Severity(finding["severity"]), finding.get("rule", ""), path, finding["text"],
                         finding.get("text_en", ""), finding.get("cure", ""), finding.get("cure_en", "")), [path])
    if spot := finding.get("spot"):
        entry["location"] = [spot]
    return entry


def _identifier(name: str, value: str) -> Json:
    return {"system": codes.sid(name), "value": value}


def _exact(value: str) -> Decimal | int:
    number = Decimal(value)
    return int(number) if number == number.to_integral_value() and "." not in value else number

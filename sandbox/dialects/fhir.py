"""FHIR R4 as the contract has it: JSON, and XML from every third prescription on."""

import hmac
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any
from uuid import NAMESPACE_URL, uuid5
from xml.etree import ElementTree

import httpx
from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response

from sandbox.dialects import Heard, Installation, Line, Site
from sandbox.facts import Facts, Medicine
from sandbox.loopback import NO_CERTIFICATES

Document = dict[str, Any]

CANONICAL = "https://sanyi.example/fhir"
EXTENSION = f"{CANONICAL}/StructureDefinition"
CODES = f"{CANONICAL}/CodeSystem"
BEIJING = timezone(timedelta(hours=8))
OUTCOMES = {201: "accepted", 202: "waiting", 409: "conflict"}


def install(site: Site) -> Installation:
    """Two tokens: what the hospital shows the platform, and what the platform shows the hospital."""
    token, report = site.key("token"), site.key("report token")
    name = site.slug.upper()
    return Installation(
        {f"SANYI_PARTNER_URLS__{name}": site.url, f"SANYI_PARTNER_SECRETS__{name}__TOKEN": token,
         f"SANYI_PARTNER_SECRETS__{name}__REPORT_TOKEN": report},
        {"TOKEN": token, "REPORT_TOKEN": report}, door=f"/fhir/{site.slug}/Bundle")


class Speaker:
    """A hospital whose system speaks FHIR by itself; see `sandbox.dialects.Speaker`."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._client = httpx.AsyncClient(base_url=line.gateway, timeout=15, trust_env=False, verify=NO_CERTIFICATES,
                                         headers={"Authorization": f"Bearer {line.secrets['TOKEN']}"})

    def prescription(self, facts: Facts) -> bytes:
        return _written(bundle(facts), facts)

    def changed(self, facts: Facts) -> bytes:
        return _written(bundle(facts) | {"timestamp": _time(facts.sent + timedelta(seconds=1))}, facts)

    def broken(self, facts: Facts, number: int) -> bytes:
        """No patient; or a wrong check digit and no dose."""
        body = bundle(facts)
        if number == 1:
            del body["entry"][0]
        else:
            identifier = body["entry"][0]["resource"]["identifier"][0]
            identifier["value"] = identifier["value"][:-1] + ("1" if identifier["value"][-1] != "1" else "2")
            del body["entry"][-1]["resource"]["dosageInstruction"]
        return _written(body, facts)

    def cancel(self, facts: Facts, key: str, at: datetime) -> bytes:
        return _written(cancel(facts, key, at), facts)

    async def send(self, body: bytes) -> Heard | None:
        xml = body.startswith(b"<")
        kind = "Task" if b"<Task" in body[:200] or b'"resourceType":"Task"' in body[:200] else "Bundle"
        media = "application/fhir+xml" if xml else "application/fhir+json"
        try:
            answer = await self._client.post(f"/fhir/{self._line.slug}/{kind}", content=body,
                                             headers={"Content-Type": media, "Accept": media})
        except httpx.HTTPError:
            return None
        if answer.status_code >= 500 or answer.status_code == 429:
            return None  # it only says: later
        outcome = OUTCOMES.get(answer.status_code, "refused")
        if outcome != "accepted":
            return Heard(outcome, body=answer.content)
        return Heard(outcome, *_task(answer.content), body=answer.content)

    async def where(self, facts: Facts) -> str:
        try:
            answer = await self._client.get(f"/fhir/{self._line.slug}/Task/{facts.external_id}")
        except httpx.HTTPError:
            return ""
        return _task(answer.content)[1] if answer.status_code == 200 else ""

    def doors(self, app: FastAPI) -> None:
        token = f"Bearer {self._line.secrets['REPORT_TOKEN']}"

        def signed_in(authorization: Annotated[str, Header()] = "") -> None:
            if not hmac.compare_digest(authorization.encode(), token.encode()):
                raise HTTPException(401, "unauthorized")

        @app.post("/reports", status_code=204, dependencies=[Depends(signed_in)])
        async def reports(request: Request, sanyi_key: Annotated[str, Header()]) -> Response:
            try:
                self._line.hear(sanyi_key, read_report(await request.body()))
            except (ValueError, KeyError, TypeError):
                raise HTTPException(400, "not a report") from None
            return Response(status_code=204)

    async def listen(self) -> None:
        """It listens to HTTP only."""


def bundle(facts: Facts) -> Document:
    """A prescription as the contract describes it (1.1)."""
    def url(name: str) -> str:
        return f"urn:uuid:{uuid5(NAMESPACE_URL, f'{facts.hospital}/{facts.key}/{name}')}"

    def entry(name: str, resource: Document) -> Document:
        return {"fullUrl": url(name), "resource": resource}

    patient: Document = {
        "resourceType": "Patient",
        "identifier": [{"system": "urn:oid:2.16.156.10011.1.3", "value": facts.id_number}],
        "name": [{"text": facts.name}], "gender": "male" if facts.male else "female",
        "birthDate": facts.born.isoformat(), "telecom": [{"system": "phone", "value": facts.phone}],
        "address": [{"text": facts.address, "district": facts.district, "extension": [{
            "url": "http://hl7.org/fhir/StructureDefinition/geolocation", "extension": [
                {"url": "latitude", "valueDecimal": float(facts.latitude)},
                {"url": "longitude", "valueDecimal": float(facts.longitude)}]}]}],
    }
    allergies: list[Document] = [{"url": f"{EXTENSION}/allergy-text", "valueString": words} for words in facts.allergy_words]
    if facts.no_known_allergies:
        allergies.append({"url": f"{EXTENSION}/no-known-allergies", "valueBoolean": True})
    if allergies:
        patient["extension"] = allergies
    encounter: Document = {
        "resourceType": "Encounter", "status": "finished",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "VR"},
        "type": [{"coding": [{"system": f"{CODES}/visit-type", "code": "follow-up" if facts.proof_issued else "first"}]}],
        "subject": {"reference": url("patient")},
        "serviceType": {"coding": [{"system": f"{CODES}/department", "code": facts.department}], "text": facts.department_name},
    }
    if facts.visit_number:
        encounter["identifier"] = [{"system": f"urn:{facts.hospital}:visit", "value": facts.visit_number}]
    if facts.proof_issued:
        encounter["extension"] = [{"url": f"{EXTENSION}/revisit-proof", "extension": [
            {"url": "issued", "valueDate": facts.proof_issued.isoformat()},
            *({"url": "diagnosis", "valueCode": diagnosis.code[:3]} for diagnosis in facts.diagnoses)]}]
    coverage: Document = {
        "resourceType": "Coverage", "status": "active",
        "type": {"coding": [{"system": f"{CODES}/insutype", "code": facts.insutype}]},
        "beneficiary": {"reference": url("patient")}, "payor": [{"display": "医保"}],
        "extension": [{"url": f"{EXTENSION}/insured-place", "valueCode": facts.insured_place}]
        + ([{"url": f"{EXTENSION}/chronic-disease", "valueCode": facts.chronic_disease}] if facts.chronic_disease else []),
    }
    conditions = [entry(f"condition-{diagnosis.code}", {
        "resourceType": "Condition",
        "code": {"coding": [{"system": "urn:oid:2.16.156.10011.2.3.3.11", "code": diagnosis.code, "display": diagnosis.name}]},
        "subject": {"reference": url("patient")}, "encounter": {"reference": url("encounter")},
    }) for diagnosis in facts.diagnoses]
    requests = [entry(f"item-{line}", _request(
        facts, line, medicine,
        {name: {"reference": url(name)} for name in ("patient", "encounter", "practitioner", "coverage")},
        [{"reference": url(f"condition-{diagnosis.code}")} for diagnosis in facts.diagnoses],
    )) for line, medicine in enumerate(facts.medicines, 1)]
    return {
        "resourceType": "Bundle", "type": "collection",
        "identifier": {"system": f"urn:{facts.hospital}:message", "value": facts.key}, "timestamp": _time(facts.sent),
        "entry": [
            entry("patient", patient),
            entry("practitioner", {
                "resourceType": "Practitioner",
                "identifier": [{"system": f"{CANONICAL}/sid/physician", "value": facts.physician}],
                "name": [{"text": facts.physician_name}],
                "extension": [{"url": f"{EXTENSION}/independent-years", "valueInteger": facts.physician_years}]}),
            entry("organization", {
                "resourceType": "Organization",
                "identifier": [{"system": f"{CANONICAL}/sid/institution", "value": facts.institution}],
                "name": facts.institution_name}),
            entry("encounter", encounter), *conditions, entry("coverage", coverage),
            entry("role", {
                "resourceType": "PractitionerRole", "practitioner": {"reference": url("practitioner")},
                "organization": {"reference": url("organization")},
                "code": [{"coding": [{"system": f"{CODES}/title", "code": facts.title}]}]}), *requests,
        ],
    }


def _request(facts: Facts, line: int, medicine: Medicine, refer: Mapping[str, Document], reasons: Sequence[Document]
             ) -> Document:
    amount = float(medicine.amount)
    extensions: list[Document] = [
        {"url": f"{EXTENSION}/handover", "valueCode": "home" if facts.home else "pickup"},
        {"url": f"{EXTENSION}/extend-reason", "valueString": facts.extend_reason},
        {"url": f"{EXTENSION}/long-term-assessed", "valueBoolean": True},
        {"url": f"{EXTENSION}/patient-acknowledged", "valueBoolean": True}]
    extensions += [{"url": f"{EXTENSION}/{name}", kind: value} for name, kind, value in (
        ("valid-reason", "valueString", facts.valid_reason), ("prescription-note", "valueString", facts.note),
        ("hospital-approval", "valueCode", medicine.approval)) if value]
    request: Document = {
        "resourceType": "MedicationRequest", "status": "active", "intent": "order",
        "groupIdentifier": {"system": f"urn:{facts.hospital}:prescription", "value": facts.external_id},
        "identifier": [{"system": f"urn:{facts.hospital}:item", "value": f"{facts.external_id}-{line}"}],
        "category": [{"coding": [{"system": f"{CODES}/drug-kind", "code": medicine.kind}]}],
        "medicationCodeableConcept": {"coding": [
            {"system": f"{CODES}/drug", "code": medicine.drug, "display": medicine.name}]},
        "subject": refer["patient"], "encounter": refer["encounter"], "authoredOn": _time(facts.issued),
        "requester": refer["practitioner"], "reasonReference": list(reasons), "insurance": [refer["coverage"]],
        "courseOfTherapyType": {"coding": [{"system": f"{CODES}/prescription-kind", "code": "long_term"}]},
        "dosageInstruction": [{
            **({"text": medicine.directions} if medicine.directions else {}),
            "timing": {"code": {"coding": [{"system": f"{CODES}/frequency", "code": medicine.frequency}]}},
            "route": {"coding": [{"system": f"{CODES}/route", "code": "PO"}]},
            "doseAndRate": [{"doseQuantity": {
                "value": int(amount) if amount.is_integer() else amount, "unit": medicine.dose_unit}}]}],
        "dispenseRequest": {
            "validityPeriod": {"start": _time(facts.issued), "end": _time(facts.valid_until)},
            "quantity": {"value": medicine.quantity, "unit": medicine.unit},
            "expectedSupplyDuration": {
                "value": medicine.days, "unit": "d", "system": "http://unitsofmeasure.org", "code": "d"}},
        "extension": extensions,
    }
    if medicine.note:
        request["note"] = [{"text": medicine.note}]
    return request


def cancel(facts: Facts, key: str, at: datetime) -> Document:
    """The prescriber takes a prescription back (contract 1.2)."""
    return {
        "resourceType": "Task", "status": "requested", "intent": "order",
        "identifier": [{"system": f"urn:{facts.hospital}:message", "value": key}],
        "code": {"coding": [{"system": f"{CODES}/task", "code": "cancel"}]},
        "focus": {"identifier": {"system": f"urn:{facts.hospital}:prescription", "value": facts.external_id}},
        "reasonCode": {"coding": [{"system": f"{CODES}/cancel-reason", "code": "prescriber"}]},
        "authoredOn": _time(at),
    }


def _written(resource: Document, facts: Facts) -> bytes:
    """In JSON, or in XML where the number of the prescription says so."""
    if facts.external_id[-1:] in "369":
        root = _element(str(resource["resourceType"]), resource, "http://hl7.org/fhir")
        return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))
    return json.dumps(resource, ensure_ascii=False, separators=(",", ":")).encode()


def _element(name: str, node: Document, namespace: str = "") -> ElementTree.Element:
    """FHIR's XML form: elements in the order its definitions give, values in attributes."""
    element = ElementTree.Element(name, {"xmlns": namespace} if namespace else {})
    for child, value in sorted(node.items(), key=lambda item: _place(name, item[0])):
        for item in value if isinstance(value, list) else [value]:
            if child == "resourceType":
                continue
            if child == "url" and name == "extension":
                element.set("url", item)
            elif child == "resource":
                ElementTree.SubElement(element, "resource").append(_element(item["resourceType"], item))
            elif isinstance(item, dict):
                element.append(_element(child, item))
            else:
                text = str(item).lower() if isinstance(item, bool) else str(item)
                ElementTree.SubElement(element, child, {"value": text})
    return element


_ORDER = (
    "extension", "identifier", "type:Bundle", "timestamp", "fullUrl", "resource", "status", "intent", "category",
    "class", "medicationCodeableConcept", "type", "groupIdentifier", "code:Task", "focus", "name", "telecom",
    "use", "system", "value", "unit", "code:Quantity", "gender", "birthDate",
    "subject", "encounter", "authoredOn", "requester", "reasonCode", "reasonReference",
    "courseOfTherapyType", "insurance", "text", "coding", "code", "display",
)
"""Only where it matters to a strict reader is the order kept; the platform is asked to read any."""


def _place(parent: str, child: str) -> int:
    for name in (f"{child}:{parent}", child):
        if name in _ORDER:
            return _ORDER.index(name)
    return len(_ORDER)


def _task(body: bytes) -> tuple[str, str]:
    """Our prescription's id on the platform, and where it is, from a Task in either form."""
    if body.startswith(b"<"):
        root = ElementTree.fromstring(body)  # noqa: S314  the platform's own answer
        space = {"f": "http://hl7.org/fhir"}
        ids = [identifier.find("f:value", space) for identifier in root.findall("f:identifier", space)
               if (system := identifier.find("f:system", space)) is not None and system.get("value", "").endswith("/prescription")]
        status = root.find("f:businessStatus/f:coding/f:code", space)
        return (str(ids[0].get("value")) if ids and ids[0] is not None else "",
                str(status.get("value")) if status is not None else "")
    try:
        task = json.loads(body)
        codings = task.get("businessStatus", {}).get("coding", [])
        ids = [identifier["value"] for identifier in task.get("identifier", [])
               if identifier.get("system", "").endswith("/sid/prescription")]
    except (ValueError, AttributeError):
        return "", ""
    return str(ids[0]) if ids else "", str(codings[0].get("code", "")) if codings else ""


# What is reported.

def read_report(body: bytes) -> Document:
    """A report (contract 1.3) as a neutral one.

    Raises ValueError, KeyError or TypeError for one that is none. So it does for one that lacks what its status requires: a
    MedicationDispense for every line, a ClaimResponse of the fund.
    """
    sent = json.loads(body, parse_float=Decimal)
    if sent["resourceType"] != "Bundle" or sent["type"] != "collection":
        raise ValueError("no report")
    kinds: dict[str, list[Document]] = {}
    for entry in sent["entry"]:
        kinds.setdefault(entry["resource"]["resourceType"], []).append(entry["resource"])
    if strange := kinds.keys() - {"Task", "MedicationDispense", "ClaimResponse", "OperationOutcome"}:
        raise ValueError(f"a report does not hold {sorted(strange)}")
    (task,), dispenses, settled = kinds["Task"], kinds.get("MedicationDispense", []), kinds.get("ClaimResponse", [])
    status = _code(task["businessStatus"], "status")
    if _code(task["code"], "task") == "cancel":
        status = {"too-late": "cancel_refused"}[status]
    if (status == "fulfilled" and not dispenses) or (status == "settled" and not settled):
        raise ValueError(f"{status}, and no word of what")
    report: Document = {
        "key": sent["identifier"]["value"], "prescription": task["focus"]["identifier"]["value"],
        "id": task["identifier"][0]["value"] if "identifier" in task else "", "status": status, "at": task["lastModified"],
        "reason": ", ".join(coding["code"] for coding in task.get("statusReason", {}).get("coding", ()))}
    if notes := [note["text"] for note in task.get("note", ())]:
        report |= dict(zip(("words", "words_en"), notes, strict=False))
    for extension in task.get("extension", ()):
        if extension["url"] == f"{EXTENSION}/pickup":
            report["pickup"] = {part["url"]: part["valueString"] for part in extension["extension"]}
    for output in task.get("output", ()):
        if _code(output["type"], "output") == "patient-page":
            report["patient_page"] = output["valueUrl"]
    if dispenses:
        report["dispense"] = _dispense(dispenses)
    if settled:
        report["money"] = _money(settled)
    if outcomes := kinds.get("OperationOutcome"):
        report["findings"] = [_finding(issue) for issue in outcomes[0]["issue"]]
    return report


def _dispense(dispenses: Sequence[Document]) -> Document:
    """All lines of one order, handed over at one counter or door at one time."""
    lines, around = [], set()
    for dispense in dispenses:
        order, _, line = dispense["identifier"][0]["value"].rpartition("-")
        chain, _, store = dispense["location"]["identifier"]["value"].partition("/")
        if chain != dispense["performer"][0]["actor"]["identifier"]["value"]:
            raise ValueError("a store of another chain")
        (handover,) = (extension["valueCode"] for extension in dispense["extension"]
                       if extension["url"] == f"{EXTENSION}/handover")
        around.add((order, chain, store, handover, dispense["whenHandedOver"]))
        lines.append({
            "line": int(line), "item": dispense["authorizingPrescription"][0]["identifier"]["value"],
            "drug": _code(dispense["medicationCodeableConcept"], "drug"),
            "name": dispense["medicationCodeableConcept"]["coding"][0]["display"], "quantity": str(dispense["quantity"]["value"]),
            "unit": dispense["quantity"]["unit"], "days": dispense["daysSupply"]["value"],
            "returned": {"completed": False, "stopped": True}[dispense["status"]]})
    (dispense_line,) = around
    return {**dict(zip(("order", "chain", "store", "handover", "at"), dispense_line, strict=True)), "lines": lines}


def _money(responses: Sequence[Document]) -> Document:
    """What the fund pays now: of several answers the one that counts; nothing if all are reversed."""
    active = [response for response in responses if response["status"] == "active"]
    for response in (active or responses)[-1:]:
        amounts = {_code(part["category"], "money-part"): part["amount"] for part in response["total"]}
        if len(amounts) != len(response["total"]) or any(amount["currency"] != "CNY" for amount in amounts.values()):
            raise ValueError("amounts twice, or of another currency")
        return {name: f"{amounts.pop(name)['value']:.2f}" for name in ("total", "fund", "account", "cash")}
    raise ValueError("no answer of the fund")


def _finding(issue: Document) -> Document:
    (code,) = (coding["code"] for coding in issue["details"]["coding"])
    place = re.search(r"ofType\(MedicationRequest\)\[(\d+)\]", " ".join(issue.get("expression", ())))
    return {"code": code, "severity": {"error": "BLOCK", "warning": "WARN"}[issue["severity"]],
            "text": issue["details"]["text"], "line": int(place[1]) + 1 if place else None}


def _code(concept: Document, system: str) -> str:
    (code,) = (coding["code"] for coding in concept["coding"] if coding["system"] == f"{CODES}/{system}")
    return str(code)


def _time(at: datetime) -> str:
    return at.astimezone(BEIJING).isoformat(timespec="seconds")

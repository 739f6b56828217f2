"""Messages of a demo hospital, built from parts; run this file to write the samples of jinan_first again."""

import copy
import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "adapters" / "hospitals" / "jinan_first" / "samples"
BASE = "https://sanyi.example/fhir"
HOSPITAL = "jinan_first"
ISSUED = "2026-11-22T08:58:00+08:00"
NAME, PHONE, ADDRESS = "示范患者甲", "19900000001", "示范市示范区示范路1号"

Json = dict[str, Any]


def resident_id(birth_date: str, order: int, division: str = "370102") -> str:
    """A resident id number that nobody has, with its check digit; an odd order is male."""
    body = f"{division}{birth_date.replace('-', '')}{order:03d}"
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return body + "10X98765432"[sum(w * int(c) for w, c in zip(weights, body, strict=True)) % 11]


ID_NUMBER = resident_id("1958-03-02", 991)
WRONG_ID_NUMBER = ID_NUMBER[:-1] + ("1" if ID_NUMBER[-1] == "0" else "0")


def url(number: int) -> str:
    return f"urn:uuid:00000000-0000-4000-8000-{number:012d}"


def concept(system: str, code: str, display: str = "") -> Json:
    coding = {"system": system if system.startswith("urn:") else f"{BASE}/CodeSystem/{system}", "code": code}
    return {"coding": [coding | ({"display": display} if display else {})]}


def ext(name: str, **value: Any) -> Json:
    return {"url": f"{BASE}/StructureDefinition/{name}", **value}


def revisit_proof(diagnosis: str) -> Json:
    return ext("revisit-proof", extension=[
        {"url": "issued", "valueDate": "2026-09-20"}, {"url": "diagnosis", "valueCode": diagnosis}])


def patient(name: str = NAME, born: str = "1958-03-02", order: int = 991, *extensions: Json) -> Json:
    return {
        "resourceType": "Patient",
        "identifier": [{"system": "urn:oid:2.16.156.10011.1.3", "value": resident_id(born, order)}],
        "name": [{"text": name}],
        "gender": "male" if order % 2 else "female",
        "birthDate": born,
        "telecom": [{"system": "phone", "value": PHONE}],
        "address": [{"text": ADDRESS, "district": "370102", "extension": [
            {"url": "http://hl7.org/fhir/StructureDefinition/geolocation", "extension": [
                {"url": "latitude", "valueDecimal": 36.6749}, {"url": "longitude", "valueDecimal": 117.0251}]}]}],
        **({"extension": list(extensions)} if extensions else {}),
    }


def item(number: str, line: int, drug: tuple[str, str], dose: tuple[float, str], frequency: str, route: str,
         quantity: tuple[int, str], days: int, *extensions: Json, kind: str = "western", rx_kind: str = "general",
         handover: str = "pickup", valid_days: int = 1) -> Json:
    return {
        "resourceType": "MedicationRequest", "status": "active", "intent": "order",
        "groupIdentifier": {"system": "urn:jinan_first:prescription", "value": number},
        "identifier": [{"system": "urn:jinan_first:item", "value": f"{number}-{line}"}],
        "category": [concept("drug-kind", kind)],
        "medicationCodeableConcept": concept("drug", *drug),
        "subject": {"reference": url(1)}, "encounter": {"reference": url(4)},
        "authoredOn": ISSUED, "requester": {"reference": url(2)},
        "reasonReference": [{"reference": url(5)}], "insurance": [{"reference": url(6)}],
        "courseOfTherapyType": concept("prescription-kind", rx_kind),
        "dosageInstruction": [{
            "timing": {"code": concept("frequency", frequency)},
            "route": concept("route", route),
            "doseAndRate": [{"doseQuantity": {"value": dose[0], "unit": dose[1]}}]}],
        "dispenseRequest": {
            "validityPeriod": {"start": ISSUED, "end": f"2026-11-{22 + valid_days}T08:58:00+08:00"},
            "quantity": {"value": quantity[0], "unit": quantity[1]},
            "expectedSupplyDuration": {"value": days, "unit": "d", "system": "http://unitsofmeasure.org", "code": "d"}},
        "extension": [ext("handover", valueCode=handover), *extensions],
    }


def message(key: str, person: Json, diagnosis: tuple[str, str], items: list[Json], *, insutype: str = "310",
            visit: str = "VR", proof: str = "", disease: str = "", department: tuple[str, str] = ("03", "内科")) -> Json:
    resources = [
        person,
        {"resourceType": "Practitioner", "identifier": [{"system": f"{BASE}/sid/physician", "value": "D370100000001"}],
         "name": [{"text": "示范医师乙"}], "extension": [ext("independent-years", valueInteger=8)]},
        {"resourceType": "Organization", "identifier": [{"system": f"{BASE}/sid/institution", "value": "H37010000001"}],
         "name": "示范市第一医院"},
        {"resourceType": "Encounter", "status": "finished",
         "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": visit},
         "identifier": [{"system": "urn:jinan_first:visit", "value": f"V{key[1:]}"}],
         "type": [concept("visit-type", "follow-up")], "subject": {"reference": url(1)},
         "serviceType": concept("department", department[0]) | {"text": department[1]},
         **({"extension": [revisit_proof(proof)]} if proof else {})},
        {"resourceType": "Condition", "code": concept("urn:oid:2.16.156.10011.2.3.3.11", *diagnosis),
         "subject": {"reference": url(1)}, "encounter": {"reference": url(4)}},
        {"resourceType": "Coverage", "status": "active", "type": concept("insutype", insutype),
         "beneficiary": {"reference": url(1)}, "payor": [{"display": "医保"}],
         "extension": [ext("insured-place", valueCode="370100"),
                       *([ext("chronic-disease", valueCode=disease)] if disease else [])]},
        *items,
    ]
    return {
        "resourceType": "Bundle", "type": "collection",
        "identifier": {"system": "urn:jinan_first:message", "value": key},
        "timestamp": "2026-11-22T09:00:00+08:00",
        "entry": [{"fullUrl": url(n), "resource": r} for n, r in enumerate(resources, 1)],
    }


def long_term() -> Json:
    """One western medicine for a month, to be collected."""
    return message("M0001", patient(), ("E11.900", "2型糖尿病"), [
        item("RX0001", 1, ("D001", "盐酸二甲双胍片"), (500, "mg"), "bid", "PO", (60, "片"), 30,
             ext("extend-reason", valueString="糖尿病病情稳定"), ext("long-term-assessed", valueBoolean=True),
             ext("patient-acknowledged", valueBoolean=True), rx_kind="long_term")],
        proof="E11.900", disease="M01600")


def home_delivery() -> Json:
    """Two medicines for a woman with an allergy, delivered; valid for two days."""
    person = patient("示范患者丙", "1971-08-15", 992, ext("allergy-group", valueCode="AL01"),
                     ext("allergy-group", valueCode="AL03"), ext("lactating", valueBoolean=False))
    shared: Json = {"handover": "home", "valid_days": 2}
    reason = ext("valid-reason", valueString="患者住处偏远,当日难以送达")
    return message("M0002", person, ("I10.x00", "原发性高血压"), [
        item("RX0002", 1, ("D032", "苯磺酸氨氯地平片"), (5, "mg"), "qd", "PO", (7, "片"), 7, reason, **shared),
        item("RX0002", 2, ("D048", "缬沙坦胶囊"), (80, "mg"), "qd", "PO", (7, "粒"), 7, reason, **shared)],
        proof="I10.x00", disease="M03900")


def child() -> Json:
    """A child whose guardian was there, seen at the outpatient clinic."""
    person = patient("示范患儿丁", "2019-12-03", 993, ext("guardian-confirmed", valueBoolean=True))
    return message("M0003", person, ("J45.900", "支气管哮喘"), [
        item("RX0003", 1, ("D099", "硫酸沙丁胺醇吸入气雾剂"), (1, "吸"), "prn", "INH", (1, "支"), 7)],
        insutype="390", visit="AMB", department=("07", "儿科"))


def cancel() -> Json:
    return {
        "resourceType": "Task", "status": "requested", "intent": "order",
        "identifier": [{"system": "urn:jinan_first:message", "value": "C0001"}],
        "code": concept("task", "cancel"),
        "focus": {"identifier": {"system": "urn:jinan_first:prescription", "value": "RX0001"}},
        "reasonCode": concept("cancel-reason", "prescriber"),
        "authoredOn": "2026-11-22T09:05:00+08:00",
    }


SAMPLE = {"long_term.json": long_term, "home_delivery.json": home_delivery, "child.json": child, "cancel.json": cancel}

PATIENT, DOCTOR, ORG, VISIT, DIAGNOSIS, COVER, ITEM = (("entry", n, "resource") for n in range(7))
DELETE = object()


def changed(source: Json, *changes: tuple[tuple[str | int, ...], Any]) -> Json:
    """A copy with these nodes replaced, or taken out."""
    result = copy.deepcopy(source)
    for path, value in changes:
        node: Any = result
        for name in path[:-1]:
            node = node[name]
        if value is DELETE:
            del node[path[-1]]
        elif isinstance(node, list) and path[-1] == len(node):
            node.append(value)
        else:
            node[path[-1]] = value
    return result


def raw(source: Any) -> bytes:
    return json.dumps(source, ensure_ascii=False).encode()


INVALID: dict[str, tuple[str, tuple[tuple[str | int, ...], Any]]] = {
    "id_number_check_digit": ("ID_NUMBER", ((*PATIENT, "identifier", 0, "value"), WRONG_ID_NUMBER)),
    "birth_date_of_somebody_else": ("BIRTH_DATE_MISMATCH", ((*PATIENT, "birthDate"), "1958-03-03")),
    "diagnosis_without_a_name": ("DIAGNOSIS_NAME", ((*DIAGNOSIS, "code", "coding", 0, "display"), DELETE)),
    "as_directed": ("USAGE_VAGUE", ((*ITEM, "dosageInstruction", 0, "text"), "遵医嘱 口服")),
    "unknown_frequency": ("FREQUENCY", (
        (*ITEM, "dosageInstruction", 0, "timing", "code", "coding", 0, "code"), "sometimes")),
    "valid_for_four_days": ("VALIDITY_PERIOD", (
        (*ITEM, "dispenseRequest", "validityPeriod", "end"), "2026-11-26T08:58:00+08:00")),
    "no_quantity": ("QUANTITY", ((*ITEM, "dispenseRequest", "quantity", "value"), DELETE)),
    "unknown_handover": ("HANDOVER", ((*ITEM, "extension", 0, "valueCode"), "drone")),
    "requester_is_the_patient": ("REFERENCE_TYPE", ((*ITEM, "requester", "reference"), url(1))),
    "misspelt_element": ("STRUCTURE_UNKNOWN", ((*PATIENT, "birthdate"), "1958-03-02")),
    "no_coverage": ("RESOURCE_COUNT", (("entry", 5), DELETE)),
    "message_of_another_hospital": ("IDENTIFIER_SYSTEM", (("identifier", "system"), "urn:elsewhere:message")),
}


def write_samples() -> None:
    (SAMPLES / "invalid").mkdir(parents=True, exist_ok=True)
    for name, build in SAMPLE.items():
        _write(SAMPLES / name, build())
    index = ["# Which finding each message must cause."]
    for name, (code, change) in sorted(INVALID.items()):
        _write(SAMPLES / "invalid" / f"{name}.json", changed(long_term(), change))
        index.append(f'"{name}.json" = "{code}"')
    (SAMPLES / "invalid" / "index.toml").write_text("\n".join(index) + "\n", encoding="utf-8")


def _write(path: Path, source: Json) -> None:
    path.write_text(json.dumps(source, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_samples()

"""Every rule of the catalogue is broken once, at a known place; and nothing a message says comes back out."""

import csv
import json
import random
from collections import Counter
from dataclasses import replace
from datetime import date
from decimal import Decimal
from string import ascii_lowercase
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
from fhir_profiles.message import MAX_BYTES, Report
from fhir_profiles.rules import Version
from tests.support.fhir_door import check_bundle, check_cancel, read_bundle, read_cancel
from tests.support.fhir_messages import (
    ADDRESS,
    BASE,
    COVER,
    DELETE,
    DIAGNOSIS,
    DOCTOR,
    HOSPITAL,
    ID_NUMBER,
    ITEM,
    NAME,
    ORG,
    PATIENT,
    PHONE,
    ROOT,
    VISIT,
    WRONG_ID_NUMBER,
    Json,
    cancel,
    changed,
    child,
    ext,
    home_delivery,
    long_term,
    raw,
    resident_id,
    url,
)

E = "Bundle.entry[{}].resource"
P, D, O, V, C, COV, I = (E.format(n) for n in range(7))  # noqa: E741
DOSE = (*ITEM, "dosageInstruction", 0)
REQUEST = (*ITEM, "dispenseRequest")
HANDOVER = f"extension('{BASE}/StructureDefinition/handover')"
ITEM2 = ("entry", 7, "resource")
DEFECTS: list[tuple[str, str, Any, Any]] = [
    ("STRUCTURE_UNKNOWN", f"{P}.nickname", (*PATIENT, "nickname"), "x"),
    ("STRUCTURE_MISSING", f"{COV}.payor", (*COVER, "payor"), DELETE),
    ("STRUCTURE_CHOICE", I, (*ITEM, "medicationReference"), {"reference": url(1)}),
    ("STRUCTURE_VALUE", f"{P}.telecom[0].rank", (*PATIENT, "telecom", 0, "rank"), "first"),
    ("STRUCTURE_VALUE", "Bundle.total", ("total",), "many"),
    ("ELEMENT_NOT_READ", f"{P}.contained", (*PATIENT, "contained"), [{"resourceType": "Nonsense"}]),
    ("ELEMENT_COUNT", f"{I}.note", (*ITEM, "note"), [{"text": "x"}] * 6),
    ("AS_NEEDED", f"{I}.dosageInstruction[0].asNeeded", (*DOSE, "asNeededBoolean"), True),
    ("RESOURCE_INACTIVE", f"{D}.active", (*DOCTOR, "active"), False),
    ("RESOURCE_INACTIVE", f"{O}.active", (*ORG, "active"), False),
    ("DIAGNOSIS_DENIED", f"{C}.clinicalStatus", (*DIAGNOSIS, "clinicalStatus"), {"coding": [
        {"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "resolved"}]}),
    ("TEXT_DAMAGED", f"{P}.name[0].text", (*PATIENT, "name", 0, "text"), "示范\ufffd甲"),
    ("TEXT_DAMAGED", f"{P}.address[0].text", (*PATIENT, "address", 0, "text"), "示范\ue863路"),
    ("TEXT_DAMAGED", f"{P}.name[0].text", (*PATIENT, "name", 0, "text"), "示范\U000f0000甲"),
    ("TEXT_HIDDEN", f"{P}.name[0].text", (*PATIENT, "name", 0, "text"), "示范\u200b甲"),
    ("TEXT_HIDDEN", f"{I}.note[0].text", (*ITEM, "note"), [{"text": "\u202e停药"}]),
    ("TEXT_LINES", f"{P}.name[0].text", (*PATIENT, "name", 0, "text"), "示范\n甲"),
    ("TEXT_LINES", f"{I}.dosageInstruction[0].text", (*DOSE, "text"), "饭后\r\n服"),
    ("TEXT_LINES", f"{I}.note[0].text", (*ITEM, "note"), [{"text": "饭后\u2028服"}]),
    ("TEXT_TOO_LONG", f"{P}.name[0].text", (*PATIENT, "name", 0, "text"), "阿" * 51),
    ("TEXT_TOO_LONG", f"{P}.name[0].text", (*PATIENT, "name", 0, "text"), "阿" * 300_000),
    ("TEXT_TOO_LONG", f"{C}.code.coding[0].display", (*DIAGNOSIS, "code", "coding", 0, "display"), "病" * 101),
    ("TEXT_TOO_LONG", f"{I}.dosageInstruction[0].text", (*DOSE, "text"), "服" * 501),
    ("TEXT_PERSONAL", f"{I}.note[0].text", (*ITEM, "note"), [{"text": "家属电话 139 0000 0000"}]),
    ("TEXT_PERSONAL", f"{I}.dosageInstruction[0].text", (*DOSE, "text"), f"交给{NAME}本人"),
    ("TEXT_PERSONAL", f"{I}.extension[1].value", (*ITEM, "extension", 1, "valueString"), f"患者{ID_NUMBER}病情稳定"),
    ("TEXT_PERSONAL", f"{C}.code.coding[0].display", (*DIAGNOSIS, "code", "coding", 0, "display"), "糖尿病13900000000"),
    ("BUNDLE_TYPE", "Bundle.type", ("type",), "message"),
    ("MESSAGE_KEY", "Bundle.identifier.value", ("identifier", "value"), "M 1"),
    ("MESSAGE_KEY", "Bundle.identifier.value", ("identifier", "value"), ".."),
    ("IDENTIFIER_SYSTEM", "Bundle.identifier.system", ("identifier", "system"), "urn:other:message"),
    ("IDENTIFIER_SYSTEM", f"{P}.identifier[0].system", (*PATIENT, "identifier", 0, "system"), "urn:other"),
    ("IDENTIFIER_SYSTEM", f"{I}.groupIdentifier.system", (*ITEM, "groupIdentifier", "system"), DELETE),
    ("IDENTIFIER_SYSTEM", f"{I}.identifier[0].system", (*ITEM, "identifier", 0, "system"), "urn:jinan_first:message"),
    ("BUNDLE_TIMESTAMP", "Bundle.timestamp", ("timestamp",), "2026-11-22T09:00:00"),
    ("BUNDLE_TIMESTAMP", "Bundle.timestamp", ("timestamp",), DELETE),
    ("RESOURCE_COUNT", "Bundle.entry.resource.ofType(Coverage)", ("entry", 5), DELETE),
    ("CONDITION_MISSING", "Bundle.entry.resource.ofType(Condition)", ("entry", 4), DELETE),
    ("ITEM_COUNT", "Bundle.entry.resource.ofType(MedicationRequest)", ("entry", 6), DELETE),
    ("RESOURCE_UNKNOWN", E.format(7), ("entry", 7), {"fullUrl": url(9), "resource": {"resourceType": "Basic"}}),
    ("RESOURCE_UNKNOWN", E.format(7), ("entry", 7), {"fullUrl": url(9)}),
    ("FULL_URL", "Bundle.entry[1].fullUrl", ("entry", 1, "fullUrl"), "Practitioner/1"),
    ("FULL_URL_DUPLICATE", "Bundle.entry[5].fullUrl", ("entry", 5, "fullUrl"), url(1)),
    ("REFERENCE_BROKEN", f"{I}.subject", (*ITEM, "subject", "reference"), url(99)),
    ("REFERENCE_BROKEN", f"{I}.requester", (*ITEM, "requester"), DELETE),
    ("REFERENCE_BROKEN", f"{V}.subject", (*VISIT, "subject"), DELETE),
    ("REFERENCE_BROKEN", f"{I}.encounter", (*ITEM, "encounter", "reference"), "Encounter/1"),
    ("REFERENCE_TYPE", f"{C}.subject", (*DIAGNOSIS, "subject", "reference"), url(2)),
    ("REFERENCE_TYPE", f"{C}.encounter", (*DIAGNOSIS, "encounter", "reference"), url(1)),
    ("REFERENCE_TYPE", f"{COV}.beneficiary", (*COVER, "beneficiary", "reference"), url(3)),
    ("REFERENCE_TYPE", f"{I}.reasonReference[0]", (*ITEM, "reasonReference", 0, "reference"), url(6)),
    ("REFERENCE_TYPE", f"{I}.insurance[0]", (*ITEM, "insurance", 0, "reference"), url(5)),
    ("KEY_PERSONAL", "Bundle.identifier.value", ("identifier", "value"), f"M-{ID_NUMBER}"),
    ("KEY_PERSONAL", f"{I}.groupIdentifier.value", (*ITEM, "groupIdentifier", "value"), PHONE),
    ("EXTENSION_UNKNOWN", f"{P}.extension[0]", (*PATIENT, "extension"), [ext("shoe-size", valueInteger=43)]),
    ("EXTENSION_UNKNOWN", f"{C}.extension[0]", (*DIAGNOSIS, "extension"), [ext("handover", valueCode="home")]),
    ("EXTENSION_UNKNOWN", f"{I}.dosageInstruction[0].extension[0]", (*DOSE, "extension"), [ext("x", valueCode="y")]),
    ("EXTENSION_UNKNOWN", "Bundle.identifier.extension[0]", ("identifier", "extension"), [ext("x", valueCode="y")]),
    ("EXTENSION_VALUE", f"{I}.extension[2]", (*ITEM, "extension", 2), ext("long-term-assessed", valueString="yes")),
    ("EXTENSION_VALUE", f"{COV}.extension[1]", (*COVER, "extension", 1), ext("chronic-disease", valueCode="diabetes")),
    ("EXTENSION_REPEATED", f"{I}.extension[4]", (*ITEM, "extension", 4), ext("handover", valueCode="home")),
    ("MODIFIER_EXTENSION", f"{I}.modifierExtension", (*ITEM, "modifierExtension"),
     [{"url": "urn:x", "valueCode": "not"}]),
    ("ID_NUMBER", f"{P}.identifier", (*PATIENT, "identifier", 0, "value"), WRONG_ID_NUMBER),
    ("ID_NUMBER", f"{P}.identifier", (*PATIENT, "identifier"), DELETE),
    ("BIRTH_DATE", f"{P}.birthDate", (*PATIENT, "birthDate"), "1958"),
    ("BIRTH_DATE", f"{P}.birthDate", (*PATIENT, "birthDate"), "2026-11-23"),
    ("BIRTH_DATE_MISMATCH", f"{P}.birthDate", (*PATIENT, "birthDate"), "1958-03-03"),
    ("GENDER", f"{P}.gender", (*PATIENT, "gender"), "man"),
    ("GENDER_MISMATCH", f"{P}.gender", (*PATIENT, "gender"), "female"),
    ("PATIENT_NAME", f"{P}.name", (*PATIENT, "name"), [{"text": "  "}]),
    ("PATIENT_INACTIVE", P, (*PATIENT, "deceasedBoolean"), True),
    ("PATIENT_INACTIVE", P, (*PATIENT, "active"), False),
    ("DISTRICT", f"{P}.address[0].district", (*PATIENT, "address", 0, "district"), "示范区"),
    ("GEOLOCATION", f"{P}.address[0].extension[0]",
     (*PATIENT, "address", 0, "extension", 0, "extension", 0, "valueDecimal"), 136.67),
    ("PHYSICIAN_CODE", f"{D}.identifier", (*DOCTOR, "identifier", 0, "value"), "D37010000001"),
    ("INSTITUTION_CODE", f"{O}.identifier", (*ORG, "identifier", 0, "value"), "P37010000001"),
    ("VISIT_CLASS", f"{V}.class", (*VISIT, "class", "code"), "IMP"),
    ("VISIT_TYPE", f"{V}.type", (*VISIT, "type", 0, "coding", 0, "code"), "second"),
    ("VISIT_STATUS", f"{V}.status", (*VISIT, "status"), "cancelled"),
    ("REVISIT_PROOF", f"{V}.extension[0]", (*VISIT, "extension", 0, "extension", 1), DELETE),
    ("REVISIT_PROOF", f"{V}.extension[0]", (*VISIT, "extension", 0, "extension", 0, "valueDate"), "2026-12-01"),
    ("DIAGNOSIS_CODE", f"{C}.code", (*DIAGNOSIS, "code", "coding", 0, "code"), "diabetes"),
    ("DIAGNOSIS_NAME", f"{C}.code", (*DIAGNOSIS, "code", "coding", 0, "display"), DELETE),
    ("DIAGNOSIS_DENIED", f"{C}.verificationStatus", (*DIAGNOSIS, "verificationStatus"),
     {"coding": [{"code": "refuted"}]}),
    ("COVERAGE_STATUS", f"{COV}.status", (*COVER, "status"), "draft"),
    ("INSUTYPE", f"{COV}.type", (*COVER, "type", "coding", 0, "code"), "999"),
    ("INSURED_PLACE", f"{COV}.extension('{BASE}/StructureDefinition/insured-place')", (*COVER, "extension", 0), DELETE),
    ("ITEM_STATUS", f"{I}.status", (*ITEM, "status"), "draft"),
    ("ITEM_INTENT", f"{I}.intent", (*ITEM, "intent"), "proposal"),
    ("ITEM_PROHIBITED", f"{I}.doNotPerform", (*ITEM, "doNotPerform"), True),
    ("PRESCRIPTION_NUMBER", f"{I}.groupIdentifier.value", (*ITEM, "groupIdentifier"), DELETE),
    ("ITEM_NUMBER", f"{I}.identifier[0].value", (*ITEM, "identifier"), DELETE),
    ("DRUG_KIND", f"{I}.category", (*ITEM, "category", 0, "coding", 0, "code"), "herbal"),
    ("RX_KIND", f"{I}.courseOfTherapyType", (*ITEM, "courseOfTherapyType"), DELETE),
    ("HANDOVER", f"{I}.{HANDOVER}", (*ITEM, "extension", 0), DELETE),
    ("DRUG_CODE", f"{I}.medication", (*ITEM, "medicationCodeableConcept", "coding", 0, "code"), DELETE),
    ("DRUG_CODE", f"{I}.medication", (*ITEM, "medicationCodeableConcept", "coding", 1),
     {"system": f"{BASE}/CodeSystem/drug", "code": "D002"}),
    ("DRUG_NAME", f"{I}.medication", (*ITEM, "medicationCodeableConcept", "coding", 0, "display"), DELETE),
    ("AUTHORED_ON", f"{I}.authoredOn", (*ITEM, "authoredOn"), "2026-11-22"),
    ("AUTHORED_IN_FUTURE", f"{I}.authoredOn", (*ITEM, "authoredOn"), "2026-11-22T09:10:01+08:00"),
    ("VALIDITY_PERIOD", f"{I}.dispenseRequest.validityPeriod", (*REQUEST, "validityPeriod", "end"),
     "2026-11-26T08:58:00+08:00"),
    ("VALIDITY_PERIOD", f"{I}.dispenseRequest.validityPeriod", (*REQUEST, "validityPeriod"), DELETE),
    ("VALIDITY_START", f"{I}.dispenseRequest.validityPeriod.start", (*REQUEST, "validityPeriod"),
     {"start": "2026-11-22T08:59:00+08:00", "end": "2026-11-23T08:59:00+08:00"}),
    ("DOSAGE_COUNT", f"{I}.dosageInstruction", (*ITEM, "dosageInstruction"), DELETE),
    ("FREQUENCY", f"{I}.dosageInstruction[0].timing.code", (*DOSE, "timing"), DELETE),
    ("ROUTE", f"{I}.dosageInstruction[0].route", (*DOSE, "route", "coding", 0, "code"), "ORAL"),
    ("DOSE", f"{I}.dosageInstruction[0].doseAndRate[0].dose.value",
     (*DOSE, "doseAndRate", 0, "doseQuantity", "value"), 0),
    ("DOSE", f"{I}.dosageInstruction[0].doseAndRate[0].dose.value",
     (*DOSE, "doseAndRate", 0, "doseQuantity", "value"), "much"),
    ("DOSE_UNIT", f"{I}.dosageInstruction[0].doseAndRate[0].dose.unit",
     (*DOSE, "doseAndRate", 0, "doseQuantity", "unit"), "勺"),
    ("USAGE_VAGUE", f"{I}.dosageInstruction[0].text", (*DOSE, "text"), "口服，遵医嘱"),
    ("USAGE_VAGUE", f"{I}.dosageInstruction[0].patientInstruction", (*DOSE, "patientInstruction"), "As Directed"),
    ("QUANTITY", f"{I}.dispenseRequest.quantity.value", (*REQUEST, "quantity", "value"), -60),
    ("QUANTITY", f"{I}.dispenseRequest.quantity.value", (*REQUEST, "quantity"), DELETE),
    ("QUANTITY_UNIT", f"{I}.dispenseRequest.quantity.unit", (*REQUEST, "quantity", "unit"), "60"),
    ("DAYS_SUPPLY", f"{I}.dispenseRequest.expectedSupplyDuration.value",
     (*REQUEST, "expectedSupplyDuration", "value"), 1.5),
    ("DAYS_UNIT", f"{I}.dispenseRequest.expectedSupplyDuration.code",
     (*REQUEST, "expectedSupplyDuration", "code"), "mo"),
    ("REPEATS", f"{I}.dispenseRequest.numberOfRepeatsAllowed", (*REQUEST, "numberOfRepeatsAllowed"), 2),
]
HOME_DEFECTS: list[tuple[str, str, Any, Any]] = [
    ("HOME_PHONE", f"{P}.telecom", (*PATIENT, "telecom"), DELETE),
    ("HOME_PHONE", f"{P}.telecom", (*PATIENT, "telecom", 0, "value"), "unknown"),
    ("HOME_ADDRESS", f"{P}.address", (*PATIENT, "address", 0, "text"), DELETE),
    ("ITEM_NUMBER_DUPLICATE", f"{E.format(7)}.identifier[0].value", (*ITEM2, "identifier", 0, "value"), "RX0002-1"),
    ("ITEMS_DISAGREE", f"{E.format(7)}.groupIdentifier", (*ITEM2, "groupIdentifier", "value"), "RX0009"),
    ("ITEMS_DISAGREE", f"{E.format(7)}.authoredOn", (*ITEM2, "authoredOn"), "2026-11-22T08:59:00+08:00"),
    ("ITEMS_DISAGREE", f"{E.format(7)}.requester", (*ITEM2, "requester", "reference"), url(1)),
    ("ITEMS_DISAGREE", f"{E.format(7)}.subject", (*ITEM2, "subject", "reference"), url(2)),
    ("ITEMS_DISAGREE", f"{E.format(7)}.courseOfTherapyType",
     (*ITEM2, "courseOfTherapyType", "coding", 0, "code"), "emergency"),
    ("ITEMS_DISAGREE", f"{E.format(7)}.dispenseRequest.validityPeriod",
     (*ITEM2, "dispenseRequest", "validityPeriod", "end"), "2026-11-23T08:58:00+08:00"),
    ("ITEMS_DISAGREE", f"{E.format(7)}.{HANDOVER}", (*ITEM2, "extension", 0, "valueCode"), "pickup"),
]
# Of what came with 1.1 and 1.2, in the published examples.
LONG, PIECES, CHILD, ANTIBIOTIC = "long-term", "pieces", "child", "antibiotic"
PACK, RENEWAL, REQ = ("extension", 4), ("extension", 5), ("dispenseRequest",)
TEST, SKIN = ("extension", 1, "extension"), "extension[1]"


def ext_path(name: str) -> str:
    return f"extension('{BASE}/StructureDefinition/{name}')"


EXAMPLE_DEFECTS: list[tuple[str, str, str, int, tuple[str | int, ...], Any]] = [
    ("CODE_UNKNOWN", "telecom[0].system", LONG, 0, ("telecom", 0, "system"), "pigeon"),
    ("INVARIANT", "telecom[0]", LONG, 0, ("telecom", 0, "system"), DELETE),
    ("PROFILE_VERSION", "meta.profile[0]", LONG, 0, ("meta", "profile", 0), f"{BASE}/StructureDefinition/patient|0.7"),
    ("PROFILE_VERSION", "meta.profile[0]", LONG, 0, ("meta", "profile", 0), f"{BASE}/StructureDefinition/customer"),
    ("CREDENTIAL", "identifier", LONG, 0, ("identifier", 1, "value"), "token"),
    ("CHRONIC_CODE", "code.coding", LONG, 4, ("code", "coding", 1, "code"), "diabetes"),
    ("PROFESSIONAL", "code", LONG, 7, ("code", 0, "coding", 0, "code"), "999"),
    ("SIGNATURE_DATA", "signature[0].data", LONG, 10, ("signature", 0, "data"), DELETE),
    ("SIGNATURE_DATA", "signature[0].data", LONG, 10, ("signature", 0, "data"), "已签名"),
    ("SIGNATURE_DATA", "signature[0].data", LONG, 10, ("signature", 0, "data"), "===="),
    ("SIGNATURE_DATA", "signature[0].data", LONG, 10, ("signature", 0, "data"), "QUJD=QUI"),
    ("SIGNATURE", "signature", LONG, 10, ("signature",), DELETE),
    ("ALLERGIES_DISAGREE", ext_path("no-known-allergies"), LONG, 0, ("extension", 0, "valueBoolean"), False),
    ("ALLERGIES_DISAGREE", ext_path("no-known-allergies"), ANTIBIOTIC, 0, ("extension", 2),
     ext("no-known-allergies", valueBoolean=True)),
    ("ALLERGIES_DISAGREE", "note[0].text", LONG, 6, ("note",), [{"text": "青霉素过敏"}]),
    ("PREGNANT_MAN", ext_path("pregnancy-weeks"), LONG, 0, ("extension", 1), ext("pregnancy-weeks", valueInteger=20)),
    ("PREGNANT_MAN", ext_path("lactating"), LONG, 0, ("extension", 1), ext("lactating", valueBoolean=True)),
    ("EXTENSION_VALUE", "extension[1]", ANTIBIOTIC, 0, ("extension", 1, "valueString"), " "),
    ("VISIT_NUMBER", "identifier", ANTIBIOTIC, 3, ("identifier", 0, "value"), "0017/2"),
    ("IDENTIFIER_SYSTEM", "identifier[0].system", ANTIBIOTIC, 3, ("identifier", 0, "system"), "urn:elsewhere:visit"),
    ("DEPARTMENT", "serviceType", ANTIBIOTIC, 3, ("serviceType", "coding", 0, "code"), "内科"),
    ("SKIN_TEST", SKIN, ANTIBIOTIC, 6, (*TEST, 0, "valueCode"), "weak"),
    ("SKIN_TEST", SKIN, ANTIBIOTIC, 6, (*TEST, 1, "valueDateTime"), "2026-11-22"),
    ("SKIN_TEST", ext_path("skin-test"), ANTIBIOTIC, 6, (*TEST, 1, "valueDateTime"), "2026-11-23T09:00:00+08:00"),
    ("SKIN_TEST", ext_path("skin-test"), ANTIBIOTIC, 6, (*TEST, 2), {"url": "exemption", "valueString": "连续用药"}),
    ("SKIN_TEST", ext_path("skin-test"), ANTIBIOTIC, 6, (*TEST, 0), DELETE),
    ("HOSPITAL_APPROVAL", "extension[2]", ANTIBIOTIC, 6, ("extension", 2, "valueCode"), "3"),
    ("HOME_READING", "code", LONG, 9, ("code", "coding", 0, "code"), "0000-0"),
    ("HOME_READING", "value", LONG, 9, ("valueQuantity", "code"), "mg/dL"),
    ("RENEWAL", "extension[5]", LONG, 6, (*RENEWAL, "extension", 0, "valueString"), "RX 1"),
    ("RENEWAL", "extension[5]", LONG, 6, (*RENEWAL, "extension", 1), DELETE),
    ("QUANTITY_ARITHMETIC", "dispenseRequest.quantity.value", LONG, 6, (*REQ, "quantity", "value"), 59),
    ("QUANTITY_ARITHMETIC", "dispenseRequest.quantity.value", LONG, 6, (*REQ, "quantity", "value"), 61),
    ("VISIT_AFTER_ISSUE", "period", LONG, 3, ("period", "start"), "2026-11-22T09:30:00+08:00"),
    ("VISIT_AFTER_ISSUE", "period", LONG, 3, ("period", "end"), "2026-11-22T08:39:00+08:00"),
    ("COVERAGE_NOT_IN_FORCE", "period", LONG, 5, ("period", "end"), "2026-11-21"),
    ("RENEWAL_WINDOW", f"extension('{BASE}/StructureDefinition/renewal')", LONG, 6,
     (*RENEWAL, "extension", 1, "valuePeriod", "start"), "2026-11-23"),
    ("SIGNATURE_SCOPE", "", LONG, 10, ("signature", 0, "when"), "2026-11-22T08:57:00+08:00"),
    ("READING_IN_FUTURE", "effectiveDateTime", LONG, 9, ("effectiveDateTime",), "2026-11-22T10:00:00+08:00"),
    ("GUARDIANSHIP", "relationship", CHILD, 7, ("relationship", 0, "coding", 0, "code"), "neighbour"),
    ("GUARDIAN", "", CHILD, 7, ("identifier", 0, "value"), resident_id("2019-12-03", 993)),
    ("UNIT_OF_KIND", "dispenseRequest.quantity.unit", CHILD, 6, (*REQ, "quantity", "unit"), "剂"),
    ("DECOCTION", "extension[1]", CHILD, 6, ("extension", 1), ext("decoction-mark", valueCode="first")),
    ("CHRONIC_DISAGREES", "code.coding[1].code", LONG, 4, ("code", "coding", 1, "code"), "M03900"),
    ("DECOCTION", "extension[1]", PIECES, 6, ("extension", 1, "extension", 0, "valuePositiveInt"), 61),
    ("DECOCTION", "extension[2]", PIECES, 7, ("extension", 2, "valueCode"), "fried"),
    ("DECOCTION_DISAGREES", f"extension('{BASE}/StructureDefinition/decoction')", PIECES, 7,
     ("extension", 1, "extension", 1, "valueCode"), "powder"),
    ("UNIT_OF_KIND", "dosageInstruction[0].doseAndRate[0].dose.unit", PIECES, 6,
     ("dosageInstruction", 0, "doseAndRate", 0, "doseQuantity", "unit"), "片"),
    ("QUANTITY_ARITHMETIC", "dispenseRequest.quantity.value", PIECES, 6, (*REQ, "quantity", "value"), 62),
]
CANCEL_DEFECTS: list[tuple[str, str, Any, Any]] = [
    ("TASK_STATUS", "Task.status", ("status",), "draft"),
    ("TASK_INTENT", "Task.intent", ("intent",), "plan"),
    ("TASK_CODE", "Task.code", ("code",), DELETE),
    ("TASK_FOCUS", "Task.focus.identifier.value", ("focus",), DELETE),
    ("CANCEL_REASON", "Task.reasonCode", ("reasonCode", "coding", 0, "code"), "mood"),
    ("TASK_TIME", "Task.authoredOn", ("authoredOn",), "yesterday"),
    ("MESSAGE_KEY", "Task.identifier[0].value", ("identifier",), DELETE),
    ("IDENTIFIER_SYSTEM", "Task.focus.identifier.system", ("focus", "identifier", "system"), "urn:other:prescription"),
    ("STRUCTURE_UNKNOWN", "Task.colour", ("colour",), "red"),
]
ABOUT_BYTES = {rule.code for rule in CATALOGUE if "FHIR-001" <= rule.id <= "FHIR-009" or "FHIR-014" <= rule.id <= "FHIR-019"
               or "FHIR-037" <= rule.id <= "FHIR-039"} | {"CODE_UNUSABLE", "CODE_UNMAPPED"}
"""See also the tests of positions, XML and patches; of codes, those of the mapping queue."""
GOOD = raw(long_term())
MANY = {f"x{one}{two}": 1 for one in ascii_lowercase for two in ascii_lowercase}


def with_quantity(digits: bytes) -> bytes:
    return GOOD.replace(b'"value": 60', b'"value": ' + digits)


BYTES: list[tuple[str, str, bytes]] = [
    ("MSG_TOO_LARGE", "Bundle", GOOD + b" " * MAX_BYTES),
    ("MSG_NOT_UTF8", "Bundle", GOOD.decode().encode("gb18030")),
    ("MSG_NOT_UTF8", "Bundle", b"\xef\xbb\xbf" + GOOD),
    ("MSG_TOO_DEEP", "Bundle", b"[" * 100_000),
    ("MSG_TOO_DEEP", "Bundle", b'{"resourceType":"Bundle","x":' + b"[" * 40 + b"]" * 40 + b"}"),
    ("MSG_TOO_COMPLEX", "Bundle", raw(long_term() | {"x": [[]] * 10_000})),
    ("MSG_TOO_COMPLEX", "Bundle", raw(long_term() | {"x": [1] * 20_001})),
    ("MSG_NOT_JSON", "Bundle", GOOD[:-1]),
    ("MSG_NOT_JSON", "Bundle", b""),
    ("JSON_DUPLICATE_KEY", "Bundle.type",
     GOOD.replace(b'"type": "collection"', b'"type": "collection", "type": "batch"')),
    ("JSON_NOT_FINITE", f"{I}.dispenseRequest.quantity.value", with_quantity(b"NaN")),
    ("JSON_NUMBER_TOO_LONG", f"{I}.dispenseRequest.quantity.value", with_quantity(b"6e99999999")),
    ("JSON_NUMBER_TOO_LONG", f"{I}.dispenseRequest.quantity.value", with_quantity(b"6" * 5000)),
    ("JSON_CHARACTER", f"{P}.name[0].text", GOOD.replace(NAME.encode(), b"\\ud800")),
    ("JSON_CHARACTER", f"{P}.name[0].text", GOOD.replace(NAME.encode(), b"\\u0000")),
    ("MSG_WRONG_RESOURCE", "Bundle", b"[]"),
    ("MSG_WRONG_RESOURCE", "Bundle", raw(cancel())),
    ("TOO_MANY_ENTRIES", "Bundle.entry", raw(long_term() | {"entry": [{}] * 101})),
    ("TOO_MANY_FINDINGS", "Bundle", raw(long_term() | MANY)),
]


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


# Nothing a message says comes back out.

MARKERS = (NAME, ID_NUMBER, ID_NUMBER[6:14], "1958-03-02", PHONE, ADDRESS, "示范医师乙", "糖尿病病情稳定")
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from([url(1), "2026-11-22T08:58:00+08:00", "1958-03-02", "Patient", NAME, ID_NUMBER, "", "-",
                       "0001-01-01", f"{BASE}/StructureDefinition/handover", "9999-12-31T23:59:59-12:00",
                       "2099-12-31T23:59:59+23:59"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["value", "code", "system", "coding", "extension", "url", "reference", "resourceType", "text",
                         "identifier", "resource", "start", "end", "given", NAME, ""]), inner, max_size=4),
    max_leaves=8,
)


def spots(node: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path] * bool(path) + [spot for name, value in children for spot in spots(value, (*path, name))]


def mutated(source: Json, data: st.DataObject) -> Json:
    for _ in range(data.draw(st.integers(1, 3))):
        available = spots(source)
        if not available:
            return source
        where = data.draw(st.sampled_from(available))
        match data.draw(st.sampled_from(["delete", "replace", "duplicate"])):
            case "delete":
                source = changed(source, (where, DELETE))
            case "replace":
                source = changed(source, (where, data.draw(JSON_VALUES)))
            case _:
                node: Any = source
                for name in where:
                    node = node[name]
                source = changed(source, (where, [node, node]))
    return source


def says_nothing_of_the_message(found: Any) -> None:
    for finding in found:
        said = json.dumps(finding.as_dict(), ensure_ascii=False)
        assert not [marker for marker in MARKERS if marker in said], finding
    assert not [marker for marker in MARKERS if marker in str(InvalidPayload(found))]


@given(st.data(), st.sampled_from([long_term(), home_delivery(), child()]))
def test_whatever_is_wrong_with_a_message_the_answer_is_findings_without_its_values(data, source):
    message = json.dumps(mutated(source, data)).encode()
    found = check_bundle(message, HOSPITAL)
    says_nothing_of_the_message(found)
    if found:
        with pytest.raises(InvalidPayload) as refused:
            read_bundle(message, HOSPITAL, lambda _: "pt_1")
        assert list(refused.value.findings) == found
    else:
        shown = repr(read_bundle(message, HOSPITAL, lambda _: "pt_1"))
        assert not [marker for marker in (NAME, ID_NUMBER, PHONE, ADDRESS) if marker in shown]


@given(st.data())
def test_whatever_is_wrong_with_a_cancel_the_answer_is_findings(data):
    message = json.dumps(mutated(cancel(), data)).encode()
    found = check_cancel(message, HOSPITAL)
    says_nothing_of_the_message(found)
    if found:
        with pytest.raises(InvalidPayload):
            read_cancel(message, HOSPITAL)
    else:
        assert read_cancel(message, HOSPITAL).external_id


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda t: t.encode("utf-8", "surrogatepass")),
       st.integers(0, 10_000))
def test_any_bytes_at_all_are_answered(noise, seed):
    place = random.Random(seed).randrange(len(GOOD))
    for message in (noise, GOOD[:place] + noise + GOOD[place:], GOOD[:place] + noise):
        says_nothing_of_the_message(check_bundle(message, HOSPITAL))
        check_cancel(message, HOSPITAL)
    

def test_a_key_of_an_object_may_be_about_a_person_too():
    found = findings(changed(long_term(), ((*PATIENT, NAME), 1), ((*PATIENT, ID_NUMBER), 1)))
    assert [(f.code, f.path) for f in found] == [("STRUCTURE_UNKNOWN", P), ("STRUCTURE_UNKNOWN", P)]
    says_nothing_of_the_message(found)


def test_frequencies_are_those_of_the_demo_knowledge_base():
    table = ROOT / "cities" / "demo_knowledge" / "frequency_codes.csv"
    with table.open(encoding="utf-8", newline="") as file:
        assert {row["code"] for row in csv.DictReader(file)} == codes.FREQUENCIES

"""Whether a hospital's message keeps the contract: every finding in one pass, none of them with a value in it.

The FHIR library checks structure only; codes, references, quantities and everything across resources is checked
here, on the JSON as it was sent. Whatever arrives, the answer is a list of findings.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.condition import Condition
from fhir.resources.R4B.coverage import Coverage
from fhir.resources.R4B.encounter import Encounter
from fhir.resources.R4B.medicationrequest import MedicationRequest
from fhir.resources.R4B.organization import Organization
from fhir.resources.R4B.patient import Patient
from fhir.resources.R4B.practitioner import Practitioner
from fhir.resources.R4B.task import Task
from pydantic import BaseModel, ValidationError

from domain.findings import Finding
from fhir_profiles import codes
from fhir_profiles.message import (
    BEIJING,
    KEY,
    MAX_BYTES,
    MAX_DEPTH,
    Json,
    Report,
    coded,
    coordinates,
    day,
    extended,
    fhirpath,
    member,
    members,
    moment,
    named,
    number,
    parse,
    phone,
    proof,
    text,
    unit,
)

MAX_ENTRIES = 100
CLOCK_SKEW = timedelta(minutes=10)
VALIDITY_HOURS = (24, 48, 72)
ICD10_CODE = re.compile(r"[A-Z][0-9]{2}(\.[0-9x][0-9]{0,2}(x[0-9]{3})?)?(\+([A-Z][0-9]{2}(\.[0-9x][0-9]{0,2})?\*)?)?")

_UUID = re.compile(r"urn:uuid:[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_RESIDENT_ID = re.compile(r"[1-9][0-9]{16}[0-9X]")
_PHYSICIAN = re.compile(r"D[0-9]{12}")
_INSTITUTION = re.compile(r"H[0-9]{11}")
_DIVISION = re.compile(r"[0-9]{6}")
_PHONE = re.compile(r"\+?[0-9][0-9 -]{4,18}[0-9]")
_DRUG = re.compile(r"[A-Za-z0-9]{1,32}")
_ALLERGY = re.compile(r"[A-Z]{2}[0-9]{2,4}")
_CHRONIC = re.compile(r"[A-Z]{1,4}[0-9]{3,5}")
_VAGUE = re.compile("|".join(map(re.escape, codes.VAGUE)), re.IGNORECASE)
_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)

MODELS: Mapping[str, type[BaseModel]] = {
    "Patient": Patient, "Practitioner": Practitioner, "Organization": Organization, "Encounter": Encounter,
    "Coverage": Coverage, "Condition": Condition, "MedicationRequest": MedicationRequest,
}
_SINGLE = ("Patient", "Practitioner", "Organization", "Encounter", "Coverage")
_MAX_ITEMS = 10


def _text(least: int = 1, most: int = 500) -> Any:
    return lambda value: isinstance(value, str) and least <= len(value.strip()) <= most


def _matches(pattern: re.Pattern[str]) -> Any:
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def _whole(least: int, most: int) -> Any:
    return lambda value: type(value) is int and least <= value <= most


def _flag(value: object) -> bool:
    return isinstance(value, bool)


# Resource type -> our extension -> its value[x], what the value must be, and how often it may occur.
_EXTENSIONS: Mapping[str, Mapping[str, tuple[str, Any, int]]] = {
    "Patient": {
        "allergy-group": ("valueCode", _matches(_ALLERGY), 50),
        "pregnancy-weeks": ("valueInteger", _whole(0, 45), 1),
        "lactating": ("valueBoolean", _flag, 1),
        "guardian-confirmed": ("valueBoolean", _flag, 1),
    },
    "Practitioner": {"independent-years": ("valueInteger", _whole(0, 80), 1)},
    "Encounter": {"revisit-proof": ("extension", lambda value: isinstance(value, list), 1)},
    "Coverage": {
        "insured-place": ("valueCode", _text(), 1),
        "chronic-disease": ("valueCode", _matches(_CHRONIC), 1),
    },
    "MedicationRequest": {
        "handover": ("valueCode", _text(), 1),
        "extend-reason": ("valueString", _text(), 1),
        "long-term-assessed": ("valueBoolean", _flag, 1),
        "patient-acknowledged": ("valueBoolean", _flag, 1),
        "overdose-reason": ("valueString", _text(), 1),
    },
}
_EXTENSION_PREFIX = codes.extension("")


def valid_resident_id(value: str) -> bool:
    """Whether the last of the 18 characters is the check digit of the others (GB 11643, ISO 7064 MOD 11-2)."""
    if not _RESIDENT_ID.fullmatch(value) or day(f"{value[6:10]}-{value[10:12]}-{value[12:14]}") is None:
        return False
    return "10X98765432"[sum(w * int(c) for w, c in zip(_ID_WEIGHTS, value, strict=False)) % 11] == value[17]


# Structure.

def _structure(model: type[BaseModel], value: Json, start: str, report: Report) -> None:
    """What the FHIR library has to say. Its words may quote the message, so only its places are kept."""
    try:
        model.model_validate(value)
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_context=False, include_input=False):
            place = [n for n in fault["loc"] if isinstance(n, int) or n not in ("root", "str", "list[str]")]
            path = fhirpath(start, [n.removesuffix("__ext") if isinstance(n, str) else n for n in place])
            report.add(_structure_code(fault["type"], fault["msg"]), path)
    except Exception:
        # The library trips over some garbage instead of refusing it: an unknown contained resource is a KeyError.
        report.add("STRUCTURE_VALUE", start)


def _structure_code(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "STRUCTURE_UNKNOWN"
    if kind in ("missing", "model_field_validation.missing"):
        return "STRUCTURE_MISSING"
    if kind == "value_error" and ("any of field value" in message or "Any of one field value" in message):
        return "STRUCTURE_CHOICE"
    return "STRUCTURE_VALUE"


def _without_echoes(structure: list[Finding], rules: list[Finding]) -> list[Finding]:
    """The library's findings, without those that a rule of ours says better at the same place."""
    ours = {finding.path for finding in rules}
    return [finding for finding in structure if finding.path not in ours]


# The rules.

def check_bundle(raw: bytes, hospital: str = "", *, max_bytes: int = MAX_BYTES,
                 max_depth: int = MAX_DEPTH) -> tuple[Json, list[Finding]]:
    """A prescription message as JSON and everything wrong with it; an empty message if it is none.

    With a hospital's slug its identifier systems must be that hospital's; without, any one hospital's. Never raises.
    """
    report = Report()
    data = parse(raw, "Bundle", report, max_bytes, max_depth)
    if data is None:
        return {}, report.findings
    entries = members(data, "entry")
    if len(entries) > MAX_ENTRIES:
        report.add("TOO_MANY_ENTRIES", "Bundle.entry")
        return data, report.findings
    _Message(data, hospital, report).check()
    structure = Report()
    shell = data
    if entries:
        shell = data | {"entry": [{k: v for k, v in e.items() if k != "resource"} if isinstance(e, dict) else e
                                  for e in entries]}
    _structure(Bundle, shell, "Bundle", structure)
    for index, entry in enumerate(entries):
        resource = entry.get("resource") if isinstance(entry, dict) else None
        kind = resource.get("resourceType") if isinstance(resource, dict) else None
        if isinstance(resource, dict) and isinstance(kind, str) and kind in MODELS:
            _structure(MODELS[kind], resource, f"Bundle.entry[{index}].resource", structure)
    return data, _without_echoes(structure.findings, report.findings) + report.findings


def check_cancel(raw: bytes, hospital: str = "", *, max_bytes: int = MAX_BYTES,
                 max_depth: int = MAX_DEPTH) -> tuple[Json, list[Finding]]:
    """A cancel as JSON and everything wrong with it; an empty message if it is none. Never raises."""
    report = Report()
    data = parse(raw, "Task", report, max_bytes, max_depth)
    if data is None:
        return {}, report.findings
    report.require(member(data, "status") == "requested", "TASK_STATUS", "Task.status")
    report.require(member(data, "intent") == "order", "TASK_INTENT", "Task.intent")
    report.require(coded(member(data, "code"), codes.code_system("task")) == "cancel", "TASK_CODE", "Task.code")
    report.require(coded(member(data, "reasonCode"), codes.code_system("cancel-reason")) in codes.CANCEL_REASONS,
                   "CANCEL_REASON", "Task.reasonCode")
    report.require(moment(member(data, "authoredOn")), "TASK_TIME", "Task.authoredOn")
    message, number_ = member(members(data, "identifier"), "value"), member(data, "focus", "identifier", "value")
    report.require(_is_key(message), "MESSAGE_KEY", "Task.identifier[0].value")
    report.require(_is_key(number_), "TASK_FOCUS", "Task.focus.identifier.value")
    _own_system(member(members(data, "identifier"), "system"), hospital, "message", "Task.identifier[0].system", report)
    _own_system(member(data, "focus", "identifier", "system"), hospital, "prescription",
                "Task.focus.identifier.system", report)
    _extensions(data, "Task", {}, report)
    structure = Report()
    _structure(Task, data, "Task", structure)
    return data, _without_echoes(structure.findings, report.findings) + report.findings


def _is_key(value: object) -> bool:
    return isinstance(value, str) and KEY.fullmatch(value) is not None


def _own_system(value: object, hospital: str, name: str, path: str, report: Report) -> None:
    if hospital:
        good = value == codes.own_system(hospital, name)
    else:
        good = isinstance(value, str) and re.fullmatch(f"urn:[a-z][a-z0-9_]{{0,63}}:{name}", value) is not None
    report.require(good, "IDENTIFIER_SYSTEM", path)


def _extensions(node: object, path: str, allowed: Mapping[str, tuple[str, Any, int]], report: Report,
                line: int | None = None) -> None:
    """Our own extensions, wherever they are: known, in their place, of the right kind and not too often."""
    if isinstance(node, list):
        for index, value in enumerate(node):
            if isinstance(value, dict | list):
                _extensions(value, f"{path}[{index}]", {}, report, line)
        return
    if not isinstance(node, dict):
        return
    seen: dict[str, int] = {}
    for index, one in enumerate(members(node, "extension")):
        url = member(one, "url") if isinstance(one, dict) else None
        if not isinstance(url, str) or not url.startswith(codes.BASE):
            continue
        place = f"{path}.extension[{index}]"
        name = url.removeprefix(_EXTENSION_PREFIX)
        if name not in allowed:
            report.add("EXTENSION_UNKNOWN", place, line)
            continue
        element, good, most = allowed[name]
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > most:
            report.add("EXTENSION_REPEATED", place, line)
        elif not good(one.get(element)):
            report.add("EXTENSION_VALUE", place, line)
    if "modifierExtension" in node:
        report.add("MODIFIER_EXTENSION", f"{path}.modifierExtension", line)
    for name, value in node.items():
        if isinstance(value, dict | list) and name != "resource":
            _extensions(value, fhirpath(path, (name,)), {}, report, line)


@dataclass(frozen=True)
class _Entry:
    path: str
    """Of its resource."""
    resource: Json = field(repr=False)
    url: str = field(repr=False)


class _Message:
    """One Bundle under examination."""

    def __init__(self, data: Json, hospital: str, report: Report) -> None:
        self.data = data
        self.hospital = hospital
        self.report = report
        self.entries: dict[str, list[_Entry]] = {kind: [] for kind in MODELS}
        self.types: dict[str, str] = {}
        self.issued: datetime | None = None
        self.private: tuple[str, ...] = ()

    def check(self) -> None:
        self.envelope()
        self.index()
        self.first_issue()
        for kind, check in (("Patient", self.patient), ("Practitioner", self.practitioner),
                            ("Organization", self.organization), ("Encounter", self.encounter),
                            ("Condition", self.condition), ("Coverage", self.coverage)):
            for entry in self.entries[kind]:
                check(entry.resource, entry.path)
        self.items()
        self.keys()

    def envelope(self) -> None:
        data, require = self.data, self.report.require
        require(member(data, "type") == "collection", "BUNDLE_TYPE", "Bundle.type")
        require(_is_key(member(data, "identifier", "value")), "MESSAGE_KEY", "Bundle.identifier.value")
        _own_system(member(data, "identifier", "system"), self.hospital, "message", "Bundle.identifier.system",
                    self.report)
        require(moment(member(data, "timestamp")), "BUNDLE_TIMESTAMP", "Bundle.timestamp")
        _extensions({k: v for k, v in data.items() if k != "entry"}, "Bundle", {}, self.report)

    def index(self) -> None:
        """Sort the entries by type, and say how many of each there must be."""
        report = self.report
        for index, entry in enumerate(members(self.data, "entry")):
            place = f"Bundle.entry[{index}]"
            url = entry.get("fullUrl") if isinstance(entry, dict) else None
            resource = entry.get("resource") if isinstance(entry, dict) else None
            kind = resource.get("resourceType") if isinstance(resource, dict) else None
            if not isinstance(kind, str) or kind not in MODELS:
                report.add("RESOURCE_UNKNOWN", f"{place}.resource")
            if not isinstance(url, str) or not _UUID.fullmatch(url):
                report.add("FULL_URL", f"{place}.fullUrl")
            elif url in self.types:
                report.add("FULL_URL_DUPLICATE", f"{place}.fullUrl")
            else:
                self.types[url] = kind if isinstance(kind, str) else ""
            if isinstance(resource, dict) and isinstance(kind, str) and kind in MODELS:
                found = self.entries[kind]
                found.append(_Entry(f"{place}.resource", resource, url if isinstance(url, str) else ""))
                line = len(found) if kind == "MedicationRequest" else None
                _extensions(resource, f"{place}.resource", _EXTENSIONS.get(kind, {}), report, line)
            if isinstance(entry, dict):
                _extensions(entry, place, {}, report)
        for kind in _SINGLE:
            report.require(len(self.entries[kind]) == 1, "RESOURCE_COUNT", f"Bundle.entry.resource.ofType({kind})")
        report.require(self.entries["Condition"], "CONDITION_MISSING", "Bundle.entry.resource.ofType(Condition)")
        report.require(1 <= len(self.entries["MedicationRequest"]) <= _MAX_ITEMS, "ITEM_COUNT",
                       "Bundle.entry.resource.ofType(MedicationRequest)")

    def first_issue(self) -> None:
        """The time of issue, needed before the items are looked at."""
        times = (moment(member(e.resource, "authoredOn")) for e in self.entries["MedicationRequest"])
        self.issued = next((t for t in times if t), None)

    def identifier(self, resource: Json, system: str, code: str, pattern: re.Pattern[str], path: str) -> str:
        """The value of the one identifier of a system; findings if it is missing or malformed."""
        given = [i for i in members(resource, "identifier") if isinstance(i, dict)]
        found = [i for i in given if i.get("system") == system]
        if given and not found:
            self.report.add("IDENTIFIER_SYSTEM", f"{path}.identifier[0].system")
            return ""
        value = found[0].get("value") if len(found) == 1 else None
        if isinstance(value, str) and pattern.fullmatch(value):
            return value
        self.report.add(code, f"{path}.identifier")
        return ""

    def reference(self, node: object, wanted: str, path: str, line: int | None = None) -> None:
        target = member(node, "reference") if isinstance(node, dict) else None
        kind = self.types.get(target) if isinstance(target, str) else None
        if kind is None:
            self.report.add("REFERENCE_BROKEN", path, line)
        elif kind != wanted:
            self.report.add("REFERENCE_TYPE", path, line)

    def patient(self, resource: Json, path: str) -> None:
        require = self.report.require
        born, gender = day(member(resource, "birthDate")), member(resource, "gender")
        id_number = self.identifier(resource, codes.RESIDENT_ID, "ID_NUMBER", _RESIDENT_ID, path)
        if id_number and not valid_resident_id(id_number):
            self.report.add("ID_NUMBER", f"{path}.identifier")
            id_number = ""
        known_gender = gender in ("male", "female")
        issued_on = self.issued.astimezone(BEIJING).date() if self.issued else None
        require(born and not (issued_on and born > issued_on), "BIRTH_DATE", f"{path}.birthDate")
        require(known_gender, "GENDER", f"{path}.gender")
        if id_number:
            require(not born or f"{born:%Y%m%d}" == id_number[6:14], "BIRTH_DATE_MISMATCH", f"{path}.birthDate")
            require(not known_gender or (gender == "male") == (int(id_number[16]) % 2 == 1),
                    "GENDER_MISMATCH", f"{path}.gender")
        require(text(members(resource, "name"), "text"), "PATIENT_NAME", f"{path}.name")
        require(resource.get("active") is not False and resource.get("deceasedBoolean") is not True
                and "deceasedDateTime" not in resource, "PATIENT_INACTIVE", path)
        district = member(members(resource, "address"), "district")
        require(district is None or _matches(_DIVISION)(district), "DISTRICT", f"{path}.address[0].district")
        self.geolocation(resource, path)
        self.private = tuple(secret for secret in (id_number, phone(resource)) if len(secret) >= 6)

    def geolocation(self, resource: Json, path: str) -> None:
        address = member(members(resource, "address"), "extension")
        given = [(i, e) for i, e in enumerate(address if isinstance(address, list) else [])
                 if member(e, "url") == codes.GEOLOCATION]
        for index, extension in given:
            latitude, longitude = coordinates(extension)
            good = (len(given) == 1 and latitude is not None and longitude is not None
                    and abs(latitude) <= 90 and abs(longitude) <= 180)
            self.report.require(good, "GEOLOCATION", f"{path}.address[0].extension[{index}]")

    def practitioner(self, resource: Json, path: str) -> None:
        self.identifier(resource, codes.sid("physician"), "PHYSICIAN_CODE", _PHYSICIAN, path)

    def organization(self, resource: Json, path: str) -> None:
        self.identifier(resource, codes.sid("institution"), "INSTITUTION_CODE", _INSTITUTION, path)

    def encounter(self, resource: Json, path: str) -> None:
        require = self.report.require
        visit = resource.get("class")
        require(_in(member(visit, "code"), codes.VISIT_CLASSES) and member(visit, "system") == codes.ACT_CODE,
                "VISIT_CLASS", f"{path}.class")
        require(coded(resource.get("type"), codes.code_system("visit-type")) in codes.VISIT_TYPES,
                "VISIT_TYPE", f"{path}.type")
        require(_in(resource.get("status"), {"finished", "in-progress"}), "VISIT_STATUS", f"{path}.status")
        self.reference(resource.get("subject"), "Patient", f"{path}.subject")
        proof_url = codes.extension("revisit-proof")
        for index, extension in enumerate(members(resource, "extension")):
            if member(extension, "url") == proof_url:
                issued, diagnoses = proof(extension)
                issued_on = self.issued.astimezone(BEIJING).date() if self.issued else None
                require(issued and diagnoses and all(ICD10_CODE.fullmatch(c) for c in diagnoses)
                        and not (issued_on and issued > issued_on),
                        "REVISIT_PROOF", f"{path}.extension[{index}]")

    def condition(self, resource: Json, path: str) -> None:
        require = self.report.require
        code = resource.get("code")
        require(ICD10_CODE.fullmatch(coded(code, codes.ICD10)), "DIAGNOSIS_CODE", f"{path}.code")
        require(named(code, codes.ICD10), "DIAGNOSIS_NAME", f"{path}.code")
        denied = any(_in(member(coding, "code"), {"refuted", "entered-in-error"})
                     for coding in members(resource.get("verificationStatus"), "coding"))
        require(not denied, "DIAGNOSIS_DENIED", f"{path}.verificationStatus")
        self.reference(resource.get("subject"), "Patient", f"{path}.subject")
        if "encounter" in resource:
            self.reference(resource["encounter"], "Encounter", f"{path}.encounter")

    def coverage(self, resource: Json, path: str) -> None:
        require = self.report.require
        require(resource.get("status") == "active", "COVERAGE_STATUS", f"{path}.status")
        require(coded(resource.get("type"), codes.code_system("insutype")) in codes.INSUTYPES,
                "INSUTYPE", f"{path}.type")
        require(_matches(_DIVISION)(extended(resource, "insured-place", "valueCode")), "INSURED_PLACE",
                f"{path}.extension('{codes.extension('insured-place')}')")
        self.reference(resource.get("beneficiary"), "Patient", f"{path}.beneficiary")

    def items(self) -> None:
        entries = self.entries["MedicationRequest"]
        numbers: set[str] = set()
        shared: dict[str, object] = {}
        home = False
        for line, entry in enumerate(entries, 1):
            self.item(entry.resource, entry.path, line)
            self.dosage(entry.resource, entry.path, line)
            self.dispense(entry.resource, entry.path, line)
            given = member(members(entry.resource, "identifier"), "value")
            if _is_key(given):
                self.report.require(given not in numbers, "ITEM_NUMBER_DUPLICATE",
                                    f"{entry.path}.identifier[0].value", line)
                numbers.add(given)
            home |= extended(entry.resource, "handover", "valueCode") == "home"
            for name, value in _shared(entry.resource).items():
                if value is not None and shared.setdefault(name, value) != value:
                    self.report.add("ITEMS_DISAGREE", f"{entry.path}.{name}", line)
        for patient in self.entries["Patient"] if home else []:
            self.report.require(_PHONE.fullmatch(phone(patient.resource)), "HOME_PHONE", f"{patient.path}.telecom")
            self.report.require(text(members(patient.resource, "address"), "text"), "HOME_ADDRESS",
                                f"{patient.path}.address")

    def item(self, resource: Json, path: str, line: int) -> None:
        def require(holds: object, code: str, element: str) -> None:
            self.report.require(holds, code, f"{path}.{element}", line)

        require(resource.get("status") == "active", "ITEM_STATUS", "status")
        require(resource.get("intent") == "order", "ITEM_INTENT", "intent")
        require(resource.get("doNotPerform", False) is False, "ITEM_PROHIBITED", "doNotPerform")
        group, own = resource.get("groupIdentifier"), members(resource, "identifier")
        require(_is_key(member(group, "value")), "PRESCRIPTION_NUMBER", "groupIdentifier.value")
        require(_is_key(member(own, "value")), "ITEM_NUMBER", "identifier[0].value")
        _own_system(member(group, "system"), self.hospital, "prescription", f"{path}.groupIdentifier.system",
                    self.report)
        _own_system(member(own, "system"), self.hospital, "item", f"{path}.identifier[0].system", self.report)
        require(coded(resource.get("category"), codes.code_system("drug-kind")) in codes.DRUG_KINDS,
                "DRUG_KIND", "category")
        require(coded(resource.get("courseOfTherapyType"), codes.code_system("prescription-kind")) in codes.RX_KINDS,
                "RX_KIND", "courseOfTherapyType")
        require(_in(extended(resource, "handover", "valueCode"), codes.HANDOVERS), "HANDOVER",
                f"extension('{codes.extension('handover')}')")
        drug = resource.get("medicationCodeableConcept")
        require(_DRUG.fullmatch(coded(drug, codes.code_system("drug"))), "DRUG_CODE", "medication")
        require(named(drug, codes.code_system("drug")), "DRUG_NAME", "medication")
        self.reference(resource.get("subject"), "Patient", f"{path}.subject", line)
        self.reference(resource.get("encounter"), "Encounter", f"{path}.encounter", line)
        self.reference(resource.get("requester"), "Practitioner", f"{path}.requester", line)
        for name, wanted in (("reasonReference", "Condition"), ("insurance", "Coverage")):
            for index, node in enumerate(members(resource, name)):
                self.reference(node, wanted, f"{path}.{name}[{index}]", line)
        self.times(resource, path, line)

    def times(self, resource: Json, path: str, line: int) -> None:
        """Validity in PLUS_HOURS mode (A-01): 24, 48 or 72 hours from the moment of issue."""
        require = self.report.require
        issued, sent = moment(resource.get("authoredOn")), moment(self.data.get("timestamp"))
        require(issued, "AUTHORED_ON", f"{path}.authoredOn", line)
        require(not (issued and sent and issued - sent > CLOCK_SKEW), "AUTHORED_IN_FUTURE", f"{path}.authoredOn", line)
        place = f"{path}.dispenseRequest.validityPeriod"
        period = _validity(resource)
        require(period and period[1] - period[0] in [timedelta(hours=h) for h in VALIDITY_HOURS],
                "VALIDITY_PERIOD", place, line)
        require(not (period and issued) or period[0] == issued, "VALIDITY_START", f"{place}.start", line)

    def dosage(self, resource: Json, path: str, line: int) -> None:
        given = members(resource, "dosageInstruction")
        self.report.require(len(given) == 1 and len(members(given, "doseAndRate")) <= 1, "DOSAGE_COUNT",
                            f"{path}.dosageInstruction", line)
        for index, one in enumerate(given):
            place = f"{path}.dosageInstruction[{index}]"
            dose = member(one, "doseAndRate", "doseQuantity")
            amount = number(member(dose, "value"))
            self.report.require(coded(member(one, "timing", "code"), codes.code_system("frequency"))
                                in codes.FREQUENCIES, "FREQUENCY", f"{place}.timing.code", line)
            self.report.require(coded(member(one, "route"), codes.code_system("route")) in codes.ROUTES,
                                "ROUTE", f"{place}.route", line)
            self.report.require(amount is not None and amount > 0, "DOSE",
                                f"{place}.doseAndRate[0].dose.value", line)
            self.report.require(unit(dose) in codes.DOSE_UNITS, "DOSE_UNIT", f"{place}.doseAndRate[0].dose.unit", line)
            for name in ("text", "patientInstruction"):
                self.report.require(not _VAGUE.search(text(one, name)), "USAGE_VAGUE", f"{place}.{name}", line)

    def dispense(self, resource: Json, path: str, line: int) -> None:
        request, place = resource.get("dispenseRequest"), f"{path}.dispenseRequest"
        quantity, supply = member(request, "quantity"), member(request, "expectedSupplyDuration")
        amount, days = number(member(quantity, "value")), number(member(supply, "value"))
        repeats = member(request, "numberOfRepeatsAllowed")
        self.report.require(amount is not None and amount > 0, "QUANTITY", f"{place}.quantity.value", line)
        self.report.require(unit(quantity) in codes.PACK_UNITS, "QUANTITY_UNIT", f"{place}.quantity.unit", line)
        self.report.require(days is not None and 1 <= days <= 366 and days == int(days), "DAYS_SUPPLY",
                            f"{place}.expectedSupplyDuration.value", line)
        self.report.require(member(supply, "code") == "d" and member(supply, "system") == codes.UCUM, "DAYS_UNIT",
                            f"{place}.expectedSupplyDuration.code", line)
        self.report.require(repeats in (None, 0), "REPEATS", f"{place}.numberOfRepeatsAllowed", line)

    def keys(self) -> None:
        """Keys stand in addresses, logs and the names of runs: nothing of a person may be in them."""
        keys: list[tuple[str, str, int | None]] = [
            ("Bundle.identifier.value", text(self.data, "identifier", "value"), None)]
        for line, entry in enumerate(self.entries["MedicationRequest"], 1):
            keys += [(f"{entry.path}.groupIdentifier.value", text(entry.resource, "groupIdentifier", "value"), line),
                     (f"{entry.path}.identifier[0].value", text(members(entry.resource, "identifier"), "value"), line)]
        for path, key, at in keys:
            self.report.require(not any(secret in key for secret in self.private), "KEY_PERSONAL", path, at)


def _in(value: object, allowed: Collection[str]) -> bool:
    return isinstance(value, str) and value in allowed


def _validity(resource: Json) -> tuple[datetime, datetime] | None:
    period = member(resource, "dispenseRequest", "validityPeriod")
    start, end = moment(member(period, "start")), moment(member(period, "end"))
    return (start, end) if start and end else None


def _shared(resource: Json) -> dict[str, object]:
    """What all items of one prescription must have in common; None where an item does not say."""
    kind = coded(resource.get("courseOfTherapyType"), codes.code_system("prescription-kind"))
    handover = extended(resource, "handover", "valueCode")
    return {
        "groupIdentifier": text(resource, "groupIdentifier", "value") or None,
        "subject": text(resource, "subject", "reference") or None,
        "encounter": text(resource, "encounter", "reference") or None,
        "requester": text(resource, "requester", "reference") or None,
        "authoredOn": moment(resource.get("authoredOn")),
        "courseOfTherapyType": kind or None,
        "dispenseRequest.validityPeriod": _validity(resource),
        f"extension('{codes.extension('handover')}')": handover if isinstance(handover, str) else None,
    }

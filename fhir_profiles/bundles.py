"""A draft put into the Bundle of our contract, or the Task of a cancel: once, for all dialects.

It remembers which spot each element came from, so that a finding can be shown in the file as sent. Nothing is judged
here: what is missing or wrong goes into the Bundle as it is, and the checker reports it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from domain.findings import NOWHERE, Spot
from fhir_profiles import codes
from fhir_profiles.drafts import (
    NOTHING,
    CancelDraft,
    Datum,
    DiagnosisDraft,
    Draft,
    GuardianDraft,
    ItemDraft,
    PatientDraft,
    ReadingDraft,
    SignatureDraft,
)
from fhir_profiles.message import Json, fhirpath

Spots = Mapping[str, Spot]


def bundle(draft: Draft) -> tuple[Json, Spots]:
    """The Bundle (contracts.md 1.1) and, for its elements, where each stood in the file as sent."""
    spots: dict[str, Spot] = {}

    def url(name: str) -> str:
        return f"urn:uuid:{uuid5(NAMESPACE_URL, f'{draft.hospital}/{draft.key.value}/{name}')}"

    entries: list[Json] = []

    def add(name: str, resource: "_Node") -> None:
        entries.append({"fullUrl": url(name), "resource": resource.json()})
        spots.update(resource.spots(f"Bundle.entry[{len(entries) - 1}].resource"))

    refer = {name: {"reference": url(name)} for name in ("patient", "encounter", "practitioner", "organization", "coverage")}
    diagnoses = list(enumerate(draft.diagnoses, 1))
    add("patient", _patient(draft.patient))
    add("practitioner", _practitioner(draft))
    add("organization", _organization(draft))
    add("encounter", _encounter(draft, refer))
    for number, diagnosis in diagnoses:
        add(f"condition-{number}", _condition(diagnosis, refer))
    add("coverage", _coverage(draft, refer))
    reasons = [{"reference": url(f"condition-{number}")} for number, _ in diagnoses]
    for line, item in enumerate(draft.items, 1):
        add(f"item-{line}", _item(draft, item, refer, reasons))
    if draft.title.value:
        add("role", _role(draft, refer))
    if draft.patient.guardian:
        add("guardian", _guardian(draft.patient.guardian, refer))
    for number, reading in enumerate(draft.readings, 1):
        add(f"reading-{number}", _reading(reading, refer))
    if draft.signature:
        add("signature", _signature(draft.signature, refer, [
            {"reference": url(f"item-{line}")} for line, _ in enumerate(draft.items, 1)]))

    envelope = _Node("Bundle", type="collection")
    envelope.say("identifier.system", codes.own_system(draft.hospital, "message"))
    envelope.say("identifier.value", draft.key)
    envelope.say("timestamp", draft.sent)
    spots.update(envelope.spots("Bundle"))
    return envelope.json() | {"entry": entries}, spots


def cancel(draft: CancelDraft) -> tuple[Json, Spots]:
    """The cancel Task (contracts.md 1.2) and where its elements stood."""
    task = _Node("Task", status="requested", intent="order")
    task.say("identifier[0].system", codes.own_system(draft.hospital, "message"))
    task.say("identifier[0].value", draft.key)
    task.say("code.coding[0].system", codes.code_system("task"))
    task.say("code.coding[0].code", "cancel")
    task.say("focus.identifier.system", codes.own_system(draft.hospital, "prescription"))
    task.say("focus.identifier.value", draft.number)
    task.code("reasonCode", codes.code_system("cancel-reason"), draft.reason)
    task.say("authoredOn", draft.at)
    return task.json(), task.spots("Task")


def locate(spots: Spots) -> Callable[[str], Spot | None]:
    """The spot of an element, of the nearest one around it, or of the first one within it."""

    def find(path: str) -> Spot | None:
        while path:
            within = (spot for known, spot in spots.items() if known == path or known.startswith((f"{path}.", f"{path}[")))
            if spot := spots.get(path) or next(within, None):
                return spot
            path = _AROUND.sub("", path) if _AROUND.search(path) else ""
        return None

    return find


# Resources.

def _patient(draft: PatientDraft) -> "_Node":
    patient = _Node("Patient")
    patient.identifier(codes.RESIDENT_ID, draft.id_number)
    patient.identifier(codes.sid("insurance-credential"), draft.credential)
    patient.say("name[0].text", draft.name)
    patient.say("gender", draft.gender)
    patient.say("birthDate", draft.birth_date)
    if draft.phone.value:
        patient.say("telecom[0].system", "phone")
        patient.say("telecom[0].value", draft.phone)
    patient.say("address[0].text", draft.address)
    patient.say("address[0].district", draft.district)
    if draft.latitude.value or draft.longitude.value:
        patient.say("address[0].extension[0].url", codes.GEOLOCATION)
        for index, (name, degrees) in enumerate((("latitude", draft.latitude), ("longitude", draft.longitude))):
            patient.say(f"address[0].extension[0].extension[{index}].url", name)
            patient.say(f"address[0].extension[0].extension[{index}].valueDecimal", degrees, number)
    for allergy in draft.allergies:
        patient.extension("allergy-group", "valueCode", allergy)
    for words in draft.allergy_words:
        patient.extension("allergy-text", "valueString", words)
    patient.extension("no-known-allergies", "valueBoolean", draft.no_known_allergies, flag)
    patient.extension("pregnancy-weeks", "valueInteger", draft.pregnancy_weeks, number)
    patient.extension("lactating", "valueBoolean", draft.lactating, flag)
    patient.extension("guardian-confirmed", "valueBoolean", draft.guardian_confirmed, flag)
    return patient


def _practitioner(draft: Draft) -> "_Node":
    practitioner = _Node("Practitioner")
    practitioner.identifier(codes.sid("physician"), draft.physician)
    practitioner.say("name[0].text", draft.physician_name)
    practitioner.extension("independent-years", "valueInteger", draft.independent_years, number)
    return practitioner


def _role(draft: Draft, refer: Mapping[str, Json]) -> "_Node":
    role = _Node("PractitionerRole", practitioner=refer["practitioner"], organization=refer["organization"])
    role.code("code[0]", codes.code_system("title"), draft.title)
    return role


def _guardian(draft: GuardianDraft, refer: Mapping[str, Json]) -> "_Node":
    guardian = _Node("RelatedPerson", patient=refer["patient"])
    guardian.identifier(codes.RESIDENT_ID, draft.id_number)
    guardian.say("name[0].text", draft.name)
    guardian.code("relationship[0]", codes.code_system("guardianship"), draft.relationship)
    return guardian


def _organization(draft: Draft) -> "_Node":
    organization = _Node("Organization")
    organization.identifier(codes.sid("institution"), draft.institution)
    organization.say("name", draft.institution_name)
    return organization


def _encounter(draft: Draft, refer: Mapping[str, Json]) -> "_Node":
    encounter = _Node("Encounter", status="finished", subject=refer["patient"])
    if draft.visit_class.value:
        encounter.say("class.system", codes.ACT_CODE)
    encounter.say("class.code", draft.visit_class)
    encounter.code("type[0]", codes.code_system("visit-type"), draft.visit_type)
    encounter.identifier(codes.own_system(draft.hospital, "visit"), draft.visit_number)
    encounter.code("serviceType", codes.code_system("department"), draft.department)
    encounter.say("serviceType.text", draft.department_name)
    if draft.proof_issued.value or draft.proof_diagnoses:
        encounter.say("extension[0].url", codes.extension("revisit-proof"))
        encounter.say("extension[0].extension[0].url", "issued")
        encounter.say("extension[0].extension[0].valueDate", draft.proof_issued)
        for index, code in enumerate(draft.proof_diagnoses, 1):
            encounter.say(f"extension[0].extension[{index}].url", "diagnosis")
            encounter.say(f"extension[0].extension[{index}].valueCode", code)
    return encounter


def _condition(diagnosis: DiagnosisDraft, refer: Mapping[str, Json]) -> "_Node":
    condition = _Node("Condition", subject=refer["patient"], encounter=refer["encounter"])
    condition.code("code", codes.ICD10, diagnosis.code, diagnosis.name)
    return condition


def _coverage(draft: Draft, refer: Mapping[str, Json]) -> "_Node":
    coverage = _Node("Coverage", status="active", beneficiary=refer["patient"], payor=[{"display": "医保"}])
    coverage.code("type", codes.code_system("insutype"), draft.insutype)
    coverage.extension("insured-place", "valueCode", draft.insured_place)
    coverage.extension("chronic-disease", "valueCode", draft.chronic_disease)
    return coverage


def _item(draft: Draft, item: ItemDraft, refer: Mapping[str, Json], reasons: Sequence[Json]) -> "_Node":
    request = _Node("MedicationRequest", status="active", intent="order", subject=refer["patient"],
                    encounter=refer["encounter"], requester=refer["practitioner"], insurance=[refer["coverage"]],
                    **({"reasonReference": list(reasons)} if reasons else {}))
    request.say("groupIdentifier.system", codes.own_system(draft.hospital, "prescription"))
    request.say("groupIdentifier.value", draft.number)
    request.identifier(codes.own_system(draft.hospital, "item"), item.number)
    request.code("category[0]", codes.code_system("drug-kind"), item.kind)
    request.code("courseOfTherapyType", codes.code_system("prescription-kind"), draft.rx_kind)
    request.code("medicationCodeableConcept", codes.code_system("drug"), item.drug, item.name)
    request.say("authoredOn", draft.issued)
    dosage = "dosageInstruction[0]"
    request.say(f"{dosage}.text", item.usage)
    request.code(f"{dosage}.timing.code", codes.code_system("frequency"), item.frequency)
    request.code(f"{dosage}.route", codes.code_system("route"), item.route)
    request.say(f"{dosage}.doseAndRate[0].doseQuantity.value", item.dose, number)
    request.say(f"{dosage}.doseAndRate[0].doseQuantity.unit", item.dose_unit)
    dispense = "dispenseRequest"
    request.say(f"{dispense}.validityPeriod.start", draft.issued)
    request.say(f"{dispense}.validityPeriod.end", draft.valid_until)
    request.say(f"{dispense}.quantity.value", item.quantity, number)
    request.say(f"{dispense}.quantity.unit", item.unit)
    request.say(f"{dispense}.expectedSupplyDuration.value", item.days, number)
    # A draft counts in days: where none are said, their number alone is missing.
    for name, value in (("unit", "d"), ("system", codes.UCUM), ("code", "d")):
        request.say(f"{dispense}.expectedSupplyDuration.{name}", value)
    request.extension("handover", "valueCode", draft.handover)
    request.extension("extend-reason", "valueString", draft.extend_reason)
    request.extension("long-term-assessed", "valueBoolean", draft.long_term_assessed, flag)
    request.extension("patient-acknowledged", "valueBoolean", draft.patient_acknowledged, flag)
    request.extension("overdose-reason", "valueString", item.overdose_reason)
    request.extension("valid-reason", "valueString", draft.valid_reason)
    request.extension("prescription-note", "valueString", draft.note)
    request.say("note[0].text", item.note)
    request.extension("hospital-approval", "valueCode", item.approval)
    request.group("skin-test", ("result", "valueCode", item.skin_test, str),
                  ("at", "valueDateTime", item.skin_test_at, str),
                  ("exemption", "valueString", item.skin_test_exemption, str))
    request.group("pack", ("strength", "valueQuantity.value", item.strength, number),
                  ("strength", "valueQuantity.unit", item.dose_unit if item.strength.value else NOTHING, str),
                  ("size", "valuePositiveInt", item.pack_size, number))
    if item.kind.value == "tcm_piece" and draft.decoction:
        request.group("decoction", ("doses", "valuePositiveInt", draft.decoction.doses, number),
                      ("method", "valueCode", draft.decoction.method, str),
                      ("times", "valuePositiveInt", draft.decoction.times, number))
    request.extension("decoction-mark", "valueCode", item.decoction_mark)
    request.group("renewal", ("first", "valueString", draft.renewal_first, str),
                  ("window", "valuePeriod.start", draft.renewal_start, str),
                  ("window", "valuePeriod.end", draft.renewal_end, str))
    return request


def _reading(draft: ReadingDraft, refer: Mapping[str, Json]) -> "_Node":
    reading = _Node("Observation", status="final", subject=refer["patient"])
    reading.code("code", codes.LOINC, draft.code)
    reading.say("effectiveDateTime", draft.at)
    reading.quantity("valueQuantity", draft.value, draft.unit)
    for index, (code, value, unit) in enumerate(draft.parts):
        reading.code(f"component[{index}].code", codes.LOINC, code)
        reading.quantity(f"component[{index}].valueQuantity", value, unit)
    return reading


def _signature(draft: SignatureDraft, refer: Mapping[str, Json], targets: Sequence[Json]) -> "_Node":
    signature = _Node("Provenance", target=list(targets), agent=[{"who": refer["practitioner"]}],
                      signature=[{"type": [{"system": codes.SIGNATURE_TYPE, "code": codes.AUTHORS_SIGNATURE}],
                                  "who": refer["practitioner"]}])
    signature.say("recorded", draft.at)
    signature.say("signature[0].when", draft.at)
    signature.say("signature[0].data", draft.data)
    return signature


# Values: what cannot be read as its type stays a text, and the checker refuses it in its place.

def number(text: str) -> Any:
    # Decimal takes more than a person would write: 1e3, 1_000, digits of other scripts.
    if not _NUMBER.fullmatch(text):
        return text
    value = Decimal(text)
    return int(value) if value == value.to_integral_value() and abs(value.adjusted()) < 18 else value


def flag(text: str) -> Any:
    return {"true": True, "false": False}.get(text, text)


_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_AROUND = re.compile(r"(\.\w+(\([^)]*\))?|\[\d+\])$")
"""The last step of a FHIRPath: `.value`, `[2]`, `.ofType(Patient)`, `.extension('…')`."""
_STEP = re.compile(r"(\w+)(?:\[(\d+)\])?")


class _Node:
    """A resource in the making: values go in by path, with the spot they came from."""

    def __init__(self, resource_type: str, **fixed: Any) -> None:
        self._data: Json = {"resourceType": resource_type, **fixed}
        self._spots: dict[tuple[str | int, ...], Spot] = {}
        self._extensions: dict[str, Spot] = {}

    def json(self) -> Json:
        return self._data

    def spots(self, root: str) -> dict[str, Spot]:
        return ({fhirpath(root, names): spot for names, spot in self._spots.items()}
                | {f"{root}.extension('{url}')": spot for url, spot in self._extensions.items()})

    def say(self, path: str, datum: Datum | str, read: Callable[[str], Any] = str) -> None:
        """Put a value where the path says; nothing for one that was not said."""
        if isinstance(datum, str):
            datum = Datum(datum)
        steps = [(name, int(index) if index else None) for name, index in _STEP.findall(path)]
        if datum.spot != NOWHERE:
            # Also of what was left empty: that is where it should have stood.
            self._spots[tuple(part for name, index in steps for part in ((name,) if index is None else (name, index)))
                        ] = datum.spot
        if not datum.value:
            return
        node: Any = self._data
        for place, (name, index) in enumerate(steps):
            last = place == len(steps) - 1
            if index is not None:
                rows = node.setdefault(name, [])
                while len(rows) <= index:
                    rows.append({})
                if last:
                    rows[index] = read(datum.value)
                node = rows[index]
            elif last:
                node[name] = read(datum.value)
            else:
                node = node.setdefault(name, {})

    def identifier(self, system: str, value: Datum) -> None:
        """One more identifier."""
        if value.value:
            index = len(self._data.get("identifier", []))
            self.say(f"identifier[{index}].system", system)
            self.say(f"identifier[{index}].value", value)
        elif value.spot != NOWHERE and "identifier" not in self._data:
            # Where another one stands, a finding is about that.
            self._spots.setdefault(("identifier",), value.spot)

    def code(self, path: str, system: str, code: Datum, display: Datum = NOTHING) -> None:
        """A CodeableConcept with one coding."""
        if code.value:
            self.say(f"{path}.coding[0].system", system)
        self.say(f"{path}.coding[0].code", code)
        self.say(f"{path}.coding[0].display" if code.value else f"{path}.text", display)

    def quantity(self, path: str, value: Datum, unit: Datum) -> None:
        """A Quantity in a unit of UCUM."""
        self.say(f"{path}.value", value, number)
        if unit.value:
            self.say(f"{path}.system", codes.UCUM)
        self.say(f"{path}.unit", unit)
        self.say(f"{path}.code", unit)

    def group(self, name: str, *parts: tuple[str, str, Datum, Callable[[str], Any]]) -> None:
        """One more extension of ours around others: name, element, value and how it is read, of each."""
        spot = next((said.spot for _, _, said, _ in parts if said.spot != NOWHERE), NOWHERE)
        if spot != NOWHERE:
            self._extensions[codes.extension(name)] = spot
        if not any(said.value for _, _, said, _ in parts):
            return
        around = f"extension[{len(self._data.get('extension', []))}]"
        self.say(f"{around}.url", codes.extension(name))
        places: dict[str, int] = {}
        for part, element, datum, read in parts:
            if datum.value:
                place = places.setdefault(part, len(places))
                self.say(f"{around}.extension[{place}].url", part)
                self.say(f"{around}.extension[{place}].{element}", datum, read)

    def extension(self, name: str, element: str, datum: Datum, read: Callable[[str], Any] = str) -> None:
        """One more extension of ours."""
        if datum.spot != NOWHERE:
            self._extensions[codes.extension(name)] = datum.spot
        if datum.value:
            index = len(self._data.get("extension", []))
            self.say(f"extension[{index}].url", codes.extension(name))
            self.say(f"extension[{index}].{element}", datum, read)

"""From a checked message to the prescription the platform works with; FHIR ends here.

Reading is deterministic: the same bytes give the same prescription, whenever and wherever they are read.
"""

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import cast

from domain import allergies
from domain.prescription import (
    Approval,
    Channel,
    Coverage,
    Decoction,
    Diagnosis,
    DrugKind,
    Handover,
    Item,
    Pack,
    PatientFacts,
    Place,
    Prescriber,
    Prescription,
    Reading,
    Renewal,
    RxKind,
    Sex,
    Signature,
    SkinTest,
    SkinTestResult,
    Visit,
    prescription_id,
)
from fhir_profiles import codes
from fhir_profiles.checks.statements import supply_days
from fhir_profiles.current import current_address, current_name, current_phone
from fhir_profiles.message import (
    BEIJING,
    Json,
    coded,
    coordinates,
    day,
    extended,
    member,
    members,
    moment,
    named,
    number,
    parts,
    proof,
    text,
    unit,
)

_CHANNELS = {"VR": Channel.INTERNET, "AMB": Channel.OUTPATIENT}
_HUNDREDTH = Decimal("0.01")


@dataclass(frozen=True)
class PatientRecord:
    """Who the patient is: for the encrypted columns, never for the domain."""

    name: str = field(repr=False)
    id_number: str = field(repr=False)
    birth_date: date = field(repr=False)
    phone: str = field(repr=False)
    """Empty if the hospital sent none."""
    address: str = field(repr=False)
    """Empty if the hospital sent none."""
    credential: str = field(default="", repr=False)
    """The insurance's electronic credential (医保电子凭证), empty if the hospital sent none."""
    guardian_name: str = field(default="", repr=False)
    guardian_id_number: str = field(default="", repr=False)


@dataclass(frozen=True)
class Admitted:
    """A message that kept the contract."""

    key: str
    """Bundle.identifier.value."""
    prescription: Prescription
    patient: PatientRecord


@dataclass(frozen=True)
class CancelRequest:
    key: str
    """Task.identifier[0].value."""
    external_id: str
    """The hospital's prescription number; we may not have heard of it yet."""
    reason: str
    """Code of CodeSystem/cancel-reason."""
    at: datetime


def read_bundle_data(data: Json, hospital: str, patient_id: Callable[[str], str]) -> Admitted:
    """The prescription in a Bundle in which the checker has found nothing.

    `patient_id` turns a resident id number into our opaque id. `valid_until` is `issued_at` plus 24, 48 or 72
    hours (A-01, PLUS_HOURS).
    """
    resources: dict[str, list[Json]] = {}
    for entry in data["entry"]:
        resources.setdefault(entry["resource"]["resourceType"], []).append(entry["resource"])
    guardian = next(iter(resources.get("RelatedPerson", ())), None)
    requests = resources["MedicationRequest"]
    first = requests[0]
    issued_at, valid_days = _issue(first)
    issued_on = issued_at.astimezone(BEIJING).date()
    patient = _patient_record(resources["Patient"][0], guardian, issued_on)
    diagnoses = {entry["fullUrl"]: _diagnosis(entry["resource"]) for entry in data["entry"]
                 if entry["resource"]["resourceType"] == "Condition"}
    items = tuple(_item(request, line, diagnoses) for line, request in enumerate(requests, 1))
    note = _shared(requests, "prescription-note")
    external_id = first["groupIdentifier"]["value"]
    prescription = Prescription(
        id=prescription_id(hospital, external_id),
        hospital=hospital,
        external_id=external_id,
        institution=_institution(resources["Organization"][0]),
        institution_name=text(resources["Organization"][0], "name"),
        kind=RxKind(coded(first["courseOfTherapyType"], codes.code_system("prescription-kind"))),
        issued_at=issued_at,
        valid_days=valid_days,
        valid_until=issued_at + timedelta(days=valid_days),
        patient=_patient_facts(resources["Patient"][0], guardian, patient, patient_id(patient.id_number), issued_on,
                               [note, *(words for item in items for words in (item.note, item.directions))]),
        prescriber=_prescriber(resources),
        visit=_visit(resources["Encounter"][0]),
        coverage=_coverage(resources["Coverage"][0]),
        diagnoses=tuple(diagnoses.values()),
        items=items,
        handover=Handover(extended(first, "handover", "valueCode")),
        place=_place(current_address(resources["Patient"][0], issued_on)),
        extend_reason=_shared(requests, "extend-reason"),
        valid_reason=_shared(requests, "valid-reason"),
        note=note,
        decoction=next((d for d in map(_decoction, requests) if d), None),
        renewal=next((r for r in map(_renewal, requests) if r), None),
        readings=tuple(map(_home_reading, resources.get("Observation", ()))),
        signature=next(map(_signature, resources.get("Provenance", ())), None),
        # Each item must say so: an item without the extension was not assessed.
        long_term_assessed=all(extended(r, "long-term-assessed", "valueBoolean") is True for r in requests),
        patient_acknowledged=all(extended(r, "patient-acknowledged", "valueBoolean") is True for r in requests),
    )
    return Admitted(data["identifier"]["value"], prescription, patient)


def read_cancel_data(data: Json) -> CancelRequest:
    """The cancel in a Task in which the checker has found nothing."""
    return CancelRequest(
        key=data["identifier"][0]["value"],
        external_id=data["focus"]["identifier"]["value"],
        reason=coded(data["reasonCode"], codes.code_system("cancel-reason")),
        at=cast(datetime, moment(data["authoredOn"])),
    )


def external_id(data: Json) -> str:
    """The hospital's prescription number in a Bundle or a Task; empty if it says none."""
    requests = (member(entry, "resource") for entry in members(data, "entry"))
    numbers = [text(request, "groupIdentifier", "value") for request in requests] + [text(data, "focus", "identifier", "value")]
    return next((number for number in numbers if number), "")


def _issue(request: Json) -> tuple[datetime, int]:
    issued_at = cast(datetime, moment(request["authoredOn"]))
    end = cast(datetime, moment(request["dispenseRequest"]["validityPeriod"]["end"]))
    return issued_at, (end - issued_at).days


def _patient_record(patient: Json, guardian: Json | None, on: date) -> PatientRecord:
    return PatientRecord(
        name=text(current_name(patient, on), "text"),
        id_number=_identified(patient, codes.RESIDENT_ID),
        birth_date=cast(date, day(patient["birthDate"])),
        phone=text(current_phone(patient, on), "value"),
        address=text(current_address(patient, on), "text"),
        credential=_identified(patient, codes.sid("insurance-credential")),
        guardian_name=text(current_name(guardian, on), "text"),
        guardian_id_number=_identified(guardian, codes.RESIDENT_ID) if guardian else "",
    )


def _identified(node: Json, system: str) -> str:
    """The value of the identifier of a system; empty if there is none."""
    return next((i["value"] for i in members(node, "identifier") if i.get("system") == system), "")


def _patient_facts(patient: Json, guardian: Json | None, record: PatientRecord, opaque_id: str, on: date,
                   words: Sequence[str]) -> PatientFacts:
    """`words` are what the prescriber wrote freely: an allergy stands there too (B-35)."""
    allergy_words = (*_all_extended(patient, "allergy-text", "valueString"),
                     *(clause for text in words for clause in allergies.stated(text)))
    return PatientFacts(
        id=opaque_id,
        sex=Sex(patient["gender"]),
        age_months=months_between(record.birth_date, on),
        age_days=(on - record.birth_date).days,
        allergies=_all_extended(patient, "allergy-group", "valueCode"),
        allergy_words=tuple(dict.fromkeys(allergy_words)),
        no_known_allergies=extended(patient, "no-known-allergies", "valueBoolean") is True,
        pregnancy_weeks=extended(patient, "pregnancy-weeks", "valueInteger"),
        lactating=extended(patient, "lactating", "valueBoolean"),
        guardian_confirmed=extended(patient, "guardian-confirmed", "valueBoolean") is True,
        guardian=coded(member(guardian, "relationship"), codes.code_system("guardianship")),
    )


def _all_extended(node: Json, name: str, value: str) -> tuple[str, ...]:
    """The texts of every extension of ours with this name."""
    url = codes.extension(name)
    return tuple(e[value].strip() for e in members(node, "extension") if e["url"] == url)


def months_between(born: date, on: date) -> int:
    """Completed months of age on a day."""
    return (on.year - born.year) * 12 + on.month - born.month - (on.day < born.day)


def _prescriber(resources: dict[str, list[Json]]) -> Prescriber:
    practitioner, service = resources["Practitioner"][0], member(resources["Encounter"][0], "serviceType")
    return Prescriber(
        id=_identified(practitioner, codes.sid("physician")),
        department=coded(service, codes.code_system("department")),
        independent_years=extended(practitioner, "independent-years", "valueInteger") or 0,
        department_name=named(service, codes.code_system("department")),
        title=coded(member(resources.get("PractitionerRole", []), "code"), codes.code_system("title")),
    )


def _institution(organization: Json) -> str:
    return str(next(i["value"] for i in organization["identifier"] if i.get("system") == codes.sid("institution")))


def _visit(encounter: Json) -> Visit:
    proof_url = codes.extension("revisit-proof")
    extension = next((e for e in members(encounter, "extension") if e["url"] == proof_url), None)
    proof_date, proof_codes = proof(extension)
    return Visit(
        channel=_CHANNELS[encounter["class"]["code"]],
        follow_up=coded(encounter["type"], codes.code_system("visit-type")) == "follow-up",
        proof_codes=proof_codes,
        proof_date=proof_date,
        number=text(encounter, "identifier", "value"),
        start=moment(member(encounter, "period", "start")),
        end=moment(member(encounter, "period", "end")),
    )


def _coverage(coverage: Json) -> Coverage:
    return Coverage(
        insutype=coded(coverage["type"], codes.code_system("insutype")),
        insured_place=extended(coverage, "insured-place", "valueCode"),
        disease_code=extended(coverage, "chronic-disease", "valueCode") or "",
    )


def _diagnosis(condition: Json) -> Diagnosis:
    return Diagnosis(coded(condition["code"], codes.ICD10), named(condition["code"], codes.ICD10),
                     coded(condition.get("verificationStatus"), codes.VERIFICATION_STATUS))


def _place(address: Json | None) -> Place:
    """Where the patient is; an empty district and zero degrees if the hospital did not say."""
    latitude, longitude = coordinates(next(
        (e for e in members(address, "extension") if e["url"] == codes.GEOLOCATION), None))
    return Place(
        district=text(address, "district"),
        latitude=(latitude or Decimal(0)).quantize(_HUNDREDTH, ROUND_HALF_UP),
        longitude=(longitude or Decimal(0)).quantize(_HUNDREDTH, ROUND_HALF_UP),
    )


def _shared(requests: Sequence[Json], name: str) -> str:
    """What the items say in an extension of ours, each thing once."""
    values = (extended(request, name, "valueString") for request in requests)
    return "；".join(dict.fromkeys(words for words in (word.strip() for word in values if word) if words))


def _decoction(request: Json) -> Decoction | None:
    details = parts(request, "decoction")
    return Decoction(doses=details["doses"]["valuePositiveInt"], method=details["method"]["valueCode"],
                     times=details["times"]["valuePositiveInt"]) if details else None


def _renewal(request: Json) -> Renewal | None:
    renewal = parts(request, "renewal")
    if not renewal:
        return None
    window = renewal["window"]["valuePeriod"]
    return Renewal(renewal["first"]["valueString"], cast(date, day(window["start"])), cast(date, day(window["end"])))


def _home_reading(observation: Json) -> Reading:
    value = observation.get("valueQuantity")
    return Reading(
        code=coded(observation["code"], codes.LOINC),
        value=number(member(value, "value")),
        unit=text(value, "code"),
        at=cast(datetime, moment(observation["effectiveDateTime"])),
        parts=tuple((coded(part["code"], codes.LOINC), cast(Decimal, number(part["valueQuantity"]["value"])),
                     part["valueQuantity"]["code"]) for part in members(observation, "component")),
    )


def _signature(provenance: Json) -> Signature:
    signature = provenance["signature"][0]
    return Signature(
        at=cast(datetime, moment(signature["when"])),
        type=signature["type"][0]["code"],
        sha256=hashlib.sha256(base64.b64decode("".join(signature["data"].split()), validate=True)).hexdigest(),
    )


def _item(request: Json, line: int, diagnoses: Mapping[str, Diagnosis]) -> Item:
    drug, dosage = request["medicationCodeableConcept"], request["dosageInstruction"][0]
    dose, supply = dosage["doseAndRate"][0]["doseQuantity"], request["dispenseRequest"]
    approval = extended(request, "hospital-approval", "valueCode")
    return Item(
        line=line,
        drug=coded(drug, codes.code_system("drug")),
        name=named(drug, codes.code_system("drug")),
        kind=DrugKind(coded(request["category"], codes.code_system("drug-kind"))),
        quantity=cast(Decimal, number(supply["quantity"]["value"])),
        unit=unit(supply["quantity"]),
        single_dose=cast(Decimal, number(dose["value"])),
        dose_unit=unit(dose),
        frequency=coded(dosage["timing"]["code"], codes.code_system("frequency")),
        route=coded(dosage["route"], codes.code_system("route")),
        days_supply=cast(int, supply_days(request)),
        overdose_reason=(extended(request, "overdose-reason", "valueString") or "").strip(),
        directions=_directions(dosage),
        note="；".join(text(note, "text") for note in members(request, "note")),
        decoction_mark=extended(request, "decoction-mark", "valueCode") or "",
        skin_test=_skin_test(request),
        approval=Approval(approval) if approval else None,
        pack=_pack(request),
        number=text(request, "identifier", "value"),
        reasons=tuple(diagnoses[reference["reference"]].code for reference in members(request, "reasonReference")),
        may_substitute=(request.get("substitution") or {}).get("allowedBoolean"),
    )


def _directions(dosage: Json) -> str:
    """Everything the prescriber wrote on how to take it, each thing once."""
    texts = [text(dosage, "text"), *(text(words, "text") for words in members(dosage, "additionalInstruction")),
            text(dosage, "site", "text"), text(dosage, "method", "text"), text(dosage, "patientInstruction")]
    return "；".join(dict.fromkeys(words for words in texts if words))


def _skin_test(request: Json) -> SkinTest | None:
    test = parts(request, "skin-test")
    if not test:
        return None
    result = text(test.get("result"), "valueCode")
    return SkinTest(
        result=SkinTestResult(result) if result else None,
        at=moment(member(test.get("at"), "valueDateTime")),
        exemption=text(test.get("exemption"), "valueString"),
    )


def _pack(request: Json) -> Pack | None:
    pack = parts(request, "pack")
    if not pack:
        return None
    strength = pack["strength"]["valueQuantity"]
    return Pack(cast(Decimal, number(strength["value"])), unit(strength), member(pack.get("size"), "valuePositiveInt"))

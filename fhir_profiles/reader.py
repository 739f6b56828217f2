"""From a checked message to the prescription the platform works with; FHIR ends here.

Reading is deterministic: the same bytes give the same prescription, whenever and wherever they are read.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import cast

from domain.prescription import (
    Channel,
    Coverage,
    Diagnosis,
    DrugKind,
    Handover,
    Item,
    PatientFacts,
    Place,
    Prescriber,
    Prescription,
    RxKind,
    Sex,
    Visit,
    prescription_id,
)
from fhir_profiles import codes
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
    phone,
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
    patient = _patient_record(resources["Patient"][0])
    requests = resources["MedicationRequest"]
    first = requests[0]
    issued_at, valid_days = _issue(first)
    external_id = first["groupIdentifier"]["value"]
    prescription = Prescription(
        id=prescription_id(hospital, external_id),
        hospital=hospital,
        external_id=external_id,
        kind=RxKind(coded(first["courseOfTherapyType"], codes.code_system("prescription-kind"))),
        issued_at=issued_at,
        valid_days=valid_days,
        valid_until=issued_at + timedelta(days=valid_days),
        patient=_patient_facts(resources["Patient"][0], patient, patient_id(patient.id_number), issued_at),
        prescriber=_prescriber(resources["Practitioner"][0]),
        visit=_visit(resources["Encounter"][0]),
        coverage=_coverage(resources["Coverage"][0]),
        diagnoses=tuple(_diagnosis(condition) for condition in resources["Condition"]),
        items=tuple(_item(request, line) for line, request in enumerate(requests, 1)),
        handover=Handover(extended(first, "handover", "valueCode")),
        place=_place(resources["Patient"][0]),
        extend_reason="；".join(dict.fromkeys(r for r in map(_extend_reason, requests) if r)),
        # An item that does not say so was not assessed, whatever the others say.
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
    numbers = [text(one, "groupIdentifier", "value") for one in requests] + [text(data, "focus", "identifier", "value")]
    return next((number for number in numbers if number), "")


def _issue(request: Json) -> tuple[datetime, int]:
    issued_at = cast(datetime, moment(request["authoredOn"]))
    end = cast(datetime, moment(request["dispenseRequest"]["validityPeriod"]["end"]))
    return issued_at, (end - issued_at).days


def _patient_record(patient: Json) -> PatientRecord:
    id_number = next(i["value"] for i in patient["identifier"] if i.get("system") == codes.RESIDENT_ID)
    return PatientRecord(
        name=text(patient, "name", "text"),
        id_number=id_number,
        birth_date=cast(date, day(patient["birthDate"])),
        phone=phone(patient),
        address=text(patient, "address", "text"),
    )


def _patient_facts(patient: Json, record: PatientRecord, opaque_id: str, issued_at: datetime) -> PatientFacts:
    allergy_url = codes.extension("allergy-group")
    return PatientFacts(
        id=opaque_id,
        sex=Sex(patient["gender"]),
        age_months=months_between(record.birth_date, issued_at.astimezone(BEIJING).date()),
        allergies=tuple(e["valueCode"] for e in members(patient, "extension") if e["url"] == allergy_url),
        pregnancy_weeks=extended(patient, "pregnancy-weeks", "valueInteger"),
        lactating=extended(patient, "lactating", "valueBoolean") is True,
        guardian_confirmed=extended(patient, "guardian-confirmed", "valueBoolean") is True,
    )


def months_between(born: date, on: date) -> int:
    """Completed months of age on a day."""
    return (on.year - born.year) * 12 + on.month - born.month - (on.day < born.day)


def _prescriber(practitioner: Json) -> Prescriber:
    return Prescriber(
        id=next(i["value"] for i in practitioner["identifier"] if i.get("system") == codes.sid("physician")),
        independent_years=extended(practitioner, "independent-years", "valueInteger") or 0,
    )


def _visit(encounter: Json) -> Visit:
    proof_url = codes.extension("revisit-proof")
    given = next((e for e in members(encounter, "extension") if e["url"] == proof_url), None)
    proof_date, proof_codes = proof(given)
    return Visit(
        channel=_CHANNELS[encounter["class"]["code"]],
        follow_up=coded(encounter["type"], codes.code_system("visit-type")) == "follow-up",
        proof_codes=proof_codes,
        proof_date=proof_date,
    )


def _coverage(coverage: Json) -> Coverage:
    return Coverage(
        insutype=coded(coverage["type"], codes.code_system("insutype")),
        insured_place=extended(coverage, "insured-place", "valueCode"),
        disease_code=extended(coverage, "chronic-disease", "valueCode") or "",
    )


def _diagnosis(condition: Json) -> Diagnosis:
    return Diagnosis(coded(condition["code"], codes.ICD10), named(condition["code"], codes.ICD10))


def _place(patient: Json) -> Place:
    """Where the patient is; an empty district and zero degrees if the hospital did not say."""
    extensions = members(member(patient, "address", "extension") and patient["address"][0], "extension")
    latitude, longitude = coordinates(next((e for e in extensions if e["url"] == codes.GEOLOCATION), None))
    return Place(
        district=text(patient, "address", "district"),
        latitude=(latitude or Decimal(0)).quantize(_HUNDREDTH, ROUND_HALF_UP),
        longitude=(longitude or Decimal(0)).quantize(_HUNDREDTH, ROUND_HALF_UP),
    )


def _extend_reason(request: Json) -> str:
    reason = extended(request, "extend-reason", "valueString")
    return reason.strip() if isinstance(reason, str) else ""


def _item(request: Json, line: int) -> Item:
    drug, dosage = request["medicationCodeableConcept"], request["dosageInstruction"][0]
    dose, supply = dosage["doseAndRate"][0]["doseQuantity"], request["dispenseRequest"]
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
        days_supply=int(supply["expectedSupplyDuration"]["value"]),
        overdose_reason=(extended(request, "overdose-reason", "valueString") or "").strip(),
    )

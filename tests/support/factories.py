"""Prescriptions and cases for tests: ordinary unless told otherwise. Nobody in here is a person."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from domain.audit import Case, resolve
from domain.claims import Accumulators, Entitlement
from domain.money import Fen
from domain.prescription import (
    Channel,
    Coverage,
    Decoction,
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
from infra.cities import load_knowledge, load_policy

CITY = load_policy("jinan")
KNOWLEDGE = load_knowledge("jinan")
ISSUED = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)
PLACE = Place("370102", Decimal("36.67"), Decimal("117.03"))

ORDINARY: dict[str, tuple[str, str, int, str, DrugKind, str, str]] = {
    # drug: single dose, frequency, days, quantity, kind, diagnosis, disease (cities/jinan/README.md, section 6)
    "D001": ("500", "bid", 30, "60", DrugKind.WESTERN, "E11.900", "M01600"),
    "D010": ("50", "tid", 30, "90", DrugKind.WESTERN, "E11.900", "M01600"),
    "D018": ("10", "qd", 30, "30", DrugKind.WESTERN, "E11.900", "M01600"),
    "D030": ("20", "qd", 30, "2", DrugKind.WESTERN, "E11.900", "M01600"),
    "D005": ("2", "qd", 30, "30", DrugKind.WESTERN, "E11.900", "M01600"),
    "D032": ("5", "qd", 28, "28", DrugKind.WESTERN, "I10.x00", "M03900"),
    "D048": ("80", "qd", 28, "28", DrugKind.WESTERN, "I10.x00", "M03900"),
    "D065": ("47.5", "qd", 28, "28", DrugKind.WESTERN, "I10.x00", "M03900"),
    "D072": ("20", "qd", 28, "28", DrugKind.WESTERN, "I25.103", "M04600"),
    "D081": ("100", "qd", 30, "30", DrugKind.WESTERN, "I25.103", "M04600"),
    "D082": ("75", "qd", 28, "28", DrugKind.WESTERN, "I25.103", "M04600"),
    "D187": ("10", "tid", 30, "5", DrugKind.PATENT, "I25.103", "M04600"),
    "D145": ("0.5", "qd", 28, "28", DrugKind.WESTERN, "B18.100", "M00201"),
    "D054": ("100", "bid", 28, "56", DrugKind.WESTERN, "I50.900", "M04301"),
    "D106": ("50", "qd", 84, "100", DrugKind.WESTERN, "E03.900", ""),
    "D086": ("20", "qd", 28, "28", DrugKind.WESTERN, "I48.x00", ""),
}


def item(drug: str = "D001", line: int = 1, **changes: Any) -> Item:
    """One line; a drug of `ORDINARY` comes with its ordinary directions."""
    dose, often, days, quantity, kind, _, _ = ORDINARY.get(drug, ("1", "qd", 7, "7", DrugKind.WESTERN, "", ""))
    known, entry = KNOWLEDGE.drug(drug), KNOWLEDGE.catalogue.get(drug)
    made = Item(
        line=line, drug=drug, name=known.name if known else "未知药品", kind=kind, quantity=Decimal(quantity),
        unit=entry.unit if entry else "片", single_dose=Decimal(dose), dose_unit=known.dose_unit if known else "mg",
        frequency=often, route=known.route if known else "PO", days_supply=days,
    )
    return replace(made, **changes)


def rx(*items: Item, diagnoses: tuple[str, ...] = ("E11.900",), disease: str = "M01600", sex: Sex = Sex.MALE,
       age: int = 62, patient: dict[str, Any] | None = None, visit: dict[str, Any] | None = None,
       **changes: Any) -> Prescription:
    """An internet follow-up, long-term and assessed, with a proof of the same diagnoses."""
    made = Prescription(
        id=prescription_id("jinan_first", "RX0001"), hospital="jinan_first", external_id="RX0001",
        kind=RxKind.LONG_TERM, issued_at=ISSUED, valid_days=1, valid_until=ISSUED + timedelta(days=1),
        patient=replace(PatientFacts("p_1", sex, age * 12), **(patient or {})),
        prescriber=Prescriber("D370100000001", "03", 8, "内科"),
        visit=replace(Visit(Channel.INTERNET, True, diagnoses, date(2026, 9, 20), "V0001"), **(visit or {})),
        coverage=Coverage("310", "370100", disease),
        diagnoses=tuple(Diagnosis(code, "诊断") for code in diagnoses),
        items=items or (item(),), handover=Handover.PICKUP, place=PLACE,
        extend_reason="病情稳定", long_term_assessed=True, patient_acknowledged=True,
    )
    return replace(made, **changes)


def ordinary(*drugs: str, **changes: Any) -> Prescription:
    """The ordinary prescription of these drugs, which must share a diagnosis."""
    _, _, _, _, _, diagnosis, disease = ORDINARY[drugs[0]]
    return rx(*(item(drug, line) for line, drug in enumerate(drugs, 1)),
              **{"diagnoses": (diagnosis,), "disease": disease} | changes)


def piece(drug: str, line: int = 1, grams: str = "10", doses: int = 7, quantity: str = "") -> Item:
    """One piece of Chinese medicine, a dose a day."""
    return item(drug, line, kind=DrugKind.PIECE, single_dose=Decimal(grams), days_supply=doses,
                quantity=Decimal(quantity) if quantity else Decimal(grams) * doses)


def of_pieces(*drugs: str, **changes: Any) -> Prescription:
    """A prescription of pieces, seven doses that the patient decocts."""
    return rx(*(piece(drug, line) for line, drug in enumerate(drugs, 1)),
              **{"disease": "", "diagnoses": ("I25.103",), "decoction": Decoction(7, "decoct", 2)} | changes)


def entitlement(*diseases: str, **changes: Any) -> Entitlement:
    """An employee, insured, with these qualifications (by default all the city knows) and nothing used up."""
    held = diseases or tuple(CITY.disease_caps)
    made = Entitlement("psn1", "310", "370100", False, False, True, held, Accumulators())
    return replace(made, **changes)


def case(prescription: Prescription, **changes: Any) -> Case:
    """An hour after issue, at a contracted hospital of level 3, everything known."""
    return resolve(prescription, **{
        "at": ISSUED + timedelta(hours=1), "knowledge": KNOWLEDGE, "policy": CITY, "entitlement": entitlement(),
        "hospital_level": 3, "hospital_contracted": True} | changes)


def used(**amounts: int) -> Accumulators:
    """Accumulators in fen."""
    return Accumulators(**{name: Fen(amount) for name, amount in amounts.items()})

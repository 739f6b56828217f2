"""A prescription as the platform thinks of it: plain facts, nothing of FHIR, no person.

The patient is an opaque id; name, numbers and address never enter the domain.
"""

import base64
import hashlib
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum


class DrugKind(StrEnum):
    WESTERN = "western"
    PATENT = "tcm_patent"
    PIECE = "tcm_piece"


class RxKind(StrEnum):
    GENERAL = "general"
    EMERGENCY = "emergency"
    LONG_TERM = "long_term"


class Channel(StrEnum):
    """How the visit took place."""

    INTERNET = "internet"
    OUTPATIENT = "outpatient"


class Handover(StrEnum):
    """How the patient wants to receive the medicine."""

    PICKUP = "pickup"
    HOME = "home"


class Sex(StrEnum):
    MALE = "male"
    FEMALE = "female"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Item:
    """One line of a prescription."""

    line: int
    """1-based position."""
    drug: str
    """Catalogue code, never a name: names are for people and for labels."""
    name: str
    """Approved generic name as the hospital sent it."""
    kind: DrugKind
    quantity: Decimal
    """Counted units to hand over (tablets, pens, bottles)."""
    unit: str
    single_dose: Decimal
    dose_unit: str
    """Unit of `single_dose`, e.g. `mg`; the same as the drug's strength unit."""
    frequency: str
    """Code of frequency_codes.csv, e.g. `bid`."""
    route: str
    """PO, SC, SL, INH, OPH."""
    days_supply: int
    """Days."""
    overdose_reason: str = ""
    """The prescriber's reason for a dose above the label; with it goes a second signature (A-22)."""


@dataclass(frozen=True)
class Diagnosis:
    code: str
    """ICD-10, national insurance version, e.g. `E11.900`."""
    name: str


@dataclass(frozen=True)
class Prescriber:
    id: str
    """National code of the physician (医保医师代码), e.g. `D370100000001`."""
    department: str = ""
    independent_years: int = 0
    """Years of independent clinical practice (A-14)."""


@dataclass(frozen=True)
class PatientFacts:
    """What rules may know of the patient."""

    id: str
    """Opaque, ours."""
    sex: Sex
    age_months: int
    """Completed months at the time of issue."""
    allergies: tuple[str, ...] = ()
    """allergy_id of allergy_groups.csv."""
    pregnancy_weeks: int | None = None
    lactating: bool = False
    guardian_confirmed: bool = False

    @property
    def age_years(self) -> int:
        return self.age_months // 12


@dataclass(frozen=True)
class Visit:
    channel: Channel
    follow_up: bool
    proof_codes: tuple[str, ...] = ()
    """ICD-10 codes on the stored proof of the earlier diagnosis (A-10)."""
    proof_date: date | None = None


@dataclass(frozen=True)
class Coverage:
    insutype: str
    """310 employee, 390 resident (codes/insutype.csv)."""
    insured_place: str
    """Division code of the insured place (insuplc_admdvs)."""
    disease_code: str = ""
    """Chronic-disease code claimed (opsp_dise_code), e.g. `M01600`; empty for ordinary outpatient."""


@dataclass(frozen=True)
class Place:
    """Where the patient is, coarsely: two decimals of a degree, about a kilometre."""

    district: str
    latitude: Decimal
    longitude: Decimal


@dataclass(frozen=True)
class Prescription:
    id: str
    hospital: str
    """Slug of the hospital adapter."""
    external_id: str
    """The hospital's own prescription number (hospRxno)."""
    kind: RxKind
    issued_at: datetime
    valid_days: int
    """1 to 3 (A-01)."""
    valid_until: datetime
    """Computed once at intake and never again (A-01)."""
    patient: PatientFacts
    prescriber: Prescriber
    visit: Visit
    coverage: Coverage
    diagnoses: tuple[Diagnosis, ...]
    items: tuple[Item, ...]
    handover: Handover
    place: Place
    extend_reason: str = ""
    """Why the supply is longer than 7 (3) days (A-03)."""
    long_term_assessed: bool = False
    patient_acknowledged: bool = False


def prescription_id(hospital: str, external_id: str) -> str:
    """The same paper has the same id, however many times it arrives."""
    digest = hashlib.sha256(f"{hospital}\n{external_id}".encode()).digest()
    return "rx_" + base64.b32encode(digest[:10]).decode().lower()

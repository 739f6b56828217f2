"""A prescription as the platform thinks of it: plain facts, nothing of FHIR, no person.

The patient is an opaque id; name, numbers and address never enter the domain.
"""

import base64
import hashlib
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum

DECOCTED_BY_PHARMACY = "decoct-by-pharmacy"
"""代煎, of CodeSystem/decoction-method."""


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


class Approval(StrEnum):
    """What the hospital says of the fund's conditions for a restricted drug (hospApprFlag; F-04)."""

    COVERED = "1"
    """Its conditions are met: the hospital answers for it."""
    NOT_COVERED = "0"
    """They are not met, or were not checked: own expense if the drug is restricted."""
    OWN_EXPENSE = "2"
    """The patient pays, for any drug."""


class SkinTestResult(StrEnum):
    NEGATIVE = "negative"
    POSITIVE = "positive"


@dataclass(frozen=True)
class SkinTest:
    """What is said of a skin test (A-37): a result and its time, or why none is needed."""

    result: SkinTestResult | None = None
    at: datetime | None = None
    exemption: str = ""
    """The documented reason why this patient needs no test."""


@dataclass(frozen=True)
class Pack:
    """The pack the prescriber had in mind."""

    strength: Decimal
    """Content of one counted unit, in `strength_unit`."""
    strength_unit: str
    size: int | None = None
    """Counted units in one pack."""


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
    directions: str = ""
    """How to take it, in the prescriber's words; for pharmacist and pharmacy, never computed with."""
    note: str = ""
    """What else the prescriber wrote to this line."""
    decoction_mark: str = ""
    """How a single piece is decocted: a code of CodeSystem/decoction-mark (先煎, 后下, …)."""
    skin_test: SkinTest | None = None
    """None if the hospital said nothing of one."""
    approval: Approval | None = None
    """None if the hospital said nothing: then our own rules decide (F-04)."""
    pack: Pack | None = None
    number: str = ""
    """The hospital's own number of the line, empty in prescriptions stored before it was kept."""
    reasons: tuple[str, ...] = ()
    """ICD-10 codes of the diagnoses the line is for; empty if the hospital did not say."""
    may_substitute: bool | None = None
    """Whether another product of the same generic may be given (D-13); None if the prescriber said nothing."""

    def days_of(self, quantity: Decimal) -> int:
        """Days' supply of a quantity of it: whole days, at least one."""
        return self.days_supply if quantity >= self.quantity else max(1, int(self.days_supply * quantity / self.quantity))

    def days_begun(self, quantity: Decimal) -> int:
        """Days on which some of a quantity is taken, the last one perhaps in part: its expiry must be later (D-19)."""
        return int((self.days_supply * quantity / self.quantity).to_integral_value(ROUND_CEILING))


@dataclass(frozen=True)
class Decoction:
    """How a prescription of pieces is prepared and taken."""

    doses: int
    """剂, decoctions to hand over."""
    method: str
    """Code of CodeSystem/decoction-method."""
    times: int
    """Portions a day."""


@dataclass(frozen=True)
class Renewal:
    """The paper this one renews, and from when to when it may be renewed."""

    first: str
    """The hospital's number of the first prescription."""
    start: date
    end: date


@dataclass(frozen=True)
class Reading:
    """A value measured at home."""

    code: str
    """LOINC."""
    value: Decimal | None
    unit: str
    """UCUM; empty where only the parts have values."""
    at: datetime
    parts: tuple[tuple[str, Decimal, str], ...] = ()
    """LOINC, value and UCUM unit of each component: systolic, diastolic."""


@dataclass(frozen=True)
class Signature:
    """An electronic signature as it came. Nothing verifies it yet; the bytes are in the archived message."""

    at: datetime
    type: str
    """Code of its purpose (urn:iso-astm:E1762-95:2013), or the dialect's word."""
    sha256: str
    """Of the signature's bytes: which one it was."""


@dataclass(frozen=True)
class Diagnosis:
    code: str
    """ICD-10, national insurance version, e.g. `E11.900`."""
    name: str
    certainty: str = ""
    """`confirmed`, `provisional`, `differential` or `unconfirmed`; empty if the hospital did not say."""


@dataclass(frozen=True)
class Prescriber:
    id: str
    """National code of the physician (医保医师代码), e.g. `D370100000001`."""
    department: str = ""
    """Code of the department (诊疗科目, `07` paediatrics), empty if not said (A-12, A-17)."""
    independent_years: int = 0
    """Years of independent clinical practice (A-14)."""
    department_name: str = ""
    title: str = ""
    """Professional title: a code of CodeSystem/title, empty if not said."""


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
    lactating: bool | None = None
    """None if the hospital said nothing; in prescriptions stored before this was kept apart, False."""
    guardian_confirmed: bool = False
    age_days: int | None = None
    """Completed days at the time of issue; None in prescriptions stored before it was kept."""
    allergy_words: tuple[str, ...] = ()
    """Allergies in the hospital's words, which no code of ours stands for (B-35)."""
    no_known_allergies: bool = False
    """The hospital said that none are known; saying nothing is not that."""
    guardian: str = ""
    """Relation of a named guardian: a code of CodeSystem/guardianship; who it is lies in the sealed record."""

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
    number: str = ""
    """The hospital's number of the visit, empty if not said (A-17)."""
    start: datetime | None = None
    end: datetime | None = None


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
    valid_reason: str = ""
    """Why the paper is valid for two or three days (A-01)."""
    note: str = ""
    """What the prescriber wrote to the whole prescription."""
    decoction: Decoction | None = None
    renewal: Renewal | None = None
    readings: tuple[Reading, ...] = ()
    signature: Signature | None = None
    institution: str = ""
    """National code of the institution as the message names it (fixmedins_code); empty in older rows."""
    institution_name: str = ""
    long_term_assessed: bool = False
    patient_acknowledged: bool = False

    @property
    def to_decoct(self) -> int:
        """Doses that the place which dispenses decocts (代煎); 0 where the patient does, or nothing is decocted."""
        return self.decoction.doses if self.decoction and self.decoction.method == DECOCTED_BY_PHARMACY else 0

    @property
    def undivided(self) -> bool:
        """Whether one place must have all of it: pieces are boiled together, and a part of a decoction is another medicine."""
        return any(item.kind is DrugKind.PIECE for item in self.items)


def prescription_id(hospital: str, external_id: str) -> str:
    """The same paper has the same id, however many times it arrives."""
    digest = hashlib.sha256(f"{hospital}\n{external_id}".encode()).digest()
    return "rx_" + base64.b32encode(digest[:10]).decode().lower()

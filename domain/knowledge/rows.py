"""One row of each table of a city's knowledge."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

from domain.findings import Severity
from domain.prescription import DrugKind, Sex


@dataclass(frozen=True)
class Drug:
    """One row of drugs.csv. Dose columns are totals per `dose_period_days`, in `dose_unit`."""

    id: str
    name: str
    """Approved generic name."""
    atc: str
    """Empty for Chinese patent medicines."""
    ingredients: tuple[str, ...]
    """Further ATC codes of a combination product."""
    form: str
    route: str
    strength: Decimal
    """Amount in one counted unit, in `dose_unit`."""
    dose_unit: str
    usual_min: Decimal | None
    usual_max: Decimal | None
    max_dose: Decimal | None
    dose_period_days: int
    usual_frequency: str
    min_age_years: int | None
    special_control: str
    """NONE, 精二, 精一, 麻醉, 毒性, 放射."""
    long_term_allowed: bool
    indications: tuple[str, ...]
    """ICD-10 prefixes that count as on-label."""
    cold_chain: bool
    """Kept and brought at 2 to 8 °C (D-07)."""
    price_agreed: bool
    """Under a national price agreement (国谈药): dispensed by designated premises only (D-06)."""

    @cached_property
    def atc_codes(self) -> tuple[str, ...]:
        """Its own ATC code and those of its ingredients."""
        return tuple(code for code in (self.atc, *self.ingredients) if code)

    @cached_property
    def patterns(self) -> frozenset[str]:
        """Every pattern that covers it: `*`, `DRUG:D103`, and each beginning of its ATC codes."""
        return frozenset(["*", f"DRUG:{self.id}",
                          *(code[:length] for code in self.atc_codes for length in range(1, len(code) + 1))])

    def matches(self, patterns: Iterable[str]) -> bool:
        """Whether any of these patterns covers it."""
        return not self.patterns.isdisjoint(patterns)


@dataclass(frozen=True)
class Interaction:
    id: str
    a_name: str
    a_patterns: tuple[str, ...]
    b_name: str
    b_patterns: tuple[str, ...]
    action: Severity
    effect: str
    management: str


@dataclass(frozen=True)
class Contraindication:
    id: str
    patterns: tuple[str, ...]
    diagnoses: tuple[str, ...]
    action: Severity
    reason: str


@dataclass(frozen=True)
class PregnancyRow:
    """Actions are None where the table says OK."""

    id: str
    patterns: tuple[str, ...]
    pregnancy: Severity | None
    trimesters: frozenset[str]
    """T1, T2, T3."""
    lactation: Severity | None
    note: str


@dataclass(frozen=True)
class AgeSexLimit:
    id: str
    patterns: tuple[str, ...]
    kind: str
    """MIN_AGE, ELDERLY or GENDER."""
    min_age: int | None
    sex: Sex | None
    """The only sex the drug is for."""
    elderly_from: int | None
    action: Severity
    reason: str
    above: Decimal | None = None
    """Only above this dose a day, in `above_unit`; None: at any dose."""
    above_unit: str = ""


@dataclass(frozen=True)
class DiagnosisLimit:
    """Whom a diagnosis can be true of (B-19)."""

    id: str
    diagnoses: tuple[str, ...]
    sex: Sex | None
    """The only sex that has it."""
    newborn: bool
    """Only in the first days of life: how many, the city's policy says."""
    action: Severity
    reason: str


@dataclass(frozen=True)
class InUse:
    """How long a counted unit may be used once opened: after that the rest is discarded (A-21)."""

    id: str
    patterns: tuple[str, ...]
    days: int


@dataclass(frozen=True)
class DuplicateGroup:
    id: str
    name: str
    match: str
    """INGREDIENT, ATC or TAG."""
    patterns: tuple[str, ...]
    max_concurrent: int
    action: Severity
    note: str


@dataclass(frozen=True)
class AllergyGroup:
    id: str
    name: str
    patterns: tuple[str, ...]
    action: Severity
    cross_patterns: tuple[str, ...]
    cross_action: Severity | None
    note: str


@dataclass(frozen=True)
class LabLimit:
    """A limit that needs a laboratory value, which a prescription does not carry."""

    id: str
    patterns: tuple[str, ...]
    parameter: str
    """EGFR, CRCL, CHILD_PUGH or HEPATIC."""
    threshold: str
    action: Severity
    advice: str


@dataclass(frozen=True)
class PaymentRestriction:
    """What must hold for the fund to pay. Conditions are joined by AND; blank is no condition."""

    id: str
    drug: str
    rule_seq: int
    """Number of the rule in the 2025 national library."""
    diagnoses: tuple[str, ...]
    age_min: int | None
    age_max: int | None
    sex: Sex | None
    min_level: int | None
    visit: tuple[str, ...]
    prior: tuple[str, ...]
    """ATC prefixes of which one must have been used before."""
    prior_months: int
    """How long before, in months, counts."""
    evidence: str


@dataclass(frozen=True)
class Frequency:
    """How often: `times` within `period_days`. prn has times 0, st has period 0."""

    code: str
    name: str
    times: int
    period_days: int

    @property
    def fixed(self) -> bool:
        """Whether it says how often a day, on average; prn and st do not."""
        return self.times > 0 and self.period_days > 0


@dataclass(frozen=True)
class ReviewItem:
    code: str
    group: str
    text: str


@dataclass(frozen=True)
class ChronicGroup:
    code: str
    name: str
    diagnoses: tuple[str, ...]
    chronic: bool


@dataclass(frozen=True)
class CatalogueEntry:
    """One product of the city's catalogue. Prices in yuan per counted unit."""

    code: str
    drug: str
    """Id of the row in drugs.csv; several products may share it."""
    name: str
    unit: str
    """The counted unit, e.g. 片."""
    kind: DrugKind
    units_per_pack: int
    dose_per_unit: Decimal
    """Amount in one counted unit, in the drug's dose unit."""
    category: str
    """National class: 甲, 乙 or 丙."""
    first_selfpay: Decimal
    pay_standard: Decimal | None
    ceiling: Decimal
    """No offer above it (D-04)."""
    list_price: Decimal
    """Fictional usual price."""
    pack: str = ""
    """Strength, size and maker as on the pack: what tells products of one name apart."""

    @property
    def product(self) -> str:
        """What a person reads to know which product it is."""
        return f"{self.name} {self.pack}".rstrip()


@dataclass(frozen=True)
class SwitchLimit:
    """Drugs of which another product is given only with the doctor's consent (D-13)."""

    patterns: tuple[str, ...]
    kind: str
    """`narrow_index` or `biologic`."""


@dataclass(frozen=True)
class TraceProduct:
    """What the first seven digits of a trace code stand for."""

    digits: str
    drug: str
    """Code of the catalogue."""
    units: int
    """Counted units in a whole pack."""

"""One prescription with everything a rule may look at, resolved once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from zoneinfo import ZoneInfo

from domain.chains import Dispensed
from domain.claims import Entitlement
from domain.dosage import dose_in_window
from domain.knowledge.rows import CatalogueEntry, Drug, Frequency
from domain.knowledge.tables import Knowledge
from domain.policy import CityPolicy
from domain.prescription import DrugKind, Item, PatientFacts, Prescription
from domain.units import ONE, exact, factor

LONGEST_COURSE = 3660
"""Days. A supply of so many or more is no number one can compute with."""
WHOLE_ATC = 7
"""Characters of an ATC code that names a substance; a shorter one names a group."""


@dataclass(frozen=True)
class Supply:
    """A known drug that was handed over to the person."""

    drug: Drug
    at: datetime
    day: date
    """The city's calendar day of `at`."""
    days: int
    """Days it was prescribed for, as it was written."""

    @property
    def lasts(self) -> bool:
        """Whether the days are a number one can compute with."""
        return 0 < self.days < LONGEST_COURSE

    def taken_on(self, day: date) -> bool:
        """Whether some of it is left after that day, had it been begun at once."""
        return self.day + timedelta(days=min(max(self.days, 0), LONGEST_COURSE)) > day

    @property
    def evidence(self) -> str:
        return f"handed over {self.drug.id} {self.day}"


@dataclass(frozen=True)
class InHand:
    """What a person still has of something, by what we handed over."""

    days: int = 0
    """From today on; nothing is left at 0."""
    supply: int = 0
    """Days the newest of it was meant for."""
    evidence: tuple[str, ...] = ()
    """The supplies it was computed from, oldest first."""


NOTHING_IN_HAND = InHand()


@dataclass(frozen=True)
class Line:
    """One item with what the city's tables say of it."""

    item: Item
    entry: CatalogueEntry | None
    """The product; None where the code is not in the catalogue (A-19 blocks it)."""
    drug: Drug | None
    """None where nothing is known of it (A-19 blocks it)."""
    frequency: Frequency | None
    """None for a code we do not know (A-20 blocks it)."""
    quantity: Fraction | None
    """None where it is no number one can compute with (A-21 blocks it)."""
    stated_dose: Fraction | None
    """The single dose in the unit it is stated in; None where it is no number one can compute with (A-20 blocks it)."""

    @property
    def number(self) -> int:
        """Its 1-based position on the paper."""
        return self.item.line

    @property
    def kind(self) -> DrugKind:
        """What the catalogue says the product is; what was declared only where it is not in the catalogue."""
        return self.entry.kind if self.entry else self.item.kind

    @property
    def course_plausible(self) -> bool:
        """Whether the days of supply are a number one can compute with (A-20 blocks it otherwise)."""
        return 0 < self.item.days_supply < LONGEST_COURSE


@dataclass(frozen=True)
class KnownLine(Line):
    """A line whose drug we know, with its doses in the drug's unit. Doses are None where nothing can be computed (A-20)."""

    drug: Drug
    usual_frequency: Frequency | None
    """The label's."""
    unit_factor: Fraction | None
    """How many of the drug's unit are one of the stated unit; None where no factor is fixed (A-20 blocks it)."""
    single_dose: Fraction | None
    period_dose: Fraction | None
    """The most that is taken within the drug's `dose_period_days`; one single dose where the frequency is not fixed."""
    in_hand: InHand

    def most_within(self, days: int) -> Fraction | None:
        """The most that is taken within so many days, in the drug's unit."""
        if self.frequency is None or self.single_dose is None:
            return None
        return dose_in_window(self.single_dose, self.frequency.times, self.frequency.period_days, days)


@dataclass(frozen=True)
class Case:
    """What the rules look at. What is unknown is None or empty and must never read as "fine"."""

    rx: Prescription = field(repr=False)
    at: datetime
    """The moment of the audit, with its zone."""
    today: date
    """The city's calendar day of `at`."""
    issued_on: date
    knowledge: Knowledge
    policy: CityPolicy = field(repr=False)
    hospital_level: int
    hospital_contracted: bool
    entitlement: Entitlement | None
    """What the fund says of the person; None if it does not know the person, or was never asked."""
    lines: tuple[Line, ...] = field(repr=False)
    known_lines: tuple[KnownLine, ...] = field(repr=False)
    """The lines whose drug we know, in their order."""
    diagnoses: tuple[str, ...]
    """The ICD-10 codes the paper was written for."""
    conditions: tuple[str, ...]
    """Those and the ones on the proof of the earlier diagnosis: all we know the patient to have."""
    history: tuple[Supply, ...] = field(repr=False)
    """Known drugs the person was handed over through this platform in the last 12 months, as far as they were kept. It
    never proves that nothing else is taken."""
    denied: frozenset[int] = frozenset()
    """Lines the fund does not pay by the rules of earlier phases."""

    @property
    def patient(self) -> PatientFacts:
        return self.rx.patient

    @cached_property
    def still_taken(self) -> tuple[Supply, ...]:
        """The newest supply of each drug of the history of which some is left, by what was handed over."""
        return tuple({supply.drug.id: supply for supply in self.history if supply.taken_on(self.today)}.values())

    def with_denied(self, lines: frozenset[int]) -> "Case":
        return replace(self, denied=lines)


def resolve(
    rx: Prescription, *, at: datetime, knowledge: Knowledge, policy: CityPolicy, entitlement: Entitlement | None,
    hospital_level: int, hospital_contracted: bool, history: Iterable[Dispensed] = (),
) -> Case:
    """The case of a prescription at a moment with a zone. Pure."""
    zone = ZoneInfo(policy.timezone)
    today = at.astimezone(zone).date()
    supplies = tuple(Supply(drug, dispensed.at, dispensed.at.astimezone(zone).date(), dispensed.days_supply)
                     for dispensed in history if (drug := knowledge.drug(dispensed.drug)))
    lines = tuple(_line(item, knowledge, supplies, today) for item in rx.items)
    diagnoses = tuple(code for diagnosis in rx.diagnoses if (code := diagnosis.code.strip()))
    return Case(
        rx=rx, at=at, today=today, issued_on=rx.issued_at.astimezone(zone).date(), knowledge=knowledge, policy=policy,
        hospital_level=hospital_level, hospital_contracted=hospital_contracted, entitlement=entitlement, lines=lines,
        known_lines=tuple(line for line in lines if isinstance(line, KnownLine)), diagnoses=diagnoses,
        conditions=diagnoses + tuple(code.strip() for code in rx.visit.proof_codes if code.strip()), history=supplies)


def _line(item: Item, knowledge: Knowledge, supplies: Sequence[Supply], today: date) -> Line:
    entry, drug = knowledge.catalogue.get(item.drug), knowledge.drug(item.drug)
    frequency = knowledge.frequencies.get(item.frequency.strip())
    quantity, stated = exact(item.quantity), exact(item.single_dose)
    if drug is None:
        return Line(item, entry, None, frequency, quantity, stated)
    times = factor(item.dose_unit, drug.dose_unit)
    single = None if stated is None or times is None else stated if times is ONE else stated * times
    period = None if frequency is None or single is None else dose_in_window(
        single, frequency.times, frequency.period_days, drug.dose_period_days)
    return KnownLine(item, entry, drug, frequency, quantity, stated, knowledge.frequencies.get(drug.usual_frequency), times,
                     single, period, in_hand(drug, supplies, today) if supplies else NOTHING_IN_HAND)


def in_hand(drug: Drug, supplies: Iterable[Supply], today: date) -> InHand:
    """What is left of the drug's ingredients, had they been taken one after the other, each from its day on."""
    until, newest = today, 0
    same = sorted((supply for supply in supplies if supply.lasts and same_ingredient(drug, supply.drug)),
                  key=lambda supply: supply.at)
    for supply in same:
        until = (max(until, supply.day) if newest else supply.day) + timedelta(days=supply.days)
        newest = supply.days
    return InHand(max(0, (until - today).days), newest, tuple(supply.evidence for supply in same))


def same_ingredient(drug: Drug, other: Drug) -> bool:
    """Whether two drugs hold a substance in common; only whole ATC codes name one."""
    if drug.id == other.id:
        return True
    codes = other.atc_codes
    return any(len(code) == WHOLE_ATC and code in codes for code in drug.atc_codes)


def within_months(since: date, until: date, months: int) -> bool:
    """Whether not more calendar months have passed: on the same day of the month they just have not."""
    return (until.year * 12 + until.month, until.day) <= (since.year * 12 + since.month + months, since.day)


def plain(value: Decimal | Fraction | int) -> str:
    """A number for people: 47.5, not 47.50 or 4E+1."""
    number = Decimal(value.numerator) / value.denominator if isinstance(value, Fraction) else value
    return f"{number:.4f}".rstrip("0").rstrip(".")

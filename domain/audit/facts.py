"""What a rule may look at besides the prescription, and how it says what it found."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

from domain.claims import Entitlement
from domain.dosage import dose_in_window
from domain.findings import Finding, Severity
from domain.knowledge import Drug, Frequency, Knowledge
from domain.orders import Dispensed
from domain.policy import CityPolicy
from domain.prescription import Item, Prescription
from domain.units import converted, exact


@dataclass(frozen=True)
class Facts:
    """Everything outside the paper. What is unknown is None or empty and must never read as "fine"."""

    now: datetime
    """With a zone."""
    knowledge: Knowledge
    policy: CityPolicy
    entitlement: Entitlement | None
    """What the fund says of the person; None if it does not know the person, or was never asked."""
    hospital_level: int
    hospital_contracted: bool
    history: tuple[Dispensed, ...] = ()
    """What the person was handed over through this platform in the last 12 months, as far as it was kept; oldest first.
    It never proves that nothing else is taken."""

    @property
    def today(self) -> date:
        """The city's calendar day."""
        return self.day(self.now)

    def day(self, at: datetime) -> date:
        """The city's calendar day of a time."""
        return at.astimezone(ZoneInfo(self.policy.timezone)).date()


Check = Callable[[Prescription, Facts], Iterator[Finding]]


@dataclass(frozen=True)
class Rule:
    """One rule of rules-cn: its id, the regulation it comes from, and the function that checks it."""

    id: str
    source: str
    check: Check

    def __call__(self, rx: Prescription, facts: Facts) -> list[Finding]:
        return [replace(one, rule=self.id, source=self.source) for one in self.check(rx, facts)]


def rule(id: str, source: str) -> Callable[[Check], Rule]:
    """Makes a function that yields findings a rule with that id and source."""
    return lambda check: Rule(id, source, check)


def found(
    code: str, severity: Severity, text: str, text_en: str, cure: str = "", cure_en: str = "",
    *, path: str = "", item: Item | None = None,
) -> Finding:
    """A finding, about an item if one is given; `Rule` adds its id and source."""
    if item is not None:
        path = f"item[{item.line}].{path}" if path else f"item[{item.line}]"
    return Finding(code, severity, "", path, text, text_en, cure, cure_en, line=item.line if item else None)


def plausible(value: Decimal) -> bool:
    """A number one can compute with: positive, finite and of this world."""
    return exact(value) is not None


def diagnoses(rx: Prescription) -> tuple[str, ...]:
    """The ICD-10 codes the paper was written for."""
    return tuple(one.code.strip() for one in rx.diagnoses if one.code.strip())


def conditions(rx: Prescription) -> tuple[str, ...]:
    """Those and the ones on the proof of the earlier diagnosis: all we know the patient to have."""
    return diagnoses(rx) + tuple(code.strip() for code in rx.visit.proof_codes if code.strip())


def known(rx: Prescription, facts: Facts) -> Iterator[tuple[Item, Drug]]:
    """The items whose drug we know. An unknown one blocks under A-19."""
    for item in rx.items:
        if drug := facts.knowledge.drug(item.drug):
            yield item, drug


def frequency(item: Item, facts: Facts) -> Frequency | None:
    """The item's frequency, or None for a code we do not know, which blocks under A-20."""
    return facts.knowledge.frequencies.get(item.frequency.strip())


def single_dose(item: Item, drug: Drug) -> Fraction | None:
    """The single dose in the drug's unit; None where number or unit are none, which blocks under A-20."""
    return converted(item.single_dose, item.dose_unit, drug.dose_unit)


def period_dose(item: Item, drug: Drug, facts: Facts, days: int | None = None) -> Fraction | None:
    """The most that is taken within `days`, by default `dose_period_days`, in the drug's unit. One single dose where the
    frequency is not fixed (prn, st); None where nothing can be computed, which blocks under A-20."""
    often, dose = frequency(item, facts), single_dose(item, drug)
    if often is None or dose is None:
        return None
    return dose_in_window(dose, often.times, often.period_days, drug.dose_period_days if days is None else days)


def within_months(since: date, until: date, months: int) -> bool:
    """Whether not more calendar months have passed: on the same day of the month they just have not."""
    return (until.year * 12 + until.month, until.day) <= (since.year * 12 + since.month + months, since.day)


@dataclass(frozen=True)
class InHand:
    """What a person still has of something, by what we handed over."""

    days: int
    """From today on; nothing is left at 0."""
    supply: int
    """Days the newest of it was meant for."""


def in_hand(drug: Drug, facts: Facts) -> InHand:
    """What is left of the drug's ingredients, had they been taken one after the other, each from its day on."""
    until, supply = facts.today, 0
    for given in sorted(facts.history, key=lambda given: given.at):
        other = facts.knowledge.drug(given.drug)
        if other is not None and same_ingredient(drug, other) and 0 < given.days_supply < 3660:
            day = facts.day(given.at)
            until = (max(until, day) if supply else day) + timedelta(days=given.days_supply)
            supply = given.days_supply
    return InHand(max(0, (until - facts.today).days), supply)


def same_ingredient(a: Drug, b: Drug) -> bool:
    """Whether two drugs hold a substance in common; only whole ATC codes name one."""
    return a.id == b.id or any(len(code) == 7 and code in b.atc_codes for code in a.atc_codes)


def plain(value: Decimal | Fraction | int) -> str:
    """A number for people: 47.5, not 47.50 or 4E+1."""
    number = Decimal(value.numerator) / value.denominator if isinstance(value, Fraction) else value
    return f"{number:.4f}".rstrip("0").rstrip(".")

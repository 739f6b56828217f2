"""What a rule may look at besides the prescription, and how it says what it found."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from domain.claims import Entitlement
from domain.findings import Finding, Severity
from domain.knowledge import Drug, Frequency, Knowledge
from domain.policy import CityPolicy
from domain.prescription import Item, Prescription


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
    history: frozenset[str] = frozenset()
    """Catalogue codes dispensed to the person in the last 12 months, where known (B-06)."""


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
    """A number one can compute a dose with: positive, finite and of this world."""
    return value.is_finite() and 0 < value < 1_000_000_000


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


def period_dose(item: Item, drug: Drug, facts: Facts) -> Decimal | None:
    """Total dose per `dose_period_days`, in the drug's unit. One single dose where the frequency is not fixed
    (prn, st); None where nothing can be computed, which blocks under A-20."""
    often = frequency(item, facts)
    if often is None or not plausible(item.single_dose):
        return None
    return item.single_dose if often.per_day is None else item.single_dose * often.per_day * drug.dose_period_days


def plain(value: Decimal) -> str:
    """A number for people: 47.5, not 47.50 or 4E+1."""
    return f"{value:.4f}".rstrip("0").rstrip(".")

"""Whether a pharmacy may give another product of the same generic than the one prescribed (D-13)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from domain.chains import OrderLine
from domain.knowledge.rows import CatalogueEntry, Drug
from domain.knowledge.tables import Knowledge
from domain.prescription import Prescription


class NoSwitch(StrEnum):
    """Why another product is no offer."""

    UNASKED = "substitute_unasked"
    """The patient is not asked, or has not agreed to it."""
    FORBIDDEN = "substitute_forbidden"
    """The prescriber wants this product and no other."""
    GENERIC = "substitute_generic"
    FORM = "substitute_form"
    """Another form group, as sustained release for immediate release, or counted in another unit."""
    ROUTE = "substitute_route"
    STRENGTH = "substitute_strength"
    MULTIPLE = "substitute_multiple"
    """A whole multiple of the strength, or a whole part of it: the dose must be written anew."""
    NARROW_INDEX = "substitute_narrow_index"
    BIOLOGIC = "substitute_biologic"
    INHALER = "substitute_inhaler"
    UNKNOWN = "substitute_unknown"
    """Too little is known of one of the two."""


_DOCTOR = frozenset({NoSwitch.MULTIPLE, NoSwitch.NARROW_INDEX, NoSwitch.BIOLOGIC, NoSwitch.INHALER})
"""What the prescriber can consent to."""
INHALED = "INH"
_GROUPS: Mapping[str, str] = {
    "片剂": "oral", "胶囊": "oral", "软胶囊": "oral", "缓释片": "oral_sustained", "缓释胶囊": "oral_sustained",
    "控释片": "oral_controlled", "肠溶片": "oral_enteric", "肠溶胶囊": "oral_enteric", "咀嚼片": "oral_chewed",
    "颗粒": "oral_granules", "混悬液": "oral_suspension", "注射液": "injected", "滴眼液": "eye_drops", "气雾剂": "aerosol",
    "粉吸入剂": "inhaled_powder", "粉雾剂": "inhaled_powder",
}
"""Dose form -> its group. A form that is not listed is of no group, and takes no place of another."""


class Verdict(StrEnum):
    ALLOWED = "allowed"
    WITH_CONSENT = "with_consent"
    """With the doctor's consent."""
    NEVER = "never"


@dataclass(frozen=True)
class Judged:
    """The verdict, and the reason of one that is not `ALLOWED`."""

    verdict: Verdict
    reason: NoSwitch | None = None


def judge(prescribed: str, offered: str, knowledge: Knowledge) -> Judged:
    """Whether a catalogue's product may take the place of another of its products. What is unknown is not allowed.

    Two products have the same generic where the approved names are the same. The patient's own consent is another question.
    """
    products = [_known(knowledge, code) for code in (prescribed, offered)]
    if None in products:
        return Judged(Verdict.NEVER, NoSwitch.UNKNOWN)
    (entry, drug), (other, other_drug) = (product for product in products if product)
    if never := _never(entry, drug, other, other_drug):
        return Judged(Verdict.NEVER, never)
    if careful := _careful(drug, knowledge):
        return Judged(Verdict.WITH_CONSENT, careful)
    if entry.dose_per_unit == other.dose_per_unit:
        return Judged(Verdict.ALLOWED)
    return Judged(Verdict.WITH_CONSENT, NoSwitch.MULTIPLE)


def _known(knowledge: Knowledge, code: str) -> tuple[CatalogueEntry, Drug] | None:
    """None where a product is in no table, or nothing says whether its drug has a narrow index."""
    entry, drug = knowledge.catalogue.get(code), knowledge.drug(code)
    return (entry, drug) if entry and drug and drug.atc and drug.form in _GROUPS else None


def _never(entry: CatalogueEntry, drug: Drug, other: CatalogueEntry, other_drug: Drug) -> NoSwitch | None:
    if drug.atc_codes != other_drug.atc_codes:
        return NoSwitch.GENERIC
    if _GROUPS[drug.form] != _GROUPS[other_drug.form] or entry.unit != other.unit:
        return NoSwitch.FORM
    if drug.name != other_drug.name:
        return NoSwitch.GENERIC  # Another salt, or another ingredient under the same code.
    if drug.route != other_drug.route:
        return NoSwitch.ROUTE
    if drug.dose_unit != other_drug.dose_unit:
        return NoSwitch.UNKNOWN
    less, more = sorted((entry.dose_per_unit, other.dose_per_unit))
    return None if more % less == 0 else NoSwitch.STRENGTH


def _careful(drug: Drug, knowledge: Knowledge) -> NoSwitch | None:
    for limit in knowledge.switch_limits:
        if drug.matches(limit.patterns):
            return NoSwitch.NARROW_INDEX if limit.kind == "narrow_index" else NoSwitch.BIOLOGIC
    return NoSwitch.INHALER if drug.route == INHALED else None


@dataclass(frozen=True)
class Swap:
    """A product in the place of the one prescribed: catalogue codes."""

    prescribed: str
    offered: str


@dataclass(frozen=True)
class Consents:
    """What prescriber and patient have said of other products."""

    prescriber: Mapping[str, bool | None] = field(default_factory=dict)
    """The prescriber's word by prescribed code; None where they said nothing."""
    to_choose: bool = False
    """The patient is shown the offers and agrees to one of them, or to none."""
    agreed: frozenset[Swap] = frozenset()
    """What the patient agreed to."""

    def barred(self, line: OrderLine, knowledge: Knowledge) -> NoSwitch | None:
        """Why a line of a quote is no offer; None for the product prescribed, and for one that may take its place."""
        if not line.instead_of:
            return None
        word = self.prescriber.get(line.instead_of)
        if word is False:
            return NoSwitch.FORBIDDEN
        judged = judge(line.instead_of, line.drug, knowledge)
        if judged.verdict is Verdict.NEVER:
            return judged.reason
        # A consent to another product is none to another strength: the dose on the prescription would be another one.
        if judged.verdict is Verdict.WITH_CONSENT and (not word or judged.reason is NoSwitch.MULTIPLE):
            return judged.reason
        return None if self.to_choose or Swap(line.instead_of, line.drug) in self.agreed else NoSwitch.UNASKED


def consents(rx: Prescription, *, to_choose: bool = False, lines: tuple[OrderLine, ...] = ()) -> Consents:
    """The prescriber's word on each line, and the substitutes among `lines`, which the patient has agreed to."""
    return Consents({item.drug: item.may_substitute for item in rx.items}, to_choose,
                    frozenset(Swap(line.instead_of, line.drug) for line in lines if line.instead_of))

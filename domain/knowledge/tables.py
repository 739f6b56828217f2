"""Everything the rules look up, together."""

from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property

from domain.knowledge.index import ByDiagnosis, ByDrug
from domain.knowledge.rows import (
    AgeSexLimit,
    AllergyGroup,
    CatalogueEntry,
    ChronicGroup,
    Contraindication,
    DiagnosisLimit,
    Drug,
    DuplicateGroup,
    Frequency,
    Interaction,
    InUse,
    LabLimit,
    PaymentRestriction,
    PregnancyRow,
    ReviewItem,
    SwitchLimit,
    TraceProduct,
)


@dataclass(frozen=True)
class Knowledge:
    """Everything the rules look up. Drug codes in it are catalogue codes."""

    drugs: dict[str, Drug] = field(repr=False)
    catalogue: dict[str, CatalogueEntry] = field(repr=False)
    frequencies: dict[str, Frequency] = field(repr=False)
    interactions: tuple[Interaction, ...] = field(repr=False, default=())
    contraindications: tuple[Contraindication, ...] = field(repr=False, default=())
    pregnancy: tuple[PregnancyRow, ...] = field(repr=False, default=())
    limits: tuple[AgeSexLimit, ...] = field(repr=False, default=())
    diagnosis_limits: tuple[DiagnosisLimit, ...] = field(repr=False, default=())
    in_use: tuple[InUse, ...] = field(repr=False, default=())
    duplicates: tuple[DuplicateGroup, ...] = field(repr=False, default=())
    allergies: dict[str, AllergyGroup] = field(repr=False, default_factory=dict)
    labs: tuple[LabLimit, ...] = field(repr=False, default=())
    restrictions: tuple[PaymentRestriction, ...] = field(repr=False, default=())
    chronic: tuple[ChronicGroup, ...] = field(repr=False, default=())
    review_items: dict[str, ReviewItem] = field(repr=False, default_factory=dict)
    trace_products: dict[str, TraceProduct] = field(repr=False, default_factory=dict)
    """By the first seven digits of a trace code."""
    uncoded: frozenset[str] = frozenset()
    """Catalogue codes of stock without trace codes (无码库): the fund pays without them (B-55)."""
    paid_beside_others: frozenset[str] = frozenset()
    """Ids of pieces that the fund pays only beside others (B-05)."""
    switch_limits: tuple[SwitchLimit, ...] = ()
    """Drugs whose product is not exchanged without the doctor (D-13)."""
    version: str = ""
    """Hash of the files it was read from; empty where it was put together otherwise."""

    def drug(self, code: str) -> Drug | None:
        """What is known of a catalogue code, or None. A second brand shares its drug's row."""
        entry = self.catalogue.get(code)
        return self.drugs.get(entry.drug if entry else code)

    @cached_property
    def index(self) -> "Index":
        """Which rows of these tables concern a drug, a pair of drugs or a diagnosis; made when it is first asked for."""
        return Index(self)

    @cached_property
    def ceilings(self) -> dict[str, Decimal]:
        """Catalogue code -> highest price in yuan per counted unit (D-04)."""
        return {code: entry.ceiling for code, entry in self.catalogue.items()}


class Index:
    """The tables of a `Knowledge`, by drug and by diagnosis."""

    def __init__(self, knowledge: Knowledge) -> None:
        self.contraindications = ByDrug(knowledge.contraindications, lambda row: row.patterns)
        self.pregnancy = ByDrug(knowledge.pregnancy, lambda row: row.patterns)
        self.limits = ByDrug(knowledge.limits, lambda row: row.patterns)
        self.in_use = ByDrug(knowledge.in_use, lambda row: row.patterns)
        self.labs = ByDrug(knowledge.labs, lambda row: row.patterns)
        self.duplicates = ByDrug(knowledge.duplicates, lambda row: ("*",) if row.match == "INGREDIENT" else row.patterns)
        """A group of match INGREDIENT concerns every drug."""
        self.restrictions = ByDrug(knowledge.restrictions, lambda row: (f"DRUG:{row.drug}",))
        self.diagnosis_limits = ByDiagnosis(knowledge.diagnosis_limits, lambda row: row.diagnoses)
        self.chronic = ByDiagnosis((group for group in knowledge.chronic if group.chronic), lambda row: row.diagnoses)
        """Without the groups that are not chronic."""
        self.products: dict[str, list[CatalogueEntry]] = {}
        """Products of the catalogue by the id of their drug."""
        for entry in knowledge.catalogue.values():
            self.products.setdefault(entry.drug, []).append(entry)
        self._first = ByDrug(knowledge.interactions, lambda row: row.a_patterns)
        self._second = ByDrug(knowledge.interactions, lambda row: row.b_patterns)

    def interactions(self, drug: Drug, other: Drug) -> tuple[Interaction, ...]:
        """The rows of which one drug is on either side and the other on the other."""
        positions = (self._first.positions(drug) & self._second.positions(other)
                     | self._first.positions(other) & self._second.positions(drug))
        return self._first.at(positions) if positions else ()

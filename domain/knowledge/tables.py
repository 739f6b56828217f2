"""Everything the rules look up, together."""

from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property

from domain.knowledge.index import Index
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
    version: str = ""
    """Hash of the files it was read from; empty where it was put together otherwise."""

    def drug(self, code: str) -> Drug | None:
        """What is known of a catalogue code, or None. A second brand shares its drug's row."""
        entry = self.catalogue.get(code)
        return self.drugs.get(entry.drug if entry else code)

    @cached_property
    def index(self) -> Index:
        """Which rows of these tables concern a drug, a pair of drugs or a diagnosis; made when it is first asked for."""
        return Index(
            interactions=self.interactions, contraindications=self.contraindications, pregnancy=self.pregnancy,
            limits=self.limits, diagnosis_limits=self.diagnosis_limits, in_use=self.in_use, duplicates=self.duplicates,
            labs=self.labs, restrictions=self.restrictions, chronic=self.chronic, catalogue=self.catalogue.values())

    @cached_property
    def ceilings(self) -> dict[str, Decimal]:
        """Catalogue code -> highest price in yuan per counted unit (D-04)."""
        return {code: entry.ceiling for code, entry in self.catalogue.items()}

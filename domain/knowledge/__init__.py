"""What is known of drugs, and how its codes match: ATC prefixes, `DRUG:` ids, ICD-10 prefixes.

Blank in the tables is None or empty here and means unknown, never zero and never "no limit".
"""

from domain.knowledge.codes import diagnosis_matches, trimester
from domain.knowledge.index import ByDiagnosis, ByDrug, Index
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
from domain.knowledge.tables import Knowledge

__all__ = [
    "AgeSexLimit",
    "AllergyGroup",
    "ByDiagnosis",
    "ByDrug",
    "CatalogueEntry",
    "ChronicGroup",
    "Contraindication",
    "DiagnosisLimit",
    "Drug",
    "DuplicateGroup",
    "Frequency",
    "InUse",
    "Index",
    "Interaction",
    "Knowledge",
    "LabLimit",
    "PaymentRestriction",
    "PregnancyRow",
    "ReviewItem",
    "diagnosis_matches",
    "trimester",
]

"""The smart audit: every rule over one case, every finding at once, nothing stops at the first."""

from domain import benefit, dosage, units
from domain.audit import case as cases
from domain.audit import rulebook
from domain.audit.case import Case, resolve
from domain.audit.rulebook import AuditReason, AuditRun, Phase, Result, Rule, Rulebook, selfpay_lines
from domain.audit.rules import dosing, entitlement, interactions, payment, persons, pieces, prescribing
from domain.findings import Finding
from domain.knowledge import codes, index, tables

__all__ = [
    "RULEBOOK", "RULES", "AuditReason", "AuditRun", "Case", "Phase", "Result", "Rule", "Rulebook", "audit", "resolve",
    "selfpay_lines",
]

RULES: tuple[Rule, ...] = (
    prescribing.validity, prescribing.days_of_supply, prescribing.long_supply, prescribing.long_term_scope,
    prescribing.number_of_items, prescribing.pieces_apart, prescribing.controlled_drugs, prescribing.follow_up_proof,
    prescribing.young_children, prescribing.prescriber, prescribing.mandatory_fields, dosing.approved_name,
    dosing.explicit_directions, dosing.quantity_arithmetic, prescribing.diagnosis_stated, prescribing.skin_test,
    pieces.decoctable_doses,

    dosing.maximum_dose, dosing.usual_dose, persons.diagnosis_fits_person, persons.children, persons.one_sex_only,
    dosing.weekly_drugs, dosing.route_and_form, interactions.duplicates, interactions.indication,
    interactions.contraindications, interactions.interactions, persons.elderly, persons.pregnancy,
    persons.possible_pregnancy, persons.allergies, interactions.renal_labs, interactions.hepatic_labs,
    pieces.pieces_by_hand,

    payment.listed, payment.hospital_approval, payment.second_line, payment.payable_indication, payment.payable_days,
    payment.early_refill, payment.disease_formulary, payment.hospital_level, payment.kind_of_visit,
    pieces.pieces_alone,

    entitlement.contracted, entitlement.qualification, entitlement.cap_left, payment.prefer_standard_price,
)
"""In the order in which their findings are shown."""

RULEBOOK = Rulebook(RULES, computed_with=(cases, benefit, codes, dosage, index, rulebook, tables, units))


def audit(case: Case) -> list[Finding]:
    """All findings, in the order of `RULES`: prescribing, safety, payment, claim (rules-cn, sections A and B)."""
    return RULEBOOK.run(case).findings

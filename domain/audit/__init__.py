"""The smart audit: every rule over one prescription, every finding at once, nothing stops at the first."""

from domain.audit import payment, prescribing, safety
from domain.audit.facts import Facts, Rule
from domain.audit.payment import selfpay_lines
from domain.findings import Finding
from domain.prescription import Prescription

__all__ = ["RULES", "Facts", "Rule", "audit", "selfpay_lines"]

RULES: tuple[Rule, ...] = (*prescribing.RULES, *safety.RULES, *payment.RULES)


def audit(rx: Prescription, facts: Facts) -> list[Finding]:
    """All findings, in the order of `RULES`: validity, then safety, then payment (rules-cn, section B).

    Pure: the same prescription and facts give the same findings. A rule that raises is a bug of ours.
    """
    return [finding for rule in RULES for finding in rule(rx, facts)]

"""Recorded audits find today what they found when they were recorded."""

import pytest

from domain.audit import RULES
from tests.domain.audit.corpus import audited, load

CORPUS = load()


@pytest.mark.parametrize("part", range(8))
def test_every_recorded_prescription_has_the_same_findings_in_the_same_order(part: int) -> None:
    different = [recorded.name for recorded in CORPUS[part::8] if audited(recorded) != recorded.findings]
    assert different == [], "python -m tests.domain.audit.corpus --check shows how they differ"


def test_every_rule_finds_something_in_the_corpus() -> None:
    assert {rule.id for rule in RULES} == {finding.rule for recorded in CORPUS for finding in recorded.findings}

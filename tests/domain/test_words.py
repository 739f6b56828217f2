"""Every code that people read has words in both languages."""

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

import pytest

from adapters import registry
from docs.generated import SIX
from domain import event_words, troubles, words
from domain.chains import ChainWord
from domain.event_words import TOLD
from domain.findings import Severity
from domain.fulfilment import plan
from domain.lifecycle import STAGES, Deadline, Owner, Status
from domain.prescription import Approval, SkinTestResult
from domain.troubles import TROUBLES
from domain.words import CANCEL_REASONS, CAUSES, ENDINGS, Two
from fhir_profiles import codes

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("kind", "table"), [
    (Status, words.STATUSES), (Owner, words.OWNERS), (ChainWord, words.ORDERS), (Severity, words.SEVERITIES),
    (Deadline, words.DEADLINES), (Approval, words.APPROVALS), (SkinTestResult, words.SKIN_TESTS)])
def test_every_member_has_words(kind: type[StrEnum], table: Mapping[str, Two]) -> None:
    assert {*map(str, kind)} <= set(table)


def test_every_stage_has_words() -> None:
    assert set(STAGES.values()) <= set(words.STAGES)


def test_words_are_in_both_languages() -> None:
    tables = [table for module in (words, event_words, troubles) for table in vars(module).values()
              if isinstance(table, dict) and table]
    pairs = [two for table in tables for said in table.values()
             for two in (said[1:] if isinstance(said, troubles.Trouble) else [said]) if isinstance(two, Two)]
    assert len(tables) > 15
    assert [two for two in pairs if not (two.zh and two.en) or re.search("[\u4e00-\u9fff]", two.en)] == []


def test_whatever_ends_an_order_has_words() -> None:
    """What chains may refuse with, what they may give as a cause, and why the platform takes an order back."""
    chains = [registry.manifest("chains", slug) for slug in registry.slugs("chains")]
    refusals = {code for chain in chains for code in chain.refusals.values()}
    ours = {reason for path in (ROOT / "tasks").rglob("*.py")
            for reason in re.findall(r'withdraw\(city, \w+(?:, \w+)?, "(\w+)"\)', path.read_text("utf-8"))}
    assert len(refusals) >= 5
    ours |= {plan.CANCELLED, plan.EXPIRED, plan.NO_ANSWER}
    assert "orphan" in ours
    assert refusals | ours | set(CAUSES) <= set(ENDINGS)


def test_every_reason_to_cancel_has_words() -> None:
    assert set(codes.CANCEL_REASONS) == set(CANCEL_REASONS)


def test_every_kind_of_trouble_says_what_to_do() -> None:
    assert {kind.__name__ for kind in SIX} | {""} <= set(TROUBLES)


def test_every_reason_of_a_report_is_a_code() -> None:
    assert [code for code in TOLD if not re.fullmatch(r"[a-z_]+|[A-Z_]+", code)] == []

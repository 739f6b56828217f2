"""What a rule declares holds, rules stay apart, and a version tells which rules and knowledge an audit was made with."""

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta

import pytest

from domain.audit import RULEBOOK, RULES, Case, Phase, Rule, Rulebook, rules, selfpay_lines
from domain.audit.rulebook import BLOCK, INFO, SELFPAY, TABLE, Hit, hit, rule
from domain.words import Two
from tests.domain.audit.corpus import case_of, load
from tests.support.factories import ISSUED, KNOWLEDGE, case, entitlement, item, ordinary, rx, used

CORPUS = load()
WORDS = Two("说明 {name}", "it says {name}")
BY_ID = {rule.id: rule for rule in RULES}


def test_every_rule_of_the_modules_is_in_the_book_once() -> None:
    modules = [importlib.import_module(f"domain.audit.rules.{module.name}") for module in pkgutil.iter_modules(rules.__path__)]
    written = [value for module in modules for value in vars(module).values() if isinstance(value, Rule)]
    assert sorted(rule.id for rule in written) == sorted(rule.id for rule in RULES)
    assert len({rule.id for rule in RULES}) == len(RULES)


@pytest.mark.parametrize("part", range(8))
def test_a_rule_finds_only_what_it_declares(part: int) -> None:
    for recorded in CORPUS[part::8]:
        for result in RULEBOOK.run(case_of(recorded)).results:
            finding = result.finding
            assert BY_ID[finding.rule].declares(finding.code, finding.severity), (recorded.name, finding)


def test_every_declared_outcome_is_found_somewhere_in_the_corpus() -> None:
    findings = [finding for recorded in CORPUS for finding in recorded.findings]
    exact = {(finding.rule, finding.code, finding.severity) for finding in findings}
    any_severity = {(finding.rule, finding.code) for finding in findings}
    missing = [(each.id, code, outcome) for each in RULES for code, outcomes in each.outcomes.items() for outcome in outcomes
               if ((each.id, code) not in any_severity if outcome == TABLE else (each.id, code, outcome) not in exact)]
    assert missing == []


def test_a_drug_without_indications_on_file_is_a_remark() -> None:
    drugs = KNOWLEDGE.drugs | {"D001": replace(KNOWLEDGE.drugs["D001"], indications=())}
    (result,) = BY_ID["B-28"].results(case(rx(), knowledge=replace(KNOWLEDGE, drugs=drugs)))
    assert (result.finding.code, result.finding.severity) == ("NO_REFERENCE_INDICATION", INFO)


def test_a_severity_that_was_not_declared_is_not_guessed() -> None:
    @rule("X-01", Phase.SAFETY, "test", {"UNSURE": TABLE})
    def unsure(case: Case) -> Iterator[Hit]:
        """A rule that forgets to say what the row says."""
        yield hit("UNSURE", Two("", ""))

    assert unsure.declares("UNSURE", BLOCK)
    assert not unsure.declares("OTHER", BLOCK)
    with pytest.raises(ValueError, match="X-01 must say how severe UNSURE is"):
        list(unsure.results(case(rx())))


def test_a_result_names_its_line_its_evidence_and_its_arguments() -> None:
    (result,) = BY_ID["B-31"].results(case(rx(item("D090"), item("D172", 2))))
    assert result.finding.line == 2
    assert set(result.evidence) <= {row.id for row in KNOWLEDGE.interactions}
    assert (result.arguments["drug"], result.arguments["other"]) == ("D090", "D172")
    assert str(result.arguments["effect"]) in result.finding.text


def test_braces_in_a_table_are_text() -> None:
    row = replace(KNOWLEDGE.interactions[0], a_patterns=("DRUG:D001",),
                  b_patterns=("DRUG:D032",), effect="{drug} {0}", management="{name")
    (result,) = BY_ID["B-31"].results(case(rx(item("D001"), item("D032", 2)), knowledge=replace(KNOWLEDGE, interactions=(row,))))
    assert result.finding.text.endswith("{drug} {0}")
    assert result.finding.cure == "{name"


def test_a_rule_holds_for_what_was_issued_while_it_was_in_force() -> None:
    @rule("X-02", Phase.SAFETY, "test", {"SEEN": INFO}, since=date(2026, 11, 22), until=date(2026, 11, 23))
    def seen(case: Case) -> Iterator[Hit]:
        """Always."""
        yield hit("SEEN", WORDS, name="x")

    book = Rulebook([seen])
    applied = [bool(book.run(case(rx(issued_at=ISSUED + timedelta(days=days)))).results) for days in (-1, 0, 1, 2)]
    assert applied == [False, True, True, False]


def test_phases_stand_in_their_order() -> None:
    with pytest.raises(ValueError, match="phases"):
        Rulebook([BY_ID["B-43"], BY_ID["A-01"]])


def test_the_claim_is_computed_without_the_lines_that_were_denied_before() -> None:
    nearly_full = entitlement(used=used(deductible_used=50000, cap_used=418000))
    paid = ordinary("D018")
    denied = ordinary("D018", items=(item("D018", days_supply=85),))
    assert "CAP_EXCEED" in {finding.code for finding in RULEBOOK.run(case(paid, entitlement=nearly_full)).findings}
    findings = RULEBOOK.run(case(denied, entitlement=nearly_full)).findings
    assert selfpay_lines(findings) == {1}
    assert "CAP_EXCEED" not in {finding.code for finding in findings}


def test_the_version_changes_with_the_rules_and_with_the_knowledge() -> None:
    def of(rules: tuple[Rule, ...]) -> str:
        return Rulebook(rules).version

    changed = replace(RULES[0], version=2)
    versions = {of(RULES), of(RULES[1:]), of((changed, *RULES[1:])), of((replace(RULES[0], until=date(2030, 1, 1)), *RULES[1:]))}
    assert len(versions) == 4
    assert of(RULES) == of(RULES)
    assert RULEBOOK.version != of(RULES), "what the rules compute with counts too"
    assert len({RULEBOOK.version_with(knowledge) for knowledge in ("", "a" * 64, "b" * 64)}) == 3
    assert RULEBOOK.run(case(rx())).version == RULEBOOK.version_with(KNOWLEDGE.version)


def test_only_a_line_that_is_named_is_denied() -> None:
    findings = RULEBOOK.run(case(ordinary("D001"), entitlement=entitlement("M03900"))).findings
    assert [finding.line for finding in findings if finding.severity is SELFPAY] == [None]
    assert selfpay_lines(findings) == frozenset()

"""Every rule of every dialect: one id and one code each, in both languages, and who must act."""

from collections import Counter

from docs.generated import dialect_rules
from fhir_profiles.catalogue import CATALOGUE

EVERY = [*CATALOGUE, *(rule for rules in dialect_rules().values() for rule in rules)]


def test_there_are_rules_of_four_dialects() -> None:
    assert len(dialect_rules()) == 4


def test_no_id_and_no_code_means_two_things() -> None:
    for what in ("id", "code"):
        assert [name for name, times in Counter(getattr(rule, what) for rule in EVERY).items() if times > 1] == []


def test_every_rule_says_what_is_wrong_what_to_do_and_who() -> None:
    for rule in EVERY:
        assert all((rule.text, rule.text_en, rule.cure, rule.cure_en, rule.source, rule.issue)), rule.id
        assert rule.actor in ("interface", "prescriber", "registration", "platform"), rule.id

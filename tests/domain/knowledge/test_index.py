"""An index finds the rows that a scan of the whole table finds, in the same order."""

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.knowledge.codes import diagnosis_matches
from domain.knowledge.index import ByDiagnosis, ByDrug
from domain.knowledge.rows import Drug
from tests.support.factories import KNOWLEDGE

DRUGS = tuple(KNOWLEDGE.drugs.values())
PATTERNS = st.sampled_from(["", "*", "A", "A10", "A10BA02", "C09AA0", "DRUG:D001", "DRUG:D0", "DRUG:", "J01", "V", "A10BA020"])
ICD = st.sampled_from(["", " ", "E11", "E11.9", "E11.900", "E11-E14", "E10-E14&N18", "E11&N18", "I10", "C00-C97", "I", "&E11", "X"])
CODES = st.sampled_from(["E11.900", "E1", "E14", "N18.300", "I10.x00", "C5", "C97.1", "X", "糖尿病", "E"])


@pytest.mark.parametrize("table", ["contraindications", "pregnancy", "limits", "in_use", "labs"])
def test_rows_of_a_drug_are_those_a_scan_finds(table: str) -> None:
    for drug in DRUGS:
        assert getattr(KNOWLEDGE.index, table).rows(drug) == tuple(
            row for row in getattr(KNOWLEDGE, table) if drug.matches(row.patterns))


def test_interactions_of_two_drugs_are_those_a_scan_finds() -> None:
    touched = 0
    for one, other in product(DRUGS[::3], DRUGS):
        scanned = tuple(row for row in KNOWLEDGE.interactions if
                        (one.matches(row.a_patterns) and other.matches(row.b_patterns))
                        or (other.matches(row.a_patterns) and one.matches(row.b_patterns)))
        assert KNOWLEDGE.index.interactions(one, other) == scanned
        touched += len(scanned)
    assert touched


def test_restrictions_and_products_are_those_of_the_drug() -> None:
    for drug in DRUGS:
        assert KNOWLEDGE.index.restrictions.rows(drug) == tuple(row for row in KNOWLEDGE.restrictions if row.drug == drug.id)
        assert KNOWLEDGE.index.products.get(drug.id, []) == [
            entry for entry in KNOWLEDGE.catalogue.values() if entry.drug == drug.id]


def matched(drug: Drug, patterns: list[str]) -> bool:
    """The rule of a pattern, written out."""
    return any(pattern == "*" or (pattern == f"DRUG:{drug.id}" if pattern.startswith("DRUG:") else
                                  any(code.startswith(pattern) for code in drug.atc_codes))
               for pattern in patterns if pattern)


@given(rows=st.lists(st.lists(PATTERNS, max_size=3), max_size=5), drug=st.sampled_from(DRUGS),
       atc=st.sampled_from(["", "A10BA02", "A10", "C09AA01"]), more=st.lists(st.sampled_from(["", "J01CA04"]), max_size=2))
def test_any_patterns_cover_a_drug_as_written(rows: list[list[str]], drug: Drug, atc: str, more: list[str]) -> None:
    drug = replace(drug, atc=atc, ingredients=tuple(more))
    numbered = list(enumerate(rows))
    assert [matched(drug, row) for row in rows] == [drug.matches(row) for row in rows]
    assert ByDrug(numbered, lambda row: row[1]).rows(drug) == tuple(row for row in numbered if matched(drug, row[1]))


@given(rows=st.lists(st.lists(ICD, max_size=3), max_size=5), codes=st.lists(CODES, max_size=3))
def test_any_diagnoses_meet_a_row_as_a_scan_would(rows: list[list[str]], codes: list[str]) -> None:
    numbered = list(enumerate(rows))
    assert ByDiagnosis(numbered, lambda row: row[1]).rows(codes) == tuple(
        row for row in numbered if diagnosis_matches(codes, row[1]))


def test_the_interaction_rule_reads_rows_of_its_pairs_only() -> None:
    class Counted(dict[str, list[int]]):
        lookups = 0

        def get(self, key, default=None):  # type: ignore[no-untyped-def, override]
            Counted.lookups += 1
            return super().get(key, default)

    index = replace(KNOWLEDGE, version="counted").index
    for side in (index._first, index._second):
        side._by_pattern = Counted(side._by_pattern)
    one, other = KNOWLEDGE.drugs["D090"], KNOWLEDGE.drugs["D172"]
    assert index.interactions(one, other)
    first = Counted.lookups
    assert first <= 2 * (len(one.patterns) + len(other.patterns))
    index.interactions(other, one)
    assert Counted.lookups == first, "what was looked up once is kept"

"""Suggestions for a hospital's codes: what says the same comes first, what is another medicine never looks certain."""

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.kit import tables
from adapters.kit.suggest import is_ours, listed, suggest
from adapters.kit.tables import Row
from adapters.mapping import TABLES, read_tables
from adapters.messages import Unmapped
from domain.errors import NeedsOperator
from infra.cities import load_knowledge

KNOWLEDGE = load_knowledge("jinan")
TODAY = date(2026, 11, 22)


def best(table: str, theirs: str, name: str = "") -> tuple[str, int]:
    found = suggest(KNOWLEDGE, table, theirs, name)
    return (found[0].ours, found[0].score) if found else ("", 0)


@pytest.mark.parametrize(("table", "theirs", "name", "ours"), [
    ("drug", "X1", "二甲双胍片 0.5g", "D001"),
    ("drug", "X2", "盐酸二甲双胍缓释片（某牌）0.5g*30片", "D002"),
    ("drug", "X3", "缬沙坦胶囊８０ｍｇ", "D048"),
    ("drug", "X4", "某牌 苯磺酸氨氯地平片 5mg", "D032"),
    ("drug", "X5", "美托洛尔缓释片 47.5mg", "D065"),
    ("frequency", "BID", "", "bid"),
    ("frequency", "02", "一日两次", "bid"),
    ("frequency", "9", "2次/日", "bid"),
    ("frequency", "Q8H", "每8小时1次", "q8h"),
    ("frequency", "10", "每晚睡前", "qn"),
    ("route", "1", "口服", "PO"),
    ("route", "ih", "皮下注射", "SC"),
    ("unit", "毫克", "", "mg"),
    ("unit", "㎎", "", "mg"),
    ("unit", "TAB", "", "片"),
    ("title", "副主任", "", "232"),
    ("diagnosis", "E11.900x001", "2型糖尿病", "E11.900"),
])
def test_what_says_the_same_is_suggested_first_and_looks_certain(table: str, theirs: str, name: str, ours: str) -> None:
    assert best(table, theirs, name)[0] == ours
    assert best(table, theirs, name)[1] >= 90


@pytest.mark.parametrize(("name", "certain_not"), [
    ("盐酸二甲双胍缓释片", "D001"), ("盐酸二甲双胍片", "D002"), ("苯磺酸左氨氯地平片", "D032"), ("酒石酸美托洛尔片", "D065"),
    ("盐酸二甲双胍片 0.85g", "D001"), ("缬沙坦胶囊 160mg", "D048"), ("缬沙坦氨氯地平片", "D032"), ("华法林钠注射液", "D085"),
])
def test_another_form_strength_or_substance_never_looks_certain(name: str, certain_not: str) -> None:
    found = {one.ours: one.score for one in suggest(KNOWLEDGE, "drug", "X", name, limit=9)}
    assert found.get(certain_not, 0) < 90


def test_what_is_like_nothing_gets_no_suggestion() -> None:
    assert suggest(KNOWLEDGE, "route", "9", "静脉滴注") == []
    assert suggest(KNOWLEDGE, "drug", "X", "zzzz") == []


@pytest.mark.parametrize("table", TABLES)
def test_our_own_words_are_found_again(table: str) -> None:
    if table == "diagnosis":
        pytest.skip("groups of codes are no codes")
    for code, name in listed(KNOWLEDGE, table).items():
        assert best(table, code, name)[1] >= 90, (code, name)
        assert is_ours(KNOWLEDGE, table, code)


@given(st.sampled_from([table for table in TABLES if table != "diagnosis"]), st.text(max_size=12), st.text(max_size=20))
def test_a_suggestion_is_always_a_code_of_ours_with_a_score(table: str, theirs: str, name: str) -> None:
    found = suggest(KNOWLEDGE, table, theirs, name)
    assert all(is_ours(KNOWLEDGE, table, one.ours) and 40 <= one.score <= 100 for one in found)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert len({one.ours for one in found}) == len(found) <= 3


# The tables.

OPEN = {"drug": [Row("Y1", "阿卡波糖片 50mg"), Row("Y2", "某某散"), Row("Y3", "旧药", "D032", "王", "2026-01-01")]}


def test_suggestions_stand_beside_an_empty_code_and_count_for_nothing(tmp_path: Path) -> None:
    tables.write(tmp_path, tables.suggested(OPEN, KNOWLEDGE))
    text = (tmp_path / "mapping" / "drug.csv").read_text(encoding="utf-8")
    assert text.splitlines()[1] == "Y1,阿卡波糖片 50mg,,,,D010,100"
    read_tables.cache_clear()
    assert read_tables(tmp_path).ours("drug", "Y1") is None
    assert read_tables(tmp_path).ours("drug", "Y3") == "D032"
    assert tables.read(tmp_path) == tables.suggested(OPEN, KNOWLEDGE)


def test_a_person_accepts_by_name_and_day_and_the_rest_stays(tmp_path: Path) -> None:
    done, count = tables.accepted(tables.suggested(OPEN, KNOWLEDGE), KNOWLEDGE, ["drug:Y2=D001"], 95, "药师甲", TODAY)
    assert count == 2
    assert [(row.ours, row.accepted_by, row.accepted_on) for row in done["drug"]] == [
        ("D010", "药师甲", "2026-11-22"), ("D001", "药师甲", "2026-11-22"), ("D032", "王", "2026-01-01")]
    tables.write(tmp_path, done)
    head = (tmp_path / "mapping" / "drug.csv").read_text(encoding="utf-8").splitlines()[0]
    assert head == "theirs,name,ours,accepted_by,accepted_on"


@pytest.mark.parametrize("word", ["drug:Y9", "drug:Y2", "drug:Y1=D9999", "route:1=PO"])
def test_what_cannot_be_accepted_is_refused(word: str) -> None:
    with pytest.raises(NeedsOperator):
        tables.accepted(tables.suggested(OPEN, KNOWLEDGE), KNOWLEDGE, [word], 101, "x", TODAY)


def test_a_code_is_listed_once_however_often_it_was_seen() -> None:
    found = tables.with_codes(OPEN, [Unmapped("drug", "Y1", "阿卡波糖"), Unmapped("route", "1", "口服"), Unmapped("route", "1")])
    assert [row.theirs for row in found["drug"]] == ["Y1", "Y2", "Y3"]
    assert found["route"] == [Row("1", "口服")]

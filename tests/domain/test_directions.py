"""Words that plainly say another dose, frequency or route than the codes beside them, and words that do not."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.directions import Coded, contradicts, rhythms, routes_differ

TWICE = Coded(Fraction(2), Decimal(500), "mg", Decimal(250), "mg", "片", "PO")


@pytest.mark.parametrize("words", [
    "每日4次，每次4片，首剂加倍", "每日3次", "一日三次", "每天１次", "日3次", "3次/日", "每8小时一次", "每周两次",
    "隔日1次", "隔日一次口服",
    "qd", "Tid 饭后", "早中晚各1片", "早、中、晚各一次", "每日3~4次", "每日三至四次", "每次1片", "一次半片", "每次1/2片",
    "每次0.25g",
    "每次1000毫克", "1片/次", "每次口服3-4片", "舌下含服", "外用", "静脉滴注", "吸入后漱口", "每 日 3 次",
])
def test_a_plain_contradiction_is_seen(words: str) -> None:
    assert contradicts(words, TWICE)


@pytest.mark.parametrize("words", [
    "", "饭后服", "每日2次", "每日两次，每次2片", "一日二次", "每日1-2次", "2次/天", "早晚各1次",
    "每12小时1次", "BID", "每次0.5g", "每次500mg",
    "每次2片", "每次1-2片", "口服", "温水送服", "首日每日1次，以后每日2次", "每日不超过3次", "每日3次以内", "每次1支",
    "每次10ml", "疼痛时加服1片",
    "每次2粒或每次3片", "3天后复诊", "共14天", "嚼服", "含服",
])
def test_what_does_not_plainly_contradict_is_left_to_people(words: str) -> None:
    assert not contradicts(words, TWICE)


@pytest.mark.parametrize(("codes", "words", "plainly"), [
    (replace(TWICE, per_day=None), "每日3次", False),
    (replace(TWICE, strength=None), "每次1片", False),
    (replace(TWICE, dose=Decimal(2), dose_unit="片"), "每次250mg", True),
    (replace(TWICE, dose=Decimal(2), dose_unit="片"), "每次500mg", False),
    (replace(TWICE, dose=Decimal(2), dose_unit="片"), "每次1片", True),
    (replace(TWICE, dose=None), "每次9片", False),
    (replace(TWICE, route="INH"), "吸入，漱口后吐出，勿口服", False),
    (replace(TWICE, route="OPH"), "口服", True),
    (replace(TWICE, route="?"), "口服", False),
])
def test_only_what_the_codes_say_can_be_contradicted(codes: Coded, words: str, plainly: bool) -> None:
    assert contradicts(words, codes) is plainly


@given(st.text(alphabet="每日天一二两三半0123456789/次片mg小时隔周-~,各早中晚 qbtid", max_size=40))
def test_any_words_are_read(words: str) -> None:
    contradicts(words, TWICE)
    assert all(low <= high or high for low, high in rhythms(words))


@pytest.mark.parametrize(("words", "name", "differ"), [
    ("静脉注射", "口服", True), ("外用", "口服", True), ("皮下注射", "吸入给药", True), ("舌下含服", "口服", True),
    ("饭后口服", "口服", False), ("遵说明", "口服", False), ("皮下注射", "注射给药", False), ("", "口服", False),
])
def test_the_words_beside_a_route_may_add_to_it_and_not_name_another(words: str, name: str, differ: bool) -> None:
    assert routes_differ(words, name) is differ

"""A member that stands twice is found wherever it is, and only such a one."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.json_text import holds_nul, repeated_member

VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5),
                      lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4))


@pytest.mark.parametrize(("text", "place"), [
    ('{"a": 1, "a": 2}', "a"),
    ('{"a": 1, "a": 1}', "a"),
    ('{"a": {"b": 1, "c": [], "b": 2}}', "a.b"),
    ('{"lines": [{"q": "7"}, {"q": "7", "q": "70"}]}', "lines.1.q"),
    ('[{"q": 1, "q": 1}]', "0.q"),
    (r'{"a": 1, "\u0061": 2}', "a"),
    ('{"示范患者": 1, "示范患者": 2}', "…"),
    ('{"a": {"b": 1}, "b": 2}', ""),
    ('{"a": [1, 1]}', ""),
    ("", ""),
    ('{"a": 1, "a"', ""),
    ("[" * 100_000, ""),
    ('{"a": NaN}', ""),
], ids=lambda text: text[:40])
def test_a_repeated_member(text: str, place: str) -> None:
    assert repeated_member(text) == repeated_member(text.encode()) == place


@given(VALUES)
def test_what_an_object_can_hold_repeats_nothing(value: object) -> None:
    assert repeated_member(json.dumps(value)) == ""


@pytest.mark.parametrize(("text", "holds"), [
    (r'{"a": "x\u0000"}', True), (r'{"\u0000": 1}', True), (r'["\\\u0000"]', True), (r'{"a": "\\u0000"}', False),
    ('{"a": "x"}', False), (r'"\u0000', False), ('{"a": "\0"}', False)])
def test_a_nul(text: str, holds: bool) -> None:
    assert holds_nul(text.encode()) is holds

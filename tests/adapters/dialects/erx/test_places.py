"""Samples, places and bytes of the national e-prescription interface."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.dialects import erx
from adapters.dialects.erx_json import MAX_DEPTH, Number, read
from adapters.mapping import CodeMap
from domain.errors import InvalidPayload
from tasks.intake import check
from tests.support.erx import SLUG
from tests.support.erx_messages import FOLDER, both, judged, message

VALID = sorted((FOLDER / "samples").glob("*.json"))


INVALID: Mapping[str, str] = tomllib.loads((FOLDER / "samples/invalid/index.toml").read_text(encoding="utf-8"))


# Samples.

@pytest.mark.parametrize("file", VALID, ids=lambda file: file.stem)
def test_a_valid_sample_has_nothing_wrong_with_it(adapter: erx.Adapter, codes: CodeMap, file: Path) -> None:
    found = adapter.to_fhir(file.read_bytes(), codes)
    assert found.key
    assert not found.unmapped
    assert check(found, SLUG) == []


@pytest.mark.parametrize("name", INVALID)
def test_an_invalid_sample_is_refused_for_its_reason_in_its_place(adapter: erx.Adapter, codes: CodeMap, name: str) -> None:
    findings = judged(adapter, codes, (FOLDER / "samples/invalid" / name).read_bytes())
    assert INVALID[name] in {one.code for one in findings}
    assert all(one.spot and one.spot.name.startswith("D00") and one.spot.line for one in findings)
    assert "示范患者" not in repr(findings)


# Places.

def test_a_place_is_counted_in_the_part_it_was_sent_in(adapter: erx.Adapter, codes: CodeMap) -> None:
    body = both()
    body["D003"]["certno"] = ""
    body["D003"]["drCode"] = "D370100000009"
    raw = erx.compose({name: json.dumps(part, ensure_ascii=False, indent=2).encode() for name, part in body.items()})
    spots = {(one.code, str(one.spot)): one.spot for one in judged(adapter, codes, raw)}
    own = json.dumps(body["D003"], ensure_ascii=False, indent=2)
    line = next(number for number, text in enumerate(own.splitlines(), 1) if '"certno"' in text)

    assert ("ERX_FIELD_MISSING", f"D003 certno; line {line}, column 13") in spots
    offset = spots["ERX_FIELD_MISSING", f"D003 certno; line {line}, column 13"]
    assert offset is not None
    assert own.encode()[offset.offset:].startswith(b'""')


@pytest.mark.parametrize("between", [",", ",\n"])
def test_the_places_of_a_large_message_are_found_at_once(between: str) -> None:
    rows = between.join('{"药":"盐酸二甲双胍片盐酸二甲双胍片盐酸二甲双胍片"}' for _ in range(4_500))
    node = read(f'{{"a":[{rows}]}}'.encode(), "D001")
    spots = [row["药"].spot for row in node["a"]]
    assert len({(one.line, one.column) for one in spots}) == 4_500


def test_a_column_counts_characters_and_an_offset_bytes() -> None:
    spot = read('{"a": 1,\n"药名":"盐酸","b":2}'.encode(), "D001")["b"].spot
    assert (spot.line, spot.column, spot.offset) == (2, 15, len('{"a": 1,\n"药名":"盐酸","b":'.encode()))


@given(st.recursive(
    st.none() | st.booleans() | st.integers(-10**17, 10**17) | st.text(st.characters(exclude_categories=["Cs", "Cc"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc_", min_size=1), inner, max_size=4)),
    st.sampled_from([None, 2]))
def test_every_value_is_read_as_json_reads_it_and_found_where_it_stands(value: Any, indent: int | None) -> None:
    raw = json.dumps({"v": value}, ensure_ascii=False, indent=indent).encode()
    node = read(raw, "D001")["v"]
    assert node.plain == json.loads(raw, parse_int=Number)["v"]
    spot = node.spot
    line = raw.decode().split("\n")[spot.line - 1]
    assert len("\n".join(raw.decode().split("\n")[:spot.line - 1]).encode()) + (spot.line > 1) + len(
        line[:spot.column - 1].encode()) == spot.offset
    assert json.loads(node.raw) == value


@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:01 \\u\n', max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused_with_a_place(raw: bytes) -> None:
    try:
        expected = json.loads(raw, parse_int=Number, parse_float=Number)
    except ValueError:
        expected = None
    try:
        found, findings = read(raw, "D001").plain, ()
    except InvalidPayload as invalid:
        found, findings = None, invalid.findings
    assert found == expected if found is not None else findings
    assert all(one.code and one.spot for one in findings)


@pytest.mark.parametrize(("raw", "code"), [
    (b"", "MSG_NOT_JSON"), (b"[1]", "MSG_NOT_JSON"), (b'{"a":1} x', "MSG_NOT_JSON"), ("{'a'}".encode("gb18030"), "MSG_NOT_JSON"),
    ('{"a":"盐酸"}'.encode("gb18030"), "MSG_NOT_UTF8"), (b"\xef\xbb\xbf{}", "MSG_NOT_UTF8"),
    (b'{"a":1,"a":2}', "JSON_DUPLICATE_KEY"), (b'{"a":-Infinity}', "JSON_NOT_FINITE"),
    (b'{"a":1234567890123456789012}', "JSON_NUMBER_TOO_LONG"), (b'{"a":"\\u0007"}', "JSON_CHARACTER"),
    (b'{"a":' * (MAX_DEPTH + 1), "MSG_TOO_DEEP"), (b'{"a":[' + b"{}," * 20_000 + b"{}]}", "MSG_TOO_COMPLEX"),
    (b'{"a":"' + b"x" * (20 << 20) + b'"}', "MSG_TOO_LARGE"),
])
def test_bytes_that_are_no_message_are_refused(raw: bytes, code: str) -> None:
    with pytest.raises(InvalidPayload) as caught:
        read(raw, "D001")
    assert [one.code for one in caught.value.findings] == [code]


def test_parts_that_make_no_message_are_refused(adapter: erx.Adapter, codes: CodeMap) -> None:
    for raw in (b"{}", b'{"D001":1,"D003":[]}', message(D009={}), message(D003={}), message(D001={}, D003={}, D004={})):
        assert judged(adapter, codes, raw)

"""The dialect by itself: places, field tables, samples, words."""

import json
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import registry
from adapters.dialects import erx
from adapters.dialects.erx_json import MAX_DEPTH, Number, read, read_parts
from adapters.mapping import CodeMap, read_tables
from adapters.messages import Message, Outcome, Verdict
from domain.errors import InvalidPayload
from domain.findings import Finding
from domain.lifecycle import Status
from fhir_profiles.checker import check_data
from sandbox.dialects.erx import precheck, upload
from tests.erx import SECRETS, SLUG, facts
from tests.fakes import Replay

FOLDER = registry.HERE / "hospitals" / SLUG
VALID = sorted((FOLDER / "samples").glob("*.json"))
INVALID: Mapping[str, str] = tomllib.loads((FOLDER / "samples/invalid/index.toml").read_text(encoding="utf-8"))
AT = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def adapter() -> erx.Adapter:
    loaded = registry.load("hospitals", SLUG, Replay(), SECRETS)
    assert isinstance(loaded, erx.Adapter)
    return loaded


@pytest.fixture(scope="module")
def codes() -> CodeMap:
    return read_tables(FOLDER)


def message(**parts: Any) -> bytes:
    return erx.compose({name: json.dumps(part, ensure_ascii=False).encode() for name, part in parts.items()})


def both() -> dict[str, Any]:
    numbers = {"rxTraceCode": "T", "hiRxno": "H", "rxFile": "JVBERi0=", "signDigest": "d"}
    return {"D001": precheck(facts(1)), "D003": {**numbers, **upload(facts(1))}}


def judged(adapter: erx.Adapter, codes: CodeMap, raw: bytes) -> list[Finding]:
    """What the adapter says, and the checker after it, each with its place."""
    try:
        found = adapter.to_fhir(raw, codes)
    except InvalidPayload as invalid:
        return list(invalid.findings)
    return [replace(one, spot=found.locate(one.path)) for one in check_data(found.resource, SLUG)]


# Samples.

@pytest.mark.parametrize("file", VALID, ids=lambda file: file.stem)
def test_a_valid_sample_has_nothing_wrong_with_it(adapter: erx.Adapter, codes: CodeMap, file: Path) -> None:
    found = adapter.to_fhir(file.read_bytes(), codes)
    assert found.key
    assert not found.unmapped
    assert check_data(found.resource, SLUG) == []


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
    start = time.perf_counter()
    spots = [row["药"].spot for row in node["a"]]

    assert time.perf_counter() - start < 1
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


# Field tables.

def drop(*path: str | int) -> Callable[[dict[str, Any]], None]:
    def change(body: dict[str, Any]) -> None:
        node: Any = body
        for step in path[:-1]:
            node = node[step]
        del node[path[-1]]
    return change


def put(value: Any, *path: str | int) -> Callable[[dict[str, Any]], None]:
    def change(body: dict[str, Any]) -> None:
        node: Any = body
        for step in path[:-1]:
            node = node[step]
        node[path[-1]] = value
    return change


@pytest.mark.parametrize(("change", "code", "path"), [
    (drop("rxTypeCode"), "ERX_FIELD_MISSING", "D001.rxTypeCode"),
    (put("03", "mdtrtCertType"), "ERX_FIELD_MISSING", "D001.cardSn"),
    (put("01", "mdtrtCertType"), "ERX_FIELD_MISSING", "D001.authNo"),
    (put("6", "rxdrugdetail", 0, "selfPayRea"), "ERX_FIELD_MISSING", "D001.rxdrugdetail[0].realDscr"),
    (put("3", "diseinfo", 0, "diagType"), "ERX_FIELD_MISSING", "D001.diseinfo[0].tcmsympCode"),
    (put("x" * 41, "hospRxno"), "ERX_FIELD_TOO_LONG", "D001.hospRxno"),
    (put("1.23456", "rxdrugdetail", 0, "sinDoscnt"), "ERX_FIELD_TYPE", "D001.rxdrugdetail[0].sinDoscnt"),
    (put("2026-02-30 08:00:00", "prscTime"), "ERX_FIELD_TYPE", "D001.prscTime"),
    (put("内科", "mdtrtinfo"), "ERX_FIELD_TYPE", "D001.mdtrtinfo"),
    (put(["x"], "hospRxno"), "ERX_FIELD_TYPE", "D001.hospRxno"),
    (put("13", "rxdrugdetail", 0, "rxItemTypeCode"), "ERX_FIELD_MISSING", "D001.rxFrquCodg"),
])
def test_the_field_tables_are_kept(change: Callable[[dict[str, Any]], None], code: str, path: str) -> None:
    body = precheck(facts(1))
    change(body)
    found = erx.faults(read(json.dumps(body, ensure_ascii=False).encode(), "D001"), "D001")
    assert (code, path) in [(one.code, one.path) for one in found]


def test_fields_the_tables_do_not_know_are_let_pass(adapter: erx.Adapter, codes: CodeMap) -> None:
    body = both()
    body["D001"]["provincialField"] = {"x": [1]}
    assert judged(adapter, codes, message(**body)) == []


def test_herbs_take_their_usage_from_the_whole_prescription(adapter: erx.Adapter, codes: CodeMap) -> None:
    body = both()
    row = body["D001"]["rxdrugdetail"][0]
    row["rxItemTypeCode"] = "13"
    for name in ("medcWayCodg", "medcWayDscr", "usedFrquCodg", "usedFrquName"):
        del row[name]
    body["D001"] |= {"rxUsedWayCodg": "1", "rxUsedWayName": "水煎服", "rxFrquCodg": "12", "rxFrquName": "每天二次",
                     "rxDosunt": "剂", "rxDoscnt": "0.5"}
    found = adapter.to_fhir(message(**body), codes)
    dosage = found.resource["entry"][-1]["resource"]["dosageInstruction"][0]
    assert dosage["timing"]["code"]["coding"][0]["code"] == "bid"
    assert dosage["route"]["coding"][0]["code"] == "PO"


# Codes and defaults.

def test_codes_nobody_has_mapped_are_listed_with_name_and_place(adapter: erx.Adapter, codes: CodeMap) -> None:
    body = both()
    row = body["D001"]["rxdrugdetail"][0]
    row |= {"medListCodg": "XNEW", "medcWayCodg": "4", "usedFrquCodg": "99", "sinDosunt": "勺"}
    found = adapter.to_fhir(message(**body), codes)
    assert [(one.table, one.theirs, one.spot.name if one.spot else "") for one in found.unmapped] == [
        ("drug", "XNEW", "D001 rxdrugdetail[0].medListCodg"), ("unit", "勺", "D001 rxdrugdetail[0].sinDosunt"),
        ("frequency", "99", "D001 rxdrugdetail[0].usedFrquCodg"), ("route", "4", "D001 rxdrugdetail[0].medcWayCodg")]


def test_what_the_interface_cannot_say_comes_from_the_manifest_where_extras_are_silent(
    adapter: erx.Adapter, codes: CodeMap,
) -> None:
    body = both()
    del body["D001"]["mdtrtinfo"]["extras"], body["D001"]["insuPlcNo"]
    text = json.dumps(adapter.to_fhir(message(**body), codes).resource)
    assert '"valueCode": "pickup"' in text
    assert '"valueCode": "370100"' in text
    assert '"code": "310"' in text
    assert "long-term-assessed" not in text  # not said, so not assessed


# Words.

@pytest.mark.parametrize("status", list(Status))
def test_every_status_has_words_of_the_interface(status: Status) -> None:
    assert erx.rx_status(status)["rxStasName"] in ("有效", "已失效", "已撤销")
    assert erx.notice(status) in ("7108", "7109", "rxStas")
    assert (erx.used_status(status)["rxUsedStasCodg"] == "1") == (erx.notice(status) == "7109")
    assert erx.check_status(status)["rxChkStasCodg"] in "012"


@pytest.mark.parametrize(("verdict", "code", "status"), [
    (Verdict(Outcome.ACCEPTED, AT, SLUG, "rx_1", "RX0001", "received"), 0, "1"),
    (Verdict(Outcome.ACCEPTED, AT, SLUG, "rx_1", "RX0001", "cancelled"), 0, "3"),
    (Verdict(Outcome.ACCEPTED, AT, SLUG, "rx_1", "RX0001", "cancelling"), 0, "1"),
    (Verdict(Outcome.ACCEPTED, AT, SLUG, "rx_1", "RX0001", "too-late"), erx.TOO_LATE, None),
    (Verdict(Outcome.WAITING, AT, SLUG, external_id="RX0001"), 0, "1"),
    (Verdict(Outcome.CONFLICT, AT, SLUG, external_id="RX0001"), erx.CONFLICT, None),
    (Verdict(Outcome.REFUSED, AT, SLUG, external_id="RX0001"), erx.INVALID, None),
])
def test_a_verdict_is_a_code_that_a_hospital_system_understands(
    adapter: erx.Adapter, verdict: Verdict, code: int, status: str | None,
) -> None:
    task = Message("k", {"resourceType": "Task"})
    reply = adapter.answer(task if verdict.status in ("cancelled", "cancelling", "too-late") else None, verdict)
    said = json.loads(reply.body)
    data = json.loads(erx.sm.sm4_decrypt(erx.sm.sm4_key(said["appId"], SECRETS["app_secret"]), said["encData"]))
    assert (said["code"], data.get("rxStasCodg")) == (code, status)
    assert data["hiRxno"] == erx.hi_rxno(SLUG, "RX0001")
    assert reply == adapter.answer(task if verdict.status in ("cancelled", "cancelling", "too-late") else None, verdict)


def test_the_numbers_we_give_fit_their_fields_and_mean_one_content() -> None:
    assert len(erx.hi_rxno(SLUG, "RX0001")) == 30
    assert len(erx.trace_code(SLUG, b"{}")) == 20
    assert erx.trace_code(SLUG, b"{}") != erx.trace_code(SLUG, b"{ }")
    assert erx.hi_rxno(SLUG, "RX0001") != erx.hi_rxno("another", "RX0001")


def test_the_rules_have_ids_and_both_languages() -> None:
    assert len({rule.id for rule in erx.RULES}) == len({rule.code for rule in erx.RULES}) == len(erx.RULES)
    assert all(rule.id.startswith("ERX-") and rule.text and rule.text_en and rule.cure and rule.cure_en for rule in erx.RULES)


def test_parts_are_kept_byte_for_byte() -> None:
    first, second = b'{ "a" : 1.50 }', '{"b":"\\u836f 药"}'.encode()
    parts = read_parts(erx.compose({"D001": first, "D003": second}))
    assert (parts["D001"].raw, parts["D003"].raw) == (first, second)


# Cases, each with what is right.

CASES = Path(__file__).parent / "erx_cases"


def test_hundreds_of_empty_rows_are_refused_at_once_with_one_finding(adapter: erx.Adapter, codes: CodeMap) -> None:
    findings = judged(adapter, codes, (CASES / "66_erx_300_empty_drugs.json").read_bytes())
    assert [(one.code, one.spot.name if one.spot else "") for one in findings] == [("ERX_TOO_MANY_ROWS", "D001 rxdrugdetail")]


def test_the_findings_of_a_message_without_anything_in_it_are_bounded(adapter: erx.Adapter, codes: CodeMap) -> None:
    body = both()
    body["D001"]["rxdrugdetail"] = [{}] * 40
    findings = judged(adapter, codes, message(**body))
    assert len(findings) == erx.MAX_FINDINGS + 1
    assert findings[-1].code == "TOO_MANY_FINDINGS"

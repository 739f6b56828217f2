"""The dialect by itself: places, field tables, samples, words."""

import json
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import registry
from adapters.dialects import erx
from adapters.dialects.erx_fields import LEFT_OUT, Field, faults, tables
from adapters.dialects.erx_json import MAX_DEPTH, Number, read, read_parts
from adapters.dialects.erx_rules import MAX_FINDINGS, RULES
from adapters.mapping import CodeMap, read_tables
from adapters.messages import Message, Outcome, Verdict
from domain.errors import InvalidPayload
from domain.findings import Finding
from domain.lifecycle import REPORTED
from fhir_profiles.checker import check_data
from fhir_profiles.drafts import Datum, Draft
from sandbox.dialects.erx import precheck, upload
from tasks.intake import check
from tests.support.erx import SECRETS, SLUG, facts
from tests.support.fakes import Replay

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
    numbers = {"rxTraceCode": "T", "hiRxno": erx.hi_rxno(SLUG, "RX0001"), "rxFile": "JVBERi0=", "signDigest": "AAAA"}
    return {"D001": precheck(facts(1)), "D003": {**numbers, **upload(facts(1))}}


def judged(adapter: erx.Adapter, codes: CodeMap, raw: bytes) -> list[Finding]:
    """What the adapter says, and the checker after it, each with its place."""
    try:
        return check(adapter.to_fhir(raw, codes), SLUG)
    except InvalidPayload as invalid:
        return list(invalid.findings)


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
    found = faults(read(json.dumps(body, ensure_ascii=False).encode(), "D001"), "D001")
    assert (code, path) in [(one.code, one.path) for one in found]


def test_fields_the_tables_do_not_know_are_said_where_they_stand(adapter: erx.Adapter, codes: CodeMap) -> None:
    body = both()
    rx, upload = body["D001"], body["D003"]
    for node, value in ((rx, {"x": [1]}), (rx["mdtrtinfo"], "否认"), (rx["mdtrtinfo"]["extras"], 1), (rx["rxdrugdetail"][0], True),
                        (rx["diseinfo"][0], ["x"]), (upload, "x")):
        node["provincialField"] = value
    rx["rxdrugdetail"][0]["extras"] = {"provincialField": "x", "empty": "", "nothing": None, "none": {}}
    upload["extras"] = {"x": 1}
    assert {(one.code, one.path) for one in judged(adapter, codes, message(**body))} == {
        ("ERX_FIELD_UNKNOWN", path) for path in (
            "D001.provincialField", "D001.mdtrtinfo.provincialField", "D001.mdtrtinfo.extras.provincialField",
            "D001.rxdrugdetail[0].provincialField", "D001.rxdrugdetail[0].extras.provincialField",
            "D001.diseinfo[0].provincialField", "D003.provincialField", "D003.extras")}


def test_herbs_take_their_usage_from_the_whole_prescription(adapter: erx.Adapter, codes: CodeMap) -> None:
    body = both()
    row = body["D001"]["rxdrugdetail"][0]
    row["rxItemTypeCode"] = "13"
    for name in ("medcWayCodg", "medcWayDscr", "usedFrquCodg", "usedFrquName"):
        del row[name]
    body["D001"] |= {"rxUsedWayCodg": "1", "rxUsedWayName": "水煎服", "rxFrquCodg": "12", "rxFrquName": "每天二次",
                     "rxDosunt": "剂", "rxDoscnt": "0.5"}
    found = adapter.to_fhir(message(**body), codes)
    dosage = next(one["resource"] for one in found.resource["entry"]
                  if one["resource"]["resourceType"] == "MedicationRequest")["dosageInstruction"][0]
    assert dosage["timing"]["code"]["coding"][0]["code"] == "bid"
    assert dosage["route"]["coding"][0]["code"] == "PO"


# Codes, and what is not said.

def test_codes_nobody_has_mapped_are_listed_with_name_and_place(adapter: erx.Adapter, codes: CodeMap) -> None:
    body = both()
    row = body["D001"]["rxdrugdetail"][0]
    row |= {"medListCodg": "XNEW", "medcWayCodg": "4", "usedFrquCodg": "99", "sinDosunt": "勺"}
    found = adapter.to_fhir(message(**body), codes)
    assert [(one.table, one.theirs, one.spot.name if one.spot else "") for one in found.unmapped] == [
        ("drug", "XNEW", "D001 rxdrugdetail[0].medListCodg"), ("unit", "勺", "D001 rxdrugdetail[0].sinDosunt"),
        ("frequency", "99", "D001 rxdrugdetail[0].usedFrquCodg"), ("route", "4", "D001 rxdrugdetail[0].medcWayCodg")]


def test_what_is_not_said_has_no_default_and_is_refused_where_it_is_needed(adapter: erx.Adapter, codes: CodeMap) -> None:
    body = both()
    del body["D001"]["mdtrtinfo"]["extras"], body["D001"]["insuPlcNo"]
    said = adapter.to_fhir(message(**body), codes)
    text = json.dumps(said.resource)
    assert '"valueCode": "pickup"' not in text
    assert "long-term-assessed" not in text
    assert {"HANDOVER", "INSURED_PLACE", "INSUTYPE"} <= {finding.code for finding in check_data(said.resource, adapter.slug)}


# Words.

@pytest.mark.parametrize("status", [*REPORTED, *erx.Before])
def test_every_status_has_words_of_the_interface(status: str) -> None:
    assert erx.rx_status(status)["rxStasName"] in ("有效", "已失效", "已撤销")
    notice = erx.codes_of(status).notice
    assert notice in ("7108", "7109", "rxStas")
    assert (erx.used_status(status)["rxUsedStasCodg"] == "1") == (notice == "7109")
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
    assert len({rule.id for rule in RULES}) == len({rule.code for rule in RULES}) == len(RULES)
    assert all(rule.id.startswith("ERX-") and rule.text and rule.text_en and rule.cure and rule.cure_en for rule in RULES)


def test_parts_are_kept_byte_for_byte() -> None:
    first, second = b'{ "a" : 1.50 }', '{"b":"\\u836f 药"}'.encode()
    parts = read_parts(erx.compose({"D001": first, "D003": second}))
    assert (parts["D001"].raw, parts["D003"].raw) == (first, second)


# Cases, each with what is right.

CASES = Path(__file__).parent / "erx_cases"


def case(name: str) -> dict[str, Any]:
    """A message of D001 and D003; where the case is a D001 alone, with an upload to it."""
    said = json.loads((CASES / f"{name}.json").read_bytes())
    return said if "D001" in said else {"D001": said}


def drafted(adapter: erx.Adapter, codes: CodeMap, body: Mapping[str, Any]) -> Draft:
    """What the translation makes of it."""
    return adapter.translation.prescription(read_parts(message(**body)), codes, adapter.facts, SLUG)[0]


def places(findings: Iterable[Finding]) -> set[tuple[str, str]]:
    return {(one.code, one.path) for one in findings}


def test_hundreds_of_empty_rows_are_refused_at_once_with_one_finding(adapter: erx.Adapter, codes: CodeMap) -> None:
    findings = judged(adapter, codes, (CASES / "66_erx_300_empty_drugs.json").read_bytes())
    assert places(findings) == {("ERX_TOO_MANY_ROWS", "D001.rxdrugdetail")}


def test_the_findings_of_a_message_without_anything_in_it_are_bounded(adapter: erx.Adapter, codes: CodeMap) -> None:
    body = both()
    body["D001"]["rxdrugdetail"] = [{}] * 40
    findings = judged(adapter, codes, message(**body))
    assert len(findings) == MAX_FINDINGS + 1
    assert findings[-1].code == "TOO_MANY_FINDINGS"


@pytest.mark.parametrize(("field", "value"), [
    ("algsHis", "过敏" * 150_000), ("nwbAge", "1月" * 100_000), ("patnAge", "9" * 900_000), ("prscDeptName", "每天" * 150_000)])
def test_a_megabyte_in_one_field_is_one_finding(adapter: erx.Adapter, codes: CodeMap, field: str, value: str) -> None:
    body = {"D001": both()["D001"]}
    body["D001"]["mdtrtinfo"][field] = value
    findings = judged(adapter, codes, message(**body))
    assert {one.path for one in findings} == {f"D001.mdtrtinfo.{field}"}


@pytest.mark.parametrize("codes_said", ["AL01," * 150_000, ["AL01"] * 5_000])
def test_a_list_of_thousands_is_one_finding(adapter: erx.Adapter, codes: CodeMap, codes_said: Any) -> None:
    body = {"D001": both()["D001"]}
    body["D001"]["mdtrtinfo"]["extras"]["algsCodes"] = codes_said
    findings = judged(adapter, codes, message(**body))
    assert ("ERX_FIELD_TYPE", "D001.mdtrtinfo.extras.algsCodes") in places(findings)
    assert len(findings) <= MAX_FINDINGS


@pytest.mark.parametrize(("change", "code", "path"), [
    (put({}, "diseinfo"), "ERX_NOT_A_LIST", "D001.diseinfo"), (put("E11", "diseinfo"), "ERX_NOT_A_LIST", "D001.diseinfo"),
    (put({}, "rxdrugdetail"), "ERX_NOT_A_LIST", "D001.rxdrugdetail"), (put([], "mdtrtinfo"), "ERX_FIELD_MISSING", "D001.mdtrtinfo"),
    (put(None, "mdtrtinfo"), "ERX_FIELD_MISSING", "D001.mdtrtinfo"), (drop("mdtrtinfo"), "ERX_FIELD_MISSING", "D001.mdtrtinfo"),
    (put([{}], "mdtrtinfo"), "ERX_FIELD_TYPE", "D001.mdtrtinfo"),
    (put("x", "rxdrugdetail", 0), "ERX_FIELD_TYPE", "D001.rxdrugdetail[0]"),
    (put([], "rxdrugdetail", 0, "extras"), "", ""),
    (put([1], "rxdrugdetail", 0, "extras"), "ERX_FIELD_TYPE", "D001.rxdrugdetail[0].extras"),
    (put([{}], "mdtrtinfo", "extras", "algsCodes"), "ERX_FIELD_TYPE", "D001.mdtrtinfo.extras.algsCodes"),
    (put([None], "diseinfo"), "ERX_FIELD_TYPE", "D001.diseinfo[0]"),
])
def test_an_object_where_a_list_should_be_is_one_finding_at_its_place(
    adapter: erx.Adapter, codes: CodeMap, change: Callable[[dict[str, Any]], None], code: str, path: str,
) -> None:
    body = both()
    change(body["D001"])
    assert places(judged(adapter, codes, message(**body))) == ({(code, path)} if code else set())


def test_a_diagnosis_that_is_no_list_is_one_finding(adapter: erx.Adapter, codes: CodeMap) -> None:
    assert places(judged(adapter, codes, message(**case("65_erx_diseinfo_object")))) == {("ERX_NOT_A_LIST", "D001.diseinfo")}


# Allergies.

@pytest.mark.parametrize(("codes_said", "coded"), [
    ("AL01", ["AL01"]), (["AL01"], ["AL01"]), ("AL01,AL02", ["AL01", "AL02"]), ("AL01、AL02；AL03", ["AL01", "AL02", "AL03"]),
    (["AL01", "", "AL02"], ["AL01", "AL02"]), ("", []), ([], []), (None, []),
])
def test_allergy_codes_are_read_as_a_list_and_as_a_text(
    adapter: erx.Adapter, codes: CodeMap, codes_said: Any, coded: list[str],
) -> None:
    body = case("60_erx_allergy_codes_as_text")
    body["D001"]["mdtrtinfo"]["extras"]["algsCodes"] = codes_said
    assert [one.value for one in drafted(adapter, codes, body).patient.allergies] == coded
    assert judged(adapter, codes, message(**body)) == []


@pytest.mark.parametrize(("words", "kept", "none_known"), [
    ("青霉素过敏史", ["青霉素过敏史"], ""), ("不详", ["不详"], ""), ("无，青霉素皮试阳性", ["无，青霉素皮试阳性"], ""),
    ("", [], ""), (None, [], ""), ("无", [], "true"), (" 否认药物、食物过敏史 ", [], "true"),
    ("否认药物食物过敏史。", [], "true"),
    ("无 过敏 史", [], "true"), ("过敏" * 300, ["过敏" * 250, "过敏" * 50], ""),
])
def test_allergies_in_words_are_kept_and_none_is_only_what_says_so(
    adapter: erx.Adapter, codes: CodeMap, words: str | None, kept: list[str], none_known: str,
) -> None:
    body = case("amoxicillin_algsHis")
    body["D001"]["mdtrtinfo"]["algsHis"] = words
    patient = drafted(adapter, codes, body).patient
    assert [one.value for one in patient.allergy_words] == kept
    assert patient.no_known_allergies.value == none_known


# Two statements of one fact.

def test_a_newborn_on_the_mothers_number_is_refused(adapter: erx.Adapter, codes: CodeMap) -> None:
    findings = judged(adapter, codes, message(**case("newborn_on_mothers_id")))
    assert places(findings) == {("ERX_AGE", "D001.mdtrtinfo.nwbFlag")}


def visit(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda body: body["mdtrtinfo"].update(fields)


def whole(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda body: body.update(fields)


def drug(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda body: body["rxdrugdetail"][0].update(fields)


def diagnosis(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda body: body["diseinfo"][0].update(fields)


DISAGREEMENTS: list[tuple[Callable[[dict[str, Any]], None], str, str]] = [
    (visit(patnAge="67"), "ERX_AGE", "mdtrtinfo.patnAge"), (visit(patnAge="69"), "ERX_AGE", "mdtrtinfo.patnAge"),
    (visit(patnAge="0.1"), "ERX_AGE", "mdtrtinfo.patnAge"), (visit(patnAge="68.5"), "", ""), (visit(patnAge="68.0"), "", ""),
    (visit(nwbFlag="1"), "ERX_AGE", "mdtrtinfo.nwbFlag"), (visit(nwbFlag="0"), "", ""),
    (visit(nwbAge="12天"), "ERX_AGE", "mdtrtinfo.nwbAge"), (visit(nwbFlag="0", nwbAge="2月"), "ERX_AGE", "mdtrtinfo.nwbAge"),
    (visit(nwbAge="12"), "ERX_AGE", "mdtrtinfo.nwbAge"), (visit(nwbAge="初生"), "ERX_AGE", "mdtrtinfo.nwbAge"),
    (visit(patnWt="0"), "ERX_MEASURE", "mdtrtinfo.patnWt"), (visit(patnHgt="-170"), "ERX_MEASURE", "mdtrtinfo.patnHgt"),
    (visit(psnCertType="08"), "ERX_CERT_TYPE", "mdtrtinfo.psnCertType"),
    (whole(mdtrtCertNo="370102196005054477"), "ERX_CREDENTIAL", "mdtrtCertNo"),
    (whole(ecToken="A" * 20), "ERX_CREDENTIAL", "ecToken"),
    (whole(mdtrtCertType="01", authNo="1", ecToken="A" * 20, mdtrtCertNo="B" * 20), "ERX_CREDENTIAL", "mdtrtCertNo"),
    (whole(mdtrtCertType="01", authNo="1", ecToken="A" * 20, mdtrtCertNo="A" * 20), "", ""),
    (whole(mdtrtCertType="09"), "ERX_CODE", "mdtrtCertType"), (whole(rxTypeCode="X"), "ERX_CODE", "rxTypeCode"),
    (whole(rxDrugCnt="2"), "ERX_DRUG_COUNT", "rxDrugCnt"), (whole(rxDrugCnt="1.0000"), "", ""),
    (whole(valiDays="3"), "ERX_VALID_DAYS", "valiDays"), (whole(valiEndTime="2026-11-24 08:58:00"), "ERX_VALID_DAYS", "valiDays"),
    (whole(reptFlag="1"), "ERX_REPEAT", "reptFlag"), (whole(maxReptCnt="3"), "ERX_REPEAT", "maxReptCnt"),
    (whole(minInrvDays="7"), "ERX_REPEAT", "minInrvDays"), (whole(reptFlag="0", maxReptCnt="1", minInrvDays="0"), "", ""),
    (whole(rxCotnFlag="1"), "ERX_RENEWAL", "rxCotnFlag"), (whole(rxCotnFlag="0", initRxno=""), "", ""),
    (whole(rxTypeCode="2"), "ERX_KIND", "rxdrugdetail[0].rxItemTypeCode"),
    (whole(rxTypeCode="10"), "ERX_KIND", "rxdrugdetail[0].rxItemTypeCode"), (whole(rxTypeCode="99"), "", ""),
    (whole(rxTypeCode="3"), "ERX_RX_TYPE", "longRxFlag"), (whole(rxTypeCode="5"), "ERX_RX_TYPE", "rxTypeCode"),
    (whole(rxTypeCode="7"), "ERX_RX_TYPE", "rxTypeCode"),
    (whole(rxFrquCodg="12"), "ERX_USAGE_TWICE", "rxFrquCodg"), (whole(rxDoscnt="1"), "ERX_USAGE_TWICE", "rxDoscnt"),
    (drug(tcmdrugTypeCode="3"), "ERX_KIND", "rxdrugdetail[0].tcmdrugTypeCode"),
    (drug(rxItemTypeName="中药饮片"), "ERX_NAME_OF_CODE", "rxdrugdetail[0].rxItemTypeName"),
    (drug(usedFrquName="每日三次"), "ERX_NAME_OF_CODE", "rxdrugdetail[0].usedFrquName"),
    (drug(usedFrquName="TID"), "ERX_NAME_OF_CODE", "rxdrugdetail[0].usedFrquName"),
    (drug(usedFrquName="一日两次"), "", ""), (drug(usedFrquName="BID"), "", ""), (drug(usedFrquName="每日2次"), "", ""),
    (drug(medcWayDscr="滴眼"), "ERX_NAME_OF_CODE", "rxdrugdetail[0].medcWayDscr"), (drug(medcWayDscr="饭后口服"), "", ""),
    (visit(drProfttlName="主任医师"), "ERX_NAME_OF_CODE", "mdtrtinfo.drProfttlName"),
    (drug(medcDays="7"), "ERX_MEDICATION_TIME", "rxdrugdetail[0].medcEndtime"),
    (drug(medcEndtime="2026-11-21 08:58:00"), "ERX_MEDICATION_TIME", "rxdrugdetail[0].medcEndtime"),
    (drug(medcBegntime="2026-10-22 08:58:00"), "ERX_MEDICATION_TIME", "rxdrugdetail[0].medcBegntime"),
    (drug(medcEndtime="2026-12-21 23:59:59"), "", ""), (drug(medcEndtime="2026-12-21 08:58:00"), "", ""),
    (drug(hospApprFlag="1", selfPayRea="1"), "ERX_OWN_EXPENSE", "rxdrugdetail[0].selfPayRea"),
    (drug(hospApprFlag="2"), "ERX_FIELD_MISSING", "rxdrugdetail[0].selfPayRea"), (drug(hospApprFlag="2", selfPayRea="1"), "", ""),
    (drug(hospApprFlag="3"), "ERX_CODE", "rxdrugdetail[0].hospApprFlag"),
    (drug(hospPrepFlag="1"), "ERX_HOSPITAL_PREPARATION", "rxdrugdetail[0].hospPrepFlag"),
    (visit(otpIptFlag="2"), "ERX_INPATIENT", "mdtrtinfo.otpIptFlag"), (visit(medType="21"), "ERX_INPATIENT", "mdtrtinfo.medType"),
    (visit(medType="11"), "ERX_CHRONIC", "mdtrtinfo.diseCodg"), (visit(spDiseFlag="0"), "ERX_CHRONIC", "mdtrtinfo.spDiseFlag"),
    (diagnosis(maindiagFlag="0"), "ERX_MAIN_DIAGNOSIS", "diseinfo[0].maindiagFlag"),
    (visit(maindiagCode="I10.x00"), "ERX_MAIN_DIAGNOSIS", "mdtrtinfo.maindiagCode"),
    (visit(maindiagName="高血压"), "ERX_MAIN_DIAGNOSIS", "mdtrtinfo.maindiagName"),
    (diagnosis(diagTime="2026-11-23 08:53:00"), "ERX_TIME_ORDER", "diseinfo[0].diagTime"),
    (visit(mdtrtTime="2026-11-22 12:00:00"), "ERX_TIME_ORDER", "mdtrtinfo.mdtrtTime"),
    (visit(birctrlType="1"), "ERX_NOT_READ", "mdtrtinfo.birctrlType"), (visit(matnType="1"), "ERX_NOT_READ", "mdtrtinfo.matnType"),
    (visit(birctrlMatnDate="2026-11-01"), "ERX_NOT_READ", "mdtrtinfo.birctrlMatnDate"),
    (diagnosis(diagType="4"), "ERX_CODE", "diseinfo[0].diagType"),
]


@pytest.mark.parametrize(("change", "code", "path"), DISAGREEMENTS)
def test_two_statements_of_one_fact_are_compared(
    adapter: erx.Adapter, codes: CodeMap, change: Callable[[dict[str, Any]], None], code: str, path: str,
) -> None:
    body = both()
    change(body["D001"])
    found = {one for one in places(judged(adapter, codes, message(**body)))
             if one[0].startswith("ERX_") and one[1].startswith("D001")}
    assert found == ({(code, f"D001.{path}")} if code else set())


@pytest.mark.parametrize(("field", "value"), [("gesoVal", "20"), ("suckPrdFlag", "1")])
def test_a_man_with_child_is_refused_where_it_says_so(adapter: erx.Adapter, codes: CodeMap, field: str, value: str) -> None:
    body = both()
    body["D001"]["mdtrtinfo"][field] = value
    (finding,) = judged(adapter, codes, message(**body))
    assert (finding.code, finding.spot and finding.spot.name) == ("PREGNANT_MAN", f"D001 mdtrtinfo.{field}")


@pytest.mark.parametrize(("node", "field", "value", "expected"), [
    ("", "hospRxno", "处方1", {("PRESCRIPTION_NUMBER", "hospRxno")}), ("", "hospRxno", "", {("ERX_FIELD_MISSING", "hospRxno")}),
    ("", "prscTime", "", {("ERX_FIELD_MISSING", "prscTime")}), ("", "prscTime", ["x"], {("ERX_FIELD_TYPE", "prscTime")}),
    ("", "bizTypeCode", "", {("ERX_FIELD_MISSING", "bizTypeCode")}), ("", "bizTypeCode", "9", {("VISIT_CLASS", "bizTypeCode")}),
    ("mdtrtinfo", "certno", "E12345678", {("ID_NUMBER", "mdtrtinfo.certno")}),
    ("mdtrtinfo", "certno", "370102195813029910", {("ID_NUMBER", "mdtrtinfo.certno")}),
    ("mdtrtinfo", "patnName", "", {("ERX_FIELD_MISSING", "mdtrtinfo.patnName")}),
    ("rxdrugdetail", "drugGenname", "", {("ERX_FIELD_MISSING", "rxdrugdetail[0].drugGenname")}),
    ("diseinfo", "diagType", "9", {("ERX_CODE", "diseinfo[0].diagType")}),
    ("diseinfo", "diagCode", "", {("ERX_FIELD_MISSING", "diseinfo[0].diagCode")}),
    ("diseinfo", "diagName", "", {("ERX_FIELD_MISSING", "diseinfo[0].diagName")}),
])
def test_what_is_wrong_is_said_once_and_not_what_follows_from_it(
    adapter: erx.Adapter, codes: CodeMap, node: str, field: str, value: Any, expected: set[tuple[str, str]],
) -> None:
    body = {"D001": both()["D001"]}
    body["D001"]["mdtrtCertNo"] = ""
    into(body["D001"], node)[field] = value
    findings = judged(adapter, codes, message(**body))
    assert {(one.code, (one.spot.name if one.spot else "").removeprefix("D001 ")) for one in findings} == expected


@pytest.mark.parametrize(("born", "fields", "path"), [
    ("20261110", {"patnAge": "0", "nwbFlag": "1", "nwbAge": "12天"}, ""),
    ("20261110", {"patnAge": "0", "nwbFlag": "1", "nwbAge": "13日"}, ""),
    ("20261110", {"patnAge": "0", "nwbFlag": "1", "nwbAge": "2月"}, "nwbAge"),
    ("20261121", {"patnAge": "0", "nwbFlag": "1", "nwbAge": "30小时"}, ""),
    ("20261023", {"patnAge": "0", "nwbFlag": "1"}, "nwbFlag"), ("20261025", {"patnAge": "0", "nwbFlag": "1"}, ""),
    ("20260820", {"patnAge": "0", "nwbAge": "3个月"}, ""), ("20260820", {"patnAge": "0.3", "nwbAge": "3月2天"}, ""),
    ("20260820", {"patnAge": "3"}, "patnAge"), ("20251122", {"patnAge": "1"}, ""), ("20251123", {"patnAge": "1"}, "patnAge"),
])
def test_an_infants_age_is_that_of_its_own_number(
    adapter: erx.Adapter, codes: CodeMap, born: str, fields: dict[str, str], path: str,
) -> None:
    body = both()
    body["D001"]["mdtrtinfo"] |= {"certno": f"370102{born}9910", **fields}
    found = {path for code, path in places(judged(adapter, codes, message(**body))) if code == "ERX_AGE"}
    assert found == ({f"D001.mdtrtinfo.{path}"} if path else set())


def test_one_main_diagnosis_is_the_first_and_chinese_ones_are_carried_in_words(adapter: erx.Adapter, codes: CodeMap) -> None:
    body = both()
    row = body["D001"]["diseinfo"][0]
    body["D001"]["diseinfo"] = [
        row | {"maindiagFlag": "0", "diagSrtNo": "2", "diagCode": "I10.x00", "diagName": "高血压"}, row,
        row | {"diagType": "2", "diagSrtNo": "1", "diagCode": "A07.06", "diagName": "消渴病", "tcmDiseCode": "A07.06",
               "tcmDiseName": "消渴病", "tcmsymp": "气阴两虚证"}]
    draft = drafted(adapter, codes, body)
    assert [one.code.value for one in draft.diagnoses] == ["E11.900", "I10.x00"]
    assert draft.note.value == "中医诊断：消渴病 A07.06 气阴两虚证"

    body["D001"]["diseinfo"][0]["maindiagFlag"] = "1"
    body["D001"]["diseinfo"][0]["diagSrtNo"] = "1"
    assert places(judged(adapter, codes, message(**body))) == {
        ("ERX_MAIN_DIAGNOSIS", "D001.diseinfo[1].maindiagFlag"), ("ERX_DIAGNOSIS_ORDER", "D001.diseinfo[1].diagSrtNo")}


def test_an_upload_must_repeat_what_was_checked(adapter: erx.Adapter, codes: CodeMap) -> None:
    for name, value in (("hiRxno", "HI" + "A" * 28), ("fixmedinsName", "另一医院"), ("mdtrtId", "V9"), ("patnName", "别人")):
        body = both()
        body["D003"][name] = value
        assert places(judged(adapter, codes, message(**body))) == {("ERX_PARTS_DISAGREE", f"D003.{name}")}
    body = both()
    body["D003"]["pharChkTime"] = "2026-11-22 08:00:00"
    assert ("ERX_TIME_ORDER", "D003.pharChkTime") in places(judged(adapter, codes, message(**body)))


def test_a_revocation_is_judged_by_itself(adapter: erx.Adapter, codes: CodeMap) -> None:
    said = json.loads((FOLDER / "samples/revoke.json").read_bytes())
    said["D001"]["mdtrtinfo"]["patnAge"] = "5"
    said["D001"]["newField"] = "x"
    assert judged(adapter, codes, message(**said)) == []
    for name, value, code in (("undoTime", "2026-11-20 09:00:00", "ERX_TIME_ORDER"), ("more", "x", "ERX_FIELD_UNKNOWN"),
                              ("fixmedinsCode", "H37010000009", "ERX_PARTS_DISAGREE"), ("hiRxno", "HI1", "ERX_PARTS_DISAGREE")):
        assert places(judged(adapter, codes, message(D001=said["D001"], D004=said["D004"] | {name: value}))) == {
            (code, f"D004.{name}")}


# Words.

def test_the_prescribers_words_are_carried(adapter: erx.Adapter, codes: CodeMap) -> None:
    body = both()
    rx = body["D001"]
    rx |= {"rxDrordDscr": "低盐饮食", "valiDays": "2", "valiEndTime": "2026-11-24 08:58:00"}
    rx["mdtrtinfo"] |= {"diseCondDscr": "血糖控制可", "patnHgt": "172", "patnWt": "70.5"}
    rx["mdtrtinfo"]["extras"] |= {"valiDaysRea": "偏远地区", "grdnName": "示范监护人", "grdnCertno": "370102196005054477",
                                  "grdnRlts": "父母"}
    rx["rxdrugdetail"][0] |= {
        "medcWayDscr": "饭后口服", "usedFrquName": "早晚各一次", "tcmherbFoote": "整片吞服", "drugProdname": "示范商品名",
        "prdrName": "示范药厂", "urgtFlag": "1", "hospApprFlag": "2", "selfPayRea": "6", "realDscr": "患者自愿",
        "extras": {"rmk": "备注", "overDosRea": "理由", "sknTstRslt": "阴性", "sknTstTime": "2026-11-22 08:00:00"}}
    draft = drafted(adapter, codes, body)
    item = draft.items[0]
    assert draft.note.value == "低盐饮食；病情：血糖控制可；身高 172 cm"
    assert item.usage.value == "整片吞服；饭后口服；早晚各一次"
    assert item.note.value == "备注；剂型：片剂；规格：每片；商品名：示范商品名；厂家：示范药厂；加急；自费原因 6 患者自愿"
    assert (item.approval.value, item.overdose_reason.value, item.skin_test.value) == ("2", "理由", "negative")
    assert item.skin_test_at.value == "2026-11-22T08:00:00+08:00"
    assert (draft.valid_reason.value, draft.department.value, draft.department_name.value) == ("偏远地区", "03", "内科")
    assert (draft.title.value, draft.visit_number.value) == ("233", "VRX0001")
    assert draft.patient.guardian is not None
    assert draft.patient.guardian.relationship.value == "parent"
    assert [(one.code.value, one.value.value, one.unit.value) for one in draft.readings] == [("29463-7", "70.5", "kg")]


def test_a_credential_a_renewal_and_a_signature_are_carried(adapter: erx.Adapter, codes: CodeMap) -> None:
    body = both()
    body["D001"] |= {"mdtrtCertType": "01", "mdtrtCertNo": "", "ecToken": "A1" * 20, "authNo": "1", "initRxno": "RX0000",
                     "rxCotnFlag": "1"}
    body["D001"]["mdtrtinfo"]["extras"] |= {"renewBegnDate": "2026-11-01", "renewEndDate": "2026-12-01"}
    draft = drafted(adapter, codes, body)
    assert draft.patient.credential.value == "A1" * 20
    assert (draft.renewal_first.value, draft.renewal_start.value, draft.renewal_end.value) == (
        "RX0000", "2026-11-01", "2026-12-01")
    assert draft.signature is not None
    assert (draft.signature.at.value, draft.signature.data.value) == ("2026-11-22T09:00:00+08:00", "AAAA")
    assert {one for one in places(judged(adapter, codes, message(**body))) if one[0].startswith("ERX")} == set()


def test_pieces_are_carried_with_their_decoction(adapter: erx.Adapter, codes: CodeMap) -> None:
    body = both()
    row = body["D001"]["rxdrugdetail"][0]
    for name in ("medcWayCodg", "medcWayDscr", "usedFrquCodg", "usedFrquName", "sinDoscnt", "sinDosunt"):
        del row[name]
    row |= {"rxItemTypeCode": "13", "rxItemTypeName": "中药饮片", "tcmdrugTypeCode": "3", "drugCnt": "70", "drugDosunt": "g",
            "tcmherbFoote": "先煎", "medcDays": "7", "medcEndtime": "2026-11-29 08:58:00"}
    body["D001"] |= {"rxTypeCode": "2", "rxDrugCnt": "7", "rxUsedWayCodg": "1", "rxUsedWayName": "水煎服", "rxFrquCodg": "12",
                     "rxFrquName": "每天二次", "rxDosunt": "剂", "rxDoscnt": "0.5"}
    draft = drafted(adapter, codes, body)
    assert draft.decoction is not None
    assert [one.value for one in (draft.decoction.doses, draft.decoction.method, draft.decoction.times)] == ["7", "decoct", "2"]
    item = draft.items[0]
    assert [one.value for one in (item.dose, item.dose_unit, item.quantity, item.decoction_mark)] == ["10", "g", "70", "first"]
    assert item.usage.value == "水煎服；每次 0.5 剂"
    assert {one for one in places(judged(adapter, codes, message(**body))) if one[0].startswith("ERX")} == set()
    body["D001"]["rxDrugCnt"] = "1.5"
    assert ("ERX_DRUG_COUNT", "D001.rxDrugCnt") in places(judged(adapter, codes, message(**body)))


@pytest.mark.parametrize(("spec", "strength", "size"), [
    ("0.5g*60片", "500", "60"), ("500mg×20片/盒", "500", "20"), ("0.5g/片", "500", ""), ("500000μg*60片", "500", "60"),
    ("每片", "", ""), ("0.5g*60粒", "", ""), ("10ml*60片", "", ""), ("0.5g", "", ""), ("..5g*60片", "", ""), ("0g*60片", "", ""),
])
def test_what_a_unit_holds_is_read_from_the_specification_in_the_unit_of_the_dose(
    adapter: erx.Adapter, codes: CodeMap, spec: str, strength: str, size: str,
) -> None:
    body = both()
    body["D001"]["rxdrugdetail"][0]["drugSpec"] = spec
    item = drafted(adapter, codes, body).items[0]
    assert (item.strength.value, item.pack_size.value) == (strength, size)
    assert f"规格：{spec}" in item.note.value
    assert judged(adapter, codes, message(**body)) == []


# Nothing is passed over.

FULL: Mapping[str, Any] = {
    "": {"mdtrtCertType": "01", "mdtrtCertNo": "", "ecToken": "A1" * 20, "authNo": "1", "initRxno": "RX0000", "rxCotnFlag": "1",
         "rxDrordDscr": "低盐", "reptFlag": "0", "maxReptCnt": "1", "minInrvDays": "0"},
    "mdtrtinfo": {"patnHgt": "172", "patnWt": "70", "gesoVal": "", "nwbFlag": "0", "suckPrdFlag": "0", "algsHis": "青霉素",
                  "diseCondDscr": "病情", "nwbAge": "", "prscDrCertType": "01", "prscDrCertno": "1", "caty": "A03",
                  "diseName": "糖尿病", "hiFeesetlType": "01", "hiFeesetlName": "x", "rgstFee": "1", "medfeeSumamt": "2"},
    "mdtrtinfo.extras": {"renewBegnDate": "2026-11-01", "renewEndDate": "2026-12-01", "algsCodes": ["AL01"], "grdnName": "甲",
                         "grdnCertno": "370102196005054477", "grdnRlts": "父", "grdnCfmFlag": "1", "valiDaysRea": "远"},
    "rxdrugdetail": {"hospPrepFlag": "0", "tcmdrugTypeCode": "1", "tcmherbFoote": "吞服", "mainMedcFlag": "0", "urgtFlag": "0",
                     "impDrugFlag": "0", "drugProdname": "甲", "prdrName": "乙", "selfPayRea": "1", "realDscr": "丙",
                     "hospApprFlag": "2"},
    "rxdrugdetail.extras": {"overDosRea": "甲", "rmk": "乙", "sknTstRslt": "阴性", "sknTstTime": "2026-11-22 08:00:00",
                            "sknTstExmpRea": "丙"},
    "diseinfo": {"tcmDiseCode": "A", "tcmDiseName": "甲", "tcmsympCode": "B", "tcmsymp": "乙"},
}
OTHER = {"N": "9", "D": "2026-11-11", "DT": "2026-12-24 01:02:03", "LIST": ["ZZ"]}
"""Another value of each type."""


def told(adapter: erx.Adapter, codes: CodeMap, body: Mapping[str, Any]) -> tuple[Any, Any]:
    findings = {(one.code, one.path) for one in judged(adapter, codes, message(**body))}
    parts = read_parts(message(**body))
    if "D004" in parts:
        return unplaced(adapter.translation.revocation(parts, adapter.facts, SLUG)), findings
    return unplaced(adapter.translation.prescription(parts, codes, adapter.facts, SLUG)[0]), findings


def unplaced(value: Any) -> Any:
    """A draft without the places of its values."""
    if isinstance(value, Datum):
        return value.value
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [unplaced(one) for one in value]
    return {one.name: unplaced(getattr(value, one.name)) for one in fields(value)} if is_dataclass(value) else value


def every_field() -> Iterator[tuple[str, str, Field]]:
    for transaction in ("D001", "D003", "D004"):
        for table in tables(transaction):
            for spec in table.fields:
                if spec.kind not in ("OBJ", "JSON"):
                    yield transaction, table.node, spec


@pytest.mark.parametrize(("transaction", "node", "spec"), every_field())
def test_every_field_is_read_compared_or_knowingly_left_out(
    adapter: erx.Adapter, codes: CodeMap, transaction: str, node: str, spec: Field,
) -> None:
    body = both()
    if transaction == "D004":
        body = json.loads((FOLDER / "samples/revoke.json").read_bytes())
    else:
        for around, said in FULL.items():
            into(body["D001"], around).update(said)
    before = told(adapter, codes, body)
    row = into(body[transaction], node)
    other = OTHER.get(spec.kind, "9" if row.get(spec.name) != "9" else "8")
    row[spec.name] = other if other != row.get(spec.name) else "8"
    seen = told(adapter, codes, body) != before
    path = ".".join(one for one in (transaction, node, spec.name) if one)

    assert seen or path in LEFT_OUT, f"{path} is passed over"


def into(body: dict[str, Any], node: str) -> dict[str, Any]:
    for step in node.split(".") if node else ():
        below: Any = body.setdefault(step, {})
        body = below[0] if isinstance(below, list) else below
    return body


def test_what_is_left_out_is_a_field_of_the_interface_and_has_its_reason() -> None:
    known = {".".join(one for one in (transaction, node, spec.name) if one) for transaction, node, spec in every_field()}
    assert set(LEFT_OUT) <= known
    assert all(len(reason) > 20 for reason in LEFT_OUT.values())

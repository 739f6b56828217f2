"""What costs a sender much costs us little, and is one finding."""

from collections.abc import Callable
from typing import Any

import pytest

from adapters.dialects import erx
from adapters.dialects.erx_rules import MAX_FINDINGS
from adapters.mapping import CodeMap
from tests.support.erx_messages import CASES, both, case, drop, judged, message, places, put


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

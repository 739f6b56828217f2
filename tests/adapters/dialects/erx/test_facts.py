"""Statements of one fact are compared, and a contradiction is refused where it stands."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from adapters.dialects import erx
from adapters.mapping import CodeMap
from tests.support.erx_messages import FOLDER, both, case, drafted, into, judged, message, places

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

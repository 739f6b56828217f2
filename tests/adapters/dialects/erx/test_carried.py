"""What the prescriber wrote reaches the draft."""

import pytest

from adapters.dialects import erx
from adapters.mapping import CodeMap
from tests.support.erx_messages import both, case, drafted, judged, message, places


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

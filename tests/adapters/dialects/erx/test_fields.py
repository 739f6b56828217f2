"""The field tables of the national e-prescription interface: kept, read, or knowingly left out."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import pytest

from adapters.dialects import erx
from adapters.dialects.erx_fields import LEFT_OUT, Field, faults, tables
from adapters.dialects.erx_json import read, read_parts
from adapters.mapping import CodeMap
from fhir_profiles.checker import check_data
from fhir_profiles.drafts import Datum
from sandbox.dialects.erx import precheck
from tests.support.erx import SLUG, facts
from tests.support.erx_messages import FOLDER, both, drop, into, judged, message, put


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


def test_what_is_left_out_is_a_field_of_the_interface_and_has_its_reason() -> None:
    known = {".".join(one for one in (transaction, node, spec.name) if one) for transaction, node, spec in every_field()}
    assert set(LEFT_OUT) <= known
    assert all(len(reason) > 20 for reason in LEFT_OUT.values())

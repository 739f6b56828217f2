"""The 电子处方 door: who comes in, what each transaction answers, and what nobody may learn."""

import base64
import json
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from fastapi.testclient import TestClient

from adapters.dialects import erx
from domain.chains import ChainWord
from domain.errors import NeedsOperator, Transient
from domain.events import Event
from domain.findings import Severity
from domain.lifecycle import Status
from infra import sm
from infra.db import audits, history, inbox, prescriptions
from infra.limits import Measure
from infra.objects import Archive, key_of
from sandbox.dialects import erx_crypto
from sandbox.dialects.erx import Speaker, precheck, query, upload
from sandbox.facts import Facts
from tasks import erx as transactions
from tasks.audit import audit_prescription
from tasks.city import City
from tests.gateway.doors.loops import on_the_event_loop
from tests.support.city import PHARMACIST, STARTED
from tests.support.effort import steps
from tests.support.erx import (
    GLICLAZIDE,
    GLIMEPIRIDE,
    INSTALLED,
    METFORMIN,
    SECRETS,
    SLUG,
    UNKNOWN,
    door_app,
    erx_city,
    facts,
    speaker,
)
from tests.support.fakes import FakePayer
from tests.support.line import Line

BASE = "/epc/api/fixmedins"
PDF = base64.b64encode(b"%PDF-1.4\n%%EOF\n").decode()


@pytest.fixture
def city(tmp_path: Path) -> Iterator[City]:
    made = erx_city(tmp_path)
    yield made
    made.db.close()


@pytest.fixture
def client(city: City, tmp_path: Path) -> TestClient:
    return TestClient(door_app(city, tmp_path))


@pytest.fixture
def engine() -> Speaker:
    """For its envelope."""
    return speaker()


class Called:
    """One answer, opened by the hospital's own code."""

    def __init__(self, client: TestClient, engine: Speaker, name: str, data: dict[str, Any]) -> None:
        answer = client.post(f"{BASE}/{name}", content=engine._seal(data, {}))
        self.body, self.status = answer.content, answer.status_code
        said, self.data = engine._open(self.body)
        self.code, self.message = said["code"], said["message"]

    @property
    def findings(self) -> set[tuple[str, str]]:
        """Code and the field."""
        return {(one["code"], one["place"].partition(";")[0]) for one in self.data["extras"].get("findings", ())}


def signed(client: TestClient, engine: Speaker, said: Facts) -> dict[str, Any]:
    """D003 after D001 and D002."""
    numbers = Called(client, engine, "uploadChk", precheck(said)).data
    fields = {"rxTraceCode": numbers["rxTraceCode"], "hiRxno": numbers["hiRxno"], **upload(said)}
    original = json.dumps(fields, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    answer = Called(client, engine, "rxFixmedinsSign", {
        "fixmedinsCode": said.institution, "originalValue": base64.b64encode(original).decode(), "originalRxFile": PDF})
    assert answer.code == 0
    return {**fields, "rxFile": answer.data["rxFile"], "signDigest": answer.data["signDigest"]}


def uploaded(client: TestClient, engine: Speaker, said: Facts) -> tuple[str, str]:
    """hiRxno and our id."""
    answer = Called(client, engine, "rxFileUpld", signed(client, engine, said))
    assert answer.code == 0, answer.message
    return answer.data["hiRxno"], answer.data["extras"]["id"]


# Who comes in.

def test_nobody_comes_in_without_an_app_id_we_know(client: TestClient, engine: Speaker) -> None:
    sealed = json.loads(engine._seal({}, {})) | {"appId": "SOMEBODY ELSE"}
    for body in (json.dumps(sealed).encode(), b"", b"{}", b"<rx/>", b"\xff"):
        assert client.post(f"{BASE}/uploadChk", content=body).status_code == 401


def test_a_message_signed_by_somebody_else_changes_nothing(client: TestClient, city: City, engine: Speaker) -> None:
    forger = speaker(PRIVATE_KEY=erx_crypto.private_key("a forger"))
    answer = Called(client, forger, "uploadChk", precheck(facts(1)))
    assert (answer.status, answer.code, answer.findings) == (401, erx.SIGNATURE, {("ERX_SIGNATURE", "envelope signData")})
    with city.db.reading() as session:
        assert inbox.earlier(session, f"erx:{SLUG}", erx.hi_rxno(SLUG, "RX0001")) is None


@pytest.mark.parametrize(("entry", "value"), [("version", "9"), ("timestamp", str(int(STARTED.timestamp() * 1000) + 1))])
def test_an_envelope_changed_on_the_way_is_not_believed(client: TestClient, engine: Speaker, entry: str, value: str) -> None:
    sealed = json.loads(engine._seal(precheck(facts(1)), {})) | {entry: value}
    assert client.post(f"{BASE}/uploadChk", content=json.dumps(sealed)).status_code == 401


def unsealed(client: TestClient, engine: Speaker, sealed: dict[str, Any]) -> tuple[int, list[tuple[str, str]]]:
    """HTTP status and, of each finding, code and place."""
    answer = client.post(f"{BASE}/uploadChk", content=json.dumps(sealed))
    return answer.status_code, [(one["code"], one["place"].partition(";")[0])
                                for one in engine._open(answer.content)[1]["extras"]["findings"]]


def test_entries_that_are_not_as_agreed_are_named(client: TestClient, engine: Speaker) -> None:
    sealed = json.loads(engine._seal(precheck(facts(1)), {}))
    del sealed["encData"], sealed["signType"]
    assert unsealed(client, engine, sealed) == (200, [
        ("ERX_ENVELOPE", "envelope signType"), ("ERX_ENVELOPE", "envelope encData")])


def test_what_cannot_be_decrypted_is_no_json_or_is_not_signed_gets_one_answer(client: TestClient, engine: Speaker) -> None:
    good = json.loads(engine._seal(precheck(facts(1)), {}))
    hidden = [erx_crypto.hide(engine._key, text) for text in (
        b"not json", b"[1]", b"\xff\xfe", b'{"a":' + b"[" * 200_000, b'{"a":[' + b"1," * 100_000, b"{}")]
    for data in (*hidden, "not hexadecimal", "00", good["encData"][:-32], good["encData"][:-2] + "00"):
        assert unsealed(client, engine, good | {"encData": data}) == (401, [("ERX_SIGNATURE", "envelope signData")])


@pytest.mark.parametrize(("minutes", "code"), [(-11, "ERX_TIMESTAMP"), (-9, ""), (0, ""), (9, ""), (11, "ERX_TIMESTAMP")])
def test_an_envelope_from_another_time_is_not_taken(client: TestClient, minutes: int, code: str) -> None:
    late = speaker(clock=lambda: STARTED + timedelta(minutes=minutes))
    answer = Called(client, late, "uploadChk", precheck(facts(1)))
    assert (answer.code, {name for name, _ in answer.findings}) == ((erx.INVALID, {code}) if code else (0, set()))


@pytest.mark.parametrize("timestamp", ["0000000000000", "9999999999999", "1700000000000"])
def test_an_envelope_of_an_impossible_time_is_not_taken(client: TestClient, engine: Speaker, timestamp: str) -> None:
    sealed = json.loads(engine._seal(precheck(facts(1)), {})) | {"timestamp": timestamp}
    assert unsealed(client, engine, sealed) == (200, [("ERX_TIMESTAMP", "envelope timestamp")])


def test_of_a_sender_nobody_knows_only_the_first_entries_are_read(client: TestClient, engine: Speaker) -> None:
    nested = b'{"appId":"x",' + b"".join(b'"%s":{' % (b"n" * 40) for _ in range(38)) + b'"b":[' + b"1," * 500_000 + b"1]"
    for body in (nested + b"}" * 39, b'{"appId":"x","a":[' + b"1," * 4_000_000 + b"1]}", b"[" * 19_000_000,
                 b'{"appId":"x","a":"' + b"\\u" * 9_000_000, b'{"encData":"' + b"\\\\" * 9_000_000,
                 b'{"encData":' + b" " * 19_000_000, b'{"encData":"' * 1_500_000, b'{"encData":"' + b"A" * 19_000_000 + b'"}'):
        tracemalloc.start()
        try:
            assert client.post(f"{BASE}/uploadChk", content=body).status_code == 401
            assert tracemalloc.get_traced_memory()[1] < 200_000_000
        finally:
            tracemalloc.stop()
        assert steps(lambda body=body: transactions.sender({}, body)) < 50_000


def test_a_hospital_may_sign_the_ciphertext_where_its_manifest_says_so(city: City) -> None:
    keys = (SECRETS["app_secret"], SECRETS["platform_key"], sm.public_key(SECRETS["platform_key"]))
    odd = erx.Envelope("A" * 32, *keys, over_ciphertext=True)
    _, data = odd.open(odd.seal(city.now(), {"a": "b"}), "D001")
    assert data.plain == {"a": "b"}
    with pytest.raises(Exception, match="signature"):
        erx.Envelope("A" * 32, *keys).open(odd.seal(city.now(), {"a": "b"}), "D001")


def kept(tmp_path: Path) -> int:
    return sum(1 for one in (tmp_path / "archive").rglob("*") if one.is_file())


@pytest.mark.parametrize("name", ["uploadChk", "rxFileUpld", "rxUndo"])
def test_nothing_is_archived_before_it_is_known_who_speaks(
    client: TestClient, engine: Speaker, tmp_path: Path, name: str,
) -> None:
    forger = speaker(PRIVATE_KEY=erx_crypto.private_key("a forger"))
    before = kept(tmp_path)
    app_id = json.loads(engine._seal({}, {}))["appId"]
    client.post(f"{BASE}/{name}", content=json.dumps({"appId": app_id, "junk": "A" * 1000}))
    Called(client, forger, name, precheck(facts(1)))

    assert kept(tmp_path) == before


def test_two_hospitals_of_one_app_id_are_a_door_that_does_not_open(city: City, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    doubled = replace(city, hospitals={**city.hospitals, "another": erx_city(tmp_path / "other").hospitals[SLUG]})
    with pytest.raises(NeedsOperator, match="app_id"):
        door_app(doubled, tmp_path)


def test_a_message_is_signed_and_judged_beside_the_event_loop(
    client: TestClient, engine: Speaker, monkeypatch: pytest.MonkeyPatch,
) -> None:
    inside: list[bool] = []
    sign = sm.sm2_sign

    def watched(*given: Any, **named: Any) -> str:
        inside.append(on_the_event_loop())
        return sign(*given, **named)

    monkeypatch.setattr(sm, "sm2_sign", watched)
    forger = speaker(PRIVATE_KEY=erx_crypto.private_key("a forger"))
    Called(client, engine, "uploadChk", precheck(facts(1)))
    Called(client, engine, "uploadChk", precheck(facts(1)) | {"rxTypeCode": ""})
    Called(client, forger, "uploadChk", precheck(facts(1)))
    assert inside == [False] * 3


def test_a_prescription_of_megabytes_is_refused_and_its_file_may_be_large(client: TestClient, engine: Speaker) -> None:
    large = Called(client, engine, "uploadChk", precheck(facts(1)) | {"extra": "x" * (1 << 20)})
    body = signed(client, engine, facts(1))
    with_file = Called(client, engine, "rxFileUpld", body | {"rxFile": base64.b64encode(b"%PDF-1.4" + bytes(3_000_001)).decode()})
    padded = Called(client, engine, "rxFileUpld", body | {"extra": "x" * (1 << 20)})

    assert (large.code, {code for code, _ in large.findings}) == (erx.INVALID, {"ERX_TOO_LARGE"})
    assert with_file.code == 0
    assert {code for code, _ in padded.findings} == {"ERX_TOO_LARGE"}


def test_there_is_no_other_transaction_and_no_endless_body(client: TestClient) -> None:
    assert client.post(f"{BASE}/somethingElse", content=b"{}").status_code == 404
    assert client.post(f"{BASE}/uploadChk", content=b"x" * ((20 << 20) + 1)).status_code == 413


def test_a_hospitals_share_is_used_up_by_what_it_has_signed_alone(city: City, tmp_path: Path, engine: Speaker) -> None:
    app = door_app(city, tmp_path)
    app.state.quota = Measure(20_000, 3600)
    client = TestClient(app)
    forger = speaker(PRIVATE_KEY=erx_crypto.private_key("a forger"))
    padding = {"extra": "x" * 9_000}
    for _ in range(3):
        assert Called(client, forger, "uploadChk", precheck(facts(1)) | padding).code == erx.SIGNATURE
    assert Called(client, engine, "uploadChk", precheck(facts(1)) | padding).status == 200
    content = engine._seal(precheck(facts(2)) | padding, {})

    answer = client.post(f"{BASE}/uploadChk", content=content)

    assert (answer.status_code, int(answer.headers["retry-after"]) > 0) == (429, True)
    with pytest.raises(NeedsOperator, match="not in the archive"):
        city.archive.get(key_of(content))


# D001.

def test_the_precheck_gives_numbers_that_fit_and_again_the_same_ones(client: TestClient, engine: Speaker) -> None:
    first = Called(client, engine, "uploadChk", precheck(facts(1)))
    again = Called(client, engine, "uploadChk", precheck(facts(1)))
    assert (len(first.data["hiRxno"]), len(first.data["rxTraceCode"])) == (30, 20)
    assert first.data["extras"]["audit"] in ("pass", "INFO", "WARN", "SELFPAY")
    assert again.body == first.body


def test_the_precheck_finds_fields_and_medicine_at_once(client: TestClient, engine: Speaker) -> None:
    said = precheck(facts(1))
    del said["rxTypeCode"]
    said["mdtrtinfo"]["gend"] = "2"
    said["valiEndTime"] = "2026-11-26 08:58:00"
    answer = Called(client, engine, "uploadChk", said)
    assert answer.code == erx.INVALID
    assert {code for code, _ in answer.findings} >= {"ERX_FIELD_MISSING", "GENDER_MISMATCH", "VALIDITY_PERIOD"}
    assert "hiRxno" not in answer.data


def test_what_was_refused_may_come_again_corrected(client: TestClient, engine: Speaker) -> None:
    wrong = precheck(facts(1)) | {"rxTypeCode": ""}
    assert Called(client, engine, "uploadChk", wrong).code == erx.INVALID
    assert Called(client, engine, "uploadChk", precheck(facts(1))).code == 0


def test_the_precheck_tells_the_audits_findings_as_advice(client: TestClient, engine: Speaker) -> None:
    answer = Called(client, engine, "uploadChk", precheck(facts(1, GLICLAZIDE, GLIMEPIRIDE)))
    assert (answer.code, answer.data["extras"]["audit"]) == (0, str(Severity.BLOCK))
    assert all(one["text"] and one["cure"] is not None for one in answer.data["extras"]["findings"])


def test_the_precheck_goes_on_while_the_fund_does_not_answer(client: TestClient, engine: Speaker, city: City) -> None:
    payer = city.payer
    assert isinstance(payer, FakePayer)
    payer.silent = True
    assert Called(client, engine, "uploadChk", precheck(facts(1))).data["extras"] == {"audit": "skipped"}


def test_the_precheck_says_what_is_compared_and_what_the_checker_finds_at_once(client: TestClient, engine: Speaker) -> None:
    said = precheck(facts(1))
    said["mdtrtinfo"] |= {"patnAge": "5", "gend": "2", "unknownField": "x"}
    said["mdtrtinfo"]["extras"]["addrAdmdvs"] = "3701"
    answer = Called(client, engine, "uploadChk", said)
    assert answer.findings == {
        ("ERX_AGE", "D001 mdtrtinfo.patnAge"), ("ERX_FIELD_UNKNOWN", "D001 mdtrtinfo.unknownField"),
        ("GENDER_MISMATCH", "D001 mdtrtinfo.gend"), ("DISTRICT", "D001 mdtrtinfo.extras.addrAdmdvs")}


def test_a_newborn_on_the_mothers_number_is_refused_before_it_has_a_number(client: TestClient, engine: Speaker) -> None:
    answer = Called(client, engine, "uploadChk", case("newborn_on_mothers_id"))
    assert (answer.code, answer.findings) == (erx.INVALID, {("ERX_AGE", "D001 mdtrtinfo.nwbFlag")})


def test_the_precheck_lists_codes_nobody_has_mapped(client: TestClient, engine: Speaker) -> None:
    answer = Called(client, engine, "uploadChk", precheck(facts(1, UNKNOWN)))
    assert answer.code == 0
    assert [(one["table"], one["code"], one["name"]) for one in answer.data["extras"]["unmapped"]] == [
        ("drug", "ZZ9", "院内新药")]


CASES = Path(__file__).parents[2] / "adapters" / "dialects" / "erx" / "cases"


def case(name: str) -> dict[str, Any]:
    """The D001 of a case."""
    said = json.loads((CASES / f"{name}.json").read_bytes())
    found: dict[str, Any] = said.get("D001", said)
    return found


def taken(client: TestClient, engine: Speaker, rx: dict[str, Any]) -> str:
    """Our id of a prescription after its three calls."""
    numbers = Called(client, engine, "uploadChk", rx)
    assert numbers.code == 0, numbers.findings
    visit = rx["mdtrtinfo"]
    fields = {**upload(facts(1)), **{name: numbers.data[name] for name in ("rxTraceCode", "hiRxno")}, **{
        name: visit[name] for name in ("mdtrtId", "fixmedinsName", "fixmedinsCode", "drCode", "prscDrName")}}
    original = base64.b64encode(sm.compact(fields).encode()).decode()
    signed = Called(client, engine, "rxFixmedinsSign", {
        "fixmedinsCode": visit["fixmedinsCode"], "originalValue": original, "originalRxFile": PDF})
    answer = Called(client, engine, "rxFileUpld", {
        **fields, "rxFile": signed.data["rxFile"], "signDigest": signed.data["signDigest"]})
    assert answer.code == 0, answer.findings
    return str(answer.data["extras"]["id"])


@pytest.mark.parametrize(("name", "coded", "words", "code"), [
    ("amoxicillin_algsHis", (), ("青霉素过敏史",), "ALLERGY_UNKNOWN"),
    ("amoxicillin_control_algsCodes", ("AL01",), (), "ALLERGY"),
    ("60_erx_allergy_codes_as_text", ("AL01",), (), ""),
])
async def test_allergies_reach_the_audit(
    client: TestClient, engine: Speaker, city: City, name: str, coded: tuple[str, ...], words: tuple[str, ...], code: str,
) -> None:
    rx_id = taken(client, engine, case(name))
    with city.db.reading() as session:
        patient = prescriptions.load(session, rx_id).prescription.patient
    assert (patient.allergies, patient.allergy_words, patient.no_known_allergies) == (coded, words, False)
    await audit_prescription(city, rx_id)
    with city.db.reading() as session:
        found = {one.code for one in audits.findings(session, rx_id)}
    assert {one for one in found if one.startswith("ALLERGY")} == ({code} if code else set())


def test_what_the_prescriber_wrote_is_in_the_stored_prescription(client: TestClient, engine: Speaker, city: City) -> None:
    rx = precheck(facts(1, replace(METFORMIN, directions="餐中服用", note="整盒发药", approval="1"), visit_number="V77",
                        department="03.07", department_name="内分泌科", note="低盐饮食", no_known_allergies=True, valid_days=2,
                        valid_reason="偏远地区"))
    rx["mdtrtinfo"] |= {"patnWt": "70.5"}
    rx_id = taken(client, engine, rx)
    with city.db.reading() as session:
        stored = prescriptions.load(session, rx_id).prescription
    item = stored.items[0]
    assert (item.directions, item.approval, stored.note, stored.valid_reason) == ("餐中服用", "1", "低盐饮食", "偏远地区")
    assert item.note.startswith("整盒发药；剂型：片剂")
    assert (stored.prescriber.department, stored.prescriber.department_name, stored.prescriber.title, stored.visit.number) == (
        "03.07", "内分泌科", "233", "V77")
    assert stored.patient.no_known_allergies
    assert [(one.code, str(one.value), one.unit) for one in stored.readings] == [("29463-7", "70.5", "kg")]
    assert stored.signature is not None


# D002 and D003.

def test_a_signature_is_for_the_institution_that_asks(client: TestClient, engine: Speaker) -> None:
    fields = {"fixmedinsCode": "H37010000009"}
    answer = Called(client, engine, "rxFixmedinsSign", {
        "fixmedinsCode": "H37010000002", "originalValue": base64.b64encode(sm.compact(fields).encode()).decode(),
        "originalRxFile": PDF})
    assert answer.findings == {("ERX_PARTS_DISAGREE", "D002 fixmedinsCode")}


def test_an_upload_is_told_everything_at_once(client: TestClient, engine: Speaker) -> None:
    body = signed(client, engine, facts(1))
    answer = Called(client, engine, "rxFileUpld", body | {
        "rxFile": "AAAA", "signDigest": "AAAA", "pharChkTime": "09:00", "patnName": "别人", "extras": {"x": 1}})
    assert answer.findings == {
        ("ERX_RX_FILE", "D003 rxFile"), ("ERX_SIGN_DIGEST", "D003 signDigest"), ("ERX_FIELD_TYPE", "D003 pharChkTime"),
        ("ERX_PARTS_DISAGREE", "D003 patnName"), ("ERX_FIELD_UNKNOWN", "D003 extras")}

def test_the_signature_can_be_checked_with_our_public_key_alone(client: TestClient, engine: Speaker) -> None:
    body = signed(client, engine, facts(1))
    fields = {name: value for name, value in body.items() if name not in ("rxFile", "signDigest")}
    original = json.dumps(fields, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    assert erx_crypto.verify(original, body["signDigest"], INSTALLED.secrets["PLATFORM_PUBLIC_KEY"])
    assert body["rxFile"] == PDF


@pytest.mark.parametrize(("name", "value", "code"), [
    ("originalValue", "?", "ERX_ORIGINAL_VALUE"),
    ("originalValue", base64.b64encode(b'{"drCode":"b","certno":"a"}').decode(), "ERX_ORIGINAL_VALUE"),
    ("originalValue", base64.b64encode(b'{"certno":1}').decode(), "ERX_ORIGINAL_VALUE"),
    ("originalValue", base64.b64encode(b'{"rxFile":"AAAA"}').decode(), "ERX_ORIGINAL_VALUE"),
    ("originalValue", base64.b64encode(b'{"certno":' + b"[" * 200_000 + b"]" * 200_000 + b"}").decode(), "ERX_ORIGINAL_VALUE"),
    ("originalValue", base64.b64encode(b"[]").decode(), "ERX_ORIGINAL_VALUE"),
    ("originalRxFile", base64.b64encode(b"plain text").decode(), "ERX_RX_FILE"), ("fixmedinsCode", "", "ERX_FIELD_MISSING"),
])
def test_only_what_can_be_signed_is_signed(client: TestClient, engine: Speaker, name: str, value: str, code: str) -> None:
    said = {"fixmedinsCode": "H37010000001", "originalValue": base64.b64encode(b'{"certno":"1"}').decode(), "originalRxFile": PDF}
    answer = Called(client, engine, "rxFixmedinsSign", said | {name: value})
    assert (answer.code, answer.findings) == (erx.INVALID, {(code, f"D002 {name}")})


@pytest.mark.parametrize(("name", "value", "code"), [
    ("hiRxno", "HI" + "A" * 28, "ERX_PRECHECK_UNKNOWN"), ("rxTraceCode", "TR" + "A" * 18, "ERX_TRACE_CODE"),
    ("signDigest", "AAAA", "ERX_SIGN_DIGEST"), ("pharName", "另一药师", "ERX_SIGN_DIGEST"),
    ("certno", "370102196005054477", "ERX_PARTS_DISAGREE"), ("rxFile", "AAAA", "ERX_RX_FILE"),
    ("pharChkTime", "09:00", "ERX_FIELD_TYPE"),
])
def test_an_upload_must_be_what_was_checked_and_signed(
    client: TestClient, engine: Speaker, city: City, name: str, value: str, code: str,
) -> None:
    body = signed(client, engine, facts(1))
    answer = Called(client, engine, "rxFileUpld", body | {name: value})
    assert answer.code == erx.INVALID
    assert (code, "D003 signDigest" if code == "ERX_SIGN_DIGEST" else f"D003 {name}") in answer.findings
    with city.db.reading() as session:
        assert prescriptions.find(session, SLUG, "RX0001") is None


def test_an_upload_repeats_and_its_bytes_are_in_the_archive(client: TestClient, engine: Speaker, city: City) -> None:
    body = signed(client, engine, facts(1))
    first = Called(client, engine, "rxFileUpld", body)
    again = Called(client, engine, "rxFileUpld", body)
    assert first.body == again.body
    with city.db.reading() as session:
        row = prescriptions.find(session, SLUG, "RX0001")
        assert row is not None
        kept = json.loads(city.archive.get(row.archive_key))
    assert kept == {"D001": precheck(facts(1)), "D003": body}


# D004.

def test_a_revocation_too_late_is_no_success(client: TestClient, engine: Speaker, city: City) -> None:
    number, rx_id = uploaded(client, engine, facts(1))
    with city.db.transaction("test.ended") as session:
        loaded = prescriptions.load(session, rx_id)
        history.append(session, loaded.head, to=Status.EXPIRED, actor="clock", event=Event.CLOSED, at=city.now(), wake_at=None)
    undo = json.loads(engine.cancel(facts(1), "C1", facts(1).sent))["D004"]
    answer = Called(client, engine, "rxUndo", {"hiRxno": number, **undo})
    assert (answer.code, answer.data["extras"]["status"]) == (erx.TOO_LATE, "too-late")


def test_what_was_never_checked_cannot_be_revoked(client: TestClient, engine: Speaker) -> None:
    undo = json.loads(engine.cancel(facts(1), "C1", facts(1).sent))["D004"]
    answer = Called(client, engine, "rxUndo", {"hiRxno": "HI" + "A" * 28, **undo})
    assert answer.findings == {("ERX_PRECHECK_UNKNOWN", "D004 hiRxno")}
    answer = Called(client, engine, "rxUndo", undo | {"undoTime": ""})
    assert answer.findings == {("ERX_FIELD_MISSING", "D004 hiRxno"), ("ERX_FIELD_MISSING", "D004 undoTime")}


# D005 to D008.

QUERIES = ("hospRxDetlQuery", "rxChkInfoQuery", "rxSetlInfoQuery")


@pytest.mark.parametrize("name", QUERIES)
@pytest.mark.parametrize("other", [{"certno": "370102196005054477"}, {"psnName": "别人"}, {"mdtrtId": "V9"}, {"hiRxno": "HI9"}])
def test_who_does_not_know_whose_it_is_learns_nothing(
    client: TestClient, engine: Speaker, name: str, other: dict[str, str],
) -> None:
    number, _ = uploaded(client, engine, facts(1))
    answer = Called(client, engine, name, query(facts(1), number) | other)
    assert (answer.code, answer.data) == (erx.UNKNOWN, {})


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_keeps_the_field_table(client: TestClient, engine: Speaker, name: str) -> None:
    answer = Called(client, engine, name, query(facts(1), "HI1") | {"psnCertType": ""})
    assert (answer.code, {code for code, _ in answer.findings}) == (erx.INVALID, {"ERX_FIELD_MISSING"})


def test_the_detail_shows_every_required_field_of_the_interface(client: TestClient, engine: Speaker) -> None:
    number, rx_id = uploaded(client, engine, facts(1))
    answer = Called(client, engine, "hospRxDetlQuery", query(facts(1), number))
    assert answer.data["extras"] == {"id": rx_id, "status": "received"}
    assert (answer.data["rxStasCodg"], answer.data["rxUsedStasName"]) == ("1", "未使用")
    missing = [f"{table.node}.{field.name}" for table in erx.tables("D005", "answer") for field in table.fields
               for row in ([answer.data] if not table.node else
                           answer.data[table.node] if table.repeats else [answer.data[table.node]])
               if field.required and not row.get(field.name)]
    # The hospital's own request has no department code of the diagnosis: D001 does not ask for it.
    assert missing == ["rxDiseList.diagDeptCode"]


def test_a_prescription_that_was_only_checked_says_so(client: TestClient, engine: Speaker) -> None:
    number = Called(client, engine, "uploadChk", precheck(facts(1))).data["hiRxno"]
    assert Called(client, engine, "hospRxDetlQuery", query(facts(1), number)).data["extras"] == {
        "id": "", "status": "prechecked"}


async def test_the_review_answer_tells_what_the_audit_refused(client: TestClient, engine: Speaker, city: City) -> None:
    said = facts(1, GLICLAZIDE, GLIMEPIRIDE)
    number, rx_id = uploaded(client, engine, said)
    assert Called(client, engine, "rxChkInfoQuery", query(said, number)).data["rxChkStasName"] == "待审核"
    await audit_prescription(city, rx_id)
    answer = Called(client, engine, "rxChkInfoQuery", query(said, number))
    assert (answer.data["rxChkStasCodg"], answer.data["rxStasCodg"]) == ("2", "2")
    with city.db.reading() as session:
        blocks = [one.text for one in audits.findings(session, rx_id) if one.severity is Severity.BLOCK]
    assert answer.data["rxChkOpnn"] == "；".join(blocks)


def test_the_answers_follow_a_prescription_to_the_patient_and_the_fund(
    client: TestClient, engine: Speaker, city: City,
) -> None:
    number, rx_id = uploaded(client, engine, facts(1))
    ask = query(facts(1), number)
    line = Line(city)
    line.to_fulfilling(rx_id)
    review = Called(client, engine, "rxChkInfoQuery", ask).data
    before = Called(client, engine, "rxSetlInfoQuery", ask).data
    assert (review["rxChkStasCodg"], review["pharCode"], review["rxChkTime"]) == ("1", PHARMACIST, "2026-11-22")
    assert (before["rxUsedStasCodg"], before["seltdelts"]) == ("0", [])

    for status in (ChainWord.ACCEPTED, ChainWord.PREPARED, ChainWord.HANDED_OVER):
        line.say(rx_id, status)
    line.hop(rx_id)
    assert line.status(rx_id) is Status.SETTLED
    after = Called(client, engine, "rxSetlInfoQuery", ask).data
    assert (after["rxUsedStasCodg"], after["setlTime"]) == ("1", "2026-11-22")
    assert [(row["drugGenname"], row["cnt"], row["takeDrugFlag"]) for row in after["seltdelts"]] == [
        ("盐酸二甲双胍片", "60", "1")]
    detail = Called(client, engine, "hospRxDetlQuery", ask).data
    assert (detail["rxDetlList"][0]["takeDrugFlag"], detail["extras"]["status"]) == ("1", "settled")


def test_the_catalogue_is_in_the_hospitals_codes_and_without_controlled_drugs(client: TestClient, engine: Speaker) -> None:
    every = Called(client, engine, "circDrugQuery", {}).data
    one = Called(client, engine, "circDrugQuery", {"medListCodg": "XA10BAA001A001010100001"}).data
    named = Called(client, engine, "circDrugQuery", {"drugGenname": "吗啡"}).data
    assert len(every["drugList"]) == transactions.PAGE < every["total"]
    assert [row["drugGenname"] for row in one["drugList"]] == ["盐酸二甲双胍片"]
    assert named["total"] == 0
    for page in ("9" * 5000, "-1", "0", "x", [1], None):
        assert Called(client, engine, "circDrugQuery", {"pageNum": page}).data["total"] == every["total"]


# When we cannot, and what we say to nobody.

class FullArchive:
    def put(self, data: bytes) -> str:
        raise Transient("the archive does not answer")

    def get(self, key: str) -> bytes:
        raise Transient("the archive does not answer")


def test_a_busy_platform_says_later(city: City, engine: Speaker, tmp_path: Path) -> None:
    busy = replace(city, archive=cast(Archive, FullArchive()))
    answer = Called(TestClient(door_app(busy, tmp_path)), engine, "uploadChk", precheck(facts(1)))
    assert (answer.status, answer.code) == (503, erx.BUSY)


def test_no_answer_shows_a_person_in_the_clear(client: TestClient, engine: Speaker, capsys: pytest.CaptureFixture[str]) -> None:
    number, _ = uploaded(client, engine, facts(1))
    wrong = precheck(facts(2)) | {"prscTime": "示范患者乙"}
    for answer in (Called(client, engine, "hospRxDetlQuery", query(facts(1), number)),
                   Called(client, engine, "uploadChk", wrong)):
        assert "示范患者乙" not in answer.body.decode()
        assert "370102195803029910" not in answer.body.decode()
    shown = capsys.readouterr()
    assert "示范患者乙" not in shown.out + shown.err
    assert "370102195803029910" not in shown.out + shown.err

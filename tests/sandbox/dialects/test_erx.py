"""The hospital's engine and the platform meet over a socket, each with its own code for the envelope."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.dialects.erx import Adapter, Envelope
from domain.errors import NeedsOperator, Transient
from infra import sm
from infra.db import prescriptions
from infra.http import HttpTransport, Response
from sandbox.dialects import erx_crypto
from sandbox.dialects.erx import Speaker
from tasks import mapping, reports
from tasks.audit import audit_prescription
from tasks.city import City
from tests.support.city import Clock
from tests.support.erx import (
    DANSHEN,
    GLICLAZIDE,
    GLIMEPIRIDE,
    INSTALLED,
    ISSUED,
    METFORMIN,
    SECRETS,
    SLUG,
    UNKNOWN,
    door_app,
    erx_city,
    facts,
    speaker,
)
from tests.support.fakes import Replay
from tests.support.sockets import serving


@pytest.fixture
def city(tmp_path: Path) -> City:
    return erx_city(tmp_path)


@pytest.fixture
async def hospital(city: City, tmp_path: Path) -> AsyncIterator[Speaker]:
    async with serving(door_app(city, tmp_path)) as gateway:
        yield speaker(gateway)


def status(city: City, number: str) -> str:
    with city.db.reading() as session:
        row = prescriptions.find(session, SLUG, number)
        return row.status if row else ""


async def test_a_prescription_goes_through_three_calls_and_is_in_the_platforms_book(hospital: Speaker, city: City) -> None:
    heard = await hospital.send(hospital.prescription(facts(1)))

    assert heard is not None
    assert (heard.outcome, heard.status) == ("accepted", "received")
    assert heard.id.startswith("rx_")
    with city.db.reading() as session:
        loaded = prescriptions.load(session, heard.id)
    rx = loaded.prescription
    assert rx.external_id == "RX0001"
    assert [(one.drug, one.frequency, one.route, str(one.quantity), one.unit) for one in rx.items] == [
        ("D001", "bid", "PO", "60", "片")]
    assert (rx.handover, rx.coverage.disease_code, rx.prescriber.independent_years) == ("pickup", "M01600", 8)
    assert rx.valid_until - rx.issued_at == timedelta(days=1)


async def test_a_patent_medicine_to_the_door_keeps_kind_and_place(hospital: Speaker, city: City) -> None:
    heard = await hospital.send(hospital.prescription(facts(2, DANSHEN, home=True)))

    assert heard is not None
    with city.db.reading() as session:
        rx = prescriptions.load(session, heard.id).prescription
    assert (rx.items[0].kind, rx.handover, rx.place.district) == ("tcm_patent", "home", "370102")


async def test_what_the_doctor_says_arrives_in_the_platforms_book(hospital: Speaker, city: City) -> None:
    metformin = replace(METFORMIN, directions="餐中服用", note="整盒发药", approval="2")
    said = facts(1, metformin, allergy_words=("青霉素过敏", "海鲜过敏"), note="低盐饮食", valid_days=3, valid_reason="偏远地区",
                 department="03.07", department_name="内分泌科", title="232", visit_number="V42")
    silent = facts(2, replace(METFORMIN, approval=None))
    asked = facts(3, replace(METFORMIN, approval="0"), no_known_allergies=True)
    heard = [await hospital.send(hospital.prescription(one)) for one in (said, silent, asked)]

    assert [one.outcome for one in heard if one] == ["accepted"] * 3
    with city.db.reading() as session:
        full, none_said, none_known = (prescriptions.load(session, one.id).prescription for one in heard if one)
    assert (full.items[0].directions, full.items[0].approval, full.note) == ("餐中服用", "2", "低盐饮食")
    assert full.items[0].note.startswith("整盒发药")
    assert (full.patient.allergy_words, full.valid_days, full.valid_reason) == (("青霉素过敏；海鲜过敏",), 3, "偏远地区")
    assert (full.prescriber.department, full.prescriber.department_name, full.prescriber.title, full.visit.number) == (
        "03.07", "内分泌科", "232", "V42")
    assert (none_said.items[0].approval, none_said.patient.no_known_allergies, none_said.patient.allergy_words) == ("1", False, ())
    assert (none_known.items[0].approval, none_known.patient.no_known_allergies) == ("0", True)


async def test_the_same_message_again_gets_the_same_bytes_also_after_the_engine_was_restarted(
    hospital: Speaker, city: City,
) -> None:
    message = hospital.prescription(facts(1))
    first = await hospital.send(message)
    clock = city.now
    assert isinstance(clock, Clock)
    clock.advance(hours=3)
    again = await speaker(str(hospital._client.base_url), clock=clock).send(message)

    assert first is not None
    assert again is not None
    assert again.body == first.body


async def test_another_content_under_the_same_number_is_a_conflict_naming_where(hospital: Speaker) -> None:
    await hospital.send(hospital.prescription(facts(1)))
    heard = await hospital.send(hospital.changed(facts(1)))

    assert heard is not None
    assert heard.outcome == "conflict"
    _, data = hospital._open(heard.body)
    assert [one["place"].partition(";")[0] for one in data["extras"]["findings"]] == ["D001 rxdrugdetail[0].drugCnt"]


async def test_careless_messages_are_refused_with_every_finding_in_its_place(hospital: Speaker, city: City) -> None:
    first = await hospital.send(hospital.broken(facts(1), 1))
    second = await hospital.send(hospital.broken(facts(2), 2))

    assert first is not None
    assert second is not None
    assert first.outcome == second.outcome == "refused"
    found = {(one["code"], one["place"].partition(";")[0]) for one in hospital._open(first.body)[1]["extras"]["findings"]}
    assert {("ERX_FIELD_MISSING", "D001 rxdrugdetail[0].drugGenname"),
            ("ERX_FIELD_MISSING", "D001 mdtrtinfo.fixmedinsCode")} <= found
    found = {(one["code"], one["place"].partition(";")[0]) for one in hospital._open(second.body)[1]["extras"]["findings"]}
    assert {("ERX_FIELD_TYPE", "D001 rxdrugdetail[0].drugCnt"), ("ID_NUMBER", "D001 mdtrtinfo.certno")} <= found
    assert status(city, "RX0001") == status(city, "RX0002") == ""


async def test_a_code_nobody_has_mapped_waits_and_its_neighbours_do_not(hospital: Speaker, city: City) -> None:
    waiting = await hospital.send(hospital.prescription(facts(1, UNKNOWN)))
    heard = await hospital.send(hospital.prescription(facts(2)))

    assert waiting is not None
    assert heard is not None
    assert (waiting.outcome, heard.outcome) == ("waiting", "accepted")
    assert await hospital.where(facts(1, UNKNOWN)) == "waiting"
    mapping.accept(city, SLUG, "drug", "ZZ9", "D010", "O001")
    assert await hospital.where(facts(1, UNKNOWN)) == "received"


async def test_a_revocation_takes_it_back_and_one_before_the_upload_waits_for_it(hospital: Speaker, city: City) -> None:
    await hospital.send(hospital.prescription(facts(1)))
    after = await hospital.send(hospital.cancel(facts(1), "C0001", ISSUED + timedelta(minutes=5)))
    before = await hospital.send(hospital.cancel(facts(2), "C0002", ISSUED + timedelta(minutes=5)))
    late = await hospital.send(hospital.prescription(facts(2)))

    assert [one.status for one in (after, before, late) if one] == ["cancelled", "cancelling", "cancelled"]
    assert status(city, "RX0001") == status(city, "RX0002") == "cancelled"


async def test_the_precheck_says_what_the_audit_will_and_the_audit_then_does(hospital: Speaker, city: City) -> None:
    body = json.loads(hospital.prescription(facts(1, GLICLAZIDE, GLIMEPIRIDE)))
    code, told, _ = await hospital._call("uploadChk", body["D001"]) or ("", {}, b"")
    heard = await hospital.send(hospital.prescription(facts(1, GLICLAZIDE, GLIMEPIRIDE)))

    assert (code, told["extras"]["audit"]) == ("0", "BLOCK")
    assert heard is not None
    await audit_prescription(city, heard.id)
    assert status(city, "RX0001") == "refused"
    assert await hospital.where(facts(1)) == ""  # not that content
    assert await hospital.where(facts(1, GLICLAZIDE, GLIMEPIRIDE)) == "refused"


async def test_nobody_answers_when_the_gateway_is_down(city: City) -> None:
    alone = speaker("http://127.0.0.1:9")
    assert await alone.send(alone.prescription(facts(1))) is None
    assert await alone.where(facts(1)) == ""


# Reports.

async def test_reports_arrive_in_the_hospitals_words_and_a_forged_one_does_not(tmp_path: Path) -> None:
    heard: list[tuple[str, dict[str, Any]]] = []
    app = FastAPI()
    speaker(hear=lambda key, report: heard.append((key, report))).doors(app)
    async with serving(app) as address, httpx.AsyncClient() as client:
        city = erx_city(tmp_path, HttpTransport(SLUG, address, client=client, attempts=1))
        async with serving(door_app(city, tmp_path)) as gateway:
            sent = await speaker(gateway).send(speaker().prescription(facts(1)))
        assert sent is not None
        with city.db.transaction("test.enqueued") as session:
            rx = prescriptions.load(session, sent.id).prescription
            for word in ("in_review", "refused", "fulfilled", "cancelled"):
                reports.report(session, city, rx, word, reason="原因")
        # Of one prescription one report at a time.
        assert [await reports.deliver_due(city) for _ in range(4)] == [1, 1, 1, 1]
        assert {report["status"] for _, report in heard} == {"in_review", "refused", "fulfilled", "cancelled"}
        assert all(key == report["key"] and report["prescription"] == "RX0001" for key, report in heard)

        forged = Envelope("SANYIDEMOAPP00000000JINANSECOND2", SECRETS["app_secret"],
                          erx_crypto.private_key("somebody else"), SECRETS["hospital_key"])
        answer = await client.post(f"{address}/epc/notify", content=forged.seal(
            city.now(), {"extras": {}}, transType="7108"))
        assert answer.status_code == 401
    assert len(heard) == 4


async def test_a_report_repeats_byte_for_byte_and_a_no_is_for_a_person(tmp_path: Path) -> None:
    yes = speaker()._seal({}, {"code": 0, "message": "成功"})
    no = speaker()._seal({}, {"code": -1, "message": "失败"})
    line = Replay(yes, yes, no, Response(404), Transient("no answer"))
    adapter = erx_city(tmp_path, line).hospitals[SLUG]
    body = json.dumps({"key": "k", "prescription": "RX0001", "id": "rx_1", "status": "settled", "reason": "",
                       "at": "2026-11-22T01:00:00+00:00", "money": {"total": "18.60"}}).encode()
    await adapter.report("k", body)
    await adapter.report("k", body)

    assert line.sent[0].body == line.sent[1].body
    assert line.sent[0].repeatable
    assert b"RX0001" not in line.sent[0].body
    said, data = speaker()._open(line.sent[0].body)
    assert (said["transType"], data["rxUsedStasCodg"], data["extras"]["money"]["total"]) == ("7109", "1", "18.60")
    for _ in range(2):
        with pytest.raises(NeedsOperator):
            await adapter.report("k", body)
    with pytest.raises(Transient):
        await adapter.report("k", body)


# Two implementations of one envelope.

scalars = st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
names = st.text("abcXYZ019_", min_size=1, max_size=6)
objects = st.dictionaries(names, st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=8), max_size=5)


@given(objects, st.text("0123456789abcdef", min_size=8, max_size=40))
def test_both_sides_write_the_same_text_to_sign(data: dict[str, Any], secret: str) -> None:
    envelope = {"appId": "A", "timestamp": "1700000000000", "version": "2.0.1", "signData": "x", "encData": "y"}
    assert sm.sign_text({**envelope, "data": data}, secret).encode() == erx_crypto.text_to_sign(envelope, data, secret)


@settings(max_examples=15)  # the hospital's arithmetic takes its time
@given(st.binary(max_size=64))
def test_both_sides_understand_each_others_signatures_and_ciphertexts(message: bytes) -> None:
    key = erx_crypto.private_key("a hospital")
    assert sm.public_key(key) == erx_crypto.public_key(key)
    assert sm.sm2_verify(message, erx_crypto.sign(message, key), sm.public_key(key))
    assert erx_crypto.verify(message, sm.sm2_sign(message, key), erx_crypto.public_key(key))
    assert not erx_crypto.verify(message + b"!", sm.sm2_sign(message, key), erx_crypto.public_key(key))
    hidden = sm.sm4_encrypt(b"0123456789abcdef", message)
    assert hidden == erx_crypto.hide(b"0123456789abcdef", message)
    assert erx_crypto.reveal(b"0123456789abcdef", hidden) == message


def test_the_hospital_knows_nothing_of_the_platforms_code() -> None:
    program = ("import sys, sandbox.dialects.erx; "
               "print([m for m in sys.modules if m.split('.')[0] in ('adapters', 'infra', 'tasks', 'gateway', 'gmalg')])")
    seen = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert seen.strip() == "[]"


def test_no_secret_shows_in_a_repr(city: City) -> None:
    adapter = city.hospitals[SLUG]
    assert isinstance(adapter, Adapter)
    assert SECRETS["app_secret"] not in repr(adapter.envelope) + repr(INSTALLED)
    assert SECRETS["platform_key"] not in repr(adapter.envelope) + repr(INSTALLED)

"""The simulated hospital on HL7 v2: what it writes, what it understands, and what it hears."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from adapters import registry
from adapters.hospitals.jinan_central import reports
from adapters.hospitals.jinan_central.adapter import Adapter
from adapters.mapping import read_tables
from adapters.messages import Outcome, Verdict
from domain.prescription import Approval
from fhir_profiles.checker import check_data
from fhir_profiles.reader import read_bundle_data
from sandbox.dialects import Line, Site
from sandbox.dialects.hl7v2 import Speaker, install
from sandbox.facts import Diagnosed, Facts, Medicine
from tests.support.fakes import Replay
from tests.support.hl7_oracle import faults
from tests.support.sockets import free_port, until

SLUG = "jinan_central"
BEIJING = timezone(timedelta(hours=8))
AT = datetime(2026, 11, 22, 9, 0, tzinfo=BEIJING)
FACTS = Facts(
    hospital=SLUG, key="M000100001", external_id="RX000100001", issued=AT - timedelta(minutes=2), sent=AT, home=False,
    chronic_disease="M01600", diagnoses=(Diagnosed("E11.900", "2型糖尿病"),),
    medicines=(Medicine("D001", "盐酸二甲双胍片", "500", "mg", "bid", 30, 60, "片"),
               Medicine("D187", "复方丹参滴丸", "10", "丸", "tid", 30, 5, "瓶", "tcm_patent")),
    name="示范^甲|&", id_number="370102195803029910", male=True, born=date(1958, 3, 2), phone="19900000001",
    address="示范市示范区示范路1号", district="370102", latitude="36.6749", longitude="117.0251", insutype="310",
    proof_issued=date(2026, 9, 20))
EVEN = replace(FACTS, key="M000100002", external_id="RX000100002", home=True)
TOLD = replace(
    FACTS, department="03.07", department_name="内分泌科", title="232", visit_number="V1", valid_days=2, valid_reason="行动不便",
    note="电话联系后\n再配送", allergy_words=("对海鲜过敏", "花粉&过敏"), medicines=(
        replace(FACTS.medicines[0], directions="随餐^服用", note="同一厂家", approval="1"),
        replace(FACTS.medicines[1], directions="餐后吞服", approval="2")))
WELL = replace(TOLD, key="M000100004", external_id="RX000100004", allergy_words=(), no_known_allergies=True)
ADAPTER = Adapter(registry.manifest("hospitals", SLUG), Replay(), {"sources": "127.0.0.1"})
CODES = read_tables(registry.HERE / "hospitals" / SLUG)


def speaker(urls: dict[str, str] | None = None, hear: Callable[[str, dict[str, Any]], None] | None = None) -> Speaker:
    return Speaker(Line(SLUG, "", urls or {}, {}, hear or (lambda *_: None)))


def decoded(body: bytes) -> str:
    return body.decode("gb18030" if b"GB 18030" in body[:200] else "utf-8")


@pytest.mark.parametrize("facts", [FACTS, EVEN])
def test_its_prescriptions_are_messages_and_keep_the_contract(facts: Facts) -> None:
    body = speaker().prescription(facts)
    assert faults(decoded(body)) == []
    assert body == speaker().prescription(facts)
    message = ADAPTER.to_fhir(body, CODES)
    assert (message.key, message.unmapped) == (facts.key, ())
    assert [*message.findings, *check_data(message.resource, SLUG)] == []
    patient = message.resource["entry"][0]["resource"]
    assert patient["name"] == [{"text": facts.name}]
    handover = [it["resource"]["extension"][0]["valueCode"] for it in message.resource["entry"]
                if it["resource"]["resourceType"] == "MedicationRequest"]
    assert handover == ["home" if facts.home else "pickup"] * 2


@pytest.mark.parametrize("facts", [TOLD, WELL])
def test_all_the_doctor_said_arrives(facts: Facts) -> None:
    body = speaker().prescription(facts)
    assert faults(decoded(body)) == []
    message = ADAPTER.to_fhir(body, CODES)
    assert [*message.findings, *check_data(message.resource, SLUG)] == []
    rx = read_bundle_data(message.resource, SLUG, lambda number: "p").prescription
    assert (rx.prescriber.department, rx.prescriber.department_name, rx.prescriber.title) == ("03.07", "内分泌科", "232")
    assert (rx.visit.number, rx.valid_days, rx.valid_reason, rx.note) == ("V1", 2, "行动不便", facts.note)
    assert rx.patient.allergy_words == facts.allergy_words
    assert rx.patient.no_known_allergies is facts.no_known_allergies
    assert [(it.directions, it.note, it.approval) for it in rx.items] == [
        ("随餐^服用", "同一厂家", Approval.COVERED), ("餐后吞服", "", Approval.OWN_EXPENSE)]


def test_both_message_types_and_both_character_sets_are_used() -> None:
    odd, even = (speaker().prescription(it).split(b"\r")[0] for it in (FACTS, EVEN))
    assert b"|RDE^O11^RDE_O11|" in odd
    assert b"GB 18030-2000" in odd
    assert b"|OMP^O09^OMP_O09|" in even
    assert b"UNICODE UTF-8" in even


@pytest.mark.parametrize("facts", [FACTS, EVEN])
def test_what_it_takes_back_is_named(facts: Facts) -> None:
    body = speaker().cancel(facts, "C000100001", AT)
    assert faults(decoded(body)) == []
    message = ADAPTER.to_fhir(body, CODES)
    assert (message.key, message.kind) == ("C000100001", "Task")
    assert message.resource["focus"]["identifier"]["value"] == facts.external_id
    assert check_data(message.resource, SLUG) == []


@pytest.mark.parametrize("facts", [FACTS, EVEN])
def test_changed_and_broken_messages_are_what_they_say(facts: Facts) -> None:
    line = speaker()
    first, changed = (ADAPTER.to_fhir(it, CODES) for it in (line.prescription(facts), line.changed(facts)))
    assert first.key == changed.key
    assert first.resource != changed.resource
    for number in (1, 2):
        assert check_data(ADAPTER.to_fhir(line.broken(facts, number), CODES).resource, SLUG)


@asynccontextmanager
async def platform(answer: Callable[[bytes], bytes]) -> AsyncIterator[tuple[Speaker, list[bytes]]]:
    """A platform that answers each block with what it is told to; an empty answer hangs up."""
    heard: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                heard.append((await reader.readuntil(b"\x1c\r"))[1:-2])
            except asyncio.IncompleteReadError:
                break
            if not (said := answer(heard[-1])):
                break
            writer.write(b"\x0b" + said + b"\x1c\r")
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    line = speaker({"mllp": f"tcp://127.0.0.1:{port}"})
    async with server:
        yield line, heard
        for _, writer in line._idle:
            writer.close()


@pytest.mark.parametrize(("outcome", "status", "heard"), [
    (Outcome.ACCEPTED, "received", "accepted"), (Outcome.REFUSED, "", "refused"),
    (Outcome.CONFLICT, "", "conflict"), (Outcome.WAITING, "", "waiting")])
@pytest.mark.parametrize("facts", [FACTS, EVEN])
async def test_it_understands_the_platforms_answers(facts: Facts, outcome: Outcome, status: str, heard: str) -> None:
    def answer(raw: bytes) -> bytes:
        message = ADAPTER.to_fhir(raw, CODES)
        findings = check_data(ADAPTER.to_fhir(speaker().broken(facts, 1), CODES).resource, SLUG)
        if outcome is Outcome.CONFLICT:
            from fhir_profiles.catalogue import RULES
            findings = [RULES["MESSAGE_CONFLICT"].finding("Bundle")]
        taken = outcome is Outcome.ACCEPTED
        return ADAPTER.answer(message, Verdict(outcome, AT, SLUG, "rx_1" if taken else "", status=status,
                                               findings=findings if heard in ("refused", "conflict") else ())).body

    async with platform(answer) as (line, _):
        said = await line.send(line.prescription(facts))
    assert said is not None
    assert said.outcome == heard
    assert (said.id, said.status) == (("rx_1", "received") if outcome is Outcome.ACCEPTED else ("", ""))


async def test_a_line_is_used_again_and_silence_is_no_answer() -> None:
    answers = [b"MSH|^~\\&\rMSA|AA|1\rORC|OK||rx_1", b"", b"MSH|^~\\&\rMSA|AR|1\rERR|||207", b"MSH|^~\\&\rMSA|AA|1"]
    async with platform(lambda _: answers.pop(0)) as (line, heard):
        body = line.prescription(FACTS)
        assert (await line.send(body)) is not None
        assert (await line.send(body)) is None
        assert (await line.send(body)) is None
        assert (await line.send(body)) is not None
    assert heard == [body] * 4
    assert await line.send(body) is None


async def test_it_asks_where_a_prescription_is() -> None:
    async with platform(lambda _: b"MSH|^~\\&\rMSA|AA|1\rORC|SR||rx_1||||||||||||||||||||||allocating^^SANYI") as (line, heard):
        assert await line.where(FACTS) == "allocating"
    assert b"\rORC|SS|" in heard[0]


DISPENSE = {"order": "ord_1", "chain": "ankang", "store": "AK01", "handover": "home", "at": "2026-11-22T01:20:00+00:00",
            "lines": [{"line": line, "item": f"{line}", "drug": f"D00{line}", "name": "示范&药^片", "quantity": "62.5",
                       "unit": "片", "returned": line == 2} for line in (1, 2)]}
REPORT = {"key": "rx_1:settled:2", "prescription": "RX000100001", "id": "rx_1", "status": "settled",
          "at": "2026-11-22T01:30:00.123456+00:00", "reason": "settled", "words": "fund | settled\nat last",
          "findings": [{"code": "OFF_LABEL", "severity": "WARN", "text": "适应证^不符", "line": 2},
                       {"code": "ODD", "severity": "BLOCK", "text": "文", "line": None}],
          "patient_page": "https://sanyi.example/p/ab12-cd34",
          "pickup": {"order": "ord_1", "chain": "ankang", "store": "AK01", "code": "7K3QX9MWTA"}, "dispense": DISPENSE,
          "money": {"total": "46.50", "fund": "39.53", "account": "6.97", "cash": "0.00"}}
PLAIN = {name: REPORT[name] for name in ("key", "prescription", "id", "status", "at")} | {"reason": ""}


@pytest.mark.parametrize("report", [REPORT, PLAIN])
async def test_a_report_arrives_as_it_was_told(report: dict[str, Any]) -> None:
    from json import dumps

    heard: dict[str, Any] = {}
    port = free_port()
    line = speaker({"listen": str(port)}, heard.__setitem__)
    listening = asyncio.create_task(line.listen())
    hospital = Adapter(registry.manifest("hospitals", SLUG), _transport(port), {"sources": "127.0.0.1"})
    await until(lambda: _answers(port))
    await hospital.report(report["key"], dumps(report).encode())
    assert heard == {report["key"]: report}
    await hospital._transport.close()  # type: ignore[attr-defined]
    listening.cancel()


async def test_what_is_no_report_is_refused() -> None:
    def hear(key: str, report: dict[str, Any]) -> None:
        raise KeyError("no such prescription")

    _, body = reports.report(
        ADAPTER.ends, "k", b'{"id":"rx_1","prescription":"X","status":"closed","at":"2026-11-22T01:30:00Z"}')
    assert b"\rMSA|AE|" in speaker(hear=hear)._take(body)
    assert b"\rMSA|AE|" in speaker()._take(b"MSH|^~\\&|||||||ADT^A01|1")
    assert b"\rMSA|AA|" in speaker()._take(body)


def test_both_sides_are_told_of_the_same_ports(tmp_path: Path) -> None:
    ports = iter((5001, 5002))
    installed = install(Site(SLUG, "http://127.0.0.1:1", tmp_path, lambda name: name, lambda: next(ports)))
    assert installed.settings["SANYI_MLLP_PORTS__JINAN_CENTRAL"] == "5001"
    assert installed.options == {"mllp": "tcp://127.0.0.1:5001", "listen": "5002"}
    assert installed.settings["SANYI_PARTNER_URLS__JINAN_CENTRAL"] == "mllp://127.0.0.1:5002"


def _transport(port: int) -> Any:
    from infra.http import open_client

    return registry.transport(registry.manifest("hospitals", SLUG), f"mllp://127.0.0.1:{port}", open_client())


def _answers(port: int) -> bool:
    import socket

    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0

"""The simulated hospital on CDA: its documents are its own, and the platform's adapter reads out of them what it meant."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Response
from hypothesis import given
from hypothesis import strategies as st

from adapters import registry
from adapters.hospitals.jinan_tcm import translation
from adapters.hospitals.jinan_tcm.adapter import Adapter
from adapters.mapping import read_tables
from adapters.messages import Outcome, Verdict
from adapters.protocols import Polled
from adapters.registry import manifest
from domain.errors import InvalidPayload, NeedsOperator
from domain.prescription import DrugKind
from fhir_profiles.checker import check_data
from fhir_profiles.reader import read_bundle_data
from gateway.doors.bodies import Bodies
from gateway.doors.soap import soap_door
from gateway.web.access import tokens_of
from infra.http import HttpTransport
from sandbox.dialects import Heard, Line, Site
from sandbox.dialects.cda import STATUSES, Speaker, install
from sandbox.facts import Diagnosed, Facts, Medicine
from sandbox.people import person
from tasks import intake
from tasks.city import City
from tests.support.city import make_city, make_settings
from tests.support.sockets import serving, until

SLUG = "jinan_tcm"
TOKEN = "t0ken-of-the-hospital-of-chinese-medicine"
CODES = read_tables(registry.HERE / "hospitals" / SLUG)
PATENT = Medicine("D187", "复方丹参滴丸", "10", "丸", "tid", 30, 5, "瓶", "tcm_patent")
WESTERN = (Medicine("D001", "盐酸二甲双胍片", "500", "mg", "bid", 30, 60, "片"),
           Medicine("D010", "阿卡波糖片", "50", "mg", "tid", 30, 90, "片"))
REPORT = {"key": "rx_1:fulfilling", "prescription": "RX0001", "id": "rx_1", "status": "fulfilling",
          "at": "2026-11-22T01:00:00+00:00", "reason": "order_placed", "words": "a < b", "pickup": {
              "order": "ord_1", "chain": "ankang", "store": "AK01", "code": "7K3QX9MWTA"}}

DISPENSE = {"order": "ord_1", "chain": "ankang", "store": "AK01", "handover": "home", "at": "2026-11-22T01:20:00+00:00",
            "lines": [{"line": line, "item": f"{line}", "drug": f"D00{line}", "name": "示范&药^片", "quantity": "62.5",
                       "unit": "片", "days": 30, "returned": line == 2} for line in (1, 2)]}


def facts(number: int = 1, medicines: tuple[Medicine, ...] = WESTERN, **changes: Any) -> Facts:
    who = person(number, 1, False)
    given: dict[str, Any] = {
        "hospital": SLUG, "key": f"M{number:04d}", "external_id": f"RX{number:04d}",
        "issued": datetime(2026, 11, 22, 0, 58, tzinfo=UTC), "sent": datetime(2026, 11, 22, 1, 0, tzinfo=UTC), "home": False,
        "chronic_disease": "M01600", "diagnoses": (Diagnosed("E11.900", "2型糖尿病"),), "medicines": medicines,
        "name": who.name, "id_number": who.id_number, "male": who.male, "born": who.born, "phone": who.phone,
        "address": who.address, "district": who.place[0], "latitude": who.place[1], "longitude": who.place[2],
        "insutype": who.insutype, "proof_issued": date(2026, 9, 20)}
    return Facts(**given | changes)


@dataclass
class House:
    """A hospital's speaker, and what it heard."""

    speaker: Speaker
    address: str
    adapter: Adapter
    heard: list[dict[str, Any]] = field(default_factory=list)


@asynccontextmanager
async def hospital(gateway: str = "http://127.0.0.1:9") -> AsyncIterator[House]:
    """A simulated hospital on a loopback socket, and the platform's adapter connected to it."""
    heard: list[dict[str, Any]] = []
    speaker = Speaker(Line(SLUG, gateway, {}, {"TOKEN": TOKEN, "REPORT_TOKEN": "r3port"},
                           lambda key, report: heard.append(report)))
    app = FastAPI()
    speaker.doors(app)
    async with serving(app) as address:
        adapter = Adapter(manifest("hospitals", SLUG), HttpTransport(SLUG, address), {"report_token": "r3port"})
        yield House(speaker, address, adapter, heard)


def reader() -> Adapter:
    return Adapter(manifest("hospitals", SLUG), HttpTransport(SLUG, "http://127.0.0.1:9"), {"report_token": "x"})


@pytest.fixture
def city(tmp_path: Path) -> City:
    made = make_city(tmp_path)
    return replace(made, hospitals={**made.hospitals, SLUG: reader()})


@asynccontextmanager
async def platform(city: City, tmp_path: Path) -> AsyncIterator[str]:
    app = FastAPI()
    settings = make_settings(tmp_path, partner_secrets={SLUG: {"token": TOKEN}})
    app.include_router(soap_door(city, settings, Bodies(), tokens_of(city, settings)))
    async with serving(app) as address:
        yield address


# What it writes.

@given(number=st.integers(1, 999), home=st.booleans(), chinese=st.booleans(), proof=st.booleans(), disease=st.booleans())
def test_what_the_doctor_wrote_is_what_the_platform_reads(
    number: int, home: bool, chinese: bool, proof: bool, disease: bool,
) -> None:
    wrote = facts(number, (PATENT,) if chinese else WESTERN, home=home, chronic_disease="M01600" if disease else "",
                  proof_issued=date(2026, 9, 20) if proof else None)
    message = reader().to_fhir(Speaker(Line(SLUG, "http://x", {}, {"TOKEN": ""}, print)).prescription(wrote), CODES)

    assert not check_data(message.resource, SLUG)
    assert not message.unmapped
    admitted = read_bundle_data(message.resource, SLUG, lambda _: "pt_1")
    rx = admitted.prescription
    assert (message.key, rx.external_id, rx.issued_at) == (f"{wrote.key}-v1", wrote.external_id, wrote.issued)
    assert [(one.drug, str(one.single_dose), one.dose_unit, one.frequency, one.days_supply, one.quantity, one.unit)
            for one in rx.items] == [(one.drug, one.amount, one.dose_unit, one.frequency, one.days, Decimal(one.quantity), one.unit)
                                     for one in wrote.medicines]
    assert {one.kind for one in rx.items} == {DrugKind.PATENT if chinese else DrugKind.WESTERN}
    assert (rx.handover, rx.coverage.insutype, rx.coverage.disease_code) == (
        "home" if home else "pickup", wrote.insutype, wrote.chronic_disease)
    assert (admitted.patient.name, admitted.patient.id_number, admitted.patient.birth_date) == (
        wrote.name, wrote.id_number, wrote.born)


def test_the_same_facts_give_the_same_bytes_and_a_change_keeps_the_key() -> None:
    speaker = Speaker(Line(SLUG, "http://x", {}, {"TOKEN": ""}, print))

    assert speaker.prescription(facts()) == speaker.prescription(facts()) != speaker.changed(facts())
    assert reader().to_fhir(speaker.changed(facts()), CODES).key == "M0001-v1"


@pytest.mark.parametrize("number", [1, 2])
def test_what_a_careless_interface_sends_is_refused(number: int) -> None:
    raw = Speaker(Line(SLUG, "http://x", {}, {"TOKEN": ""}, print)).broken(facts(), number)
    try:
        findings = check_data(reader().to_fhir(raw, CODES).resource, SLUG)
    except InvalidPayload as invalid:
        findings = list(invalid.findings)

    assert {"ID_NUMBER", "DOSE"} & {one.code for one in findings}


def test_hospital_and_platform_mean_the_same_by_every_status_code() -> None:
    assert {status: code for code, status in STATUSES.items()} == {
        status: code for status, (code, _) in translation.STATUS_WORDS.items()}


def test_hospital_and_platform_are_told_of_each_other() -> None:
    made = install(Site(SLUG, "http://127.0.0.1:1", Path(), lambda name: f"key of {name}", lambda: 1))

    assert made.settings == {
        "SANYI_PARTNER_URLS__JINAN_TCM": "http://127.0.0.1:1",
        "SANYI_PARTNER_SECRETS__JINAN_TCM__TOKEN": made.secrets["TOKEN"],
        "SANYI_PARTNER_SECRETS__JINAN_TCM__REPORT_TOKEN": made.secrets["REPORT_TOKEN"]}


# Over the line.

async def test_it_pushes_asks_and_takes_back(city: City, tmp_path: Path) -> None:
    async with platform(city, tmp_path) as gateway, hospital(gateway) as house:
        speaker = house.speaker
        first = await speaker.send(speaker.prescription(facts()))
        again = await speaker.send(speaker.prescription(facts()))
        changed = await speaker.send(speaker.changed(facts()))
        where = await speaker.where(facts())
        cancelled = await speaker.send(speaker.cancel(facts(), "C0001", facts().sent))
        broken = [await speaker.send(speaker.broken(facts(20 + number), number)) for number in (1, 2)]

    assert first
    assert (first.outcome, first.status, first.id[:3]) == ("accepted", "received", "rx_")
    assert again == first
    assert changed
    assert (changed.outcome, where) == ("conflict", "received")
    assert cancelled
    assert (cancelled.outcome, cancelled.status) == ("accepted", "cancelled")
    assert [one.outcome for one in broken if one] == ["refused", "refused"]


async def test_every_third_document_is_offered_fetched_answered_and_not_offered_again(city: City) -> None:
    async with hospital() as house:
        polled: Polled = house.adapter
        sending = asyncio.create_task(house.speaker.send(house.speaker.prescription(facts(3, (PATENT,)))))
        await asyncio.sleep(0)
        (document,) = await polled.poll(10)
        assert not sending.done()
        answer = await asyncio.to_thread(intake.receive, city, SLUG, document.raw)
        reply = house.adapter.answer(None, _verdict(answer.body))
        await polled.hand_back(document.ref, replace(reply, body=answer.body))
        heard = await asyncio.wait_for(sending, 60)
        assert list(await polled.poll(10)) == []

        repeat = asyncio.create_task(house.speaker.send(house.speaker.prescription(facts(3, (PATENT,)))))
        await asyncio.sleep(0)
        (document,) = await polled.poll(10)
        again = await asyncio.to_thread(intake.receive, city, SLUG, document.raw)
        await polled.hand_back(document.ref, replace(reply, body=again.body))

        assert again.replayed
        assert heard
        assert (heard.outcome, heard.status, heard.id[:3]) == ("accepted", "received", "rx_")
        assert await asyncio.wait_for(repeat, 60) == heard


async def test_a_gateway_that_is_away_or_in_trouble_gives_no_answer_but_a_fault_of_ours_is_one() -> None:
    said: list[bytes] = []
    gateway = FastAPI()

    @gateway.post("/soap/{slug}")
    async def trouble(slug: str) -> Any:
        return Response(said[0], 500)

    fault = ('<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><soap:Fault>'
             "<faultcode>soap:{}</faultcode></soap:Fault></soap:Body></soap:Envelope>")
    async with serving(gateway) as address, hospital(address) as house:
        results: list[Heard | None] = []
        for body in (fault.format("Server"), "<html>", fault.format("Client")):
            said[:] = [body.encode()]
            results.append(await house.speaker.send(house.speaker.prescription(facts())))
    async with hospital() as house:
        results.append(await house.speaker.send(house.speaker.prescription(facts())))

    assert [one.outcome if one else None for one in results] == [None, None, "refused", None]


async def test_a_report_arrives_in_the_hospitals_book_as_it_was_meant() -> None:
    money = {**REPORT, "key": "rx_1:settled", "status": "settled", "reason": "", "words": "", "dispense": DISPENSE, "money": {
        "total": "46.50", "fund": "39.53", "account": "6.97", "cash": "0.00"}}
    refused = {**REPORT, "key": "rx_1:refused", "status": "refused", "findings": [
        {"code": "DOSE", "severity": "BLOCK", "text": "剂量", "line": 1}]}
    async with hospital() as house:
        for report in (REPORT, money, refused):
            await house.adapter.report(str(report["key"]), json.dumps(report).encode())

    assert house.heard[0] == REPORT
    assert house.heard[1] == money
    assert house.heard[2]["findings"] == [{"code": "DOSE", "severity": "BLOCK", "text": "剂量"}]


async def test_only_the_platform_may_fetch_and_report() -> None:
    async with hospital() as house:
        stranger = Adapter(manifest("hospitals", SLUG), HttpTransport(SLUG, house.address), {"report_token": "guess"})
        with pytest.raises(NeedsOperator):
            await stranger.poll(10)
        with pytest.raises(NeedsOperator):
            await stranger.report("k", json.dumps(REPORT).encode())
        await until(lambda: not house.heard)


def _verdict(body: bytes) -> Any:
    assert body
    return Verdict(Outcome.ACCEPTED, datetime.now(UTC), SLUG)

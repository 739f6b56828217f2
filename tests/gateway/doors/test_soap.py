"""The SOAP door: an independent client reads our WSDL and is understood; what is no SOAP gets a fault."""

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import requests
import zeep
from fastapi import FastAPI
from fastapi.testclient import TestClient
from lxml import etree

from adapters.dialects import cda, cda_soap
from adapters.hospitals.jinan_tcm.adapter import Adapter
from adapters.registry import manifest
from domain.errors import Transient
from domain.words import Two
from gateway.doors.bodies import Bodies
from gateway.doors.soap import soap_door
from gateway.web.access import tokens_of
from infra import log
from tasks import intake
from tasks.city import City
from tests.gateway.doors.loops import on_the_event_loop
from tests.support.city import HOSPITAL_TOKEN, FakeHospital, make_city, make_settings
from tests.support.fakes import Replay
from tests.support.sockets import serving

log.configure("INFO")

SLUG = "jinan_tcm"
SAMPLES = Path(__file__).parents[3] / "adapters" / "hospitals" / SLUG / "samples"
HEADERS = {"Authorization": f"Bearer {HOSPITAL_TOKEN}", "Content-Type": "text/xml; charset=utf-8"}


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


@pytest.fixture
def city(tmp_path: Path) -> Iterator[City]:
    made = make_city(tmp_path)
    adapter = Adapter(manifest("hospitals", SLUG), Replay(), {"report_token": "x"})
    yield replace(made, hospitals={**made.hospitals, SLUG: adapter})
    made.db.close()


@pytest.fixture
def app(city: City, tmp_path: Path) -> FastAPI:
    secrets = {SLUG: {"token": HOSPITAL_TOKEN, "report_token": "x"}}
    app = FastAPI()
    settings = make_settings(tmp_path, partner_secrets=secrets)
    app.include_router(soap_door(city, settings, Bodies(), tokens_of(city, settings)))
    return app


@pytest.fixture
def client(app: FastAPI) -> TestClient:
    return TestClient(app)


@pytest.fixture
async def service(app: FastAPI) -> AsyncIterator["Service"]:
    async with serving(app) as address:
        yield await asyncio.to_thread(Service, f"{address}/soap/{SLUG}")


class Service:
    """A hospital on zeep, which knows of us what the WSDL says."""

    def __init__(self, address: str) -> None:
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"Bearer {HOSPITAL_TOKEN}"
        self.zeep = zeep.Client(f"{address}?wsdl", transport=zeep.Transport(session=self.session, timeout=60))
        # The WSDL names the platform's public address; a test is somewhere else.
        self.port = self.zeep.create_service("{urn:sanyi:prescription:v1}PrescriptionBinding", address)

    async def call(self, operation: str, **given: Any) -> Any:
        return await asyncio.to_thread(getattr(self.port, operation), **given)

    async def submit(self, raw: bytes) -> Any:
        return await self.call("SubmitPrescription", document=raw)

    async def cancel(self, number: str = "RX0001", key: str = "CX0001") -> Any:
        return await self.call("CancelPrescription", messageId=key, prescriptionNumber=number, reason="prescriber",
                               at=datetime.fromisoformat("2026-11-22T09:05:00+08:00"))


def submitted(client: TestClient, raw: bytes, **headers: str) -> Any:
    document = base64.b64encode(raw)
    body = cda_soap.envelope(b'<SubmitPrescription xmlns="%s"><document>%s</document></SubmitPrescription>' % (
        cda.SERVICE.encode(), document))
    return client.post(f"/soap/{SLUG}", content=body, headers=HEADERS | headers)


def faultcode(body: bytes) -> str | None:
    return etree.fromstring(body).findtext("{*}Body/{*}Fault/faultcode")


# A client of its own.

async def test_an_independent_client_submits_asks_and_cancels(service: Service) -> None:
    assert (await service.call("QueryStatus", prescriptionNumber="RX0001")).outcome == "unknown"

    accepted = await service.submit(sample("western.xml"))
    known = await service.call("QueryStatus", prescriptionNumber="RX0001")
    cancelled = await service.cancel()

    assert (accepted.outcome, accepted.status, accepted.prescriptionNumber) == ("accepted", "received", "RX0001")
    assert accepted.prescriptionId.startswith("rx_")
    assert (known.outcome, known.status, known.prescriptionId) == ("known", "received", accepted.prescriptionId)
    assert (cancelled.outcome, cancelled.status) == ("accepted", "cancelled")
    assert (await service.call("QueryStatus", prescriptionNumber="RX0001")).status == "cancelled"


async def test_it_sends_gb18030_and_both_kinds_of_document(service: Service) -> None:
    for name in ("gb18030.xml", "patent.xml"):
        assert (await service.submit(sample(name))).outcome == "accepted"


async def test_a_refused_document_is_answered_with_every_finding_by_data_element_xpath_and_line(service: Service) -> None:
    raw = sample("invalid/gender_of_somebody_else.xml").replace(b'doseQuantity value="500"', b'doseQuantity value="-1"')
    refused = await service.submit(raw)

    assert refused.outcome == "refused"
    found = {one.code: one for one in refused.finding}
    assert {"GENDER_MISMATCH", "DOSE"} <= set(found)
    line = next(number for number, text in enumerate(raw.decode().splitlines(), 1) if 'value="-1"' in text)
    assert (found["DOSE"].dataElement, found["DOSE"].line) == ("DE08.50.023.00", line)
    assert found["DOSE"].xpath.endswith("/substanceAdministration/doseQuantity/@value")
    assert all(one.text and one.textEn and one.cure for one in refused.finding)


async def test_a_cancel_before_its_prescription_waits_for_it(service: Service) -> None:
    early = await service.cancel()
    later = await service.submit(sample("western.xml"))

    assert (early.outcome, early.status) == ("accepted", "cancelling")
    assert (later.outcome, later.status) == ("accepted", "cancelled")


async def test_a_prescription_that_comes_again_as_another_document_is_a_conflict_even_when_it_was_cancelled(
    service: Service,
) -> None:
    await service.submit(sample("western.xml"))
    second = sample("western.xml").replace(b'<versionNumber value="1"/>', b'<versionNumber value="2"/>')
    assert (await service.submit(second)).outcome == "conflict"

    await service.cancel()
    third = second.replace(b'<versionNumber value="2"', b'<versionNumber value="3"')
    anew = third.replace(b"RX0001", b"RX0101")
    assert (await service.submit(third)).outcome == "conflict"
    assert (await service.submit(anew.replace(b"DOC0001", b"DOC0101"))).outcome == "accepted"


async def test_codes_nobody_has_mapped_are_named_and_the_document_waits(service: Service) -> None:
    waiting = await service.submit(sample("waiting/pieces.xml"))

    assert waiting.outcome == "waiting"
    assert [(one.table, one.code) for one in waiting.unmapped] == [("drug", f"ZYP00{number}") for number in (1, 2, 3)]


async def test_a_fault_is_one_to_an_independent_client_too(service: Service) -> None:
    service.session.headers["Authorization"] = "Bearer wrong"
    with pytest.raises(zeep.exceptions.Fault, match="token"):
        await service.submit(sample("western.xml"))


# Bytes.

def test_a_cancel_that_is_repeated_in_another_envelope_gets_the_same_answer(client: TestClient) -> None:
    submitted(client, sample("western.xml"))
    with_id = sample("cancel.xml").replace(b"<soapenv:Header/>", b'<soapenv:Header><id xmlns="urn:x">2</id></soapenv:Header>')
    first, again = (client.post(f"/soap/{SLUG}", content=raw, headers=HEADERS) for raw in (sample("cancel.xml"), with_id))

    assert b"<outcome>accepted</outcome>" in first.content
    assert again.content == first.content


def test_a_call_is_read_beside_the_event_loop(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    inside: list[bool] = []

    def read(raw: bytes) -> cda_soap.Call:
        inside.append(on_the_event_loop())
        raise cda_soap.Fault("Client", Two("x", "x"))

    monkeypatch.setattr(cda_soap, "call", read)
    client.post(f"/soap/{SLUG}", content=b"<a/>", headers=HEADERS)
    assert inside == [False]


def test_the_same_document_again_gets_the_same_bytes_whatever_envelope_it_comes_in(client: TestClient) -> None:
    first = submitted(client, sample("western.xml"))
    spaced = cda_soap.envelope(f'\n<s:SubmitPrescription xmlns:s="{cda.SERVICE}">\n<s:document>'.encode()
                          + base64.encodebytes(sample("western.xml")) + b"</s:document>\n</s:SubmitPrescription>")
    again = client.post(f"/soap/{SLUG}", content=spaced, headers=HEADERS)

    assert (first.status_code, again.status_code) == (200, 200)
    assert first.content == again.content


def test_the_same_document_number_with_another_content_is_a_conflict_without_values(client: TestClient) -> None:
    submitted(client, sample("western.xml"))
    other = submitted(client, sample("western.xml").replace("示范患者甲".encode(), "示范患者丙".encode()))

    assert b"<outcome>conflict</outcome>" in other.content
    assert "示范患者" not in other.text


@pytest.mark.parametrize("name", sorted(path.name for path in (SAMPLES / "invalid").glob("*.xml") if "cancel" not in path.name))
def test_no_invalid_sample_is_accepted_and_none_is_a_fault(client: TestClient, name: str) -> None:
    answer = submitted(client, sample(f"invalid/{name}"))

    assert answer.status_code == 200
    assert b"<outcome>refused</outcome>" in answer.content


@pytest.mark.parametrize("body", [b"", b"hello", b"<a/>", b"{}", cda_soap.envelope(b"<x/>"), b"\xff\xfe\x00"])
def test_what_is_no_call_is_a_fault_under_500(client: TestClient, body: bytes) -> None:
    answer = client.post(f"/soap/{SLUG}", content=body, headers=HEADERS)

    assert (answer.status_code, faultcode(answer.content)) == (500, "soap:Client")
    assert answer.headers["content-type"].startswith("text/xml")


@pytest.mark.parametrize("token", ["", "wrong", HOSPITAL_TOKEN + "x"])
def test_only_the_hospitals_own_token_opens_the_door(client: TestClient, token: str) -> None:
    answer = submitted(client, sample("western.xml"), Authorization=f"Bearer {token}")

    assert (answer.status_code, faultcode(answer.content)) == (401, "soap:Client")


@pytest.mark.parametrize("slug", ["elsewhere", "jinan_first"])
def test_a_hospital_that_does_not_speak_this_has_no_door_here(client: TestClient, slug: str) -> None:
    answers = (client.get(f"/soap/{slug}?wsdl"), client.post(f"/soap/{slug}", content=b"", headers=HEADERS))

    assert [(answer.status_code, faultcode(answer.content)) for answer in answers] == [(404, "soap:Client")] * 2


def test_a_body_beyond_all_measure_is_cut_off(client: TestClient) -> None:
    answer = client.post(f"/soap/{SLUG}", content=b" " * (cda_soap.MAX_BYTES + 1), headers=HEADERS)

    assert (answer.status_code, faultcode(answer.content)) == (413, "soap:Client")


def test_the_description_names_our_public_address(client: TestClient) -> None:
    answer = client.get(f"/soap/{SLUG}?wsdl")

    assert f'location="http://localhost/soap/{SLUG}"'.encode() in answer.content


def test_trouble_of_ours_is_a_fault_of_the_server_and_the_message_may_come_again(
    city: City, tmp_path: Path,
) -> None:
    class Full:
        def put(self, data: bytes) -> str:
            raise Transient("archive: no space", code="no_space")

    app = FastAPI()
    secrets = {SLUG: {"token": HOSPITAL_TOKEN}}
    settings = make_settings(tmp_path, partner_secrets=secrets)
    app.include_router(soap_door(replace(city, archive=Full()), settings, Bodies(), tokens_of(city, settings)))  # type: ignore[arg-type]
    answer = submitted(TestClient(app), sample("western.xml"))

    assert (answer.status_code, faultcode(answer.content)) == (503, "soap:Server")
    assert int(answer.headers["retry-after"]) > 0
    assert b"no_space" not in answer.content


def test_a_document_that_was_fetched_is_answered_as_one_that_was_pushed(city: City, client: TestClient) -> None:
    fetched = intake.receive(city, SLUG, sample("western.xml"))
    pushed = submitted(client, sample("western.xml"))

    assert fetched.body in pushed.content
    assert isinstance(city.hospitals["jinan_first"], FakeHospital)

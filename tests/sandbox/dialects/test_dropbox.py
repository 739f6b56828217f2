"""The hospital with a drop box: its files are understood by the product, and it understands the product's."""

import asyncio
import zlib
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from adapters import registry
from adapters.dialects import dropbox as product
from domain.errors import InvalidPayload
from fhir_profiles.checker import check_data
from infra.dropbox import BoxTransport
from sandbox.dialects import Line, Site, dropbox, install
from sandbox.facts import Diagnosed, Facts, Medicine
from sandbox.people import resident_id
from tasks.intake import check
from tasks.polling import poll_partner
from tests.support.city import make_city
from tests.support.county import CODES, SLUG, adapter

NOW = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)
BORN = date(1958, 3, 2)


def facts(number: int = 1, **changed) -> Facts:
    given = {
        "hospital": SLUG, "key": f"M{number:04d}", "external_id": f"XY{number:04d}", "issued": NOW - timedelta(minutes=2),
        "sent": NOW, "home": number % 2 == 0, "chronic_disease": "M01600",
        "diagnoses": (Diagnosed("E11.900", "2型糖尿病"), Diagnosed("I10.x00", "特发性(原发性)高血压")),
        "medicines": (Medicine("D001", "盐酸二甲双胍片", "500", "mg", "bid", 30, 60, "片"),
                      Medicine("D106", "左甲状腺素钠片", "50", "μg", "qd", 84, 100, "片"),
                      Medicine("D065", "琥珀酸美托洛尔缓释片", "47.5", "mg", "qd", 28, 28, "片")),
        "name": "示范甲<&>", "id_number": resident_id("370100", BORN, 2 * number + 1), "male": True, "born": BORN,
        "phone": f"100{number:08d}", "address": f"示范路{number}号,1\"单元", "district": "370102", "latitude": "36.67",
        "longitude": "117.03", "insutype": "310", "proof_issued": date(2026, 9, 20)}
    return Facts(**given | changed)


def speaker(urls: dict[str, str], secrets: dict[str, str] | None = None, hear=lambda key, report: None) -> dropbox.Speaker:
    return dropbox.Speaker(Line(SLUG, "http://127.0.0.1:1", urls, secrets or {}, hear))


@pytest.fixture
def county(tmp_path: Path) -> dropbox.Speaker:
    return speaker({"folder": str(tmp_path)})


def understood(raw: bytes) -> dict:
    message = adapter().to_fhir(raw, CODES)
    assert not message.unmapped
    assert check_data(message.resource, SLUG) == []
    return message.resource


# --- what it writes ---


def form(number: int) -> str:
    return ("csv", "excel", "xml")[zlib.crc32(facts(number).key.encode()) % 3]


def test_it_writes_three_kinds_of_files_in_turn():
    assert {form(number) for number in range(1, 12)} == {"csv", "excel", "xml"}


@pytest.mark.parametrize("number", range(1, 10))
def test_the_product_understands_what_it_writes(county, number):
    told = understood(county.prescription(facts(number)))
    resources = {entry["resource"]["resourceType"]: entry["resource"] for entry in told["entry"]}
    assert resources["Patient"]["name"][0]["text"] == "示范甲<&>"
    assert resources["Patient"]["telecom"][0]["value"] == f"100{number:08d}"
    assert sum(entry["resource"]["resourceType"] == "Condition" for entry in told["entry"]) == 2
    dose = resources["MedicationRequest"]["dosageInstruction"][0]["doseAndRate"][0]["doseQuantity"]
    assert (str(dose["value"]), dose["unit"]) == ("47.5", "mg")


@pytest.mark.parametrize("number", range(1, 10))
def test_the_same_facts_give_the_same_bytes(county, number):
    assert county.prescription(facts(number)) == county.prescription(facts(number))
    assert county.changed(facts(number)) != county.prescription(facts(number))


def test_a_first_visit_has_no_proof(county):
    encounter = understood(county.prescription(facts(proof_issued=None, chronic_disease="")))["entry"][3]["resource"]
    assert encounter["type"][0]["coding"][0]["code"] == "first"


@pytest.mark.parametrize("number", range(1, 4))
def test_a_cancel_is_understood_in_every_form(county, number):
    assert understood(county.cancel(facts(), f"C{number:04d}", NOW))["resourceType"] == "Task"


@pytest.mark.parametrize(("number", "code"), [(1, "CELL_FORMULA"), (2, "ID_NUMBER")])
def test_a_broken_file_is_broken_for_one_reason(county, number, code):
    raw, found = county.broken(facts(), number), set()
    try:
        found = {finding.code for finding in check(adapter().to_fhir(raw, CODES), SLUG)}
    except InvalidPayload as invalid:
        found = {finding.code for finding in invalid.findings}
    assert found == {code}


# --- what it does with a platform that polls ---


@asynccontextmanager
async def platform(tmp_path: Path, url: str, secrets: dict[str, str] | None = None):
    """The product: a real city with its own adapter for the box, polling."""
    home = tmp_path / "platform"
    home.mkdir()
    manifest = registry.manifest("hospitals", SLUG)
    own = registry.load("hospitals", SLUG, BoxTransport(SLUG, url), secrets or {})
    assert own.slug == manifest.slug
    city = replace(make_city(home), hospitals={SLUG: own})

    async def poll() -> None:
        while True:
            await poll_partner(city, SLUG)
            await asyncio.sleep(0.05)

    going = asyncio.create_task(poll())
    try:
        yield city
    finally:
        going.cancel()
        with suppress(asyncio.CancelledError):
            await going


@pytest.fixture
def installed(tmp_path: Path):
    site = Site(SLUG, "http://127.0.0.1:1", tmp_path / "box", lambda name: name, lambda: 0)
    return install("dropbox", site)


async def test_its_messages_are_answered(tmp_path, installed):
    county = speaker(installed.options)
    async with platform(tmp_path, installed.settings["SANYI_PARTNER_URLS__JINAN_COUNTY"]):
        heard = await asyncio.gather(*(county.send(county.prescription(facts(number))) for number in range(1, 8)))
        assert [one and one.outcome for one in heard] == ["accepted"] * 7
        assert all(one and one.id.startswith("rx_") and one.status == "received" for one in heard)
        files = [path.name for path in (tmp_path / "box" / "done").iterdir() if not path.name.endswith(".answer.csv")]
        assert {name.rpartition(".")[2] for name in files} == {"csv", "xlsx", "xml"}
        assert len(files) < 7  # CSV prescriptions of one moment share a file

        again = await county.send(county.prescription(facts(1)))
        assert again == heard[0]
        changed = await county.send(county.changed(facts(1)))
        assert changed
        assert changed.outcome == "conflict"
        refused = [await county.send(county.broken(facts(20 + number), number)) for number in (1, 2)]
        assert [one and one.outcome for one in refused] == ["refused", "refused"]
        cancelled = await county.send(county.cancel(facts(2), "C0002", NOW))
        assert cancelled
        assert (cancelled.outcome, cancelled.status) == ("accepted", "cancelled")


async def test_over_a_bucket_it_is_the_same(tmp_path, s3):
    url = f"s3://{s3.bucket}/county?endpoint={s3.endpoint}"
    county = speaker({"s3": url}, {"ACCESS_KEY": s3.access_key, "SECRET_KEY": s3.secret_key})
    async with platform(tmp_path, url, {"access_key": s3.access_key, "secret_key": s3.secret_key}):
        heard = await asyncio.gather(*(county.send(county.prescription(facts(number))) for number in range(1, 6)))
    assert [one and one.outcome for one in heard] == ["accepted"] * 5


async def test_it_hears_what_is_reported_once(tmp_path):
    heard: list[tuple[str, dict]] = []
    county = speaker({"folder": str(tmp_path)}, hear=lambda key, report: heard.append((key, report)))
    report = {"key": "rx_1:settled", "prescription": "XY0001", "id": "rx_1", "status": "settled", "at": NOW.isoformat(),
              "reason": "settled", "words": "=ok\n再来",
              "findings": [{"code": "A", "severity": "WARN", "text": "甲", "line": 1},
                                                {"code": "B", "severity": "BLOCK", "text": "乙", "line": None}],
              "patient_page": "https://sanyi.example/p/ab12-cd34",
              "pickup": {"order": "ord_1", "chain": "ankang", "store": "AK01", "code": "7K3QX9MWTA"},
              "dispense": {
                  "order": "ord_1", "chain": "ankang", "store": "AK01", "handover": "pickup", "at": NOW.isoformat(), "lines": [
                  {"line": line, "item": str(line), "drug": f"D00{line}", "name": "示范药", "quantity": "60.5", "unit": "片",
                   "returned": line == 2} for line in (1, 2, 3)]},
              "money": {"total": "-46.50", "fund": "39.53", "account": "6.97", "cash": "0.00"}}
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "report.csv").write_bytes(product.report_sheet(report))
    (tmp_path / "reports" / "broken.csv").write_bytes(b"\xef\xbb\xbfx\r\n1\r\n")
    listening = asyncio.create_task(county.listen())
    for _ in range(50):
        await asyncio.sleep(0.05)
        if heard:
            break
    await asyncio.sleep(0.5)
    listening.cancel()
    assert heard == [("rx_1:settled", report)]
    assert [path.name for path in (tmp_path / "reports").iterdir()] == ["broken.csv"]


async def test_no_answer_is_no_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(dropbox, "PATIENCE_SECONDS", 0.3)
    county = speaker({"folder": str(tmp_path)})
    assert await county.send(county.prescription(facts(1))) is None
    assert await county.send(county.broken(facts(1), 2)) is None
    assert await county.where(facts()) == ""

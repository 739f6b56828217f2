"""The certification passes a sound interface, and names the requirement that a wrong one breaks."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from sandbox.book import Book
from sandbox.conformance.__main__ import Examined
from sandbox.conformance.flaws import FLAWS, Sound
from sandbox.conformance.judge import Judged, judge
from sandbox.conformance.record import Record, Recorder, Told, personal, shown
from sandbox.conformance.report import Certified, as_html, as_json, write
from sandbox.conformance.requirements import REQUIREMENTS, page
from sandbox.conformance.samples import Samples, read_samples, send_sample
from sandbox.dialects import Heard, Speaker
from sandbox.facts import Facts
from sandbox.partner import Background, Setting
from sandbox.plan import ROUND, Plan, make_plan

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)
SAMPLES = Samples({"good.json": b'{"kind": "prescription", "key": "S1", "number": "RXS1"}'}, {"bad.json": b'{"kind": "broken"}'},
                  {"bad.json": "NO_DOSE"})
MONEY = {"total": "30.00", "fund": "20.00", "account": "4.00", "cash": "6.00"}
STORIES = {
    "settled": [("in_review", {}), ("fulfilling", {"pickup": {"order": "o", "chain": "c", "code": "K"}}),
                ("settled", {"money": MONEY})],
    "refused": [("refused", {"findings": [{"code": "OVERDOSE"}]})], "returned": [("returned", {})], "expired": [("expired", {})],
    "cancelled_before": [], "cancelled_waiting": [], "cancelled_fulfilling": [("fulfilling", {})],
    "courier_back": [("cancelled", {})], "courier_never_paid": [("cancelled", {})],
    "village_pickup_late": [("cancelled", {})],
    "declined": [("settled", {"money": MONEY})], "silent": [("settled", {"money": MONEY})],
}


class Platform:
    """A platform as it should be, in memory, speaking JSON with one hospital; it knows how each prescription ends."""

    def __init__(self, plan: Plan) -> None:
        self._stories = {one.external_id: STORIES.get(one.scenario, STORIES["settled"]) for one in plan.prescriptions}
        self._answers: dict[str, tuple[bytes, Heard]] = {}
        self._cancelled: set[str] = set()
        self._there: set[str] = set()
        self.hear: Callable[[str, dict[str, Any]], None]

    def take(self, body: bytes) -> Heard:
        told = json.loads(body)
        if told["kind"] == "broken":
            return Heard("refused", body=b"no: NO_DOSE")
        if known := self._answers.get(told["key"]):
            return known[1] if known[0] == body else Heard("conflict", body=b"other content")
        number = told["number"]
        if told["kind"] == "cancel":
            self._cancelled.add(number)
            heard = Heard("accepted", "", "cancelled" if number in self._there else "cancelling", b"ok")
            if number in self._there:
                self._report(number, "cancelled")
        else:
            heard = Heard("accepted", f"rx_{number}", "received", b'{"id": "rx_%s"}' % number.encode())
            self._there.add(number)
            for status, more in [("cancelled", {})] if number in self._cancelled else self._stories.get(number, []):
                self._report(number, status, **more)
        self._answers[told["key"]] = body, heard
        return heard

    def _report(self, number: str, status: str, **more: Any) -> None:
        key = f"rx_{number}:{status}"
        self.hear(key, {"key": key, "prescription": number, "id": f"rx_{number}", "status": status,
                        "at": datetime.now(UTC).isoformat(), "reason": "as planned", **more})


class JsonSpeaker:
    """Keeps `sandbox.dialects.Speaker`, in memory."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def prescription(self, facts: Facts) -> bytes:
        return _body("prescription", facts, facts.key)

    def changed(self, facts: Facts) -> bytes:
        return _body("prescription", facts, facts.key, dose="2")

    def broken(self, facts: Facts, number: int) -> bytes:
        return _body("broken", facts, f"B{number}")

    def cancel(self, facts: Facts, key: str, at: datetime) -> bytes:
        return _body("cancel", facts, key)

    async def send(self, body: bytes) -> Heard | None:
        return self._platform.take(body)

    async def where(self, facts: Facts) -> str:
        return "allocating"

    def doors(self, app: FastAPI) -> None: ...

    async def listen(self) -> None: ...


def _body(kind: str, facts: Facts, key: str, **more: str) -> bytes:
    return json.dumps({"kind": kind, "key": key, "number": facts.external_id, "name": facts.name, "id": facts.id_number,
                       "sent": facts.sent.isoformat(), **more}, ensure_ascii=False).encode()


async def day(folder: Path, flaw: Callable[[Speaker], Speaker] = Sound,
              around: Callable[[Platform], None] = lambda _: None) -> tuple[Record, Plan]:
    """A day of the certification, without a single process."""
    plan = make_plan("jinan", ROUND, 1, NOW, hospitals=("jinan_first",))
    plan.save(folder)
    platform, record, background = Platform(plan), Record(), Background()
    recorder = Recorder(JsonSpeaker(platform), record)
    hospital = Examined(Setting(folder / "jinan_first", pace=0.01, urls={"per-second": "1000"}),
                        Book(folder / "hospital.sqlite"), background, flaw(recorder), recorder, SAMPLES)

    def hear(key: str, report: dict[str, Any]) -> None:
        record.reports.append(Told(datetime.now(UTC), key, report))
        hospital.report(key, report)

    platform.hear = hear
    around(platform)
    async with asyncio.timeout(120):
        await hospital._day()
    await background.stop()
    return record, plan


def failed(judged: Sequence[Judged]) -> list[str]:
    return [one.requirement.id for one in judged if not one.passed]


async def test_a_sound_interface_passes_every_requirement(tmp_path: Path) -> None:
    record, plan = await day(tmp_path)
    judged = judge(record, plan, SAMPLES)
    assert failed(judged) == []
    assert [one.requirement for one in judged] == list(REQUIREMENTS)


@pytest.mark.parametrize("name", FLAWS)
async def test_a_flaw_is_caught_by_the_requirement_it_breaks(tmp_path: Path, name: str) -> None:
    flaw, requirement = FLAWS[name]
    record, plan = await day(tmp_path, flaw)
    found = failed(judge(record, plan, SAMPLES))
    assert requirement in found
    assert "R-01" not in found


@pytest.mark.parametrize(("breaks", "requirement"), [
    (lambda record: record.reports.clear(), "R-13"),
    (lambda record: record.sent.clear(), "R-01"),
    (lambda record: record.reports.append(
        replace(record.reports[0], report=record.reports[0].report | {"status": "closed"})), "R-14"),
    (lambda record: [told.report.pop("money", None) for told in record.reports], "R-17"),
    (lambda record: [told.report.pop("pickup", None) for told in record.reports], "R-16"),
    (lambda record: [told.report.update(reason="", findings=[]) for told in record.reports], "R-15"),
    (lambda record: record.reports.append(Told(NOW, "k", {"key": "k", "reason": record.people[0].name})), "R-19"),
    (lambda record: record.sent.append(replace(record.of("prescription")[0], answer=Heard("waiting"))), "R-08"),
    (lambda record: record.sent.append(replace(record.of("sample")[0], answer=Heard("accepted"))), "R-03"),
    (lambda record: record.sent.append(replace(record.of("sample")[0], answer=Heard("conflict", body=b"NO_DOSE"))), "R-03"),
    (lambda record: record.sent.append(replace(record.of("sample")[0], answer=Heard("refused", body=b"no: NO_NAME"))), "R-03"),
    (lambda record: record.sent.append(replace(record.of("sample")[1], answer=Heard("refused"))), "R-02"),
    (lambda record: record.sent.append(replace(record.of("changed")[0], answer=Heard("accepted"))), "R-06"),
    (lambda record: record.sent.append(replace(record.of("broken")[0], answer=Heard("accepted"))), "R-07"),
])
async def test_what_is_missing_or_wrong_in_the_record_is_seen(
    tmp_path: Path, breaks: Callable[[Record], object], requirement: str
) -> None:
    record, plan = await day(tmp_path)
    breaks(record)
    assert requirement in failed(judge(record, plan, SAMPLES))


async def test_amounts_that_do_not_add_up_are_seen(tmp_path: Path) -> None:
    record, plan = await day(tmp_path)
    for told in record.reports:
        if "money" in told.report:
            told.report["money"] = MONEY | {"cash": "5.99"}
    assert failed(judge(record, plan, SAMPLES)) == ["R-17"]


async def test_the_certificate_shows_the_traffic_and_nothing_personal(tmp_path: Path) -> None:
    record, plan = await day(tmp_path, FLAWS["new-bytes"][0])
    certified = Certified("jinan_first", "示范医院", "Demo <Hospital>", "fhir", NOW, 3.0, judge(record, plan, SAMPLES), "new-bytes")
    html_page, data = write(certified, record, tmp_path / "out")
    document = json.loads(data.read_text(encoding="utf-8"))
    repeat = next(row for row in document["requirements"] if row["id"] == "R-05")
    assert not repeat["passed"]
    assert [one["outcome"] for one in repeat["exchanges"]].count("conflict")
    assert "<姓名 name>" in repeat["exchanges"][0]["sent"]
    text = html_page.read_text(encoding="utf-8")
    assert "未通过 not passed" in text
    assert "Demo &lt;Hospital&gt;" in text
    assert '"code": "K"' not in text
    for facts in record.people:
        for value in (facts.name, facts.id_number, facts.phone, facts.address):
            assert value not in text
            assert value not in data.read_text(encoding="utf-8")


async def test_a_good_certificate_says_so_in_both_languages(tmp_path: Path) -> None:
    record, plan = await day(tmp_path)
    certified = Certified("h", "示范医院", "Demo", "fhir", NOW, 3.0, judge(record, plan, SAMPLES))
    assert certified.passed
    text = as_html(as_json(certified, record))
    assert "通过 passed" in text
    assert "What the hospital must do" not in text


def test_a_message_is_shown_as_text_in_its_own_encoding_and_bytes_as_their_number() -> None:
    masked = personal([])
    assert shown("处方|阿司匹林\r".encode("gb18030"), masked) == "处方|阿司匹林\n"
    assert "<号码 number>" in shown(b"PID|370102195803021219|", masked)
    assert shown(bytes(range(256)), masked) == "(256 字节 bytes)"
    assert shown(b"x" * 9000, masked).endswith("9000 字符 characters")


def test_samples_are_the_files_of_the_folder_and_not_their_index() -> None:
    samples = read_samples(ROOT / "adapters" / "hospitals" / "jinan_first" / "samples")
    assert "long_term.json" in samples.valid
    assert "no_quantity.json" in samples.invalid
    assert not [name for name in (*samples.valid, *samples.invalid) if name.endswith(".toml")]


def test_the_page_of_requirements_says_what_the_code_demands() -> None:
    assert (ROOT / "docs" / "reference" / "conformance.md").read_text(encoding="utf-8").startswith(page())


class Session:
    """An e-prescription speaker that remembers what it was given to send."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    async def send(self, body: bytes) -> Heard | None:
        self.sent.append(json.loads(body))
        return Heard("accepted")


async def test_a_recorded_session_is_sent_without_what_the_platform_gave_in_it() -> None:
    speaker = Session()
    await send_sample("erx", speaker, b'{"D001": {"a": 1}, "D003": {"rxTraceCode": "T", "hiRxno": "H", "drName": "x"}}')
    assert speaker.sent == [{"D001": {"a": 1}, "D003": {"drName": "x"}}]


async def test_a_sample_that_its_sender_would_change_is_not_sent_at_all() -> None:
    speaker = Session()
    with pytest.raises(ValueError, match="twice"):
        await send_sample("erx", speaker, b'{"D001": {"a": 1, "a": 2}}')
    assert speaker.sent == []


async def test_a_mistake_that_cannot_even_be_sent_is_none_of_the_platforms(tmp_path: Path) -> None:
    record, plan = await day(tmp_path)
    unsent = replace(SAMPLES, invalid={**SAMPLES.invalid, "cut_off.json": b"{"})
    assert failed(judge(record, plan, unsent)) == []
    assert failed(judge(record, plan, replace(SAMPLES, valid={**SAMPLES.valid, "other.json": b"{}"}))) == ["R-02"]


class Box:
    """A drop box that answers by message key, and under None what came first."""

    def __init__(self, *keys: str) -> None:
        self.keys = keys

    async def _hand_over(self, body: bytes) -> dict[str | None, Heard | None]:
        return {None: Heard("accepted"), **{key: Heard("accepted") for key in self.keys}}


async def test_a_file_of_several_prescriptions_is_no_one_message() -> None:
    assert await send_sample("dropbox", Box("M1"), b"x") == Heard("accepted")
    with pytest.raises(ValueError, match="taken apart"):
        await send_sample("dropbox", Box("M1", "M2"), b"x")

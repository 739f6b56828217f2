"""A code nobody has mapped keeps its own message waiting, and nothing else; a person's word lets it go on."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from adapters import registry
from adapters.dialects import fhir_r4
from adapters.mapping import CodeMap, read_tables
from adapters.messages import Message, Unmapped
from domain.errors import Refused
from infra.db import mapping as rows
from infra.db import prescriptions, views
from tasks import intake, mapping
from tasks.board import board_markdown
from tasks.city import City
from tasks.reports import deliver_due
from tasks.upkeep import sweep
from tests.support.city import HOSPITAL, FakeHospital, bundle, make_city, rxno


@dataclass
class Local(FakeHospital):
    """Writes drug codes of its own into an otherwise good Bundle."""

    def to_fhir(self, raw: bytes, codes: CodeMap) -> Message:
        message = fhir_r4.to_fhir(raw)
        missing = []
        for entry in message.resource["entry"]:
            concept = entry["resource"].get("medicationCodeableConcept")
            if concept:
                coding = concept["coding"][0]
                ours = codes.ours("drug", coding["code"])
                if ours is None:
                    missing.append(Unmapped("drug", coding["code"], coding["display"]))
                else:
                    coding["code"] = ours
        return replace(message, unmapped=tuple(missing))


@pytest.fixture
def city(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[City]:
    folder = tmp_path / "adapters" / "hospitals" / HOSPITAL / "mapping"
    folder.mkdir(parents=True)
    (folder / "drug.csv").write_text("theirs,name,ours,accepted_by,accepted_on\nL010,阿卡波糖片,D010,x,2026-11-20\n",
                                     encoding="utf-8")
    monkeypatch.setattr(registry, "HERE", tmp_path / "adapters")
    read_tables.cache_clear()
    made = make_city(tmp_path)
    yield replace(made, hospitals={HOSPITAL: Local()})
    made.db.close()
    read_tables.cache_clear()


def message(number: int, **theirs: str) -> bytes:
    """Prescription `number` with the hospital's own drug codes for D001 and D010."""
    told = json.loads(bundle(number))
    for entry in told["entry"]:
        concept = entry["resource"].get("medicationCodeableConcept")
        if concept:
            coding = concept["coding"][0]
            coding["code"] = theirs.get(coding["code"], {"D010": "L010"}.get(coding["code"], "L001"))
    return json.dumps(told, ensure_ascii=False).encode()


def received(city: City) -> list[str]:
    with city.db.reading() as session:
        return [number for number in (rxno(one) for one in range(1, 4)) if prescriptions.find(session, HOSPITAL, number)]


def test_a_message_with_a_code_nobody_mapped_waits_and_its_neighbour_does_not(city: City) -> None:
    assert intake.receive(city, HOSPITAL, message(1)).status == 202
    assert intake.receive(city, HOSPITAL, message(2, D001="L010")).status in (201, 422)
    assert rxno(1) not in received(city)
    with city.db.reading() as session:
        assert [(one.table, one.theirs, one.messages) for one in rows.wanted(session)] == [("drug", "L001", 1)]


def test_a_person_says_what_the_code_is_and_everything_that_waited_for_it_goes_on(city: City) -> None:
    for number in (1, 2):
        intake.receive(city, HOSPITAL, message(number))
    intake.receive(city, HOSPITAL, message(3, D001="L999"))
    taken = mapping.accept(city, HOSPITAL, "drug", "L001", "D001", "O001")
    assert sorted(taken) == ["M0001", "M0002"]
    assert received(city) == [rxno(1), rxno(2)]
    with city.db.reading() as session:
        assert [one.theirs for one in rows.wanted(session)] == ["L999"]
        [decision] = rows.decisions(session)
    assert (decision.theirs, decision.ours, decision.accepted_by, decision.accepted_at) == ("L001", "D001", "O001", city.now())


def test_the_next_message_with_the_code_waits_for_nobody(city: City) -> None:
    mapping.accept(city, HOSPITAL, "drug", "L001", "D001", "O001")
    assert intake.receive(city, HOSPITAL, message(1)).status == 201


def test_a_message_that_waited_is_answered_the_same_again_and_taken_once(city: City) -> None:
    first = intake.receive(city, HOSPITAL, message(1))
    mapping.accept(city, HOSPITAL, "drug", "L001", "D001", "O001")
    again = intake.receive(city, HOSPITAL, message(1))
    assert (again.body, again.replayed) == (first.body, True)
    assert mapping.take_complete(city) == []
    assert received(city) == [rxno(1)]


def test_what_a_crash_left_complete_is_taken_by_the_sweep(city: City) -> None:
    intake.receive(city, HOSPITAL, message(1))
    with city.db.transaction() as session:
        rows.accept(session, rows.Mapped(HOSPITAL, "drug", "L001", "", "D001", "O001", city.now()))
    assert mapping.take_complete(city) == ["M0001"]
    assert received(city) == [rxno(1)]


def test_the_board_says_that_messages_wait_and_what_to_do(city: City) -> None:
    intake.receive(city, HOSPITAL, message(1))
    with city.db.reading() as session:
        [concern] = views.board(session, city.now(), city.policy).concerns
    assert (concern.kind, concern.count, concern.act) == (f"unmapped:{HOSPITAL}", 1, True)
    assert "/mapping" in concern.cure_en
    assert HOSPITAL in board_markdown(city, "http://gateway")


def test_the_sweep_takes_what_is_complete(city: City) -> None:
    intake.receive(city, HOSPITAL, message(1))
    with city.db.transaction() as session:
        rows.accept(session, rows.Mapped(HOSPITAL, "drug", "L001", "", "D001", "O001", city.now()))
    assert asyncio.run(sweep(city)).mapped == 1
    assert received(city) == [rxno(1)]


def test_a_prescription_that_came_under_another_key_meanwhile_is_not_called_invalid(city: City) -> None:
    intake.receive(city, HOSPITAL, message(1))
    mapping.accept(city, HOSPITAL, "drug", "L002", "D001", "O001")
    assert intake.receive(city, HOSPITAL, message(1, D001="L002").replace(b"M0001", b"M0009")).status == 201
    mapping.accept(city, HOSPITAL, "drug", "L001", "D001", "O001")
    asyncio.run(deliver_due(city))
    hospital = city.hospitals[HOSPITAL]
    assert isinstance(hospital, Local)
    said = [one for one in hospital.reports.values() if one.get("message") == "M0001"]
    assert [(one["status"], one["reason"]) for one in said] == [("received", "MESSAGE_CONFLICT")]


@pytest.mark.parametrize("shifted", ["370102195803029910", "19900000001", "L" * 41])
def test_what_is_no_code_is_refused_and_nobody_reads_it_in_the_queue(city: City, shifted: str) -> None:
    answer = intake.receive(city, HOSPITAL, message(1, D001=shifted))
    assert answer.status == 422
    assert b"CODE_UNUSABLE" in answer.body
    assert shifted.encode() not in answer.body
    with city.db.reading() as session:
        assert rows.wanted(session) == []


@pytest.mark.parametrize("name", ["张三 370102195803029910", "致电19900000001", "药" * 101, "示范患者的药"])
def test_a_name_that_speaks_of_a_person_or_never_ends_reaches_no_queue(city: City, name: str) -> None:
    told = json.loads(message(1))
    for entry in told["entry"]:
        if "medicationCodeableConcept" in entry["resource"]:
            entry["resource"]["medicationCodeableConcept"]["coding"][0]["display"] = name
        if entry["resource"]["resourceType"] == "Patient":
            entry["resource"]["name"] = [{"text": "示范患者"}]
    answer = intake.receive(city, HOSPITAL, json.dumps(told, ensure_ascii=False).encode())
    assert answer.status == 422
    assert b"CODE_UNUSABLE" in answer.body
    with city.db.reading() as session:
        assert rows.wanted(session) == []


def test_a_dry_run_names_the_codes_that_nobody_has_mapped(city: City) -> None:
    admitted, findings = intake.preview(city, HOSPITAL, message(1))
    assert (admitted, [(one.code, one.actor) for one in findings]) == (None, [("CODE_UNMAPPED", "platform")])


def test_a_hopeless_message_waits_for_nobody(city: City) -> None:
    answer = intake.receive(city, HOSPITAL, message(1).replace(b'"collection"', b'"batch"'))
    assert answer.status == 422
    assert b"BUNDLE_TYPE" in answer.body
    with city.db.reading() as session:
        assert rows.wanted(session) == []


def test_a_code_that_is_mapped_while_its_message_is_read_keeps_nobody_waiting(city: City) -> None:
    class Meanwhile(Local):
        def to_fhir(self, raw: bytes, codes: CodeMap) -> Message:
            told = super().to_fhir(raw, codes)
            if told.unmapped:
                with city.db.transaction() as session:
                    rows.accept(session, rows.Mapped(HOSPITAL, "drug", "L001", "", "D001", "O001", city.now()))
            return told

    busy = replace(city, hospitals={HOSPITAL: Meanwhile()})
    assert intake.receive(busy, HOSPITAL, message(1)).status == 201
    assert received(city) == [rxno(1)]


def test_a_message_that_turns_out_wrong_after_its_wait_may_be_corrected(city: City) -> None:
    class Later(Local):
        def to_fhir(self, raw: bytes, codes: CodeMap) -> Message:
            told = super().to_fhir(raw, codes)
            return told if told.unmapped else replace(told, resource=told.resource | {"type": "batch"})

    busy = replace(city, hospitals={HOSPITAL: Later()})
    assert intake.receive(busy, HOSPITAL, message(1)).status == 202
    assert mapping.accept(busy, HOSPITAL, "drug", "L001", "D001", "O001") == ["M0001"]
    assert received(city) == []
    assert intake.receive(city, HOSPITAL, message(1) + b" ").status == 201


@pytest.mark.parametrize(("given", "code"), [
    (("nobody", "drug", "L001", "D001"), "unknown_hospital"),
    ((HOSPITAL, "colour", "L001", "D001"), "unknown_table"),
    ((HOSPITAL, "route", "1", "PO"), "unknown_table"),
    ((HOSPITAL, "drug", "L001", "D9999"), "unknown_code"),
    ((HOSPITAL, "drug", "", "D001"), "unknown_code"),
    ((HOSPITAL, "drug", "L" * 101, "D001"), "unknown_code"),
])
def test_what_cannot_be_meant_is_refused_and_nothing_is_written(
    city: City, given: tuple[str, str, str, str], code: str
) -> None:
    with pytest.raises(Refused) as no:
        mapping.accept(city, *given, "O001")
    assert no.value.code == code
    with city.db.reading() as session:
        assert rows.decisions(session) == []


def test_a_message_that_cannot_be_taken_stays_and_its_neighbour_goes_on(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2):
        intake.receive(city, HOSPITAL, message(number))
    take, tried = intake.take_waiting, []

    def fails_at_first(city: City, hospital: str, key: str) -> object:
        tried.append(key)
        if len(tried) == 1:
            raise OSError("the archive is away")
        return take(city, hospital, key)

    monkeypatch.setattr(intake, "take_waiting", fails_at_first)
    assert mapping.accept(city, HOSPITAL, "drug", "L001", "D001", "O001") == ["M0002"]
    assert mapping.take_complete(city) == ["M0001"]

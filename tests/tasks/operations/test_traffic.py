"""Exported traffic has other people in it and reads as before; a change of shape is told once."""

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from adapters import registry
from adapters.kit import samples
from fhir_profiles.checker import check_data
from infra.crypto import Cipher
from infra.db import views
from infra.db.rows import DiscrepancyRow, NoticeRow
from tasks import intake, traffic
from tasks.city import City
from tasks.traffic import People
from tests.support.city import HOSPITAL, bundle, cancel, make_city

CIPHER = Cipher(b"i" * 32, b"l" * 32)


@pytest.fixture
def city(tmp_path: Path) -> Iterator[City]:
    made = make_city(tmp_path)
    yield made
    made.db.close()


def people_in(raw: bytes, slug: str) -> set[str]:
    """Names, numbers, phones and addresses of the patients in a message."""
    resource = samples.reader(slug).to_fhir(raw, samples.tables(slug)).resource
    found: set[str] = set()
    for entry in resource.get("entry", []):
        who = entry["resource"]
        if who["resourceType"] == "Patient":
            found |= {one["value"] for one in (*who.get("identifier", []), *who.get("telecom", []))}
            found |= {one["text"] for one in (*who.get("name", []), *who.get("address", [])) if one.get("text")}
    return found


EVERY = [(slug, one) for slug in registry.slugs("hospitals") for one in samples.valid(slug)]


@pytest.mark.parametrize(("slug", "one"), EVERY, ids=[f"{slug}-{one.name}" for slug, one in EVERY])
def test_every_dialect_reads_as_before_and_is_about_somebody_else(slug: str, one: samples.Sample) -> None:
    reader, codes = samples.reader(slug), samples.tables(slug)
    before = reader.to_fhir(one.raw, codes)
    safe = People(CIPHER.lookup, -40).replaced(one.raw, before.resource)
    if one.name.endswith(".xlsx"):
        assert safe is None, "a spreadsheet cannot be searched, so it is withheld"
        return
    if (slug, one.name) == ("jinan_second", "revoke.json"):
        assert safe is None, "it comes with its prescription, whose patient a revocation does not name to us"
        return
    assert safe is not None
    after = reader.to_fhir(safe, codes)
    assert check_data(after.resource, slug) == []
    assert not people_in(one.raw, slug) & people_in(safe, slug)
    assert before.kind == after.kind
    assert len(before.resource.get("entry", [])) == len(after.resource.get("entry", []))


def test_the_same_person_is_the_same_invented_person_and_days_keep_their_distance(city: City, tmp_path: Path) -> None:
    for number in (1, 2):
        assert intake.receive(city, HOSPITAL, bundle(number)).status == 201
    intake.receive(city, HOSPITAL, bundle(3, sample="child"))
    done = traffic.export(city, HOSPITAL, tmp_path / "out", ends_on=date(2026, 1, 1))
    assert len(done.files) == 3
    messages = [json.loads(file.read_bytes()) for file in done.files]
    patients = [next(one["resource"] for one in told["entry"] if one["resource"]["resourceType"] == "Patient")
                for told in messages]
    numbers = [one["identifier"][0]["value"] for one in patients]
    assert numbers[0] == numbers[1] != numbers[2]
    assert numbers[0][6:14] == patients[0]["birthDate"].replace("-", "")
    assert messages[0]["timestamp"].startswith("2026-01-01")
    real = people_in(bundle(1), HOSPITAL)
    text = "".join(file.read_text(encoding="utf-8") for file in done.files)
    assert not [value for value in real if value in text]


def test_what_was_refused_is_exported_with_its_finding(city: City, tmp_path: Path) -> None:
    told = json.loads(bundle(1))
    for entry in told["entry"]:
        entry["resource"].get("dispenseRequest", {}).pop("quantity", None)
    intake.receive(city, HOSPITAL, json.dumps(told, ensure_ascii=False).encode())
    intake.receive(city, HOSPITAL, b"{")
    done = traffic.export(city, HOSPITAL, tmp_path / "out")
    assert [file.parent.name for file in done.files] == ["invalid"]
    assert done.withheld == 1, "bytes nobody can read may be about anybody"
    assert "QUANTITY" in (tmp_path / "out" / "invalid" / "index.toml").read_text(encoding="utf-8")


def test_what_only_the_dialect_found_wrong_is_exported_as_refused(city: City, tmp_path: Path) -> None:
    raw = bundle(1).replace(b'"value": 60,', b'"value": NaN,')
    assert b"NaN" in raw
    assert intake.receive(city, HOSPITAL, raw).status == 422
    done = traffic.export(city, HOSPITAL, tmp_path / "out")
    assert [(file.parent.name, b"NaN" in file.read_bytes()) for file in done.files] == [("invalid", True)]
    assert "JSON_NOT_FINITE" in (tmp_path / "out" / "invalid" / "index.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(("old", "new"), [
    ("示范患者甲", '", "use": "official", "use": "usual", "text": "示范患者甲'), ('"示范患者甲"', '"\\u0000欧阳某"'),
    ("糖尿病病情稳定", "联系其女 13912345678"), ("糖尿病病情稳定", "其女 370102198005050021")])
def test_a_message_in_which_somebody_could_still_be_named_is_withheld(city: City, tmp_path: Path, old: str, new: str) -> None:
    raw = bundle(1).decode().replace(old, new)
    intake.receive(city, HOSPITAL, raw.encode())
    done = traffic.export(city, HOSPITAL, tmp_path / "out")
    assert raw != bundle(1).decode()
    assert (len(done.files), done.withheld) == (0, 1)


def test_of_cancels_only_those_are_let_out_that_can_name_nobody(city: City, tmp_path: Path) -> None:
    intake.receive(city, HOSPITAL, cancel(1))
    assert len(traffic.export(city, HOSPITAL, tmp_path / "out").files) == 1
    for slug in ("jinan_central", "jinan_county", "jinan_second", "jinan_tcm"):
        other = replace(city, hospitals={slug: samples.reader(slug)})
        for one in samples.valid(slug):
            if "cancel" in one.name or "revoke" in one.name:
                intake.receive(other, slug, one.raw)
        done = traffic.export(other, slug, tmp_path / slug)
        assert (done.files, done.withheld > 0) == ([], True)


def test_a_guardian_is_somebody_else_too(city: City, tmp_path: Path) -> None:
    guardian = {"fullUrl": "urn:uuid:00000000-0000-4000-8000-0000000000aa", "resource": {
        "resourceType": "RelatedPerson", "name": [{"text": "示范监护人戊"}],
        "patient": {"reference": json.loads(bundle(1, sample="child"))["entry"][0]["fullUrl"]},
        "identifier": [{"system": "urn:oid:2.16.156.10011.1.3", "value": "37010219900520994X"}],
        "relationship": [{"coding": [{"system": "https://sanyi.example/fhir/CodeSystem/guardianship", "code": "parent"}]}]}}
    told = json.loads(bundle(1, sample="child"))
    told["entry"].append(guardian)
    assert intake.receive(city, HOSPITAL, json.dumps(told, ensure_ascii=False).encode()).status == 201
    (file,) = traffic.export(city, HOSPITAL, tmp_path / "out").files
    assert "示范监护人戊" not in file.read_text(encoding="utf-8")
    assert "37010219900520994X" not in file.read_text(encoding="utf-8")


def test_somebody_hidden_in_base64_or_in_escapes_is_not_let_out() -> None:
    resource = {"entry": [{"resource": {"resourceType": "Patient", "name": [{"text": "示范患者甲"}]}}]}
    people = People(CIPHER.lookup, 0)
    hidden = base64.b64encode("处方笺：示范患者甲，男，六十八岁，门诊".encode())
    assert people.replaced(b'{"paper": "' + hidden + b'"}', resource) is None
    wide = "<a>{}</a>".format("".join(f"&#{ord(one)};" for one in "示范患者甲")).encode()
    assert people.replaced(wide, resource) == f"<a>{people.name('示范患者甲')}</a>".encode()
    escaped = people.replaced(json.dumps({"n": "示范患者甲"}).encode(), resource)
    assert escaped is not None
    assert json.loads(escaped)["n"] == people.name("示范患者甲")


@given(st.dates(date(1930, 1, 1), date(2025, 12, 31)), st.integers(0, 999), st.integers(-4000, 300))
def test_an_invented_id_number_is_as_right_as_the_real_one(born: date, sequence: int, days: int) -> None:
    body = f"370102{born:%Y%m%d}{sequence:03d}"
    people = People(CIPHER.lookup, days)
    right = body + traffic._check_digit(body)
    found = people.id_number(right)
    assert re.fullmatch(r"370100\d{11}[\dX]", found)
    assert traffic._check_digit(found[:17]) == found[17]
    assert int(found[16]) % 2 == sequence % 2
    wrong = body + ("0" if right[17] != "0" else "1")
    other = people.id_number(wrong)
    assert traffic._check_digit(other[:17]) != other[17]


# Shapes.


def _send(city: City, first: int, last: int, **more: str) -> None:
    for number in range(first, last):
        told = json.loads(bundle(number))
        told["entry"][0]["resource"].update(more)
        intake.receive(city, HOSPITAL, json.dumps(told, ensure_ascii=False).encode())
        city.now.advance(seconds=1)  # type: ignore[attr-defined]


def watch(city: City) -> list[traffic.Drift]:
    return traffic.watch_shapes(city, recent=6, earlier=8, fewest=4)


def test_a_new_element_in_many_messages_is_told_once(city: City) -> None:
    _send(city, 1, 9)
    assert watch(city) == []
    _send(city, 9, 15, maritalText="x")
    [drift] = watch(city)
    assert drift.new == ("Patient.maritalText",)
    watch(city)
    with city.db.reading() as session:
        notice = NoticeRow
        rows = session.execute(sa.select(notice.kind, notice.partner, notice.subject, notice.detail)).all()
        assert session.scalars(sa.select(DiscrepancyRow)).all() == []
        (concern,) = [shown for shown in views.board(session, city.now(), city.policy).concerns
                      if shown.kind == "notice:message_shape"]
    assert [tuple(row) for row in rows] == [("message_shape", HOSPITAL, "Patient.maritalText", "new")]
    assert [example.note for example in concern.examples] == [f"{HOSPITAL} Patient.maritalText: 新出现 new"]


def test_an_element_that_everybody_sent_and_nobody_sends_any_more_is_told(city: City) -> None:
    _send(city, 1, 9, language="zh")
    _send(city, 9, 15)
    [drift] = watch(city)
    assert drift.gone == ("Patient.language",)


def test_one_odd_message_is_no_new_version(city: City) -> None:
    _send(city, 1, 14)
    _send(city, 14, 15, maritalText="x")
    assert watch(city) == []


def test_too_few_messages_say_nothing(city: City) -> None:
    _send(city, 1, 8, language="zh")
    assert traffic.drift_of(city, HOSPITAL, 6, 8, 4) is None

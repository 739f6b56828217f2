"""FHIR in JSON and XML is the same message; answers go out in what it came in; and any bytes get an answer."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.operationoutcome import OperationOutcome
from fhir.resources.R4B.task import Task
from hypothesis import given
from hypothesis import strategies as st

from adapters.dialects import fhir_r4
from adapters.mapping import CodeMap
from adapters.messages import Message, Outcome, Verdict
from domain.errors import InvalidPayload
from domain.findings import Finding, Spot
from fhir_profiles.checker import check_data
from tasks.intake import check
from tests.support.effort import steps
from tests.support.fhir_messages import (
    HOSPITAL,
    ITEM,
    PATIENT,
    SAMPLE,
    SAMPLES,
    Json,
    cancel,
    changed,
    child,
    home_delivery,
    long_term,
    raw,
)

MODELS = {"Bundle": Bundle, "Task": Task}
NOW = datetime(2026, 11, 22, 1, tzinfo=UTC)


def as_xml(data: Json) -> bytes:
    return fhir_r4.to_xml(data)


def refused(message: bytes) -> list[str]:
    with pytest.raises(InvalidPayload) as caught:
        fhir_r4.to_fhir(message)
    assert all(finding.spot and finding.spot.line for finding in caught.value.findings)
    return [finding.code for finding in caught.value.findings]


@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("*.json")), ids=lambda path: path.stem)
def test_a_message_in_xml_is_the_message_in_json(sample: Path):
    message = fhir_r4.to_fhir(sample.read_bytes())
    in_xml = fhir_r4.to_fhir(as_xml(message.resource))
    assert in_xml.resource == message.resource
    assert repr(sorted(str(in_xml.resource))) == repr(sorted(str(message.resource)))  # 7 stays 7, and 36.6749 exact
    assert in_xml.key == message.key
    assert check_data(in_xml.resource, HOSPITAL) == []


@pytest.mark.parametrize(("message", "key"), [
    (long_term(), "M0001"),
    (cancel(), "C0001"),
    (changed(long_term(), (("entry",), "gone")), "M0001"),
    (changed(long_term(), (("identifier", "value"), "../M1")), None),
    (changed(long_term(), (("identifier",), 5)), None),
    (changed(cancel(), (("identifier",), [])), None),
])
def test_the_key_of_a_message_is_found_even_if_the_rest_is_wrong(message: Json, key: str | None):
    assert fhir_r4.message_key(message) == key


@pytest.mark.parametrize("build", SAMPLE.values(), ids=SAMPLE)
def test_xml_written_by_another_implementation_is_read_the_same(build):
    data = build()
    theirs = MODELS[data["resourceType"]].model_validate(data).model_dump_xml()
    assert json.loads(json.dumps(fhir_r4.to_fhir(theirs).resource, default=float)) == json.loads(raw(data))


@pytest.mark.parametrize("build", SAMPLE.values(), ids=SAMPLE)
def test_xml_written_by_us_is_read_by_another_implementation(build):
    data = build()
    theirs = MODELS[data["resourceType"]].model_validate_xml(as_xml(data))
    assert theirs == MODELS[data["resourceType"]].model_validate(data)


def test_what_is_said_about_a_simple_element_survives_both_ways():
    data = changed(long_term(), ((*PATIENT, "_birthDate"), {"id": "b", "extension": [
        {"url": "http://elsewhere.example/t", "valueDateTime": "1958-03-02T08:00:00+08:00"}]}),
        ((*PATIENT, "name"), [{"text": "示范", "given": ["a", None, "c"], "_given": [None, {"id": "g"}, None]}]),
        ((*PATIENT, "contained"), [{"resourceType": "Organization", "id": "o", "name": "x"}]),
        ((*PATIENT, "text"), {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml"><p>字</p></div>'}))
    assert fhir_r4.to_fhir(as_xml(data)).resource == fhir_r4.to_fhir(raw(data)).resource


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "gb18030"])
def test_prefixes_comments_and_encodings_make_no_difference(codec: str):
    text = as_xml(long_term()).decode().replace("UTF-8", codec.removesuffix("-sig"))
    text = re.sub(r"<(/?)(\w)", r"<\1f:\2", text).replace("xmlns=", "xmlns:f=").replace("<f:entry>", "<!-- <x> --><f:entry><?x?>")
    assert fhir_r4.to_fhir(text.encode(codec)).resource == fhir_r4.to_fhir(raw(long_term())).resource


@pytest.mark.parametrize(("old", "new"), [
    ("hl7.org/fhir\"", "hl7.org/v3\""), ("<identifier>", "<identifier>x"), ("<type ", '<type lang="zh" '),
    ("<gender", '<gender xmlns="urn:x"'), ("</Patient>", "</Patient><Patient/>")])
def test_xml_that_is_not_fhirs_is_refused_where_it_is_not(old: str, new: str):
    message = fhir_r4.to_fhir(as_xml(long_term()).decode().replace(old, new, 1).encode())
    assert {finding.code for finding in message.findings} == {"XML_NAMESPACE"}
    assert all(finding.spot and finding.spot.line for finding in message.findings)


def test_what_is_wrong_with_the_xml_and_with_what_it_says_is_said_at_once():
    sent = as_xml(changed(long_term(), ((*PATIENT, "gender"), "x"))).replace(b"<type ", b'<type lang="zh" ', 1)
    message = fhir_r4.to_fhir(sent)
    assert [finding.code for finding in message.findings] == ["XML_NAMESPACE"]
    assert [finding.code for finding in check_data(message.resource, HOSPITAL)] == ["GENDER"]
    assert fhir_r4.patched(sent, HOSPITAL) is None


def test_an_element_nobody_knows_is_for_the_checker_to_name():
    message = fhir_r4.to_fhir(as_xml(changed(long_term(), ((*PATIENT, "nickname"), "x"))))
    (finding,) = check_data(message.resource, HOSPITAL)
    assert (finding.code, finding.path) == ("STRUCTURE_UNKNOWN", "Bundle.entry[0].resource.nickname")
    assert message.locate(finding.path).name == "/Bundle/entry[1]/resource/Patient/nickname"


@pytest.mark.parametrize("write", [raw, as_xml], ids=["json", "xml"])
def test_a_finding_is_located_in_the_file_as_sent(write):
    sent = write(changed(home_delivery(), (("entry", 7, "resource", "dispenseRequest", "quantity", "value"), -1)))
    message = fhir_r4.to_fhir(sent)
    (path,) = {finding.path for finding in check_data(message.resource, HOSPITAL) if "quantity" in finding.path}
    spot = message.locate(path)
    lines = sent.decode().splitlines()
    assert re.match(r'"value": -1|<value value="-1"', lines[spot.line - 1][spot.column - 1:])
    assert sent[spot.offset:].startswith((b'"value": -1', b'<value value="-1"'))


def verdict(outcome: Outcome, **more) -> Verdict:
    return Verdict(outcome, NOW, HOSPITAL, external_id="RX0001", **more)


def test_an_answer_comes_in_the_format_of_the_message():
    for message, media, model in (
            (raw(long_term()), "application/fhir+json", Task.model_validate_json),
            (as_xml(long_term()), "application/fhir+xml", Task.model_validate_xml)):
        reply = fhir_r4.answer(fhir_r4.to_fhir(message), verdict(Outcome.ACCEPTED, prescription_id="rx_1", status="received"))
        assert (reply.status, reply.media) == (201, media)
        assert model(reply.body).focus.identifier.value == "RX0001"


@pytest.mark.parametrize(("message", "status", "media"), [
    (b"{", 400, "json"), (b"<a>", 400, "xml"), (b" " * 20_000_001, 413, "json"), (b"\xff{}", 422, "json"),
    (b"<!DOCTYPE a><a/>", 422, "xml"), (b" " * 2_000_000, 422, "json")])
def test_what_is_no_message_is_answered_too(message: bytes, status: int, media: str):
    with pytest.raises(InvalidPayload) as caught:
        fhir_r4.to_fhir(message)
    reply = fhir_r4.answer(None, verdict(Outcome.REFUSED, findings=caught.value.findings))
    assert (reply.status, reply.media) == (status, f"application/fhir+{media}")


@pytest.mark.parametrize("write", [raw, as_xml], ids=["json", "xml"])
def test_a_refusal_says_where_a_file_put_right_is_offered(write):
    sent = write(changed(long_term(), ((*PATIENT, "gender"), "Male")))
    message = fhir_r4.to_fhir(sent)
    reply = fhir_r4.answer(message, verdict(Outcome.REFUSED, findings=check_data(message.resource, HOSPITAL)))
    data = json.loads(reply.body) if write is raw else OperationOutcome.model_validate_xml(reply.body).model_dump()
    address, change, key = data["extension"][0]["extension"]
    assert address["valueUri"] == "requests/M0001/patched"
    assert change["valueString"].startswith("Bundle.entry[0].resource.gender: ")
    assert key["valueString"].startswith("Bundle.identifier.value: ")
    twin = fhir_r4.patched(sent, HOSPITAL)
    assert twin.media == f"application/fhir+{'json' if write is raw else 'xml'}"
    as_it_should_be = changed(long_term(), (("identifier", "value"), "M0001-p"))  # M0001 is the refused one's for ever
    assert fhir_r4.to_fhir(twin.body).resource == fhir_r4.to_fhir(raw(as_it_should_be)).resource


def crowded(extensions: int, faults: int) -> Json:
    """A message with this many extensions in its patient, and this many faults there and in the whole of it."""
    return changed(long_term(), ((*PATIENT, "gender"), "Male"), *(((f"x-{n}",), "1") for n in range(faults)),
                   ((*PATIENT, "extension"), [{"url": f"urn:x:{n}", "valueString": "a"} for n in range(extensions)]),
                   ((*PATIENT, "telecom"), [{"system": "nope", "value": "1"}] * faults))


@pytest.mark.parametrize("write", [raw, as_xml], ids=["json", "xml"])
@pytest.mark.parametrize(("extensions", "faults"), [(2000, 100), (1500, 1), (400, 12), (0, 500)])
def test_a_refusal_of_a_large_or_very_wrong_message_is_no_more_work_than_of_another(write, extensions: int, faults: int):
    def work(crowd: Json) -> int:
        message = fhir_r4.to_fhir(write(crowd))
        refused = verdict(Outcome.REFUSED, findings=check_data(message.resource, HOSPITAL))
        return steps(lambda: fhir_r4.answer(message, refused))

    assert work(crowded(extensions, faults)) < 1.5 * work(crowded(200, 12))


def test_the_elements_of_an_xml_message_are_found_once_for_all_its_findings():
    message = fhir_r4.to_fhir(as_xml(changed(crowded(800, 0), ((*PATIENT, "telecom"), [{"system": "nope", "value": "1"}] * 100))))
    findings = check_data(message.resource, HOSPITAL)
    assert len({finding.path for finding in findings}) > 100
    first = steps(lambda: message.locate(findings[0].path))
    assert steps(lambda: [message.locate(finding.path) for finding in findings]) < 10 * first
    assert all(message.locate(finding.path) for finding in findings)


_SIMPLE = re.compile(r'"([A-Za-z]+)": ("(?:[^"\\]|\\.)*"|[\d.]+|true|false)')


def checked(message: bytes) -> list[str]:
    """Everything that is said of a message that can be read."""
    return [finding.code for finding in check(fhir_r4.to_fhir(message), HOSPITAL)]


@pytest.mark.parametrize(("spoilt", "code"), [
    ('"{name}": NaN', "JSON_NOT_FINITE"), ('"{name}": 1e99', "JSON_NUMBER_TOO_LONG"), ('"{name}": "\\ud800"', "JSON_CHARACTER"),
    ("{whole}, {whole}", "JSON_DUPLICATE_KEY"), ('"{name}": 7, {whole}', "JSON_DUPLICATE_KEY")], ids=range(5))
@pytest.mark.parametrize("build", [long_term, home_delivery, child])
def test_what_json_alone_makes_useless_is_said_once_and_nothing_that_follows_from_it(build, spoilt: str, code: str):
    text = raw(build()).decode()
    places = [one for one in _SIMPLE.finditer(text) if one[1] != "resourceType"]
    assert len(places) > 90
    for one in places:
        there = spoilt.replace("{name}", one[1]).replace("{whole}", one[0])
        assert checked((text[:one.start()] + there + text[one.end():]).encode()) == [code], one[0]


def test_what_is_no_good_json_is_said_with_everything_else_that_is_wrong():
    text = raw(changed(long_term(), ((*PATIENT, "gender"), "female"), ((*ITEM, "status"), "draft"))).decode()
    name = json.loads(text)["entry"][0]["resource"]["name"][0]["text"]
    text = text.replace('"value": 60', '"value": NaN').replace(f'"{name}"', '"\\u0000"').replace('"value": 500', '"value": 5e77')
    text = text.replace('"type": "collection"', '"type": "collection", "type": "batch"')
    assert sorted(checked(text.encode())) == [
        "GENDER_MISMATCH", "ITEM_STATUS", "JSON_CHARACTER", "JSON_DUPLICATE_KEY", "JSON_NOT_FINITE", "JSON_NUMBER_TOO_LONG"]


def test_of_two_objects_under_one_key_the_first_is_looked_at():
    text = raw(long_term()).decode()
    patient = json.dumps(json.loads(text)["entry"][0]["resource"], ensure_ascii=False)
    assert patient in text
    other = patient.replace('"male"', '"female"')
    assert checked(text.replace(patient, f'{patient}, "resource": {other}').encode()) == ["JSON_DUPLICATE_KEY"]
    assert checked(text.replace(patient, f'{other}, "resource": {patient}').encode()) == ["JSON_DUPLICATE_KEY", "GENDER_MISMATCH"]


def test_a_key_twice_with_one_value_is_offered_put_right_and_its_cure_is_taken():
    text = raw(long_term()).decode().replace('"type": "collection"', '"type": "collection", "type": "collection"')
    message = fhir_r4.to_fhir(text.encode())
    reply = fhir_r4.answer(message, verdict(Outcome.REFUSED, findings=check(message, HOSPITAL)))
    assert reply.status == 422
    assert b"patched-message" in reply.body
    twin = fhir_r4.patched(text.encode(), HOSPITAL)
    assert twin is not None
    assert checked(twin.body) == []


def test_what_needs_a_person_is_not_offered_put_right():
    for change in (((*PATIENT, "identifier", 0, "value"), "370102195803029911"),
                   ((*ITEM, "dispenseRequest", "quantity", "value"), -1)):
        sent = raw(changed(long_term(), change, ((*PATIENT, "gender"), "Male")))
        assert fhir_r4.patched(sent, HOSPITAL) is None
        message = fhir_r4.to_fhir(sent)
        answer = fhir_r4.answer(message, verdict(Outcome.REFUSED, findings=check_data(message.resource, HOSPITAL)))
        assert "extension" not in json.loads(answer.body)


def test_a_hospital_with_codes_of_its_own_has_them_mapped_and_the_unknown_ones_listed():
    tables = CodeMap({"drug": {"WD77": "D001"}, "frequency": {"two": "bid"}})
    coding = (*ITEM, "medicationCodeableConcept", "coding", 0, "code")
    message = fhir_r4.to_fhir(raw(changed(long_term(), (coding, "WD77"))), tables)
    assert message.resource["entry"][6]["resource"]["medicationCodeableConcept"]["coding"][0]["code"] == "D001"
    (unmapped,) = message.unmapped
    assert (unmapped.table, unmapped.theirs) == ("frequency", "bid")
    assert unmapped.spot.line
    assert fhir_r4.to_fhir(raw(long_term()), CodeMap()).unmapped == ()


NAMES = st.sampled_from(["resourceType", "entry", "resource", "extension", "url", "identifier", "value", "id"])
NONSENSE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.sampled_from(["Bundle", "Patient"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=3), inner, max_size=4), max_leaves=20)


def said(message: bytes) -> tuple[Message | None, list[tuple[Finding, Spot | None]]]:
    """The message, if it is one, and every finding with its place."""
    try:
        read = fhir_r4.to_fhir(message)
    except InvalidPayload as refusal:
        return None, [(one, one.spot) for one in refusal.findings]
    return read, [(one, read.locate(one.path)) for one in check_data(read.resource, HOSPITAL)]


def answered(message: bytes) -> None:
    read, findings = said(message)
    assert findings
    assert all(spot is not None and spot.line and spot.column for _, spot in findings)
    reply = fhir_r4.answer(read, verdict(Outcome.REFUSED, findings=[one for one, _ in findings]))
    assert reply.status >= 400
    assert reply.body
    fhir_r4.patched(message, HOSPITAL)


@given(st.binary() | st.text(alphabet='{}[]",:<>/="\\ 中\0ufea1').map(lambda text: text.encode()))
def test_any_bytes_get_an_answer(message: bytes):
    answered(message)


@given(st.sampled_from(["Bundle", "Task"]), st.dictionaries(st.sampled_from(["entry", "identifier", "code", "type"]), NONSENSE))
def test_any_json_gets_an_answer(kind: str, body: Json):
    answered(json.dumps({**body, "resourceType": kind}).encode())


@given(st.data())
def test_a_damaged_message_gets_an_answer(data):
    for whole in (raw(long_term()), as_xml(long_term())):
        start = data.draw(st.integers(0, len(whole) - 1))
        damaged = whole[:start] + data.draw(st.binary(max_size=8)) + whole[start + data.draw(st.integers(1, 40)):]
        _, findings = said(damaged)
        assert all(spot is not None and spot.line and spot.column for _, spot in findings)
        fhir_r4.patched(damaged, HOSPITAL)

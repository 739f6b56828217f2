"""What hospitals send that is easily passed over or costly: kept, or refused at its own place and in its own format."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from adapters.dialects import fhir_r4
from adapters.messages import Outcome, Verdict
from domain.errors import InvalidPayload
from fhir_profiles.checker import check_data
from fhir_profiles.message import MAX_FINDINGS
from fhir_profiles.reader import read_bundle_data
from tests.support.effort import growth
from tests.support.fhir_messages import ADDRESS, ISSUED, long_term, raw

CASES = Path(__file__).parent / "fhir_cases"
HOSPITAL = "jinan_first"
BIG = 900_000
"""Bytes; just what the door takes."""


def findings(source: bytes):
    try:
        message = fhir_r4.to_fhir(source)
    except InvalidPayload as invalid:
        return list(invalid.findings)
    return [*message.findings, *(replace(finding, spot=message.locate(finding.path))
                                 for finding in check_data(message.resource, HOSPITAL))]


def case(name: str) -> bytes:
    return (CASES / name).read_bytes()


@pytest.mark.parametrize(("name", "code", "place"), [
    ("01_fhir_rate.json", "ELEMENT_NOT_READ", "dosageInstruction[0].doseAndRate[0].rate"),
    ("02_fhir_site_method_instruction.json", "TEXT_DISAGREES", "dosageInstruction[0].site.text"),
    ("08_fhir_as_needed_wrong_rule.json", "AS_NEEDED", "dosageInstruction[0].asNeeded"),
    ("directions_contradict_codes.json", "TEXT_DISAGREES", "dosageInstruction[0].text"),
    ("dose_unit_mg_code_g.json", "UNIT_DISAGREES", "dosageInstruction[0].doseAndRate[0].dose.code"),
    ("name_of_54_characters.json", "TEXT_TOO_LONG", "name[0].text"),
    ("name_with_replacement_character.json", "TEXT_DAMAGED", "name[0].text"),
])
def test_what_is_not_read_or_contradicts_itself_is_one_finding_at_its_own_place(name, code, place):
    (finding,) = findings(case(name))
    assert (finding.code, finding.path.partition(".resource.")[2]) == (code, place)
    assert finding.spot is not None
    assert finding.cure


def test_a_prescriber_who_forbids_another_product_is_heard():
    assert findings(case("substitution_forbidden.json")) == []
    message = fhir_r4.to_fhir(case("substitution_forbidden.json"))
    prescription = read_bundle_data(message.resource, HOSPITAL, lambda _: "pt_1").prescription
    assert [item.may_substitute for item in prescription.items] == [False]


def test_an_allergy_at_an_address_that_is_nearly_ours_is_not_lost():
    found = findings(case("06_fhir_allergy_url_http.json"))
    assert [finding.code for finding in found] == ["EXTENSION_UNKNOWN", "EXTENSION_UNKNOWN"]


def test_the_current_address_is_used():
    message = fhir_r4.to_fhir(case("address_old_first.json"))
    assert check_data(message.resource, HOSPITAL) == []
    assert read_bundle_data(message.resource, HOSPITAL, lambda _: "pt_1").patient.address == ADDRESS


def test_a_note_is_kept():
    message = fhir_r4.to_fhir(case("note_stop_if.json"))
    assert check_data(message.resource, HOSPITAL) == []
    assert read_bundle_data(message.resource, HOSPITAL, lambda _: "pt_1").prescription.items[0].note == "收缩压低于90停用"


@pytest.mark.parametrize("name", ["09_fhir_1000_links.xml", "10_fhir_parameters.xml"])
def test_what_comes_in_xml_is_refused_in_xml(name):
    refused = Verdict(Outcome.REFUSED, datetime.fromisoformat(ISSUED), HOSPITAL, findings=findings(case(name)))
    try:
        message = fhir_r4.to_fhir(case(name))
    except InvalidPayload:
        message = None
    reply = fhir_r4.answer(message, refused)
    assert (reply.media, reply.body[:5]) == ("application/fhir+xml", b"<?xml")
    assert 0 < len(refused.findings) <= MAX_FINDINGS + 1


def xml_of(inner: str) -> bytes:
    return f'<Bundle xmlns="http://hl7.org/fhir">{inner}</Bundle>'.encode()


COSTLY = {
    "links": lambda n: xml_of('<link><relation value="a"/></link>' * (n // 35)),
    "extensions": lambda n: xml_of('<extension url="x"/>' * (n // 20)),
    "foreign elements": lambda n: xml_of('<x xmlns="urn:x"/>' * (n // 18)),
    "primitive extensions": lambda n: raw(long_term() | {"_type": {"extension": [{"url": "x"}] * (n // 14 // 10)}}),
    "odd elements": lambda n: raw(long_term() | {f"x{one}": 1 for one in range(n // 12)}),
    "a long name": lambda n: raw(long_term()).replace("示范患者甲".encode(), b"a" * n),
    "many names": lambda n: raw(long_term()).replace(
        b'[{"text": "', b"[" + b'{"text": "a"},' * (n // 14 // 10) + b'{"text": "'),
    "lines": lambda n: raw(long_term()).replace(b'"status"', b"\n" * n + b'"status"'),
    "codings": lambda n: raw(long_term()).replace(b'"coding": [', b'"coding": [' + b'{"system":"urn:x"},' * (n // 19 // 20)),
}


@pytest.mark.parametrize("kind", COSTLY)
def test_a_refusal_is_bounded_and_costs_in_proportion_to_the_message(kind):
    for size in (BIG // 16, BIG):
        assert len(findings(COSTLY[kind](size))) <= MAX_FINDINGS + fhir_r4.MAX_ODD + 1
    assert growth(findings, COSTLY[kind](BIG // 32), COSTLY[kind](BIG // 16)) < 2.5

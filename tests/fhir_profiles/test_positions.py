"""An element of a message is found in the file as it was sent, whatever the file looks like."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.findings import Spot
from fhir_profiles.message import Report, fhirpath, parse
from fhir_profiles.positions import json_positions
from tests.support.effort import growth
from tests.support.fhir_messages import BASE, ITEM, PATIENT, SAMPLE, changed, home_delivery, long_term, raw, url

HANDOVER = f"{BASE}/StructureDefinition/handover"


def elements(node: Any, names: tuple[str | int, ...] = ()) -> Iterator[tuple[str, str, Any]]:
    """Path, name and value of every member of a message."""
    if isinstance(node, dict):
        for name, value in node.items():
            if not isinstance(value, list):
                yield fhirpath("Bundle", (*names, name)), name, value
            yield from elements(value, (*names, name))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from elements(value, (*names, index))


@pytest.mark.parametrize("build", SAMPLE.values(), ids=SAMPLE)
@pytest.mark.parametrize("indent", [None, 1, "\t"])
def test_every_element_of_every_sample_is_found_by_line_column_and_byte(build, indent):
    data = build()
    sent = json.dumps(data, ensure_ascii=False, indent=indent).encode()
    locate, lines = json_positions(sent), sent.decode().splitlines()
    for path, name, value in elements(data):
        spot = locate(path)
        wanted = f'"{name}": ' + (json.dumps(value, ensure_ascii=False) if not isinstance(value, dict) else "{")
        assert lines[spot.line - 1][spot.column - 1:].startswith(wanted)
        assert sent[spot.offset:].decode().startswith(wanted)


@pytest.mark.parametrize(("path", "wanted"), [
    ("Bundle.entry.resource.ofType(Coverage)", '"resource": {"resourceType": "Coverage"'),
    (f"Bundle.entry[6].resource.extension('{HANDOVER}')", f'{{"url": "{HANDOVER}"'),
    ("Bundle.entry[6].resource.medication", '"medicationCodeableConcept"'),
    ("Bundle.entry[6].resource.dosageInstruction[0].doseAndRate[0].dose.value", '"value": 5'),
    ("Bundle.entry[7].resource.dosageInstruction", '{"timing"'),
    ("Bundle.entry[0].resource.extension[1].value", '"valueCode": "AL03"'),
])
def test_the_paths_of_findings_lead_somewhere(path, wanted):
    sent = raw(home_delivery())
    assert sent[json_positions(sent)(path).offset:].decode().startswith(wanted)


@pytest.mark.parametrize(("path", "around"), [
    ("Bundle.entry[0].resource.maritalStatus.coding[0]", '"resource": {"resourceType": "Patient"'),
    ("Bundle.entry[99].resource", "{"),
    ("Bundle.entry[6].resource.dispenseRequest.quantity.code", '"quantity": {'),
    ("Bundle.entry.resource.ofType(Device)", '"resource": {"resourceType": "Patient"'),
])
def test_what_is_missing_is_shown_where_it_should_be(path, around):
    sent = raw(long_term())
    assert sent[json_positions(sent)(path).offset:].decode().startswith(around)


def test_one_resource_too_many_is_the_last_one():
    sent = raw(changed(long_term(), (("entry", 7), {"fullUrl": url(9), "resource": {"resourceType": "Patient", "id": "second"}})))
    assert sent[json_positions(sent)("Bundle.entry.resource.ofType(Patient)").offset:].decode().endswith('"second"}}]}')


@pytest.mark.parametrize(("message", "code", "spot"), [
    (b"", "MSG_NOT_JSON", Spot("", 1, 1, 0)),
    ("{\n \"甲\": 1,\n}".encode(), "MSG_NOT_JSON", Spot("", 3, 1, 13)),
    ('{"甲": "'.encode() + "乙".encode("gb18030") + b'"}', "MSG_NOT_UTF8", Spot("", 1, 8, 9)),
    (b"\xef\xbb\xbf{}", "MSG_NOT_UTF8", Spot("", 1, 1, 0)),
    (b'{"a":\n' + b"[" * 60 + b"]" * 60 + b"}", "MSG_TOO_DEEP", Spot("", 2, 40, 45)),
    (b" " * (1 << 20) + b"{}", "PRESCRIPTION_TOO_LARGE", Spot("", 1, 1, 0)),
    (b" " * 20_000_001, "MSG_TOO_LARGE", Spot("", 1, 1, 0)),
])
def test_bytes_that_are_no_message_are_wrong_at_a_place(message, code, spot):
    report = Report()
    assert parse(message, "", report) is None
    assert [(finding.code, finding.spot) for finding in report.findings] == [(code, spot)]


@pytest.mark.parametrize(("head", "piece"), [
    (b'"', b'\\"'), (b"", b"["), (b"", b'"'), (b"", b'{"a":'), (b"", b"[1,"), (b'{"resourceType":"Bundle","x":[', b"1,"),
], ids=range(6))
def test_nonsense_costs_no_more_than_its_length(head, piece):
    def read(message):
        report = Report()
        assert (parse(message, "", report) is None) == bool(report.findings)
        assert json_positions(message)("Bundle.x").line == 1

    assert growth(read, head + piece * 5_000, head + piece * 10_000) < 2.5
    assert parse((head + piece * 1_000_000)[:1_000_000], "", Report()) is None
    assert parse(head + piece * (20_000_000 // len(piece)), "", Report()) is None


@given(st.text(alphabet='{}[]",:\\ 1a中\n') | st.text(),
       st.sampled_from(["Bundle", "Bundle.a", "Bundle.a[1].b", "", "x('y", "Bundle..a"]))
def test_any_text_has_a_place_for_any_path(text, path):
    spot = json_positions(text.encode("utf-8", "replace"))(path)
    assert spot.line >= 1
    assert spot.column >= 1


def test_the_same_key_twice_is_shown_at_a_key():
    sent = raw(changed(long_term(), ((*PATIENT, "active"), True), ((*ITEM, "note"), []))).replace(
        b'"active": true', b'"active": true, "active": false')
    report = Report()
    assert parse(sent, "Bundle", report) is not None
    (finding,) = report.findings
    assert sent[json_positions(sent)(finding.path).offset:].startswith(b'"active": ')

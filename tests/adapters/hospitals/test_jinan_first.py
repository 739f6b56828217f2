"""The demo hospital: its samples keep (or break) the contract, and it hears what we report."""

import json
import tomllib
from pathlib import Path

import pytest

from adapters.hospitals.jinan_first.adapter import Adapter
from adapters.registry import HospitalManifest, manifest
from domain.errors import InvalidPayload, NeedsOperator, Transient
from fhir_profiles import reports
from infra.http import Request, Response
from tests.support.fhir_door import check_bundle, read_bundle, read_cancel

SLUG = "jinan_first"
SAMPLES = Path(__file__).parents[3] / "adapters" / "hospitals" / SLUG / "samples"
INVALID = tomllib.loads((SAMPLES / "invalid" / "index.toml").read_text(encoding="utf-8"))


class Line:
    """A hospital that answers as told, and remembers what it was sent."""

    def __init__(self, *answers: Response | Exception) -> None:
        self.answers = list(answers)
        self.sent: list[Request] = []

    async def send(self, request: Request) -> Response:
        self.sent.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def adapter(line: Line) -> Adapter:
    return Adapter(manifest("hospitals", SLUG), line, {"report_token": "t0ken"})


@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("*.json")), ids=lambda path: path.stem)
def test_every_sample_is_read(sample: Path):
    raw = sample.read_bytes()
    if json.loads(raw)["resourceType"] == "Task":
        assert read_cancel(raw, SLUG).external_id
    else:
        assert read_bundle(raw, SLUG, lambda _: "pt_1").prescription.items


@pytest.mark.parametrize(("name", "code"), INVALID.items())
def test_every_invalid_sample_fails_for_its_own_reason(name: str, code: str):
    raw = (SAMPLES / "invalid" / name).read_bytes()
    assert code in [finding.code for finding in check_bundle(raw, SLUG)]
    with pytest.raises(InvalidPayload):
        read_bundle(raw, SLUG, lambda _: "pt_1")


def test_every_invalid_sample_is_in_the_index():
    assert {path.name for path in (SAMPLES / "invalid").glob("*.json")} == set(INVALID)


REPORT = (b'{"key":"rpt_1","prescription":"RX0001","id":"rx_1","status":"in_review","reason":"",'
          b'"at":"2026-11-22T01:00:00+00:00"}')


async def test_a_report_goes_out_in_fhir_once_per_key_as_often_as_needed():
    line = Line(Response(204), Response(204))
    for _ in range(2):
        await adapter(line).report("rpt_1", REPORT)
    request = line.sent[0]
    assert line.sent[1] == request
    assert (request.method, request.path, request.body) == ("POST", "/reports", reports.report(SLUG, json.loads(REPORT)))
    assert request.headers["content-type"] == "application/fhir+json"
    assert request.headers["authorization"] == "Bearer t0ken"
    assert request.headers["sanyi-key"] == "rpt_1"
    assert request.repeatable


async def test_a_report_the_hospital_does_not_take_waits_for_a_person():
    with pytest.raises(NeedsOperator, match="HTTP 422"):
        await adapter(Line(Response(422, b"no"))).report("rpt_1", REPORT)


async def test_a_hospital_that_is_away_is_not_the_operators_business():
    with pytest.raises(Transient):
        await adapter(Line(Transient("away"))).report("rpt_1", REPORT)


def test_a_manifest_without_a_report_address_is_found_at_once():
    facts = HospitalManifest(slug="x", name="x", name_en="x", owner="x", dialect="fhir-r4-push")
    with pytest.raises(NeedsOperator, match="report_path"):
        Adapter(facts, Line(), {"report_token": "t0ken"})

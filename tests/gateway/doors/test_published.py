"""What we publish passes our own door: every example of a message is taken, every example of a mistake is refused for it."""

import json
import tomllib
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from adapters.dialects import fhir_r4
from fhir_profiles.definitions import GENERATED
from fhir_profiles.structure import faults
from infra.db import prescriptions
from tasks.city import City
from tests.support.city import HOSPITAL, SAMPLES

EXAMPLES = {path.stem: path for path in sorted(GENERATED.glob("*-example-*.json"))}
REPORTS = {name for name in EXAMPLES if name.startswith("Bundle-example-report-")}
PRESCRIPTIONS = sorted(name for name in EXAMPLES if name.startswith("Bundle-") and name not in REPORTS)
OURS = sorted(EXAMPLES.keys() - {*PRESCRIPTIONS, "Task-example-cancel"})
"""What we say, and nobody says to us."""
MISTAKES = tomllib.loads((SAMPLES / "invalid" / "index.toml").read_text(encoding="utf-8"))
JSON, XML = "application/fhir+json", "application/fhir+xml"


def example(name: str, media: str = JSON) -> bytes:
    """An example as this hospital would send it: the published ones are those of a hospital `demo`."""
    raw = EXAMPLES[name].read_bytes().replace(b"urn:demo:", f"urn:{HOSPITAL}:".encode())
    return raw if media == JSON else fhir_r4.to_xml(json.loads(raw))


def post(client: TestClient, hospital: dict[str, str], raw: bytes, media: str = JSON, kind: str = "") -> tuple[int, dict]:
    kind = kind or ("Task" if b'"Task"' in raw[:200] or b"<Task" in raw[:200] else "Bundle")
    answer = client.post(f"/fhir/{HOSPITAL}/{kind}", content=raw, headers=hospital | {"Content-Type": media})
    assert answer.headers["content-type"].startswith(media)
    said = answer.json() if media == JSON else fhir_r4.to_fhir(answer.content).resource if b"<Task" in answer.content else {}
    return answer.status_code, said


def test_there_is_an_example_of_each_kind_of_prescription() -> None:
    assert len(PRESCRIPTIONS) >= 4
    assert len(REPORTS) >= 2


@pytest.mark.parametrize("media", [JSON, XML])
@pytest.mark.parametrize("name", PRESCRIPTIONS)
def test_a_published_prescription_is_taken_and_kept(
        city: City, client: TestClient, hospital: dict[str, str], name: str, media: str) -> None:
    status, task = post(client, hospital, example(name, media), media)
    assert (status, task["resourceType"]) == (201, "Task")
    if media == JSON:
        assert faults("status", task) == []
    rx_id = task["identifier"][0]["value"]
    sent = json.loads(example(name))
    items = [entry["resource"] for entry in sent["entry"] if entry["resource"]["resourceType"] == "MedicationRequest"]
    with city.db.reading() as session:
        kept = prescriptions.load(session, rx_id).prescription
    assert kept.external_id == items[0]["groupIdentifier"]["value"]
    assert [(one.number, one.drug) for one in kept.items] == [
        (item["identifier"][0]["value"], item["medicationCodeableConcept"]["coding"][0]["code"]) for item in items]


@pytest.mark.parametrize("media", [JSON, XML])
def test_the_published_cancel_takes_its_prescription_back(client: TestClient, hospital: dict[str, str], media: str) -> None:
    post(client, hospital, example("Bundle-example-long-term", media), media)
    status, task = post(client, hospital, example("Task-example-cancel", media), media)
    assert (status, task["businessStatus"]["coding"][0]["code"]) == (201, "cancelled")


@pytest.mark.parametrize("name", OURS)
def test_what_we_say_ourselves_is_no_message(client: TestClient, hospital: dict[str, str], name: str) -> None:
    for kind in ("Bundle", "Task"):
        status, said = post(client, hospital, example(name), kind=kind)
        assert (status, said["resourceType"]) == (422, "OperationOutcome")


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.json")), ids=lambda path: path.stem)
def test_every_sample_is_taken(client: TestClient, hospital: dict[str, str], path: Path) -> None:
    assert post(client, hospital, path.read_bytes())[0] == 201


@pytest.mark.parametrize("name", sorted(MISTAKES))
def test_every_published_mistake_is_refused_for_what_it_is(client: TestClient, hospital: dict[str, str], name: str) -> None:
    status, outcome = post(client, hospital, (SAMPLES / "invalid" / name).read_bytes())
    assert status == 422
    assert faults("findings", outcome) == []
    (issue, *_) = [issue for issue in outcome["issue"] if issue["details"]["coding"][0]["code"] == MISTAKES[name]]
    assert issue["expression"]
    assert issue["location"]
    assert issue["details"]["text"]
    assert issue["diagnostics"]

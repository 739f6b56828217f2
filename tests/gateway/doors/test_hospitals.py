"""The hospitals' door keeps contract 1."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from fhir.resources.R4B.operationoutcome import OperationOutcome
from httpx import Response
from lxml import etree

from domain.errors import Transient
from fhir_profiles.structure import faults
from gateway.app import create_app
from infra.limits import Measure
from tasks.city import City
from tests.support.city import HOSPITAL_TOKEN, SAMPLES, bundle, cancel, make_settings, rxno

BUNDLE, TASK = "/fhir/jinan_first/Bundle", "/fhir/jinan_first/Task"
HEADERS = {"Authorization": f"Bearer {HOSPITAL_TOKEN}"}


def codes_of(body: bytes) -> list[str]:
    return [issue["details"]["coding"][0]["code"] for issue in json.loads(body)["issue"]]


def status_of(body: bytes) -> str:
    return str(json.loads(body)["businessStatus"]["coding"][0]["code"])


def test_a_prescription_is_answered_with_a_task_that_names_our_id(client: TestClient) -> None:
    answer = client.post(BUNDLE, content=bundle(1), headers=HEADERS)

    assert answer.status_code == 201
    assert answer.headers["content-type"].startswith("application/fhir+json")
    assert answer.json()["identifier"][0]["value"].startswith("rx_")
    assert status_of(answer.content) == "received"
    assert "sanyi-replayed" not in answer.headers


def test_the_same_message_again_gives_the_same_bytes(client: TestClient) -> None:
    first = client.post(BUNDLE, content=bundle(1), headers=HEADERS)
    again = client.post(BUNDLE, content=bundle(1), headers=HEADERS)
    asked = client.get("/fhir/jinan_first/requests/M0001", headers=HEADERS)

    assert first.content == again.content == asked.content
    assert again.status_code == asked.status_code == 201
    assert again.headers["sanyi-replayed"] == asked.headers["sanyi-replayed"] == "true"


def test_the_same_key_with_other_bytes_is_a_conflict_naming_paths_and_no_values(client: TestClient) -> None:
    client.post(BUNDLE, content=bundle(1), headers=HEADERS)
    other = bundle(1).replace("示范患者甲".encode(), "示范患者乙".encode()).replace(b'"value": 60,', b'"value": 61,')
    answer = client.post(BUNDLE, content=other, headers=HEADERS)

    assert answer.status_code == 409
    paths = answer.json()["issue"][0]["expression"]
    assert any(path.endswith("name[0].text") for path in paths)
    assert any(path.endswith("quantity.value") for path in paths)
    assert "示范患者" not in answer.text


def test_a_dry_run_says_what_would_happen_and_keeps_nothing(client: TestClient) -> None:
    said = client.post("/fhir/jinan_first/$validate", content=bundle(1), headers=HEADERS).json()
    assert said["passes"]
    assert said["findings"] == []
    assert {one["severity"] for one in said["audit"]} <= {"INFO", "WARN"}
    assert said["routing"][0]["eligible"]
    assert said["routing"][0]["why"]
    assert set(said["price"]) == {"total", "fund", "account", "cash"}
    assert client.get("/fhir/jinan_first/requests/M0001", headers=HEADERS).status_code == 404
    assert client.post(BUNDLE, content=bundle(1), headers=HEADERS).status_code == 201


def test_a_dry_run_of_a_broken_message_names_every_finding(client: TestClient) -> None:
    said = client.post("/fhir/jinan_first/$validate", content=b"{", headers=HEADERS).json()
    assert not said["passes"]
    assert [one["code"] for one in said["findings"]] == ["MSG_NOT_JSON"]


def test_the_same_prescription_under_another_key_is_a_conflict(client: TestClient) -> None:
    client.post(BUNDLE, content=bundle(1), headers=HEADERS)

    answer = client.post(BUNDLE, content=bundle(1, key="M9999"), headers=HEADERS)

    assert answer.status_code == 409
    assert "groupIdentifier" in answer.text


def test_every_finding_comes_back_at_once_and_again_the_same(client: TestClient) -> None:
    message = json.loads(bundle(1))
    for entry in message["entry"]:
        resource = entry["resource"]
        if resource["resourceType"] == "MedicationRequest":
            del resource["dispenseRequest"]["quantity"]
            resource["dosageInstruction"][0]["timing"]["code"]["coding"][0]["code"] = "whenever"
        if resource["resourceType"] == "Patient":
            resource["birthDate"] = "1959-03-02"
    raw = json.dumps(message).encode()

    answer = client.post(BUNDLE, content=raw, headers=HEADERS)
    again = client.post(BUNDLE, content=raw, headers=HEADERS)

    assert answer.status_code == 422
    assert {"QUANTITY", "FREQUENCY", "BIRTH_DATE_MISMATCH"} <= set(codes_of(answer.content))
    assert again.content == answer.content
    assert again.headers["sanyi-replayed"] == "true"


@pytest.mark.parametrize("path", sorted((SAMPLES / "invalid").glob("*.json")), ids=lambda path: path.stem)
def test_a_sample_that_breaks_the_contract_is_not_accepted(client: TestClient, path: Path) -> None:
    assert client.post(BUNDLE, content=path.read_bytes(), headers=HEADERS).status_code == 422


def test_what_is_mechanically_wrong_comes_back_put_right_and_passes(client: TestClient) -> None:
    broken = bundle(1).replace(b'"code": "bid"', b'"code": "BID "')
    refused = client.post(BUNDLE, content=broken, headers=HEADERS)
    assert refused.status_code == 422
    address = next(part["valueUri"] for extension in refused.json()["extension"] for part in extension["extension"]
                   if part["url"] == "address")
    put_right = client.get(f"/fhir/jinan_first/{address}", headers=HEADERS)
    assert put_right.status_code == 200
    assert b'"BID "' not in put_right.content
    again = put_right.content.replace(b"M0001", b"M0002")
    assert client.post(BUNDLE, content=again, headers=HEADERS).status_code == 201


def test_what_only_a_person_can_put_right_is_not_offered(client: TestClient) -> None:
    refused = client.post(BUNDLE, content=bundle(1).replace(b'"value": 60,', b'"value": -1,'), headers=HEADERS)
    assert refused.status_code == 422
    assert client.get("/fhir/jinan_first/requests/M0001/patched", headers=HEADERS).status_code == 404
    assert client.get("/fhir/jinan_first/requests/unheard/patched", headers=HEADERS).status_code == 404


def test_what_is_no_json_is_told_so(client: TestClient) -> None:
    answer = client.post(BUNDLE, content=b"{not json", headers=HEADERS)

    assert answer.status_code == 400
    assert codes_of(answer.content) == ["MSG_NOT_JSON"]


@pytest.mark.parametrize("token", ["", "wrong", HOSPITAL_TOKEN + "x", "示范"])
def test_only_the_hospitals_own_token_opens_its_door(client: TestClient, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}".encode()} if token else {}
    for answer in (client.post(BUNDLE, content=bundle(1), headers=headers),
                   client.post(TASK, content=cancel(1), headers=headers),
                   client.get("/fhir/jinan_first/requests/M0001", headers=headers),
                   client.get(f"{TASK}/{rxno(1)}", headers=headers)):
        assert answer.status_code == 401
        assert answer.json()["resourceType"] == "OperationOutcome"
        assert answer.headers["www-authenticate"] == "Bearer"


def test_a_hospital_without_a_token_in_the_settings_stays_outside(city: City, tmp_path: Path) -> None:
    client = TestClient(create_app(city, make_settings(tmp_path, partner_secrets={})))

    assert client.post(BUNDLE, content=bundle(1), headers={"Authorization": "Bearer "}).status_code == 401


def test_a_hospital_the_city_does_not_know_is_not_found(client: TestClient) -> None:
    answer = client.post("/fhir/elsewhere/Bundle", content=bundle(1), headers=HEADERS)

    assert answer.status_code == 404
    assert codes_of(answer.content) == ["unknown_hospital"]


def test_a_message_over_twenty_megabytes_is_refused_before_it_is_read(client: TestClient) -> None:
    assert client.post(BUNDLE, content=b" " * (20_000_001), headers=HEADERS).status_code == 413


def test_a_message_that_does_not_say_its_length_is_cut_off_at_the_limit(client: TestClient) -> None:
    def in_pieces() -> Iterator[bytes]:
        for _ in range(306):
            yield b" " * (1 << 16)

    answer = client.post(BUNDLE, content=in_pieces(), headers=HEADERS)

    assert answer.status_code == 413
    assert codes_of(answer.content) == ["MSG_TOO_LARGE"]


def test_a_cancel_before_its_prescription_waits_for_it(client: TestClient) -> None:
    early = client.post(TASK, content=cancel(1), headers=HEADERS)
    later = client.post(BUNDLE, content=bundle(1), headers=HEADERS)

    assert (early.status_code, status_of(early.content)) == (201, "cancelling")
    assert (later.status_code, status_of(later.content)) == (201, "cancelled")
    where = client.get(f"{TASK}/{rxno(1)}", headers=HEADERS)
    assert status_of(where.content) == "cancelled"


def test_a_cancel_of_what_nobody_has_worked_on_is_done_at_once(client: TestClient) -> None:
    client.post(BUNDLE, content=bundle(1), headers=HEADERS)

    answer = client.post(TASK, content=cancel(1), headers=HEADERS)

    assert (answer.status_code, status_of(answer.content)) == (201, "cancelled")
    assert client.post(TASK, content=cancel(1), headers=HEADERS).content == answer.content


def test_what_never_came_is_not_found(client: TestClient) -> None:
    assert client.get("/fhir/jinan_first/requests/M0001", headers=HEADERS).status_code == 404
    assert client.get(f"{TASK}/{rxno(1)}", headers=HEADERS).status_code == 404


class Full:
    """An archive that has no room for the moment."""

    def put(self, data: bytes) -> str:
        raise Transient("archive: no space", code="no_space")


class Broken:
    """An archive with a bug that quotes what it was given."""

    def put(self, data: bytes) -> str:
        raise RuntimeError(data.decode())


def test_while_nothing_can_be_archived_the_hospital_is_asked_to_come_again(city: City, tmp_path: Path) -> None:
    client = TestClient(create_app(replace(city, archive=Full()), make_settings(tmp_path)))  # type: ignore[arg-type]

    answer = client.post(BUNDLE, content=bundle(1), headers=HEADERS)

    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["issue"][0]["code"] == "transient"


def outcome_of(answer: Response, media: str) -> dict[str, object]:
    """An OperationOutcome in the form that was asked for, valid by our own profile and by fhir.resources."""
    assert answer.headers["content-type"].startswith(media)
    if media == XML:
        root = etree.fromstring(answer.content)
        assert root.tag == "{http://hl7.org/fhir}OperationOutcome"
        return {"code": root.find(".//{*}details/{*}coding/{*}code").get("value")}  # type: ignore[union-attr]
    said = answer.json()
    OperationOutcome.model_validate(said)
    assert faults("findings", said) == []
    return {"code": said["issue"][0]["details"]["coding"][0]["code"]}


JSON, XML = "application/fhir+json", "application/fhir+xml"


@pytest.mark.parametrize("media", [JSON, XML])
@pytest.mark.parametrize(("method", "path", "token", "size", "status", "code"), [
    ("POST", BUNDLE, "wrong", 2, 401, "unauthorized"), ("POST", TASK, "", 2, 401, "unauthorized"),
    ("POST", "/fhir/elsewhere/Bundle", HOSPITAL_TOKEN, 2, 404, "unknown_hospital"),
    ("POST", "/fhir/jinan_first/Patient", HOSPITAL_TOKEN, 2, 404, "not_found"),
    ("PUT", BUNDLE, HOSPITAL_TOKEN, 2, 405, "not_possible"),
    ("POST", BUNDLE, HOSPITAL_TOKEN, 20_000_001, 413, "MSG_TOO_LARGE"),
    ("GET", "/fhir/jinan_first/requests/M1", HOSPITAL_TOKEN, 0, 404, "unknown_key"),
    ("GET", "/fhir/jinan_first/requests/M1/patched", HOSPITAL_TOKEN, 0, 404, "no_patch"),
    ("GET", f"{TASK}/RX9", HOSPITAL_TOKEN, 0, 404, "unknown_prescription"),
])
def test_a_no_of_the_door_is_in_the_form_of_what_came(
        client: TestClient, method: str, path: str, token: str, size: int, status: int, code: str, media: str) -> None:
    headers = {"Authorization": f"Bearer {token}"} | ({"Content-Type": media} if size else {"Accept": media})
    answer = client.request(method, path, content=b" " * size, headers=headers)
    assert answer.status_code == status
    assert outcome_of(answer, media) == {"code": code}


@pytest.mark.parametrize("media", [JSON, XML])
def test_who_must_come_again_hears_so_in_the_form_of_what_came(city: City, tmp_path: Path, media: str) -> None:
    headers = HEADERS | {"Content-Type": media}
    busy = TestClient(create_app(replace(city, archive=Full()), make_settings(tmp_path)))  # type: ignore[arg-type]
    away = busy.post(BUNDLE, content=bundle(1), headers=headers)
    assert (away.status_code, outcome_of(away, media)) == (503, {"code": "busy"})
    broken = TestClient(create_app(replace(city, archive=Broken()), make_settings(tmp_path)),  # type: ignore[arg-type]
                        raise_server_exceptions=False)
    ours = broken.post(BUNDLE, content=bundle(1), headers=headers)
    assert (ours.status_code, outcome_of(ours, media)) == (500, {"code": "internal"})
    greedy = TestClient(create_app(replace(city, share=Measure(1_000_000, 3600)), make_settings(tmp_path)))
    assert greedy.post(BUNDLE, content=b"x" * 600_000, headers=headers).status_code == 400
    more = greedy.post(BUNDLE, content=b"y" * 600_000, headers=headers)
    assert (more.status_code, outcome_of(more, media)) == (429, {"code": "too_much"})
    assert int(more.headers["retry-after"]) > 0


@pytest.mark.parametrize(("raw", "status", "code"), [
    (b"<", 400, "MSG_NOT_XML"), (b"<Bundle xmlns='http://hl7.org/fhir'>", 400, "MSG_NOT_XML"),
    (b"<Patient xmlns='http://hl7.org/fhir'/>", 422, "MSG_WRONG_RESOURCE"),
    (b"<Task xmlns='http://hl7.org/fhir'/>", 422, "MSG_WRONG_RESOURCE"),
    (b"<Bundle xmlns='http://hl7.org/fhir'><type value='batch'/></Bundle>", 422, "BUNDLE_TYPE"),
    (b"<Bundle xmlns='http://hl7.org/fhir'>" + b" " * (1 << 20) + b"</Bundle>", 422, "PRESCRIPTION_TOO_LARGE"),
    (b"<a>" * 100, 422, "MSG_TOO_DEEP"), (b"<!DOCTYPE a><a/>", 422, "XML_DOCTYPE"), (b"\xff\xfe<", 422, "XML_ENCODING"),
])
@pytest.mark.parametrize("declared", [{}, {"Content-Type": XML}, {"Content-Type": JSON}])
def test_what_begins_as_xml_is_answered_in_xml_whatever_is_wrong_and_whatever_it_is_called(
        client: TestClient, raw: bytes, status: int, code: str, declared: dict[str, str]) -> None:
    answer = client.post(BUNDLE, content=raw, headers=HEADERS | declared)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith(XML)
    found = [one.get("value") for one in etree.fromstring(answer.content).iterfind(".//{*}details/{*}coding/{*}code")]
    assert code in found


def test_where_a_prescription_is_comes_in_the_form_that_is_accepted(client: TestClient) -> None:
    client.post(BUNDLE, content=bundle(1), headers=HEADERS)
    plain = client.get(f"{TASK}/{rxno(1)}", headers=HEADERS | {"Accept": JSON})
    assert faults("status", plain.json()) == []
    answer = client.get(f"{TASK}/{rxno(1)}", headers=HEADERS | {"Accept": f"{XML};q=1.0, */*"})
    assert answer.headers["content-type"].startswith(XML)
    assert etree.fromstring(answer.content).find("{*}businessStatus/{*}coding/{*}code").get("value") == "received"  # type: ignore[union-attr]


def test_a_fault_of_ours_says_nothing_about_itself(city: City, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                   caplog: pytest.LogCaptureFixture) -> None:
    app = create_app(replace(city, archive=Broken()), make_settings(tmp_path))  # type: ignore[arg-type]

    answer = TestClient(app, raise_server_exceptions=False).post(BUNDLE, content=bundle(1), headers=HEADERS)

    assert answer.status_code == 500
    assert codes_of(answer.content) == ["internal"]
    said = answer.text + caplog.text + "".join(capsys.readouterr())
    assert "示范患者甲" not in said
    assert "RuntimeError" in caplog.text

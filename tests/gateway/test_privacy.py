"""Nothing about a person leaves through the gateway: not in a page, an answer, an error or a log line."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from domain.chains import ChainWord
from gateway.app import create_app
from infra.db import Database, orders
from infra.log import bind
from tasks.city import City
from tasks.fulfilment.sealed import open_secrets
from tasks.line import hop
from tests.support.city import SAMPLES, admit, make_settings, pass_review, say

NAME, PHONE, ADDRESS = "王马克示踪", "13912345678", "示踪路八十八号"
ID_NUMBER = json.loads((SAMPLES / "home_delivery.json").read_bytes())["entry"][0]["resource"]["identifier"][0]["value"]
MARKS = (NAME, PHONE, ADDRESS, ID_NUMBER)
RUN = "0b5c9d6e-1111-4222-8333-444455556666"

Change = Callable[[dict[str, Any]], None]


def message(number: int, change: Change = lambda patient: None) -> bytes:
    """A message about a person who can be recognised anywhere; `change` breaks it."""
    content = json.loads((SAMPLES / "home_delivery.json").read_bytes())
    content["identifier"]["value"] = f"P{number:04d}"
    for entry in content["entry"]:
        resource = entry["resource"]
        if resource["resourceType"] == "Patient":
            resource["name"][0]["text"] = NAME
            resource["telecom"][0]["value"] = PHONE
            resource["address"][0]["text"] = ADDRESS
            change(resource)
        if resource["resourceType"] == "MedicationRequest":
            resource["groupIdentifier"]["value"] = f"RP{number:04d}"
    return json.dumps(content, ensure_ascii=False).encode()


def _set(path: str, value: Any) -> Change:
    def change(patient: dict[str, Any]) -> None:
        patient[path] = value

    return change


BROKEN: dict[str, Change] = {
    "gender is the name": _set("gender", NAME),
    "birth date is the id number": _set("birthDate", ID_NUMBER),
    "the name is a number": _set("name", [{"text": 1, "family": NAME}]),
    "an element is called like the person": _set(NAME, PHONE),
    "id number with a wrong check digit": _set("identifier", [
        {"system": "urn:oid:2.16.156.10011.1.3", "value": ID_NUMBER[:-1] + "*"}, {"system": NAME, "value": PHONE}]),
    "address where a list belongs": _set("address", ADDRESS),
}


@dataclass
class Ear:
    """Everything the gateway said, to anybody."""

    client: TestClient
    heard: list[tuple[str, str]]

    def ask(self, method: str, path: str, **given: Any) -> Any:
        answer = self.client.request(method, path, **given)
        self.heard.append((f"{method} {path}", answer.text + str(dict(answer.headers))))
        return answer


@pytest.fixture
def ear(client: TestClient) -> Ear:
    return Ear(client, [])


def assert_silent(ear: Ear, logged: str) -> None:
    assert logged, "nothing was logged: this test would not notice"
    for mark in MARKS:
        assert [where for where, said in ear.heard if mark in said] == []
        assert mark not in logged


def test_a_person_is_in_no_page_answer_or_log_line(
        city: City, ear: Ear, hospital: dict[str, str], operator: dict[str, str], pharmacist: dict[str, str],
        caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    caplog.set_level("DEBUG")
    answer = ear.ask("POST", "/fhir/jinan_first/Bundle", content=message(1), headers=hospital)
    assert answer.status_code == 201, answer.text
    rx_id = answer.json()["identifier"][0]["value"]
    ear.ask("POST", "/fhir/jinan_first/Bundle", content=message(1), headers=hospital)
    ear.ask("POST", "/fhir/jinan_first/Bundle", content=message(1, _set("gender", "male")), headers=hospital)
    for number, change in enumerate(BROKEN.values(), 2):
        broken = ear.ask("POST", "/fhir/jinan_first/Bundle", content=message(number, change), headers=hospital)
        assert broken.status_code == 422, (number, broken.text)
        ear.ask("GET", f"/fhir/jinan_first/requests/P{number:04d}", headers=hospital)
    ear.ask("POST", "/fhir/jinan_first/Bundle", content=message(90)[:-9] + NAME.encode(), headers=hospital)

    async def drive() -> None:
        with bind(run=RUN):
            await hop(city, rx_id)

    asyncio.run(drive())
    ear.ask("POST", f"/api/review/{rx_id}/claim", headers=pharmacist)
    ear.ask("GET", f"/review/{rx_id}", headers=pharmacist)
    pass_review(city, rx_id)
    asyncio.run(drive())
    for status in (ChainWord.ACCEPTED, ChainWord.IN_DELIVERY, ChainWord.HANDED_OVER):
        say(city, rx_id, status)
    asyncio.run(drive())

    for path in ("/", "/rx", "/rx?q=RP0001", f"/rx/{rx_id}", f"/runs/{RUN}", "/review", f"/review/{rx_id}",
                 f"/api/rx/{rx_id}", f"/api/rx/{rx_id}/history", f"/api/runs/{RUN}", "/api/ops/board",
                 "/api/ops/prescriptions", "/api/ops/ledger", "/api/ops/verify", "/api/ops/stages",
                 "/api/ops/discrepancies", "/api/ops/notices", "/api/ops/reconciliations", "/fhir/jinan_first/Task/RP0001"):
        who = hospital if path.startswith("/fhir") else operator
        assert ear.ask("GET", path, headers=who).status_code == 200 or "q=" in path

    assert_silent(ear, caplog.text + "".join(capfd.readouterr()))


def test_a_database_that_fails_quotes_nobody(
        city: City, tmp_path: Path, hospital: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    unmigrated = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    app = create_app(replace(city, db=unmigrated), make_settings(tmp_path))
    ear = Ear(TestClient(app, raise_server_exceptions=False), [])

    answer = ear.ask("POST", "/fhir/jinan_first/Bundle", content=message(1), headers=hospital)

    assert answer.status_code == 500
    assert_silent(ear, caplog.text)


def test_an_orders_secrets_are_on_no_page(city: City, ear: Ear, operator: dict[str, str]) -> None:
    rx_id = admit(city)[0]
    asyncio.run(hop(city, rx_id))
    pass_review(city, rx_id)
    asyncio.run(hop(city, rx_id))
    with city.db.reading() as session:
        placed = orders.of(session, rx_id)[-1]
    secrets = open_secrets(city, placed)

    for path in (f"/rx/{rx_id}", f"/api/rx/{rx_id}", f"/api/rx/{rx_id}/history", "/api/ops/prescriptions"):
        ear.ask("GET", path, headers=operator)

    for where, said in ear.heard:
        assert secrets["claim_secret"] not in said, where
        assert f'"{secrets["pickup_code"]}"' not in said, where
        # Six digits are found from their digest in a second.
        assert placed.order.pickup_code_sha256 not in said, where

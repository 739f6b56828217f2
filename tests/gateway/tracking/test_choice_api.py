"""The choice of a pharmacy by the patient's link: for programs, and for a person who calls the hotline."""

from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from domain.events import Wait
from domain.fulfilment.wishes import WishAnswer, WishKind
from domain.lifecycle import Status
from domain.people import Role
from domain.policy import Choosers
from gateway.web.access import COOKIE
from infra.db import access_log, wishes
from tasks.city import City
from tasks.patients import page_address
from tests.support.city import admit
from tests.support.line import Line
from tests.support.people import enrolled


@pytest.fixture
def line(city: City) -> Line:
    return Line(city)


@pytest.fixture
def rx_id(line: Line) -> str:
    """One whose patient is asked."""
    everybody(line)
    (rx_id,) = admit(line.city)
    line.hop(rx_id)
    line.review(rx_id)
    line.hop(rx_id)
    assert line.row(rx_id).waiting_for == Wait.CHOICE
    return rx_id


def everybody(line: Line) -> None:
    object.__setattr__(line.city, "policy", replace(line.city.policy, choosers=Choosers.EVERYBODY))


def api(line: Line, rx_id: str) -> str:
    return f"/api{page_address(line.city, rx_id)}"


def seen(client: TestClient, line: Line, rx_id: str) -> dict[str, Any]:
    answer = client.get(api(line, rx_id))
    assert answer.status_code == 200
    assert answer.headers["x-robots-tag"] == "noindex, nofollow"
    body: dict[str, Any] = answer.json()
    return body


def test_every_pharmacy_is_there_with_its_price_its_estimate_and_its_reason(client: TestClient, line: Line, rx_id: str) -> None:
    body = seen(client, line, rx_id)
    assert body["supported_actions"] == ["choose", "cancel"]
    choice = body["choice"]
    assert {store["chain"] for option in choice["options"] for store in option["stores"]} == {"ankang", "baicao"}
    for option in choice["options"]:
        estimate = option["estimate"]
        assert estimate["fund_fen"] + estimate["personal_fen"] == option["total_fen"]
        assert estimate["personal_fen"] == estimate["account_fen"] + estimate["cash_fen"]
    scores = [float(option["score"]) for option in choice["options"]]
    assert scores == sorted(scores, reverse=True)
    assert sum(term["percent"] for term in choice["ordered_by"]) == 100
    assert "estimated" in choice["estimate_basis"]["text_en"].lower()
    assert choice["estimate_basis"]["insured_at"]
    assert "selected" not in str(choice), "no option is ticked beforehand"


def test_a_choice_counts_once_and_another_is_answered_with_a_conflict(client: TestClient, line: Line, rx_id: str) -> None:
    first, second = [option["option"] for option in seen(client, line, rx_id)["choice"]["options"]][:2]
    choose = f"{api(line, rx_id)}/choice"
    assert client.post(choose, json={"option": second}).json()["answer"] == "taken"
    assert client.post(choose, json={"option": second}).json()["answer"] == "repeated"
    other = client.post(choose, json={"option": first})
    assert (other.status_code, other.json()["error"]["code"]) == (409, "otherwise")
    line.hop(rx_id)
    assert line.status(rx_id) is Status.FULFILLING
    assert "choose" not in seen(client, line, rx_id)["supported_actions"]


@pytest.mark.parametrize(("body", "status", "code"), [
    ({"option": "1-99"}, 422, "unknown"), ({"option": ""}, 422, "unknown"), ({"option": "1-1 or more than fits"}, 422, "invalid"),
    ({}, 422, "invalid"), ({"option": 3}, 422, "invalid"), ({"option": "1-1", "more": 1}, 422, "invalid")])
def test_what_is_no_option_is_refused(client: TestClient, line: Line, rx_id: str, body: Any, status: int, code: str) -> None:
    answer = client.post(f"{api(line, rx_id)}/choice", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_two_options_at_once_are_none(client: TestClient, line: Line, rx_id: str) -> None:
    answer = client.post(f"{api(line, rx_id)}/choice", content=b'{"option": "1-1", "option": "1-2"}')
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid")
    assert "option" in answer.json()["error"]["text_en"]


def test_a_patient_says_in_time_that_they_want_to_choose(client: TestClient, line: Line) -> None:
    (rx_id,) = admit(line.city)
    line.hop(rx_id)
    assert seen(client, line, rx_id)["supported_actions"] == ["wish_to_choose", "cancel"]
    assert client.post(f"{api(line, rx_id)}/wish_to_choose").json()["supported_actions"] == ["cancel"]
    line.review(rx_id)
    line.hop(rx_id)
    assert seen(client, line, rx_id)["supported_actions"] == ["choose", "cancel"]


def test_to_want_it_too_late_is_said(client: TestClient, line: Line) -> None:
    (rx_id,) = admit(line.city)
    line.to_fulfilling(rx_id)
    answer = client.post(f"{api(line, rx_id)}/wish_to_choose")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "late")
    assert "too late" in answer.json()["error"]["text_en"]


def test_a_wrong_link_opens_nothing(client: TestClient, line: Line, rx_id: str) -> None:
    wrong = f"/api/p/{rx_id.removeprefix('rx_')}-{0:026x}"
    assert client.get(wrong).status_code == 404
    assert client.post(f"{wrong}/choice", json={"option": "1-1"}).status_code == 404


def test_the_hotline_chooses_for_a_patient_who_calls(client: TestClient, line: Line, rx_id: str) -> None:
    someone = enrolled(line.city, "H001", Role.HOTLINE)
    line.clock.advance(seconds=60)
    client.cookies.set(COOKIE, someone.sign_in() or "")
    options = client.get(f"/api/ops/rx/{rx_id}/choice").json()["options"]
    answer = client.post(f"/api/ops/rx/{rx_id}/choice?option={options[1]['option']}", headers={"Origin": "http://localhost"})
    assert answer.json()["answer"] == "taken"
    with line.city.db.reading() as session:
        (act,) = [entry for entry in access_log.search(session, person="H001") if entry.capability == "choose_pharmacy"]
    assert (act.kind, act.prescription_id) == ("act", rx_id)


def test_a_choice_after_a_cancel_does_not_count_and_the_page_says_that_it_is_cancelled(
        client: TestClient, line: Line, rx_id: str) -> None:
    option = seen(client, line, rx_id)["choice"]["options"][0]["option"]
    choose = f"{api(line, rx_id)}/choice"
    assert client.post(choose, json={"option": option}).json()["answer"] == "taken"
    cancelling = client.post(f"{api(line, rx_id)}/cancel").json()
    assert "order goes" not in cancelling["sentence_en"]
    assert client.post(choose, json={"option": option}).json()["error"]["code"] == "late"
    line.hop(rx_id)
    assert line.status(rx_id) is Status.CANCELLED
    assert "order goes" not in seen(client, line, rx_id)["sentence_en"]
    late = client.post(choose, json={"option": option})
    assert (late.status_code, late.json()["error"]["code"]) == (409, "late")


def cancel_answered(line: Line, rx_id: str, answer: WishAnswer) -> None:
    with line.city.db.transaction("test") as session:
        wishes.make(session, "jinan_first", "M0001", prescription_id=rx_id, kind=WishKind.CANCEL, by="patient", reason="patient",
                    at=line.city.now(), answer=answer)


def test_while_a_pharmacy_has_not_answered_a_cancel_none_is_chosen(client: TestClient, line: Line, rx_id: str) -> None:
    cancel_answered(line, rx_id, WishAnswer.UNANSWERED)
    assert "choose" not in seen(client, line, rx_id)["supported_actions"]
    assert client.post(f"{api(line, rx_id)}/choice", json={"option": "1-1"}).json()["error"]["code"] == "late"


def test_a_cancel_that_one_pharmacy_refused_ends_the_choice_of_others(client: TestClient, line: Line, rx_id: str) -> None:
    client.post(f"{api(line, rx_id)}/choice", json={"option": "1-1"})
    line.hop(rx_id)
    assert line.status(rx_id) is Status.FULFILLING
    assert client.post(f"{api(line, rx_id)}/choice", json={"option": "1-2"}).json()["error"]["code"] == "otherwise"
    cancel_answered(line, rx_id, WishAnswer.REFUSED)
    assert client.post(f"{api(line, rx_id)}/choice", json={"option": "1-2"}).json()["error"]["code"] == "late"


@pytest.mark.parametrize("option", ["9" * 5000 + "-1", "1-" + "9" * 5000, "\0", "1-1\ud83d", "²-1"])
def test_an_odd_option_from_a_form_is_no_option(client: TestClient, line: Line, rx_id: str, option: str) -> None:
    answer = client.post(f"{page_address(line.city, rx_id)}/choice", content=f"option={option}".encode("utf-8", "surrogatepass"),
                         headers={"content-type": "application/x-www-form-urlencoded"}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"].rpartition("?")[2]) == (303, "done=unknown")

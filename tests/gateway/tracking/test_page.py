"""The patient's page: only by its link, with what the patient needs and nobody's name, and a cancel that has one effect."""

import asyncio
from typing import Any

import pytest
from fastapi.testclient import TestClient

from domain.chains import ChainWord
from domain.errors import StaleStatus
from domain.events import Event
from domain.fulfilment.wishes import WishAnswer
from domain.lifecycle import Status
from infra.db import access_log, history, wishes
from tasks import closing
from tasks.city import City
from tasks.fulfilment.sealed import open_secrets
from tasks.patients import page_address, prescription_of
from tests.support.city import admit
from tests.support.line import Line


@pytest.fixture
def line(city: City) -> Line:
    return Line(city)


@pytest.fixture
def rx_id(line: Line) -> str:
    return admit(line.city)[0]


def page(client: TestClient, line: Line, rx_id: str, language: str = "zh") -> str:
    answer = client.get(f"{page_address(line.city, rx_id)}?lang={language}")
    assert answer.status_code == 200
    return answer.text


def test_a_link_names_its_prescription_and_cannot_be_guessed(line: Line, rx_id: str) -> None:
    link = page_address(line.city, rx_id).removeprefix("/p/")
    assert prescription_of(line.city, link) == rx_id
    number, _, proof = link.partition("-")
    assert len(proof) == 26
    for wrong in (number, f"{number}-", f"{number}-{proof[:-1]}", f"{number}-{proof[:-1]}{'0' if proof[-1] != '0' else '1'}",
                  f"{number[1:]}{number[0]}-{proof}", f"-{proof}", "", "é-é"):
        assert prescription_of(line.city, wrong) is None


def test_the_page_follows_it_from_the_check_to_the_patients_hand(client: TestClient, line: Line, rx_id: str) -> None:
    line.hop(rx_id)
    assert "药师正在审核您的处方" in page(client, line, rx_id)
    placed = line.to_fulfilling(rx_id) if line.status(rx_id) is not Status.IN_REVIEW else _reviewed(line, rx_id)
    code = open_secrets(line.city, placed)["pickup_code"]
    assert code in page(client, line, rx_id)
    assert "您需自付" in page(client, line, rx_id)
    line.say(rx_id, ChainWord.PREPARED)
    assert "It is ready. Collect it with the code." in page(client, line, rx_id, "en")
    line.say(rx_id, ChainWord.HANDED_OVER)
    line.hop(rx_id)
    text = page(client, line, rx_id)
    assert "您已拿到药，医保已结算" in text
    assert code not in text, "a code that is used up opens nothing"
    assert "您的个人自付" in text
    assert "您需自付" not in text, "what is handed over is not to be paid any more"


def _reviewed(line: Line, rx_id: str):  # type: ignore[no-untyped-def]
    line.review(rx_id)
    line.hop(rx_id)
    return line.order(rx_id)


def test_no_person_is_on_the_page_and_no_copy_of_it_is_kept(client: TestClient, line: Line, rx_id: str) -> None:
    line.to_fulfilling(rx_id)
    answer = client.get(page_address(line.city, rx_id))
    assert "no-store" in answer.headers["cache-control"]
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["x-robots-tag"] == "noindex, nofollow"
    for personal in ("张建国", "37010", "139", "rx_"):
        assert personal not in answer.text.replace(page_address(line.city, rx_id), "")


def test_a_wrong_link_is_no_page_and_guesses_are_slowed_down(client: TestClient, rx_id: str) -> None:
    answers = [client.get(f"/p/{rx_id.removeprefix('rx_')}-{number:026x}") for number in range(12)]
    assert {answer.status_code for answer in answers} == {404, 429}
    assert answers[0].status_code == 404
    assert "链接不正确" in answers[0].text


def test_each_look_and_each_cancel_is_in_the_access_log(client: TestClient, line: Line, rx_id: str) -> None:
    page(client, line, rx_id)
    client.post(f"{page_address(line.city, rx_id)}/cancel")
    with line.city.db.reading() as session:
        entries = access_log.search(session, person="patient")
    assert [(entry.kind, entry.capability, entry.prescription_id) for entry in reversed(entries)][:2] == [
        ("view", "track", rx_id), ("act", "cancel", rx_id)]


def cancelled(client: TestClient, line: Line, rx_id: str) -> str:
    answer = client.post(f"{page_address(line.city, rx_id)}/cancel", follow_redirects=True)
    assert answer.status_code == 200
    return answer.text


def test_before_a_pharmacy_has_it_a_cancel_ends_it_at_once(client: TestClient, line: Line, rx_id: str) -> None:
    line.hop(rx_id)
    assert "处方已撤销" in cancelled(client, line, rx_id)
    assert line.status(rx_id) is Status.CANCELLED
    with line.city.db.reading() as session:
        assert history.details(session, rx_id, Event.CANCELLED_BY_PATIENT) == [{}]


def test_while_a_pharmacy_has_it_the_pharmacy_is_asked(client: TestClient, line: Line, rx_id: str) -> None:
    line.to_fulfilling(rx_id)
    assert "已收到撤销请求" in cancelled(client, line, rx_id)
    line.hop(rx_id)
    assert "处方已撤销" in page(client, line, rx_id)
    assert line.status(rx_id) is Status.CANCELLED


def test_a_hundred_cancels_are_one(client: TestClient, line: Line, rx_id: str) -> None:
    line.to_fulfilling(rx_id)
    for _ in range(100):
        cancelled(client, line, rx_id)
    with line.city.db.reading() as session:
        assert len(wishes.of(session, rx_id)) == 1
        assert len(history.details(session, rx_id, Event.PATIENT_CANCELS)) == 1


def test_after_the_handover_it_is_too_late_and_the_page_says_what_to_do(client: TestClient, line: Line, rx_id: str) -> None:
    line.to_settled(rx_id)
    assert "撤销这张处方" not in page(client, line, rx_id)
    assert "如需退药请联系药店" in cancelled(client, line, rx_id)
    assert line.status(rx_id) is Status.SETTLED
    with line.city.db.reading() as session:
        assert [wish.answer for wish in wishes.of(session, rx_id)] == [WishAnswer.REFUSED]


def test_hospitals_are_told_the_link_while_there_is_something_to_see(line: Line, rx_id: str) -> None:
    object.__setattr__(line.city, "gateway_url", "https://rx.example")
    line.to_settled(rx_id)
    line.deliver()
    reports = [report for hospital in line.city.hospitals.values() for report in hospital.reports.values()]  # type: ignore[attr-defined]
    links = {report["status"]: report.get("patient_page") for report in reports}
    assert set(links.values()) == {f"https://rx.example{page_address(line.city, rx_id)}"}


def test_a_worker_that_moves_it_meanwhile_costs_the_patient_nothing(
        client: TestClient, line: Line, rx_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    line.to_fulfilling(rx_id)
    overtaken, ask = [], closing.ask_to_cancel

    def once_too_late(*args: Any, **more: Any) -> Any:
        if not overtaken:
            overtaken.append(rx_id)
            raise StaleStatus(f"{rx_id} is no longer there")
        return ask(*args, **more)

    monkeypatch.setattr(closing, "ask_to_cancel", once_too_late)
    assert "已收到撤销请求" in cancelled(client, line, rx_id)
    with line.city.db.reading() as session:
        assert len(access_log.search(session, person="patient")) == 2, "one cancel and one look"


def test_two_cancels_at_once_are_one(client: TestClient, line: Line, rx_id: str) -> None:
    line.to_fulfilling(rx_id)

    async def both() -> None:
        await asyncio.gather(*(asyncio.to_thread(cancelled, client, line, rx_id) for _ in range(2)))

    asyncio.run(both())
    with line.city.db.reading() as session:
        assert len(history.details(session, rx_id, Event.PATIENT_CANCELS)) == 1

"""The page of what chains are told: outcome, attempts, next attempt, and two buttons."""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from domain.people import Grant, Role
from domain.webhooks import WebhookType
from gateway.app import create_app
from gateway.web.access import COOKIE
from tasks.city import City
from tasks.reports import deliver_due
from tasks.webhooks import tell_of_order
from tests.support.city import OPERATOR_TOKEN, PHARMACIST_TOKEN, Clock, make_city, make_settings
from tests.support.fakes import FakeEndpoint
from tests.support.people import enrolled
from tests.support.records import admitted

ORIGIN = {"Origin": "http://testserver"}


@pytest.fixture
def endpoint() -> FakeEndpoint:
    return FakeEndpoint()


@pytest.fixture
def city(tmp_path: Path, clock: Clock, endpoint: FakeEndpoint) -> Iterator[City]:
    made = replace(make_city(tmp_path, now=clock), webhooks={"ankang": endpoint, "baicao": FakeEndpoint()})
    yield made
    made.db.close()


@pytest.fixture
def page(client: TestClient) -> TestClient:
    client.post("/sign-in", data={"code": OPERATOR_TOKEN}, headers=ORIGIN)
    return client


def tell(city: City, chain: str = "ankang", number: int = 1, type: WebhookType = WebhookType.ORDER_PLACED) -> str:
    order_id = f"ord_{chain}_{number}"
    rx_id = admitted(city.db, number).id if type is WebhookType.ORDER_PLACED else None
    with city.db.transaction() as session:
        tell_of_order(session, city, chain, type, order_id=order_id, rx_id=rx_id, store="AK01")  # type: ignore[arg-type]
    return f"evt_{order_id}_{type.partition('.')[2]}"


def words(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


def test_what_arrived_and_what_did_not_say_outcome_attempts_and_the_next_one(
        page: TestClient, city: City, endpoint: FakeEndpoint) -> None:
    first, second = tell(city), tell(city, number=2)
    endpoint.by_id[second] = 503
    asyncio.run(deliver_due(city))
    said = words(page.get("/webhooks").text)
    assert "已送达" in said
    assert "待推送 HTTP 503 http_503 1 次 09:00:05" in said
    assert "order.placed" in said
    only = page.get("/webhooks?waiting=true").text
    assert second in only
    assert first not in only
    english = words(page.get("/webhooks?lang=en").text)
    assert "delivered" in english
    assert "Send again" in english
    listed = page.get("/api/ops/webhooks").json()["messages"]
    assert [(row["id"], row["attempts"], row["outcome"]) for row in listed] == [(second, 1, "http_503"), (first, 1, "")]


def test_a_button_sends_it_again(page: TestClient, city: City, endpoint: FakeEndpoint) -> None:
    key = tell(city)
    asyncio.run(deliver_due(city))
    answer = page.post("/webhooks/again", data={"chain": "ankang", "id": key}, headers=ORIGIN)
    assert (answer.status_code, answer.headers["location"]) == (303, "/webhooks?done=true")
    asyncio.run(deliver_due(city))
    assert endpoint.asked == [key, key]
    assert page.post("/webhooks/again", data={"chain": "ankang", "id": "evt_none"}, headers=ORIGIN).status_code == 404
    assert page.get("/webhooks/again").headers["location"] == "/webhooks"


def test_an_address_out_of_use_is_said_and_a_button_resumes_it(
        page: TestClient, city: City, endpoint: FakeEndpoint) -> None:
    endpoint.status = 410
    tell(city)
    asyncio.run(deliver_due(city))
    text = page.get("/webhooks").text
    assert "停用其地址（410）" in words(text)
    assert 'action="/webhooks/resume"' in text
    assert "收不到推送" in words(page.get("/").text), "the board says it"
    endpoint.status = 200
    assert page.post("/webhooks/resume", data={"chain": "ankang"}, headers=ORIGIN).status_code == 303
    asyncio.run(deliver_due(city))
    assert len(endpoint.taken) == 1
    assert page.post("/webhooks/resume", data={"chain": "ankang"}, headers=ORIGIN).status_code == 409


def test_older_ones_are_on_further_pages(page: TestClient, city: City) -> None:
    keys = [tell(city, number=number) for number in range(1, 53)]
    first = page.get("/webhooks").text
    (more,) = re.findall(r'href="(/webhooks\?before=\d+)"', first)
    second = page.get(more).text
    assert [key for key in keys if f'value="{key}"' in second] == keys[:2]
    assert all(f'value="{key}"' in first for key in keys[2:])


def test_an_engineer_of_one_chain_sees_that_chains_only_and_sends_nothing(client: TestClient, city: City, clock: Clock) -> None:
    mine, others = tell(city), tell(city, "baicao", 2)
    engineer = enrolled(city, "I001", Grant(Role.INTEGRATION_ENGINEER, "ankang"))
    clock.advance(minutes=1)
    client.cookies.set(COOKIE, engineer.sign_in() or "")
    text = client.get("/webhooks").text
    assert "ord_ankang_1" in text
    assert "ord_baicao_2" not in text
    assert 'action="/webhooks/again"' not in text
    assert 'href="/webhooks" aria-current="page"' in text, "it is in the menu"
    assert [row["id"] for row in client.get("/api/ops/webhooks").json()["messages"]] == [mine]
    assert client.post("/webhooks/again", data={"chain": "baicao", "id": others}, headers=ORIGIN).status_code == 403


def test_who_may_not_see_messages_sees_none(client: TestClient, city: City) -> None:
    client.post("/sign-in", data={"code": PHARMACIST_TOKEN}, headers=ORIGIN)
    assert client.get("/webhooks").status_code == 403


ODD = ["", "\0", "evt_\0", "é", "x" * 60_000, "' OR 1=1 --", "baicao", "../ankang"]


@pytest.mark.parametrize("address", ["/webhooks/again", "/webhooks/resume"])
def test_odd_words_in_a_form_are_no_message_and_no_chain(database_url: str, tmp_path: Path, clock: Clock, address: str) -> None:
    city = replace(make_city(tmp_path, database_url, now=clock), webhooks={"ankang": FakeEndpoint()})
    key = tell(city)
    page = TestClient(create_app(city, make_settings(tmp_path)), follow_redirects=False, raise_server_exceptions=False)
    page.post("/sign-in", data={"code": OPERATOR_TOKEN}, headers=ORIGIN)
    answers = {(name, word[:12]): page.post(address, data={"chain": "ankang", "id": key} | {name: word}, headers=ORIGIN).status_code
               for word in ODD for name in ("chain", "id")}
    assert set(answers.values()) <= {404, 409, 413}, answers
    assert page.post(address, headers=ORIGIN).status_code in (404, 409)
    city.db.close()


@pytest.mark.parametrize("query", ["before=", "before=x", "before=0", "before=9999999999", "before=-1", "waiting=maybe", "done=7",
                                   "before=1&before=2"])
def test_odd_questions_have_an_answer_of_ours(page: TestClient, city: City, query: str) -> None:
    tell(city)
    answer = page.get(f"/webhooks?{query}")
    assert answer.status_code in (200, 422)
    assert "<main" in answer.text

"""The chains' door keeps contract 2.1."""

import asyncio

import pytest
from fastapi.testclient import TestClient

from domain.chains import ChainWord
from infra.db import orders
from tasks.city import City
from tasks.fulfilment.sealed import open_secrets
from tasks.line import hop
from tests.support.city import Clock, admit, pass_review
from tests.support.fakes import FakeChain


@pytest.fixture
def ordered(city: City) -> str:
    """A prescription whose order is with a chain."""
    rx_id = admit(city)[0]
    asyncio.run(hop(city, rx_id))
    pass_review(city, rx_id)
    asyncio.run(hop(city, rx_id))
    return rx_id


class Caller:
    """The chain that has the order, calling back."""

    def __init__(self, city: City, client: TestClient, rx_id: str) -> None:
        self.city, self.client = city, client
        with city.db.reading() as session:
            self.placed = orders.of(session, rx_id)[-1]
        chain = city.chains[self.placed.order.chain]
        assert isinstance(chain, FakeChain)
        self.chain = chain
        self.pickup_code = open_secrets(city, self.placed)["pickup_code"]

    def body(self, status: ChainWord, **said: object) -> bytes:
        return self.chain.body(self.chain.update(self.placed.id, status, at=self.city.now(), **said))  # type: ignore[arg-type]

    def call(self, body: bytes, nonce: str = "", below: str = "", **headers: str) -> tuple[int, str]:
        """`below`: the rest of the path."""
        signed = self.chain.headers(body, self.city.now(), nonce) | headers
        answer = self.client.post(f"/callbacks/{self.chain.slug}{below}", content=body, headers=signed)
        return answer.status_code, answer.json()["result"]

    @property
    def status(self) -> ChainWord:
        with self.city.db.reading() as session:
            placed = orders.get(session, self.placed.id)
        assert placed
        return placed.word


@pytest.fixture
def caller(city: City, client: TestClient, ordered: str) -> Caller:
    return Caller(city, client, ordered)


def test_a_callback_moves_its_order(caller: Caller) -> None:
    assert caller.call(caller.body(ChainWord.ACCEPTED)) == (200, "applied")
    assert caller.status is ChainWord.ACCEPTED


def test_the_same_event_again_is_a_repeat_and_with_other_bytes_a_conflict(caller: Caller) -> None:
    body = caller.body(ChainWord.ACCEPTED, event_id="ev_x")
    assert caller.call(body) == (200, "applied")
    assert caller.call(body) == (200, "repeated")
    assert caller.call(caller.body(ChainWord.PREPARED, event_id="ev_x")) == (409, "conflict")
    assert caller.status is ChainWord.ACCEPTED


def test_a_bad_signature_does_not_spend_the_nonce(caller: Caller) -> None:
    body, nonce = caller.body(ChainWord.ACCEPTED), "nonce-that-is-long-enough"

    assert caller.call(body, nonce, **{"Sanyi-Signature": "0" * 64}) == (401, "bad_signature")
    assert caller.call(body, nonce) == (200, "applied")
    assert caller.call(caller.body(ChainWord.PREPARED), nonce) == (401, "nonce_used")


def test_a_callback_without_signature_is_refused(caller: Caller, client: TestClient) -> None:
    answer = client.post(f"/callbacks/{caller.chain.slug}", content=caller.body(ChainWord.ACCEPTED))

    assert (answer.status_code, answer.json()) == (401, {"result": "bad_signature"})


def test_a_stale_callback_is_refused(caller: Caller, clock: Clock) -> None:
    body = caller.body(ChainWord.ACCEPTED)
    headers = caller.chain.headers(body, clock())
    clock.advance(seconds=601)

    assert caller.call(body, **headers) == (401, "stale")


def test_a_wrong_claim_secret_moves_nothing(caller: Caller) -> None:
    assert caller.call(caller.body(ChainWord.ACCEPTED, claim_secret="f" * 32)) == (422, "refused")
    assert caller.status is ChainWord.ORDERED


def test_a_handover_needs_the_pickup_code(caller: Caller) -> None:
    caller.call(caller.body(ChainWord.PREPARED))

    wrong = "000000" if caller.pickup_code != "000000" else "111111"
    assert caller.call(caller.body(ChainWord.HANDED_OVER, pickup_code=wrong)) == (422, "refused")
    assert caller.call(caller.body(ChainWord.HANDED_OVER, pickup_code=caller.pickup_code)) == (200, "applied")


@pytest.mark.parametrize("more", [{"claim_secret": "密"}, {"pickup_code": "取药码"}, {"pickup_code": "１２３４５６"}])
def test_a_secret_or_a_code_in_other_letters_is_wrong_and_no_fault_of_ours(caller: Caller, more: dict[str, str]) -> None:
    assert caller.call(caller.body(ChainWord.HANDED_OVER, **more)) == (422, "refused")
    assert caller.status is ChainWord.ORDERED


def test_a_number_of_an_order_that_is_not_ours_is_not_written_down(caller: Caller, caplog: pytest.LogCaptureFixture) -> None:
    body = caller.body(ChainWord.ACCEPTED).replace(caller.placed.id.encode(), b"Wang 13812345678")
    assert caller.call(body) == (422, "refused")
    assert "13812345678" not in caplog.text


def test_the_number_of_a_store_in_news_of_stock_may_not_be_a_persons(caller: Caller, caplog: pytest.LogCaptureFixture) -> None:
    assert caller.call(STOCK.replace(b"F01", b"13812345678"), below="/stock") == (200, "applied")
    assert "13812345678" not in caplog.text


def test_what_we_do_not_understand_is_said_so(caller: Caller) -> None:
    assert caller.call(b'{"event_id": 1}') == (422, "invalid")


def test_a_chain_the_city_does_not_have_is_not_found(client: TestClient) -> None:
    answer = client.post("/callbacks/elsewhere", content=b"{}")

    assert (answer.status_code, answer.json()) == (404, {"result": "unknown_chain"})


def test_a_huge_callback_is_cut_off(client: TestClient) -> None:
    assert client.post("/callbacks/ankang", content=b" " * (1 << 21)).status_code == 413


STOCK = b'{"event_id": "e1", "store": "F01", "drugs": ["D001"]}'


def test_news_of_stock_is_taken_signed_and_fresh_only(caller: Caller, client: TestClient) -> None:
    assert caller.call(STOCK, "nonce-00000000000000000001", "/stock") == (200, "applied")
    assert caller.call(STOCK, "nonce-00000000000000000001", "/stock") == (401, "nonce_used")
    assert caller.call(STOCK, below="/stock", **{"Sanyi-Signature": "0" * 64}) == (401, "bad_signature")
    assert client.post("/callbacks/nobody/stock", content=STOCK).status_code == 404

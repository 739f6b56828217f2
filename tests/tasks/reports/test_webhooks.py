"""What a chain is told at its own address: in order, retried, stopped, sent again, and read again by a cursor."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from domain.chains import ChainWord
from domain.errors import NeedsOperator, Refused, Transient
from domain.lifecycle import Status
from domain.trace import Scan
from domain.webhooks import PAUSES, WebhookType
from infra.db import orders, webhooks
from infra.db.rows import NoticeRow, OutboxRow, StoppedWebhookRow
from tasks import webhooks as tasks
from tasks.callbacks import receive_reading
from tasks.recall import recall
from tasks.reports import deliver_due
from tests.support.city import admit, cancel_by_hospital, make_city
from tests.support.fakes import FakeEndpoint
from tests.support.line import Line


@pytest.fixture
def endpoint() -> FakeEndpoint:
    return FakeEndpoint()


@pytest.fixture
def line(tmp_path: Path, endpoint: FakeEndpoint) -> Iterator[Line]:
    made = Line(replace(make_city(tmp_path), webhooks={"ankang": endpoint}))
    yield made
    made.city.db.close()


def types(endpoint: FakeEndpoint) -> list[str]:
    return [message["type"] for message in endpoint.taken.values()]


def rows(line: Line) -> list[OutboxRow]:
    with line.city.db.reading() as session:
        return list(session.scalars(sa.select(OutboxRow).where(OutboxRow.kind == "webhook").order_by(OutboxRow.id)))


def notices(line: Line) -> list[tuple[str, str, str]]:
    with line.city.db.reading() as session:
        return [(row.kind, row.partner, row.detail) for row in session.scalars(sa.select(NoticeRow))]


def read(line: Line, question: dict[str, Any] | bytes, nonce: str = "nonce-of-reading-0001") -> Any:
    body = question if isinstance(question, bytes) else json.dumps(question).encode()
    headers = line.chain("ankang").headers(body, line.city.now(), nonce=nonce)
    return receive_reading(line.city, "ankang", timestamp=headers["Sanyi-Timestamp"], nonce=headers["Sanyi-Nonce"],
                           signature=headers["Sanyi-Signature"], body=body)


def test_a_chain_hears_that_its_order_was_placed_and_taken_back_in_that_order(line: Line, endpoint: FakeEndpoint) -> None:
    (rx_id,) = admit(line.city)
    placed = line.to_fulfilling(rx_id)
    cancel_by_hospital(line.city, 1)
    line.hop(rx_id)
    line.deliver()
    assert types(endpoint) == ["order.placed", "order.cancelled"]
    assert endpoint.taken[f"evt_{placed.id}_placed"]["data"] == {"order_id": placed.id, "store_id": "AK01"}
    assert endpoint.taken[f"evt_{placed.id}_cancelled"]["data"] == {
        "order_id": placed.id, "store_id": "AK01", "reason": line.order(rx_id).reason}


def test_nothing_of_the_patient_and_no_secret_is_in_a_message(line: Line, endpoint: FakeEndpoint) -> None:
    (rx_id,) = admit(line.city)
    line.to_fulfilling(rx_id)
    line.deliver()
    (message,) = endpoint.taken.values()
    assert message.keys() == {"type", "timestamp", "data"}
    assert message["data"].keys() == {"order_id", "store_id"}


def test_a_chain_without_an_address_is_told_nothing_there(line: Line) -> None:
    line.city = replace(line.city, webhooks={"baicao": FakeEndpoint()})
    (rx_id,) = admit(line.city)
    assert line.to_fulfilling(rx_id).order.chain == "ankang"
    assert rows(line) == []


def test_later_messages_about_a_prescription_wait_for_the_first_and_the_settlement_does_not(
        line: Line, endpoint: FakeEndpoint) -> None:
    """A chain whose address is down still hears by its API what the fund paid."""
    endpoint.status = 500
    (rx_id,) = admit(line.city)
    placed = line.to_settled(rx_id)
    line.hop(rx_id)
    line.deliver()
    assert line.chain("ankang").notices.keys() == {placed.id}
    line.clock.advance(seconds=6)
    recall(line.city, drug=placed.order.lines[0].drug, lot="L2606", reason="quality", by="o001")
    line.deliver()
    assert set(endpoint.asked) >= {f"evt_{placed.id}_placed"}
    assert not [id for id in endpoint.asked if "_recalled_" in id], "it would overtake the first"


@pytest.mark.parametrize(("status", "trouble", "outcome"), [
    (500, None, "http_500"), (302, None, "http_302"), (200, Transient("x", code="unanswered"), "unanswered"),
    (200, Transient("x", code="not_sent"), "not_sent"), (200, NeedsOperator("HTTP 401"), "denied"),
    (200, ValueError("x"), "failed")])
def test_each_failure_is_written_with_its_outcome_and_the_next_attempt(
        line: Line, endpoint: FakeEndpoint, status: int, trouble: Exception | None, outcome: str) -> None:
    endpoint.status, endpoint.trouble = status, trouble
    (rx_id,) = admit(line.city)
    line.to_fulfilling(rx_id)
    line.deliver()
    (row,) = rows(line)
    assert (row.attempts, row.last_error, row.sent_at) == (1, outcome, None)
    assert row.due_at is not None
    assert timedelta(seconds=5) <= row.due_at - line.clock() <= timedelta(seconds=5.5)


def test_an_attempt_that_takes_longer_than_its_lease_is_a_timeout(line: Line) -> None:
    class Slow(FakeEndpoint):
        async def send(self, id: str, body: bytes, now: Any) -> int:
            await asyncio.sleep(5)
            return 200

    line.city = replace(line.city, webhooks={"ankang": Slow()})
    (rx_id,) = admit(line.city)
    line.to_fulfilling(rx_id)
    asyncio.run(deliver_due(line.city, lease=timedelta(seconds=0.05)))
    assert [row.last_error for row in rows(line)] == ["timeout"]


def test_after_ten_attempts_over_days_it_is_given_up_and_a_person_is_told_once_a_day(line: Line, endpoint: FakeEndpoint) -> None:
    endpoint.status = 503
    (rx_id,) = admit(line.city)
    line.to_fulfilling(rx_id)
    began = line.clock()
    for pause in (0, *PAUSES):
        line.clock.advance(seconds=pause * 1.1 + 1)
        line.deliver()
    assert len(endpoint.asked) == 10
    assert line.clock() - began > timedelta(hours=75)
    (row,) = rows(line)
    assert (row.due_at, row.sent_at, row.attempts, row.last_error) == (None, None, 10, "http_503")
    assert notices(line) == [("webhook_stopped", "ankang", "given_up")]
    line.clock.advance(days=3)
    assert line.deliver() == 0
    endpoint.status = 200
    assert tasks.send_again(line.city, "ankang", row.key)
    assert line.deliver() == 1
    assert types(endpoint) == ["order.placed"]


def test_410_stops_everything_until_a_person_resumes_it_and_then_the_order_is_kept(line: Line, endpoint: FakeEndpoint) -> None:
    endpoint.status = 410
    first, second = admit(line.city, 2)
    line.to_fulfilling(first)
    line.deliver()
    line.to_fulfilling(second)
    cancel_by_hospital(line.city, 1)
    line.hop(first)
    line.clock.advance(days=1)
    line.deliver()
    assert len(endpoint.asked) == 1, "nothing is sent to an address that is out of use"
    assert [(row.due_at, row.last_error) for row in rows(line)] == [(None, "http_410"), (None, "stopped"), (None, "stopped")]
    assert notices(line) == [("webhook_stopped", "ankang", "gone")]
    endpoint.status = 200
    assert tasks.resume(line.city, "ankang")
    assert not tasks.resume(line.city, "ankang")
    assert line.deliver() == 3
    about_first = [id for id in endpoint.taken if line.order(first).id in id]
    assert about_first == [f"evt_{line.order(first).id}_placed", f"evt_{line.order(first).id}_cancelled"]
    with line.city.db.reading() as session:
        assert session.scalars(sa.select(StoppedWebhookRow)).all() == []


def test_a_message_that_was_delivered_can_be_sent_again_under_its_id(line: Line, endpoint: FakeEndpoint) -> None:
    (rx_id,) = admit(line.city)
    line.to_fulfilling(rx_id)
    line.deliver()
    (row,) = rows(line)
    assert tasks.send_again(line.city, "ankang", row.key)
    line.deliver()
    assert endpoint.asked == [row.key, row.key]
    assert not tasks.send_again(line.city, "baicao", row.key), "another chain's"
    assert not tasks.send_again(line.city, "ankang", "evt_of_nobody")


def test_a_recall_tells_every_chain_what_not_to_sell_and_which_orders_have_it(line: Line, endpoint: FakeEndpoint) -> None:
    other = FakeEndpoint()
    line.city = replace(line.city, webhooks={"ankang": endpoint, "baicao": other})
    (rx_id,) = admit(line.city)
    placed = line.to_fulfilling(rx_id)
    line.say(rx_id, ChainWord.PREPARED)
    lot, drug = _prepared(line, placed.id)
    for _ in range(2):
        recall(line.city, drug=drug, lot=lot, reason="张三投诉 quality", by="o001")
    line.deliver()
    assert types(other) == ["recall.made"]
    assert sorted(types(endpoint)) == ["order.placed", "order.recalled", "recall.made"]
    told = next(message["data"] for message in endpoint.taken.values() if message["type"] == WebhookType.ORDER_RECALLED)
    assert (told["order_id"], told["drug"]) == (placed.id, drug)
    assert told["packs"]
    assert all(len(pack["code"]) == 20 and pack["handed_over"] is False for pack in told["packs"])
    made = next(iter(other.taken.values()))
    assert made["data"] == {"drug": drug, "lot": lot}, "what a person wrote as the reason stays here"


def _prepared(line: Line, order_id: str) -> tuple[str, str]:
    chain = line.chain("ankang")
    order = chain.book[order_id].order
    scan: Scan = chain.packs(order)[0]
    return scan.lot, next(li.drug for li in order.lines if li.line == scan.line)


def test_a_chain_reads_again_from_its_cursor_the_oldest_first(line: Line, endpoint: FakeEndpoint) -> None:
    endpoint.status = 500
    for rx_id in admit(line.city, 3):
        line.to_fulfilling(rx_id)
    keys = [row.key for row in rows(line)]
    first = json.loads(read(line, {"limit": 2}).body)
    assert ([message["id"] for message in first["events"]], first["more"]) == (keys[:2], True)
    rest = json.loads(read(line, {"after": first["next"]}, "nonce-of-reading-0002").body)
    assert ([message["id"] for message in rest["events"]], rest["more"]) == (keys[2:], False)
    again = json.loads(read(line, {"after": rest["next"]}, "nonce-of-reading-0003").body)
    assert (again["events"], again["next"]) == ([], rest["next"])
    endpoint.status = 200
    line.clock.advance(minutes=1)
    line.deliver()
    for message in first["events"] + rest["events"]:
        assert endpoint.taken[message.pop("id")] == message, "what is read is what is sent"


@pytest.mark.parametrize(("question", "faults"), [
    ({"limit": 0}, ["limit"]), ({"limit": 501}, ["limit"]), ({"after": "x"}, ["after"]), ({"since": "1"}, ["since"]), ([], ["$"])])
def test_a_question_that_makes_no_sense_is_told_where(line: Line, question: Any, faults: list[str]) -> None:
    answer = read(line, question)
    assert (answer.status, json.loads(answer.body)) == (422, {"result": "invalid", "why": faults})


def test_a_question_that_asks_twice_is_told_what_stands_twice(line: Line) -> None:
    answer = read(line, b'{"after": "1", "limit": 2, "after": "9"}')
    assert (answer.status, json.loads(answer.body)) == (422, {"result": "invalid", "why": ["after"]})


def test_a_reading_is_signed_and_its_nonce_counts_once(line: Line) -> None:
    assert read(line, {}).status == 200
    assert read(line, {}).status == 401
    with pytest.raises(Refused, match="bad signature"):
        receive_reading(line.city, "ankang", timestamp="1", nonce="n" * 20, signature="00", body=b"{}")


def test_two_workers_at_once_send_each_message_once(tmp_path: Path, postgres_url: str) -> None:
    endpoint = FakeEndpoint()
    city = replace(make_city(tmp_path / "one", postgres_url), webhooks={"ankang": endpoint})
    other = replace(make_city(tmp_path / "two", postgres_url), webhooks={"ankang": endpoint})
    line = Line(city)
    try:
        for rx_id in admit(city, 4):
            line.to_fulfilling(rx_id)
            assert line.status(rx_id) is Status.FULFILLING

        async def both() -> list[int]:
            return await asyncio.gather(deliver_due(city), deliver_due(other))

        asyncio.run(both())
        assert sorted(endpoint.asked) == sorted({row.key for row in rows(line)})
        assert len(endpoint.asked) == 4
    finally:
        city.db.close()
        other.db.close()


def test_a_message_that_is_committed_late_gets_a_later_position(tmp_path: Path, postgres_url: str) -> None:
    """Otherwise the cursor of a chain that has read meanwhile would pass it."""
    city = replace(make_city(tmp_path, postgres_url), webhooks={"ankang": FakeEndpoint()})
    line = Line(city)
    try:
        first, second = admit(city, 2)
        line.to_fulfilling(first)
        with city.db.transaction() as late:
            with city.db.reading() as session:
                order = orders.of(session, first)[-1]
            tasks.tell_of_order(late, city, "ankang", WebhookType.ORDER_CANCELLED, order_id=order.id, rx_id=first, store="AK01")
            line.to_fulfilling(second)
            with city.db.transaction() as session:
                seen = [message.key for message in webhooks.page(session, "ankang", 0, 10)]
            assert seen == [f"evt_{order.id}_placed", f"evt_{line.order(second).id}_placed"]
        with city.db.transaction() as session:
            assert [message.key for message in webhooks.page(session, "ankang", 2, 10)] == [f"evt_{order.id}_cancelled"]
    finally:
        city.db.close()

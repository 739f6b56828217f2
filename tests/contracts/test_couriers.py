"""What every courier promises. A new folder is under test because it exists."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from adapters import registry
from adapters.chains import wire
from domain.couriers import Consignment, Stop
from domain.errors import InvalidPayload, NeedsOperator, OutcomeUnknown, Refused
from domain.fulfilment.deliveries import DeliveryStatus
from domain.money import Fen
from domain.payments import Method, Tendered
from infra.http import Response
from tests.support.fakes import Replay

COURIERS = registry.slugs("couriers")
SECRETS = {"token": "MARK-token", "callback": "MARK-callback"}
KEY = "ord_sample1:1"
CONSIGNMENT = Consignment(
    KEY, Stop("槐荫小药房（示范）", latitude=Decimal("36.65"), longitude=Decimal("116.98")),
    Stop("〇**", "100****0001", "MARK-address", Decimal("36.67"), Decimal("117.03")), datetime(2026, 11, 22, 5, tzinfo=UTC), 2,
    Fen(2175), tuple(Method))
CALLS: Mapping[str, Callable[[Any], Awaitable[Any]]] = {
    "assign": lambda courier: courier.assign(CONSIGNMENT), "assign_refused": lambda courier: courier.assign(CONSIGNMENT),
    "find": lambda courier: courier.find(KEY), "find_unknown": lambda courier: courier.find(KEY),
    "cancel": lambda courier: courier.cancel(KEY, "cancelled"),
    "cancel_on_the_way": lambda courier: courier.cancel(KEY, "cancelled"),
    "cancel_refused": lambda courier: courier.cancel(KEY, "cancelled"),
    "cancel_unknown": lambda courier: courier.cancel(KEY, "cancelled"),
}
"""By sample: the call that was recorded."""
ANSWERS = {"assign": DeliveryStatus.ASSIGNED, "find": DeliveryStatus.ARRIVED, "find_unknown": None,
           "cancel": DeliveryStatus.CANCELLED, "cancel_on_the_way": DeliveryStatus.RETURNING}
REFUSALS = {"assign_refused": "no_courier", "cancel_refused": "over", "cancel_unknown": "unknown_delivery"}
NONSENSE = (b"", b"<parcel/>", b"[]", b"null", b"{}", b'{"no":"x","state":"created"}', b"\xff")
by_courier = pytest.mark.parametrize("slug", COURIERS)


def samples(slug: str) -> Path:
    return registry.HERE / "couriers" / slug / "samples"


def sample(slug: str, name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((samples(slug) / f"{name}.json").read_text(encoding="utf-8"))
    return read


def recorded(slug: str, name: str) -> Response:
    answer = sample(slug, name)["answer"]
    return Response(answer["status"], json.dumps(answer["body"], ensure_ascii=False).encode())


def courier(slug: str, *answers: Response | bytes | Exception) -> tuple[Any, Replay]:
    transport = Replay(*answers)
    return registry.load("couriers", slug, transport, SECRETS), transport


def says_nothing(error: BaseException) -> None:
    assert "MARK" not in repr(error) + str(error) + repr(getattr(error, "findings", ""))


def test_there_is_a_courier_to_test() -> None:
    assert COURIERS


@by_courier
def test_the_map_of_status_words_is_total_but_for_ours(slug: str) -> None:
    words = set(registry.manifest("couriers", slug).status_words.values())
    assert words == set(DeliveryStatus) - {DeliveryStatus.REQUESTED}


@by_courier
def test_every_promised_refusal_has_a_word(slug: str) -> None:
    assert set(registry.manifest("couriers", slug).refusals.values()) == {"no_courier", "over", "unknown_delivery"}


@by_courier
@pytest.mark.parametrize("name", CALLS)
async def test_every_call_sends_what_was_recorded_and_understands_the_answer(slug: str, name: str) -> None:
    adapter, transport = courier(slug, recorded(slug, name))
    if name in REFUSALS:
        with pytest.raises(Refused) as caught:
            await CALLS[name](adapter)
        assert caught.value.code == REFUSALS[name]
    else:
        waybill = await CALLS[name](adapter)
        assert (waybill.status if waybill else None) == ANSWERS[name]
    (sent,), request = transport.sent, sample(slug, name)["request"]
    assert (sent.method, sent.path) == (request["method"], request["path"])
    assert (json.loads(sent.body) if sent.body else None) == request["body"]
    assert sent.repeatable == name.startswith("find")


@by_courier
def test_every_callback_sample_becomes_a_word(slug: str) -> None:
    adapter, _ = courier(slug)
    updates = [adapter.parse_delivery(file.read_bytes()) for file in sorted(samples(slug).glob("callbacks/*.json"))]
    assert {update.status for update in updates} == set(DeliveryStatus) - {DeliveryStatus.REQUESTED, DeliveryStatus.ASSIGNED}
    assert all(update.event_id and update.delivery_id == KEY and update.at.tzinfo for update in updates)
    (signed,) = [update for update in updates if update.status is DeliveryStatus.SIGNED]
    assert signed.paid == Tendered(Fen(2175), "wechat", "4200001234")
    assert (len(signed.proof.digest), signed.proof.signature[:4], bool(signed.proof.place)) == (64, b"\x89PNG", True)
    assert {update.reason for update in updates if update.status is DeliveryStatus.ATTEMPT_FAILED} == {"nobody_home", "unpaid"}


@by_courier
@pytest.mark.parametrize("body", NONSENSE)
@pytest.mark.parametrize("name", ["assign", "find", "cancel"])
async def test_a_nonsense_answer_is_quarantined(slug: str, name: str, body: bytes) -> None:
    with pytest.raises(InvalidPayload) as caught:
        await CALLS[name](courier(slug, Response(200, body))[0])
    assert all(finding.path and finding.rule.startswith("CHN-") for finding in caught.value.findings)


@by_courier
@pytest.mark.parametrize("change", [
    {"state": "somewhere"}, {"when": "yesterday"}, {"when": "2026-11-22T01:20:00"}, {"try": -1}, {"try": "1"}, {"event": "a b"},
    {"parcel": "138 0000 0000"}, {"proof": {"picture": "bm8gcGljdHVyZQ=="}}, {"proof": {"picture": "%%%"}},
    {"proof": {"digest": "XYZ"}}, {"proof": {"lat": 91, "lng": 0}},
    {"paid": {"fen": "2175", "way": "cash"}}, {"paid": {"fen": -1, "way": "cash"}},
    {"paid": {"fen": 1, "way": "cash", "ref": "a b"}}])
def test_a_callback_that_breaks_the_contract_is_quarantined_and_quotes_nothing(slug: str, change: dict[str, Any]) -> None:
    body = json.loads((samples(slug) / "callbacks" / "delivered.json").read_bytes()) | change | {"why": "MARK"}
    with pytest.raises(InvalidPayload) as caught:
        courier(slug)[0].parse_delivery(json.dumps(body).encode())
    assert caught.value.findings
    says_nothing(caught.value)


@by_courier
@pytest.mark.parametrize("name", ["assign", "cancel"])
async def test_a_lost_answer_leaves_the_outcome_unknown(slug: str, name: str) -> None:
    adapter, transport = courier(slug, OutcomeUnknown("the line broke"))
    with pytest.raises(OutcomeUnknown):
        await CALLS[name](adapter)
    assert len(transport.sent) == 1


@by_courier
@pytest.mark.parametrize("status", [301, 401, 405, 418])
async def test_a_door_that_is_none_is_for_a_person(slug: str, status: int) -> None:
    with pytest.raises(NeedsOperator):
        await CALLS["assign"](courier(slug, Response(status, b"MARK"))[0])


@by_courier
def test_a_signature_is_of_the_bytes_and_their_age(slug: str) -> None:
    adapter, _ = courier(slug)
    now, body, nonce = datetime(2026, 11, 22, 1, tzinfo=UTC), b"{}", "n" * 16
    signature = wire.sign(SECRETS["callback"], str(int(now.timestamp())), nonce, body)
    adapter.verify(str(int(now.timestamp())), nonce, body, signature, now)
    for stamp, signed in ((str(int(now.timestamp())), b"{} "), (str(int(now.timestamp()) - 601), body)):
        with pytest.raises(Refused):
            adapter.verify(stamp, nonce, signed, signature, now)


@by_courier
def test_nothing_of_a_person_or_a_secret_is_in_a_repr(slug: str) -> None:
    adapter, transport = courier(slug, recorded(slug, "assign"))
    asyncio.run(CALLS["assign"](adapter))
    assert "MARK" not in repr(adapter) + repr(transport.sent) + repr(CONSIGNMENT)



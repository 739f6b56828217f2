"""A message to a chain's address is what the convention's own library accepts."""

import asyncio
import base64
from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from adapters.webhooks import Endpoint, keys_of, open_endpoint
from domain.errors import NeedsOperator, Transient
from infra.http import Response, open_client
from tests.support.fakes import Replay

NEW, OLD, OTHER = ("whsec_" + base64.b64encode(bytes([n]) * 24).decode() for n in (1, 2, 3))
BODY = b'{"type": "order.placed", "timestamp": "2026-12-01T00:00:00.000+00:00", "data": {"order_id": "ord_1"}}'


def sent(*keys: str) -> dict[str, str]:
    line = Replay(Response(204))
    assert asyncio.run(Endpoint(line, keys).send("evt_1", BODY, datetime.now(UTC))) == 204
    (request,) = line.sent
    assert (request.method, request.path, request.body) == ("POST", "", BODY)
    return dict(request.headers)


def test_the_library_verifies_it_by_the_key() -> None:
    assert Webhook(NEW).verify(BODY, sent(NEW))["data"] == {"order_id": "ord_1"}


def test_while_two_keys_are_valid_either_verifies_it() -> None:
    headers = sent(NEW, OLD)
    assert headers["webhook-signature"].count("v1,") == 2
    for key in (NEW, OLD):
        Webhook(key).verify(BODY, headers)


@pytest.mark.parametrize("change", [{"webhook-id": "evt_2"}, {"webhook-timestamp": "1"}, {"webhook-signature": "v1,AAAA"}])
def test_nothing_of_it_can_be_changed(change: dict[str, str]) -> None:
    with pytest.raises(WebhookVerificationError):
        Webhook(NEW).verify(BODY, sent(NEW) | change)


def test_a_key_that_is_not_valid_verifies_nothing() -> None:
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER).verify(BODY, sent(NEW, OLD))


@pytest.mark.parametrize("status", [200, 302, 404, 410, 500, 503])
def test_the_status_of_any_answer_comes_back(status: int) -> None:
    line = Replay(Response(status))
    assert asyncio.run(Endpoint(line, [NEW]).send("evt_1", BODY, datetime.now(UTC))) == status


def test_what_the_line_raises_is_passed_on() -> None:
    with pytest.raises(Transient):
        asyncio.run(Endpoint(Replay(Transient("x", code="unanswered")), [NEW]).send("evt_1", BODY, datetime.now(UTC)))


@pytest.mark.parametrize(("secrets", "code"), [
    ({}, "no_webhook_key"), ({"webhook_old": OLD}, "no_webhook_key"),
    ({"webhook": "whsec_short"}, "bad_webhook_key"), ({"webhook": "not base64 at all, though long enough"}, "bad_webhook_key"),
    ({"webhook": NEW, "webhook_old": "whsec_" + base64.b64encode(b"x" * 23).decode()}, "bad_webhook_key")])
def test_a_key_that_is_missing_or_too_short_is_said_at_the_start(secrets: dict[str, str], code: str) -> None:
    with pytest.raises(NeedsOperator) as no:
        keys_of("ankang", secrets)
    assert no.value.code == code
    assert not any(value and value in str(no.value) for value in secrets.values())


def test_an_endpoint_is_opened_with_the_key_in_use_first() -> None:
    async def opened() -> Endpoint:
        client = open_client()
        try:
            return open_endpoint("ankang", "http://127.0.0.1:9/hooks", {"webhook": NEW, "webhook_old": OLD}, client)
        finally:
            await client.aclose()

    headers = asyncio.run(opened()).headers("evt_1", BODY, datetime.now(UTC))
    assert headers["webhook-signature"].split(" ")[0] == Endpoint(Replay(), [NEW]).headers(
        "evt_1", BODY, datetime.now(UTC))["webhook-signature"]

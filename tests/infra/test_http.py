"""The way out: what is retried, what is in doubt, and what nobody may read in an error."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest

from domain.errors import InvalidPayload, NeedsOperator, OutcomeUnknown, RxError, Transient
from infra import http
from infra.http import NOT_SENT, UNANSWERED, Breaker, BreakerState, HttpTransport, Request, Response

ASK = Request("GET", "/v1/orders/ord_1", repeatable=True)
ORDER = Request("POST", "/v1/orders", b"MARK-body", {"authorization": "MARK-token"})


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


class Partner:
    """Answers or fails in the given order; the last entry for ever."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.heard: list[httpx.Request] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.heard.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, content=answer.content, headers=answer.headers)


def ok(body: bytes = b"{}") -> httpx.Response:
    return httpx.Response(200, content=body)


def status(code: int, **headers: str) -> httpx.Response:
    return httpx.Response(code, content=b"MARK-answer", headers={k.replace("_", "-"): v for k, v in headers.items()})


def line(
    partner: Callable[..., object],
    clock: Clock,
    *,
    attempts: int = 3,
    per_second: float = 1000.0,
    breaker: Breaker | None = None,
) -> HttpTransport:
    return HttpTransport(
        "demo",
        "http://partner.example/base/",
        timeout=2.0,
        attempts=attempts,
        per_second=per_second,
        breaker=breaker or Breaker(failures=100, seconds=30),
        client=httpx.AsyncClient(transport=httpx.MockTransport(partner)),  # type: ignore[arg-type]
        clock=clock,
        sleep=clock.sleep,
    )


async def test_an_answer_comes_back_as_it_was_given() -> None:
    partner = Partner(httpx.Response(409, content=b"no", headers={"X-Why": "stock"}))
    answer = await line(partner, Clock()).send(ORDER)
    assert (answer.status, answer.body, answer.headers["x-why"]) == (409, b"no", "stock")
    assert str(partner.heard[0].url) == "http://partner.example/base/v1/orders"
    assert partner.heard[0].content == b"MARK-body"


@pytest.mark.parametrize("failure", [httpx.ReadTimeout("x"), httpx.ConnectError("x"), status(500), status(429)])
async def test_a_repeatable_request_is_tried_again(failure: httpx.Response | Exception) -> None:
    partner, clock = Partner(failure, failure, ok()), Clock()
    assert (await line(partner, clock).send(ASK)).status == 200
    assert len(partner.heard) == 3
    assert len(clock.slept) == 2


async def test_a_repeatable_request_is_given_up_after_its_attempts() -> None:
    partner = Partner(httpx.ReadTimeout("x"))
    with pytest.raises(Transient) as caught:
        await line(partner, Clock(), attempts=4).send(ASK)
    assert len(partner.heard) == 4
    assert caught.value.code == UNANSWERED


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ReadTimeout("x"),
        httpx.WriteTimeout("x"),
        httpx.ReadError("x"),
        httpx.WriteError("x"),
        httpx.RemoteProtocolError("x"),
        status(500),
        status(502),
        status(503),
    ],
)
async def test_what_must_not_be_repeated_is_sent_once_and_then_in_doubt(failure: httpx.Response | Exception) -> None:
    partner = Partner(failure)
    with pytest.raises(OutcomeUnknown):
        await line(partner, Clock()).send(ORDER)
    assert len(partner.heard) == 1


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ConnectError("x"),
        httpx.ConnectTimeout("x"),
        httpx.PoolTimeout("x"),
        status(429),
        status(503, retry_after="1"),
    ],
)
async def test_what_never_reached_the_partner_is_not_in_doubt(failure: httpx.Response | Exception) -> None:
    partner = Partner(failure)
    with pytest.raises(Transient) as caught:
        await line(partner, Clock()).send(ORDER)
    assert caught.value.code == NOT_SENT
    assert len(partner.heard) == 1


async def test_one_doubtful_attempt_among_many_leaves_doubt() -> None:
    with pytest.raises(Transient) as caught:
        await line(Partner(httpx.ReadTimeout("x"), httpx.ConnectError("x")), Clock()).send(ASK)
    assert caught.value.code == UNANSWERED


@pytest.mark.parametrize("code", [401, 403])
async def test_refused_credentials_are_for_a_person_and_are_not_retried(code: int) -> None:
    partner = Partner(status(code))
    with pytest.raises(NeedsOperator):
        await line(partner, Clock()).send(ASK)
    assert len(partner.heard) == 1


async def test_an_address_that_is_none_is_for_a_person() -> None:
    with pytest.raises(NeedsOperator):
        await HttpTransport("demo", "nowhere").send(ASK)


async def test_the_partner_says_how_long_to_wait() -> None:
    clock = Clock()
    await line(Partner(status(429, retry_after="7"), ok()), clock).send(ASK)
    assert clock.slept[0] >= 7
    await line(Partner(status(429, retry_after="3600"), ok()), clock).send(ASK)
    assert clock.slept[1] <= http.MAX_WAIT_SECONDS


@pytest.mark.parametrize("request_", [ASK, ORDER])
@pytest.mark.parametrize(
    "failure", [httpx.ReadTimeout("MARK-read"), httpx.ConnectError("MARK-connect"), status(500), status(401)]
)
async def test_no_error_says_what_was_sent_or_answered(request_: Request, failure: httpx.Response | Exception) -> None:
    with pytest.raises(RxError) as caught:
        await line(Partner(failure), Clock()).send(request_)
    error: BaseException | None = caught.value
    assert "demo" in str(error)
    assert request_.path in str(error)
    while error is not None:
        assert "MARK" not in repr(error)
        assert not isinstance(error, httpx.HTTPError)
        error = error.__cause__ or error.__context__


def test_no_repr_says_what_was_sent_or_answered() -> None:
    assert "MARK" not in repr(ORDER)
    assert "MARK" not in repr(Response(200, b"MARK", {"set-cookie": "MARK"}))


async def test_a_query_stays_out_of_the_error() -> None:
    with pytest.raises(Transient) as caught:
        await line(Partner(httpx.ReadTimeout("x")), Clock()).send(Request("GET", "/v1/find?q=MARK", repeatable=True))
    assert "MARK" not in str(caught.value)


async def test_an_answer_beyond_measure_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_ANSWER_BYTES", 10)
    with pytest.raises(InvalidPayload):
        await line(Partner(ok(b"x" * 11)), Clock()).send(ASK)
    with pytest.raises(OutcomeUnknown):
        await line(Partner(ok(b"x" * 11)), Clock()).send(ORDER)
    assert (await line(Partner(ok(b"x" * 10)), Clock()).send(ASK)).body == b"x" * 10


async def test_a_partner_that_answers_drop_by_drop_is_cut_off() -> None:
    async def drip(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(3600)
        return ok()

    transport = HttpTransport(
        "demo",
        "http://partner.example",
        timeout=0.01,
        client=httpx.AsyncClient(transport=httpx.MockTransport(drip)),
    )
    with pytest.raises(OutcomeUnknown):
        await asyncio.wait_for(transport.send(ORDER), 60)


async def test_the_breaker_opens_after_failures_in_a_row_and_then_asks_nobody() -> None:
    partner, clock = Partner(httpx.ReadTimeout("x")), Clock()
    transport = line(partner, clock, breaker=Breaker(failures=3, seconds=30))
    with pytest.raises(Transient):
        await transport.send(ASK)
    assert transport.breaker_state is BreakerState.OPEN
    with pytest.raises(Transient) as caught:
        await transport.send(ORDER)
    assert caught.value.code == NOT_SENT
    assert len(partner.heard) == 3


async def test_success_in_between_keeps_the_breaker_closed() -> None:
    partner = Partner(status(500), status(404), status(500), status(404))
    transport = line(partner, Clock(), attempts=1, breaker=Breaker(failures=2, seconds=30))
    for _ in range(2):
        with pytest.raises(Transient):
            await transport.send(ASK)
        assert (await transport.send(ASK)).status == 404
    assert transport.breaker_state is BreakerState.CLOSED


async def test_a_server_error_that_is_the_partners_word_on_the_request_is_an_answer() -> None:
    partner = Partner(status(500), status(500), status(500))
    transport = line(partner, Clock(), breaker=Breaker(failures=1, seconds=30))
    order = replace(ORDER, considered=lambda answer: answer.status == 500)
    assert (await transport.send(order)).status == 500
    assert transport.breaker_state is BreakerState.CLOSED
    with pytest.raises(OutcomeUnknown):
        await transport.send(replace(ORDER, considered=lambda _: False))
    assert len(partner.heard) == 2


async def test_a_half_open_breaker_lets_one_request_through_and_closes_when_it_is_answered() -> None:
    clock, gate, heard = Clock(), asyncio.Event(), []

    async def partner(request: httpx.Request) -> httpx.Response:
        heard.append(request)
        if len(heard) == 1:
            raise httpx.ReadTimeout("x")
        await gate.wait()
        return ok()

    transport = line(partner, clock, attempts=1, breaker=Breaker(failures=1, seconds=30))
    with pytest.raises(Transient):
        await transport.send(ASK)
    clock.now += 31
    assert transport.breaker_state is BreakerState.HALF_OPEN
    probe = asyncio.create_task(transport.send(ASK))
    while len(heard) < 2:
        await asyncio.sleep(0)
    with pytest.raises(Transient):
        await transport.send(ASK)
    gate.set()
    assert (await probe).status == 200
    state: BreakerState = transport.breaker_state
    assert state.value == "closed"
    assert len(heard) == 2


async def test_a_failed_probe_opens_the_breaker_again() -> None:
    clock = Clock()
    transport = line(Partner(status(500)), clock, attempts=1, breaker=Breaker(failures=1, seconds=30))
    for _ in range(2):
        with pytest.raises(Transient):
            await transport.send(ASK)
        assert transport.breaker_state is BreakerState.OPEN
        clock.now += 31
    assert transport.breaker_state is BreakerState.HALF_OPEN


async def test_a_cancelled_probe_does_not_block_the_next_one() -> None:
    clock, hang = Clock(), asyncio.Event()

    async def partner(_: httpx.Request) -> httpx.Response:
        if clock.now == 0:
            raise httpx.ReadTimeout("x")
        await hang.wait()
        return ok()

    transport = line(partner, clock, attempts=1, breaker=Breaker(failures=1, seconds=30))
    with pytest.raises(Transient):
        await transport.send(ASK)
    clock.now += 31
    probe = asyncio.create_task(transport.send(ASK))
    await asyncio.sleep(0.01)
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    hang.set()
    assert (await transport.send(ASK)).status == 200


async def test_no_more_requests_per_second_than_agreed() -> None:
    clock = Clock()
    transport = line(Partner(ok()), clock, per_second=2)
    for _ in range(6):
        await transport.send(ASK)
    assert clock.now == pytest.approx(2.0)  # two at once, then one every half second


async def test_whoever_would_wait_too_long_is_sent_away() -> None:
    clock = Clock()
    transport = line(Partner(ok()), clock, per_second=1)
    transport._sleep = lambda _: asyncio.sleep(0)  # all of them ask in the same instant
    answers = await asyncio.gather(*(transport.send(ORDER) for _ in range(10)), return_exceptions=True)
    # One at once, and two whose turn comes within the timeout of 2 s.
    assert [it.status for it in answers if isinstance(it, Response)] == [200] * 3
    assert [it.code for it in answers if isinstance(it, Transient)] == [NOT_SENT] * 7

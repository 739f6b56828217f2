"""What Prometheus is told: the truth, under labels that cannot grow, and nothing about anybody."""

import asyncio
import urllib.request
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from prometheus_client import REGISTRY

from domain.errors import RxError
from infra import metrics
from infra.db import canary, prescriptions, processes
from infra.db.effects import Effect, intend
from infra.db.figures import figures
from infra.db.processes import Process
from infra.http import Breaker, HttpTransport, Request, look
from tasks.line import hop
from tests.support.city import Clock, admit, make_city
from tests.support.services import _free_ports


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def transport(partner: str, answer: httpx.Response | Exception, **options) -> HttpTransport:
    def reply(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, content=answer.content)

    return HttpTransport(partner, "http://partner.example", attempts=1,
                         client=httpx.AsyncClient(transport=httpx.MockTransport(reply)), **options)


# --- calls to partners ---


@pytest.mark.parametrize(("answer", "outcome"), [
    (httpx.Response(200), "answered"), (httpx.Response(409), "answered"), (httpx.Response(500), "server_error"),
    (httpx.Response(401), "denied"), (httpx.Response(429), "busy"), (httpx.ConnectError("x"), "unreachable"),
    (httpx.ReadTimeout("x"), "unanswered"), (httpx.LocalProtocolError("x"), "broken_off")])
async def test_every_attempt_at_a_partner_is_counted_by_what_became_of_it(answer, outcome):
    labels = {"partner": "counted", "operation": "GET /v1/orders/{id}"}
    before = value("sanyi_partner_calls_total", outcome=outcome, **labels)
    with suppress(RxError):
        await transport("counted", answer).send(Request("GET", "/v1/orders/ord_ab12?x=1"))
    assert value("sanyi_partner_calls_total", outcome=outcome, **labels) == before + 1
    assert value("sanyi_partner_call_seconds_count", **labels) >= 1


async def test_an_open_breaker_shows_and_what_it_spares_is_counted():
    line = transport("broken", httpx.ConnectError("x"), breaker=Breaker(failures=1, seconds=60))
    assert value("sanyi_breaker", partner="broken", state="closed") == 1
    for _ in range(2):
        with pytest.raises(RxError):
            await line.send(Request("POST", "/v1/orders", operation="place"))
    assert value("sanyi_breaker", partner="broken", state="open") == 1
    assert value("sanyi_breaker", partner="broken", state="closed") == 0
    assert value("sanyi_partner_calls_total", partner="broken", operation="place", outcome="held_back") == 1


@pytest.mark.parametrize(("path", "counted"), [
    ("/v1/orders/ord_9kq2", "GET /v1/orders/{id}"), ("/fsi", "GET /fsi"), ("/", "GET /"),
    ("/v1/orders/ORD77/cancel?reason=x", "GET /v1/orders/{id}/cancel"), ("/rx_abc", "GET /{id}"),
    ("/10000000000", "GET /{id}")])
def test_an_operation_is_a_request_without_its_ids(path, counted):
    assert metrics.operation_of("GET", path) == counted


# --- hops ---


def test_a_hop_is_counted_by_stage_end_and_class_of_error(tmp_path):
    city = make_city(tmp_path)
    (rx_id,) = admit(city)
    labels = {"stage": "audit", "end": "in_review", "error": ""}
    before = value("sanyi_hops_total", **labels)
    asyncio.run(hop(city, rx_id))
    assert value("sanyi_hops_total", **labels) == before + 1
    city.db.close()


def test_a_partners_own_words_never_become_a_label():
    metrics.hop_ended("audit", "received", "Refused:[他们的编码]", 0.1)
    metrics.hop_ended("audit", "received", "ZeroDivisionError", 0.1)
    page = metrics.page().decode()
    assert "他们的编码" not in page
    assert "ZeroDivision" not in page
    assert 'error="Refused"' in page
    assert 'error="bug"' in page


# --- the figures of the database ---


@pytest.fixture
def city(tmp_path: Path, database_url: str):
    made = make_city(tmp_path, database_url, now=Clock())
    yield made
    made.db.close()


def read(city):
    with city.db.reading() as session:
        return figures(session, city.now())


def test_an_empty_city_has_nothing_due_and_every_open_status_at_zero(city):
    found = read(city)
    assert found.due == {}
    assert found.prescriptions["received"] == found.prescriptions["settled"] == 0
    assert "closed" not in found.prescriptions
    assert found.processes == {"gateway": 0, "worker": 0, "operations": 0}
    assert found.canary is None


def test_what_is_due_has_an_age_until_somebody_is_at_it(city):
    first, second = admit(city, 2)
    city.now.advance(seconds=90)
    assert read(city).due == {"jinan_first/": (2, 90.0)}
    assert read(city).prescriptions["received"] == 2
    with city.db.transaction("test") as session:
        prescriptions.lease(session, first, "w", at=city.now(), until=city.now() + timedelta(seconds=30))
    assert read(city).due == {"jinan_first/": (1, 90.0)}
    assert read(city).leases == 1
    asyncio.run(hop(city, second))
    city.now.advance(minutes=5)
    assert read(city).reviews == (1, 300.0)


def test_an_effect_counts_as_unknown_after_a_minute(city):
    (rx_id,) = admit(city)
    with city.db.transaction("test") as session:
        intend(session, Effect(rx_id, "hold", "ord_1"), partner="ankang", request_sha256="0" * 64, at=city.now())
    assert read(city).unknown_effects == {}
    city.now.advance(seconds=61)
    assert read(city).unknown_effects == {"ankang": 1}


def test_the_living_are_counted_by_kind_and_the_canary_has_an_age(city):
    with city.db.transaction("test") as session:
        processes.enter(session, Process("worker", "w-1", "host", 1, "0.1.0", city.now(), city.now()))
        canary.sing(session, city.now())
    city.now.advance(seconds=20)
    found = read(city)
    assert found.processes == {"gateway": 0, "worker": 1, "operations": 0}
    assert found.canary == 20
    city.now.advance(minutes=2)
    assert read(city).processes["worker"] == 0


def test_no_figure_holds_an_id(city):
    (rx_id,) = admit(city)
    page = metrics.page(metrics.FromDatabase(lambda: read(city))).decode()
    assert 'sanyi_queue_due{lane="jinan_first/"} 1.0' in page
    assert rx_id not in page


# --- the page ---


def test_an_answer_is_kept_for_some_seconds_and_an_error_is_not():
    now, answers = [0.0], iter([1, 2, 3])
    kept = metrics.Kept(lambda: next(answers), 5, clock=lambda: now[0])
    assert (kept(), kept()) == (1, 1)
    now[0] = 6
    assert kept() == 2


def test_without_a_database_the_page_says_so_and_nothing_else_of_it():
    page = metrics.page(metrics.FromDatabase(lambda: None)).decode()
    assert "sanyi_database_up 0.0" in page
    assert "sanyi_queue_due" not in page


def test_a_worker_has_a_page_of_its_own_and_a_taken_port_does_not_stop_it():
    (port,) = _free_ports(1)
    metrics.serve(port, "127.0.0.1")
    metrics.serve(port, "127.0.0.1")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        assert b"sanyi_hops_total" in answer.read()


# --- a look from outside ---


async def test_a_look_tells_who_answers_and_what_time_it_is_there():
    (port,) = _free_ports(1)
    metrics.serve(port, "127.0.0.1")
    began = datetime.now(UTC).replace(microsecond=0)
    seen = await look(f"http://127.0.0.1:{port}/metrics")
    assert seen.status == 200
    assert seen.date is not None
    assert began <= seen.date <= datetime.now(UTC)


async def test_a_look_at_nobody_is_an_answer_too():
    (port,) = _free_ports(1)
    seen = await look(f"http://127.0.0.1:{port}/")
    assert (seen.status, seen.error) == (0, "ConnectError")

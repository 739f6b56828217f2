"""Who may come in, and with what."""

import asyncio
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from fastapi import FastAPI, HTTPException
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from httpx import Response

from domain.people import Grant, Role, is_logged, person
from gateway.app import create_app
from gateway.web.access import COOKIE, Desk, Guard, May
from infra.db import access_log
from tasks import people
from tasks.city import City
from tasks.upkeep import sweep
from tests.support.city import OPERATOR_TOKEN, PHARMACIST_TOKEN, Clock, admit, make_settings
from tests.support.people import Enrolled, enrolled

OURS = {"Origin": "http://testserver"}


def sign_in(client: TestClient, code: str = OPERATOR_TOKEN, **fields: str) -> str:
    answer = client.post("/sign-in", data={"code": code, **fields}, headers=OURS)
    assert answer.status_code == 303
    return answer.headers["location"]


def test_the_cookie_is_a_signed_value_and_not_the_token(client: TestClient) -> None:
    answer = client.post("/sign-in", data={"code": OPERATOR_TOKEN}, headers=OURS)

    cookie = answer.headers["set-cookie"]
    assert OPERATOR_TOKEN not in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert client.get("/").status_code == 200


def test_over_tls_the_cookie_never_travels_in_the_clear(city: City, tmp_path: Path) -> None:
    client = TestClient(create_app(city, make_settings(tmp_path, gateway_url="https://testserver")),
                        base_url="https://testserver", follow_redirects=False)

    answer = client.post("/sign-in", data={"code": OPERATOR_TOKEN}, headers={"Origin": "https://testserver"})

    assert "Secure" in answer.headers["set-cookie"]


@pytest.mark.parametrize("spoil", [
    lambda value: value[:-1] + ("0" if value[-1] != "0" else "1"),
    lambda value: value[:-1],
    lambda value: value + ".",
    lambda value: value.swapcase(),
    lambda value: "[" * 30_000,
    lambda value: "{}.x",
    lambda value: "",
    lambda value: "%%%." + value,
])
def test_a_cookie_somebody_changed_is_worth_nothing(client: TestClient, spoil) -> None:  # type: ignore[no-untyped-def]
    sign_in(client)
    value = client.cookies[COOKIE].strip('"')
    client.cookies.clear()

    assert client.get("/", headers={"Cookie": f"{COOKIE}={value}"}).status_code == 200
    assert client.get("/", headers={"Cookie": f"{COOKIE}={spoil(value)}"}).status_code == 303


def test_a_sign_in_ends_with_the_shift(client: TestClient, clock: Clock) -> None:
    sign_in(client)
    clock.advance(hours=12, seconds=1)

    assert client.get("/").headers["location"] == "/sign-in?next=/"


def test_a_new_token_ends_every_sign_in_of_the_old_one(city: City, tmp_path: Path) -> None:
    someone = person("O001", Role.OPERATOR)
    value = Desk(city, make_settings(tmp_path)).cookie(someone)

    signed_in = Desk(city, make_settings(tmp_path)).by_cookie(value)
    assert signed_in is not None
    assert signed_in.person == someone
    assert Desk(city, make_settings(tmp_path, operators={"O001": "another-token-of-operator-1"})).by_cookie(value) is None
    assert Desk(city, make_settings(tmp_path, operators={})).by_cookie(value) is None


def test_names_from_the_environment_are_the_physicians_codes_again(city: City, tmp_path: Path) -> None:
    desk = Desk(city, make_settings(tmp_path, pharmacists={"d370100000001": "token-of-the-doctor"}))

    assert desk.by_token("token-of-the-doctor") == person("D370100000001", Role.PHARMACIST)


def test_a_wrong_code_is_said_and_signs_nobody_in(client: TestClient) -> None:
    answer = client.post("/sign-in", data={"code": "guess"}, headers=OURS)

    assert answer.status_code == 401
    assert "访问码不正确" in answer.text
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(("wished", "leads"), [
    ("/rx/rx_abc", "/rx/rx_abc"), ("//evil.example", "/"), ("https://evil.example", "/"), ("/\\evil.example", "/"),
    ("", "/"), ("/x\r\nSet-Cookie: a=b", "/"),
])
def test_a_sign_in_never_leads_elsewhere(client: TestClient, wished: str, leads: str) -> None:
    assert sign_in(client, next=wished) == leads


@pytest.mark.parametrize("origin", [{}, {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://["},
                                    {"Origin": "https://testserver"}, {"Origin": "http://testserver:81"}, {"Referer": "http://["},
                                    {"Referer": "https://evil.example/testserver"}])
def test_a_form_from_another_site_does_nothing(client: TestClient, city: City, origin: dict[str, str]) -> None:
    rx_id = admit(city)[0]
    sign_in(client)

    assert client.post(f"/rx/{rx_id}/wake", headers=origin).status_code == 403
    assert client.post(f"/api/ops/rx/{rx_id}/wake", headers=origin).status_code == 403
    assert client.post("/sign-in", data={"code": PHARMACIST_TOKEN}, headers=origin).status_code == 403
    assert client.post(f"/rx/{rx_id}/wake", headers=OURS).status_code == 303


def test_signing_out_ends_every_copy_of_the_cookie(client: TestClient) -> None:
    sign_in(client)
    copy = client.cookies[COOKIE]

    client.post("/sign-out", headers=OURS)

    assert client.get("/").status_code == 303
    client.cookies.clear()
    assert client.get("/", headers={"Cookie": f"{COOKIE}={copy}"}).status_code == 303


def test_two_browsers_of_one_person_end_apart(client: TestClient) -> None:
    sign_in(client)
    first = client.cookies[COOKIE]
    client.cookies.clear()
    sign_in(client)

    client.post("/sign-out", headers=OURS)

    client.cookies.clear()
    assert client.get("/", headers={"Cookie": f"{COOKIE}={first}"}).status_code == 200


def test_a_clock_that_is_set_back_revives_no_sign_in(client: TestClient, clock: Clock) -> None:
    sign_in(client)
    clock.advance(hours=12, seconds=1)
    assert client.get("/").status_code == 303

    clock.advance(hours=-2)

    assert client.get("/").status_code == 303


def test_nor_does_one_that_is_set_back_after_the_sweep_or_somebody_elses_sign_in(
        client: TestClient, city: City, clock: Clock, tmp_path: Path) -> None:
    sign_in(client)
    clock.advance(hours=12, seconds=1)
    asyncio.run(sweep(city))
    clock.advance(hours=-2)

    # Another process has not seen the later moment.
    other = TestClient(create_app(city, make_settings(tmp_path)), follow_redirects=False)
    assert other.get("/", headers={"Cookie": f"{COOKIE}={client.cookies[COOKIE]}"}).status_code == 303


def test_the_database_holds_nothing_that_would_let_anybody_in(client: TestClient, city: City) -> None:
    sign_in(client)
    with city.db.reading() as session:
        rows = [str(value) for row in session.connection().exec_driver_sql("SELECT * FROM sign_in") for value in row]
    assert rows
    assert not any(client.cookies[COOKIE] in value or OPERATOR_TOKEN in value for value in rows)


def test_whoever_tries_out_codes_waits_and_then_even_the_right_one_says_nothing(
        client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    tries = [client.post("/sign-in", data={"code": f"guess-{number}"}, headers=OURS) for number in range(12)]

    assert [one.status_code for one in tries] == [401] * 10 + [429] * 2
    assert int(tries[-1].headers["retry-after"]) > 0
    assert client.post("/sign-in", data={"code": OPERATOR_TOKEN}, headers=OURS).status_code == 429
    written = caplog.text
    assert written.count("sign_in.refused") == 10
    assert "guess-" not in written


def test_a_sign_in_is_written_down_without_its_code(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    sign_in(client)

    written = caplog.text
    assert "sign_in.taken" in written
    assert "O001" in written
    assert OPERATOR_TOKEN not in written


def test_a_token_that_is_guessed_at_the_programs_door_is_slowed_down_too(client: TestClient) -> None:
    wrong = {"Authorization": "Bearer guess"}
    assert {client.get("/api/ops/board", headers=wrong).status_code for _ in range(60)} == {401}
    assert client.get("/api/ops/board", headers=wrong).status_code == 429
    assert client.get("/metrics", headers=wrong).status_code == 429
    # The page has a measure of its own: a program gone wrong locks no person out.
    sign_in(client)


def test_a_crowd_of_guesses_from_everywhere_slows_strangers_and_not_those_who_were_here(clock: Clock) -> None:
    now = 0.0
    guard = Guard(lambda: now)
    guard.passed("10.0.0.1", "P001", "token")
    for number in range(300):
        guard.check(f"10.1.{number // 250}.{number % 250}", program=False)
        guard.failed(f"10.1.{number // 250}.{number % 250}", program=False)

    with pytest.raises(HTTPException):
        guard.check("10.2.0.1", program=False)
    guard.check("10.0.0.1", program=False)
    now = 600.0
    guard.check("10.2.0.1", program=False)


def test_a_pharmacist_sees_on_pages_what_the_api_gives_and_no_more(client: TestClient, city: City,
                                                                   pharmacist: dict[str, str]) -> None:
    rx_id = admit(city)[0]
    for page, same in (("/rx", "/api/ops/prescriptions"), ("/mapping", "/api/ops/mapping")):
        assert (client.get(page, headers=pharmacist).status_code, client.get(same, headers=pharmacist).status_code) == (403, 403)
    # The way home leads a pharmacist to the desk.
    assert client.get("/", headers=pharmacist).headers["location"] == "/review"
    for page, same in ((f"/rx/{rx_id}", f"/api/rx/{rx_id}"), ("/review", "/api/review/queue")):
        assert (client.get(page, headers=pharmacist).status_code, client.get(same, headers=pharmacist).status_code) == (200, 200)


def test_a_pharmacist_has_no_business_in_the_books(client: TestClient, pharmacist: dict[str, str]) -> None:
    for path in ("board", "ledger", "verify", "stages", "prescriptions", "discrepancies", "notices", "reconciliations"):
        assert client.get(f"/api/ops/{path}", headers=pharmacist).status_code == 403
        assert client.get(f"/api/ops/{path}").status_code == 401
        assert client.get(f"/api/ops/{path}", headers={"Authorization": "Bearer no"}).status_code == 401


def test_every_answer_carries_safe_headers(client: TestClient, city: City) -> None:
    rx_id = admit(city)[0]
    sign_in(client)
    for path in ("/", "/rx", f"/rx/{rx_id}", "/review", "/sign-in", "/nowhere", f"/api/rx/{rx_id}", "/health",
                 "/fhir/jinan_first/Task/x", "/static/sanyi.css"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == ("max-age=3600" if path.startswith("/static") else "no-store")


def test_no_page_asks_another_host_for_anything(client: TestClient, city: City) -> None:
    rx_id = admit(city)[0]
    sign_in(client)
    for path in ("/", "/rx", f"/rx/{rx_id}", "/review", f"/review/{rx_id}"):
        page = client.get(path).text
        assert re.findall(r"<script[^>]*>", page.replace('<script src="/static/live.js" defer ', "<live ")) == []
        assert not re.search(r'\son\w+="|(src|action)="(?!/)', page)
        assert "style=" not in page
        assert 'rel="stylesheet" href="/static/sanyi.css"' in page


# --- password and authenticator ---


@pytest.fixture
def colleague(city: City, clock: Clock) -> Enrolled:
    made = enrolled(city, "P007", Role.PHARMACIST)
    clock.advance(minutes=1)
    return made


def by_password(client: TestClient, who: Enrolled, **changed: str) -> Response:
    fields = {"id": who.id, "password": who.password, "otp": who.digits(), **changed}
    answer: Response = client.post("/sign-in", data=fields, headers=OURS)
    return answer


def test_a_person_signs_in_with_password_and_authenticator(client: TestClient, colleague: Enrolled) -> None:
    answer = by_password(client, colleague)

    assert (answer.status_code, answer.headers["location"]) == (303, "/review")
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert client.get("/review").status_code == 200
    assert client.get("/rx").status_code == 403


@pytest.mark.parametrize("wrong", [{"id": "P999"}, {"password": "wrong"}, {"otp": "000000"}])
def test_whatever_is_wrong_the_page_says_the_same(client: TestClient, colleague: Enrolled, wrong: dict[str, str]) -> None:
    answer = by_password(client, colleague, **wrong)

    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert answer.text == by_password(client, colleague, id="NOBODY").text
    assert colleague.password not in answer.text


def test_guesses_of_passwords_are_slowed_down_by_address(client: TestClient, colleague: Enrolled) -> None:
    tries = [by_password(client, colleague, id=f"X{number}", password="guess").status_code for number in range(11)]
    assert tries == [401] * 10 + [429]


def test_a_password_is_never_written_to_the_log(
        client: TestClient, colleague: Enrolled, caplog: pytest.LogCaptureFixture) -> None:
    by_password(client, colleague, password="a-wrong-secret")
    by_password(client, colleague)
    assert "sign_in.taken" in caplog.text
    assert "a-wrong-secret" not in caplog.text
    assert colleague.password not in caplog.text


def test_other_roles_end_the_sign_in_at_once(client: TestClient, city: City, colleague: Enrolled) -> None:
    by_password(client, colleague)
    people.grant(city, "A000", "P007", Grant(Role.OPERATOR))
    assert client.get("/review").headers["location"] == "/sign-in?next=/review"


def test_somebody_of_the_settings_who_has_left_is_let_in_no_more(
        client: TestClient, city: City, operator: dict[str, str]) -> None:
    sign_in(client)
    people.leave(city, "A000", "O001")
    assert client.get("/").status_code == 303
    assert client.get("/api/ops/board", headers=operator).status_code == 401
    assert client.post("/sign-in", data={"code": OPERATOR_TOKEN}, headers=OURS).status_code == 401


def test_who_has_two_roles_acts_in_that_of_the_token_only(client: TestClient, city: City, operator: dict[str, str]) -> None:
    client.get("/api/ops/board", headers=operator)
    people.grant(city, "A000", "O001", Grant(Role.PHARMACIST))
    rx_id = admit(city)[0]
    assert client.post(f"/api/review/{rx_id}/claim", headers=operator).status_code == 403


# --- the access log ---

OPEN = {
    "/health", "/ready", "/metrics", "/sign-in", "/static", "/enrol", "/oidc/begin", "/oidc/back", "/p/{link}", "/p/{link}/cancel",
    "/p/{link}/choice", "/p/{link}/wish_to_choose", "/api/p/{link}", "/api/p/{link}/choice", "/api/p/{link}/wish_to_choose",
    "/api/p/{link}/cancel",
}
"""Routes for which a person need not have signed in."""
MACHINES = ("/fhir/", "/messages/", "/epc/", "/soap/", "/callbacks/", "/api/alerts")
FOR_ALL = {"/": "leads each to their page", "/sign-out": "ends what is one's own"}
"""Routes of a person that need no capability, and why."""


def routes(app: FastAPI) -> Iterator[tuple[str, str, list[May]]]:
    """Method, path and the capabilities asked for, of every route of people."""
    for route in _api_routes(app.routes):
        if not (route.path in OPEN or route.path.startswith(MACHINES)):
            asked = [needed.call for needed in route.dependant.dependencies if isinstance(needed.call, May)]
            for method in sorted(route.methods or ()):
                yield method, route.path, asked


def _api_routes(found: Sequence[object]) -> Iterator[APIRoute]:
    for route in found:
        if isinstance(route, APIRoute):
            yield route
        elif hasattr(route, "original_router"):
            yield from _api_routes(route.original_router.routes)


def test_every_route_of_people_asks_for_one_capability(client: TestClient) -> None:
    app = client.app
    assert isinstance(app, FastAPI)
    listed = list(routes(app))
    assert len(listed) > 25, "the walk over the routes finds them"
    assert [(method, path) for method, path, asked in listed if path not in FOR_ALL and len(asked) != 1] == []


def test_every_route_about_one_prescription_is_written_down(client: TestClient) -> None:
    app = client.app
    assert isinstance(app, FastAPI)
    about_one = [(method, path, asked) for method, path, asked in routes(app) if "{rx_id}" in path]
    assert about_one
    assert [(method, path) for method, path, asked in about_one
            if not is_logged(asked[0].capability, act=method not in ("GET", "HEAD"))] == []


def log_of(city: City, who: str) -> list[tuple[str, str, str, str]]:
    with city.db.reading() as session:
        assert access_log.verify(session) == []
        return [(entry.kind, entry.capability, entry.prescription_id, entry.detail)
                for entry in reversed(access_log.search(session, person=who))]


def test_each_view_and_act_of_a_person_is_in_the_access_log(
        client: TestClient, city: City, pharmacist: dict[str, str], operator: dict[str, str]) -> None:
    rx_id = admit(city)[0]
    for path in (f"/rx/{rx_id}", f"/api/rx/{rx_id}", f"/review/{rx_id}"):
        client.get(path, headers=pharmacist)
    client.get(f"/api/rx/{rx_id}/history", headers=pharmacist)
    client.post(f"/api/review/{rx_id}/claim", headers=pharmacist)
    client.post(f"/review/{rx_id}/decision", headers=pharmacist, data={"decision": "pass"})
    client.post(f"/api/ops/rx/{rx_id}/wake", headers=pharmacist)
    client.get("/review", headers=pharmacist)
    client.get("/rx/rx_nothing", headers=pharmacist)

    assert log_of(city, "P001") == [
        *[("view", "see_prescription", rx_id, "")] * 3, ("view", "export_histories", rx_id, ""),
        ("act", "claim_review", rx_id, ""), ("refused", "claim_review", rx_id, "not_in_review"),
        ("act", "decide_review", rx_id, ""), ("refused", "decide_review", rx_id, "not_in_review"),
        ("refused", "redrive", rx_id, "forbidden"), ("view", "see_prescription", "", "")]

    client.get("/api/ops/ledger", headers=operator)
    client.get("/rx", headers=operator)
    client.get("/api/ops/board", headers=operator)
    client.post(f"/rx/{rx_id}/wake", headers=operator)
    assert log_of(city, "O001") == [
        ("view", "see_money", "", ""), ("view", "find_prescriptions", "", ""), ("act", "redrive", rx_id, "")]


def test_what_cannot_be_written_down_is_not_shown(city: City, client: TestClient, pharmacist: dict[str, str]) -> None:
    rx_id = admit(city)[0]
    client.get("/review", headers=pharmacist)
    with city.db.as_owner() as connection:
        connection.exec_driver_sql("ALTER TABLE access_log RENAME TO access_log_gone")
    answer = client.get(f"/api/rx/{rx_id}", headers=pharmacist)
    assert answer.status_code == 500
    assert "prescription" not in answer.json()

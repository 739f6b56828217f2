"""Who may come in, and with what."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from gateway.access import COOKIE, Desk, Person, Role
from gateway.app import create_app
from tasks.city import City
from tests.city import OPERATOR_TOKEN, PHARMACIST_TOKEN, Clock, admit, make_settings

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
    lambda value: value.partition(".")[0],
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
    someone = Person("O001", Role.OPERATOR)
    value = Desk(city, make_settings(tmp_path)).cookie(someone)

    assert Desk(city, make_settings(tmp_path)).by_cookie(value) == someone
    assert Desk(city, make_settings(tmp_path, operators={"O001": "another-token-of-operator-1"})).by_cookie(value) is None
    assert Desk(city, make_settings(tmp_path, operators={})).by_cookie(value) is None


def test_names_from_the_environment_are_the_physicians_codes_again(city: City, tmp_path: Path) -> None:
    desk = Desk(city, make_settings(tmp_path, pharmacists={"d370100000001": "token-of-the-doctor"}))

    assert desk.by_token("token-of-the-doctor") == Person("D370100000001", Role.PHARMACIST)


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


@pytest.mark.parametrize("origin", [{}, {"Origin": "https://evil.example"}, {"Origin": "null"},
                                    {"Referer": "https://evil.example/testserver"}])
def test_a_form_from_another_site_does_nothing(client: TestClient, city: City, origin: dict[str, str]) -> None:
    rx_id = admit(city)[0]
    sign_in(client)

    assert client.post(f"/rx/{rx_id}/wake", headers=origin).status_code == 403
    assert client.post(f"/api/ops/rx/{rx_id}/wake", headers=origin).status_code == 403
    assert client.post("/sign-in", data={"code": PHARMACIST_TOKEN}, headers=origin).status_code == 403
    assert client.post(f"/rx/{rx_id}/wake", headers=OURS).status_code == 303


def test_signing_out_takes_the_cookie_back(client: TestClient) -> None:
    sign_in(client)

    client.post("/sign-out", headers=OURS)

    assert client.get("/").status_code == 303


def test_a_pharmacist_has_no_business_in_the_books(client: TestClient, pharmacist: dict[str, str]) -> None:
    for path in ("board", "ledger", "verify", "stages", "prescriptions", "discrepancies", "reconciliations"):
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
        assert "<script" not in page
        assert 'src="http' not in page
        assert "style=" not in page
        assert 'rel="stylesheet" href="/static/sanyi.css"' in page

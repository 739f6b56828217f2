"""Enrolment and one's own account, as a person meets them in a browser."""

import re

import pyotp
import pytest
from fastapi.testclient import TestClient
from httpx import Response

from domain.people import Grant, Role
from gateway.web.access import COOKIE
from tasks import people
from tasks.city import City
from tests.support.city import OPERATOR_TOKEN, Clock
from tests.support.people import PASSWORD, Enrolled, enrolled

OURS = {"Origin": "http://testserver", "Accept-Language": "en"}
NEW = "another good sentence"


def post(client: TestClient, path: str, **fields: str) -> Response:
    answer: Response = client.post(path, data=fields, headers=OURS)
    return answer


def invited(city: City) -> str:
    return people.add(city, "A000", "P012", "Li Wei", [Grant(Role.PHARMACIST)])


@pytest.fixture
def colleague(client: TestClient, city: City, clock: Clock) -> Enrolled:
    """Signed in, half a minute ago."""
    made = enrolled(city, "P007", Role.PHARMACIST)
    clock.advance(minutes=1)
    assert post(client, "/sign-in", id="P007", password=PASSWORD, otp=made.digits()).status_code == 303
    clock.advance(seconds=30)
    return made


def test_a_person_enrols_by_their_code_and_signs_in(client: TestClient, city: City, clock: Clock) -> None:
    code = invited(city)
    page = post(client, "/enrol", code=f" {code} ")
    secret = re.search(r"<code>([A-Z2-7]{32})</code>", page.text)
    assert secret
    assert "<svg" in page.text
    assert "style=" not in page.text
    digits = pyotp.TOTP(secret[1]).at(clock())
    done = post(client, "/enrol", code=code, password=PASSWORD, again=PASSWORD, otp=digits)
    assert len(re.findall(r"<li><code>[A-Z2-9]{5}-[A-Z2-9]{5}</code>", done.text)) == 10
    clock.advance(seconds=30)
    assert post(client, "/sign-in", id="p012", password=PASSWORD,
                otp=pyotp.TOTP(secret[1]).at(clock())).headers["location"] == "/review"


@pytest.mark.parametrize(("fields", "says"), [
    ({"again": "something else"}, "the two passwords differ"), ({"password": "short", "again": "short"}, "12 characters"),
    ({"otp": "000000"}, "six digits do not fit"), ({"code": "guessed"}, "wrong, used or over"),
])
def test_what_is_wrong_at_the_enrolment_is_said_and_shown_again(
        client: TestClient, city: City, fields: dict[str, str], says: str) -> None:
    page = post(client, "/enrol", **({"code": invited(city), "password": PASSWORD, "again": PASSWORD, "otp": "1"} | fields))
    assert page.status_code == 422
    assert says in page.text
    assert PASSWORD not in page.text


def test_a_foreign_form_enrols_nobody(client: TestClient, city: City) -> None:
    assert client.post("/enrol", data={"code": invited(city)}, headers={"Origin": "https://evil.example"}).status_code == 403


def test_a_changed_password_gives_the_browser_a_new_cookie_and_ends_the_others(
        client: TestClient, colleague: Enrolled) -> None:
    before = client.cookies[COOKIE]
    answer = post(client, "/account/password", password=PASSWORD, otp=colleague.digits(), new=NEW)
    assert answer.headers["location"] == "/account?done=password"
    assert client.cookies[COOKIE] != before
    assert client.get("/account").status_code == 200
    client.cookies.clear()
    assert client.get("/account", headers={"Cookie": f"{COOKIE}={before}"}).status_code == 303


@pytest.mark.parametrize("part", ["password", "authenticator", "recovery-codes"])
def test_a_change_without_the_present_password_is_refused(client: TestClient, colleague: Enrolled, part: str) -> None:
    answer = post(client, f"/account/{part}", password="wrong", otp=colleague.digits(), new=NEW)
    assert answer.status_code == 422
    assert "the password or the code is wrong" in answer.text


def test_recovery_codes_and_the_authenticator_are_renewed(client: TestClient, colleague: Enrolled, clock: Clock) -> None:
    codes = post(client, "/account/recovery-codes", password=PASSWORD, otp=colleague.digits())
    assert len(re.findall(r"<li><code>", codes.text)) == 10
    clock.advance(seconds=30)
    page = post(client, "/account/authenticator", password=PASSWORD, otp=colleague.digits())
    assert "<svg" in page.text
    assert colleague.secret not in page.text


def test_sign_ins_are_listed_and_ended_from_another_browser(client: TestClient, colleague: Enrolled) -> None:
    first = client.cookies[COOKIE]
    client.cookies.clear()
    assert post(client, "/sign-in", id="P007", password=PASSWORD, otp=colleague.digits()).status_code == 303
    page = client.get("/account", headers=OURS).text
    others = re.findall(r'name="key" value="([0-9a-f]{64})"', page)
    assert len(others) == 1
    assert "this one" in page
    post(client, "/account/sign-ins", key=others[0])
    mine = client.cookies[COOKIE]
    client.cookies.clear()
    assert client.get("/account", headers={"Cookie": f"{COOKIE}={first}"}).status_code == 303
    assert client.get("/account", headers={"Cookie": f"{COOKIE}={mine}"}).status_code == 200


def test_who_comes_by_an_access_code_sees_their_account_too(client: TestClient) -> None:
    post(client, "/sign-in", code=OPERATOR_TOKEN)
    page = client.get("/account", headers=OURS)
    assert page.status_code == 200
    assert "You have no password" in page.text
    assert client.get("/account/password", headers=OURS).headers["location"] == "/account"

"""Signing in at an OpenID Connect provider, which is a process of its own kind on a real socket."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import uvicorn
from fastapi.testclient import TestClient

from domain.people import Grant, Role
from gateway.app import create_app
from gateway.web.access import COOKIE
from gateway.web.single_sign_on import COOKIE as ATTEMPT
from gateway.web.single_sign_on import LASTS
from infra.settings import OidcSettings
from sandbox.processes import free_port
from tasks import people
from tasks.city import City
from tests.support.city import Clock, make_settings
from tests.support.oidc_provider import CLIENT_ID, CLIENT_SECRET, Idp


@pytest.fixture(scope="module")
def provider() -> Iterator[Idp]:
    port = free_port()
    provider = Idp(f"http://127.0.0.1:{port}")
    server = uvicorn.Server(uvicorn.Config(provider.app(), host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield provider
    server.should_exit = True
    thread.join(5)


@pytest.fixture
def idp(provider: Idp, clock: Clock) -> Idp:
    """As it should be, with the clock of the city."""
    provider.now, provider.subject, provider.algorithm, provider.stranger = lambda: clock().timestamp(), "subject-1", "RS256", False
    provider.claims.clear()
    provider.metadata.clear()
    provider.requests.clear()
    return provider


@pytest.fixture
def browser(city: City, tmp_path: Path, idp: Idp) -> TestClient:
    people.add(city, "A001", "P007", "", [Grant(Role.PHARMACIST)])
    people.name_subject(city, "A001", "P007", "subject-1")
    oidc = OidcSettings(issuer=idp.issuer, client_id=CLIENT_ID, client_secret=CLIENT_SECRET)
    return TestClient(create_app(city, make_settings(tmp_path, oidc=oidc)), base_url="http://localhost", follow_redirects=False)


def there(browser: TestClient, next: str = "") -> str:
    """Where the provider sends the browser back to."""
    begun = browser.get("/oidc/begin", params={"next": next})
    assert begun.status_code == 303, begun.text
    return httpx.get(begun.headers["location"], trust_env=False).headers["location"]


def back(browser: TestClient, address: str) -> httpx.Response:
    answer: httpx.Response = browser.get(address.removeprefix("http://localhost"))
    return answer


def refused(browser: TestClient, answer: httpx.Response) -> bool:
    return answer.status_code == 401 and COOKIE not in browser.cookies


def test_a_person_comes_in_by_the_provider_and_is_who_the_administrator_entered(browser: TestClient, idp: Idp) -> None:
    answer = back(browser, there(browser, next="/review"))
    assert (answer.status_code, answer.headers["refresh"]) == (200, "0; url=/review")
    assert browser.get("/review").status_code == 200
    assert "P007" in browser.get("/account").text
    asked = idp.requests[-1]
    assert asked["response_type"] == "code"
    assert asked["code_challenge_method"] == "S256"
    assert asked["redirect_uri"] == "http://localhost/oidc/back"


def test_a_provider_may_write_its_name_with_a_slash_at_the_end(browser: TestClient, idp: Idp) -> None:
    idp.metadata["issuer"] = idp.claims["iss"] = f"{idp.issuer}/"
    assert back(browser, there(browser)).status_code == 200


@pytest.mark.parametrize("wished", ["//evil.example", "https://evil.example", "/x\r\nSet-Cookie: a=b"])
def test_it_never_leads_elsewhere(browser: TestClient, wished: str) -> None:
    assert back(browser, there(browser, next=wished)).headers["refresh"] == "0; url=/review"


@pytest.mark.parametrize("claims", [
    {"iss": "https://evil.example"}, {"aud": "another-client"}, {"aud": [CLIENT_ID, "another"]}, {"nonce": "another"},
    {"nonce": None}, {"exp": 1}, {"exp": None}, {"sub": None}, {"sub": ""}, {"sub": "subject-of-no-person"}, {"iat": None},
])
def test_an_id_token_that_is_not_for_us_now_and_of_this_attempt_is_refused(
        browser: TestClient, idp: Idp, claims: dict[str, object]) -> None:
    idp.claims.update(claims)
    assert refused(browser, back(browser, there(browser)))


def test_a_token_for_several_is_taken_where_it_was_issued_to_us(browser: TestClient, idp: Idp) -> None:
    idp.claims.update({"aud": [CLIENT_ID, "another"], "azp": CLIENT_ID})
    assert back(browser, there(browser)).status_code == 200


def test_a_token_signed_by_another_or_by_none_is_refused(browser: TestClient, idp: Idp) -> None:
    idp.stranger = True
    assert refused(browser, back(browser, there(browser)))
    idp.stranger, idp.algorithm = False, "none"
    assert refused(browser, back(browser, there(browser)))


def test_a_code_is_worth_nothing_with_another_state_without_our_cookie_or_too_late(
        browser: TestClient, idp: Idp, clock: Clock) -> None:
    address = there(browser)
    code = parse_qs(urlsplit(address).query)["code"][0]
    assert refused(browser, back(browser, f"/oidc/back?code={code}&state=another"))
    address = there(browser)
    browser.cookies.clear()
    assert refused(browser, back(browser, address))
    address = there(browser)
    clock.advance(seconds=LASTS + 1)
    assert refused(browser, back(browser, address))


def test_an_attempt_is_good_once(browser: TestClient) -> None:
    address = there(browser)
    kept = browser.cookies[ATTEMPT]
    assert back(browser, address).status_code == 200
    browser.cookies.clear()
    browser.cookies.set(ATTEMPT, kept, path="/oidc")
    assert refused(browser, back(browser, address)), "the provider takes a code once"


@pytest.mark.parametrize("cookie", ["", "zz", "00" * 40, "0" * 61])
def test_a_cookie_that_is_not_ours_is_refused(browser: TestClient, cookie: str) -> None:
    browser.cookies.set(ATTEMPT, cookie, path="/oidc")
    assert refused(browser, back(browser, "/oidc/back?code=c&state=s"))


@pytest.mark.parametrize("metadata", [{"issuer": "https://evil.example"}, {"token_endpoint": "http://evil.example/token"},
                                      {"jwks_uri": "file:///etc/passwd"}, {"authorization_endpoint": None}])
def test_a_provider_that_names_strange_addresses_is_not_asked(browser: TestClient, idp: Idp, metadata: dict[str, object]) -> None:
    idp.metadata.update(metadata)
    answer = browser.get("/oidc/begin")
    assert answer.status_code >= 400
    assert idp.requests == []


def test_who_has_left_comes_in_by_no_provider(browser: TestClient, city: City) -> None:
    people.leave(city, "A001", "P007")
    assert refused(browser, back(browser, there(browser)))


def test_without_a_provider_there_is_no_such_door(client: TestClient) -> None:
    assert client.get("/oidc/begin").status_code == 404
    assert "/oidc/" not in client.get("/sign-in").text

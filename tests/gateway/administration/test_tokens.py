"""Partners' tokens: a new one beside the old one, shown once."""

import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from gateway.app import create_app
from infra.db import access_log
from infra.db import partner_tokens as rows
from tasks.city import City
from tasks.partner_tokens import KEPT_SECONDS, PartnerTokens
from tests.support.city import HOSPITAL, HOSPITAL_TOKEN, Clock, bundle, make_settings


def sends(client: TestClient, token: str) -> int:
    """The status a hospital is answered with that asks for an answer it never had."""
    return client.get(f"/fhir/{HOSPITAL}/requests/none", headers={"Authorization": f"Bearer {token}"}).status_code


def rotated(admin: TestClient, hours: int = 24) -> str:
    page = admin.post("/partner-tokens/rotate", data={"partner": HOSPITAL, "hours": str(hours)})
    token = re.search(r"<code>([\w-]{32})</code>", page.text)
    assert token, page.text
    return token[1]


def test_the_old_token_goes_on_beside_the_new_one_and_then_ends(admin: TestClient, clock: Clock) -> None:
    assert (sends(admin, HOSPITAL_TOKEN), sends(admin, "guess-guess-guess")) == (404, 401)
    token = rotated(admin, hours=24)
    assert (sends(admin, HOSPITAL_TOKEN), sends(admin, token)) == (404, 404)
    clock.advance(hours=24)
    assert (sends(admin, HOSPITAL_TOKEN), sends(admin, token)) == (401, 404)


def test_a_new_token_is_shown_once_and_kept_as_a_hash(admin: TestClient, city: City) -> None:
    token = rotated(admin)
    assert token not in admin.get("/partner-tokens").text
    with city.db.reading() as session:
        kept = [str(value) for row in session.connection().exec_driver_sql("SELECT * FROM partner_token") for value in row]
    assert kept
    assert not any(secret in value for value in kept for secret in (token, HOSPITAL_TOKEN))


def test_a_token_is_good_for_its_own_hospital_only(admin: TestClient, city: City) -> None:
    token = rotated(admin)
    tokens = PartnerTokens(city, {HOSPITAL: HOSPITAL_TOKEN}, frozenset({HOSPITAL, "jinan_tcm"}))
    assert tokens.accepts(HOSPITAL, token)
    assert not tokens.accepts("jinan_tcm", token)
    assert not tokens.accepts(HOSPITAL, "")


def test_a_token_is_ended_at_once(admin: TestClient, city: City) -> None:
    token = rotated(admin)
    with city.db.reading() as session:
        number = rows.of(session, HOSPITAL)[0].id
    assert admin.post("/partner-tokens/end", data={"number": str(number)}).status_code == 303
    assert (sends(admin, token), sends(admin, HOSPITAL_TOKEN)) == (401, 404)
    with city.db.reading() as session:
        details = [entry.detail for entry in access_log.search(session, person="A001", limit=3)]
    assert f"ended:{HOSPITAL}:{number}" in details


def test_another_gateway_knows_a_new_token_at_once_and_an_ended_one_after_some_seconds(city: City, clock: Clock) -> None:
    now = 0.0
    here, there = (PartnerTokens(city, {HOSPITAL: HOSPITAL_TOKEN}, frozenset({HOSPITAL}), lambda: now) for _ in range(2))
    assert there.accepts(HOSPITAL, HOSPITAL_TOKEN)
    now = 2.0
    token = here.rotate("A001", HOSPITAL, 1)
    assert there.accepts(HOSPITAL, token)
    with city.db.reading() as session:
        number = rows.of(session, HOSPITAL)[0].id
    here.end("A001", number)
    now += KEPT_SECONDS + 1
    assert not there.accepts(HOSPITAL, token)
    assert there.accepts(HOSPITAL, HOSPITAL_TOKEN)


def test_guesses_ask_the_database_once_a_second_and_no_more(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    tokens = PartnerTokens(city, {HOSPITAL: HOSPITAL_TOKEN}, frozenset({HOSPITAL}), lambda: now)
    assert tokens.accepts(HOSPITAL, HOSPITAL_TOKEN)
    reads: list[int] = []
    read = tokens.read
    monkeypatch.setattr(tokens, "read", lambda: reads.append(1) or read())
    for number in range(50):
        now += 0.1
        assert not tokens.accepts(HOSPITAL, f"guess-{number}")
    assert len(reads) <= 5


def test_when_a_token_was_last_used_is_on_the_page(admin: TestClient, city: City, clock: Clock) -> None:
    admin.post(f"/fhir/{HOSPITAL}/Bundle", content=bundle(1), headers={"Authorization": f"Bearer {HOSPITAL_TOKEN}"})
    with city.db.reading() as session:
        assert rows.of(session, HOSPITAL)[0].used_at == clock()


def test_a_restart_with_the_same_settings_revives_no_rotated_token(
        admin: TestClient, city: City, tmp_path: Path, clock: Clock) -> None:
    token = rotated(admin, hours=1)
    clock.advance(hours=1)
    again = TestClient(create_app(city, make_settings(tmp_path)))
    assert (sends(again, HOSPITAL_TOKEN), sends(again, token)) == (401, 404)


@pytest.mark.parametrize("fields", [
    {"partner": "ankang", "hours": "24"}, {"partner": HOSPITAL, "hours": "5"}, {"partner": HOSPITAL}])
def test_what_cannot_be_is_refused(admin: TestClient, fields: dict[str, str]) -> None:
    assert admin.post("/partner-tokens/rotate", data=fields).status_code == 422

"""The administrator's pages about people and the access log."""

import re

import pytest
from fastapi.testclient import TestClient

from domain.people import Role
from infra.db import access_log
from infra.db import people as rows
from tasks import accounts
from tasks.city import City
from tests.support.city import Clock, admit


def roles(city: City, id: str) -> frozenset[Role] | None:
    with city.db.reading() as session:
        found = rows.find(session, id)
    return found.roles if found else None


def add(admin: TestClient, **fields: str) -> str:
    """The enrolment code on the page."""
    page = admin.post("/people", data={"id": "P012", "name": "李春燕", "role": "pharmacist"} | fields)
    assert page.status_code == 200, page.text
    code = re.search(r"<code>([\w-]{24})</code>", page.text)
    assert code
    return code[1]


def log_of(city: City, who: str) -> list[tuple[str, str]]:
    with city.db.reading() as session:
        return [(entry.kind, entry.detail) for entry in reversed(access_log.search(session, person=who))]


def test_an_administrator_adds_a_person_who_can_enrol(admin: TestClient, city: City) -> None:
    code = add(admin)
    assert accounts.enrolment(city, code).person == "P012"
    assert roles(city, "P012") == {Role.PHARMACIST}
    page = admin.get("/people").text
    assert "李春燕" in page
    assert code not in page
    assert code not in admin.get("/people/P012").text


def test_what_was_typed_comes_back_with_what_is_wrong(admin: TestClient, city: City) -> None:
    page = admin.post("/people", data={"id": "S1", "name": "Li", "role": "shop"})
    assert page.status_code == 422
    assert "say where: shop" in page.text
    assert 'value="S1"' in page.text
    assert log_of(city, "A001")[-1] == ("refused", "place_missing")
    add(admin, id="S1", role="shop", **{"place-shop": "ankang"})
    assert roles(city, "S1") == {Role.SHOP}


def test_roles_are_given_and_taken(admin: TestClient, city: City) -> None:
    add(admin)
    assert admin.post("/people/P012/grant", data={"role": "courier", "place": "ankang"}).status_code == 303
    page = admin.get("/people/P012").text
    number = re.findall(r'name="number" value="(\d+)"', page)[-1]
    admin.post("/people/P012/end-role", data={"number": number})
    assert roles(city, "P012") == {Role.COURIER}


@pytest.mark.parametrize(("act", "fields", "status"), [
    ("unlock", {}, 303), ("sign-out", {}, 303), ("invite", {}, 200), ("subject", {"subject": "s-1"}, 303), ("leave", {}, 303),
    ("grant", {"role": "emperor"}, 422), ("end-role", {"number": "x"}, 422), ("delete", {}, 404),
])
def test_each_act_of_the_page_is_done_or_refused(
        admin: TestClient, city: City, act: str, fields: dict[str, str], status: int) -> None:
    add(admin)
    assert admin.post(f"/people/P012/{act}", data=fields).status_code == status


def test_nobody_changes_their_own_roles(admin: TestClient, city: City) -> None:
    answer = admin.post("/people/A001/grant", data={"role": "pharmacist"})
    assert answer.status_code == 403
    assert "another administrator must do it" in answer.text
    assert log_of(city, "A001")[-1] == ("refused", "own_roles")


def test_unknown_people_and_strange_addresses_are_not_found(admin: TestClient) -> None:
    assert admin.get("/people/P999").status_code == 404
    assert admin.get("/people/%3Cb%3E").status_code == 404
    assert admin.get("/people/%3Cb%3E/leave").headers["location"] == "/people/-"


def test_only_administrators_may(client: TestClient, pharmacist: dict[str, str], operator: dict[str, str]) -> None:
    for headers in (pharmacist, operator):
        for path in ("/people", "/people/P001", "/partner-tokens", "/access-log", "/access-log/verified"):
            assert client.get(path, headers=headers).status_code == 403
        assert client.post("/people", headers=headers, data={"id": "X"}).status_code == 403


def test_an_administrator_sees_no_prescription(admin: TestClient, city: City) -> None:
    rx_id = admit(city)[0]
    for path in (f"/rx/{rx_id}", f"/api/rx/{rx_id}", "/rx", "/review", f"/review/{rx_id}", "/api/ops/ledger", "/mapping"):
        assert admin.get(path).status_code == 403, path


# --- the access log ---


@pytest.fixture
def seen(admin: TestClient, city: City, pharmacist: dict[str, str]) -> str:
    """A pharmacist has looked at a prescription."""
    rx_id = admit(city)[0]
    cookies = dict(admin.cookies)
    admin.cookies.clear()
    assert admin.get(f"/rx/{rx_id}", headers=pharmacist).status_code == 200
    admin.cookies.update(cookies)
    return rx_id


def test_the_log_is_searched_by_person_prescription_and_day(admin: TestClient, seen: str) -> None:
    for query, there in ((f"rx={seen}", True), ("person=p001", True), ("since=2026-11-22&until=2026-11-22", True),
                         ("rx=rx_other", False), ("person=P002", False), ("since=2026-11-23", False), ("until=2026-11-21", False)):
        page = admin.get(f"/access-log?{query}")
        assert page.status_code == 200
        assert (f'href="/access-log?rx={seen}"' in page.text) is there, query


@pytest.mark.parametrize(("query", "status"), [("since=yesterday", 422), ("until=2026-13-01", 422), ("before=x", 400),
                                               ("before=2026-11-22T01:00:00.000%2B00:00~A~99999999999", 400)])
def test_a_strange_search_is_refused(admin: TestClient, query: str, status: int) -> None:
    assert admin.get(f"/access-log?{query}").status_code == status


def test_long_lists_go_on_where_they_ended(admin: TestClient, city: City) -> None:
    for _ in range(105):
        admin.get("/access-log?person=A001")
    page = admin.get("/access-log?person=A001").text
    more = re.search(r'class="pager".*?href="([^"]+)"', page)
    assert more
    rest = admin.get(more[1].replace("&amp;", "&")).text
    assert page.count('role="row"') == 101
    assert 2 <= rest.count('role="row"') < 20


def test_reading_the_log_is_in_the_log(admin: TestClient, city: City) -> None:
    admin.get("/access-log")
    with city.db.reading() as session:
        assert access_log.search(session, person="A001")[0].capability == "read_access_log"


def test_a_changed_log_is_named_with_its_row(admin: TestClient, city: City, seen: str, clock: Clock) -> None:
    assert "is whole" in admin.get("/access-log/verified").text
    with city.db.as_owner() as connection:
        connection.exec_driver_sql("DROP TRIGGER access_log_no_update")
        connection.exec_driver_sql("UPDATE access_log SET prescription_id = '' WHERE person = 'P001'")
    page = admin.get("/access-log/verified").text
    assert "P001/1: content does not match its hash" in page

"""What administrators do with people and roles, and what they may not."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from domain.people import Capability, Denied, Grant, Role, person
from infra.db import access_log
from infra.db import people as rows
from tasks import access, accounts, people, sessions
from tasks.city import City
from tests.support.city import Clock, admit, make_city
from tests.support.people import enrolled

PHARMACIST = Grant(Role.PHARMACIST)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def city(tmp_path: Path, clock: Clock) -> Iterator[City]:
    made = make_city(tmp_path, now=clock)
    for id in ("A001", "A002"):
        people.add(made, people.COMMAND, id, "", [Grant(Role.ADMINISTRATOR)])
    yield made
    made.db.close()


def entries(city: City, who: str) -> list[tuple[str, str, str, str]]:
    with city.db.reading() as session:
        assert access_log.verify(session) == []
        return [(entry.kind, entry.capability, entry.prescription_id, entry.detail)
                for entry in reversed(access_log.search(session, person=who))]


def roles(city: City, id: str) -> frozenset[Role] | None:
    with city.db.reading() as session:
        found = rows.find(session, id)
    return found.roles if found else None


def number_of(city: City, id: str, role: Role) -> int:
    with city.db.reading() as session:
        return next(had.id for had in rows.listed(session, id)[0].grants if had.grant.role is role and not had.ended_at)


def test_each_act_of_an_administrator_is_in_the_access_log_with_whom_it_was_about(city: City) -> None:
    people.add(city, "A001", "p1", "李", [PHARMACIST])
    people.grant(city, "A001", "P1", Grant(Role.SHOP, "ankang"))
    people.end_role(city, "A001", "P1", number_of(city, "P1", Role.PHARMACIST))
    people.invite(city, "A001", "P1")
    people.unlock(city, "A001", "P1")
    people.sign_out(city, "A001", "P1")
    people.leave(city, "A001", "P1")

    assert [detail for *_, detail in entries(city, "A001")] == [
        "added:P1", "granted:P1:pharmacist", "granted:P1:shop", "ended:P1:pharmacist", "invited:P1", "unlocked:P1",
        "signed_out:P1", "left:P1"]
    assert "李" not in str(entries(city, "A001"))


def test_a_name_is_sealed_and_shown(city: City) -> None:
    people.add(city, "A001", "P1", "李春燕", [PHARMACIST])
    with city.db.reading() as session:
        listed = rows.listed(session, "P1")[0]
    assert "李春燕".encode() not in listed.name_sealed
    assert accounts.name_of(city, listed) == "李春燕"


@pytest.mark.parametrize(("id", "grants", "code"), [
    ("", [PHARMACIST], "bad_id"), ("P 1", [PHARMACIST], "bad_id"), ("李", [PHARMACIST], "bad_id"),
    ("370102199001011234", [PHARMACIST], "bad_id"), ("13912345678", [PHARMACIST], "bad_id"), ("A002", [PHARMACIST], "id_taken"),
    ("a002", [PHARMACIST], "id_taken"), ("P1", [], "no_role"), ("P1", [Grant(Role.SHOP)], "place_missing"),
    ("P1", [Grant(Role.PHARMACIST, "ankang")], "place_unwanted"),
])
def test_what_is_wrong_with_a_new_person_is_said_and_nothing_is_kept(
        city: City, id: str, grants: list[Grant], code: str) -> None:
    with pytest.raises(Denied) as caught:
        people.add(city, "A001", id, "", grants)
    assert caught.value.code == code
    assert roles(city, "P1") is None
    assert entries(city, "A001") == []


@pytest.mark.parametrize(("act", "code"), [
    (lambda city: people.grant(city, "A001", "A001", PHARMACIST), "own_roles"),
    (lambda city: people.end_role(city, "A001", "A001", 1), "own_roles"),
    (lambda city: people.leave(city, "A001", "A001"), "own_roles"),
    (lambda city: people.grant(city, "A001", "P9", PHARMACIST), "unknown_person"),
    (lambda city: people.invite(city, "A001", "P9"), "unknown_person"),
    (lambda city: people.unlock(city, "A001", "P9"), "unknown_person"),
    (lambda city: people.leave(city, "A001", "P9"), "unknown_person"),
    (lambda city: people.sign_out(city, "A001", "P9"), "unknown_person"),
])
def test_what_the_situation_does_not_allow_is_refused_with_its_reason(
        city: City, act: Callable[[City], object], code: str) -> None:
    with pytest.raises(Denied) as caught:
        act(city)
    assert caught.value.code == code
    assert entries(city, "A001") == []


def test_the_last_administrator_stays(city: City) -> None:
    people.leave(city, "A002", "A001")
    for act in (lambda: people.leave(city, people.COMMAND, "A002"),
                lambda: people.end_role(city, people.COMMAND, "A002", number_of(city, "A002", Role.ADMINISTRATOR))):
        with pytest.raises(Denied, match="last_administrator"):
            act()
    assert roles(city, "A002") == {Role.ADMINISTRATOR}


def test_other_roles_end_the_sign_ins_begun_with_the_former(city: City, clock: Clock) -> None:
    colleague = enrolled(city, "P1", Role.PHARMACIST)

    def sign_in() -> str:
        clock.advance(seconds=30)
        value = colleague.sign_in()
        assert value
        return value

    for change in (lambda: people.grant(city, "A001", "P1", Grant(Role.SENIOR)),
                   lambda: people.end_role(city, "A001", "P1", number_of(city, "P1", Role.SENIOR)),
                   lambda: people.leave(city, "A001", "P1")):
        value = sign_in()
        change()
        assert sessions.find(city, value, city.now()) is None
    clock.advance(seconds=30)
    assert colleague.sign_in() is None


def test_a_role_of_the_settings_is_ended_in_the_settings(city: City) -> None:
    with city.db.transaction() as session:
        rows.as_the_settings_say(session, {"O001": frozenset({Grant(Role.OPERATOR)})}, city.now())
    with pytest.raises(Denied, match="from_the_settings"):
        people.end_role(city, "A001", "O001", number_of(city, "O001", Role.OPERATOR))
    people.leave(city, "A001", "O001")
    assert roles(city, "O001") is None


def test_two_people_are_never_one_subject(city: City) -> None:
    for id in ("P1", "P2"):
        people.add(city, "A001", id, "", [PHARMACIST])
    people.name_subject(city, "A001", "P1", "subject-1")
    people.name_subject(city, "A001", "P1", "subject-1")
    with pytest.raises(Denied, match="subject_taken"):
        people.name_subject(city, "A001", "P2", "subject-1")
    people.name_subject(city, "A001", "P1", "")
    people.name_subject(city, "A001", "P2", "subject-1")


# --- who may, and who did ---


def test_a_view_of_a_prescription_is_written_down_before_it_is_seen(city: City) -> None:
    rx_id = admit(city)[0]
    access.enter(city, person("P1", Role.PHARMACIST), Capability.SEE_PRESCRIPTION, act=False, prescription_id=rx_id)
    assert entries(city, "P1") == [("view", "see_prescription", rx_id, "")]


def test_what_shows_no_patient_is_not_written_down_and_every_act_is(city: City) -> None:
    operator = person("O1", Role.OPERATOR)
    access.enter(city, operator, Capability.SEE_BOARD, act=False)
    access.enter(city, operator, Capability.MAP_CODES, act=False)
    assert entries(city, "O1") == []
    access.enter(city, operator, Capability.MAP_CODES, act=True)
    assert entries(city, "O1") == [("act", "map_codes", "", "")]


def test_a_refused_act_is_written_down_with_the_reason(city: City) -> None:
    rx_id = admit(city)[0]
    with pytest.raises(Denied, match="forbidden"):
        access.enter(city, person("P1", Role.PHARMACIST), Capability.REDRIVE, act=True, prescription_id=rx_id)
    assert entries(city, "P1") == [("refused", "redrive", rx_id, "forbidden")]


def test_a_text_that_is_no_id_of_ours_never_enters_the_log(city: City) -> None:
    access.enter(city, person("P1", Role.PHARMACIST), Capability.SEE_PRESCRIPTION, act=False, prescription_id="李春燕")
    assert entries(city, "P1") == [("view", "see_prescription", "", "")]

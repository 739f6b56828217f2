"""A person's own account: how they come in, how they are kept out, and what they can change."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from domain.people import FREE_FAILURES, Denied, Grant, Role, locked_seconds
from infra import passwords
from infra.db import access_log, credentials
from tasks import accounts, people, sessions
from tasks.city import City
from tests.support.city import Clock, make_city
from tests.support.people import PASSWORD, Enrolled, enrolled


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def city(tmp_path: Path, clock: Clock) -> Iterator[City]:
    made = make_city(tmp_path, now=clock)
    yield made
    made.db.close()


@pytest.fixture
def person(city: City, clock: Clock) -> Enrolled:
    made = enrolled(city, "P007", Role.PHARMACIST)
    clock.advance(minutes=1)
    return made


def signed_in(city: City, value: str | None) -> bool:
    return value is not None and sessions.find(city, value, city.now()) is not None


def fail(person: Enrolled, times: int) -> None:
    for _ in range(times):
        assert accounts.sign_in(person.city, person.id, "wrong", person.digits()) is None


# --- signing in ---


def test_password_and_authenticator_together_sign_a_person_in(city: City, person: Enrolled) -> None:
    value = person.sign_in()
    assert value is not None
    found = sessions.find(city, value, city.now())
    assert found is not None
    assert (found.person.id, found.person.roles, found.mark) == ("P007", {Role.PHARMACIST}, "")


@pytest.mark.parametrize(("id", "password", "code"), [
    ("P007", "wrong", None), ("P007", "", None), ("P007", PASSWORD, ""), ("P007", PASSWORD, "000000"),
    ("P008", PASSWORD, None), ("", "", ""), ("P007", PASSWORD, "AAAAA-AAAAA"),
])
def test_either_alone_does_not(city: City, person: Enrolled, id: str, password: str, code: str | None) -> None:
    assert accounts.sign_in(city, id, password, person.digits() if code is None else code) is None


def test_an_id_is_typed_in_any_case(person: Enrolled, city: City) -> None:
    assert accounts.sign_in(city, " p007 ", PASSWORD, person.digits())


def test_six_digits_are_good_once(person: Enrolled, clock: Clock) -> None:
    assert person.sign_in()
    assert person.sign_in() is None
    clock.advance(seconds=30)
    assert person.sign_in()


def test_the_digits_of_the_enrolment_do_not_sign_in_as_well(city: City) -> None:
    assert enrolled(city, "P009", Role.PHARMACIST).sign_in() is None


def test_a_recovery_code_stands_in_for_the_authenticator_once(city: City, person: Enrolled) -> None:
    code = person.recovery_codes[3]
    assert accounts.sign_in(city, "P007", PASSWORD, code.lower().replace("-", " "))
    assert accounts.sign_in(city, "P007", PASSWORD, code) is None
    assert accounts.sign_in(city, "P007", "wrong", person.recovery_codes[4]) is None
    assert accounts.sign_in(city, "P007", PASSWORD, person.recovery_codes[4]), "a wrong password uses up no code"


def test_an_unknown_name_costs_as_many_hashes_as_a_wrong_password(
        city: City, person: Enrolled, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes: list[str] = []
    matches = passwords.matches
    monkeypatch.setattr(passwords, "matches", lambda kept, password: hashes.append(password) or matches(kept, password))
    people.add(city, "A000", "P010", "", _pharmacist())  # Never enrolled.
    people.leave(city, "A000", enrolled(city, "P011", Role.PHARMACIST).id)

    for id in ("P007", "P010", "P011", "STRANGER"):
        hashes.clear()
        assert accounts.sign_in(city, id, "wrong", "000000") is None
        assert hashes == ["wrong"], id


def _pharmacist() -> list[Grant]:
    return [Grant(Role.PHARMACIST)]


# --- the lock ---


def test_an_account_locks_after_some_failures_and_not_before(person: Enrolled, clock: Clock) -> None:
    fail(person, FREE_FAILURES - 1)
    assert person.sign_in()
    clock.advance(seconds=30)
    fail(person, FREE_FAILURES)
    assert person.sign_in() is None
    clock.advance(seconds=locked_seconds(FREE_FAILURES) + 1)
    assert person.sign_in()


def test_the_lock_grows_and_success_forgets_it(person: Enrolled, clock: Clock) -> None:
    fail(person, FREE_FAILURES)
    clock.advance(seconds=61)
    fail(person, 1)
    clock.advance(seconds=61)
    assert person.sign_in() is None, "two minutes by now"
    clock.advance(seconds=61)
    assert person.sign_in()
    clock.advance(seconds=30)
    fail(person, FREE_FAILURES - 1)
    assert person.sign_in()


def test_right_passwords_with_wrong_digits_count_too(city: City, person: Enrolled) -> None:
    for _ in range(FREE_FAILURES):
        assert accounts.sign_in(city, "P007", PASSWORD, "000000") is None
    assert person.sign_in() is None


def test_who_tries_at_a_locked_account_makes_the_lock_no_longer(person: Enrolled, clock: Clock, city: City) -> None:
    fail(person, FREE_FAILURES)
    fail(person, 20)
    clock.advance(seconds=61)
    assert person.sign_in()


def test_an_administrator_unlocks(city: City, person: Enrolled) -> None:
    fail(person, FREE_FAILURES)
    people.unlock(city, "A000", "P007")
    assert person.sign_in()


# --- enrolment ---


def test_an_enrolment_code_is_used_once(city: City) -> None:
    code = people.add(city, "A000", "P012", "李", _pharmacist())
    digits = _digits(city, code)
    assert len(accounts.enrol(city, code, PASSWORD, digits)) == passwords.RECOVERY_CODES
    with pytest.raises(Denied, match="enrolment_over"):
        accounts.enrol(city, code, PASSWORD, digits)


def test_what_was_wrong_at_the_enrolment_can_be_put_right(city: City) -> None:
    code = people.add(city, "A000", "P012", "Li Wei", _pharmacist())
    for password, digits, why in (("short", None, "weak_password"), ("li wei is my name", None, "weak_password"),
                                  (PASSWORD, "000000", "wrong_code")):
        with pytest.raises(Denied, match=why):
            accounts.enrol(city, code, password, digits or _digits(city, code))
    accounts.enrol(city, code, PASSWORD, _digits(city, code))


def test_an_enrolment_code_ends_by_time_by_the_next_and_with_the_person(city: City, clock: Clock) -> None:
    codes = [people.add(city, "A000", "P012", "", _pharmacist()), people.invite(city, "A000", "P012")]
    with pytest.raises(Denied, match="enrolment_over"):
        accounts.enrolment(city, codes[0])
    clock.advance(days=3, seconds=1)
    with pytest.raises(Denied, match="enrolment_over"):
        accounts.enrolment(city, codes[1])
    last = people.invite(city, "A000", "P012")
    people.leave(city, "A000", "P012")
    with pytest.raises(Denied, match="enrolment_over"):
        accounts.enrolment(city, last)


def test_a_new_enrolment_takes_the_place_of_password_authenticator_codes_and_sign_ins(
        city: City, person: Enrolled, clock: Clock) -> None:
    value = person.sign_in()
    code = people.invite(city, "A000", "P007")
    assert signed_in(city, value), "the code alone ends nothing"
    accounts.enrol(city, code, "another good sentence", _digits(city, code))
    clock.advance(seconds=30)

    assert not signed_in(city, value)
    assert person.sign_in() is None
    assert accounts.sign_in(city, "P007", PASSWORD, person.recovery_codes[0]) is None


def _digits(city: City, code: str) -> str:
    secret = accounts.enrolment(city, code).secret
    return Enrolled(city, "", secret, []).digits()


# --- changes ---


def test_a_changed_password_ends_every_sign_in_and_begins_a_new_one(city: City, person: Enrolled, clock: Clock) -> None:
    before = person.sign_in()
    clock.advance(seconds=30)
    value = accounts.change_password(city, "P007", PASSWORD, person.digits(), "another good sentence")
    assert not signed_in(city, before)
    assert signed_in(city, value)
    clock.advance(seconds=30)
    assert person.sign_in() is None
    assert accounts.sign_in(city, "P007", "another good sentence", person.digits())


def test_changes_ask_for_password_and_authenticator_again_and_count_failures(city: City, person: Enrolled) -> None:
    changes = [lambda: accounts.change_password(city, "P007", "wrong", person.digits(), "another good sentence"),
               lambda: accounts.change_authenticator(city, "P007", PASSWORD, "000000"),
               lambda: accounts.renew_recovery_codes(city, "P007", "wrong", person.digits())]
    for change in changes:
        with pytest.raises(Denied, match="wrong_credentials"):
            change()
    with city.db.reading() as session:
        row = credentials.get(session, "P007")
    assert row is not None
    assert row.failures == len(changes)


def test_new_recovery_codes_replace_the_old_ones(city: City, person: Enrolled, clock: Clock) -> None:
    codes = accounts.renew_recovery_codes(city, "P007", PASSWORD, person.digits())
    assert accounts.sign_in(city, "P007", PASSWORD, person.recovery_codes[0]) is None
    assert accounts.sign_in(city, "P007", PASSWORD, codes[0])


def test_a_new_authenticator_is_enrolled_like_the_first(city: City, person: Enrolled, clock: Clock) -> None:
    code = accounts.change_authenticator(city, "P007", PASSWORD, person.digits())
    secret = accounts.enrolment(city, code).secret
    accounts.enrol(city, code, PASSWORD, _digits(city, code))
    clock.advance(seconds=30)
    assert person.sign_in() is None
    person.secret = secret
    assert person.sign_in()


# --- sign-ins ---


def test_a_sign_in_ends_when_idle_and_after_a_shift(city: City, person: Enrolled, clock: Clock) -> None:
    value = person.sign_in()
    for _ in range(int(sessions.STAYS / timedelta(hours=1)) - 1):
        clock.advance(hours=1)
        assert signed_in(city, value)
    clock.advance(hours=1)
    assert not signed_in(city, value), "a shift"

    value = person.sign_in()
    clock.advance(seconds=sessions.IDLE.total_seconds() - 1)
    assert signed_in(city, value)
    clock.advance(seconds=sessions.IDLE.total_seconds())
    assert not signed_in(city, value), "idle"


def test_a_sign_in_is_ended_by_its_owner_and_by_no_other(city: City, person: Enrolled, clock: Clock) -> None:
    first = person.sign_in()
    clock.advance(seconds=30)
    second = person.sign_in()
    assert first
    assert second
    assert not sessions.end_one_of(city, "P008", sessions.key_of(first))
    assert sessions.end_one_of(city, "P007", sessions.key_of(first))
    assert [signed_in(city, value) for value in (first, second)] == [False, True]
    sessions.end_others(city, "P007", "")
    assert not signed_in(city, second)


def test_signing_in_locking_and_changing_are_in_the_access_log(city: City, person: Enrolled, clock: Clock) -> None:
    person.sign_in()
    clock.advance(seconds=30)
    accounts.renew_recovery_codes(city, "P007", PASSWORD, person.digits())
    fail(person, FREE_FAILURES)
    with city.db.reading() as session:
        entries = access_log.search(session, person="P007")
        assert access_log.verify(session) == []
    assert [(entry.kind, entry.detail) for entry in reversed(entries)] == [
        ("act", "enrolled"), ("act", "signed_in"), ("act", "recovery_renewed"), ("refused", "locked")]


def test_neither_password_nor_secret_nor_code_lies_in_the_database(city: City, person: Enrolled, tmp_path: Path) -> None:
    value = person.sign_in()
    invitation = people.invite(city, "A000", "P007")
    everything = b"".join(path.read_bytes() for path in tmp_path.glob("sanyi.db*"))
    assert b"signed_in" in everything
    for secret in (PASSWORD, person.secret, invitation, value or "", *(code.replace("-", "") for code in person.recovery_codes)):
        assert secret.encode() not in everything

"""Who may do what, apart from whether the situation allows it."""

import pytest

from domain.people import (
    ABOUT_PATIENTS,
    FREE_FAILURES,
    GRANTS,
    NEEDS_PLACE,
    Capability,
    Denied,
    Grant,
    Person,
    Role,
    check_grant,
    check_may,
    holding,
    is_logged,
    locked_seconds,
    person,
    weak_password,
)

ACTS = {
    Capability.CLAIM_REVIEW, Capability.DECIDE_REVIEW, Capability.SECOND_CHECK, Capability.REDRIVE, Capability.MAP_CODES,
    Capability.CLOSE_NOTICES, Capability.RESOLVE_DIFFERENCES, Capability.CORRECT_PRESCRIPTION, Capability.CHOOSE_PHARMACY,
    Capability.FILL_ORDERS, Capability.HAND_OVER, Capability.DELIVER, Capability.MANAGE_PEOPLE, Capability.MANAGE_TOKENS,
    Capability.KEEP_OWN_ACCOUNT,
}


def test_each_capability_is_somebodys() -> None:
    assert [capability for capability in Capability if not holding(capability)] == []


@pytest.mark.parametrize(("role", "may", "may_not"), [
    (Role.PHARMACIST, {Capability.CLAIM_REVIEW, Capability.DECIDE_REVIEW},
     {Capability.REDRIVE, Capability.MAP_CODES, Capability.SEE_MONEY, Capability.SEE_PATIENT, Capability.SECOND_CHECK}),
    (Role.SENIOR, {Capability.SECOND_CHECK, Capability.DECIDE_REVIEW}, {Capability.MANAGE_PEOPLE}),
    (Role.OPERATOR, {Capability.REDRIVE, Capability.SEE_BOARD, Capability.SEE_QUEUE},
     {Capability.CLAIM_REVIEW, Capability.DECIDE_REVIEW, Capability.MANAGE_PEOPLE, Capability.SEE_PATIENT}),
    (Role.AUDITOR, {Capability.SEE_MONEY, Capability.VERIFY_HISTORIES, Capability.READ_ACCESS_LOG},
     {Capability.REDRIVE, Capability.DECIDE_REVIEW, Capability.SEE_PATIENT}),
    (Role.CITY_OWNER, {Capability.SEE_FIGURES}, {Capability.SEE_PRESCRIPTION, Capability.SEE_MONEY}),
    (Role.ADMINISTRATOR, {Capability.MANAGE_PEOPLE, Capability.MANAGE_TOKENS, Capability.READ_ACCESS_LOG},
     ABOUT_PATIENTS - {Capability.READ_ACCESS_LOG} | {Capability.DECIDE_REVIEW, Capability.REDRIVE}),
    (Role.PATIENT, {Capability.CHOOSE_PHARMACY, Capability.TRACK, Capability.CANCEL},
     ABOUT_PATIENTS - {Capability.TRACK} | {Capability.SEE_BOARD}),
    (Role.COURIER, {Capability.DELIVER}, {Capability.SEE_PRESCRIPTION, Capability.HAND_OVER}),
])
def test_a_role_may_this_and_not_that(role: Role, may: set[Capability], may_not: set[Capability]) -> None:
    assert may <= GRANTS[role]
    assert not may_not & GRANTS[role]


def test_who_reviews_never_manages_people_and_who_audits_changes_nothing_of_a_prescription() -> None:
    for role in Role:
        assert not {Capability.DECIDE_REVIEW, Capability.MANAGE_PEOPLE} <= GRANTS[role]
    assert GRANTS[Role.AUDITOR] & ACTS == {Capability.KEEP_OWN_ACCOUNT, Capability.RESOLVE_DIFFERENCES}


def test_somebody_with_two_roles_may_what_either_may() -> None:
    both = person("P001", Role.PHARMACIST, Role.ADMINISTRATOR)
    check_may(both, Capability.DECIDE_REVIEW)
    check_may(both, Capability.MANAGE_PEOPLE)


def test_a_no_says_in_both_languages_who_could() -> None:
    with pytest.raises(Denied) as caught:
        check_may(person("P001", Role.PHARMACIST), Capability.REDRIVE)
    assert caught.value.code == "forbidden"
    assert "平台运维" in caught.value.words.zh
    assert "operator" in caught.value.words.en


def test_somebody_without_a_role_may_nothing() -> None:
    nobody = Person("X", frozenset())
    assert [capability for capability in Capability if nobody.may(capability)] == []


def test_a_role_held_at_a_place_opens_nothing_elsewhere() -> None:
    prescriber = Person("D1", frozenset({Grant(Role.PRESCRIBER, "jinan_first")}))
    check_may(prescriber, Capability.SEE_PATIENT, "jinan_first")
    for place in ("", "jinan_tcm"):
        with pytest.raises(Denied, match="forbidden"):
            check_may(prescriber, Capability.SEE_PATIENT, place)
    check_may(prescriber, Capability.KEEP_OWN_ACCOUNT)
    check_may(person("P001", Role.PHARMACIST), Capability.SEE_PRESCRIPTION, "jinan_tcm")


def test_a_role_is_held_where_it_is_held() -> None:
    shop = Person("S1", frozenset({Grant(Role.SHOP, "ankang"), Grant(Role.HOTLINE)}))
    assert shop.places(Capability.FILL_ORDERS) == {"ankang"}
    assert shop.places(Capability.FIND_PATIENT) == {""}
    assert shop.places(Capability.REDRIVE) == frozenset()


@pytest.mark.parametrize("role", Role)
def test_a_role_names_a_place_where_it_needs_one_and_only_there(role: Role) -> None:
    fitting, other = (Grant(role, "ankang"), Grant(role)) if role in NEEDS_PLACE else (Grant(role), Grant(role, "ankang"))
    check_grant(fitting)
    with pytest.raises(Denied, match="place_"):
        check_grant(other)


def test_every_act_is_logged_and_each_view_of_a_patients_data() -> None:
    assert all(is_logged(capability, act=True) for capability in Capability)
    assert {capability for capability in Capability if is_logged(capability, act=False)} == ABOUT_PATIENTS
    assert not ABOUT_PATIENTS & ACTS


def test_the_lock_grows_with_the_failures_and_ends_within_the_hour() -> None:
    seconds = [locked_seconds(failures) for failures in range(40)]
    assert seconds[:FREE_FAILURES] == [0] * FREE_FAILURES
    assert seconds[FREE_FAILURES:FREE_FAILURES + 4] == [60, 120, 240, 480]
    assert seconds == sorted(seconds)
    assert max(seconds) == 3600


@pytest.mark.parametrize("password", [
    "short", "aaaaaaaaaaaaaaaa", "password-of-mine", "li-wei-li-wei-7", "P001-is-me-and-me", "abcdefghij" * 21])
def test_a_password_that_can_be_guessed_is_refused_and_why_is_said(password: str) -> None:
    why = weak_password(password, ("P001", "Li-Wei"))
    assert why
    assert password not in why.zh + why.en


def test_a_sentence_is_a_good_password() -> None:
    assert weak_password("四味药早晚各一次饭后服用呀", ("P001",)) is None
    assert weak_password("correct horse battery", ("P001",)) is None

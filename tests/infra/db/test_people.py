"""People, their roles and how they sign in, on both databases."""

from datetime import UTC, datetime, timedelta

from domain.people import Grant, Person, Role, person
from infra.db import Database, credentials, partner_tokens, people

NOON = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)


def add(db: Database, id: str, *grants: Grant) -> None:
    with db.transaction() as session:
        assert people.add(session, id, name_sealed=b"sealed", source="administrator", at=NOON, by="A001")
        for grant in grants:
            assert people.grant(session, id, grant, at=NOON, by="A001")


def found(db: Database, id: str) -> Person | None:
    with db.reading() as session:
        return people.find(session, id)


def test_a_person_has_the_roles_they_have_now(db: Database) -> None:
    add(db, "X1", Grant(Role.SHOP, "ankang"), Grant(Role.SHOP, "baicao"), Grant(Role.HOTLINE))
    with db.transaction() as session:
        number = next(had.id for had in people.listed(session, "X1")[0].grants if had.grant.place == "baicao")
        assert people.end_grant(session, "X1", number, at=LATER, by="A002") == Grant(Role.SHOP, "baicao")
        assert people.end_grant(session, "X1", number, at=LATER, by="A002") is None

    assert found(db, "X1") == Person("X1", frozenset({Grant(Role.SHOP, "ankang"), Grant(Role.HOTLINE)}))


def test_an_ended_role_stays_on_record_with_who_gave_and_took_it(db: Database) -> None:
    add(db, "X1", Grant(Role.HOTLINE))
    with db.transaction() as session:
        number = people.listed(session, "X1")[0].grants[0].id
        people.end_grant(session, "X1", number, at=LATER, by="A002")
        people.grant(session, "X1", Grant(Role.HOTLINE), at=LATER, by="A003")
    with db.reading() as session:
        held = people.listed(session, "X1")[0].grants
    assert [(had.by, had.ended_by, had.ended_at) for had in held] == [("A003", "", None), ("A001", "A002", LATER)]


def test_nobody_has_a_role_twice_and_an_id_is_never_given_again(db: Database) -> None:
    add(db, "X1", Grant(Role.HOTLINE))
    with db.transaction() as session:
        assert not people.grant(session, "X1", Grant(Role.HOTLINE), at=LATER, by="A001")
        assert people.end(session, "X1", at=LATER, by="A001")
        assert not people.end(session, "X1", at=LATER, by="A001")
        assert not people.add(session, "X1", name_sealed=b"", source="administrator", at=LATER, by="A001")
    assert found(db, "X1") is None


def test_a_person_without_roles_is_somebody_and_a_stranger_is_nobody(db: Database) -> None:
    add(db, "X1")
    assert found(db, "X1") == person("X1")
    assert found(db, "X2") is None


def test_administrators_are_counted_once_and_only_while_they_are(db: Database) -> None:
    add(db, "A1", Grant(Role.ADMINISTRATOR))
    add(db, "A2", Grant(Role.ADMINISTRATOR))
    add(db, "X1", Grant(Role.HOTLINE))
    with db.transaction() as session:
        assert people.administrators(session) == 2
        people.end(session, "A2", at=LATER, by="A1")
        assert people.administrators(session) == 1


def test_people_of_the_settings_come_and_go_with_them_and_others_stay(db: Database) -> None:
    add(db, "X1", Grant(Role.PHARMACIST))
    settings = {"P001": frozenset({Grant(Role.PHARMACIST)}), "X1": frozenset({Grant(Role.OPERATOR)})}
    for _ in range(2):
        with db.transaction() as session:
            people.as_the_settings_say(session, settings, NOON)
    assert found(db, "P001") == person("P001", Role.PHARMACIST)
    assert found(db, "X1") == person("X1", Role.PHARMACIST, Role.OPERATOR)

    with db.transaction() as session:
        people.as_the_settings_say(session, {}, LATER)
    assert found(db, "P001") == person("P001")
    assert found(db, "X1") == person("X1", Role.PHARMACIST)


def test_a_recovery_code_is_good_once_and_for_its_person(db: Database) -> None:
    add(db, "X1")
    add(db, "X2")
    with db.transaction() as session:
        credentials.set_recovery_codes(session, "X1", ["a", "b"])
        assert not credentials.use_recovery_code(session, "X2", "a", NOON)
        assert credentials.use_recovery_code(session, "X1", "a", NOON)
        assert not credentials.use_recovery_code(session, "X1", "a", NOON)
        assert credentials.recovery_codes_left(session, "X1") == 1
        credentials.set_recovery_codes(session, "X1", ["c"])
        assert not credentials.use_recovery_code(session, "X1", "b", NOON)


def test_an_enrolment_is_used_once_in_time_and_replaced_by_the_next(db: Database) -> None:
    add(db, "X1")
    with db.transaction() as session:
        for mark in ("old", "new"):
            credentials.enrol(session, mark, "X1", totp_sealed=b"s", at=NOON, by="A1", until=LATER)
        assert credentials.enrolment(session, "old") is None
        assert not credentials.use_enrolment(session, "new", LATER)
        assert credentials.use_enrolment(session, "new", NOON)
        assert not credentials.use_enrolment(session, "new", NOON)


def test_a_credential_begins_empty_and_keeps_what_is_not_set(db: Database) -> None:
    add(db, "X1")
    with db.transaction() as session:
        credentials.set_credential(session, "X1", password="hash")
        credentials.set_credential(session, "X1", failures=3)
        held = credentials.get(session, "X1", hold=True)
    assert held is not None
    assert (held.password, held.failures, held.totp_step, held.totp_sealed) == ("hash", 3, 0, None)


def test_a_rotated_token_lives_on_beside_the_new_one_for_the_stated_time(db: Database) -> None:
    def valid(at: datetime) -> list[str]:
        with db.reading() as session:
            return [token.mark for token in partner_tokens.valid(session, at)]

    with db.transaction() as session:
        partner_tokens.as_the_settings_say(session, {"env": "first", "other": "second"}, NOON)
        partner_tokens.rotate(session, "first", "new", at=NOON, by="A1", until=LATER)
    assert valid(NOON) == ["env", "new", "other"]
    assert valid(LATER) == ["new", "other"]

    with db.transaction() as session:
        partner_tokens.as_the_settings_say(session, {"env": "first", "other": "second"}, LATER)
    assert valid(LATER) == ["new", "other"], "the settings alone do not bring a rotated token back"

    with db.transaction() as session:
        partner_tokens.as_the_settings_say(session, {}, LATER)
    assert valid(NOON) == ["new"]


def test_an_ended_token_opens_nothing(db: Database) -> None:
    with db.transaction() as session:
        partner_tokens.rotate(session, "first", "new", at=NOON, by="A1", until=LATER)
        number = partner_tokens.of(session, "first")[0].id
        assert partner_tokens.end(session, number, NOON) == "first"
        assert partner_tokens.valid(session, NOON) == []
        assert partner_tokens.end(session, 99, NOON) == ""

"""How people who work here, and partners, come in, are given rights and lose them."""

from contextlib import suppress

import pyotp

from domain.people import Capability, Denied, Grant, Role, person
from tasks import access, accounts, people, sessions
from tasks.partner_tokens import PartnerTokens
from tests.laws.world import World
from tests.support.city import HOSPITAL, HOSPITAL_TOKEN
from tests.support.people import PASSWORD


def a_pharmacist_comes_and_goes(city: World) -> None:
    city.sign_in()
    city.sign_out()


def people_are_looked_after(city: World) -> None:
    """An administrator adds somebody, gives and takes roles, and lets them go."""
    admin, grant = people.COMMAND, Grant(Role.HOTLINE)
    city.staff(lambda c: people.add(c, admin, "H001", "", [grant]))
    city.staff(lambda c: people.invite(c, admin, "H001"))
    city.staff(lambda c: people.grant(c, admin, "H001", Grant(Role.SHOP, "ankang")))
    city.staff(lambda c: people.end_role(c, admin, "H001", 1))
    city.staff(lambda c: people.unlock(c, admin, "H001"))
    city.staff(lambda c: people.sign_out(c, admin, "H001"))
    city.staff(lambda c: people.name_subject(c, admin, "H001", "subject"))
    city.staff(lambda c: accounts.sign_in_as(c, "subject"))
    with suppress(Denied):
        city.staff(lambda c: access.enter(c, person("H001", Role.HOTLINE), Capability.REDRIVE, act=True))
    city.staff(lambda c: access.enter(c, person("H001", Role.HOTLINE), Capability.FIND_PATIENT, act=False))
    city.staff(lambda c: people.leave(c, admin, "H001"))


def a_partners_token_is_changed(city: World) -> None:
    """A new one is made, shown by the hospital, and ended."""
    tokens = PartnerTokens(city.city, {HOSPITAL: HOSPITAL_TOKEN}, frozenset({HOSPITAL}))
    city.staff(lambda _: tokens.accepts(HOSPITAL, HOSPITAL_TOKEN))
    city.staff(lambda _: tokens.rotate(people.COMMAND, HOSPITAL, 24))
    city.staff(lambda _: tokens.end(people.COMMAND, 2))


def a_person_keeps_their_account(city: World) -> None:
    """They enrol, come in twice, and change what can be changed. What a crash left half done they begin again."""
    def authenticator() -> tuple[str, str]:
        code = city.staff(lambda c: people.invite(c, people.COMMAND, "H001")) or ""
        return code, accounts.enrolment(city.city, code).secret

    def digits() -> str:
        city.later(seconds=60)
        return pyotp.TOTP(secret).at(city.clock())

    city.staff(lambda c: people.add(c, people.COMMAND, "H001", "", [Grant(Role.HOTLINE)]))
    code, secret = authenticator()
    city.staff(lambda c: accounts.enrol(c, code, PASSWORD, digits()))
    cookies = [city.staff(lambda c: accounts.sign_in(c, "H001", PASSWORD, digits())) or "" for _ in range(2)]
    city.later(minutes=2)
    city.staff(lambda c: sessions.find(c, cookies[0], c.now()))
    city.staff(lambda c: sessions.end_one_of(c, "H001", sessions.key_of(cookies[1])))
    city.staff(lambda c: sessions.end_others(c, "H001", sessions.key_of(cookies[0])))
    city.staff(lambda c: accounts.renew_recovery_codes(c, "H001", PASSWORD, digits()))
    city.staff(lambda c: accounts.change_authenticator(c, "H001", PASSWORD, digits()))
    city.staff(lambda c: accounts.change_password(c, "H001", PASSWORD, digits(), f"{PASSWORD} and at night"))


PEOPLE = (
    a_pharmacist_comes_and_goes,
    people_are_looked_after,
    a_partners_token_is_changed,
    a_person_keeps_their_account,
)

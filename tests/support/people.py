"""People of a city under test: added by an administrator, enrolled with an authenticator that the test holds."""

from dataclasses import dataclass

import pyotp

from domain.people import Grant, Role
from tasks import accounts, people
from tasks.city import City

PASSWORD = "four herbs twice a day"


@dataclass
class Enrolled:
    """A person and what they hold."""

    city: City
    id: str
    secret: str
    recovery_codes: list[str]
    password: str = PASSWORD

    def digits(self) -> str:
        """What their authenticator shows now; the same for half a minute."""
        return pyotp.TOTP(self.secret).at(self.city.now())

    def sign_in(self) -> str | None:
        return accounts.sign_in(self.city, self.id, self.password, self.digits())


def enrolled(city: City, id: str, *roles: Role | Grant, by: str = "A000") -> Enrolled:
    """A new person with those roles, who has taken up their enrolment code. The clock must go on before they sign in."""
    code = people.add(city, by, id, "", [role if isinstance(role, Grant) else Grant(role) for role in roles])
    secret = accounts.enrolment(city, code).secret
    codes = accounts.enrol(city, code, PASSWORD, pyotp.TOTP(secret).at(city.now()))
    return Enrolled(city, id, secret, codes)

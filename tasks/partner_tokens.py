"""The tokens that hospitals show at their doors, as one process knows them; and how an administrator changes them."""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

from domain.people import Capability, Denied
from domain.words import Two
from infra.db import access_log, partner_tokens
from infra.db.access_log import Kind
from tasks.city import City

OVERLAPS = (1, 24, 168)
"""Hours for which the old token may be good beside the new one."""
KEPT_SECONDS = 10.0
"""After which the tokens are read again: so long a token that another gateway ended may be good here."""
NOT_KNOWN_SECONDS = 1.0
"""At most so often they are read because an unknown one was shown."""
NOTED_EVERY = timedelta(minutes=10)
_REFUSALS: Mapping[str, Two] = {
    "unknown_partner": Two("该合作方不使用令牌", "this partner shows no token"),
    "bad_overlap": Two("请选择新旧令牌并存的时间", "choose for how long the old token is good beside the new one"),
}


@dataclass(frozen=True)
class _Kept:
    number: int
    partner: str
    until: datetime | None
    used_at: datetime | None


class PartnerTokens:
    """`of_settings` are the partners with a token among the settings, `partners` all that may have one."""

    def __init__(self, city: City, of_settings: Mapping[str, str], partners: frozenset[str],
                 clock: Callable[[], float] = time.monotonic) -> None:
        self._city = city
        self.partners = partners
        self._of_settings = {self._mark(partner, token): partner for partner, token in of_settings.items() if partner in partners}
        self._clock = clock
        self._reading = Lock()
        self._read_at: float | None = None
        self._listed = False
        self._kept: dict[str, _Kept] = {}

    def accepts(self, partner: str, token: str) -> bool:
        """Whether this is a token of that partner now. May ask the database."""
        mark = self._mark(partner, token)
        if self._age() > KEPT_SECONDS or (mark not in self._kept and self._age() > NOT_KNOWN_SECONDS):
            self.read()
        kept, now = self._kept.get(mark), self._city.now()
        if not token or kept is None or (kept.until and kept.until <= now):
            return False
        if kept.used_at is None or kept.used_at + NOTED_EVERY <= now:
            self._note(mark, kept, now)
        return True

    def must_ask(self, partner: str, token: str) -> bool:
        """Whether `accepts` would ask the database, and so take its time."""
        kept = self._kept.get(self._mark(partner, token))
        if kept is None:
            return self._age() > NOT_KNOWN_SECONDS
        return self._age() > KEPT_SECONDS or kept.used_at is None or kept.used_at + NOTED_EVERY <= self._city.now()

    def read(self) -> None:
        """Read them again; the first time those of the settings are written first."""
        with self._reading:
            if not self._listed:
                with self._city.db.transaction("tokens.listed") as session:
                    partner_tokens.as_the_settings_say(session, self._of_settings, self._city.now())
                self._listed = True
            with self._city.db.reading() as session:
                rows = partner_tokens.valid(session, self._city.now())
            self._kept = {row.mark: _Kept(row.id, row.partner, row.until, row.used_at) for row in rows}
            self._read_at = self._clock()

    def rotate(self, by: str, partner: str, hours: int) -> str:
        """A new token, which is shown once; the old ones are good for so many hours more.

        Raises `Denied`: `unknown_partner`, `bad_overlap`.
        """
        if partner not in self.partners:
            raise _refusal("unknown_partner")
        if hours not in OVERLAPS:
            raise _refusal("bad_overlap")
        token, now = secrets.token_urlsafe(24), self._city.now()
        self.read()
        with self._city.db.transaction("token.rotated") as session:
            partner_tokens.rotate(session, partner, self._mark(partner, token), at=now, by=by, until=now + timedelta(hours=hours))
            access_log.append(session, by, Kind.ACT, Capability.MANAGE_TOKENS, at=now, detail=f"rotated:{partner}")
        self.read()
        return token

    def end(self, by: str, number: int) -> None:
        """This token is good for nothing from now on."""
        now = self._city.now()
        with self._city.db.transaction("token.ended") as session:
            if partner := partner_tokens.end(session, number, now):
                access_log.append(session, by, Kind.ACT, Capability.MANAGE_TOKENS, at=now, detail=f"ended:{partner}:{number}")
        self.read()

    def _note(self, mark: str, kept: _Kept, now: datetime) -> None:
        with self._city.db.transaction("token.used") as session:
            partner_tokens.used(session, kept.number, now)
        self._kept[mark] = _Kept(kept.number, kept.partner, kept.until, now)

    def _age(self) -> float:
        return float("inf") if self._read_at is None else self._clock() - self._read_at

    def _mark(self, partner: str, token: str) -> str:
        return self._city.cipher.lookup(f"partner token\n{partner}\n{token}")


def _refusal(code: str) -> Denied:
    return Denied(code, _REFUSALS[code])

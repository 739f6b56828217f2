"""Who comes in, and how much they may say: tokens, the sign-in cookie, the size of a body."""

import base64
import hmac
import json
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from urllib.parse import parse_qs, urlsplit

from fastapi import HTTPException, Request

from adapters import registry
from infra.settings import Settings
from tasks.city import City

COOKIE = "sanyi_session"
STAYS = timedelta(hours=12)
"""How long a sign-in lasts: a shift."""
MESSAGE_BYTES = 20_000_000
"""More is not read; what one prescription may be is a rule of its dialect."""
CALLBACK_BYTES = 1 << 20
FORM_BYTES = 1 << 16

Form = dict[str, list[str]]


class Role(StrEnum):
    PHARMACIST = "pharmacist"
    OPERATOR = "operator"


@dataclass(frozen=True)
class Person:
    """Somebody of ours who has signed in."""

    id: str
    role: Role


def denied(status: int, code: str, text: str, text_en: str) -> HTTPException:
    """What every door says no with; how it looks depends on the door (`gateway.trouble`)."""
    return HTTPException(status, {"code": code, "text": text, "text_en": text_en})


class Desk:
    """Knows the people of this installation. Its methods are FastAPI dependencies."""

    def __init__(self, city: City, settings: Settings) -> None:
        self._city = city
        self._people = {
            # Names from the environment come in small letters, and C-03 compares them with physicians' codes.
            Person(name.upper(), role): token.get_secret_value()
            for role, tokens in ((Role.PHARMACIST, settings.pharmacists), (Role.OPERATOR, settings.operators))
            for name, token in tokens.items()
        }
        self._own = urlsplit(settings.gateway_url)

    @property
    def secure(self) -> bool:
        """Whether the cookie may travel over TLS only."""
        return self._own.scheme == "https"

    def by_token(self, token: str) -> Person | None:
        """Whoever has this token. Takes as long for a wrong one as for a right one."""
        found = None
        for person, known in self._people.items():
            if hmac.compare_digest(known.encode(), token.encode()):
                found = person
        return found

    def cookie(self, person: Person) -> str:
        """A signed value that stands for the person for `STAYS`; it ends with the person's token."""
        until = int((self._city.now() + STAYS).timestamp())
        body = base64.urlsafe_b64encode(json.dumps([person.role, person.id, until]).encode()).decode()
        return f"{body}.{self._signature(body, self._people[person])}"

    def by_cookie(self, value: str) -> Person | None:
        body, _, signature = value.partition(".")
        try:
            role, name, until = json.loads(base64.urlsafe_b64decode(body))
            person = Person(str(name), Role(role))
            token = self._people[person]
            good = hmac.compare_digest(self._signature(body, token).encode(), signature.encode())
            return person if good and int(until) > self._city.now().timestamp() else None
        except (ValueError, KeyError, TypeError):
            return None

    def _signature(self, body: str, token: str) -> str:
        return self._city.cipher.lookup(f"gateway session\n{token}\n{body}")

    async def visitor(self, request: Request) -> Person | None:
        """Who this is, if anybody: a page may be open to all."""
        return self._who(request)

    async def staff(self, request: Request) -> Person:
        """A pharmacist or an operator."""
        person = self._who(request)
        if person is None:
            raise denied(401, "unauthorized", "请先登录", "sign in first")
        return person

    async def pharmacist(self, request: Request) -> Person:
        return _only(Role.PHARMACIST, await self.staff(request))

    async def operator(self, request: Request) -> Person:
        return _only(Role.OPERATOR, await self.staff(request))

    def _who(self, request: Request) -> Person | None:
        if "authorization" in request.headers:
            return self.by_token(bearer(request))
        person = self.by_cookie(request.cookies.get(COOKIE, ""))
        if person and request.method not in ("GET", "HEAD"):
            self.same_origin(request)
        return person

    def same_origin(self, request: Request) -> None:
        """A form must come from our own page: SameSite is the first lock, this is the second."""
        source = request.headers.get("origin") or request.headers.get("referer") or ""
        if urlsplit(source).netloc not in {request.headers.get("host"), self._own.netloc}:
            raise denied(403, "foreign_form", "请求来自其他网站", "the form was not ours")


def _only(role: Role, person: Person) -> Person:
    if person.role is not role:
        raise denied(403, "forbidden", "您的身份无权进行此操作", f"this needs a {role}")
    return person


def bearer(request: Request) -> str:
    """The token of the Authorization header, or an empty text."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


FHIR = frozenset({"fhir-r4-push"})
OWN_DOORS = FHIR | {"erx", "cda", "hl7v2", "dropbox"}
"""Dialects that come in by a door of their own, with the locks of that dialect, and by no other."""


def speakers(city: City, speaks: Callable[[str], bool]) -> frozenset[str]:
    """The city's hospitals whose dialect is one of those."""
    return frozenset(slug for slug in city.hospitals if slug in registry.slugs("hospitals")
                     and speaks(registry.manifest("hospitals", slug).dialect))


def hospital_token(settings: Settings, known: Collection[str]) -> Callable[[str, Request], Awaitable[str]]:
    """A dependency: the hospital in the path, one of those, once it has shown its own token."""
    tokens = {slug: secrets["token"] for slug, secrets in settings.partner_secrets.items() if "token" in secrets}

    async def sender(hospital: str, request: Request) -> str:
        if hospital not in known:
            raise denied(404, "unknown_hospital", "没有这家医院", "no such hospital")
        token = tokens[hospital].get_secret_value() if hospital in tokens else ""
        if not token or not hmac.compare_digest(token.encode(), bearer(request).encode()):
            raise denied(401, "unauthorized", "访问令牌无效", "the token is not this hospital's")
        return hospital

    return sender


async def message(request: Request) -> bytes:
    """The body as it came, up to `MESSAGE_BYTES`; more is not even read."""
    return await _read(request, MESSAGE_BYTES)


async def callback(request: Request) -> bytes:
    """A chain's callback, 1 MiB at most."""
    return await _read(request, CALLBACK_BYTES)


async def small(request: Request) -> bytes:
    """A small body: a decision, a form."""
    return await _read(request, FORM_BYTES)


async def form(request: Request) -> Form:
    """The fields of one of our own forms."""
    text = (await _read(request, FORM_BYTES)).decode("utf-8", "replace")
    return parse_qs(text, keep_blank_values=True, max_num_fields=500)


async def _read(request: Request, limit: int) -> bytes:
    declared = request.headers.get("content-length", "")
    too_large = denied(413, "MSG_TOO_LARGE", f"消息超过 {limit} 字节", f"more than {limit} bytes")
    if declared.isdecimal() and int(declared) > limit:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise too_large
    return bytes(body)

"""Who comes in, and how much they may say: tokens, the sign-in cookie, the size of a body."""

import hashlib
import hmac
import math
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from urllib.parse import parse_qs, urlsplit

from fastapi import HTTPException, Request

from adapters import registry
from domain.errors import NeedsOperator
from gateway.web.threads import in_thread
from infra.db import sign_ins
from infra.limits import KEYS, Measure, network
from infra.log import get_logger
from infra.settings import Settings, weak
from tasks.city import City

log = get_logger(__name__)

COOKIE = "sanyi_session"
STAYS = timedelta(hours=12)
"""How long a sign-in lasts: a shift."""
MESSAGE_BYTES = 20_000_000
"""More is not read; what one prescription may be is a rule of its dialect."""
CALLBACK_BYTES = 1 << 20
FORM_BYTES = 1 << 16
FORM_FIELDS = 500

Form = dict[str, list[str]]


class Role(StrEnum):
    PHARMACIST = "pharmacist"
    OPERATOR = "operator"


@dataclass(frozen=True)
class SignedIn:
    """Somebody of ours who has signed in."""

    id: str
    role: Role


def denied(status: int, code: str, text: str, text_en: str) -> HTTPException:
    """What every door says no with; how it looks depends on the door (`gateway.web.errors`)."""
    return HTTPException(status, {"code": code, "text": text, "text_en": text_en})


def too_much(seconds: float, text: str, text_en: str) -> HTTPException:
    """A no that ends by itself after so many seconds, and says so (429, Retry-After)."""
    wait = str(max(1, math.ceil(seconds)))
    return HTTPException(429, {"code": "too_much", "text": text, "text_en": text_en}, {"Retry-After": wait})


class Guard:
    """Slows down whoever tries out tokens: a few errors are a person's, many are somebody else's. Nothing is compared while
    an address has to wait, so that a guess then is worth nothing."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._of_pages = Measure(10, 600, clock=clock)
        self._of_programs = Measure(60, 600, clock=clock)
        self._of_all = Measure(300, 600, clock=clock)
        self._known: OrderedDict[str, None] = OrderedDict()

    def check(self, address: str, *, program: bool) -> None:
        """Raises 429 while an address must wait; or, unless it has signed in before, while too many fail everywhere."""
        seconds = (self._of_programs if program else self._of_pages).wait(address)
        if not program and address not in self._known:
            seconds = max(seconds, self._of_all.wait("all"))
        if seconds:
            raise too_much(seconds, "尝试次数过多，请稍后再试", "too many attempts; wait a while")

    def failed(self, address: str, *, program: bool) -> None:
        log.warning("sign_in.refused", address=address, by="token" if program else "page")
        (self._of_programs if program else self._of_pages).take(address)
        self._of_all.take("all")

    def passed(self, address: str, person: "SignedIn") -> None:
        log.info("sign_in.taken", address=address, person=person.id, role=person.role)
        self._known[address] = None
        while len(self._known) > KEYS:
            self._known.popitem(last=False)


class Desk:
    """Knows the people of this installation. Its methods are FastAPI dependencies."""

    def __init__(self, city: City, settings: Settings) -> None:
        self._city = city
        self._people = {
            # Names from the environment come in small letters, and C-03 compares them with physicians' codes.
            SignedIn(name.upper(), role): token.get_secret_value()
            for role, tokens in ((Role.PHARMACIST, settings.pharmacists), (Role.OPERATOR, settings.operators))
            for name, token in tokens.items()
        }
        self._own = urlsplit(settings.gateway_url)
        self._latest = city.now()
        self.guard = Guard()

    @property
    def secure(self) -> bool:
        """Whether the cookie may travel over TLS only."""
        return self._own.scheme == "https"

    def sign_in(self, request: Request, token: str) -> SignedIn | None:
        """Whoever has this token, or nobody. Raises 429 after too many errors. Written to the log either way."""
        address = network(request.client.host if request.client else "")
        self.guard.check(address, program=False)
        person = self.by_token(token)
        if person is None:
            self.guard.failed(address, program=False)
        else:
            self.guard.passed(address, person)
        return person

    def by_token(self, token: str) -> SignedIn | None:
        """Whoever has this token. Takes as long for a wrong one as for a right one, whatever their lengths."""
        holder, shown = None, _digest(token)
        for person, known in self._people.items():
            if hmac.compare_digest(_digest(known), shown):
                holder = person
        return holder

    def by_bearer(self, request: Request) -> SignedIn | None:
        """Whoever has the token in the Authorization header. Raises 429 after too many errors from one address."""
        address = network(request.client.host if request.client else "")
        self.guard.check(address, program=True)
        person = self.by_token(bearer(request))
        if person is None:
            self.guard.failed(address, program=True)
        return person

    def cookie(self, person: SignedIn) -> str:
        """Sign the person in for `STAYS`: a random value, of which we keep the hash. It ends with the person's token too."""
        value, now = secrets.token_urlsafe(32), self._city.now()
        with self._city.db.transaction("person.signed_in") as session:
            sign_ins.forget(session, now)
            sign_ins.begin(session, _key(value), person=person.id, role=person.role, token=self._mark(person), until=now + STAYS)
        return value

    def by_cookie(self, value: str) -> SignedIn | None:
        """Whose sign-in this is, if it is one and its time is not over. Asks the database."""
        if not re.fullmatch(r"[\w-]{43}", value, re.ASCII):
            return None
        with self._city.db.reading() as session:
            row = sign_ins.get(session, _key(value))
        if row is None:
            return None
        # The latest moment this process has seen: a clock that is set back revives nothing.
        self._latest = max(self._latest, self._city.now())
        if row.until <= self._latest:
            self.sign_out(value)
            return None
        person = SignedIn(row.person, Role(row.role))
        if person not in self._people or not hmac.compare_digest(row.token, self._mark(person)):
            return None
        return person

    def sign_out(self, value: str) -> None:
        """From now on this cookie is worth nothing, wherever there are copies of it."""
        with self._city.db.transaction("person.signed_out") as session:
            sign_ins.end(session, _key(value))

    def _mark(self, person: SignedIn) -> str:
        return self._city.cipher.lookup(f"gateway session\n{self._people[person]}")

    async def staff(self, request: Request) -> SignedIn:
        """A pharmacist or an operator."""
        person = await self._who(request)
        if person is None:
            raise denied(401, "unauthorized", "请先登录", "sign in first")
        # The page of an error names whose it is, and must not ask the database again.
        request.state.person = person
        return person

    async def pharmacist(self, request: Request) -> SignedIn:
        return _only(Role.PHARMACIST, await self.staff(request))

    async def operator(self, request: Request) -> SignedIn:
        return _only(Role.OPERATOR, await self.staff(request))

    async def _who(self, request: Request) -> SignedIn | None:
        if "authorization" in request.headers:
            return self.by_bearer(request)
        person = await in_thread(self.by_cookie, request.cookies.get(COOKIE, ""))
        if person and request.method not in ("GET", "HEAD"):
            self.same_origin(request)
        return person

    def same_origin(self, request: Request) -> None:
        """A form must come from our own page: SameSite is the first lock, this is the second."""
        source = request.headers.get("origin") or request.headers.get("referer") or ""
        try:
            origin = urlsplit(source)
            own = origin.scheme == self._own.scheme and origin.netloc in {request.headers.get("host"), self._own.netloc}
        except ValueError:
            own = False
        if not own:
            raise denied(403, "foreign_form", "请求来自其他网站", "the form was not ours")


def _key(cookie: str) -> str:
    return hashlib.sha256(cookie.encode()).hexdigest()


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _only(role: Role, person: SignedIn) -> SignedIn:
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
    """A dependency: the hospital in the path, one of those, once it has shown its own token and may send more.

    Raises `NeedsOperator` (code `weak_token`) where a hospital's token could be guessed.
    """
    tokens = {slug: secrets["token"] for slug, secrets in settings.partner_secrets.items() if "token" in secrets}
    for slug in sorted(known & tokens.keys()):
        if why := weak(tokens[slug].get_secret_value()):
            raise NeedsOperator(f"SANYI_PARTNER_SECRETS__{slug.upper()}__TOKEN {why}", code="weak_token")

    async def sender(hospital: str, request: Request) -> str:
        if hospital not in known:
            raise denied(404, "unknown_hospital", "没有这家医院", "no such hospital")
        token = tokens[hospital].get_secret_value() if hospital in tokens else ""
        if not token or not hmac.compare_digest(_digest(token), _digest(bearer(request))):
            log.warning("door.refused", hospital=hospital)
            raise denied(401, "unauthorized", "访问令牌无效", "the token is not this hospital's")
        request.state.sender = f"hospital:{hospital}"
        return hospital

    return sender


def spend(request: Request, size: int, sender: str = "") -> None:
    """Count bytes of a known sender before they are read or kept; raises 429 when it has had its share of the hour."""
    measure: Measure | None = getattr(request.app.state, "quota", None)
    whose = sender or getattr(request.state, "sender", "")
    if measure and whose and (seconds := measure.take(whose, size)):
        log.warning("door.quota", sender=whose, seconds=math.ceil(seconds))
        raise too_much(seconds, "本小时发送量已超出限额，请稍后重发", "more than your share of this hour; send it again later")


async def callback(request: Request) -> bytes:
    """A chain's callback, 1 MiB at most."""
    return await read_body(request, CALLBACK_BYTES)


async def small(request: Request) -> bytes:
    """A small body: a decision, a form."""
    return await read_body(request, FORM_BYTES)


async def form(request: Request) -> Form:
    """The fields of one of our own forms, `FORM_FIELDS` at most."""
    text = (await read_body(request, FORM_BYTES)).decode("utf-8", "replace")
    try:
        return parse_qs(text, keep_blank_values=True, max_num_fields=FORM_FIELDS)
    except ValueError:
        raise denied(413, "too_many_fields", f"表单超过 {FORM_FIELDS} 个字段", f"more than {FORM_FIELDS} fields") from None


def last_value(fields: Form, name: str) -> str:
    """What a form says in a field that counts once, or an empty text."""
    return fields.get(name, [""])[-1]


async def read_body(request: Request, limit: int, grown: Callable[[int], None] = lambda size: None) -> bytes:
    """The body as it came. Raises 413 for more than `limit` bytes, which are not even read, nor what is beyond the sender's
    share (429); `grown` hears how large it has become, and may raise."""
    declared = request.headers.get("content-length", "")
    size = int(declared) if declared.isdecimal() and len(declared) < 20 else None
    too_large = denied(413, "MSG_TOO_LARGE", f"消息超过 {limit} 字节", f"more than {limit} bytes")
    if size is not None:
        if size > limit:
            raise too_large
        spend(request, size)
    body = bytearray()
    async for chunk in request.stream():
        if size is None:
            spend(request, len(chunk))
        body += chunk
        if len(body) > limit:
            raise too_large
        grown(len(body))
    return bytes(body)

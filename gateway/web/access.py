"""Who comes in, and how much they may say: tokens, the sign-in cookie, the size of a body."""

import asyncio
import hashlib
import hmac
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

from fastapi import HTTPException, Request
from pydantic import BaseModel, ValidationError

from adapters import registry
from domain.errors import NeedsOperator
from domain.people import Capability, Denied, Grant, Person, Role
from domain.words import Two
from gateway.web.threads import in_thread
from infra.db import people
from infra.json_text import holds_nul, repeated_member
from infra.limits import KEYS, Measure, network
from infra.log import get_logger
from infra.settings import Settings, weak
from tasks import access, accounts, sessions
from tasks.city import City
from tasks.partner_tokens import PartnerTokens
from tasks.sessions import SignIn

log = get_logger(__name__)

COOKIE = "sanyi_session"
MESSAGE_BYTES = 20_000_000
"""More is not read; what one prescription may be is a rule of its dialect."""
CALLBACK_BYTES = 1 << 20
FORM_BYTES = 1 << 16
FORM_FIELDS = 500

Form = dict[str, list[str]]
B = TypeVar("B", bound=BaseModel)


def denied(status: int, code: str, words: Two) -> HTTPException:
    """What every door says no with; how it looks depends on the door (`gateway.web.errors`)."""
    return HTTPException(status, {"code": code, "text": words.zh, "text_en": words.en})


def too_much(seconds: float, words: Two) -> HTTPException:
    """A no that ends by itself after so many seconds, and says so (429, Retry-After)."""
    wait = str(max(1, math.ceil(seconds)))
    return HTTPException(429, {"code": "too_much", "text": words.zh, "text_en": words.en}, {"Retry-After": wait})


class Guard:
    """Slows down guesses of tokens: after a few errors, which are a person's, an address has to wait. Nothing is compared
    while it waits, so that a guess then is worth nothing."""

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
            raise too_much(seconds, Two("尝试次数过多，请稍后再试", "too many attempts; wait a while"))

    def failed(self, address: str, *, program: bool) -> None:
        log.warning("sign_in.refused", address=address, by="token" if program else "page")
        (self._of_programs if program else self._of_pages).take(address)
        self._of_all.take("all")

    def passed(self, address: str, person: str, by: str) -> None:
        log.info("sign_in.taken", address=address, person=person, by=by)
        self._known[address] = None
        while len(self._known) > KEYS:
            self._known.popitem(last=False)


class May:
    """A dependency: the person who asks, once it is known that they may, and written down that they did.

    Every route of a person has one. A route about one prescription has its id in the path as `rx_id`. With `own_entry` the
    task writes the act into the access log itself, together with what it does. With `somewhere` it is enough to have the
    capability at some place, and the route shows and does what is of such a place only.
    """

    def __init__(self, desk: "Desk", capability: Capability, own_entry: bool, somewhere: bool) -> None:
        self._desk = desk
        self.capability = capability
        self.own_entry = own_entry
        self.somewhere = somewhere

    async def __call__(self, request: Request) -> Person:
        person = await self._desk.staff(request)
        act = request.method not in ("GET", "HEAD")
        await in_thread(self._desk.enter, person, self.capability, act, request.path_params.get("rx_id", ""),
                        act and self.own_entry, self.somewhere)
        return person


class Desk:
    """Knows the people of this installation, and lets them in."""

    def __init__(self, city: City, settings: Settings) -> None:
        self._city = city
        # Names from the environment come in small letters, and C-03 compares them with physicians' codes.
        self._tokens = {
            (name.upper(), role): token.get_secret_value()
            for role, tokens in ((Role.PHARMACIST, settings.pharmacists), (Role.OPERATOR, settings.operators),
                                 (Role.SHOP, {name: keeper.token for name, keeper in settings.shops.items()}))
            for name, token in tokens.items()
        }
        self._places = {name.upper(): keeper.place for name, keeper in settings.shops.items()}
        self._listed = False
        self._own = urlsplit(settings.gateway_url)
        self._latest = city.now()
        self.guard = Guard()

    def may(self, capability: Capability, *, own_entry: bool = False, somewhere: bool = False) -> May:
        """The dependency of a route that needs this capability."""
        return May(self, capability, own_entry, somewhere)

    @property
    def secure(self) -> bool:
        """Whether the cookie may travel over TLS only."""
        return self._own.scheme == "https"

    def sign_in(self, request: Request, token: str) -> str | None:
        """The cookie's value for the person with this access token of the settings. Raises 429 after too many errors.

        Written to the log either way.
        """
        with self._guarded(request) as (address, failed):
            person = self.by_token(token)
            if person is None:
                failed()
                return None
            self.guard.passed(address, person.id, "token")
            return self.cookie(person)

    def sign_in_with_password(self, request: Request, id: str, password: str, code: str) -> str | None:
        """The cookie's value for a person with this password and authenticator. Raises 429 after too many errors."""
        with self._guarded(request) as (address, failed):
            value = accounts.sign_in(self._city, id, password, code)
            if value is None:
                failed()
            else:
                self.guard.passed(address, accounts.normal_id(id), "password")
            return value

    @contextmanager
    def _guarded(self, request: Request) -> Iterator[tuple[str, Callable[[], None]]]:
        address = network(request.client.host if request.client else "")
        self.guard.check(address, program=False)
        yield address, lambda: self.guard.failed(address, program=False)

    def by_token(self, token: str) -> Person | None:
        """The person with this token, in its role. Compares as long for a wrong one as for a right one."""
        holder, shown = None, _digest(token)
        for owner, kept in self._tokens.items():
            if hmac.compare_digest(_digest(kept), shown):
                holder = owner
        return self._present(*holder) if holder else None

    def _present(self, id: str, role: Role) -> Person | None:
        """A person of the settings in that role, unless they have left."""
        self._list_once()
        with self._city.db.reading() as session:
            person = people.find(session, id)
        limited = sessions.limited(person, role) if person else None
        return limited if limited and limited.grants else None

    def _list_once(self) -> None:
        """The people of the settings are among the people before the first of them is looked for."""
        if not self._listed:
            of_settings = {name: frozenset(Grant(held, self._places[name] if held is Role.SHOP else "")
                                           for other, held in self._tokens if other == name) for name, _ in self._tokens}
            with self._city.db.transaction("people.listed") as session:
                people.as_the_settings_say(session, of_settings, self._city.now())
            self._listed = True

    def by_bearer(self, request: Request) -> Person | None:
        """The person whose token is in the Authorization header. Raises 429 after too many errors from one address."""
        address = network(request.client.host if request.client else "")
        self.guard.check(address, program=True)
        person = self.by_token(bearer(request))
        if person is None:
            self.guard.failed(address, program=True)
        return person

    def cookie(self, person: Person) -> str:
        """Sign in a person of the settings, in their one role. It ends with their token too."""
        role = next(iter(person.roles))
        with self._city.db.transaction("person.recognised") as session:
            return sessions.begin(self._city, session, person.id, method="token", role=role, mark=self._mark(person.id, role))

    def sign_out(self, value: str) -> None:
        """From now on this cookie opens nothing, wherever there are copies of it."""
        sessions.end(self._city, sessions.key_of(value))

    def by_cookie(self, value: str) -> SignIn | None:
        """Whose sign-in this is, if it is one and its time is not over. Asks the database."""
        if not value:
            return None
        self._list_once()
        # The latest moment this process has seen: a clock that is set back revives nothing.
        self._latest = max(self._latest, self._city.now())
        signed_in = sessions.find(self._city, value, self._latest)
        if signed_in is None or not signed_in.mark:
            return signed_in
        id = signed_in.person.id
        marks = [self._mark(id, role) for role in signed_in.person.roles if (id, role) in self._tokens]
        return signed_in if any(hmac.compare_digest(signed_in.mark, mark) for mark in marks) else None

    def _mark(self, id: str, role: Role) -> str:
        return self._city.cipher.lookup(f"gateway session\n{self._tokens[id, role]}")

    async def staff(self, request: Request) -> Person:
        """A person who has signed in; what they may is not asked."""
        person = await self._who(request)
        if person is None:
            raise denied(401, "unauthorized", Two("请先登录", "sign in first"))
        # The page of an error names whose it is, and must not ask the database again.
        request.state.person = person
        return person

    def enter(self, person: Person, capability: Capability, act: bool, prescription_id: str, noted: bool, somewhere: bool = False
              ) -> None:
        """Check and write down. Raises `Denied` (code `forbidden`)."""
        access.enter(self._city, person, capability, act=act, prescription_id=prescription_id, noted=noted, somewhere=somewhere)

    @contextmanager
    def noting(self, person: Person, capability: Capability, prescription_id: str = "") -> Iterator[None]:
        """Around an act: where the situation does not allow it, the access log says so."""
        try:
            yield
        except Denied as no:
            access.refused(self._city, person, capability, no.code, prescription_id)
            raise

    async def _who(self, request: Request) -> Person | None:
        if "authorization" in request.headers:
            return await in_thread(self.by_bearer, request)
        signed_in = await in_thread(self.by_cookie, request.cookies.get(COOKIE, ""))
        if signed_in is None:
            return None
        if request.method not in ("GET", "HEAD"):
            self.same_origin(request)
        request.state.sign_in = signed_in.key
        return signed_in.person

    def same_origin(self, request: Request) -> None:
        """A form must come from our own page: SameSite is the first lock, this is the second."""
        source = request.headers.get("origin") or request.headers.get("referer") or ""
        try:
            origin = urlsplit(source)
            own = origin.scheme == self._own.scheme and origin.netloc in {request.headers.get("host"), self._own.netloc}
        except ValueError:
            own = False
        if not own:
            raise denied(403, "foreign_form", Two("请求来自其他网站", "the form was not ours"))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def bearer(request: Request) -> str:
    """The token of the Authorization header, or an empty text."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


FHIR = frozenset({"fhir-r4-push"})
OWN_DOORS = FHIR | {"erx", "cda", "hl7v2", "dropbox"}
"""Dialects that come in by their dialect's door alone, with its locks."""
OWN_LOCKS = frozenset({"erx", "hl7v2", "dropbox"})
"""Those of them that show no token."""


def speakers(city: City, speaks: Callable[[str], bool]) -> frozenset[str]:
    """The city's hospitals whose dialect is one of those."""
    return frozenset(slug for slug in city.hospitals if slug in registry.slugs("hospitals")
                     and speaks(registry.manifest("hospitals", slug).dialect))


def tokens_of(city: City, settings: Settings) -> PartnerTokens:
    """The tokens that hospitals show at their doors. Raises `NeedsOperator` (code `weak_token`) where one could be guessed."""
    partners = speakers(city, lambda dialect: dialect not in OWN_LOCKS)
    tokens = {slug: secrets["token"].get_secret_value() for slug, secrets in settings.partner_secrets.items()
              if slug in partners and "token" in secrets}
    for slug, token in sorted(tokens.items()):
        if why := weak(token):
            raise NeedsOperator(f"SANYI_PARTNER_SECRETS__{slug.upper()}__TOKEN {why}", code="weak_token")
    return PartnerTokens(city, tokens, partners)


def hospital_token(tokens: PartnerTokens, hospitals: Collection[str]) -> Callable[[str, Request], Awaitable[str]]:
    """A dependency: the hospital in the path, one of those, once it has shown its own token and may send more."""

    async def sender(hospital: str, request: Request) -> str:
        if hospital not in hospitals:
            raise denied(404, "unknown_hospital", Two("没有这家医院", "no such hospital"))
        token = bearer(request)
        asks = tokens.must_ask(hospital, token)
        if not (await asyncio.to_thread(tokens.accepts, hospital, token) if asks else tokens.accepts(hospital, token)):
            log.warning("door.refused", hospital=hospital)
            raise denied(401, "unauthorized", Two("访问令牌无效", "the token is not this hospital's"))
        request.state.sender = f"hospital:{hospital}"
        return hospital

    return sender


def spend(request: Request, size: int, sender: str = "") -> None:
    """Count bytes of a known sender before they are read or kept; raises 429 when it has had its share of the hour."""
    measure: Measure | None = getattr(request.app.state, "quota", None)
    whose = sender or getattr(request.state, "sender", "")
    if measure and whose and (seconds := measure.take(whose, size)):
        log.warning("door.quota", sender=whose, seconds=math.ceil(seconds))
        raise too_much(seconds,
                       Two("本小时发送量已超出限额，请稍后重发", "more than your share of this hour; send it again later"))


async def callback(request: Request) -> bytes:
    """A chain's callback, 1 MiB at most."""
    return await read_body(request, CALLBACK_BYTES)


async def small(request: Request) -> bytes:
    """A small body: a decision, a form."""
    return await read_body(request, FORM_BYTES)


def read_json(shape: type[B], body: bytes) -> B:
    """A JSON body of that shape. Raises 422 with its faulty places, and nothing of what was there."""
    places = {place for place in [repeated_member(body)] if place}
    if holds_nul(body):
        raise denied(422, "invalid", Two("含有不可用的字符（NUL）", "it has a character that cannot be kept (NUL)"))
    if not places:
        try:
            return shape.model_validate_json(body)
        except ValidationError as error:
            # The places only: what was written there may be about a person.
            places = {".".join(str(part) for part in fault["loc"][:1]) for fault in error.errors(include_input=False)}
    raise denied(422, "invalid", Two(f"请求不符约定: {', '.join(sorted(places))}", f"not as agreed: {', '.join(sorted(places))}"))


async def form(request: Request) -> Form:
    """The fields of a form of our pages, `FORM_FIELDS` at most."""
    text = (await read_body(request, FORM_BYTES)).decode("utf-8", "replace")
    try:
        return parse_qs(text, keep_blank_values=True, max_num_fields=FORM_FIELDS)
    except ValueError:
        raise denied(413, "too_many_fields",
                     Two(f"表单超过 {FORM_FIELDS} 个字段", f"more than {FORM_FIELDS} fields")) from None


def last_value(fields: Form, name: str) -> str:
    """What a form says in a field that counts once, or an empty text."""
    return fields.get(name, [""])[-1]


async def read_body(request: Request, limit: int, grown: Callable[[int], None] = lambda size: None) -> bytes:
    """The body as it came. Raises 413 for more than `limit` bytes, 429 for more than the sender's share; neither is read.

    `grown` is called with the size read so far, and may raise.
    """
    declared = request.headers.get("content-length", "")
    size = int(declared) if declared.isdecimal() and len(declared) < 20 else None
    too_large = denied(413, "MSG_TOO_LARGE", Two(f"消息超过 {limit} 字节", f"more than {limit} bytes"))
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

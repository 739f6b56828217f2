"""The language of a page: as its address asks, else as the cookie says, else as the browser prefers, else Chinese."""

from datetime import timedelta
from enum import StrEnum
from urllib.parse import urlencode

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.words import Two
from gateway.web.errors import Door, door_of

PARAMETER = "lang"
COOKIE = "sanyi_lang"
REMEMBERED = timedelta(days=365)


class Language(StrEnum):
    """A language that pages are written in."""

    ZH = "zh"
    EN = "en"

    @property
    def tag(self) -> str:
        """As HTML names it."""
        return TAGS[self]

    @property
    def own_name(self) -> str:
        """As its readers call it."""
        return OWN_NAMES[self]

    @property
    def other(self) -> "Language":
        return Language.EN if self is Language.ZH else Language.ZH

    def of(self, words: Two | tuple[str, str]) -> str:
        return words[0 if self is Language.ZH else 1]


TAGS = {Language.ZH: "zh-CN", Language.EN: "en"}
OWN_NAMES = {Language.ZH: "中文", Language.EN: "English"}


def language_of(request: Request) -> Language:
    """What a page that answers this request is written in."""
    return chosen(request.query_params.get(PARAMETER, ""), request.cookies.get(COOKIE, ""),
                  request.headers.get("accept-language", ""))


def chosen(address: str, cookie: str, accepted: str) -> Language:
    """The language that the address names, or the cookie, or the header Accept-Language; Chinese where none of them does."""
    for value in (address, cookie):
        if value in set(Language):
            return Language(value)
    return preferred(accepted) or Language.ZH


def preferred(accepted: str) -> Language | None:
    """Of an Accept-Language header: the language of ours with the highest weight, the first of equals."""
    weights: dict[Language, float] = {}
    for part in accepted.lower().split(","):
        tag, _, parameter = part.strip().partition(";")
        primary = tag.strip().partition("-")[0]
        weight = _weight(parameter)
        if primary in set(Language) and 0 < weight <= 1:
            language = Language(primary)
            weights[language] = max(weight, weights.get(language, 0))
    return max(weights, key=lambda language: weights[language], default=None)


def _weight(parameter: str) -> float:
    """`q=0.8` → 0.8; 1 where there is none, 0 where it is not a number."""
    name, _, value = parameter.replace(" ", "").partition("=")
    if not name:
        return 1
    try:
        return float(value) if name == "q" else 0
    except ValueError:
        return 0


def switched(request: Request) -> str:
    """The same address in the other language, relative to itself: a path from outside is not repeated."""
    query = [(name, value) for name, value in request.query_params.multi_items() if name != PARAMETER]
    return "?" + urlencode([*query, (PARAMETER, language_of(request).other)])


class Remembered:
    """Around the application: a language that an address asks for is kept in a cookie, on pages and errors alike."""

    def __init__(self, app: ASGIApp, *, secure: bool) -> None:
        self._app = app
        self._secure = secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        cookie = self._cookie(scope) if scope["type"] == "http" else None
        if cookie is None:
            await self._app(scope, receive, send)
            return

        async def with_cookie(event: Message) -> None:
            if event["type"] == "http.response.start":
                event["headers"] = [*event["headers"], (b"set-cookie", cookie)]
            await send(event)

        await self._app(scope, receive, with_cookie)

    def _cookie(self, scope: Scope) -> bytes | None:
        request = Request(scope)
        value = request.query_params.get(PARAMETER, "")
        if request.method != "GET" or value not in set(Language) or door_of(scope["path"]) is not Door.PAGE:
            return None
        kept = f"{COOKIE}={value}; Path=/; Max-Age={int(REMEMBERED.total_seconds())}; SameSite=Lax; HttpOnly"
        return (kept + "; Secure" * self._secure).encode()

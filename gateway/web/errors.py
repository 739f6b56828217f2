"""Errors become answers: each door's own form, and never a word of what was sent."""

import errno
import json
import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, HTTPException, Request, Response
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adapters.dialects import fhir_r4
from domain.errors import NeedsOperator, Refused, RxError, StaleStatus, Transient
from domain.people import Denied
from domain.words import Two
from fhir_profiles import codes
from fhir_profiles.answers import canonical
from gateway.web.access import denied
from infra.db.engine import unavailable
from infra.log import get_logger

log = get_logger(__name__)

RETRY_AFTER = 5
"""Seconds after which a sender may try again."""

_ISSUES = {400: "structure", 401: "login", 403: "forbidden", 404: "not-found", 405: "not-supported", 408: "timeout",
           413: "too-long", 429: "throttled", 503: "transient"}


class Door(StrEnum):
    """Whom an answer is for."""

    HOSPITAL = "/fhir/"
    CHAIN = "/callbacks/"
    MESSAGES = "/messages/"
    PRESCRIPTIONS = "/epc/"
    """The national 电子处方 interface."""
    API = "/api/"
    PAGE = "/"


def door_of(path: str) -> Door:
    return next(door for door in Door if path.startswith(door))


def json_answer(data: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """JSON as we write it everywhere: texts as they are, moments in ISO 8601, nothing rounded."""
    return Response(json.dumps(data, ensure_ascii=False, default=_spelled), status, headers, "application/json")


def _spelled(value: object) -> object:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def in_xml(request: Request) -> bool:
    """Whether a hospital is answered in XML where its message is not read: as it says it sends, or else as it accepts."""
    for name in ("content-type", "accept"):
        for media in _MEDIA.findall(request.headers.get(name, "").lower()):
            return bool(media == "xml")
    return False


_MEDIA = re.compile(r"\b(?:application|text)/(?:fhir\+)?(xml|json)\b")


def in_fhir(request: Request, body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A resource of ours, as JSON, in the form the request asks for."""
    if in_xml(request):
        return Response(fhir_r4.to_xml(json.loads(body)), status, headers, fhir_r4.XML_MEDIA)
    return Response(body, status, headers, fhir_r4.JSON_MEDIA)


def outcome(status: int, code: str, words: Two) -> bytes:
    """One OperationOutcome with one issue, in the form of contract 1."""
    issue = {"severity": "error", "code": _ISSUES.get(status, "exception"), "diagnostics": words.en,
             "details": {"coding": [{"system": codes.code_system("finding"), "code": code}], "text": words.zh}}
    return canonical({"resourceType": "OperationOutcome", "issue": [issue]})


def answer(request: Request, error: AnyHTTPException) -> Response | None:
    """The error in the form of the door it happened at; None for a page, which has its own."""
    words = spoken(error)
    headers = headers_of(error)
    if error.status_code == 401:
        headers["WWW-Authenticate"] = "Bearer"
    match door_of(request.url.path):
        case Door.HOSPITAL:
            body = outcome(error.status_code, words["code"], Two(words["text"], words["text_en"]))
            return in_fhir(request, body, error.status_code, headers)
        case Door.CHAIN:
            return json_answer({"result": words["code"]}, error.status_code, headers)
        case Door.PRESCRIPTIONS:
            return json_answer({"code": words["code"], "message": words["text"]}, error.status_code, headers)
        case Door.API | Door.MESSAGES:
            return json_answer({"error": words}, error.status_code, headers)
        case Door.PAGE:
            return None


def headers_of(error: AnyHTTPException) -> dict[str, str]:
    """What an error says beside its body; when to come back, whenever that helps."""
    again = {"Retry-After": str(RETRY_AFTER)} if error.status_code == 503 else {}
    return again | dict(error.headers or {})


def spoken(error: AnyHTTPException) -> dict[str, str]:
    """Code and words of an error, also of one the framework raised."""
    if isinstance(error.detail, dict):
        return error.detail
    code, text = ("not_found", "没有这个地址") if error.status_code == 404 else ("not_possible", "无法处理该请求")
    return {"code": code, "text": text, "text_en": str(error.detail)}


_FORBIDDEN = frozenset({"forbidden", "own_roles"})
_CONFLICTS = frozenset({"not_in_review", "own_prescription", "already_claimed", "not_claimed", "claim_expired", "id_taken",
                        "last_administrator", "from_the_settings", "subject_taken", "not_now"})


def status_of(no: Denied) -> int:
    """The HTTP status of a refusal: 403 for who they are, 409 for the situation, 404 and 422 for what they sent."""
    if no.code in _FORBIDDEN:
        return 403
    return 409 if no.code in _CONFLICTS else 404 if no.code == "unknown_person" else 422


def http_error(error: Exception) -> HTTPException:
    """What an error of ours means to a client."""
    match error:
        case Transient() | StaleStatus():
            return denied(503, "busy", Two("系统繁忙，请稍后重发", "busy; send the same again"))
        case Refused():
            return denied(401, error.code, Two("签名无效", "refused"))
        case Denied():
            return denied(status_of(error), error.code, error.words)
        case NeedsOperator(code="disk"):
            log.error("gateway.no_room", error="archive")
            return _away()
        case _ if unavailable(error) or (isinstance(error, OSError) and error.errno in _NO_ROOM):
            log.error("gateway.away", error=type(error).__name__)
            return _away()
        case _:
            log.error("gateway.error", error=type(error).__name__, exc_info=_bare(error))
            return denied(500, "internal", Two("平台内部错误，已记录", "our fault; it has been recorded"))


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE)


def _away() -> HTTPException:
    return denied(503, "unavailable",
                  Two("平台暂时无法保存，请稍后原样重发", "nothing can be kept at the moment; send the same again"))


def _bare(error: BaseException) -> BaseException:
    """The trace without the words: a message may quote what a client sent."""
    return RuntimeError(type(error).__name__).with_traceback(error.__traceback__)


class Shell:
    """Around everything: safe headers on every answer, and no error leaves as it is."""

    def __init__(self, app: ASGIApp, show: Any) -> None:
        self._app = app
        self._show = show
        """Renders an HTTP error for a request."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False
        keep = scope["path"].startswith("/static/")
        if "\0" in scope["path"] or b"%00" in scope.get("query_string", b""):
            # No text of ours holds one, and PostgreSQL takes none.
            scope = {**scope, "path": "/", "query_string": b"", "refused": True}

        async def safely(event: Message) -> None:
            nonlocal started
            if event["type"] == "http.response.start":
                started = True
                event["headers"] = [*event["headers"], *(_KEPT if keep else _NEVER_KEPT)]
            await send(event)

        try:
            if "refused" in scope:
                raise denied(400, "bad_address", Two("地址不正确", "this is no address"))
            await self._app(scope, receive, safely)
        except ClientDisconnect:
            return
        except Exception as error:
            shown = error if isinstance(error, AnyHTTPException) else http_error(error)
            if not started:
                await self._answer(Request(scope), shown)(scope, receive, safely)

    def _answer(self, request: Request, error: AnyHTTPException) -> Response:
        try:
            response: Response = self._show(request, error)
            return response
        except Exception as again:
            # The page of an error failed too: plain text instead, with the same headers.
            log.error("gateway.no_page", error=type(again).__name__)
            return Response(spoken(error)["text"], error.status_code, headers_of(error), "text/plain; charset=utf-8")


_SAFE: Sequence[tuple[bytes, bytes]] = (
    (b"content-security-policy", b"default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; connect-src 'self'; "
                                 b"form-action 'self'; "
                                 b"base-uri 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    # Not no-referrer: the check of a form's origin needs one within our own pages.
    (b"referrer-policy", b"same-origin"),
)
_NEVER_KEPT = (*_SAFE, (b"cache-control", b"no-store"))
_KEPT = (*_SAFE, (b"cache-control", b"max-age=3600"))


def install(app: FastAPI, show: Any) -> None:
    """Every error of the app goes through `show(request, HTTP error)`."""
    app.add_middleware(Shell, show=show)

    async def ours(request: Request, error: Exception) -> Response:
        shown = error if isinstance(error, AnyHTTPException) else http_error(error)
        response: Response = show(request, shown)
        return response

    for kind in (AnyHTTPException, RxError, Denied):
        app.add_exception_handler(kind, ours)


def unknown_prescription() -> HTTPException:
    return denied(404, "unknown_prescription", Two("没有这张处方", "no such prescription"))


def sign_in_address(request: Request) -> str:
    return f"/sign-in?next={quote(request.url.path, safe='/')}"

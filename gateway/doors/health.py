"""What monitoring asks of the gateway: is it alive, can it work, and its figures for Prometheus."""

import asyncio
import hmac
import time

from fastapi import APIRouter, Request, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.people import Capability
from gateway.web.access import Desk, bearer
from gateway.web.errors import door_of, json_answer
from gateway.web.threads import in_thread
from infra import metrics
from infra.db import figures
from infra.log import get_logger
from infra.settings import Settings
from tasks.checks import CheckResult, check, check_archive, check_database, check_prefect, within
from tasks.city import City

log = get_logger(__name__)

KEPT_SECONDS = 5.0
"""How old an answer of /ready may be: a hundred probes cost no more than one."""
NEEDED = ("database", "archive")
"""Without these the gateway can take nothing in. Without Prefect it can."""


class Checks:
    """What /ready asks, no more often than every few seconds, however many ask."""

    def __init__(self, city: City, prefect: str) -> None:
        self._city = city
        self._prefect = prefect
        self._one_at_a_time = asyncio.Lock()
        self._kept: tuple[float, list[CheckResult]] = (0.0, [])

    async def __call__(self) -> list[CheckResult]:
        async with self._one_at_a_time:
            at, results = self._kept
            if not results or time.monotonic() - at > KEPT_SECONDS:
                answers = await asyncio.gather(
                    check("database", "database-down", lambda: check_database(self._city.db), 3),
                    check("archive", "archive-down", lambda: check_archive(self._city.archive), 5),
                    check_prefect(self._prefect))
                self._kept = (time.monotonic(), [result for answer in answers for result in answer])
            return self._kept[1]


def health_door(city: City, settings: Settings, desk: Desk) -> APIRouter:
    """`/health` and `/ready` for anybody, `/metrics` for an operator or with the token of the metrics."""
    door = APIRouter()
    checks = Checks(city, settings.prefect_api)
    token = settings.metrics_token.get_secret_value()

    def measured() -> figures.Figures:
        with city.db.reading() as session:
            return figures.figures(session, city.now())

    kept = metrics.Kept(measured, metrics.FIGURES_SECONDS)

    @door.get("/health")
    async def health() -> Response:
        # Asks neither database nor partner: a gateway that waits for its database is alive, and killing it would not help.
        return json_answer({"up": True})

    @door.get("/ready")
    async def ready() -> Response:
        results = await checks()
        reasons = [f"{result.area}: {result.text.en}" for result in results if not result.fine and result.area in NEEDED]
        return json_answer({"ready": not reasons, "reasons": reasons, "checks": [_shown(result) for result in results]},
                           503 if reasons else 200)

    @door.get("/metrics")
    async def scraped(request: Request) -> Response:
        shown = bearer(request)
        has_token = bool(token) and hmac.compare_digest(token.encode(), shown.encode())
        who = None if has_token or not shown else await in_thread(desk.by_bearer, request)
        if not has_token and (who is None or not who.may(Capability.SEE_METRICS)):
            # Not raised: a program that asks is not to be sent to the sign-in page.
            error = {"code": "unauthorized", "text": "需要指标令牌或运维令牌",
                     "text_en": "needs the token of the metrics, or an operator's"}
            return json_answer({"error": error}, 401, {"WWW-Authenticate": "Bearer"})
        fine = {result.area: result.fine for result in await checks()}
        try:
            measures = await within(3, kept)
        except Exception as fault:
            log.warning("metrics.without_database", error=type(fault).__name__)
            measures = None
        page = metrics.page(metrics.FromChecks(lambda: fine), metrics.FromDatabase(lambda: measures))
        return Response(page, headers={"content-type": metrics.CONTENT_TYPE})

    return door


def _shown(result: CheckResult) -> dict[str, object]:
    return {"check": result.area, "fine": result.fine, "needed": result.area in NEEDED, "ms": result.milliseconds,
            "text": result.text.zh, "text_en": result.text.en, "cure": result.cure.zh, "cure_en": result.cure.en,
            "runbook": f"docs/runbooks/{result.page}.md" if result.page else ""}


class Counted:
    """Around everything: what was answered at which door, and how fast."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def noted(event: Message) -> None:
            nonlocal status
            if event["type"] == "http.response.start":
                status = event["status"]
            await send(event)

        try:
            await self._app(scope, receive, noted)
        finally:
            # 0: the client was gone before there was an answer.
            door = door_of(scope["path"] if scope["path"].startswith("/") else "/")
            metrics.answered(door.name.lower(), status, time.perf_counter() - started)

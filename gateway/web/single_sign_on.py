"""Signing in at the city's OpenID Connect provider: to it and back, with what we sent along sealed in a cookie."""

import hmac
import json
import re
from dataclasses import asdict

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from domain.errors import NeedsOperator
from gateway.web.access import Desk
from gateway.web.render import Pages
from gateway.web.sign_in import give_cookie, home_of, inside
from gateway.web.threads import PeoplesRoute, in_thread
from infra.log import get_logger
from infra.oidc import Attempt, Provider
from infra.settings import Settings
from tasks import accounts
from tasks.city import City

log = get_logger(__name__)

COOKIE = "sanyi_oidc"
LASTS = 600
"""Seconds for signing in at the provider."""
_CONTEXT = "oidc/attempt"


def single_sign_on_pages(city: City, settings: Settings, desk: Desk, pages: Pages) -> APIRouter:
    """`/oidc/begin` and `/oidc/back`; nothing where the settings name no provider."""
    door = APIRouter(default_response_class=HTMLResponse, route_class=PeoplesRoute)
    if not settings.oidc.issuer:
        return door
    provider = Provider(settings.oidc, f"{settings.gateway_url}/oidc/back", city.now)

    @door.get("/oidc/begin")
    async def begin(next: str = "") -> Response:
        attempt = provider.attempt(inside(next))
        response = RedirectResponse(await provider.address(attempt), 303)
        sealed = city.cipher.seal(json.dumps(asdict(attempt)), _CONTEXT).hex()
        # Lax: the provider sends the browser back to us, and a strict cookie would not come along.
        response.set_cookie(COOKIE, sealed, max_age=LASTS, httponly=True, samesite="lax", secure=desk.secure, path="/oidc")
        return response

    @door.get("/oidc/back")
    async def back(request: Request, code: str = "", state: str = "") -> Response:
        attempt = opened(request.cookies.get(COOKIE, ""))
        value = None
        if attempt and code and hmac.compare_digest(attempt.state.encode(), state.encode()):
            try:
                subject = await provider.subject(attempt, code)
            except NeedsOperator as error:
                log.warning("oidc.refused", error=str(error))
            else:
                value = await in_thread(accounts.sign_in_as, city, subject)
        signed_in = await in_thread(desk.by_cookie, value) if value else None
        if value is None or attempt is None or signed_in is None:
            response: Response = pages.html(request, "web/sign_in.html", 401, next="", wrong="oidc", single_sign_on=True)
        else:
            # A page, not a redirect: the browser sends our strict cookie only from a page of ours.
            address = attempt.next or home_of(signed_in.person)
            response = pages.html(request, "web/signed_in.html", address=address)
            response.headers["refresh"] = f"0; url={address}"
            give_cookie(response, desk, value)
        response.delete_cookie(COOKIE, path="/oidc", httponly=True, samesite="lax", secure=desk.secure)
        return response

    def opened(cookie: str) -> Attempt | None:
        if not re.fullmatch(r"(?:[0-9a-f]{2}){30,2000}", cookie):
            return None
        try:
            attempt = Attempt(**json.loads(city.cipher.open(bytes.fromhex(cookie), _CONTEXT)))
        except NeedsOperator:
            return None
        return attempt if 0 <= city.now().timestamp() - attempt.at <= LASTS else None

    return door



"""The gateway: every door of the platform in one application."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from fastapi import FastAPI, Response
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from starlette.requests import Request

from domain.words import Two
from gateway.account.room import account_room
from gateway.administration.room import administration_room
from gateway.desk.room import desk_room
from gateway.doors import mllp
from gateway.doors.alerts import alert_door
from gateway.doors.bodies import Bodies
from gateway.doors.chains import chain_door
from gateway.doors.erx import erx_door
from gateway.doors.health import Counted, health_door
from gateway.doors.hospitals import hospital_door
from gateway.doors.messages import message_door
from gateway.doors.soap import soap_door
from gateway.inbox.room import inbox_room
from gateway.operations.room import operations_room
from gateway.tracking.room import tracking_room
from gateway.web.access import Desk, denied, tokens_of
from gateway.web.errors import install
from gateway.web.language import Remembered
from gateway.web.render import WEB, Pages
from gateway.web.sign_in import sign_in_pages
from gateway.web.single_sign_on import single_sign_on_pages
from gateway.web.time_limits import InTime
from infra.settings import Settings
from tasks.city import City

THREADS = 40
"""In which messages are read, besides the framework's own: a machine of two cores would have six."""


def create_app(city: City, settings: Settings, host: str = "127.0.0.1") -> FastAPI:
    """The application for a city, listening at `host` where a dialect has its own port.

    Its database must be migrated; it is closed when the application ends.
    """

    bodies = Bodies()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # What waits for the database must not keep what does not from a thread.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS, "door"))
        listeners = await mllp.serve(city, settings, host, bodies=bodies)
        yield
        for listener in listeners:
            listener.close()
        city.db.close()

    # Without the framework's own pages: they load scripts from elsewhere.
    app = FastAPI(title="Sanyi", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    desk = Desk(city, settings)
    tokens = tokens_of(city, settings)
    pages = Pages(city, settings)

    app.include_router(health_door(city, settings, desk))
    app.include_router(hospital_door(city, tokens, bodies))
    app.include_router(erx_door(city, settings, bodies))
    app.include_router(soap_door(city, settings, bodies, tokens))
    app.include_router(message_door(city, tokens, bodies))
    app.include_router(chain_door(city))
    app.include_router(alert_door(city, settings))
    app.include_router(sign_in_pages(desk, pages, single_sign_on=bool(settings.oidc.issuer)))
    app.include_router(single_sign_on_pages(city, settings, desk, pages))
    app.include_router(account_room(city, desk, pages))
    app.include_router(administration_room(city, desk, pages, tokens))
    app.include_router(desk_room(city, desk, pages))
    app.include_router(tracking_room(city, desk, pages))
    app.include_router(inbox_room(city, desk, pages))
    app.include_router(operations_room(city, desk, pages))
    app.mount("/static", StaticFiles(directory=WEB / "static"))
    app.state.quota = city.share
    app.add_middleware(InTime)
    install(app, pages.trouble)
    app.add_middleware(Remembered, secure=desk.secure)
    app.add_middleware(Counted)

    async def unreadable(request: Request, error: Exception) -> Response:
        # The framework's own answer would quote what was sent.
        return pages.trouble(request, denied(422, "invalid", Two("请求参数不符约定", "a parameter is not as agreed")))

    app.add_exception_handler(RequestValidationError, unreadable)
    return app

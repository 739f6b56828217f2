"""Everything the people of a shop reach, as one router."""

from fastapi import APIRouter

from gateway.inbox.api import inbox_api
from gateway.inbox.custody import custody_api, custody_pages
from gateway.inbox.pages import inbox_pages
from gateway.inbox.prints import inbox_prints
from gateway.web.access import Desk
from gateway.web.render import Pages
from tasks.city import City


def inbox_room(city: City, desk: Desk, pages: Pages) -> APIRouter:
    """`/inbox…` for people, `/api/inbox/…` for programs."""
    room = APIRouter()
    room.include_router(custody_api(city, desk))
    room.include_router(custody_pages(city, desk, pages))
    room.include_router(inbox_api(city, desk))
    room.include_router(inbox_prints(city, desk, pages))
    room.include_router(inbox_pages(city, desk, pages))
    return room

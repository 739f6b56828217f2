"""Everything a patient reaches, as one router."""

from fastapi import APIRouter

from gateway.tracking.api import tracking_api
from gateway.tracking.pages import tracking_pages
from gateway.web.access import Desk
from gateway.web.render import Pages
from tasks.city import City


def tracking_room(city: City, desk: Desk, pages: Pages) -> APIRouter:
    """`/p/…` for people, `/api/p/…` for programs."""
    room = APIRouter()
    room.include_router(tracking_api(city, desk, pages))
    room.include_router(tracking_pages(city, desk, pages))
    return room

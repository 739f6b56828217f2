"""Everything a pharmacist reaches, as one router."""

from fastapi import APIRouter

from gateway.desk.api import desk_api
from gateway.desk.pages import desk_pages
from gateway.web.access import Desk
from gateway.web.render import Pages
from tasks.city import City


def desk_room(city: City, desk: Desk, pages: Pages) -> APIRouter:
    """`/review…` for people, `/api/review/…` for programs."""
    room = APIRouter()
    room.include_router(desk_api(city, desk))
    room.include_router(desk_pages(city, desk, pages))
    return room

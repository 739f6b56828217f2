"""Everything an operator reaches, as one router."""

from fastapi import APIRouter

from gateway.operations.api import operations_api
from gateway.operations.mapping import mapping_door
from gateway.operations.pages import operations_pages
from gateway.operations.webhooks import webhooks_door
from gateway.web.access import Desk
from gateway.web.render import Pages
from tasks.city import City


def operations_room(city: City, desk: Desk, pages: Pages) -> APIRouter:
    """`/`, `/rx…`, `/runs/…`, `/mapping` and `/webhooks` for people, `/api/…` for programs."""
    room = APIRouter()
    room.include_router(operations_api(city, desk, pages.partner))
    room.include_router(operations_pages(city, desk, pages))
    room.include_router(mapping_door(city, desk, pages))
    room.include_router(webhooks_door(city, desk, pages))
    return room

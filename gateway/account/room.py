"""Everything a person reaches about themselves, as one router."""

from fastapi import APIRouter

from gateway.account.enrolment import enrolment_pages
from gateway.account.pages import account_pages
from gateway.web.access import Desk
from gateway.web.render import Pages
from tasks.city import City


def account_room(city: City, desk: Desk, pages: Pages) -> APIRouter:
    """`/enrol` and `/account…`."""
    room = APIRouter()
    room.include_router(enrolment_pages(city, desk, pages))
    room.include_router(account_pages(city, desk, pages))
    return room

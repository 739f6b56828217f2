"""Everything an administrator reaches, as one router."""

from fastapi import APIRouter

from gateway.administration.access_log import access_log_pages
from gateway.administration.people import people_pages
from gateway.administration.tokens import token_pages
from gateway.web.access import Desk
from gateway.web.render import Pages
from tasks.city import City
from tasks.partner_tokens import PartnerTokens


def administration_room(city: City, desk: Desk, pages: Pages, tokens: PartnerTokens) -> APIRouter:
    """`/people…`, `/partner-tokens…` and `/access-log`."""
    room = APIRouter()
    room.include_router(people_pages(city, desk, pages))
    room.include_router(token_pages(city, desk, pages, tokens))
    room.include_router(access_log_pages(city, desk, pages))
    return room

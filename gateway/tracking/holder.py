"""Who holds the link of a patient's page."""

from fastapi import Request

from domain.words import Two
from gateway.web.access import Desk, denied
from infra.limits import network
from tasks.city import City
from tasks.patients import prescription_of

PRIVATE = {"x-robots-tag": "noindex, nofollow"}
"""The address opens the page for anybody: no search may find it. That no copy is kept and no other site hears of it is so of
every page."""


class Holder:
    """A dependency: the prescription of the person who has the link. A wrong one counts as a guess, as at the sign-in."""

    def __init__(self, city: City, desk: Desk) -> None:
        self._city = city
        self._desk = desk

    def __call__(self, request: Request, link: str) -> str:
        address = network(request.client.host if request.client else "")
        self._desk.guard.check(address, program=False)
        prescription_id = prescription_of(self._city, link)
        if prescription_id is None:
            self._desk.guard.failed(address, program=False)
            raise denied(404, "no_such_page", Two("链接不正确，请从医院的消息中重新打开", "this link is not right: open it again "
                                                  "from the hospital's message"))
        return prescription_id


def no_such_page() -> Exception:
    return denied(404, "no_such_page", Two("没有这张处方", "there is no such prescription"))

"""A city with a place that decocts pieces, and prescriptions for it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from adapters import registry
from domain.events import Event
from domain.lifecycle import Status
from domain.people import Capability, Grant, Person, Role
from domain.shops import Act
from infra.db import counter as books
from infra.db import history
from tasks import counter, shelves
from tasks.intake import receive_prescription
from tests.support.cda_documents import checked, sample
from tests.support.city import HOSPITAL, Clock, make_city
from tests.support.line import Line

CENTRE, SHOP = "linli/LL04", "linli/LL02"
MINE = Person("S004", frozenset({Grant(Role.SHOP, CENTRE), Grant(Role.SHOP, SHOP)}))
STEPS = (Act.SOAK, Act.DECOCT, Act.PACK_LIQUID, Act.COOL)


def message(number: int, *, decocted: bool, doses: int = 7) -> bytes:
    """Three pieces, as the hospital of Chinese medicine sends them, in another hospital's name."""
    raw = sample("pieces.xml").replace(b"RX0004", f"RX{number:04d}".encode()).replace(b"DOC0004", f"DOC{number:04d}".encode())
    if decocted:
        raw = raw.replace("水煎两次，取汁400ml".encode(), "代煎".encode())
    raw = raw.replace('value="7" unit="剂"'.encode(), f'value="{doses}" unit="剂"'.encode())
    read, findings = checked(raw)
    assert read
    assert not findings
    return json.dumps(read.resource, ensure_ascii=False, default=float).replace("jinan_tcm", HOSPITAL).replace(
        "H37010000003", "H37010000001").encode()


class Town:
    """A city with a shop that has pieces, and a centre that decocts them too."""

    def __init__(self, folder: Path, places: tuple[str, ...] = (CENTRE,), *, url: str | None = None,
                 boundary: Callable[[str, str], None] | None = None) -> None:
        city = make_city(folder, url, now=Clock(), boundary=boundary)
        self.city = replace(city, chains={"linli": registry.counter("linli", city.db, city.now, city.policy.timezone)})
        for place in places:
            for drug in ("YP101", "YP102", "YP103"):
                shelves.change(self.city, MINE, place, drug, counted="50000", price=str(city.knowledge.ceilings[drug]))
        self.line = Line(self.city)

    def admit(self, number: int = 4, **what: object) -> str:
        answer = receive_prescription(self.city, HOSPITAL, message(number, **what))  # type: ignore[arg-type]
        rx_id: str = json.loads(answer.body)["identifier"][0]["value"]
        self.line.hop(rx_id)
        if self.line.status(rx_id) is Status.IN_REVIEW:
            self.line.review(rx_id, reasons={
                "PIECES_UNJUDGED": "已人工核对配伍", "DOSE_ABOVE_USUAL": "病情需要，略高于常用量",
                "DECOCT_MANY": "患者要求一次煎好"})
            self.line.hop(rx_id)
        return rx_id

    def do(self, rx_id: str, act: Act, **more: object) -> counter.ShopOrder:
        return counter.act_on(self.city, MINE, rx_id, 1, act, **more)  # type: ignore[arg-type]

    def seen(self, rx_id: str) -> counter.ShopOrder:
        return counter.order_of(self.city, MINE, Capability.SEE_ORDER, rx_id, 1)

    def steps(self, rx_id: str) -> list[object]:
        with self.city.db.reading() as session:
            return [detail["decoction"] for detail in history.details(session, rx_id, Event.DECOCTION_STEP)]

    def doses(self) -> int:
        with self.city.db.reading() as session:
            return books.decocting(session, "linli", "LL04", self.city.now(), self.city.now().replace(hour=0))

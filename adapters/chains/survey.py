"""The register of a chain whose shops are in our own database: their facts as columns, read at most once in `SAME_FOR`."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from domain.prescription import Handover, Place
from domain.shops import Opening, Shop
from infra.db import Database, Session, counter
from infra.places import Flags, Numbers, Shelf, Survey

SAME_FOR = timedelta(seconds=30)
"""How old a column may be. Places that are taken by it are asked for a quote of now, so that a change costs a place at most."""


@dataclass(frozen=True)
class Way:
    """How long the way from a shop takes, by the straight line."""

    ready: int
    per_kilometre: int
    delivery: int
    """More minutes where it is brought."""
    kilometres: tuple[float, float]
    """Of a degree of latitude and of longitude."""


@dataclass(frozen=True)
class _Present:
    """What changes from minute to minute in all shops."""

    at: datetime
    load: Numbers
    opens: Numbers
    closes: Numbers
    staffed: Flags
    decoct_left: np.ndarray[tuple[int], np.dtype[np.int64]]


class Surveyor:
    """Keeps the columns of one chain's shops."""

    def __init__(self, chain: str, shops: Mapping[str, Shop], db: Database, way: Way, *, courier: bool, unrated: float) -> None:
        self._chain, self._shops, self._db, self._way = chain, shops, db, way
        self._stores = [(chain, number) for number in shops]
        self._row = {number: row for row, number in enumerate(shops)}
        self._latitude = np.array([float(shop.latitude) for shop in shops.values()])
        self._longitude = np.array([float(shop.longitude) for shop in shops.values()])
        self._capacity = np.array([shop.capacity for shop in shops.values()], dtype=np.float64)
        self._brings = np.array([shop.delivers or courier for shop in shops.values()], dtype=np.bool_)
        self._unrated = np.full(len(shops), unrated)
        self._shelves: dict[str, tuple[datetime, Shelf]] = {}
        self._present: _Present | None = None

    def survey(self, drugs: Collection[str], handover: Handover, place: Place, now: datetime, local: datetime,
               decocted: Callable[[Session, str], int]) -> Survey:
        """All shops, for one patient. `local` is `now` in the city's time; `decocted` how many doses a shop has on for today."""
        old = {drug for drug in drugs if drug not in self._shelves or now - self._shelves[drug][0] > SAME_FOR}
        present = self._present
        if old or present is None or now - present.at > SAME_FOR:
            with self._db.reading() as session:
                if old:
                    self._read_shelves(session, old, now)
                if present is None or now - present.at > SAME_FOR:
                    present = self._present = self._look(session, now, decocted)
        return Survey(self._stores, {drug: self._shelves[drug][1] for drug in drugs}, self._minutes(handover, place), present.load,
                      _open(present, local) & (self._brings | (handover is Handover.PICKUP)), self._unrated, self._unrated,
                      present.decoct_left)

    def _minutes(self, handover: Handover, place: Place) -> Numbers:
        north = (self._latitude - float(place.latitude)) * self._way.kilometres[0]
        east = (self._longitude - float(place.longitude)) * self._way.kilometres[1]
        fixed = self._way.ready + (self._way.delivery if handover is Handover.HOME else 0)
        minutes: Numbers = fixed + np.rint(np.sqrt(north * north + east * east) * self._way.per_kilometre)
        return minutes

    def _read_shelves(self, session: Session, drugs: Collection[str], now: datetime) -> None:
        columns = {drug: Shelf(np.zeros(len(self._stores)), np.zeros(len(self._stores))) for drug in drugs}
        for stock in counter.stocked(session, self._chain, now, drugs=drugs):
            if (row := self._row.get(stock.store)) is not None:
                columns[stock.drug].available[row] = stock.available
                columns[stock.drug].price[row] = stock.price
        self._shelves |= {drug: (now, shelf) for drug, shelf in columns.items()}

    def _look(self, session: Session, now: datetime, decocted: Callable[[Session, str], int]) -> _Present:
        busy, openings = counter.busy(session, self._chain), counter.openings(session, self._chain)
        hours = [openings.get(number) or Opening(shop.opens, shop.closes) for number, shop in self._shops.items()]
        return _Present(
            now, np.array([busy.get(number, 0) for number in self._shops]) / self._capacity,
            np.array([60.0 * hour.opens.hour + hour.opens.minute for hour in hours]),
            np.array([60.0 * hour.closes.hour + hour.closes.minute for hour in hours]),
            np.array([hour.on_duty and not hour.shut for hour in hours], dtype=np.bool_),
            np.array([max(shop.decoct_doses - decocted(session, number), 0) if shop.decoct_doses else 0
                      for number, shop in self._shops.items()], dtype=np.int64))


def _open(present: _Present, local: datetime) -> Flags:
    """As `Opening.at`; hours are whole minutes."""
    minute = 60 * local.hour + local.minute
    after, before = present.opens <= minute, minute < present.closes
    by_day = present.opens < present.closes
    open_now: Flags = present.staffed & np.where(by_day, after & before, (present.opens == present.closes) | after | before)
    return open_now

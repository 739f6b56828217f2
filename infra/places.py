"""The register of places: the facts of many places as columns, from which the few best are taken before any is asked for a quote.

It applies the hard filters (D-02) and the score (D-17) to all rows at once, in floating point. It keeps a margin for every
rounding of the exact ranking. So the best of what it returns, ranked exactly, are the best of all. No money comes from here.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

# Before numpy is loaded: its threads would take the SIGTERM that a worker has blocked in its own (`flows.home.told_to_stop`).
os.putenv("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

from domain.chains import OrderLine
from domain.fulfilment.ranking import WEIGHTS
from domain.money import Fen, line_amount
from domain.policy import CityPolicy
from domain.premises import Handling, Premises, premises_of

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]
_WEIGHT = {name: float(weight) for name, weight in WEIGHTS.items()}
_ROUNDED = 0.02
"""Points of the score: the exact one is rounded to 0.01 once."""
MOST = 10
"""Places that are taken of one register at a time."""


@dataclass(frozen=True)
class Shelf:
    """What every place has of one drug, one row per place."""

    available: Numbers
    """Counted units that are free; 0: it has none."""
    price: Numbers
    """Yuan per counted unit; 0: it does not sell it."""


@dataclass(frozen=True)
class Survey:
    """Places as they are for one patient, one row per place."""

    stores: Sequence[tuple[str, str]]
    """Chain and store of each row."""
    shelves: Mapping[str, Shelf]
    """By drug; no place has a drug without a shelf."""
    minutes: Numbers
    """Until the patient would have it, whole minutes."""
    load: Numbers
    """Orders in progress over capacity."""
    able: Flags
    """Open with a pharmacist on duty, and with the handover asked for (D-18)."""
    on_time: Numbers
    quality: Numbers
    decoct_left: NDArray[np.int64]
    """Doses that it can still decoct today."""


class Standing:
    """What the city's register of premises and its shares of orders say of each row; made anew when one of them changes."""

    def __init__(self, stores: Sequence[tuple[str, str]], policy: CityPolicy, shares: Mapping[str, Decimal]) -> None:
        self.shares, self.register = shares, policy.premises
        fair = [1.0] * len(stores)
        self._row = {store: row for row, store in enumerate(stores)}
        kinds: dict[Premises, int] = {}
        kind = []
        for row, (chain, store) in enumerate(stores):
            kind.append(kinds.setdefault(premises_of(policy.premises, chain, store), len(kinds)))
            if share := shares.get(f"{chain}/{store}"):
                fair[row] = max(0.0, min(1.0, float(1 - share / policy.share_cap)))
        self.premises, self.kind, self.fair = list(kinds), np.array(kind, dtype=np.intp), np.array(fair)

    def rows(self, stores: frozenset[tuple[str, str]]) -> list[int]:
        return [self._row[store] for store in stores if store in self._row]


def shortlist(survey: Survey, standing: Standing, wanted: Sequence[OrderLine], policy: CityPolicy, ceilings: Mapping[str, Decimal],
              handling: Handling, excluded: frozenset[tuple[str, str]] = frozenset(), most: int = MOST) -> list[int]:
    """Rows of the places among which are the `most` best that can fill everything, by `domain.fulfilment.ranking.rank`.

    More where some are too close to tell apart; none where no place can fill everything.
    """
    if not wanted or any(line.drug not in ceilings or line.drug not in survey.shelves for line in wanted):
        return []
    may = survey.able & (survey.load < 1) & _designated(survey, standing, wanted, handling)
    may[standing.rows(excluded)] = False
    total = np.zeros(len(survey.stores))
    for line in wanted:
        shelf, quantity = survey.shelves[line.drug], float(line.quantity)
        may &= (shelf.available >= quantity) & (shelf.price > 0) & (shelf.price <= float(ceilings[line.drug]))
        total += shelf.price * (100 * quantity)
    rows = np.flatnonzero(may)
    ceiling = Fen(sum(line_amount(ceilings[line.drug], line.quantity) for line in wanted))
    points = _points(survey, standing, rows, total, ceiling, policy)
    if len(rows) <= most:
        return [int(row) for row in rows]
    # Each line's amount is rounded to a fen in the exact total, so that it is off by half a fen at most.
    margin = _ROUNDED + (100 * _WEIGHT["price"] * 0.5 * len(wanted) / ceiling if ceiling else 0)
    worst = np.partition(points, len(points) - most)[-most]
    return [int(row) for row in rows[points >= worst - 2 * margin]]


def _designated(survey: Survey, standing: Standing, wanted: Sequence[OrderLine], handling: Handling) -> Flags:
    """Whether the premises of each row may dispense all of it (D-06, D-07) and can decoct it (D-14)."""
    may = np.array([not any(handling.barred(line.drug, premises) for line in wanted) for premises in standing.premises],
                   dtype=np.bool_)
    if handling.decoct:
        may &= np.array([premises.decocts for premises in standing.premises], dtype=np.bool_)
        return may[standing.kind] & (survey.decoct_left >= handling.decoct)
    return may[standing.kind]


def _points(survey: Survey, standing: Standing, rows: NDArray[np.intp], total: Numbers, ceiling: Fen, policy: CityPolicy
            ) -> Numbers:
    """The score of rows that fill everything, 0 to 100, not rounded."""
    terms: dict[str, Any] = {
        "distance": np.clip(1 - survey.minutes[rows] / policy.max_minutes, 0, 1),
        "fill": 1.0,
        "price": np.clip((ceiling - total[rows]) / ceiling, 0, 1) if ceiling else 0.0,
        "load": np.clip(1 - survey.load[rows], 0, 1),
        "on_time": np.clip(survey.on_time[rows], 0, 1),
        "quality": np.clip(survey.quality[rows], 0, 1),
        "fair": standing.fair[rows],
    }
    points: Numbers = np.zeros(len(rows))
    for name, value in terms.items():
        points += 100 * _WEIGHT[name] * value
    return points

"""Who gets what when many wait at once: one after the other (greedy), or all together by an integer programme.

Single decisions stay as they are: each takes its best place. Together a little worse place for one may leave room for another.
The product does not call this yet: `benchmarks/allocation.py` measures what it would gain, and prescriptions are placed one by one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import highspy
import numpy as np

SECONDS = 20.0
"""The solver stops after that long, with the best it has."""


@dataclass(frozen=True)
class Pair:
    """A prescription that one place can fill."""

    prescription: int
    place: int
    score: float
    """Of D-17, 0 to 100."""
    minutes: float


@dataclass(frozen=True)
class Round:
    """What is to be shared out at once."""

    prescriptions: int
    pairs: Sequence[Pair]
    capacity: Sequence[int]
    """Orders that each place can still take (D-15)."""
    needs: Sequence[Mapping[str, float]] = ()
    """Counted units by drug, of each prescription."""
    stock: Mapping[tuple[int, str], float] = field(default_factory=dict)
    """Counted units that are free, by place and drug; one that is not named is not short."""


@dataclass(frozen=True)
class Assigned:
    """A prescription's pair, for each that has a place."""

    pairs: tuple[Pair, ...]
    prescriptions: int

    @property
    def score(self) -> float:
        """All scores together; one without a place counts nought."""
        return sum(pair.score for pair in self.pairs)

    @property
    def served(self) -> float:
        """Share of the prescriptions that have a place."""
        return len(self.pairs) / self.prescriptions if self.prescriptions else 1.0

    @property
    def minutes(self) -> float:
        """To the patient, on average of those that have a place."""
        return sum(pair.minutes for pair in self.pairs) / len(self.pairs) if self.pairs else 0.0


def greedy(round_: Round) -> Assigned:
    """Each prescription in its turn takes the best place that still has room: what single decisions come to."""
    offers: dict[int, list[Pair]] = {}
    for pair in round_.pairs:
        offers.setdefault(pair.prescription, []).append(pair)
    room, stock = list(round_.capacity), dict(round_.stock)
    taken = []
    for number in range(round_.prescriptions):
        needs = round_.needs[number] if round_.needs else {}
        for pair in sorted(offers.get(number, ()), key=lambda pair: (-pair.score, pair.minutes, pair.place)):
            there = all(stock.get((pair.place, drug), quantity) >= quantity for drug, quantity in needs.items())
            if there and room[pair.place] > 0:
                room[pair.place] -= 1
                for drug, quantity in needs.items():
                    if (pair.place, drug) in stock:
                        stock[pair.place, drug] -= quantity
                taken.append(pair)
                break
    return Assigned(tuple(taken), round_.prescriptions)


def jointly(round_: Round, seconds: float = SECONDS) -> Assigned:
    """The assignment with the greatest total score, by HiGHS.

    Raises `ArithmeticError` where the solver ends without any assignment.
    """
    if not round_.pairs:
        return Assigned((), round_.prescriptions)
    rows = _rows(round_)
    solver = highspy.Highs()  # type: ignore[no-untyped-call]
    solver.silent()
    solver.setOptionValue("time_limit", seconds)
    solver.setOptionValue("threads", 1)
    count, starts = len(round_.pairs), np.cumsum([0, *(len(at) for at, _, _ in rows)])
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = count, len(rows)
    model.sense_ = highspy.ObjSense.kMaximize
    model.col_cost_ = np.array([pair.score for pair in round_.pairs])
    model.col_lower_, model.col_upper_ = np.zeros(count), np.ones(count)
    model.row_lower_ = np.full(len(rows), -highspy.kHighsInf)
    model.row_upper_ = np.array([most for _, _, most in rows])
    model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    model.a_matrix_.start_ = starts
    model.a_matrix_.index_ = np.concatenate([np.array(at) for at, _, _ in rows])
    model.a_matrix_.value_ = np.concatenate([np.array(quantities) for _, quantities, _ in rows])
    if round_.stock:
        # Without stock every corner of the polytope is whole, and the simplex method ends at one.
        model.integrality_ = [highspy.HighsVarType.kInteger] * count
    solver.passModel(model)
    solver.run()
    values = solver.getSolution().col_value
    if not len(values):
        raise ArithmeticError(f"no assignment: {solver.getModelStatus()}")
    return Assigned(tuple(pair for pair, value in zip(round_.pairs, values, strict=True) if value > 0.5), round_.prescriptions)


def _rows(round_: Round) -> list[tuple[list[int], list[float], float]]:
    """Columns, quantities and upper bound of each constraint: one place each, capacity, and stock where it could run short."""
    once: dict[int, list[int]] = {}
    at: dict[int, list[int]] = {}
    short: dict[tuple[int, str], list[tuple[int, float]]] = {}
    for column, pair in enumerate(round_.pairs):
        once.setdefault(pair.prescription, []).append(column)
        at.setdefault(pair.place, []).append(column)
        for drug, quantity in (round_.needs[pair.prescription] if round_.needs else {}).items():
            if (pair.place, drug) in round_.stock:
                short.setdefault((pair.place, drug), []).append((column, quantity))
    rows = [(columns, [1.0] * len(columns), 1.0) for columns in once.values()]
    rows += [(columns, [1.0] * len(columns), float(round_.capacity[place])) for place, columns in at.items()]
    rows += [([column for column, _ in uses], [quantity for _, quantity in uses], round_.stock[key]) for key, uses in short.items()
             if sum(quantity for _, quantity in uses) > round_.stock[key]]
    return rows

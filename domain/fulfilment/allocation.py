"""What the pharmacy that is asked next gets an order for: all of it, its share of a split, or a part now (D-10, D-11).

One order is chosen at a time, and what it leaves open is sought anew. So the second pharmacy of a split may sell out meanwhile:
the rest goes to another, or waits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from enum import StrEnum
from itertools import combinations

from domain.chains import OrderLine
from domain.fulfilment.portions import Portion, Portions, added, without
from domain.fulfilment.ranking import Ranked
from domain.money import Fen, line_amount
from domain.prescription import Item


class Way(StrEnum):
    """How what is wanted is shared out."""

    WHOLE = "whole"
    """One pharmacy has all of it."""
    SPLIT = "split"
    """Two pharmacies have all of it between them, each line whole at one of them (D-10)."""
    PART = "part"
    """No two pharmacies have all of it: one gives what it has now, and the rest is owed (D-11)."""


@dataclass(frozen=True)
class Choice:
    """The order that is made next."""

    store: Ranked
    lines: tuple[OrderLine, ...]
    """What the store is asked for, with its prices."""
    way: Way
    left: Portions
    """What stays open for other orders."""


def choose(ranking: Sequence[Ranked], wanted: Sequence[OrderLine], *, parcels: int, least: Mapping[int, Decimal] | None
           ) -> Choice | None:
    """The next order; None where no store, and no two of them, may be asked.

    `ranking` is the best first (`rank`). `parcels` is how many more orders this prescription may have: a part now needs two,
    since its rest is one more. `least` is the smallest part of each line that is worth a way to the pharmacy, in counted units;
    None: no part is given.
    """
    if not wanted or parcels < 1:
        return None
    for store in ranking:
        if store.eligible:
            return _choice(store, wanted, wanted, Way.WHOLE)
    in_part = [store for store in ranking if store.may_be_asked]
    if parcels < 2 or not in_part:
        return None
    if pair := _best_pair(in_part, wanted):
        first, _ = pair
        return _choice(first, [line for line in wanted if _full(first, line)], wanted, Way.SPLIT)
    if least is None:
        return None
    # Of equals the first in the ranking.
    most = max(in_part, key=lambda store: sum(_share(store, line) for line in _worth(store, wanted, least)))
    return _choice(most, lines, wanted, Way.PART) if (lines := _worth(most, wanted, least)) else None


MOST_PAIRS = 5
"""Pairs of pharmacies that are offered, and the cheapest one besides."""


def alternatives(ranking: Sequence[Ranked], wanted: Sequence[OrderLine], *, parcels: int, least: Mapping[int, Decimal]
                 ) -> list[tuple[Choice, ...]]:
    """Every way that a patient may choose, each as its orders: by score within a way, no pharmacy that has all of it left out.

    Shares and parts only where no pharmacy has all of it (D-10). What a part leaves open is in its `left` (D-11). `least` as in
    `choose`.
    """
    if not wanted or parcels < 1:
        return []
    whole: list[tuple[Choice, ...]] = [(_choice(store, wanted, wanted, Way.WHOLE),) for store in ranking if store.eligible]
    if whole:
        return whole
    in_part = [store for store in ranking if store.may_be_asked]
    if parcels < 2:
        return []
    pairs = sorted((pair for first, second in combinations(in_part, 2) if (pair := _shared(first, second, wanted))),
                   key=lambda pair: -sum(share.store.score for share in pair))
    cheapest = sorted(pairs[MOST_PAIRS:], key=total)[:1]
    parts = [(_choice(store, lines, wanted, Way.PART),) for store in in_part if (lines := _worth(store, wanted, least))]
    return [*pairs[:MOST_PAIRS], *cheapest, *parts]


def total(orders: Sequence[Choice]) -> Fen:
    """What some orders cost together."""
    return Fen(sum(line.amount for order in orders for line in order.lines))


def at_store(store: Ranked, asked_for: Sequence[OrderLine], wanted: Sequence[OrderLine], way: Way) -> Choice | None:
    """The order for exactly these lines at one store, at its prices of now; None where it no longer gives all of them."""
    if not store.may_be_asked or not all(_full(store, line) for line in asked_for):
        return None
    return _choice(store, asked_for, wanted, way)


def _shared(first: Ranked, second: Ranked, wanted: Sequence[OrderLine]) -> tuple[Choice, Choice] | None:
    """Each line whole at one of two stores, at the better one where both have it; None unless they have all between them."""
    here = [line for line in wanted if _full(first, line)]
    there = [line for line in wanted if line not in here and _full(second, line)]
    if not here or not there or len(here) + len(there) < len(wanted):
        return None
    return _choice(first, here, wanted, Way.SPLIT), _choice(second, there, wanted, Way.SPLIT)


def _worth(store: Ranked, wanted: Sequence[OrderLine], least: Mapping[int, Decimal]) -> list[OrderLine]:
    """Lines of which a store has a part that is worth a way to it."""
    return [line for line in wanted if _taken(store, line) >= min(least[line.line], line.quantity)]


def supplies_of(items: Sequence[Item], days: int) -> dict[int, Decimal]:
    """Counted units of so many days of each line, rounded up; all of a line that is for fewer days."""
    return {item.line: min(item.quantity, (item.quantity * days / item.days_supply).to_integral_value(ROUND_CEILING))
            for item in items}


def _best_pair(stores: Sequence[Ranked], wanted: Sequence[OrderLine]) -> tuple[Ranked, Ranked] | None:
    """Two stores that have every line whole between them: those with the highest scores together, the better one first.

    Of the stores that have the same lines only the first in the ranking counts. So the pairs are few, however many stores there
    are.
    """
    best: dict[frozenset[int], Ranked] = {}
    for store in stores:
        if has := frozenset(line.line for line in wanted if _full(store, line)):
            best.setdefault(has, store)
    every = frozenset(line.line for line in wanted)
    pairs = [(best[lines], best[others]) for lines, others in combinations(best, 2) if lines | others == every]
    return max(pairs, key=lambda pair: pair[0].score + pair[1].score, default=None)


def _full(store: Ranked, wanted: OrderLine) -> bool:
    return _share(store, wanted) == 1


def _share(store: Ranked, wanted: OrderLine) -> Decimal:
    """How much of a line a store has, 0 to 1, in whole counted units: a tablet is not halved."""
    return _taken(store, wanted) / wanted.quantity


def _taken(store: Ranked, wanted: OrderLine) -> Decimal:
    offer = _offer(store, wanted)
    if offer is None:
        return Decimal(0)
    return wanted.quantity if offer.quantity >= wanted.quantity else offer.quantity.to_integral_value(ROUND_FLOOR)


def _offer(store: Ranked, wanted: OrderLine) -> OrderLine | None:
    """What the store has of a line. By drug: not every chain repeats our line numbers, and one drug stands on one line (B-25)."""
    return next((line for line in store.quote.lines if line.prescribed == wanted.prescribed), None)


def _choice(store: Ranked, asked_for: Sequence[OrderLine], wanted: Sequence[OrderLine], way: Way) -> Choice:
    lines = []
    for line in asked_for:
        offer, quantity = _offer(store, line), _taken(store, line)
        assert offer is not None
        amount = offer.amount if quantity == offer.quantity else line_amount(offer.unit_price, quantity)
        lines.append(replace(line, drug=offer.drug, instead_of=offer.instead_of, quantity=quantity, unit_price=offer.unit_price,
                             amount=amount))
    return Choice(store, tuple(lines), way, without(_portions(wanted), _portions(lines)))


def _portions(lines: Sequence[OrderLine]) -> Portions:
    return added(Portion(line.line, line.quantity) for line in lines)

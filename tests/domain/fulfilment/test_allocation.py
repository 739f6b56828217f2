"""Who gets the next order, and for what: all of it, a share of a split, or a part now (D-10, D-11)."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.chains import OrderLine, Quote
from domain.fulfilment.allocation import Way, choose, supplies_of
from domain.fulfilment.portions import Portion, by_line
from domain.fulfilment.ranking import rank
from domain.money import line_amount
from domain.premises import Handling, Premises
from domain.prescription import Handover
from tests.support.factories import CITY, item

PRICE = Decimal("0.30")
CEILINGS = dict.fromkeys(("D001", "D010", "D018"), Decimal(1))
PLAIN = Handling(Handover.PICKUP)
DRUGS = ("D001", "D010", "D018")
LEAST = {1: Decimal(14), 2: Decimal(14), 3: Decimal(14)}


def test_a_store_without_a_fridge_gives_the_rest_of_a_split() -> None:
    city = replace(CITY, premises={"ankang/B": Premises(dual_channel=False, cold_storage=True, cold_delivery=False)})
    ranking = rank([store("A", 60, 90, **NEAR), store("B", 0, 90, **FAR)], wanted(60, 90), city, CEILINGS, {},
                   Handling(Handover.PICKUP, cold=frozenset({"D010"})))
    choice = choose(ranking, wanted(60, 90), parcels=2, least=None)
    assert choice is not None
    assert (choice.store.quote.store, by_line(Portion(line.line, line.quantity) for line in choice.lines)) == ("A", {1: 60})
    assert choice.left == (Portion(2, Decimal(90)),)


def wanted(*quantities: int) -> list[OrderLine]:
    return [OrderLine(line, DRUGS[line - 1], Decimal(quantity), "片") for line, quantity in enumerate(quantities, 1)]


def store(name: str, *has: str | int, minutes: int = 10, **changes: object) -> Quote:
    """What it has of each line; 0: the line is not in its quote."""
    lines = tuple(OrderLine(line, DRUGS[line - 1], Decimal(quantity), "片", PRICE, line_amount(PRICE, Decimal(quantity)))
                  for line, quantity in enumerate(has, 1) if quantity)
    return Quote("ankang", name, lines, minutes, Decimal("0.5"), Decimal("0.9"), Decimal("0.9"), True, **changes)  # type: ignore[arg-type]


NEAR, FAR = {"minutes": 5}, {"minutes": 55}
CASES = {
    "one store has all of it, and is taken although a nearer one has a part": (
        [store("A", 60, 0, **NEAR), store("B", 60, 90, **FAR)], 2, LEAST, ("B", {1: 60, 2: 90}, Way.WHOLE, {})),
    "two have all of it between them: the better one gets what it has": (
        [store("A", 60, 0, **NEAR), store("B", 0, 90, **FAR)], 2, LEAST, ("A", {1: 60}, Way.SPLIT, {2: 90})),
    "the better one of a split gets what both have": (
        [store("A", 0, 90, **FAR), store("B", 60, 89, **NEAR), store("C", 60, 90, **FAR, open=False)], 2, LEAST,
        ("B", {1: 60}, Way.SPLIT, {2: 90})),
    "no line is split over two stores": (
        [store("A", 60, 45), store("B", 0, 45)], 2, None, None),
    "three parcels are too many": (
        [store("A", 60, 0), store("B", 0, 45)], 1, LEAST, None),
    "one parcel is left: only a store with all of the rest": (
        [store("A", 60, 90), store("B", 60, 0)], 1, LEAST, ("A", {1: 60, 2: 90}, Way.WHOLE, {})),
    "no parcel is left": ([store("A", 60, 90)], 0, LEAST, None),
    "nobody has all of it: the one that has most gives what it has": (
        [store("A", 60, 0, **NEAR), store("B", 60, 45, **FAR)], 2, LEAST, ("B", {1: 60, 2: 45}, Way.PART, {2: 45})),
    "of what both have as much of, the first in the ranking gives": (
        [store("A", 0, 45, **FAR), store("B", 0, 45, **NEAR)], 2, LEAST, ("B", {2: 45}, Way.PART, {1: 60, 2: 45})),
    "a part before the patient has waited is none": ([store("A", 60, 45)], 2, None, None),
    "a part for less than a week is none": ([store("A", 13, 0)], 2, LEAST, None),
    "a tablet is not halved": ([store("A", "14.5", 0)], 2, LEAST, ("A", {1: 14}, Way.PART, {1: 46, 2: 90})),
    "a part is the last order but one": ([store("A", 60, 45)], 1, LEAST, None),
    "a store that may not be asked gives no part either": (
        [store("A", 60, 0, open=False), store("B", 0, 90)], 2, None, None),
    "nobody has anything": ([], 2, LEAST, None),
}


@pytest.mark.parametrize(("quotes", "parcels", "least", "expected"), CASES.values(), ids=list(CASES))
def test_the_next_order(quotes, parcels, least, expected) -> None:
    choice = choose(rank(quotes, wanted(60, 90), CITY, CEILINGS, {}, PLAIN), wanted(60, 90), parcels=parcels, least=least)
    made = None if choice is None else (
        choice.store.quote.store, by_line(Portion(line.line, line.quantity) for line in choice.lines), choice.way,
        by_line(choice.left))
    assert made == expected


def test_what_is_taken_of_an_offer_costs_its_share() -> None:
    choice = choose(rank([store("A", "14.5")], wanted(60), CITY, CEILINGS, {}, PLAIN), wanted(60), parcels=2, least=LEAST)
    assert choice
    assert [(line.unit_price, line.amount) for line in choice.lines] == [(PRICE, 420)]


@pytest.mark.parametrize(("drug", "week"), [("D001", 14), ("D010", 21), ("D030", 1), ("D048", 7)])
def test_a_week_of_a_line_in_counted_units(drug: str, week: int) -> None:
    assert supplies_of([item(drug)], 7) == {1: week}


@pytest.mark.parametrize("days", [1, 5, 7])
def test_a_line_for_fewer_days_is_wanted_whole(days: int) -> None:
    assert supplies_of([item("D001", days_supply=days, quantity=Decimal(10))], 7) == {1: 10}


HAS = st.tuples(*[st.integers(0, 120)] * 3)


@given(quantities=st.tuples(*[st.integers(1, 100)] * 3), stores=st.lists(HAS, max_size=6), parcels=st.integers(0, 3),
       part=st.booleans())
def test_an_order_and_what_it_leaves_open_are_what_was_wanted(quantities, stores, parcels, part) -> None:
    lines = wanted(*quantities)
    quotes = [store(f"S{number}", *has, minutes=number) for number, has in enumerate(stores)]
    ranking = rank(quotes, lines, CITY, CEILINGS, {}, PLAIN)
    choice = choose(ranking, lines, parcels=parcels, least=LEAST if part else None)
    if choice is None:
        assert parcels == 0 or not any(candidate.eligible for candidate in ranking)
        return
    taken, left = by_line(Portion(line.line, line.quantity) for line in choice.lines), by_line(choice.left)
    assert {line.line: taken.get(line.line, 0) + left.get(line.line, 0) for line in lines} == dict(enumerate(quantities, 1))
    has = dict(enumerate(stores[int(choice.store.quote.store[1:])], 1))
    assert all(quantity <= has[line] for line, quantity in taken.items())
    assert (choice.way is Way.WHOLE) == (not left)
    if choice.way is Way.SPLIT:
        assert not taken.keys() & left.keys()
        assert any(all(other[line - 1] >= quantity for line, quantity in left.items()) for other in stores)

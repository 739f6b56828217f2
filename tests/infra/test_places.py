"""The best of the register, ranked exactly, are the best of all."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.chains import OrderLine, Quote
from domain.fulfilment.ranking import rank
from domain.money import line_amount
from domain.premises import Handling, Premises
from domain.prescription import Handover
from infra.places import Shelf, Standing, Survey, shortlist
from tests.support.factories import CITY

WANTED = [OrderLine(1, "D001", Decimal(60), "片"), OrderLine(2, "D010", Decimal("12.5"), "g")]
CEILINGS = {"D001": Decimal("1.00"), "D010": Decimal("0.6667")}
SOME = [Premises(dual_channel=dual, cold_storage=cold, cold_delivery=cold, dispenses=dispenses, decocts=cold, pieces=dual)
        for dual in (False, True) for cold in (False, True) for dispenses in (False, True)]


def quote(store: str, *, minutes: int = 10, load: str = "0.5", has: tuple[str, str] = ("60", "12.5"),
          prices: tuple[str, str] = ("0.5", "0.5"), **other: Any) -> Quote:
    """One place's quote: of each line all of what is wanted, or less."""
    lines = tuple(
        replace(line, quantity=taken, unit_price=Decimal(price), amount=line_amount(Decimal(price), taken))
        for line, quantity, price in zip(WANTED, has, prices, strict=True)
        if (taken := min(Decimal(quantity), line.quantity)) and Decimal(price))
    return Quote("linli", store, lines, minutes, Decimal(load), **{
        "on_time": Decimal("0.9"), "quality": Decimal("0.9"), "delivers": True, **other})


def survey_of(quotes: list[Quote]) -> Survey:
    """The same quotes as columns."""
    def column(values: list[Any]) -> Any:
        return np.array([float(value) for value in values])

    def of(quote: Quote, drug: str, name: str) -> Decimal:
        return next((getattr(line, name) for line in quote.lines if line.drug == drug), Decimal(0))

    return Survey(
        [(each.chain, each.store) for each in quotes],
        {drug: Shelf(*(column([of(each, drug, name) for each in quotes]) for name in ("quantity", "unit_price")))
         for drug in ("D001", "D010")},
        column([each.minutes for each in quotes]), column([each.load for each in quotes]),
        np.array([each.open and each.delivers for each in quotes], dtype=bool), column([each.on_time for each in quotes]),
        column([each.quality for each in quotes]), np.array([each.decoct_left for each in quotes], dtype=np.int64))


QUOTES = st.lists(st.builds(
    quote, store=st.integers(0, 60).map(str), minutes=st.integers(0, 90), load=st.sampled_from(["0", "0.25", "0.33", "1"]),
    has=st.tuples(st.sampled_from(["0", "59", "60", "100"]), st.sampled_from(["12.4", "12.5"])),
    prices=st.tuples(st.sampled_from(["0", "0.3333", "0.5", "1.00", "1.01"]),
                     st.sampled_from(["0.6666", "0.6667", "0.6668", "0.4"])),
    on_time=st.sampled_from([Decimal("0.9"), Decimal("0.91"), Decimal("1")]), open=st.booleans(), delivers=st.booleans(),
    decoct_left=st.integers(0, 9)), max_size=40, unique_by=lambda each: each.store)
HANDLINGS = st.builds(Handling, st.sampled_from(list(Handover)), cold=st.sampled_from([frozenset(), frozenset({"D010"})]),
                      agreed=st.sampled_from([frozenset(), frozenset({"D001"})]), decoct=st.sampled_from([0, 5]))


@settings(deadline=None)
@given(quotes=QUOTES, handling=HANDLINGS, premises=st.lists(st.sampled_from(SOME), min_size=1, max_size=8),
       share=st.sampled_from(["0", "0.2", "0.5"]), declined=st.sampled_from(["1", "2"]), most=st.integers(1, 5))
def test_the_best_of_the_register_are_the_best_of_all(
        quotes: list[Quote], handling: Handling, premises: list[Premises], share: str, declined: str, most: int) -> None:
    city = replace(CITY, premises={f"linli/{each.store}": premises[row % len(premises)] for row, each in enumerate(quotes)})
    shares, excluded = {"linli/3": Decimal(share)}, frozenset({("linli", declined)})

    def eligible(some: list[Quote]) -> list[str]:
        return [each.quote.store for each in rank(some, WANTED, city, CEILINGS, shares, handling, excluded, key="rx_1")
                if each.eligible]

    survey = survey_of(quotes)
    rows = shortlist(survey, Standing(survey.stores, city, shares), WANTED, city, CEILINGS, handling, excluded, most)
    assert eligible([quotes[row] for row in rows])[:most] == eligible(quotes)[:most]
    assert len(eligible([quotes[row] for row in rows])) == len(rows), "what cannot fill it is not taken"


@pytest.mark.parametrize(("changes", "taken"), [
    ({}, True), ({"open": False}, False), ({"delivers": False}, False), ({"load": "1"}, False), ({"has": ("59", "12.5")}, False),
    ({"prices": ("1.0001", "0.5")}, False), ({"prices": ("1.00", "0.6667")}, True), ({"store": "gone"}, False),
])
def test_each_hard_filter_leaves_a_place_out(changes: dict[str, Any], taken: bool) -> None:
    survey = survey_of([quote(**{"store": "A", **changes})])
    standing = Standing(survey.stores, CITY, {})
    rows = shortlist(survey, standing, WANTED, CITY, CEILINGS, Handling(Handover.PICKUP), frozenset({("linli", "gone")}))
    assert bool(rows) is taken


def test_few_of_many_places_are_taken() -> None:
    quotes = [quote(str(number), minutes=number % 60) for number in range(2000)]
    survey = survey_of(quotes)
    rows = shortlist(survey, Standing(survey.stores, CITY, {}), WANTED, CITY, CEILINGS, Handling(Handover.PICKUP))
    assert 10 <= len(rows) <= 40
    assert {quotes[row].minutes for row in rows} == {0}


def test_a_drug_without_a_ceiling_or_a_shelf_is_had_by_nobody() -> None:
    survey = survey_of([quote("A")])
    standing, plain = Standing(survey.stores, CITY, {}), Handling(Handover.PICKUP)
    assert shortlist(survey, standing, WANTED, CITY, {"D001": Decimal(1)}, plain) == []
    assert shortlist(survey, standing, [OrderLine(1, "D002", Decimal(1), "片")], CITY, {"D002": Decimal(1)}, plain) == []

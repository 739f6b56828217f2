"""A chain of many places is asked for its best ones only, and for all where none of them can."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from decimal import ROUND_FLOOR, Decimal
from pathlib import Path
from typing import Any

import pytest

from adapters import registry
from adapters.chains.linli.adapter import Adapter
from adapters.protocols import Surveyed
from domain.fulfilment.portions import Portion, added
from domain.fulfilment.ranking import Ranked
from domain.prescription import Handover
from infra.db import counter, prescriptions
from tasks.fulfilment.market import FEW_PLACES, ask
from tests.support.city import Clock, admit, make_city

MANY = FEW_PLACES + 20


@pytest.fixture
def town(tmp_path: Path) -> Any:
    """A city with one chain of many places, which have what is wanted at many prices; and a prescription."""
    city = make_city(tmp_path, now=Clock())
    facts = registry.manifest("chains", "linli")
    first = facts.shops[0]
    shops = tuple(replace(first, **_place(number)) for number in range(MANY))
    chain = Adapter(facts.model_copy(update={"shops": shops}), city.db, city.now, city.policy.timezone)
    city = replace(city, chains={"linli": chain})
    rx_id = admit(city, sample="long_term")[0]
    with city.db.reading() as session:
        loaded = prescriptions.load(session, rx_id)
    with city.db.transaction("test") as session:
        for number, shop in enumerate(shops):
            for item in loaded.prescription.items:
                there = Decimal(10_000 if number % 3 else 0)
                counter.count(session, "linli", shop.number, item.drug, there, by="S001", at=city.now())
                cheaper = Decimal(90 + number % 10) / 100
                counter.price(session, "linli", shop.number, item.drug, (city.knowledge.ceilings[item.drug] * cheaper).quantize(
                    Decimal("0.0001"), ROUND_FLOOR))
    return city, loaded


def _place(number: int) -> dict[str, Any]:
    return {"number": f"P{number:03d}", "latitude": Decimal("36.60") + Decimal(number % 17) / 100,
            "longitude": Decimal("117.00") + Decimal(number % 11) / 100}


def market(city: Any, loaded: Any, *, every: bool) -> Sequence[Ranked]:
    portions = added(Portion(item.line, item.quantity) for item in loaded.prescription.items)
    return asyncio.run(ask(city, loaded, [], portions, Handover.PICKUP, every=every)).ranking


def test_the_best_are_the_same_and_few_are_asked(town: Any) -> None:
    city, loaded = town
    assert isinstance(city.chains["linli"], Surveyed)
    few, all_of_them = market(city, loaded, every=False), market(city, loaded, every=True)
    assert len(few) < 40 < len(all_of_them)
    assert few[:10] == all_of_them[:10]
    assert few[0].eligible


def test_where_the_best_have_sold_out_since_all_are_asked(town: Any) -> None:
    city, loaded = town
    few = market(city, loaded, every=False)
    with city.db.transaction("test") as session:
        for place in few:
            for item in loaded.prescription.items:
                counter.count(session, "linli", place.quote.store, item.drug, Decimal(0), by="S001", at=city.now())
    again = market(city, loaded, every=False)
    assert again == market(city, loaded, every=True)
    assert again[0].eligible
    city.now.advance(minutes=1)
    assert len(market(city, loaded, every=False)) < 40

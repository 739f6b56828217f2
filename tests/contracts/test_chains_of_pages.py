"""What every chain promises whose shops work from our pages; a new folder is under test because it exists."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest

from adapters import registry
from adapters.protocols import Chain
from domain.chains import ChainWord
from domain.errors import Refused
from domain.prescription import Handover
from domain.shops import Opening
from infra.db import Database, counter
from tests.support.city import Clock, make_city
from tests.support.partner_examples import ASKED, NOTICE, PLACE
from tests.support.partner_examples import order as example

OF_PAGES = [slug for slug in registry.slugs("chains") if registry.manifest("chains", slug).shops]
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=timezone(timedelta(hours=8)))


class Counter:
    """A chain of ours with one shop that has sixty of one drug and forty of another."""

    def __init__(self, slug: str, folder: Path) -> None:
        self.slug, self.clock = slug, Clock(NOON)
        self.db: Database = make_city(folder).db
        self.chain: Chain = registry.counter(slug, self.db, self.clock, "Asia/Shanghai")
        self.store = registry.manifest("chains", slug).shops[0].number
        with self.db.transaction("stocked") as session:
            for drug, quantity, price in (("D001", "60", "0.31"), ("D010", "40", "0.30")):
                counter.receive(session, slug, self.store, drug, Decimal(quantity), by="S001", at=self.clock())
                counter.price(session, slug, self.store, drug, Decimal(price))

    def order(self, id: str = "ord_sample1", handover: Handover = Handover.PICKUP):
        return replace(example(handover), id=id, chain=self.slug, store=self.store)

    def say(self, word: ChainWord, order_id: str = "ord_sample1") -> None:
        with self.db.transaction("said") as session:
            counter.say(session, order_id, word, before=tuple(ChainWord))

    def free(self) -> dict[str, int]:
        with self.db.reading() as session:
            stocked = counter.stocked(session, self.slug, self.clock(), store=self.store)
            return {stock.drug: int(stock.available) for stock in stocked}

    async def refused(self, call: object) -> str:
        with pytest.raises(Refused) as caught:
            await call  # type: ignore[misc]
        return caught.value.code


@pytest.fixture(params=OF_PAGES)
def at(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Counter]:
    made = Counter(request.param, tmp_path)
    yield made
    made.db.close()


def test_there_is_a_chain_that_works_from_our_pages() -> None:
    assert OF_PAGES


async def test_a_shop_offers_what_it_has_in_full_at_its_price_and_nothing_changes(at: Counter) -> None:
    for _ in range(2):
        (quote,) = (await at.chain.quote(ASKED, Handover.PICKUP, PLACE)).quotes
        assert [(line.drug, line.amount) for line in quote.lines] == [("D001", 1860), ("D010", 900)]
    more = [replace(ASKED[0], quantity=Decimal(61)), ASKED[1]]
    (quote,) = (await at.chain.quote(more, Handover.PICKUP, PLACE)).quotes
    assert [line.drug for line in quote.lines] == ["D010"]
    assert (await at.chain.quote([replace(ASKED[0], drug="D999")], Handover.PICKUP, PLACE)).quotes == ()


async def test_what_has_no_price_is_not_for_sale(at: Counter) -> None:
    with at.db.transaction("priced") as session:
        counter.price(session, at.slug, at.store, "D001", Decimal(0))
    (quote,) = (await at.chain.quote(ASKED, Handover.PICKUP, PLACE)).quotes
    assert [line.drug for line in quote.lines] == ["D010"]


async def test_two_lines_of_one_drug_share_what_is_there(at: Counter) -> None:
    twice = [replace(ASKED[1], line=1, quantity=Decimal(30)), replace(ASKED[1], line=2, quantity=Decimal(30))]
    (quote,) = (await at.chain.quote(twice, Handover.PICKUP, PLACE)).quotes
    assert [line.line for line in quote.lines] == [1]


async def test_a_hold_and_an_order_under_one_id_are_one_however_often_they_come(at: Counter) -> None:
    assert await at.chain.hold(at.order()) == await at.chain.hold(at.order())
    assert at.free() == {"D001": 0, "D010": 10}
    placed = await at.chain.place(at.order())
    assert placed == await at.chain.place(at.order()) == await at.chain.hold(at.order()) == await at.chain.find("ord_sample1")
    assert placed.status is ChainWord.ORDERED
    assert at.free() == {"D001": 0, "D010": 10}


async def test_what_is_held_for_another_order_is_not_there(at: Counter) -> None:
    await at.chain.hold(at.order())
    assert await at.refused(at.chain.hold(at.order("ord_other"))) == "out_of_stock"
    assert await at.chain.find("ord_other") is None
    assert (await at.chain.cancel("ord_sample1", "patient")).status is ChainWord.CANCELLED
    assert (await at.chain.hold(at.order("ord_other"))).status is ChainWord.HELD


async def test_a_hold_lapses_by_itself_and_cannot_be_ordered_then(at: Counter) -> None:
    await at.chain.hold(at.order())
    at.clock.advance(minutes=59, seconds=59)
    assert at.free() == {"D001": 60, "D010": 40}
    assert await at.refused(at.chain.place(at.order())) == "hold_expired"
    assert (await at.chain.hold(at.order("ord_other"))).status is ChainWord.HELD


async def test_an_order_does_not_lapse(at: Counter) -> None:
    await at.chain.hold(at.order())
    await at.chain.place(at.order())
    at.clock.advance(days=3)
    assert at.free() == {"D001": 0, "D010": 10}


async def test_an_order_without_a_hold_is_refused(at: Counter) -> None:
    assert await at.refused(at.chain.place(at.order())) == "hold_expired"
    await at.chain.hold(at.order())
    await at.chain.cancel("ord_sample1", "patient")
    assert await at.refused(at.chain.place(at.order())) == "hold_expired"


async def test_a_cancel_is_one_effect_and_says_when_it_is_too_late(at: Counter) -> None:
    assert await at.refused(at.chain.cancel("ord_sample1", "patient")) == "unknown_order"
    await at.chain.hold(at.order())
    await at.chain.place(at.order())
    at.say(ChainWord.IN_DELIVERY)
    assert await at.refused(at.chain.cancel("ord_sample1", "patient")) == "in_delivery"
    for word in (ChainWord.HANDED_OVER, ChainWord.RETURNED):
        at.say(word)
        assert await at.refused(at.chain.cancel("ord_sample1", "patient")) == "handed_over"
    at.say(ChainWord.PREPARED)
    for _ in range(100):
        assert (await at.chain.cancel("ord_sample1", "patient")).status is ChainWord.CANCELLED
    assert at.free() == {"D001": 60, "D010": 40}


async def test_a_declined_order_counts_as_cancelled(at: Counter) -> None:
    await at.chain.hold(at.order())
    at.say(ChainWord.DECLINED)
    assert (await at.chain.cancel("ord_sample1", "patient")).status is ChainWord.CANCELLED
    found = await at.chain.find("ord_sample1")
    assert found is not None
    assert found.status is ChainWord.DECLINED


async def test_a_shop_that_is_shut_or_has_no_pharmacist_there_takes_nothing(at: Counter) -> None:
    for shut in (Opening(NOON.time(), NOON.time(), on_duty=False), Opening(NOON.time(), NOON.time(), shut=True)):
        with at.db.transaction("shut") as session:
            counter.open_at(session, at.slug, at.store, shut, by="S001", at=at.clock())
        (quote,) = (await at.chain.quote(ASKED, Handover.PICKUP, PLACE)).quotes
        assert not quote.open
        assert await at.refused(at.chain.hold(at.order())) == "closed"
    assert await at.refused(at.chain.hold(replace(at.order(), store="nowhere"))) == "closed"


async def test_an_order_that_a_shop_has_is_not_lost_when_it_shuts(at: Counter) -> None:
    held = await at.chain.hold(at.order())
    with at.db.transaction("shut") as session:
        counter.open_at(session, at.slug, at.store, Opening(NOON.time(), NOON.time(), shut=True), by="S001", at=at.clock())
    assert await at.chain.hold(at.order()) == held


async def test_the_last_word_about_money_counts(at: Counter) -> None:
    await at.chain.hold(at.order())
    await at.chain.notify_settled(replace(NOTICE, cash=0))  # type: ignore[arg-type]
    for _ in range(2):
        await at.chain.notify_settled(NOTICE)
    with at.db.reading() as session:
        kept = counter.get(session, "ord_sample1")
    assert kept is not None
    assert kept.notice == NOTICE


async def test_more_orders_are_more_load(at: Counter) -> None:
    async def load() -> Decimal:
        (quote,) = (await at.chain.quote([replace(ASKED[0], quantity=Decimal(1))], Handover.PICKUP, PLACE)).quotes
        return quote.load

    assert await load() == 0
    small = replace(at.order(), lines=(replace(at.order().lines[0], quantity=Decimal(5)),))
    await at.chain.hold(small)
    assert await load() == 0
    await at.chain.place(small)
    assert await load() > 0

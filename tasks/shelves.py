"""What the people of a shop keep of it: the stock and prices of its shelves, and its hours."""

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from domain.people import Capability, Denied, Person
from domain.shops import Opening
from domain.words import Two
from infra.db import counter
from tasks.city import City
from tasks.counter import Workplace, workplaces_of

MOST = Decimal(1_000_000)
QUANTITY_PLACES, PRICE_PLACES = 3, 4


@dataclass(frozen=True)
class Shelf:
    """A drug on a shop's shelf."""

    drug: str
    name: str
    unit: str
    quantity: Decimal
    """Counted units in the shop; negative: more was handed over than was ever counted."""
    needed: Decimal
    """Of them for live orders."""
    available: Decimal
    price: Decimal
    """Yuan per counted unit; zero: not for sale yet."""
    ceiling: Decimal
    """Highest price (D-04)."""


def shelves(city: City, at: Workplace) -> list[Shelf]:
    """Everything a shop has, or once had, by code of the drug."""
    with city.db.reading() as session:
        stocked = counter.stocked(session, at.chain, city.now(), store=at.shop.number)
    catalogue = city.knowledge.catalogue
    return [Shelf(stock.drug, entry.name, entry.unit, stock.quantity, stock.needed, stock.available, stock.price, entry.ceiling)
            for stock in stocked if (entry := catalogue.get(stock.drug))]


def change(city: City, who: Person, place: str, drug: str, *, counted: str = "", received: str = "", price: str = "", key: str = ""
           ) -> None:
    """Write down a count, a delivery or a price, as they were typed; an empty text changes nothing.

    The same `key` again is the same delivery. Raises `KeyError` for another shop, and `Denied`: `unknown_drug`, `bad_number`,
    `price_over`.
    """
    at = mine(city, who, place)
    entry = city.knowledge.catalogue.get(drug)
    if entry is None:
        raise Denied("unknown_drug", Two("目录中没有该药品", "the catalogue has no such drug"))
    new_price = _number(price, PRICE_PLACES) if price.strip() else None
    if new_price is not None and new_price > entry.ceiling:
        raise Denied("price_over", Two(f"高于最高限价 {entry.ceiling} 元", f"above the ceiling of {entry.ceiling} yuan"))
    new_count = _number(counted, QUANTITY_PLACES) if counted.strip() else None
    more = _number(received, QUANTITY_PLACES) if received.strip() else None
    with city.db.transaction("shelf.changed") as session:
        shelf = (session, at.chain, at.shop.number, drug)
        if new_count is not None:
            counter.count(*shelf, new_count, by=who.id, at=city.now())
        if more:
            counter.receive(*shelf, more, by=who.id, at=city.now(), key=f"{place}:{key}"[:80] if key else None)
        if new_price is not None:
            counter.price(*shelf, new_price)


def hours(city: City, at: Workplace) -> Opening:
    """As its people have said last, or its usual ones."""
    with city.db.reading() as session:
        return counter.openings(session, at.chain).get(at.shop.number) or Opening(at.shop.opens, at.shop.closes)


def set_hours(city: City, who: Person, place: str, opening: Opening) -> None:
    """From now on. Raises `KeyError` for another shop."""
    at = mine(city, who, place)
    with city.db.transaction("opening.changed") as session:
        counter.open_at(session, at.chain, at.shop.number, opening, by=who.id, at=city.now())


def mine(city: City, who: Person, place: str) -> Workplace:
    """A shop that the person keeps. Raises `KeyError` for any other."""
    return {at.place: at for at in workplaces_of(city, who, Capability.KEEP_SHOP)}[place]


def _number(text: str, places: int) -> Decimal:
    """Raises `Denied` (code `bad_number`) for what is no number from 0 to a million with so many places at most."""
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or not 0 <= number <= MOST or number != round(number, places):
        raise Denied("bad_number", Two(f"请填写不小于 0 的数字，最多 {places} 位小数",
                                       f"a number, not below 0, with {places} decimals at most"))
    return number

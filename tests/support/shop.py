"""A shop that works from our pages, and the people in it."""

from dataclasses import replace
from typing import Any

from adapters import registry
from domain.people import Grant, Person, Role
from tasks import shelves
from tasks.city import City

CHAIN, PLACE, OTHER_PLACE = "linli", "linli/LL01", "linli/LL02"
SHOPKEEPER = Person("S001", frozenset({Grant(Role.SHOP, PLACE)}))
SHOP_TOKEN, OTHER_SHOP_TOKEN = "token-of-shopkeeper-1", "token-of-shopkeeper-2"
SHOPS: dict[str, Any] = {"S001": {"token": SHOP_TOKEN, "place": PLACE}, "S002": {"token": OTHER_SHOP_TOKEN, "place": OTHER_PLACE}}
"""Of the settings."""


def with_shops(city: City, *, alone: bool = True, quantity: str = "500") -> City:
    """The same city with a chain of ours, the only one or beside the others; its first shop has everything, at its ceiling."""
    chain = registry.counter(CHAIN, city.db, city.now, city.policy.timezone)
    made = replace(city, chains={CHAIN: chain} if alone else {**city.chains, CHAIN: chain})
    for code, entry in sorted(city.knowledge.catalogue.items()):
        shelves.change(made, SHOPKEEPER, PLACE, code, counted=quantity, price=str(entry.ceiling))
    return made

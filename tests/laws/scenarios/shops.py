"""What may happen at a shop without a system of its own, whose people work from our pages."""

from contextlib import suppress

from adapters import registry
from adapters.chains.linli import adapter as linli
from domain.people import Denied, Grant, Person, Role
from domain.shops import Act, Opening
from infra.db import orders
from tasks import counter, shelves
from tasks.fulfilment.sealed import open_secrets
from tests.laws.world import World

SHOPKEEPER = Person("S001", frozenset({Grant(Role.SHOP, "linli/LL01")}))


class Counter(linli.Adapter):
    """A chain whose shops work from our pages: its book is in our database, and outlives a crash with it."""

    book, arrived, notices = {}, [], {}  # type: ignore[var-annotated]

    def heal(self) -> None:
        """No line to it can break."""


def _at_a_shop(city: World, sample: str) -> None:
    """The only chain of the city works from our pages, and has everything."""
    city.chains = {"linli": Counter(registry.manifest("chains", "linli"), city.city.db, city.clock, "Asia/Shanghai")}  # type: ignore[dict-item]
    city.restart()
    for drug in ("D001", "D010", "D032"):
        city.staff(lambda c, drug=drug: shelves.change(c, SHOPKEEPER, "linli/LL01", drug, counted="500", price="0.25"))
    city.staff(lambda c: shelves.set_hours(c, SHOPKEEPER, "linli/LL01", Opening(c.now().time(), c.now().time())))
    city.to_fulfilling(sample)


def _do(city: World, act: Act, **more: object) -> None:
    city.staff(lambda c: counter.act_on(c, SHOPKEEPER, city.rx, 1, act, **more))  # type: ignore[arg-type]
    city.work()


def collected_at_a_shop_without_a_system(city: World) -> None:
    _at_a_shop(city, "long_term")
    with city.city.db.reading() as session:
        code = open_secrets(city.city, orders.of(session, city.rx)[-1])["pickup_code"]
    _do(city, Act.ACCEPT)
    _do(city, Act.PREPARE)
    with suppress(Denied):
        _do(city, Act.HAND_OVER, proof="WRONG")
    _do(city, Act.HAND_OVER, proof=code, method="cash")
    _do(city, Act.TAKE_BACK, reason="quality", lines=(1,))
    city.to_closed()


def cancelled_at_a_shop_without_a_system(city: World) -> None:
    _at_a_shop(city, "long_term")
    _do(city, Act.ACCEPT)
    city.cancel()
    city.work()


SHOPS = (
    collected_at_a_shop_without_a_system,
    cancelled_at_a_shop_without_a_system,
)

"""What may happen to a parcel that the city's courier brings home, or to a pick-up point."""

from contextlib import suppress
from dataclasses import replace

from adapters import registry
from domain.door import digest
from domain.fulfilment.deliveries import DeliveryStatus, delivery_id
from domain.people import Denied, Grant, Person, Role
from domain.shops import Act, Opening
from infra.db import choices, orders
from tasks import choosing, counter, custody, shelves
from tasks.fulfilment.sealed import open_secrets
from tests.laws.scenarios.shops import Counter
from tests.laws.world import World
from tests.support.couriers import COURIER, SHOP_PLACE, FakeCourier

S = DeliveryStatus
CLINICIAN = Person("S005", frozenset({Grant(Role.SHOP, "linli/LL05")}))
KEEPER = Person("S002", frozenset({Grant(Role.SHOP, SHOP_PLACE)}))


def _packed(city: World, *before: str, silent: bool = False) -> FakeCourier:
    """A shop that brings nothing home itself has packed a parcel, and the courier is sent; `before`: calls that it refuses."""
    courier = _shops(city, *before, silent=silent)
    city.to_fulfilling("home_delivery")
    _pack(city)
    return courier


def _pack(city: World) -> None:
    for act in (Act.ACCEPT, Act.PREPARE):
        city.staff(lambda c, act=act: counter.act_on(c, KEEPER, city.rx, 1, act))
        city.work()


def _shops(city: World, *before: str, silent: bool = False) -> FakeCourier:
    """A city of shops without a system, one of which has everything, and the courier."""
    courier = FakeCourier(refuses=dict.fromkeys(before, "no_courier"), silent=silent)
    city.couriers = {COURIER: courier}
    city.chains = {"linli": Counter(registry.manifest("chains", "linli"), city.city.db, city.clock, "Asia/Shanghai",  # type: ignore[dict-item]
                                    courier=True)}
    city.restart()
    for drug in ("D032", "D048"):
        city.staff(lambda c, drug=drug: shelves.change(c, KEEPER, SHOP_PLACE, drug, counted="500", price="0.25"))
    city.staff(lambda c: shelves.set_hours(c, KEEPER, SHOP_PLACE, Opening(c.now().time(), c.now().time())))
    return courier


def _says(city: World, *statuses: DeliveryStatus, attempt: int = 1, reason: str = "") -> None:
    with city.city.db.reading() as session:
        placed = orders.of(session, city.rx)[-1]
    key, courier = delivery_id(placed.id, 1), city.couriers[COURIER]
    for status in statuses:
        shown = digest(key, open_secrets(city.city, placed)["pickup_code"]) if status is S.SIGNED else ""
        body = courier.body(key, status, city.clock(), attempt=attempt, reason=reason, digest=shown, near=placed.order.place)
        assert city.courier_calls_back(body).status_code == 200
        city.work()


def brought_by_the_citys_courier(city: World) -> None:
    _packed(city)
    _says(city, S.COLLECTED, S.ARRIVED, S.SIGNED)
    city.to_closed()


def brought_at_the_second_attempt_by_a_courier_that_was_silent_at_first(city: World) -> None:
    courier = _packed(city, silent=True)
    courier.heal()
    city.later(minutes=1)
    city.work()
    _says(city, S.ATTEMPT_FAILED, reason="nobody_home")
    _says(city, S.SIGNED, attempt=2)


def brought_back_by_the_courier(city: World) -> None:
    _packed(city)
    _says(city, S.ATTEMPT_FAILED, S.HELD_AT_POINT, S.RETURNED, reason="nobody_home")


def never_paid_at_the_door(city: World) -> None:
    _packed(city)
    _says(city, S.ATTEMPT_FAILED, reason="unpaid")
    _says(city, S.ATTEMPT_FAILED, attempt=2, reason="unpaid")
    _says(city, S.HELD_AT_POINT, S.RETURNED, attempt=2, reason="unpaid")


def paid_in_cash_that_the_courier_hands_in(city: World) -> None:
    _packed(city)
    _says(city, S.ATTEMPT_FAILED, reason="unpaid")
    _says(city, S.SIGNED, attempt=2)
    for _ in range(2):
        city.staff(lambda c: counter.receive_cash(c, KEEPER, city.rx, 1))
    city.work()


def _for_the_clinic(city: World) -> FakeCourier:
    """The patient chooses a clinic near them, and the parcel is at its door."""
    courier = _shops(city)
    city.to_review("home_delivery")
    city.staff(lambda home: choosing.wish_to_choose(home, city.rx, by="patient"))
    city.decide()
    city.work()
    with city.city.db.reading() as session:
        newest = choices.newest(session, city.rx)
    assert newest is not None
    key = next(option.key for option in newest.offering.options if option.point)
    city.staff(lambda home: choosing.choose(home, city.rx, key, by="patient"))
    city.work()
    _pack(city)
    _says(city, S.COLLECTED, S.ARRIVED, S.HELD_AT_POINT)
    city.staff(lambda c: custody.receive(c, CLINICIAN, city.rx, 1))
    city.work()
    return courier


def collected_at_a_clinic(city: World) -> None:
    _for_the_clinic(city)
    with city.city.db.reading() as session:
        placed = orders.of(session, city.rx)[-1]
    code = open_secrets(city.city, placed)["pickup_code"]
    for shown in ("WRONG", code, code):
        with suppress(Denied):
            city.staff(lambda c, shown=shown: custody.hand_over(c, CLINICIAN, city.rx, 1, proof=shown, method="cash"))
    city.work()
    city.to_closed()


def not_collected_at_a_clinic(city: World) -> None:
    _for_the_clinic(city)
    city.later(hours=73)
    city.work()
    _says(city, S.RETURNED)


def lost_by_the_courier(city: World) -> None:
    _packed(city)
    _says(city, S.IN_TRANSIT, S.LOST, reason="lost")
    city.cancel()
    city.work()


def no_courier_comes(city: World) -> None:
    _packed(city, "assign")
    city.cancel()
    city.work()


def the_courier_is_called_off(city: World) -> None:
    courier = _packed(city)
    courier.lose_next_answer, courier.only = True, frozenset({"cancel"})
    city.cancel()
    city.work()
    city.later(minutes=1)
    city.work()


def the_courier_cannot_be_stopped(city: World) -> None:
    courier = _packed(city)
    courier.book = {key: replace(waybill, status=S.SIGNED) for key, waybill in courier.book.items()}
    city.cancel()
    city.work()


COURIERS = (
    collected_at_a_clinic,
    not_collected_at_a_clinic,
    brought_by_the_citys_courier,
    brought_at_the_second_attempt_by_a_courier_that_was_silent_at_first,
    brought_back_by_the_courier,
    never_paid_at_the_door,
    paid_in_cash_that_the_courier_hands_in,
    lost_by_the_courier,
    no_courier_comes,
    the_courier_is_called_off,
    the_courier_cannot_be_stopped,
)

"""When the hospital cancels, and how far the prescription is by then."""

from domain.chains import ChainWord
from tests.laws.world import World


def cancelled_before_it_came(city: World) -> None:
    city.cancel()
    city.prescribe()
    city.work()


def cancelled_in_review(city: World) -> None:
    city.to_review()
    city.cancel()
    city.work()


def cancelled_while_nobody_can_fill_it(city: World) -> None:
    city.ankang.shut = city.baicao.shut = True
    city.to_review()
    city.decide()
    city.work()
    city.later(minutes=11)
    city.work()
    city.cancel()
    city.work()


def cancelled_at_the_pharmacy(city: World) -> None:
    city.to_fulfilling()
    city.cancel()
    city.work()


def cancelled_at_a_silent_pharmacy(city: World) -> None:
    """Who cancelled hears in time that it does not answer, and its answer when it comes."""
    city.to_fulfilling()
    city.ankang.only, city.ankang.silent = frozenset({"cancel"}), True
    city.cancel()
    city.work()
    city.later(seconds=31)
    city.work()
    city.ankang.silent = False
    city.later(minutes=1)
    city.work()


def cancelled_too_late(city: World) -> None:
    city.to_fulfilling("home_delivery")
    city.say(ChainWord.IN_DELIVERY)
    city.cancel()
    city.work()
    city.say(ChainWord.HANDED_OVER)
    city.work()


CANCELS = (
    cancelled_before_it_came,
    cancelled_in_review,
    cancelled_while_nobody_can_fill_it,
    cancelled_at_the_pharmacy,
    cancelled_at_a_silent_pharmacy,
    cancelled_too_late,
)

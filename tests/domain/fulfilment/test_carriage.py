"""What an order that the city's courier brings needs of that courier: a table of deliveries, each with what is owed."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from domain.chains import ChainWord as W
from domain.fulfilment.carriage import NO_COURIER, CallOff, Dispatch, Inquire, Uncarried, owed, silent_until
from domain.fulfilment.deliveries import Delivery
from domain.fulfilment.deliveries import DeliveryStatus as S
from domain.fulfilment.orders import Placed
from domain.fulfilment.portions import Portion
from tests.domain.fulfilment.cases import NOW, confirmed, order, said
from tests.support.factories import CITY

LATER = NOW + timedelta(hours=49)
ORDER = "ord_x_1"


def carried(*words: W, courier: str = "jisong", deliveries: tuple[Delivery, ...] = ()) -> Placed:
    placed = said(confirmed(order(1, Portion(1, Decimal(60)))), *words)
    return replace(placed, courier=courier, deliveries=deliveries)


def by(status: S, number: int = 1, reason: str = "", *, called_off: bool = False, reference: str = "JS-1") -> Delivery:
    return Delivery(number, "jisong", status, reference=reference, reason=reason, heard_at=NOW, called_off=called_off)


GIVEN_UP = tuple(by(S.CANCELLED, number) for number in (1, 2, 3))
CASES = {
    "not packed yet": (carried(W.ACCEPTED), NOW, None),
    "packed": (carried(W.PREPARED), NOW, Dispatch(ORDER)),
    "packed, and its pharmacy brings it": (carried(W.PREPARED, courier=""), NOW, None),
    "a crash left it half made": (carried(W.PREPARED, deliveries=(by(S.REQUESTED),)), NOW, Dispatch(ORDER)),
    "the courier comes": (carried(W.PREPARED, deliveries=(by(S.ASSIGNED),)), NOW, None),
    "the courier gave it up": (carried(W.PREPARED, deliveries=(by(S.CANCELLED),)), NOW, Dispatch(ORDER)),
    "three gave it up": (carried(W.PREPARED, deliveries=GIVEN_UP), NOW, Uncarried()),
    "no courier brings it": (carried(W.PREPARED, deliveries=(by(S.CANCELLED, reason=NO_COURIER),)), NOW, Uncarried()),
    "its word came before its answer": (carried(W.IN_DELIVERY, deliveries=(by(S.ARRIVED, reference=""),)), NOW, Dispatch(ORDER)),
    "even its last word did": (carried(W.HANDED_OVER, deliveries=(by(S.SIGNED, reference=""),)), NOW, Dispatch(ORDER)),
    "half made and given up": (carried(W.PREPARED, deliveries=(by(S.CANCELLED, reference=""),)), NOW, Dispatch(ORDER)),
    "silent for two days": (carried(W.IN_DELIVERY, deliveries=(by(S.IN_TRANSIT),)), LATER, Inquire(ORDER)),
    "handed over": (carried(W.HANDED_OVER, deliveries=(by(S.SIGNED),)), LATER, None),
    "cancelled before anybody was asked": (carried(W.PREPARED, W.CANCELLED), NOW, None),
    "cancelled, and the courier comes": (carried(W.PREPARED, W.CANCELLED, deliveries=(by(S.ASSIGNED),)), NOW, CallOff(ORDER)),
    "cancelled, half made": (carried(W.PREPARED, W.CANCELLED, deliveries=(by(S.REQUESTED),)), NOW, CallOff(ORDER)),
    "cancelled, and called off": (carried(W.PREPARED, W.CANCELLED, deliveries=(by(S.ARRIVED, called_off=True),)), NOW, None),
    "cancelled, and on its way back": (carried(W.PREPARED, W.CANCELLED, deliveries=(by(S.RETURNING),)), NOW, None),
    "ended at the door": (carried(W.IN_DELIVERY, W.DECLINED, deliveries=(by(S.RETURNED),)), NOW, None),
}


@pytest.mark.parametrize(("placed", "now", "move"), CASES.values(), ids=list(CASES))
def test_what_is_owed(placed: Placed, now: datetime, move: object) -> None:
    assert owed(placed, now, CITY) == move


def test_a_courier_may_be_silent_for_two_days_and_nothing_is_expected_after_the_end() -> None:
    assert silent_until(carried(W.IN_DELIVERY, deliveries=(by(S.ARRIVED),)), CITY) == NOW + timedelta(hours=48)
    assert silent_until(carried(W.HANDED_OVER, deliveries=(by(S.SIGNED),)), CITY) is None
    assert silent_until(carried(W.PREPARED), CITY) is None

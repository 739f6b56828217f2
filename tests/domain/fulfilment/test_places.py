"""Which kinds of places may fill a prescription of pieces, and who may decoct it (D-14)."""

from dataclasses import replace
from decimal import Decimal

import pytest

from domain.chains import OrderLine, Quote
from domain.fulfilment.ranking import rank
from domain.money import Fen
from domain.premises import PlaceKind, Premises, handling_of
from domain.prescription import Handover
from tests.support.factories import CITY, KNOWLEDGE

WANTED = [OrderLine(1, "YP101", Decimal(210), "g"), OrderLine(2, "YP105", Decimal(42), "g")]
PLAIN = Premises(dual_channel=False, cold_storage=False, cold_delivery=False)
SHOP = replace(PLAIN, pieces=True)
CENTRE = replace(SHOP, kind=PlaceKind.DECOCTION_CENTRE, decocts=True)


def quote(left: int = 0) -> Quote:
    lines = tuple(replace(line, unit_price=Decimal("0.05"), amount=Fen(int(line.quantity * 5))) for line in WANTED)
    return Quote("linli", "X", lines, 20, Decimal(0), Decimal(1), Decimal(1), delivers=True, decoct_left=left)


@pytest.mark.parametrize(("premises", "doses", "left", "reason"), [
    (SHOP, 0, 0, ""),
    (CENTRE, 0, 0, ""),
    (PLAIN, 0, 0, "no_pieces"),
    (SHOP, 7, 0, "no_decoct_capacity"),
    (SHOP, 7, 50, "no_decoct_capacity"),
    (CENTRE, 7, 7, ""),
    (CENTRE, 7, 6, "no_decoct_capacity"),
    (replace(SHOP, kind=PlaceKind.CLINIC, dispenses=False), 0, 0, "not_dispensing"),
    (None, 0, 0, "no_pieces"),
])
def test_a_place_fills_what_it_is_licensed_for_and_decocts_what_it_has_room_for(
        premises: Premises | None, doses: int, left: int, reason: str) -> None:
    city = replace(CITY, premises={"linli/X": premises} if premises else {})
    handling = handling_of((line.drug for line in WANTED), Handover.PICKUP, KNOWLEDGE, decoct=doses)

    (only,) = rank([quote(left)], WANTED, city, KNOWLEDGE.ceilings, {}, handling)

    assert (only.reason, only.eligible) == (reason, not reason)

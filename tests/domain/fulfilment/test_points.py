"""Which place may keep which parcel for its patient, and how long (D-09): tables of cases."""

from dataclasses import replace
from datetime import time
from decimal import Decimal

import pytest

from domain.fulfilment.points import Candidate, NotThere, Sending, nearest, not_left, why_not
from domain.money import Fen
from domain.premises import Handling, PlaceKind, Premises
from domain.prescription import Handover, Place
from infra.cities import load_knowledge, load_policy

POLICY, KNOWLEDGE = load_policy("jinan"), load_knowledge("jinan")
PATIENT = Place("370102", Decimal("36.67"), Decimal("117.03"))
POINT = Candidate("linli", "LL05", "村卫生室", "clinic", Place("370102", Decimal("36.66"), Decimal("117.02")),
                  Premises(False, False, False, PlaceKind.CLINIC, dispenses=False, contracted=True, custody=True), False,
                  time(8), time(18))
SENDING = Sending("linli", "LL02", carried=True, collects=True, left_out=None)


def premises(**changes: object) -> Candidate:
    return replace(POINT, premises=replace(POINT.premises, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(("point", "sending", "expected"), [
    (POINT, SENDING, None),
    (premises(kind=PlaceKind.SHOP), SENDING, None),
    (premises(contracted=False), SENDING, NotThere.NOT_ENABLED),
    (premises(custody=False), SENDING, NotThere.NOT_ENABLED),
    (POINT, replace(SENDING, store="LL05"), NotThere.SAME_PLACE),
    (POINT, replace(SENDING, carried=False), NotThere.NOT_CARRIED),
    (POINT, replace(SENDING, chain="ankang"), NotThere.OTHER_CHAIN),
    (POINT, replace(SENDING, chain="ankang", collects=False), None),
    (POINT, replace(SENDING, left_out=NotThere.COLD), NotThere.COLD),
    (replace(POINT, shut=True), SENDING, NotThere.SHUT),
    (replace(POINT, here=Place("370112", Decimal("36.45"), Decimal("117.10"))), SENDING, NotThere.FAR),
])
def test_a_place_and_a_parcel(point: Candidate, sending: Sending, expected: NotThere | None) -> None:
    assert why_not(point, sending, PATIENT) is expected


def test_the_nearest_are_offered_and_not_more_than_two() -> None:
    places = [replace(POINT, number=f"C{number}", here=replace(POINT.here, latitude=Decimal(f"36.6{number}")))
              for number in (4, 7, 6, 5)]
    assert [point.place for point in nearest(places, SENDING, PATIENT)] == ["linli/C7", "linli/C6"]


@pytest.mark.parametrize(("drugs", "handling", "expected"), [
    ({"D003": Fen(2550)}, Handling(Handover.HOME), None),
    ({"D003": Fen(2550)}, Handling(Handover.HOME, cold=frozenset({"D003"})), NotThere.COLD),
    ({"D003": Fen(2550)}, Handling(Handover.HOME, decoct=7), NotThere.COLD),
    ({"D003": Fen(99_999)}, Handling(Handover.HOME), None),
    ({"D003": Fen(100_000)}, Handling(Handover.HOME), NotThere.HIGH_VALUE),
])
def test_what_is_not_left_anywhere(drugs: dict[str, Fen], handling: Handling, expected: NotThere | None) -> None:
    assert not_left(drugs, handling, KNOWLEDGE, POLICY) is expected


def test_a_drug_under_special_control_is_not_left() -> None:
    controlled = next(drug.id for drug in KNOWLEDGE.drugs.values() if drug.special_control != "NONE")
    assert not_left({controlled: Fen(100)}, Handling(Handover.HOME), KNOWLEDGE, POLICY) is NotThere.CONTROLLED


@pytest.mark.parametrize(("handover", "pickup", "delivery", "offered"), [
    (Handover.PICKUP, True, False, True), (Handover.PICKUP, False, True, False),
    (Handover.HOME, False, True, True), (Handover.HOME, True, False, False),
])
def test_the_register_says_how_a_place_hands_over(handover: Handover, pickup: bool, delivery: bool, offered: bool) -> None:
    place = Premises(False, False, False, pickup=pickup, delivery=delivery)
    assert Handling(handover).offers(place) is offered



"""Who may sign for a parcel, and what a person should look at though it was signed for (E-05, E-06)."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from domain.couriers import masked_name, masked_phone
from domain.door import digest, is_receiver, metres, warnings
from domain.prescription import Place

KEY, CODE, ID = "ord_a_1:1", "ABCDE23456", "370102197108159923"
NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.mark.parametrize(("shown", "code", "receiver"), [
    (CODE, CODE, True), ("abcde 23456", CODE, True), ("ABCDE-23456", CODE, True), ("9923", CODE, True), ("9923", "", True),
    ("9924", CODE, False), ("", CODE, False), ("", "", False), (CODE[:9], CODE, False)])
def test_the_code_or_the_end_of_the_id_number_opens(shown: str, code: str, receiver: bool) -> None:
    assert is_receiver(KEY, digest(KEY, shown), code, ID) is receiver


def test_a_digest_is_of_one_delivery_only_and_garbage_is_nobody() -> None:
    assert not is_receiver("ord_a_1:2", digest(KEY, CODE), CODE, ID)
    assert not is_receiver(KEY, "", CODE, ID)
    assert not is_receiver(KEY, "é", CODE, ID)
    assert not is_receiver(KEY, digest(KEY, ""), "", "")


@pytest.mark.parametrize(("away", "signed", "arrived", "picture", "codes"), [
    (80, 0, None, True, ()), (1019, 0, 0, True, ()), (4000, 0, 0, True, ("GPS_FAR",)), (None, 0, 0, True, ("GPS_MISSING",)),
    (80, -1, 0, True, ("BEFORE_ARRIVAL",)), (80, 1, 0, False, ("NO_SIGNATURE",)),
    (4000, -1, 0, False, ("GPS_FAR", "BEFORE_ARRIVAL", "NO_SIGNATURE"))])
def test_what_a_person_should_look_at(away: int | None, signed: int, arrived: int | None, picture: bool, codes: tuple[str, ...]
                                      ) -> None:
    arrival = None if arrived is None else NOON + timedelta(minutes=arrived)
    assert warnings(away, NOON + timedelta(minutes=signed), arrival, picture=picture) == codes


def test_metres_are_those_of_the_city() -> None:
    here = Place("", Decimal("36.67"), Decimal("117.03"))
    assert metres(here, here) == 0
    assert 1_050 < metres(here, Place("", Decimal("36.68"), Decimal("117.03"))) < 1_150
    assert 850 < metres(here, Place("", Decimal("36.67"), Decimal("117.04"))) < 930


def test_a_label_has_no_name_and_no_phone_in_full() -> None:
    assert (masked_name("张三丰"), masked_name(""), masked_phone("13812345678"), masked_phone("12345")) == (
        "张**", "**", "138****5678", "****")

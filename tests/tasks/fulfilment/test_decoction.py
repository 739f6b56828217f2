"""A prescription of pieces that the place decocts: its steps in their order, its capacity, and what is refused (D-14)."""

from dataclasses import replace
from pathlib import Path

import pytest

from domain.decoction import DecoctionStep
from domain.lifecycle import Status
from domain.people import Denied
from domain.shops import Act
from infra.db import prescriptions
from tasks import tracking
from tests.support.decoction import CENTRE, SHOP, STEPS, Town


def test_a_centre_decocts_step_by_step_and_prepares_only_what_has_cooled(tmp_path: Path) -> None:
    town = Town(tmp_path, (SHOP, CENTRE))
    rx_id = town.admit(decocted=True)
    assert town.seen(rx_id).at.place == CENTRE  # the shop has the pieces too, and cannot decoct them
    town.do(rx_id, Act.ACCEPT)

    for act in STEPS:
        with pytest.raises(Denied, match="not_now"):
            town.do(rx_id, Act.PREPARE)
        assert town.seen(rx_id).supported_actions[0] is act
        town.do(rx_id, act)
        town.do(rx_id, act)  # a second time is the same step
    town.do(rx_id, Act.PREPARE)

    assert town.steps(rx_id) == ["soaked", "decocted", "packed_liquid", "cooled"]
    assert town.seen(rx_id).decoction is DecoctionStep.COOLED


def test_the_patient_reads_how_far_the_decoction_is(tmp_path: Path) -> None:
    town = Town(tmp_path)
    rx_id = town.admit(decocted=True)
    town.do(rx_id, Act.ACCEPT)
    town.do(rx_id, Act.SOAK)

    page = tracking.tracked(town.city, rx_id)

    assert page
    assert page.orders[0].sentence.zh == "饮片已浸泡，即将煎煮。"


def test_a_step_is_not_skipped(tmp_path: Path) -> None:
    town = Town(tmp_path)
    rx_id = town.admit(decocted=True)
    town.do(rx_id, Act.ACCEPT)

    with pytest.raises(Denied, match="not_now"):
        town.do(rx_id, Act.DECOCT)

    assert town.steps(rx_id) == []


@pytest.mark.parametrize("act", STEPS)
def test_what_the_patient_decocts_has_no_steps(tmp_path: Path, act: Act) -> None:
    town = Town(tmp_path)
    rx_id = town.admit(decocted=False)
    town.do(rx_id, Act.ACCEPT)

    with pytest.raises(Denied, match="not_decocted_here"):
        town.do(rx_id, act)
    town.do(rx_id, Act.PREPARE)

    assert town.steps(rx_id) == []


def test_a_centre_that_is_full_for_the_day_gets_no_more_to_decoct_and_still_dispenses(tmp_path: Path,
                                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    town = Town(tmp_path)
    shops = town.city.chains["linli"].shops()  # type: ignore[attr-defined]
    monkeypatch.setitem(shops, "LL04", replace(shops["LL04"], decoct_doses=10))
    first = town.admit(4, decocted=True)
    assert town.doses() == 7

    second, other = town.admit(5, decocted=True), town.admit(6, decocted=False)

    assert town.line.status(first) is town.line.status(other) is Status.FULFILLING
    assert town.line.status(second) is Status.ALLOCATING
    assert town.doses() == 7


def test_fifteen_doses_are_not_decocted_at_once(tmp_path: Path) -> None:
    town = Town(tmp_path)

    rx_id = town.admit(decocted=True, doses=15)

    assert town.line.status(rx_id) is Status.REFUSED
    with town.city.db.reading() as session:
        assert prescriptions.load(session, rx_id).prescription.to_decoct == 15

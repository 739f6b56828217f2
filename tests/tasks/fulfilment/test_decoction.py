"""A prescription of pieces that the place decocts: its steps in their order, its capacity, and what is refused (D-14)."""

import threading
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from domain.chains import ChainWord, OrderLine, PharmacyOrder
from domain.decoction import DecoctionStep
from domain.errors import Refused
from domain.lifecycle import Status
from domain.people import Denied
from domain.shops import Act
from infra.db import Session, orders, prescriptions
from infra.db import counter as books
from tasks import tracking
from tests.support.city import Plug, SimulatedCrash
from tests.support.decoction import CENTRE, SHOP, STEPS, Town
from tests.support.partner_examples import order as example


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


def test_a_centre_that_takes_no_more_ends_what_it_has_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    town = Town(tmp_path)
    rx_id = town.admit(decocted=True)
    town.do(rx_id, Act.ACCEPT)
    town.do(rx_id, STEPS[0])
    shops = town.city.chains["linli"].shops()  # type: ignore[attr-defined]

    monkeypatch.setitem(shops, "LL04", replace(shops["LL04"], decoct_doses=0))
    for act in STEPS[1:]:
        town.do(rx_id, act)

    assert len(town.steps(rx_id)) == len(STEPS)


def test_fifteen_doses_are_not_decocted_at_once(tmp_path: Path) -> None:
    town = Town(tmp_path)

    rx_id = town.admit(decocted=True, doses=15)

    assert town.line.status(rx_id) is Status.REFUSED
    with town.city.db.reading() as session:
        assert prescriptions.load(session, rx_id).prescription.to_decoct == 15


@pytest.mark.parametrize("boundary", [1, 2], ids=["before the commit", "after it"])
@pytest.mark.parametrize("act", STEPS)
def test_a_step_cut_off_by_a_crash_is_done_again_once(tmp_path: Path, act: Act, boundary: int) -> None:
    plug = Plug()
    town = Town(tmp_path, boundary=plug)
    rx_id = town.admit(decocted=True)
    town.do(rx_id, Act.ACCEPT)
    before = STEPS[:STEPS.index(act)]
    for earlier in before:
        town.do(rx_id, earlier)

    plug.pull_at(boundary)
    with pytest.raises(SimulatedCrash):
        town.do(rx_id, act)
    town.do(rx_id, act)
    town.do(rx_id, act)

    assert len(town.steps(rx_id)) == len(before) + 1
    assert [entry.act for entry in town.seen(rx_id).done].count(act) == 1


def test_two_decoctions_at_once_never_share_the_last_room_of_the_day(database_url: str, tmp_path: Path,
                                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    town = Town(tmp_path, url=database_url)
    shops = town.city.chains["linli"].shops()  # type: ignore[attr-defined]
    monkeypatch.setitem(shops, "LL04", replace(shops["LL04"], decoct_doses=0))  # Nobody gets an order but by this test.
    one, other = (replace(example(), id=f"ord_{number}_1", prescription_id=town.admit(number, decocted=True), chain="linli",
                          store="LL04", lines=(OrderLine(1, drug, Decimal(10), "g"),))
                  for number, drug in ((4, "YP101"), (5, "YP102")))
    with town.city.db.transaction() as session:
        for order in (one, other):
            orders.make(session, order, attempt=1, sealed=b"sealed", ranking=[], at=town.city.now())
    answers: list[str] = []

    def hold(session: Session, order: PharmacyOrder) -> str:
        return books.hold(session, order, town.city.now, lambda at: at + timedelta(minutes=30), decocts=10,
                          midnight=lambda now: now.replace(hour=0)).word

    def another() -> None:
        try:
            with town.city.db.transaction() as session:
                answers.append(hold(session, other))
        except Refused as no:
            answers.append(no.code)

    late = threading.Thread(target=another)
    with town.city.db.transaction() as session:
        assert hold(session, one) == ChainWord.HELD
        late.start()
        late.join(0.5)
        assert answers == [], "other drugs, and the same room: it must wait for the first one's end"
    late.join(30)
    assert answers == ["no_decoct_capacity"]

"""A patient collects at a village clinic what another pharmacy dispensed: chosen, carried, kept there, handed over or back."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from domain.chains import ChainWord
from domain.fulfilment.deliveries import DeliveryStatus as S
from domain.fulfilment.orders import OrderStatus
from domain.fulfilment.points import NotThere
from domain.lifecycle import Status
from domain.people import Capability, Denied, Grant, Person, Role
from domain.policy import Choosers
from domain.prescription import Handover
from infra.db import choices, payments
from tasks import choosing, counter, custody, shelves
from tasks.closing import PATIENT
from tasks.fulfilment.sealed import open_secrets
from tasks.tracking import tracked
from tests.support.city import Clock, admit, make_city
from tests.support.couriers import SHOPKEEPER, courier_of, with_courier
from tests.support.line import Line
from tests.tasks.fulfilment.test_courier import Town

POINT = "linli/LL05"
CLINICIAN = Person("S005", frozenset({Grant(Role.SHOP, POINT)}))


class Village(Town):
    """A prescription whose patient chooses a clinic; its parcel is packed and with the courier."""

    def __init__(self, folder: Path, *, to_packed: bool = True) -> None:
        city = with_courier(make_city(folder, now=Clock()))
        self.line = Line(replace(city, policy=replace(city.policy, choosers=Choosers.EVERYBODY)))
        self.city = self.line.city
        self.courier = courier_of(self.city)
        self.rx = admit(self.city, sample="home_delivery")[0]
        self.line.hop(self.rx)
        self.line.review(self.rx)
        self.line.hop(self.rx)
        if to_packed:
            self.choose()
            self.line.hop(self.rx)
            self.to_packed()

    @property
    def offering(self):
        with self.city.db.reading() as session:
            return choices.newest(session, self.rx).offering

    def choose(self) -> None:
        option = next(option for option in self.offering.options if option.point)
        choosing.choose(self.city, self.rx, option.key, by=PATIENT)

    def parcel(self) -> custody.Parcel:
        return custody.parcel_of(self.city, CLINICIAN, Capability.HAND_OVER, self.rx, 1)

    def receive(self, who: Person = CLINICIAN) -> custody.Parcel:
        return custody.receive(self.city, who, self.rx, 1)

    def hand_over(self, proof: str | None = None, method: str = "cash", **more: object) -> custody.Parcel:
        code = open_secrets(self.city, self.line.order(self.rx))["pickup_code"] if proof is None else proof
        return custody.hand_over(self.city, CLINICIAN, self.rx, 1, proof=code, method=method if self.parcel().due else "", **more)  # type: ignore[arg-type]

    def later(self, **more: float) -> None:
        self.city.now.advance(**more)  # type: ignore[attr-defined]
        self.line.hop(self.rx)


@pytest.fixture
def village(tmp_path: Path) -> Village:
    return Village(tmp_path)


def denied(call) -> str:
    with pytest.raises(Denied) as refusal:
        call()
    return refusal.value.code


def test_it_is_kept_at_the_clinic_and_handed_over_against_the_code(village: Village) -> None:
    assert (village.line.order(village.rx).order.point, village.line.order(village.rx).order.handover) == (POINT, Handover.HOME)
    (consignment,) = village.courier.consignments.values()
    clinic = counter.workplaces(village.city)[POINT].shop
    assert (consignment.recipient.address, consignment.recipient.latitude) == (clinic.name, clinic.latitude)
    assert (consignment.collect, consignment.recipient.name.endswith("**")) == (0, True)
    village.to_door()
    assert village.tell(S.HELD_AT_POINT)[0] == 200
    assert village.parcel().delivery.status is S.ARRIVED, "what the courier says does not replace the clinic's receipt"
    assert denied(village.hand_over) == "not_received"
    held = village.receive()
    assert (held.delivery.status, held.until) == (S.HELD_AT_POINT, village.city.now() + timedelta(days=3))
    assert (village.receive().until, village.line.order(village.rx).word) == (held.until, ChainWord.IN_DELIVERY)
    page = tracked(village.city, village.rx)
    order = page.orders[0]
    assert page.sentence == order.sentence, "not that it is on its way"
    assert (order.point.place, order.until) == (POINT, held.until)
    assert village.hand_over().delivery.status is S.SIGNED
    village.line.hop(village.rx)
    village.line.deliver()
    assert village.line.status(village.rx) is Status.SETTLED
    with village.city.db.reading() as session:
        took = payments.of(session, village.line.order(village.rx).id).payments
    assert [(payment.collector, payment.hand_in_by) for payment in took] == [(f"shop:{POINT}", None)] * bool(held.due)
    assert village.differences() == []


def test_nothing_is_handed_over_unpaid_or_to_another(village: Village) -> None:
    village.receive()
    assert village.parcel().due > 0
    assert denied(lambda: village.hand_over(method="")) == "unpaid"
    assert denied(lambda: village.hand_over(amount=1)) == "amount_edit"
    for _ in range(5):
        assert denied(lambda: village.hand_over("WRONG")) == "wrong_proof"
    assert denied(village.hand_over) == "too_many_tries"
    village.city.now.advance(minutes=11)  # type: ignore[attr-defined]
    assert village.hand_over(village.id_tail()).delivery.status is S.SIGNED
    assert village.hand_over("AGAIN").delivery.status is S.SIGNED, "twice is once"


def test_what_nobody_collects_goes_back_after_three_days_and_the_prescription_ends(village: Village) -> None:
    village.to_door()
    village.tell(S.HELD_AT_POINT)
    village.receive()
    village.later(hours=71)
    assert village.line.order(village.rx).delivery.status is S.HELD_AT_POINT
    village.city.now.advance(hours=1)  # type: ignore[attr-defined]
    assert denied(village.hand_over) == "held_too_long"
    village.line.hop(village.rx)
    delivery = village.line.order(village.rx).delivery
    assert (delivery.status, delivery.called_off, village.courier.calls.count("cancel")) == (S.RETURNING, True, 1)
    assert denied(village.hand_over) == "ended"
    assert village.tell(S.RETURNED)[0] == 200
    for _ in range(3):
        village.line.hop(village.rx)
    placed = village.line.order(village.rx)
    assert (placed.status, placed.reason, village.line.status(village.rx)) == (
        OrderStatus.DECLINED, "not_collected", Status.CANCELLED)
    assert {drug: shelf for drug, shelf in village.shelf().items() if shelf != (500, 500)} == {}
    assert village.differences() == []


def test_a_courier_who_says_it_never_collected_what_waits_at_the_clinic_is_a_difference(village: Village) -> None:
    village.receive()
    village.later(hours=72)
    delivery = village.line.order(village.rx).delivery
    assert (delivery.status, delivery.called_off) == (S.HELD_AT_POINT, True)
    assert village.differences() == ["delivery_contradicts"]


def test_a_courier_does_not_hand_over_what_is_for_a_clinic(village: Village) -> None:
    village.to_door()
    assert village.tell(S.SIGNED, attempt=1)[0] == 409
    assert village.differences() == ["delivery_contradicts"]
    assert village.line.order(village.rx).delivery.status is S.ARRIVED


def test_another_place_has_nothing_to_do_with_it(village: Village) -> None:
    for who in (SHOPKEEPER, Person("S003", frozenset({Grant(Role.SHOP, "linli/LL03")}))):
        with pytest.raises(KeyError):
            village.receive(who)
    assert [parcel.placed.order.prescription_id for parcel in custody.parcels_at(
        village.city, counter.workplaces(village.city)[POINT])] == [village.rx]
    assert custody.parcels_at(village.city, counter.workplaces(village.city)["linli/LL03"]) == []


def test_a_clinic_that_has_shut_is_not_ordered_to_and_the_patient_is_asked_again(tmp_path: Path) -> None:
    village = Village(tmp_path, to_packed=False)
    assert village.offering.not_points == {NotThere.NOT_ENABLED: 3, NotThere.FAR: 1}
    village.choose()
    opening = replace(shelves.hours(village.city, counter.workplaces(village.city)[POINT]), shut=True)
    shelves.set_hours(village.city, CLINICIAN, POINT, opening)
    village.line.hop(village.rx)
    assert (village.offering.because, [option for option in village.offering.options if option.point]) == ("point", [])
    assert village.offering.not_points == {NotThere.NOT_ENABLED: 3, NotThere.FAR: 1, NotThere.SHUT: 1}

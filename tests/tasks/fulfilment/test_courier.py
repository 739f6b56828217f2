"""A shop that brings nothing home itself: the city's courier is sent once, and its words are taken in any order."""

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from domain.chains import ChainWord
from domain.couriers import Waybill
from domain.errors import OutcomeUnknown, Refused
from domain.events import Event
from domain.fulfilment.deliveries import DeliveryStatus as S
from domain.fulfilment.orders import OrderStatus
from domain.lifecycle import Status
from domain.people import Capability, Denied
from domain.shops import Act
from domain.trace import UseStatus
from infra.db import history, prescriptions, traces, wishes
from infra.db.rows import DiscrepancyRow, HistoryRow, MessageRow
from tasks import counter, shelves
from tasks.callbacks import receive_delivery
from tasks.fulfilment.sealed import open_secrets
from tasks.patients import open_patient
from tasks.tracking import tracked
from tests.support.city import Clock, admit, cancel_by_hospital, make_city
from tests.support.couriers import COURIER, PICTURE, SHOP_PLACE, SHOPKEEPER, courier_of, tell, with_courier
from tests.support.line import Line
from tests.support.trace_codes import packs


class Town:
    """A prescription to be brought home from a shop that does not bring it."""

    def __init__(self, folder: Path) -> None:
        self.line = Line(with_courier(make_city(folder, now=Clock())))
        self.city = self.line.city
        self.courier = courier_of(self.city)
        self.rx = admit(self.city, sample="home_delivery")[0]
        self.line.to_fulfilling(self.rx)

    def do(self, act: Act, **more: object) -> counter.ShopOrder:
        return counter.act_on(self.city, SHOPKEEPER, self.rx, 1, act, **more)  # type: ignore[arg-type]

    def to_packed(self) -> None:
        """And so to the courier."""
        self.do(Act.ACCEPT)
        self.do(Act.PREPARE)
        self.line.hop(self.rx)

    def tell(self, status: S, **more: object) -> tuple[int, dict[str, object]]:
        return tell(self.line, self.rx, status, **more)  # type: ignore[arg-type]

    def to_door(self, attempt: int = 1) -> None:
        for status in (S.COLLECTED, S.IN_TRANSIT, S.ARRIVED):
            assert self.tell(status, attempt=attempt if status is not S.COLLECTED else 0)[0] == 200

    def allowed(self) -> tuple[Act, ...]:
        """What the shop may do."""
        return counter.order_of(self.city, SHOPKEEPER, Capability.SEE_ORDER, self.rx, 1).supported_actions

    def id_tail(self) -> str:
        with self.city.db.reading() as session:
            return open_patient(self.city, prescriptions.load(session, self.rx))["id_number"][-4:]

    def shelf(self) -> dict[str, tuple[Decimal, Decimal]]:
        at = counter.workplaces(self.city)[SHOP_PLACE]
        return {shelf.drug: (shelf.quantity, shelf.available) for shelf in shelves.shelves(self.city, at)}

    def differences(self) -> list[str]:
        with self.city.db.reading() as session:
            return [row.kind for row in session.query(DiscrepancyRow) if row.kind != "forecast_vs_pre_settlement"]

    def events(self) -> list[str]:
        with self.city.db.reading() as session:
            return [row.reason for row in session.query(HistoryRow).order_by(HistoryRow.seq)]


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return Town(tmp_path)


def test_a_packed_parcel_is_assigned_once_brought_and_settled(town: Town) -> None:
    assert town.line.order(town.rx).courier == COURIER
    town.to_packed()
    town.line.hop(town.rx)
    assert (len(town.courier.arrived), town.line.order(town.rx).delivery.status) == (1, S.ASSIGNED)
    town.to_door()
    assert (town.line.order(town.rx).word, town.allowed()) == (ChainWord.IN_DELIVERY, ())
    assert town.tell(S.SIGNED, attempt=1) == (200, {"result": "applied"})
    delivery = town.line.order(town.rx).delivery
    assert (delivery.status, delivery.metres) == (S.SIGNED, 0)
    assert town.city.archive.get(delivery.signature_key) == PICTURE
    town.line.hop(town.rx)
    town.line.deliver()
    assert town.line.status(town.rx) is Status.SETTLED
    seen = counter.order_of(town.city, SHOPKEEPER, Capability.SEE_ORDER, town.rx, 1)
    assert (seen.word, seen.kept.notice.cash) == (ChainWord.HANDED_OVER, seen.kept.patient_due)
    quantities = {line.drug: line.quantity for line in seen.placed.order.lines}
    assert all(town.shelf()[drug] == (500 - quantity, 500 - quantity) for drug, quantity in quantities.items())
    assert town.differences() == []


def test_the_courier_learns_no_medicine_no_disease_and_no_person_in_full(town: Town) -> None:
    town.to_packed()
    (consignment,) = town.courier.consignments.values()
    told = json.dumps([consignment.id, vars(consignment.shop), vars(consignment.recipient)], ensure_ascii=False, default=str)
    rx = town.line.order(town.rx).order
    hidden = [line.drug for line in rx.lines] + [open_secrets(town.city, town.line.order(town.rx))["pickup_code"]]
    assert not [word for word in hidden if word in told]
    assert (consignment.recipient.name.endswith("**"), "****" in consignment.recipient.phone) == (True, True)
    assert consignment.recipient.address
    assert consignment.recipient.address not in repr(consignment)


@pytest.mark.parametrize("order", [(S.SIGNED, S.ARRIVED, S.COLLECTED, S.IN_TRANSIT), (S.ARRIVED, S.SIGNED, S.ARRIVED),
                                   (S.SIGNED, S.SIGNED)])
def test_words_out_of_order_twice_and_late_come_to_one_handover(town: Town, order: tuple[S, ...]) -> None:
    town.to_packed()
    for status in order:
        assert town.tell(status, attempt=1)[0] == 200
    town.line.hop(town.rx)
    assert town.line.status(town.rx) is Status.SETTLED
    assert town.events().count("handed_over") == 1


def test_the_same_event_again_is_one_and_with_other_bytes_a_conflict(town: Town) -> None:
    town.to_packed()
    assert town.tell(S.COLLECTED, event_id="ev_x")[1] == {"result": "applied"}
    assert town.tell(S.COLLECTED, event_id="ev_x")[1] == {"result": "repeated"}
    assert town.tell(S.ARRIVED, event_id="ev_x", attempt=1) == (409, {"result": "conflict"})


def test_a_bad_signature_is_refused_before_anything_is_kept(town: Town) -> None:
    town.to_packed()
    body = town.courier.body(f"{town.line.order(town.rx).id}:1", S.COLLECTED, town.city.now())
    headers = town.courier.headers(body, town.city.now()) | {"signature": "0" * 64}
    with pytest.raises(Refused):
        receive_delivery(town.city, COURIER, body=body, **headers)
    with town.city.db.reading() as session:
        assert session.query(MessageRow).filter(MessageRow.source == f"courier:{COURIER}").count() == 0


def test_who_is_not_the_receiver_gets_nothing_and_after_five_tries_nobody_does_for_a_while(town: Town) -> None:
    town.to_packed()
    town.to_door()
    for _ in range(5):
        assert town.tell(S.SIGNED, attempt=1, shown="WRONG")[1] == {"result": "refused", "why": "not the receiver"}
    assert town.tell(S.SIGNED, attempt=1)[1] == {"result": "refused", "why": "too many wrong tries"}
    town.line.clock.advance(minutes=11)
    assert town.line.order(town.rx).word is ChainWord.IN_DELIVERY
    assert town.tell(S.SIGNED, attempt=1)[0] == 200


def test_the_end_of_the_id_number_does_as_well(town: Town) -> None:
    town.to_packed()
    town.to_door()
    assert town.tell(S.SIGNED, attempt=1, shown=town.id_tail())[0] == 200


def test_a_far_place_is_a_warning_in_the_answer_and_in_the_history(town: Town) -> None:
    town.to_packed()
    town.to_door()
    place = town.line.order(town.rx).order.place
    far = replace(place, latitude=place.latitude + Decimal("0.1"))
    assert town.tell(S.SIGNED, attempt=1, near=far, picture=b"") == (200, {"result": "applied", "why": ["GPS_FAR", "NO_SIGNATURE"]})
    assert town.line.order(town.rx).delivery.signature_key == ""
    with town.city.db.reading() as session:
        (detail,) = [detail for detail in history.details(session, town.rx, Event.COURIER_UPDATE) if detail["delivery"] == "signed"]
    assert detail["warnings"] == ["GPS_FAR", "NO_SIGNATURE"]


def test_a_second_attempt_succeeds_and_a_third_is_no_way(town: Town) -> None:
    town.to_packed()
    town.to_door()
    assert town.tell(S.ATTEMPT_FAILED, attempt=1, reason="nobody_home")[0] == 200
    assert town.tell(S.ARRIVED, attempt=2)[0] == 200
    assert town.tell(S.IN_TRANSIT, attempt=3)[0] == 409
    assert town.tell(S.SIGNED, attempt=2)[0] == 200
    assert (town.line.order(town.rx).delivery.attempt, town.differences()) == (2, ["delivery_contradicts"])


def test_what_nobody_takes_goes_back_to_the_shelf_and_ends_without_a_claim(town: Town) -> None:
    before = town.shelf()
    town.to_packed()
    town.to_door()
    for status, attempt in ((S.ATTEMPT_FAILED, 1), (S.ATTEMPT_FAILED, 2), (S.HELD_AT_POINT, 0), (S.RETURNING, 0), (S.RETURNED, 0)):
        assert town.tell(status, attempt=attempt, reason="nobody_home")[0] == 200
    town.line.hop(town.rx)
    town.line.deliver()
    order = town.line.order(town.rx)
    assert (town.line.status(town.rx), order.status, order.reason) == (Status.CANCELLED, OrderStatus.DECLINED, "undelivered")
    held_back = {drug: before[drug][0] for drug in before}
    assert {drug: shelf for drug, (shelf, _) in town.shelf().items()} == held_back
    assert all(quantity == available for quantity, available in town.shelf().values())
    with town.city.db.reading() as session:
        (wish,) = wishes.of(session, town.rx)
    assert (wish.by, wish.reason, wish.answer) == (f"courier:{COURIER}", "undelivered", "granted")
    assert "undelivered" in town.events()
    assert town.differences() == []


def test_what_is_lost_is_off_the_shelf_and_another_pharmacy_is_looked_for(town: Town) -> None:
    town.to_packed()
    town.to_door()
    before = town.shelf()
    drugs = {line.drug: line.quantity for line in town.line.order(town.rx).order.lines}
    order = town.line.order(town.rx)
    scans = packs(order.id, order.order.lines[0])
    with town.city.db.transaction() as session:
        facts, _ = traces.look(session, order.id, scans, town.city.knowledge.trace_products)
        traces.bind(session, order.id, SHOP_PLACE, scans, facts, UseStatus.PREPARED, town.city.now())
    assert town.tell(S.LOST, reason="lost")[0] == 200
    with town.city.db.reading() as session:
        lost = [use.status for use in traces.uses_of(session, order.id)]
    assert lost == [UseStatus.LOST] * len(scans), "its packs are not sold again (E-16)"
    assert all(town.shelf()[drug][0] == before[drug][0] - quantity for drug, quantity in drugs.items())
    town.line.hop(town.rx)
    assert town.line.status(town.rx) is Status.ALLOCATING
    town.line.clock.advance(minutes=11)
    town.line.hop(town.rx)
    assert (town.line.order(town.rx).attempt, town.line.status(town.rx)) == (2, Status.FULFILLING)


def test_a_cancel_before_the_courier_has_it_stops_both(town: Town) -> None:
    town.to_packed()
    cancel_by_hospital(town.city, 1)
    town.line.hop(town.rx)
    assert (town.line.status(town.rx), town.line.order(town.rx).delivery.status) == (Status.CANCELLED, S.CANCELLED)
    assert town.courier.calls.count("cancel") == 1
    assert all(quantity == available for quantity, available in town.shelf().values())


def test_a_cancel_on_the_way_is_refused_and_the_parcel_is_brought(town: Town) -> None:
    town.to_packed()
    town.to_door()
    cancel_by_hospital(town.city, 1)
    town.line.hop(town.rx)
    assert (town.line.status(town.rx), town.line.order(town.rx).delivery.status) == (Status.FULFILLING, S.ARRIVED)
    town.tell(S.SIGNED, attempt=1)
    town.line.hop(town.rx)
    assert town.line.status(town.rx) is Status.SETTLED


def test_a_courier_that_has_collected_meanwhile_turns_round(town: Town) -> None:
    town.to_packed()
    town.courier.book = {key: replace(waybill, status=S.COLLECTED) for key, waybill in town.courier.book.items()}
    cancel_by_hospital(town.city, 1)
    town.line.hop(town.rx)
    assert (town.line.status(town.rx), town.line.order(town.rx).delivery.status) == (Status.CANCELLED, S.RETURNING)
    assert town.tell(S.RETURNED)[0] == 200
    assert (town.line.order(town.rx).delivery.status, town.line.status(town.rx)) == (S.RETURNED, Status.CANCELLED)
    assert town.differences() == []


def test_a_prescription_does_not_end_before_the_courier_knows(town: Town) -> None:
    town.to_packed()
    town.courier.silent = True
    cancel_by_hospital(town.city, 1)
    town.line.hop(town.rx)
    assert (town.line.order(town.rx).status, town.line.status(town.rx)) == (OrderStatus.CANCELLED, Status.FULFILLING)
    town.courier.heal()
    town.line.clock.advance(minutes=1)
    town.line.hop(town.rx)
    assert (town.line.status(town.rx), town.line.order(town.rx).delivery.status) == (Status.CANCELLED, S.CANCELLED)


def test_a_patient_who_has_it_although_the_order_ended_is_a_persons_business(town: Town) -> None:
    town.to_packed()
    town.courier.book = {key: replace(waybill, status=S.SIGNED) for key, waybill in town.courier.book.items()}
    cancel_by_hospital(town.city, 1)
    town.line.hop(town.rx)
    assert (town.line.status(town.rx), town.differences()) == (Status.CANCELLED, ["delivery_not_stopped"])
    assert town.tell(S.SIGNED, attempt=1)[0] == 200
    assert sorted(town.differences()) == ["delivery_not_stopped", "late_word_from_courier"]


@pytest.mark.parametrize("loss", ["lose_next_request", "lose_next_answer"])
def test_a_lost_assignment_is_asked_for_and_the_courier_comes_once(town: Town, loss: str) -> None:
    town.do(Act.ACCEPT)
    town.do(Act.PREPARE)
    setattr(town.courier, loss, True)
    town.line.hop(town.rx)
    town.line.clock.advance(minutes=1)
    town.line.hop(town.rx)
    assert (town.courier.arrived, town.line.order(town.rx).delivery.status) == ([f"{town.line.order(town.rx).id}:1"], S.ASSIGNED)
    assert "find" in town.courier.calls


async def _lost(delivery_id: str) -> Waybill | None:
    raise OutcomeUnknown("fake: the answer was lost")


def test_a_courier_whose_words_come_before_its_answer_is_asked_for_its_number_all_the_same(town: Town) -> None:
    town.do(Act.ACCEPT)
    town.do(Act.PREPARE)
    town.courier.lose_next_answer, town.courier.find = True, _lost  # type: ignore[method-assign]
    town.line.hop(town.rx)
    town.to_door()
    assert town.tell(S.SIGNED, attempt=1)[0] == 200
    del town.courier.find
    town.line.clock.advance(minutes=10)
    town.line.hop(town.rx)
    delivery = town.line.order(town.rx).delivery
    assert (delivery.status, bool(delivery.reference), len(town.courier.arrived)) == (S.SIGNED, True, 1)
    assert town.line.status(town.rx) is Status.SETTLED


def test_what_the_courier_will_not_bring_is_taken_back_and_sought_anew(town: Town) -> None:
    town.courier.refuses["assign"] = "no_courier"
    town.to_packed()
    order = town.line.order(town.rx)
    assert (order.status, order.reason, order.delivery.status) == (OrderStatus.CANCELLED, "no_courier", S.CANCELLED)
    assert town.line.status(town.rx) is Status.ALLOCATING


def test_a_courier_that_gives_it_up_is_replaced_by_another_delivery(town: Town) -> None:
    town.to_packed()
    assert town.tell(S.CANCELLED)[0] == 200
    town.line.hop(town.rx)
    assert [delivery.status for delivery in town.line.order(town.rx).deliveries] == [S.CANCELLED, S.ASSIGNED]


def test_a_courier_that_says_nothing_for_two_days_is_asked_and_then_it_is_lost(town: Town) -> None:
    town.to_packed()
    town.to_door()
    town.line.clock.advance(hours=47)
    town.line.hop(town.rx)
    assert town.line.order(town.rx).delivery.status is S.ARRIVED
    town.line.clock.advance(hours=2)
    town.line.hop(town.rx)
    order = town.line.order(town.rx)
    assert (order.delivery.status, order.status, order.reason) == (S.LOST, OrderStatus.DECLINED, "lost")


def test_a_courier_whose_words_were_lost_is_believed_when_it_is_asked(town: Town) -> None:
    town.to_packed()
    town.tell(S.COLLECTED)
    town.courier.book = {key: replace(waybill, status=S.ATTEMPT_FAILED, attempt=1) for key, waybill in town.courier.book.items()}
    town.line.clock.advance(hours=49)
    town.line.hop(town.rx)
    assert (town.line.order(town.rx).delivery.status, town.differences()) == (S.ATTEMPT_FAILED, [])


def test_the_shop_gives_it_to_the_courier_and_has_no_more_say(town: Town) -> None:
    town.to_packed()
    assert town.do(Act.SEND_OUT).supported_actions == ()
    for act in (Act.HAND_OVER, Act.DECLINE):
        with pytest.raises(Denied) as caught:
            town.do(act, proof="ABCDE", reason="other")
        assert caught.value.code == "not_now"
    assert town.tell(S.COLLECTED)[0] == 200


def test_a_parcel_of_another_courier_or_of_nobody_is_unknown(town: Town) -> None:
    town.to_packed()
    assert town.tell(S.COLLECTED, number=7) == (422, {"result": "refused", "why": "unknown parcel"})
    assert town.tell(S.COLLECTED, at=town.city.now().replace(year=2030))[0] == 422


def test_what_a_shop_brings_itself_has_no_courier(tmp_path: Path) -> None:
    city = with_courier(make_city(tmp_path, now=Clock()), quantity="0")
    at_one = replace(SHOPKEEPER, grants=frozenset({replace(next(iter(SHOPKEEPER.grants)), place="linli/LL01")}))
    for drug, entry in city.knowledge.catalogue.items():
        shelves.change(city, at_one, "linli/LL01", drug, counted="500", price=str(entry.ceiling))
    line = Line(city)
    rx = admit(city, sample="home_delivery")[0]
    line.to_fulfilling(rx)
    assert (line.order(rx).order.store, line.order(rx).courier) == ("LL01", "")


def test_the_patient_reads_where_the_parcel_is_and_sees_the_code_for_the_door(town: Town) -> None:
    def card() -> tuple[str, str]:
        page = tracked(town.city, town.rx)
        assert page is not None
        (order,) = page.orders
        return order.sentence.en, order.code

    town.to_packed()
    assert card()[0] == "It is packed, and a courier comes for it."
    town.to_door()
    code = open_secrets(town.city, town.line.order(town.rx))["pickup_code"]
    assert card() == ("The courier is at your door. Show the code.", code)
    town.tell(S.ATTEMPT_FAILED, attempt=1, reason="nobody_home")
    assert card()[0] == "It could not be handed over. The courier comes once more."

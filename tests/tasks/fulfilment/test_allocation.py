"""No store has all of it: two share it, or one gives a part now and the rest follows when it comes in."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from domain.chains import ChainWord
from domain.events import Event, Wait
from domain.fulfilment.lines import line_states
from domain.fulfilment.portions import Portion
from domain.lifecycle import FINAL, Status
from infra.db import history, orders, prescriptions, wishes
from tasks.callbacks import FIRST_WOKEN
from tasks.fulfilment.seek import NEXT_WOKEN
from tasks.intake import receive_prescription
from tests.support.city import HOSPITAL, bundle
from tests.support.line import Line


@pytest.fixture
def rx_id(line: Line) -> str:
    """28 of D032 and 28 of D048, passed by the pharmacist; nobody was asked yet."""
    answer = receive_prescription(line.city, HOSPITAL, four_weeks())
    admitted = json.loads(answer.body)["identifier"][0]["value"]
    line.hop(admitted)
    line.review(admitted)
    return admitted


def four_weeks(number: int = 1) -> bytes:
    """The sample of two drugs for a week each, as a long-term prescription for four."""
    message = json.loads(bundle(number, sample="home_delivery"))
    for entry in message["entry"]:
        if entry["resource"]["resourceType"] != "MedicationRequest":
            continue
        request = entry["resource"]
        request["courseOfTherapyType"]["coding"][0]["code"] = "long_term"
        request["dispenseRequest"]["quantity"]["value"] = 28
        request["dispenseRequest"]["expectedSupplyDuration"]["value"] = 28
        url = "https://sanyi.example/fhir/StructureDefinition"
        request["extension"] = [*request.get("extension", ()), {"url": f"{url}/long-term-assessed", "valueBoolean": True},
                                {"url": f"{url}/patient-acknowledged", "valueBoolean": True},
                                {"url": f"{url}/extend-reason", "valueString": "高血压病情稳定"}]
    return json.dumps(message, ensure_ascii=False).encode()


def stock(line: Line, **counts: dict[str, int]) -> None:
    for slug, shelf in counts.items():
        line.chain(slug).stock = {drug: Decimal(quantity) for drug, quantity in shelf.items()}


def filled(line: Line, rx_id: str) -> list[tuple[str, dict[int, int]]]:
    """The chain of each order and what it is for; lines must add up whenever they are looked at."""
    with line.city.db.reading() as session:
        loaded, placed = prescriptions.load(session, rx_id), orders.of(session, rx_id)
        line_states(loaded.prescription.items, placed, wishes.of(session, rx_id), ended=loaded.status in FINAL)
    return [(order.order.chain, {portion.line: int(portion.quantity) for portion in order.portions}) for order in placed]


def events(line: Line, rx_id: str, event: Event) -> list[dict[str, object]]:
    with line.city.db.reading() as session:
        return [dict(detail) for detail in history.details(session, rx_id, event)]


def reports(line: Line) -> list[dict[str, object]]:
    """What the hospitals were told, in the order in which it was made."""
    line.deliver()
    told = [report for hospital in line.city.hospitals.values() for report in hospital.reports.values()]  # type: ignore[attr-defined]
    return sorted(told, key=lambda report: report["at"])


def test_two_stores_share_what_neither_has_whole(line: Line, rx_id: str) -> None:
    stock(line, ankang={"D032": 1000, "D048": 0}, baicao={"D032": 0, "D048": 1000})
    line.hop(rx_id)
    shares = filled(line, rx_id)
    assert sorted(shares) == [("ankang", {1: 28}), ("baicao", {2: 28})]
    assert line.status(rx_id) is Status.FULFILLING
    assert len(events(line, rx_id, Event.SHARE_CHOSEN)) == 1
    with line.city.db.reading() as session:
        placed = orders.of(session, rx_id)
    for order in placed:
        line.say(rx_id, ChainWord.HANDED_OVER, order=order)
        line.hop(rx_id)
    assert line.status(rx_id) is Status.SETTLED
    assert sorted(row.total for row in line.payer.book) == sorted(order.order.total for order in placed)
    assert line.chain("ankang").stock["D032"] == 972
    assert line.chain("baicao").stock["D048"] == 972


def test_what_needs_a_fridge_goes_only_where_it_is_kept_and_brought_cold(line: Line, rx_id: str) -> None:
    """AK01 brings it cold, BC07 keeps it cold and cannot bring it so; this is a home delivery."""
    knowledge = line.city.knowledge
    insulin = replace(knowledge.drugs["D032"], cold_chain=True)
    line.city = replace(line.city, knowledge=replace(knowledge, drugs={**knowledge.drugs, "D032": insulin}))
    stock(line, ankang={"D032": 0, "D048": 1000}, baicao={"D032": 1000, "D048": 1000})
    line.hop(rx_id)
    assert filled(line, rx_id) == []
    (waiting,) = events(line, rx_id, Event.NO_STORE)
    assert waiting["refused"] == {"incomplete": 1, "no_cold_chain": 1}
    stock(line, ankang={"D032": 28, "D048": 0})
    line.clock.advance(minutes=11)
    line.hop(rx_id)
    assert sorted(filled(line, rx_id)) == [("ankang", {1: 28}), ("baicao", {2: 28})]


def test_a_share_that_is_declined_is_sought_alone(line: Line, rx_id: str) -> None:
    stock(line, ankang={"D032": 1000, "D048": 0}, baicao={"D032": 0, "D048": 1000})
    line.hop(rx_id)
    with line.city.db.reading() as session:
        first, second = orders.of(session, rx_id)
    line.chain(first.order.chain).stock = {}
    line.say(rx_id, ChainWord.DECLINED, order=second, reason="out_of_stock")
    line.hop(rx_id)
    assert [portions for _, portions in filled(line, rx_id)][1:] == [{2: 28} if second.portions[0].line == 2 else {1: 28}] * 2
    assert filled(line, rx_id)[2][0] == first.order.chain


def test_the_patient_waits_before_there_is_a_part_and_then_gets_what_there_is(line: Line, rx_id: str) -> None:
    stock(line, ankang={"D032": 14, "D048": 0}, baicao={"D032": 0, "D048": 0})
    line.hop(rx_id)
    assert filled(line, rx_id) == []
    line.clock.advance(minutes=11)
    line.hop(rx_id)
    assert filled(line, rx_id) == [("ankang", {1: 14})]
    (chosen,) = events(line, rx_id, Event.PART_CHOSEN)
    assert chosen["portions"] == [{"line": 1, "quantity": "14"}]
    line.say(rx_id, ChainWord.HANDED_OVER)
    line.hop(rx_id)
    assert line.status(rx_id) is Status.ALLOCATING
    (told,) = events(line, rx_id, Event.PART_HANDED_OVER)
    assert told["portions"] == [{"line": 1, "quantity": "14"}, {"line": 2, "quantity": "28"}]


def part_given(line: Line, rx_id: str) -> None:
    stock(line, ankang={"D032": 14, "D048": 28}, baicao={"D032": 0, "D048": 0})
    line.hop(rx_id)
    line.clock.advance(minutes=11)
    line.hop(rx_id)
    assert filled(line, rx_id) == [("ankang", {1: 14, 2: 28})]


def test_a_stock_notice_wakes_who_waits_for_that_drug_and_the_rest_is_filled(line: Line, rx_id: str) -> None:
    part_given(line, rx_id)
    line.say(rx_id, ChainWord.HANDED_OVER)
    line.hop(rx_id)
    stock(line, ankang={"D032": 0}, baicao={"D032": 500})
    assert line.tell_stock("baicao", "D010").status == 200
    assert not due(line, rx_id), "it waits for another drug"
    assert line.tell_stock("baicao", "D010", "D032").status == 200
    assert due(line, rx_id)
    line.hop(rx_id)
    assert filled(line, rx_id) == [("ankang", {1: 14, 2: 28}), ("baicao", {1: 14})]
    line.say(rx_id, ChainWord.HANDED_OVER)
    line.hop(rx_id)
    assert line.status(rx_id) is Status.SETTLED
    assert len(line.payer.book) == 2


def due(line: Line, rx_id: str) -> bool:
    with line.city.db.reading() as session:
        wake_at = prescriptions.load(session, rx_id).wake_at
    return wake_at is not None and wake_at <= line.city.now()


def test_a_rest_that_never_comes_in_is_given_up_with_the_validity_and_the_part_is_settled(line: Line, rx_id: str) -> None:
    part_given(line, rx_id)
    line.say(rx_id, ChainWord.HANDED_OVER)
    line.hop(rx_id)
    line.clock.advance(days=4)
    line.hop(rx_id)
    assert line.status(rx_id) is Status.SETTLED
    assert events(line, rx_id, Event.GIVEN_UP) == [{"cause": "expired"}]
    claim = line.claim(rx_id)
    assert claim is not None
    assert claim.paid_for == (Portion(1, Decimal(14)), Portion(2, Decimal(28)))
    assert [(row.line, row.days_supply) for row in claim.claim.lines] == [(1, 14), (2, 28)]


def test_the_hospital_hears_of_each_order_once(line: Line, rx_id: str) -> None:
    part_given(line, rx_id)
    line.say(rx_id, ChainWord.HANDED_OVER)
    line.hop(rx_id)
    stock(line, ankang={"D032": 14})
    line.clock.advance(minutes=121)
    line.hop(rx_id)
    line.say(rx_id, ChainWord.HANDED_OVER)
    line.hop(rx_id)
    dispensed = [report["dispense"] for report in reports(line) if "dispense" in report]
    assert [[(row["line"], row["quantity"], row["days"]) for row in part["lines"]] for part in dispensed] == [  # type: ignore[index]
        [(1, "14", 14), (2, "28", 28)], [(1, "14", 14)]]


def test_pauses_grow_and_an_order_under_way_is_looked_at_in_its_own_time(line: Line, rx_id: str) -> None:
    stock(line, ankang={"D032": 0, "D048": 0}, baicao={"D032": 0, "D048": 0})
    pauses = []
    for _ in range(6):
        line.hop(rx_id)
        with line.city.db.reading() as session:
            loaded = prescriptions.load(session, rx_id)
        assert loaded.waiting_for == Wait.FILLER
        assert loaded.wake_at is not None
        pauses.append(round((loaded.wake_at - line.city.now()).total_seconds() / 60))
        line.clock.advance(minutes=pauses[-1])
    assert pauses == [10, 10, 20, 40, 80, 120]


def test_who_waits_for_the_rest_still_notices_that_the_pharmacy_does_not_answer(line: Line, rx_id: str) -> None:
    part_given(line, rx_id)
    line.clock.advance(minutes=11)
    line.hop(rx_id)
    assert filled(line, rx_id)[0] == ("ankang", {1: 14, 2: 28})
    with line.city.db.reading() as session:
        assert orders.of(session, rx_id)[0].ended_at is not None, "its order was taken back"


@pytest.mark.parametrize(("sent", "status"), [("as it was", 401), ("again, signed anew", 200)])
def test_a_stock_notice_that_comes_twice_does_no_harm(line: Line, rx_id: str, sent: str, status: int) -> None:
    first = line.tell_stock("ankang", "D032")
    assert first.status == 200
    if sent == "again, signed anew":
        assert line.tell_stock("ankang", "D032").status == status
        return
    body = b'{"event_id": "e", "store": "F01", "drugs": ["D032"]}'
    chain, now = line.chain("ankang"), line.city.now()
    headers = chain.headers(body, now, nonce="nonce-00000000000000000099")
    answers = [line.send_stock("ankang", body, headers).status for _ in range(2)]
    assert answers == [200, status]


def test_a_notice_wakes_the_first_few_and_each_that_is_served_wakes_the_next(line: Line, rx_id: str) -> None:
    stock(line, ankang={"D032": 0}, baicao={"D032": 0})
    ids = [rx_id]
    for number in range(2, 9):
        line.clock.advance(minutes=1)
        answer = receive_prescription(line.city, HOSPITAL, four_weeks(number))
        ids.append(json.loads(answer.body)["identifier"][0]["value"])
        line.hop(ids[-1])
        line.review(ids[-1])
    for number in ids:
        line.hop(number)
    waiting = [number for number in ids if line.status(number) is Status.ALLOCATING]
    assert len(waiting) == len(ids)
    assert not any(due(line, number) for number in waiting)
    line.chain("baicao").stock = {"D032": Decimal(28)}
    line.tell_stock("baicao", "D032")
    first = [number for number in waiting if due(line, number)]
    assert first == waiting[:FIRST_WOKEN]
    line.hop(first[0])
    assert [number for number in waiting if due(line, number)] == waiting[1:FIRST_WOKEN + NEXT_WOKEN]

"""An order goes forward only, and its parcel and its returns with it."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from domain.chains import ChainWord as O
from domain.errors import StaleStatus
from domain.events import Event
from domain.fulfilment.orders import OrderStatus, Placed
from domain.fulfilment.parcels import ParcelStatus
from domain.fulfilment.portions import by_line
from domain.fulfilment.returns import ReturnStatus
from domain.lifecycle import Status
from domain.prescription import PatientFacts, Sex
from infra.db import Database, Session, effects, history, orders
from infra.db.effects import Effect
from infra.db.rows import OrderRow
from tests.support.factories import item
from tests.support.records import MINUTE, NOW, admitted, at_once, is_open, make_order, order

DAY = timedelta(days=1)


@pytest.fixture
def ord_id(db: Database) -> str:
    head = admitted(db, items=(item("D001", 1), item("D010", 2)))
    with db.transaction() as session:
        return make_order(session, head.id)


def rx_of(db: Database, ord_id: str) -> str:
    with db.reading() as session:
        return session.get_one(OrderRow, ord_id).prescription_id


def advance(db: Database, ord_id: str, to: O, *returned: int, reason: str = "") -> bool:
    with db.transaction() as session:
        return orders.advance(session, seen(session, ord_id), to, at=NOW + MINUTE, reason=reason, returned=returned)


def seen(session: Session, ord_id: str) -> Placed:
    placed = orders.get(session, ord_id)
    assert placed is not None
    return placed


def now(db: Database, ord_id: str) -> Placed:
    with db.reading() as session:
        return seen(session, ord_id)


def lines_kept(db: Database, ord_id: str) -> tuple[int, ...]:
    return tuple(by_line(now(db, ord_id).kept))


def test_an_order_is_kept_without_its_secrets(db: Database) -> None:
    from dataclasses import replace
    head = admitted(db)
    whole = replace(order(head.id), claim_secret="secret", recipient={"name": "x"})
    with db.transaction() as session:
        made = orders.make(session, whole, attempt=1, sealed=b"sealed", ranking=[], at=NOW)
    placed = now(db, whole.id)
    assert placed == made
    assert placed.order == order(head.id)
    assert (placed.status, placed.sealed, placed.attempt) == (OrderStatus.HELD, b"sealed", 1)


@pytest.mark.parametrize("start", list(O))
@pytest.mark.parametrize("to", list(O))
def test_an_order_is_stored_as_far_as_its_chain_has_said(db: Database, ord_id: str, start: O, to: O) -> None:
    """What a word changes is decided in `domain.fulfilment.orders`, and tested there."""
    for word in (O.HANDED_OVER, O.RETURNED) if start is O.RETURNED else (start,):
        advance(db, ord_id, word, *([1] if word is O.RETURNED else []))
    before = now(db, ord_id)
    assert before.word is start
    moved = advance(db, ord_id, to, *([2] if to is O.RETURNED else []))
    assert (now(db, ord_id) != before) is moved
    assert now(db, ord_id).word is (to if moved else start)


def test_a_parcel_exists_from_the_first_word_about_it_on(db: Database, ord_id: str) -> None:
    advance(db, ord_id, O.ACCEPTED)
    assert now(db, ord_id).parcels == ()
    seen_as = []
    for word in (O.PREPARED, O.IN_DELIVERY, O.HANDED_OVER):
        advance(db, ord_id, word)
        (parcel,) = now(db, ord_id).parcels
        seen_as.append((now(db, ord_id).status, parcel.status, parcel.portions, parcel.handed_over_at))
    portions = now(db, ord_id).portions
    assert seen_as == [
        (OrderStatus.PREPARED, ParcelStatus.PACKED, portions, None),
        (OrderStatus.PREPARED, ParcelStatus.ON_THE_WAY, portions, None),
        (OrderStatus.COMPLETED, ParcelStatus.HANDED_OVER, portions, NOW + MINUTE)]


def test_returns_add_up_and_a_repeated_one_changes_nothing(db: Database, ord_id: str) -> None:
    advance(db, ord_id, O.HANDED_OVER)
    assert now(db, ord_id).handed_over_at == NOW + MINUTE
    assert lines_kept(db, ord_id) == (1, 2)
    assert advance(db, ord_id, O.RETURNED, 2, reason="quality")
    assert lines_kept(db, ord_id) == (1,)
    assert not advance(db, ord_id, O.RETURNED, 2)
    assert not advance(db, ord_id, O.RETURNED, 7), "a line the order does not have"
    assert advance(db, ord_id, O.RETURNED, 1, 2)
    assert lines_kept(db, ord_id) == ()
    assert [(back.number, tuple(by_line(back.portions)), back.reason, back.status) for back in now(db, ord_id).returns] == [
        (1, (2,), "quality", ReturnStatus.BROUGHT_BACK), (2, (1,), "", ReturnStatus.BROUGHT_BACK)]


def test_what_came_back_is_refunded_once_the_claim_leaves_it_out(db: Database, ord_id: str) -> None:
    advance(db, ord_id, O.HANDED_OVER)
    advance(db, ord_id, O.RETURNED, 2)
    with db.transaction() as session:
        orders.refunded(session, seen(session, ord_id), NOW)
    advance(db, ord_id, O.RETURNED, 1)
    assert [back.status for back in now(db, ord_id).returns] == [ReturnStatus.REFUNDED, ReturnStatus.BROUGHT_BACK]


def test_a_return_without_lines_takes_nothing_back(db: Database, ord_id: str) -> None:
    advance(db, ord_id, O.HANDED_OVER)
    assert not advance(db, ord_id, O.RETURNED)
    assert lines_kept(db, ord_id) == (1, 2)


def test_two_returns_at_once_are_both_kept_or_one_is_told_to_look_again(db: Database, ord_id: str) -> None:
    advance(db, ord_id, O.HANDED_OVER)
    outcomes = at_once(lambda: advance(db, ord_id, O.RETURNED, 1), lambda: advance(db, ord_id, O.RETURNED, 2))
    refused = sum(isinstance(outcome, StaleStatus) for outcome in outcomes)
    assert outcomes.count(True) + refused == 2
    assert len(lines_kept(db, ord_id)) == refused


def test_an_end_without_medicine_has_a_time_and_a_reason(db: Database, ord_id: str) -> None:
    advance(db, ord_id, O.DECLINED, reason="out_of_stock")
    placed = now(db, ord_id)
    assert (placed.ended_at, placed.reason, placed.handed_over_at) == (NOW + MINUTE, "out_of_stock", None)


@pytest.mark.parametrize(("to", "still_open"), [(O.ACCEPTED, {"place", "cancel"}), (O.HANDED_OVER, {"place"}),
                                                (O.DECLINED, set()), (O.CANCELLED, set())])
def test_the_end_of_an_order_answers_what_we_did_not_hear(
        db: Database, ord_id: str, to: O, still_open: set[str]) -> None:
    rx_id = rx_of(db, ord_id)
    asked = {"place": Effect(rx_id, "place", ord_id), "cancel": Effect(rx_id, "cancel", f"{ord_id}:cancelled")}
    with db.transaction() as session:
        for effect in asked.values():
            effects.intend(session, effect, partner="ankang", request_sha256="x", at=NOW)
    advance(db, ord_id, to)
    with db.reading() as session:
        assert {step for step, effect in asked.items() if is_open(session, effect)} == still_open


def test_two_words_at_once_end_in_one_status_and_no_step_is_lost(db: Database, ord_id: str) -> None:
    found = at_once(lambda: advance(db, ord_id, O.CANCELLED), lambda: advance(db, ord_id, O.HANDED_OVER))
    # The other one came later and found no step forward, or came at the same time and must look again.
    assert sum(one is True for one in found) == 1
    assert all(one is True or one is False or isinstance(one, StaleStatus) for one in found), found
    assert now(db, ord_id).word is (O.CANCELLED if found[0] is True else O.HANDED_OVER)


def test_a_word_that_was_decided_on_an_older_status_is_stale(postgres_db: Database) -> None:
    db, head = postgres_db, admitted(postgres_db)
    with db.transaction() as session:
        ord_id = make_order(session, head.id)
    old = now(db, ord_id)
    advance(db, ord_id, O.CANCELLED)
    with pytest.raises(StaleStatus), db.transaction() as session:
        orders.advance(session, old, O.HANDED_OVER, at=NOW)


@pytest.mark.parametrize("already", [False, True])
def test_terms_are_kept_even_if_the_chain_has_said_more_by_then(db: Database, ord_id: str, already: bool) -> None:
    if already:
        advance(db, ord_id, O.ACCEPTED)
    terms = orders.OrderTerms(order("rx_x").total, "AK-1", accept_by=NOW, fulfil_by=NOW + MINUTE)
    with db.transaction() as session:
        moved = orders.advance(session, seen(session, ord_id), O.ORDERED, at=NOW, terms=terms)
    placed = now(db, ord_id)
    assert (moved, placed.word) == ((False, O.ACCEPTED) if already else (True, O.ORDERED))
    assert (placed.order.patient_due, placed.accept_by, placed.fulfil_by) == (2000, NOW, NOW + MINUTE)


def test_attempts_come_in_order_and_have_each_number_once(db: Database, ord_id: str) -> None:
    rx_id = rx_of(db, ord_id)
    with db.transaction() as session:
        for attempt in (10, 2):
            make_order(session, rx_id, attempt)
    with db.reading() as session:
        assert [placed.attempt for placed in orders.of(session, rx_id)] == [1, 2, 10]
    with pytest.raises(sa.exc.IntegrityError), db.transaction() as session:
        make_order(session, rx_id, 2)


def test_shares_are_of_what_was_handed_over_in_that_time(db: Database, ord_id: str) -> None:
    with db.reading() as session:
        assert orders.shares(session, NOW, NOW + 2 * MINUTE) == {}
    advance(db, ord_id, O.HANDED_OVER)
    with db.reading() as session:
        assert orders.shares(session, NOW, NOW + 2 * MINUTE) == {"ankang/AK01": Decimal(1)}
        assert orders.shares(session, NOW, NOW + MINUTE) == {}


def test_shares_of_a_time_that_is_over_are_counted_once(db: Database, ord_id: str) -> None:
    advance(db, ord_id, O.HANDED_OVER)
    with db.reading() as session:
        assert orders.shares(session, NOW - MINUTE, NOW) == {}
        handed_over = sa.select(OrderRow.handed_over_at).where(OrderRow.id == ord_id)
        assert session.scalar(handed_over) >= NOW
    with db.transaction() as session:
        session.execute(sa.update(OrderRow).values(handed_over_at=NOW - MINUTE))
    with db.reading() as session:
        assert orders.shares(session, NOW - MINUTE, NOW) == {}, "the answer that was kept"
        assert orders.shares(session, NOW - MINUTE, NOW + 2 * MINUTE) == {"ankang/AK01": Decimal(1)}, "another time"


def test_a_hold_of_a_prescription_that_is_over_is_an_orphan(db: Database, ord_id: str) -> None:
    def found() -> list[str]:
        with db.reading() as session:
            return [placed.id for placed in orders.orphan_holds(session, NOW + MINUTE, ["cancelled"])]

    assert found() == []
    with db.transaction() as session:
        from infra.db import prescriptions
        head = prescriptions.load(session, rx_of(db, ord_id)).head
        history.append(session, head, to=Status.CANCELLED, actor="-", event=Event.CLOSED, at=NOW, wake_at=None)
    assert found() == [ord_id]
    with db.reading() as session:
        assert orders.orphan_holds(session, NOW, ["cancelled"]) == [], "it may just be being let go"
    advance(db, ord_id, O.CANCELLED)
    assert found() == []


def handed_over(db: Database, number: int, drug: str, *, at: datetime, person: str = "p_1", lines: int = 1) -> str:
    """Prescription `RX<number>` of a person, of that drug on each line, handed over then."""
    head = admitted(db, number, items=tuple(item(drug, line, quantity=Decimal(10)) for line in range(1, lines + 1)),
                    patient=PatientFacts(person, Sex.MALE, 744))
    with db.transaction() as session:
        ord_id = make_order(session, head.id, lines=lines, at=at)
        orders.advance(session, seen(session, ord_id), O.HANDED_OVER, at=at)
    return ord_id


def kept(db: Database, *, person: str = "p_1", since: datetime = NOW - 400 * DAY, besides: str = ""
         ) -> list[tuple[str, datetime, int]]:
    with db.reading() as session:
        return [(one.drug, one.at, one.days_supply) for one in orders.dispensed(session, person, since=since, besides=besides)]


def test_what_a_person_was_handed_over_is_told_oldest_first_and_of_nobody_else(db: Database) -> None:
    handed_over(db, 1, "D032", at=NOW)
    handed_over(db, 2, "D001", at=NOW - 40 * DAY)
    handed_over(db, 3, "D048", at=NOW, person="p_2")
    undelivered = admitted(db, 4, patient=PatientFacts("p_1", Sex.MALE, 744))
    with db.transaction() as session:
        make_order(session, undelivered.id)
    assert kept(db) == [("D001", NOW - 40 * DAY, 30), ("D032", NOW, 28)]
    assert kept(db, since=NOW - 40 * DAY) == kept(db)
    assert [drug for drug, *_ in kept(db, since=NOW - 39 * DAY)] == ["D032"]
    assert kept(db, person="p_3") == []


def test_a_prescription_is_not_its_own_history(db: Database) -> None:
    ord_id = handed_over(db, 1, "D032", at=NOW)
    assert kept(db, besides=rx_of(db, ord_id)) == []


def test_what_was_brought_back_was_not_kept(db: Database) -> None:
    ord_id = handed_over(db, 1, "D032", at=NOW, lines=2)
    advance(db, ord_id, O.RETURNED, 2)
    assert [drug for drug, *_ in kept(db)] == ["D032"]
    advance(db, ord_id, O.RETURNED, 1)
    assert kept(db) == []

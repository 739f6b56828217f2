"""Two orders never hold the last pack, and a shelf is the sum of its moves."""

import threading
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.chains import ChainWord, PharmacyOrder
from domain.errors import Refused
from infra.db import Database, counter
from tests.support.partner_examples import order as example
from tests.support.records import NOW

HALF_AN_HOUR = timedelta(minutes=30)


def order(id: str, quantity: int = 60) -> PharmacyOrder:
    line = replace(example().lines[0], quantity=Decimal(quantity))
    return replace(example(), id=id, chain="linli", store="LL01", lines=(line,))


def stock(db: Database, quantity: int) -> None:
    with db.transaction() as session:
        counter.count(session, "linli", "LL01", "D001", Decimal(quantity), by="S001", at=NOW)


def hold(db: Database, id: str, quantity: int = 60, at: datetime = NOW) -> str:
    try:
        with db.transaction() as session:
            return counter.hold(session, order(id, quantity), lambda: at, lambda now: now + HALF_AN_HOUR).word
    except Refused as no:
        return no.code


def free(db: Database, at: datetime = NOW) -> Decimal:
    with db.reading() as session:
        (shelf,) = counter.stocked(session, "linli", at, store="LL01")
        return shelf.available


def while_another_holds(db: Database, id: str, other: str) -> str:
    """What the second of two gets that want the same while the first is at it."""
    answers: list[str] = []
    second = threading.Thread(target=lambda: answers.append(hold(db, other)))
    with db.transaction() as session:
        counter.hold(session, order(id), lambda: NOW, lambda now: now + HALF_AN_HOUR)
        second.start()
        second.join(0.5)
        assert answers == [], "it must wait for the first one's end"
    second.join(30)
    return answers[0]


def test_two_orders_never_hold_the_last_pack(db: Database) -> None:
    stock(db, 60)
    assert while_another_holds(db, "ord_a_1", "ord_b_1") == "out_of_stock"
    assert free(db) == 0


def test_two_who_hold_for_one_order_hold_once(db: Database) -> None:
    stock(db, 120)
    assert while_another_holds(db, "ord_a_1", "ord_a_1") == "held"
    assert free(db) == 60


def test_whoever_orders_in_time_keeps_the_goods_and_whoever_is_late_does_not(db: Database) -> None:
    stock(db, 60)
    over = NOW + HALF_AN_HOUR
    assert hold(db, "ord_a_1") == "held"
    assert hold(db, "ord_b_1", at=over - timedelta(seconds=1)) == "out_of_stock"
    assert hold(db, "ord_b_1", at=over) == "held"
    with pytest.raises(Refused), db.transaction() as session:
        counter.place(session, "ord_a_1", lambda: over)
    with db.transaction() as session:
        assert counter.place(session, "ord_b_1", lambda: over).word is ChainWord.ORDERED


def test_an_order_that_is_placed_while_another_takes_the_goods_of_its_hold_is_too_late(db: Database) -> None:
    stock(db, 60)
    over = NOW + HALF_AN_HOUR
    hold(db, "ord_a_1")
    clock, answers = [NOW], []

    def place() -> None:
        try:
            with db.transaction() as session:
                answers.append(str(counter.place(session, "ord_a_1", lambda: clock[0]).word))
        except Refused as no:
            answers.append(no.code)

    late = threading.Thread(target=place)
    with db.transaction() as session:
        counter.hold(session, order("ord_b_1"), lambda: over, lambda now: now + HALF_AN_HOUR)
        late.start()
        late.join(0.5)
        clock[0] = over
    late.join(30)
    assert answers == ["hold_expired"]


def test_of_two_words_said_at_once_one_counts(db: Database) -> None:
    stock(db, 60)
    hold(db, "ord_a_1")
    with db.transaction() as session:
        assert counter.say(session, "ord_a_1", ChainWord.CANCELLED, before=counter.CANCELLABLE, at=NOW)
        assert not counter.say(session, "ord_a_1", ChainWord.HANDED_OVER, before=(ChainWord.PREPARED,), at=NOW)


def test_a_count_is_the_truth_and_what_is_handed_over_leaves_the_shelf(db: Database) -> None:
    stock(db, 100)
    hold(db, "ord_a_1")
    with db.transaction() as session:
        counter.place(session, "ord_a_1", lambda: NOW)
        kept = counter.get(session, "ord_a_1")
        assert kept is not None
        counter.hand_over(session, kept, by="S001", at=NOW)
        counter.say(session, "ord_a_1", ChainWord.HANDED_OVER, before=counter.UNDER_WAY, at=NOW)
    assert free(db) == 40
    stock(db, 38)
    assert free(db) == 38
    with db.transaction() as session:
        counter.receive(session, "linli", "LL01", "D001", Decimal("0.5"), by="S001", at=NOW)
        assert counter.moves(session, "linli", "LL01") == {"D001": Decimal("38.5")}
    assert free(db) == Decimal("38.5")


STEPS = st.lists(st.tuples(st.sampled_from(["hold", "place", "cancel", "hand_over", "decline", "wait", "receive", "count"]),
                           st.integers(1, 4)), max_size=40)


@given(STEPS)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_a_shelf_is_the_sum_of_its_moves_and_no_more_is_promised_than_there_is(
        migrated_file, tmp_path_factory, steps) -> None:
    """Without counts that find less than was promised: those a person has to answer for."""
    file = tmp_path_factory.mktemp("shelf") / "sanyi.db"
    file.write_bytes(migrated_file.read_bytes())
    db, now = Database(f"sqlite:///{file}"), NOW
    stock(db, 100)
    for step, number in steps:
        id = f"ord_{number}_1"
        with db.transaction() as session:
            kept = counter.get(session, id)
        if step == "hold":
            hold(db, id, 40, at=now)
        elif step == "wait":
            now += timedelta(minutes=10 * number)
        elif step == "receive":
            with db.transaction() as session:
                counter.receive(session, "linli", "LL01", "D001", Decimal(number), by="S001", at=now)
        elif step == "count":
            with db.transaction() as session:
                (shelf,) = counter.stocked(session, "linli", now, store="LL01")
                counter.count(session, "linli", "LL01", "D001", shelf.needed + number, by="S001", at=now)
        elif kept is not None:
            act(db, step, kept, now)
        with db.reading() as session:
            (shelf,) = counter.stocked(session, "linli", now, store="LL01")
            assert counter.moves(session, "linli", "LL01") == {"D001": shelf.quantity}
        assert 0 <= shelf.needed <= shelf.quantity
    db.close()


def act(db: Database, step: str, kept: counter.Kept, now: datetime) -> None:
    try:
        with db.transaction() as session:
            if step == "place":
                counter.place(session, kept.order_id, lambda: now)
            elif step == "cancel":
                counter.say(session, kept.order_id, ChainWord.CANCELLED, before=counter.CANCELLABLE, at=now)
            elif step == "decline":
                counter.say(session, kept.order_id, ChainWord.DECLINED, before=counter.UNDER_WAY, at=now)
            elif counter.say(session, kept.order_id, ChainWord.HANDED_OVER, before=counter.UNDER_WAY, at=now):
                counter.hand_over(session, kept, by="S001", at=now)
    except Refused:
        assert step == "place"

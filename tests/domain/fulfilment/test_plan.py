"""What the platform owes next: a table of situations, each with its moves or its next look."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from domain.chains import ChainWord as W
from domain.claims import Claimed
from domain.events import Wait
from domain.fulfilment.orders import Placed
from domain.fulfilment.plan import (
    CANCELLED,
    EXPIRED,
    NO_ANSWER,
    Answer,
    End,
    GiveUp,
    LeaveUnanswered,
    Move,
    Pause,
    Pending,
    Place,
    Plan,
    Reach,
    RefuseWish,
    Reverse,
    Seek,
    Settle,
    Situation,
    Withdraw,
    next_moves,
)
from domain.fulfilment.portions import Portion
from domain.fulfilment.wishes import Wish, WishAnswer, WishKind
from domain.lifecycle import Money, Status
from tests.domain.fulfilment.cases import MINUTE, NOW, claimed, confirmed, order, said, settled
from tests.support.factories import CITY, item, rx

DAY = timedelta(days=1)
FIRST, SECOND = Portion(1, Decimal(28)), Portion(2, Decimal(10))
BOTH = (FIRST, SECOND)
RX = replace(rx(), items=(item("D001", 1, quantity=Decimal(28)), item("D010", 2, quantity=Decimal(10))), issued_at=NOW,
             valid_until=NOW + 3 * DAY)
LATER = NOW + CITY.ask_again_after


def wish(answer: WishAnswer = WishAnswer.OPEN, kind: WishKind = WishKind.CANCEL, *portions: Portion) -> Wish:
    return Wish(7, kind, "hospital:a", "patient", NOW, answer, portions or None)


def planned(status: Status, orders: Sequence[Placed] = (), *claims: Claimed, wishes: Sequence[Wish] = (),
            pending: Sequence[Pending] = (), at: datetime = NOW) -> Plan:
    return next_moves(Situation(RX, status, orders, {claim.order_id: claim for claim in claims}, wishes, pending), at, CITY)


def moves(*given: object, **more: object) -> tuple[Move, ...]:
    return planned(*given, **more).moves  # type: ignore[arg-type]


A, F = Status.ALLOCATING, Status.FULFILLING
HELD, ORDERED = order(1, *BOTH), confirmed(order(1, *BOTH))
ACCEPTED, DONE = said(ORDERED, W.ACCEPTED), said(ORDERED, W.HANDED_OVER)
DECLINED = said(ORDERED, W.DECLINED)


@pytest.mark.parametrize(("status", "orders", "expected"), [
    (A, [], Seek(BOTH)),
    (A, [said(HELD, W.DECLINED)], Seek(BOTH)),
    (A, [HELD], Place("ord_x_1")),
    (A, [said(HELD, W.ACCEPTED)], Place("ord_x_1")),
    (A, [said(HELD, W.HANDED_OVER)], Place("ord_x_1")),
    (F, [DECLINED], Reach(A, "ord_x_1")),
    (F, [DONE], Reach(Status.FULFILLED, "ord_x_1")),
    (F, [said(DONE, W.RETURNED, lines=(1,))], Reach(Status.FULFILLED, "ord_x_1")),
    (A, [confirmed(said(order(1, FIRST), W.HANDED_OVER))], Seek((SECOND,))),
    (F, [confirmed(order(1, FIRST)), confirmed(said(order(2, SECOND), W.DECLINED))], Seek((SECOND,))),
    (F, [confirmed(order(1, FIRST)), order(2, SECOND)], Place("ord_x_2")),
    (A, [confirmed(said(order(1, Portion(1, Decimal(14))), W.HANDED_OVER))], Seek((Portion(1, Decimal(14)), SECOND))),
])
def test_an_order_is_sought_placed_and_followed(status: Status, orders: list[Placed], expected: Move) -> None:
    assert moves(status, orders) == (expected,)


@pytest.mark.parametrize(("status", "orders", "at", "expected"), [
    (F, [ORDERED], NOW, (ORDERED.accept_by, Wait.ACCEPTANCE)),
    (F, [ACCEPTED], NOW, (ACCEPTED.fulfil_by, Wait.RECEIPT)),
    (F, [said(ORDERED, W.IN_DELIVERY)], NOW + 20 * MINUTE, (ORDERED.fulfil_by, Wait.RECEIPT)),
    (F, [confirmed(order(1, FIRST)), said(confirmed(order(2, SECOND)), W.ACCEPTED)], NOW, (NOW + 10 * MINUTE, Wait.ACCEPTANCE)),
])
def test_what_is_under_way_is_looked_at_again_in_time(status: Status, orders: list[Placed], at: datetime,
                                                      expected: tuple[datetime, Wait]) -> None:
    plan = planned(status, orders, at=at)
    assert (plan.moves, (plan.wake_at, plan.wait)) == ((), expected)


OVERDUE = Withdraw("ord_x_1", NO_ANSWER, Pause(NOW + 10 * MINUTE + CITY.ask_again_after, Wait.ACCEPTANCE_OVERDUE))


@pytest.mark.parametrize(("status", "orders", "at", "expected"), [
    (F, [ORDERED], NOW + 10 * MINUTE, OVERDUE),
    (F, [ACCEPTED], NOW + DAY, Withdraw("ord_x_1", EXPIRED, Pause(NOW + DAY + CITY.ask_again_after, Wait.RECEIPT_OVERDUE))),
    (F, [said(ORDERED, W.CANCELLED, reason=EXPIRED)], NOW + DAY, End(Status.EXPIRED)),
    (F, [said(ORDERED, W.CANCELLED, reason=NO_ANSWER)], NOW + DAY, Reach(A, "ord_x_1")),
    (A, [HELD], RX.valid_until, Withdraw("ord_x_1", EXPIRED, None)),
    (A, [], RX.valid_until, End(Status.EXPIRED)),
    (A, [confirmed(said(order(1, FIRST), W.HANDED_OVER))], RX.valid_until, GiveUp(EXPIRED)),
    (F, [said(confirmed(order(1, FIRST)), W.IN_DELIVERY, at=NOW)], NOW + 3 * MINUTE, Seek((SECOND,))),
])
def test_time_runs_out(status: Status, orders: list[Placed], at: datetime, expected: Move) -> None:
    assert moves(status, orders, at=at) == (expected,)


def refused(reason: str) -> Pending:
    return Pending("cancel", "ord_x_1", reason, answered=True)


PARTIAL = wish(WishAnswer.OPEN, WishKind.CANCEL, SECOND)


@pytest.mark.parametrize(("status", "orders", "wishes", "pending", "expected"), [
    (A, [], [wish()], [], End(Status.CANCELLED)),
    (A, [HELD], [wish()], [], Withdraw("ord_x_1", CANCELLED, None)),
    (A, [HELD], [wish()], [refused(CANCELLED)], Place("ord_x_1")),
    (A, [HELD], [wish(WishAnswer.REFUSED)], [], Place("ord_x_1")),
    (F, [ORDERED], [wish()], [], Withdraw("ord_x_1", CANCELLED, RefuseWish())),
    (F, [ACCEPTED], [wish()], [refused(CANCELLED)], Withdraw("ord_x_1", CANCELLED, RefuseWish())),
    (F, [ACCEPTED], [wish(WishAnswer.UNANSWERED)], [], Withdraw("ord_x_1", CANCELLED, RefuseWish())),
    (A, [HELD], [wish(WishAnswer.UNANSWERED)], [], Withdraw("ord_x_1", CANCELLED, None)),
    (A, [said(HELD, W.CANCELLED)], [wish(WishAnswer.UNANSWERED)], [], End(Status.CANCELLED)),
    (F, [DECLINED], [wish()], [], End(Status.CANCELLED, "ord_x_1")),
    (F, [DECLINED], [wish(WishAnswer.REFUSED)], [], End(Status.CANCELLED, "ord_x_1")),
    (F, [DONE], [wish()], [], Reach(Status.FULFILLED, "ord_x_1")),
    (F, [ORDERED], [wish(WishAnswer.OPEN, WishKind.RETURN)], [], None),
    (A, [confirmed(said(order(1, FIRST), W.HANDED_OVER))], [wish()], [], GiveUp(CANCELLED)),
    (F, [confirmed(order(1, FIRST)), said(confirmed(order(2, SECOND)), W.DECLINED)], [PARTIAL], [], GiveUp(CANCELLED)),
    (F, [confirmed(order(1, FIRST)), confirmed(order(2, SECOND))], [PARTIAL], [],
     Withdraw("ord_x_2", CANCELLED, RefuseWish())),
    (A, [confirmed(said(order(1, FIRST), W.HANDED_OVER))], [wish(WishAnswer.GRANTED)], [], Reach(Status.FULFILLED, "ord_x_1")),
])
def test_a_wish_to_cancel_gets_its_answer(status: Status, orders: list[Placed], wishes: list[Wish], pending: list[Pending],
                                          expected: Move | None) -> None:
    assert moves(status, orders, wishes=wishes, pending=pending) == ((expected,) if expected else ())


SOON, BY = NOW + timedelta(seconds=5), NOW + CITY.answer_cancel_within


@pytest.mark.parametrize(("wishes", "answered", "again_at", "at", "expected"), [
    ([wish()], False, SOON, NOW, SOON),
    ([wish()], False, BY + DAY, NOW, BY),
    ([wish()], False, BY + DAY, BY - timedelta(seconds=1), BY),
    ([wish()], False, BY + DAY, BY, LeaveUnanswered("ord_x_1")),
    ([wish()], False, None, BY, Withdraw("ord_x_1", CANCELLED, RefuseWish())),
    ([wish()], True, None, BY + DAY, Withdraw("ord_x_1", CANCELLED, RefuseWish())),
    ([wish(WishAnswer.UNANSWERED)], False, BY + DAY, BY, BY + DAY),
    ([wish(WishAnswer.UNANSWERED), wish()], False, BY + DAY, BY, LeaveUnanswered("ord_x_1")),
])
def test_who_wishes_to_cancel_is_told_in_time_that_the_pharmacy_does_not_answer(
        wishes: list[Wish], answered: bool, again_at: datetime | None, at: datetime, expected: Move | datetime) -> None:
    effect = Pending("cancel", "ord_x_1", CANCELLED, answered=answered, again_at=again_at, attempts=1, trouble="Transient:down")
    plan = planned(F, [ACCEPTED], wishes=wishes, pending=[effect], at=at)
    assert plan == (Plan((), expected, None) if isinstance(expected, datetime) else Plan((expected,)))


BACK = said(DONE, W.RETURNED, lines=(1,))
WHOLE = said(DONE, W.RETURNED, lines=(1, 2))
OTHER = said(confirmed(order(2, SECOND)), W.HANDED_OVER)
PART = said(confirmed(order(1, FIRST)), W.HANDED_OVER)
S = Status.SETTLED


@pytest.mark.parametrize(("status", "orders", "claims", "expected"), [
    (Status.FULFILLED, [DONE], [], Settle("ord_x_1", last=True)),
    (Status.FULFILLED, [DONE], [claimed(DONE)], Settle("ord_x_1", last=True)),
    (Status.FULFILLED, [BACK], [claimed(DONE)], Settle("ord_x_1", last=True)),
    (Status.FULFILLED, [BACK], [settled(DONE)], Reverse("ord_x_1")),
    (Status.FULFILLED, [BACK], [replace(settled(DONE), reversed=True)], Settle("ord_x_1", last=True)),
    (Status.FULFILLED, [WHOLE], [replace(settled(DONE), reversed=True)], Reach(S, "ord_x_1")),
    (Status.FULFILLED, [DONE], [settled(DONE)], Reach(S, "ord_x_1")),
    (S, [BACK], [settled(DONE)], Reach(Status.FULFILLED, "ord_x_1")),
    (S, [BACK], [settled(DONE, BACK.kept)], None),
    (S, [DONE], [settled(DONE)], None),
])
def test_claims_follow_what_the_patient_has(status: Status, orders: list[Placed], claims: list[Claimed],
                                                expected: Move | None) -> None:
    assert moves(status, orders, *claims) == ((expected,) if expected else ())


def test_each_order_has_a_claim_of_its_own_and_the_last_one_settles_the_prescription() -> None:
    assert moves(Status.FULFILLED, [PART, OTHER], claimed(PART), claimed(OTHER)) == (
        Settle("ord_x_1", last=False), Settle("ord_x_2", last=False))
    assert moves(Status.FULFILLED, [PART, OTHER], settled(PART), claimed(OTHER)) == (Settle("ord_x_2", last=True),)
    back = said(PART, W.RETURNED, lines=(1,))
    assert moves(S, [back, OTHER], settled(PART), settled(OTHER)) == (Reach(Status.FULFILLED, "ord_x_1"),)
    assert moves(Status.FULFILLED, [back, OTHER], settled(PART), settled(OTHER)) == (Reverse("ord_x_1"),), "the other is left alone"


def test_after_the_return_window_and_the_days_reconciliation_it_is_closed() -> None:
    over = NOW + CITY.return_window
    assert planned(S, [DONE], settled(DONE)) == Plan((), over, Wait.RETURN_WINDOW)
    assert planned(S, [DONE], settled(DONE), at=over) == Plan((), over + CITY.look_for_reconciliation, Wait.RECONCILIATION)
    assert moves(S, [DONE], settled(DONE, status=Money.RECONCILED), at=over) == (End(Status.CLOSED),)
    late = said(confirmed(order(2, SECOND)), W.HANDED_OVER, at=NOW + 30 * MINUTE)
    assert planned(S, [PART, late], settled(PART), settled(late), at=over).wake_at == over + 30 * MINUTE, "the last handover counts"


def test_back_off_belongs_to_the_effect_and_delays_only_its_own_order() -> None:
    until = NOW + 5 * MINUTE
    dead, other = order(1, FIRST), order(2, SECOND)
    assert moves(A, [dead, other]) == (Place("ord_x_1"), Place("ord_x_2"))
    fails = [Pending("hold", "ord_x_1", again_at=until, attempts=3, trouble="Transient:timeout")]
    assert moves(A, [dead, other], pending=fails) == (Place("ord_x_2"),)
    alone = planned(A, [order(1, *BOTH)], pending=fails)
    assert alone == Plan((), until, None)
    assert planned(F, [dead, confirmed(other)], pending=fails) == Plan((), until, None)
    assert moves(A, [dead, other], pending=fails, at=until) == (Place("ord_x_1"), Place("ord_x_2"))
    assert moves(A, [order(1, *BOTH)], pending=fails, wishes=[wish()]) == (Withdraw("ord_x_1", CANCELLED, None),), "another effect"
    settle = [Pending("settle", "ord_x_1", again_at=until)]
    assert moves(Status.FULFILLED, [PART, OTHER], claimed(PART), claimed(OTHER), pending=settle) == (Settle("ord_x_2", last=False),)
    assert planned(Status.FULFILLED, [DONE], claimed(DONE), pending=settle) == Plan((), until, None)


def test_a_withdrawal_that_nobody_heard_of_is_finished_first() -> None:
    unknown = [Pending("cancel", "ord_x_1", NO_ANSWER)]
    assert moves(F, [ACCEPTED], pending=unknown) == (Withdraw("ord_x_1", NO_ANSWER, Pause(LATER, Wait.ACCEPTANCE_OVERDUE)),)


@pytest.mark.parametrize(("kept", "at", "expected"), [
    (said(DONE, W.RETURNED, lines=(1,)), NOW, WishAnswer.GRANTED),
    (DONE, NOW, None),
    (said(DONE, W.RETURNED, lines=(2,)), NOW + CITY.return_window, WishAnswer.REFUSED),
])
def test_a_wish_to_return_is_granted_once_it_is_back_and_refused_after_the_window(
        kept: Placed, at: datetime, expected: WishAnswer | None) -> None:
    wishes = [wish(WishAnswer.OPEN, WishKind.RETURN, FIRST)]
    planned_moves = moves(S, [kept], settled(kept, kept.kept), wishes=wishes, at=at)
    assert planned_moves == ((Answer(7, expected),) if expected else ())


@pytest.mark.parametrize("status", [status for status in Status if status not in (A, F, Status.FULFILLED, S)])
def test_elsewhere_nothing_is_planned(status: Status) -> None:
    assert planned(status) == Plan()

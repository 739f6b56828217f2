"""What the platform owes a reviewed prescription now: a pure decision over its orders, claims and wishes. `tasks` carries it out.

Each order is looked at by itself, so that one whose chain is dead keeps only its own portions waiting.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from domain.claims import Claimed
from domain.events import Wait
from domain.fulfilment.carriage import NO_COURIER, CallOff, Dispatch, Inquire, Uncarried, owed, silent_until
from domain.fulfilment.lines import Lines, agrees, line_states, open_portions, status_of
from domain.fulfilment.orders import ALIVE, GONE, OrderStatus, Placed
from domain.fulfilment.points import held_until
from domain.fulfilment.portions import Portions, added, by_line
from domain.fulfilment.wishes import STANDING, Wish, WishAnswer, WishKind
from domain.lifecycle import Money, Status
from domain.policy import CityPolicy
from domain.prescription import Prescription

CANCELLED, EXPIRED, NO_ANSWER = "cancelled", "expired", "no_answer"
"""Why an order is taken back: codes of `domain.words.ENDINGS`."""
PLANNED = frozenset({Status.ALLOCATING, Status.FULFILLING, Status.FULFILLED, Status.SETTLED})
"""Where `next_moves` decides."""


@dataclass(frozen=True)
class Pending:
    """An effect on a partner that has no answer yet, that was refused, or that failed and is tried again later."""

    step: str
    """hold, place, cancel, settle, reverse, dispatch, revoke."""
    order_id: str
    reason: str = ""
    """Of a cancel: why the order is taken back; of a courier's: the number of the delivery."""
    answered: bool = False
    """The partner's answer was a no; else there is none."""
    again_at: datetime | None = None
    """Not before then."""
    attempts: int = 0
    trouble: str = ""
    """Code of the last failure."""


@dataclass(frozen=True)
class Situation:
    """All that counts for what comes next."""

    rx: Prescription
    status: Status
    orders: Sequence[Placed]
    """By attempt."""
    claims: Mapping[str, Claimed]
    """The newest of each order that has one, by the order's id."""
    wishes: Sequence[Wish] = ()
    pending: Sequence[Pending] = ()

    def order(self, order_id: str) -> Placed:
        """Raises `KeyError` for one that it does not have."""
        return {order.id: order for order in self.orders}[order_id]


@dataclass(frozen=True)
class Seek:
    """Look for a pharmacy for some portions."""

    portions: Portions


@dataclass(frozen=True)
class Place:
    """Hold an order, pre-settle it, and have its chain take it: the steps that are missing."""

    order_id: str


@dataclass(frozen=True)
class Pause:
    """The chain does not let the order go: look again later."""

    until: datetime
    wait: Wait


@dataclass(frozen=True)
class RefuseWish:
    """The chain does not let the order go: the wish to cancel it is refused."""


@dataclass(frozen=True)
class Withdraw:
    """Take an order back."""

    order_id: str
    reason: str
    refused: Pause | RefuseWish | None
    """What follows from the chain's no; None: what the order needs next."""


@dataclass(frozen=True)
class LeaveUnanswered:
    """A chain has not said in time whether it lets an order go. Who wished to cancel is told so, and the chain is asked on."""

    order_id: str


@dataclass(frozen=True)
class Settle:
    """Have the fund pay for what the patient has of an order."""

    order_id: str
    last: bool
    """Whether the fund then pays for all that was handed over."""


@dataclass(frozen=True)
class Reverse:
    """Have the fund take back what it paid for an order, all of it (F-20)."""

    order_id: str


@dataclass(frozen=True)
class Reach:
    """The lines have got further: write the status that follows from them."""

    status: Status
    order_id: str
    """The order whose word it was."""


@dataclass(frozen=True)
class GiveUp:
    """What is still open will not be handed over; other portions were, or may be."""

    reason: str


@dataclass(frozen=True)
class End:
    """It is over. CANCELLED and EXPIRED: without medicine. CLOSED: nothing may come back any more, and the days are reconciled."""

    status: Status
    order_id: str = ""
    """The order that ended last, if there was one."""


@dataclass(frozen=True)
class Answer:
    """A wish to return something has its answer."""

    wish_id: int
    answer: WishAnswer


Look = tuple[datetime, Wait | None]
"""When to look again, and what is waited for until then."""
OrderMove = Place | Withdraw | Dispatch | CallOff | Inquire
Move = OrderMove | LeaveUnanswered | Seek | Settle | Reverse | Reach | GiveUp | End | Answer


@dataclass(frozen=True)
class Plan:
    """What to do now, one after the other, or when to look again."""

    moves: tuple[Move, ...] = ()
    wake_at: datetime | None = None
    wait: Wait | None = None
    """None: what it waited for so far."""


def next_moves(case: Situation, now: datetime, policy: CityPolicy) -> Plan:
    """What the platform owes now. After a move it is asked again: moves change what is owed."""
    if case.status not in PLANNED:
        return Plan()
    lines = line_states(case.rx.items, case.orders, case.wishes)
    moves: list[Move] = []
    looks: list[Look] = []
    stopping = False
    for order in case.orders:
        if move := _order_move(case, order, now, policy):
            if until := _tried_again_at(case, move, now):
                answer_by = _answer_by(case, order, policy)
                if answer_by and answer_by <= now:
                    moves.append(LeaveUnanswered(order.id))
                looks.append((min(until, answer_by or until), None))
                stopping = stopping or isinstance(move, CallOff)
            else:
                moves.append(move)
        elif order.status in ALIVE:
            looks += _looks(order, policy)
    moves = moves or _line_moves(case, lines, now, policy)
    if stopping:
        # Once a prescription has ended nothing is planned any more: the courier is to know first.
        moves = [move for move in moves if not isinstance(move, End)]
    if not moves and case.status in (Status.FULFILLED, Status.SETTLED):
        moves, later = _after_handover(case, now, policy)
        looks += later
    if moves:
        return Plan(tuple(moves))
    return Plan((), *min(looks, key=lambda look: look[0])) if looks else Plan()


def next_look(order: Placed) -> tuple[datetime, Wait] | None:
    """When an order under way must be looked at again, and what it waits for until then (D-12, A-02)."""
    until, wait = (order.accept_by, Wait.ACCEPTANCE) if order.status is OrderStatus.ORDERED else (order.fulfil_by, Wait.RECEIPT)
    return (until, wait) if until else None


def _looks(order: Placed, policy: CityPolicy) -> list[Look]:
    silence = silent_until(order, policy)
    # At its point a parcel waits for the patient, though its pharmacy's time is over.
    look = None if held_until(order, policy) else next_look(order)
    return [*([look] if look else ()), *([(silence, Wait.RECEIPT)] if silence else ())]


def _order_move(case: Situation, order: Placed, now: datetime, policy: CityPolicy) -> OrderMove | None:
    """What one order needs now: while it may bring the medicine, and while a courier may bring it in vain."""
    if order.status in GONE:
        return _carriage(order, now, policy)
    cancel = any(_is_about(wish, order) for wish in _standing_cancels(case.wishes))
    if not order.confirmed:
        # The chain's no to giving back the hold is final for that reason: the order goes on, and is cancelled or ends later.
        if order.status in ALIVE and cancel and not _was_refused(case, order, CANCELLED):
            return Withdraw(order.id, CANCELLED, None)
        if order.status in ALIVE and now >= case.rx.valid_until and not _was_refused(case, order, EXPIRED):
            return Withdraw(order.id, EXPIRED, None)
        return Place(order.id)
    if order.status not in ALIVE:
        return _carriage(order, now, policy)
    if cancel:
        return Withdraw(order.id, CANCELLED, RefuseWish())
    if isinstance(carriage := _carriage(order, now, policy), Inquire):
        return carriage  # Whether it is lost matters more than that it is late.
    again = now + policy.ask_again_after
    overdue = order.status is OrderStatus.ORDERED and order.accept_by is not None and now >= order.accept_by
    if overdue or _is_unknown(case, order, NO_ANSWER):
        return Withdraw(order.id, NO_ANSWER, Pause(again, Wait.ACCEPTANCE_OVERDUE))
    if (order.status is not OrderStatus.ORDERED and order.fulfil_by is not None and now >= order.fulfil_by
            and held_until(order, policy) is None):
        return Withdraw(order.id, EXPIRED, Pause(again, Wait.RECEIPT_OVERDUE))
    return carriage


def _carriage(order: Placed, now: datetime, policy: CityPolicy) -> OrderMove | None:
    move = owed(order, now, policy)
    if isinstance(move, Uncarried):
        return Withdraw(order.id, NO_COURIER, Pause(now + policy.ask_again_after, Wait.RECEIPT_OVERDUE))
    return move


def _answer_by(case: Situation, order: Placed, policy: CityPolicy) -> datetime | None:
    """By when a wish to cancel an order needs an answer of ours, where its chain has been asked and has not said."""
    if not _is_unknown(case, order, CANCELLED):
        return None
    return min((wish.wished_at + policy.answer_cancel_within for wish in _standing_cancels(case.wishes)
                if wish.answer is WishAnswer.OPEN and _is_about(wish, order)), default=None)


def _line_moves(case: Situation, lines: Lines, now: datetime, policy: CityPolicy) -> list[Move]:
    """What the lines need that no order has, and the status that follows from all of them."""
    if case.status not in (Status.ALLOCATING, Status.FULFILLING):
        return []
    ended = max((order for order in case.orders if order.status in GONE), key=lambda order: order.attempt, default=None)
    wanted = open_portions(lines)
    partly = any(state.in_progress or state.handed_over or state.returned for state in lines.values())
    if wanted and (cancels := _cancels_of(case)):
        whole = any(wish.portions is None for wish in cancels)
        if partly or not whole:
            return [GiveUp(CANCELLED)]
        return [End(Status.CANCELLED, ended.id if ended and case.status is Status.FULFILLING else "")]
    if wanted and _is_overdue(case, ended, partly, now):
        return [GiveUp(EXPIRED) if partly else End(Status.EXPIRED)]
    reached = status_of(lines, case.orders, case.claims)
    if reached is Status.SETTLED:
        reached = Status.FULFILLED  # One after the other: each is told to the hospital.
    if reached is Status.FULFILLED or (reached is Status.ALLOCATING and case.status is Status.FULFILLING):
        last = _newest_end(case.orders) if reached is Status.ALLOCATING else _handed_over(case.orders)[-1]
        return [Reach(reached, last.id)]
    if wanted:
        return [Seek(wanted)]
    return []


def _newest_end(orders: Sequence[Placed]) -> Placed:
    """Of orders none of which is under way, the one whose end or handover came last."""
    return max(orders, key=lambda order: (order.ended_at or order.handed_over_at or datetime.min.replace(tzinfo=UTC),
                                          order.attempt))


def _cancels_of(case: Situation) -> list[Wish]:
    """Cancels for which no pharmacy is looked for any more: also one that was refused because of an order which has ended."""
    refused = [wish for wish in case.wishes if wish.kind is WishKind.CANCEL and wish.answer is WishAnswer.REFUSED]
    return _standing_cancels(case.wishes) + (refused if case.status is Status.FULFILLING else [])


def _is_overdue(case: Situation, ended: Placed | None, partly: bool, now: datetime) -> bool:
    """Whether no pharmacy is looked for any more because of the time. `partly`: other portions are under way or handed over."""
    if case.status is Status.FULFILLING and not partly:
        # Its last order has ended: it is back in the market, unless it was taken back because its time was over.
        return (ended is not None and ended.reason == EXPIRED and ended.status is OrderStatus.CANCELLED
                and ended.fulfil_by is not None and now >= ended.fulfil_by)
    return now >= case.rx.valid_until


def _after_handover(case: Situation, now: datetime, policy: CityPolicy) -> tuple[list[Move], list[Look]]:
    """The claims must match what the patient has; then the return window runs."""
    handed_over = _handed_over(case.orders)
    over = window_over(handed_over, policy)
    if answers := [Answer(wish.id, answer) for wish in case.wishes if wish.kind is WishKind.RETURN
                   and (answer := _of_return(wish, handed_over, over, now))]:
        return list(answers), []
    unlike = [order for order in handed_over if not agrees(order, case.claims.get(order.id))]
    if unlike and case.status is Status.SETTLED:
        return [Reach(Status.FULFILLED, unlike[-1].id)], []
    if unlike:
        wanted = [_claim_move(order, case.claims.get(order.id), last=len(unlike) == 1) for order in unlike]
        again = [_tried_again_at(case, move, now) for move in wanted]
        return ([move for move, until in zip(wanted, again, strict=True) if until is None],
                [(until, None) for until in again if until is not None])
    if case.status is Status.FULFILLED:
        return [Reach(Status.SETTLED, handed_over[-1].id)], []
    if now < over:
        return [], [(over, Wait.RETURN_WINDOW)]
    if all(case.claims[order.id].status is Money.RECONCILED for order in handed_over):
        return [End(Status.CLOSED)], []
    # The reconciliation wakes it; a clock runs all the same, so that a lost nudge only costs hours.
    return [], [(now + policy.look_for_reconciliation, Wait.RECONCILIATION)]


def _claim_move(order: Placed, claim: Claimed | None, *, last: bool) -> Settle | Reverse:
    """The fund settles a claim as it was pre-settled; what came back is reversed after that, and the rest settled anew."""
    if claim is None or not claim.settled or claim.reversed:
        return Settle(order.id, last)
    return Reverse(order.id)


def _of_return(wish: Wish, handed_over: Sequence[Placed], over: datetime, now: datetime) -> WishAnswer | None:
    """Granted once a pharmacy has all of it back, refused once nothing may come back any more; None until then, and after it."""
    if wish.answer is not WishAnswer.OPEN:
        return None
    returned = by_line(portion for order in handed_over for portion in order.returned)
    scope = added(*(order.handed_over for order in handed_over)) if wish.portions is None else wish.portions
    if all(returned.get(portion.line, 0) >= portion.quantity for portion in scope):
        return WishAnswer.GRANTED
    return WishAnswer.REFUSED if now >= over else None


def window_over(handed_over: Sequence[Placed], policy: CityPolicy) -> datetime:
    """When the patient may bring nothing back any more."""
    return max(order.handed_over_at for order in handed_over if order.handed_over_at) + policy.return_window


def _handed_over(orders: Sequence[Placed]) -> list[Placed]:
    return [order for order in orders if order.handed_over]


def _standing_cancels(wishes: Sequence[Wish]) -> list[Wish]:
    return [wish for wish in wishes if wish.kind is WishKind.CANCEL and wish.answer in STANDING]


def _is_about(wish: Wish, order: Placed) -> bool:
    return wish.portions is None or bool(by_line(wish.portions).keys() & by_line(order.portions).keys())


_STEPS: Mapping[type, tuple[str, ...]] = {
    Place: ("hold", "place"), Withdraw: ("cancel",), Settle: ("settle",), Reverse: ("reverse",), Dispatch: ("dispatch",),
    CallOff: ("revoke",), Inquire: ()}
"""The effects on partners that a move takes."""


def _tried_again_at(case: Situation, move: OrderMove | Settle | Reverse, now: datetime) -> datetime | None:
    """When a move may be made that has failed before; None: now. Another move about the same order does not wait for it."""
    return max((effect.again_at for effect in case.pending if effect.again_at and effect.again_at > now
                and effect.order_id == move.order_id and effect.step in _STEPS[type(move)]
                and (not isinstance(move, Withdraw) or effect.reason == move.reason)), default=None)


def _was_refused(case: Situation, order: Placed, reason: str) -> bool:
    return any(effect.answered for effect in _withdrawals(case, order, reason))


def _is_unknown(case: Situation, order: Placed, reason: str) -> bool:
    return any(not effect.answered for effect in _withdrawals(case, order, reason))


def _withdrawals(case: Situation, order: Placed, reason: str) -> list[Pending]:
    return [effect for effect in case.pending
            if (effect.step, effect.order_id, effect.reason) == ("cancel", order.id, reason)]

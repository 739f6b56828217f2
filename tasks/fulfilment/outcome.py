"""What follows from the lines of a prescription without asking a partner: its next status, what is given up, and its end."""

from collections.abc import Sequence

from domain.events import Event, Wait
from domain.fulfilment.lines import line_states, open_portions
from domain.fulfilment.orders import GONE, Placed
from domain.fulfilment.plan import CANCELLED, End, Reach, Situation
from domain.fulfilment.portions import as_arguments
from domain.fulfilment.wishes import STANDING, Wish, WishAnswer, WishKind
from domain.lifecycle import Notice, Status
from infra.db import Session, history, prescriptions, wishes
from infra.db.history import Head
from infra.db.prescriptions import Loaded
from tasks import closing, reports
from tasks.city import City
from tasks.settlement.settle import agreed


def reach(city: City, loaded: Loaded, seen: Situation, move: Reach) -> Head:
    """Write the status that the lines have come to, and tell the hospital."""
    placed = seen.order(move.order_id)
    match move.status, loaded.status:
        case Status.ALLOCATING, _:
            return _reopened(city, loaded, placed, seen)
        case Status.FULFILLED, Status.SETTLED:
            return _brought_back(city, loaded, placed)
        case Status.FULFILLED, _:
            return _fulfilled(city, loaded, placed, seen)
        case Status.SETTLED, _:
            return agreed(city, loaded, [order for order in seen.orders if order.handed_over], seen.claims)
    raise ValueError(f"{loaded.status} -> {move.status} is no outcome of lines")


def _reopened(city: City, loaded: Loaded, placed: Placed, seen: Situation) -> Head:
    """What is still open needs another pharmacy: the order has ended without medicine, or was for a part only."""
    if placed.status not in GONE:
        return _partly_handed_over(city, loaded, placed, seen)
    with city.db.transaction("delivery.reopened") as session:
        head = history.append(session, loaded.head, to=Status.ALLOCATING, actor=f"chain:{placed.order.chain}",
                              event=Event.ORDER_ENDED, at=city.now(), wake_at=city.now(), waiting_for=Wait.CANDIDATE,
                              detail={"order": placed.id, "status": placed.word, "cause": placed.reason})
        reports.report(session, city, loaded.prescription, Status.ALLOCATING, reason=Event.ORDER_ENDED,
                       again=str(placed.attempt))
    return head


def _partly_handed_over(city: City, loaded: Loaded, placed: Placed, seen: Situation) -> Head:
    rx = loaded.prescription
    owed = as_arguments(open_portions(line_states(rx.items, seen.orders, seen.wishes)))
    with city.db.transaction("delivery.part") as session:
        head = history.append(session, loaded.head, to=Status.ALLOCATING, actor=f"chain:{placed.order.chain}",
                              event=Event.PART_HANDED_OVER, at=city.now(), wake_at=city.now(), waiting_for=loaded.waiting_for,
                              detail={"order": placed.id, "portions": owed})
        reports.report(session, city, rx, Status.ALLOCATING, reason=Event.PART_HANDED_OVER, handed_over=placed,
                       again=str(placed.attempt))
    return head


def _fulfilled(city: City, loaded: Loaded, placed: Placed, seen: Situation) -> Head:
    """The patient has all that there will be; a cancel that has no answer yet came too late.

    The hospital is told of each order that was handed over, once.
    """
    earlier = [order for order in seen.orders if order.handed_over and order.id != placed.id]
    with city.db.transaction("delivery.fulfilled") as session:
        if any(wish.kind is WishKind.CANCEL and wish.answer in STANDING for wish in seen.wishes):
            wishes.answer(session, loaded.id, WishKind.CANCEL, WishAnswer.REFUSED, at=city.now())
            reports.report(session, city, loaded.prescription, Notice.CANCEL_REFUSED, reason=Event.HANDED_OVER,
                           again=str(placed.attempt))
        head = history.append(session, loaded.head, to=Status.FULFILLED, actor=f"chain:{placed.order.chain}",
                              event=Event.HANDED_OVER, at=city.now(), wake_at=city.now(), waiting_for=Wait.SETTLEMENT,
                              detail={"order": placed.id})
        for order in _untold(session, loaded.id, earlier) if earlier else ():
            reports.report(session, city, loaded.prescription, Status.FULFILLED, reason=Event.HANDED_OVER, handed_over=order,
                           again=str(order.attempt))
        reports.report(session, city, loaded.prescription, Status.FULFILLED, reason=Event.HANDED_OVER, handed_over=placed)
    return head


def _untold(session: Session, prescription_id: str, handed_over: Sequence[Placed]) -> list[Placed]:
    """Those of which the hospital was not told when they were handed over."""
    reported = {detail["order"] for detail in history.details(session, prescription_id, Event.PART_HANDED_OVER)}
    return [order for order in handed_over if order.id not in reported]


def _brought_back(city: City, loaded: Loaded, placed: Placed) -> Head:
    """The fund pays for something that the patient no longer has."""
    with city.db.transaction("return.awaited") as session:
        return history.append(session, loaded.head, to=Status.FULFILLED, actor=f"chain:{placed.order.chain}",
                              event=Event.BROUGHT_BACK, at=city.now(), wake_at=city.now(), waiting_for=Wait.REVERSAL,
                              detail={"order": placed.id, "kept": [portion.line for portion in placed.kept]})


def give_up(city: City, loaded: Loaded, seen: Situation, reason: str) -> Head:
    """No pharmacy hands over what is still open: the wish for it is granted, or one of the clock is written down."""
    rx = loaded.prescription
    with city.db.transaction("fulfilment.given_up") as session:
        head = history.append(session, loaded.head, actor=_newest_cancel(seen.wishes).by if reason == CANCELLED else "clock",
                              event=Event.GIVEN_UP, at=city.now(), wake_at=city.now(), waiting_for=loaded.waiting_for,
                              detail={"cause": reason})
        if reason == CANCELLED:
            wishes.answer(session, rx.id, WishKind.CANCEL, WishAnswer.GRANTED, at=city.now())
        else:
            wishes.make(session, rx.hospital, rx.external_id, prescription_id=rx.id, kind=WishKind.CANCEL, by="clock",
                        reason=reason, at=city.now(), answer=WishAnswer.GRANTED)
    return head


def end(city: City, loaded: Loaded, seen: Situation, move: End) -> Head:
    """It is over."""
    match move.status:
        case Status.EXPIRED:
            return closing.expire(city, loaded)
        case Status.CANCELLED:
            with city.db.transaction("fulfilment.cancelled") as session:
                wish = _newest_cancel(seen.wishes)
                closing.cancel(session, city, loaded.head, loaded.prescription, wish.reason, by=wish.by, order_id=move.order_id)
                return prescriptions.load(session, loaded.id).head
        case _:
            with city.db.transaction("prescription.closed") as session:
                return history.append(session, loaded.head, to=Status.CLOSED, actor="clock", event=Event.CLOSED,
                                      at=city.now(), wake_at=None)


def _newest_cancel(wished: Sequence[Wish]) -> Wish:
    """The wish that is granted: the newest without an answer, or else the newest."""
    cancels = [wish for wish in wished if wish.kind is WishKind.CANCEL]
    return max(cancels, key=lambda wish: (wish.answer in STANDING, wish.id))


def answer_wish(city: City, loaded: Loaded, wish_id: int, answer: WishAnswer) -> Head:
    """A wish to return goods has its answer."""
    with city.db.transaction("wish.answered") as session:
        head = history.append(session, loaded.head, actor="platform", event=Event.WISH_ANSWERED, at=city.now(),
                              wake_at=city.now(), waiting_for=loaded.waiting_for, detail={"wish": wish_id, "answer": answer})
        wishes.answer_one(session, wish_id, answer, at=city.now())
    return head

"""The step of a reviewed prescription: one move of the plan, or the wait until there is one."""

from domain.events import Event, Wait
from domain.fulfilment.carriage import CallOff, Dispatch, Inquire
from domain.fulfilment.lines import line_states, open_portions
from domain.fulfilment.orders import ALIVE
from domain.fulfilment.plan import (
    Answer,
    End,
    GiveUp,
    LeaveUnanswered,
    Place,
    Plan,
    Reach,
    Reverse,
    Seek,
    Settle,
    Situation,
    Withdraw,
    next_moves,
)
from domain.lifecycle import Status
from infra.db import history, prescriptions
from infra.db.history import Head
from infra.db.prescriptions import Loaded
from tasks.city import City
from tasks.fulfilment.carriage import call_off, dispatch, inquire
from tasks.fulfilment.outcome import answer_wish, end, give_up, reach
from tasks.fulfilment.place import place
from tasks.fulfilment.seek import seek
from tasks.fulfilment.situation import situation
from tasks.fulfilment.withdraw import leave_unanswered, take_back
from tasks.settlement.settle import reverse, settle


async def start_allocation(city: City, prescription_id: str) -> Head:
    """reviewed → allocating: from here on a pharmacy is looked for (A-30: only after the pharmacist's pass)."""
    with city.db.transaction("allocation.started") as session:
        loaded = prescriptions.load(session, prescription_id, expected=Status.REVIEWED)
        return history.append(session, loaded.head, to=Status.ALLOCATING, actor="platform",
                              event=Event.SEARCH_STARTED, at=city.now(), wake_at=city.now(), waiting_for=Wait.QUOTES)


async def fulfil(city: City, prescription_id: str) -> Head:
    """allocating … settled: make the move that is owed; the caller calls again until none is.

    It may be called at any time, twice, or after a crash: what is owed follows from what is written. Of several moves the first
    is made. If it fails, its effect waits for its next attempt, and the next call makes the move after it.
    """
    with city.db.reading() as session:
        loaded, seen = situation(session, prescription_id)
    plan = next_moves(seen, city.now(), city.policy)
    if not plan.moves:
        return _wait(city, loaded, seen, plan)
    match plan.moves[0]:
        case Seek(portions):
            return await seek(city, loaded, seen.orders, seen.wishes, portions)
        case Place(order_id):
            return await place(city, loaded, seen.order(order_id), alone=_is_alone(seen, order_id))
        case Withdraw() as move:
            return await take_back(city, loaded, seen.order(move.order_id), move)
        case LeaveUnanswered(order_id):
            return leave_unanswered(city, loaded, seen.order(order_id))
        case Dispatch(order_id):
            return await dispatch(city, loaded, seen.order(order_id))
        case CallOff(order_id):
            return await call_off(city, loaded, seen.order(order_id))
        case Inquire(order_id):
            return await inquire(city, loaded, seen.order(order_id))
        case Settle(order_id, last):
            return await settle(city, loaded, seen.order(order_id), seen.claims.get(order_id), last=last)
        case Reverse(order_id):
            return await reverse(city, loaded, seen.order(order_id), seen.claims[order_id])
        case Reach() as move:
            return reach(city, loaded, seen, move)
        case GiveUp(reason):
            return give_up(city, loaded, seen, reason)
        case End() as move:
            return end(city, loaded, seen, move)
        case Answer(wish_id, answer):
            return answer_wish(city, loaded, wish_id, answer)


def _is_alone(seen: Situation, order_id: str) -> bool:
    """Whether all that is still to be handed over is in one order."""
    others = any(order.status in ALIVE for order in seen.orders if order.id != order_id)
    return not others and not open_portions(line_states(seen.rx.items, seen.orders, seen.wishes))


def _wait(city: City, loaded: Loaded, seen: Situation, plan: Plan) -> Head:
    """Sleep until the next look, with the trouble of what is tried again."""
    failing = max((effect for effect in seen.pending if effect.again_at), key=lambda effect: effect.attempts, default=None)
    with city.db.transaction("fulfilment.awaited") as session:
        if failing and failing.trouble:
            return history.wait(session, loaded.head, until=plan.wake_at, waiting_for=loaded.waiting_for,
                                attempts=failing.attempts, trouble=failing.trouble)
        return history.wait(session, loaded.head, until=plan.wake_at, waiting_for=plan.wait or loaded.waiting_for)

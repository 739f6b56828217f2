"""What counts for the next move of a prescription, read from the database."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from domain.claims import Claimed
from domain.errors import StaleStatus
from domain.fulfilment.orders import ALIVE, Placed
from domain.fulfilment.plan import PLANNED, Pending, Situation, next_moves
from domain.lifecycle import Status
from infra.db import Session, claims, effects, orders, prescriptions, wishes
from infra.db.effects import Unfinished
from infra.db.prescriptions import Loaded
from tasks.city import City


def situation(session: Session, prescription_id: str) -> tuple[Loaded, Situation]:
    """The prescription and all that counts. Raises `StaleStatus` where there is no longer anything to plan.

    What cannot matter is not asked for: claims before the handover, effects where no order is alive and nothing failed.
    """
    loaded = prescriptions.load(session, prescription_id)
    if loaded.status not in PLANNED:
        raise StaleStatus(f"{prescription_id} is {loaded.status}")
    return loaded, situation_of(session, loaded)


def situation_of(session: Session, loaded: Loaded, *, failed: bool = False) -> Situation:
    """The same of one that is loaded; with `failed` its effects are read in any case."""
    placed = orders.of(session, loaded.id)
    handed_over = loaded.status in (Status.FULFILLED, Status.SETTLED)
    claimed = claims.newest_of(session, loaded.id) if handed_over else {}
    unfinished: Sequence[Unfinished] = ()
    if failed or loaded.attempts or any(order.status in ALIVE for order in placed):
        unfinished = effects.unfinished(session, loaded.id)
    return Situation(
        rx=loaded.prescription, status=loaded.status, orders=placed, claims=claimed,
        wishes=wishes.of(session, loaded.id) if loaded.wished else (),
        pending=[pending(effect, placed, claimed) for effect in unfinished])


def pending(unfinished: Unfinished, placed: Sequence[Placed], claimed: Mapping[str, Claimed]) -> Pending:
    """An effect with the order that it is about; empty for one of a claim that has been replaced."""
    step, version = unfinished.effect.step, unfinished.effect.version
    order_id, _, reason = version.partition(":")
    if order_id not in {order.id for order in placed}:
        order_id = next((claim.order_id for claim in claimed.values()
                         if version in (claim.claim.reference, claim.reversal_reference)), "")
    return Pending(step, order_id, reason, unfinished.refused, unfinished.again_at, unfinished.attempts, unfinished.trouble)


def look_after_failure(city: City, session: Session, loaded: Loaded, again_at: datetime) -> datetime:
    """When to look again at a prescription of which one effect is tried again then: at once if something else can be done."""
    if loaded.status not in PLANNED:
        return again_at
    plan = next_moves(situation_of(session, loaded, failed=True), city.now(), city.policy)
    if plan.moves:
        return city.now()
    return min(again_at, plan.wake_at) if plan.wake_at else again_at



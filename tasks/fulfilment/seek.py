"""Seeking: the next order goes to the pharmacy that the patient chose, or to the best: of all, of a share, or of a part."""

import hashlib
import json
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta

from domain.chains import PharmacyOrder
from domain.events import Event, Wait
from domain.fulfilment.allocation import Choice, Way, choose, supplies_of
from domain.fulfilment.choice import Because, Round, Step, is_asked, next_step
from domain.fulfilment.orders import ALIVE, Placed
from domain.fulfilment.plan import next_look
from domain.fulfilment.portions import Portion, Portions, as_arguments
from domain.fulfilment.ranking import Ranked
from domain.fulfilment.wishes import Wish, WishKind
from domain.policy import CityPolicy
from domain.prescription import Handover
from infra.db import Session, choices, history, orders, prescriptions
from infra.db.effects import Intent
from infra.db.history import Head
from infra.db.prescriptions import Loaded
from tasks import closing
from tasks.city import City
from tasks.effect import intend
from tasks.fulfilment import choice as by_patient
from tasks.fulfilment.carriage import courier_for
from tasks.fulfilment.market import Market, ask, parcels_left
from tasks.fulfilment.place import hold_of, place, spelling
from tasks.patients import open_entitlement

CODE_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""None that looks like another. Ten of them: the counter has the digest, and must not be able to guess the code."""
MOST_NAMED = 20
"""Stores that a history row names when none can fill it; it counts all."""
NEXT_WOKEN = 2
"""Prescriptions that are woken by each that has waited and is served."""

With = Callable[[Session, Head], Head]
"""What else is written with an order, before it: from the head that it finds to the one that it leaves."""


async def seek(city: City, loaded: Loaded, placed: Sequence[Placed], wishes: Sequence[Wish], portions: Portions) -> Head:
    """A store gets an order for these portions, or for what it has of them, held and placed at once.

    Where the city lets the patient choose, they are asked first. Where no store can be asked, the portions wait, the stores are
    asked again after a pause, and they end with the prescription's validity.
    """
    entitlement = open_entitlement(city, loaded)
    if entitlement is None or not entitlement.active:
        # The audit sends such a person's prescription back; those from before it did are sent back here.
        return closing.send_back(city, loaded)
    if not is_asked(city.policy, any(wish.kind is WishKind.CHOOSE for wish in wishes)):
        return await _best(city, loaded, placed, portions, loaded.prescription.handover)
    with city.db.reading() as session:
        newest = choices.newest(session, loaded.id)
    match next_step(city.policy, newest, portions, city.now()):
        case Step.AWAIT if newest:
            return by_patient.keep_waiting(city, loaded, placed, newest)
        case Step.ORDER if newest:
            order = await by_patient.chosen(city, loaded, placed, portions, newest)
            if isinstance(order, by_patient.Chosen):
                return await _order(city, loaded, placed, order.choice, order.market, order.handover, order.written,
                                    event=Event.CHOICE_ORDERED, point=order.point)
            return await _asked(city, loaded, placed, portions, newest, order)
        case Step.SHORT:
            return await _asked(city, loaded, placed, portions, newest, by_patient.Anew(Because.ARRIVED))
        case Step.OFFER:
            anew = by_patient.Anew(Because.FIRST) if newest is None else by_patient.Anew(Because.DECLINED, _ended_last(placed))
            return await _asked(city, loaded, placed, portions, newest, anew)
        case Step.LAPSE if newest:
            return await _best(city, loaded, placed, portions, loaded.prescription.handover,
                               written=by_patient.lapse(city, loaded, newest))
    handover = newest.option.handover if newest and newest.option else loaded.prescription.handover
    return await _best(city, loaded, placed, portions, handover)


async def _asked(city: City, loaded: Loaded, placed: Sequence[Placed], portions: Portions, newest: Round | None,
                 anew: by_patient.Anew) -> Head:
    """The patient is asked; where no pharmacy has any of it, or the patient waits for all of it, the stores are asked again."""
    head, market = await by_patient.offer(city, loaded, placed, portions, newest, anew)
    return head or _ask_again(city, loaded, placed, market)


def _ended_last(placed: Sequence[Placed]) -> str:
    """The pharmacy whose order was the last to end without medicine, `chain/store`."""
    gone = [order for order in placed if order.ended_at]
    newest = max(gone, key=lambda order: order.attempt, default=None)
    return f"{newest.order.chain}/{newest.order.store}" if newest else ""


async def _best(city: City, loaded: Loaded, placed: Sequence[Placed], portions: Portions, handover: Handover, *,
                written: With | None = None) -> Head:
    """The best pharmacy gets the order."""
    market = await ask(city, loaded, placed, portions, handover, every=False)
    choice = _choose(city, loaded, placed, market)
    if choice is None:
        return _ask_again(city, loaded, placed, market)
    return await _order(city, loaded, placed, choice, market, handover, written)


async def _order(city: City, loaded: Loaded, placed: Sequence[Placed], choice: Choice, market: Market, handover: Handover,
                 written: With | None, *, event: Event | None = None, point: str = "") -> Head:
    order, hold = _make_order(city, loaded, choice, market.ranking, handover, written, event or _CHOSEN[choice.way],
                              attempt=len(placed) + 1, point=point)
    return await place(city, loaded, order, hold, alone=not choice.left and not any(order.status in ALIVE for order in placed))


def _choose(city: City, loaded: Loaded, attempts: Sequence[Placed], market: Market) -> Choice | None:
    """The next order within the city's number of parcels. A part is given once a pause has brought nothing better."""
    least = supplies_of(loaded.prescription.items, city.policy.least_part_days) if loaded.waiting_for == Wait.FILLER else None
    return choose(market.ranking, market.wanted, parcels=parcels_left(city, loaded.prescription, attempts), least=least)


_CHOSEN = {Way.WHOLE: Event.STORE_CHOSEN, Way.SPLIT: Event.SHARE_CHOSEN, Way.PART: Event.PART_CHOSEN}


def _make_order(city: City, loaded: Loaded, choice: Choice, ranking: Sequence[Ranked], handover: Handover, written: With | None,
                event: Event, attempt: int, point: str) -> tuple[Placed, Intent]:
    """The order, its secrets and the intent to hold it exist before its chain hears of it."""
    rx, quote = loaded.prescription, choice.store.quote
    order_id = f"ord_{loaded.id.removeprefix('rx_')}_{attempt}"
    courier = courier_for(city, quote.chain, quote.store, handover)
    shown = handover is Handover.PICKUP or courier
    code = "".join(secrets.choice(CODE_LETTERS) for _ in range(10)) if shown else ""
    order = PharmacyOrder(
        id=order_id, prescription_id=rx.id, chain=quote.chain, store=quote.store, lines=choice.lines,
        handover=handover, place=rx.place, point=point if courier else "",
        pickup_code_sha256=hashlib.sha256(f"{order_id}:{code}".encode()).hexdigest() if code else "")
    sealed = city.cipher.seal(json.dumps({"claim_secret": secrets.token_hex(16), "pickup_code": code}),
                              f"order/{order_id}")
    words = [{"chain": candidate.quote.chain, "store": candidate.quote.store, "score": str(candidate.score),
              "eligible": candidate.eligible, "reason": candidate.reason,
              "why": candidate.why, "why_en": candidate.why_en, "total_fen": candidate.quote.total,
              "terms": candidate.explained()}
             for candidate in ranking]
    detail: dict[str, object] = {"order": order_id, "chain": quote.chain, "store": quote.store, "score": str(choice.store.score),
                                 "candidates": len(ranking)}
    if choice.way is not Way.WHOLE or event is Event.CHOICE_ORDERED:
        detail["portions"] = as_arguments(Portion(line.line, line.quantity) for line in choice.lines)
    with city.db.transaction("order.made") as session:
        # The event first: if another process moved the prescription meanwhile, nothing is made.
        head = written(session, loaded.head) if written else loaded.head
        history.append(session, head, actor="platform", event=event, at=city.now(), wake_at=city.now(),
                       waiting_for=f"{Wait.HOLD}:{quote.chain}", detail=detail, also={"lane": f"{rx.hospital}/{quote.chain}"})
        placed = orders.make(session, order, attempt=attempt, sealed=sealed, ranking=words, at=city.now(),
                             courier=courier)
        hold = intend(city, session, hold_of(order), partner=order.chain, request=spelling(order))
        if loaded.waiting_for == Wait.FILLER:
            # It has waited, so others may wait for the same: there is stock now, and the next ones look for it.
            prescriptions.wake_for_stock(session, {line.prescribed for line in choice.lines}, city.now(), NEXT_WOKEN)
    return placed, hold


def _ask_again(city: City, loaded: Loaded, attempts: Sequence[Placed], market: Market) -> Head:
    """No store can be asked now: wait, and let operations see it. What is under way is looked at in its own time."""
    refused = Counter(candidate.reason for candidate in market.ranking)
    stores = sorted({f"{candidate.quote.chain}/{candidate.quote.store}:{candidate.reason}" for candidate in market.ranking})
    looks = [look[0] for placed in attempts if placed.status in ALIVE and (look := next_look(placed))]
    with city.db.transaction("allocation.awaited") as session:
        first = loaded.waiting_for != Wait.FILLER
        since = city.now() if first else history.last_at(session, loaded.id, Event.NO_STORE) or city.now()
        until = min(city.now() + pause(city.now() - since, city.policy), loaded.prescription.valid_until, *looks)
        if first:
            return history.append(
                session, loaded.head, actor="platform", event=Event.NO_STORE, at=city.now(), wake_at=until,
                waiting_for=Wait.FILLER,
                detail={"refused": dict(refused), "stores": stores[:MOST_NAMED], "silent": list(market.silent)})
        return history.wait(session, loaded.head, until=until, waiting_for=Wait.FILLER)


def pause(waited: timedelta, policy: CityPolicy) -> timedelta:
    """How long until the stores are asked again: as long as was waited already, within the city's bounds."""
    return min(max(waited, policy.ask_again_after), policy.ask_again_at_most)

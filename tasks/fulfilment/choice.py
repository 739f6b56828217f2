"""The patient chooses: what they are offered, and the order for what they chose, on the terms they saw or none (D-01, D-21)."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from domain.audit import selfpay_lines
from domain.benefit import forecasts
from domain.errors import NeedsOperator
from domain.events import Event, Wait
from domain.fulfilment.allocation import Choice, Way, alternatives, at_store, supplies_of, total
from domain.fulfilment.choice import (
    Because,
    Offering,
    Option,
    Round,
    RoundState,
    asked_until,
    estimated,
    is_last,
    options,
    share_to_order,
    why_not,
    with_points,
)
from domain.fulfilment.orders import ALIVE, Placed
from domain.fulfilment.plan import next_look
from domain.fulfilment.portions import Portions
from domain.fulfilment.substitution import consents
from domain.fulfilment.wishes import WishAnswer, WishKind
from domain.money import Fen
from domain.prescription import Handover
from infra.db import Session, audits, choices, history, wishes
from infra.db.history import Head
from infra.db.prescriptions import Loaded
from tasks.city import City
from tasks.fulfilment import points
from tasks.fulfilment.market import Market, ask, parcels_left
from tasks.patients import open_entitlement, open_patient


@dataclass(frozen=True)
class Anew:
    """Why the patient is asked, and which choice of theirs that is about."""

    because: Because
    before: str = ""
    price_was: Fen | None = None
    price_is: Fen | None = None


@dataclass(frozen=True)
class Chosen:
    """The order that the patient wants, at its terms of now."""

    choice: Choice
    market: Market
    handover: Handover
    point: str
    """Where the patient collects it, `chain/number`; empty: at no pick-up point."""
    written: Callable[[Session, Head], Head]
    """What is written with the order."""


async def offer(city: City, loaded: Loaded, placed: Sequence[Placed], portions: Portions, newest: Round | None, anew: Anew
                ) -> tuple[Head | None, Market]:
    """Ask the patient, with all that the pharmacies have now; no head where there is nothing to ask."""
    rx, now = loaded.prescription, city.now()
    handovers = _handovers(city, loaded)
    markets = dict(zip(handovers, await asyncio.gather(
        *(ask(city, loaded, placed, portions, handover, consent=consents(rx, to_choose=True)) for handover in handovers)),
        strict=True))
    least = supplies_of(rx.items, city.policy.least_part_days)
    number = newest.number + 1 if newest else 1
    offered = options(number, {
        handover: alternatives(market.ranking, market.wanted, parcels=parcels_left(city, rx, placed), least=least)
        for handover, market in markets.items()})
    by_option, not_points = points.for_options(city, rx, offered)
    offered = with_points(number, offered, by_option)
    whole = any(option.way is Way.WHOLE for option in offered)
    as_sent = markets[rx.handover]
    if not offered or (anew.because is Because.ARRIVED and not whole):
        return None, as_sent
    among = {(share.chain, share.store) for option in offered for share in option.shares}
    refused = Counter(store.reason for store in as_sent.ranking if (store.quote.chain, store.quote.store) not in among)
    begun = Round(number, Offering(
        tuple(_estimated(city, loaded, offered)), anew.because, anew.before, anew.price_was, anew.price_is, may_wait=not whole,
        refused=dict(refused), silent=tuple(as_sent.silent), insured_at=_insured_at(city, loaded),
        not_points=not_points),
        now, asked_until(city.policy, now, rx.valid_until))
    return _ask(city, loaded, placed, begun, newest), as_sent


def _ask(city: City, loaded: Loaded, placed: Sequence[Placed], begun: Round, newest: Round | None) -> Head:
    with city.db.transaction("choice.offered") as session:
        head = history.append(
            session, loaded.head, actor="platform", event=Event.CHOICE_OFFERED, at=city.now(),
            wake_at=_look(placed, begun.until), waiting_for=Wait.CHOICE,
            detail={"round": begun.number, "options": len(begun.offering.options), "until": begun.until.isoformat(),
                    "because": begun.offering.because})
        choices.begin(session, loaded.id, begun, newest)
        if loaded.wished:
            _answer_newest(city, session, loaded, WishKind.CHOOSE, WishAnswer.GRANTED)
            _answer_newest(city, session, loaded, WishKind.HANDOVER, WishAnswer.REFUSED)
    return head


def keep_waiting(city: City, loaded: Loaded, placed: Sequence[Placed], newest: Round) -> Head:
    """The patient has time still. What is under way is looked at in its own time."""
    with city.db.transaction("choice.awaited") as session:
        return history.wait(session, loaded.head, until=_look(placed, newest.until), waiting_for=Wait.CHOICE)


async def chosen(city: City, loaded: Loaded, placed: Sequence[Placed], portions: Portions, newest: Round) -> Chosen | Anew:
    """The next order of what the patient chose, asked for once more; why not, where its terms are no longer those they saw."""
    option = newest.option
    share = share_to_order(option, portions) if option else None
    if option is None or share is None:
        return Anew(Because.FIRST)  # Part of it was cancelled: what is left is another question.
    market = await ask(city, loaded, placed, portions, option.handover,
                       consent=consents(loaded.prescription, lines=share.lines))
    store = market.store(share.chain, share.store)
    choice = at_store(store, share.lines, market.wanted, option.way) if store else None
    because = why_not(share, store, choice.lines if choice else None, share.chain in market.silent)
    if because is None and option.point and not points.still(city, loaded.prescription, option):
        because = Because.POINT
    if because or choice is None:
        risen = choice if because is Because.PRICE_RISEN else None
        return Anew(because or Because.SOLD_OUT, f"{share.chain}/{share.store}", share.total if risen else None,
                    total([risen]) if risen else None)

    def written(session: Session, head: Head) -> Head:
        if is_last(option, share, portions):
            choices.move(session, loaded.id, newest, RoundState.TAKEN)
        if loaded.wished:
            _answer_newest(city, session, loaded, WishKind.HANDOVER, WishAnswer.GRANTED)
        return head

    return Chosen(choice, market, option.handover, option.point.place if option.point else "", written)


def lapse(city: City, loaded: Loaded, newest: Round) -> Callable[[Session, Head], Head]:
    """What is written with the order for the best pharmacy, because the patient did not choose in time."""

    def written(session: Session, head: Head) -> Head:
        choices.move(session, loaded.id, newest, RoundState.LAPSED)
        return history.append(session, head, actor="clock", event=Event.CHOICE_LAPSED, at=city.now(), wake_at=city.now(),
                              detail={"round": newest.number})

    return written


def _handovers(city: City, loaded: Loaded) -> list[Handover]:
    """How the patient may get it: as the sender said, to collect, and brought where there is an address and a phone."""
    person = open_patient(city, loaded)
    home = [Handover.HOME] if person["address"] and person["phone"] else []
    return list(dict.fromkeys([loaded.prescription.handover, Handover.PICKUP, *home]))


def _estimated(city: City, loaded: Loaded, offered: Sequence[Option]) -> list[Option]:
    """What the person would pay for each option, by the code that forecasts a claim (D-20)."""
    entitlement = open_entitlement(city, loaded)
    if entitlement is None:
        return list(offered)
    with city.db.reading() as session:
        selfpay = selfpay_lines(audits.findings(session, loaded.id))
    estimates = []
    for option in offered:
        try:
            claims = forecasts(loaded.prescription, [share.lines for share in option.shares], entitlement, city.policy,
                               city.knowledge, selfpay)
        except NeedsOperator:
            estimates.append(option)
            continue
        estimates.append(estimated(option, [(claim.fund, Fen(claim.account + claim.family), claim.cash) for claim in claims]))
    return estimates


def _insured_at(city: City, loaded: Loaded) -> datetime | None:
    with city.db.reading() as session:
        return history.last_at(session, loaded.id, Event.AUDITED)


def _look(placed: Sequence[Placed], until: datetime) -> datetime:
    """The end of the patient's time, or the time of an order under way, the earlier of them."""
    return min([until, *(look[0] for order in placed if order.status in ALIVE and (look := next_look(order)))])


def _answer_newest(city: City, session: Session, loaded: Loaded, kind: WishKind, answer: WishAnswer) -> None:
    """Answer the newest wish of a kind, where it has no answer yet."""
    newest = next((wish for wish in reversed(wishes.of(session, loaded.id)) if wish.kind is kind), None)
    if newest and newest.answer is WishAnswer.OPEN:
        wishes.answer_one(session, newest.id, answer, at=city.now())

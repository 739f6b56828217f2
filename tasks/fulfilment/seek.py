"""Seeking: ask every chain, rank their stores in words, and make the next order: of all, of a share, or of a part."""

import asyncio
import hashlib
import json
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from domain.chains import LeftOut, Offers, OrderLine, PharmacyOrder, Quote
from domain.errors import RxError, Transient
from domain.events import Event, Wait
from domain.fulfilment.allocation import Choice, Way, choose, supplies_of
from domain.fulfilment.orders import ALIVE, GONE, Placed
from domain.fulfilment.plan import next_look
from domain.fulfilment.portions import Portion, Portions, as_arguments, by_line
from domain.fulfilment.ranking import Ranked, rank
from domain.policy import CityPolicy
from domain.prescription import Handover, Prescription
from infra import metrics
from infra.db import history, orders, prescriptions
from infra.db.effects import Intent
from infra.db.history import Head
from infra.db.notices import NoticeKind, note
from infra.db.prescriptions import Loaded
from infra.log import get_logger
from tasks import closing
from tasks.city import City
from tasks.effect import intend
from tasks.fulfilment.place import hold_of, place, spelling
from tasks.patients import open_entitlement

log = get_logger(__name__)
CODE_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""None that looks like another. Ten of them: the counter has the digest, and must not be able to guess the code."""
MOST_NAMED = 20
"""Stores that a history row names when none can fill it; it counts all."""
NEXT_WOKEN = 2
"""Prescriptions that are woken by each that has waited and is served."""
MOST_LEFT_OUT = 20
"""Stores of one round of quotes that are written down as differences; the metric counts all."""


async def seek(city: City, loaded: Loaded, placed: Sequence[Placed], portions: Portions) -> Head:
    """A store gets an order for these portions, or for what it has of them, held and placed at once.

    Where none can be asked, the portions wait, the stores are asked again after a pause, and they end with the prescription's
    validity.
    """
    entitlement = open_entitlement(city, loaded)
    if entitlement is None or not entitlement.active:
        # The audit sends such a person's prescription back; those from before it did are sent back here.
        return closing.send_back(city, loaded)
    market = await _ask(city, loaded, placed, portions)
    choice = _choose(city, loaded, placed, market)
    if choice is None:
        return _ask_again(city, loaded, placed, market)
    order, hold = _make_order(city, loaded, choice, market.ranking, attempt=len(placed) + 1)
    return await place(city, loaded, order, hold, alone=not choice.left and not any(order.status in ALIVE for order in placed))


@dataclass(frozen=True)
class _Market:
    """What the stores have of what is wanted."""

    wanted: Sequence[OrderLine]
    ranking: Sequence[Ranked]
    """The best first; each that may not be asked has its reason."""
    silent: Sequence[str]
    """Chains that did not answer."""


async def _ask(city: City, loaded: Loaded, attempts: Sequence[Placed], portions: Portions) -> _Market:
    """Quotes from all chains in parallel, ranked."""
    rx = loaded.prescription
    quantities = by_line(portions)
    wanted = [OrderLine(item.line, item.drug, quantities[item.line], item.unit) for item in rx.items if item.line in quantities]
    quotes, left_out, silent = await quotes_for(city, rx, wanted)
    _note_left_out(city, left_out)
    start_of_today = datetime.combine(city.today(), datetime.min.time(), ZoneInfo(city.policy.timezone))
    with city.db.reading() as session:
        shares = orders.shares(session, start_of_today - timedelta(days=30), start_of_today)

    def ranked(excluded: frozenset[tuple[str, str]]) -> list[Ranked]:
        return rank(quotes, wanted, city.policy, city.knowledge.ceilings, shares, excluded, key=rx.id)

    # A store that refused is asked again only when no other is left and the city's pause is over.
    ended = {(placed.order.chain, placed.order.store): placed.ended_at for placed in attempts if placed.ended_at}
    ranking = ranked(frozenset(ended))
    if ended and not any(candidate.may_be_asked for candidate in ranking):
        recently = city.now() - city.policy.ask_again_after
        ranking = ranked(frozenset(store for store, at in ended.items() if at > recently))
    return _Market(wanted, ranking, silent)


def _choose(city: City, loaded: Loaded, attempts: Sequence[Placed], market: _Market) -> Choice | None:
    """The next order within the city's number of parcels. A part is given once a pause has brought nothing better."""
    parcels = city.policy.most_parcels - sum(placed.status not in GONE for placed in attempts)
    least = supplies_of(loaded.prescription.items, city.policy.least_part_days) if loaded.waiting_for == Wait.FILLER else None
    return choose(market.ranking, market.wanted, parcels=parcels, least=least)


async def quotes_for(city: City, rx: Prescription, wanted: Sequence[OrderLine]
                     ) -> tuple[list[Quote], list[tuple[str, LeftOut]], list[str]]:
    """Every chain's quotes within the deadline, the stores that were left out, and the chains that gave none.

    One chain's trouble is only its own, and one store's too.
    """

    async def ask(slug: str) -> Offers:
        async with asyncio.timeout(city.policy.quote_deadline.total_seconds()):
            return await city.chains[slug].quote(wanted, rx.handover, rx.place)

    slugs = sorted(city.chains)
    answers = await asyncio.gather(*(ask(slug) for slug in slugs), return_exceptions=True)
    quotes: list[Quote] = []
    left_out: list[tuple[str, LeftOut]] = []
    silent: list[str] = []
    for slug, answer in zip(slugs, answers, strict=True):
        if isinstance(answer, RxError | TimeoutError):
            log.warning("quote.missing", chain=slug, prescription=rx.id, error=type(answer).__name__)
            silent.append(slug)
        elif isinstance(answer, BaseException):
            raise answer
        else:
            quotes += answer.quotes
            left_out += [(slug, row) for row in answer.left_out]
            for row in answer.left_out:
                metrics.quote_left_out(slug)
                log.warning("quote.left_out", chain=slug, store=row.store, rules=sorted({it.rule for it in row.findings}))
    if len(silent) == len(slugs):
        raise Transient("no chain answered a request for quotes", code="no_chain_answers")
    return quotes, left_out, silent


def _note_left_out(city: City, left_out: Sequence[tuple[str, LeftOut]]) -> None:
    """A store whose quotes break the contract is a notice for a person, once a day and rule."""
    if not left_out:
        return
    with city.db.transaction("quotes.left_out") as session:
        for slug, row in left_out[:MOST_LEFT_OUT]:
            for fault in {it.rule: it for it in row.findings}.values():
                note(session, kind=NoticeKind.QUOTE_LEFT_OUT, partner=slug,
                     subject=f"{city.today()}:{fault.rule}:{row.store or '?'}", detail=fault.path, at=city.now())


_CHOSEN = {Way.WHOLE: Event.STORE_CHOSEN, Way.SPLIT: Event.SHARE_CHOSEN, Way.PART: Event.PART_CHOSEN}


def _make_order(city: City, loaded: Loaded, choice: Choice, ranking: Sequence[Ranked], attempt: int) -> tuple[Placed, Intent]:
    """The order, its secrets and the intent to hold it exist before its chain hears of it."""
    rx, quote = loaded.prescription, choice.store.quote
    order_id = f"ord_{loaded.id.removeprefix('rx_')}_{attempt}"
    code = "".join(secrets.choice(CODE_LETTERS) for _ in range(10)) if rx.handover is Handover.PICKUP else ""
    order = PharmacyOrder(
        id=order_id, prescription_id=rx.id, chain=quote.chain, store=quote.store, lines=choice.lines,
        handover=rx.handover, place=rx.place,
        pickup_code_sha256=hashlib.sha256(f"{order_id}:{code}".encode()).hexdigest() if code else "")
    sealed = city.cipher.seal(json.dumps({"claim_secret": secrets.token_hex(16), "pickup_code": code}),
                              f"order/{order_id}")
    words = [{"chain": candidate.quote.chain, "store": candidate.quote.store, "score": str(candidate.score),
              "eligible": candidate.eligible, "reason": candidate.reason,
              "why": candidate.why, "why_en": candidate.why_en, "total_fen": candidate.quote.total}
             for candidate in ranking]
    detail: dict[str, object] = {"order": order_id, "chain": quote.chain, "store": quote.store, "score": str(choice.store.score),
                                 "candidates": len(ranking)}
    if choice.way is not Way.WHOLE:
        detail["portions"] = as_arguments(Portion(line.line, line.quantity) for line in choice.lines)
    with city.db.transaction("order.made") as session:
        # The event first: if another process moved the prescription meanwhile, nothing is made.
        history.append(session, loaded.head, actor="platform", event=_CHOSEN[choice.way], at=city.now(), wake_at=city.now(),
                       waiting_for=f"{Wait.HOLD}:{quote.chain}", detail=detail, also={"lane": f"{rx.hospital}/{quote.chain}"})
        placed = orders.make(session, order, attempt=attempt, sealed=sealed, ranking=words, at=city.now())
        hold = intend(city, session, hold_of(order), partner=order.chain, request=spelling(order))
        if loaded.waiting_for == Wait.FILLER:
            # It has waited, so others may wait for the same: there is stock now, and the next ones look for it.
            prescriptions.wake_for_stock(session, {line.drug for line in choice.lines}, city.now(), NEXT_WOKEN)
    return placed, hold


def _ask_again(city: City, loaded: Loaded, attempts: Sequence[Placed], market: _Market) -> Head:
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

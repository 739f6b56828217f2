"""The market: what every chain's stores have of what is wanted, and for how much, ranked in words."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from weakref import WeakKeyDictionary
from zoneinfo import ZoneInfo

from adapters.protocols import Surveyed
from domain.chains import LeftOut, Offers, OrderLine, Quote
from domain.errors import RxError, Transient
from domain.fulfilment.orders import GONE, Placed
from domain.fulfilment.portions import Portions, by_line
from domain.fulfilment.ranking import Ranked, rank
from domain.fulfilment.substitution import Consents, consents
from domain.premises import Handling, handling_of
from domain.prescription import Handover, Place, Prescription
from infra import metrics
from infra.db import orders
from infra.db.notices import NoticeKind, note
from infra.db.prescriptions import Loaded
from infra.log import get_logger
from infra.places import Standing, shortlist
from tasks.city import City

log = get_logger(__name__)
FEW_PLACES = 100
"""A chain of so many places is asked for quotes of all of them."""
NOT_FEWER: Mapping[str, frozenset[str]] = {}
MOST_LEFT_OUT = 20
"""Stores of one round of quotes that are written down as differences; the metric counts all."""


@dataclass(frozen=True)
class Market:
    """What the stores have of what is wanted."""

    wanted: Sequence[OrderLine]
    ranking: Sequence[Ranked]
    """The best first; each that may not be asked has its reason."""
    silent: Sequence[str]
    """Chains that did not answer."""

    def store(self, chain: str, name: str) -> Ranked | None:
        """A store as it is now; None where it says nothing."""
        return next((store for store in self.ranking if (store.quote.chain, store.quote.store) == (chain, name)), None)


async def ask(city: City, loaded: Loaded, attempts: Sequence[Placed], portions: Portions, handover: Handover, *,
              every: bool = True, consent: Consents | None = None) -> Market:
    """Quotes from all chains in parallel, ranked. Other products than those prescribed only as far as `consent` goes (D-13).

    `every`: each place is asked, since all are shown to the patient (D-20). Without it a chain of many places is asked for its
    best by the register. It is asked for all of them only where no place can fill everything.
    """
    rx = loaded.prescription
    quantities = by_line(portions)
    wanted = [OrderLine(item.line, item.drug, quantities[item.line], item.unit) for item in rx.items if item.line in quantities]
    handling = handling_of((line.drug for line in wanted), handover, city.knowledge, decoct=rx.to_decoct)
    start_of_today = datetime.combine(city.today(), datetime.min.time(), ZoneInfo(city.policy.timezone))
    with city.db.reading() as session:
        shares = orders.shares(session, start_of_today - timedelta(days=30), start_of_today)
    ended = {(placed.order.chain, placed.order.store): placed.ended_at for placed in attempts if placed.ended_at}
    few = {} if every else {
        slug: _best_places(city, slug, rx.place, wanted, shares, handling, frozenset(ended)) for slug in _of_many_places(city)}
    quotes, left_out, silent = await quotes_for(city, rx, wanted, handover, few)
    _note_left_out(city, left_out)
    word = consent or consents(rx)
    products = {line.drug for line in wanted} | {line.drug for quote in quotes for line in quote.lines}
    handling = handling_of(products, handover, city.knowledge, decoct=rx.to_decoct)

    def ranked(excluded: frozenset[tuple[str, str]]) -> list[Ranked]:
        return rank(quotes, wanted, city.policy, city.knowledge.ceilings, shares, handling, excluded, key=rx.id,
                    no_switch=lambda line: word.barred(line, city.knowledge))

    ranking = ranked(frozenset(ended))
    if few and not any(candidate.eligible for candidate in ranking):
        return await ask(city, loaded, attempts, portions, handover, consent=consent)
    # A store that refused is asked again only when no other is left and the city's pause is over.
    if ended and not any(candidate.may_be_asked for candidate in ranking):
        recently = city.now() - city.policy.ask_again_after
        ranking = ranked(frozenset(store for store, at in ended.items() if at > recently))
    return Market(wanted, ranking, silent)


def _of_many_places(city: City) -> list[str]:
    return [slug for slug, chain in city.chains.items() if isinstance(chain, Surveyed) and len(chain.shops()) > FEW_PLACES]


def _best_places(city: City, slug: str, place: Place, wanted: Sequence[OrderLine], shares: Mapping[str, Decimal],
                 handling: Handling, excluded: frozenset[tuple[str, str]]) -> frozenset[str]:
    """The stores of a chain among which its best are."""
    chain = city.chains[slug]
    assert isinstance(chain, Surveyed)
    survey = chain.survey({line.drug for line in wanted}, handling.handover, place)
    standing = _STANDINGS.get(chain)
    if standing is None or standing.shares != shares or standing.register is not city.policy.premises:
        standing = _STANDINGS[chain] = Standing(survey.stores, city.policy, shares)
    rows = shortlist(survey, standing, wanted, city.policy, city.knowledge.ceilings, handling, excluded)
    return frozenset(survey.stores[row][1] for row in rows)


_STANDINGS: WeakKeyDictionary[Surveyed, Standing] = WeakKeyDictionary()
"""What the city says of a chain's places, by the chain: the register of premises and the day's shares seldom change."""


async def quotes_for(city: City, rx: Prescription, wanted: Sequence[OrderLine], handover: Handover,
                     few: Mapping[str, frozenset[str]] = NOT_FEWER) -> tuple[list[Quote], list[tuple[str, LeftOut]], list[str]]:
    """Every chain's quotes within the deadline, the stores that were left out, and the chains that gave none.

    A chain that is in `few` is asked for these stores only.

    One chain's trouble is only its own, and one store's too.
    """

    async def quote(slug: str) -> Offers:
        async with asyncio.timeout(city.policy.quote_deadline.total_seconds()):
            chain = city.chains[slug]
            if slug in few and isinstance(chain, Surveyed):
                return await chain.quote_at(few[slug], wanted, handover, rx.place)
            return await chain.quote(wanted, handover, rx.place)

    slugs = sorted(city.chains)
    answers = await asyncio.gather(*(quote(slug) for slug in slugs), return_exceptions=True)
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


def parcels_left(city: City, rx: Prescription, attempts: Sequence[Placed]) -> int:
    """How many more orders this prescription may have (D-10)."""
    return (1 if rx.undivided else city.policy.most_parcels) - sum(placed.status not in GONE for placed in attempts)

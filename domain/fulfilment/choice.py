"""The patient's own choice of a pharmacy (D-01): what is offered, what follows from a choice, and what is owed next.

A round is one time of asking. Its offers are what the pharmacies said when it began. Before an order is made the chosen one is
asked again. Where it has less or costs more, another round says so: nothing is changed in silence (D-21).
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from domain.chains import OrderLine
from domain.fulfilment.allocation import Choice, Way, total
from domain.fulfilment.points import PickupPoint
from domain.fulfilment.portions import Portion, Portions, added, by_line
from domain.fulfilment.ranking import Ranked
from domain.fulfilment.substitution import NoSwitch
from domain.money import Fen
from domain.policy import Choosers, CityPolicy
from domain.prescription import Handover


class Because(StrEnum):
    """Why the patient is asked."""

    FIRST = "first"
    PRICE_RISEN = "price_risen"
    SOLD_OUT = "sold_out"
    """The chosen pharmacy no longer has it, or all of it."""
    OTHER_PRODUCT = "other_product"
    """The chosen pharmacy now offers another product than the one that was chosen."""
    NOT_OPEN = "not_open"
    DECLINED = "declined"
    """The chosen pharmacy would not take the order, or did not answer it."""
    SILENT = "silent"
    """Its chain does not answer."""
    UNABLE = "unable"
    """It may not be asked any more: at capacity, above the ceiling, or no longer with that way of handing over."""
    POINT = "point"
    """The pick-up point can no longer keep it."""
    ARRIVED = "arrived"
    """A pharmacy has all of it now."""


@dataclass(frozen=True)
class Share:
    """What one pharmacy would hand over."""

    chain: str
    store: str
    lines: tuple[OrderLine, ...]
    """With its prices."""
    minutes: int
    """Until the patient would have it."""
    score: Decimal
    why: str
    why_en: str

    @property
    def total(self) -> Fen:
        return Fen(sum(line.amount for line in self.lines))


@dataclass(frozen=True)
class Estimate:
    """How the price would divide, fen, by what the fund said of the person at the audit and by the city's rules."""

    fund: Fen
    account: Fen
    """The person's account and the family's."""
    cash: Fen


@dataclass(frozen=True)
class Option:
    """One thing that the patient may choose."""

    key: str
    """Names it within the prescription, and the round with it."""
    way: Way
    handover: Handover
    shares: tuple[Share, ...]
    """Two where two pharmacies share it."""
    owed: Portions = ()
    """What follows later, from the pharmacy that has it first."""
    estimate: Estimate | None = None
    """None: it could not be estimated."""
    point: PickupPoint | None = None
    """Where the courier brings it instead of home, and the patient collects it (D-09)."""

    @property
    def total(self) -> Fen:
        return Fen(sum(share.total for share in self.shares))

    @property
    def substitutes(self) -> tuple[OrderLine, ...]:
        """Lines with another product than the one prescribed: the patient must agree to each (D-13)."""
        return tuple(line for share in self.shares for line in share.lines if line.instead_of)

    @property
    def terms(self) -> frozenset[str]:
        """What the patient must agree to."""
        return frozenset(terms_of(line) for line in self.substitutes)

    @property
    def minutes(self) -> int:
        return max(share.minutes for share in self.shares)

    @property
    def score(self) -> Decimal:
        """Of several pharmacies the mean."""
        return sum((share.score for share in self.shares), Decimal(0)) / len(self.shares)


def terms_of(line: OrderLine) -> str:
    """What a patient agrees to who takes another product, `line:prescribed:offered`."""
    return f"{line.line}:{line.instead_of}:{line.drug}"


@dataclass(frozen=True)
class Offering:
    """What a patient is shown in one round."""

    options: tuple[Option, ...]
    """By score within a way: whole, shared by two, a part now."""
    because: Because = Because.FIRST
    chosen_before: str = ""
    """The pharmacy of the round before, `chain/store`, that `because` is about."""
    price_was: Fen | None = None
    price_is: Fen | None = None
    may_wait: bool = False
    """No pharmacy has all of it: the patient may wait for one that does."""
    refused: Mapping[str, int] = field(default_factory=dict)
    """How many pharmacies are no option, by reason (`domain.fulfilment.ranking.REASONS`)."""
    silent: tuple[str, ...] = ()
    """Chains that did not answer."""
    not_points: Mapping[str, int] = field(default_factory=dict)
    """How many times a place is no pick-up point for a pharmacy, by `domain.fulfilment.points.NotThere`."""
    insured_at: datetime | None = None
    """When the fund said of the person what the estimates go by."""

    def option(self, key: str) -> Option | None:
        return next((option for option in self.options if option.key == key), None)


class RoundState(StrEnum):
    OPEN = "open"
    CHOSEN = "chosen"
    """By the patient; the order is still to be made, or one of two."""
    TAKEN = "taken"
    """The order is made."""
    LAPSED = "lapsed"
    """The time was over without a choice, and the best one was taken. The patient is asked no more."""
    REPLACED = "replaced"
    """Another round came after it."""


ROUND_TRANSITIONS: Mapping[RoundState, frozenset[RoundState]] = {
    RoundState.OPEN: frozenset({RoundState.CHOSEN, RoundState.LAPSED, RoundState.REPLACED}),
    RoundState.CHOSEN: frozenset({RoundState.CHOSEN, RoundState.TAKEN, RoundState.REPLACED}),
    RoundState.TAKEN: frozenset({RoundState.REPLACED}),
    RoundState.LAPSED: frozenset(),
    RoundState.REPLACED: frozenset(),
}
"""A choice follows a choice only where the first one was to wait."""


@dataclass(frozen=True)
class Round:
    """One time of asking, and what became of it."""

    number: int
    offering: Offering
    offered_at: datetime
    until: datetime
    state: RoundState = RoundState.OPEN
    chosen: str = ""
    """Key of an option, or `wait_key`."""

    @property
    def option(self) -> Option | None:
        """What was chosen; None where nothing was, or to wait."""
        return self.offering.option(self.chosen)

    @property
    def waits(self) -> bool:
        """Whether the patient chose to wait for a pharmacy that has all of it."""
        return self.chosen == wait_key(self.number)


def wait_key(number: int) -> str:
    return f"{number}-wait"


_KEY = re.compile(r"([1-9][0-9]{0,5})-(?:[0-9]{1,6}|wait)")
"""The number of the round, and what it was in it."""


def options(number: int, ways: Mapping[Handover, Sequence[Sequence[Choice]]]) -> list[Option]:
    """All ways to fill it as options of that round, by `alternatives` of each way of handing over.

    Shares and parts only where no pharmacy has all of it either way (D-10). Nothing is left out for its price (D-20).
    """
    every = [(handover, orders) for handover, found in ways.items() for orders in found]
    if whole := [(handover, orders) for handover, orders in every if orders[0].way is Way.WHOLE]:
        every = whole
    order = list(Way)
    every.sort(key=lambda pair: (order.index(pair[1][0].way), -_score(pair[1]), total(pair[1]),
                                 max(choice.store.quote.minutes for choice in pair[1])))
    return [_option(f"{number}-{place}", handover, orders) for place, (handover, orders) in enumerate(every, 1)]


def with_points(number: int, offered: Sequence[Option], points: Mapping[str, Sequence[PickupPoint]]) -> list[Option]:
    """The options of a round, and each again for every point where its parcel may wait; `points` by the option's key."""
    more = [replace(option, point=point) for option in offered for point in points.get(option.key, ())]
    return [*offered, *(replace(option, key=f"{number}-{place}") for place, option in enumerate(more, len(offered) + 1))]


def _score(orders: Sequence[Choice]) -> Decimal:
    return sum((choice.store.score for choice in orders), Decimal(0)) / len(orders)


def _option(key: str, handover: Handover, orders: Sequence[Choice]) -> Option:
    return Option(key, orders[0].way, handover, tuple(_share(choice.store, choice.lines) for choice in orders),
                  owed=orders[0].left if orders[0].way is Way.PART else ())


def _share(store: Ranked, lines: tuple[OrderLine, ...]) -> Share:
    quote = store.quote
    return Share(quote.chain, quote.store, lines, quote.minutes, store.score, store.why, store.why_en)


class Step(StrEnum):
    """What is owed to a prescription that looks for a pharmacy, as far as its patient's choice goes."""

    BEST = "best"
    """The best pharmacy gets the order."""
    OFFER = "offer"
    """The patient is asked."""
    AWAIT = "await"
    """The patient has been asked, and has time."""
    LAPSE = "lapse"
    """The patient's time is over: the best one gets the order."""
    ORDER = "order"
    """What the patient chose is ordered."""
    SHORT = "short"
    """The patient waits for a pharmacy that has all of it."""


def is_asked(policy: CityPolicy, wished: bool) -> bool:
    """Whether a patient is asked at all; `wished`: they said that they want to choose."""
    return bool(policy.choose_within) and (wished or policy.choosers is Choosers.EVERYBODY)


def next_step(policy: CityPolicy, newest: Round | None, wanted: Portions, now: datetime) -> Step:
    """What is owed for the portions that are `wanted`, to one who `is_asked`; `newest` is the last time they were."""
    if newest is None:
        return Step.OFFER
    match newest.state:
        case RoundState.OPEN:
            return Step.LAPSE if policy.best_unless_chosen and now >= newest.until else Step.AWAIT
        case RoundState.CHOSEN:
            return Step.SHORT if newest.waits else Step.ORDER
        case RoundState.TAKEN:
            # What was ordered is wanted again: its pharmacy let it go. What a part left open goes to the first that has it.
            return Step.BEST if _within(wanted, newest.option.owed if newest.option else ()) else Step.OFFER
    return Step.BEST


def share_to_order(chosen: Option, wanted: Portions) -> Share | None:
    """The first share of a choice that is still wanted; None once all are ordered."""
    return next((share for share in chosen.shares if _within(_portions(share), wanted)), None)


def is_last(chosen: Option, share: Share, wanted: Portions) -> bool:
    """Whether no other share is to be ordered after this one."""
    return all(_portions(other) == _portions(share) or not _within(_portions(other), wanted) for other in chosen.shares)


def _portions(share: Share) -> Portions:
    return added(Portion(line.line, line.quantity) for line in share.lines)


def _within(some: Portions, all_of: Portions) -> bool:
    room = by_line(all_of)
    return all(portion.quantity <= room.get(portion.line, 0) for portion in some)


_NO_LONGER: Mapping[str, Because] = {
    "excluded": Because.DECLINED, "closed": Because.NOT_OPEN, "incomplete": Because.SOLD_OUT,
}


def why_not(share: Share, now: Ranked | None, lines: Sequence[OrderLine] | None, silent: bool) -> Because | None:
    """Why a chosen share cannot be ordered as it was offered; None where it can.

    `now` is the pharmacy as it is now, None where it says nothing; `lines` what it gives of the share, None where less than that.
    """
    if silent:
        return Because.SILENT
    if now is None:
        return Because.SOLD_OUT
    if not now.may_be_asked:
        return Because.OTHER_PRODUCT if now.reason in set(NoSwitch) else _NO_LONGER.get(now.reason, Because.UNABLE)
    if lines is None:
        return Because.SOLD_OUT
    offered = {line.line: line for line in share.lines}
    if any(line.drug != offered[line.line].drug for line in lines):
        return Because.OTHER_PRODUCT
    if any(line.amount > offered[line.line].amount for line in lines):
        return Because.PRICE_RISEN
    return None


class Verdict(StrEnum):
    """What becomes of a patient's choice."""

    TAKEN = "taken"
    """It counts from here on."""
    REPEATED = "repeated"
    """It counts already."""
    UNAGREED = "unagreed"
    """It has another product in the place of the one prescribed, and the patient has not agreed to that."""
    OTHERWISE = "otherwise"
    """Another choice counts."""
    OUTDATED = "outdated"
    """It is of an earlier round: the offers have changed."""
    UNKNOWN = "unknown"
    """There is no such option."""
    LATE = "late"
    """The time is over, or the prescription is: nothing can be chosen any more."""
    NOT_ASKED = "not_asked"
    """The patient is not asked, or not yet."""


def judge(newest: Round | None, key: str, *, looks: bool, agreed: Collection[str] = ()) -> Verdict:
    """What becomes of a choice. `looks`: a pharmacy is looked for, and no cancel is on its way.

    `agreed`: the terms that the patient says yes to (`Option.terms`); an option does not count without its own (D-13).
    """
    if newest is None:
        return Verdict.NOT_ASKED if looks else Verdict.LATE
    if newest.chosen == key and (newest.state is RoundState.TAKEN or (newest.state is RoundState.CHOSEN and looks)):
        return Verdict.REPEATED
    if not looks or newest.state is RoundState.LAPSED:
        return Verdict.LATE
    if not (parts := _KEY.fullmatch(key)) or int(parts[1]) > newest.number:
        return Verdict.UNKNOWN
    if int(parts[1]) < newest.number:
        return Verdict.OUTDATED
    if newest.offering.option(key) is None and not (newest.offering.may_wait and key == wait_key(newest.number)):
        return Verdict.UNKNOWN
    if (option := newest.offering.option(key)) and not option.terms <= set(agreed):
        return Verdict.UNAGREED
    # To wait does not bind: nothing has been ordered for it.
    if newest.state is RoundState.OPEN or (newest.state is RoundState.CHOSEN and newest.waits):
        return Verdict.TAKEN
    return Verdict.OTHERWISE


def may_choose(newest: Round | None, *, looks: bool) -> bool:
    """Whether one of the options of a round can be chosen now."""
    return newest is not None and looks and (
        newest.state is RoundState.OPEN or (newest.state is RoundState.CHOSEN and newest.waits))


def asked_until(policy: CityPolicy, now: datetime, valid_until: datetime) -> datetime:
    """How long a round that begins now is open; where the best is not taken afterwards, until the validity ends."""
    return min(now + policy.choose_within, valid_until) if policy.best_unless_chosen else valid_until


def estimated(option: Option, shares: Sequence[tuple[Fen, Fen, Fen]]) -> Option:
    """The option with what its claims come to: fund, account and cash of each."""
    fund, account, cash = (Fen(sum(share[part] for share in shares)) for part in range(3))
    return replace(option, estimate=Estimate(fund, account, cash))



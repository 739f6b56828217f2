"""Which pharmacy is asked first: hard filters (D-02), a score (D-17), and a sentence that says why."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal

from domain.chains import OrderLine, Quote
from domain.fulfilment.substitution import NoSwitch
from domain.money import Fen, line_amount, yuan
from domain.policy import CityPolicy
from domain.premises import Barred, Handling, premises_of

WEIGHTS: dict[str, Decimal] = {
    "distance": Decimal("0.25"),
    "fill": Decimal("0.20"),
    "price": Decimal("0.15"),
    "load": Decimal("0.12"),
    "on_time": Decimal("0.13"),
    "quality": Decimal("0.05"),
    "fair": Decimal("0.10"),
}

TERM_WORDS: dict[str, tuple[str, str]] = {
    "distance": ("距离近", "near"),
    "fill": ("药品齐全", "fills every line"),
    "price": ("价格低", "well below the price ceiling"),
    "load": ("空闲", "not busy"),
    "on_time": ("守时", "keeps its promises"),
    "quality": ("投诉少", "few complaints"),
    "fair": ("近期接单少", "had few orders lately"),
}

INCOMPLETE = "incomplete"
"""The reason of a store that lacks something."""
IN_PART = frozenset({INCOMPLETE, *Barred, *NoSwitch})
"""Reasons of a store that cannot give all and may give the rest."""
REASONS: dict[str, tuple[str, str]] = {
    "": ("可以承接", "eligible"),
    "excluded": ("该药店已拒绝过本处方", "it declined this prescription before"),
    "closed": ("未营业或无药师在岗", "it is closed or has no pharmacist on duty"),
    "no_handover": ("不提供所要求的取药方式", "it does not offer the handover asked for"),
    "no_ceiling": ("有药品在目录中没有限价", "a line has no price ceiling in the catalogue"),
    "price_over": ("有药品报价高于限价", "a line is priced above the ceiling"),
    "full": ("已满负荷", "it is working to full capacity"),
    Barred.NOT_DUAL_CHANNEL: ("不是双通道定点,不能配国谈药品", "it is not designated for drugs under a national price agreement"),
    "no_decoct_capacity": ("不能代煎,或今日代煎能力已满", "it cannot decoct, or not so many doses more today"),
    Barred.NO_PIECES: ("没有中药饮片经营资质", "it is not licensed for pieces of Chinese medicine"),
    Barred.NOT_DISPENSING: ("只是取药点,不能配药", "it is a pick-up point and may not dispense"),
    Barred.NO_COLD_CHAIN: ("没有所需的冷链条件", "it has no cold chain for a line that needs one"),
    NoSwitch.UNASKED: ("只有同通用名的其他产品，而患者未被询问或未同意",
                       "it only has another product of the generic, and the patient was not asked or did not agree"),
    NoSwitch.FORBIDDEN: ("只有其他产品，而医师不同意替换", "it only has another product, and the prescriber wants no other"),
    NoSwitch.GENERIC: ("所报产品不是同一通用名", "what it offers instead is not the same generic"),
    NoSwitch.FORM: ("所报产品剂型不同，如缓释与普通", "what it offers instead has another form, as sustained release"),
    NoSwitch.ROUTE: ("所报产品给药途径不同", "what it offers instead is taken by another route"),
    NoSwitch.STRENGTH: ("所报产品规格不同", "what it offers instead has another strength"),
    NoSwitch.MULTIPLE: ("所报产品规格为倍数，需医师重新开具", "it offers another strength: the doctor must prescribe it anew"),
    NoSwitch.NARROW_INDEX: ("治疗窗窄，未经医师同意不换产品", "narrow index: no other product without the doctor's consent"),
    NoSwitch.BIOLOGIC: ("生物制品，未经医师同意不换产品", "it is a biologic: no other product without the doctor's consent"),
    NoSwitch.INHALER: ("吸入装置，未经医师同意不换产品", "it is an inhaler: no other product without the doctor's consent"),
    NoSwitch.UNKNOWN: ("所报产品资料不全，不能替换", "too little is known of what it offers instead"),
    INCOMPLETE: ("不能配齐全部药品", "it cannot fill every line"),
}


@dataclass(frozen=True)
class Ranked:
    """A quote with its place in the order and the reason for it."""

    quote: Quote
    """Without the lines that its premises may not dispense."""
    score: Decimal
    """0 to 100, two decimals; computed for refused quotes too, so that people can compare."""
    terms: dict[str, Decimal]
    """Each term of D-17, 0 to 1, before its weight."""
    eligible: bool
    reason: str
    """Empty when eligible, else a key of `REASONS`."""
    why: str
    """One sentence, in Chinese."""
    why_en: str

    def explained(self) -> dict[str, tuple[str, str]]:
        """Weight and value of each term as texts, the heaviest first: what the score is made of (D-17)."""
        return {name: (str(weight), f"{self.terms[name]:.4f}")
                for name, weight in sorted(WEIGHTS.items(), key=lambda weighed: -weighed[1])}

    @property
    def may_be_asked(self) -> bool:
        """For all that is wanted, or for what it has of it."""
        return self.eligible or self.reason in IN_PART


def score(terms: Mapping[str, Decimal]) -> Decimal:
    """The score of D-17, 0 to 100, rounded once at the end, half up."""
    total = sum((weight * terms[name] for name, weight in WEIGHTS.items()), Decimal(0))
    return (100 * total).quantize(Decimal("0.01"), ROUND_HALF_UP)


@dataclass(frozen=True)
class Summand:
    """What one term brings to a score of D-17."""

    words: tuple[str, str]
    """In Chinese and in English."""
    percent: str
    """The weight, of 100."""
    value: str
    """The term, 0 to 1."""
    points: str
    """Weight times term: together they are the score, but for the last rounding."""


def summands(explained: Mapping[str, Sequence[str]]) -> list[Summand]:
    """What a score was made of, from `Ranked.explained` as it was written down; a term of another release has its own name."""
    return [Summand(TERM_WORDS.get(name, (name, name)), f"{100 * Decimal(weight):.0f}", f"{Decimal(value):.2f}",
                    f"{100 * Decimal(weight) * Decimal(value):.2f}") for name, (weight, value) in explained.items()]


def _always(_: OrderLine) -> None:
    """No line is another product."""


def rank(
    quotes: Sequence[Quote],
    wanted: Sequence[OrderLine],
    policy: CityPolicy,
    ceilings: Mapping[str, Decimal],
    shares: Mapping[str, Decimal],
    handling: Handling,
    excluded: frozenset[tuple[str, str]] = frozenset(),
    key: str = "",
    no_switch: Callable[[OrderLine], NoSwitch | None] = _always,
) -> list[Ranked]:
    """Every quote, best first, those that may not be asked last.

    `ceilings` are yuan per counted unit by drug (`Knowledge.ceilings`). `shares` is the share of the area's orders in 30 days
    of each `chain/store` (D-16); a store without one is new. `handling` is what the wanted drugs ask of a store (D-06, D-07).
    `excluded` holds the (chain, store) pairs that declined. Ties go to the smaller total, then the shorter time. The last
    tie-break is a hash with `key` (the prescription's id), so that no fixed store wins. `no_switch` says why a line of a quote
    may not take the place of what was prescribed (D-13).
    """
    ranked = [_judge(quote, wanted, policy, ceilings, shares, handling, excluded, no_switch) for quote in quotes]
    return sorted(ranked, key=lambda ranking: (not ranking.eligible, -ranking.score, ranking.quote.total, ranking.quote.minutes,
                                           _lot(key, ranking.quote)))


def _lot(key: str, quote: Quote) -> str:
    return hashlib.sha256(f"{key}\n{quote.chain}\n{quote.store}".encode()).hexdigest()


def _judge(
    quote: Quote,
    wanted: Sequence[OrderLine],
    policy: CityPolicy,
    ceilings: Mapping[str, Decimal],
    shares: Mapping[str, Decimal],
    handling: Handling,
    excluded: frozenset[tuple[str, str]],
    no_switch: Callable[[OrderLine], NoSwitch | None],
) -> Ranked:
    premises = premises_of(policy.premises, quote.chain, quote.store)
    judged = [(line, handling.barred(line.drug, premises) or no_switch(line)) for line in quote.lines]
    bars = [bar for _, bar in judged if bar]
    if bars:
        quote = replace(quote, lines=tuple(line for line, bar in judged if not bar))
    filled = [line for line in wanted if _fills(quote, line)]
    ceiling = Fen(sum(line_amount(ceilings.get(line.drug, Decimal(0)), line.quantity) for line in wanted))
    share = shares.get(f"{quote.chain}/{quote.store}", Decimal(0))
    terms = {
        "distance": _clamp(1 - Decimal(quote.minutes) / policy.max_minutes),
        "fill": Decimal(len(filled)) / len(wanted) if wanted else Decimal(0),
        "price": _clamp(Decimal(ceiling - quote.total) / ceiling) if ceiling else Decimal(0),
        "load": _clamp(1 - quote.load),
        "on_time": _clamp(quote.on_time),
        "quality": _clamp(quote.quality),
        "fair": _clamp(1 - share / policy.share_cap),
    }
    reason = _refusal(quote, wanted, filled, ceilings, excluded)
    if reason in ("", INCOMPLETE) and not handling.offers(premises):
        reason = "no_handover"
    if reason in ("", INCOMPLETE) and not bars and not handling.may_decoct(premises, quote.decoct_left):
        reason = "no_decoct_capacity"
    if reason == INCOMPLETE and bars:
        reason = bars[0]  # What people can change: the lack itself follows from it.
    why, why_en = _sentences(quote, terms, score(terms), reason)
    return Ranked(quote, score(terms), terms, not reason, reason, why, why_en)


def _fills(quote: Quote, wanted: OrderLine) -> bool:
    # By drug: not every chain repeats our line numbers, and one drug stands on one line only (B-25).
    return any(offer.prescribed == wanted.prescribed and offer.quantity >= wanted.quantity for offer in quote.lines)


def _refusal(
    quote: Quote,
    wanted: Sequence[OrderLine],
    filled: Sequence[OrderLine],
    ceilings: Mapping[str, Decimal],
    excluded: frozenset[tuple[str, str]],
) -> str:
    """The first hard filter a quote fails (D-02, D-04, D-15, D-18), or nothing."""
    if (quote.chain, quote.store) in excluded:
        return "excluded"
    if not quote.open:
        return "closed"
    if not quote.delivers:
        return "no_handover"
    if any(line.drug not in ceilings for line in quote.lines):
        return "no_ceiling"
    if any(line.unit_price > ceilings[line.drug] for line in quote.lines):
        return "price_over"
    if any(line.amount > line_amount(ceilings[line.drug], line.quantity) for line in quote.lines):
        return "price_over"
    if quote.load >= 1:
        return "full"
    # The last one: a store that only lacks something may still be asked for what it has (D-10, D-11).
    return INCOMPLETE if not wanted or len(filled) < len(wanted) else ""


def _sentences(quote: Quote, terms: Mapping[str, Decimal], total: Decimal, reason: str) -> tuple[str, str]:
    store = f"{quote.chain}/{quote.store}"
    if reason:
        why, why_en = REASONS[reason]
        return f"{store} 不参与分配:{why}。", f"{store} is not asked: {why_en}."
    best = sorted(terms, key=lambda name: (-terms[name] * WEIGHTS[name], name))[:2]
    # A heavy term may both bring most and leave most out: what is praised is not blamed.
    worst = max(terms.keys() - set(best), key=lambda name: ((1 - terms[name]) * WEIGHTS[name], name))
    facts = f"{quote.minutes} 分钟,{yuan(quote.total)} 元"
    facts_en = f"{quote.minutes} minutes, {yuan(quote.total)} yuan"
    (first, first_en), (two, two_en), (minus, minus_en) = (TERM_WORDS[name] for name in (*best, worst))
    lost, lost_en = ("", "") if terms[worst] == 1 else (
        f",其余各项中失分最多的是{minus}", f", and of the rest loses most on \"{minus_en}\"")
    return (
        f"{store} 得 {total} 分({facts}):加分最多的是{first}、{two}{lost}。",
        f"{store} scores {total} ({facts_en}): it gains most from \"{first_en}\" and \"{two_en}\"{lost_en}.",
    )


def _clamp(value: Decimal) -> Decimal:
    return max(Decimal(0), min(Decimal(1), value))

"""What the fund pays, computed by the insurance centre itself: yuan in Decimal, one class of money at a time.

Written from the city's benefit page and the settlement rules F.x, not from the platform.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_HALF_UP, Decimal

NOTHING = Decimal("0.00")
WITHOUT_LIMIT = Decimal("Infinity")


def cents(amount: Decimal) -> Decimal:
    """Half up to 0.01 (F-01)."""
    return amount.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)


@dataclass(frozen=True)
class Drug:
    """How the catalogue treats a drug."""

    grade: str
    """甲, 乙 or 丙; 丙 is never paid."""
    first_pay: Decimal = NOTHING
    """Share the patient pays before anything else."""
    standard: Decimal | None = None
    """Payment standard per counted unit, yuan."""


@dataclass(frozen=True)
class Sold:
    """One line of a claim."""

    drug: Drug | None
    """None: not in the catalogue."""
    quantity: Decimal
    price: Decimal
    denied: bool = False


@dataclass(frozen=True)
class Split:
    """One line in four parts (F-02)."""

    own: Decimal
    over: Decimal
    first: Decimal
    scope: Decimal


@dataclass(frozen=True)
class Terms:
    """The benefit policy that applies to a claim."""

    ratio: Decimal
    deductible: Decimal = NOTHING
    cap_basis: str = "NONE"
    cap: Decimal = WITHOUT_LIMIT
    pool_cap: Decimal = WITHOUT_LIMIT
    large_ratio: Decimal = NOTHING
    serious_threshold: Decimal | None = None
    """None: the claim does not count for serious illness."""
    serious_ratio: Decimal = NOTHING
    civil_ratio: Decimal = NOTHING
    aid_ratio: Decimal = NOTHING
    aid_deductible: Decimal = NOTHING
    aid_cap: Decimal = WITHOUT_LIMIT
    account_scope: str = "ALL"


@dataclass(frozen=True)
class Standing:
    """What a person has used up this year, and what is left in the accounts."""

    deductible: Decimal = NOTHING
    cap: Decimal = NOTHING
    pool: Decimal = NOTHING
    serious: Decimal = NOTHING
    aid: Decimal = NOTHING
    account: Decimal = NOTHING
    family: Decimal = NOTHING


@dataclass(frozen=True)
class Outcome:
    """How the money of one claim divides."""

    lines: tuple[Split, ...]
    deductible: Decimal
    pool: Decimal
    large: Decimal
    serious: Decimal
    civil: Decimal
    aid: Decimal
    account: Decimal
    family: Decimal
    cash: Decimal
    counted_cap: Decimal
    """What counts against the cap."""
    counted_serious: Decimal
    """What counts towards serious illness."""
    line_pool: tuple[Decimal, ...] = field(default=())

    @property
    def own(self) -> Decimal:
        return sum((line.own for line in self.lines), NOTHING)

    @property
    def over(self) -> Decimal:
        return sum((line.over for line in self.lines), NOTHING)

    @property
    def first(self) -> Decimal:
        return sum((line.first for line in self.lines), NOTHING)

    @property
    def scope(self) -> Decimal:
        return sum((line.scope for line in self.lines), NOTHING)

    @property
    def total(self) -> Decimal:
        return self.own + self.over + self.first + self.scope

    @property
    def fund(self) -> Decimal:
        return self.pool + self.large + self.serious + self.civil + self.aid


def settle(sold: Sequence[Sold], terms: Terms, used: Standing) -> Outcome:
    """Divide a claim (F.x); the parts add up to the total, or it is an `AssertionError` of ours."""
    lines = tuple(split(line) for line in sold)
    scope = sum((line.scope for line in lines), NOTHING)
    deductible = min(scope, max(NOTHING, terms.deductible - used.deductible))
    base = scope - deductible

    room = max(NOTHING, terms.cap - used.cap)
    if terms.cap_basis == "ELIGIBLE":
        counted = min(base, room)
        pool = cents(counted * terms.ratio)
    else:
        pool = cents(base * terms.ratio)
        if terms.cap_basis == "FUND":
            pool = min(pool, room)
        counted = pool

    left = max(NOTHING, terms.pool_cap - used.pool)
    large = NOTHING
    if pool > left:
        large = cents((pool - left) / terms.ratio * terms.large_ratio)
        pool = left
        counted = pool if terms.cap_basis != "ELIGIBLE" else counted

    patient = scope - pool - large
    serious = NOTHING
    if terms.serious_threshold is not None:
        from_here = max(terms.serious_threshold, used.serious)
        serious = cents(max(NOTHING, used.serious + patient - from_here) * terms.serious_ratio)
    rest = patient - serious
    civil = cents(rest * terms.civil_ratio)
    rest -= civil
    aid = min(cents(max(NOTHING, rest - terms.aid_deductible) * terms.aid_ratio), terms.aid_cap - used.aid)

    total = sum((line.own + line.over + line.first + line.scope for line in lines), NOTHING)
    fund = pool + large + serious + civil + aid
    person = total - fund
    payable = {
        "ALL": person,
        "EXCLUDE_OVERLMT": person - sum((line.over for line in lines), NOTHING),
        "ELIGIBLE_ONLY": scope - fund,
        "NONE": NOTHING,
    }[terms.account_scope]
    account = max(NOTHING, min(used.account, payable))
    family = min(used.family, person - account)
    outcome = Outcome(
        lines, deductible, pool, large, serious, civil, aid, account, family, person - account - family, counted,
        patient if terms.serious_threshold is not None else NOTHING,
        tuple(pool_by_line(lines, terms.ratio, deductible, pool)))
    if outcome.total != outcome.fund + outcome.account + outcome.family + outcome.cash:
        raise AssertionError("F-17: the parts are not the whole")
    return outcome


def split(line: Sold) -> Split:
    """One line's gross amount in four parts (F-02 to F-05)."""
    gross = cents(line.quantity * line.price)
    if line.drug is None or line.denied or line.drug.grade == "丙":
        return Split(gross, NOTHING, NOTHING, NOTHING)
    over = NOTHING
    if line.drug.standard is not None:
        over = max(NOTHING, gross - cents(line.quantity * line.drug.standard))
    first = cents((gross - over) * line.drug.first_pay)
    return Split(NOTHING, over, first, gross - over - first)


def pool_by_line(lines: Sequence[Split], ratio: Decimal, deductible: Decimal, pool: Decimal) -> Iterator[Decimal]:
    """The pool's share of each line: the deductible eats the first lines, rounding ends in the last with room."""
    shares, left_of_pool = [], pool
    for line in lines:
        eaten = min(deductible, line.scope)
        deductible -= eaten
        share = min(cents((line.scope - eaten) * ratio), left_of_pool)
        left_of_pool -= share
        shares.append((share, line.scope - eaten))
    for number in range(len(shares) - 1, -1, -1):
        share, most = shares[number]
        more = min(left_of_pool, most - share)
        left_of_pool -= more
        shares[number] = (share + more, most)
    yield from (share for share, _ in shares)


def after(used: Standing, outcome: Outcome, sign: int = 1) -> Standing:
    """What is used up after a settlement, or before it again (sign -1: a reversal)."""
    return replace(
        used,
        deductible=used.deductible + sign * outcome.deductible,
        cap=used.cap + sign * outcome.counted_cap,
        pool=used.pool + sign * outcome.pool,
        serious=used.serious + sign * outcome.counted_serious,
        aid=used.aid + sign * outcome.aid,
        account=used.account - sign * outcome.account,
        family=used.family - sign * outcome.family,
    )

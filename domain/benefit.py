"""How a price divides between the fund, the account and the patient. Whole fen, no clock, no network.

The reference algorithm of rules-cn, section F.x. The platform forecasts with it; the insurance
centre's own answer is what counts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal

from domain.chains import OrderLine
from domain.claims import Accumulators, Entitlement, Settlement
from domain.knowledge.tables import Knowledge
from domain.money import Fen, line_amount, share
from domain.policy import AccountScope, BenefitPolicy, CapBasis, CityPolicy, Scope
from domain.prescription import Prescription

UNLISTED = "丙"


@dataclass(frozen=True)
class BenefitLine:
    """What the fund needs to know of one line. `amount` in fen, prices in yuan per counted unit."""

    amount: Fen
    quantity: Decimal
    category: str
    """National class: 甲, 乙 or 丙."""
    first_selfpay: Decimal = Decimal(0)
    pay_standard: Decimal | None = None
    selfpay: bool = False
    """Denied by the audit, or a restricted item without approval (F-04)."""


@dataclass(frozen=True)
class BenefitTerms:
    """One benefit policy as it applies to one claim: ratio and cap are already chosen."""

    policy: BenefitPolicy
    ratio: Decimal
    cap: Fen | None = None
    cap_name: str = ""
    """Which cap it is: the disease's code, or the empty text for ordinary outpatient."""

    @classmethod
    def of(cls, policy: BenefitPolicy, level: int, retired: bool, cap: Fen | None = None, disease: str = "") -> "BenefitTerms":
        """The policy at a hospital of that level; a disease's cap replaces the policy's own."""
        return cls(policy, policy.ratio(level, retired), policy.cap if cap is None else cap, disease)


@dataclass(frozen=True)
class Insured:
    """What depends on the person and not on the claim. Amounts in fen."""

    civil_ratio: Decimal = Decimal(0)
    aid_ratio: Decimal = Decimal(0)
    aid_deductible: Fen = Fen(0)
    aid_left: Fen = Fen(0)
    """What medical aid may still pay this year (F-14)."""
    family: Fen = Fen(0)
    """Balance of the family's shared account (F-16)."""


@dataclass(frozen=True)
class Split:
    """One line in four (F-02): gross = own + over + first_pay + eligible."""

    own: Fen
    over: Fen
    first_pay: Fen
    eligible: Fen


def split(line: BenefitLine) -> Split:
    """Divide one line (F-02 to F-05)."""
    if line.selfpay or line.category == UNLISTED:
        return Split(line.amount, Fen(0), Fen(0), Fen(0))
    allowed = line.amount
    if line.pay_standard is not None:
        allowed = min(line.amount, line_amount(line.pay_standard, line.quantity))
    first_pay = share(allowed, line.first_selfpay)
    return Split(Fen(0), Fen(line.amount - allowed), first_pay, Fen(allowed - first_pay))


def calculate(lines: Sequence[BenefitLine], terms: BenefitTerms, person: Insured, used: Accumulators) -> Settlement:
    """Compute one claim in fen, in the order of funds of F-15.

    Of what is used up, the cap of the claim itself counts, not those of other diseases (B-46). Never pays more
    than the eligible amount, and every identity of `Settlement` holds by construction.
    """
    policy, ratio, used = terms.policy, terms.ratio, used.against(terms.cap_name)
    splits = [split(line) for line in lines]
    total, eligible = _sum(line.amount for line in lines), _sum(s.eligible for s in splits)

    deductible = min(eligible, _left(policy.deductible, used.deductible_used))
    pool = _pool(Fen(eligible - deductible), terms, used)
    large = Fen(0)
    if policy.pool_cap is not None and pool > (room := _left(policy.pool_cap, used.pool_used)):
        # F-11: the eligible amount behind the excess goes to the large-sum scheme, at its own ratio.
        excess = Decimal(pool - room) * policy.large_ratio / ratio
        large = Fen(min(int(excess.quantize(Decimal(1), ROUND_HALF_UP)), eligible - deductible - room))
        pool = room

    burden = Fen(eligible - pool - large)
    serious = Fen(0)
    if policy.serious_counts:
        over_threshold = used.serious_illness + burden - max(policy.serious_threshold, used.serious_illness)
        serious = share(max(0, over_threshold), policy.serious_ratio)
    rest = burden - serious
    civil = share(rest, person.civil_ratio)
    rest -= civil
    aid = min(share(max(0, rest - person.aid_deductible), person.aid_ratio), person.aid_left)

    fund = Fen(pool + large + serious + civil + aid)
    patient = total - fund
    over = _sum(s.over for s in splits)
    payable = {
        AccountScope.ALL: patient,
        AccountScope.EXCLUDE_OVERLMT: patient - over,
        AccountScope.ELIGIBLE_ONLY: eligible - fund,
        AccountScope.NONE: 0,
    }[policy.account_scope]
    account = Fen(min(max(0, used.account), payable))
    family = Fen(min(person.family, patient - account))
    return Settlement(
        total=total, own=_sum(s.own for s in splits), over=over, first_pay=_sum(s.first_pay for s in splits),
        eligible=eligible, deductible=deductible, pool=pool, large=large, serious=serious, civil=civil, aid=aid,
        fund=fund, account=account, family=family, cash=Fen(patient - account - family),
        line_pool=_line_pool(splits, deductible, ratio, pool),
    )


def cap_may_end(lines: Sequence[BenefitLine], terms: BenefitTerms, used: Accumulators) -> bool:
    """Whether the yearly cap could be less than what the lines cost: only then can it change what the pool pays."""
    if terms.cap is None or terms.policy.cap_basis is CapBasis.NONE:
        return False
    return _sum(line.amount for line in lines) > _left(terms.cap, used.against(terms.cap_name).cap_used)


def _pool(base: Fen, terms: BenefitTerms, used: Accumulators) -> Fen:
    """The pool's part of what is left after the deductible, within the cap (F-08, F-09)."""
    if terms.cap is None or terms.policy.cap_basis is CapBasis.NONE:
        return share(base, terms.ratio)
    room = _left(terms.cap, used.cap_used)
    if terms.policy.cap_basis is CapBasis.ELIGIBLE:
        return share(min(base, room), terms.ratio)
    return min(share(base, terms.ratio), room)


def _line_pool(splits: Sequence[Split], deductible: Fen, ratio: Decimal, pool: Fen) -> tuple[Fen, ...]:
    """The pool's share of each line, in order; the rounding residue goes to the last line with room."""
    shares: list[int] = []
    rooms: list[int] = []
    for split in splits:
        eaten = min(split.eligible, deductible)
        deductible = Fen(deductible - eaten)
        rooms.append(split.eligible - eaten)
        shares.append(min(share(split.eligible - eaten, ratio), pool - sum(shares)))
    residue = pool - sum(shares)
    for place in reversed(range(len(shares))):
        added = min(residue, rooms[place] - shares[place])
        shares[place] += added
        residue -= added
    return tuple(Fen(amount) for amount in shares)


def _left(limit: int, used: int) -> Fen:
    return Fen(max(0, limit - used))


def _sum(amounts: Iterable[int]) -> Fen:
    return Fen(sum(amounts))


def applicable(policy: CityPolicy, level: int, entitlement: Entitlement, disease_code: str) -> BenefitTerms | None:
    """The terms that apply to a claim, or None when the fund pays nothing at all.

    Chronic when the person is qualified for the claimed disease, else ordinary outpatient (B-44). The ratio is that of
    `level`, the prescribing hospital's, 1 to 3 (F-07).
    """
    if not entitlement.active:
        return None
    chronic = disease_code in entitlement.diseases and disease_code in policy.disease_caps
    scope = Scope.CHRONIC if chronic else Scope.OUTPATIENT
    for benefit in policy.benefits:
        if (benefit.insutype, benefit.scope) == (entitlement.insutype, scope):
            cap = policy.disease_caps[disease_code] if chronic else None
            return BenefitTerms.of(benefit, level, entitlement.retired, cap, disease_code if chronic else "")
    return None


def benefit_line(line: OrderLine, knowledge: Knowledge, selfpay: bool) -> BenefitLine:
    """An order line with what the city's catalogue says of it; a drug not listed counts as 丙 (F-03)."""
    entry = knowledge.catalogue.get(line.drug)
    if entry is None:
        return BenefitLine(line.amount, line.quantity, UNLISTED, selfpay=selfpay)
    return BenefitLine(line.amount, line.quantity, entry.category, entry.first_selfpay, entry.pay_standard, selfpay)


def restricted(drug: str, knowledge: Knowledge) -> bool:
    """Whether the fund pays a catalogue's drug under conditions only (F-04)."""
    entry = knowledge.drug(drug)
    return entry is not None and bool(knowledge.index.restrictions.rows(entry))


def forecasts(rx: Prescription, orders: Sequence[Sequence[OrderLine]], entitlement: Entitlement, policy: CityPolicy,
              knowledge: Knowledge, selfpay: frozenset[int]) -> list[Settlement]:
    """The same of several orders, each claimed after those before it: what these use up is gone."""
    expected: list[Settlement] = []
    for lines in orders:
        expected.append(forecast(rx, lines, entitlement, policy, knowledge, selfpay))
        terms = applicable(policy, policy.hospital(rx.hospital).level, entitlement, rx.coverage.disease_code)
        if terms is not None:
            entitlement = replace(entitlement, used=used_after(entitlement.used, expected[-1], terms))
    return expected


def used_after(used: Accumulators, claim: Settlement, terms: BenefitTerms) -> Accumulators:
    """What is used up once the fund has paid a claim under these terms (F.x, accumulators)."""
    counted = claim.pool
    if terms.policy.cap_basis is CapBasis.ELIGIBLE:
        counted = Fen(claim.eligible - claim.deductible)
        if terms.cap is not None:
            counted = min(counted, _left(terms.cap, used.against(terms.cap_name).cap_used))
    caps = None if used.caps is None else tuple({**dict(used.caps), terms.cap_name: Fen(
        used.against(terms.cap_name).cap_used + counted)}.items())
    burden = claim.eligible - claim.pool - claim.large
    return replace(
        used, deductible_used=Fen(used.deductible_used + claim.deductible), cap_used=Fen(used.cap_used + counted), caps=caps,
        pool_used=Fen(used.pool_used + claim.pool), account=Fen(used.account - claim.account),
        serious_illness=Fen(used.serious_illness + (burden if terms.policy.serious_counts else 0)))


def forecast(
    rx: Prescription,
    order_lines: Sequence[OrderLine],
    entitlement: Entitlement,
    policy: CityPolicy,
    knowledge: Knowledge,
    selfpay: frozenset[int],
) -> Settlement:
    """What the platform expects the fund to pay for an order, in fen; the fund's answer is what counts.

    `selfpay` holds the prescription lines the audit denied. Raises `NeedsOperator` for an unknown hospital.
    """
    lines = [benefit_line(line, knowledge, line.line in selfpay) for line in order_lines]
    level = policy.hospital(rx.hospital).level
    terms = applicable(policy, level, entitlement, rx.coverage.disease_code)
    if terms is None:
        total = _sum(line.amount for line in lines)
        return Settlement(total=total, own=total, over=Fen(0), first_pay=Fen(0), eligible=Fen(0), deductible=Fen(0),
                          pool=Fen(0), cash=total, line_pool=(Fen(0),) * len(lines))
    person = Insured(civil_ratio=terms.policy.civil_ratio if entitlement.civil_servant else Decimal(0))
    return calculate(lines, terms, person, entitlement.used)

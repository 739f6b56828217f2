"""What passes between the platform and the insurance fund: persons, claims, settlements.

Field names in comments are those of the national FSI interface (infno 1101, 5301, 2101-2103, 3201).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Final

from domain.fulfilment.portions import Portion, Portions, added
from domain.lifecycle import Money
from domain.money import Fen
from domain.prescription import Approval
from domain.trace import CodedPack

CARRIED: Final[Mapping[str, int]] = {
    "psn_name": 50,
    "certno": 50,
    "bilg_dr_codg": 30,
    "med_list_codg": 50,
    "used_frqu_dscr": 200,
}
"""Characters the fund's interface takes of what a hospital says (1101, 2101). What is longer is refused at the door, because
the fund would refuse it after audit and review have passed the prescription."""
CARRIED_DAYS: Final = 99
"""Days' supply the interface takes of one line (prd_days, N4,2)."""


@dataclass(frozen=True)
class Identity:
    """A person towards the fund. Decrypted for one call and never stored, logged or shown."""

    name: str = field(repr=False)
    id_number: str = field(repr=False)
    certificate_type: str = "02"
    """mdtrt_cert_type: 01 e-credential, 02 ID card, 03 social security card."""


@dataclass(frozen=True)
class Accumulators:
    """What the person has used up this benefit year, in fen."""

    deductible_used: Fen = Fen(0)
    cap_used: Fen = Fen(0)
    """Counted against the cap of the claim; the fullest of all caps while `caps` is there and no claim is named."""
    pool_used: Fen = Fen(0)
    serious_illness: Fen = Fen(0)
    account: Fen = Fen(0)
    """Balance of the personal account (balc)."""
    caps: tuple[tuple[str, Fen], ...] | None = None
    """Disease code -> counted against its cap, the empty code for ordinary outpatient; None where the fund does not say."""

    def against(self, cap: str) -> "Accumulators":
        """As they count for a claim under that cap: a disease code, or the empty text (B-46)."""
        return self if self.caps is None else replace(self, cap_used=dict(self.caps).get(cap, Fen(0)))


@dataclass(frozen=True)
class Entitlement:
    """1101 and 5301 in one: who the fund says the person is, and what it would pay for."""

    psn_no: str = field(repr=False)
    insutype: str
    insured_place: str
    retired: bool
    civil_servant: bool
    active: bool
    """psn_insu_stas = 1."""
    diseases: tuple[str, ...]
    """opsp_dise_code with a qualification valid today."""
    used: Accumulators = Accumulators()


@dataclass(frozen=True)
class ClaimLine:
    """One line of a claim (drugdetail)."""

    line: int
    drug: str
    """med_list_codg."""
    quantity: Decimal
    unit_price: Decimal
    """Yuan."""
    amount: Fen
    """det_item_fee_sumamt."""
    days_supply: int
    frequency: str
    selfpay: bool = False
    """Denied by the audit: the fund pays nothing for this line, also where the hospital says otherwise."""
    approval: Approval | None = None
    """What the hospital says of the fund's conditions: it is sent on (hosp_appr_flag, F-04), as 2 where `selfpay`."""
    restricted: bool | None = None
    """Whether the fund pays the drug under conditions only (lmt_used_flag; F-04). None in claims made before it was
    kept: their bytes stay what they were."""
    packs: tuple[CodedPack, ...] = ()
    """drug_trac_info; put in for the settlement, as the packs are not known before the handover (B-55)."""


@dataclass(frozen=True)
class Claim:
    """One request to the fund (2101 or 2102). The same reference always carries the same bytes."""

    reference: str
    """msgid, 30 characters: organisation (12) + yyyyMMddHHmmss + sequence (4)."""
    prescription_id: str
    rxno: str
    """The prescription number the fund knows (rxno)."""
    psn_no: str = field(repr=False)
    insutype: str
    insured_place: str
    disease_code: str
    med_type: str
    """14 chronic disease, 41 pharmacy purchase (codes/med_type.csv)."""
    at: datetime
    """begntime, fee_ocur_time and inf_time: frozen with the reference."""
    prescriber: str
    lines: tuple[ClaimLine, ...]
    identity: Identity = field(repr=False)
    coded: bool = True
    """Whether its packs must have trace codes; False in claims of orders from before these were kept."""

    @property
    def total(self) -> Fen:
        return Fen(sum(line.amount for line in self.lines))


@dataclass(frozen=True)
class Settlement:
    """How an amount divides: in our forecast, in a 2101 or in a 2102. All in fen.

    Identities (F-02, F-17): total = own + over + first_pay + eligible
    = fund + account + family + cash.
    """

    total: Fen
    own: Fen
    """fulamt_ownpay_amt."""
    over: Fen
    """overlmt_selfpay: above the payment standard."""
    first_pay: Fen
    """preselfpay_amt."""
    eligible: Fen
    """inscp_scp_amt."""
    deductible: Fen
    """act_pay_dedc."""
    pool: Fen
    """hifp_pay."""
    large: Fen = Fen(0)
    """hifob_pay."""
    serious: Fen = Fen(0)
    """hifmi_pay."""
    civil: Fen = Fen(0)
    """cvlserv_pay."""
    aid: Fen = Fen(0)
    """maf_pay."""
    fund: Fen = Fen(0)
    """fund_pay_sumamt."""
    account: Fen = Fen(0)
    """acct_pay."""
    family: Fen = Fen(0)
    """acct_mulaid_pay."""
    cash: Fen = Fen(0)
    """psn_cash_pay."""
    settlement_id: str = ""
    """setl_id; empty in a forecast and a pre-settlement."""
    visit_id: str = ""
    """mdtrt_id."""
    day: date | None = None
    """The fund's calendar day (setl_time): what its daily totals go by. Empty in a forecast."""
    line_pool: tuple[Fen, ...] = ()
    """The pool's share of each line, where known."""

    def __post_init__(self) -> None:
        if self.total != self.own + self.over + self.first_pay + self.eligible:
            raise ValueError("settlement breaks F-02: total is not own + over + first_pay + eligible")
        if self.total != self.fund + self.account + self.family + self.cash:
            raise ValueError("settlement breaks F-17: total is not fund + account + family + cash")


def differences(ours: Settlement, theirs: Settlement) -> Sequence[tuple[str, int, int]]:
    """Amounts in which two settlements differ, as (name, ours, theirs) in fen."""
    names = ("total", "own", "over", "first_pay", "eligible", "deductible", "pool", "fund", "account", "family", "cash")
    return [(name, getattr(ours, name), getattr(theirs, name)) for name in names
            if getattr(ours, name) != getattr(theirs, name)]


@dataclass(frozen=True)
class Claimed:
    """A claim for one order and how far its money is. `claim` lacks psn_no and identity: those are opened for a call."""

    claim: Claim
    version: int
    """Within its order: a return reverses one and a next one takes its place."""
    order_id: str
    status: Money
    forecast: Settlement
    pre_settled: Settlement | None
    settled: Settlement | None
    reversed: bool = False
    """Taken back by the fund, whether or not that day is reconciled yet."""
    reversal_reference: str | None = None
    """msgid of the reversal, once one is intended."""

    @property
    def portions(self) -> Portions:
        """What it is for."""
        return added(Portion(line.line, line.quantity) for line in self.claim.lines)

    @property
    def paid_for(self) -> Portions:
        """What the fund pays for by it now: nothing before it has settled, and nothing once that is taken back."""
        return self.portions if self.settled and not self.reversed else ()


@dataclass(frozen=True)
class Reversal:
    """A whole settlement taken back (2103)."""

    settlement_id: str
    """The reversal's own setl_id."""
    day: date
    """The fund's calendar day."""


@dataclass(frozen=True)
class DayTotals:
    """One row of the total reconciliation (3201): refunds count negative, in amounts and in number (F-29)."""

    insutype: str
    clr_type: str
    """41 pharmacy purchase."""
    setl_optins: str
    begin: date
    end: date
    total: Fen
    fund: Fen
    account: Fen
    count: int


@dataclass(frozen=True)
class Reconciled:
    matched: bool
    """stmt_rslt 0."""
    text: str
    """stmt_rslt_dscr."""

"""What one city has decided: deadlines, limits, partners and how its fund pays. Data, no rules."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from domain.errors import NeedsOperator
from domain.money import Fen
from domain.payments import Method
from domain.premises import Premises


class Scope(StrEnum):
    """What a benefit policy is for."""

    CHRONIC = "CHRONIC"
    OUTPATIENT = "OUTPATIENT"


class CapBasis(StrEnum):
    """What a yearly cap counts (F-09)."""

    NONE = "NONE"
    FUND = "FUND"
    """Money the pool has paid."""
    ELIGIBLE = "ELIGIBLE"
    """In-scope money, before the ratio."""


class AccountScope(StrEnum):
    """Which part of the patient's share the personal account may pay (F-05, F-16)."""

    ALL = "ALL"
    EXCLUDE_OVERLMT = "EXCLUDE_OVERLMT"
    ELIGIBLE_ONLY = "ELIGIBLE_ONLY"
    NONE = "NONE"


class Choosers(StrEnum):
    """Whose patients choose their pharmacy themselves (D-01)."""

    EVERYBODY = "everybody"
    """Each prescription waits for its patient."""
    WHO_ASKS = "who_asks"
    """Only those of patients who said that they want to choose; the others do not wait."""


@dataclass(frozen=True)
class BenefitPolicy:
    """How the fund pays for one kind of claim of one kind of insured. All amounts in fen (F.x)."""

    id: str
    insutype: str
    scope: Scope
    ratios: tuple[Decimal, Decimal, Decimal]
    """By level 1, 2, 3 of the prescribing hospital (F-07)."""
    retired_bonus: Decimal = Decimal(0)
    deductible: Fen = Fen(0)
    """Per benefit year."""
    cap_basis: CapBasis = CapBasis.NONE
    cap: Fen | None = None
    """Per benefit year; a chronic claim takes the cap of its disease instead."""
    pool_cap: Fen | None = None
    """Per benefit year, over all claims (F-11)."""
    large_ratio: Decimal = Decimal(0)
    """What the large-sum scheme pays above `pool_cap`."""
    account_scope: AccountScope = AccountScope.ALL
    serious_counts: bool = False
    """Whether the patient's eligible share counts for serious illness (F-12)."""
    serious_threshold: Fen = Fen(0)
    serious_ratio: Decimal = Decimal(0)
    civil_ratio: Decimal = Decimal(0)
    """What the civil servants' subsidy pays of the eligible remainder (F-13)."""

    def ratio(self, level: int, retired: bool) -> Decimal:
        """The pool's share at a hospital of that level, never above 1 (F-07)."""
        return min(Decimal(1), self.ratios[level - 1] + (self.retired_bonus if retired else Decimal(0)))


@dataclass(frozen=True)
class HospitalTerms:
    """What the fund knows of a hospital."""

    slug: str
    level: int
    """1 to 3."""
    contracted: bool
    """Whether its contract with the fund is in force (B-43)."""
    institutions: tuple[str, ...] = ()
    """National codes (fixmedins_code) it may prescribe under: its own, its group's; empty where the city does not say."""

    def __post_init__(self) -> None:
        if self.level not in (1, 2, 3):
            raise ValueError(f"hospital {self.slug}: level {self.level} is not 1, 2 or 3")


@dataclass(frozen=True)
class CityPolicy:
    """Every number a city may choose. `infra.cities.load_policy` reads it from cities/<slug>."""

    slug: str
    name: str
    name_en: str
    division: str
    """Division code, e.g. 370100; also the insured place the city settles for."""
    clr_optins: str
    """Who clears: setl_optins of the daily reconciliation (3201)."""
    timezone: str
    payer: str
    chains: tuple[str, ...]
    hospitals: tuple[HospitalTerms, ...]
    benefits: tuple[BenefitPolicy, ...]
    disease_caps: dict[str, Fen]
    """Chronic disease code -> yearly cap of its fund money (F-09)."""
    disease_formulary: dict[str, tuple[str, ...]]
    """Chronic disease code -> ATC prefixes or `DRUG:` ids payable under it (B-12)."""
    premises: Mapping[str, Premises]
    """The register of stores, by `chain/store` (D-06, D-07)."""
    courier: str = ""
    """Who brings what shops without a system send; empty: they bring it themselves or not at all."""
    door_methods: tuple[Method, ...] = ()
    """How a patient may pay the cash share at the door (E-08). Empty: nothing is collected there through the platform."""
    counter_methods: tuple[Method, ...] = ()
    """The same at the counter of a shop that works from our pages; a chain with a system collects by itself."""
    coded_chains: frozenset[str] = frozenset()
    """Chains that scan trace codes: without them the fund's share of their orders is not claimed (B-55)."""

    review_claim: timedelta = timedelta(minutes=10)
    """A pharmacist who claimed and did not decide loses the claim."""
    review_target: timedelta = timedelta(minutes=15)
    quote_deadline: timedelta = timedelta(seconds=3)
    """Never scaled: it is about networks, not about people."""
    accept_within: timedelta = timedelta(minutes=10)
    """A pharmacy that has not said yes by then is asked no more (D-12)."""
    answer_cancel_within: timedelta = timedelta(seconds=30)
    """A wish to cancel is answered after this long though the pharmacy has not answered. A call that is under way then lasts
    `tasks.fulfilment.withdraw.CALL_SECONDS` at most: within 60 s in all. Never scaled: it is about networks, not about people."""
    ask_again_after: timedelta = timedelta(minutes=10)
    """No store can fill it: ask again after this long, at first."""
    ask_again_at_most: timedelta = timedelta(hours=2)
    """Each pause is as long as it was waited before, up to this long."""
    choose_within: timedelta = timedelta(0)
    """How long a patient may choose the pharmacy (D-01); 0: no patient is asked, and the best one is taken."""
    choosers: Choosers = Choosers.EVERYBODY
    """Who is asked, where anybody is."""
    best_unless_chosen: bool = True
    """Whether the best one is taken when that time is over. If not, it waits for the patient until its validity ends."""
    fulfil_within: timedelta = timedelta(hours=24)
    """From acceptance to dispensing (A-02)."""
    return_window: timedelta = timedelta(hours=1)
    """From the handover on; after it, and after the day's reconciliation, a prescription is closed."""
    look_for_reconciliation: timedelta = timedelta(hours=6)
    """How often it is looked whether the fund has agreed to a day, should nothing wake a prescription that waits for that."""
    upload_after: timedelta = timedelta(minutes=5)
    """From a handover or a return on until its trace codes go to the fund (E-07). By then the settlement usually has its number.
    The packs of many orders go in one call."""
    deliver_within: timedelta = timedelta(hours=4)
    """From the dispatch of a parcel on: what its courier is asked for (E-13, urban)."""
    courier_silence: timedelta = timedelta(hours=48)
    """A courier that has said nothing of a parcel for so long is asked; if it knows nothing new the parcel is lost (E-16)."""
    hold_at_point: timedelta = timedelta(days=3)
    """So long a parcel waits at a pick-up point for its patient; then it goes back (D-09, E-10)."""
    hand_in_within: timedelta = timedelta(hours=24)
    """A courier must bring the cash of a handover to the shop within this time (E-08); after it the board says so."""
    expiring_soon: timedelta = timedelta(minutes=120)
    """So close to `valid_until` a prescription goes to the front of the queue."""

    pay_days_cap: int = 30
    """Days the fund pays on an ordinary prescription (B-10)."""
    pay_days_cap_long_term: int = 84
    """Days the fund pays on a long-term prescription (B-10)."""
    proof_months: int = 12
    """How old the proof of an earlier diagnosis may be, in months (A-10)."""
    internet_years: int = 3
    """Years of independent practice a prescriber needs on the internet (A-14)."""
    newborn_days: int = 28
    """Completed days of life up to which a newborn's diagnosis can be true (B-19)."""
    skin_test_hours: int = 72
    """How old a negative skin test may be when the drug is prescribed (A-37)."""
    refill_days: int = 7
    """Days of medicine still in hand at which a refill is not too early (B-26)."""
    refill_days_long: int = 10
    """The same after a supply of more than 30 days (B-26)."""
    high_value_yuan: int = 1000
    """From here on a line is of high value: refilled too early it may not even be bought (B-26, B-40)."""
    most_parcels: int = 2
    """Orders that a prescription is split over at most (D-10)."""
    least_part_days: int = 7
    """No pharmacy has all of a line: a part given now is for this many days at least, and the rest is owed (D-11)."""
    share_cap: Decimal = Decimal("0.40")
    """Largest share of an area's orders one store may have in 30 days (D-16)."""
    max_minutes: int = 60
    """Minutes to the patient at which the distance term is nought (D-17, urban)."""

    def institutions(self, slug: str) -> tuple[str, ...]:
        """Codes a hospital may prescribe under; none where the policy does not say, or has no such hospital."""
        return next((terms.institutions for terms in self.hospitals if terms.slug == slug), ())

    def hospital(self, slug: str) -> HospitalTerms:
        """The terms of a hospital. Raises `NeedsOperator` if the city's policy does not name it."""
        for terms in self.hospitals:
            if terms.slug == slug:
                return terms
        raise NeedsOperator(f"{self.slug} has no hospital {slug}: name it in cities/{self.slug}/policy.toml")


NEVER_SCALED = frozenset({"quote_deadline"})


def scaled(policy: CityPolicy, factor: float) -> CityPolicy:
    """The same city in a hurry: every duration but `quote_deadline` divided by `factor`.

    For sandbox days, where a day of waiting takes a minute. Raises `ValueError` below 1.
    """
    if factor < 1:
        raise ValueError(f"factor {factor} must be at least 1")
    shorter: dict[str, Any] = {
        field.name: value / factor
        for field in fields(policy)
        if isinstance(value := getattr(policy, field.name), timedelta) and field.name not in NEVER_SCALED
    }
    return replace(policy, **shorter)

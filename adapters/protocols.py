"""Two words with every partner: what the platform may ask of a hospital, a chain and a payer.

Someone should be able to write an adapter from this file alone. Any method may raise `Transient`,
`NeedsOperator` or `InvalidPayload`; what else it may raise, it says.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from adapters.mapping import CodeMap
from adapters.messages import Fetched, Message, Parked, Reply, Verdict
from domain.claims import Claim, DayTotals, Entitlement, Identity, Reconciled, Reversal, Settlement
from domain.orders import Offers, OrderLine, OrderUpdate, PharmacyOrder, Receipt, SettlementNotice
from domain.prescription import Handover, Place


class Chain(Protocol):
    """A pharmacy chain, whatever it runs on. Every call carries our order id as the key."""

    slug: str

    async def quote(self, lines: Sequence[OrderLine], handover: Handover, place: Place) -> Offers:
        """Every store that could fill at least one line, with prices. Changes nothing; repeatable.

        A store's row that breaks the contract is left out and said; it costs no other store its offer.
        """

    async def hold(self, order: PharmacyOrder) -> Receipt:
        """Reserve the stock under our order id.

        Holding the same order again returns the same receipt. Raises `Refused` (code
        `out_of_stock`, `closed`) if the chain says no, `OutcomeUnknown` if we cannot tell.
        """

    async def place(self, order: PharmacyOrder) -> Receipt:
        """Turn the hold into an order. Same promises as `hold`; `Refused` code `hold_expired` too."""

    async def find(self, order_id: str) -> Receipt | None:
        """What the chain has under our order id, or None if it never arrived. Safe to repeat."""

    async def cancel(self, order_id: str, reason: str) -> Receipt:
        """Take back a hold or an order. The receipt's status is CANCELLED (also if it already was,
        or was DECLINED). Raises `Refused` (code `handed_over` or `in_delivery`) when it is too late, or
        (`unknown_order`) when there is nothing to take back; `OutcomeUnknown` if we cannot tell."""

    async def notify_settled(self, notice: SettlementNotice) -> None:
        """Tell the chain what the fund paid. Repeatable: the last notice for an order counts."""

    def verify(self, timestamp: str, nonce: str, body: bytes, signature: str, now: datetime) -> None:
        """Check a callback's HMAC and age. Raises `Refused` (code `bad_signature`, `stale`).
        Spends nothing: the nonce is spent by the caller after this."""

    def parse_update(self, body: bytes) -> OrderUpdate:
        """The callback in our words. A status word we do not know is `InvalidPayload`, never a guess; so is a return
        that does not name its lines."""


class Payer(Protocol):
    """The insurance centre."""

    slug: str

    def new_reference(self, at: datetime, sequence: int) -> str:
        """A msgid: 30 characters from the organisation, the second and a sequence of four digits."""

    def request_bytes(self, claim: Claim) -> bytes:
        """The exact body `settle` would send for this claim: the intent keeps its digest."""

    async def entitlement(self, identity: Identity, insutype: str, at: datetime) -> Entitlement:
        """1101 and 5301. Raises `Refused` (code `not_insured`) if the fund does not know the person."""

    async def pre_settle(self, claim: Claim) -> Settlement:
        """2101: what the fund would pay. Changes nothing; repeatable. Raises `Refused`."""

    async def settle(self, claim: Claim) -> Settlement:
        """2102: what the fund pays. The same reference settles at most once: sending the same claim
        again after `OutcomeUnknown` returns the first answer. Raises `Refused`."""

    async def reverse(self, reference: str, settlement_id: str, visit_id: str, psn_no: str,
                      insured_place: str, at: datetime) -> Reversal:
        """2103: take a whole settlement back. Same promise about `reference` as `settle`.
        Raises `Refused`, `OutcomeUnknown`."""

    async def reconcile(self, totals: DayTotals) -> Reconciled:
        """3201: do our day's totals equal the fund's? Changes nothing; repeatable."""


class Hospital(Protocol):
    """A hospital that sends prescriptions and wants to hear what became of them."""

    slug: str

    def to_fhir(self, raw: bytes, codes: CodeMap) -> Message:
        """Its message in FHIR. Pure: nothing is looked up but `codes`, nothing is sent.

        Codes nobody has mapped are listed in the message, not raised. Raises `InvalidPayload`, with every finding
        and its spot, for bytes that are no message of this dialect; what the message says is checked by others.
        """

    def answer(self, message: Message | None, verdict: Verdict) -> Reply:
        """The verdict in the hospital's own words. Pure; None for a message that could not be read."""

    async def report(self, key: str, body: bytes) -> None:
        """Deliver one status report (JSON, contract 1.3) in the hospital's own words. Repeatable: it keeps `key`."""


class Polled(Protocol):
    """A hospital that is asked for its messages, besides being a `Hospital`."""

    async def poll(self, limit: int) -> Sequence[Fetched]:
        """The oldest messages it has for us and we have not settled. Repeatable: they stay until they are settled."""

    async def settle(self, ref: str, reply: Reply) -> None:
        """Hand over our answer to one of them; it is not offered again. Repeatable."""


class Boxed(Polled, Protocol):
    """A hospital that is asked, and whose messages are files in a box that people put other things into as well."""

    async def parked(self) -> Sequence[Parked]:
        """Files that nobody could take and that still lie there. Repeatable."""

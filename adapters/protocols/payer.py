"""The insurance fund."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from domain.claims import Claim, DayTotals, Entitlement, Identity, Reconciled, Reversal, Settlement
from domain.trace import UploadKind, UploadLine


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

    async def upload(self, kind: UploadKind, reference: str, lines: Sequence[UploadLine]) -> None:
        """3505A or 3506A: packs sold, or brought back, all of the call or none. The same reference with the same lines is taken
        once. Raises `Refused` (code `trace`), `OutcomeUnknown`."""

    async def uploaded(self, kind: UploadKind, line: UploadLine) -> bool:
        """3513: whether the fund has this sale or return. Changes nothing; repeatable."""

    async def reconcile(self, totals: DayTotals) -> Reconciled:
        """3201: do our day's totals equal the fund's? Changes nothing; repeatable."""

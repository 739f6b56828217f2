"""A posting is a business event in the books: transfers of whole fen from one account to another. It cannot be out of balance."""

from dataclasses import dataclass
from enum import StrEnum

from domain.ledger.accounts import Account
from domain.money import Fen


class BusinessEvent(StrEnum):
    """What money moves for. Each has one template in `domain.ledger.templates`."""

    SETTLED = "settled"
    """The fund has settled a claim (2102)."""
    REVERSED = "reversed"
    """The fund has taken a settlement back (2103)."""
    COLLECTED = "collected"
    """A patient has paid at the door or at a counter (E-08)."""
    HANDED_IN = "handed_in"
    """A courier has brought a payment in cash to the shop."""
    REFUNDED = "refunded"
    """A patient gets back what was paid for nothing."""


@dataclass(frozen=True)
class Transfer:
    """An amount that goes from one account to another. Raises `ValueError` unless it is a positive number of whole fen."""

    source: Account
    destination: Account
    amount: Fen

    def __post_init__(self) -> None:
        if not isinstance(self.amount, int) or isinstance(self.amount, bool) or self.amount <= 0:
            raise ValueError(f"{self.amount!r} from {self.source} to {self.destination}: not a positive number of fen")
        if self.source == self.destination:
            raise ValueError(f"a transfer from {self.source} to itself")


@dataclass(frozen=True)
class Posting:
    """The transfers of one business event. They are never changed: a correction is a new posting.

    One without transfers is an event in which no money moved, such as the settlement of a claim over 0 fen.
    """

    event: BusinessEvent
    reference: str
    """What it rests on, once per event: the settlement id (setl_id) of the fund, or the number of a receipt or a refund."""
    transfers: tuple[Transfer, ...]
    insutype: str = ""
    """The row of the fund's daily totals (3201) in which it counts; empty if in none."""
    prescription_id: str | None = None
    """None for an event that is about no single prescription."""

    @property
    def sides(self) -> dict[str, int]:
        """By address what the posting comes to for each of its accounts: positive is owed to it, negative by it."""
        sums: dict[str, int] = {}
        for transfer in self.transfers:
            for account, amount in ((transfer.destination, transfer.amount), (transfer.source, -transfer.amount)):
                sums[account.address] = sums.get(account.address, 0) + amount
        return sums

"""A pharmacy chain."""

from collections.abc import Sequence
from typing import Protocol

from domain.chains import Offers, OrderLine, PharmacyOrder, Receipt, SettlementNotice
from domain.prescription import Handover, Place


class Chain(Protocol):
    """What the platform asks of a pharmacy chain. Every call carries our order id as the key.

    How its own word about an order comes in is a capability: `CallsBack`, `Polled`, or `WorksFromPages`, whose people enter it
    on our pages.
    """

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

"""A courier."""

from typing import Protocol

from domain.couriers import Consignment, Waybill


class Courier(Protocol):
    """What the platform asks of a courier. Every call carries our id of the delivery as the key.

    How its own word about a delivery comes in is a capability: `TellsDeliveries`.
    """

    slug: str

    async def assign(self, consignment: Consignment) -> Waybill:
        """Have it collect a parcel and bring it.

        Assigning the same delivery again returns the same waybill. Raises `Refused` (code `no_courier`) if it will not bring
        it, `OutcomeUnknown` if we cannot tell.
        """

    async def find(self, delivery_id: str) -> Waybill | None:
        """Where it is with the parcel, or None if it never heard of it. Safe to repeat."""

    async def cancel(self, delivery_id: str, reason: str) -> Waybill:
        """Have it stop. The waybill's status is CANCELLED (it had not collected the parcel) or RETURNING (it brings it back).

        Raises `Refused` (code `over`) when the patient has it, it is back, or it is lost. With the code `unknown_delivery` there is
        nothing to stop. Raises `OutcomeUnknown` if we cannot tell.
        """

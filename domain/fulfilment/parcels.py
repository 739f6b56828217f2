"""Parcels: who carries what a pharmacy has packed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.fulfilment.portions import Portions


class ParcelStatus(StrEnum):
    """Where a parcel is."""

    PACKED = "packed"
    """Checked, and waits for the patient or the courier."""
    ON_THE_WAY = "on_the_way"
    """With a courier."""
    HANDED_OVER = "handed_over"
    """The patient has it, at the counter or at the door."""
    UNPACKED = "unpacked"
    """Back on the pharmacy's shelf: its order ended without medicine."""


PARCEL_TRANSITIONS: Mapping[ParcelStatus, frozenset[ParcelStatus]] = {
    ParcelStatus.PACKED: frozenset({ParcelStatus.ON_THE_WAY, ParcelStatus.HANDED_OVER, ParcelStatus.UNPACKED}),
    ParcelStatus.ON_THE_WAY: frozenset({ParcelStatus.HANDED_OVER, ParcelStatus.UNPACKED}),
    ParcelStatus.HANDED_OVER: frozenset(),
    ParcelStatus.UNPACKED: frozenset(),
}
"""A pharmacy's words may skip some, but a parcel never goes back."""


@dataclass(frozen=True)
class Parcel:
    """What of an order travels together."""

    number: int
    """Within its order, from 1 on."""
    portions: Portions
    status: ParcelStatus
    handed_over_at: datetime | None = None

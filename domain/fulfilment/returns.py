"""Returns: what a patient has brought back after the handover."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.fulfilment.portions import Portions


class ReturnStatus(StrEnum):
    """How far a return is."""

    BROUGHT_BACK = "brought_back"
    """The pharmacy has the goods, and the fund still pays for them."""
    REFUNDED = "refunded"
    """The claim leaves them out."""


RETURN_TRANSITIONS: Mapping[ReturnStatus, frozenset[ReturnStatus]] = {
    ReturnStatus.BROUGHT_BACK: frozenset({ReturnStatus.REFUNDED}),
    ReturnStatus.REFUNDED: frozenset(),
}


@dataclass(frozen=True)
class Return:
    """Portions of one order that came back together."""

    number: int
    """Within its order, from 1 on."""
    portions: Portions
    status: ReturnStatus
    at: datetime
    """When we heard of it."""
    reason: str = ""
    """A code of `domain.words.CAUSES`, or empty."""

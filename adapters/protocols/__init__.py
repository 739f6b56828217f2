"""What the platform may ask of a hospital, a chain, a courier and a payer, and how a partner's own messages reach it.

An adapter can be written from these files alone. Any method may raise `Transient`, `NeedsOperator` or `InvalidPayload`; what else
it may raise, it says.
"""

from adapters.protocols.capabilities import (
    Boxed,
    CallsBack,
    Polled,
    Surveyed,
    TakesWebhooks,
    TellsDeliveries,
    TellsStock,
    WorksFromPages,
    WritesUpdates,
)
from adapters.protocols.chain import Chain
from adapters.protocols.courier import Courier
from adapters.protocols.hospital import Hospital
from adapters.protocols.payer import Payer

__all__ = ["Boxed", "CallsBack", "Chain", "Courier", "Hospital", "Payer", "Polled", "Surveyed", "TakesWebhooks",
           "TellsDeliveries", "TellsStock", "WorksFromPages", "WritesUpdates"]

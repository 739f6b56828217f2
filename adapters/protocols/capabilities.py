"""How a partner's messages reach the platform, apart from what kind of partner it is.

An adapter has a capability if it has its methods: `isinstance(adapter, Polled)` asks for them by name.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

from adapters.messages import Fetched, Parked, Reply
from domain.chains import Offers, OrderLine, OrderUpdate, StockNotice
from domain.couriers import CourierUpdate
from domain.prescription import Handover, Place
from domain.shops import Shop
from infra.places import Survey


@runtime_checkable
class WritesUpdates(Protocol):
    """A chain that calls back about an order, in its own format."""

    def parse_update(self, body: bytes) -> OrderUpdate:
        """An update in our words. A status word we do not know is `InvalidPayload`, never a guess; so is a return that
        does not name its lines."""


@runtime_checkable
class CallsBack(WritesUpdates, Protocol):
    """A chain that sends its updates to our address, signed (contracts, 2.1)."""

    def verify(self, timestamp: str, nonce: str, body: bytes, signature: str, now: datetime) -> None:
        """Check a callback's HMAC and age. Raises `Refused` (code `bad_signature`, `stale`).
        Spends nothing: the nonce is spent by the caller after this."""


@runtime_checkable
class TellsStock(CallsBack, Protocol):
    """A chain that also says when a store has something again: who waits for it is looked after before the next pause ends."""

    def parse_stock(self, body: bytes) -> StockNotice:
        """The notice in our words. Raises `InvalidPayload`."""


@runtime_checkable
class TellsDeliveries(Protocol):
    """A courier that sends its word on a delivery to our address, signed as chains do (contracts, 2.1)."""

    def verify(self, timestamp: str, nonce: str, body: bytes, signature: str, now: datetime) -> None:
        """As `CallsBack.verify`."""

    def parse_delivery(self, body: bytes) -> CourierUpdate:
        """Its word in ours. A status word we do not know is `InvalidPayload`, never a guess."""


@runtime_checkable
class Polled(Protocol):
    """A hospital or a chain that is asked for its messages. A chain that is polled is `WritesUpdates` as well."""

    async def poll(self, limit: int) -> Sequence[Fetched]:
        """The oldest messages it has for us that were not answered yet. Repeatable: they stay until they are."""

    async def hand_back(self, ref: str, reply: Reply) -> None:
        """Hand over our answer to one of them; it is not offered again. Repeatable."""


@runtime_checkable
class Boxed(Polled, Protocol):
    """A partner that is polled, and whose messages are files in a box that people put other things into as well."""

    async def parked(self) -> Sequence[Parked]:
        """Files that could not be taken and that still lie there. Repeatable."""


@runtime_checkable
class TakesWebhooks(Protocol):
    """An address at which a chain is told about its orders, by the Standard Webhooks convention (contracts, 2.9)."""

    async def send(self, id: str, body: bytes, now: datetime) -> int:
        """Send one message, whose id is the key of its repeats; returns the HTTP status of the answer.

        Raises `Transient` (code `unanswered` or `not_sent`) and `NeedsOperator` (credentials, address).
        """


@runtime_checkable
class WorksFromPages(Protocol):
    """A chain whose shops have no system: they work from our pages, and their shelves and orders are in our database."""

    def shops(self) -> Mapping[str, Shop]:
        """Its shops, by number."""


@runtime_checkable
class Surveyed(Protocol):
    """A chain that may have so many places that not all of them are asked for a quote: it shows them as columns first."""

    def shops(self) -> Mapping[str, Shop]:
        """Its places, by number."""

    def survey(self, drugs: Collection[str], handover: Handover, place: Place) -> Survey:
        """All its places and what they have of these drugs, as of half a minute ago at most."""

    async def quote_at(self, stores: Collection[str], lines: Sequence[OrderLine], handover: Handover, place: Place) -> Offers:
        """As `Chain.quote`, of these places only and as of now."""

"""Updates that a chain sends to our address, signed (contract 2.1)."""

from collections.abc import Mapping

from adapters.messages import Reply
from adapters.protocols import CallsBack
from infra.db import Session, inbox
from tasks.city import City
from tasks.fulfilment import updates


def callers(city: City) -> Mapping[str, CallsBack]:
    """The chains that call back, by slug."""
    return {slug: chain for slug, chain in city.chains.items() if isinstance(chain, CallsBack)}


def receive_callback(city: City, chain: str, *, timestamp: str, nonce: str, signature: str, body: bytes) -> Reply:
    """Take in a callback of one of `callers`: its signature first, then, with the update, its nonce.

    Raises `Refused` for a bad signature or age, before anything is archived or spent. The nonce is spent in the transaction that
    stores the update: a callback that failed is sent again as it was.
    """
    caller = callers(city)[chain]
    caller.verify(timestamp, nonce, body, signature, city.now())

    def fresh(session: Session) -> Reply | None:
        return None if inbox.spend_nonce(session, chain, nonce, city.now()) else updates.reply(401, "nonce_used")

    return updates.receive(city, chain, caller, body, fresh)

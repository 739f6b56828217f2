"""What chains and couriers send to our address, signed: updates of orders (contract 2.1), stock (2.4), deliveries (2.7)."""

from collections.abc import Mapping

from adapters.messages import Reply
from adapters.protocols import CallsBack, TellsDeliveries, TellsStock
from domain.errors import InvalidPayload
from domain.privacy import shown
from infra.db import Session, inbox, prescriptions
from infra.log import get_logger
from tasks import webhooks
from tasks.city import City
from tasks.fulfilment import arrivals, updates

log = get_logger(__name__)

FIRST_WOKEN = 5
"""Prescriptions that a notice of stock wakes; each that is served wakes the next (`tasks.fulfilment.seek`)."""


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


def tellers(city: City) -> Mapping[str, TellsStock]:
    """The chains that say when a store has something again, by slug."""
    return {slug: chain for slug, chain in city.chains.items() if isinstance(chain, TellsStock)}


def receive_stock(city: City, chain: str, *, timestamp: str, nonce: str, signature: str, body: bytes) -> Reply:
    """Take in a notice of one of `tellers`: prescriptions that wait for one of its drugs are looked at now (contract 2.4).

    Nothing is believed of it: the stores are asked for quotes as ever. So a notice that comes twice does no harm and is not
    remembered. Raises `Refused` for a bad signature or age.
    """
    teller = tellers(city)[chain]
    teller.verify(timestamp, nonce, body, signature, city.now())
    try:
        notice = teller.parse_stock(body)
    except InvalidPayload as invalid:
        return updates.reply(422, "invalid", [finding.as_dict() for finding in invalid.findings])
    with city.db.transaction("stock.told") as session:
        if not inbox.spend_nonce(session, chain, nonce, city.now()):
            return updates.reply(401, "nonce_used")
        woken = prescriptions.wake_for_stock(session, notice.drugs, city.now(), FIRST_WOKEN)
    log.info("stock.told", chain=chain, store=shown(notice.store), drugs=len(notice.drugs), woken=woken)
    return updates.reply(200, "applied")


def receive_reading(city: City, chain: str, *, timestamp: str, nonce: str, signature: str, body: bytes) -> Reply:
    """Answer one of `callers` that takes webhooks and reads again what it was told (contract 2.9).

    Raises `Refused` for a bad signature or age.
    """
    return webhooks.read_again(city, chain, callers(city)[chain], timestamp=timestamp, nonce=nonce, signature=signature, body=body)


def carriers(city: City) -> Mapping[str, TellsDeliveries]:
    """The couriers that call back, by slug."""
    return {slug: courier for slug, courier in city.couriers.items() if isinstance(courier, TellsDeliveries)}


def receive_delivery(city: City, courier: str, *, timestamp: str, nonce: str, signature: str, body: bytes) -> Reply:
    """Take in a callback of one of `carriers`, as `receive_callback` does of chains (E-02, contract 2.7)."""
    carrier = carriers(city)[courier]
    carrier.verify(timestamp, nonce, body, signature, city.now())
    evidence = updates.keep(city, body)
    try:
        update = carrier.parse_delivery(body)
    except InvalidPayload as invalid:
        log.warning("delivery.invalid", courier=courier, archive=evidence.archive_key,
                    rules=[finding.rule for finding in invalid.findings])
        return updates.reply(422, "invalid", [finding.as_dict() for finding in invalid.findings])

    def fresh(session: Session) -> Reply | None:
        return None if inbox.spend_nonce(session, courier, nonce, city.now()) else updates.reply(401, "nonce_used")

    answer = arrivals.accept(city, courier, update, evidence, fresh)
    log.info("delivery.received", courier=courier, delivery=shown(update.delivery_id), status=update.status, answer=answer.status)
    return answer

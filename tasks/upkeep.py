"""Upkeep: what the sweep does so that nothing is forgotten, however somebody died."""

from dataclasses import dataclass
from datetime import timedelta

from domain.errors import RxError
from domain.lifecycle import FINAL, OWNERS, Owner
from infra.db import effects, inbox, orders, prescriptions
from infra.log import get_logger
from tasks.allocation import withdraw
from tasks.city import City

log = get_logger(__name__)

OWED = [status for status, owner in OWNERS.items() if owner is Owner.PLATFORM]


@dataclass(frozen=True)
class Swept:
    """What one sweep found and set right; each zero on a healthy day."""

    forgotten: int
    """The platform owed the next move and no clock ran."""
    unknown_outcomes: int
    """Effects whose outcome was unknown for over a minute: made due, so that a hop asks."""
    orphan_holds: int
    """Stock held for a prescription that is over: let go."""
    nonces: int
    """Spent nonces too old to matter: deleted."""


async def sweep(city: City) -> Swept:
    """Re-drive what a dead worker, a bug or a lost nudge left behind. Safe at any time, by hand too."""
    now = city.now()
    with city.db.transaction() as session:
        forgotten = prescriptions.forgotten(session, OWED)
        unknown = effects.open_intents(session, now - timedelta(minutes=1))
        for prescription_id in {*forgotten, *unknown}:
            prescriptions.wake(session, prescription_id, now)
        nonces = inbox.forget_nonces(session, now)
        holds = orders.orphan_holds(session, now - timedelta(minutes=1), sorted(FINAL))
    released = 0
    for placed in holds:
        try:
            with city.db.reading() as session:
                rx = prescriptions.load(session, placed.order.prescription_id).prescription
            await withdraw(city, rx, placed, "orphan")
            released += 1
        except RxError as error:
            log.warning("sweep.hold_not_released", order=placed.id, error=type(error).__name__)
    swept = Swept(len(forgotten), len(unknown), released, nonces)
    if swept != Swept(0, 0, 0, nonces):
        log.warning("sweep.found", **swept.__dict__)
    return swept



"""Upkeep: what the sweep does so that nothing is forgotten, however a process died."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from domain.chains import ChainWord
from domain.errors import Refused, RxError, StaleStatus
from domain.events import Event
from domain.lifecycle import FINAL, OWNERS, Owner, Status
from infra.db import claims, effects, history, inbox, orders, prescriptions, sign_ins
from infra.log import get_logger
from tasks.city import City
from tasks.fulfilment.withdraw import withdraw
from tasks.line import Hop, hop
from tasks.mapping import take_complete

log = get_logger(__name__)

DRIVEN = timedelta(minutes=5)
"""How long no other process works on what a person has taken up."""
OWED = [status for status, owner in OWNERS.items() if owner is Owner.PLATFORM]


def redrive(city: City, prescription_id: str, operator: str) -> Status:
    """Have a prescription looked at now, on a person's word, and forget what partners refused before.

    What ends a wait is still decided by the step that waits. Raises `KeyError` for an unknown id,
    `Refused` (code `not_open`) when nothing is owed any more, `StaleStatus` if it keeps moving.
    """
    for _ in range(3):
        try:
            with city.db.transaction("prescription.redriven") as session:
                loaded = prescriptions.load(session, prescription_id)
                if loaded.status in FINAL:
                    raise Refused(f"{prescription_id} is {loaded.status}: nothing is owed", code="not_open")
                effects.hurry(session, prescription_id)
                forgotten = effects.forget_refusals(session, prescription_id)
                for effect in (effect for effect in forgotten if effect.step in ("settle", "reverse")):
                    claims.renew_reference(session, prescription_id, effect.version, city.payer.new_reference,
                                           city.now())
                history.append(session, loaded.head, actor=f"operator:{operator}", event=Event.WOKEN,
                               at=city.now(), wake_at=city.now(), waiting_for=loaded.waiting_for,
                               detail={"tried_again": [f"{effect.step} {effect.version}" for effect in forgotten]})
            return loaded.status
        except StaleStatus:
            continue
    raise StaleStatus(f"{prescription_id} keeps moving")


async def driven(city: City, prescription_id: str, operator: str, owner: str) -> Hop | None:
    """`redrive`, and then take it as far as it can go, here and now. None if a worker is at it, which goes on with it.

    Raises what `redrive` raises.
    """
    # The lease first: waking it would have a worker take it up beside us.
    with city.db.transaction("redrive.leased") as session:
        leased = prescriptions.lease(session, prescription_id, owner, at=city.now(), until=city.now() + DRIVEN)
    try:
        redrive(city, prescription_id, operator)
        return await hop(city, prescription_id) if leased else None
    finally:
        if leased:
            with city.db.transaction("redrive.released") as session:
                prescriptions.release(session, owner, [prescription_id])


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
    mapped: int
    """Messages that waited for codes which are all mapped by now: taken in."""


async def sweep(city: City) -> Swept:
    """Re-drive what a dead worker, a bug or a lost nudge left behind. Safe at any time, by hand too."""
    now = city.now()
    with city.db.transaction("sweep.found") as session:
        forgotten = prescriptions.forgotten(session, OWED)
        unknown = effects.open_intents(session, now - timedelta(minutes=1))
        for prescription_id in sorted({*forgotten, *unknown}):
            prescriptions.wake(session, prescription_id, now)
        nonces = inbox.forget_nonces(session, now)
        sign_ins.forget(session, now)
        holds = orders.orphan_holds(session, now - timedelta(minutes=1), sorted(FINAL))
    released = 0
    for placed in holds:
        try:
            released += await withdraw(city, placed, "orphan") is ChainWord.CANCELLED
        except RxError as error:
            log.warning("sweep.hold_not_released", order=placed.id, error=type(error).__name__)
    mapped = await asyncio.to_thread(take_complete, city)
    swept = Swept(len(forgotten), len(unknown), released, nonces, len(mapped))
    if swept != Swept(0, 0, 0, nonces, 0):
        log.warning("sweep.found", **swept.__dict__)
    return swept



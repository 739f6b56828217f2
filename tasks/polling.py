"""Hospitals that are asked for their messages: fetch, take in, hand over the answer. Safe to start as often as you like."""

import asyncio
import hashlib
from typing import cast

from adapters.messages import Fetched, Reply
from adapters.protocols import Polled
from infra.log import get_logger
from tasks import intake
from tasks.city import City

log = get_logger(__name__)


def polled(city: City) -> list[str]:
    """The hospitals that are asked for their messages, in alphabetical order."""
    return sorted(slug for slug, hospital in city.hospitals.items() if hasattr(hospital, "poll"))


async def poll_hospital(city: City, slug: str, limit: int = 50) -> int:
    """Take in what a hospital has for us, at most `limit` messages; returns how many were settled.

    A message that fails is offered again at the next poll, and keeps no other waiting. Raises what asking the
    hospital raises, usually `Transient`: it comes again as well.
    """
    hospital = cast(Polled, city.hospitals[slug])
    settled = 0
    failed: set[str] = set()
    kept: set[bytes] = set()
    # As many may fail as are wanted: a few that always do must not hide those behind them.
    while settled < limit and len(failed) < limit:
        fresh = [message for message in await hospital.poll(limit - settled + len(failed)) if message.ref not in failed]
        if not fresh:
            break
        for message in fresh:
            if await _take(city, hospital, slug, message, kept):
                settled += 1
            else:
                failed.add(message.ref)
    if settled or failed:
        log.info("poll.done", hospital=slug, settled=settled, failed=len(failed))
    return settled


async def _take(city: City, hospital: Polled, slug: str, message: Fetched, kept: set[bytes]) -> bool:
    """One message: archived and answered by intake, its answer handed over. Whether all of that worked."""
    try:
        # What it was cut out of is kept as it came, once; the message's own bytes are kept by intake.
        whole = message.whole
        if whole and (digest := hashlib.sha256(whole).digest()) not in kept:
            key = await asyncio.to_thread(city.archive.put, whole)
            kept.add(digest)
            log.info("poll.archived", hospital=slug, archive=key)
        answer = await asyncio.to_thread(intake.receive, city, slug, message.raw)
        await hospital.settle(message.ref, Reply(answer.body, answer.status, answer.media))
    except Exception as error:
        # Also our own defects: the message stays with the hospital, and the others go on.
        log.warning("poll.failed", hospital=slug, error=type(error).__name__, code=getattr(error, "code", ""))
        return False
    return True

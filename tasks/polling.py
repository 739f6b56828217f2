"""Hospitals that are asked for their messages: fetch, take in, hand over the answer. Safe to start as often as you like."""

import asyncio
import math
from collections.abc import Collection
from typing import cast

from adapters.messages import Fetched, Reply
from adapters.protocols import Boxed, Polled
from infra import metrics
from infra.db.notices import NoticeKind, note
from infra.log import get_logger
from infra.objects import key_of
from tasks import intake
from tasks.city import City

log = get_logger(__name__)

KEPT = 1000
"""Files that are remembered as kept."""


def polled(city: City) -> list[str]:
    """The hospitals that are asked for their messages, in alphabetical order."""
    return sorted(slug for slug, hospital in city.hospitals.items() if hasattr(hospital, "poll"))


async def poll_hospital(city: City, slug: str, limit: int = 50, kept: set[str] | None = None) -> int:
    """Take in what a hospital has for us, at most `limit` messages; returns how many were settled.

    A message that fails is offered again at the next poll, and keeps no other waiting. What is beyond the hospital's share of
    the hour stays with it until there is room. `kept` are the archive's keys of files that hold several messages, and the files
    parked that the board has; whoever polls again and again hands in the same set, and a file of a thousand messages is kept, and
    counts, once. Raises what asking the
    hospital raises, usually `Transient`: it comes again as well.
    """
    hospital = cast(Polled, city.hospitals[slug])
    kept = set() if kept is None else kept
    if len(kept) > KEPT:
        kept.clear()
    if hasattr(hospital, "parked"):
        await _note_parked(city, cast(Boxed, hospital), slug, kept)
    settled = 0
    failed: set[str] = set()
    # As many may fail as are wanted: a few that always do must not hide those behind them.
    while settled < limit and len(failed) < limit:
        fresh = [message for message in await hospital.poll(limit - settled + len(failed)) if message.ref not in failed]
        if not fresh:
            break
        for message in fresh:
            if _beyond_share(city, slug, message, kept):
                return settled
            if await _take(city, hospital, slug, message, kept):
                settled += 1
            else:
                failed.add(message.ref)
    if settled or failed:
        log.info("poll.done", hospital=slug, settled=settled, failed=len(failed))
    return settled


async def _note_parked(city: City, hospital: Boxed, slug: str, kept: set[str]) -> None:
    """Have the board show what lies in a hospital's box and nobody could take: once for each file."""
    try:
        fresh = [file for file in await hospital.parked() if f"{slug}/{file.mark}" not in kept]
        if fresh:
            with city.db.transaction("box.parked") as session:
                for file in fresh:
                    note(session, kind=NoticeKind.FILE_PARKED, partner=slug, subject=file.mark, detail=file.reason,
                         at=city.now())
            kept.update(f"{slug}/{file.mark}" for file in fresh)
    except Exception as error:
        # It is looked at again with the next poll, and keeps no message waiting.
        log.warning("poll.parked_not_noted", hospital=slug, error=type(error).__name__, code=getattr(error, "code", ""))


def _beyond_share(city: City, slug: str, message: Fetched, kept: Collection[str]) -> bool:
    """Whether the hospital has had its share of the hour."""
    size = len(message.raw) + (len(message.whole) if message.whole and key_of(message.whole) not in kept else 0)
    seconds = city.share.wait(_whose(slug), size) if city.share else 0.0
    if seconds:
        log.warning("poll.quota", sender=_whose(slug), seconds=math.ceil(seconds))
        metrics.partner_spared(slug, "poll")
    return seconds > 0


def _count(city: City, slug: str, kept: bytes) -> None:
    """What is in the archive now is of the hospital's share; what could not be put there is not."""
    if city.share:
        city.share.take(_whose(slug), len(kept))


def _whose(slug: str) -> str:
    return f"hospital:{slug}"


async def _take(city: City, hospital: Polled, slug: str, message: Fetched, kept: set[str]) -> bool:
    """One message: archived and answered by intake, its answer handed over. Whether all of that worked."""
    try:
        # What it was cut out of is kept as it came, once; the message's own bytes are kept by intake.
        if message.whole and key_of(message.whole) not in kept:
            key = await asyncio.to_thread(city.archive.put, message.whole)
            kept.add(key)
            _count(city, slug, message.whole)
            log.info("poll.archived", hospital=slug, archive=key)
        answer = await asyncio.to_thread(intake.receive, city, slug, message.raw)
        _count(city, slug, message.raw)
        await hospital.settle(message.ref, Reply(answer.body, answer.status, answer.media))
    except Exception as error:
        # Also our own defects: the message stays with the hospital, and the others go on.
        log.warning("poll.failed", hospital=slug, error=type(error).__name__, code=getattr(error, "code", ""))
        return False
    return True

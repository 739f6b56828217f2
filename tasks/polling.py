"""Partners that are asked for their messages: fetch, take in, hand back the answer. Safe to start as often as you like."""

import asyncio
import hashlib
import json
import math
from collections.abc import Collection, Mapping

from adapters.messages import Fetched, Reply
from adapters.protocols import Boxed, Polled, WritesUpdates
from adapters.registry import manifest
from domain.errors import NeedsOperator
from infra import metrics
from infra.db.notices import NoticeKind, note
from infra.log import get_logger
from infra.objects import key_of
from tasks import intake
from tasks.city import City
from tasks.fulfilment import updates

log = get_logger(__name__)

KEPT = 1000
"""Files that are remembered as kept."""


def polled(city: City) -> Mapping[str, Polled]:
    """The partners that are asked for their messages, by slug, in alphabetical order. No two partners share a slug."""
    everyone = {**city.hospitals, **city.chains}
    return {slug: partner for slug, partner in sorted(everyone.items()) if isinstance(partner, Polled)}


def seconds_between(city: City, slug: str) -> float:
    """How long to wait between two polls of a partner, as its manifest says."""
    facts = manifest("chains", slug) if slug in city.chains else manifest("hospitals", slug)
    return facts.poll_seconds


async def poll_partner(city: City, slug: str, limit: int = 50, kept: set[str] | None = None) -> int:
    """Take in what one of `polled` has for us, at most `limit` messages; returns how many were answered.

    A message that fails is offered again at the next poll, and keeps no other waiting. What is beyond the partner's share of
    the hour stays with it until there is room. `kept` are the archive's keys of files that hold several messages, and the files
    parked that the board has. A caller that polls repeatedly hands in the same set: a file of a thousand messages is then archived,
    and counts, once. Raises what asking the partner raises, usually `Transient`: its messages come again as well.
    """
    partner = polled(city)[slug]
    kept = set() if kept is None else kept
    if len(kept) > KEPT:
        kept.clear()
    if isinstance(partner, Boxed):
        await _note_parked(city, partner, slug, kept)
    answered = 0
    failed: set[str] = set()
    # As many may fail as are wanted: a few that always do must not hide those behind them.
    while answered < limit and len(failed) < limit:
        fresh = [message for message in await partner.poll(limit - answered + len(failed)) if message.ref not in failed]
        if not fresh:
            break
        for message in fresh:
            if _beyond_share(city, slug, message, kept):
                return answered
            if await _take(city, partner, slug, message, kept):
                answered += 1
            else:
                failed.add(message.ref)
    if answered or failed:
        log.info("poll.done", partner=slug, answered=answered, failed=len(failed))
    return answered


async def _note_parked(city: City, partner: Boxed, slug: str, kept: set[str]) -> None:
    """Have the board show what lies in a partner's box and could not be taken: once for each file."""
    try:
        fresh = [file for file in await partner.parked() if f"{slug}/{file.mark}" not in kept]
        if fresh:
            with city.db.transaction("box.parked") as session:
                for file in fresh:
                    note(session, kind=NoticeKind.FILE_PARKED, partner=slug, subject=file.mark, detail=file.reason,
                         at=city.now())
            kept.update(f"{slug}/{file.mark}" for file in fresh)
    except Exception as error:
        # It is looked at again with the next poll, and keeps no message waiting.
        log.warning("poll.parked_not_noted", partner=slug, error=type(error).__name__, code=getattr(error, "code", ""))


def _beyond_share(city: City, slug: str, message: Fetched, kept: Collection[str]) -> bool:
    """Whether the partner has had its share of the hour."""
    size = len(message.raw) + (len(message.whole) if message.whole and key_of(message.whole) not in kept else 0)
    sender = _sender(city, slug)
    seconds = city.share.wait(sender, size) if city.share else 0.0
    if seconds:
        log.warning("poll.quota", sender=sender, seconds=math.ceil(seconds))
        metrics.partner_spared(slug, "poll")
    return seconds > 0


def _count(city: City, slug: str, kept: bytes) -> None:
    """What was archived counts against the partner's share; what could not be archived does not."""
    if city.share:
        city.share.take(_sender(city, slug), len(kept))


def _sender(city: City, slug: str) -> str:
    return f"chain:{slug}" if slug in city.chains else f"hospital:{slug}"


async def _take(city: City, partner: Polled, slug: str, message: Fetched, kept: set[str]) -> bool:
    """One message: archived, acted on, its answer handed back. Whether all of that worked."""
    try:
        # What it was cut out of is kept as it came, once; the message's own bytes are kept by intake.
        if message.whole and key_of(message.whole) not in kept:
            key = await asyncio.to_thread(city.archive.put, message.whole)
            kept.add(key)
            _count(city, slug, message.whole)
            log.info("poll.archived", partner=slug, archive=key)
        answer = await asyncio.to_thread(_receive, city, slug, partner, message.raw)
        _count(city, slug, message.raw)
        if answer.status >= 500:
            # Not done and not remembered: the message stays with the partner and is offered again.
            log.info("poll.not_now", partner=slug, status=answer.status)
            return False
        if slug in city.chains and answer.status >= 400:
            _note_refused(city, slug, message, answer)
        await partner.hand_back(message.ref, answer)
    except Exception as error:
        # Also our own defects: the message stays with the partner, and the others go on.
        log.warning("poll.failed", partner=slug, error=type(error).__name__, code=getattr(error, "code", ""))
        return False
    return True


def _note_refused(city: City, slug: str, message: Fetched, answer: Reply) -> None:
    """What a chain must correct is for a person to know as well, once for each file: the orders in it wait for its word."""
    verdict = json.loads(answer.body)
    first = verdict["why"][0] if isinstance(verdict.get("why"), list) else {}
    place = (first.get("spot") or {}).get("name") or first.get("path", "")
    with city.db.transaction("update.refused") as session:
        note(session, kind=NoticeKind.UPDATE_REFUSED, partner=slug,
             subject=hashlib.sha256(message.whole or message.raw).hexdigest()[:12],
             detail=f"{first.get('rule', verdict['result'])} {place}".strip(), at=city.now())


def _receive(city: City, slug: str, partner: Polled, raw: bytes) -> Reply:
    """A hospital's message goes to intake, a chain's is its word about an order."""
    if slug in city.hospitals:
        answer = intake.receive(city, slug, raw)
        return Reply(answer.body, answer.status, answer.media)
    if not isinstance(partner, WritesUpdates):
        raise NeedsOperator(f"chains/{slug}: it is polled, and its adapter has no parse_update", code="no_parse_update")
    return updates.receive(city, slug, partner, raw)

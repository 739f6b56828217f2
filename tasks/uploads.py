"""Tell the fund of packs sold and brought back (E-07), each once: claimed, sent, answered, also after a crash in between."""

from datetime import timedelta

from domain.errors import Refused, RxError
from infra.db import notices, uploads
from infra.db.notices import NoticeKind
from infra.db.uploads import Batch
from infra.log import get_logger
from tasks.city import City

log = get_logger(__name__)

LEASE = timedelta(seconds=60)
RETRY = (10, 30, 120, 300, 900)
"""Seconds before a call is made again; the last one for ever. No prescription waits for it."""


async def upload_due(city: City, *, lease: timedelta = LEASE) -> int:
    """Send what is due in one call; returns how many packs the fund has been told of, or was known to know.

    What was begun before and has no answer is asked for first (3513). It is sent again only where the fund does not have it, and
    then under the msgid it had.
    """
    with city.db.reading() as session:
        if not uploads.any_due(session, city.now()):
            return 0
    with city.db.transaction("upload.claimed") as session:
        batch = uploads.claim(session, at=city.now(), lease=lease, new=city.payer.new_reference)
    if batch is None:
        return 0
    try:
        if not batch.doubtful or not await city.payer.uploaded(batch.kind, batch.lines[0]):
            await city.payer.upload(batch.kind, batch.reference, batch.lines)
    except Refused as refusal:
        _refused(city, batch, refusal.code)
        return 0
    except Exception as error:
        code = error.code if isinstance(error, RxError) else ""
        trouble = f"{type(error).__name__}{':' if code else ''}{code}"
        log.warning("upload.failed", reference=batch.reference, error=trouble)
        with city.db.transaction("upload.failed") as session:
            uploads.failed(session, batch.numbers, trouble=trouble,
                           again_at=city.after(seconds=RETRY[min(batch.attempts, len(RETRY) - 1)]))
        return 0
    with city.db.transaction("upload.answered") as session:
        uploads.taken(session, batch.numbers, city.now())
    return len(batch.lines)


def _refused(city: City, batch: Batch, code: str) -> None:
    """A pack that the fund does not take, alone, is for a person: it may have been sold elsewhere (B-54)."""
    log.warning("upload.refused", reference=batch.reference, packs=len(batch.lines), code=code)
    with city.db.transaction("upload.refused") as session:
        uploads.refused(session, batch.numbers, code, city.now())
        if len(batch.lines) == 1:
            line = batch.lines[0]
            notices.note(session, kind=NoticeKind.TRACE_REFUSED, partner=city.payer.slug,
                         subject=f"{line.order_id}:{line.code}", detail=code, at=city.now())

"""What a partner has sent lately, as the inbox knows it."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra.db.rows import FROM_HOSPITALS, MessageRow


@dataclass(frozen=True)
class Received:
    """One message of the inbox; its bytes are in the archive."""

    key: str
    archive_key: str
    received_at: datetime
    prescription_id: str | None


def newest(session: Session, source: str, limit: int) -> list[Received]:
    """The last messages of a source such as `hospital:jinan_first`, the newest first."""
    row = MessageRow
    rows = session.execute(sa.select(row.event_id, row.archive_key, row.received_at, row.prescription_id)
                           .where(sa.text(f"({FROM_HOSPITALS})"), row.source == source)
                           .order_by(row.received_at.desc()).limit(limit))
    return [Received(*record) for record in rows.tuples()]

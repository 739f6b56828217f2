"""When the canary last came through: one row among the processes, of kind `canary`."""

import os
import socket
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra.db.rows import ProcessRow

KIND = "canary"


def sing(session: Session, at: datetime) -> None:
    """It came through: the whole way from Prefect's schedule over the pool to our database works."""
    session.merge(ProcessRow(kind=KIND, name=KIND, host=socket.gethostname()[:80], pid=os.getpid(), version="",
                             started_at=at, seen_at=at))


def last(session: Session) -> datetime | None:
    """When it last came through; None if that is not recorded. More than three minutes ago is an alarm."""
    return session.scalar(sa.select(ProcessRow.seen_at).where(ProcessRow.kind == KIND))

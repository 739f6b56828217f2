"""Notices: what a partner sends or leaves that a person should look at and that no book is wrong about."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy.orm import Session

from infra.db.engine import insert_new
from infra.db.rows import NoticeRow


class NoticeKind(StrEnum):
    """What a notice is about, and what its `subject` and `detail` hold."""

    FILE_PARKED = "file_parked"
    """A file in a hospital's box that could not be taken: its mark, and why (a code of `domain.words.PARKED`)."""
    MESSAGE_SHAPE = "message_shape"
    """A hospital's messages have changed their shape: an element, and `new` or `gone`."""
    QUOTE_LEFT_OUT = "quote_left_out"
    """A store's quotes broke the contract: day, rule and store, and the place in the chain's answer."""


def note(session: Session, *, kind: NoticeKind, partner: str, subject: str, detail: str, at: datetime) -> None:
    """Write a notice down, once per kind, partner and subject. Texts are cut at 80 characters."""
    insert_new(session, NoticeRow, kind=kind, partner=partner, subject=subject[:80], detail=detail[:80], noted_at=at)

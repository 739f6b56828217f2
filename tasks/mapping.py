"""A hospital's own codes at run time: what they stand for, who said so, and the messages that waited for it."""

from adapters.kit.suggest import is_ours
from adapters.mapping import TABLES
from domain.errors import Refused
from infra.db import mapping as rows
from infra.log import get_logger
from tasks import intake
from tasks.city import City, code_map

log = get_logger(__name__)


def accept(city: City, slug: str, table: str, theirs: str, ours: str, by: str, *, name: str = "") -> list[str]:
    """A person says what a code stands for; the messages that waited for nothing else go on.

    Returns the keys of those messages. Raises `Refused` (code `unknown_hospital`, `unknown_table`, `unknown_code`).
    """
    if slug not in city.hospitals:
        raise Refused(f"there is no hospital {slug!r}", code="unknown_hospital")
    if table not in TABLES or not _keeps(city, slug, table, theirs):
        # A table the hospital does not keep means that it uses our codes: one row would hide all the others.
        raise Refused(f"{slug} keeps no table {table!r}", code="unknown_table")
    if not 0 < len(theirs.strip()) <= 100 or not is_ours(city.knowledge, table, ours):
        raise Refused(f"{table}: {ours!r} is no code of ours", code="unknown_code")
    with city.db.transaction("mapping.accepted") as session:
        rows.accept(session, rows.Mapped(slug, table, theirs, name, ours, by, city.now()))
    log.info("mapping.accepted", hospital=slug, table=table, theirs=theirs, ours=ours, by=by)
    return take_complete(city, slug)


def take_complete(city: City, slug: str = "") -> list[str]:
    """Take in the waiting messages whose codes are all mapped by now; of one hospital or of all. Safe to repeat.

    One that fails stays, and is tried again by the next sweep; its neighbours go on.
    """
    with city.db.reading() as session:
        waiting = rows.queue(session, slug)
        maps = {hospital: code_map(city, session, hospital) for hospital in {message.hospital for message in waiting}}
    done: list[str] = []
    for message in waiting:
        codes = maps[message.hospital]
        if any(codes.ours(code.table, code.theirs) is None for code in message.missing):
            continue
        try:
            if intake.take_waiting(city, message.hospital, message.key):
                done.append(message.key)
        except Exception as error:
            log.error("mapping.take_failed", hospital=message.hospital, key=message.key, error=type(error).__name__)
    return done


def _keeps(city: City, slug: str, table: str, theirs: str) -> bool:
    """Whether the hospital has such a table, or a message waits for this very code."""
    with city.db.reading() as session:
        return table in code_map(city, session, slug).tables or any(
            (code.table, code.theirs) == (table, theirs) for message in rows.queue(session, slug) for code in message.missing)

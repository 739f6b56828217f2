"""The anchor of the histories and of the access log: one keyed root per day, kept in the archive and so outside the database.

Who can write in the database can rewrite a chain with all its hashes. They cannot make yesterday's root agree: it lies in
write-once storage, under a key the database does not hold. Each root holds the one of the day before.

`python -m tasks.anchors [--since YYYY-MM-DD]` compares the chains of every day with its root.
"""

import argparse
import hashlib
import hmac
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from domain.errors import NeedsOperator
from infra.cities import load_policy
from infra.crypto import anchor_key
from infra.db import Database, anchors
from infra.db.anchors import Head
from infra.log import get_logger
from infra.objects import Archive, make_archive
from infra.settings import Settings, get_settings
from tasks.city import City

log = get_logger(__name__)

FORMAT = "sanyi/anchor/1"
"""The document: format, city, day, `before`, `books` and mac. `before` is the mac of the day before, empty for the first.
`books` has the heads of the chains that grew that day: `history` by prescription, `access` by person. Roots of release 0.1
have no `access`. `mac` is HMAC-SHA-256 over the rest as canonical JSON."""
GRACE = timedelta(minutes=30)
"""After midnight, until what happened before it is committed by everybody."""
NAMED = 10
"""Prescriptions or people named in one complaint."""
BOOKS = {"history": (anchors.heads, ""), "access": (anchors.access_heads, "the access log: ")}
"""Name of a book -> how its heads are read, and how a complaint about it begins."""


@dataclass(frozen=True)
class Rewritten:
    """A day whose chains are not what was anchored, or whose root cannot be trusted."""

    day: date
    what: str
    whose: tuple[str, ...] = ()
    """Prescriptions, or people where it is about the access log."""

    def __str__(self) -> str:
        return f"{self.day}: {self.what}" + (f": {', '.join(self.whose)}" if self.whose else "")


@dataclass(frozen=True)
class Anchors:
    """The roots of one installation."""

    db: Database
    archive: Archive
    city: str
    zone: ZoneInfo
    """Whose midnight ends a day."""
    key: bytes = field(repr=False)
    now: Callable[[], datetime]

    def open_days(self) -> list[date]:
        """Days that are over and have no root, the earliest first."""
        with self.db.reading() as session:
            latest, first = anchors.latest(session), anchors.first(session)
        if latest is None and first is None:
            return []
        day = latest.day + timedelta(days=1) if latest else first.astimezone(self.zone).date()  # type: ignore[union-attr]
        over = (self.now() - GRACE).astimezone(self.zone).date()
        return [day + timedelta(days=number) for number in range((over - day).days)]

    def anchor(self, day: date) -> str:
        """Keep the root of a day that is over, after that of the day before; its archive key. Raises `RxError`."""
        with self.db.reading() as session:
            latest = anchors.latest(session)
            books = {name: read(session, *self._bounds(day)) for name, (read, _) in BOOKS.items()}
            document = self._document(day, books, self._root(latest.archive_key)["mac"] if latest else "")
        archive_key = self.archive.put(_canonical(document))
        with self.db.transaction("day.anchored") as session:
            first = anchors.keep(session, day, archive_key, self.now())
        log.info("day.anchored", day=str(day), archive_key=archive_key, mac=document["mac"], first=first,
                 prescriptions=len(books["history"]), people=len(books["access"]))
        return archive_key

    def verify(self, since: date | None = None) -> list[Rewritten]:
        """Compare each anchored day from `since` on with the database, and look for days without a root."""
        wrong: list[Rewritten] = []
        with self.db.reading() as session:
            rows, first, latest = anchors.kept(session, since), anchors.first(session), anchors.latest(session)
        begun = first.astimezone(self.zone).date() if first else None
        # Where nothing has happened and nothing was anchored, no day owes a root.
        expected = max((day for day in (since, begun) if day), default=None) if first or latest else None
        over = (self.now() - GRACE).astimezone(self.zone).date() - timedelta(days=1)
        mac: str | None = None if since else ""
        for row in rows:
            while expected and expected < row.day:
                wrong.append(Rewritten(expected, "has no root"))
                expected += timedelta(days=1)
            try:
                root = self._root(row.archive_key)
            except NeedsOperator as error:
                wrong.append(Rewritten(row.day, f"its root cannot be trusted ({error.code})"))
                mac = None
            else:
                if root["day"] != str(row.day) or root["city"] != self.city:
                    wrong.append(Rewritten(row.day, "its root is another day's"))
                if mac is not None and root["before"] != mac:
                    wrong.append(Rewritten(row.day, "its root does not follow the one of the day before"))
                mac = root["mac"]
                for book in (book for book in BOOKS if book in root["books"]):
                    wrong += self._compared(row.day, book, root["books"][book])
            expected = row.day + timedelta(days=1)
        # The newest day has its root by the end of the next one.
        while expected and expected < over:
            wrong.append(Rewritten(expected, "has no root"))
            expected += timedelta(days=1)
        return wrong

    def _compared(self, day: date, book: str, anchored: Sequence[Head]) -> list[Rewritten]:
        read, about = BOOKS[book]
        with self.db.reading() as session:
            there = {whose: (seq, mark) for whose, seq, mark in read(session, *self._bounds(day))}
        then = {whose: (seq, mark) for whose, seq, mark in anchored}
        kinds = {"rewritten since": [whose for whose in then.keys() & there.keys() if then[whose] != there[whose]],
                 "gone since": list(then.keys() - there.keys()), "written into it since": list(there.keys() - then.keys())}
        return [Rewritten(day, about + what, tuple(sorted(which)[:NAMED])) for what, which in kinds.items() if which]

    def _document(self, day: date, books: Mapping[str, Sequence[Head]], before: str) -> dict[str, Any]:
        document = {"format": FORMAT, "city": self.city, "day": str(day), "before": before,
                    "books": {name: [list(head) for head in heads] for name, heads in books.items()}}
        return document | {"mac": self._mac(document)}

    def _root(self, archive_key: str) -> dict[str, Any]:
        """A root as it was kept. Raises `NeedsOperator` (codes of the archive; `forged`: not made with our key)."""
        try:
            document: dict[str, Any] = json.loads(self.archive.get(archive_key))
            mac = str(document.pop("mac"))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise NeedsOperator(f"{archive_key}: no root", code="forged") from None
        if not hmac.compare_digest(mac.encode(), self._mac(document).encode()):
            raise NeedsOperator(f"{archive_key}: not made with SANYI_ANCHOR_KEY", code="forged")
        return document | {"mac": mac}

    def _mac(self, document: dict[str, Any]) -> str:
        return hmac.digest(self.key, _canonical(document), hashlib.sha256).hex()

    def _bounds(self, day: date) -> tuple[datetime, datetime]:
        start, end = (datetime.combine(day + timedelta(days=number), time.min, self.zone).astimezone(UTC) for number in (0, 1))
        return start, end


def _canonical(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def of_city(city: City, settings: Settings) -> Anchors:
    """The roots of the city this process works for. Raises `NeedsOperator` if SANYI_ANCHOR_KEY is missing or wrong."""
    return Anchors(city.db, city.archive, city.policy.slug, ZoneInfo(city.policy.timezone), anchor_key(settings), city.now)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tasks.anchors", description=__doc__)
    parser.add_argument("--since", type=date.fromisoformat, help="first day, YYYY-MM-DD; all of them if not given")
    options = parser.parse_args(argv)
    settings = get_settings()
    policy = load_policy(settings.city)
    db = Database(settings.database_url)
    try:
        ours = Anchors(db, make_archive(settings), policy.slug, ZoneInfo(policy.timezone), anchor_key(settings),
                       lambda: datetime.now(UTC))
        wrong = ours.verify(options.since)
        with db.reading() as session:
            days = len(anchors.kept(session, options.since))
    finally:
        db.close()
    for complaint in wrong:
        print(complaint)
    print(f"{days} days compared with their roots, {len(wrong)} complaints")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""What a simulated chain has to tell when it is asked: a list in order, and the platform's place in it."""

import asyncio
from collections.abc import Mapping

from sandbox.book import Book, Document
from sandbox.faults import Faults
from sandbox.partner import Background, Setting

PLACE = "platform"


class Updates:
    """Keeps `sandbox.chain.Outlet` for a chain that is polled: events wait until the platform moves its place over them."""

    def __init__(self, setting: Setting, book: Book, background: Background) -> None:
        self.setting = setting
        self.faults: Faults = setting.faults
        self.book = book
        self.background = background
        self._keys = {event["position"]: event["key"] for event in book.all("callback") if event["position"]}
        """Position -> key in the book."""

    def send(self, event_id: str, body: Document, path: str = "") -> None:
        """Write the event down; it takes its place in the list at once, or late, or twice if the faults say so."""
        self._write(event_id, event_id, body)
        if self.faults.strikes("duplicate_callback", event_id):
            self._write(f"{event_id} again", event_id, body)

    def resume(self) -> None:
        for event in self.book.all("callback"):
            if not event["position"]:
                self._queue(event["key"])

    @property
    def last(self) -> int:
        """The newest position; 0 of an empty list."""
        return len(self._keys)

    @property
    def place(self) -> int:
        """The position up to which the platform has everything."""
        return int((self.book.get("cursor", PLACE) or {"position": 0})["position"])

    def pull(self, after: int | None, most: int) -> list[tuple[int, Document]]:
        """Events by position from behind `after`, or behind the platform's place, which does not move."""
        start = self.place if after is None else after
        page = []
        for position in range(start + 1, min(start + most, self.last) + 1):
            event = self.book.get("callback", self._keys[position]) or {}
            self.book.put("callback", event["key"], event | {"tries": event["tries"] + 1})
            page.append((position, event["body"]))
        return page

    def confirm(self, position: int, refused: Mapping[int, str]) -> None:
        """Move the platform's place forward; saying it again, or late, moves nothing. Raises `ValueError` for one not offered."""
        if position > self.last:
            raise ValueError("Position")
        for passed in range(self.place + 1, position + 1):
            event = self.book.get("callback", self._keys[passed]) or {}
            self.book.put("callback", event["key"], event | {"answer": 422 if passed in refused else 200,
                                                             "rule": refused.get(passed, "")})
        if position > self.place:
            self.book.put("cursor", PLACE, {"position": position})

    def _write(self, key: str, event_id: str, body: Document) -> None:
        self.book.put("callback", key, {"key": key, "event_id": event_id, "body": body, "position": 0, "tries": 0, "answer": None})
        if self.faults.strikes("late_callback", key):
            self.background.start(self._later(key))
        else:
            self._queue(key)

    async def _later(self, key: str) -> None:
        await asyncio.sleep(self.faults.between(1, 3, "late", key) * self.setting.pace)
        self._queue(key)

    def _queue(self, key: str) -> None:
        event = self.book.get("callback", key)
        if event and not event["position"]:
            position = self.last + 1
            self.book.put("callback", key, event | {"position": position})
            self._keys[position] = key

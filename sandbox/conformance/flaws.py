"""Interfaces that are wrong on purpose: the certification must name the requirement each of them breaks."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from fastapi import FastAPI

from sandbox.dialects import Heard, Speaker
from sandbox.facts import Facts


class Sound:
    """Passes everything on; a flaw overrides what it gets wrong."""

    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker

    def prescription(self, facts: Facts) -> bytes:
        return self._speaker.prescription(facts)

    def changed(self, facts: Facts) -> bytes:
        return self._speaker.changed(facts)

    def broken(self, facts: Facts, number: int) -> bytes:
        return self._speaker.broken(facts, number)

    def cancel(self, facts: Facts, key: str, at: datetime) -> bytes:
        return self._speaker.cancel(facts, key, at)

    async def send(self, body: bytes) -> Heard | None:
        return await self._speaker.send(body)

    async def where(self, facts: Facts) -> str:
        return await self._speaker.where(facts)

    def doors(self, app: FastAPI) -> None:
        self._speaker.doors(app)

    async def listen(self) -> None:
        await self._speaker.listen()


class NewBytesOnRepeat(Sound):
    """Writes the message anew for each attempt, with another time in it."""

    def __init__(self, speaker: Speaker) -> None:
        super().__init__(speaker)
        self._attempts: dict[str, int] = {}

    def prescription(self, facts: Facts) -> bytes:
        attempt = self._attempts[facts.key] = self._attempts.get(facts.key, -1) + 1
        if not attempt:
            return self._speaker.prescription(facts)
        return self._speaker.prescription(replace(facts, sent=facts.sent + timedelta(seconds=attempt)))


class NeverCancels(Sound):
    """Tells its doctors that a prescription was taken back, and sends nothing."""

    def __init__(self, speaker: Speaker) -> None:
        super().__init__(speaker)
        self._number = itertools.count(1)
        self._unsent: set[bytes] = set()

    def cancel(self, facts: Facts, key: str, at: datetime) -> bytes:
        body = b"cancel %d" % next(self._number)
        self._unsent.add(body)
        return body

    async def send(self, body: bytes) -> Heard | None:
        return Heard("accepted", status="cancelled") if body in self._unsent else await self._speaker.send(body)


class PersonalKeys(Sound):
    """Uses the patient's id number as the key of the message."""

    def prescription(self, facts: Facts) -> bytes:
        return self._speaker.prescription(replace(facts, key=f"{facts.id_number}-{facts.key}"))


FLAWS: Mapping[str, tuple[Callable[[Speaker], Speaker], str]] = {
    "new-bytes": (NewBytesOnRepeat, "R-05"),
    "no-cancel": (NeverCancels, "R-10"),
    "personal-keys": (PersonalKeys, "R-19"),
}
"""Name -> the flaw, and the requirement it must be caught by."""

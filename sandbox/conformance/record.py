"""What went over the line between a hospital and the platform, in both directions, and for what purpose."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI

from sandbox.conformance.samples import send_sample
from sandbox.dialects import Heard, Speaker
from sandbox.facts import Facts

LONGEST = 6000
"""Characters of a message that a report shows."""


@dataclass(frozen=True)
class Purpose:
    """What a message was for."""

    kind: str
    """`prescription`, `changed`, `broken`, `cancel` or `sample`."""
    key: str
    """Of the prescription (its message), of the cancel, or the sample's file name."""
    prescription: str = ""
    """The hospital's number."""


@dataclass(frozen=True)
class Sent:
    """One message and what was answered."""

    at: datetime
    purpose: Purpose
    body: bytes = field(repr=False)
    answer: Heard | None
    again: str = ""
    """Why it was sent again: `repeat`, `at once`; empty the first time."""


@dataclass(frozen=True)
class Told:
    """One report the platform delivered."""

    at: datetime
    key: str
    report: dict[str, Any] = field(repr=False)


class Record:
    """Everything, in the order it happened."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.reports: list[Told] = []
        self.people: list[Facts] = []
        """Whose names and numbers must not be shown."""

    def of(self, *kinds: str) -> list[Sent]:
        return [sent for sent in self.sent if sent.purpose.kind in kinds]

    def heard_of(self, prescription: str) -> list[dict[str, Any]]:
        """Reports about a prescription, each key once, in the order of what they tell."""
        once = {told.key: told.report for told in reversed(self.reports) if told.report.get("prescription") == prescription}
        return sorted(once.values(), key=lambda report: str(report.get("at", "")))


class Recorder:
    """A speaker that writes down what passes; see `sandbox.dialects.Speaker`."""

    def __init__(self, speaker: Speaker, record: Record, dialect: str = "") -> None:
        self._speaker = speaker
        self._dialect = dialect
        self._record = record
        self._purposes: dict[bytes, Purpose] = {}

    def prescription(self, facts: Facts) -> bytes:
        return self._for(Purpose("prescription", facts.key, facts.external_id), self._speaker.prescription(facts), facts)

    def changed(self, facts: Facts) -> bytes:
        return self._for(Purpose("changed", facts.key, facts.external_id), self._speaker.changed(facts), facts)

    def broken(self, facts: Facts, number: int) -> bytes:
        return self._for(Purpose("broken", f"broken {number}", facts.external_id), self._speaker.broken(facts, number), facts)

    def cancel(self, facts: Facts, key: str, at: datetime) -> bytes:
        return self._for(Purpose("cancel", key, facts.external_id), self._speaker.cancel(facts, key, at), facts)

    async def send_sample(self, name: str, body: bytes) -> Heard | None:
        """A message out of the hospital's folder, over the line as it is."""
        answer = await send_sample(self._dialect, self._speaker, body)
        self._record.sent.append(Sent(datetime.now(UTC), Purpose("sample", name), body, answer))
        return answer

    def doors(self, app: FastAPI) -> None:
        self._speaker.doors(app)

    async def listen(self) -> None:
        await self._speaker.listen()

    async def where(self, facts: Facts) -> str:
        return await self._speaker.where(facts)

    async def send(self, body: bytes) -> Heard | None:
        return await self.send_again(body, "")

    async def send_again(self, body: bytes, why: str) -> Heard | None:
        purpose = self._purposes.get(body, Purpose("unknown", ""))
        answer = await self._speaker.send(body)
        self._record.sent.append(Sent(datetime.now(UTC), purpose, body, answer, why))
        return answer

    def _for(self, purpose: Purpose, body: bytes, facts: Facts | None = None) -> bytes:
        self._purposes[body] = purpose
        if facts and facts not in self._record.people:
            self._record.people.append(facts)
        return body


# What a report may show.

_PERSONAL = re.compile(r"(?<![0-9])[1-9]\d{5}(?:18|19|20)\d{2}(?:0[1-9]|1[0-2])[0-3]\d{4}[0-9Xx](?![0-9])"
                       r"|(?<![0-9])1[3-9]\d{9}(?![0-9])")


def personal(people: Iterable[Facts]) -> Callable[[str], str]:
    """Takes the people's names, numbers and addresses out of a text."""
    words_of = {value: f"<{word}>" for facts in people for word, value in (
        ("姓名 name", facts.name), ("证件号 id", facts.id_number), ("电话 phone", facts.phone), ("地址 address", facts.address))
        if value}
    # The longest first: an address may begin like another one.
    named = re.compile("|".join(re.escape(value) for value in sorted(words_of, key=len, reverse=True)) or r"(?!)")

    def masked(text: str) -> str:
        return _PERSONAL.sub("<号码 number>", named.sub(lambda match: words_of[match[0]], text))

    return masked


def shown(body: bytes, masked: Callable[[str], str]) -> str:
    """A message for people to read: as text where it is text, without what is personal."""
    for encoding in ("utf-8", "gb18030"):
        try:
            text = body.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\x00" in text or sum(not sign.isprintable() and sign not in "\r\n\t\x0b\x1c" for sign in text) > len(text) / 20:
            break
        text = masked(text.replace("\r\n", "\n").replace("\r", "\n"))
        return text if len(text) <= LONGEST else f"{text[:LONGEST]}\n… {len(text)} 字符 characters"
    return f"({len(body)} 字节 bytes)"


"""What passes between a hospital and intake: its message in FHIR, and our verdict on it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from domain.findings import Finding, Spot
from domain.lifecycle import Reported

Json = dict[str, Any]


@dataclass(frozen=True)
class Unmapped:
    """A hospital's own code that is not mapped to ours yet."""

    table: str
    """`drug`, `route`, `frequency`, `unit`, `diagnosis` or `title`."""
    theirs: str
    name: str = ""
    """What the hospital calls it: for the person who maps it."""
    spot: Spot | None = None


@dataclass(frozen=True)
class Message:
    """A hospital's message as FHIR (contract 1): a Bundle for a prescription, a Task for a cancel."""

    key: str | None
    """The hospital's own key of the message, the same on a repeat; None if it carries none we could use."""
    resource: Json = field(repr=False)
    locate: Callable[[str], Spot | None] = field(default=lambda _: None, repr=False)
    """FHIRPath in `resource` -> where in the file as sent."""
    unmapped: tuple[Unmapped, ...] = ()
    """With any of these, and nothing wrong otherwise, the message waits in the mapping queue."""
    context: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What the answer must repeat, such as the sender's control id."""
    findings: tuple[Finding, ...] = ()
    """What the dialect itself found wrong, though it could put the message into FHIR: said with the checker's findings."""

    @property
    def kind(self) -> str:
        """`Bundle` or `Task`."""
        return str(self.resource.get("resourceType"))


def reason_words(report: Mapping[str, Any]) -> str:
    """Why, for people, in a dialect that has one text for it: Chinese and English; the code where a report has no words."""
    return " / ".join(filter(None, (report.get("words"), report.get("words_en")))) or str(report.get("reason") or "")


class Outcome(StrEnum):
    ACCEPTED = "accepted"
    REFUSED = "refused"
    """It breaks the contract; the findings say how."""
    CONFLICT = "conflict"
    """The same key, or the same prescription, came before with another content."""
    WAITING = "waiting"
    """It is kept, and waits until a person has mapped its codes."""


@dataclass(frozen=True)
class Verdict:
    """What the platform says to a message; `Hospital.answer` puts it into the hospital's own words."""

    outcome: Outcome
    at: datetime
    hospital: str
    prescription_id: str = ""
    external_id: str = ""
    """The hospital's own prescription number."""
    status: Reported | Literal[""] = ""
    """Of a message that was accepted: the prescription's status; for a cancel one of `domain.lifecycle.CANCEL_ANSWERS`."""
    findings: Sequence[Finding] = ()
    unmapped: Sequence[Unmapped] = ()


@dataclass(frozen=True)
class Reply:
    """An answer as it is sent, stored, and sent again."""

    body: bytes = field(repr=False)
    status: int = 200
    """Where the transport has one (HTTP)."""
    media: str = "application/octet-stream"


@dataclass(frozen=True)
class Parked:
    """A file of a hospital that could not be taken, as it lies in the hospital's box."""

    mark: str
    """The first eight letters of its name there; its own name may say anything."""
    reason: str
    """A code of `domain.words.PARKED`."""


@dataclass(frozen=True)
class Fetched:
    """One message taken from a partner that is asked for its messages."""

    ref: str
    """The partner's own name for it; what `Polled.hand_back` is told."""
    raw: bytes = field(repr=False)
    whole: bytes = field(default=b"", repr=False)
    """The file it was cut from, where one file holds several; to be archived as it is."""

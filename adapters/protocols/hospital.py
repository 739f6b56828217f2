"""A hospital."""

from typing import Protocol

from adapters.mapping import CodeMap
from adapters.messages import Message, Reply, Verdict


class Hospital(Protocol):
    """A hospital that sends prescriptions and wants to hear what became of them."""

    slug: str

    def to_fhir(self, raw: bytes, codes: CodeMap) -> Message:
        """Its message in FHIR. Pure: nothing is looked up but `codes`, nothing is sent.

        Codes nobody has mapped are listed in the message, not raised. Raises `InvalidPayload`, with every finding
        and its spot, for bytes that are no message of this dialect; what the message says is checked by others.
        """

    def answer(self, message: Message | None, verdict: Verdict) -> Reply:
        """The verdict in the hospital's own words. Pure; None for a message that could not be read."""

    async def report(self, key: str, body: bytes) -> None:
        """Deliver one status report (JSON, contract 1.3) in the hospital's own words. Repeatable: it keeps `key`."""

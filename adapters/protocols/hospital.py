"""A hospital."""

from typing import Protocol

from adapters.mapping import CodeMap
from adapters.messages import Message, Reply, Verdict


class Hospital(Protocol):
    """A hospital that sends prescriptions and wants to hear what became of them."""

    slug: str

    def to_fhir(self, raw: bytes, codes: CodeMap) -> Message:
        """Its message in FHIR. Pure: only `codes` is looked up, nothing is sent.

        Codes that are not mapped are listed in the message, not raised. Raises `InvalidPayload`, with every finding
        and its spot, for bytes that are no message of this dialect. The content is checked later, by `fhir_profiles`.
        """

    def answer(self, message: Message | None, verdict: Verdict) -> Reply:
        """The verdict in the hospital's own words. Pure; None for a message that could not be read."""

    async def report(self, key: str, body: bytes) -> None:
        """Deliver one status report (JSON, contract 1.3) in the hospital's own words. Repeatable: it keeps `key`."""

"""Errors say what happens next; the name is the instruction.

Messages hold opaque ids, codes and paths, never anything about a person. They end up in logs, in the history of a
prescription and in Prefect.
"""

from collections.abc import Sequence

from domain.findings import Finding


class RxError(Exception):
    """The root of the six; it is never raised itself."""

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code or type(self).__name__
        """A word a machine can count by, such as a partner's own refusal code."""
        self.effect: object | None = None
        """The effect on a partner that failed with it, an `infra.db.effects.Effect`; None where it was none."""


class Transient(RxError):
    """No action is needed: the same call may succeed later."""


class OutcomeUnknown(RxError):
    """We sent it and never heard back. Ask by our own reference before sending again."""


class Refused(RxError):
    """The partner understood and said no. A business outcome, never retried."""


class InvalidPayload(RxError):
    """The partner broke the contract. Quarantine it and send the findings back."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__("; ".join(f"{f.code} at {f.path}" for f in findings) or "invalid payload")
        self.findings = tuple(findings)


class NeedsOperator(RxError):
    """Retrying cannot help until a person fixes configuration, credentials or a partner's book."""


class StaleStatus(RxError):
    """Another process or person moved this prescription first. Read it again."""

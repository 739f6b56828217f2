"""What is wrong with a message or a prescription, and what cures it."""

from dataclasses import asdict, dataclass
from enum import StrEnum


class Severity(StrEnum):
    """Four outcomes, kept apart (rules-cn, section "Outcome")."""

    BLOCK = "BLOCK"
    """The step cannot continue. A safety block cannot be overridden."""
    SELFPAY = "SELFPAY"
    """The fund does not pay this line; the patient may still buy it. Never a clinical verdict."""
    WARN = "WARN"
    """The actor must read it and give a reason to go on."""
    INFO = "INFO"
    """Shown; no reason needed."""


@dataclass(frozen=True)
class Spot:
    """Where something stands in a file as it was sent; what does not apply keeps its default."""

    name: str = ""
    """The place in the sender's own terms: `RXE-3.1`, `row 7, 用量`, an XPath."""
    line: int = 0
    """1-based."""
    column: int = 0
    """1-based, in characters."""
    offset: int = -1
    """In bytes from the start of the file."""

    def __str__(self) -> str:
        parts = [self.name, f"line {self.line}, column {self.column}" if self.line else "",
                 f"byte {self.offset}" if self.offset >= 0 and not self.line else ""]
        return "; ".join(part for part in parts if part)


NOWHERE = Spot()

@dataclass(frozen=True)
class Finding:
    """One fault or remark, from the message checker, the audit or the tie-out.

    Holds codes, paths and drug names; never a patient's name, number or address.
    """

    code: str
    """Stable code of the outcome, e.g. `RX_EXPIRED`. Never reused for another meaning."""
    severity: Severity
    rule: str
    """Id of the rule that found it, e.g. `A-01` or `FHIR-012`."""
    path: str
    """Where: a FHIRPath into the message as sent, or `item[2].days_supply`."""
    text: str
    """What is wrong, in Chinese."""
    text_en: str
    cure: str = ""
    """What to do about it, in Chinese."""
    cure_en: str = ""
    source: str = ""
    """The regulation or interface the rule comes from, e.g. `处方管理办法 art.18`."""
    line: int | None = None
    """The item concerned (1-based), if it is about one."""
    spot: Spot | None = None
    """Where in the file as sent, if it is about a message."""
    actor: str = ""
    """Who must act on it: `interface`, `prescriber`, `registration` or `platform`; empty where the rule says it."""

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def worst(findings: list[Finding] | tuple[Finding, ...]) -> Severity | None:
    """The most severe outcome among them, or None if there are none."""
    order = list(Severity)
    return min((f.severity for f in findings), key=order.index, default=None)

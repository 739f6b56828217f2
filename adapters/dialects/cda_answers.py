"""What a hospital that sends documents of WS/T 500 is answered: a `result` element of our service (cda.wsdl)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from lxml import etree

from adapters.dialects.cda_grammar import SERVICE
from adapters.messages import Message, Outcome, Reply, Unmapped, Verdict
from adapters.xml import Element
from domain.findings import Finding, Spot


def element(namespace: str, name: str, *inner: Element | str, **attributes: str) -> Element:
    """A new element; a character that XML cannot hold is left out of its texts."""
    prefixes: Any = {None: namespace}
    made = etree.Element(f"{{{namespace}}}{name}", {key: _printable(text) for key, text in attributes.items()},
                         nsmap=prefixes)
    for part in inner:
        if isinstance(part, str):
            made.text = _printable(part)
        else:
            made.append(part)
    return made


def _printable(text: str) -> str:
    return "".join(char for char in text if char == "\t" or (char >= " " and not "\ud800" <= char <= "\udfff"
                                                             and char not in "\ufffe\uffff"))


class Inquiry(StrEnum):
    """The answer to a question about a prescription (QueryStatus)."""

    KNOWN = "known"
    UNKNOWN = "unknown"


WORDS: Mapping[Outcome | Inquiry, tuple[str, str]] = {
    Outcome.ACCEPTED: ("已接收", "accepted"),
    Outcome.REFUSED: ("不符合约定，未接收；请按所列问题修改后重发", "refused; correct what is listed and send it again"),
    Outcome.CONFLICT: ("同一文档或处方已收到过，内容不同；先撤销原处方，再以新编号发送",
                       "the document or prescription came before with another content; cancel that one, then send the new one "
                       "under new numbers"),
    Outcome.WAITING: ("已保存，待人工对照编码；结果另行通知", "kept until its codes are mapped; you will be told"),
    Inquiry.KNOWN: ("处方现状", "where the prescription is"),
    Inquiry.UNKNOWN: ("没有收到过该处方", "no such prescription came"),
}


def answer(_: Message | None, verdict: Verdict) -> Reply:
    """The verdict as a `result` element, with every finding by data element, XPath and line."""
    return Reply(result(
        verdict.outcome, verdict.at, verdict.prescription_id, verdict.external_id, verdict.status,
        verdict.findings, verdict.unmapped), 200, "text/xml; charset=utf-8")


def result(outcome: Outcome | Inquiry, at: datetime, prescription_id: str = "", number: str = "", status: str = "",
           findings: Sequence[Finding] = (), unmapped: Sequence[Unmapped] = ()) -> bytes:
    """A `result` element of our service (cda.wsdl)."""
    text, text_en = WORDS[outcome]
    facts = {"outcome": str(outcome), "text": text, "textEn": text_en, "at": at.isoformat(timespec="seconds")}
    about = {"prescriptionId": prescription_id, "prescriptionNumber": number, "status": status}
    return bytes(etree.tostring(element(
        SERVICE, "result", *_texts(facts), *_texts(about), *map(_finding, findings), *map(_unmapped, unmapped)),
        encoding="utf-8"))


def _finding(finding: Finding) -> Element:
    facts = {"code": finding.code, "rule": finding.rule, "severity": finding.severity.value, "path": finding.path}
    words = {"text": finding.text, "textEn": finding.text_en, "cure": finding.cure, "cureEn": finding.cure_en,
             "source": finding.source, "actor": finding.actor}
    return element(SERVICE, "finding", *_texts(facts), *_place(finding.spot), *_texts(words))


def _unmapped(unmapped: Unmapped) -> Element:
    return element(SERVICE, "unmapped", *_texts({"table": unmapped.table, "code": unmapped.theirs[:100]}), *_place(unmapped.spot))


def _place(spot: Spot | None) -> list[Element]:
    """Data element, XPath, line and column, as far as they are known."""
    if spot is None:
        return []
    de, _, path = spot.name.rpartition(" ")
    return _texts({"dataElement": de, "xpath": path, "line": str(spot.line or ""), "column": str(spot.column or "")})


def _texts(texts: Mapping[str, str]) -> list[Element]:
    return [element(SERVICE, name, text) for name, text in texts.items() if text]

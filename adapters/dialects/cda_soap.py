"""The SOAP 1.1 that carries documents of WS/T 500: our own service (cda.wsdl), and a partner's answers."""

import base64
import binascii
from dataclasses import dataclass, field
from pathlib import Path

from lxml import etree

from adapters.dialects import cda
from adapters.dialects.cda import MAX_TAGS, finding
from adapters.dialects.cda_grammar import SERVICE, SOAP
from adapters.dialects.cda_rules import BY_CODE
from adapters.xml import Element, local, parse
from domain.errors import InvalidPayload
from domain.words import Two

OPERATIONS = ("SubmitPrescription", "CancelPrescription", "QueryStatus")

MAX_BYTES = 2 * cda.MAX_BYTES
"""Of an envelope: a document in base64 takes four thirds of its size."""


@dataclass(frozen=True)
class Call:
    """One call of our service."""

    operation: str
    raw: bytes = field(repr=False)
    """What intake receives: the document of a SubmitPrescription, the canonical element of a CancelPrescription.

    An envelope is new every time; what is repeated in another one is the same request.
    """
    number: str = ""
    """Of a QueryStatus."""


class Fault(Exception):
    """What is no call of our service. `code` is a faultcode of SOAP 1.1."""

    def __init__(self, code: str, words: Two) -> None:
        super().__init__(words.en)
        self.code, self.words = code, words


def call(raw: bytes) -> Call:
    """The call in a request. Raises `Fault` for what is no SOAP 1.1, or no operation of ours."""
    try:
        root = parse(raw, "Envelope", max_bytes=MAX_BYTES, max_tags=MAX_TAGS)
    except InvalidPayload as invalid:
        first = invalid.findings[0]
        where = f" ({first.spot})" if first.spot else ""
        raise Fault("Client", Two(f"{first.text}{where}", f"{first.text_en}{where}")) from None
    if local(root) != "Envelope":
        raise Fault("Client", Two("不是 SOAP 信封", "this is no SOAP envelope"))
    if root.tag != f"{{{SOAP}}}Envelope":
        raise Fault("VersionMismatch", Two("只支持 SOAP 1.1", "only SOAP 1.1 is spoken here"))
    header, body = root.find(f"{{{SOAP}}}Header"), root.find(f"{{{SOAP}}}Body")
    if header is not None and any(entry.get(f"{{{SOAP}}}mustUnderstand") in ("1", "true") for entry in header):
        raise Fault("MustUnderstand", Two("不支持必须理解的 SOAP 头", "a header that must be understood is not"))
    wish = body[0] if body is not None and len(body) else None
    if len(root.findall(f"{{{SOAP}}}Body")) > 1 or (body is not None and len(body) > 1):
        raise Fault("Client", Two("一个信封只能有一次调用", "an envelope holds one call"))
    operation = local(wish) if wish is not None and wish.tag == f"{{{SERVICE}}}{local(wish)}" else ""
    if wish is None or operation not in OPERATIONS:
        operations = ", ".join(OPERATIONS)
        raise Fault("Client", Two(f"没有这个操作；可用 {operations}", f"no such operation; there are {operations}"))
    if operation == "SubmitPrescription":
        if len(wish) > 1:
            raise Fault("Client", Two("SubmitPrescription 中只能有一个 document", "a SubmitPrescription holds one document"))
        return Call(operation, decoded(wish.findtext(f"{{{SERVICE}}}document") or ""))
    same = bytes(etree.tostring(wish, method="c14n", exclusive=True, with_tail=False))
    return Call(operation, same, (wish.findtext(f"{{{SERVICE}}}prescriptionNumber") or "").strip())


def decoded(text: str) -> bytes:
    """The bytes behind a base64Binary. Raises `Fault` for what is none."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        rule = BY_CODE["CDA_DOCUMENT"]
        raise Fault("Client", Two(f"{rule.text}：{rule.cure}", f"{rule.text_en} {rule.cure_en}")) from None


def envelope(payload: bytes) -> bytes:
    """A SOAP 1.1 message around an element."""
    return (f'<?xml version="1.0" encoding="UTF-8"?>\n<soap:Envelope xmlns:soap="{SOAP}"><soap:Body>'.encode()
            + payload + b"</soap:Body></soap:Envelope>")


def response(operation: str, payload: bytes) -> bytes:
    """The answer to a call of our service."""
    return envelope(f'<s:{operation}Response xmlns:s="{SERVICE}">'.encode() + payload + f"</s:{operation}Response>".encode())


def fault(code: str, text: Two) -> bytes:
    """A SOAP 1.1 fault; `code` is `Client`, `Server`, `VersionMismatch` or `MustUnderstand`."""
    made = etree.Element(f"{{{SOAP}}}Fault", nsmap={"soap": SOAP})
    for name, words in (("faultcode", f"soap:{code}"), ("faultstring", f"{text.zh} / {text.en}")):
        etree.SubElement(made, name).text = words
    return envelope(bytes(etree.tostring(made, encoding="utf-8")))


def wsdl(address: str) -> bytes:
    """The description of our service at an address."""
    text = (Path(__file__).parent / "cda.wsdl").read_text(encoding="utf-8")
    escaped = address.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return text.replace("{address}", escaped).encode()


def body(raw: bytes, namespace: str, name: str) -> Element:
    """The element of a partner's SOAP answer. Raises `InvalidPayload` for anything else."""
    root = parse(raw, "Envelope")
    answer: Element | None = root.find(f"{{{SOAP}}}Body/{{{namespace}}}{name}")
    if answer is None:
        raise InvalidPayload([finding("CDA_ROOT", root)])
    return answer

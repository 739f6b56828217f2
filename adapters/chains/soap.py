"""SOAP 1.1 with a chain: requests as we write them, and answers by the one safe parser of the product."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from lxml import etree

from adapters.chains.wire import finding
from adapters.xml import Element, local, parse, spot
from domain.errors import InvalidPayload

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
MEDIA = "text/xml; charset=utf-8"
OUR_FAULTS = frozenset({"Client", "VersionMismatch", "MustUnderstand"})
"""Fault codes that say that our request was wrong, and that nothing was done."""
_NOT_XML = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")

Value = str | Mapping[str, "Value"] | Sequence["Value"]
"""What an element holds: text, elements by name, or several elements of that name."""


class Fault(Exception):
    """The partner answered with a fault; `code` is the faultcode of SOAP 1.1 without its prefix."""

    def __init__(self, code: str) -> None:
        super().__init__("a SOAP fault")
        self.code = code


def envelope(namespace: str, operation: str, fields: Mapping[str, Value]) -> bytes:
    """A request: one element of the operation's name, its fields in the order given."""
    root = etree.Element(f"{{{SOAP}}}Envelope", nsmap={"soap": SOAP, "p": namespace})
    body = etree.SubElement(root, f"{{{SOAP}}}Body")
    _write(body, f"{{{namespace}}}", operation, fields)
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + bytes(etree.tostring(root, encoding="utf-8"))


def _write(parent: Element, namespace: str, name: str, value: Value) -> None:
    if isinstance(value, Sequence) and not isinstance(value, str):
        for each in value:
            _write(parent, namespace, name, each)
        return
    element = etree.SubElement(parent, namespace + name)
    if isinstance(value, str):
        # A control character has no place in XML 1.0 and no meaning in a word.
        element.text = _NOT_XML.sub("\uFFFD", value)
        return
    for child, below in value.items():
        _write(element, namespace, child, below)


def answer(raw: bytes, namespace: str, operation: str) -> Element:
    """The element `<operation>Response` of an answer. Raises `Fault`, and `InvalidPayload` for anything else."""
    root = _parsed(raw, "Envelope")
    bodies = root.findall(f"{{{SOAP}}}Body") if root.tag == f"{{{SOAP}}}Envelope" else []
    if len(bodies) != 1 or len(bodies[0]) != 1:
        raise InvalidPayload([finding("CHN-12", "Envelope.Body", spot(root))])
    body = bodies[0]
    if body[0].tag == f"{{{SOAP}}}Fault":
        raise Fault((body[0].findtext("faultcode") or "").strip().rpartition(":")[2].partition(".")[0])
    if body[0].tag != f"{{{namespace}}}{operation}Response":
        raise InvalidPayload([finding("CHN-12", f"{operation}Response", spot(body[0]))])
    return body[0]


def element(raw: bytes, namespace: str, name: str) -> Element:
    """The root element of a message that came without an envelope. Raises `InvalidPayload`."""
    root = _parsed(raw, name)
    if root.tag != f"{{{namespace}}}{name}":
        raise InvalidPayload([finding("CHN-12", name, spot(root))])
    return root


def refused_by(raw: bytes) -> str:
    """The faultcode of an answer; empty if it is no fault."""
    try:
        answer(raw, "", "")
    except Fault as fault:
        return fault.code
    except InvalidPayload:
        pass
    return ""


def tree(parent: Element, lists: Collection[str] = ()) -> dict[str, Any]:
    """What is in an element, by local names: text, or again a tree. An element of `lists`, and any that is repeated, is a list."""
    fields: dict[str, Any] = {}
    repeated: set[str] = set()
    for name, value in _children(parent, lists):
        if name in lists or name in repeated:
            fields.setdefault(name, []).append(value)
        elif name in fields:
            repeated.add(name)
            fields[name] = [fields[name], value]
        else:
            fields[name] = value
    return fields


def _children(parent: Element, lists: Collection[str]) -> Iterator[tuple[str, Any]]:
    for child in parent:
        yield local(child), tree(child, lists) if len(child) else (child.text or "").strip()


def alone(child: Element) -> bytes:
    """An element as a separate message: the same bytes whenever it says the same (exclusive C14N)."""
    return bytes(etree.tostring(child, method="c14n", exclusive=True, with_tail=False))


def _parsed(raw: bytes, root: str) -> Element:
    try:
        return parse(raw, root)
    except InvalidPayload as invalid:
        places = [fault.spot for fault in invalid.findings]
    raise InvalidPayload([finding("CHN-12", root, place) for place in places])

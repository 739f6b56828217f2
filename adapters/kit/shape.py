"""The shape of a message: which elements it has, without their values. A new version of a partner's software shows here first."""

import csv
import io
import json
import re
from collections.abc import Iterator
from typing import Any

from adapters import xml
from domain.errors import InvalidPayload

MOST = 2000
"""Paths of one message that are looked at."""


def shape(raw: bytes) -> frozenset[str]:
    """Paths of the elements in a message, without their positions in lists; empty for what has no shape we can see.

    JSON and XML: names down to each element. HL7 v2: `RXE-3`. Tables: the headings. Holds no value of the message.
    """
    start = raw.lstrip()[:4]
    if start.startswith((b"{", b"[")):
        paths = _json(raw)
    elif start.startswith(b"MSH"):
        paths = _hl7(raw)
    elif start.startswith((b"<", b"\xef\xbb\xbf<")):
        paths = _xml(raw)
    else:
        paths = _table(raw)
    return frozenset(path for path, _ in zip(paths, range(MOST), strict=False))


def _json(raw: bytes) -> Iterator[str]:
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        return
    yield from _below(document, "")


def _below(node: Any, path: str) -> Iterator[str]:
    if isinstance(node, dict):
        kind = node.get("resourceType")
        for name, value in node.items():
            below = f"{path}.{name}" if path else f"{kind}.{name}" if kind else name
            if name == "resource" and isinstance(value, dict):
                yield from _below(value, str(value.get("resourceType", below)))
            else:
                yield from _below(value, below)
    elif isinstance(node, list):
        for item in node:
            yield from _below(item, path)
    elif path:
        yield path


def _xml(raw: bytes) -> Iterator[str]:
    try:
        root = xml.parse(raw)
    except InvalidPayload:
        return
    waiting = [(root, xml.local(root))]
    while waiting:
        element, path = waiting.pop()
        yield path
        yield from (f"{path}/@{re.sub(r'{.*}', '', str(name))}" for name in element.keys())  # noqa: SIM118
        waiting += [(child, f"{path}/{xml.local(child)}") for child in element]


def _hl7(raw: bytes) -> Iterator[str]:
    separator = raw[3:4]
    for segment in re.split(rb"[\r\n]+", raw):
        name, *fields = segment.split(separator)
        if re.fullmatch(rb"[A-Z][A-Z0-9]{2}", name):
            yield from (f"{name.decode()}-{place}" for place, field in enumerate(fields, 2 if name == b"MSH" else 1) if field)


def _table(raw: bytes) -> Iterator[str]:
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            first = raw.decode(encoding).splitlines()[0]
        except (UnicodeDecodeError, IndexError):
            continue
        separator = max(",\t|;", key=first.count)
        # One column is no table; a heading has no long numbers in it.
        headings = next(csv.reader(io.StringIO(first), delimiter=separator), [])
        if len(headings) > 1 and first.isprintable() | ("\t" in first) and not re.search(r"\d{6}", first):
            yield from headings
        return

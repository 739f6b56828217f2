"""The one XML parser of the product: limits first, then libxml2 without DTDs, entities or network.

The tree has no comments and no processing instructions, and every element knows where it stood in the file.
Prefixes differ between senders: compare `local(element)`, or `{namespace}name`.

Every step costs no more than the length of the file. Limits are counted before a tree is built. The places of all
elements are worked out in one walk, when the first is asked for.
"""

import codecs
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from lxml import etree

from domain.errors import InvalidPayload
from domain.findings import Spot
from fhir_profiles.catalogue import RULES

Element = etree._Element

MAX_BYTES = 20_000_000
MAX_DEPTH = 64
MAX_TAGS = 200_000
"""Start and end tags, comments and the like; a large document has some thousands."""
MAX_ATTRIBUTES = 100
"""Of one element, and for each tag allowed, of the whole file."""
MAX_NAME = 200
"""Characters of an element's name."""
MAX_NAMESPACES = 256
"""Declarations in force at one element: each name is looked up among them."""

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_BARE_UTF16 = ((b"<\0", "utf-16-le"), (b"\0<", "utf-16-be"))
_CODECS = {
    "utf-8": "utf-8", "utf8": "utf-8", "us-ascii": "ascii", "ascii": "ascii",
    "gb18030": "gb18030", "gbk": "gb18030", "gb2312": "gb18030", "gb_2312-80": "gb18030", "cp936": "gb18030",
    "utf-16": "utf-16", "utf-16le": "utf-16-le", "utf-16be": "utf-16-be",
}
"""A declared encoding -> how Python reads it; GB18030 holds GBK and GB 2312."""
_DECLARED = r"""<\?xml\s[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']"""
_DECLARED_BYTES, _DECLARED_TEXT = re.compile(_DECLARED.encode()), re.compile(_DECLARED)
# A tag from `<` to `>`; possessive, so that a broken one costs no more than its own length.
_TAG = re.compile(r"""<(/?)([^\s<>"'/]*+)[^<>"']*+(?:"[^"<]*+"[^<>"']*+|'[^'<]*+'[^<>"']*+)*+>""")
_ATTRIBUTE = re.compile(r"""\s([^\s=<>"']++)\s*+=\s*+(?:"[^"]*+"|'[^']*+')""")
_NAME = re.compile(r"(?!.*\d{6})[^\W\d][\w.-]{0,39}")


def parse(raw: bytes, root: str = "Document", *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH,
          max_tags: int = MAX_TAGS) -> Element:
    """The root element of an XML file as it was sent, in UTF-8, UTF-16 or GB18030 by mark or declaration.

    `root` is what findings about the file as a whole call it. Raises `InvalidPayload`, every finding with its spot.
    """
    if len(raw) > max_bytes:
        raise _refusal("MSG_TOO_LARGE", root)
    source = _decoded(raw, root)
    if (nul := source.text.find("\0")) >= 0:
        raise _refusal("MSG_NOT_XML", root, source.spot(nul))
    if source.text.count("<") > max_tags:
        raise _refusal("MSG_TOO_COMPLEX", root, source.spot(0))
    starts = list(_tags(source, root, max_depth, max_tags))
    parser = _Parser(replace(source, starts=starts))
    try:
        # The parser's own encoding wins over the declaration in libxml2: the text is decoded already.
        return etree.fromstring(source.text.encode(), parser)
    except etree.XMLSyntaxError as error:
        line, column = error.position
        # libxml2's own words may quote the message; its place is enough.
        raise _refusal("MSG_NOT_XML", root, source.at_line(max(line, 1), max(column, 1))) from None


def spot(element: Element, name: str = "") -> Spot:
    """Where an element of a parsed file begins: line, column, byte, and `name` or else its XPath.

    The tree must stand as it was parsed. An element that was made has no place but its name.
    """
    return Spot(name or xpath(element), *_places(element).get(element, _UNPLACED)[1:])


def local(element: Element) -> str:
    """The name of an element without its namespace."""
    return str(element.tag).rpartition("}")[2]


def xpath(element: Element) -> str:
    """The path of an element by local names, `/Bundle/entry[2]/resource`; an odd name is shown as `*`."""
    places = _places(element)
    steps = [places.get(step, _UNPLACED)[0] or shown(local(step)) for step in (element, *element.iterancestors())]
    return "/" + "/".join(reversed(steps))


def shown(name: str) -> str:
    """The name of an element or attribute as a place may show it: a name that could be personal data is `*`."""
    return name if _NAME.fullmatch(name) else "*"


_Place = tuple[str, int, int, int]
"""The step of an element's XPath; line, column and byte where it begins."""
_UNPLACED: _Place = ("", 0, 0, -1)


@dataclass(frozen=True)
class _Source:
    """The file as text, and the way back to its bytes."""

    text: str = field(repr=False)
    codec: str
    mark: int
    """Bytes of the byte order mark."""
    starts: list[int] = field(default_factory=list, repr=False)
    """Where each start tag begins, in characters, in the order of the document."""

    def spot(self, at: int) -> Spot:
        line = self.text.count("\n", 0, at) + 1
        column = at - self.text.rfind("\n", 0, at)
        return Spot("", line, column, self.mark + len(self.text[:at].encode(self.codec)))

    def at_line(self, line: int, column: int) -> Spot:
        at = 0
        for _ in range(line - 1):
            at = self.text.find("\n", at) + 1
        end = self.text.find("\n", at)
        return self.spot(min(at + column - 1, len(self.text) if end < 0 else end))

    def positions(self) -> Iterator[tuple[int, int, int]]:
        """Line, column and byte of each start tag: one walk through the text."""
        before, line, line_start, offset = 0, 1, 0, self.mark
        for at in self.starts:
            between = self.text[before:at]
            line += between.count("\n")
            if (newline := between.rfind("\n")) >= 0:
                line_start = before + newline + 1
            offset += len(between.encode(self.codec))
            before = at
            yield line, at - line_start + 1, offset


class _Parser(etree.XMLParser):
    """One parser per file: each element's tree leads to its parser, and so to its source."""

    def __init__(self, source: _Source) -> None:
        super().__init__(encoding="utf-8", resolve_entities=False, load_dtd=False, dtd_validation=False,
                         no_network=True, huge_tree=False, remove_comments=True, remove_pis=True)
        self.source = source
        self.root: Element | None = None

    @cached_property
    def places(self) -> Mapping[Element, _Place]:
        """Where every element stood. The keys keep the elements, so that each stays the same object."""
        if self.root is None:
            return {}
        elements = list(self.root.iter("*"))
        steps = {self.root: shown(local(self.root))}
        for parent in elements:
            if len(parent):
                names = [shown(local(child)) for child in parent]
                counts, seen = Counter(names), Counter[str]()
                for child, name in zip(parent, names, strict=True):
                    seen[name] += 1
                    steps[child] = name if counts[name] == 1 else f"{name}[{seen[name]}]"
        return {element: (steps[element], *position)
                for element, position in zip(elements, self.source.positions(), strict=True)}


def _places(element: Element) -> Mapping[Element, _Place]:
    parser: Any = element.getroottree().parser
    if not isinstance(parser, _Parser):
        return {}
    if parser.root is None:
        parser.root = element.getroottree().getroot()
    return parser.places


def _decoded(raw: bytes, root: str) -> _Source:
    mark, codec = next(((len(bom), codec) for bom, codec in _BOMS if raw.startswith(bom)), (0, ""))
    if not codec:
        codec = next((codec for start, codec in _BARE_UTF16 if raw.startswith(start)), "")
    if not codec:
        declared = _DECLARED_BYTES.search(raw, 0, 400)
        codec = _CODECS.get(declared[1].decode().lower(), "") if declared else "utf-8"
        if codec == "gb18030" and not raw.isascii():
            # Text in UTF-8 often reads as GB18030 too, as other characters; the opposite hardly ever happens.
            with suppress(UnicodeDecodeError):
                raw.decode("utf-8")
                raise _refusal("XML_ENCODING", root, Spot("", 1, 1, 0))
        if codec in ("", "utf-16", "utf-16-le", "utf-16-be"):
            raise _refusal("XML_ENCODING", root, Spot("", 1, 1, 0))
    try:
        source = _Source(raw[mark:].decode(codec), codec, mark)
    except UnicodeDecodeError as error:
        good = raw[mark:mark + error.start].decode(codec, "replace")
        line = good.count("\n") + 1
        raise _refusal("XML_ENCODING", root,
                       Spot("", line, len(good) - good.rfind("\n"), mark + error.start)) from None
    # Mark and declaration disagree, so another program than the author's must have written one of them.
    declared_text = _DECLARED_TEXT.search(source.text, 0, 400)
    if declared_text and not codec.startswith(_CODECS.get(declared_text[1].lower(), "?")):
        raise _refusal("XML_ENCODING", root, Spot("", 1, 1, 0))
    return source


def _tags(source: _Source, root: str, max_depth: int, max_attributes: int) -> Iterator[int]:
    """Where each element starts. Ends early where the file is no XML: libxml2 will say so."""
    text, at, attributes = source.text, 0, 0
    namespaces = [0]
    """Declarations in force, for each open element."""
    while (at := text.find("<", at)) >= 0:
        if text.startswith("<!--", at):
            end = text.find("-->", at + 4) + 3
        elif text.startswith("<![CDATA[", at):
            end = text.find("]]>", at + 9) + 3
        elif text.startswith("<?", at):
            end = text.find("?>", at + 2) + 2
        elif text.startswith("<!", at):
            raise _refusal("XML_DOCTYPE", root, source.spot(at))
        else:
            tag = _TAG.match(text, at)
            end = tag.end() if tag else 0
            if tag and tag[1]:
                if len(namespaces) > 1:
                    namespaces.pop()
            elif tag:
                yield at
                names = _ATTRIBUTE.findall(text, at, end)
                attributes += len(names)
                in_force = namespaces[-1]
                if names:
                    in_force += sum(name.startswith("xmlns") for name in names)
                if len(namespaces) > max_depth:
                    raise _refusal("MSG_TOO_DEEP", root, source.spot(at))
                if (len(names) > MAX_ATTRIBUTES or attributes > max_attributes or in_force > MAX_NAMESPACES
                        or len(tag[2]) > MAX_NAME or (names and max(map(len, names)) > MAX_NAME)):
                    raise _refusal("MSG_TOO_COMPLEX", root, source.spot(at))
                if text[end - 2] != "/":
                    namespaces.append(in_force)
        if end <= at:
            return
        at = end


def _refusal(code: str, root: str, spot: Spot | None = None) -> InvalidPayload:
    return InvalidPayload([replace(RULES[code].finding(root), spot=spot or Spot("", 1, 1, 0))])

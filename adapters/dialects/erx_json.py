"""JSON that remembers where each value stood: numbers as they were spelled, nothing believed."""

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import Any, TypeVar

from domain.errors import InvalidPayload
from domain.findings import Finding, Spot
from fhir_profiles.catalogue import RULES
from fhir_profiles.drafts import Datum

MAX_BYTES = 20 << 20
MAX_DEPTH = 40
MAX_VALUES = 10_000
"""Of every kind; a prescription of 40 pieces has some 2,000. A value takes some 300 bytes of memory."""
MAX_NUMBER = 18
"""Digits of a number."""
MAX_FAULTS = 100

_SPACE = re.compile(rb"[ \t\n\r]*")
_STRING = re.compile(rb'"([^"\\\x00-\x1f]*+(?:\\.[^"\\\x00-\x1f]*+)*+)"')
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_NOT_FINITE = re.compile(rb"NaN|-?Infinity")
_WORD = re.compile(rb"true|false|null")
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
_WORDS = {b"true": True, b"false": False, b"null": None}
_STEP = 4096
"""Bytes between two places whose characters are counted once."""
_INSIDE = bytes(range(0x80, 0xC0))
"""Bytes of UTF-8 that begin no character."""


T = TypeVar("T")
Trail = tuple["Trail", str | int] | tuple[()]
"""The steps to a value, the last one outermost: a path is written out only when it is needed."""


class Number(str):
    """A number as it was spelled."""


@dataclass(frozen=True)
class Source:
    """A document within the bytes at hand; its places are counted from its own first byte."""

    name: str
    raw: bytes
    start: int = 0

    def spot(self, name: str, offset: int) -> Spot:
        """A place by its offset in `raw`."""
        line = bisect_right(self._lines, offset)
        column = self._characters(offset) - self._characters(self._lines[line - 1]) + 1
        return Spot(f"{self.name} {name}".strip(), line, column, offset - self.start)

    def _characters(self, offset: int) -> int:
        """Characters from the first byte to an offset."""
        step = (offset - self.start) // _STEP
        return self._counted[step] + _begun(self.raw[self.start + step * _STEP:offset])

    @cached_property
    def _lines(self) -> list[int]:
        """Where each line begins. A message may have thousands of places, and is walked through once."""
        return [self.start, *(match.end() for match in re.compile(rb"\n").finditer(self.raw, self.start))]

    @cached_property
    def _counted(self) -> list[int]:
        """Characters before each `_STEP` of bytes."""
        steps = range(self.start, len(self.raw), _STEP)
        return [0, *accumulate(_begun(self.raw[start:start + _STEP]) for start in steps)]


@dataclass(frozen=True, repr=False, slots=True)
class Node:
    """One value and where it stood. What is missing is a node too, with the value None and the place around it."""

    value: Any
    """Text, `Number`, bool, None, a dict of nodes or a list of nodes."""
    source: Source
    trail: Trail = ()
    start: int = 0
    end: int = 0

    def __getitem__(self, name: str) -> "Node":
        """The value under a name."""
        node = self.value.get(name) if isinstance(self.value, dict) else None
        return node if node is not None else Node(None, self.source, (self.trail, name), self.start)

    def __iter__(self) -> Iterator["Node"]:
        return iter(self.value if isinstance(self.value, list) else ())

    @property
    def text(self) -> str:
        """A scalar as text without white space around it; empty for anything else."""
        match self.value:
            case bool():
                return "true" if self.value else "false"
            case str():
                return self.value.strip()
            case _:
                return ""

    @property
    def path(self) -> str:
        """`mdtrtinfo.extras`, `diseinfo[0].diagCode`; empty for the document itself."""
        return written(self.trail)

    @property
    def steps(self) -> list[str | int]:
        """The steps to it from the document, names and indexes."""
        return steps(self.trail)

    @property
    def datum(self) -> Datum:
        return Datum(self.text, self.spot)

    @property
    def spot(self) -> Spot:
        return self.source.spot(self.path, self.start)

    @property
    def plain(self) -> Any:
        """Without places; numbers stay the texts they were."""
        match self.value:
            case dict():
                return {name: node.plain for name, node in self.value.items()}
            case list():
                return [node.plain for node in self.value]
            case _:
                return self.value

    @property
    def raw(self) -> bytes:
        """The bytes it was read from."""
        return self.source.raw[self.start:self.end]


def read(raw: bytes, name: str, most: int = MAX_VALUES) -> Node:
    """One object of at most so many values. Raises `InvalidPayload` with every finding, each with its spot."""
    node, faults = read_all(raw, name, most)
    if faults:
        raise InvalidPayload(faults)
    return node


def read_all(raw: bytes, name: str, most: int = MAX_VALUES) -> tuple[Node, list[Finding]]:
    """One object, and what is wrong with values in it. Raises `InvalidPayload` only where there is no object to read."""
    reader = _Reader(Source(name, raw), most)
    node = reader.checked(reader.document)
    if not isinstance(node.value, dict):
        raise InvalidPayload([_finding("MSG_NOT_JSON", node.source, (), node.start)])
    return node, reader.faults


def read_parts(raw: bytes) -> Mapping[str, Node]:
    """An object of documents, each with its own places: they were sent one by one. Raises `InvalidPayload`."""
    reader = _Reader(Source("", raw), 2 * MAX_VALUES)
    parts = reader.checked(reader.parts)
    if reader.faults:
        raise InvalidPayload(reader.faults)
    return parts


def steps(trail: Trail) -> list[str | int]:
    """The steps of a trail, the first one first."""
    path: list[str | int] = []
    while trail:
        trail, step = trail
        path.append(step)
    return path[::-1]


def written(trail: Trail) -> str:
    """A trail as a path."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps(trail)).removeprefix(".")


def _begun(raw: bytes) -> int:
    return len(raw.translate(None, _INSIDE))


def _finding(code: str, source: Source, trail: Trail, offset: int) -> Finding:
    path = written(trail)
    whole = f"{source.name}.{path}" if path and source.name else source.name or path
    return replace(RULES[code].finding(whole), spot=source.spot(path, offset))


class _Broken(Exception):
    """Not JSON from here on."""


class _Reader:
    def __init__(self, source: Source, most: int) -> None:
        self.faults: list[Finding] = []
        """What is wrong with single values: a key twice, a character no text may hold."""
        self._source = source
        self._at = 0
        self._left = most

    def document(self) -> Node:
        node = self._value((), 0)
        self._end()
        return node

    def parts(self) -> dict[str, Node]:
        whole = self._source
        parts: dict[str, Node] = {}
        self._take(b"{")
        while True:
            name = self._string((), 0)
            self._take(b":")
            self._space()
            if name in parts or not _NAME.fullmatch(name):
                raise _Broken
            self._source = Source(name, whole.raw, self._at)
            parts[name] = self._value((), 1)
            self._source = whole
            if not self._more(b"}"):
                break
        self._end()
        return parts

    def checked(self, work: Callable[[], T]) -> T:
        """What the work reads, if the bytes are JSON. Raises `InvalidPayload`."""
        raw = self._source.raw
        if len(raw) > MAX_BYTES:
            raise InvalidPayload([RULES["MSG_TOO_LARGE"].finding(self._source.name)])
        try:
            raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InvalidPayload([_finding("MSG_NOT_UTF8", self._source, (), error.start)]) from None
        if raw.startswith(b"\xef\xbb\xbf"):
            raise InvalidPayload([_finding("MSG_NOT_UTF8", self._source, (), 0)])
        try:
            return work()
        except _Broken:
            raise InvalidPayload([*self.faults, _finding("MSG_NOT_JSON", self._source, (), self._at)]) from None

    def _value(self, trail: Trail, depth: int) -> Node:
        self._space()
        start = self._at
        self._left -= 1
        if self._left < 0:
            raise InvalidPayload([_finding("MSG_TOO_COMPLEX", self._source, (), start)])
        first = self._source.raw[start:start + 1]
        value: Any
        if first == b"{":
            value = self._object(trail, depth)
        elif first == b"[":
            value = self._list(trail, depth)
        elif first == b'"':
            value = self._string(trail, start)
        elif word := _WORD.match(self._source.raw, start):
            self._at, value = word.end(), _WORDS[word[0]]
        elif odd := _NOT_FINITE.match(self._source.raw, start):
            self._at, value = odd.end(), None
            self._fault("JSON_NOT_FINITE", trail, start)
        elif number := _NUMBER.match(self._source.raw, start):
            self._at, value = number.end(), Number(number[0].decode())
            if len(value) > MAX_NUMBER:
                self._fault("JSON_NUMBER_TOO_LONG", trail, start)
        else:
            raise _Broken
        return Node(value, self._source, trail, start, self._at)

    def _object(self, trail: Trail, depth: int) -> dict[str, Node]:
        self._deeper(depth)
        members: dict[str, Node] = {}
        self._at += 1
        if self._closes(b"}"):
            return members
        while True:
            self._space()
            start = self._at
            name = self._string(trail, start)
            # A key may be about a person too: only what can be a field's name becomes part of a path.
            below: Trail = (trail, name) if _NAME.fullmatch(name) else trail
            self._take(b":")
            node = self._value(below, depth + 1)
            if name in members:
                self._fault("JSON_DUPLICATE_KEY", below, start)
            members[name] = node
            if not self._more(b"}"):
                return members

    def _list(self, trail: Trail, depth: int) -> list[Node]:
        self._deeper(depth)
        elements: list[Node] = []
        self._at += 1
        if self._closes(b"]"):
            return elements
        while True:
            elements.append(self._value((trail, len(elements)), depth + 1))
            if not self._more(b"]"):
                return elements

    def _string(self, trail: Trail, start: int) -> str:
        self._space()
        match = _STRING.match(self._source.raw, self._at)
        if match is None:
            raise _Broken
        self._at = match.end()
        if b"\\" not in match[1]:
            return match[1].decode()
        try:
            text: str = json.loads(match[0])
        except ValueError:
            raise _Broken from None
        if _UNPRINTABLE.search(text):
            self._fault("JSON_CHARACTER", trail, start)
            return ""
        return text

    def _deeper(self, depth: int) -> None:
        if depth >= MAX_DEPTH:
            raise InvalidPayload([_finding("MSG_TOO_DEEP", self._source, (), self._at)])

    def _space(self) -> None:
        if self._source.raw[self._at:self._at + 1] <= b" " and (match := _SPACE.match(self._source.raw, self._at)):
            self._at = match.end()

    def _take(self, mark: bytes) -> None:
        self._space()
        if not self._source.raw.startswith(mark, self._at):
            raise _Broken
        self._at += 1

    def _closes(self, mark: bytes) -> bool:
        self._space()
        if self._source.raw.startswith(mark, self._at):
            self._at += 1
            return True
        return False

    def _more(self, closing: bytes) -> bool:
        """Past a comma, or past the end."""
        if self._closes(closing):
            return False
        self._take(b",")
        return True

    def _end(self) -> None:
        self._space()
        if self._at != len(self._source.raw):
            raise _Broken

    def _fault(self, code: str, trail: Trail, start: int) -> None:
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(_finding(code, self._source, trail, start))

"""Where an element of a message stands in the file as it was sent: FHIRPath -> line, column, byte.

Positions are needed only for findings. So none are kept while a message is read; the text is scanned again for a finding.
"""

import codecs
import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import islice
from typing import Any

from domain.findings import Spot
from fhir_profiles.message import TextSpots, fhirpath

MAX_TOKENS = 200_000
"""A full prescription has some thousands. A later element is shown at the nearest place before the limit."""

_TOKEN = re.compile(r'\s*+(?:("(?:[^"\\]|\\.)*+"?)|([\[\]{}:,])|([^\s"\[\]{}:,]++))', re.DOTALL)
_STEP = re.compile(
    r"\.?(?:(?P<call>extension|ofType|where|resolve|first|single)\((?P<argument>[^)]*)\)|(?P<name>[A-Za-z_]\w*))"
    r"(?:\[(?P<index>\d+)\])?")


@dataclass
class Place:
    """An element in the file, the same for JSON and XML."""

    at: Any
    """The way to its spot."""
    text: str = field(default="", repr=False)
    """Its value, if it is a simple one."""
    children: list[tuple[str, "Place"]] = field(default_factory=list)
    """By name; the items of a list follow each other under the same name."""
    type: str = ""
    """Of a resource."""

    def child(self, name: str) -> "Place | None":
        return next(iter(self.named(name)), None)

    def named(self, name: str) -> "list[Place]":
        """The children of a name, or else those whose FHIRPath has it: `value` is found under `valueQuantity`."""
        exact, written = self._named
        return exact.get(name) or written.get(name, [])

    @cached_property
    def _named(self) -> "tuple[dict[str, list[Place]], dict[str, list[Place]]]":
        exact: dict[str, list[Place]] = {}
        for name, place in self.children:
            exact.setdefault(name, []).append(place)
        written: dict[str, list[Place]] = {}
        for name, places in exact.items():
            written.setdefault(fhirpath("", (name,)).removeprefix("."), []).extend(places)
        return exact, written


def find(root: Place, path: str) -> Place:
    """The element a FHIRPath leads to, or the nearest one around it that is there."""
    rest = path.partition(".")[2]
    here, at, many = [root], 0, False
    while at < len(rest) and (step := _STEP.match(rest, at)):
        places = [place for around in here for place in _step(around, step)]
        if step["index"] is not None:
            index = int(step["index"])
            places = places[index:index + 1]
        if not places:
            break
        here, at, many = places, step.end(), step["call"] == "ofType"
    # Where there may be one resource of a type, the last one is one too many.
    return here[-1 if many else 0]


def _step(here: Place, step: re.Match[str]) -> Iterator[Place]:
    if step["call"] == "extension":
        url = step["argument"].strip("'\"")
        yield from (place for place in here.named("extension") if (url_child := place.child("url")) and url_child.text == url)
    elif step["call"] == "ofType":
        if here.type in ("", step["argument"]):
            yield here
    elif step["call"]:
        yield here
    else:
        yield from here.named(step["name"])


def json_positions(raw: bytes) -> Callable[[str], Spot | None]:
    """Where the elements of a JSON message in UTF-8 stand. What is no JSON has what comes before that. Never raises."""
    mark = 3 if raw.startswith(codecs.BOM_UTF8) else 0

    @cache
    def scanned() -> tuple[TextSpots, Place]:
        text = raw[mark:].decode("utf-8", "replace")
        return TextSpots(text, mark), scan(text)

    def locate(path: str) -> Spot | None:
        spots, root = scanned()
        return spots.at(find(root, path).at)

    return locate


def scan(text: str) -> Place:
    """The elements of a JSON text. A member stands at its name, an item of a list where it begins."""
    top = Place(0)
    # The open brackets: the object, or the one a list belongs to and the name its items go under.
    around: list[tuple[Place, str | None]] = [(top, "")]
    name, name_at, value_next = "", 0, False
    for token in islice(_TOKEN.finditer(text), MAX_TOKENS):
        if top.children and len(around) == 1:
            break  # the message is over; what follows it has no place in it
        string, bracket, at = token[1], token[2], token.start(token.lastindex or 0)
        holder, listed = around[-1]
        if bracket == ":":
            value_next = True
        elif bracket in ("}", "]"):
            if len(around) > 1:
                around.pop()
            value_next = False
        elif bracket == "," or (listed is None and not value_next):
            if string:
                name, name_at = _unescaped(string), at
        else:
            named, start, value_next = (name, name_at, False) if listed is None else (listed, at, False)
            if bracket == "[":
                around.append((holder, named))
                continue
            place = Place(start, _unescaped(string) if string else token[3] or "")
            holder.children.append((named, place))
            if bracket == "{":
                around.append((place, None))
            elif named == "resourceType":
                holder.type = place.text
    return top.children[0][1] if top.children else top


def _unescaped(string: str) -> str:
    if "\\" in string:
        with suppress(ValueError):
            return str(json.loads(string))
    return string[1:-1]

"""Mutations of XML: FHIR, CDA documents, files."""

import copy
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from typing import Any
from xml.etree import ElementTree

from tests.prove.mutations.mutation import MARK, Kind, Mutation, Values, changed

Element = ElementTree.Element
Place = Callable[[tuple[Element, ...], str], str]
"""The elements from the root down, and an attribute's name or nothing -> the place in the dialect's own words."""


def mutations(raw: bytes, place: Place, values: Values,
              known: Callable[[tuple[Element, ...]], tuple[Mapping[str, str], list[str]]]) -> Iterator[Mutation]:
    """Every attribute and text changed, emptied and taken out, every element doubled and taken out; attributes and children added.

    `known(lineage)` names attributes with a value each, and children as XML texts, that the format knows there.
    """
    root = read(raw)
    for lineage in walk(root):
        element, where = lineage[-1], place(lineage, "")
        for name, value in list(element.attrib.items()):
            at = place(lineage, name)
            for other in values.others(at, value):
                yield Mutation(Kind.CHANGED, at, _written(root, element, lambda e, n=name, v=other: e.set(n, v)))
            yield Mutation(Kind.EMPTIED, at, _written(root, element, lambda e, n=name: e.set(n, "")), "empty")
            yield Mutation(Kind.EMPTIED, at, _written(root, element, lambda e, n=name: e.attrib.pop(n)), "left out")
        if element.text and element.text.strip():
            for other in values.others(where, element.text.strip()):
                yield Mutation(Kind.CHANGED, where, _written(root, element, lambda e, v=other: setattr(e, "text", v)))
            yield Mutation(Kind.EMPTIED, where, _written(root, element, lambda e: setattr(e, "text", "")), "empty")
        elif len(element) == 0:
            yield Mutation(Kind.ADDED, where, _written(root, element, lambda e: setattr(e, "text", MARK)), "a text")
        if len(lineage) > 1:
            yield from _doubled(root, lineage, place)
            yield Mutation(Kind.EMPTIED, where, _removed(root, lineage), "left out")
        attributes, children = known(lineage)
        for name, value in attributes.items():
            if name not in element.attrib:
                more = _written(root, element, lambda e, n=name, v=value: e.set(n, v))
                yield Mutation(Kind.ADDED, place(lineage, name), more)
        for child in children:
            new = ElementTree.fromstring(child)
            more = _written(root, element, lambda e, c=new: e.append(copy.deepcopy(c)))
            yield Mutation(Kind.ADDED, place((*lineage, new), ""), more)


def places(raw: bytes, place: Place) -> Iterator[tuple[str, str]]:
    for lineage in walk(read(raw)):
        element = lineage[-1]
        for name, value in element.attrib.items():
            yield place(lineage, name), value
        if element.text and element.text.strip():
            yield place(lineage, ""), element.text.strip()


def read(raw: bytes) -> Element:
    """The document; a declaration of GB18030, which the parser does not know, is taken at its word."""
    head, _, rest = raw.partition(b"?>")
    if b"gb18030" in head.lower():
        raw = rest.decode("gb18030").encode()
    root = ElementTree.fromstring(raw)
    for prefix, uri in _prefixes(raw).items():
        ElementTree.register_namespace(prefix, uri)
    return root


def walk(element: Element, above: tuple[Element, ...] = ()) -> Iterator[tuple[Element, ...]]:
    lineage = (*above, element)
    yield lineage
    for child in element:
        yield from walk(child, lineage)


def _doubled(root: Element, lineage: tuple[Element, ...], place: Place) -> Iterator[Mutation]:
    """A second element that says something else than the first: before it, and after it. Its place is where it differs."""
    other = copy.deepcopy(lineage[-1])
    within, attribute = _telling(other)
    where = place((*lineage[:-1], *within), attribute)
    if attribute:
        within[-1].set(attribute, changed(within[-1].attrib[attribute]))
    else:
        within[-1].text = (within[-1].text or "").strip() + MARK
    parent, at = lineage[-2], list(lineage[-2]).index(lineage[-1])
    for offset, how in ((1, "behind"), (0, "before")):
        yield Mutation(Kind.DOUBLED, where, _written(root, parent, lambda e, o=offset: e.insert(at + o, other)),
                       f"a second {lineage[-1].tag.rpartition('}')[2]} {how}")


def _telling(element: Element) -> tuple[tuple[Element, ...], str]:
    """The first thing an element says, rather than what it calls it: elements down to it, and an attribute or its text."""
    told = [(lineage, name) for lineage in walk(element)
            for name in ("value", "code", "extension", "displayName", "") if (lineage[-1].get(name) if name else
                                                                              (lineage[-1].text or "").strip())]
    content = [it for it in told if it[0][-1].tag.rpartition("}")[2] not in _NAMES]
    empty = next((lineage, "") for lineage in walk(element) if len(lineage[-1]) == 0)
    return (content or told or [empty])[0]


_NAMES = frozenset({"code", "templateId", "typeId", "realmCode"})


def _removed(root: Element, lineage: tuple[Element, ...]) -> Callable[[], bytes]:
    at = list(lineage[-2]).index(lineage[-1])
    return _written(root, lineage[-2], lambda e: e.remove(e[at]))


def _written(root: Element, element: Element, change: Callable[[Element], Any]) -> Callable[[], bytes]:
    def write() -> bytes:
        number = next(number for number, node in enumerate(root.iter()) if node is element)
        twin = copy.deepcopy(root)
        change(list(twin.iter())[number])
        return ElementTree.tostring(twin, encoding="utf-8", xml_declaration=True)

    return write


def _prefixes(raw: bytes) -> dict[str, str]:
    return {prefix: uri for _, (prefix, uri) in ElementTree.iterparse(BytesIO(raw), events=["start-ns"])
            if not prefix.startswith("ns")}

"""Mutations of XML: FHIR, CDA documents, files."""

import copy
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from typing import Any
from xml.etree import ElementTree

from tests.fidelity.mutation import MARK, Kind, Mutation, Values

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
            yield from _doubled(root, lineage, where)
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


def _doubled(root: Element, lineage: tuple[Element, ...], where: str) -> Iterator[Mutation]:
    """A second element that says something else than the first: before it, and after it."""
    other = copy.deepcopy(lineage[-1])
    for node in other.iter():
        if node.text and node.text.strip():
            node.text = node.text.strip() + MARK
            break
        name = next((name for name in ("value", "displayName", "code", "extension") if node.get(name)), "")
        if name:
            node.set(name, node.attrib[name] + MARK)
            break
    parent, at = lineage[-2], list(lineage[-2]).index(lineage[-1])
    for offset, how in ((1, "a second one behind"), (0, "a second one before")):
        yield Mutation(Kind.DOUBLED, where, _written(root, parent, lambda e, o=offset: e.insert(at + o, other)), how)


def _removed(root: Element, lineage: tuple[Element, ...]) -> bytes:
    at = list(lineage[-2]).index(lineage[-1])
    return _written(root, lineage[-2], lambda e: e.remove(e[at]))


def _written(root: Element, element: Element, change: Callable[[Element], Any]) -> bytes:
    numbered = {id(node): number for number, node in enumerate(root.iter())}
    twin = copy.deepcopy(root)
    change(list(twin.iter())[numbered[id(element)]])
    return ElementTree.tostring(twin, encoding="utf-8", xml_declaration=True)


def _prefixes(raw: bytes) -> dict[str, str]:
    return {prefix: uri for _, (prefix, uri) in ElementTree.iterparse(BytesIO(raw), events=["start-ns"])
            if not prefix.startswith("ns")}

"""The published definitions, compiled once into what `structure` walks along.

An element belongs to a rule of the catalogue when its definition maps it (`mapping` with identity `finding`).
An invariant belongs to a rule when its key begins with the rule's id (`FHIR-040`). A definition that uses a feature
we cannot enforce is refused when it is compiled.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Any

from fhir_profiles import invariants
from fhir_profiles.catalogue import CATALOGUE
from fhir_profiles.definitions import BASE, Definitions, definitions
from fhir_profiles.primitives import PRIMITIVES

R4 = "http://hl7.org/fhir/StructureDefinition/"
RULE_CODES = {rule.id: rule.code for rule in CATALOGUE}

# The properties an element definition may have. A definition of ours with any other property is refused.
_UNDERSTOOD = frozenset({
    "id", "path", "sliceName", "short", "slicing", "min", "max", "base", "contentReference", "type", "condition",
    "constraint", "binding", "mapping",
})
_UNENUMERATED = {
    "http://hl7.org/fhir/ValueSet/mimetypes": "BCP 13 is an open list; nothing of ours depends on it",
    "http://hl7.org/fhir/ValueSet/currencies": "ISO 4217 is not in the package; ours fix CNY",
}
"""Required value sets of FHIR itself that are not enforced, and why."""

Json = dict[str, Any]


@dataclass(eq=False, slots=True)
class Shape:
    """What may stand in a place: a primitive, or an object with these members."""

    name: str
    primitive: Callable[[Any], bool] | None = None
    rule: str = ""
    """The finding code a whole extension answers for, where the profile that uses it names none."""
    members: dict[str, "Element"] = field(default_factory=dict)
    """By JSON key; a choice of types has several keys."""
    required: list["Element"] = field(default_factory=list)
    checks: tuple[invariants.Invariant, ...] = ()
    resource: bool = False
    shared: bool = True
    """A data type of FHIR: what is wrong deep inside is not what the element around it answers for."""
    anything: bool = False
    special: list[tuple[Callable[[Json], bool], "Shape"]] = field(default_factory=list)
    """Narrower profiles, for the resources that carry their fixed values."""

    def answering(self, rule: str) -> str:
        """The name of the member that answers for a rule; empty if none does."""
        return next((element.name for element in self.members.values() if element.rule == rule), "")


@dataclass(eq=False, slots=True)
class Slicing:
    """How the items of a list are told apart."""

    pick: Callable[[Any], "Element | None"]
    slices: tuple["Element", ...]
    required: tuple["Element", ...]
    closed: bool
    path: str
    """Of the discriminator, where it is a single name."""


@dataclass(eq=False, slots=True)
class Element:
    """One element of a definition."""

    id: str
    name: str
    """Without `[x]`."""
    min: int
    max: int
    many: bool
    forms: dict[str, Shape | None]
    """JSON key -> what stands there; None for a type of the choice that the profile leaves out."""
    least: int = 0
    """Items beyond those its slices ask for."""
    rule: str = ""
    """The finding code it answers for."""
    slicing: Slicing | None = None
    checks: tuple[invariants.Invariant, ...] = ()
    fixed: tuple[Any, ...] = ()
    pattern: tuple[Any, ...] = ()
    codes: frozenset[Any] | None = None
    codes_ours: bool = False
    low: Any = None
    high: Any = None
    targets: frozenset[str] = frozenset()
    targets_ours: bool = False
    url: str = ""
    """Of a sliced extension."""
    key_rule: str = ""
    """Of a slice: what its discriminator answers for."""
    plain: bool = True
    """Nothing to check besides the shape."""

    @property
    def extension(self) -> bool:
        return self.name == "extension"


class Profiles:
    """Every definition, compiled when it is first asked for.

    Raises ValueError, naming element and feature, for a definition that we cannot enforce.
    """

    def __init__(self, published: Definitions) -> None:
        self._published = published
        self._shapes: dict[str, Shape] = {}
        self._trees: dict[str, _Tree] = {}
        prefix = f"{BASE}/StructureDefinition/"
        self._ids = frozenset(url.removeprefix(prefix) for url in published.structures if url.startswith(prefix))
        self.extras = Shape("Element")
        """What may stand beside a primitive, under its name with an underscore."""
        self.extras.members = {name: self._shape(R4 + "Reference").members[name] for name in ("id", "extension")}

    def shape(self, profile: str) -> Shape:
        """A profile of ours by its id, e.g. `patient`."""
        return self._shape(f"{BASE}/StructureDefinition/{profile}")

    def ids(self) -> frozenset[str]:
        """Of every profile and extension of ours."""
        return self._ids

    # Compiling.

    def _shape(self, url: str) -> Shape:
        if url not in self._shapes:
            structure = self._published.structures.get(url)
            if structure is None:
                raise ValueError(f"{url}: not among the published definitions")
            shape = self._shapes[url] = Shape(structure["type"])
            tree = self._tree(url)
            self._fill(shape, tree.root, tree)
            shape.rule = tree.rule(tree.root)
            shape.resource = structure["kind"] == "resource"
            shape.shared = not url.startswith(BASE) or shape.resource
            if shape.resource and url.startswith(BASE):
                shape.special = [(self._carries(structure), self._shape(structure["url"]))
                                 for structure in self._published.structures.values() if structure.get("baseDefinition") == url]
        return self._shapes[url]

    def _tree(self, url: str) -> "_Tree":
        if url not in self._trees:
            structure = self._published.structures[url]
            wider = structure.get("baseDefinition", "")
            self._trees[url] = _Tree(structure, self._tree(wider) if wider.startswith(BASE) else None)
        return self._trees[url]

    def _fill(self, shape: Shape, node: "_Node", tree: "_Tree") -> None:
        shape.checks = self._invariants(node, tree)
        for child in node.children:
            # We understand none, so each one found is FHIR-036, wherever it stands.
            if child.name == "modifierExtension":
                continue
            element = self._element(child, tree)
            for key in element.forms:
                shape.members[key] = element
            if element.min or (element.slicing and element.slicing.required):
                shape.required.append(element)

    def _invariants(self, node: "_Node", tree: "_Tree") -> tuple[invariants.Invariant, ...]:
        checks = {}
        for constraint in node.says.get("constraint", ()):
            if constraint["severity"] == "error" and constraint["key"] not in invariants.SKIPPED:
                checks[constraint["key"], constraint["expression"]] = invariants.compiled(
                    constraint["key"], constraint["expression"], f"{tree.url} {node.says['id']}")
        return tuple(checks.values())

    def _element(self, node: "_Node", tree: "_Tree") -> Element:
        says, where = node.says, f"{tree.url} {node.says['id']}"
        unknown = {n for n in says if n not in _UNDERSTOOD
                   and not n.startswith(("fixed", "pattern", "minValue", "maxValue"))}
        if unknown:
            raise ValueError(f"{where}: cannot enforce {', '.join(sorted(unknown))}")
        name = node.name.removesuffix("[x]")
        many = says["base"]["max"] != "1"
        element = Element(says["id"], name, says["min"], _most(says["max"]), many, {})
        element.rule = tree.rule(node)
        self._forms(element, node, tree)
        own = self._invariants(node, tree)
        inherited = {check.expression for form in element.forms.values() if form for check in form.checks}
        element.checks = tuple(check for check in own if check.expression not in inherited)
        for key, value in says.items():
            if key.startswith("fixed"):
                element.fixed = (value,)
            elif key.startswith("pattern"):
                element.pattern = (value,)
            elif key.startswith(("minValue", "maxValue")):
                if not isinstance(value, int | float | Decimal):
                    raise ValueError(f"{where}: cannot enforce {key}")
                if key.startswith("minValue"):
                    element.low = value
                else:
                    element.high = value
        self._binding(element, says, where)
        self._targets(element, says)
        element.plain = not (element.checks or element.fixed or element.pattern or element.codes
                             or element.low is not None or element.high is not None or element.targets)
        # Extensions are identified by `url`. A list without slices accepts extensions of other organisations and rejects ours.
        if node.slices:
            element.slicing = self._slicing(element, node, tree)
        required = sum(part.min for part in element.slicing.required) if element.slicing else 0
        element.least = element.min if element.min > required else 0
        return element

    def _forms(self, element: Element, node: "_Node", tree: "_Tree") -> None:
        says, name = node.says, element.name
        if "contentReference" in says:
            target = tree.nodes[says["contentReference"].partition("#")[2]]
            element.forms[name] = self._nested(target, tree)
            return
        types = says.get("type", [])
        more = {key for type_ in types for key in type_} - {"code", "profile", "targetProfile"}
        if not types or more or (len(types) > 1 and node.children):
            raise ValueError(f"{tree.url} {says['id']}: cannot enforce these types {' '.join(sorted(more))}".rstrip())
        if not node.name.endswith("[x]"):
            element.forms[name] = self._form(types[0], node, tree)
            return
        for code in self._base_types(says):
            element.forms[name + code[0].upper() + code[1:]] = None
        for type_ in types:
            element.forms[name + type_["code"][0].upper() + type_["code"][1:]] = self._form(type_, node, tree)

    def _base_types(self, says: Json) -> list[str]:
        """Every type FHIR gives a choice, also those that a profile removes."""
        path = says["base"]["path"]
        base = self._tree(R4 + path.partition(".")[0]).nodes[path]
        return [type_["code"] for type_ in base.says["type"]]

    def _form(self, type_: Json, node: "_Node", tree: "_Tree") -> Shape:
        code, profiles = type_["code"], type_.get("profile", [])
        if len(profiles) > 1:
            raise ValueError(f"{tree.url} {node.says['id']}: cannot enforce a choice of profiles")
        if code.startswith("http://hl7.org/fhirpath/"):
            code = "string"
        if code in PRIMITIVES:
            if node.children:
                raise ValueError(f"{tree.url} {node.says['id']}: cannot enforce children of a primitive")
            return Shape(code, PRIMITIVES[code])
        if node.children:
            return self._nested(node, tree)
        if profiles:
            return self._shape(profiles[0].partition("|")[0])
        if code in ("Resource", "DomainResource"):
            return Shape(code, resource=True, anything=True)
        return self._shape(R4 + code)

    def _nested(self, node: "_Node", tree: "_Tree") -> Shape:
        if node.shape is None:
            node.shape = Shape(node.name, shared=False)
            self._fill(node.shape, node, tree)
            types = [type_["code"] for type_ in node.says.get("type", ())]
            inherited: tuple[invariants.Invariant, ...] = ()
            if len(types) == 1 and R4 + types[0] in self._published.structures:
                inherited = self._shape(R4 + types[0]).checks
            expressions = {check.expression for check in node.shape.checks}
            node.shape.checks += tuple(check for check in inherited if check.expression not in expressions)
        return node.shape

    def _binding(self, element: Element, says: Json, where: str) -> None:
        binding = says.get("binding")
        if not binding or binding["strength"] != "required":
            return
        url = binding["valueSet"].partition("|")[0]
        codes = self._published.value_sets.get(url)
        if codes is None:
            if url not in _UNENUMERATED:
                raise ValueError(f"{where}: cannot enforce the binding to {url}")
            return
        kinds = {type_["code"] for type_ in says["type"]}
        if kinds <= {"code", "string", "uri"}:
            element.codes = frozenset(code for _, code in codes)
        elif kinds <= {"Coding", "CodeableConcept", "Quantity"}:
            element.codes = codes
        else:
            raise ValueError(f"{where}: cannot enforce a binding of {sorted(kinds)}")
        element.codes_ours = url.startswith(BASE)

    def _targets(self, element: Element, says: Json) -> None:
        profiles = [url for type_ in says.get("type", ()) for url in type_.get("targetProfile", ())]
        if not profiles or R4 + "Resource" in profiles:
            return
        element.targets = frozenset(
            self._published.structures[url]["type"] if url.startswith(BASE) else url.removeprefix(R4)
            for url in profiles)
        element.targets_ours = any(url.startswith(BASE) for url in profiles)

    def _slicing(self, element: Element, node: "_Node", tree: "_Tree") -> Slicing:
        says, where = node.says, f"{tree.url} {node.says['id']}"
        discriminators = [(d["type"], d["path"]) for d in says["slicing"]["discriminator"]]
        slices = [self._slice(slice_, node, tree) for slice_ in node.slices]
        if len(discriminators) != 1 or says["slicing"].get("ordered"):
            raise ValueError(f"{where}: cannot tell slices apart by {discriminators}")
        kind, path = discriminators[0]
        kind = "value" if kind == "pattern" else kind
        if (kind, path) == ("value", "url") and element.extension:
            table = {slice_.url: slice_ for slice_ in slices}
            pick = _by_value("url", table)
        elif (kind, path) == ("value", "$this") and all(slice_.codes for slice_ in slices):
            pick = _by_codes([(slice_.codes or frozenset(), slice_) for slice_ in slices])
        elif kind == "value" and path.isalpha():
            table = {}
            for slice_ in slices:
                key = next((form.members[path] for form in slice_.forms.values() if form and path in form.members), None)
                values = key and (key.fixed or key.pattern)
                if not key or not values or not isinstance(values[0], str):
                    raise ValueError(f"{where}: the slice {slice_.id} has no fixed {path}")
                table[values[0]] = slice_
                slice_.key_rule = key.rule
            pick = _by_value(path, table)
        elif (kind, path) == ("type", "resource"):
            pick = _by_type(slices, where)
        else:
            raise ValueError(f"{where}: cannot tell slices apart by {kind} of {path}")
        return Slicing(pick, tuple(slices), tuple(s for s in slices if s.min), says["slicing"]["rules"] == "closed",
                       path if path.isalpha() else "")

    def _slice(self, node: "_Node", sliced: "_Node", tree: "_Tree") -> Element:
        if not node.children and sliced.children and not node.says.get("type", [{}])[0].get("profile"):
            node.children = sliced.children
        element = self._element(node, tree)
        if element.extension:
            profiles = node.says["type"][0].get("profile") or [self._fixed_url(node)]
            element.url = profiles[0].partition("|")[0]
            # An extension around sub-extensions says its url in short.
            if not node.says["type"][0].get("profile"):
                element.url = self._fixed_url(node)
            if element.url.startswith(BASE):
                self._in_context(element, tree)
        return element

    def _in_context(self, element: Element, tree: "_Tree") -> None:
        """An extension of ours stands where its own definition says it may."""
        contexts = {context["expression"] for context in self._published.structures[element.url]["context"]}
        around = re.sub(r":[^.]+", "", element.id).removesuffix(".extension")
        if around not in contexts:
            raise ValueError(f"{tree.url} {element.id}: {element.url} may stand in {sorted(contexts)} only")

    @staticmethod
    def _fixed_url(node: "_Node") -> str:
        url = next(child for child in node.children if child.name == "url")
        return str(url.says["fixedUri"])

    def _carries(self, structure: Json) -> Callable[[Json], bool]:
        """Whether a resource carries the values that a narrower profile fixes beyond the one it narrows."""
        wider = {e["id"]: e for e in self._published.structures[structure["baseDefinition"]]["snapshot"]["element"]}
        fixed = [(re.sub(r":[^.]+", "", e["id"]).split(".")[1:], value)
                 for e in structure["snapshot"]["element"] for key, value in e.items()
                 if key.startswith(("fixed", "pattern")) and key not in wider.get(e["id"], {})]
        if not fixed:
            raise ValueError(f"{structure['url']}: nothing says which resources it is for")
        return lambda resource: all(
            any(matches(value, wanted) for value in _values(resource, path)) for path, wanted in fixed)


@dataclass(eq=False)
class _Node:
    """An element definition with what stands below it."""

    says: Json
    name: str
    children: list["_Node"] = field(default_factory=list)
    slices: list["_Node"] = field(default_factory=list)
    shape: Shape | None = None


class _Tree:
    """A snapshot as a tree."""

    def __init__(self, structure: Json, wider: "_Tree | None") -> None:
        self.url: str = structure["url"]
        self.wider = wider
        self.nodes: dict[str, _Node] = {}
        for says in structure["snapshot"]["element"]:
            above, _, last = says["id"].rpartition(".")
            name, _, slice_ = last.partition(":")
            node = self.nodes[says["id"]] = _Node(says, name)
            if slice_:
                self.nodes[f"{above}.{name}" if above else name].slices.append(node)
            elif above:
                self.nodes[above].children.append(node)
        self.root = self.nodes[structure["snapshot"]["element"][0]["id"]]

    def rule(self, node: _Node) -> str:
        """The finding code an element answers for; an element of a slice may leave it to the list's."""
        ids = [node.says["id"]] if node.says["id"].endswith(f":{node.says.get('sliceName')}") else [
            node.says["id"], re.sub(r":[^.]+", "", node.says["id"])]
        for id_ in ids:
            for mapping in self.nodes[id_].says.get("mapping", ()) if id_ in self.nodes else ():
                if mapping["identity"] == "finding":
                    if mapping["map"] not in RULE_CODES:
                        raise ValueError(f"{self.url} {id_}: {mapping['map']} is no rule of the catalogue")
                    return RULE_CODES[mapping["map"]]
        # SUSHI does not repeat the mappings of a profile in those that narrow it.
        return self.wider.rule(node) if self.wider else ""


def _most(value: str) -> int:
    return 1 << 30 if value == "*" else int(value)


def _by_value(path: str, table: Mapping[str, Element]) -> Callable[[Any], Element | None]:
    def pick(item: Any) -> Element | None:
        value = item.get(path) if type(item) is dict else None
        return table.get(value) if type(value) is str else None
    return pick


def _by_codes(table: Sequence[tuple[frozenset[Any], Element]]) -> Callable[[Any], Element | None]:
    return lambda item: next((slice_ for codes, slice_ in table if type(item) is dict and coded(item, codes)), None)


def _by_type(slices: Sequence[Element], where: str) -> Callable[[Any], Element | None]:
    table = {}
    for slice_ in slices:
        inner = next(form for form in slice_.forms.values() if form)
        resource = inner.members["resource"].forms["resource"]
        if resource is None or resource.anything or resource.name in table:
            raise ValueError(f"{where}: the slice {slice_.id} has no type of its own")
        table[resource.name] = slice_
        slice_.url = resource.name

    def pick(item: Any) -> Element | None:
        resource = item.get("resource") if type(item) is dict else None
        kind = resource.get("resourceType") if type(resource) is dict else None
        return table.get(kind) if type(kind) is str else None
    return pick


def coded(value: Json, codes: frozenset[Any]) -> bool:
    """Whether a Coding, CodeableConcept or Quantity carries one of these codes."""
    codings = value.get("coding", (value,))
    return isinstance(codings, list | tuple) and any(
        type(coding) is dict and isinstance(coding.get("system"), str) and isinstance(coding.get("code"), str)
        and (coding["system"], coding["code"]) in codes for coding in codings)


def matches(value: Any, pattern: Any) -> bool:
    """FHIR's pattern: everything in the pattern is in the value; lists may hold more."""
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(n in value and matches(value[n], p) for n, p in pattern.items())
    if isinstance(pattern, list):
        return isinstance(value, list) and all(any(matches(v, p) for v in value) for p in pattern)
    return bool(value == pattern) and isinstance(value, bool) == isinstance(pattern, bool)


def _values(node: Any, path: Sequence[str]) -> Iterator[Any]:
    if isinstance(node, list):
        for item in node:
            yield from _values(item, path)
    elif not path:
        yield node
    elif isinstance(node, dict):
        yield from _values(node.get(path[0]), path[1:])


@lru_cache(maxsize=1)
def profiles() -> Profiles:
    """What we publish, compiled. Raises ValueError for a definition that cannot be enforced."""
    return Profiles(definitions())

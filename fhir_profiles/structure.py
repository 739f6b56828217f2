"""A resource against its published definition: one pass, every fault with its place, none with a value in it."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from fhir_profiles import invariants
from fhir_profiles.message import Json, fhirpath
from fhir_profiles.shapes import RULE_CODES, Element, Profiles, Shape, coded, matches, profiles

Place = tuple[Any, Any]
"""Where something stands: the place around it and its name, index or ready-made step; the root is (None, name)."""
Owner = tuple[str, Place, Any]
"""The rule an element answers for, where that is said, and the owner around it."""
Resolve = Callable[[str], str | None]
"""The type of resource a reference points to; empty if it cannot be known, None if it points to nothing."""


class Step(str):
    """A step of a path that is no element's name, e.g. `ofType(Patient)`."""

    __slots__ = ()


@dataclass(frozen=True)
class Fault:
    """A place where a resource is not what its definition says."""

    code: str
    path: str


def faults(profile: str, resource: Json, root: str = "", resolve: Resolve | None = None,
           among: Profiles | None = None) -> list[Fault]:
    """Everything in which a resource breaks a profile of ours (by id, e.g. `patient`).

    `root` is the first name of the paths; `resolve` tells what a reference points to, by default what it says itself.
    Never raises for what a resource says.
    """
    definitions = among or profiles()
    shape = definitions.shape(profile)
    check = _Check(definitions.extras, resolve or literal_type)
    check.resource(shape, resource, (None, root or shape.name))
    return check.faults


def literal_type(reference: str) -> str | None:
    """The type a reference names itself, as in `Patient/1`; empty for any other reference."""
    match = re.fullmatch(r"(?:https?://.*/)?([A-Z][A-Za-z]+)/[A-Za-z0-9.-]{1,64}(?:/_history/.*)?", reference)
    return match[1] if match else ""


class _Check:
    """One resource under examination."""

    def __init__(self, extras: Shape, resolve: Resolve) -> None:
        self.faults: list[Fault] = []
        self._extras = extras
        self._resolve = resolve
        self._said: set[tuple[str, str]] = set()
        self._broken = 0
        """Faults of form so far; an invariant of something malformed says nothing new."""

    def resource(self, shape: Shape, value: Any, place: Place) -> None:
        self._content(shape, value, place, None)

    def _object(self, shape: Shape, node: Json, place: Place, owner: Owner | None) -> None:
        members = shape.members
        chosen: dict[Element, str] | None = None
        banned: list[Element] = []
        for key, value in node.items():
            element = members.get(key)
            if element is None:
                self._stranger(shape, key, value, place)
                continue
            if len(element.forms) > 1:
                if element.forms[key] is None:
                    banned.append(element)
                    continue
                chosen = chosen or {}
                if element in chosen:
                    self._form_fault("STRUCTURE_CHOICE", place)
                    continue
                chosen[element] = key
            self._member(element, key, value, place, owner)
        for element in banned:
            if (chosen and element in chosen) or banned.count(element) > 1:
                self._once("STRUCTURE_CHOICE", place)
                self._broken += 1
            elif element.max == 0:
                self._counted(element, (place, element.name), owner)
            else:
                self._broken += 1
                here = (place, element.name)
                self._owned("STRUCTURE_VALUE", here, (element.rule, here, None) if element.rule else owner)
        for element in shape.required:
            for key in element.forms:
                if key in node:
                    break
            else:
                self._missing(element, place, owner)

    def _member(self, element: Element, key: str, value: Any, place: Place, owner: Owner | None) -> None:
        here = (place, key)
        if element.rule:
            owner = (element.rule, here, owner)
        shape = element.forms[key]
        assert shape is not None
        if not element.many:
            if element.max:
                self._value(element, shape, value, here, owner)
            else:
                self._counted(element, here, owner)
        elif type(value) is not list or not value:
            self._malformed(element, here)
        elif len(value) > element.max or len(value) < element.least:
            self._counted(element, here, owner)
        elif element.slicing:
            self._sliced(element, shape, key, value, here, owner)
        elif element.extension:
            for index, item in enumerate(value):
                self._foreign(item, (here, index))
                self._value(element, shape, item, (here, index), owner)
        else:
            for index, item in enumerate(value):
                # A primitive may be left empty in a list when its extension stands beside it.
                if item is not None or shape.primitive is None:
                    self._value(element, shape, item, (here, index), owner)

    def _value(self, element: Element, shape: Shape, value: Any, here: Place, owner: Owner | None) -> None:
        broken = self._broken
        if shape.primitive is not None:
            if not shape.primitive(value):
                self._malformed(element, here)
                return
        else:
            self._content(shape, value, here, owner, element)
            if type(value) is not dict:
                return
        if element.plain:
            return
        other = element.fixed and not (value == element.fixed[0] and matches(value, element.fixed[0]))
        if other or (element.pattern and not matches(value, element.pattern[0])):
            self._owned("VALUE_FIXED", here, owner)
        elif element.codes is not None and not (
                coded(value, element.codes) if type(value) is dict else value in element.codes):
            self._owned("CODE_UNKNOWN", here, owner if element.codes_ours or element.rule else None)
        if (element.low is not None and value < element.low) or (element.high is not None and value > element.high):
            self._owned("VALUE_RANGE", here, owner)
        if element.targets and type(value) is dict:
            self._reference(element, value, here)
        if element.checks and self._broken == broken:
            self._invariants(element.checks, value, here, owner)

    def _content(self, shape: Shape, value: Any, here: Place, owner: Owner | None,
                 element: Element | None = None) -> None:
        """An object where one belongs, with its members and its invariants."""
        if type(value) is not dict or not value:
            self._malformed(element, here)
            return
        if shape.anything:
            return
        for carries, narrower in shape.special:
            if carries(value):
                shape = narrower
                break
        if shape.resource and value.get("resourceType") != shape.name:
            self._form_fault("STRUCTURE_VALUE", (here, "resourceType"))
            return
        broken = self._broken
        inner = None if shape.shared else owner
        self._object(shape, value, here, inner)
        if shape.checks and self._broken == broken:
            self._invariants(shape.checks, value, here, owner, shape)

    def _sliced(self, element: Element, shape: Shape, key: str, items: list[Any], here: Place,
                owner: Owner | None) -> None:
        slicing = element.slicing
        assert slicing is not None
        counts: dict[Element, int] = {}
        strangers: list[int] = []
        for index, item in enumerate(items):
            place = (here, index)
            part = slicing.pick(item)
            if part is None:
                strangers.append(index)
                if slicing.closed:
                    there = (place, slicing.path)
                    self._owned("ELEMENT_COUNT", there, (owner[0], there, None) if owner else None)
                elif element.extension:
                    self._foreign(item, place)
                self._value(element, shape, item, place, owner)
                continue
            counts[part] = counts.get(part, 0) + 1
            if counts[part] > part.max:
                if element.extension and part.max == 0:
                    self._once(part.rule or "EXTENSION_UNKNOWN", place)
                elif element.extension:
                    self._say("EXTENSION_REPEATED", place)
                else:
                    self._owned("ELEMENT_COUNT", self._slice_place(part, here),
                                (part.rule, self._slice_place(part, here), None) if part.rule else owner)
                continue
            form = part.forms[key]
            assert form is not None
            inner, answering = owner, part.rule or form.rule
            if answering:
                inner = (answering, place if element.extension else here, owner)
            self._value(part, form, item, place, inner)
        for part in slicing.required:
            if counts.get(part, 0) < part.min:
                if part.key_rule and strangers and type(items[strangers[0]]) is dict:
                    self._once(part.key_rule, ((here, strangers[0]), slicing.path))
                else:
                    place = self._slice_place(part, here)
                    self._owned("STRUCTURE_MISSING", place, (part.rule, place, None) if part.rule else owner)

    @staticmethod
    def _slice_place(part: Element, here: Place) -> Place:
        """Where one says that a slice is missing: no item of the list can be pointed at."""
        if part.extension and part.url:
            return (here[0], Step(f"extension('{part.url}')"))
        return ((here, "resource"), Step(f"ofType({part.url})")) if part.url else here

    def _missing(self, element: Element, place: Place, owner: Owner | None) -> None:
        owed = list(_owed(element))
        for steps, rule in owed:
            there = place
            for step in steps:
                there = (there, step)
            self._once(rule, there)
        if not owed:
            self._owned("STRUCTURE_MISSING", (place, element.name), owner)

    def _stranger(self, shape: Shape, key: str, value: Any, place: Place) -> None:
        """A key that is no element's name."""
        if key == "resourceType" and shape.resource:
            return
        if key == "modifierExtension":
            self._say("MODIFIER_EXTENSION", (place, key))
            return
        element = shape.members.get(key[1:]) if key[:1] == "_" else None
        form = element.forms[key[1:]] if element else None
        if element is None or form is None or form.primitive is None:
            self._form_fault("STRUCTURE_UNKNOWN", (place, key))
        elif not element.many:
            self._content(self._extras, value, (place, key), None)
        elif type(value) is not list:
            self._form_fault("STRUCTURE_VALUE", (place, key))
        else:
            for index, item in enumerate(value):
                if item is not None:
                    self._content(self._extras, item, ((place, key), index), None)

    def _foreign(self, item: Any, place: Place) -> None:
        """An extension without a slice is a finding: its content would be lost."""
        if type(item) is dict and type(item.get("url")) is str:
            self._say("EXTENSION_UNKNOWN", place)

    def _reference(self, element: Element, value: Json, here: Place) -> None:
        reference = value.get("reference")
        if type(reference) is not str:
            return
        kind = self._resolve(reference)
        if kind is None:
            if element.targets_ours:
                self._say("REFERENCE_BROKEN", here)
        elif kind and kind not in element.targets:
            self._say("REFERENCE_TYPE", here)

    def _invariants(self, checks: tuple[invariants.Invariant, ...], value: Any, here: Place,
                    owner: Owner | None, shape: Shape | None = None) -> None:
        for check in checks:
            if check.holds(value):
                continue
            rule = RULE_CODES.get(check.rule)
            if rule is None:
                self._say("INVARIANT", here)
                continue
            around = owner
            while around and around[0] != rule:
                around = around[2]
            if around is None and shape and (member := shape.answering(rule)):
                around = (rule, (here, member), None)
            self._once(rule, around[1] if around else here)

    # Saying it.

    def _malformed(self, element: Element | None, place: Place) -> None:
        """Of the wrong type: what the element itself answers for, not what stands around it."""
        if element is None or not element.rule:
            self._form_fault("STRUCTURE_VALUE", place)
        elif isinstance(place[1], int) and not element.extension:
            self._form_fault(element.rule, place[0])
        else:
            self._form_fault(element.rule, place)

    def _counted(self, element: Element, place: Place, owner: Owner | None) -> None:
        if element.max == 0:
            # What is forbidden answers for itself: the rule of what stands around it would send people elsewhere.
            self._once(element.rule or "ELEMENT_NOT_READ", place)
            return
        self._owned("EXTENSION_REPEATED" if element.extension else "ELEMENT_COUNT", place, owner)

    def _owned(self, code: str, place: Place, owner: Owner | None) -> None:
        if owner:
            self._once(owner[0], owner[1])
        else:
            self._say(code, place)

    def _form_fault(self, code: str, place: Place) -> None:
        self._broken += 1
        self._say(code, place)

    def _once(self, code: str, place: Place) -> None:
        fault = Fault(code, path_of(place))
        if (fault.code, fault.path) not in self._said:
            self._said.add((fault.code, fault.path))
            self.faults.append(fault)

    def _say(self, code: str, place: Place) -> None:
        self.faults.append(Fault(code, path_of(place)))


def _owed(element: Element) -> Iterator[tuple[tuple[Any, ...], str]]:
    """What the rules would ask for if this element were there: its own rule, or those of what it must hold."""
    parts = [part for part in element.slicing.required if part.rule] if element.slicing else []
    if element.rule and not parts:
        yield (element.name,), element.rule
        return
    if element.slicing:
        for part in parts:
            if part.rule:
                step = Step(f"extension('{part.url}')") if part.extension else element.name
                yield ((element.name, "resource", Step(f"ofType({part.url})"))
                       if part.url and not part.extension else (step,)), part.rule
        return
    steps = (element.name, 0) if element.many else (element.name,)
    for form in element.forms.values():
        # Inside a data type of FHIR nothing of ours is owed.
        if form and not form.shared:
            for inner in form.required:
                for below, rule in _owed(inner):
                    yield (*steps, *below), rule


def path_of(place: Place) -> str:
    """A place as FHIRPath."""
    steps: list[Any] = []
    around: Any = place
    while around[0] is not None:
        steps.append(around[1])
        around = around[0]
    path, names = str(around[1]), list[Any]()
    for step in reversed(steps):
        if isinstance(step, Step):
            path, names = f"{fhirpath(path, names)}.{step}", []
        else:
            names.append(step)
    return fhirpath(path, names)

"""The elements of every FHIR R4 type, their kind and whether they repeat, as the R4B models have them."""

import importlib
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

from fhir.resources.R4B import fhirtypes, get_fhir_model_class
from pydantic import BaseModel


@dataclass(frozen=True)
class Element:
    kind: str
    """`boolean`, `integer`, `decimal`, `string`, `xhtml`, `complex` or `resource`."""
    listed: bool
    model: type[BaseModel] | None = None
    """Of a complex element."""


@cache
def elements(model: type[BaseModel]) -> Mapping[str, Element]:
    """The elements of a type by name, in their order."""
    by_name = {}
    for python_name, info in model.model_fields.items():
        name = info.alias or python_name
        kinds = list(_unwrapped(info.annotation))
        type_ = next((kind for kind in kinds if kind is not list), str)
        path = getattr(type_, "_model_klass", "")
        if name in ("fhir_comments", "resource_type", "resourceType") or name.startswith("_"):
            continue
        if path:
            module, _, class_name = path.rpartition(".")
            kind = "resource" if class_name == "Resource" else "complex"
            target = None if kind == "resource" else getattr(importlib.import_module(module), class_name)
            by_name[name] = Element(kind, list in kinds, target)
        else:
            word = "boolean" if type_ is bool else "integer" if type_ is int else "decimal" if type_ is Decimal else "string"
            if name == "div" and model.__name__ == "Narrative":
                word = "xhtml"
            by_name[name] = Element(word, list in kinds)
    sequence = {name: place for place, name in enumerate(model.elements_sequence())}  # type: ignore[attr-defined]
    return dict(sorted(by_name.items(), key=lambda item: sequence.get(item[0], len(sequence))))


def _unwrapped(annotation: Any) -> Iterator[Any]:
    """The types in an annotation, `list` among them if it is one of those."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        yield from _unwrapped(typing.get_args(annotation)[0])
    elif origin is not None:
        if origin is list:
            yield list
        for argument in typing.get_args(annotation):
            yield from _unwrapped(argument)
    elif annotation is not type(None):
        yield annotation


def resource_elements(kind: str) -> Mapping[str, Element]:
    """The same for a resource type; nothing for one R4 does not know."""
    # Asked first: the library keeps every name it was ever asked for.
    if not hasattr(getattr(fhirtypes, f"{kind}Type", None), "get_model_klass"):
        return {}
    return elements(get_fhir_model_class(kind))


EXTENSIBLE: Mapping[str, Element] = {"extension": Element("complex", True, get_fhir_model_class("Extension"))}
"""What any simple element may hold."""

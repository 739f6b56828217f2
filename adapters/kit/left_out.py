"""What each dialect knowingly leaves out, and what may be absent: place -> reason."""

import fnmatch
import importlib
from collections.abc import Mapping
from contextlib import suppress
from types import ModuleType

from adapters import registry

_MODULES = {"fhir-r4-push": "fhir_profiles.closed", "erx": "adapters.dialects.erx_fields", "cda": "adapters.dialects.cda_grammar",
            "hl7v2": "adapters.dialects.hl7v2", "dropbox": "adapters.dialects.dropbox"}
"""Where a dialect's lists are; a hospital's translation may add to them."""


def left_out(slug: str) -> dict[str, str]:
    """Places whose content leaves no trace in the prescription."""
    return _merged(slug, "UNREAD", "LEFT_OUT")


def absent(slug: str) -> dict[str, str]:
    """Places that are read or compared, and whose absence alone changes nothing."""
    return _merged(slug, "ABSENT")


def of_cancels(slug: str) -> dict[str, str]:
    """What is left out of a message that takes a prescription back."""
    return _merged(slug, "LEFT_OUT_OF_CANCELS")


def listed(place: str, places: Mapping[str, str]) -> bool:
    """Whether a place, or one it is within, is on a list."""
    for pattern in places:
        if place == pattern or place.startswith(tuple(f"{pattern}{mark}" for mark in "./-([")):
            return True
        if any(mark in pattern for mark in "*?") and fnmatch.fnmatchcase(place, pattern):
            return True
    return False


def _merged(slug: str, *names: str) -> dict[str, str]:
    """The first of these that a module has, of the dialect and of the hospital."""
    merged: dict[str, str] = {}
    for module in _sources(slug):
        merged |= next((getattr(module, name) for name in names if hasattr(module, name)), {})
    return merged


def _sources(slug: str) -> list[ModuleType]:
    sources = [importlib.import_module(_MODULES[registry.manifest("hospitals", slug).dialect])]
    with suppress(ModuleNotFoundError):
        sources.append(importlib.import_module(f"adapters.hospitals.{slug}.translation"))
    return sources

"""Domain values stored as JSON: each document names its version, and every version ever written stays readable.

A kind has one writer, of its newest version. For each older version a pure function makes the document of the next version.
A change of a stored type needs a new version here; `tests/infra/db/test_stored.py` fails if it is missing.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from domain.chains import PharmacyOrder, Receipt
from domain.claims import Claim, Entitlement, Reversal, Settlement
from domain.couriers import Waybill
from domain.errors import NeedsOperator
from domain.findings import Finding
from domain.fulfilment.choice import Offering
from domain.fulfilment.portions import Scope
from domain.prescription import Prescription

T = TypeVar("T")
Document = Mapping[str, Any]
Upgrade = Callable[[Document], Document]
"""Makes a document of version n + 1 from one of version n, without changing it. It may look at the document only: domain
types change, and what an old row means does not."""

MARK = "v"
"""Key of the version in a document. The release before versions wrote none: a document without it has version 1."""


class Stored(Generic[T]):
    """A dataclass of the domain as it is stored. `upgrades` lead from version 1 on, one step each."""

    def __init__(self, name: str, kind: type[T], *upgrades: Upgrade) -> None:
        assert MARK not in {field.name for field in fields(kind)}, f"{name}: {MARK} is the key of the version"  # type: ignore[arg-type]
        self.name = name
        self.adapter = TypeAdapter(kind)
        self.upgrades = upgrades
        self.version = 1 + len(upgrades)

    def write(self, value: T) -> dict[str, Any]:
        """The value as a document of the newest version."""
        return {MARK: self.version, **self.adapter.dump_python(value, mode="json")}

    def read(self, document: Document) -> T:
        """The value of a document of any version. Raises what `upgraded` raises, `ValueError` for one that does not fit."""
        try:
            newest = self.upgraded(document)
        except (AttributeError, KeyError, TypeError) as error:  # It is no document of the version that it says.
            self.adapter.validate_python(document)  # Names the fields that do not fit.
            raise ValueError(f"no {self.name} of an older version") from error
        return self.adapter.validate_python(newest)

    def upgraded(self, document: Document) -> Document:
        """The document in the newest version, for readers of a few fields.

        Raises `NeedsOperator` (code `stored_newer`) for a version that this release does not know: a newer one wrote it, and
        what it means cannot be guessed.
        """
        version = document.get(MARK, 1)
        if version == self.version:
            return document
        if not isinstance(version, int) or not 0 < version <= self.version:
            raise NeedsOperator(f"{self.name} of version {version!r}; this release reads up to {self.version}",
                                code="stored_newer")
        for upgrade in self.upgrades[version - 1:]:
            document = upgrade(document)
        return document

    def write_text(self, value: T) -> str:
        """The same as text, for what is sealed."""
        return json.dumps(self.write(value), ensure_ascii=False, separators=(",", ":"))

    def read_text(self, text: str) -> T:
        return self.read(json.loads(text))


def _prescription_without_a_word_on_other_products(document: Document) -> Document:
    """Prescribers of version 1 had said nothing on other products, or it was refused."""
    return {**document, "items": [{**item, "may_substitute": None} for item in document["items"]]}


PRESCRIPTION = Stored("prescription", Prescription, _prescription_without_a_word_on_other_products)
FINDING = Stored("finding", Finding)


def _as_prescribed(document: Document) -> Document:
    """Lines of version 1 are of the products prescribed."""
    return {**document, "lines": [{**line, "instead_of": ""} for line in document["lines"]]}


def _order_without_a_point(document: Document) -> Document:
    """Orders of version 2 are from before patients collected at pick-up points."""
    return {**document, "point": ""}


ORDER = Stored("order", PharmacyOrder, _as_prescribed, _order_without_a_point)


def _claim_without_packs(document: Document) -> Document:
    """Claims of version 1 are of orders from before trace codes were kept."""
    return {**document, "coded": False}


CLAIM = Stored("claim", Claim, _claim_without_packs)
SETTLEMENT = Stored("settlement", Settlement)
"""A division of an amount: forecast, pre-settlement and settlement of a claim, and the fund's answer to a settlement."""
REVERSAL = Stored("reversal", Reversal)
"""The fund's answer to a reversal."""
RECEIPT = Stored("receipt", Receipt)
"""A chain's answer to a hold, an order or its withdrawal."""
ENTITLEMENT = Stored("entitlement", Entitlement)
"""What the fund said of a person; sealed."""
SCOPE = Stored("scope", Scope)
"""Portions of a parcel, a return or a wish."""


def _offered_as_prescribed(document: Document) -> Document:
    """The same of what patients chose from."""
    return {**document, "options": [{**option, "shares": [_as_prescribed(share) for share in option["shares"]]}
                                    for option in document["options"]]}


def _offering_without_points(document: Document) -> Document:
    """Rounds of version 2 offered no pick-up point."""
    return {**document, "not_points": {}, "options": [{**option, "point": None} for option in document["options"]]}


def _offering_of_fewer_reasons(document: Document) -> Document:
    """Rounds of version 3 called a changed product sold out."""
    return document


OFFERING = Stored("offering", Offering, _offered_as_prescribed, _offering_without_points, _offering_of_fewer_reasons)
"""What a patient was shown to choose from."""
WAYBILL = Stored("waybill", Waybill)
"""A courier's answer to a delivery, or to its being called off."""
KINDS = (PRESCRIPTION, FINDING, ORDER, CLAIM, SETTLEMENT, REVERSAL, RECEIPT, ENTITLEMENT, SCOPE, OFFERING, WAYBILL)

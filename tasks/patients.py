"""Who a prescription is for, opened for one call: never logged, and kept nowhere."""

import json
from dataclasses import replace

from domain.claims import Claim, Entitlement, Identity
from infra.db.prescriptions import Loaded
from infra.db.stored import ENTITLEMENT
from tasks.city import City


def open_patient(city: City, loaded: Loaded) -> dict[str, str]:
    """Name, number, phone and address, opened for one call. Never log or keep what this returns."""
    record: dict[str, str] = json.loads(city.cipher.open(loaded.patient_sealed, f"patient/{loaded.id}"))
    return record


def open_identity(city: City, loaded: Loaded) -> Identity:
    record = open_patient(city, loaded)
    return Identity(name=record["name"], id_number=record["id_number"])


def open_entitlement(city: City, loaded: Loaded) -> Entitlement | None:
    """What the fund said at the audit; None for a person it does not insure."""
    if loaded.entitlement_sealed is None:
        return None
    text = city.cipher.open(loaded.entitlement_sealed, f"entitlement/{loaded.id}")
    return ENTITLEMENT.read_text(text)


def with_person(city: City, loaded: Loaded, claim: Claim, identity: Identity) -> Claim:
    """The claim as it is sent: the person is put in for the call only."""
    entitlement = open_entitlement(city, loaded)
    assert entitlement is not None
    return replace(claim, psn_no=entitlement.psn_no, identity=identity)

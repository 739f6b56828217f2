"""Who a prescription is for, opened for one call: never logged, and kept nowhere. And the link of their page."""

import hmac
import json
from dataclasses import replace

from domain.claims import Claim, Entitlement, Identity
from infra.db.prescriptions import Loaded
from infra.db.stored import ENTITLEMENT
from tasks.city import City

LETTERS = 26
"""Of a link's proof: 26 hexadecimal letters are 104 bits."""


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


def page_address(city: City, prescription_id: str) -> str:
    """The path of a prescription's page for its patient. It lets its holder see and cancel: it goes to the patient only."""
    return f"/p/{prescription_id.removeprefix('rx_')}-{_proof(city, prescription_id)}"


def prescription_of(city: City, link: str) -> str | None:
    """The id of the prescription that the last part of such a path is about; None unless its proof is right."""
    number, _, proof = link.partition("-")
    prescription_id = f"rx_{number}"
    right = hmac.compare_digest(proof.encode(), _proof(city, prescription_id).encode())
    return prescription_id if right else None


def _proof(city: City, prescription_id: str) -> str:
    return city.cipher.lookup(f"patient's page\n{prescription_id}")[:LETTERS]

"""Where medicine is dispensed, as the city has designated it: which premises may keep, bring and sell what."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from domain.knowledge.tables import Knowledge
from domain.prescription import DrugKind, Handover


class PlaceKind(StrEnum):
    """What a place is."""

    SHOP = "shop"
    HOSPITAL = "hospital"
    """The pharmacy of a hospital."""
    CHRONIC_CENTRE = "chronic_centre"
    """A centre for the medicine of chronic diseases."""
    CLINIC = "clinic"
    """Of a village (村卫生室)."""
    DECOCTION_CENTRE = "decoction_centre"
    DISTRIBUTOR = "distributor"
    """A distribution enterprise: it delivers from its warehouse."""


@dataclass(frozen=True)
class Premises:
    """A store of a chain in the city's register."""

    dual_channel: bool
    """Designated for drugs under a national price agreement (D-06)."""
    cold_storage: bool
    """Keeps drugs at 2 to 8 °C (D-07)."""
    cold_delivery: bool
    """Its courier brings them at 2 to 8 °C, with a margin of half the way's time (D-07)."""
    kind: PlaceKind = PlaceKind.SHOP
    dispenses: bool = True
    """Whether it may dispense at all; a clinic that may not is no pharmacy."""
    pieces: bool = False
    """Licensed for pieces of Chinese medicine (饮片)."""
    decocts: bool = False
    """Certified to decoct (D-14)."""
    pickup: bool = True
    """Patients may collect there what it dispenses."""
    delivery: bool = True
    """What it dispenses may be brought to patients."""
    contracted: bool = False
    """Contracted as a point where patients collect what another pharmacy dispenses (D-09)."""
    custody: bool = False
    """It has a shelf that is locked, for parcels that wait there (D-09)."""


UNREGISTERED = Premises(dual_channel=False, cold_storage=False, cold_delivery=False)
"""A store that is not in the register: nothing is known of it, and that is no yes to what needs a designation."""


class Barred(StrEnum):
    """Why premises may not dispense a drug."""

    NOT_DUAL_CHANNEL = "not_dual_channel"
    NO_COLD_CHAIN = "no_cold_chain"
    NO_PIECES = "no_pieces"
    """It is not licensed for pieces of Chinese medicine."""
    NOT_DISPENSING = "not_dispensing"
    """It may not dispense any drug."""


@dataclass(frozen=True)
class Handling:
    """What the drugs of a prescription ask of the premises that dispense them."""

    handover: Handover
    cold: frozenset[str] = frozenset()
    """Catalogue codes that are kept at 2 to 8 °C."""
    agreed: frozenset[str] = frozenset()
    """Catalogue codes under a national price agreement (国谈药)."""
    pieces: frozenset[str] = frozenset()
    """Catalogue codes of pieces of Chinese medicine."""
    decoct: int = 0
    """Doses that the place decocts; 0: none."""

    def barred(self, drug: str, premises: Premises) -> Barred | None:
        """Why premises may not dispense a drug; None: they may."""
        if not premises.dispenses:
            return Barred.NOT_DISPENSING
        if drug in self.pieces and not premises.pieces:
            return Barred.NO_PIECES
        if drug in self.agreed and not premises.dual_channel:
            return Barred.NOT_DUAL_CHANNEL
        cold = premises.cold_storage and (self.handover is Handover.PICKUP or premises.cold_delivery)
        return Barred.NO_COLD_CHAIN if drug in self.cold and not cold else None

    def offers(self, premises: Premises) -> bool:
        """Whether the register lets premises hand over in this way."""
        return premises.pickup if self.handover is Handover.PICKUP else premises.delivery

    def may_decoct(self, premises: Premises, left: int) -> bool:
        """Whether premises can decoct what is to be decocted, with room for so many doses more today (D-14)."""
        return not self.decoct or (premises.decocts and self.decoct <= left)


def handling_of(drugs: Iterable[str], handover: Handover, knowledge: Knowledge, *, decoct: int = 0) -> Handling:
    """By the tables of drugs. A code that is in none of them has no price ceiling either, and is bought nowhere (D-04)."""
    drugs = frozenset(drugs)
    rows = {code: row for code in drugs if (row := knowledge.drug(code))}
    return Handling(handover, cold=frozenset(code for code, row in rows.items() if row.cold_chain),
                    agreed=frozenset(code for code, row in rows.items() if row.price_agreed),
                    pieces=frozenset(code for code in drugs if (entry := knowledge.catalogue.get(code))
                                     and entry.kind is DrugKind.PIECE), decoct=decoct)


def premises_of(register: Mapping[str, Premises], chain: str, store: str) -> Premises:
    """A store's row in the city's register, which goes by `chain/store`."""
    return register.get(f"{chain}/{store}", UNREGISTERED)

"""Where medicine is dispensed, as the city has designated it: which premises may keep, bring and sell what."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from domain.knowledge.tables import Knowledge
from domain.prescription import Handover


@dataclass(frozen=True)
class Premises:
    """A store of a chain in the city's register."""

    dual_channel: bool
    """Designated for drugs under a national price agreement (D-06)."""
    cold_storage: bool
    """Keeps drugs at 2 to 8 °C (D-07)."""
    cold_delivery: bool
    """Its courier brings them at 2 to 8 °C, with a margin of half the way's time (D-07)."""


UNREGISTERED = Premises(dual_channel=False, cold_storage=False, cold_delivery=False)
"""A store that is not in the register: nothing is known of it, and that is no yes."""


class Barred(StrEnum):
    """Why premises may not dispense a drug."""

    NOT_DUAL_CHANNEL = "not_dual_channel"
    NO_COLD_CHAIN = "no_cold_chain"


@dataclass(frozen=True)
class Handling:
    """What the drugs of a prescription ask of the premises that dispense them."""

    handover: Handover
    cold: frozenset[str] = frozenset()
    """Catalogue codes that are kept at 2 to 8 °C."""
    agreed: frozenset[str] = frozenset()
    """Catalogue codes under a national price agreement (国谈药)."""

    def barred(self, drug: str, premises: Premises) -> Barred | None:
        """Why premises may not dispense a drug; None: they may."""
        if drug in self.agreed and not premises.dual_channel:
            return Barred.NOT_DUAL_CHANNEL
        cold = premises.cold_storage and (self.handover is Handover.PICKUP or premises.cold_delivery)
        return Barred.NO_COLD_CHAIN if drug in self.cold and not cold else None


def handling_of(drugs: Iterable[str], handover: Handover, knowledge: Knowledge) -> Handling:
    """By the tables of drugs. A code that is in none of them has no price ceiling either, and is bought nowhere (D-04)."""
    rows = {code: row for code in drugs if (row := knowledge.drug(code))}
    return Handling(handover, cold=frozenset(code for code, row in rows.items() if row.cold_chain),
                    agreed=frozenset(code for code, row in rows.items() if row.price_agreed))


def premises_of(register: Mapping[str, Premises], chain: str, store: str) -> Premises:
    """A store's row in the city's register, which goes by `chain/store`."""
    return register.get(f"{chain}/{store}", UNREGISTERED)

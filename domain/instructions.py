"""What the prescriber tells the pharmacy and, on the package, the patient."""

from collections.abc import Mapping
from decimal import Decimal

from domain.chains import Instructions, Label
from domain.fulfilment.portions import Portions, by_line
from domain.knowledge.rows import Frequency
from domain.prescription import Decoction, Item, Prescription
from domain.words import DECOCTION_MARKS, DECOCTION_METHODS, ROUTES, Two


def instructions(rx: Prescription, frequencies: Mapping[str, Frequency], portions: Portions) -> Instructions:
    """The label of each of these portions, and what was written to the whole prescription; the prescriber's words as they came.

    A code without a word of ours is shown as it is.
    """
    quantities = by_line(portions)
    labels = tuple(_label(item, frequencies, quantities[item.line]) for item in rx.items if item.line in quantities)
    return Instructions(labels, rx.note,
                        _decoction(rx.decoction) if rx.decoction else "")


def _label(item: Item, frequencies: Mapping[str, Frequency], quantity: Decimal) -> Label:
    often = frequencies.get(item.frequency)
    usage = (f"每次 {_decimal(item.single_dose)} {item.dose_unit}，{often.name if often else item.frequency}，"
             f"{_word(ROUTES, item.route)}，共 {item.days_of(quantity)} 天")
    mark = _word(DECOCTION_MARKS, item.decoction_mark) if item.decoction_mark else ""
    return Label(item.line, item.name, usage, item.directions, item.note, mark)


def _decoction(decoction: Decoction) -> str:
    return f"{decoction.doses} 剂，{_word(DECOCTION_METHODS, decoction.method)}，每日分 {decoction.times} 次"


def _word(table: Mapping[str, Two], code: str) -> str:
    return table[code].zh if code in table else code


def _decimal(value: Decimal) -> str:
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text

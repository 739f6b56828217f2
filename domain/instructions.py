"""What the prescriber tells the pharmacy and, on the package, the patient."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from domain.chains import Instructions, Label, OrderLine
from domain.knowledge.rows import CatalogueEntry
from domain.knowledge.tables import Knowledge
from domain.prescription import Decoction, Item, Prescription
from domain.words import DECOCTION_MARKS, DECOCTION_METHODS, ROUTES, Two


def instructions(rx: Prescription, knowledge: Knowledge, lines: Sequence[OrderLine]) -> Instructions:
    """The label of each of these lines, and what was written to the whole prescription; the prescriber's words as they came.

    A code without a word of ours is shown as it is.
    """
    ordered = {line.line: line for line in lines}
    labels = tuple(_label(item, knowledge, ordered[item.line]) for item in rx.items if item.line in ordered)
    return Instructions(labels, rx.note,
                        _decoction(rx.decoction) if rx.decoction else "")


def dispensed_name(line: OrderLine, item: Item, catalogue: Mapping[str, CatalogueEntry]) -> str:
    """The name of what is handed over: the prescriber's, and of another product its own and the one it stands for (D-13)."""
    if not line.instead_of:
        return item.name
    return f"{_product(line.drug, catalogue)}，代替 {_product(line.instead_of, catalogue)}"


def _product(code: str, catalogue: Mapping[str, CatalogueEntry]) -> str:
    entry = catalogue.get(code)
    return entry.product if entry else code


def _label(item: Item, knowledge: Knowledge, line: OrderLine) -> Label:
    often = knowledge.frequencies.get(item.frequency)
    usage = (f"每次 {_decimal(item.single_dose)} {item.dose_unit}，{often.name if often else item.frequency}，"
             f"{_word(ROUTES, item.route)}，共 {item.days_of(line.quantity)} 天")
    mark = _word(DECOCTION_MARKS, item.decoction_mark) if item.decoction_mark else ""
    return Label(item.line, dispensed_name(line, item, knowledge.catalogue), usage, item.directions, item.note, mark)


def _decoction(decoction: Decoction) -> str:
    return f"{decoction.doses} 剂，{_word(DECOCTION_METHODS, decoction.method)}，每日分 {decoction.times} 次"


def _word(table: Mapping[str, Two], code: str) -> str:
    return table[code].zh if code in table else code


def _decimal(value: Decimal) -> str:
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text

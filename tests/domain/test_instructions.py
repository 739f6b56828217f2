"""What goes on the package is about what is in it."""

from decimal import Decimal

import pytest

from domain.chains import OrderLine
from domain.instructions import instructions
from tests.support.factories import KNOWLEDGE, item, rx


@pytest.mark.parametrize("lines", [(1, 2), (2,), ()])
def test_a_pharmacy_gets_the_labels_of_the_lines_it_fills(lines: tuple[int, ...]) -> None:
    prescribed = rx(items=(item("D001", 1), item("D010", 2)), note="饭后服用")
    ordered = [OrderLine(line, prescribed.items[line - 1].drug, prescribed.items[line - 1].quantity, "片") for line in lines]
    package = instructions(prescribed, KNOWLEDGE, ordered)
    assert tuple(label.line for label in package.labels) == lines
    assert package.note == "饭后服用"


@pytest.mark.parametrize(("quantity", "days"), [("60", 30), ("30", 15), ("29", 14), ("1", 1)])
def test_the_label_of_a_part_says_for_how_many_days_it_lasts(quantity: str, days: int) -> None:
    (label,) = instructions(rx(items=(item("D001", 1),)), KNOWLEDGE,
                            [OrderLine(1, "D001", Decimal(quantity), "片")]).labels
    assert label.usage.endswith(f"共 {days} 天")


def test_the_label_of_another_product_names_it_and_what_it_stands_for() -> None:
    prescribed = rx(items=(item("D032", 1),))
    (label,) = instructions(prescribed, KNOWLEDGE, [OrderLine(1, "D032B", Decimal(28), "片", instead_of="D032")]).labels
    assert label.name == "苯磺酸氨氯地平片 5mg*28片(另一厂家,虚构商品)，代替 苯磺酸氨氯地平片 5mg*28片"

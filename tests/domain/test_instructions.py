"""What goes on the package is about what is in it."""

from decimal import Decimal

import pytest

from domain.fulfilment.portions import Portion
from domain.instructions import instructions
from tests.support.factories import KNOWLEDGE, item, rx


@pytest.mark.parametrize("lines", [(1, 2), (2,), ()])
def test_a_pharmacy_gets_the_labels_of_the_lines_it_fills(lines: tuple[int, ...]) -> None:
    prescribed = rx(items=(item("D001", 1), item("D010", 2)), note="饭后服用")
    portions = tuple(Portion(line, prescribed.items[line - 1].quantity) for line in lines)
    package = instructions(prescribed, KNOWLEDGE.frequencies, portions)
    assert tuple(label.line for label in package.labels) == lines
    assert package.note == "饭后服用"


@pytest.mark.parametrize(("quantity", "days"), [("60", 30), ("30", 15), ("29", 14), ("1", 1)])
def test_the_label_of_a_part_says_for_how_many_days_it_lasts(quantity: str, days: int) -> None:
    (label,) = instructions(rx(items=(item("D001", 1),)), KNOWLEDGE.frequencies, (Portion(1, Decimal(quantity)),)).labels
    assert label.usage.endswith(f"共 {days} 天")

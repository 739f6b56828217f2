"""What goes on the package is about what is in it."""

import pytest

from domain.instructions import instructions
from tests.support.factories import KNOWLEDGE, item, rx


@pytest.mark.parametrize("lines", [(1, 2), (2,), ()])
def test_a_pharmacy_gets_the_labels_of_the_lines_it_fills(lines: tuple[int, ...]) -> None:
    prescribed = rx(items=(item("D001", 1), item("D010", 2)), note="饭后服用")
    package = instructions(prescribed, KNOWLEDGE.frequencies, lines)
    assert tuple(label.line for label in package.labels) == lines
    assert package.note == "饭后服用"

"""What the tests of every stage stand on."""

from pathlib import Path

import pytest

from tests.support.city import make_city
from tests.support.line import Line


@pytest.fixture
def line(tmp_path: Path) -> Line:
    """A city with partners that do what a test tells them, on a database of its own."""
    return Line(make_city(tmp_path))

"""What the tests of every stage stand on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.city import make_city
from tests.support.line import Line


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    """A city with partners that do what a test tells them, on a database of its own."""
    made = Line(make_city(tmp_path))
    yield made
    made.city.db.close()

"""A cancel at some points of some ways through the line; `./go prove cancel` tries all points of many."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.laws.cancels import walk
from tests.laws.site import Site
from tests.laws.small_city import fast


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with tempfile.TemporaryDirectory(dir=fast()) as folder:
        with Site(Path(folder)).without_prefect() as made:
            yield made


@pytest.mark.parametrize(("seed", "after"), [(1, 4), (1, 20), (1, 33), (2, 12), (2, 27), (5, 30)])
def test_a_cancel_is_answered_and_what_is_granted_is_never_handed_over(site: Site, seed: int, after: int) -> None:
    assert walk(site, seed, after).faults == []

"""The page about chains is true: every block of its first part is run in a copy of the checkout, word for word."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.test_tutorial import LEFT_OUT, ROOT, Follower, blocks

PAGE = ROOT / "docs" / "onboarding-chain.md"
BLOCKS = blocks(PAGE.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def follower(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Follower]:
    folder: Path = tmp_path_factory.mktemp("chain") / "sanyi"
    shutil.copytree(ROOT, folder, ignore=LEFT_OUT)
    yield Follower(folder)
    shutil.rmtree(folder)


def test_the_page_has_what_an_engineer_types() -> None:
    assert [block.text for block in BLOCKS if "./go conformance kangning" in block.text and block.language == "sh"]


@pytest.mark.parametrize("place", range(len(BLOCKS)))
def test_an_engineer_gets_as_far_as_the_certificate(follower: Follower, place: int) -> None:
    follower.follow(BLOCKS[place])


def test_what_the_engineer_wrote_is_as_clean_as_ours(follower: Follower) -> None:
    ours = [block.file for block in BLOCKS if block.language == "python"]
    for tool in (["ruff", "check"], ["mypy", "--strict", "--cache-dir", str(ROOT / ".mypy_cache")]):
        done = subprocess.run([sys.executable, "-m", *tool, *ours], cwd=follower.folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout

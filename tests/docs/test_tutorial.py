"""The tutorial is true: every block of it is run in a copy of the checkout, word for word."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "onboarding-hospital-tutorial.md"
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".tools", ".sanyi", "__pycache__", ".*_cache", "node_modules")


@dataclass(frozen=True)
class Block:
    """What stands between two fences."""

    language: str
    file: str
    """Where it is written to; empty for a command or its output."""
    text: str


def blocks(page: str) -> list[Block]:
    fences = re.findall(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [Block(language, file, text) for language, file, text in fences]


BLOCKS = blocks(PAGE.read_text(encoding="utf-8"))
LAST = next(place for place, block in enumerate(BLOCKS) if "conformance" in block.text and block.language == "sh")
"""From here on a whole platform is started."""


class Follower:
    """A newcomer: writes the files and types the commands, in a copy of the checkout."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said = ""
        go = (ROOT / "go").read_text(encoding="utf-8")
        # `./go X` prepares the environment and runs a module; the environment here is the one that runs the tests.
        self._modules = dict(re.findall(r"^    (\w+)\) prepare \w+;.*(?:exec|counted) \"\$VENV\" -m ([\w.]+)", go, re.MULTILINE))

    def follow(self, block: Block, seconds: float = 300) -> None:
        if block.file:
            target = self.folder / block.file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text, encoding="utf-8")
        elif block.language == "sh":
            self.said = self._typed(block.text, seconds)
        elif block.language == "text":
            for line in block.text.splitlines():
                assert line.strip() in self.said, f"{line!r} was promised; it said:\n{self.said}"

    def _typed(self, command: str, seconds: float) -> str:
        script = re.sub(r"^\./go (\w+)", lambda found: f'"{sys.executable}" -m {self._modules[found[1]]}', command,
                        flags=re.MULTILINE)
        done = subprocess.run(["sh", "-euc", script], cwd=self.folder, capture_output=True, text=True, timeout=seconds,
                              env={**os.environ, "PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"})
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def follower(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Follower]:
    folder = tmp_path_factory.mktemp("tutorial") / "sanyi"
    shutil.copytree(ROOT, folder, ignore=LEFT_OUT)
    yield Follower(folder)
    shutil.rmtree(folder)


@pytest.mark.parametrize("place", range(LAST))
def test_a_newcomer_gets_as_far_as_the_certification(follower: Follower, place: int) -> None:
    follower.follow(BLOCKS[place])


def test_what_the_newcomer_wrote_is_as_clean_as_ours(follower: Follower) -> None:
    ours = [block.file for block in BLOCKS if block.language == "python"]
    # What mypy knows of our own modules from the last `./go check` it need not find out again: the copy's are the same files.
    for tool in (["ruff", "check"], ["mypy", "--strict", "--cache-dir", str(ROOT / ".mypy_cache")]):
        done = subprocess.run([sys.executable, "-m", *tool, *ours], cwd=follower.folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def test_the_clinic_is_certified(follower: Follower) -> None:
    for block in BLOCKS[LAST:]:
        follower.follow(block, seconds=420)

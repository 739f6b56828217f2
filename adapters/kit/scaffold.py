"""`./go new hospital NAME --like DIALECT`: a hospital's folder as a copy of a tested one, and tests that say what is next."""

import argparse
import csv
import keyword
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from adapters import registry
from adapters.kit import steps
from adapters.mapping import COLUMNS
from domain.errors import NeedsOperator

SLUG = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
TESTS = Path("tests") / "adapters" / "hospitals"
TEST = '''"""{slug}: what is left until it is live. A failure says the next step; they stay as the hospital's own tests."""

import pytest

from adapters.kit.steps import STEPS


@pytest.mark.parametrize("step", STEPS)
def test_a_step_of_the_onboarding_is_done(step: str) -> None:
    todo = STEPS[step]("{slug}")
    assert not todo, todo
'''


def like(word: str) -> str:
    """The hospital to copy: its slug, or the first one of a dialect. Raises `NeedsOperator` naming what there is."""
    dialects = {slug: registry.manifest("hospitals", slug).dialect for slug in registry.slugs("hospitals")}
    for slug, dialect in dialects.items():
        if word in (slug, dialect) or dialect.startswith(f"{word}-"):
            return slug
    there = ", ".join(f"{dialect} ({slug})" for slug, dialect in dialects.items())
    raise NeedsOperator(f"没有 {word}，可选 nothing is like {word}; there are: {there}", code="unknown_dialect")


def new_hospital(slug: str, model: str, *, root: Path = registry.HERE.parent) -> list[Path]:
    """Copy the model's folder under the new name; returns what was made. Raises `NeedsOperator`; overwrites nothing."""
    if not SLUG.fullmatch(slug) or keyword.iskeyword(slug) or len(slug) > 40:
        raise NeedsOperator(f"{slug!r}：名称只能用小写字母、数字和下划线，以字母开头 "
                            "a name has small letters, digits and underscores", code="bad_slug")
    folder, test = root / "adapters" / "hospitals" / slug, root / TESTS / f"test_{slug}.py"
    for there in (folder, test):
        if there.exists():
            raise NeedsOperator(f"{there.relative_to(root)} 已存在 is there already", code="exists")
    source = root / "adapters" / "hospitals" / model
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("__pycache__", "waiting"))
    for file in folder.rglob("*"):
        if file.is_file():
            _rename(file, model, slug)
    for table in (folder / "mapping").glob("*.csv"):
        with table.open("w", encoding="utf-8", newline="") as lines:
            csv.writer(lines, lineterminator="\n").writerow(COLUMNS)
    manifest = folder / "manifest.toml"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(re.sub(r'^(name|name_en) = ".*"', r'\1 = ""', text, flags=re.M), encoding="utf-8")
    copied = "".join(f'"{name}" = "{digest}"\n' for name, digest in steps.digests(folder / "samples").items())
    (folder / "samples" / steps.COPIED).write_text(
        f"# 从 {model} 复制来的样例，换成自己的之后删除本文件。 What was copied; delete this file when none is left.\n{copied}",
        encoding="utf-8")
    test.parent.mkdir(parents=True, exist_ok=True)
    test.write_text(TEST.format(slug=slug), encoding="utf-8")
    return [folder, test]


def _rename(file: Path, model: str, slug: str) -> None:
    """The new name in place of the model's; replaced in bytes, because samples have different encodings."""
    old = file.read_bytes()
    new = old.replace(model.encode(), slug.encode()).replace(model.upper().encode(), slug.upper().encode())
    if new != old and file.suffix not in (".xlsx", ".xls", ".zip"):
        file.write_bytes(new)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="./go new", description=(
        "复制一家已测试医院的目录，并列出后续步骤。Copy a tested hospital's folder, and say what is next."))
    parser.add_argument("kind", choices=["hospital"])
    parser.add_argument("name", help="医院代号 slug, e.g. lixia_clinic")
    parser.add_argument("--like", default="", help="方言或医院代号 a dialect or a hospital that is there")
    options = parser.parse_args(argv)
    try:
        if options.like:
            for made in new_hospital(options.name, like(options.like)):
                print(f"+ {made.relative_to(registry.HERE.parent)}")
        elif options.name not in registry.slugs("hospitals"):
            raise NeedsOperator("请用 --like 指明照哪一家 say with --like which one to copy", code="no_model")
        left = steps.left(options.name)
    except NeedsOperator as error:
        print(f"× {error}", file=sys.stderr)
        return 2
    for name, todo in left.items():
        print(f"□ {name}\n  " + todo.replace("\n", "\n  "))
    done = not left
    print("✓ 全部完成 all done: ./go conformance " + options.name if done else
          f"再次查看 to see what is left: ./go new hospital {options.name}   测试 tests: ./go test {TESTS}/test_{options.name}.py")
    return 0


if __name__ == "__main__":
    sys.exit(main())

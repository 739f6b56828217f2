"""`./go new hospital|chain NAME --like DIALECT`: a partner's folder as a copy of a tested one, and tests that say what is next."""

import argparse
import csv
import keyword
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from adapters import registry
from adapters.kit import chain_steps, steps
from adapters.mapping import COLUMNS
from domain.errors import NeedsOperator

SLUG = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
TESTS = Path("tests") / "adapters"
TEST = '''"""{slug}: what is left until it is live. A failure says the next step; they stay as the {kind}'s own tests."""

import pytest

from adapters.kit.{steps} import STEPS


@pytest.mark.parametrize("step", STEPS)
def test_a_step_of_the_onboarding_is_done(step: str) -> None:
    todo = STEPS[step]("{slug}")
    assert not todo, todo
'''
KINDS: Mapping[str, registry.Kind] = {"hospital": "hospitals", "chain": "chains"}
STEPS = {"hospital": steps, "chain": chain_steps}


def like(word: str, kind: str = "hospital") -> str:
    """The partner to copy: its slug, or the first one of a dialect. Raises `NeedsOperator` naming what there is."""
    kinds = KINDS[kind]
    dialects = {slug: registry.manifest(kinds, slug).dialect for slug in registry.slugs(kinds)}
    for slug, dialect in dialects.items():
        if dialect == "pages" and word in (slug, dialect):
            raise NeedsOperator(f"没有系统的药店不需要新目录：作为 [[shops]] 加进 adapters/chains/{slug}/manifest.toml "
                                f"shops without a system need no folder: each is a [[shops]] of {slug}", code="no_folder")
        if word in (slug, dialect) or dialect.startswith(f"{word}-"):
            return slug
    there = ", ".join(f"{dialect} ({slug})" for slug, dialect in dialects.items() if dialect != "pages")
    raise NeedsOperator(f"没有 {word}，可选 nothing is like {word}; there are: {there}", code="unknown_dialect")


def new_hospital(slug: str, model: str, *, root: Path = registry.HERE.parent) -> list[Path]:
    """Copy the model's folder under the new name; returns what was made. Raises `NeedsOperator`; overwrites nothing."""
    made = _new("hospital", slug, model, root)
    for table in (made[0] / "mapping").glob("*.csv"):
        with table.open("w", encoding="utf-8", newline="") as lines:
            csv.writer(lines, lineterminator="\n").writerow(COLUMNS)
    return made


def new_chain(slug: str, model: str, *, root: Path = registry.HERE.parent) -> list[Path]:
    """As `new_hospital`. A name that a hospital has is refused: addresses, secrets and polls go by the slug alone."""
    if slug in (*registry.slugs("hospitals"), *registry.slugs("payers")):
        raise NeedsOperator(f"{slug} 已是另一机构的代号 is another partner's name", code="exists")
    made = _new("chain", slug, model, root)
    (made[0] / "__init__.py").write_text(f'"""Begun as a copy of `{model}`."""\n', encoding="utf-8")
    return made


def _new(kind: str, slug: str, model: str, root: Path) -> list[Path]:
    if not SLUG.fullmatch(slug) or keyword.iskeyword(slug) or len(slug) > 40:
        raise NeedsOperator(f"{slug!r}：名称只能用小写字母、数字和下划线，以字母开头 "
                            "a name has small letters, digits and underscores", code="bad_slug")
    folder, test = root / "adapters" / KINDS[kind] / slug, root / TESTS / KINDS[kind] / f"test_{slug}.py"
    for there in (folder, test):
        if there.exists():
            raise NeedsOperator(f"{there.relative_to(root)} 已存在 is there already", code="exists")
    source = root / "adapters" / KINDS[kind] / model
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("__pycache__", "waiting"))
    for file in folder.rglob("*"):
        if file.is_file():
            _rename(file, model, slug)
    manifest = folder / "manifest.toml"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(re.sub(r'^(name|name_en) = ".*"', r'\1 = ""', text, flags=re.M), encoding="utf-8")
    copied = "".join(f'"{name}" = "{digest}"\n' for name, digest in steps.digests(folder / "samples").items())
    (folder / "samples" / steps.COPIED).write_text(
        f"# 从 {model} 复制来的样例，换成自己的之后删除本文件。 What was copied; delete this file when none is left.\n{copied}",
        encoding="utf-8")
    test.parent.mkdir(parents=True, exist_ok=True)
    test.write_text(TEST.format(slug=slug, kind=kind, steps=STEPS[kind].__name__.rpartition(".")[2]), encoding="utf-8")
    return [folder, test]


def _rename(file: Path, model: str, slug: str) -> None:
    """The new name in place of the model's; replaced in bytes, because samples have different encodings."""
    old = file.read_bytes()
    new = old
    for form in (str.lower, str.upper, str.title):
        new = new.replace(form(model).encode(), form(slug).encode())
    if new != old and file.suffix not in (".xlsx", ".xls", ".zip"):
        file.write_bytes(new)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="./go new", description=(
        "复制一家已测试机构的目录，并列出后续步骤。Copy a tested partner's folder, and say what is next."))
    parser.add_argument("kind", choices=list(KINDS))
    parser.add_argument("name", help="代号 slug, e.g. lixia_clinic")
    parser.add_argument("--like", default="", help="方言或代号 a dialect (chains: rest, soap, box) or a partner that is there")
    options = parser.parse_args(argv)
    new = new_hospital if options.kind == "hospital" else new_chain
    kinds = KINDS[options.kind]
    try:
        if options.like:
            for made in new(options.name, like(options.like, options.kind)):
                print(f"+ {made.relative_to(registry.HERE.parent)}")
        elif options.name not in registry.slugs(kinds):
            raise NeedsOperator("请用 --like 指明照哪一家 say with --like which one to copy", code="no_model")
        left = STEPS[options.kind].left(options.name)
    except NeedsOperator as error:
        print(f"× {error}", file=sys.stderr)
        return 2
    for name, todo in left.items():
        print(f"□ {name}\n  " + todo.replace("\n", "\n  "))
    print("✓ 全部完成 all done: ./go conformance " + options.name if not left else
          f"再次查看 to see what is left: ./go new {options.kind} {options.name}   "
          f"测试 tests: ./go test {TESTS / kinds}/test_{options.name}.py")
    return 0


if __name__ == "__main__":
    sys.exit(main())

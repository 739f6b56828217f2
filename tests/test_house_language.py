"""House rules of names and sentences."""

import ast
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from inspect import cleandoc
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("adapters", "benchmarks", "domain", "fhir_profiles", "flows", "gateway", "infra", "sandbox", "tasks")

NAMELESS = {"one", "found", "said", "given", "known", "asked", "heard", "told", "it", "thing", "stuff"}
LONGEST = 25
RIDDLES = re.compile(
    r"\b(nobody|somebody|whoever|whatever|whichever|whomever|of (its|their|our|his) own|to and fro|throws? away|thrown away"
    r"|passed over|of this world|in one look|engine room|once and for all|come what may|none of ours)\b", re.IGNORECASE)
_END = re.compile(r"(?<=[.!?])[\"'”)`*]*\s+|[。！？]|\n\s*(?:[*-] |\d+\. |\n)")
_LETTER = re.compile(r"[^\W_]")
_STRING_OR_COMMENT = re.compile(
    r"""\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|#[^\n]*""", re.DOTALL)
_LEAVES = {ast.Load, ast.Store, ast.Del, ast.Constant, type(None)}
_BINDING = (ast.Name, ast.Attribute, ast.arg, ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ExceptHandler,
            ast.MatchAs, ast.MatchStar, ast.comprehension, ast.Expr)
_FOR_PROGRAMS = ("# noqa", "# type:", "#!")


@dataclass(frozen=True)
class Program:
    """What the rules look at, of one file."""

    nodes: list[ast.AST]
    """Those that bind a name or hold a docstring."""
    prose: list[tuple[int, str]]
    """Line and text of docstrings, also those of fields, and of comments; comment lines in a row are one text."""


def program(text: str) -> Program:
    nodes = [node for node in _walk(ast.parse(text)) if isinstance(node, _BINDING)]
    docstrings = [
        (node.lineno, _without_samples(node.value.value)) for node in nodes
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)]
    return Program(nodes, docstrings + list(_comments(text)))


def _walk(tree: ast.AST) -> Iterator[ast.AST]:
    """As `ast.walk`, without what has no names, in a third of the time."""
    left = [tree]
    while left:
        node = left.pop()
        yield node
        for value in vars(node).values():
            kind = type(value)
            if kind is list:
                left.extend(part for part in value if isinstance(part, ast.AST))
            elif kind is not int and kind is not str and kind not in _LEAVES and isinstance(value, ast.AST):
                left.append(value)


def _without_samples(docstring: str) -> str:
    return "\n".join(line for line in cleandoc(docstring).splitlines() if not line.startswith("    "))


def _comments(text: str) -> Iterator[tuple[int, str]]:
    block: list[str] = []
    first = last = line = read = 0
    for token in _STRING_OR_COMMENT.finditer(text):
        if token.group()[0] != "#" or token.group().startswith(_FOR_PROGRAMS):
            continue
        line, read = line + text.count("\n", read, token.start()), token.start()
        alone = not text[text.rfind("\n", 0, read) + 1:read].strip()
        if block and not (alone and line == last + 1):
            yield first + 1, "\n".join(block)
            block = []
        first = first if block else line
        block.append(token.group().lstrip("# "))
        last = line if alone else -1
    if block:
        yield first + 1, "\n".join(block)


# --- the rules: each yields "line: what" ---


def nameless(program: Program) -> Iterator[str]:
    """Variables, parameters, attributes and functions whose name does not tell what they are.

    The variable of a comprehension may be any of them but `one`.
    """
    in_comprehensions = {
        id(name) for node in program.nodes if isinstance(node, ast.comprehension)
        for name in ast.walk(node.target) if isinstance(name, ast.Name) and name.id != "one"}
    for node in program.nodes:
        name = _named(node)
        if name in NAMELESS and id(node) not in in_comprehensions:
            yield f"{node.lineno}: {name}"  # type: ignore[attr-defined]


def _named(node: ast.AST) -> str | None:
    if isinstance(node, ast.Name):
        return node.id if isinstance(node.ctx, ast.Store) else None
    if isinstance(node, ast.Attribute):
        return node.attr if isinstance(node.ctx, ast.Store) else None
    if isinstance(node, ast.arg):
        return node.arg
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
        return node.name
    return None


def long_sentences(program: Program) -> Iterator[str]:
    for line, prose in program.prose:
        for sentence in _END.split(prose):
            words = [word for word in re.sub(r"`[^`]*`", "code", sentence).split() if _LETTER.search(word)]
            if len(words) > LONGEST:
                yield f"{line}: {len(words)} words: {' '.join(words[:8])} …"


def riddles(program: Program) -> Iterator[str]:
    for line, prose in program.prose:
        for riddle in RIDDLES.finditer(re.sub(r"`[^`]*`", "", prose.replace("\n", " "))):
            yield f"{line}: {riddle.group()}"


def loose_pairs(program: Program) -> Iterator[str]:
    """Functions that take a Chinese and an English text apart, where `domain.words.Two` is one value."""
    for node in program.nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            taken = node.args
            names = {argument.arg for argument in (*taken.posonlyargs, *taken.args, *taken.kwonlyargs)}
            pairs = {name for name in names if f"{name}_en" in names} | ({"zh"} if {"zh", "en"} <= names else set())
            for name in sorted(pairs):
                yield f"{node.lineno}: {name}"


Rule = Callable[[Program], Iterator[str]]
RULES: dict[str, Rule] = {
    "names": nameless, "sentences": long_sentences, "riddles": riddles, "pairs": loose_pairs}


# --- what they must catch, and what they must let through ---


@pytest.mark.parametrize(
    ("rule", "bad", "good"),
    [
        (nameless, "found = rows()", "rows = found()"),
        (nameless, "def f(said): ...", "def f(update): ..."),
        (nameless, "self.known = {}", "print(self.known)"),
        (nameless, "def found(): ...", "def finding(): ..."),
        (nameless, "for it in rows: ...", "[it for it in rows]"),
        (nameless, "[one for one in rows]", "[row for row in rows]"),
        (nameless, "match x:\n  case [one, *rest]: ...", "match x:\n  case [first, *rest]: ..."),
        (nameless, "try: ...\nexcept E as it: ...", "try: ...\nexcept E as error: ..."),
        (long_sentences, f"# {'word ' * 26}", f"# {'word ' * 25}"),
        (long_sentences, f"# {'word ' * 20}\n# {'word ' * 20}", f"# {'word ' * 20}.\n# {'word ' * 20}"),
        (long_sentences, f'"""{"word " * 26}"""', f'"""A sum.\n\nSample:\n    {"word " * 26}\n"""'),
        (long_sentences, f"class A:\n  b: int\n  'B {'c ' * 26}'", f"text = '# {'word ' * 26}'"),
        (riddles, "x = 1  # nobody reads that", "x = 1  # no client reads that"),
        (riddles, "# to and\n# fro", "# from `nobody` to the API"),
        (riddles, "def f():\n  'Whatever they said.'", "print('whatever')"),
        (loose_pairs, "def f(cure, cure_en): ...", "def f(cure): ..."),
        (loose_pairs, "def f(*, zh, en): ...", "def f(en): ..."),
    ],
)
def test_a_rule_catches_what_it_is_about(rule, bad, good):
    assert list(rule(program(bad)))
    assert not list(rule(program(good)))


# --- all files ---


@cache
def offences() -> dict[str, dict[str, list[str]]]:
    """By rule and file; each file is read once."""
    lists: dict[str, dict[str, list[str]]] = {name: {} for name in RULES}
    for path in (path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))):
        parts = program(path.read_text(encoding="utf-8"))
        for name, rule in RULES.items():
            if lines := list(rule(parts)):
                lists[name][path.relative_to(ROOT).as_posix()] = lines
    return lists


@pytest.mark.parametrize("rule", RULES)
def test_every_file_keeps_the_rule(rule):
    assert offences()[rule] == {}


def main() -> None:
    """Print every offence, or those of the folders or files named."""
    for rule, files in offences().items():
        print(f"[{rule}]")
        for path, lines in files.items():
            if path.startswith(tuple(sys.argv[1:]) or ("",)):
                print(*(f"{path}:{line}" for line in lines), sep="\n")


if __name__ == "__main__":
    main()

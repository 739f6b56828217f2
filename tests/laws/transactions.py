"""Fail points: every transaction of the product by its name, and the places before and after its commit."""

import ast
from collections.abc import Iterator, Sequence

from tests.test_house_rules import PRODUCT, ROOT, sources

Place = tuple[str, str]
"""Name of a transaction, and "before" or "after" its commit."""


def named() -> list[tuple[str, str]]:
    """(name, file:line) of every transaction of the product; the name is empty where it is not one we can read."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sources(*PRODUCT)}
    effects = sorted({step for path, tree in trees.items() if "tasks" in path.parts for step in _effects(tree)})
    return [(name, f"{path.relative_to(ROOT)}:{call.lineno}")
            for path, tree in trees.items() for call in ast.walk(tree)
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "transaction"
            for name in _names(call, effects)]


def _effects(tree: ast.AST) -> Iterator[str]:
    """Steps of the effects that are made: the second word of `Effect(prescription, "hold", order)`."""
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Effect":
            step = call.args[1]
            assert isinstance(step, ast.Constant), f"line {call.lineno}: the step of an effect is a word"
            yield str(step.value)


def _names(call: ast.Call, effects: Sequence[str]) -> list[str]:
    match call.args:
        case [ast.Constant(value=str(name))]:
            return [name]
        case [ast.JoinedStr(values=[ast.FormattedValue(value=value), ast.Constant(value=str(rest))])]:
            if ast.unparse(value) == "effect.step":
                return [f"{step}{rest}" for step in effects]
    return [""]


TRANSACTIONS = named()
NAMES = sorted({name for name, _ in TRANSACTIONS if name})

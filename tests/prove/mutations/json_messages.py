"""Mutations of JSON: FHIR and the national e-prescription."""

import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tests.prove.mutations.mutation import MARK, Kind, Mutation, Values

Path = tuple[str | int, ...]
Place = Callable[[Any, Path], str]
"""Message and path -> the place in the dialect's own words."""

_TWICE = "〈twice〉"


def mutations(raw: bytes, place: Place, values: Values, known: Callable[[Any, Path], Mapping[str, Any]]) -> Iterator[Mutation]:
    """Every member changed, doubled, emptied and taken out; in every object, what else may stand there is added.

    `known(message, path)` names members that the format knows for an object, with a value for each.
    """
    message = json.loads(raw)
    for path, value in walk(message):
        where = place(message, path)
        if isinstance(value, dict):
            yield Mutation(Kind.ADDED, f"{where}.xMark", with_value(message, (*path, "xMark"), MARK), "a member nobody knows")
            for name, given in known(message, path).items():
                if name not in value:
                    yield Mutation(Kind.ADDED, place(message, (*path, name)), with_value(message, (*path, name), given), "known")
        elif isinstance(value, list):
            if value:
                yield from _doubled_row(message, path, value, where)
                yield Mutation(Kind.EMPTIED, where, with_value(message, path, []), "an empty list")
        else:
            yield from _scalar(message, path, value, where, values)
        if path and isinstance(path[-1], str):
            yield Mutation(Kind.EMPTIED, where, _without(message, path), "left out")


def places(raw: bytes, place: Place) -> Iterator[tuple[str, str]]:
    """Every scalar with its place."""
    message = json.loads(raw)
    for path, value in walk(message):
        if not isinstance(value, dict | list):
            yield place(message, path), str(value)


def walk(node: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    yield path, node
    rows: Sequence[tuple[str | int, Any]] = (list(node.items()) if isinstance(node, dict)
                                             else list(enumerate(node)) if isinstance(node, list) else [])
    for name, value in rows:
        yield from walk(value, (*path, name))


def _scalar(message: Any, path: Path, value: Any, where: str, values: Values) -> Iterator[Mutation]:
    if isinstance(value, bool):
        yield Mutation(Kind.CHANGED, where, with_value(message, path, not value))
    elif isinstance(value, int | float):
        yield Mutation(Kind.CHANGED, where, with_value(message, path, value + 1))
    elif isinstance(value, str):
        for other in values.others(where, value):
            yield Mutation(Kind.CHANGED, where, with_value(message, path, other))
        yield Mutation(Kind.EMPTIED, where, with_value(message, path, ""), "empty")
    yield Mutation(Kind.EMPTIED, where, with_value(message, path, None), "null")
    if isinstance(path[-1], str):
        other = value + 1 if isinstance(value, int | float) else f"{value}{MARK}"
        yield Mutation(Kind.DOUBLED, where, _twice(message, path, value, other), "the key twice")


def _doubled_row(message: Any, path: Path, rows: list[Any], where: str) -> Iterator[Mutation]:
    """A second row that says something else than the first: before it, and after it."""
    other = copy.deepcopy(rows[0])
    for inner, value in walk(other):
        if inner and isinstance(value, str) and inner[-1] not in ("url", "system", "reference", "resourceType", "fullUrl"):
            _put(other, inner, f"{value}{MARK}")
            break
    else:
        other = f"{other}{MARK}" if isinstance(other, str) else other
    yield Mutation(Kind.DOUBLED, where, with_value(message, path, [*rows, other]), "a second row behind")
    yield Mutation(Kind.DOUBLED, where, with_value(message, path, [other, *rows]), "a second row before")


def with_value(message: Any, path: Path, value: Any) -> Callable[[], bytes]:
    return lambda: _bytes(_changed(message, path, value))


def _without(message: Any, path: Path) -> Callable[[], bytes]:
    def write() -> bytes:
        twin = copy.deepcopy(message)
        node = twin
        for part in path[:-1]:
            node = node[part]
        del node[path[-1]]
        return _bytes(twin)

    return write


def _twice(message: Any, path: Path, value: Any, other: Any) -> Callable[[], bytes]:
    def write() -> bytes:
        key = json.dumps(path[-1], ensure_ascii=False)
        text = _bytes(_changed(message, path, _TWICE)).decode()
        return text.replace(f'{key}: "{_TWICE}"', f"{key}: {json.dumps(value, ensure_ascii=False)}, "
                                                  f"{key}: {json.dumps(other, ensure_ascii=False)}").encode()

    return write


def _changed(message: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    twin = copy.deepcopy(message)
    _put(twin, path, value)
    return twin


def _put(node: Any, path: Path, value: Any) -> None:
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = value


def _bytes(message: Any) -> bytes:
    return json.dumps(message, ensure_ascii=False).encode()

"""Golden documents: what each kind of stored value looks like in each version it ever had.

`golden/KIND/N.jsonl` holds documents of version N, one a line; `unmarked.jsonl` those that the release before versions wrote.
Line by line all files of a kind hold the same values. `N.schema.json` is the shape of version N.
`python -m tests.infra.db.goldens` writes the files of a new version, from those of the version before, and of a new kind, from
a city that it runs. Files that are there are never written again: databases hold such rows.
"""

import json
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from infra.crypto import Cipher
from infra.db import stored
from infra.db.stored import KINDS, Stored
from tests.infra.db import filled

GOLDEN = Path(__file__).parent / "golden"
UNMARKED = "unmarked"
MOST = 12
"""Documents of a new kind; those that differ most from one another."""

SOURCES: Mapping[Stored[Any], str] = {
    stored.PRESCRIPTION: "SELECT content FROM prescription ORDER BY id",
    stored.FINDING: "SELECT json_extract(result.value, '$.finding') FROM audit_run, json_each(audit_run.results) AS result "
                    "ORDER BY prescription_id, number, result.key",
    stored.ORDER: "SELECT content FROM pharmacy_order ORDER BY id",
    stored.CLAIM: "SELECT content FROM claim ORDER BY prescription_id, version",
    stored.SETTLEMENT: "SELECT settled FROM claim WHERE settlement_id IS NOT NULL UNION ALL SELECT forecast FROM claim "
                       "UNION ALL SELECT pre_settled FROM claim WHERE pre_settled IS NOT NULL",
    stored.REVERSAL: "SELECT answer FROM intent WHERE step = 'reverse' AND answer IS NOT NULL",
    stored.RECEIPT: "SELECT answer FROM intent WHERE step IN ('hold', 'place', 'cancel') AND answer IS NOT NULL",
    stored.WAYBILL: "SELECT answer FROM intent WHERE step IN ('dispatch', 'revoke') AND answer IS NOT NULL",
    stored.SCOPE: "SELECT portions FROM parcel UNION ALL SELECT portions FROM goods_return",
    stored.OFFERING: "SELECT offering FROM choice ORDER BY prescription_id, number",
    stored.ENTITLEMENT: "SELECT id, entitlement_sealed FROM prescription WHERE entitlement_sealed IS NOT NULL ORDER BY id",
}
"""Where documents of a kind are; on SQLite."""


def lines(kind: Stored[Any], version: str) -> list[str]:
    return (GOLDEN / kind.name / f"{version}.jsonl").read_text(encoding="utf-8").splitlines()


def versions(kind: Stored[Any]) -> list[str]:
    """Of a kind's golden documents, the newest last."""
    return sorted((path.stem for path in (GOLDEN / kind.name).glob("*.jsonl")),
                  key=lambda name: 0 if name == UNMARKED else int(name))


def spelled(document: object) -> str:
    """As SQLAlchemy writes it, but for the letters outside of ASCII."""
    return json.dumps(document, ensure_ascii=False)


def shape(kind: Stored[Any]) -> Any:
    """The JSON schema of what is stored, without words: a better docstring is no new version."""
    return _bare(kind.adapter.json_schema())


def _bare(schema: Any) -> Any:
    match schema:
        case dict():
            return {name: _bare(part) for name, part in schema.items() if name not in ("description", "title")
                    or not isinstance(part, str)}
        case list():
            return [_bare(part) for part in schema]
    return schema


def _inlined(schema: Any) -> Any:
    """The schema with each type in place of its name: another name for a type changes nothing that is stored."""
    types = schema.get("$defs", {})

    def inlined(part: Any, inside: tuple[str, ...] = ()) -> Any:
        if isinstance(part, list):
            return [inlined(item, inside) for item in part]
        if not isinstance(part, dict):
            return part
        name = str(part.get("$ref", "")).removeprefix("#/$defs/")
        if name in types and name not in inside:
            return inlined(types[name], (*inside, name))
        return {key: inlined(value, inside) for key, value in part.items() if key != "$defs"}

    return inlined(schema)


def committed_shape(kind: Stored[Any]) -> Any:
    """The shape of the newest version; None while it has no file."""
    file = GOLDEN / kind.name / f"{kind.version}.schema.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None


def complaint(kind: Stored[Any]) -> str:
    """What is to be done about a kind whose type is no longer what its newest version was; empty when all is well."""
    known = committed_shape(kind)
    if known is None:
        return (f"{kind.name} has no golden documents of version {kind.version}: run `python -m tests.infra.db.goldens`, look "
                "through the files it writes, and commit them")
    if _inlined(known) == _inlined(shape(kind)):
        return ""
    return (f"the type stored as {kind.name} has changed, and databases hold rows of version {kind.version} as it was. In "
            f"infra/db/stored.py give {kind.name} an upgrade from version {kind.version} to {kind.version + 1} (a pure function "
            "from document to document; it may be the identity where older rows mean the same), then run "
            "`python -m tests.infra.db.goldens` and commit the files it writes. Never change files that are there")


# --- writing ---


def collected(file: Path) -> dict[str, list[dict[str, Any]]]:
    """Documents of every kind in an SQLite database of `tests.infra.db.filled`, the most different ones."""
    cipher = Cipher(b"i" * 32, b"l" * 32)
    engine = sa.create_engine(f"sqlite:///{file}")
    documents: dict[str, list[dict[str, Any]]] = {}
    with engine.connect() as connection:
        for kind, query in SOURCES.items():
            found = []
            for row in connection.execute(sa.text(query)):
                document = json.loads(cipher.open(row[1], f"entitlement/{row[0]}") if kind is stored.ENTITLEMENT else row[0])
                if document is not None:  # an answer that is not there yet is a JSON null
                    found.append(document["value"] if set(document) == {"value"} else document)
            documents[kind.name] = _most_different(found)
    engine.dispose()
    return documents


def _most_different(documents: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each adds a field that has a value, or a kind of value, which those before it have not."""
    seen: set[str] = set()
    chosen = []
    while len(chosen) < MOST:
        fresh = max(documents, key=lambda document: len(set(_facts(document)) - seen), default=None)
        if fresh is None or not set(_facts(fresh)) - seen:
            break
        seen |= set(_facts(fresh))
        chosen.append(fresh)
    return chosen


def _facts(value: object, path: str = "") -> Iterator[str]:
    match value:
        case dict():
            for name, part in value.items():
                yield from _facts(part, f"{path}.{name}")
        case list():
            yield f"{path}: {min(len(value), 2)}"
            for part in value:
                yield from _facts(part, f"{path}[]")
        case None | bool():
            yield f"{path}: {value}"
        case str() if re.fullmatch(r"[a-z_]{2,20}|[A-Z]{4,7}", value):
            yield f"{path}: {value}"  # a word of an enumeration, most likely
        case _:
            yield f"{path}: {'' if value in ('', 0, '0') else 'something'}"


def write(kind: Stored[Any], fresh: Mapping[str, list[dict[str, Any]]]) -> list[Path]:
    """The files that a kind lacks."""
    folder = GOLDEN / kind.name
    folder.mkdir(parents=True, exist_ok=True)
    known = versions(kind)
    values = [kind.read(json.loads(line)) for line in lines(kind, known[-1])] if known else [
        kind.read(document) for document in fresh[kind.name]]
    return [path for path, text in (
        (folder / f"{kind.version}.jsonl", "".join(f"{spelled(kind.write(value))}\n" for value in values)),
        (folder / f"{kind.version}.schema.json", json.dumps(shape(kind), indent=1, sort_keys=True) + "\n"),
    ) if not path.exists() and path.write_text(text, encoding="utf-8")]


def main() -> int:
    fresh: Mapping[str, list[dict[str, Any]]] = {}
    if any(not versions(kind) for kind in KINDS):
        with tempfile.TemporaryDirectory() as folder:
            filled.fill(Path(folder), f"sqlite:///{folder}/sanyi.db")
            fresh = collected(Path(folder) / "sanyi.db")
    for kind in KINDS:
        for path in write(kind, fresh):
            print(f"+ {path.relative_to(GOLDEN)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

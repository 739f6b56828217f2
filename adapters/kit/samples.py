"""The sample messages in a hospital's folder, and its adapter as it reads them: no line, no real secret, no clock."""

import base64
import importlib
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from adapters import registry
from adapters.mapping import CodeMap, read_tables
from adapters.messages import Unmapped
from adapters.protocols import Hospital
from domain.errors import InvalidPayload, NeedsOperator
from infra.http import Request, Response

KEYS = {"platform_key": base64.b64encode(b"\1" * 32).decode(),
        "hospital_key": "BDLEriwfGYEZX5kERmo5yZSP4wu/8mYL4XFaRYkzTHTHvDc2ovT2d5xZvc7ja2khU9Cph3zGKkdAAt8y5SE58KA="}
"""Where a secret must be a key: a private key everybody could guess, and the point the curve of SM2 begins with."""


@dataclass(frozen=True)
class Sample:
    """One message in a folder."""

    name: str
    raw: bytes = field(repr=False)
    finding: str = ""
    """Code of the finding it must cause; empty for a valid one."""


class NoLine:
    """A transport for code that must not talk."""

    async def send(self, request: Request) -> Response:
        raise NeedsOperator("a sample is read without a line", code="no_line")


def reader(slug: str) -> Hospital:
    """A hospital's adapter that can translate and answer, and has no connection. Raises `NeedsOperator`."""
    facts = registry.manifest("hospitals", slug)
    adapter = importlib.import_module(f"adapters.hospitals.{slug}.adapter").Adapter
    secrets = {name: KEYS.get(name, f"sample-{name}") for name in adapter.SECRETS}
    return cast(Hospital, adapter(facts, NoLine(), secrets))


def folder(slug: str) -> Path:
    return registry.HERE / "hospitals" / slug


def valid(slug: str) -> list[Sample]:
    """What the hospital sends when all is well."""
    return [Sample(file.name, file.read_bytes()) for file in _files(folder(slug) / "samples")]


def invalid(slug: str) -> list[Sample]:
    """What must be refused, and for which reason (`samples/invalid/index.toml`)."""
    where = folder(slug) / "samples" / "invalid"
    if not where.is_dir():
        return []
    index = tomllib.loads((where / "index.toml").read_text(encoding="utf-8"))
    return [Sample(file.name, file.read_bytes(), str(index.get(file.name, ""))) for file in _files(where)]


def unmapped(slug: str) -> list[Unmapped]:
    """Codes in the valid samples that are not mapped to ours, each once."""
    adapter, codes = reader(slug), tables(slug)
    first: dict[tuple[str, str], Unmapped] = {}
    for sample in valid(slug):
        try:
            message = adapter.to_fhir(sample.raw, codes)
        except InvalidPayload:
            continue  # the tests say what is wrong with it
        for code in message.unmapped:
            first.setdefault((code.table, code.theirs), code)
    return list(first.values())


def tables(slug: str) -> CodeMap:
    """The code tables as the folder has them now."""
    read_tables.cache_clear()
    return read_tables(folder(slug))


def _files(where: Path) -> list[Path]:
    return [file for file in sorted(where.glob("*")) if file.is_file() and file.suffix not in (".toml", ".md")]

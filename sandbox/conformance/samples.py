"""A hospital's own sample messages, and how each dialect puts one on the line: as it is, to the byte, wherever it can."""

import base64
import json
import tomllib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.dialects import Heard

Speaking = Any
"""A dialect's own speaker, of which we know more than its protocol says."""


@dataclass(frozen=True)
class Samples:
    """The messages of the hospital's folder: file name -> its bytes."""

    valid: dict[str, bytes] = field(default_factory=dict, repr=False)
    invalid: dict[str, bytes] = field(default_factory=dict, repr=False)
    faults: Mapping[str, str] = field(default_factory=dict)
    """Name of an invalid one -> the code of the finding it must cause (`invalid/index.toml`)."""


def read_samples(folder: Path) -> Samples:
    """The messages in a hospital's samples folder; what lies in `invalid/` must be refused."""
    def files(where: Path) -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in sorted(where.glob("*"))
                if file.is_file() and file.suffix not in (".toml", ".md")}

    index = folder / "invalid" / "index.toml"
    faults = tomllib.loads(index.read_text(encoding="utf-8")) if index.exists() else {}
    return Samples(files(folder), files(folder / "invalid"), {name: str(code) for name, code in faults.items()})


async def send_sample(dialect: str, speaker: Speaking, body: bytes) -> Heard | None:
    """Over the dialect's real line. Raises what the speaker raises for bytes that it cannot send."""
    line = _LINES.get(dialect)
    answer: Heard | None = await (line(speaker, body) if line else speaker.send(body))
    return answer


async def _fhir(speaker: Speaking, body: bytes) -> Heard | None:
    """Its speaker knows a Task by how it writes one itself."""
    sent: Heard | None = await speaker.send(body.replace(b'"resourceType": "Task"', b'"resourceType":"Task"', 1))
    return sent


async def _erx(speaker: Speaking, body: bytes) -> Heard | None:
    """A recorded session without what the platform gave in it: numbers and signature are given anew."""
    document = json.loads(body, object_pairs_hook=_once)
    if "D003" in document:
        document["D003"] = {name: value for name, value in document["D003"].items()
                        if name not in ("rxTraceCode", "hiRxno", "rxFile", "signDigest")}
    sent: Heard | None = await speaker.send(json.dumps(document, ensure_ascii=False).encode())
    return sent


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Its speaker would lose a field that stands there twice, and send another message than the sample."""
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a field twice")
    return dict(pairs)


async def _cda(speaker: Speaking, body: bytes) -> Heard | None:
    """Pushed, never laid out to be fetched: a sample may be in an encoding that its speaker does not read."""
    if b"CancelPrescription" in body[:600]:
        called: Heard | None = await speaker._call("CancelPrescription", body)
        return called
    document = base64.b64encode(body).decode()
    call = (f'<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/"><S:Body>'
            f'<SubmitPrescription xmlns="{_service()}"><document>{document}</document></SubmitPrescription>'
            f"</S:Body></S:Envelope>")
    called = await speaker._call("SubmitPrescription", call.encode())
    return called


def _service() -> str:
    from sandbox.dialects.cda import SERVICE  # only where it is spoken

    return SERVICE


async def _dropbox(speaker: Speaking, body: bytes) -> Heard | None:
    """A separate file: its speaker writes the rows of several into one."""
    answered: dict[str | None, Heard | None] = await speaker._hand_over(body)
    if len([key for key in answered if key]) > 1:
        raise ValueError("a file of several prescriptions is taken apart on the line: it is no one message")
    return answered.get(None)


_LINES: Mapping[str, Callable[[Speaking, bytes], Awaitable[Heard | None]]] = {
    "fhir": _fhir, "erx": _erx, "cda": _cda, "dropbox": _dropbox}

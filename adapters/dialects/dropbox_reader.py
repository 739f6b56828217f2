"""Files of a drop box, read so that none of them can harm the process that reads it.

A workbook or XML is read by a child process with limits on its time and memory. It has no secret in its environment, and
its output is data. CSV is read here, because its cost is that of its length. `python -m adapters.dialects.dropbox_reader`
is the child process: layout and file in, rows as JSON lines out.
"""

import hashlib
import json
import os
import resource
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from adapters.dialects import dropbox_tables as tables
from adapters.dialects.dropbox_cells import Cell, Row, finding
from adapters.dialects.dropbox_tables import Layout
from domain.errors import InvalidPayload
from domain.findings import Finding, Severity, Spot

CPU_SECONDS: Final = 4
"""Of the process that reads one file; the limits of the formats keep it below two."""
MEMORY_BYTES: Final = 600_000_000
"""Of its addresses: what it holds of them is less than half."""
OUTPUT_BYTES: Final = 100_000_000
WALL_SECONDS: Final = 60.0
"""For a machine that is busy with other things."""


def read(raw: bytes, layout: Layout) -> list[Row]:
    """The rows of a file. Raises `InvalidPayload` for the file as a whole, also where reading it had to be stopped."""
    request = _asked(layout)
    digest = hashlib.sha256(request + b"\n" + raw).digest()
    if findings := _refused.pop(digest, ()):
        raise InvalidPayload(findings)
    try:
        apart = len(raw) <= tables.MAX_BYTES and (tables.is_workbook(raw) or tables.is_xml(raw))
        return _from_child(request, raw) if apart else tables.read(raw, layout)
    except InvalidPayload as invalid:
        _refused[digest] = invalid.findings
        while len(_refused) > _MOST_REFUSED:
            _refused.popitem(last=False)
        raise


_refused: OrderedDict[bytes, tuple[Finding, ...]] = OrderedDict()
"""Findings of files that were refused, by digest. Such a file is read again, as the message that is answered; with its
findings kept it need not be taken apart a second time.
"""
_MOST_REFUSED: Final = 16


def _asked(layout: Layout) -> bytes:
    return json.dumps({"columns": dict(layout.columns), "actions": dict(layout.actions), "prescription": layout.prescription,
                       "item": layout.item, "left_out": dict(layout.left_out),
                       "units": {name: sorted(words) for name, words in layout.units.items()},
                       "unit_words": sorted(layout.unit_words), "needs": list(layout.needs)}).encode()


def _from_child(request: bytes, raw: bytes) -> list[Row]:
    try:
        done = subprocess.run(
            [sys.executable, "-m", __spec__.name], input=request + b"\n" + raw, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={}, cwd=Path(__file__).parents[2], timeout=WALL_SECONDS, check=False)
        if done.returncode == 0:
            return _told(done.stdout)
    except (subprocess.TimeoutExpired, ValueError, KeyError, TypeError, IndexError):
        pass
    raise InvalidPayload([finding("READING_STOPPED", "file")])


def _told(answer: bytes) -> list[Row]:
    first, *lines = answer.splitlines()
    head = json.loads(first)
    if head["findings"]:
        raise InvalidPayload([_finding(given) for given in head["findings"]])
    if len(lines) != head["rows"]:
        raise ValueError("the answer is cut off")
    return [_row(json.loads(line)) for line in lines]


def _row(record: Any) -> Row:
    (name, line, column), cells, headings = record
    return Row(Spot(name, line, column), {cell[3]: Cell(*cell) for cell in cells}, headings)


def _finding(fields: dict[str, Any]) -> Finding:
    spot = fields.pop("spot")
    return Finding(**fields | {"severity": Severity(fields["severity"]), "spot": Spot(**spot) if spot else None})


# The process that reads.

def main() -> None:
    _limit()
    layout, raw = sys.stdin.buffer.readline(), sys.stdin.buffer.read()
    size = 0
    for line in _answer(raw, json.loads(layout)):
        size += len(line)
        if size > OUTPUT_BYTES:
            raise SystemExit(1)
        sys.stdout.buffer.write(line + b"\n")


def _answer(raw: bytes, layout: dict[str, Any]) -> Iterator[bytes]:
    units = {name: frozenset(words) for name, words in layout.pop("units").items()}
    words = frozenset(layout.pop("unit_words"))
    try:
        rows: Sequence[Row] = tables.read(raw, Layout(**layout, units=units, unit_words=words))
    except InvalidPayload as invalid:
        yield _json({"rows": 0, "findings": [asdict(finding) for finding in invalid.findings]})
        return
    yield _json({"rows": len(rows), "findings": []})
    for row in rows:
        yield _json([[row.spot.name, row.spot.line, row.spot.column], list(row.cells.values()), dict(row.headings)])


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _limit() -> None:
    """Before anything is read. Where a system does not know a limit, the others count. Who waits for an answer goes first."""
    os.nice(10)
    for limit, most in ((resource.RLIMIT_CPU, CPU_SECONDS), (resource.RLIMIT_AS, MEMORY_BYTES), (resource.RLIMIT_FSIZE, 0),
                        (resource.RLIMIT_CORE, 0)):
        with suppress(ValueError, OSError):
            resource.setrlimit(limit, (most, most))


if __name__ == "__main__":
    main()

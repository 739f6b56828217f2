"""hl7apy, somebody else's tables of v2.5.1, asked whether a message is one."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from hl7apy.core import Group, Message
from hl7apy.exceptions import HL7apyException
from hl7apy.parser import parse_segment

VERSION = "2.5.1"
PATIENT = {"PID": (), "PV1": ("PATIENT_VISIT",), "IN1": ("INSURANCE",), "AL1": (), "NTE": ()}


def faults(text: str) -> list[str]:
    """What hl7apy has against the structure, cardinality or types of a message; local codes and Z segments are ours."""
    lines = text.replace("\r\n", "\r").strip("\r").split("\r")
    structure = lines[0].split("|")[8].split("^")[-1]
    message = Message(structure, version=VERSION)
    message.msh = parse_segment(lines[0], version=VERSION)
    for line, path in zip(lines[1:], _paths(structure, lines[1:]), strict=True):
        if not line.startswith("Z"):
            _at(message, structure, path).add(parse_segment(line, version=VERSION))
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report"
        with suppress(HL7apyException):
            message.validate(report_file=str(report))
        # Of the segments one of which must be there it demands all.
        return [line for line in report.read_text(encoding="utf-8").splitlines()
                if line.startswith("Error") and "_SUPPGRP" not in line]


def _paths(structure: str, lines: list[str]) -> Iterator[tuple[tuple[str, bool], ...]]:
    """For each segment the groups it stands in, and whether the group begins with it.

    hl7apy's own parser puts every TQ1 of an RDE^O11 into the first group that may hold one, and then misses the second.
    """
    answer = structure in ("RRE_O12", "ORP_O10", "ORR_O02")
    top: tuple[tuple[str, bool], ...] = (("RESPONSE", False),) if answer else ()
    in_order = detailed = False
    for line in lines:
        name = line[:3]
        if name == "ORC":
            in_order, detailed = True, False
            yield (*top, ("ORDER", True))
        elif not in_order:
            inside = PATIENT.get(name) if name != "NTE" else None
            yield (("PATIENT", False), *((group, True) for group in inside)) if inside is not None else ()
        elif name == "TQ1":
            yield (*top, ("ORDER", False), ("TIMING_ENCODED" if detailed and structure == "RDE_O11" else "TIMING", True))
        elif structure == "ORR_O02" and name == "RXO":
            yield (*top, ("ORDER", False), ("OBRRQDRQ1RXOODSODT_SUPPGRP", True))
        elif name == "OBX":
            yield (*top, ("ORDER", False), ("OBSERVATION", True))
        else:
            # In RDE^O11 an RXO, and the RXR behind it, is the order as it was first asked for.
            first = structure == "RDE_O11" and not detailed and name in ("RXO", "RXR")
            detailed = detailed or name == "RXE"
            yield (*top, ("ORDER", False), *((("ORDER_DETAIL", name == "RXO"),) if first else ()))


def _at(message: Message, structure: str, path: tuple[tuple[str, bool], ...]) -> Message | Group:
    node = message
    for name, begins in path:
        there = [child for child in node.children if child.name == f"{structure}_{name}"]
        node = there[-1] if there and not begins else node.add_group(f"{structure}_{name}")
    return node

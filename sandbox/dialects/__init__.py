"""How a simulated hospital speaks: one module per dialect, each with its own words and its own line."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, cast

from fastapi import FastAPI

from sandbox.facts import Facts

DIALECTS = {
    "fhir": "FHIR R4 (JSON, XML)",
    "erx": "电子处方 D001–D008 (SM2/SM4)",
    "cda": "WS/T 500 CDA (SOAP, 轮询 polled)",
    "hl7v2": "HL7 v2 (MLLP)",
    "dropbox": "文件 files (CSV, Excel, XML)",
}
"""Module here -> what people call it."""


@dataclass(frozen=True)
class Heard:
    """What the platform answered to one message."""

    outcome: str
    """`accepted`, `refused`, `conflict` or `waiting` (for a person to map a code)."""
    id: str = ""
    """The platform's id of the prescription."""
    status: str = ""
    """Where it is, or what became of the cancel: `cancelled`, `cancelling`, `too-late`."""
    body: bytes = field(default=b"", repr=False)
    """The answer as it came: the same message again must get the same."""


Hear = Callable[[str, dict[str, Any]], None]
"""Called with key and neutral report; raises ValueError, KeyError or TypeError for one that is none.

A report is {"key", "prescription", "id", "status", "at", "reason", "words"?, "money"?, "pickup"?, "dispense"?, "findings"?,
"patient_page"?}.
"""


@dataclass(frozen=True)
class Line:
    """What a speaker is started with."""

    slug: str
    gateway: str
    """Address of the gateway, http://127.0.0.1:port."""
    urls: dict[str, str]
    """Further addresses, such as `mllp` (tcp://127.0.0.1:port), `listen` (our own port for MLLP), `folder`, `s3`."""
    secrets: dict[str, str] = field(repr=False)
    hear: Hear = field(repr=False)


class Speaker(Protocol):
    """One hospital's interface engine. `__init__(self, line: Line)`."""

    def prescription(self, facts: Facts) -> bytes:
        """The message for a prescription; the same facts give the same bytes."""

    def changed(self, facts: Facts) -> bytes:
        """The same message key with another content: must be answered with a conflict."""

    def broken(self, facts: Facts, number: int) -> bytes:
        """A message a careless interface might send (two of them, 1 and 2): must be refused."""

    def cancel(self, facts: Facts, key: str, at: datetime) -> bytes:
        """The prescriber takes it back; `key` is the message's own."""

    async def send(self, body: bytes) -> Heard | None:
        """Over the real line. None when there was no answer: the same bytes are sent again later."""

    async def where(self, facts: Facts) -> str:
        """Where the platform says the prescription is; empty when it cannot be asked, or does not answer."""

    def doors(self, app: FastAPI) -> None:
        """Open what the platform knocks at to report."""

    async def listen(self) -> None:
        """Listeners that are not HTTP, and watchers of folders; runs until the process ends."""




@dataclass(frozen=True)
class Site:
    """Where a simulated hospital is set up, for one day."""

    slug: str
    url: str
    """Its own HTTP address."""
    folder: Path
    """Shared with the platform where the dialect shares one."""
    key: Callable[[str], str] = field(repr=False)
    """Name -> a secret made for the day, the same each time it is asked for."""
    free_port: Callable[[], int]


@dataclass(frozen=True)
class Installation:
    """How a hospital and the platform are told of each other."""

    settings: dict[str, str] = field(repr=False)
    """Environment of the platform: SANYI_…"""
    secrets: dict[str, str] = field(repr=False)
    """Of the hospital; in its environment as SANDBOX_HOSPITAL_…"""
    options: dict[str, str] = field(default_factory=dict)
    """Of the hospital's command line: `mllp`, `listen`, `folder`, `s3`."""
    door: str = ""
    """Where its messages come in: a path of the gateway, or an address. What `./go --live` prints."""


def install(dialect: str, site: Site) -> Installation:
    """Each dialect's module has an `install(site)`."""
    return cast(Installation, importlib.import_module(f"sandbox.dialects.{dialect}").install(site))


def speaker(dialect: str, line: Line) -> Speaker:
    """The speaker of a dialect."""
    module = importlib.import_module(f"sandbox.dialects.{dialect}")
    return cast(Speaker, module.Speaker(line))

"""Which partners there are, what their manifests say, and their adapters.

A partner is a folder `adapters/<kind>/<slug>/` with `manifest.toml`, `adapter.py` (`class Adapter`),
`translation.py` and `samples/`. It exists because the folder does; nothing is registered anywhere.
"""

import importlib
import tomllib
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Literal, cast, overload

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from adapters.protocols import Chain, Courier, Hospital, Payer
from domain.chains import ChainWord
from domain.errors import NeedsOperator
from domain.fulfilment.deliveries import DeliveryStatus
from domain.shops import Shop
from infra.db import Database
from infra.dropbox import BoxTransport
from infra.http import Breaker, Client, HttpTransport, Transport
from infra.mllp import MllpTransport

HERE = Path(__file__).parent

Kind = Literal["hospitals", "chains", "couriers", "payers"]


class BreakerFacts(BaseModel):
    """When to stop asking a partner that does not answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    failures: int = Field(default=5, ge=1)
    """In a row, before it opens."""
    seconds: float = Field(default=30.0, gt=0)
    """How long it stays open."""


class Manifest(BaseModel):
    """What we know of any partner. Addresses and secrets are settings, not facts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slug: str
    name: str
    """In Chinese, for people."""
    name_en: str
    owner: str
    """Who answers for this adapter."""
    dialect: str
    """What it speaks, e.g. `rest-json`."""
    timeout_seconds: float = Field(default=10.0, gt=0)
    """For each phase of an exchange."""
    attempts: int = Field(default=3, ge=1, le=10)
    """Of a repeatable request, the first one included."""
    per_second: float = Field(default=20.0, gt=0)
    """Requests we send at most, on average."""
    breaker: BreakerFacts = BreakerFacts()
    poll_seconds: float = Field(default=30.0, gt=0)
    """Between two looks at what it has for us, where it is asked for its messages."""


class HospitalManifest(Manifest):
    facts: Mapping[str, str] = {}
    """What only this hospital's translation needs, such as its identifier systems."""
    columns: Mapping[str, str] = {}
    """Heading of its tables, or name of its XML elements -> field of ours, where it hands over files."""


class ChainManifest(Manifest):
    status_words: Mapping[str, ChainWord]
    """Their word for where an order is -> ours."""
    refusals: Mapping[str, str]
    """Their code for a business no -> our code of `Refused`."""
    causes: Mapping[str, str] = {}
    """Their word for a reason, where it is not ours -> our coded reason; any other is carried as it is."""
    facts: Mapping[str, str] = {}
    """What only this chain's translation needs, such as how old its stock file may be."""
    columns: Mapping[str, str] = {}
    """Heading of its tables -> field of ours, where it exchanges files."""
    shops: tuple[Shop, ...] = ()
    """Of a chain whose shops work from our pages; such a chain has no address."""


class CourierManifest(Manifest):
    status_words: Mapping[str, DeliveryStatus]
    """Their word for where a parcel is -> ours."""
    refusals: Mapping[str, str]
    """Their code for a business no -> our code of `Refused`."""
    causes: Mapping[str, str] = {}
    """Their word for a reason -> our coded reason; any other is carried as it is."""


class PayerManifest(Manifest):
    """Fixed fields of the FSI envelope, and of the claims of this centre."""

    fixmedins_code: str = Field(min_length=12, max_length=12)
    fixmedins_name: str
    opter: str
    opter_name: str
    opter_type: str
    mac: str
    ip: str
    recer_sys_code: str
    infver: str
    mdtrtarea_admvs: str = Field(min_length=6, max_length=6)
    clr_optins: str = Field(min_length=6, max_length=6)
    refusals: Mapping[str, str]
    """Bracketed code of err_msg -> our code of `Refused`."""


_MANIFESTS: dict[str, type[Manifest]] = {
    "hospitals": HospitalManifest,
    "chains": ChainManifest,
    "couriers": CourierManifest,
    "payers": PayerManifest,
}


def slugs(kind: Kind) -> list[str]:
    """Every partner of a kind, in alphabetical order."""
    return sorted(path.parent.name for path in (HERE / kind).glob("*/manifest.toml"))


@overload
def manifest(kind: Literal["hospitals"], slug: str) -> HospitalManifest: ...
@overload
def manifest(kind: Literal["chains"], slug: str) -> ChainManifest: ...
@overload
def manifest(kind: Literal["couriers"], slug: str) -> CourierManifest: ...
@overload
def manifest(kind: Literal["payers"], slug: str) -> PayerManifest: ...
def manifest(kind: Kind, slug: str) -> Manifest:
    """A partner's facts. Raises `NeedsOperator` naming file, field and cure."""
    if slug not in slugs(kind):
        raise NeedsOperator(f"adapters/{kind}: no partner {slug!r}; there are {', '.join(slugs(kind)) or 'none'}")
    return read_manifest(kind, HERE / kind / slug / "manifest.toml")


@cache
def read_manifest(kind: Kind, path: Path) -> Manifest:
    """The manifest in a file, checked. Raises `NeedsOperator` naming file, field and cure."""
    where = "/".join(path.parts[-4:])
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise NeedsOperator(f"{where}: not TOML ({error}); correct the syntax") from None
    try:
        facts = _MANIFESTS[kind].model_validate(table)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {_cure(e['type'], e['msg'])}" for e in error.errors())
        raise NeedsOperator(f"{where}: {faults}") from None
    if facts.slug != path.parent.name:
        raise NeedsOperator(f"{where}: slug: must be the folder's name, {path.parent.name!r}")
    return facts


def _cure(kind: str, message: str) -> str:
    match kind:
        case "missing":
            return "is missing; add it"
        case "extra_forbidden":
            return "is not a fact we know; remove it or correct its spelling"
        case _:
            return message


def transport(facts: Manifest, base_url: str, client: Client) -> HttpTransport:
    """The line to a partner, with the limits of its manifest; the address comes from the settings, and says which."""
    line = (MllpTransport if base_url.startswith("mllp:") else
            BoxTransport if base_url.startswith(("file:", "s3:")) else HttpTransport)
    return line(
        facts.slug,
        base_url,
        timeout=facts.timeout_seconds,
        attempts=facts.attempts,
        per_second=facts.per_second,
        breaker=Breaker(facts.breaker.failures, facts.breaker.seconds),
        client=client,
    )


@overload
def load(kind: Literal["hospitals"], slug: str, transport: Transport, secrets: Mapping[str, str]) -> Hospital: ...
@overload
def load(kind: Literal["chains"], slug: str, transport: Transport, secrets: Mapping[str, str]) -> Chain: ...
@overload
def load(kind: Literal["couriers"], slug: str, transport: Transport, secrets: Mapping[str, str]) -> Courier: ...
@overload
def load(kind: Literal["payers"], slug: str, transport: Transport, secrets: Mapping[str, str]) -> Payer: ...
def load(kind: Kind, slug: str, transport: Transport, secrets: Mapping[str, str]
         ) -> Hospital | Chain | Courier | Payer:
    """The partner's adapter, ready to talk.

    An adapter lists the names of the secrets it needs in `SECRETS`. Raises `NeedsOperator` for a
    broken manifest and for a missing secret.
    """
    facts = manifest(kind, slug)
    adapter = importlib.import_module(f"adapters.{kind}.{slug}.adapter").Adapter
    missing = [name for name in adapter.SECRETS if not secrets.get(name)]
    if missing:
        raise NeedsOperator(f"{kind}/{slug}: secret {', '.join(missing)} is not set; see .env.example")
    return cast(Hospital | Chain | Courier | Payer, adapter(facts, transport, secrets))


def counter(slug: str, db: Database, now: Callable[[], datetime], timezone: str, *, courier: bool = False) -> Chain:
    """A chain whose shops work from our pages, on our own database; `courier`: the city has one who brings what they do not.

    Raises `NeedsOperator` for a broken manifest.
    """
    facts = manifest("chains", slug)
    adapter = importlib.import_module(f"adapters.chains.{slug}.adapter").Adapter
    return cast(Chain, adapter(facts, db, now, timezone, courier=courier))

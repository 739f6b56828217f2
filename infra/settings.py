"""Everything that differs between places, read once from the environment and handed down.

Facts about partners are in their manifests; secrets are only ever here, and never shown.
"""

import os
import socket
from collections import Counter
from difflib import get_close_matches
from functools import cache
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_origin
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError

from domain.errors import NeedsOperator

PREFIX = "SANYI_"
DELIMITER = "__"
NOT_SETTINGS = frozenset({"SANYI_REQUIRE_SERVICES"})
"""Names with our prefix that belong to the tests."""

_NO_SUCH = "extra_forbidden"


TOKEN_LENGTH = 16
"""Characters of a token, at least; of them half must be different ones."""
_PLACEHOLDERS = ("change-me", "changeme", "change_me", "example", "password", "placeholder")


def weak(token: str) -> str:
    """Why a token could be guessed; empty if it could not."""
    if any(word in token.lower() for word in _PLACEHOLDERS):
        return "still holds the words of an example"
    if len(token) < TOKEN_LENGTH or len(set(token)) < TOKEN_LENGTH // 2:
        return f"is too short or too uniform: {TOKEN_LENGTH} characters or more, as of openssl rand -base64 24"
    steps = [ord(after) - ord(before) for before, after in pairwise(token)]
    if max(Counter(steps).values()) > len(steps) // 2:
        return "is a row of keys: take one of openssl rand -base64 24"
    return ""


def loopback(address: str) -> bool:
    """Whether what is sent to this address stays on this host."""
    host = urlsplit(address).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _web_address(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise ValueError("must start with http:// or https://")
    if not urlsplit(text).hostname:
        raise ValueError("must name a host")
    return text.rstrip("/")


def _sealed_address(text: str) -> str:
    address = _web_address(text)
    if address.startswith("http://") and not loopback(address):
        raise ValueError("must start with https://: over http:// everybody on the way reads along; "
                         "http:// is for addresses of this host only (a TLS proxy beside us, the sandbox)")
    return address


def _strong_tokens(tokens: dict[str, SecretStr]) -> dict[str, SecretStr]:
    for name, token in tokens.items():
        if why := weak(token.get_secret_value()):
            raise ValueError(f"the token of {name} {why}")
    return tokens


def _strong_or_none(token: SecretStr) -> SecretStr:
    if token.get_secret_value() and (why := weak(token.get_secret_value())):
        raise ValueError(f"the token {why}")
    return token


def _partner_address(value: str) -> str:
    if not value.startswith(("mllp://", "file:///", "s3://")):
        return _sealed_address(value)
    return value.rstrip("/")


def _no_placeholders(secrets: dict[str, dict[str, SecretStr]]) -> dict[str, dict[str, SecretStr]]:
    for secret in secrets.values():
        if any(secret.get_secret_value().lower() in ("change-me", "changeme", "change_me") for secret in secret.values()):
            raise ValueError("a secret still holds the words of an example")
    return secrets


WebAddress = Annotated[str, AfterValidator(_web_address)]
PartnerAddress = Annotated[str, AfterValidator(_partner_address)]
SealedAddress = Annotated[str, AfterValidator(_sealed_address)]
Tokens = Annotated[dict[str, SecretStr], AfterValidator(_strong_tokens)]
PartnerSecrets = Annotated[dict[str, dict[str, SecretStr]], AfterValidator(_no_placeholders)]


class ArchiveSettings(BaseModel):
    """Where the bytes we must keep are kept."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    kind: Literal["local", "s3"] = "local"
    """`local`: a folder, for trying out. `s3`: a bucket with Object Lock, for production."""
    folder: Path | None = None
    """Folder of the local archive; `archive` in the home folder if not given."""
    bucket: str = ""
    """Name of a bucket that was created with Object Lock."""
    endpoint: WebAddress | None = None
    """Address of an S3-compatible store; the cloud's own if not given."""
    region: str = "us-east-1"
    """Region the requests are signed for; most stores of one's own accept the default."""
    access_key: SecretStr = SecretStr("")
    """Access key of the store."""
    secret_key: SecretStr = SecretStr("")
    """Secret key of the store."""
    retention_days: int = Field(default=5475, gt=0)
    """Days during which an archived message cannot be deleted: 15 years (A-34)."""

    @model_validator(mode="after")
    def _s3_is_complete(self) -> Self:
        if self.kind == "s3" and not (
            self.bucket and self.access_key.get_secret_value() and self.secret_key.get_secret_value()
        ):
            raise ValueError("kind s3 needs __BUCKET, __ACCESS_KEY and __SECRET_KEY too")
        return self


class OidcSettings(BaseModel):
    """Single sign-on at the city's own OpenID Connect provider, beside passwords."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    issuer: Annotated[str, AfterValidator(lambda text: _sealed_address(text) if text else "")] = ""
    """Address of an OpenID Connect provider, as its id tokens name it: people may sign in there; none if not given."""
    client_id: str = ""
    """What the provider calls us. Our redirect address there is SANYI_GATEWAY_URL/oidc/back."""
    client_secret: SecretStr = SecretStr("")
    """Our secret at the provider."""

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.issuer and not (self.client_id and self.client_secret.get_secret_value()):
            raise ValueError("an issuer needs __CLIENT_ID and __CLIENT_SECRET too")
        return self


class ShopPerson(BaseModel):
    """A person of a shop that works from our pages."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    token: Annotated[SecretStr, AfterValidator(lambda token: _strong_tokens({"the shop": token})["the shop"])]
    """Their access token: 16 characters or more, used by no one else."""
    place: str = Field(pattern=r"^[a-z0-9_]+/[A-Za-z0-9._-]+$", max_length=40)
    """Their shop: the chain's slug and the shop's number, `linli/LL01`."""


class Settings(BaseSettings):
    """One frozen object; every field is the variable `SANYI_` plus its name in capitals."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter=DELIMITER,
        env_ignore_empty=True,
        env_file=".env",
        dotenv_filtering="match_prefix",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    home: Path = Path(".sanyi")
    """Folder for everything the embedded defaults write."""
    database_url: str = Field(
        default_factory=lambda data: f"sqlite:///{data.get('home', Path('.sanyi')) / 'sanyi.db'}", repr=False
    )
    """Our own database: sqlite:///… or postgresql+psycopg://…; a file in the home folder if not given."""
    migration_url: SecretStr = SecretStr("")
    """Our own database as its owner, for `python -m infra.db.migrate` only; not given: SANYI_DATABASE_URL's role owns it."""
    city: str = "jinan"
    """Folder of `cities/` with the policy that applies."""
    archive: ArchiveSettings = ArchiveSettings()
    """Where the bytes we must keep are kept."""

    identity_key: SecretStr = SecretStr("")
    """Seals names, numbers and addresses: 32 random bytes in base64. Losing it loses them."""
    lookup_key: SecretStr = SecretStr("")
    """Finds a sealed value again without opening it: 32 other random bytes in base64. Never changes."""
    anchor_key: SecretStr = SecretStr("")
    """Signs the daily root of all histories: 32 random bytes in base64, used for nothing else.

    Only the operations worker needs it, and administrators of the database must not have it.
    """
    identity_cipher: Literal["aes-gcm", "sm4-gcm"] = "aes-gcm"
    """Cipher for new values; old values open with the cipher they were sealed with."""

    prefect_ui_url: WebAddress = "http://127.0.0.1:4200"
    """Where people open Prefect's pages; links in answers and messages point there."""
    gateway_url: SealedAddress = "http://127.0.0.1:8000"
    """Where partners and pharmacists reach the gateway: https://, or http:// at this host's own address."""
    prefect_servers: int = Field(default=1, ge=1)
    """Processes of the Prefect server: replicas of its API plus its services. More than one need Redis between them."""

    partner_urls: dict[str, PartnerAddress] = {}
    """Address of each partner by slug, e.g. SANYI_PARTNER_URLS__ANKANG: http(s)://, and for hospitals mllp://host:port,
    file:///folder or s3://bucket/prefix as they speak."""
    webhook_urls: dict[str, SealedAddress] = {}
    """Address at which a chain takes webhooks, by slug, e.g. SANYI_WEBHOOK_URLS__ANKANG; its key is
    SANYI_PARTNER_SECRETS__ANKANG__WEBHOOK. A chain without one is sent none."""
    mllp_ports: dict[str, int] = {}
    """Port at which the gateway listens for each hospital that speaks HL7 v2, e.g. SANYI_MLLP_PORTS__JINAN_CENTRAL."""
    partner_secrets: PartnerSecrets = {}
    """Secrets of each partner by slug and purpose, e.g. SANYI_PARTNER_SECRETS__ANKANG__TOKEN and …__CALLBACK; …__WEBHOOK and,
    while keys are changed, …__WEBHOOK_OLD sign its webhooks."""
    sender_megabytes: int = Field(default=500, ge=1)
    """Megabytes that each gateway, and the operations worker, read and archive of one sender in an hour.

    Beyond that the sender is told to wait (429), or its files wait in the drop box. Each process counts separately.
    """
    pharmacists: Tokens = {}
    """Access token of each reviewing pharmacist by id, e.g. SANYI_PHARMACISTS__P001: 16 characters or more, used by no one else."""
    operators: Tokens = {}
    """Access token of each operator by id, e.g. SANYI_OPERATORS__O001: 16 characters or more, used by no one else."""
    shops: dict[str, ShopPerson] = {}
    """People of shops that work from our pages by id, e.g. SANYI_SHOPS__S001__TOKEN and …__PLACE (`linli/LL01`)."""

    oidc: OidcSettings = OidcSettings()
    """Single sign-on beside passwords."""

    worker: str = Field(default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}"[:40], min_length=1, max_length=40)
    """Name of this worker in leases; must differ between workers. Host and process number if not given."""
    lease_seconds: float = Field(default=30.0, gt=0)
    """Seconds a worker keeps a prescription to itself; after that another one may take over."""
    batch_limit: int = Field(default=100, ge=1)
    """Most prescriptions in one flow run."""
    runs_at_once: int = Field(default=2, ge=1)
    """Flow runs of one worker at a time; while they run, what falls due makes the next batch larger. More than 2 only
    where Prefect's own database is PostgreSQL."""
    window: Literal["all", "people", "none"] = "all"
    """Prescriptions that are shown as runs in Prefect: `all`; those which a person must act on (`people`, for floods and
    provinces); or `none`.
    """
    window_seconds: float = Field(default=3.0, gt=0)
    """Seconds between two looks at what is to be drawn in Prefect: what happens to a prescription meanwhile is drawn at once."""
    poll_seconds: float = Field(default=0.25, gt=0)
    """Seconds between two looks at the queue when it was empty."""
    window_lag_seconds: float = Field(default=30.0, gt=0)
    """Seconds that drawing in Prefect may lag behind while prescriptions wait for a worker. Work goes first while what
    waits can still be drawn within them.
    """
    metrics_port: int = Field(default=0, ge=0, le=65535)
    """Port of a worker's own /metrics page, another for each worker of a host; 0: none."""
    metrics_host: str = "127.0.0.1"
    """Address that page listens at."""
    metrics_token: Annotated[SecretStr, AfterValidator(_strong_or_none)] = SecretStr("")
    """Opens the gateway's /metrics to Prometheus and nothing else; if not given, only an operator's token does."""
    time_scale: float = Field(default=1.0, ge=1)
    """Divides the city's waiting times. For the sandbox; leave it at 1.0 where patients are real."""
    hold_at_point_seconds: float = Field(default=0.0, ge=0)
    """So long a parcel waits at a pick-up point, instead of the city's days; 0: as the city says. For the sandbox.
    Three days are three quarters of an hour at the sandbox's time scale, and its day lasts a minute."""
    alert_webhook: SecretStr = SecretStr("")
    """Address that the gateway posts alerts to as JSON with a `text`, such as a chat room's; none if not given."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Least severe log line that is written."""

    @model_validator(mode="after")
    def _each_token_is_one_persons(self) -> Self:
        tokens = [*self.pharmacists.values(), *self.operators.values(), *(keeper.token for keeper in self.shops.values()),
                  *([self.metrics_token] if self.metrics_token.get_secret_value() else [])]
        if len({token.get_secret_value() for token in tokens}) < len(tokens):
            raise ValueError("SANYI_PHARMACISTS__…, SANYI_OPERATORS__…, SANYI_SHOPS__… and SANYI_METRICS_TOKEN: two have the same "
                             "token, so nobody could tell who it was, nor what they may")
        return self

    @property
    def prefect_api(self) -> str:
        """Prefect's API as this process reaches it: Prefect's own `PREFECT_API_URL`, or else beside the pages."""
        return os.environ.get("PREFECT_API_URL", "").rstrip("/") or f"{self.prefect_ui_url}/api"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, _Environment(settings_cls), dotenv_settings


class _Environment(EnvSettingsSource):
    """The environment, with the names of ours that no setting has: misspelt, they must not be silent."""

    def __call__(self) -> dict[str, Any]:
        values = super().__call__()
        for variable in self.env_vars:
            name = variable.upper()
            if name.startswith(PREFIX) and name not in NOT_SETTINGS:
                field = name.removeprefix(PREFIX).partition(DELIMITER)[0].lower()
                if field not in self.settings_cls.model_fields:
                    values[field] = ""
        return values


@cache
def get_settings() -> Settings:
    """The settings of this process; read once, at the edge, and handed down from there.

    Raises `NeedsOperator` naming every wrong variable, what is asked of it and the cure.
    """
    try:
        return Settings()
    except ValidationError as error:
        faults = [_fault(e["loc"], e["type"], e["msg"]) for e in error.errors(include_input=False, include_url=False)]
    except SettingsError as error:
        # Not JSON where a whole group was given in one variable; the message names the field, not the value.
        faults = [f"{error}; set its parts one by one, see .env.example"]
    # Raised out here so that the first error, which holds what it was given, does not travel along.
    raise NeedsOperator("settings: " + "; ".join(faults), code="bad_setting")


def describe(model: type[BaseModel] = Settings, prefix: str = PREFIX) -> dict[str, str]:
    """Every variable and what it means; the name of one that is given per partner or person ends in `__`."""
    described: dict[str, str] = {}
    for name, field in model.model_fields.items():
        variable = prefix + name.upper()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            described |= describe(field.annotation, variable + DELIMITER)
        elif get_origin(field.annotation) is dict:
            described[variable + DELIMITER] = field.description or ""
        else:
            described[variable] = field.description or ""
    return described


def _fault(loc: tuple[int | str, ...], kind: str, message: str) -> str:
    """`SANYI_FINE_LIMIT: Input should be a valid integer. Batches up to …`: variable, rule and cure."""
    rule = message.removeprefix("Value error, ")
    if not loc:
        return f"{rule}. Set it right and start again"
    variable = PREFIX + DELIMITER.join(str(part) for part in loc).upper()
    texts = describe()
    if kind == _NO_SUCH:
        close = get_close_matches(variable, texts, n=1)
        cure = f"did you mean {close[0]}?" if close else "remove it, or see .env.example"
        return f"{variable}: no such setting; {cure}"
    groups = (name for name in texts if name.endswith(DELIMITER) and variable.startswith(name))
    meaning = texts.get(variable) or next((texts[name] for name in groups), "")
    return f"{variable}: {rule}. Set it right ({meaning or 'see .env.example'}) and start again"

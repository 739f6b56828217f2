"""One city, put together: policy, knowledge, database, archive and partners. The composition root."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from adapters import registry
from adapters.mapping import CodeMap, read_tables
from adapters.protocols import CallsBack, Chain, Courier, Hospital, Payer, TakesWebhooks
from adapters.webhooks import open_endpoint
from domain.errors import NeedsOperator
from domain.knowledge.tables import Knowledge
from domain.policy import CityPolicy, scaled
from infra.cities import load_knowledge, load_policy
from infra.crypto import Cipher, make_cipher
from infra.db import Database, Session, mapping
from infra.http import HttpTransport, open_client
from infra.limits import Measure
from infra.objects import Archive, make_archive
from infra.settings import Settings


@dataclass(frozen=True)
class City:
    """Everything a step may use; handed in, so that a test can hand in something else."""

    policy: CityPolicy
    knowledge: Knowledge
    db: Database
    archive: Archive
    cipher: Cipher
    chains: Mapping[str, Chain]
    payer: Payer
    hospitals: Mapping[str, Hospital]
    couriers: Mapping[str, Courier] = field(default_factory=dict)
    """Who bring what shops without a system send; the first one does."""
    webhooks: Mapping[str, TakesWebhooks] = field(default_factory=dict)
    """The addresses for webhooks of the chains that want them, by slug."""
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    share: Measure | None = None
    """Bytes that each sender, such as `hospital:jinan_first`, may have this process read and keep in an hour.
    It counts what is refused too, because that is archived as well, for years. None: without limit."""
    gateway_url: str = ""
    """Where people open our pages; empty where they cannot, and then no link is handed out."""
    hurry: float = 1.0
    """Divides our own waiting times between attempts, as the policy's were; 1 where patients are real."""

    def today(self) -> date:
        """The city's calendar day: what the fund reconciles by."""
        return self.now().astimezone(ZoneInfo(self.policy.timezone)).date()

    def after(self, **duration: float) -> datetime:
        """That long from now, in the city's hurry but never under half a second."""
        return self.now() + max(timedelta(**duration) / self.hurry, timedelta(seconds=0.5))


def open_city(settings: Settings) -> City:
    """The city of the settings with its real partners. Raises `NeedsOperator` naming what is missing."""
    policy = load_policy(settings.city)
    if settings.time_scale != 1:
        policy = scaled(policy, settings.time_scale)
    if settings.hold_at_point_seconds:
        policy = replace(policy, hold_at_point=timedelta(seconds=settings.hold_at_point_seconds))
    client = open_client()

    def transport(kind: registry.Kind, slug: str) -> HttpTransport:
        if slug not in settings.partner_urls:
            raise NeedsOperator(f"no address for {slug}: set SANYI_PARTNER_URLS__{slug.upper()}", code="no_address")
        return registry.transport(registry.manifest(kind, slug), settings.partner_urls[slug], client)

    def secrets(slug: str) -> dict[str, str]:
        return {name: secret.get_secret_value() for name, secret in settings.partner_secrets.get(slug, {}).items()}

    db = Database(settings.database_url)

    def chain(slug: str) -> Chain:
        if registry.manifest("chains", slug).shops:
            return registry.counter(slug, db, lambda: datetime.now(UTC), policy.timezone, courier=bool(policy.courier))
        return registry.load("chains", slug, transport("chains", slug), secrets(slug))

    chains = {slug: chain(slug) for slug in policy.chains}

    def endpoint(slug: str) -> TakesWebhooks:
        if not isinstance(chains.get(slug), CallsBack):
            raise NeedsOperator(f"SANYI_WEBHOOK_URLS__{slug.upper()}: the city has no chain of that name that signs callbacks, "
                                "and without a signature it cannot read its webhooks again", code="no_such_chain")
        return open_endpoint(slug, settings.webhook_urls[slug], secrets(slug), client)

    return City(
        policy=policy,
        knowledge=load_knowledge(settings.city),
        db=db,
        archive=make_archive(settings),
        cipher=make_cipher(settings),
        chains=chains,
        couriers={policy.courier: registry.load("couriers", policy.courier, transport("couriers", policy.courier),
                                                secrets(policy.courier))} if policy.courier else {},
        payer=registry.load("payers", policy.payer, transport("payers", policy.payer), secrets(policy.payer)),
        hospitals={terms.slug: registry.load("hospitals", terms.slug, transport("hospitals", terms.slug),
                                             secrets(terms.slug)) for terms in policy.hospitals},
        webhooks={slug: endpoint(slug) for slug in settings.webhook_urls},
        share=Measure(settings.sender_megabytes * 1_000_000, 3600),
        gateway_url=settings.gateway_url,
        hurry=settings.time_scale,
    )


def code_map(city: City, session: Session, slug: str) -> CodeMap:
    """What a hospital's codes stand for now: its folder's tables, and what people have accepted since."""
    return read_tables(registry.HERE / "hospitals" / slug).with_accepted(mapping.accepted(session, slug))

"""A sandbox city on loopback: the product and its partners as separate processes, with one key ring."""

import base64
import json
import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from sandbox.chain import CHAINS, SELLERS
from sandbox.dialects import Site, install
from sandbox.doors import COURIER
from sandbox.loopback import NO_CERTIFICATES
from sandbox.plan import HOSPITALS, Plan, make_plan
from sandbox.processes import ROOT, Processes, free_port
from sandbox.shopkeeper import SHOPS
from sandbox.webhooks import TAKERS, new_key

FAULTS: dict[str, dict[str, Any]] = {
    "ankang": {"lose_answer": 0.05, "error_500": 0.02, "out_of_stock": 0.03, "duplicate_callback": 0.10,
               "late_callback": 0.08, "at_most": 2,
               "webhook_down_next": 2, "webhook_slow_next": 1, "webhook_key_next": 1, "timeout_seconds": 9},
    "baicao": {"lose_answer": 0.05, "error_500": 0.02, "duplicate_callback": 0.10, "late_callback": 0.08, "at_most": 2},
    "jishi": {"lose_answer": 0.05, "error_500": 0.02, "duplicate_callback": 0.10, "late_callback": 0.08, "at_most": 2},
    "huakang": {"lose_answer": 0.03, "error_500": 0.02, "duplicate_callback": 0.10, "late_callback": 0.08, "broken_file": 0.05,
                "at_most": 2},
    "insurer": {"lose_answer": 0.04, "timeout": 0.01, "timeout_seconds": 6, "busy": 0.01, "at_most": 2},
    "linli": {"sold_out": 0.05},
    "jisong": {"lose_answer": 0.05, "error_500": 0.02, "duplicate_callback": 0.20, "late_callback": 0.10, "at_most": 2},
    "pharmacist": {"abandon": 0.03},
}
"""An ordinary day's faults: rates per request. They must not show in the outcome."""


@dataclass(frozen=True)
class Tempo:
    """How fast the city lives. As it stands: a day in a minute."""

    time_scale: float = 75
    """The platform's deadlines and pauses are divided by it: ten minutes take eight seconds."""
    chains: float = 1
    """What a chain and its couriers take is multiplied by it; so are the next two."""
    patients: float = 1
    pharmacists: float = 1
    hold_at_point: float = 45
    """Seconds that a pick-up point keeps a parcel; 0: as long as the city says."""
    visited: bool = False
    """Whether visitors look, and may be the people of a shop."""


TROUBLED = Tempo(hold_at_point=150)
"""Where the platform is down for long, a patient who comes to the clinic late for that reason must still find the parcel."""


@dataclass(frozen=True)
class Pharmacists:
    """Who reviews in place of people."""

    at_work: int = 2
    at_once: int = 0
    """Reviews that are decided at the start, without taking time."""


@dataclass(frozen=True)
class Shape:
    """How many of each there are. As it stands: one machine with one of each on SQLite."""

    gateways: int = 1
    workers: int = 1
    prefect_apis: int = 0
    """Replicas of Prefect's API, with its services in a separate process and Redis between them; 0 is one server."""
    prefect_database_url: str = ""
    """Needed for replicas: postgresql+asyncpg://…"""
    redis_program: str = "/usr/bin/redis-server"

    @property
    def prefect_servers(self) -> int:
        """Processes of Prefect's server."""
        return self.prefect_apis + 1


@dataclass
class Keys:
    """Every secret of the city, made for one day."""

    values: dict[str, str] = field(default_factory=dict, repr=False)

    def __getitem__(self, name: str) -> str:
        return self.values.setdefault(name, secrets.token_urlsafe(18))


class SandboxCity:
    """Starts everything, knows every address, and reads every book."""

    def __init__(self, folder: Path, processes: Processes, *, slug: str, seed: int,
                 faults: Mapping[str, Mapping[str, Any]] = FAULTS, per_second: float = 8, database_url: str = "",
                 shape: Shape | None = None,
                 hospitals: Sequence[str] = (), tempo: Tempo | None = None, pharmacists: Pharmacists | None = None) -> None:
        self.folder = folder
        self.slug = slug
        self.seed = seed
        self._processes = processes
        self._faults = faults
        self.per_second = per_second
        self.shape = shape or Shape()
        self.tempo = tempo or Tempo()
        self.pharmacists = pharmacists or Pharmacists()
        self.members = {
            "gateway": _names("gateway", self.shape.gateways), "worker": _names("worker", self.shape.workers),
            "prefect": _names("prefect", self.shape.prefect_apis or 1),
            **({"services": ["prefect-services"], "redis": ["redis"]} if self.shape.prefect_apis else {})}
        """Kind -> names of its processes, for `kill` and `restart`."""
        self.keys = Keys()
        self.hospitals = {name: HOSPITALS[slug][name] for name in hospitals or HOSPITALS[slug]}
        """What each of its hospitals speaks."""
        names = ("prefect", "gateway", *self.hospitals, *SELLERS, COURIER, "insurer", "pharmacist")
        self.ports = {name: free_port() for name in names}
        self.urls = {name: f"http://127.0.0.1:{port}" for name, port in self.ports.items()}
        self._installed = {name: install(dialect, Site(name, self.urls[name], folder / name / "shared",
                                                       partial(self._key_of, name), free_port))
                           for name, dialect in self.hospitals.items()}
        self._product = self._product_environment(database_url)
        self._client = httpx.Client(timeout=20, trust_env=False, verify=NO_CERTIFICATES)
        self.on_sending: Callable[[], None] = lambda: None
        """Called when the hospital begins: a proof's chance to interfere."""

    @property
    def prefect_password(self) -> str:
        """What opens Prefect's API and pages, `name:password`."""
        return f"sanyi:{self.keys['prefect']}"

    @property
    def prefect_auth(self) -> tuple[str, str]:
        name, _, password = self.prefect_password.partition(":")
        return name, password

    # Starting.

    def start_partners(self) -> None:
        """Hospitals, chains, shops without a system and their courier, insurance centre and pharmacists; none needs Prefect."""
        keys, tempo = self.keys, self.tempo
        self._partner("insurer", {"SANDBOX_CENTRE_PAASID": "sanyi", "SANDBOX_CENTRE_SECRET": keys["centre"]},
                      "--city", self.slug)
        for chain, program in CHAINS.items():
            self._partner(chain, {variable: keys[f"{chain} {secret}"] for variable, secret in program.secrets.items()}
                          | {f"SANDBOX_{chain.upper()}_WEBHOOK_{age}": key for age, key in self._webhook_keys(chain).items()},
                          "--gateway", self.urls["gateway"], "--pace", str(tempo.chains),
                          *(("--folder", self._box(chain)) if program.box else ()))
        self._partner("linli", {f"SANDBOX_SHOP_{shop}": keys[f"shop {shop}"] for shop in SHOPS},
                      "--gateway", self.urls["gateway"], "--insurer", self.urls["insurer"], "--pace", str(tempo.chains),
                      "--stock", "visited" if tempo.visited else "day", module="shopkeeper")
        self._partner(COURIER, {"SANDBOX_JISONG_TOKEN": keys[f"{COURIER} token"],
                                "SANDBOX_JISONG_SECRET": keys[f"{COURIER} callback"]},
                      "--gateway", self.urls["gateway"], "--linli", self.urls["linli"], "--pace", str(tempo.chains),
                      module="courier")
        for name, dialect in self.hospitals.items():
            installed = self._installed[name]
            own = [word for option, value in installed.options.items() for word in (f"--{option}", value)]
            self._partner(name, {f"SANDBOX_HOSPITAL_{key}": value for key, value in installed.secrets.items()},
                          "--slug", name, "--dialect", dialect, "--gateway", self.urls["gateway"],
                          *(word for partner in (*SELLERS, COURIER) for word in (f"--{partner}", self.urls[partner])),
                          "--per-second", str(self.per_second / len(self.hospitals)), "--pace", str(tempo.patients),
                          *own, module="hospital")
        self._partner("pharmacist", {"SANDBOX_PHARMACIST_1_TOKEN": keys["pharmacist 1"],
                                     "SANDBOX_PHARMACIST_2_TOKEN": keys["pharmacist 2"]},
                      "--gateway", self.urls["gateway"], "--pace", str(tempo.pharmacists),
                      "--at-work", str(self.pharmacists.at_work), "--at-once", str(self.pharmacists.at_once))

    def start_product(self) -> None:
        """The Prefect server and the gateway first; the worker and the operations worker when Prefect answers."""
        self._start_prefect()
        for name, port in self._members_behind("gateway"):
            self._processes.start(name, "-m", "gateway", "--port", str(port), env=self._product)
        for name in self.members["gateway"]:
            self._processes.wait_for(f"http://127.0.0.1:{self.ports[name]}/health", name=name)
        for name in self.members["prefect"]:
            self._processes.wait_for(f"http://127.0.0.1:{self.ports[name]}/api/health", name=name, seconds=150)
        client = self._product | self._client_environment()
        for number, name in enumerate(self.members["worker"], 1):
            self._processes.start(name, "-m", "flows.worker", env=client | {"SANYI_WORKER": f"worker-{number}"})
        self._processes.start("operations", "-m", "flows.resident", env=client | {"SANYI_WORKER": "operations-1"})

    def deployed(self) -> bool:
        """Whether the operations worker has registered every deployment of prefect.yaml."""
        deployments = self.prefect("POST", "/deployments/filter", {})
        return len(deployments) >= (ROOT / "prefect.yaml").read_text(encoding="utf-8").count("entrypoint:")

    def send(self, prescriptions: int, expiring_seconds: int = 40) -> Plan:
        """Make the day's plan and let the hospital begin."""
        plan = make_plan(self.slug, prescriptions, self.seed, datetime.now(UTC), expiring_seconds, tuple(self.hospitals))
        self.begin(plan)
        return plan

    def begin(self, plan: Plan) -> None:
        """Let the hospitals begin with this plan."""
        plan.save(self.folder)
        self.on_sending()

    def add(self, more: Plan) -> None:
        """Have more prescriptions sent than the day's plan has, now. Harmless to say again."""
        self.register(more.people)
        for name in more.hospitals:
            self._client.post(f"{self.urls[name]}/sandbox/prescriptions", json=more.of(name).as_json()).raise_for_status()

    def register(self, people: Sequence[dict[str, Any]]) -> None:
        """Have the insurance centre know these people."""
        self._client.post(f"{self.urls['insurer']}/sandbox/people", json=list(people)).raise_for_status()

    def door(self, hospital: str) -> tuple[str, Mapping[str, str]]:
        """Where a hospital's messages come in, and the keys that are its own, by name."""
        installed = self._installed[hospital]
        door = installed.door
        return (f"{self.urls['gateway']}{door}" if not door or door.startswith("/") else door), installed.secrets

    def kill(self, name: str) -> None:
        """SIGKILL for a process; of a kind with several, the first."""
        self._processes.kill(self.members.get(name, [name])[0])

    def restart(self, name: str) -> None:
        self._processes.restart(self.members.get(name, [name])[0])

    def killed(self, kind: str) -> int:
        """How often processes of a kind were killed."""
        return sum(self._processes.killed(name) for name in self.members.get(kind, [kind]))

    def check(self) -> None:
        self._processes.check()

    # Reading.

    def book(self, partner: str) -> dict[str, Any]:
        """A partner's own book; `hospital` is the books of all hospitals, one after another."""
        return self._read(partner, "book")

    def progress(self, partner: str) -> dict[str, Any]:
        return self._read(partner, "progress")

    def _read(self, partner: str, page: str) -> dict[str, Any]:
        names = list(self.hospitals) if partner == "hospital" else [partner]
        return _together([self._get(f"{self.urls[name]}/{page}") for name in names])

    def ops(self, path: str) -> Any:
        """One of the gateway's operations queries."""
        return self._get(f"{self.urls['gateway']}/api/ops/{path}", self.keys["operator"])

    def shelves(self) -> list[dict[str, Any]]:
        """What the platform has on the shelves of shops without a system: `store`, `drug` and `quantity` of each."""
        return [{"store": shop, "drug": shelf["drug"], "quantity": shelf["quantity"]} for shop in SHOPS
                for shelf in self._get(f"{self.urls['gateway']}/api/inbox/stock", self.keys[f"shop {shop}"])["shelves"]]

    def webhooks(self) -> list[dict[str, Any]]:
        """Every message that the platform has for chains' addresses, the newest first."""
        rows: list[dict[str, Any]] = []
        while page := self.ops("webhooks?limit=1000" + (f"&before={rows[-1]['number']}" if rows else ""))["messages"]:
            rows += page
        return rows

    def dossier(self, prescription: str) -> dict[str, Any]:
        """Everything the platform says of one prescription."""
        return dict(self._get(f"{self.urls['gateway']}/api/rx/{prescription}", self.keys["operator"]))

    def prescriptions(self) -> list[dict[str, Any]]:
        """Every prescription the platform knows."""
        rows: list[dict[str, Any]] = []
        while page := self.ops(f"prescriptions?limit=500&after={rows[-1]['id'] if rows else ''}"):
            rows += page
            if len(page) < 500:
                break
        return rows

    def run_deployment(self, name: str, parameters: dict[str, Any] | None = None) -> str:
        """Start a deployment as an operator would; returns the flow run's id."""
        flow, deployment = name.split("/")
        deployed = self.prefect("GET", f"/deployments/name/{flow}/{deployment}")
        run = self.prefect("POST", f"/deployments/{deployed['id']}/create_flow_run",
                            {"parameters": parameters or {}, "state": {"type": "SCHEDULED"}})
        return str(run["id"])

    def forgotten_run(self) -> str:
        """A flow run that is due and that no worker will take: Prefect's services must call it Late. Returns its id."""
        flow = self.prefect("POST", "/flows/", {"name": "forgotten"})
        due = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
        run = self.prefect("POST", "/flow_runs/", {
            "flow_id": flow["id"], "state": {"type": "SCHEDULED", "state_details": {"scheduled_time": due}}})
        return str(run["id"])

    def run_state(self, run_id: str) -> tuple[str, str]:
        """Type and name of a flow run's state."""
        state = self.prefect("GET", f"/flow_runs/{run_id}")["state"] or {}
        return str(state.get("type")), str(state.get("name"))

    def count_runs(self, tag: str = "") -> int:
        """Flow runs that took place, all or those with a tag; the ones scheduled for later do not count."""
        which: dict[str, Any] = {"state": {"type": {"not_any_": ["SCHEDULED"]}}}
        if tag:
            which["tags"] = {"all_": [tag]}
        return int(self.prefect("POST", "/flow_runs/count", {"flow_runs": which}))

    def red_runs(self) -> list[str]:
        """Name and message of every flow run an operator sees in red."""
        runs = self.prefect("POST", "/flow_runs/filter", {
            "flow_runs": {"state": {"type": {"any_": ["FAILED"]}}}, "limit": 50})
        return [f"{run['name']}: {run['state']['message']}" for run in runs]

    def prefect(self, method: str, path: str, body: object = None) -> Any:
        """One call of Prefect's API, as an operator's program makes it."""
        # On SQLite a busy Prefect server answers 503 now and then and means "again".
        for _ in range(20):
            answer = self._client.request(method, f"{self.urls['prefect']}/api{path}", json=body, auth=self.prefect_auth)
            if answer.status_code != 503:
                break
            time.sleep(0.5)
        answer.raise_for_status()
        return answer.json()

    def wait_until(self, is_so: Callable[[], bool], what: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not is_so():
            self.check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {seconds:.0f} s for {what}")
            time.sleep(0.25)

    # Inside.

    def _box(self, chain: str) -> str:
        """The folder that a chain and the platform both write to."""
        folder = self.folder / chain / "shared"
        folder.mkdir(parents=True, exist_ok=True)
        return folder.resolve().as_uri()

    def _webhook_keys(self, chain: str) -> dict[str, str]:
        """The keys of a chain's webhooks, while they are changed: the platform signs with both."""
        return {age: new_key(self.keys[f"{chain} webhook {age}"]) for age in ("NEW", "OLD")} if chain in TAKERS else {}

    def _key_of(self, partner: str, name: str) -> str:
        return self.keys[f"{partner} {name}"]

    def _start_prefect(self) -> None:
        settings = self._prefect_environment("prefect-server.env") | {
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": (self.shape.prefect_database_url
                                                       or f"sqlite+aiosqlite:///{self.folder / 'prefect.db'}"),
            "PREFECT_SERVER_UI_API_URL": f"{self.urls['prefect']}/api",
            "PREFECT_SERVER_API_AUTH_STRING": self.prefect_password,
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": self.urls["prefect"],
        }
        if not self.shape.prefect_apis:
            self._processes.start("prefect", "-m", "flows.prefect_server", "all", "--port", str(self.ports["prefect"]),
                                  env=settings)
            return
        redis, folder = free_port(), self.folder / "redis"
        folder.mkdir()
        self._processes.start("redis", self.shape.redis_program, "--port", str(redis), "--bind", "127.0.0.1",
                              "--dir", str(folder), "--appendonly", "yes", "--save", "", env={})
        settings |= {name: value.replace("redis://127.0.0.1:6379", f"redis://127.0.0.1:{redis}")
                     for name, value in self._prefect_environment("prefect-ha.env").items()}
        migrated = self._processes.start("prefect-migrate", "-m", "prefect", "server", "database", "upgrade", "-y",
                                         env=settings, errand=True)
        self.wait_until(lambda: migrated.process.poll() == 0, "the migration of Prefect's database", seconds=120)
        for name, port in self._members_behind("prefect"):
            self._processes.start(name, "-m", "flows.prefect_server", "api", "--port", str(port), env=settings)
        self._processes.start("prefect-services", "-m", "flows.prefect_server", "services", env=settings)

    def _members_behind(self, kind: str) -> list[tuple[str, int]]:
        """Name and port of each process of a kind; when there are several, behind a balancer at the kind's own port."""
        names = self.members[kind]
        if len(names) > 1:
            self.ports |= {name: free_port() for name in names}
            to = [word for name in names for word in ("--to", str(self.ports[name]))]
            self._processes.start(f"{kind}-balancer", "-m", "sandbox.balancer", "--port", str(self.ports[kind]), *to, env={})
        return [(name, self.ports[name]) for name in names]

    def _partner(self, name: str, env: dict[str, str], *options: str, module: str = "") -> None:
        state = self.folder / name
        state.mkdir(parents=True, exist_ok=True)
        faults = json.dumps(dict(self._faults.get(name, {})))
        self._processes.start(name, "-m", f"sandbox.{module or name}", "--port", str(self.ports[name]), "--state", str(state),
                              "--seed", str(self.seed), "--faults", faults, *options, env=env)

    def _product_environment(self, database_url: str) -> dict[str, str]:
        keys = self.keys
        urls = {**{chain.upper(): chain for chain in CHAINS}, COURIER.upper(): COURIER, "JINAN_CENTRE": "insurer"}
        return {
            "SANYI_HOME": str(self.folder), "SANYI_CITY": self.slug,
            **({"SANYI_DATABASE_URL": database_url} if database_url else {}),
            "SANYI_IDENTITY_KEY": base64.b64encode(os.urandom(32)).decode(),
            "SANYI_LOOKUP_KEY": base64.b64encode(os.urandom(32)).decode(),
            "SANYI_ANCHOR_KEY": base64.b64encode(os.urandom(32)).decode(),
            "SANYI_GATEWAY_URL": self.urls["gateway"], "SANYI_PREFECT_UI_URL": self.urls["prefect"],
            **{f"SANYI_PARTNER_URLS__{slug}": self._box(name) if name in CHAINS and CHAINS[name].box else self.urls[name]
               for slug, name in urls.items()},
            **{f"SANYI_PARTNER_SECRETS__{chain.upper()}__{secret.upper()}": keys[f"{chain} {secret}"]
               for chain, program in CHAINS.items() for secret in program.secrets.values()},
            **{f"SANYI_WEBHOOK_URLS__{chain.upper()}": f"{self.urls[chain]}/webhooks" for chain in TAKERS},
            **{f"SANYI_PARTNER_SECRETS__{chain.upper()}__WEBHOOK{'' if age == 'NEW' else '_OLD'}": key
               for chain in TAKERS for age, key in self._webhook_keys(chain).items()},
            f"SANYI_PARTNER_SECRETS__{COURIER.upper()}__TOKEN": keys[f"{COURIER} token"],
            f"SANYI_PARTNER_SECRETS__{COURIER.upper()}__CALLBACK": keys[f"{COURIER} callback"],
            "SANYI_PARTNER_SECRETS__JINAN_CENTRE__PAASID": "sanyi",
            "SANYI_PARTNER_SECRETS__JINAN_CENTRE__SECRET": keys["centre"],
            **{name: value for installed in self._installed.values() for name, value in installed.settings.items()},
            "SANYI_PHARMACISTS__YS370000000001": keys["pharmacist 1"],
            "SANYI_PHARMACISTS__YS370000000002": keys["pharmacist 2"],
            "SANYI_OPERATORS__OPS1": keys["operator"],
            **{f"SANYI_SHOPS__{shop}__{name}": value for shop in SHOPS
               for name, value in (("TOKEN", keys[f"shop {shop}"]), ("PLACE", f"linli/{shop}"))},
            "SANYI_PREFECT_SERVERS": str(self.shape.prefect_servers),
            "SANYI_TIME_SCALE": str(self.tempo.time_scale), "SANYI_LEASE_SECONDS": "10",
            "SANYI_HOLD_AT_POINT_SECONDS": str(self.tempo.hold_at_point),
        }

    def _prefect_environment(self, file: str) -> dict[str, str]:
        lines = (ROOT / "infra" / "deploy" / file).read_text(encoding="utf-8").splitlines()
        pairs = [line.split("=", 1) for line in lines if line and not line.startswith("#")]
        return {"PREFECT_HOME": str(self.folder / "prefect"), **dict(pairs)}

    def _client_environment(self) -> dict[str, str]:
        return self._prefect_environment("prefect-client.env") | {
            "PREFECT_API_URL": f"{self.urls['prefect']}/api", "PREFECT_API_AUTH_STRING": self.prefect_password}

    def _get(self, url: str, token: str = "") -> Any:
        answer = self._client.get(url, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer.raise_for_status()
        return answer.json()


def _together(pages: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Pages of several partners of one kind as one: numbers and tallies are added, lists put one after another."""
    first, *others = pages
    whole = dict(first)
    for page in others:
        for name, value in page.items():
            whole[name] = dict(Counter(whole[name]) + Counter(value)) if isinstance(value, dict) else whole[name] + value
    return whole


def _names(kind: str, count: int) -> list[str]:
    return [kind] if count == 1 else [f"{kind}-{number}" for number in range(1, count + 1)]

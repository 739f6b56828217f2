"""A whole city in a temporary folder: real database, archive, policy and drugs, partners in memory.

Hospitals' messages are the real samples of `jinan_first`, numbered.
"""

import json
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from adapters.dialects import fhir_r4
from adapters.mapping import CodeMap
from adapters.messages import Message, Reply, Verdict
from domain.chains import ChainWord
from domain.findings import Severity
from domain.review import Decision
from infra.cities import load_knowledge, load_policy
from infra.crypto import Cipher
from infra.db import Database, audits, orders
from infra.db.rows import PrescriptionRow
from infra.objects import LocalArchive
from infra.settings import Settings
from tasks import review
from tasks.callbacks import receive_callback
from tasks.city import City
from tasks.fulfilment.sealed import open_secrets
from tasks.intake import Answer, receive_cancel, receive_prescription
from tests.support.fakes import FakeChain, FakePayer

SAMPLES = Path(__file__).parents[2] / "adapters" / "hospitals" / "jinan_first" / "samples"
HOSPITAL = "jinan_first"
STARTED = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)
"""Nine in the morning in the city: two minutes after the samples were issued."""

HOSPITAL_TOKEN = "token-of-the-hospital"
PHARMACIST, PHARMACIST_TOKEN = "P001", "token-of-pharmacist-1"
COLLEAGUE, COLLEAGUE_TOKEN = "P002", "token-of-pharmacist-2"
PRESCRIBER, PRESCRIBER_TOKEN = "D370100000001", "token-of-the-prescriber"
"""The physician of the samples, who is a pharmacist here as well."""
OPERATOR, OPERATOR_TOKEN = "O001", "token-of-operator-1"


class Clock:
    """Stands still until it is told to move."""

    def __init__(self, at: datetime = STARTED) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def advance(self, **duration: float) -> None:
        self.at += timedelta(**duration)


class SimulatedCrash(BaseException):
    """The process is gone. No `except Exception` stops it, as none would stop a power cut."""


class Plug:
    """A `boundary` of `Database` that pulls the plug at a commit a test chose, once."""

    def __init__(self) -> None:
        self._left = 0
        self._when: Callable[[], bool] | None = None

    def pull_at(self, boundary: int) -> None:
        """At that boundary from now on, counted from 1: odd ones lie before a commit, even ones after it. 0: never."""
        self._left = boundary

    def pull_when(self, condition: Callable[[], bool]) -> None:
        """At the first boundary at which that is true."""
        self._when = condition

    def __call__(self, name: str, when: str) -> None:
        self._left -= 1
        if self._left == 0 or (self._when and self._when()):
            self._when = None
            raise SimulatedCrash(f"{when} {name}")


@dataclass
class FakeHospital:
    """A hospital that keeps what it is told, by key; keeps `adapters.protocols.Hospital`."""

    slug: str = HOSPITAL
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
    trouble: Exception | None = None
    """Raised instead of taking a report, until further notice."""
    calls: "count[int]" = field(default_factory=count)

    def to_fhir(self, raw: bytes, codes: CodeMap) -> Message:
        return fhir_r4.to_fhir(raw)

    def answer(self, message: Message | None, verdict: Verdict) -> Reply:
        return fhir_r4.answer(message, verdict)

    async def report(self, key: str, body: bytes) -> None:
        next(self.calls)
        if self.trouble:
            raise self.trouble
        self.reports[key] = json.loads(body)


@cache
def _migrated() -> bytes:
    """An empty database: to copy one takes a hundredth of the time that migrating one takes."""
    with tempfile.TemporaryDirectory() as folder:
        db = Database(f"sqlite:///{folder}/empty.db")
        db.migrate()
        db.close()
        with closing(sqlite3.connect(f"{folder}/empty.db")) as connection:
            return connection.serialize()


def make_city(
    tmp_path: Path,
    url: str | None = None,
    *,
    now: Callable[[], datetime] | None = None,
    boundary: Callable[[str, str], None] | None = None,
) -> City:
    """The demo city, migrated and empty. `now` defaults to a `Clock` that stands at `STARTED`.

    Its partners are the fakes: `city.chains["ankang"]` says yes later, `city.chains["baicao"]` at once.
    """
    file = tmp_path / "sanyi.db"
    copied = url is None and not file.exists()
    if copied:
        file.write_bytes(_migrated())
    db = Database(url or f"sqlite:///{file}", boundary=boundary)
    if not copied:
        db.migrate()
    policy = load_policy("jinan")
    return City(
        policy=policy,
        knowledge=load_knowledge("jinan"),
        db=db,
        archive=LocalArchive(tmp_path / "archive", timedelta(days=1)),
        cipher=Cipher(b"i" * 32, b"l" * 32),
        chains={
            "ankang": FakeChain(slug="ankang", store="AK01", minutes=18),
            "baicao": FakeChain(slug="baicao", store="BC07", minutes=25, says_yes_at_once=True),
        },
        payer=FakePayer(slug=policy.payer),
        hospitals={slug: FakeHospital(slug) for slug in (HOSPITAL, "jinan_second")},
        now=now or Clock(),
    )


def make_settings(tmp_path: Path, **changes: Any) -> Settings:
    """Settings with a token for everybody above."""
    given: dict[str, Any] = {
        "home": tmp_path,
        "partner_secrets": {HOSPITAL: {"token": HOSPITAL_TOKEN, "report_token": "token-of-reports"}},
        "pharmacists": {PHARMACIST: PHARMACIST_TOKEN, COLLEAGUE: COLLEAGUE_TOKEN, PRESCRIBER: PRESCRIBER_TOKEN},
        "operators": {OPERATOR: OPERATOR_TOKEN},
        "gateway_url": "http://localhost",
        "prefect_ui_url": "http://prefect.example:4200",
    }
    return Settings(_env_file=None, **(given | changes))


def bundle(number: int, *, sample: str = "long_term", key: str = "", at: datetime | None = None) -> bytes:
    """A sample as prescription `RX<number>` under message key `M<number>` (or `key`), issued `at` if given."""
    message = json.loads((SAMPLES / f"{sample}.json").read_bytes())
    message["identifier"]["value"] = key or f"M{number:04d}"
    for resource in _requests(message):
        resource["groupIdentifier"]["value"] = rxno(number)
        for identifier in resource["identifier"]:
            identifier["value"] = f"{rxno(number)}-{identifier['value'].rpartition('-')[2]}"
        if at is not None:
            _issue(resource, at)
    if at is not None:
        message["timestamp"] = at.isoformat(timespec="seconds")
    return json.dumps(message, ensure_ascii=False).encode()


def cancel(number: int, *, key: str = "", reason: str = "prescriber") -> bytes:
    """The hospital's wish to cancel prescription `RX<number>`."""
    message = json.loads((SAMPLES / "cancel.json").read_bytes())
    message["identifier"][0]["value"] = key or f"C{number:04d}"
    message["focus"]["identifier"]["value"] = rxno(number)
    message["reasonCode"]["coding"][0]["code"] = reason
    return json.dumps(message, ensure_ascii=False).encode()


def rxno(number: int) -> str:
    """The hospital's own number of its prescription."""
    return f"RX{number:04d}"


def admit(city: City, n: int = 1, *, sample: str = "long_term", at: datetime | None = None) -> list[str]:
    """Take in `n` more prescriptions of a sample; their ids, in order. None was there before."""
    with city.db.reading() as session:
        there = session.scalar(sa.select(sa.func.count()).select_from(PrescriptionRow)) or 0
    return [_id(receive_prescription(city, HOSPITAL, bundle(number, sample=sample, at=at)))
            for number in range(there + 1, there + n + 1)]


def cancel_by_hospital(city: City, number: int, *, key: str = "") -> Answer:
    """The hospital cancels prescription `RX<number>`."""
    return receive_cancel(city, HOSPITAL, cancel(number, key=key))


def pass_review(city: City, rx_id: str, pharmacist: str = PHARMACIST) -> None:
    """A pharmacist claims it and lets it pass, with a reason for every warning."""
    review.assign(city, rx_id, pharmacist)
    with city.db.reading() as session:
        reasons = {finding.code: "已与医师核对确认" for finding in audits.findings(session, rx_id)
                   if finding.severity is Severity.WARN}
    review.decide(city, rx_id, pharmacist, Decision("pass", reasons=reasons))


def say(city: City, rx_id: str, status: ChainWord, **said: Any) -> Reply:
    """The chain of the newest order moves it on and calls back, signed, with the right secrets.

    `said` is for `FakeChain.update`; `lines=(1,)` and `reason="quality"`, for instance.
    """
    with city.db.reading() as session:
        placed = orders.of(session, rx_id)[-1]
    chain = city.chains[placed.order.chain]
    assert isinstance(chain, FakeChain)
    if status is ChainWord.HANDED_OVER:
        said.setdefault("pickup_code", open_secrets(city, placed)["pickup_code"])
    body = chain.body(chain.update(placed.id, status, at=city.now(), **said))
    headers = chain.headers(body, city.now())
    return receive_callback(city, chain.slug, timestamp=headers["Sanyi-Timestamp"], nonce=headers["Sanyi-Nonce"],
                          signature=headers["Sanyi-Signature"], body=body)


def _id(answer: Answer) -> str:
    assert answer.status == 201, answer.body.decode()
    identifier: str = json.loads(answer.body)["identifier"][0]["value"]
    return identifier


def _requests(message: dict[str, Any]) -> list[dict[str, Any]]:
    resources = [entry["resource"] for entry in message["entry"]]
    return [resource for resource in resources if resource["resourceType"] == "MedicationRequest"]


def _issue(request: dict[str, Any], at: datetime) -> None:
    """Another time of issue, the same validity."""
    period = request["dispenseRequest"]["validityPeriod"]
    valid = datetime.fromisoformat(period["end"]) - datetime.fromisoformat(period["start"])
    request["authoredOn"] = period["start"] = at.isoformat(timespec="seconds")
    period["end"] = (at + valid).isoformat(timespec="seconds")

"""The demo city whose partners answer at once from memory, and whose people act as soon as the hospital hears of it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from uuid import uuid4

from adapters.dialects import fhir_r4
from adapters.mapping import CodeMap
from adapters.messages import Message, Reply, Verdict
from domain import benefit
from domain.benefit import Insured, applicable, benefit_line
from domain.chains import ChainWord, OrderLine, OrderUpdate
from domain.claims import Claim, ClaimLine, Settlement
from domain.errors import NeedsOperator
from domain.knowledge.tables import Knowledge
from domain.lifecycle import Status
from domain.policy import CityPolicy
from infra.db import orders
from infra.objects import key_of
from tasks.callbacks import receive_callback
from tasks.city import City
from tasks.fulfilment.sealed import open_secrets
from tests.support.city import HOSPITAL, bundle, make_city, pass_review
from tests.support.fakes import FakeChain, FakePayer

_events = count(1)
_US = uuid4().hex[:8]
"""Two worker processes must not say two things under one event id."""


@dataclass
class NullArchive:
    """Keeps nothing but the newest bytes in memory; keeps `infra.objects.Archive` as far as the line needs it."""

    kept: dict[str, bytes] = field(default_factory=dict)

    def put(self, data: bytes) -> str:
        key = key_of(data)
        self.kept[key] = data
        return key

    def get(self, key: str) -> bytes:
        if key not in self.kept:
            raise NeedsOperator(f"{key} is not in the archive", code="absent")
        return self.kept[key]

    def verify(self, key: str) -> datetime:
        self.get(key)
        return datetime.max.replace(tzinfo=UTC)

    def delete(self, key: str) -> None:
        self.kept.pop(key, None)

    def probe(self) -> None:
        """It always could be."""


@dataclass
class NullHospital:
    """Hears where its prescriptions are; `then` is done for each report."""

    slug: str = HOSPITAL
    then: Callable[[str, str], None] = lambda _rx_id, _status: None
    """Called with our id and the status reported."""

    def to_fhir(self, raw: bytes, codes: CodeMap) -> Message:
        return fhir_r4.to_fhir(raw)

    def answer(self, message: Message | None, verdict: Verdict) -> Reply:
        return fhir_r4.answer(message, verdict)

    async def report(self, key: str, body: bytes) -> None:
        report = json.loads(body)
        self.then(report["id"], report["status"])


@dataclass
class NullPayer(FakePayer):
    """A fund that computes as our forecast does: where nothing is wrong nothing differs, and no difference is kept."""

    policy: CityPolicy = field(kw_only=True)
    knowledge: Knowledge = field(kw_only=True)
    _splits: dict[tuple[ClaimLine, ...], Settlement] = field(default_factory=dict)

    def _split(self, claim: Claim) -> Settlement:
        if claim.lines not in self._splits:
            lines = [benefit_line(OrderLine(it.line, it.drug, it.quantity, "", it.unit_price, it.amount),
                                  self.knowledge, it.selfpay) for it in claim.lines]
            entitled = replace(self.entitlement_answer, insutype=claim.insutype)
            terms = applicable(self.policy, self.policy.hospital(HOSPITAL).level, entitled, claim.disease_code)
            assert terms
            self._splits[claim.lines] = benefit.calculate(lines, terms, Insured(), entitled.used)
        return replace(self._splits[claim.lines], day=self.day)


def null_city(folder: Path, url: str, *, people: bool) -> City:
    """The demo city on a database, on the clock of this machine, with partners that never fail.

    With `people`, pharmacists and chains act inside this process when the hospital is told that it is their turn.
    For that the outbox must be delivered. Without, the contender calls them between two steps.
    """
    made = make_city(folder, url, now=lambda: datetime.now(UTC))
    hospital = NullHospital()
    payer = NullPayer(slug=made.policy.payer, day=made.today(), policy=made.policy, knowledge=made.knowledge)
    # Its chains scan no packs, as those of the baselines' figures did not.
    policy = replace(made.policy, coded_chains=frozenset())
    city = replace(made, policy=policy, archive=NullArchive(), hospitals={HOSPITAL: hospital}, payer=payer)
    if people:
        hospital.then = lambda rx_id, status: _act(city, rx_id, status)
    return city


def hand_over(city: City, rx_id: str) -> None:
    """The pharmacy accepts, prepares and hands over: three signed callbacks."""
    with city.db.reading() as session:
        placed = orders.of(session, rx_id)[-1]
    chain = city.chains[placed.order.chain]
    assert isinstance(chain, FakeChain)
    opened = open_secrets(city, placed)
    for status in (ChainWord.ACCEPTED, ChainWord.PREPARED, ChainWord.HANDED_OVER):
        number = f"{_US}-{next(_events):012d}"
        code = opened["pickup_code"] if status is ChainWord.HANDED_OVER else ""
        body = chain.body(OrderUpdate(f"ev-{number}", placed.id, status, opened["claim_secret"], city.now(),
                                      pickup_code=code))
        headers = chain.headers(body, city.now(), nonce=f"nonce-{number}")
        answer = receive_callback(city, chain.slug, timestamp=headers["Sanyi-Timestamp"],
                                nonce=headers["Sanyi-Nonce"], signature=headers["Sanyi-Signature"], body=body)
        assert answer.status == 200, f"{placed.id}: {answer.status}"


Act = Callable[[City, str], None]
ACTS: Mapping[str, Act] = {Status.IN_REVIEW: pass_review, Status.FULFILLING: hand_over}
"""What people do with a prescription in a status, through the functions the gateway uses."""


def _act(city: City, rx_id: str, status: str) -> None:
    if act := ACTS.get(status):
        act(city, rx_id)


def message(number: int, at: datetime) -> bytes:
    """A hospital's message issued at that time: number, prescription and person are new."""
    return bundle(number, at=at).replace(_SAMPLE_PERSON, _person(number).encode())


_SAMPLE_PERSON = b"370102195803029910"


def _person(number: int) -> str:
    """An invented resident id of the sample's birth date and sex: what others were handed over is no part of an audit."""
    digits = f"3701{2 + number // 500:02d}19580302{(2 * number + 1) % 1000:03d}"
    return digits + "10X98765432"[sum(int(digit) * 2 ** (17 - at) for at, digit in enumerate(digits)) % 11]



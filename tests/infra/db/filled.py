"""Two days of a small city, after which every table has rows and every status is somewhere: what a dump is made of."""

import asyncio
import json
import re
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import sqlalchemy as sa

from adapters import registry
from adapters.mapping import CodeMap
from adapters.messages import Fetched, Message, Parked, Reply, Verdict
from adapters.protocols import Hospital
from domain.chains import ChainWord, LeftOut, Offers
from domain.claims import Claim, Settlement
from domain.errors import Transient
from domain.findings import Finding, Severity
from domain.fulfilment.deliveries import DeliveryStatus
from domain.money import Fen
from domain.people import Capability, Denied, Grant, Person, Role
from domain.prescription import (
    Approval,
    Decoction,
    DrugKind,
    Handover,
    Pack,
    Prescription,
    Reading,
    Renewal,
    RxKind,
    Signature,
    SkinTest,
    SkinTestResult,
    prescription_id,
)
from domain.review import Decision
from domain.shops import Act, Opening
from flows.window import Window
from infra.db import mapping, orders, prescriptions, processes, sign_ins, webhooks
from tasks import access, choosing, counter, people, polling, review, shelves, traffic
from tasks.anchors import of_city
from tasks.audit import audit_prescription
from tasks.city import City
from tasks.fulfilment.sealed import open_secrets
from tasks.intake import receive
from tasks.line import hop
from tasks.partner_tokens import PartnerTokens
from tasks.recall import recall
from tasks.reports import deliver_due
from tasks.settlement.reconciliation import reconcile_day
from tests.support import factories
from tests.support.city import (
    HOSPITAL,
    HOSPITAL_TOKEN,
    PHARMACIST,
    STARTED,
    Clock,
    FakeHospital,
    bundle,
    cancel_by_hospital,
    make_city,
    make_settings,
    pass_review,
    rxno,
    say,
)
from tests.support.couriers import SHOP_PLACE, tell, with_courier
from tests.support.couriers import SHOPKEEPER as COURIERS_SHOPKEEPER
from tests.support.fakes import FakeChain, FakeEndpoint, FakePayer, FakePrefect, Replay
from tests.support.line import Line
from tests.support.people import enrolled

SAMPLES = Path(__file__).parents[3] / "adapters" / "hospitals"
ANCHOR_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
SHOP = "linli/LL01"


class Spoken(FakeHospital):
    """A hospital that speaks its own dialect and keeps what it is told."""

    def __init__(self, slug: str, secrets: dict[str, str]) -> None:
        super().__init__(slug)
        self.speaks: Hospital = registry.load("hospitals", slug, Replay(), secrets)

    def to_fhir(self, raw: bytes, codes: CodeMap) -> Message:
        return self.speaks.to_fhir(raw, codes)

    def answer(self, message: Message | None, verdict: Verdict) -> Reply:
        return self.speaks.answer(message, verdict)

    async def report(self, key: str, body: bytes) -> None:
        if self.trouble:
            raise self.trouble

    async def poll(self, limit: int) -> tuple[Fetched, ...]:
        return ()

    async def hand_back(self, ref: str, reply: Reply) -> None:
        raise AssertionError("nothing was taken from it")

    async def parked(self) -> list[Parked]:
        return [Parked("0123abcd", "broke")]


class Fund(FakePayer):
    """Takes a part of what it does not pay from the personal account and from a relative's."""

    def _split(self, claim: Claim) -> Settlement:
        split = super()._split(claim)
        account, family = Fen(split.cash // 2), Fen(split.cash // 5)
        return replace(split, account=account, family=family, cash=Fen(split.cash - account - family),
                       line_pool=tuple(Fen(0) for _ in claim.lines))


class Town:
    """The city of the tests, driven by hand, and shorthand for what people and partners do."""

    def __init__(self, folder: Path, url: str) -> None:
        self.clock = Clock()
        made = make_city(folder, url, now=self.clock)
        own = {slug: Spoken(slug, secrets) for slug, secrets in (
            ("jinan_tcm", {"report_token": "token"}), ("jinan_central", {"sources": "127.0.0.1"}), ("jinan_county", {}))}
        self.payer = Fund(slug=made.payer.slug)
        self.city: City = replace(made, hospitals={**made.hospitals, **own}, payer=self.payer)
        self.folder = folder
        self.number = 0
        ankang, baicao = self.city.chains["ankang"], self.city.chains["baicao"]
        assert isinstance(ankang, FakeChain)
        assert isinstance(baicao, FakeChain)
        self.ankang, self.baicao = ankang, baicao

    def later(self, **duration: float) -> None:
        self.clock.advance(**duration)
        self.payer.day = self.city.today()

    def prescribe(self, sample: str = "long_term") -> str:
        self.number += 1
        raw = bundle(self.number, sample=sample, at=self.clock.at - timedelta(minutes=2)).decode()
        receive(self.city, HOSPITAL, re.sub(r"(?<=\")\d{17}[\dX](?=\")", self._somebody_else, raw).encode())
        return prescription_id(HOSPITAL, rxno(self.number))

    def _somebody_else(self, person: re.Match[str]) -> str:
        """Another number with the same birthday and sex (GB 11643): the rules look at what one person was handed over."""
        body = f"{person[0][:14]}{2 * self.number + int(person[0][16]) % 2:03d}"
        return body + "10X98765432"[sum(int(digit) * pow(2, 17 - place, 11) for place, digit in enumerate(body)) % 11]

    def work(self, rx_id: str) -> None:
        asyncio.run(hop(self.city, rx_id))

    def in_review(self, sample: str = "long_term") -> str:
        rx_id = self.prescribe(sample)
        self.work(rx_id)
        return rx_id

    def at_the_pharmacy(self, sample: str = "long_term") -> str:
        rx_id = self.in_review(sample)
        pass_review(self.city, rx_id)
        self.work(rx_id)
        return rx_id

    def say(self, rx_id: str, *statuses: ChainWord, **more: object) -> None:
        for status in statuses:
            say(self.city, rx_id, status, **more)
            self.work(rx_id)

    def settled(self, sample: str = "long_term") -> str:
        rx_id = self.at_the_pharmacy(sample)
        self.say(rx_id, ChainWord.ACCEPTED, ChainWord.HANDED_OVER)
        return rx_id

    def admit(self, rx: Prescription) -> str:
        """One with facts that no sample states."""
        record = json.dumps({"name": "示范患者甲", "id_number": "370102195803029910", "phone": "19900000001",
                             "address": "示范市示范区示范路1号", "birth_date": "1958-03-02"}, ensure_ascii=False)
        with self.city.db.transaction() as session:
            prescriptions.admit(session, rx, patient_sealed=self.city.cipher.seal(record, f"patient/{rx.id}"),
                                archive_key="sha256/none", at=self.clock.at, message=f"M-{rx.external_id}")
        self.work(rx.id)
        return rx.id


def fill(folder: Path, url: str) -> None:
    """Two days of a city in which everything that is stored is stored at least once."""
    town = Town(folder, url)
    city = town.city

    # The first day: what ends.
    collected = [town.settled(), town.settled("home_delivery")]
    back = [town.settled("home_delivery"), town.settled()]
    town.say(back[0], ChainWord.RETURNED, reason="quality", lines=(1,))
    town.say(back[1], ChainWord.RETURNED, reason="quality")
    rejected, sent_back = town.in_review(), town.in_review("home_delivery")
    for rx_id, decision in ((rejected, "reject"), (sent_back, "return")):
        review.assign(city, rx_id, PHARMACIST)
        review.decide(city, rx_id, PHARMACIST, Decision(
            decision, codes=[sorted(city.knowledge.review_items)[0]], text="请核对"))
        town.work(rx_id)
    cancelled = town.in_review()
    cancel_by_hospital(city, town.number)
    town.work(cancelled)
    withdrawn = town.at_the_pharmacy()
    cancel_by_hospital(city, town.number)
    town.work(withdrawn)
    town.ankang.refuse_next("out_of_stock", "hold")
    second_choice = town.settled()
    declined = town.at_the_pharmacy()
    town.say(declined, ChainWord.DECLINED, reason="out_of_stock")
    town.say(town.at_the_pharmacy(), ChainWord.ACCEPTED, ChainWord.PREPARED, ChainWord.DECLINED)
    town.ankang.only, town.ankang.lose_next_answer = frozenset({"hold", "place"}), True
    town.payer.only, town.payer.lose_next_answer = frozenset({"settle"}), True
    town.settled()
    town.payer.refuse_next("closed_period", "settle")
    town.settled()
    town.payer.refuse_next("not_insured", "entitlement")
    town.in_review()
    town.admit(replace(factories.rx(), id=prescription_id(HOSPITAL, "RX9001"), external_id="RX9001",
                       items=(factories.item("D090", days_supply=28), factories.item("D172", 2))))
    _late_word(town)
    _left_out(town)
    asyncio.run(deliver_due(city, 200))
    asyncio.run(reconcile_day(city))

    # The night: what was collected is closed, the root of the day is kept.
    town.later(hours=25)
    for rx_id in (*collected, *back, second_choice):
        town.work(rx_id)
    of_city(city, make_settings(folder, anchor_key=ANCHOR_KEY)).anchor(city.today() - timedelta(days=1))

    # The second day: what is under way.
    _of_other_dialects(town)
    _with_every_fact(town)
    town.in_review("child")
    held = town.in_review()
    review.assign(city, held, PHARMACIST)
    town.at_the_pharmacy()
    town.say(town.at_the_pharmacy(), ChainWord.ACCEPTED, ChainWord.PREPARED)
    asyncio.run(audit_prescription(city, town.prescribe()))
    pass_review(city, town.in_review())
    town.say(town.at_the_pharmacy("home_delivery"), ChainWord.ACCEPTED, ChainWord.IN_DELIVERY)
    at_the_door = town.at_the_pharmacy("home_delivery")
    town.say(at_the_door, ChainWord.ACCEPTED, ChainWord.IN_DELIVERY)
    cancel_by_hospital(city, town.number)
    town.work(at_the_door)
    _cancelled_at_a_silent_pharmacy(town)
    town.settled()
    town.settled("home_delivery")
    town.payer.silent = True
    town.prescribe()
    town.work(town.prescribe())
    town.payer.silent = False
    town.payer.only, town.payer.silent = frozenset({"pre_settle"}), True
    town.at_the_pharmacy()
    town.payer.only, town.payer.silent = frozenset(), False
    town.ankang.only, town.ankang.silent = frozenset({"hold", "find"}), True
    town.at_the_pharmacy()
    town.ankang.only, town.ankang.silent = frozenset(), False
    town.ankang.stock = town.baicao.stock = {"D001": Decimal(0)}
    town.at_the_pharmacy()
    town.ankang.stock, town.baicao.stock = {}, {}
    fund_is_silent, not_refunded = town.at_the_pharmacy(), town.settled()
    town.payer.silent = True
    town.say(not_refunded, ChainWord.RETURNED, reason="quality")
    town.say(fund_is_silent, ChainWord.HANDED_OVER)
    town.payer.silent = False
    asyncio.run(reconcile_day(city))
    town.payer.book.pop()
    asyncio.run(reconcile_day(city))  # The fund has lost a row: the day does not match.
    late_back = town.settled()
    town.say(late_back, ChainWord.RETURNED, reason="quality")
    town.settled()
    cancel_by_hospital(city, 900)
    hospital = city.hospitals[HOSPITAL]
    assert isinstance(hospital, FakeHospital)
    hospital.trouble = Transient("down")
    asyncio.run(deliver_due(city, 200))
    asyncio.run(polling.poll_partner(city, "jinan_county"))
    traffic.watch_shapes(city, recent=2, earlier=4, fewest=1)
    asyncio.run(Window(city, make_settings(folder)).draw(FakePrefect()))  # type: ignore[arg-type]
    with city.db.transaction() as session:
        mapping.accept(session, mapping.Mapped("jinan_tcm", "drug", "示范码", "示范药", "D001", "O001", town.clock.at))
        processes.enter(session, processes.Process("worker", "worker-1", "example", 1, "0.1.0", town.clock.at, town.clock.at))
        sign_ins.begin(session, "0" * 64, person=PHARMACIST, role="pharmacist", token="1" * 64,
                       until=town.clock.at + timedelta(hours=8))
    _webhooks(town)
    _choices(town)
    _people(town)
    _at_a_shop(town)
    _with_the_courier(town)
    city.db.close()


def _webhooks(town: Town) -> None:
    """A chain hears of a recall, reads again what it was told, and puts its address out of use."""
    endpoint = FakeEndpoint()
    city = replace(town.city, webhooks={"ankang": endpoint})
    recall(city, drug="D001", lot="L0", reason="quality", by="operations")
    asyncio.run(deliver_due(city, 200))
    with city.db.transaction() as session:
        assert webhooks.page(session, "ankang", 0, 10)
    endpoint.status = 410
    recall(city, drug="D032", lot="L0", reason="quality", by="operations")
    asyncio.run(deliver_due(city, 200))


def _late_word(town: Town) -> None:
    """The pharmacy declines and hands it over all the same."""
    rx_id = town.at_the_pharmacy()
    first = next(iter(reversed(town.ankang.book)))
    town.say(rx_id, ChainWord.DECLINED, reason="closed")
    cancel_by_hospital(town.city, town.number)
    town.work(rx_id)
    assert town.ankang.book[first]
    say(town.city, rx_id, ChainWord.HANDED_OVER)


def _cancelled_at_a_silent_pharmacy(town: Town) -> None:
    rx_id = town.at_the_pharmacy()
    for chain in (town.ankang, town.baicao):
        chain.only, chain.silent = frozenset({"cancel", "find"}), True
    cancel_by_hospital(town.city, town.number)
    town.work(rx_id)
    town.later(seconds=31)
    for _ in range(2):
        town.work(rx_id)
    for chain in (town.ankang, town.baicao):
        chain.only, chain.silent = frozenset(), False


def _left_out(town: Town) -> None:
    broken = Finding("CHAIN_CONTRACT", Severity.BLOCK, "CHN-01", "stores[1].minutes", "报文不符约定", "not as agreed")
    quote = town.ankang.quote

    async def with_nonsense(*asked: object) -> Offers:
        return replace(await quote(*asked), left_out=(LeftOut("AK02", (broken,)),))  # type: ignore[arg-type]

    town.ankang.quote = with_nonsense  # type: ignore[method-assign,assignment]
    town.at_the_pharmacy()
    del town.ankang.quote


def _of_other_dialects(town: Town) -> None:
    """The samples of the other hospitals, some of whose codes wait to be mapped."""
    town.clock.at = STARTED + timedelta(days=1)
    for slug, folder in (("jinan_tcm", "samples/waiting"), ("jinan_tcm", "samples"), ("jinan_central", "samples"),
                         ("jinan_county", "samples")):
        for file in sorted(path for path in (SAMPLES / slug / folder).iterdir() if path.is_file()):
            raw = _next_day(file.read_bytes()) if file.suffix != ".xlsx" else file.read_bytes()
            receive(town.city, slug, raw)
    with town.city.db.reading() as session:
        received = session.execute(sa.text("SELECT id FROM prescription WHERE status = 'received'")).scalars().all()
    for rx_id in received:
        town.work(rx_id)


def _next_day(raw: bytes) -> bytes:
    for old, new in ((b"20261122", b"20261123"), (b"2026-11-22", b"2026-11-23"), (b"2026/11/22", b"2026/11/23")):
        raw = raw.replace(old, new)
    return raw


def _with_every_fact(town: Town) -> None:
    """Whatever a prescription can state."""
    at = town.clock.at
    piece = replace(
        factories.item("D001"), drug="D190", name="示范饮片", kind=DrugKind.PIECE, decoction_mark="first",
        directions="先煎三十分钟",
        note="另包", reasons=("E11.900",), number="RX9002-1", approval=Approval.COVERED)
    western = replace(
        factories.item("D001", 2), overdose_reason="血糖控制不佳", approval=Approval.NOT_COVERED, number="RX9002-2",
        pack=Pack(Decimal("0.50"), "g", 30), quantity=Decimal("60.5"),
        skin_test=SkinTest(SkinTestResult.NEGATIVE, datetime(2026, 11, 23, 0, 30, tzinfo=UTC)))
    exempt = replace(factories.item("D032", 3), skin_test=SkinTest(exemption="近期连续用药"), approval=Approval.OWN_EXPENSE)
    full = factories.rx(
        piece, western, exempt, kind=RxKind.EMERGENCY, issued_at=at, valid_until=at + timedelta(days=3), valid_days=3,
        handover=Handover.HOME, note="两周后复诊", valid_reason="患者路途远", decoction=Decoction(7, "water", 2),
        renewal=Renewal("RX0001", date(2026, 11, 1), date(2027, 2, 1)), institution="H37010000001",
        institution_name="示范市第一医院", signature=Signature(at, "1.2.840.10065.1.12.1.1", "ab" * 32),
        readings=(Reading("85354-9", None, "", at, (("8480-6", Decimal("132.0"), "mm[Hg]"), ("8462-4", Decimal(84), "mm[Hg]"))),
                  Reading("2339-0", Decimal("7.10"), "mmol/L", at)),
        patient={"allergies": ("A01",), "pregnancy_weeks": 12, "lactating": False, "guardian_confirmed": True,
                 "age_days": 8000, "allergy_words": ("花粉",), "guardian": "mother"},
        visit={"start": at - timedelta(minutes=20), "end": at - timedelta(minutes=2)})
    town.admit(replace(full, id=prescription_id(HOSPITAL, "RX9002"), external_id="RX9002",
                       prescriber=replace(full.prescriber, department_name="内分泌科", title="chief")))
    town.payer.entitlement_answer = replace(
        town.payer.entitlement_answer, retired=True, used=replace(
            town.payer.entitlement_answer.used, deductible_used=Fen(20000), caps=(("", Fen(100)), ("M01600", Fen(200)))))


def _choices(town: Town) -> None:
    """Patients who choose: one has time still, one took a part, one is asked anew because the price has risen."""

    def asked() -> str:
        rx_id = town.in_review("home_delivery")
        choosing.wish_to_choose(town.city, rx_id, by="patient")
        pass_review(town.city, rx_id)
        town.work(rx_id)
        return rx_id

    asked()
    dearer = asked()
    choosing.choose(town.city, dearer, "1-1", by="patient")
    town.ankang.prices = town.baicao.prices = {"D032": Decimal("0.32")}
    town.work(dearer)
    town.ankang.stock, town.baicao.stock = {"D032": Decimal(0)}, {"D048": Decimal(0)}
    choosing.choose(town.city, asked(), "1-wait", by="patient")
    town.baicao.silent = True
    choosing.choose(town.city, asked(), "1-1", by="patient")
    town.baicao.silent = False
    town.ankang.stock, town.baicao.stock, town.ankang.prices, town.baicao.prices = {}, {}, {}, {}


def _people(town: Town) -> None:
    """People with a password, without one yet and gone, what they did, and a partner's token that was changed."""
    city = town.city
    enrolled(city, "P007", Role.PHARMACIST, Role.SENIOR)
    people.add(city, "A000", "O007", "示范运维", [Grant(Role.OPERATOR)])
    enrolled(city, "P008", Role.PHARMACIST)
    people.leave(city, "A000", "P008")
    pharmacist = Person("P007", frozenset({Grant(Role.PHARMACIST)}))
    access.enter(city, pharmacist, Capability.SEE_PRESCRIPTION, act=False, prescription_id=prescription_id(HOSPITAL, rxno(1)))
    with suppress(Denied):
        access.enter(city, pharmacist, Capability.MANAGE_PEOPLE, act=True)
    PartnerTokens(city, {HOSPITAL: HOSPITAL_TOKEN}, frozenset({HOSPITAL})).rotate("A000", HOSPITAL, 24)


def _at_a_shop(town: Town) -> None:
    """Orders at a shop that works from our pages: one handed over, one brought back and refunded, one that waits for its yes."""
    city, keeper = town.city, Person("S001", frozenset({Grant(Role.SHOP, SHOP)}))
    town.city = replace(city, chains={"linli": registry.counter("linli", city.db, city.now, city.policy.timezone)})
    shelves.set_hours(town.city, keeper, SHOP, Opening(time(0), time(0)))
    for drug in sorted(drug for drug in city.knowledge.catalogue if drug.startswith("D")):
        shelves.change(town.city, keeper, SHOP, drug, counted="500", price=str(city.knowledge.ceilings[drug]))
    shelves.change(town.city, keeper, SHOP, "D001", received="20", key="示范-1")
    for brought_back in (False, True):
        collected = town.at_the_pharmacy()
        with city.db.reading() as session:
            placed = orders.of(session, collected)[-1]
        for act in (Act.ACCEPT, Act.PREPARE, Act.HAND_OVER):
            proof = open_secrets(city, placed)["pickup_code"] if act is Act.HAND_OVER else ""
            counter.act_on(town.city, keeper, collected, placed.attempt, act, proof=proof, method="cash")
        town.work(collected)
        if brought_back:
            counter.act_on(town.city, keeper, collected, placed.attempt, Act.TAKE_BACK, reason="quality",
                           lines=[line.line for line in placed.order.lines])
            town.work(collected)
    town.at_the_pharmacy()
    town.city = city


def _with_the_courier(town: Town) -> None:
    """Parcels of a shop that brings nothing home itself: one signed for, one brought back, one called off, one on its way."""
    city = town.city
    town.city = with_courier(city)
    line = Line(town.city)
    # The other shop, which would bring it itself, is shut.
    shelves.set_hours(town.city, Person("S001", frozenset({Grant(Role.SHOP, SHOP)})), SHOP, Opening(time(0), time(0), shut=True))
    shelves.set_hours(town.city, COURIERS_SHOPKEEPER, SHOP_PLACE, Opening(time(0), time(0)))

    def packed() -> str:
        rx_id = town.at_the_pharmacy("home_delivery")
        for act in (Act.ACCEPT, Act.PREPARE):
            counter.act_on(town.city, COURIERS_SHOPKEEPER, rx_id, line.order(rx_id).attempt, act)
        town.work(rx_id)
        return rx_id

    signed, back, _ = packed(), packed(), packed()
    for rx_id, statuses in ((signed, (DeliveryStatus.COLLECTED, DeliveryStatus.ARRIVED, DeliveryStatus.SIGNED)),
                            (back, (DeliveryStatus.ATTEMPT_FAILED, DeliveryStatus.RETURNED))):
        for status in statuses:
            assert tell(line, rx_id, status, attempt=1, reason="nobody_home")[0] == 200
        town.work(rx_id)
    called_off = packed()
    cancel_by_hospital(town.city, town.number)
    town.work(called_off)
    town.city = city

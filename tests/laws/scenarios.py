"""What may happen to a prescription: each scenario ends by itself, the same way every time."""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal

import pyotp
import sqlalchemy as sa

from adapters import registry
from adapters.chains.linli import adapter as linli
from adapters.mapping import CodeMap
from adapters.messages import Fetched, Message, Parked, Reply, Unmapped
from domain.chains import ChainWord, LeftOut
from domain.errors import Transient
from domain.events import Event
from domain.findings import Finding, Severity
from domain.fulfilment.orders import OrderStatus
from domain.fulfilment.portions import Portion
from domain.fulfilment.wishes import WishKind
from domain.lifecycle import Status
from domain.people import Capability, Denied, Grant, Person, Role, person
from domain.shops import Act, Opening
from infra.db import Session, history, orders, prescriptions, wishes
from infra.db.rows import OrderRow
from tasks import access, accounts, choosing, counter, people, sessions, shelves, tracking
from tasks.fulfilment.sealed import open_secrets
from tasks.partner_tokens import PartnerTokens
from tasks.recall import recall
from tests.laws.carried import CARRIED
from tests.laws.world import World
from tests.support.city import HOSPITAL, HOSPITAL_TOKEN, FakeHospital
from tests.support.fakes import FakePolledChain
from tests.support.people import PASSWORD


def collected(city: World) -> None:
    city.to_fulfilling()
    city.say(ChainWord.ACCEPTED)
    city.say(ChainWord.PREPARED)
    city.work()
    city.say(ChainWord.HANDED_OVER)
    city.work()
    city.to_closed()


def delivered_home(city: World) -> None:
    city.to_fulfilling("home_delivery")
    for word in (ChainWord.ACCEPTED, ChainWord.IN_DELIVERY, ChainWord.HANDED_OVER):
        city.say(word)
        city.work()
    city.to_closed()


def with_a_slow_fund(city: World) -> None:
    city.to_review()
    city.decide()
    city.lease_seconds, city.payer.answers = 0.06, city.passes("lease.renewed")
    city.restart()
    city.work()


def refused_by_a_pharmacist(city: World) -> None:
    city.to_review()
    city.decide("reject")
    city.work()


def woken_too_early_and_sent_back(city: World) -> None:
    city.to_review()
    city.wake()
    city.work()
    city.decide("return")
    city.work()


def everything_returned(city: World) -> None:
    city.to_settled()
    city.say(ChainWord.RETURNED, reason="quality")
    city.work()
    city.to_closed()


def one_line_returned(city: World) -> None:
    city.to_settled("home_delivery")
    city.reconcile()
    city.say(ChainWord.RETURNED, reason="quality", lines=(1,))
    city.work()
    city.to_closed()


def the_first_chain_has_none(city: World) -> None:
    city.ankang.refuses["hold"] = "out_of_stock"
    city.to_settled()


def the_hold_runs_out(city: World) -> None:
    city.ankang.holds_run_out = True
    city.to_settled()


def declined_after_the_order(city: World) -> None:
    city.to_fulfilling()
    city.say(ChainWord.DECLINED, reason="out_of_stock")
    city.work()
    city.say(ChainWord.HANDED_OVER)
    city.work()


def silent_pharmacy(city: World) -> None:
    city.to_fulfilling()
    city.later(minutes=11)
    city.work()
    city.say(ChainWord.HANDED_OVER)
    city.work()


def silent_pharmacy_that_keeps_the_order(city: World) -> None:
    city.ankang.refuses["cancel"] = "in_delivery"
    city.to_fulfilling()
    city.later(minutes=11)
    city.work()
    city.say(ChainWord.HANDED_OVER)
    city.work()


def cancelled_before_it_came(city: World) -> None:
    city.cancel()
    city.prescribe()
    city.work()


def cancelled_in_review(city: World) -> None:
    city.to_review()
    city.cancel()
    city.work()


def cancelled_while_nobody_can_fill_it(city: World) -> None:
    city.ankang.shut = city.baicao.shut = True
    city.to_review()
    city.decide()
    city.work()
    city.later(minutes=11)
    city.work()
    city.cancel()
    city.work()


def cancelled_at_the_pharmacy(city: World) -> None:
    city.to_fulfilling()
    city.cancel()
    city.work()


def cancelled_at_a_silent_pharmacy(city: World) -> None:
    """Who cancelled hears in time that it does not answer, and its answer when it comes."""
    city.to_fulfilling()
    city.ankang.only, city.ankang.silent = frozenset({"cancel"}), True
    city.cancel()
    city.work()
    city.later(seconds=31)
    city.work()
    city.ankang.silent = False
    city.later(minutes=1)
    city.work()


def cancelled_too_late(city: World) -> None:
    city.to_fulfilling("home_delivery")
    city.say(ChainWord.IN_DELIVERY)
    city.cancel()
    city.work()
    city.say(ChainWord.HANDED_OVER)
    city.work()


def expired_in_review(city: World) -> None:
    city.to_review()
    city.later(days=4)
    city.work()


def never_fetched(city: World) -> None:
    city.to_fulfilling()
    city.say(ChainWord.PREPARED)
    city.later(hours=25)
    city.work()


def the_fund_is_silent(city: World) -> None:
    city.payer.silent = True
    city.prescribe()
    city.work()
    city.payer.silent = False
    city.later(minutes=1)
    city.work()


def the_fund_loses_an_upload(city: World) -> None:
    city.to_settled()
    city.payer.only = frozenset({"upload"})
    city.payer.lose_next_answer = True
    city.later(minutes=6)
    city.work()


def the_fund_does_not_take_some_packs(city: World) -> None:
    """Of several that go together each is tried alone."""
    city.payer.refuses["upload"] = "trace"
    city.to_settled("home_delivery")
    for _ in range(3):  # Longer than the lease of a process that died.
        city.later(minutes=6)
        city.work()
    city.payer.refuses.clear()


def everything_is_uploaded_and_comes_back(city: World) -> None:
    city.to_settled("home_delivery")
    city.later(minutes=6)
    city.work()
    city.say(ChainWord.RETURNED, reason="quality")
    city.work()
    city.later(minutes=6)
    city.work()


def a_lot_is_recalled(city: World) -> None:
    city.to_settled()
    city.staff(lambda c: recall(c, drug="D001", lot="L2606", reason="quality", by="o001"))


def answers_get_lost(city: World) -> None:
    city.ankang.only = frozenset({"hold", "place"})
    city.ankang.lose_next_answer = True
    city.to_fulfilling()
    city.later(minutes=1)
    city.work()
    city.payer.only = frozenset({"settle"})
    city.payer.lose_next_answer = True
    city.say(ChainWord.HANDED_OVER)
    city.work()


def the_chain_falls_silent_twice(city: World) -> None:
    """It never hears of the hold, and of the order, when they are sent first."""
    city.ankang.only, city.ankang.silent = frozenset({"hold"}), True
    city.to_fulfilling()
    city.ankang.only = frozenset({"place"})
    city.later(minutes=1)
    city.work()
    city.ankang.silent = False
    city.later(minutes=1)
    city.work()


def the_fund_refuses_to_settle(city: World) -> None:
    city.payer.refuses["settle"] = "claim"
    city.to_settled()
    city.payer.refuses.clear()
    city.redrive()
    city.work()


def the_fund_refuses_to_reverse(city: World) -> None:
    city.payer.refuses["reverse"] = "closed_period"
    city.to_settled()
    city.say(ChainWord.RETURNED, reason="quality")
    city.work()
    city.payer.refuses.clear()
    city.wake()
    city.work()


def the_hospital_is_down(city: World) -> None:
    city.hospital.trouble = Transient("down")
    city.to_review()
    city.hospital.trouble = None
    city.later(minutes=1)
    city.work()


def a_row_cannot_be_read(city: World) -> None:
    city.prescribe()
    city.spoil(wake_at=sa.literal_column("'2000-01-01, no time'"))
    city.work()
    city.later(minutes=16)
    city.work()


def everything_is_said_twice(city: World) -> None:
    city.prescribe()
    assert city.prescribe().status_code == 201
    assert city.prescribe("child").status_code == 409, "the same key and other bytes"
    assert city.prescribe(key="M-again").status_code == 409, "the same prescription under another key"
    city.work()
    city.decide()
    city.decide_again()
    city.work()
    word = city.say(ChainWord.HANDED_OVER)
    assert b"repeated" in city.call_back("ankang", word).content
    city.work()


def nobody_the_fund_insures(city: World) -> None:
    city.payer.refuses["entitlement"] = "not_insured"
    city.prescribe()
    city.work()


def approved_by_an_earlier_release_though_nobody_insures_them(city: World) -> None:
    """This one sends such a prescription back at the audit."""
    city.to_review()
    city.spoil(entitlement_sealed=None)
    city.decide()
    city.work()


def a_store_that_quotes_nonsense(city: World) -> None:
    broken = Finding("CHAIN_CONTRACT", Severity.BLOCK, "CHN-01", "stores[1].minutes", "报文不符约定", "not as agreed")
    city.ankang.left_out = (LeftOut("AK02", (broken,)),)
    city.to_fulfilling()
    city.close_notices()


def the_night_after(city: World) -> None:
    """The day is over: its root is kept."""
    city.prescribe()
    city.later(days=1)
    city.anchor()
    city.work()


def a_pharmacist_comes_and_goes(city: World) -> None:
    city.sign_in()
    city.sign_out()


def people_are_looked_after(city: World) -> None:
    """An administrator adds somebody, gives and takes roles, and lets them go."""
    admin, grant = people.COMMAND, Grant(Role.HOTLINE)
    city.staff(lambda c: people.add(c, admin, "H001", "", [grant]))
    city.staff(lambda c: people.invite(c, admin, "H001"))
    city.staff(lambda c: people.grant(c, admin, "H001", Grant(Role.SHOP, "ankang")))
    city.staff(lambda c: people.end_role(c, admin, "H001", 1))
    city.staff(lambda c: people.unlock(c, admin, "H001"))
    city.staff(lambda c: people.sign_out(c, admin, "H001"))
    city.staff(lambda c: people.name_subject(c, admin, "H001", "subject"))
    city.staff(lambda c: accounts.sign_in_as(c, "subject"))
    with suppress(Denied):
        city.staff(lambda c: access.enter(c, person("H001", Role.HOTLINE), Capability.REDRIVE, act=True))
    city.staff(lambda c: access.enter(c, person("H001", Role.HOTLINE), Capability.FIND_PATIENT, act=False))
    city.staff(lambda c: people.leave(c, admin, "H001"))


def a_partners_token_is_changed(city: World) -> None:
    """A new one is made, shown by the hospital, and ended."""
    tokens = PartnerTokens(city.city, {HOSPITAL: HOSPITAL_TOKEN}, frozenset({HOSPITAL}))
    city.staff(lambda _: tokens.accepts(HOSPITAL, HOSPITAL_TOKEN))
    city.staff(lambda _: tokens.rotate(people.COMMAND, HOSPITAL, 24))
    city.staff(lambda _: tokens.end(people.COMMAND, 2))


def a_person_keeps_their_account(city: World) -> None:
    """They enrol, come in twice, and change what can be changed. What a crash left half done they begin again."""
    def authenticator() -> tuple[str, str]:
        code = city.staff(lambda c: people.invite(c, people.COMMAND, "H001")) or ""
        return code, accounts.enrolment(city.city, code).secret

    def digits() -> str:
        city.later(seconds=60)
        return pyotp.TOTP(secret).at(city.clock())

    city.staff(lambda c: people.add(c, people.COMMAND, "H001", "", [Grant(Role.HOTLINE)]))
    code, secret = authenticator()
    city.staff(lambda c: accounts.enrol(c, code, PASSWORD, digits()))
    cookies = [city.staff(lambda c: accounts.sign_in(c, "H001", PASSWORD, digits())) or "" for _ in range(2)]
    city.later(minutes=2)
    city.staff(lambda c: sessions.find(c, cookies[0], c.now()))
    city.staff(lambda c: sessions.end_one_of(c, "H001", sessions.key_of(cookies[1])))
    city.staff(lambda c: sessions.end_others(c, "H001", sessions.key_of(cookies[0])))
    city.staff(lambda c: accounts.renew_recovery_codes(c, "H001", PASSWORD, digits()))
    city.staff(lambda c: accounts.change_authenticator(c, "H001", PASSWORD, digits()))
    city.staff(lambda c: accounts.change_password(c, "H001", PASSWORD, digits(), f"{PASSWORD} and at night"))


SHOPKEEPER = Person("S001", frozenset({Grant(Role.SHOP, "linli/LL01")}))


class Counter(linli.Adapter):
    """A chain whose shops work from our pages: its book is in our database, and outlives a crash with it."""

    book, arrived, notices = {}, [], {}  # type: ignore[var-annotated]

    def heal(self) -> None:
        """No line to it can break."""


def _at_a_shop(city: World, sample: str) -> None:
    """The only chain of the city works from our pages, and has everything."""
    city.chains = {"linli": Counter(registry.manifest("chains", "linli"), city.city.db, city.clock, "Asia/Shanghai")}  # type: ignore[dict-item]
    city.restart()
    for drug in ("D001", "D010", "D032"):
        city.staff(lambda c, drug=drug: shelves.change(c, SHOPKEEPER, "linli/LL01", drug, counted="500", price="0.25"))
    city.staff(lambda c: shelves.set_hours(c, SHOPKEEPER, "linli/LL01", Opening(c.now().time(), c.now().time())))
    city.to_fulfilling(sample)


def _do(city: World, act: Act, **more: object) -> None:
    city.staff(lambda c: counter.act_on(c, SHOPKEEPER, city.rx, 1, act, **more))  # type: ignore[arg-type]
    city.work()


def collected_at_a_shop_without_a_system(city: World) -> None:
    _at_a_shop(city, "long_term")
    with city.city.db.reading() as session:
        code = open_secrets(city.city, orders.of(session, city.rx)[-1])["pickup_code"]
    _do(city, Act.ACCEPT)
    _do(city, Act.PREPARE)
    with suppress(Denied):
        _do(city, Act.HAND_OVER, proof="WRONG")
    _do(city, Act.HAND_OVER, proof=code, method="cash")
    _do(city, Act.TAKE_BACK, reason="quality", lines=(1,))
    city.to_closed()


def cancelled_at_a_shop_without_a_system(city: World) -> None:
    _at_a_shop(city, "long_term")
    _do(city, Act.ACCEPT)
    city.cancel()
    city.work()


def forgotten(city: World) -> None:
    city.prescribe()
    city.spoil(wake_at=None)
    city.sweep()
    city.work()


def a_hold_for_nobody(city: World) -> None:
    """Only a bug or a hand in the database makes one."""
    city.to_fulfilling()
    held = next(iter(city.ankang.book.values()))
    held.status = ChainWord.HELD
    city.hand_in_the_database(_over_with_a_hold)
    city.later(minutes=2)
    city.sweep()


def a_code_nobody_had_mapped(city: World) -> None:
    city.hospital = Stranger()
    city.restart()
    city.prescribe()
    city.map_code("drug", "D001", "D001")
    city.work()


def a_new_version_of_the_hospitals_software(city: World) -> None:
    city.prescribe()
    city.later(seconds=1)
    city.cancel()
    city.compare_shapes()
    city.work()


def checked_beforehand(city: World) -> None:
    city.ask_beforehand()
    city.prescribe()
    city.work()


def a_file_nobody_can_take(city: World) -> None:
    city.hospital = WithABox()
    city.restart()
    city.poll()
    city.prescribe()
    city.work()


def a_chain_says_what_nobody_can_read(city: World) -> None:
    chain = city.chains["jishi"] = FakePolledChain(slug="jishi", store="JS01", minutes=90)
    chain.waiting["1"] = b"{"
    city.restart()
    city.poll("jishi")
    city.prescribe()
    city.work()
    city.close_notices()


class WithABox(FakeHospital):
    """Nothing lies in it for us but what nobody could take."""

    async def poll(self, limit: int) -> Sequence[Fetched]:
        return ()

    async def hand_back(self, ref: str, reply: Reply) -> None:
        raise AssertionError("nothing was taken from it")

    async def parked(self) -> Sequence[Parked]:
        return [Parked("0123abcd", "broke")]


class Stranger(FakeHospital):
    """Its code for D001 looks like ours, and nobody has said yet that it is."""

    def to_fhir(self, raw: bytes, codes: CodeMap) -> Message:
        known = "D001" in codes.tables.get("drug", {})
        return replace(super().to_fhir(raw, codes), unmapped=() if known else (Unmapped("drug", "D001"),))


def a_process_comes_and_goes(city: World) -> None:
    city.prescribe()
    city.join()
    city.work()


def the_canary_sings(city: World) -> None:
    city.prescribe()
    city.sing()
    city.work()


def drawn_in_prefect(city: World) -> None:
    city.prescribe()
    city.draw()
    city.work()
    city.draw()
    city.draw_again()
    city.draw()
    city.stop_drawing()


def a_part_now_and_the_rest_when_it_comes_in(city: World) -> None:
    for chain, quantity in (("ankang", 30), ("baicao", 0)):
        city.chains[chain].stock = {"D001": Decimal(quantity)}
    city.to_fulfilling()
    city.later(minutes=11)
    city.work()
    city.say(ChainWord.HANDED_OVER)
    city.work()
    city.chains["baicao"].stock = {"D001": Decimal(30)}
    news = json.dumps({"event_id": "stock1", "store": city.chains["baicao"].store, "drugs": ["D001"]}).encode()
    assert city.call_back("baicao", news, "/stock").status_code == 200
    city.work()
    city.say(ChainWord.HANDED_OVER)
    city.work()
    city.to_closed()


def the_patient_looks_and_cancels(city: World) -> None:
    city.to_review()
    city.staff(lambda home: tracking.tracked(home, city.rx))
    city.staff(lambda home: tracking.cancel(home, city.rx))
    city.work()


def the_patient_chooses(city: World) -> None:
    """First a pharmacy whose price rises meanwhile, then another, which collects it instead of having it brought."""
    _asked(city)
    city.staff(lambda home: choosing.choose(home, city.rx, "1-1", by="patient"))
    city.chains["ankang"].prices = {"D032": Decimal("0.40")}
    city.work()
    city.wake()
    city.work()
    city.staff(lambda home: choosing.choose(home, city.rx, "2-1", by="patient"))
    city.work()
    city.say(ChainWord.HANDED_OVER)
    city.work()
    city.to_closed()


def the_patient_does_not_choose(city: World) -> None:
    _asked(city)
    city.later(minutes=31)
    city.work()
    city.say(ChainWord.HANDED_OVER)
    city.work()


def _asked(city: World) -> None:
    city.to_review("home_delivery")
    city.staff(lambda home: choosing.wish_to_choose(home, city.rx, by="patient"))
    city.decide()
    city.work()


def a_part_cancelled_before_it_was_ordered(city: World) -> None:
    """No door takes such a wish yet; the line carries it out."""
    city.to_review("home_delivery")
    city.hand_in_the_database(_second_line_unwanted)
    city.decide()
    city.work()
    city.say(ChainWord.HANDED_OVER)
    city.work()
    city.to_closed()


def _second_line_unwanted(city: World, session: Session) -> None:
    rx = prescriptions.load(session, city.rx).prescription
    wishes.make(session, rx.hospital, rx.external_id, prescription_id=rx.id, kind=WishKind.CANCEL, by="patient", reason="patient",
                at=city.clock(), portions=(Portion(2, rx.items[1].quantity),))


def a_wish_to_return_something(city: World) -> None:
    """No door takes such a wish yet; it is answered by what the pharmacy says."""
    city.to_settled("home_delivery")
    city.hand_in_the_database(_second_line_to_return)
    city.say(ChainWord.RETURNED, reason="quality", lines=(2,))
    city.work()
    city.to_closed()


def _second_line_to_return(city: World, session: Session) -> None:
    rx = prescriptions.load(session, city.rx).prescription
    wishes.make(session, rx.hospital, rx.external_id, prescription_id=rx.id, kind=WishKind.RETURN, by="patient", reason="patient",
                at=city.clock(), portions=(Portion(2, rx.items[1].quantity),))


def _over_with_a_hold(city: World, session: Session) -> None:
    session.execute(sa.update(OrderRow).values(status=OrderStatus.HELD))
    head = prescriptions.load(session, city.rx).head
    history.append(session, head, to=Status.EXPIRED, actor="clock", event=Event.CLOSED, at=city.clock(), wake_at=None)


Scenario = Callable[[World], None]
SCENARIOS: tuple[Scenario, ...] = (
    collected, delivered_home, with_a_slow_fund, refused_by_a_pharmacist, woken_too_early_and_sent_back,
    everything_returned, one_line_returned, the_first_chain_has_none, the_hold_runs_out, declined_after_the_order,
    silent_pharmacy, silent_pharmacy_that_keeps_the_order, cancelled_before_it_came, cancelled_in_review,
    cancelled_while_nobody_can_fill_it, cancelled_at_the_pharmacy, cancelled_at_a_silent_pharmacy, cancelled_too_late,
    expired_in_review, never_fetched,
    the_fund_loses_an_upload, the_fund_does_not_take_some_packs, everything_is_uploaded_and_comes_back,
    a_lot_is_recalled,
    the_fund_is_silent, answers_get_lost, the_chain_falls_silent_twice, the_fund_refuses_to_settle,
    the_fund_refuses_to_reverse, the_hospital_is_down, checked_beforehand,
    a_file_nobody_can_take, a_chain_says_what_nobody_can_read,
    a_row_cannot_be_read, everything_is_said_twice, forgotten, a_hold_for_nobody,
    a_code_nobody_had_mapped, a_new_version_of_the_hospitals_software,
    nobody_the_fund_insures, approved_by_an_earlier_release_though_nobody_insures_them, a_store_that_quotes_nonsense,
    the_night_after, a_pharmacist_comes_and_goes, people_are_looked_after, a_person_keeps_their_account,
    a_partners_token_is_changed,
    collected_at_a_shop_without_a_system, cancelled_at_a_shop_without_a_system,
    a_process_comes_and_goes, the_canary_sings, drawn_in_prefect,
    a_part_now_and_the_rest_when_it_comes_in, the_patient_looks_and_cancels, the_patient_chooses,
    the_patient_does_not_choose,
    a_part_cancelled_before_it_was_ordered, a_wish_to_return_something, *CARRIED,
)

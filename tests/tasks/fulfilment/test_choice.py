"""The patient chooses the pharmacy: asked in time, and ordered as chosen on the terms they saw, or asked anew."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest
import sqlalchemy as sa

from domain.chains import ChainWord
from domain.events import Event, Wait
from domain.fulfilment.allocation import Way
from domain.fulfilment.choice import Because, Option, Round, RoundState, Verdict
from domain.fulfilment.wishes import WishAnswer, WishKind
from domain.lifecycle import Status
from domain.policy import Choosers
from domain.prescription import Handover
from infra.db import access_log, choices, history, wishes
from infra.db.rows import HistoryRow, PrescriptionRow
from tasks import choosing, tracking
from tasks.closing import PATIENT
from tasks.intake import receive_prescription
from tests.support.city import HOSPITAL, admit
from tests.support.line import Line
from tests.tasks.fulfilment.test_allocation import events, filled, four_weeks, stock


@pytest.fixture
def rx_id(line: Line) -> str:
    """28 of D032 and 28 of D048, to be brought home, passed by the pharmacist; nobody was asked yet."""
    answer = receive_prescription(line.city, HOSPITAL, four_weeks())
    admitted: str = json.loads(answer.body)["identifier"][0]["value"]
    line.hop(admitted)
    line.review(admitted)
    return admitted


@pytest.fixture(autouse=True)
def everybody_is_asked(line: Line) -> None:
    policy(line, choosers=Choosers.EVERYBODY)


def policy(line: Line, **changes: object) -> None:
    object.__setattr__(line.city, "policy", replace(line.city.policy, **changes))  # type: ignore[arg-type]


def asked(line: Line, rx_id: str) -> Round:
    """The round that is open, after a hop."""
    line.hop(rx_id)
    newest = newest_of(line, rx_id)
    assert line.row(rx_id).waiting_for == Wait.CHOICE
    assert newest.state is RoundState.OPEN
    return newest


def newest_of(line: Line, rx_id: str) -> Round:
    with line.city.db.reading() as session:
        newest = choices.newest(session, rx_id)
    assert newest is not None
    return newest


def choose(line: Line, rx_id: str, key: str) -> Verdict:
    return choosing.choose(line.city, rx_id, key, by=PATIENT)


def at(newest: Round, chain: str, handover: Handover | None = None) -> Option:
    """The option of one pharmacy alone."""
    return next(option for option in newest.offering.options
                if [share.chain for share in option.shares] == [chain] and handover in (None, option.handover))


def test_the_patient_takes_the_second_best_and_gets_it(line: Line, rx_id: str) -> None:
    shown = asked(line, rx_id)
    best, other = at(shown, "ankang"), at(shown, "baicao")
    assert shown.offering.options[0] == best
    assert best.score > other.score
    assert filled(line, rx_id) == [], "nobody has an order before the patient has chosen"
    assert choose(line, rx_id, other.key) is Verdict.TAKEN
    line.hop(rx_id)
    assert line.status(rx_id) is Status.FULFILLING
    assert filled(line, rx_id) == [("baicao", {1: 28, 2: 28})]
    assert newest_of(line, rx_id).state is RoundState.TAKEN
    (chose,) = events(line, rx_id, Event.PATIENT_CHOSE)
    assert (chose["stores"], chose["total_fen"]) == (["baicao/BC07"], other.total)
    with line.city.db.reading() as session:
        actor = session.scalar(sa.select(HistoryRow.actor).where(HistoryRow.reason == Event.PATIENT_CHOSE))
        entries = access_log.search(session, person=PATIENT)
    assert actor == PATIENT
    assert [(entry.kind, entry.capability) for entry in entries] == [("act", "choose_pharmacy")]
    assert not events(line, rx_id, Event.STORE_CHOSEN), "it did not rank first"


def test_each_option_says_what_the_person_would_pay_as_the_claim_will_forecast_it(line: Line, rx_id: str) -> None:
    shown = asked(line, rx_id)
    option = at(shown, "baicao")
    assert option.estimate is not None
    assert option.estimate.fund + option.estimate.account + option.estimate.cash == option.total
    choose(line, rx_id, option.key)
    line.hop(rx_id)
    claimed = line.claim(rx_id)
    assert claimed is not None
    forecast = claimed.forecast
    assert (option.estimate.fund, option.estimate.account, option.estimate.cash) == (
        forecast.fund, forecast.account + forecast.family, forecast.cash)


def test_who_does_not_choose_gets_the_best_when_the_time_is_over(line: Line, rx_id: str) -> None:
    asked(line, rx_id)
    line.clock.advance(minutes=29)
    line.hop(rx_id)
    assert filled(line, rx_id) == []
    assert line.due() == []
    line.clock.advance(minutes=1)
    assert line.due() == [rx_id]
    line.hop(rx_id)
    assert [chain for chain, _ in filled(line, rx_id)] == ["ankang"]
    assert len(events(line, rx_id, Event.CHOICE_LAPSED)) == 1
    assert choose(line, rx_id, "1-2") is Verdict.LATE


def test_who_let_the_time_pass_is_asked_no_more_when_the_pharmacy_lets_it_go(line: Line, rx_id: str) -> None:
    asked(line, rx_id)
    line.clock.advance(minutes=31)
    line.hop(rx_id)
    line.say(rx_id, ChainWord.DECLINED, reason="out_of_stock")
    line.hop(rx_id)
    assert [chain for chain, _ in filled(line, rx_id)] == ["ankang", "baicao"]


def test_where_the_city_says_so_it_waits_for_the_patient_until_its_validity_ends(line: Line, rx_id: str) -> None:
    policy(line, best_unless_chosen=False)
    asked(line, rx_id)
    line.clock.advance(hours=20)
    line.hop(rx_id)
    assert filled(line, rx_id) == []
    line.clock.advance(days=3)
    line.hop(rx_id)
    assert line.status(rx_id) is Status.EXPIRED


def test_only_those_who_asked_for_it_wait_where_the_city_says_so(line: Line) -> None:
    policy(line, choosers=Choosers.WHO_ASKS)
    silent, asks = admit(line.city, 2)
    for rx in (silent, asks):
        line.hop(rx)
    assert choosing.wish_to_choose(line.city, asks, by=PATIENT)
    assert choosing.wish_to_choose(line.city, asks, by=PATIENT)
    for rx in (silent, asks):
        line.review(rx)
        line.hop(rx)
    assert line.status(silent) is Status.FULFILLING
    assert line.row(asks).waiting_for == Wait.CHOICE
    assert len(events(line, asks, Event.CHOICE_WISHED)) == 1
    with line.city.db.reading() as session:
        (wish,) = wishes.of(session, asks)
    assert (wish.kind, wish.by, wish.answer) == (WishKind.CHOOSE, PATIENT, WishAnswer.GRANTED)
    assert not choosing.wish_to_choose(line.city, silent, by=PATIENT), "a pharmacy has it"


def test_the_same_choice_a_hundred_times_is_one_and_another_one_is_told_so(line: Line, rx_id: str) -> None:
    shown = asked(line, rx_id)
    mine, other = at(shown, "baicao").key, at(shown, "ankang").key
    assert [choose(line, rx_id, mine) for _ in range(100)] == [Verdict.TAKEN, *[Verdict.REPEATED] * 99]
    assert choose(line, rx_id, other) is Verdict.OTHERWISE
    line.hop(rx_id)
    assert choose(line, rx_id, mine) is Verdict.REPEATED
    assert choose(line, rx_id, other) is Verdict.OTHERWISE
    assert len(events(line, rx_id, Event.PATIENT_CHOSE)) == 1


def test_of_two_choices_at_once_one_counts_and_the_other_is_told(line: Line, rx_id: str) -> None:
    shown = asked(line, rx_id)
    keys = [at(shown, "baicao").key, at(shown, "ankang").key]

    async def both() -> list[Verdict]:
        return list(await asyncio.gather(*(asyncio.to_thread(choose, line, rx_id, key) for key in keys)))

    verdicts = asyncio.run(both())
    assert sorted(verdicts) == [Verdict.OTHERWISE, Verdict.TAKEN]
    assert newest_of(line, rx_id).chosen == keys[verdicts.index(Verdict.TAKEN)]
    assert len(events(line, rx_id, Event.PATIENT_CHOSE)) == 1


def dearer(line: Line) -> None:
    line.chain("baicao").prices = {"D032": Decimal("0.31")}


def sold_out(line: Line) -> None:
    stock(line, baicao={"D032": 5})


def silent(line: Line) -> None:
    line.chain("baicao").silent = True


@pytest.mark.parametrize(("change", "because"), [
    (dearer, Because.PRICE_RISEN), (sold_out, Because.SOLD_OUT), (silent, Because.SILENT)])
def test_where_the_terms_have_changed_nothing_is_ordered_and_the_patient_is_asked_anew(
        line: Line, rx_id: str, change: Callable[[Line], None], because: Because) -> None:
    shown = asked(line, rx_id)
    option = at(shown, "baicao")
    choose(line, rx_id, option.key)
    change(line)
    again = asked(line, rx_id)
    assert filled(line, rx_id) == []
    assert (again.number, again.offering.because, again.offering.chosen_before) == (2, because, "baicao/BC07")
    if because is Because.PRICE_RISEN:
        assert again.offering.price_was == option.total
        assert again.offering.price_is == option.total + 28
    assert choose(line, rx_id, option.key) is Verdict.OUTDATED
    assert choose(line, rx_id, at(again, "ankang").key) is Verdict.TAKEN
    line.hop(rx_id)
    assert [chain for chain, _ in filled(line, rx_id)] == ["ankang"]


def test_a_price_that_has_fallen_is_no_question(line: Line, rx_id: str) -> None:
    shown = asked(line, rx_id)
    choose(line, rx_id, at(shown, "baicao").key)
    line.chain("baicao").prices = {"D032": Decimal("0.10")}
    line.hop(rx_id)
    assert line.order(rx_id).order.total < at(shown, "baicao").total


@pytest.mark.parametrize("when", ["hold", "later"])
def test_a_chosen_pharmacy_that_lets_it_go_is_said_and_the_patient_is_asked_anew(line: Line, rx_id: str, when: str) -> None:
    shown = asked(line, rx_id)
    choose(line, rx_id, at(shown, "baicao").key)
    if when == "hold":
        line.chain("baicao").refuse_next("out_of_stock", "hold")
    else:
        line.hop(rx_id)
        line.say(rx_id, ChainWord.DECLINED, reason="out_of_stock")
    again = asked(line, rx_id)
    assert (again.offering.because, again.offering.chosen_before) == (Because.DECLINED, "baicao/BC07")
    assert {share.chain for option in again.offering.options for share in option.shares} == {"ankang"}


def test_two_pharmacies_that_share_it_are_one_choice_of_two_orders(line: Line, rx_id: str) -> None:
    stock(line, ankang={"D048": 0}, baicao={"D032": 0})
    shown = asked(line, rx_id)
    pair = next(option for option in shown.offering.options if option.way is Way.SPLIT)
    assert choose(line, rx_id, pair.key) is Verdict.TAKEN
    line.hop(rx_id)
    assert sorted(filled(line, rx_id)) == [("ankang", {1: 28}), ("baicao", {2: 28})]
    assert newest_of(line, rx_id).state is RoundState.TAKEN
    assert len(events(line, rx_id, Event.CHOICE_OFFERED)) == 1


def test_a_part_now_is_a_choice_and_the_rest_follows_without_another_question(line: Line, rx_id: str) -> None:
    stock(line, ankang={"D032": 14, "D048": 28}, baicao={"D032": 0, "D048": 0})
    shown = asked(line, rx_id)
    (part,) = [option for option in shown.offering.options if option.handover is Handover.HOME]
    assert (part.way, [(owed.line, owed.quantity) for owed in part.owed]) == (Way.PART, [(1, 14)])
    assert shown.offering.may_wait
    choose(line, rx_id, part.key)
    line.hop(rx_id)
    line.say(rx_id, ChainWord.ACCEPTED)
    stock(line, baicao={"D032": 100})
    line.clock.advance(minutes=11)
    line.hop(rx_id)
    assert filled(line, rx_id) == [("ankang", {1: 14, 2: 28}), ("baicao", {1: 14})]
    assert len(events(line, rx_id, Event.CHOICE_OFFERED)) == 1


def test_who_waits_for_all_of_it_is_asked_again_when_a_pharmacy_has_it_and_may_change_their_mind(line: Line, rx_id: str) -> None:
    stock(line, ankang={"D032": 14}, baicao={"D032": 0})
    shown = asked(line, rx_id)
    assert choose(line, rx_id, "1-wait") is Verdict.TAKEN
    line.hop(rx_id)
    assert line.row(rx_id).waiting_for == Wait.FILLER
    line.clock.advance(minutes=11)
    line.hop(rx_id)
    assert filled(line, rx_id) == []
    stock(line, baicao={})
    line.clock.advance(minutes=11)
    again = asked(line, rx_id)
    assert again.offering.because is Because.ARRIVED
    assert choose(line, rx_id, shown.offering.options[0].key) is Verdict.OUTDATED


def test_who_waits_may_take_a_part_after_all(line: Line, rx_id: str) -> None:
    stock(line, ankang={"D032": 14}, baicao={"D032": 0})
    shown = asked(line, rx_id)
    choose(line, rx_id, "1-wait")
    line.hop(rx_id)
    assert choose(line, rx_id, shown.offering.options[0].key) is Verdict.TAKEN
    line.hop(rx_id)
    assert filled(line, rx_id)


def test_another_way_of_getting_it_is_a_wish_of_the_patient_and_the_orders(line: Line, rx_id: str) -> None:
    shown = asked(line, rx_id)
    assert {option.handover for option in shown.offering.options} == {Handover.PICKUP, Handover.HOME}
    choose(line, rx_id, at(shown, "baicao", Handover.PICKUP).key)
    line.hop(rx_id)
    order = line.order(rx_id).order
    assert order.handover is Handover.PICKUP
    assert order.pickup_code_sha256
    with line.city.db.reading() as session:
        (wish,) = wishes.of(session, rx_id)
    assert (wish.kind, wish.by, wish.reason, wish.answer) == (WishKind.HANDOVER, PATIENT, "pickup", WishAnswer.GRANTED)
    line.say(rx_id, ChainWord.HANDED_OVER)
    line.hop(rx_id)
    assert line.status(rx_id) is Status.SETTLED


def test_where_there_is_no_address_only_collecting_is_offered(line: Line) -> None:
    (rx,) = admit(line.city)
    line.hop(rx)
    line.review(rx)
    person = json.loads(line.city.cipher.open(line.row(rx).patient_sealed, f"patient/{rx}"))
    sealed = line.city.cipher.seal(json.dumps(person | {"address": ""}), f"patient/{rx}")
    with line.city.db.transaction() as session:
        session.execute(sa.update(PrescriptionRow).where(PrescriptionRow.id == rx).values(patient_sealed=sealed))
    assert {option.handover for option in asked(line, rx).offering.options} == {Handover.PICKUP}


def test_a_patient_may_cancel_instead_of_choosing(line: Line, rx_id: str) -> None:
    shown = asked(line, rx_id)
    tracking.cancel(line.city, rx_id)
    assert choose(line, rx_id, shown.offering.options[0].key) is Verdict.LATE
    line.hop(rx_id)
    assert line.status(rx_id) is Status.CANCELLED


def test_where_the_citys_time_is_nought_nobody_is_asked_and_nothing_more_is_read(line: Line, rx_id: str) -> None:
    policy(line, choose_within=line.city.policy.choose_within * 0)
    statements: list[str] = []
    for engine in (line.city.db._reading, line.city.db._writing):
        sa.event.listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    line.hop(rx_id)
    assert line.status(rx_id) is Status.FULFILLING
    assert statements
    assert not [statement for statement in statements if "choice" in statement or "FROM wish" in statement]
    assert choose(line, rx_id, "1-1") is Verdict.NOT_ASKED
    with line.city.db.reading() as session:
        assert history.details(session, rx_id, Event.CHOICE_OFFERED) == []

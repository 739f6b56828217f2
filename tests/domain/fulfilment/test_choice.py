"""What a patient is offered, what becomes of their choice, and what is owed next."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from domain.chains import OrderLine, Quote
from domain.fulfilment.allocation import Way, alternatives, at_store
from domain.fulfilment.choice import (
    Because,
    Offering,
    Option,
    Round,
    RoundState,
    Step,
    Verdict,
    asked_until,
    is_asked,
    is_last,
    judge,
    may_choose,
    next_step,
    options,
    share_to_order,
    why_not,
)
from domain.fulfilment.portions import Portion
from domain.fulfilment.ranking import Ranked, rank
from domain.money import line_amount
from domain.policy import Choosers
from domain.premises import Handling
from domain.prescription import Handover
from infra.cities import load_policy

NOW = datetime(2026, 11, 22, 1, tzinfo=UTC)
POLICY = replace(load_policy("jinan"), choose_within=timedelta(minutes=30), choosers=Choosers.EVERYBODY, best_unless_chosen=True)
CEILINGS = {"A": Decimal(9), "B": Decimal(9)}
WANTED = [OrderLine(1, "A", Decimal(28), "片"), OrderLine(2, "B", Decimal(30), "片")]
ALL = (Portion(1, Decimal(28)), Portion(2, Decimal(30)))
LEAST = {1: Decimal(7), 2: Decimal(7)}


def quote(store: str, minutes: int = 10, price: str = "1.00", **has: int) -> Quote:
    """A store with so much of each drug."""
    lines = tuple(replace(line, quantity=Decimal(has[line.drug]), unit_price=Decimal(price),
                          amount=line_amount(Decimal(price), Decimal(has[line.drug]))) for line in WANTED if has.get(line.drug))
    return Quote("ankang", store, lines, minutes, Decimal(0), Decimal(1), Decimal(1), True)


def ranked(*quotes: Quote) -> list[Ranked]:
    return rank(quotes, WANTED, POLICY, CEILINGS, {}, Handling(Handover.PICKUP))


def offered(*quotes: Quote, parcels: int = 2) -> list[Option]:
    return options(1, {Handover.PICKUP: alternatives(ranked(*quotes), WANTED, parcels=parcels, least=LEAST)})


def named(option: Option) -> tuple[str, str]:
    return option.way.value, "+".join(share.store for share in option.shares)


def test_every_pharmacy_that_has_all_of_it_is_offered_the_best_score_first_and_none_for_its_price() -> None:
    shown = offered(quote("near", 5, "2.00", A=28, B=30), quote("dear", 50, "8.00", A=28, B=30),
                    quote("cheap", 55, "0.10", A=28, B=30), quote("half", 1, "0.10", A=28))
    assert {named(option) for option in shown} == {("whole", "near"), ("whole", "dear"), ("whole", "cheap")}
    assert [option.score for option in shown] == sorted((option.score for option in shown), reverse=True)
    assert [option.key for option in shown] == ["1-1", "1-2", "1-3"]


def test_where_nobody_has_all_of_it_shares_and_parts_are_offered_and_the_cheapest_pair_is_among_them() -> None:
    shown = offered(*(quote(f"a{number}", number, "2.00", A=28) for number in range(4)),
                    *(quote(f"b{number}", number, "2.00", B=30) for number in range(3)), quote("far", 60, "0.01", B=30))
    pairs = [option for option in shown if option.way is Way.SPLIT]
    assert len(pairs) == 6
    assert any("far" in named(option)[1] for option in pairs), "the cheapest is not hidden, however far it is"
    part = next(option for option in shown if named(option) == ("part", "a0"))
    assert part.owed == (Portion(2, Decimal(30)),)


def test_a_part_that_is_not_worth_a_way_is_not_offered_nor_a_second_parcel_beyond_the_citys_number() -> None:
    assert offered(quote("little", A=6)) == []
    assert [named(option) for option in offered(quote("some", A=14))] == [("part", "some")]
    assert offered(quote("a", A=28), quote("b", B=30), parcels=1) == []


def test_both_ways_of_handing_over_are_options_of_their_own() -> None:
    ways = {Handover.PICKUP: alternatives(ranked(quote("s", 10, A=28, B=30)), WANTED, parcels=2, least=LEAST),
            Handover.HOME: alternatives(ranked(quote("s", 40, A=28, B=30), quote("half", 1, A=28)), WANTED, parcels=2, least=LEAST)}
    assert [(option.handover, named(option)) for option in options(3, ways)] == [
        (Handover.PICKUP, ("whole", "s")), (Handover.HOME, ("whole", "s"))]


def a_round(state: RoundState = RoundState.OPEN, chosen: str = "", *, wait: bool = False,
            shown: list[Option] | None = None) -> Round:
    shown = offered(quote("x", 5, A=28, B=30), quote("y", 9, A=28, B=30)) if shown is None else shown
    shown = [replace(option, key=option.key.replace("1-", "2-")) for option in shown]
    return Round(2, Offering(tuple(shown), may_wait=wait), NOW, NOW + timedelta(minutes=30), state, chosen)


PART = offered(quote("some", A=14, B=30))
LATER = NOW + timedelta(minutes=31)
REST = (Portion(1, Decimal(14)),)


@pytest.mark.parametrize(("newest", "wanted", "at", "best", "step"), [
    (None, ALL, NOW, True, Step.OFFER),
    (a_round(), ALL, NOW, True, Step.AWAIT),
    (a_round(), ALL, LATER, True, Step.LAPSE),
    (a_round(), ALL, LATER, False, Step.AWAIT),
    (a_round(RoundState.CHOSEN, "2-2"), ALL, LATER, True, Step.ORDER),
    (a_round(RoundState.CHOSEN, "2-wait", wait=True), ALL, LATER, True, Step.SHORT),
    (a_round(RoundState.TAKEN, "2-2"), ALL, NOW, True, Step.OFFER),
    (a_round(RoundState.TAKEN, "2-1", shown=PART), REST, NOW, True, Step.BEST),
    (a_round(RoundState.TAKEN, "2-1", shown=PART), ALL, NOW, True, Step.OFFER),
    (a_round(RoundState.LAPSED), ALL, NOW, True, Step.BEST),
])
def test_what_is_owed_follows_from_the_last_time_they_were_asked(newest, wanted, at, best, step) -> None:
    assert next_step(replace(POLICY, best_unless_chosen=best), newest, wanted, at) is step


@pytest.mark.parametrize(("minutes", "choosers", "wished", "asked"), [
    (0, Choosers.EVERYBODY, False, False), (0, Choosers.WHO_ASKS, True, False), (30, Choosers.EVERYBODY, False, True),
    (30, Choosers.WHO_ASKS, False, False), (30, Choosers.WHO_ASKS, True, True),
])
def test_who_is_asked_is_the_citys_decision_and_the_patients(minutes, choosers, wished, asked) -> None:
    assert is_asked(replace(POLICY, choose_within=timedelta(minutes=minutes), choosers=choosers), wished) is asked


def test_a_round_is_open_for_the_citys_time_or_until_the_validity_ends() -> None:
    tomorrow, soon = NOW + timedelta(days=1), NOW + timedelta(minutes=5)
    assert asked_until(POLICY, NOW, tomorrow) == NOW + timedelta(minutes=30)
    assert asked_until(POLICY, NOW, soon) == soon
    assert asked_until(replace(POLICY, best_unless_chosen=False), NOW, tomorrow) == tomorrow


@pytest.mark.parametrize(("newest", "key", "looks", "verdict"), [
    (None, "1-1", True, Verdict.NOT_ASKED),
    (None, "1-1", False, Verdict.LATE),
    (a_round(), "2-2", True, Verdict.TAKEN),
    (a_round(), "2-2", False, Verdict.LATE),
    (a_round(), "1-2", True, Verdict.OUTDATED),
    (a_round(), "2-9", True, Verdict.UNKNOWN),
    (a_round(), "3-1", True, Verdict.UNKNOWN),
    (a_round(), "", True, Verdict.UNKNOWN),
    (a_round(), "²-1", True, Verdict.UNKNOWN),
    (a_round(), "9" * 5000 + "-1", True, Verdict.UNKNOWN),
    (a_round(), "0-1", True, Verdict.UNKNOWN),
    (a_round(), "1-x", True, Verdict.UNKNOWN),
    (a_round(), "2-2\n", True, Verdict.UNKNOWN),
    (a_round(RoundState.CHOSEN, "2-1"), "2-1", False, Verdict.LATE),
    (a_round(RoundState.CHOSEN, "2-wait", wait=True), "2-wait", False, Verdict.LATE),
    (a_round(), "2-wait", True, Verdict.UNKNOWN),
    (a_round(wait=True), "2-wait", True, Verdict.TAKEN),
    (a_round(RoundState.CHOSEN, "2-1"), "2-1", True, Verdict.REPEATED),
    (a_round(RoundState.CHOSEN, "2-1"), "2-2", True, Verdict.OTHERWISE),
    (a_round(RoundState.CHOSEN, "2-wait", wait=True), "2-2", True, Verdict.TAKEN),
    (a_round(RoundState.TAKEN, "2-1"), "2-1", False, Verdict.REPEATED),
    (a_round(RoundState.TAKEN, "2-1"), "2-2", True, Verdict.OTHERWISE),
    (a_round(RoundState.LAPSED), "2-1", True, Verdict.LATE),
])
def test_what_becomes_of_a_choice(newest, key, looks, verdict) -> None:
    assert judge(newest, key, looks=looks) is verdict


@pytest.mark.parametrize(("newest", "looks", "open_"), [
    (None, True, False), (a_round(), True, True), (a_round(), False, False), (a_round(RoundState.CHOSEN, "2-1"), True, False),
    (a_round(RoundState.CHOSEN, "2-wait", wait=True), True, True), (a_round(RoundState.TAKEN, "2-1"), True, False),
])
def test_whether_an_option_can_be_chosen(newest, looks, open_) -> None:
    assert may_choose(newest, looks=looks) is open_


def test_two_shares_are_ordered_one_after_the_other() -> None:
    (pair, *_) = offered(quote("a", A=28), quote("b", B=30))
    first = share_to_order(pair, ALL)
    assert first is not None
    assert not is_last(pair, first, ALL)
    rest = tuple(portion for portion in ALL if portion.line not in {line.line for line in first.lines})
    second = share_to_order(pair, rest)
    assert second is not None
    assert second != first
    assert is_last(pair, second, rest)
    assert share_to_order(pair, ()) is None


def other_product() -> Quote:
    """The chosen pharmacy, with another product of the first line."""
    whole = quote("x", 5, "1.00", A=28, B=30)
    return replace(whole, lines=(replace(whole.lines[0], drug="B", instead_of="A"), *whole.lines[1:]))


SHARE = offered(quote("x", 5, "1.00", A=28, B=30))[0].shares[0]


@pytest.mark.parametrize(("now", "silent", "because"), [
    (quote("x", 5, "1.00", A=28, B=30), False, None),
    (quote("x", 5, "0.90", A=28, B=30), False, None),
    (quote("x", 5, "1.01", A=28, B=30), False, Because.PRICE_RISEN),
    (quote("x", 5, "1.00", A=28, B=29), False, Because.SOLD_OUT),
    (replace(quote("x", 5, A=28, B=30), open=False), False, Because.NOT_OPEN),
    (replace(quote("x", 5, A=28, B=30), load=Decimal(1)), False, Because.UNABLE),
    (other_product(), False, Because.OTHER_PRODUCT),
    (None, False, Because.SOLD_OUT),
    (None, True, Because.SILENT),
])
def test_a_chosen_pharmacy_gets_the_order_on_the_terms_that_were_seen_or_not_at_all(now, silent, because) -> None:
    store = ranked(now)[0] if now else None
    order = at_store(store, SHARE.lines, WANTED, Way.WHOLE) if store else None
    assert why_not(SHARE, store, order.lines if order else None, silent) is because

"""Who is asked first, who is not asked, and whether the reasons say so."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.chains import OrderLine, Quote
from domain.fulfilment.ranking import REASONS, TERM_WORDS, WEIGHTS, rank, summands
from domain.money import Fen
from domain.premises import Handling, Premises
from domain.prescription import Handover
from tests.support.factories import CITY

WANTED = [OrderLine(1, "D001", Decimal(60), "片"), OrderLine(2, "D010", Decimal(90), "片")]
CEILINGS = {"D001": Decimal("1.00"), "D010": Decimal("60") / 90}


def quote(store: str, minutes: int = 10, total: int = 10000, load: str = "0.5", on_time: str = "0.9",
          quality: str = "0.9", lines: int = 2, **changes: Any) -> Quote:
    """A store's quote; its total is spread over its lines, below their ceilings."""
    first = total // 2
    offered = (OrderLine(1, "D001", Decimal(60), "片", Decimal(first) / 6000, Fen(first)),
               OrderLine(2, "D010", Decimal(90), "片", Decimal(total - first) / 9000, Fen(total - first)))
    if lines == 1:
        offered = (replace(offered[0], amount=Fen(total)),)
    made = Quote("ankang", store, offered, minutes, Decimal(load), Decimal(on_time), Decimal(quality), True)
    return replace(made, **changes)


A = quote("A", 10, 10000, "0.80", "0.96", "0.98")
B = quote("B", 25, 9600, "0.20", "0.93", "0.97")
C = quote("C", 50, 9000, "0.10", "0.99", "0.99", lines=1)
PLAIN = Handling(Handover.PICKUP)
SHARES = {"ankang/A": Decimal("0.55"), "ankang/B": Decimal("0.20"), "ankang/C": Decimal("0.05")}


def test_the_worked_example_of_the_rules_comes_out_to_two_decimals() -> None:
    ranked = rank([A, B, C], WANTED, CITY, CEILINGS, SHARES, PLAIN)
    assert [(one.quote.store, str(one.score), one.eligible) for one in ranked] == [
        ("B", "69.12", True), ("A", "63.11", True), ("C", "55.29", False)]


def test_what_a_score_is_made_of_is_said_of_each_candidate_in_both_languages() -> None:
    for one in rank([A, B, C], WANTED, CITY, CEILINGS, SHARES, PLAIN):
        parts = summands(one.explained())
        assert [part.words for part in parts] == [TERM_WORDS[name] for name in sorted(WEIGHTS, key=lambda name: -WEIGHTS[name])]
        assert sum(int(part.percent) for part in parts) == 100
        assert abs(sum(Decimal(part.points) for part in parts) - one.score) <= Decimal("0.04"), "to the rounding of each"
    assert (parts[0].percent, parts[0].value, parts[0].points) == ("25", "0.17", "4.17")
    assert summands({"of_another_release": ("1", "0.5")})[0].words == ("of_another_release", "of_another_release")


def test_weights_add_up_and_every_term_has_words() -> None:
    assert sum(WEIGHTS.values()) == 1
    assert set(WEIGHTS) == set(TERM_WORDS) == set(rank([A], WANTED, CITY, CEILINGS, {}, PLAIN)[0].terms)


@pytest.mark.parametrize(("refused", "reason"), [
    (replace(B, open=False), "closed"),
    (replace(B, delivers=False), "no_handover"),
    (replace(B, lines=B.lines[:1]), "incomplete"),
    (replace(B, lines=(replace(B.lines[0], quantity=Decimal(59)), B.lines[1])), "incomplete"),
    (replace(B, lines=(replace(B.lines[0], unit_price=Decimal("1.0001")), B.lines[1])), "price_over"),
    (replace(B, lines=(replace(B.lines[0], amount=Fen(6001)), B.lines[1])), "price_over"),
    (replace(B, load=Decimal(1)), "full"),
    (replace(B, chain="baicao", store="BC07"), "excluded"),
])
def test_a_store_that_may_not_be_asked_comes_last_and_is_told_why(refused: Quote, reason: str) -> None:
    ranked = rank([refused, A], WANTED, CITY, CEILINGS, SHARES, PLAIN, frozenset({("baicao", "BC07")}))
    assert [one.eligible for one in ranked] == [True, False]
    assert ranked[1].reason == reason
    assert REASONS[reason][0] in ranked[1].why
    assert REASONS[reason][1] in ranked[1].why_en


def test_a_price_at_the_ceiling_is_allowed() -> None:
    at_ceiling = (replace(B.lines[0], unit_price=Decimal("1.00"), amount=Fen(6000)), B.lines[1])
    assert rank([replace(B, lines=at_ceiling)], WANTED, CITY, CEILINGS, {}, PLAIN)[0].eligible


def test_a_drug_without_a_ceiling_is_not_bought() -> None:
    assert rank([A], WANTED, CITY, {"D001": Decimal(1)}, {}, PLAIN)[0].reason == "no_ceiling"


ALL, NOTHING = Premises(dual_channel=True, cold_storage=True, cold_delivery=True), Premises(
    dual_channel=False, cold_storage=False, cold_delivery=False)
INSULIN, AGREED = {"cold": frozenset({"D010"})}, {"agreed": frozenset({"D010"})}


@pytest.mark.parametrize(("needs", "handover", "premises", "reason"), [
    (INSULIN, Handover.PICKUP, ALL, ""),
    (INSULIN, Handover.PICKUP, replace(NOTHING, cold_storage=True), ""),
    (INSULIN, Handover.PICKUP, replace(ALL, cold_storage=False), "no_cold_chain"),
    (INSULIN, Handover.HOME, ALL, ""),
    (INSULIN, Handover.HOME, replace(ALL, cold_delivery=False), "no_cold_chain"),
    (INSULIN, Handover.HOME, replace(ALL, cold_storage=False), "no_cold_chain"),
    (AGREED, Handover.PICKUP, replace(NOTHING, dual_channel=True), ""),
    (AGREED, Handover.HOME, replace(ALL, dual_channel=False), "not_dual_channel"),
    (INSULIN | AGREED, Handover.PICKUP, NOTHING, "not_dual_channel"),
    (INSULIN, Handover.PICKUP, None, "no_cold_chain"),
    (AGREED, Handover.PICKUP, None, "not_dual_channel"),
    ({}, Handover.HOME, None, ""),
])
def test_premises_dispense_only_what_they_are_designated_and_equipped_for(
        needs: dict[str, frozenset[str]], handover: Handover, premises: Premises | None, reason: str) -> None:
    city = replace(CITY, premises={"ankang/A": premises} if premises else {})
    (only,) = rank([A], WANTED, city, CEILINGS, {}, Handling(handover, **needs))
    assert (only.reason, only.may_be_asked) == (reason, True)
    assert [line.drug for line in only.quote.lines] == (["D001"] if reason else ["D001", "D010"])


def test_nothing_wanted_is_nothing_to_fill() -> None:
    assert not rank([A], [], CITY, CEILINGS, {}, PLAIN)[0].eligible


def test_only_the_store_that_declined_is_left_out_not_its_chain() -> None:
    ranked = rank([A, B], WANTED, CITY, CEILINGS, {}, PLAIN, frozenset({("ankang", "A")}))
    assert [(one.quote.store, one.reason) for one in ranked] == [("B", ""), ("A", "excluded")]


def test_a_store_above_its_fair_share_gets_nothing_for_fairness() -> None:
    terms = {one.quote.store: one.terms["fair"] for one in rank([A, B, C], WANTED, CITY, CEILINGS, SHARES, PLAIN)}
    assert terms == {"A": 0, "B": Decimal("0.5"), "C": Decimal("0.875")}


def test_the_winner_says_in_words_what_made_it_win() -> None:
    best = rank([A, B], WANTED, CITY, CEILINGS, SHARES, PLAIN)[0]
    assert "69.12" in best.why
    assert "空闲" not in best.why
    assert "药品齐全" in best.why
    assert "fills every line" in best.why_en
    assert "96.00" in best.why_en


def test_a_tie_goes_to_another_store_for_another_prescription() -> None:
    twins = [quote("X"), quote("Y")]
    winners = {rank(twins, WANTED, CITY, CEILINGS, {}, PLAIN, key=f"rx_{number}")[0].quote.store for number in range(20)}
    assert winners == {"X", "Y"}


QUOTES = st.lists(st.builds(
    quote, store=st.text("ABC", min_size=1, max_size=2), minutes=st.integers(0, 200), total=st.integers(1, 15000),
    load=st.sampled_from(["0", "0.5", "1", "1.5"]), on_time=st.sampled_from(["0", "0.9", "1"]),
    lines=st.sampled_from([1, 2]), open=st.booleans(), delivers=st.booleans()), max_size=6,
    unique_by=lambda one: one.store)


@settings(deadline=None)
@given(quotes=QUOTES, key=st.text(max_size=5))
def test_the_order_of_the_answers_never_matters(quotes: list[Quote], key: str) -> None:
    there = rank(quotes, WANTED, CITY, CEILINGS, SHARES, PLAIN, key=key)
    assert there == rank(quotes[::-1], WANTED, CITY, CEILINGS, SHARES, PLAIN, key=key)
    assert len(there) == len(quotes)
    assert all(0 <= one.score <= 100 for one in there)
    assert sorted((one.eligible for one in there), reverse=True) == [one.eligible for one in there]


@settings(max_examples=200)
@given(minutes=st.integers(0, 80), load=st.integers(0, 99), on_time=st.integers(0, 100), quality=st.integers(0, 100),
       total=st.integers(200, 11000))
def test_no_sentence_praises_and_blames_the_same(minutes: int, load: int, on_time: int, quality: int, total: int) -> None:
    asked = quote("A", minutes, total, f"{load / 100}", f"{on_time / 100}", f"{quality / 100}")
    (only,) = rank([asked], WANTED, CITY, CEILINGS, {}, PLAIN)
    for language, sentence in enumerate((only.why, only.why_en)):
        assert not [words for words in TERM_WORDS.values() if sentence.count(words[language]) > 1]
    for name, (word, _) in TERM_WORDS.items():
        if only.eligible and only.terms[name] == 1:
            assert f"失分最多的是{word}" not in only.why

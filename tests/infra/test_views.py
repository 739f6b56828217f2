"""What people look at is read right, on both databases."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from domain.chains import ChainWord
from domain.lifecycle import Status
from domain.troubles import TROUBLES
from infra.db import history, prescriptions, views
from infra.db.effects import Effect, intend
from infra.db.views import books
from tasks.city import City
from tasks.line import RED_AFTER, hop
from tasks.settlement.reconciliation import reconcile_day
from tests.support.city import Clock, admit, make_city, pass_review, say


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def city(tmp_path: Path, database_url: str, clock: Clock) -> Iterator[City]:
    made = make_city(tmp_path, database_url, now=clock)
    yield made
    made.db.close()


def board(city: City) -> views.Board:
    with city.db.reading() as session:
        return views.board(session, city.now(), city.policy)


def kinds(city: City) -> dict[str, int]:
    return {concern.kind: concern.count for concern in board(city).concerns}


def drive(city: City, *ids: str) -> None:
    for rx_id in ids:
        asyncio.run(hop(city, rx_id))


def deliver(city: City, rx_id: str) -> None:
    drive(city, rx_id)
    pass_review(city, rx_id)
    drive(city, rx_id)
    say(city, rx_id, ChainWord.ACCEPTED)
    say(city, rx_id, ChainWord.HANDED_OVER)
    drive(city, rx_id)


def test_the_words_of_the_board_are_those_of_the_line() -> None:
    assert views.LASTING == RED_AFTER


def test_the_board_knows_who_must_act(city: City) -> None:
    waiting, _ = admit(city, 2)
    drive(city, waiting)

    seen = board(city)

    assert seen.owners == {"platform": 1, "pharmacist": 1, "pharmacy": 0, "patient": 0}
    assert seen.open == 2
    assert {line.status: line.count for line in seen.statuses if line.count} == {
        Status.RECEIVED: 1, Status.IN_REVIEW: 1}


def test_a_wait_is_no_concern_before_its_time(city: City, clock: Clock) -> None:
    drive(city, *admit(city))
    clock.advance(minutes=15)
    assert kinds(city) == {}
    clock.advance(seconds=1)
    assert kinds(city) == {"review_late": 1}


def test_what_nobody_works_on_is_noticed_after_a_minute(city: City, clock: Clock) -> None:
    admit(city, 2)
    clock.advance(seconds=60)
    assert kinds(city) == {}
    clock.advance(seconds=1)
    assert kinds(city) == {"overdue": 2}
    with city.db.transaction() as session:
        prescriptions.lease_due(session, "worker", at=clock(), lease=timedelta(seconds=30), limit=1)
    assert kinds(city) == {"overdue": 1}


def test_a_forgotten_prescription_is_noticed(city: City) -> None:
    rx_id = admit(city)[0]
    with city.db.transaction() as session:
        history.wait(session, prescriptions.load(session, rx_id).head, until=None, waiting_for="")

    assert kinds(city) == {"forgotten": 1}


def test_what_expires_soon_is_worth_watching(city: City, clock: Clock) -> None:
    drive(city, *admit(city))
    clock.advance(hours=22)

    expiring = [concern for concern in board(city).concerns if concern.kind == "expiring"]

    assert [(one.count, one.act) for one in expiring] == [(1, False)]
    assert expiring[0].oldest == datetime(2026, 11, 23, 0, 58, tzinfo=UTC)


def test_a_passing_trouble_needs_a_person_only_when_it_lasts(city: City, clock: Clock) -> None:
    rx_id = admit(city)[0]
    city.payer.silent = True  # type: ignore[attr-defined]
    acts = []
    for _ in range(RED_AFTER):
        drive(city, rx_id)
        clock.advance(seconds=30)
        acts += [concern.act for concern in board(city).concerns if concern.kind.startswith("trouble:")]

    assert acts == [*[False] * (RED_AFTER - 1), True]


@pytest.mark.parametrize("code", sorted(code for code in TROUBLES if ":" in code))
def test_a_code_with_words_of_its_own_is_one_that_is_raised(code: str) -> None:
    raised = f'code="{code.partition(":")[2]}"'
    root = Path(__file__).parents[2]
    assert any(raised in path.read_text(encoding="utf-8")
               for folder in ("tasks", "adapters", "infra") for path in (root / folder).rglob("*.py"))
    assert views.trouble_words(code, 1) != views.trouble_words(code.partition(":")[0], 1)


def test_a_code_without_words_has_those_of_its_class_and_an_unknown_class_those_of_a_fault() -> None:
    assert views.trouble_words("NeedsOperator:http_404", 1) == views.trouble_words("NeedsOperator", 1)
    assert views.trouble_words("ZeroDivisionError", 1) == views.trouble_words("", 1)


def test_an_effect_of_unknown_outcome_is_noticed_after_a_minute(city: City, clock: Clock) -> None:
    rx_id = admit(city)[0]
    drive(city, rx_id)
    with city.db.transaction() as session:
        intend(session, Effect(rx_id, "hold", "ord_1"), partner="ankang", request_sha256="0" * 64, at=clock())
    assert "open_intent" not in kinds(city)
    clock.advance(seconds=61)
    assert kinds(city)["open_intent"] == 1


def test_todays_money_is_what_was_settled_less_what_was_reversed(city: City, clock: Clock) -> None:
    first, second = admit(city, 2)
    deliver(city, first)
    deliver(city, second)
    money = board(city).money
    # The same person's second supply on one day is early, and own expense (B-26).
    assert (money.settlements, money.reversals, money.total, money.fund, money.cash) == (2, 0, 3600, 1440, 2160)

    say(city, second, ChainWord.RETURNED)
    drive(city, second)
    money = board(city).money
    assert (money.reversals, money.total, money.fund, money.cash, money.balance) == (1, 1800, 1440, 360, 0)

    clock.advance(days=1)
    assert board(city).money.total == 0


def test_a_day_the_fund_disagrees_with_needs_somebody_until_it_agrees(city: City) -> None:
    deliver(city, admit(city)[0])
    row = city.payer.book.pop()  # type: ignore[attr-defined]
    asyncio.run(reconcile_day(city))
    assert kinds(city)["day_unmatched"] == 1
    assert kinds(city)["discrepancy:day_total"] == 1

    city.payer.book.append(row)  # type: ignore[attr-defined]
    asyncio.run(reconcile_day(city))
    assert "day_unmatched" not in kinds(city)


def test_lists_go_on_where_they_stopped_even_within_one_second(city: City) -> None:
    ids = set(admit(city, 7))
    seen: list[str] = []
    before = None
    with city.db.reading() as session:
        while page := views.listed(session, list(Status), before, 3):
            seen += [one["id"] for one in page]
            before = (page[-1]["received_at"], page[-1]["id"])

    assert len(seen) == 7
    assert set(seen) == ids
    assert seen == sorted(seen, reverse=True)


def test_a_dossier_keeps_the_pickup_code_to_itself(city: City) -> None:
    rx_id = admit(city)[0]
    deliver(city, rx_id)

    with city.db.reading() as session:
        whole = views.dossier(session, rx_id)

    assert whole
    assert whole.broken is None
    assert [order["status"] for order in whole.orders] == ["handed_over"]
    assert "pickup_code_sha256" not in str(whole)
    assert [posting["sum_fen"] for posting in whole.postings] == [0]


def test_an_unknown_id_has_no_dossier(city: City) -> None:
    with city.db.reading() as session:
        assert views.dossier(session, "rx_unknown") is None
        assert views.history_export(session, "rx_unknown") is None
        assert views.run(session, "unknown") == []


def test_the_nearest_rank_is_a_value_that_was_measured() -> None:
    assert [books._nearest_rank([1.0, 2.0, 3.0, 4.0], percent) for percent in (50, 95)] == [2.0, 4.0]
    assert books._nearest_rank([7.0], 50) == 7.0


def test_a_migrated_database_is_ready(city: City) -> None:
    with city.db.reading() as session:
        assert views.ready(session) == ""

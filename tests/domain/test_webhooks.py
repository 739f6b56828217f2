"""What follows from a failed attempt to tell a chain something."""

import pytest

from domain.webhooks import (
    GONE,
    JITTER,
    LOST,
    PAUSES,
    WEBHOOKS,
    Again,
    GiveUp,
    Stop,
    WebhookType,
    after_failure,
    outcome_words,
    succeeded,
)

HOUR = 3600


@pytest.mark.parametrize(("outcome", "failed_before", "then"), [
    ("http_500", 0, Again(5)),
    ("http_500", 1, Again(300)),
    (LOST, 2, Again(1800)),
    ("not_sent", 3, Again(2 * HOUR)),
    ("denied", 4, Again(5 * HOUR)),
    ("http_400", 5, Again(10 * HOUR)),
    ("http_302", 6, Again(14 * HOUR)),
    ("unanswered", 7, Again(20 * HOUR)),
    ("failed", 8, Again(24 * HOUR)),
    ("http_500", 9, GiveUp()),
    ("http_500", 30, GiveUp()),
    (GONE, 0, Stop()),
    (GONE, 9, Stop()),
])
def test_ten_attempts_then_it_is_given_up_and_410_stops_all(outcome: str, failed_before: int, then: object) -> None:
    assert after_failure(outcome, failed_before, 0.0) == then


def test_ten_attempts_take_seventy_five_hours_and_jitter_only_makes_them_longer() -> None:
    assert (len(PAUSES) + 1, sum(PAUSES)) == (10, 75 * HOUR + 35 * 60 + 5)
    for number, pause in enumerate(PAUSES):
        longest = after_failure("http_500", number, 1.0)
        assert isinstance(longest, Again)
        assert pause < longest.seconds <= pause * (1 + JITTER) + 1e-9


@pytest.mark.parametrize(("status", "has_it"), [(200, True), (204, True), (299, True), (199, False), (302, False), (400, False),
                                                (410, False), (500, False)])
def test_only_2xx_says_that_the_chain_has_it(status: int, has_it: bool) -> None:
    assert succeeded(status) is has_it


def test_every_outcome_has_words() -> None:
    assert outcome_words("http_503").en == "HTTP 503"
    assert outcome_words(GONE).zh == "对方停用该地址（410）"
    assert outcome_words("denied").en.startswith("refused")
    assert WEBHOOKS.keys() == set(WebhookType)

"""What a pharmacist may decide of a prescription, or nobody decides in time."""

from tests.laws.world import World


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


def expired_in_review(city: World) -> None:
    city.to_review()
    city.later(days=4)
    city.work()


REVIEW = (
    refused_by_a_pharmacist,
    woken_too_early_and_sent_back,
    expired_in_review,
)

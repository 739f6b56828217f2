"""What the insurance fund may answer, or not answer."""

from domain.chains import ChainWord
from tests.laws.world import World


def with_a_slow_fund(city: World) -> None:
    city.to_review()
    city.decide()
    city.lease_seconds, city.payer.answers = 0.06, city.passes("lease.renewed")
    city.restart()
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


FUND = (
    with_a_slow_fund,
    the_fund_is_silent,
    the_fund_loses_an_upload,
    the_fund_does_not_take_some_packs,
    everything_is_uploaded_and_comes_back,
    the_fund_refuses_to_settle,
    the_fund_refuses_to_reverse,
    nobody_the_fund_insures,
    approved_by_an_earlier_release_though_nobody_insures_them,
)

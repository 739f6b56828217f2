"""The outside world is changed once, wherever we crash and whatever we do not hear."""

import asyncio
from dataclasses import dataclass, field

import pytest
import sqlalchemy as sa

from domain.chains import ChainWord, Receipt
from domain.errors import NeedsOperator, OutcomeUnknown, Refused, RxError, Transient
from infra.db.effects import Effect
from infra.db.rows import IntentRow
from infra.db.stored import RECEIPT
from tasks.city import City
from tasks.effect import once
from tests.support.city import Plug, SimulatedCrash, admit, make_city

DIES = SimulatedCrash("in the middle of a call")


@dataclass
class Partner:
    """Does what it is sent and remembers it; answers, or fails, as it is told."""

    done: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    before: list[BaseException | None] = field(default_factory=list)
    """What happens on the way there, call by call."""
    after: list[BaseException | None] = field(default_factory=list)
    """What happens on the way back, call by call."""

    async def send(self) -> Receipt:
        self.calls.append("send")
        self._fate(self.before)
        self.done.append("done")
        self._fate(self.after)
        return Receipt(f"receipt {len(self.done)}", ChainWord.HELD)

    async def ask(self) -> Receipt | None:
        self.calls.append("ask")
        self._fate(self.before)
        answer = Receipt(f"receipt {len(self.done)}", ChainWord.HELD) if self.done else None
        self._fate(self.after)
        return answer

    @staticmethod
    def _fate(fates: list[BaseException | None]) -> None:
        if fates and (fate := fates.pop(0)):
            raise fate


@pytest.fixture
def plug():
    return Plug()


@pytest.fixture
def city(tmp_path, plug):
    made = make_city(tmp_path, boundary=plug)
    yield made
    made.db.close()


@pytest.fixture
def effect(city):
    return Effect(admit(city)[0], "place", "ord_1")


def run(city: City, effect: Effect, partner: Partner, request: bytes = b"request") -> str:
    return asyncio.run(once(city, effect, partner="ankang", request=request, answer=RECEIPT,
                            send=partner.send, ask=partner.ask, then=lambda _, receipt: receipt.reference))


def intent(city: City) -> tuple[object, str, bool] | None:
    """Answer, refusal and whether the outcome is known."""
    with city.db.reading() as session:
        row = session.scalars(sa.select(IntentRow)).one_or_none()
    return row and (row.answer, row.refusal, row.answered_at is not None)


def test_what_was_answered_is_never_sent_or_asked_again(city, effect):
    partner = Partner()
    assert [run(city, effect, partner) for _ in range(3)] == ["receipt 1"] * 3
    assert partner.calls == ["send"]


@pytest.mark.parametrize(("boundary", "calls", "later"), [
    (1, [], ["send"]),
    (2, [], ["ask", "send"]),
    (3, ["send"], ["ask"]),
    (4, ["send"], []),
], ids=["before the intent", "after the intent", "before the answer is kept", "after it is kept"])
def test_a_crash_at_any_commit_is_made_good_by_the_next_attempt(city, plug, effect, boundary, calls, later):
    partner = Partner()
    plug.pull_at(boundary)
    with pytest.raises(SimulatedCrash):
        run(city, effect, partner)
    assert partner.calls == calls
    assert run(city, effect, partner) == "receipt 1"
    assert (partner.calls, partner.done) == ([*calls, *later], ["done"])
    assert intent(city) == ({"value": RECEIPT.write(Receipt("receipt 1", ChainWord.HELD))}, "", True)


@pytest.mark.parametrize(("before", "after", "calls"), [
    ([DIES], [], ["send", "ask", "send"]),
    ([], [DIES], ["send", "ask"]),
], ids=["on the way there", "on the way back"])
def test_a_crash_in_the_middle_of_the_call_is_asked_about(city, effect, before, after, calls):
    partner = Partner(before=list(before), after=list(after))
    with pytest.raises(SimulatedCrash):
        run(city, effect, partner)
    assert intent(city) == (None, "", False)
    assert run(city, effect, partner) == "receipt 1"
    assert (partner.calls, partner.done) == (calls, ["done"])


def test_a_crash_while_asking_after_a_crash_is_no_worse(city, effect):
    partner = Partner(after=[DIES, DIES])
    for _ in range(2):
        with pytest.raises(SimulatedCrash):
            run(city, effect, partner)
    assert run(city, effect, partner) == "receipt 1"
    assert (partner.calls, partner.done) == (["send", "ask", "ask"], ["done"])


def test_a_lost_answer_is_asked_for_at_once(city, effect):
    partner = Partner(after=[OutcomeUnknown("lost")])
    assert run(city, effect, partner) == "receipt 1"
    assert (partner.calls, partner.done) == (["send", "ask"], ["done"])


@pytest.mark.parametrize("trouble", [OutcomeUnknown("lost"), Transient("busy"), NeedsOperator("key")])
@pytest.mark.parametrize("arrived", [True, False])
def test_an_unknown_outcome_stays_open_and_the_next_attempt_asks_first(city, effect, trouble, arrived):
    """Whatever stopped us: only an answer closes an intent."""
    lost = [trouble, trouble]
    partner = Partner(after=lost) if arrived else Partner(before=lost)
    with pytest.raises(type(trouble)):
        run(city, effect, partner)
    assert intent(city) == (None, "", False)
    partner.before, partner.after, partner.calls = [], [], []
    assert run(city, effect, partner) == "receipt 1"
    assert partner.calls == (["ask"] if arrived else ["ask", "send"])
    assert partner.done == ["done"]


def test_who_answers_that_it_never_arrived_is_not_believed_in_the_same_breath(city, effect):
    """It may still be on its way: the next attempt asks again before it sends again."""
    partner = Partner(before=[OutcomeUnknown("lost")])
    with pytest.raises(OutcomeUnknown):
        run(city, effect, partner)
    assert (partner.calls, partner.done) == (["send", "ask"], [])
    partner.done.append("arrived late")
    assert run(city, effect, partner) == "receipt 1"
    assert partner.done == ["arrived late"]


def test_a_no_is_kept_and_said_again_without_asking_anybody(city, effect):
    partner = Partner(before=[Refused("no", code="closed")])
    for _ in range(3):
        with pytest.raises(Refused) as caught:
            run(city, effect, partner)
        assert caught.value.code == "closed"
    assert (partner.calls, partner.done) == (["send"], [])
    assert intent(city) == (None, "closed", True)


def test_a_no_that_was_not_written_down_is_heard_again(city, plug, effect):
    partner = Partner(before=[Refused("no", code="closed"), None, Refused("no", code="closed")])
    plug.pull_at(3)
    with pytest.raises(SimulatedCrash):
        run(city, effect, partner)
    with pytest.raises(Refused):
        run(city, effect, partner)
    assert (partner.calls, partner.done) == (["send", "ask", "send"], [])


def test_a_no_to_a_question_is_a_no(city, effect):
    partner = Partner(before=[OutcomeUnknown("lost"), Refused("it has ended", code="hold_expired")])
    with pytest.raises(Refused):
        run(city, effect, partner)
    assert intent(city) == (None, "hold_expired", True)


def test_the_same_key_never_stands_for_another_request(city, effect):
    partner = Partner(after=[OutcomeUnknown("lost"), OutcomeUnknown("lost")])
    with pytest.raises(OutcomeUnknown):
        run(city, effect, partner)
    before = list(partner.calls)
    with pytest.raises(NeedsOperator) as caught:
        run(city, effect, partner, b"another request")
    assert (caught.value.code, partner.calls) == ("intent_changed", before)


def test_effects_of_another_step_or_version_are_others(city, effect):
    for other in (effect, Effect(effect.prescription_id, "hold", "ord_1"), Effect(effect.prescription_id, "place", "o")):
        partner = Partner()
        run(city, other, partner)
        assert partner.calls == ["send"]


def test_no_trouble_but_a_crash_leaves_the_line_without_a_name(city, effect):
    """All that `once` lets through is one of the six."""
    for trouble in (OutcomeUnknown("x"), Transient("x"), NeedsOperator("x")):
        with pytest.raises(RxError):
            run(city, effect, Partner(before=[trouble, trouble]))

"""One small city and any order of events: nothing is doubled, nothing is lost, and it comes to rest.

No examples here, only truths. Whatever hospitals, pharmacists, chains, the fund, the clock and a failing power
supply do, every truth in `truths` holds after every step and every one in `at_rest` once the partners are well.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain.chains import ChainWord
from domain.errors import Refused, Transient
from domain.lifecycle import Status
from domain.prescription import Handover
from tasks import upkeep
from tasks.intake import receive_cancel, receive_prescription
from tasks.reports import deliver_due
from tests.laws.small_city import CHAIN_MOVES, SAMPLES, O, S, fast
from tests.laws.truths import Truths
from tests.support.city import COLLEAGUE, HOSPITAL, OPERATOR, PHARMACIST, bundle, cancel, make_city


@pytest.fixture(scope="module")
def _built() -> Iterator[None]:
    """The first city, which every other one is a copy of."""
    with tempfile.TemporaryDirectory(dir=fast()) as folder:
        Anything.built = make_city(Path(folder))
        Anything.built.db.close()
        yield


class Anything(Truths, RuleBasedStateMachine):
    """Every rule is something that may happen at any time."""

    @initialize(starts=st.lists(st.sampled_from([S.RECEIVED, S.IN_REVIEW, S.FULFILLING, S.SETTLED]), max_size=3))
    def begin(self, starts: list[Status]) -> None:
        """Some prescriptions are already on their way, so that the interesting part comes soon."""
        for number, start in enumerate(starts, 1):
            self.admit(number, False)
            rx_id = self.ids()[-1] if len(self.ids()) == 1 else self._id(number)
            if start is S.RECEIVED:
                continue
            self.hop(rx_id)
            if number == 3 and S.SETTLED is starts[1] and start is not S.RECEIVED:
                # Its patient has just got the same medicine with the second: the rules refuse it.
                assert self.look().rx[rx_id].status == S.REFUSED
                continue
            if start is S.IN_REVIEW:
                continue
            self.pharmacist(rx_id, PHARMACIST, "pass")
            self.hop(rx_id)
            if start is S.SETTLED:
                slug, order_id = next((s, o) for s, o in self.booked() if self.order(s, o).prescription_id == rx_id)
                for status in (O.ACCEPTED, O.PREPARED, O.HANDED_OVER):
                    self._happens(slug, order_id, status)
                    self.send(self.words[-1])
                self.hop(rx_id)

    @rule(number=st.integers(1, 3), other=st.booleans())
    def admit(self, number: int, other: bool) -> None:
        """The hospital sends a prescription: again, or with other bytes under the same key."""
        raw = bundle(number, sample="child" if other else SAMPLES[number])
        answer = self.do(lambda: receive_prescription(self.city, HOSPITAL, raw))
        assert answer is None or answer.status in (201, 409)

    @rule(number=st.integers(1, 3), key=st.integers(1, 2))
    def cancels(self, number: int, key: int) -> None:
        answer = self.do(lambda: receive_cancel(self.city, HOSPITAL, cancel(number, key=f"C{number}-{key}")))
        if answer is None:
            return
        assert answer.status == 201
        if b'"too-late"' not in answer.body:
            self.cancelling.add(self._id(number))

    @precondition(lambda self: self.ids())
    @rule(which=st.integers(0, 2))
    def hops(self, which: int) -> None:
        """Anybody may set off a hop, due or not."""
        ids = self.ids()
        self.hop(ids[which % len(ids)])

    @rule()
    def works(self) -> None:
        self.work()

    @precondition(lambda self: self.ids())
    @rule(which=st.integers(0, 2), who=st.sampled_from([PHARMACIST, COLLEAGUE]),
          decision=st.sampled_from(["", "pass", "pass", "pass", "return", "reject"]))
    def reviews(self, which: int, who: str, decision: str) -> None:
        ids = self.ids()
        self.pharmacist(ids[which % len(ids)], who, decision)

    @precondition(lambda self: self.booked())
    @rule(which=st.integers(0, 9), move=st.integers(0, 2), line=st.integers(0, 2), tell=st.booleans())
    def happens(self, which: int, move: int, line: int, tell: bool) -> None:
        """Something possible happens to an order at its pharmacy, and the chain makes a callback of it."""
        booked = self.booked()
        slug, order_id = booked[which % len(booked)]
        held = self.chain[slug].book[order_id]
        moves = [to for to in CHAIN_MOVES.get(held.status, ())
                 if to is not O.IN_DELIVERY or held.order.handover is Handover.HOME]
        if moves:
            self._happens(slug, order_id, moves[move % len(moves)], line)
            if tell:
                self.send(self.words[-1])

    @precondition(lambda self: self.words)
    @rule(which=st.integers(0, 30))
    def tells(self, which: int) -> None:
        """A callback arrives: late, again, or before an earlier one."""
        self.send(self.words[which % len(self.words)])

    @precondition(lambda self: self.booked())
    @rule(which=st.integers(0, 9), says=st.sampled_from(list(O)))
    def lies(self, which: int, says: ChainWord) -> None:
        """Somebody who does not know the order's secret, or the patient's code, says a word about it."""
        booked = self.booked()
        slug, order_id = booked[which % len(booked)]
        word = self._word(slug, order_id, says, claim_secret="another order's")
        answer = self.send(word)
        assert answer is None or answer.status == 422
        if self.secret(order_id)["pickup_code"]:
            answer = self.send(self._word(slug, order_id, O.HANDED_OVER, pickup_code="guess"))
            assert answer is None or answer.status == 422

    @rule(who=st.sampled_from(["ankang", "baicao", "payer"]),
          what=st.sampled_from(["lose_next_request", "lose_next_answer", "silent", "heal"]))
    def breaks(self, who: str, what: str) -> None:
        partner = self.payer if who == "payer" else self.chain[who]
        if what == "heal":
            partner.heal()
        else:
            setattr(partner, what, True)

    @rule(no=st.sampled_from([("ankang", "out_of_stock", "hold"), ("baicao", "closed", "hold"),
                              ("payer", "not_insured", "entitlement"), ("payer", "claim", "pre_settle"),
                              ("payer", "claim", "settle")]))
    def refuses(self, no: tuple[str, str, str]) -> None:
        who, code, call = no
        (self.payer if who == "payer" else self.chain[who]).refuse_next(code, call)

    @rule(dead=st.booleans())
    def hospital_is(self, dead: bool) -> None:
        self.hospital.trouble = Transient("unreachable") if dead else None

    @rule(by=st.sampled_from([timedelta(seconds=15), timedelta(minutes=2), timedelta(minutes=11), timedelta(hours=1),
                              timedelta(hours=13), timedelta(hours=25), timedelta(days=3)]))
    def time_passes(self, by: timedelta) -> None:
        self.advance(by)

    @rule()
    def sweeps(self) -> None:
        self.do(lambda: asyncio.run(upkeep.sweep(self.city)))

    @rule()
    def delivers(self) -> None:
        self.do(lambda: asyncio.run(deliver_due(self.city)))

    @precondition(lambda self: self.ids())
    @rule(which=st.integers(0, 2))
    def an_operator_has_it_tried_again(self, which: int) -> None:
        ids = self.ids()

        def work() -> None:
            with suppress(Refused):  # It is over: nothing is owed any more.
                upkeep.redrive(self.city, ids[which % len(ids)], OPERATOR)

        self.do(work)

    @rule(ago=st.integers(0, 1))
    def reconciles(self, ago: int) -> None:
        self.do(lambda: self._reconcile(ago))

    @rule(boundary=st.integers(1, 14))
    def will_crash(self, boundary: int) -> None:
        """The power fails at that commit boundary of the next operation: before a commit or just after it."""
        self.crash_at = boundary

    @invariant()
    def everything_is_true(self) -> None:
        self.truths()

    def teardown(self) -> None:
        try:
            if self.sound:
                self.come_to_rest()
        finally:
            self.city.db.close()
            shutil.rmtree(self.folder)


TestAnything = pytest.mark.usefixtures("_built")(Anything.TestCase)
TestAnything.settings = settings(
    max_examples=max(1, settings().max_examples // 5), stateful_step_count=40, deadline=None, derandomize=True,
    suppress_health_check=list(HealthCheck))

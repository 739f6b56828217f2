"""What must be true of a small city: after every step, and once its partners are well and time has passed."""

import asyncio
from datetime import timedelta

from domain.fulfilment.lines import line_states, status_of
from domain.fulfilment.plan import PLANNED
from domain.lifecycle import FINAL, OWNERS, Owner, Status, may_move
from infra.db import claims, history, orders, prescriptions, wishes
from infra.db.rows import PrescriptionRow
from tasks import upkeep
from tasks.reports import deliver_due
from tests.laws.small_city import A_PERSONS, GONE, NOTHING_HANDED_OVER, PATIENT_HAS_IT, O, S, Seen, SmallCity
from tests.support.city import STARTED
from tests.support.fakes import PayerRow


class Truths(SmallCity):
    """A small city that can be judged."""

    # --- after every step ---

    def truths(self) -> None:
        seen = self.look()
        for rx_id, row in seen.rx.items():
            assert history.verify(seen.events[rx_id], row) is None
            for event in seen.events[rx_id]:
                start, end = S(event.from_status), S(event.to_status)
                assert start is end or may_move(start, end)
            self._lines_add_up(rx_id)
            self._one_order(rx_id, row, seen)
        for chain in self.chain.values():
            assert len(set(chain.arrived)) == len(chain.arrived), "sent again instead of asked about"
        self._the_funds_book()
        self._the_ledger(seen)
        for key, answer in self.answers.items():
            assert seen.messages[key] == answer, f"the stored answer to {key} changed"
        self.answers |= seen.messages
        self.sound = True

    def _lines_add_up(self, rx_id: str) -> None:
        """Of every line, whatever happened: open + in progress + handed over + returned + given up = prescribed."""
        with self.city.db.reading() as session:
            loaded = prescriptions.load(session, rx_id)
            placed, claimed = orders.of(session, rx_id), claims.newest_of(session, rx_id)
            asked_for = wishes.of(session, rx_id)
        lines = line_states(loaded.prescription.items, placed, asked_for, ended=loaded.status in FINAL)
        at_rest = loaded.wake_at is None or loaded.wake_at > self.city.now()
        if loaded.status in PLANNED and at_rest and not loaded.attempts:
            assert status_of(lines, placed, claimed) is loaded.status, f"{rx_id} is {loaded.status}: {lines}"

    def _one_order(self, rx_id: str, row: PrescriptionRow, seen: Seen) -> None:
        alive = [held for held in self.held(rx_id) if held.status not in GONE]
        assert len(alive) <= 1, f"{rx_id}: two pharmacies at work"
        handed_over = [held for held in alive if held.status in PATIENT_HAS_IT]
        if row.status in NOTHING_HANDED_OVER and handed_over:
            assert seen.discrepancies[rx_id], f"{rx_id} is {row.status}, the patient has it, and nobody is told"

    def _the_funds_book(self) -> None:
        references = [row.reference for row in self.payer.book]
        assert len(set(references)) == len(references)
        settled = [row.settlement_id for row in self.payer.book if not row.reverses]
        reversed_ = [row.reverses for row in self.payer.book if row.reverses]
        assert len(set(reversed_)) == len(reversed_)
        for rx_id in {row.prescription_id for row in self.payer.book}:
            mine = {row.settlement_id for row in self.payer.book if row.prescription_id == rx_id and not row.reverses}
            assert len(mine - set(reversed_)) <= 1, f"{rx_id}: paid for twice"
        assert set(reversed_) <= set(settled)

    def _the_ledger(self, seen: Seen) -> None:
        fund = {_movement(row): row for row in self.payer.book}
        for key, (rx_id, sides) in seen.postings.items():
            assert sum(sides.values()) == 0
            assert fund[key].prescription_id == rx_id
            assert _owed_to_chains(sides) == fund[key].total
        for key in fund.keys() - seen.postings.keys():
            row = seen.rx[fund[key].prescription_id]
            assert row.status == S.FULFILLED, f"{key} is in the fund's book only"
            assert row.wake_at is not None

    # --- once everybody is well ---

    def come_to_rest(self) -> None:
        self.plug.pull_at(0)
        self.crash_at = 0
        for partner in (*self.chain.values(), self.payer):
            partner.heal()
        self.hospital.trouble = None
        for _ in range(3):
            for word in self.words:
                if not word.acknowledged:
                    self.send(word)
            self.pass_time(timedelta(minutes=16), rounds=4)
        self.truths()
        self.at_rest()
        self.pass_time(timedelta(hours=13), rounds=8)
        self.pass_time(timedelta(minutes=16), rounds=2)
        self.pass_time(timedelta(minutes=16), rounds=2)
        self.truths()
        self.at_rest()
        self.at_the_end()

    def pass_time(self, step: timedelta, rounds: int) -> None:
        for _ in range(rounds):
            self.advance(step)
            asyncio.run(upkeep.sweep(self.city))
            self.work()
            for _ in range(3):
                asyncio.run(deliver_due(self.city))
        for ago in range((self.clock.at - STARTED).days + 2):
            self._reconcile(ago)

    def at_rest(self) -> None:
        seen = self.look()
        assert seen.waiting == []
        owed = {intent.prescription_id for intent in seen.intents if intent.answered_at is None}
        for rx_id, row in seen.rx.items():
            status, persons = S(row.status), row.trouble.startswith(A_PERSONS)
            where = f"{rx_id} {status} {row.trouble} {row.waiting_for}"
            assert persons or OWNERS[status] is not Owner.PLATFORM, f"nobody works on {where}"
            assert status not in FINAL or row.wake_at is None, f"never sleeps: {where}"
            assert rx_id not in owed, f"an outcome nobody learns: {where}"
            self._orders_agree(rx_id, status)
            if not persons:
                self._money_agrees(rx_id, status, seen)
            self._hospital_knows(rx_id, status)

    def at_the_end(self) -> None:
        """Days later: everything has ended, but for what a person must settle or is on its way to the door."""
        for rx_id, row in self.look().rx.items():
            on_its_way = any(held.status is O.IN_DELIVERY for held in self.held(rx_id))
            assert row.status in FINAL or row.trouble.startswith(A_PERSONS) or on_its_way, (
                f"{rx_id} {row.status} {row.waiting_for} {row.wake_at}")

    def _orders_agree(self, rx_id: str, status: Status) -> None:
        with self.city.db.reading() as session:
            ours = {placed.id: placed.word for placed in orders.of(session, rx_id)}
        for held in self.held(rx_id):
            said = ours[held.order.id]
            assert (said in GONE) == (held.status in GONE), f"{held.order.id} is {held.status}, we think {said}"
            if status not in FINAL:
                assert (said in PATIENT_HAS_IT) == (held.status in PATIENT_HAS_IT)
        if status in NOTHING_HANDED_OVER:
            assert all(held.status in GONE for held in self.held(rx_id)), f"{rx_id}: stock is held for nobody"

    def _money_agrees(self, rx_id: str, status: Status, seen: Seen) -> None:
        """The fund, the ledger, the chain and the hospital all know what the patient has kept."""
        kept = {held.order.id: sum(line.amount for line in held.order.lines
                                   if line.line not in self.brought_back[held.order.id])
                for held in self.held(rx_id) if held.status in PATIENT_HAS_IT}
        ledger = sum(_owed_to_chains(sides) for owner, sides in seen.postings.values() if owner == rx_id)
        fund = sum(row.total for row in self.payer.book if row.prescription_id == rx_id)
        assert ledger == fund
        if seen.discrepancies[rx_id]:
            return  # Something came back after the prescription was closed: with a person.
        assert fund == sum(kept.values())
        for order_id, total in kept.items():
            chain = next(chain for chain in self.chain.values() if order_id in chain.book)
            assert chain.notices[order_id].total == total, "the chain was told another amount last"

    def _hospital_knows(self, rx_id: str, status: Status) -> None:
        told = [report for report in self.hospital.reports.values() if report["id"] == rx_id]
        assert [report["at"] for report in told] == sorted(report["at"] for report in told)
        if status in (S.IN_REVIEW, S.FULFILLING, S.SETTLED, *NOTHING_HANDED_OVER):
            said = [report["status"] for report in told if report["status"] != "cancel_refused"]
            assert said[-1] == status
        if rx_id in self.cancelling and status not in NOTHING_HANDED_OVER:
            assert any(report["status"] == "cancel_refused" for report in told), f"{rx_id}: the cancel was forgotten"


def _owed_to_chains(sides: dict[str, int]) -> int:
    return sum(amount for account, amount in sides.items() if account.startswith("chain:"))


def _movement(row: PayerRow) -> tuple[str, str]:
    return ("reversed", row.reverses) if row.reverses else ("settled", row.settlement_id)

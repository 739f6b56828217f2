"""One prescription on the line, with partners that do what a test tells them."""

import asyncio
import itertools
import json
from dataclasses import dataclass, field
from datetime import timedelta

import sqlalchemy as sa

from adapters.messages import Reply
from domain.chains import ChainWord
from domain.claims import Claimed
from domain.fulfilment.orders import Placed
from domain.lifecycle import Status
from domain.review import Decision
from infra.db import claims, orders, prescriptions
from infra.db.rows import IntentRow, PrescriptionRow
from tasks import review
from tasks.callbacks import receive_callback, receive_stock
from tasks.city import City
from tasks.fulfilment.sealed import open_secrets
from tasks.line import Hop, hop
from tasks.reports import deliver_due
from tests.support.city import PHARMACIST, Clock, admit
from tests.support.fakes import FakeChain, FakePayer


@dataclass
class Line:
    """A city whose hops, decisions and callbacks a test sets off one by one."""

    city: City
    _nonce: "itertools.count[int]" = field(default_factory=itertools.count)

    @property
    def clock(self) -> Clock:
        assert isinstance(self.city.now, Clock)
        return self.city.now

    @property
    def payer(self) -> FakePayer:
        assert isinstance(self.city.payer, FakePayer)
        return self.city.payer

    def chain(self, slug: str) -> FakeChain:
        chain = self.city.chains[slug]
        assert isinstance(chain, FakeChain)
        return chain

    def hop(self, rx_id: str) -> Hop:
        return asyncio.run(hop(self.city, rx_id))

    def deliver(self) -> int:
        """Deliver the outbox until nothing is due."""
        total = 0
        while delivered := asyncio.run(deliver_due(self.city)):
            total += delivered
        return total

    def status(self, rx_id: str) -> Status:
        with self.city.db.reading() as session:
            return prescriptions.load(session, rx_id).status

    def review(self, rx_id: str, decision: str = "pass", pharmacist: str = PHARMACIST, **more: object) -> Status:
        review.assign(self.city, rx_id, pharmacist)
        return review.decide(self.city, rx_id, pharmacist, Decision(decision, **more))  # type: ignore[arg-type]

    def order(self, rx_id: str) -> Placed:
        """The newest order of a prescription."""
        with self.city.db.reading() as session:
            return orders.of(session, rx_id)[-1]

    def claim(self, rx_id: str) -> Claimed | None:
        """The newest claim of the newest order that has one."""
        with self.city.db.reading() as session:
            claimed = claims.newest_of(session, rx_id)
            return next((claimed[placed.id] for placed in reversed(orders.of(session, rx_id)) if placed.id in claimed), None)

    def say(self, rx_id: str, status: ChainWord, *, order: Placed | None = None, **more: object) -> Reply:
        """The chain of an order (the newest) sends a callback; a handover shows the pickup code."""
        placed = order or self.order(rx_id)
        chain = self.chain(placed.order.chain)
        if status is ChainWord.HANDED_OVER:
            more.setdefault("pickup_code", open_secrets(self.city, placed)["pickup_code"])
        update = chain.update(placed.id, status, at=self.city.now(), **more)  # type: ignore[arg-type]
        return self.send(placed.order.chain, chain.body(update))

    def send(self, slug: str, body: bytes) -> Reply:
        """Deliver a callback's bytes, signed, under a fresh nonce."""
        headers = self.chain(slug).headers(body, self.city.now(), nonce=f"nonce-{next(self._nonce):020d}")
        return receive_callback(self.city, slug, timestamp=headers["Sanyi-Timestamp"], nonce=headers["Sanyi-Nonce"],
                              signature=headers["Sanyi-Signature"], body=body)

    def tell_stock(self, slug: str, *drugs: str) -> Reply:
        """The chain's notice that its store has these drugs again, signed, under a fresh nonce."""
        body = json.dumps({"event_id": f"ev_{next(self._nonce)}", "store": self.chain(slug).store, "drugs": drugs}).encode()
        return self.send_stock(slug, body, self.chain(slug).headers(body, self.city.now(), f"nonce-{next(self._nonce):020d}"))

    def send_stock(self, slug: str, body: bytes, headers: dict[str, str]) -> Reply:
        return receive_stock(self.city, slug, timestamp=headers["Sanyi-Timestamp"], nonce=headers["Sanyi-Nonce"],
                             signature=headers["Sanyi-Signature"], body=body)

    def row(self, rx_id: str) -> PrescriptionRow:
        """The prescription as it is stored."""
        with self.city.db.reading() as session:
            return session.get_one(PrescriptionRow, rx_id)

    def due(self) -> list[str]:
        """Prescriptions that a worker would take now; none is taken."""
        with self.city.db.transaction() as session:
            return [due.id for due in prescriptions.lease_due(session, "worker", at=self.city.now(), lease=timedelta(0), limit=10)]

    def orders_in_the_chains(self) -> list[ChainWord]:
        """Where the chains themselves have their orders."""
        return [held.status for slug in ("ankang", "baicao") for held in self.chain(slug).book.values()]

    def open_intents(self) -> list[str]:
        """Steps whose outcome is not known."""
        with self.city.db.reading() as session:
            return list(session.scalars(sa.select(IntentRow.step).where(IntentRow.answered_at.is_(None))))

    def to_fulfilling(self, rx_id: str) -> Placed:
        """Audit, a pharmacist's pass, and an order at the best pharmacy."""
        self.hop(rx_id)
        self.review(rx_id)
        self.hop(rx_id)
        assert self.status(rx_id) is Status.FULFILLING
        return self.order(rx_id)

    def unsettled(self) -> str:
        """A prescription of which the patient has the medicine, while the fund is silent about the settlement."""
        (rx_id,) = admit(self.city)
        self.to_fulfilling(rx_id)
        self.say(rx_id, ChainWord.HANDED_OVER)
        self.payer.silent = True
        self.payer.only = frozenset({"settle"})
        self.hop(rx_id)
        return rx_id

    def to_settled(self, rx_id: str) -> Placed:
        """All the way: handed over and settled."""
        placed = self.to_fulfilling(rx_id)
        self.say(rx_id, ChainWord.HANDED_OVER)
        self.hop(rx_id)
        assert self.status(rx_id) is Status.SETTLED
        return placed

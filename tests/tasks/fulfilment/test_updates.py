"""A chain's word about an order means the same, whether it calls back, is polled or works from a page of ours."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from adapters.messages import Reply
from adapters.protocols import CallsBack, Chain, Polled
from adapters.registry import manifest
from domain.chains import ChainWord, OrderUpdate
from domain.fulfilment.portions import by_line
from domain.lifecycle import Status
from infra.db import inbox
from infra.db.rows import HistoryRow, MessageRow
from tasks.callbacks import callers, receive_callback
from tasks.city import City
from tasks.fulfilment import updates
from tasks.fulfilment.sealed import open_secrets
from tasks.polling import poll_partner, polled, seconds_between
from tests.support.city import admit, make_city
from tests.support.fakes import FakeChain, FakePageChain, FakePolledChain
from tests.support.line import Line

SLUG = "ankang"


def call_back(city: City, chain: FakeChain, update: OrderUpdate) -> Reply:
    body = chain.body(update)
    headers = chain.headers(body, city.now())
    return receive_callback(city, chain.slug, timestamp=headers["Sanyi-Timestamp"], nonce=headers["Sanyi-Nonce"],
                            signature=headers["Sanyi-Signature"], body=body)


def be_polled(city: City, chain: FakePolledChain, update: OrderUpdate) -> Reply:
    chain.offer(update)
    assert asyncio.run(poll_partner(city, chain.slug)) == 1
    return chain.answers[-1]


def enter_on_page(city: City, chain: FakePageChain, update: OrderUpdate) -> Reply:
    form = f"{update.event_id} {update.order_id} {update.status} {update.at.isoformat()}".encode()
    return updates.accept(city, chain.slug, update, updates.keep(city, form))


Bring = Callable[[City, FakePageChain, OrderUpdate], Reply]
WAYS: Mapping[type[FakePageChain], Bring] = {
    FakeChain: call_back, FakePolledChain: be_polled, FakePageChain: enter_on_page}  # type: ignore[dict-item]


class Town:
    """A city with one chain, and a prescription whose order is with it."""

    def __init__(self, folder: Path, kind: type[FakePageChain]) -> None:
        self.chain = kind(slug=SLUG, store="AK01")
        self.city = replace(make_city(folder), chains={SLUG: self.chain})
        self.line = Line(self.city)
        self.rx_id = admit(self.city)[0]
        self.order_id = self.line.to_fulfilling(self.rx_id).id

    def update(self, status: ChainWord, **more: object) -> OrderUpdate:
        if status is ChainWord.HANDED_OVER:
            more.setdefault("pickup_code", open_secrets(self.city, self.line.order(self.rx_id))["pickup_code"])
        return self.chain.update(self.order_id, status, at=self.city.now(), **more)  # type: ignore[arg-type]

    def bring(self, status: ChainWord, **more: object) -> str:
        """The chain's word, by its own way; what it is answered."""
        reply = WAYS[type(self.chain)](self.city, self.chain, self.update(status, **more))
        return f"{reply.status} {json.loads(reply.body)['result']}"

    def past(self) -> list[tuple[str, str, str]]:
        """What the history of the prescription says, without ids and moments."""
        with self.city.db.reading() as session:
            return [(row.actor, row.reason, row.to_status) for row in session.scalars(
                sa.select(HistoryRow).where(HistoryRow.prescription_id == self.rx_id).order_by(HistoryRow.seq))]

    def remembered(self) -> int:
        with self.city.db.reading() as session:
            return session.scalar(sa.select(sa.func.count()).select_from(MessageRow).where(
                MessageRow.source == f"chain:{SLUG}")) or 0


def to_the_end(town: Town) -> list[str]:
    """Accepted, prepared, handed over, settled, one line brought back, settled again."""
    answers = [town.bring(ChainWord.ACCEPTED), town.bring(ChainWord.PREPARED), town.bring(ChainWord.HANDED_OVER)]
    town.line.hop(town.rx_id)
    answers.append(str(town.line.status(town.rx_id)))
    answers.append(town.bring(ChainWord.RETURNED, lines=(1,), reason="quality"))
    town.line.hop(town.rx_id)
    return [*answers, str(town.line.status(town.rx_id)), str(sorted(by_line(town.line.order(town.rx_id).returned)))]


@pytest.mark.parametrize("kind", WAYS)
def test_an_order_reaches_its_end_whoever_brings_the_chains_word(tmp_path: Path, kind: type[FakePageChain]) -> None:
    assert to_the_end(Town(tmp_path, kind)) == [
        "200 applied", "200 applied", "200 applied", "settled", "200 applied", "settled", "[1]"]


def test_the_history_is_the_same_whoever_brought_the_word(tmp_path: Path) -> None:
    pasts = []
    for kind in WAYS:
        folder = tmp_path / kind.__name__
        folder.mkdir()
        town = Town(folder, kind)
        to_the_end(town)
        pasts.append(town.past())
    assert pasts[0] == pasts[1] == pasts[2]
    assert len(pasts[0]) > 12


@pytest.mark.parametrize("kind", WAYS)
def test_what_may_not_be_is_answered_alike(tmp_path: Path, kind: type[FakePageChain]) -> None:
    town = Town(tmp_path, kind)
    assert town.bring(ChainWord.ACCEPTED, claim_secret="f" * 32) == "422 refused"
    assert town.bring(ChainWord.HANDED_OVER, pickup_code="0") == "422 refused"
    assert town.line.order(town.rx_id).word is ChainWord.ORDERED
    assert town.bring(ChainWord.ACCEPTED, event_id="ev_x") == "200 applied"
    assert town.bring(ChainWord.PREPARED, event_id="ev_x") == "409 conflict"
    assert town.bring(ChainWord.PREPARED) == "200 applied"
    assert town.bring(ChainWord.ACCEPTED) == "200 ignored"


def test_how_a_chain_is_reached_is_what_it_can_do(tmp_path: Path) -> None:
    chains: Mapping[str, Chain] = {"calls": FakeChain(), "asked": FakePolledChain(), "page": FakePageChain()}
    city = replace(make_city(tmp_path), chains=chains)
    assert list(callers(city)) == ["calls"]
    assert list(polled(city)) == ["asked"]
    assert not isinstance(chains["page"], CallsBack | Polled)


# Polled.

def test_an_answer_that_was_not_taken_is_handed_back_at_the_next_poll_and_nothing_happens_twice(tmp_path: Path) -> None:
    town = Town(tmp_path, FakePolledChain)
    assert isinstance(town.chain, FakePolledChain)
    town.chain.offer(town.update(ChainWord.ACCEPTED))
    town.chain.only, town.chain.lose_next_request = frozenset({"hand_back"}), True
    assert asyncio.run(poll_partner(town.city, SLUG)) == 0
    before = town.past()
    assert asyncio.run(poll_partner(town.city, SLUG)) == 1
    assert json.loads(town.chain.answers[-1].body) == {"result": "repeated"}
    assert (town.past(), town.remembered(), town.chain.waiting) == (before, 1, {})


def test_a_return_that_overtook_its_handover_stays_with_the_chain_until_it_can_be_taken(tmp_path: Path) -> None:
    town = Town(tmp_path, FakePolledChain)
    assert isinstance(town.chain, FakePolledChain)
    handover = town.update(ChainWord.HANDED_OVER)
    town.chain.offer(town.update(ChainWord.RETURNED, reason="quality"))
    town.chain.offer(handover)
    assert asyncio.run(poll_partner(town.city, SLUG)) == 1
    assert len(town.chain.waiting) == 1
    assert town.line.order(town.rx_id).word is ChainWord.HANDED_OVER
    assert asyncio.run(poll_partner(town.city, SLUG)) == 1
    assert (town.line.order(town.rx_id).word, town.chain.waiting) == (ChainWord.RETURNED, {})


def test_what_cannot_be_read_is_handed_back_with_its_findings_and_is_in_the_archive(tmp_path: Path) -> None:
    town = Town(tmp_path, FakePolledChain)
    assert isinstance(town.chain, FakePolledChain)
    town.chain.waiting["broken"] = b"<update/>"
    assert asyncio.run(poll_partner(town.city, SLUG)) == 1
    answer = json.loads(town.chain.answers[-1].body)
    assert (town.chain.answers[-1].status, answer["result"], answer["why"][0]["rule"]) == (422, "invalid", "CHN-03")
    assert town.city.archive.get(updates.keep(town.city, b"<update/>").archive_key) == b"<update/>"
    assert town.line.status(town.rx_id) is Status.FULFILLING


def test_a_chain_is_asked_as_often_as_its_manifest_says(tmp_path: Path) -> None:
    town = Town(tmp_path, FakePolledChain)
    assert seconds_between(town.city, SLUG) == manifest("chains", SLUG).poll_seconds
    assert seconds_between(town.city, "jinan_county") == manifest("hospitals", "jinan_county").poll_seconds


async def test_a_polled_chain_whose_bytes_its_adapter_cannot_read_loses_nothing(tmp_path: Path) -> None:
    class Mute(FakePageChain):
        poll = FakePolledChain.poll
        hand_back = FakePolledChain.hand_back

    chain = Mute(slug=SLUG)
    chain.waiting = {"1": b"{}"}  # type: ignore[attr-defined]
    assert await poll_partner(replace(make_city(tmp_path), chains={SLUG: chain}), SLUG) == 0
    assert chain.waiting == {"1": b"{}"}  # type: ignore[attr-defined]


def test_the_same_callback_again_is_only_repeated(line):
    (rx_id,) = admit(line.city)
    placed = line.to_fulfilling(rx_id)
    chain = line.chain(placed.order.chain)
    body = chain.body(chain.update(placed.id, ChainWord.PREPARED, at=line.city.now()))
    assert b"applied" in line.send(placed.order.chain, body).body
    assert b"repeated" in line.send(placed.order.chain, body).body


def test_who_loses_the_race_for_a_callback_has_spent_no_nonce(line, monkeypatch):
    """It looks again, under the same nonce, and finds the winner's answer."""
    (rx_id,) = admit(line.city)
    placed = line.to_fulfilling(rx_id)
    chain = line.chain(placed.order.chain)
    body = chain.body(chain.update(placed.id, ChainWord.PREPARED, at=line.city.now()))
    assert b"applied" in line.send(placed.order.chain, body).body
    earlier, missed = inbox.earlier, iter([None])
    monkeypatch.setattr(inbox, "earlier", lambda *arguments: next(missed, earlier(*arguments)))
    answer = line.send(placed.order.chain, body)
    assert (answer.status, b"repeated" in answer.body) == (200, True)

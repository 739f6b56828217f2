"""Updates of a chain that speaks SOAP and is asked for them: each counts once, however often it is offered and however we die."""

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from adapters.protocols import Chain
from domain.chains import ChainWord
from domain.errors import Transient
from domain.events import Event
from infra.db.rows import HistoryRow, MessageRow
from tasks.city import City
from tasks.fulfilment.sealed import open_secrets
from tasks.polling import poll_partner
from tests.adapters.chains.test_jishi import Service, update
from tests.contracts.test_partners import chain_with
from tests.support.city import Plug, SimulatedCrash, admit, make_city
from tests.support.fakes import FakeChain
from tests.support.line import Line

SLUG = "jishi"


@dataclass
class Town:
    """A city with one chain, an order that is with it, and the chain's list of updates."""

    city: City
    line: Line
    rx_id: str
    service: Service

    def fresh_process(self) -> None:
        """The adapter's memory is gone with the process."""
        chain: Chain = chain_with(SLUG, self.service)  # type: ignore[arg-type]
        self.city = replace(self.city, chains={SLUG: chain})

    def tells(self, event: str, status: str) -> None:
        order = self.line.order(self.rx_id)
        secret = open_secrets(self.city, order)["claim_secret"]
        self.service.events.append(update(EventNo=event, OrderNo=order.id, ClaimKey=secret, Status=status))

    def poll(self) -> int:
        return asyncio.run(poll_partner(self.city, SLUG))

    @property
    def word(self) -> ChainWord:
        return self.line.order(self.rx_id).word

    def counted(self) -> tuple[int, int]:
        """Updates remembered, and how often the history tells of one."""
        with self.city.db.reading() as session:
            remembered = session.scalar(sa.select(sa.func.count()).select_from(MessageRow).where(
                MessageRow.source == f"chain:{SLUG}"))
            told = session.scalar(sa.select(sa.func.count()).select_from(HistoryRow).where(
                HistoryRow.prescription_id == self.rx_id, HistoryRow.reason == Event.ORDER_UPDATE))
        return remembered or 0, told or 0


@pytest.fixture
def plug() -> Plug:
    return Plug()


@pytest.fixture
def town(tmp_path: Path, plug: Plug) -> Town:
    made = make_city(tmp_path, boundary=plug)
    line = Line(replace(made, chains={SLUG: FakeChain(slug=SLUG, store="JS01")}))
    rx_id = admit(line.city)[0]
    line.to_fulfilling(rx_id)
    town = Town(line.city, line, rx_id, Service([]))
    town.fresh_process()
    return town


def test_the_same_update_twice_is_one_and_the_place_moves_over_both(town: Town) -> None:
    town.tells("ev-1", "CONFIRMED")
    town.tells("ev-1", "CONFIRMED")
    town.tells("ev-2", "PACKED")
    assert town.poll() == 3
    assert (town.word, town.counted(), town.service.place) == (ChainWord.PREPARED, (2, 2), 3)
    assert town.poll() == 0


def test_the_same_event_with_another_content_is_a_conflict_and_the_chain_hears_of_it(town: Town) -> None:
    town.tells("ev-1", "CONFIRMED")
    town.tells("ev-1", "PACKED")
    assert town.poll() == 2
    assert (town.word, town.service.place) == (ChainWord.ACCEPTED, 2)
    assert "<p:Rule>conflict</p:Rule>" in town.service.refused


@pytest.mark.parametrize("boundary", range(1, 5))
def test_a_process_that_dies_in_the_middle_of_a_poll_loses_and_doubles_nothing(town: Town, plug: Plug, boundary: int) -> None:
    for event, status in (("ev-1", "CONFIRMED"), ("ev-2", "PACKED")):
        town.tells(event, status)
    plug.pull_at(boundary)
    with pytest.raises(SimulatedCrash):
        town.poll()
    assert town.service.place == 0
    town.fresh_process()
    assert town.poll() == 2
    assert (town.word, town.counted(), town.service.place) == (ChainWord.PREPARED, (2, 2), 2)


def test_a_confirmation_whose_answer_is_lost_is_made_again_and_nothing_is_taken_twice(town: Town) -> None:
    town.tells("ev-1", "CONFIRMED")
    town.service.broken = "ConfirmUpdates"
    with pytest.raises(Transient):
        town.poll()
    town.fresh_process()
    assert town.poll() == 0
    assert (town.counted(), town.service.place) == ((1, 1), 1)


def test_an_update_that_cannot_be_read_is_named_to_the_chain_and_holds_none_behind_it(town: Town) -> None:
    town.tells("ev-1", "DONE_AND_DUSTED")
    town.tells("ev-2", "CONFIRMED")
    assert town.poll() == 2
    assert (town.word, town.service.place) == (ChainWord.ACCEPTED, 2)
    for part in ("<p:Rule>CHN-04</p:Rule>", "<p:Place>Status</p:Place>", "<p:Cure>"):
        assert part in town.service.refused


def test_a_return_that_overtook_its_handover_holds_the_place_until_it_can_be_taken(town: Town) -> None:
    town.tells("ev-2", "REFUNDED")
    town.service.events[0] = town.service.events[0].replace(b"</Update>", b"<ReturnedLine>1</ReturnedLine></Update>")
    code = open_secrets(town.city, town.line.order(town.rx_id))["pickup_code"]
    town.tells("ev-1", "COLLECTED")
    town.service.events[1] = town.service.events[1].replace(b"</Update>", f"<TakeCode>{code}</TakeCode></Update>".encode())
    assert town.poll() == 1
    assert (town.word, town.service.place) == (ChainWord.HANDED_OVER, 0)
    assert town.poll() == 1
    assert town.poll() == 0
    assert (town.word, town.service.place) == (ChainWord.RETURNED, 2)

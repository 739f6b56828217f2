"""What a shop's people do is one effect, goes through the one way in, and is refused with who did what when."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from adapters import registry
from domain.chains import ChainWord
from domain.door import MOST_TRIES
from domain.fulfilment.portions import by_line
from domain.lifecycle import Status
from domain.people import Capability, Denied, Grant, Person, Role
from domain.shops import Act
from infra.db import counter as books
from tasks import counter, shelves
from tasks.fulfilment.sealed import open_secrets
from tests.support.city import Clock, admit, cancel_by_hospital, make_city
from tests.support.line import Line

PLACE = "linli/LL01"
MINE = Person("S001", frozenset({Grant(Role.SHOP, PLACE)}))
COLLEAGUE = Person("S002", frozenset({Grant(Role.SHOP, PLACE)}))
NEIGHBOUR = Person("S003", frozenset({Grant(Role.SHOP, "linli/LL02")}))


class Town:
    """A city whose only chain works from our pages, and a prescription whose order is with one of its shops."""

    def __init__(self, folder: Path, sample: str = "long_term", url: str | None = None) -> None:
        city = make_city(folder, url, now=Clock())
        self.city = replace(city, chains={"linli": registry.counter("linli", city.db, city.now, city.policy.timezone)})
        for drug in sorted(city.knowledge.catalogue):
            if drug.startswith("D"):
                shelves.change(self.city, MINE, PLACE, drug, counted="500", price=str(city.knowledge.ceilings[drug]))
        self.line = Line(self.city)
        self.rx_id = admit(self.city, sample=sample)[0]
        self.line.to_fulfilling(self.rx_id)

    @property
    def proof(self) -> str:
        return open_secrets(self.city, self.line.order(self.rx_id))["pickup_code"] or "000X"

    def do(self, act: Act, who: Person = MINE, **more: object) -> counter.ShopOrder:
        if act is Act.HAND_OVER:
            more.setdefault("proof", self.proof)
            more.setdefault("method", "cash")
        return counter.act_on(self.city, who, self.rx_id, 1, act, **more)  # type: ignore[arg-type]

    def refused(self, act: Act, who: Person = MINE, **more: object) -> Denied:
        with pytest.raises(Denied) as caught:
            self.do(act, who, **more)
        return caught.value

    def seen(self) -> counter.ShopOrder:
        return counter.order_of(self.city, MINE, Capability.SEE_ORDER, self.rx_id, 1)

    def on_shelf(self, drug: str) -> tuple[Decimal, Decimal]:
        shelf = next(shelf for shelf in shelves.shelves(self.city, self.seen().at) if shelf.drug == drug)
        return shelf.quantity, shelf.available

    def to_handed_over(self) -> None:
        for act in (Act.ACCEPT, Act.PREPARE, Act.HAND_OVER):
            self.do(act)
        self.line.hop(self.rx_id)


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return Town(tmp_path)


@pytest.fixture
def home(tmp_path: Path) -> Town:
    return Town(tmp_path, "home_delivery")


def test_an_order_goes_from_the_shop_to_the_patient_and_back(town: Town) -> None:
    line = town.seen().placed.order.lines[0]
    assert [act.value for act in town.seen().supported_actions] == ["accept", "decline"]
    assert town.on_shelf(line.drug) == (500, 500 - line.quantity)
    town.do(Act.ACCEPT)
    town.do(Act.PREPARE)
    town.do(Act.HAND_OVER)
    assert town.on_shelf(line.drug) == (500 - line.quantity, 500 - line.quantity)
    town.line.hop(town.rx_id)
    town.line.deliver()
    assert town.line.status(town.rx_id) is Status.SETTLED
    notice = town.seen().kept.notice
    assert notice is not None
    assert (notice.total, bool(notice.settlement_id)) == (town.seen().placed.order.total, True)
    town.do(Act.TAKE_BACK, reason="quality", lines=[line.line])
    town.line.hop(town.rx_id)
    assert list(by_line(town.line.order(town.rx_id).returned)) == [line.line]
    assert town.on_shelf(line.drug)[0] == 500 - line.quantity, "what came back is not sold again (E-12)"
    assert [(entry.act, entry.person) for entry in town.seen().done] == [
        ("accept", "S001"), ("prepare", "S001"), ("hand_over", "S001"), ("take_back", "S001")]


@pytest.mark.parametrize("act", [Act.ACCEPT, Act.PREPARE, Act.HAND_OVER])
def test_pressed_twice_and_by_two_people_it_is_one_effect(town: Town, act: Act) -> None:
    for step in (Act.ACCEPT, Act.PREPARE, Act.HAND_OVER):
        for who in (MINE, MINE, COLLEAGUE):
            town.do(step, who)
        if step is act:
            break
    assert [entry.act for entry in town.seen().done].count(act) == 1
    line = town.seen().placed.order.lines[0]
    assert town.on_shelf(line.drug)[0] == (500 - line.quantity if act is Act.HAND_OVER else 500)


def at_once(*acts: Callable[[], object]) -> list[str]:
    """What each comes to: `done`, or the code of its refusal."""
    ends: list[str] = []

    def run(act: Callable[[], object]) -> None:
        try:
            act()
            ends.append("done")
        except Denied as no:
            ends.append(no.code)

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return sorted(ends)


def test_two_people_at_once_do_it_once_and_of_two_different_acts_one(tmp_path: Path, database_url: str) -> None:
    town = Town(tmp_path, url=database_url)
    assert at_once(*[lambda who=who: town.do(Act.ACCEPT, who) for who in (MINE, COLLEAGUE) * 2]) == ["done"] * 4
    assert [entry.act for entry in town.seen().done] == ["accept"]
    ends = at_once(lambda: town.do(Act.DECLINE, MINE, reason="closed"),
                   lambda: town.do(Act.DECLINE, COLLEAGUE, reason="out_of_stock"))
    assert ends == ["done", "not_now"]
    assert len(town.seen().done) == 2


def test_what_is_not_allowed_now_is_refused_with_who_did_what_when(town: Town) -> None:
    town.do(Act.DECLINE, reason="out_of_stock")
    no = town.refused(Act.ACCEPT, COLLEAGUE)
    assert no.code == "not_now"
    assert "S001" in no.words.zh
    assert "拒单" in no.words.zh
    assert "S001 declined it at" in no.words.en
    assert town.refused(Act.DECLINE, COLLEAGUE, reason="closed").code == "not_now"


def test_what_the_platform_took_back_says_so(town: Town) -> None:
    cancel_by_hospital(town.city, 1)
    town.line.hop(town.rx_id)
    no = town.refused(Act.ACCEPT)
    assert (no.code, "撤销" in no.words.zh) == ("not_now", True)
    assert town.seen().supported_actions == ()


def test_a_declined_order_goes_to_another_shop_and_its_goods_are_free_again(town: Town) -> None:
    line = town.seen().placed.order.lines[0]
    town.do(Act.DECLINE, reason="quality")
    assert town.on_shelf(line.drug) == (500, 500)
    town.line.hop(town.rx_id)
    assert town.line.status(town.rx_id) is Status.ALLOCATING


def test_a_shop_that_says_nothing_loses_the_order(town: Town) -> None:
    assert town.seen().accept_by is not None
    town.line.clock.advance(minutes=11)
    town.line.hop(town.rx_id)
    assert town.seen().word is ChainWord.CANCELLED
    assert town.refused(Act.ACCEPT).code == "not_now"


def test_an_act_needs_its_reason_and_its_lines(town: Town) -> None:
    assert town.refused(Act.DECLINE).code == "reason_missing"
    assert town.refused(Act.DECLINE, reason="dispensing_error").code == "reason_missing"
    assert town.refused(Act.ACCEPT, reason="closed").code == "reason_missing"
    town.to_handed_over()
    assert town.refused(Act.TAKE_BACK, reason="quality").code == "lines_missing"
    assert town.refused(Act.TAKE_BACK, reason="quality", lines=[9]).code == "lines_missing"
    assert town.refused(Act.TAKE_BACK, reason="other", lines=[1]).code == "reason_missing"


def test_it_is_handed_over_against_the_code_and_nobody_guesses_for_long(town: Town) -> None:
    town.do(Act.ACCEPT)
    town.do(Act.PREPARE)
    for _ in range(MOST_TRIES):
        assert town.refused(Act.HAND_OVER, proof="AAAA").code == "wrong_proof"
    assert town.refused(Act.HAND_OVER).code == "too_many_tries"
    town.line.clock.advance(minutes=11)
    spaced = f" {town.proof[:4].lower()}-{town.proof[4:]} "
    assert town.do(Act.HAND_OVER, proof=spaced).word is ChainWord.HANDED_OVER


def test_at_the_door_the_end_of_the_id_number_is_asked_for(home: Town) -> None:
    home.do(Act.ACCEPT)
    home.do(Act.PREPARE)
    assert home.refused(Act.HAND_OVER).code == "not_now"
    home.do(Act.SEND_OUT)
    assert home.refused(Act.HAND_OVER, proof="1").code == "wrong_proof"
    assert home.refused(Act.HAND_OVER, proof="").code == "wrong_proof"
    tail = counter._id_tail(home.city, home.seen())
    assert home.do(Act.HAND_OVER, proof=tail.lower()).word is ChainWord.HANDED_OVER


def test_a_parcel_that_nobody_took_comes_back_to_the_shelf(home: Town) -> None:
    for act in (Act.ACCEPT, Act.PREPARE, Act.SEND_OUT):
        home.do(act)
    line = home.seen().placed.order.lines[0]
    home.do(Act.DECLINE, reason="rejected_at_door")
    assert home.on_shelf(line.drug) == (500, 500)


def test_a_medicine_is_taken_back_while_the_time_for_it_lasts(town: Town) -> None:
    town.to_handed_over()
    assert town.seen().supported_actions == (Act.TAKE_BACK,)
    town.line.clock.advance(hours=2)
    assert town.seen().supported_actions == ()
    assert town.refused(Act.TAKE_BACK, reason="quality", lines=[1]).code == "not_now"


def test_nobody_sees_or_does_anything_with_the_order_of_another_shop(town: Town) -> None:
    with pytest.raises(KeyError):
        counter.order_of(town.city, NEIGHBOUR, Capability.SEE_ORDER, town.rx_id, 1)
    with pytest.raises(KeyError):
        town.do(Act.ACCEPT, NEIGHBOUR)
    with pytest.raises(KeyError):
        shelves.change(town.city, NEIGHBOUR, PLACE, "D001", counted="0")
    mine, theirs = (counter.workplaces_of(town.city, who, Capability.SEE_INBOX) for who in (MINE, NEIGHBOUR))
    since = counter.start_of_day(town.city)
    assert [len(counter.orders_at(town.city, at, since)) for at in (*mine, *theirs)] == [1, 0]


def test_a_village_doctor_hands_over_and_does_not_decline(town: Town) -> None:
    doctor = Person("V001", frozenset({Grant(Role.VILLAGE_DOCTOR, PLACE)}))
    town.do(Act.ACCEPT)
    town.do(Act.PREPARE)
    with pytest.raises(KeyError):
        town.do(Act.DECLINE, doctor, reason="closed")
    assert town.do(Act.HAND_OVER, doctor).word is ChainWord.HANDED_OVER


def test_a_cancel_that_comes_while_it_is_handed_over_is_too_late_or_the_handover_is(town: Town) -> None:
    town.do(Act.ACCEPT)
    town.do(Act.PREPARE)
    asyncio.run(town.city.chains["linli"].cancel(town.seen().placed.id, "cancelled"))
    assert town.refused(Act.HAND_OVER).code == "not_now"


# --- Shelves ---


@pytest.mark.parametrize(("change", "code"), [
    ({"drug": "X999", "counted": "1"}, "unknown_drug"), ({"counted": "-1"}, "bad_number"), ({"counted": "1.2345"}, "bad_number"),
    ({"counted": "NaN"}, "bad_number"), ({"counted": "1e99"}, "bad_number"), ({"received": "many"}, "bad_number"),
    ({"price": "9999"}, "price_over"), ({"price": "0.00001"}, "bad_number"),
])
def test_what_is_typed_wrongly_changes_nothing(town: Town, change: dict[str, str], code: str) -> None:
    before = shelves.shelves(town.city, town.seen().at)
    with pytest.raises(Denied) as caught:
        shelves.change(town.city, MINE, PLACE, **{"drug": "D001", **change})
    assert caught.value.code == code
    assert shelves.shelves(town.city, town.seen().at) == before


def test_a_delivery_that_is_sent_twice_comes_once(town: Town) -> None:
    for _ in range(2):
        shelves.change(town.city, MINE, PLACE, "D001", received="20", key="form-1")
    shelves.change(town.city, MINE, PLACE, "D001", received="5", key="form-2")
    assert town.on_shelf("D001")[0] == 525
    with town.city.db.reading() as session:
        assert books.moves(session, "linli", "LL01")["D001"] == 525

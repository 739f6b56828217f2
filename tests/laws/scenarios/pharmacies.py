"""What may happen between the platform and the pharmacies: held, ordered, handed over, brought back, or silent."""

import json
from decimal import Decimal

import sqlalchemy as sa

from domain.chains import ChainWord, LeftOut
from domain.events import Event
from domain.findings import Finding, Severity
from domain.fulfilment.orders import OrderStatus
from domain.lifecycle import Status
from infra.db import Session, history, prescriptions
from infra.db.rows import OrderRow
from tasks import webhooks
from tasks.recall import recall
from tests.laws.world import World
from tests.support.fakes import FakeEndpoint, FakePolledChain


def collected(city: World) -> None:
    city.to_fulfilling()
    city.say(ChainWord.ACCEPTED)
    city.say(ChainWord.PREPARED)
    city.work()
    city.say(ChainWord.HANDED_OVER)
    city.work()
    city.to_closed()


def delivered_home(city: World) -> None:
    city.to_fulfilling("home_delivery")
    for word in (ChainWord.ACCEPTED, ChainWord.IN_DELIVERY, ChainWord.HANDED_OVER):
        city.say(word)
        city.work()
    city.to_closed()


def everything_returned(city: World) -> None:
    city.to_settled()
    city.say(ChainWord.RETURNED, reason="quality")
    city.work()
    city.to_closed()


def one_line_returned(city: World) -> None:
    city.to_settled("home_delivery")
    city.reconcile()
    city.say(ChainWord.RETURNED, reason="quality", lines=(1,))
    city.work()
    city.to_closed()


def the_first_chain_has_none(city: World) -> None:
    city.ankang.refuses["hold"] = "out_of_stock"
    city.to_settled()


def the_hold_runs_out(city: World) -> None:
    city.ankang.holds_run_out = True
    city.to_settled()


def declined_after_the_order(city: World) -> None:
    city.to_fulfilling()
    city.say(ChainWord.DECLINED, reason="out_of_stock")
    city.work()
    city.say(ChainWord.HANDED_OVER)
    city.work()


def silent_pharmacy(city: World) -> None:
    city.to_fulfilling()
    city.later(minutes=11)
    city.work()
    city.say(ChainWord.HANDED_OVER)
    city.work()


def silent_pharmacy_that_keeps_the_order(city: World) -> None:
    city.ankang.refuses["cancel"] = "in_delivery"
    city.to_fulfilling()
    city.later(minutes=11)
    city.work()
    city.say(ChainWord.HANDED_OVER)
    city.work()


def never_fetched(city: World) -> None:
    city.to_fulfilling()
    city.say(ChainWord.PREPARED)
    city.later(hours=25)
    city.work()


def answers_get_lost(city: World) -> None:
    city.ankang.only = frozenset({"hold", "place"})
    city.ankang.lose_next_answer = True
    city.to_fulfilling()
    city.later(minutes=1)
    city.work()
    city.payer.only = frozenset({"settle"})
    city.payer.lose_next_answer = True
    city.say(ChainWord.HANDED_OVER)
    city.work()


def the_chain_falls_silent_twice(city: World) -> None:
    """It never hears of the hold, and of the order, when they are sent first."""
    city.ankang.only, city.ankang.silent = frozenset({"hold"}), True
    city.to_fulfilling()
    city.ankang.only = frozenset({"place"})
    city.later(minutes=1)
    city.work()
    city.ankang.silent = False
    city.later(minutes=1)
    city.work()


def a_store_that_quotes_nonsense(city: World) -> None:
    broken = Finding("CHAIN_CONTRACT", Severity.BLOCK, "CHN-01", "stores[1].minutes", "报文不符约定", "not as agreed")
    city.ankang.left_out = (LeftOut("AK02", (broken,)),)
    city.to_fulfilling()
    city.close_notices()


def a_chain_says_what_nobody_can_read(city: World) -> None:
    chain = city.chains["jishi"] = FakePolledChain(slug="jishi", store="JS01", minutes=90)
    chain.waiting["1"] = b"{"
    city.restart()
    city.poll("jishi")
    city.prescribe()
    city.work()
    city.close_notices()


def a_hold_for_nobody(city: World) -> None:
    """Only a bug or a hand in the database makes one."""
    city.to_fulfilling()
    held = next(iter(city.ankang.book.values()))
    held.status = ChainWord.HELD
    city.hand_in_the_database(_over_with_a_hold)
    city.later(minutes=2)
    city.sweep()


def _over_with_a_hold(city: World, session: Session) -> None:
    session.execute(sa.update(OrderRow).values(status=OrderStatus.HELD))
    head = prescriptions.load(session, city.rx).head
    history.append(session, head, to=Status.EXPIRED, actor="clock", event=Event.CLOSED, at=city.clock(), wake_at=None)


def a_part_now_and_the_rest_when_it_comes_in(city: World) -> None:
    for chain, quantity in (("ankang", 30), ("baicao", 0)):
        city.chains[chain].stock = {"D001": Decimal(quantity)}
    city.to_fulfilling()
    city.later(minutes=11)
    city.work()
    city.say(ChainWord.HANDED_OVER)
    city.work()
    city.chains["baicao"].stock = {"D001": Decimal(30)}
    news = json.dumps({"event_id": "stock1", "store": city.chains["baicao"].store, "drugs": ["D001"]}).encode()
    assert city.call_back("baicao", news, "/stock").status_code == 200
    city.work()
    city.say(ChainWord.HANDED_OVER)
    city.work()
    city.to_closed()


def a_lot_is_recalled(city: World) -> None:
    city.to_settled()
    city.staff(lambda c: recall(c, drug="D001", lot="L2606", reason="quality", by="o001"))


def the_chain_takes_webhooks(city: World) -> None:
    endpoint = FakeEndpoint(status=500)
    city.webhooks = {"ankang": endpoint}
    city.restart()
    city.to_fulfilling()
    endpoint.status = 410
    city.later(minutes=6)
    city.work()
    endpoint.status = 200
    city.staff(lambda c: webhooks.resume(c, "ankang"))
    city.work()
    city.staff(lambda c: webhooks.send_again(c, "ankang", next(iter(endpoint.taken))))
    city.work()
    answer = city.call_back("ankang", b"{}", below="/webhooks").json()
    assert [message["id"] for message in answer["events"]] == list(endpoint.taken)


PHARMACIES = (
    collected,
    delivered_home,
    everything_returned,
    one_line_returned,
    the_first_chain_has_none,
    the_hold_runs_out,
    declined_after_the_order,
    silent_pharmacy,
    silent_pharmacy_that_keeps_the_order,
    never_fetched,
    answers_get_lost,
    the_chain_falls_silent_twice,
    a_store_that_quotes_nonsense,
    a_chain_says_what_nobody_can_read,
    a_hold_for_nobody,
    a_part_now_and_the_rest_when_it_comes_in,
    a_lot_is_recalled, the_chain_takes_webhooks,
)

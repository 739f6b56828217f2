"""A day of ten thousand: everybody is somebody else, and no partner reads its whole book to answer one question."""

import json
import time
from datetime import UTC, datetime, timedelta

from sandbox import ankang
from sandbox.book import Book
from sandbox.faults import Faults
from sandbox.insurer import CITIES, Centre, City
from sandbox.partner import Setting
from sandbox.people import person, registration
from sandbox.plan import make_plan
from tests.sandbox.test_chains import BEARER, hold, order
from tests.support.effort import steps
from tests.support.sockets import serving, until


def test_no_two_people_of_a_large_day_share_an_id_number():
    plan = make_plan("jinan", 6000, 7, datetime(2026, 11, 22, tzinfo=UTC))
    assert len({who["id_number"] for who in plan.people}) == len({who["psn_no"] for who in plan.people}) == 6000


def test_people_of_one_sequence_number_can_collide_which_is_why_the_plan_looks():
    ids = [person(number, 7, False).id_number for number in range(1, 6001)]
    assert len(set(ids)) < len(ids)


async def test_a_question_about_one_person_does_not_cost_more_in_a_large_book(tmp_path):
    def work(people):
        book = Book(tmp_path / f"{people}.sqlite")
        with book.transaction():
            for number in range(people):
                who = registration(person(number, 1, False), "")
                book.put("person", who["psn_no"], who)
        centre = Centre(City(CITIES / "jinan"), Setting(tmp_path), book)
        asked = {"data": {"mdtrt_cert_no": person(people - 1, 1, False).id_number}}

        # Counted are the steps of our programs and those of SQLite's.
        book._db.set_progress_handler(lambda: None, 1)
        return steps(lambda: centre.person(asked, ""))

    assert work(4000) < 1.5 * work(40)


async def test_a_tally_counts_documents_by_a_field(tmp_path):
    book = Book(tmp_path / "book.sqlite")
    for number, status in enumerate(["settled", "settled", "expired"]):
        book.put("report", str(number), {"status": status})
    assert (book.tally("report", "status"), book.number("report")) == ({"settled": 2, "expired": 1}, 3)


async def test_a_chain_under_a_wrong_clock_hears_so_and_signs_again_by_the_right_one(setting, gateway, client):
    listener, gateway_url = gateway
    listener.answers = [401]
    given = setting({"gateway": gateway_url}, {"wrong_clock": 1})
    began = int(time.time())
    async with serving(ankang.make_app(given)) as url:
        await client.post(f"{url}/v1/holds", json=hold(), headers=BEARER)
        await client.post(f"{url}/v1/orders", json=order(hold()), headers=BEARER)
        await until(lambda: listener.heard and [body for *_, body in listener.heard].count(listener.heard[0][2]) == 2)
        wrong, right = (headers for _, headers, body in listener.heard if body == listener.heard[0][2])
        assert abs(int(wrong["sanyi-timestamp"]) - time.time()) > 60
        assert began <= int(right["sanyi-timestamp"]) <= time.time()
        book = (await client.get(f"{url}/book")).json()
        accepted = next(event for event in book["callbacks"] if event["tries"] == 2)
        assert (accepted["stale"], accepted["answer"]) == (1, 200)


async def test_a_refusal_by_a_right_clock_is_final(setting, gateway, client):
    listener, gateway_url = gateway
    listener.answers = [401]
    async with serving(ankang.make_app(setting({"gateway": gateway_url}))) as url:
        await client.post(f"{url}/v1/holds", json=hold(), headers=BEARER)
        await client.post(f"{url}/v1/orders", json=order(hold()), headers=BEARER)
        await until(lambda: len(listener.heard) >= 2)
        book = (await client.get(f"{url}/book")).json()
        assert sorted(event["answer"] for event in book["callbacks"] if event["answer"]) == [200, 401]


async def test_an_event_can_claim_another_time_and_stays_the_same_on_every_repeat(setting, gateway, client):
    listener, gateway_url = gateway
    listener.answers = [500]
    async with serving(ankang.make_app(setting({"gateway": gateway_url}, {"wrong_time": 1}))) as url:
        await client.post(f"{url}/v1/holds", json=hold(), headers=BEARER)
        await client.post(f"{url}/v1/orders", json=order(hold()), headers=BEARER)
        await until(lambda: len(listener.heard) >= 3)
        told = [json.loads(body) for _, _, body in listener.heard]
        accepted = [event for event in told if event["status"] == "accepted"]
        assert len(accepted) == 2
        assert accepted[0] == accepted[1]
        away = datetime.fromisoformat(accepted[0]["at"]) - datetime.now(UTC)
        assert timedelta(minutes=10) < abs(away) <= timedelta(hours=48)


async def test_a_chain_that_restarts_knows_again_what_it_holds_and_who_keeps_it_busy(tmp_path, gateway, client):
    given = Setting(tmp_path, 1, 5.0, Faults(1), {"gateway": gateway[1]},
                    {"SANDBOX_ANKANG_TOKEN": "ankang-token", "SANDBOX_ANKANG_SECRET": "ankang-secret"})
    wanted = {"lines": [{"drug": "D001", "quantity": "60", "unit": "片"}], "handover": "pickup",
              "place": {"district": "370102", "latitude": "36.67", "longitude": "117.03"}}
    loads = []
    for _ in range(2):
        async with serving(ankang.make_app(given)) as url:
            await client.post(f"{url}/v1/holds", json=hold(), headers=BEARER)
            quotes = (await client.post(f"{url}/v1/quotes", json=wanted, headers=BEARER)).json()["quotes"]
            loads.append([quote["load"] for quote in quotes])
    assert loads == [["0.02", "0.00"]] * 2

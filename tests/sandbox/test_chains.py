"""Two chains, one engine: what they promise on the wire, and what their books show when the line breaks."""

import hashlib
import hmac
import json

import httpx
import pytest

from sandbox import ankang, baicao
from sandbox.plan import RECALLED
from tests.support.sockets import serving, until

BEARER = {"Authorization": "Bearer ankang-token"}
KEY = {"X-Api-Key": "baicao-key"}
PLACE = {"district": "370102", "latitude": "36.67", "longitude": "117.03"}


def hold(order_id="ord_1", drug="D001", quantity="60", price="0.3100", amount=1860):
    return {"order_id": order_id, "store_id": "AK01", "lines": [
        {"line": 1, "drug": drug, "quantity": quantity, "unit_price": price, "amount_fen": amount}]}


def order(held, code="123456", due=372, prescription="rx_1"):
    return held | {
        "prescription_id": prescription, "handover": "pickup", "claim_secret": "shh", "patient_due_fen": due,
        "pickup_code_sha256": hashlib.sha256(f"{held['order_id']}:{code}".encode()).hexdigest(),
        "total_fen": sum(line["amount_fen"] for line in held["lines"]), "recipient": None,
        "instructions": {"note": "", "decoction": "", "labels": [
            {"line": line["line"], "name": "示范药", "usage": "每次 1 片", "directions": "首日半量", "note": "", "decoction": ""}
            for line in held["lines"]]}}


def usage(*lines):
    return {"rxNote": "两周后复诊", "decoctWay": "", "labels": [
        {"lineNo": line, "drugName": "示范药", "usage": "每次 1 片", "directions": "首日半量", "note": "", "decoctMark": ""}
        for line in lines]}


def reserve(order_no="ord_1", drug="D001", qty="60", price="0.30", amt="18.00"):
    return {"orderNo": order_no, "shopNo": "BC07", "items": [
        {"lineNo": 1, "drugCode": drug, "qty": qty, "price": price, "amt": amt}]}


async def test_a_stranger_is_sent_away(setting, gateway, client):
    async with serving(ankang.make_app(setting({"gateway": gateway[1]}))) as url:
        assert (await client.post(f"{url}/v1/holds", json=hold())).status_code == 401


async def test_only_lines_in_stock_in_full_are_quoted(setting, gateway, client):
    async with serving(ankang.make_app(setting({"gateway": gateway[1]}))) as url:
        wanted = [{"drug": drug, "quantity": "60", "unit": "片"} for drug in ("D001", "D145")]
        asked = {"lines": wanted, "handover": "pickup", "place": PLACE}
        quotes = (await client.post(f"{url}/v1/quotes", json=asked, headers=BEARER)).json()["quotes"]
        assert [quote["store_id"] for quote in quotes] == ["AK01", "AK02"]
        assert quotes[0]["lines"] == [{"drug": "D001", "quantity": "60", "unit_price": "0.3100", "amount_fen": 1860}]


async def test_an_order_goes_from_hold_to_the_patients_hand_with_signed_callbacks(setting, gateway, client):
    listener, gateway_url = gateway
    async with serving(ankang.make_app(setting({"gateway": gateway_url}))) as url:
        first = (await client.post(f"{url}/v1/holds", json=hold(), headers=BEARER)).json()
        again = (await client.post(f"{url}/v1/holds", json=hold(), headers=BEARER)).json()
        assert (first["reference"], first["status"]) == (again["reference"], "held")
        placed = (await client.post(f"{url}/v1/orders", json=order(hold()), headers=BEARER)).json()
        assert placed == {"reference": first["reference"], "status": "ordered"}
        await until(lambda: len(listener.heard) == 2)
        wrong = await client.post(f"{url}/counter/pickup", json={"order_id": "ord_1", "code": "000000"})
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (409, "wrong_code")
        assert (await client.post(f"{url}/counter/pickup", json={"order_id": "ord_1", "code": "123456"})).is_success
        await until(lambda: len(listener.heard) == 3)
        told = [json.loads(body) for _, _, body in listener.heard]
        assert [event["status"] for event in told] == ["accepted", "prepared", "handed_over"]
        assert told[2]["pickup_code"] == "123456"
        for _, headers, body in listener.heard:
            signed = f"{headers['sanyi-timestamp']}\n{headers['sanyi-nonce']}\n".encode() + body
            assert headers["sanyi-signature"] == hmac.new(b"ankang-secret", signed, hashlib.sha256).hexdigest()
        book = (await client.get(f"{url}/book")).json()
        assert [(row["status"], row["collected_fen"]) for row in book["orders"]] == [("handed_over", 372)]
        assert "claim_secret" not in json.dumps(book)
        assert book["orders"][0]["package"]["slips"][0]["directions"] == "首日半量"
        shelf = next(row for row in book["stock"] if (row["store"], row["drug"]) == ("AK01", "D001"))
        assert shelf["opening"] - shelf["available"] == 60


async def test_a_lost_answer_breaks_the_line_after_the_effect(setting, gateway, client):
    async with serving(ankang.make_app(setting({"gateway": gateway[1]}, {"lose_answer_next": 1}))) as url:
        with pytest.raises(httpx.TransportError):
            await client.post(f"{url}/v1/holds", json=hold(), headers=BEARER)
        assert (await client.get(f"{url}/v1/orders/ord_1", headers=BEARER)).json()["status"] == "held"
        await client.post(f"{url}/v1/holds", json=hold(), headers=BEARER)
        book = (await client.get(f"{url}/book")).json()
        assert book["effects"] == [{"key": "hold ord_1", "count": 1}]
        assert book["asked"] == [{"key": "hold ord_1", "count": 2}]


async def test_the_same_day_has_the_same_faults_in_any_order(setting):
    faults = setting(faults={"lose_answer": 0.3}).faults
    again = setting(faults={"lose_answer": 0.3}).faults
    other_day = setting(faults={"lose_answer": 0.3}, seed=2).faults
    keys = [f"order {number}" for number in range(50)]
    day = {key: faults.strikes("lose_answer", key, 1) for key in keys}
    assert day == {key: again.strikes("lose_answer", key, 1) for key in reversed(keys)}
    assert day != {key: other_day.strikes("lose_answer", key, 1) for key in keys}
    assert 5 < sum(day.values()) < 25


async def test_an_unknown_fault_is_refused(setting, gateway, client):
    async with serving(ankang.make_app(setting({"gateway": gateway[1]}))) as url:
        assert (await client.post(f"{url}/sandbox/faults", json={"lose_anser": 1})).status_code == 422


async def test_a_chain_takes_rivaroxaban_and_then_declines(setting, gateway, client):
    listener, gateway_url = gateway
    async with serving(ankang.make_app(setting({"gateway": gateway_url}))) as url:
        held = hold(drug="D086", quantity="28", price="2.6", amount=7280)
        await client.post(f"{url}/v1/holds", json=held, headers=BEARER)
        await client.post(f"{url}/v1/orders", json=order(held), headers=BEARER)
        await until(lambda: listener.heard)
        event = json.loads(listener.heard[0][2])
        assert (event["status"], event["reason"]) == ("declined", "out_of_stock")
        answer = await client.post(f"{url}/v1/orders/ord_1/cancel", json={"reason": "declined"}, headers=BEARER)
        assert answer.json()["status"] == "cancelled"
        book = (await client.get(f"{url}/book")).json()
        assert all(shelf["available"] == shelf["opening"] for shelf in book["stock"])


async def test_a_cancel_gives_the_stock_back_once_and_is_too_late_after_the_handover(setting, gateway, client):
    listener, gateway_url = gateway
    async with serving(ankang.make_app(setting({"gateway": gateway_url}))) as url:
        await client.post(f"{url}/v1/holds", json=hold(), headers=BEARER)
        for _ in range(2):
            answer = await client.post(f"{url}/v1/orders/ord_1/cancel", json={"reason": "other"}, headers=BEARER)
            assert answer.json()["status"] == "cancelled"
        late = await client.post(f"{url}/v1/orders", json=order(hold()), headers=BEARER)
        assert late.json()["error"]["code"] == "hold_expired"
        await client.post(f"{url}/v1/holds", json=hold("ord_2"), headers=BEARER)
        await client.post(f"{url}/v1/orders", json=order(hold("ord_2")), headers=BEARER)
        await until(lambda: len(listener.heard) == 2)
        await client.post(f"{url}/counter/pickup", json={"order_id": "ord_2", "code": "123456"})
        answer = await client.post(f"{url}/v1/orders/ord_2/cancel", json={"reason": "other"}, headers=BEARER)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "handed_over")
        book = (await client.get(f"{url}/book")).json()
        assert {"key": "cancel ord_1", "count": 1} in book["effects"]


async def test_a_callback_is_repeated_until_it_is_answered_under_new_nonces(setting, gateway, client):
    listener, gateway_url = gateway
    listener.answers = [503, 500]
    async with serving(baicao.make_app(setting({"gateway": gateway_url}))) as url:
        await client.post(f"{url}/api/reserve", json=reserve(), headers=KEY)
        placed = {"rxNo": "rx_1", "takeWay": "自提", "usage": usage(1), "claimKey": "shh", "codeDigest": "0" * 64,
                  "selfPayAmt": "3.60",
                  "totalAmt": "18.00"}
        answer = (await client.post(f"{url}/api/order", json=reserve() | placed, headers=KEY)).json()
        assert (answer["code"], answer["data"]["state"]) == (0, "已接单")
        await until(lambda: len(listener.heard) == 3)
        assert len({body for _, _, body in listener.heard}) == 1
        assert len({headers["sanyi-nonce"] for _, headers, _ in listener.heard}) == 3
        assert json.loads(listener.heard[0][2])["state"] == "已备药"


async def test_baicao_delivers_and_takes_one_line_back_after_the_settlement(setting, gateway, client):
    listener, gateway_url = gateway
    async with serving(baicao.make_app(setting({"gateway": gateway_url}))) as url:
        both = reserve() | {"items": [
            {"lineNo": 1, "drugCode": "D048", "qty": "28", "price": "1.98", "amt": "55.44"},
            {"lineNo": 2, "drugCode": "D072", "qty": "28", "price": "1.48", "amt": "41.44"}]}
        placed = both | {"rxNo": "rx_1", "takeWay": "配送", "usage": usage(1, 2), "claimKey": "shh", "selfPayAmt": "20.00",
                         "totalAmt": "96.88"}
        await client.post(f"{url}/api/reserve", json=both, headers=KEY)
        assert (await client.post(f"{url}/api/order", json=placed, headers=KEY)).json()["code"] == 4000
        placed["receiver"] = {"name": "示范", "mobile": "000", "addr": "示范路"}
        assert (await client.post(f"{url}/api/order", json=placed, headers=KEY)).json()["code"] == 0
        await until(lambda: len(listener.heard) == 3)
        notice = {"orderNo": "ord_1", "setlId": "S1", "totalAmt": "96.88", "fundAmt": "76.88", "acctAmt": "0.00",
                  "cashAmt": "20.00"}
        assert (await client.post(f"{url}/api/order/settle", json=notice, headers=KEY)).json()["code"] == 0
        await until(lambda: len(listener.heard) == 4)
        words = [json.loads(body) for _, _, body in listener.heard]
        assert [event["state"] for event in words] == ["已备药", "配送中", "已签收", "已退药"]
        assert (words[3]["lineNos"], words[3]["cause"]) == ([2], "质量问题")
        assert "示范路" not in json.dumps((await client.get(f"{url}/book")).json(), ensure_ascii=False)


async def test_two_orders_of_one_prescription_in_the_patients_hand_are_a_defect(setting, gateway, client):
    listener, gateway_url = gateway
    async with serving(ankang.make_app(setting({"gateway": gateway_url}))) as url:
        for name in ("ord_1", "ord_2"):
            await client.post(f"{url}/v1/holds", json=hold(name), headers=BEARER)
            await client.post(f"{url}/v1/orders", json=order(hold(name)), headers=BEARER)
        await until(lambda: len(listener.heard) == 4)
        for name in ("ord_1", "ord_2"):
            await client.post(f"{url}/counter/pickup", json={"order_id": name, "code": "123456"})
        book = (await client.get(f"{url}/book")).json()
        assert [defect["defect"] for defect in book["defects"]] == ["double_dispense"]


async def test_a_chain_goes_on_after_a_restart(setting, gateway, client):
    listener, gateway_url = gateway
    slow = setting({"gateway": gateway_url})
    slow.pace = 100
    async with serving(ankang.make_app(slow)) as url:
        await client.post(f"{url}/v1/holds", json=hold(), headers=BEARER)
        await client.post(f"{url}/v1/orders", json=order(hold()), headers=BEARER)
    assert listener.heard == []
    async with serving(ankang.make_app(setting({"gateway": gateway_url}))):
        await until(lambda: len(listener.heard) == 2)


async def test_an_event_may_come_twice_but_says_the_same(setting, gateway, client):
    listener, gateway_url = gateway
    async with serving(ankang.make_app(setting({"gateway": gateway_url}, {"duplicate_callback": 1}))) as url:
        await client.post(f"{url}/v1/holds", json=hold(), headers=BEARER)
        await client.post(f"{url}/v1/orders", json=order(hold()), headers=BEARER)
        await until(lambda: len(listener.heard) == 4)
        assert len({body for _, _, body in listener.heard}) == 2


async def test_a_recalled_lot_is_taken_out_of_what_lies_packed_and_told_again(setting, gateway, client):
    listener, gateway_url = gateway
    async with serving(baicao.make_app(setting({"gateway": gateway_url}, faults={"awaits_recall": 60}))) as url:
        items = reserve("ord_9", RECALLED, "60", "0.44", "26.40")
        await client.post(f"{url}/api/reserve", json=items, headers=KEY)
        order = {**items, "rxNo": "rx_9", "takeWay": "配送", "claimKey": "shh", "totalAmt": "26.40",
                 "selfPayAmt": "0.00", "receiver": {"name": "示范", "mobile": "000", "addr": "示范路"}, "usage": usage(1)}
        placed = (await client.post(f"{url}/api/order", json=order, headers=KEY)).json()
        assert placed["code"] == 0, placed

        async def packs():
            (ours,) = (await client.get(f"{url}/book")).json()["orders"]
            return ours["status"], {pack["lot"] for pack in ours.get("traces", ())}

        await until(lambda: listener.heard)
        assert await packs() == ("prepared", {f"BC{RECALLED}"})
        lot = {"drug": RECALLED, "lot": f"BC{RECALLED}"}
        assert (await client.post(f"{url}/sandbox/recall", json=lot)).json() == {"orders": ["ord_9"]}
        assert (await packs())[1] == {f"BC{RECALLED}N"}
        await until(lambda: len(listener.heard) >= 2)
        assert [json.loads(body)["state"] for _, _, body in listener.heard][:2] == ["已备药", "已备药"]
        assert (await client.post(f"{url}/sandbox/recall", json=lot)).json() == {"orders": []}, "once"

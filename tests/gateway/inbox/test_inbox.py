"""The inbox: a person of a shop sees and does what is of that shop, on pages and by the API alike."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from domain.lifecycle import Status
from gateway.app import create_app
from infra.db import access_log
from tasks.city import City
from tasks.fulfilment.sealed import open_secrets
from tests.support.city import admit, make_settings
from tests.support.line import Line
from tests.support.shop import OTHER_SHOP_TOKEN, PLACE, SHOP_TOKEN, SHOPS, with_shops

SHOP = {"Authorization": f"Bearer {SHOP_TOKEN}"}
OTHER = {"Authorization": f"Bearer {OTHER_SHOP_TOKEN}"}


@pytest.fixture
def town(city: City) -> City:
    return with_shops(city)


@pytest.fixture
def line(town: City) -> Line:
    return Line(town)


@pytest.fixture
def client(town: City, tmp_path: Path) -> TestClient:
    return TestClient(create_app(town, make_settings(tmp_path, shops=SHOPS)), follow_redirects=False, raise_server_exceptions=False)


@pytest.fixture
def rx(line: Line) -> str:
    made = admit(line.city)[0]
    line.to_fulfilling(made)
    return made


def api(client: TestClient, path: str, who: dict[str, str] = SHOP, **body: Any) -> tuple[int, Any]:
    """An act where the path ends in one, else a look."""
    looks = path.count("/") < 3
    answer = (client.get(f"/api/inbox/{path}", headers=who) if looks
              else client.post(f"/api/inbox/{path}", headers=who, content=json.dumps(body)))
    return answer.status_code, answer.json()


def code_of(line: Line, rx: str) -> str:
    return open_secrets(line.city, line.order(rx))["pickup_code"]


def test_an_order_is_worked_through_by_the_api(client: TestClient, line: Line, rx: str) -> None:
    status, listed = api(client, "orders")
    (order,) = listed["orders"]
    assert (status, order["id"], order["supported_actions"], bool(order["accept_by"])) == (200, rx, ["accept", "decline"], True)
    assert "recipient" not in order
    path = f"orders/{rx}/1"
    assert api(client, f"{path}/accept")[1]["supported_actions"] == ["prepare", "decline"]
    assert api(client, f"{path}/prepare")[1]["supported_actions"] == ["hand_over", "decline"]
    assert api(client, f"{path}/hand_over", proof="no")[0] == 422
    after = api(client, f"{path}/hand_over", proof=code_of(line, rx), method="cash")[1]
    assert (after["status"], after["supported_actions"]) == ("handed_over", ["take_back"])
    line.hop(rx)
    line.deliver()
    whole = client.get(f"/api/inbox/{path}", headers=SHOP).json()
    assert whole["settlement"]["total_fen"] == whole["total_fen"]
    day = client.get("/api/inbox/day", headers=SHOP).json()
    assert (day["handed_over"], day["total_fen"], day["settled"]["total"]) == (1, whole["total_fen"], whole["total_fen"])
    assert day["collect_fen"] == whole["patient_due_fen"] == day["settled"]["cash"]
    assert api(client, f"{path}/take_back", reason="quality", lines=[1])[1]["returned_lines"] == [1]
    line.hop(rx)
    assert line.status(rx) is Status.SETTLED


def test_the_same_acts_are_on_the_page(client: TestClient, line: Line, rx: str) -> None:
    def page(path: str = f"/inbox/{rx}/1") -> str:
        answer = client.get(path, headers=SHOP)
        assert answer.status_code == 200
        return answer.text

    def press(act: str, **fields: str) -> int:
        return client.post(f"/inbox/{rx}/1/{act}", headers=SHOP, data=fields).status_code

    assert f'action="/inbox/{rx}/1/accept"' in page("/inbox")
    assert press("accept") == press("accept") == 303
    assert re.findall(rf'action="/inbox/{rx}/1/(\w+)"', page()) == ["prepare", "decline"]
    press("prepare")
    assert 'name="proof"' in page()
    assert press("hand_over", proof="AAAA") == 422
    assert press("hand_over", proof=code_of(line, rx), method="cash") == 303
    assert press("take_back", reason="quality") == 422
    late = client.post(f"/inbox/{rx}/1/accept", headers=SHOP)
    assert late.status_code == 303, "it was accepted before: nothing more happens"
    late = client.post(f"/inbox/{rx}/1/decline", headers=SHOP, data={"reason": "closed"})
    assert late.status_code == 409
    assert "S001 已于" in late.text
    assert client.get(f"/inbox/{rx}/1/accept", headers=SHOP).headers["location"] == f"/inbox/{rx}/1"
    assert page("/inbox/day").count(rx[-5:].upper()) == 1


def test_a_person_of_another_shop_sees_and_does_nothing(client: TestClient, line: Line, rx: str) -> None:
    assert client.get("/api/inbox/orders", headers=OTHER).json() == {"shop": "linli/LL02", "orders": []}
    for path in (f"/inbox/{rx}/1", f"/inbox/{rx}/1/label", f"/inbox/{rx}/1/slip", f"/api/inbox/orders/{rx}/1",
                 f"/inbox?shop={PLACE}", f"/inbox/stock?shop={PLACE}", f"/inbox/day?shop={PLACE}"):
        assert client.get(path, headers=OTHER).status_code == 404, path
    assert client.post(f"/api/inbox/orders/{rx}/1/accept", headers=OTHER, content="{}").status_code == 404
    assert client.post("/api/inbox/stock", headers=OTHER, json={"shop": PLACE, "drug": "D001", "counted": "0"}).status_code == 404
    assert line.order(rx).status == "ordered"


def test_whoever_has_no_shop_has_no_inbox(client: TestClient, pharmacist: dict[str, str], operator: dict[str, str]) -> None:
    for who in (pharmacist, operator):
        for path in ("/inbox", "/inbox/stock", "/inbox/day", "/api/inbox/orders", "/inbox/rx_aaaaaaaaaaaaaaaa/1"):
            assert client.get(path, headers=who).status_code == 403
    assert client.get("/inbox").headers["location"] == "/sign-in?next=/inbox"
    assert client.get("/", headers=SHOP).headers["location"] == "/inbox"


def test_each_look_at_an_order_and_each_act_is_in_the_access_log_and_the_list_is_not(
        client: TestClient, line: Line, rx: str) -> None:
    client.get("/inbox", headers=SHOP)
    client.get(f"/inbox/{rx}/1", headers=SHOP)
    client.get(f"/inbox/{rx}/1/label", headers=SHOP)
    client.post(f"/inbox/{rx}/1/accept", headers=SHOP)
    client.post(f"/inbox/{rx}/1/hand_over", headers=SHOP, data={"proof": "A"})
    client.post("/inbox/stock", headers=SHOP, data={"drug": "D001", "price": "999"})
    with line.city.db.reading() as session:
        assert access_log.verify(session) == []
        entries = [(entry.kind, entry.capability, entry.prescription_id, entry.detail)
                   for entry in reversed(access_log.search(session, person="S001"))]
    assert entries == [
        ("view", "see_order", rx, ""), ("view", "see_order", rx, ""), ("act", "fill_orders", rx, ""), ("act", "hand_over", rx, ""),
        ("refused", "hand_over", rx, "not_now"), ("act", "keep_shop", "", ""), ("refused", "keep_shop", "", "price_over")]


def test_the_outer_label_names_no_drug_and_no_whole_phone_number(client: TestClient, line: Line) -> None:
    rx = admit(line.city, sample="home_delivery")[0]
    line.to_fulfilling(rx)
    whole = client.get(f"/api/inbox/orders/{rx}/1", headers=SHOP).json()
    label, slip = (client.get(f"/inbox/{rx}/1/{page}", headers=SHOP).text for page in ("label", "slip"))
    names = {line["name"] for line in whole["lines"]} | {line["label"]["name"] for line in whole["lines"]}
    assert [name for name in names if name in label] == []
    assert all(name in slip for name in names)
    assert "****" in whole["recipient"]["phone"]
    assert whole["recipient"]["phone"] in label
    assert whole["recipient"]["address"] in label
    assert not re.search(r"[0-9]{11}", re.sub(r"[0-9a-z_]{16,}", "", label))


def test_stock_prices_and_hours_are_kept_on_a_page(client: TestClient) -> None:
    def keep(**fields: str) -> int:
        return client.post("/inbox/stock", headers=SHOP, data={"drug": "D001 盐酸二甲双胍片", **fields}).status_code

    def shelf() -> dict[str, Any]:
        shelves = client.get("/api/inbox/stock", headers=SHOP).json()["shelves"]
        return next(shelf for shelf in shelves if shelf["drug"] == "D001")

    assert keep(counted="70", price="0.2") == 303
    assert (shelf()["quantity"], shelf()["price"]) == ("70.000", "0.2000")
    assert keep(received="30", key="a") == keep(received="30", key="a") == 303
    assert shelf()["available"] == "100.000"
    assert keep(price="99") == 422
    assert "最高限价" in client.post("/inbox/stock", headers=SHOP, data={"drug": "D001", "price": "99"}).text
    assert client.post("/inbox/hours", headers=SHOP, data={"opens": "8", "closes": "20:00"}).status_code == 422
    assert client.post("/inbox/hours", headers=SHOP, data={"opens": "08:00", "closes": "20:00", "on_duty": "on"}).status_code == 303
    assert client.get("/api/inbox/hours", headers=SHOP).json() == {
        "shop": PLACE, "opens": "08:00", "closes": "20:00", "on_duty": True, "shut": False}
    assert client.post("/api/inbox/hours", headers=SHOP, json={"opens": "08:00", "closes": "08:00", "shut": True}).json()["shut"]


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"proof": 1}', b'{"other": "1"}', b'{"lines": ["x"]}',
                                  b'{"proof": "1", "proof": "2"}'])
def test_a_body_that_is_not_as_agreed_is_refused_without_its_words(client: TestClient, rx: str, body: bytes) -> None:
    answer = client.post(f"/api/inbox/orders/{rx}/1/accept", headers=SHOP, content=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid")


def test_an_act_that_nobody_knows_is_no_address(client: TestClient, rx: str) -> None:
    for path in (f"/inbox/{rx}/1/burn", f"/api/inbox/orders/{rx}/1/burn", f"/inbox/{rx}/one/accept"):
        assert client.post(path, headers=SHOP, content="{}").status_code in (404, 422)


def test_a_shop_person_signs_in_by_the_page_and_lands_in_the_inbox(client: TestClient) -> None:
    answer = client.post("/sign-in", data={"code": SHOP_TOKEN}, headers={"Origin": "http://testserver"})
    assert answer.headers["location"] == "/inbox"
    assert client.get("/inbox").status_code == 200
    assert client.post("/inbox/hours", data={"opens": "08:00", "closes": "20:00"}, headers={"Origin": "https://elsewhere"}
                       ).status_code == 403

"""The review desk keeps contract 4, as an API and as pages."""

import asyncio
import re
from typing import Any

import pytest
from fastapi.testclient import TestClient

from domain.findings import Finding, Severity
from infra.db import prescriptions
from tasks.city import City
from tasks.line import hop
from tests.city import COLLEAGUE_TOKEN, PHARMACIST_TOKEN, PRESCRIBER_TOKEN, Clock, admit

ME = {"Authorization": f"Bearer {PHARMACIST_TOKEN}"}
COLLEAGUE = {"Authorization": f"Bearer {COLLEAGUE_TOKEN}"}
WARNING = Finding("DDI_MAJOR", Severity.WARN, "B-20", "item[1]", "两药合用须监测", "monitor when used together",
                  "监测血糖", "monitor glucose", "说明书", 1)


@pytest.fixture
def rx_id(city: City) -> str:
    """A prescription in the queue, with one warning."""
    made = admit(city)[0]
    asyncio.run(hop(city, made))
    with city.db.transaction() as session:
        found = prescriptions.findings(session, made)
        prescriptions.save_findings(session, made, [*found, WARNING])
    return made


def claim(client: TestClient, rx_id: str, who: dict[str, str] = ME) -> Any:
    return client.post(f"/api/review/{rx_id}/claim", headers=who)


def decide(client: TestClient, rx_id: str, who: dict[str, str] = ME, **said: Any) -> Any:
    return client.post(f"/api/review/{rx_id}/decision", headers=who, json=said)


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


PASS = {"decision": "pass", "reasons": {"DDI_MAJOR": "已安排监测血糖"}}


def test_the_queue_tells_who_waits_and_how_long(client: TestClient, rx_id: str, clock: Clock) -> None:
    clock.advance(minutes=3)
    claim(client, rx_id, COLLEAGUE)

    items = client.get("/api/review/queue", headers=ME).json()["items"]

    assert len(items) == 1
    assert items[0] | {"valid_until": ""} == {
        "id": rx_id, "position": 1, "waiting_seconds": 180, "valid_until": "", "hospital": "jinan_first",
        "claimed_by": "P002", "expedited": False, "warnings": 1}


def test_what_expires_soon_is_reviewed_before_what_came_first(city: City, client: TestClient, clock: Clock) -> None:
    first = admit(city, 1, sample="home_delivery")[0]  # valid for two days
    asyncio.run(hop(city, first))
    clock.advance(hours=1)
    second = admit(city, 1)[0]  # valid for one
    asyncio.run(hop(city, second))

    def order() -> list[str]:
        return [item["id"] for item in client.get("/api/review/queue", headers=ME).json()["items"]]

    assert order() == [first, second]
    clock.advance(hours=21, minutes=30)
    assert order() == [second, first]


def test_a_claim_shows_drugs_findings_and_no_person(client: TestClient, rx_id: str) -> None:
    answer = claim(client, rx_id)

    assert answer.status_code == 200
    assert answer.json()["expires_at"] == "2026-11-22T01:10:00+00:00"
    assert answer.json()["prescription"]["items"][0]["drug"] == "D001"
    assert answer.json()["prescription"]["patient"]["age_years"] == 68
    assert "DDI_MAJOR" in [finding["code"] for finding in answer.json()["findings"]]
    assert "示范患者" not in answer.text


def test_one_prescription_is_claimed_by_one_pharmacist_at_a_time(client: TestClient, rx_id: str, clock: Clock) -> None:
    assert claim(client, rx_id).status_code == 200
    assert code(claim(client, rx_id, COLLEAGUE)) == (409, "already_claimed")
    clock.advance(minutes=11)
    assert claim(client, rx_id, COLLEAGUE).status_code == 200
    assert code(decide(client, rx_id, **PASS)) == (409, "not_claimed")


def test_nobody_reviews_what_they_prescribed(client: TestClient, rx_id: str) -> None:
    assert code(claim(client, rx_id, {"Authorization": f"Bearer {PRESCRIBER_TOKEN}"})) == (409, "own_prescription")


def test_a_claim_that_ran_out_decides_nothing(client: TestClient, rx_id: str, clock: Clock) -> None:
    claim(client, rx_id)
    clock.advance(minutes=10)

    assert code(decide(client, rx_id, **PASS)) == (409, "claim_expired")


def test_a_pass_needs_a_reason_for_every_warning(client: TestClient, rx_id: str) -> None:
    claim(client, rx_id)

    assert code(decide(client, rx_id, decision="pass")) == (422, "reason_missing")
    assert code(decide(client, rx_id, decision="pass", reasons={"DDI_MAJOR": "可以"})) == (422, "reason_missing")
    assert decide(client, rx_id, **PASS).json() == {"id": rx_id, "status": "reviewed"}


def test_a_rejection_needs_a_known_code_and_words(client: TestClient, rx_id: str) -> None:
    claim(client, rx_id)

    assert code(decide(client, rx_id, decision="reject", text="剂量过大")) == (422, "code_missing")
    assert code(decide(client, rx_id, decision="return", codes=["2-5"], text=" ")) == (422, "text_missing")
    assert code(decide(client, rx_id, decision="reject", codes=["9-9"], text="剂量过大")) == (422, "unknown_code")
    assert decide(client, rx_id, decision="return", codes=["2-5"], text="剂量过大").json()["status"] == "returned"


def test_the_same_decision_again_gives_the_same_answer(client: TestClient, rx_id: str, clock: Clock) -> None:
    claim(client, rx_id)
    first = decide(client, rx_id, **PASS)
    clock.advance(hours=1)

    assert decide(client, rx_id, **PASS).json() == first.json()
    assert code(decide(client, rx_id, decision="reject", codes=["2-5"], text="不行")) == (409, "not_in_review")


@pytest.mark.parametrize("body", [b"", b"[]", b'{"decision": 1}', b'{"decision": "pass", "extra": 1}', b"\xff"])
def test_a_decision_not_as_agreed_is_refused_without_quoting_it(client: TestClient, rx_id: str, body: bytes) -> None:
    claim(client, rx_id)

    answer = client.post(f"/api/review/{rx_id}/decision", headers=ME, content=body)

    assert code(answer) == (422, "invalid")


def test_an_unknown_prescription_is_not_found(client: TestClient) -> None:
    assert code(claim(client, "rx_unknown")) == (404, "unknown_prescription")
    assert code(decide(client, "rx_unknown", **PASS)) == (404, "unknown_prescription")
    assert client.get("/review/rx_unknown", headers=ME).status_code == 404


def test_only_pharmacists_review(client: TestClient, rx_id: str, operator: dict[str, str]) -> None:
    assert code(claim(client, rx_id, operator)) == (403, "forbidden")
    assert code(client.get("/api/review/queue")) == (401, "unauthorized")


# --- The pages ---


def post(client: TestClient, path: str, **fields: Any) -> Any:
    return client.post(path, data=fields, headers={"Origin": "http://testserver"})


@pytest.fixture
def desk(client: TestClient) -> TestClient:
    """A pharmacist who signed in."""
    assert post(client, "/sign-in", code=PHARMACIST_TOKEN).headers["location"] == "/review"
    return client


def test_a_pharmacist_claims_reads_and_passes_on_pages_alone(desk: TestClient, rx_id: str) -> None:
    assert rx_id in desk.get("/review").text
    assert 'name="decision"' not in desk.get(f"/review/{rx_id}").text

    assert post(desk, f"/review/{rx_id}/claim").headers["location"] == f"/review/{rx_id}"
    page = desk.get(f"/review/{rx_id}").text
    for shown in ("盐酸二甲双胍片", "500 mg", "每日2次", "口服", "2型糖尿病", "两药合用须监测", "监测血糖", "B-20",
                  "说明书", 'name="reason:DDI_MAJOR"', 'value="2-5"'):
        assert shown in page

    done = post(desk, f"/review/{rx_id}/decision", decision="pass", **{"reason:DDI_MAJOR": "已安排监测血糖"})
    assert done.status_code == 303
    assert "审方通过" in desk.get(done.headers["location"]).text


@pytest.mark.parametrize(("fields", "status", "said"), [
    ({"decision": "pass", "reason:DDI_MAJOR": "短"}, 422, "请写明理由"),
    ({"decision": "reject", "text": "写好的意见"}, 422, "须至少一个审核条目代码"),
    ({"decision": "return", "codes": "2-5"}, 422, "须写明意见"),
    ({"decision": "nonsense"}, 422, "decision"),
])
def test_what_is_wrong_is_shown_in_place_and_nothing_typed_is_lost(
        desk: TestClient, rx_id: str, fields: dict[str, str], status: int, said: str) -> None:
    post(desk, f"/review/{rx_id}/claim")

    answer = post(desk, f"/review/{rx_id}/decision", **fields)

    assert answer.status_code == status
    assert said in answer.text
    for name in ("text", "reason:DDI_MAJOR"):
        assert fields.get(name, "") in answer.text
    if "codes" in fields:
        assert re.search(r'value="2-5" checked', answer.text)


def test_a_claim_that_is_taken_is_said_on_the_page(desk: TestClient, rx_id: str, client: TestClient) -> None:
    claim(client, rx_id, COLLEAGUE)

    answer = post(desk, f"/review/{rx_id}/claim")

    assert answer.status_code == 409
    assert "已被其他药师领取" in answer.text
    assert "P002 正在审核" in answer.text

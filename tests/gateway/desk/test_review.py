"""The review desk keeps contract 4, as an API and as pages."""

import asyncio
import re
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from domain.findings import Finding, Severity
from domain.knowledge.rows import Frequency
from domain.prescription import (
    Approval,
    Decoction,
    Pack,
    Reading,
    Renewal,
    Signature,
    SkinTest,
    SkinTestResult,
)
from infra.db import audits, prescriptions
from infra.db.rows import PrescriptionRow
from infra.db.stored import PRESCRIPTION
from tasks.city import City
from tasks.line import hop
from tests.support.city import COLLEAGUE_TOKEN, PHARMACIST_TOKEN, PRESCRIBER_TOKEN, Clock, admit
from tests.support.records import audited

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
        audited(session, made, *audits.findings(session, made), WARNING)
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


@pytest.mark.parametrize("body", [b"", b"[]", b'{"decision": 1}', b'{"decision": "pass", "extra": 1}',
                                  b'{"decision": "reject", "decision": "pass"}',
                                  rb'{"decision": "reject", "codes": ["2-5"], "text": "\u0000"}', b"\xff"])
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


def words_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page))


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
    for shown in ("盐酸二甲双胍片", "每日2次", "口服", "2型糖尿病", "两药合用须监测", "监测血糖", "B-20",
                  "说明书", 'name="reason:DDI_MAJOR"', 'value="2-5"'):
        assert shown in page
    assert "每次 500 mg，每日2次，口服，用药 30 天，共 60 片" in words_of(page)

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


# What the prescriber said

TOLD = {
    "note": "空腹血糖大于 4 再服", "extend_reason": "病情稳定,外出务工", "valid_reason": "患者住山区,两日内方能取药",
    "decoction": Decoction(7, "decoct", 2), "renewal": Renewal("RX-FIRST-1", date(2026, 10, 1), date(2026, 12, 31)),
    "readings": (Reading("85354-9", None, "", datetime(2026, 11, 22, 0, 30, tzinfo=UTC),
                         (("8480-6", Decimal(142), "mm[Hg]"), ("8462-4", Decimal(88), "mm[Hg]"))),),
    "signature": Signature(datetime(2026, 11, 22, 0, 59, tzinfo=UTC), "1.2.840.10065.1.12.1.1", "ab" * 32),
}
TOLD_OF_ITEM = {
    "directions": "首日半量,随餐;<b>不可</b>掰开", "note": "漏服不补", "overdose_reason": "血糖控制不佳,已与上级医师讨论",
    "decoction_mark": "last", "approval": Approval.COVERED, "may_substitute": False,
    "skin_test": SkinTest(SkinTestResult.NEGATIVE, datetime(2026, 11, 22, 0, 40, tzinfo=UTC)),
    "pack": Pack(Decimal("0.5"), "g", 60),
}


IN_BOTH = (
    "空腹血糖大于 4 再服", "病情稳定,外出务工", "患者住山区,两日内方能取药", "首日半量,随餐;&lt;b&gt;不可&lt;/b&gt;掰开",
    "漏服不补", "血糖控制不佳,已与上级医师讨论", "青霉素过敏性休克史", "RX-FIRST-1", "0.5 g × 60",
)
SHOWN = {
    "zh": (*IN_BOTH, "7 剂，水煎服，每日分 2 次", "2026-10-01 至 2026-12-31", "收缩压 142 mm[Hg]", "未验证", "后下", "阴性",
           "医院确认符合医保限定支付条件", "医院确认符合医保支付条件:射血分数降低", "未编码，医院原文", "父母", "已确认",
           "医师不同意换用其他产品"),
    "en": (*IN_BOTH, "7 doses, decocted in water, in 2 portions a day", "2026-10-01 to 2026-12-31", "systolic 142 mm[Hg]",
           "not verified", "added at the end", "negative", "the hospital confirms", "reduced ejection fraction",
           "not coded, as sent", "parent", "confirmed", "the prescriber wants no other product"),
}
"""Language of a page -> what it must say."""


def tell(city: City, rx_id: str, *, patient: dict[str, Any] | None = None, **changes: Any) -> None:
    """Put words into a stored prescription."""
    with city.db.transaction() as session:
        rx = prescriptions.load(session, rx_id).prescription
        first = replace(rx.items[0], **changes.pop("item", {}))
        rx = replace(rx, items=(first, *rx.items[1:]), patient=replace(rx.patient, **patient or {}), **changes)
        session.execute(sa.update(PrescriptionRow).where(PrescriptionRow.id == rx_id).values(
            content=PRESCRIPTION.write(rx)))


@pytest.mark.parametrize("language", SHOWN)
@pytest.mark.parametrize("path", ["/review/", "/rx/"])
def test_everything_the_prescriber_said_is_on_the_page(
    city: City, desk: TestClient, rx_id: str, path: str, language: str
) -> None:
    tell(city, rx_id, item=TOLD_OF_ITEM, **TOLD, patient={
        "allergy_words": ("青霉素过敏性休克史",), "guardian": "parent", "guardian_confirmed": True})
    with city.db.transaction() as session:
        audited(session, rx_id, *audits.findings(session, rx_id), Finding(
            "APPROVED", Severity.INFO, "F-04", "item[1].approval", "医院确认符合医保支付条件:射血分数降低",
            "reduced ejection fraction", line=1))
    text = words_of(desk.get(f"{path}{rx_id}", headers={"Accept-Language": language}).text)
    for words in SHOWN[language]:
        assert words in text, words


@pytest.mark.parametrize("path", ["/review/", "/rx/"])
def test_a_frequency_of_a_citys_own_table_is_shown_though_we_have_no_english_for_it(
    city: City, desk: TestClient, rx_id: str, path: str
) -> None:
    city.knowledge.frequencies["q3w"] = Frequency("q3w", "每三周一次", 1, 21)
    try:
        tell(city, rx_id, item={"frequency": "q3w"})
        page = desk.get(f"{path}{rx_id}")
    finally:
        del city.knowledge.frequencies["q3w"]
    assert (page.status_code, "每三周一次" in page.text) == (200, True)


@pytest.mark.parametrize(("patient", "shown", "not_shown"), [
    ({"allergies": (), "no_known_allergies": True}, ("无已知过敏", "none known"), ("未报告", "not reported")),
    ({"allergies": (), "no_known_allergies": False}, ("未报告", "not reported"), ("无已知过敏", "none known")),
    ({"allergies": ("ALG01",)}, ("ALG01", "ALG01"), ("未报告", "not reported")),
    ({"age_months": 0, "age_days": 27}, ("27 天", "27 d"), ("个月", "months")),
    ({"age_months": 0, "age_days": 28}, ("0 个月", "0 months"), ("28 天", "28 d")),
    ({"age_months": 35, "age_days": 1090}, ("35 个月", "35 months"), ("2 岁", "male, 2")),
    ({"age_months": 36, "age_days": 1096}, ("3 岁", "male, 3"), ("36 个月", "36 months")),
    ({"age_months": 5, "age_days": None}, ("5 个月", "5 months"), ("0 岁", "male, 0")),
])  # fmt: skip
@pytest.mark.parametrize(("language", "first", "last"), [("zh", "患者", "诊断"), ("en", "patient", "diagnoses")])
def test_what_is_known_of_the_patient_is_told_from_what_is_not(
    city: City, desk: TestClient, rx_id: str, patient: dict[str, Any], shown: tuple[str, str], not_shown: tuple[str, str],
    language: str, first: str, last: str
) -> None:
    tell(city, rx_id, patient={"allergy_words": ()} | patient)
    text = words_of(desk.get(f"/review/{rx_id}", headers={"Accept-Language": language}).text)
    facts = text[text.index(first):text.index(last)]
    number = ("zh", "en").index(language)
    assert shown[number] in facts
    assert not_shown[number] not in facts


def test_the_desk_says_the_same_by_its_api(city: City, client: TestClient, rx_id: str) -> None:
    tell(city, rx_id, item=TOLD_OF_ITEM, **TOLD)
    said = claim(client, rx_id).json()["prescription"]
    assert said["signature"] == {"at": "2026-11-22T00:59:00+00:00", "type": "1.2.840.10065.1.12.1.1", "sha256": "ab" * 32,
                                 "verified": False}
    assert said["items"][0]["directions"] == TOLD_OF_ITEM["directions"]
    assert said["items"][0]["skin_test"] == {"result": "negative", "at": "2026-11-22T00:40:00+00:00", "exemption": ""}
    assert [item["may_substitute"] for item in said["items"]] == [False, *[None] * (len(said["items"]) - 1)]
    assert (said["items"][0]["approval"], said["decoction"]) == ("1", {"doses": 7, "method": "decoct", "times": 2})

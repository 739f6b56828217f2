"""The pages of operations: the board, a prescription's story, a run, a list."""

import asyncio
import html
import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from jinja2 import nodes

from domain.chains import ChainWord
from domain.fulfilment.ranking import summands
from domain.lifecycle import Status
from gateway.web.language import Language
from gateway.web.render import Pages
from infra.db import drawings, history, prescriptions, views
from infra.db.drawings import Drawing
from infra.log import bind
from tasks.city import City
from tasks.line import hop
from tasks.reports import deliver_due
from tests.support.city import OPERATOR_TOKEN, Clock, admit, make_settings, pass_review, rxno, say

RUN = "0b5c9d6e-1111-4222-8333-444455556666"


def drive(city: City, *ids: str, run: str = "") -> None:
    async def all_of_them() -> None:
        with bind(run=run):
            for rx_id in ids:
                await hop(city, rx_id)

    asyncio.run(all_of_them())


@pytest.fixture
def page(client: TestClient) -> TestClient:
    """An operator who signed in."""
    client.post("/sign-in", data={"code": OPERATOR_TOKEN}, headers={"Origin": "http://testserver"})
    return client


@pytest.fixture
def settled(city: City, clock: Clock) -> str:
    """A prescription that went all the way to the fund's settlement, in runs of Prefect."""
    rx_id = admit(city)[0]
    drive(city, rx_id, run=RUN)
    clock.advance(minutes=2)
    pass_review(city, rx_id)
    drive(city, rx_id, run=RUN)
    for status in (ChainWord.ACCEPTED, ChainWord.PREPARED, ChainWord.HANDED_OVER):
        clock.advance(minutes=5)
        say(city, rx_id, status)
    drive(city, rx_id, run=RUN)
    asyncio.run(deliver_due(city))
    return rx_id


ENGLISH = {"Accept-Language": "en"}


def timeline(page: TestClient, rx_id: str) -> list[tuple[str, str]]:
    """What each row of the history says in Chinese and in English, the newest first."""
    zh, en = (_rows(page.get(f"/rx/{rx_id}", headers=headers).text) for headers in ({}, ENGLISH))
    return list(zip(zh, en, strict=True))


def _rows(text: str) -> list[str]:
    rows = re.findall(r'<div class="what">(.*?)</div>', text, re.DOTALL)
    return [html.unescape(re.sub(r"<span class=\"tag.*|<[^>]+>", "", row, flags=re.DOTALL)).strip() for row in rows]


def words(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", text))


def test_a_settled_prescription_tells_its_whole_story(page: TestClient, settled: str) -> None:
    text = page.get(f"/rx/{settled}").text
    story = words(text)

    for said in ("已结算", "患者", "退药期结束", "示范市第一医院", rxno(1), "履历链已验证", "药师 P001",
                 "安康示范连锁", "加分最多的是", "患者已拿到药", "18.00", "14.40", "3.60", "统筹基金 310 -14.40",
                 "0.00 ✓", "报告医院", "已送达", "预占库存", "结算"):
        assert said in story, said
    story = words(page.get(f"/rx/{settled}", headers=ENGLISH).text)
    for said in ("settled", "the patient", "until the return window ends", "Demo City First Hospital", "Chain verified",
                 "pharmacist P001", "Ankang Demo Chain", "it gains most from", "18.00", "14.40", "3.60", "fund 310 -14.40",
                 "0.00 ✓", "report to the hospital", "delivered", "hold", "settle"):
        assert said in story, said
    assert f'href="http://prefect.example:4200/runs/flow-run/{RUN}"' in text
    assert f'href="/runs/{RUN}"' in text


def test_a_prescription_leads_to_its_own_run_in_prefect(page: TestClient, city: City, settled: str) -> None:
    assert "在 Prefect 中的运行" not in page.get(f"/rx/{settled}").text
    with city.db.transaction() as session:
        drawings.intend(session, [settled], city.now())
        drawings.save(session, [Drawing(settled, RUN, "", "", 0, open=False, need="", at=city.now())], {}, {settled: ""})
    assert f'/runs/flow-run/{RUN}">' in page.get(f"/rx/{settled}").text


def test_templates_ask_for_nothing_that_is_not_there(city: City, tmp_path: Path) -> None:
    """Jinja finds an unknown filter only when it comes to it, be it years later."""
    templates = Pages(city, make_settings(tmp_path)).environments[Language.ZH]
    for name in templates.list_templates(extensions=["html"]):
        source, _, _ = templates.loader.get_source(templates, name)
        asked = templates.parse(source)
        assert {one.name for one in asked.find_all(nodes.Filter)} <= templates.filters.keys(), name
        assert {one.name for one in asked.find_all(nodes.Test)} <= templates.tests.keys(), name


def test_every_event_of_a_history_is_said_in_both_languages(page: TestClient, settled: str) -> None:
    told = page.get(f"/api/rx/{settled}").json()["history"]
    lines = timeline(page, settled)

    assert len(lines) == len(told) > 10
    assert all(zh and en and "{" not in zh + en for zh, en in lines)
    assert ("进入审方队列", "queued for a pharmacist") in lines
    assert ("药店消息：已备药", "the pharmacy says: order prepared") in lines
    assert any(zh.startswith("已向 安康示范连锁 ") and en.startswith("order placed at Ankang") for zh, en in lines)
    assert lines[0] == ("医保已结算", "the fund has settled")


def test_a_history_written_before_there_were_codes_reads_the_same(page: TestClient, city: City, settled: str) -> None:
    before = timeline(page, settled)
    with city.db.transaction() as session:
        for code, sentence in (("queued", "queued for a pharmacist"), ("order_update", "order prepared"),
                               ("settled", "the fund has settled"), ("audited", "nothing found")):
            session.connection().exec_driver_sql(
                "UPDATE history SET reason = ? WHERE reason = ? AND prescription_id = ?", (sentence, code, settled))

    after = timeline(page, settled)
    updates = [number for number, (zh, _) in enumerate(before) if zh.startswith("药店消息")]
    assert [line for number, line in enumerate(after) if number not in updates] == [
        line for number, line in enumerate(before) if number not in updates]
    assert {after[number] for number in updates} == {("药店消息：已备药", "the pharmacy says: order prepared")}


@pytest.mark.parametrize(("stored", "zh", "en"), [
    ("hold:ankang", "安康示范连锁 预占库存", "a hold at Ankang"), ("hold at ankang", "安康示范连锁 预占库存", "a hold at Ankang"),
    ("decision", "药师审方", "a pharmacist's decision"),
    ("person_setup", "人工：配置、密钥或合作方账目", "a person: configuration"),
    ("of_a_newer_release", "of_a_newer_release", "of_a_newer_release")])
def test_a_wait_is_said_in_both_languages_on_its_page_and_in_the_list(
        page: TestClient, city: City, stored: str, zh: str, en: str) -> None:
    rx_id = admit(city)[0]
    with city.db.transaction() as session:
        history.wait(session, prescriptions.load(session, rx_id).head, until=None, waiting_for=stored)
    for address in (f"/rx/{rx_id}", "/rx?status=received"):
        assert zh in html.unescape(words(page.get(address).text)), address
        assert en in html.unescape(words(page.get(address, headers=ENGLISH).text)), address
    assert page.get(f"/api/rx/{rx_id}").json()["waiting_for"] == stored


def test_a_flipped_byte_is_named_on_the_page_and_by_the_proof(
        page: TestClient, city: City, settled: str, operator: dict[str, str]) -> None:
    assert page.get("/api/ops/verify", headers=operator).json()["broken"] == []
    with city.db.transaction() as session:
        session.connection().exec_driver_sql(
            "UPDATE history SET reason = 'Passed' WHERE reason = 'passed' AND prescription_id = ?", (settled,))

    assert "履历链在第 4 行断裂" in words(page.get(f"/rx/{settled}").text)
    assert page.get(f"/api/rx/{settled}").json()["verified"] is False
    assert page.get("/api/ops/verify", headers=operator).json()["broken"] == [
        {"prescription_id": settled, "seq": 4, "what": "content does not match its hash"}]


def test_trouble_is_told_in_words_with_what_to_do(page: TestClient, city: City) -> None:
    city.payer.silent = True  # type: ignore[attr-defined]
    rx_id = admit(city)[0]
    drive(city, rx_id)

    story = words(page.get(f"/rx/{rx_id}").text)
    assert "请求已发出但没有收到回应，结果未知" in story
    assert "怎么办" in story
    assert "第 1 次尝试失败：请求已发出但没有收到回应，结果未知（OutcomeUnknown" in story
    assert "结果未知" in words(page.get("/").text)


def test_an_operator_can_wake_a_prescription_and_is_named_for_it(page: TestClient, city: City, clock: Clock) -> None:
    city.payer.silent = True  # type: ignore[attr-defined]
    rx_id = admit(city)[0]
    drive(city, rx_id)
    clock.advance(seconds=1)

    answer = page.post(f"/rx/{rx_id}/wake", headers={"Origin": "http://testserver"})

    assert answer.headers["location"] == f"/rx/{rx_id}"
    told = page.get(f"/api/rx/{rx_id}").json()
    assert told["history"][-1]["actor"] == "operator:O001"
    assert told["wake_at"] == clock().isoformat()


def test_a_pharmacist_may_look_but_not_wake(client: TestClient, city: City, pharmacist: dict[str, str]) -> None:
    rx_id = admit(city)[0]

    assert client.get(f"/rx/{rx_id}", headers=pharmacist).status_code == 200
    assert client.post(f"/rx/{rx_id}/wake", headers=pharmacist).status_code == 403


def test_the_board_counts_and_names_what_is_stuck(page: TestClient, city: City, clock: Clock, settled: str) -> None:
    waiting, stuck = admit(city, 2)
    drive(city, waiting, stuck)
    pass_review(city, stuck)
    for chain in city.chains.values():
        chain.stock["D001"] = 0  # type: ignore[attr-defined]
    drive(city, stuck)
    clock.advance(minutes=16)

    story = words(page.get("/").text)

    assert "没有药店能配齐 × 1" in story
    assert "审方等待超过目标时长 × 1" in story
    assert stuck in story
    assert waiting in story
    assert "药品总额18.00" in story
    assert "0.00 ✓" in story


def test_a_quiet_city_says_so(page: TestClient) -> None:
    story = words(page.get("/").text)

    assert "一切正常" in story
    assert "没有卡住的处方" in story


def test_a_run_shows_what_became_of_each_prescription(page: TestClient, city: City, settled: str) -> None:
    city.payer.silent = True  # type: ignore[attr-defined]
    other = admit(city)[0]
    drive(city, other, run=RUN)

    text = page.get(f"/runs/{RUN}").text

    assert settled in text
    assert other in text
    assert "OutcomeUnknown" in text
    assert f"http://prefect.example:4200/runs/flow-run/{RUN}" in text
    assert page.get("/runs/unknown").status_code == 404


def test_a_prescription_is_found_by_its_id_its_number_or_its_order(page: TestClient, city: City, settled: str) -> None:
    order = page.get(f"/api/rx/{settled}").json()["orders"][0]["id"]

    for text in (settled, rxno(1), order, f"  {settled} "):
        assert page.get("/rx", params={"q": text}).headers["location"] == f"/rx/{settled}"
    assert "没有找到处方" in page.get("/rx", params={"q": "nothing"}).text


def test_a_list_shows_the_newest_first_page_by_page(page: TestClient, city: City, clock: Clock) -> None:
    ids = []
    for _ in range(53):
        ids += admit(city)
        clock.advance(seconds=1)

    first = page.get("/rx?status=received").text
    more = re.search(r'href="(/rx\?status=received&amp;before=[^"]+)"', first)
    assert more
    second = page.get(more[1].replace("&amp;", "&")).text

    def shown(text: str) -> list[str]:
        return re.findall(r'class="mono" href="/rx/(rx_\w+)"', text)

    assert shown(first) + shown(second) == ids[::-1]
    assert shown(page.get("/rx?status=closed").text) == []
    assert 'class="pager"' in first
    assert 'class="pager"' not in second


def test_what_a_hospital_wrote_is_text_and_never_markup(page: TestClient, city: City, client: TestClient,
                                                        hospital: dict[str, str]) -> None:
    from tests.support.city import bundle

    evil = bundle(1).replace("2型糖尿病".encode(), b"<script>alert(1)</script>")
    rx_id = client.post("/fhir/jinan_first/Bundle", content=evil, headers=hospital).json()["identifier"][0]["value"]
    drive(city, rx_id)

    text = page.get(f"/review/{rx_id}").text
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_every_status_can_be_shown(page: TestClient, city: City) -> None:
    rx_id = admit(city)[0]
    for status in Status:
        with city.db.transaction() as session:
            session.connection().exec_driver_sql("UPDATE prescription SET status = ?", (status,))
        assert page.get(f"/rx/{rx_id}").status_code == 200
        assert page.get(f"/review/{rx_id}").status_code == 200
        assert page.get("/").status_code == 200


def test_an_unknown_page_has_a_page_of_its_own(page: TestClient) -> None:
    answer = page.get("/rx/rx_unknown")

    assert answer.status_code == 404
    assert "没有这张处方" in answer.text


def test_the_ranking_names_weight_and_value_of_each_term_for_each_candidate(city: City, page: TestClient, settled: str) -> None:
    with city.db.reading() as session:
        story = views.dossier(session, settled)
    assert story is not None
    ranking = story.orders[0]["ranking"]
    assert len(ranking) > 1
    for language, words in (("zh", 0), ("en", 1)):
        text = page.get(f"/rx/{settled}", headers={"Accept-Language": language}).text
        for candidate in ranking:
            for part in summands(candidate["terms"]):
                named = f"{html.escape(part.words[words])} {part.percent}% × {part.value} = <b>{part.points}</b>"
                assert named in text, (language, candidate["store"], part)

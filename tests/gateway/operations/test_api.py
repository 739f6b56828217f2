"""The operations API: what a day's proof reads."""

import asyncio
import hashlib
import html
import json
import re
from typing import Any

import pytest
from fastapi.testclient import TestClient

from domain.chains import ChainWord
from infra.db import figures, views
from infra.db.notices import NoticeKind, close, note
from tasks.city import City
from tasks.line import hop
from tasks.settlement.reconciliation import reconcile_day
from tests.support.city import OPERATOR_TOKEN, Clock, admit, cancel_by_hospital, pass_review, rxno, say

ORIGIN = {"Origin": "http://testserver"}


@pytest.fixture
def day(city: City, clock: Clock) -> list[str]:
    """Three prescriptions: settled, settled and wholly returned, cancelled."""
    ids = admit(city, 3)
    for rx_id in ids[:2]:
        asyncio.run(hop(city, rx_id))
        clock.advance(minutes=4)
        pass_review(city, rx_id)
        asyncio.run(hop(city, rx_id))
        say(city, rx_id, ChainWord.ACCEPTED)
        say(city, rx_id, ChainWord.HANDED_OVER)
        asyncio.run(hop(city, rx_id))
    say(city, ids[1], ChainWord.RETURNED, reason="quality")
    asyncio.run(hop(city, ids[1]))
    cancel_by_hospital(city, 3)
    asyncio.run(reconcile_day(city))
    return ids


def get(client: TestClient, operator: dict[str, str], path: str) -> Any:
    answer = client.get(f"/api/ops/{path}", headers=operator)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_every_prescription_is_listed_once_page_by_page(
        client: TestClient, operator: dict[str, str], day: list[str]) -> None:
    rows, after = [], ""
    while page := get(client, operator, f"prescriptions?after={after}&limit=2"):
        rows += page  # type: ignore[operator]
        after = rows[-1]["id"]
    by_id = {row["id"]: row for row in rows}

    assert len(rows) == 3
    assert set(by_id) == set(day)
    kept, returned, cancelled = (by_id[rx_id] for rx_id in day)
    assert (kept["status"], kept["reversed"], kept["claim_status"]) == ("settled", False, "reconciled")
    assert kept["orders"][0] == {
        "id": kept["orders"][0]["id"], "chain": "ankang", "store": "AK01", "status": "handed_over", "total_fen": 1800,
        "patient_due_fen": 360, "point": "", "returned_lines": [], "deliveries": [], "payments": [], "refunds": []}
    assert (returned["reversed"], returned["orders"][0]["returned_lines"]) == (True, [1])
    assert (cancelled["status"], cancelled["orders"], cancelled["claim_status"]) == ("cancelled", [], None)
    assert cancelled["ended_at"]
    assert kept["ended_at"] is None
    assert kept["external_id"] == rxno(1)


def test_the_ledger_balances_and_agrees_with_the_claims(
        client: TestClient, operator: dict[str, str], day: list[str]) -> None:
    ledger = get(client, operator, "ledger")
    assert isinstance(ledger, dict)

    assert ledger["next"] == ""
    assert [posting["kind"] for posting in ledger["postings"]] == ["settled", "settled", "reversed"]
    assert all(posting["sum_fen"] == 0 for posting in ledger["postings"])
    assert len(ledger["claims"]) == 2
    for claim in ledger["claims"]:
        assert claim["total_fen"] == claim["fund_fen"] + claim["account_fen"] + claim["cash_fen"] == 1800
        assert claim["chain"] == "ankang"
    assert sum(claim["reversal_id"] is not None for claim in ledger["claims"]) == 1


def test_the_proof_walks_every_chain_and_posting(
        client: TestClient, operator: dict[str, str], day: list[str], city: City) -> None:
    assert get(client, operator, "verify") == {
        "chains": 3, "broken": [], "postings": 3, "out_of_balance": [], "unlike_claim": [], "next": ""}

    with city.db.transaction() as session:
        session.connection().exec_driver_sql(
            "UPDATE transfer SET amount_fen = amount_fen + 1 WHERE posting_id = 2 AND seq = 1")
    assert get(client, operator, "verify")["unlike_claim"] == [  # type: ignore[index]
        {"posting": 2, "account": "chain:ankang", "posted_fen": 1801, "claim_fen": 1800},
        {"posting": 2, "account": "patient", "posted_fen": -1801, "claim_fen": -1800}]
    with city.db.transaction() as session:
        session.connection().exec_driver_sql("INSERT INTO entry VALUES (2, 1, 'patient', 1)")
    assert get(client, operator, "verify")["out_of_balance"] == [{"posting": 2, "sum_fen": 1}]  # type: ignore[index]


def test_a_book_read_page_by_page_is_the_whole_book(
        client: TestClient, operator: dict[str, str], day: list[str]) -> None:
    whole = {name: get(client, operator, name) for name in ("ledger", "verify")}

    for name, book in whole.items():
        read: dict[str, Any] = {}
        path, pages = f"/api/ops/{name}?limit=1", 0
        while path:
            page = client.get(path, headers=operator).json()
            path, pages = page.pop("next"), pages + 1
            read = {key: read[key] + value for key, value in page.items()} if read else page
        assert pages > 3
        assert read | {"next": ""} == book


def test_differences_go_on_before_the_last_one_seen(
        client: TestClient, operator: dict[str, str], day: list[str]) -> None:
    newest, *older = get(client, operator, "discrepancies")  # type: ignore[misc]

    assert older
    assert get(client, operator, "discrepancies?limit=1") == [newest]
    assert get(client, operator, f"discrepancies?before={newest['id']}") == older


def test_what_has_ended_counts_on_the_day_it_ended(
        client: TestClient, operator: dict[str, str], day: list[str], clock: Clock) -> None:
    def cancelled() -> int:
        board = get(client, operator, "board")
        assert isinstance(board, dict)
        return next(line["count"] for line in board["statuses"] if line["status"] == "cancelled")

    assert cancelled() == 1
    clock.advance(hours=14, minutes=50)  # from nine in the morning until ten to twelve at night, in the city
    assert cancelled() == 1
    clock.advance(minutes=10)
    assert cancelled() == 0


def test_a_row_somebody_deleted_is_missed(
        client: TestClient, operator: dict[str, str], day: list[str], city: City) -> None:
    with city.db.transaction() as session:
        session.connection().exec_driver_sql(
            "DELETE FROM history WHERE prescription_id = ? AND seq = (SELECT max(seq) FROM history "
            "WHERE prescription_id = ?)", (day[0], day[0]))

    broken = get(client, operator, "verify")["broken"]  # type: ignore[index]
    assert [one["prescription_id"] for one in broken] == [day[0]]


def test_an_exported_chain_can_be_verified_without_us(
        client: TestClient, pharmacist: dict[str, str], day: list[str]) -> None:
    export = client.get(f"/api/rx/{day[0]}/history", headers=pharmacist).json()

    previous = export["genesis"]
    for row in export["rows"]:
        content = json.dumps([row[name] for name in export["hashed_fields"]], ensure_ascii=False, separators=(",", ":"))
        previous = hashlib.sha256(f"{previous}\n{content}".encode()).hexdigest()
        assert previous == row["hash"]
    assert previous == export["head_hash"]
    assert len(export["rows"]) == export["version"]


def test_stages_tell_how_long_a_status_lasted(client: TestClient, operator: dict[str, str], day: list[str]) -> None:
    stages = get(client, operator, "stages")
    assert isinstance(stages, dict)

    assert stages["in_review"] == {"stage": "review", "count": 2, "p50": 240.0, "p95": 240.0}
    assert stages["received"]["count"] == 2  # no hop ever took up the one that was cancelled


def test_stages_are_of_what_moved_lately(client: TestClient, operator: dict[str, str], day: list[str]) -> None:
    stages = get(client, operator, "stages?hops=1")
    assert isinstance(stages, dict)

    assert stages["in_review"]["count"] == 1


def test_discrepancies_and_reconciliations_are_listed(
        client: TestClient, operator: dict[str, str], day: list[str]) -> None:
    reconciled = get(client, operator, "reconciliations")
    assert isinstance(reconciled, list)
    assert (reconciled[0]["matched"], reconciled[0]["count"], reconciled[0]["total_fen"]) == (True, 1, 1800)
    differing = get(client, operator, "discrepancies")
    assert isinstance(differing, list)
    assert {one["kind"] for one in differing} == {"forecast_vs_pre_settlement"}


def test_notices_are_listed_apart_from_the_discrepancies(
        client: TestClient, operator: dict[str, str], city: City, clock: Clock) -> None:
    with city.db.transaction() as session:
        for mark in ("0123abcd", "89abcdef"):
            note(session, kind=NoticeKind.FILE_PARKED, partner="jinan_county", subject=mark, detail="broke", at=clock.at)

    newest, older = get(client, operator, "notices")

    assert (newest["partner"], newest["subject"], newest["detail"]) == ("jinan_county", "89abcdef", "broke")
    assert get(client, operator, f"notices?before={newest['id']}") == [older]
    assert get(client, operator, "discrepancies") == []


@pytest.mark.parametrize(("kind", "subject", "detail", "shown", "shown_en"), [
    (NoticeKind.FILE_PARKED, "0123abcd", "untaken", "不是可读取的文件类型", "a kind of file nobody reads"),
    (NoticeKind.MESSAGE_SHAPE, "Patient.language", "gone", "不再出现", "gone"),
    (NoticeKind.QUOTE_LEFT_OUT, "2026-11-22:CHN-01:AK02", "stores[1].minutes", "stores[1].minutes", "stores[1].minutes"),
])
def test_a_notice_is_on_the_board_in_both_languages(
        client: TestClient, operator: dict[str, str], city: City, clock: Clock, kind: NoticeKind, subject: str,
        detail: str, shown: str, shown_en: str) -> None:
    with city.db.transaction() as session:
        note(session, kind=kind, partner="jinan_county", subject=subject, detail=detail, at=clock.at)

    zh, en = (html.unescape(client.get("/", headers=operator | {"Accept-Language": language}).text) for language in ("zh", "en"))

    _, what, what_en, cure, cure_en = views.NOTICES[kind]
    assert [text for text in (what, cure, subject, shown) if text not in zh] == []
    assert [text for text in (what_en, cure_en, subject, shown_en) if text not in en] == []


@pytest.fixture
def notice(city: City, clock: Clock, client: TestClient, operator: dict[str, str]) -> int:
    """The number of one of two notices, of which the other stays open."""
    with city.db.transaction() as session:
        for mark in ("0123abcd", "89abcdef"):
            note(session, kind=NoticeKind.FILE_PARKED, partner="jinan_county", subject=mark, detail="broke", at=clock.at)
    return int(get(client, operator, "notices")[0]["id"])


def test_a_notice_that_was_dealt_with_leaves_the_board_and_keeps_who_and_when(
        client: TestClient, operator: dict[str, str], city: City, clock: Clock, notice: int) -> None:
    client.post("/sign-in", data={"code": OPERATOR_TOKEN}, headers=ORIGIN)
    forms = re.findall(r'action="(/notices/\d+/closed)"', client.get("/").text)
    assert f"/notices/{notice}/closed" in forms
    clock.advance(minutes=5)

    assert client.post(f"/notices/{notice}/closed", headers=ORIGIN).headers["location"] == "/"

    newest, older = get(client, operator, "notices")
    assert (newest["closed_by"], newest["closed_at"]) == ("O001", clock.at.isoformat())
    assert (older["closed_by"], older["closed_at"]) == (None, None)
    page = client.get("/").text
    assert len(re.findall(r'action="/notices/\d+/closed"', page)) == len(forms) - 1
    assert re.search(r"最近处理的提示.*89abcdef.*O001", page, re.DOTALL)
    [concern] = [concern for concern in get(client, operator, "board")["concerns"] if concern["kind"] == "notice:file_parked"]
    assert concern["count"] == 1
    with city.db.reading() as session:
        assert figures.figures(session, clock.at).notices == {"file_parked": 1}


def test_whoever_dealt_with_a_notice_first_stays_written(
        client: TestClient, operator: dict[str, str], city: City, clock: Clock, notice: int) -> None:
    with city.db.transaction() as session:
        close(session, notice, by="O002", at=clock.at)
    clock.advance(minutes=5)

    assert client.post(f"/api/ops/notices/{notice}/closed", headers=operator).status_code == 200

    assert get(client, operator, "notices")[0]["closed_by"] == "O002"


def test_only_who_works_the_board_closes_a_notice_that_there_is(
        client: TestClient, operator: dict[str, str], pharmacist: dict[str, str], notice: int) -> None:
    answers = [client.post(f"/api/ops/notices/{number}/closed", headers=headers).status_code
               for number, headers in ((notice, pharmacist), (notice, {}), (10**6, operator), (10**18, operator))]
    assert answers == [403, 401, 404, 422]
    assert client.get(f"/notices/{notice}/closed", headers=operator).headers["location"] == "/"
    assert [entry["closed_by"] for entry in get(client, operator, "notices")] == [None, None]


def test_the_board_is_plain_data_too(client: TestClient, operator: dict[str, str], day: list[str]) -> None:
    board = get(client, operator, "board")
    assert isinstance(board, dict)

    assert board["money"] == {"day": "2026-11-22", "settlements": 2, "reversals": 1, "total": 1800, "fund": 1440,
                              "account": 0, "cash": 360, "balance": 0}
    counts = {line["status"]: line["count"] for line in board["statuses"]}
    assert counts["settled"] == 2
    assert counts["cancelled"] == 1


def test_waking_what_has_ended_is_refused(
        client: TestClient, operator: dict[str, str], pharmacist: dict[str, str], day: list[str]) -> None:
    ended = client.post(f"/api/ops/rx/{day[2]}/wake", headers=operator)
    unknown = client.post("/api/ops/rx/rx_unknown/wake", headers=operator)
    awake = client.post(f"/api/ops/rx/{day[0]}/wake", headers=operator)
    not_theirs = client.post(f"/api/ops/rx/{day[0]}/wake", headers=pharmacist)

    assert [answer.status_code for answer in (ended, unknown, awake, not_theirs)] == [409, 404, 200, 403]
    assert ended.json()["error"]["code"] == "not_open"


def test_a_parameter_not_as_agreed_is_refused_without_quoting_it(client: TestClient, operator: dict[str, str]) -> None:
    answer = client.get("/api/ops/prescriptions?limit=MARK", headers=operator)

    assert answer.status_code == 422
    assert "MARK" not in answer.text

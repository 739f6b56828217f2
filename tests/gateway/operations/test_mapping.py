"""The page where a person says what a hospital's code stands for."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from adapters import registry
from adapters.mapping import read_tables
from infra.db import mapping
from tasks.city import City
from tests.support.city import HOSPITAL, OPERATOR_TOKEN, Clock, bundle

ORIGIN = {"Origin": "http://testserver"}


@dataclass(frozen=True)
class Code:
    theirs: str
    name: str
    table: str = "drug"


@pytest.fixture
def queue(city: City, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> City:
    """Two messages wait: one for metformin, both for a frequency."""
    folder = tmp_path / "adapters" / "hospitals" / HOSPITAL / "mapping"
    folder.mkdir(parents=True)
    for table in ("drug", "frequency"):
        (folder / f"{table}.csv").write_text("theirs,name,ours,accepted_by,accepted_on\n", encoding="utf-8")
    monkeypatch.setattr(registry, "HERE", tmp_path / "adapters")
    read_tables.cache_clear()
    often = Code("BIDX", "每天两次", "frequency")
    for number, codes in enumerate(([Code("W1", "二甲双胍片 <0.5g>"), often], [often]), 1):
        key = city.archive.put(bundle(number))
        with city.db.transaction() as session:
            mapping.park(session, HOSPITAL, f"M{number:04d}", archive_key=key, unmapped=codes, at=clock())
    return city


@pytest.fixture
def page(client: TestClient) -> TestClient:
    client.post("/sign-in", data={"code": OPERATOR_TOKEN}, headers=ORIGIN)
    return client


def words(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


def test_the_page_shows_what_waits_and_suggests_with_a_score(page: TestClient, queue: City) -> None:
    text = page.get("/mapping").text
    said = words(text)
    assert "每天两次" in said
    assert "2 条" in said
    assert "每日2次 100" in said
    assert "盐酸二甲双胍片" in said
    assert "<0.5g>" not in text
    assert '<option value="D010">' in text


def test_a_word_of_an_operator_lets_the_messages_go_on(page: TestClient, queue: City) -> None:
    for table, theirs, given in (("frequency", "BIDX", {"ours": "bid"}), ("drug", "W1", {"ours": "D010", "other": "D001"})):
        done = page.post("/mapping", data={"hospital": HOSPITAL, "table": table, "theirs": theirs, **given}, headers=ORIGIN)
        assert done.headers["location"] == "/mapping?done=1"
    said = words(page.get("/mapping").text)
    assert "没有等候对照的编码" in said
    assert "W1" in said
    assert "O001" in said
    with queue.db.reading() as session:
        # What was typed counts, not what was ticked.
        assert mapping.accepted(session, HOSPITAL) == [("frequency", "BIDX", "bid"), ("drug", "W1", "D001")]


def test_a_code_that_is_none_of_ours_is_named_and_nothing_is_accepted(page: TestClient, queue: City) -> None:
    answer = page.post("/mapping", data={"hospital": HOSPITAL, "table": "drug", "theirs": "W1", "other": "D9999"},
                       headers=ORIGIN)
    assert answer.status_code == 422
    assert "平台目录中没有这个编码" in answer.text
    with queue.db.reading() as session:
        assert mapping.decisions(session) == []


def test_the_board_leads_there_and_says_how_many_wait(page: TestClient, queue: City) -> None:
    assert re.search(r'href="/mapping".*?<b>2</b>', page.get("/").text)


def test_the_same_as_an_interface(client: TestClient, queue: City, operator: dict[str, str]) -> None:
    [often, drug] = client.get("/api/ops/mapping", headers=operator).json()["codes"]
    assert (often["theirs"], often["messages"], often["suggestions"][0]["ours"]) == ("BIDX", 2, "bid")
    answer = client.post("/api/ops/mapping", headers=operator,
                         data={"hospital": HOSPITAL, "table": "frequency", "theirs": "BIDX", "ours": "bid"})
    assert answer.json() == {"taken": ["M0002"]}
    no = client.post("/api/ops/mapping", headers=operator, data={"hospital": HOSPITAL, "table": "drug", "theirs": "W1"})
    assert (no.status_code, no.json()["error"]["code"]) == (422, "unknown_code")
    assert drug["since"]


@pytest.mark.parametrize("path", ["/mapping", "/api/ops/mapping"])
def test_only_operators_see_it(client: TestClient, queue: City, pharmacist: dict[str, str], path: str) -> None:
    assert client.get(path, headers=pharmacist).status_code == 403
    assert client.get(path).status_code in (303, 401)


def test_names_that_rows_from_before_hold_cost_little_and_say_nothing_of_a_person(
    page: TestClient, queue: City, clock: Clock
) -> None:
    key = queue.archive.put(bundle(3))
    many = [Code(f"C{number}", "(" * 20_000) for number in range(60)] + [Code("C99", "张三 19900000001")] * 2
    with queue.db.transaction() as session:
        mapping.park(session, HOSPITAL, "M0003", archive_key=key, unmapped=many, at=clock())
        mapping.park(session, HOSPITAL, "M0004", archive_key=key, unmapped=many[-1:], at=clock())
    text = page.get("/mapping").text
    assert "19900000001" not in text
    assert "(" * 101 not in text
    assert text.count("<form method=\"post\" action=\"/mapping\"") == 50
    assert "13 个在前面的处理后显示" in words(text)
    answer = page.get("/api/ops/mapping", headers={"Authorization": f"Bearer {OPERATOR_TOKEN}"}).json()
    assert (answer["count"], len(answer["codes"])) == (63, 50)

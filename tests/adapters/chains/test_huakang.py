"""A chain that exchanges files: what is not answered is unknown and not lost, and each fault is told at its place."""

import asyncio
import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from adapters import registry
from adapters.chains import tables
from adapters.chains.huakang import translation
from adapters.chains.huakang.adapter import Adapter
from adapters.dialects.dropbox_cells import RULES as CELL_RULES
from adapters.messages import Fetched, Reply
from adapters.registry import ChainManifest
from domain.chains import ChainWord, Offers
from domain.errors import InvalidPayload, NeedsOperator, OutcomeUnknown, Refused, Transient
from domain.prescription import Handover
from infra.dropbox import BoxTransport
from infra.http import open_client
from tests.support.partner_examples import ASKED, NOTICE, PLACE, order

SLUG = "huakang"
NOW = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
MANIFEST = registry.manifest("chains", SLUG)
TAKEN = Reply(json.dumps({"result": "applied"}).encode())

STOCK = {"门店编号": "HK01", "药品编码": "D001", "时间": "2026-11-22 09:50:00", "数量": "5000", "单位": "片", "单价": "0.3100",
         "自取分钟": "15", "配送分钟": "45", "负荷": "0.10", "准时率": "0.96", "合格率": "0.98", "营业": "是"}
ROWS = [STOCK, STOCK | {"药品编码": "D010", "数量": "12", "单价": "0.3000"},
        STOCK | {"门店编号": "HK02", "配送分钟": "", "自取分钟": "9"}]
EVENT = dict.fromkeys(
    ("事件号", "订单号", "状态", "订单密语", "时间", "原因", "取药码", "追溯码行数", "行号", "追溯码", "批号", "生产日期",
     "有效期至", "追溯数量", "退回行号"), "") | {
    "事件号": "E1", "订单号": "ord_sample1", "状态": "已接单", "订单密语": "s", "时间": "2026-11-22 10:00:00"}
PACK = {"状态": "已备药", "追溯码行数": "1", "行号": "1", "追溯码": "88713661234000000001", "批号": "L1", "生产日期": "2026-07-03",
        "有效期至": "2028-07-02", "追溯数量": "60"}

Rows = Sequence[Mapping[str, str]]


def stock(rows: Rows) -> Rows:
    """The rows of a stock file with their number."""
    return [{**row, "行数": row.get("行数", str(len(rows)))} for row in rows]


def as_csv(rows: Rows, encoding: str = "utf-8") -> bytes:
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\r\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue().encode(encoding)


def as_xlsx(rows: Rows, change: Callable[[Any], None] = lambda sheet: None) -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(list(rows[0]))
    for row in rows:
        sheet.append(list(row.values()))
    change(sheet)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


class Box:
    """The chain's side of a folder, and an adapter on the other."""

    def __init__(self, folder: Path, manifest: ChainManifest = MANIFEST, timeout: float = 0.2) -> None:
        self.folder = folder
        self.line = BoxTransport(SLUG, folder.as_uri(), timeout=timeout, client=open_client())
        self.adapter = Adapter(manifest, self.line, {})
        self.adapter._now = lambda: NOW

    def put(self, name: str, data: bytes, marker: bool = True) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        if marker:
            path.with_name(f"{path.name}.done").touch()

    def answer(self, *rows: tuple[str, str, str, str]) -> None:
        """Each: request number, result, reference, status."""
        self.put("answers/ord_sample1.csv", as_csv([
            {"请求号": number, "订单号": "ord_sample1", "结果": result, "单号": reference, "状态": status,
             "时间": f"2026-11-22 10:00:{second:02d}"} for second, (number, result, reference, status) in enumerate(rows)]),
            marker=False)

    def names(self, folder: str) -> list[str]:
        there = self.folder / folder
        return sorted(path.name for path in there.iterdir()) if there.exists() else []

    def sheet(self, name: str) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO((self.folder / name).read_text(encoding="utf-8-sig"))))

    async def offers(self, handover: Handover = Handover.PICKUP) -> Offers:
        self.adapter._last = None
        return await self.adapter.quote(ASKED, handover, PLACE)

    async def take(self) -> list[Fetched]:
        fetched = list(await self.adapter.poll(50))
        for message in fetched:
            try:
                self.adapter.parse_update(message.raw)
                reply = TAKEN
            except InvalidPayload as invalid:
                reply = Reply(json.dumps({"result": "invalid", "why": [it.as_dict() for it in invalid.findings]}).encode(), 422)
            await self.adapter.hand_back(message.ref, reply)
        return fetched


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def number_of(kind: str, rows: Sequence[Mapping[str, str]]) -> str:
    return translation.written(kind, rows, MANIFEST).number


HOLD = number_of("hold", translation.hold_rows(order(), MANIFEST))
ORDER = number_of("order", translation.order_rows(order(), MANIFEST))


# Requests and their answers


async def test_what_is_written_and_not_answered_is_unknown_and_written_once(box: Box) -> None:
    assert await box.adapter.find("ord_sample1") is None
    with pytest.raises(OutcomeUnknown):
        await box.adapter.hold(order())
    assert box.names("requests") == ["ord_sample1.hold.csv"]
    written = (box.folder / "requests/ord_sample1.hold.csv").stat()
    for again in (lambda: box.adapter.find("ord_sample1"), lambda: box.adapter.hold(order())):
        with pytest.raises(OutcomeUnknown):
            await again()
    assert (box.folder / "requests/ord_sample1.hold.csv").stat().st_mtime_ns == written.st_mtime_ns


async def test_an_answer_that_comes_late_is_found_and_the_request_is_taken_away(box: Box) -> None:
    with pytest.raises(OutcomeUnknown):
        await box.adapter.hold(order())
    box.answer((HOLD, "成功", "HK-1", "已预占"))
    receipt = await box.adapter.find("ord_sample1")
    assert receipt is not None
    assert (receipt.reference, receipt.status) == ("HK-1", ChainWord.HELD)
    assert box.names("requests") == []
    assert await box.adapter.hold(order()) == receipt
    assert box.names("requests") == [], "what is answered is not written again"


async def test_while_an_order_is_unanswered_the_answer_to_its_hold_says_nothing_about_it(box: Box) -> None:
    box.answer((HOLD, "成功", "HK-1", "已预占"))
    with pytest.raises(OutcomeUnknown):
        await box.adapter.place(order())
    with pytest.raises(OutcomeUnknown):
        await box.adapter.find("ord_sample1")
    box.answer((HOLD, "成功", "HK-1", "已预占"), (ORDER, "成功", "HK-1", "已下单"))
    found = await box.adapter.find("ord_sample1")
    assert found is not None
    assert found.status is ChainWord.ORDERED


async def test_an_answer_that_comes_while_we_wait_is_the_answer(tmp_path: Path) -> None:
    box = Box(tmp_path, timeout=5)
    held = asyncio.create_task(box.adapter.hold(order()))
    await asyncio.sleep(0.2)
    box.answer((HOLD, "E101", "", ""))
    with pytest.raises(Refused) as no:
        await held
    assert no.value.code == "out_of_stock"
    assert await box.adapter.find("ord_sample1") is None, "a hold that was refused is no order"


async def test_the_newest_answer_says_where_the_order_is(box: Box) -> None:
    cancel = number_of("cancel", translation.cancel_rows("ord_sample1", "patient", MANIFEST))
    box.answer((HOLD, "成功", "HK-1", "已预占"), (ORDER, "成功", "HK-1", "已下单"), (cancel, "E104", "HK-1", "已取药"))
    with pytest.raises(Refused) as no:
        await box.adapter.cancel("ord_sample1", "patient")
    assert no.value.code == "handed_over"
    found = await box.adapter.find("ord_sample1")
    assert found is not None
    assert found.status is ChainWord.HANDED_OVER


@pytest.mark.parametrize(("row", "rule"), [
    ((HOLD, "E400", "", ""), "CHN-07"), ((HOLD, "E999", "", ""), "CHN-04"), ((HOLD, "成功", "HK-1", "占了"), "CHN-04"),
    ((HOLD, "成功", "", "已预占"), "CHN-02"), ((HOLD, "", "HK-1", "已预占"), "CHN-02")])
async def test_an_answer_that_is_not_as_agreed_is_never_guessed(box: Box, row: tuple[str, str, str, str], rule: str) -> None:
    box.answer(row)
    with pytest.raises(InvalidPayload) as broken:
        await box.adapter.hold(order())
    assert [it.rule for it in broken.value.findings] == [rule]


async def test_a_settlement_that_is_not_acknowledged_is_told_again(box: Box) -> None:
    with pytest.raises(Transient):
        await box.adapter.notify_settled(NOTICE)
    box.answer((number_of("settle", translation.settle_rows(NOTICE, MANIFEST)), "成功", "HK-1", "已取药"))
    await box.adapter.notify_settled(NOTICE)


async def test_silence_of_files_does_not_open_the_circuit_breaker(box: Box) -> None:
    for _ in range(7):
        with pytest.raises(OutcomeUnknown):
            await box.adapter.hold(order())
    assert box.line.breaker_state == "closed"


async def test_a_folder_that_is_not_mounted_is_no_loss(tmp_path: Path) -> None:
    box = Box(tmp_path / "away")
    with pytest.raises(Transient):
        await box.adapter.hold(order())


def test_another_content_has_another_number_and_a_text_is_no_formula() -> None:
    rows = translation.hold_rows(order(), MANIFEST)
    assert number_of("hold", rows) == number_of("hold", rows)
    assert number_of("hold", rows) != number_of("hold", [rows[0] | {"quantity": "30"}, rows[1]])
    formula = [{**row, "note": "=1+1", "receiver": "𠮷〇"} for row in translation.order_rows(order(), MANIFEST)]
    gb = MANIFEST.model_copy(update={"facts": {**MANIFEST.facts, "encoding": "gb18030"}})
    told = translation.written("order", formula, gb).body.decode("gb18030")
    assert '"\'=1+1"' in told
    assert "𠮷〇" in told
    assert translation.written("order", formula, gb).number == translation.written("order", formula, MANIFEST).number


# Stock


async def test_quotes_come_from_the_newest_stock_file(box: Box) -> None:
    box.put("stock/a.csv", as_csv(stock(ROWS)))
    await box.take()
    offers = await box.offers(Handover.HOME)
    assert offers.left_out == ()
    first, second = offers.quotes
    assert [(line.drug, line.quantity, line.amount) for line in first.lines] == [
        ("D001", Decimal(60), 1860), ("D010", Decimal(12), 360)], "what a store has less of is quoted as less"
    assert (first.minutes, first.delivers, first.load) == (45, True, Decimal("0.10"))
    assert (second.store, second.delivers) == ("HK02", False)
    assert box.names("stock") == []


@pytest.mark.parametrize("raw", [as_csv(stock(ROWS)), as_csv(stock(ROWS), "utf-8-sig"), as_csv(stock(ROWS), "gb18030"),
                                 as_xlsx(stock(ROWS))],
                         ids=["utf-8", "bom", "gb18030", "xlsx"])
async def test_stock_comes_in_every_form(box: Box, raw: bytes) -> None:
    box.put("stock/a.dat.csv", raw)
    await box.take()
    assert len((await box.offers()).quotes) == 2


async def test_without_a_marker_a_file_is_not_whole_and_without_any_there_is_no_offer(box: Box) -> None:
    box.put("stock/a.csv", as_csv(stock(ROWS))[:80], marker=False)
    await box.take()
    offers = await box.offers()
    assert (offers.quotes, [(it.rule, it.path) for out in offers.left_out for it in out.findings]) == ((), [("CHN-19", "stock")])
    assert box.names("stock") == ["a.csv"]


async def test_files_out_of_order_and_twice_leave_the_newest(box: Box) -> None:
    older = [row | {"时间": "2026-11-22 09:40:00", "数量": "1"} for row in ROWS]
    for name, rows in (("1.csv", ROWS), ("2.csv", older), ("3.csv", ROWS)):
        box.put(f"stock/{name}", as_csv(stock(rows)))
        await box.take()
    assert (await box.offers()).quotes[0].lines[0].quantity == 60
    assert box.names("stock") == []


async def test_old_stock_gives_no_offer_and_says_so(box: Box) -> None:
    box.put("stock/a.csv", as_csv(stock(ROWS)))
    await box.take()
    box.adapter._now = lambda: NOW + timedelta(minutes=231)
    offers = await box.offers()
    assert offers.quotes == ()
    assert [(it.rule, it.path) for out in offers.left_out for it in out.findings] == [("CHN-19", "time")]


@pytest.mark.parametrize(("rows", "rule", "place"), [
    ([row | {"时间": "2026-11-22 11:00:00"} for row in ROWS], "CHN-19", "time"),
    ([ROWS[0], ROWS[1] | {"时间": "2026-11-22 09:51:00"}], "CHN-18", "row 3, 时间"),
    ([ROWS[0], ROWS[1] | {"时间": ""}], "CHN-02", "row 3, 时间"),
    ([ROWS[0], ROWS[1] | {"行数": "7"}], "CHN-18", "row 3, 行数"),
    ([ROWS[0], ROWS[1] | {"时间": "=NOW()"}], "CHN-17", "row 3, 时间"),
    ([{("价格" if name == "单价" else name): cell for name, cell in row.items()} for row in ROWS], "CHN-15", "headings, 单价"),
    ([{name: cell for name, cell in row.items() if name != "门店编号"} for row in ROWS], "CHN-15", "row 1")])
async def test_a_stock_file_that_is_not_certain_is_refused_with_its_place(box: Box, rows: Rows, rule: str, place: str) -> None:
    box.put("stock/good.csv", as_csv(stock([row | {"时间": "2026-11-22 09:00:00"} for row in ROWS])))
    await box.take()
    box.put("stock/bad.csv", as_csv(stock(rows)))
    await box.take()
    (errors,) = [name for name in box.names("parked") if name.endswith(".errors.csv")]
    (first, *_) = box.sheet(f"parked/{errors}")
    assert (first["规则 / Rule"], first["位置 / Place"]) == (rule, place)
    assert first["处理 / Cure"]
    assert [it.reason for it in await box.adapter.parked()] == ["stock"], "operations see it on the board"
    assert (await box.offers()).quotes, "the stock told before still counts"


@pytest.mark.parametrize("raw", [
    as_csv(stock(ROWS)) + b"\xff\xff", as_csv(stock(ROWS)).decode().encode("utf-16"), b"<stock/>", b"", b"PK\x03\x04",
    as_csv(stock(ROWS))[:-30], as_csv(stock(ROWS)[:2])],
    ids=["bytes", "utf-16", "xml", "empty", "zip", "cut off", "cut between rows"])
async def test_what_is_no_table_is_refused_whole(box: Box, raw: bytes) -> None:
    box.put("stock/a.csv", raw)
    await box.take()
    (errors,) = [name for name in box.names("parked") if name.endswith(".errors.csv")]
    assert all(row["规则 / Rule"].startswith("CHN-") for row in box.sheet(f"parked/{errors}"))
    assert not (box.folder / "ours" / "stock").exists()


@pytest.mark.parametrize(("change", "rule", "place"), [
    ({"单价": "=0.31"}, "CHN-17", "row 2, 单价"), ({"单价": "3.1E-01"}, "CHN-17", "row 2, 单价"),
    ({"单价": "0"}, "CHN-03", "row 2, 单价"), ({"数量": "很多"}, "CHN-03", "row 2, 数量"),
    ({"数量": "-5"}, "CHN-03", "row 2, 数量"), ({"单位": "盒"}, "CHN-20", "row 2, 单位"),
    ({"单价": "0.30999999999999994"}, "CHN-03", "row 2, 单价")])
async def test_a_faulty_row_costs_only_itself(box: Box, change: Mapping[str, str], rule: str, place: str) -> None:
    box.put("stock/a.csv", as_csv(stock([ROWS[0] | change, *ROWS[1:]])))
    await box.take()
    offers = await box.offers()
    assert [line.drug for line in offers.quotes[0].lines] == ["D010"]
    assert [line.drug for line in offers.quotes[1].lines] == ["D001"]
    assert [(out.store, it.rule, it.spot.name if it.spot else "") for out in offers.left_out for it in out.findings] == [
        ("HK01", rule, place)]
    if rule != "CHN-20":  # only a question shows that the unit is another one
        (told,) = box.sheet("done/a.csv.errors.csv")
        assert (told["规则 / Rule"], told["位置 / Place"]) == (rule, place)


@pytest.mark.parametrize(("rows", "quoted", "rules"), [
    ([ROWS[0], ROWS[0], ROWS[2]], {"HK02"}, {"CHN-20"}),
    ([ROWS[0], ROWS[1] | {"营业": "否"}, ROWS[2]], {"HK02"}, {"CHN-18"}),
    ([ROWS[0] | {"营业": "?"}, ROWS[2]], {"HK02"}, {"CHN-04"}),
    ([ROWS[0] | {"准时率": "96"}, ROWS[2]], {"HK02"}, {"CHN-03"}),
    ([ROWS[0] | {"门店编号": ""}, ROWS[2]], {"HK02"}, {"CHN-02"}),
    ([ROWS[0] | {"门店编号": "13800000000"}, ROWS[2]], {"HK02"}, {"CHN-11"})])
async def test_what_is_wrong_with_a_store_costs_only_that_store(box: Box, rows: Rows, quoted: set[str], rules: set[str]) -> None:
    box.put("stock/a.csv", as_csv(stock(rows)))
    await box.take()
    offers = await box.offers()
    assert {quote.store for quote in offers.quotes} == quoted
    assert {it.rule for out in offers.left_out for it in out.findings} == rules


@pytest.mark.parametrize(("change", "rule"), [
    (lambda sheet: setattr(sheet["F2"], "value", "=0.31"), "CHN-17"),
    (lambda sheet: (setattr(sheet["F2"], "value", 0.31), setattr(sheet["F2"], "number_format", "0%")), "CHN-17")])
async def test_a_workbook_is_not_believed_where_it_shows_another_number(box: Box, change: Callable[[Any], None], rule: str) -> None:
    box.put("stock/a.xlsx", as_xlsx(stock(ROWS), change))
    await box.take()
    offers = await box.offers()
    assert "D001" not in [line.drug for quote in offers.quotes if quote.store == "HK01" for line in quote.lines]
    assert rule in {it.rule for out in offers.left_out for it in out.findings}


async def test_a_hidden_row_may_be_meant_or_not_and_refuses_the_file(box: Box) -> None:
    box.put("stock/a.xlsx", as_xlsx(stock(ROWS), lambda sheet: setattr(sheet.row_dimensions[2], "hidden", True)))
    await box.take()
    (errors,) = [name for name in box.names("parked") if name.endswith(".errors.csv")]
    assert [row["规则 / Rule"] for row in box.sheet(f"parked/{errors}")] == ["CHN-16"]


# Updates


async def test_good_events_of_a_file_go_on_and_the_others_are_told_row_by_row(box: Box) -> None:
    rows = [EVENT, EVENT | {"事件号": "E2", "时间": "=NOW()"}, EVENT | {"事件号": "E3", "状态": "办好了"},
            EVENT | {"事件号": "E4"} | PACK]
    box.put("in/u.csv", as_csv(rows, "gb18030"))
    assert len(await box.take()) == 4
    answers = box.sheet("done/u.csv.answer.csv")
    assert [(row["事件号 / Event"], row["结果代码 / Code"], row["规则 / Rule"], row["位置 / Place"]) for row in answers] == [
        ("E1", "applied", "", ""), ("E2", "invalid", "CHN-17", "row 3, 时间"), ("E3", "invalid", "CHN-04", "row 4, 状态"),
        ("E4", "applied", "", "")]
    assert box.names("in") == []


@pytest.mark.parametrize(("rows", "rule", "place"), [
    ([EVENT | {"订单密语": ""}], "CHN-02", "row 2, 订单密语"),
    ([EVENT | {"时间": "2026-11-22"}], "CHN-03", "row 2, 时间"),
    ([EVENT | PACK | {"追溯码行数": "2"}], "CHN-18", "row 2, 追溯码行数"),
    ([EVENT | PACK | {"追溯码行数": "2"}, EVENT | PACK | {"追溯码行数": "2", "时间": "2026-11-22 10:00:01"}], "CHN-18",
     "row 3, 时间"),
    ([EVENT | {"状态": "已退药", "退回行号": ""}], "CHN-10", "returned"),
    ([EVENT | {"状态": "已退药", "退回行号": "一"}], "CHN-03", "row 2, 退回行号"),
    ([EVENT | {"事件号": "张三"}], "CHN-11", "event"),
    ([{("备注" if name == "取药码" else name): cell for name, cell in EVENT.items()}], "CHN-15", "headings, 取药码")])
async def test_an_event_that_is_not_as_agreed_is_refused_with_its_place(box: Box, rows: Rows, rule: str, place: str) -> None:
    box.put("in/u.csv", as_csv(rows))
    await box.take()
    (row, *_) = box.sheet("refused/u.csv.answer.csv")
    assert (row["规则 / Rule"], row["位置 / Place"]) == (rule, place)
    assert row["处理 / Cure"]


async def test_a_row_cut_short_refuses_its_event_and_no_other(box: Box) -> None:
    raw = as_csv([EVENT, EVENT | {"事件号": "E2"}])
    box.put("in/u.csv", raw.rstrip(b"\r\n,") )
    await box.take()
    answers = box.sheet("done/u.csv.answer.csv")
    assert [(row["事件号 / Event"], row["规则 / Rule"]) for row in answers] == [("E1", ""), ("E2", "CHN-16")]


async def test_an_event_comes_in_a_workbook_with_its_packs(box: Box) -> None:
    rows = [EVENT | PACK | {"追溯码行数": "2"}, EVENT | PACK | {"追溯码行数": "2", "行号": "2", "追溯码": "88713662234000000002"}]
    box.put("in/u.xlsx", as_xlsx(rows))
    (message,) = await box.adapter.poll(10)
    update = box.adapter.parse_update(message.raw)
    assert update.status is ChainWord.PREPARED
    assert [(scan.line, scan.code, scan.units) for scan in update.traces or ()] == [
        (1, "88713661234000000001", 60), (2, "88713662234000000002", 60)]


@pytest.mark.parametrize("change", [{"追溯码": "8.87136E+19", "追溯数量": ""}, {"批号": "=A1"}, {"生产日期": "上月"}])
def test_a_pack_that_cannot_be_read_never_costs_the_word(change: Mapping[str, str]) -> None:
    update = Adapter(MANIFEST, BoxTransport(SLUG, "file:///x", client=open_client()), {}).parse_update(
        as_csv([EVENT | PACK | {"状态": "已取药"} | change]))
    assert update.status is ChainWord.HANDED_OVER
    assert [(scan.line, scan.code) for scan in update.traces or ()] == [(1, "")]


def test_no_count_says_nothing_of_packs_and_zero_says_there_are_none() -> None:
    adapter = Adapter(MANIFEST, BoxTransport(SLUG, "file:///x", client=open_client()), {})
    assert adapter.parse_update(as_csv([EVENT])).traces is None
    assert adapter.parse_update(as_csv([EVENT | {"追溯码行数": "0"}])).traces == ()


async def test_a_conflict_and_a_wrong_secret_are_told_with_a_cure(box: Box) -> None:
    box.put("in/u.csv", as_csv([EVENT, EVENT | {"事件号": "E2"}]))
    one, two = await box.adapter.poll(10)
    await box.adapter.hand_back(one.ref, Reply(b'{"result": "conflict"}', 409))
    await box.adapter.hand_back(two.ref, Reply(b'{"result": "refused", "why": "not this order\'s claim secret"}', 422))
    answers = box.sheet("refused/u.csv.answer.csv")
    assert [(row["结果代码 / Code"], bool(row["处理 / Cure"]), row["Problem"]) for row in answers] == [
        ("conflict", True, "this event came before with another content"), ("refused", True, "not this order's claim secret")]


def test_every_fault_of_a_cell_or_file_has_a_rule_of_chains() -> None:
    of_prescriptions = {rule.code for rule in CELL_RULES} - set(tables.RULE_OF)
    assert of_prescriptions == {
        "NOT_ONE_PRESCRIPTION", "ACTION", "KEY", "TOO_MANY_ROWS", "TIME_UNREADABLE", "AMOUNT_UNREADABLE", "AGE_DISAGREES",
        "ALLERGY_COLUMNS_DISAGREE", "DIAGNOSIS_COUNT", "ACTION_COLUMN", "FLAG_UNREADABLE", "MORE_FINDINGS", "WORD_UNKNOWN",
        "PIECES_ONLY", "READING_INCOMPLETE", "CELL_EMPTY", "ROWS_INCOMPLETE", "ROWS_UNNUMBERED"}


async def test_the_box_is_the_same_in_a_bucket(s3: Any) -> None:
    url = f"s3://{s3.bucket}/huakang?endpoint={s3.endpoint}"
    secrets = {"access_key": s3.access_key, "secret_key": s3.secret_key}
    line = BoxTransport(SLUG, url, timeout=0.5, client=open_client())
    adapter = Adapter(MANIFEST, line, secrets)
    adapter._now = lambda: NOW
    files = line.files(secrets)
    with pytest.raises(OutcomeUnknown):
        await adapter.hold(order())
    assert files.names("requests") == ["ord_sample1.hold.csv"]
    files.put("answers/ord_sample1.csv", as_csv([{"请求号": HOLD, "订单号": "ord_sample1", "结果": "成功", "单号": "HK-1",
                                                  "状态": "已预占", "时间": "2026-11-22 10:00:00"}]))
    assert (await adapter.hold(order())).status is ChainWord.HELD
    assert files.names("requests") == []
    for name, raw in (("stock/s.csv", as_csv(stock(ROWS))), ("in/u.csv", as_csv([EVENT]))):
        files.put(name, raw)
        files.put(f"{name}.done", b"")
    (message,) = await adapter.poll(10)
    await adapter.hand_back(message.ref, TAKEN)
    assert sorted(files.names("done")) == ["u.csv", "u.csv.answer.csv"]
    assert len((await adapter.quote(ASKED, Handover.PICKUP, PLACE)).quotes) == 2


def test_a_bucket_without_keys_is_named() -> None:
    with pytest.raises(NeedsOperator, match="access_key"):
        Adapter(MANIFEST, BoxTransport(SLUG, "s3://box/x", client=open_client()), {})

"""华康示范连锁: files in a folder, yuan, Chinese words (contracts 2.8). The platform is never called; the counter has a door."""

import asyncio
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from time import monotonic
from urllib.parse import unquote

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from domain.chains import ChainWord
from sandbox.ankang import PickupRequest
from sandbox.book import Book, Document
from sandbox.chain import Broken, Chain, Line, No, Package, Slip, Store
from sandbox.filing import BEIJING, LOOK_SECONDS, Filing, Folder, Rows, read, written
from sandbox.partner import Background, Setting, partner_app, run
from sandbox.pharmacy import Pharmacy, scanned

SHELF = dict.fromkeys(("D001", "D010", "D018", "D032", "D048", "D065", "D081", "D187"), 200_000)
UNITS = {"D048": "粒", "D187": "瓶"}
"""What is not counted in 片."""
CHAIN = Chain(
    slug="huakang",
    prefix="HK",
    stores=(
        Store("HK01", "华康示范大药房解放桥店", 36.66, 117.05, SHELF, on_time="0.96", quality="0.98"),
        Store("HK02", "华康示范大药房燕山店", 36.65, 117.08, SHELF, on_time="0.95", quality="0.97"),
    ),
    prices={drug: Decimal(price) for drug, price in {
        "D001": "0.3020", "D010": "0.2970", "D018": "4.0500", "D032": "0.7800", "D048": "1.9400", "D065": "1.3000",
        "D081": "0.3220", "D187": "26.5500"}.items()},
    accepts_later=True,
)
WORDS = {
    ChainWord.HELD: "已预占", ChainWord.ORDERED: "已下单", ChainWord.ACCEPTED: "已接单", ChainWord.PREPARED: "已备药",
    ChainWord.IN_DELIVERY: "配送中", ChainWord.DECLINED: "已拒单", ChainWord.CANCELLED: "已撤销", ChainWord.RETURNED: "已退药",
}
CAUSES = {"out_of_stock": "缺货", "closed": "停业", "quality": "质量问题"}
CODES = {"out_of_stock": "E101", "closed": "E102", "hold_expired": "E103", "handed_over": "E104", "in_delivery": "E105",
         "unknown_order": "E404"}
DONE, BROKEN = "成功", "E400"
KINDS = {"hold": "预占", "order": "下单", "cancel": "撤销", "settle": "结算"}
STOCK_EVERY, AFTER_A_LOSS = 2.0, 6.0
"""Seconds, at the chain's pace."""
READY, DOOR = 6, 26
"""Minutes until a patient has it at the counter or at the door."""

STOCK = ("门店编号", "药品编码", "时间", "数量", "单位", "单价", "自取分钟", "配送分钟", "负荷", "准时率", "合格率", "营业", "行数")
UPDATE = ("事件号", "订单号", "状态", "订单密语", "时间", "原因", "取药码", "追溯码行数", "行号", "追溯码", "批号", "生产日期",
          "有效期至", "追溯数量", "退回行号")
ANSWER = ("请求号", "订单号", "结果", "单号", "状态", "时间")
_NAME = re.compile(r"(ord_[A-Za-z0-9_]+)\.(hold|order|cancel|settle)\.csv")
_TEXT = re.compile(r"'(?=[\s']*[=+\-@＝＋－＠])")
"""What the platform puts before a text that a spreadsheet would calculate."""


def word(order: Document, status: ChainWord, event_id: str, at: datetime) -> Document:
    """An update in the chain's own words; `packs` and `returned` become rows."""
    reason = order["reason"]
    return {
        "事件号": event_id, "订单号": order["order_id"], "状态": _word(order, status), "订单密语": order["claim_secret"],
        "时间": at.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S"), "原因": CAUSES.get(reason, reason),
        "取药码": order.get("pickup_code", "") if status is ChainWord.HANDED_OVER else "",
        "packs": scanned(order, status), "returned": order["returned_lines"],
    }


def as_rows(body: Document) -> Rows:
    """One row for each pack and each line that came back; one where there are none."""
    packs = body["packs"]
    shared = {name: text for name, text in body.items() if isinstance(text, str)} | {
        "追溯码行数": "" if packs is None else str(len(packs))}
    rows = [shared | {"行号": str(pack["line"]), "追溯码": pack["code"], "批号": pack["lot"], "生产日期": pack["made_on"],
                      "有效期至": pack["expires_on"], "追溯数量": str(pack["units"])} for pack in packs or ()]
    rows += [shared | {"退回行号": str(line)} for line in body["returned"]]
    return rows or [shared]


class Desk:
    """Takes the platform's requests out of the folder and answers each by a row of its order's file; exports the stock."""

    def __init__(self, setting: Setting, book: Book, pharmacy: Pharmacy, folder: Folder) -> None:
        self.setting = setting
        self.book = book
        self.pharmacy = pharmacy
        self.folder = folder
        self._left_until: dict[str, float] = {}
        """Requests that are looked at again later: our machine was switched off over them."""

    async def work(self) -> None:
        exported = 0.0
        while True:
            if monotonic() - exported >= STOCK_EVERY * self.setting.pace:
                self.export()
                exported = monotonic()
            for name in self.folder.names("requests"):
                self.look(name)
            await asyncio.sleep(LOOK_SECONDS)

    def look(self, name: str) -> None:
        named = _NAME.fullmatch(name)
        raw = self.folder.get(f"requests/{name}")
        if named is None or not raw or monotonic() < self._left_until.get(name, 0):
            return
        faults = self.setting.faults
        number = re.search(rb"rq_[0-9a-f]{16}", raw)
        key = number[0].decode() if number else name
        attempt = faults.attempt(key)
        lost = faults.strikes("lose_answer", key, attempt, named[2])
        answered = not faults.strikes("error_500", key, attempt, named[2]) and self.answer(named[1], named[2], raw, key)
        if lost or not answered:
            self._left_until[name] = monotonic() + AFTER_A_LOSS * self.setting.pace
            return
        order = self.book.get("answers", named[1]) or {"rows": []}
        self.folder.put(f"answers/{named[1]}.csv", written(ANSWER, order["rows"], 0)[0])
        # The answer first: without it, who looks for the request finds neither.
        self.folder.delete(f"requests/{name}")

    def answer(self, order_id: str, kind: str, raw: bytes, number: str) -> bool:
        """Do it, once for each number, and write the answer into the book."""
        answers = self.book.get("answers", order_id) or {"rows": []}
        if any(row["请求号"] == number for row in answers["rows"]):
            return True
        try:
            self._do(kind, order_id, _checked(raw, order_id, kind))
            result = DONE
        except No as no:
            result = CODES[no.code]
        except (Broken, ValueError, InvalidOperation, KeyError):
            result = BROKEN
        order = self._found(order_id)
        answers["rows"].append({
            "请求号": number, "订单号": order_id, "结果": result, "单号": str(order["reference"]) if order else "",
            "状态": _word(order, order["status"]) if order else "", "时间": f"{datetime.now(BEIJING):%Y-%m-%d %H:%M:%S}"})
        self.book.put("answers", order_id, answers)
        return True

    def export(self) -> None:
        """All that is on the shelves now."""
        at = datetime.now(BEIJING)
        number = self.book.count("number", "stock")
        rows = [{
            "门店编号": shelf["store"], "药品编码": shelf["drug"], "时间": f"{at:%Y-%m-%d %H:%M:%S}",
            "数量": str(shelf["available"]), "单位": UNITS.get(shelf["drug"], "片"),
            "单价": str(self.pharmacy.chain.prices[shelf["drug"]]), "自取分钟": str(READY),
            "配送分钟": str(DOOR) if store.delivers else "", "负荷": _load(self.pharmacy, store), "准时率": store.on_time,
            "合格率": store.quality, "营业": "是",
        } for shelf in self.book.all("stock") if (store := self.pharmacy.stores.get(shelf["store"]))]
        rows = [row | {"行数": str(len(rows))} for row in rows]
        raw, ending = written(STOCK, rows, number)
        self.folder.hand_over(f"stock/stock_{at:%Y%m%d%H%M%S}_{number:06d}.{ending}", raw)

    def _found(self, order_id: str) -> Document | None:
        try:
            return self.pharmacy.find(order_id)
        except No:
            return None

    def _do(self, kind: str, order_id: str, rows: Rows) -> None:
        steps: Mapping[str, Callable[[str, Rows], object]] = {
            "hold": self._hold, "order": self._order, "cancel": self._cancel, "settle": self._settle}
        steps[kind](order_id, rows)

    def _hold(self, order_id: str, rows: Rows) -> None:
        self.pharmacy.hold(order_id, rows[0]["门店编号"], [_line(row) for row in rows])

    def _order(self, order_id: str, rows: Rows) -> None:
        first = rows[0]
        self.pharmacy.order(
            order_id, first["门店编号"], [_line(row) for row in rows], prescription_id=first["处方号"],
            delivery=first["取药方式"] == "配送", claim_secret=first["订单密语"], pickup_code_sha256=first["取药码摘要"],
            patient_due_fen=_fen(first["患者应付"]), total_fen=_fen(first["合计"]),
            has_recipient=bool(first["收货人"] and first["地址"]),
            package=Package(first["处方备注"], first["煎服要求"], tuple(
                Slip(int(row["行号"]), row["药品名称"], row["用法"], row["嘱托"], row["药品备注"], row["煎法"])
                for row in rows if row["药品名称"])))

    def _cancel(self, order_id: str, rows: Rows) -> None:
        self.pharmacy.cancel(order_id, rows[0]["原因"])

    def _settle(self, order_id: str, rows: Rows) -> None:
        first = rows[0]
        self.pharmacy.settlement(order_id, first["结算号"], *(
            _fen(first[name]) for name in ("合计", "基金支付", "账户支付", "现金支付")))


def make_app(setting: Setting) -> FastAPI:
    book, background = Book(setting.state / "huakang.sqlite"), Background()
    folder = Folder(Path(unquote(setting.urls.get("folder") or str(setting.state / "shared")).removeprefix("file://")))
    filing = Filing(setting, book, background, folder, UPDATE, as_rows)
    pharmacy = Pharmacy(CHAIN, setting, book, background, filing, word)
    desk = Desk(setting, book, pharmacy, folder)

    def at_start() -> None:
        pharmacy.resume()
        background.start(desk.work())

    app = partner_app("huakang", setting, book, lambda: pharmacy.show_book() | {"broken": book.all("broken")}, background, at_start)

    @app.post("/counter/pickup")
    async def pickup(request: PickupRequest) -> JSONResponse:
        try:
            return JSONResponse({"status": pharmacy.pick_up(request.order_id, request.code)["status"]})
        except No as no:
            return JSONResponse({"error": {"code": no.code, "message": no.code}}, 409)

    return app


def _checked(raw: bytes, order_id: str, kind: str) -> Rows:
    """The rows of a request that is whole. Raises `Broken` and `ValueError`."""
    rows = [{name: _TEXT.sub("", cell, count=1) for name, cell in row.items()} for row in read(raw) if None not in row.values()]
    if not rows or any(None in row for row in rows):
        raise Broken("rows")
    if {(row["订单号"], row["请求"], row["行数"]) for row in rows} != {(order_id, KINDS[kind], str(len(rows)))}:
        raise Broken("rows")
    return rows


def _line(row: dict[str, str]) -> Line:
    if row["单位"] != UNITS.get(row["药品编码"], "片"):
        raise Broken("unit")
    return Line(int(row["行号"]), row["药品编码"], Decimal(row["数量"]), Decimal(row["单价"]), _fen(row["金额"]))


def _fen(text: str) -> int:
    fen = Decimal(text) * 100
    if fen != int(fen):
        raise Broken("amount")
    return int(fen)


def _word(order: Document, status: ChainWord | str) -> str:
    return WORDS.get(ChainWord(status), "已签收" if order.get("delivery") else "已取药")


def _load(pharmacy: Pharmacy, store: Store) -> str:
    busy = len(pharmacy.under_way[store.id])
    return f"{Decimal(min(busy, store.capacity)) / store.capacity:.2f}"


if __name__ == "__main__":
    run("huakang", make_app, secrets={}, urls={
        "gateway": "not used: the platform looks into the folder", "folder": "the folder that both write to, file:///…"})

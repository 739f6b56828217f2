"""A chain's drop box: requests go out and are answered by files; stock and updates come in as tables (contracts 2.8).

```
requests/ ours: one file per request, taken away once it is answered   answers/  the chain's: one file per order
stock/    the chain's stock and prices, each with a .done               ours/     the newest stock that counts
in/       the chain's updates, each with a .done                        done/, refused/, parked/, work/: see `dropbox_box`
```
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from adapters.chains import tables
from adapters.chains.wire import finding
from adapters.dialects.dropbox import as_json, sheet
from adapters.dialects.dropbox_box import Box, Dropped, place_in_file
from adapters.dialects.dropbox_cells import Row
from adapters.dialects.dropbox_tables import MAX_BYTES, Layout
from adapters.messages import Reply
from adapters.registry import ChainManifest
from domain.errors import InvalidPayload, Refused
from domain.findings import Finding
from domain.words import Two
from infra.http import Transport
from infra.log import get_logger

log = get_logger(__name__)
S = TypeVar("S")

CURRENT: Final = "ours/stock"
"""The stock that counts, as the chain wrote it."""
AHEAD: Final = timedelta(minutes=10)
"""How far the clock of a stock file may be ahead of ours; a file from the future would hide all that follow."""
MOST_ROWS: Final = 5_000
"""Of the answer to one stock file."""
RESULTS: Final[Mapping[str, Two]] = {
    "applied": Two("已处理", "done"),
    "repeated": Two("此前已处理", "done before"),
    "ignored": Two("已收到，不改变状态", "received, and changes nothing"),
    "conflict": Two("同一事件号先前内容不同", "this event came before with another content"),
    "invalid": Two("不合约定，未处理", "not as agreed; not taken"),
    "refused": Two("与平台的订单不符，未处理", "not in accord with our order; not taken"),
}
"""What became of an update, for the answer beside its file."""
_CURES: Final[Mapping[str, Two]] = {
    "conflict": Two("内容更正时换新的事件号", "give what was corrected a new event number"),
    "refused": Two("核对订单号、订单密语、取药码与行号", "check order, claim secret, pickup code and line numbers"),
}
HEADINGS: Final = ("事件号 / Event", "订单号 / Order", "结果 / Result", "Result", "结果代码 / Code", "位置 / Place", "规则 / Rule",
                   "问题 / Problem", "Problem", "处理 / Cure", "Cure")
STOCK_HEADINGS: Final = ("位置 / Place", "规则 / Rule", "问题 / Problem", "Problem", "处理 / Cure", "Cure")


class ChainBox(Box):
    """Where a chain leaves its updates and its stock. Two processes may work at one at a time; both do the same."""

    def __init__(self, manifest: ChainManifest, transport: Transport, secrets: Mapping[str, str], updates: Layout) -> None:
        super().__init__(manifest, transport, secrets, updates)
        self._updates = updates

    def cut_up(self, raw: bytes) -> Sequence[Sequence[Row]]:
        """The rows of each event, in the order of their first rows; a row without an event number stands alone."""
        heading = self._updates.headings["event"]
        events: dict[str, list[Row]] = {}
        for number, row in enumerate(tables.read(raw, self._updates)):
            own = row.headings.get("event", heading)
            name = row.cells[own].text if own in row.cells else ""
            events.setdefault(name or f"\0{number}", []).append(row)
        return list(events.values())

    def is_answer(self, answer: Mapping[str, Any]) -> bool:
        return answer.get("result") in RESULTS

    def is_taken(self, answer: Mapping[str, Any]) -> bool:
        return answer["result"] in ("applied", "repeated", "ignored")

    def answer_sheet(self, dropped: Dropped, answers: Sequence[Mapping[str, Any]]) -> bytes:
        rows: list[list[object]] = []
        for number, answer in enumerate(answers, 1):
            of_event = dropped.slices[number - 1] if dropped.slices else []
            words = RESULTS[answer["result"]]
            start = [self._said(of_event, "event"), self._said(of_event, "order"), words.zh, words.en, answer["result"]]
            for fault in answer["findings"] or [{}]:
                rows.append([*start, place_in_file(str(fault.get("place", "")), of_event, self._updates),
                             *(fault.get(name, "") for name in ("rule", "text", "text_en", "cure", "cure_en"))])
        return sheet(HEADINGS, rows)

    def _said(self, rows: Sequence[Row], field: str) -> str:
        """What a file says in a column that names an event or an order."""
        headings = [heading for heading, name in self._updates.columns.items() if name == field]
        return next((row.cells[heading].text for row in rows for heading in headings if heading in row.cells), "")

    async def answered(self, ref: str, reply: Reply) -> None:
        """Keep our answer to one update until its whole file is answered."""
        result = json.loads(reply.body)
        why = result.get("why", ())
        faults = [*(why if isinstance(why, list) else ()), *result.get("findings", ())]
        cure = _CURES.get(result["result"])
        if cure and not faults:
            faults = [{"text": RESULTS[result["result"]].zh, "text_en": why or RESULTS[result["result"]].en, "cure": cure.zh,
                       "cure_en": cure.en}]
        await self.hand_back(ref, Reply(as_json({"result": result["result"], "findings": [
            {"place": (fault.get("spot") or {}).get("name") or fault.get("path", ""),
             **{name: str(fault.get(name, "")) for name in ("rule", "text", "text_en", "cure", "cure_en")}}
            for fault in faults]}), reply.status, reply.media))

    async def take_stock(self, read: Callable[[bytes], S], at: Callable[[S], datetime], faults: Callable[[S], Sequence[Finding]],
                         now: datetime) -> None:
        """Let the newest stock file count. One that cannot be read, or is from the future, is parked with its errors beside it.

        `read` raises `InvalidPayload` for a file as a whole; `faults` are those of its rows, which cost only themselves. Which file
        is the newest is said by the time in it: files may come out of order, and twice.
        """
        def take(name: str) -> None:
            raw = self._files.read(f"stock/{name}", MAX_BYTES + 1)
            try:
                stock = read(raw)
                if at(stock) > now + AHEAD:
                    raise InvalidPayload([finding("CHN-19", "time")])
            except InvalidPayload as invalid:
                self._without_marker(name)
                self._files.put(f"{self._park(f'stock/{name}', 'stock')}.errors.csv", _stock_sheet(invalid.findings))
                return
            counts = self._counting(read)
            if counts is None or at(stock) > at(counts):
                self._files.put(CURRENT, raw)
            # One that only repeats or is late is answered and taken away as well; without faults nothing is left of it.
            if wrong := faults(stock):
                self._files.put(f"done/{name}.errors.csv", _stock_sheet(wrong))
            self._without_marker(name)
            self._files.delete(f"stock/{name}")
            log.info("dropbox.stock_taken", chain=self.slug, faults=len(wrong))

        def look() -> None:
            whole, others = self._sorted(self._files.names("stock"))
            for name in others:
                self._set_aside(name, "stock")
            for name in whole:
                try:
                    take(name)
                except Refused as refused:
                    if refused.code != "absent":  # another worker has just taken it
                        raise

        await self._line.work("take_stock", look)

    def _without_marker(self, name: str) -> None:
        """The marker goes before the file: with one left behind, the next file of that name would be read half-written."""
        for marker in self.markers(name):
            self._files.delete(f"stock/{marker}")

    def _counting(self, read: Callable[[bytes], S]) -> S | None:
        """The stock that counts now; None where there is none that can be read."""
        try:
            return read(self._files.read(CURRENT, MAX_BYTES + 1))
        except (Refused, InvalidPayload):
            return None


def _stock_sheet(faults: Sequence[Finding]) -> bytes:
    return sheet(STOCK_HEADINGS, [[fault.spot.name if fault.spot else fault.path, fault.rule, fault.text, fault.text_en,
                                   fault.cure, fault.cure_en] for fault in faults[:MOST_ROWS]])

"""What a simulated chain tells by files: events gather in one file after another, and each is told again until it is in."""

import asyncio
import csv
import hashlib
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from time import monotonic

import openpyxl

from sandbox.book import Book, Document
from sandbox.partner import Background, Setting

BEIJING = timezone(timedelta(hours=8))
LOOK_SECONDS = 0.1
PATIENCE_SECONDS = 60.0
"""For the answer to a file; after that its events are told again in another one."""
TAKEN = frozenset({"applied", "repeated", "ignored"})
BREAKS = ("half", "formula", "bytes", "heading")
"""How a file is broken on purpose: cut off, a cell that Excel was to calculate, no known encoding, a column of another name."""

Rows = list[dict[str, str]]


class Folder:
    """A shared folder. What has no marker is written under another name first, so that half of it is never read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in ("requests", "answers", "stock", "in"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def names(self, folder: str) -> list[str]:
        """The oldest first."""
        there = []
        for path in (self._folder / folder).iterdir():
            try:
                there.append((path.stat().st_mtime_ns, path.name))
            except FileNotFoundError:
                continue
        return [name for _, name in sorted(there) if not name.startswith(".")]

    def get(self, name: str) -> bytes | None:
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def put(self, name: str, data: bytes) -> None:
        path = self._folder / name
        new = path.with_name(f".new-{path.name}")
        new.write_bytes(data)
        os.replace(new, path)

    def hand_over(self, name: str, data: bytes) -> None:
        """A file that grows in its place, and its marker."""
        path = self._folder / name
        with path.open("wb") as file:
            for half in (data[:len(data) // 2], data[len(data) // 2:]):
                file.write(half)
                file.flush()
        path.with_name(f"{path.name}.done").write_bytes(b"")

    def delete(self, name: str) -> None:
        (self._folder / name).unlink(missing_ok=True)


def written(headings: Sequence[str], rows: Rows, number: int) -> tuple[bytes, str]:
    """A table and the ending of its name: CSV in UTF-8, CSV in GB18030 and Excel in turn."""
    if number % 3 == 2:
        book = openpyxl.Workbook()
        sheet = book.create_sheet("sheet", 0)
        sheet.append(list(headings))
        for row in rows:
            sheet.append([row.get(name, "") for name in headings])
        file = io.BytesIO()
        book.save(file)
        return file.getvalue(), "xlsx"
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\r\n", quoting=csv.QUOTE_ALL)
    table.writerow(headings)
    table.writerows([[row.get(name, "") for name in headings] for row in rows])
    return text.getvalue().encode("gb18030" if number % 3 else "utf-8"), "csv"


def read(raw: bytes) -> Rows:
    """A table in CSV, by the headings' Chinese part. Raises `ValueError` for none."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("gb18030")
    try:
        return [dict(row) for row in csv.DictReader(io.StringIO(text, newline=""), strict=True)]
    except csv.Error as error:
        raise ValueError("table") from error


class Filing:
    """Keeps `sandbox.chain.Outlet` for a chain that exchanges files."""

    def __init__(self, setting: Setting, book: Book, background: Background, folder: Folder, headings: Sequence[str],
                 as_rows: Callable[[Document], Rows]) -> None:
        self.faults = setting.faults
        self.pace = setting.pace
        self.book = book
        self.background = background
        self.folder = folder
        self._headings = headings
        self._as_rows = as_rows
        self._ready: dict[str, Document] = {}
        """Events that the next file tells, by key."""
        self._under_way: dict[str, tuple[float, dict[str, str]]] = {}
        """File -> when it was handed over, and event id -> key of those in it."""

    def send(self, event_id: str, body: Document, path: str = "") -> None:
        """Write the event down; it is told at once, or late, or twice if the faults say so."""
        self._write(event_id, event_id, body)
        if self.faults.strikes("duplicate_callback", event_id):
            self._write(f"{event_id} again", event_id, body)

    def resume(self) -> None:
        for event in self.book.all("callback"):
            if event["answer"] is None:
                self._ready[event["key"]] = event
        self.background.start(self._tell())

    def _write(self, key: str, event_id: str, body: Document) -> None:
        event = {"key": key, "event_id": event_id, "body": body, "tries": 0, "answer": None}
        self.book.put("callback", key, event)
        if self.faults.strikes("late_callback", key):
            self.background.start(self._later(key))
        else:
            self._ready[key] = event

    async def _later(self, key: str) -> None:
        await asyncio.sleep(self.faults.between(1, 3, "late", key) * self.pace)
        if event := self.book.get("callback", key):
            self._ready[key] = event

    async def _tell(self) -> None:
        while True:
            self._hand_over()
            self._hear()
            await asyncio.sleep(LOOK_SECONDS)

    def _hand_over(self) -> None:
        """One file with what is ready; an event that stands in it already waits for the next one."""
        events: dict[str, Document] = {}
        for key, event in self._ready.items():
            if event["event_id"] not in {each["event_id"] for each in events.values()}:
                events[key] = event
        if not events:
            return
        for key, event in events.items():
            self.book.put("callback", key, event | {"tries": event["tries"] + 1})
            del self._ready[key]
        rows = [row for event in events.values() for row in self._as_rows(event["body"])]
        number = self.book.count("number", "file")
        raw, ending = written(self._headings, rows, number)
        name = f"update_{datetime.now(BEIJING):%Y%m%d%H%M%S}_{number:06d}.{ending}"
        if self.faults.strikes("broken_file", name):
            raw = self._broken(rows, BREAKS[number % len(BREAKS)])
            name = f"{name.removesuffix(ending)}csv"
            self.book.put("broken", name, {"file": name, "sha256": hashlib.sha256(raw).hexdigest()})
        self._under_way[name] = monotonic(), {event["event_id"]: key for key, event in events.items()}
        self.folder.hand_over(f"in/{name}", raw)

    def _broken(self, rows: Rows, how: str) -> bytes:
        headings = [f"{name}（新）" if how == "heading" and name == "订单号" else name for name in self._headings]
        changed = [row | {"订单号（新）": row["订单号"]} for row in rows]
        if how == "formula":
            changed[-1]["时间"] = "=NOW()"
        raw, _ = written(headings, changed, 0)
        if how == "half":
            return raw[:len(raw) - 40]
        return raw + b"\xff\xff" if how == "bytes" else raw

    def _hear(self) -> None:
        """What became of the files: an event that was refused because of a broken file is told again in the next."""
        for name, (since, events) in list(self._under_way.items()):
            answer = next(((place, raw) for place in ("done", "refused")
                           if (raw := self.folder.get(f"{place}/{name}.answer.csv"))), None)
            if answer is None and monotonic() - since < PATIENCE_SECONDS:
                continue
            del self._under_way[name]
            results = dict(self._answers(answer[1])) if answer else {}
            broken = self.book.get("broken", name) is not None
            for event_id, key in events.items():
                result = results.get(event_id, "")
                event = self.book.get("callback", key)
                if event is None:
                    continue
                if result in TAKEN:
                    self.book.put("callback", key, event | {"answer": 200})
                elif result and not broken:
                    self.book.put("callback", key, event | {"answer": 422, "result": result})
                else:
                    self._ready[key] = event
            if answer:
                for file in (f"{answer[0]}/{name}.answer.csv", f"{answer[0]}/{name}"):
                    self.folder.delete(file)

    @staticmethod
    def _answers(raw: bytes) -> Iterator[tuple[str, str]]:
        for row in read(raw):
            by_name: Mapping[str, str] = {heading.partition(" / ")[2]: cell for heading, cell in row.items() if heading}
            yield by_name.get("Event", ""), by_name.get("Code", "")

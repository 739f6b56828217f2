"""The box: files lie in a folder or a bucket, one bad row refuses only its own, and no death between two steps loses a word."""

import asyncio
import csv
import io
import json
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters import registry
from adapters.dialects import dropbox_box, dropbox_reader
from adapters.dialects import dropbox_tables as tables
from adapters.dialects.dropbox_box import Box
from adapters.hospitals.jinan_county.adapter import Adapter
from adapters.messages import Fetched, Outcome, Reply, Verdict
from adapters.registry import manifest
from domain.errors import InvalidPayload, NeedsOperator, Transient
from infra.dropbox import BoxTransport, FolderFiles
from infra.http import open_client
from tasks.intake import check
from tests.support import county
from tests.support.county import CODES, SLUG, csv_file, drop, rx, workbook, xlsx_file, xml_file

AT = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)


class Line:
    """A platform that reads every message, takes what is right, and remembers what it took."""

    def __init__(self, adapter: Adapter) -> None:
        self.adapter = adapter
        self.taken: dict[bytes, Reply] = {}
        self.order: list[str] = []

    def take(self, message: Fetched) -> Reply:
        if message.raw not in self.taken:
            read, verdict = None, Verdict(Outcome.REFUSED, AT, SLUG)
            try:
                read = self.adapter.to_fhir(message.raw, CODES)
                findings = check(read, SLUG)
                verdict = Verdict(Outcome.REFUSED, AT, SLUG, findings=findings) if findings else Verdict(
                    Outcome.ACCEPTED, AT, SLUG, f"rx_{len(self.taken)}", read.context["number"], "received")
                self.order.append(read.context["number"])
            except InvalidPayload as invalid:
                verdict = Verdict(Outcome.REFUSED, AT, SLUG, findings=invalid.findings)
            self.taken[message.raw] = self.adapter.answer(read, verdict)
        return self.taken[message.raw]

    async def run(self, limit: int = 50) -> int:
        """Poll until there is nothing new."""
        count = 0
        while fetched := await self.adapter.poll(limit):
            for message in fetched:
                await self.adapter.hand_back(message.ref, self.take(message))
                count += 1
        return count


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def answers(folder: Path, name: str) -> list[dict[str, str]]:
    raw = (folder / f"{name}.answer.csv").read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf")
    return list(csv.DictReader(io.StringIO(raw.decode("utf-8-sig"), newline="")))


async def test_one_bad_row_refuses_only_its_own_prescription(tmp_path):
    rows = rx(1) + rx(2) + rx(3)
    rows[3]["数量"] = "=30*3"
    rows[4]["数量"] = "很多"
    drop(tmp_path, "rx.csv", csv_file(rows))
    assert await Line(county.adapter(tmp_path)).run() == 3
    told = answers(tmp_path / "done", "rx.csv")
    columns = ("处方号 / Number", "结果代码 / Outcome", "位置 / Place", "问题代码 / Finding")
    assert [tuple(row[column] for column in columns) for row in told] == [
        ("XY0001", "accepted", "", ""), ("XY0002", "refused", "row 5, 数量", "CELL_FORMULA"),
        ("XY0003", "refused", "row 6, 数量", "AMOUNT_UNREADABLE")]
    assert set(tree(tmp_path)) == {"done/rx.csv", "done/rx.csv.answer.csv"}
    assert (tmp_path / "done" / "rx.csv").read_bytes() == csv_file(rows)


@pytest.mark.parametrize(("name", "write"), [
    ("rx.xlsx", lambda rows: xlsx_file(workbook(rows)[0])), ("rx.xml", lambda rows: xml_file([rows[:2], rows[2:]]))])
async def test_excel_and_xml_hold_several_prescriptions_as_well(tmp_path, name, write):
    drop(tmp_path, name, write(rx(1) + rx(2)))
    line = Line(county.adapter(tmp_path))
    assert await line.run() == 2
    assert line.order == ["XY0001", "XY0002"]


async def test_a_file_counts_when_its_marker_is_there_and_not_before(tmp_path):
    line = Line(county.adapter(tmp_path))
    drop(tmp_path, "rx.csv", csv_file(rx())[:200], marker=None)
    (tmp_path / "in" / "other.csv.done").touch()
    assert await line.run() == 0
    drop(tmp_path, "rx.csv", csv_file(rx()), marker=".ok")
    assert await line.run() == 1
    assert [row["结果代码 / Outcome"] for row in answers(tmp_path / "done", "rx.csv")] == ["accepted"]
    assert set(tree(tmp_path / "in")) == {"other.csv.done"}


@pytest.mark.parametrize("marker", ["rx.csv.done", "rx.csv.ok", "rx.done", "rx.ok"])
async def test_a_marker_is_named_after_its_file(tmp_path, marker):
    drop(tmp_path, "rx.csv", csv_file(rx()), marker=None)
    (tmp_path / "in" / marker).touch()
    assert await Line(county.adapter(tmp_path)).run() == 1
    assert tree(tmp_path / "in") == {}


async def test_where_the_rename_is_the_hand_over_only_finished_names_count(tmp_path):
    line = Line(county.adapter(tmp_path, handover="rename"))
    for name in ("rx.csv.tmp", ".rx.csv", "~$rx.xlsx", "notes.docx"):
        drop(tmp_path, name, csv_file(rx()), marker=None)
    assert await line.run() == 0
    (tmp_path / "in" / "rx.csv.tmp").rename(tmp_path / "in" / "rx.csv")
    assert await line.run() == 1


async def test_a_file_of_which_nothing_is_taken_lies_with_the_refused(tmp_path):
    drop(tmp_path, "old.xlsx", b"\xd0\xcf\x11\xe0 an old Excel")
    drop(tmp_path, "big.csv", b"x" * (tables.MAX_BYTES + 5))
    assert await Line(county.adapter(tmp_path)).run() == 2
    assert set(tree(tmp_path)) == {f"refused/{name}" for name in (
        "old.xlsx", "old.xlsx.answer.csv", "big.csv", "big.csv.answer.csv")}
    assert answers(tmp_path / "refused", "old.xlsx")[0]["规则 / Rule"] == "BOX-003"
    assert answers(tmp_path / "refused", "big.csv")[0]["规则 / Rule"] == "BOX-001"


async def test_the_file_stays_until_all_of_it_is_answered(tmp_path):
    drop(tmp_path, "rx.csv", csv_file(rx(1) + rx(2)))
    line = Line(county.adapter(tmp_path))
    first, _ = await line.adapter.poll(10)
    await line.adapter.hand_back(first.ref, line.take(first))
    assert (tmp_path / "in" / "rx.csv").exists()
    # Another process, or this one after its death, goes on where it stopped.
    again = Line(county.adapter(tmp_path))
    assert [message.ref[-2:] for message in await again.adapter.poll(10)] == ["#2"]
    again.taken |= line.taken
    await again.run()
    assert len(answers(tmp_path / "done", "rx.csv")) == 2


async def test_no_more_are_fetched_than_were_asked_for_and_none_is_forgotten(tmp_path):
    for name in ("a.csv", "b.csv"):
        drop(tmp_path, name, csv_file([row for number in range(1, 8) for row in rx(number, 上传时间=name)]))
    line = Line(county.adapter(tmp_path))
    assert len(await line.adapter.poll(10)) == 10
    assert await line.run(limit=3) == 14
    assert len(answers(tmp_path / "refused", "a.csv")) >= 7


async def test_the_same_name_again_replaces_no_answer(tmp_path):
    line = Line(county.adapter(tmp_path))
    for number in (1, 2):
        drop(tmp_path, "rx.csv", csv_file(rx(number)))
        await line.run()
    told = [answers(tmp_path / "done", path.name.removesuffix(".answer.csv"))[0]["处方号 / Number"]
            for path in sorted((tmp_path / "done").glob("*.answer.csv"))]
    assert sorted(told) == ["XY0001", "XY0002"]


async def test_the_same_file_again_gets_the_same_answer(tmp_path):
    line = Line(county.adapter(tmp_path))
    drop(tmp_path, "rx.csv", csv_file(rx()))
    await line.run()
    first = tree(tmp_path)
    drop(tmp_path, "rx.csv", csv_file(rx()))
    await line.run()
    assert tree(tmp_path) == first
    assert len(line.taken) == 1


class Crash(BaseException):
    """The process is gone."""


class Fragile(FolderFiles):
    """A folder whose user dies at a chosen step, before or after it took effect."""

    def __init__(self, folder: Path, dies_at: int, after: bool) -> None:
        super().__init__(folder)
        self._left, self._after = dies_at, after

    def _step(self, act: Callable[[], None]) -> None:
        self._left -= 1
        if self._left == 0 and not self._after:
            raise Crash
        act()
        if self._left == 0:
            raise Crash

    def put(self, name: str, data: bytes) -> None:
        self._step(lambda: super(Fragile, self).put(name, data))

    def move(self, name: str, to: str) -> None:
        self._step(lambda: super(Fragile, self).move(name, to))

    def delete(self, name: str) -> None:
        self._step(lambda: super(Fragile, self).delete(name))


def fragile(folder: Path, dies_at: int, after: bool) -> Adapter:
    adapter = county.adapter(folder)
    box: Box = adapter._box
    box.__dict__["_files"] = Fragile(folder, dies_at, after)
    return adapter


async def settled_after_a_crash(folder: Path, dies_at: int, after: bool) -> tuple[bool, dict[str, bytes]]:
    folder.mkdir()
    drop(folder, "rx.csv", csv_file(rx(1) + rx(2, 数量="很多")))
    first = Line(fragile(folder, dies_at, after))
    died = False
    try:
        await first.run()
    except Crash:
        died = True
    second = Line(county.adapter(folder))
    second.taken = first.taken
    await second.run()
    return died, tree(folder)


async def test_a_death_between_any_two_steps_changes_nothing(tmp_path):
    _, undisturbed = await settled_after_a_crash(tmp_path / "none", 0, False)
    assert set(undisturbed) == {"done/rx.csv", "done/rx.csv.answer.csv"}
    step, died = 0, True
    while died:
        step += 1
        for after in (False, True):
            died, left = await settled_after_a_crash(tmp_path / f"{step}{after}", step, after)
            assert left == undisturbed, f"step {step}, {'after' if after else 'before'}"
    assert step > 8


async def test_after_a_death_the_next_file_of_that_name_is_not_read_half_written(tmp_path):
    undisturbed = 0
    for step in range(1, 20):
        folder = tmp_path / str(step)
        folder.mkdir()
        drop(folder, "rx.csv", csv_file(rx(1)))
        first = Line(fragile(folder, step, True))
        with suppress(Crash):
            await first.run()
            undisturbed += 1
        if (folder / "in" / "rx.csv").exists():
            continue
        drop(folder, "rx.csv", csv_file(rx(2))[:300], marker=None)
        second = Line(county.adapter(folder))
        second.taken = first.taken
        assert await second.run() == 0
        assert (folder / "in" / "rx.csv").read_bytes() == csv_file(rx(2))[:300]
    assert undisturbed


async def test_two_processes_at_one_box_do_the_same(tmp_path):
    for number in range(1, 6):
        drop(tmp_path, f"{number}.csv", csv_file(rx(number) + rx(number + 10)))
    one, two = Line(county.adapter(tmp_path)), Line(county.adapter(tmp_path))
    two.taken = one.taken
    results = await asyncio.gather(one.run(2), two.run(2), return_exceptions=True)
    # Who comes second may find a file gone; the next poll is as if nothing had happened.
    assert not [error for error in results if isinstance(error, Exception) and getattr(error, "code", "") != "absent"]
    await one.run()
    assert len(list((tmp_path / "done").glob("*.answer.csv"))) == 5
    assert not tree(tmp_path / "in")
    assert not tree(tmp_path / "work")


async def test_who_comes_second_leaves_nothing_of_a_finished_file_behind(tmp_path):
    drop(tmp_path, "1.csv", csv_file(rx(1) + rx(2)))
    one, two = Line(county.adapter(tmp_path)), Line(county.adapter(tmp_path))
    fetched = [(line, await line.adapter.poll(10)) for line in (one, two)]
    for line, messages in fetched:
        for message in messages:
            await line.adapter.hand_back(message.ref, line.take(message))
    assert sorted(tree(tmp_path)) == ["done/1.csv", "done/1.csv.answer.csv"]


async def test_who_comes_too_late_leaves_nothing_though_the_name_holds_another_file_by_now(tmp_path):
    drop(tmp_path, "1.csv", csv_file(rx(1)))
    one, two = Line(county.adapter(tmp_path)), Line(county.adapter(tmp_path))
    (fetched,), (late,) = await one.adapter.poll(10), await two.adapter.poll(10)
    await one.adapter.hand_back(fetched.ref, one.take(fetched))
    drop(tmp_path, "1.csv", csv_file(rx(2)))
    await two.adapter.hand_back(late.ref, two.take(late))
    assert not tree(tmp_path / "work")
    assert await one.run() == 1


async def test_a_file_nobody_may_read_keeps_no_other_waiting(tmp_path):
    drop(tmp_path, "a.csv", csv_file(rx(1)))
    drop(tmp_path, "b.csv", csv_file(rx(2)))

    class Denied(FolderFiles):
        def read(self, name: str, limit: int) -> bytes:
            if name == "in/a.csv":
                raise NeedsOperator("drop box: permission denied", code="disk")
            return super().read(name, limit)

    adapter = county.adapter(tmp_path)
    adapter._box.__dict__["_files"] = Denied(tmp_path)
    assert [message.ref.partition("#")[0] for message in await adapter.poll(10)] == ["b.csv"]


async def test_a_share_that_is_away_is_waited_for(tmp_path):
    with pytest.raises(Transient):
        await county.adapter(tmp_path / "gone").poll(10)


FORGED = {
    "a list": b"[]", "no words": b'{"digest":"x"}', "no json": b"{", "nothing": b"", "nested": b"[" * 100_000,
    "huge": b"x" * 3_000_000, "elsewhere": json.dumps({"digest": "a" * 32, "to": "../../x"}).encode(),
    "into its own in": json.dumps({"digest": "a" * 32, "to": "in/y.csv"}).encode(),
    "many parts": b'{"digest":"x","to":"done/x","parts":10000000}', "types": b'{"digest":7,"to":[]}'}


@pytest.mark.parametrize("note", FORGED.values(), ids=FORGED)
async def test_a_note_that_somebody_forged_is_parked_and_stops_nobody(tmp_path, note):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "rx.csv").write_bytes(note)
    drop(tmp_path, "rx.csv", csv_file(rx()))
    assert await Line(county.adapter(tmp_path)).run() == 1
    assert answers(tmp_path / "done", "rx.csv")[0]["结果代码 / Outcome"] == "accepted"
    assert not tree(tmp_path / "work")
    assert [name for name in sorted(tree(tmp_path / "parked")) if name.endswith(".why.txt")]


@pytest.mark.parametrize("forged", [b"[]", b'{"outcome":"accepted"}', b'{"outcome":"boiled"}', b"{", b"x" * 3_000_000])
async def test_an_answer_that_somebody_forged_is_thrown_away_and_given_again(tmp_path, forged):
    drop(tmp_path, "rx.csv", csv_file(rx(1) + rx(2)))
    line = Line(county.adapter(tmp_path))
    first, second = await line.adapter.poll(10)
    _, digest, _ = first.ref.split("#")
    await line.adapter.hand_back(first.ref, line.take(first))
    (tmp_path / "work" / digest / "1.json").write_bytes(forged)
    await line.adapter.hand_back(second.ref, line.take(second))
    await line.run()
    assert [row["结果代码 / Outcome"] for row in answers(tmp_path / "done", "rx.csv")] == ["accepted", "accepted"]


# --- what nobody can take ---


def old(path: Path, seconds: float = 7 * 86_400) -> None:
    os.utime(path, (time.time() - seconds,) * 2, follow_symlinks=False)


def parked(folder: Path) -> dict[str, str]:
    """File -> the note beside it."""
    notes = {path.name.removesuffix(".why.txt"): path.read_text("utf-8-sig") for path in (folder / "parked").glob("*.why.txt")}
    assert {path.name for path in (folder / "parked").iterdir() if not path.name.endswith(".why.txt")} == set(notes)
    return notes


class Killed(BaseException):
    """The process is gone."""


async def test_a_file_that_kills_the_process_is_parked_and_the_next_one_goes_on(tmp_path, monkeypatch):
    drop(tmp_path, "a.csv", csv_file(rx(1)))
    drop(tmp_path, "b.csv", csv_file(rx(2)))
    old(tmp_path / "in" / "a.csv")
    deadly, real = csv_file(rx(1)), dropbox_reader.read

    def read(raw, layout):
        if raw == deadly:
            raise Killed
        return real(raw, layout)

    monkeypatch.setattr(dropbox_reader, "read", read)
    for _ in range(dropbox_box.TRIES):
        with pytest.raises(Killed):
            await county.adapter(tmp_path).poll(10)
    line = Line(county.adapter(tmp_path))
    assert await line.run() == 1
    assert line.order == ["XY0002"]
    ((name, note),) = parked(tmp_path).items()
    assert (tmp_path / "parked" / name).read_bytes() == deadly
    assert "broken off" in note
    assert not tree(tmp_path / "in")
    assert not tree(tmp_path / "work")


async def test_a_file_that_breaks_us_is_parked_at_once_and_the_next_one_goes_on(tmp_path, monkeypatch):
    drop(tmp_path, "a.csv", csv_file(rx(1)))
    drop(tmp_path, "b.csv", csv_file(rx(2)))
    real = dropbox_box.cut
    monkeypatch.setattr(dropbox_box, "cut", lambda rows, layout: 1 // 0 if rows[0].cells["处方号"].text == "XY0001" else real(
        rows, layout))
    line = Line(county.adapter(tmp_path))
    assert await line.run() == 1
    assert line.order == ["XY0002"]
    assert len(parked(tmp_path)) == 1


async def test_a_reading_that_was_broken_off_once_is_done_again(tmp_path, monkeypatch):
    drop(tmp_path, "a.csv", csv_file(rx(1)))

    def killed(raw, layout):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(dropbox_reader, "read", killed)
        with pytest.raises(Killed):
            await county.adapter(tmp_path).poll(10)
    assert await Line(county.adapter(tmp_path)).run() == 1
    assert set(tree(tmp_path)) == {"done/a.csv", "done/a.csv.answer.csv"}


async def test_a_program_in_the_box_is_answered_with_a_marker_and_parked_without(tmp_path):
    drop(tmp_path, "x.py", b"print('x')")
    drop(tmp_path, "y.py", b"print('y')", marker=None)
    line = Line(county.adapter(tmp_path))
    assert await line.run() == 1
    assert answers(tmp_path / "refused", "x.py")[0]["结果代码 / Outcome"] == "refused"
    assert set(tree(tmp_path / "in")) == {"y.py"}  # somebody may still be writing it
    old(tmp_path / "in" / "y.py", 700)
    await line.run()
    assert not tree(tmp_path / "in")
    assert [name.endswith("y.py") for name in parked(tmp_path)] == [True]


@pytest.mark.parametrize("name", ["rx.csv", "rx.csv.done", ".rx.csv", "~$rx.xlsx", "rx.csv.tmp"])
async def test_what_is_never_finished_is_parked_after_a_day_and_not_before(tmp_path, name):
    drop(tmp_path, name, b"x", marker=None)
    old(tmp_path / "in" / name, 80_000)
    line = Line(county.adapter(tmp_path))
    await line.run()
    assert set(tree(tmp_path / "in")) == {name}
    old(tmp_path / "in" / name, 90_000)
    await line.run()
    assert not tree(tmp_path / "in")
    assert len(parked(tmp_path)) == 1


ODD = {"newline": b"a\nb.csv", "no utf-8": b"\xff\xfe.csv", "longest": b"l" * 251 + b".csv", "dash": b"-rf.csv", "dots": b"...csv",
       "control": b"\x1b[2J.csv", "backslash": b"..\\..\\x.csv", "separator": "\u2028.csv".encode(), "percent": b"%s%n.csv",
       "hash": b"a#b#1.csv"}


@pytest.mark.parametrize("name", ODD.values(), ids=ODD)
async def test_an_odd_name_stops_nobody_and_is_answered_or_parked(tmp_path, name):
    drop(tmp_path, "good.csv", csv_file(rx(1)))
    path = os.fsencode(tmp_path / "in") + b"/" + name
    for ending in (b"", b".done") if len(name) < 250 else (b"",):
        Path(os.fsdecode(path + ending)).write_bytes(csv_file(rx(2)) if not ending else b"")
        old(Path(os.fsdecode(path + ending)))
    line = Line(county.adapter(tmp_path))
    await line.run()
    assert "XY0001" in line.order
    assert not tree(tmp_path / "in")
    assert not tree(tmp_path / "work")
    assert "XY0002" in line.order or parked(tmp_path)
    for note in tree(tmp_path / "parked") if (tmp_path / "parked").is_dir() else ():
        assert note.isascii()
        assert note.isprintable()


async def test_pipes_sockets_folders_and_links_stop_nobody(tmp_path):
    box = tmp_path / "box"
    (box / "in").mkdir(parents=True)
    (tmp_path / "secret.csv").write_bytes(csv_file(rx(7)))
    os.mkfifo(box / "in" / "pipe.csv")
    (box / "in" / "folder.csv").mkdir()
    (box / "in" / "link.csv").symlink_to(tmp_path / "secret.csv")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(box / "in" / "s.csv"))
        for name in ("pipe.csv", "folder.csv", "link.csv", "s.csv"):
            (box / "in" / f"{name}.done").touch()
        for folder in ("done", "refused", "reports", "work"):
            (box / folder).mkdir()
        os.mkfifo(box / "done" / "rx.csv")
        (box / "done" / "rx.csv.answer.csv").symlink_to(tmp_path / "secret.csv")
        os.mkfifo(box / "work" / "rx.csv")
        drop(box, "rx.csv", csv_file(rx(1)))
        line = Line(county.adapter(box))
        assert await asyncio.wait_for(line.run(), 60) == 1
    assert line.order == ["XY0001"]
    assert (tmp_path / "secret.csv").read_bytes() == csv_file(rx(7))
    assert not (box / "in" / "rx.csv").exists()


@pytest.mark.parametrize("linked", ["in", "done", "work", "reports"])
async def test_a_folder_that_is_a_link_leads_to_no_other_hospital(tmp_path, linked):
    box, victim = tmp_path / "box", tmp_path / "victim"
    for folder in ("in", "done", "work", "reports"):
        (victim / folder).mkdir(parents=True)
    drop(victim, "theirs.csv", csv_file(rx(5)))
    before = tree(victim)
    box.mkdir()
    (box / linked).symlink_to(victim / linked)
    if linked != "in":
        drop(box, "rx.csv", csv_file(rx(1)))
    line = Line(county.adapter(box))
    with suppress(NeedsOperator):
        await line.run()
    with suppress(NeedsOperator):
        await line.adapter.report("k", b'{"key": "k", "prescription": "1", "status": "in_review", "at": "x"}')
    assert tree(victim) == before
    assert "XY0005" not in line.order


async def test_a_report_is_a_file_under_its_key_however_often_it_is_sent(tmp_path):
    body = {"key": "rx_1:settled:2", "prescription": "XY0001", "id": "rx_1", "status": "settled",
            "at": "2026-11-22T01:00:00+00:00", "reason": "settled", "words": "=cmd", "words_en": "x", "money": {
                "total": "-46.50", "fund": "39.53", "account": "6.97", "cash": "0.00"}}
    for _ in range(2):
        await county.adapter(tmp_path).report(body["key"], json.dumps(body).encode())
    (path,) = (tmp_path / "reports").iterdir()
    assert path.name == "rx_1-settled-2.csv"
    (row,) = csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline=""))
    assert (row["状态 / Status"], row["总额 / Total"], row["原因 / Reason"], row["原因代码 / Reason code"]) == (
        "已结算 / settled", "'-46.50", "'=cmd / x", "settled")


async def test_a_report_of_a_handover_has_a_row_for_each_line(tmp_path):
    lines = [{"line": line, "item": f"{line}", "drug": "D001", "name": "示范药", "quantity": "60", "unit": "片", "days": 30,
              "returned": line == 2} for line in (1, 2)]
    body = {"key": "rx_1:settled:2", "prescription": "XY0001", "id": "rx_1", "status": "settled", "reason": "settled",
            "at": "2026-11-22T01:00:00+00:00", "findings": [{"code": "A", "severity": "WARN", "text": "甲", "line": 1}],
            "settlement": {"payer": "p", "settled": {"id": "S2", "reference": "H2"}, "reverses": {"id": "S1", "reference": "H1"}},
            "dispense": {"order": "ord_1", "chain": "ankang", "store": "AK01", "handover": "home",
                         "at": "2026-11-22T00:59:00+00:00", "lines": lines}}
    await county.adapter(tmp_path).report(body["key"], json.dumps(body).encode())
    (path,) = (tmp_path / "reports").iterdir()
    rows = list(csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")))
    assert [(row["发药行 / Line"], row["发药数量 / Quantity"], row["单位 / Unit"], row["是否退回 / Returned"]) for row in rows] == [
        ("1", "60", "片", "否 / no"), ("2", "60", "片", "是 / yes")]
    assert {(row["连锁 / Chain"], row["门店 / Store"], row["取药方式 / Handover"]) for row in rows} == {("ankang", "AK01", "home")}
    assert {(row["结算号 / Settlement"], row["被冲正结算号 / Reversed settlement"]) for row in rows} == {("S2", "S1")}
    assert [row["问题代码 / Finding"] for row in rows] == ["A", ""]


async def test_the_address_says_that_it_is_a_box():
    async with open_client() as client:
        for url in ("file:///box", "s3://bucket/box"):
            assert isinstance(registry.transport(manifest("hospitals", SLUG), url, client), BoxTransport)


async def test_an_address_that_is_no_box_needs_a_person():
    adapter = Adapter(manifest("hospitals", SLUG), BoxTransport(SLUG, "http://x.example"), {})
    with pytest.raises(NeedsOperator) as caught:
        await adapter.poll(1)
    assert caught.value.code == "bad_address"


async def test_the_box_is_the_same_in_a_bucket(s3):
    url = f"s3://{s3.bucket}/county?endpoint={s3.endpoint}"
    secrets = {"access_key": s3.access_key, "secret_key": s3.secret_key}
    adapter = Adapter(manifest("hospitals", SLUG), BoxTransport(SLUG, url), secrets)
    files = BoxTransport(SLUG, url).files(secrets)
    files.put("in/rx.csv", csv_file(rx(1) + rx(2, 数量="很多")))
    line = Line(adapter)
    assert await line.run() == 0
    files.put("in/rx.csv.done", b"")
    assert await line.run() == 2
    await adapter.report("rx_1:in_review", json.dumps(
        {"key": "rx_1:in_review", "prescription": "XY0001", "status": "in_review", "at": "2026-11-22T01:00:00Z"}).encode())
    kept = [entry["Key"] for entry in s3.client().list_objects_v2(Bucket=s3.bucket).get("Contents", [])]
    assert sorted(kept) == ["county/done/rx.csv", "county/done/rx.csv.answer.csv", "county/reports/rx_1-in_review.csv"]

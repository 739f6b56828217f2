"""Hospitals that are asked for their messages: what they have is taken in once, and one that makes trouble is alone."""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from adapters.dialects import dropbox_box
from adapters.messages import Fetched, Reply
from domain.errors import Transient
from domain.lifecycle import Status
from domain.words import PARKED
from infra.db import prescriptions, views
from infra.db.rows import PrescriptionRow
from infra.limits import Measure
from infra.objects import key_of
from tasks.polling import poll_partner, polled
from tasks.reports import deliver_due
from tests.support import county
from tests.support.city import HOSPITAL, FakeHospital, Plug, SimulatedCrash, bundle, make_city
from tests.support.county import SLUG, cancel, csv_file, drop, rx


@dataclass
class Asked(FakeHospital):
    """A hospital that keeps its messages until they are settled."""

    waiting: dict[str, bytes] = field(default_factory=dict)
    settled: dict[str, Reply] = field(default_factory=dict)
    unsettling: frozenset[str] = frozenset()
    """Messages whose answer it will not take."""
    polls: int = 0

    async def poll(self, limit: int) -> Sequence[Fetched]:
        self.polls += 1
        if self.trouble:
            raise self.trouble
        return [Fetched(ref, raw) for ref, raw in self.waiting.items()][:limit]

    async def hand_back(self, ref: str, reply: Reply) -> None:
        if ref in self.unsettling:
            raise Transient("away")
        self.settled[ref] = reply
        self.waiting.pop(ref, None)


def with_hospital(tmp_path: Path, hospital, **given):
    city = make_city(tmp_path, **given)
    return replace(city, hospitals={**city.hospitals, hospital.slug: hospital})


def taken(city) -> list[str]:
    with city.db.reading() as session:
        return sorted(session.scalars(sa.select(PrescriptionRow.external_id)))


@pytest.fixture
def asked(tmp_path):
    hospital = Asked()
    return hospital, with_hospital(tmp_path, hospital)


def test_only_hospitals_that_are_asked_are_asked(tmp_path):
    assert list(polled(make_city(tmp_path))) == []
    assert list(polled(with_hospital(tmp_path, county.adapter(tmp_path)))) == [SLUG]


async def test_what_a_hospital_has_is_taken_in_and_answered(asked):
    hospital, city = asked
    hospital.waiting = {"1": bundle(1), "2": bundle(2)}
    assert await poll_partner(city, HOSPITAL) == 2
    assert taken(city) == ["RX0001", "RX0002"]
    assert [reply.status for reply in hospital.settled.values()] == [201, 201]
    assert await poll_partner(city, HOSPITAL) == 0


async def test_an_answer_that_did_not_arrive_is_given_again_and_nothing_is_taken_twice(asked):
    hospital, city = asked
    hospital.waiting = {"1": bundle(1)}
    hospital.unsettling = frozenset({"1"})
    assert await poll_partner(city, HOSPITAL) == 0
    hospital.unsettling = frozenset()
    assert await poll_partner(city, HOSPITAL) == 1
    assert taken(city) == ["RX0001"]


async def test_messages_that_always_fail_hide_none_behind_them(asked):
    hospital, city = asked
    hospital.waiting = {str(number): bundle(number) for number in range(1, 8)}
    hospital.unsettling = frozenset({"1", "2", "3"})
    assert await poll_partner(city, HOSPITAL, limit=4) == 4
    assert set(hospital.settled) == {"4", "5", "6", "7"}


async def test_no_more_are_taken_than_were_asked_for(asked):
    hospital, city = asked
    hospital.waiting = {str(number): bundle(number) for number in range(1, 8)}
    assert await poll_partner(city, HOSPITAL, limit=3) == 3
    assert len(hospital.waiting) == 4


async def test_a_hospital_that_is_away_is_asked_again_later(asked):
    hospital, city = asked
    hospital.trouble = Transient("away")
    with pytest.raises(Transient):
        await poll_partner(city, HOSPITAL)


async def test_what_is_beyond_a_hospitals_share_stays_with_it_until_there_is_room(asked):
    hospital, city = asked
    now = [0.0]
    size = max(len(bundle(number)) for number in range(1, 4))
    city = replace(city, share=Measure(2 * size, 3600, clock=lambda: now[0]))
    hospital.waiting = {str(number): bundle(number) for number in range(1, 4)}
    assert await poll_partner(city, HOSPITAL) == 2
    assert await poll_partner(city, HOSPITAL) == 0
    assert taken(city) == ["RX0001", "RX0002"]
    now[0] = 3600.0
    assert await poll_partner(city, HOSPITAL) == 1
    assert taken(city) == ["RX0001", "RX0002", "RX0003"]


# --- a real drop box ---


def answers(folder: Path, name: str) -> dict[str, str]:
    raw = (folder / f"{name}.answer.csv").read_bytes().decode("utf-8-sig")
    return {row["流水号 / Key"]: row["结果代码 / Outcome"] for row in csv.DictReader(io.StringIO(raw, newline=""))}


async def test_each_prescription_of_a_file_is_a_message_of_its_own(tmp_path):
    city = with_hospital(tmp_path, county.adapter(tmp_path))
    raw = csv_file(rx(1) + rx(2, 数量="很多") + rx(3, 药品编码="YP77777"))
    drop(tmp_path, "rx.csv", raw)
    assert await poll_partner(city, SLUG) == 3
    assert answers(tmp_path / "done", "rx.csv") == {"M0001": "accepted", "M0002": "refused", "M0003": "waiting"}
    assert taken(city) == ["XY0001"]
    assert city.archive.get(key_of(raw)) == raw


async def test_a_file_of_many_prescriptions_counts_once_however_often_it_is_polled(tmp_path):
    share = Measure(1_000_000, 3600, clock=lambda: 0.0)
    city = replace(with_hospital(tmp_path, county.adapter(tmp_path)), share=share)
    raw = csv_file([row for number in range(1, 7) for row in rx(number)])
    drop(tmp_path, "rx.csv", raw)
    kept: set[str] = set()
    for _ in range(3):
        assert await poll_partner(city, SLUG, 2, kept) == 2
    assert kept == {key_of(raw)}
    slices = sum(path.stat().st_size for path in (tmp_path / "archive").rglob("*") if re.fullmatch("[0-9a-f]{64}", path.name))
    assert share.wait(f"hospital:{SLUG}", 1_000_000) * 1_000_000 / 3600 == pytest.approx(slices)


async def test_what_nobody_could_take_is_on_the_board_once_with_its_reason_and_without_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr(dropbox_box, "UNTAKEN_SECONDS", 0.0)
    city = with_hospital(tmp_path, county.adapter(tmp_path))
    drop(tmp_path, "rx.csv", csv_file(rx(1)))
    for name in ("患者张三.exe", "b.py"):
        (tmp_path / "in" / name).write_bytes(b"x")
    await poll_partner(city, SLUG)
    for _ in range(2):
        # Whatever process looks next, and whatever else lies there.
        (tmp_path / "parked" / "0123abcd-forged.csv.why.txt").write_bytes("患者张三".encode())
        (tmp_path / "parked" / "note.why.txt").write_bytes(b"")
        again = replace(city, hospitals={SLUG: county.adapter(tmp_path)})
        kept: set[str] = set()
        for _ in range(2):
            await poll_partner(again, SLUG, kept=kept)
    with city.db.reading() as session:
        (concern,) = [one for one in views.board(session, city.now(), city.policy).concerns if one.kind == "notice:file_parked"]
    marks = sorted(path.name[:8] for path in (tmp_path / "parked").iterdir() if path.name.endswith(("exe", "py")))
    assert (concern.count, concern.act) == (2, True)
    assert sorted(one.note for one in concern.examples) == [
        f"{SLUG} {mark}: 不是可读取的文件类型 a kind of file nobody reads" for mark in marks]
    assert "张三" not in repr(concern)
    assert taken(city) == ["XY0001"]


async def test_a_box_whose_parked_files_cannot_be_listed_keeps_no_message_waiting(tmp_path, monkeypatch):
    city = with_hospital(tmp_path, adapter := county.adapter(tmp_path))
    drop(tmp_path, "rx.csv", csv_file(rx(1)))

    async def away():
        raise Transient("away")

    monkeypatch.setattr(adapter, "parked", away)
    assert await poll_partner(city, SLUG) == 1


def test_every_reason_a_file_is_parked_for_has_words():
    assert set(dropbox_box.WHY) == set(PARKED)


async def test_the_same_prescription_in_another_file_is_the_same_message(tmp_path):
    city = with_hospital(tmp_path, county.adapter(tmp_path))
    drop(tmp_path, "monday.csv", csv_file(rx(1)))
    await poll_partner(city, SLUG)
    drop(tmp_path, "tuesday.csv", csv_file(rx(5) + rx(1), encoding="utf-8", headings=county.HEADINGS[::-1]))
    await poll_partner(city, SLUG)
    drop(tmp_path, "changed.csv", csv_file(rx(1, 住址="别处")))
    await poll_partner(city, SLUG)
    assert answers(tmp_path / "done", "tuesday.csv") == {"M0005": "accepted", "M0001": "accepted"}
    assert answers(tmp_path / "refused", "changed.csv") == {"M0001": "conflict"}
    assert taken(city) == ["XY0001", "XY0005"]


async def test_a_cancel_in_the_same_file_comes_after_its_prescription(tmp_path):
    city = with_hospital(tmp_path, county.adapter(tmp_path))
    drop(tmp_path, "rx.csv", csv_file(rx(1) + cancel(1), headings=[*county.HEADINGS, "撤销原因", "撤销时间"]))
    await poll_partner(city, SLUG)
    with city.db.reading() as session:
        row = prescriptions.find(session, SLUG, "XY0001")
        assert row is not None
        assert prescriptions.load(session, row.id).status is Status.CANCELLED
    await deliver_due(city)
    assert [path.name.partition("-")[2] for path in (tmp_path / "reports").iterdir()] == ["cancelled.csv"]


@pytest.mark.parametrize("boundary", range(1, 9))
async def test_a_death_between_intake_and_the_answer_takes_nothing_twice(tmp_path, boundary):
    plug = Plug()
    city = with_hospital(tmp_path, county.adapter(tmp_path), boundary=plug)
    drop(tmp_path, "rx.csv", csv_file(rx(1) + rx(2)))
    plug.pull_at(boundary)
    try:
        await poll_partner(city, SLUG)
    except SimulatedCrash:
        plug.pull_at(0)
        await poll_partner(replace(city, hospitals={SLUG: county.adapter(tmp_path)}), SLUG)
    assert taken(city) == ["XY0001", "XY0002"]
    assert answers(tmp_path / "done", "rx.csv") == {"M0001": "accepted", "M0002": "accepted"}

"""A drop box keeps its promises, in a folder and in a real bucket."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from domain.errors import NeedsOperator, Refused, Transient
from infra.dropbox import BoxTransport, Files, FolderFiles, open_files
from infra.http import Request, open_client
from infra.objects import S3Files
from tests.support.services import S3

SECRETS = {"access_key": "a", "secret_key": "s"}


def bucket(s3: S3, prefix: str = "box/county") -> Files:
    url = f"s3://{s3.bucket}/{prefix}?endpoint={quote(s3.endpoint, safe='')}"
    return open_files(url, {"access_key": s3.access_key, "secret_key": s3.secret_key})


@pytest.fixture(params=["folder", "bucket"])
def files(request, tmp_path: Path) -> Files:
    if request.param == "folder":
        return open_files(f"file://{quote(str(tmp_path))}", {})
    return bucket(request.getfixturevalue("s3"))


# --- what both promise ---


def test_a_file_comes_back_as_it_was_written(files):
    files.put("in/处方 1.csv", b"one")
    files.put("in/处方 1.csv", b"two")
    assert files.read("in/处方 1.csv", 100) == b"two"
    assert files.names("in") == ["处方 1.csv"]


def test_an_empty_file_is_a_file(files):
    files.put("in/rx.csv.done", b"")
    assert files.names("in") == ["rx.csv.done"]
    assert files.read("in/rx.csv.done", 10) == b""


def test_no_more_is_read_than_was_asked_for(files):
    files.put("in/rx.csv", b"x" * 100_000)
    assert files.read("in/rx.csv", 10) == b"x" * 10


def test_a_folder_shows_its_own_files_only_and_the_oldest_first(files):
    files.put("in/b.csv", b"1")
    time.sleep(1.1)  # the store counts in seconds
    files.put("in/a.csv", b"2")
    files.put("in/deeper/c.csv", b"3")
    files.put("inside/d.csv", b"4")
    assert files.names("in") == ["b.csv", "a.csv"]
    assert files.names("nowhere") == []


def test_moving_twice_is_moving_once(files):
    files.put("in/rx.csv", b"rx")
    files.move("in/rx.csv", "done/rx.csv")
    files.move("in/rx.csv", "done/rx.csv")
    assert files.names("in") == []
    assert files.read("done/rx.csv", 10) == b"rx"


def test_what_was_never_there_cannot_be_moved_or_read(files):
    for call in (lambda: files.move("in/no.csv", "done/no.csv"), lambda: files.read("in/no.csv", 1)):
        with pytest.raises(Refused) as caught:
            call()
        assert caught.value.code == "absent"


def test_deleting_twice_is_deleting_once(files):
    files.put("work/abc/1.json", b"{}")
    files.delete("work/abc/1.json")
    files.delete("work/abc/1.json")
    assert files.names("work/abc") == []


# --- a folder ---


def test_nobody_sees_half_a_file(tmp_path):
    files, seen, stop = FolderFiles(tmp_path), set(), threading.Event()
    whole = {b"a" * 300_000, b"b" * 300_000}

    def look() -> None:
        while not stop.is_set():
            assert set(files.names("reports")) <= {"r.csv"}
            if files.names("reports"):
                seen.add(files.read("reports/r.csv", 1_000_000))

    watcher = threading.Thread(target=look)
    watcher.start()
    for _ in range(30):
        for body in whole:
            files.put("reports/r.csv", body)
    stop.set()
    watcher.join()
    assert seen
    assert seen <= whole


def test_a_folder_that_goes_away_with_its_last_file_is_made_anew(tmp_path, monkeypatch):
    make = os.mkdir
    gone = []

    def too_late(path: str, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        make(path, mode, dir_fd=dir_fd)
        if path == "a" and not gone:
            gone.append(path)
            os.rmdir(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "mkdir", too_late)
    FolderFiles(tmp_path).put("work/a/1.json", b"one")
    assert gone
    assert (tmp_path / "work" / "a" / "1.json").read_bytes() == b"one"


STEPS: dict[str, Callable[[FolderFiles], object]] = {
    "names": lambda files: files.names("in"), "read": lambda files: files.read("in/rx.csv", 100),
    "age": lambda files: files.age("in/rx.csv"), "put": lambda files: files.put("in/rx.csv", b"ours"),
    "move from": lambda files: files.move("in/rx.csv", "done/rx.csv"),
    "move to": lambda files: files.move("own/rx.csv", "in/other.csv"), "delete": lambda files: files.delete("in/rx.csv")}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
@pytest.mark.parametrize("deep", [False, True])
def test_no_step_of_a_path_follows_a_link_out_of_the_box(tmp_path, step, deep):
    box, victim = tmp_path / "box", tmp_path / "victim"
    for folder in (box / "own", box / "work", victim / "in"):
        folder.mkdir(parents=True)
    (victim / "in" / "rx.csv").write_bytes(b"theirs")
    (box / "own" / "rx.csv").write_bytes(b"mine")
    if deep:
        (box / "work" / "in").symlink_to(victim / "in")
    else:
        (box / "in").symlink_to(victim / "in")
    files = Within(box, "work") if deep else FolderFiles(box)
    if deep and step is STEPS["move to"]:
        (box / "work" / "own").mkdir()
        (box / "work" / "own" / "rx.csv").write_bytes(b"mine")
    with pytest.raises(NeedsOperator):
        step(files)
    assert {path.name: path.read_bytes() for path in (victim / "in").iterdir()} == {"rx.csv": b"theirs"}


class Within(FolderFiles):
    """The same, one folder deeper."""

    def __init__(self, folder: Path, below: str) -> None:
        super().__init__(folder)
        self._below = below

    def _opened(self, folders, *, make=False):
        return super()._opened([self._below, *folders], make=make)


def test_a_file_of_an_odd_name_can_be_moved_away_and_nothing_of_ours_gets_one(tmp_path):
    (tmp_path / "in").mkdir()
    for name in (b"new\nline.csv", b"\xff\xfe.csv", b"a" * 255, b"-rf", b"back\\slash"):
        (tmp_path / "in" / os.fsdecode(name)).write_bytes(b"x")
    files = FolderFiles(tmp_path)
    names = files.names("in")
    assert len(names) == 5
    for number, name in enumerate(names):
        assert files.read(f"in/{name}", 5) == b"x"
        files.move(f"in/{name}", f"parked/{number}")
        with pytest.raises(NeedsOperator):
            files.put(f"in/{name}", b"") if "\n" in name or "\\" in name else files.put("in/..", b"")
    assert files.names("parked") == [str(number) for number in range(5)] or len(files.names("parked")) == 5


def test_a_link_is_not_the_hospitals_file(tmp_path):
    (tmp_path / "secret").write_text("ours")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "rx.csv").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "in" / "pipe.csv")
    files = FolderFiles(tmp_path)
    assert files.names("in") == []
    for name in ("in/rx.csv", "in/pipe.csv"):
        with pytest.raises(Refused) as caught:
            files.read(name, 10)
        assert caught.value.code == "no_file"


@pytest.mark.parametrize("name", ["../x.csv", "in/../../x.csv", "/etc/passwd", "in//x", "in/x\0", "in\\x"])
def test_a_name_leads_nowhere_else(tmp_path, name):
    with pytest.raises(NeedsOperator) as caught:
        FolderFiles(tmp_path).put(name, b"x")
    assert caught.value.code == "bad_name"


def test_a_share_that_is_not_mounted_is_waited_for(tmp_path):
    files = FolderFiles(tmp_path / "share")
    for call in (lambda: files.names("in"), lambda: files.put("reports/r.csv", b"")):
        with pytest.raises(Transient) as caught:
            call()
        assert caught.value.code == "away"
    assert not (tmp_path / "share").exists()


# --- a bucket ---


def test_a_prefix_ends_where_the_next_begins(s3):
    bucket(s3, "box").put("in/one.csv", b"1")
    bucket(s3, "box2").put("in/two.csv", b"2")
    assert bucket(s3, "box").names("in") == ["one.csv"]


def test_a_bucket_of_somebody_else_needs_a_person(s3):
    wrong = open_files(f"s3://{s3.bucket}/box?endpoint={quote(s3.endpoint, safe='')}", SECRETS)
    with pytest.raises(NeedsOperator) as caught:
        wrong.names("in")
    assert s3.access_key not in str(caught.value)


def test_a_store_that_is_down_comes_back():
    files = S3Files(bucket="b", prefix="p", access_key="a", secret_key="s", endpoint="http://127.0.0.1:9")
    with pytest.raises(Transient):
        files.names("in")


# --- its address ---


@pytest.mark.parametrize("url", ["http://x.example/y", "file://host/y", "s3:///prefix", "ftp://x/y", "file:relative"])
def test_another_address_needs_a_person(url):
    with pytest.raises(NeedsOperator) as caught:
        open_files(url, SECRETS)
    assert caught.value.code == "bad_address"


def test_a_bucket_without_keys_names_what_is_missing():
    with pytest.raises(NeedsOperator, match="secret_key"):
        open_files("s3://bucket/box", {"access_key": "a"})


async def test_a_drop_box_takes_no_requests(tmp_path):
    async with open_client() as client:
        line = BoxTransport("county", f"file://{tmp_path}", client=client)
        assert isinstance(line.files({}), FolderFiles)
        with pytest.raises(NeedsOperator):
            await line.send(Request("POST", "/reports"))

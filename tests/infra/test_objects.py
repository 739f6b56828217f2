"""The archive keeps what it was given, on a folder and on a real S3 store."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from domain.errors import NeedsOperator, Refused, Transient
from infra import objects
from infra.objects import Archive, LocalArchive, S3Archive, key_of, make_archive
from infra.settings import ArchiveSettings, Settings
from tests.support.services import S3

DAY = timedelta(days=1)
NOW = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)
PAPER = '{"resourceType": "Bundle", "note": "处方"}'.encode()


def s3_archive(s3: S3, **changes) -> S3Archive:
    given = {
        "bucket": s3.bucket,
        "retention": DAY,
        "access_key": s3.access_key,
        "secret_key": s3.secret_key,
        "endpoint": s3.endpoint,
    }
    return S3Archive(**(given | changes))


@pytest.fixture(params=["local", "s3"])
def archive(request, tmp_path: Path) -> Archive:
    if request.param == "local":
        return LocalArchive(tmp_path, DAY)
    return s3_archive(request.getfixturevalue("s3"))


def refusal(call, *args, **kwargs) -> str:
    with pytest.raises(ClientError) as caught:
        call(*args, **kwargs)
    return caught.value.response["Error"]["Code"]


# --- what both promise ---


def test_bytes_come_back_as_they_were(archive):
    key = archive.put(PAPER)
    assert key == key_of(PAPER)
    assert archive.get(key) == PAPER


def test_even_no_bytes_are_bytes(archive):
    assert archive.get(archive.put(b"")) == b""


def test_the_same_bytes_are_kept_once_and_keep_their_first_retention(archive):
    key = archive.put(PAPER)
    until = archive.verify(key)
    assert archive.put(PAPER) == key
    assert archive.verify(key) == until


def test_many_writers_of_the_same_bytes_all_succeed(archive):
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(archive.put, [PAPER] * 8))
    assert keys == {key_of(PAPER)}
    assert archive.get(key_of(PAPER)) == PAPER


def test_what_is_kept_is_retained_for_as_long_as_was_set(archive):
    began = datetime.now(UTC) - timedelta(seconds=2)  # a store's own clock, in whole seconds
    until = archive.verify(archive.put(PAPER))
    assert began + DAY <= until <= datetime.now(UTC) + DAY + timedelta(seconds=2)


def test_what_is_not_there_needs_a_person_and_is_named(archive):
    with pytest.raises(NeedsOperator, match=key_of(b"never seen")) as caught:
        archive.get(key_of(b"never seen"))
    assert caught.value.code == "absent"


BAD_KEYS = ["", "../../etc/passwd", "sha256/ab/" + "cd" * 32, key_of(b"x").upper(), key_of(b"x") + "\n"]


@pytest.mark.parametrize("key", BAD_KEYS)
def test_what_is_no_key_reaches_no_store(archive, key):
    for method in (archive.get, archive.verify, archive.delete):
        with pytest.raises(NeedsOperator) as caught:
            method(key)
        assert caught.value.code == "bad_key"


def test_nothing_is_deleted_before_its_time(archive):
    key = archive.put(PAPER)
    with pytest.raises(Refused) as caught:
        archive.delete(key)
    assert caught.value.code == "retained"
    assert archive.get(key) == PAPER


# --- the folder ---


def test_the_folder_notices_changed_bytes(tmp_path):
    archive = LocalArchive(tmp_path, DAY)
    key = archive.put(PAPER)
    (tmp_path / key).chmod(0o600)
    (tmp_path / key).write_bytes(PAPER.replace("处方".encode(), b"other"))
    for ask in (archive.get, archive.verify):
        with pytest.raises(NeedsOperator, match=key) as caught:
            ask(key)
        assert caught.value.code == "corrupt"
    with pytest.raises(NeedsOperator):
        archive.put(PAPER)  # never a silent "it is there already"


def test_the_folder_lets_go_after_the_retention(tmp_path):
    key = LocalArchive(tmp_path, DAY, now=lambda: NOW).put(PAPER)
    later = LocalArchive(tmp_path, DAY, now=lambda: NOW + DAY)
    later.delete(key)
    later.delete(key)
    with pytest.raises(NeedsOperator):
        later.get(key)


def test_what_is_put_again_after_its_deletion_is_retained_anew(tmp_path):
    archive = LocalArchive(tmp_path, DAY, now=lambda: NOW)
    key = archive.put(PAPER)
    (tmp_path / key).unlink()  # a crash in the middle of `delete`: the old retention is left over
    assert LocalArchive(tmp_path, DAY, now=lambda: NOW + 2 * DAY).put(PAPER) == key
    assert archive.verify(key) == NOW + 3 * DAY


def test_an_object_without_a_retention_is_reported_and_not_deleted(tmp_path):
    archive = LocalArchive(tmp_path, DAY)
    key = archive.put(PAPER)
    (tmp_path / f"{key}.retained").unlink()
    for ask in (archive.verify, archive.delete):
        with pytest.raises(NeedsOperator) as caught:
            ask(key)
        assert caught.value.code == "not_retained"


def test_a_crash_while_writing_leaves_nothing_half_written(tmp_path, monkeypatch):
    archive = LocalArchive(tmp_path, DAY)

    def crash(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(objects.os, "link", crash)
        with pytest.raises(KeyboardInterrupt):
            archive.put(PAPER)
    with pytest.raises(NeedsOperator):
        archive.get(key_of(PAPER))
    assert not list(tmp_path.rglob(".new-*"))
    assert archive.get(archive.put(PAPER)) == PAPER


def test_bytes_and_folders_are_made_durable_before_put_returns(tmp_path, monkeypatch):
    synced: set[str] = set()
    real = os.fsync

    def watched(handle: int) -> None:
        synced.add(os.readlink(f"/proc/self/fd/{handle}"))
        real(handle)

    archive = LocalArchive(tmp_path, DAY)
    monkeypatch.setattr(objects.os, "fsync", watched)
    target = tmp_path / archive.put(PAPER)
    assert {str(target.parent), str(target.parent.parent), str(tmp_path)} <= synced
    assert len([path for path in synced if "/.new-" in path]) == 2  # the object and its retention


def test_an_archive_that_is_moved_away_while_it_runs_is_not_written_beside(tmp_path):
    folder = tmp_path / "archive"
    archive = LocalArchive(folder, DAY)
    key = archive.put(PAPER)
    folder.rename(tmp_path / "away")
    for step in (archive.probe, lambda: archive.put(b"more"), lambda: archive.get(key), lambda: archive.verify(key),
                 lambda: archive.delete(key)):
        with pytest.raises(Transient, match="mount the share") as caught:
            step()
        assert caught.value.code == "not_mounted"
    assert not folder.exists()
    folder.mkdir()  # the empty place of a share
    with pytest.raises(Transient):
        archive.put(b"more")
    assert not list(folder.iterdir())
    folder.rmdir()
    (tmp_path / "away").rename(folder)
    assert archive.get(key) == PAPER


def test_a_start_before_the_share_is_mounted_writes_nothing_into_its_place(tmp_path):
    share, known = tmp_path / "share", tmp_path / "home" / "archive.id"
    key = LocalArchive(share, DAY, id_file=known).put(PAPER)
    share.rename(tmp_path / "unplugged")
    share.mkdir()
    restarted = LocalArchive(share, DAY, id_file=known)
    for step in (restarted.probe, lambda: restarted.put(PAPER)):
        with pytest.raises(Transient) as caught:
            step()
        assert caught.value.code == "not_mounted"
    assert not list(share.iterdir())
    share.rmdir()
    (tmp_path / "unplugged").rename(share)
    assert restarted.get(key) == PAPER


def test_another_archive_in_its_place_is_not_taken_for_it(tmp_path):
    archive = LocalArchive(tmp_path / "one", DAY)
    LocalArchive(tmp_path / "two", DAY)
    (tmp_path / "one").rename(tmp_path / "three")
    (tmp_path / "two").rename(tmp_path / "one")
    with pytest.raises(Transient):
        archive.put(PAPER)


def test_an_archive_of_an_earlier_release_is_marked_and_read(tmp_path):
    key = LocalArchive(tmp_path, DAY).put(PAPER)
    (tmp_path / objects.MARKER).unlink()
    assert LocalArchive(tmp_path, DAY).get(key) == PAPER
    assert (tmp_path / objects.MARKER).exists()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_nobody_but_the_owner_looks_into_the_archive(tmp_path, umask):
    before = os.umask(umask)
    try:
        folder = tmp_path / "archive"
        key = LocalArchive(folder, DAY).put(PAPER)
    finally:
        os.umask(before)
    paths = [folder, *folder.rglob("*")]
    assert {path.stat().st_mode & 0o777 for path in paths if path.is_dir()} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in paths if path.is_file()} == {0o400}
    assert (folder / key).exists()


def test_a_folder_that_cannot_be_made_needs_a_person(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NeedsOperator):
        LocalArchive(tmp_path / "file" / "archive", DAY)


# --- the store ---


def test_a_stored_version_cannot_be_deleted_or_shortened_by_its_owner(s3):
    key = s3_archive(s3).put(PAPER)
    client = s3.client()
    at = {"Bucket": s3.bucket, "Key": key}
    version = client.head_object(**at)["VersionId"]
    sooner = {"Mode": "COMPLIANCE", "RetainUntilDate": datetime.now(UTC) + timedelta(minutes=5)}

    assert refusal(client.delete_object, **at, VersionId=version) == "AccessDenied"
    assert refusal(client.delete_object, **at, VersionId=version, BypassGovernanceRetention=True) == "AccessDenied"
    assert refusal(client.put_object_retention, **at, VersionId=version, Retention=sooner) == "AccessDenied"
    assert client.get_object(**at, VersionId=version)["Body"].read() == PAPER


def test_the_same_bytes_make_one_version(s3):
    for _ in range(3):
        s3_archive(s3).put(PAPER)
    assert len(s3.client().list_object_versions(Bucket=s3.bucket)["Versions"]) == 1


def test_writers_at_the_same_moment_lose_nothing_and_every_version_is_locked(s3):
    archive = s3_archive(s3)
    with ThreadPoolExecutor(4) as pool:
        (key,) = set(pool.map(archive.put, [PAPER] * 4))
    client = s3.client()
    for version in client.list_object_versions(Bucket=s3.bucket)["Versions"]:
        which = {"Bucket": s3.bucket, "Key": key, "VersionId": version["VersionId"]}
        assert client.get_object(**which)["Body"].read() == PAPER
        assert refusal(client.delete_object, **which) == "AccessDenied"


def test_bytes_slipped_in_by_an_outsider_are_noticed_and_ours_still_exist(s3):
    archive = s3_archive(s3)
    key = archive.put(PAPER)
    client = s3.client()
    version = client.head_object(Bucket=s3.bucket, Key=key)["VersionId"]
    client.put_object(Bucket=s3.bucket, Key=key, Body=b"something else")

    for ask in (archive.get, archive.verify):
        with pytest.raises(NeedsOperator, match=key) as caught:
            ask(key)
        assert caught.value.code == "corrupt"
    with pytest.raises(NeedsOperator):
        archive.put(PAPER)
    assert client.get_object(Bucket=s3.bucket, Key=key, VersionId=version)["Body"].read() == PAPER


def test_a_bucket_without_object_lock_is_not_accepted(s3):
    with pytest.raises(NeedsOperator, match="no Object Lock") as caught:
        s3_archive(s3.fresh(object_lock=False))
    assert caught.value.code == "no_object_lock"


def test_a_bucket_that_does_not_exist_needs_a_person(s3):
    with pytest.raises(NeedsOperator, match="no-such-bucket"):
        s3_archive(s3, bucket="no-such-bucket")


@pytest.mark.parametrize("wrong", [{"secret_key": "not-the-secret"}, {"access_key": "nobody"}])
def test_wrong_keys_need_a_person_and_are_not_repeated_in_the_message(s3, wrong):
    with pytest.raises(NeedsOperator) as caught:
        s3_archive(s3, **wrong)
    assert not any(value in str(caught.value) for value in wrong.values())


def test_a_store_that_cannot_be_reached_may_come_back(monkeypatch):
    nowhere = S3("http://127.0.0.1:9", "a", "b", "bucket")  # port 9: nobody listens
    monkeypatch.setattr(objects, "ATTEMPTS", 1)
    with pytest.raises(Transient):
        s3_archive(nowhere)


def test_a_version_past_its_retention_can_go(s3):
    archive = s3_archive(s3, retention=timedelta(seconds=2))
    key = archive.put(PAPER)
    deadline = archive.verify(key)
    while datetime.now(UTC) <= deadline + timedelta(seconds=1):
        time.sleep(0.1)
    archive.delete(key)
    with pytest.raises(NeedsOperator) as caught:
        archive.get(key)
    assert caught.value.code == "absent"


# --- which one ---


def test_the_default_archive_is_a_folder_at_home(tmp_path):
    archive = make_archive(Settings(home=tmp_path))
    assert (tmp_path / "archive" / archive.put(PAPER)).read_bytes() == PAPER


def test_settings_lead_to_the_bucket(s3):
    chosen = ArchiveSettings(
        kind="s3", bucket=s3.bucket, endpoint=s3.endpoint, access_key=s3.access_key, secret_key=s3.secret_key
    )
    archive = make_archive(Settings(archive=chosen))
    assert s3.client().get_object(Bucket=s3.bucket, Key=archive.put(PAPER))["Body"].read() == PAPER

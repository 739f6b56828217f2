"""Whether an archive can be written to is found out by trying, and trying leaves nothing behind."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from domain.errors import NeedsOperator, Transient
from infra.objects import MARKER, LocalArchive
from tests.infra.test_objects import s3_archive
from tests.support.services import S3

DAY = timedelta(days=1)
READ_ONLY = Path("/sys/kernel")
"""A folder not even root can write to."""


def test_a_probe_of_a_folder_leaves_nothing(tmp_path):
    LocalArchive(tmp_path, DAY).probe()
    assert [path.name for path in tmp_path.iterdir()] == [MARKER]


@pytest.mark.skipif(not READ_ONLY.is_dir(), reason="needs Linux")
def test_a_folder_that_cannot_be_written_to_is_found_out():
    with pytest.raises(NeedsOperator) as caught:
        LocalArchive(READ_ONLY, DAY).probe()
    assert caught.value.code == "disk"


def test_a_folder_that_is_gone_is_found_out(tmp_path):
    archive = LocalArchive(tmp_path / "archive", DAY)
    (tmp_path / "archive").rename(tmp_path / "elsewhere")
    with pytest.raises(Transient, match="mount the share"):
        archive.probe()


def test_a_probe_of_a_bucket_leaves_nothing(s3: S3):
    s3_archive(s3).probe()
    assert "Contents" not in s3.client().list_objects_v2(Bucket=s3.bucket)
    assert not s3.client().list_multipart_uploads(Bucket=s3.bucket).get("Uploads")
    assert "Versions" not in s3.client().list_object_versions(Bucket=s3.bucket)


def test_a_bucket_that_may_only_be_read_is_found_out(s3: S3):
    archive = s3_archive(s3)
    s3.client().put_bucket_policy(Bucket=s3.bucket, Policy=json.dumps({
        "Version": "2012-10-17", "Statement": [{
            "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{s3.bucket}/*"}]}))
    with pytest.raises(NeedsOperator) as caught:
        archive.probe()
    assert caught.value.code == "AccessDenied"

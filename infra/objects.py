"""The archive: bytes that must outlive every bug, written once under the hash of what they are.

All of it blocks; in async code call it with `asyncio.to_thread`.
"""

import base64
import hashlib
import os
import re
import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from uuid import uuid4

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    ProxyConnectionError,
    SSLError,
)

from domain.errors import NeedsOperator, Refused, RxError, Transient
from infra.settings import Settings

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

CONNECT_SECONDS = 3
READ_SECONDS = 10
ATTEMPTS = 3
MARKER = ".sanyi-archive"

_KEY = re.compile(r"sha256/([0-9a-f]{2})/(\1[0-9a-f]{62})")


class Archive(Protocol):
    """Write-once bytes. Any method may raise `Transient`; repeating any of them is safe."""

    def put(self, data: bytes) -> str:
        """Keep these bytes and return their key, `sha256/ab/<hex>`. When it returns, they are durable.

        The same bytes have the same key and are kept once, retained from the first time on.
        Raises `NeedsOperator` (code `corrupt`) if other bytes are found under that key.
        """

    def get(self, key: str) -> bytes:
        """The bytes, checked against their key. Raises `NeedsOperator` (code `absent`, `corrupt`)."""

    def verify(self, key: str) -> datetime:
        """Check that the bytes are there, intact and retained; until when, is the answer.

        Raises `NeedsOperator` (code `absent`, `corrupt`, `not_retained`).
        """

    def delete(self, key: str) -> None:
        """Remove what is past its retention (A-34); absent is fine. Raises `Refused` (code `retained`) before."""

    def probe(self) -> None:
        """Try whether something could be put now, and leave nothing behind. Raises `NeedsOperator`, `Transient`."""


def key_of(data: bytes) -> str:
    """The key bytes have, wherever they are kept."""
    digest = hashlib.sha256(data).hexdigest()
    return f"sha256/{digest[:2]}/{digest}"


def make_archive(settings: Settings) -> Archive:
    """The archive of this installation. Raises `NeedsOperator` if it cannot keep its promise, `Transient`."""
    archive = settings.archive
    retention = timedelta(days=archive.retention_days)
    if archive.kind == "local":
        return LocalArchive(archive.folder or settings.home / "archive", retention, id_file=settings.home / "archive.id")
    return S3Archive(
        bucket=archive.bucket,
        retention=retention,
        access_key=archive.access_key.get_secret_value(),
        secret_key=archive.secret_key.get_secret_value(),
        endpoint=archive.endpoint,
        region=archive.region,
    )


class LocalArchive:
    """A folder. Durable and write-once towards us; retention is a promise, not a lock.

    The owner of the folder can remove its files: where records must withstand that, use S3.
    Beside each object lies `<hex>.retained`, the time until which `delete` is refused. A marker in the folder names the
    archive; `id_file` is where this installation keeps the same name. If the marker is missing or another's, the share is
    not mounted: nothing is written, and every method raises `Transient` (code `not_mounted`).
    """

    def __init__(
        self, folder: Path, retention: timedelta, *, id_file: Path | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._folder = folder
        self._retention = retention
        self._now = now
        self._marker = folder / MARKER
        self._id_file = id_file
        self._id = _text(id_file) if id_file else ""
        try:
            if not self._id:
                _private_folder(folder)
        except OSError as error:
            raise _disk_trouble("archive folder", error) from error
        with suppress(RxError):  # the methods that need it raise it again
            self._require_mounted()

    def put(self, data: bytes) -> str:
        self._require_mounted()
        key = key_of(data)
        target = self._path(key)
        try:
            for folder in (target.parent.parent, target.parent):
                _private_folder(folder)
            if not target.exists():
                # The retention first: an object without one must not exist, one without an object does no harm.
                until = self._now() + self._retention
                _write(_retained(target), until.isoformat().encode(), os.replace)
                # A link, unlike a rename, never replaces what is there.
                with suppress(FileExistsError):
                    _write(target, data, os.link)
            # Also for what was there: the one who wrote it may have died before it was durable.
            for folder in (target.parent, target.parent.parent, self._folder):
                _sync(folder)
        except OSError as error:
            raise _disk_trouble(key, error) from error
        self.get(key)
        return key

    def get(self, key: str) -> bytes:
        self._require_mounted()
        path = self._path(key)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise _absent(key) from None
        except OSError as error:
            raise _disk_trouble(key, error) from error
        return _checked(key, data)

    def verify(self, key: str) -> datetime:
        self.get(key)
        return self._retained_until(key)

    def delete(self, key: str) -> None:
        self._require_mounted()
        path = self._path(key)
        if not path.exists():
            return
        until = self._retained_until(key)
        if self._now() < until:
            raise Refused(f"{key}: retained until {until:%Y-%m-%d}", code="retained")
        try:
            path.unlink(missing_ok=True)
            _retained(path).unlink(missing_ok=True)
        except OSError as error:
            raise _disk_trouble(key, error) from error

    def probe(self) -> None:
        self._require_mounted()
        try:
            with tempfile.NamedTemporaryFile(dir=self._folder, prefix=".probe-") as file:
                file.write(b"sanyi")
        except OSError as error:
            raise _disk_trouble("archive folder", error) from error

    def _path(self, key: str) -> Path:
        return self._folder / _known(key)

    def _require_mounted(self) -> None:
        try:
            self._id = self._id or self._begin()
        except OSError as error:
            raise _disk_trouble("archive folder", error) from error
        if _text(self._marker) != self._id:
            raise Transient(
                f"archive folder: its marker {MARKER} is missing or another's; mount the share, or put the folder back "
                "(runbook archive-down)", code="not_mounted")

    def _begin(self) -> str:
        """Mark the folder, unless it is marked; who comes second takes the first one's mark."""
        if not self._marker.exists():
            with suppress(FileExistsError):
                _write(self._marker, uuid4().hex.encode(), os.link)
        mark = self._marker.read_text()
        if self._id_file:
            _private_folder(self._id_file.parent)
            _write(self._id_file, mark.encode(), os.replace)
        return mark

    def _retained_until(self, key: str) -> datetime:
        try:
            return datetime.fromisoformat(_retained(self._path(key)).read_text())
        except (OSError, ValueError):
            raise NeedsOperator(f"{key}: nothing says until when it is retained", code="not_retained") from None


class S3Archive:
    """A bucket with Object Lock: not even its owner can delete an object or shorten its retention.

    Refuses to start (`NeedsOperator`) on a bucket that could not keep that promise.
    """

    def __init__(
        self,
        *,
        bucket: str,
        retention: timedelta,
        access_key: str,
        secret_key: str,
        endpoint: str | None = None,
        region: str = "us-east-1",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._bucket = bucket
        self._retention = retention
        self._now = now
        self._s3 = _s3_client(endpoint, region, access_key, secret_key)
        self._require_object_lock()

    def put(self, data: bytes) -> str:
        key = key_of(data)
        # Asked first, because not every store heeds IfNoneMatch where versions are kept (Ceph 16 does not).
        # Two writers at once then leave two versions of the same bytes, both locked: no harm.
        if self._holds(key):
            return key
        try:
            self._s3.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=data,
                ContentMD5=base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode(),
                IfNoneMatch="*",
                ObjectLockMode="COMPLIANCE",
                ObjectLockRetainUntilDate=self._now() + self._retention,
            )
        except ClientError as error:
            if _code(error) != "PreconditionFailed":
                raise _s3_trouble(key, error) from error
            # It is there already, or our first attempt arrived and its answer did not: both fine if it is ours.
            self.get(key)
        except BotoCoreError as error:
            raise _s3_trouble(key, error) from error
        return key

    def get(self, key: str) -> bytes:
        try:
            answer = self._s3.get_object(Bucket=self._bucket, Key=_known(key))
            data = answer["Body"].read()
        except (ClientError, BotoCoreError) as error:
            raise _s3_trouble(key, error) from error
        return _checked(key, data)

    def verify(self, key: str) -> datetime:
        self.get(key)
        return self._retained_until(key)

    def delete(self, key: str) -> None:
        try:
            pages = self._s3.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=_known(key))
            for page in list(pages):
                # Asked first: a store that denies a delete does not say whether the lock was the reason.
                for version in page.get("Versions", []):
                    until = self._retained_until(key, version["VersionId"])
                    if self._now() < until:
                        raise Refused(f"{key}: retained until {until:%Y-%m-%d}", code="retained")
                    self._s3.delete_object(Bucket=self._bucket, Key=key, VersionId=version["VersionId"])
                for marker in page.get("DeleteMarkers", []):
                    self._s3.delete_object(Bucket=self._bucket, Key=key, VersionId=marker["VersionId"])
        except (ClientError, BotoCoreError) as error:
            raise _s3_trouble(key, error) from error

    def probe(self) -> None:
        # To begin an upload takes the same permission as to put, and what was only begun is not an object.
        try:
            begun = self._s3.create_multipart_upload(Bucket=self._bucket, Key="probe")
            self._s3.abort_multipart_upload(Bucket=self._bucket, Key="probe", UploadId=begun["UploadId"])
        except (ClientError, BotoCoreError) as error:
            raise _s3_trouble(f"bucket {self._bucket}", error) from error

    def _holds(self, key: str) -> bool:
        try:
            self.get(key)
        except NeedsOperator as error:
            if error.code == "absent":
                return False
            raise
        return True

    def _retained_until(self, key: str, version: str | None = None) -> datetime:
        which: dict[str, str] = {"VersionId": version} if version else {}
        try:
            answer = self._s3.get_object_retention(Bucket=self._bucket, Key=key, **which)  # type: ignore[arg-type]
        except (ClientError, BotoCoreError) as error:
            if isinstance(error, ClientError) and _code(error) == "NoSuchObjectLockConfiguration":
                raise NeedsOperator(f"{key}: stored without a retention", code="not_retained") from error
            raise _s3_trouble(key, error) from error
        if answer["Retention"].get("Mode") != "COMPLIANCE":
            raise NeedsOperator(f"{key}: its retention is not COMPLIANCE", code="not_retained")
        return answer["Retention"]["RetainUntilDate"]

    def _require_object_lock(self) -> None:
        enabled = ""
        try:
            answer = self._s3.get_object_lock_configuration(Bucket=self._bucket)
            enabled = answer["ObjectLockConfiguration"].get("ObjectLockEnabled", "")
        except (ClientError, BotoCoreError) as error:
            if not (isinstance(error, ClientError) and _code(error) == "ObjectLockConfigurationNotFoundError"):
                raise _s3_trouble(f"bucket {self._bucket}", error) from error
        if enabled != "Enabled":
            raise NeedsOperator(
                f"bucket {self._bucket} has no Object Lock; use one that was created with it", code="no_object_lock"
            )


class S3Files:
    """A prefix of a bucket that a hospital shares with us; keeps `infra.dropbox.Files`. One object is one file."""

    def __init__(
        self, *, bucket: str, prefix: str, access_key: str, secret_key: str, endpoint: str | None = None,
        region: str = "us-east-1",
    ) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._s3 = _s3_client(endpoint, region, access_key, secret_key)

    def names(self, folder: str) -> list[str]:
        prefix = f"{self._prefix}{folder}/"
        names: list[tuple[datetime, str]] = []
        try:
            for answer in self._s3.get_paginator("list_objects_v2").paginate(
                    Bucket=self._bucket, Prefix=prefix, Delimiter="/"):
                names += [(entry["LastModified"], name) for entry in answer.get("Contents", [])
                          if (name := entry["Key"].removeprefix(prefix))]
        except (ClientError, BotoCoreError) as error:
            raise _box_trouble(error) from error
        return [name for _, name in sorted(names)]

    def age(self, name: str) -> float:
        try:
            written = self._s3.head_object(Bucket=self._bucket, Key=self._prefix + name)["LastModified"]
        except (ClientError, BotoCoreError) as error:
            raise _box_trouble(error) from error
        return (datetime.now(UTC) - written).total_seconds()

    def read(self, name: str, limit: int) -> bytes:
        try:
            return self._s3.get_object(Bucket=self._bucket, Key=self._prefix + name)["Body"].read(limit)
        except (ClientError, BotoCoreError) as error:
            raise _box_trouble(error) from error

    def put(self, name: str, data: bytes) -> None:
        try:
            self._s3.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=data)
        except (ClientError, BotoCoreError) as error:
            raise _box_trouble(error) from error

    def move(self, name: str, to: str) -> None:
        source, target = self._prefix + name, self._prefix + to
        try:
            # A crash in between leaves both; the next attempt begins again.
            self._s3.copy_object(Bucket=self._bucket, Key=target, CopySource={"Bucket": self._bucket, "Key": source})
            self._s3.delete_object(Bucket=self._bucket, Key=source)
        except (ClientError, BotoCoreError) as error:
            trouble = _box_trouble(error)
            if trouble.code != "absent":
                raise trouble from error
            self._require(target)

    def delete(self, name: str) -> None:
        try:
            self._s3.delete_object(Bucket=self._bucket, Key=self._prefix + name)
        except (ClientError, BotoCoreError) as error:
            raise _box_trouble(error) from error

    def _require(self, key: str) -> None:
        try:
            self._s3.head_object(Bucket=self._bucket, Key=key)
        except (ClientError, BotoCoreError) as error:
            raise _box_trouble(error) from error


def _box_trouble(error: ClientError | BotoCoreError) -> RxError:
    """As for the archive, but what is not there is the hospital's business, and names are the hospital's own."""
    trouble = _s3_trouble("drop box", error)
    return Refused("drop box: no such file", code="absent") if trouble.code == "absent" else trouble


def _s3_client(endpoint: str | None, region: str, access_key: str, secret_key: str) -> "S3Client":
    # A separate session: boto3's default one is shared, and several threads must not start from it.
    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            s3={"addressing_style": "path" if endpoint else "auto"},
            # Not every store knows the newer checksums; we send MD5 and check SHA-256 ourselves.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def _known(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise NeedsOperator("not a key of the archive: the row that holds it is damaged", code="bad_key")
    return key


def _checked(key: str, data: bytes) -> bytes:
    if key_of(data) != key:
        raise NeedsOperator(f"{key}: the archive holds other bytes under this key", code="corrupt")
    return data


def _absent(key: str) -> NeedsOperator:
    return NeedsOperator(f"{key}: not in the archive", code="absent")


def _text(path: Path) -> str:
    """What a file says; empty if it is not there or cannot be read."""
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""


def _private_folder(folder: Path) -> None:
    """For its owner alone, under any umask; an existing folder keeps its rights."""
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)


def _retained(path: Path) -> Path:
    return path.with_name(path.name + ".retained")


def _write(target: Path, data: bytes, place: Callable[[str, Path], None]) -> None:
    """Whole or not at all: written aside, made durable, then put in its place by `place`."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), 0o400)
            os.fsync(file.fileno())
        place(name, target)
    finally:
        Path(name).unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _disk_trouble(what: str, error: OSError) -> RxError:
    return NeedsOperator(f"{what}: {error.strerror}", code="disk")


def _code(error: ClientError) -> str:
    return error.response.get("Error", {}).get("Code", "")


def _s3_trouble(what: str, error: ClientError | BotoCoreError) -> RxError:
    """What a store's or the line's complaint means for us. Nothing here sends twice what harms twice."""
    if isinstance(error, ClientError):
        code = _code(error)
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in ("NoSuchKey", "404"):
            return _absent(what)
        # 409: two writers met at one key; 429 and 5xx: the store is busy.
        if status in (408, 409, 429) or status >= 500 or code in ("RequestTimeout", "SlowDown"):
            return Transient(f"{what}: the store answered {code}", code=code)
        return NeedsOperator(f"{what}: the store refused with {code}; check bucket, keys and policy", code=code)
    kind = type(error).__name__
    lasting = (SSLError, ProxyConnectionError)
    if isinstance(error, (ConnectionError, HTTPClientError)) and not isinstance(error, lasting):
        return Transient(f"{what}: {kind}", code=kind)
    return NeedsOperator(f"{what}: {kind}; check the store's address and certificate", code=kind)

"""Where a hospital without an interface of its own leaves its files: a folder, or a prefix of a bucket.

All of it blocks; in async code call it with `asyncio.to_thread`.
"""

import asyncio
import os
import re
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

from domain.errors import NeedsOperator, Refused, RxError, Transient
from infra import metrics
from infra.http import HttpTransport, Request, Response
from infra.objects import S3Files

T = TypeVar("T")

_STEP = re.compile(r"(?!\.{1,2}$)[^/\\\x00-\x1f]{1,255}")


class Files(Protocol):
    """Files by names like `in/rx.csv`. Any method may raise `Transient` and `NeedsOperator`; repeating any is safe."""

    def names(self, folder: str) -> list[str]:
        """The names of the files that lie directly in a folder, without it, oldest first; none if it is not there."""

    def read(self, name: str, limit: int) -> bytes:
        """The first `limit` bytes. Raises `Refused` (code `absent`)."""

    def put(self, name: str, data: bytes) -> None:
        """Write a file, or replace it; whoever looks sees all of it or nothing."""

    def move(self, name: str, to: str) -> None:
        """Give a file another name, replacing what has that name; fine if that has happened already.

        Raises `Refused` (code `absent`) if neither is there.
        """

    def delete(self, name: str) -> None:
        """Remove a file; absent is fine."""


def open_files(url: str, secrets: Mapping[str, str]) -> Files:
    """The files at `file:///folder` or `s3://bucket/prefix?endpoint=https://…&region=…`.

    A bucket needs the secrets `access_key` and `secret_key`. Raises `NeedsOperator` for any other address.
    """
    parts = urlsplit(url)
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        return FolderFiles(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc:
        if missing := [name for name in ("access_key", "secret_key") if not secrets.get(name)]:
            raise NeedsOperator(f"drop box in a bucket: secret {', '.join(missing)} is not set; see .env.example",
                                code="no_secret")
        given = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        return S3Files(bucket=parts.netloc, prefix=unquote(parts.path).strip("/"), access_key=secrets["access_key"],
                       secret_key=secrets["secret_key"], endpoint=given.get("endpoint"),
                       region=given.get("region", "us-east-1"))
    raise NeedsOperator("drop box: its address is neither file:///folder nor s3://bucket/prefix", code="bad_address")


class BoxTransport(HttpTransport):
    """A partner that is reached by its files alone."""

    def files(self, secrets: Mapping[str, str]) -> Files:
        """See `open_files`."""
        return open_files(self._base_url, secrets)

    async def work(self, operation: str, step: Callable[[], T]) -> T:
        """What a blocking step with the files gives, in a thread; counted like any call to a partner."""
        started, outcome = time.monotonic(), "broken_off"
        try:
            given = await asyncio.to_thread(step)
            outcome = "answered"
            return given
        except Transient:
            outcome = "unreachable"
            raise
        except NeedsOperator:
            outcome = "denied"
            raise
        finally:
            metrics.partner_called(self.partner, operation, outcome, time.monotonic() - started)

    async def _exchange(self, request: Request) -> Response:
        raise NeedsOperator(f"{self.partner}: a drop box takes files, not requests", code="bad_address")


class FolderFiles:
    """A folder that the hospital can write to, such as the home of its SFTP account.

    Only regular files count: what a link points at is not the hospital's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self, folder: str) -> list[str]:
        self._require_root()
        found: list[tuple[int, str]] = []
        try:
            with os.scandir(self._path(folder)) as entries:
                for entry in entries:
                    # Ours in the making, and what was taken away while we looked, are not there.
                    with suppress(FileNotFoundError):
                        if entry.is_file(follow_symlinks=False) and not entry.name.startswith(".new-"):
                            found.append((entry.stat(follow_symlinks=False).st_mtime_ns, entry.name))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _trouble(error) from error
        return [name for _, name in sorted(found)]

    def read(self, name: str, limit: int) -> bytes:
        self._require_root()
        try:
            handle = os.open(self._path(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with os.fdopen(handle, "rb") as file:
                return file.read(limit)
        except FileNotFoundError:
            raise _absent() from None
        except OSError as error:
            raise _trouble(error) from error

    def put(self, name: str, data: bytes) -> None:
        self._require_root()
        target = self._path(name)
        try:
            handle, made = _new_in(target.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                    file.flush()
                    # The hospital's account reads it by its group.
                    os.fchmod(file.fileno(), 0o660)
                    os.fsync(file.fileno())
                os.replace(made, target)
            finally:
                Path(made).unlink(missing_ok=True)
            _sync(target.parent)
        except OSError as error:
            raise _trouble(error) from error

    def move(self, name: str, to: str) -> None:
        self._require_root()
        source, target = self._path(name), self._path(to)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(source, target)
            _sync(target.parent)
            _sync(source.parent)
        except FileNotFoundError:
            if not target.exists():
                raise _absent() from None
        except OSError as error:
            raise _trouble(error) from error

    def delete(self, name: str) -> None:
        self._require_root()
        path = self._path(name)
        try:
            path.unlink(missing_ok=True)
            # The folder goes with its last file; ours are many and short-lived.
            with suppress(OSError):
                if path.parent != self._folder and path.parent.parent != self._folder:
                    path.parent.rmdir()
        except OSError as error:
            raise _trouble(error) from error

    def _require_root(self) -> None:
        # A share that is not mounted: to make the folder would only hide that.
        if not self._folder.is_dir():
            raise Transient("drop box: its folder is not there; is the share mounted?", code="away")

    def _path(self, name: str) -> Path:
        steps = name.split("/")
        if not all(_STEP.fullmatch(step) for step in steps):
            raise NeedsOperator("drop box: not the name of a file", code="bad_name")
        return self._folder.joinpath(*steps)


def _new_in(folder: Path) -> tuple[int, str]:
    """A file in the making, in a folder that is made for it. Who deletes its last file may take the folder away between."""
    for _ in range(9):
        with suppress(FileNotFoundError, FileExistsError):
            folder.mkdir(parents=True, exist_ok=True)
            return tempfile.mkstemp(dir=folder, prefix=".new-")
    return tempfile.mkstemp(dir=folder, prefix=".new-")


def _absent() -> Refused:
    return Refused("drop box: no such file", code="absent")


def _sync(folder: Path) -> None:
    try:
        handle = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return  # It went with its last file meanwhile.
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _trouble(error: OSError) -> RxError:
    """What the disk's complaint means; never with a file's name, which is the hospital's and may say anything."""
    if isinstance(error, (PermissionError, NotADirectoryError, IsADirectoryError)) or error.errno in _LASTING:
        return NeedsOperator(f"drop box: {error.strerror}; check its folder and rights", code="disk")
    return Transient(f"drop box: {error.strerror}", code="disk")


_LASTING = frozenset({28, 30, 36, 40, 122})  # no space, read-only, name too long, a link, quota

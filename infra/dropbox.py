"""Where a partner without a programming interface exchanges files with us: a folder, or a prefix of a bucket.

All of it blocks; in async code call it with `asyncio.to_thread`.
"""

import asyncio
import errno
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

from domain.errors import NeedsOperator, OutcomeUnknown, Refused, RxError, Transient
from infra import metrics
from infra.http import UNANSWERED, HttpTransport, Request, Response
from infra.objects import S3Files

T = TypeVar("T")


class Files(Protocol):
    """Files by names like `in/rx.csv`. Any method may raise `Transient` and `NeedsOperator`; repeating any is safe."""

    def names(self, folder: str) -> list[str]:
        """The names of the files that lie directly in a folder, without it, oldest first; none if it is not there."""

    def age(self, name: str) -> float:
        """Seconds since it was last written. Raises `Refused` (code `absent`)."""

    def read(self, name: str, limit: int) -> bytes:
        """The first `limit` bytes. Raises `Refused` (code `absent`, or `no_file` for a link, a folder or a device)."""

    def put(self, name: str, data: bytes) -> None:
        """Write a file, or replace it; a reader sees all of it or nothing."""

    def move(self, name: str, to: str) -> None:
        """Give a file another name, replacing what has that name; fine if that has happened already.

        Raises `Refused` (code `absent`) if neither is there.
        """

    def delete(self, name: str) -> None:
        """Remove a file; absent is fine."""


def open_files(url: str, keys: Mapping[str, str]) -> Files:
    """The files at `file:///folder` or `s3://bucket/prefix?endpoint=https://…&region=…`.

    A bucket needs the secrets `access_key` and `secret_key`. Raises `NeedsOperator` for any other address.
    """
    parts = urlsplit(url)
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        return FolderFiles(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc:
        if missing := [name for name in ("access_key", "secret_key") if not keys.get(name)]:
            raise NeedsOperator(f"drop box in a bucket: secret {', '.join(missing)} is not set; see .env.example",
                                code="no_secret")
        options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        return S3Files(bucket=parts.netloc, prefix=unquote(parts.path).strip("/"), access_key=keys["access_key"],
                       secret_key=keys["secret_key"], endpoint=options.get("endpoint"),
                       region=options.get("region", "us-east-1"))
    raise NeedsOperator("drop box: its address is neither file:///folder nor s3://bucket/prefix", code="bad_address")


class BoxTransport(HttpTransport):
    """A partner that is reached by its files alone."""

    _opened: Files | None = None

    def files(self, secrets: Mapping[str, str]) -> Files:
        """See `open_files`. They are opened once, before anything is sent over this line."""
        self._opened = self._opened or open_files(self._base_url, secrets)
        return self._opened

    async def work(self, operation: str, step: Callable[[], T]) -> T:
        """What a blocking step with the files gives, in a thread; counted like any call to a partner."""
        started, outcome = time.monotonic(), "broken_off"
        try:
            result = await asyncio.to_thread(step)
            outcome = "answered"
            return result
        except Transient:
            outcome = "unreachable"
            raise
        except NeedsOperator:
            outcome = "denied"
            raise
        finally:
            metrics.partner_called(self.partner, operation, outcome, time.monotonic() - started)

    def count(self, operation: str, outcome: str) -> None:
        """Count what became of a file besides, such as that it was parked."""
        metrics.partner_called(self.partner, operation, outcome, 0.0)

    async def _exchange(self, request: Request) -> Response:
        """`PUT` writes a file that the partner answers by another one, `GET` reads one; both wait for what is to come.

        A file is written once: one that is answered, or lies there already, is not written again. `answered-in` names the
        file with the answer, which holds the number that the request holds (`REQUEST_NUMBER`). A request that is answered is
        taken away, because it may say who the patient is. With `GET`, `awaits` names requests: any of them that lies there must
        be answered first. A file that is not there is status 404. After `timeout` seconds a `PUT` gets the answers as they are.

        Raises `OutcomeUnknown` for what is written and not answered by then, also to a `GET`: it is not lost.
        That says nothing about the partner's health, so the circuit breaker does not count it.
        """
        files = self.files({})
        until, pause = self._clock() + self._timeout, 0.05
        try:
            if request.method == "PUT":
                await asyncio.to_thread(_write_once, files, request)
            while True:
                raw, waiting = await asyncio.to_thread(_answers, files, request)
                late = self._clock() >= until
                if not waiting or (late and raw is not None and request.method == "PUT"):
                    return Response(404) if raw is None else Response(200, raw)
                if late:
                    break
                await self._sleep(pause)
                pause = min(2 * pause, 1.0)
        except Refused as refused:
            raise NeedsOperator(f"{self.partner}: {refused.code} in its drop box", code=refused.code) from None
        raise OutcomeUnknown(f"{self.partner}: {request.operation}: written and not answered yet", code=UNANSWERED)


REQUEST_NUMBER = re.compile(rb"rq_[0-9a-f]{16}")
"""What a request and its answer have in common."""
MOST = 4_000_000
"""Bytes of an answer that are read."""


def _write_once(files: Files, request: Request) -> None:
    number = _number(request.body)
    if not number:
        raise NeedsOperator("drop box: a request without a number could not be answered", code="no_number")
    if not any(number in (_read(files, name) or b"") for name in (request.headers["answered-in"], request.path)):
        files.put(request.path, request.body)


def _answers(files: Files, request: Request) -> tuple[bytes | None, bool]:
    """The file with the answers, and whether one of the requests still waits for its own."""
    if request.method == "PUT":
        pending, source = {request.path: _number(request.body)}, request.headers["answered-in"]
    else:
        # The requests first: one that is answered and taken away in between is not there, and its answer is.
        paths = request.headers.get("awaits", "").split()
        pending, source = {path: number for path in paths if (number := _number(_read(files, path) or b""))}, request.path
    raw = _read(files, source)
    for path, number in pending.items():
        if number not in (raw or b""):
            return raw, True
        files.delete(path)
    return raw, False


def _number(raw: bytes) -> bytes:
    match = REQUEST_NUMBER.search(raw)
    return match[0] if match else b""


def _read(files: Files, name: str) -> bytes | None:
    try:
        return files.read(name, MOST)
    except Refused as refused:
        if refused.code == "absent":
            return None
        raise


class FolderFiles:
    """A folder that the partner can write to, such as the home of its SFTP account.

    Only regular files count, and no step of a path follows a link: what one points at is not the hospital's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self, folder: str) -> list[str]:
        names: list[tuple[int, str]] = []
        try:
            with self._opened(folder.split("/")) as at, os.scandir(at) as entries:
                for entry in entries:
                    # Ours in the making, and what was taken away while we looked, are not there.
                    with suppress(FileNotFoundError):
                        if entry.is_file(follow_symlinks=False) and not entry.name.startswith(".new-"):
                            names.append((entry.stat(follow_symlinks=False).st_mtime_ns, entry.name))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _trouble(error) from error
        return [name for _, name in sorted(names)]

    def age(self, name: str) -> float:
        try:
            with self._around(name) as (at, last):
                return time.time() - os.stat(last, dir_fd=at, follow_symlinks=False).st_mtime
        except FileNotFoundError:
            raise _absent() from None
        except OSError as error:
            raise _trouble(error) from error

    def read(self, name: str, limit: int) -> bytes:
        try:
            with self._around(name) as (at, last):
                # Looked at first, because to open a device may do something; nor may it wait for a pipe's other end.
                if not stat.S_ISREG(os.stat(last, dir_fd=at, follow_symlinks=False).st_mode):
                    raise _no_file()
                handle = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
            with os.fdopen(handle, "rb") as file:
                if not stat.S_ISREG(os.fstat(handle).st_mode):
                    raise _no_file()
                return file.read(limit)
        except FileNotFoundError:
            raise _absent() from None
        except OSError as error:
            raise _trouble(error) from error

    def put(self, name: str, data: bytes) -> None:
        _require_ours(name)
        new = f".new-{secrets.token_hex(8)}"
        try:
            with self._around(name, make=True) as (at, last):
                handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=at)
                try:
                    with os.fdopen(handle, "wb") as file:
                        file.write(data)
                        file.flush()
                        # The hospital's account reads it by its group.
                        os.fchmod(file.fileno(), 0o660)
                        os.fsync(file.fileno())
                    os.replace(new, last, src_dir_fd=at, dst_dir_fd=at)
                finally:
                    with suppress(FileNotFoundError):
                        os.unlink(new, dir_fd=at)
                os.fsync(at)
        except OSError as error:
            raise _trouble(error) from error

    def move(self, name: str, to: str) -> None:
        _require_ours(to)
        try:
            with self._around(to, make=True) as (target, new), self._around(name) as (source, old):
                try:
                    os.replace(old, new, src_dir_fd=source, dst_dir_fd=target)
                except FileNotFoundError:
                    os.stat(new, dir_fd=target, follow_symlinks=False)
                os.fsync(target)
                os.fsync(source)
        except FileNotFoundError:
            raise _absent() from None
        except OSError as error:
            raise _trouble(error) from error

    def delete(self, name: str) -> None:
        *folders, _ = _steps(name)
        try:
            with self._around(name) as (at, last):
                with suppress(FileNotFoundError):
                    os.unlink(last, dir_fd=at)
            # The folder goes with its last file; ours are many and short-lived.
            if len(folders) > 1:
                with suppress(OSError), self._opened(folders[:-1]) as around:
                    os.rmdir(folders[-1], dir_fd=around)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise _trouble(error) from error

    @contextmanager
    def _around(self, name: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        """The folder of a file, opened, and the file's own name in it."""
        *folders, last = _steps(name)
        if not folders:
            raise NeedsOperator("drop box: not the name of a file", code="bad_name")
        with self._opened(folders, make=make) as at:
            yield at, last

    @contextmanager
    def _opened(self, folders: Sequence[str], *, make: bool = False) -> Iterator[int]:
        """A folder of the box, opened step by step: a link in place of any of them is refused (`ENOTDIR`, `ELOOP`)."""
        try:
            at = os.open(self._folder, _FOLDER)
        except (FileNotFoundError, NotADirectoryError):
            # A share that is not mounted: to make the folder would only hide that.
            raise Transient("drop box: its folder is not there; is the share mounted?", code="away") from None
        try:
            for attempt in range(9):
                try:
                    inside = self._descended(at, folders, make)
                except FileNotFoundError:
                    # Who deletes the last file of a folder may take it away between its making and its opening.
                    if make and attempt < 8:
                        continue
                    raise
                break
        finally:
            os.close(at)
        try:
            yield inside
        finally:
            os.close(inside)

    @staticmethod
    def _descended(root: int, folders: Sequence[str], make: bool) -> int:
        at = os.dup(root)
        for step in folders:
            try:
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(step, 0o770, dir_fd=at)
                inside = os.open(step, _FOLDER | os.O_NOFOLLOW, dir_fd=at)
            finally:
                os.close(at)
            at = inside
        return at


_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_OURS = re.compile(r"[^/\\\x00-\x1f]{1,255}")


def _steps(name: str) -> list[str]:
    """The steps of a path, none of which leads up; odd names of the hospital's own are steps like others."""
    steps = name.split("/")
    if any(step in ("", ".", "..") or "\0" in step for step in steps):
        raise NeedsOperator("drop box: not the name of a file", code="bad_name")
    return steps


def _require_ours(name: str) -> None:
    """What we write has a name that every system can have."""
    if not all(_OURS.fullmatch(step) for step in _steps(name)):
        raise NeedsOperator("drop box: not the name of a file", code="bad_name")


def _absent() -> Refused:
    return Refused("drop box: no such file", code="absent")


def _no_file() -> Refused:
    return Refused("drop box: a link, a folder or a device has the name of a file", code="no_file")


def _trouble(error: OSError) -> RxError:
    """What the disk's complaint means; never with a file's name, which is the hospital's and may say anything."""
    if isinstance(error, (PermissionError, NotADirectoryError, IsADirectoryError)) or error.errno in _LASTING:
        return NeedsOperator(f"drop box: {error.strerror}; check its folder and rights", code="disk")
    return Transient(f"drop box: {error.strerror}", code="disk")


_LASTING = frozenset({errno.ENOSPC, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP, errno.EDQUOT})

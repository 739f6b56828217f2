"""Children that end with us: started, watched, killed and started again, and never left behind."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from sandbox.loopback import NO_CERTIFICATES

ROOT = Path(__file__).parents[1]


class ChildDied(Exception):
    """A child ended by itself; the message holds the end of its log."""


@dataclass
class Child:
    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(repr=False)
    log: Path
    process: subprocess.Popen[bytes]
    killed: int = 0
    """How often it was killed on purpose."""
    down: bool = False
    """Killed on purpose and not started again yet."""
    errand: bool = False
    """Ends by itself when its work is done."""


class Processes:
    """A set of children. Leaving the `with` block ends every one of them, also after an error."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._logs.mkdir(parents=True, exist_ok=True)
        self._children: dict[str, Child] = {}

    def __enter__(self) -> Self:
        # A polite end must pass through __exit__ too.
        signal.signal(signal.SIGTERM, _leave)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for child in reversed(self._children.values()):
            _signal(child, signal.SIGTERM)
        deadline = time.monotonic() + 5
        for child in self._children.values():
            try:
                child.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _signal(child, signal.SIGKILL)
                child.process.wait(5)
            # What a child started itself is in its group.
            _signal(child, signal.SIGKILL)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def start(self, name: str, *argv: str, env: Mapping[str, str], errand: bool = False) -> Child:
        """Start `python argv…` (or the program, if it is a path) under this name; output goes to its log."""
        log = self._logs / f"{name}.log"
        command = list(argv) if argv[0].startswith("/") else [sys.executable, *argv]
        with log.open("ab") as out:
            process = subprocess.Popen(
                command, cwd=ROOT, env={**_BASE, **env}, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                start_new_session=True, preexec_fn=_die_with_parent if sys.platform == "linux" else None)
        child = self._children[name] = Child(name, argv, env, log, process, errand=errand)
        return child

    def kill(self, name: str) -> None:
        """SIGKILL: no chance to finish anything."""
        child = self._children[name]
        child.killed, child.down = child.killed + 1, True
        _signal(child, signal.SIGKILL)
        child.process.wait(10)

    def restart(self, name: str) -> None:
        child = self._children[name]
        again = self.start(name, *child.argv, env=child.env)
        again.killed = child.killed

    def check(self) -> None:
        """Raises `ChildDied` if a child has ended that was not killed on purpose."""
        for child in self._children.values():
            code = child.process.poll()
            if code is not None and not child.down and not (child.errand and code == 0):
                raise ChildDied(f"{child.name} ended with code {code}; the end of {child.log}:\n{_tail(child.log)}")

    def wait_for(self, url: str, *, name: str, seconds: float = 90) -> None:
        """Until the address answers below 500. Raises `ChildDied`, or `TimeoutError` with the log's end."""
        deadline = time.monotonic() + seconds
        # One client: to make one takes a hundred times as long as to ask.
        with httpx.Client(timeout=2, trust_env=False, verify=NO_CERTIFICATES) as client:
            while time.monotonic() < deadline:
                self.check()
                with contextlib.suppress(httpx.HTTPError):
                    if client.get(url).status_code < 500:
                        return
                time.sleep(0.25)
        raise TimeoutError(f"{name} did not answer within {seconds:.0f} s; the end of its log:\n"
                           f"{_tail(self._children[name].log)}")

    def killed(self, name: str) -> int:
        """How often a child was killed on purpose."""
        return self._children[name].killed


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


_BASE = {name: value for name, value in os.environ.items() if not name.startswith(("SANYI_", "PREFECT_", "SANDBOX_"))} | {
    "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "NO_PROXY": "127.0.0.1,localhost",
}
"""Our own environment without what configures the product: a child gets that from its parent only."""


def _die_with_parent() -> None:
    # Linux: if we are killed so hard that we can't tidy up, the kernel tells the child.
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _leave(_number: int, _frame: object) -> None:
    raise SystemExit(143)


def _signal(child: Child, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.process.pid, number)


def _tail(log: Path, lines: int = 15) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])

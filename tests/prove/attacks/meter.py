"""What a process and its children have used: CPU seconds, and the most memory since it was last asked."""

import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
MB = 1_000_000


@dataclass(frozen=True)
class Used:
    cpu: float
    """Seconds, of the process and those of its children that have ended."""
    memory: float
    """MB above what it held before; of a child, all it held."""


class Meter:
    """Measures one process while one thing is asked of it."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._children = 0.0
        self._stop = threading.Event()

    def __enter__(self) -> "Meter":
        with suppress(OSError):
            Path(f"/proc/{self._pid}/clear_refs").write_text("5", encoding="ascii")  # VmHWM counts from now
        self._before = _cpu(self._pid), _status(self._pid, "VmRSS")
        self._thread = threading.Thread(target=self._watch_children, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        cpu, held = self._before
        self.used = Used(_cpu(self._pid) - cpu, max((_status(self._pid, "VmHWM") - held) / MB, self._children / MB))

    def _watch_children(self) -> None:
        own = _command(self._pid)
        while not self._stop.wait(0.02):
            for pid in _children(self._pid):
                with suppress(OSError, ValueError):
                    if _command(pid) == own:
                        continue  # not a program of its own yet: what it holds is still its parent's
                    self._children = max(self._children, _status(pid, "VmHWM"))


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / _TICK


def _status(pid: int, name: str) -> int:
    for row in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
        if row.startswith(f"{name}:"):
            return int(row.split()[1]) * 1024
    return 0


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def _children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += [int(child) for child in task.read_text(encoding="ascii").split()]
    return found


def settled(pid: int, seconds: float = 20) -> None:
    """Wait until the process does next to nothing: what it was asked before is done."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        before = _cpu(pid)
        time.sleep(0.3)
        if _cpu(pid) - before < 0.04:
            return

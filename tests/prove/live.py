"""`./go --live` as a visitor meets it: what is printed works, the prescription waits for its pharmacist, Ctrl-C ends it all."""

import argparse
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from sandbox.pharmacist import decision
from sandbox.processes import ROOT


@dataclass
class Visitor:
    """Knows what was printed, and nothing else."""

    process: subprocess.Popen[str]
    printed: str

    @property
    def gateway(self) -> str:
        return self._after(r"board\s+(http://\S+)/")

    def ask(self, method: str, path: str, role: str, body: object = None) -> Any:
        token = self._after(rf"{role}\s+(\S+)")
        answer = httpx.request(method, self.gateway + path, json=body, headers={"Authorization": f"Bearer {token}"},
                               timeout=60, trust_env=False)
        answer.raise_for_status()
        return answer.json()

    def send(self) -> tuple[str, dict[str, Any]]:
        """Head and body of what the printed command is answered."""
        command = re.search(r"^curl .+(?:\n  .+)+", self.printed, re.MULTILINE)
        assert command
        told = subprocess.run(["sh", "-c", command[0]], capture_output=True, text=True, check=True)
        head, _, body = told.stdout.replace("\r\n", "\n").rpartition("\n\n")
        return head, json.loads(body)

    def until(self, is_so: Callable[[], bool]) -> None:
        for _ in range(1200):
            assert self.process.poll() is None, "the city has ended"
            if is_so():
                return
            time.sleep(0.5)
        raise AssertionError("nothing moves")

    def _after(self, pattern: str) -> str:
        match = re.search(pattern, self.printed)
        assert match, pattern
        return match[1]


@contextmanager
def live_city(prescriptions: int) -> Iterator[Visitor]:
    with tempfile.TemporaryDirectory() as home, subprocess.Popen(
            [sys.executable, "-m", "sandbox.day", "--live", "--pharmacists", "0", "--prescriptions", str(prescriptions),
             "--per-second", "0.2", "--no-faults", "--home", home],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8") as process:
        try:
            assert process.stdout
            lines = []
            for line in process.stdout:
                lines.append(line)
                if "press Ctrl-C" in line:
                    break
            assert process.poll() is None, "".join(lines)
            yield Visitor(process, "".join(lines))
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()


def send_and_review(visitor: Visitor) -> str:
    """The printed command twice, then the review as its pharmacist; the status in which it goes on."""
    first, task = visitor.send()
    assert first.startswith("HTTP/1.1 201"), first
    second, again = visitor.send()
    assert ("sanyi-replayed" in first.lower(), "sanyi-replayed: true" in second.lower()) == (False, True), second
    assert again == task
    rx = next(one["value"] for one in task["identifier"] if one["value"].startswith("rx_"))

    def waiting() -> list[str]:
        return [one["id"] for one in visitor.ask("GET", "/api/review/queue", "pharmacist 1")["items"]]

    visitor.until(lambda: rx in waiting())
    assert len(waiting()) > 1, "the queue was not filled"
    claim = visitor.ask("POST", f"/api/review/{rx}/claim", "pharmacist 1")
    visitor.ask("POST", f"/api/review/{rx}/decision", "pharmacist 1", decision(claim["findings"]))
    visitor.until(lambda: visitor.ask("GET", f"/api/rx/{rx}", "operator")["status"] not in ("in_review", "reviewed"))
    return str(visitor.ask("GET", f"/api/rx/{rx}", "operator")["status"])


def wait_for_more(visitor: Visitor) -> int:
    """Until the queue that nobody else reviews has grown; to how many."""
    def in_review() -> int:
        return int(next((row["count"] for row in visitor.ask("GET", "/api/ops/board", "operator")["statuses"]
                         if row["status"] == "in_review"), 0))

    before = in_review()
    visitor.until(lambda: in_review() > before)
    return in_review()


def end(visitor: Visitor) -> tuple[int, list[str]]:
    """Ctrl-C: how many processes there were, and which of them are left."""
    own = Path(f"/proc/{visitor.process.pid}/task/{visitor.process.pid}/children").read_text(encoding="ascii").split()
    visitor.process.send_signal(signal.SIGINT)
    assert visitor.process.stdout
    told = visitor.process.stdout.read()
    assert visitor.process.wait() == 0, told
    return len(own), [pid for pid in own if Path(f"/proc/{pid}").exists()]


def main() -> int:
    parser = argparse.ArgumentParser(prog="./go prove live", description=__doc__)
    parser.add_argument("--prescriptions", type=int, default=8, help="that are there at the start")
    given = parser.parse_args()
    with live_city(given.prescriptions) as visitor:
        print(visitor.printed)
        went_on = send_and_review(visitor)
        queue = wait_for_more(visitor)
        processes, left = end(visitor)
    print(f"live: the printed command was taken once and replayed once, its prescription was passed at the desk and is {went_on}, "
          f"{queue} wait for the visitor, {processes} processes, {len(left)} left after Ctrl-C")
    return 0 if went_on in ("allocating", "fulfilling", "fulfilled", "settled") and processes > 10 and not left else 1


if __name__ == "__main__":
    sys.exit(main())

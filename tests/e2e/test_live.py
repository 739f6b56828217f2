"""A live city as a visitor meets it: the command that is printed works, and the prescription waits for the pharmacist."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

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


@pytest.fixture(scope="module")
def visitor(tmp_path_factory) -> Iterator[Visitor]:
    if shutil.which("curl") is None:
        if os.environ.get("CI"):
            pytest.fail("no curl: install Debian's package curl")
        pytest.skip("no curl: install Debian's package curl")
    home = tmp_path_factory.mktemp("live")
    with subprocess.Popen(
            [sys.executable, "-m", "sandbox.day", "--live", "--pharmacists", "0", "--prescriptions", "4", "--per-second", "0.2",
             "--no-faults", "--home", str(home)],
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


def test_a_visitor_sends_a_prescription_reviews_it_and_sees_it_go_on(visitor):
    first, task = visitor.send()
    assert first.startswith("HTTP/1.1 201")
    second, again = visitor.send()
    assert ("sanyi-replayed" in first.lower(), "sanyi-replayed: true" in second.lower()) == (False, True)
    assert again == task
    rx = next(one["value"] for one in task["identifier"] if one["value"].startswith("rx_"))

    waiting = lambda: [one["id"] for one in visitor.ask("GET", "/api/review/queue", "pharmacist 1")["items"]]  # noqa: E731
    visitor.until(lambda: rx in waiting())
    assert len(waiting()) > 1, "the queue was filled"
    claim = visitor.ask("POST", f"/api/review/{rx}/claim", "pharmacist 1")
    visitor.ask("POST", f"/api/review/{rx}/decision", "pharmacist 1", decision(claim["findings"]))
    visitor.until(lambda: visitor.ask("GET", f"/api/rx/{rx}", "operator")["status"] not in ("in_review", "reviewed"))
    assert visitor.ask("GET", f"/api/rx/{rx}", "operator")["status"] in ("allocating", "fulfilling", "fulfilled", "settled")


def test_nobody_else_reviews_while_more_trickles_in(visitor):
    def counts() -> dict[str, int]:
        return {row["status"]: row["count"] for row in visitor.ask("GET", "/api/ops/board", "operator")["statuses"]}

    reviews = counts()["in_review"]
    visitor.until(lambda: counts()["in_review"] > reviews)


def test_ctrl_c_ends_every_process_of_the_city(visitor):
    own = Path(f"/proc/{visitor.process.pid}/task/{visitor.process.pid}/children").read_text().split()
    assert len(own) > 10
    visitor.process.send_signal(signal.SIGINT)
    assert visitor.process.stdout
    told = visitor.process.stdout.read()
    assert visitor.process.wait() == 0, told
    assert [pid for pid in own if Path(f"/proc/{pid}").exists()] == []

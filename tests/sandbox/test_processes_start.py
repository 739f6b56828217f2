"""Every partner is a program: it starts from the command line, says it is well, and ends when told to."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.support.sockets import SECRETS, free_port

ROOT = Path(__file__).parents[2]
PARTNERS = ("ankang", "baicao", "jishi", "huakang", "insurer", "hospital", "pharmacist", "shopkeeper", "courier")


def start(name, port, tmp_path, **more):
    return subprocess.Popen(
        [sys.executable, "-m", f"sandbox.{name}", "--port", str(port), "--state", str(tmp_path), "--seed", "1"]
        + ([] if name == "insurer" else ["--gateway", "http://127.0.0.1:1"])
        + (["--slug", "hospital", "--dialect", "fhir"] if name == "hospital" else []),
        cwd=ROOT, env=os.environ | SECRETS, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)


def test_each_starts_alone_and_ends_when_told_to_without_a_word(tmp_path):
    ports = {name: free_port() for name in PARTNERS}
    running = {name: start(name, port, tmp_path / name) for name, port in ports.items()}
    try:
        with httpx.Client(trust_env=False) as client:
            for name, port in ports.items():
                for _ in range(1200):
                    try:
                        answer = client.get(f"http://127.0.0.1:{port}/health").json()
                        break
                    except httpx.TransportError:
                        time.sleep(0.1)
                assert answer == {"status": "ok", "partner": name}
                assert client.get(f"http://127.0.0.1:{port}/book").status_code == 200
                assert running[name].poll() is None
        for process in running.values():
            process.send_signal(signal.SIGTERM)
        for process in running.values():
            assert process.wait(timeout=120) in (0, -signal.SIGTERM)
        assert all(process.stdout.read() == b"" for process in running.values())
    finally:
        for process in running.values():
            process.kill()
            process.wait()
            process.stdout.close()


@pytest.mark.parametrize("name", [name for name in PARTNERS if name != "huakang"])
def test_the_help_names_the_secrets(name):
    shown = subprocess.run([sys.executable, "-m", f"sandbox.{name}", "--help"], cwd=ROOT, capture_output=True,
                           text=True, check=True).stdout
    assert "SANDBOX_" in shown
    assert "lose_answer" in shown

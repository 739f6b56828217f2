"""No message, file or connection, however made, costs more than it may, or holds up another hospital.

Inputs that cost much to read go to every door one by one, measured in the process that reads them; then attackers, one per
door, send them and their relatives in rounds while another hospital sends prescriptions, quiet and attacked rounds in turn.
"""

import argparse
import base64
import contextlib
import http.client
import json
import os
import random
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles
from typing import Any
from urllib.parse import urlsplit

import httpx
from rich.console import Console

from sandbox.city import SandboxCity
from sandbox.dialects import Line, cda, erx, fhir, speaker
from sandbox.plan import make_plan
from sandbox.processes import Processes
from tests.hostile.inputs import Input, fuzzed, inputs
from tests.hostile.meter import Meter, Used, settled

CPU_SECONDS, MEMORY_MB = 2.0, 200.0
SLOWER, LATER = 2.0, 2.0
"""The other hospital's p95 under attack: at most so many times its quiet value, or so many seconds above it."""
HOSPITALS = {"erx": "jinan_second", "cda": "jinan_tcm", "mllp": "jinan_central", "box": "jinan_county"}


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--rounds", type=int, default=3, help="quiet and attacked ones each")
    arguments.add_argument("--seconds", type=float, default=15, help="of a round")
    asked = arguments.parse_args()
    console = Console(highlight=False, width=150)
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        with Processes(folder / "logs") as processes:
            city = SandboxCity(folder, processes, slug="jinan", seed=asked.seed, faults=False)
            city.start_partners()
            city.start_product()
            time.sleep(3)
            rig = Rig(city, processes, asked.seed)
            bad = rig.measure(console)
            bad += rig.pages(console)
            quiet, attacked, sent = rig.rounds(console, asked.rounds, asked.seconds)
            console.print(f"another hospital: p95 {quiet:.2f} s quiet, {attacked:.2f} s attacked by {sent} inputs")
            if attacked > max(SLOWER * quiet, quiet + LATER):
                bad.append("another hospital was held up")
            city.check()
    for fault in bad:
        console.print(f"✗ {fault}", markup=False)
    console.print(f"hostile: {rig.count} inputs at {len(rig.doors)} doors, worst {rig.worst_cpu[0]:.2f} CPU-s "
                  f"({rig.worst_cpu[1]}), worst {rig.worst_memory[0]:.0f} MB ({rig.worst_memory[1]}), {rig.unanswered} neither "
                  f"answered nor parked, p95 of another hospital {quiet:.2f} s quiet and {attacked:.2f} s attacked")
    return 1 if bad else 0


class Rig:
    """A running city, its doors, and one good message of each."""

    def __init__(self, city: SandboxCity, processes: Processes, seed: int) -> None:
        self.city = city
        self.seed = seed
        self.count = self.unanswered = 0
        self.worst_cpu: tuple[float, str] = (0.0, "")
        self.worst_memory: tuple[float, str] = (0.0, "")
        self._pid = {"gateway": _pid(processes, "gateway"), "box": _pid(processes, "operations")}
        plan = make_plan("jinan", 60, seed, datetime.now(UTC), 3600, tuple(city.hospitals))
        self._facts = [planned.facts for planned in plan.prescriptions]
        first = self._facts[0]
        lines = {door: Line(slug, city.urls["gateway"], city._installed[slug].options, city._installed[slug].secrets, _deaf)
                 for door, slug in HOSPITALS.items()}
        speech = {door: speaker(city.hospitals[HOSPITALS[door]], line) for door, line in lines.items()}
        self.samples = {
            "erx": speech["erx"]._seal({}, {"data": {}}) if isinstance(speech["erx"], erx.Speaker) else b"",
            "fhir-json": _json(fhir.bundle(replace(first, hospital="jinan_first"))),
            "fhir-xml": _xml(city, self._facts),
            "cda": cda.document(replace(first, hospital="jinan_tcm")).encode(),
            "soap": _soap(cda.document(replace(first, hospital="jinan_tcm")).encode()),
            "mllp": speech["mllp"].prescription(replace(first, hospital="jinan_central")),
            "box": b"",
        }
        self.samples = {door: raw for door, raw in self.samples.items() if raw}
        self.doors: dict[str, Callable[[Input], str]] = {
            "erx": lambda one: self._post("/epc/api/fixmedins/uploadChk", one.raw, "application/json"),
            "fhir-json": lambda one: self._post("/fhir/jinan_first/Bundle", one.raw, "application/fhir+json", "jinan_first"),
            "fhir-xml": lambda one: self._post("/fhir/jinan_first/Bundle", one.raw, "application/fhir+xml", "jinan_first"),
            "soap": lambda one: self._post("/soap/jinan_tcm", one.raw, "text/xml", "jinan_tcm"),
            "cda": lambda one: self._post("/soap/jinan_tcm", _soap(one.raw), "text/xml", "jinan_tcm"),
            "mllp": self._mllp, "box": self._box,
        }
        self._box_folder = Path(city._installed["jinan_county"].options["folder"])

    # One by one.

    def measure(self, console: Console) -> list[str]:
        bad = []
        for one in inputs(self.samples, self.seed):
            used, answer = self._alone(one)
            self.count += 1
            name = f"{one.door}: {one.name}"
            self.worst_cpu = max(self.worst_cpu, (used.cpu, name))
            self.worst_memory = max(self.worst_memory, (used.memory, name))
            if not answer:
                self.unanswered += 1
                bad.append(f"{name}: neither answered nor parked")
            if used.cpu > CPU_SECONDS or used.memory > MEMORY_MB:
                bad.append(f"{name} ({len(one.raw) // 1000} kB): {used.cpu:.2f} CPU-s, {used.memory:.0f} MB")
            console.print(f"  {used.cpu:6.2f} CPU-s {used.memory:6.0f} MB  {len(one.raw) // 1000:5d} kB  {name}  → {answer or '—'}",
                          markup=False)
        return bad

    def _alone(self, one: Input) -> tuple[Used, str]:
        pid = self._pid["box" if one.door == "box" else "gateway"]
        settled(pid)
        with Meter(pid) as meter:
            answer = self.doors[one.door](one)
            settled(pid, 3)
        return meter.used, answer

    def pages(self, console: Console) -> list[str]:
        """What costs, or breaks, a page or a connection: each is a 4xx, and the page of codes stays cheap."""
        bad = []
        operator = {"Authorization": f"Bearer {self.city.keys['operator']}"}
        with httpx.Client(base_url=self.city.urls["gateway"], trust_env=False, timeout=30) as client:
            for name, ask in (
                ("an origin that is none", lambda: client.post("/sign-in", data={"code": "x"}, headers={"Origin": "http://["})),
                ("600 fields", lambda: client.post("/sign-in", data={f"f{n}": "x" for n in range(600)})),
                ("a day after all days", lambda: client.get("/rx?before=9999-12-31T23:59:59-23:59~x", headers=operator)),
                ("a cookie of brackets", lambda: client.get("/", headers={"Cookie": "sanyi_session=" + "[" * 7_000})),
            ):
                answer = ask()
                self.count += 1
                good = 300 <= answer.status_code < 500 and ("content-security-policy" in answer.headers or answer.status_code < 400)
                console.print(f"  {'✓' if good else '✗'} {name}: {answer.status_code}")
                if not good:
                    bad.append(f"{name}: {answer.status_code}")
            with Meter(self._pid["gateway"]) as meter:
                answer = client.get("/mapping", headers=operator)
            self.count += 1
            console.print(f"  the page of codes: {answer.status_code}, {meter.used.cpu:.2f} CPU-s")
            if answer.status_code != 200 or meter.used.cpu > CPU_SECONDS:
                bad.append(f"/mapping: {answer.status_code}, {meter.used.cpu:.2f} CPU-s")
        bad += self._idle(console)
        return bad

    def _idle(self, console: Console) -> list[str]:
        """Connections that say nothing, or half a request: the next hospital gets through all the same."""
        bad = []
        gateway = urlsplit(self.city.urls["gateway"])
        mllp = urlsplit(self.city._installed["jinan_central"].options["mllp"])
        for name, address, opening, through in (
                ("300 half-sent headers", (gateway.hostname, gateway.port), b"GET / HTTP/1.1\r\nHost: x\r\nX-",
                 lambda: bool(self._innocent(0))),
                ("40 idle MLLP connections", (mllp.hostname, mllp.port), b"\x0bMSH|",
                 lambda: bool(self._mllp(Input("mllp", "good", self.samples["mllp"])))),
        ):
            held = []
            for _ in range(300 if "300" in name else 40):
                with contextlib.suppress(OSError):
                    held.append(_open(str(address[0]), int(address[1] or 0)))
                    held[-1].sendall(opening)
            good = through()
            self.count += 1
            console.print(f"  {'✓' if good else '✗'} {name}: the next one {'gets' if good else 'does not get'} through")
            if not good:
                bad.append(f"{name}: the next one does not get through")
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and (alive := [one for one in held if _alive(one)]):
                held = alive
                time.sleep(1)
            else:
                held = [] if not [one for one in held if _alive(one)] else held
            if held and "300" in name:
                bad.append(f"{name}: {len(held)} are still open after a minute")
            for one in held:
                one.close()
        return bad

    # In rounds.

    def rounds(self, console: Console, number: int, seconds: float) -> tuple[float, float, int]:
        """p95 in seconds of another hospital's prescriptions, quiet and attacked, and how much was sent by attackers."""
        quiet: list[float] = []
        attacked: list[float] = []
        sent = 0
        dice = random.Random(self.seed + 1)
        known = inputs(self.samples, self.seed + 1)
        for _ in range(number):
            settled(self._pid["gateway"])
            quiet += self._hospital(seconds)
            stop = threading.Event()
            tallies = [[0] for _ in self.doors]
            threads = [threading.Thread(target=self._attack, daemon=True,
                                        args=(door, known, random.Random(dice.random()), stop, tally))
                       for door, tally in zip(self.doors, tallies, strict=True)]
            for thread in threads:
                thread.start()
            time.sleep(1)
            attacked += self._hospital(seconds)
            stop.set()
            for thread in threads:
                thread.join(60)
            sent += sum(tally[0] for tally in tallies)
        self.count += sent
        return _p95(quiet), _p95(attacked), sent

    def _attack(self, door: str, known: list[Input], dice: random.Random, stop: threading.Event, tally: list[int]) -> None:
        mine = [one for one in known if one.door == door]
        while not stop.is_set():
            one = dice.choice(mine)
            if dice.random() < 0.3 and door in self.samples:
                one = dice.choice(fuzzed({door: self.samples[door]}, dice, 1))
            with contextlib.suppress(Exception):
                self.doors[door](one)
            tally[0] += 1

    def _hospital(self, seconds: float) -> list[float]:
        until, took = time.monotonic() + seconds, []
        while time.monotonic() < until:
            begun = time.monotonic()
            if not self._innocent(int(time.time() * 1000)):
                took.append(60.0)  # no answer is worse than any
            took.append(time.monotonic() - begun)
            time.sleep(0.2)
        return took

    def _innocent(self, number: int) -> bool:
        facts = replace(self._facts[number % len(self._facts)], hospital="jinan_first", key=f"Q{number}",
                        external_id=f"QRX{number}")
        return self._post("/fhir/jinan_first/Bundle", _json(fhir.bundle(facts)), "application/fhir+json", "jinan_first") in (
            "201", "202", "409", "422")

    # The doors.

    def _post(self, path: str, raw: bytes, media: str, hospital: str = "") -> str:
        """The status; empty if there was no answer within a minute, or one that says that we broke."""
        address = urlsplit(self.city.urls["gateway"])
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
        headers = {"Content-Type": media, "SOAPAction": '""'}
        if hospital:
            headers["Authorization"] = f"Bearer {self.city.keys[f'{hospital} token']}"
        try:
            connection.request("POST", path, raw, headers)
            answer = connection.getresponse()
            body = answer.read()
            fault = answer.status == 500 and b"Fault" in body and b"Client" in body  # SOAP 1.1 says so under 500
            return str(answer.status) if answer.status < 500 or answer.status == 503 or fault else ""
        except (BrokenPipeError, ConnectionResetError):
            return "closed"  # before the whole of it was sent: it knew enough
        except OSError:
            return ""
        finally:
            connection.close()

    def _mllp(self, one: Input) -> str:
        address = urlsplit(self.city._installed["jinan_central"].options["mllp"])
        try:
            with _open(address.hostname or "", address.port or 0) as line:
                line.settimeout(60)
                line.sendall(b"\x0b" + one.raw + b"\x1c\r")
                heard = b""
                while b"\x1c\r" not in heard:
                    more = line.recv(65536)
                    if not more:
                        return "closed" if not heard else "answered"
                    heard += more
                return "answered"
        except (BrokenPipeError, ConnectionResetError):
            return "closed"
        except OSError:
            return ""

    def _box(self, one: Input) -> str:
        """Hand a file in, and wait until it lies somewhere else."""
        ending = one.name.rpartition(".")[2]
        name = f"h{time.time_ns()}.{ending}"
        target = self._box_folder / "in" / name
        target.with_suffix(".part").write_bytes(one.raw)
        os.replace(target.with_suffix(".part"), target)
        (self._box_folder / "in" / f"{name}.done").write_bytes(b"")
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if not target.exists():
                found = {path.parent.name for path in self._box_folder.rglob(f"{name}*") if path.is_file()} - {"in"}
                if found:
                    return ", ".join(sorted(found))
            time.sleep(0.2)
        return ""


def _pid(processes: Processes, name: str) -> int:
    return processes._children[name].process.pid


def _deaf(_key: str, _report: dict[str, Any]) -> None:
    return None


def _json(message: object) -> bytes:
    return json.dumps(message, ensure_ascii=False).encode()


def _xml(city: SandboxCity, facts: list[Any]) -> bytes:
    """A prescription in FHIR XML: every third one is."""
    installed = city._installed["jinan_first"]
    speech = speaker("fhir", Line("jinan_first", city.urls["gateway"], installed.options, installed.secrets, _deaf))
    bodies = (speech.prescription(replace(one, hospital="jinan_first")) for one in facts)
    return next(body for body in bodies if body.lstrip().startswith(b"<"))


def _soap(document: bytes) -> bytes:
    hidden = base64.b64encode(document).decode()
    return cda._envelope(f'<SubmitPrescription xmlns="{cda.SERVICE}"><document>{hidden}</document></SubmitPrescription>')


def _open(host: str, port: int) -> socket.socket:
    return socket.create_connection((host, port), timeout=10)


def _alive(line: socket.socket) -> bool:
    try:
        line.setblocking(False)
        return line.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def _p95(values: list[float]) -> float:
    return quantiles(values, n=20)[-1] if len(values) > 1 else sum(values)


if __name__ == "__main__":
    sys.exit(main())

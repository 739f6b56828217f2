"""No message, file or connection, however made, costs more than it may, or holds up another hospital.

Inputs that cost much to read go to every door one by one, measured in the process that reads them; then attackers, one per
door, send them and their relatives in rounds while another hospital sends prescriptions, quiet and attacked rounds in turn.
Two hospitals take turns at being the other one; while it is their turn, whoever attacks their door has no token of theirs.
"""

import argparse
import base64
import contextlib
import http.client
import itertools
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
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
from rich.console import Console

from sandbox.city import SandboxCity
from sandbox.dialects import Line, cda, dropbox, erx, erx_crypto, fhir, speaker
from sandbox.plan import make_plan
from sandbox.processes import Processes
from tests.prove.attacks.inputs import Input, fuzzed, inputs
from tests.prove.attacks.meter import Meter, Used, settled

CPU_SECONDS, MEMORY_MB = 2.0, 200.0
"""Of one request."""
MORE_SECONDS = 0.1
"""CPU of each further prescription of a file: every one is read, judged and answered by itself."""
SLOWER, LATER = 2.0, 2.0
"""The other hospital's p95 under attack: at most so many times its quiet value, or so many seconds above it."""
HOSPITALS = {"erx": "jinan_second", "fhir": "jinan_first", "cda": "jinan_tcm", "mllp": "jinan_central", "box": "jinan_county"}
DOORS = {"erx": ("erx", "signed"), "fhir": ("fhir-json", "fhir-xml"), "soap": ("soap", "cda"), "mllp": ("mllp",),
         "box": ("box", "box-xml", "box-xlsx")}
"""One attacker for each -> what it sends."""
OTHERS = {"jinan_first": ("fhir-json", "fhir-xml"), "jinan_tcm": ("soap", "cda")}
"""The hospitals that send while others attack -> their doors, at which the attackers of their turn are strangers."""
ANSWERED = frozenset({"200", "201", "202"})


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
            bad += rig.box(console)
            waits = rig.rounds(asked.rounds, asked.seconds)
            for hospital, (quiet, attacked) in waits.items():
                console.print(f"{hospital}: p95 {quiet:.2f} s quiet, {attacked:.2f} s attacked")
                if attacked > max(SLOWER * quiet, quiet + LATER):
                    bad.append(f"{hospital} was held up: p95 {quiet:.2f} s quiet and {attacked:.2f} s attacked")
            bad += rig.lost
            city.check()
    for fault in bad:
        console.print(f"✗ {fault}", markup=False)
    quiet, attacked = max(waits.values(), key=lambda both: both[1] - both[0])
    console.print(f"hostile: {rig.count} inputs at {len(DOORS)} doors, worst request {rig.worst_cpu[0]:.2f} CPU-s "
                  f"({rig.worst_cpu[1]}), a prescription of a file {rig.worst_file[0]:.3f} (of {rig.worst_file[1]}), "
                  f"worst {rig.worst_memory[0]:.0f} MB ({rig.worst_memory[1]}), {rig.unanswered} neither answered nor parked, "
                  f"p95 of another hospital {quiet:.2f} s quiet and {attacked:.2f} s attacked")
    return 1 if bad else 0


class Rig:
    """A running city, its doors, and one good message of each."""

    def __init__(self, city: SandboxCity, processes: Processes, seed: int) -> None:
        self.city = city
        self.seed = seed
        self.count = self.unanswered = 0
        self.worst_cpu: tuple[float, str] = (0.0, "")
        self.worst_file: tuple[float, int] = (0.0, 0)
        """CPU seconds of each prescription of the worst file of several, and how many it held."""
        self._answered = 1
        """Prescriptions of the file that was handed in last, at least."""
        self.worst_memory: tuple[float, str] = (0.0, "")
        self.lost: list[str] = []
        """What attackers sent that was neither answered nor parked."""
        self._pid = {"gateway": _pid(processes, "gateway"), "box": _pid(processes, "operations")}
        plan = make_plan("jinan", 60, seed, datetime.now(UTC), 3600, tuple(city.hospitals))
        self._facts = [planned.facts for planned in plan.prescriptions]
        self._numbers = itertools.count(1)
        first = self._facts[0]
        lines = {door: Line(slug, city.urls["gateway"], city._installed[slug].options, city._installed[slug].secrets, _deaf)
                 for door, slug in HOSPITALS.items()}
        speech = {door: speaker(city.hospitals[HOSPITALS[door]], line) for door, line in lines.items()}
        self._erx = cast(erx.Speaker, speech["erx"])
        county = dropbox._rows(replace(first, hospital="jinan_county"))
        precheck = erx.precheck(replace(first, hospital="jinan_second"))
        self.samples = {
            "erx": self._erx._seal(precheck, {}),
            "signed": _json(precheck),
            "fhir-json": _json(fhir.bundle(replace(first, hospital="jinan_first"))),
            "fhir-xml": _xml(city, self._facts),
            "cda": cda.document(replace(first, hospital="jinan_tcm")).encode(),
            "soap": _soap(cda.document(replace(first, hospital="jinan_tcm")).encode()),
            "mllp": speech["mllp"].prescription(replace(first, hospital="jinan_central")),
            "box": dropbox._csv(county),
            "box-xml": dropbox._xml(county),
            "box-xlsx": dropbox._excel(county),
        }
        self.doors: dict[str, Callable[[Input], str]] = {
            "erx": lambda one: self._post("/epc/api/fixmedins/uploadChk", one.raw, "application/json"),
            "signed": lambda one: self._post("/epc/api/fixmedins/uploadChk", self._sealed(one.raw), "application/json"),
            "fhir-json": lambda one: self._post("/fhir/jinan_first/Bundle", one.raw, "application/fhir+json", "jinan_first"),
            "fhir-xml": lambda one: self._post("/fhir/jinan_first/Bundle", one.raw, "application/fhir+xml", "jinan_first"),
            "soap": lambda one: self._post("/soap/jinan_tcm", one.raw, "text/xml", "jinan_tcm"),
            "cda": lambda one: self._post("/soap/jinan_tcm", _soap(one.raw), "text/xml", "jinan_tcm"),
            "mllp": self._mllp, "box": self._box, "box-xml": self._box, "box-xlsx": self._box,
        }
        self._strange = frozenset[str]()
        """Hospitals whose token nobody has but they."""
        self._box_folder = Path(city._installed["jinan_county"].options["folder"])

    # One by one.

    def measure(self, console: Console) -> list[str]:
        bad = []
        for one in inputs(self.samples, self.seed):
            used, answer = self._alone(one)
            if used.cpu > self._allowed():
                # What else the process did at that moment, such as a flow of its own, is not the message's: it does not come again.
                console.print(f"  {used.cpu:6.2f} CPU-s, measured again:", markup=False)
                again, answer = self._alone(one)
                used = min(used, again, key=lambda it: it.cpu)
            self.count += 1
            name = f"{one.door}: {one.name}"
            if self._answered == 1:
                self.worst_cpu = max(self.worst_cpu, (used.cpu, name))
            else:
                self.worst_file = max(self.worst_file, (used.cpu / self._answered, self._answered))
            self.worst_memory = max(self.worst_memory, (used.memory, name))
            if not answer:
                self.unanswered += 1
                bad.append(f"{name}: neither answered nor parked")
            many = f", {self._answered} prescriptions" if self._answered > 1 else ""
            if used.cpu > self._allowed() or used.memory > MEMORY_MB:
                bad.append(f"{name} ({len(one.raw) // 1000} kB{many}): {used.cpu:.2f} CPU-s, {used.memory:.0f} MB")
            console.print(f"  {used.cpu:6.2f} CPU-s {used.memory:6.0f} MB  {len(one.raw) // 1000:5d} kB  {name}{many}  → "
                          f"{answer or '—'}", markup=False)
        return bad

    def _allowed(self) -> float:
        """CPU seconds for what was answered last."""
        return CPU_SECONDS + MORE_SECONDS * (self._answered - 1)

    def _alone(self, one: Input) -> tuple[Used, str]:
        self._answered = 1
        pid = self._pid["box" if one.door.startswith("box") else "gateway"]
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
        for name, number, address, opening, through in (
                ("300 half-sent headers", 300, gateway, b"GET / HTTP/1.1\r\nHost: x\r\nX-", self._innocent),
                ("40 silent MLLP connections", 40, mllp, b"", self._patient),
                ("40 half-sent MLLP messages", 40, mllp, b"\x0bMSH|", self._patient)):
            held = []
            for _ in range(number):
                with contextlib.suppress(OSError):
                    held.append(_open(address.hostname or "", address.port or 0))
                    held[-1].sendall(opening)
            good = through()
            self.count += 1
            console.print(f"  {'✓' if good else '✗'} {name}: the next one {'gets' if good else 'does not get'} through")
            if not good:
                bad.append(f"{name}: the next one does not get through")
            deadline = time.monotonic() + 60
            while address is gateway and held and time.monotonic() < deadline:
                held = [line for line in held if _alive(line)]
                time.sleep(1)
            if address is gateway and held:
                bad.append(f"{name}: {len(held)} are still open after a minute")
            for line in held:
                line.close()
        return bad

    def _patient(self) -> bool:
        """Whether a message over MLLP is answered, at the latest once the silent have to give way."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if self._mllp(Input("mllp", "good", self.samples["mllp"])) == "answered":
                return True
            time.sleep(1)
        return False

    def box(self, console: Console) -> list[str]:
        """What lies in the box and is no file of a hospital's: nothing follows it out of the box, and it stops nobody."""
        box, outside = self._box_folder, self._box_folder.parent / "outside"
        outside.mkdir()
        (outside / "kept.csv").write_bytes(self.samples["box"])
        os.symlink(outside / "kept.csv", box / "in" / "link.csv")
        os.symlink(outside, box / "in" / "folder.csv")
        os.mkfifo(box / "in" / "pipe.csv")
        for name in ("link", "folder", "pipe"):
            (box / "in" / f"{name}.csv.done").write_bytes(b"")
        (box / "work").mkdir(exist_ok=True)
        forged = {"forged.csv": b'{"digest":"%s","to":"../outside/new.csv"}' % (b"0" * 32), "noise": b"\0" * 100}
        for name, note in forged.items():
            (box / "work" / name).write_bytes(note)
        old = ["odd\nname.csv", "x.py", "half.part", "never marked.csv", "no file.csv.done"]
        for name in old:
            (box / "in" / name).write_bytes(b"x")
            os.utime(box / "in" / name, (time.time() - 100_000,) * 2)
        answer = self._box(Input("box", "good.csv", self.samples["box"]))
        deadline = time.monotonic() + 30
        places = [*(box / "in" / name for name in old), *(box / "work" / name for name in forged)]
        while (waiting := [place.name for place in places if place.exists()]) and time.monotonic() < deadline:
            time.sleep(0.5)
        led_out = [path.name for path in outside.iterdir()] != ["kept.csv"] or (
            (outside / "kept.csv").read_bytes() != self.samples["box"])
        self.count += len(old) + len(forged) + 3
        good = bool(answer) and not waiting and not led_out
        console.print(f"  {'✓' if good else '✗'} links, a pipe, forged notes and odd names in the box: the next file → "
                      f"{answer or '—'}, {len(waiting)} neither taken nor parked", markup=False)
        return [] if good else [f"odd things in the box: {waiting}, the next file {answer or 'not answered'}, followed: {led_out}"]

    # In rounds.

    def rounds(self, number: int, seconds: float) -> dict[str, tuple[float, float]]:
        """p95 in seconds of another hospital's prescriptions, quiet and attacked, of each that takes its turn."""
        quiet: dict[str, list[float]] = {hospital: [] for hospital in OTHERS}
        attacked: dict[str, list[float]] = {hospital: [] for hospital in OTHERS}
        dice = random.Random(self.seed + 1)
        known = inputs(self.samples, self.seed + 1)
        for _ in range(number):
            for hospital in OTHERS:
                settled(self._pid["gateway"])
                quiet[hospital] += self._hospital(hospital, seconds)
                self._strange = frozenset({hospital})
                stop = threading.Event()
                threads = [threading.Thread(target=self._attack, daemon=True, args=(kinds, known, dice.random(), stop))
                           for kinds in DOORS.values()]
                for thread in threads:
                    thread.start()
                time.sleep(1)
                attacked[hospital] += self._hospital(hospital, seconds)
                stop.set()
                for thread in threads:
                    thread.join(120)
                self._strange = frozenset()
        return {hospital: (_p95(quiet[hospital]), _p95(attacked[hospital])) for hospital in OTHERS}

    def _attack(self, kinds: tuple[str, ...], known: list[Input], seed: float, stop: threading.Event) -> None:
        dice = random.Random(seed)
        mine = [one for one in known if one.door in kinds]
        while not stop.is_set():
            one = dice.choice(mine)
            if dice.random() < 0.3:
                one = dice.choice(fuzzed({one.door: self.samples[one.door]}, dice, 1))
            if not self.doors[one.door](one):
                self.unanswered += 1
                self.lost.append(f"{one.door}: {one.name} ({len(one.raw) // 1000} kB), in a round: neither answered nor parked")
            self.count += 1

    def _hospital(self, hospital: str, seconds: float) -> list[float]:
        """Seconds that each of the hospital's prescriptions took; one without a proper answer took a minute."""
        until, took = time.monotonic() + seconds, []
        while time.monotonic() < until:
            begun = time.monotonic()
            heard = self._innocent(hospital)
            took.append(time.monotonic() - begun if heard else 60.0)
            time.sleep(0.2)
        return took

    def _innocent(self, hospital: str = "jinan_first") -> bool:
        number = next(self._numbers)
        facts = replace(self._facts[number % len(self._facts)], hospital=hospital, key=f"Q{number:08d}",
                        external_id=f"QRX{number:08d}")
        if hospital == "jinan_first":
            answer = self._post("/fhir/jinan_first/Bundle", _json(fhir.bundle(facts)), "application/fhir+json", hospital, own=True)
        else:
            answer = self._post("/soap/jinan_tcm", _soap(cda.document(facts).encode()), "text/xml", hospital, own=True)
        return answer in ANSWERED

    # The doors.

    def _sealed(self, raw: bytes) -> bytes:
        """The bytes as the data of an envelope, with the hospital's signature where they are JSON."""
        try:
            envelope = self._erx._seal(json.loads(raw), {})
        except (ValueError, TypeError, AttributeError, RecursionError):
            envelope = self._erx._seal({}, {})
        return _json(json.loads(envelope) | {"encData": erx_crypto.hide(self._erx._key, raw)})

    def _post(self, path: str, raw: bytes, media: str, hospital: str = "", *, own: bool = False) -> str:
        """The status; empty if there was no answer within a minute, or one that says that we broke."""
        address = urlsplit(self.city.urls["gateway"])
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
        headers = {"Content-Type": media, "SOAPAction": '""'}
        if hospital and (own or hospital not in self._strange):
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
        """Hand a file in, and wait until it lies somewhere else; a minute more after each of its prescriptions' answers."""
        answered = 0
        ending = one.name.rpartition(".")[2] if "." in one.name else "xlsx" if one.raw[:2] == b"PK" else "csv"
        name = f"h{time.time_ns()}.{ending}"
        target = self._box_folder / "in" / name
        target.with_suffix(".part").write_bytes(one.raw)
        os.replace(target.with_suffix(".part"), target)
        (self._box_folder / "in" / f"{name}.done").write_bytes(b"")
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(FileNotFoundError):  # taken away while we look
                written = max((int(path.stem) for path in self._box_folder.glob("work/*/*.json")), default=0)
                if written > answered:
                    answered, deadline = written, time.monotonic() + 60
            if not target.exists():
                found = {path.parent.name for path in self._box_folder.rglob(f"{name}*") if path.is_file()} - {"in"}
                if found:
                    self._answered = max(1, answered)
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
    return quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else sum(values)


if __name__ == "__main__":
    sys.exit(main())

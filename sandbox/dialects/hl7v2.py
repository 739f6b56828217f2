"""A hospital on HL7 v2.5.1 over MLLP: its own codes, RDE^O11 and OMP^O09 in turn, and a port for what we report."""

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI

from sandbox.dialects import Heard, Installation, Line, Site
from sandbox.facts import Facts, Medicine

BEIJING = timezone(timedelta(hours=8))
PATIENCE = 15.0
"""Seconds for one exchange."""
BEGIN, END = b"\x0b", b"\x1c\r"
CHARSETS = {"RDE": ("GB 18030-2000", "gb18030"), "OMP": ("UNICODE UTF-8", "utf-8")}
"""Two systems of one house: the older one writes RDE."""

FREQUENCIES = {"qd": "QD", "bid": "BID", "tid": "TID", "qid": "QID", "q6h": "Q6H", "q8h": "Q8H", "q12h": "Q12H",
               "qn": "QHS", "qm": "QAM", "ac": "AC", "qod": "QOD", "biw": "BIW", "tiw": "TIW", "qw": "Q7D",
               "q2w": "Q14D", "q4w": "Q28D", "qmonth": "Q30D", "prn": "PRN", "st": "ONCE"}
UNITS = {"mg": "MG", "g": "GM", "μg": "UG", "U": "UNT", "IU": "IU", "ml": "ML", "mmol": "MMOL", "片": "TAB", "粒": "CAP",
         "丸": "PIL", "滴": "GTT", "揿": "PUF", "喷": "SPR", "袋": "BAG", "支": "AMP", "贴": "PCH", "瓶": "BTL", "盒": "BOX"}
APPROVALS = {"1": "1^符合限定支付^99JZAPPR", "0": "0^不符合限定支付^99JZAPPR", "2": "2^自费^99JZAPPR"}
KINDS = {"western": "01^西药^99JZKIND", "tcm_patent": "02^中成药^99JZKIND", "tcm_piece": "03^中药饮片^99JZKIND"}


def install(site: Site) -> Installation:
    """No secrets, only addresses: a port of the platform for this hospital, and one of the hospital for reports."""
    name, platform, own = site.slug.upper(), site.free_port(), site.free_port()
    return Installation(
        {f"SANYI_MLLP_PORTS__{name}": str(platform), f"SANYI_PARTNER_URLS__{name}": f"mllp://127.0.0.1:{own}",
         f"SANYI_PARTNER_SECRETS__{name}__SOURCES": "127.0.0.1/32"},
        {}, {"mllp": f"tcp://127.0.0.1:{platform}", "listen": str(own)}, door=f"mllp://127.0.0.1:{platform}")


class Speaker:
    """See `sandbox.dialects.Speaker`."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    def prescription(self, facts: Facts) -> bytes:
        return _message(facts, facts.key, facts.sent)

    def changed(self, facts: Facts) -> bytes:
        return _message(facts, facts.key, facts.sent + timedelta(seconds=1))

    def broken(self, facts: Facts, number: int) -> bytes:
        if number == 1:
            return _message(facts, facts.key, facts.sent, leave_out="PID")
        digit = "1" if facts.id_number[-1] != "1" else "2"
        medicines = tuple(replace(medicine, amount="") for medicine in facts.medicines)
        spoilt = replace(facts, id_number=facts.id_number[:-1] + digit, medicines=medicines)
        return _message(spoilt, facts.key, facts.sent)

    def cancel(self, facts: Facts, key: str, at: datetime) -> bytes:
        return _message(facts, key, at, cancelled=at)

    async def send(self, body: bytes) -> Heard | None:
        answer = await self._exchange(body)
        return _heard(answer) if answer is not None else None

    async def where(self, facts: Facts) -> str:
        """Asked as ORM^O01 with SS; the answer's ORC-25 says."""
        now = datetime.now(BEIJING)
        name, codec = CHARSETS["OMP"]
        question = [
            _header("ORM^O01^ORM_O01", f"Q{facts.key}"[:20], now, name),
            _segment("ORC", {1: "SS", 2: f"{facts.external_id}-1^JZHIS", 4: f"{facts.external_id}^JZHIS"})]
        answer = await self._exchange(_joined(question).encode(codec))
        return _Answer(answer).get("ORC", 25) if answer is not None else ""

    def doors(self, app: FastAPI) -> None:
        """Reports come to a separate port."""

    async def listen(self) -> None:
        if not self._line.urls.get("listen"):
            return
        host, port = _address(self._line.urls["listen"])
        async with await asyncio.start_server(self._reports, host, port) as server:
            await server.serve_forever()

    # The line out.

    async def _exchange(self, body: bytes) -> bytes | None:
        """Send on a line that is open, or a new one; None if no answer came. Nothing is sent twice here."""
        writer = None
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = await self._open()
                # In two pieces, as a slow line would deliver it.
                block = BEGIN + body + END
                writer.write(block[:len(block) // 2])
                await writer.drain()
                writer.write(block[len(block) // 2:])
                await writer.drain()
                answer = await reader.readuntil(END)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            if writer:
                writer.close()
            return None
        self._idle.append((reader, writer))
        answer = answer.removesuffix(END).partition(BEGIN)[2]
        # AR with 207: they could not do their part, and ask for the same again.
        return None if _Answer(answer).get("ERR", 3) == "207" else answer

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        host, port = _address(self._line.urls["mllp"])
        return await asyncio.open_connection(host, port, limit=1 << 22)

    # The line in.

    async def _reports(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while True:
                block = (await reader.readuntil(END)).removesuffix(END).rpartition(BEGIN)[2]
                writer.write(BEGIN + self._take(block) + END)
                await writer.drain()
        writer.close()

    def _take(self, block: bytes) -> bytes:
        message = _Answer(block)
        try:
            key, report = _report(message)
            self._line.hear(key, report)
            verdict = ["MSA|AA|" + message.raw("MSH", 10)]
        except (ValueError, KeyError, TypeError):
            verdict = ["MSA|AE|" + message.raw("MSH", 10), "ERR||ORC^1|102^Data type error^HL70357|E"]
        header = _header("ACK^O01^ACK", message.raw("MSH", 10), datetime.now(BEIJING), "UNICODE UTF-8")
        return _joined([header, *verdict]).encode()


def _message(facts: Facts, key: str, sent: datetime, *, leave_out: str = "", cancelled: datetime | None = None) -> bytes:
    """A prescription, or the same orders taken back."""
    form = "RDE" if int(re.sub(r"\D", "", facts.external_id) or 0) % 2 else "OMP"
    name, codec = CHARSETS[form]
    event = {"RDE": "RDE^O11^RDE_O11", "OMP": "OMP^O09^OMP_O09"}[form]
    lines = [_header(event, key, sent, name), *_patient(facts)]
    for number, medicine in enumerate(facts.medicines, 1):
        lines += _order(form, facts, number, medicine, cancelled)
    if not cancelled:
        lines.append(_rest(facts))
    return _joined([line for line in lines if line[:3] != leave_out]).encode(codec)


def _header(event: str, key: str, sent: datetime, charset: str) -> str:
    return f"MSH|^~\\&|JZHIS|JINANCENTRAL|SANYI|SANYI|{_time(sent)}||{event}|{_esc(key)}|P|2.5.1|||AL|AL|CHN|{charset}"


def _patient(facts: Facts) -> list[str]:
    return [
        _segment("PID", {1: "1", 3: f"{_esc(facts.id_number)}^^^GAB^NI", 5: _esc(facts.name), 7: facts.born.strftime("%Y%m%d"),
                         8: "M" if facts.male else "F", 11: f"{_esc(facts.address)}^^^^^CHN^H^^{facts.district}",
                         13: "^PRN^CP" + "^" * 9 + _esc(facts.phone)}),
        *([_segment("NTE", {1: "1", 2: "P", 3: _esc(facts.note)})] if facts.note else []),
        _segment("PV1", {1: "1", 2: "V", 13: "R" if facts.proof_issued else "", 19: _esc(facts.visit_number)}),
        _segment("IN1", {1: "1", 2: facts.insutype, 3: f"{facts.insured_place}^^^ADMDVS", 35: facts.chronic_disease}),
        *(_segment("AL1", {1: str(number), 2: "MA", 3: f"^{_esc(words)}"})
          for number, words in enumerate(facts.allergy_words, 1)),
        *([_segment("AL1", {1: "1", 2: "DA", 3: "NKA^无已知过敏^99SANYI"})] if facts.no_known_allergies else []),
    ]


def _order(form: str, facts: Facts, number: int, medicine: Medicine, cancelled: datetime | None) -> Sequence[str]:
    control = _segment("ORC", {
        1: "CA" if cancelled else "NW", 2: f"{facts.external_id}-{number}^JZHIS", 4: f"{facts.external_id}^JZHIS",
        9: _time(cancelled or facts.issued),
        12: f"{facts.physician}^{_esc(facts.physician_name)}" + "^" * 19 + facts.title,
        16: "D^医师撤销^99JZREASON" if cancelled else "", 17: f"{facts.department}^{_esc(facts.department_name)}^99DEPT",
        21: f"{_esc(facts.institution_name)}^L" + "^" * 8 + facts.institution})
    timing = _segment("TQ1", {1: "1", 3: FREQUENCIES[medicine.frequency], 6: f"{medicine.days}^d"})
    route = _segment("RXR", {1: "PO^口服^HL70162"})
    drug = f"{'Z' if medicine.kind == 'tcm_patent' else 'W'}100{medicine.drug[1:]}^{_esc(medicine.name)}^99JZDRUG"
    dose, unit = f"{UNITS[medicine.dose_unit]}^^99JZUNIT", f"{UNITS[medicine.unit]}^^99JZUNIT"
    reasons = "~".join(f"{it.code}^{_esc(it.name)}^99ICD10CN" for it in facts.diagnoses)
    usage = f"^{_esc(medicine.directions)}" if medicine.directions else ""
    notes = [_segment("NTE", {1: "1", 2: "P", 3: _esc(medicine.note)})] if medicine.note else []
    approval = [] if medicine.approval is None else [_segment("OBX", {
        1: "1", 2: "CE", 3: "APPR^医院审批^99JZOBS", 5: APPROVALS[medicine.approval], 11: "F"})]
    if form == "RDE":
        detail = _segment("RXE", {2: drug, 3: medicine.amount, 5: dose, 7: usage, 10: str(medicine.quantity), 11: unit,
                                  15: facts.external_id, 27: reasons, 31: KINDS[medicine.kind]})
        return control, detail, *notes, timing, route, *approval
    detail = _segment("RXO", {1: drug, 2: medicine.amount, 4: dose, 7: usage, 11: str(medicine.quantity), 12: unit,
                              20: reasons, 24: KINDS[medicine.kind]})
    return control, timing, detail, *notes, route, *approval


def _rest(facts: Facts) -> str:
    """What v2 has no place for."""
    return _segment("ZRX", {
        1: "L", 2: "D" if facts.home else "P", 3: _time(facts.valid_until),
        4: facts.proof_issued.strftime("%Y%m%d") if facts.proof_issued else "",
        5: "~".join(it.code[:3] for it in facts.diagnoses) if facts.proof_issued else "",
        6: str(facts.physician_years), 7: _esc(facts.extend_reason), 8: "Y", 9: "Y",
        11: f"{facts.latitude}^{facts.longitude}", 12: _esc(facts.valid_reason)})


def _heard(answer: bytes) -> Heard:
    answered = _Answer(answer)
    code, status = answered.get("MSA", 1), answered.get("ORC", 25)
    if code == "AA":
        outcome = "waiting" if status == "waiting" else "accepted"
    else:
        outcome = "conflict" if answered.get("ERR", 3) == "205" else "refused"
    return Heard(outcome, answered.get("ORC", 3), status if outcome == "accepted" else "", answer)


def _report(message: "_Answer") -> tuple[str, dict[str, Any]]:
    """The report an ORM^O01 makes. Raises `ValueError` if it is none."""
    if not message.get("MSH", 9) == "ORM" or not message.get("ZRS", 1):
        raise ValueError("not a report")
    report: dict[str, Any] = {
        "key": message.get("ZRS", 1), "prescription": message.get("ORC", 4), "id": message.get("ORC", 3),
        "status": message.get("ORC", 25), "at": message.get("ZRS", 3), "reason": ""}
    findings = []
    for note in message.all("NTE"):
        kind, *rest = [*note.parts(4), "", ""][:3]
        if kind == "RE":
            report |= {"reason": rest[0], "words": note.get(3)}
        elif kind == "FD":
            findings.append({"code": rest[0], "severity": "WARN" if note.get(2) == "W" else "BLOCK", "text": note.get(3),
                             "line": int(rest[1]) if rest[1] else None})
    if findings:
        report["findings"] = findings
    if message.get("ZRS", 2):
        report["pickup"] = dict(zip(("order", "chain", "store", "code"), message.parts("ZRS", 2), strict=True))
    if page := message.get("ZRS", 5):
        report["patient_page"] = page
    if rows := message.all("ZDS"):
        order, chain, store = rows[0].parts(7)
        report["dispense"] = {
            "order": order, "chain": chain, "store": store, "at": rows[0].get(6),
            "handover": {"D": "home", "P": "pickup"}[rows[0].get(8)],
            "lines": [{"line": int(row.get(1)), "item": row.get(2), "drug": row.get(3), "name": row.parts(3)[1],
                       "quantity": row.get(4), "unit": row.get(5), "returned": row.get(9) == "Y"} for row in rows]}
    if money := {row.get(7).lower(): row.get(11) for row in message.all("FT1")}:
        report["money"] = money
    return report["key"], json.loads(json.dumps(report))


class _Row:
    """A segment, split."""

    def __init__(self, text: str) -> None:
        self._fields = text.split("|")
        if text.startswith("MSH"):
            self._fields.insert(1, "|")
        self.name = self._fields[0]

    def raw(self, number: int) -> str:
        return self._fields[number] if number < len(self._fields) else ""

    def parts(self, number: int) -> list[str]:
        return [_unescaped(part) for part in self.raw(number).split("^")]

    def get(self, number: int) -> str:
        return self.parts(number)[0]


class _Answer:
    """A message as it came."""

    def __init__(self, body: bytes) -> None:
        codec = "gb18030" if b"|GB 18030" in body.split(b"\r", 1)[0] else "utf-8"
        self._rows = [_Row(line) for line in body.decode(codec, "replace").split("\r") if line]

    def all(self, name: str) -> list[_Row]:
        return [row for row in self._rows if row.name == name]

    def raw(self, name: str, number: int) -> str:
        return next((row.raw(number) for row in self.all(name)), "")

    def parts(self, name: str, number: int) -> list[str]:
        return next((row.parts(number) for row in self.all(name)), [""])

    def get(self, name: str, number: int) -> str:
        return self.parts(name, number)[0]


_ESCAPES = (("\\", "E"), ("|", "F"), ("^", "S"), ("&", "T"), ("~", "R"))


def _esc(text: str) -> str:
    for mark, letter in _ESCAPES:
        text = text.replace(mark, f"\\{letter}\\")
    return text.replace("\n", "\\.br\\")


def _unescaped(text: str) -> str:
    meant = {letter: mark for mark, letter in _ESCAPES} | {".br": "\n"}
    return re.sub(r"\\(.*?)\\", lambda match: meant.get(match[1], ""), text)


def _segment(name: str, fields: Mapping[int, str]) -> str:
    return "|".join([name, *(fields.get(number, "") for number in range(1, max(fields) + 1))]).rstrip("|")


def _joined(lines: Sequence[str]) -> str:
    return "\r".join(lines) + "\r"


def _time(at: datetime) -> str:
    return at.astimezone(BEIJING).strftime("%Y%m%d%H%M%S%z")


def _address(url: str) -> tuple[str, int]:
    """`tcp://host:port`, or a port of this machine."""
    if url.isdecimal():
        return "127.0.0.1", int(url)
    parts = urlsplit(url)
    return parts.hostname or "127.0.0.1", parts.port or 0

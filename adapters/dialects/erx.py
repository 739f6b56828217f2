"""The national e-prescription interface 医保电子处方流转, second generation: D001 to D008 and what surrounds them.

A prescription arrives in three calls, but intake sees one message: the decrypted bytes of D001 and D003 in one object
(`compose`). So every place in it is a place in what the hospital sent.
"""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from adapters.dialects.erx_facts import Parts, birth_date, disagreements
from adapters.dialects.erx_fields import faults, misshapen, tables
from adapters.dialects.erx_json import Node, Source, read, read_all, read_parts
from adapters.dialects.erx_rules import MAX_FINDINGS, bounded, finding
from adapters.mapping import CodeMap
from adapters.messages import Message, Outcome, Reply, Unmapped, Verdict
from adapters.registry import HospitalManifest
from domain.errors import InvalidPayload, NeedsOperator, Refused
from domain.findings import Finding, Spot
from domain.lifecycle import Notice, Reported, Status, reported
from fhir_profiles.bundles import Spots, bundle, cancel, locate
from fhir_profiles.catalogue import RULES as CATALOGUE
from fhir_profiles.drafts import CancelDraft, Draft
from fhir_profiles.message import KEY
from infra import sm
from infra.http import Request, Transport

NAME = "erx"
PATHS: Mapping[str, str] = {
    "uploadChk": "D001", "rxFixmedinsSign": "D002", "rxFileUpld": "D003", "rxUndo": "D004",
    "hospRxDetlQuery": "D005", "rxChkInfoQuery": "D006", "rxSetlInfoQuery": "D007", "circDrugQuery": "D008",
}
"""The last part of an address -> the transaction."""
MEDIA = "application/json"
VERSION = "2.0.1"

OK, INVALID, CONFLICT, TOO_LATE, UNKNOWN, SIGNATURE, BUSY = 0, 4220, 4090, 4091, 4040, 4010, 5030
"""`code` of an answer; the interface says that 0 is success and leaves the others to the platform."""
HTTP_STATUS: Mapping[int, int] = {
    OK: 200, INVALID: 200, CONFLICT: 200, TOO_LATE: 200, UNKNOWN: 200, SIGNATURE: 401, BUSY: 503,
}

MAX_TEXT = 1_000_000
"""Bytes of what one transaction says, beside its file."""
MAX_AROUND = 8_000
"""Bytes of an envelope beside its data."""
MAX_ENTRIES = 64
"""Values of an envelope; the interface knows ten. A sender who is not yet known gets no more of its bytes read."""
MAX_AGE = timedelta(minutes=10)
"""Envelopes with a time further from now are refused, so that a recorded one cannot be replayed later. Ten minutes are
what the checker allows a hospital's clock.
"""
_FILES = {name: re.compile(rb'"%b"\s*:\s*"[^"]*"' % file)
          for name, file in {"envelope": b"encData", "D002": b"originalRxFile", "D003": b"rxFile", "": b"rxFile"}.items()}
"""The one long text of a message; the name of several at once is empty."""


def around(raw: bytes) -> Node:
    """The entries of an envelope; its cost is that of looking at the bytes once. Raises `InvalidPayload`."""
    within(raw, "envelope", MAX_AROUND)
    return read(raw, "envelope", MAX_ENTRIES)


def within(raw: bytes, name: str, limit: int = MAX_TEXT) -> None:
    """Raises `InvalidPayload` for more than `limit` bytes beside the file."""
    if len(raw) > limit:
        file = _FILES[name].search(raw) if name in _FILES else None
        if len(raw) - (len(file[0]) if file else 0) > limit:
            raise InvalidPayload([finding("ERX_TOO_LARGE", Node(None, Source(name, raw)))])


# Numbers we give out. They are derived from what the hospital sent, so the same question gets the same number.

def hi_rxno(hospital: str, number: str) -> str:
    """医保处方编号 of a hospital's prescription number (hospRxno): 30 characters."""
    return f"HI{_digest(hospital, number)[:28]}"


def trace_code(hospital: str, prechecked: bytes) -> str:
    """处方追溯码, 20 characters: it stands for exactly the bytes that were pre-checked."""
    return f"TR{_digest(hospital, hashlib.sha256(prechecked).hexdigest())[:18]}"


def _digest(*parts: str) -> str:
    return base64.b32encode(hashlib.sha256("\n".join(parts).encode()).digest()).decode()


# The envelope.

@dataclass(frozen=True)
class Envelope:
    """How one hospital and we hide and sign what we say."""

    app_id: str
    app_secret: str = field(repr=False)
    own_key: str = field(repr=False)
    """Our private key."""
    their_key: str
    """The hospital's public key."""
    user_id: str = sm.USER_ID
    over_ciphertext: bool = False
    """Some hospitals sign the hexadecimal ciphertext in the place of the data."""

    def seal(self, at: datetime, data: Mapping[str, Any], **entries: str | int) -> bytes:
        """The same words at the same time give the same bytes."""
        plain: dict[str, Any] = {"appId": self.app_id, "encType": "SM4", "signType": "SM2", "version": VERSION,
                                 "timestamp": str(int(at.timestamp() * 1000)), **entries}
        hidden = sm.sm4_encrypt(self._key, sm.compact(data).encode())
        signature = sm.sm2_sign(self._text(plain, data, hidden), self.own_key, self.user_id)
        return sm.compact(plain | {"encData": hidden, "signData": signature}).encode()

    def open(self, raw: bytes, transaction: str) -> tuple[Node, Node]:
        """The envelope's entries and the data, decrypted and signed by the hospital. Raises as `opened` does."""
        entries = around(raw)
        return entries, self.opened(entries, transaction)

    def opened(self, entries: Node, transaction: str, now: datetime | None = None) -> Node:
        """The data of an envelope that has been read, which is not older or newer than `MAX_AGE` where the time is given.

        Raises `InvalidPayload` for what is no such envelope. Raises `Refused` (code `bad_signature`) for data that cannot be
        decrypted, are no JSON, or have another signature. An attacker must not learn which of the three it is.
        """
        wrong = [entries[name] for name, good in _ENTRIES.items() if not good(entries[name].text)]
        if entries["appId"].text != self.app_id:
            wrong.append(entries["appId"])
        if wrong:
            raise InvalidPayload([finding("ERX_ENVELOPE", node) for node in wrong])
        sent = datetime.fromtimestamp(int(entries["timestamp"].text) / 1000, UTC)
        if now is not None and abs(now - sent) > MAX_AGE:
            raise InvalidPayload([finding("ERX_TIMESTAMP", entries["timestamp"])])
        hidden = entries["encData"].text
        plain, data, faults = self._revealed(hidden, transaction)
        signed = self._text(entries.plain, data.plain if data else None, hidden)
        if not sm.sm2_verify(signed, entries["signData"].text, self.their_key, self.user_id):
            raise Refused("the envelope's signature is not the hospital's", code="bad_signature")
        if data is None or faults:
            raise InvalidPayload(faults or [finding("ERX_DECRYPTION", entries["encData"])])
        within(plain, transaction)
        return data

    def _revealed(self, hidden: str, transaction: str) -> tuple[bytes, Node | None, Sequence[Finding]]:
        """The bytes, the data in them, and what is wrong with them."""
        try:
            plain = sm.sm4_decrypt(self._key, hidden)
        except ValueError:
            return b"", None, ()
        try:
            return plain, *read_all(plain, transaction)
        except InvalidPayload as invalid:
            return plain, None, invalid.findings

    def _text(self, entries: Mapping[str, Any], data: Any, hidden: str) -> bytes:
        return sm.sign_text({**entries, "data": hidden if self.over_ciphertext else data}, self.app_secret).encode()

    @property
    def _key(self) -> bytes:
        return sm.sm4_key(self.app_id, self.app_secret)


_ENTRIES: Mapping[str, Callable[[str], object]] = {
    "appId": bool, "encType": lambda text: text == "SM4", "signType": lambda text: text == "SM2",
    "timestamp": re.compile(r"[0-9]{13}").fullmatch, "encData": bool, "signData": bool,
}


def compose(parts: Mapping[str, bytes]) -> bytes:
    """Several transactions as one message, each byte for byte as it was."""
    return b"{" + b",".join(b'"%b":%b' % (name.encode(), raw) for name, raw in parts.items()) + b"}"


# What is signed by the platform (D002) and comes back with the upload (D003).

def original_value(upload: Node) -> bytes:
    """The fields of D003 before rxFile, as they were sent: compact JSON with keys in order."""
    return sm.compact({name: upload.value[name].plain for name in _signed_fields() if name in upload.value}).encode()


def is_base64(text: str) -> bool:
    """Whether it can be a signature."""
    try:
        return len(base64.b64decode(text, validate=True)) > 0
    except ValueError:
        return False


def is_document(text: str) -> bool:
    """Whether this is base64 of a PDF or OFD (a zip) document."""
    try:
        return base64.b64decode(text, validate=True).startswith((b"%PDF-", b"PK\x03\x04"))
    except ValueError:
        return False


def as_signed(node: Node) -> bytes | None:
    """The bytes of `originalValue`, if they are what D003's `original_value` will be: compact, of its fields, all texts."""
    try:
        raw = base64.b64decode(node.text, validate=True)
        original = read(raw, "originalValue")
    except (ValueError, InvalidPayload):
        return None
    good = set(original.value) <= set(_signed_fields()) and all(isinstance(node.value, str) for node in original.value.values())
    return raw if good and sm.compact(original.plain).encode() == raw else None


def _signed_fields() -> Sequence[str]:
    names = [spec.name for spec in tables("D003")[0].fields]
    return names[:names.index("rxFile")]


def differences(old: Node, new: Node) -> Iterator[Node]:
    """What was changed, added or left out, as places in the new one."""
    if isinstance(old.value, dict) and isinstance(new.value, dict):
        for name in {**old.value, **new.value}:
            yield from differences(old[name], new[name])
    elif isinstance(old.value, list) and isinstance(new.value, list) and len(old.value) == len(new.value):
        for earlier, other in zip(old, new, strict=True):
            yield from differences(earlier, other)
    elif old.plain != new.plain:
        yield new


# Our words in theirs.

RX_STATUS = {"1": "有效", "2": "已失效", "3": "已撤销"}
USED_STATUS = {"0": "未使用", "1": "已使用"}
CHECK_STATUS = {"0": "待审核", "1": "审核通过", "2": "审核不通过"}



class Before(StrEnum):
    """Where a prescription is that was pre-checked (D001) and is not admitted yet."""

    PRECHECKED = "prechecked"
    WAITING = "waiting"
    """It was uploaded, and waits for a code to be mapped."""


class Codes(NamedTuple):
    """What the interface says of a prescription."""

    rx: str
    """rxStasCodg."""
    used: str
    """rxUsedStasCodg."""
    check: str
    """rxChkStasCodg."""
    notice: str
    """Number of the notification: 7108 of the review, 7109 of the dispensing; `rxStas`, ours, for what has none."""


CODES: Mapping[Reported | Before, Codes] = {
    Before.PRECHECKED: Codes("1", "0", "0", "rxStas"),
    Before.WAITING: Codes("1", "0", "0", "rxStas"),
    Status.RECEIVED: Codes("1", "0", "0", "rxStas"),
    Status.AUDITED: Codes("1", "0", "0", "rxStas"),
    Status.IN_REVIEW: Codes("1", "0", "0", "7108"),
    Status.REVIEWED: Codes("1", "0", "1", "7108"),
    Status.ALLOCATING: Codes("1", "0", "1", "7108"),
    Status.FULFILLING: Codes("1", "0", "1", "7108"),
    Status.FULFILLED: Codes("1", "1", "1", "7109"),
    Status.SETTLED: Codes("1", "1", "1", "7109"),
    Status.CLOSED: Codes("1", "1", "1", "7109"),
    Status.REFUSED: Codes("2", "0", "2", "7108"),
    Status.RETURNED: Codes("2", "0", "2", "7108"),
    Status.CANCELLED: Codes("3", "0", "0", "rxStas"),
    Status.EXPIRED: Codes("2", "0", "0", "rxStas"),
    Notice.INVALID: Codes("2", "0", "0", "rxStas"),
    Notice.CANCELLING: Codes("1", "0", "0", "rxStas"),
    Notice.TOO_LATE: Codes("1", "0", "0", "rxStas"),
    Notice.CANCEL_REFUSED: Codes("1", "0", "0", "rxStas"),
}
"""Where a prescription is -> the interface's codes."""


def codes_of(status: str) -> Codes:
    """Raises ValueError for a word that this release does not know."""
    return CODES[Before(status) if status in _BEFORE else reported(status)]


_BEFORE = frozenset(map(str, Before))


def rx_status(status: str) -> dict[str, str]:
    """rxStasCodg and rxStasName of a status of ours."""
    code = codes_of(status).rx
    return {"rxStasCodg": code, "rxStasName": RX_STATUS[code]}


def used_status(status: str) -> dict[str, str]:
    """rxUsedStasCodg and rxUsedStasName; the table of codes is regional, this one is ours."""
    code = codes_of(status).used
    return {"rxUsedStasCodg": code, "rxUsedStasName": USED_STATUS[code]}


def check_status(status: str) -> dict[str, str]:
    """rxChkStasCodg and rxChkStasName: what the pharmacist of the platform decided, as far as the status tells."""
    code = codes_of(status).check
    return {"rxChkStasCodg": code, "rxChkStasName": CHECK_STATUS[code]}


def findings_json(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Findings for the hospital's people: codes, places and cures."""
    return [{"code": item.code, "severity": str(item.severity), "rule": item.rule, "path": item.path,
             "place": str(item.spot or ""), "line": item.line, "text": item.text, "textEn": item.text_en,
             "cure": item.cure, "cureEn": item.cure_en, "actor": item.actor, "source": item.source} for item in findings]


def waiting_for(unmapped: Sequence[Unmapped]) -> list[dict[str, str]]:
    return [{"table": code.table, "code": code.theirs, "name": code.name, "place": str(code.spot or "")} for code in unmapped]


# The adapter all hospitals of this dialect have.

class Translation(Protocol):
    """What a hospital's folder says of itself."""

    def prescription(self, parts: Parts, codes: CodeMap, facts: Mapping[str, str], slug: str
                     ) -> tuple[Draft, Sequence[Unmapped]]:
        """D001 (and D003, once there is one) as a draft, with the codes that are not mapped."""

    def revocation(self, parts: Parts, facts: Mapping[str, str], slug: str) -> CancelDraft:
        """D004."""


_LISTS = {"Condition": "diseinfo", "MedicationRequest": "rxdrugdetail"}
_KIND = re.compile(r"\.ofType\((\w+)\)")
_CALL = re.compile(r"\.(?!extension\()\w+\(.*$")
_MEANT = {".medication": ".medication.coding[0].display", ".validityPeriod": ".validityPeriod.end"}
"""The field that a finding is about, where an element is made of several. A drug has a code that is mapped; prscTime is a
plain value.
"""


def _places(d001: Node, spots: Spots, wrong: Collection[Spot | None]) -> Callable[[str], Spot | None]:
    """Where an element stood; of a kind of resource, the list it is made from.

    Of what is made of several fields one of which is wrong (`told`), that one: the rest is its consequence.
    """
    nearest = locate(spots)

    def where(path: str) -> Spot | None:
        if (kind := _KIND.search(path)) and kind[1] in _LISTS:
            return d001[_LISTS[kind[1]]].spot
        path = _CALL.sub("", path)
        cause = next((spot for known, spot in spots.items() if spot in wrong and known.startswith((f"{path}.", f"{path}["))), None)
        meant = next((path.removesuffix(end) + whole for end, whole in _MEANT.items() if path.endswith(end)), path)
        return cause or nearest(meant)
    return where


def _unusable(d001: Node) -> Iterator[Finding]:
    """Numbers that others are made from: said here, so that what is made from them is not said as well."""
    number, visit = d001["hospRxno"], d001["mdtrtinfo"]
    if not KEY.fullmatch(number.text):
        yield replace(CATALOGUE["PRESCRIPTION_NUMBER"].finding("D001.hospRxno"), spot=number.spot)
    if visit["psnCertType"].text == "01" and birth_date(visit["certno"].text) is None:
        yield replace(CATALOGUE["ID_NUMBER"].finding("D001.mdtrtinfo.certno"), spot=visit["certno"].spot)


class Adapter:
    """See `adapters.protocols.Hospital`. A hospital's folder adds its translation."""

    SECRETS = ("app_secret", "platform_key", "hospital_key")
    translation: Translation

    def __init__(self, manifest: HospitalManifest, transport: Transport, secrets: Mapping[str, str]) -> None:
        for name in ("app_id", "notify_path"):
            if not manifest.facts.get(name):
                raise NeedsOperator(f"hospitals/{manifest.slug}/manifest.toml: facts.{name}: is missing; add it")
        self.slug = manifest.slug
        self.facts = manifest.facts
        self.envelope = Envelope(
            manifest.facts["app_id"], secrets["app_secret"], secrets["platform_key"], secrets["hospital_key"],
            user_id=manifest.facts.get("sm2_user_id") or sm.USER_ID,
            over_ciphertext=manifest.facts.get("sign_over", "plaintext") == "ciphertext")
        self._transport = transport

    def to_fhir(self, raw: bytes, codes: CodeMap) -> Message:
        """D001 with D003, D001 with D004, or D001 alone for a dry run."""
        within(raw, "", 2 * MAX_TEXT + 100)  # two transactions, each of which was within its own
        parts = read_parts(raw)
        transaction = {("D001",): "D001", ("D001", "D003"): "D003", ("D001", "D004"): "D004"}.get(tuple(sorted(parts)))
        if transaction is None:
            place = next(iter(parts.values()))
            raise InvalidPayload([finding("ERX_TRANSACTION", replace(place, trail=()))])
        judged = {name: part for name, part in parts.items() if transaction != "D004" or name == "D004"}
        if broken := [fault for name, part in judged.items() for fault in misshapen(part, name)]:
            wrong = (fault for name, part in judged.items() if isinstance(part.value, dict) for fault in faults(part, name))
            raise InvalidPayload(bounded(dict.fromkeys([*broken, *wrong])))
        unmapped: Sequence[Unmapped] = ()
        if transaction == "D004":
            wish = self.translation.revocation(parts, self.facts, self.slug)
            number, key, (resource, spots) = wish.number, wish.key, cancel(wish)
        else:
            draft, unmapped = self.translation.prescription(parts, codes, self.facts, self.slug)
            number, key, (resource, spots) = draft.number, draft.key, bundle(draft)
        # A revocation is judged alone: its D001 was judged at the pre-check, maybe by older rules.
        findings = [fault for name, part in judged.items() for fault in faults(part, name)]
        spots_named = {fault.spot for fault in findings}
        findings += [fault for fault in _unusable(parts["D001"]) if "D001" in judged and fault.spot not in spots_named]
        spots_named = {fault.spot for fault in findings}
        if number.spot not in spots_named:
            findings += [finding("ERX_PARTS_DISAGREE", part["hiRxno"]) for name, part in judged.items() if name != "D001"
                         and part["hiRxno"].text != hi_rxno(self.slug, number.value) and part["hiRxno"].spot not in spots_named]
        findings += [fault for fault in disagreements(parts, {fault.spot for fault in findings})
                     if fault.path.partition(".")[0] in judged]
        if len(findings) > MAX_FINDINGS:
            raise InvalidPayload(bounded(findings))
        where = _places(parts["D001"], spots, {fault.spot for fault in findings})
        return Message(key.value if KEY.fullmatch(key.value) else None, resource, where,
                       tuple(unmapped), {"transaction": transaction, "number": number.value}, tuple(findings))

    def answer(self, message: Message | None, verdict: Verdict) -> Reply:
        number = verdict.external_id or (message.context.get("number", "") if message else "")
        data: dict[str, Any] = {"hiRxno": hi_rxno(self.slug, number)} if number else {}
        revoking = message is not None and message.kind == "Task"
        extras: dict[str, Any] = {"outcome": str(verdict.outcome), "id": verdict.prescription_id, "status": verdict.status}
        match verdict.outcome:
            case Outcome.ACCEPTED if revoking and verdict.status == Notice.TOO_LATE:
                code, words = TOO_LATE, "处方已取药或已结束，不能撤销"
            case Outcome.ACCEPTED if revoking and verdict.status == Notice.CANCELLING:
                code, words = OK, "撤销申请已受理，结果另行通知"
                data |= rx_status(Status.RECEIVED)
            case Outcome.ACCEPTED:
                code, words = OK, "成功"
                data |= rx_status(verdict.status)
            case Outcome.WAITING:
                code, words = OK, "已接收，有编码待对照，结果另行通知"
                data |= rx_status(Status.RECEIVED)
                extras["unmapped"] = waiting_for(verdict.unmapped)
            case Outcome.CONFLICT:
                code, words = CONFLICT, "同一处方已以不同内容上传"
            case _:
                code, words = INVALID, f"共 {len(verdict.findings)} 处不符"
        if verdict.findings:
            extras["findings"] = findings_json(verdict.findings)
        return self.reply(verdict.at, code, words, data | {"extras": extras})

    def reply(self, at: datetime, code: int, words: str, data: Mapping[str, Any]) -> Reply:
        """An answer as it is sent."""
        return Reply(self.envelope.seal(at, data, code=code, message=words), HTTP_STATUS[code], MEDIA)

    def sign(self, original: bytes) -> str:
        """Our signature of a prescription (D002)."""
        return sm.sm2_sign(original, self.envelope.own_key, self.envelope.user_id)

    def signed(self, original: bytes, digest: str) -> bool:
        """Whether that is our signature of it."""
        return sm.sm2_verify(original, digest, sm.public_key(self.envelope.own_key), self.envelope.user_id)

    async def report(self, key: str, body: bytes) -> None:
        report = json.loads(body)
        status = str(report["status"])
        data = {"hiRxno": hi_rxno(self.slug, str(report["prescription"])), **rx_status(status), "extras": report}
        kind = codes_of(status).notice
        if kind == "7108":
            data |= {**check_status(status), "rxChkOpnn": str(report.get("words") or report.get("reason", ""))}
        if kind == "7109":
            data |= used_status(status)
        sent = self.envelope.seal(datetime.fromisoformat(report["at"]), data, transType=kind)
        answer = await self._transport.send(Request(
            "POST", self.facts["notify_path"], sent, {"content-type": MEDIA, "sanyi-key": key}, repeatable=True))
        if answer.status != 200:
            raise NeedsOperator(f"{self.slug}: HTTP {answer.status} to report {key}; check its address and version",
                                code=f"http_{answer.status}")
        around, _ = self.envelope.open(answer.body, "notice")
        if around["code"].text != "0":
            raise NeedsOperator(f"{self.slug}: code other than 0 to report {key}", code="not_taken")

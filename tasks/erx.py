"""What a hospital of the national 电子处方 interface may ask: D001 to D008, each opened, done and answered in one place.

D003 and D004 go to intake; the others leave nothing behind but a pre-check's own record, kept in the inbox, by which
D003 finds what it completes.
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from adapters.dialects import erx
from adapters.dialects.erx_fields import faults, filled, number, tables
from adapters.dialects.erx_json import Node, read, read_parts
from adapters.dialects.erx_rules import bounded, finding
from adapters.messages import Message, Outcome, Reply, Verdict
from domain.audit import audit
from domain.claims import Identity
from domain.errors import InvalidPayload, NeedsOperator, Refused, RxError, StaleStatus, Transient
from domain.findings import Finding, Severity, worst
from domain.fulfilment.portions import by_line
from domain.lifecycle import Status
from fhir_profiles.catalogue import RULES
from fhir_profiles.reader import read_bundle_data
from infra.db import Session, audits, claims, inbox, orders, prescriptions, reviews
from infra.db import mapping as mapping_queue
from infra.log import get_logger
from tasks import intake
from tasks.audit import case_of, entitlement_of
from tasks.city import City, code_map

log = get_logger(__name__)

Turn = Callable[[], AbstractAsyncContextManager[None]]
PAGE = 100
"""Rows of one answer to D008 at most."""


def senders(city: City) -> Mapping[str, erx.Adapter]:
    """The hospitals of this interface by appId. Raises `NeedsOperator` where two have the same one."""
    found: dict[str, erx.Adapter] = {}
    for adapter in city.hospitals.values():
        if isinstance(adapter, erx.Adapter):
            first = found.setdefault(adapter.envelope.app_id, adapter)
            if first is not adapter:
                raise NeedsOperator(f"hospitals/{adapter.slug}/manifest.toml: facts.app_id: is that of {first.slug}; "
                                    "give each hospital its own")
    return found


def sender(known: Mapping[str, erx.Adapter], raw: bytes) -> tuple[erx.Adapter, Node] | None:
    """The hospital whose appId a request names, and the envelope; None if it is nobody's: who could read the answer?

    Nobody is known yet: it costs what looking at the bytes costs.
    """
    try:
        around = erx.around(raw)
    except InvalidPayload:
        return None
    adapter = known.get(around["appId"].text)
    return (adapter, around) if adapter else None


async def take(city: City, adapter: erx.Adapter, transaction: str, around: Node,
               known: Callable[[], None] = lambda: None, turn: Turn = nullcontext) -> Reply:
    """One request as it came, answered. Never raises for what a message says, only what `known` raises: it is called as soon
    as the signature has shown who speaks. `turn` is held while the request is read, and never while a partner is asked.

    What changes anything is archived as it came, once it is known who speaks: nothing can be taken out of the archive.
    """
    try:
        async with turn():
            said = await asyncio.to_thread(adapter.envelope.opened, around, transaction, city.now())
        known()
        if transaction in ("D001", "D003", "D004"):
            await asyncio.to_thread(city.archive.put, around.source.raw)
        if transaction == "D001":
            return await _precheck(city, adapter, said, turn)
        async with turn():
            return await asyncio.to_thread(_DO[transaction], city, adapter, said)
    except InvalidPayload as invalid:
        return await asyncio.to_thread(_refused, city, adapter, list(invalid.findings))
    except Refused as refused:
        log.warning("erx.refused", hospital=adapter.slug, transaction=transaction, code=refused.code)
        findings = erx.findings_json([finding("ERX_SIGNATURE", around["signData"])])
        return await asyncio.to_thread(
            adapter.reply, city.now(), erx.SIGNATURE, "验签不通过", {"extras": {"findings": findings}})
    except (Transient, StaleStatus):
        return await asyncio.to_thread(adapter.reply, city.now(), erx.BUSY, "系统繁忙，请稍后重发", {})


# D001.

async def _precheck(city: City, adapter: erx.Adapter, said: Node, turn: Turn) -> Reply:
    """Everything that is wrong with a prescription, and what the audit would say; numbers for it if it may be uploaded.

    The audit's findings are advice: what counts is the audit after the upload, which is recorded.
    """
    number = erx.hi_rxno(adapter.slug, said["hospRxno"].text)
    digest = hashlib.sha256(said.raw).hexdigest()
    heard = await asyncio.to_thread(_heard, city, adapter, number)
    if heard and heard.sha256 == digest:
        return Reply(heard.answer, heard.answer_status, erx.MEDIA)
    async with turn():
        reading = await asyncio.to_thread(intake.read, city, adapter, erx.compose({"D001": said.raw}), "Bundle")
    message = reading.message
    if message is None or reading.findings:
        return await asyncio.to_thread(_refused, city, adapter, list(reading.findings))
    if heard:
        return await asyncio.to_thread(_changed, city, adapter, heard, said)
    extras: dict[str, Any] = {}
    if message.unmapped:
        extras["unmapped"] = erx.waiting_for(message.unmapped)
    else:
        extras |= await _advice(city, adapter.slug, message)
    answer = await asyncio.to_thread(adapter.reply, city.now(), erx.OK, "预核验通过", {
        "hiRxno": number, "rxTraceCode": erx.trace_code(adapter.slug, said.raw), "extras": extras})
    return await asyncio.to_thread(_remember, city, adapter, number, said.raw, digest, answer)


async def _advice(city: City, hospital: str, message: Message) -> dict[str, Any]:
    """What the audit would find now."""
    admitted = read_bundle_data(message.resource, hospital, city.cipher.patient_id)
    rx, record = admitted.prescription, admitted.patient
    try:
        entitlement = await entitlement_of(city, rx, Identity(record.name, record.id_number))
    except RxError:
        return {"audit": "skipped"}  # whatever keeps the fund from answering is no fault of the prescription
    findings = audit(await asyncio.to_thread(case_of, city, rx, entitlement))
    return {"audit": str(worst(findings) or "pass"),
            "findings": erx.findings_json([finding for finding in findings if finding.severity is not Severity.INFO])}


def _changed(city: City, adapter: erx.Adapter, heard: inbox.Heard, said: Node) -> Reply:
    """The same prescription number with another content: where it differs, never how."""
    findings = [replace(RULES["MESSAGE_CONFLICT"].finding(f"D001.{node.path}"), spot=node.spot)
                for node in erx.differences(read(city.archive.get(heard.archive_key), "D001"), said)]
    return adapter.answer(None, Verdict(Outcome.CONFLICT, city.now(), adapter.slug,
                                        external_id=said["hospRxno"].text, findings=bounded(findings)))


def _remember(city: City, adapter: erx.Adapter, number: str, raw: bytes, digest: str, answer: Reply) -> Reply:
    archive_key = city.archive.put(raw)
    with city.db.transaction("erx.prechecked") as session:
        inbox.take_turns(session, f"{_source(adapter)}/{number}")
        inbox.remember(session, source=_source(adapter), event_id=number, sha256=digest, archive_key=archive_key,
                       at=city.now(), prescription_id=None, answer_status=answer.status, answer=answer.body,
                       media=answer.media)
    # Of two that came at once, one was remembered: both must hear the same.
    heard = _heard(city, adapter, number)
    if heard is None or heard.sha256 != digest:
        raise StaleStatus(f"pre-check {number} is being made by somebody else")
    return Reply(heard.answer, heard.answer_status, erx.MEDIA)


def _heard(city: City, adapter: erx.Adapter, number: str) -> inbox.Heard | None:
    with city.db.reading() as session:
        return inbox.heard(session, _source(adapter), number)


def _prechecked(city: City, adapter: erx.Adapter, said: Node) -> bytes:
    """D001 as it was pre-checked under this hiRxno. Raises `InvalidPayload` if it never was, or if none is said."""
    heard = _heard(city, adapter, said["hiRxno"].text)
    if heard is None:
        wrong = list(faults(said, said.source.name))
        unknown = [finding("ERX_PRECHECK_UNKNOWN", said["hiRxno"])] if filled(said["hiRxno"]) else []
        raise InvalidPayload(bounded([*unknown, *wrong]))
    return city.archive.get(heard.archive_key)


# D002, D003, D004.

def _sign(city: City, adapter: erx.Adapter, said: Node) -> Reply:
    """Our signature of the prescription's fields; the file comes back as it was."""
    wrong = list(faults(said, "D002"))
    original = erx.as_signed(said["originalValue"])
    if original is None:
        wrong.append(finding("ERX_ORIGINAL_VALUE", said["originalValue"]))
    elif read(original, "originalValue")["fixmedinsCode"].text not in ("", said["fixmedinsCode"].text):
        wrong.append(finding("ERX_PARTS_DISAGREE", said["fixmedinsCode"]))
    if not erx.is_document(said["originalRxFile"].text):
        wrong.append(finding("ERX_RX_FILE", said["originalRxFile"]))
    if wrong or original is None:
        return _refused(city, adapter, wrong)
    return adapter.reply(city.now(), erx.OK, "成功", {
        "rxFile": said["originalRxFile"].text, "signDigest": adapter.sign(original),
        "signCertSn": hashlib.sha256(adapter.envelope.app_id.encode()).hexdigest()[:16].upper(),
        "signCertDn": f"CN=Sanyi {city.policy.slug}"})


def _upload(city: City, adapter: erx.Adapter, said: Node) -> Reply:
    """The prescription: what was pre-checked and what is said now, as one message for intake."""
    prechecked = _prechecked(city, adapter, said)
    wrong = []
    if said["rxTraceCode"].text != erx.trace_code(adapter.slug, prechecked):
        wrong.append(finding("ERX_TRACE_CODE", said["rxTraceCode"]))
    if not adapter.signed(erx.original_value(said), said["signDigest"].text):
        wrong.append(finding("ERX_SIGN_DIGEST", said["signDigest"]))
    if not erx.is_document(said["rxFile"].text):
        wrong.append(finding("ERX_RX_FILE", said["rxFile"]))
    message = erx.compose({"D001": prechecked, "D003": said.raw})
    if wrong:
        told = {one.spot for one in wrong}
        more = intake.read(city, adapter, message, "Bundle").findings
        return _refused(city, adapter, bounded([*wrong, *(one for one in more if one.spot not in told)]))
    return _reply(intake.receive(city, adapter.slug, message, expect="Bundle"))


def _revoke(city: City, adapter: erx.Adapter, said: Node) -> Reply:
    message = erx.compose({"D001": _prechecked(city, adapter, said), "D004": said.raw})
    return _reply(intake.receive(city, adapter.slug, message, expect="Task"))


# D005, D006, D007, D008: read only.

@dataclass(frozen=True)
class _Asked:
    """A prescription somebody asks for, who has shown that he knows whose it is."""

    number: str
    d001: Node
    d003: Node | None
    """None until it has been uploaded."""
    id: str
    status: Status | erx.Before


def _asked(city: City, session: Session, adapter: erx.Adapter, said: Node) -> _Asked | None:
    heard = inbox.heard(session, _source(adapter), said["hiRxno"].text)
    if heard is None:
        return None
    raw = city.archive.get(heard.archive_key)
    d001 = read(raw, "D001")
    visit = d001["mdtrtinfo"]
    if any(visit[theirs].text != said[name].text for theirs, name in (
            ("certno", "certno"), ("patnName", "psnName"), ("psnCertType", "psnCertType"), ("mdtrtId", "mdtrtId"),
            ("fixmedinsCode", "fixmedinsCode"))):
        return None
    number = d001["hospRxno"].text
    row = prescriptions.find(session, adapter.slug, number)
    if row is None:
        key = f"{erx.trace_code(adapter.slug, raw)}-{number}"
        waits = mapping_queue.waiting(session, adapter.slug, key) is not None
        return _Asked(said["hiRxno"].text, d001, None, "", erx.Before.WAITING if waits else erx.Before.PRECHECKED)
    parts = read_parts(city.archive.get(row.archive_key))
    return _Asked(said["hiRxno"].text, parts["D001"], parts.get("D003"), row.id, row.status)


Shown = Callable[[City, Session, _Asked], dict[str, Any]]


def _query(transaction: str, show: Shown) -> "Do":
    def do(city: City, adapter: erx.Adapter, said: Node) -> Reply:
        if wrong := bounded(faults(said, transaction)):
            return _refused(city, adapter, wrong)
        with city.db.reading() as session:
            asked = _asked(city, session, adapter, said)
            if asked is None:
                # Whether the number or the person is wrong stays ours.
                return adapter.reply(city.now(), erx.UNKNOWN, "没有该处方，或人员信息不符", {})
            shown = show(city, session, asked)
        return adapter.reply(city.now(), erx.OK, "成功", {
            "hiRxno": asked.number, **erx.rx_status(asked.status), **shown,
            "extras": {"id": asked.id, "status": asked.status}})
    return do


def _detail(city: City, session: Session, asked: _Asked) -> dict[str, Any]:
    """D005: what was uploaded, and where it is."""
    d001, visit = asked.d001, asked.d001["mdtrtinfo"]
    pharmacist = asked.d003 or d001
    taken = _taken(session, asked)
    return {
        **_listed(d001, ""), **erx.used_status(asked.status), "fixmedinsCode": visit["fixmedinsCode"].text,
        "fixmedinsName": visit["fixmedinsName"].text, "reptFlag": d001["reptFlag"].text or "0",
        "rxDetlList": [
            {**_listed(row, "rxDetlList"), "drugProdname": row["drugProdname"].text or row["drugGenname"].text,
             "takeDrugFlag": "1" if line in taken else "0"} for line, row in enumerate(d001["rxdrugdetail"], 1)],
        "rxOtpinfo": {**_listed(visit, "rxOtpinfo"), "insutype": visit["extras"]["insutype"].text,
                      "pharName": pharmacist["pharName"].text, "pharChkTime": pharmacist["pharChkTime"].text},
        "rxDiseList": [_listed(row, "rxDiseList") for row in d001["diseinfo"]],
    }


def _review(city: City, session: Session, asked: _Asked) -> dict[str, Any]:
    """D006: what our pharmacist, or the audit before him, said."""
    review = reviews.get(session, asked.id) if asked.id else None
    decided = review if review and review.decision else None
    opinion = decided.text if decided else ""
    if asked.status == Status.REFUSED and not decided:
        findings = audits.findings(session, asked.id)
        opinion = "；".join(finding.text for finding in findings if finding.severity is Severity.BLOCK)
    return {**erx.check_status(asked.status), "rxChkOpnn": opinion or erx.check_status(asked.status)["rxChkStasName"],
            "pharCode": (decided.pharmacist or "") if decided else "", "pharName": "平台审方药师" if decided else "",
            "rxChkTime": _local(city, decided.decided_at)[:10] if decided and decided.decided_at else ""}


def _dispensed(city: City, session: Session, asked: _Asked) -> dict[str, Any]:
    """D007: what the fund settled, and what the patient took."""
    claimed = list(claims.newest_of(session, asked.id).values()) if asked.id else []
    settled = next((claim.settled for claim in reversed(claimed) if claim.settled), None)
    taken = _taken(session, asked)
    return {
        **erx.used_status(asked.status), "setlTime": settled.day.isoformat() if settled and settled.day else "",
        "seltdelts": [{
            **_listed(row, "seltdelts", "D007"), "drugProdname": row["drugProdname"].text or row["drugGenname"].text,
            "cnt": row["drugCnt"].text, "takeDrugFlag": "1"}
            for line, row in enumerate(asked.d001["rxdrugdetail"], 1) if line in taken]}


def _taken(session: Session, asked: _Asked) -> frozenset[int]:
    """Lines the patient has."""
    placed = orders.of(session, asked.id) if asked.id else []
    return frozenset(line for one in placed for line in by_line(one.kept))


def _catalogue(city: City, adapter: erx.Adapter, said: Node) -> Reply:
    """D008: drugs that may circulate, in the hospital's codes. Its fields are ours: no source prints them."""
    with city.db.reading() as session:
        table = code_map(city, session, adapter.slug).tables.get("drug", {})
    code, name = said["medListCodg"].text, said["drugGenname"].text
    rows = [(theirs, city.knowledge.drugs[ours]) for theirs, ours in sorted(table.items()) if ours in city.knowledge.drugs]
    found = [{"medListCodg": theirs, "drugGenname": drug.name, "drugDosform": drug.form} for theirs, drug in rows
             if (not code or code == theirs) and name in drug.name and drug.special_control == "NONE"]
    page = max(int(number(said["pageNum"]) or 1), 1)
    start = (page - 1) * PAGE
    return adapter.reply(city.now(), erx.OK, "成功", {
        "total": len(found), "pageNum": page, "pageSize": PAGE, "drugList": found[start:start + PAGE]})


Do = Callable[[City, erx.Adapter, Node], Reply]
_DO: Mapping[str, Do] = {
    "D002": _sign, "D003": _upload, "D004": _revoke, "D005": _query("D005", _detail), "D006": _query("D006", _review),
    "D007": _query("D007", _dispensed), "D008": _catalogue,
}


def _listed(node: Node, name: str, transaction: str = "D005") -> dict[str, Any]:
    """What the answer's field table takes over from what was sent."""
    table = next(one for one in tables(transaction, "answer") if one.node == name)
    return {spec.name: node[spec.name].text for spec in table.fields if node[spec.name].text}


def _refused(city: City, adapter: erx.Adapter, findings: list[Finding]) -> Reply:
    return adapter.answer(None, Verdict(Outcome.REFUSED, city.now(), adapter.slug, findings=findings))


def _reply(answer: intake.Answer) -> Reply:
    return Reply(answer.body, answer.status, answer.media)


def _source(adapter: erx.Adapter) -> str:
    return f"erx:{adapter.slug}"


def _local(city: City, at: datetime) -> str:
    return at.astimezone(ZoneInfo(city.policy.timezone)).strftime("%Y-%m-%d %H:%M:%S")

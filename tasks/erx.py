"""What a hospital of the national 电子处方 interface may ask: D001 to D008, each opened, done and answered in one place.

D003 and D004 go to intake. Of the others only a pre-check leaves something: its record in the inbox, by which D003 finds
what it completes.
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
    hospitals: dict[str, erx.Adapter] = {}
    for adapter in city.hospitals.values():
        if isinstance(adapter, erx.Adapter):
            first = hospitals.setdefault(adapter.envelope.app_id, adapter)
            if first is not adapter:
                raise NeedsOperator(f"hospitals/{adapter.slug}/manifest.toml: facts.app_id: is that of {first.slug}; "
                                    "give each hospital its own")
    return hospitals


def sender(hospitals: Mapping[str, erx.Adapter], raw: bytes) -> tuple[erx.Adapter, Node] | None:
    """The hospital whose appId a request names, and the envelope; None if it is no hospital's, which could read no answer.

    The signature is not checked yet: it costs what looking at the bytes costs.
    """
    try:
        around = erx.around(raw)
    except InvalidPayload:
        return None
    adapter = hospitals.get(around["appId"].text)
    return (adapter, around) if adapter else None


async def take(city: City, adapter: erx.Adapter, transaction: str, around: Node,
               signed: Callable[[], None] = lambda: None, turn: Turn = nullcontext) -> Reply:
    """One request as it came, answered. Never raises for what a message says, only what `signed` raises: it is called as soon
    as the signature has shown who speaks. `turn` is held while the request is read, and never while a partner is asked.

    What changes anything is archived as it came, once its signature is checked: nothing can be taken out of the archive.
    """
    try:
        async with turn():
            request = await asyncio.to_thread(adapter.envelope.opened, around, transaction, city.now())
        signed()
        if transaction in ("D001", "D003", "D004"):
            await asyncio.to_thread(city.archive.put, around.source.raw)
        if transaction == "D001":
            return await _precheck(city, adapter, request, turn)
        async with turn():
            return await asyncio.to_thread(_DO[transaction], city, adapter, request)
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

async def _precheck(city: City, adapter: erx.Adapter, request: Node, turn: Turn) -> Reply:
    """Everything that is wrong with a prescription, and what the audit would say; numbers for it if it may be uploaded.

    The audit's findings are advice: what counts is the audit after the upload, which is recorded.
    """
    number = erx.hi_rxno(adapter.slug, request["hospRxno"].text)
    digest = hashlib.sha256(request.raw).hexdigest()
    earlier = await asyncio.to_thread(_earlier, city, adapter, number)
    if earlier and earlier.sha256 == digest:
        return Reply(earlier.answer, earlier.answer_status, erx.MEDIA)
    async with turn():
        reading = await asyncio.to_thread(intake.read, city, adapter, erx.compose({"D001": request.raw}), "Bundle")
    message = reading.message
    if message is None or reading.findings:
        return await asyncio.to_thread(_refused, city, adapter, list(reading.findings))
    if earlier:
        return await asyncio.to_thread(_changed, city, adapter, earlier, request)
    extras: dict[str, Any] = {}
    if message.unmapped:
        extras["unmapped"] = erx.waiting_for(message.unmapped)
    else:
        extras |= await _advice(city, adapter.slug, message)
    answer = await asyncio.to_thread(adapter.reply, city.now(), erx.OK, "预核验通过", {
        "hiRxno": number, "rxTraceCode": erx.trace_code(adapter.slug, request.raw), "extras": extras})
    return await asyncio.to_thread(_remember, city, adapter, number, request.raw, digest, answer)


async def _advice(city: City, hospital: str, message: Message) -> dict[str, Any]:
    """What the audit would find now."""
    admitted = read_bundle_data(message.resource, hospital, city.cipher.patient_id)
    rx, record = admitted.prescription, admitted.patient
    try:
        entitlement = await entitlement_of(city, rx, Identity(record.name, record.id_number))
    except RxError:
        return {"audit": "skipped"}  # the fund does not answer, which is no fault of the prescription
    findings = audit(await asyncio.to_thread(case_of, city, rx, entitlement))
    return {"audit": str(worst(findings) or "pass"),
            "findings": erx.findings_json([finding for finding in findings if finding.severity is not Severity.INFO])}


def _changed(city: City, adapter: erx.Adapter, earlier: inbox.Earlier, request: Node) -> Reply:
    """The same prescription number with another content: where it differs, never how."""
    findings = [replace(RULES["MESSAGE_CONFLICT"].finding(f"D001.{node.path}"), spot=node.spot)
                for node in erx.differences(read(city.archive.get(earlier.archive_key), "D001"), request)]
    return adapter.answer(None, Verdict(Outcome.CONFLICT, city.now(), adapter.slug,
                                        external_id=request["hospRxno"].text, findings=bounded(findings)))


def _remember(city: City, adapter: erx.Adapter, number: str, raw: bytes, digest: str, answer: Reply) -> Reply:
    archive_key = city.archive.put(raw)
    with city.db.transaction("erx.prechecked") as session:
        inbox.take_turns(session, f"{_source(adapter)}/{number}")
        inbox.remember(session, source=_source(adapter), event_id=number, sha256=digest, archive_key=archive_key,
                       at=city.now(), prescription_id=None, answer_status=answer.status, answer=answer.body,
                       media=answer.media)
    # Of two that came at once, one was remembered: both must get the same answer.
    earlier = _earlier(city, adapter, number)
    if earlier is None or earlier.sha256 != digest:
        raise StaleStatus(f"pre-check {number} is being made by another request")
    return Reply(earlier.answer, earlier.answer_status, erx.MEDIA)


def _earlier(city: City, adapter: erx.Adapter, number: str) -> inbox.Earlier | None:
    with city.db.reading() as session:
        return inbox.earlier(session, _source(adapter), number)


def _prechecked(city: City, adapter: erx.Adapter, request: Node) -> bytes:
    """D001 as it was pre-checked under this hiRxno. Raises `InvalidPayload` if it never was, or if none is said."""
    earlier = _earlier(city, adapter, request["hiRxno"].text)
    if earlier is None:
        wrong = list(faults(request, request.source.name))
        unknown = [finding("ERX_PRECHECK_UNKNOWN", request["hiRxno"])] if filled(request["hiRxno"]) else []
        raise InvalidPayload(bounded([*unknown, *wrong]))
    return city.archive.get(earlier.archive_key)


# D002, D003, D004.

def _sign(city: City, adapter: erx.Adapter, request: Node) -> Reply:
    """Our signature of the prescription's fields; the file comes back as it was."""
    wrong = list(faults(request, "D002"))
    original = erx.as_signed(request["originalValue"])
    if original is None:
        wrong.append(finding("ERX_ORIGINAL_VALUE", request["originalValue"]))
    elif read(original, "originalValue")["fixmedinsCode"].text not in ("", request["fixmedinsCode"].text):
        wrong.append(finding("ERX_PARTS_DISAGREE", request["fixmedinsCode"]))
    if not erx.is_document(request["originalRxFile"].text):
        wrong.append(finding("ERX_RX_FILE", request["originalRxFile"]))
    if wrong or original is None:
        return _refused(city, adapter, wrong)
    return adapter.reply(city.now(), erx.OK, "成功", {
        "rxFile": request["originalRxFile"].text, "signDigest": adapter.sign(original),
        "signCertSn": hashlib.sha256(adapter.envelope.app_id.encode()).hexdigest()[:16].upper(),
        "signCertDn": f"CN=Sanyi {city.policy.slug}"})


def _upload(city: City, adapter: erx.Adapter, request: Node) -> Reply:
    """The prescription: what was pre-checked and what is said now, as one message for intake."""
    prechecked = _prechecked(city, adapter, request)
    wrong = []
    if request["rxTraceCode"].text != erx.trace_code(adapter.slug, prechecked):
        wrong.append(finding("ERX_TRACE_CODE", request["rxTraceCode"]))
    if not adapter.signed(erx.original_value(request), request["signDigest"].text):
        wrong.append(finding("ERX_SIGN_DIGEST", request["signDigest"]))
    if not erx.is_document(request["rxFile"].text):
        wrong.append(finding("ERX_RX_FILE", request["rxFile"]))
    message = erx.compose({"D001": prechecked, "D003": request.raw})
    if wrong:
        spots = {finding.spot for finding in wrong}
        more = intake.read(city, adapter, message, "Bundle").findings
        return _refused(city, adapter, bounded([*wrong, *(finding for finding in more if finding.spot not in spots)]))
    return _reply(intake.receive(city, adapter.slug, message, expect="Bundle"))


def _revoke(city: City, adapter: erx.Adapter, request: Node) -> Reply:
    message = erx.compose({"D001": _prechecked(city, adapter, request), "D004": request.raw})
    return _reply(intake.receive(city, adapter.slug, message, expect="Task"))


# D005, D006, D007, D008: read only.

@dataclass(frozen=True)
class _Subject:
    """The prescription of a query whose sender has named its patient and visit rightly."""

    number: str
    d001: Node
    d003: Node | None
    """None until it has been uploaded."""
    id: str
    status: Status | erx.Before


def _subject(city: City, session: Session, adapter: erx.Adapter, request: Node) -> _Subject | None:
    earlier = inbox.earlier(session, _source(adapter), request["hiRxno"].text)
    if earlier is None:
        return None
    raw = city.archive.get(earlier.archive_key)
    d001 = read(raw, "D001")
    visit = d001["mdtrtinfo"]
    if any(visit[theirs].text != request[name].text for theirs, name in (
            ("certno", "certno"), ("patnName", "psnName"), ("psnCertType", "psnCertType"), ("mdtrtId", "mdtrtId"),
            ("fixmedinsCode", "fixmedinsCode"))):
        return None
    number = d001["hospRxno"].text
    row = prescriptions.find(session, adapter.slug, number)
    if row is None:
        key = f"{erx.trace_code(adapter.slug, raw)}-{number}"
        waits = mapping_queue.waiting(session, adapter.slug, key) is not None
        return _Subject(request["hiRxno"].text, d001, None, "", erx.Before.WAITING if waits else erx.Before.PRECHECKED)
    parts = read_parts(city.archive.get(row.archive_key))
    return _Subject(request["hiRxno"].text, parts["D001"], parts.get("D003"), row.id, row.status)


Shown = Callable[[City, Session, _Subject], dict[str, Any]]


def _query(transaction: str, show: Shown) -> "Do":
    def do(city: City, adapter: erx.Adapter, request: Node) -> Reply:
        if wrong := bounded(faults(request, transaction)):
            return _refused(city, adapter, wrong)
        with city.db.reading() as session:
            subject = _subject(city, session, adapter, request)
            if subject is None:
                # Whether the number or the person is wrong stays ours.
                return adapter.reply(city.now(), erx.UNKNOWN, "没有该处方，或人员信息不符", {})
            shown = show(city, session, subject)
        return adapter.reply(city.now(), erx.OK, "成功", {
            "hiRxno": subject.number, **erx.rx_status(subject.status), **shown,
            "extras": {"id": subject.id, "status": subject.status}})
    return do


def _detail(city: City, session: Session, subject: _Subject) -> dict[str, Any]:
    """D005: what was uploaded, and where it is."""
    d001, visit = subject.d001, subject.d001["mdtrtinfo"]
    pharmacist = subject.d003 or d001
    taken = _taken(session, subject)
    return {
        **_listed(d001, ""), **erx.used_status(subject.status), "fixmedinsCode": visit["fixmedinsCode"].text,
        "fixmedinsName": visit["fixmedinsName"].text, "reptFlag": d001["reptFlag"].text or "0",
        "rxDetlList": [
            {**_listed(row, "rxDetlList"), "drugProdname": row["drugProdname"].text or row["drugGenname"].text,
             "takeDrugFlag": "1" if line in taken else "0"} for line, row in enumerate(d001["rxdrugdetail"], 1)],
        "rxOtpinfo": {**_listed(visit, "rxOtpinfo"), "insutype": visit["extras"]["insutype"].text,
                      "pharName": pharmacist["pharName"].text, "pharChkTime": pharmacist["pharChkTime"].text},
        "rxDiseList": [_listed(row, "rxDiseList") for row in d001["diseinfo"]],
    }


def _review(city: City, session: Session, subject: _Subject) -> dict[str, Any]:
    """D006: what our pharmacist, or the audit before him, said."""
    review = reviews.get(session, subject.id) if subject.id else None
    decided = review if review and review.decision else None
    opinion = decided.text if decided else ""
    if subject.status == Status.REFUSED and not decided:
        findings = audits.findings(session, subject.id)
        opinion = "；".join(finding.text for finding in findings if finding.severity is Severity.BLOCK)
    return {**erx.check_status(subject.status), "rxChkOpnn": opinion or erx.check_status(subject.status)["rxChkStasName"],
            "pharCode": (decided.pharmacist or "") if decided else "", "pharName": "平台审方药师" if decided else "",
            "rxChkTime": _local(city, decided.decided_at)[:10] if decided and decided.decided_at else ""}


def _dispensed(city: City, session: Session, subject: _Subject) -> dict[str, Any]:
    """D007: what the fund settled, and what the patient took."""
    claimed = list(claims.newest_of(session, subject.id).values()) if subject.id else []
    settled = next((claim.settled for claim in reversed(claimed) if claim.settled), None)
    taken = _taken(session, subject)
    return {
        **erx.used_status(subject.status), "setlTime": settled.day.isoformat() if settled and settled.day else "",
        "seltdelts": [{
            **_listed(row, "seltdelts", "D007"), "drugProdname": row["drugProdname"].text or row["drugGenname"].text,
            "cnt": row["drugCnt"].text, "takeDrugFlag": "1"}
            for line, row in enumerate(subject.d001["rxdrugdetail"], 1) if line in taken]}


def _taken(session: Session, subject: _Subject) -> frozenset[int]:
    """Lines the patient has."""
    placed = orders.of(session, subject.id) if subject.id else []
    return frozenset(line for order in placed for line in by_line(order.kept))


def _catalogue(city: City, adapter: erx.Adapter, request: Node) -> Reply:
    """D008: drugs that may circulate, in the hospital's codes. Its fields are ours: no source prints them."""
    with city.db.reading() as session:
        table = code_map(city, session, adapter.slug).tables.get("drug", {})
    code, name = request["medListCodg"].text, request["drugGenname"].text
    rows = [(theirs, city.knowledge.drugs[ours]) for theirs, ours in sorted(table.items()) if ours in city.knowledge.drugs]
    drugs = [{"medListCodg": theirs, "drugGenname": drug.name, "drugDosform": drug.form} for theirs, drug in rows
             if (not code or code == theirs) and name in drug.name and drug.special_control == "NONE"]
    page = max(int(number(request["pageNum"]) or 1), 1)
    start = (page - 1) * PAGE
    return adapter.reply(city.now(), erx.OK, "成功", {
        "total": len(drugs), "pageNum": page, "pageSize": PAGE, "drugList": drugs[start:start + PAGE]})


Do = Callable[[City, erx.Adapter, Node], Reply]
_DO: Mapping[str, Do] = {
    "D002": _sign, "D003": _upload, "D004": _revoke, "D005": _query("D005", _detail), "D006": _query("D006", _review),
    "D007": _query("D007", _dispensed), "D008": _catalogue,
}


def _listed(node: Node, name: str, transaction: str = "D005") -> dict[str, Any]:
    """What the answer's field table takes over from what was sent."""
    table = next(fields for fields in tables(transaction, "answer") if fields.node == name)
    return {spec.name: node[spec.name].text for spec in table.fields if node[spec.name].text}


def _refused(city: City, adapter: erx.Adapter, findings: list[Finding]) -> Reply:
    return adapter.answer(None, Verdict(Outcome.REFUSED, city.now(), adapter.slug, findings=findings))


def _reply(answer: intake.Answer) -> Reply:
    return Reply(answer.body, answer.status, answer.media)


def _source(adapter: erx.Adapter) -> str:
    return f"erx:{adapter.slug}"


def _local(city: City, at: datetime) -> str:
    return at.astimezone(ZoneInfo(city.policy.timezone)).strftime("%Y-%m-%d %H:%M:%S")

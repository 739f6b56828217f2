"""A message from a hospital: archive it, put it into FHIR, answer it, remember the answer."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from adapters.messages import Message, Outcome, Verdict
from adapters.protocols import Hospital
from domain.errors import InvalidPayload, StaleStatus
from domain.findings import Finding
from domain.lifecycle import FINAL, Status
from fhir_profiles import answers
from fhir_profiles.catalogue import RULES
from fhir_profiles.checker import check_data
from fhir_profiles.reader import Admitted, CancelRequest, read_bundle_data, read_cancel_data
from infra.db import Session, history, inbox, prescriptions
from infra.db import mapping as mapping_queue
from infra.log import get_logger
from tasks import ends, reports
from tasks.city import City, code_map

log = get_logger(__name__)

MAX_CODE = 40
_PERSONAL = re.compile(r"(?<![0-9])(?:[1-9][0-9]{16}[0-9Xx]|1[0-9]{10})(?![0-9])")
"""A resident's number, or a mobile phone's."""


@dataclass(frozen=True)
class Answer:
    """An answer in the hospital's own words, stored as it was first given."""

    status: int
    """Where the transport has one (HTTP)."""
    body: bytes = field(repr=False)
    replayed: bool = False
    media: str = "application/fhir+json"


def receive(city: City, hospital: str, raw: bytes, *, expect: str = "") -> Answer:
    """Take in a message of a hospital as sent (contract 1), and answer it.

    The raw bytes are archived before anything else can fail. The same key and bytes again give the stored answer; the
    same key and other bytes a conflict naming what differs. With codes nobody has mapped it waits, and nothing else
    does. `expect` is the kind (`Bundle` or `Task`) a door is for. Never raises for what a message says.
    """
    archive_key = city.archive.put(raw)
    sha256 = hashlib.sha256(raw).hexdigest()
    adapter = city.hospitals[hospital]
    # Two tries: whoever loses the race for a key finds the winner's answer the second time.
    for _ in range(2):
        with city.db.transaction("message.received") as session:
            message, findings = _read(city, session, adapter, raw, expect)
            # Without a key nothing can be repeated; the bytes' own digest keeps the message findable. Nor is a person's
            # number a key: keys stand in logs and addresses.
            key = message.key if message and message.key and not _PERSONAL.search(message.key) else f"sha256-{sha256}"
            source = f"hospital:{hospital}"
            inbox.take_turns(session, f"{source}/{key}")
            heard = inbox.heard(session, source, key)
            if heard and heard.sha256 == sha256:
                return Answer(heard.answer_status, heard.answer, replayed=True, media=heard.media)
            if heard:
                verdict = Verdict(Outcome.CONFLICT, city.now(), hospital, findings=_conflict(
                    _different(city, session, adapter, heard.archive_key, message)))
                return _answer(adapter, message, verdict)
            verdict = _decide(city, session, hospital, message, findings, key, archive_key)
            answer = _answer(adapter, message, verdict)
            if inbox.remember(session, source=source, event_id=key, sha256=sha256, archive_key=archive_key,
                              at=city.now(), prescription_id=verdict.prescription_id or None,
                              answer_status=answer.status, answer=answer.body, media=answer.media):
                log.info("message.received", hospital=hospital, key=key, outcome=verdict.outcome,
                         prescription=verdict.prescription_id)
                return answer
            session.rollback()
    raise StaleStatus(f"message {key} is being received by somebody else")


def receive_prescription(city: City, hospital: str, raw: bytes) -> Answer:
    """`receive` at a door for prescriptions (contract 1.1)."""
    return receive(city, hospital, raw, expect="Bundle")


def receive_cancel(city: City, hospital: str, raw: bytes) -> Answer:
    """`receive` at a door for cancels (contract 1.2). One may arrive before its prescription: then it waits for it."""
    return receive(city, hospital, raw, expect="Task")


def stored_answer(city: City, hospital: str, key: str) -> Answer | None:
    """What we answered under this key: for a sender that lost our answer."""
    with city.db.reading() as session:
        heard = inbox.heard(session, f"hospital:{hospital}", key)
    return Answer(heard.answer_status, heard.answer, replayed=True, media=heard.media) if heard else None


def raw_message(city: City, hospital: str, key: str) -> bytes | None:
    """The message that came under this key, as it was sent."""
    with city.db.reading() as session:
        heard = inbox.heard(session, f"hospital:{hospital}", key)
    return city.archive.get(heard.archive_key) if heard else None


def take_waiting(city: City, hospital: str, key: str) -> Verdict | None:
    """Take up a message that waited for its codes; what became of it goes to the hospital as a report.

    None if codes are still missing, or if it does not wait any more.
    """
    with city.db.transaction("message.mapped") as session:
        inbox.take_turns(session, f"hospital:{hospital}/{key}")
        archive_key = mapping_queue.waiting(session, hospital, key)
        if archive_key is None:
            return None
        message, findings = _read(city, session, city.hospitals[hospital], city.archive.get(archive_key), "")
        if message is not None and message.unmapped:
            return None
        verdict = _decide(city, session, hospital, message, findings, key, archive_key)
        mapping_queue.settle(session, hospital, key)
        reports.answer_late(session, city, key, message, verdict)
    log.info("message.mapped", hospital=hospital, key=key, outcome=verdict.outcome, prescription=verdict.prescription_id)
    return verdict


def preview(city: City, hospital: str, raw: bytes) -> tuple[Admitted | None, Sequence[Finding]]:
    """What `receive` would make of a message; nothing is kept. The prescription, or every finding."""
    with city.db.reading() as session:
        message, findings = _read(city, session, city.hospitals[hospital], raw, "Bundle")
    if message is not None:
        findings = _check(message, hospital)
    if message is None or findings:
        return None, findings
    return read_bundle_data(message.resource, hospital, city.cipher.patient_id), ()


def _read(city: City, session: Session, adapter: Hospital, raw: bytes, expect: str
          ) -> tuple[Message | None, list[Finding]]:
    try:
        message = adapter.to_fhir(raw, code_map(city, session, adapter.slug))
    except InvalidPayload as invalid:
        return None, list(invalid.findings)
    if expect and message.kind != expect:
        return None, [RULES["MSG_WRONG_RESOURCE"].finding(expect)]
    return message, []


def _decide(city: City, session: Session, hospital: str, message: Message | None, findings: Sequence[Finding],
            key: str, archive_key: str) -> Verdict:
    if message is not None:
        findings = [*findings, *_check(message, hospital)]
    if message is None or findings:
        return Verdict(Outcome.REFUSED, city.now(), hospital, findings=findings)
    if message.unmapped:
        mapping_queue.park(session, hospital, key, archive_key=archive_key, unmapped=message.unmapped, at=city.now())
        return Verdict(Outcome.WAITING, city.now(), hospital, unmapped=message.unmapped)
    take = _cancel if message.kind == "Task" else _admit
    return take(city, session, hospital, message, archive_key)


def _a_code(theirs: str) -> bool:
    """Whether it may stand for something: a shifted column brings anything where a code should be."""
    return 0 < len(theirs) <= MAX_CODE and not _PERSONAL.search(theirs)


def _check(message: Message, hospital: str) -> list[Finding]:
    """Everything wrong with what a message says, each finding with its place in the file as sent.

    What the dialect found, codes that can never be mapped, and what the checker finds elsewhere: at a place of which
    something is said already, or of a code that nobody has mapped, it could only repeat the consequence.
    """
    # Not into the queue, where people would read it.
    unusable = [replace(RULES["CODE_UNUSABLE"].finding(message.kind), spot=one.spot)
                for one in message.unmapped if not _a_code(one.theirs)]
    own = [*message.findings, *unusable]
    told = {spot for spot in (*(finding.spot for finding in own), *(one.spot for one in message.unmapped)) if spot}
    checked = (replace(finding, spot=finding.spot or message.locate(finding.path))
               for finding in check_data(message.resource, hospital))
    return [*own, *(finding for finding in checked if finding.spot not in told)]


def _answer(adapter: Hospital, message: Message | None, verdict: Verdict) -> Answer:
    reply = adapter.answer(message, verdict)
    return Answer(reply.status, reply.body, media=reply.media)


def _conflict(paths: Sequence[str]) -> list[Finding]:
    return [RULES["MESSAGE_CONFLICT"].finding(path) for path in paths]


def _different(city: City, session: Session, adapter: Hospital, archive_key: str, message: Message | None) -> list[str]:
    """Where a message differs from the one that came first under its key."""
    first, _ = _read(city, session, adapter, city.archive.get(archive_key), "")
    if first is None or message is None or first.kind != message.kind:
        return ["Resource"]
    return answers.differences(first.resource, message.resource)


def _admit(city: City, session: Session, hospital: str, message: Message, archive_key: str) -> Verdict:
    admitted: Admitted = read_bundle_data(message.resource, hospital, city.cipher.patient_id)
    rx = admitted.prescription
    inbox.take_turns(session, f"prescription/{hospital}/{rx.external_id}")  # its cancel may cross it
    if first := prescriptions.find(session, hospital, rx.external_id):
        return Verdict(Outcome.CONFLICT, city.now(), hospital, first.id, rx.external_id, first.status, findings=_conflict(
            ["Bundle.entry.resource.ofType(MedicationRequest).groupIdentifier"]))
    record = admitted.patient
    person = {
        "name": record.name, "id_number": record.id_number, "birth_date": record.birth_date.isoformat(),
        "phone": record.phone, "address": record.address, "credential": record.credential,
        "guardian_name": record.guardian_name, "guardian_id_number": record.guardian_id_number}
    sealed = city.cipher.seal(json.dumps(person, ensure_ascii=False), f"patient/{rx.id}")
    head = prescriptions.admit(session, rx, patient_sealed=sealed, archive_key=archive_key, at=city.now(),
                               message=admitted.key)
    status = Status.RECEIVED
    if reason := inbox.cancel_wished(session, hospital, rx.external_id):
        status = ends.cancel(session, city, head, rx, reason)
    return Verdict(Outcome.ACCEPTED, city.now(), hospital, rx.id, rx.external_id, status)


def _cancel(city: City, session: Session, hospital: str, message: Message, archive_key: str) -> Verdict:
    wish: CancelRequest = read_cancel_data(message.resource)
    inbox.take_turns(session, f"prescription/{hospital}/{wish.external_id}")
    inbox.wish_to_cancel(session, hospital, wish.external_id, wish.reason, city.now())
    row = prescriptions.find(session, hospital, wish.external_id)
    if row is None:
        return Verdict(Outcome.ACCEPTED, city.now(), hospital, "", wish.external_id, "cancelling")
    loaded = prescriptions.load(session, row.id)
    if loaded.status is Status.CANCELLED:
        outcome = "cancelled"
    elif loaded.status in FINAL or loaded.status in (Status.FULFILLED, Status.SETTLED):
        outcome = "too-late"
    elif loaded.status in (Status.ALLOCATING, Status.FULFILLING):
        # A chain may hold stock for it: the worker must ask the chain before it is cancelled.
        history.append(session, loaded.head, actor=f"hospital:{hospital}", reason="cancel requested", at=city.now(),
                       wake_at=city.now(), waiting_for="cancel", detail={"reason": wish.reason},
                       cancel_reason=wish.reason)
        outcome = "cancelling"
    else:
        ends.cancel(session, city, loaded.head, loaded.prescription, wish.reason)
        outcome = "cancelled"
    return Verdict(Outcome.ACCEPTED, city.now(), hospital, row.id, wish.external_id, outcome)

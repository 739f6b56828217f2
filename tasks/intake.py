"""A message from a hospital: archive it, put it into FHIR, answer it, remember the answer."""

import hashlib
import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from adapters.mapping import CodeMap
from adapters.messages import Message, Outcome, Unmapped, Verdict
from adapters.protocols import Hospital
from domain.errors import InvalidPayload, StaleStatus
from domain.findings import Finding
from domain.fulfilment.wishes import WishKind
from domain.lifecycle import Notice, Status
from fhir_profiles import answers
from fhir_profiles.catalogue import RULES
from fhir_profiles.checker import check_data
from fhir_profiles.message import members, text
from fhir_profiles.reader import Admitted, CancelRequest, read_bundle_data, read_cancel_data
from infra.db import Session, inbox, prescriptions, wishes
from infra.db import mapping as mapping_queue
from infra.log import get_logger
from tasks import closing, reports
from tasks.city import City, code_map

log = get_logger(__name__)

MAX_CODE = 40
MAX_NAME = 100
"""Characters of what a hospital calls its code (interface: generic name C100)."""
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

    The raw bytes are archived before anything else can fail. The same key and bytes again give the stored answer. The
    same key and other bytes are a conflict, which names what differs; or the correction of a refused message, and are
    taken. With codes that are not mapped it waits, and nothing else does. `expect` is the kind (`Bundle` or `Task`) a
    door is for. Never raises for what a message says; `StaleStatus` if others are at the same key.
    """
    arrived, archive_key = city.now(), city.archive.put(raw)
    sha256 = hashlib.sha256(raw).hexdigest()
    adapter = city.hospitals[hospital]
    source = f"hospital:{hospital}"
    # Three tries: who loses the race for a key finds the winner's answer the next time, and a code may be mapped meanwhile.
    for _ in range(3):
        # Reading and checking come before the write transaction: no other sender waits for them.
        reading = read(city, adapter, raw, expect)
        message = reading.message
        # Without a key nothing can be repeated; the bytes' own digest keeps the message findable. Nor is a person's
        # number a key: keys stand in logs and addresses.
        key = message.key if message and message.key and not _PERSONAL.search(message.key) else f"sha256-{sha256}"
        with city.db.transaction("message.received") as session:
            inbox.take_turns(session, f"{source}/{key}")
            earlier = inbox.earlier(session, source, key, sha256)
            if earlier is None or (earlier.refused and earlier.sha256 != sha256):
                if _mapped_meanwhile(city, session, hospital, reading):
                    continue
                if earlier is not None:
                    inbox.set_aside(session, source, key, earlier.sha256)
                verdict = _decide(city, session, hospital, reading, key, archive_key, arrived)
                answer = _answer(adapter, message, verdict)
                if inbox.remember(session, source=source, event_id=key, sha256=sha256, archive_key=archive_key,
                                  at=city.now(), prescription_id=verdict.prescription_id or None,
                                  answer_status=answer.status, answer=answer.body, media=answer.media,
                                  refused=verdict.outcome is Outcome.REFUSED):
                    log.info("message.received", hospital=hospital, key=key, outcome=verdict.outcome,
                             prescription=verdict.prescription_id)
                    return answer
                session.rollback()
                continue
        if earlier.sha256 == sha256:
            return Answer(earlier.answer_status, earlier.answer, replayed=True, media=earlier.media)
        return _answer(adapter, message, Verdict(Outcome.CONFLICT, city.now(), hospital, findings=_conflict(
            _different(city, adapter, earlier.archive_key, message))))
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
        earlier = inbox.earlier(session, f"hospital:{hospital}", key)
    return Answer(earlier.answer_status, earlier.answer, replayed=True, media=earlier.media) if earlier else None


def where_is(city: City, hospital: str, number: str) -> prescriptions.Located | None:
    """A hospital's prescription by the hospital's own number; None for one that was not admitted."""
    with city.db.reading() as session:
        return prescriptions.find(session, hospital, number)


def raw_message(city: City, hospital: str, key: str) -> bytes | None:
    """The message that came under this key, as it was sent."""
    with city.db.reading() as session:
        earlier = inbox.earlier(session, f"hospital:{hospital}", key)
    return city.archive.get(earlier.archive_key) if earlier else None


def take_waiting(city: City, hospital: str, key: str) -> Verdict | None:
    """Take up a message that waited for its codes; what became of it goes to the hospital as a report.

    None if codes are still missing, or if it does not wait any more.
    """
    with city.db.reading() as session:
        archive_key = mapping_queue.waiting(session, hospital, key)
    if archive_key is None:
        return None
    reading = read(city, city.hospitals[hospital], city.archive.get(archive_key), "")
    if reading.message is not None and reading.message.unmapped and not reading.findings:
        return None
    with city.db.transaction("message.mapped") as session:
        inbox.take_turns(session, f"hospital:{hospital}/{key}")
        if mapping_queue.waiting(session, hospital, key) != archive_key:
            return None
        arrived = mapping_queue.arrived(session, hospital, key)
        verdict = _decide(city, session, hospital, reading, key, archive_key, arrived)
        mapping_queue.take(session, hospital, key)
        if verdict.outcome is Outcome.REFUSED:
            inbox.refuse(session, f"hospital:{hospital}", key)
        reports.answer_late(session, city, key, reading.message, verdict)
    log.info("message.mapped", hospital=hospital, key=key, outcome=verdict.outcome, prescription=verdict.prescription_id)
    return verdict


def preview(city: City, hospital: str, raw: bytes) -> tuple[Admitted | None, Sequence[Finding]]:
    """What `receive` would make of a message; nothing is kept. The prescription, or every finding."""
    reading = read(city, city.hospitals[hospital], raw, "Bundle")
    if reading.message is None or reading.findings:
        return None, reading.findings
    if reading.message.unmapped:
        return None, [replace(RULES["CODE_UNMAPPED"].finding(reading.message.kind), spot=code.spot)
                      for code in reading.message.unmapped]
    return read_bundle_data(reading.message.resource, hospital, city.cipher.patient_id), ()


@dataclass(frozen=True)
class Reading:
    """A message as it was understood, with everything that is wrong with what it says."""

    message: Message | None
    """None if nothing could be read."""
    findings: Sequence[Finding]
    codes: CodeMap
    """What the hospital's codes stood for then."""


def read(city: City, adapter: Hospital, raw: bytes, expect: str) -> Reading:
    """A message and everything wrong with it, before anything is decided. `expect` is a kind, or empty for any."""
    with city.db.reading() as session:
        codes = code_map(city, session, adapter.slug)
    try:
        message = adapter.to_fhir(raw, codes)
    except InvalidPayload as invalid:
        return Reading(None, list(invalid.findings), codes)
    if expect and message.kind != expect:
        # With its place, by which the dialect knows what the message came in.
        return Reading(None, [replace(RULES["MSG_WRONG_RESOURCE"].finding(expect), spot=message.locate(message.kind))], codes)
    return Reading(message, check(message, adapter.slug, city.policy.institutions(adapter.slug)), codes)


def _mapped_meanwhile(city: City, session: Session, hospital: str, reading: Reading) -> bool:
    """Whether a code it would wait for has been mapped since it was read: no mapping would take it up any more."""
    if reading.message is None or not reading.message.unmapped or reading.findings:
        return False
    codes = code_map(city, session, hospital)
    return any(codes.ours(code.table, code.theirs) != reading.codes.ours(code.table, code.theirs)
               for code in reading.message.unmapped)


def _decide(city: City, session: Session, hospital: str, reading: Reading, key: str, archive_key: str,
            arrived: datetime) -> Verdict:
    message = reading.message
    if message is None or reading.findings:
        return Verdict(Outcome.REFUSED, city.now(), hospital, findings=reading.findings)
    if message.unmapped:
        mapping_queue.park(session, hospital, key, archive_key=archive_key, unmapped=message.unmapped, at=city.now())
        return Verdict(Outcome.WAITING, city.now(), hospital, unmapped=message.unmapped)
    if message.kind == "Task":
        return _cancel(city, session, hospital, message)
    return _admit(city, session, hospital, message, archive_key, arrived)


def check(message: Message, hospital: str, institutions: Collection[str] = ()) -> list[Finding]:
    """Everything wrong with what a message says, each finding with its place in the file as sent.

    `institutions` are the codes the hospital may prescribe under, none if the city does not say.

    They are what the dialect found, codes that can never be mapped, and what the checker finds elsewhere. At the place of
    another finding, or of a code that is not mapped, the checker could only repeat the consequence.
    """
    people = _names(message)
    unusable = [replace(RULES["CODE_UNUSABLE"].finding(message.kind), spot=code.spot)
                for code in message.unmapped if not _may_be_mapped(code, people)]
    own = [*message.findings, *unusable]
    spots = {spot for spot in (*(finding.spot for finding in own), *(code.spot for code in message.unmapped)) if spot}
    checked = (replace(finding, spot=finding.spot or message.locate(finding.path))
               for finding in check_data(message.resource, hospital, institutions))
    # What all items share stands in one place: it is wrong once.
    once = {(finding.code, finding.spot or finding.path): finding for finding in reversed(
        [finding for finding in checked if finding.spot not in spots])}
    return [*own, *reversed(once.values())]


def _may_be_mapped(code: Unmapped, people: Collection[str]) -> bool:
    """Whether people may read it in the mapping queue: a shifted column brings anything where a code should be."""
    return (0 < len(code.theirs) <= MAX_CODE and len(code.name) <= MAX_NAME
            and not any(has_personal_number(words) or any(name in words for name in people)
                        for words in (code.theirs, code.name)))


def has_personal_number(words: str) -> bool:
    """Whether a resident's number or a mobile phone's is in a text."""
    return _PERSONAL.search(words) is not None


def _names(message: Message) -> list[str]:
    """What the patient and a guardian are called."""
    people = (entry["resource"] for entry in members(message.resource, "entry")
              if text(entry, "resource", "resourceType") in ("Patient", "RelatedPerson"))
    spelled = (text(name, "text") for person in people for name in members(person, "name"))
    return [name for name in spelled if len(name) > 1]


def _answer(adapter: Hospital, message: Message | None, verdict: Verdict) -> Answer:
    reply = adapter.answer(message, verdict)
    return Answer(reply.status, reply.body, media=reply.media)


def _conflict(paths: Sequence[str]) -> list[Finding]:
    return [RULES["MESSAGE_CONFLICT"].finding(path) for path in paths]


def _different(city: City, adapter: Hospital, archive_key: str, message: Message | None) -> list[str]:
    """Where a message differs from the one that came first under its key."""
    first = read(city, adapter, city.archive.get(archive_key), "").message
    if first is None or message is None or first.kind != message.kind:
        return ["Resource"]
    return answers.differences(first.resource, message.resource)


def _admit(city: City, session: Session, hospital: str, message: Message, archive_key: str, arrived: datetime) -> Verdict:
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
                               message=admitted.key, arrived=arrived)
    status = Status.RECEIVED
    if wished := wishes.numbered(session, hospital, rx.external_id):
        wishes.admit(session, hospital, rx.external_id, rx.id)
        status = closing.cancel(session, city, head, rx, wished[0].reason, by=wished[0].by)
    return Verdict(Outcome.ACCEPTED, city.now(), hospital, rx.id, rx.external_id, status)


def _cancel(city: City, session: Session, hospital: str, message: Message) -> Verdict:
    request: CancelRequest = read_cancel_data(message.resource)
    inbox.take_turns(session, f"prescription/{hospital}/{request.external_id}")
    row = prescriptions.find(session, hospital, request.external_id)
    by = f"hospital:{hospital}"
    if row:
        answer = closing.ask_to_cancel(session, city, prescriptions.load(session, row.id), by=by, reason=request.reason)
    else:
        answer = Notice.CANCELLING
        wishes.make(session, hospital, request.external_id, prescription_id=None, kind=WishKind.CANCEL, by=by,
                    reason=request.reason, at=city.now())
    return Verdict(Outcome.ACCEPTED, city.now(), hospital, row.id if row else "", request.external_id, answer)

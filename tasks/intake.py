"""A message from a hospital: archive it, answer it, remember the answer."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field

from domain.errors import InvalidPayload, StaleStatus
from domain.lifecycle import FINAL, Status
from fhir_profiles import answers
from fhir_profiles.reader import Admitted, CancelRequest, message_key, read_bundle, read_cancel
from infra.db import Session, history, inbox, prescriptions
from infra.log import get_logger
from tasks import ends
from tasks.city import City

log = get_logger(__name__)


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, stored as it was first given."""

    status: int
    body: bytes = field(repr=False)
    replayed: bool = False


Taken = tuple[int, bytes, str | None]
"""Answer status, answer body, and the prescription it is about."""
Take = Callable[[City, Session, str, bytes, str], Taken]


def receive_prescription(city: City, hospital: str, raw: bytes) -> Answer:
    """Take in a prescription Bundle as sent (contract 1.1).

    The raw bytes are archived before anything else can fail. The same key and bytes again give the stored
    answer; the same key and other bytes a conflict naming the paths that differ.
    """
    return _receive(city, hospital, raw, _admit)


def receive_cancel(city: City, hospital: str, raw: bytes) -> Answer:
    """Take in a cancel Task (contract 1.2). It may arrive before its prescription: then it waits for it."""
    return _receive(city, hospital, raw, _cancel)


def stored_answer(city: City, hospital: str, key: str) -> Answer | None:
    """What we answered under this key: for a sender that lost our answer."""
    with city.db.reading() as session:
        heard = inbox.heard(session, f"hospital:{hospital}", key)
    return Answer(heard.answer_status, heard.answer, replayed=True) if heard else None


def _receive(city: City, hospital: str, raw: bytes, take: Take) -> Answer:
    archive_key = city.archive.put(raw)
    sha256 = hashlib.sha256(raw).hexdigest()
    source, key = f"hospital:{hospital}", message_key(raw)
    if key is None:
        # Without a key nothing can be repeated; the bytes' own digest keeps the message findable.
        key = f"sha256-{sha256}"
    # Two tries: whoever loses the race for a key finds the winner's answer the second time.
    for _ in range(2):
        with city.db.transaction("message.received") as session:
            inbox.take_turns(session, f"{source}/{key}")
            heard = inbox.heard(session, source, key)
            if heard and heard.sha256 == sha256:
                return Answer(heard.answer_status, heard.answer, replayed=True)
            if heard:
                paths = answers.different_paths(city.archive.get(heard.archive_key), raw)
                return Answer(409, answers.conflict(paths))
            status, body, rx_id = take(city, session, hospital, raw, archive_key)
            if inbox.remember(session, source=source, event_id=key, sha256=sha256, archive_key=archive_key,
                              at=city.now(), prescription_id=rx_id, answer_status=status, answer=body):
                log.info("message.received", hospital=hospital, key=key, answer=status, prescription=rx_id or "")
                return Answer(status, body)
            session.rollback()
    raise StaleStatus(f"message {key} is being received by somebody else")


def _admit(city: City, session: Session, hospital: str, raw: bytes, archive_key: str) -> Taken:
    try:
        admitted: Admitted = read_bundle(raw, hospital, city.cipher.patient_id)
    except InvalidPayload as invalid:
        code = 400 if any(f.code == "MSG_NOT_JSON" for f in invalid.findings) else 422
        return code, answers.operation_outcome(invalid.findings), None
    rx = admitted.prescription
    inbox.take_turns(session, f"prescription/{hospital}/{rx.external_id}")  # its cancel may cross it
    if prescriptions.find(session, hospital, rx.external_id):
        return 409, answers.conflict(["Bundle.entry.resource.ofType(MedicationRequest).groupIdentifier"]), None
    record = admitted.patient
    sealed = city.cipher.seal(json.dumps({
        "name": record.name, "id_number": record.id_number, "birth_date": record.birth_date.isoformat(),
        "phone": record.phone, "address": record.address}, ensure_ascii=False), f"patient/{rx.id}")
    head = prescriptions.admit(session, rx, patient_sealed=sealed, archive_key=archive_key, at=city.now(),
                               message=admitted.key)
    status = Status.RECEIVED
    if reason := inbox.cancel_wished(session, hospital, rx.external_id):
        status = ends.cancel(session, city, head, rx, reason)
    return 201, answers.accepted(rx.id, rx.external_id, hospital, status), rx.id


def _cancel(city: City, session: Session, hospital: str, raw: bytes, archive_key: str) -> Taken:
    try:
        wish: CancelRequest = read_cancel(raw, hospital)
    except InvalidPayload as invalid:
        code = 400 if any(f.code == "MSG_NOT_JSON" for f in invalid.findings) else 422
        return code, answers.operation_outcome(invalid.findings), None
    inbox.take_turns(session, f"prescription/{hospital}/{wish.external_id}")
    inbox.wish_to_cancel(session, hospital, wish.external_id, wish.reason, city.now())
    row = prescriptions.find(session, hospital, wish.external_id)
    if row is None:
        return 201, answers.cancel_answer("", wish.external_id, hospital, "cancelling"), None
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
    return 201, answers.cancel_answer(row.id, wish.external_id, hospital, outcome), row.id

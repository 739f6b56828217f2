"""The ends a prescription comes to without medicine: written once, reported once."""

from domain.event_words import happening
from domain.events import Event, Wait
from domain.fulfilment.wishes import WishAnswer, WishKind
from domain.lifecycle import FINAL, Notice, Reported, Status
from domain.prescription import Prescription
from domain.words import Two
from infra.db import Session, history, wishes
from infra.db.history import Head
from infra.db.prescriptions import Loaded
from tasks import reports
from tasks.city import City

NOT_INSURED = Two(
    "医保中心查无患者的有效参保信息，本平台目前只受理医保支付的处方。请核对身份与险种：有误则更正后重新开具；无误则请患者在院内自费取药。",
    "The fund does not know the patient as insured, and only what the fund pays for is filled here for now. Check identity and "
    "insurance: if they are wrong, correct them and prescribe anew; if they are right, the patient buys it at the hospital.")
"""What a hospital is told with the code `NOT_INSURED` (B-44)."""


def send_back(city: City, loaded: Loaded) -> Head:
    """The fund does not insure the person: it goes back to its hospital and waits for no answer (B-44)."""
    with city.db.transaction("prescription.sent_back") as session:
        head = history.append(session, loaded.head, to=Status.RETURNED, actor="platform", event=Event.NOT_INSURED,
                              at=city.now(), wake_at=None)
        tell_sent_back(session, city, loaded.prescription)
    return head


def tell_sent_back(session: Session, city: City, rx: Prescription) -> None:
    reports.report(session, city, rx, Status.RETURNED, reason="NOT_INSURED", words=NOT_INSURED, to_prescriber=True)


def expire(city: City, loaded: Loaded) -> Head:
    """Its validity is over and nothing of it was handed over (A-01)."""
    with city.db.transaction("prescription.expired") as session:
        head = history.append(session, loaded.head, to=Status.EXPIRED, actor="clock", event=Event.EXPIRED,
                              at=city.now(), wake_at=None,
                              detail={"valid_until": loaded.prescription.valid_until.isoformat()})
        reports.report(session, city, loaded.prescription, Status.EXPIRED, reason="RX_EXPIRED")
    return head


PATIENT = "patient"
"""Who wishes it or came by the link, where it is the patient; a hospital is `hospital:<slug>`. Also the code of the reason."""


def ask_to_cancel(session: Session, city: City, loaded: Loaded, *, by: str, reason: str) -> Reported:
    """The hospital or the patient wants it cancelled: what they are answered, in the caller's transaction.

    Where a pharmacy may hold stock for it, the answer is open: the worker asks the pharmacy first.
    """
    answer = cancel_answer(loaded)
    wishes.make(session, loaded.prescription.hospital, loaded.prescription.external_id, prescription_id=loaded.id,
                kind=WishKind.CANCEL, by=by, reason=reason, at=city.now(),
                answer=WishAnswer.OPEN if answer is Notice.CANCELLING else
                WishAnswer.REFUSED if answer is Notice.TOO_LATE else WishAnswer.GRANTED)
    if answer is Notice.CANCELLING:
        event, detail = (Event.PATIENT_CANCELS, {}) if by == PATIENT else (Event.CANCEL_REQUESTED, {"reason": reason})
        history.append(session, loaded.head, actor=by, event=event, at=city.now(), wake_at=city.now(),
                       waiting_for=Wait.CANCEL_ANSWER, detail=detail)
    elif answer is Status.CANCELLED and loaded.status is not Status.CANCELLED:
        cancel(session, city, loaded.head, loaded.prescription, reason, by=by)
    return answer


def cancel_answer(loaded: Loaded) -> Reported:
    """What a cancel is answered with."""
    if loaded.status in (Status.ALLOCATING, Status.FULFILLING):
        return Notice.CANCELLING
    over = loaded.status in FINAL or loaded.status in (Status.FULFILLED, Status.SETTLED)
    return Notice.TOO_LATE if over and loaded.status is not Status.CANCELLED else Status.CANCELLED


def cancel(session: Session, city: City, head: Head, rx: Prescription, reason: str, *, by: str, order_id: str = "") -> Status:
    """The hospital or the patient cancelled it, or it came back from the door, and no pharmacy holds anything for it.

    In the caller's transaction.
    """
    event, detail = _cancelled(by, reason)
    history.append(session, head, to=Status.CANCELLED, actor=by, event=event, at=city.now(), wake_at=None,
                   detail=detail | ({"order": order_id} if order_id else {}))
    wishes.answer(session, rx.id, WishKind.CANCEL, WishAnswer.GRANTED, at=city.now())
    reports.report(session, city, rx, Status.CANCELLED, reason=reason, words=happening(event, detail))
    return Status.CANCELLED


def _cancelled(by: str, reason: str) -> tuple[Event, dict[str, str]]:
    """What is written down of an end without medicine, by who caused it."""
    if by == PATIENT:
        return Event.CANCELLED_BY_PATIENT, {}
    return (Event.UNDELIVERED, {"cause": reason}) if by.startswith("courier:") else (Event.CANCELLED, {"reason": reason})

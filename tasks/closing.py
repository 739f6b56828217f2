"""The ends a prescription comes to without medicine: written once, reported once."""

from domain.events import Event
from domain.fulfilment.wishes import WishAnswer, WishKind
from domain.lifecycle import Status
from domain.prescription import Prescription
from domain.words import Two, happening
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


def cancel(session: Session, city: City, head: Head, rx: Prescription, reason: str, *, order_id: str = "") -> Status:
    """The hospital cancelled it and no pharmacy holds anything for it, in the caller's transaction."""
    history.append(session, head, to=Status.CANCELLED, actor=f"hospital:{rx.hospital}",
                   event=Event.CANCELLED, at=city.now(), wake_at=None,
                   detail={"reason": reason} | ({"order": order_id} if order_id else {}))
    wishes.answer(session, rx.id, WishKind.CANCEL, WishAnswer.GRANTED, at=city.now())
    reports.report(session, city, rx, Status.CANCELLED, reason=reason, words=happening(Event.CANCELLED, {"reason": reason}))
    return Status.CANCELLED

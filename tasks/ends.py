"""The ends a prescription comes to without medicine: written once, reported once."""

from domain.lifecycle import Status
from domain.prescription import Prescription
from infra.db import Session, history
from infra.db.history import Head
from infra.db.prescriptions import Loaded
from tasks import reports
from tasks.city import City


def expire(city: City, loaded: Loaded) -> Head:
    """Its validity is over and nobody has the medicine (A-01)."""
    with city.db.transaction("prescription.expired") as session:
        head = history.append(session, loaded.head, to=Status.EXPIRED, actor="clock", reason="validity is over (A-01)",
                              at=city.now(), wake_at=None, keep_cancel=False,
                              detail={"valid_until": loaded.prescription.valid_until.isoformat(), "rule": "A-01"})
        reports.report(session, city, loaded.prescription, Status.EXPIRED, reason="RX_EXPIRED")
    return head


def cancel(session: Session, city: City, head: Head, rx: Prescription, reason: str, *, order_id: str = "") -> Status:
    """The hospital cancelled it and no pharmacy holds anything for it, in the caller's transaction."""
    history.append(session, head, to=Status.CANCELLED, actor=f"hospital:{rx.hospital}",
                   reason="cancelled by the hospital", at=city.now(), wake_at=None, keep_cancel=False,
                   detail={"reason": reason} | ({"order": order_id} if order_id else {}))
    reports.report(session, city, rx, Status.CANCELLED, reason=reason)
    return Status.CANCELLED

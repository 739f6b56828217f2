"""Who may, and who did: the one place where a capability is checked and the access log is written."""

import re

from domain.people import Capability, Denied, Person, check_may, check_may_somewhere, is_logged
from infra.db import access_log
from infra.db.access_log import Kind
from tasks.city import City

_RX_ID = re.compile(r"rx_[a-z2-7]{16}")


def enter(city: City, person: Person, capability: Capability, *, act: bool, prescription_id: str = "",
          noted: bool = False, somewhere: bool = False) -> None:
    """Check that the person may, and write down what they are about to see or do, before they see or do it.

    `noted`: the task writes it down itself. `somewhere`: at some place is enough, and what they see and do is of it. A text that
    is no id of ours is not written down. Raises `Denied` (code `forbidden`), which is written down too.
    """
    prescription_id = prescription_id if _RX_ID.fullmatch(prescription_id) else ""
    try:
        (check_may_somewhere if somewhere else check_may)(person, capability)
    except Denied as no:
        refused(city, person, capability, no.code, prescription_id)
        raise
    if noted or not is_logged(capability, act=act):
        return
    with city.db.transaction("access.entered") as session:
        access_log.append(session, person.id, Kind.ACT if act else Kind.VIEW, capability, at=city.now(),
                          prescription_id=prescription_id)


def refused(city: City, person: Person, capability: Capability, code: str, prescription_id: str = "") -> None:
    """The situation, or the person's roles, did not allow it; `code` says which."""
    with city.db.transaction("access.refused") as session:
        access_log.append(session, person.id, Kind.REFUSED, capability, at=city.now(), prescription_id=prescription_id, detail=code)

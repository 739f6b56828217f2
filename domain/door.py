"""What is checked when medicine is handed over, at a counter or at the door: who took it, where, and when (E-05, E-06)."""

import hashlib
import hmac
import math
from collections.abc import Iterable
from datetime import datetime, timedelta

from domain.prescription import Place

NEAR_METRES = 300
"""So far from the patient a parcel may be signed for (E-06)."""
COARSE_METRES = 720
"""Half the diagonal of what two decimals of a degree tell of a patient's place."""
TAIL = 4
"""Characters at the end of the id number that a receiver shows."""
WRONG_PROOF = "wrong_proof"
"""A code or an identity that was not the receiver's."""
MOST_TRIES, TRIES_WITHIN = 5, timedelta(minutes=10)
"""Wrong codes or identities for one order; then no further one is checked for a while."""
_METRES_NORTH, _METRES_EAST = 111_000, 89_000
"""Of a degree, near 36 degrees north."""


def normal(shown: str) -> str:
    """A code as it is compared: without blanks and dashes, in capitals."""
    return "".join(shown.split()).replace("-", "").upper()


def is_locked(wrong_at: Iterable[datetime], now: datetime) -> bool:
    """Whether so many wrong proofs were shown for an order of late that no further one is checked."""
    return sum(at > now - TRIES_WITHIN for at in wrong_at) >= MOST_TRIES


def digest(delivery_id: str, shown: str) -> str:
    """What a courier sends instead of the code or the end of the id number that a receiver showed; hex SHA-256."""
    return hashlib.sha256(f"{delivery_id}:{normal(shown)}".encode()).hexdigest()


def is_receiver(delivery_id: str, sent: str, pickup_code: str, id_number: str) -> bool:
    """Whether the digest is of the pickup code or of the end of the patient's id number. Takes as long for a wrong one."""
    secrets = [secret for secret in (pickup_code, id_number[-TAIL:]) if secret]
    matches = [hmac.compare_digest(digest(delivery_id, secret).encode(), sent.lower().encode()) for secret in secrets]
    return any(matches)


def metres(here: Place, there: Place) -> int:
    """Between two places of the city, as the crow flies."""
    north = float(here.latitude - there.latitude) * _METRES_NORTH
    east = float(here.longitude - there.longitude) * _METRES_EAST
    return round(math.hypot(north, east))


def warnings(away: int | None, signed_at: datetime, arrived_at: datetime | None, *, picture: bool) -> tuple[str, ...]:
    """Codes of `domain.words.DOOR_WARNINGS`: what a person should look at, though the patient has the parcel."""
    codes = []
    if away is None:
        codes.append("GPS_MISSING")
    elif away > NEAR_METRES + COARSE_METRES:
        codes.append("GPS_FAR")
    if arrived_at is not None and signed_at < arrived_at:
        codes.append("BEFORE_ARRIVAL")
    if not picture:
        codes.append("NO_SIGNATURE")
    return tuple(codes)

"""What people show who they are with: passwords as Argon2id, and the six digits of an authenticator (RFC 6238)."""

import hmac
import secrets
import unicodedata
from datetime import datetime
from functools import cache
from threading import BoundedSemaphore

import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

_HASHER = PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
_AT_ONCE = BoundedSemaphore(2)
"""Each takes 64 MiB and most of a core for its time: sign-ins must not starve the doors."""
STEP_SECONDS = 30
DRIFT_STEPS = 1
"""How many half minutes a person's clock may be wrong."""
RECOVERY_CODES = 10


def hashed(password: str) -> str:
    """A password as it is kept, with its parameters and salt; never the same twice."""
    with _AT_ONCE:
        return _HASHER.hash(_normal(password))


def matches(kept: str, password: str) -> bool:
    """Whether that is the password kept. An empty `kept` matches none, and takes as long as any other."""
    with _AT_ONCE:
        try:
            return _HASHER.verify(kept or _never_matched(), _normal(password)) and bool(kept)
        except (VerificationError, InvalidHashError):
            return False


def outdated(kept: str) -> bool:
    """Whether it was hashed with weaker parameters than those of today."""
    return _HASHER.check_needs_rehash(kept)


@cache
def _never_matched() -> str:
    return _HASHER.hash(secrets.token_urlsafe(32))


def _normal(password: str) -> str:
    return unicodedata.normalize("NFKC", password)


def new_secret() -> str:
    """A new secret for an authenticator, base32."""
    return pyotp.random_base32()


def address(secret: str, person: str, issuer: str) -> str:
    """The secret as authenticators read it: otpauth://totp/…"""
    return pyotp.TOTP(secret).provisioning_uri(name=person, issuer_name=issuer)


def step_of(secret: str, code: str, at: datetime, *, after: int = 0) -> int | None:
    """The half minute whose six digits these are, near `at` and later than `after`; None for any others."""
    digits = "".join(code.split())
    current = int(at.timestamp()) // STEP_SECONDS
    totp, step = pyotp.TOTP(secret), None
    for candidate in range(current - DRIFT_STEPS, current + DRIFT_STEPS + 1):
        if hmac.compare_digest(totp.generate_otp(candidate).encode(), digits.encode()) and candidate > after:
            step = candidate
    return step


def recovery_codes() -> list[str]:
    """Codes to write down, each of 50 random bits: `ABCDE-FGHIJ`."""
    letters = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
    words = ("".join(secrets.choice(letters) for _ in range(10)) for _ in range(RECOVERY_CODES))
    return [f"{word[:5]}-{word[5:]}" for word in words]


def normal_recovery_code(code: str) -> str:
    """As it was made, however it was typed."""
    return "".join(code.upper().replace("-", " ").split())

"""What a database or a backup must not give away: sealed values, and keyed hashes to find them by."""

import base64
import binascii
import hashlib
import hmac
import os
from dataclasses import dataclass, field
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher as BlockCipher
from cryptography.hazmat.primitives.ciphers import algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from domain.errors import NeedsOperator
from infra.settings import Settings

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
KEY_ID_BYTES = 4
FORMAT = 1
"""First byte of a sealed value: the layout `format, algorithm, key id (4), nonce (12), text, tag (16)`."""

_HEADER_BYTES = 2 + KEY_ID_BYTES
_ALGORITHMS = {"aes-gcm": 1, "sm4-gcm": 2}
_BLOCK = {1: (algorithms.AES, 32), 2: (algorithms.SM4, 16)}
"""Block cipher and key size in bytes by the second byte of a sealed value."""


@lru_cache(maxsize=8)
def _derived(identity_key: bytes, number: int) -> bytes:
    """Each algorithm gets its own key, derived from the one secret, so that no key serves two algorithms."""
    _, size = _BLOCK[number]
    info = f"sanyi/identity/{FORMAT}/{number}".encode()
    return HKDF(algorithm=hashes.SHA256(), length=size, salt=None, info=info).derive(identity_key)


@dataclass(frozen=True)
class Cipher:
    """Seals what is about a person, and turns it into something to search by.

    `identity_key` and `lookup_key` are 32 random bytes each; `algorithm` is the one for new values.
    """

    identity_key: bytes = field(repr=False)
    lookup_key: bytes = field(repr=False)
    algorithm: str = "aes-gcm"

    def seal(self, text: str, context: str) -> bytes:
        """Encrypt a text for one place; `context` is `table/column/row id`.

        The same text never looks the same twice. What is sealed opens in that place only.
        """
        number = _ALGORITHMS[self.algorithm]
        key = self._key(number)
        header = bytes([FORMAT, number]) + _key_id(key)
        nonce = os.urandom(NONCE_BYTES)
        return header + nonce + encrypt(number, key, nonce, text.encode(), header + context.encode())

    def open(self, sealed: bytes, context: str) -> str:
        """The text that was sealed for this place.

        Raises `NeedsOperator` (code `wrong_key`, `tampered` or `not_sealed`) naming only the place:
        trying again cannot help.
        """
        if len(sealed) < _HEADER_BYTES + NONCE_BYTES + TAG_BYTES or sealed[0] != FORMAT or sealed[1] not in _BLOCK:
            raise NeedsOperator(f"{context}: not a sealed value", code="not_sealed")
        header, rest = sealed[:_HEADER_BYTES], sealed[_HEADER_BYTES:]
        nonce, body = rest[:NONCE_BYTES], rest[NONCE_BYTES:]
        key = self._key(header[1])
        if not hmac.compare_digest(header[2:], _key_id(key)):
            raise NeedsOperator(
                f"{context}: sealed under key {header[2:].hex()}, SANYI_IDENTITY_KEY is key {_key_id(key).hex()}",
                code="wrong_key",
            )
        try:
            return decrypt(header[1], key, nonce, body, header + context.encode()).decode()
        except InvalidTag:
            # Not chained: nothing below this line may reach a log.
            raise NeedsOperator(f"{context}: changed since it was sealed, or moved here", code="tampered") from None

    def lookup(self, text: str) -> str:
        """Keyed hash of a text (64 hex characters) for a column to search by. Spelling counts: normalise first."""
        return self._hash("lookup", text).hex()

    def patient_id(self, id_number: str) -> str:
        """The opaque id of the person with this id number; the same person always has the same one."""
        digest = self._hash("patient", id_number.strip().upper())
        return "pt_" + base64.b32encode(digest[:10]).decode().lower()

    def _key(self, number: int) -> bytes:
        return _derived(self.identity_key, number)

    def _hash(self, purpose: str, text: str) -> bytes:
        return hmac.digest(self.lookup_key, f"{purpose}\0{text}".encode(), "sha256")


def make_cipher(settings: Settings) -> Cipher:
    """The cipher of this installation. Raises `NeedsOperator` if a key is missing or not 32 bytes in base64."""
    identity_key = _decode("SANYI_IDENTITY_KEY", settings.identity_key.get_secret_value())
    lookup_key = _decode("SANYI_LOOKUP_KEY", settings.lookup_key.get_secret_value())
    if identity_key == lookup_key:
        raise NeedsOperator("SANYI_LOOKUP_KEY must not be the same as SANYI_IDENTITY_KEY", code="bad_key")
    return Cipher(identity_key, lookup_key, settings.identity_cipher)


def anchor_key(settings: Settings) -> bytes:
    """The key of the histories' daily roots. Raises `NeedsOperator` if it is missing, no key, or another one of ours."""
    key = _decode("SANYI_ANCHOR_KEY", settings.anchor_key.get_secret_value())
    if settings.anchor_key in (settings.identity_key, settings.lookup_key):
        raise NeedsOperator("SANYI_ANCHOR_KEY must be a key of its own", code="bad_key")
    return key


def encrypt(number: int, key: bytes, nonce: bytes, data: bytes, associated: bytes) -> bytes:
    """GCM with the algorithm of that number: ciphertext followed by its tag (16 bytes)."""
    algorithm, _ = _BLOCK[number]
    encryptor = BlockCipher(algorithm(key), modes.GCM(nonce)).encryptor()
    encryptor.authenticate_additional_data(associated)
    return encryptor.update(data) + encryptor.finalize() + encryptor.tag


def decrypt(number: int, key: bytes, nonce: bytes, body: bytes, associated: bytes) -> bytes:
    """The inverse of `encrypt`. Raises `InvalidTag` if anything was changed, and then gives nothing away."""
    algorithm, _ = _BLOCK[number]
    data, tag = body[:-TAG_BYTES], body[-TAG_BYTES:]
    decryptor = BlockCipher(algorithm(key), modes.GCM(nonce, tag)).decryptor()
    decryptor.authenticate_additional_data(associated)
    return decryptor.update(data) + decryptor.finalize()


@lru_cache(maxsize=8)
def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"sanyi/key-id" + key).digest()[:KEY_ID_BYTES]


def _decode(variable: str, text: str) -> bytes:
    cure = f"set it to the output of: openssl rand -base64 {KEY_BYTES}"
    if not text:
        raise NeedsOperator(f"{variable} is not set; {cure}", code="bad_key")
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise NeedsOperator(f"{variable} is not base64; {cure}", code="bad_key") from None
    if len(key) != KEY_BYTES:
        raise NeedsOperator(f"{variable} holds {len(key)} bytes, not {KEY_BYTES}; {cure}", code="bad_key")
    return key

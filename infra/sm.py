"""The national algorithms of the 医保 envelope: what is signed (SM3 with SM2), and how it is hidden (SM4).

Sources: interfaces of the 医保电子处方中心, sections on message envelope and key derivation; GB/T 32918 (SM2),
GB/T 32905 (SM3), GB/T 32907 (SM4). Protocol formulas are gmalg's; only its slow multiplication is ours.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from gmalg.base import Hash
from gmalg.ellipticcurve import ECDLP, EllipticCurve
from gmalg.sm2 import SM2Core

from domain.errors import NeedsOperator

USER_ID = "1234567812345678"
"""The signer's id all known implementations use."""
UNSIGNED = frozenset({"signData", "encData", "extra"})
"""Entries of an envelope that are not signed."""

_BLOCK_BITS = 128
Point = tuple[int, int]


# What is signed.

def sign_text(envelope: Mapping[str, Any], app_secret: str) -> str:
    """The text under the signature: `data` stands in the envelope in plain.

    Empty values are dropped at every depth, scalars become texts, nested keys stand in ordinal order, and the
    entries of the envelope in case-insensitive order. A number is signed as it is spelled here: read it as text.
    """
    kept = {name: _without_empty(value) for name, value in envelope.items() if name not in UNSIGNED}
    entries = [f"{name}={value if isinstance(value, str) else compact(value)}"
               for name, value in kept.items() if value not in _EMPTY]
    return "&".join([*sorted(entries, key=str.lower), f"key={app_secret}"])


def compact(value: object) -> str:
    """JSON without white space, keys in ordinal order, characters as they are."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


_EMPTY: tuple[object, ...] = ("", None, {}, [])


def _without_empty(value: object) -> object:
    match value:
        case dict():
            return {name: kept for name, item in value.items() if (kept := _without_empty(item)) not in _EMPTY}
        case list():
            return [kept for item in value if (kept := _without_empty(item)) not in _EMPTY]
        case bool():
            return "true" if value else "false"
        case None | str():
            return value
        case _:
            return str(value)


# SM4.

@cache
def sm4_key(app_id: str, app_secret: str) -> bytes:
    """The key both sides derive: the first half of the secret's own ciphertext under the first half of the id."""
    hidden = sm4_encrypt(app_id.encode()[:16], app_secret.encode())
    return hidden[:16].encode()


def sm4_encrypt(key: bytes, plain: bytes) -> str:
    """SM4-ECB with PKCS#7 padding, in capital hexadecimal digits."""
    padder = padding.PKCS7(_BLOCK_BITS).padder()
    encryptor = Cipher(algorithms.SM4(key), modes.ECB()).encryptor()  # noqa: S305  the interface says ECB
    padded = padder.update(plain) + padder.finalize()
    return (encryptor.update(padded) + encryptor.finalize()).hex().upper()


def sm4_decrypt(key: bytes, hidden: str) -> bytes:
    """The other way round. Raises `ValueError` for what was not made with this key."""
    decryptor = Cipher(algorithms.SM4(key), modes.ECB()).decryptor()  # noqa: S305
    unpadder = padding.PKCS7(_BLOCK_BITS).unpadder()
    padded = decryptor.update(bytes.fromhex(hidden)) + decryptor.finalize()
    return unpadder.update(padded) + unpadder.finalize()


def sm3(data: bytes) -> bytes:
    """The digest, 32 bytes."""
    digest = hashes.Hash(hashes.SM3())
    digest.update(data)
    return digest.finalize()


# SM2.

def sm2_sign(message: bytes, private_key: str, user_id: str = USER_ID, *, nonce: int | None = None) -> str:
    """r and s, 32 bytes each, in base64.

    The same message under the same key has the same signature: a stored answer can be made again. `nonce` is for
    published test vectors only. Raises `NeedsOperator` (code `bad_key`) for a key that is none.
    """
    secret, public = _pair(private_key)
    core = SM2Core(_CURVE, _Sm3())
    # What is signed is Z‖M. Of M alone two user ids would share a nonce, and two signatures would give the key away.
    whole = core.entity_info(user_id.encode(), public) + message
    core = SM2Core(_CURVE, _Sm3(), _once(nonce) if nonce is not None else _derived(secret, whole))
    r, s = core.sign(message, secret, user_id.encode(), public)
    return base64.b64encode(r.to_bytes(32, "big") + s.to_bytes(32, "big")).decode()


def sm2_verify(message: bytes, signature: str, public_key: str, user_id: str = USER_ID) -> bool:
    """Whether the holder of this key signed this message. Raises `NeedsOperator` (code `bad_key`)."""
    point = _point(public_key)
    try:
        raw = base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        return False
    if len(raw) != 64:
        return False
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    return bool(SM2Core(_CURVE, _Sm3()).verify(message, r, s, user_id.encode(), point))


def public_key(private_key: str) -> str:
    """Base64 of 04, x and y. Raises `NeedsOperator` (code `bad_key`)."""
    x, y = _pair(private_key)[1]
    return base64.b64encode(b"\x04" + x.to_bytes(32, "big") + y.to_bytes(32, "big")).decode()


@cache
def _pair(private_key: str) -> tuple[int, Point]:
    raw = _decoded(private_key)
    secret = int.from_bytes(raw, "big")
    if len(raw) not in (32, 33) or not 0 < secret < _ORDER - 1:
        raise NeedsOperator("an SM2 private key is not base64 of 32 bytes", code="bad_key")
    return secret, _CURVE.kG(secret)


@cache
def _point(key: str) -> Point:
    raw = _decoded(key)
    raw = raw[1:] if len(raw) == 65 and raw[0] == 4 else raw
    point = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    if len(raw) != 64 or max(point) >= _PRIME or not _CURVE.ec.isvalid(point):
        raise NeedsOperator("an SM2 public key is not base64 of a point of the curve", code="bad_key")
    return point


def _decoded(key: str) -> bytes:
    try:
        return base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        raise NeedsOperator("an SM2 key is not base64", code="bad_key") from None


def _derived(secret: int, whole: bytes) -> Callable[[int], int]:
    """Unpredictable numbers that need not be stored, one after the other (the idea of RFC 6979).

    `whole` is all the signature depends on beside the key: Z of the signer and the message.
    """
    seed = secret.to_bytes(32, "big")
    digest = sm3(whole)
    tries = iter(range(1 << 16))
    return lambda bits: int.from_bytes(hmac.digest(seed, digest + next(tries).to_bytes(2, "big"), hashlib.sha256), "big")


def _once(nonce: int) -> Callable[[int], int]:
    return lambda bits: nonce


class _Sm3(Hash):  # type: ignore[misc]
    """SM3 as gmalg wants it: OpenSSL's, a thousand times as fast as Python's."""

    def __init__(self) -> None:
        self._data = bytearray()

    @classmethod
    def hash_length(cls) -> int:
        return 32

    def reset(self) -> None:
        self._data.clear()

    def update(self, data: bytes) -> None:
        self._data += data

    def value(self) -> bytes:
        return sm3(bytes(self._data))


class _Curve(EllipticCurve):  # type: ignore[misc]
    """The curve with a multiplication that divides once and not at every step."""

    def mul(self, k: int, P: Point) -> Point:
        if k % _ORDER == 0 or self.INF == P:
            return self.INF  # type: ignore[no-any-return]
        multiples = [P]  # odd ones: 1, 3, 5 … 15 times the point
        twice = _affine(_double((*P, 1)))
        while len(multiples) < 8:
            multiples.append(_affine(_add((*multiples[-1], 1), twice)))
        total: tuple[int, int, int] = (1, 1, 0)
        for digit in _digits(k % _ORDER):
            total = _double(total)
            if digit:
                x, y = multiples[abs(digit) >> 1]
                total = _add(total, (x, y if digit > 0 else _PRIME - y))
        return _affine(total)


def _digits(k: int) -> list[int]:
    """k in signed odd digits below 16, the first one first: at least four zeros after each (w-NAF)."""
    digits: list[int] = []
    while k:
        digit = 0
        if k & 1:
            digit = k & 31
            digit -= 32 if digit > 15 else 0
            k -= digit
        digits.append(digit)
        k >>= 1
    return digits[::-1]


# Jacobian coordinates (x/z², y/z³); z = 0 is the point at infinity. For a curve with a = -3.

def _double(point: tuple[int, int, int]) -> tuple[int, int, int]:
    x, y, z = point
    zz = z * z % _PRIME
    yy = y * y % _PRIME
    s = 4 * x * yy % _PRIME
    m = 3 * (x - zz) * (x + zz) % _PRIME
    x3 = (m * m - 2 * s) % _PRIME
    return x3, (m * (s - x3) - 8 * yy * yy) % _PRIME, 2 * y * z % _PRIME


def _add(point: tuple[int, int, int], other: Point) -> tuple[int, int, int]:
    x, y, z = point
    if z == 0:
        return (*other, 1)
    zz = z * z % _PRIME
    h = (other[0] * zz - x) % _PRIME
    r = (other[1] * zz * z - y) % _PRIME
    if h == 0:
        return _double(point) if r == 0 else (1, 1, 0)
    hh = h * h % _PRIME
    v = x * hh % _PRIME
    hhh = h * hh % _PRIME
    x3 = (r * r - hhh - 2 * v) % _PRIME
    return x3, (r * (v - x3) - y * hhh) % _PRIME, z * h % _PRIME


def _affine(point: tuple[int, int, int]) -> Point:
    x, y, z = point
    if z == 0:
        infinity: Point = _CURVE.ec.INF
        return infinity
    inverse = pow(z, -1, _PRIME)
    return x * inverse * inverse % _PRIME, y * inverse * inverse * inverse % _PRIME


_PRIME = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
_ORDER = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
_A = _PRIME - 3
_B = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
_G = (0x32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7,
      0xBC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0)

_CURVE = ECDLP(_PRIME, _A, _B, _G, _ORDER)
_CURVE.ec = _Curve(_CURVE.fp, _A, _B)

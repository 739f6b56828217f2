"""What the hospital's own interface engine signs and hides with: written from the interface and the standards alone.

SM2 is GB/T 32918, SM3 GB/T 32905, SM4 GB/T 32907. Shares no line with the platform's.
"""

import base64
import hashlib
import json
import secrets
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SM3, Hash

P = 0xFFFFFFFE_FFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFF_00000000_FFFFFFFF_FFFFFFFF
A = 0xFFFFFFFE_FFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFF_00000000_FFFFFFFF_FFFFFFFC
B = 0x28E9FA9E_9D9F5E34_4D5A9E4B_CF6509A7_F39789F5_15AB8F92_DDBCBD41_4D940E93
N = 0xFFFFFFFE_FFFFFFFF_FFFFFFFF_FFFFFFFF_7203DF6B_21C6052B_53BBF409_39D54123
GX = 0x32C4AE2C_1F198119_5F990446_6A39C994_8FE30BBF_F2660BE1_715A4589_334C74C7
GY = 0xBC3736A2_F4F6779C_59BDCEE3_6B692153_D0A9877C_C62A4740_02DF32E5_2139F0A0
USER = b"1234567812345678"

Homogeneous = tuple[int, int, int]
"""x/z and y/z; z = 0 at infinity."""


def private_key(seed: str) -> str:
    """A private key that follows from a secret text, in base64."""
    number = int.from_bytes(hashlib.sha256(seed.encode()).digest(), "big") % (N - 2) + 1
    return base64.b64encode(number.to_bytes(32, "big")).decode()


def public_key(private: str) -> str:
    x, y = _affine(_times(int.from_bytes(base64.b64decode(private), "big"), (GX, GY, 1)))
    return base64.b64encode(b"\x04" + x.to_bytes(32, "big") + y.to_bytes(32, "big")).decode()


def sign(text: bytes, private: str) -> str:
    """r and s in base64, another pair each time."""
    d = int.from_bytes(base64.b64decode(private), "big")
    e = _digest(text, public_key(private))
    while True:
        k = secrets.randbelow(N - 1) + 1
        r = (e + _affine(_times(k, (GX, GY, 1)))[0]) % N
        s = pow(1 + d, -1, N) * (k - r * d) % N
        if r and s and r + k != N:
            return base64.b64encode(r.to_bytes(32, "big") + s.to_bytes(32, "big")).decode()


def verify(text: bytes, signature: str, public: str) -> bool:
    raw, point = base64.b64decode(signature), base64.b64decode(public)[-64:]
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    if len(raw) != 64 or not (0 < r < N and 0 < s < N) or (r + s) % N == 0:
        return False
    theirs = int.from_bytes(point[:32], "big"), int.from_bytes(point[32:], "big"), 1
    sum_ = _plus(_times(s, (GX, GY, 1)), _times((r + s) % N, theirs))
    return sum_[2] != 0 and (_digest(text, public) + _affine(sum_)[0]) % N == r


def sm4_key(app_id: str, app_secret: str) -> bytes:
    return hide(app_id[:16].encode(), app_secret.encode())[:16].encode("ascii")


def hide(key: bytes, text: bytes) -> str:
    missing = 16 - len(text) % 16
    work = Cipher(algorithms.SM4(key), modes.ECB()).encryptor()  # noqa: S305  as the interface says
    return work.update(text + bytes([missing]) * missing).hex().upper()


def reveal(key: bytes, hidden: str) -> bytes:
    work = Cipher(algorithms.SM4(key), modes.ECB()).decryptor()  # noqa: S305
    text = work.update(bytes.fromhex(hidden))
    return text[:-text[-1]]


def text_to_sign(message: dict[str, Any], data: Any, app_secret: str) -> bytes:
    """`data` in plain among the entries of the envelope; what is empty is left out."""
    entries = {**message, "data": data}
    for name in ("signData", "encData", "extra"):
        entries.pop(name, None)
    words = []
    for name, value in entries.items():
        value = _texts(value)
        if isinstance(value, dict | list):
            value = json.dumps(value, ensure_ascii=False, separators=(",", ":")) if value else ""
        if value:
            words.append(f"{name}={value}")
    words.sort(key=lambda word: word.lower())
    return "&".join([*words, f"key={app_secret}"]).encode()


def _texts(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, dict):
        return {name: text for name in sorted(value) if (text := _texts(value[name])) not in ("", {}, [])}
    if isinstance(value, list):
        return [text for item in value if (text := _texts(item)) not in ("", {}, [])]
    return str(value).lower() if isinstance(value, bool) else str(value)


def _digest(text: bytes, public: str) -> int:
    own = (len(USER) * 8).to_bytes(2, "big") + USER
    own += b"".join(number.to_bytes(32, "big") for number in (A, B, GX, GY)) + base64.b64decode(public)[-64:]
    return int.from_bytes(_sm3(_sm3(own) + text), "big")


def _sm3(data: bytes) -> bytes:
    work = Hash(SM3())
    work.update(data)
    return work.finalize()


def _times(k: int, point: Homogeneous) -> Homogeneous:
    total: Homogeneous = (0, 1, 0)
    for bit in bin(k)[2:]:
        total = _plus(total, total)
        if bit == "1":
            total = _plus(total, point)
    return total


def _plus(left: Homogeneous, other: Homogeneous) -> Homogeneous:
    """Sum in homogeneous coordinates."""
    if not left[2] or not other[2]:
        return other if not left[2] else left
    (x1, y1, z1), (x2, y2, z2) = left, other
    u, v = (y2 * z1 - y1 * z2) % P, (x2 * z1 - x1 * z2) % P
    if v == 0:
        return _twice(left) if u == 0 else (0, 1, 0)
    vv, z = v * v % P, z1 * z2 % P
    vvv, xvv = vv * v % P, vv * x1 * z2 % P
    w = (u * u * z - vvv - 2 * xvv) % P
    return v * w % P, (u * (xvv - w) - vvv * y1 * z2) % P, vvv * z % P


def _twice(point: Homogeneous) -> Homogeneous:
    x, y, z = point
    w, s = (A * z * z + 3 * x * x) % P, y * z % P
    b = x * y * s % P
    h = (w * w - 8 * b) % P
    ss = s * s % P
    return 2 * h * s % P, (w * (4 * b - h) - 8 * y * y * ss) % P, 8 * s * ss % P


def _affine(point: Homogeneous) -> tuple[int, int]:
    inverse = pow(point[2], -1, P)
    return point[0] * inverse % P, point[1] * inverse % P

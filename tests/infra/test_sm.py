"""SM2, SM3 and SM4 as the interface wants them: its test vector, gmalg's own arithmetic, and OpenSSL as witnesses."""

import base64
import contextlib
import shutil
import subprocess
from pathlib import Path
from typing import Any

import gmalg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import NeedsOperator
from infra import sm

# The test vector of the interface description.
APP_ID = "TESTAPPID0000000000000000000001"
APP_SECRET = "00112233445566778899AABBCCDDEEFF"
PLAIN = '{"hiRxno":"TEST0000000000000001","rxStas":"有效"}'
HIDDEN = ("E16F6EF23C3CC6061985A135E55FEEBB85C48C02817C066A5C0D0382324AD3EC8F4003B4AEC69A3B3B70EF37D9934EBC"
          "901D62F9C7821BFC0DA0368403259B5F")
ENVELOPE: dict[str, Any] = {
    "appId": APP_ID, "encType": "SM4", "signType": "SM2", "timestamp": 1700000000000, "version": "2.0.1",
    "data": {"rxStas": "有效", "hiRxno": "TEST0000000000000001"}, "signData": "not signed", "encData": HIDDEN, "extra": {"a": 1}}
TEXT = (f"appId={APP_ID}&data={PLAIN}&encType=SM4&signType=SM2&timestamp=1700000000000&version=2.0.1"
        f"&key={APP_SECRET}")
KEY = base64.b64encode(bytes.fromhex("1122334455667788" * 4)).decode()
PUBLIC = "BL+TEfP8dCEW9KanGOl93rOLUPOa6m2Q3VflZl0UkLvmNgJrhyhQmSHl91Rsjzw0ewEc5/hpDxq31UJOaGQkttE="
SIGNATURE = "AnPgSp4rk23b885/BiPi4xNsPqT71P7VYUrNZ1bINl/58ZKv3OqtAq+eaMPbk/dk5cSziYdTsdOlwn4NSG6BXQ=="

ORDER = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
openssl = pytest.mark.skipif(
    not shutil.which("openssl") or b"SM2" not in subprocess.run(
        ["openssl", "list", "-public-key-algorithms"], capture_output=True, check=False).stdout,
    reason="OpenSSL's command line with SM2 is missing")


def test_the_published_vector_holds_from_key_to_signature() -> None:
    assert sm.sm4_key(APP_ID, APP_SECRET) == b"6F7CC93DA4381475"
    assert sm.sm4_encrypt(sm.sm4_key(APP_ID, APP_SECRET), PLAIN.encode()) == HIDDEN
    assert sm.sm4_decrypt(sm.sm4_key(APP_ID, APP_SECRET), HIDDEN) == PLAIN.encode()
    assert sm.sign_text(ENVELOPE, APP_SECRET) == TEXT
    assert sm.sm3(TEXT.encode()).hex() == "8349520d51315608760e63bb3d2e79f64b0f65277e62d23e15704484dd416b1b"
    assert sm.public_key(KEY) == PUBLIC
    assert sm.sm2_sign(TEXT.encode(), KEY, nonce=int("0102030405060708" * 4, 16)) == SIGNATURE
    assert sm.sm2_verify(TEXT.encode(), SIGNATURE, PUBLIC)


def test_what_is_empty_is_not_signed_and_scalars_are_texts() -> None:
    data = {"b": 1.50, "a": None, "c": True, "d": "", "e": [], "f": {"g": "", "h": {}}, "i": [{"z": 2, "y": "是"}, "", False]}
    assert sm.sign_text({"data": data, "Zone": "x", "appId": "y"}, "s") == (
        'appId=y&data={"b":"1.5","c":"true","i":[{"y":"是","z":"2"},"false"]}&Zone=x&key=s')


def test_the_same_message_has_the_same_signature_and_another_one_another() -> None:
    assert sm.sm2_sign(b"one", KEY) == sm.sm2_sign(b"one", KEY) != sm.sm2_sign(b"two", KEY)


def test_a_key_of_33_bytes_and_one_without_its_04_are_the_same_keys() -> None:
    longer = base64.b64encode(b"\0" + base64.b64decode(KEY)).decode()
    bare = base64.b64encode(base64.b64decode(PUBLIC)[1:]).decode()
    assert sm.public_key(longer) == PUBLIC
    assert sm.sm2_verify(b"x", sm.sm2_sign(b"x", longer), bare)


@pytest.mark.parametrize("signature", ["", "?", "AAAA", base64.b64encode(bytes(64)).decode(),
                                       base64.b64encode(b"\xff" * 64).decode()])
def test_what_is_no_signature_is_not_accepted(signature: str) -> None:
    assert not sm.sm2_verify(b"x", signature, PUBLIC)


@pytest.mark.parametrize("key", ["", "?", "AAAA", base64.b64encode(bytes(32)).decode(),
                                 base64.b64encode(b"\4" + bytes(64)).decode()])
def test_a_key_that_is_none_is_for_a_person_and_not_shown(key: str) -> None:
    for use in (lambda: sm.sm2_sign(b"x", key), lambda: sm.sm2_verify(b"x", SIGNATURE, key)):
        with pytest.raises(NeedsOperator) as caught:
            use()
        assert caught.value.code == "bad_key"
        assert not key or key not in str(caught.value)


@given(st.binary(max_size=200), st.integers(1, ORDER - 3), st.integers(0, 511))
def test_every_signature_verifies_and_no_changed_one_does(message: bytes, secret: int, bit: int) -> None:
    key = base64.b64encode(secret.to_bytes(32, "big")).decode()
    raw = base64.b64decode(sm.sm2_sign(message, key))
    changed = (int.from_bytes(raw, "big") ^ 1 << bit).to_bytes(64, "big")
    assert sm.sm2_verify(message, base64.b64encode(raw).decode(), sm.public_key(key))
    assert not sm.sm2_verify(message, base64.b64encode(changed).decode(), sm.public_key(key))
    assert not sm.sm2_verify(message + b".", base64.b64encode(raw).decode(), sm.public_key(key))


@pytest.mark.parametrize("secret", [1, 2, 3, 15, 16, 17, 31, 1 << 128, (1 << 128) - 1, ORDER - 2, ORDER // 2])
def test_our_multiplication_is_gmalgs(secret: int) -> None:
    key = secret.to_bytes(32, "big")
    assert base64.b64decode(sm.public_key(base64.b64encode(key).decode())) == gmalg.SM2().generate_pk(key)


@given(st.binary(max_size=100))
def test_what_is_hidden_comes_back_and_another_key_does_not_open_it_silently(plain: bytes) -> None:
    assert sm.sm4_decrypt(b"k" * 16, sm.sm4_encrypt(b"k" * 16, plain)) == plain
    with contextlib.suppress(ValueError):
        assert sm.sm4_decrypt(b"l" * 16, sm.sm4_encrypt(b"k" * 16, plain)) != plain


@openssl
def test_openssl_accepts_our_signature_and_we_accept_its(tmp_path: Path) -> None:
    # SEC1 in DER: version 1, the private key, and the curve's OID 1.2.156.10197.1.301.
    der = (bytes.fromhex("30310201010420") + base64.b64decode(KEY) + bytes.fromhex("a00a06082a811ccf5501822d"))
    (tmp_path / "key.der").write_bytes(der)
    (tmp_path / "text").write_bytes(TEXT.encode())
    run = lambda *words: subprocess.run(["openssl", *words], cwd=tmp_path, check=True, capture_output=True)  # noqa: E731
    run("ec", "-inform", "DER", "-in", "key.der", "-out", "key.pem")
    run("ec", "-in", "key.pem", "-pubout", "-out", "public.pem")

    (tmp_path / "ours").write_bytes(as_der(sm.sm2_sign(TEXT.encode(), KEY)))
    checked = run("pkeyutl", "-verify", "-pubin", "-inkey", "public.pem", "-rawin", "-digest", "sm3", "-in", "text",
                  "-sigfile", "ours", "-pkeyopt", f"distid:{sm.USER_ID}")
    assert b"Successfully" in checked.stdout

    run("pkeyutl", "-sign", "-inkey", "key.pem", "-rawin", "-digest", "sm3", "-in", "text", "-out", "theirs",
        "-pkeyopt", f"distid:{sm.USER_ID}")
    assert sm.sm2_verify(TEXT.encode(), from_der((tmp_path / "theirs").read_bytes()), PUBLIC)


def test_two_user_ids_never_share_a_nonce() -> None:
    """With one nonce, two signatures of one message give the private key away: s1(1+d)+r1·d = s2(1+d)+r2·d."""
    message, secret = TEXT.encode(), int.from_bytes(base64.b64decode(KEY), "big")
    raws = [base64.b64decode(sm.sm2_sign(message, KEY, user)) for user in (sm.USER_ID, "ANOTHER HOSPITAL")]
    (r, s), (other_r, other_s) = [(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")) for raw in raws]
    guess = (other_s - s) * pow(s + r - other_s - other_r, -1, ORDER) % ORDER

    assert guess != secret
    nonces = [(s * (1 + secret) + r * secret) % ORDER, (other_s * (1 + secret) + other_r * secret) % ORDER]
    assert nonces[0] != nonces[1]
    assert sm.sm2_sign(message, KEY) == sm.sm2_sign(message, KEY)


@openssl
def test_openssl_hides_and_digests_as_we_do(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(PLAIN.encode())
    key = sm.sm4_key(APP_ID, APP_SECRET)
    hidden = subprocess.run(["openssl", "enc", "-sm4-ecb", "-K", key.hex(), "-in", tmp_path / "text"],
                            check=True, capture_output=True).stdout
    digest = subprocess.run(["openssl", "dgst", "-sm3", "-binary", tmp_path / "text"], check=True, capture_output=True).stdout
    assert hidden.hex().upper() == sm.sm4_encrypt(key, PLAIN.encode())
    assert digest == sm.sm3(PLAIN.encode())


def as_der(signature: str) -> bytes:
    raw = base64.b64decode(signature)
    numbers = b"".join(b"\x02" + bytes([len(one)]) + one for half in (raw[:32], raw[32:])
                       for one in [(int.from_bytes(half, "big")).to_bytes(33, "big").lstrip(b"\0")]
                       for one in [b"\0" + one if one[0] & 0x80 else one])
    return b"\x30" + bytes([len(numbers)]) + numbers


def from_der(der: bytes) -> str:
    first = der[4:4 + der[3]]
    second = der[4 + der[3] + 2:]
    return base64.b64encode(first[-32:].rjust(32, b"\0") + second[-32:].rjust(32, b"\0")).decode()

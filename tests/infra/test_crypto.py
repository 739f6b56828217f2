"""Sealed values open with the right key in the right place and nowhere else."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from domain.errors import NeedsOperator
from infra import crypto
from infra.crypto import Cipher, make_cipher
from infra.settings import Settings

PLACE = "patient/name/pt_1"
KEYS = (bytes(range(32)), bytes(range(32, 64)))
NAME = "示范患者"

# RFC 8998 appendix A.1 (SM4-GCM); GCM specification, test case 16 (AES-256-GCM).
KNOWN_ANSWERS = {
    "sm4-gcm": (
        "0123456789abcdeffedcba9876543210",
        "00001234567800000000abcd",
        "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccddddddddddddddddeeeeeeeeeeeeeeeeffffffffffffffffeeeeeeeeeeeeeeeeaaaaaaaaaaaaaaaa",
        "feedfacedeadbeeffeedfacedeadbeefabaddad2",
        "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d"
        "83de3541e4c2b58177e065a9bf7b62ec",
    ),
    "aes-gcm": (
        "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
        "cafebabefacedbaddecaf888",
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
        "feedfacedeadbeeffeedfacedeadbeefabaddad2",
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
        "76fc6ece0f4e1768cddf8853bb2d551b",
    ),
}  # fmt: skip


SEALED_BY_THE_FIRST_RELEASE = (
    "010196d18e755c4368517fe752197f9f87c16ce64a74fde1905e641397f4dcebc5b98f2f7c23dd0fec5cc890f646",  # aes-gcm
    "0102b331b472139254f005957068bd2a68da69b69ef1fd11313a31dae7cabe3fd2c89800cfbcd2653e84a05de525",  # sm4-gcm
)


@pytest.fixture(params=["aes-gcm", "sm4-gcm"])
def cipher(request) -> Cipher:
    return Cipher(*KEYS, algorithm=request.param)


@pytest.mark.parametrize("algorithm", KNOWN_ANSWERS)
def test_the_ciphers_are_the_published_ones(algorithm):
    key, nonce, text, associated, answer = (bytes.fromhex(part) for part in KNOWN_ANSWERS[algorithm])
    number = crypto._ALGORITHMS[algorithm]
    assert crypto.encrypt(number, key, nonce, text, associated) == answer
    assert crypto.decrypt(number, key, nonce, answer, associated) == text


@given(text=st.text(), place=st.text())
@pytest.mark.parametrize("algorithm", ["aes-gcm", "sm4-gcm"])
def test_what_is_sealed_opens_again(algorithm, text, place):
    cipher = Cipher(*KEYS, algorithm=algorithm)
    assert cipher.open(cipher.seal(text, place), place) == text


def test_a_sealed_value_says_nothing_and_never_looks_the_same(cipher):
    first, second = cipher.seal(NAME, PLACE), cipher.seal(NAME, PLACE)
    assert first != second
    assert NAME.encode() not in first


def test_any_changed_bit_is_noticed(cipher):
    sealed = cipher.seal(NAME, PLACE)
    for at in range(len(sealed)):
        for bit in range(8):
            changed = bytearray(sealed)
            changed[at] ^= 1 << bit
            with pytest.raises(NeedsOperator) as caught:
                cipher.open(bytes(changed), PLACE)
            assert NAME not in str(caught.value)


@pytest.mark.parametrize("length", [0, 1, 20, 33])
def test_a_cut_off_value_is_noticed(cipher, length):
    with pytest.raises(NeedsOperator):
        cipher.open(cipher.seal(NAME, PLACE)[:length], PLACE)


def test_a_value_moved_to_another_row_does_not_open(cipher):
    with pytest.raises(NeedsOperator, match="patient/name/pt_2") as caught:
        cipher.open(cipher.seal(NAME, PLACE), "patient/name/pt_2")
    assert caught.value.code == "tampered"


def test_the_wrong_key_is_called_the_wrong_key(cipher):
    other = Cipher(b"\x01" * 32, KEYS[1], cipher.algorithm)
    with pytest.raises(NeedsOperator, match="SANYI_IDENTITY_KEY") as caught:
        other.open(cipher.seal(NAME, PLACE), PLACE)
    assert caught.value.code == "wrong_key"


def test_old_values_open_after_the_algorithm_was_changed():
    sealed = Cipher(*KEYS, algorithm="aes-gcm").seal(NAME, PLACE)
    assert Cipher(*KEYS, algorithm="sm4-gcm").open(sealed, PLACE) == NAME


@pytest.mark.parametrize("stored", SEALED_BY_THE_FIRST_RELEASE)
def test_what_the_first_release_sealed_opens_for_ever(stored):
    assert Cipher(*KEYS).open(bytes.fromhex(stored), PLACE) == NAME


def test_keys_show_in_no_repr(cipher):
    assert "\\x" not in repr(cipher)
    assert str(KEYS[0]) not in repr(cipher)


def test_the_same_person_has_the_same_opaque_id(cipher):
    first = cipher.patient_id("11010519491231002x")
    assert first == cipher.patient_id(" 11010519491231002X ")
    assert first != cipher.patient_id("110105194912310038")
    assert first.startswith("pt_")
    assert len(first) == 19


def test_hashes_depend_on_the_key_and_on_their_purpose(cipher):
    text = "110105194912310038"
    other = Cipher(KEYS[0], b"\x02" * 32)
    assert cipher.lookup(text) == cipher.lookup(text)
    assert cipher.lookup(text) != other.lookup(text)
    assert cipher.patient_id(text) != other.patient_id(text)
    assert cipher.lookup("patient\0x") != cipher._hash("patient", "x").hex()


def test_a_lookup_is_an_hmac_anyone_can_recompute(cipher):
    # openssl dgst -sha256 -mac HMAC -macopt hexkey:2021…3f over "lookup", a zero byte, "abc"
    assert cipher.lookup("abc") == "99401ca8cf26ca4ca03b25a130e713f7e480fef489296b7068f35f1666855997"


def encoded(key: bytes) -> SecretStr:
    return SecretStr(base64.b64encode(key).decode())


def test_the_installation_has_one_cipher():
    chosen = Settings(identity_key=encoded(KEYS[0]), lookup_key=encoded(KEYS[1]), identity_cipher="sm4-gcm")
    assert make_cipher(chosen) == Cipher(*KEYS, algorithm="sm4-gcm")


@pytest.mark.parametrize("bad", ["", "not base64!", base64.b64encode(b"short").decode()])
def test_a_missing_or_broken_key_is_named_with_its_cure(bad):
    with pytest.raises(NeedsOperator, match=r"SANYI_IDENTITY_KEY.*openssl rand") as caught:
        make_cipher(Settings(identity_key=SecretStr(bad), lookup_key=encoded(KEYS[1])))
    assert not bad or bad not in str(caught.value)


def test_one_key_cannot_serve_both_purposes():
    with pytest.raises(NeedsOperator, match="SANYI_LOOKUP_KEY"):
        make_cipher(Settings(identity_key=encoded(KEYS[0]), lookup_key=encoded(KEYS[0])))

"""Passwords, authenticators, recovery codes."""

from datetime import UTC, datetime, timedelta

import pytest
from argon2 import PasswordHasher

from infra import passwords, qr


@pytest.fixture(autouse=True)
def true_cost(quick_passwords: PasswordHasher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_HASHER", quick_passwords)


NOON = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
RFC_SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
"""The secret of the examples in RFC 6238, appendix B."""


def test_a_password_is_kept_as_argon2id_and_never_the_same_twice() -> None:
    kept, again = passwords.hashed("correct horse battery"), passwords.hashed("correct horse battery")
    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert kept != again
    assert passwords.matches(kept, "correct horse battery")
    assert not passwords.matches(kept, "correct horse batterx")
    assert not passwords.outdated(kept)


@pytest.mark.parametrize("kept", ["", "no hash at all", "$argon2id$v=19$m=65536,t=3,p=4$AAAA"])
def test_what_is_no_hash_matches_nothing(kept: str) -> None:
    assert not passwords.matches(kept, "")
    assert not passwords.matches(kept, kept)


def test_the_same_characters_typed_otherwise_are_the_same_password() -> None:
    assert passwords.matches(passwords.hashed("ｅ́tude for four hands"), "étude for four hands")


@pytest.mark.parametrize(("seconds", "code"), [
    (59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (2000000000, "279037")])
def test_codes_are_those_of_the_standard(seconds: int, code: str) -> None:
    at = datetime.fromtimestamp(seconds, UTC)
    assert passwords.step_of(RFC_SECRET, code, at) == seconds // 30
    assert passwords.step_of(RFC_SECRET, f"{code[:3]} {code[3:]}", at) == seconds // 30


def test_a_code_is_taken_half_a_minute_early_or_late_and_no_more() -> None:
    at = datetime.fromtimestamp(1234567890, UTC)
    taken = {seconds: passwords.step_of(RFC_SECRET, "005924", at + timedelta(seconds=seconds)) is not None
             for seconds in (-60, -30, 0, 30, 60)}
    assert taken == {-60: False, -30: True, 0: True, 30: True, 60: False}


def test_a_code_that_was_taken_is_not_taken_again_nor_an_earlier_one() -> None:
    at = datetime.fromtimestamp(1234567890, UTC)
    step = passwords.step_of(RFC_SECRET, "005924", at)
    assert step is not None
    assert passwords.step_of(RFC_SECRET, "005924", at, after=step) is None
    assert passwords.step_of(RFC_SECRET, "005924", at, after=step - 1) == step


@pytest.mark.parametrize("code", ["", "0", "00592４", "0059240", "абвгде", "005924\n005924"])
def test_anything_else_is_no_code(code: str) -> None:
    assert passwords.step_of(RFC_SECRET, code, datetime.fromtimestamp(1234567890, UTC)) is None


def test_recovery_codes_are_read_as_they_are_typed() -> None:
    codes = passwords.recovery_codes()
    assert len(set(codes)) == passwords.RECOVERY_CODES
    assert {passwords.normal_recovery_code(typed) for typed in (codes[0], codes[0].lower(), codes[0].replace("-", " ") + " ")} == {
        codes[0].replace("-", "")}


def test_the_picture_has_no_style_and_no_script() -> None:
    secret = passwords.new_secret()
    picture = qr.svg(passwords.address(secret, "P001", "Sanyi"))
    assert picture.startswith("<svg")
    assert "style" not in picture
    assert "script" not in picture
    assert secret not in picture

"""Settings come from the environment, and a wrong one is explained."""

import os
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from domain.errors import NeedsOperator
from infra.settings import DELIMITER, PREFIX, Settings, describe, get_settings, weak

EXAMPLE = Path(__file__).resolve().parents[2] / ".env.example"
STRONG = "k3Zr-9bQx_T0vJ5wLm8Y"


@pytest.fixture
def environment(monkeypatch, tmp_path):
    """No setting of ours but those the test gives."""
    for name in list(os.environ):
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)  # away from a developer's own .env
    get_settings.cache_clear()

    def give(**variables: str) -> Settings:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        get_settings.cache_clear()
        return get_settings()

    yield give
    get_settings.cache_clear()


def complaint(environment, **variables: str) -> str:
    with pytest.raises(NeedsOperator) as caught:
        environment(**variables)
    return str(caught.value)


def test_nothing_needs_to_be_set_to_try_it_out(environment):
    settings = environment()
    assert settings.city == "jinan"
    assert settings.database_url == "sqlite:///.sanyi/sanyi.db"
    assert settings.archive.kind == "local"
    assert settings.time_scale == 1.0


def test_the_embedded_database_follows_the_home_folder(environment):
    assert environment(SANYI_HOME="/srv/sanyi").database_url == "sqlite:////srv/sanyi/sanyi.db"


def test_records_are_retained_for_fifteen_years_unless_told_otherwise_a_34(environment):
    assert environment().archive.retention_days == 15 * 365


def test_settings_are_read_once(environment):
    assert environment() is get_settings()


def test_settings_cannot_be_changed(environment):
    with pytest.raises(ValidationError):
        environment().city = "shanghai"


def test_partners_and_people_are_given_one_by_one(environment):
    settings = environment(
        SANYI_PARTNER_URLS__ANKANG="http://127.0.0.1:9001/",
        SANYI_PARTNER_SECRETS__JINAN_FIRST__TOKEN="12345678",
        SANYI_PARTNER_SECRETS__JINAN_FIRST__REPORT="true",
        SANYI_PHARMACISTS__P001="0815174612983475",
    )
    assert settings.partner_urls == {"ankang": "http://127.0.0.1:9001"}
    secrets = settings.partner_secrets["jinan_first"]
    assert secrets["token"].get_secret_value() == "12345678"  # digits stay a text
    assert secrets["report"].get_secret_value() == "true"
    assert settings.pharmacists["p001"].get_secret_value() == "0815174612983475"


def test_an_env_file_is_read_and_the_environment_wins(environment, tmp_path):
    (tmp_path / ".env").write_text("SANYI_CITY=shanghai\nSANYI_BATCH_LIMIT=7\nOTHER_PROGRAM=1\n")
    settings = environment(SANYI_CITY="yangquan")
    assert (settings.city, settings.batch_limit) == ("yangquan", 7)


def test_a_misspelt_name_is_refused_wherever_it_stands(environment, tmp_path):
    assert "SANYI_BATCH_LIMITS" in complaint(environment, SANYI_BATCH_LIMITS="7")
    assert "did you mean SANYI_BATCH_LIMIT?" in complaint(environment)


def test_a_misspelt_name_in_the_env_file_is_refused(environment, tmp_path):
    (tmp_path / ".env").write_text("SANYI_CITI=shanghai\n")
    assert "SANYI_CITI: no such setting; did you mean SANYI_CITY?" in complaint(environment)


def test_a_misspelt_part_of_a_group_is_refused(environment):
    assert "did you mean SANYI_ARCHIVE__KIND?" in complaint(environment, SANYI_ARCHIVE__KINDS="s3")


@pytest.mark.parametrize(
    ("variable", "value", "rule"),
    [
        ("SANYI_BATCH_LIMIT", "many", "valid integer"),
        ("SANYI_BATCH_LIMIT", "0", "greater than or equal to 1"),
        ("SANYI_TIME_SCALE", "0", "greater than or equal to 1"),
        ("SANYI_IDENTITY_CIPHER", "des", "'aes-gcm' or 'sm4-gcm'"),
        ("SANYI_GATEWAY_URL", "localhost:8000", "must start with http"),
        ("SANYI_PARTNER_URLS__ANKANG", "ftp://x", "must start with http"),
        ("SANYI_ARCHIVE__KIND", "s3", "needs __BUCKET, __ACCESS_KEY and __SECRET_KEY"),
        ("SANYI_ARCHIVE__RETENTION_DAYS", "-1", "greater than 0"),
    ],
)
def test_a_bad_value_names_the_variable_the_rule_and_the_cure(environment, variable, value, rule):
    message = complaint(environment, **{variable: value})
    assert variable.removesuffix("__KIND") in message
    assert rule in message
    assert "Set it right (" in message


def test_all_bad_values_are_named_at_once(environment):
    message = complaint(environment, SANYI_BATCH_LIMIT="x", SANYI_RUNS_AT_ONCE="y")
    assert "SANYI_BATCH_LIMIT" in message
    assert "SANYI_RUNS_AT_ONCE" in message


@pytest.mark.parametrize("variable", ["SANYI_PARTNER_SECRETS", "SANYI_PARTNER_SECRETS__ANKANG", "SANYI_PHARMACISTS"])
def test_a_complaint_never_repeats_a_secret(environment, variable):
    assert "hunter2" not in complaint(environment, **{variable: "hunter2"})
    # ... nor do the errors it came from
    with pytest.raises(NeedsOperator) as caught:
        environment()
    assert caught.value.__context__ is None


def test_a_library_error_does_not_repeat_a_secret_either(environment):
    with pytest.raises(ValidationError) as caught:
        Settings(operators="hunter2")
    assert "hunter2" not in str(caught.value)


def test_an_empty_value_counts_as_not_set(environment):
    assert environment(SANYI_BATCH_LIMIT="", SANYI_DATABASE_URL="").batch_limit == 100
    assert environment().database_url == "sqlite:///.sanyi/sanyi.db"


@pytest.mark.parametrize("names", [
    ("SANYI_OPERATORS__O001", "SANYI_OPERATORS__O002"), ("SANYI_PHARMACISTS__P001", "SANYI_OPERATORS__O001"),
    ("SANYI_PHARMACISTS__P001", "SANYI_METRICS_TOKEN"),
])
def test_a_token_is_one_persons_in_one_role(environment, names):
    message = complaint(environment, **dict.fromkeys(names, STRONG))
    assert "two have the same token" in message
    assert STRONG not in message


@pytest.mark.parametrize(("token", "why"), [
    ("a", "too short"), ("0815", "too short"), ("k3Zr-9bQx_T0vJ5", "too short"), ("a" * 40, "too uniform"),
    ("abababababababababab", "too uniform"), ("1234567890123456", "a row of keys"), ("abcdefghijklmnopqrst", "a row of keys"),
    ("change-me-0123456789-Zq", "words of an example"), ("Password-2026-November", "words of an example"),
])
def test_a_token_that_could_be_guessed_is_refused_without_being_repeated(environment, token, why):
    for name in ("SANYI_PHARMACISTS__P001", "SANYI_OPERATORS__O001", "SANYI_METRICS_TOKEN"):
        message = complaint(environment, **{name: token})
        assert why in message
        assert len(token) < 5 or token not in message


@pytest.mark.parametrize("token", [STRONG, "k3Zr-9bQx_T0vJ5w", "3f9a1c07e2b4d865", "Vq0zXn1uT5b7r2Yw+8mKfA=="])
def test_what_a_random_generator_makes_is_taken(environment, token):
    assert weak(token) == ""
    assert environment(SANYI_OPERATORS__O001=token).operators["o001"].get_secret_value() == token


@pytest.mark.parametrize("secret", ["change-me", "CHANGE_ME", "changeme"])
def test_a_partners_secret_is_not_left_as_the_example_had_it(environment, secret):
    assert "words of an example" in complaint(environment, SANYI_PARTNER_SECRETS__ANKANG__TOKEN=secret)


@pytest.mark.parametrize("name", ["SANYI_GATEWAY_URL", "SANYI_PARTNER_URLS__JINAN_CENTRE"])
def test_nothing_about_a_patient_goes_in_clear_over_a_line_that_leaves_the_host(environment, name):
    for bad in ("http://centre.example", "http://10.0.0.7:8000", "http://0.0.0.0:8000", "http://127.0.0.1.evil.example"):
        assert "must start with https://" in complaint(environment, **{name: bad}), bad
    for good in ("https://centre.example", "http://127.0.0.1:9001", "http://localhost:1", "http://[::1]:9001"):
        environment(**{name: good})


def test_secrets_and_the_database_address_show_in_no_repr(environment):
    settings = environment(
        SANYI_IDENTITY_KEY="hunter2",
        SANYI_DATABASE_URL="postgresql+psycopg://u:hunter2@h/d",
        SANYI_PARTNER_SECRETS__ANKANG__TOKEN="hunter2",
    )
    assert "hunter2" not in repr(settings) + str(settings)


def example(pattern: str = r"(?:# )?") -> dict[str, str]:
    lines = EXAMPLE.read_text().splitlines()
    return {found[1]: found[2] for line in lines if (found := re.match(rf"^{pattern}(SANYI_\w+)=(.*)$", line))}


def test_every_setting_has_a_description():
    assert [name for name, meaning in describe().items() if not meaning] == []


def test_the_example_file_shows_every_setting():
    shown = example()
    groups = tuple(name for name in describe() if name.endswith(DELIMITER))
    covered = set(shown) | {group for group in groups if any(name.startswith(group) for name in shown)}
    missing = set(describe()) - covered
    assert not missing, f"add to .env.example: {sorted(missing)}"


def test_every_line_of_the_example_file_is_a_setting(environment):
    lines = example() | {"SANYI_PHARMACISTS__P001": STRONG, "SANYI_OPERATORS__O001": STRONG[::-1]}
    assert {"ankang", "baicao"} <= set(environment(**lines).partner_urls)


def test_what_the_example_file_shows_as_a_default_is_the_default(environment):
    defaults = environment().model_dump()
    without = {"SANYI_DATABASE_URL", "SANYI_WORKER", "SANYI_ARCHIVE__FOLDER", "SANYI_ARCHIVE__ENDPOINT"}
    for name, shown in example("# ").items():
        if name in describe() and name not in without:
            value = defaults
            for part in name.removeprefix(PREFIX).lower().split(DELIMITER):
                value = value[part]
            assert str(value) == shown, name


def test_a_copied_example_file_changes_nothing(environment, tmp_path):
    before = environment()
    (tmp_path / ".env").write_text(EXAMPLE.read_text())
    assert environment() == before

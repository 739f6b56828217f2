"""`./go people` on a fresh installation."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.people import Role
from infra.db import people as rows
from tasks import accounts, staff
from tasks.city import City
from tests.support.city import make_city

ROOT = Path(__file__).parents[3]


@pytest.fixture
def city(tmp_path: Path) -> Iterator[City]:
    made = make_city(tmp_path)
    yield made
    made.db.close()


def run(city: City, *words: str) -> int:
    return staff.serve(city, "https://sanyi.example", staff.parser().parse_args(words))


def test_the_first_administrator_gets_a_code_that_enrols(city: City, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(city, "add", "a001", "administrator", "hotline", "--name", "李") == 0
    printed = capsys.readouterr().out
    code = printed.split("enrolment code: ")[1].split()[0]
    assert accounts.enrolment(city, code).person == "A001"
    assert "https://sanyi.example/enrol" in printed
    with city.db.reading() as session:
        person = rows.find(session, "A001")
    assert person is not None
    assert person.roles == {Role.ADMINISTRATOR, Role.HOTLINE}


def test_people_are_listed_with_roles_and_state(city: City, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(city) == 0
    assert "./go people add" in capsys.readouterr().out
    run(city, "add", "S001", "shop@ankang")
    run(city, "invite", "s001")
    capsys.readouterr()
    run(city)
    assert capsys.readouterr().out.split() == ["S001", "shop@ankang", "未登记", "not", "enrolled"]


@pytest.mark.parametrize("words", [("invite", "X9"), ("add", "S001", "shop"), ("add", "13912345678", "hotline")])
def test_what_cannot_be_is_said_in_both_languages(
        city: City, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    assert run(city, *words) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.isascii() is False


def test_an_unknown_role_names_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        staff.parser().parse_args(["add", "A001", "emperor"])
    assert "administrator" in capsys.readouterr().err


def test_a_program_without_settings_says_what_is_missing(tmp_path: Path) -> None:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("SANYI_")}
    done = subprocess.run([sys.executable, "-m", "tasks.staff"], cwd=tmp_path, capture_output=True, text=True, timeout=60,
                          env=bare | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == 1
    assert "SANYI_" in done.stderr
    assert "Traceback" not in done.stderr

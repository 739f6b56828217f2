"""A new hospital begins as a copy of a tested one, and its failing tests say what to do next."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import adapters.hospitals
from adapters import registry
from adapters.kit import samples, scaffold, steps
from domain.errors import NeedsOperator

REAL = registry.HERE


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A checkout of which only the hospitals, the cities and the sandbox's plan are there."""
    for slug in ("jinan_first", "jinan_county"):
        _copy(REAL / "hospitals" / slug, tmp_path / "adapters" / "hospitals" / slug)
    (tmp_path / "cities" / "demo").mkdir(parents=True)
    (tmp_path / "cities" / "demo" / "policy.toml").write_text('[[hospitals]]\nslug = "jinan_first"\n', encoding="utf-8")
    (tmp_path / "sandbox").mkdir()
    (tmp_path / "sandbox" / "plan.py").write_text('HOSPITALS = {"jinan_first": "fhir"}\n', encoding="utf-8")
    monkeypatch.setattr(registry, "HERE", tmp_path / "adapters")
    monkeypatch.setattr(adapters.hospitals, "__path__", [str(tmp_path / "adapters" / "hospitals")])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("adapters.hospitals."):
            del sys.modules[name]


def _copy(source: Path, to: Path) -> None:
    for file in source.rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            target = to / file.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())


@pytest.mark.parametrize(("word", "slug"), [("fhir", "jinan_first"), ("dropbox", "jinan_county"), ("jinan_first", "jinan_first")])
def test_the_model_is_named_by_its_dialect_or_by_its_name(root: Path, word: str, slug: str) -> None:
    assert scaffold.like(word) == slug


def test_an_unknown_model_is_refused_with_what_there_is(root: Path) -> None:
    with pytest.raises(NeedsOperator, match="dropbox \\(jinan_county\\)"):
        scaffold.like("telex")


@pytest.mark.parametrize("model", ["jinan_first", "jinan_county"])
def test_the_copy_bears_the_new_name_everywhere_and_nothing_of_the_others_codes(root: Path, model: str) -> None:
    folder, test = scaffold.new_hospital("lixia_clinic", model, root=root)
    assert registry.manifest("hospitals", "lixia_clinic").slug == "lixia_clinic"
    for file in folder.rglob("*"):
        if file.is_file() and file.suffix != ".xlsx" and file.name != "copied.toml":
            assert model.encode() not in file.read_bytes(), file
    for table in (folder / "mapping").glob("*.csv"):
        assert len(table.read_text(encoding="utf-8").splitlines()) == 1
    assert samples.reader("lixia_clinic").slug == "lixia_clinic"
    assert "lixia_clinic" in test.read_text(encoding="utf-8")


def test_each_step_says_what_to_do_in_both_languages_and_the_next_ones_remain(root: Path) -> None:
    scaffold.new_hospital("lixia_clinic", "jinan_county", root=root)
    left = steps.left("lixia_clinic")
    assert list(left) == ["1 manifest", "2 samples", "4 mapping", "5 mistakes", "6 city", "7 sandbox"]
    for todo in left.values():
        zh, en = todo.split("\n", 1)
        assert any("一" <= letter <= "鿿" for letter in zh)
        assert en[0].isascii()


def test_a_step_that_is_done_is_not_asked_for_again(root: Path) -> None:
    folder, _ = scaffold.new_hospital("lixia_clinic", "jinan_first", root=root)
    manifest = folder / "manifest.toml"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace('name = ""', 'name = "示范诊所"').replace(
        'name_en = ""', 'name_en = "Demo Clinic"'), encoding="utf-8")
    for file in (folder / "samples").rglob("*.json"):
        file.write_bytes(file.read_bytes() + b"\n")
    (root / "cities" / "demo" / "policy.toml").write_text('[[hospitals]]\nslug = "lixia_clinic"\n', encoding="utf-8")
    (root / "sandbox" / "plan.py").write_text('HOSPITALS = {"lixia_clinic": "fhir"}\n', encoding="utf-8")
    registry.read_manifest.cache_clear()
    assert steps.left("lixia_clinic") == {}


def test_a_sample_that_cannot_be_read_is_named_with_place_and_cure(root: Path) -> None:
    folder, _ = scaffold.new_hospital("lixia_clinic", "jinan_first", root=root)
    (folder / "samples" / "broken.json").write_text("{", encoding="utf-8")
    todo = steps.translated("lixia_clinic")
    assert "samples/broken.json" in todo
    assert "MSG_NOT_JSON" in todo


@pytest.mark.parametrize("name", ["Lixia", "9lives", "a-b", "class", "a__b", "", "x" * 41, "../up", "a_"])
def test_a_name_that_cannot_be_a_folder_and_a_setting_is_refused(root: Path, name: str) -> None:
    with pytest.raises(NeedsOperator) as no:
        scaffold.new_hospital(name, "jinan_first", root=root)
    assert no.value.code == "bad_slug"


def test_nothing_that_is_there_is_overwritten(root: Path) -> None:
    with pytest.raises(NeedsOperator) as no:
        scaffold.new_hospital("jinan_county", "jinan_first", root=root)
    assert no.value.code == "exists"
    scaffold.new_hospital("lixia_clinic", "jinan_first", root=root)
    with pytest.raises(NeedsOperator):
        scaffold.new_hospital("lixia_clinic", "jinan_first", root=root)


def test_the_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        scaffold.main(["--help"])
    assert "--like" in capsys.readouterr().out
    assert scaffold.main(["hospital", "jinan_first", "--like", "fhir"]) == 2
    assert "已存在" in capsys.readouterr().err

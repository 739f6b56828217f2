"""A new chain begins as a copy of a tested one, is under the contract tests at once, and says what is next."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import adapters.chains
from adapters import registry
from adapters.kit import chain_steps, scaffold
from domain.errors import NeedsOperator
from tests.adapters.kit.test_scaffold import _copy
from tests.contracts import test_partners as contract

REAL = registry.HERE


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A checkout of which only the chains, a city and the sandbox's list are there."""
    for slug in ("ankang", "baicao", "huakang", "jishi", "linli"):
        _copy(REAL / "chains" / slug, tmp_path / "adapters" / "chains" / slug)
    _copy(REAL / "hospitals" / "jinan_first", tmp_path / "adapters" / "hospitals" / "jinan_first")
    (tmp_path / "cities" / "demo").mkdir(parents=True)
    (tmp_path / "cities" / "demo" / "policy.toml").write_text('chains = ["jishi"]\n', encoding="utf-8")
    (tmp_path / "sandbox").mkdir()
    (tmp_path / "sandbox" / "chain.py").write_text('CHAINS = {"jishi": 1}\n', encoding="utf-8")
    monkeypatch.setattr(registry, "HERE", tmp_path / "adapters")
    monkeypatch.setattr(adapters.chains, "__path__", [*adapters.chains.__path__, str(tmp_path / "adapters" / "chains")])
    before = set(sys.modules)
    yield tmp_path
    registry.read_manifest.cache_clear()
    for name in set(sys.modules) - before:
        if name.startswith("adapters.chains."):
            del sys.modules[name]


@pytest.mark.parametrize(("word", "slug"), [("rest", "ankang"), ("soap", "jishi"), ("box", "huakang"), ("baicao", "baicao")])
def test_the_model_is_named_by_its_dialect_or_by_its_name(root: Path, word: str, slug: str) -> None:
    assert scaffold.like(word, "chain") == slug


@pytest.mark.parametrize(("word", "told"), [
    ("fax", "soap-polled \\(jishi\\)"), ("pages", "need no folder"), ("linli", "need no folder")])
def test_a_way_of_which_no_tested_chain_is_there_is_refused_with_what_there_is(root: Path, word: str, told: str) -> None:
    with pytest.raises(NeedsOperator, match=told):
        scaffold.like(word, "chain")


@pytest.mark.parametrize("model", ["ankang", "baicao", "huakang", "jishi"])
async def test_the_copy_bears_the_new_name_and_passes_the_contract_at_once(root: Path, model: str) -> None:
    folder, test = scaffold.new_chain("lixia_chain", model, root=root)
    for file in folder.rglob("*"):
        if file.is_file() and file.name not in ("copied.toml", "__init__.py"):
            assert model.encode() not in file.read_bytes().lower(), file
    assert 'STEPS["' not in test.read_text(encoding="utf-8").replace('STEPS[step]("lixia_chain")', "")
    contract.test_every_promised_refusal_has_a_word("lixia_chain")
    contract.test_the_map_of_status_words_is_total("lixia_chain")
    contract.test_every_sample_of_its_word_becomes_an_update("lixia_chain")
    for name in contract.CHAIN_CALLS:
        await contract.test_every_call_sends_what_was_recorded_and_understands_the_answer("lixia_chain", name)


@pytest.mark.parametrize("model", ["baicao", "huakang", "jishi"])
def test_each_step_says_what_to_do_in_both_languages_and_the_next_ones_remain(root: Path, model: str) -> None:
    scaffold.new_chain("lixia_chain", model, root=root)
    left = chain_steps.left("lixia_chain")
    assert list(left) == list(chain_steps.STEPS)
    for todo in left.values():
        zh, en = todo.split("\n", 1)
        assert any("一" <= letter <= "鿿" for letter in zh)
        assert en[0].isascii()


def done(root: Path, folder: Path) -> None:
    manifest = folder / "manifest.toml"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace('name = ""', 'name = "历下示范连锁"').replace(
        'name_en = ""', 'name_en = "Lixia Demo Chain"'), encoding="utf-8")
    for file in (folder / "samples").rglob("*.json"):
        file.write_bytes(file.read_bytes() + b"\n")
    (root / "cities" / "demo" / "policy.toml").write_text('chains = ["jishi", "lixia_chain"]\n', encoding="utf-8")
    (root / "sandbox" / "chain.py").write_text('CHAINS = {"jishi": 1, "lixia_chain": 1}\n', encoding="utf-8")
    (root / "sandbox" / "lixia_chain.py").write_text("", encoding="utf-8")
    registry.read_manifest.cache_clear()


def test_a_step_that_is_done_is_not_asked_for_again(root: Path) -> None:
    folder, _ = scaffold.new_chain("lixia_chain", "ankang", root=root)
    done(root, folder)
    assert chain_steps.left("lixia_chain") == {}


@pytest.mark.parametrize(("spoil", "step", "told"), [
    (lambda folder: (folder / "samples" / "find.json").unlink(), "2 exchanges", "find"),
    (lambda folder: (folder / "samples" / "callbacks" / "declined.json").unlink(), "3 words", "declined"),
    (lambda folder: (folder / "samples" / "callbacks" / "declined.json").write_text("{"), "3 words",
     "declined.json: 报文不是 JSON（CHN-01"),
    (lambda folder: (folder / "manifest.toml").write_text(
        (folder / "manifest.toml").read_text(encoding="utf-8").replace('returned = "returned"', ""), encoding="utf-8"),
     "1 manifest", "returned")])
def test_what_is_missing_is_named_with_its_place(root: Path, spoil: Any, step: str, told: str) -> None:
    folder, _ = scaffold.new_chain("lixia_chain", "ankang", root=root)
    done(root, folder)
    spoil(folder)
    registry.read_manifest.cache_clear()
    assert told in chain_steps.left("lixia_chain")[step]


@pytest.mark.parametrize(("name", "code"), [
    ("Lixia", "bad_slug"), ("../up", "bad_slug"), ("ankang", "exists"), ("jinan_first", "exists")])
def test_a_name_that_cannot_be_or_is_taken_is_refused(root: Path, name: str, code: str) -> None:
    with pytest.raises(NeedsOperator) as no:
        scaffold.new_chain(name, "ankang", root=root)
    assert no.value.code == code


def test_the_command_says_what_is_wrong_and_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    assert scaffold.main(["chain", "newchain", "--like", "fax"]) == 2
    assert "没有 fax" in capsys.readouterr().err
    assert scaffold.main(["chain", "newchain"]) == 2
    assert scaffold.main(["chain", "jishi"]) == 0
    assert "./go conformance jishi" in capsys.readouterr().out

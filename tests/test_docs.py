"""The words match the code: generated pages, links, commands, names."""

import importlib.util
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

from docs import generated
from domain import words as names
from domain.chains import ChainWord
from domain.lifecycle import STAGES, Money, Owner, Status
from domain.people import Role
from gateway.web import words
from infra.settings import DELIMITER, describe

ROOT = generated.ROOT
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
ADRS = sorted((ROOT / "docs" / "adr").glob("0*.md"))
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


@cache
def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def glossary_rows() -> Iterator[list[str]]:
    for row in text("docs/glossary.md").splitlines():
        if row.startswith("| "):
            yield [cell.strip() for cell in row.strip("|").split(" | ")]


def anchors(page: Path) -> set[str]:
    """The addresses of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL), re.M)
    return {re.sub(r"[^\w\- ]", "", head.strip().lower()).replace(" ", "-") for head in heads}


# --- generated pages ---


@pytest.mark.parametrize("name", generated.PAGES)
def test_a_generated_page_says_what_the_code_says(name: str) -> None:
    assert (generated.REFERENCE / name).read_text(encoding="utf-8") == generated.PAGES[name](), \
        f"docs/reference/{name} is stale: run .venv/bin/python -m docs.generated --write"


def test_a_stale_page_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, make in generated.PAGES.items():
        (tmp_path / name).write_text(make(), encoding="utf-8")
    monkeypatch.setattr(generated, "REFERENCE", tmp_path)
    assert generated.stale() == {}
    page = tmp_path / "lifecycle.md"
    page.write_text(page.read_text(encoding="utf-8").replace("received --> audited", "received --> closed"), "utf-8")
    assert list(generated.stale()) == ["lifecycle.md"]
    assert "received --> closed" in generated.stale()["lifecycle.md"]


def test_every_audit_rule_has_its_outcomes() -> None:
    rows = [row for row in text("docs/reference/audit-rules.md").splitlines() if re.match(r"\| [A-F]-\d", row)]
    assert len(rows) == len(generated.RULES)
    for row in rows:
        codes = row.split(" | ")[3].split(", ")
        assert all(re.fullmatch(r"`[A-Z0-9_]+` (BLOCK|WARN|SELFPAY|INFO|table|.* or .*)", code) for code in codes), row


# --- links, files and commands ---


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_somewhere(name: str) -> None:
    page = ROOT / name
    for address in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text(name), flags=re.DOTALL)):
        if address.startswith(("http://", "https://")):
            continue
        file, _, anchor = address.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.is_relative_to(ROOT), f"{name}: {address} leads out of the repository"
        assert target.exists(), f"{name}: {address}"
        assert not anchor or anchor in anchors(target), f"{name}: no heading {anchor} in {target.name}"


@pytest.mark.parametrize("name", NAMES)
def test_every_file_that_is_named_is_there(name: str) -> None:
    folders = "adapters|cities|docs|domain|fhir_profiles|flows|gateway|infra|sandbox|tasks|tests"
    for path in re.findall(rf"`((?:{folders})/[\w./-]+)`", text(name)):
        assert (ROOT / path).exists(), f"{name}: {path}"


@pytest.mark.parametrize("name", NAMES)
def test_every_command_that_is_named_exists(name: str) -> None:
    usage = subprocess.run([ROOT / "go", "help"], capture_output=True, text=True, timeout=120, check=True).stdout
    known = {"help", *re.findall(r"^\./go (\w+)", usage, re.MULTILINE)}
    assert {"test", "check"} <= known
    assert set(re.findall(r"\./go ([a-z]+)\b", text(name))) - known == set()
    options = set(re.findall(r"\./go [^`\n]*?(--[a-z-]+)", text(name))) - {"--hypothesis-profile", "--help"}
    places = ("sandbox", "sandbox/conformance", "tests/prove", "benchmarks", "flows", "adapters/kit")
    programs = "".join(path.read_text(encoding="utf-8") for folder in places
                       for path in (ROOT / folder).glob("*.py"))
    assert {one for one in options if f'"{one}"' not in programs} == set()
    for module in re.findall(r"python -m ([a-z_]+(?:\.[a-z_]+)*)", text(name)):
        assert importlib.util.find_spec(module), f"{name}: python -m {module}"


def test_every_option_in_the_readme_is_one_of_the_day() -> None:
    named = re.findall(r"^\| `(--[a-z-]+)", text("README.md"), re.MULTILINE)
    assert named
    assert [one for one in named if f'"{one}"' not in text("sandbox/day.py")] == []


def test_every_deployment_is_in_the_handbook() -> None:
    deployments = yaml.safe_load(text("prefect.yaml"))["deployments"]
    names = [generated.deployment_name(one) for one in deployments]
    assert [name for name in names if f"prefect deployment run {name}" not in text("docs/operations.md")] == []
    named = re.findall(r"prefect deployment run ([\w/-]+)", "".join(text(name) for name in NAMES))
    assert set(named) <= set(names)


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_that_is_named_exists(name: str) -> None:
    known = describe()
    groups = tuple(one for one in known if one.endswith(DELIMITER))
    named = set(re.findall(r"SANYI_[A-Z0-9_]*[A-Z0-9]", text(name))) - {"SANYI_REQUIRE_SERVICES"}
    wrong = {one for one in named if one not in known and not f"{one}{DELIMITER}".startswith(groups)}
    assert wrong == set()


# --- words ---


@pytest.mark.parametrize(("kind", "chinese"), [(Status, names.STATUSES), (Owner, names.OWNERS),
                                               (ChainWord, names.ORDERS), (Money, words.MONEY)])
def test_every_word_of_the_lifecycle_is_in_the_glossary_as_the_pages_say_it(kind, chinese) -> None:
    rows = [row[:2] for row in glossary_rows()]
    assert [one for one in kind if [f"`{one}`", chinese[one].zh] not in rows] == []


def test_every_stage_and_role_is_in_the_glossary() -> None:
    rows = [row[:2] for row in glossary_rows()]
    assert [stage for stage in names.STAGES if [f"`{stage}`", names.STAGES[stage].zh] not in rows] == []
    assert set(STAGES.values()) <= set(names.STAGES)
    assert [role for role in Role if f"`{role}`" not in [row[0] for row in rows]] == []


def test_the_six_errors_are_in_the_glossary_and_the_handbook() -> None:
    assert len(generated.SIX) == 6
    for kind in generated.SIX:
        assert f"`{kind.__name__}`" in [row[0] for row in glossary_rows()]
        assert f"| `{kind.__name__}` |" in text("docs/operations.md")


# --- decisions ---


def test_decisions_are_numbered_and_listed() -> None:
    assert [int(page.name[:4]) for page in ADRS] == list(range(1, len(ADRS) + 1))
    assert [page.name for page in ADRS if f"({page.name})" not in text("docs/adr/README.md")] == []


@pytest.mark.parametrize("page", ADRS, ids=lambda page: page.stem)
def test_a_decision_says_why_what_and_what_else(page: Path) -> None:
    said = page.read_text(encoding="utf-8")
    assert said.startswith(f"# {int(page.name[:4])}. ")
    assert re.search(r"^Date: \d{4}-\d\d-\d\d$", said, re.MULTILINE)
    places = [said.find(f"**{part}.**") for part in ("Context", "Decision", "Consequences", "Instead of")]
    assert -1 not in places
    assert places == sorted(places)

"""House rules that a program can check. Who may import whom is in pyproject.toml, under importlinter."""

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PRODUCT = ("adapters", "domain", "fhir_profiles", "flows", "gateway", "infra", "tasks")
PACKAGES = (*PRODUCT, "sandbox")
VAGUE = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "base", "core", "misc"}

Rule = Callable[[ast.AST], bool]


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def breaches(breaks: Rule, text: str) -> list[int]:
    """Lines of a program that break a rule."""
    return _lines(text, (breaks,))[breaks.__name__]


def offenders(breaks: Rule, paths: Iterator[Path] | list[Path]) -> list[str]:
    return [f"{p.relative_to(ROOT)}:{line}" for p in paths for line in program(p)[breaks.__name__]]


@cache
def program(path: Path) -> dict[str, list[int]]:
    """By rule the lines of a program of ours that break it; each file is parsed and walked once for all of them."""
    return _lines(path.read_text(encoding="utf-8"), RULES)


def _lines(text: str, rules: Sequence[Rule]) -> dict[str, list[int]]:
    lines: dict[str, list[int]] = {rule.__name__: [] for rule in rules}
    for node in ast.walk(ast.parse(text)):
        for rule in rules:
            if rule(node):
                lines[rule.__name__].append(getattr(node, "lineno", 0))
    return lines


# --- the rules, each with what it must catch and what it must let through ---


def reads_environment(node: ast.AST) -> bool:
    """`os.environ`, `os.getenv` and their imports."""
    names = {"environ", "environb", "getenv"}
    if isinstance(node, ast.Attribute):
        return isinstance(node.value, ast.Name) and node.value.id == "os" and node.attr in names
    return isinstance(node, ast.ImportFrom) and node.module == "os" and any(a.name in names for a in node.names)


def assigns_status(node: ast.AST) -> bool:
    """`row.status = …`, `setattr(row, "status", …)` and `update(…).values(status=…)`."""
    if isinstance(node, ast.Attribute):
        own = isinstance(node.value, ast.Name) and node.value.id == "self"
        return node.attr == "status" and isinstance(node.ctx, ast.Store) and not own
    if not isinstance(node, ast.Call):
        return False
    if isinstance(node.func, ast.Name) and node.func.id == "setattr":
        return any(isinstance(given, ast.Constant) and given.value == "status" for given in node.args)
    in_sql = isinstance(node.func, ast.Attribute) and node.func.attr == "values"
    return in_sql and any(keyword.arg == "status" for keyword in node.keywords)


def uses_float(node: ast.AST) -> bool:
    if isinstance(node, ast.Name):
        return node.id == "float"
    return isinstance(node, ast.Constant) and isinstance(node.value, float)


def uses_mock(node: ast.AST) -> bool:
    """A mock remembers that it was called; a fake keeps the contract."""
    if isinstance(node, ast.ImportFrom):
        names = {f"{node.module}.{alias.name}" for alias in node.names}
        return node.module == "unittest.mock" or "unittest.mock" in names
    return isinstance(node, ast.Import) and any(a.name in ("unittest.mock", "mock", "pytest_mock") for a in node.names)


def swallows(node: ast.AST) -> bool:
    """`except:` or `except Exception:` with nothing but `pass`."""
    if not isinstance(node, ast.ExceptHandler):
        return False
    broad = node.type is None or (isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException"))
    return broad and all(isinstance(step, ast.Pass) for step in node.body)


def leaves_standard_library(node: ast.AST) -> bool:
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        names = ["domain" if node.level else node.module or ""]
    else:
        return False
    return any(name.partition(".")[0] not in sys.stdlib_module_names | {"domain"} for name in names)


CLOCKS = {"process_time", "perf_counter", "thread_time", "monotonic", "time", "getrusage", "times"}


def bounds_time(node: ast.AST) -> bool:
    """`assert monotonic() - began < 2`, and clocks that are good for nothing else: how long it takes is the machine's.

    A test counts work (`tests.support.effort`); waiting until a deadline is a loop, and a lower bound holds on any machine.
    """
    if isinstance(node, ast.Attribute | ast.Name | ast.alias):
        name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else node.name
        return name.removesuffix("_ns") in ("process_time", "perf_counter", "thread_time", "getrusage")
    if not isinstance(node, ast.Assert):
        return False
    for compared in (inner for inner in ast.walk(node.test) if isinstance(inner, ast.Compare)):
        values = [compared.left, *compared.comparators]
        for left, operator, right in zip(values, compared.ops, values[1:], strict=False):
            less = left if isinstance(operator, ast.Lt | ast.LtE) else right if isinstance(operator, ast.Gt | ast.GtE) else None
            if less is not None and any(_reads_clock(inner) for inner in ast.walk(less)):
                return True
    return False


def _reads_clock(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute | ast.Name):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
    return name.removesuffix("_ns") in CLOCKS or ast.unparse(node.func) == "datetime.now"


def without_purpose(node: ast.AST) -> bool:
    """A module, not an empty one, that does not say what it is for."""
    return isinstance(node, ast.Module) and bool(node.body) and not ast.get_docstring(node)


RULES: tuple[Rule, ...] = (
    reads_environment, assigns_status, uses_float, uses_mock, swallows, leaves_standard_library, bounds_time,
    without_purpose)


@pytest.mark.parametrize(
    ("rule", "bad", "good"),
    [
        (reads_environment, "import os; os.environ['X']", "import os; os.getpid()"),
        (reads_environment, "from os import getenv", "from os import path"),
        (assigns_status, "row.status = 'x'", "where = row.status == 'x'"),
        (assigns_status, "update(Row).values(status=to)", "Receipt(reference=r, status=s)"),
        (assigns_status, "setattr(row, 'status', to)", "getattr(row, 'status')"),
        (uses_float, "price = 0.1", "price = Decimal('0.1')"),
        (uses_float, "float(price)", "int(price)"),
        (uses_mock, "from unittest import mock", "from unittest import TestCase"),
        (uses_mock, "from unittest.mock import patch", "import unittest"),
        (swallows, "try: x()\nexcept Exception: pass", "try: x()\nexcept KeyError: pass"),
        (leaves_standard_library, "import httpx", "from domain.money import Fen\nimport decimal"),
        (bounds_time, "assert time.monotonic() - began < 5", "assert time.monotonic() - began >= 5"),
        (bounds_time, "assert 5 > min(time.time() - began, 9)", "while time.monotonic() < deadline: pass"),
        (bounds_time, "assert abs(seen - datetime.now(UTC)) < DAY", "assert seen <= datetime.now(UTC) + DAY"),
        (bounds_time, "from time import process_time", "from time import monotonic"),
        (bounds_time, "took = time.perf_counter_ns() - began", "assert began <= stamp <= time.time()"),
        (without_purpose, "import os", '"""What it is for."""'),
    ],
)
def test_a_rule_catches_what_it_is_about(rule, bad, good):
    assert breaches(rule, bad)
    assert not breaches(rule, good)


def test_the_environment_is_read_in_settings_only():
    assert offenders(reads_environment, [p for p in sources(*PRODUCT) if p != ROOT / "infra/settings.py"]) == []


def test_status_is_written_in_the_database_layer_only():
    outside = [p for p in sources(*PRODUCT) if ROOT / "infra/db" not in p.parents and p != ROOT / "infra/db.py"]
    assert offenders(assigns_status, outside) == []


def test_nothing_near_money_is_a_float():
    near = ["money", "claims", "orders", "benefit"]
    paths = [p for name in near for p in (ROOT / "domain" / f"{name}.py", *sources(f"domain/{name}")) if p.exists()]
    assert offenders(uses_float, paths) == []


def test_the_domain_needs_the_standard_library_only():
    assert offenders(leaves_standard_library, sources("domain")) == []


def test_tests_use_fakes_and_never_mocks():
    assert offenders(uses_mock, sources("tests", *PACKAGES)) == []


def test_no_test_bounds_the_time_something_takes():
    tests = [path for path in sources("tests") if not path.is_relative_to(ROOT / "tests/prove")]
    assert offenders(bounds_time, tests) == []


def test_no_error_disappears_in_silence():
    assert offenders(swallows, sources(*PACKAGES)) == []


# --- names and files ---


@pytest.mark.parametrize("name", PACKAGES)
def test_the_name_is_ours(name):
    found = importlib.import_module(name).__file__
    assert found, f"{name} has no __init__.py"
    assert Path(found).is_relative_to(ROOT)


def test_names_say_what_is_inside():
    vague = [p for p in sources(*PACKAGES) if VAGUE & {p.stem, *p.relative_to(ROOT).parts}]
    assert vague == []


def test_every_module_says_what_it_is_for():
    assert offenders(without_purpose, sources(*PACKAGES)) == []


def test_entry_points_are_modules_not_paths():
    # Prefect loads a path a second time under another name, and then an exception does not match its own class.
    file = ROOT / "prefect.yaml"
    if not file.exists():
        pytest.skip("there is no prefect.yaml")
    deployments = yaml.safe_load(file.read_text())["deployments"]
    assert deployments
    for deployment in deployments:
        assert re.fullmatch(r"flows(\.\w+)+", deployment["entrypoint"]), deployment["entrypoint"]


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-test.lock", "requirements-bench.lock"])
def test_locks_hold_hashes_and_no_addresses(name):
    text = (ROOT / name).read_text()
    assert not re.findall(r"\w+://\S+", text)
    pinned = re.findall(r"^[\w.-]+(?:\[[\w,]+\])?==\S+", text, re.MULTILINE)
    assert pinned
    assert text.count("--hash=sha256:") >= len(pinned)


@pytest.mark.parametrize(("less", "more"), [("requirements.lock", "requirements-test.lock"),
                                            ("requirements-test.lock", "requirements-bench.lock")])
def test_each_lock_holds_everything_of_the_one_before(less, more):
    # ./go runs the main job on the test environment if that is there, and the tests on the one for benchmarks.
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^[\w.-]+(?:\[[\w,]+\])?==[\w.+!-]+", (ROOT / name).read_text(), re.MULTILINE))

    assert pins(less) - pins(more) == set()


# --- the commands ---


def go(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ROOT / "go", *words], capture_output=True, text=True, timeout=120, check=False)


def test_go_explains_itself_in_both_languages():
    done = go("help")
    assert done.returncode == 0
    for command in ("test", "check", "prove", "bench"):
        assert f"./go {command}" in done.stdout
    assert "运行测试" in done.stdout


def test_go_refuses_a_command_it_does_not_have():
    done = go("deploy")
    assert done.returncode != 0
    assert "deploy" in done.stderr


@pytest.mark.parametrize("name", ["go", ".ci/run"])
def test_scripts_can_be_started(name):
    assert (ROOT / name).stat().st_mode & 0o111


def test_a_proof_is_found_by_its_name() -> None:
    shown = subprocess.run([ROOT / "go", "prove", "kill", "--help"], capture_output=True, text=True, timeout=300)
    assert "./go prove kill" in shown.stdout, shown.stderr

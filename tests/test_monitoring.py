"""Dashboard, alerts and runbooks speak of figures and pages that exist."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import infra.http  # noqa: F401  its figures are registered by the import
from domain.lifecycle import STAGES, Status
from gateway.web.errors import Door
from infra import metrics
from infra.db.figures import Figures
from infra.http import BreakerState
from tests.test_docs import anchors

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "infra" / "deploy"
RUNBOOKS = ROOT / "docs" / "runbooks"

EVERYTHING = Figures(
    prescriptions={"received": 1}, troubles={"Transient": 1}, due={"h/": (1, 1.0)}, leases=1, reviews=(1, 1.0),
    outbox={"p": (1, 1.0)}, unknown_effects={"p": 1}, discrepancies={"k": 1}, notices={"k": 1}, processes={"worker": 1}, canary=1.0,
    unmapped={"h": (1, 1.0)})
KNOWN = metrics.names(metrics.FromDatabase(lambda: EVERYTHING), metrics.FromChecks(lambda: {"database": True}))
OURS = {name for name in KNOWN if name.startswith("sanyi_")}
FROM_PROMETHEUS = {"up"}

ALERTS: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]]
PANELS: list[dict[str, Any]] = [
    panel for panel in json.loads((DEPLOY / "grafana" / "sanyi.json").read_text())["panels"] if panel["type"] != "row"]
QUERIES = ([(rule["alert"], rule["expr"]) for rule in ALERTS]
           + [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]])

LABELS = {
    "status": {*Status} | {r"5.."}, "stage": {*STAGES.values()}, "door": {door.name.lower() for door in Door},
    "state": {*BreakerState}, "check": {"database", "archive", "prefect"},
    "error": {"", "Transient", "OutcomeUnknown", "Refused", "InvalidPayload", "NeedsOperator", "StaleStatus", "bug"},
    "outcome": {"answered", "server_error", "denied", "busy", "unanswered", "unreachable", "broken_off", "held_back"},
    "job": {"sanyi-gateway", "sanyi-worker", "sanyi-.*"}}


def figures_of(query: str) -> set[str]:
    """The names of figures in a query: what is left without texts, labels, functions and words of the language."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^]]*\]|\b(?:by|without) \([^)]*\)', " ", query)
    words = set(re.findall(r"\b[a-z_][a-z0-9_]*\b(?!\s*\()", bare))
    return words - {"by", "or", "and", "unless", "sum", "max", "min", "le"}


@pytest.mark.parametrize(("title", "query"), QUERIES, ids=[title for title, _ in QUERIES])
def test_a_query_asks_for_figures_that_exist(title, query):
    asked = figures_of(query)
    assert asked
    assert asked - KNOWN - FROM_PROMETHEUS == set()


@pytest.mark.parametrize(("title", "query"), QUERIES, ids=[title for title, _ in QUERIES])
def test_a_query_asks_for_labels_as_they_are_given(title, query):
    for label, values in re.findall(r'(\w+)(?:=|!=|=~|!~)"([^"]*)"', query):
        assert set(values.split("|")) <= LABELS[label], f"{title}: {label}"


def test_a_query_for_something_else_would_be_found():
    assert figures_of('sum by (x) (rate(sanyi_nothing_total{a="b"}[5m])) > 0') == {"sanyi_nothing_total"}
    assert "sanyi_nothing_total" not in KNOWN
    assert {"sanyi_hops_total", "sanyi_hop_seconds_bucket", "sanyi_queue_due", "sanyi_check"} <= KNOWN


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_has_its_page(rule):
    kebab = re.sub(r"(?<!^)(?=[A-Z])", "-", rule["alert"]).lower()
    assert rule["annotations"]["runbook"] == f"docs/runbooks/{kebab}.md"
    assert (RUNBOOKS / f"{kebab}.md").is_file()
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["summary"]
    assert rule["for"]


PAGES = sorted(page for page in RUNBOOKS.glob("*.md") if page.name != "README.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_says_what_it_means_how_to_look_and_what_to_do(page):
    assert {"what-it-means", "how-to-look", "what-to-do"} <= anchors(page)
    text = page.read_text(encoding="utf-8")
    assert re.search(r"[\u4e00-\u9fff]", text.splitlines()[2])
    assert len(text.splitlines()) < 40
    assert f"({page.name})" in (RUNBOOKS / "README.md").read_text(encoding="utf-8")


def test_every_page_the_doctor_names_is_there():
    code = "".join((ROOT / name).read_text() for name in ("tasks/doctor.py", "flows/doctor.py", "gateway/doors/health.py"))
    named = set(re.findall(r'(?:act|watch|say|asked|_disk)\(\s*(?:area|"[a-z]+"), "([a-z-]+)"', code))
    named |= set(re.findall(r': "([a-z-]+-[a-z-]+)"', code))
    assert len(named) > 10
    assert {page for page in named if not (RUNBOOKS / f"{page}.md").exists()} == set()


def test_every_figure_is_explained_shown_and_nowhere_invented():
    explained = set(re.findall(r"sanyi_[a-z_]+", (ROOT / "docs/explanation/monitoring.md").read_text()))
    shown = {name for _, query in QUERIES for name in figures_of(query)}
    for name in OURS:
        # A histogram's parts and the moment a counter began are of the same figure.
        figure = re.sub(r"_(bucket|count|sum|created)$", "", name)
        counter = f"{figure}_total" in OURS
        assert figure in explained or (counter and f"{figure}_total" in explained), name
    assert {name for name in explained if name not in OURS and f"{name}_bucket" not in OURS} == set()
    gauges = {name for name in OURS if not name.endswith(("_bucket", "_count", "_sum", "_created"))}
    assert gauges - shown == set()


def test_every_event_that_is_explained_is_logged_somewhere():
    named = re.findall(r"^\| `([a-z]+\.[a-z_]+)`(?:, `([a-z]+\.[a-z_]+)`)?",
                       (ROOT / "docs/explanation/monitoring.md").read_text(), re.M)
    code = "".join(path.read_text() for folder in ("flows", "gateway", "infra", "tasks")
                   for path in (ROOT / folder).rglob("*.py"))
    events = {event for pair in named for event in pair if event}
    assert events
    assert {event for event in events if f'"{event}"' not in code} == set()


def test_panels_do_not_overlap():
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not taken & cells, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells

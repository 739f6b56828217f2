"""The reference pages that are printed from the code: `python -m docs.generated --write` or `--check`."""

import argparse
import ast
import difflib
import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, get_origin

import yaml
from pydantic import BaseModel, SecretStr
from pydantic_core import PydanticUndefined

from adapters import registry
from adapters.kit.exam import requirements as exam
from adapters.kit.left_out import absent, left_out, of_cancels
from domain import errors, event_words
from domain import words as names
from domain.audit import RULES, Rule
from domain.chains import ChainWord
from domain.errors import RxError
from domain.events import ARGUMENTS, PERSON, Event, Wait
from domain.fulfilment.orders import ALIVE, MEANINGS, ORDER_TRANSITIONS, OrderStatus
from domain.fulfilment.parcels import PARCEL_TRANSITIONS, ParcelStatus
from domain.fulfilment.returns import RETURN_TRANSITIONS, ReturnStatus
from domain.fulfilment.wishes import WISH_TRANSITIONS, WishAnswer
from domain.lifecycle import (
    DEADLINES,
    FINAL,
    MONEY_TRANSITIONS,
    OWNERS,
    STAGES,
    TRANSITIONS,
    Deadline,
    Money,
    Status,
    diagram,
)
from domain.people import CAPABILITIES, GRANTS, NEEDS_PLACE, ROLES, Capability, Role, holding, is_logged
from domain.words import Two
from fhir_profiles.catalogue import MessageRule, catalogue_page
from gateway.web import words
from gateway.web.errors import RETRY_AFTER
from infra.db.views import LASTING, trouble_words
from infra.http import MAX_WAIT_SECONDS
from infra.settings import DELIMITER, PREFIX, Settings, describe
from sandbox.conformance import requirements
from tasks import line, reports

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "docs" / "reference"
SIX = [kind for kind in vars(errors).values()
       if isinstance(kind, type) and issubclass(kind, RxError) and kind is not RxError]


def dialect_rules() -> dict[str, Sequence[MessageRule]]:
    """What each dialect's module says about its own bytes, under the first words of its docstring."""
    found: dict[str, Sequence[MessageRule]] = {}
    for path in sorted((ROOT / "adapters" / "dialects").glob("*.py")):
        module = importlib.import_module(f"adapters.dialects.{path.stem}")
        rules = getattr(module, "RULES", None)
        if isinstance(rules, tuple) and rules not in found.values():
            found[f"`{path.stem}`"] = rules
    return found


def findings_page() -> str:
    """Every rule about a message, in every dialect."""
    return catalogue_page(dialect_rules())


def lifecycle_page() -> str:
    """The three machines of domain/lifecycle.py."""
    meanings, deadlines = _meanings(Status), _meanings(Deadline)
    statuses = [(f"`{status}`", names.STATUSES[status].zh, STAGES[status], OWNERS[status],
                 deadlines[DEADLINES[status].name],
                 _list(TRANSITIONS[status]), meanings.get(status.name, "")) for status in Status]
    return _page(
        "Lifecycle / 处方的一生", "domain/lifecycle.py and domain/fulfilment",
        "Where a prescription is, where its medicine is by quantity, how far its money is. Everything else asks "
        "these tables. A step reads the status, does the next thing that is missing, and writes the new status with a "
        "history row in one transaction.",
        "## Prescription", f"```mermaid\n{diagram()}```",
        _table(("status", "中文", "stage", "who must act", "what ends the stay", "may become", "meaning"), statuses),
        f"Nothing is owed any more in {_list(FINAL)}. Every change to `cancelled` or `expired` asks the pharmacy first "
        "if one holds stock or has an order.",
        "## Lines", "Of every line, at every commit: open + in progress + handed over + returned + given up = prescribed. "
        "The parts are derived from orders, parcels, returns and wishes (`domain/fulfilment/lines.py`) and stored nowhere; the "
        "prescription's status follows from them, and `domain/fulfilment/plan.py` says what is owed next.",
        "## Order", _states(ORDER_TRANSITIONS),
        _table(("status", "中文", "may still bring the medicine", "may become", "meaning"), _rows(
            OrderStatus, ORDER_TRANSITIONS, names.ORDER_STATUSES, lambda status: "yes" if status in ALIVE else "no")),
        "An order is for portions of lines. What its chain says of it moves the order, its parcel, or brings a return; a late "
        "word may skip statuses and never goes back.",
        _table(("a chain's word", "中文", "order", "parcel"), [
            (f"`{word}`", names.ORDERS[word].zh, f"`{MEANINGS[word].order}`",
             f"`{MEANINGS[word].parcel}`" if MEANINGS[word].parcel else "") for word in ChainWord]),
        "## Parcel", _states(PARCEL_TRANSITIONS),
        _table(("status", "中文", "may become", "meaning"), _rows(ParcelStatus, PARCEL_TRANSITIONS, names.PARCELS)),
        "## Return", _states(RETURN_TRANSITIONS),
        _table(("status", "中文", "may become", "meaning"), _rows(ReturnStatus, RETURN_TRANSITIONS, names.RETURNS)),
        "## Wish", _states(WISH_TRANSITIONS),
        _table(("answer", "中文", "may become", "meaning"), _rows(WishAnswer, WISH_TRANSITIONS, names.WISH_ANSWERS)),
        "Somebody wants a prescription, or a part of it, cancelled or taken back. "
        "A refused cancel is granted after all when the order that was in its way ends without medicine.",
        "## Money", _states(MONEY_TRANSITIONS),
        _table(("status", "中文", "may become", "meaning"), _rows(Money, MONEY_TRANSITIONS, words.MONEY)),
        "Per claim, and a claim is for one order. A return reverses the whole claim and settles what was kept as the next version.",
    )


def events_page() -> str:
    """What a history row and a wait say."""
    happens, waits = _meanings(Event), _meanings(Wait)
    return _page(
        "Events and waits / 事件与等待", "domain/events.py and domain/event_words.py",
        "Every change of a prescription is a history row with an event as its `reason` and the event's arguments in its "
        "`detail`: codes, ids, counts, moments and amounts in fen. The words are for people; nothing else looks at them. "
        "What is in braces is an argument, put into words itself: statuses, causes, severities and partners by their names.",
        "## Events",
        _table(("event", "中文", "words", "arguments", "meaning"), [
            (f"`{event}`", event_words.EVENTS[event].zh, event_words.EVENTS[event].en,
             ", ".join(f"`{one}`" for one in ARGUMENTS[event]), happens.get(event.name, "")) for event in Event]),
        "A row may have more in its `detail`. Rows written as English sentences before there were codes are read by "
        "`domain/former_words.py`.",
        "## Waits",
        "`waiting_for` of a prescription: the code, and after a colon its argument where it has one (`hold:ankang`). Empty "
        "where the platform acts at once or nothing is owed any more.",
        _table(("wait", "中文", "words", "nothing moves until a person acts", "meaning"), [
            (f"`{wait}`", event_words.WAITS[wait].zh, event_words.WAITS[wait].en, "yes" if wait in PERSON else "no",
             waits.get(wait.name, "")) for wait in Wait]),
        "## Reports",
        "`reason` of a report to a hospital where it is one of these, with its words "
        "([contract 1.3](contracts.md#13-reports-to-the-hospital)).",
        _table(("reason", "中文", "words"), [(f"`{code}`", told.zh, told.en) for code, told in event_words.TOLD.items()]),
    )


def audit_page() -> str:
    """Every rule of the audit with what it may find."""
    rows = [(rule.id, rule.phase, _first(inspect.getdoc(rule.check) or ""), _outcomes(rule), rule.source) for rule in RULES]
    return _page(
        "Audit rules / 预审规则", "domain/audit",
        f"{len(RULES)} rules run over every prescription, all of them, in this order. One `BLOCK` refuses the "
        "prescription. A pharmacist must give a reason for every `WARN`. `SELFPAY` only means that the fund does not "
        "pay. *table* means that a row of the knowledge base says which. The knowledge base is demo data "
        "([its page](../../cities/demo_knowledge/README.md)).",
        _table(("rule", "phase", "what must hold", "outcomes", "source"), rows),
    )


def settings_page() -> str:
    """Every variable of infra/settings.py."""
    defaults = _defaults(Settings)
    rows = [(f"`{name}…`" if name.endswith(DELIMITER) else f"`{name}`", defaults.get(name, ""), meaning)
            for name, meaning in describe().items()]
    return _page(
        "Settings / 配置项", "infra/settings.py",
        "Environment variables, or lines of a file `.env` in the folder the process starts in; the environment wins. "
        "A name with our prefix that is not here is refused. Examples: [.env.example](../../.env.example). "
        "A name that ends in `__…` is given once per partner or person.",
        _table(("variable", "default", "meaning"), rows),
    )


def errors_page() -> str:
    """The six errors and what happens next."""
    rows: list[Sequence[object]] = []
    waits = {kind: event_words.WAITS[wait].en for kind, wait in line._WHAT_NEXT.items()}
    for kind in SIX:
        act, _, what, _, cure = trouble_words(kind.__name__, attempts=1)
        red = "at the first attempt" if act else f"from attempt {line.RED_AFTER} on"
        rows.append((f"`{kind.__name__}`", _first(inspect.getdoc(kind) or ""), what, waits[kind], red, cure))
    _, _, what, _, cure = trouble_words("", attempts=1)
    rows.append(("anything else", "A fault of ours.", what, waits[Exception], "at the first attempt", cure))
    return _page(
        "Errors / 六类错误", "domain/errors.py, tasks/line.py and domain/troubles.py",
        "The name is the instruction. In the history, on the board and in Prefect a trouble is written as "
        "`Name:code`, for example `Transient:unanswered`.",
        _table(("error", "what it means", "on the board", "the prescription waits for", "red in Prefect", "what to do"),
               rows),
        "## When it is tried again, and by whom",
        _table(("scale", "who", "when"), [
            ("seconds", "`infra/http.py`",
             "Only requests that may be sent twice; the manifest's `attempts`, with random pauses of at most "
             f"{MAX_WAIT_SECONDS:.0f} s. Nowhere else does a running step sleep between two tries."),
            ("minutes", "`tasks/line.py`",
             f"Whatever the error, the row is due again after {_seconds(line.BACKOFF)}, the last one for ever (divided "
             "by `SANYI_TIME_SCALE`). It comes back alone, in a run of its own."),
            ("minutes", "`tasks/reports.py`",
             f"A message to a partner that failed: after {_seconds(reports.RETRY)}, the last one for ever."),
            ("hours", "deadlines and the sweep",
             "The validity of the prescription and the city's deadlines end a wait; the sweep wakes what was "
             "forgotten. See [deployments](deployments.md)."),
        ]),
        f"On the board a passing trouble counts as something a person must look at from attempt {LASTING} on, "
        "any other at once.",
        "Every failed attempt is a row of the prescription's history. `StaleStatus` is read again up to five times "
        "within the same hop before it counts as failed.",
        "A business no to `hold`, `place`, `cancel`, `settle` or `reverse` is remembered with the intent: an attempt of the "
        "platform's own raises the same `Refused` again without asking the partner. A person's word forgets it: **Wake it "
        "now** on its page, or **Retry** on its run in Prefect, asks the partner anew, a settlement or a reversal "
        "under a new msgid (see [operations](../operations.md)).",
        "## At the gateway's doors",
        _table(("error", "what the caller hears"), [
            ("`Transient`, `StaleStatus`", f"503 with `Retry-After: {RETRY_AFTER}`: send the same again"),
            ("`InvalidPayload`", "a hospital: 422, or 400 when it is no JSON, with every finding; "
                                 "a chain: 422 `invalid` with every finding"),
            ("`Refused`", "401: a chain's signature or its age is wrong"),
            ("everything else", "500 without a word of what was sent; `gateway.error` is in the log"),
        ]),
    )


def left_out_page() -> str:
    """What each hospital's dialect leaves out, from the dialects' own lists."""
    parts: list[str] = []
    for slug in registry.slugs("hospitals"):
        manifest = registry.manifest("hospitals", slug)
        parts.append(f"## {manifest.name} {manifest.name_en}: `{manifest.dialect}`")
        for heading, of in (("不保留的内容 Left out", left_out), ("可以缺省的内容 May be absent", absent),
                            ("撤销消息中不读取的内容 Not read in a cancel", of_cancels)):
            if given := of(slug):
                parts += [f"### {heading}", _table(("place", "reason"), [(f"`{place}`", why) for place, why in given.items()])]
    return _page(
        "What is left out / 不读取的字段", "adapters/dialects, fhir_profiles/closed.py and adapters/hospitals",
        "对接工程师须知：下列位置填写的内容不进入处方；可以缺省的位置，不填与填写约定值含义相同。其余位置填写的内容，"
        "平台要么保留，要么作为问题退回，不会忽略。",
        "For integration engineers. What stands in a place that is left out leaves no trace in the prescription. A place that "
        "may be absent is read or compared: leaving it out means what the reason says. Whatever stands anywhere else is kept "
        "or is a finding. Nothing here is about patient, allergy, drug, dose, time or order. `./go prove fidelity` shows it.",
        *parts)


def deployments_page() -> str:
    """What prefect.yaml registers."""
    given = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    rows = [(f"`{deployment_name(one)}`", one["description"], _schedule(one),
             ", ".join(f"`{name}={value}`" for name, value in one.get("parameters", {}).items()) or "none",
             ", ".join(f"`{tag}`" for tag in one["tags"]), f"`{one['entrypoint']}`") for one in given]
    return _page(
        "Deployments / 部署清单", "prefect.yaml",
        "Registered with `.venv/bin/prefect --no-prompt deploy --all`; run by the resident worker "
        "(`python -m flows.resident`) in the pool `operations`. How to run one by hand: "
        "[operations](../operations.md#run-a-deployment-by-hand).",
        _table(("deployment", "what it does", "schedule", "default parameters", "tags", "entry point"), rows),
        "The flow `batch` has no deployment: the lifecycle worker "
        "(`python -m flows.worker`) starts its runs itself.",
    )


def deployment_name(given: Mapping[str, Any]) -> str:
    """`flow/deployment` as Prefect's command line takes it."""
    module, _, function = given["entrypoint"].rpartition(".")
    tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8"))
    found = next(node for node in ast.walk(tree)
                 if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == function)
    flow = next(one for one in found.decorator_list if isinstance(one, ast.Call))
    name = next(ast.literal_eval(keyword.value) for keyword in flow.keywords if keyword.arg == "name")
    return f"{name}/{given['name']}"


def roles_page() -> str:
    rows = [(f"`{role}`", ROLES[role].zh, ROLES[role].en, NEEDS_PLACE.get(role, ""),
             ", ".join(f"`{capability}`" for capability in Capability if capability in GRANTS[role])) for role in Role]
    acts = [(f"`{capability}`", *CAPABILITIES[capability], "yes" if is_logged(capability, act=False) else "",
             ", ".join(f"`{role}`" for role in holding(capability))) for capability in Capability]
    return _page(
        "Roles / 角色", "domain/people.py",
        "A person may have several roles, and may what any of them may. Whether the situation allows it is asked apart: a "
        "prescriber never reviews an own prescription, whatever their roles. Every act enters the access log, and so does each "
        "view that is marked as logged.",
        "## Roles", _table(("role", "中文", "English", "held at", "may"), rows),
        "## Capabilities", _table(("capability", "中文", "English", "view is logged", "roles"), acts))


PAGES: Mapping[str, Callable[[], str]] = {
    "lifecycle.md": lifecycle_page,
    "events.md": events_page,
    "audit-rules.md": audit_page,
    "settings.md": settings_page,
    "errors.md": errors_page,
    "deployments.md": deployments_page,
    "findings.md": findings_page,
    "left-out.md": left_out_page,
    "conformance.md": lambda: f"{requirements.page()}\n{exam.page()}",
    "roles.md": roles_page,
}
"""By file name in docs/reference."""


# --- Reading the code ---


def _meanings(kind: type[StrEnum]) -> dict[str, str]:
    """The text below each member; Python itself does not keep it."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    found, name = {}, ""
    for node in body.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
        elif name and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            found[name], name = _first(str(node.value.value)), ""
    return found


def _outcomes(rule: Rule) -> str:
    """The finding codes a rule declares, each with how severe it may be."""
    return ", ".join(f"`{code}` {' or '.join(severities)}" for code, severities in rule.outcomes.items())


def _defaults(model: type[BaseModel], prefix: str = PREFIX) -> dict[str, str]:
    """The default of each variable that has a plain one."""
    found: dict[str, str] = {}
    for name, field in model.model_fields.items():
        variable, value = prefix + name.upper(), field.default
        if isinstance(value, BaseModel):
            found |= _defaults(type(value), variable + DELIMITER)
        elif get_origin(field.annotation) is not dict and value not in (None, "", PydanticUndefined) \
                and not isinstance(value, SecretStr):
            found[variable] = f"`{value}`"
    return found


def _schedule(given: Mapping[str, Any]) -> str:
    said = [f"every {one['interval']} s" if "interval" in one else f"`{one['cron']}` {one['timezone']}"
            for one in given.get("schedules", [])]
    return ", ".join(said) or "by hand"


# --- Writing ---


def _page(title: str, source: str, *parts: str) -> str:
    named = re.sub(r"[\w./]*/[\w.]+|prefect\.yaml", lambda path: f"`{path[0]}`", source)
    note = f"Generated from {named} by `python -m docs.generated --write`. Do not edit."
    return "\n\n".join((f"# {title}", note, *(part.strip("\n") for part in parts))) + "\n"


def _table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(" ".join(str(cell).split()).replace("|", "\\|") for cell in row) + " |" for row in lines)


def _rows(kind: type[StrEnum], moves: Mapping[Any, frozenset[Any]], names: Mapping[str, Two],
          extra: Callable[[Any], str] | None = None) -> list[tuple[str, ...]]:
    meanings = _meanings(kind)
    return [(f"`{status}`", names[status].zh, *([extra(status)] if extra else []), _list(moves[status]),
             meanings.get(status.name, "")) for status in kind]


def _states(moves: Mapping[Any, frozenset[Any]]) -> str:
    arrows = [f"    {start} --> {end}" for start, ends in moves.items() for end in sorted(ends)]
    return "\n".join(["```mermaid", "stateDiagram-v2", *arrows, "```"])


def _list(values: Any) -> str:
    return ", ".join(f"`{value}`" for value in sorted(values)) or "nothing"


def _first(text: str) -> str:
    """The first paragraph on one line."""
    return " ".join(text.strip().partition("\n\n")[0].split())


def _seconds(pauses: tuple[int, ...]) -> str:
    return ", ".join(str(pause) for pause in pauses) + " s"


def stale() -> dict[str, str]:
    """The pages that are not what the code says now, each with the difference."""
    found = {}
    for name, make in PAGES.items():
        file = REFERENCE / name
        old, new = file.read_text(encoding="utf-8") if file.exists() else "", make()
        if old != new:
            found[name] = "\n".join(difflib.unified_diff(
                old.splitlines(), new.splitlines(), f"docs/reference/{name}", "the code", lineterm="", n=0))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m docs.generated", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", action="store_true", help="write the pages")
    what.add_argument("--check", action="store_true", help="exit 1 and name the pages that are stale")
    given = parser.parse_args()
    different = stale()
    for name, difference in different.items():
        if given.write:
            (REFERENCE / name).write_text(PAGES[name](), encoding="utf-8")
            print(f"docs/reference/{name}: written")
        else:
            print(f"docs/reference/{name} is stale; run .venv/bin/python -m docs.generated --write\n{difference}")
    return 1 if different and given.check else 0


if __name__ == "__main__":
    sys.exit(main())

"""Every table from a status or another code to words, or to a partner's words, has an entry for each member.

All tables keyed by an enum are listed here, with what they must cover. A table that is not listed fails, and so does a listed
one that lacks a member: who adds a status is told every place that needs a word for it.
"""

import ast
import importlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from adapters.dialects import erx, hl7v2
from adapters.dialects.cda_answers import Inquiry
from adapters.messages import Outcome
from domain.audit import AuditReason
from domain.chains import ChainWord
from domain.decoction import DecoctionStep
from domain.events import Event, Wait
from domain.findings import Severity
from domain.fulfilment.allocation import Way
from domain.fulfilment.choice import Because, RoundState, Verdict
from domain.fulfilment.deliveries import DeliveryStatus
from domain.fulfilment.orders import OrderStatus
from domain.fulfilment.parcels import ParcelStatus
from domain.fulfilment.points import NotThere
from domain.fulfilment.returns import ReturnStatus
from domain.fulfilment.wishes import WishAnswer, WishKind
from domain.ledger.transfers import BusinessEvent
from domain.lifecycle import CANCEL_ANSWERS, FINAL, REPORTED, Deadline, Money, Notice, Owner, Status, reported
from domain.payments import Flaw, Method, PaymentStatus
from domain.people import Capability, Role
from domain.premises import PlaceKind
from domain.prescription import Approval, Handover, RxKind, SkinTestResult
from domain.review import DECISIONS
from domain.shops import DECOCTIONS, Act
from domain.trace import UploadKind
from domain.tracking import Step
from domain.webhooks import WebhookType
from gateway.web.language import Language
from infra.cities import load_knowledge
from infra.db.notices import NoticeKind
from tasks.checks import Grade

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("adapters", "domain", "fhir_profiles", "flows", "gateway", "infra", "tasks")

TABLES: Mapping[str, Iterable[str]] = {
    **{f"adapters.chains.{path.parent.name}.translation._TAKE_WAY": Handover
       for path in sorted((ROOT / "adapters" / "chains").glob("*/translation.py")) if "_TAKE_WAY =" in path.read_text("utf-8")},
    "adapters.dialects.cda_answers.WORDS": (*Outcome, *Inquiry),
    "adapters.dialects.dropbox.OUTCOME_WORDS": Outcome,
    "adapters.dialects.erx.CODES": (*REPORTED, *erx.Before),
    "adapters.dialects.hl7v2.CANCEL_CONTROLS": CANCEL_ANSWERS,
    "adapters.dialects.hl7v2.HTTP_STATUS": Outcome,
    "adapters.dialects.hl7v2.SEVERITIES": Severity,
    "adapters.hospitals.jinan_central.reports.NOTE_SEVERITIES": Severity,
    "adapters.hospitals.jinan_central.reports.PROGRESS": REPORTED,
    # The other two notices are answers to a cancel, which in this dialect never waits and so is never reported.
    "adapters.hospitals.jinan_tcm.translation.STATUS_WORDS": (*Status, Notice.INVALID, Notice.CANCEL_REFUSED),
    # An emergency prescription needs a reason from the first day on.
    "domain.audit.rules.prescribing.DAYS_WITHOUT_REASON": set(RxKind) - {RxKind.LONG_TERM},
    "adapters.payers.jinan_centre.adapter._UPLOADS": UploadKind,
    "domain.events.ARGUMENTS": Event,
    "domain.fulfilment.deliveries.DELIVERY_TRANSITIONS": DeliveryStatus,
    "domain.fulfilment.deliveries.OUTCOMES": DeliveryStatus,
    "domain.fulfilment.orders.MEANINGS": ChainWord,
    "domain.fulfilment.orders.ORDER_TRANSITIONS": OrderStatus,
    "domain.fulfilment.choice.ROUND_TRANSITIONS": RoundState,
    "domain.fulfilment.orders._WORDS": OrderStatus,
    "domain.fulfilment.parcels.PARCEL_TRANSITIONS": ParcelStatus,
    "domain.fulfilment.returns.RETURN_TRANSITIONS": ReturnStatus,
    "domain.fulfilment.wishes.WISH_TRANSITIONS": WishAnswer,
    "domain.ledger.templates.TEMPLATES": (BusinessEvent.SETTLED, BusinessEvent.REVERSED),
    "domain.lifecycle.DEADLINES": Status,
    "domain.lifecycle.MONEY_TRANSITIONS": Money,
    "domain.lifecycle.OWNERS": Status,
    "domain.lifecycle.STAGES": Status,
    "domain.lifecycle.TRANSITIONS": Status,
    "domain.people.CAPABILITIES": Capability,
    "domain.people.GRANTS": Role,
    "domain.people.NEEDS_PLACE": (Role.PRESCRIBER, Role.SHOP, Role.COURIER, Role.VILLAGE_DOCTOR, Role.INTEGRATION_ENGINEER),
    "domain.people.ROLES": Role,
    "domain.shops.ACTS": Act,
    "domain.shops.DONE": Act,
    "domain.shops.DECOCTIONS": (Act.SOAK, Act.DECOCT, Act.PACK_LIQUID, Act.COOL),
    "domain.words.PLACE_KINDS": PlaceKind,
    "domain.words.DECOCTION_STEPS": DecoctionStep,
    "domain.shops.WORDS": set(Act) - set(DECOCTIONS),
    # An order that is only held, or has ended, is nobody's to act on.
    "domain.shops._NEXT": (ChainWord.ORDERED, ChainWord.ACCEPTED, ChainWord.PREPARED, ChainWord.IN_DELIVERY),
    "adapters.chains.jishi.translation._TAKE_WAY": Handover,
    "domain.tracking.AT_PHARMACY": ChainWord,
    "domain.tracking.DECOCTING": DecoctionStep,
    "domain.tracking.CHOICE_ANSWERS": Verdict,
    "domain.tracking.ENDS": (Status.REFUSED, Status.RETURNED, Status.CANCELLED, Status.EXPIRED),
    "domain.tracking.MEANWHILE": set(Status) - {Status.REFUSED, Status.RETURNED, Status.CANCELLED, Status.EXPIRED},
    "domain.tracking.STEPS": Step,
    "domain.tracking.WITH_COURIER": DeliveryStatus,
    "domain.webhooks.WEBHOOKS": WebhookType,
    "domain.window.WORK": Status,
    "domain.window._IN_WORDS": Status,
    "domain.words.APPROVALS": Approval,
    "domain.words.ASKED_BECAUSE": Because,
    "domain.words.DEADLINES": Deadline,
    "domain.words.DELIVERIES": DeliveryStatus,
    "domain.event_words.EVENTS": Event,
    "domain.words.HANDOVERS": Handover,
    "domain.words.ORDERS": (*ChainWord, "open"),
    "domain.words.ORDER_STATUSES": OrderStatus,
    "domain.words.METHODS": Method,
    "domain.words.NOT_THERE": NotThere,
    "domain.words.OWNERS": Owner,
    "domain.words.PAYMENTS": PaymentStatus,
    "domain.words.PAYMENT_FLAWS": Flaw,
    "domain.words.PARCELS": ParcelStatus,
    "domain.words.REPORTS": REPORTED,
    "domain.words.RETURNS": ReturnStatus,
    "domain.words.SEVERITIES": Severity,
    "domain.words.SKIN_TESTS": SkinTestResult,
    "domain.words.STATUSES": Status,
    "domain.event_words.WAITS": Wait,
    "domain.words.WAYS": Way,
    "domain.words.WISHES": WishKind,
    "domain.words.WISH_ANSWERS": WishAnswer,
    "fhir_profiles.answers.CANCEL_STATUS": CANCEL_ANSWERS,
    "fhir_profiles.answers.TASK_STATUS": REPORTED,
    "fhir_profiles.answers._SEVERITY": Severity,
    "flows.doctor._MARKS": Grade,
    "gateway.web.language.OWN_NAMES": Language,
    "gateway.web.language.TAGS": Language,
    "gateway.web.words.AUDIT_REASONS": AuditReason,
    "gateway.web.words.MONEY": Money,
    "gateway.web.words.POSTINGS": BusinessEvent,
    "infra.db.views.boards.DETAILS": NoticeKind,
    "infra.db.views.boards.NOTICES": NoticeKind,
    "tasks.fulfilment.seek._CHOSEN": Way,
    "tasks.line.STEPS": set(Status) - FINAL,
    "tasks.review._DECIDED": set(DECISIONS.values()),
}
"""By dotted name: every key the table must have, and no other."""
ELSEWHERE = {
    "domain.tracking.AT_POINT": "Instead of WITH_COURIER, which is total, where a point is another thing than a door.",
    "gateway.tracking.pages.NOTICES": "Said above the page: answers that need words are CHOICE_ANSWERS, which is total.",
    "gateway.web.choice._STATUS": "Verdicts that refuse; TAKEN and REPEATED are answered with the choice.",
    "domain.fulfilment.ranking.REASONS": "Every `Barred` and codes of its own: tests/domain/fulfilment/test_ranking.py.",
    "domain.benefit": "The scopes a person's account may pay for; a match of its own test.",
    "domain.event_words.TOLD": "Reasons of reports that bring no words of their own: tested in tests/domain/test_words.py.",
    "infra.db.views.boards.NEEDS": "Why a prescription without trouble needs a person: OVERDUE_WAITS are in it.",
    "tasks.checks": "How grades are sorted: every grade is in the function that makes one.",
}
"""Tables keyed by an enum that are not total by nature, or have no name of their own; with the reason."""


def sources() -> Iterator[tuple[str, ast.Module]]:
    """Every module of the product by its dotted name."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts), ast.parse(path.read_text("utf-8"))


MODULES = dict(sources())
ENUMS = {node.name for module in MODULES.values() for node in ast.walk(module)
         if isinstance(node, ast.ClassDef) and any(isinstance(base, ast.Name) and base.id == "StrEnum" for base in node.bases)}
STATUS_WORDS = {str(member) for kind in (Status, Notice, ChainWord) for member in kind}


def tables_of(module: ast.Module) -> Iterator[tuple[str, ast.Dict]]:
    """Every dict that is written down, with the name it is given at the top of its module, empty for one inside a function."""
    names = {inner: ast.unparse(statement.targets[0] if isinstance(statement, ast.Assign) else statement.target)
             for statement in module.body if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value
             for inner in ast.walk(statement.value)}
    for node in ast.walk(module):
        if isinstance(node, ast.Dict):
            yield names.get(node, ""), node


def keyed_by_enum(table: ast.Dict) -> bool:
    return any(isinstance(key, ast.Attribute) and isinstance(key.value, ast.Name) and key.value.id in ENUMS for key in table.keys)


def status_strings(table: ast.Dict) -> set[str]:
    return {key.value for key in table.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)} & STATUS_WORDS


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_an_entry_for_every_member_and_none_besides(name: str) -> None:
    module, _, variable = name.rpartition(".")
    table = getattr(importlib.import_module(module), variable)
    assert {str(key) for key in table} == {str(member) for member in TABLES[name]}


def test_every_table_keyed_by_an_enum_is_listed() -> None:
    keyed = {f"{module}.{name}" if name else module
             for module, tree in MODULES.items() for name, table in tables_of(tree) if keyed_by_enum(table)}
    assert keyed == set(TABLES) | set(ELSEWHERE)


def test_no_table_writes_statuses_as_texts() -> None:
    """A text is not found when a status is renamed, and no type checker misses one that is new."""
    # Causes and results of updates (contracts 2.1), of which some are called like a status; counts of a shop's day, as its API
    # names them.
    allowed = {"domain.words.ENDINGS", "gateway.inbox.facts.", "adapters.chains.box.RESULTS"}
    # Migrations say what was stored once, whatever a status is called today.
    texts = {f"{module}.{name}" for module, tree in MODULES.items() if ".migrations." not in module
             for name, table in tables_of(tree) if len(status_strings(table)) > 1}
    assert texts == allowed


def test_no_status_is_looked_up_with_a_silent_default() -> None:
    """`TABLE.get(status, default)` says something of a status that nobody thought of."""
    # Statuses of HTTP are an open set, and FHIR has a general code for the others.
    allowed = ["gateway.web.errors: _ISSUES.get(status, 'exception')"]
    silent = [f"{module}: {ast.unparse(node)}" for module, tree in MODULES.items() for node in ast.walk(tree)
              if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get"
              and len(node.args) == 2 and isinstance(node.func.value, ast.Name) and node.func.value.id.isupper()
              and ast.unparse(node.args[0]).rpartition(".")[2] in ("status", "outcome", "severity", "event", "wait", "word")]
    assert silent == allowed


@pytest.mark.parametrize("word", REPORTED)
def test_a_word_of_a_report_is_read_as_what_it_was(word: str) -> None:
    assert reported(str(word)) is word


def test_an_unknown_word_of_a_report_is_never_guessed() -> None:
    with pytest.raises(ValueError, match="odd"):
        reported("odd")


def test_every_kind_of_rule_has_a_condition_of_hl7() -> None:
    assert {rule.issue for rule in hl7v2.BY_CODE.values()} == set(hl7v2.CONDITIONS)


def test_every_frequency_has_english_words() -> None:
    from gateway.web.words import FREQUENCIES_EN

    assert set(load_knowledge("jinan").frequencies) == set(FREQUENCIES_EN)




@pytest.mark.parametrize(("source", "keyed", "texts"), [
    ("TABLE = {Status.CLOSED: 1}", True, 0),
    ("TABLE = {'closed': 1, 'returned': 2}", False, 2),
    ("def f():\n    return {ChainWord.HELD: 1}", True, 0),
    ("TABLE = {'red': 1}", False, 0),
])
def test_the_search_sees_what_it_is_for(source: str, keyed: bool, texts: int) -> None:
    tables = [table for _, table in tables_of(ast.parse(source))]
    assert [(keyed_by_enum(table), len(status_strings(table))) for table in tables] == [(keyed, texts)]

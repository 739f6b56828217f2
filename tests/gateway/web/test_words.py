"""Every code that a page shows has words in both languages, whatever closed list it is from."""

import re
from collections.abc import Collection
from pathlib import Path

import pytest

from domain.audit import AuditReason
from domain.chains import ChainWord
from domain.decoction import DecoctionStep
from domain.findings import Severity
from domain.fulfilment.allocation import Way
from domain.fulfilment.choice import Because
from domain.fulfilment.deliveries import DeliveryStatus
from domain.fulfilment.parcels import ParcelStatus
from domain.fulfilment.returns import ReturnStatus
from domain.fulfilment.wishes import WishAnswer, WishKind
from domain.ledger.transfers import BusinessEvent
from domain.lifecycle import STAGES, Deadline, Money, Owner, Status
from domain.payments import Method, PaymentStatus
from domain.people import Capability, Role
from domain.premises import PlaceKind
from domain.prescription import Approval, Channel, DrugKind, Handover, RxKind, Sex, SkinTestResult
from domain.shops import Act
from domain.words import CAUSES, ENDINGS, Two
from fhir_profiles import codes
from fhir_profiles.definitions import codes_of
from gateway.web import words
from gateway.web.language import Language
from gateway.web.render import TABLES, TEMPLATES, Pages
from gateway.web.words import actor
from infra.cities import load_knowledge
from infra.db import views
from tasks import reports
from tasks.city import City
from tests.support.city import make_settings

ROOT = Path(__file__).resolve().parents[3]
STEPS = frozenset({"hold", "place", "cancel", "settle", "reverse", "dispatch", "revoke"})
"""What a partner is asked to do."""
SHOWN: dict[str, Collection[str]] = {
    "status": set(Status), "owner": set(Owner), "stage": set(STAGES.values()), "order": {*ChainWord, "open"},
    "money": set(Money), "severity": set(Severity), "decision": {"pass", "return", "reject"}, "deadline": set(Deadline),
    "route": codes.ROUTES, "title": codes_of("title"), "guardianship": codes_of("guardianship"),
    "reading": codes_of("home-reading"), "approval": set(Approval), "skin": set(SkinTestResult),
    "method": codes_of("decoction-method"), "mark": codes_of("decoction-mark"), "cancelling": codes.CANCEL_REASONS,
    "posting": set(BusinessEvent), "pays": set(Method),
    "payment": set(PaymentStatus), "audit_reason": set(AuditReason), "ending": ENDINGS.keys(),
    "differing": views.DIFFERENCES.keys(), "role": set(Role),
    "capability": set(Capability), "parcel": set(ParcelStatus), "delivery": set(DeliveryStatus),
    "goods": set(ReturnStatus), "wish": set(WishKind),
    "answer": set(WishAnswer), "act": set(Act), "done": set(Act), "shop_kind": set(PlaceKind), "decoction_step": set(DecoctionStep),
    "cause": CAUSES.keys(),
    "because": set(Because), "way": set(Way), "handover": set(Handover),
    "code": {*Sex, *Channel, *DrugKind, *RxKind, *Handover, *STEPS, reports.REPORT, reports.SETTLED},
}
"""Filter of the templates -> every code it may be given."""


@pytest.fixture
def pages(city: City, tmp_path: Path) -> Pages:
    return Pages(city, make_settings(tmp_path))


def both(two: Two, code: str) -> bool:
    """Whether a code is said in both, and in neither as the bare code where that is none."""
    return bool(re.search("[\u4e00-\u9fff]", two.zh)) and bool(re.search("[A-Za-z]", two.en)) and two.zh != code


@pytest.mark.parametrize("name", sorted(SHOWN))
def test_every_code_a_page_may_be_given_has_words_in_both_languages(pages: Pages, name: str) -> None:
    zh, en = (pages.environments[language].filters[name] for language in Language)
    assert SHOWN[name]
    assert [code for code in SHOWN[name] if not both(Two(zh(str(code)), en(str(code))), str(code))] == []


def test_no_table_of_the_pages_is_left_out(pages: Pages) -> None:
    assert set(TABLES) == set(SHOWN)
    used = {name for path in TEMPLATES.rglob("*.html") for name in re.findall(r"\|\s*(\w+)", path.read_text("utf-8"))}
    assert set(SHOWN) <= used


def test_every_frequency_is_said_in_both_languages(pages: Pages) -> None:
    listed = {*codes.FREQUENCIES, *load_knowledge("jinan").frequencies}
    assert [code for code in listed if not both(pages.frequency(code), "") or pages.frequency(code).en == code] == []


def test_whoever_acts_or_pays_is_said_in_both_languages() -> None:
    sources = "\n".join(path.read_text("utf-8") for folder in ("tasks", "infra/db", "gateway")
                        for path in (ROOT / folder).rglob("*.py"))
    actors = set(re.findall(r'actor=f?"([a-z]+)', sources))
    assert len(actors) >= 7
    for kind in actors:
        said = words.actor(f"{kind}:x")
        assert re.search("[\u4e00-\u9fff]", said.zh)
        assert re.search("[a-z]", said.en)


@pytest.mark.parametrize(("stored", "words"), [
    ("chain:ankang", ("安康示范连锁", "Ankang Demo Chain")), ("hospital:of_a_test", ("医院 of_a_test", "hospital of_a_test")),
    ("pharmacist:ankang", ("药师 ankang", "pharmacist ankang")), ("platform", ("平台", "platform")),
])
def test_a_partner_is_called_by_its_name(pages: Pages, stored: str, words: tuple[str, str]) -> None:
    assert actor(stored, pages.partner) == words


def test_every_kind_of_discrepancy_has_words() -> None:
    sources = "\n".join(path.read_text("utf-8") for path in (ROOT / "tasks").rglob("*.py"))
    kinds = set(re.findall(r'kind="(\w+)", subject', sources))
    assert kinds == views.DIFFERENCES.keys()


def test_whatever_a_partner_is_asked_to_do_is_a_step_with_words() -> None:
    sources = "\n".join(path.read_text("utf-8") for path in (ROOT / "tasks").rglob("*.py"))
    named = set(re.findall(r'Effect\(\s*[\w.]+,\s*"(\w+)"', sources))
    assert named == STEPS

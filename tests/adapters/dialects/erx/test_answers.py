"""Answers, statuses and numbers of the national e-prescription interface."""

import json
from datetime import UTC, datetime

import pytest

from adapters.dialects import erx
from adapters.dialects.erx_json import read_parts
from adapters.dialects.erx_rules import RULES
from adapters.messages import Message, Outcome, Verdict
from domain.lifecycle import REPORTED
from tests.support.erx import SECRETS, SLUG

AT = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)


# Words.

@pytest.mark.parametrize("status", [*REPORTED, *erx.Before])
def test_every_status_has_words_of_the_interface(status: str) -> None:
    assert erx.rx_status(status)["rxStasName"] in ("有效", "已失效", "已撤销")
    notice = erx.codes_of(status).notice
    assert notice in ("7108", "7109", "rxStas")
    assert (erx.used_status(status)["rxUsedStasCodg"] == "1") == (notice == "7109")
    assert erx.check_status(status)["rxChkStasCodg"] in "012"


@pytest.mark.parametrize(("verdict", "code", "status"), [
    (Verdict(Outcome.ACCEPTED, AT, SLUG, "rx_1", "RX0001", "received"), 0, "1"),
    (Verdict(Outcome.ACCEPTED, AT, SLUG, "rx_1", "RX0001", "cancelled"), 0, "3"),
    (Verdict(Outcome.ACCEPTED, AT, SLUG, "rx_1", "RX0001", "cancelling"), 0, "1"),
    (Verdict(Outcome.ACCEPTED, AT, SLUG, "rx_1", "RX0001", "too-late"), erx.TOO_LATE, None),
    (Verdict(Outcome.WAITING, AT, SLUG, external_id="RX0001"), 0, "1"),
    (Verdict(Outcome.CONFLICT, AT, SLUG, external_id="RX0001"), erx.CONFLICT, None),
    (Verdict(Outcome.REFUSED, AT, SLUG, external_id="RX0001"), erx.INVALID, None),
])
def test_a_verdict_is_a_code_that_a_hospital_system_understands(
    adapter: erx.Adapter, verdict: Verdict, code: int, status: str | None,
) -> None:
    task = Message("k", {"resourceType": "Task"})
    reply = adapter.answer(task if verdict.status in ("cancelled", "cancelling", "too-late") else None, verdict)
    said = json.loads(reply.body)
    data = json.loads(erx.sm.sm4_decrypt(erx.sm.sm4_key(said["appId"], SECRETS["app_secret"]), said["encData"]))
    assert (said["code"], data.get("rxStasCodg")) == (code, status)
    assert data["hiRxno"] == erx.hi_rxno(SLUG, "RX0001")
    assert reply == adapter.answer(task if verdict.status in ("cancelled", "cancelling", "too-late") else None, verdict)


def test_the_numbers_we_give_fit_their_fields_and_mean_one_content() -> None:
    assert len(erx.hi_rxno(SLUG, "RX0001")) == 30
    assert len(erx.trace_code(SLUG, b"{}")) == 20
    assert erx.trace_code(SLUG, b"{}") != erx.trace_code(SLUG, b"{ }")
    assert erx.hi_rxno(SLUG, "RX0001") != erx.hi_rxno("another", "RX0001")


def test_the_rules_have_ids_and_both_languages() -> None:
    assert len({rule.id for rule in RULES}) == len({rule.code for rule in RULES}) == len(RULES)
    assert all(rule.id.startswith("ERX-") and rule.text and rule.text_en and rule.cure and rule.cure_en for rule in RULES)


def test_parts_are_kept_byte_for_byte() -> None:
    first, second = b'{ "a" : 1.50 }', '{"b":"\\u836f 药"}'.encode()
    parts = read_parts(erx.compose({"D001": first, "D003": second}))
    assert (parts["D001"].raw, parts["D003"].raw) == (first, second)

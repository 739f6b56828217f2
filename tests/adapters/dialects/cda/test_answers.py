"""Answers and reports in the hospital's words."""

import json

import pytest
from lxml import etree

from adapters.dialects import cda, cda_soap
from adapters.hospitals.jinan_tcm import translation
from adapters.hospitals.jinan_tcm.adapter import Adapter
from adapters.messages import Outcome, Verdict
from adapters.registry import HospitalManifest
from domain.errors import InvalidPayload, NeedsOperator
from domain.lifecycle import Notice, Status
from infra.http import Response
from tests.support.cda_documents import AT, OWN, SLUG, adapter, checked, lines, sample, soap
from tests.support.fakes import Replay

# Out.

def test_an_answer_lists_every_finding_with_its_place() -> None:
    message, findings = checked(sample("invalid/dose_is_zero.xml"))
    reply = adapter().answer(message, Verdict(Outcome.REFUSED, AT, SLUG, findings=findings))
    result = etree.fromstring(reply.body)
    names = {"s": cda.SERVICE}

    assert (reply.status, result.findtext("s:outcome", namespaces=names)) == (200, "refused")
    found = result.find("s:finding[s:code='DOSE']", namespaces=names)
    assert found is not None
    assert found.findtext("s:dataElement", namespaces=names) == "DE08.50.023.00"
    assert (found.findtext("s:xpath", namespaces=names) or "").endswith("/doseQuantity/@value")
    assert int(found.findtext("s:line", "0", names)) == lines(sample("invalid/dose_is_zero.xml"), "<doseQuantity")
    assert found.findtext("s:cure", namespaces=names)


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_has_an_answer_in_both_languages(outcome: Outcome) -> None:
    message, _ = checked(sample("waiting/pieces.xml"))
    assert message
    result = etree.fromstring(adapter().answer(
        None, Verdict(outcome, AT, SLUG, "rx_1", "RX0001", "received", unmapped=message.unmapped)).body)

    said = {etree.QName(one).localname: one.text for one in result}
    assert said["outcome"] == outcome
    assert said["text"]
    assert said["textEn"]
    assert result.findtext("{*}unmapped/{*}code") == "ZYP001"


def test_every_status_we_report_has_a_word_of_the_hospital() -> None:
    assert set(translation.STATUS_WORDS) == {*Status, Notice.CANCEL_REFUSED, Notice.INVALID}
    assert len({code for code, _ in translation.STATUS_WORDS.values()}) == len(translation.STATUS_WORDS)


REPORT = {"key": "rx_1:settled", "prescription": "RX0001", "id": "rx_1", "status": "settled", "at": AT.isoformat(),
          "reason": "checked", "words": "已核对\x01<&>", "words_en": "",
          "findings": [{"code": "DOSE", "severity": "WARN", "text": "剂量", "line": 1}],
          "patient_page": "https://sanyi.example/p/ab12-cd34",
          "pickup": {"order": "ord_1", "chain": "ankang", "store": "AK01", "code": "7K3QX9MWTA"},
          "dispense": {
              "order": "ord_1", "chain": "ankang", "store": "AK01", "handover": "pickup", "at": "2026-11-22T01:20:00+00:00",
              "lines": [{"line": 1, "item": "1", "drug": "D001", "name": "二甲双胍", "quantity": "60", "unit": "片", "days": 30,
                         "returned": True}]},
          "settlement": {"payer": "centre", "settled": {"id": "S2", "reference": "H2"},
                         "reverses": {"id": "S1", "reference": "H1"}},
          "money": {"total": "46.50", "fund": "39.53", "account": "6.97", "cash": "0.00"}}


async def test_a_report_goes_out_in_the_hospitals_words_and_may_be_repeated() -> None:
    line = Replay(soap("ReportStatusResponse"))
    await adapter(line).report("rx_1:settled", json.dumps(REPORT).encode())

    request = line.sent[0]
    said = cda_soap.body(request.body, OWN, "ReportStatus")
    status, money, reason = (said.find(f"{{{OWN}}}{name}") for name in ("status", "money", "reason"))
    assert (request.method, request.path, request.repeatable) == ("POST", "/exchange", True)
    assert request.headers["authorization"] == "Bearer MARK-token"
    assert request.headers["soapaction"] == f'"{OWN}:ReportStatus"'
    assert said.findtext(f"{{{OWN}}}key") == "rx_1:settled"
    assert reason is not None
    assert (reason.get("code"), reason.text) == ("checked", "已核对<&>")
    assert status is not None
    assert (status.get("code"), status.text) == ("60", "已结算")
    assert money is not None
    assert dict(money.attrib) == {"currency": "元", **REPORT["money"]}
    assert said.findtext(f"{{{OWN}}}patientPage") == REPORT["patient_page"]
    (line_,) = said.findall(f"{{{OWN}}}dispense/{{{OWN}}}line")
    assert (line_.text, line_.get("quantity"), line_.get("unit"), line_.get("returned")) == ("二甲双胍", "60", "片", "true")
    assert [(one.get("kind"), one.get("id"), one.get("payer")) for one in said.findall(f"{{{OWN}}}settlement")] == [
        ("settled", "S2", "centre"), ("reverses", "S1", "centre")]


async def test_a_hospital_that_answers_something_else_is_for_a_person_or_for_quarantine() -> None:
    with pytest.raises(NeedsOperator, match="HTTP 404"):
        await adapter(Replay(Response(404))).report("k", json.dumps(REPORT).encode())
    with pytest.raises(InvalidPayload):
        await adapter(Replay(Response(200, b"<html/>"))).report("k", json.dumps(REPORT).encode())


def test_a_manifest_without_its_facts_is_found_at_once() -> None:
    facts = HospitalManifest(slug="x", name="x", name_en="x", owner="x", dialect="cda", facts={"exchange_path": "/"})
    with pytest.raises(NeedsOperator, match="exchange_namespace"):
        Adapter(facts, Replay(), {"report_token": "x"})

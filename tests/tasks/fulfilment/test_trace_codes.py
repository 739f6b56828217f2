"""Trace codes on the line: bound with the chain's word, judged beside it, claimed with the order."""

import json
from dataclasses import replace
from datetime import date

import pytest
import sqlalchemy as sa

from domain.chains import ChainWord
from domain.errors import Refused
from domain.lifecycle import Status
from infra.db.rows import NoticeRow, PackRow, PackUseRow, PrescriptionRow, TraceUploadRow
from tasks.recall import recall
from tests.support import trace_codes
from tests.support.city import admit
from tests.support.line import Line


def rows(line: Line, row: type, *columns: str) -> list[tuple]:
    with line.city.db.reading() as session:
        return [tuple(values) for values in session.execute(
            sa.select(*(getattr(row, column) for column in columns)).order_by(*row.__mapper__.primary_key))]


def uses(line: Line) -> list[str]:
    return sorted(status for (status,) in rows(line, PackUseRow, "status"))


def scanned(line: Line, rx_id: str) -> tuple:
    placed = line.order(rx_id)
    return line.chain(placed.order.chain).packs(placed.order)


def test_packs_are_bound_at_the_preparation_and_sold_at_the_handover(line):
    (rx_id,) = admit(line.city)
    placed = line.to_fulfilling(rx_id)
    line.say(rx_id, ChainWord.PREPARED)
    assert set(uses(line)) == {"prepared"}
    line.say(rx_id, ChainWord.HANDED_OVER, traces=None)
    assert set(uses(line)) == {"handed_over"}, "a handover that names no packs is of those prepared"
    line.hop(rx_id)
    assert line.status(rx_id) is Status.SETTLED
    assert rows(line, TraceUploadRow, "kind", "order_id") == [("sale", placed.id)] * len(uses(line))


def test_the_claim_names_the_packs(line):
    (rx_id,) = admit(line.city)
    line.to_settled(rx_id)
    placed = line.order(rx_id)
    expected = sorted(scan.code for scan in scanned(line, rx_id))
    sent = json.loads(line.payer._answers[line.claim(rx_id).claim.reference][0])
    assert sorted(code for packs in sent[-1] for code in packs[-1]) == expected
    assert placed.status == "completed"


def test_a_handover_without_codes_keeps_the_word_and_the_claim_waits_until_they_come(line):
    (rx_id,) = admit(line.city)
    line.to_fulfilling(rx_id)
    answer = json.loads(line.say(rx_id, ChainWord.HANDED_OVER, traces=()).body)
    assert answer["result"] == "applied"
    assert {finding["rule"] for finding in answer["findings"]} == {"B-55"}
    line.hop(rx_id)
    assert line.status(rx_id) is Status.FULFILLED
    assert "settle" not in line.payer.calls
    assert rows(line, PrescriptionRow, "trouble") == [("NeedsOperator:no_trace_code",)]
    assert {detail for (detail,) in rows(line, NoticeRow, "detail")} == {"TRACE_MISSING"}
    line.say(rx_id, ChainWord.HANDED_OVER)
    line.hop(rx_id)
    assert line.status(rx_id) is Status.SETTLED
    assert line.payer.calls.count("settle") == 1
    assert rows(line, PrescriptionRow, "trouble") == [("",)]


def test_a_chain_that_does_not_scan_is_paid_without_codes(line):
    line.city = replace(line.city, policy=replace(line.city.policy, coded_chains=frozenset()))
    (rx_id,) = admit(line.city)
    line.to_fulfilling(rx_id)
    answer = json.loads(line.say(rx_id, ChainWord.HANDED_OVER, traces=None).body)
    assert answer == {"result": "applied"}
    line.hop(rx_id)
    assert line.status(rx_id) is Status.SETTLED


def test_a_code_sold_before_is_not_sold_again(line):
    first, second = admit(line.city, 2)
    line.to_fulfilling(first)
    line.to_fulfilling(second)
    line.say(first, ChainWord.HANDED_OVER)
    stolen = scanned(line, first)
    answer = json.loads(line.say(second, ChainWord.HANDED_OVER, traces=stolen).body)
    assert {"TRACE_DUP", "TRACE_MISSING"} == {finding["code"] for finding in answer["findings"]}
    line.hop(second)
    assert line.status(second) is Status.FULFILLED
    line.hop(first)
    assert line.status(first) is Status.SETTLED


def test_codes_that_come_after_the_line_is_complete_change_nothing(line):
    (rx_id,) = admit(line.city)
    line.to_settled(rx_id)
    before = rows(line, PackUseRow, "code", "status")
    others = tuple(replace(scan, code=scan.code[:-1] + str((int(scan.code[-1]) + 1) % 10)) for scan in scanned(line, rx_id))
    assert json.loads(line.say(rx_id, ChainWord.HANDED_OVER, traces=others).body)["result"] == "ignored"
    line.say(rx_id, ChainWord.PREPARED, traces=others)
    assert rows(line, PackUseRow, "code", "status") == before


def test_another_pack_than_the_one_prepared_may_be_handed_over(line):
    (rx_id,) = admit(line.city)
    line.to_fulfilling(rx_id)
    line.say(rx_id, ChainWord.PREPARED)
    prepared = scanned(line, rx_id)
    others = tuple(replace(scan, code=scan.code[:-1] + str((int(scan.code[-1]) + 1) % 10)) for scan in prepared)
    line.say(rx_id, ChainWord.HANDED_OVER, traces=others)
    left = dict(rows(line, PackRow, "code", "units_left"))
    assert uses(line) == sorted(["released", "handed_over"] * len(prepared))
    assert all(left[scan.code] == trace_codes.pack_of("D001") for scan in prepared if scan.code.startswith(prepared[0].code[:7]))


def test_what_lay_packed_for_an_order_that_ends_can_be_sold_again(line):
    (rx_id,) = admit(line.city)
    line.to_fulfilling(rx_id)
    packs = scanned(line, rx_id)
    line.say(rx_id, ChainWord.PREPARED)
    line.say(rx_id, ChainWord.DECLINED, reason="quality")
    assert set(uses(line)) == {"released"}
    line.hop(rx_id)
    assert line.status(rx_id) is Status.FULFILLING, "another pharmacy has it"
    assert "findings" not in json.loads(line.say(rx_id, ChainWord.HANDED_OVER, traces=packs).body)


def test_what_came_back_is_in_quarantine_and_is_never_sold_again(line):
    first, second = admit(line.city, 2)
    line.to_settled(first)
    packs = scanned(line, first)
    line.say(first, ChainWord.RETURNED, reason="quality")
    assert set(uses(line)) == {"returned"}
    assert {kind for (kind,) in rows(line, TraceUploadRow, "kind")} == {"sale", "return"}
    line.hop(first)
    line.to_fulfilling(second)
    answer = json.loads(line.say(second, ChainWord.PREPARED, traces=packs).body)
    assert "RESALE" in {finding["code"] for finding in answer["findings"]}


def test_a_short_dated_pack_is_found_at_the_preparation_and_sold_if_the_patient_has_it_all_the_same(line):
    (rx_id,) = admit(line.city)
    line.to_fulfilling(rx_id)
    short = tuple(replace(scan, expires_on=date(2026, 12, 1)) for scan in scanned(line, rx_id))
    answer = json.loads(line.say(rx_id, ChainWord.PREPARED, traces=short).body)
    assert "SHORT_DATED" in {finding["code"] for finding in answer["findings"]}
    assert uses(line) == []
    assert rows(line, NoticeRow, "detail") == [], "the pharmacy still can take another pack"
    line.say(rx_id, ChainWord.HANDED_OVER, traces=short)
    line.hop(rx_id)
    assert line.status(rx_id) is Status.SETTLED
    assert {detail for (detail,) in rows(line, NoticeRow, "detail")} == {"SHORT_DATED"}


def test_a_recall_stops_the_sale_and_says_what_left_the_shelf(line):
    first, second, third = admit(line.city, 3)
    line.to_settled(first)
    for rx_id in (second, third):
        line.to_fulfilling(rx_id)
    line.say(second, ChainWord.PREPARED)
    result = recall(line.city, drug="D001", lot="L2606", reason="quality", by="o001")
    assert {pack.prescription_id for pack in result.handed_over} == {first}
    assert {pack.prescription_id for pack in result.under_way} == {second}
    answer = json.loads(line.say(third, ChainWord.PREPARED).body)
    assert "LOT_RECALLED" in {finding["code"] for finding in answer["findings"]}
    again = recall(line.city, drug="D001", lot="L2606", reason="again", by="o002")
    assert again == result


@pytest.mark.parametrize("what", [{}, {"drug": "D001"}, {"lot": "L1"}, {"drug": "nothing", "lot": "L1"}, {"code": "12"},
                                  {"drug": "D001", "lot": "13800138000"}, {"code": trace_codes.code("D001", 1), "lot": "L1"}])
def test_a_recall_names_a_lot_of_a_drug_or_one_code(line, what):
    with pytest.raises(Refused):
        recall(line.city, reason="quality", by="o001", **what)

"""HL7 v2: where everything stands, what is refused and where, what is answered; and one hospital that speaks it."""

import json
import re
import tomllib
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import registry
from adapters.dialects import hl7v2, hl7v2_segments
from adapters.dialects.hl7v2 import RULES, Ends, read
from adapters.dialects.hl7v2_segments import parse, text, unescape
from adapters.hospitals.jinan_central.adapter import Adapter
from adapters.messages import Message, Outcome, Unmapped, Verdict
from domain.errors import InvalidPayload, NeedsOperator, Transient
from domain.findings import Finding, Severity, Spot
from domain.lifecycle import REPORTED
from fhir_profiles.catalogue import RULES as CATALOGUE
from fhir_profiles.checker import check_data
from fhir_profiles.drafts import Datum
from tests.support.effort import steps
from tests.support.fakes import Replay
from tests.support.hl7_messages import CODES, REPORT, SAMPLES, SLUG, UTF8, adapter, body, judged, refused, sample
from tests.support.hl7_oracle import faults

VALID = sorted(path.name for path in SAMPLES.glob("*.hl7"))


INVALID: dict[str, str] = tomllib.loads((SAMPLES / "invalid" / "index.toml").read_text(encoding="utf-8"))


ENDS = Ends("JZHIS", "JINANCENTRAL", "GB 18030-2000")


AT = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)


def segments(body: bytes) -> list[list[str]]:
    return [line.split("|") for line in decoded(body).strip("\r").split("\r")]


def decoded(body: bytes) -> str:
    return body.decode("gb18030" if b"|GB 18030-2000" in body.split(b"\r", 1)[0] else "utf-8")


def verdict(outcome: Outcome, **said: Any) -> Verdict:
    return Verdict(outcome, AT, SLUG, **said)


def with_field(raw: bytes, segment: bytes, number: int, value: bytes) -> bytes:
    """The message with a field of every such segment."""
    rows = [row.split(b"|") for row in raw.split(b"\r")]
    for fields in rows:
        if fields[0] == segment:
            fields += [b""] * (number + 1 - len(fields))
            fields[number] = value
    return b"\r".join(b"|".join(fields) for fields in rows)


# Reading.

@pytest.mark.parametrize(("name", "segment"), [("rde_long_term.hl7", "RXE"), ("omp_home_delivery.hl7", "RXO")])
@pytest.mark.parametrize("word", [b"G", b"N", b"T", b"0", b"Y", b"\xff"])
def test_a_word_on_other_products_has_no_place_and_is_refused_where_it_stands(name: str, segment: str, word: bytes) -> None:
    told = judged(with_field(sample(name), segment.encode(), 9, word))
    assert told
    if word != b"\xff":  # Those are no characters at all.
        assert {it.code for it in told} == {"HL7_NOT_SUPPORTED"}
        assert {it.spot.name for it in told if it.spot} <= {f"{segment}-9", f"{segment}[2]-9"}


@pytest.mark.parametrize("name", VALID)
def test_every_valid_sample_keeps_the_contract(name: str) -> None:
    assert judged(sample(name)) == []


# v2.5.1 has no DG1, NK1 and IAM in an order; hospitals send them all the same.
@pytest.mark.parametrize("name", [it for it in VALID if it not in ("rde_with_dg1.hl7", "rde_child.hl7")])
def test_our_samples_are_messages_in_the_eyes_of_somebody_elses_tables(name: str) -> None:
    assert faults(decoded(sample(name))) == []


def test_somebody_elses_tables_do_refuse_what_is_wrong() -> None:
    raw = decoded(sample("rde_long_term.hl7"))
    assert faults(re.sub("TQ1.*\r", "", raw))
    assert faults(raw.replace("|500||MG", "|||MG"))


@pytest.mark.parametrize(("name", "code"), INVALID.items())
def test_every_invalid_sample_causes_its_finding_and_no_other(name: str, code: str) -> None:
    findings = judged((SAMPLES / "invalid" / name).read_bytes())
    assert [it.code for it in findings] == [code] * len(findings)
    assert findings
    for it in findings:
        assert it.spot is not None
        assert it.spot.line > 0
        assert it.spot.offset >= 0


def test_every_invalid_sample_is_in_the_index() -> None:
    assert {path.name for path in (SAMPLES / "invalid").glob("*.hl7")} == set(INVALID)
    assert len(INVALID) >= 8


def test_a_prescription_says_the_same_in_both_message_types_and_character_sets() -> None:
    rde, omp = (adapter()[0].to_fhir(sample(name), CODES).resource for name in ("rde_long_term.hl7", "omp_home_delivery.hl7"))
    first = [it["resource"] for it in rde["entry"]]
    assert first[0]["name"] == [{"text": "示范患者甲"}]
    assert first[0]["identifier"][0]["value"] == "370102195803029910"
    assert first[-1]["medicationCodeableConcept"]["coding"][0]["code"] == "D001"
    assert first[-1]["dosageInstruction"][0]["doseAndRate"][0]["doseQuantity"] == {"value": 500, "unit": "mg"}
    assert first[-1]["dispenseRequest"]["quantity"] == {"value": 60, "unit": "片"}
    assert first[-1]["authoredOn"] == "2026-11-22T08:58:00+08:00"
    second = [it["resource"] for it in omp["entry"]]
    assert second[0]["address"][0]["text"] == "示范市示范区示范路2号3单元&4室"
    assert [it["code"]["coding"][0]["code"] for it in second if it["resourceType"] == "Condition"] == ["I10.x00", "E78.500"]
    assert second[-2]["dosageInstruction"][0]["text"] == "早餐后服用"
    assert "病情需要\n已告知" in json.dumps(second[-2], ensure_ascii=False).replace("\\n", "\n")


def test_an_order_as_first_asked_for_is_not_the_one_that_counts() -> None:
    entry = adapter()[0].to_fhir(sample("rde_with_dg1.hl7"), CODES).resource["entry"][-1]["resource"]
    assert entry["dosageInstruction"][0]["timing"]["code"]["coding"][0]["code"] == "qd"


def test_a_cancel_names_its_prescription_and_reason() -> None:
    for name, number, reason in (("rde_cancel.hl7", "RXC0001", "prescriber"), ("omp_cancel.hl7", "RXC0002", "patient")):
        message = adapter()[0].to_fhir(sample(name), CODES)
        assert message.kind == "Task"
        assert message.resource["focus"]["identifier"]["value"] == number
        assert message.resource["reasonCode"]["coding"][0]["code"] == reason


@pytest.mark.parametrize("name", VALID)
def test_a_spot_leads_to_the_very_bytes(name: str) -> None:
    raw = sample(name)
    message = read(raw, ENDS)
    seen = 0
    for segment in message.segments:
        if segment.name == "MSH":
            continue
        for number in range(1, 45):
            for repetition in segment.repetitions(number):
                for component in range(1, 15):
                    said = segment.datum(number, component, repetition=repetition)
                    if said.value and said.value.isascii():
                        assert raw[said.spot.offset:].startswith(said.value.encode())
                        assert raw[:said.spot.offset].count(b"\r") == said.spot.line - 1
                        assert said.spot.name.startswith(segment.name)
                        seen += 1
    assert seen > 10


def test_places_have_the_names_the_sender_knows() -> None:
    message = read(sample("omp_home_delivery.hl7"), ENDS)
    assert message.orders[1].first("RXO").datum(1).spot.name == "RXO[2]-1.1"
    assert message.orders[0].first("RXO").datum(20, 2, repetition=2).spot.name == "RXO-20[2].2"
    assert message.first("TQ1").datum(3, 1, 2).spot.name == "TQ1-3.1.2"
    assert message.first("MSH").datum(10).value == "JZ20261122000002"


def test_a_code_nobody_has_mapped_waits_with_its_name_and_place() -> None:
    raw = sample("rde_long_term.hl7").replace(b"W100001", b"W999999").replace(b"|TAB", b"|XX1")
    message = adapter()[0].to_fhir(raw, CODES)
    assert [(it.table, it.theirs, it.name) for it in message.unmapped] == [
        ("drug", "W999999", "盐酸二甲双胍片"), ("unit", "XX1", "")]
    assert message.unmapped[0].spot is not None
    assert message.unmapped[0].spot.name == "RXE-2.1"


def test_a_key_nobody_can_use_is_none_and_is_refused_in_its_place() -> None:
    raw = sample("rde_long_term.hl7").replace(b"|JZ20261122000001|", b"|JZ 2026/1|")
    assert adapter()[0].to_fhir(raw, CODES).key is None
    (finding,) = judged(raw)
    assert finding.spot is not None
    assert finding.spot.name == "MSH-10.1"


def test_hl7_null_is_nothing() -> None:
    message = parse(f'{UTF8}\rPID|1||""'.encode(), ENDS.charset)
    assert message.first("PID").datum(3).value == ""


def test_other_delimiters_are_the_senders_right() -> None:
    raw = sample("rde_long_term.hl7")
    swapped = raw.decode("gb18030").translate(str.maketrans("|^~&", "!@*%")).encode("gb18030")
    assert adapter()[0].to_fhir(swapped, CODES).resource == adapter()[0].to_fhir(raw, CODES).resource
    assert judged(swapped) == []


@pytest.mark.parametrize(("body", "code"), [
    (b"", "HL7_NO_HEADER"), (b"MSH", "HL7_NO_HEADER"), (b"MSH|", "HL7_NO_HEADER"), (b"MSH|^^^^|", "HL7_NO_HEADER"),
    (b"MSHA^~\\&A", "HL7_NO_HEADER"), (b"\xef\xbb\xbfMSH|^~\\&|", "HL7_NO_HEADER"), (b"<rx/>", "HL7_NO_HEADER"),
    (f"{UTF8}\rpid|1".encode(), "HL7_SEGMENT"), (f"{UTF8}\rPIDX".encode(), "HL7_SEGMENT"),
    (f"{UTF8}\r{UTF8}".encode(), "HL7_SEGMENT"), (f"{UTF8}\rNTE|1||\x00".encode(), "HL7_CHARACTER"),
    (f"{UTF8}\rNTE|1||".encode() + b"\xff", "HL7_CHARSET"),
    (UTF8.replace("UNICODE UTF-8", "UNICODE UTF-16").encode(), "HL7_CHARSET"),
    (f"{UTF8}\rNTE|1||\\Q\\".encode(), "HL7_ESCAPE"), (f"{UTF8}\rNTE|1||\\X0\\".encode(), "HL7_ESCAPE"),
    (f"{UTF8}\rNTE|1||50\\".encode(), "HL7_ESCAPE"), (f"{UTF8}\rNTE|1||\\X80\\".encode(), "HL7_ESCAPE"),
    (f"{UTF8}\rPID|1".encode(), "HL7_NO_ORDER"),
    (f"{UTF8}\rORC|NW\rRXE\rORC|CA\rRXE".encode(), "HL7_ORDER_CONTROL"),
    (f"{UTF8}\rORC|NW\rRXE||a|1|2".encode(), "HL7_NOT_SUPPORTED"),
    (f"{UTF8}\rORC|NW\rRXE||a|1\rRXC|A".encode(), "HL7_NOT_SUPPORTED"),
    (UTF8.replace("|2.5.1|", "|2.3|").encode(), "HL7_VERSION"),
    (b"MSH|^~\\&|" + b"x" * (1 << 20), "HL7_TOO_LARGE"), (f"{UTF8}\r".encode() + b"NTE\r" * 2001, "HL7_TOO_LARGE"),
    (f"{UTF8}\r".encode() + (b"NTE|1||" + b"\\T\\" * 600 + b"\r") * 17, "HL7_TOO_LARGE"),
])
def test_what_is_no_prescription_is_refused_for_what_it_is(body: bytes, code: str) -> None:
    assert code in [it.code for it in refused(body)]


def test_every_finding_comes_in_one_pass_and_none_holds_a_value() -> None:
    raw = f"{UTF8}\rNTE|1||\x01示范患者甲\rx\rNTE|2||\\示范患者甲".encode()
    findings = parse(raw, ENDS.charset).findings
    assert [it.code for it in findings] == ["HL7_CHARACTER", "HL7_SEGMENT", "HL7_ESCAPE"]
    assert [it.spot.line for it in findings if it.spot] == [2, 3, 4]
    assert "示范" not in repr(findings)


def test_a_gb18030_delimiter_inside_a_character_is_not_one() -> None:
    # The second byte of this character is 0x7C, which looks like a field separator.
    character = b"\x81\x7c".decode("gb18030")
    raw = sample("rde_long_term.hl7").decode("gb18030").replace("患者甲", character).encode("gb18030")
    assert b"|" in character.encode("gb18030")
    assert judged(raw) == []


def changed(raw: bytes, segment: str, number: int, value: str) -> bytes:
    """The message with one field of the first such segment replaced."""
    lines = raw.decode("gb18030").split("\r")
    at = next(index for index, line in enumerate(lines) if line.startswith(f"{segment}|"))
    fields = lines[at].split("|")
    fields += [""] * (number + 1 - len(fields))
    fields[number] = value
    lines[at] = "|".join(fields)
    return "\r".join(lines).encode("gb18030")


@pytest.mark.parametrize(("segment", "number", "value"), [
    ("TQ1", 3, "BID~TID"), ("TQ1", 3, "BID^^^^8^H"), ("TQ1", 6, "30^d~3^d"),
    ("TQ1", 2, "2"), ("TQ1", 4, "0800"), ("TQ1", 5, "30^min"), ("TQ1", 7, "20261201"), ("TQ1", 7, "20261122200000+0800"),
    ("TQ1", 7, "2026112208"), ("TQ1", 8, "20261124"),
    ("TQ1", 9, "PRN"), ("TQ1", 9, "R~PRN"), ("TQ1", 9, "S^Stat^HL70485"), ("TQ1", 9, "^需要时"), ("TQ1", 10, "疼痛时"),
    ("TQ1", 11, "最多四片"), ("TQ1", 12, "S"), ("TQ1", 13, "2^h"), ("TQ1", 14, "3"),
    ("RXE", 1, "^TID"), ("ORC", 7, "^^^^^PRN"), ("RXE", 3, "500~850"), ("RXR", 1, "PO~IV"), ("RXR", 2, "OS^左眼"),
    ("RXR", 4, "CH^嚼服"), ("RXE", 9, "N"), ("RXE", 22, "H1"), ("RXE", 23, "50"), ("RXE", 24, "ml/h"), ("RXE", 4, "850"),
    ("RXE", 12, "2"),
])
def test_what_a_prescription_of_ours_cannot_say_is_refused_and_never_left_out(segment: str, number: int, value: str) -> None:
    findings = judged(changed(sample("rde_long_term.hl7"), segment, number, value))
    assert {it.code for it in findings} == {"HL7_NOT_SUPPORTED"}
    assert all(it.spot and it.spot.name.startswith(f"{segment}-{number}") for it in findings)


@pytest.mark.parametrize(("number", "value"), [
    (2, "1"), (7, "20261122"), (7, "202611220800+0800"), (9, "R^Routine^HL70485"), (9, '""'), (10, '""'), (10, " "), (14, ""),
])
def test_a_timing_that_adds_nothing_is_taken(number: int, value: str) -> None:
    assert judged(changed(sample("rde_long_term.hl7"), "TQ1", number, value)) == []


def test_an_order_that_hangs_on_another_is_refused() -> None:
    raw = sample("rde_long_term.hl7").replace(b"RXR|PO", b"TQ2|1|S|RXC0000-1\rRXR|PO")
    assert [it.code for it in judged(raw)] == ["HL7_NOT_SUPPORTED"]


def test_a_message_beyond_a_megabyte_is_not_read() -> None:
    raw = f"{UTF8}\r".encode() + b"NTE|1||x\r" * 100
    assert [it.code for it in judged(raw + b" " * (hl7v2_segments.MAX_BYTES + 1 - len(raw)))] == ["HL7_TOO_LARGE"]
    assert hl7v2_segments.MAX_BYTES == 1 << 20


@pytest.mark.parametrize("body", ["NTE" + "|\\" * 500_000, "ZRX|||||" + "~" * 1_000_000, "PID|||" + "1~" * 500_000],
                         ids=["escapes", "repetitions", "identifiers"])
def test_a_message_made_to_keep_us_busy_is_refused_before_it_is_taken_apart(body: str) -> None:
    raw = sample("rde_long_term.hl7").rsplit(b"ZRX", 1)[0] + f"{body}\r".encode()
    findings = judged(raw)
    assert steps(lambda: judged(raw)) < 5_000
    assert 0 < len(findings) <= hl7v2_segments.MAX_FINDINGS


@given(st.binary(max_size=200) | st.text("MSHORCPIDRXE|^~\\&\r\n01 示", max_size=200).map(
    lambda it: f"{UTF8}\r{it}".encode()))
def test_whatever_comes_is_read_or_refused(body: bytes) -> None:
    findings = ["read"]
    try:
        adapter()[0].to_fhir(body, CODES)
    except InvalidPayload as invalid:
        findings = [it.code for it in invalid.findings]
    assert findings


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]) | st.sampled_from("|^~\\&\n")))
def test_what_is_written_reads_the_same(given_text: str) -> None:
    said = parse(f"{UTF8}\rNTE|1||示{text(given_text)}示".encode(), ENDS.charset).first("NTE").datum(3)
    assert said.value == f"示{given_text}示"


@given(st.data())
def test_one_change_anywhere_never_slips_through_as_another_prescription(data: st.DataObject) -> None:
    """A byte lost on the way: refused, waiting, or the same but for the one value that lost it; never a crash."""
    raw = sample("omp_home_delivery.hl7")
    at = data.draw(st.integers(0, len(raw) - 1))
    try:
        message = adapter()[0].to_fhir(raw[:at] + raw[at + 1:], CODES)
    except InvalidPayload:
        return
    check_data(message.resource, SLUG)


def test_hexadecimal_escapes_are_bytes_of_the_message() -> None:
    assert unescape("\\XE7A4BA\\", hl7v2_segments.Marks(), "utf-8") == "示"
    assert unescape("\\H\\bold\\N\\", hl7v2_segments.Marks(), "utf-8") == "bold"


@pytest.mark.parametrize(("theirs", "ours"), [
    ("20261122090000+0800", "2026-11-22T09:00:00+08:00"), ("20261122090000", "2026-11-22T09:00:00+08:00"),
    ("202611220900", "2026-11-22T09:00:00+08:00"), ("20261122010000.25+0000", "2026-11-22T01:00:00.25+00:00"),
    ("20261122", "20261122"), ("2026-11-22 09:00", "2026-11-22 09:00"), ("", "")])
def test_a_time_keeps_its_offset_and_what_is_none_stays_as_it_is(theirs: str, ours: str) -> None:
    assert hl7v2_segments.timestamp(Datum(theirs)).value == ours


@pytest.mark.parametrize(("theirs", "ours"), [
    ("19580302", "1958-03-02"), ("19580302000000", "1958-03-02"), ("195803", "195803"), ("1958-03-02", "1958-03-02")])
def test_a_day_is_a_whole_day_or_stays_as_it_is(theirs: str, ours: str) -> None:
    assert hl7v2_segments.date(Datum(theirs)).value == ours


# Answering.

def accepted(name: str, **said: Any) -> tuple[Message, bytes]:
    hospital, _ = adapter()
    message = hospital.to_fhir(sample(name), CODES)
    told = verdict(Outcome.ACCEPTED, **{"prescription_id": "rx_1", "external_id": "RXC0001", "status": "received"} | said)
    return message, hospital.answer(message, told).body


@pytest.mark.parametrize(("name", "event"), [
    ("rde_long_term.hl7", "RRE^O12^RRE_O12"), ("omp_home_delivery.hl7", "ORP^O10^ORP_O10")])
def test_an_accepted_prescription_is_answered_with_its_number_and_status(name: str, event: str) -> None:
    message, body = accepted(name)
    assert faults(decoded(body)) == []
    header, said, order = segments(body)
    assert header[8] == event
    assert header[17] == message.context["charset"]
    assert said[1:3] == ["AA", message.key]
    assert order[1:5] == ["OK", "", "rx_1^SANYI", "RXC0001"]
    assert order[25] == "received^^SANYI"


@pytest.mark.parametrize(("status", "control"), [("cancelled", "CR"), ("cancelling", "OK"), ("too-late", "UC")])
def test_a_cancel_is_answered_with_what_became_of_it(status: str, control: str) -> None:
    _, body = accepted("rde_cancel.hl7", status=status)
    order = segments(body)[-1]
    assert (order[1], order[25]) == (control, f"{status}^^SANYI")


def test_a_refusal_names_segment_field_and_component_in_both_languages() -> None:
    hospital, _ = adapter()
    raw = (SAMPLES / "invalid" / "check_digit.hl7").read_bytes()
    message = hospital.to_fhir(raw, CODES)
    reply = hospital.answer(message, verdict(Outcome.REFUSED, findings=check_data(message.resource, SLUG)))
    assert reply.status == 422
    assert faults(decoded(reply.body)) == []
    (error,) = [it for it in segments(reply.body) if it[0] == "ERR"]
    assert segments(reply.body)[1][1] == "AE"
    assert error[2:6] == ["PID^1^3^1^1", "102^Data type error^HL70357", "E", "ID_NUMBER^FHIR-040^SANYI"]
    offset = int(re.search(r"byte (\d+)", error[7])[1])  # type: ignore[index]
    assert raw[offset:].startswith(b"3701021958")
    assert CATALOGUE["ID_NUMBER"].text in error[8]
    assert "check digit" in error[7]


def test_a_conflict_is_rejected_as_a_duplicate_key() -> None:
    hospital, _ = adapter()
    message = hospital.to_fhir(sample("omp_home_delivery.hl7"), CODES)
    finding = CATALOGUE["MESSAGE_CONFLICT"].finding("Bundle.timestamp")
    reply = hospital.answer(message, verdict(Outcome.CONFLICT, findings=[finding]))
    rows = segments(reply.body)
    assert rows[1][1] == "AR"
    assert rows[2][2:4] == ["MSH^1^7^1^1", "205^Duplicate key identifier^HL70357"]
    assert rows[3][1] == "UA"
    assert faults(decoded(reply.body)) == []


def test_a_waiting_message_is_accepted_with_a_warning_for_each_code() -> None:
    hospital, _ = adapter()
    message = hospital.to_fhir(sample("rde_long_term.hl7").replace(b"W100001", b"W9"), CODES)
    reply = hospital.answer(message, verdict(Outcome.WAITING, unmapped=message.unmapped))
    rows = segments(reply.body)
    assert rows[1][1] == "AA"
    assert rows[2][2:6] == ["RXE^1^2^1^1", "103^Table value not found^HL70357", "W", "UNMAPPED^drug^SANYI"]
    assert rows[3][25] == "waiting^^SANYI"
    assert faults(decoded(reply.body)) == []


@pytest.mark.parametrize(("name", "code", "condition"), [
    ("another_message_type.hl7", "AR", "200"), ("another_hospital.hl7", "AR", "204"),
    ("no_drug_segment.hl7", "AE", "101"), ("no_header.hl7", "AE", "100")])
def test_what_cannot_be_read_is_told_apart_and_keeps_its_number(name: str, code: str, condition: str) -> None:
    hospital, _ = adapter()
    raw = (SAMPLES / "invalid" / name).read_bytes()
    with pytest.raises(InvalidPayload) as caught:
        hospital.to_fhir(raw, CODES)
    reply = hospital.answer(None, verdict(Outcome.REFUSED, findings=caught.value.findings))
    header, said, error, *_ = segments(hl7v2.addressed(reply.body, raw))
    assert (header[8], said[1], error[3].split("^")[0]) == ("ACK", code, condition)
    assert said[2].startswith("JZB")


def test_an_answer_is_addressed_once_and_only_with_a_number_that_can_do_no_harm() -> None:
    answer = adapter()[0].answer(None, verdict(Outcome.REFUSED)).body
    assert segments(hl7v2.addressed(answer, UTF8.replace("|K1|", "|K\x0b1|").encode()))[1] == ["MSA", "AE"]
    once = hl7v2.addressed(answer, UTF8.encode())
    assert hl7v2.addressed(once, UTF8.replace("|K1|", "|K2|").encode()) == once


def test_an_inability_of_ours_asks_for_the_same_message_again() -> None:
    rows = segments(hl7v2.unable(ENDS, UTF8.encode(), AT))
    assert rows[1][1:3] == ["AR", "K1"]
    assert rows[2][3].startswith("207")


def test_a_question_where_a_prescription_is_gets_its_status() -> None:
    raw = (UTF8.replace("RDE^O11", "ORM^O01") + "\rORC|SS|1||RX1").encode()
    question = hl7v2.status_question(raw, ENDS)
    assert question is not None
    body = hl7v2.located(ENDS, question, "rx_1", "allocating", AT)
    assert faults(decoded(body)) == []
    assert segments(body)[2][25] == "allocating^^SANYI"
    unknown = hl7v2.located(ENDS, question, "", "", AT)
    assert segments(unknown)[1][1] == "AE"
    assert segments(unknown)[2][2] == "ORC^1^4^1^1"
    assert hl7v2.status_question(sample("rde_long_term.hl7"), ENDS) is None
    with pytest.raises(InvalidPayload):
        hl7v2.status_question(raw.replace(b"JINANCENTRAL", b"ELSEWHERE"), ENDS)


def test_every_rule_of_the_dialect_has_an_id_and_a_code_of_its_own() -> None:
    assert len({rule.id for rule in RULES}) == len({rule.code for rule in RULES}) == len(RULES)
    assert all(re.fullmatch(r"HL7-\d{3}", rule.id) for rule in RULES)
    assert not {rule.code for rule in RULES} & set(CATALOGUE)


def ack(code: str, control: str, more: str = "") -> bytes:
    return f"MSH|^~\\&|JZHIS|JINANCENTRAL|SANYI|SANYI|2026||ACK|1|P|2.5.1\rMSA|{code}|{control}\r{more}".encode()


async def reported(code: str, more: str = "") -> bytes:
    """The block a report goes out as; the hospital's answer has that code."""
    hospital, line = adapter(b"")
    with pytest.raises(InvalidPayload):
        await hospital.report(REPORT["key"], body())
    control = segments(line.sent[0].body)[0][9]
    line.then(ack(code, control, more))
    await hospital.report(REPORT["key"], body())
    assert line.sent[0] == line.sent[1]
    assert line.sent[0].repeatable
    return line.sent[0].body


async def test_a_report_is_an_order_status_message_and_says_everything() -> None:
    sent = await reported("AA")
    assert faults(decoded(sent)) == []
    rows = segments(sent)
    assert [it[0] for it in rows] == ["MSH", "NTE", "NTE", "ORC", "FT1", "FT1", "FT1", "FT1", "ZDS", "ZRS"]
    assert len(rows[0][9]) == 20
    assert rows[1][3:] == ["医保\\F\\已结算 / settled", "RE^settled"]
    assert rows[2][2:] == ["W", "适应证\\S\\不符", "FD^OFF_LABEL^2"]
    assert rows[3][1:6] == ["SC", "", "rx_1^SANYI", "RXC0001", "CM"]
    assert rows[3][25] == "settled^已结算^SANYI"
    assert [(it[6], it[7].split("^")[0], it[11]) for it in rows[4:8]] == [
        ("CG", "TOTAL", "46.50"), ("PY", "FUND", "39.53"), ("PY", "ACCOUNT", "6.97"), ("PY", "CASH", "0.00")]
    assert rows[8][1:] == ["1", "1", "D001^二甲双胍^SANYI", "60", "片", "2026-11-22T01:20:00+00:00", "ord_1^ankang^AK01", "P", "Y"]
    assert rows[9][1:] == ["rx_1:settled", "ord_1^ankang^AK01^7K3QX9MWTA", REPORT["at"],
                           "settled^S2^H2^centre~reverses^S1^H1^centre", REPORT["patient_page"]]


async def test_an_enhanced_acknowledgement_is_one_too() -> None:
    await reported("CA")


@pytest.mark.parametrize(("code", "more", "error"), [
    ("AE", "", NeedsOperator), ("AR", "", NeedsOperator), ("CR", "", NeedsOperator),
    ("AR", "ERR|||207^x^HL70357|E\r", Transient)])
async def test_a_report_they_do_not_take_is_told_apart(code: str, more: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        await reported(code, more)


async def test_an_answer_to_another_message_is_none() -> None:
    hospital, _ = adapter(ack("AA", "SOMEBODY"))
    with pytest.raises(InvalidPayload) as caught:
        await hospital.report("k", body())
    assert caught.value.findings[0].code == "HL7_ANSWER"


@pytest.mark.parametrize("status", REPORTED)
async def test_every_status_goes_out_as_a_message(status: str) -> None:
    hospital, line = adapter(Transient("away"))
    plain = {name: value for name, value in REPORT.items() if name not in (
        "findings", "pickup", "money", "dispense", "settlement")}
    with pytest.raises(Transient):
        await hospital.report("k", json.dumps(plain | {"status": status, "reason": ""}).encode())
    assert faults(decoded(line.sent[0].body)) == []
    assert [it[0] for it in segments(line.sent[0].body)] == ["MSH", "ORC", "ZRS"]


@pytest.mark.parametrize("name", ["sending_application", "sending_facility", "charset"])
def test_a_missing_fact_is_found_at_once(name: str) -> None:
    manifest = registry.manifest("hospitals", SLUG)
    facts = {key: value for key, value in manifest.facts.items() if key != name}
    with pytest.raises(NeedsOperator, match=name):
        Adapter(manifest.model_copy(update={"facts": facts}), Replay(), {})


def test_errors_without_a_place_in_the_file_are_still_errors() -> None:
    hospital, _ = adapter()
    message = hospital.to_fhir(sample("rde_long_term.hl7"), CODES)
    odd = Finding("ODD", Severity.INFO, "X-1", "nowhere", "文", "text")
    unmapped = Unmapped("drug", "x", spot=Spot("row 7"))
    reply = hospital.answer(message, verdict(Outcome.REFUSED, findings=[odd], unmapped=[unmapped]))
    assert [it[2] for it in segments(reply.body) if it[0] == "ERR"] == ["", ""]

"""The insurance centre: what may be sent, what is believed, and what a bracketed code means."""

import asyncio
import copy
import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from adapters.payers.jinan_centre import envelope, translation
from adapters.payers.jinan_centre.adapter import Adapter
from adapters.registry import manifest
from domain.claims import CARRIED, CARRIED_DAYS
from domain.errors import InvalidPayload, NeedsOperator, OutcomeUnknown, Refused, RxError, Transient
from infra.http import NOT_SENT, UNANSWERED, Response
from tests.contracts.test_partners import sample
from tests.support.fakes import Replay
from tests.support.partner_examples import AT, IDENTITY, PAYER_SECRETS, claim, reverse

US = manifest("payers", "jinan_centre")


def answer(infno: str, **changes: Any) -> bytes:
    """The recorded answer, with `node__field=value` changed; None takes the field out."""
    body = copy.deepcopy(sample("payers", "jinan_centre", infno)["answer"]["body"])
    for place, value in changes.items():
        node, _, field = place.partition("__")
        target = body["output"][node]
        target = target[0] if isinstance(target, list) else target
        if value is None:
            target.pop(field, None)
        else:
            target[field] = value
    return json.dumps(body, ensure_ascii=False).encode()


def no(code: str) -> bytes:
    return json.dumps({"infcode": -1, "err_msg": f"[{code}] MARK", "output": None}).encode()


def signed_in(sign_no: str = "S000000001") -> bytes:
    return answer("9001", signinoutb__sign_no=sign_no)


def payer(*answers: Any, clock: Any = lambda: AT) -> tuple[Adapter, Replay]:
    transport = Replay(*answers)
    return Adapter(US, transport, PAYER_SECRETS, clock=clock), transport


def envelopes(transport: Replay) -> list[dict[str, Any]]:
    return [json.loads(it.body) for it in transport.sent]


# Sending


def test_a_reference_has_thirty_characters_and_beijing_time() -> None:
    reference, _ = payer()[0].new_reference(datetime(2026, 11, 22, 16, 30, 5, tzinfo=UTC), 7), None
    assert reference == "P37010000001202611230030050007"
    assert len(reference) == 30
    same = datetime(2026, 11, 23, 0, 30, 5, tzinfo=timezone(timedelta(hours=8)))
    assert payer()[0].new_reference(same, 7) == reference


@pytest.mark.parametrize("sequence", [-1, 10000])
def test_a_reference_never_grows_beyond_thirty(sequence: int) -> None:
    with pytest.raises(ValueError, match="sequence"):
        translation.reference(US.fixmedins_code, AT, sequence)
    with pytest.raises(ValueError, match="12 characters"):
        translation.reference("P3701", AT, 1)
    with pytest.raises(ValueError, match="zone"):
        translation.reference(US.fixmedins_code, datetime(2026, 1, 1), 1)


def test_our_own_questions_never_take_a_claims_msgid() -> None:
    numbers = [translation.own_reference(US.fixmedins_code, AT, it) for it in range(0, 26 * 36**3, 997)]
    assert len(set(numbers)) == len(numbers)
    assert {len(it) for it in numbers} == {30}
    assert not any(it[26].isdigit() for it in numbers)


def test_the_same_claim_is_the_same_bytes() -> None:
    one, _ = payer()
    assert one.request_bytes(claim()) == payer()[0].request_bytes(claim())
    # An intent from before an upgrade must still match after it.
    assert (
        hashlib.sha256(one.request_bytes(claim())).hexdigest()
        == "f8d24391dffd5ef6c53d99d33b208225518ffb411350473f3781a871a98cf7a9"
    )
    assert one.request_bytes(claim()) != one.request_bytes(replace(claim(), disease_code="M03900"))


async def test_what_is_sent_is_what_the_intent_digested() -> None:
    one, transport = payer(signed_in(), answer("2102"))
    await one.settle(claim())
    assert one.request_bytes(claim()) in transport.sent[1].body
    assert transport.sent[1].repeatable


async def test_the_envelope_says_who_we_are() -> None:
    one, transport = payer(signed_in(), answer("2102"))
    await one.settle(claim())
    sent = envelopes(transport)[1]
    assert sent["msgid"] == claim().reference
    assert (sent["infno"], sent["sign_no"], sent["insuplc_admdvs"]) == ("2102", "S000000001", "370100")
    assert (sent["fixmedins_code"], sent["infver"], sent["recer_sys_code"]) == ("P37010000001", "V1.0", "YBXT")
    assert sent["inf_time"] == "2026-11-22 09:10:00"


async def test_the_gateway_headers_are_signed() -> None:
    one, transport = payer(signed_in(), answer("3201"))
    with pytest.raises(RxError):
        await one.pre_settle(claim())
    headers = transport.sent[0].headers
    stamp, nonce = headers["x-tif-timestamp"], headers["x-tif-nonce"]
    assert stamp == str(int(AT.timestamp()))
    assert headers["x-tif-signature"] == hashlib.sha256(f"{stamp}MARK-secret{nonce}{stamp}".encode()).hexdigest()
    assert nonce != transport.sent[1].headers["x-tif-nonce"]


def test_a_denied_line_says_so_and_others_do_not() -> None:
    lines = translation.claim_input(claim())["drugdetail"]
    assert [it.get("expContent") for it in lines] == [None, {"hosp_appr_flag": "2"}]


@pytest.mark.parametrize(("selfpay", "restricted", "said"), [
    (True, True, {"hosp_appr_flag": "2", "lmt_used_flag": "1"}), (True, False, {"hosp_appr_flag": "2", "lmt_used_flag": "0"}),
    (False, True, {"hosp_appr_flag": "1", "lmt_used_flag": "1"}), (False, False, {"hosp_appr_flag": "0", "lmt_used_flag": "0"}),
    (True, None, {"hosp_appr_flag": "2"}), (False, None, None),
])  # fmt: skip
def test_what_the_audit_decided_of_a_restricted_drug_is_sent_on(
    selfpay: bool, restricted: bool | None, said: dict[str, str] | None
) -> None:
    line = replace(claim().lines[0], selfpay=selfpay, restricted=restricted)
    assert translation.claim_input(replace(claim(), lines=(line,)))["drugdetail"][0].get("expContent") == said


def test_the_door_asks_for_no_more_than_the_fund_carries() -> None:
    lengths: dict[str, list[int]] = {}
    for (txn, direction), nodes in envelope._tables().items():
        for it in (field for fields in nodes.values() for field in fields):
            if direction == "req" and txn in ("1101", "2101", "2102"):
                lengths.setdefault(it.name, []).append(it.length - it.decimals)
    assert {name: min(lengths[name]) for name in CARRIED} == dict(CARRIED)
    assert 10 ** min(lengths["prd_days"]) - 1 == CARRIED_DAYS


def test_line_references_are_unique_and_fit_their_field() -> None:
    lines = translation.claim_input(claim())["drugdetail"]
    assert [it["feedetl_sn"] for it in lines] == ["20261122091000000101", "20261122091000000102"]


def test_quantities_travel_without_zeros_and_without_exponents() -> None:
    line = replace(claim().lines[0], quantity=Decimal("60.00000"), unit_price=Decimal("0.3100000"))
    detail = translation.claim_input(replace(claim(), lines=(line,)))["drugdetail"][0]
    assert (detail["cnt"], detail["pric"], detail["det_item_fee_sumamt"]) == ("60", "0.31", "18.60")


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"psn_no": ""}, "input.druginfo.psn_no: a mandatory field is missing"),
        ({"psn_no": "9" * 31}, "input.druginfo.psn_no: a field is too long"),
        ({"prescriber": "D" * 31}, "input.drugdetail[0].bilg_dr_codg: a field is too long"),
        ({"lines": ()}, "input.drugdetail: a mandatory field is missing"),
        ({"insured_place": "3701000"}, "insuplc_admdvs: a field is too long"),
    ],
)
async def test_what_the_centre_would_refuse_is_not_sent(change: dict[str, Any], path: str) -> None:
    one, transport = payer(signed_in())
    with pytest.raises(NeedsOperator) as caught:
        await one.settle(replace(claim(), **change))
    assert path in str(caught.value)
    assert "999" not in str(caught.value)
    assert len(transport.sent) == 1


async def test_a_price_finer_than_the_field_is_not_sent() -> None:
    line = replace(claim().lines[0], unit_price=Decimal("0.3100001"))
    with pytest.raises(NeedsOperator, match=r"drugdetail\[0\].pric"):
        await payer(signed_in())[0].settle(replace(claim(), lines=(line,)))


@pytest.mark.parametrize("infno", ["9001", "1101", "5301", "2101", "2102", "2103", "3201"])
def test_every_recorded_message_keeps_its_field_table(infno: str) -> None:
    given = sample("payers", "jinan_centre", infno)
    assert envelope.check(infno, "req", given["request"]["body"]["input"]) == []
    assert envelope.check(infno, "resp", given["answer"]["body"]["output"]) == []


# Signing in


async def test_everybody_shares_one_sign_in() -> None:
    one, transport = payer(signed_in(), answer("2101"), answer("2101"), answer("2101"))
    await asyncio.gather(*(one.pre_settle(claim()) for _ in range(3)))
    assert [it["infno"] for it in envelopes(transport)] == ["9001", "2101", "2101", "2101"]


async def test_a_refused_sign_no_is_renewed_once() -> None:
    one, transport = payer(signed_in("OLD"), no("SIGN"), signed_in("NEW"), answer("2102"))
    assert (await one.settle(claim())).settlement_id == "ST0000000001"
    sent = envelopes(transport)
    assert [(it["infno"], it["sign_no"]) for it in sent] == [
        ("9001", ""), ("2102", "OLD"), ("9001", ""), ("2102", "NEW"),
    ]  # fmt: skip
    assert (sent[1]["msgid"], sent[1]["input"]) == (sent[3]["msgid"], sent[3]["input"])


async def test_a_centre_that_refuses_every_sign_no_is_for_a_person() -> None:
    one, _ = payer(signed_in("A"), no("SIGN"), signed_in("B"), no("SIGN"))
    with pytest.raises(NeedsOperator) as caught:
        await one.settle(claim())
    assert caught.value.code == "sign"


# What comes back


@pytest.mark.parametrize(
    ("code", "error", "word"),
    [
        ("PERSON", Refused, "not_insured"),
        ("CLAIM", Refused, "claim_refused"),
        ("SETTLED", Refused, "already_reversed"),
        ("UNKNOWN", Refused, "unknown_settlement"),
        ("BUSY", Transient, "busy"),
        ("FIELD", NeedsOperator, "field"),
        ("MSGID", NeedsOperator, "msgid"),
        ("NEW", NeedsOperator, "new"),
    ],
)
async def test_a_bracketed_code_says_what_happens_next(code: str, error: type[RxError], word: str) -> None:
    with pytest.raises(error) as caught:
        await payer(signed_in(), no(code))[0].settle(claim())
    assert caught.value.code == word
    assert "MARK" not in str(caught.value)


async def test_a_no_without_a_code_is_for_a_person() -> None:
    body = json.dumps({"infcode": -1, "err_msg": "MARK 系统错误"}).encode()
    with pytest.raises(NeedsOperator) as caught:
        await payer(signed_in(), body)[0].settle(claim())
    assert "MARK" not in str(caught.value)


async def test_the_fund_divides_the_claim_to_the_fen() -> None:
    settled = await payer(signed_in(), answer("2102"))[0].settle(claim())
    assert (settled.total, settled.fund, settled.account, settled.cash) == (2760, 1423, 300, 1037)
    assert (settled.own, settled.over, settled.first_pay, settled.eligible) == (900, 0, 186, 1674)
    assert (settled.settlement_id, settled.visit_id) == ("ST0000000001", "MD0000000001")


@pytest.mark.parametrize(
    ("change", "rule", "path"),
    [
        ({"setlinfo__setl_id": None}, "PAY-12", "output.setlinfo.setl_id"),
        ({"setlinfo__psn_cash_pay": None}, "PAY-12", "output.setlinfo.psn_cash_pay"),
        ({"setlinfo__psn_cash_pay": "10.371"}, "PAY-14", "output.setlinfo.psn_cash_pay"),
        ({"setlinfo__psn_cash_pay": "ten"}, "PAY-13", "output.setlinfo.psn_cash_pay"),
        ({"setlinfo__psn_cash_pay": "NaN"}, "PAY-13", "output.setlinfo.psn_cash_pay"),
        ({"setlinfo__psn_cash_pay": True}, "PAY-13", "output.setlinfo.psn_cash_pay"),
        ({"setlinfo__psn_cash_pay": "10.38"}, "PAY-15", "output.setlinfo"),
        ({"setlinfo__preselfpay_amt": "1.85"}, "PAY-15", "output.setlinfo"),
        ({"setlinfo__psn_no": "P0000000002"}, "PAY-16", "output.setlinfo.psn_no"),
        (
            {"setlinfo__medfee_sumamt": "27.61", "setlinfo__psn_cash_pay": "10.38", "setlinfo__preselfpay_amt": "1.87"},
            "PAY-16",
            "output.setlinfo.medfee_sumamt",
        ),
        ({"setldetail__fund_payamt": "x"}, "PAY-13", "output.setldetail[0].fund_payamt"),
        ({"setlinfo__clr_optins": "3701001"}, "PAY-14", "output.setlinfo.clr_optins"),
    ],
)
async def test_a_settlement_that_does_not_add_up_is_quarantined(change: dict[str, Any], rule: str, path: str) -> None:
    with pytest.raises(InvalidPayload) as caught:
        await payer(signed_in(), answer("2102", **change))[0].settle(claim())
    assert [(it.rule, it.path) for it in caught.value.findings] == [(rule, path)]
    assert "P000" not in str(caught.value)


@pytest.mark.parametrize(("said", "path"), [('"psn_cash_pay":', "output.setlinfo.psn_cash_pay"), ('"infcode":', "infcode")])
async def test_an_answer_that_says_two_things_is_quarantined(said: str, path: str) -> None:
    body = answer("2102").replace(said.encode(), f'{said} "0", {said}'.encode(), 1)
    with pytest.raises(InvalidPayload) as caught:
        await payer(signed_in(), body)[0].settle(claim())
    assert [(it.rule, it.path) for it in caught.value.findings] == [("PAY-17", path)]


def test_a_fraction_of_a_fen_is_no_amount() -> None:
    assert translation.exact_fen("27.60", "x") == 2760
    assert translation.exact_fen("-0.01", "x") == -1
    for value in ("27.605", "", "x", None, 0.1, "Infinity"):
        with pytest.raises(InvalidPayload):
            translation.exact_fen(value, "x")


async def test_silence_about_money_is_in_doubt_only_if_it_was_sent() -> None:
    with pytest.raises(OutcomeUnknown) as caught:
        await payer(signed_in(), Transient("x", code=UNANSWERED))[0].settle(claim())
    assert caught.value.__cause__ is None
    with pytest.raises(Transient):
        await payer(signed_in(), Transient("x", code=NOT_SENT))[0].settle(claim())
    with pytest.raises(Transient):
        await payer(signed_in(), Transient("x", code=UNANSWERED))[0].pre_settle(claim())
    with pytest.raises(Transient):
        await payer(Transient("x", code=UNANSWERED))[0].settle(claim())
    with pytest.raises(OutcomeUnknown):
        await reverse(payer(signed_in(), Transient("x", code=UNANSWERED))[0])


@pytest.mark.parametrize("status", [302, 400, 404])
async def test_a_door_that_is_none_is_for_a_person(status: int) -> None:
    with pytest.raises(NeedsOperator):
        await payer(signed_in(), Response(status, b"MARK"))[0].settle(claim())


# Persons


async def entitled(person: bytes, diseases: bytes | None = None, at: datetime = AT, insutype: str = "310") -> Any:
    one, _ = payer(signed_in(), person, diseases or answer("5301"))
    return await one.entitlement(IDENTITY, insutype, at)


async def test_who_the_person_is_and_what_is_used_up() -> None:
    found = await entitled(answer("1101"))
    assert (found.psn_no, found.insured_place, found.retired, found.active) == ("P0000000001", "370100", True, True)
    assert found.diseases == ("M01600",)
    assert (found.used.deductible_used, found.used.caps, found.used.account) == (50000, (("M01600", 100000),), 10000)


async def test_what_is_used_up_counts_by_disease() -> None:
    extension = '{"cap_used": {"M01600": "3500.00", "M03900": "0.00", "": "12.00"}}'
    used = (await entitled(answer("1101", baseinfo__exp_content=extension))).used
    assert [used.against(it).cap_used for it in ("M01600", "M03900", "", "M04600")] == [350000, 0, 1200, 0]


async def test_a_qualification_ends_with_its_last_day_in_beijing() -> None:
    last = datetime(2027, 12, 31, 15, 59, tzinfo=UTC)
    assert (await entitled(answer("1101"), at=last)).diseases == ("M01600",)
    assert (await entitled(answer("1101"), at=last + timedelta(minutes=1))).diseases == ()


async def test_a_person_without_that_insurance_is_not_insured() -> None:
    with pytest.raises(Refused) as caught:
        await entitled(answer("1101"), insutype="390")
    assert caught.value.code == "not_insured"


async def test_a_suspended_insurance_is_told_as_such() -> None:
    assert not (await entitled(answer("1101", insuinfo__psn_insu_stas="2"))).active


async def test_a_centre_without_the_city_extension_has_nothing_used_up() -> None:
    found = await entitled(answer("1101", baseinfo__exp_content=None))
    assert (found.used.deductible_used, found.used.cap_used, found.used.caps) == (0, 0, None)


@pytest.mark.parametrize(
    "extension", ["{", "[]", '"x"', '{"ded_used": "1.001"}', '{"cap_used": [1]}', '{"cap_used": 3}']
)
async def test_a_broken_city_extension_is_quarantined(extension: str) -> None:
    with pytest.raises(InvalidPayload) as caught:
        await entitled(answer("1101", baseinfo__exp_content=extension))
    assert caught.value.findings[0].path.startswith("output.baseinfo.exp_content")


async def test_no_qualification_is_an_empty_list() -> None:
    body = json.loads(answer("5301"))
    outputs: tuple[Any, ...] = ({}, {"feedetail": None}, {"feedetail": []}, None)
    for nothing in outputs:
        none = json.dumps(body | {"output": nothing}).encode()
        assert (await entitled(answer("1101"), none)).diseases == ()

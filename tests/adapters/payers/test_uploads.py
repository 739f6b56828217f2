"""3505A, 3506A and 3513: what we send, and the two levels of the answer."""

import asyncio
import json
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from adapters import registry
from domain.errors import InvalidPayload, OutcomeUnknown, Refused, Transient
from domain.trace import UploadKind, UploadLine
from infra.http import UNANSWERED
from tests.support.fakes import Replay

REFERENCE = "H370100000012026113012000000" + "01"
LINE = UploadLine("S" + "0" * 29, "ord_1", "rx_1", "D001", "盐酸二甲双胍片", "8871366" + "0" * 13, "L1", date(2026, 6, 1),
                  date(2028, 5, 31),
                  20, True, Decimal("0.3100"), "D370100000001", "YS370000000001", True, "S1",
                  datetime(2026, 11, 30, 1, tzinfo=UTC), "")


def answer(**output: object) -> bytes:
    return json.dumps({"infcode": 0, "err_msg": "", "inf_refmsgid": "1" * 30, "refmsg_time": "20261130120000000",
                       "respond_time": "20261130120000000", "output": output}).encode()


SIGNED_IN = answer(signinoutb={"sign_time": "2026-11-30 12:00:00", "sign_no": "SN1"})


def adapter(*answers: object):
    replay = Replay(SIGNED_IN, *answers)
    return registry.load("payers", "jinan_centre", replay, {"paasid": "p", "secret": "s"}), replay


def upload(*answers: object, kind: UploadKind = UploadKind.SALE) -> dict:
    payer, replay = adapter(*answers)
    asyncio.run(payer.upload(kind, REFERENCE, [LINE]))
    return json.loads(replay.sent[-1].body)


def test_a_sale_says_the_pack_and_no_person():
    sent = upload(answer(result={"retRslt": "1"}))
    (row,) = sent["input"]["selinfoDetail"]
    assert (sent["infno"], sent["msgid"]) == ("3505A", REFERENCE)
    assert (row["fixmedins_bchno"], row["drugtracinfo"], row["trdn_flag"], row["sel_retn_cnt"], row["sel_retn_time"]) == (
        LINE.number, [{"drug_trac_codg": LINE.code}], "1", "20", "2026-11-30 09:00:00")
    assert not {"psn_no", "psn_name", "certno"} & row.keys()


def test_infcode_0_alone_is_no_yes():
    with pytest.raises(Refused) as no:
        upload(answer(result={"retRslt": "0", "msgRslt": "追溯码已销售"}))
    assert no.value.code == "trace"


def test_an_answer_without_its_second_level_is_none():
    with pytest.raises(InvalidPayload):
        upload(answer())


def test_silence_is_an_unknown_outcome():
    with pytest.raises(OutcomeUnknown):
        upload(Transient("silent", code=UNANSWERED))


def test_the_question_settles_a_doubt():
    payer, replay = adapter(answer(selinfo=[{"fixmedins_bchno": LINE.number, "drug_trac_codg": LINE.code}]),
                            answer(selinfo=[]), answer())
    assert [asyncio.run(payer.uploaded(UploadKind.SALE, LINE)) for _ in range(3)] == [True, False, False]
    assert json.loads(replay.sent[-1].body)["input"] == {"data": {"fixmedins_bchno": LINE.number, "drug_trac_codg": LINE.code}}

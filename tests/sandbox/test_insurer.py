"""The insurance centre: strict about the envelope, exact about money, the same answer for the same msgid."""

import hashlib
import json
import time

import httpx
import pytest

from sandbox import insurer
from tests.support.sockets import serving

PERSON = {
    "id_number": "370102195803020011", "name": "示范甲", "psn_no": "P001", "gender": "male", "birth_date": "1958-03-02",
    "insutype": "310", "psn_type": "11", "civil_servant": False, "active": True, "insured_place": "370100",
    "balance": "100.00", "diseases": ["M01600"],
    "used": {"ded_used": "500.00", "cap_used": {"M01600": "1000.00"}, "pool_used": "1000.00", "sb_cum": "0.00"},
}
LINES = [("D001", "60", "0.31", "18.60"), ("D010", "90", "0.31", "27.90")]


class Till:
    """A client of the centre that knows the envelope."""

    def __init__(self, url: str, client: httpx.AsyncClient) -> None:
        self.url, self.client, self.sign_no, self.sent = url, client, "", 0

    async def send(self, infno, given, msgid=None, **changes):
        self.sent += 1
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        envelope = {
            "infno": infno, "msgid": msgid or f"H3701000000120261122090000{self.sent:04d}", "mdtrtarea_admvs": "370100",
            "insuplc_admdvs": "370100", "recer_sys_code": "YBXT", "infver": "V1.0", "opter_type": "1", "opter": "sanyi",
            "opter_name": "sanyi", "inf_time": now, "fixmedins_code": "H37010000001", "fixmedins_name": "示范",
            "sign_no": self.sign_no, "input": given} | changes
        timestamp = str(int(time.time()))
        headers = {"x-tif-paasid": "sanyi", "x-tif-timestamp": timestamp, "x-tif-nonce": "n",
                   "x-tif-signature": hashlib.sha256(f"{timestamp}centre-secretn{timestamp}".encode()).hexdigest()}
        return (await self.client.post(f"{self.url}/fsi", json=envelope, headers=headers)).json()

    async def sign_in(self):
        answer = await self.send("9001", {"signIn": {"opter_no": "1", "mac": "00", "ip": "127.0.0.1"}}, sign_no="")
        self.sign_no = answer["output"]["signinoutb"]["sign_no"]


def claim(lines=LINES, rxno="rx_1", disease="M01600"):
    total = sum(round(float(line[3]) * 100) for line in lines)
    return {
        "druginfo": {
            "psn_no": "P001", "mdtrt_cert_type": "02", "begntime": "2026-11-22 09:00:00", "insutype": "310",
            "medfee_sumamt": f"{total // 100}.{total % 100:02d}", "acct_used_flag": "1",
            "med_type": "14" if disease else "41", "dise_codg": disease},
        "drugdetail": [{
            "feedetl_sn": f"r{number:02d}", "rxno": rxno, "rx_circ_flag": "1", "fee_ocur_time": "2026-11-22 09:00:00",
            "med_list_codg": drug, "det_item_fee_sumamt": amount, "cnt": count, "pric": price, "prd_days": "30",
        } for number, (drug, count, price, amount) in enumerate(lines, 1)],
    }


@pytest.fixture
def centre(setting, tmp_path):
    (tmp_path / "people.json").write_text(json.dumps([PERSON]), encoding="utf-8")
    return lambda faults=None: insurer.make_app(setting(faults=faults))


@pytest.fixture
async def till(centre, client):
    async with serving(centre()) as url:
        till = Till(url, client)
        await till.sign_in()
        yield till


async def used(till):
    answer = await till.send("1101", {"data": {"mdtrt_cert_type": "02", "mdtrt_cert_no": PERSON["id_number"]}})
    output = answer["output"]
    return json.loads(output["baseinfo"]["exp_content"]), output["insuinfo"][0]["balc"]


async def test_the_person_and_the_entitlement(till):
    counted, balance = await used(till)
    assert counted == PERSON["used"]
    assert balance == "100.00"
    answer = await till.send("5301", {"data": {"psn_no": "P001"}})
    assert [row["opsp_dise_code"] for row in answer["output"]["feedetail"]] == ["M01600"]


async def test_a_presettlement_changes_nothing_and_a_settlement_the_persons_year(till):
    before = await used(till)
    forecast = (await till.send("2101", claim()))["output"]["setlinfo"]
    assert "setl_id" not in forecast
    assert await used(till) == before
    settled = (await till.send("2102", claim()))["output"]["setlinfo"]
    # employee, level 3: 46.50 * 0.80
    assert (settled["fund_pay_sumamt"], settled["acct_pay"], settled["psn_cash_pay"]) == ("37.20", "9.30", "0.00")
    assert {key: forecast[key] for key in ("hifp_pay", "acct_pay")} == {
        key: settled[key] for key in ("hifp_pay", "acct_pay")}
    counted, balance = await used(till)
    assert (counted["cap_used"], counted["pool_used"], balance) == ({"M01600": "1037.20"}, "1037.20", "90.70")


async def test_a_lost_answer_is_asked_for_with_the_same_msgid(centre, client):
    async with serving(centre({"lose_answer_next": 1, "only": ["2102"]})) as url:
        till = Till(url, client)
        await till.sign_in()
        msgid = "H37010000001202611220900009999"
        with pytest.raises(httpx.TransportError):
            await till.send("2102", claim(), msgid)
        again = await till.send("2102", claim(), msgid, inf_time="2026-11-22 10:00:00")
        assert again == await till.send("2102", claim(), msgid)
        assert again["infcode"] == 0
        book = (await client.get(f"{url}/book")).json()
        assert len(book["settlements"]) == 1
        assert (await till.send("2102", claim(LINES[:1]), msgid))["err_msg"].startswith("[MSGID]")


async def test_a_reversal_restores_the_year_once(till, client):
    before = await used(till)
    settled = (await till.send("2102", claim()))["output"]["setlinfo"]
    given = {"data": {"setl_id": settled["setl_id"], "mdtrt_id": settled["mdtrt_id"], "psn_no": "P001"}}
    reversed_ = (await till.send("2103", given))["output"]["setlinfo"]
    assert (reversed_["medfee_sumamt"], reversed_["fund_pay_sumamt"]) == ("-46.50", "-37.20")
    assert reversed_["setl_id"] != settled["setl_id"]
    assert await used(till) == before
    assert (await till.send("2103", given))["err_msg"].startswith("[SETTLED]")
    unknown = {"data": given["data"] | {"setl_id": "nothing"}}
    assert (await till.send("2103", unknown))["err_msg"].startswith("[UNKNOWN]")
    today = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 8 * 3600))
    totals = {"insutype": "310", "clr_type": "41", "setl_optins": "370100", "stmt_begndate": today,
              "stmt_enddate": today, "medfee_sumamt": "0.00", "fund_pay_sumamt": "0.00", "acct_pay": "0.00",
              "fixmedins_setl_cnt": "0"}
    assert (await till.send("3201", {"data": totals}))["output"]["stmtinfo"]["stmt_rslt"] == "0"
    for count in ("2", "-1", "1"):
        other = await till.send("3201", {"data": totals | {"fixmedins_setl_cnt": count}})
        assert other["output"]["stmtinfo"]["stmt_rslt"] == "1", count
    totals["fund_pay_sumamt"] = "0.01"
    assert (await till.send("3201", {"data": totals}))["output"]["stmtinfo"]["stmt_rslt"] == "1"
    rows = (await client.get(f"{till.url}/book")).json()["settlements"]
    assert [row["kind"] for row in rows] == ["settled", "reversed"]


async def test_without_a_qualification_the_claim_is_ordinary(till):
    settled = (await till.send("2102", claim(disease="M03900")))["output"]["setlinfo"]
    assert settled["fund_pay_sumamt"] == "30.23"  # 46.50 * 0.65
    counted, _ = await used(till)
    assert counted["cap_used"] == {"M01600": "1000.00", "": "30.23"}


async def test_a_denied_line_is_own_expense(till):
    given = claim()
    given["drugdetail"][1]["expContent"] = {"hosp_appr_flag": "2"}
    settled = (await till.send("2102", given))["output"]["setlinfo"]
    assert (settled["fulamt_ownpay_amt"], settled["hifp_pay"]) == ("27.90", "14.88")


@pytest.mark.parametrize(("drug", "flag", "own"), [
    ("D054", "1", "0.00"), ("D054", "0", "18.60"), ("D054", "2", "18.60"), ("D054", "", "18.60"),
    ("D001", "1", "0.00"), ("D001", "0", "0.00"), ("D001", "2", "18.60"), ("D001", "", "0.00"),
])
async def test_a_restricted_drug_is_paid_with_an_approval_only_and_any_other_unless_it_is_denied(till, drug, flag, own):
    given = claim([(drug, "60", "0.31", "18.60")])
    restricted = "1" if drug == "D054" else "0"
    given["drugdetail"][0]["expContent"] = {"hosp_appr_flag": flag, "lmt_used_flag": restricted} if flag else {}
    settled = (await till.send("2101", given))["output"]["setlinfo"]
    assert settled["fulamt_ownpay_amt"] == own


async def test_a_flag_that_contradicts_the_catalogue_is_refused(till):
    given = claim()
    given["drugdetail"][0]["expContent"] = {"hosp_appr_flag": "0", "lmt_used_flag": "1"}
    assert (await till.send("2101", given))["err_msg"].startswith("[CLAIM] lmt_used_flag")


async def test_a_prescription_is_not_settled_twice(till, client):
    await till.send("2102", claim())
    assert (await till.send("2102", claim()))["err_msg"].startswith("[CLAIM]")
    book = (await client.get(f"{till.url}/book")).json()
    assert [defect["defect"] for defect in book["defects"]] == ["double_settlement"]
    assert PERSON["name"] not in json.dumps(book, ensure_ascii=False)
    assert PERSON["id_number"] not in json.dumps(book)


@pytest.mark.parametrize(("change", "code"), [
    ({"sign_no": "SN000"}, "[SIGN]"), ({"opter": ""}, "[FIELD]"), ({"inf_time": "now"}, "[FIELD]"),
    ({"infver": "V1.0.1-beta"}, "[FIELD]"), ({"insuplc_admdvs": "370200"}, "[CLAIM]"),
])
async def test_the_envelope_is_checked(till, change, code):
    assert (await till.send("2101", claim(), **change))["err_msg"].startswith(code)


@pytest.mark.parametrize(("field", "value", "code"), [
    ("pric", 0.31, "[FIELD]"), ("det_item_fee_sumamt", "18.6", "[FIELD]"), ("rxno", "r" * 31, "[FIELD]"),
    ("cnt", "61", "[CLAIM]"), ("rx_circ_flag", "0", "[CLAIM]"),
])
async def test_the_fields_are_checked(till, field, value, code):
    given = claim()
    given["drugdetail"][0][field] = value
    assert (await till.send("2101", given))["err_msg"].startswith(code)


async def test_a_busy_centre_does_nothing_and_says_so(centre, client):
    async with serving(centre({"busy": 1, "at_most": 2})) as url:
        till = Till(url, client)
        await till.sign_in()
        answers = [await till.send("2102", claim(), "H37010000001202611220900009999") for _ in range(3)]
        assert [answer["infcode"] for answer in answers] == [-1, -1, 0]
        assert answers[0]["err_msg"].startswith("[BUSY]")


async def test_an_unknown_person_is_not_insured(till):
    answer = await till.send("1101", {"data": {"mdtrt_cert_type": "02", "mdtrt_cert_no": "370102199001010000"}})
    assert answer["err_msg"].startswith("[PERSON]")


async def test_the_book_and_the_years_survive_a_restart_and_everybody_signs_in_again(centre, client):
    async with serving(centre()) as url:
        till = Till(url, client)
        await till.sign_in()
        await till.send("2102", claim(), "H37010000001202611220900009999")
        after = await used(till)
    async with serving(centre()) as url:
        till.url = url
        assert (await till.send("5301", {"data": {"psn_no": "P001"}}))["err_msg"].startswith("[SIGN]")
        await till.sign_in()
        assert await used(till) == after

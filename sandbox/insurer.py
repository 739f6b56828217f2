"""The insurance centre: the national FSI envelope, strict, with its own arithmetic and its own book (contracts 3)."""

import csv
import hashlib
import hmac
import json
import re
import time
import tomllib
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from sandbox.benefits import Drug, Outcome, Sold, Split, Standing, Terms, after, cents, settle
from sandbox.book import Book, Document
from sandbox.fsi import Node, Wrong, check, check_input
from sandbox.partner import Background, Setting, partner_app, run
from sandbox.plan import twice

BEIJING = timezone(timedelta(hours=8))
CITIES = Path(__file__).parents[1] / "cities"

TRANSACTIONS = ("9001", "1101", "5301", "2101", "2102", "2103", "3201", "3505A", "3506A", "3513")


class City:
    """The benefit tables of a city, read from its folder of data."""

    def __init__(self, folder: Path) -> None:
        policy = tomllib.loads((folder / "policy.toml").read_text(encoding="utf-8"))
        self.division = str(policy["division"])
        self.clr_optins = str(policy["clr_optins"])
        self.level = str(policy["hospitals"][0]["level"])
        self.benefits = {(row["insutype"], row["scope"]): row for row in _rows(folder / "benefits.csv")}
        self.diseases = {row["code"]: row for row in _rows(folder / "diseases.csv")}
        self.drugs = {
            row["code"]: Drug(row["nrdl_class"], Decimal(row["first_selfpay_ratio"] or 0),
                              Decimal(row["pay_standard_yuan"]) if row["pay_standard_yuan"] else None)
            for row in _rows(folder / "catalogue.csv")
        }
        limited = {row["drug_id"] for row in _rows(folder.parent / policy["knowledge"] / "payment_restrictions.csv")} - {""}
        self.restricted = {row["code"] for row in _rows(folder / "catalogue.csv") if row["drug_id"] in limited}
        """Drugs that are paid under conditions only (lmt_used_flag 1)."""
        self.products = {row["digits"]: row["code"] for row in _rows(folder / "trace_products.csv")}
        """By the first seven digits of a trace code."""

    def terms(self, person: Document, disease: str) -> tuple[Terms | None, str]:
        """The policy of a claim (None: the fund pays nothing) and the key its cap is counted under (README 1, 4)."""
        chronic = disease in self.diseases and disease in person["diseases"]
        row = self.benefits.get((person["insutype"], "CHRONIC" if chronic else "OUTPATIENT"))
        if row is None:
            return None, ""
        bonus = Decimal(row["retired_bonus"]) if person["psn_type"] == "12" else Decimal(0)
        serious = row["serious_counts"] == "Y"
        cap = self.diseases[disease]["annual_cap_yuan"] if chronic else row["cap_yuan"]
        return Terms(
            ratio=min(Decimal(1), Decimal(row[f"ratio_level_{self.level}"]) + bonus),
            deductible=Decimal(row["deductible_yuan"]),
            cap_basis=row["cap_basis"], cap=Decimal(cap),
            pool_cap=Decimal(row["pool_cap_yuan"]), large_ratio=Decimal(row["large_ratio"]),
            serious_threshold=Decimal(row["serious_threshold_yuan"]) if serious else None,
            serious_ratio=Decimal(row["serious_ratio"] or 0),
            civil_ratio=Decimal(row["civil_ratio"]) if person["civil_servant"] else Decimal(0),
            account_scope=row["account_scope"],
        ), disease if chronic else ""


class Centre:
    """Persons, what they have used up, and every settlement. Raises `Wrong`."""

    def __init__(self, city: City, setting: Setting, book: Book) -> None:
        self.city = city
        self.setting = setting
        self.book = book
        self.signed_in: set[str] = set()
        """Lost when we restart: everybody signs in again."""
        # Found without reading the whole book.
        self.psn_no = {person["id_number"]: person["psn_no"] for person in book.all("person")}
        self.settled: dict[str, list[str]] = {}
        """Prescription -> its settlements that were not reversed: one for each pharmacy."""
        for row in book.all("settlement"):
            if row["kind"] == "settled" and not row["reversed_by"]:
                self.settled.setdefault(row["rxno"], []).append(row["setl_id"])

    def answer(self, envelope: Node) -> Node:
        """The answer to one request; a known msgid gets the answer it got before."""
        check(envelope, "ENV", "(envelope)")
        infno, msgid, content = envelope["infno"], envelope["msgid"], envelope.get("input")
        if infno not in TRANSACTIONS:
            raise Wrong("FIELD", "infno")
        if len(msgid) != 30 or not msgid.startswith(envelope["fixmedins_code"][:12]):
            raise Wrong("FIELD", "msgid")
        for field, only in (("infver", "V1.0"), ("recer_sys_code", "YBXT"), ("opter_type", "1"),
                            ("mdtrtarea_admvs", self.city.division)):
            if envelope[field] != only:
                raise Wrong("FIELD", field)
        if not isinstance(content, dict):
            raise Wrong("FIELD", "input")
        if infno == "9001":
            check_input(infno, content)
            return self.sign_in()
        if envelope.get("sign_no") not in self.signed_in:
            raise Wrong("SIGN", "unknown sign_no")
        if self.setting.faults.strikes("busy", msgid, self.setting.faults.attempt(f"busy {msgid}"), infno):
            raise Wrong("BUSY", "try again")
        check_input(infno, content)
        digest = hashlib.sha256(json.dumps([infno, content], sort_keys=True).encode()).hexdigest()
        if earlier := self.book.get("message", msgid):
            if earlier["digest"] != digest:
                raise Wrong("MSGID", "same msgid with another body")
            self.book.count("repeated", infno)
            return dict(earlier["answer"])
        place = envelope.get("insuplc_admdvs", "")
        with self.book.transaction():
            try:
                output = {
                    "1101": self.person, "5301": self.entitled, "2101": self.pre_settle, "2102": self.settle,
                    "2103": self.reverse, "3201": self.reconcile,
                    "3505A": self.sold, "3506A": self.brought_back, "3513": self.uploaded,
                }[infno](content, place)
                answer = {"infcode": 0, "err_msg": "", "output": output}
            except Wrong as wrong:
                answer = {"infcode": -1, "err_msg": str(wrong), "output": {}}
            answer |= self.stamps()
            self.book.put("message", msgid, {"digest": digest, "infno": infno, "answer": answer})
        return answer

    def sign_in(self) -> Node:
        number = f"SN{_now():%Y%m%d%H%M%S}{self.book.count('number', 'sign'):08d}"
        self.signed_in.add(number)
        return {"infcode": 0, "err_msg": "", **self.stamps(),
                "output": {"signinoutb": {"sign_time": f"{_now():%Y-%m-%d %H:%M:%S}", "sign_no": number}}}

    def person(self, content: Node, _: str) -> Node:
        """1101: who it is, and what is used up."""
        request = content["data"]
        person = self._by_certificate(request["mdtrt_cert_no"] or request.get("certno", ""))
        if request.get("psn_name") and request["psn_name"] != person["name"]:
            raise Wrong("PERSON", "name and number do not belong together")
        used = person["used"]
        born = datetime.fromisoformat(person["birth_date"]).date()
        return {
            "baseinfo": {
                "psn_no": person["psn_no"], "psn_cert_type": "01", "certno": person["id_number"],
                "psn_name": person["name"], "gend": _gender(person), "naty": "01", "brdy": person["birth_date"],
                "age": f"{(_now().date() - born).days // 365}.0",
                "exp_content": json.dumps({key: used[key] for key in ("ded_used", "cap_used", "pool_used", "sb_cum")}),
            },
            "insuinfo": [{
                "balc": person["balance"], "insutype": person["insutype"], "psn_type": person["psn_type"],
                "psn_insu_stas": "1" if person["active"] else "2", "psn_insu_date": "2010-01-01",
                "cvlserv_flag": "1" if person["civil_servant"] else "0", "insuplc_admdvs": person["insured_place"],
                "emp_name": "示范单位",
            }],
            "idetinfo": [],
        }

    def entitled(self, content: Node, _: str) -> Node:
        """5301: the chronic diseases the person holds."""
        person = self._by_number(content["data"]["psn_no"])
        return {"feedetail": [{
            "opsp_dise_code": code, "opsp_dise_name": self.city.diseases.get(code, {}).get("name_cn", code),
            "begndate": "2020-01-01", "enddate": "2099-12-31",
        } for code in person["diseases"]]}

    def pre_settle(self, content: Node, place: str) -> Node:
        person, outcome, _ = self._compute(content, place)
        return self._answer(content, person, outcome, {})

    def settle(self, content: Node, place: str) -> Node:
        """2102: the person's year changes in the same transaction as the book."""
        person, outcome, cap_key = self._compute(content, place)
        rxno = content["drugdetail"][0]["rxno"]
        sold = [{"drug": line["med_list_codg"], "quantity": line["cnt"]} for line in content["drugdetail"]]
        if setl_id := self._paid_already(rxno, sold):
            self.book.put("defect", f"double_settlement {rxno} {setl_id}",
                          {"defect": "double_settlement", "rxno": rxno, "setl_id": setl_id})
            raise Wrong("CLAIM", "this prescription is settled already")
        now, number = _now(), self.book.count("number", "settlement")
        ids = {"setl_id": f"S{now:%Y%m%d%H%M%S}{number:08d}", "mdtrt_id": f"V{now:%Y%m%d%H%M%S}{number:08d}"}
        person |= _document(after(_standing(person, cap_key), outcome), person, cap_key)
        self.book.put("person", person["psn_no"], person)
        answer = self._answer(content, person, outcome, ids)
        self.book.put("settlement", ids["setl_id"], ids | {
            "kind": "settled", "rxno": rxno, "psn_no": person["psn_no"], "insutype": person["insutype"],
            "clr_type": "41", "clr_optins": self.city.clr_optins, "dise_codg": content["druginfo"].get("dise_codg", ""),
            "cap_key": cap_key, "at": now.isoformat(timespec="seconds"), "reversed_by": "",
            "medfee_sumamt": str(outcome.total), "fund_pay_sumamt": str(outcome.fund), "acct_pay": str(outcome.account),
            "psn_cash_pay": str(outcome.cash), "outcome": _parts(outcome),
            "line_pool": [str(share) for share in outcome.line_pool], "lines": sold,
        })
        self.settled.setdefault(rxno, []).append(ids["setl_id"])
        return answer

    def _paid_already(self, rxno: str, sold: Sequence[Node]) -> str:
        """The settlement of a prescription after which a drug is paid for a second time; empty if there is none."""
        for setl_id in self.settled.get(rxno, ()):
            paid = self.book.get("settlement", setl_id)
            if paid and twice([{"lines": paid["lines"]}, {"lines": sold}]):
                return setl_id
        return ""

    def reverse(self, content: Node, _: str) -> Node:
        """2103: the whole settlement, with exactly the amounts it had, and the year restored with it."""
        request = content["data"]
        row = self.book.get("settlement", request["setl_id"])
        if row is None or row["kind"] != "settled":
            raise Wrong("UNKNOWN", "no such settlement")
        if row["mdtrt_id"] != request["mdtrt_id"] or row["psn_no"] != request["psn_no"]:
            raise Wrong("UNKNOWN", "settlement, visit and person do not belong together")
        if row["reversed_by"]:
            raise Wrong("SETTLED", "reversed already")
        person, outcome = self._by_number(row["psn_no"]), _outcome(row["outcome"])
        now, number = _now(), self.book.count("number", "settlement")
        own_id = f"R{now:%Y%m%d%H%M%S}{number:08d}"
        person |= _document(after(_standing(person, row["cap_key"]), outcome, -1), person, row["cap_key"])
        self.book.put("person", person["psn_no"], person)
        self.book.put("settlement", row["setl_id"], row | {"reversed_by": own_id})
        self.book.put("settlement", own_id, row | {
            "setl_id": own_id, "kind": "reversed", "reverses": row["setl_id"], "reversed_by": "",
            "at": now.isoformat(timespec="seconds"),
            **{key: str(-Decimal(row[key]))
               for key in ("medfee_sumamt", "fund_pay_sumamt", "acct_pay", "psn_cash_pay")},
        })
        self.settled[row["rxno"]].remove(row["setl_id"])
        amounts = {key: _text(-Decimal(value)) for key, value in _amounts(outcome).items()}
        cash = amounts.pop("psn_cash_pay")
        return {
            "setlinfo": {
                "mdtrt_id": row["mdtrt_id"], "setl_id": own_id, "clr_optins": self.city.clr_optins,
                "setl_time": f"{now:%Y-%m-%d %H:%M:%S}", **amounts, "psn_pay": amounts["psn_part_amt"],
                "cash_payamt": cash, "pool_prop_selfpay": "0.0000", "balc": person["balance"],
                "medins_setl_id": own_id,
            },
            "setldetail": [],
        }

    def reconcile(self, content: Node, _: str) -> Node:
        """3201: their totals of a period against ours; refunds count negative, in number too."""
        request = content["data"]
        rows = [row for row in self.book.all("settlement")
                if request["stmt_begndate"][:10] <= row["at"][:10] <= request["stmt_enddate"][:10]
                and (row["insutype"], row["clr_type"], row["clr_optins"])
                == (request["insutype"], request["clr_type"], request["setl_optins"])]
        ours = {
            **{key: sum((Decimal(row[key]) for row in rows), Decimal("0.00"))
               for key in ("medfee_sumamt", "fund_pay_sumamt", "acct_pay")},
            "fixmedins_setl_cnt": Decimal(sum(-1 if row["kind"] == "reversed" else 1 for row in rows)),
        }
        different = [key for key, value in ours.items() if Decimal(str(request[key])) != value]
        return {"stmtinfo": {
            "setl_optins": request["setl_optins"], "stmt_rslt": "1" if different else "0",
            "stmt_rslt_dscr": "; ".join(f"{key}: 中心 {ours[key]}" for key in different) or "平",
        }}

    def sold(self, content: Node, _: str) -> Node:
        """3505A: packs sold, all of them or none. A code is sold once, unless its pack is opened."""
        rows = content["selinfoDetail"]
        if fault := next((fault for row in rows if (fault := self._fault_of_sale(row))), ""):
            return {"result": {"retRslt": "0", "msgRslt": fault}}
        for row in rows:
            self._keep_upload("sold", row)
        return {"result": {"retRslt": "1", "msgRslt": "成功"}}

    def brought_back(self, content: Node, _: str) -> Node:
        """3506A: packs brought back; each was sold before, and is never sold again."""
        rows = content["selinfoDetail"]
        for row in rows:
            sale = self.book.get("upload", row["medins_prod_sel_no"])
            if sale is None or sale["code"] != _code_of(row) or self.book.get("upload", row["fixmedins_bchno"]):
                return {"result": {"retRslt": "0", "msgRslt": f"{row['fixmedins_bchno']}: 无此销售"}}
        for row in rows:
            self._keep_upload("returned", row)
        return {"result": {"retRslt": "1", "msgRslt": "成功"}}

    def uploaded(self, content: Node, _: str) -> Node:
        """3513: what was uploaded of a code."""
        request = content["data"]
        row = self.book.get("upload", request.get("fixmedins_bchno") or "")
        self.book.count("asked", "3513")
        return {"selinfo": [{"fixmedins_bchno": row["number"], "drug_trac_codg": row["code"]}]
                if row and row["code"] == request["drug_trac_codg"] else []}

    def _fault_of_sale(self, row: Node) -> str:
        number, code = row["fixmedins_bchno"], _code_of(row)
        if re.fullmatch(r"8[0-9]{19}", code) is None or self.city.products.get(code[:7]) != row["med_list_codg"]:
            return f"{number}: 追溯码与药品不符"
        if self.book.get("upload", number):
            self.book.put("defect", f"double_upload {number}", {"defect": "double_upload", "number": number})
            return f"{number}: 重复上传"
        pack = self.book.get("pack", code)
        if pack and (pack["returned"] or not pack["opened"] or row["trdn_flag"] != "1"):
            self.book.put("defect", f"double_sale {number}", {"defect": "double_sale", "number": number})
            return f"{number}: 追溯码已销售"
        return ""

    def _keep_upload(self, kind: str, row: Node) -> None:
        code = _code_of(row)
        self.book.put("upload", row["fixmedins_bchno"], {
            "kind": kind, "number": row["fixmedins_bchno"], "code": code, "order_id": row["rtal_docno"],
            "drug": row["med_list_codg"], "units": row["sel_retn_cnt"], "opened": row["trdn_flag"] == "1",
            "setl_id": row.get("setl_id", "")})
        self.book.put("pack", code, {"code": code, "opened": row["trdn_flag"] == "1", "returned": kind == "returned"})

    def show_book(self) -> Document:
        """Every settlement and reversal, and where each person's year stands; no names, no id numbers."""
        return {
            "settlements": [{key: value for key, value in row.items() if key not in ("outcome", "cap_key")}
                            for row in self.book.all("settlement")],
            "persons": [{key: person[key] for key in ("psn_no", "insutype", "balance", "used")}
                        for person in self.book.all("person")],
            "uploads": self.book.all("upload"),
            "repeated": self.book.all("repeated"),
            "defects": self.book.all("defect"),
        }

    def load_people(self) -> None:
        """Register who is in people.json and not yet known: what a person has used up is never reset."""
        file = self.setting.state / "people.json"
        if file.exists():
            self.register(json.loads(file.read_text(encoding="utf-8")))

    def register(self, people: list[Document]) -> None:
        for person in people:
            if self.book.get("person", person["psn_no"]) is None:
                self.book.put("person", person["psn_no"], person)
                self.psn_no[person["id_number"]] = person["psn_no"]

    def id_number(self, name: str) -> str:
        """The id number of the person of that name, empty where there is none; each name of the sandbox is of one person."""
        return next((str(person["id_number"]) for person in self.book.all("person") if person["name"] == name), "")

    def _by_certificate(self, number: str) -> Document:
        if number not in self.psn_no:
            self.load_people()
        if number not in self.psn_no:
            raise Wrong("PERSON", "unknown")
        person = self._by_number(self.psn_no[number])
        if not person["active"]:
            raise Wrong("PERSON", "not insured")
        return person

    def _by_number(self, number: str) -> Document:
        person = self.book.get("person", number)
        if person is None:
            raise Wrong("PERSON", "unknown")
        return person

    def _compute(self, content: Node, place: str) -> tuple[Document, Outcome, str]:
        """What 2101 and 2102 have in common: is the claim sound, and how does it divide?"""
        info, details = content["druginfo"], content["drugdetail"]
        person = self._by_number(info["psn_no"])
        if not person["active"] or info["insutype"] != person["insutype"]:
            raise Wrong("PERSON", "not insured under this insutype")
        if place != person["insured_place"]:
            raise Wrong("CLAIM", "insuplc_admdvs")
        disease = info.get("dise_codg") or ""
        if (info["med_type"] == "14") != bool(disease) or info["med_type"] not in ("14", "41"):
            raise Wrong("CLAIM", "med_type and dise_codg")
        if info["acct_used_flag"] != "1" or any(line["rx_circ_flag"] != "1" for line in details):
            raise Wrong("CLAIM", "acct_used_flag, rx_circ_flag")
        if len({line["rxno"] for line in details}) != 1:
            raise Wrong("CLAIM", "rxno")
        if len({line["feedetl_sn"] for line in details}) != len(details):
            raise Wrong("CLAIM", "feedetl_sn")
        for line in details:
            if Decimal(line["cnt"]) <= 0 or cents(Decimal(line["cnt"]) * Decimal(line["pric"])) != Decimal(
                    line["det_item_fee_sumamt"]):
                raise Wrong("CLAIM", f"det_item_fee_sumamt of {line['feedetl_sn']}")
            if _flag(line, "hosp_appr_flag") not in ("", "0", "1", "2"):
                raise Wrong("CLAIM", f"hosp_appr_flag of {line['feedetl_sn']}")
            for pack in (line.get("expContent") or {}).get("drug_trac_info", ()):
                if self.city.products.get(pack["drug_trac_codg"][:7]) != line["med_list_codg"]:
                    raise Wrong("CLAIM", f"drug_trac_codg of {line['feedetl_sn']}")
            if _flag(line, "lmt_used_flag") not in ("", "1" if line["med_list_codg"] in self.city.restricted else "0"):
                raise Wrong("CLAIM", f"lmt_used_flag of {line['feedetl_sn']}")
        if sum(Decimal(line["det_item_fee_sumamt"]) for line in details) != Decimal(info["medfee_sumamt"]):
            raise Wrong("CLAIM", "medfee_sumamt")
        terms, cap_key = self.city.terms(person, disease)
        sold = [Sold(self.city.drugs.get(line["med_list_codg"]), Decimal(line["cnt"]), Decimal(line["pric"]),
                     terms is None or _denied(line, line["med_list_codg"] in self.city.restricted)) for line in details]
        outcome = settle(sold, terms or Terms(Decimal(0), account_scope="NONE"), _standing(person, cap_key))
        return person, outcome, cap_key

    def _answer(self, content: Node, person: Document, outcome: Outcome, ids: Node) -> Node:
        info, details = content["druginfo"], content["drugdetail"]
        terms, _ = self.city.terms(person, info.get("dise_codg") or "")
        employee = person["insutype"] == "310"
        funds = (
            ("310100" if employee else "390100", "统筹基金", outcome.pool),
            ("330100", "大额医疗费用补助", outcome.large),
            ("390200", "大病保险", outcome.serious), ("320100", "公务员医疗补助", outcome.civil),
            ("310200", "个人账户", outcome.account),
        )
        born = datetime.fromisoformat(person["birth_date"]).date()
        return {
            "setlinfo": {
                **ids, "psn_no": person["psn_no"], "psn_name": person["name"], "psn_cert_type": "01",
                "certno": person["id_number"], "gend": _gender(person), "naty": "01", "brdy": person["birth_date"],
                "age": f"{(_now().date() - born).days // 365}.0", "insutype": person["insutype"],
                "psn_type": person["psn_type"], "cvlserv_flag": "1" if person["civil_servant"] else "0",
                "setl_time": f"{_now():%Y-%m-%d %H:%M:%S}", "mdtrt_cert_type": info["mdtrt_cert_type"],
                "med_type": info["med_type"],
                **{key: _text(value) for key, value in _amounts(outcome).items()},
                "pool_prop_selfpay": f"{terms.ratio if terms else Decimal(0):.4f}",
                "balc": person["balance"], "medins_setl_id": ids.get("setl_id", ""),
                "clr_optins": self.city.clr_optins, "clr_way": "01", "clr_type": "41",
            },
            "setldetail": [{
                "fund_pay_type": code, "inscp_scp_amt": _text(outcome.scope), "crt_payb_lmt_amt": _text(amount),
                "fund_payamt": _text(amount), "fund_pay_type_name": name, "setl_proc_info": "",
            } for code, name, amount in funds if amount],
            "detlcutinfo": [{
                "feedetl_sn": line["feedetl_sn"], "det_item_fee_sumamt": line["det_item_fee_sumamt"],
                "cnt": line["cnt"], "pric": line["pric"], "pric_uplmt_amt": line["pric"],
                "selfpay_prop": f"{drug.first_pay if drug else Decimal(1):.4f}",
                "fulamt_ownpay_amt": _text(cut.own), "overlmt_amt": _text(cut.over),
                "preselfpay_amt": _text(cut.first), "inscp_scp_amt": _text(cut.scope),
                "chrgitm_lv": {"甲": "1", "乙": "2"}.get(drug.grade if drug else "", "3"), "med_chrgitm_type": "09",
                "memo": "",
            } for line, cut in zip(details, outcome.lines, strict=True)
                for drug in [self.city.drugs.get(line["med_list_codg"])]],
        }

    def stamps(self) -> Node:
        now = _now()
        return {
            "inf_refmsgid": f"{self.city.division}{now:%Y%m%d%H%M%S}{self.book.count('number', 'message'):010d}",
            "refmsg_time": f"{now:%Y%m%d%H%M%S}000", "respond_time": f"{now:%Y%m%d%H%M%S}000",
        }


def _flag(line: Node, name: str) -> str:
    """One of the flags in a line's expContent; empty if it is not said."""
    content = line.get("expContent") or {}
    if isinstance(content, str):
        content = json.loads(content)
    return str(content.get(name, ""))


def _denied(line: Node, restricted: bool) -> bool:
    """F-04: 2 is own expense always; a restricted drug is paid with a 1 only, an unrestricted one without any."""
    flag = _flag(line, "hosp_appr_flag")
    return flag == "2" or (restricted and flag != "1")


def _amounts(outcome: Outcome) -> dict[str, Decimal]:
    zero = Decimal("0.00")
    return {
        "medfee_sumamt": outcome.total, "fulamt_ownpay_amt": outcome.own, "overlmt_selfpay": outcome.over,
        "preselfpay_amt": outcome.first, "inscp_scp_amt": outcome.scope, "act_pay_dedc": outcome.deductible,
        "hifp_pay": outcome.pool, "cvlserv_pay": outcome.civil, "hifes_pay": zero, "hifmi_pay": outcome.serious,
        "hifob_pay": outcome.large, "maf_pay": outcome.aid, "oth_pay": zero, "fund_pay_sumamt": outcome.fund,
        "psn_part_amt": outcome.total - outcome.fund, "acct_pay": outcome.account, "psn_cash_pay": outcome.cash,
        "acct_mulaid_pay": outcome.family,
    }


AMOUNTS = ("deductible", "pool", "large", "serious", "civil", "aid", "account", "family", "cash", "counted_cap",
           "counted_serious")


def _parts(outcome: Outcome) -> Document:
    return {name: str(getattr(outcome, name)) for name in AMOUNTS} | {
        "lines": [[str(line.own), str(line.over), str(line.first), str(line.scope)] for line in outcome.lines]}


def _outcome(parts: Document) -> Outcome:
    amounts: dict[str, Any] = {name: Decimal(parts[name]) for name in AMOUNTS}
    return Outcome(tuple(Split(*(Decimal(amount) for amount in line)) for line in parts["lines"]), **amounts)


def _standing(person: Document, cap_key: str) -> Standing:
    used = person["used"]
    return Standing(Decimal(used["ded_used"]), Decimal(used["cap_used"].get(cap_key, "0.00")),
                    Decimal(used["pool_used"]), Decimal(used["sb_cum"]), account=Decimal(person["balance"]))


def _document(standing: Standing, person: Document, cap_key: str) -> Document:
    return {"balance": _text(standing.account), "used": {
        "ded_used": _text(standing.deductible), "cap_used": person["used"]["cap_used"] | {cap_key: _text(standing.cap)},
        "pool_used": _text(standing.pool), "sb_cum": _text(standing.serious)}}


def _code_of(row: Node) -> str:
    """The one code of a row; empty where it has none, or several."""
    packs = row.get("drugtracinfo")
    return str(packs[0].get("drug_trac_codg", "")) if isinstance(packs, list) and len(packs) == 1 else ""


def _gender(person: Document) -> str:
    return {"male": "1", "female": "2"}.get(person["gender"], "0")


def _text(amount: Decimal) -> str:
    return f"{amount + 0:.2f}"  # + 0: no "-0.00"


def _now() -> datetime:
    return datetime.now(BEIJING)


def _rows(file: Path) -> Iterator[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as table:
        yield from csv.DictReader(table)


def _key_of(_: str, path: str, body: bytes) -> tuple[str, str]:
    try:
        envelope = json.loads(body)
        return str(envelope["infno"]), f"{envelope['infno']} {envelope['msgid']}"
    except (ValueError, KeyError, TypeError):
        return path, path


def make_app(setting: Setting) -> FastAPI:
    book, background = Book(setting.state / "insurer.sqlite"), Background()
    centre = Centre(City(CITIES / (setting.urls.get("city") or "jinan")), setting, book)
    app = partner_app("insurer", setting, book, centre.show_book, background, centre.load_people, _key_of)
    paasid, secret = setting.secrets["SANDBOX_CENTRE_PAASID"], setting.secrets["SANDBOX_CENTRE_SECRET"]

    def signed(request: Request) -> bool:
        timestamp, nonce, headers = (
            request.headers.get(f"x-tif-{name}", "") for name in ("timestamp", "nonce", "signature"))
        expected = hashlib.sha256(f"{timestamp}{secret}{nonce}{timestamp}".encode()).hexdigest()
        return (
            request.headers.get("x-tif-paasid") == paasid and bool(nonce)
            and hmac.compare_digest(headers.encode(), expected.encode())
            and timestamp.isdigit() and abs(int(timestamp) - time.time()) <= 600
        )

    @app.post("/sandbox/people", status_code=204)
    async def people(request: Request) -> None:
        centre.register(await request.json())

    @app.post("/sandbox/id_card")
    async def id_card(request: Request) -> Document:
        return {"id_number": centre.id_number((await request.json())["name"])}

    @app.post("/fsi")
    async def fsi(request: Request) -> Response:
        if not signed(request):
            return JSONResponse({"infcode": -1, "err_msg": "x-tif-signature"}, 401)
        try:
            envelope = json.loads(await request.body())
            if not isinstance(envelope, dict):
                raise ValueError("not an object")
        except ValueError:
            return JSONResponse({"infcode": -1, "err_msg": "[FIELD] no JSON"}, 400)
        try:
            answer = centre.answer(envelope)
        except Wrong as wrong:
            answer = {"infcode": -1, "err_msg": str(wrong), "output": {}} | centre.stamps()
        return JSONResponse(answer)

    return app


if __name__ == "__main__":
    run("insurer", make_app, urls={"city": "folder under cities/ (default jinan)"}, secrets={
        "SANDBOX_CENTRE_PAASID": "x-tif-paasid of the platform",
        "SANDBOX_CENTRE_SECRET": "secret of x-tif-signature",
    })

"""The national 电子处方 interface: pre-check, signature and upload in turn, SM2 around SM4; notices by the same envelope."""

import asyncio
import base64
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import httpx
from fastapi import FastAPI, HTTPException, Request, Response

from sandbox.dialects import Heard, Installation, Line, Site
from sandbox.dialects import erx_crypto as sm
from sandbox.facts import Facts, Medicine
from sandbox.loopback import NO_CERTIFICATES

Document = dict[str, Any]

BEIJING = timezone(timedelta(hours=8))
APP_IDS = {"jinan_second": "SANYIDEMOAPP00000000JINANSECOND2"}
BASE = "/epc/api/fixmedins"
NOTICES = "/epc/notify"
TAKEN, CONFLICT, TOO_LATE = "0", "4090", "4091"

DRUGS: Mapping[str, str] = {
    "D001": "XA10BAA001A001010100001", "D002": "XA10BAA002A001010100001",
    "D003": "XA10BBA003A001010100001", "D005": "XA10BBA005A001010100001",
    "D010": "XA10BFA010A001010100001", "D018": "XA10BKA018A001010100001", "D032": "XC08CAA032A001010100001",
    "D041": "XC09AAA041A001010100001", "D074": "XC10AAA074A001010100001", "D090": "XC01DAA090A001010100001",
    "D048": "XC09CAA048A001010100001", "D054": "XC09DXA054A001010100001", "D065": "XC07ABA065A001010100001",
    "D072": "XC10AAA072A001010100001", "D081": "XB01ACA081A001010100001", "D082": "XB01ACA082A001010100001",
    "D086": "XB01AFA086A001010100001", "D106": "XH03AAA106A001010100001", "D145": "XJ05AFA145A001010100001",
    "D184": "XN02AAA184A001010100001", "D187": "ZA09AAF0187010100001",
}
"""Our catalogue code -> the code in the hospital's list; any other drug has a code that is in no table."""
FREQUENCIES = {"qd": ("11", "每天一次"), "bid": ("12", "每天二次"), "tid": ("13", "每天三次"), "qid": ("14", "每天四次"),
               "q12h": ("37", "每12小时一次"), "qn": ("41", "每晚一次"), "qod": ("42", "隔天一次"), "qw": ("21", "每周一次")}
TITLES = {"231": "主任医师", "232": "副主任医师", "233": "主治医师", "234": "医师", "235": "医士"}
ITEM_TYPES = {"western": ("11", "西药"), "tcm_patent": ("12", "中成药"), "tcm_piece": ("13", "中药饮片")}


def install(site: Site) -> Installation:
    """A secret both know, and a pair of SM2 keys for each."""
    secret = site.key("app secret")
    ours, theirs = sm.private_key(site.key("sm2 hospital")), sm.private_key(site.key("sm2 platform"))
    name = site.slug.upper()
    return Installation(
        {f"SANYI_PARTNER_URLS__{name}": site.url, f"SANYI_PARTNER_SECRETS__{name}__APP_SECRET": secret,
         f"SANYI_PARTNER_SECRETS__{name}__PLATFORM_KEY": theirs,
         f"SANYI_PARTNER_SECRETS__{name}__HOSPITAL_KEY": sm.public_key(ours)},
        {"APP_SECRET": secret, "PRIVATE_KEY": ours, "PLATFORM_PUBLIC_KEY": sm.public_key(theirs)}, door=BASE)


class Speaker:
    """The hospital's engine for the 电子处方中心; see `sandbox.dialects.Speaker`."""

    def __init__(self, line: Line, clock: Callable[[], float] = time.time) -> None:
        self._line = line
        self._clock = clock
        self._app_id = APP_IDS.get(line.slug, line.slug.upper().ljust(32, "0"))
        self._secret = line.secrets["APP_SECRET"]
        self._key = sm.sm4_key(self._app_id, self._secret)
        self._client = httpx.AsyncClient(base_url=line.gateway, timeout=15, trust_env=False, verify=NO_CERTIFICATES)

    def prescription(self, facts: Facts) -> bytes:
        return _written({"D001": precheck(facts), "D003": upload(facts)})

    def changed(self, facts: Facts) -> bytes:
        """One more pack under the same prescription number."""
        first = facts.medicines[0]
        more = replace(facts, medicines=(replace(first, quantity=first.quantity + 1), *facts.medicines[1:]))
        return self.prescription(more)

    def broken(self, facts: Facts, number: int) -> bytes:
        """No generic name and no institution; or a wrong check digit and a quantity with its unit."""
        body = precheck(facts)
        if number == 1:
            del body["rxdrugdetail"][0]["drugGenname"], body["mdtrtinfo"]["fixmedinsCode"]
        else:
            certno = body["mdtrtinfo"]["certno"]
            body["mdtrtinfo"]["certno"] = certno[:-1] + ("1" if certno[-1] != "1" else "2")
            body["rxdrugdetail"][0]["drugCnt"] = "60片"
        return _written({"D001": body, "D003": upload(facts)})

    def cancel(self, facts: Facts, key: str, at: datetime) -> bytes:
        return _written({"D001": precheck(facts), "D004": {
            "fixmedinsCode": facts.institution, "drCode": facts.physician, "undoDrName": facts.physician_name,
            "undoDrCertType": "01", "undoDrCertno": "370100197001019994", "undoRea": f"医师撤销 {key}",
            "undoTime": _time(at)}})

    async def send(self, body: bytes) -> Heard | None:
        """D001 first, always: the platform knows the prescription by the numbers it then gives."""
        message = json.loads(body)
        checked = await self._call("uploadChk", message["D001"])
        if checked is None or checked[0] != TAKEN:
            return _heard(checked)
        numbers = checked[1]
        if "D004" in message:
            return _heard(await self._call("rxUndo", {"hiRxno": numbers["hiRxno"], **message["D004"]}))
        fields = {"rxTraceCode": numbers["rxTraceCode"], "hiRxno": numbers["hiRxno"], **message["D003"]}
        original = _written({name: fields[name] for name in sorted(fields)})
        signed = await self._call("rxFixmedinsSign", {
            "fixmedinsCode": fields["fixmedinsCode"], "originalValue": base64.b64encode(original).decode(),
            "originalRxFile": base64.b64encode(_paper(message["D001"]["hospRxno"])).decode()})
        if signed is None or signed[0] != TAKEN:
            return _heard(signed)
        if not sm.verify(original, signed[1]["signDigest"], self._line.secrets["PLATFORM_PUBLIC_KEY"]):
            return Heard("refused", status="bad_digest")
        return _heard(await self._call("rxFileUpld", {
            **fields, "rxFile": signed[1]["rxFile"], "signDigest": signed[1]["signDigest"]}))

    async def where(self, facts: Facts) -> str:
        checked = await self._call("uploadChk", precheck(facts))
        if checked is None or checked[0] != TAKEN:
            return ""
        answer = await self._call("hospRxDetlQuery", query(facts, checked[1]["hiRxno"]))
        return str(answer[1]["extras"]["status"]) if answer and answer[0] == TAKEN else ""

    def doors(self, app: FastAPI) -> None:
        @app.post(NOTICES)
        async def notices(request: Request) -> Response:
            try:
                notice, data = self._open(await request.body())
                report = data["extras"]
                if data["rxStasName"] != {"1": "有效", "2": "已失效", "3": "已撤销"}[data["rxStasCodg"]]:
                    raise ValueError("a status and its name")
                if notice["transType"] not in ("7108", "7109", "rxStas") or (notice["transType"] == "7109") != (
                        report["status"] in ("fulfilled", "settled", "closed")):
                    raise ValueError("a notice of another kind")
                self._line.hear(report["key"], report)
            except PermissionError:
                raise HTTPException(401, "signature") from None
            except (ValueError, KeyError, TypeError):
                raise HTTPException(400, "not a notice") from None
            answer = await asyncio.to_thread(self._seal, {}, {"code": 0, "message": "成功"})
            return Response(answer, media_type="application/json")

    async def listen(self) -> None:
        """It listens to HTTP only."""

    async def _call(self, path: str, data: Document) -> tuple[str, Document, bytes] | None:
        """Code, data and bytes of the answer; None when nothing came that could be one."""
        sent = await asyncio.to_thread(self._seal, data, {})
        try:
            answer = await self._client.post(f"{BASE}/{path}", content=sent, headers={"Content-Type": "application/json"})
        except httpx.HTTPError:
            return None
        if answer.status_code >= 500 or answer.status_code == 429:
            return None
        try:
            answer_envelope, answer_data = await asyncio.to_thread(self._open, answer.content)
        except (ValueError, KeyError, TypeError, PermissionError):
            return "unreadable", {}, answer.content
        return str(answer_envelope["code"]), answer_data, answer.content

    def _seal(self, data: Document, entries: Document) -> bytes:
        message = {"appId": self._app_id, "encType": "SM4", "signType": "SM2", "version": "2.0.1",
                   "timestamp": str(int(self._clock() * 1000)), **entries}
        text = sm.text_to_sign(message, data, self._secret)
        return _written({**message, "signData": sm.sign(text, self._line.secrets["PRIVATE_KEY"]),
                         "encData": sm.hide(self._key, _written(data))})

    def _open(self, body: bytes) -> tuple[Document, Document]:
        envelope_json = json.loads(body)
        data = json.loads(sm.reveal(self._key, envelope_json["encData"]))
        text = sm.text_to_sign(envelope_json, data, self._secret)
        if not sm.verify(text, envelope_json["signData"], self._line.secrets["PLATFORM_PUBLIC_KEY"]):
            raise PermissionError
        return envelope_json, data


def precheck(facts: Facts) -> Document:
    """D001: the whole prescription. What the interface has no field for goes into `extras`."""
    age = facts.issued.year - facts.born.year - ((facts.issued.month, facts.issued.day) < (facts.born.month, facts.born.day))
    main = facts.diagnoses[0]
    return {
        "mdtrtCertType": "02", "mdtrtCertNo": facts.id_number, "bizTypeCode": "02", "rxExraAttrCode": "02",
        "insuPlcNo": facts.insured_place, "mdtrtareaNo": "370100", "hospRxno": facts.external_id, "rxTypeCode": "1",
        "prscTime": _time(facts.issued), "rxDrugCnt": str(len(facts.medicines)), "valiDays": str(facts.valid_days),
        "valiEndTime": _time(facts.valid_until), "longRxFlag": "1",
        **({"rxDrordDscr": facts.note} if facts.note else {}),
        "rxdrugdetail": [_drug(facts, medicine) for medicine in facts.medicines],
        "mdtrtinfo": {
            "fixmedinsName": facts.institution_name, "fixmedinsCode": facts.institution, "mdtrtId": _visit(facts),
            "medType": "14" if facts.chronic_disease else "11", "iptOtpNo": _visit(facts), "otpIptFlag": "1",
            "psnNo": _visit(facts), "patnName": facts.name, "psnCertType": "01", "certno": facts.id_number,
            "patnAge": str(age), "gend": "1" if facts.male else "2",
            **({"algsHis": "；".join(facts.allergy_words) or "无过敏史"}
               if facts.allergy_words or facts.no_known_allergies else {}),
            "prscDeptName": facts.department_name, "prscDeptCode": f"A{facts.department}", "drCode": facts.physician,
            "prscDrName": facts.physician_name, "drProfttlCodg": facts.title, "drProfttlName": TITLES[facts.title],
            "drDeptCode": f"A{facts.department}", "drDeptName": facts.department_name,
            "mdtrtTime": _time(facts.issued - timedelta(minutes=10)), "diseCodg": facts.chronic_disease,
            "spDiseFlag": "1" if facts.chronic_disease else "0", "maindiagCode": main.code, "maindiagName": main.name,
            "fstdiagFlag": "0" if facts.proof_issued else "1",
            "extras": {
                "takeWay": "2" if facts.home else "1", "insutype": facts.insutype, "tel": facts.phone,
                "addr": facts.address, "addrAdmdvs": facts.district, "lat": facts.latitude, "lng": facts.longitude,
                "drPracYears": str(facts.physician_years), "longRxRea": facts.extend_reason, "longRxAsmtFlag": "1",
                "patnCfmFlag": "1", **({"valiDaysRea": facts.valid_reason} if facts.valid_reason else {}),
                **({"fstDiagDate": facts.proof_issued.isoformat(),
                    "fstDiagCodes": [diagnosis.code[:3] for diagnosis in facts.diagnoses]} if facts.proof_issued else {}),
            },
        },
        "diseinfo": [{
            "diagType": "1", "maindiagFlag": "1" if diagnosis is main else "0", "diagSrtNo": str(number),
            "diagCode": diagnosis.code,
            "diagName": diagnosis.name, "diagDept": facts.department_name, "diagDrNo": facts.physician,
            "diagDrName": facts.physician_name, "diagTime": _time(facts.issued - timedelta(minutes=5))}
            for number, diagnosis in enumerate(facts.diagnoses, 1)],
    }


def _drug(facts: Facts, medicine: Medicine) -> Document:
    kind, kind_name = ITEM_TYPES[medicine.kind]
    frequency, frequency_name = FREQUENCIES[medicine.frequency]
    return {
        "medListCodg": DRUGS.get(medicine.drug, medicine.drug), "rxItemTypeCode": kind, "rxItemTypeName": kind_name,
        "drugGenname": medicine.name, "drugDosform": "片剂", "drugSpec": f"每{medicine.unit}", "medcWayCodg": "1",
        "medcWayDscr": "口服", "medcBegntime": _time(facts.issued),
        "medcEndtime": _time(facts.issued + timedelta(days=medicine.days)), "medcDays": str(medicine.days),
        "sinDosunt": medicine.dose_unit, "sinDoscnt": medicine.amount, "usedFrquCodg": frequency,
        "usedFrquName": frequency_name, "drugDosunt": medicine.unit, "drugCnt": str(medicine.quantity),
        # The interface wants a word: of a doctor who says nothing, that the fund's conditions are met or there are none.
        "hospApprFlag": medicine.approval or "1", **({"selfPayRea": "1"} if medicine.approval == "2" else {}),
        **({"tcmherbFoote": medicine.directions} if medicine.directions else {}),
        **({"extras": {"rmk": medicine.note}} if medicine.note else {}),
    }


def upload(facts: Facts) -> Document:
    """D003 without what the platform gives: the hospital's own pharmacist has checked it."""
    return {
        "mdtrtId": _visit(facts), "patnName": facts.name, "psnCertType": "01", "certno": facts.id_number,
        "fixmedinsName": facts.institution_name, "fixmedinsCode": facts.institution, "drCode": facts.physician,
        "prscDrName": facts.physician_name, "pharDeptName": "药剂科", "pharDeptCode": "A99", "pharProfttlCodg": "2.3",
        "pharProfttlName": "主管药师", "pharCode": "HY370100000001", "pharName": "示范药师",
        "pharChkTime": _time(max(facts.sent, facts.issued)),
    }


def query(facts: Facts, hi_rxno: str) -> Document:
    """D005, D006 and D007 ask the same."""
    return {"hiRxno": hi_rxno, "fixmedinsCode": facts.institution, "mdtrtId": _visit(facts), "psnName": facts.name,
            "psnCertType": "01", "certno": facts.id_number}


def _heard(answer: tuple[str, Document, bytes] | None) -> Heard | None:
    if answer is None:
        return None
    code, data, body = answer
    extras = data.get("extras", {})
    if code == CONFLICT:
        return Heard("conflict", body=body)
    if code not in (TAKEN, TOO_LATE):
        return Heard("refused", body=body)
    outcome = "waiting" if extras.get("unmapped") else "accepted"
    return Heard(outcome, str(extras.get("id", "")), str(extras.get("status", "")), body)


def _visit(facts: Facts) -> str:
    return facts.visit_number or f"V{facts.external_id}"


def _paper(number: str) -> bytes:
    """The prescription as a page: here only its number."""
    return f"%PDF-1.4\n% {number}\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n".encode()


def _time(at: datetime) -> str:
    return at.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S")


def _written(value: Document) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()

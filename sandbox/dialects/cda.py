"""WS/T 500.5 and 500.6 documents: pushed by SOAP, and every third one offered until the platform fetches it.

Written from the standard and the platform's WSDL alone, as text; SOAP by hand, so that the hospital needs no more than HTTP.
"""

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

import httpx
from fastapi import FastAPI, Request, Response

from sandbox.dialects import Heard, Installation, Line, Site
from sandbox.facts import Facts, Medicine
from sandbox.loopback import NO_CERTIFICATES

BEIJING = timezone(timedelta(hours=8))
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
SERVICE = "urn:sanyi:prescription:v1"
ELEMENTS = "2.16.156.10011.2.2.1"
SUPPLEMENT = "2.25.249319805440984658538752383164226057002"
XML = "text/xml; charset=utf-8"
FETCHED_WITHIN = 20.0
"""Seconds an offered document waits for the platform before the hospital looks at it again."""

FREQUENCIES = {
    "qd": ("1", "次/日"), "bid": ("2", "次/日"), "tid": ("3", "次/日"), "qid": ("4", "次/日"), "q6h": ("1", "次/6小时"),
    "q8h": ("1", "次/8小时"), "q12h": ("1", "次/12小时"), "qn": ("1", "次/晚"), "qod": ("1", "次/2日"), "qw": ("1", "次/周"),
    "biw": ("2", "次/周"), "tiw": ("3", "次/周"), "q2w": ("1", "次/2周"), "q4w": ("1", "次/4周"), "qmonth": ("1", "次/月"),
}
STATUSES = {
    "10": "received", "11": "audited", "20": "in_review", "21": "reviewed", "30": "allocating", "40": "fulfilling",
    "50": "fulfilled", "60": "settled", "70": "closed", "90": "refused", "91": "returned", "92": "cancelled",
    "93": "expired", "94": "cancel_refused", "95": "invalid",
}
"""The hospital's own codes for where a prescription is, in the words of its book."""


def install(site: Site) -> Installation:
    """Two tokens: what the hospital shows the platform, and what the platform shows the hospital."""
    token, report = site.key("token"), site.key("report token")
    name = site.slug.upper()
    return Installation(
        {f"SANYI_PARTNER_URLS__{name}": site.url, f"SANYI_PARTNER_SECRETS__{name}__TOKEN": token,
         f"SANYI_PARTNER_SECRETS__{name}__REPORT_TOKEN": report},
        {"TOKEN": token, "REPORT_TOKEN": report}, door=f"/soap/{site.slug}")


class Speaker:
    """A hospital on CDA; see `sandbox.dialects.Speaker`."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._own = f"urn:{line.slug}:exchange"
        """Namespace of the hospital's own service."""
        self._client = httpx.AsyncClient(base_url=line.gateway, timeout=15, trust_env=False, verify=NO_CERTIFICATES,
                                         headers={"Authorization": f"Bearer {line.secrets['TOKEN']}"})
        self._offered: dict[str, bytes] = {}
        """Documents the platform may fetch, the oldest first."""
        self._answered: dict[str, asyncio.Future[Heard]] = {}

    # Writing.

    def prescription(self, facts: Facts) -> bytes:
        return document(facts).encode()

    def changed(self, facts: Facts) -> bytes:
        return document(replace(facts, sent=facts.sent + timedelta(seconds=1))).encode()

    def broken(self, facts: Facts, number: int) -> bytes:
        """No patient; or a wrong check digit and no dose."""
        if number == 1:
            text = document(facts)
            start, end = text.index("<patient "), text.index("</patient>") + len("</patient>")
            return (text[:start] + text[end:]).encode()
        other = facts.id_number[:-1] + ("1" if facts.id_number[-1] != "1" else "2")
        text = document(replace(facts, id_number=other))
        start = text.index("<doseQuantity ")
        return (text[:start] + text[text.index("/>", start) + 2:]).encode()

    def cancel(self, facts: Facts, key: str, at: datetime) -> bytes:
        wish = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in (
            ("messageId", key), ("prescriptionNumber", facts.external_id), ("reason", "prescriber"),
            ("at", at.astimezone(BEIJING).isoformat(timespec="seconds"))))
        return _envelope(f'<CancelPrescription xmlns="{SERVICE}">{wish}</CancelPrescription>')

    # Sending, and being asked.

    async def send(self, body: bytes) -> Heard | None:
        if b"<CancelPrescription" in body[:400]:
            return await self._call("CancelPrescription", body)
        if _offers(body):
            return await self._offer(body)
        document = base64.b64encode(body).decode()
        return await self._call("SubmitPrescription", _envelope(
            f'<SubmitPrescription xmlns="{SERVICE}"><document>{document}</document></SubmitPrescription>'))

    async def where(self, facts: Facts) -> str:
        reply = await self._call("QueryStatus", _envelope(
            f'<QueryStatus xmlns="{SERVICE}"><prescriptionNumber>{facts.external_id}</prescriptionNumber></QueryStatus>'))
        return reply.status if reply else ""

    async def _call(self, operation: str, body: bytes) -> Heard | None:
        try:
            answer = await self._client.post(f"/soap/{self._line.slug}", content=body, headers={
                "Content-Type": XML, "SOAPAction": f'"{SERVICE}:{operation}"'})
        except httpx.HTTPError:
            return None
        try:
            content = _body(answer.content)
        except (ElementTree.ParseError, ValueError):
            return None
        if content.tag == f"{{{SOAP}}}Fault":
            # The server's own trouble passes; ours does not by itself.
            ours = (content.findtext("faultcode") or "").endswith(":Client")
            return Heard("refused", body=answer.content) if ours else None
        return _heard(content.find(f"{{{SERVICE}}}result"), answer.content)

    async def _offer(self, body: bytes) -> Heard | None:
        """Lay it out to be fetched, and wait for what the platform says to it."""
        ref = hashlib.sha256(body).hexdigest()[:24]
        waiting = self._answered.setdefault(ref, asyncio.get_running_loop().create_future())
        self._offered[ref] = body
        try:
            return await asyncio.wait_for(asyncio.shield(waiting), FETCHED_WITHIN)
        except TimeoutError:
            return None
        finally:
            if waiting.done():
                self._answered.pop(ref, None)

    # The hospital's own service.

    def doors(self, app: FastAPI) -> None:
        token = f"Bearer {self._line.secrets['REPORT_TOKEN']}"
        operations: dict[str, Callable[[ElementTree.Element], str]] = {
            "ListDocuments": self._list, "FetchDocument": self._fetch, "AcknowledgeDocument": self._acknowledge,
            "ReportStatus": self._report}

        @app.post("/exchange")
        async def exchange(request: Request) -> Response:
            if not hmac.compare_digest(request.headers.get("authorization", "").encode(), token.encode()):
                return _fault(401, "unauthorized")
            try:
                call = _body(await request.body())
                name = call.tag.removeprefix(f"{{{self._own}}}")
                inner = operations[name](call)
            except (ElementTree.ParseError, ValueError, KeyError, TypeError):
                return _fault(400, "not a call of this service")
            return Response(_envelope(f'<{name}Response xmlns="{self._own}">{inner}</{name}Response>'), media_type=XML)

    async def listen(self) -> None:
        """It listens to HTTP only."""

    def _list(self, call: ElementTree.Element) -> str:
        limit = int(self._text(call, "limit"))
        return "".join(f"<ref>{ref}</ref>" for ref in list(self._offered)[:limit])

    def _fetch(self, call: ElementTree.Element) -> str:
        body = self._offered[self._text(call, "ref")]
        return f"<document>{base64.b64encode(body).decode()}</document>"

    def _acknowledge(self, call: ElementTree.Element) -> str:
        ref, result = self._text(call, "ref"), call.find(f"{{{SERVICE}}}result")
        reply = _heard(result, ElementTree.tostring(result) if result is not None else b"")
        self._offered.pop(ref, None)
        waiting = self._answered.get(ref)
        if reply and waiting and not waiting.done():
            waiting.set_result(reply)
        return ""

    def _report(self, call: ElementTree.Element) -> str:
        status, reason = call.find(f"{{{self._own}}}status"), call.find(f"{{{self._own}}}reason")
        report: dict[str, Any] = {
            "key": self._text(call, "key"), "prescription": self._text(call, "prescriptionNumber"),
            "id": self._text(call, "platformId"), "at": self._text(call, "at"), "words": self._text(call, "reason"),
            "reason": reason.get("code", "") if reason is not None else "",
            "status": STATUSES[status.get("code", "") if status is not None else ""]}
        for name in ("pickup", "money"):
            if (element := call.find(f"{{{self._own}}}{name}")) is not None:
                report[name] = {key: value for key, value in element.attrib.items() if key != "currency"}
        if page := self._text(call, "patientPage"):
            report["patient_page"] = page
        if (handed := call.find(f"{{{self._own}}}dispense")) is not None:
            report["dispense"] = {**handed.attrib, "lines": [
                {"line": int(line.attrib["number"]), "name": line.text or "", "days": int(line.attrib["days"]),
                 "returned": {"true": True, "false": False}[line.attrib["returned"]],
                 **{name: line.attrib[name] for name in ("item", "drug", "quantity", "unit")}}
                for line in handed.iterfind(f"{{{self._own}}}line")]}
        if findings := call.findall(f"{{{self._own}}}finding"):
            report["findings"] = [{"code": finding.get("code"), "severity": finding.get("severity"), "text": finding.text or ""}
                                  for finding in findings]
        self._line.hear(report["key"], report)
        return ""

    def _text(self, call: ElementTree.Element, name: str) -> str:
        return (call.findtext(f"{{{self._own}}}{name}") or "").strip()


def _offers(body: bytes) -> bool:
    """Whether a document waits to be fetched: every third one, by the number of its prescription."""
    root = ElementTree.fromstring(body)  # noqa: S314  we wrote it
    number = root.find(f".//{{urn:hl7-org:v3}}id[@root='{NUMBER}']")
    return number is not None and number.get("extension", "")[-1:] in ("3", "6", "9")


def _heard(result: ElementTree.Element | None, body: bytes) -> Heard | None:
    if result is None:
        return None
    texts = {name: result.findtext(f"{{{SERVICE}}}{name}") or "" for name in ("outcome", "prescriptionId", "status")}
    return Heard(texts["outcome"], texts["prescriptionId"], texts["status"], body)


def _body(raw: bytes) -> ElementTree.Element:
    """The one element of a SOAP body."""
    envelope = ElementTree.fromstring(raw)  # noqa: S314  the platform's own words; expat bounds its entities
    body = envelope.find(f"{{{SOAP}}}Body")
    if body is None or len(body) != 1:
        raise ValueError("no SOAP body")
    return body[0]


def _envelope(inner: str) -> bytes:
    return (f'<?xml version="1.0" encoding="UTF-8"?><soap:Envelope xmlns:soap="{SOAP}"><soap:Body>{inner}'
            "</soap:Body></soap:Envelope>").encode()


def _fault(status: int, text: str) -> Response:
    return Response(_envelope(f"<soap:Fault><faultcode>soap:Client</faultcode><faultstring>{text}</faultstring></soap:Fault>"),
                    status, media_type=XML)


# The document.

NUMBER = "2.16.156.10011.1.20"


def document(facts: Facts) -> str:
    """A prescription of WS/T 500.5, or of 500.6 where every medicine is Chinese."""
    chinese = all(medicine.kind != "western" for medicine in facts.medicines)
    template, code, title = ("25", "C0005", "中药处方") if chinese else ("24", "C0004", "西药处方")
    ids = {name: _id(root, value) for name, root, value in (
        ("document", "1.1", facts.key), ("number", "1.20", facts.external_id), ("person", "1.3", facts.id_number),
        ("institution", "1.5", facts.institution), ("author", "1.7", facts.physician), ("visit", "1.11", facts.visit_number),
        ("department", "1.26", facts.department))}
    visit = ids["visit"] if facts.visit_number else ""
    diagnoses = "".join(_entry("DE05.01.024.00", f'<value xsi:type="CD" code={quoteattr(diagnosis.code)} '
                               f'codeSystem="2.16.156.10011.2.3.3.11" displayName={quoteattr(diagnosis.name)}/>')
                        for diagnosis in facts.diagnoses)
    kinds = list(dict.fromkeys(medicine.kind for medicine in facts.medicines))
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<realmCode code="CN"/><typeId root="2.16.840.1.113883.1.3" extension="POCD_MT000040"/>
<templateId root="2.16.156.10011.2.1.1.{template}"/>{ids["document"]}
<code code="{code}" codeSystem="2.16.156.10011.2.4"/><title>{title}</title><effectiveTime value="{_time(facts.sent)}"/>
<confidentialityCode code="N" codeSystem="2.16.840.1.113883.5.25"/><languageCode code="zh-CN"/><setId/><versionNumber value="1"/>
<recordTarget><patientRole>{visit}{ids["number"]}<addr>{escape(facts.address)}</addr><telecom value="tel:{facts.phone}"/>
<patient classCode="PSN">{ids["person"]}<name>{escape(facts.name)}</name>
<administrativeGenderCode code="{1 if facts.male else 2}" codeSystem="2.16.156.10011.2.3.3.4"/>
<birthTime value="{facts.born:%Y%m%d}"/></patient>
<providerOrganization>{ids["department"]}<name>{escape(facts.department_name)}</name></providerOrganization>
</patientRole></recordTarget>
<author><time value="{_time(facts.issued)}"/><assignedAuthor>{ids["author"]}<code code="{facts.title}"/>
<assignedPerson><name>{escape(facts.physician_name)}</name></assignedPerson></assignedAuthor></author>
<custodian><assignedCustodian><representedCustodianOrganization>{ids["institution"]}<name>{escape(facts.institution_name)}</name>
</representedCustodianOrganization></assignedCustodian></custodian>
<component><structuredBody>
{_section("29548-5", diagnoses)}
{"".join(_section("10160-0", _medication(facts, kind)) for kind in kinds)}
{_section("supplement", "".join(_supplement(facts)), SUPPLEMENT)}
</structuredBody></component></ClinicalDocument>
"""


def _medication(facts: Facts, kind: str) -> str:
    entries = "".join(_drug(facts, line, medicine) for line, medicine in enumerate(facts.medicines, 1) if medicine.kind == kind)
    rest = _entry("DE06.00.294.00", f'<value xsi:type="PQ" value="{facts.valid_days}" unit="天"/>')
    if facts.note:
        rest += _entry("DE06.00.179.00", f'<value xsi:type="ST">{escape(facts.note)}</value>')
    if kind != "western":
        category = ("1", "中药饮片处方") if kind == "tcm_piece" else ("2", "中成药处方")
        if facts.decoction and kind == "tcm_piece":
            rest += _decoction(*facts.decoction)
        rest += _entry("DE08.50.032.00", f'<value xsi:type="CD" code="{category[0]}" displayName="{category[1]}"/>')
    return entries + rest


METHODS = {"decoct": "水煎服", "decoct-by-pharmacy": "代煎"}


def _decoction(doses: int, method: str, times: int) -> str:
    """How many doses (剂), made and taken how; in the hospital's words."""
    inner = "".join(
        f'<entryRelationship typeCode="COMP"><observation classCode="OBS" moodCode="EVN"><code code="{code}" '
        f'codeSystem="{ELEMENTS}"/>{value}</observation></entryRelationship>' for code, value in (
            ("DE08.50.050.00", f'<value xsi:type="PQ" value="{doses}" unit="剂"/>'),
            ("DE08.50.047.00", f'<value xsi:type="ST">{METHODS[method]}</value>'),
            ("DE06.00.136.00", f'<value xsi:type="ST">每日分{times}次温服</value>')))
    return ('<entry><observation classCode="OBS" moodCode="EVN">'
            f'<code code="DE08.50.049.00" codeSystem="{ELEMENTS}"/><value xsi:type="ST">详见明细</value>'
            f"{inner}</observation></entry>")


def _drug(facts: Facts, line: int, item: Medicine) -> str:
    times, per = FREQUENCIES[item.frequency]
    directions = f"<text>{escape(item.directions)}</text>" if item.directions else ""
    statements = "".join(
        '<entryRelationship typeCode="COMP"><observation classCode="OBS" moodCode="EVN">'
        f'<code code="{code}" codeSystem="{system}"/>{value}</observation></entryRelationship>' for code, system, value, told in (
            ("DE06.00.179.00", ELEMENTS, f'<value xsi:type="ST">{escape(item.note)}</value>', item.note),
            ("approval", SUPPLEMENT, f'<value xsi:type="CD" code="{item.approval}"/>', item.approval)) if told)
    return f"""<entry><substanceAdministration classCode="SBADM" moodCode="EVN"><id extension="{facts.external_id}-{line}"/>
{directions}<effectiveTime xsi:type="IVL_TS"><width value="{item.days}" unit="天"/></effectiveTime>
<routeCode code="1" codeSystem="2.16.156.10011.2.3.1.158" displayName="口服"/>
<doseQuantity value="{item.amount}" unit="{item.dose_unit}"/>
<rateQuantity value="{times}" unit="{per}"/>
<consumable><manufacturedProduct><manufacturedLabeledDrug><code code="ZY{item.drug[1:].zfill(4)}"/><name>{escape(item.name)}</name>
</manufacturedLabeledDrug></manufacturedProduct></consumable>
<entryRelationship typeCode="COMP"><observation classCode="OBS" moodCode="EVN">
<code code="DE06.00.135.00" codeSystem="{ELEMENTS}"/><value xsi:type="PQ" value="{item.quantity}" unit="{item.unit}"/>
</observation></entryRelationship>{statements}</substanceAdministration></entry>
"""


def _supplement(facts: Facts) -> Iterable[str]:
    extras = [("prescription-kind", "CD", "long_term"), ("visit-class", "CD", "VR"),
            ("visit-type", "CD", "follow-up" if facts.proof_issued else "first"),
            ("handover", "CD", "home" if facts.home else "pickup"), ("insutype", "CD", facts.insutype),
            ("insured-place", "CD", facts.insured_place), ("district", "CD", facts.district),
            ("latitude", "REAL", facts.latitude), ("longitude", "REAL", facts.longitude),
            ("independent-years", "INT", str(facts.physician_years)), ("extend-reason", "ST", facts.extend_reason),
            ("long-term-assessed", "BL", "true"), ("patient-acknowledged", "BL", "true")]
    if facts.valid_reason:
        extras.append(("valid-reason", "ST", facts.valid_reason))
    extras += [("allergy-words", "ST", words) for words in facts.allergy_words]
    if facts.no_known_allergies:
        extras.append(("no-known-allergies", "BL", "true"))
    if facts.chronic_disease:
        extras.append(("chronic-disease", "CD", facts.chronic_disease))
    if facts.proof_issued:
        extras.append(("proof-issued", "TS", f"{facts.proof_issued:%Y%m%d}"))
        extras += [("proof-diagnosis", "CD", diagnosis.code[:3]) for diagnosis in facts.diagnoses]
    for code, kind, value in extras:
        text = f'<value xsi:type="ST">{escape(value)}</value>' if kind == "ST" else (
            f'<value xsi:type="{kind}" {"code" if kind == "CD" else "value"}={quoteattr(value)}/>')
        yield _entry(code, text, SUPPLEMENT)


def _section(code: str, entries: str, system: str = "2.16.840.1.113883.6.1") -> str:
    return f'<component><section><code code="{code}" codeSystem="{system}"/><text/>\n{entries}</section></component>\n'


def _entry(code: str, value: str, system: str = ELEMENTS) -> str:
    return (f'<entry><observation classCode="OBS" moodCode="EVN"><code code="{code}" codeSystem="{system}"/>'
            f"{value}</observation></entry>\n")


def _id(root: str, value: str) -> str:
    return f'<id root="2.16.156.10011.{root}" extension={quoteattr(value)}/>'


def _time(at: datetime) -> str:
    return f"{at.astimezone(BEIJING):%Y%m%d%H%M%S}"

"""Documents of WS/T 500 of the hospital of Chinese medicine, changed in one place, and what the adapter finds in them."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from adapters.dialects import cda, cda_soap
from adapters.hospitals.jinan_tcm.adapter import Adapter
from adapters.mapping import CodeMap, read_tables
from adapters.messages import Message
from adapters.registry import manifest
from domain.errors import InvalidPayload
from domain.findings import Finding
from fhir_profiles.checker import check_data
from fhir_profiles.reader import read_bundle_data
from tests.support.fakes import Replay

SLUG = "jinan_tcm"


FOLDER = Path(__file__).parents[2] / "adapters" / "hospitals" / SLUG


SAMPLES = FOLDER / "samples"


CODES = read_tables(FOLDER)


PIECES = CODES.with_accepted([("drug", f"ZYP00{number}", f"P{number}") for number in (1, 2, 3)])


OWN = "urn:jinan_tcm:exchange"


AT = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)


def adapter(line: Any = None) -> Adapter:
    return Adapter(manifest("hospitals", SLUG), line or Replay(), {"report_token": "MARK-token"})


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


def checked(raw: bytes, codes: CodeMap = CODES) -> tuple[Message | None, Sequence[Finding]]:
    """The message, and every finding with its spot, as intake has them."""
    try:
        message = adapter().to_fhir(raw, codes)
    except InvalidPayload as invalid:
        return None, invalid.findings
    told = {one.spot for one in (*message.findings, *message.unmapped)}
    found = [replace(one, spot=message.locate(one.path)) for one in check_data(message.resource, SLUG)]
    return message, [*message.findings, *(one for one in found if one.spot not in told)]


def admitted(raw: bytes, codes: CodeMap = CODES) -> Any:
    message, findings = checked(raw, codes)
    assert message
    assert not findings
    assert not message.unmapped
    return read_bundle_data(message.resource, SLUG, lambda _: "pt_1")


def lines(raw: bytes, needle: str) -> int:
    """The number of the first line with that text."""
    return next(number for number, line in enumerate(raw.decode().splitlines(), 1) if needle in line)


# What would change the prescription is never passed over.

_DRUG = re.compile(r"<entry>\s*(<substanceAdministration.*?</substanceAdministration>)\s*</entry>", re.DOTALL)


_TOTAL = re.compile(r"<entryRelationship typeCode=\"COMP\">\s*<observation[^>]*>\s*<code code=\"DE06.00.135.00\".*?"
                    r"</entryRelationship>", re.DOTALL)


def twice(pattern: str) -> tuple[str, str]:
    return f"({pattern})", r"\1\1"


CHANGES: dict[str, list[tuple[str, str]]] = {
    "CDA_NEGATED": [
        ("<substanceAdministration ", '<substanceAdministration negationInd="true" '),
        ("<substanceAdministration ", '<substanceAdministration negationInd="1" '),
        ("<observation ", '<observation negationInd="true" '),
        ('<entryRelationship typeCode="COMP"', '<entryRelationship negationInd="true" typeCode="COMP"')],
    "CDA_STATUS": [("(<substanceAdministration [^>]*>)", rf'\1<statusCode code="{code}"/>')
                   for code in ("aborted", "cancelled", "held", "suspended", "nullified", "obsolete", "xyz")] + [
        ("<substanceAdministration ", '<substanceAdministration nullFlavor="NA" ')],
    "CDA_MOOD": [('<substanceAdministration classCode="SBADM" moodCode="EVN"',
                  f'<substanceAdministration classCode="SBADM" {mood}')
                 for mood in ('moodCode="PRP"', 'moodCode="GOL"', 'moodCode="DEF"', 'moodCode="INT.CRT"', "")],
    "CDA_UNREACHED": [
        (_DRUG.pattern, r'<entry><organizer classCode="CLUSTER" moodCode="EVN"><component>\1</component></organizer></entry>'),
        (_DRUG.pattern, r'<entry><act classCode="ACT" moodCode="EVN"><entryRelationship>\1</entryRelationship></act></entry>'),
        (f"({_DRUG.pattern})", r"<component><section>\1</section></component>"),
        (r"(</manufacturedProduct>\s*</consumable>)", r'\1<entryRelationship><substanceAdministration classCode="SBADM" '
         r'moodCode="EVN"/></entryRelationship>'),
        (r"(</manufacturedProduct>\s*</consumable>)", r'\1<x xmlns="urn:x"><substanceAdministration/></x>'),
        (r"(</manufacturedProduct>\s*</consumable>)", r'\1<entryRelationship><supply classCode="SPLY" moodCode="INT">'
         r'<quantity value="600"/></supply></entryRelationship>'),
        (r"(<observation [^>]*>\s*<code code=\"DE05.01.024.00\".*?</observation>)",
         r"\1</entry><entry><organizer><component>\1</component></organizer>"),
        (r"<entry>(\s*<observation [^>]*>\s*<code code=\"district\".*?</observation>\s*)</entry>",
         r"<entry><organizer><component>\1</component></organizer></entry>"),
        (_TOTAL.pattern, r"<entryRelationship><organizer><component><observation><code code='DE06.00.135.00' "
         r"codeSystem='2.16.156.10011.2.2.1'/></observation></component></organizer></entryRelationship>")],
    "CDA_REPEATED": [
        twice("<recordTarget.*?</recordTarget>"), twice("<author .*?</author>"), twice("<doseQuantity[^>]*/>"),
        ("(<doseQuantity[^>]*/>)", r'\1<doseQuantity value="9999" unit="mg"/>'), twice("<routeCode[^>]*/>"),
        twice("<rateQuantity[^>]*/>"), twice("<effectiveTime xsi.*?</effectiveTime>"), twice("<consumable>.*?</consumable>"),
        twice("<manufacturedLabeledDrug>.*?</manufacturedLabeledDrug>"), twice('<code code="ZY0001"/>'), twice(_TOTAL.pattern),
        twice('<value xsi:type="PQ"[^>]*/>'), twice('<id root="2.16.156.10011.1.20"[^>]*/>'),
        twice('<id root="2.16.156.10011.1.3"[^>]*/>'), twice('<versionNumber value="1"/>'),
        (r'(<entry>\s*<observation [^>]*>\s*<code code="handover".*?</entry>)', r"\1\1"),
        (r"(<component>\s*<structuredBody>)", r"<component><nonXMLBody><text>x</text></nonXMLBody></component>\1"),
        twice("<section>.*?</section>")],
    "CDA_UNREAD": [("(<doseQuantity[^>]*/>)", rf"\1{other}") for other in (
        '<maxDoseQuantity><numerator value="1"/></maxDoseQuantity>', '<approachSiteCode code="1"/>',
        "<precondition><criterion><text>x</text></criterion></precondition>",
        '<subject><relatedSubject classCode="PRS"/></subject>', "x",
        '<participant typeCode="CSM"><participantRole/></participant>', '<x xmlns="urn:x">1</x>')] + [
        ("(<routeCode [^>]*/>)", r'<repeatNumber value="3"/>\1'),
        ("<doseQuantity[^>]*/>", '<doseQuantity value="500" unit="mg"><low value="5"/><high value="5000"/></doseQuantity>'),
        ('<doseQuantity value="500"', '<doseQuantity nullFlavor="UNK" value="500"'),
        ('<width value="30" unit="天"/>', '<low value="20270101"/><width value="30" unit="天"/>'),
        ('(<birthTime|<age )', r'<raceCode code="1"/>\1'), ('(<age )', r'<ethnicGroupCode code="01" displayName="x"/>\1'),
        ("(<manufacturedProduct>)", r'\1<id extension="1"/>'),
        ("(</manufacturedLabeledDrug>)", r"\1<manufacturerOrganization><name>x</name></manufacturerOrganization>"),
        ('(<id root="2.16.156.10011.1.11"[^>]*/>)', r'\1<id root="2.16.156.10011.1.19" extension="1"/>'),
        ("(</recordTarget>)", r'\1<participant typeCode="IND"><associatedEntity><id extension="1"/></associatedEntity>'
         "</participant>"),
        ('<section>\\s*<code code="48768-6"', '<section><code code="11348-0"'),
        ('<content revised="delete">|<text/>', '<text><content revised="delete">x</content></text>')],
    "CDA_CONTRADICTION": [
        ("<title>西药处方", "<title>中药处方"),
        ('<routeCode code="1"', '<routeCode displayName="皮下注射" code="1"'),
        ("<administrativeGenderCode ", '<administrativeGenderCode displayName="女性" '),
        (r"(<value xsi:type=\"PQ\" value=\"1\" unit=\"天\"/>\s*</observation>\s*</entry>)",
         r'\1<entry><observation classCode="OBS" moodCode="EVN"><code code="DE06.00.294.00" codeSystem="2.16.156.10011.2.2.1"/>'
         '<value xsi:type="PQ" value="3" unit="天"/></observation></entry>'),
        ('H37010000003"/>', 'H37010000001"/>'), ("(<name>示范患者甲</name>)", r"\1<name>示范患者丁</name>"),
        ("(<addr>[^<]*</addr>)", r"\1<addr>示范路2号</addr>"),
        ('(<telecom value="[^"]*"/>)', r'\1<telecom value="tel:19900000009"/>'),
        ("<name>示范患者甲</name>", "<name>示范患者甲<family>示范</family><given>患者丁</given></name>"),
        (r'(<templateId root="2.16.156.10011.2.1.1.24"/>)', r'\1<templateId root="2.16.156.10011.2.1.1.25"/>'),
        ("(<custodian )", r'<componentOf><encompassingEncounter><id root="2.16.156.10011.1.11" extension="MZ9"/>'
         r"</encompassingEncounter></componentOf>\1")],
    "CDA_FIXED": [
        ('<substanceAdministration classCode="SBADM"', '<substanceAdministration classCode="ENC"'),
        ('xsi:type="IVL_TS"', 'xsi:type="PIVL_TS"'), ('xsi:type="PQ" value="60"', 'xsi:type="INT" value="60"'),
        ('codeSystem="2.16.156.10011.2.3.3.11"', 'codeSystem="2.16.840.1.113883.6.90"'),
        ('codeSystem="2.16.156.10011.2.3.1.158"', 'codeSystem="1.2.3"'),
        ('codeSystem="2.16.156.10011.2.3.3.4"', 'codeSystem="1.2"'),
        ('<entryRelationship typeCode="COMP"', '<entryRelationship typeCode="RSON"'), ('"2.16.156.10011.2.4"', '"1.2"')],
    "CDA_UNIT": [
        ('<width value="30" unit="天"', '<width value="1" unit="月"'), ('<width value="30" unit="天"', '<width value="30"'),
        ('value="1" unit="天"', 'value="1" unit="次"'), ('<age value="68" unit="岁"', '<age value="68"')],
    "CDA_AGE": [('<age value="68" unit="岁"', f'<age value="{value}" unit="{unit}"') for value, unit in (
        ("67", "岁"), ("69", "岁"), ("3", "天"), ("0", "岁"), ("68", "月"), ("2", "小时"), ("x", "岁"))],
    "CDA_NOT_CURRENT": [
        ("<addr>", '<addr use="BAD">'), ("<addr>", '<addr use="H BAD">'), ("<telecom ", '<telecom use="OLD" '),
        ("<name>示范患者甲", '<name use="P">示范患者甲'),
        ("<name>示范患者甲", '<name>示范患者甲<validTime><high value="20260101"/></validTime>'),
        ("(<addr>[^<]*)", r'\1<useablePeriod xsi:type="IVL_TS"><low value="2027"/></useablePeriod>')],
    "CDA_DECEASED": [("(<age )", rf'<s:{said} xmlns:s="urn:hl7-org:sdtc" value="{value}"/>\1') for said, value in (
        ("deceasedInd", "true"), ("deceasedInd", "1"), ("deceasedTime", "20261101"))] + [
        ("(<age )", r'<deceasedInd value="true"/>\1')],
    "CDA_TITLE": [("<title>西药处方", f"<title>{title}") for title in ("作废 西药处方", "病历", "西药处方（草稿）", "非处方")],
    "CDA_CONFIDENTIAL": [('<confidentialityCode code="N"', f'<confidentialityCode code="{code}"') for code in ("R", "V", "x")],
    "CDA_SIGNATURE": [("(<relatedDocument )", rf"<legalAuthenticator>{inner}</legalAuthenticator>\1") for inner in (
        "<signatureText>signed</signatureText>", '<time value="20261122085900"/><signatureText>c2lnbmVk</signatureText>',
        '<signatureCode code="X"/>', f"<signatureText>{'QUJD' * 40}</signatureText>")],
    "CDA_REPLACES": [
        ('<relatedDocument typeCode="RPLC">\\s*<parentDocument>', f'<relatedDocument typeCode="{kind}"><parentDocument>{said}')
        for kind, said in (("RPLC", '<setId extension="DOC0"/>'), ("APND", '<id extension="DOC0"/>'),
                           ("XFRM", '<versionNumber value="2"/>'))],
}


def changed(old: str, new: str, name: str = "western.xml") -> bytes:
    """A sample with one place changed."""
    text = sample(name).decode()
    assert old in text
    return text.replace(old, new, 1).encode()


PATIENT = "<name>示范患者甲</name>"
ADDRESS, PHONE = "<addr>示范市示范区示范路1号</addr>", '<telecom value="tel:19900000001"/>'


def observation(code: str, kind: str, value: str, system: str = cda.SUPPLEMENT, more: str = "") -> str:
    text = f'<value xsi:type="ST">{value}</value>' if kind == "ST" else (
        f'<value xsi:type="{kind}" {"code" if kind == "CD" else "value"}="{value}"/>')
    return (f'<observation classCode="OBS" moodCode="EVN"><code code="{code}" codeSystem="{system}"/>{more}{text}</observation>')


def section(code: str, inner: str) -> bytes:
    start = '<component>\n        <section>\n          <code code="48768-6"'
    return changed(start, f'<component><section><code code="{code}" codeSystem="{cda.LOINC}"/>{inner}</section></component>{start}')


# The poll.

def soap(name: str, inner: str = "") -> bytes:
    return cda_soap.envelope(f'<{name} xmlns="{OWN}">{inner}</{name}>'.encode())

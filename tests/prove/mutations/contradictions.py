"""Two statements of one fact that cannot both be true, in each dialect: each message must be refused."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Pair:
    """What is said twice, and how a sample is made to say two things."""

    dialect: str
    sample: str
    fact: str
    change: Callable[[bytes], bytes]


def pairs() -> list[Pair]:
    return [*_fhir(), *_erx(), *_cda(), *_hl7(), *_box()]


def _text(*changes: tuple[str, str], encoding: str = "utf-8") -> Callable[[bytes], bytes]:
    """Each text is there and replaced, all its occurrences."""
    def change(raw: bytes) -> bytes:
        text = raw.decode(encoding)
        for old, new in changes:
            if old not in text:
                raise ValueError(f"the sample does not hold {old!r} any more")
            text = text.replace(old, new)
        return text.encode(encoding)
    return change


def _json(change: Callable[[Any], object]) -> Callable[[bytes], bytes]:
    def changed(raw: bytes) -> bytes:
        message = json.loads(raw)
        change(message)
        return json.dumps(message, ensure_ascii=False).encode()
    return changed


def _of(message: Any, kind: str) -> list[Any]:
    return [entry["resource"] for entry in message["entry"] if entry["resource"]["resourceType"] == kind]


def _fhir() -> Iterator[Pair]:
    def dose(message: Any) -> Any:
        return _of(message, "MedicationRequest")[0]["dosageInstruction"][0]["doseAndRate"][0]["doseQuantity"]

    def first(message: Any) -> Any:
        return _of(message, "MedicationRequest")[0]

    table: list[tuple[str, Callable[[Any], object]]] = [
        ("unit and code of a dose", lambda m: dose(m).update(system="http://unitsofmeasure.org", code="g")),
        ("unit and code of a quantity", lambda m: first(m)["dispenseRequest"]["quantity"].update(
            system="http://unitsofmeasure.org", code="mg")),
        ("unit and code of a supply", lambda m: first(m)["dispenseRequest"]["expectedSupplyDuration"].update(unit="周")),
        ("sex and id number", lambda m: _of(m, "Patient")[0].update(
            gender={"male": "female", "female": "male"}[_of(m, "Patient")[0]["gender"]])),
        ("birth date and id number", lambda m: _of(m, "Patient")[0].update(birthDate="1990-01-01")),
        ("directions and frequency", lambda m: first(m)["dosageInstruction"][0].update(text="口服 每日4次 每次1片")),
        ("issue and validity", lambda m: first(m)["dispenseRequest"]["validityPeriod"].update(start="2026-11-21T08:58:00+08:00")),
        ("an allergy and none known", lambda m: _of(m, "Patient")[0].setdefault("extension", []).extend([
            {"url": "https://sanyi.example/fhir/StructureDefinition/allergy-group", "valueCode": "AL01"},
            {"url": "https://sanyi.example/fhir/StructureDefinition/no-known-allergies", "valueBoolean": True}])),
        ("alive and deceased", lambda m: _of(m, "Patient")[0].update(deceasedBoolean=True)),
        ("active and cancelled", lambda m: first(m).update(status="cancelled")),
        ("frequency code and timing", lambda m: first(m)["dosageInstruction"][0]["timing"].update(
            repeat={"frequency": 9, "period": 1, "periodUnit": "d"})),
    ]
    for fact, change in table:
        yield Pair("fhir-r4-push", "long_term.json", fact, _json(change))


def _erx() -> Iterator[Pair]:
    def item(m: Any) -> Any:
        return m["D001"]["rxdrugdetail"][0]

    def visit(m: Any) -> Any:
        return m["D001"]["mdtrtinfo"]

    table: list[tuple[str, Callable[[Any], object]]] = [
        ("age and id number", lambda m: visit(m).update(patnAge="12")),
        ("sex and id number", lambda m: visit(m).update(gend={"1": "2", "2": "1"}[visit(m)["gend"]])),
        ("count and lines", lambda m: m["D001"].update(rxDrugCnt="7")),
        ("days valid and end of validity", lambda m: m["D001"].update(valiDays="3")),
        ("days' supply and end of the course", lambda m: item(m).update(medcEndtime="2027-11-22 08:58:00")),
        ("frequency code and its name", lambda m: item(m).update(usedFrquName="每周一次")),
        ("route code and its name", lambda m: item(m).update(medcWayDscr="静脉注射")),
        ("credential and person", lambda m: m["D001"].update(mdtrtCertNo="370102196001010016")),
        ("kind and its name", lambda m: item(m).update(rxItemTypeName="中药饮片")),
    ]
    for fact, change in table:
        yield Pair("erx", "long_term.json", fact, _json(change))


def _cda() -> Iterator[Pair]:
    table: list[tuple[str, tuple[tuple[str, str], ...]]] = [
        ("age and id number", (('<age value="68" unit="岁"/>', '<age value="8" unit="岁"/>'),)),
        ("sex and id number", (('<administrativeGenderCode code="1"', '<administrativeGenderCode code="2"'),)),
        ("alive and deceased", (("<name>示范患者甲</name>", "<name>示范患者甲</name>"
                                 '<sdtc:deceasedInd xmlns:sdtc="urn:hl7-org:sdtc" value="true"/>'),)),
        ("document and the one it replaces", (("<author typeCode", '<relatedDocument typeCode="RPLC"><parentDocument>'
                                               '<id root="2.16.156.10011.1.1" extension="OLD"/></parentDocument></relatedDocument>'
                                               "<author typeCode"),)),
    ]
    for fact, changes in table:
        yield Pair("cda", "western.xml", fact, _text(*changes))


def _hl7() -> Iterator[Pair]:
    gb = "gb18030"
    table: list[tuple[str, tuple[tuple[str, str], ...]]] = [
        ("sex and id number", (("|19580302|M|", "|19580302|F|"),)),
        ("birth date and id number", (("|19580302|", "|19900101|"),)),
        ("two observations of one fact", (
            ("\rORC|", "\rOBX|1|CE|LACT^哺乳^99JZOBX||N||||||F\rOBX|2|CE|LACT^哺乳^99JZOBX||Y||||||F\rORC|"),)),
        ("alive and deceased", (("^^^^^^^^^19900000001", "^^^^^^^^^19900000001" + "|" * 17 + "Y"),)),
        ("frequency code and its name", (("BID&每日2次", "BID&每周1次"),)),
        ("new and cancelled", (("ORC|NW|RXC0001-1^JZHIS||RXC0001^JZHIS||", "ORC|NW|RXC0001-1^JZHIS||RXC0001^JZHIS|CA|"),)),
        ("whole and a fragment", (("JZ20261122000001|P|2.5.1||", "JZ20261122000001|P|2.5.1||7"),)),
        ("dose unit and its name", (("|MG^^99JZUNIT|", "|MG^克^99JZUNIT|"),)),
        ("frequency of TQ1 and RXE-1", (("RXE||", "RXE|^QD^^20261122|"),)),
    ]
    for fact, changes in table:
        yield Pair("hl7v2", "rde_long_term.hl7", fact, _text(*changes, encoding=gb))


def _box() -> Iterator[Pair]:
    def second(column: str, value: str) -> Callable[[bytes], bytes]:
        """The second row of the prescription says something else in a column of the whole paper."""
        def change(raw: bytes) -> bytes:
            head, *rows = raw.decode("gb18030").split("\r\n")
            at, cells = head.split(",").index(column), rows[1].split(",")
            cells[at] = value
            return "\r\n".join([head, rows[0], ",".join(cells), *rows[2:]]).encode("gb18030")
        return change

    for column, value in (("姓名", "另一位患者"), ("性别", "女"), ("出生日期", "1990-01-01"), ("开方时间", "2026-11-21 08:58:00"),
                          ("有效天数", "3"), ("住址", "示范市另一路9号"), ("诊断编码", "I10.x00"), ("医师编码", "D370100000009"),
                          ("处方类型", "普通"), ("取药方式", "配送")):
        yield Pair("dropbox", "long_term.csv", f"two rows of one paper: {column}", second(column, value))
    gb = "gb18030"
    yield Pair("dropbox", "long_term.csv", "sex and id number", _text((",男,", ",女,"), encoding=gb))
    yield Pair("dropbox", "long_term.csv", "birth date and id number", _text((",1958-03-02,", ",1990-01-01,"), encoding=gb))

"""Inputs that cost much to read, for each door: found by people who attacked the product, and their relatives by a seed."""

import io
import json
import random
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Input:
    """One thing to send to a door."""

    door: str
    """`erx`, `signed` (the data of a signed 电子处方), `fhir-json`, `fhir-xml`, `soap` (the envelope), `cda` (the document in
    it), `mllp`, `box`; `box-xml` and `box-xlsx` for relatives of those files."""
    name: str
    """For the report; of a file, also its ending."""
    raw: bytes = field(repr=False)


def inputs(samples: dict[str, bytes], seed: int) -> list[Input]:
    """Every known input, and one smaller or larger relative of each. `samples` holds a good message of each door."""
    dice = random.Random(seed)
    made = [one for factory in (_erx, _signed, _fhir_json, _fhir_xml, _soap, _hl7, _box) for one in factory(samples, dice)]
    return [*made, *fuzzed(samples, dice, 4)]


def fuzzed(samples: dict[str, bytes], dice: random.Random, each: int) -> list[Input]:
    """Good messages cut off, with bytes turned over, and with a piece repeated many times."""
    found = []
    for door, raw in samples.items():
        for number in range(each):
            start, length = dice.randrange(len(raw)), dice.randrange(1, 400)
            piece = raw[start:start + length]
            times = dice.randrange(2, max(3, 400_000 // max(1, len(piece))))
            twin = bytearray(raw)
            for _ in range(dice.randrange(1, 20)):
                twin[dice.randrange(len(twin))] = dice.randrange(256)
            found += [Input(door, f"cut off {number}", raw[:start]), Input(door, f"bytes turned over {number}", bytes(twin)),
                      Input(door, f"a piece repeated {number}", raw[:start] + piece * times + raw[start:])]
    return found


def about(dice: random.Random, size: int) -> int:
    """A size near that one: half of it to all of it."""
    return dice.randrange(size // 2, size + 1)


def _erx(samples: dict[str, bytes], dice: random.Random) -> Iterator[Input]:
    def nested(keys: int, size: int) -> bytes:
        inner = "[" + ",".join(["1"] * (size // 2)) + "]"
        for number in range(keys):
            inner = f'{{"{"k" * 36}{number:04d}":{inner}}}'
        return f'{{"appId":"x","b":{inner}}}'.encode()

    yield Input("erx", "38 nested keys around many numbers", nested(38, about(dice, 1_000_000)))
    yield Input("erx", "242 kB of the same", nested(38, 242_000))
    yield Input("erx", "brackets", b'{"appId":"x","a":' + b"[" * about(dice, 500_000))
    yield Input("erx", "many members", json.dumps({f"k{n}": n for n in range(about(dice, 60_000))}).encode())
    yield Input("erx", "a long member", b'{"appId":"' + b"x" * about(dice, 1_000_000) + b'"}')
    yield Input("erx", "one key a million times", b'{"appId":"x"' + b',"a":1' * about(dice, 150_000) + b"}")
    known = json.loads(samples["erx"])
    for name, blob in (("junk as encData", "A" * about(dice, 900_000)), ("hex as encData", "0f" * about(dice, 400_000))):
        yield Input("erx", f"{name} under a known sender's name", json.dumps(known | {"encData": blob}).encode())


def _signed(samples: dict[str, bytes], dice: random.Random) -> Iterator[Input]:
    good = json.loads(samples["signed"])

    def changed(**members: Any) -> bytes:
        return json.dumps(good | {"hospRxno": f"H{dice.randrange(10**9)}"} | members, ensure_ascii=False).encode()

    deep: Any = [1] * about(dice, 300_000)
    for number in range(36):
        deep = {f"k{number}": deep}
    visit = good["mdtrtinfo"]
    yield Input("signed", "nested keys around many numbers", changed(extras=deep))
    yield Input("signed", "many members", changed(**{f"k{n}": "1" for n in range(about(dice, 50_000))}))
    yield Input("signed", "9,000 members", changed(**{f"k{n}": "1" for n in range(about(dice, 9_000))}))
    yield Input("signed", "hundreds of drugs", changed(rxdrugdetail=good["rxdrugdetail"][:1] * about(dice, 700)))
    yield Input("signed", "thousands of diagnoses", changed(diseinfo=good["diseinfo"][:1] * about(dice, 1_500)))
    yield Input("signed", "empty drugs", changed(rxdrugdetail=[{}] * about(dice, 9_000)))
    yield Input("signed", "a name of 300,000 characters", changed(mdtrtinfo=visit | {"patnName": "名" * about(dice, 300_000)}))
    yield Input("signed", "allergies with many separators", changed(mdtrtinfo=visit | {"algsHis": "无;" * about(dice, 200_000)}))
    yield Input("signed", "escapes", changed(rxDrordDscr="\0\x01" * about(dice, 80_000)))
    for name, text in (("patnAge", "9" * about(dice, 900_000)), ("nwbAge", "1月" * about(dice, 100_000)),
                       ("prscDeptName", "每天" * about(dice, 150_000))):
        yield Input("signed", f"{name} without end", changed(mdtrtinfo=visit | {name: text}))
    drug = good["rxdrugdetail"][0] | {"medListCodg": "NOBODYS", "drugGenname": "(" * about(dice, 20_000)}
    yield Input("signed", "a drug's name of 20 kB", changed(rxdrugdetail=[drug]))


def _fhir_json(samples: dict[str, bytes], dice: random.Random) -> Iterator[Input]:
    good = json.loads(samples["fhir-json"])

    def patient(change: Callable[[dict], None]) -> bytes:
        twin = json.loads(samples["fhir-json"])
        twin["identifier"]["value"] = f"HOSTILE{dice.randrange(10**9)}"
        change(next(e["resource"] for e in twin["entry"] if e["resource"]["resourceType"] == "Patient"))
        return json.dumps(twin, ensure_ascii=False).encode()

    yield Input("fhir-json", "a name of 300,000 characters", patient(
        lambda p: p["name"][0].update(text="名" * about(dice, 300_000))))
    yield Input("fhir-json", "19,000 extensions", patient(lambda p: p.update(
        extension=[{"url": "https://elsewhere.example/x", "valueString": "x"}] * about(dice, 9_000))))
    yield Input("fhir-json", "names of many parts", patient(lambda p: p.update(name=[{"text": "x", "given": ["y"] * 50}] * 400)))
    yield Input("fhir-json", "members nobody knows", patient(lambda p: p.update({f"x{n}": n for n in range(about(dice, 30_000))})))
    yield Input("fhir-json", "as many scalars as are read", patient(lambda p: p["name"][0].update(given=["g"] * 19_000)))
    yield Input("fhir-json", "many scalars in one list", patient(lambda p: p["name"][0].update(given=["g"] * about(dice, 100_000))))
    more = [*good["entry"], *[good["entry"][-1]] * about(dice, 600)]
    yield Input("fhir-json", "hundreds of items", json.dumps(good | {"entry": more}).encode())
    size = len(json.dumps(good["entry"][-1])) + 2
    fit = [*good["entry"], *[good["entry"][-1]] * ((1_000_000 - len(samples["fhir-json"])) // size)]
    yield Input("fhir-json", "as many items as fit into a megabyte", json.dumps(good | {"entry": fit}).encode())
    yield Input("fhir-json", "as many values as are read", patient(lambda p: p.update(
        extension=[{"url": "x", "valueString": ""}] * about(dice, 4_000))))
    yield Input("fhir-json", "blanks", b" " * 19_000_000)
    yield Input("fhir-json", "quotes that never end", b'{"resourceType":"Bundle","a":"' + b'\\"' * about(dice, 500_000))
    yield Input("fhir-json", "open brackets", b"[{" * about(dice, 300_000))
    for name, piece in (("objects", b'{"a":'), ("lists", b"[1,"), ("quotes", b'"'), ("escapes", b'"' + b'\\"' * 100)):
        yield Input("fhir-json", f"{name} that never end", piece * (about(dice, 1_000_000) // len(piece)))
    yield Input("fhir-json", "lines", samples["fhir-json"].replace(b'"status"', b"\n" * about(dice, 900_000) + b'"status"', 1))
    yield Input("fhir-json", "a drug's name of 20 kB", _renamed(good, "(" * about(dice, 20_000)))
    yield Input("fhir-json", "a long number", b'{"resourceType":"Bundle","n":' + b"9" * about(dice, 900_000) + b"}")


def _renamed(good: dict, name: str) -> bytes:
    twin = json.loads(json.dumps(good))
    for entry in twin["entry"]:
        if entry["resource"]["resourceType"] == "MedicationRequest":
            coding = entry["resource"]["medicationCodeableConcept"]["coding"][0]
            coding.update(code="NOBODYS", display=name)
    return json.dumps(twin, ensure_ascii=False).encode()


def _fhir_xml(samples: dict[str, bytes], dice: random.Random) -> Iterator[Input]:
    head, tail = b'<Bundle xmlns="http://hl7.org/fhir">', b"</Bundle>"
    yield Input("fhir-xml", "4,000 links", head + b'<link><relation value="x"/><url value="y"/></link>' * about(dice, 8_000) + tail)
    patient = head + b"<entry><resource><Patient>%s</Patient></resource></entry>" + tail
    yield Input("fhir-xml", "19,000 extensions", patient % (b'<extension url="x"/>' * about(dice, 38_000)))
    for size in (1_000, 4_000, 9_000):
        yield Input("fhir-xml", f"{size} extensions", patient % (b'<extension url="x"><valueString value=""/></extension>' * size))
        yield Input("fhir-xml", f"{size} nested extensions", patient % (
            (b'<extension url="x">' * 20 + b"</extension>" * 20) * (size // 20)))
    yield Input("fhir-xml", "foreign elements", patient % (b'<x xmlns="urn:x"/>' * about(dice, 40_000)))
    attributes = b" ".join(b'a%d="1"' % n for n in range(about(dice, 60_000)))
    yield Input("fhir-xml", "attributes", head + b"<link " + attributes + b"/>" + tail)
    namespaces = b"".join(b'<a%d:x xmlns:a%d="u:%d"/>' % (n, n, n) for n in range(about(dice, 20_000)))
    yield Input("fhir-xml", "namespaces", head + namespaces + tail)
    yield Input("fhir-xml", "nested", head + b"<entry>" * about(dice, 100_000))
    laughs = b"".join(b'<!ENTITY a%d "%s">' % (n, (b"&a;" if n == 0 else b"&a%d;" % (n - 1)) * 10) for n in range(9))
    yield Input("fhir-xml", "entities", b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + laughs + b"]>" + head + b"&a8;" + tail)
    yield Input("fhir-xml", "a comment", head + b"<!--" + b"-x" * about(dice, 450_000) + b"-->" + tail)
    for name, piece in (("comments", b"<!--"), ("tags", b"<"), ("attributes", b'<b "'), ("quotes", b'<a "' + b'"' * 100)):
        yield Input("fhir-xml", f"{name} that never end", head + piece * (about(dice, 1_000_000) // len(piece)))
    yield Input("fhir-xml", "instructions", head + b"<?x y?>" * about(dice, 140_000) + tail)


def _soap(samples: dict[str, bytes], dice: random.Random) -> Iterator[Input]:
    good = samples["cda"]
    at = good.rfind(b"</", 0, good.rfind(b"</", 0, good.rfind(b"</")))
    for name, piece in (("sections", b"<component><section/></component>"), ("texts", b"<text>x</text>"),
                        ("foreign elements", b'<x xmlns="urn:x"/>'), ("attributes", b'<text a="1" b="2" c="3"/>')):
        for size in (600, 2_500, 10_000, 40_000):
            yield Input("cda", f"{size} {name}", good[:at] + piece * about(dice, size) + good[at:])
    yield Input("cda", "nested", good[:at] + b"<component>" * about(dice, 30_000))
    yield Input("cda", "a long text", good[:at] + b"x" * about(dice, 900_000) + good[at:])
    for name, place, more in (
            ("blanks in a name", b"</name>", b" " * about(dice, 400_000) + "甲".encode()),
            ("lines of blanks in an address", b"</addr>", b"\n \t" * about(dice, 200_000) + "路".encode()),
            ("hundreds of addresses", b"<addr>", b'<addr use="H">x</addr>' * about(dice, 5_000)),
            ("strangers before a dose", b"<doseQuantity", b'<x a="1"/>' * about(dice, 10_000)),
            ("a drug of one word", b"</name>\n</manufacturedLabeledDrug>", "黄".encode() * about(dice, 200_000)),
            ("directions of one word", b'<effectiveTime xsi:type="IVL_TS"',
             b"<text>" + "黄".encode() * about(dice, 200_000) + b"</text>"),
            ("digits and blanks behind a drug", b"</manufacturedLabeledDrug>", b"1" * about(dice, 400_000) + b" " * 200_000)):
        where = good.find(place)
        if where >= 0:
            yield Input("cda", name, good[:where] + more + good[where:])
    envelope = b'<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/">'
    yield Input("soap", "nested envelopes", envelope * about(dice, 10_000))
    yield Input("soap", "a document type", b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>')
    yield Input("soap", "entities", b'<!DOCTYPE x [<!ENTITY a "' + b"a" * 1000 + b'">]><x>' + b"&a;" * 100_000 + b"</x>")
    yield Input("soap", "headers", envelope + b"<soap:Header>" + b"<x/>" * about(dice, 100_000) + b"</soap:Header></soap:Envelope>")


def _hl7(samples: dict[str, bytes], dice: random.Random) -> Iterator[Input]:
    good = samples["mllp"]
    head = good.split(b"\r")[0]
    body = good[len(head):]
    long = b"\rORC|NW|" + b"x" * about(dice, 900_000)
    yield Input("mllp", "1,900 ORC behind a long one", head + long + b"\rORC|NW" * 1_900 + b"\r")
    yield Input("mllp", "40,000 segments", head + b"\rNTE|1||x" * about(dice, 80_000) + b"\r")
    yield Input("mllp", "1,900 comments", head + body + b"NTE|1||x\r" * 1_900)
    yield Input("mllp", "1,900 observations", head + body + b"OBX|1|NM|8302-2^x^LN||170|cm|||||F\r" * about(dice, 1_900))
    for name, number in (("as many escapes as are read", 16), ("more escapes than are read", 400)):
        yield Input("mllp", name, head + body + (b"NTE|1||" + b"\\T\\" * 600 + b"\r") * number)
    yield Input("mllp", "as many repetitions as are read", head + body + (b"NTE|1||" + b"x~" * 190 + b"\r") * 90)
    yield Input("mllp", "repetitions", head + body.replace(b"PID|", b"PID|" + b"x~" * about(dice, 200_000), 1))
    yield Input("mllp", "components", head + body.replace(b"PID|", b"PID|" + b"^x" * about(dice, 200_000), 1))
    yield Input("mllp", "fields", head + body.replace(b"PID|", b"PID" + b"|x" * about(dice, 200_000), 1))
    yield Input("mllp", "escapes", head + body.replace(b"PID|", b"PID|" + b"\\X41\\" * about(dice, 100_000), 1))
    yield Input("mllp", "the whole message many times", head + body * about(dice, 400))
    yield Input("mllp", "lines of nothing", head + body + b"\r" * about(dice, 900_000))
    yield Input("mllp", "1,900 allergies", head + body + b"AL1|1|DA|^x\r" * about(dice, 1_900))
    yield Input("mllp", "1,900 long comments", head + body + (b"NTE|1|P|" + b"x" * 400 + b"\r") * about(dice, 1_900))
    yield Input("mllp", "one long name", head + body.replace(b"PID|", b"PID|||||" + b"x" * about(dice, 800_000) + b"\rZZZ|", 1))
    yield Input("mllp", "noise", bytes(dice.randrange(256) for _ in range(50_000)).replace(b"\x1c", b"x").replace(b"\x0b", b"x"))


def _box(samples: dict[str, bytes], dice: random.Random) -> Iterator[Input]:
    sheet = ('<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>{rows}</sheetData>{more}'
             "</worksheet>")
    row = '<row r="1"><c r="A1" t="inlineStr"><is><t>流水号</t></is></c></row>'
    named = row.replace("</row>", '<c r="B1" t="inlineStr"><is><t>处方号</t></is></c></row>')
    for name, rows, more, styles in (
            ("one hyperlink over the sheet.xlsx", row, '<hyperlinks><hyperlink ref="A1:XFD1048576" display="x"/></hyperlinks>', ""),
            ("a hyperlink of 5,000 rows.xlsx", row, '<hyperlinks><hyperlink ref="A1:T5000" display="x"/></hyperlinks>', ""),
            ("breaks.xlsx", row, "<rowBreaks>" + '<brk id="1"/>' * about(dice, 500_000) + "</rowBreaks>", ""),
            ("styles.xlsx", row, "", "<cellXfs>" + "<xf/>" * about(dice, 700_000) + "</cellXfs>"),
            ("empty rows.xlsx", row + "<row/>" * about(dice, 400_000), "", ""),
            ("merges.xlsx", row, "<mergeCells>" + '<mergeCell ref="A1:XFD1048576"/>' * 1_000 + "</mergeCells>", ""),
            ("a cell far away.xlsx", row + '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>', "", ""),
            ("merges that never end.xlsx", "", "<mergeCell ref=" * about(dice, 600_000), ""),
            ("many cells.xlsx", row + "<row><c><v>1</v></c></row>" * about(dice, 300_000), "", "")):
        yield Input("box", name, _workbook(sheet.format(rows=rows, more=more), styles))
    nested = "<处方>" * 50 + "<药品/>" * about(dice, 100_000) + "</处方>" * 50
    yield Input("box", "nested prescriptions.xml", f'<?xml version="1.0" encoding="UTF-8"?><x>{nested}</x>'.encode())
    yield Input("box", "80,000 prescriptions.xml", f"<x>{'<处方><药品/></处方>' * about(dice, 80_000)}</x>".encode())
    yield Input("box", "entities.xml", b'<!DOCTYPE x [<!ENTITY a "' + b"a" * 1000 + b'">]><x>' + b"&a;" * 10_000 + b"</x>")
    yield Input("box", "rows.csv", "流水号,处方号\r\n".encode() + b"1,2\r\n" * about(dice, 400_000))
    yield Input("box", "columns.csv", b",".join(b"c%d" % n for n in range(about(dice, 200_000))) + b"\r\n")
    yield Input("box", "one long cell.csv", "流水号\r\n".encode() + b"x" * about(dice, 5_000_000))
    yield Input("box", "quotes.csv", "流水号\r\n".encode() + b'"' * about(dice, 2_000_001))
    heading, _, rest = samples["box"].partition(b"\r\n")
    many = about(dice, 600)
    yield Input("box", "many prescriptions.csv", heading + b"\r\n" + b"".join(
        b"%d,X%d,%d%s\r\n" % (n, n, n, b"," * (heading.count(b",") - 2)) for n in range(many)))
    yield Input("box", "19,000 rows of one prescription.csv", "流水号,处方号,药品编码\r\n".encode() + b"1,2,3\r\n" * 19_000)
    yield Input("box", "2,000 good rows of one prescription.csv", heading + b"\r\n" + rest * (2_000 // rest.count(b"\r\n")))
    drugs = "<药品><数量>1</数量></药品>" * 19_000
    few = about(dice, 200)
    yield Input("box", "drugs of nobody.xml", f"<x><处方>{drugs[:few * (len(drugs) // 19_000)]}</处方></x>".encode())
    numbers = b"".join(b"%d,%d\r\n" % (n, n) for n in range(19_000))
    yield Input("box", "19,000 prescriptions.csv", "流水号,处方号\r\n".encode() + numbers)
    yield Input("box", "19,000 drugs of nobody.xml", f"<x><处方>{drugs}</处方></x>".encode())
    yield Input("box", "19,000 rows.xlsx", _workbook(sheet.format(rows=named + "".join(
        f'<row r="{n}"><c r="A{n}"><v>1</v></c><c r="B{n}"><v>2</v></c></row>' for n in range(2, 19_000)), more="")))
    yield Input("box", "wide text.csv", "流水号,处方号\r\n".encode() + b"1," + b"x" * about(dice, 19_000_000) + b"\r\n")
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b"\0" * 300_000_000)
    yield Input("box", "a bomb.xlsx", bomb.getvalue())


def _workbook(sheet: str, styles: str = "") -> bytes:
    whole = io.BytesIO()
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", (
            '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
            '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            '<Default Extension="xml" ContentType="application/xml"/>'
            f'<Override PartName="/xl/workbook.xml" ContentType="{kind}.sheet.main+xml"/>'
            f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{kind}.worksheet+xml"/>'
            f'<Override PartName="/xl/styles.xml" ContentType="{kind}.styles+xml"/></Types>'))
        archive.writestr("_rels/.rels", (
            '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
            f'<Relationship Id="rId1" Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>'))
        archive.writestr("xl/_rels/workbook.xml.rels", (
            '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
            f'<Relationship Id="rId1" Type="{office}/worksheet" Target="worksheets/sheet1.xml"/>'
            f'<Relationship Id="rId2" Type="{office}/styles" Target="styles.xml"/></Relationships>'))
        archive.writestr("xl/workbook.xml", (
            f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets><sheet name="x" sheetId="1" r:id="rId1"/></sheets></workbook>'))
        archive.writestr("xl/styles.xml", f'<styleSheet xmlns="{main}">{styles}</styleSheet>')
        archive.writestr("xl/worksheets/sheet1.xml", sheet)
    return whole.getvalue()

"""The drop box: what people and small programs write is read as they meant it, or refused in its place."""

import csv
import io
import json
import tomllib
import zipfile
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl.cell.rich_text import CellRichText, TextBlock
from openpyxl.cell.text import InlineFont
from openpyxl.comments import Comment
from openpyxl.styles import Font

from adapters.dialects import dropbox, dropbox_reader
from adapters.dialects import dropbox_tables as tables
from adapters.dialects import dropbox_workbook as books
from adapters.dialects.dropbox import FAULTS, RULES, day, moment, plain
from adapters.dialects.dropbox_cells import Cell, Row
from adapters.hospitals.jinan_county.translation import layout, prescription
from adapters.mapping import CodeMap, Codes
from adapters.registry import manifest
from domain.errors import InvalidPayload
from domain.findings import Finding, Spot
from fhir_profiles.checker import check_data
from tasks.intake import check
from tests.support import county
from tests.support.county import CODES, SAMPLES, SLUG, cancel, csv_file, rx, workbook, xlsx_file, xml_file
from tests.support.effort import growth

INVALID = tomllib.loads((SAMPLES / "invalid" / "index.toml").read_text(encoding="utf-8"))
LAYOUT = layout(manifest("hospitals", SLUG))
AT = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)

hospital = county.adapter()


def found(raw: bytes) -> dict[str, str]:
    """Code of each finding and where it is, as the hospital is told."""
    try:
        message = hospital.to_fhir(raw, CODES)
    except InvalidPayload as invalid:
        return {finding.code: finding.spot.name if finding.spot else "" for finding in invalid.findings}
    return {finding.code: finding.spot.name if finding.spot else "" for finding in check(message, SLUG)}


def resource(raw: bytes) -> dict:
    return hospital.to_fhir(raw, CODES).resource


# --- samples ---


@pytest.mark.parametrize("sample", sorted(p for p in SAMPLES.iterdir() if p.is_file()), ids=lambda path: path.name)
def test_every_sample_keeps_the_contract(sample):
    message = hospital.to_fhir(sample.read_bytes(), CODES)
    assert message.key
    assert not message.unmapped
    assert check_data(message.resource, SLUG) == []


@pytest.mark.parametrize(("name", "code"), INVALID.items())
def test_every_invalid_sample_fails_for_its_own_reason(name, code):
    assert code in found((SAMPLES / "invalid" / name).read_bytes())


def test_every_invalid_sample_is_in_the_index():
    assert {path.name for path in (SAMPLES / "invalid").iterdir()} == {*INVALID, "index.toml"}


def test_every_rule_of_the_box_has_a_name_of_its_own_in_two_languages():
    assert len({rule.id for rule in RULES}) == len({rule.code for rule in RULES}) == len(RULES)
    assert all(rule.id.startswith("BOX-") and rule.text and rule.text_en and rule.cure and rule.cure_en for rule in RULES)


# --- one prescription, however it is written ---


WRITINGS: dict[str, Callable[[county.Rows], bytes]] = {
    "csv": csv_file,
    "csv utf-8": lambda rows: csv_file(rows, encoding="utf-8"),
    "csv with a mark": lambda rows: csv_file(rows, encoding="utf-8-sig"),
    "semicolons": lambda rows: csv_file(rows, separator=";"),
    "tabs": lambda rows: csv_file(rows, separator="\t"),
    "separator named": lambda rows: b"sep=;\r\n" + csv_file(rows, separator=";"),
    "other order": lambda rows: csv_file(rows, headings=county.HEADINGS[::-1]),
    "title above": lambda rows: "示范县人民医院\r\n\r\n".encode("gb18030") + csv_file(rows),
    "headings in two languages": lambda rows: csv_file(rows, encoding="utf-8").replace(
        "处方号,".encode(), "处方号 / Number,".encode()).replace("数量,".encode(), "数量（片、粒）,".encode()),
    "excel": lambda rows: xlsx_file(workbook(rows)[0]),
    "xml": lambda rows: xml_file([rows]),
    "xml utf-8": lambda rows: xml_file([rows], encoding="UTF-8"),
}


@pytest.mark.parametrize("write", WRITINGS.values(), ids=WRITINGS)
def test_the_same_prescription_is_the_same_however_it_is_written(write):
    assert resource(write(rx())) == resource((SAMPLES / "long_term.csv").read_bytes().replace(
        "随餐服用".encode("gb18030"), b""))


def test_a_number_kept_as_text_for_excel_keeps_its_zeros():
    text = csv_file(rx(), encoding="utf-8").replace(b"XY0001", b'"=""0000123"""')
    assert hospital.to_fhir(text, CODES).context["number"] == "0000123"


def test_codes_that_a_program_made_numbers_of_are_codes_again():
    read = hospital.to_fhir(csv_file(rx(流水号="20261122001.0", 处方号="1001.0", 医师编码="D370100000001")), CODES)
    assert (read.key, read.context["number"]) == ("20261122001", "1001")


def test_merged_downwards_means_the_same_for_every_row():
    book, sheet = workbook(rx())
    for column in range(1, len(county.SHARED) + 1):
        sheet.merge_cells(start_row=2, end_row=3, start_column=column, end_column=column)
    assert resource(xlsx_file(book)) == resource(csv_file(rx()))


def test_what_rows_share_may_stand_in_the_first_of_them_only():
    rows = rx()
    rows[1] = {name: text for name, text in rows[1].items() if name in county.METFORMIN or name == "处方号"}
    assert resource(csv_file(rows)) == resource(csv_file(rx()))


def test_a_hidden_sheet_is_not_read_and_a_column_of_theirs_may_calculate():
    book, sheet = workbook(rx())
    sheet.cell(1, 60, "金额")
    sheet.cell(2, 60, "=A1*2")
    other = book.create_sheet("old")
    other.append(county.HEADINGS)
    other.append(list(rx(9)[0].values()))
    other.sheet_state = "hidden"
    message = hospital.to_fhir(xlsx_file(book), CODES)
    assert message.key == "M0001"
    assert check_data(message.resource, SLUG) == []


@pytest.mark.parametrize(("cell", "codes"), [("I2", {"CELL_COMMENT"}), ("I3", {"CELL_COMMENT"}), ("I1", set())])
def test_a_comment_on_a_prescription_is_not_passed_over(cell, codes):
    book, sheet = workbook(rx())
    sheet[cell].comment = Comment("青霉素过敏", "x")
    assert set(found(xlsx_file(book))) == codes


def test_a_text_that_is_struck_through_is_not_taken_as_meant():
    book, sheet = workbook(rx())
    sheet["I2"].font = Font(strike=True)
    assert "CELL_STRUCK" in set(found(xlsx_file(book)))
    book, sheet = workbook(rx())
    sheet["I2"] = CellRichText(TextBlock(InlineFont(strike=True), "示范患者"), "甲")
    assert "CELL_STRUCK" in set(found(xlsx_file(book)))
    book, sheet = workbook(rx())
    sheet["I2"].font = Font(strike=False, bold=True)
    assert set(found(xlsx_file(book))) == set()


def test_a_time_that_excel_rounded_is_to_the_second_again():
    book, sheet = workbook(rx())
    for row in (2, 3):
        sheet.cell(row, county.HEADINGS.index("开方时间") + 1).value = 46348.3736111111  # a little less than 08:58:00
        sheet.cell(row, county.HEADINGS.index("开方时间") + 1).number_format = "yyyy-mm-dd hh:mm:ss"
    request = resource(xlsx_file(book))["entry"][-1]["resource"]
    assert request["authoredOn"].endswith("08:58:00+08:00")


@pytest.mark.parametrize(("text", "means"), [
    ("2026-11-22 08:58:00", "2026-11-22T08:58:00+08:00"), ("2026/11/2 8:05", "2026-11-02T08:05:00+08:00"),
    ("20261122085800", "2026-11-22T08:58:00+08:00"), ("2026年11月2日8时5分", None),
    ("2026年11月2日 08时05分07秒", "2026-11-02T08:05:07+08:00"), ("2026-11-22T00:58:00Z", "2026-11-22T00:58:00+00:00"),
    ("2026-11-22T08:58:00.000+08:00", "2026-11-22T08:58:00+08:00"), ("２０２６-11-22 08:58", "2026-11-22T08:58:00+08:00"),
    ("2026-13-22 08:58:00", None), ("2026-11-22", None), ("今天上午", None), ("", None), ("2026-11-22 25:00:00", None),
])
def test_a_time_is_read_as_people_write_it_and_never_guessed(text, means):
    assert moment(text) == means


@pytest.mark.parametrize(("text", "means"), [
    ("1958-03-02", "1958-03-02"), ("1958/3/2", "1958-03-02"), ("19580302", "1958-03-02"), ("1958年3月2日", "1958-03-02"),
    ("1958.3.2", "1958-03-02"), ("1958-03-02 00:00:00", "1958-03-02"), ("1958-02-30", None), ("58-3-2", None),
])
def test_a_date_is_read_as_people_write_it_and_never_guessed(text, means):
    assert day(text) == means


def test_a_cancel_is_a_row_too():
    task = resource(csv_file(cancel(), headings=list(cancel()[0])))
    assert task["resourceType"] == "Task"
    assert task["reasonCode"]["coding"][0]["code"] == "prescriber"


def test_codes_nobody_has_mapped_are_named_with_their_place():
    message = hospital.to_fhir(csv_file(rx(药品编码="YP77777", 频次="按需")), CODES)
    assert {(one.table, one.theirs, one.spot.name) for one in message.unmapped} == {
        ("drug", "YP77777", "row 2, 药品编码"), ("drug", "YP77777", "row 3, 药品编码"),
        ("frequency", "按需", "row 2, 频次"), ("frequency", "按需", "row 3, 频次")}


def test_a_finding_points_at_row_and_heading():
    rows = rx()
    rows[1]["数量"] = "-3"
    assert found(csv_file(rows)) == {"QUANTITY": "row 3, 数量"}
    book, sheet = workbook(rows)
    sheet.insert_rows(1, 3)
    assert found(xlsx_file(book)) == {"QUANTITY": "row 6, 数量"}
    place = found(xml_file([rows]))["QUANTITY"]
    line = int(place.split(",")[0].removeprefix("line "))
    assert xml_file([rows]).decode("gb18030").split("\n")[line - 1] == "<数量>-3</数量>"


# --- keys ---


@pytest.mark.parametrize("key", [
    "示范患者甲", "XY 0001", "K" * 65, "...", "a/b", "x" * 2000,
])
def test_a_serial_number_that_is_no_key_becomes_none_and_is_refused_in_its_place(key):
    raw = csv_file(rx(流水号=key))
    message = hospital.to_fhir(raw, CODES)
    assert message.key is None
    assert [finding.code for finding in message.findings] == ["KEY"]
    assert found(raw) == {"KEY": "row 2, 流水号"}
    assert key not in repr(message.findings)
    cancelled = csv_file(cancel(流水号=key), headings=["操作", "流水号", "处方号", "撤销原因", "撤销时间"])
    assert found(cancelled) == {"KEY": "row 2, 流水号"}


@pytest.mark.parametrize("key", [
    "370102195803029910", "RX-370102195803029910-1", "19900000001", "M19900000001", "M-199-0000-0001",
])
def test_a_serial_number_that_holds_the_patients_number_or_phone_is_no_key(key):
    assert found(csv_file(rx(流水号=key))) == {"KEY": "row 2, 流水号"}
    assert hospital.to_fhir(csv_file(rx(流水号=key)), CODES).key is None


def test_a_letter_at_the_end_of_an_id_number_is_the_same_in_either_case():
    assert "KEY" in found(csv_file(rx(流水号="M11010519491231002x", 身份证号="11010519491231002X")))


@given(st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}", fullmatch=True).filter(lambda key: "0" not in key))
def test_any_other_key_is_the_messages_key(key):
    assert hospital.to_fhir(csv_file(rx(流水号=key)), CODES).key == key


def test_a_prescription_without_a_serial_number_has_no_key():
    assert hospital.to_fhir(csv_file(rx(流水号="")), CODES).key is None


# --- files that would do harm ---


def refused(raw: bytes) -> set[str]:
    """What is wrong with a file; READING_STOPPED would be that reading it took more time or memory than is allowed."""
    with pytest.raises(InvalidPayload) as caught:
        hospital.to_fhir(raw, CODES)
    return {finding.code for finding in caught.value.findings}


def packed(**parts: bytes) -> bytes:
    """The workbook of the samples with parts replaced: `sheet1=…`."""
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(xlsx_file(workbook(rx())[0]))) as good, \
            zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as bad:
        for name in good.namelist():
            bad.writestr(name, parts.get(Path(name).stem, good.read(name)))
    return written.getvalue()


def sheet_xml(inside: str) -> bytes:
    return (f'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData/>{inside}'
            '</worksheet>').encode()


def test_a_file_beyond_the_limit_is_not_read():
    assert refused(b"x" * (tables.MAX_BYTES + 1)) == {"FILE_TOO_LARGE"}


def test_a_zip_bomb_does_not_go_off():
    bomb = packed(sheet1=b"<x>" + b" " * 200_000_000)
    assert len(bomb) < 1_000_000
    assert refused(bomb) == {"FILE_TOO_COMPLEX"}


def test_a_merge_of_the_whole_sheet_does_no_harm():
    merged = '<mergeCells count="1"><mergeCell ref="A1:XFD1048576"/></mergeCells>'
    assert refused(packed(sheet1=sheet_xml(merged))) == {"FILE_TOO_COMPLEX"}


@pytest.mark.parametrize("merged", [
    "<mergeCell ref='A1:XFD1048576'/>", "<mergeCell\nref = 'A1:XFD1048576' />", '<mergeCell ref="A1:XFD1048576"></mergeCell>',
    '<mergeCell ref="A1:&#88;FD1048576"/>', '<mergeCell note=" ref=&quot;A1:A1&quot;" ref="A1:XFD1048576"/>',
    '''<mergeCell note=' ref="A1:A1"' ref="A1:XFD1048576"/>''', '<mergeCell note="&gt;>" ref="A1:XFD1048576"/>',
    '<é:mergeCell xmlns:é="http://schemas.openxmlformats.org/spreadsheetml/2006/main" ref="A1:XFD1048576"/>',
])
def test_a_merge_of_the_whole_sheet_does_no_harm_however_it_is_written(merged):
    for part in (sheet_xml(f"<mergeCells>{merged}</mergeCells>"), sheet_xml(f"<mergeCells>{merged}</mergeCells>").replace(
            b"<sheetData/>", b'<sheetData><row r="1"><c r="A1"/></row></sheetData>')):
        assert refused(packed(sheet1=part)) == {"FILE_TOO_COMPLEX"}


def test_a_merge_counts_whatever_its_part_is_called():
    merged = sheet_xml('<mergeCells><mergeCell ref="A1:XFD1048576"/></mergeCells>')
    good = io.BytesIO(packed(sheet1=merged))
    written = io.BytesIO()
    with zipfile.ZipFile(good) as old, zipfile.ZipFile(written, "w") as new:
        for name in old.namelist():
            new.writestr(name.replace("sheet1.xml", "sheet1.png"), old.read(name).replace(b"sheet1.xml", b"sheet1.png"))
    assert refused(written.getvalue()) == {"FILE_TOO_COMPLEX"}


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "cp037"])
def test_a_part_in_another_encoding_hides_nothing(codec):
    merged = sheet_xml('<mergeCells><mergeCell ref="A1:XFD1048576"/></mergeCells>').decode()
    declared = f'<?xml version="1.0" encoding="{codec.removesuffix("-le")}"?>'
    raw = declared.encode() + merged.encode(codec) if codec == "cp037" else (declared + merged).encode(codec)
    assert refused(packed(sheet1=raw)) == {"FILE_BROKEN"}


def test_cells_count_whatever_stands_behind_their_name():
    cells = "<row>" + "<c\nt='n'/><c\tt='n'/>" * (books.MAX_CELLS // 2 + 1) + "</row>"
    assert refused(packed(sheet1=sheet_xml("").replace(b"<sheetData/>", f"<sheetData>{cells}</sheetData>".encode()))
                           ) == {"FILE_TOO_COMPLEX"}


@pytest.mark.parametrize("piece", [b"<mergeCell ", b"<mergeCell ref=", b"<mergeCell\n\n", b"<a:mergeCel", b"<c", b"<aaaa"])
def test_a_workbook_is_looked_at_in_time_that_grows_with_it(piece):
    assert refused(packed(sheet1=b"<x>" + piece * (10_000_000 // len(piece)))) <= {"FILE_BROKEN", "FILE_TOO_COMPLEX"}


def test_a_picture_or_a_macro_in_a_workbook_is_not_our_business():
    written = io.BytesIO(xlsx_file(workbook(rx())[0]))
    with zipfile.ZipFile(written, "a") as archive:
        archive.writestr("xl/media/image1.png", b"\x89PNG\r\n\0\0<mergeCell \0")
        archive.writestr("xl/printerSettings/printerSettings1.bin", "HP".encode("utf-16-le"))
    assert hospital.to_fhir(written.getvalue(), CODES).key == "M0001"


def test_one_merged_cell_and_a_cell_that_speaks_of_them_are_read():
    book, sheet = workbook(rx(延长理由="mergeCell <mergeCell >"))
    sheet.merge_cells("B2:B3")
    assert hospital.to_fhir(xlsx_file(book), CODES).key == "M0001"


def test_a_cell_at_the_end_of_the_world_does_no_harm():
    book, sheet = workbook(rx())
    sheet["XFD1048576"] = "x"
    assert refused(xlsx_file(book)) == {"FILE_TOO_COMPLEX"}


def test_a_workbook_with_entities_is_not_opened():
    laughs = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha">]>' + sheet_xml("")
    assert refused(packed(sheet1=laughs)) == {"FILE_BROKEN"}


def test_too_many_rows_are_too_many():
    assert refused(csv_file(rx() * (tables.MAX_ROWS // 2 + 1), headings=["流水号", "处方号"])) == {"FILE_TOO_COMPLEX"}


def test_too_many_prescriptions_or_rows_of_nobody_are_too_many():
    some = rx() * (dropbox.MAX_PRESCRIPTIONS // 2)
    assert "FILE_TOO_COMPLEX" not in refused(csv_file(some, headings=["流水号", "备注", "处方号"]))
    nobodys = [row | {"处方号": ""} for row in rx() * (dropbox.MAX_UNNUMBERED // 2)]
    assert "ROWS_UNNUMBERED" not in refused(csv_file(nobodys + rx() * 2, headings=["流水号", "处方号"]))
    assert refused(csv_file(rx() * 2 + nobodys + nobodys[:1], headings=["流水号", "处方号"])) == {"ROWS_UNNUMBERED"}
    numbered = [row | {"处方号": f"XY{number}"} for number, row in enumerate([*some, *rx()])]
    assert refused(csv_file(numbered, headings=["流水号", "处方号"])) == {"FILE_TOO_COMPLEX"}


def test_a_file_that_is_refused_is_not_taken_apart_twice(monkeypatch):
    apart, taken = dropbox_reader._from_child, []
    monkeypatch.setattr(dropbox_reader, "_from_child", lambda asked, raw: taken.append(raw) or apart(asked, raw))
    refused = []
    for raw in (b"<x><y>", b"<x><y>", b"<x><z>"):
        with pytest.raises(InvalidPayload) as caught:
            dropbox_reader.read(raw, LAYOUT)
        refused.append(caught.value.findings)
    assert taken == [b"<x><y>", b"<x><z>"]
    assert refused[0] == refused[1]

    read, taken = dropbox_reader.tables.read, []
    monkeypatch.setattr(dropbox_reader.tables, "read", lambda raw, layout: taken.append(raw) or read(raw, layout))
    for _ in range(2):
        with pytest.raises(InvalidPayload):
            dropbox_reader.read(b"no headings", LAYOUT)
    assert taken == [b"no headings"]


def test_a_prescription_of_very_many_rows_is_refused():
    assert refused(csv_file(rx()[:1] * (dropbox.MAX_ROWS + 1))) == {"TOO_MANY_ROWS"}
    assert "TOO_MANY_ROWS" not in found(csv_file(rx()[:1] * dropbox.MAX_ROWS))


def test_what_rows_share_is_looked_up_once_however_many_they_are():
    def faults(many: int) -> list[Finding]:
        rows = rx()[:1] + [{"处方号": "XY0001"}] * many + rx()[:1] * many
        return dropbox.Paper(tables.read(csv_file(rows, headings=["处方号", "流水号", "姓名", "性别"]), LAYOUT), LAYOUT).faults()

    assert faults(4_000) == []
    assert growth(faults, 250, 500) < 2.5


def test_another_archive_is_no_workbook():
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr("readme.txt", "x")
    assert refused(written.getvalue()) == {"FILE_KIND"}


GOOD = {name: write(rx()) for name, write in WRITINGS.items() if name in ("csv", "excel", "xml")}


def read_here(asked, raw):
    """A file read as the process of its own reads it, which takes some 0.2 s to start."""
    return dropbox_reader._told(b"\n".join(dropbox_reader._answer(raw, json.loads(asked))))


@given(st.sampled_from(sorted(GOOD)), st.data())
def test_a_damaged_file_is_read_or_refused_and_nothing_else(kind, data):
    raw = bytearray(GOOD[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at:at + data.draw(st.integers(0, 20))] = data.draw(st.binary(max_size=20))
    with pytest.MonkeyPatch.context() as patch, suppress(InvalidPayload):
        patch.setattr(dropbox_reader, "_from_child", read_here)
        check_data(hospital.to_fhir(bytes(raw), CODES).resource, SLUG)


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused_and_nothing_else(raw):
    with suppress(InvalidPayload):
        hospital.to_fhir(raw, CODES)
    with suppress(InvalidPayload):
        hospital.to_fhir(b'{"dropbox":1,' + raw, CODES)


# --- slices ---


TEXTS = st.text(st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=20)
PAPERS = st.lists(st.dictionaries(st.sampled_from(sorted(LAYOUT.columns)), TEXTS, min_size=1), min_size=1, max_size=4)


@given(PAPERS)
def test_a_slice_says_what_the_rows_said(paper):
    rows = [Row(Spot("row"), {heading: Cell(text) for heading, text in row.items()}) for row in paper]
    again = tables.read_slice(tables.slice_of(rows), FAULTS)
    assert again is not None
    assert [{heading: cell.text for heading, cell in row.cells.items()} for row in again] == paper
    assert tables.slice_of(again) == tables.slice_of(rows)


def test_a_prescription_has_the_same_bytes_wherever_it_stands():
    alone = csv_file(rx(2))
    among = csv_file(rx(1) + rx(2) + rx(3), headings=county.HEADINGS[::-1], encoding="utf-8")
    (one,) = dropbox.cut(tables.read(alone, LAYOUT), LAYOUT)
    _, two, _ = dropbox.cut(tables.read(among, LAYOUT), LAYOUT)
    assert tables.slice_of(one) == tables.slice_of(two)


def test_rows_of_one_prescription_need_not_be_neighbours():
    (a1, a2), (b1, b2) = rx(1), rx(2)
    cuts = dropbox.cut(tables.read(csv_file([a1, b1, a2, b2]), LAYOUT), LAYOUT)
    assert [[row.cells["处方号"].text for row in rows] for rows in cuts] == [["XY0001"] * 2, ["XY0002"] * 2]


def test_a_prescription_and_its_cancel_in_one_file_are_two_messages():
    headings = [*county.HEADINGS, "撤销原因", "撤销时间"]
    assert len(dropbox.cut(tables.read(csv_file(rx(1) + cancel(1), headings=headings), LAYOUT), LAYOUT)) == 2


# --- what we write ---


@given(st.text(max_size=12))
def test_nothing_we_write_is_a_formula(text):
    written = dropbox.sheet(["x"], [[text, f"={text}", f" \t{text}"]]).decode("utf-8-sig")
    _, *rows = csv.reader(io.StringIO(written, newline=""))
    for cell in rows[0] if rows else []:
        assert cell.lstrip("\t\r\n \xa0\u3000\ufeff")[:1] not in tuple("=+-@＝＋－＠")


@pytest.mark.parametrize("text", ["=1+1", "+86", "-1", "@sum", "＝1", " =1", "\t=1", "'=1", "\r=1"])
def test_what_a_spreadsheet_would_calculate_is_marked_as_text(text):
    assert plain(text).startswith("'")
    assert plain("60片") == "60片"
    assert plain("") == ""


def test_a_value_nobody_understands_stays_what_it_was():
    paper = dropbox.Paper(tables.read(csv_file(rx(有效天数="三天", 性别="未知")), LAYOUT), LAYOUT)
    draft = prescription(paper, Codes(CodeMap()))
    assert (draft.valid_until.value, draft.patient.gender.value) == ("三天", "未知")

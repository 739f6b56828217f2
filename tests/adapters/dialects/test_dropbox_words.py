"""What a file's columns say arrives, or is refused once at its own place: nothing is passed over, guessed or split."""

from datetime import date
from pathlib import Path

import pytest

from adapters.dialects import dropbox
from adapters.dialects.dropbox import age_agrees
from adapters.dialects.dropbox_cells import text_cell
from adapters.hospitals.jinan_county.translation import LEFT_OUT, cancel, layout, prescription
from adapters.mapping import Codes
from adapters.messages import Message
from adapters.registry import manifest
from domain.errors import InvalidPayload
from fhir_profiles.drafts import Draft
from tasks.intake import check
from tests.support import county
from tests.support.county import CODES, HEADINGS, SLUG, csv_file, rx, workbook, xlsx_file, xml_file

CASES = Path(__file__).parent / "dropbox_cases"
LAYOUT = layout(manifest("hospitals", SLUG))
hospital = county.adapter()


def found(raw: bytes) -> dict[tuple[str, str], str]:
    """(code, place) -> rule of each finding, as the hospital is told."""
    try:
        findings = check(hospital.to_fhir(raw, CODES), SLUG)
    except InvalidPayload as invalid:
        findings = list(invalid.findings)
    assert len(findings) == len({(one.code, one.spot.name if one.spot else "") for one in findings})
    return {(one.code, one.spot.name if one.spot else ""): one.rule for one in findings}


def table(**changed: str) -> bytes:
    """The sample prescription with these columns changed or added, in both rows."""
    return csv_file(rx(**changed), headings=[*HEADINGS, *(name for name in changed if name not in HEADINGS)])


def draft(raw: bytes) -> Draft:
    rows = dropbox.tables.read(raw, LAYOUT)
    return prescription(dropbox.Paper(rows, LAYOUT), Codes(CODES))


def read(raw: bytes) -> Message:
    message = hospital.to_fhir(raw, CODES)
    assert check(message, SLUG) == []
    return message


# --- cases that were seen ---


@pytest.mark.parametrize(("name", "findings"), [
    ("80_box_missing_cells_wrong_column.csv", {
        ("MESSAGE_KEY", "row 2, 流水号"), ("CELL_EMPTY", "row 2, 途径"), ("CELL_EMPTY", "row 2, 数量"),
        ("CELL_EMPTY", "row 2, 天数")}),
    ("83_box_diagnosis_name_with_dun.csv", set()),
    ("84_box_issued_day_only_blames_validity.csv", {("TIME_UNREADABLE", "row 2, 开方时间")}),
    ("allergy_heading_not_known.csv", set()),
    ("escape_character_in_name.csv", {("CELL_DAMAGED", "row 2, 姓名"), ("CELL_DAMAGED", "row 3, 姓名")}),
    ("gbk_private_use.csv", {("CELL_DAMAGED", "row 2, 姓名"), ("CELL_DAMAGED", "row 3, 姓名")}),
    ("official_diagnosis_name_with_ideographic_comma.csv", set()),
])
def test_a_file_that_was_read_wrongly_once_has_the_right_outcome(name, findings):
    assert set(found((CASES / name).read_bytes())) == findings


def test_every_case_is_tested():
    assert len(list(CASES.iterdir())) == 7


def test_the_allergy_of_a_heading_that_was_not_known_arrives():
    patient = draft((CASES / "allergy_heading_not_known.csv").read_bytes()).patient
    assert [one.value for one in patient.allergies] == ["AL01"]


# --- every column ---


def test_every_column_of_the_manifest_is_read_by_the_translation(monkeypatch):
    asked: set[str] = set()
    real = dropbox.Line.datum

    def watched(line, name):
        asked.add(name)
        return real(line, name)

    monkeypatch.setattr(dropbox.Line, "datum", watched)
    paper = dropbox.Paper(dropbox.tables.read(csv_file(rx()), LAYOUT), LAYOUT)
    prescription(paper, Codes(CODES))
    cancel(paper)
    assert set(LAYOUT.columns.values()) - asked == {"action"}  # read before it is known which of the two it is


def test_nothing_that_is_left_out_is_about_patient_allergy_drug_dose_time_or_order():
    for column, reason in LEFT_OUT.items():
        assert reason.isascii()
        assert not any(word in column for word in ("患者", "过敏", "药品", "用量", "频次", "规格", "医嘱"))


@pytest.mark.parametrize("write", [
    lambda rows, name: csv_file(rows, headings=[*HEADINGS, name]),
    lambda rows, name: xlsx_file(workbook(rows, headings=[*HEADINGS, name])[0]),
    lambda rows, name: xml_file([rows])], ids=["csv", "excel", "xml"])
@pytest.mark.parametrize("name", ["药敏", "体重", "规格", "输液速度", "禁忌"])
def test_a_column_nobody_agreed_on_is_said_to_the_sender_once(write, name):
    codes = found(write(rx(**{name: "AL01"}), name))
    assert [code for code, _ in codes] == ["COLUMN_UNKNOWN"]
    assert all(place.endswith(f", {name}") for _, place in codes)
    assert found(write(rx(**{name: ""}), name)) == {}


def test_what_is_knowingly_left_out_may_be_filled_in():
    assert found(table(金额="=1+1", 打印次数="3")) == {}


def test_a_cell_without_a_heading_or_a_heading_twice_is_no_column():
    raw = csv_file(rx(), headings=[*HEADINGS, "药敏"]).replace("药敏".encode("gb18030"), b"")
    assert found(raw) == {}
    shifted = raw.replace(b"\r\n", b"X\r\n").replace(b"X\r\n", b"\r\n", 1)
    assert {code for code, _ in found(shifted)} == {"ROW_TOO_LONG"}
    assert {code for code, _ in found(csv_file(rx(药敏="无"), headings=[*HEADINGS, "药敏", "药敏"]))} == {"HEADING_TWICE"}


def test_a_row_with_too_few_cells_is_one_finding_in_its_own_row():
    lines = csv_file(rx()).split(b"\r\n")
    lines[2] = lines[2].replace("口服,".encode("gb18030"), b"")
    assert [(code, place.partition(",")[0]) for code, place in found(b"\r\n".join(lines))] == [("ROW_TOO_SHORT", "row 3")]


@pytest.mark.parametrize("inside", [
    "<患者><过敏史>青霉素</过敏史></患者>", "<过敏源 级别='重'/>", "对青霉素过敏"])
def test_what_stands_elsewhere_in_xml_is_said_to_the_sender(inside):
    raw = xml_file([rx()], encoding="UTF-8").replace("<药品>".encode(), f"{inside}<药品>".encode(), 1)
    assert {code for code, _ in found(raw)} == {"COLUMN_UNKNOWN"}


def test_a_statement_outside_of_every_prescription_is_said_to_the_sender():
    raw = xml_file([rx()], encoding="UTF-8").replace("<处方>".encode(), "<过敏史>青霉素</过敏史><处方>".encode(), 1)
    assert {code for code, _ in found(raw)} == {"COLUMN_UNKNOWN"}
    assert found(xml_file([rx()], encoding="UTF-8").replace("<处方上传>".encode(), '<处方上传 version="1">'.encode())) == {}


def test_a_prescription_and_its_drug_that_say_two_things_under_one_name_disagree():
    raw = xml_file([rx()], encoding="UTF-8").replace("<药品>".encode(), "<天数>60</天数><药品>".encode(), 1)
    assert {code for code, _ in found(raw)} == {"ROWS_DISAGREE"}


def test_a_cancel_with_drugs_is_refused_because_nobody_can_tell_whether_it_means_all_of_them():
    rows = county.cancel(药品编码="YP00001")
    assert {code for code, _ in found(csv_file(rows, headings=list(rows[0])))} == {"ACTION_COLUMN"}
    assert {code for code, _ in found(table(撤销原因="医师撤销"))} == {"ACTION_COLUMN"}


def test_rows_that_contradict_each_other_are_found_in_the_row_that_does():
    rows = rx(过敏史="青霉素")
    rows[1]["过敏史"] = "无"
    assert set(found(csv_file(rows, headings=[*HEADINGS, "过敏史"]))) == {("ROWS_DISAGREE", "row 3, 过敏史")}


@pytest.mark.parametrize("row", [0, 1])
def test_a_row_repeats_all_of_the_prescription_or_nothing_of_it(row):
    rows = rx(过敏史="青霉素")
    rows[row]["过敏史"] = ""
    codes = found(csv_file(rows, headings=[*HEADINGS, "过敏史"]))
    assert set(codes) == {("ROWS_INCOMPLETE", "row 3, 过敏史")}


# --- allergies ---


@pytest.mark.parametrize(("cell", "groups", "words", "none"), [
    ("AL01", ["AL01"], [], ""), ("al01；AL02", ["AL01", "AL02"], [], ""), ("无", [], [], "true"), ("否认", [], [], "true"),
    ("否认药物过敏史。", [], [], "true"), ("", [], [], ""), ("不详", [], ["不详"], ""), ("青霉素过敏性休克史", [],
    ["青霉素过敏性休克史"], ""),
    ("AL01、花生", ["AL01"], ["AL01、花生"], ""), ("否认青霉素过敏", [], ["否认青霉素过敏"], ""), ("未询问", [], ["未询问"], ""),
])
@pytest.mark.parametrize("heading", ["过敏", "过敏史"])
def test_an_allergy_is_coded_or_kept_as_it_was_written_and_none_only_where_none_was_said(heading, cell, groups, words, none):
    patient = draft(table(**{heading: cell})).patient
    assert [one.value for one in patient.allergies] == groups
    assert [one.value for one in patient.allergy_words] == words
    assert patient.no_known_allergies.value == none
    assert found(table(**{heading: cell})) == {}


@pytest.mark.parametrize("changed", [{"过敏史": "无；青霉素"}, {"过敏": "AL01", "过敏史": "否认"}, {"过敏史": "无、AL01"}])
def test_allergies_that_are_denied_and_stated_are_refused(changed):
    assert "ALLERGY_COLUMNS_DISAGREE" in {code for code, _ in found(table(**changed))}


# --- numbers and their units ---


@pytest.mark.parametrize(("changed", "field", "value"), [
    ({"天数": "4周"}, "days", "28"), ({"天数": "28天"}, "days", "28"), ({"天数": "２８"}, "days", "28"),
    ({"单次用量": "500mg", "用量单位": "毫克"}, "dose", "500"), ({"单次用量": "500毫克"}, "dose", "500"),
    ({"单次用量": "0.5克", "用量单位": ""}, "dose_unit", "g"), ({"数量": "60片"}, "quantity", "60"),
])
def test_a_unit_behind_a_number_is_read_or_converted(changed, field, value):
    assert getattr(draft(table(**changed)).items[0], field).value == value
    assert not {code for code, _ in found(table(**changed))} & {rule.code for rule in dropbox.RULES}


@pytest.mark.parametrize(("valid", "end"), [("72小时", "2026-11-25T08:58:00+08:00"), ("2天", "2026-11-24T08:58:00+08:00")])
def test_a_validity_in_hours_is_one_in_days(valid, end):
    assert draft(table(有效天数=valid, 有效期理由="外出")).valid_until.value == end


@pytest.mark.parametrize(("changed", "code"), [
    ({"天数": "一个月"}, "AMOUNT_UNREADABLE"), ({"天数": "1个月"}, "AMOUNT_UNREADABLE"), ({"数量": "60盒"}, "UNITS_DISAGREE"),
    ({"单次用量": "0.5克"}, "UNITS_DISAGREE"), ({"单次用量": "半片"}, "AMOUNT_UNREADABLE"), ({"单次用量": "1/2"},
    "AMOUNT_UNREADABLE"),
    ({"单次用量": "1,000"}, "AMOUNT_UNREADABLE"), ({"孕周": "30+2"}, "AMOUNT_UNREADABLE"), ({"孕周": "30天"},
    "AMOUNT_UNREADABLE"),
    ({"有效天数": "1年"}, "AMOUNT_UNREADABLE"), ({"哺乳": "可能"}, "FLAG_UNREADABLE"), ({"性别": "未知"}, "WORD_UNKNOWN"),
    ({"出生日期": "1958-02-30"}, "TIME_UNREADABLE"), ({"医保审批标志": "3"}, "WORD_UNKNOWN"), ({"皮试结果": "免试"},
    "WORD_UNKNOWN"),
    ({"煎法": "水煎服"}, "PIECES_ONLY"), ({"测量时间": "2026-11-21 08:00:00"}, "READING_INCOMPLETE"),
])
def test_what_cannot_be_read_is_refused_in_its_cell_and_nowhere_else(changed, code):
    (heading, _), *_ = changed.items()
    codes = found(table(**changed))
    assert {place.partition(", ")[2] for _, place in codes} == {heading}
    assert {one for one, _ in codes} == {code}


@pytest.mark.parametrize(("heading", "refused"), [
    ("单次用量(mg)", True), ("单次用量（克）", True), ("天数(周)", True), ("天数(天)", False), ("有效天数（小时）", True),
    ("孕周(周)", False), ("数量（片、粒）", False), ("数量/盒", True), ("年龄(月)", True), ("年龄(岁)", False)])
def test_a_unit_in_a_heading_is_the_columns_own_or_the_file_is_refused(heading, refused):
    bare = heading.replace("（", "(").partition("(")[0].partition("/")[0]
    raw = csv_file(rx(年龄="68"), headings=[*HEADINGS, "孕周", "年龄"], encoding="utf-8")
    codes = {code for code, _ in found(raw.replace(f",{bare},".encode(), f',"{heading}",'.encode(), 1).replace(
        f",{bare}\r".encode(), f',"{heading}"\r'.encode(), 1))}
    assert codes == ({"UNITS_DISAGREE"} if refused else set())


# --- age ---


@pytest.mark.parametrize(("text", "born", "agrees"), [
    ("68", "1958-03-02", True), ("68岁", "1958-03-02", True), ("67岁", "1958-03-02", False), ("69周岁", "1958-03-02", False),
    ("5月龄", "2026-06-10", True), ("5个月", "2026-06-25", False), ("20天", "2026-11-02", True), ("20日龄", "2026-11-03", False),
    ("3岁2月", "2023-09-01", True), ("3岁3个月", "2023-09-01", False), ("1岁", "2026-11-01", False), ("老年", "1958-03-02", None),
    ("", "1958-03-02", None), ("0岁", "2026-11-01", True), ("12月", "2025-11-22", True), ("6十八", "1958-03-02", None)])
def test_an_age_is_compared_with_the_date_of_birth(text, born, agrees):
    assert age_agrees(text, date.fromisoformat(born), date(2026, 11, 22)) is agrees


def test_an_age_that_is_not_the_patients_is_refused_in_its_place():
    assert set(found(table(年龄="20天"))) == {("AGE_DISAGREES", "row 2, 年龄")}
    assert set(found(table(年龄="六十八"))) == {("AMOUNT_UNREADABLE", "row 2, 年龄")}
    assert found(table(年龄="68岁")) == {}


# --- diagnoses ---


@pytest.mark.parametrize(("codes", "names", "read_as"), [
    ("E11.900", "2型糖尿病、肾病", ["2型糖尿病、肾病"]), ("E11.900；I10.x00", "2型糖尿病；高血压", ["2型糖尿病", "高血压"]),
    ("E11.900,I10.x00", "2型糖尿病;高血压", ["2型糖尿病", "高血压"]), ("E11.900、I10.x00", "2型糖尿病、高血压", ["2型糖尿病",
    "高血压"]),
    ("E11.900；L02.900", "2型糖尿病；皮肤脓肿、疖和痈", ["2型糖尿病", "皮肤脓肿、疖和痈"]), ("L02.900", "皮肤脓肿、疖和痈",
    ["皮肤脓肿、疖和痈"])])
def test_a_name_is_split_only_by_what_separates_the_codes(codes, names, read_as):
    raw = table(诊断编码=codes, 诊断名称=names)
    assert [one.name.value for one in draft(raw).diagnoses] == read_as
    assert not [code for code, _ in found(raw) if code == "DIAGNOSIS_COUNT"]


@pytest.mark.parametrize(("codes", "names"), [
    ("E11.900；L02.900", "皮肤脓肿、疖和痈"), ("E11.900", "2型糖尿病；高血压"), ("E11.900、L02.900",
    "2型糖尿病、皮肤脓肿、疖和痈"),
    ("E11.900；I10.x00；L02.900", "2型糖尿病；高血压")])
def test_codes_without_names_or_names_without_codes_are_refused(codes, names):
    assert ("DIAGNOSIS_COUNT", "row 2, 诊断名称") in found(table(诊断编码=codes, 诊断名称=names))


# --- damaged text ---


@pytest.mark.parametrize("text", [
    "示范\x1b甲", "示范\ufffd甲", "示范\ue000甲", "示\u200b范甲", "示范\u202e甲", "示范锟斤拷", "\ufeff示范甲",
    "示范\U000f0000", "示范\x85甲",
    "阿司匹林".encode().decode("gb18030"), "示范患者甲".encode().decode("latin-1"), "示范".encode().decode("cp1252", "ignore")])
def test_a_text_that_was_damaged_on_its_way_is_refused(text):
    assert text_cell(text, "gb18030").fault == "CELL_DAMAGED"


@pytest.mark.parametrize("text", [
    "示范患者甲", "毛陆", "卢模", "联通", "㐂䶮犇", "𠀀𠮷", "Zoë Müller", "α-受体", "500 mg，饭后", "第一行\n第二行", "①②",
    "—", "阿卜杜拉·买买提"])
def test_a_rare_name_is_no_damage(text):
    assert text_cell(text, "gb18030").fault == text_cell(text, "utf-8").fault == ""


@pytest.mark.parametrize("codec", ["big5", "shift_jis", "utf-16", "euc_kr"])
def test_another_encoding_is_refused_and_not_guessed(codec):
    raw = csv_file(rx(), encoding="utf-8").decode().encode(codec, "replace")
    with pytest.raises(InvalidPayload):
        hospital.to_fhir(raw, CODES)


def test_an_escape_that_excel_hides_is_damage_too():
    book, sheet = workbook(rx())
    sheet.cell(2, HEADINGS.index("住址") + 1).value = "示范_x001B_路"
    assert {code for code, _ in found(xlsx_file(book))} >= {"CELL_DAMAGED"}


# --- words that reach people ---


def test_the_new_columns_reach_the_contract():
    told = draft(table(
        科室="内分泌科", 科室编码="03.07", 职称="主治医师", 就诊号="V1", 有效期理由="外出", 有效天数="2", 处方备注="复查血糖",
        备注="少量多次",
        用法="餐后", 皮试结果="阴性", 皮试时间="2026-11-22 08:30", 医保审批标志="符合", 医保电子凭证="E1", 监护人姓名="示范丁",
        监护人身份证号="370102198505051234", 监护关系="母亲", 续方原处方号="XY0000", 续方起始日期="2026-11-01",
        续方截止日期="2026-12-01",
        收缩压="138", 舒张压="86", 血糖="7.1", 测量时间="2026-11-22 07:00", 签名="c2ln", 签名时间="2026-11-22 08:59",
        包装数量="60", 含量="500"))
    item = told.items[0]
    assert (told.department.value, told.department_name.value, told.title.value, told.visit_number.value) == (
        "03.07", "内分泌科", "233", "V1")
    assert (told.valid_reason.value, told.note.value, item.note.value, item.usage.value) == ("外出", "复查血糖", "少量多次",
    "餐后")
    assert (item.skin_test.value, item.skin_test_at.value, item.approval.value) == (
        "negative", "2026-11-22T08:30:00+08:00", "1")
    assert told.patient.guardian is not None
    assert (told.patient.guardian.relationship.value, told.patient.credential.value) == ("parent", "E1")
    assert (told.renewal_first.value, told.renewal_start.value, told.renewal_end.value) == ("XY0000", "2026-11-01", "2026-12-01")
    assert [reading.code.value for reading in told.readings] == ["85354-9", "15074-8"]
    assert told.signature is not None
    assert (told.signature.at.value, item.strength.value, item.pack_size.value) == ("2026-11-22T08:59:00+08:00", "500", "60")


def test_findings_are_bounded_and_each_place_has_one():
    rows = [row for _ in range(50) for row in rx(数量="很多", 天数="x", 单次用量="y")]
    message = hospital.to_fhir(csv_file(rows), CODES)
    assert len(message.findings) == dropbox.MAX_FINDINGS + 1
    assert message.findings[-1].code == "MORE_FINDINGS"


def test_all_faults_of_a_prescription_are_said_in_one_answer():
    codes = {code for code, _ in found(table(流水号="a b", 身份证号="370102195803029911", 数量="很多", 开方时间="昨天",
    体重="60"))}
    assert codes >= {"KEY", "ID_NUMBER", "AMOUNT_UNREADABLE", "TIME_UNREADABLE", "COLUMN_UNKNOWN"}


# --- headings, and numbers as a spreadsheet shows them ---


@pytest.mark.parametrize(("heading", "codes"), [
    ("联系电话(监护人)", {"COLUMN_UNKNOWN"}), ("联系电话/旧", {"COLUMN_UNKNOWN"}), ("联系电话(Guardian)", {"COLUMN_UNKNOWN"}),
    ("联系电话(必填)", set()), ("联系电话/Phone", set()), ("联系电话（11位数字）", set()), ("联系电话(患者本人)", set())])
def test_what_stands_behind_a_heading_makes_no_other_of_it_or_is_a_heading_of_its_own(heading: str, codes: set[str]) -> None:
    raw = table().replace("联系电话".encode("gb18030"), heading.encode("gb18030"), 1)
    assert {code for code, _ in found(raw)} == codes


@pytest.mark.parametrize(("heading", "value"), [
    ("联系电话", "1.99E+10"), ("身份证号", "3.70102E+17"), ("处方号", "2.0261E+15"), ("就诊号", "1e12")])
def test_a_number_that_a_spreadsheet_has_rounded_is_refused_in_its_place(heading: str, value: str) -> None:
    assert ("CELL_DIGITS_LOST", f"row 2, {heading}") in found(table(**{heading: value}))


def test_days_may_have_a_decimal_nought() -> None:
    assert found(table(有效天数="1.0", 天数="30.0")) == {}
    assert set(found(table(有效天数="1.5"))) == {("STRUCTURE_VALUE", "row 2, 有效天数")}

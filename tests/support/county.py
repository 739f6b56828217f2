"""Files as the county hospital writes them: CSV, Excel and XML of the same prescriptions."""

import csv
import io
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import openpyxl
from openpyxl.worksheet.worksheet import Worksheet

from adapters.hospitals.jinan_county.adapter import Adapter
from adapters.mapping import read_tables
from adapters.registry import HERE, manifest
from infra.dropbox import BoxTransport

SLUG = "jinan_county"
FOLDER = HERE / "hospitals" / SLUG
SAMPLES = FOLDER / "samples"
CODES = read_tables(FOLDER)

SHARED = {
    "操作": "新开", "流水号": "M0001", "处方号": "XY0001", "上传时间": "2026-11-22 09:00:00", "开方时间": "2026-11-22 08:58:00",
    "有效天数": "1", "处方类型": "长期", "取药方式": "自取", "姓名": "示范患者甲", "身份证号": "370102195803029910", "性别": "男",
    "出生日期": "1958-03-02", "联系电话": "19900000001", "住址": "示范市示范区示范路1号", "区划": "370102", "纬度": "36.6749",
    "经度": "117.0251", "医师编码": "D370100000001", "医师姓名": "示范医师乙", "独立年限": "8", "机构编码": "H37010000005",
    "机构名称": "示范县人民医院", "就诊方式": "互联网", "初复诊": "复诊", "险种": "职工", "参保地": "370100", "门慢编码": "M01600",
    "诊断编码": "E11.900", "诊断名称": "2型糖尿病", "复诊凭证日期": "2026-09-20", "复诊凭证诊断": "E11.9",
    "延长理由": "糖尿病病情稳定", "长期评估": "是", "患者知情": "是", "科室编码": "03.07",
    "科室": "内分泌科", "就诊号": "MZ0001"}
METFORMIN = {
    "序号": "1", "药品编码": "YP00001", "药品名称": "盐酸二甲双胍片", "药品类别": "西药", "单次用量": "500", "用量单位": "毫克",
    "频次": "每日2次", "途径": "口服", "数量": "60", "单位": "片", "天数": "30"}
ACARBOSE = {
    "序号": "2", "药品编码": "YP00010", "药品名称": "阿卡波糖片", "药品类别": "西药", "单次用量": "50", "用量单位": "毫克",
    "频次": "每日3次", "途径": "口服", "数量": "90", "单位": "片", "天数": "30"}
HEADINGS = [*SHARED, *METFORMIN]
_TIMES = {"上传时间", "开方时间", "出生日期", "复诊凭证日期"}
_NUMBERS = {"有效天数", "独立年限", "纬度", "经度", "序号", "单次用量", "数量", "天数"}

Rows = list[dict[str, str]]


def rx(number: int = 1, **changed: str) -> Rows:
    """The rows of prescription `XY<number>` under message key `M<number>`, with two drugs."""
    own = {"流水号": f"M{number:04d}", "处方号": f"XY{number:04d}"}
    return [SHARED | drug | own | changed for drug in (METFORMIN, ACARBOSE)]


def cancel(number: int = 1, **changed: str) -> Rows:
    return [{"操作": "撤销", "流水号": f"C{number:04d}", "处方号": f"XY{number:04d}", "撤销原因": "医师撤销",
             "撤销时间": "2026-11-22 09:05:00"} | changed]


def csv_file(rows: Rows, *, headings: Sequence[str] = HEADINGS, separator: str = ",", encoding: str = "gb18030") -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=separator)
    writer.writerow(headings)
    writer.writerows([[row.get(heading, "") for heading in headings] for row in rows])
    return text.getvalue().encode(encoding)


def workbook(rows: Rows, *, headings: Sequence[str] = HEADINGS) -> tuple[openpyxl.Workbook, Worksheet]:
    """Real dates and real numbers; headings in row 1."""
    book = openpyxl.Workbook()
    sheet = book.active
    assert isinstance(sheet, Worksheet)
    sheet.append(list(headings))
    for row in rows:
        sheet.append([_real(heading, row.get(heading, "")) for heading in headings])
    return book, sheet


def xlsx_file(book: openpyxl.Workbook) -> bytes:
    written = io.BytesIO()
    book.save(written)
    return written.getvalue()


def xml_file(prescriptions: Sequence[Rows], *, encoding: str = "GB18030") -> bytes:
    lines = [f'<?xml version="1.0" encoding="{encoding}"?>', "<处方上传>"]
    for rows in prescriptions:
        lines += ["<处方>", *(f"<{name}>{text}</{name}>" for name, text in rows[0].items() if name not in METFORMIN)]
        for row in rows:
            drug = {name: text for name, text in row.items() if name in METFORMIN}
            if drug:
                lines += ["<药品>", *(f"<{name}>{text}</{name}>" for name, text in drug.items()), "</药品>"]
        lines.append("</处方>")
    return "\n".join([*lines, "</处方上传>"]).encode(encoding)


def _real(heading: str, text: str) -> Any:
    if not text:
        return None
    if heading in _TIMES:
        return datetime.fromisoformat(text)
    return float(text) if heading in _NUMBERS else text


def adapter(folder: Path | None = None, **changed: str) -> Adapter:
    """The hospital with its box in a folder; without one it can translate only."""
    facts = manifest("hospitals", SLUG)
    facts = facts.model_copy(update={"facts": {**facts.facts, **changed}})
    return Adapter(facts, BoxTransport(SLUG, f"file://{folder}"), {})


def drop(folder: Path, name: str, raw: bytes, *, marker: str | None = ".done") -> None:
    """Hand a file over the way the hospital does: the file, then its marker."""
    box = folder / "in"
    box.mkdir(exist_ok=True)
    (box / name).write_bytes(raw)
    if marker is not None:
        (box / f"{name}{marker}").touch()

"""What a file of the drop box is made of once it is read, and every reason for which one is sent back."""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final, NamedTuple

from domain.findings import NOWHERE, Finding, Spot
from fhir_profiles.catalogue import MessageRule

_OURS = "contracts.md, drop box"

RULES: Final[tuple[MessageRule, ...]] = (
    MessageRule("BOX-001", "FILE_TOO_LARGE", "too-long", _OURS,
         "文件超过 20 MB，未予读取", "The file is larger than 20 MB and was not read.",
         "把文件拆小后重新投递", "Split the file and hand it over again."),
    MessageRule("BOX-002", "FILE_ENCODING", "structure", _OURS,
         "文件既不是 UTF-8 也不是 GB18030 编码", "The file is neither UTF-8 nor GB18030.",
         "导出时选择 UTF-8 或 GB18030（GBK）", "Export it as UTF-8 or GB18030 (GBK)."),
    MessageRule("BOX-003", "FILE_KIND", "not-supported", _OURS,
         "文件不是 CSV、xlsx 或 XML，或带有密码", "The file is not CSV, xlsx or XML, or it has a password.",
         "另存为不带密码的 .xlsx 或 CSV", "Save it as .xlsx or CSV without a password."),
    MessageRule("BOX-004", "HEADING_MISSING", "required", _OURS,
         "前 10 行中找不到列标题行，或缺少处方号、流水号列",
         "Among the first ten rows there are no headings, or the columns of prescription number and key are missing.",
         "按模板保留列标题", "Keep the headings of the template."),
    MessageRule("BOX-005", "HEADING_TWICE", "duplicate", _OURS,
         "两列的标题含义相同", "Two columns have headings of the same meaning.",
         "只保留其中一列", "Keep one of them."),
    MessageRule("BOX-006", "CELL_FORMULA", "value", _OURS,
         "单元格是公式或错误值", "The cell holds a formula or an error.",
         "复制该列并“选择性粘贴为数值”", "Copy the column and paste it as values."),
    MessageRule("BOX-007", "FILE_TOO_COMPLEX", "too-costly", _OURS,
         "展开后过大，或处方、行、列、合并单元格过多",
         "Unpacked it is too large, or has too many prescriptions, rows, columns or merged cells.",
         "只保留处方数据，拆成几个文件", "Keep nothing but the prescriptions, in several files."),
    MessageRule("BOX-008", "ROW_TOO_LONG", "structure", _OURS,
         "该行的单元格多于列标题", "The row has more cells than there are headings.",
         "含分隔符的内容加双引号", "Put double quotes around texts that hold the separator."),
    MessageRule("BOX-009", "CELL_DIGITS_LOST", "value", _OURS,
         "数字超过 15 位，或存成了科学计数法，末位已丢失",
         "The number has more than 15 digits, or was saved with an exponent: its last digits are lost.",
         "先把该列设为“文本”格式再录入", "Format the column as text before typing it in."),
    MessageRule("BOX-010", "ROWS_DISAGREE", "invalid", _OURS,
         "同一处方各行在此列不一致", "The rows of one prescription differ in this column.",
         "同一处方号的各行填写相同内容", "Write the same in all rows of a prescription number."),
    MessageRule("BOX-011", "FILE_BROKEN", "structure", _OURS,
         "文件已损坏，或引号不成对", "The file is damaged, or its quotes do not match.",
         "用导出程序重新生成，不要手工编辑", "Export it again and do not edit it by hand."),
    MessageRule("BOX-012", "NOT_ONE_PRESCRIPTION", "structure", _OURS,
         "此处应恰有一张处方", "There must be exactly one prescription here.",
         "含多张处方的文件请放入投递目录", "Hand a file with several prescriptions over through the drop box."),
    MessageRule("BOX-013", "ROW_HIDDEN", "business-rule", _OURS,
         "该行被隐藏或筛选掉，无法确定是否要发送", "The row is hidden or filtered out: nobody can tell whether it is meant.",
         "取消筛选和隐藏，或删除该行", "Show all rows, or delete it."),
    MessageRule("BOX-014", "CELL_MERGED", "structure", _OURS,
         "单元格跨列合并", "The cell is merged across columns.",
         "取消跨列合并", "Undo the merge; merging downwards is understood."),
    MessageRule("BOX-015", "FILE_EMPTY", "required", _OURS,
         "列标题下没有内容", "There is nothing below the headings.",
         "没有处方时不必投递文件", "Hand over no file when there is no prescription."),
    MessageRule("BOX-016", "ACTION", "code-invalid", _OURS,
         "“操作”列的内容不在约定之内", "The action is not an agreed one.",
         "填 新开 或 撤销", "Write 新开 (new) or 撤销 (cancel)."),
    MessageRule("BOX-017", "SEVERAL_SHEETS", "structure", _OURS,
         "有多个可见的工作表含处方", "More than one visible sheet holds prescriptions.",
         "只保留一个工作表", "Keep one sheet."),
    MessageRule("BOX-018", "KEY", "value", _OURS,
         "流水号格式不符，或含证件号、电话", "The key is malformed, or contains an id or phone number.",
         "填 1 至 64 位字母、数字、点、下划线或连字符，不含个人信息",
         "Write 1 to 64 letters, digits, dots, underscores or hyphens, and nothing of a person."),
    MessageRule("BOX-019", "TOO_MANY_ROWS", "too-costly", _OURS,
         "一张处方超过 100 行", "A prescription has more than 100 rows.",
         "每个药品一行；检查处方号是否重复使用", "Write one row per drug; see whether the number was used again."),
    MessageRule("BOX-020", "COLUMN_UNKNOWN", "not-supported", _OURS,
         "该列（或 XML 元素、属性）不在约定之内，其内容未被读取",
         "The column (or element, or attribute) is not an agreed one: what it says would not be read.",
         "改用医院 README 列出的列名；该内容无处可填时请与平台约定",
         "Use a heading that the hospital's README lists; where there is none for it, agree on one with the platform."),
    MessageRule("BOX-021", "ROW_TOO_SHORT", "structure", _OURS,
         "该行的单元格少于列标题", "The row has fewer cells than there are headings.",
         "空白的单元格也要保留分隔符", "Keep the separators of empty cells too."),
    MessageRule("BOX-022", "CELL_DAMAGED", "value", _OURS,
         "文字含控制字符、替换字符、造字区字符，或被错误转码",
         "The text holds control, replacement or private-use characters, or was converted wrongly on its way.",
         "从源系统重新导出；GBK 无法表示的字请改用 UTF-8", "Export it again from its source; use UTF-8 for what GBK cannot write."),
    MessageRule("BOX-023", "CELL_TOO_LONG", "too-long", _OURS,
         "单元格超过 4000 个字符", "The cell has more than 4,000 characters.",
         "缩短内容", "Shorten the text."),
    MessageRule("BOX-024", "CELL_SCALED", "value", _OURS,
         "数字的显示格式改变了数值（百分比或按千缩放）", "The number's format shows another number: a percentage, or thousands.",
         "改用常规或文本格式", "Format the cell as a plain number or as text."),
    MessageRule("BOX-025", "ELEMENT_NESTED", "structure", _OURS,
         "处方或药品元素嵌套在另一个处方或药品之中", "An element of a prescription or drug lies within another one.",
         "处方并列，每张处方的药品并列", "Put prescriptions side by side, and the drugs of each."),
    MessageRule("BOX-026", "READING_STOPPED", "too-costly", _OURS,
         "读取该文件超出时间或内存限度，已停止", "Reading the file took more time or memory than a file may, and was stopped.",
         "用导出程序重新生成，或改用 CSV", "Export it again, or use CSV."),
    MessageRule("BOX-027", "TIME_UNREADABLE", "value", _OURS,
         "无法读出日期或时刻，或缺少时刻", "It is not a date or time that can be read, or its time of day is missing.",
         "时刻写作 2026-11-22 08:58:00，日期写作 2026-11-22", "Write a time as 2026-11-22 08:58:00 and a date as 2026-11-22."),
    MessageRule("BOX-028", "AMOUNT_UNREADABLE", "value", _OURS,
         "应为数字，或数字加可换算的单位", "It is neither a number nor a number with a unit that converts.",
         "只填数字，单位填在单位列", "Write the number alone, and its unit into the column for units."),
    MessageRule("BOX-029", "UNITS_DISAGREE", "invalid", _OURS,
         "单元格或列标题中的单位与单位列（或该列的单位）不一致",
         "The unit in the cell or in its heading is not the one in the column for units, or that of the column.",
         "单位只在一处填写", "State the unit in one place."),
    MessageRule("BOX-030", "AGE_DISAGREES", "invalid", _OURS,
         "年龄与出生日期不符", "The age is not what the date of birth makes it.",
         "核对患者；儿童写“5月龄”“20天”", "See whether it is the right patient; write 5月龄 or 20天 for children."),
    MessageRule("BOX-031", "ALLERGY_COLUMNS_DISAGREE", "invalid", _OURS,
         "既写无过敏史又写有过敏", "Allergies are both denied and stated.",
         "只保留正确的一项", "Keep the one that is right."),
    MessageRule("BOX-032", "DIAGNOSIS_COUNT", "invalid", _OURS,
         "诊断编码与诊断名称的个数不一致", "There are not as many diagnosis codes as names.",
         "编码之间、名称之间都用分号分隔，一一对应", "Put a semicolon between codes and between names, one name for each code."),
    MessageRule("BOX-033", "ACTION_COLUMN", "business-rule", _OURS,
         "该列不属于此操作，填写后无法确定意图", "The column does not belong to this action: nobody can tell what is meant.",
         "撤销只填操作、流水号、处方号、撤销原因、撤销时间；新开不填撤销各列",
         "For a cancel fill in action, key, number, reason and time only; for a prescription leave those of a cancel empty."),
    MessageRule("BOX-034", "FLAG_UNREADABLE", "value", _OURS,
         "应填 是 或 否", "It should say 是 (yes) or 否 (no).",
         "填 是 或 否，不适用则留空", "Write 是 or 否, or leave it empty."),
    MessageRule("BOX-035", "MORE_FINDINGS", "too-costly", _OURS,
         "问题过多，其余未列出", "There are more problems than are listed.",
         "先改正所列问题再投递", "Correct those listed and hand it over again."),
    MessageRule("BOX-036", "WORD_UNKNOWN", "code-invalid", _OURS,
         "该词不在约定之内", "The word is not an agreed one.",
         "使用医院 README 列出的词", "Use a word that the hospital's README lists."),
    MessageRule("BOX-037", "PIECES_ONLY", "business-rule", "B-39",
         "剂数、煎法、每日次数只用于中药饮片", "Doses, decoction and portions a day are for pieces of Chinese medicine only.",
         "没有饮片时留空", "Leave them empty where there are no pieces."),
    MessageRule("BOX-038", "READING_INCOMPLETE", "required", _OURS,
         "有测量时间而没有测量值", "There is a time of measurement, but nothing that was measured.",
         "填写血压或血糖，或删去测量时间", "Fill in blood pressure or blood sugar, or leave the time out."),
    MessageRule("BOX-039", "CELL_EMPTY", "required", _OURS,
         "每个药品都必须填写该列", "Every drug needs this column filled in.",
         "填写该单元格", "Fill in the cell."),
    MessageRule("BOX-040", "ROWS_INCOMPLETE", "invalid", _OURS,
         "该行只重复了处方的一部分内容，与首行不一致",
         "The row repeats a part of what the first row says of the prescription, and not the rest.",
         "每行都重复填写，或除处方号外只在首行填写", "Write it in every row, or in the first row only, besides the number."),
    MessageRule("BOX-041", "ROWS_UNNUMBERED", "required", _OURS,
         "超过 100 行没有处方号，文件未处理", "More than 100 rows have no prescription number; nothing was taken from the file.",
         "检查处方号一列，每行填写后重新投递", "Look at the column of the number, fill it in, and hand the file over again."),
    MessageRule("BOX-042", "CELL_COMMENT", "not-supported", _OURS,
         "单元格带有批注，其内容未被读取", "The cell has a comment, and nobody would read what it says.",
         "把内容写入约定的列后删除批注", "Write it into an agreed column, and delete the comment."),
    MessageRule("BOX-043", "CELL_STRUCK", "business-rule", _OURS,
         "单元格文字带删除线，无法确定是否有效", "The text is struck through: nobody can tell whether it is meant.",
         "删去无效的内容，或取消删除线", "Delete what is not meant, or take the line away."),
)
_LONG_NUMBER = re.compile("[0-9]{6}")
_RULE: Final = {rule.code: rule for rule in RULES}


def finding(code: str, path: str, spot: Spot = NOWHERE, line: int | None = None) -> Finding:
    """A rule of the drop box broken at a place; `line` is the 1-based item, if it is about one."""
    return replace(_RULE[code].finding(path, line), spot=None if spot == NOWHERE else spot)


class Cell(NamedTuple):
    """A tuple, because a large file has hundreds of thousands; its place is put into words only for a finding."""

    text: str
    fault: str = ""
    """Code of the rule it breaks."""
    row: str = ""
    """`row 7`, `line 7` or `item 2`."""
    heading: str = ""
    line: int = 0
    column: int = 0
    """1-based, in cells."""

    @property
    def spot(self) -> Spot:
        # A heading with a long number may be anybody's: a row of data can stand where the headings should.
        heading = self.heading if not _LONG_NUMBER.search(self.heading) else f"column {self.column}"
        return Spot(", ".join(part for part in (self.row, heading) if part), self.line, self.column)

    def __repr__(self) -> str:
        return f"Cell(…, {self.spot})"


@dataclass(frozen=True)
class Row:
    """One drug of a prescription, or a cancel; what the prescription's rows share is in each or in the first of them."""

    spot: Spot
    cells: Mapping[str, Cell] = field(repr=False)
    """By heading; empty cells are left out."""
    headings: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Field -> its heading in this file; empty where the file has none to name."""


MAX_TEXT: Final = 4000
"""Characters of a cell."""
_DAMAGE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\uffff\ud800-\uf8ff"
    "\U000e0000-\U0010ffff]|锟斤拷")
"""Characters that no keyboard writes: controls, marks of direction and width, replacements, unpaired surrogates, private use.
And the best known trace of a replacement character that was read as GBK.
"""
_LATIN = re.compile("[\\x80-\\xff]")
_CHINESE = re.compile("[\u4e00-\u9fff]{2}")


@lru_cache(maxsize=1024)  # What rows share is looked at once.
def text_cell(text: str, read_as: str = "") -> Cell:
    """A cell of text, refused where it was damaged on its way; `read_as` is the encoding that its file was read in."""
    if text.isascii() and text.isprintable() and len(text) <= MAX_TEXT:
        return Cell(text)
    if len(text) > MAX_TEXT:
        return Cell("", "CELL_TOO_LONG")
    return Cell("", "CELL_DAMAGED") if _DAMAGE.search(text) or _misread(text, read_as) else Cell(text)


def _misread(text: str, read_as: str) -> bool:
    """Whether a Chinese text in UTF-8 was read in another encoding, and looks like one in that."""
    if _LATIN.search(text):
        return any(_chinese_in(text, codec) for codec in ("cp1252", "latin-1"))
    if read_as != "gb18030":
        return False
    try:
        text.encode("gb2312")
    except UnicodeEncodeError:
        # What UTF-8 looks like in GBK has rare characters among them; common ones alone are what was meant.
        return _chinese_in(text, "gb18030")
    return False


def _chinese_in(text: str, codec: str) -> bool:
    with suppress(UnicodeError):
        return bool(_CHINESE.search(text.encode(codec).decode("utf-8")))
    return False

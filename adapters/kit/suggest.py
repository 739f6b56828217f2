"""Which code of ours a hospital's own code may stand for, with a score. A person decides; nothing here does."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from difflib import SequenceMatcher
from functools import lru_cache

from domain.knowledge.tables import Knowledge
from fhir_profiles import codes

ROUTES = {"PO": "口服", "SC": "皮下注射", "SL": "舌下含服", "INH": "吸入", "OPH": "滴眼"}
TITLES = {"231": "主任医师", "232": "副主任医师", "233": "主治医师", "234": "医师", "235": "医士"}
"""National dictionary drord_dr_profttl."""
OPEN = frozenset({"diagnosis"})
"""Tables whose code system we hold only a part of: any code may be one of ours."""

_SAME: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    # Other words for the same; compared after `_normalized`.
    "route": {"PO": ("po", "经口", "内服", "oral", "口服给药"), "SC": ("sc", "ih", "皮下", "皮注"), "SL": ("sl", "舌下", "含服"),
              "INH": ("inh", "雾化吸入", "气雾吸入", "经口吸入", "吸入给药"), "OPH": ("oph", "眼用", "点眼", "滴眼用", "眼部外用")},
    "unit": {"mg": ("毫克",), "g": ("克",), "μg": ("微克", "ug", "mcg"), "ml": ("毫升", "cc"), "IU": ("国际单位",), "U": ("单位",),
             "片": ("tab", "tablet", "片剂"), "粒": ("cap", "capsule", "颗", "胶囊"), "支": ("amp", "vial"), "盒": ("box",),
             "瓶": ("bottle", "bot"), "袋": ("bag", "包装袋"), "揿": ("喷次", "按"), "吸": ("吸次", "puff")},
    "frequency": {"qd": ("od", "1/日"), "bid": ("2/日",), "tid": ("3/日",), "qid": ("4/日",),
                  "qn": ("每晚", "每晚睡前", "睡前", "hs"),
                  "qm": ("每晨", "早上", "晨起"), "ac": ("餐前", "饭前"), "qod": ("隔日", "隔天1次"), "qw": ("每周1次", "1/周"),
                  "prn": ("必要时", "需要时", "按需"), "st": ("立即", "stat", "即刻"), "q12h": ("每12小时",), "q8h": ("每8小时",),
                  "q6h": ("每6小时",), "q4w": ("每月1次",), "biw": ("2/周",), "tiw": ("3/周",)},
    "title": {"231": ("主任",), "232": ("副主任",), "233": ("主治", "主治医生"), "234": ("住院医师", "住院医生", "执业医师")},
}
_FORMS = ("缓释片", "控释片", "肠溶片", "分散片", "咀嚼片", "泡腾片", "口崩片", "薄膜衣片", "缓释胶囊", "肠溶胶囊",
          "软胶囊", "胶囊", "滴丸", "颗粒", "口服液", "口服溶液", "糖浆", "混悬液", "注射液", "粉针", "预填充注射液",
          "笔芯", "气雾剂", "粉吸入剂", "粉雾剂", "喷雾剂", "吸入剂", "滴眼液", "眼膏", "乳膏", "凝胶", "贴剂",
          "贴膏", "栓", "散", "丸", "片")
_SALTS = ("甲苯磺酸", "苯磺酸", "甲磺酸", "富马酸", "琥珀酸", "酒石酸", "马来酸", "枸橼酸", "盐酸", "硫酸氢", "硫酸",
          "磷酸", "醋酸", "氢溴酸", "单硝酸", "硝酸", "钠", "钙", "钾", "镁")
_DIGITS = str.maketrans("一二两三四五六七八九", "1223456789")
_ICD = re.compile(r"[A-Z]\d\d")
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)(μg|ug|mcg|mg|g|iu|u|ml|毫克|微克|克|毫升|单位)")
_SCALE = {"μg": "0.001", "ug": "0.001", "mcg": "0.001", "微克": "0.001", "mg": "1", "毫克": "1", "g": "1000", "克": "1000"}


MAX_TEXT = 100
"""Characters of a code or a name that are looked at: a longer text says no more, and comparing costs its square."""


@dataclass(frozen=True)
class Suggestion:
    ours: str
    name: str
    """What we call it."""
    score: int
    """0 to 100; from 90 on the names say the same, dosage form and strength included."""


def listed(knowledge: Knowledge, table: str) -> Mapping[str, str]:
    """Our codes of a table, with what we call each."""
    match table:
        case "drug":
            drugs = {drug.id: drug.name for drug in knowledge.drugs.values()}
            return drugs | {entry.code: entry.name for entry in knowledge.catalogue.values()}
        case "route":
            return {code: ROUTES[code] for code in sorted(codes.ROUTES)}
        case "frequency":
            return {code: knowledge.frequencies[code].name for code in sorted(codes.FREQUENCIES)
                    if code in knowledge.frequencies}
        case "unit":
            return {unit: unit for unit in sorted(codes.DOSE_UNITS | codes.PACK_UNITS)}
        case "title":
            return TITLES
        case "diagnosis":
            return {prefix: group.name for group in knowledge.chronic for prefix in group.diagnoses}
    raise ValueError(f"no table {table!r}")


def is_ours(knowledge: Knowledge, table: str, code: str) -> bool:
    """Whether a table may lead to this code."""
    return code in listed(knowledge, table) or (table in OPEN and bool(re.fullmatch(r"[A-Z]\d\d(\.[0-9A-Zx+*]{1,10})?", code)))


def suggest(knowledge: Knowledge, table: str, theirs: str, name: str = "", limit: int = 3) -> list[Suggestion]:
    """What a code of theirs may stand for, the likeliest first; none that is unlikely."""
    theirs, name = theirs[:MAX_TEXT], name[:MAX_TEXT]
    scored = [Suggestion(ours, words, _score(knowledge, table, theirs, name, ours, words))
              for ours, words in listed(knowledge, table).items()]
    if table == "diagnosis":
        scored += _cut(theirs)
    likely = sorted((suggestion for suggestion in scored if suggestion.score >= 40),
                    key=lambda suggestion: (-suggestion.score, suggestion.ours))
    return list({suggestion.ours: suggestion for suggestion in reversed(likely)}.values())[::-1][:limit]


def _score(knowledge: Knowledge, table: str, theirs: str, name: str, ours: str, words: str) -> int:
    plain = (lambda text: _often(_normalized(text))) if table == "frequency" else _normalized
    texts = [plain(text) for text in (name, theirs) if text]
    if table == "drug":
        # A trade name or a manufacturer may stand before it, apart: 某牌 苯磺酸氨氯地平片.
        parts = [_normalized(part) for part in _folded(name).split() if len(part) > 2]
        amounts = _medicine(_normalized(name)).amounts
        return max((_drug_score(knowledge, text, amounts, ours) for text in (*texts, *parts)), default=0)
    if table == "diagnosis":
        if _ICD.match(theirs) and not theirs.startswith(ours):
            return 0
        near = _alike(_normalized(name), _normalized(words)) if name else 0
        return min(89, near)  # a group of codes is not the code itself
    meant = {plain(text) for text in (ours, words, *_SAME.get(table, {}).get(ours, ()))}
    if meant & set(texts):
        return 100
    return min(89, max((_alike(text, meaning) for text in texts for meaning in meant), default=0))


def _cut(theirs: str) -> list[Suggestion]:
    """A clinical code is an insurance code with an extension: `E11.900x001` is `E11.900`."""
    match = re.match(r"([A-Z]\d\d)(\.\d{1,3})?", _folded(theirs).upper())
    if not match:
        return []
    code = match[0] if "." not in match[0] else match[0].ljust(7, "0")
    return [Suggestion(code, "同一编码的医保版 the same code in the insurance version", 95 if "." in code else 60)]


# Drugs: the substance must be alike; the dosage form and the strength, where both say one, must be the same.

@dataclass(frozen=True)
class _Medicine:
    stem: str
    form: str
    amounts: frozenset[Decimal]
    """In mg, or in units; empty if none is said."""


def _drug_score(knowledge: Knowledge, text: str, amounts: frozenset[Decimal], ours: str) -> int:
    drug = knowledge.drug(ours)
    if drug is None:
        return 0
    theirs, listed = _medicine(text), _medicine(_normalized(drug.name))
    # One character more is another substance (左氨氯地平): only what is the same can look certain.
    same = 100 if theirs.stem == listed.stem else 95 if _unsalted(theirs.stem) == _unsalted(listed.stem) else 0
    score = same or min(_alike(theirs.stem, listed.stem), 85)
    strengths = listed.amounts or _amounts_of(drug.strength, drug.dose_unit)
    if theirs.form and theirs.form != listed.form:
        score = min(score - 20, 69)
    if amounts and strengths and not amounts & strengths:
        score = min(score - 15, 79)
    return max(score, 0)


@lru_cache(maxsize=4096)
def _medicine(text: str) -> _Medicine:
    amounts = frozenset(Decimal(number) * Decimal(_SCALE.get(unit, "1")) for number, unit in _AMOUNT.findall(text))
    bare = re.sub(r"\d.*$", "", re.sub(r"[(\[【].*?[)\]】]", "", text)) or text
    form = next((form for form in sorted(_FORMS, key=len, reverse=True) if form in bare), "")
    return _Medicine(bare.replace(form, "") if form else bare, form, amounts)


def _amounts_of(strength: Decimal, unit: str) -> frozenset[Decimal]:
    return frozenset({strength * Decimal(_SCALE.get(_normalized(unit), "1"))})


def _unsalted(stem: str) -> str:
    for salt in _SALTS:
        stem = stem.replace(salt, "")
    return stem


def _alike(left: str, other: str) -> int:
    if not left or not other:
        return 0
    return round(100 * SequenceMatcher(None, left, other, autojunk=False).ratio())


@lru_cache(maxsize=4096)
def _normalized(text: str) -> str:
    """Without what does not tell two codes apart: width, case, blanks and punctuation."""
    return re.sub(r"[\s,，。、;；·*_-]+|\.(?!\d)", "", _folded(text).lower())


def _often(text: str) -> str:
    """一日两次, 每天2次 and 2次/日 are 每日2次."""
    text = re.sub(r"([每1]个?)?[天日](?=\d+次)", "每日", text.translate(_DIGITS))
    text = re.sub(r"[每1]周(?=\d+次)", "每周", text)
    text = re.sub(r"(\d+)次?/[天日]", r"每日\1次", text)
    return re.sub(r"(\d+)次?/周", r"每周\1次", text)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).strip()


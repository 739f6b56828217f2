"""What a hospital's words say of allergies: that none are known, or, among other words, that there is one. Pure.

Words are shown to the pharmacist as they are; nothing here takes a text away.
"""

import re
from unicodedata import normalize

MAX_ANSWER = 60
"""Characters of what is read as an answer to the question after allergies; the longest are some twenty."""

_CLAUSE = re.compile(r"[；;。，,！!？?\n]+")
"""Not 、, which joins what is said of all: 青霉素、头孢过敏, 否认药物、食物过敏史."""
_NO_HISTORY = re.compile(
    r"过敏性(?:鼻炎|哮喘|皮炎|结膜炎|紫癜|咳嗽|湿疹|肺炎)|抗过敏|脱敏|过敏(?:试验|原检测|源检测)|皮试"
    # Advice: what to do if one turns up, and for whom the drug is not.
    r"|(?<!曾)(?<!曾经)(?<!既往)(?:如|若|一旦|出现|发生|以?防|避免|警惕|注意|观察|监测|询问).{0,12}过敏"
    r"|过敏(?:体质)?(?:者|慎用|禁用|忌用)")
_DENIED = re.compile(r"无|否认|未(?:发现|见|诉|知|提供)|没有|不(?:详|明|过敏)|非")
_NONE_KNOWN = re.compile(
    r"(?:患者)?(?:无|否认|没有|未发现)(?:已知)?的?(?:(?:药物|食物|药|食)[、及和与或]?)*(?:过敏)?(?:史|反应|情况)?"
    r"|无特殊(?:过敏史)?|NKD?A")


def none_known(words: str) -> bool:
    """Whether the answer to the question after allergies is that there are none: 无, 否认药物过敏史, NKDA.

    不详 and 未询问 are not such an answer: the patient was not asked.
    """
    answer = normalize("NFKC", words)
    return len(answer) <= MAX_ANSWER and bool(_NONE_KNOWN.fullmatch(re.sub(r"[\s。.!:;,]", "", answer).upper()))


def stated(words: str) -> list[str]:
    """The clauses of free words that say of an allergy: 磺胺过敏.

    Not 过敏性鼻炎, which is a disease, not what is denied, and not advice such as 对本品过敏者禁用.
    """
    return [clause.strip() for clause in _CLAUSE.split(words)
            if "过敏" in clause and not _NO_HISTORY.search(clause) and not _DENIED.search(clause)]

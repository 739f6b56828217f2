"""What words say of allergies."""

import pytest

from domain.allergies import none_known, stated


@pytest.mark.parametrize("words", [
    "无", "无。", " 否认 ", "没有", "无过敏史", "否认药物过敏史", "否认药物、食物过敏史", "否认食物及药物过敏史", "无已知药物过敏",
    "患者否认过敏史", "未发现过敏史", "无特殊", "无特殊过敏史", "NKA", "nkda", "ＮＫＤＡ", "无 过敏 史",
])
def test_none_known_is_what_says_so(words: str) -> None:
    assert none_known(words)
    assert stated(words) == []


@pytest.mark.parametrize("words", [
    "", "不详", "未询问", "青霉素", "无青霉素过敏史", "否认青霉素过敏", "无，青霉素皮试阳性", "无；磺胺", "/", "-",
    "暂无", "无" * 61, "既往青霉素过敏，现已恢复",
])
def test_whatever_else_is_answered_is_not_none(words: str) -> None:
    assert not none_known(words)


@pytest.mark.parametrize(("words", "clauses"), [
    ("青霉素过敏", ["青霉素过敏"]), ("饭后服；磺胺过敏，多饮水", ["磺胺过敏"]), ("青霉素过敏性休克史", ["青霉素过敏性休克史"]),
    ("曾出现头孢过敏反应", ["曾出现头孢过敏反应"]), ("既往发生碘过敏", ["既往发生碘过敏"]), ("过敏体质", ["过敏体质"]),
    ("海鲜过敏\n花粉过敏", ["海鲜过敏", "花粉过敏"]),
])
def test_an_allergy_among_other_words_is_found(words: str, clauses: list[str]) -> None:
    assert stated(words) == clauses


@pytest.mark.parametrize("words", [
    "过敏性鼻炎", "抗过敏治疗", "对本品过敏者禁用", "过敏体质慎用", "如出现过敏反应立即停药", "若有过敏请就诊", "注意观察有无过敏",
    "青霉素皮试", "否认药物过敏", "不详", "饭后服",
])
def test_a_disease_advice_and_a_denial_are_no_allergy(words: str) -> None:
    assert stated(words) == []

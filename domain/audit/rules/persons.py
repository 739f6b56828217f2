"""Does it fit the person: sex, age, pregnancy, allergies? (rules-cn, B-19 to B-21, B-32 to B-35)"""

from collections.abc import Iterator

from domain.audit.case import Case
from domain.audit.rulebook import BLOCK, INFO, TABLE, WARN, Hit, Phase, hit, rule
from domain.findings import Severity
from domain.knowledge.codes import trimester
from domain.prescription import Sex
from domain.units import converted
from domain.words import Two

SHORTEST_MONTH = 28
BEARING_AGES = range(15, 50)
ANOTHER_DRUG = Two("请更换药品", "choose another drug")


@rule("B-19", Phase.SAFETY, "智能监管规则库 seq 54, 55", {"SEX_UNKNOWN": WARN, "DIAG_DEMOG": TABLE, "AGE_UNKNOWN": WARN})
def diagnosis_fits_person(case: Case) -> Iterator[Hit]:
    """A diagnosis of one sex, or of the first days of life, is that person's (diagnosis_limits.csv)."""
    patient = case.patient
    for number, code in enumerate(case.diagnoses, 1):
        for row in case.knowledge.index.diagnosis_limits.rows((code,)):
            if row.sex is not None and patient.sex is Sex.UNKNOWN:
                yield hit("SEX_UNKNOWN", Two("性别未知,无法核对诊断 {diagnosis}", "sex unknown, {diagnosis} not checked"),
                          Two("请核对患者性别", "check the patient's sex"),
                          path="patient.sex", evidence=(row.id,), diagnosis=code)
            elif (row.sex is not None and patient.sex is not row.sex) or (row.newborn and not _newborn(case)):
                yield hit("DIAG_DEMOG", Two("诊断 {diagnosis} 与患者性别或年龄不符:{reason}",
                                            "diagnosis {diagnosis} does not fit the patient's sex or age ({row})"),
                          Two("请核对诊断与患者信息", "check diagnosis and patient"), severity=row.action,
                          path=f"diagnosis[{number}].code", evidence=(row.id,), diagnosis=code, reason=row.reason, row=row.id)
            elif row.newborn and patient.age_days is None:
                yield hit("AGE_UNKNOWN", Two("日龄未知,无法核对诊断 {diagnosis}",
                                             "the age in days is unknown, {diagnosis} not checked"),
                          Two("请核对患者日龄", "check the patient's age in days"),
                          path="patient.age_days", evidence=(row.id,), diagnosis=code)


def _newborn(case: Case) -> bool:
    """By the age in days. Where only months are known: whether they may be few enough."""
    days, months, limit = case.patient.age_days, case.patient.age_months, case.policy.newborn_days
    return days <= limit if days is not None else months == 0 or months * SHORTEST_MONTH < limit


@rule("B-20", Phase.SAFETY, "智能监管规则库 seq 65, 66", {"CHILD_FORBIDDEN": TABLE, "BELOW_LABEL_AGE": WARN})
def children(case: Case) -> Iterator[Hit]:
    """Below the age in the table: its action. Below the label's age only: a warning."""
    age = case.patient.age_years
    for line in case.known_lines:
        drug = line.drug
        broken = [row for row in case.knowledge.index.limits.rows(drug)
                  if row.kind == "MIN_AGE" and row.min_age is not None and age < row.min_age]
        for row in broken:
            yield hit("CHILD_FORBIDDEN", Two("{name}不用于 {age} 岁以下:{reason}", "{drug} is not for patients under {age}"),
                      ANOTHER_DRUG, severity=row.action, path="drug", line=line, evidence=(row.id,),
                      name=drug.name, drug=drug.id, age=row.min_age, reason=row.reason)
        if not broken and drug.min_age_years is not None and age < drug.min_age_years:
            yield hit("BELOW_LABEL_AGE", Two("{name}说明书年龄下限为 {age} 岁", "the label of {drug} starts at {age} years"),
                      Two("请核对年龄与剂型", "check age and form"), path="drug", line=line, evidence=(drug.id,),
                      name=drug.name, drug=drug.id, age=drug.min_age_years)


@rule("B-21", Phase.SAFETY, "智能监管规则库 seq 67", {"SEX_UNKNOWN": WARN, "SEX_MISMATCH": TABLE})
def one_sex_only(case: Case) -> Iterator[Hit]:
    """Drugs for one sex only; an unknown sex is a warning."""
    sex = case.patient.sex
    for line in case.known_lines:
        drug = line.drug
        for row in case.knowledge.index.limits.rows(drug):
            if row.kind != "GENDER" or sex is row.sex:
                continue
            unknown = sex is Sex.UNKNOWN
            yield hit("SEX_UNKNOWN" if unknown else "SEX_MISMATCH", Two("{name}限定性别使用:{reason}",
                                                                        "{drug} is for one sex only"),
                      Two("请核对患者性别与药品", "check the patient's sex and the drug"), severity=WARN if unknown else row.action,
                      path="patient.sex", line=line, evidence=(row.id,), name=drug.name, drug=drug.id, reason=row.reason)


@rule("B-32", Phase.SAFETY, "智能监管规则库 seq 72", {"ELDERLY": TABLE})
def elderly(case: Case) -> Iterator[Hit]:
    """Drugs that need care from a certain age on, some only above a daily dose; a dose that cannot be computed counts as above."""
    for line in case.known_lines:
        drug = line.drug
        for row in case.knowledge.index.limits.rows(drug):
            if row.kind != "ELDERLY" or row.elderly_from is None or case.patient.age_years < row.elderly_from:
                continue
            if row.above is not None:
                daily = line.most_within(days=1)
                amount = None if daily is None else converted(daily, drug.dose_unit, row.above_unit)
                if amount is not None and amount <= row.above:
                    continue
            yield hit("ELDERLY", Two("{age} 岁以上慎用{name}:{reason}", "{drug} needs care from {age} years"),
                      Two("请评估后使用", "assess first"), severity=row.action, path="drug", line=line, evidence=(row.id,),
                      name=drug.name, drug=drug.id, age=row.elderly_from, reason=row.reason)


@rule("B-33", Phase.SAFETY, "智能监管规则库 seq 73", {
    "NO_REFERENCE_PREGNANCY": INFO, "PREGNANCY": (INFO, TABLE), "LACTATION": TABLE})
def pregnancy(case: Case) -> Iterator[Hit]:
    """Pregnant or breast-feeding: the table's action; a drug the table does not know is said to be unknown."""
    weeks, lactating = case.patient.pregnancy_weeks, case.patient.lactating
    if weeks is None and not lactating:
        return
    for line in case.known_lines:
        drug = line.drug
        rows = case.knowledge.index.pregnancy.rows(drug)
        if not rows:
            yield hit("NO_REFERENCE_PREGNANCY", Two("{name}无妊娠哺乳参考", "no reference for {drug}"),
                      path="drug", line=line, name=drug.name, drug=drug.id)
        for row in rows:
            if weeks is not None and row.pregnancy is not None:
                yield hit("PREGNANCY", Two("妊娠期使用{name}:{note}", "{drug} in pregnancy ({row})"), ANOTHER_DRUG,
                          severity=row.pregnancy if trimester(weeks) in row.trimesters else INFO,
                          path="patient.pregnancy_weeks", line=line, evidence=(row.id,),
                          name=drug.name, drug=drug.id, note=row.note or "见说明书", row=row.id)
            if lactating and row.lactation is not None:
                yield hit("LACTATION", Two("哺乳期使用{name}", "{drug} while breast-feeding ({row})"),
                          Two("请更换药品或暂停哺乳", "choose another drug"), severity=row.lactation,
                          path="patient.lactating", line=line, evidence=(row.id,), name=drug.name, drug=drug.id, row=row.id)


@rule("B-34", Phase.SAFETY, "平台提示", {"ASK_PREGNANCY": INFO})
def possible_pregnancy(case: Case) -> Iterator[Hit]:
    """A woman who may be pregnant and a drug that forbids it: ask."""
    patient = case.patient
    if patient.sex is Sex.MALE or patient.pregnancy_weeks is not None or patient.age_years not in BEARING_AGES:
        return
    for line in case.known_lines:
        drug = line.drug
        forbidding = [row.id for row in case.knowledge.index.pregnancy.rows(drug) if row.pregnancy is Severity.BLOCK]
        if forbidding:
            yield hit("ASK_PREGNANCY", Two("{name}妊娠期禁用,请询问是否妊娠", "{drug}: ask about pregnancy"),
                      Two("请询问并记录", "ask and record it"), path="patient.pregnancy_weeks", line=line, evidence=forbidding,
                      name=drug.name, drug=drug.id)


@rule("B-35", Phase.SAFETY, "处方管理办法 art.35; 电子处方接口 algsHis", {
    "ALLERGY_CONTRADICTED": BLOCK, "ALLERGY_NOT_REPORTED": INFO, "ALLERGY_UNKNOWN": WARN, "ALLERGY": TABLE})
def allergies(case: Case) -> Iterator[Hit]:
    """A drug of an allergy group the patient reacts to.

    An allergy without a code of ours is a warning, with its words at the desk. A missing answer is a warning too, and is not
    the same as "none known".
    """
    patient = case.patient
    if patient.no_known_allergies and (patient.allergies or patient.allergy_words):
        yield hit("ALLERGY_CONTRADICTED", Two("既声明无过敏史,又填写了过敏史",
                                              "it says that no allergies are known, and states some"),
                  Two("请核对过敏史后重新开具", "check the allergies and issue it again"), path="patient.allergies")
    if not (patient.no_known_allergies or patient.allergies or patient.allergy_words):
        yield hit("ALLERGY_NOT_REPORTED", Two("过敏史未填写,不等于无过敏史",
                                              "nothing is said of allergies, which is not that there are none"),
                  path="patient.allergies")
    if patient.allergy_words:
        yield hit("ALLERGY_UNKNOWN", Two("过敏史为文字描述({count} 条),未能自动核对,原文见处方",
                                         "allergies in words ({count}), not checked; the words are on the prescription"),
                  Two("请人工核对过敏史", "check the allergies by hand"), path="patient.allergy_words",
                  count=len(patient.allergy_words))
    for allergy in patient.allergies:
        group = case.knowledge.allergies.get(allergy)
        if group is None:
            yield hit("ALLERGY_UNKNOWN", Two("过敏史编码无法识别,未能核对", "an allergy code is unknown and was not checked"),
                      Two("请人工核对过敏史", "check the allergies by hand"), path="patient.allergies")
            continue
        for line in case.known_lines:
            drug = line.drug
            direct = drug.matches(group.patterns)
            action = group.action if direct else group.cross_action if drug.matches(group.cross_patterns) else None
            if action is not None:
                yield hit("ALLERGY", Two("{name}与过敏史冲突:{group_name}", "{drug} against allergy {group}"),
                          Two("{advice}", "choose another drug"), severity=action, path="patient.allergies", line=line,
                          evidence=(group.id,), name=drug.name, drug=drug.id, group_name=group.name, group=group.id,
                          advice=group.note or "请更换药品")

"""Could it harm the patient? (rules-cn, B-19 to B-37 and A-22) Only a reasoned dose may override a block."""

from collections.abc import Iterator
from datetime import timedelta
from fractions import Fraction
from itertools import combinations

from domain.audit.facts import (
    Facts,
    conditions,
    diagnoses,
    found,
    frequency,
    known,
    period_dose,
    plain,
    rule,
    same_ingredient,
    single_dose,
)
from domain.dosage import denser
from domain.findings import Finding, Severity
from domain.knowledge import Drug, Interaction, diagnosis_matches, trimester
from domain.orders import Dispensed
from domain.prescription import Item, Prescription, Sex
from domain.units import converted

ONCE = "st"
SHORTEST_MONTH = 28
WHOLE_FORMS = ("缓释", "控释", "肠溶")
BEARING_AGES = range(15, 50)


@rule("A-22", "处方管理办法; 处方点评 1-9; 智能监管规则库 seq 68")
def maximum_dose(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """Above the label's maximum only with the prescriber's reason; no maximum on file is said, not passed over."""
    for item, drug in known(rx, facts):
        dose = period_dose(item, drug, facts)
        if drug.max_dose is None:
            yield found("NO_REFERENCE_LIMIT", Severity.INFO, f"{drug.name}无参考剂量上限",
                        f"no reference limit for {drug.id}",
                        path="single_dose", item=item)
        elif dose is not None and dose > drug.max_dose:
            reasoned = bool(item.overdose_reason.strip())
            amounts = f"{plain(dose)}{drug.dose_unit} > {plain(drug.max_dose)}{drug.dose_unit}/{drug.dose_period_days}d"
            yield found("DOSE_OVER_MAX", Severity.WARN if reasoned else Severity.BLOCK,
                        f"{drug.name}超过说明书最大剂量:{amounts}",
                        f"{drug.id} is above the label's maximum: {amounts}",
                        "请调整剂量,或注明原因并再次签名", "lower the dose, or give the reason and sign again",
                        path="single_dose", item=item)


@rule("B-22", "智能监管规则库 seq 68; 处方点评 2-5")
def usual_dose(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """Above the usual dose is a warning, below it a remark."""
    for item, drug in known(rx, facts):
        dose, often = period_dose(item, drug, facts), frequency(item, facts)
        if dose is None or often is None or (drug.max_dose is not None and dose > drug.max_dose):
            continue
        if drug.usual_max is not None and dose > drug.usual_max:
            yield found("DOSE_ABOVE_USUAL", Severity.WARN,
                        f"{drug.name}高于常用量 {plain(drug.usual_max)}{drug.dose_unit}",
                        f"{drug.id} is above the usual {plain(drug.usual_max)} {drug.dose_unit}",
                        "请核对剂量", "check the dose", path="single_dose", item=item)
        elif drug.usual_min is not None and often.fixed and dose < drug.usual_min:
            yield found("DOSE_BELOW_USUAL", Severity.INFO,
                        f"{drug.name}低于常用量 {plain(drug.usual_min)}{drug.dose_unit}",
                        f"{drug.id} is below the usual {plain(drug.usual_min)} {drug.dose_unit}",
                        path="single_dose", item=item)


@rule("B-19", "智能监管规则库 seq 54, 55")
def diagnosis_fits_person(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """A diagnosis of one sex, or of the first days of life, is that person's (diagnosis_limits.csv)."""
    for number, code in enumerate(diagnoses(rx), 1):
        for row in facts.knowledge.diagnosis_limits:
            if not diagnosis_matches((code,), row.diagnoses):
                continue
            path = f"diagnosis[{number}].code"
            if row.sex is not None and rx.patient.sex is Sex.UNKNOWN:
                yield found("SEX_UNKNOWN", Severity.WARN, f"性别未知,无法核对诊断 {code}", f"sex unknown, {code} not checked",
                            "请核对患者性别", "check the patient's sex", path="patient.sex")
            elif (row.sex is not None and rx.patient.sex is not row.sex) or (row.newborn and not _newborn(rx, facts)):
                yield found("DIAG_DEMOG", row.action, f"诊断 {code} 与患者性别或年龄不符:{row.reason}",
                            f"diagnosis {code} does not fit the patient's sex or age ({row.id})",
                            "请核对诊断与患者信息", "check diagnosis and patient", path=path)
            elif row.newborn and rx.patient.age_days is None:
                yield found("AGE_UNKNOWN", Severity.WARN, f"日龄未知,无法核对诊断 {code}",
                            f"the age in days is unknown, {code} not checked",
                            "请核对患者日龄", "check the patient's age in days", path="patient.age_days")


def _newborn(rx: Prescription, facts: Facts) -> bool:
    """By the age in days. Where only months are known: whether they may be few enough."""
    days, months, limit = rx.patient.age_days, rx.patient.age_months, facts.policy.newborn_days
    return days <= limit if days is not None else months == 0 or months * SHORTEST_MONTH < limit


@rule("B-20", "智能监管规则库 seq 65, 66")
def children(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """Below the age in the table: its action. Below the label's age only: a warning."""
    age = rx.patient.age_years
    for item, drug in known(rx, facts):
        rows = [row for row in facts.knowledge.limits if row.kind == "MIN_AGE" and drug.matches(row.patterns)]
        broken = [row for row in rows if row.min_age is not None and age < row.min_age]
        for row in broken:
            yield found("CHILD_FORBIDDEN", row.action, f"{drug.name}不用于 {row.min_age} 岁以下:{row.reason}",
                        f"{drug.id} is not for patients under {row.min_age}", "请更换药品", "choose another drug",
                        path="drug", item=item)
        if not broken and drug.min_age_years is not None and age < drug.min_age_years:
            yield found("BELOW_LABEL_AGE", Severity.WARN, f"{drug.name}说明书年龄下限为 {drug.min_age_years} 岁",
                        f"the label of {drug.id} starts at {drug.min_age_years} years",
                        "请核对年龄与剂型", "check age and form", path="drug", item=item)


@rule("B-21", "智能监管规则库 seq 67")
def one_sex_only(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """Drugs for one sex only; an unknown sex is a warning."""
    for item, drug in known(rx, facts):
        for row in facts.knowledge.limits:
            if row.kind != "GENDER" or not drug.matches(row.patterns) or rx.patient.sex is row.sex:
                continue
            unknown = rx.patient.sex is Sex.UNKNOWN
            yield found("SEX_UNKNOWN" if unknown else "SEX_MISMATCH", Severity.WARN if unknown else row.action,
                        f"{drug.name}限定性别使用:{row.reason}", f"{drug.id} is for one sex only",
                        "请核对患者性别与药品", "check the patient's sex and the drug", path="patient.sex", item=item)


@rule("B-23", "说明书: 每周给药")
def weekly_drugs(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """A drug dosed by the week, taken more often than its label says, kills; "when needed" is more often. No override."""
    for item, drug in known(rx, facts):
        often = frequency(item, facts)
        if drug.dose_period_days < 7 or often is None or often.code == ONCE:
            continue  # a frequency nobody knows blocks under A-20
        usual = facts.knowledge.frequencies.get(drug.usual_frequency)
        times, days = (usual.times, usual.period_days) if usual and usual.fixed else (1, drug.dose_period_days)
        if not often.fixed or denser(often.times, often.period_days, times, days):
            yield found("WEEKLY_DRUG_DAILY", Severity.BLOCK, f"{drug.name}按周给药,频次不得高于说明书,也不得必要时使用",
                        f"{drug.id} is dosed by the week: not more often than its label says, and never when needed",
                        "请核对频次", "check the frequency", path="frequency", item=item)


@rule("B-24", "处方管理办法 art.35; 处方点评 2-3")
def route_and_form(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """The route fits the form, modified-release forms are not split, the frequency is the usual one."""
    for item, drug in known(rx, facts):
        usual, often, dose = (
            facts.knowledge.frequencies.get(drug.usual_frequency), frequency(item, facts), single_dose(item, drug))
        if item.route != drug.route:
            yield found("ROUTE_FORM", Severity.BLOCK, f"{drug.name}({drug.form})的途径应为 {drug.route}",
                        f"{drug.id} is taken {drug.route}", "请核对给药途径", "check the route",
                        path="route", item=item)
        if any(form in drug.form for form in WHOLE_FORMS) and often and dose is not None and dose % Fraction(drug.strength):
            # Where the usual dose itself is below one tablet, the label allows a half: then a person must look.
            splittable = drug.usual_min is not None and drug.usual_min < drug.strength
            yield found("ROUTE_FORM", Severity.WARN if splittable else Severity.BLOCK,
                        f"{drug.name}为{drug.form},不宜掰开", f"{drug.id} is a {drug.form} and must be taken whole",
                        "请调整为整片剂量", "order whole units", path="single_dose", item=item)
        if usual and often and usual.fixed and often.fixed \
                and usual.times * often.period_days != often.times * usual.period_days:
            yield found("FREQ_UNUSUAL", Severity.WARN, f"{drug.name}常用频次为{usual.name}", f"usual: {usual.code}",
                        "请核对频次", "check the frequency", path="frequency", item=item)


@rule("B-25", "智能监管规则库 seq 69; 处方点评 2-7, 3-4")
def duplicates(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """No ingredient twice, and not more drugs of one class than go together; combinations are taken apart.

    What was handed over today counts with what is on the paper; what was handed over before is B-26's.
    """
    items = list(known(rx, facts))
    today = [drug for given, drug in _dispensed(facts) if facts.day(given.at) == facts.today]
    for group in facts.knowledge.duplicates:
        if group.match == "INGREDIENT":
            for (_, one), (item, other) in combinations(items, 2):
                if same_ingredient(one, other):
                    yield _duplicate(item, group.action, "DUP_INGREDIENT", f"{one.name}与{other.name}含相同成分",
                                     f"{one.id} and {other.id} hold the same ingredient")
        elif members := [item for item, drug in items if drug.matches(group.patterns)]:
            lines = "、".join(str(item.line) for item in members)
            others = sum(drug.matches(group.patterns) for drug in today)
            if len(members) > group.max_concurrent:
                yield _duplicate(members[-1], group.action, "DUP_CLASS", f"{group.name}重复用药:第 {lines} 行",
                                 f"more than {group.max_concurrent} of {group.id}: lines {lines}")
            elif len(members) + others > group.max_concurrent:
                yield _duplicate(members[-1], group.action, "DUP_CLASS", f"{group.name}重复用药:与今日已取药品重复,第 {lines} 行",
                                 f"more than {group.max_concurrent} of {group.id}, with what was handed over today: lines {lines}")


def _dispensed(facts: Facts) -> Iterator[tuple[Dispensed, Drug]]:
    for given in facts.history:
        if drug := facts.knowledge.drug(given.drug):
            yield given, drug


def _duplicate(item: Item, action: Severity, code: str, text: str, text_en: str) -> Finding:
    return found(code, action, text, text_en, "请保留其中一种", "keep one of them", path="drug", item=item)


@rule("B-28", "智能监管规则库 seq 70; 处方点评 2-1")
def indication(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """Some diagnosis is an on-label one; a miss is a warning, a drug without indications on file a remark."""
    for item, drug in known(rx, facts):
        if not drug.indications:
            yield found("NO_REFERENCE_INDICATION", Severity.INFO, f"{drug.name}无参考适应症",
                        f"no reference indications for {drug.id}", item=item)
        elif not diagnosis_matches(diagnoses(rx), drug.indications):
            yield found("OFF_LABEL", Severity.WARN, f"诊断与{drug.name}的适应症不符",
                        f"no diagnosis is on the label of {drug.id}",
                        "请补充诊断或说明理由", "add the diagnosis or give the reason", path="diagnoses", item=item)


@rule("B-29", "智能监管规则库 seq 71; 处方点评 2-2")
def contraindications(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """Neither the diagnoses nor those on the proof forbid the drug."""
    for item, drug in known(rx, facts):
        for row in facts.knowledge.contraindications:
            if drug.matches(row.patterns) and diagnosis_matches(conditions(rx), row.diagnoses):
                yield found("CONTRA", row.action, f"{drug.name}禁忌或慎用:{row.reason}",
                            f"{drug.id} is contraindicated ({row.id})",
                            "请更换药品", "choose another drug", path="drug", item=item)


@rule("B-31", "智能监管规则库 seq 74; 处方点评 2-8")
def interactions(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """No two items of the paper clash, whichever is written first, and none with what is still being taken, as far as we
    handed it over."""
    items = list(known(rx, facts))
    for (first, one), (second, other) in combinations(items, 2):
        for row in _clashes(one, other, facts):
            yield found("INTERACTION", row.action, f"{one.name}与{other.name}相互作用:{row.effect}",
                        f"{one.id} (line {first.line}) interacts with {other.id} ({row.id})",
                        row.management, "see the management of this pair", path="drug", item=second)
    taken = {drug.id: drug for given, drug in _dispensed(facts)
             if facts.day(given.at) + timedelta(days=min(max(given.days_supply, 0), 3660)) > facts.today}
    for item, drug in items:
        for other in taken.values():
            for row in _clashes(drug, other, facts):
                yield found("INTERACTION", row.action, f"{drug.name}与在用的{other.name}相互作用:{row.effect}",
                            f"{drug.id} interacts with {other.id}, which was handed over and is still being taken ({row.id})",
                            row.management, "see the management of this pair", path="drug", item=item)


def _clashes(one: Drug, other: Drug, facts: Facts) -> Iterator[Interaction]:
    for row in facts.knowledge.interactions:
        if (one.matches(row.a_patterns) and other.matches(row.b_patterns)) or \
                (other.matches(row.a_patterns) and one.matches(row.b_patterns)):
            yield row


@rule("B-32", "智能监管规则库 seq 72")
def elderly(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """Drugs that need care from a certain age on, some only above a daily dose; a dose nobody can compute is above it."""
    for item, drug in known(rx, facts):
        for row in facts.knowledge.limits:
            if row.kind != "ELDERLY" or row.elderly_from is None or rx.patient.age_years < row.elderly_from \
                    or not drug.matches(row.patterns):
                continue
            if row.above is not None:
                daily = period_dose(item, drug, facts, days=1)
                amount = None if daily is None else converted(daily, drug.dose_unit, row.above_unit)
                if amount is not None and amount <= row.above:
                    continue
            yield found("ELDERLY", row.action, f"{row.elderly_from} 岁以上慎用{drug.name}:{row.reason}",
                        f"{drug.id} needs care from {row.elderly_from} years",
                        "请评估后使用", "assess first", path="drug", item=item)


@rule("B-33", "智能监管规则库 seq 73")
def pregnancy(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """Pregnant or breast-feeding: the table's action; a drug the table does not know is said to be unknown."""
    weeks, lactating = rx.patient.pregnancy_weeks, rx.patient.lactating
    if weeks is None and not lactating:
        return
    for item, drug in known(rx, facts):
        rows = [row for row in facts.knowledge.pregnancy if drug.matches(row.patterns)]
        if not rows:
            yield found("NO_REFERENCE_PREGNANCY", Severity.INFO, f"{drug.name}无妊娠哺乳参考",
                        f"no reference for {drug.id}",
                        path="drug", item=item)
        for row in rows:
            if weeks is not None and row.pregnancy is not None:
                inside = trimester(weeks) in row.trimesters
                yield found("PREGNANCY", row.pregnancy if inside else Severity.INFO,
                            f"妊娠期使用{drug.name}:{row.note or '见说明书'}", f"{drug.id} in pregnancy ({row.id})",
                            "请更换药品", "choose another drug", path="patient.pregnancy_weeks", item=item)
            if lactating and row.lactation is not None:
                yield found("LACTATION", row.lactation, f"哺乳期使用{drug.name}",
                            f"{drug.id} while breast-feeding ({row.id})",
                            "请更换药品或暂停哺乳", "choose another drug", path="patient.lactating", item=item)


@rule("B-34", "平台提示")
def possible_pregnancy(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """A woman who may be pregnant and a drug that forbids it: ask."""
    if rx.patient.sex is Sex.MALE or rx.patient.pregnancy_weeks is not None \
            or rx.patient.age_years not in BEARING_AGES:
        return
    for item, drug in known(rx, facts):
        if any(row.pregnancy is Severity.BLOCK and drug.matches(row.patterns) for row in facts.knowledge.pregnancy):
            yield found("ASK_PREGNANCY", Severity.INFO, f"{drug.name}妊娠期禁用,请询问是否妊娠",
                        f"{drug.id}: ask about pregnancy",
                        "请询问并记录", "ask and record it", path="patient.pregnancy_weeks", item=item)


@rule("B-35", "处方管理办法 art.35; 电子处方接口 algsHis")
def allergies(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """A drug of an allergy group the patient reacts to. What no code of ours stands for is a warning, with the words at the
    desk; that nobody said anything is said too, and is not the same as "none known"."""
    patient = rx.patient
    if patient.no_known_allergies and (patient.allergies or patient.allergy_words):
        yield found("ALLERGY_CONTRADICTED", Severity.BLOCK, "既声明无过敏史,又填写了过敏史",
                    "it says that no allergies are known, and states some",
                    "请核对过敏史后重新开具", "check the allergies and issue it again", path="patient.allergies")
    if not (patient.no_known_allergies or patient.allergies or patient.allergy_words):
        yield found("ALLERGY_NOT_REPORTED", Severity.INFO, "过敏史未填写,不等于无过敏史",
                    "nothing is said of allergies, which is not that there are none", path="patient.allergies")
    if patient.allergy_words:
        yield found("ALLERGY_UNKNOWN", Severity.WARN, f"过敏史为文字描述({len(patient.allergy_words)} 条),未能自动核对,原文见处方",
                    f"allergies in words ({len(patient.allergy_words)}), not checked; the words are on the prescription",
                    "请人工核对过敏史", "check the allergies by hand", path="patient.allergy_words")
    for allergy in patient.allergies:
        group = facts.knowledge.allergies.get(allergy)
        if group is None:
            yield found("ALLERGY_UNKNOWN", Severity.WARN, "过敏史编码无法识别,未能核对",
                        "an allergy code is unknown and was not checked",
                        "请人工核对过敏史", "check the allergies by hand", path="patient.allergies")
            continue
        for item, drug in known(rx, facts):
            direct = drug.matches(group.patterns)
            action = group.action if direct else group.cross_action if drug.matches(group.cross_patterns) else None
            if action is not None:
                yield found("ALLERGY", action, f"{drug.name}与过敏史冲突:{group.name}",
                            f"{drug.id} against allergy {group.id}",
                            group.note or "请更换药品", "choose another drug", path="patient.allergies", item=item)


@rule("B-36", "说明书: 肾功能")
def renal_labs(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """A prescription carries no laboratory values: where one could forbid the drug, say that it was not seen."""
    yield from _labs(rx, facts, ("EGFR", "CRCL"), "肾功能", "renal")


@rule("B-37", "说明书: 肝功能")
def hepatic_labs(rx: Prescription, facts: Facts) -> Iterator[Finding]:
    """The same for the liver."""
    yield from _labs(rx, facts, ("CHILD_PUGH", "HEPATIC"), "肝功能", "hepatic")


def _labs(rx: Prescription, facts: Facts, parameters: tuple[str, ...], word: str, word_en: str) -> Iterator[Finding]:
    for item, drug in known(rx, facts):
        for row in facts.knowledge.labs:
            if row.parameter in parameters and row.action is Severity.BLOCK and drug.matches(row.patterns):
                yield found("LAB_NEEDED", Severity.INFO,
                            f"未见{word}检验值,{drug.name}在 {row.parameter}{row.threshold} 时:{row.advice}",
                            f"no {word_en} value on file; {drug.id} has a limit at {row.parameter} {row.threshold}",
                            path="drug", item=item)


RULES = (maximum_dose, usual_dose, diagnosis_fits_person, children, one_sex_only, weekly_drugs, route_and_form,
         duplicates, indication, contraindications, interactions, elderly, pregnancy, possible_pregnancy, allergies,
         renal_labs, hepatic_labs)

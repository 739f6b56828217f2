"""Does a drug fit the other drugs, the diseases and the organs? (rules-cn, B-25, B-28, B-29, B-31, B-36, B-37)"""

from collections.abc import Iterator
from itertools import combinations

from domain.audit.case import Case, same_ingredient
from domain.audit.rulebook import INFO, TABLE, WARN, Hit, Phase, hit, rule
from domain.findings import Severity
from domain.knowledge.codes import diagnosis_matches
from domain.words import Two

KEEP_ONE = Two("请保留其中一种", "keep one of them")
MANAGEMENT = Two("{management}", "see the management of this pair")


@rule("B-25", Phase.SAFETY, "智能监管规则库 seq 69; 处方点评 2-7, 3-4", {"DUP_INGREDIENT": TABLE, "DUP_CLASS": TABLE})
def duplicates(case: Case) -> Iterator[Hit]:
    """No ingredient twice, and not more drugs of one class than go together; combinations are taken apart.

    What was handed over today counts with what is on the paper; what was handed over before is B-26's.
    """
    groups = case.knowledge.index.duplicates
    today = [supply for supply in case.history if supply.day == case.today]
    for position in sorted({position for line in case.known_lines for position in groups.positions(line.drug)}):
        (group,) = groups.at((position,))
        if group.match == "INGREDIENT":
            for first, second in combinations(case.known_lines, 2):
                if same_ingredient(first.drug, second.drug):
                    yield hit("DUP_INGREDIENT", Two("{name}与{other_name}含相同成分",
                                                    "{drug} and {other} hold the same ingredient"),
                              KEEP_ONE, severity=group.action, path="drug", line=second, evidence=(group.id,),
                              name=first.drug.name, drug=first.drug.id, other_name=second.drug.name, other=second.drug.id)
            continue
        members = [line for line in case.known_lines if position in groups.positions(line.drug)]
        collected = [supply for supply in today if position in groups.positions(supply.drug)]
        numbers = "、".join(str(line.number) for line in members)
        if len(members) > group.max_concurrent:
            yield hit("DUP_CLASS", Two("{group_name}重复用药:第 {lines} 行", "more than {most} of {group}: lines {lines}"),
                      KEEP_ONE, severity=group.action, path="drug", line=members[-1], evidence=(group.id,),
                      group_name=group.name, group=group.id, most=group.max_concurrent, lines=numbers)
        elif len(members) + len(collected) > group.max_concurrent:
            yield hit("DUP_CLASS", Two("{group_name}重复用药:与今日已取药品重复,第 {lines} 行",
                                       "more than {most} of {group}, with what was handed over today: lines {lines}"),
                      KEEP_ONE, severity=group.action, path="drug", line=members[-1],
                      evidence=(group.id, *(supply.evidence for supply in collected)),
                      group_name=group.name, group=group.id, most=group.max_concurrent, lines=numbers)


@rule("B-28", Phase.SAFETY, "智能监管规则库 seq 70; 处方点评 2-1", {"NO_REFERENCE_INDICATION": INFO, "OFF_LABEL": WARN})
def indication(case: Case) -> Iterator[Hit]:
    """Some diagnosis is an on-label one; a miss is a warning, a drug without indications on file a remark."""
    for line in case.known_lines:
        drug = line.drug
        if not drug.indications:
            yield hit("NO_REFERENCE_INDICATION", Two("{name}无参考适应症", "no reference indications for {drug}"),
                      line=line, name=drug.name, drug=drug.id)
        elif not diagnosis_matches(case.diagnoses, drug.indications):
            yield hit("OFF_LABEL", Two("诊断与{name}的适应症不符", "no diagnosis is on the label of {drug}"),
                      Two("请补充诊断或说明理由", "add the diagnosis or give the reason"),
                      path="diagnoses", line=line, evidence=(drug.id,), name=drug.name, drug=drug.id)


@rule("B-29", Phase.SAFETY, "智能监管规则库 seq 71; 处方点评 2-2", {"CONTRA": TABLE})
def contraindications(case: Case) -> Iterator[Hit]:
    """Neither the diagnoses nor those on the proof forbid the drug."""
    for line in case.known_lines:
        drug = line.drug
        for row in case.knowledge.index.contraindications.rows(drug):
            if diagnosis_matches(case.conditions, row.diagnoses):
                yield hit("CONTRA", Two("{name}禁忌或慎用:{reason}", "{drug} is contraindicated ({row})"),
                          Two("请更换药品", "choose another drug"), severity=row.action, path="drug", line=line, evidence=(row.id,),
                          name=drug.name, drug=drug.id, reason=row.reason, row=row.id)


@rule("B-31", Phase.SAFETY, "智能监管规则库 seq 74; 处方点评 2-8", {"INTERACTION": TABLE})
def interactions(case: Case) -> Iterator[Hit]:
    """No two items of the prescription clash, in either order, and none with a drug that we handed over and that is still taken."""
    index = case.knowledge.index
    for first, second in combinations(case.known_lines, 2):
        for row in index.interactions(first.drug, second.drug):
            yield hit("INTERACTION", Two("{name}与{other_name}相互作用:{effect}",
                                         "{drug} (line {first}) interacts with {other} ({row})"),
                      MANAGEMENT, severity=row.action, path="drug", line=second, evidence=(row.id,),
                      name=first.drug.name, drug=first.drug.id, first=first.number, other_name=second.drug.name,
                      other=second.drug.id, effect=row.effect, management=row.management, row=row.id)
    for line in case.known_lines:
        drug = line.drug
        for supply in case.still_taken:
            other = supply.drug
            for row in index.interactions(drug, other):
                yield hit("INTERACTION",
                          Two("{name}与在用的{other_name}相互作用:{effect}",
                              "{drug} interacts with {other}, which was handed over and is still being taken ({row})"),
                          MANAGEMENT, severity=row.action, path="drug", line=line, evidence=(row.id, supply.evidence),
                          name=drug.name, drug=drug.id, other_name=other.name, other=other.id, effect=row.effect,
                          management=row.management, row=row.id)


@rule("B-36", Phase.SAFETY, "说明书: 肾功能", {"LAB_NEEDED": INFO})
def renal_labs(case: Case) -> Iterator[Hit]:
    """A prescription carries no laboratory values: where one could forbid the drug, say that it was not seen."""
    yield from _labs(case, ("EGFR", "CRCL"), Two("肾功能", "renal"))


@rule("B-37", Phase.SAFETY, "说明书: 肝功能", {"LAB_NEEDED": INFO})
def hepatic_labs(case: Case) -> Iterator[Hit]:
    """The same for the liver."""
    yield from _labs(case, ("CHILD_PUGH", "HEPATIC"), Two("肝功能", "hepatic"))


def _labs(case: Case, parameters: tuple[str, ...], organ: Two) -> Iterator[Hit]:
    for line in case.known_lines:
        drug = line.drug
        for row in case.knowledge.index.labs.rows(drug):
            if row.parameter in parameters and row.action is Severity.BLOCK:
                yield hit("LAB_NEEDED", Two("未见{organ}检验值,{name}在 {parameter}{threshold} 时:{advice}",
                                            "no {organ_en} value on file; {drug} has a limit at {parameter} {threshold}"),
                          path="drug", line=line, evidence=(row.id,), organ=organ.zh, organ_en=organ.en, name=drug.name,
                          drug=drug.id, parameter=row.parameter, threshold=row.threshold, advice=row.advice)

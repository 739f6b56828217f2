"""Are drug, dose, frequency, route and quantity stated, legal and right? (rules-cn, A-19 to A-22 and B-22 to B-24)"""

import math
from collections.abc import Iterator
from fractions import Fraction

from domain.audit.case import Case, KnownLine, plain
from domain.audit.rulebook import BLOCK, INFO, WARN, Hit, Phase, hit, rule
from domain.dosage import administrations, denser, required_units, whole_packs
from domain.knowledge.rows import CatalogueEntry, Frequency
from domain.prescription import DrugKind
from domain.units import same_unit
from domain.words import Two

ROUTES = frozenset({"PO", "SC", "SL", "INH", "OPH"})
SWALLOWED = frozenset({"PO", "SL"})
ONCE = "st"
WHOLE_FORMS = ("缓释", "控释", "肠溶")
CHECK_QUANTITY = Two("请核对数量与天数", "check quantity and days")
CHECK_FREQUENCY = Two("请核对频次", "check the frequency")


@rule("A-19", Phase.PRESCRIBING, "处方管理办法 art.17; 处方点评 1-6", {"NAME_NOT_STANDARD": BLOCK, "NAME_DIFFERS": WARN})
def approved_name(case: Case) -> Iterator[Hit]:
    """Every item is in the city's catalogue; a name that does not contain the approved one needs a look."""
    for line in case.lines:
        if line.entry is None or line.drug is None:
            yield hit("NAME_NOT_STANDARD", Two("药品编码不在目录中", "the drug code is not in the catalogue"),
                      Two("请使用目录内药品编码", "use a code of the catalogue"), path="drug", line=line)
        elif line.drug.name not in line.item.name:
            yield hit("NAME_DIFFERS", Two("药名与编码不一致,该编码的通用名为{name}", "the name is not that of {drug}"),
                      Two("请核对药名与编码", "check name and code"), path="name", line=line, evidence=(line.entry.code,),
                      name=line.drug.name, drug=line.drug.id)


@rule("A-20", Phase.PRESCRIBING, "处方点评 1-7, 1-8", {"USAGE_VAGUE": BLOCK})
def explicit_directions(case: Case) -> Iterator[Hit]:
    """Dose, unit, frequency, route and days are all there and all legal.

    A unit is legal if it is the drug's, or an exact factor leads to it: 0.5 g of a drug measured in mg.
    """
    for line in case.lines:
        item = line.item
        vague = [name for name, clear in (
            ("single_dose", line.stated_dose is not None),
            ("dose_unit", line.unit_factor is not None if isinstance(line, KnownLine) else bool(item.dose_unit.strip())),
            ("frequency", line.frequency is not None),
            ("route", item.route in ROUTES),
            ("days_supply", line.course_plausible),
        ) if not clear]
        if vague:
            yield hit("USAGE_VAGUE", Two("用法用量不明确:{fields}", "directions unclear: {fields}"),
                      Two("请写明单次剂量、单位、频次、途径和天数", "state dose, unit, frequency, route and days"),
                      path=vague[0], line=line, fields=", ".join(vague))


@rule("A-21", Phase.PRESCRIBING, "平台校验; 处方点评 1-7", {
    "QTY_MISMATCH": BLOCK, "QTY_UNCHECKED": INFO, "QTY_EXCESS_PACK": WARN}, version=2)
def quantity_arithmetic(case: Case) -> Iterator[Hit]:
    """The quantity is what dose, frequency and days need, rounded up to a pack at most; `domain.dosage` computes it.

    Pens, inhalers and drops lose some at each use, and an opened one expires (days_per_pack.csv): there a further pack is
    right. When needed (prn), the label's maximum bounds the quantity; without a maximum on file that is a finding. Pieces are
    grams of a dose times doses, exactly.
    """
    for line in case.known_lines:
        item, entry = line.item, line.entry
        if line.quantity is None:
            yield hit("QTY_MISMATCH", Two("数量不是正数", "the quantity is not a positive number"),
                      Two("请填写数量", "state the quantity"), path="quantity", line=line)
        elif entry is not None and not same_unit(item.unit, entry.unit):
            yield hit("QTY_MISMATCH", Two("数量单位应为{unit}", "the counted unit must be {unit}"),
                      Two("请按目录单位填写数量", "count in the catalogue's unit"),
                      path="unit", line=line, evidence=(entry.code,), unit=entry.unit)
        elif line.frequency is None or line.single_dose is None or entry is None or not line.course_plausible:
            continue  # blocks it
        elif (bounds := _units(case, line, entry, line.frequency, line.single_dose)) is None:
            yield hit("QTY_UNCHECKED", Two("数量无法按频次核算", "the quantity cannot be computed"), path="quantity", line=line)
        elif line.quantity < bounds[0]:
            yield hit("QTY_MISMATCH", Two("数量 {quantity} 不足,需 {needed}{unit}",
                                          "quantity {quantity} is too little, {needed} needed"),
                      CHECK_QUANTITY, path="quantity", line=line, evidence=(entry.code,),
                      quantity=plain(item.quantity), needed=plain(bounds[0]), unit=entry.unit)
        elif line.quantity > bounds[1]:
            yield hit("QTY_EXCESS_PACK", Two("数量 {quantity} 过多,最多 {most}{unit}",
                                             "quantity {quantity} is too much, {most} at most"),
                      CHECK_QUANTITY, path="quantity", line=line, evidence=(entry.code,),
                      quantity=plain(item.quantity), most=plain(bounds[1]), unit=entry.unit)


def _units(case: Case, line: KnownLine, entry: CatalogueEntry, frequency: Frequency, dose: Fraction
           ) -> tuple[int | Fraction, int | Fraction] | None:
    """The fewest and the most counted units that are right; None where nothing bounds them. Pieces are weighed to the dose."""
    if line.kind is DrugKind.PIECE:
        doses = administrations(frequency.times, frequency.period_days, line.item.days_supply)
        grams = None if doses is None else dose / Fraction(entry.dose_per_unit) * (
            case.rx.decoction.doses if case.rx.decoction else doses)
        return None if grams is None else (grams, grams)
    pack, content, drug, days = entry.units_per_pack, entry.dose_per_unit, line.drug, line.item.days_supply
    needed = required_units(dose, content, frequency.times, frequency.period_days, days)
    if needed is None:
        most = required_units(drug.max_dose, content, 1, drug.dose_period_days, days) if drug.max_dose else None
        return None if most is None else (0, whole_packs(most, pack))
    if line.item.route in SWALLOWED:
        return needed, whole_packs(needed, pack)
    begun = [math.ceil(Fraction(days, row.days)) for row in case.knowledge.index.in_use.rows(drug)]
    return needed, whole_packs(max([needed, *begun]), pack) + pack


@rule("A-22", Phase.SAFETY, "处方管理办法; 处方点评 1-9; 智能监管规则库 seq 68", {
    "NO_REFERENCE_LIMIT": INFO, "DOSE_OVER_MAX": (WARN, BLOCK)})
def maximum_dose(case: Case) -> Iterator[Hit]:
    """Above the label's maximum only with the prescriber's reason; a missing maximum is a finding, never ignored."""
    for line in case.known_lines:
        drug, dose = line.drug, line.period_dose
        if drug.max_dose is None:
            yield hit("NO_REFERENCE_LIMIT", Two("{name}无参考剂量上限", "no reference limit for {drug}"),
                      path="single_dose", line=line, name=drug.name, drug=drug.id)
        elif dose is not None and dose > drug.max_dose:
            amounts = f"{plain(dose)}{drug.dose_unit} > {plain(drug.max_dose)}{drug.dose_unit}/{drug.dose_period_days}d"
            yield hit("DOSE_OVER_MAX", Two("{name}超过说明书最大剂量:{amounts}", "{drug} is above the label's maximum: {amounts}"),
                      Two("请调整剂量,或注明原因并再次签名", "lower the dose, or give the reason and sign again"),
                      severity=WARN if line.item.overdose_reason.strip() else BLOCK,
                      path="single_dose", line=line, evidence=(drug.id,), name=drug.name, drug=drug.id, amounts=amounts)


@rule("B-22", Phase.SAFETY, "智能监管规则库 seq 68; 处方点评 2-5", {"DOSE_ABOVE_USUAL": WARN, "DOSE_BELOW_USUAL": INFO})
def usual_dose(case: Case) -> Iterator[Hit]:
    """Above the usual dose is a warning, below it a remark."""
    for line in case.known_lines:
        drug, dose, frequency = line.drug, line.period_dose, line.frequency
        if dose is None or frequency is None or (drug.max_dose is not None and dose > drug.max_dose):
            continue
        if drug.usual_max is not None and dose > drug.usual_max:
            yield hit("DOSE_ABOVE_USUAL", Two("{name}高于常用量 {usual}{unit}", "{drug} is above the usual {usual} {unit}"),
                      Two("请核对剂量", "check the dose"), path="single_dose", line=line, evidence=(drug.id,),
                      name=drug.name, drug=drug.id, usual=plain(drug.usual_max), unit=drug.dose_unit)
        elif drug.usual_min is not None and frequency.fixed and dose < drug.usual_min:
            yield hit("DOSE_BELOW_USUAL", Two("{name}低于常用量 {usual}{unit}", "{drug} is below the usual {usual} {unit}"),
                      path="single_dose", line=line, evidence=(drug.id,),
                      name=drug.name, drug=drug.id, usual=plain(drug.usual_min), unit=drug.dose_unit)


@rule("B-23", Phase.SAFETY, "说明书: 每周给药", {"WEEKLY_DRUG_DAILY": BLOCK})
def weekly_drugs(case: Case) -> Iterator[Hit]:
    """A drug dosed by the week, taken more often than its label says, kills; "when needed" is more often. No override."""
    for line in case.known_lines:
        drug, frequency, usual = line.drug, line.frequency, line.usual_frequency
        if drug.dose_period_days < 7 or frequency is None or frequency.code == ONCE:
            continue  # an unknown frequency blocks under A-20
        times, days = (usual.times, usual.period_days) if usual and usual.fixed else (1, drug.dose_period_days)
        if not frequency.fixed or denser(frequency.times, frequency.period_days, times, days):
            yield hit("WEEKLY_DRUG_DAILY",
                      Two("{name}按周给药,频次不得高于说明书,也不得必要时使用",
                          "{drug} is dosed by the week: not more often than its label says, and never when needed"),
                      CHECK_FREQUENCY, path="frequency", line=line, evidence=(drug.id,), name=drug.name, drug=drug.id)


@rule("B-24", Phase.SAFETY, "处方管理办法 art.35; 处方点评 2-3", {"ROUTE_FORM": (BLOCK, WARN), "FREQ_UNUSUAL": WARN})
def route_and_form(case: Case) -> Iterator[Hit]:
    """The route fits the form, modified-release forms are not split, the frequency is the usual one."""
    for line in case.known_lines:
        drug, usual, frequency, dose = line.drug, line.usual_frequency, line.frequency, line.single_dose
        if line.item.route != drug.route:
            yield hit("ROUTE_FORM", Two("{name}({form})的途径应为 {route}", "{drug} is taken {route}"),
                      Two("请核对给药途径", "check the route"), severity=BLOCK, path="route", line=line, evidence=(drug.id,),
                      name=drug.name, drug=drug.id, form=drug.form, route=drug.route)
        if any(form in drug.form for form in WHOLE_FORMS) and frequency and dose is not None and dose % Fraction(drug.strength):
            # Where the usual dose itself is below one tablet, the label allows a half: then a person must look.
            splittable = drug.usual_min is not None and drug.usual_min < drug.strength
            yield hit("ROUTE_FORM", Two("{name}为{form},不宜掰开", "{drug} is a {form} and must be taken whole"),
                      Two("请调整为整片剂量", "order whole units"), severity=WARN if splittable else BLOCK,
                      path="single_dose", line=line, evidence=(drug.id,), name=drug.name, drug=drug.id, form=drug.form)
        if usual and frequency and usual.fixed and frequency.fixed \
                and usual.times * frequency.period_days != frequency.times * usual.period_days:
            yield hit("FREQ_UNUSUAL", Two("{name}常用频次为{usual_name}", "usual: {usual}"), CHECK_FREQUENCY,
                      path="frequency", line=line, evidence=(drug.id,),
                      name=drug.name, drug=drug.id, usual_name=usual.name, usual=usual.code)

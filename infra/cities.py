"""Reads a city's folder: its policy, benefits, catalogue and the knowledge its rules look up.

Bad data is `NeedsOperator`, naming file, row, field and cure, so that it stops a start and not a patient.
"""

import csv
import hashlib
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from domain.errors import NeedsOperator
from domain.findings import Severity
from domain.knowledge.rows import (
    AgeSexLimit,
    AllergyGroup,
    CatalogueEntry,
    ChronicGroup,
    Contraindication,
    DiagnosisLimit,
    Drug,
    DuplicateGroup,
    Frequency,
    Interaction,
    InUse,
    LabLimit,
    PaymentRestriction,
    PregnancyRow,
    ReviewItem,
    SwitchLimit,
    TraceProduct,
)
from domain.knowledge.tables import Knowledge
from domain.money import Fen, fen
from domain.payments import Method
from domain.policy import AccountScope, BenefitPolicy, CapBasis, Choosers, CityPolicy, HospitalTerms, Scope
from domain.premises import PlaceKind, Premises
from domain.prescription import DrugKind, Sex
from domain.trace import PRODUCT_DIGITS

CITIES = Path(__file__).resolve().parent.parent / "cities"

MOST_MONTHS = 12
"""How far back a payment restriction may look where its row does not say (B-06)."""

T = TypeVar("T")
_BEYOND = "beyond the header"
"""Where a row's cells go that have no column."""


class Row:
    """One row of a table that knows where it stands, so that a bad cell can be found again."""

    def __init__(self, path: Path, number: int, cells: Mapping[str, str]) -> None:
        self._path, self._number, self._cells = path, number, cells

    def bad(self, name: str, cure: str) -> NeedsOperator:
        value = self._cells.get(name)
        return NeedsOperator(
            f"{self._path.parent.name}/{self._path.name} row {self._number}, field {name}: {value!r}; {cure}"
        )

    def text(self, name: str) -> str:
        value = self._cells.get(name)
        if value is None:
            raise self.bad(name, "add the column, or the missing cell")
        return value.strip()

    def required(self, name: str) -> str:
        return self.text(name) or self._raise(name, "fill it in")

    def _raise(self, name: str, cure: str) -> str:
        raise self.bad(name, cure)

    def parsed(self, name: str, parse: Callable[[str], T], cure: str) -> T:
        try:
            return parse(self.required(name))
        except (ValueError, KeyError, InvalidOperation):
            raise self.bad(name, cure) from None

    def optional(self, name: str, parse: Callable[[str], T], cure: str) -> T | None:
        return self.parsed(name, parse, cure) if self.text(name) else None

    def listed(self, name: str) -> tuple[str, ...]:
        """The values between semicolons."""
        return tuple(part.strip() for part in self.text(name).split(";") if part.strip())

    def number(self, name: str) -> Decimal:
        return self.parsed(name, _number, "write a number that is not negative, e.g. 0.10")

    def maybe_number(self, name: str) -> Decimal | None:
        return self.optional(name, _number, "write a number, or leave it blank for unknown")

    def integer(self, name: str) -> int:
        return self.parsed(name, int, "write a whole number")

    def maybe_integer(self, name: str) -> int | None:
        return self.optional(name, int, "write a whole number, or leave it blank for none")

    def ratio(self, name: str) -> Decimal:
        return self.parsed(name, _ratio, "write a share between 0 and 1, e.g. 0.85")

    def yuan(self, name: str) -> Fen:
        return fen(self.number(name))

    def action(self, name: str) -> Severity:
        return self.parsed(name, Severity, "write BLOCK, SELFPAY, WARN or INFO")

    def maybe_action(self, name: str) -> Severity | None:
        """None where the table says OK or nothing."""
        return None if self.text(name) in ("", "OK") else self.action(name)

    def flag(self, name: str) -> bool:
        return self.parsed(name, {"Y": True, "N": False}.__getitem__, "write Y or N")

    def sex(self, name: str) -> Sex | None:
        return self.optional(name, {"M": Sex.MALE, "F": Sex.FEMALE}.__getitem__, "write M, F or nothing")


def _number(text: str) -> Decimal:
    value = Decimal(text)
    if not value.is_finite() or value < 0:
        raise ValueError(text)
    return value


def _ratio(text: str) -> Decimal:
    value = _number(text)
    if value > 1:
        raise ValueError(text)
    return value


def rows(path: Path) -> Iterator[Row]:
    """The rows of a CSV file with their line numbers. Raises `NeedsOperator` if it cannot be read."""
    try:
        # Spreadsheets put a byte order mark before the first column's name.
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, cells in enumerate(csv.DictReader(file, restkey=_BEYOND, strict=True), start=2):
                if _BEYOND in cells:
                    raise NeedsOperator(f"{path.parent.name}/{path.name} row {number} has more cells than the header; "
                                        "quote a cell that holds a comma")
                yield Row(path, number, cells)
    except OSError:
        raise NeedsOperator(f"{path.parent.name}/{path.name} cannot be read; restore the file") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise NeedsOperator(f"{path.parent.name}/{path.name} is not UTF-8 CSV ({error}); save it as such") from None


def keyed(path: Path, name: str, make: Callable[[Row], T]) -> dict[str, T]:
    """The rows of a file by one column, which must be unique."""
    values: dict[str, T] = {}
    for row in rows(path):
        key = row.required(name)
        if key in values:
            raise row.bad(name, "the value appears twice; keep one row")
        values[key] = make(row)
    return values


@cache
def load_policy(slug: str, root: Path = CITIES) -> CityPolicy:
    """The city's policy. Raises `NeedsOperator` naming file, row, field and cure if its data is bad."""
    folder = _folder(slug, root)
    facts = _toml(folder / "policy.toml")
    diseases = list(rows(folder / "diseases.csv"))
    try:
        # Any: dataclasses know their fields' types, keyword dictionaries do not.
        choices: dict[str, Any] = {_duration_field(name): _duration(name, value)
                                   for name, value in facts["deadlines"].items()}
        choices |= {name: _limit(name, value) for name, value in facts["limits"].items()} | _choice(facts.get("choice", {}))
        choices |= _payment(facts.get("payment", {}))
        policy = CityPolicy(
            slug=facts["slug"], name=facts["name"], name_en=facts["name_en"], division=facts["division"],
            clr_optins=facts["clr_optins"], timezone=facts["timezone"], payer=facts["payer"],
            chains=tuple(facts["chains"]), courier=facts.get("courier", ""), coded_chains=frozenset(facts.get("coded_chains", ())),
            hospitals=tuple(HospitalTerms(**terms | {"institutions": tuple(terms.get("institutions", ()))})
                            for terms in facts["hospitals"]),
            benefits=tuple(_benefit(row) for row in rows(folder / "benefits.csv")),
            premises=_register(folder / "premises.csv"),
            disease_caps={row.required("code"): row.yuan("annual_cap_yuan") for row in diseases},
            disease_formulary={row.required("code"): row.listed("formulary") for row in diseases},
            **choices,
        )
    except KeyError as missing:
        raise NeedsOperator(f"{slug}/policy.toml: {missing} is missing; add it") from None
    except (TypeError, ValueError, InvalidOperation) as error:
        raise NeedsOperator(f"{slug}/policy.toml: {error}; compare with cities/jinan/policy.toml") from None
    if policy.slug != slug:
        raise NeedsOperator(f"{slug}/policy.toml: slug is {policy.slug!r}; write the folder's name")
    # Addresses, secrets and polls go by a partner's slug alone.
    partners = Counter([policy.payer, *policy.chains, *(terms.slug for terms in policy.hospitals)])
    for partner, count in partners.items():
        if count > 1:
            raise NeedsOperator(f"{slug}/policy.toml: {partner} names two partners; rename the folder of one of them")
    if strange := {store.partition("/")[0] for store in policy.premises} - set(policy.chains):
        raise NeedsOperator(f"{slug}/premises.csv: {min(strange)} is no chain of policy.toml; write the slug of one")
    return policy


@cache
def load_knowledge(slug: str, root: Path = CITIES) -> Knowledge:
    """The drugs and rules tables of the city, and its catalogue. Raises `NeedsOperator` like `load_policy`."""
    city = _folder(slug, root)
    name = _toml(city / "policy.toml").get("knowledge")
    if not isinstance(name, str):
        raise NeedsOperator(f"{slug}/policy.toml: knowledge is missing; name the folder of the drug tables")
    folder = _folder(name, root)
    ingredients = keyed(folder / "ingredients.csv", "drug_id", lambda row: row.listed("atc_codes"))
    drugs = keyed(folder / "drugs.csv", "drug_id", lambda row: _drug(row, ingredients))
    return Knowledge(
        version=_version(city, folder),
        drugs=drugs,
        catalogue=keyed(city / "catalogue.csv", "code", lambda row: _entry(row, drugs)),
        frequencies=keyed(folder / "frequency_codes.csv", "code", lambda row: Frequency(
            code=row.required("code"), name=row.required("name_cn"),
            times=row.integer("times_per_period"), period_days=row.integer("period_days"))),
        interactions=tuple(Interaction(
            id=row.required("ddi_id"), a_name=row.required("a_name"), a_patterns=row.listed("a_atc_prefixes"),
            b_name=row.required("b_name"), b_patterns=row.listed("b_atc_prefixes"), action=row.action("default_action"),
            effect=row.text("effect"), management=row.text("management"),
        ) for row in rows(folder / "interactions.csv")),
        contraindications=tuple(Contraindication(
            id=row.required("ci_id"), patterns=row.listed("atc_prefixes"), diagnoses=row.listed("icd10_prefixes"),
            action=row.action("default_action"), reason=row.text("reason"),
        ) for row in rows(folder / "contraindications.csv")),
        pregnancy=tuple(PregnancyRow(
            id=row.required("pl_id"), patterns=row.listed("atc_prefixes"), pregnancy=row.maybe_action("pregnancy_action"),
            trimesters=frozenset(("T1", "T2", "T3") if "ALL" in row.listed("trimesters") else row.listed("trimesters")),
            lactation=row.maybe_action("lactation_action"), note=row.text("note"),
        ) for row in rows(folder / "pregnancy_lactation.csv")),
        limits=tuple(_limits(row) for row in rows(folder / "age_gender_limits.csv")),
        diagnosis_limits=tuple(DiagnosisLimit(
            id=row.required("dl_id"), diagnoses=row.listed("icd10_prefixes"), sex=row.sex("sex"), newborn=row.flag("newborn_only"),
            action=row.action("default_action"), reason=row.text("reason"),
        ) for row in rows(folder / "diagnosis_limits.csv")),
        in_use=tuple(InUse(id=row.required("dp_id"), patterns=row.listed("atc_prefixes"), days=row.integer("days_in_use"))
                     for row in rows(folder / "days_per_pack.csv")),
        duplicates=tuple(_duplicate(row, drugs) for row in rows(folder / "duplicate_groups.csv")),
        allergies=keyed(folder / "allergy_groups.csv", "allergy_id", lambda row: AllergyGroup(
            id=row.required("allergy_id"), name=row.required("allergen_group"), patterns=row.listed("atc_prefixes"),
            action=row.action("action"), cross_patterns=row.listed("cross_atc_prefixes"),
            cross_action=row.maybe_action("cross_action"), note=row.text("note"))),
        labs=tuple(LabLimit(
            id=row.required("rh_id"), patterns=row.listed("atc_prefixes"), parameter=row.required("parameter"),
            threshold=row.required("operator") + row.required("threshold"), action=row.action("default_action"),
            advice=row.text("advice"),
        ) for row in rows(folder / "renal_hepatic.csv")),
        # A restriction of a drug the demo tables do not hold could never match; it stays in the file only.
        restrictions=tuple(
            _restriction(row) for row in rows(folder / "payment_restrictions.csv") if row.text("drug_id")),
        chronic=tuple(ChronicGroup(
            code=row.required("group_code"), name=row.required("name_cn"), diagnoses=row.listed("icd10_prefixes"),
            chronic=row.required("code_status") != "NOT_CHRONIC",
        ) for row in rows(folder / "chronic_diseases.csv")),
        review_items=keyed(folder / "review_items.csv", "item_code", lambda row: ReviewItem(
            code=row.required("item_code"), group=row.required("outcome_group"), text=row.required("description"))),
        trace_products=keyed(city / "trace_products.csv", "digits", lambda row: TraceProduct(
            digits=row.parsed("digits", _product, "write seven digits"), drug=row.required("code"),
            units=row.integer("units_per_pack"))),
        paid_beside_others=frozenset(
            row.required("drug_id") for row in rows(folder / "tcm_payment.csv")
            if row.parsed("payment", {"NOT_ALONE": True}.__getitem__, "write NOT_ALONE; what is never paid is of class 丙")),
        switch_limits=tuple(SwitchLimit(
            patterns=row.listed("atc_prefixes"),
            kind=row.parsed("kind", {"narrow_index": "narrow_index", "biologic": "biologic"}.__getitem__,
                            "write narrow_index or biologic"),
        ) for row in rows(folder / "switch_limits.csv")),
        uncoded=frozenset(row.required("code") for row in rows(city / "uncoded.csv")),
    )


def _version(*folders: Path) -> str:
    """SHA-256 of every table and policy in the folders, by name: another file or another byte is another version."""
    digest = hashlib.sha256()
    for folder in folders:
        for file in sorted([*folder.glob("*.csv"), *folder.glob("*.toml")]):
            digest.update(f"{folder.name}/{file.name}\n".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _folder(slug: str, root: Path) -> Path:
    folder = root / slug
    if not slug.isidentifier() or not folder.is_dir():
        raise NeedsOperator(f"cities/{slug} is not there; a city is a folder like cities/jinan")
    return folder


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise NeedsOperator(f"{path.parent.name}/{path.name} cannot be read; restore the file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise NeedsOperator(f"{path.parent.name}/{path.name}: {error}; correct the line") from None


def _product(text: str) -> str:
    if len(text) != PRODUCT_DIGITS or not (text.isascii() and text.isdecimal()):
        raise ValueError(text)
    return text


UNITS = ("seconds", "minutes", "hours")


def _duration_field(name: str) -> str:
    return name.rpartition("_")[0]


def _duration(name: str, value: object) -> timedelta:
    unit = name.rpartition("_")[2]
    if unit not in UNITS or not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ValueError(f"{name} = {value!r} is not a whole positive number of {', '.join(UNITS)}")
    return timedelta(**{unit: value})


def _limit(name: str, value: object) -> int | Decimal:
    if isinstance(value, str):
        return _ratio(value)
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ValueError(f"{name} = {value!r} is neither a whole positive number nor a share in quotes")
    return value


def _choice(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Who chooses their pharmacy and how long (D-01); no patient does where the city says nothing of it."""
    if unknown := sorted(facts.keys() - {"within_minutes", "choosers", "best_unless_chosen"}):
        raise ValueError(f"choice.{unknown[0]} is not known")
    minutes, best = facts.get("within_minutes", 0), facts.get("best_unless_chosen", True)
    if not isinstance(minutes, int) or isinstance(minutes, bool) or minutes < 0:
        raise ValueError(f"choice.within_minutes = {minutes!r} is not a whole number of minutes, or 0")
    if not isinstance(best, bool):
        raise ValueError(f"choice.best_unless_chosen = {best!r} is neither true nor false")
    return {"choose_within": timedelta(minutes=minutes), "best_unless_chosen": best,
            "choosers": Choosers(facts.get("choosers", Choosers.EVERYBODY))}


def _payment(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Where patients pay through the platform, and how (E-08); nowhere where the city says nothing of it."""
    if unknown := sorted(facts.keys() - {"at_door", "at_counter", "hand_in_within_hours"}):
        raise ValueError(f"payment.{unknown[0]} is not known")
    hand_in = {"hand_in_within": _duration("hand_in_within_hours", facts["hand_in_within_hours"])} if (
        "hand_in_within_hours" in facts) else {}
    return hand_in | {f"{place}_methods": tuple(Method(method) for method in facts.get(f"at_{place}", ()))
                      for place in ("door", "counter")}


def _benefit(row: Row) -> BenefitPolicy:
    cap, pool_cap = row.maybe_number("cap_yuan"), row.maybe_number("pool_cap_yuan")
    counts = row.flag("serious_counts")
    return BenefitPolicy(
        id=row.required("policy_id"),
        insutype=row.required("insutype"),
        scope=row.parsed("scope", Scope, "write CHRONIC or OUTPATIENT"),
        ratios=(row.ratio("ratio_level_1"), row.ratio("ratio_level_2"), row.ratio("ratio_level_3")),
        retired_bonus=row.ratio("retired_bonus"),
        deductible=row.yuan("deductible_yuan"),
        cap_basis=row.parsed("cap_basis", CapBasis, "write NONE, FUND or ELIGIBLE"),
        cap=None if cap is None else fen(cap),
        pool_cap=None if pool_cap is None else fen(pool_cap),
        large_ratio=row.ratio("large_ratio"),
        account_scope=row.parsed("account_scope", AccountScope, f"write one of {', '.join(AccountScope)}"),
        serious_counts=counts,
        serious_threshold=row.yuan("serious_threshold_yuan") if counts else Fen(0),
        serious_ratio=row.ratio("serious_ratio") if counts else Decimal(0),
        civil_ratio=row.ratio("civil_ratio"),
    )


def _register(path: Path) -> dict[str, Premises]:
    """Stores by `chain/store`."""
    register: dict[str, Premises] = {}
    for row in rows(path):
        store = f"{row.required('chain')}/{row.required('store')}"
        if store in register:
            raise row.bad("store", "the store appears twice; keep one row")
        register[store] = Premises(
            dual_channel=row.flag("dual_channel"), cold_storage=row.flag("cold_storage"), cold_delivery=row.flag("cold_delivery"),
            kind=row.parsed("kind", PlaceKind, f"write one of {', '.join(PlaceKind)}"), dispenses=row.flag("dispenses"),
            pieces=row.flag("pieces"), decocts=row.flag("decocts"), pickup=row.flag("pickup"), delivery=row.flag("delivery"),
            contracted=row.flag("contracted"), custody=row.flag("custody"))
    return register


def _drug(row: Row, ingredients: Mapping[str, tuple[str, ...]]) -> Drug:
    period = row.integer("dose_period_days")
    strength = row.number("strength_value")
    if period < 1:
        raise row.bad("dose_period_days", "write 1 for per day, 7 for per week")
    if not strength:
        raise row.bad("strength_value", "write the amount in one counted unit")
    return Drug(
        id=row.required("drug_id"), name=row.required("generic_cn"), atc=row.text("atc"),
        ingredients=ingredients.get(row.required("drug_id"), ()),
        form=row.required("dose_form"), route=row.required("route"), strength=strength,
        dose_unit=row.required("dose_unit"), usual_min=row.maybe_number("usual_dose_min"),
        usual_max=row.maybe_number("usual_dose_max"), max_dose=row.maybe_number("max_dose"), dose_period_days=period,
        usual_frequency=row.text("usual_freq"), min_age_years=row.maybe_integer("min_age_years"),
        special_control=row.required("special_control"), long_term_allowed=row.flag("long_rx_allowed"),
        indications=row.listed("icd10_indications"),
        cold_chain=row.flag("cold_chain"), price_agreed=row.flag("nego_flag"),
    )


def _entry(row: Row, drugs: Mapping[str, Drug]) -> CatalogueEntry:
    if row.required("drug_id") not in drugs:
        raise row.bad("drug_id", "it is not in drugs.csv; add the drug there first")
    if row.required("nrdl_class") not in ("甲", "乙", "丙"):
        raise row.bad("nrdl_class", "write 甲, 乙 or 丙")
    packs, dose = row.integer("units_per_pack"), row.number("dose_per_unit")
    if packs < 1:
        raise row.bad("units_per_pack", "write how many counted units are in a pack")
    if not dose or row.required("dose_unit") != drugs[row.required("drug_id")].dose_unit:
        raise row.bad("dose_per_unit", "write the amount in one counted unit, in the drug's dose_unit")
    return CatalogueEntry(
        code=row.required("code"), drug=row.required("drug_id"), name=row.required("generic_cn"),
        unit=row.required("unit"), kind=row.parsed("kind", DrugKind, f"write one of {', '.join(DrugKind)}"),
        units_per_pack=packs, dose_per_unit=dose, category=row.required("nrdl_class"),
        first_selfpay=row.ratio("first_selfpay_ratio"), pay_standard=row.maybe_number("pay_standard_yuan"),
        ceiling=row.number("ceiling_yuan"), list_price=row.number("list_price_yuan"), pack=row.text("pack"),
    )


def _limits(row: Row) -> AgeSexLimit:
    dose, unit = row.maybe_number("above_dose_per_day"), row.text("above_unit")
    if (dose is None) is bool(unit):
        raise row.bad("above_unit", "give dose and unit together, or neither")
    return AgeSexLimit(
        id=row.required("ag_id"), patterns=row.listed("atc_prefixes"), kind=row.required("rule_type"),
        min_age=row.maybe_integer("min_age_years"), sex=row.sex("sex"), elderly_from=row.maybe_integer("elderly_from_years"),
        action=row.action("default_action"), reason=row.text("reason"), above=dose, above_unit=unit,
    )


def _duplicate(row: Row, drugs: Mapping[str, Drug]) -> DuplicateGroup:
    kind = row.parsed("match_type", {"INGREDIENT": "INGREDIENT", "ATC": "ATC", "TAG": "TAG"}.__getitem__,
                      "write INGREDIENT, ATC or TAG")
    patterns = row.listed("members")
    if kind == "TAG":
        # A tag's members are listed by the beginning of their names.
        names = [name.strip() for name in row.text("related_drugs").split("/")]
        patterns = tuple(f"DRUG:{drug.id}" for drug in drugs.values()
                         if any(name and drug.name.startswith(name) for name in names))
    return DuplicateGroup(
        id=row.required("dup_id"), name=row.required("group_name"), match=kind, patterns=patterns,
        max_concurrent=row.integer("max_concurrent"), action=row.action("default_action"), note=row.text("note"))


def _restriction(row: Row) -> PaymentRestriction:
    return PaymentRestriction(
        id=row.required("pr_id"), drug=row.required("drug_id"), rule_seq=row.integer("rule_seq_2025"),
        diagnoses=row.listed("dx_prefixes"), age_min=row.maybe_integer("age_min"), age_max=row.maybe_integer("age_max"),
        sex=row.sex("sex"), min_level=row.maybe_integer("min_institution_level"),
        visit=row.listed("visit_or_insurance"), prior=row.listed("prior_atc_prefixes"),
        prior_months=row.maybe_integer("prior_months") or MOST_MONTHS, evidence=row.text("evidence_summary"),
    )

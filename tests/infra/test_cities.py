"""A city's folder becomes its policy, and a mistake in it is named with file, row, field and cure."""

import shutil
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from domain.errors import NeedsOperator
from domain.policy import CityPolicy, Scope, scaled
from domain.premises import Handling, handling_of
from domain.prescription import Handover
from infra.cities import CITIES, load_knowledge, load_policy


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A copy of the cities that a test may spoil."""
    shutil.copytree(CITIES, tmp_path / "cities")
    return tmp_path / "cities"


def spoil(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_jinan_has_its_partners_and_the_numbers_of_its_file() -> None:
    city = load_policy("jinan")
    assert (city.division, city.payer) == ("370100", "jinan_centre")
    assert {"ankang", "baicao", "huakang", "jishi", "linli"} <= set(city.chains)
    assert (city.hospital("jinan_first").level, city.hospital("jinan_first").contracted) == (3, True)
    assert (city.quote_deadline, city.fulfil_within) == (timedelta(seconds=3), timedelta(hours=24))
    assert (city.disease_caps["M01600"], city.share_cap) == (420000, Decimal("0.40"))
    assert {(one.insutype, one.scope) for one in city.benefits} == {
        (insutype, scope) for insutype in ("310", "390") for scope in Scope}


def test_a_city_in_a_hurry_scales_every_duration_but_the_quote_deadline() -> None:
    city = load_policy("jinan")
    fast = scaled(city, 60)
    durations = {name for name, value in vars(city).items() if isinstance(value, timedelta)}
    shorter = {name for name in durations if getattr(fast, name) == getattr(city, name) / 60}
    assert shorter == durations - {"quote_deadline"}
    assert fast.quote_deadline == city.quote_deadline
    assert fast.benefits == city.benefits
    with pytest.raises(ValueError, match="at least 1"):
        scaled(city, 0)


@pytest.mark.parametrize("slug", ["jinan_first", "jinan_centre"])
def test_a_name_that_two_partners_share_is_refused(root: Path, slug: str) -> None:
    spoil(root / "jinan" / "policy.toml", '"baicao"', f'"{slug}"')
    with pytest.raises(NeedsOperator, match=rf"jinan/policy.toml: {slug} names two partners"):
        load_policy("jinan", root)


def test_every_product_of_the_catalogue_is_a_known_drug_below_its_ceiling() -> None:
    knowledge = load_knowledge("jinan")
    for code, entry in knowledge.catalogue.items():
        assert knowledge.drug(code) is knowledge.drugs[entry.drug]
        assert 0 < entry.list_price <= entry.ceiling == knowledge.ceilings[code]
        assert (entry.category == "乙") or not entry.first_selfpay
    assert knowledge.drug("D072B") is knowledge.drug("D072")
    assert knowledge.drug("X999") is None


def test_combination_products_are_taken_apart() -> None:
    knowledge = load_knowledge("jinan")
    assert set(knowledge.drugs["D057"].ingredients) == {"C09CA03", "C08CA01"}
    assert all(drug in knowledge.drugs for drug in ("D055", "D057", "D054", "D100", "D101", "D080", "D192"))


def test_blank_is_unknown_and_not_zero() -> None:
    insulin = load_knowledge("jinan").drugs["D030"]
    assert (insulin.max_dose, insulin.usual_max, insulin.min_age_years) == (None, None, None)


def test_the_tables_say_what_needs_a_fridge_and_what_is_under_a_price_agreement() -> None:
    drugs = load_knowledge("jinan").drugs
    assert [(drugs[code].cold_chain, drugs[code].price_agreed) for code in ("D001", "D030", "D054", "D022")] == [
        (False, False), (True, False), (False, True), (True, True)]
    handling = handling_of(["D001", "D030", "D054"], Handover.HOME, load_knowledge("jinan"))
    assert handling == Handling(Handover.HOME, cold=frozenset({"D030"}), agreed=frozenset({"D054"}))


def test_every_pattern_of_a_formulary_covers_a_drug() -> None:
    city, knowledge = load_policy("jinan"), load_knowledge("jinan")
    unused = [pattern for patterns in city.disease_formulary.values() for pattern in patterns
              if not any(drug.matches((pattern,)) for drug in knowledge.drugs.values())]
    assert unused == []


Loader = Callable[[str, Path], object]


@pytest.mark.parametrize(("file", "old", "new", "load", "says"), [
    ("jinan/benefits.csv", "500.00,0.90", "500.00,1.90", load_policy,
     r"benefits\.csv row 2, field ratio_level_1: '1\.90'"),
    ("jinan/benefits.csv", "FUND,,", "FONDS,,", load_policy, r"row 2, field cap_basis: 'FONDS'; write NONE, FUND"),
    ("jinan/diseases.csv", "4200.00", "-1", load_policy, r"diseases\.csv row 2, field annual_cap_yuan"),
    ("jinan/catalogue.csv", "60,500,mg", "0,500,mg", load_knowledge,
     r"catalogue\.csv row 2, field units_per_pack: '0'"),
    ("jinan/catalogue.csv", "D001,D001", "D001,D999", load_knowledge,
     r"row 2, field drug_id: 'D999'; it is not in drugs"),
    ("jinan/catalogue.csv", "D002,D002", "D001,D002", load_knowledge,
     r"row 3, field code: 'D001'; the value appears twice"),
    ("jinan/catalogue.csv", "0.31,western", "0.31,pills", load_knowledge,
     r"catalogue\.csv row 2, field kind: 'pills'; write one of western, tcm_patent"),
    ("demo_knowledge/age_gender_limits.csv", "0.125,mg", "0.125,", load_knowledge,
     r"age_gender_limits\.csv row 15, field above_unit: ''; give dose and unit together"),
    ("demo_knowledge/diagnosis_limits.csv", "M,N,BLOCK", "X,N,BLOCK", load_knowledge,
     r"diagnosis_limits\.csv row 2, field sex: 'X'; write M, F or nothing"),
    ("jinan/premises.csv", "AK01,Y", "AK01,yes", load_policy, r"premises\.csv row 2, field dual_channel: 'yes'; write Y or N"),
    ("jinan/premises.csv", "ankang,AK01", "ankan,AK01", load_policy, r"premises\.csv: ankan is no chain of policy\.toml"),
    ("jinan/premises.csv", "AK01,Y", "AK01,y", load_policy, r"premises\.csv row 2, field dual_channel: 'y'; write Y or N"),
    ("jinan/premises.csv", "AK01,Y,Y,Y", "AK01,Y,,Y", load_policy, r"row 2, field cold_storage: ''; fill it in"),
    ("jinan/premises.csv", "AK01,Y,Y,Y", "AK01,Y,Y,Y,N", load_policy, r"premises\.csv row 2 has more cells than the header"),
    ("jinan/premises.csv", "AK02", "AK01", load_policy, r"row 3, field store: 'AK01'; the store appears twice"),
    ("jinan/policy.toml", "newborn_days = 28", "newborn_days = 0", load_policy, "newborn_days = 0"),
    ("jinan/policy.toml", "review_claim_minutes = 10", "review_claim_minutes = 0", load_policy,
     "review_claim_minutes = 0"),
    ("jinan/policy.toml", "within_minutes = 30", "within_minutes = -1", load_policy, "choice.within_minutes = -1"),
    ("jinan/policy.toml", "within_minutes = 30", "minutes = 30", load_policy, "choice.minutes is not known"),
    ("jinan/policy.toml", 'choosers = "who_asks"', 'choosers = "some"', load_policy, "'some' is not a valid Choosers"),
    ("jinan/policy.toml", "best_unless_chosen = true", 'best_unless_chosen = "yes"', load_policy, "neither true nor false"),
    ("jinan/policy.toml", "level = 3", "level = 4", load_policy, "level 4 is not 1, 2 or 3"),
    ("jinan/policy.toml", 'payer = "jinan_centre"', "", load_policy, "'payer' is missing"),
    ("jinan/policy.toml", 'payer = "jinan_centre"', "payer = ", load_policy, r"policy\.toml: Invalid value"),
    ("jinan/policy.toml", 'slug = "jinan"', 'slug = "other"', load_policy, "write the folder's name"),
    ("jinan/policy.toml", "proof_months = 12", "prof_months = 12", load_policy, "prof_months"),
    ("demo_knowledge/drugs.csv", "2550,mg", "viel,mg", load_knowledge,
     r"drugs\.csv row 2, field max_dose: 'viel'; write a number"),
    ("demo_knowledge/interactions.csv", "CONTRAINDICATED,BLOCK", "CONTRAINDICATED,STOP", load_knowledge,
     r"interactions\.csv row 2, field default_action: 'STOP'; write BLOCK"),
])
def test_bad_data_names_file_row_field_and_cure(
    root: Path, file: str, old: str, new: str, load: Loader, says: str
) -> None:
    spoil(root / file, old, new)
    with pytest.raises(NeedsOperator, match=says):
        load("jinan", root)


def test_a_byte_order_mark_and_blanks_around_a_cell_are_none_of_it(root: Path) -> None:
    file = root / "jinan" / "premises.csv"
    file.write_text("\ufeff" + file.read_text(encoding="utf-8").replace("ankang,AK01,Y", " ankang , AK01 , Y "), encoding="utf-8")
    assert load_policy("jinan", root).premises == load_policy("jinan").premises


@pytest.mark.parametrize("load", [load_policy, load_knowledge])
def test_a_missing_file_or_city_is_named(root: Path, load: Loader) -> None:
    with pytest.raises(NeedsOperator, match="cities/nowhere"):
        load("nowhere", root)
    with pytest.raises(NeedsOperator, match="is not there"):
        load("../jinan", root)
    (root / "jinan" / "diseases.csv").unlink()
    (root / "jinan" / "catalogue.csv").unlink()
    with pytest.raises(NeedsOperator, match="cannot be read"):
        load("jinan", root)


def test_the_policy_is_read_once() -> None:
    assert load_policy("jinan") is load_policy("jinan")
    assert isinstance(load_policy("jinan"), CityPolicy)

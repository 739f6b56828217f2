"""Name, address, phone and age: of several the one that counts on the day."""

import pytest

from tests.support.cda_documents import ADDRESS, PATIENT, PHONE, admitted, changed, checked


@pytest.mark.parametrize("names", [
    "<name>\n  <family>示范</family>\n  <given>患者甲</given>\n</name>", "<name><given>患者甲</given><family>示范</family></name>",
    "<name>\n    示范患者甲\n  </name>", "<name>示范\n    患者甲</name>", "<name><![CDATA[示范患者甲]]></name>",
    "<name>示范患者甲<family>示范</family><given>患者甲</given></name>",
    "<name><family>示范</family><given>患者</given><given>甲</given></name>",
    '<name use="ABC">Shifan Huanzhe</name><name use="IDE">示范患者甲</name>', '<name use="SYL">x</name><name>示范患者甲</name>',
    '<name use="P">别名</name><name use="L">示范患者甲</name>', '<name>示范甲</name><name use="L">示范患者甲</name>',
    '<name>旧名<validTime><high value="2020"/></validTime></name><name>示范患者甲</name>',
    '<name>示范患者甲<validTime><low value="20200101"/></validTime></name>'
    '<name>新名<validTime><low value="20270101"/></validTime></name>',
    '<name use="OLD">旧名</name><name>示范患者甲</name>', "<name>示范患者甲</name><name>示范患者甲</name>",
    "<name/><name>示范患者甲</name>",
    '<name nullFlavor="UNK"/><name>示范患者甲</name>'], ids=range(17))
def test_the_name_is_the_current_official_one_in_characters_without_a_printers_line_breaks(names: str) -> None:
    assert admitted(changed(PATIENT, names)).patient.name == "示范患者甲"


def test_a_name_in_letters_keeps_its_order_and_its_blanks_and_an_official_separator_stays() -> None:
    for written, name in (
            ("<name><given>Anna</given><family>Example</family></name>", "Anna Example"),
            ("<name>Anna\n   Example</name>", "Anna Example"), ("<name>示范 甲</name>", "示范 甲"),
            ("<name><given>阿里木</given><delimiter>·</delimiter><family>示范</family></name>", "阿里木·示范")):
        assert admitted(changed(PATIENT, written)).patient.name == name


@pytest.mark.parametrize("addresses", [
    "<addr>\n  <city>示范市</city>\n  <county>示范区</county>\n  <streetAddressLine>示范路1号</streetAddressLine>\n</addr>",
    "<addr><streetAddressLine>示范路1号</streetAddressLine><county>示范区</county><city>示范市</city></addr>",
    "<addr>\n  示范市示范区\n  示范路1号\n</addr>", '<addr use="BAD">旧地址</addr><addr use="H">示范市示范区示范路1号</addr>',
    '<addr use="WP">示范单位</addr><addr use="HP">示范市示范区示范路1号</addr>',
    '<addr use="TMP">临时</addr><addr>示范市示范区示范路1号</addr>',
    '<addr>旧址<useablePeriod xsi:type="IVL_TS"><high value="202610"/></useablePeriod></addr><addr>示范市示范区示范路1号</addr>'],
    ids=range(7))
def test_the_address_is_the_one_where_the_patient_lives_now(addresses: str) -> None:
    assert admitted(changed(ADDRESS, addresses)).patient.address == "示范市示范区示范路1号"


@pytest.mark.parametrize("numbers", [
    '<telecom use="BAD" value="tel:19900000009"/><telecom value="tel:19900000001"/>', '<telecom value="19900000001"/>',
    '<telecom value="mailto:a@b.example"/><telecom value="tel:19900000001"/>',
    '<telecom use="EC" value="tel:19900000009"/><telecom use="HP" value="tel:19900000001"/>',
    '<telecom use="WP" value="tel:19900000009"/><telecom use="MC" value="TEL:19900000001"/>'], ids=range(5))
def test_the_phone_is_the_one_that_reaches_the_patient_now(numbers: str) -> None:
    assert admitted(changed(PHONE, numbers)).patient.phone == "19900000001"


@pytest.mark.parametrize(("value", "unit", "days"), [
    ("4", "周", 28), ("4", "wk", 28), ("28", "天", 28), ("28.0", "d", 28), ("30", "日", 30), ("720", "小时", 30)])
def test_days_have_their_unit_read(value: str, unit: str, days: int) -> None:
    raw = changed('<width value="30" unit="天"/>', f'<width value="{value}" unit="{unit}"/>')
    assert admitted(raw).prescription.items[0].days_supply == days


@pytest.mark.parametrize(("born", "age", "unit"), [
    ("20261112", "10", "天"), ("20261112", "1", "周"), ("20260822", "3", "月"), ("20251122", "1", "岁"), ("20251123", "11", "个月"),
    ("20261122", "5", "小时")])
def test_the_age_of_an_infant_is_compared_in_its_own_unit(born: str, age: str, unit: str) -> None:
    def raw(value: str) -> bytes:
        return changed('<age value="68" unit="岁"/>', f'<birthTime value="{born}"/><age value="{value}" unit="{unit}"/>')

    codes = [{one.code for one in checked(raw(value))[1]} for value in (age, str(int(age) + 40))]
    assert "CDA_AGE" not in codes[0]
    assert "CDA_AGE" in codes[1]
    assert all("BIRTH_DATE_MISMATCH" in found or found for found in codes)  # the id number is somebody else's

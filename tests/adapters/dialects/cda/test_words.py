"""Notes, directions, packs and decoctions that stand in words."""

from decimal import Decimal

import pytest

from adapters.dialects import cda
from domain.prescription import Approval, Decoction, SkinTestResult
from fhir_profiles.reader import read_bundle_data
from tests.support.cda_documents import PIECES, SLUG, admitted, changed, checked, observation, sample

NOTED = {
    "a remark": ("复诊续方", "首剂减半"),
    "the words of the section": ("<text/>\n          <entry>\n            <substanceAdministration",
                                 "<text><paragraph>首剂减半</paragraph></text><entry><substanceAdministration"),
    "a section of words": ("<component>\n        <section>\n          <code code=\"48768-6\"",
                           '<component><section><code code="51848-0" codeSystem="2.16.840.1.113883.6.1"/><title>医嘱</title>'
                           '<text>首剂减半</text></section></component><component><section><code code="48768-6"'),
}


@pytest.mark.parametrize("place", NOTED)
def test_words_to_the_prescription_reach_pharmacist_and_pharmacy(place: str) -> None:
    assert "首剂减半" in admitted(changed(*NOTED[place])).prescription.note


@pytest.mark.parametrize(("old", "new"), [
    ("<text/>\n              <effectiveTime", "<text>首剂减半</text>\n              <effectiveTime"),
    ("<text/>\n              <effectiveTime",
     '<text mediaType="text/plain"><list><item>首剂减半</item></list></text><effectiveTime'),
    ("</consumable>", '</consumable><entryRelationship typeCode="SUBJ" inversionInd="true"><act classCode="ACT" moodCode="INT">'
     "<text>首剂减半</text></act></entryRelationship>")], ids=range(3))
def test_words_to_a_drug_are_its_directions(old: str, new: str) -> None:
    assert admitted(changed(old, new)).prescription.items[0].directions == "首剂减半"


def of_the_drug(*observations: str) -> bytes:
    return changed("</consumable>", "</consumable>" + "".join(
        f'<entryRelationship typeCode="COMP">{one}</entryRelationship>' for one in observations))


def test_what_the_prescriber_wrote_of_one_drug_stays_with_it() -> None:
    item = admitted(of_the_drug(
        observation("DE06.00.179.00", "ST", "自备一半", cda.DATA_ELEMENTS), observation("overdose-reason", "ST", "耐受"),
        observation("approval", "CD", "1"), observation("skin-test-exemption", "ST", "本批已试"))).prescription.items[0]
    assert (item.note, item.overdose_reason, item.approval) == ("自备一半", "耐受", Approval.COVERED)
    assert item.skin_test
    assert item.skin_test.exemption == "本批已试"
    tested = admitted(of_the_drug(observation(
        "skin-test", "CD", "negative", more='<effectiveTime value="20261122083000"/>'))).prescription.items[0].skin_test
    assert tested
    assert tested.result is SkinTestResult.NEGATIVE
    assert tested.at
    assert tested.at.isoformat() == "2026-11-22T08:30:00+08:00"
    labelled = admitted(changed('<code code="ZY0001"/>', '<code code="ZY0001"><originalText>格华止</originalText></code>'))
    assert labelled.prescription.items[0].note == "格华止"
    form = admitted(changed("<consumable>", '<administrationUnitCode code="1" displayName="片剂"/><consumable>'))
    assert form.prescription.items[0].note == "剂型代码：1；片剂"


@pytest.mark.parametrize(("said", "strength", "size"), [
    ("0.5g*60片", "500", 60), ("500mg×60片/盒", "500", 60), ("0.5 g", "500", None), ("500毫克*60片", "500", 60)])
def test_the_pack_is_read_in_the_unit_of_the_dose(said: str, strength: str, size: int | None) -> None:
    pack = admitted(changed("0.5g*60片", said)).prescription.items[0].pack
    assert pack
    assert (pack.strength, pack.strength_unit, pack.size) == (Decimal(strength), "mg", size)


def test_a_pack_nobody_can_read_is_shown_as_it_was_written() -> None:
    item = admitted(changed("0.5g*60片", "60片装")).prescription.items[0]
    assert (item.pack, item.note) == (None, "规格：60片装")


def test_how_pieces_are_decocted_is_read_where_the_words_say_it_plainly() -> None:
    message, _ = checked(sample("waiting/pieces.xml"), PIECES)
    assert message
    rx = read_bundle_data(message.resource, SLUG, lambda _: "pt_1").prescription
    assert rx.decoction == Decoction(7, "decoct", 2)
    assert {one.directions for one in rx.items} == {"水煎两次，取汁400ml；分早晚两次温服"}

    marked, findings = checked(changed("<name>当归</name>", "<name>当归（后下）</name>", "waiting/pieces.xml"), PIECES)
    assert marked
    assert not findings
    assert read_bundle_data(marked.resource, SLUG, lambda _: "pt_1").prescription.items[2].decoction_mark == "last"


@pytest.mark.parametrize(("old", "new"), [
    ("黄芪30g 丹参15g", "黄芪60g 丹参15g"), ("黄芪30g 丹参15g", "黄芪30g 附子15g"), ("分早晚两次温服", "分早晚两次温服，每日三次")])
def test_words_that_contradict_the_pieces_are_a_finding_or_no_more_than_words(old: str, new: str) -> None:
    message, findings = checked(changed(old, new, "waiting/pieces.xml"), PIECES)
    assert message
    rx = None if findings else read_bundle_data(message.resource, SLUG, lambda _: "pt_1").prescription
    # What the words say of the pieces is the document's own; how often, the checker of all dialects compares.
    assert {one.code for one in findings} <= {"CDA_CONTRADICTION", "TEXT_DISAGREES"} if rx is None else rx.decoction is None

"""The XML parser takes what is XML, in any encoding it declares, and nothing that could do harm."""

import gc
import weakref
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.xml import MAX_BYTES, local, parse, spot, xpath
from domain.errors import InvalidPayload
from domain.findings import Spot
from tests.support.effort import growth, steps

DECLARED = '<?xml version="1.0" encoding="{}"?>\n<病历 xmlns="urn:x"><患者/><诊断>糖尿病</诊断></病历>'
LAUGHS = b"""<?xml version="1.0"?>
<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>
<l>&c;</l>"""


def refusal(raw: bytes, **limits: int) -> tuple[str, int, int]:
    with pytest.raises(InvalidPayload) as caught:
        parse(raw, "Bundle", **limits)
    (finding,) = caught.value.findings
    assert finding.path == "Bundle"
    assert finding.spot is not None
    return finding.code, finding.spot.line, finding.spot.column


@pytest.mark.parametrize(("declared", "codec"), [
    ("UTF-8", "utf-8"), ("utf-8", "utf-8-sig"), ("UTF-16", "utf-16"), ("UTF-16", "utf-16-be"), ("GB18030", "gb18030"),
    ("gb2312", "gbk"), ("GBK", "gbk")])
def test_chinese_is_read_in_every_encoding_a_hospital_declares(declared: str, codec: str):
    root = parse(DECLARED.format(declared).encode(codec))
    assert [local(one) for one in root] == ["患者", "诊断"]
    assert root[1].text == "糖尿病"


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_an_element_is_found_where_it_stands_in_the_file_as_sent(codec: str):
    declared = {"utf-8-sig": "utf-8"}.get(codec, codec)
    raw = DECLARED.format(declared).encode(codec)
    where = spot(parse(raw)[1])
    assert (where.name, where.line) == ("/病历/诊断", 2)
    mark = len(raw) - len(DECLARED.format(declared).encode(codec.removesuffix("-sig") if codec != "utf-16" else "utf-16-le"))
    text = raw[mark:].decode(codec.removesuffix("-sig") if codec != "utf-16" else "utf-16-le")
    assert text.splitlines()[1][where.column - 1:].startswith("<诊断>")
    assert raw[where.offset:].decode(codec.removesuffix("-sig") if codec != "utf-16" else "utf-16-le").startswith("<诊断>")


def test_comments_instructions_and_prefixes_make_no_difference():
    plain = parse(b'<a xmlns="urn:x"><b>t</b><b/></a>')
    raw = b'<!-- <z> --><p:a xmlns:p="urn:x"><?pi <q> ?><!-- < --><p:b>t<!-- - --></p:b><p:b/></p:a>'
    odd = parse(raw)
    assert [one.tag for one in odd.iter()] == [one.tag for one in plain.iter()]
    assert xpath(odd[1]) == xpath(plain[1]) == "/a/b[2]"
    assert spot(odd[1]).offset == raw.index(b"<p:b/>")


def test_a_tag_in_a_value_or_in_cdata_is_no_tag():
    raw = b'<a><b x="1>/>" y=\'"\'/><![CDATA[<c><!DOCTYPE d>]]><e/></a>'
    root = parse(raw)
    assert [local(one) for one in root] == ["b", "e"]
    assert spot(root[1]).offset == raw.index(b"<e/>")


@pytest.mark.parametrize(("raw", "code", "line", "column"), [
    (LAUGHS, "XML_DOCTYPE", 2, 1),
    (b'<!DOCTYPE a SYSTEM "http://192.0.2.1/a.dtd"><a/>', "XML_DOCTYPE", 1, 1),
    (b"<a>&unknown;</a>", "MSG_NOT_XML", 1, 13),
    (b"<a>\n<b></a></b>", "MSG_NOT_XML", 2, 8),
    (b"", "MSG_NOT_XML", 1, 1),
    (b"<a/>\0<b/>", "MSG_NOT_XML", 1, 5),
    (b"<a>\x01</a>", "MSG_NOT_XML", 1, 4),
    ("<a>\n中</a>".encode("gb18030"), "XML_ENCODING", 2, 1),
    (DECLARED.format("GB2312").encode(), "XML_ENCODING", 1, 1),
    (DECLARED.format("UTF-16").encode(), "XML_ENCODING", 1, 1),
    (DECLARED.format("EBCDIC-CP-US").encode(), "XML_ENCODING", 1, 1),
    (b"<a>" * 70 + b"</a>" * 70, "MSG_TOO_DEEP", 1, 64 * 3 + 1),
])
def test_what_is_no_xml_or_could_do_harm_is_refused_where_it_is_wrong(raw: bytes, code: str, line: int, column: int):
    assert refusal(raw) == (code, line, column)


@pytest.mark.parametrize("raw", [
    b"<a>" * (MAX_BYTES // 3), b"<" * MAX_BYTES, bytes(MAX_BYTES), b"<a " + b'"' * 5_000_000, b"<!--" * 100_000,
    b"<a>" + b'<b "' * 90_000, b"[" * MAX_BYTES, b" " * (MAX_BYTES + 1), LAUGHS * 10_000], ids=range(9))
def test_nonsense_of_any_size_is_refused_before_it_is_taken_apart(raw: bytes):
    refusal(raw)
    assert steps(lambda: refusal(raw)) < 2_000


FLOODS: dict[str, Callable[[int], bytes]] = {
    "one line of elements": lambda n: b"<a>" + b"<b/>" * n + b"</a>",
    "each on a line": lambda n: b"<a>" + "<b>中</b>\n".encode() * n + b"</a>",
    "each of another name": lambda n: b"<a>" + b"".join(b"<b%d/>" % number for number in range(n)) + b"</a>",
    "nested fifty deep": lambda n: b"<a>" + (b"<p>" * 50 + b"<q/>" * 500 + b"</p>" * 50) * (n // 500) + b"</a>",
    "attributes": lambda n: b"<a>" + b'<b c="1" d="2"/>' * n + b"</a>",
}


@pytest.mark.parametrize("make", FLOODS.values(), ids=FLOODS)
def test_the_places_of_every_element_of_a_flood_cost_no_more_than_one_walk(make: Callable[[int], bytes]):
    def placed(raw: bytes) -> list[Spot]:
        return [spot(element) for element in parse(raw).iter("*")]

    assert growth(placed, make(2_000), make(4_000)) < 2.5
    raw = make(10_000)
    places = placed(raw)
    assert all(raw[place.offset:place.offset + 1] == b"<" for place in places)
    assert len({place.name for place in places}) == len(places)


@pytest.mark.parametrize("raw", [
    b"<a " + b" ".join(b'b%d="1"' % number for number in range(101)) + b"/>",
    b"<a>" + b'<b c="1" d="2" e="3"/>' * 300 + b"</a>",
    b"<a>" + b"".join(b"<b %s>" % b" ".join(b'xmlns:n%d="u"' % (20 * level + n) for n in range(20)) for level in range(14))
    + b"</b>" * 14 + b"</a>",
    b"<" + b"a" * 201 + b"/>", b"<a " + b"b" * 201 + b"='1'/>", b"<a>" + b"<b/>" * 501 + b"</a>",
], ids=["attributes of an element", "attributes", "namespaces in force", "a name", "an attribute's name", "tags"])
def test_what_is_counted_has_a_bound(raw: bytes):
    assert refusal(raw, max_tags=500)[0] == "MSG_TOO_COMPLEX"


@pytest.mark.parametrize("raw", [
    DECLARED.format("GB2312").encode("utf-8-sig"), DECLARED.format("UTF-16").encode("utf-8-sig"),
    DECLARED.format("UTF-8").encode("utf-16"), DECLARED.format("UTF-8").encode("utf-16-le"),
    DECLARED.format("UTF-16LE").encode("utf-16-be"), DECLARED.format("KOI8-R").encode("utf-8-sig"),
    DECLARED.format("US-ASCII").encode(), DECLARED.format("UTF-8").encode("gbk"), DECLARED.format("ISO-8859-1").encode(),
    DECLARED.format("GBK").encode()], ids=range(10))
def test_an_encoding_that_is_not_the_one_declared_is_refused(raw: bytes):
    assert refusal(raw)[0] == "XML_ENCODING"


def test_a_file_s_places_are_gone_with_it():
    element = parse(b"<a><b/></a>")[0]
    assert spot(element).column == 4
    parser = weakref.ref(element.getroottree().parser)
    del element
    gc.collect()
    assert parser() is None


def test_nothing_is_fetched_or_included():
    raw = b'<a xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="file:///etc/hostname" parse="text"/></a>'
    assert parse(raw).xpath("string()") == ""


def test_a_number_of_a_person_does_not_get_into_a_place():
    assert xpath(parse(b"<a><x370102195803029910/></a>")[0]) == "/a/*"


@given(st.one_of(st.binary(), st.text(alphabet='<>/!-[]&"\'=ax?\0中 ').map(str.encode)))
def test_any_bytes_are_an_element_or_a_finding_with_its_spot(raw: bytes):
    try:
        where = [spot(parse(raw))]
    except InvalidPayload as refusal:
        where = [finding.spot for finding in refusal.findings]
    assert all(one.line and one.column and one.offset >= 0 for one in where)

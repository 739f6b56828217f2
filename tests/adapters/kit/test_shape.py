"""The shape of a message: its elements, and nothing it says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import registry
from adapters.kit import samples
from adapters.kit.shape import shape


def test_json_is_its_names_without_values_and_positions() -> None:
    raw = '{"药品": [{"编码": "A1"}, {"编码": "A2", "用法": null}], "resourceType": "Bundle", "n": 1}'.encode()
    assert shape(raw) == {"Bundle.药品.编码", "Bundle.药品.用法", "Bundle.resourceType", "Bundle.n"}


def test_xml_is_its_elements_and_attributes_whatever_the_prefix() -> None:
    one = shape(b'<a:rx xmlns:a="urn:x" id="1"><a:item/><a:item><a:dose>5</a:dose></a:item></a:rx>')
    assert one == shape(b'<rx xmlns="urn:x" id="2"><item><dose/></item></rx>') == {"rx", "rx/@id", "rx/item", "rx/item/dose"}


def test_hl7_is_its_fields_that_say_something() -> None:
    assert shape(b"MSH|^~\\&|HIS||\rRXE||D001^x|\r") == {"MSH-2", "MSH-3", "RXE-2"}


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_a_table_is_its_headings(encoding: str) -> None:
    assert shape("处方号,姓名\r\nRX1,张三\r\n".encode(encoding)) == {"处方号", "姓名"}


def test_a_table_without_headings_has_no_shape_since_it_would_be_people() -> None:
    assert shape("RX1,张三,370102195803029910\r\n".encode()) == frozenset()


@pytest.mark.parametrize("slug", registry.slugs("hospitals"))
def test_the_samples_of_a_hospital_have_shapes_that_name_nobody(slug: str) -> None:
    for one in samples.valid(slug):
        found = shape(one.raw)
        assert found or one.name.endswith(".xlsx")
        assert not [path for path in found if "示范" in path or "3701" in path]


@given(st.binary(max_size=200))
def test_no_bytes_are_too_odd(raw: bytes) -> None:
    assert isinstance(shape(raw), frozenset)

"""Who a document is about: of several names, addresses and numbers the current one; age, sex and birth date compared.

What an element says of itself decides (use, validTime, useablePeriod), never that it comes first.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date

from adapters.dialects.cda import Document, children, find
from adapters.dialects.cda_grammar import RESIDENT_ID
from adapters.dialects.cda_values import day, decimal, unindented
from adapters.xml import Element, local
from fhir_profiles.drafts import NOTHING, Datum, GuardianDraft

Ranks = Callable[[frozenset[str]], int | None]
"""The use of an element -> how much it is the one to take, the less the more; None for what is not current."""

_NOT_CURRENT = frozenset({"BAD", "OLD"})
_ALIASES = frozenset({"P", "A", "I", "R", "SRCH", "PHON", "SNDX"})
"""Uses of a name that is not the official one: pseudonym, artist, indigenous, religious, for searching."""
_SPELT = frozenset({"ABC", "SYL"})
_NAME_PARTS = ("family", "given", "delimiter")
_ADDRESS_PARTS = (
    "country", "state", "city", "county", "precinct", "streetNameBase", "streetName", "houseNumber", "houseNumberNumeric",
    "streetAddressLine", "buildingNumberSuffix", "additionalLocator", "unitType", "unitID", "postBox", "postalCode")
"""From the largest to the smallest, as a Chinese address is written."""
_CHINESE = re.compile("[\u2e80-\u9fff]")


def name(document: Document, person: Element | None, on: str, de: str = "") -> Datum:
    """The official name: in characters rather than spelt, legal rather than any. `on` is a day, yyyyMMdd."""
    def rank(uses: frozenset[str]) -> int | None:
        if uses & (_NOT_CURRENT | _ALIASES):
            return None
        return 2 * bool(uses & _SPELT) + (not uses & {"L", "OR", "C"})

    return _current(document, children(person, "name"), rank, on, lambda node: _name(document, node), "validTime", de)


def address(document: Document, role: Element | None, on: str) -> Datum:
    """Where the patient lives now."""
    return _current(document, children(role, "addr"), _order({"HP": 0, "H": 0, "TMP": 2, "HV": 2, "WP": 3, "PST": 3}, 1), on,
                    lambda node: _address(document, node), "useablePeriod", "")


def phone(document: Document, role: Element | None, on: str) -> Datum:
    """The number to call the patient by now; electronic addresses and fax numbers are none."""
    numbers: list[Element] = []
    for telecom in children(role, "telecom"):
        scheme, colon, _ = telecom.get("value", "").partition(":")
        if colon and scheme.lower() != "tel":
            document.take(telecom, "value", "use")
        else:
            numbers.append(telecom)
    return _current(document, numbers, _order({"MC": 0, "HP": 1, "H": 1, "HV": 2, "WP": 3, "AS": 4, "EC": 4}, 1), on,
                    lambda node: re.sub("(?i)^tel:", "", document.datum(node, "value").value).strip(), "useablePeriod", "",
                    attribute="value")


def _order(ranks: Mapping[str, int], otherwise: int) -> Ranks:
    def rank(uses: frozenset[str]) -> int | None:
        return None if uses & _NOT_CURRENT else min((ranks.get(use, otherwise) for use in uses), default=otherwise)
    return rank


def _current(document: Document, nodes: Sequence[Element], rank: Ranks, on: str, text: Callable[[Element], str],
             period: str, de: str, attribute: str = "") -> Datum:
    """What the best of the current ones says; two of them that differ are a contradiction."""
    candidates: list[tuple[int | None, Element, Datum]] = []
    for node in nodes:
        words = text(node) if not node.get("nullFlavor") else ""
        if words:
            document.take(node, "use")
            current = _in_force(document, node, period, on)
            place = replace(document.datum(node, attribute, de), value=words)
            candidates.append((rank(frozenset(node.get("use", "").split())) if current else None, node, place))
    usable = [(order, said) for order, _, said in candidates if order is not None]
    if not usable:
        if candidates:
            document.fault("CDA_NOT_CURRENT", candidates[0][2])
            return replace(candidates[0][2], value="")
        return NOTHING
    best = min(order for order, _ in usable)
    return document.agreed(said for order, said in usable if order == best)


def _in_force(document: Document, node: Element, period: str, on: str) -> bool:
    low, high = (document.datum(find(node, f"{period}/{bound}"), "value").value for bound in ("low", "high"))
    return not (low[:8] > on[:len(low[:8])] or (high and high[:8] < on[:len(high[:8])]))


def _name(document: Document, node: Element) -> str:
    return _joined(document, node, _NAME_PARTS, ordered="delimiter" not in map(local, node))


def _address(document: Document, node: Element) -> str:
    return _joined(document, node, _ADDRESS_PARTS, ordered=True)


def _joined(document: Document, node: Element, parts: Sequence[str], *, ordered: bool) -> str:
    """The text of an element written in parts, or at one go; Chinese in the order of `parts`, anything else as it stands."""
    document.take(node, "")
    own = unindented((node.text or "") + "".join(below.tail or "" for below in node))
    pieces = [(local(below), document.datum(below)) for below in node if local(below) in parts]
    texts = [(kind, unindented(said.value)) for kind, said in pieces if said.value]
    chinese = all(_CHINESE.search(text) for kind, text in texts if kind in ("family", "given", "city", "streetAddressLine"))
    if chinese and ordered:
        texts.sort(key=lambda piece: parts.index(piece[0]))
    joined = ("" if chinese else " ").join(text for _, text in texts)
    if own and joined and own != joined:
        document.fault("CDA_CONTRADICTION", node)
    return own or joined


# What is compared.

_AGE_UNITS: Mapping[str, str] = {
    "岁": "years", "周岁": "years", "a": "years", "月": "months", "个月": "months", "mo": "months", "周": "weeks", "wk": "weeks",
    "天": "days", "日": "days", "d": "days", "小时": "hours", "时": "hours", "h": "hours", "分钟": "minutes", "min": "minutes"}


def age(document: Document, person: Element | None, born: Datum, issued: Datum) -> None:
    """Compare the age with the birth date on the day of issue: completed years of a grown-up, months or days of an infant."""
    node = find(person, "age")
    stated, unit = document.datum(node, "value", "DE02.01.026.00"), document.datum(node, "unit")
    if not stated.value:
        return
    number, measure = decimal(stated.value), _AGE_UNITS.get(unit.value, "")
    if not measure:
        document.fault("CDA_UNIT", stated)
        return
    try:
        birth, on = date.fromisoformat(born.value), date.fromisoformat(issued.value[:10])
    except ValueError:
        return  # the checker says so
    days = (on - birth).days
    months = (on.year - birth.year) * 12 + on.month - birth.month - (on.day < birth.day)
    completed = {"years": months // 12, "months": months, "weeks": days // 7, "days": days}
    if measure not in completed and number is not None:  # hours and minutes: one day, or the next
        number = number / (24 if measure == "hours" else 1440)
        agrees = days - 1 <= number <= days + 1
    else:
        agrees = number == completed.get(measure)
    if not agrees:
        document.fault("CDA_AGE", stated)


def deceased(document: Document, person: Element | None) -> None:
    """A dead patient gets no prescription. The extension that says so is recognised in any namespace."""
    for node in () if person is None else person.iter("{*}deceasedInd", "{*}deceasedTime"):
        if document.datum(node, "value").value not in ("", "false", "0"):
            document.fault("CDA_DECEASED", node)


def birth_date(document: Document, person: Element | None, id_number: Datum) -> Datum:
    """The birth date, or where only the age is said, that of the id number; which the checker compares with the number."""
    born = day(document.datum(find(person, "birthTime"), "value"))
    if not born.value and len(id_number.value) == 18:
        return day(replace(id_number, value=id_number.value[6:14]))
    return born


_RELATIONS: Mapping[str, str] = {
    "PRN": "parent", "FTH": "parent", "MTH": "parent", "NFTH": "parent", "NMTH": "parent", "GRPRN": "grandparent",
    "GRFTH": "grandparent", "GRMTH": "grandparent", "SIB": "sibling", "BRO": "sibling", "SIS": "sibling", "GUARD": "guardian"}
_FAMILY = re.compile("([5-7])[0-9]?")
"""GB/T 4761: 5x parents, 6x grandparents, 7x brothers and sisters."""


def guardian(document: Document, person: Element | None, on: str) -> GuardianDraft | None:
    """The guardian named in a document (`patient/guardian`)."""
    node = find(person, "guardian")
    if node is None or not any((inner.text or "").strip() or len(inner.attrib) for inner in node.iter("*") if inner is not node):
        return None
    relation = document.datum(find(node, "code"), "code")
    document.take(find(node, "code"), "codeSystem")
    family = _FAMILY.fullmatch(relation.value)
    ours = {"5": "parent", "6": "grandparent", "7": "sibling"}[family[1]] if family else _RELATIONS.get(
        relation.value, relation.value)
    return GuardianDraft(name(document, find(node, "guardianPerson"), on), document.identifier(node, RESIDENT_ID),
                         replace(relation, value=ours))

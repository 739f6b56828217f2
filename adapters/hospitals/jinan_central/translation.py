"""Their fields and ours: which segment says what in a prescription, and how a report of ours reads."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from adapters.dialects import hl7v2
from adapters.dialects.hl7v2 import Ends
from adapters.dialects.hl7v2_segments import (
    Group,
    Parsed,
    Segment,
    compose,
    date,
    digest,
    encode,
    stamp,
    text,
    timestamp,
    write,
)
from adapters.mapping import CodeMap, Codes
from adapters.messages import Unmapped
from domain.findings import Severity
from domain.words import STATUSES
from fhir_profiles.drafts import NOTHING, CancelDraft, DiagnosisDraft, Draft, ItemDraft, PatientDraft, Said

DAYS = ("d", "D", "天", "日")

# Number of a field in RXE and in RXO.
CODE, DOSE, DOSE_UNIT, USAGE = {"RXE": 2, "RXO": 1}, {"RXE": 3, "RXO": 2}, {"RXE": 5, "RXO": 4}, {"RXE": 7, "RXO": 7}
QUANTITY, UNIT, INDICATION, KIND = {"RXE": 10, "RXO": 11}, {"RXE": 11, "RXO": 12}, {"RXE": 27, "RXO": 20}, {
    "RXE": 31, "RXO": 24}


class Translation:
    """One message of theirs; what it leaves `unmapped` makes it wait."""

    def __init__(self, hospital: str, facts: Mapping[str, str], codes: CodeMap, message: Parsed) -> None:
        self._hospital = hospital
        self._facts = facts
        self._codes = Codes(codes)
        self._message = message

    @property
    def unmapped(self) -> list[Unmapped]:
        return self._codes.unmapped

    def prescription(self) -> Draft:
        message = self._message
        header, visit, insurance, rx = (message.one(name) for name in ("MSH", "PV1", "IN1", "ZRX"))
        order = message.orders[0].one("ORC")
        return Draft(
            hospital=self._hospital,
            key=header.said(10),
            number=order.said(4),
            sent=timestamp(header.said(7)),
            issued=timestamp(order.said(9)),
            valid_until=timestamp(rx.said(3)),
            rx_kind=self._word("rx_kind", rx.said(1)),
            handover=self._word("handover", rx.said(2)),
            patient=self._patient(),
            physician=order.said(12),
            physician_name=_joined(order, 12, 2, 3),
            institution=order.said(21, 10),
            institution_name=order.said(21),
            visit_class=self._word("visit", visit.said(2)),
            visit_type=self._word("revisit", visit.said(13)),
            insutype=insurance.said(2),
            insured_place=insurance.said(3),
            diagnoses=self._diagnoses(),
            items=[self._item(it) for it in message.orders],
            chronic_disease=insurance.said(35),
            proof_issued=date(rx.said(4)),
            proof_diagnoses=[rx.said(5, repetition=number) for number in rx.repetitions(5)],
            independent_years=rx.said(6),
            extend_reason=rx.said(7),
            long_term_assessed=self._word("flag", rx.said(8)),
            patient_acknowledged=self._word("flag", rx.said(9)),
        )

    def cancel(self) -> CancelDraft:
        header, order = self._message.one("MSH"), self._message.one("ORC")
        return CancelDraft(self._hospital, header.said(10), order.said(4), self._word("reason", order.said(16)),
                           timestamp(order.said(9)))

    def _patient(self) -> PatientDraft:
        person, rx = self._message.one("PID"), self._message.one("ZRX")
        numbers = [person.said(3, repetition=it) for it in person.repetitions(3)
                   if person.said(3, 5, repetition=it).value == self._facts["id_type"]]
        phone = person.said(13, 12) if person.said(13, 12).value else person.said(13)
        return PatientDraft(
            id_number=numbers[0] if numbers else person.said(3),
            name=_joined(person, 5, 1, 2),
            gender=self._word("gender", person.said(8)),
            birth_date=date(person.said(7)),
            phone=phone,
            address=_joined(person, 11, 4, 3, 1, 2),  # the largest first, as addresses are written here
            district=person.said(11, 9),
            latitude=rx.said(11),
            longitude=rx.said(11, 2),
            allergies=[it.said(3) for it in self._message.all("AL1")],
            pregnancy_weeks=self._observed("pregnancy_weeks"),
            lactating=self._word("flag", self._observed("lactating")),
            guardian_confirmed=self._word("flag", rx.said(10)),
        )

    def _diagnoses(self) -> list[DiagnosisDraft]:
        """From DG1 where they send it, which v2.5.1 does not have here; else what the first item is given for."""
        given = [(it.said(3), it.said(3, 2)) for it in self._message.all("DG1")]
        if not given:
            detail = _detail(self._message.orders[0])
            field = INDICATION[detail.name]
            given = [(detail.said(field, repetition=it), detail.said(field, 2, repetition=it))
                     for it in detail.repetitions(field)]
        return [DiagnosisDraft(self._codes.ours("diagnosis", code, name.value), name) for code, name in given]

    def _item(self, order: Group) -> ItemDraft:
        detail = _detail(order)
        group = hl7v2.after(order, detail.name)
        timing, route = group.one("TQ1"), group.one("RXR")
        code, name = detail.said(CODE[detail.name]), detail.said(CODE[detail.name], 2)
        notes = [it.said(3) for it in group.all("NTE") if it.said(4).value == self._facts["overdose_note"]]
        return ItemDraft(
            number=order.one("ORC").said(2),
            drug=self._codes.ours("drug", code, name.value),
            name=name,
            kind=self._word("kind", detail.said(KIND[detail.name])),
            dose=detail.said(DOSE[detail.name]),
            dose_unit=self._codes.ours("unit", detail.said(DOSE_UNIT[detail.name]), detail.said(DOSE_UNIT[detail.name], 2).value),
            frequency=self._codes.ours("frequency", timing.said(3), timing.said(3, 1, 2).value),
            route=self._codes.ours("route", route.said(1), route.said(1, 2).value),
            quantity=detail.said(QUANTITY[detail.name]),
            unit=self._codes.ours("unit", detail.said(UNIT[detail.name]), detail.said(UNIT[detail.name], 2).value),
            days=_days(timing),
            usage=detail.said(USAGE[detail.name], 2),
            overdose_reason=notes[0] if notes else NOTHING,
        )

    def _observed(self, name: str) -> Said:
        return next((it.said(5) for it in self._message.all("OBX") if it.said(3).value == self._facts[name]), NOTHING)

    def _word(self, table: str, said: Said) -> Said:
        """One of their fixed words in ours."""
        return replace(said, value=self._facts.get(f"{table}.{said.value}", said.value))


def _detail(order: Group) -> Segment:
    """The segment that says what is ordered."""
    encoded = order.one("RXE")
    return encoded if encoded.line else order.one("RXO")


def _days(timing: Segment) -> Said:
    """TQ1-6; another unit than days is left for the checker to refuse, never guessed at."""
    days, unit = timing.said(6), timing.said(6, 2).value
    return days if not days.value or unit in DAYS else replace(days, value=f"{days.value} {unit}")


def _joined(segment: Segment, field: int, *components: int) -> Said:
    parts = [segment.said(field, it) for it in components]
    spot = next((part.spot for part in parts if part.value), parts[0].spot)
    return Said("".join(part.value for part in parts), spot)


# Reports.

CONTROLS = {"cancelled": "OC", "cancel_refused": "UC"}
"""ORC-1, table 0119; `SC` (status changed) otherwise."""
PROGRESS = {
    "received": "SC", "in_review": "IP", "allocating": "IP", "fulfilling": "IP", "waiting": "HD",
    "fulfilled": "CM", "settled": "CM", "closed": "CM", "cancelled": "CA", "expired": "DC",
    "refused": "ER", "returned": "ER", "invalid": "ER", "cancel_refused": "IP",
}
"""ORC-5, table 0038."""
MONEY = (("total", "CG", "费用总额"), ("fund", "PY", "统筹基金支付"), ("account", "PY", "个人账户支付"),
         ("cash", "PY", "个人现金支付"))
"""Our word, FT1-6 (charge or payment, table 0017) and FT1-7.2."""


def report(ends: Ends, key: str, body: bytes) -> tuple[str, bytes]:
    """MSH-10 and the ORM^O01 for one report (contract 1.3). The same report gives the same bytes.

    ORC-4 their prescription number, ORC-3 ours, ORC-25 our status; NTE the reason (RE) and findings (FD);
    FT1 the money; ZRS our key and what the patient shows to collect.
    """
    given: dict[str, Any] = json.loads(body)
    status, at = str(given["status"]), datetime.fromisoformat(given["at"])
    control = digest(ends.facility, key)
    notes = [write("NTE", {3: text(given["reason"]), 4: "RE"})] if given.get("reason") else []
    notes += [
        write("NTE", {2: "W" if it["severity"] == Severity.WARN else "E", 3: text(it["text"]),
                      4: compose("FD", it["code"], str(it.get("line") or ""))}) for it in given.get("findings", ())]
    order = write("ORC", {
        1: CONTROLS.get(status, "SC"), 3: compose(given["id"], "SANYI"), 4: compose(given["prescription"]),
        5: PROGRESS.get(status, "IP"), 9: stamp(at),
        25: compose(status, STATUSES[status].zh if status in STATUSES else "", "SANYI")})
    money = [write("FT1", {1: str(number), 4: stamp(at), 6: kind, 7: compose(name.upper(), words, "SANYI"),
                           11: compose(given["money"][name])})
             for number, (name, kind, words) in enumerate(MONEY, 1) if given.get("money")]
    pickup = given.get("pickup", {})
    ours = write("ZRS", {1: text(key), 2: compose(*(str(pickup.get(name, "")) for name in ("order", "chain", "store", "code"))),
                         3: text(given["at"])})
    lines = [hl7v2.header(ends, "ORM^O01^ORM_O01", control, at, ends.charset), *notes, order, *money, ours]
    return control, encode(lines, ends.charset)

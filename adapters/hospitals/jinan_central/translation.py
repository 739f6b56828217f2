"""Their fields and ours: which segment says what in a prescription.

Every part of a field that says something is read, or in `LEFT_OUT`, or a finding: the segments remember what was read.
"""

from collections.abc import Sequence

from adapters.dialects import hl7v2
from adapters.dialects.hl7v2_segments import Group, Segment, date, timestamp
from adapters.hospitals.jinan_central.drugs import Drugs
from adapters.hospitals.jinan_central.fields import ABSENT, DETAILS, LEFT_OUT
from adapters.hospitals.jinan_central.observations import READINGS
from adapters.hospitals.jinan_central.patient import Patient
from adapters.hospitals.jinan_central.words import joined, together
from domain.findings import Finding
from fhir_profiles.drafts import NOTHING, CancelDraft, Datum, DecoctionDraft, DiagnosisDraft, Draft, SignatureDraft

# The lists of the hospital are looked for here, where its dialect is spoken: `adapters.kit.left_out`.
__all__ = ["ABSENT", "LEFT_OUT", "Translation"]


class Translation(Patient, Drugs):
    """One message of theirs; what it leaves `unmapped` makes it wait, what goes into the message's findings refuses it."""

    def findings(self) -> tuple[Finding, ...]:
        """Findings about the translated message that the Bundle cannot show."""
        cancel = hl7v2.cancels(self._message)
        left_out = {**LEFT_OUT, **hl7v2.LEFT_OUT_OF_CANCELS} if cancel else LEFT_OUT
        return hl7v2.in_order([*self._message.findings, *hl7v2.passed_over(self._message, left_out)])

    def prescription(self) -> Draft:
        message = self._message
        header, visit, insurance, rx = (message.first(name) for name in ("MSH", "PV1", "IN1", "ZRX"))
        order = message.orders[0].first("ORC")
        department, department_name = self._department(order, visit)
        self._expect(order.datum(21, 2), "L")
        orders = [it for it in message.orders if it.all(self._detail)]
        items = [self._item(it) for it in orders]
        if 14 in rx.filled and not any(it.kind.value == "tcm_piece" for it in items):
            self._find("HL7_CONTRADICTION", rx.datum(14).spot)
        for each in message.all("OBX"):
            if each.datum(3).value not in {*READINGS, *(self._facts[it] for it in (
                    "pregnancy_weeks", "lactating", "skin_test", "skin_test_exemption", "approval"))}:
                self._find("HL7_NOT_READ", each.datum(3).spot)
                each.leave_out()
        return Draft(
            hospital=self._hospital,
            key=header.datum(10),
            number=self._number(order, 4),
            sent=timestamp(header.datum(7)),
            issued=timestamp(order.datum(9)),
            valid_until=timestamp(rx.datum(3)),
            rx_kind=self._word("rx_kind", rx.datum(1)),
            handover=self._word("handover", rx.datum(2)),
            patient=self._patient(),
            physician=order.datum(12),
            physician_name=joined(order, 12, 2, 3),
            institution=order.datum(21, 10),
            institution_name=order.datum(21),
            visit_class=self._word("visit", visit.datum(2)),
            visit_type=self._word("revisit", visit.datum(13)),
            insutype=self._insurance(insurance),
            insured_place=insurance.datum(3),
            diagnoses=self._diagnoses(orders),
            items=items,
            chronic_disease=insurance.datum(35),
            proof_issued=date(rx.datum(4)),
            proof_diagnoses=[rx.datum(5, repetition=it) for it in rx.repetitions(5)],
            independent_years=rx.datum(6),
            extend_reason=rx.datum(7),
            long_term_assessed=self._word("flag", rx.datum(8)),
            patient_acknowledged=self._word("flag", rx.datum(9)),
            valid_reason=rx.datum(12),
            note=together(self._notes(message.head).get("", [])),
            department=department,
            department_name=department_name,
            title=self._codes.ours("title", order.datum(12, 21)),
            visit_number=visit.datum(19),
            decoction=DecoctionDraft(rx.datum(14), self._word("decoction", rx.datum(14, 2)), rx.datum(14, 3))
            if 14 in rx.filled else None,
            renewal_first=rx.datum(13),
            renewal_start=date(rx.datum(13, 2)),
            renewal_end=date(rx.datum(13, 3)),
            readings=self._readings(),
            signature=SignatureDraft(timestamp(rx.datum(15)), rx.datum(15, 2)) if 15 in rx.filled else None,
        )

    def cancel(self) -> CancelDraft:
        header, order = self._message.first("MSH"), self._message.first("ORC")
        for each in self._message.all("ORC"):
            self._number(each, 2)
        return CancelDraft(self._hospital, header.datum(10), self._number(order, 4), self._coded_word("reason", order, 16),
                           timestamp(order.datum(9)))

    # The visit.

    def _department(self, order: Segment, visit: Segment) -> tuple[Datum, Datum]:
        code, name = self._concept("department", order, 17)
        service = visit.datum(10)
        if code.value and service.value not in ("", code.value):
            self._find("HL7_CONTRADICTION", service.spot)
        return (code if code.value else service), name

    def _insurance(self, insurance: Segment) -> Datum:
        if insurance.datum(3, 4).value not in ("", self._facts["system.insured_place"]):
            self._find("HL7_CODE_SYSTEM", insurance.datum(3, 4).spot)
        return self._concept("insutype", insurance, 2)[0]

    def _diagnoses(self, orders: Sequence[Group]) -> list[DiagnosisDraft]:
        """What all the drugs are given for, and DG1 where they send it, which v2.5.1 does not have here."""
        general = self._general_diagnoses()
        indications: list[tuple[Datum, Datum]] = []
        for order in orders:
            detail = order.first(self._detail)
            field = DETAILS[self._detail].indication
            stated = [self._concept("diagnosis", detail, field, repetition=it) for it in detail.repetitions(field)]
            if not stated and not general:
                # Each drug says what it is for: what stands here is refused as a diagnosis that is missing.
                indications.append((Datum("", detail.spot(field)), NOTHING))
            indications += stated
        named: dict[str, tuple[Datum, Datum]] = {}
        for code, name in (*general, *indications):
            first = named.setdefault(code.value, (code, name))
            if first[1].value != name.value:
                self._find("HL7_CONTRADICTION", name.spot)
            elif general and code.value not in {it.value for it, _ in general}:
                self._find("HL7_CONTRADICTION", code.spot)
        return [DiagnosisDraft(self._codes.ours("diagnosis", code, name.value), name) for code, name in named.values()]

    def _general_diagnoses(self) -> list[tuple[Datum, Datum]]:
        kept: list[tuple[Datum, Datum]] = []
        deleted: set[str] = set()
        for row in self._message.all("DG1"):
            action, code = row.datum(21), row.datum(3)
            self._expect(action, "A", "U", "X", "D")
            if action.value == "D":
                deleted.add(code.value)
                row.leave_out()
                continue
            if row.datum(6).value == "W":
                self._find("HL7_NOT_FINAL", row.datum(6).spot)
            else:
                self._expect(row.datum(6), "A", "F")
            kept.append(self._concept("diagnosis", row, 3))
        for code, _ in kept:
            if code.value in deleted:
                self._find("HL7_CONTRADICTION", code.spot)
        return kept

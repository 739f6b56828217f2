"""Each item: its units, the arithmetic of its quantity, decoction, skin test and renewal."""

from decimal import Decimal

from domain.dosage import required_units, whole_packs
from domain.units import converted
from fhir_profiles import codes
from fhir_profiles.checks.statements import RHYTHMS, supply_days
from fhir_profiles.message import coded, day, member, moment, number, parts, unit
from fhir_profiles.rules import CLOCK_SKEW, Entry, Message, Places, drug_kind, rule


@rule("UNIT_OF_KIND")
def unit_kind_mismatch(message: Message) -> Places:
    """A-20, A-21: pieces are weighed, 剂 (a dose of a decoction) is no unit of other drugs."""
    for item in message.items:
        quantity, dose = unit(member(item.resource, "dispenseRequest", "quantity")), unit(_dose(item))
        if drug_kind(item) == "tcm_piece":
            if dose in codes.DOSE_UNITS and dose != "g":
                yield f"{item.path}.dosageInstruction[0].doseAndRate[0].dose.unit"
            if quantity in codes.PACK_UNITS - {"g", "剂"}:
                yield f"{item.path}.dispenseRequest.quantity.unit"
        elif drug_kind(item) and quantity == "剂":
            yield f"{item.path}.dispenseRequest.quantity.unit"


@rule("QUANTITY_ARITHMETIC")
def quantity_mismatch(message: Message) -> Places:
    """A-21, where the message says what a unit holds; the audit asks the knowledge base where it does not."""
    for item in message.items:
        needed = _needed(item)
        quantity = number(member(item.resource, "dispenseRequest", "quantity", "value"))
        if needed is None or quantity is None:
            continue
        least, most = needed
        if not least <= quantity <= most:
            yield f"{item.path}.dispenseRequest.quantity.value"


@rule("DECOCTION_DISAGREES")
def decoctions_disagree(message: Message) -> Places:
    decoctions = [(item, _decoction(item)) for item in message.items if _decoction(item)]
    for item, decoction in decoctions:
        if decoction != decoctions[0][1]:
            yield f"{item.path}.extension('{codes.extension('decoction')}')"


@rule("SKIN_TEST")
def skin_test_incomplete(message: Message) -> Places:
    """A-37: a result, with its time, or a reason why no test is needed; not both."""
    for item in message.items:
        test = parts(item.resource, "skin-test")
        at = moment(member(test.get("at"), "valueDateTime"))
        if test and (("result" in test) == ("exemption" in test) or ("at" in test and "result" not in test)
                     or (at and message.issued and at > message.issued + CLOCK_SKEW)):
            yield f"{item.path}.extension('{codes.extension('skin-test')}')"


@rule("RENEWAL_WINDOW")
def renewal_outside_window(message: Message) -> Places:
    """A-35: within the window the first prescriber set, as a long-term prescription of a follow-up."""
    follow_up = any(coded(visit.resource.get("type"), codes.code_system("visit-type")) == "follow-up"
                    for visit in message.all("Encounter"))
    for item in message.items:
        window = member(parts(item.resource, "renewal").get("window"), "valuePeriod")
        start, end = day(member(window, "start")), day(member(window, "end"))
        if not start or not end:
            continue
        long_term = coded(item.resource.get("courseOfTherapyType"), codes.code_system("prescription-kind"))
        outside = message.issued_on and not start <= message.issued_on <= end
        if start > end or outside or long_term != "long_term" or not follow_up:
            yield f"{item.path}.extension('{codes.extension('renewal')}')"


def _needed(item: Entry) -> tuple[Decimal, Decimal] | None:
    """The least and the most an item may ask for, in units of its quantity; None where the message does not say."""
    dose, request = number(member(_dose(item), "value")), member(item.resource, "dispenseRequest")
    if dose is None or dose <= 0:
        return None
    if drug_kind(item) == "tcm_piece":
        doses = _decoction(item).get("doses")
        if type(doses) is not int or unit(member(request, "quantity")) != "g" or unit(_dose(item)) != "g":
            return None
        return dose * doses, dose * doses
    pack = parts(item.resource, "pack")
    strength = member(pack.get("strength"), "valueQuantity")
    held, days = number(member(strength, "value")), supply_days(item.resource)
    times, period = RHYTHMS.get(coded(member(item.resource, "dosageInstruction", "timing", "code"),
                                      codes.code_system("frequency")), (0, 0))
    single = converted(dose, unit(_dose(item)), unit(strength))
    if held is None or days is None or single is None or not period:
        return None
    units = required_units(single, held, times, period, days)
    if units is None:
        return None
    size = member(pack.get("size"), "valuePositiveInt")
    return Decimal(units), Decimal(units if type(size) is not int or size < 1 else whole_packs(units, size))


def _dose(item: Entry) -> object:
    return member(item.resource, "dosageInstruction", "doseAndRate", "doseQuantity")


def _decoction(item: Entry) -> dict[str, object]:
    """What a decoction says, by the name of its part."""
    return {
        name: next((value for key, value in part.items() if key.startswith("value")), None)
        for name, part in parts(item.resource, "decoction").items() if isinstance(part, dict)
    }

"""Claims on the fund: one for each order, made of portions of it."""

from collections.abc import Collection
from dataclasses import replace

from domain.audit import selfpay_lines
from domain.benefit import forecast, restricted
from domain.chains import OrderLine
from domain.claims import Claim, Claimed, ClaimLine
from domain.errors import NeedsOperator
from domain.fulfilment.orders import Placed
from domain.fulfilment.portions import Portions, by_line
from domain.money import line_amount
from infra.db import Session, audits, claims
from infra.db.prescriptions import Loaded
from tasks.city import City
from tasks.patients import open_entitlement


def make_claim(city: City, session: Session, loaded: Loaded, placed: Placed, *, portions: Portions, after: Claimed | None
               ) -> Claimed:
    """The claim for some portions of an order that comes `after` its newest one, with our forecast.

    A re-settlement keeps its service time (F-20). Raises `StaleStatus` if another worker made it meanwhile.
    """
    rx = loaded.prescription
    entitlement = open_entitlement(city, loaded)
    if entitlement is None:
        raise NeedsOperator(f"{rx.id}: no claim for somebody who is not insured", code="not_insured")
    selfpay = selfpay_lines(audits.findings(session, rx.id))
    lines = _lines(placed.order.lines, portions)
    version = after.version + 1 if after else 1
    chronic = rx.coverage.disease_code in entitlement.diseases
    items = {item.line: item for item in rx.items}
    claim = Claim(
        reference=claims.free_reference(session, city.payer.new_reference, city.now(), f"{placed.id}:{version}"),
        prescription_id=rx.id, rxno=rx.id, psn_no="", insutype=entitlement.insutype,
        insured_place=entitlement.insured_place, disease_code=rx.coverage.disease_code if chronic else "",
        med_type="14" if chronic else "41", at=after.claim.at if after else city.now(), prescriber=rx.prescriber.id,
        lines=tuple(ClaimLine(line.line, line.drug, line.quantity, line.unit_price, line.amount,
                              items[line.line].days_of(line.quantity), items[line.line].frequency, line.line in selfpay,
                              items[line.line].approval, restricted(line.drug, city.knowledge))
                    for line in lines),
        identity=claims.NOBODY, coded=after.claim.coded if after else True)
    expected = forecast(rx, lines, entitlement, city.policy, city.knowledge, selfpay)
    return claims.make(session, claim, version=version, order_id=placed.id, forecast=expected)


def _lines(ordered: Collection[OrderLine], portions: Portions) -> list[OrderLine]:
    """Lines of an order cut down to portions of them; what is less than the whole line is priced by the unit (F-01)."""
    quantities = by_line(portions)
    return [line if quantities[line.line] == line.quantity
            else replace(line, quantity=quantities[line.line], amount=line_amount(line.unit_price, quantities[line.line]))
            for line in ordered if line.line in quantities]

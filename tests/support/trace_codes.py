"""Trace codes of invented packs."""

import hashlib
from datetime import date

from domain.chains import OrderLine
from domain.trace import Scan
from infra.cities import load_knowledge

MADE, EXPIRES = date(2026, 6, 1), date(2028, 5, 31)


def code(drug: str, *of: object) -> str:
    """A code of a drug of the demo city, the same for the same names."""
    digits = next(product.digits for product in load_knowledge("jinan").trace_products.values() if product.drug == drug)
    return digits + f"{int(hashlib.sha256(repr(of).encode()).hexdigest(), 16) % 10**13:013d}"


def pack_of(drug: str) -> int:
    """Counted units in a whole pack."""
    return next(product.units for product in load_knowledge("jinan").trace_products.values() if product.drug == drug)


def packs(order_id: str, line: OrderLine, *, lot: str = "L2606", expires: date = EXPIRES) -> tuple[Scan, ...]:
    """Whole packs for a line, and a part of one more; none of a drug without a product."""
    knowledge = load_knowledge("jinan")
    if line.drug in knowledge.uncoded or line.drug not in {product.drug for product in knowledge.trace_products.values()}:
        return ()
    whole, rest = divmod(int(line.quantity), pack_of(line.drug))
    units = [pack_of(line.drug)] * whole + ([rest] if rest else [])
    return tuple(Scan(line.line, code(line.drug, order_id, line.line, number), lot, MADE, expires, taken)
                 for number, taken in enumerate(units))


def written(scans: tuple[Scan, ...]) -> list[list[object]]:
    return [[scan.line, scan.code, scan.lot, scan.made_on and scan.made_on.isoformat(),
             scan.expires_on and scan.expires_on.isoformat(), scan.units] for scan in scans]


def read(rows: list[list[object]] | None) -> tuple[Scan, ...] | None:
    return None if rows is None else tuple(
        Scan(line, text, lot, made and date.fromisoformat(made), expires and date.fromisoformat(expires), units)  # type: ignore
        for line, text, lot, made, expires, units in rows)

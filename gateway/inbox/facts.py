"""What pages and API alike say of a shop's orders, shelves and day."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from domain.chains import ChainWord
from domain.couriers import masked_name, masked_phone
from domain.instructions import instructions
from domain.money import Fen
from domain.payments import Method, PaymentStatus, paid
from domain.people import Capability, Person
from domain.prescription import Handover
from domain.shops import Act
from domain.words import Two
from gateway.web.access import denied
from infra.db import payments, prescriptions
from tasks import counter
from tasks.city import City
from tasks.counter import ShopOrder, Workplace
from tasks.patients import open_patient
from tasks.payments import methods

Facts = dict[str, Any]


def workplace(city: City, who: Person, capability: Capability, shop: str) -> Workplace:
    """The shop that an address names, or the first of the person's. Raises 404 for one that is not theirs."""
    mine = {at.place: at for at in counter.workplaces_of(city, who, capability)}
    at = mine.get(shop) if shop else next(iter(mine.values()), None)
    if at is None:
        raise denied(404, "unknown_shop", Two("没有这家药店，或不属于您", "no such shop, or not yours"))
    return at


def unknown_order() -> Exception:
    return denied(404, "unknown_order", Two("没有这个订单，或不属于您的药店", "no such order, or not your shop's"))


def order_facts(city: City, order: ShopOrder) -> Facts:
    """An order without the person: what a list shows."""
    placed, kept = order.placed, order.kept
    names = {line.drug: entry for line in placed.order.lines if (entry := city.knowledge.catalogue.get(line.drug))}
    notice = kept.notice
    return {
        "id": placed.order.prescription_id, "attempt": placed.attempt, "order_id": placed.id, "short": short(order),
        "shop": order.at.place, "status": order.word, "handover": placed.order.handover,
        "carried_by": "" if placed.order.handover is Handover.PICKUP else "courier" if placed.courier else "shop",
        "courier": placed.courier, "delivery": placed.delivery.status if placed.delivery else "",
        "placed_at": kept.held_at, "accept_by": order.accept_by, "fulfil_by": placed.fulfil_by, "ended_at": kept.ended_at,
        "supported_actions": list(order.supported_actions),
        "reasons": {act: list(codes) for act, codes in order.reasons.items() if codes and act in order.supported_actions},
        "lines": [{"line": line.line, "drug": line.drug, "name": names[line.drug].name if line.drug in names else line.drug,
                   "quantity": line.quantity, "unit": line.unit, "unit_price": line.unit_price, "amount_fen": line.amount}
                  for line in placed.order.lines],
        "payment": payment_facts(city, order),
        "returned_lines": sorted({portion.line for portion in placed.returned}),
        "decoction_step": order.decoction or "",
        "cooled_at": next((entry.at for entry in order.done if entry.act == Act.COOL), None),
        "total_fen": placed.order.total, "patient_due_fen": kept.patient_due,
        "settlement": None if notice is None else {
            "settlement_id": notice.settlement_id, "total_fen": notice.total, "fund_fen": notice.fund,
            "account_fen": notice.account, "cash_fen": notice.cash},
        "done": [{"act": entry.act, "reason": entry.reason, "lines": list(entry.lines), "by": entry.person, "at": entry.at}
                 for entry in order.done],
    }


def payment_facts(city: City, order: ShopOrder) -> Facts:
    """What the patient pays for an order through the platform, and has paid; fen. No methods: not collected here."""
    took = paid(order.account.payments)
    taken_at = methods(city.policy, order.placed)
    return {
        "due_fen": order.placed.order.patient_due if taken_at else Fen(0), "methods": list(taken_at),
        "refused": len([payment for payment in order.account.payments if payment.status is PaymentStatus.REFUSED]),
        "paid": None if took is None else {
            "amount_fen": took.amount, "method": took.method, "reference": took.reference, "receipt": took.receipt, "at": took.at,
            "collector": took.collector, "hand_in_by": took.hand_in_by, "handed_in_at": took.handed_in_at},
        "refunded_fen": Fen(sum(refund.amount for refund in order.account.refunds)),
    }


def whole_order(city: City, order: ShopOrder) -> Facts:
    """The same with whom it is for, and what goes on the package."""
    with city.db.reading() as session:
        loaded = prescriptions.load(session, order.placed.order.prescription_id)
    rx, person = loaded.prescription, open_patient(city, loaded)
    package = instructions(rx, city.knowledge, order.placed.order.lines)
    labels = {label.line: label for label in package.labels}
    allowed = {item.line: item.may_substitute for item in rx.items}
    at_point = counter.workplaces(city).get(order.placed.order.point)
    point = at_point.shop.name if at_point else ""
    home = order.placed.order.handover is Handover.HOME
    facts = order_facts(city, order)
    for line in facts["lines"]:
        label, line["may_substitute"] = labels.get(line["line"]), allowed.get(line["line"])
        line["label"] = {} if label is None else {
            "name": label.name, "usage": label.usage, "directions": label.directions, "note": label.note,
            "decoction": label.decoction}
    return facts | {
        "recipient": {"name": person["name"], "phone": masked_phone(person["phone"]),
                      "address": point or person["address"] if home else ""},
        "point": order.placed.order.point,
        "proof": "pickup_code" if counter.needs_code(order) else "id_tail",
        "hospital": rx.hospital, "prescriber": rx.prescriber.id, "issued_at": rx.issued_at, "valid_until": rx.valid_until,
        "note": package.note, "decoction": package.decoction, "doses": rx.decoction.doses if rx.decoction else None,
        "masked_name": masked_name(person["name"]),
    }


def short(order: ShopOrder) -> str:
    """What people call it across the counter."""
    return f"{order.placed.order.prescription_id[-5:].upper()}-{order.placed.attempt}"


GROUPS: Mapping[str, tuple[ChainWord, ...]] = {
    "new": (ChainWord.ORDERED,), "prepare": (ChainWord.ACCEPTED,), "ready": (ChainWord.PREPARED, ChainWord.IN_DELIVERY),
    "ended": (ChainWord.HANDED_OVER, ChainWord.RETURNED, ChainWord.DECLINED, ChainWord.CANCELLED),
}


def grouped(orders: Sequence[Facts]) -> dict[str, list[Facts]]:
    """Orders by what is to be done with them; those that are due first stand first."""
    groups = {name: [order for order in orders if order["status"] in words] for name, words in GROUPS.items()}
    for name in ("new", "prepare", "ready"):
        groups[name].sort(key=_due)
    groups["ended"].sort(key=lambda order: order["ended_at"] or order["placed_at"], reverse=True)
    return groups


def _due(order: Facts) -> datetime:
    due: datetime = order["accept_by"] or order["fulfil_by"] or order["placed_at"]
    return due


def day(city: City, at: Workplace) -> Facts:
    """What was handed over today, and the money of it; amounts in fen, `cash` is what was to be collected at the counter."""
    since = counter.start_of_day(city)
    orders = [order_facts(city, order) for order in counter.orders_at(city, at, since)]
    handed_over = [order for order in orders if order["status"] in (ChainWord.HANDED_OVER, ChainWord.RETURNED)
                   and order["ended_at"] and order["ended_at"] >= since]
    settled = [order["settlement"] for order in handed_over if order["settlement"]]
    takings = [order["payment"] for order in handed_over if order["payment"]["paid"]]
    with city.db.reading() as session:
        outstanding = payments.outstanding(session, at.chain, at.shop.number)
    return {
        "shop": at.place, "date": city.today().isoformat(), "orders": handed_over,
        "received": len([order for order in orders if order["placed_at"] >= since]),
        "declined": len([order for order in orders if order["status"] is ChainWord.DECLINED]),
        "cancelled": len([order for order in orders if order["status"] is ChainWord.CANCELLED]),
        "handed_over": len(handed_over), "returned": len([order for order in handed_over if order["returned_lines"]]),
        "waiting_for_the_fund": len(handed_over) - len(settled),
        "total_fen": Fen(sum(order["total_fen"] for order in handed_over)),
        "collect_fen": Fen(sum(order["patient_due_fen"] for order in handed_over)),
        "by_method": {method: Fen(sum(row["paid"]["amount_fen"] for row in takings if row["paid"]["method"] == method))
                      for method in Method},
        "refunded_fen": Fen(sum(row["refunded_fen"] for row in takings)),
        "to_hand_in": [{"id": cash.prescription_id, "attempt": cash.attempt, "order_id": cash.order_id, "courier": cash.courier,
                        "amount_fen": cash.amount, "hand_in_by": cash.hand_in_by} for cash in outstanding],
        "settled": {name: sum(row[f"{name}_fen"] for row in settled) for name in ("total", "fund", "account", "cash")},
    }

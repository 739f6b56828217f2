"""A patient's choice of a pharmacy as an API says it: the options, what they would cost, and what an act is answered."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from domain.fulfilment.choice import Option, Share, Verdict, terms_of, wait_key
from domain.fulfilment.portions import as_arguments
from domain.fulfilment.ranking import TERM_WORDS, WEIGHTS
from domain.knowledge.rows import CatalogueEntry
from domain.tracking import CHOICE_ANSWERS
from domain.words import ASKED_BECAUSE, AT_POINT, HANDOVERS, NOT_THERE, WAYS, Two
from gateway.web.access import denied
from tasks.choosing import Choosing

Name = Callable[[str], Two]
Catalogue = Mapping[str, CatalogueEntry]
Facts = dict[str, Any]
BASIS = Two("按预审时医保返回的信息和本市待遇政策估算，下单前以医保预结算为准。",
            "Estimated from what the insurance said at the check and the city's rules; its own forecast comes before the order.")
NO_ESTIMATE = Two("暂时无法估算个人负担，仅显示总价。", "What you would pay cannot be estimated now; only the price is shown.")

WHY_OTHER = Two("该药店没有处方所开的产品，可提供通用名、剂型、规格和给药途径相同的另一产品。您不同意就不会配它。",
                "It does not have the product prescribed, and offers another of the same generic, form, strength and route. "
                "Unless you agree, you do not get it.")

_STATUS = {Verdict.OTHERWISE: 409, Verdict.OUTDATED: 409, Verdict.LATE: 409, Verdict.NOT_ASKED: 409, Verdict.UNKNOWN: 422,
           Verdict.UNAGREED: 422}


def weights() -> list[tuple[Two, int]]:
    """What the order of the options is made of, and how much of it in percent (D-17)."""
    return [(Two(*TERM_WORDS[name]), int(100 * weight)) for name, weight in sorted(WEIGHTS.items(), key=lambda pair: -pair[1])]


def grouped(options: Sequence[Option]) -> list[list[Option]]:
    """Options of the same pharmacies with the same goods at the same price: they differ in how the patient gets them."""
    groups: dict[object, list[Option]] = {}
    for option in options:
        key = option.way, tuple((share.chain, share.store, share.lines) for share in option.shares)
        groups.setdefault(key, []).append(option)
    return list(groups.values())


def choice_facts(choosing: Choosing | None, name: Name, catalogue: Catalogue) -> Facts | None:
    """None where patients do not choose in this city. Amounts in fen."""
    if choosing is None:
        return None
    facts: Facts = {"supported_actions": choice_actions(choosing), "sent_as": choosing.sent_as, "wished": choosing.wished,
                    "until": choosing.until}
    if (newest := choosing.newest) is None:
        return facts
    offering = newest.offering
    return facts | {
        "round": newest.number, "state": newest.state, "offered_at": newest.offered_at, "chosen": newest.chosen,
        "because": _coded(ASKED_BECAUSE, offering.because), "chosen_before": offering.chosen_before,
        "price_was_fen": offering.price_was, "price_is_fen": offering.price_is,
        "options": [_option(option, name, catalogue) for option in offering.options],
        "wait": wait_key(newest.number) if offering.may_wait else None,
        "ordered_by": [{"term": words.zh, "term_en": words.en, "percent": percent} for words, percent in weights()],
        "estimate_basis": {"text": BASIS.zh, "text_en": BASIS.en, "insured_at": offering.insured_at},
        "not_offered": dict(offering.refused),
        "points_not_offered": [_coded(NOT_THERE, code) | {"count": count} for code, count in offering.not_points.items()],
        "silent": list(offering.silent)}


def choice_actions(choosing: Choosing) -> list[str]:
    """What may be done about it now."""
    return [action for action, may in (("choose", choosing.open), ("wish_to_choose", choosing.may_wish)) if may]


def check(verdict: Verdict) -> None:
    """Raises what an act is answered that did not count."""
    if verdict in _STATUS:
        raise denied(_STATUS[verdict], str(verdict), CHOICE_ANSWERS[verdict])


def _option(option: Option, name: Name, catalogue: Catalogue) -> Facts:
    estimate = option.estimate
    return {
        "option": option.key, "way": _coded(WAYS, option.way), "handover": (
            {"code": "point", "text": AT_POINT.zh, "text_en": AT_POINT.en} if option.point
            else _coded(HANDOVERS, option.handover)),
        "point": option.point and {
            "place": option.point.place, "name": option.point.name, "name_en": option.point.name_en,
            "metres": option.point.metres, "opens": f"{option.point.opens:%H:%M}", "closes": f"{option.point.closes:%H:%M}"},

        "minutes": option.minutes, "score": str(option.score.quantize(Decimal("0.01"))), "total_fen": option.total,
        "estimate": None if estimate is None else {
            "fund_fen": estimate.fund, "account_fen": estimate.account, "cash_fen": estimate.cash,
            "personal_fen": estimate.account + estimate.cash},
        "stores": [_store(share, name) for share in option.shares], "owed": as_arguments(option.owed),
        "substitutes": [{"agree": terms_of(line), "line": line.line, "prescribed": line.instead_of,
                         "prescribed_name": product_name(catalogue, line.instead_of), "offered": line.drug,
                         "offered_name": product_name(catalogue, line.drug), "why": WHY_OTHER.zh, "why_en": WHY_OTHER.en}
                        for line in option.substitutes]}


def product_name(catalogue: Catalogue, code: str) -> str:
    """Name and pack of a product; its code where the catalogue has none."""
    entry = catalogue.get(code)
    return entry.product if entry else code


def _store(share: Share, name: Name) -> Facts:
    words = name(share.chain)
    return {"chain": share.chain, "name": words.zh, "name_en": words.en or share.chain, "store": share.store,
            "total_fen": share.total, "minutes": share.minutes, "score": str(share.score), "open": True,
            "why": share.why, "why_en": share.why_en,
            "lines": [{"line": line.line, "drug": line.drug, "quantity": f"{line.quantity.normalize():f}", "unit": line.unit,
                       "unit_price": str(line.unit_price), "amount_fen": line.amount} for line in share.lines]}


def _coded(table: Any, code: str) -> Facts:
    return {"code": str(code), "text": table[code].zh, "text_en": table[code].en}

"""A recall (E-18): a lot of a drug, or one pack, is not sold any more. It lists parcels under way and patients to tell."""

from dataclasses import dataclass

from domain.errors import Refused
from domain.privacy import WITHHELD, shown
from domain.trace import PRODUCT_DIGITS, Recall, UseStatus, readable
from infra.db import traces
from infra.db.traces import Concerned
from infra.log import get_logger
from tasks.city import City
from tasks.webhooks import tell_of_recall

log = get_logger(__name__)


@dataclass(frozen=True)
class Affected:
    """The packs of a recall that left the shelf."""

    under_way: tuple[Concerned, ...]
    """Prepared, and not handed over: they are to be stopped."""
    handed_over: tuple[Concerned, ...]
    """Their patients are to be told within 24 hours."""


def recall(city: City, *, drug: str = "", lot: str = "", code: str = "", reason: str, by: str) -> Affected:
    """Stop the sale of a lot of a drug, or of one code, and say which packs of it left the shelf. Repeatable: the first word is
    kept.

    Raises `Refused` (code `recall`) where it names neither a lot of a drug of the catalogue nor a code of a known product.
    """
    if code:
        product = city.knowledge.trace_products.get(code[:PRODUCT_DIGITS])
        if lot or not readable(code) or product is None or drug not in ("", product.drug):
            raise Refused("a recall of one pack names its code of 20 digits and no lot", code="recall")
        drug = product.drug
    elif drug not in city.knowledge.catalogue or shown(lot) in ("", WITHHELD):
        raise Refused("a recall names a drug of the catalogue and its lot, or one code", code="recall")
    what = Recall(drug, lot, code)
    with city.db.transaction("recall.made") as session:
        traces.recall(session, what, reason=reason[:80], by=by, at=city.now())
        if city.webhooks:
            tell_of_recall(session, city, what, traces.concerned(session, what))
    log.warning("recall.made", drug=drug, lot=lot, code=code)
    return affected(city, what)


def affected(city: City, what: Recall) -> Affected:
    """Where the packs of a recall are now."""
    with city.db.reading() as session:
        packs = traces.concerned(session, what)
    return Affected(tuple(pack for pack in packs if pack.status is UseStatus.PREPARED),
                    tuple(pack for pack in packs if pack.status is UseStatus.HANDED_OVER))


def markdown(result: Affected) -> str:
    """The lists as one page. Ids and codes only."""
    lists = (("在途 under way", result.under_way), ("已交付 handed over", result.handed_over))
    rows = [f"| {where} | {pack.prescription_id} | {pack.order_id} | {pack.place} | {pack.line} | {pack.code} |"
            for where, packs in lists for pack in packs]
    return "\n".join([
        f"在途停止交付 stop: {len(result.under_way)} · 通知患者 tell the patients of: {len(result.handed_over)}", "",
        "| 何处 where | 处方 prescription | 订单 order | 药店 store | 行 line | 追溯码 code |",
        "| --- | --- | --- | --- | --- | --- |",
        *rows, ""])

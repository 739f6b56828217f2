"""What we tell hospitals and chains: written with the change of state, delivered after it."""

import asyncio
import hashlib
import json
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from adapters.messages import Message, Outcome, Verdict
from domain.chains import ChainWord, PharmacyOrder, SettlementNotice
from domain.claims import Claimed, Settlement
from domain.errors import NeedsOperator, RxError
from domain.event_words import TOLD
from domain.events import Event
from domain.findings import Finding, Severity
from domain.fulfilment.deliveries import DeliveryStatus
from domain.fulfilment.orders import Placed
from domain.fulfilment.portions import by_line
from domain.instructions import dispensed_name
from domain.lifecycle import FINAL, Notice, Reported
from domain.money import Fen, yuan
from domain.prescription import Prescription
from domain.words import Two
from fhir_profiles.reader import external_id
from infra.db import Session, claims, history, outbox
from infra.db.webhooks import KIND
from infra.log import get_logger
from tasks import webhooks
from tasks.city import City
from tasks.patients import page_address

log = get_logger(__name__)

WORDS = "WORDS"
"""Code of the finding of a report that holds what was said in words."""
REPORT, SETTLED = "report", "settled"
LEASE = timedelta(seconds=30)
RETRY = (10, 30, 120, 300, 900)
"""Seconds before a parcel is tried again; the last one for ever."""


def report(
    session: Session,
    city: City,
    rx: Prescription,
    status: Reported,
    *,
    reason: str,
    words: Two | None = None,
    to_prescriber: bool = False,
    findings: list[Finding] | None = None,
    order: PharmacyOrder | None = None,
    pickup_code: str = "",
    handed_over: Placed | None = None,
    money: Settlement | None = None,
    settled: Claimed | None = None,
    again: str = "",
) -> None:
    """Tell the hospital where its prescription is. `again` tells a second report of one status from the first.

    `reason` is a code, or several after commas: of `domain.event_words.TOLD`, of a finding, a review item (A-26) or a cancel.
    `words` say it to people, those of `TOLD` unless given; English may be empty. `to_prescriber`: the prescriber must read
    them, so they are also the last of the findings, which every dialect shows.
    `handed_over` is the order whose medicine the patient has or had; `money` what the fund pays of it now, by the claim `settled`.
    """
    words = words or TOLD.get(reason)
    key = f"{rx.id}:{status}{again and ':' + again}"
    body: dict[str, Any] = {"key": key, "prescription": rx.external_id, "id": rx.id, "status": str(status),
                            "at": city.now().isoformat(), "reason": reason}
    if city.gateway_url and status not in FINAL:
        body["patient_page"] = f"{city.gateway_url}{page_address(city, rx.id)}"
    if findings:
        body["findings"] = [_stated(finding) for finding in findings if finding.severity is not Severity.INFO]
    if words:
        body |= {"words": words.zh, "words_en": words.en}
    if words and to_prescriber:
        body["findings"] = [*body.get("findings", ()), {"code": WORDS, "severity": Severity.BLOCK, "text": words.zh,
                                                        "line": None}]
    if order and pickup_code:
        body["pickup"] = {"order": order.id, "chain": order.chain, "store": order.store, "code": pickup_code}
    if handed_over:
        body["dispense"] = _dispense(session, city, rx, handed_over)
    if money:
        # What a relative's account pays is paid from an account (F-17): the parts add up to the total.
        body["money"] = {"total": yuan(money.total), "fund": yuan(money.fund), "account": yuan(money.account + money.family),
                         "cash": yuan(money.cash)}
    if money and settled:
        former = claims.taken_back(session, settled.order_id) if settled.reversed or settled.version > 1 else None
        body["settlement"] = {"payer": city.payer.slug} | {part: {"id": id_, "reference": reference} for part, id_, reference in (
            ("settled", money.settlement_id, settled.claim.reference),
            ("reverses", former.settled.settlement_id if former and former.settled else "",
             former.claim.reference if former else "")) if id_}
    _enqueue(session, city, key, REPORT, rx.hospital, rx.id, body)


def _stated(finding: Finding) -> dict[str, Any]:
    """A finding with its rule and its cure; what it does not say is left out."""
    words = {"rule": finding.rule, "text_en": finding.text_en, "cure": finding.cure, "cure_en": finding.cure_en,
             "path": finding.path, "spot": str(finding.spot or "")}
    return {"code": finding.code, "severity": finding.severity, "text": finding.text, "line": finding.line,
            **{name: text for name, text in words.items() if text}}


def _dispense(session: Session, city: City, rx: Prescription, placed: Placed) -> dict[str, Any]:
    """What was handed over, by whom, when and how, line by line; a line that came back says so."""
    items = {item.line: item for item in rx.items}
    order, kept = placed.order, by_line(placed.kept)
    return {"order": order.id, "chain": order.chain, "store": order.store, "handover": order.handover,
            "at": _handed_over_at(session, rx, placed).isoformat(),
            "lines": [{"line": line.line, "item": items[line.line].number, "drug": line.drug,
                       "name": dispensed_name(line, items[line.line], city.knowledge.catalogue), "instead_of": line.instead_of,
                       "quantity": format(line.quantity, "f"), "unit": line.unit, "days": items[line.line].days_of(line.quantity),
                       "returned": line.line not in kept} for line in order.lines]}


def _handed_over_at(session: Session, rx: Prescription, placed: Placed) -> datetime:
    """When the pharmacy says it was; when we learnt of it, if it says nothing, or a time before the prescription or to come."""
    learnt = placed.handed_over_at
    assert learnt is not None
    times = [detail["at"] for detail in history.details(session, rx.id, Event.ORDER_UPDATE)
             if (detail["order"], detail["status"]) == (placed.id, ChainWord.HANDED_OVER)]
    if placed.courier:
        times += [detail["at"] for detail in history.details(session, rx.id, Event.COURIER_UPDATE)
                  if (detail["order"], detail["delivery"]) == (placed.id, DeliveryStatus.SIGNED)]
    at = datetime.fromisoformat(times[0]) if times else learnt
    return at if rx.issued_at <= at <= learnt else learnt


def answer_late(session: Session, city: City, key: str, message: Message | None, verdict: Verdict) -> None:
    """Tell the hospital what became of a message that waited for its codes to be mapped.

    Of one that came to nothing because its prescription had come under another key meanwhile, it hears where that
    prescription is.
    """
    number = verdict.external_id or (external_id(message.resource) if message else "")
    status = Notice.INVALID if verdict.outcome is Outcome.REFUSED else verdict.status
    # A hospital's key may be long, and is its own: ours has the digest of it.
    digest = hashlib.sha256(f"{verdict.hospital}\n{key}".encode()).hexdigest()
    body: dict[str, Any] = {"key": f"message:{digest[:32]}:{status}", "message": key, "prescription": number,
                            "id": verdict.prescription_id, "status": str(status), "at": verdict.at.isoformat(),
                            "reason": ", ".join(sorted({finding.code for finding in verdict.findings}))}
    if verdict.findings:
        body["findings"] = [_stated(finding) for finding in verdict.findings]
    _enqueue(session, city, body["key"], REPORT, verdict.hospital, verdict.prescription_id or None, body)


def notify_chain(
    session: Session, city: City, rx_id: str, chain: str, order_id: str, answer: Settlement | None,
) -> None:
    """Tell the chain what the fund paid; None after a reversal with nothing left to settle."""
    notice = {"order_id": order_id, "settlement_id": answer.settlement_id if answer else "",
              "total": answer.total if answer else 0, "fund": answer.fund if answer else 0,
              "account": answer.account + answer.family if answer else 0, "cash": answer.cash if answer else 0}
    _enqueue(session, city, f"{order_id}:settled:{notice['settlement_id'] or 'none'}", SETTLED, chain, rx_id, notice)


def _enqueue(session: Session, city: City, key: str, kind: str, partner: str, rx_id: str | None, body: dict[str, Any]
             ) -> None:
    sealed = city.cipher.seal(json.dumps(body, ensure_ascii=False, sort_keys=True), f"outbox/{key}")
    outbox.enqueue(session, key=key, kind=kind, partner=partner, prescription_id=rx_id, sealed=sealed, at=city.now())


def waited_for(city: City) -> list[str]:
    """Partners with a message that may go now."""
    with city.db.reading() as session:
        return outbox.waited_for(session, city.now())


async def deliver_due(city: City, limit: int = 50, *, lease: timedelta = LEASE) -> int:
    """Deliver what is due to everybody, once through; returns how many were delivered."""
    return sum(await asyncio.gather(*(deliver_to(city, partner, limit, lease=lease) for partner in waited_for(city))))


async def deliver_to(city: City, partner: str, limit: int = 50, *, lease: timedelta = LEASE) -> int:
    """Deliver what is due to one partner; returns how many were delivered. What fails comes again later.

    A parcel is ours for the length of the lease, and is due again after it. A delivery that takes longer is given up before,
    so that two deliveries of one lane never overtake each other.
    """
    with city.db.transaction("outbox.taken") as session:
        parcels = outbox.take(session, partner, at=city.now(), lease=lease, limit=limit)
    going = {asyncio.create_task((webhooks.attempt if parcel.kind == KIND else _try)(city, parcel, lease)): parcel.key
             for parcel in parcels}
    delivered = 0
    while going:
        done, _ = await asyncio.wait(going, return_when=asyncio.FIRST_COMPLETED)
        # Those that arrived together are marked together: a commit for each would cost more than the delivery.
        arrived = [key for task in done if (key := going.pop(task)) and task.result()]
        if arrived:
            with city.db.transaction("outbox.delivered") as session:
                outbox.delivered(session, arrived, city.now())
        delivered += len(arrived)
    return delivered


async def _try(city: City, parcel: outbox.Parcel, lease: timedelta) -> bool:
    try:
        async with asyncio.timeout(0.8 * lease.total_seconds()):
            await _deliver(city, parcel)
    except Exception as error:
        code = error.code if isinstance(error, RxError) else ""
        again = city.after(seconds=RETRY[min(parcel.attempts, len(RETRY) - 1)])
        # If even that cannot be written, its lease ends and it is due again.
        with suppress(Exception), city.db.transaction("outbox.failed") as session:
            outbox.failed(session, parcel.key, error=f"{type(error).__name__}:{code}"[:80], again_at=again)
        log.warning("outbox.failed", key=parcel.key, partner=parcel.partner, error=type(error).__name__)
        return False
    return True


async def _deliver(city: City, parcel: outbox.Parcel) -> None:
    body = city.cipher.open(parcel.sealed, f"outbox/{parcel.key}")
    if parcel.kind == REPORT:
        if parcel.partner not in city.hospitals:
            raise NeedsOperator(f"no hospital {parcel.partner} to report to", code="unknown_hospital")
        await city.hospitals[parcel.partner].report(parcel.key, body.encode())
        return
    if parcel.partner not in city.chains:
        raise NeedsOperator(f"no chain {parcel.partner} to notify", code="unknown_chain")
    notice = json.loads(body)
    amounts = {name: Fen(notice[name]) for name in ("total", "fund", "account", "cash")}
    await city.chains[parcel.partner].notify_settled(
        SettlementNotice(notice["order_id"], notice["settlement_id"], **amounts))

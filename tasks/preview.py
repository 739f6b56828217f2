"""A dry run: what the platform would do with a prescription, said before it is sent. Nothing is kept, held or paid."""

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from domain.audit import audit, selfpay_lines
from domain.benefit import forecast
from domain.chains import OrderLine
from domain.claims import Identity
from domain.errors import RxError
from domain.findings import Finding, Severity, worst
from domain.fulfilment.ranking import Ranked, rank
from domain.money import yuan
from domain.premises import handling_of
from domain.prescription import Prescription
from fhir_profiles.reader import Admitted
from tasks import intake
from tasks.audit import case_of, entitlement_of
from tasks.city import City
from tasks.fulfilment.market import quotes_for

BEST = 5
"""Pharmacies named at most."""


@dataclass(frozen=True)
class Preview:
    """Each part is empty where the one before says no, or where a partner did not answer."""

    findings: tuple[Finding, ...] = ()
    """Of the message; with any of these nothing else is looked at."""
    audited: bool = False
    """Whether every rule was asked: not without the fund's word on who the person is."""
    audit: tuple[Finding, ...] = ()
    ranking: tuple[Ranked, ...] = ()
    """The best pharmacies first."""
    price: dict[str, str] | None = None
    """Yuan at the best pharmacy: total, fund, account, cash."""
    silent: tuple[str, ...] = ()
    """Partners that did not answer."""

    @property
    def passes(self) -> bool:
        sent_back = any(finding.code == "NOT_INSURED" for finding in self.audit)
        return self.audited and not sent_back and worst(self.audit) is not Severity.BLOCK

    def as_dict(self) -> dict[str, Any]:
        return {
            "passes": self.passes, "audited": self.audited,
            "findings": [finding.as_dict() for finding in self.findings],
            "audit": [finding.as_dict() for finding in self.audit], "price": self.price, "silent": list(self.silent),
            "routing": [{"chain": candidate.quote.chain, "store": candidate.quote.store, "score": str(candidate.score),
                         "eligible": candidate.eligible, "why": candidate.why, "why_en": candidate.why_en,
                         "total": yuan(candidate.quote.total)} for candidate in self.ranking],
        }


async def preview(city: City, hospital: str, raw: bytes,
                  turn: AbstractAsyncContextManager[None] | None = None) -> Preview:
    """The message's findings, the audit, the pharmacies in their order and the price. Asks partners, changes nothing.

    `turn` is held while the message is read, and no longer.
    """
    async with turn or nullcontext():
        admitted, findings = await asyncio.to_thread(intake.preview, city, hospital, raw)
    if admitted is None:
        return Preview(tuple(findings))
    return await _looked_at(city, admitted)


async def _looked_at(city: City, admitted: Admitted) -> Preview:
    rx, record = admitted.prescription, admitted.patient
    try:
        entitlement = await entitlement_of(city, rx, Identity(name=record.name, id_number=record.id_number))
    except RxError:
        return Preview(silent=(city.payer.slug,))  # without the fund's word the audit would say what is not so
    silent: list[str] = []
    findings = tuple(audit(await asyncio.to_thread(case_of, city, rx, entitlement)))
    if worst(findings) is Severity.BLOCK:
        return Preview(audited=True, audit=findings, silent=tuple(silent))
    ranking: list[Ranked] = []
    try:
        ranking, unheard = await _ranked(city, rx)
        silent += unheard
    except RxError:
        silent += sorted(city.chains)
    best = next((candidate for candidate in ranking if candidate.eligible), None)
    price = None
    if best and entitlement:
        money = forecast(rx, best.quote.lines, entitlement, city.policy, city.knowledge, selfpay_lines(findings))
        price = {name: yuan(getattr(money, name)) for name in ("total", "fund", "account", "cash")}
    return Preview(audited=True, audit=findings, ranking=tuple(ranking[:BEST]), price=price, silent=tuple(silent))


async def _ranked(city: City, rx: Prescription) -> tuple[list[Ranked], list[str]]:
    wanted = [OrderLine(item.line, item.drug, item.quantity, item.unit) for item in rx.items]
    quotes, _, silent = await quotes_for(city, rx, wanted, rx.handover)
    # Without the shares of the last days: they change by the minute, and this is a look, not a promise.
    handling = handling_of((line.drug for line in wanted), rx.handover, city.knowledge, decoct=rx.to_decoct)
    return rank(quotes, wanted, city.policy, city.knowledge.ceilings, {}, handling, key=rx.id), silent

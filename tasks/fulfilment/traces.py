"""The trace codes in a chain's word: bound to the lines of its order, and judged. A wrong code never loses the word itself."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from domain.chains import ChainWord, OrderUpdate
from domain.findings import Finding
from domain.fulfilment.orders import GONE, Placed
from domain.prescription import Prescription
from domain.trace import Facts, Judged, Scan, UploadKind, Use, UseStatus, Wanted, fault, judge
from infra.db import Session, notices, traces
from infra.db.notices import NoticeKind
from tasks.city import City

BOUND = (UseStatus.PREPARED, UseStatus.HANDED_OVER)


@dataclass(frozen=True)
class Heard:
    """What the codes of a word came to."""

    findings: tuple[Finding, ...] = ()
    changed: bool = False
    """Whether packs were bound, handed over or taken back by it."""


def take(city: City, session: Session, placed: Placed, rx: Prescription, update: OrderUpdate) -> Heard:
    """Write down the packs of a chain's word. What is wrong with codes of packs that were handed over is a notice for a person.

    Lines without codes in the word keep the packs of the preparation. Once the packs of a line that was handed over make its
    quantity, they stay; until then the chain may send the codes again. Raises `StaleStatus` where a pack was sold meanwhile.
    """
    if update.status is ChainWord.RETURNED:
        return _returned(city, session, placed, update)
    handed_over = update.status is ChainWord.HANDED_OVER
    packed = update.status in (ChainWord.PREPARED, ChainWord.IN_DELIVERY) and placed.status not in GONE
    if not handed_over and not (packed and update.traces):
        return Heard()
    scans = update.traces or ()
    facts, uses = traces.look(session, placed.id, scans, city.knowledge.trace_products)
    if not handed_over and any(use.status is UseStatus.HANDED_OVER for use in uses):
        return Heard()  # A word of the preparation that comes after the handover.
    findings = [fault("TRACE_LINE", f"traces[{index}]") for index, scan in enumerate(scans)
                if scan.line not in {line.line for line in placed.order.lines}]
    items = {item.line: item for item in rx.items}
    changed = False
    for line in placed.order.lines:
        item = items[line.line]
        wanted = Wanted(line.line, line.drug, line.quantity, item.days_begun(line.quantity))
        line_findings, line_changed = _line(city, session, placed, wanted, scans, facts, uses, handed_over=handed_over)
        findings += line_findings
        changed = changed or line_changed
    if handed_over and findings:
        _notify(city, session, placed, findings)
    return Heard(tuple(findings), changed)


def _line(city: City, session: Session, placed: Placed, wanted: Wanted, scans: Sequence[Scan], facts: Facts, uses: Sequence[Use],
          *, handed_over: bool) -> tuple[tuple[Finding, ...], bool]:
    """Bind the packs of one line; what is wrong with them, and whether anything changed."""
    own = [use for use in uses if use.line == wanted.line and use.status in BOUND]
    complete = sum(use.units for use in own) == wanted.quantity
    if complete and any(use.status is UseStatus.HANDED_OVER for use in own):
        return (), False
    mine = [(index, scan) for index, scan in enumerate(scans) if scan.line == wanted.line]
    if not mine and not handed_over:
        return (), False
    to = UseStatus.HANDED_OVER if handed_over else UseStatus.PREPARED
    place = f"{placed.order.chain}/{placed.order.store}"
    if mine:
        judged = judge(wanted, mine, facts, bound=own, place=place, on=city.today(), handed_over=handed_over)
    else:
        judged = _as_prepared(city, placed, wanted, complete)
    kept = [use for use in own if not mine or any((scan.code, scan.units) == (use.code, use.units) for scan in judged.packs)]
    fresh = [scan for scan in judged.packs if scan.code not in {use.code for use in kept}]
    traces.release(session, placed.id, [use for use in own if use not in kept], city.now())
    traces.bind(session, placed.id, place, fresh, facts, to, city.now())
    if handed_over:
        traces.hand_over(session, placed.id, [use for use in kept if use.status is UseStatus.PREPARED], city.now())
        if judged.complete:
            codes = [use.code for use in kept] + [scan.code for scan in fresh]
            traces.owe_upload(session, UploadKind.SALE, placed.id, [(wanted.line, code) for code in codes], at=city.now(),
                              due=city.now() + city.policy.upload_after)
    moved = bool(fresh) or len(kept) < len(own) or (handed_over and any(use.status is UseStatus.PREPARED for use in kept))
    return judged.findings, moved


def _as_prepared(city: City, placed: Placed, wanted: Wanted, complete: bool) -> Judged:
    """A line that was handed over without codes: the packs of its preparation count; for want of any it is missing (B-55)."""
    owed = placed.order.chain in city.policy.coded_chains and wanted.drug not in city.knowledge.uncoded
    return Judged((), complete, () if complete or not owed else (fault("TRACE_MISSING", "traces", wanted.line),))


def _returned(city: City, session: Session, placed: Placed, update: OrderUpdate) -> Heard:
    """Lines come back whole, and so do their packs: into quarantine, and to the fund as a return where it knows the sale."""
    uses = [use for use in traces.uses_of(session, placed.id)
            if use.line in update.lines and use.status is UseStatus.HANDED_OVER]
    sold = {(use.line, use.code) for use in uses}
    findings = [fault("NOT_SOLD_HERE", f"traces[{index}]", scan.line) for index, scan in enumerate(update.traces or ())
                if (scan.line, scan.code) not in sold]
    if uses:
        traces.take_back(session, placed.id, uses, city.now())
        uploaded = sold & set(traces.uploaded_sales(session, placed.id))
        traces.owe_upload(session, UploadKind.RETURN, placed.id, sorted(uploaded), at=city.now(),
                          due=city.now() + city.policy.upload_after)
        if findings:
            _notify(city, session, placed, findings)
    return Heard(tuple(findings), bool(uses))


def _notify(city: City, session: Session, placed: Placed, findings: Iterable[Finding]) -> None:
    """One notice of each order, line and fault."""
    for line, code in dict.fromkeys((finding.line or 0, finding.code) for finding in findings):
        notices.note(session, kind=NoticeKind.TRACE_CODE, partner=placed.order.chain, subject=f"{placed.id}:{line}:{code}",
                     detail=code, at=city.now())

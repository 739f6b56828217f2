"""Records for the tests of the tables, and a way to have several writers at once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from threading import Barrier
from typing import Any

from domain.audit import AuditReason, AuditRun, Result
from domain.chains import OrderLine, PharmacyOrder
from domain.claims import Claim, Claimed, ClaimLine, Settlement
from domain.findings import Finding
from domain.money import Fen
from domain.prescription import Handover, prescription_id
from infra.db import Database, Session, audits, claims, effects, history, orders, prescriptions
from infra.db.effects import Effect
from tests.support import factories

NOW = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)
DAY = date(2026, 11, 22)
MINUTE = timedelta(minutes=1)


def admit(session: Session, number: int = 1, *, at: datetime = NOW, **changes: Any) -> history.Head:
    """Prescription `RX<number>`, due at once."""
    external = f"RX{number:04d}"
    rx = replace(factories.rx(), id=prescription_id("jinan_first", external), external_id=external, **changes)
    return prescriptions.admit(session, rx, patient_sealed=b"sealed", archive_key=f"sha256/{number}", at=at,
                               message=f"M{number:04d}")


def admitted(db: Database, number: int = 1, **changes: Any) -> history.Head:
    with db.transaction() as session:
        return admit(session, number, **changes)


def audited(session: Session, rx_id: str, *findings: Finding, at: datetime = NOW, version: str = "rules-1") -> None:
    """A run of the audit that found these."""
    audits.record(session, rx_id, AuditRun(version, tuple(Result(finding, (), {}) for finding in findings)),
                  why=AuditReason.STAGE, at=at)


def order(rx_id: str, attempt: int = 1, lines: int = 2) -> PharmacyOrder:
    return PharmacyOrder(
        f"ord_{rx_id.removeprefix('rx_')}_{attempt}", rx_id, "ankang", "AK01",
        tuple(OrderLine(n, f"D00{n}", Decimal(10), "片", Decimal("1.00"), Fen(1000)) for n in range(1, lines + 1)),
        Handover.PICKUP, factories.PLACE)


def make_order(session: Session, rx_id: str, attempt: int = 1, lines: int = 2, at: datetime = NOW) -> str:
    made = order(rx_id, attempt, lines)
    orders.make(session, made, attempt=attempt, sealed=b"sealed", ranking=[], at=at)
    return made.id


def split(total: int, fund: int, *, number: str = "", day: date | None = None, account: int = 0) -> Settlement:
    """A settlement without own expense: the fund's part, the account's, the rest in cash."""
    return Settlement(Fen(total), Fen(0), Fen(0), Fen(0), Fen(total), Fen(0), Fen(fund), fund=Fen(fund),
                      account=Fen(account), cash=Fen(total - fund - account), settlement_id=number, day=day)


def reference(at: datetime, sequence: int) -> str:
    return f"P37010000001{at:%Y%m%d%H%M%S}{sequence:04d}"


def claim(rx_id: str, number: str, total: int = 2000, insutype: str = "310") -> Claim:
    line = ClaimLine(1, "D001", Decimal(10), Decimal(total) / 1000, Fen(total), 30, "bid")
    return Claim(number, rx_id, rx_id, "", insutype, "370100", "", "41", NOW, "D370100000001", (line,), claims.NOBODY)


def make_claim(session: Session, rx_id: str, number: str, *, version: int = 1, total: int = 2000,
               insutype: str = "310") -> Claim:
    """A claim for the prescription's order, pre-settled; the first one makes the order."""
    made = claim(rx_id, number, total, insutype)
    order_id = order(rx_id).id if version > 1 else make_order(session, rx_id)
    claimed = claims.make(session, made, version=version, order_id=order_id, forecast=split(total, total // 2))
    claims.pre_settled(session, claimed, split(total, total // 2))
    return made


def newest_claim(session: Session, rx_id: str) -> Claimed:
    """The newest claim for the prescription's only order."""
    claimed = claims.newest(session, order(rx_id).id)
    assert claimed is not None
    return claimed


def is_open(session: Session, effect: Effect) -> bool:
    """Whether an effect has no answer."""
    return any(it.effect == effect and not it.refused for it in effects.unfinished(session, effect.prescription_id))


def at_once(*writers: Callable[[], object]) -> list[object]:
    """What each returned or raised, all of them having started together."""
    start = Barrier(len(writers))

    def run(writer: Callable[[], object]) -> object:
        start.wait()
        try:
            return writer()
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(writers)) as pool:
        return list(pool.map(run, writers))

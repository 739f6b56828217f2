"""One order, one claim and every call about them: what the samples of every partner were recorded with."""

from collections.abc import Awaitable, Callable
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from adapters.protocols import Chain, Payer
from domain.chains import Instructions, Label, OrderLine, PharmacyOrder, SettlementNotice
from domain.claims import Claim, ClaimLine, DayTotals, Identity
from domain.money import Fen
from domain.prescription import Handover, Place

AT = datetime(2026, 11, 22, 9, 10, tzinfo=timezone(timedelta(hours=8)))

CHAIN_SECRETS = {"token": "MARK-token", "callback": "MARK-callback"}
PAYER_SECRETS = {"paasid": "demo", "secret": "MARK-secret"}

MARKS = ("MARK", "00000000000000000X", "P0000000001", "〇〇〇")
"""What no error, repr or log line may ever hold: secrets, people and their numbers."""

PLACE = Place("370102", Decimal("36.67"), Decimal("117.03"))
ASKED = (
    OrderLine(1, "D001", Decimal(60), "片"),
    OrderLine(2, "D010", Decimal(30), "片"),
)


INSTRUCTIONS = Instructions((
    Label(1, "盐酸二甲双胍片", "每次 500 mg，每日2次，口服，共 30 天", "首日半量，随餐", "漏服不补"),
    Label(2, "阿卡波糖片", "每次 50 mg，每日1次，口服，共 30 天"),
), "两周后复诊")


def order(handover: Handover = Handover.PICKUP) -> PharmacyOrder:
    home = handover is Handover.HOME
    return PharmacyOrder(
        id="ord_sample1",
        prescription_id="rx_sample",
        chain="any",
        store="S01",
        lines=(
            OrderLine(1, "D001", Decimal(60), "片", Decimal("0.3100"), Fen(1860)),
            OrderLine(2, "D010", Decimal(30), "片", Decimal("0.3000"), Fen(900)),
        ),
        handover=handover,
        place=PLACE,
        claim_secret="MARK-claim",
        pickup_code_sha256="" if home else "0" * 64,
        patient_due=Fen(1037),
        recipient={"name": "〇〇〇", "phone": "MARK-phone", "address": "MARK-address"} if home else {},
        instructions=INSTRUCTIONS,
    )


NOTICE = SettlementNotice("ord_sample1", "ST0000000001", Fen(2760), Fen(1423), Fen(300), Fen(1037))

CHAIN_CALLS: dict[str, Callable[[Chain], Awaitable[Any]]] = {
    "quote": lambda chain: chain.quote(ASKED, Handover.PICKUP, PLACE),
    "hold": lambda chain: chain.hold(order()),
    "hold_refused": lambda chain: chain.hold(order()),
    "place": lambda chain: chain.place(order()),
    "place_home": lambda chain: chain.place(order(Handover.HOME)),
    "find": lambda chain: chain.find("ord_sample1"),
    "find_unknown": lambda chain: chain.find("ord_sample1"),
    "cancel": lambda chain: chain.cancel("ord_sample1", "patient"),
    "cancel_refused": lambda chain: chain.cancel("ord_sample1", "patient"),
    "settled": lambda chain: chain.notify_settled(NOTICE),
}
"""By name of the sample."""

IDENTITY = Identity(name="〇〇〇", id_number="00000000000000000X")


def claim() -> Claim:
    return Claim(
        reference="P37010000001202611220910000001",
        prescription_id="rx_sample",
        rxno="rx_sample",
        psn_no="P0000000001",
        insutype="310",
        insured_place="370100",
        disease_code="M01600",
        med_type="14",
        at=AT,
        prescriber="D370100000001",
        lines=(
            ClaimLine(1, "D001", Decimal(60), Decimal("0.3100"), Fen(1860), 30, "bid"),
            ClaimLine(2, "D010", Decimal(30), Decimal("0.3000"), Fen(900), 30, "qd", selfpay=True),
        ),
        identity=IDENTITY,
    )


def reverse(payer: Payer) -> Awaitable[str]:
    reference = "P37010000001202611221000000002"
    return payer.reverse(reference, "ST0000000001", "MD0000000001", "P0000000001", "370100", AT)


DAY = DayTotals("310", "41", "370100", date(2026, 11, 22), date(2026, 11, 22), Fen(2760), Fen(1423), Fen(300), 1)

PAYER_CALLS: dict[str, Callable[[Payer], Awaitable[Any]]] = {
    "1101": lambda payer: payer.entitlement(IDENTITY, "310", AT),
    "2101": lambda payer: payer.pre_settle(claim()),
    "2102": lambda payer: payer.settle(claim()),
    "2103": reverse,
    "3201": lambda payer: payer.reconcile(DAY),
}
"""By number of the transaction."""

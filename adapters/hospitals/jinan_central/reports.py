"""How a report of ours reads as an ORM^O01. Pure."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from adapters.dialects import hl7v2
from adapters.dialects.hl7v2 import Ends
from adapters.dialects.hl7v2_segments import compose, digest, encode, stamp, text, write
from adapters.messages import reason_words
from domain.findings import Severity
from domain.lifecycle import Notice, Reported, Status, reported
from domain.words import REPORTS

PROGRESS: Mapping[Reported, tuple[str, str]] = {
    Status.RECEIVED: ("SC", "SC"),
    Status.AUDITED: ("SC", "IP"),
    Status.IN_REVIEW: ("SC", "IP"),
    Status.REVIEWED: ("SC", "IP"),
    Status.ALLOCATING: ("SC", "IP"),
    Status.FULFILLING: ("SC", "IP"),
    Status.FULFILLED: ("SC", "CM"),
    Status.SETTLED: ("SC", "CM"),
    Status.CLOSED: ("SC", "CM"),
    Status.REFUSED: ("SC", "ER"),
    Status.RETURNED: ("SC", "ER"),
    Status.CANCELLED: ("OC", "CA"),
    Status.EXPIRED: ("SC", "DC"),
    Notice.INVALID: ("SC", "ER"),
    Notice.CANCELLING: ("SC", "IP"),
    Notice.TOO_LATE: ("SC", "IP"),
    Notice.CANCEL_REFUSED: ("UC", "IP"),
}
"""Where a prescription is -> ORC-1 (table 0119) and ORC-5 (table 0038)."""
NOTE_SEVERITIES: Mapping[Severity, str] = {
    Severity.BLOCK: "E", Severity.WARN: "W", Severity.SELFPAY: "E", Severity.INFO: "E"}
"""NTE-2 of a finding."""
MONEY = (("total", "CG", "费用总额"), ("fund", "PY", "统筹基金支付"), ("account", "PY", "个人账户支付"),
         ("cash", "PY", "个人现金支付"))
"""Our word, FT1-6 (charge or payment, table 0017) and FT1-7.2."""


def report(ends: Ends, key: str, body: bytes) -> tuple[str, bytes]:
    """MSH-10 and the ORM^O01 for one report (contract 1.3). The same report gives the same bytes.

    ORC-4 their prescription number, ORC-3 ours, ORC-25 our status. NTE the reason (RE and its code) and findings (FD).
    FT1 the money. ZDS what was handed over, line by line. ZRS our key and what the patient shows to collect.
    """
    notice: dict[str, Any] = json.loads(body)
    status, at = reported(notice["status"]), datetime.fromisoformat(notice["at"])
    order_control, progress = PROGRESS[status]
    control = digest(ends.facility, key)
    notes = [write("NTE", {3: text(reason_words(notice)), 4: compose("RE", notice["reason"])})] if notice.get("reason") else []
    notes += [
        write("NTE", {2: NOTE_SEVERITIES[Severity(it["severity"])], 3: text(it["text"]),
                      4: compose("FD", it["code"], str(it.get("line") or ""))}) for it in notice.get("findings", ())]
    order = write("ORC", {
        1: order_control, 3: compose(notice["id"], "SANYI"), 4: compose(notice["prescription"]),
        5: progress, 9: stamp(at), 25: compose(status, REPORTS[status].zh, "SANYI")})
    money = [write("FT1", {1: str(number), 4: stamp(at), 6: kind, 7: compose(name.upper(), words, "SANYI"),
                           11: compose(notice["money"][name])})
             for number, (name, kind, words) in enumerate(MONEY, 1) if notice.get("money")]
    handed = notice.get("dispense") or {}
    dispensed = [write("ZDS", {
        1: str(line["line"]), 2: text(line["item"]), 3: compose(line["drug"], line["name"], "SANYI"), 4: text(line["quantity"]),
        5: text(line["unit"]), 6: text(handed["at"]), 7: compose(*(str(handed[name]) for name in ("order", "chain", "store"))),
        8: "D" if handed["handover"] == "home" else "P", 9: "Y" if line["returned"] else "N"})
        for line in handed.get("lines", ())]
    settlement = notice.get("settlement") or {}
    settled = [compose(part, settlement[part]["id"], settlement[part]["reference"], settlement["payer"])
               for part in ("settled", "reverses") if part in settlement]
    pickup = notice.get("pickup", {})
    ours = write("ZRS", {1: text(key), 2: compose(*(str(pickup.get(name, "")) for name in ("order", "chain", "store", "code"))),
                         3: text(notice["at"]), 4: "~".join(settled), 5: text(notice.get("patient_page") or "")})
    lines = [hl7v2.header(ends, "ORM^O01^ORM_O01", control, at, ends.charset), *notes, order, *money, *dispensed, ours]
    return control, encode(lines, ends.charset)

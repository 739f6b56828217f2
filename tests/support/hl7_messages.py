"""Messages of the hospital that speaks HL7 v2, and what its adapter finds in them."""

import json
from typing import Any

from adapters import registry
from adapters.hospitals.jinan_central.adapter import Adapter
from adapters.mapping import CodeMap, read_tables
from domain.errors import InvalidPayload
from domain.findings import Finding
from infra.http import Response
from tasks.intake import check
from tests.support.fakes import Replay

SLUG = "jinan_central"


FOLDER = registry.HERE / "hospitals" / SLUG


SAMPLES = FOLDER / "samples"


CODES = read_tables(FOLDER)


UTF8 = "MSH|^~\\&|JZHIS|JINANCENTRAL|||20261122090000||RDE^O11|K1|P|2.5.1||||||UNICODE UTF-8"


def adapter(*answers: Response | bytes | Exception) -> tuple[Adapter, Replay]:
    line = Replay(*answers)
    return Adapter(registry.manifest("hospitals", SLUG), line, {"sources": "127.0.0.1"}), line


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


def judged(raw: bytes, codes: CodeMap = CODES) -> list[Finding]:
    """Every finding of dialect and checker, with its spot."""
    try:
        message = adapter()[0].to_fhir(raw, codes)
    except InvalidPayload as invalid:
        return list(invalid.findings)
    return check(message, SLUG)


def refused(body: bytes) -> list[Finding]:
    """What the dialect alone has against a message."""
    try:
        return list(adapter()[0].to_fhir(body, CODES).findings)
    except InvalidPayload as invalid:
        return list(invalid.findings)


# Reporting.

REPORT = {"key": "rx_1:settled", "prescription": "RXC0001", "id": "rx_1", "status": "settled",
          "at": "2026-11-22T01:30:00.123456+00:00", "reason": "settled", "words": "医保|已结算", "words_en": "settled",
          "findings": [{"code": "OFF_LABEL", "severity": "WARN", "text": "适应证^不符", "line": 2}],
          "patient_page": "https://sanyi.example/p/ab12-cd34",
          "pickup": {"order": "ord_1", "chain": "ankang", "store": "AK01", "code": "7K3QX9MWTA"},
          "dispense": {
              "order": "ord_1", "chain": "ankang", "store": "AK01", "handover": "pickup", "at": "2026-11-22T01:20:00+00:00",
              "lines": [{"line": 1, "item": "1", "drug": "D001", "name": "二甲双胍", "quantity": "60", "unit": "片", "days": 30,
                         "returned": True}]},
          "settlement": {"payer": "centre", "settled": {"id": "S2", "reference": "H2"},
                         "reverses": {"id": "S1", "reference": "H1"}},
          "money": {"total": "46.50", "fund": "39.53", "account": "6.97", "cash": "0.00"}}


def body(**changes: Any) -> bytes:
    return json.dumps(REPORT | changes, ensure_ascii=False).encode()

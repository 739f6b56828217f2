"""`python -m adapters.kit.exam CHAIN --url …`: examine a chain at an address, and write what came of it as JSON.

`./go conformance CHAIN` starts it, with a simulated chain or with the chain's own test address.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from time import monotonic
from typing import Any

from adapters import registry
from adapters.kit.exam.ears import CallbackEar, Ear, PollingEar
from adapters.kit.exam.examine import Exam, Judged, examine
from adapters.kit.exam.record import as_json, recorder_of, shown
from adapters.protocols import CallsBack, Polled
from domain.chains import OrderLine
from domain.errors import NeedsOperator
from domain.prescription import Place
from infra.http import Client, open_client, tell
from infra.settings import get_settings

DRUGS = "D001:60:片,D032:28:片,D048:28:粒,D010:90:片,D081:30:片"
PLACE = Place("370102", Decimal("36.67"), Decimal("117.03"))
SHOWN = 6
"""Exchanges that are shown behind a requirement."""


def wanted(drugs: str) -> list[OrderLine]:
    """`code:quantity:unit` of each, separated by commas. Raises `ValueError`."""
    rows = [row.split(":") for row in drugs.split(",")]
    return [OrderLine(number, code, Decimal(quantity), unit) for number, (code, quantity, unit) in enumerate(rows, 1)]


def exam_of(slug: str, url: str, client: Client, secrets: Mapping[str, str], listen: str = "", **more: Any) -> Exam:
    """The examination of a chain at an address. Raises `NeedsOperator` for a chain that is not there or works from our pages."""
    facts = registry.manifest("chains", slug)
    if facts.shops:
        raise NeedsOperator(f"{slug} 的药店使用我们的收件箱，没有接口可认证 its shops work from our pages: no interface to certify",
                            code="no_interface")
    recorder = recorder_of(registry.transport(facts, url, client))
    chain = registry.load("chains", slug, recorder, secrets)
    # A separate line: a denied call must not count for the breaker of the other calls.
    other = registry.load("chains", slug, registry.transport(facts, url, client), dict.fromkeys(secrets, "wrong"))
    host, _, port = listen.rpartition(":")
    ear: Ear | None = CallbackEar(chain, host or "127.0.0.1", int(port or 0)) if isinstance(chain, CallsBack) else (
        PollingEar(chain) if isinstance(chain, Polled) else None)
    if ear is None:
        raise NeedsOperator(f"{slug}: adapter.py 既不接收回调也不能轮询 the adapter neither takes callbacks nor polls",
                            code="no_way")
    return Exam(chain, other, recorder, ear, place=PLACE, **more)


def document(exam: Exam, judged: Sequence[Judged], began: datetime, seconds: float) -> dict[str, Any]:
    """The report, in the form of the hospitals'."""
    facts = registry.manifest("chains", exam.chain.slug)
    return {
        "chain": facts.slug, "name": facts.name, "name_en": facts.name_en, "dialect": facts.dialect,
        "began": began.isoformat(timespec="seconds"), "seconds": round(seconds), "flaw": "",
        "passed": bool(judged) and all(result.passed for result in judged),
        "messages": len(exam.recorder.exchanges), "reports": len(exam.ear.arrivals),
        "requirements": [{
            "id": result.requirement.id, "passed": result.passed, "source": result.requirement.source,
            "zh": result.requirement.words.zh, "en": result.requirement.words.en,
            "seen": result.seen.zh, "seen_en": result.seen.en,
            "cure": "" if result.passed else result.requirement.cure.zh,
            "cure_en": "" if result.passed else result.requirement.cure.en,
            "exchanges": [as_json(exchange, exam.secrets) for exchange in result.exchanges[-SHOWN:]],
            "reports": [shown(arrival.raw, exam.secrets) for arrival in result.arrivals[:SHOWN]],
        } for result in judged],
    }


async def _examined(options: argparse.Namespace) -> dict[str, Any]:
    kept = get_settings().partner_secrets.get(options.chain, {})
    secrets = {purpose: secret.get_secret_value() for purpose, secret in kept.items()}

    async def decline_next() -> None:
        await tell(f"{options.sandbox}/sandbox/faults", json.dumps({"sold_out_next": 1}).encode())

    client = open_client()
    try:
        exam = exam_of(options.chain, options.url, client, secrets, options.listen, wanted=wanted(options.drugs),
                       decline_next=decline_next if options.sandbox else None, patience=options.patience)
        began, clock = datetime.now(UTC), monotonic()
        try:
            judged = await examine(exam)
        finally:
            exam.ear.close()
        return document(exam, judged, began, monotonic() - clock)
    finally:
        await client.aclose()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m adapters.kit.exam", description=__doc__)
    parser.add_argument("chain")
    parser.add_argument("--url", required=True, help="address of the chain")
    parser.add_argument("--listen", default="", metavar="[HOST:]PORT", help="where its callbacks come (default: this machine only)")
    parser.add_argument("--drugs", default=DRUGS, help="what to ask for: code:quantity:unit,…")
    parser.add_argument("--sandbox", default="", metavar="URL", help="where a simulated chain is told to decline an order")
    parser.add_argument("--patience", type=float, default=60.0, help="seconds to wait for an update")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(argv)
    try:
        report = asyncio.run(_examined(options))
    except NeedsOperator as error:
        print(f"× {error}", file=sys.stderr)
        return 2
    options.out.write_text(json.dumps(report, ensure_ascii=False, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

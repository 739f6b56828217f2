"""`./go conformance CHAIN`: start the simulated chain, or take the chain's own test address, have it examined, write it down.

The examination goes through the chain's own adapter (`adapters.kit.exam`), in a separate process.
"""

import json
import os
import secrets
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sandbox.chain import CHAINS
from sandbox.conformance.report import as_html
from sandbox.processes import ROOT, ChildDied, Processes, free_port

PATIENCE = 400
"""Seconds until an examination must have ended."""
PACE = "0.2"
"""A simulated chain packs and delivers in a second."""


def main(chain: str, endpoint: str, listen: str, out: Path | None, as_verdicts: bool) -> int:
    if chain not in CHAINS and not endpoint:
        print(f"× {chain}: 没有模拟程序 no simulated one: 写 write sandbox/{chain}.py，加进 add it to CHAINS in sandbox/chain.py，"
              "或用 or use --endpoint URL", file=sys.stderr)
        return 2
    home = out or ROOT / ".sanyi" / "conformance" / f"{chain}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    try:
        with Processes(home / "logs") as processes:
            document = _examined(processes, chain, endpoint, listen or str(free_port()), home)
    except (ChildDied, TimeoutError) as error:
        print(f"× {error}\n  {home / 'logs'}")
        return 2
    page, data = home / "report.html", home / "report.json"
    page.write_text(as_html(document), encoding="utf-8")
    for row in document["requirements"]:
        print(f"{'✓' if row['passed'] else '✗'} {row['id']} {row['zh']} {row['en']}: {row['seen_en']}")
    if as_verdicts:
        print(json.dumps({row["id"]: row["passed"] for row in document["requirements"]}))
    print(f"{'通过 passed' if document['passed'] else '未通过 not passed'} ({document['seconds']} s)\n  {page}\n  {data}")
    return 0 if document["passed"] else 1


def _examined(processes: Processes, chain: str, endpoint: str, listen: str, home: Path) -> dict[str, Any]:
    prefix = f"SANYI_PARTNER_SECRETS__{chain.upper()}__"
    if endpoint:
        options, url = [], endpoint.rstrip("/")
        env = {name: value for name, value in os.environ.items() if name.startswith(prefix)}
        print(f"回调地址 callbacks come to {listen}, path /callbacks/{chain}")
    else:
        port, folder = free_port(), home / chain / "shared"
        control = f"http://127.0.0.1:{port}"
        options, url = ["--sandbox", control], folder.resolve().as_uri() if CHAINS[chain].box else control
        if CHAINS[chain].box:
            folder.mkdir(parents=True)
        keys = {variable: (secret, secrets.token_urlsafe(18)) for variable, secret in CHAINS[chain].secrets.items()}
        env = {f"{prefix}{secret.upper()}": value for secret, value in keys.values()}
        processes.start(chain, "-m", f"sandbox.{chain}", "--port", str(port), "--state", str(home / chain), "--pace", PACE,
                        "--gateway", f"http://127.0.0.1:{listen}", *(("--folder", url) if CHAINS[chain].box else ()),
                        env={variable: value for variable, (_, value) in keys.items()})
        processes.wait_for(f"{control}/health", name=chain)
    data = home / "report.json"
    exam = processes.start("exam", "-m", "adapters.kit.exam", chain, "--url", url, "--listen", listen, "--out", str(data),
                           *options, env=env, errand=True)
    deadline = time.monotonic() + PATIENCE
    while exam.process.poll() is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the examination did not end within {PATIENCE} s")
        time.sleep(0.2)
    processes.check()
    document: dict[str, Any] = json.loads(data.read_text(encoding="utf-8"))
    return document

"""The certificate: for the partner's IT head as a page, for programs as JSON. Nothing personal is in either."""

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sandbox.conformance.judge import Judged
from sandbox.conformance.record import Record, Sent, personal, shown

_OUTCOMES = {"accepted": "接收 accepted", "refused": "拒收 refused", "conflict": "冲突 conflict", "waiting": "等候对照 waiting"}
_KINDS = {"prescription": "处方 prescription", "changed": "同号异文 same key, other content", "broken": "错误消息 broken",
          "cancel": "撤销 cancel", "sample": "样例 sample"}


@dataclass(frozen=True)
class Certified:
    """What a certification came to."""

    hospital: str
    name: str
    name_en: str
    dialect: str
    began: datetime
    seconds: float
    judged: Sequence[Judged]
    flaw: str = ""
    """The flaw that was put in on purpose, if any."""

    @property
    def passed(self) -> bool:
        return bool(self.judged) and all(result.passed for result in self.judged)


def write(certified: Certified, record: Record, folder: Path) -> tuple[Path, Path]:
    """report.html and report.json in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    document = as_json(certified, record)
    page, data = folder / "report.html", folder / "report.json"
    data.write_text(json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8")
    page.write_text(as_html(document), encoding="utf-8")
    return page, data


def as_json(certified: Certified, record: Record) -> dict[str, Any]:
    masked = personal(record.people)

    def exchange(sent: Sent) -> dict[str, Any]:
        answer, sample = sent.answer, sent.purpose.kind == "sample"
        return {
            "at": sent.at.isoformat(timespec="milliseconds"), "kind": sent.purpose.kind, "key": masked(sent.purpose.key),
            "again": sent.again, "bytes": len(sent.body),
            # Who is in a sample we do not know: its file says what was sent.
            "sent": "" if sample else shown(sent.body, masked),
            "outcome": answer.outcome if answer else "", "id": answer.id if answer else "",
            "status": answer.status if answer else "",
            "answer": shown(answer.body, masked) if answer else ""}

    return {
        "hospital": certified.hospital, "name": certified.name, "name_en": certified.name_en, "dialect": certified.dialect,
        "began": certified.began.isoformat(timespec="seconds"), "seconds": round(certified.seconds), "passed": certified.passed,
        "flaw": certified.flaw, "messages": len(record.sent), "reports": len(record.reports),
        "requirements": [{
            "id": result.requirement.id, "passed": result.passed,
            "zh": result.requirement.words.zh, "en": result.requirement.words.en, "source": result.requirement.source,
            "seen": result.seen.zh, "seen_en": result.seen.en,
            "cure": "" if result.passed else result.requirement.cure.zh,
            "cure_en": "" if result.passed else result.requirement.cure.en,
            "exchanges": [exchange(sent) for sent in result.sent],
            "reports": [masked(json.dumps(_without_codes(report), ensure_ascii=False)) for report in result.reports],
        } for result in certified.judged],
    }


def _without_codes(report: dict[str, Any]) -> dict[str, Any]:
    """A pickup code opens a drawer: the certificate does not show it."""
    return report | {"pickup": report["pickup"] | {"code": "***"}} if report.get("pickup") else report


def as_html(document: dict[str, Any]) -> str:
    """One page without scripts, that prints well and needs nothing from elsewhere."""
    rows = document["requirements"]
    failed = [row for row in rows if not row["passed"]]
    verdict = ("通过 passed", "good") if document["passed"] else (f"未通过 not passed（{len(failed)}）", "bad")
    flaw = (f'<p class="bad">演示：接口中有意放入缺陷 <code>{_e(document["flaw"])}</code>。 A flaw was put in on purpose.</p>'
            if document["flaw"] else "")
    slug = document.get("hospital") or document["chain"]
    side = ("医院", "hospital", "报告 reports") if "hospital" in document else ("连锁", "chain", "动态 updates")
    must = "".join(f"<li><b>{_e(row['id'])}</b> {_e(row['cure'])}<br><small>{_e(row['cure_en'])}</small></li>" for row in failed)
    summary = "".join(
        f'<tr><td><a href="#{row["id"]}">{row["id"]}</a></td><td>{_e(row["zh"])}<br><small>{_e(row["en"])}</small></td>'
        f'<td class="{"good" if row["passed"] else "bad"}">{"✓ 通过 pass" if row["passed"] else "✗ 未通过 fail"}</td></tr>'
        for row in rows)
    return f"""<!doctype html>
<html lang="zh-CN"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>接入认证报告 {_e(document["name"])}</title><style>{_STYLE}</style></head><body>
<h1>接入认证报告 <small>Conformance report</small></h1>
<p class="head"><b>{_e(document["name"])}</b> {_e(document["name_en"])} · <code>{_e(slug)}</code> ·
 {_e(document["dialect"])} · {_e(document["began"])} · {document["seconds"]} s ·
 {document["messages"]} 条消息 messages · {document["reports"]} 条{side[2]}</p>
<p class="verdict {verdict[1]}">{verdict[0]}</p>{flaw}
{f"<h2>需要{side[0]}方处理 <small>What the {side[1]} must do</small></h2><ul>{must}</ul>" if must else ""}
<h2>要求与结论 <small>Requirements</small></h2>
<table><thead><tr><th>编号<br><small>id</small></th><th>要求<br><small>requirement</small></th><th>结论<br>
<small>verdict</small></th></tr></thead><tbody>{summary}</tbody></table>
<h2>依据 <small>What it is based on</small></h2>
<p><small>个人信息已替换。 Personal data is replaced.</small></p>
{"".join(_evidence(row) for row in rows)}
</body></html>
"""


def _evidence(row: dict[str, Any]) -> str:
    parts = [f'<section id="{row["id"]}"><h3 class="{"good" if row["passed"] else "bad"}">{row["id"]} {_e(row["zh"])} '
             f'<small>{_e(row["en"])}</small></h3><p>{_e(row["seen"])}<br><small>{_e(row["seen_en"])}</small><br>'
             f'<small>依据 source: {_e(row["source"])}</small></p>']
    for exchange in row["exchanges"]:
        again = {"repeat": "（重发 repeat）", "at once": "（同时 at once）"}.get(exchange["again"], "")
        answer = _OUTCOMES.get(exchange["outcome"], "" if exchange["status"] else "无应答 no answer")
        kind = _KINDS.get(exchange["kind"], exchange["kind"])
        parts.append(f"<details><summary>{kind} <code>{_e(exchange['key'])}</code>{again} → {answer} "
                     f"{_e(exchange['status'])} <code>{_e(exchange['id'])}</code></summary>"
                     + (f"<pre>{_e(exchange['sent'])}</pre>" if exchange["sent"] else f"<p>{exchange['bytes']} 字节 bytes</p>")
                     + f"<pre class='answer'>{_e(exchange['answer'])}</pre></details>")
    parts += [f"<details><summary>报告 report</summary><pre>{_e(report)}</pre></details>" for report in row["reports"]]
    return "".join(parts) + "</section>"


def _e(text: object) -> str:
    return html.escape(str(text))


_STYLE = """body{font:15px/1.6 "Noto Sans CJK SC",system-ui,sans-serif;max-width:960px;margin:2em auto;padding:0 1em;color:#1d2b36}
h1 small,h2 small,h3 small,small{color:#5b6b78;font-weight:400}h1 small{font-size:.5em}
.good{color:#0a6b3d}.bad{color:#b3261e}
.verdict{font-size:1.6em;font-weight:700;border:2px solid;padding:.2em .6em;display:inline-block}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;border-bottom:1px solid #d5dde3;padding:.4em .6em;vertical-align:top}
td:first-child,td:last-child{white-space:nowrap}
pre{white-space:pre-wrap;word-break:break-all;background:#f3f6f8;padding:.6em;font-size:12px}
pre.answer{background:#eef5f0}summary{cursor:pointer}section{border-top:1px solid #d5dde3;margin-top:1em}
@media print{details{display:block}body{margin:0}}"""

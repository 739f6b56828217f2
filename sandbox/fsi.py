"""Messages of the national FSI interface: every node is there, every field keeps its type and length (contracts 3)."""

import csv
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

BEIJING = timezone(timedelta(hours=8))

Node = dict[str, Any]

FIELDS: dict[tuple[str, str], list[dict[str, str]]] = {}
"""(transaction, node) -> its fields: a copy of the national field tables for what is used here."""
with (Path(__file__).parent / "fsi_fields.csv").open(encoding="utf-8", newline="") as _table:
    for _row in csv.DictReader(_table):
        FIELDS.setdefault((_row["txn"], _row["node"]), []).append(_row)


class Wrong(Exception):
    """infcode -1; `code` is the bracketed word of err_msg, `text` holds field names and ids only."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"[{code}] {text}")


def check_input(infno: str, content: Node) -> None:
    """Every node of the transaction is there, and every field keeps its type and length. Raises `Wrong` FIELD."""
    for txn, node in FIELDS:
        if txn != infno:
            continue
        rows = content.get(node.removesuffix("[]"))
        if node.endswith("[]"):
            if not isinstance(rows, list) or not rows:
                raise Wrong("FIELD", node)
        else:
            rows = [rows]
        for row in rows:
            if not isinstance(row, dict):
                raise Wrong("FIELD", node)
            check(row, txn, node)


def check(row: Node, txn: str, node: str) -> None:
    for field in FIELDS[(txn, node)]:
        name, value = field["field"], row.get(field["field"])
        if value is None or value == "":
            if field["required"]:
                raise Wrong("FIELD", f"{node}.{name} missing")
            continue
        if not _fits(value, field["type"], field["length"]):
            raise Wrong("FIELD", f"{node}.{name}")


def _fits(value: Any, kind: str, length: str) -> bool:
    if kind == "N" and length.isdigit():
        return re.fullmatch(rf"-?[0-9]{{1,{length}}}", str(value)) is not None
    if not isinstance(value, str):
        return False  # amounts travel as text: a JSON number may have been a float
    if kind == "N":
        digits, decimals = length.split(",")
        places = rf"\.\d{{{decimals}}}" if decimals == "2" and digits == "16" else rf"(\.\d{{1,{decimals}}})?"
        return re.fullmatch(rf"-?\d{{1,{digits}}}{places}", value) is not None
    if kind in ("D", "DT"):
        try:
            datetime.strptime(value, "%Y-%m-%d" if len(value) == 10 else "%Y-%m-%d %H:%M:%S").replace(tzinfo=BEIJING)
        except ValueError:
            return False
        return kind == "D" or len(value) == 19
    return not length or len(value) <= int(length)

"""What can be put right before a message is read: its character encoding, and a key that is there twice."""

import json
import re
from contextlib import suppress
from decimal import Decimal
from typing import Any

from fhir_profiles.message import Json, exact_json
from fhir_profiles.patches.cures import Change

MAX_RAW = 100_000
"""Bytes of a message that is looked at; five items take some 15,000."""


def bytes_put_right(raw: bytes) -> tuple[bytes, list[Change]]:
    """The file in UTF-8 without a mark, without a key twice with the same value; as it was if that is not the cure."""
    if len(raw) > MAX_RAW:
        return raw, []
    body, changes = _in_utf8(raw)
    if not body.lstrip().startswith(b"{"):
        return body, changes
    twice = False

    def pairs(items: list[tuple[str, Any]]) -> Json:
        nonlocal twice
        merged: Json = {}
        for name, value in items:
            if name in merged:
                if _same(merged[name], value):
                    twice = True
                else:
                    raise ValueError("two values under one key")
            merged[name] = value
        return merged

    try:
        data = json.loads(body, object_pairs_hook=pairs, parse_float=Decimal, parse_constant=_refuse)
    except (ValueError, ArithmeticError, RecursionError):
        return body, changes
    if twice:
        changes = [*changes, Change(str(data.get("resourceType", "Resource")), "去掉重复且取值相同的键",
                                    "a key that was there twice with the same value is there once")]
        body = written(data)
    return body, changes


def written(data: Json) -> bytes:
    """A resource as JSON, with every decimal as it was sent."""
    return exact_json(data, indent=1) + b"\n"


def _same(left: object, other: object) -> bool:
    return type(left) is type(other) and repr(left) == repr(other)


def _refuse(constant: str) -> Any:
    raise ValueError("not finite")


_HANZI = re.compile("[\u4e00-\u9fff]")
_PLAIN = re.compile("[\0-\x7f\u4e00-\u9fff\u3000-\u3002\u3008-\u3011\uff01-\uff5e‘’“”…—·℃×±μ①-⑩]*")
_OF_PRESCRIPTIONS = re.compile(
    "医院|医保|医师|患者|中心|诊所|卫生|胶囊|颗粒|口服|饭后|饭前|每日|每次|一日|一次|高血压|糖尿病|感染")


def _is_chinese(text: str) -> bool:
    """Whether text that was decoded as GB18030 without a declaration is likely to be that.

    Almost any bytes decode as GB18030; Big5, Shift-JIS or EUC-KR would then give a wrong patient name. So only common
    characters are accepted, and a word that prescriptions use must be among them.
    """
    with suppress(UnicodeEncodeError):
        "".join(_HANZI.findall(text)).encode("gb2312")
        return bool(_PLAIN.fullmatch(text)) and bool(_OF_PRESCRIPTIONS.search(text))
    return False


_DECLARED = re.compile(r"""^(\s*<\?xml\s[^>]*?encoding\s*=\s*["'])[A-Za-z0-9._-]+(["'])""")


def _in_utf8(raw: bytes) -> tuple[bytes, list[Change]]:
    is_xml = raw.lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n").startswith(b"<")
    tries = ("utf-16",) if raw.startswith((b"\xff\xfe", b"\xfe\xff")) else ("utf-8", "gb18030")
    for codec in tries:
        with suppress(UnicodeDecodeError):
            text = raw.decode(codec)
            break
    else:
        return raw, []
    if is_xml and _said_rightly(raw, codec):
        return raw, []  # XML may be in any of these, if it says so
    text = text.removeprefix("\ufeff")
    if codec == "gb18030" and (_DECLARED.match(text) or not _is_chinese(text)):
        return raw, []  # another encoding is declared, or this one is a guess
    if is_xml:
        text = _DECLARED.sub(r"\g<1>UTF-8\g<2>", text)
    body = text.encode()
    return body, [] if body == raw else [
        Change("Resource", f"由 {codec.upper()} 转为无 BOM 的 UTF-8", f"read as {codec.upper()}, written as UTF-8 without a mark")]


def _said_rightly(raw: bytes, codec: str) -> bool:
    declared = re.search(rb"""<\?xml\s[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]+)""", raw[:400])
    word = declared[1].decode().lower() if declared else "utf-8"
    return codec == "utf-16" or (word.startswith("gb") if codec == "gb18030" else word in ("utf-8", "utf8", "us-ascii"))

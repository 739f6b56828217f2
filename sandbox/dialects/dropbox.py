"""The drop box: CSV, Excel and XML files in turn into a folder or a bucket; answers and reports are files as well."""

import asyncio
import contextlib
import csv
import io
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qs, quote, unquote, urlsplit
from uuid import uuid4
from xml.sax.saxutils import escape

import boto3
import openpyxl
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from fastapi import FastAPI

from sandbox.dialects import Heard, Installation, Line, Site
from sandbox.facts import Facts, Medicine

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

BEIJING = timezone(timedelta(hours=8))
TOGETHER_SECONDS = 0.3
"""Prescriptions written within this time go into one CSV file."""
PATIENCE_SECONDS = 60.0
"""For an answer; after that the same is handed over again under another name."""
LOOK_SECONDS = 0.2

SHARED = (
    "操作", "流水号", "处方号", "上传时间", "开方时间", "有效天数", "处方类型", "取药方式", "姓名", "身份证号", "性别", "出生日期",
    "联系电话", "住址", "区划", "纬度", "经度", "医师编码", "医师姓名", "独立年限", "机构编码", "机构名称", "就诊方式", "初复诊",
    "险种", "参保地", "门慢编码", "诊断编码", "诊断名称", "复诊凭证日期", "复诊凭证诊断", "延长理由", "长期评估", "患者知情",
    "科室编码", "科室", "职称", "就诊号", "有效期理由", "处方备注", "过敏史", "撤销原因", "撤销时间")
PER_DRUG = ("序号", "药品编码", "药品名称", "药品类别", "单次用量", "用量单位", "频次", "途径", "数量", "单位", "天数", "用法",
            "备注", "医保审批标志")
HEADINGS = (*SHARED, *PER_DRUG)
DATES = frozenset({"上传时间", "开方时间", "出生日期", "复诊凭证日期"})
NUMBERS = frozenset({"有效天数", "独立年限", "纬度", "经度", "序号", "单次用量", "数量", "天数"})
UNITS = {"mg": "毫克", "g": "克", "μg": "微克", "U": "单位", "IU": "国际单位", "ml": "毫升", "mmol": "毫摩尔"}
FREQUENCIES = {
    "qd": "每日1次", "bid": "每日2次", "tid": "每日3次", "qid": "每日4次", "q6h": "每6小时1次", "q8h": "每8小时1次",
    "q12h": "每12小时1次", "qn": "每晚1次", "qm": "每晨1次", "qod": "隔日1次", "qw": "每周1次"}
KINDS = {"western": "西药", "tcm_patent": "中成药", "tcm_piece": "中药饮片"}
TITLES = {"231": "主任医师", "232": "副主任医师", "233": "主治医师", "234": "医师", "235": "医士"}
APPROVALS = {"1": "符合", "0": "不符合", "2": "自费"}
INSUTYPES = {"310": "职工", "390": "居民"}

Rows = list[dict[str, str]]


def install(site: Site) -> Installation:
    """A folder that both can write to."""
    for folder in ("in", "reports"):
        (site.folder / folder).mkdir(parents=True, exist_ok=True)
    path = str(site.folder.resolve())
    url = f"file://{quote(path)}"
    return Installation({f"SANYI_PARTNER_URLS__{site.slug.upper()}": url}, {}, {"folder": path}, door=f"{url}/in")


class Speaker:
    """The hospital's nightly export, more often; see `sandbox.dialects.Speaker`."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._store = _store(line)
        self._together: dict[str, tuple[Rows, asyncio.Future[Heard | None]]] = {}
        """CSV prescriptions that wait for their file, by prescription number."""
        self._writing: set[asyncio.Task[None]] = set()

    def prescription(self, facts: Facts) -> bytes:
        return _written(_rows(facts), facts.key)

    def changed(self, facts: Facts) -> bytes:
        """Handed in a second later."""
        rows = _rows(facts)
        for row in rows:
            row["上传时间"] = _time(facts.sent + timedelta(seconds=1))
        return _written(rows, facts.key)

    def broken(self, facts: Facts, number: int) -> bytes:
        """A quantity that Excel was to calculate; or an id number with a wrong check digit."""
        rows = _rows(facts)
        if number == 1:
            rows[-1]["数量"] = "=30*2"
            return _csv(rows)
        last = "1" if facts.id_number[-1] != "1" else "2"
        for row in rows:
            row["身份证号"] = facts.id_number[:-1] + last
        return _xml(rows)

    def cancel(self, facts: Facts, key: str, at: datetime) -> bytes:
        return _written([{"操作": "撤销", "流水号": key, "处方号": facts.external_id, "撤销原因": "医师撤销",
                          "撤销时间": _time(at)}], key)

    async def send(self, body: bytes) -> Heard | None:
        rows = _read_csv(body)
        number = rows[0]["处方号"] if rows else ""
        if not rows or number in self._together:
            return (await self._hand_over(body)).get(None)
        answer_due: asyncio.Future[Heard | None] = asyncio.get_running_loop().create_future()
        first = not self._together
        self._together[number] = rows, answer_due
        if first:
            task = asyncio.create_task(self._write_together())
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)
        return await answer_due

    async def where(self, facts: Facts) -> str:
        """A drop box cannot be asked."""
        return ""

    def doors(self, app: FastAPI) -> None:
        """No requests come here."""

    async def listen(self) -> None:
        """Take what is reported out of `reports/`."""
        bad: set[str] = set()
        while True:
            for name in await self._try(lambda: self._store.names("reports")) or []:
                if name in bad or not name.endswith(".csv"):
                    continue
                raw = await self._try(lambda name=name: self._store.get(f"reports/{name}"))
                try:
                    report = read_report(raw) if raw else None
                    if report:
                        self._line.hear(report["key"], report)
                except (ValueError, KeyError, TypeError):
                    bad.add(name)  # stays where it is, for a person
                    continue
                if report:
                    await self._try(lambda name=name: self._store.delete(f"reports/{name}"))
            await asyncio.sleep(LOOK_SECONDS)

    async def _write_together(self) -> None:
        await asyncio.sleep(TOGETHER_SECONDS)
        waiting, self._together = self._together, {}
        answers: dict[str | None, Heard | None] = {}
        with contextlib.suppress(OSError, BotoCoreError, ClientError):
            answers = await self._hand_over(_csv([row for rows, _ in waiting.values() for row in rows]))
        for rows, future in waiting.values():
            if not future.done():
                future.set_result(answers.get(rows[0]["流水号"], answers.get(None) if len(waiting) == 1 else None))

    async def _hand_over(self, body: bytes) -> dict[str | None, Heard | None]:
        """Write a file, then its marker; what was answered by message key, and under None what was answered first."""
        ending = "xlsx" if body.startswith(b"PK") else "xml" if body.startswith(b"<") else "csv"
        name = f"rx_{datetime.now(BEIJING):%Y%m%d%H%M%S}_{uuid4().hex[:8]}.{ending}"
        if await self._try(lambda: self._store.put(f"in/{name}", body)) is None:
            return {}
        marker = ".ok" if ending == "xml" else ".done"
        if await self._try(lambda: self._store.put(f"in/{name}{marker}", b"")) is None:
            return {}
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE_SECONDS
        while loop.time() < until:
            for folder in ("done", "refused"):
                raw = await self._try(lambda folder=folder: self._store.get(
                    f"{folder}/{name}.answer.csv"))
                if raw:
                    return _heard(raw)
            await asyncio.sleep(LOOK_SECONDS)
        return {}

    async def _try(self, call: Any) -> Any:
        """What a blocking call gives; None when the store is away."""
        try:
            return await asyncio.to_thread(call)
        except (OSError, BotoCoreError, ClientError):
            return None


# What is written.

def _rows(facts: Facts) -> Rows:
    shared = {
        "操作": "新开", "流水号": facts.key, "处方号": facts.external_id, "上传时间": _time(facts.sent),
        "开方时间": _time(facts.issued), "有效天数": str(facts.valid_days),
        "处方类型": "长期", "取药方式": "配送" if facts.home else "自取",
        "姓名": facts.name, "身份证号": facts.id_number, "性别": "男" if facts.male else "女",
        "出生日期": facts.born.isoformat(), "联系电话": facts.phone, "住址": facts.address, "区划": facts.district,
        "纬度": facts.latitude, "经度": facts.longitude, "医师编码": facts.physician, "医师姓名": facts.physician_name,
        "独立年限": str(facts.physician_years), "机构编码": facts.institution, "机构名称": facts.institution_name,
        "就诊方式": "互联网", "初复诊": "复诊" if facts.proof_issued else "初诊",
        "险种": INSUTYPES.get(facts.insutype, facts.insutype), "参保地": facts.insured_place,
        "门慢编码": facts.chronic_disease, "诊断编码": ";".join(diagnosis.code for diagnosis in facts.diagnoses),
        "诊断名称": ";".join(diagnosis.name for diagnosis in facts.diagnoses),
        "复诊凭证日期": facts.proof_issued.isoformat() if facts.proof_issued else "",
        "复诊凭证诊断": ";".join(diagnosis.code[:3] for diagnosis in facts.diagnoses) if facts.proof_issued else "",
        "延长理由": facts.extend_reason, "长期评估": "是", "患者知情": "是", "科室编码": facts.department,
        "科室": facts.department_name, "职称": TITLES[facts.title], "就诊号": facts.visit_number, "有效期理由": facts.valid_reason,
        "处方备注": facts.note, "过敏史": ";".join(facts.allergy_words) or ("无" if facts.no_known_allergies else ""),
    }
    return [shared | _drug(number, medicine) for number, medicine in enumerate(facts.medicines, 1)]


def _drug(number: int, medicine: Medicine) -> dict[str, str]:
    return {
        "序号": str(number), "药品编码": f"YP00{medicine.drug[1:]}", "药品名称": medicine.name,
        "药品类别": KINDS[medicine.kind], "单次用量": medicine.amount,
        "用量单位": UNITS.get(medicine.dose_unit, medicine.dose_unit), "频次": FREQUENCIES[medicine.frequency],
        "途径": "口服", "数量": str(medicine.quantity), "单位": UNITS.get(medicine.unit, medicine.unit),
        "天数": str(medicine.days), "用法": medicine.directions, "备注": medicine.note,
        "医保审批标志": APPROVALS.get(medicine.approval or "", "")}


def _written(rows: Rows, key: str) -> bytes:
    """In one of three forms, in turn."""
    return (_csv, _excel, _xml)[zlib.crc32(key.encode()) % 3](rows)


def _csv(rows: Rows) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(HEADINGS)
    for row in rows:
        # So that Excel shows a phone number as it is.
        kept = {heading: f'="{cell}"' if heading == "联系电话" and cell else cell for heading, cell in row.items()}
        writer.writerow([kept.get(heading, "") for heading in HEADINGS])
    return text.getvalue().encode("gb18030")


def _read_csv(body: bytes) -> Rows:
    """The rows of a CSV file of ours; none for anything else."""
    if body.startswith((b"PK", b"<")):
        return []
    rows = list(csv.DictReader(io.StringIO(body.decode("gb18030"), newline="")))
    return [{heading: cell.removeprefix('="').removesuffix('"') if heading == "联系电话" else cell
             for heading, cell in row.items()} for row in rows]


def _excel(rows: Rows) -> bytes:
    """A title, real dates, real numbers, and what the rows share merged into one cell."""
    book = openpyxl.Workbook()
    book.properties.created = book.properties.modified = datetime(2026, 1, 1)  # noqa: DTZ001  Excel knows no zones
    sheet: Any = book.active
    sheet.title = "处方"
    sheet["A1"] = "外配处方导出"
    sheet.merge_cells(start_row=1, end_row=1, start_column=1, end_column=len(HEADINGS))
    sheet.append(HEADINGS)
    for number, row in enumerate(rows):
        sheet.append([_real(heading, row.get(heading, "")) if number == 0 or heading in PER_DRUG else None
                      for heading in HEADINGS])
    if len(rows) > 1:
        for column in range(1, len(SHARED) + 1):
            sheet.merge_cells(start_row=3, end_row=2 + len(rows), start_column=column, end_column=column)
    written, same = io.BytesIO(), io.BytesIO()
    book.save(written)
    # The same bytes each time: an archive keeps the time of writing.
    with zipfile.ZipFile(written) as source, zipfile.ZipFile(same, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(zipfile.ZipInfo(name), _unstamped(name, source.read(name)), zipfile.ZIP_DEFLATED)
    return same.getvalue()


def _unstamped(name: str, part: bytes) -> bytes:
    """openpyxl writes the time of saving, also if the properties have another."""
    if name != "docProps/core.xml":
        return part
    start, end = part.find(b"<dcterms:modified"), part.find(b"</dcterms:modified>")
    return part[:start] + part[end + len(b"</dcterms:modified>"):] if 0 <= start < end else part


def _real(heading: str, text: str) -> Any:
    if not text or text.startswith("="):
        return text or None
    if heading in DATES:
        return datetime.fromisoformat(text)
    return float(text) if heading in NUMBERS else text


def _xml(rows: Rows) -> bytes:
    def element(name: str, text: str) -> str:
        return f"<{name}>{escape(text)}</{name}>"

    lines = ['<?xml version="1.0" encoding="GB18030"?>', "<处方上传>", "<处方>"]
    lines += [element(name, rows[0][name]) for name in SHARED if rows[0].get(name)]
    for row in rows:
        if row.get("药品编码"):
            lines += ["<药品>", *(element(name, row[name]) for name in PER_DRUG if row.get(name)), "</药品>"]
    return "\n".join([*lines, "</处方>", "</处方上传>"]).encode("gb18030")


def _time(at: datetime) -> str:
    return at.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S")


# What is answered and reported.

def _sheet(raw: bytes) -> Rows:
    """Rows by the English part of the headings; our mark in front of what Excel would calculate is gone."""
    if not raw.startswith(b"\xef\xbb\xbf"):
        raise ValueError("Excel would not read it: no byte order mark")
    rows = csv.DictReader(io.StringIO(raw.decode("utf-8-sig"), newline=""))
    return [{heading.rpartition(" / ")[2]: cell.removeprefix("'") for heading, cell in row.items()} for row in rows]


def _heard(raw: bytes) -> dict[str | None, Heard | None]:
    """What was answered, by message key; the place in the file is not part of the answer to a message."""
    answers: dict[str | None, Heard | None] = {}
    own: dict[str, Rows] = {}
    for row in _sheet(raw):
        own.setdefault(row["Key"], []).append({name: cell for name, cell in row.items() if name != "Place"})
    for key, rows in own.items():
        rows_json = json.dumps(rows, ensure_ascii=False, sort_keys=True).encode()
        answers[key] = Heard(rows[0]["Outcome"], rows[0]["Id"], rows[0]["Status code"], rows_json)
        answers.setdefault(None, answers[key])
    return answers


def read_report(raw: bytes) -> dict[str, Any]:
    """A report file as a neutral report. Raises `ValueError` or `KeyError` for one that is none."""
    rows = _sheet(raw)
    if not rows:
        raise ValueError("an empty report")
    row = rows[0]
    report: dict[str, Any] = {"key": row["Key"], "prescription": row["Number"], "id": row["Id"],
                              "status": row["Status code"], "at": row["At"], "reason": row["Reason code"],
                              "words": row["Reason"]}
    datetime.fromisoformat(report["at"])
    if row["Pickup code"]:
        report["pickup"] = {"order": row["Order"], "chain": row["Chain"], "store": row["Store"],
                            "code": row["Pickup code"]}
    if row["Patient page"]:
        report["patient_page"] = row["Patient page"]
    if row["Line"]:
        report["dispense"] = {
            "order": row["Order"], "chain": row["Chain"], "store": row["Store"], "handover": row["Handover"],
            "at": row["Handed over"], "lines": [
                {"line": int(row["Line"]), "item": row["Line number"], "drug": row["Drug"], "name": row["Drug name"],
                 "quantity": row["Quantity"], "unit": row["Unit"], "returned": row["Returned"].endswith("yes")}
                for row in rows if row["Line"]]}
    if row["Total"]:
        report["money"] = {name: row[name.capitalize()] for name in ("total", "fund", "account", "cash")}
    findings = [{"code": row["Finding"], "severity": row["Severity"], "text": row["Problem"],
                 "line": int(row["Item"]) if row["Item"].isdecimal() else None} for row in rows if row["Finding"]]
    return report | ({"findings": findings} if findings else {})


# Where it is written.

class _Store(Protocol):
    def names(self, folder: str) -> Sequence[str]: ...
    def get(self, name: str) -> bytes | None: ...
    def put(self, name: str, data: bytes) -> bool: ...
    def delete(self, name: str) -> bool: ...


class _Folder:
    """A shared folder. Files grow in their place: only the marker says that one is whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self, folder: str) -> Sequence[str]:
        there = self._folder / folder
        return sorted(path.name for path in there.iterdir() if not path.name.startswith(".")) if there.is_dir() else []

    def get(self, name: str) -> bytes | None:
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def put(self, name: str, data: bytes) -> bool:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for half in (data[:len(data) // 2], data[len(data) // 2:]):
                file.write(half)
                file.flush()
        return True

    def delete(self, name: str) -> bool:
        (self._folder / name).unlink(missing_ok=True)
        return True


class _Bucket:
    """A prefix of a bucket: `s3://bucket/prefix?endpoint=…`."""

    def __init__(self, url: str, secrets: Mapping[str, str]) -> None:
        parts = urlsplit(url)
        options = parse_qs(parts.query)
        self._bucket, self._prefix = parts.netloc, unquote(parts.path).strip("/")
        self._s3: S3Client = boto3.session.Session().client(
            "s3", endpoint_url=options.get("endpoint", [None])[0], region_name="us-east-1",
            aws_access_key_id=secrets["ACCESS_KEY"], aws_secret_access_key=secrets["SECRET_KEY"],
            config=Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required",
                          response_checksum_validation="when_required"))

    def names(self, folder: str) -> Sequence[str]:
        prefix = self._key(f"{folder}/")
        objects = self._s3.list_objects_v2(Bucket=self._bucket, Prefix=prefix).get("Contents", [])
        return [name for entry in objects if (name := entry["Key"].removeprefix(prefix)) and "/" not in name]

    def get(self, name: str) -> bytes | None:
        try:
            return self._s3.get_object(Bucket=self._bucket, Key=self._key(name))["Body"].read()
        except self._s3.exceptions.NoSuchKey:
            return None

    def put(self, name: str, data: bytes) -> bool:
        self._s3.put_object(Bucket=self._bucket, Key=self._key(name), Body=data)
        return True

    def delete(self, name: str) -> bool:
        self._s3.delete_object(Bucket=self._bucket, Key=self._key(name))
        return True

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name


def _store(line: Line) -> _Store:
    if line.urls.get("s3"):
        return _Bucket(line.urls["s3"], line.secrets)
    return _Folder(Path(unquote(line.urls["folder"].removeprefix("file://"))))

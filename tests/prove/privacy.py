"""No name, id number, phone or address of a day's patients, nor a marker in broken messages, is in a table, log or page."""

import json
import sqlite3
import sys
import tempfile
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import httpx
from rich.console import Console

from sandbox.city import SandboxCity
from sandbox.day import run_day
from sandbox.people import resident_id
from sandbox.plan import Plan
from sandbox.processes import Processes

NAME, PHONE = "马克儿隐私标记", "19912345670"
EARLIEST = 1901
"""Nobody else in the sandbox was born that early: the marked id numbers are ours alone."""


def main() -> int:
    console = Console(highlight=False, width=140)
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        with Processes(folder / "logs") as processes:
            city = SandboxCity(folder, processes, slug="jinan", seed=5)
            answers: list[bytes] = []
            city.on_sending = lambda: answers.extend(_send_marked(city))
            day = run_day(city, 20, console)
            markers = _markers(folder)
            pages = _pages(city)
        where = {
            "Prefect tables": _in_database(folder / "prefect.db", markers),
            "our database": _in_database(folder / "sanyi.db", markers),
            "logs": _in_files((folder / "logs").glob("*.log"), markers),
            "answers to hospitals": _in_bytes(answers, markers),
            "pages and API": _in_bytes(pages, markers),
            "file names": [str(path) for path in folder.rglob("*") for marker in markers if marker in path.name],
        }
        archived = _in_files((folder / "archive").rglob("*"), markers)
    for place, found in where.items():
        console.print(f"{'✓' if not found else '✗'} {place}: {len(found)} found {found[:3] if found else ''}")
    console.print(f"  (archive of raw messages, where it must be: {len(archived)} files)")
    hits = sum(map(len, where.values()))
    held = day.good and hits == 0 and archived and answers
    console.print(f"privacy: {hits} markers found in {len(where)} kinds of places, {len(markers)} markers planted, "
                  f"{len(answers)} broken or refused messages sent")
    return 0 if held else 1


def _send_marked(city: SandboxCity) -> list[bytes]:
    """Broken messages of every kind with the markers in them, and a good one twice; returns what was answered."""
    plan = Plan.load(city.folder / "hospital")
    good = json.loads(plan.prescriptions[-1].bundle)
    answers = []
    for number, (path, value) in enumerate(_DEFECTS):
        message = json.loads(json.dumps(good))
        _mark(message, number)
        message["identifier"]["value"] = f"MARKED{number:03d}"
        for entry in message["entry"]:
            if entry["resource"]["resourceType"] == "MedicationRequest":
                entry["resource"]["groupIdentifier"]["value"] = f"MARKEDRX{number:03d}"
        _put(message, path, value)
        answers += [_post(city, message), _post(city, message)]
    for raw in (f'{{"name": "{NAME}", broken'.encode(), NAME.encode("gb18030"), f'["{NAME}", "{PHONE}"]'.encode()):
        answers.append(_post(city, raw))
    answers.append(httpx.get(f"{city.urls['gateway']}/fhir/jinan_first/requests/{PHONE}", trust_env=False,
                             headers={"Authorization": f"Bearer {city.keys['hospital']}"}).content)
    return answers


_DEFECTS: list[tuple[tuple[object, ...], object]] = [
    (("Patient", "birthDate"), f"not a date {NAME}"),
    (("Patient", "gender"), NAME),
    (("Patient", "identifier", 0, "value"), f"{PHONE}{NAME}"),
    (("Patient", "telecom"), PHONE),
    (("Patient", "name"), {"text": NAME}),
    (("Encounter", "status"), NAME),
    (("MedicationRequest", "dosageInstruction"), [{"text": NAME}]),
    (("MedicationRequest", "authoredOn"), f"{NAME}"),
    (("MedicationRequest", NAME), PHONE),
    (("Coverage", "type"), NAME),
    (("Condition", "code", "coding", 0, "code"), f"{NAME}{PHONE}"),
]
"""Where the marker goes instead of a value; each of these is refused for a different reason."""


def _mark(message: dict[str, object], number: int) -> None:
    for entry in message["entry"]:  # type: ignore[attr-defined]
        resource = entry["resource"]
        if resource["resourceType"] == "Patient":
            resource["name"][0]["text"] = NAME
            resource["telecom"] = [{"system": "phone", "value": PHONE}]
            resource["identifier"][0]["value"] = _id_number(number)


def _id_number(number: int) -> str:
    return resident_id("370102", date(EARLIEST, 1, 1), 100 + number)


def _markers(folder: Path) -> list[str]:
    """What must not be found: the planted ones, and everybody's name, id number and phone of the day's own people."""
    people = json.loads((folder / "insurer" / "people.json").read_text(encoding="utf-8"))
    plan = Plan.load(folder / "hospital")
    phones, addresses = set(), set()
    for planned in plan.prescriptions:
        for entry in json.loads(planned.bundle)["entry"]:
            if entry["resource"]["resourceType"] == "Patient":
                phones |= {telecom["value"] for telecom in entry["resource"].get("telecom", [])}
                addresses |= {address["text"] for address in entry["resource"].get("address", []) if "text" in address}
    return sorted({NAME, PHONE, *(_id_number(number) for number in range(len(_DEFECTS))),
                   *(person["id_number"] for person in people), *(person["name"] for person in people), *phones, *addresses})


def _pages(city: SandboxCity) -> list[bytes]:
    """Everything an operator can look at."""
    headers = {"Authorization": f"Bearer {city.keys['operator']}"}
    rows = city.prescriptions()
    paths = ["/", "/rx", "/review", "/api/ops/board", "/api/ops/ledger", "/api/ops/discrepancies",
             *(f"/rx/{row['id']}" for row in rows), *(f"/api/rx/{row['id']}" for row in rows),
             *(f"/api/rx/{row['id']}/history" for row in rows)]
    with httpx.Client(base_url=city.urls["gateway"], headers=headers, trust_env=False, timeout=30) as client:
        client.post("/sign-in", data={"code": city.keys["operator"]}, headers={"Origin": city.urls["gateway"]})
        answers = [client.get(path) for path in paths]
    if any(answer.status_code >= 400 for answer in answers):
        raise SystemExit(f"a page could not be read: {[a.status_code for a in answers if a.status_code >= 400][:5]}")
    return [answer.content for answer in answers]


def _in_database(path: Path, markers: list[str]) -> list[str]:
    """table.column of every cell with a marker in it, blobs included."""
    found = []
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        tables = [name for name, in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            try:
                cursor = connection.execute(f'SELECT * FROM "{table}"')
            except sqlite3.DatabaseError:
                continue
            columns = [column[0] for column in cursor.description]
            for row in cursor:
                for column, value in zip(columns, row, strict=True):
                    if _marked(value, markers):
                        found.append(f"{table}.{column}")
    return found


def _in_files(paths: Iterable[Path], markers: list[str]) -> list[str]:
    return [path.name for path in paths if path.is_file() and _marked(path.read_bytes(), markers)]


def _in_bytes(texts: Iterable[bytes], markers: list[str]) -> list[str]:
    return [f"#{number}" for number, text in enumerate(texts) if _marked(text, markers)]


def _marked(value: object, markers: list[str]) -> bool:
    if value is None or isinstance(value, int | float):
        return False
    raw = value if isinstance(value, bytes) else str(value).encode()
    spellings = [raw]
    if b"\\u" in raw:
        # JSON may spell a name in escapes.
        spellings.append(raw.decode("utf-8", "replace").encode().decode("unicode_escape", "replace").encode("utf-8", "replace"))
    return any(marker.encode() in spelling for marker in markers for spelling in spellings)


def _put(message: dict[str, object], path: tuple[object, ...], value: object) -> None:
    resource = next(entry["resource"] for entry in message["entry"]  # type: ignore[attr-defined]
                    if entry["resource"]["resourceType"] == path[0])
    for part in path[1:-1]:
        resource = resource[part]
    resource[path[-1]] = value


def _post(city: SandboxCity, message: object) -> bytes:
    body = message if isinstance(message, bytes) else json.dumps(message, ensure_ascii=False).encode()
    return httpx.post(f"{city.urls['gateway']}/fhir/jinan_first/Bundle", content=body, trust_env=False, timeout=20, headers={
        "Authorization": f"Bearer {city.keys['hospital']}", "Content-Type": "application/fhir+json"}).content


if __name__ == "__main__":
    sys.exit(main())
